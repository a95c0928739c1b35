// Commands' bytes, as queue.h states them.
#include "model/queue/queue.h"

static void head(struct writer *w, uint8_t op, uint64_t session, uint64_t attach, struct bytes name) {
    command_write_head(w, MODEL_QUEUE, op, session, attach);
    write_blob(w, name);
}

void queue_write_configure(struct writer *w, struct bytes name, const struct queue_options *options) {
    head(w, QUEUE_CONFIGURE, 0, 0, name);
    write_varint(w, options->tries_max);
    write_u8(w, (uint8_t)options->merge);
    write_varint(w, options->length_max);
    write_varint(w, options->concurrency_max);
    write_varint(w, options->rate);
    write_varint(w, options->burst);
    write_varint(w, options->window_ms);
    write_varint(w, options->gap_ms);
    write_varint(w, options->numbering_ms);
}

void queue_write_delete(struct writer *w, struct bytes name) {
    head(w, QUEUE_DELETE, 0, 0, name);
}

void queue_write_push(struct writer *w, uint64_t session, uint64_t attach, const struct queue_push *push) {
    head(w, QUEUE_PUSH, session, attach, push->name);
    write_blob(w, push->key);
    write_blob(w, push->body);
    write_u8(w, push->priority);
    write_u8(w, (uint8_t)push->sign);
    write_varint(w, push->delay_ms);
    write_blob(w, push->dedup);
    write_varint(w, push->dedup_ms);
    write_varint(w, push->number);
}

void queue_write_claim(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint32_t max,
                       uint64_t visibility_ms, uint64_t wait_ms) {
    head(w, QUEUE_CLAIM, session, attach, name);
    write_varint(w, max);
    write_varint(w, visibility_ms);
    write_varint(w, wait_ms);
}

void queue_write_cancel(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t ticket) {
    head(w, QUEUE_CANCEL, session, attach, name);
    write_varint(w, ticket);
}

void queue_write_ack(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, const uint64_t *tokens,
                     size_t count) {
    head(w, QUEUE_ACK, session, attach, name);
    write_varint(w, count);
    for (size_t i = 0; i < count; i++) write_varint(w, tokens[i]);
}

void queue_write_nack(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t token,
                      uint64_t delay_ms, bool unread) {
    head(w, QUEUE_NACK, session, attach, name);
    write_varint(w, token);
    write_varint(w, delay_ms);
    write_u8(w, unread);
}

void queue_write_extend(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t token,
                        uint64_t visibility_ms) {
    head(w, QUEUE_EXTEND, session, attach, name);
    write_varint(w, token);
    write_varint(w, visibility_ms);
}

void queue_write_requeue(struct writer *w, struct bytes name, uint64_t id) {
    head(w, QUEUE_REQUEUE, 0, 0, name);
    write_varint(w, id);
}

void queue_write_drop(struct writer *w, struct bytes name, uint64_t id) {
    head(w, QUEUE_DROP, 0, 0, name);
    write_varint(w, id);
}
