// Keys of a database: found, made, changed, deleted, and what each adds to digest and memory. See keys_internal.h.
#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "model/keys/keys_internal.h"
#include <string.h>

#define PIECE_BYTES 4096u           // of a string in the digest: what a change inside it costs
#define EMBSTR_BYTES_MAX 44u        // Redis's: up to here OBJECT ENCODING says embstr
#define FREE_AT_ONCE 64u            // elements of a collection that go with their key; the others by keys_collect
#define GROWTH_BYTES_MAX (1u << 20) // a string that grows gets twice its length as room, and no more than this on top

struct store *store_of(const struct keys *keys, uint32_t database) {
    ENSURE(database < KEYS_DATABASES);
    return (struct store *)(uintptr_t)&keys->stores[keys->store_of[database]];
}

static struct store *store_of_key(struct keys *keys, const struct key *key) {
    return &keys->stores[key->store];
}

uint32_t database_of(const struct keys *keys, const struct key *key) {
    uint32_t database = 0;
    while (keys->store_of[database] != key->store) database++;
    return database;
}

// ---- digest and memory

struct digest key_head_digest(const struct key *key) {
    struct digest name = digest_hash(key->data, key->name_len, key->id);
    uint64_t words[8] = {name.lo,
                         name.hi,
                         key->id,
                         key->changed,
                         key_deadline_ms(key),
                         (uint64_t)key->place << 32 | (uint64_t)key->type << 8 | key->encoding,
                         key->type == KEY_STRING ? key->encoding == ENCODING_INT ? (uint64_t)key->number : key->len : 0,
                         0};
    return digest_hash(words, sizeof words, MODEL_KEYS);
}

uint8_t *key_string_at(struct key *key) {
    return key->data + key->name_len;
}

// The pieces of a raw string that hold the bytes from `from` to `to`, without the end.
static struct digest pieces(const struct key *key, size_t from, size_t to) {
    struct digest sum = {0, 0};
    if (from >= to) return sum;
    for (size_t piece = from / PIECE_BYTES; piece * PIECE_BYTES < to && piece * PIECE_BYTES < key->len; piece++) {
        size_t at = piece * PIECE_BYTES, len = key->len - at < PIECE_BYTES ? key->len - at : PIECE_BYTES;
        digest_add(&sum, digest_hash(key->data + key->name_len + at, len, hash_u64(key->id) ^ hash_u64(piece)));
    }
    return sum;
}

struct digest key_value_digest(const struct key *key) {
    if (key->type == KEY_STRING && key->encoding != ENCODING_INT) return pieces(key, 0, key->len);
    return key->type == KEY_STRING ? (struct digest){0, 0} : key->object->digest;
}

size_t key_memory(const struct key *key) {
    size_t bytes = sizeof *key + key->name_len + sizeof(void *) + 2 * sizeof(struct dense_slot);
    if (key->type == KEY_STRING && key->encoding != ENCODING_INT) bytes += key->len;
    if (key->type != KEY_STRING) bytes += key->object->memory;
    if (key->deadline != NULL) bytes += sizeof *key->deadline + sizeof(void *);
    return bytes;
}

void key_head_changing(struct keys_call *call, struct key *key) {
    struct store *store = store_of_key(call->keys, key);
    digest_sub(&store->digest, key_head_digest(key));
    store->memory -= key_memory(key);
}

static void head_put(struct keys *keys, struct key *key) {
    struct store *store = store_of_key(keys, key);
    digest_add(&store->digest, key_head_digest(key));
    store->memory += key_memory(key);
}

static void tell(struct keys_call *call, const struct keys_event *event) {
    call->apply->emit(call->apply->emit_context, MODEL_KEYS, event);
}

static void tell_changed(struct keys_call *call, const struct key *key) {
    tell(call, &(struct keys_event){.kind = KEYS_EVENT_CHANGED,
                                    .database = database_of(call->keys, key),
                                    .key = key_name(key),
                                    .client = call->client});
}

void key_head_changed(struct keys_call *call, struct key *key) {
    key->changed = call->index;
    head_put(call->keys, key);
    tell_changed(call, key);
}

void key_touched(struct keys_call *call, struct key *key) {
    key_head_changing(call, key);
    key_head_changed(call, key);
}

void element_added(struct keys_call *call, struct key *key, struct digest item, size_t bytes) {
    struct store *store = store_of_key(call->keys, key);
    digest_add(&key->object->digest, item);
    key->object->memory += bytes;
    digest_add(&store->digest, item);
    store->memory += bytes;
}

