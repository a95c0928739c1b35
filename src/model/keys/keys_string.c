// Strings. Counters and short texts stand in the key's own allocation (keys_db.c).
#include "base/alloc.h"
#include "model/keys/keys_internal.h"
#include <string.h>

static struct key *find_string(struct keys_call *call, struct bytes name, bool *wrong) {
    return key_find_typed(call, name, KEY_STRING, wrong);
}

static void reply_value(struct keys_call *call, const struct key *key) {
    char number[24];
    if (key == NULL)
        reply_null(&call->out);
    else
        reply_bulk(&call->out, key_string(key, number));
}

bool value_too_long(struct keys_call *call, uint64_t len) {
    if (len <= KEYS_VALUE_BYTES_MAX) return false;
    reply_error(&call->out, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return true;
}

void string_get(struct keys_call *call) {
    bool wrong;
    struct key *key = find_string(call, call->argv[1], &wrong);
    if (!wrong) reply_value(call, key);
}

// ---- SET and what it has for options

enum { IF_ABSENT = 1, IF_PRESENT = 2, GIVE_OLD = 4, KEEP_TTL = 8, HAS_TIME = 16, TAKE_TTL = 32, IF_EQUAL = 64 };
struct options {
    unsigned given;
    bool seconds, absolute;
    struct bytes time, equal;
    uint64_t deadline;
};

// One word of options; `next`: what follows it, NULL at the end. Gives how many arguments it took, 0: no such word
// here.
static size_t option(struct options *o, struct bytes word, const struct bytes *next, unsigned allowed) {
    static const struct {
        const char *word;
        unsigned sets, excludes;
        bool seconds, absolute;
    } words[] = {
        {"nx", IF_ABSENT, IF_PRESENT | IF_EQUAL, false, false},
        {"xx", IF_PRESENT, IF_ABSENT | IF_EQUAL, false, false},
        {"get", GIVE_OLD, 0, false, false},
        {"keepttl", KEEP_TTL, HAS_TIME, false, false},
        {"persist", TAKE_TTL, HAS_TIME, false, false},
        {"ifeq", IF_EQUAL, IF_ABSENT | IF_PRESENT | IF_EQUAL, false, false},
        {"ex", HAS_TIME, HAS_TIME | KEEP_TTL | TAKE_TTL, true, false},
        {"px", HAS_TIME, HAS_TIME | KEEP_TTL | TAKE_TTL, false, false},
        {"exat", HAS_TIME, HAS_TIME | KEEP_TTL | TAKE_TTL, true, true},
        {"pxat", HAS_TIME, HAS_TIME | KEEP_TTL | TAKE_TTL, false, true},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!text_is(word, words[i].word)) continue;
        if ((words[i].sets & allowed) == 0 || (o->given & words[i].excludes) != 0) return 0;
        bool takes = (words[i].sets & (HAS_TIME | IF_EQUAL)) != 0;
        if (takes && next == NULL) return 0;
        o->given |= words[i].sets;
        if (words[i].sets == HAS_TIME) {
            o->time = *next;
            o->seconds = words[i].seconds;
            o->absolute = words[i].absolute;
        }
        if (words[i].sets == IF_EQUAL) o->equal = *next;
        return takes ? 2 : 1;
    }
    return 0;
}

static bool read_options(struct keys_call *call, size_t at, unsigned allowed, struct options *o) {
    *o = (struct options){0};
    while (at < call->argc) {
        size_t took = option(o, call->argv[at], at + 1 < call->argc ? &call->argv[at + 1] : NULL, allowed);
        if (took == 0) {
            reply_syntax(&call->out);
            return false;
        }
        at += took;
    }
    return true;
}

// false: the error is replied.
static bool read_time(struct keys_call *call, struct options *o) {
    int64_t value, unix_ms;
    if ((o->given & HAS_TIME) == 0) return true;
    if (!argument_number(call, o->time, &value)) return false;
    if (value <= 0 || !unix_time(call, value, o->seconds, o->absolute, &unix_ms)) {
        reply_error(&call->out, "ERR invalid expire time in '%s' command", call->row->name);
        return false;
    }
    o->deadline = log_of_unix(call, unix_ms);
    return true;
}

// A deadline that has passed already (EXAT) takes the key with it, now.
static void set_deadline(struct keys_call *call, struct key *key, uint64_t deadline) {
    if (deadline <= call->log_time_ms) {
        struct bytes name = call->argv[1];
        key_delete(call, key);
        key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, name);
        return;
    }
    key_set_deadline(call, key, deadline);
    key_notify(call, KEYS_NOTIFY_GENERIC, "expire", call->database, key_name(key));
}

static void set_value(struct keys_call *call, struct key *key, struct bytes value, const struct options *o) {
    uint64_t deadline = key != NULL && (o->given & KEEP_TTL) != 0 ? key_deadline_ms(key) : NO_DEADLINE;
    key = key_set_string(call, key, call->argv[1], value, false);
    if (deadline != NO_DEADLINE) key_set_deadline(call, key, deadline);
    key_notify(call, KEYS_NOTIFY_STRING, "set", call->database, key_name(key));
    if ((o->given & HAS_TIME) != 0) set_deadline(call, key, o->deadline);
}

