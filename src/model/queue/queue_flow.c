// Where a key stands, who gets what next, and how a delivery ends.
//
// Invariants, whenever no command is under way: a key stands where queue_internal.h says; while a queue has a waiter
// and a ready key, its concurrency is used up, or its rate allows nothing yet and its pace is due then; a token is
// given once and only grows.
#include "base/assert.h"
#include "base/planted.h"
#include "model/queue/queue_internal.h"

void queue_begin(struct queue_state *state, struct queue *queue) {
    digest_sub(&state->digest, queue_digest_of(queue));
}

void key_begin(struct queue_state *state, struct queue_key *key) {
    digest_sub(&state->digest, queue_key_digest(key));
}

uint64_t queue_next_token(struct queue_state *state, const struct apply *apply) {
    state->token = state->token + 1 > apply->index ? state->token + 1 : apply->index;
    return state->token;
}

static uint64_t grid(uint64_t at_ms) {
    return (at_ms / QUEUE_GRID_MS + 1) * QUEUE_GRID_MS;
}

// ---- keys

static void make_ready(struct queue_state *state, struct queue_key *key, bool was_ready) {
    if (!was_ready) key->place.number = ++state->number; // else it keeps its turn
    key->place.session = 0;
    key->place.claim = false;
    key->state = KEY_READY;
    key->priority = queue_first(key)->priority;
    omap_insert(&key->queue->ready, &key->place.node);
}

// Puts the key where it belongs now, or frees it. A claimed one stays where it is.
void key_settle(struct queue_state *state, struct queue_key *key, uint64_t now_ms) {
    struct queue *queue = key->queue;
    bool was_ready = key->state == KEY_READY;
    if (key->state == KEY_CLAIMED) {
        digest_add(&state->digest, queue_key_digest(key));
        return;
    }
    if (was_ready) omap_remove(&queue->ready, &key->place.node);
    if (key->state == KEY_DELAYED) queue->delayed--;
    heap_remove(&state->due, &key->due.item);
    key->state = KEY_EMPTY;
    if (key->depth == 0) {
        key->place.number = 0;
        if (key->held.count == 0 && key->next == 0) {
            queue_key_free(state, key);
            return;
        }
        uint64_t keep_ms = queue->options.numbering_ms;
        if (key->held.count == 0)
            heap_set(&state->due, &key->due.item,
                     grid(queue_time_after(now_ms, keep_ms > 0 ? keep_ms : QUEUE_NUMBERING_MS_DEFAULT)), key->number);
    } else if (queue_first(key)->not_before_ms > now_ms) {
        key->place.number = 0;
        key->state = KEY_DELAYED;
        queue->delayed++;
        heap_set(&state->due, &key->due.item, queue_first(key)->not_before_ms, key->number);
    } else {
        make_ready(state, key, was_ready);
    }
    digest_add(&state->digest, queue_key_digest(key));
}

bool queue_key_claim(struct queue_state *state, struct queue_key *key, uint64_t session, uint64_t token,
                     uint64_t due_ms) {
    key->place.session = session;
    key->place.number = token;
    key->place.claim = true;
    if (omap_insert(&state->by_session, &key->place.node) != NULL) return false;
    key->state = KEY_CLAIMED;
    key->queue->claimed++;
    owned_more(&state->owned, session);
    if (due_ms != UINT64_MAX) heap_set(&state->due, &key->due.item, due_ms, key->number);
    return true;
}

// ---- deliveries

uint64_t queue_pace_ms(const struct queue *queue, uint64_t now_ms) {
    const struct queue_options *options = &queue->options;
    if (options->rate == 0) return 0;
    uint64_t level = bucket_level(&queue->bucket, options->rate, now_ms);
    uint64_t may_be = (uint64_t)(queue_burst(options) - 1) * options->window_ms;
    return level <= may_be ? 0 : bucket_wait_ms(level - may_be, options->rate);
}

static bool has_room(const struct queue *queue) {
    uint32_t max = queue->options.concurrency_max;
    return queue->ready.count > 0 && (max == 0 || queue->claimed < max);
}

static void deliver_first(struct queue_state *state, const struct apply *apply, struct queue *queue,
                          const struct queue_claim *to, struct queue_delivery *out) {
    struct queue_key *key = CONTAINER_OF(omap_first(&queue->ready), struct queue_key, place.node);
    const struct queue_message *message = queue_first(key);
    key_begin(state, key);
    omap_remove(&queue->ready, &key->place.node);
    uint64_t token = queue_next_token(state, apply);
    uint64_t due_ms = to->visibility_ms > 0 ? queue_time_after(apply->log_time_ms, to->visibility_ms) : UINT64_MAX;
    bool fresh = queue_key_claim(state, key, to->session, token, due_ms);
    ENSURE(fresh);
    if (key->tries < UINT32_MAX) key->tries++;
    if (queue->options.rate > 0)
        bucket_add(&queue->bucket, queue->options.rate, queue->options.window_ms, apply->log_time_ms);
    key_settle(state, key, apply->log_time_ms);
    *out = (struct queue_delivery){.id = message->id,
                                   .token = token,
                                   .key = queue_key_name(key),
                                   .body = bytes_of(message->body, message->len),
                                   .tries = key->tries,
                                   .priority = message->priority,
                                   .pushed_ms = message->pushed_ms};
}

