// Lists.
#include "base/assert.h"
#include "model/keys/quicklist.h"
#include <string.h>

static struct key *find_list(struct keys_call *call, struct bytes name, bool *wrong) {
    return key_find_typed(call, name, KEY_LIST, wrong);
}

static uint64_t count_of(const struct key *key) {
    return key == NULL ? 0 : quicklist_of(key)->count;
}

static struct key *make_list(struct keys_call *call, struct bytes name) {
    return key_make(call, name, KEY_LIST, ENCODING_QUICKLIST);
}

// After something was taken out: an empty list is no key.
static void after_taking(struct keys_call *call, struct key *key, struct bytes name) {
    if (count_of(key) > 0) {
        key_touched(call, key);
        return;
    }
    key_delete(call, key);
    key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, name);
}

// ---- push and pop

static void push(struct keys_call *call, bool front, bool only_present) {
    bool wrong;
    struct key *key = find_list(call, call->argv[1], &wrong);
    if (wrong) return;
    if (key == NULL && only_present) {
        reply_number(&call->out, 0);
        return;
    }
    if (key == NULL) key = make_list(call, call->argv[1]);
    for (size_t i = 2; i < call->argc; i++) quicklist_push(call, key, front, call->argv[i]);
    key_touched(call, key);
    reply_number(&call->out, (int64_t)count_of(key));
    key_notify(call, KEYS_NOTIFY_LIST, front ? "lpush" : "rpush", call->database, call->argv[1]);
}

void list_lpush(struct keys_call *call) {
    push(call, true, false);
}
void list_rpush(struct keys_call *call) {
    push(call, false, false);
}
void list_lpushx(struct keys_call *call) {
    push(call, true, true);
}
void list_rpushx(struct keys_call *call) {
    push(call, false, true);
}

static struct bytes end_of(const struct key *key, bool front) {
    struct quicklist_at at;
    ENSURE(quicklist_seek(quicklist_of(key), front ? 0 : count_of(key) - 1, &at));
    return quicklist_entry(&at);
}

// Replies and takes out `count` entries, as an array of them; the key may go.
static void pop_many(struct keys_call *call, struct key *key, struct bytes name, bool front, uint64_t count) {
    if (count > count_of(key)) count = count_of(key);
    reply_array(&call->out, count);
    for (uint64_t i = 0; i < count; i++) {
        reply_bulk(&call->out, end_of(key, front));
        quicklist_pop(call, key, front);
    }
    if (count == 0) return;
    key_notify(call, KEYS_NOTIFY_LIST, front ? "lpop" : "rpop", call->database, name);
    after_taking(call, key, name);
}

static void pop(struct keys_call *call, bool front) {
    bool wrong;
    int64_t count = 1;
    if (call->argc > 3) {
        reply_error(&call->out, "ERR wrong number of arguments for '%s' command", call->row->name);
        return;
    }
    if (call->argc == 3 && (!number_read(call->argv[2], &count) || count < 0)) {
        reply_error(&call->out, "ERR value is out of range, must be positive");
        return;
    }
    struct key *key = find_list(call, call->argv[1], &wrong);
    if (wrong) return;
    if (key == NULL && call->argc == 3) {
        reply_null_array(&call->out);
    } else if (key == NULL) {
        reply_null(&call->out);
    } else if (call->argc == 3) {
        pop_many(call, key, call->argv[1], front, (uint64_t)count);
    } else {
        reply_bulk(&call->out, end_of(key, front));
        quicklist_pop(call, key, front);
        key_notify(call, KEYS_NOTIFY_LIST, front ? "lpop" : "rpop", call->database, call->argv[1]);
        after_taking(call, key, call->argv[1]);
    }
}

void list_lpop(struct keys_call *call) {
    pop(call, true);
}
void list_rpop(struct keys_call *call) {
    pop(call, false);
}

// ---- looking

void list_llen(struct keys_call *call) {
    bool wrong;
    struct key *key = find_list(call, call->argv[1], &wrong);
    if (!wrong) reply_number(&call->out, (int64_t)count_of(key));
}

// A rank as it is given, negative from the end; may be out of the list.
static int64_t rank_of(const struct key *key, int64_t given) {
    return given < 0 ? (int64_t)count_of(key) + given : given;
}

void list_lindex(struct keys_call *call) {
    bool wrong;
    int64_t rank;
    struct quicklist_at at;
    struct key *key = find_list(call, call->argv[1], &wrong);
    if (wrong) return;
    if (key == NULL) { // before the index is looked at, as Redis does
        reply_null(&call->out);
        return;
    }
    if (!argument_number(call, call->argv[2], &rank)) return;
    rank = rank_of(key, rank);
    if (rank < 0 || !quicklist_seek(quicklist_of(key), (uint64_t)rank, &at))
        reply_null(&call->out);
    else
        reply_bulk(&call->out, quicklist_entry(&at));
}

