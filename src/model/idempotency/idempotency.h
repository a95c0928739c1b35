// Idempotency keys as replicated state: of all who begin under one key, one runs; the others wait for what it stores,
// or are told that it is under way; later ones get what was stored.
//
//             begin                     complete, or fail and store
//   (nothing) -----> running (token) ------------------------------> done (status, body) --time to live--> (nothing)
//                     ^     | lease over, session ended, or fail
//                     |     v
//                     +--- free ---time to live---> (nothing)       (whoever waits runs next, in the order of tickets)
//
// Each run's token is larger than that of every run before it, of any key, also after a restore from a backup. What a
// run stores counts only while no newer one has begun: complete under an older token is refused. A run whose holder was
// lost may have done a part of its work: `attempt` says how many ran before.
#pragma once
#include "model/items.h"
#include "model/remember.h"

#define IDEMPOTENCY_KEY_BYTES_MAX 255u
#define IDEMPOTENCY_OWNER_BYTES_MAX 255u
#define IDEMPOTENCY_FINGERPRINT_BYTES_MAX 64u
#define IDEMPOTENCY_BODY_BYTES_MAX                                                                                     \
    65536u                             // a saved record holds it whole; what is larger belongs elsewhere, by reference
#define IDEMPOTENCY_WAITERS_MAX 1000u  // of one key: complete tells them all in one entry
#define IDEMPOTENCY_SESSION_MAX 10000u // runs and waiters of one session: its end is one entry and must stay short
#define IDEMPOTENCY_TTL_MS_MAX (30ull * 24 * 3600 * 1000)
#define IDEMPOTENCY_LEASE_MS_MAX (24ull * 3600 * 1000)
#define IDEMPOTENCY_WAIT_MS_MAX (3600ull * 1000) // a waiter whose node died goes away by itself

// Operations. key, fingerprint, owner, body: blobs. Tokens prove who runs, whatever session the command came in.
#define IDEMPOTENCY_OPS(X)                                                                                             \
    X(BEGIN, 1)    /* see idempotency_request */                                                                       \
    X(COMPLETE, 2) /* key, token varint, status varint, body */                                                        \
    X(FAIL, 3)     /* key, token varint, store u8, status varint, body: frees it, or stores that it failed */          \
    X(EXTEND, 4)   /* key, token varint, lease_ms varint: from now on */                                               \
    X(CANCEL, 5)   /* key, ticket varint: waits no longer; void when it runs meanwhile */                              \
    X(FORGET, 6)   /* key: an operator drops what is stored */                                                         \
    X(ONCE, 7)     /* see idempotency_once: another model's command, run by the machine; its result is kept */
enum idempotency_op {
#define X(name, value) IDEMPOTENCY_##name = value,
    IDEMPOTENCY_OPS(X)
#undef X
};

#define IDEMPOTENCY_ERRORS(X)                                                                                          \
    X(IN_PROGRESS, -1, "a run under this key is under way")                                                            \
    X(MISMATCH, -2, "this key was used for another request")                                                           \
    X(NOT_HELD, -3, "not the newest run under this key")                                                               \
    X(ALREADY, -4, "completed before, with another status or body")                                                    \
    X(NOT_FOUND, -5, "nothing is known under this key, or the ticket waits no longer")                                 \
    X(LIMIT, -6, "more runs or waiters than one session or one key may have")                                          \
    X(BAD_ARGUMENTS, -7, "arguments out of bounds")
enum idempotency_error {
    IDEMPOTENCY_OK = 0,
#define X(name, code, text) IDEMPOTENCY_##name = code,
    IDEMPOTENCY_ERRORS(X)
#undef X
};

struct idempotency_request {
    struct bytes key, fingerprint; // fingerprint: of the request; another one under the key is a mismatch
    struct bytes owner;            // not empty: chosen anew for each call, so that its retry gets the same run or place
    uint64_t ttl_ms;               // how long what is stored stays
    uint64_t lease_ms;             // how long it may run without EXTEND; 0: until its session ends (there must be one)
    uint64_t wait_ms;              // 0: does not wait
};

