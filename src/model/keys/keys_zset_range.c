// Sorted sets: ranges of ranks, scores and members. A range of any kind is a span of ranks first, which two walks from
// the tree's root find; counting, telling, storing and taking out begin there.
#include "model/keys/double_text.h"
#include "model/keys/zset.h"

// ---- the ends of ranges

// "(1.5", "-inf", and all that Redis's use of strtod lets through: blanks ahead, too large ones, an empty text for 0.
static bool read_score(struct bytes text, double *score, bool *open) {
    enum double_range range;
    size_t at = *open = text.len > 0 && text.data[0] == '(';
    const uint8_t *nul = text.len == 0 ? NULL : memchr(text.data, 0, text.len);
    size_t len = nul == NULL ? text.len : (size_t)(nul - text.data);
    *score = 0;
    if (at >= len) return true;
    while (at < len && (text.data[at] == ' ' || (text.data[at] >= '\t' && text.data[at] <= '\r'))) at++;
    size_t took = double_read(bytes_of(text.data + at, len - at), score, &range);
    return took > 0 && took == len - at;
}

static bool read_lex(struct bytes text, struct lex_end *end) {
    *end = (struct lex_end){.open = true};
    if (text.len == 0) return false;
    uint8_t first = text.data[0];
    end->text = bytes_of(text.data + 1, text.len - 1);
    if (first == '[' || first == '(') {
        end->open = first == '(';
        return true;
    }
    end->infinite = first == '-' ? -1 : 1;
    return (first == '-' || first == '+') && (text.len == 1 || text.data[1] == 0);
}

// false: the error is replied.
static bool read_range(struct keys_call *call, struct zset_range *range, struct bytes low, struct bytes high) {
    switch (range->by) {
    case BY_RANK:
        return argument_number(call, low, &range->first) && argument_number(call, high, &range->last);
    case BY_SCORE:
        if (read_score(low, &range->low, &range->low_open) && read_score(high, &range->high, &range->high_open))
            return true;
        reply_error(&call->out, "ERR min or max is not a float");
        return false;
    default:
        if (read_lex(low, &range->from) && read_lex(high, &range->to)) return true;
        reply_error(&call->out, "ERR min or max not valid string range item");
        return false;
    }
}

static bool below_score(const void *context, const struct zset_item *item) {
    const struct zset_range *range = context;
    return range->low_open ? item->score <= range->low : item->score < range->low;
}

static bool not_above_score(const void *context, const struct zset_item *item) {
    const struct zset_range *range = context;
    return range->high_open ? item->score < range->high : item->score <= range->high;
}

static int compare_end(struct bytes member, const struct lex_end *end) {
    return end->infinite != 0 ? -end->infinite : bytes_compare(member, end->text);
}

static bool below_lex(const void *context, const struct zset_item *item) {
    const struct zset_range *range = context;
    int order = compare_end(item->member, &range->from);
    return range->from.open ? order <= 0 : order < 0;
}

static bool not_above_lex(const void *context, const struct zset_item *item) {
    const struct zset_range *range = context;
    int order = compare_end(item->member, &range->to);
    return range->to.open ? order < 0 : order <= 0;
}

static struct zset_span span_of_ranks(const struct key *key, const struct zset_range *range, bool reverse) {
    int64_t count = zset_count(key), first = range->first, last = range->last;
    if (first < 0) first = first + count < 0 ? 0 : first + count;
    if (last < 0) last += count;
    if (last >= count) last = count - 1;
    if (first > last || first >= count) return (struct zset_span){0, 0};
    if (reverse) return (struct zset_span){(uint32_t)(count - 1 - last), (uint32_t)(count - first)};
    return (struct zset_span){(uint32_t)first, (uint32_t)last + 1};
}

static struct zset_span span_of(const struct key *key, const struct zset_range *range, bool reverse) {
    struct zset_span span;
    if (range->by == BY_RANK) return span_of_ranks(key, range, reverse);
    bool score = range->by == BY_SCORE;
    span.from = zset_count_before(key, score ? below_score : below_lex, range);
    span.to = zset_count_before(key, score ? not_above_score : not_above_lex, range);
    return span.to > span.from ? span : (struct zset_span){0, 0};
}

// ---- ZRANGE and its relatives

struct ranging {
    struct zset_range range;
    bool store, by_given, direction_given, reverse, scores;
    size_t at; // argv[at]: the key that is read
    int64_t offset, limit;
};

static bool ranging_option(struct keys_call *call, struct ranging *r, size_t *at) {
    struct bytes word = call->argv[*at];
    if (!r->store && text_is(word, "withscores")) {
        r->scores = true;
    } else if (text_is(word, "limit") && *at + 2 < call->argc) {
        if (!argument_number(call, call->argv[*at + 1], &r->offset) ||
            !argument_number(call, call->argv[*at + 2], &r->limit))
            return false;
        *at += 2;
    } else if (!r->direction_given && text_is(word, "rev")) {
        r->direction_given = r->reverse = true;
    } else if (!r->by_given && (text_is(word, "byscore") || text_is(word, "bylex"))) {
        r->by_given = true;
        r->range.by = text_is(word, "bylex") ? BY_LEX : BY_SCORE;
    } else {
        reply_syntax(&call->out);
        return false;
    }
    return true;
}

