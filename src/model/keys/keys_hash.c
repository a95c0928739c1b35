// Hashes. Their forms: keys_elements.h.
#include "model/keys/keys_elements.h"

static struct key *find_hash(struct keys_call *call, bool *wrong) {
    return key_find_typed(call, call->argv[1], KEY_HASH, wrong);
}

// The hash, made if it is absent, ready to be changed; NULL: the error is replied.
static struct key *open_hash(struct keys_call *call) {
    bool wrong;
    struct key *key = find_hash(call, &wrong);
    if (wrong) return NULL;
    if (key == NULL) key = key_make(call, call->argv[1], KEY_HASH, ENCODING_LISTPACK);
    elements_begin(call, key);
    return key;
}

static void close_hash(struct keys_call *call, struct key *key, const char *event) {
    elements_end(call, key, true);
    key_notify(call, KEYS_NOTIFY_HASH, event, call->database, call->argv[1]);
}

static bool too_long(struct keys_call *call, size_t from) {
    for (size_t i = from; i < call->argc; i++)
        if (value_too_long(call, call->argv[i].len)) return true;
    return false;
}

// One long argument makes a table of it, even where its place is taken by a short one in the end.
static void widen_for(struct keys_call *call, struct key *key) {
    for (size_t i = 2; i < call->argc; i++)
        if (call->argv[i].len > HASH_PACK_BYTES_MAX) elements_widen(call->keys, key);
}

// false: the error is replied.
static bool set_fields(struct keys_call *call, int64_t *fresh) {
    *fresh = 0;
    if (call->argc % 2 == 1) {
        reply_error(&call->out, "ERR wrong number of arguments for '%s' command", call->row->name);
        return false;
    }
    if (too_long(call, 2)) return false;
    struct key *key = open_hash(call);
    if (key == NULL) return false;
    widen_for(call, key);
    for (size_t i = 2; i < call->argc; i += 2)
        *fresh += elements_put(call->keys, key, call->argv[i], call->argv[i + 1]);
    close_hash(call, key, "hset");
    return true;
}

void hash_set(struct keys_call *call) {
    int64_t fresh;
    if (set_fields(call, &fresh)) reply_number(&call->out, fresh);
}

void hash_mset(struct keys_call *call) {
    int64_t fresh;
    if (set_fields(call, &fresh)) reply_ok(&call->out);
}

void hash_setnx(struct keys_call *call) {
    bool wrong;
    struct item item;
    struct key *key = find_hash(call, &wrong);
    if (wrong || too_long(call, 2)) return;
    bool absent = key == NULL || !elements_find(call->keys, key, call->argv[2], &item);
    if (absent) {
        key = open_hash(call);
        elements_put(call->keys, key, call->argv[2], call->argv[3]);
        close_hash(call, key, "hset");
    }
    reply_number(&call->out, absent);
}

// ---- one field

static void reply_field(struct keys_call *call, const struct key *key, struct bytes name) {
    struct item item;
    if (key != NULL && elements_find(call->keys, key, name, &item))
        reply_bulk(&call->out, item.value);
    else
        reply_null(&call->out);
}

void hash_get(struct keys_call *call) {
    bool wrong;
    struct key *key = find_hash(call, &wrong);
    if (!wrong) reply_field(call, key, call->argv[2]);
}

void hash_mget(struct keys_call *call) {
    bool wrong;
    struct key *key = find_hash(call, &wrong);
    if (wrong) return;
    reply_array(&call->out, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++) reply_field(call, key, call->argv[i]);
}

void hash_exists(struct keys_call *call) {
    bool wrong;
    struct item item;
    struct key *key = find_hash(call, &wrong);
    if (!wrong) reply_number(&call->out, key != NULL && elements_find(call->keys, key, call->argv[2], &item));
}

void hash_strlen(struct keys_call *call) {
    bool wrong;
    struct item item;
    struct key *key = find_hash(call, &wrong);
    if (wrong) return;
    bool found = key != NULL && elements_find(call->keys, key, call->argv[2], &item);
    reply_number(&call->out, found ? (int64_t)item.value.len : 0);
}

void hash_len(struct keys_call *call) {
    bool wrong;
    struct key *key = find_hash(call, &wrong);
    if (!wrong) reply_number(&call->out, key == NULL ? 0 : elements_count(key));
}

void hash_incrby(struct keys_call *call) {
    bool wrong;
    struct item item;
    int64_t by, value = 0;
    if (!argument_number(call, call->argv[3], &by)) return;
    struct key *key = find_hash(call, &wrong);
    if (wrong || too_long(call, 2)) return;
    if (key != NULL && elements_find(call->keys, key, call->argv[2], &item) && !number_read(item.value, &value)) {
        reply_error(&call->out, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        reply_error(&call->out, "ERR increment or decrement would overflow");
        return;
    }
    char number[24];
    key = open_hash(call);
    elements_put(call->keys, key, call->argv[2], bytes_of(number, number_write(number, value)));
    close_hash(call, key, "hincrby");
    reply_number(&call->out, value);
}

void hash_del(struct keys_call *call) {
    bool wrong;
    int64_t deleted = 0;
    struct item item;
    struct key *key = find_hash(call, &wrong);
    if (wrong) return;
    for (size_t i = 2; key != NULL && i < call->argc && (deleted == 0 || elements_count(key) > 0); i++) {
        if (!elements_find(call->keys, key, call->argv[i], &item)) continue;
        if (deleted++ == 0) elements_begin(call, key);
        elements_take(call->keys, key, &item);
    }
    if (deleted > 0) {
        key_notify(call, KEYS_NOTIFY_HASH, "hdel", call->database, call->argv[1]);
        elements_end(call, key, true);
    }
    reply_number(&call->out, deleted);
}

// ---- all fields

enum { NAMES = 1, VALUES = 2 };

static void reply_item(struct keys_call *call, const struct item *item, unsigned what) {
    if ((what & NAMES) != 0) reply_bulk(&call->out, item->name);
    if ((what & VALUES) != 0) reply_bulk(&call->out, item->value);
}

static void get_all(struct keys_call *call, unsigned what) {
    bool wrong;
    struct item item;
    struct walk walk = {0};
    struct key *key = find_hash(call, &wrong);
    if (wrong) return;
    uint32_t count = key == NULL ? 0 : elements_count(key);
    if (what == (NAMES | VALUES))
        reply_map(&call->out, count);
    else
        reply_array(&call->out, count);
    while (key != NULL && elements_next(key, &walk, &item)) reply_item(call, &item, what);
}

void hash_getall(struct keys_call *call) {
    get_all(call, NAMES | VALUES);
}
void hash_keys(struct keys_call *call) {
    get_all(call, NAMES);
}
void hash_vals(struct keys_call *call) {
    get_all(call, VALUES);
}

// ---- some fields

void hash_randfield(struct keys_call *call) {
    elements_random(call, KEY_HASH, true);
}

void hash_scan(struct keys_call *call) {
    elements_scan(call, KEY_HASH);
}
