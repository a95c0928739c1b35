#include "sim/check/keys.h"

#include <string.h>

void keys_free(struct keys *keys) {
    for (size_t i = 0; i < keys->count; i++) mem_free(keys->keys[i].changes);
}

struct key_history *keys_find(struct keys *keys, struct bytes path, bool make) {
    for (size_t i = 0; i < keys->count; i++)
        if (strlen(keys->keys[i].path) == path.len && memcmp(keys->keys[i].path, path.data, path.len) == 0)
            return &keys->keys[i];
    if (!make || keys->count == KEYS_MAX || path.len >= sizeof keys->keys[0].path) return NULL;
    struct key_history *key = &keys->keys[keys->count++];
    memcpy(key->path, path.data, path.len);
    return key;
}

void key_note(struct key_history *key, uint64_t index, bool exists, uint64_t mark) {
    if (key->count == key->capacity) {
        key->capacity = key->capacity == 0 ? 64 : key->capacity * 2;
        key->changes = mem_realloc(key->changes, key->capacity * sizeof *key->changes);
    }
    key->changes[key->count++] = (struct key_change){.index = index, .mark = mark, .exists = exists};
}

// The number of changes with an index of at most `index`.
static size_t upto(const struct key_history *key, uint64_t index) {
    size_t low = 0, high = key->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (key->changes[middle].index <= index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct key_change key_at(const struct key_history *key, uint64_t index) {
    size_t count = upto(key, index);
    return count == 0 ? (struct key_change){0} : key->changes[count - 1];
}

bool key_changed_in(const struct key_history *key, uint64_t after, uint64_t last, uint64_t *index) {
    size_t at = upto(key, after);
    if (at >= key->count || key->changes[at].index > last) return false;
    *index = key->changes[at].index;
    return true;
}
