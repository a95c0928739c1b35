// What the files of the idempotency model share. Nothing outside this folder includes it.
//
//   idempotency.c        state, who runs next, expiry, queries
//   idempotency_op.c     operations
//   idempotency_save.c   records, load
//   idempotency_once.c   commands of other models that take effect once
//   idempotency_write.c  commands' bytes
//
// A claim is a run of a key, or a place in its queue: token 0 says that it waits.
#pragma once
#include "base/list.h"
#include "model/idempotency/idempotency.h"

enum idempotency_deadline { DUE_KEY, DUE_CLAIM, DUE_ONCE };

struct idem_key {
    struct item item;
    struct deadline due;       // of what is stored, or free; a running one has none
    struct list waiters;       // in the order of their tickets
    struct idem_claim *run;    // NULL: free or done
    uint8_t *body;             // done
    struct digest body_digest; // of what is saved
    uint64_t number;           // order of creation
    uint64_t token;            // of the newest run; 0 once it gave up
    uint64_t ttl_ms, since_ms;
    uint32_t body_len, status, attempts, waiter_count, fingerprint_len;
    bool done, failed;
    uint8_t fingerprint[]; // then the name
};

struct idem_claim { // under its ticket, 8 bytes big-endian
    struct item item;
    struct deadline due; // of its lease, or of its waiting
    struct list of_key;  // a waiter's
    struct list of_session;
    struct idem_key *key;
    struct idempotency_session *session; // NULL: none
    uint64_t ticket, token, lease_ms, ttl_ms, since_ms;
    uint32_t owner_len;
    uint8_t owner[]; // then the name
};

struct idempotency_session {
    struct hash_node index;
    struct list claims; // in the order of their tickets
    uint64_t session;
    uint32_t count;
};

enum idempotency_word { WORD_NUMBER, WORD_TOKEN, WORD_COUNT };

struct idempotency_state {
    struct items keys, claims;
    struct remember_kind once; // scope 0
    struct hash sessions;
    struct heap due;
    struct item_sum sum;
    uint64_t words[WORD_COUNT];
    struct idempotency_result result;
};

static inline struct idem_key *idem_key_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct idem_key, item) : NULL;
}
static inline struct idem_claim *idem_claim_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct idem_claim, item) : NULL;
}
static inline struct bytes idem_claim_owner(const struct idem_claim *claim) {
    return bytes_of(claim->owner, claim->owner_len);
}
static inline uint64_t idem_claim_session(const struct idem_claim *claim) {
    return claim->session ? claim->session->session : 0;
}
static inline struct bytes idem_key_fingerprint(const struct idem_key *key) {
    return bytes_of(key->fingerprint, key->fingerprint_len);
}
static inline struct bytes idem_key_body(const struct idem_key *key) {
    return bytes_of(key->body, key->body_len);
}

// idempotency.c
struct idem_key *idem_key_find(const struct idempotency_state *state, struct bytes name);
struct idem_key *idem_key_make(struct idempotency_state *state, struct bytes name, struct bytes fingerprint,
                               uint64_t number);
void idem_key_free(struct idempotency_state *state, struct idem_key *key);
void idem_key_store(struct idem_key *key, struct bytes body); // items_changed is due
struct idem_claim *idem_claim_make(struct idempotency_state *state, struct idem_key *key, uint64_t session,
                                   struct bytes owner,
                                   uint64_t ticket); // NULL: the ticket is taken (damaged bytes only)
void idem_claim_free(struct idempotency_state *state, struct idem_claim *claim);
void idem_claim_wait(struct idem_claim *claim);
void idem_claim_run(struct idempotency_state *state, struct apply *apply, struct idem_claim *claim);
void idem_key_give_on(struct idempotency_state *state, struct apply *apply, struct idem_key *key); // its run has ended
void idem_claim_tell(struct apply *apply, const struct idem_claim *claim, enum idempotency_event_type type);
uint32_t idem_session_claims(const struct idempotency_state *state, uint64_t session);

// idempotency_op.c
void idempotency_apply(void *state, struct apply *apply, const struct command *command, struct result *result);

// idempotency_save.c
extern const struct item_kind idem_key_kind, idem_claim_kind;
size_t idempotency_save(const void *state, struct save_cursor *cursor, uint8_t *out, size_t capacity);
int idempotency_load(void *state, const uint8_t *data, size_t len);
struct digest idempotency_digest_recount(const void *state);