static bool equals(const struct key *key, struct bytes value) {
    char number[24];
    return key != NULL && key->type == KEY_STRING && bytes_equal(key_string(key, number), value);
}

void string_set(struct keys_call *call) {
    struct options o;
    bool wrong = false;
    if (!read_options(call, 3, IF_ABSENT | IF_PRESENT | GIVE_OLD | KEEP_TTL | HAS_TIME | IF_EQUAL, &o) ||
        !read_time(call, &o) || value_too_long(call, call->argv[2].len))
        return;
    struct key *key = key_find(call, call->database, call->argv[1]);
    if ((o.given & (GIVE_OLD | IF_EQUAL)) != 0) key_find_typed(call, call->argv[1], KEY_STRING, &wrong);
    if (wrong) return;
    bool give = (o.given & GIVE_OLD) != 0;
    if (give) reply_value(call, key);
    bool refused = ((o.given & IF_ABSENT) != 0 && key != NULL) || ((o.given & IF_PRESENT) != 0 && key == NULL) ||
                   ((o.given & IF_EQUAL) != 0 && !equals(key, o.equal));
    if (refused) {
        if (!give) reply_null(&call->out);
        return;
    }
    set_value(call, key, call->argv[2], &o);
    if (!give) reply_ok(&call->out);
}

void string_setnx(struct keys_call *call) {
    bool absent = key_find(call, call->database, call->argv[1]) == NULL;
    if (value_too_long(call, call->argv[2].len)) return;
    if (absent) set_value(call, NULL, call->argv[2], &(struct options){0});
    reply_number(&call->out, absent);
}

static void set_with_time(struct keys_call *call, bool seconds) {
    struct options o = {.given = HAS_TIME, .time = call->argv[2], .seconds = seconds};
    if (!read_time(call, &o) || value_too_long(call, call->argv[3].len)) return;
    set_value(call, key_find(call, call->database, call->argv[1]), call->argv[3], &o);
    reply_ok(&call->out);
}

void string_setex(struct keys_call *call) {
    set_with_time(call, true);
}

void string_psetex(struct keys_call *call) {
    set_with_time(call, false);
}

void string_getset(struct keys_call *call) {
    bool wrong;
    struct key *key = find_string(call, call->argv[1], &wrong);
    if (wrong || value_too_long(call, call->argv[2].len)) return;
    reply_value(call, key);
    set_value(call, key, call->argv[2], &(struct options){0});
}

void string_getdel(struct keys_call *call) {
    bool wrong;
    struct key *key = find_string(call, call->argv[1], &wrong);
    if (wrong) return;
    reply_value(call, key);
    if (key == NULL) return;
    key_delete(call, key);
    key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, call->argv[1]);
}

void string_getex(struct keys_call *call) {
    struct options o;
    bool wrong;
    if (!read_options(call, 2, HAS_TIME | TAKE_TTL, &o)) return;
    struct key *key = find_string(call, call->argv[1], &wrong);
    if (wrong) return;
    if (key == NULL) { // before the time is looked at, as Redis does
        reply_null(&call->out);
        return;
    }
    if (!read_time(call, &o)) return;
    reply_value(call, key);
    if ((o.given & HAS_TIME) != 0) {
        set_deadline(call, key, o.deadline);
    } else if ((o.given & TAKE_TTL) != 0 && key->deadline != NULL) {
        key_set_deadline(call, key, NO_DEADLINE);
        key_notify(call, KEYS_NOTIFY_GENERIC, "persist", call->database, key_name(key));
    }
}

// DELIFEQ key value: gives a lock back, if it is one's own still.
void string_delifeq(struct keys_call *call) {
    bool wrong;
    struct key *key = find_string(call, call->argv[1], &wrong);
    if (wrong) return;
    bool equal = equals(key, call->argv[2]);
    if (equal) {
        key_delete(call, key);
        key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, call->argv[1]);
    }
    reply_number(&call->out, equal);
}

// ---- several

void string_mget(struct keys_call *call) {
    reply_array(&call->out, call->argc - 1);
    for (size_t i = 1; i < call->argc; i++) {
        struct key *key = key_find(call, call->database, call->argv[i]);
        reply_value(call, key != NULL && key->type == KEY_STRING ? key : NULL);
    }
}

static bool pairs_fit(struct keys_call *call) {
    if (call->argc % 2 == 0) {
        reply_error(&call->out, "ERR wrong number of arguments for '%s' command", call->row->name);
        return false;
    }
    for (size_t i = 2; i < call->argc; i += 2)
        if (value_too_long(call, call->argv[i].len)) return false;
    return true;
}

static void set_pairs(struct keys_call *call) {
    for (size_t i = 1; i < call->argc; i += 2) {
        struct key *key = key_find(call, call->database, call->argv[i]);
        key_set_string(call, key, call->argv[i], call->argv[i + 1], false);
        key_notify(call, KEYS_NOTIFY_STRING, "set", call->database, call->argv[i]);
    }
}

