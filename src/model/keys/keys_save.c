// Snapshots and digests. Records: a head, the table of deletions, then the keys of each store in the order of their
// places. Name and value of a key are one run of bytes, which may take several records.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/keys/keys_internal.h"
#include <errno.h>
#include <string.h>

enum { RECORD_HEAD = 1, RECORD_DELETIONS = 2, RECORD_KEY = 3, RECORD_REST = 4, RECORD_ELEMENTS = 5 };
enum {
    PHASE_HEAD,
    PHASE_DELETIONS,
    PHASE_KEYS
}; // words[0] of the cursor; then: place in the table, or store, place, filled
#define HEAD_WORDS (3 + 2 * KEYS_DATABASES)
#define KEY_HEAD_BYTES 64u // at most: tag, four small numbers, five varints of 10 bytes
#define DELETION_BYTES 12u

struct output {
    uint8_t *at;
    size_t len, capacity;
};

static void put_bytes(struct output *o, const void *data, size_t len) {
    ENSURE(len <= o->capacity - o->len);
    if (len > 0) memcpy(o->at + o->len, data, len);
    o->len += len;
}
static void put_u8(struct output *o, uint8_t v) {
    put_bytes(o, &v, 1);
}
static void put_u64(struct output *o, uint64_t v) {
    uint8_t bytes[8];
    put_u64_le(bytes, v);
    put_bytes(o, bytes, sizeof bytes);
}
static void put_varint(struct output *o, uint64_t v) {
    for (; v >= 0x80; v >>= 7) put_u8(o, (uint8_t)(v | 0x80));
    put_u8(o, (uint8_t)v);
}

static void head_words(const struct keys *keys, uint64_t words[HEAD_WORDS]) {
    words[0] = keys->next_id;
    words[1] = keys->hash_seed;
    words[2] = keys->expired;
    for (size_t i = 0; i < KEYS_DATABASES; i++) {
        words[3 + i] = keys->store_of[i];
        words[3 + KEYS_DATABASES + i] = keys->changed_whole[i];
    }
}

// ---- digest

static struct digest combine(const struct keys *keys, const struct digest stores[KEYS_DATABASES],
                             struct digest deleted) {
    struct digest sum = deleted;
    uint64_t words[HEAD_WORDS];
    if (keys->hash_seed == 0) return (struct digest){0, 0}; // never used
    head_words(keys, words);
    digest_add(&sum, digest_hash(words, sizeof words, MODEL_KEYS));
    for (uint64_t i = 0; i < KEYS_DATABASES; i++) {
        const struct digest *store = &stores[keys->store_of[i]];
        if (store->lo == 0 && store->hi == 0) continue;
        uint64_t item[3] = {store->lo, store->hi, i};
        digest_add(&sum, digest_hash(item, sizeof item, MODEL_KEYS));
    }
    return sum;
}

struct digest keys_digest(const void *model) {
    const struct keys *keys = model;
    struct digest stores[KEYS_DATABASES];
    for (size_t i = 0; i < KEYS_DATABASES; i++) stores[i] = keys->stores[i].digest;
    return combine(keys, stores, keys->deleted);
}

struct digest keys_recount(const void *model) {
    const struct keys *keys = model;
    struct digest stores[KEYS_DATABASES] = {0}, deleted = {0, 0};
    for (size_t i = 0; i < KEYS_DATABASES; i++) {
        const struct dense *all = &keys->stores[i].keys;
        for (uint32_t at = 0; at < all->count; at++) {
            const struct key *key = all->items[at];
            bool object = key_has_object(key);
            digest_add(&stores[i], key_head_digest(key));
            digest_add(&stores[i], object ? type_ops[key->type]->recount(key) : key_value_digest(key));
        }
    }
    for (uint64_t i = 0; keys->deletions != NULL && i < DELETIONS; i++) {
        uint64_t words[2] = {i, keys->deletions[i]};
        if (words[1] != 0) digest_add(&deleted, digest_hash(words, sizeof words, MODEL_KEYS));
    }
    return combine(keys, stores, deleted);
}

// ---- save

