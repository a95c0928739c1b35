// Sorted sets out of several: union, intersection, difference. The result is built as a set of its own, which is told
// or copied under a name. Sums of doubles hang on their order: inputs are taken in the order of their sizes, as Redis
// takes them.
#include "base/alloc.h"
#include "model/keys/double_text.h"
#include "model/keys/keys_elements.h"
#include "model/keys/zset.h"

enum operation { UNION, INTER, DIFF };
enum aggregate { SUM, MIN, MAX };

struct source {
    const struct key *key; // NULL: absent
    double weight;
};
struct algebra {
    enum operation operation;
    bool store, cardinality;
    size_t at; // argv[at]: how many keys
    struct source *sources;
    size_t count;
    enum aggregate aggregate;
    bool scores;
    int64_t limit; // 0: none
};

// ---- inputs

static uint32_t source_count(const struct source *s) {
    if (s->key == NULL) return 0;
    return s->key->type == KEY_SET ? elements_count(s->key) : zset_count(s->key);
}

// Members of a set have the score 1.
static bool source_find(const struct keys *keys, const struct source *s, struct bytes member, double *score) {
    struct item item;
    *score = 1;
    if (s->key == NULL) return false;
    return s->key->type == KEY_SET ? elements_find(keys, s->key, member, &item) : zset_find(s->key, member, score);
}

struct source_walk {
    const struct source *source;
    struct zset_walk zset;
    struct walk set;
    struct item item;
};
static struct source_walk walk_of(const struct source *s) {
    struct source_walk walk = {.source = s};
    if (s->key != NULL && s->key->type == KEY_ZSET) walk.zset = zset_walk_from(s->key, 0, UINT32_MAX, false);
    return walk;
}
static bool source_step(struct source_walk *walk, struct zset_item *out) {
    const struct key *key = walk->source->key;
    if (key == NULL) return false;
    if (key->type == KEY_ZSET) return zset_step(&walk->zset, out);
    if (!elements_next(key, &walk->set, &walk->item)) return false;
    *out = (struct zset_item){1, walk->item.name};
    return true;
}

// By size, smaller ones first, equal ones as they stand: runs of twice the length at each pass.
static void sort_sources(struct algebra *a) {
    struct source *from = a->sources, *to = mem_alloc(a->count * sizeof *to);
    for (size_t run = 1; run < a->count; run *= 2) {
        for (size_t begin = 0; begin < a->count; begin += 2 * run) {
            size_t middle = begin + run < a->count ? begin + run : a->count;
            size_t end = begin + 2 * run < a->count ? begin + 2 * run : a->count, left = begin, right = middle;
            for (size_t at = begin; at < end; at++) {
                bool take_right =
                    left == middle || (right < end && source_count(&from[right]) < source_count(&from[left]));
                to[at] = take_right ? from[right++] : from[left++];
            }
        }
        struct source *swap = from;
        from = to;
        to = swap;
    }
    a->sources = from;
    mem_free(to);
}

// ---- the three operations

static double number_or_zero(double value) { // inf - inf, and 0 * inf
    return value == value ? value : 0;
}

static double aggregated(enum aggregate aggregate, double had, double score) {
    if (aggregate == SUM) return number_or_zero(had + score);
    return (aggregate == MIN ? score < had : score > had) ? score : had;
}

static void unite(struct keys *keys, const struct algebra *a, struct key *result) {
    struct zset_item item;
    double had;
    for (size_t i = 0; i < a->count; i++) {
        struct source_walk walk = walk_of(&a->sources[i]);
        while (source_step(&walk, &item)) {
            double score = number_or_zero(a->sources[i].weight * item.score);
            if (zset_find(result, item.member, &had)) score = aggregated(a->aggregate, had, score);
            zset_put(keys, result, item.member, score);
        }
    }
}

// Of an element of the first input. false: another one does not have it.
static bool in_all(const struct keys *keys, const struct algebra *a, const struct zset_item *item, double *score) {
    double found;
    *score = number_or_zero(a->sources[0].weight * item->score);
    for (size_t i = 1; i < a->count; i++) {
        if (!source_find(keys, &a->sources[i], item->member, &found)) return false;
        *score = aggregated(a->aggregate, *score, found * a->sources[i].weight);
    }
    return true;
}

// result NULL: only counts. Gives how many there are, at most the limit.
static uint32_t intersect(struct keys *keys, const struct algebra *a, struct key *result) {
    struct source_walk walk = walk_of(&a->sources[0]);
    uint32_t count = 0;
    double score;
    for (struct zset_item item; (a->limit == 0 || count < a->limit) && source_step(&walk, &item);) {
        if (!in_all(keys, a, &item, &score)) continue;
        if (result != NULL) zset_put(keys, result, item.member, score);
        count++;
    }
    return count;
}

static void subtract(struct keys *keys, const struct algebra *a, struct key *result) {
    struct source_walk walk = walk_of(&a->sources[0]);
    double score;
    for (struct zset_item item; source_step(&walk, &item);) {
        bool elsewhere = false;
        for (size_t i = 1; i < a->count && !elsewhere; i++)
            elsewhere = source_find(keys, &a->sources[i], item.member, &score);
        if (!elsewhere) zset_put(keys, result, item.member, item.score);
    }
}

// ---- arguments

