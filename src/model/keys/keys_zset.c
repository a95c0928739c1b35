// Sorted sets: elements put in, looked up, taken out.
#include "model/keys/double_text.h"
#include "model/keys/zset.h"

static struct key *find_zset(struct keys_call *call, struct bytes name, bool *wrong) {
    return key_find_typed(call, name, KEY_ZSET, wrong);
}

static void notify_zset(struct keys_call *call, const char *event, struct bytes name) {
    key_notify(call, KEYS_NOTIFY_ZSET, event, call->database, name);
}

void zset_taken(struct keys_call *call, struct key *key, struct bytes name, const char *event) {
    notify_zset(call, event, name);
    if (zset_count(key) > 0) return;
    key_delete(call, key);
    key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, name);
}

struct key *zset_draft(struct keys_call *call, struct bytes name, uint32_t count) {
    return key_draft(call, name, KEY_ZSET, count <= ZSET_SMALL_COUNT ? ENCODING_LISTPACK : ENCODING_SKIPLIST);
}

void zset_store(struct keys_call *call, struct bytes name, struct key *draft, const char *event) {
    uint32_t count = draft == NULL ? 0 : zset_count(draft);
    struct key *old = key_find(call, call->database, name);
    if (old != NULL) key_delete(call, old);
    if (count > 0) {
        key_publish(call, call->database, draft);
        notify_zset(call, event, name);
    } else {
        if (draft != NULL) key_discard(call->keys, draft);
        if (old != NULL) key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, name);
    }
    reply_number(&call->out, count);
}

// ---- ZADD

enum { ONLY_NEW = 1, ONLY_OLD = 2, TELL_CHANGED = 4, ADD_UP = 8, ONLY_GREATER = 16, ONLY_LESS = 32 };

struct adding {
    unsigned options;
    size_t from, pairs; // argv[from]: the first score
    uint32_t added, updated;
    bool done;    // the last one was not refused by an option
    double score; // of the last one
};

static bool exclude(unsigned options, unsigned some) {
    return (options & some) == some;
}

static bool adding_options(struct keys_call *call, struct adding *a) {
    static const char *const words[] = {"nx", "xx", "ch", "incr", "gt", "lt"};
    for (a->from = 2; a->from < call->argc; a->from++) {
        unsigned bit = 0;
        for (unsigned w = 0; w < 6; w++)
            if (text_is(call->argv[a->from], words[w])) bit = 1u << w;
        if (bit == 0) break;
        a->options |= bit;
    }
    size_t left = call->argc - a->from;
    a->pairs = left / 2;
    const char *error = NULL;
    if (left == 0 || left % 2 != 0)
        error = "ERR syntax error";
    else if (exclude(a->options, ONLY_NEW | ONLY_OLD))
        error = "ERR XX and NX options at the same time are not compatible";
    else if (exclude(a->options, ONLY_NEW | ONLY_GREATER) || exclude(a->options, ONLY_NEW | ONLY_LESS) ||
             exclude(a->options, ONLY_GREATER | ONLY_LESS))
        error = "ERR GT, LT, and/or NX options at the same time are not compatible";
    else if ((a->options & ADD_UP) != 0 && a->pairs > 1)
        error = "ERR INCR option supports a single increment-element pair";
    if (error != NULL) reply_error(&call->out, "%s", error);
    return error == NULL;
}

static bool adding_scores(struct keys_call *call, const struct adding *a) {
    double score;
    for (size_t i = 0; i < a->pairs; i++) {
        if (double_read_whole(call->argv[a->from + 2 * i], &score)) continue;
        reply_error(&call->out, "ERR value is not a valid float");
        return false;
    }
    return true;
}

// What an element gets; false: the options leave it as it is, or the sum is none (*score NaN).
static bool new_score(const struct adding *a, const struct key *key, struct bytes member, double *score, bool *known) {
    double had = 0;
    *known = zset_find(key, member, &had);
    if (!*known) return (a->options & ONLY_OLD) == 0;
    if ((a->options & ONLY_NEW) != 0) return false;
    if ((a->options & ADD_UP) != 0) *score += had;
    if (*score != *score) return false;
    if ((a->options & ONLY_GREATER) != 0 && *score <= had) return false;
    return (a->options & ONLY_LESS) == 0 || *score < had;
}

