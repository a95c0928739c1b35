// Save, load and digests. A record is the counters, a limit's head, or a hold of the limit whose head came last; what
// is saved of an item is also what its digest is over.
#include "model/limiter/limiter_internal.h"
#include <errno.h>
#include <string.h>

enum { RECORD_COUNTERS = 1, RECORD_LIMIT = 2, RECORD_HOLD = 3 };
#define RECORD_BYTES_MAX (1 + 1 + LIMITER_NAME_BYTES_MAX + 9 * 8 + SLOTS_KEPT * 4)
#define DIGEST_DOMAIN 0x6c696d69ull

static uint8_t *out_u64(uint8_t *at, uint64_t v) {
    put_u64_le(at, v);
    return at + 8;
}

static size_t counters_record(const struct limiter_state *state, uint8_t *to) {
    uint8_t *at = to;
    *at++ = RECORD_COUNTERS;
    at = out_u64(at, state->number);
    return (size_t)(at - to);
}

static size_t limit_record(const struct limit *limit, uint8_t *to) {
    uint8_t *at = to;
    *at++ = RECORD_LIMIT;
    *at++ = (uint8_t)limit->name_len;
    memcpy(at, limit->name, limit->name_len);
    at = out_u64(at + limit->name_len, limit->number);
    at = out_u64(at, limit->def.algorithm);
    at = out_u64(at, limit->def.rate | (uint64_t)limit->def.burst << 32);
    at = out_u64(at, limit->def.window_ms);
    at = out_u64(at, limit->bucket.level);
    at = out_u64(at, limit->bucket.at_ms);
    at = out_u64(at, limit->window);
    at = out_u64(at, limit->used);
    at = out_u64(at, limit->idle.item.at != 0 ? limit->idle.item.time : UINT64_MAX);
    for (size_t i = 0; limit->slots && i < SLOTS_KEPT; i++, at += 4) put_u32_le(at, limit->slots[i]);
    return (size_t)(at - to);
}

static size_t hold_record(const struct hold *hold, uint8_t *to) {
    uint8_t *at = to;
    *at++ = RECORD_HOLD;
    at = out_u64(at, hold->limit->number);
    at = out_u64(at, hold->session);
    at = out_u64(at, hold->token);
    at = out_u64(at, hold->since_ms);
    at = out_u64(at, hold->until_ms);
    at = out_u64(at, hold->units);
    return (size_t)(at - to);
}

struct digest limiter_counters_digest(const struct limiter_state *state) {
    uint8_t record[RECORD_BYTES_MAX];
    if (state->number == 0) return (struct digest){0}; // never used: as on a node that does not know the model
    return digest_hash(record, counters_record(state, record), DIGEST_DOMAIN);
}
struct digest limit_digest_of(const struct limit *limit) {
    uint8_t record[RECORD_BYTES_MAX];
    return digest_hash(record, limit_record(limit, record), DIGEST_DOMAIN);
}
struct digest hold_digest_of(const struct hold *hold) {
    uint8_t record[RECORD_BYTES_MAX];
    return digest_hash(record, hold_record(hold, record), DIGEST_DOMAIN);
}

struct digest limiter_digest_recount(const void *model) {
    const struct limiter_state *state = model;
    struct digest sum = limiter_counters_digest(state);
    for (const struct list *at = state->all.next; at != &state->all; at = at->next)
        digest_add(&sum, limit_digest_of(CONTAINER_OF_CONST(at, struct limit, all)));
    for (const struct omap_node *at = omap_first(&state->by_session); at != NULL; at = omap_next(at))
        digest_add(&sum, hold_digest_of(CONTAINER_OF_CONST(at, struct hold, of_session)));
    return sum;
}

// ---- save: counters, then each limit and its holds, in their orders

enum { AT_COUNTERS, AT_LIMIT, AT_HOLDS, AT_END };

static void next_limit(struct save_cursor *cursor, const struct limiter_state *state, const struct list *limit) {
    cursor->words[0] = limit == &state->all ? AT_END : AT_LIMIT;
    cursor->words[1] = (uint64_t)(uintptr_t)limit;
}

