// Keys of any type, their deadlines, and whole databases.
#include "base/assert.h"
#include "model/keys/keys_internal.h"
#include <stdio.h>
#include <string.h>

// Unix times are kept within bounds in which neither they nor log times can wrap.
#define UNIX_MS_MAX (INT64_MAX / 4)

bool unix_time(const struct keys_call *call, int64_t value, bool seconds, bool absolute, int64_t *unix_ms) {
    if (seconds && __builtin_mul_overflow(value, (int64_t)1000, &value)) return false;
    if (!absolute && __builtin_add_overflow(value, call->unix_ms, &value)) return false;
    if (value > UNIX_MS_MAX) value = UNIX_MS_MAX;
    if (value < -UNIX_MS_MAX) value = -UNIX_MS_MAX;
    *unix_ms = value;
    return true;
}

static size_t delete_all(struct keys_call *call, size_t from) {
    size_t deleted = 0;
    for (size_t i = from; i < call->argc; i++) {
        struct key *key = key_find(call, call->database, call->argv[i]);
        if (key == NULL) continue;
        key_delete(call, key);
        key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, call->argv[i]);
        deleted++;
    }
    return deleted;
}

void generic_del(struct keys_call *call) {
    reply_number(&call->out, (int64_t)delete_all(call, 1));
}

void generic_exists(struct keys_call *call) {
    int64_t found = 0;
    for (size_t i = 1; i < call->argc; i++) found += key_find(call, call->database, call->argv[i]) != NULL;
    reply_number(&call->out, found);
}

void generic_type(struct keys_call *call) {
    const struct key *key = key_find(call, call->database, call->argv[1]);
    reply_simple(&call->out, key == NULL ? "none" : key_type_names[key->type]);
}

// ---- deadlines

enum { TTL_MS, TTL_SECONDS, UNIX_MS, UNIX_SECONDS };

static void tell_deadline(struct keys_call *call, int form) {
    const struct key *key = key_find(call, call->database, call->argv[1]);
    if (key == NULL || key->deadline == NULL) {
        reply_number(&call->out, key == NULL ? -2 : -1);
        return;
    }
    int64_t at = unix_of_log(call, key_deadline_ms(key)), left = at - call->unix_ms;
    if (left < 0) left = 0;
    if (form == TTL_MS || form == TTL_SECONDS)
        reply_number(&call->out, form == TTL_MS ? left : (left + 500) / 1000);
    else
        reply_number(&call->out, form == UNIX_MS ? at : (at + 500) / 1000);
}

void generic_ttl(struct keys_call *call) {
    tell_deadline(call, TTL_SECONDS);
}
void generic_pttl(struct keys_call *call) {
    tell_deadline(call, TTL_MS);
}
void generic_expiretime(struct keys_call *call) {
    tell_deadline(call, UNIX_SECONDS);
}
void generic_pexpiretime(struct keys_call *call) {
    tell_deadline(call, UNIX_MS);
}

enum { ONLY_WITHOUT = 1, ONLY_WITH = 2, ONLY_LATER = 4, ONLY_EARLIER = 8 };