static bool read_sources(struct keys_call *call, struct algebra *a) {
    int64_t count;
    if (!argument_number(call, call->argv[a->at], &count)) return false;
    if (count < 1) {
        reply_error(&call->out, "ERR at least 1 input key is needed for '%s' command", call->row->name);
        return false;
    }
    if ((uint64_t)count > call->argc - a->at - 1) {
        reply_syntax(&call->out);
        return false;
    }
    a->count = (size_t)count;
    a->sources = mem_zalloc(a->count * sizeof *a->sources);
    for (size_t i = 0; i < a->count; i++) {
        const struct key *key = key_find(call, call->database, call->argv[a->at + 1 + i]);
        if (key != NULL && key->type != KEY_ZSET && key->type != KEY_SET) {
            reply_wrong_type(&call->out);
            return false;
        }
        a->sources[i] = (struct source){key, 1};
    }
    return true;
}

static bool read_weights(struct keys_call *call, struct algebra *a, size_t at) {
    for (size_t i = 0; i < a->count; i++) {
        if (double_read_whole(call->argv[at + i], &a->sources[i].weight)) continue;
        reply_error(&call->out, "ERR weight value is not a float");
        return false;
    }
    return true;
}

static bool read_aggregate(struct keys_call *call, struct algebra *a, struct bytes word) {
    static const char *const words[] = {"sum", "min", "max"};
    for (int i = 0; i < 3; i++) {
        if (!text_is(word, words[i])) continue;
        a->aggregate = (enum aggregate)i;
        return true;
    }
    reply_syntax(&call->out);
    return false;
}

// One option, at *at, which goes behind it. false: the error is replied.
static bool read_option(struct keys_call *call, struct algebra *a, size_t *at) {
    struct bytes word = call->argv[*at];
    size_t left = call->argc - *at;
    bool weighs = a->operation != DIFF && !a->cardinality;
    if (weighs && left > a->count && text_is(word, "weights")) {
        *at += 1 + a->count;
        return read_weights(call, a, *at - a->count);
    }
    if (weighs && left >= 2 && text_is(word, "aggregate")) {
        *at += 2;
        return read_aggregate(call, a, call->argv[*at - 1]);
    }
    if (!a->store && !a->cardinality && text_is(word, "withscores")) {
        *at += 1;
        a->scores = true;
        return true;
    }
    if (a->cardinality && left >= 2 && text_is(word, "limit")) {
        *at += 2;
        if (number_read(call->argv[*at - 1], &a->limit) && a->limit >= 0) return true;
        reply_error(&call->out, "ERR LIMIT can't be negative");
        return false;
    }
    reply_syntax(&call->out);
    return false;
}

static bool read_options(struct keys_call *call, struct algebra *a) {
    for (size_t at = a->at + 1 + a->count; at < call->argc;)
        if (!read_option(call, a, &at)) return false;
    return true;
}

// ---- results

static void store_result(struct keys_call *call, const struct algebra *a, const struct key *result) {
    static const char *const events[] = {"zunionstore", "zinterstore", "zdiffstore"};
    struct key *draft = zset_draft(call, call->argv[1], zset_count(result));
    struct zset_walk walk = zset_walk_from(result, 0, UINT32_MAX, false);
    for (struct zset_item item; zset_step(&walk, &item);) zset_put(call->keys, draft, item.member, item.score);
    zset_store(call, call->argv[1], draft, events[a->operation]);
}

static void tell_result(struct keys_call *call, const struct algebra *a, const struct key *result) {
    zset_reply_head(call, zset_count(result), a->scores);
    struct zset_walk walk = zset_walk_from(result, 0, UINT32_MAX, false);
    for (struct zset_item item; zset_step(&walk, &item);) zset_reply_item(call, &item, a->scores);
}

static void compute(struct keys_call *call, struct algebra *a) {
    if (a->operation != DIFF) sort_sources(a);
    if (a->cardinality) {
        reply_number(&call->out, intersect(call->keys, a, NULL));
        return;
    }
    struct key *result = elements_temporary(call->keys, KEY_ZSET, ENCODING_SKIPLIST);
    if (a->operation == UNION)
        unite(call->keys, a, result);
    else if (a->operation == INTER)
        intersect(call->keys, a, result);
    else
        subtract(call->keys, a, result);
    if (a->store)
        store_result(call, a, result);
    else
        tell_result(call, a, result);
    elements_discard(result);
}

static void run(struct keys_call *call, struct algebra a) {
    a.at = a.store ? 2 : 1;
    if (read_sources(call, &a) && read_options(call, &a)) compute(call, &a);
    mem_free(a.sources);
}

void zset_union(struct keys_call *call) {
    run(call, (struct algebra){.operation = UNION});
}
void zset_inter(struct keys_call *call) {
    run(call, (struct algebra){.operation = INTER});
}
void zset_diff(struct keys_call *call) {
    run(call, (struct algebra){.operation = DIFF});
}
void zset_unionstore(struct keys_call *call) {
    run(call, (struct algebra){.operation = UNION, .store = true});
}
void zset_interstore(struct keys_call *call) {
    run(call, (struct algebra){.operation = INTER, .store = true});
}
void zset_diffstore(struct keys_call *call) {
    run(call, (struct algebra){.operation = DIFF, .store = true});
}
void zset_intercard(struct keys_call *call) {
    run(call, (struct algebra){.operation = INTER, .cardinality = true});
}
