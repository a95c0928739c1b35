// What the files of the limiter share. Nothing outside this folder includes it.
//
//   limiter.c        state, permits and leases, expiry, queries
//   limiter_meter.c  the algorithms: what is in use at a moment, and when it is not any more
//   limiter_op.c     operations and their bytes
//   limiter_save.c   save, load, digests
//
// A hold is a permit of a CONCURRENCY limit, or a lease of another one: units that count as used until it ends.
#pragma once
#include "base/bucket.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/omap.h"
#include "model/limiter/limiter.h"
#include "model/owned.h"

// A sliding window of W ms looks at W / width + 1 sub-windows, the one under way included.
#define SLOTS_KEPT (LIMITER_SLOTS + 1)

enum limiter_due_kind { DUE_IDLE, DUE_HOLD };
struct limiter_due { // the tie is the number of the limit or the token of the hold
    struct heap_item item;
    enum limiter_due_kind kind;
};

struct limit {
    struct hash_node index; // by name
    struct list all;        // in the order of their numbers
    uint64_t number;
    struct limiter_definition def;
    struct bucket bucket; // LEAKY_BUCKET, TOKEN_BUCKET
    uint64_t window;      // FIXED_WINDOW: which; SLIDING_WINDOW: the newest sub-window that has units
    uint64_t used;        // FIXED_WINDOW: in that window
    uint32_t *slots;      // SLIDING_WINDOW: units of sub-window s at s % SLOTS_KEPT
    uint64_t held;        // units of holds
    struct omap holds;    // by (until, token)
    struct limiter_due idle;
    size_t name_len;
    uint8_t name[];
};

struct hold {
    struct omap_node of_limit;
    struct omap_node of_session; // by (session, token); session 0 too
    struct limit *limit;
    uint64_t session, token, since_ms, until_ms; // until UINT64_MAX: its session's end
    uint32_t units;
    struct limiter_due due;
};

struct limiter_state {
    struct hash limits;
    struct list all;
    struct omap by_session;
    struct owned owned;
    struct heap due;
    struct digest digest;
    uint64_t number;  // the newest given out. Limits and tokens share it, so that no two deadlines have one tie
    uint64_t sliding; // limits that have slots, for memory()
    struct limiter_result result;
};

static inline struct bytes limit_name(const struct limit *limit) {
    return bytes_of(limit->name, limit->name_len);
}
static inline uint64_t limiter_time_after(uint64_t now_ms, uint64_t ms) {
    return ms > UINT64_MAX - 1 - now_ms ? UINT64_MAX - 1 : now_ms + ms;
}

// limiter.c
struct limit *limit_find(const struct limiter_state *state, struct bytes name);
struct limit *limit_make(struct limiter_state *state, struct bytes name, const struct limiter_definition *def);
void limit_set_idle(struct limiter_state *state, struct limit *limit); // when it would be dropped
struct hold *hold_find(const struct limiter_state *state, uint64_t session, uint64_t token);
struct hold *hold_make(struct limiter_state *state, struct limit *limit, uint64_t session, uint64_t token,
                       uint32_t units, uint64_t until_ms); // NULL: the token is taken (damaged bytes only)
void hold_end(struct limiter_state *state, struct hold *hold, uint64_t used, uint64_t now_ms); // used: of a lease
void hold_set_until(struct limiter_state *state, struct hold *hold, uint64_t until_ms);
static inline bool hold_is_lease(const struct hold *hold) {
    return hold->limit->def.algorithm != LIMITER_CONCURRENCY;
}

// limiter_meter.c
bool definition_good(const struct limiter_definition *def);
uint32_t meter_capacity(const struct limiter_definition *def);
uint64_t meter_used(const struct limit *limit, uint64_t now_ms); // whole units, rounded up, without holds
uint32_t meter_free(const struct limit *limit, uint64_t now_ms); // whole units that a call could have
uint64_t meter_wait_ms(const struct limit *limit, uint64_t cost, uint64_t now_ms); // UINT64_MAX: holds stand in the way
uint64_t meter_turn_ms(const struct limit *limit, uint64_t now_ms); // LEAKY_BUCKET: until what is in it has left
void meter_charge(struct limit *limit, uint64_t units, uint64_t now_ms);
uint64_t meter_idle_at(const struct limit *limit); // log time from which nothing counts as used
void meter_convert(struct limiter_state *state, struct limit *limit, const struct limiter_definition *def,
                   uint64_t now_ms);
void meter_slots(struct limiter_state *state, struct limit *limit); // makes or frees them, as the definition needs

// limiter_op.c
extern const struct result_keeper limiter_keeper;
void limiter_apply(void *state, struct apply *apply, const struct command *command, struct result *result);

// limiter_save.c
struct digest limit_digest_of(const struct limit *limit);
struct digest hold_digest_of(const struct hold *hold);
struct digest limiter_counters_digest(const struct limiter_state *state);
size_t limiter_save(const void *state, struct save_cursor *cursor, uint8_t *out, size_t capacity);
int limiter_load(void *state, const uint8_t *data, size_t len);
struct digest limiter_digest_recount(const void *state);