static void save_head(const struct keys *keys, struct output *o) {
    uint64_t words[HEAD_WORDS];
    head_words(keys, words);
    put_u8(o, RECORD_HEAD);
    for (size_t i = 0; i < HEAD_WORDS; i++) put_u64(o, words[i]);
}

// As many as fit, from `at` on; gives where the next record begins.
static uint64_t save_deletions(const struct keys *keys, uint64_t at, struct output *o) {
    size_t count_at = o->len + 1, count = 0;
    put_u8(o, RECORD_DELETIONS);
    put_bytes(o, "\0\0\0\0", 4);
    for (; at < DELETIONS && o->capacity - o->len >= DELETION_BYTES; at++) {
        if (keys->deletions[at] == 0) continue;
        uint8_t place[4];
        put_u32_le(place, (uint32_t)at);
        put_bytes(o, place, 4);
        put_u64(o, keys->deletions[at]);
        count++;
    }
    put_u32_le(o->at + count_at, (uint32_t)count);
    return at;
}

static size_t payload(const struct key *key) {
    bool raw = key->type == KEY_STRING && key->encoding != ENCODING_INT;
    return key->name_len + (raw ? key->len : 0);
}

static void save_key_head(const struct key *key, struct output *o) {
    put_u8(o, RECORD_KEY);
    put_u8(o, key->store);
    put_u8(o, key->type);
    put_u8(o, key->encoding);
    put_varint(o, key->id);
    put_varint(o, key->changed);
    put_u64(o, key_deadline_ms(key));
    put_varint(o, key->name_len);
    if (key->encoding == ENCODING_INT)
        put_u64(o, (uint64_t)key->number);
    else
        put_varint(o, key_has_object(key) ? type_ops[key->type]->count(key) : key->len);
}

// The bytes of an element from `from` on, its length ahead of them; gives false when the rest did not fit.
static bool put_element(struct output *o, const struct element *element, uint64_t *from) {
    size_t total = element->head_len + element->parts[0].len + element->parts[1].len, at = 0;
    if (*from == 0) put_varint(o, total);
    struct bytes spans[3] = {bytes_of(element->head, element->head_len), element->parts[0], element->parts[1]};
    for (size_t i = 0; i < 3; at += spans[i].len, i++) {
        if (*from >= at + spans[i].len) continue;
        size_t skip = *from - at, left = spans[i].len - skip, room = o->capacity - o->len;
        size_t part = left < room ? left : room;
        put_bytes(o, spans[i].data + skip, part);
        *from += part;
        if (part < left) return false;
    }
    return true;
}

struct place { // of a save among a key's elements
    uint64_t *done, *at, *filled;
};

// As many elements as fit; true: all of them are saved.
static bool save_elements(const struct key *key, struct place *place, struct output *o) {
    const struct type_ops *ops = type_ops[key->type];
    uint64_t count = ops->count(key);
    struct element element;
    if (o->capacity - o->len < 2 * KEY_HEAD_BYTES) return false;
    put_u8(o, RECORD_ELEMENTS);
    size_t len_at = o->len;
    put_bytes(o, "\0\0\0\0", 4);
    bool fits = true;
    while (*place->done < count && fits && o->capacity - o->len > 10) {
        ops->element(key, *place->at, &element);
        fits = put_element(o, &element, place->filled);
        if (!fits) break;
        *place->filled = 0;
        *place->at = element.next;
        ++*place->done;
    }
    put_u32_le(o->at + len_at, (uint32_t)(o->len - len_at - 4));
    if (*place->done < count) return false;
    *place->done = *place->at = *place->filled = 0;
    return true;
}

// Name and bytes of a key; true: all of them are saved.
static bool save_payload(const struct key *key, uint64_t *filled, struct output *o) {
    size_t total = payload(key), room = o->capacity - o->len;
    if (room < 2 * KEY_HEAD_BYTES) return false;
    if (*filled == 0)
        save_key_head(key, o);
    else
        put_u8(o, RECORD_REST);
    room = o->capacity - o->len - 10;
    size_t part = total - *filled < room ? total - *filled : room;
    put_varint(o, part);
    put_bytes(o, key->data + *filled, part);
    *filled += part;
    if (*filled < total) return false;
    *filled = 0;
    return true;
}