void element_removed(struct keys_call *call, struct key *key, struct digest item, size_t bytes) {
    struct store *store = store_of_key(call->keys, key);
    digest_sub(&key->object->digest, item);
    key->object->memory -= bytes;
    digest_sub(&store->digest, item);
    store->memory -= bytes;
}

void key_notify(struct keys_call *call, uint32_t notify_class, const char *event, uint32_t database,
                struct bytes name) {
    tell(call, &(struct keys_event){.kind = KEYS_EVENT_NOTIFY,
                                    .database = database,
                                    .key = name,
                                    .notify_class = notify_class,
                                    .notify = event,
                                    .client = call->client});
}

// ---- life

struct key *key_allocate(struct bytes name, size_t capacity) {
    ENSURE(name.len <= UINT32_MAX && capacity <= UINT32_MAX);
    struct key *key = mem_alloc(sizeof *key + name.len + capacity);
    memset(key, 0, sizeof *key);
    key->name_len = (uint32_t)name.len;
    if (name.len > 0) memcpy(key->data, name.data, name.len);
    return key;
}

// Instead of the item that has moved in memory.
static void relocate(struct keys *keys, struct key *key) {
    dense_put(&store_of_key(keys, key)->keys, key->place, key);
    if (key->deadline != NULL) key->deadline->key = key;
}

void key_link(struct keys *keys, struct key *key, uint64_t deadline) {
    struct store *store = store_of_key(keys, key);
    key->place = dense_add(&store->keys, &store->kind, key);
    if (deadline != NO_DEADLINE) {
        key->deadline = mem_zalloc(sizeof *key->deadline);
        key->deadline->key = key;
        heap_set(&store->deadlines, &key->deadline->item, deadline, key->id);
    }
    head_put(keys, key);
    digest_add(&store->digest, key_value_digest(key));
}

static void new_id(struct keys_call *call, struct key *key) {
    struct keys *keys = call->keys;
    if (keys->next_id < call->index) keys->next_id = call->index;
    key->id = keys->next_id++;
}

uint64_t key_deadline_ms(const struct key *key) {
    return key->deadline == NULL ? NO_DEADLINE : key->deadline->item.time;
}

static void deadline_free(struct keys *keys, struct key *key) {
    if (key->deadline == NULL) return;
    heap_remove(&store_of_key(keys, key)->deadlines, &key->deadline->item);
    mem_free(key->deadline);
    key->deadline = NULL;
}

void key_set_deadline(struct keys_call *call, struct key *key, uint64_t log_ms) {
    key_head_changing(call, key);
    if (log_ms == NO_DEADLINE) {
        deadline_free(call->keys, key);
    } else {
        if (key->deadline == NULL) key->deadline = mem_zalloc(sizeof *key->deadline);
        key->deadline->key = key;
        heap_set(&store_of_key(call->keys, key)->deadlines, &key->deadline->item, log_ms, key->id);
    }
    key_head_changed(call, key);
}

static uint64_t deletion_place(const struct keys *keys, uint32_t database, struct bytes name) {
    return hash_bytes(name.data, name.len, keys->hash_seed + database) % DELETIONS;
}

static void remember_deletion(struct keys_call *call, uint32_t database, struct bytes name) {
    struct keys *keys = call->keys;
    uint64_t words[2] = {deletion_place(keys, database, name), 0};
    if (keys->deletions == NULL) keys->deletions = mem_zalloc(DELETIONS * sizeof *keys->deletions);
    uint64_t *index = &keys->deletions[words[0]];
    words[1] = *index;
    if (*index != 0) digest_sub(&keys->deleted, digest_hash(words, sizeof words, MODEL_KEYS));
    words[1] = *index = call->index;
    digest_add(&keys->deleted, digest_hash(words, sizeof words, MODEL_KEYS));
}

bool key_has_object(const struct key *key) {
    return type_ops[key->type] != NULL;
}

void value_free(struct keys *keys, struct key *key) {
    size_t max = FREE_AT_ONCE;
    if (!key_has_object(key) || type_ops[key->type]->free(key->object, key->encoding, &max)) return;
    struct garbage *garbage = mem_zalloc(sizeof *garbage);
    garbage->object = key->object;
    garbage->type = key->type;
    garbage->encoding = key->encoding;
    garbage->next = keys->garbage;
    keys->garbage = garbage;
}

static void unlink_key(struct keys_call *call, struct key *key) {
    struct keys *keys = call->keys;
    struct store *store = store_of_key(keys, key);
    remember_deletion(call, database_of(keys, key), key_name(key));
    key_head_changing(call, key);
    tell_changed(call, key);
    dense_remove(&store->keys, &store->kind, key->place);
}

