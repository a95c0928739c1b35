// Locks, owners and claims; who gets a lock next; what ends a claim. See lock_internal.h.
//
// Invariants: holders of a lock are compatible with each other; while a lock has a waiter, its first one is not
// compatible with the holders or the lock is delayed; a token is given once and only grows; a lock without claims and
// without a delay does not exist.
#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "model/lock/lock_internal.h"
#include <string.h>

#define HASH_SEED 0x6c6f636bull
#define CLAIMS_PER_SLAB 1000u

// ---- tables

static bool lock_matches(const struct hash_node *node, const void *key) {
    return bytes_equal(lock_name(CONTAINER_OF_CONST(node, struct lock, index)), *(const struct bytes *)key);
}

struct lock *lock_find(const struct lock_state *state, struct bytes name) {
    struct hash_node *node = hash_find(&state->locks, hash_bytes(name.data, name.len, HASH_SEED), lock_matches, &name);
    return node ? CONTAINER_OF(node, struct lock, index) : NULL;
}

struct lock *lock_make(struct lock_state *state, struct bytes name, enum lock_mode mode, uint32_t total) {
    struct lock *lock = mem_zalloc(sizeof *lock + name.len);
    memcpy(lock->name, name.data, name.len);
    lock->name_len = name.len;
    list_init(&lock->of_kind);
    list_init(&lock->holders);
    list_init(&lock->waiters);
    hash_insert(&state->locks, &lock->index, hash_bytes(name.data, name.len, HASH_SEED));
    list_push_back(&state->all, &lock->all);
    lock_set_kind(state, lock, mode, total);
    return lock;
}

static void out_of_kind(struct lock_state *state, struct lock *lock) {
    if (list_empty(&lock->of_kind)) return;
    state->elections -= lock->mode == LOCK_ELECTION;
    list_remove(&lock->of_kind);
}

void lock_set_kind(struct lock_state *state, struct lock *lock, enum lock_mode mode, uint32_t total) {
    bool election = mode == LOCK_ELECTION;
    out_of_kind(state, lock);
    lock->mode = lock_kind(mode);
    lock->total = total;
    list_push_back(&state->kinds[election], &lock->of_kind);
    state->elections += election;
}

struct owner_key {
    uint64_t session;
    struct bytes text;
};

static bool owner_matches(const struct hash_node *node, const void *key) {
    const struct lock_owner *owner = CONTAINER_OF_CONST(node, struct lock_owner, index);
    const struct owner_key *want = key;
    return owner_session(owner) == want->session && bytes_equal(owner_text(owner), want->text);
}

static uint64_t owner_hash(uint64_t session, struct bytes text) {
    return hash_bytes(text.data, text.len, HASH_SEED ^ session);
}

struct lock_owner *owner_find(const struct lock_state *state, uint64_t session, struct bytes text) {
    struct owner_key key = {session, text};
    struct hash_node *node = hash_find(&state->owners, owner_hash(session, text), owner_matches, &key);
    return node ? CONTAINER_OF(node, struct lock_owner, index) : NULL;
}

static struct lock_owner *owner_make(struct lock_state *state, struct lock_session *session, struct bytes text) {
    struct lock_owner *owner = mem_zalloc(offsetof(struct lock_owner, text) + text.len);
    owner->session = session;
    owner->len = (uint8_t)text.len;
    if (text.len > 0) memcpy(owner->text, text.data, text.len);
    list_init(&owner->claims);
    hash_insert(&state->owners, &owner->index, owner_hash(owner_session(owner), text));
    return owner;
}

static void owner_free(struct lock_state *state, struct lock_owner *owner) {
    hash_remove(&state->owners, &owner->index);
    mem_free(owner);
}

static bool session_matches(const struct hash_node *node, const void *key) {
    return CONTAINER_OF_CONST(node, struct lock_session, index)->session == *(const uint64_t *)key;
}

static struct lock_session *session_find(const struct lock_state *state, uint64_t session) {
    struct hash_node *node = hash_find(&state->sessions, hash_u64(session), session_matches, &session);
    return node ? CONTAINER_OF(node, struct lock_session, index) : NULL;
}

