// What the state is made of: making, finding and freeing. Who calls these keeps the digests.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/queue/queue_internal.h"
#include <string.h>

#define HASH_SEED 0x71756575ull
#define ALLOCATION_BYTES 16u // what an allocation costs beside its bytes, about

// ---- memory, counted

static void *take_bytes(struct queue_state *state, size_t bytes) {
    state->bytes += bytes + ALLOCATION_BYTES;
    return mem_zalloc(bytes);
}
static void give_bytes(struct queue_state *state, void *memory, size_t bytes) {
    state->bytes -= bytes + ALLOCATION_BYTES;
    mem_free(memory);
}
static void copy_text(uint8_t *to, struct bytes text) {
    if (text.len > 0) memcpy(to, text.data, text.len);
}

// ---- orders

static int order(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static int compare_ready(const struct omap_node *a, const struct omap_node *b) {
    const struct queue_key *x = CONTAINER_OF_CONST(a, struct queue_key, place.node);
    const struct queue_key *y = CONTAINER_OF_CONST(b, struct queue_key, place.node);
    return x->priority != y->priority ? order(y->priority, x->priority) : order(x->place.number, y->place.number);
}

static uint64_t backlog(const struct queue_key *key) {
    return (uint64_t)key->depth + key->held.count;
}
static int compare_depth(const struct omap_node *a, const struct omap_node *b) {
    const struct queue_key *x = CONTAINER_OF_CONST(a, struct queue_key, of_depth);
    const struct queue_key *y = CONTAINER_OF_CONST(b, struct queue_key, of_depth);
    return backlog(x) != backlog(y) ? order(backlog(y), backlog(x)) : order(x->number, y->number);
}

static int compare_dead(const struct omap_node *a, const struct omap_node *b) {
    return order(CONTAINER_OF_CONST(a, struct queue_dead, of_queue)->message->id,
                 CONTAINER_OF_CONST(b, struct queue_dead, of_queue)->message->id);
}
static int dead_key(const void *id, const struct omap_node *node) {
    return order(*(const uint64_t *)id, CONTAINER_OF_CONST(node, struct queue_dead, of_queue)->message->id);
}

static int compare_held(const struct omap_node *a, const struct omap_node *b) {
    return order(CONTAINER_OF_CONST(a, struct queue_held, of_key)->number,
                 CONTAINER_OF_CONST(b, struct queue_held, of_key)->number);
}
static int held_key(const void *number, const struct omap_node *node) {
    return order(*(const uint64_t *)number, CONTAINER_OF_CONST(node, struct queue_held, of_key)->number);
}

static int place_key(const void *key, const struct omap_node *node) {
    const struct queue_place *x = key, *y = CONTAINER_OF_CONST(node, struct queue_place, node);
    if (x->session != y->session) return order(x->session, y->session);
    return x->claim != y->claim ? order(x->claim, y->claim) : order(x->number, y->number);
}
static int compare_places(const struct omap_node *a, const struct omap_node *b) {
    return place_key(CONTAINER_OF_CONST(a, struct queue_place, node), b);
}

struct queue_place *queue_place_find(const struct queue_state *state, uint64_t session, bool claim, uint64_t number) {
    struct queue_place want = {.session = session, .claim = claim, .number = number};
    struct omap_node *node = omap_find(&state->by_session, place_key, &want);
    return node ? CONTAINER_OF(node, struct queue_place, node) : NULL;
}

struct queue_place *queue_place_first(const struct queue_state *state, uint64_t session) {
    struct queue_place want = {.session = session};
    struct omap_node *node = omap_lower_bound(&state->by_session, place_key, &want);
    struct queue_place *place = node ? CONTAINER_OF(node, struct queue_place, node) : NULL;
    return place && place->session == session ? place : NULL;
}

struct queue_place *queue_place_next(const struct queue_place *place) {
    struct omap_node *node = omap_next(&place->node);
    struct queue_place *next = node ? CONTAINER_OF(node, struct queue_place, node) : NULL;
    return next && next->session == place->session ? next : NULL;
}

// ---- queues

static bool queue_matches(const struct hash_node *node, const void *key) {
    return bytes_equal(queue_name(CONTAINER_OF_CONST(node, struct queue, index)), *(const struct bytes *)key);
}

struct queue *queue_find(const struct queue_state *state, struct bytes name) {
    uint64_t hash = hash_bytes(name.data, name.len, HASH_SEED);
    struct hash_node *node = hash_find(&state->queues, hash, queue_matches, &name);
    return node ? CONTAINER_OF(node, struct queue, index) : NULL;
}

struct queue *queue_make(struct queue_state *state, struct bytes name, uint64_t number) {
    struct queue *queue = take_bytes(state, sizeof *queue + name.len);
    copy_text(queue->name, name);
    queue->name_len = name.len;
    queue->number = number;
    queue->pace.kind = DUE_PACE;
    list_init(&queue->keys);
    list_init(&queue->dedups);
    list_init(&queue->waiters);
    omap_init(&queue->ready, compare_ready);
    omap_init(&queue->by_depth, compare_depth);
    omap_init(&queue->dead, compare_dead);
    hash_insert(&state->queues, &queue->index, hash_bytes(name.data, name.len, HASH_SEED));
    list_push_back(&state->all, &queue->all);
    return queue;
}

void queue_free(struct queue_state *state, struct queue *queue) {
    while (!list_empty(&queue->waiters))
        queue_waiter_free(state, CONTAINER_OF(queue->waiters.next, struct queue_waiter, of_queue));
    while (!list_empty(&queue->dedups))
        queue_dedup_free(state, CONTAINER_OF(queue->dedups.next, struct queue_dedup, of_queue));
    while (!list_empty(&queue->keys)) queue_key_free(state, CONTAINER_OF(queue->keys.next, struct queue_key, of_queue));
    for (struct omap_node *node; (node = omap_first(&queue->dead)) != NULL;) {
        struct queue_dead *dead = CONTAINER_OF(node, struct queue_dead, of_queue);
        queue_message_free(state, queue_dead_free(state, queue, dead));
    }
    hash_remove(&state->queues, &queue->index);
    list_remove(&queue->all);
    heap_remove(&state->due, &queue->pace.item);
    give_bytes(state, queue, sizeof *queue + queue->name_len);
}

// ---- keys

struct text_key {
    const struct queue *queue;
    struct bytes text;
};

static uint64_t text_hash(const struct queue *queue, struct bytes text) {
    return hash_bytes(text.data, text.len, HASH_SEED ^ queue->number);
}

static bool key_matches(const struct hash_node *node, const void *key) {
    const struct queue_key *is = CONTAINER_OF_CONST(node, struct queue_key, index);
    const struct text_key *want = key;
    return is->queue == want->queue && bytes_equal(queue_key_name(is), want->text);
}

struct queue_key *queue_key_find(const struct queue_state *state, const struct queue *queue, struct bytes name) {
    struct text_key key = {queue, name};
    struct hash_node *node = name.len == 0 ? NULL : hash_find(&state->keys, text_hash(queue, name), key_matches, &key);
    return node ? CONTAINER_OF(node, struct queue_key, index) : NULL;
}

struct queue_key *queue_key_make(struct queue_state *state, struct queue *queue, struct bytes name, uint64_t number) {
    struct queue_key *key = take_bytes(state, sizeof *key + name.len);
    copy_text(key->name, name);
    key->name_len = (uint8_t)name.len;
    key->queue = queue;
    key->number = number;
    key->due.kind = DUE_KEY;
    list_init(&key->messages);
    omap_init(&key->held, compare_held);
    if (name.len > 0) hash_insert(&state->keys, &key->index, text_hash(queue, name));
    list_push_back(&queue->keys, &key->of_queue);
    queue->key_count++;
    return key;
}

void queue_key_free(struct queue_state *state, struct queue_key *key) {
    struct queue *queue = key->queue;
    for (; !list_empty(&key->messages); queue_key_deepen(key, UINT32_MAX)) {
        struct queue_message *message = queue_first(key);
        list_remove(&message->of_key);
        queue_message_free(state, message);
    }
    for (struct omap_node *node; (node = omap_first(&key->held)) != NULL;)
        queue_message_free(state, queue_held_free(state, CONTAINER_OF(node, struct queue_held, of_key)));
    if (key->state == KEY_CLAIMED) {
        omap_remove(&state->by_session, &key->place.node);
        owned_less(&state->owned, key->place.session);
    } else if (key->state == KEY_READY) {
        omap_remove(&queue->ready, &key->place.node);
    }
    heap_remove(&state->due, &key->due.item);
    if (key->name_len > 0) hash_remove(&state->keys, &key->index);
    list_remove(&key->of_queue);
    queue->key_count--;
    give_bytes(state, key, sizeof *key + key->name_len);
}

// Around each change of what a key has.
static bool has_backlog(const struct queue_key *key) {
    return key->depth >= 2 || key->held.count > 0;
}
static void out_of_depth(struct queue_key *key) {
    if (has_backlog(key)) omap_remove(&key->queue->by_depth, &key->of_depth);
}
static void into_depth(struct queue_key *key) {
    if (has_backlog(key)) omap_insert(&key->queue->by_depth, &key->of_depth);
}

void queue_key_deepen(struct queue_key *key, uint32_t more) {
    out_of_depth(key);
    key->depth += more;
    into_depth(key);
}

// ---- messages, held and dead ones

struct queue_message *queue_message_make(struct queue_state *state, struct bytes body) {
    struct queue_message *message = take_bytes(state, sizeof *message + body.len);
    message->len = (uint32_t)body.len;
    copy_text(message->body, body);
    list_init(&message->of_key);
    return message;
}

void queue_message_free(struct queue_state *state, struct queue_message *message) {
    give_bytes(state, message, sizeof *message + message->len);
}

struct queue_held *queue_held_find(const struct queue_key *key, uint64_t number) {
    struct omap_node *node = omap_find(&key->held, held_key, &number);
    return node ? CONTAINER_OF(node, struct queue_held, of_key) : NULL;
}

struct queue_held *queue_held_make(struct queue_state *state, struct queue_key *key, struct queue_message *message,
                                   uint64_t number, uint64_t session, uint64_t due_ms) {
    if (queue_held_find(key, number)) return NULL;
    struct queue_held *held = take_bytes(state, sizeof *held);
    held->key = key;
    held->message = message;
    held->number = number;
    held->session = session;
    held->due.kind = DUE_HELD;
    out_of_depth(key);
    omap_insert(&key->held, &held->of_key);
    into_depth(key);
    heap_set(&state->due, &held->due.item, due_ms, message->id);
    return held;
}

struct queue_message *queue_held_free(struct queue_state *state, struct queue_held *held) {
    struct queue_message *message = held->message;
    out_of_depth(held->key);
    omap_remove(&held->key->held, &held->of_key);
    into_depth(held->key);
    heap_remove(&state->due, &held->due.item);
    give_bytes(state, held, sizeof *held);
    return message;
}

struct queue_dead *queue_dead_find(const struct queue *queue, uint64_t id) {
    struct omap_node *node = omap_find(&queue->dead, dead_key, &id);
    return node ? CONTAINER_OF(node, struct queue_dead, of_queue) : NULL;
}

struct queue_dead *queue_dead_make(struct queue_state *state, struct queue *queue, struct bytes key,
                                   struct queue_message *message) {
    if (queue_dead_find(queue, message->id)) return NULL;
    struct queue_dead *dead = take_bytes(state, sizeof *dead + key.len);
    dead->message = message;
    dead->key_len = (uint8_t)key.len;
    copy_text(dead->key, key);
    omap_insert(&queue->dead, &dead->of_queue);
    return dead;
}

struct queue_message *queue_dead_free(struct queue_state *state, struct queue *queue, struct queue_dead *dead) {
    struct queue_message *message = dead->message;
    omap_remove(&queue->dead, &dead->of_queue);
    give_bytes(state, dead, sizeof *dead + dead->key_len);
    return message;
}

// ---- deduplication ids, waiters

static bool dedup_matches(const struct hash_node *node, const void *key) {
    const struct queue_dedup *is = CONTAINER_OF_CONST(node, struct queue_dedup, index);
    const struct text_key *want = key;
    return is->queue == want->queue && bytes_equal(bytes_of(is->text, is->len), want->text);
}

struct queue_dedup *queue_dedup_find(const struct queue_state *state, const struct queue *queue, struct bytes text) {
    struct text_key key = {queue, text};
    struct hash_node *node = hash_find(&state->dedups, text_hash(queue, text), dedup_matches, &key);
    return node ? CONTAINER_OF(node, struct queue_dedup, index) : NULL;
}

struct queue_dedup *queue_dedup_make(struct queue_state *state, struct queue *queue, struct bytes text, uint64_t number,
                                     uint64_t due_ms) {
    struct queue_dedup *dedup = take_bytes(state, sizeof *dedup + text.len);
    dedup->queue = queue;
    dedup->number = number;
    dedup->due.kind = DUE_DEDUP;
    dedup->len = (uint8_t)text.len;
    copy_text(dedup->text, text);
    hash_insert(&state->dedups, &dedup->index, text_hash(queue, text));
    list_push_back(&queue->dedups, &dedup->of_queue);
    queue->dedup_count++;
    heap_set(&state->due, &dedup->due.item, due_ms, number);
    return dedup;
}

void queue_dedup_free(struct queue_state *state, struct queue_dedup *dedup) {
    hash_remove(&state->dedups, &dedup->index);
    list_remove(&dedup->of_queue);
    dedup->queue->dedup_count--;
    heap_remove(&state->due, &dedup->due.item);
    give_bytes(state, dedup, sizeof *dedup + dedup->len);
}

struct queue_waiter *queue_waiter_make(struct queue_state *state, struct queue *queue, const struct queue_claim *claim,
                                       uint64_t ticket, uint64_t due_ms) {
    if (queue_place_find(state, claim->session, false, ticket)) return NULL;
    struct queue_waiter *waiter = take_bytes(state, sizeof *waiter);
    waiter->queue = queue;
    waiter->claim = *claim;
    waiter->place.session = claim->session;
    waiter->place.number = ticket;
    waiter->due.kind = DUE_WAITER;
    omap_insert(&state->by_session, &waiter->place.node);
    owned_more(&state->owned, claim->session);
    list_push_back(&queue->waiters, &waiter->of_queue);
    queue->waiter_count++;
    heap_set(&state->due, &waiter->due.item, due_ms, ticket);
    return waiter;
}

void queue_waiter_free(struct queue_state *state, struct queue_waiter *waiter) {
    omap_remove(&state->by_session, &waiter->place.node);
    owned_less(&state->owned, waiter->place.session);
    list_remove(&waiter->of_queue);
    waiter->queue->waiter_count--;
    heap_remove(&state->due, &waiter->due.item);
    give_bytes(state, waiter, sizeof *waiter);
}

// ---- the model

static void *queue_create(void) {
    struct queue_state *state = mem_zalloc(sizeof *state);
    hash_init(&state->queues);
    hash_init(&state->keys);
    hash_init(&state->dedups);
    list_init(&state->all);
    list_init(&state->loading);
    omap_init(&state->by_session, compare_places);
    owned_init(&state->owned);
    heap_init(&state->due);
    arena_init(&state->arena);
    state->digest = queue_counters_digest(state);
    return state;
}

static void queue_destroy(void *model) {
    struct queue_state *state = model;
    while (!list_empty(&state->all)) queue_free(state, CONTAINER_OF(state->all.next, struct queue, all));
    while (!list_empty(&state->loading)) {
        struct queue_message *message = CONTAINER_OF(state->loading.next, struct queue_message, of_key);
        list_remove(&message->of_key);
        queue_message_free(state, message);
    }
    ENSURE(state->bytes == 0);
    hash_free(&state->queues);
    hash_free(&state->keys);
    hash_free(&state->dedups);
    owned_free(&state->owned);
    heap_free(&state->due);
    arena_free(&state->arena);
    mem_free(state);
}

static uint64_t queue_next_deadline(const void *model) {
    const struct heap_item *first = heap_first(&((const struct queue_state *)model)->due);
    return first ? first->time : UINT64_MAX;
}

static struct digest queue_digest(const void *model) {
    return ((const struct queue_state *)model)->digest;
}

static uint64_t queue_memory(const void *model) {
    const struct queue_state *state = model;
    return state->bytes + owned_memory(&state->owned) + (uint64_t)state->due.count * sizeof(void *) +
           (uint64_t)(state->queues.count + state->keys.count + state->dedups.count) * sizeof(void *);
}

static uint64_t queue_count(const void *model) {
    return ((const struct queue_state *)model)->queues.count;
}
static uint64_t queue_count_of_session(const void *model, uint64_t session) {
    return owned_count(&((const struct queue_state *)model)->owned, session);
}

const struct model_ops queue_model = {
    .name = "queue",
    .id = MODEL_QUEUE,
    .create = queue_create,
    .destroy = queue_destroy,
    .apply = queue_apply,
    .query = queue_query_model,
    .session_end = queue_session_end,
    .next_deadline_ms = queue_next_deadline,
    .expire = queue_expire,
    .save = queue_save,
    .load = queue_load,
    .digest = queue_digest,
    .digest_recount = queue_digest_recount,
    .memory = queue_memory,
    .keeper = &queue_keeper,
    .growing = MODEL_GROWS(QUEUE_CONFIGURE) | MODEL_GROWS(QUEUE_PUSH),
    .count = queue_count,
    .count_of_session = queue_count_of_session,
};
