// Pushing: what is dropped as a repeat, what waits for an earlier number, what takes the place of another.
//
//   numbers of a key   next 3:   [1] [2] are in the key, {4} {6} are held; 3 comes: [1] [2] [3] [4], next 5, {6} waits
#include "base/planted.h"
#include "model/queue/queue_internal.h"
#include <string.h>

void queue_append(struct queue_state *state, struct queue_key *key, struct queue_message *message) {
    message->order = ++state->number;
    list_push_back(&key->messages, &message->of_key);
    queue_key_deepen(key, 1);
    digest_add(&state->digest, queue_message_digest(message, key->number));
}

// The last message of the key that no consumer has; NULL: none.
static struct queue_message *last_waiting(const struct queue_key *key) {
    if (key == NULL || key->depth == (key->state == KEY_CLAIMED ? 1u : 0u)) return NULL;
    return queue_last(key);
}

static bool opposite(uint8_t a, uint8_t b) {
    return (a == QUEUE_SIGN_PLUS && b == QUEUE_SIGN_MINUS) || (a == QUEUE_SIGN_MINUS && b == QUEUE_SIGN_PLUS);
}

// The message that a push with this sign would take the place of, or vanish together with; NULL: none.
static struct queue_message *merges_with(const struct queue *queue, const struct queue_key *key, uint8_t sign) {
    struct queue_message *last = key && key->name_len > 0 ? last_waiting(key) : NULL;
    if (last == NULL || queue->options.merge == QUEUE_MERGE_NONE) return NULL;
    if (queue->options.merge == QUEUE_MERGE_LATEST) return last;
    bool delivered = key->depth == 1 && key->tries > 0; // may have had its effect
    return opposite(last->sign, sign) && !delivered ? last : NULL;
}

static void remove_last(struct queue_state *state, struct queue_key *key, struct queue_message *last) {
    digest_sub(&state->digest, queue_message_digest(last, key->number));
    list_remove(&last->of_key);
    queue_key_deepen(key, UINT32_MAX);
    if (key->depth == 0) key->tries = 0;
    queue_message_free(state, last);
    key->queue->messages--;
}

// The message is in its key from now on, or merged. It counts in queue->messages already. Inside key_begin.
static void accept(struct queue_state *state, struct queue_key *key, struct queue_message *message,
                   struct queue_result *out) {
    struct queue_message *other = merges_with(key->queue, key, message->sign);
    if (other == NULL) {
        queue_append(state, key, message);
        return;
    }
    if (key->queue->options.merge == QUEUE_MERGE_CANCEL) {
        out->cancelled = other->id;
        remove_last(state, key, other);
        queue_message_free(state, message);
        key->queue->messages--;
        return;
    }
    out->replaced = other->id;
    message->not_before_ms = other->not_before_ms; // its place and its time: pushed often, it is delivered all the same
    remove_last(state, key, other);
    queue_append(state, key, message);
}

void queue_tell_push(struct queue_state *state, struct apply *apply, const struct queue_held *held,
                     enum queue_event_type type) {
    struct queue_event event = {.type = type,
                                .name = queue_name(held->key->queue),
                                .key = queue_key_name(held->key),
                                .session = held->session,
                                .ticket = held->message->id,
                                .id = held->message->id};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_QUEUE, &event);
}

// What waited for the number that has come. A number held is the one awaited, so the first of the map.
static void accept_held(struct queue_state *state, struct apply *apply, struct queue_key *key) {
    for (struct omap_node *node; (node = omap_first(&key->held)) != NULL; key->next++) {
        struct queue_held *held = CONTAINER_OF(node, struct queue_held, of_key);
        struct queue_result ignored = {0};
        if (held->number != key->next) return;
        queue_tell_push(state, apply, held, QUEUE_EVENT_PUSHED);
        digest_sub(&state->digest, queue_held_digest(held));
        accept(state, key, queue_held_free(state, held), &ignored);
    }
}

static bool push_good(const struct queue_push *q, const struct queue *queue) {
    if (q->name.len == 0 || q->name.len > QUEUE_NAME_BYTES_MAX || q->key.len > QUEUE_KEY_BYTES_MAX) return false;
    if (q->body.len > QUEUE_BODY_BYTES_MAX || q->dedup.len > QUEUE_DEDUP_BYTES_MAX) return false;
    if (q->delay_ms > QUEUE_TIME_MS_MAX || q->dedup_ms > QUEUE_TIME_MS_MAX) return false;
    if ((q->dedup.len > 0) != (q->dedup_ms > 0)) return false;
    if (q->number > 0 && (q->dedup.len > 0 || q->key.len == 0 || q->number == UINT64_MAX)) return false;
    if (q->sign == QUEUE_SIGN_NONE) return true;
    return q->sign <= QUEUE_SIGN_MINUS && queue && queue->options.merge == QUEUE_MERGE_CANCEL;
}