uint32_t session_claims(const struct lock_state *state, uint64_t session) {
    const struct lock_session *of = session_find(state, session);
    return of ? of->count : 0;
}

static struct lock_session *session_made(struct lock_state *state, uint64_t session) {
    struct lock_session *of = session_find(state, session);
    if (of != NULL || session == 0) return of;
    of = mem_zalloc(sizeof *of);
    of->session = session;
    list_init(&of->claims);
    hash_insert(&state->sessions, &of->index, hash_u64(session));
    return of;
}

static void session_add(struct lock_session *session, struct claim *claim) {
    if (!list_empty(&session->claims)) {
        const struct claim *newest = CONTAINER_OF_CONST(session->claims.prev, struct claim, of_session);
        session->unordered |= claim_number(newest) > claim_number(claim);
    }
    list_push_back(&session->claims, &claim->of_session);
    session->count++;
}

static void session_remove(struct lock_state *state, struct lock_session *session, struct claim *claim) {
    list_remove(&claim->of_session);
    if (--session->count > 0) return;
    hash_remove(&state->sessions, &session->index);
    mem_free(session);
}

struct sorted {
    struct heap_item item;
    struct claim *claim;
};

// Snapshots have claims in the order of their locks.
static void session_order(struct lock_session *session) {
    size_t count = 0;
    if (!session->unordered) return;
    struct sorted *sorted = mem_zalloc(session->count * sizeof *sorted);
    struct heap heap;
    heap_init(&heap);
    for (struct list *at = session->claims.next; at != &session->claims; at = at->next, count++) {
        sorted[count].claim = CONTAINER_OF(at, struct claim, of_session);
        heap_set(&heap, &sorted[count].item, claim_number(sorted[count].claim), 0);
    }
    ENSURE(count == session->count);
    for (struct heap_item *first; (first = heap_first(&heap)) != NULL; heap_remove(&heap, first)) {
        struct claim *claim = CONTAINER_OF(first, struct sorted, item)->claim;
        list_remove(&claim->of_session);
        list_push_back(&session->claims, &claim->of_session);
    }
    heap_free(&heap);
    mem_free(sorted);
    session->unordered = false;
}

// ---- claims

uint64_t lock_time_after(uint64_t now_ms, uint64_t ms) {
    return ms > UINT64_MAX - 1 - now_ms ? UINT64_MAX - 1 : now_ms + ms;
}

void claim_set_due(struct lock_state *state, struct claim *claim, uint64_t at_ms) {
    if (at_ms == UINT64_MAX)
        heap_remove(&state->claims_due, &claim->due);
    else
        heap_set(&state->claims_due, &claim->due, at_ms, claim_number(claim));
}

struct claim *claim_of(const struct lock *lock, const struct lock_owner *owner) {
    for (const struct list *at = owner->claims.next; at != &owner->claims; at = at->next) {
        const struct claim *claim = CONTAINER_OF_CONST(at, struct claim, of_owner);
        if (claim->lock == lock) return (struct claim *)(uintptr_t)claim;
    }
    return NULL;
}

struct claim *claim_make(struct lock_state *state, struct lock *lock, uint64_t session, struct bytes text,
                         uint64_t number) {
    struct claim *claim = pool_take(&state->claims);
    struct lock_owner *owner = owner_find(state, session, text);
    memset(claim, 0, sizeof *claim);
    claim->lock = lock;
    claim->owner = owner ? owner : owner_make(state, session_made(state, session), text);
    claim->due.tie = claim->ticket = number;
    list_init(&claim->of_lock);
    list_init(&claim->of_session);
    list_push_back(&claim->owner->claims, &claim->of_owner);
    if (claim->owner->session) session_add(claim->owner->session, claim);
    return claim;
}

static void lock_count(struct lock *lock, const struct claim *claim, uint32_t one) {
    if (claim->token != 0) {
        lock->holder_count += one;
        lock->taken += one * claim->permits;
    } else {
        lock->waiter_count += one;
    }
}

