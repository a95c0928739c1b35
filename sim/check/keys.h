// What stood at each register and lock at each index, from the history's machine: what clients' reads are held against.
#pragma once
#include "base/bytes.h"
#include "sim/world.h"

#define KEYS_MAX 64u

struct key_change {
    uint64_t index;
    uint64_t mark; // of the value; 0: none
    bool exists;
};
struct key_history {
    char path[32];
    struct key_change *changes; // ascending by index; several of one index (a multi): the last counts
    size_t count, capacity;
};
struct keys {
    struct key_history keys[KEYS_MAX];
    size_t count;
};
void keys_free(struct keys *keys);
struct key_history *keys_find(struct keys *keys, struct bytes path, bool make); // NULL: unknown, or no room
void key_note(struct key_history *key, uint64_t index, bool exists, uint64_t mark);
struct key_change key_at(const struct key_history *key,
                         uint64_t index); // as of this index; index 0: nothing stood there yet
bool key_changed_in(const struct key_history *key, uint64_t after, uint64_t upto, uint64_t *index); // in (after, upto]
