// Sorted sets: picks and scans, by the order that is state (zset.h).
#include "base/prng.h"
#include "model/keys/keys_elements.h"
#include "model/keys/zset.h"

#define PICKS_MAX (1u << 20) // of a negative count, which is not bounded by what there is

static void pick(struct keys_call *call, const struct key *key, int64_t count, bool scores) {
    struct prng random;
    uint32_t size = zset_count(key);
    bool repeats = count < 0, all = count >= size;
    uint32_t wanted = repeats ? (uint32_t)-count : all ? size : (uint32_t)count;
    prng_seed(&random, call->seed);
    zset_reply_head(call, wanted, scores);
    for (uint32_t i = 0; i < wanted; i++) {
        uint32_t place = repeats ? (uint32_t)prng_below(&random, size) : all ? i : random_place(call->seed, size, i);
        struct zset_item item = zset_at_place(key, place);
        zset_reply_item(call, &item, scores);
    }
}

// ZRANDMEMBER key [count [WITHSCORES]]
void zset_randmember(struct keys_call *call) {
    bool wrong, counted = call->argc > 2, scores = call->argc > 3;
    int64_t count = 1;
    if (counted && !argument_signed_count(call, call->argv[2], &count)) return;
    if (call->argc > 4 || (scores && !text_is(call->argv[3], "withscores"))) {
        reply_syntax(&call->out);
        return;
    }
    if (count < -(int64_t)PICKS_MAX || (scores && count > INT64_MAX / 2)) {
        reply_error(&call->out, "ERR value is out of range");
        return;
    }
    const struct key *key = key_find_typed(call, call->argv[1], KEY_ZSET, &wrong);
    if (wrong) return;
    if (!counted && key == NULL) {
        reply_null(&call->out);
    } else if (key == NULL || count == 0) {
        reply_array(&call->out, 0);
    } else if (counted) {
        pick(call, key, count, scores);
    } else {
        struct zset_item item = zset_at_place(key, (uint32_t)(call->seed % zset_count(key)));
        reply_bulk(&call->out, item.member);
    }
}

#define WHOLE_MAX 0x1p62

// Scores are texts here in RESP3 too, and large whole ones of a small set have no exponent, as Redis keeps them there.
static void reply_pair(struct keys_call *call, const struct zset_item *item, bool small) {
    struct reply text = {.to = call->out.to};
    bool whole = item->score >= -WHOLE_MAX && item->score <= WHOLE_MAX && (double)(int64_t)item->score == item->score;
    char number[24];
    reply_bulk(&text, item->member);
    if (small && whole)
        reply_bulk(&text, bytes_of(number, number_write(number, (int64_t)item->score)));
    else
        reply_double(&text, item->score);
}

// A small one is told whole.
void zset_scan(struct keys_call *call) {
    bool wrong;
    struct scan scan;
    if (!scan_cursor(call, call->argv[2], &scan)) return;
    const struct key *key = key_find_typed(call, call->argv[1], KEY_ZSET, &wrong);
    if (wrong) return;
    if (key == NULL) {
        scan_nothing(call);
        return;
    }
    if (!scan_options(call, 3, &scan)) return;
    bool small = key->encoding == ENCODING_LISTPACK;
    if (small) scan.cursor = 0, scan.count = UINT64_MAX;
    uint64_t all = zset_count(key), end, at = scan_begin(call, &scan, all, &end);
    size_t begun = reply_begin(&call->out), count = 0;
    for (; at > end; at--) {
        struct zset_item item = zset_at_place(key, (uint32_t)(small ? all - at : at - 1));
        if (!scan_matches(&scan, item.member)) continue;
        reply_pair(call, &item, small);
        count += 2;
    }
    reply_end(&call->out, begun, '*', count);
}