size_t queue_deliver(struct queue_state *state, const struct apply *apply, struct queue *queue,
                     const struct queue_claim *to, struct queue_delivery *out) {
    size_t count = 0, bytes = 0, max = to->max;
    uint32_t owns = owned_count(&state->owned, to->session);
    if (max > QUEUE_SESSION_MAX - owns) max = QUEUE_SESSION_MAX - owns;
    while (count < max && has_room(queue) && queue_pace_ms(queue, apply->log_time_ms) == 0) {
        const struct queue_key *next = CONTAINER_OF(omap_first(&queue->ready), struct queue_key, place.node);
        bytes += queue_first(next)->len;
        if (count > 0 && bytes > QUEUE_CLAIM_BYTES_MAX) break;
        deliver_first(state, apply, queue, to, &out[count++]);
    }
    return count;
}

static void serve_first(struct queue_state *state, struct apply *apply, struct queue *queue) {
    struct queue_waiter *waiter = CONTAINER_OF(queue->waiters.next, struct queue_waiter, of_queue);
    struct queue_claim to = waiter->claim;
    struct queue_event event = {.type = QUEUE_EVENT_DELIVERED,
                                .name = queue_name(queue),
                                .session = to.session,
                                .ticket = waiter->place.number};
    digest_sub(&state->digest, queue_waiter_digest(waiter));
    queue_waiter_free(state, waiter);
    size_t most = to.max < queue->ready.count ? to.max : queue->ready.count;
    struct queue_delivery *deliveries = arena_alloc(&state->arena, most * sizeof *deliveries);
    event.delivery_count = queue_deliver(state, apply, queue, &to, deliveries);
    event.deliveries = deliveries;
    ENSURE(event.delivery_count > 0);
    if (apply->emit) apply->emit(apply->emit_context, MODEL_QUEUE, &event);
}

void queue_done(struct queue_state *state, struct apply *apply, struct queue *queue) {
    while (queue->waiter_count > 0 && has_room(queue) && queue_pace_ms(queue, apply->log_time_ms) == 0)
        serve_first(state, apply, queue);
    heap_remove(&state->due, &queue->pace.item);
    if (queue->waiter_count > 0 && has_room(queue)) {
        uint64_t pace_ms = queue_pace_ms(queue, apply->log_time_ms);
        heap_set(&state->due, &queue->pace.item, queue_time_after(apply->log_time_ms, pace_ms), queue->number);
    }
    if (queue->configured || queue->messages > 0 || queue->key_count + queue->dedup_count + queue->waiter_count > 0)
        digest_add(&state->digest, queue_digest_of(queue));
    else
        queue_free(state, queue);
}

// ---- ends of deliveries

static struct queue_message *take_first(struct queue_state *state, struct queue_key *key) {
    struct queue_message *message = queue_first(key);
    digest_sub(&state->digest, queue_message_digest(message, key->number));
    list_remove(&message->of_key);
    queue_key_deepen(key, UINT32_MAX);
    key->tries = 0;
    return message;
}

static void drop_first(struct queue_state *state, struct queue_key *key) {
    queue_message_free(state, take_first(state, key));
    key->queue->messages--;
}

static void bury(struct queue_state *state, struct apply *apply, struct queue_key *key) {
    uint32_t tries = key->tries;
    struct queue_message *message = take_first(state, key);
    struct queue_dead *dead = queue_dead_make(state, key->queue, queue_key_name(key), message);
    ENSURE(dead != NULL);
    dead->tries = tries;
    dead->since_ms = apply->log_time_ms;
    digest_add(&state->digest, queue_dead_digest(dead));
    struct queue_event event = {
        .type = QUEUE_EVENT_DEAD, .name = queue_name(key->queue), .key = queue_key_name(key), .id = message->id};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_QUEUE, &event);
}

static void delay_first(struct queue_state *state, struct queue_key *key, uint64_t not_before_ms) {
    struct queue_message *message = queue_first(key);
    if (message->not_before_ms >= not_before_ms) return;
    digest_sub(&state->digest, queue_message_digest(message, key->number));
    message->not_before_ms = not_before_ms;
    digest_add(&state->digest, queue_message_digest(message, key->number));
}