// Is it a repeat? Then `out` says of what.
static bool repeated(const struct queue_state *state, const struct queue *queue, const struct queue_key *key,
                     const struct queue_push *q, struct queue_result *out) {
    if (queue == NULL) return false;
    const struct queue_dedup *dedup = q->dedup.len > 0 ? queue_dedup_find(state, queue, q->dedup) : NULL;
    const struct queue_held *held = q->number > 0 && key ? queue_held_find(key, q->number) : NULL;
    if (dedup) out->id = dedup->id;
    if (held) {
        out->id = out->ticket = held->message->id;
        out->waits = true;
    }
    out->duplicate = dedup || held || (q->number > 0 && key && q->number < key->next);
    return out->duplicate;
}

static struct queue_message *new_message(struct queue_state *state, const struct apply *apply,
                                         const struct queue_push *q) {
    struct queue_message *message = queue_message_make(state, q->body);
    message->id = ++state->number;
    message->priority = q->priority;
    message->sign = (uint8_t)q->sign;
    message->pushed_ms = apply->log_time_ms;
    if (q->delay_ms > 0) message->not_before_ms = queue_time_after(apply->log_time_ms, q->delay_ms);
    return message;
}

static void remember(struct queue_state *state, const struct apply *apply, struct queue *queue,
                     const struct queue_push *q, uint64_t id) {
    uint64_t until_ms = queue_time_after(apply->log_time_ms, q->dedup_ms);
    uint64_t due_ms = (until_ms / QUEUE_GRID_MS + 1) * QUEUE_GRID_MS;
    struct queue_dedup *dedup = queue_dedup_make(state, queue, q->dedup, ++state->number, due_ms);
    dedup->id = id;
    digest_add(&state->digest, queue_dedup_digest(dedup));
}

static void hold(struct queue_state *state, const struct apply *apply, struct queue_key *key, uint64_t session,
                 const struct queue_push *q, struct queue_message *message, struct queue_result *out) {
    uint64_t gap_ms = key->queue->options.gap_ms > 0 ? key->queue->options.gap_ms : QUEUE_GAP_MS_DEFAULT;
    struct queue_held *held =
        queue_held_make(state, key, message, q->number, session, queue_time_after(apply->log_time_ms, gap_ms));
    digest_add(&state->digest, queue_held_digest(held));
    out->waits = true;
    out->ticket = message->id;
}

static int push(struct queue_state *state, struct apply *apply, uint64_t session, const struct queue_push *q,
                struct queue_result *out) {
    struct queue *queue = queue_find(state, q->name);
    if (!push_good(q, queue)) return QUEUE_BAD_ARGUMENTS;
    struct queue_key *key = queue ? queue_key_find(state, queue, q->key) : NULL;
    if (repeated(state, queue, key, q, out)) return 0;
    uint64_t next = key && key->next > 0 ? key->next : 1;
    bool waits = q->number > next && !PLANTED(QUEUE_NUMBER_NOT_AWAITED);
    if (waits && key && key->held.count >= QUEUE_HELD_MAX) return QUEUE_GAP;
    uint64_t length_max = queue && queue->options.length_max > 0 ? queue->options.length_max : QUEUE_MESSAGES_MAX;
    bool grows = waits || queue == NULL || !merges_with(queue, key, (uint8_t)q->sign);
    if (grows && queue && queue->messages >= length_max) return QUEUE_LENGTH;
    if (queue)
        queue_begin(state, queue);
    else
        queue = queue_make(state, q->name, ++state->number);
    if (key)
        key_begin(state, key);
    else
        key = queue_key_make(state, queue, q->key, ++state->number);
    struct queue_message *message = new_message(state, apply, q);
    out->id = message->id;
    queue->messages++;
    if (q->dedup.len > 0 && !PLANTED(QUEUE_DEDUP_NOT_KEPT)) remember(state, apply, queue, q, message->id);
    if (waits) {
        hold(state, apply, key, session, q, message, out);
    } else {
        accept(state, key, message, out);
        if (q->number > 0) key->next = q->number + 1;
        if (q->number > 0) accept_held(state, apply, key);
    }
    key_settle(state, key, apply->log_time_ms);
    queue_done(state, apply, queue);
    return 0;
}

bool queue_read_push(struct reader *r, struct queue_push *q) {
    *q = (struct queue_push){.name = read_blob(r)};
    q->key = read_blob(r);
    q->body = read_blob(r);
    q->priority = read_u8(r);
    q->sign = read_u8(r);
    q->delay_ms = read_varint(r);
    q->dedup = read_blob(r);
    q->dedup_ms = read_varint(r);
    q->number = read_varint(r);
    return reader_done(r);
}

int queue_apply_push(struct queue_state *state, struct apply *apply, uint64_t session, struct reader *r,
                     struct queue_result *out) {
    struct queue_push q;
    if (!queue_read_push(r, &q)) return COMMAND_BAD_COMMAND;
    return push(state, apply, session, &q, out);
}