void claim_link(struct claim *claim, bool holds) {
    ENSURE(holds == (claim->token != 0));
    list_push_back(holds ? &claim->lock->holders : &claim->lock->waiters, &claim->of_lock);
    lock_count(claim->lock, claim, 1);
}

static void claim_unlink(struct claim *claim) {
    if (list_empty(&claim->of_lock)) return;
    list_remove(&claim->of_lock);
    lock_count(claim->lock, claim, UINT32_MAX);
}

void claim_set_value(struct lock_state *state, struct claim *claim, struct bytes value) {
    struct claim_value *kept = mem_zalloc(sizeof *kept + value.len);
    if (claim->value) kept->version = claim->value->version;
    kept->len = (uint32_t)value.len;
    if (value.len > 0) memcpy(kept->bytes, value.data, value.len);
    state->value_bytes += sizeof *kept + value.len - (claim->value ? sizeof *kept + claim->value->len : 0);
    mem_free(claim->value);
    claim->value = kept;
}

void claim_free(struct lock_state *state, struct claim *claim) {
    struct lock_owner *owner = claim->owner;
    if (claim->value) state->value_bytes -= sizeof *claim->value + claim->value->len;
    mem_free(claim->value);
    claim_unlink(claim);
    list_remove(&claim->of_owner);
    heap_remove(&state->claims_due, &claim->due);
    if (owner->session) session_remove(state, owner->session, claim);
    if (list_empty(&owner->claims)) owner_free(state, owner);
    pool_give(&state->claims, claim);
}

void lock_drop_if_unused(struct lock_state *state, struct lock *lock) {
    if (lock->holder_count + lock->waiter_count > 0 || lock->delay.at != 0) return;
    digest_sub(&state->digest, lock_digest_of(lock));
    hash_remove(&state->locks, &lock->index);
    list_remove(&lock->all);
    out_of_kind(state, lock);
    mem_free(lock);
}

// ---- who is next

bool lock_compatible(const struct lock *lock, enum lock_mode mode, uint32_t permits) {
    if (lock->delay.at != 0) return false;
    if (lock->mode == LOCK_PERMITS)
        return lock->total - lock->taken >= (PLANTED(NATIVE_LOCK_PERMITS_LENT) ? 1 : permits);
    if (lock->holder_count == 0 || PLANTED(NATIVE_LOCK_HELD_TWICE)) return true;
    const struct claim *holder = CONTAINER_OF_CONST(lock->holders.next, struct claim, of_lock);
    return mode == LOCK_SHARED && holder->mode == LOCK_SHARED;
}

static void tell(const struct lock_state *state, struct apply *apply, const struct claim *claim,
                 enum lock_event_type type, enum lock_loss loss, struct bytes reason) {
    struct lock_event event = {.type = type,
                               .name = lock_name(claim->lock),
                               .owner = owner_text(claim->owner),
                               .session = owner_session(claim->owner),
                               .ticket = claim->ticket,
                               .token = claim->token,
                               .loss = loss,
                               .reason = reason,
                               .since_ms = claim->since_ms,
                               .version = claim->value ? claim->value->version : 0,
                               .value = claim_value(claim)};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_LOCK, &event);
}

static void next_token(struct lock_state *state, const struct apply *apply) {
    state->token = state->token + 1 > apply->index ? state->token + 1 : apply->index;
}

void claim_proclaim(struct lock_state *state, struct apply *apply, struct claim *claim) {
    ENSURE(claim->token != 0 && claim->value != NULL);
    next_token(state, apply);
    claim->value->version = state->token;
    if (PLANTED(ELECTION_VALUE_UNTOLD)) return;
    tell(state, apply, claim, LOCK_EVENT_LEADER, 0, bytes_of("", 0));
}

static void tell_nobody_leads(struct apply *apply, const struct lock *lock) {
    struct lock_event event = {.type = LOCK_EVENT_LEADER, .name = lock_name(lock)};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_LOCK, &event);
}