void queue_end_claim(struct queue_state *state, struct apply *apply, struct queue_key *key, enum queue_end end,
                     uint64_t delay_ms) {
    struct queue *queue = key->queue;
    uint64_t now_ms = apply->log_time_ms;
    ENSURE(key->state == KEY_CLAIMED);
    key_begin(state, key);
    omap_remove(&state->by_session, &key->place.node);
    owned_less(&state->owned, key->place.session);
    queue->claimed--;
    key->state = KEY_EMPTY; // until it is settled
    if (end == END_UNREAD) key->tries--;
    if (end == END_ACKED)
        drop_first(state, key);
    else if (queue->options.tries_max > 0 && key->tries >= queue->options.tries_max)
        bury(state, apply, key);
    else if (queue->options.merge == QUEUE_MERGE_LATEST && key->name_len > 0 && key->depth > 1)
        drop_first(state, key); // a newer one has come meanwhile
    else if (PLANTED(QUEUE_REDELIVERED_BEHIND) && key->depth > 1)
        queue_append(state, key, take_first(state, key));
    if (end != END_ACKED && key->depth > 0 && delay_ms > 0) delay_first(state, key, queue_time_after(now_ms, delay_ms));
    key_settle(state, key, now_ms);
}

void queue_session_end(void *model, struct apply *apply, uint64_t session) {
    struct queue_state *state = model;
    digest_sub(&state->digest, queue_counters_digest(state));
    arena_reset(&state->arena);
    for (struct queue_place *place; (place = queue_place_first(state, session)) != NULL;) { // its waits come first
        struct queue *queue;
        if (place->claim) {
            struct queue_key *key = CONTAINER_OF(place, struct queue_key, place);
            queue_begin(state, queue = key->queue);
            queue_end_claim(state, apply, key, END_RETURNED, 0);
        } else {
            struct queue_waiter *waiter = CONTAINER_OF(place, struct queue_waiter, place);
            queue_begin(state, queue = waiter->queue);
            digest_sub(&state->digest, queue_waiter_digest(waiter));
            queue_waiter_free(state, waiter);
        }
        queue_done(state, apply, queue);
    }
    digest_add(&state->digest, queue_counters_digest(state));
}

// ---- deadlines

static void expire_key(struct queue_state *state, struct apply *apply, struct queue_key *key) {
    struct queue *queue = key->queue;
    queue_begin(state, queue);
    if (key->state == KEY_CLAIMED) {
        queue_end_claim(state, apply, key, END_RETURNED, 0);
    } else {
        key_begin(state, key);
        if (key->state == KEY_EMPTY) key->next = 0; // its numbering is forgotten
        key_settle(state, key, apply->log_time_ms);
    }
    queue_done(state, apply, queue);
}

static void expire_waiter(struct queue_state *state, struct apply *apply, struct queue_waiter *waiter) {
    struct queue *queue = waiter->queue;
    struct queue_event event = {.type = QUEUE_EVENT_TIMED_OUT,
                                .name = queue_name(queue),
                                .session = waiter->place.session,
                                .ticket = waiter->place.number};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_QUEUE, &event);
    queue_begin(state, queue);
    digest_sub(&state->digest, queue_waiter_digest(waiter));
    queue_waiter_free(state, waiter);
    queue_done(state, apply, queue);
}

static void expire_held(struct queue_state *state, struct apply *apply, struct queue_held *held) {
    struct queue_key *key = held->key;
    struct queue *queue = key->queue;
    queue_tell_push(state, apply, held, QUEUE_EVENT_GAP);
    queue_begin(state, queue);
    key_begin(state, key);
    digest_sub(&state->digest, queue_held_digest(held));
    queue_message_free(state, queue_held_free(state, held));
    queue->messages--;
    key_settle(state, key, apply->log_time_ms);
    queue_done(state, apply, queue);
}

static void expire_dedup(struct queue_state *state, struct apply *apply, struct queue_dedup *dedup) {
    struct queue *queue = dedup->queue;
    queue_begin(state, queue);
    digest_sub(&state->digest, queue_dedup_digest(dedup));
    queue_dedup_free(state, dedup);
    queue_done(state, apply, queue);
}

static void expire_one(struct queue_state *state, struct apply *apply, struct queue_due *due) {
    struct queue *queue;
    switch (due->kind) {
    case DUE_KEY:
        expire_key(state, apply, CONTAINER_OF(due, struct queue_key, due));
        return;
    case DUE_WAITER:
        expire_waiter(state, apply, CONTAINER_OF(due, struct queue_waiter, due));
        return;
    case DUE_HELD:
        expire_held(state, apply, CONTAINER_OF(due, struct queue_held, due));
        return;
    case DUE_DEDUP:
        expire_dedup(state, apply, CONTAINER_OF(due, struct queue_dedup, due));
        return;
    case DUE_PACE:
        queue_begin(state, queue = CONTAINER_OF(due, struct queue, pace));
        queue_done(state, apply, queue);
        return;
    }
}

size_t queue_expire(void *model, struct apply *apply, size_t max) {
    struct queue_state *state = model;
    size_t ended = 0;
    digest_sub(&state->digest, queue_counters_digest(state));
    arena_reset(&state->arena);
    for (; ended < max; ended++) {
        struct heap_item *first = heap_first(&state->due);
        if (first == NULL || first->time > apply->log_time_ms) break;
        expire_one(state, apply, CONTAINER_OF(first, struct queue_due, item));
    }
    digest_add(&state->digest, queue_counters_digest(state));
    return ended;
}