// Fills `o` with keys from the cursor on; false: there is nothing more.
static bool save_keys(const struct keys *keys, struct save_cursor *cursor, struct output *o) {
    uint64_t *store = &cursor->words[1], *place = &cursor->words[2], *filled = &cursor->words[3];
    uint64_t *named = &cursor->words[4]; // only the elements are left
    struct place elements = {&cursor->words[5], &cursor->words[6], &cursor->words[7]};
    for (; *store < KEYS_DATABASES; (*store)++, *place = 0) {
        const struct dense *all = &keys->stores[*store].keys;
        while (*place < all->count) {
            const struct key *key = all->items[*place];
            if (*named == 0 && !save_payload(key, filled, o)) return true;
            *named = 1;
            if (key_has_object(key) && !save_elements(key, &elements, o)) return true;
            *named = 0;
            (*place)++;
        }
    }
    return o->len > 0;
}

size_t keys_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    const struct keys *keys = model;
    struct output o = {.at = out, .capacity = capacity};
    if (keys->hash_seed == 0) return 0;
    if (cursor->words[0] == PHASE_HEAD) {
        save_head(keys, &o);
        cursor->words[0] = keys->deletions != NULL ? PHASE_DELETIONS : PHASE_KEYS;
        return o.len;
    }
    if (cursor->words[0] == PHASE_DELETIONS) {
        cursor->words[1] = save_deletions(keys, cursor->words[1], &o);
        if (cursor->words[1] == DELETIONS) *cursor = (struct save_cursor){{PHASE_KEYS}};
        return o.len;
    }
    return save_keys(keys, cursor, &o) ? o.len : 0;
}

// ---- load

static bool load_head(struct keys *keys, struct reader *r) {
    bool seen[KEYS_DATABASES] = {false};
    keys->next_id = read_u64_le(r);
    uint64_t seed = read_u64_le(r);
    keys->expired = read_u64_le(r);
    for (size_t i = 0; i < KEYS_DATABASES; i++) {
        uint64_t store = read_u64_le(r);
        if (store >= KEYS_DATABASES || seen[store]) return false;
        seen[store] = true;
        keys->store_of[i] = (uint8_t)store;
    }
    for (size_t i = 0; i < KEYS_DATABASES; i++) keys->changed_whole[i] = read_u64_le(r);
    if (r->failed || seed == 0 || keys->hash_seed != 0) return false;
    stores_seed(keys, seed);
    return true;
}

static bool load_deletions(struct keys *keys, struct reader *r) {
    uint32_t count = read_u32_le(r);
    if (keys->deletions == NULL) keys->deletions = mem_zalloc(DELETIONS * sizeof *keys->deletions);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        uint64_t words[2] = {read_u32_le(r), 0};
        words[1] = read_u64_le(r);
        if (words[0] >= DELETIONS || words[1] == 0 || keys->deletions[words[0]] != 0) return false;
        keys->deletions[words[0]] = words[1];
        digest_add(&keys->deleted, digest_hash(words, sizeof words, MODEL_KEYS));
    }
    return !r->failed;
}

// The key that is loading takes its place.
static bool load_whole(struct keys *keys) {
    struct key *key = keys->loading;
    struct store *store = &keys->stores[key->store];
    if (dense_find(&store->keys, &store->kind, key_name(key)) != DENSE_NONE) return false;
    key_link(keys, key, keys->loading_deadline);
    keys->loading = NULL;
    return true;
}

// Fills the key that is loading.
static bool load_part(struct keys *keys, struct reader *r) {
    struct bytes part = read_blob(r);
    struct key *key = keys->loading;
    if (r->failed || key == NULL || part.len > payload(key) - keys->loading_filled) return false;
    if (part.len > 0) memcpy(key->data + keys->loading_filled, part.data, part.len);
    keys->loading_filled += part.len;
    if (keys->loading_filled < payload(key)) return part.len > 0;
    return keys->loading_elements > 0 || load_whole(keys);
}

