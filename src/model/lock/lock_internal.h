// What the files of the lock model share. Nothing outside this folder includes it.
//
//   lock.c           state, grants, the end of claims, expiry
//   lock_op.c        operations
//   lock_deadlock.c  the search for circles
//   lock_save.c      save, load, digests
//   lock_write.c     commands' bytes
//
// A claim is an owner's holding of a lock, or its place in the lock's queue: token 0 says that it waits. Claims and
// locks are numbered from one counter, so every order below is one that all replicas share.
#pragma once
#include "base/arena.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/pool.h"
#include "model/lease/lease.h"
#include "model/lock/lock.h"

struct lock {
    struct hash_node index; // by name
    struct list all;        // in the order of their numbers
    struct list of_kind;    // elections, or all others
    struct list holders, waiters;
    uint64_t number;
    uint32_t holder_count, waiter_count, taken; // taken: permits out
    enum lock_mode mode;                        // PERMITS, ELECTION, or EXCLUSIVE for what is shared or exclusive
    uint32_t total;                             // of PERMITS
    struct heap_item delay;                     // nobody gets it before (lock-delay)
    size_t name_len;
    uint8_t name[];
};

struct lock_owner {
    struct hash_node index; // by session and text
    struct list claims;
    struct lock_session *session; // NULL: none
    uint32_t visited;             // by which search for circles
    uint8_t len;
    uint8_t text[];
};

struct claim_value {  // of an election's candidate
    uint64_t version; // 0: it waits. From the same counter as tokens, and at first the token
    uint32_t len;
    uint8_t bytes[];
};

struct claim {              // 100,000 of them may wait at once: no byte is here for comfort
    struct list of_lock;    // holders or waiters
    struct list of_session; // in the order of their numbers; of no session: unlinked
    struct list of_owner;
    struct lock *lock;
    struct lock_owner *owner;
    struct heap_item due;             // of its time to live, or of its waiting; its tie is the claim's number
    struct claim_value *value;        // ELECTION; else NULL
    uint64_t ticket, token;           // ticket: of the newest request for it
    uint64_t since_ms : 62, mode : 2; // enum lock_mode
    uint32_t ttl_ms, delay_ms, permits, holds;
};
#define CLAIM_SINCE_MS_MAX ((1ull << 62) - 1)
_Static_assert(LOCK_TTL_MS_MAX <= UINT32_MAX, "times of a claim");

struct lock_session {
    struct hash_node index;
    struct list claims;
    uint64_t session;
    uint32_t count;
    bool unordered; // as they were loaded: to be put in order before anybody asks
    bool ending;    // in the entry under way
};

struct lock_state {
    struct hash locks, owners, sessions;
    struct list all;
    struct list kinds[2]; // [1]: elections
    uint64_t elections;
    struct pool claims;
    struct heap claims_due, delays_due;
    struct digest digest;
    uint64_t number, token; // the newest given out
    uint32_t searches;      // no state
    uint64_t value_bytes;   // of all claims
    struct arena arena;     // of the newest result
    struct lock_result result;
};

static inline struct bytes lock_name(const struct lock *lock) {
    return bytes_of(lock->name, lock->name_len);
}
static inline struct bytes owner_text(const struct lock_owner *owner) {
    return bytes_of(owner->text, owner->len);
}

static inline uint64_t owner_session(const struct lock_owner *owner) {
    return owner->session ? owner->session->session : 0;
}
static inline uint64_t claim_number(const struct claim *claim) {
    return claim->due.tie;
}

static inline enum lock_mode lock_kind(enum lock_mode mode) { // of all who use a lock
    return mode == LOCK_SHARED ? LOCK_EXCLUSIVE : mode;
}
static inline struct bytes claim_value(const struct claim *claim) {
    return claim->value ? bytes_of(claim->value->bytes, claim->value->len) : bytes_of("", 0);
}

// lock.c
struct lock *lock_find(const struct lock_state *state, struct bytes name);
struct lock *lock_make(struct lock_state *state, struct bytes name, enum lock_mode mode, uint32_t total);
void lock_set_kind(struct lock_state *state, struct lock *lock, enum lock_mode mode, uint32_t total);
struct lock_owner *owner_find(const struct lock_state *state, uint64_t session, struct bytes text);
struct claim *claim_of(const struct lock *lock, const struct lock_owner *owner); // NULL: none
struct claim *claim_make(struct lock_state *state, struct lock *lock, uint64_t session, struct bytes text,
                         uint64_t number);
void claim_free(struct lock_state *state, struct claim *claim); // out of every table; digests are the caller's
void claim_link(struct claim *claim, bool holds);               // at the end of the lock's holders or waiters
bool lock_compatible(const struct lock *lock, enum lock_mode mode, uint32_t permits); // with those who hold it
void claim_grant(struct lock_state *state, struct apply *apply, struct claim *claim);
void claim_end(struct lock_state *state, struct apply *apply, struct claim *claim); // and who comes next
void claim_cancel(struct lock_state *state, struct apply *apply, struct claim *claim);
void claim_set_value(struct lock_state *state, struct claim *claim, struct bytes value); // digests are the caller's
// A new version, which all are told. The claim leads; digests are the caller's.
void claim_proclaim(struct lock_state *state, struct apply *apply, struct claim *claim);
// Whoever waits under its ticket.
void claim_tell_superseded(struct lock_state *state, struct apply *apply, const struct claim *claim);
void claim_lost(struct lock_state *state, struct apply *apply, struct claim *claim, enum lock_loss loss,
                struct bytes reason);
void claim_set_due(struct lock_state *state, struct claim *claim, uint64_t at_ms); // UINT64_MAX: none
uint32_t session_claims(const struct lock_state *state, uint64_t session);
void lock_drop_if_unused(struct lock_state *state, struct lock *lock);
uint64_t lock_time_after(uint64_t now_ms, uint64_t ms); // does not overflow

// lock_op.c
extern const struct result_keeper lock_keeper;
void lock_apply(void *state, struct apply *apply, const struct command *command, struct result *result);

// lock_deadlock.c: would `owner` waiting for `lock` close a circle? Gives its text (in the state's arena), or NULL.
const char *lock_circle(struct lock_state *state, const struct lock *lock, struct lock_owner *owner,
                        enum lock_mode mode);

// lock_save.c
struct digest lock_digest_of(const struct lock *lock);
struct digest claim_digest_of(const struct claim *claim);
struct digest counters_digest_of(const struct lock_state *state);
size_t lock_save(const void *state, struct save_cursor *cursor, uint8_t *out, size_t capacity);
int lock_load(void *state, const uint8_t *data, size_t len);
struct digest lock_digest_recount(const void *state);