// false: a sum is no number.
static bool add_pairs(struct keys_call *call, struct adding *a, struct key *key, bool draft) {
    for (size_t i = 0; i < a->pairs; i++) {
        struct bytes member = call->argv[a->from + 2 * i + 1];
        bool known;
        double had;
        double_read_whole(call->argv[a->from + 2 * i], &a->score);
        a->done = new_score(a, key, member, &a->score, &known);
        if (a->score != a->score) return false;
        if (!a->done) continue;
        if (known && zset_find(key, member, &had) && had == a->score) continue;
        if (!draft && a->added + a->updated == 0) key_object_changing(call, key);
        zset_put(call->keys, key, member, a->score);
        a->added += !known;
        a->updated += known;
    }
    if (!draft && a->added + a->updated > 0) key_object_changed(call, key, true);
    return true;
}

static void add(struct keys_call *call, struct adding *a) {
    bool wrong;
    if (!adding_scores(call, a)) return;
    struct key *key = find_zset(call, call->argv[1], &wrong);
    if (wrong) return;
    bool draft = key == NULL;
    if (!draft || (a->options & ONLY_OLD) == 0) {
        if (draft) key = zset_draft(call, call->argv[1], 1);
        if (!add_pairs(call, a, key, draft)) { // of an element that was there: nothing has changed
            reply_error(&call->out, "ERR resulting score is not a number (NaN)");
            return;
        }
        if (draft) key_publish(call, call->database, key);
    }
    bool add_up = (a->options & ADD_UP) != 0;
    if (!add_up)
        reply_number(&call->out, a->added + ((a->options & TELL_CHANGED) != 0 ? a->updated : 0));
    else if (a->done)
        reply_double(&call->out, a->score);
    else
        reply_null(&call->out);
    if (a->added + a->updated > 0) notify_zset(call, add_up ? "zincr" : "zadd", call->argv[1]);
}

void zset_add(struct keys_call *call) {
    struct adding a = {0};
    if (adding_options(call, &a)) add(call, &a);
}

void zset_incrby(struct keys_call *call) {
    add(call, &(struct adding){.options = ADD_UP, .from = 2, .pairs = 1});
}

// ---- looking

void zset_card(struct keys_call *call) {
    bool wrong;
    const struct key *key = find_zset(call, call->argv[1], &wrong);
    if (!wrong) reply_number(&call->out, key == NULL ? 0 : zset_count(key));
}

static void reply_scores(struct keys_call *call, bool several) {
    bool wrong;
    double score;
    const struct key *key = find_zset(call, call->argv[1], &wrong);
    if (wrong) return;
    if (several) reply_array(&call->out, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++) {
        if (key != NULL && zset_find(key, call->argv[i], &score))
            reply_double(&call->out, score);
        else
            reply_null(&call->out);
    }
}

void zset_score(struct keys_call *call) {
    reply_scores(call, false);
}

void zset_mscore(struct keys_call *call) {
    reply_scores(call, true);
}

static void reply_rank(struct keys_call *call, bool from_end) {
    bool wrong;
    uint32_t rank;
    const struct key *key = find_zset(call, call->argv[1], &wrong);
    if (wrong) return;
    if (key == NULL || !zset_rank(key, call->argv[2], &rank))
        reply_null(&call->out);
    else
        reply_number(&call->out, from_end ? zset_count(key) - 1 - rank : rank);
}

void zset_rank_of(struct keys_call *call) {
    reply_rank(call, false);
}

void zset_revrank(struct keys_call *call) {
    reply_rank(call, true);
}

// ---- taking out

void zset_rem(struct keys_call *call) {
    bool wrong;
    int64_t taken = 0;
    double score;
    struct key *key = find_zset(call, call->argv[1], &wrong);
    if (wrong) return;
    for (size_t i = 2; key != NULL && i < call->argc; i++) {
        if (!zset_find(key, call->argv[i], &score)) continue;
        if (taken++ == 0) key_object_changing(call, key);
        zset_take(key, call->argv[i]);
    }
    reply_number(&call->out, taken);
    if (taken == 0) return;
    key_object_changed(call, key, true);
    zset_taken(call, key, call->argv[1], "zrem");
}

