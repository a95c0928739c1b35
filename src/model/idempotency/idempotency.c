// Keys and claims; who runs next; what ends a run. See idempotency_internal.h.
//
// Invariants: a key that is running has no deadline, one that is free or done has one and nobody waits for it; a token
// is given once and only grows.
#include "model/idempotency/idempotency.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "model/idempotency/idempotency_internal.h"
#include <string.h>

// ---- tables

struct idem_key *idem_key_find(const struct idempotency_state *state, struct bytes name) {
    return idem_key_of(items_find(&state->keys, name));
}

struct idem_key *idem_key_make(struct idempotency_state *state, struct bytes name, struct bytes fingerprint,
                               uint64_t number) {
    struct idem_key *key = item_make(sizeof *key + fingerprint.len, name);
    key->number = number;
    key->fingerprint_len = (uint32_t)fingerprint.len;
    if (fingerprint.len > 0) memcpy(key->fingerprint, fingerprint.data, fingerprint.len);
    key->due.kind = DUE_KEY;
    list_init(&key->waiters);
    ENSURE(items_insert(&state->keys, &key->item));
    return key;
}

void idem_key_free(struct idempotency_state *state, struct idem_key *key) {
    ENSURE(key->run == NULL && list_empty(&key->waiters));
    deadline_set(&state->due, &key->due, NO_DEADLINE, 0);
    mem_free(key->body);
    items_remove(&state->keys, &key->item);
}

void idem_key_store(struct idem_key *key, struct bytes body) {
    key->body = mem_alloc(body.len);
    if (body.len > 0) memcpy(key->body, body.data, body.len);
    key->body_len = (uint32_t)body.len;
    key->body_digest = digest_hash(body.data, body.len, MODEL_IDEMPOTENCY);
    key->done = true;
}

static bool session_matches(const struct hash_node *node, const void *key) {
    return CONTAINER_OF_CONST(node, struct idempotency_session, index)->session == *(const uint64_t *)key;
}

static struct idempotency_session *session_find(const struct idempotency_state *state, uint64_t session) {
    struct hash_node *node = hash_find(&state->sessions, hash_u64(session), session_matches, &session);
    return node ? CONTAINER_OF(node, struct idempotency_session, index) : NULL;
}

uint32_t idem_session_claims(const struct idempotency_state *state, uint64_t session) {
    const struct idempotency_session *of = session_find(state, session);
    return of ? of->count : 0;
}

static void session_join(struct idempotency_state *state, struct idem_claim *claim, uint64_t session) {
    struct idempotency_session *of = session_find(state, session);
    if (of == NULL) {
        of = mem_zalloc(sizeof *of);
        of->session = session;
        list_init(&of->claims);
        hash_insert(&state->sessions, &of->index, hash_u64(session));
    }
    of->count++;
    list_push_back(&of->claims, &claim->of_session);
    claim->session = of;
}

static void session_leave(struct idempotency_state *state, struct idem_claim *claim) {
    struct idempotency_session *of = claim->session;
    list_remove(&claim->of_session);
    if (--of->count > 0) return;
    hash_remove(&state->sessions, &of->index);
    mem_free(of);
}

struct idem_claim *idem_claim_make(struct idempotency_state *state, struct idem_key *key, uint64_t session,
                                   struct bytes owner, uint64_t ticket) {
    uint8_t name[8];
    put_u64_be(name, ticket);
    if (items_find(&state->claims, bytes_of(name, 8)) != NULL) return NULL;
    struct idem_claim *claim = item_make(sizeof *claim + owner.len, bytes_of(name, 8));
    claim->ticket = ticket;
    claim->key = key;
    claim->owner_len = (uint32_t)owner.len;
    if (owner.len > 0) memcpy(claim->owner, owner.data, owner.len);
    claim->due.kind = DUE_CLAIM;
    list_init(&claim->of_key);
    list_init(&claim->of_session);
    ENSURE(items_insert(&state->claims, &claim->item));
    if (session != 0) session_join(state, claim, session);
    return claim;
}

void idem_claim_free(struct idempotency_state *state, struct idem_claim *claim) {
    if (claim->token == 0 && !list_empty(&claim->of_key)) claim->key->waiter_count--;
    if (claim->key->run == claim) claim->key->run = NULL;
    list_remove(&claim->of_key);
    if (claim->session) session_leave(state, claim);
    deadline_set(&state->due, &claim->due, NO_DEADLINE, 0);
    items_remove(&state->claims, &claim->item);
}

void idem_claim_wait(struct idem_claim *claim) {
    list_push_back(&claim->key->waiters, &claim->of_key);
    claim->key->waiter_count++;
}