static bool expire_conditions(struct keys_call *call, unsigned *out) {
    static const char *const words[] = {"nx", "xx", "gt", "lt"};
    *out = 0;
    for (size_t i = 3; i < call->argc; i++) {
        unsigned bit = 0;
        for (unsigned w = 0; w < 4; w++)
            if (text_is(call->argv[i], words[w])) bit = 1u << w;
        if (bit == 0) {
            reply_error(&call->out, "ERR Unsupported option %.*s",
                        (int)(call->argv[i].len > 128 ? 128 : call->argv[i].len), (const char *)call->argv[i].data);
            return false;
        }
        *out |= bit;
    }
    if ((*out & ONLY_WITHOUT) != 0 && *out != ONLY_WITHOUT) {
        reply_error(&call->out, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*out & ONLY_LATER) != 0 && (*out & ONLY_EARLIER) != 0) {
        reply_error(&call->out, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

// Without a deadline counts as one that is infinitely late.
static bool expire_allowed(const struct key *key, unsigned only, uint64_t deadline) {
    uint64_t had = key_deadline_ms(key);
    if ((only & ONLY_WITHOUT) != 0 && had != NO_DEADLINE) return false;
    if ((only & ONLY_WITH) != 0 && had == NO_DEADLINE) return false;
    if ((only & ONLY_LATER) != 0 && (had == NO_DEADLINE || deadline <= had)) return false;
    return (only & ONLY_EARLIER) == 0 || had == NO_DEADLINE || deadline < had;
}

static void expire(struct keys_call *call, bool seconds, bool absolute) {
    unsigned only;
    int64_t value, unix_ms;
    if (!expire_conditions(call, &only) || !argument_number(call, call->argv[2], &value)) return;
    if (!unix_time(call, value, seconds, absolute, &unix_ms)) {
        reply_error(&call->out, "ERR invalid expire time in '%s' command", call->row->name);
        return;
    }
    struct key *key = key_find(call, call->database, call->argv[1]);
    uint64_t deadline = log_of_unix(call, unix_ms);
    if (key == NULL || !expire_allowed(key, only, deadline)) {
        reply_number(&call->out, 0);
        return;
    }
    if (unix_ms <= call->unix_ms) {
        key_delete(call, key);
        key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, call->argv[1]);
    } else {
        key_set_deadline(call, key, deadline);
        key_notify(call, KEYS_NOTIFY_GENERIC, "expire", call->database, call->argv[1]);
    }
    reply_number(&call->out, 1);
}

void generic_expire(struct keys_call *call) {
    expire(call, true, false);
}
void generic_pexpire(struct keys_call *call) {
    expire(call, false, false);
}
void generic_expireat(struct keys_call *call) {
    expire(call, true, true);
}
void generic_pexpireat(struct keys_call *call) {
    expire(call, false, true);
}

void generic_persist(struct keys_call *call) {
    struct key *key = key_find(call, call->database, call->argv[1]);
    bool had = key != NULL && key->deadline != NULL;
    if (had) {
        key_set_deadline(call, key, NO_DEADLINE);
        key_notify(call, KEYS_NOTIFY_GENERIC, "persist", call->database, call->argv[1]);
    }
    reply_number(&call->out, had);
}

// ---- other names, other databases

// 1: done; 0: the target is there and `only_new`; -1: the error is replied.
static int rename_key(struct keys_call *call, bool only_new) {
    struct key *key = key_find(call, call->database, call->argv[1]);
    if (key == NULL) {
        reply_error(&call->out, "ERR no such key");
        return -1;
    }
    if (bytes_equal(call->argv[1], call->argv[2])) return !only_new;
    struct key *target = key_find(call, call->database, call->argv[2]);
    if (target != NULL && only_new) return 0;
    if (target != NULL) key_delete(call, target);
    key_rename(call, key_find(call, call->database, call->argv[1]), call->database, call->argv[2]);
    key_notify(call, KEYS_NOTIFY_GENERIC, "rename_from", call->database, call->argv[1]);
    key_notify(call, KEYS_NOTIFY_GENERIC, "rename_to", call->database, call->argv[2]);
    return 1;
}

void generic_rename(struct keys_call *call) {
    if (rename_key(call, false) >= 0) reply_ok(&call->out);
}

void generic_renamenx(struct keys_call *call) {
    int done = rename_key(call, true);
    if (done >= 0) reply_number(&call->out, done);
}

static bool read_database(struct keys_call *call, struct bytes text, uint32_t *out) {
    int64_t value;
    if (!argument_number(call, text, &value)) return false;
    if (value < 0 || value >= KEYS_DATABASES) {
        reply_error(&call->out, "ERR DB index is out of range");
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

void generic_move(struct keys_call *call) {
    uint32_t to;
    if (!read_database(call, call->argv[2], &to)) return;
    if (to == call->database) {
        reply_error(&call->out, "ERR source and destination objects are the same");
        return;
    }
    struct key *key = key_find(call, call->database, call->argv[1]);
    bool can = key != NULL && key_find(call, to, call->argv[1]) == NULL;
    if (can) {
        key_rename(call, key, to, call->argv[1]);
        key_notify(call, KEYS_NOTIFY_GENERIC, "move_from", call->database, call->argv[1]);
        key_notify(call, KEYS_NOTIFY_GENERIC, "move_to", to, call->argv[1]);
    }
    reply_number(&call->out, can);
}

// COPY source target [DB database] [REPLACE]
static bool copy_options(struct keys_call *call, uint32_t *to, bool *over) {
    *to = call->database;
    *over = false;
    for (size_t i = 3; i < call->argc; i++) {
        if (text_is(call->argv[i], "replace")) {
            *over = true;
        } else if (text_is(call->argv[i], "db") && i + 1 < call->argc) {
            if (!read_database(call, call->argv[++i], to)) return false;
        } else {
            reply_syntax(&call->out);
            return false;
        }
    }
    if (*to != call->database || !bytes_equal(call->argv[1], call->argv[2])) return true;
    reply_error(&call->out, "ERR source and destination objects are the same");
    return false;
}

void generic_copy(struct keys_call *call) {
    uint32_t to;
    bool over;
    if (!copy_options(call, &to, &over)) return;
    struct key *key = key_find(call, call->database, call->argv[1]);
    struct key *target = key == NULL ? NULL : key_find(call, to, call->argv[2]);
    bool can = key != NULL && (target == NULL || over);
    if (can) {
        if (target != NULL) key_delete(call, target);
        key_copy(call, key, to, call->argv[2]);
        key_notify(call, KEYS_NOTIFY_GENERIC, "copy_to", to, call->argv[2]);
    }
    reply_number(&call->out, can);
}

void generic_swapdb(struct keys_call *call) {
    int64_t a, b;
    struct keys *keys = call->keys;
    if (!number_read(call->argv[1], &a)) {
        reply_error(&call->out, "ERR invalid first DB index");
        return;
    }
    if (!number_read(call->argv[2], &b)) {
        reply_error(&call->out, "ERR invalid second DB index");
        return;
    }
    if (a < 0 || b < 0 || a >= KEYS_DATABASES || b >= KEYS_DATABASES) {
        reply_error(&call->out, "ERR DB index is out of range");
        return;
    }
    uint8_t store = keys->store_of[a];
    keys->store_of[a] = keys->store_of[b];
    keys->store_of[b] = store;
    database_swapped(call, (uint32_t)a);
    database_swapped(call, (uint32_t)b);
    reply_ok(&call->out);
}

// false: the error is replied.
static bool flush_mode(struct keys_call *call) {
    if (call->argc == 1) return true;
    if (call->argc == 2 && (text_is(call->argv[1], "sync") || text_is(call->argv[1], "async"))) return true;
    reply_syntax(&call->out);
    return false;
}

void generic_flushdb(struct keys_call *call) {
    if (!flush_mode(call)) return;
    database_flush(call, call->database);
    reply_ok(&call->out);
}

void generic_flushall(struct keys_call *call) {
    if (!flush_mode(call)) return;
    for (uint32_t i = 0; i < KEYS_DATABASES; i++) database_flush(call, i);
    reply_ok(&call->out);
}

void generic_dbsize(struct keys_call *call) {
    reply_number(&call->out, store_of(call->keys, call->database)->keys.count);
}

// ---- looking

void generic_randomkey(struct keys_call *call) {
    const struct dense *keys = &store_of(call->keys, call->database)->keys;
    for (uint32_t tries = 0; tries < keys->count && tries < 100; tries++) {
        const struct key *key = keys->items[(call->seed + tries) % keys->count];
        if (key_deadline_ms(key) <= call->applied_ms) continue;
        reply_bulk(&call->out, key_name(key));
        return;
    }
    reply_null(&call->out);
}

void generic_keys(struct keys_call *call) {
    const struct dense *keys = &store_of(call->keys, call->database)->keys;
    size_t begun = reply_begin(&call->out), count = 0;
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct key *key = keys->items[i];
        if (key_deadline_ms(key) <= call->applied_ms || !glob_match(call->argv[1], key_name(key))) continue;
        reply_bulk(&call->out, key_name(key));
        count++;
    }
    reply_end(&call->out, begun, '*', count);
}

// As strtoul: nothing is 0, a sign may stand ahead.
bool scan_cursor(struct keys_call *call, struct bytes text, struct scan *scan) {
    uint64_t value = 0;
    bool sign = text.len > 1 && (text.data[0] == '-' || text.data[0] == '+'), good = true;
    for (size_t i = sign; good && i < text.len; i++) {
        uint64_t digit = (uint64_t)text.data[i] - '0';
        good =
            digit <= 9 && !__builtin_mul_overflow(value, 10u, &value) && !__builtin_add_overflow(value, digit, &value);
    }
    if (sign && text.data[0] == '-') value = 0 - value;
    *scan = (struct scan){.cursor = value, .count = 10, .type = -1};
    if (!good) reply_error(&call->out, "ERR invalid cursor");
    return good;
}

static bool scan_option(struct keys_call *call, size_t at, struct scan *scan) {
    struct bytes word = call->argv[at], value = call->argv[at + 1];
    if (text_is(word, "match")) {
        scan->match = value;
        return true;
    }
    if (text_is(word, "count")) {
        int64_t count;
        if (!argument_number(call, value, &count)) return false;
        scan->count = (uint64_t)count;
        if (count >= 1) return true;
    } else if (text_is(word, "type") && call->row->first == 0) { // SCAN only
        scan->type = KEY_TYPE_COUNT;                             // a name that is none matches nothing
        for (int i = 0; i < KEY_TYPE_COUNT; i++)
            if (text_is(value, key_type_names[i])) scan->type = i;
        return true;
    }
    reply_syntax(&call->out);
    return false;
}

bool scan_options(struct keys_call *call, size_t first, struct scan *scan) {
    for (size_t at = first; at < call->argc; at += 2) {
        if (at + 1 >= call->argc) {
            reply_syntax(&call->out);
            return false;
        }
        if (!scan_option(call, at, scan)) return false;
    }
    return true;
}

uint64_t scan_begin(struct keys_call *call, const struct scan *scan, uint64_t count, uint64_t *end) {
    uint64_t at = scan->cursor == 0 || scan->cursor > count ? count : scan->cursor;
    *end = scan->count >= at ? 0 : at - scan->count;
    char number[24];
    reply_array(&call->out, 2);
    reply_bulk(&call->out, bytes_of(number, number_write(number, (int64_t)*end)));
    return at;
}

bool scan_matches(const struct scan *scan, struct bytes name) {
    return scan->match.data == NULL || glob_match(scan->match, name);
}

void scan_nothing(struct keys_call *call) {
    reply_array(&call->out, 2);
    reply_text(&call->out, "0");
    reply_array(&call->out, 0);
}

void generic_scan(struct keys_call *call) {
    struct scan scan;
    const struct dense *keys = &store_of(call->keys, call->database)->keys;
    if (!scan_cursor(call, call->argv[1], &scan) || !scan_options(call, 2, &scan)) return;
    uint64_t end, at = scan_begin(call, &scan, keys->count, &end);
    size_t begun = reply_begin(&call->out), count = 0;
    for (; at > end; at--) {
        const struct key *key = keys->items[at - 1];
        if (key_deadline_ms(key) <= call->applied_ms || (scan.type >= 0 && key->type != scan.type)) continue;
        if (!scan_matches(&scan, key_name(key))) continue;
        reply_bulk(&call->out, key_name(key));
        count++;
    }
    reply_end(&call->out, begun, '*', count);
}

// ---- OBJECT

static struct key *object_key(struct keys_call *call) {
    struct key *key = key_find(call, call->database, call->argv[2]);
    if (key == NULL) reply_null(&call->out);
    return key;
}

void object_encoding(struct keys_call *call) {
    const struct key *key = object_key(call);
    if (key != NULL) reply_text(&call->out, key_encoding_names[key->encoding]);
}

void object_refcount(struct keys_call *call) {
    if (object_key(call) != NULL) reply_number(&call->out, 1);
}

// The fencing token: grows with each creation of a key, and every SET without an option that keeps the key is one.
void object_token(struct keys_call *call) {
    const struct key *key = object_key(call);
    if (key != NULL) reply_number(&call->out, (int64_t)key->id);
}