void key_delete(struct keys_call *call, struct key *key) {
    digest_sub(&store_of_key(call->keys, key)->digest, key_value_digest(key));
    unlink_key(call, key);
    deadline_free(call->keys, key);
    value_free(call->keys, key);
    mem_free(key);
}

static bool past(const struct keys_call *call, const struct key *key) {
    return key->deadline != NULL && key->deadline->item.time <= call->log_time_ms;
}

struct key *key_find(struct keys_call *call, uint32_t database, struct bytes name) {
    struct store *store = store_of(call->keys, database);
    uint32_t place = dense_find(&store->keys, &store->kind, name);
    if (place == DENSE_NONE) return NULL;
    struct key *key = store->keys.items[place];
    if (!past(call, key)) return key;
    if (call->apply == NULL) return NULL;
    key_expire(call, key, database);
    return NULL;
}

void key_expire(struct keys_call *call, struct key *key, uint32_t database) {
    key_notify(call, KEYS_NOTIFY_EXPIRED, "expired", database, key_name(key));
    call->keys->expired++;
    key_delete(call, key);
}

struct key *key_find_typed(struct keys_call *call, struct bytes name, enum key_type type, bool *wrong) {
    struct key *key = key_find(call, call->database, name);
    *wrong = key != NULL && key->type != type;
    if (*wrong) reply_wrong_type(&call->out);
    return key;
}

static void publish(struct keys_call *call, uint32_t database, struct key *key) {
    key->store = call->keys->store_of[database];
    key->changed = call->index;
    key_link(call->keys, key, NO_DEADLINE);
    tell_changed(call, key);
}

void key_publish(struct keys_call *call, uint32_t database, struct key *key) {
    publish(call, database, key);
    key_notify(call, KEYS_NOTIFY_NEW, "new", database, key_name(key));
}

void key_replace(struct keys_call *call, struct key *old, struct key *draft) {
    if (old == NULL) {
        key_publish(call, call->database, draft);
    } else {
        key_delete(call, old);
        publish(call, call->database, draft);
    }
}

static void link_new(struct keys_call *call, struct key *key) {
    new_id(call, key);
    key_publish(call, call->database, key);
}

struct key *key_draft(struct keys_call *call, struct bytes name, enum key_type type, enum key_encoding encoding) {
    struct key *key = key_allocate(name, 0);
    key->type = (uint8_t)type;
    key->encoding = (uint8_t)encoding;
    key->object = type_ops[type]->make(call->keys, key->encoding);
    new_id(call, key);
    return key;
}

void key_discard(struct keys *keys, struct key *draft) {
    value_free(keys, draft);
    mem_free(draft);
}

struct key *key_make(struct keys_call *call, struct bytes name, enum key_type type, enum key_encoding encoding) {
    struct key *key = key_draft(call, name, type, encoding);
    key_publish(call, call->database, key);
    return key;
}

void key_object_changing(struct keys_call *call, struct key *key) {
    digest_sub(&store_of_key(call->keys, key)->digest, key->object->digest);
    key_head_changing(call, key);
}

void key_object_changed(struct keys_call *call, struct key *key, bool changed) {
    digest_add(&store_of_key(call->keys, key)->digest, key->object->digest);
    if (changed)
        key_head_changed(call, key);
    else
        head_put(call->keys, key);
}

// ---- strings

struct bytes key_string(const struct key *key, char number[24]) {
    if (key->encoding == ENCODING_INT) return bytes_of(number, number_write(number, key->number));
    return bytes_of(key->data + key->name_len, key->len);
}

// Takes the place of `old` in its database, with its deadline and id.
static struct key *replace(struct keys_call *call, struct key *old, struct key *key) {
    key->id = old->id;
    key->deadline = old->deadline;
    key->place = old->place;
    key->store = old->store;
    value_free(call->keys, old);
    mem_free(old);
    relocate(call->keys, key);
    return key;
}