void string_mset(struct keys_call *call) {
    if (!pairs_fit(call)) return;
    set_pairs(call);
    reply_ok(&call->out);
}

void string_msetnx(struct keys_call *call) {
    bool absent = true;
    if (!pairs_fit(call)) return;
    for (size_t i = 1; i < call->argc; i += 2) absent &= key_find(call, call->database, call->argv[i]) == NULL;
    if (absent) set_pairs(call);
    reply_number(&call->out, absent);
}

// ---- parts of a string

void string_strlen(struct keys_call *call) {
    bool wrong;
    char number[24];
    struct key *key = find_string(call, call->argv[1], &wrong);
    if (!wrong) reply_number(&call->out, key == NULL ? 0 : (int64_t)key_string(key, number).len);
}

void string_getrange(struct keys_call *call) {
    bool wrong;
    char number[24];
    int64_t from, to;
    if (!argument_number(call, call->argv[2], &from) || !argument_number(call, call->argv[3], &to)) return;
    struct key *key = find_string(call, call->argv[1], &wrong);
    if (wrong) return;
    struct bytes text = key == NULL ? bytes_of("", 0) : key_string(key, number);
    int64_t len = (int64_t)text.len;
    bool none = from < 0 && to < 0 && from > to;
    if (from < 0) from = len + from < 0 ? 0 : len + from;
    if (to < 0) to = len + to < 0 ? 0 : len + to;
    if (to >= len) to = len - 1;
    if (none || from > to || len == 0)
        reply_bulk(&call->out, bytes_of("", 0));
    else
        reply_bulk(&call->out, bytes_of(text.data + from, (size_t)(to - from + 1)));
}

// Writes `part` at `at`; gives the new length.
static size_t write_part(struct keys_call *call, struct key *key, size_t at, struct bytes part) {
    if (key == NULL) key = key_set_string(call, NULL, call->argv[1], bytes_of("", 0), true);
    char number[24];
    size_t had = key_string(key, number).len, len = at + part.len > had ? at + part.len : had;
    struct string_change change = {at, at + part.len};
    key = key_string_changing(call, key, &change, len);
    memcpy(key_string_at(key) + at, part.data, part.len);
    key_string_changed(call, key, &change);
    return len;
}

void string_setrange(struct keys_call *call) {
    bool wrong;
    char number[24];
    int64_t at;
    struct bytes part = call->argv[3];
    if (!argument_number(call, call->argv[2], &at)) return;
    if (at < 0) {
        reply_error(&call->out, "ERR offset is out of range");
        return;
    }
    struct key *key = find_string(call, call->argv[1], &wrong);
    if (wrong) return;
    if (part.len == 0) {
        reply_number(&call->out, key == NULL ? 0 : (int64_t)key_string(key, number).len);
        return;
    }
    if (value_too_long(call, (uint64_t)at + part.len)) return;
    reply_number(&call->out, (int64_t)write_part(call, key, (size_t)at, part));
    key_notify(call, KEYS_NOTIFY_STRING, "setrange", call->database, call->argv[1]);
}

void string_append(struct keys_call *call) {
    bool wrong;
    char number[24];
    struct bytes part = call->argv[2];
    struct key *key = find_string(call, call->argv[1], &wrong);
    if (wrong) return;
    size_t had = key == NULL ? 0 : key_string(key, number).len;
    if (value_too_long(call, had + part.len)) return;
    if (key == NULL)
        key_set_string(call, NULL, call->argv[1], part, true);
    else // also of nothing: it is raw from then on, as Redis has it
        write_part(call, key, had, part);
    reply_number(&call->out, (int64_t)(had + part.len));
    key_notify(call, KEYS_NOTIFY_STRING, "append", call->database, call->argv[1]);
}

// ---- counters

static void add(struct keys_call *call, int64_t by) {
    bool wrong;
    int64_t value = 0;
    char number[24];
    struct key *key = find_string(call, call->argv[1], &wrong);
    if (wrong || (key != NULL && !argument_number(call, key_string(key, number), &value))) return;
    if (__builtin_add_overflow(value, by, &value)) {
        reply_error(&call->out, "ERR increment or decrement would overflow");
        return;
    }
    key_set_string(call, key, call->argv[1], bytes_of(number, number_write(number, value)), true);
    key_notify(call, KEYS_NOTIFY_STRING, "incrby", call->database, call->argv[1]);
    reply_number(&call->out, value);
}

void string_incr(struct keys_call *call) {
    add(call, 1);
}

void string_decr(struct keys_call *call) {
    add(call, -1);
}

void string_incrby(struct keys_call *call) {
    int64_t by;
    if (argument_number(call, call->argv[2], &by)) add(call, by);
}

void string_decrby(struct keys_call *call) {
    int64_t by;
    if (!argument_number(call, call->argv[2], &by)) return;
    if (by == INT64_MIN)
        reply_error(&call->out, "ERR decrement would overflow");
    else
        add(call, -by);
}
