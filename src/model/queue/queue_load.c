// Loading: each record is checked before it becomes part of the state; what cannot be is refused, whole.
#include "model/queue/queue_internal.h"
#include <errno.h>
#include <string.h>

static struct queue *last_queue(const struct queue_state *state) {
    return list_empty(&state->all) ? NULL : CONTAINER_OF(state->all.prev, struct queue, all);
}
static struct queue_key *last_key(const struct queue *queue) {
    return list_empty(&queue->keys) ? NULL : CONTAINER_OF(queue->keys.prev, struct queue_key, of_queue);
}
static struct bytes read_text(struct reader *r) {
    return read_span(r, read_u8(r));
}

static bool load_counters(struct queue_state *state, struct reader *r) {
    digest_sub(&state->digest, queue_counters_digest(state));
    state->number = read_u64_le(r);
    state->token = read_u64_le(r);
    digest_add(&state->digest, queue_counters_digest(state));
    return !r->failed && list_empty(&state->all) && state->number < UINT64_MAX / 2 && state->token < UINT64_MAX / 2;
}

static bool read_amount(struct reader *r, uint32_t *amount) {
    uint64_t value = read_u64_le(r);
    *amount = (uint32_t)value;
    return value <= UINT32_MAX;
}

static bool load_queue(struct queue_state *state, struct reader *r) {
    struct queue_options options = {0};
    uint64_t number = read_u64_le(r), configured = read_u64_le(r);
    bool good = read_amount(r, &options.tries_max);
    uint64_t merge = read_u64_le(r);
    good = read_amount(r, &options.length_max) && good;
    good = read_amount(r, &options.concurrency_max) && good;
    good = read_amount(r, &options.rate) && good;
    good = read_amount(r, &options.burst) && good;
    options.window_ms = read_u64_le(r);
    options.gap_ms = read_u64_le(r);
    options.numbering_ms = read_u64_le(r);
    struct bucket bucket = {.level = read_u64_le(r)};
    bucket.at_ms = read_u64_le(r);
    uint64_t pace = read_u64_le(r);
    struct bytes name = read_text(r);
    if (r->failed || !good || merge > QUEUE_MERGE_CANCEL || configured > 1 || bucket.level >> 62 != 0) return false;
    options.merge = (enum queue_merge)merge;
    if (!queue_options_good(&options) || name.len == 0 || queue_find(state, name)) return false;
    if (number > state->number || (last_queue(state) && last_queue(state)->number >= number)) return false;
    struct queue *queue = queue_make(state, name, number);
    queue->configured = configured != 0;
    queue->options = options;
    queue->bucket = bucket;
    if (pace != UINT64_MAX) heap_set(&state->due, &queue->pace.item, pace, number);
    digest_add(&state->digest, queue_digest_of(queue));
    return true;
}

static struct queue_message *load_message(struct queue_state *state, struct reader *r) { // NULL: bad
    struct queue_message fields = {.id = read_u64_le(r)};
    fields.order = read_u64_le(r);
    fields.not_before_ms = read_u64_le(r);
    fields.pushed_ms = read_u64_le(r);
    uint64_t rest = read_u64_le(r), len = rest & UINT32_MAX;
    if (len > QUEUE_BODY_BYTES_MAX) return NULL;
    struct bytes body = read_span(r, (size_t)len);
    if (r->failed || rest >> 48 != 0 || fields.id > state->number || fields.order > state->number) return NULL;
    struct queue_message *message = queue_message_make(state, body);
    message->id = fields.id;
    message->order = fields.order;
    message->not_before_ms = fields.not_before_ms;
    message->pushed_ms = fields.pushed_ms;
    message->priority = (uint8_t)(rest >> 32);
    message->sign = (uint8_t)(rest >> 40);
    return message;
}

// Of the key that comes next.
static bool load_of_key(struct queue_state *state, struct reader *r) {
    uint64_t key_number = read_u64_le(r);
    if (state->loading_count > 0 && key_number != state->loading_key) return false;
    state->loading_key = key_number;
    struct queue_message *message = load_message(state, r);
    if (message == NULL) return false;
    list_push_back(&state->loading, &message->of_key);
    state->loading_count++;
    digest_add(&state->digest, queue_message_digest(message, key_number));
    return true;
}

// The messages that came before the key, in the order that they had.
static bool take_messages(struct queue_state *state, struct queue_key *key, uint32_t depth) {
    uint64_t order = 0;
    if (state->loading_count != depth || (depth > 0 && state->loading_key != key->number)) return false;
    for (; depth > 0; depth--) {
        struct queue_message *message = CONTAINER_OF(state->loading.next, struct queue_message, of_key);
        if (message->order <= order) return false;
        order = message->order;
        list_remove(&message->of_key);
        state->loading_count--;
        list_push_back(&key->messages, &message->of_key);
        queue_key_deepen(key, 1);
        key->queue->messages++;
    }
    return true;
}

static bool place_key(struct queue_state *state, struct queue_key *key, uint64_t kind, uint64_t session,
                      uint64_t number, uint64_t due) {
    if (number > (kind == KEY_CLAIMED ? state->token : state->number)) return false;
    if ((kind == KEY_EMPTY) != (key->depth == 0) || (session != 0 && kind != KEY_CLAIMED)) return false;
    switch (kind) {
    case KEY_READY:
        key->state = KEY_READY;
        key->place.number = number;
        key->priority = queue_first(key)->priority;
        if (due != UINT64_MAX || omap_insert(&key->queue->ready, &key->place.node) != NULL) {
            key->state = KEY_EMPTY; // it stands in no map
            return false;
        }
        return true;
    case KEY_CLAIMED:
        if (session == 0 && due == UINT64_MAX) return false; // nothing would ever end it
        if (owned_count(&state->owned, session) >= QUEUE_SESSION_MAX) return false;
        return key->tries > 0 && queue_key_claim(state, key, session, number, due);
    case KEY_DELAYED:
        key->queue->delayed++;
        key->state = KEY_DELAYED;
        break;
    case KEY_EMPTY:
        break;
    default:
        return false;
    }
    if (number != 0 || (kind == KEY_DELAYED && due == UINT64_MAX)) return false;
    if (due != UINT64_MAX) heap_set(&state->due, &key->due.item, due, key->number);
    return true;
}

