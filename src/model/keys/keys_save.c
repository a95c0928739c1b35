// Snapshots and digests. Records: a head, the table of deletions, then the keys of each store in the order of their
// places. Name and value of a key are one run of bytes, which may take several records.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/keys/keys_internal.h"
#include <errno.h>
#include <string.h>

enum { RECORD_HEAD = 1, RECORD_DELETIONS = 2, RECORD_KEY = 3, RECORD_REST = 4 };
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
            digest_add(&stores[i], key_head_digest(all->items[at]));
            digest_add(&stores[i], key_value_digest(all->items[at]));
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
        put_varint(o, key->len);
}

// Fills `o` with keys from the cursor on; false: there is nothing more.
static bool save_keys(const struct keys *keys, struct save_cursor *cursor, struct output *o) {
    uint64_t *store = &cursor->words[1], *place = &cursor->words[2], *filled = &cursor->words[3];
    for (; *store < KEYS_DATABASES; (*store)++, *place = 0) {
        const struct dense *all = &keys->stores[*store].keys;
        while (*place < all->count) {
            const struct key *key = all->items[*place];
            size_t total = payload(key), room = o->capacity - o->len;
            if (room < 2 * KEY_HEAD_BYTES) return true;
            if (*filled == 0) {
                save_key_head(key, o);
            } else {
                put_u8(o, RECORD_REST);
            }
            room = o->capacity - o->len - 10;
            size_t part = total - *filled < room ? total - *filled : room;
            put_varint(o, part);
            put_bytes(o, key->data + *filled, part);
            *filled += part;
            if (*filled < total) return true;
            *filled = 0;
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

// Fills the key that is loading; when it is whole it takes its place.
static bool load_part(struct keys *keys, struct reader *r) {
    struct bytes part = read_blob(r);
    struct key *key = keys->loading;
    if (r->failed || key == NULL || part.len > payload(key) - keys->loading_filled) return false;
    if (part.len > 0) memcpy(key->data + keys->loading_filled, part.data, part.len);
    keys->loading_filled += part.len;
    if (keys->loading_filled < payload(key)) return part.len > 0;
    struct store *store = &keys->stores[key->store];
    if (dense_find(&store->keys, &store->kind, key_name(key)) != DENSE_NONE) return false;
    key_link(keys, key, keys->loading_deadline);
    keys->loading = NULL;
    return true;
}

static bool load_key(struct keys *keys, struct reader *r) {
    uint8_t store = read_u8(r), type = read_u8(r), encoding = read_u8(r);
    uint64_t id = read_varint(r), changed = read_varint(r);
    keys->loading_deadline = read_u64_le(r);
    uint64_t name_len = read_varint(r), number = 0, len = 0;
    if (encoding == ENCODING_INT)
        number = read_u64_le(r);
    else
        len = read_varint(r);
    if (r->failed || keys->loading != NULL || keys->hash_seed == 0 || store >= KEYS_DATABASES || type != KEY_STRING ||
        encoding > ENCODING_EMBSTR || id >= keys->next_id || name_len > KEYS_NAME_BYTES_MAX ||
        len > KEYS_VALUE_BYTES_MAX)
        return false;
    struct key *key = key_allocate(bytes_of(NULL, 0), name_len + len);
    key->name_len = (uint32_t)name_len;
    key->store = store;
    key->type = type;
    key->encoding = encoding;
    key->id = id;
    key->changed = changed;
    if (encoding == ENCODING_INT) {
        key->number = (int64_t)number;
    } else {
        key->len = (uint32_t)len;
        key->capacity = (uint32_t)len;
    }
    keys->loading = key;
    keys->loading_filled = 0;
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
        }
        if (!good) return -EBADMSG;
    }
    return 0;
}
