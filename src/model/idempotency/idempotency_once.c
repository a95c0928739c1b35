// Commands of other models that take effect once: what is remembered of them. The machine runs them.
#include "model/idempotency/idempotency_internal.h"

int idempotency_once_read(struct bytes args, struct idempotency_once *once) {
    struct reader r = reader_of(args.data, args.len);
    once->key = read_blob(&r);
    once->fingerprint = read_blob(&r);
    once->ttl_ms = read_varint(&r);
    once->command = read_blob(&r);
    if (!reader_done(&r)) return COMMAND_BAD_COMMAND;
    bool good = once->key.len > 0 && once->key.len <= IDEMPOTENCY_ONCE_KEY_BYTES_MAX && once->ttl_ms > 0;
    good = good && once->ttl_ms <= REMEMBER_TTL_MS_MAX && once->fingerprint.len <= REMEMBER_FINGERPRINT_BYTES_MAX;
    return good ? 0 : IDEMPOTENCY_BAD_ARGUMENTS;
}

int idempotency_once_find(const void *model, const struct idempotency_once *once, struct bytes *kept) {
    const struct idempotency_state *state = model;
    const struct remembered *request = remember_find(&state->once, 0, once->key);
    if (request == NULL) return state->once.items.map.count >= IDEMPOTENCY_ONCE_MAX ? IDEMPOTENCY_LIMIT : 0;
    if (!remembered_same(request, once->fingerprint)) return IDEMPOTENCY_MISMATCH;
    *kept = remembered_answer(request);
    return 1;
}

void idempotency_once_keep(void *model, const struct apply *apply, const struct idempotency_once *once,
                           struct bytes kept) {
    struct idempotency_state *state = model;
    remember_add(&state->once, 0, once->key, once->fingerprint, kept, ++state->words[WORD_NUMBER],
                 time_after(apply->log_time_ms, once->ttl_ms));
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}
