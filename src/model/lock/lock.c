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
    lock->delay.kind = DUE_DELAY;
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
    return owner->session == want->session && bytes_equal(owner_text(owner), want->text);
}

static uint64_t owner_hash(uint64_t session, struct bytes text) {
    return hash_bytes(text.data, text.len, HASH_SEED ^ session);
}

struct lock_owner *owner_find(const struct lock_state *state, uint64_t session, struct bytes text) {
    struct owner_key key = {session, text};
    struct hash_node *node = hash_find(&state->owners, owner_hash(session, text), owner_matches, &key);
    return node ? CONTAINER_OF(node, struct lock_owner, index) : NULL;
}

static struct lock_owner *owner_make(struct lock_state *state, uint64_t session, struct bytes text) {
    struct lock_owner *owner = mem_zalloc(sizeof *owner + text.len);
    owner->session = session;
    owner->len = text.len;
    if (text.len > 0) memcpy(owner->text, text.data, text.len);
    list_init(&owner->claims);
    hash_insert(&state->owners, &owner->index, owner_hash(session, text));
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

static void session_count(struct lock_state *state, uint64_t session, bool more) {
    struct lock_session *of = session_find(state, session);
    if (of == NULL) {
        of = mem_zalloc(sizeof *of);
        of->session = session;
        hash_insert(&state->sessions, &of->index, hash_u64(session));
    }
    of->count += more ? 1u : UINT32_MAX;
    if (of->count > 0) return;
    hash_remove(&state->sessions, &of->index);
    mem_free(of);
}

// ---- claims

uint64_t lock_time_after(uint64_t now_ms, uint64_t ms) {
    return ms > UINT64_MAX - 1 - now_ms ? UINT64_MAX - 1 : now_ms + ms;
}

void claim_set_due(struct lock_state *state, struct claim *claim, uint64_t at_ms) {
    if (at_ms == UINT64_MAX)
        heap_remove(&state->due, &claim->due.item);
    else
        heap_set(&state->due, &claim->due.item, at_ms, claim->number);
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
    struct claim *claim = mem_zalloc(sizeof *claim);
    struct lock_owner *owner = owner_find(state, session, text);
    claim->lock = lock;
    claim->owner = owner ? owner : owner_make(state, session, text);
    claim->number = claim->ticket = number;
    claim->due.kind = DUE_CLAIM;
    list_init(&claim->of_lock);
    list_push_back(&claim->owner->claims, &claim->of_owner);
    if (omap_insert(&state->by_session, &claim->of_session) != NULL) { // only of bytes that were damaged
        list_remove(&claim->of_owner);
        if (list_empty(&claim->owner->claims)) owner_free(state, claim->owner);
        mem_free(claim);
        return NULL;
    }
    if (session != 0) session_count(state, session, true);
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
    omap_remove(&state->by_session, &claim->of_session);
    heap_remove(&state->due, &claim->due.item);
    if (owner->session != 0) session_count(state, owner->session, false);
    if (list_empty(&owner->claims)) owner_free(state, owner);
    mem_free(claim);
}

void lock_drop_if_unused(struct lock_state *state, struct lock *lock) {
    if (lock->holder_count + lock->waiter_count > 0 || lock->delay.item.at != 0) return;
    digest_sub(&state->digest, lock_digest_of(lock));
    hash_remove(&state->locks, &lock->index);
    list_remove(&lock->all);
    out_of_kind(state, lock);
    mem_free(lock);
}

// ---- who is next

bool lock_compatible(const struct lock *lock, enum lock_mode mode, uint32_t permits) {
    if (lock->delay.item.at != 0) return false;
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
                               .session = claim->owner->session,
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
    claim->since_ms = apply->log_time_ms;
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
        if (first->ending) { // its session ends in this entry: it gets nothing
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
        heap_set(&state->due, &lock->delay.item, lock_time_after(apply->log_time_ms, claim->delay_ms), lock->number);
        digest_add(&state->digest, lock_digest_of(lock));
    }
    claim_end(state, apply, claim);
}

// ---- the model

static int compare_claims(const struct omap_node *a, const struct omap_node *b) {
    const struct claim *x = CONTAINER_OF_CONST(a, struct claim, of_session);
    const struct claim *y = CONTAINER_OF_CONST(b, struct claim, of_session);
    if (x->owner->session != y->owner->session) return x->owner->session < y->owner->session ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int session_key(const void *key, const struct omap_node *node) {
    const struct claim *claim = CONTAINER_OF_CONST(node, struct claim, of_session);
    uint64_t session = *(const uint64_t *)key;
    return session <= claim->owner->session ? -1 : 1; // below the session's first claim
}

static void *lock_create(void) {
    struct lock_state *state = mem_zalloc(sizeof *state);
    hash_init(&state->locks);
    hash_init(&state->owners);
    hash_init(&state->sessions);
    list_init(&state->all);
    list_init(&state->kinds[0]);
    list_init(&state->kinds[1]);
    omap_init(&state->by_session, compare_claims);
    heap_init(&state->due);
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
        heap_remove(&state->due, &lock->delay.item);
        list_remove(&lock->all);
        out_of_kind(state, lock);
        mem_free(lock);
    }
    hash_free(&state->locks);
    hash_free(&state->owners);
    hash_free(&state->sessions);
    heap_free(&state->due);
    arena_free(&state->arena);
    mem_free(state);
}

static struct claim *first_of(const struct lock_state *state, uint64_t session) {
    struct omap_node *node = omap_lower_bound(&state->by_session, session_key, &session);
    struct claim *claim = node ? CONTAINER_OF(node, struct claim, of_session) : NULL;
    return claim && claim->owner->session == session ? claim : NULL;
}

static struct claim *next_of(const struct claim *before) {
    struct omap_node *node = omap_next(&before->of_session);
    struct claim *claim = node ? CONTAINER_OF(node, struct claim, of_session) : NULL;
    return claim && claim->owner->session == before->owner->session ? claim : NULL;
}

static void lock_session_end(void *model, struct apply *apply, uint64_t session) {
    struct lock_state *state = model;
    if (PLANTED(NATIVE_LOCK_OUTLIVES_SESSION)) return;
    digest_sub(&state->digest, counters_digest_of(state));
    for (struct claim *claim = first_of(state, session); claim; claim = next_of(claim)) claim->ending = true;
    for (struct claim *claim; (claim = first_of(state, session)) != NULL;)
        claim_lost(state, apply, claim, LOCK_LOSS_SESSION, bytes_of("", 0));
    digest_add(&state->digest, counters_digest_of(state));
}

static uint64_t lock_next_deadline(const void *model) {
    const struct heap_item *first = heap_first(&((const struct lock_state *)model)->due);
    return first ? first->time : UINT64_MAX;
}

static size_t lock_expire(void *model, struct apply *apply, size_t max) {
    struct lock_state *state = model;
    size_t ended = 0;
    digest_sub(&state->digest, counters_digest_of(state));
    for (; ended < max; ended++) {
        struct heap_item *first = heap_first(&state->due);
        if (first == NULL || first->time > apply->log_time_ms) break;
        struct lock_due *due = CONTAINER_OF(first, struct lock_due, item);
        if (due->kind == DUE_CLAIM) {
            claim_lost(state, apply, CONTAINER_OF(due, struct claim, due), LOCK_LOSS_EXPIRED, bytes_of("", 0));
            continue;
        }
        struct lock *lock = CONTAINER_OF(due, struct lock, delay);
        digest_sub(&state->digest, lock_digest_of(lock));
        heap_remove(&state->due, first);
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
                                   .session = claim->owner->session,
                                   .place = claim->number,
                                   .ticket = claim->ticket,
                                   .token = claim->token,
                                   .mode = claim->mode,
                                   .permits = claim->permits,
                                   .holds = claim->holds,
                                   .ttl_ms = claim->ttl_ms,
                                   .due_ms = claim->due.item.at != 0 ? claim->due.item.time : 0,
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
        for (const struct claim *claim = first_of(state, query->session); claim; claim = next_of(claim)) {
            show_head(claim->lock, query);
            show_claim(claim, query);
        }
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
    return (uint64_t)state->locks.count * (sizeof(struct lock) + 48) + state->by_session.count * sizeof(struct claim) +
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
