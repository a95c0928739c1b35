// Fenced fair locks as replicated state: exclusive, shared and permits (a semaphore), reentrant per owner, queued first
// in first out, bound to a session or to a time to live. Time is log time, so nothing ends early and a leader's change
// ends nothing.
//
//   lock "orders"   holders: [a, token 17]        waiters: [b] [c] [d]     (in the order in which they came)
//
// Fencing: each grant's token is larger than that of every grant before it, of any lock, also after a restore from a
// backup (tokens follow the index, which never returns). A resource that remembers the largest token it has seen
// refuses whoever lost the lock without knowing.
//
// An election is a lock of a mode of its own: its holder is the leader, and who waits is a candidate. Each claim brings
// a value, which the leader may change; observers are told of every change, under a version that only grows.
#pragma once
#include "model/model.h"

#define LOCK_NAME_BYTES_MAX 255u // a saved record must hold it whole
#define LOCK_OWNER_BYTES_MAX 255u
#define LOCK_REASON_BYTES_MAX 255u
#define LOCK_VALUE_BYTES_MAX 1024u // an address, or a small document: every digest of a candidate goes over it
#define LOCK_WAITERS_MAX 1000000u  // of one lock
#define LOCK_SESSION_MAX 10000u    // claims of one session: its end is one entry and must stay short
#define LOCK_TTL_MS_MAX (30ull * 24 * 3600 * 1000)
#define LOCK_ALL_MAX 64u // locks in one step
#define LOCK_WAIT_FOREVER UINT64_MAX
#define LOCK_DEADLOCK_STEPS_MAX 10000u // claims looked at; a longer chain is not found

// Operations. name, owner, reason: blobs. An owner is (session of the command, owner text).
#define LOCK_OPS(X)                                                                                                    \
    X(ACQUIRE, 1)     /* name, owner, mode u8, permits varint, total varint, ttl_ms varint, wait_ms varint, delay_ms   \
                         varint; of an election value too: see lock_request */                                         \
    X(ACQUIRE_ALL, 2) /* owner, ttl_ms, delay_ms varints, count varint, then (name, mode u8) each: all now, or none */ \
    X(RELEASE, 3)     /* name, owner, token varint, all u8: one hold, or all holds */                                  \
    X(RENEW, 4)       /* name, owner, token varint, ttl_ms varint */                                                   \
    X(CANCEL, 5)      /* name, owner, ticket varint, give_back u8: waits no longer. Granted meanwhile: void, or with   \
                         give_back one hold less. Void when the owner asked again: that has a newer ticket */          \
    X(BREAK, 6)       /* name, token varint, reason: an operator takes it away */                                      \
    X(PROCLAIM, 7)    /* name, owner, token varint, value: the leader's new value */
enum lock_op {
#define X(name, value) LOCK_##name = value,
    LOCK_OPS(X)
#undef X
};

#define LOCK_ERRORS(X)                                                                                                 \
    X(BUSY, -1, "held by another")                                                                                     \
    X(NOT_HELD, -2, "not held under this token")                                                                       \
    X(DEADLOCK, -3, "waiting would close a circle of owners that wait for each other")                                 \
    X(KIND, -4, "held or queued in another way: exclusive and shared, permits of another total, or an election")       \
    X(LIMIT, -5, "more claims than one session or one lock may have")                                                  \
    X(BAD_ARGUMENTS, -6, "arguments out of bounds")
enum lock_error {
    LOCK_OK = 0,
#define X(name, code, text) LOCK_##name = code,
    LOCK_ERRORS(X)
#undef X
};

enum lock_mode { LOCK_EXCLUSIVE = 0, LOCK_SHARED = 1, LOCK_PERMITS = 2, LOCK_ELECTION = 3 };

struct lock_request {
    struct bytes name, owner;
    enum lock_mode mode;
    uint32_t permits, total; // PERMITS: how many of how many (total is fixed while anybody holds or waits); else 1, 0
    uint64_t ttl_ms;         // 0: lives with the command's session (then there must be one)
    uint64_t wait_ms;        // 0: try; LOCK_WAIT_FOREVER
    uint64_t delay_ms;       // after a loss that was no release, nobody gets it for so long (lock-delay)
    struct bytes value;      // ELECTION: what others are to know of this leader
};