static bool ranging_arguments(struct keys_call *call, struct ranging *r) {
    r->limit = -1;
    for (size_t at = r->at + 3; at < call->argc; at++)
        if (!ranging_option(call, r, &at)) return false;
    if (r->limit != -1 && r->range.by == BY_RANK) {
        reply_error(&call->out,
                    "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
        return false;
    }
    if (r->scores && r->range.by == BY_LEX) {
        reply_error(&call->out, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    bool swap = r->reverse && r->range.by != BY_RANK;
    return read_range(call, &r->range, call->argv[r->at + 1 + swap], call->argv[r->at + 2 - swap]);
}

// What LIMIT leaves, counted from the end where the telling begins.
static struct zset_span limited(const struct ranging *r, struct zset_span span) {
    int64_t count = span.to - span.from;
    if (r->range.by == BY_RANK) return span;
    if (r->offset < 0 || r->offset >= count || r->limit == 0) return (struct zset_span){0, 0};
    int64_t left = count - r->offset, taken = r->limit < 0 || r->limit > left ? left : r->limit;
    uint32_t skip = (uint32_t)r->offset, keep = (uint32_t)taken;
    if (r->reverse) return (struct zset_span){span.to - skip - keep, span.to - skip};
    return (struct zset_span){span.from + skip, span.from + skip + keep};
}

void zset_reply_head(struct keys_call *call, size_t items, bool scores) {
    reply_array(&call->out, scores && !call->out.resp3 ? 2 * items : items);
}

void zset_reply_item(struct keys_call *call, const struct zset_item *item, bool scores) {
    if (scores && call->out.resp3) reply_array(&call->out, 2);
    reply_bulk(&call->out, item->member);
    if (scores) reply_double(&call->out, item->score);
}

static void store_span(struct keys_call *call, const struct key *key, struct zset_span span) {
    struct key *draft = NULL;
    if (span.to > span.from) {
        draft = zset_draft(call, call->argv[1], span.to - span.from);
        struct zset_walk walk = zset_walk_from(key, span.from, span.to - span.from, false);
        for (struct zset_item item; zset_step(&walk, &item);) zset_put(call->keys, draft, item.member, item.score);
    }
    zset_store(call, call->argv[1], draft, "zrangestore");
}

static void run_ranging(struct keys_call *call, struct ranging r) {
    bool wrong;
    if (!ranging_arguments(call, &r)) return;
    const struct key *key = key_find_typed(call, call->argv[r.at], KEY_ZSET, &wrong);
    if (wrong) return;
    struct zset_span span = {0, 0};
    if (key != NULL) span = limited(&r, span_of(key, &r.range, r.reverse));
    if (r.store) {
        store_span(call, key, span);
        return;
    }
    zset_reply_head(call, span.to - span.from, r.scores);
    if (span.to == span.from) return;
    struct zset_walk walk = zset_walk_from(key, r.reverse ? span.to - 1 : span.from, span.to - span.from, r.reverse);
    for (struct zset_item item; zset_step(&walk, &item);) zset_reply_item(call, &item, r.scores);
}

void zset_ranges(struct keys_call *call) {
    run_ranging(call, (struct ranging){.at = 1});
}
void zset_rangestore(struct keys_call *call) {
    run_ranging(call, (struct ranging){.at = 2, .store = true});
}

static void old_form(struct keys_call *call, int by, bool reverse) {
    struct ranging r = {.at = 1, .by_given = true, .direction_given = true, .reverse = reverse};
    r.range.by = by;
    run_ranging(call, r);
}

void zset_revrange(struct keys_call *call) {
    old_form(call, BY_RANK, true);
}
void zset_rangebyscore(struct keys_call *call) {
    old_form(call, BY_SCORE, false);
}
void zset_revrangebyscore(struct keys_call *call) {
    old_form(call, BY_SCORE, true);
}
void zset_rangebylex(struct keys_call *call) {
    old_form(call, BY_LEX, false);
}
void zset_revrangebylex(struct keys_call *call) {
    old_form(call, BY_LEX, true);
}

// ---- counting and taking out

static void on_span(struct keys_call *call, int by, const char *event) {
    bool wrong;
    struct zset_range range = {.by = by};
    if (!read_range(call, &range, call->argv[2], call->argv[3])) return;
    struct key *key = key_find_typed(call, call->argv[1], KEY_ZSET, &wrong);
    if (wrong) return;
    struct zset_span span = {0, 0};
    if (key != NULL) span = span_of(key, &range, false);
    reply_number(&call->out, span.to - span.from);
    if (event != NULL && span.to > span.from) zset_take_span(call, key, call->argv[1], span, event);
}

void zset_countscore(struct keys_call *call) {
    on_span(call, BY_SCORE, NULL);
}
void zset_lexcount(struct keys_call *call) {
    on_span(call, BY_LEX, NULL);
}
void zset_remrangebyrank(struct keys_call *call) {
    on_span(call, BY_RANK, "zremrangebyrank");
}
void zset_remrangebyscore(struct keys_call *call) {
    on_span(call, BY_SCORE, "zremrangebyscore");
}
void zset_remrangebylex(struct keys_call *call) {
    on_span(call, BY_LEX, "zremrangebylex");
}
