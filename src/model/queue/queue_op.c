// The operations beside PUSH, and the dispatch. Each reads all its arguments, then checks everything, then changes; so
// an error leaves nothing behind.
#include "model/queue/queue_internal.h"
#include <string.h>

#define AMOUNT_MAX 1000000000u // of rate and burst: amount * window fits in 62 bits

static bool name_good(struct bytes name) {
    return name.len > 0 && name.len <= QUEUE_NAME_BYTES_MAX;
}

bool queue_options_good(const struct queue_options *options) {
    if (options->merge > QUEUE_MERGE_CANCEL || options->length_max > QUEUE_MESSAGES_MAX) return false;
    if (options->gap_ms > QUEUE_TIME_MS_MAX || options->numbering_ms > QUEUE_TIME_MS_MAX) return false;
    if (options->rate == 0) return options->burst == 0 && options->window_ms == 0;
    if (options->rate > AMOUNT_MAX || options->burst > AMOUNT_MAX) return false;
    return options->window_ms > 0 && options->window_ms <= QUEUE_TIME_MS_MAX;
}

static uint32_t read_amount(struct reader *r) { // beyond 32 bits is beyond every bound
    uint64_t amount = read_varint(r);
    return amount > UINT32_MAX ? UINT32_MAX : (uint32_t)amount;
}

// What the rate has let go counts on under the new one, in whole deliveries, at most all that it lets go at once.
static void convert_rate(struct queue *queue, const struct queue_options *to, uint64_t now_ms) {
    const struct queue_options *from = &queue->options;
    uint64_t used = 0;
    if (from->rate > 0)
        used = (bucket_level(&queue->bucket, from->rate, now_ms) + from->window_ms - 1) / from->window_ms;
    if (to->rate > 0 && used > queue_burst(to)) used = queue_burst(to);
    queue->bucket = (struct bucket){.level = to->rate > 0 ? used * to->window_ms : 0, .at_ms = now_ms};
}

static int apply_configure(struct queue_state *state, struct apply *apply, struct reader *r) {
    struct bytes name = read_blob(r);
    struct queue_options options = {.tries_max = read_amount(r)};
    options.merge = read_u8(r);
    options.length_max = read_amount(r);
    options.concurrency_max = read_amount(r);
    options.rate = read_amount(r);
    options.burst = read_amount(r);
    options.window_ms = read_varint(r);
    options.gap_ms = read_varint(r);
    options.numbering_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!name_good(name) || !queue_options_good(&options)) return QUEUE_BAD_ARGUMENTS;
    struct queue *queue = queue_find(state, name);
    if (queue)
        queue_begin(state, queue);
    else
        queue = queue_make(state, name, ++state->number);
    const struct queue_options *is = &queue->options;
    if (is->rate != options.rate || is->burst != options.burst || is->window_ms != options.window_ms)
        convert_rate(queue, &options, apply->log_time_ms);
    queue->options = options;
    queue->configured = true;
    queue_done(state, apply, queue);
    return 0;
}

static int apply_delete(struct queue_state *state, struct apply *apply, struct reader *r) {
    struct bytes name = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct queue *queue = queue_find(state, name);
    if (queue == NULL) return QUEUE_NOT_FOUND;
    if (queue->messages > 0) return QUEUE_NOT_EMPTY;
    queue_begin(state, queue);
    queue->options = (struct queue_options){0};
    queue->bucket = (struct bucket){0};
    queue->configured = false;
    queue_done(state, apply, queue);
    return 0;
}

// ---- claims

static void wait_for_message(struct queue_state *state, const struct apply *apply, struct queue *queue,
                             const struct queue_claim *claim, uint64_t wait_ms, struct queue_result *out) {
    uint64_t due_ms = queue_time_after(apply->log_time_ms, wait_ms);
    struct queue_waiter *waiter = queue_waiter_make(state, queue, claim, ++state->number, due_ms);
    digest_add(&state->digest, queue_waiter_digest(waiter));
    out->waits = true;
    out->ticket = waiter->place.number;
}