// A command that takes effect once, however often its request comes: check, effect and what was answered are one entry.
// (`begin` and `complete` are for work that is done elsewhere.) Its keys are apart from those of BEGIN.
#define IDEMPOTENCY_ONCE_KEY_BYTES_MAX REMEMBER_ID_BYTES_MAX
#define IDEMPOTENCY_ONCE_MAX 1000000u // remembered: some 250 bytes each. Over it new ones are refused
struct idempotency_once {
    struct bytes key, fingerprint; // fingerprint: of the request; another one under the key is a mismatch
    uint64_t ttl_ms;               // how long it is remembered
    struct bytes command;          // whole, of the same session as this one
};

enum idempotency_outcome { IDEMPOTENCY_RUNS = 1, IDEMPOTENCY_WAITS = 2, IDEMPOTENCY_STORED = 3 };
struct idempotency_result {           // value of every operation
    enum idempotency_outcome outcome; // BEGIN; CANCEL: RUNS when it was too late
    uint64_t token;                   // RUNS: of this run; IN_PROGRESS: of the one under way
    uint64_t ticket;                  // RUNS, WAITS
    uint32_t attempt;                 // RUNS: 1 for the first
    uint32_t status;                  // STORED, with failed and body
    bool failed;
    bool repeated; // COMPLETE: it was stored before, alike
    struct bytes body;
    struct bytes holder;       // IN_PROGRESS: the owner's text
    uint64_t since_ms, due_ms; // IN_PROGRESS: log time of its begin and of its lease's end (NO_DEADLINE: none)
};

enum idempotency_event_type {
    IDEMPOTENCY_EVENT_RUN,       // one that waited runs
    IDEMPOTENCY_EVENT_DONE,      // what one waited for is stored
    IDEMPOTENCY_EVENT_TIMED_OUT, // a waiter's time is over
    IDEMPOTENCY_EVENT_CANCELLED, // a waiter was cancelled: it may be waited for at another node than the one that asked
    IDEMPOTENCY_EVENT_LOST,      // a run's lease is over, or its session ended
};
struct idempotency_event {
    enum idempotency_event_type type;
    struct bytes key, owner;
    uint64_t session, ticket, token;
    uint32_t attempt, status; // RUN; DONE
    bool failed;
    struct bytes body;
};

// Query: a page of keys; or the runs and waiters of one session, in the order of their tickets.
struct idempotency_info {
    struct bytes key, fingerprint, holder, body;
    enum idempotency_outcome outcome; // RUNS, STORED; 0: free
    uint64_t token, session, since_ms, due_ms, ttl_ms;
    uint32_t attempts, waiters, status;
    bool failed;
};
struct idempotency_claim_info {
    struct bytes key, owner;
    uint64_t token, since_ms; // token 0: it waits
};
struct idempotency_query {
    struct items_page page;
    uint64_t session; // not 0: its `claim`s, at most page.max
    void (*key)(void *context, const struct idempotency_info *info);
    void (*claim)(void *context, const struct idempotency_claim_info *info);
    void *context;
};

extern const struct model_ops idempotency_model;
void idempotency_write_begin(struct writer *w, uint64_t session, uint64_t attach,
                             const struct idempotency_request *request);
void idempotency_write_complete(struct writer *w, uint64_t session, uint64_t attach, struct bytes key, uint64_t token,
                                uint32_t status, struct bytes body);
void idempotency_write_fail(struct writer *w, uint64_t session, uint64_t attach, struct bytes key, uint64_t token,
                            bool store, uint32_t status, struct bytes body);
void idempotency_write_extend(struct writer *w, uint64_t session, uint64_t attach, struct bytes key, uint64_t token,
                              uint64_t lease_ms);
void idempotency_write_cancel(struct writer *w, uint64_t session, uint64_t attach, struct bytes key, uint64_t ticket);
void idempotency_write_forget(struct writer *w, struct bytes key);
void idempotency_write_once(struct writer *w, uint64_t session, uint64_t attach, const struct idempotency_once *once);

// For the machine, which runs the command between them.
int idempotency_once_read(struct bytes args, struct idempotency_once *once); // 0, or why it is refused
// What was kept under the key. 0: nothing, it may run now. 1: `kept` is what was kept. Else the error.
int idempotency_once_find(const void *state, const struct idempotency_once *once, struct bytes *kept);
void idempotency_once_keep(void *state, const struct apply *apply, const struct idempotency_once *once,
                           struct bytes kept);