// The ranks from `from` to `to`, both inside; false: none.
static bool range(const struct key *key, int64_t from, int64_t to, uint64_t *first, uint64_t *count) {
    int64_t len = (int64_t)count_of(key);
    if (from < 0) from = len + from < 0 ? 0 : len + from;
    if (to < 0) to = len + to;
    if (to >= len) to = len - 1;
    *first = (uint64_t)from;
    *count = from > to ? 0 : (uint64_t)(to - from + 1);
    return *count > 0;
}

void list_lrange(struct keys_call *call) {
    bool wrong;
    int64_t from, to;
    uint64_t first, count;
    struct quicklist_at at;
    if (!argument_number(call, call->argv[2], &from) || !argument_number(call, call->argv[3], &to)) return;
    struct key *key = find_list(call, call->argv[1], &wrong);
    if (wrong) return;
    if (key == NULL || !range(key, from, to, &first, &count)) {
        reply_array(&call->out, 0);
        return;
    }
    reply_array(&call->out, count);
    quicklist_seek(quicklist_of(key), first, &at);
    for (; count > 0; count--, quicklist_next(&at)) reply_bulk(&call->out, quicklist_entry(&at));
}

struct search {
    int64_t rank, count, max; // count < 0: not given
};

static bool read_search(struct keys_call *call, struct search *s) {
    *s = (struct search){.rank = 1, .count = -1};
    for (size_t i = 3; i < call->argc; i += 2) {
        if (i + 1 >= call->argc) {
            reply_syntax(&call->out);
            return false;
        }
        struct bytes word = call->argv[i];
        if (text_is(word, "rank")) {
            if (!argument_number(call, call->argv[i + 1], &s->rank)) return false;
            if (s->rank == 0) {
                reply_error(&call->out,
                            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second "
                            "... or use negative to start from the end of the list");
                return false;
            }
        } else if (text_is(word, "count") || text_is(word, "maxlen")) {
            int64_t *to = text_is(word, "count") ? &s->count : &s->max;
            if (!number_read(call->argv[i + 1], to) || *to < 0) {
                reply_error(&call->out, "ERR %s can't be negative", to == &s->count ? "COUNT" : "MAXLEN");
                return false;
            }
        } else {
            reply_syntax(&call->out);
            return false;
        }
    }
    return true;
}

void list_lpos(struct keys_call *call) {
    bool wrong;
    struct search s;
    struct quicklist_at at;
    if (!read_search(call, &s)) return;
    struct key *key = find_list(call, call->argv[1], &wrong);
    if (wrong) return;
    bool back = s.rank < 0;
    uint64_t skip = (back ? 0 - (uint64_t)s.rank : (uint64_t)s.rank) - 1, found = 0, looked = 0;
    size_t begun = reply_begin(&call->out);
    bool any = key != NULL && quicklist_seek(quicklist_of(key), back ? count_of(key) - 1 : 0, &at);
    for (; any && (s.max == 0 || looked < (uint64_t)s.max);
         any = back ? quicklist_previous(&at) : quicklist_next(&at)) {
        looked++;
        if (!bytes_equal(quicklist_entry(&at), call->argv[2])) continue;
        if (skip > 0) {
            skip--;
            continue;
        }
        reply_number(&call->out, (int64_t)at.rank);
        found++;
        if (s.count < 0 || found == (uint64_t)s.count) break;
    }
    if (s.count >= 0)
        reply_end(&call->out, begun, '*', found);
    else if (found == 0)
        reply_null(&call->out);
}

// ---- changes in the middle

void list_lset(struct keys_call *call) {
    bool wrong;
    int64_t rank;
    struct key *key = find_list(call, call->argv[1], &wrong);
    if (wrong) return;
    if (key == NULL) {
        reply_error(&call->out, "ERR no such key");
        return;
    }
    if (!argument_number(call, call->argv[2], &rank)) return;
    rank = rank_of(key, rank);
    if (rank < 0 || (uint64_t)rank >= count_of(key)) {
        reply_error(&call->out, "ERR index out of range");
        return;
    }
    quicklist_replace(call, key, (uint64_t)rank, call->argv[3]);
    key_touched(call, key);
    reply_ok(&call->out);
    key_notify(call, KEYS_NOTIFY_LIST, "lset", call->database, call->argv[1]);
}

void list_linsert(struct keys_call *call) {
    bool wrong, before = text_is(call->argv[2], "before");
    struct quicklist_at at;
    if (!before && !text_is(call->argv[2], "after")) {
        reply_syntax(&call->out);
        return;
    }
    struct key *key = find_list(call, call->argv[1], &wrong);
    if (wrong) return;
    bool any = key != NULL && quicklist_seek(quicklist_of(key), 0, &at);
    while (any && !bytes_equal(quicklist_entry(&at), call->argv[3])) any = quicklist_next(&at);
    if (!any) {
        reply_number(&call->out, key == NULL ? 0 : -1);
        return;
    }
    quicklist_insert(call, key, at.rank + !before, call->argv[4]);
    key_touched(call, key);
    reply_number(&call->out, (int64_t)count_of(key));
    key_notify(call, KEYS_NOTIFY_LIST, "linsert", call->database, call->argv[1]);
}