static int apply_claim(struct queue_state *state, struct apply *apply, uint64_t session, struct reader *r,
                       struct queue_result *out) {
    struct bytes name = read_blob(r);
    struct queue_claim claim = {.session = session, .max = read_amount(r)};
    claim.visibility_ms = read_varint(r);
    uint64_t wait_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!name_good(name) || claim.max == 0 || claim.max > QUEUE_CLAIM_MAX) return QUEUE_BAD_ARGUMENTS;
    if (claim.visibility_ms > QUEUE_TIME_MS_MAX || wait_ms > QUEUE_TIME_MS_MAX) return QUEUE_BAD_ARGUMENTS;
    if (claim.visibility_ms == 0 && session == 0) return QUEUE_BAD_ARGUMENTS; // nothing would ever end it
    if (owned_count(&state->owned, session) >= QUEUE_SESSION_MAX) return QUEUE_LIMIT;
    struct queue *queue = queue_find(state, name);
    if (queue && wait_ms > 0 && queue->waiter_count >= QUEUE_WAITERS_MAX) return QUEUE_LIMIT;
    if (queue == NULL && wait_ms == 0) return 0;
    if (queue)
        queue_begin(state, queue);
    else
        queue = queue_make(state, name, ++state->number);
    size_t most = claim.max < queue->ready.count ? claim.max : queue->ready.count;
    struct queue_delivery *deliveries = arena_alloc(&state->arena, most * sizeof *deliveries);
    out->deliveries = deliveries;
    if (queue->waiter_count == 0) // else those who came before wait for what may be had
        out->delivery_count = queue_deliver(state, apply, queue, &claim, deliveries);
    if (out->delivery_count == 0 && queue->ready.count > 0)
        out->retry_after_ms = queue_pace_ms(queue, apply->log_time_ms);
    if (out->delivery_count == 0 && wait_ms > 0) wait_for_message(state, apply, queue, &claim, wait_ms, out);
    queue_done(state, apply, queue);
    return 0;
}

static int apply_cancel(struct queue_state *state, struct apply *apply, uint64_t session, struct reader *r,
                        struct queue_result *out) {
    struct bytes name = read_blob(r);
    uint64_t ticket = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct queue_place *place = queue_place_find(state, session, false, ticket);
    struct queue_waiter *waiter = place ? CONTAINER_OF(place, struct queue_waiter, place) : NULL;
    if (waiter == NULL || !bytes_equal(queue_name(waiter->queue), name)) return QUEUE_NOT_FOUND;
    struct queue *queue = waiter->queue;
    out->ticket = ticket;
    queue_begin(state, queue);
    digest_sub(&state->digest, queue_waiter_digest(waiter));
    queue_waiter_free(state, waiter);
    queue_done(state, apply, queue);
    return 0;
}

static struct queue_key *claimed(const struct queue_state *state, uint64_t session, struct bytes name, uint64_t token) {
    struct queue_place *place = queue_place_find(state, session, true, token);
    struct queue_key *key = place ? CONTAINER_OF(place, struct queue_key, place) : NULL;
    return key && bytes_equal(queue_name(key->queue), name) ? key : NULL;
}

static int apply_ack(struct queue_state *state, struct apply *apply, uint64_t session, struct reader *r,
                     struct queue_result *out) {
    struct bytes name = read_blob(r);
    uint64_t count = read_varint(r), tokens[QUEUE_CLAIM_MAX];
    if (r->failed) return COMMAND_BAD_COMMAND;
    if (count == 0 || count > QUEUE_CLAIM_MAX) return QUEUE_BAD_ARGUMENTS;
    for (size_t i = 0; i < count; i++) tokens[i] = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && tokens[i] <= tokens[i - 1]) return QUEUE_BAD_ARGUMENTS; // ascending, so that none is there twice
        out->token = tokens[i];
        if (claimed(state, session, name, tokens[i]) == NULL) return QUEUE_NOT_CLAIMED;
    }
    out->token = 0;
    struct queue *queue = claimed(state, session, name, tokens[0])->queue;
    queue_begin(state, queue);
    for (size_t i = 0; i < count; i++)
        queue_end_claim(state, apply, claimed(state, session, name, tokens[i]), END_ACKED, 0);
    queue_done(state, apply, queue);
    return 0;
}

static int apply_nack(struct queue_state *state, struct apply *apply, uint64_t session, struct reader *r) {
    struct bytes name = read_blob(r);
    uint64_t token = read_varint(r), delay_ms = read_varint(r);
    bool unread = read_u8(r) != 0;
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (delay_ms > QUEUE_TIME_MS_MAX) return QUEUE_BAD_ARGUMENTS;
    struct queue_key *key = claimed(state, session, name, token);
    if (key == NULL) return QUEUE_NOT_CLAIMED;
    struct queue *queue = key->queue;
    queue_begin(state, queue);
    queue_end_claim(state, apply, key, unread ? END_UNREAD : END_RETURNED, delay_ms);
    queue_done(state, apply, queue);
    return 0;
}

