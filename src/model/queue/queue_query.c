// What there is to see. Each part costs as much as it shows, but for a key's messages behind each other.
#include "model/queue/queue_internal.h"

static void show_queue(const struct queue *queue, const struct queue_query *query) {
    struct queue_info info = {.name = queue_name(queue),
                              .options = queue->options,
                              .messages = queue->messages,
                              .keys = queue->key_count,
                              .ready = queue->ready.count,
                              .claimed = queue->claimed,
                              .delayed = queue->delayed,
                              .dead = queue->dead.count,
                              .waiters = queue->waiter_count};
    query->queue(query->context, &info);
}

static uint64_t oldest_ms(const struct queue_key *key) {
    if (!list_empty(&key->messages)) return queue_first(key)->pushed_ms;
    return CONTAINER_OF_CONST(omap_first(&key->held), struct queue_held, of_key)->message->pushed_ms;
}

static void show_keys(const struct queue *queue, const struct queue_query *query) {
    size_t left = query->max;
    for (struct omap_node *at = omap_first(&queue->by_depth); at && left > 0; at = omap_next(at), left--) {
        const struct queue_key *key = CONTAINER_OF(at, struct queue_key, of_depth);
        bool claimed = key->state == KEY_CLAIMED;
        struct queue_key_info info = {.key = queue_key_name(key),
                                      .depth = key->depth,
                                      .tries = key->tries,
                                      .held = (uint32_t)key->held.count,
                                      .token = claimed ? key->place.number : 0,
                                      .session = claimed ? key->place.session : 0,
                                      .next = key->next,
                                      .oldest_ms = oldest_ms(key)};
        query->key(query->context, &info);
    }
}

static struct queue_message_info info_of(const struct queue_message *message, struct bytes key) {
    return (struct queue_message_info){.id = message->id,
                                       .pushed_ms = message->pushed_ms,
                                       .not_before_ms = message->not_before_ms,
                                       .priority = message->priority,
                                       .key = key,
                                       .body = bytes_of(message->body, message->len)};
}

static int after_id(const void *id, const struct omap_node *node) { // below all that are after it
    return *(const uint64_t *)id < CONTAINER_OF_CONST(node, struct queue_dead, of_queue)->message->id ? -1 : 1;
}

static void show_dead(const struct queue *queue, const struct queue_query *query) {
    size_t left = query->max;
    struct omap_node *at = omap_lower_bound(&queue->dead, after_id, &query->after_id);
    for (; at && left > 0; at = omap_next(at), left--) {
        const struct queue_dead *dead = CONTAINER_OF(at, struct queue_dead, of_queue);
        struct queue_message_info info = info_of(dead->message, bytes_of(dead->key, dead->key_len));
        info.tries = dead->tries;
        info.since_ms = dead->since_ms;
        query->dead(query->context, &info);
    }
}

static void show_messages(const struct queue_key *key, const struct queue_query *query) {
    size_t left = query->max;
    for (const struct list *at = key->messages.next; at != &key->messages && left > 0; at = at->next, left--) {
        struct queue_message_info info =
            info_of(CONTAINER_OF_CONST(at, struct queue_message, of_key), queue_key_name(key));
        query->message(query->context, &info);
    }
    for (struct omap_node *at = omap_first(&key->held); at && left > 0; at = omap_next(at), left--) {
        const struct queue_held *held = CONTAINER_OF(at, struct queue_held, of_key);
        struct queue_message_info info = info_of(held->message, queue_key_name(key));
        info.number = held->number;
        query->message(query->context, &info);
    }
}

static void show_claims(const struct queue_state *state, const struct queue_query *query) {
    size_t left = query->max;
    const struct queue_place *at = queue_place_first(state, query->session);
    for (; at && left > 0; at = queue_place_next(at), left--) {
        struct queue_claim_info info = {.token = at->claim ? at->number : 0, .ticket = at->claim ? 0 : at->number};
        if (at->claim) {
            const struct queue_key *key = CONTAINER_OF_CONST(at, struct queue_key, place);
            info.queue = queue_name(key->queue);
            info.key = queue_key_name(key);
        } else {
            info.queue = queue_name(CONTAINER_OF_CONST(at, struct queue_waiter, place)->queue);
        }
        query->claim(query->context, &info);
    }
}

void queue_query_model(const void *model, const void *asked, struct result *result) {
    const struct queue_state *state = model;
    const struct queue_query *query = asked;
    *result = (struct result){.model = MODEL_QUEUE};
    if (query->session != 0) {
        show_claims(state, query);
        return;
    }
    if (query->name.len > 0) {
        const struct queue *queue = queue_find(state, query->name);
        if (queue == NULL) return;
        const struct queue_key *key = query->message ? queue_key_find(state, queue, query->of_key) : NULL;
        if (query->queue) show_queue(queue, query);
        if (query->key) show_keys(queue, query);
        if (query->dead) show_dead(queue, query);
        if (key) show_messages(key, query);
        return;
    }
    const struct queue *after = query->after.len > 0 ? queue_find(state, query->after) : NULL;
    size_t left = query->queue ? query->max : 0;
    const struct list *at = after ? after->all.next : state->all.next;
    for (; at != &state->all && left > 0; at = at->next, left--)
        show_queue(CONTAINER_OF_CONST(at, struct queue, all), query);
}