struct key *key_set_string(struct keys_call *call, struct key *key, struct bytes name, struct bytes value, bool keep) {
    int64_t number = 0;
    bool is_number = number_read(value, &number);
    size_t room = is_number ? 0 : value.len;
    struct key *fresh = key;
    bool fits = key != NULL && key->type == KEY_STRING && key->encoding != ENCODING_INT && !is_number &&
                key->capacity >= room && key->capacity / 2 <= room;
    struct digest old = {0, 0};
    if (key != NULL) {
        old = key_value_digest(key);
        digest_sub(&store_of_key(call->keys, key)->digest, old);
        key_head_changing(call, key);
    }
    if (!fits) {
        fresh = key_allocate(name, room);
        fresh->type = KEY_STRING;
        fresh->capacity = (uint32_t)room;
    }
    if (is_number) {
        fresh->encoding = ENCODING_INT;
        fresh->number = number;
    } else {
        fresh->encoding = value.len <= EMBSTR_BYTES_MAX ? ENCODING_EMBSTR : ENCODING_RAW;
        fresh->len = (uint32_t)value.len;
        if (value.len > 0) memmove(key_string_at(fresh), value.data, value.len);
    }
    if (key == NULL) {
        link_new(call, fresh);
        return fresh;
    }
    if (!fits) fresh = replace(call, key, fresh);
    if (!keep) {
        deadline_free(call->keys, fresh);
        new_id(call, fresh);
    }
    digest_add(&store_of_key(call->keys, fresh)->digest, key_value_digest(fresh));
    key_head_changed(call, fresh);
    return fresh;
}

// A string that grows changes its last piece too, and what stands between its end and the new bytes.
static void widen(struct string_change *change, size_t had, size_t len) {
    if (len <= had) return;
    if (change->from > had) change->from = had;
    change->from -= change->from % PIECE_BYTES;
    change->to = len;
}

struct key *key_string_changing(struct keys_call *call, struct key *key, struct string_change *change, size_t len) {
    key_head_changing(call, key);
    if (key->encoding == ENCODING_INT) {
        char number[24];
        struct bytes text = key_string(key, number);
        size_t room = len > text.len ? len : text.len;
        struct key *fresh = key_allocate(key_name(key), room);
        fresh->type = KEY_STRING;
        fresh->capacity = (uint32_t)room;
        fresh->len = (uint32_t)text.len;
        memcpy(key_string_at(fresh), text.data, text.len);
        key = replace(call, key, fresh);
        *change = (struct string_change){0, room}; // a number has no pieces
    } else {
        widen(change, key->len, len);
        digest_sub(&store_of_key(call->keys, key)->digest, pieces(key, change->from, change->to));
    }
    key->encoding = ENCODING_RAW;
    if (len > key->capacity) {
        size_t room = len + (len < GROWTH_BYTES_MAX ? len : GROWTH_BYTES_MAX);
        key = mem_realloc(key, sizeof *key + key->name_len + room);
        key->capacity = (uint32_t)room;
        relocate(call->keys, key);
    }
    if (len > key->len) {
        memset(key_string_at(key) + key->len, 0, len - key->len);
        key->len = (uint32_t)len;
    }
    return key;
}

void key_string_changed(struct keys_call *call, struct key *key, const struct string_change *change) {
    digest_add(&store_of_key(call->keys, key)->digest, pieces(key, change->from, change->to));
    key_head_changed(call, key);
}

// ---- whole databases, other names

struct key *key_rename(struct keys_call *call, struct key *key, uint32_t database, struct bytes name) {
    struct keys *keys = call->keys;
    size_t room = key->type == KEY_STRING && key->encoding != ENCODING_INT ? key->len : 0;
    struct key *fresh = key_allocate(name, room);
    uint64_t deadline = key_deadline_ms(key);
    digest_sub(&store_of_key(keys, key)->digest, key_value_digest(key));
    unlink_key(call, key);
    deadline_free(keys, key);
    fresh->id = key->id;
    fresh->changed = call->index;
    fresh->object = key->object; // or the number, or the length
    if (room > 0) {
        fresh->capacity = (uint32_t)room;
        memcpy(key_string_at(fresh), key_string_at(key), room);
    }
    fresh->type = key->type;
    fresh->encoding = key->encoding;
    fresh->store = keys->store_of[database];
    mem_free(key);
    key_link(keys, fresh, deadline);
    tell_changed(call, fresh);
    key_notify(call, KEYS_NOTIFY_NEW, "new", database, name);
    return fresh;
}

// Elements of an object pass as a snapshot would take them, and get digests under the new id.
static void copy_elements(struct keys *keys, const struct key *from, struct key *to) {
    const struct type_ops *ops = type_ops[from->type];
    struct writer bytes = {0};
    struct element element = {0};
    for (uint64_t i = 0, count = ops->count(from); i < count; i++) {
        ops->element(from, element.next, &element);
        writer_clear(&bytes);
        write_span(&bytes, bytes_of(element.head, element.head_len));
        write_span(&bytes, element.parts[0]);
        write_span(&bytes, element.parts[1]);
        ENSURE(ops->load(keys, to, bytes_of(bytes.data, bytes.len)));
    }
    writer_free(&bytes);
}