static int apply_extend(struct queue_state *state, const struct apply *apply, uint64_t session, struct reader *r,
                        struct queue_result *out) {
    struct bytes name = read_blob(r);
    uint64_t token = read_varint(r), visibility_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (visibility_ms == 0 || visibility_ms > QUEUE_TIME_MS_MAX) return QUEUE_BAD_ARGUMENTS;
    struct queue_key *key = claimed(state, session, name, token);
    if (key == NULL) return QUEUE_NOT_CLAIMED;
    key_begin(state, key);
    heap_set(&state->due, &key->due.item, queue_time_after(apply->log_time_ms, visibility_ms), key->number);
    key_settle(state, key, apply->log_time_ms);
    out->token = token;
    out->until_ms = key->due.item.time;
    return 0;
}

// ---- dead letters

static int apply_dead(struct queue_state *state, struct apply *apply, struct reader *r, bool requeue,
                      struct queue_result *out) {
    struct bytes name = read_blob(r);
    uint64_t id = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct queue *queue = queue_find(state, name);
    struct queue_dead *dead = queue ? queue_dead_find(queue, id) : NULL;
    if (dead == NULL) return QUEUE_NOT_FOUND;
    out->id = id;
    queue_begin(state, queue);
    digest_sub(&state->digest, queue_dead_digest(dead));
    if (!requeue) {
        queue_message_free(state, queue_dead_free(state, queue, dead));
        queue->messages--;
        queue_done(state, apply, queue);
        return 0;
    }
    struct bytes key_name = bytes_of(dead->key, dead->key_len);
    struct queue_key *key = queue_key_find(state, queue, key_name);
    if (key)
        key_begin(state, key);
    else
        key = queue_key_make(state, queue, key_name, ++state->number);
    dead->message->not_before_ms = 0;
    queue_append(state, key, queue_dead_free(state, queue, dead));
    key_settle(state, key, apply->log_time_ms);
    queue_done(state, apply, queue);
    return 0;
}

static int dispatch(struct queue_state *state, struct apply *apply, const struct command *command, struct reader *r,
                    struct queue_result *out) {
    switch (command->op) {
    case QUEUE_CONFIGURE:
        return apply_configure(state, apply, r);
    case QUEUE_DELETE:
        return apply_delete(state, apply, r);
    case QUEUE_PUSH:
        return queue_apply_push(state, apply, command->session, r, out);
    case QUEUE_CLAIM:
        return apply_claim(state, apply, command->session, r, out);
    case QUEUE_CANCEL:
        return apply_cancel(state, apply, command->session, r, out);
    case QUEUE_ACK:
        return apply_ack(state, apply, command->session, r, out);
    case QUEUE_NACK:
        return apply_nack(state, apply, command->session, r);
    case QUEUE_EXTEND:
        return apply_extend(state, apply, command->session, r, out);
    case QUEUE_REQUEUE:
    case QUEUE_DROP:
        return apply_dead(state, apply, r, command->op == QUEUE_REQUEUE, out);
    default:
        return COMMAND_BAD_COMMAND;
    }
}

void queue_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct queue_state *state = model;
    struct reader r = reader_of(command->args.data, command->args.len);
    arena_reset(&state->arena);
    memset(&state->result, 0, sizeof state->result);
    digest_sub(&state->digest, queue_counters_digest(state));
    result->value = &state->result;
    result->error = dispatch(state, apply, command, &r, &state->result);
    digest_add(&state->digest, queue_counters_digest(state));
}

// ---- results that are kept for a request's key

// Not a push with a number, which may wait and is done once by its number; not claims and what extends them: their
// answers are true for a time only.
static bool keeps(const struct command *command) {
    struct reader r = reader_of(command->args.data, command->args.len);
    struct queue_push q;
    if (command->op == QUEUE_PUSH) return queue_read_push(&r, &q) && q.number == 0;
    return command->op != QUEUE_CLAIM && command->op != QUEUE_CANCEL && command->op != QUEUE_EXTEND;
}

static bool done(const struct result *result) {
    return result->error == 0;
}

static void write_result(const struct result *result, struct writer *w) {
    const struct queue_result *queue = result->value;
    write_varint(w, queue->id);
    write_u8(w, queue->duplicate);
    write_varint(w, queue->replaced);
    write_varint(w, queue->cancelled);
}

static bool read_result(void *model, const struct command *command, struct reader *r, struct result *result) {
    struct queue_result *out = &((struct queue_state *)model)->result;
    *out = (struct queue_result){.id = read_varint(r)};
    out->duplicate = read_u8(r) != 0;
    out->replaced = read_varint(r);
    out->cancelled = read_varint(r);
    result->value = out;
    return reader_done(r);
}

const struct result_keeper queue_keeper = {.keeps = keeps, .done = done, .write = write_result, .read = read_result};