struct lock_result { // value of every operation
    bool granted;
    uint64_t token;         // ACQUIRE granted; BUSY: of one holder
    uint64_t ticket;        // ACQUIRE: of this request. An owner that asks again keeps its place, under a new ticket
    uint64_t version;       // PROCLAIM; ACQUIRE of an election, granted: of the leader and its value
    uint32_t holds;         // ACQUIRE, RELEASE: how often this owner holds it now
    struct bytes holder;    // BUSY: one holder's owner text
    struct bytes circle;    // DEADLOCK: "a waits for x, held by b; b waits for y, held by a"
    struct bytes refused;   // ACQUIRE_ALL: the name that could not be had
    const uint64_t *tokens; // ACQUIRE_ALL: one a name, in the order asked
    size_t token_count;
};

enum lock_event_type {
    LOCK_EVENT_GRANTED,    // one that waited
    LOCK_EVENT_LOST,       // a holder lost it: see reason
    LOCK_EVENT_TIMED_OUT,  // a waiter's time is over
    LOCK_EVENT_CANCELLED,  // a waiter waits no longer: it may have asked for that at another node
    LOCK_EVENT_SUPERSEDED, // of the ticket: a newer request of the owner took its place in line
    LOCK_EVENT_LEADER,     // an election has another leader, or value, or nobody (version 0): see version, value
};
enum lock_loss { LOCK_LOSS_EXPIRED = 1, LOCK_LOSS_SESSION = 2, LOCK_LOSS_BROKEN = 3 };
struct lock_event {
    enum lock_event_type type;
    struct bytes name, owner;
    uint64_t session, ticket, token;
    enum lock_loss loss;
    struct bytes reason; // BROKEN
    uint64_t version;    // LEADER
    uint64_t since_ms;   // log time: of the grant, or of the beginning of a wait
    struct bytes value;
};

// Query: one lock (name); or locks in the order of their making (name empty), behind the one named `after` while that
// is there; each with its claims in order, holders first, when `claim` is set. Or the claims of one session in the
// order in which it asked, each behind its lock.
enum lock_only { LOCK_ANY, LOCK_NO_ELECTIONS, LOCK_ELECTIONS };
struct lock_claim_info {
    struct bytes owner;
    uint64_t session, place, ticket, token; // token 0: waits. place: the order in which they came
    enum lock_mode mode;
    uint32_t permits, holds;
    uint64_t ttl_ms, due_ms, since_ms; // log time; due 0: none
    uint64_t version;                  // of a leader
    struct bytes value;                // of a leader, or of a candidate
};
struct lock_query {
    struct bytes name, after;
    size_t max, claims_max; // so many locks; of each so many holders and so many waiters. 0: all
    uint64_t session;       // not 0: all that it holds and waits for
    enum lock_only only;    // of locks in their order; `count`: how many there are of these. May be NULL
    uint64_t *count;
    void (*lock)(void *context, struct bytes name, enum lock_mode mode, uint32_t total, uint32_t holders,
                 uint32_t waiters);
    void (*claim)(void *context, const struct lock_claim_info *claim);
    void *context;
};
// VERIFY for resources: lock_verify(state, name, token): is this token's grant alive on what is applied here.
bool lock_verify(const void *state, struct bytes name, uint64_t token);

extern const struct model_ops lock_model;
void lock_write_acquire(struct writer *w, uint64_t session, uint64_t attach, const struct lock_request *request);
void lock_write_acquire_all(struct writer *w, uint64_t session, uint64_t attach, struct bytes owner, uint64_t ttl_ms,
                            uint64_t delay_ms, const struct bytes *names, const enum lock_mode *modes, size_t count);
void lock_write_release(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes owner,
                        uint64_t token, bool all);
void lock_write_renew(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes owner,
                      uint64_t token, uint64_t ttl_ms);
void lock_write_cancel(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes owner,
                       uint64_t ticket, bool give_back);
void lock_write_proclaim(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes owner,
                         uint64_t token, struct bytes value);
void lock_write_break(struct writer *w, struct bytes name, uint64_t token, struct bytes reason);