// The claim has the lock from now on. Its digest is in the sum afterwards and was not before.
void claim_grant(struct lock_state *state, struct apply *apply, struct claim *claim) {
    claim_unlink(claim);
    next_token(state, apply);
    claim->token = state->token;
    claim->holds = 1;
    claim->since_ms = apply->log_time_ms & CLAIM_SINCE_MS_MAX;
    claim_set_due(state, claim, claim->ttl_ms > 0 ? lock_time_after(apply->log_time_ms, claim->ttl_ms) : UINT64_MAX);
    claim_link(claim, true);
    if (claim->value) claim->value->version = claim->token;
    digest_add(&state->digest, claim_digest_of(claim));
    if (claim->value) tell(state, apply, claim, LOCK_EVENT_LEADER, 0, bytes_of("", 0));
}

// led: an election's leader has just gone.
static void lock_advance(struct lock_state *state, struct apply *apply, struct lock *lock, bool led) {
    while (lock->waiter_count > 0) {
        struct claim *first = CONTAINER_OF(lock->waiters.next, struct claim, of_lock);
        if (first->owner->session && first->owner->session->ending) { // in this entry: it gets nothing
            digest_sub(&state->digest, claim_digest_of(first));
            claim_free(state, first);
            continue;
        }
        if (!lock_compatible(lock, first->mode, first->permits)) break;
        digest_sub(&state->digest, claim_digest_of(first));
        claim_grant(state, apply, first);
        tell(state, apply, first, LOCK_EVENT_GRANTED, 0, bytes_of("", 0));
    }
    if (led && lock->holder_count == 0) tell_nobody_leads(apply, lock);
    lock_drop_if_unused(state, lock);
}

void claim_end(struct lock_state *state, struct apply *apply, struct claim *claim) {
    struct lock *lock = claim->lock;
    bool led = claim->value != NULL && claim->token != 0;
    digest_sub(&state->digest, claim_digest_of(claim));
    claim_free(state, claim);
    lock_advance(state, apply, lock, led);
}

void claim_tell_superseded(struct lock_state *state, struct apply *apply, const struct claim *claim) {
    tell(state, apply, claim, LOCK_EVENT_SUPERSEDED, 0, bytes_of("", 0));
}

void claim_cancel(struct lock_state *state, struct apply *apply, struct claim *claim) {
    tell(state, apply, claim, LOCK_EVENT_CANCELLED, 0, bytes_of("", 0));
    claim_end(state, apply, claim);
}

void claim_lost(struct lock_state *state, struct apply *apply, struct claim *claim, enum lock_loss loss,
                struct bytes reason) {
    struct lock *lock = claim->lock;
    bool held = claim->token != 0;
    if (held || loss != LOCK_LOSS_SESSION)
        tell(state, apply, claim, held ? LOCK_EVENT_LOST : LOCK_EVENT_TIMED_OUT, loss, reason);
    if (held && claim->delay_ms > 0) {
        digest_sub(&state->digest, lock_digest_of(lock));
        heap_set(&state->delays_due, &lock->delay, lock_time_after(apply->log_time_ms, claim->delay_ms), lock->number);
        digest_add(&state->digest, lock_digest_of(lock));
    }
    claim_end(state, apply, claim);
}

// ---- the model

static void *lock_create(void) {
    struct lock_state *state = mem_zalloc(sizeof *state);
    hash_init(&state->locks);
    hash_init(&state->owners);
    hash_init(&state->sessions);
    list_init(&state->all);
    list_init(&state->kinds[0]);
    list_init(&state->kinds[1]);
    pool_init(&state->claims, sizeof(struct claim), CLAIMS_PER_SLAB);
    heap_init(&state->claims_due);
    heap_init(&state->delays_due);
    arena_init(&state->arena);
    state->digest = counters_digest_of(state);
    return state;
}

static void free_claims(struct lock_state *state, struct list *claims) {
    while (!list_empty(claims)) claim_free(state, CONTAINER_OF(claims->next, struct claim, of_lock));
}