// Writes the record under the cursor, moves the cursor; 0: nothing stood there.
static size_t save_one(const struct limiter_state *state, struct save_cursor *cursor, uint8_t *out) {
    if (cursor->words[0] == AT_COUNTERS) {
        next_limit(cursor, state, state->all.next);
        return state->number == 0 ? 0 : counters_record(state, out);
    }
    const struct list *place = (const struct list *)(uintptr_t)cursor->words[1];
    const struct limit *limit = CONTAINER_OF_CONST(place, struct limit, all);
    if (cursor->words[0] == AT_LIMIT) {
        cursor->words[0] = AT_HOLDS;
        cursor->words[2] = (uint64_t)(uintptr_t)omap_first(&limit->holds);
        return limit_record(limit, out);
    }
    const struct omap_node *at = (const struct omap_node *)(uintptr_t)cursor->words[2];
    if (at == NULL) {
        next_limit(cursor, state, place->next);
        return 0;
    }
    cursor->words[2] = (uint64_t)(uintptr_t)omap_next(at);
    return hold_record(CONTAINER_OF_CONST(at, struct hold, of_limit), out);
}

size_t limiter_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    size_t len = 0;
    while (cursor->words[0] != AT_END && capacity - len >= RECORD_BYTES_MAX) len += save_one(model, cursor, out + len);
    return len;
}

// ---- load

static bool load_counters(struct limiter_state *state, struct reader *r) {
    digest_sub(&state->digest, limiter_counters_digest(state));
    state->number = read_u64_le(r);
    digest_add(&state->digest, limiter_counters_digest(state));
    return !r->failed && list_empty(&state->all);
}

static struct limit *last_limit(const struct limiter_state *state) {
    return list_empty(&state->all) ? NULL : CONTAINER_OF(state->all.prev, struct limit, all);
}

static bool load_limit(struct limiter_state *state, struct reader *r) {
    struct bytes name = read_span(r, read_u8(r));
    uint64_t number = read_u64_le(r), algorithm = read_u64_le(r), amounts = read_u64_le(r);
    struct limiter_definition def = {
        .rate = (uint32_t)amounts, .burst = (uint32_t)(amounts >> 32), .window_ms = read_u64_le(r)};
    struct bucket bucket = {.level = read_u64_le(r)};
    bucket.at_ms = read_u64_le(r);
    uint64_t window = read_u64_le(r), used = read_u64_le(r), idle = read_u64_le(r);
    if (r->failed || name.len == 0 || algorithm > LIMITER_CONCURRENCY || limit_find(state, name)) return false;
    def.algorithm = (enum limiter_algorithm)algorithm;
    if (!definition_good(&def) || bucket.level >> 62 != 0 || used >> 32 != 0) return false;
    if (def.window_ms > 0 && window > (UINT64_MAX >> 2) / def.window_ms) return false;
    if (number > state->number || (last_limit(state) && last_limit(state)->number >= number)) return false;
    struct limit *limit = limit_make(state, name, &def);
    limit->number = number;
    limit->bucket = bucket;
    limit->window = window;
    limit->used = used;
    for (size_t i = 0; limit->slots && i < SLOTS_KEPT; i++) limit->slots[i] = read_u32_le(r);
    if (idle != UINT64_MAX) heap_set(&state->due, &limit->idle.item, idle, number);
    digest_add(&state->digest, limit_digest_of(limit));
    return !r->failed;
}

static bool load_hold(struct limiter_state *state, struct reader *r) {
    struct limit *limit = last_limit(state);
    uint64_t number = read_u64_le(r), session = read_u64_le(r), token = read_u64_le(r);
    uint64_t since_ms = read_u64_le(r), until_ms = read_u64_le(r), units = read_u64_le(r);
    if (r->failed || limit == NULL || limit->number != number || token > state->number) return false;
    if (units == 0 || units > LIMITER_UNITS_MAX || limit->held + units > LIMITER_UNITS_MAX) return false;
    if (limit->idle.item.at != 0 || (until_ms == UINT64_MAX && session == 0)) return false;
    struct hold *hold = hold_make(state, limit, session, token, (uint32_t)units, until_ms);
    if (hold == NULL) return false;
    hold->since_ms = since_ms;
    digest_add(&state->digest, hold_digest_of(hold));
    return true;
}

int limiter_load(void *model, const uint8_t *data, size_t len) {
    struct limiter_state *state = model;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        uint8_t kind = read_u8(&r);
        bool good = kind == RECORD_COUNTERS ? load_counters(state, &r)
                    : kind == RECORD_LIMIT  ? load_limit(state, &r)
                    : kind == RECORD_HOLD   ? load_hold(state, &r)
                                            : false;
        if (!good) return -EBADMSG;
    }
    return r.failed ? -EBADMSG : 0;
}