// Elements from `r` on, as long as they are whole.
static bool load_whole_elements(struct keys *keys, struct reader *r) {
    struct key *key = keys->loading;
    while (reader_left(r) > 0) {
        struct reader ahead = *r;
        uint64_t len = read_varint(&ahead);
        if (ahead.failed || len > reader_left(&ahead)) return len <= 3ull * KEYS_VALUE_BYTES_MAX;
        *r = ahead;
        struct bytes element = read_span(r, (size_t)len);
        if (keys->loading_elements == 0 || !type_ops[key->type]->load(keys, key, element)) return false;
        keys->loading_elements--;
    }
    return true;
}

static bool load_elements(struct keys *keys, struct reader *r) {
    uint32_t len = read_u32_le(r);
    if (r->failed || len > reader_left(r)) return false;
    struct bytes part = read_span(r, len);
    struct key *key = keys->loading;
    if (len == 0 || key == NULL || !key_has_object(key) || keys->loading_filled < payload(key)) return len == 0;
    struct writer *rest = &keys->loading_rest;
    bool fresh = rest->len == 0;
    if (!fresh) write_span(rest, part);
    struct reader elements = fresh ? reader_of(part.data, part.len) : reader_of(rest->data, rest->len);
    if (!load_whole_elements(keys, &elements)) return false;
    if (fresh)
        write_span(rest, bytes_of(part.data + elements.at, part.len - elements.at));
    else
        writer_consume(rest, elements.at);
    if (keys->loading_elements > 0) return true;
    return rest->len == 0 && load_whole(keys);
}

// What stands in a key's head, and can be: the object is made, for its elements to come.
static bool load_value(struct keys *keys, struct key *key, uint64_t word) {
    const struct type_ops *ops = type_ops[key->type];
    keys->loading_elements = 0;
    if (ops != NULL) {
        key->object = word == 0 ? NULL : ops->make(keys, key->encoding);
        keys->loading_elements = word;
        return key->object != NULL;
    }
    if (key->type != KEY_STRING || key->encoding > ENCODING_EMBSTR) return false;
    if (key->encoding == ENCODING_INT)
        key->number = (int64_t)word;
    else
        key->len = key->capacity = (uint32_t)word;
    return true;
}

static bool load_key(struct keys *keys, struct reader *r) {
    uint8_t store = read_u8(r), type = read_u8(r), encoding = read_u8(r);
    uint64_t id = read_varint(r), changed = read_varint(r);
    keys->loading_deadline = read_u64_le(r);
    uint64_t name_len = read_varint(r), word = encoding == ENCODING_INT ? read_u64_le(r) : read_varint(r);
    size_t len = type == KEY_STRING && encoding != ENCODING_INT ? word : 0;
    if (r->failed || keys->loading != NULL || keys->hash_seed == 0 || store >= KEYS_DATABASES ||
        type >= KEY_TYPE_COUNT || id >= keys->next_id || name_len > KEYS_NAME_BYTES_MAX || len > KEYS_VALUE_BYTES_MAX)
        return false;
    struct key *key = key_allocate(bytes_of(NULL, 0), name_len + len);
    key->name_len = (uint32_t)name_len;
    key->store = store;
    key->type = type;
    key->encoding = encoding;
    key->id = id;
    key->changed = changed;
    if (!load_value(keys, key, word)) {
        mem_free(key);
        return false;
    }
    keys->loading = key;
    keys->loading_filled = 0;
    writer_clear(&keys->loading_rest);
    return load_part(keys, r);
}

int keys_load(void *model, const uint8_t *data, size_t len) {
    struct keys *keys = model;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        bool good = false;
        switch (read_u8(&r)) {
        case RECORD_HEAD:
            good = load_head(keys, &r);
            break;
        case RECORD_DELETIONS:
            good = load_deletions(keys, &r);
            break;
        case RECORD_KEY:
            good = load_key(keys, &r);
            break;
        case RECORD_REST:
            good = load_part(keys, &r);
            break;
        case RECORD_ELEMENTS:
            good = load_elements(keys, &r);
            break;
        }
        if (!good) return -EBADMSG;
    }
    return 0;
}