static void lock_destroy(void *model) {
    struct lock_state *state = model;
    while (!list_empty(&state->all)) {
        struct lock *lock = CONTAINER_OF(state->all.next, struct lock, all);
        free_claims(state, &lock->holders);
        free_claims(state, &lock->waiters);
        heap_remove(&state->delays_due, &lock->delay);
        list_remove(&lock->all);
        out_of_kind(state, lock);
        mem_free(lock);
    }
    hash_free(&state->locks);
    hash_free(&state->owners);
    hash_free(&state->sessions);
    heap_free(&state->claims_due);
    heap_free(&state->delays_due);
    pool_free(&state->claims);
    arena_free(&state->arena);
    mem_free(state);
}

static void lock_session_end(void *model, struct apply *apply, uint64_t session) {
    struct lock_state *state = model;
    if (PLANTED(NATIVE_LOCK_OUTLIVES_SESSION)) return;
    digest_sub(&state->digest, counters_digest_of(state));
    struct lock_session *of = session_find(state, session);
    if (of) {
        session_order(of);
        of->ending = true;
        for (uint32_t left = of->count; left > 0; left = session_claims(state, session)) // the last one frees it
            claim_lost(state, apply, CONTAINER_OF(of->claims.next, struct claim, of_session), LOCK_LOSS_SESSION,
                       bytes_of("", 0));
    }
    digest_add(&state->digest, counters_digest_of(state));
}

// In the order of time, then of numbers.
static struct heap_item *first_due(const struct lock_state *state) {
    struct heap_item *claim = heap_first(&state->claims_due), *delay = heap_first(&state->delays_due);
    if (claim == NULL || delay == NULL) return claim ? claim : delay;
    bool claim_first = claim->time != delay->time ? claim->time < delay->time : claim->tie < delay->tie;
    return claim_first ? claim : delay;
}

static uint64_t lock_next_deadline(const void *model) {
    const struct heap_item *first = first_due(model);
    return first ? first->time : UINT64_MAX;
}

static size_t lock_expire(void *model, struct apply *apply, size_t max) {
    struct lock_state *state = model;
    size_t ended = 0;
    digest_sub(&state->digest, counters_digest_of(state));
    for (; ended < max; ended++) {
        struct heap_item *first = first_due(state);
        if (first == NULL || first->time > apply->log_time_ms) break;
        if (first == heap_first(&state->claims_due)) {
            claim_lost(state, apply, CONTAINER_OF(first, struct claim, due), LOCK_LOSS_EXPIRED, bytes_of("", 0));
            continue;
        }
        struct lock *lock = CONTAINER_OF(first, struct lock, delay);
        digest_sub(&state->digest, lock_digest_of(lock));
        heap_remove(&state->delays_due, first);
        digest_add(&state->digest, lock_digest_of(lock));
        lock_advance(state, apply, lock, false);
    }
    digest_add(&state->digest, counters_digest_of(state));
    return ended;
}

bool lock_verify(const void *model, struct bytes name, uint64_t token) {
    const struct lock *lock = lock_find(model, name);
    if (lock == NULL || token == 0) return false;
    for (const struct list *at = lock->holders.next; at != &lock->holders; at = at->next)
        if (CONTAINER_OF_CONST(at, struct claim, of_lock)->token == token) return true;
    return false;
}

static void show_claim(const struct claim *claim, const struct lock_query *query) {
    struct lock_claim_info info = {.owner = owner_text(claim->owner),
                                   .session = owner_session(claim->owner),
                                   .place = claim_number(claim),
                                   .ticket = claim->ticket,
                                   .token = claim->token,
                                   .mode = claim->mode,
                                   .permits = claim->permits,
                                   .holds = claim->holds,
                                   .ttl_ms = claim->ttl_ms,
                                   .due_ms = claim->due.at != 0 ? claim->due.time : 0,
                                   .since_ms = claim->since_ms,
                                   .version = claim->value ? claim->value->version : 0,
                                   .value = claim_value(claim)};
    query->claim(query->context, &info);
}

static void show_claims(const struct list *claims, const struct lock_query *query) {
    size_t left = query->claims_max > 0 ? query->claims_max : SIZE_MAX;
    for (const struct list *at = claims->next; at != claims && left > 0; at = at->next, left--)
        show_claim(CONTAINER_OF_CONST(at, struct claim, of_lock), query);
}