void list_lrem(struct keys_call *call) {
    bool wrong;
    int64_t count;
    if (!argument_number(call, call->argv[2], &count)) return;
    struct key *key = find_list(call, call->argv[1], &wrong);
    if (wrong) return;
    uint64_t max = count == 0 ? UINT64_MAX : count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
    uint64_t gone = key == NULL ? 0 : quicklist_remove_equal(call, key, call->argv[3], max, count >= 0);
    reply_number(&call->out, (int64_t)gone);
    if (gone == 0) return;
    key_notify(call, KEYS_NOTIFY_LIST, "lrem", call->database, call->argv[1]);
    after_taking(call, key, call->argv[1]);
}

void list_ltrim(struct keys_call *call) {
    bool wrong;
    int64_t from, to;
    uint64_t first, count;
    if (!argument_number(call, call->argv[2], &from) || !argument_number(call, call->argv[3], &to)) return;
    struct key *key = find_list(call, call->argv[1], &wrong);
    if (wrong) return;
    reply_ok(&call->out);
    if (key == NULL) return;
    key_notify(call, KEYS_NOTIFY_LIST, "ltrim", call->database, call->argv[1]);
    if (range(key, from, to, &first, &count)) {
        for (uint64_t i = 0; i < first; i++) quicklist_pop(call, key, true);
        while (count_of(key) > count) quicklist_pop(call, key, false);
        key_touched(call, key);
    } else {
        key_delete(call, key);
        key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, call->argv[1]);
    }
}

// ---- from one list to another

static bool read_end(struct bytes word, bool *front) {
    *front = text_is(word, "left");
    return *front || text_is(word, "right");
}

static void move(struct keys_call *call, bool from_front, bool to_front) {
    bool wrong;
    struct bytes from = call->argv[1], to = call->argv[2];
    struct key *key = find_list(call, from, &wrong);
    if (wrong) return;
    if (key == NULL) {
        reply_null(&call->out);
        return;
    }
    struct key *target = find_list(call, to, &wrong);
    if (wrong) return;
    struct bytes entry = end_of(key, from_front);
    reply_bulk(&call->out, entry);
    entry.data = call->out.to->data + call->out.to->len - 2 - entry.len; // the reply's copy: the list's goes
    quicklist_pop(call, key, from_front);
    if (target == NULL) target = make_list(call, to);
    quicklist_push(call, target, to_front, entry);
    key_touched(call, target);
    key_notify(call, KEYS_NOTIFY_LIST, to_front ? "lpush" : "rpush", call->database, to);
    key_notify(call, KEYS_NOTIFY_LIST, from_front ? "lpop" : "rpop", call->database, from);
    if (key != target) after_taking(call, key, from);
}

void list_lmove(struct keys_call *call) {
    bool from_front, to_front;
    if (!read_end(call->argv[3], &from_front) || !read_end(call->argv[4], &to_front))
        reply_syntax(&call->out);
    else
        move(call, from_front, to_front);
}

void list_rpoplpush(struct keys_call *call) {
    move(call, false, true);
}

// LMPOP numkeys key ... LEFT|RIGHT [COUNT n]: of the first list that is there.
void list_lmpop(struct keys_call *call) {
    bool front, wrong;
    int64_t keys, count = 1;
    if (!number_read(call->argv[1], &keys) || keys <= 0) {
        reply_error(&call->out, "ERR numkeys should be greater than 0");
        return;
    }
    size_t at = (size_t)keys + 2;
    if ((uint64_t)keys > call->argc - 3 || !read_end(call->argv[at], &front)) {
        reply_syntax(&call->out);
        return;
    }
    for (size_t i = at + 1; i < call->argc; i += 2) {
        if (i > at + 1 || i + 1 >= call->argc || !text_is(call->argv[i], "count")) {
            reply_syntax(&call->out);
            return;
        }
        if (!number_read(call->argv[i + 1], &count) || count <= 0) {
            reply_error(&call->out, "ERR count should be greater than 0");
            return;
        }
    }
    for (size_t i = 2; i < at; i++) {
        struct key *key = find_list(call, call->argv[i], &wrong);
        if (wrong) return;
        if (key == NULL) continue;
        reply_array(&call->out, 2);
        reply_bulk(&call->out, call->argv[i]);
        pop_many(call, key, call->argv[i], front, (uint64_t)count);
        return;
    }
    reply_null_array(&call->out);
}