// ---- who runs

void idem_claim_tell(struct apply *apply, const struct idem_claim *claim, enum idempotency_event_type type) {
    const struct idem_key *key = claim->key;
    struct idempotency_event event = {.type = type,
                                      .key = item_name(&key->item),
                                      .owner = idem_claim_owner(claim),
                                      .session = idem_claim_session(claim),
                                      .ticket = claim->ticket,
                                      .token = claim->token,
                                      .attempt = key->attempts,
                                      .status = key->status,
                                      .failed = key->failed,
                                      .body = idem_key_body(key)};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_IDEMPOTENCY, &event);
}

void idem_claim_run(struct idempotency_state *state, struct apply *apply, struct idem_claim *claim) {
    struct idem_key *key = claim->key;
    ENSURE(key->run == NULL && !key->done);
    if (!list_empty(&claim->of_key)) key->waiter_count--;
    list_remove(&claim->of_key);
    uint64_t token = state->words[WORD_TOKEN] + 1;
    claim->token = key->token = state->words[WORD_TOKEN] = token > apply->index ? token : apply->index;
    claim->since_ms = key->since_ms = apply->log_time_ms;
    key->run = claim;
    key->ttl_ms = claim->ttl_ms;
    key->attempts++;
    deadline_set(&state->due, &key->due, NO_DEADLINE, 0);
    uint64_t due_ms = claim->lease_ms > 0 ? time_after(apply->log_time_ms, claim->lease_ms) : NO_DEADLINE;
    deadline_set(&state->due, &claim->due, due_ms, claim->ticket);
    items_changed(&state->claims, &claim->item);
    items_changed(&state->keys, &key->item);
}

void idem_key_give_on(struct idempotency_state *state, struct apply *apply, struct idem_key *key) {
    ENSURE(key->run == NULL);
    if (!list_empty(&key->waiters)) {
        struct idem_claim *first = CONTAINER_OF(key->waiters.next, struct idem_claim, of_key);
        idem_claim_run(state, apply, first);
        idem_claim_tell(apply, first, IDEMPOTENCY_EVENT_RUN);
        return;
    }
    key->since_ms = apply->log_time_ms;
    deadline_set(&state->due, &key->due, time_after(apply->log_time_ms, key->ttl_ms), key->number);
    items_changed(&state->keys, &key->item);
}

// A run's lease is over or its session ended. Its token stays the key's: what it stores still counts while nobody else
// runs.
static void run_lost(struct idempotency_state *state, struct apply *apply, struct idem_claim *claim) {
    struct idem_key *key = claim->key;
    idem_claim_tell(apply, claim, IDEMPOTENCY_EVENT_LOST);
    idem_claim_free(state, claim);
    idem_key_give_on(state, apply, key);
}

// ---- the model

static void *idempotency_create(void) {
    struct idempotency_state *state = mem_zalloc(sizeof *state);
    state->sum.domain = MODEL_IDEMPOTENCY;
    items_init(&state->keys, &idem_key_kind, &state->sum);
    items_init(&state->claims, &idem_claim_kind, &state->sum);
    remember_init(&state->once, &state->sum, &state->due, DUE_ONCE);
    hash_init(&state->sessions);
    heap_init(&state->due);
    return state;
}

static void idempotency_destroy(void *model) {
    struct idempotency_state *state = model;
    for (struct item *item; (item = items_first(&state->claims)) != NULL;) idem_claim_free(state, idem_claim_of(item));
    for (struct item *item; (item = items_first(&state->keys)) != NULL;) idem_key_free(state, idem_key_of(item));
    hash_free(&state->sessions);
    items_free(&state->once.items);
    heap_free(&state->due);
    mem_free(state);
}

// First all that waits, so that nothing is given on to a session that ends.
static void idempotency_session_end(void *model, struct apply *apply, uint64_t session) {
    struct idempotency_state *state = model;
    const struct idempotency_session *of = session_find(state, session);
    uint32_t waiting = 0, running = 0;
    for (const struct list *at = of ? of->claims.next : NULL; of && at != &of->claims; at = at->next) {
        bool waits = CONTAINER_OF_CONST(at, struct idem_claim, of_session)->token == 0;
        waiting += waits;
        running += !waits;
    }
    for (struct list *at = of ? of->claims.next : NULL, *next; waiting > 0; at = next) {
        struct idem_claim *claim = CONTAINER_OF(at, struct idem_claim, of_session);
        next = at->next;
        if (claim->token != 0) continue;
        idem_claim_free(state, claim);
        waiting--;
    }
    while (running-- > 0) run_lost(state, apply, CONTAINER_OF(of->claims.next, struct idem_claim, of_session));
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}