static void show_head(const struct lock *lock, const struct lock_query *query) {
    if (query->lock)
        query->lock(query->context, lock_name(lock), lock->mode, lock->total, lock->holder_count, lock->waiter_count);
}

static void show_lock(const struct lock *lock, const struct lock_query *query) {
    show_head(lock, query);
    if (query->claim == NULL) return;
    show_claims(&lock->holders, query);
    show_claims(&lock->waiters, query);
}

static void show_session(struct lock_session *session, const struct lock_query *query) {
    if (session == NULL) return;
    session_order(session);
    for (const struct list *at = session->claims.next; at != &session->claims; at = at->next) {
        const struct claim *claim = CONTAINER_OF_CONST(at, struct claim, of_session);
        show_head(claim->lock, query);
        show_claim(claim, query);
    }
}

static void show_kind(const struct lock_state *state, const struct lock *after, size_t left,
                      const struct lock_query *query) {
    bool elections = query->only == LOCK_ELECTIONS;
    const struct list *kind = &state->kinds[elections];
    if (query->count) *query->count = elections ? state->elections : state->locks.count - state->elections;
    if (after && (after->mode == LOCK_ELECTION) != elections) after = NULL;
    for (const struct list *at = after ? after->of_kind.next : kind->next; at != kind && left > 0;
         at = at->next, left--)
        show_lock(CONTAINER_OF_CONST(at, struct lock, of_kind), query);
}

static void lock_query_model(const void *model, const void *asked, struct result *result) {
    const struct lock_state *state = model;
    const struct lock_query *query = asked;
    *result = (struct result){.model = MODEL_LOCK};
    if (query->session != 0) {
        show_session(session_find(state, query->session), query);
        return;
    }
    if (query->name.len > 0) {
        const struct lock *lock = lock_find(state, query->name);
        if (lock != NULL) show_lock(lock, query);
        return;
    }
    const struct lock *after = query->after.len > 0 ? lock_find(state, query->after) : NULL;
    size_t left = query->max > 0 ? query->max : SIZE_MAX;
    if (query->only != LOCK_ANY) {
        show_kind(state, after, left, query);
        return;
    }
    const struct list *at = after != NULL ? after->all.next : state->all.next;
    for (; at != &state->all && left > 0; at = at->next, left--)
        show_lock(CONTAINER_OF_CONST(at, struct lock, all), query);
}

static struct digest lock_digest(const void *model) {
    return ((const struct lock_state *)model)->digest;
}

static uint64_t lock_memory(const void *model) {
    const struct lock_state *state = model;
    return (uint64_t)state->locks.count * (sizeof(struct lock) + 48) +
           (uint64_t)state->claims.live * sizeof(struct claim) +
           (uint64_t)state->owners.count * (sizeof(struct lock_owner) + 48) +
           (uint64_t)state->sessions.count * sizeof(struct lock_session) + state->value_bytes;
}

static uint64_t lock_count_model(const void *model) {
    return ((const struct lock_state *)model)->locks.count;
}
static uint64_t lock_count_of_session(const void *model, uint64_t session) {
    return session_claims(model, session);
}

const struct model_ops lock_model = {
    .name = "lock",
    .id = MODEL_LOCK,
    .create = lock_create,
    .destroy = lock_destroy,
    .apply = lock_apply,
    .query = lock_query_model,
    .session_end = lock_session_end,
    .next_deadline_ms = lock_next_deadline,
    .expire = lock_expire,
    .save = lock_save,
    .load = lock_load,
    .digest = lock_digest,
    .digest_recount = lock_digest_recount,
    .memory = lock_memory,
    .keeper = &lock_keeper,
    .growing = MODEL_GROWS(LOCK_ACQUIRE) | MODEL_GROWS(LOCK_ACQUIRE_ALL) | MODEL_GROWS(LOCK_PROCLAIM),
    .count = lock_count_model,
    .count_of_session = lock_count_of_session,
};