static bool load_key(struct queue_state *state, struct reader *r) {
    struct queue *queue = last_queue(state);
    uint64_t of_queue = read_u64_le(r), number = read_u64_le(r), kind = read_u64_le(r), counts = read_u64_le(r);
    uint64_t session = read_u64_le(r), place = read_u64_le(r), next = read_u64_le(r), due = read_u64_le(r);
    struct bytes name = read_text(r);
    if (r->failed || queue == NULL || queue->number != of_queue || number > state->number) return false;
    if (queue_key_find(state, queue, name) || (last_key(queue) && last_key(queue)->number >= number)) return false;
    struct queue_key *key = queue_key_make(state, queue, name, number);
    key->next = next;
    key->tries = (uint32_t)(counts >> 32);
    if (!take_messages(state, key, (uint32_t)counts)) return false;
    if (!place_key(state, key, kind, session, place, due)) return false;
    digest_add(&state->digest, queue_key_digest(key));
    return true;
}

static bool load_held(struct queue_state *state, struct reader *r) {
    struct queue *queue = last_queue(state);
    struct queue_key *key = queue ? last_key(queue) : NULL;
    uint64_t of_key = read_u64_le(r), number = read_u64_le(r), session = read_u64_le(r), due = read_u64_le(r);
    if (r->failed || key == NULL || key->number != of_key || key->name_len == 0) return false;
    if (due == UINT64_MAX || number <= key->next || number <= 1 || key->held.count >= QUEUE_HELD_MAX) return false;
    struct queue_message *message = load_message(state, r);
    if (message == NULL) return false;
    struct queue_held *held = queue_held_make(state, key, message, number, session, due);
    if (held == NULL) {
        queue_message_free(state, message);
        return false;
    }
    queue->messages++;
    digest_add(&state->digest, queue_held_digest(held));
    return true;
}

static bool load_dead(struct queue_state *state, struct reader *r) {
    struct queue *queue = last_queue(state);
    uint64_t since_ms = read_u64_le(r), tries = read_u64_le(r);
    struct bytes key = read_text(r);
    if (r->failed || queue == NULL || tries > UINT32_MAX) return false;
    struct queue_message *message = load_message(state, r);
    if (message == NULL) return false;
    struct queue_dead *dead = queue_dead_make(state, queue, key, message);
    if (dead == NULL) {
        queue_message_free(state, message);
        return false;
    }
    dead->since_ms = since_ms;
    dead->tries = (uint32_t)tries;
    queue->messages++;
    digest_add(&state->digest, queue_dead_digest(dead));
    return true;
}

static bool load_dedup(struct queue_state *state, struct reader *r) {
    struct queue *queue = last_queue(state);
    uint64_t of_queue = read_u64_le(r), number = read_u64_le(r), id = read_u64_le(r), due = read_u64_le(r);
    struct bytes text = read_text(r);
    if (r->failed || queue == NULL || queue->number != of_queue || number > state->number) return false;
    if (text.len == 0 || text.len > QUEUE_DEDUP_BYTES_MAX || due == UINT64_MAX || id > state->number) return false;
    if (queue_dedup_find(state, queue, text)) return false;
    struct queue_dedup *dedup = queue_dedup_make(state, queue, text, number, due);
    dedup->id = id;
    digest_add(&state->digest, queue_dedup_digest(dedup));
    return true;
}

static bool load_waiter(struct queue_state *state, struct reader *r) {
    struct queue *queue = last_queue(state);
    uint64_t of_queue = read_u64_le(r);
    struct queue_claim claim = {.session = read_u64_le(r)};
    uint64_t ticket = read_u64_le(r), max = read_u64_le(r);
    claim.visibility_ms = read_u64_le(r);
    uint64_t due = read_u64_le(r);
    if (r->failed || queue == NULL || queue->number != of_queue || ticket > state->number) return false;
    if (max == 0 || max > QUEUE_CLAIM_MAX || due == UINT64_MAX) return false;
    if (claim.visibility_ms > QUEUE_TIME_MS_MAX || (claim.visibility_ms == 0 && claim.session == 0)) return false;
    claim.max = (uint32_t)max;
    if (owned_count(&state->owned, claim.session) >= QUEUE_SESSION_MAX) return false;
    struct queue_waiter *waiter = queue_waiter_make(state, queue, &claim, ticket, due);
    if (waiter == NULL) return false;
    digest_add(&state->digest, queue_waiter_digest(waiter));
    return true;
}

int queue_load(void *model, const uint8_t *data, size_t len) {
    static bool (*const loads[])(struct queue_state *, struct reader *) = {
        [RECORD_COUNTERS] = load_counters, [RECORD_QUEUE] = load_queue,  [RECORD_MESSAGE] = load_of_key,
        [RECORD_KEY] = load_key,           [RECORD_HELD] = load_held,    [RECORD_DEAD] = load_dead,
        [RECORD_DEDUP] = load_dedup,       [RECORD_WAITER] = load_waiter};
    struct queue_state *state = model;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        uint8_t kind = read_u8(&r);
        if (kind == 0 || kind >= sizeof loads / sizeof loads[0] || !loads[kind](state, &r)) return -EBADMSG;
    }
    return r.failed ? -EBADMSG : 0;
}
