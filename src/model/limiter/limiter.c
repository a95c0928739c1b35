// Limits and what is held of them; the end of holds; what is dropped; queries.
//
// Invariants: a limit without holds has an idle deadline, one with holds has none; `held` is the sum of its holds'
// units; CONCURRENCY limits have nothing charged, so all that they have in use is held.
#include "base/alloc.h"
#include "model/limiter/limiter_internal.h"
#include <string.h>

#define HASH_SEED 0x6c696d69ull

// ---- tables

static bool limit_matches(const struct hash_node *node, const void *key) {
    return bytes_equal(limit_name(CONTAINER_OF_CONST(node, struct limit, index)), *(const struct bytes *)key);
}

struct limit *limit_find(const struct limiter_state *state, struct bytes name) {
    uint64_t hash = hash_bytes(name.data, name.len, HASH_SEED);
    struct hash_node *node = hash_find(&state->limits, hash, limit_matches, &name);
    return node ? CONTAINER_OF(node, struct limit, index) : NULL;
}

static int compare_until(const struct omap_node *a, const struct omap_node *b) {
    const struct hold *x = CONTAINER_OF_CONST(a, struct hold, of_limit);
    const struct hold *y = CONTAINER_OF_CONST(b, struct hold, of_limit);
    if (x->until_ms != y->until_ms) return x->until_ms < y->until_ms ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

static int compare_session(const struct omap_node *a, const struct omap_node *b) {
    const struct hold *x = CONTAINER_OF_CONST(a, struct hold, of_session);
    const struct hold *y = CONTAINER_OF_CONST(b, struct hold, of_session);
    if (x->session != y->session) return x->session < y->session ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

struct hold_key {
    uint64_t session, token;
};

static int session_key(const void *key, const struct omap_node *node) {
    const struct hold_key *want = key;
    const struct hold *hold = CONTAINER_OF_CONST(node, struct hold, of_session);
    if (want->session != hold->session) return want->session < hold->session ? -1 : 1;
    return want->token < hold->token ? -1 : want->token > hold->token;
}

struct limit *limit_make(struct limiter_state *state, struct bytes name, const struct limiter_definition *def) {
    struct limit *limit = mem_zalloc(sizeof *limit + name.len);
    memcpy(limit->name, name.data, name.len);
    limit->name_len = name.len;
    limit->def = *def;
    limit->idle.kind = DUE_IDLE;
    omap_init(&limit->holds, compare_until);
    meter_slots(state, limit);
    hash_insert(&state->limits, &limit->index, hash_bytes(name.data, name.len, HASH_SEED));
    list_push_back(&state->all, &limit->all);
    return limit;
}

static void limit_free(struct limiter_state *state, struct limit *limit) {
    hash_remove(&state->limits, &limit->index);
    list_remove(&limit->all);
    heap_remove(&state->due, &limit->idle.item);
    if (limit->slots) state->sliding--;
    mem_free(limit->slots);
    mem_free(limit);
}

void limit_set_idle(struct limiter_state *state, struct limit *limit) {
    if (limit->holds.count > 0) {
        heap_remove(&state->due, &limit->idle.item);
        return;
    }
    uint64_t steps = meter_idle_at(limit) / LIMITER_IDLE_GRID_MS + 1;
    heap_set(&state->due, &limit->idle.item, steps * LIMITER_IDLE_GRID_MS, limit->number);
}

// ---- holds

struct hold *hold_find(const struct limiter_state *state, uint64_t session, uint64_t token) {
    struct hold_key key = {session, token};
    struct omap_node *node = omap_find(&state->by_session, session_key, &key);
    return node ? CONTAINER_OF(node, struct hold, of_session) : NULL;
}

struct hold *hold_make(struct limiter_state *state, struct limit *limit, uint64_t session, uint64_t token,
                       uint32_t units, uint64_t until_ms) {
    struct hold *hold = mem_zalloc(sizeof *hold);
    *hold = (struct hold){
        .limit = limit, .session = session, .token = token, .units = units, .until_ms = until_ms, .due.kind = DUE_HOLD};
    if (omap_insert(&state->by_session, &hold->of_session) != NULL) { // only of bytes that were damaged
        mem_free(hold);
        return NULL;
    }
    if (omap_insert(&limit->holds, &hold->of_limit) != NULL) { // the same
        omap_remove(&state->by_session, &hold->of_session);
        mem_free(hold);
        return NULL;
    }
    owned_more(&state->owned, session);
    limit->held += units;
    if (until_ms != UINT64_MAX) heap_set(&state->due, &hold->due.item, until_ms, token);
    return hold;
}

void hold_set_until(struct limiter_state *state, struct hold *hold, uint64_t until_ms) {
    omap_remove(&hold->limit->holds, &hold->of_limit);
    hold->until_ms = until_ms;
    omap_insert(&hold->limit->holds, &hold->of_limit);
    heap_set(&state->due, &hold->due.item, until_ms, hold->token);
}

static void hold_free(struct limiter_state *state, struct hold *hold) {
    hold->limit->held -= hold->units;
    omap_remove(&hold->limit->holds, &hold->of_limit);
    omap_remove(&state->by_session, &hold->of_session);
    heap_remove(&state->due, &hold->due.item);
    owned_less(&state->owned, hold->session);
    mem_free(hold);
}

void hold_end(struct limiter_state *state, struct hold *hold, uint64_t used, uint64_t now_ms) {
    struct limit *limit = hold->limit;
    digest_sub(&state->digest, hold_digest_of(hold));
    digest_sub(&state->digest, limit_digest_of(limit));
    if (hold_is_lease(hold)) meter_charge(limit, used, now_ms);
    hold_free(state, hold);
    limit_set_idle(state, limit);
    digest_add(&state->digest, limit_digest_of(limit));
}

static void hold_lost(struct limiter_state *state, struct apply *apply, struct hold *hold, bool expired) {
    struct limiter_event event = {.name = limit_name(hold->limit),
                                  .session = hold->session,
                                  .token = hold->token,
                                  .units = hold->units,
                                  .lease = hold_is_lease(hold),
                                  .expired = expired};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_LIMITER, &event);
    hold_end(state, hold, hold->units, apply->log_time_ms); // all of it may have been used, up to this moment
}

// ---- the model

static void *limiter_create(void) {
    struct limiter_state *state = mem_zalloc(sizeof *state);
    hash_init(&state->limits);
    list_init(&state->all);
    omap_init(&state->by_session, compare_session);
    owned_init(&state->owned);
    heap_init(&state->due);
    state->digest = limiter_counters_digest(state);
    return state;
}

static void limiter_destroy(void *model) {
    struct limiter_state *state = model;
    for (struct omap_node *node; (node = omap_first(&state->by_session)) != NULL;)
        hold_free(state, CONTAINER_OF(node, struct hold, of_session));
    while (!list_empty(&state->all)) limit_free(state, CONTAINER_OF(state->all.next, struct limit, all));
    hash_free(&state->limits);
    owned_free(&state->owned);
    heap_free(&state->due);
    mem_free(state);
}

static void limiter_session_end(void *model, struct apply *apply, uint64_t session) {
    struct limiter_state *state = model;
    struct hold_key first = {session, 0};
    struct omap_node *node = omap_lower_bound(&state->by_session, session_key, &first);
    while (node != NULL) {
        struct hold *hold = CONTAINER_OF(node, struct hold, of_session);
        if (hold->session != session) break;
        node = omap_next(node);
        if (!hold_is_lease(hold)) hold_lost(state, apply, hold, false); // a lease's holder may still use it
    }
}

static uint64_t limiter_next_deadline(const void *model) {
    const struct heap_item *first = heap_first(&((const struct limiter_state *)model)->due);
    return first ? first->time : UINT64_MAX;
}

static size_t limiter_expire(void *model, struct apply *apply, size_t max) {
    struct limiter_state *state = model;
    size_t ended = 0;
    for (; ended < max; ended++) {
        struct heap_item *first = heap_first(&state->due);
        if (first == NULL || first->time > apply->log_time_ms) break;
        struct limiter_due *due = CONTAINER_OF(first, struct limiter_due, item);
        if (due->kind == DUE_HOLD) {
            hold_lost(state, apply, CONTAINER_OF(due, struct hold, due), true);
            continue;
        }
        struct limit *limit = CONTAINER_OF(due, struct limit, idle);
        digest_sub(&state->digest, limit_digest_of(limit));
        limit_free(state, limit);
    }
    return ended;
}

// ---- queries

static void show_limit(const struct limit *limit, const struct limiter_query *query) {
    struct limiter_info info = {.name = limit_name(limit),
                                .definition = limit->def,
                                .limit = meter_capacity(&limit->def),
                                .remaining = meter_free(limit, query->now_ms),
                                .used = meter_used(limit, query->now_ms),
                                .held = limit->held,
                                .holds = (uint32_t)limit->holds.count};
    query->limit(query->context, &info);
}

static void show_hold(const struct hold *hold, const struct limiter_query *query) {
    struct limiter_hold_info info = {.token = hold->token,
                                     .session = hold->session,
                                     .until_ms = hold->until_ms,
                                     .since_ms = hold->since_ms,
                                     .units = hold->units,
                                     .lease = hold_is_lease(hold),
                                     .limit = limit_name(hold->limit)};
    query->hold(query->context, &info);
}

static void show_holds(const struct limit *limit, const struct limiter_query *query) {
    size_t left = query->max;
    for (struct omap_node *at = omap_first(&limit->holds); at != NULL && left > 0; at = omap_next(at), left--)
        show_hold(CONTAINER_OF(at, struct hold, of_limit), query);
}

static void show_session(const struct limiter_state *state, const struct limiter_query *query) {
    size_t left = query->max;
    struct hold_key first = {.session = query->session};
    struct omap_node *at = omap_lower_bound(&state->by_session, session_key, &first);
    for (; at != NULL && left > 0; at = omap_next(at), left--) {
        const struct hold *hold = CONTAINER_OF(at, struct hold, of_session);
        if (hold->session != query->session) return;
        show_hold(hold, query);
    }
}

static void limiter_query_model(const void *model, const void *asked, struct result *result) {
    const struct limiter_state *state = model;
    const struct limiter_query *query = asked;
    *result = (struct result){.model = MODEL_LIMITER};
    if (query->session != 0) {
        show_session(state, query);
        return;
    }
    if (query->name.len > 0) {
        const struct limit *limit = limit_find(state, query->name);
        if (limit && query->limit) show_limit(limit, query);
        if (limit && query->hold) show_holds(limit, query);
        return;
    }
    const struct limit *after = query->after.len > 0 ? limit_find(state, query->after) : NULL;
    size_t left = query->limit ? query->max : 0;
    for (const struct list *at = after ? after->all.next : state->all.next; at != &state->all && left > 0;
         at = at->next, left--)
        show_limit(CONTAINER_OF_CONST(at, struct limit, all), query);
}

static struct digest limiter_digest(const void *model) {
    return ((const struct limiter_state *)model)->digest;
}

static uint64_t limiter_memory(const void *model) {
    const struct limiter_state *state = model;
    return (uint64_t)state->limits.count * (sizeof(struct limit) + 48) +
           state->sliding * SLOTS_KEPT * sizeof(uint32_t) + (uint64_t)state->by_session.count * sizeof(struct hold) +
           owned_memory(&state->owned);
}

static uint64_t limiter_count(const void *model) {
    return ((const struct limiter_state *)model)->limits.count;
}
static uint64_t limiter_count_of_session(const void *model, uint64_t session) {
    return owned_count(&((const struct limiter_state *)model)->owned, session);
}

const struct model_ops limiter_model = {
    .name = "limiter",
    .id = MODEL_LIMITER,
    .create = limiter_create,
    .destroy = limiter_destroy,
    .apply = limiter_apply,
    .query = limiter_query_model,
    .session_end = limiter_session_end,
    .next_deadline_ms = limiter_next_deadline,
    .expire = limiter_expire,
    .save = limiter_save,
    .load = limiter_load,
    .digest = limiter_digest,
    .digest_recount = limiter_digest_recount,
    .memory = limiter_memory,
    .keeper = &limiter_keeper,
    .growing = MODEL_GROWS(LIMITER_TAKE) | MODEL_GROWS(LIMITER_LEASE),
    .count = limiter_count,
    .count_of_session = limiter_count_of_session,
};