void zset_take_span(struct keys_call *call, struct key *key, struct bytes name, struct zset_span span,
                    const char *event) {
    key_object_changing(call, key);
    zset_take_ranks(key, span.from, span.to);
    key_object_changed(call, key, true);
    zset_taken(call, key, name, event);
}

// The elements themselves, from the end that is popped; their array's head is there.
static void pop(struct keys_call *call, struct key *key, struct bytes name, bool highest, uint32_t count, bool nested) {
    uint32_t all = zset_count(key);
    struct zset_walk walk = zset_walk_from(key, highest ? all - 1 : 0, count, highest);
    for (struct zset_item item; zset_step(&walk, &item);) {
        if (nested) reply_array(&call->out, 2);
        reply_bulk(&call->out, item.member);
        reply_double(&call->out, item.score);
    }
    struct zset_span span = {highest ? all - count : 0, highest ? all : count};
    zset_take_span(call, key, name, span, highest ? "zpopmax" : "zpopmin");
}

static bool read_count(struct keys_call *call, struct bytes text, int64_t least, const char *error, int64_t *out) {
    if (number_read(text, out) && *out >= least) return true;
    reply_error(&call->out, "%s", error);
    return false;
}

static uint32_t at_most(const struct key *key, int64_t count) {
    return count < (int64_t)zset_count(key) ? (uint32_t)count : zset_count(key);
}

static void pop_from(struct keys_call *call, bool highest) {
    bool wrong, counted = call->argc == 3;
    int64_t count = 1;
    if (call->argc > 3) {
        reply_syntax(&call->out);
        return;
    }
    if (counted && !read_count(call, call->argv[2], 0, "ERR value is out of range, must be positive", &count)) return;
    struct key *key = find_zset(call, call->argv[1], &wrong);
    if (wrong) return;
    if (key == NULL || count == 0) {
        reply_array(&call->out, 0);
        return;
    }
    uint32_t taken = at_most(key, count);
    bool nested = counted && call->out.resp3;
    reply_array(&call->out, nested ? taken : 2 * (size_t)taken);
    pop(call, key, call->argv[1], highest, taken, nested);
}

void zset_popmin(struct keys_call *call) {
    pop_from(call, false);
}

void zset_popmax(struct keys_call *call) {
    pop_from(call, true);
}

// ZMPOP numkeys key ... MIN | MAX [COUNT n]
static bool mpop_arguments(struct keys_call *call, size_t *keys, bool *highest, int64_t *count) {
    int64_t named;
    *count = 1;
    if (!read_count(call, call->argv[1], 1, "ERR numkeys should be greater than 0", &named)) return false;
    size_t at = 2 + (size_t)named;
    bool good = (uint64_t)named < call->argc && at < call->argc;
    *keys = (size_t)named;
    *highest = good && text_is(call->argv[at], "max");
    good = good && (*highest || text_is(call->argv[at], "min"));
    if (good && at + 1 < call->argc) {
        good = at + 2 < call->argc && text_is(call->argv[at + 1], "count");
        if (good && !read_count(call, call->argv[at + 2], 1, "ERR count should be greater than 0", count)) return false;
        good = good && at + 3 == call->argc;
    }
    if (!good) reply_syntax(&call->out);
    return good;
}

void zset_mpop(struct keys_call *call) {
    size_t keys;
    bool highest, wrong;
    int64_t count;
    if (!mpop_arguments(call, &keys, &highest, &count)) return;
    for (size_t i = 2; i < 2 + keys; i++) {
        struct key *key = find_zset(call, call->argv[i], &wrong);
        if (wrong) return;
        if (key == NULL) continue;
        uint32_t taken = at_most(key, count);
        reply_array(&call->out, 2);
        reply_bulk(&call->out, call->argv[i]);
        reply_array(&call->out, taken);
        pop(call, key, call->argv[i], highest, taken, true);
        return;
    }
    reply_null_array(&call->out);
}