static uint64_t idempotency_next_deadline(const void *model) {
    return deadline_first(&((const struct idempotency_state *)model)->due);
}

static size_t idempotency_expire(void *model, struct apply *apply, size_t max) {
    struct idempotency_state *state = model;
    size_t ended = 0;
    for (struct deadline *due; ended < max && (due = deadline_due(&state->due, apply->log_time_ms)); ended++) {
        if (due->kind == DUE_KEY) {
            idem_key_free(state, CONTAINER_OF(due, struct idem_key, due));
            continue;
        }
        if (due->kind == DUE_ONCE) {
            remember_drop(&state->once, remembered_of(due));
            continue;
        }
        struct idem_claim *claim = CONTAINER_OF(due, struct idem_claim, due);
        if (claim->token != 0) {
            run_lost(state, apply, claim);
            continue;
        }
        idem_claim_tell(apply, claim, IDEMPOTENCY_EVENT_TIMED_OUT);
        idem_claim_free(state, claim);
    }
    items_head_changed(&state->sum, state->words, WORD_COUNT);
    return ended;
}

static void show_claims(const struct idempotency_state *state, const struct idempotency_query *query) {
    const struct idempotency_session *of = session_find(state, query->session);
    size_t left = query->page.max;
    for (const struct list *at = of ? of->claims.next : NULL; of && at != &of->claims && left > 0; at = at->next) {
        const struct idem_claim *claim = CONTAINER_OF_CONST(at, struct idem_claim, of_session);
        struct idempotency_claim_info info = {.key = item_name(&claim->key->item),
                                              .owner = idem_claim_owner(claim),
                                              .token = claim->token,
                                              .since_ms = claim->since_ms};
        query->claim(query->context, &info);
        left--;
    }
}

static void idempotency_query_model(const void *model, const void *asked, struct result *result) {
    const struct idempotency_state *state = model;
    const struct idempotency_query *query = asked;
    *result = (struct result){.model = MODEL_IDEMPOTENCY};
    if (query->session != 0) {
        show_claims(state, query);
        return;
    }
    const struct item *at = items_page_first(&state->keys, &query->page);
    for (size_t left = query->page.max; at && left > 0; at = items_page_next(&query->page, at), left--) {
        const struct idem_key *key = CONTAINER_OF_CONST(at, struct idem_key, item);
        struct idempotency_info info = {.key = item_name(at),
                                        .fingerprint = idem_key_fingerprint(key),
                                        .body = idem_key_body(key),
                                        .token = key->token,
                                        .since_ms = key->since_ms,
                                        .ttl_ms = key->ttl_ms,
                                        .due_ms = deadline_of(key->run ? &key->run->due : &key->due),
                                        .attempts = key->attempts,
                                        .waiters = key->waiter_count,
                                        .status = key->status,
                                        .failed = key->failed};
        if (key->run) {
            info.outcome = IDEMPOTENCY_RUNS;
            info.holder = idem_claim_owner(key->run);
            info.session = idem_claim_session(key->run);
        } else if (key->done) {
            info.outcome = IDEMPOTENCY_STORED;
        }
        query->key(query->context, &info);
    }
}

static struct digest idempotency_digest(const void *model) {
    return ((const struct idempotency_state *)model)->sum.digest;
}

static uint64_t idempotency_memory(const void *model) {
    const struct idempotency_state *state = model;
    return state->sum.memory + state->sessions.count * (uint64_t)sizeof(struct idempotency_session);
}

static uint64_t idempotency_count(const void *model) {
    return ((const struct idempotency_state *)model)->keys.map.count;
}
static uint64_t idempotency_count_of_session(const void *model, uint64_t session) {
    return idem_session_claims(model, session);
}

const struct model_ops idempotency_model = {
    .name = "idempotency",
    .id = MODEL_IDEMPOTENCY,
    .create = idempotency_create,
    .destroy = idempotency_destroy,
    .apply = idempotency_apply,
    .query = idempotency_query_model,
    .session_end = idempotency_session_end,
    .next_deadline_ms = idempotency_next_deadline,
    .expire = idempotency_expire,
    .save = idempotency_save,
    .load = idempotency_load,
    .digest = idempotency_digest,
    .digest_recount = idempotency_digest_recount,
    .memory = idempotency_memory,
    .growing = MODEL_GROWS(IDEMPOTENCY_BEGIN) | MODEL_GROWS(IDEMPOTENCY_ONCE),
    .count = idempotency_count,
    .count_of_session = idempotency_count_of_session,
};
