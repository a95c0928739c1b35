// Rate limits and concurrency limits as replicated state. Each call names the limit, its definition and a cost; the
// answer says whether it is allowed, what remains, and when to try again. Time is log time, so a leader's change
// neither opens nor closes a limit. Whole numbers only, and no remainder is lost.
//
// What each never exceeds (L = rate, W = window_ms, B = burst):
//   FIXED_WINDOW    L units in each window; windows start at the multiples of W in log time. (Over a border up to 2 L.)
//   SLIDING_WINDOW  L units in any W milliseconds, wherever they begin. Kept in 64 sub-windows (of 1 ms and exact when
//                   W <= 64): it counts a unit for up to W/64 (rounded up) longer than W, so it may permit late but
//                   never too much.
//   TOKEN_BUCKET    B + L * t / W units in any t milliseconds.
//   LEAKY_BUCKET    as the token bucket; and its answer's delay_ms says when the call's turn is, if calls shall leave
//   at
//                   an even rate: then at most one unit each W / L.
//   CONCURRENCY     L units held at once. Permits end by release, TTL, or with their session.
//
// A definition travels with each call. When it differs from the one that the limit has, what counted as used under the
// old one counts as used now under the new one (rounded up to whole units; a bucket at most full). Between CONCURRENCY
// and the others there is no conversion: error KIND while anything is held. A limit with nothing in use drops out of
// the state.
//
// Quota leases: a node takes n units for a time, and gives them out by itself, without a log entry each. While the
// lease is out its units count as used, and when it ends those that were used count as used at that moment: so the
// bounds above hold for the use itself, at whatever moment of the lease it happens. What it costs is only too little: n
// units are out of the limit for the lease's time. A holder measures the lease from before it asked, and leaves a
// margin for the drift of its clock.
#pragma once
#include "model/model.h"

#define LIMITER_NAME_BYTES_MAX 255u                      // a saved record must hold it whole
#define LIMITER_UNITS_MAX 1000000000u                    // rate, burst, cost: units * window fits in 62 bits
#define LIMITER_WINDOW_MS_MAX (30ull * 24 * 3600 * 1000) // the same
#define LIMITER_TTL_MS_MAX (30ull * 24 * 3600 * 1000)    // of a permit
#define LIMITER_LEASE_MS_MAX (3600ull * 1000)            // a lost node holds back its block for so long at most
#define LIMITER_SESSION_MAX 10000u                       // permits and leases of one session: its end is one entry
#define LIMITER_LIMITS_MAX 10000000u                     // names are often chosen by strangers (an address each)
#define LIMITER_SLOTS 64u                                // sub-windows of a sliding window
#define LIMITER_IDLE_GRID_MS 1000u // unused limits are dropped together: a time entry a second, not one a limit

#define LIMITER_OPS(X)                                                                                                 \
    X(TAKE, 1)    /* name, definition, cost varint, ttl_ms varint. CONCURRENCY: a permit (ttl_ms 0: of the session) */ \
    X(LEASE, 2)   /* name, definition, units varint, least varint, ttl_ms varint: a block of as many as are free */    \
    X(RELEASE, 3) /* name, token varint, used varint: a permit or a lease ends; of a lease, so much was used */        \
    X(RENEW, 4)   /* name, token varint, ttl_ms varint */
enum limiter_op {
#define X(name, value) LIMITER_##name = value,
    LIMITER_OPS(X)
#undef X
};

#define LIMITER_ERRORS(X)                                                                                              \
    X(NOT_HELD, -1, "no permit or lease of this token")                                                                \
    X(KIND, -2, "permits or leases of another kind of limit are out under this name")                                  \
    X(LIMIT, -3, "more than one session may hold, or more limits than there may be")                                   \
    X(BAD_ARGUMENTS, -4, "arguments out of bounds, or a cost that the limit could never allow")
enum limiter_error {
    LIMITER_OK = 0,
#define X(name, code, text) LIMITER_##name = code,
    LIMITER_ERRORS(X)
#undef X
};

enum limiter_algorithm {
    LIMITER_FIXED_WINDOW = 0,
    LIMITER_SLIDING_WINDOW = 1,
    LIMITER_LEAKY_BUCKET = 2,
    LIMITER_TOKEN_BUCKET = 3,
    LIMITER_CONCURRENCY = 4,
};
// In a command: algorithm u8, then rate, burst, window_ms as varints.
struct limiter_definition {
    enum limiter_algorithm algorithm;
    uint32_t rate;      // units a window; CONCURRENCY: units at once
    uint32_t burst;     // of buckets: what may go at once; 0: as the rate. Of others: 0
    uint64_t window_ms; // CONCURRENCY: 0
};

struct limiter_result { // value of every operation
    bool allowed;       // a refusal is an answer, not an error
    uint32_t limit;     // how much the limit allows from nothing in use
    uint32_t remaining;
    uint64_t retry_after_ms; // refused: the same cost may be allowed then, as it stands now. 0: by a release only
    uint64_t delay_ms;       // LEAKY_BUCKET allowed: its turn, for an even rate
    uint64_t token;          // of the permit or lease
    uint32_t units;          // LEASE: how many were had
    uint64_t until_ms;       // of the permit or lease, log time; UINT64_MAX: until its session ends
};

// A permit or lease ended by its time, or a permit with its session.
struct limiter_event {
    struct bytes name;
    uint64_t session, token;
    uint32_t units;
    bool lease, expired; // expired: by its time
};

struct limiter_info {
    struct bytes name;
    struct limiter_definition definition;
    uint32_t limit, remaining;
    uint64_t used, held; // held: in permits and leases
    uint32_t holds;
};
struct limiter_hold_info {
    uint64_t token, session, until_ms, since_ms;
    uint32_t units;
    bool lease;
    struct bytes limit; // its name
};
// Query: one limit (name) and its permits and leases, the earliest to end first; or all limits (name empty), in the
// order of their making, after the one named `after` when it still is. Or the permits and leases of one session.
struct limiter_query {
    struct bytes name, after;
    uint64_t session;
    uint64_t now_ms; // log time as of which it is answered (of the last applied entry)
    size_t max;      // how many limits, or permits and leases
    void (*limit)(void *context, const struct limiter_info *info);
    void (*hold)(void *context, const struct limiter_hold_info *hold);
    void *context;
};

extern const struct model_ops limiter_model;
void limiter_write_take(struct writer *w, uint64_t session, uint64_t attach, struct bytes name,
                        const struct limiter_definition *definition, uint32_t cost, uint64_t ttl_ms);
void limiter_write_lease(struct writer *w, uint64_t session, uint64_t attach, struct bytes name,
                         const struct limiter_definition *definition, uint32_t units, uint32_t least, uint64_t ttl_ms);
void limiter_write_release(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t token,
                           uint32_t used);
void limiter_write_renew(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t token,
                         uint64_t ttl_ms);