void key_copy(struct keys_call *call, struct key *key, uint32_t database, struct bytes name) {
    uint64_t deadline = key_deadline_ms(key);
    struct key *copy;
    if (key_has_object(key)) {
        copy = key_draft(call, name, key->type, key->encoding);
        copy_elements(call->keys, key, copy);
    } else {
        size_t room = key->encoding == ENCODING_INT ? 0 : key->len;
        copy = key_allocate(name, room);
        copy->type = key->type;
        copy->encoding = key->encoding;
        new_id(call, copy);
        if (key->encoding == ENCODING_INT)
            copy->number = key->number;
        else
            copy->len = copy->capacity = key->len;
        if (room > 0) memcpy(key_string_at(copy), key_string_at(key), room);
    }
    key_publish(call, database, copy);
    if (deadline != NO_DEADLINE) key_set_deadline(call, copy, deadline);
}

void database_flush(struct keys_call *call, uint32_t database) {
    struct keys *keys = call->keys;
    struct store *store = store_of(keys, database);
    keys->changed_whole[database] = call->index;
    if (store->keys.count > 0) {
        struct garbage *garbage = mem_zalloc(sizeof *garbage);
        garbage->keys = store->keys;
        garbage->next = keys->garbage;
        keys->garbage = garbage;
        store->keys = (struct dense){0};
        heap_free(&store->deadlines); // its items go with their keys
        heap_init(&store->deadlines);
        store->digest = (struct digest){0, 0};
        store->memory = 0;
    }
    tell(call, &(struct keys_event){.kind = KEYS_EVENT_FLUSHED, .database = database, .client = call->client});
}

void database_swapped(struct keys_call *call, uint32_t database) {
    call->keys->changed_whole[database] = call->index;
    tell(call, &(struct keys_event){.kind = KEYS_EVENT_FLUSHED, .database = database, .client = call->client});
}

static void key_free(struct keys *keys, struct key *key) {
    mem_free(key->deadline);
    value_free(keys, key);
    mem_free(key);
}

// A key's big object comes to the front of the list, and is freed before its siblings.
void keys_collect(struct keys *keys, size_t max) {
    struct garbage *garbage;
    while ((garbage = keys->garbage) != NULL && max > 0) {
        if (garbage->keys.count > 0) {
            max--;
            key_free(keys, garbage->keys.items[--garbage->keys.count]);
            continue;
        }
        if (garbage->object != NULL && !type_ops[garbage->type]->free(garbage->object, garbage->encoding, &max)) return;
        keys->garbage = garbage->next;
        dense_free(&garbage->keys);
        mem_free(garbage);
    }
}

uint64_t watch_index(struct keys_call *call, uint32_t database, struct bytes name) {
    struct keys *keys = call->keys;
    struct key *key = key_find(call, database, name);
    uint64_t index = keys->changed_whole[database], own = 0;
    if (key != NULL)
        own = key->changed;
    else if (keys->deletions != NULL)
        own = keys->deletions[deletion_place(keys, database, name)];
    return own > index ? own : index;
}

static struct bytes item_name(const void *item) {
    return key_name(item);
}

static void item_moved(void *context, void *item, uint32_t place) {
    struct keys *keys = context;
    struct key *key = item;
    struct store *store = store_of_key(keys, key);
    digest_sub(&store->digest, key_head_digest(key));
    key->place = place;
    digest_add(&store->digest, key_head_digest(key));
}

void stores_seed(struct keys *keys, uint64_t seed) {
    keys->hash_seed = seed;
    for (uint8_t i = 0; i < KEYS_DATABASES; i++) keys->stores[i].kind.seed = seed;
}

void stores_init(struct keys *keys) {
    for (uint8_t i = 0; i < KEYS_DATABASES; i++) {
        keys->store_of[i] = i;
        keys->stores[i].kind = (struct dense_kind){.name = item_name, .moved = item_moved, .context = keys};
        heap_init(&keys->stores[i].deadlines);
    }
}

void stores_free(struct keys *keys) {
    for (uint8_t i = 0; i < KEYS_DATABASES; i++) {
        struct store *store = &keys->stores[i];
        while (store->keys.count > 0) key_free(keys, store->keys.items[--store->keys.count]);
        dense_free(&store->keys);
        heap_free(&store->deadlines);
    }
    keys_collect(keys, SIZE_MAX);
}
