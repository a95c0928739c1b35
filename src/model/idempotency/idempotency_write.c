// Commands' bytes, as idempotency.h states them.
#include "model/idempotency/idempotency.h"

void idempotency_write_begin(struct writer *w, uint64_t session, uint64_t attach,
                             const struct idempotency_request *request) {
    command_write_head(w, MODEL_IDEMPOTENCY, IDEMPOTENCY_BEGIN, session, attach);
    write_blob(w, request->key);
    write_blob(w, request->fingerprint);
    write_blob(w, request->owner);
    write_varint(w, request->ttl_ms);
    write_varint(w, request->lease_ms);
    write_varint(w, request->wait_ms);
}

static void head(struct writer *w, uint8_t op, uint64_t session, uint64_t attach, struct bytes key, uint64_t number) {
    command_write_head(w, MODEL_IDEMPOTENCY, op, session, attach);
    write_blob(w, key);
    write_varint(w, number);
}

void idempotency_write_complete(struct writer *w, uint64_t session, uint64_t attach, struct bytes key, uint64_t token,
                                uint32_t status, struct bytes body) {
    head(w, IDEMPOTENCY_COMPLETE, session, attach, key, token);
    write_varint(w, status);
    write_blob(w, body);
}

void idempotency_write_fail(struct writer *w, uint64_t session, uint64_t attach, struct bytes key, uint64_t token,
                            bool store, uint32_t status, struct bytes body) {
    head(w, IDEMPOTENCY_FAIL, session, attach, key, token);
    write_u8(w, store);
    write_varint(w, status);
    write_blob(w, body);
}

void idempotency_write_extend(struct writer *w, uint64_t session, uint64_t attach, struct bytes key, uint64_t token,
                              uint64_t lease_ms) {
    head(w, IDEMPOTENCY_EXTEND, session, attach, key, token);
    write_varint(w, lease_ms);
}

void idempotency_write_cancel(struct writer *w, uint64_t session, uint64_t attach, struct bytes key, uint64_t ticket) {
    head(w, IDEMPOTENCY_CANCEL, session, attach, key, ticket);
}

void idempotency_write_forget(struct writer *w, struct bytes key) {
    command_write_head(w, MODEL_IDEMPOTENCY, IDEMPOTENCY_FORGET, 0, 0);
    write_blob(w, key);
}

void idempotency_write_once(struct writer *w, uint64_t session, uint64_t attach, const struct idempotency_once *once) {
    command_write_head(w, MODEL_IDEMPOTENCY, IDEMPOTENCY_ONCE, session, attach);
    write_blob(w, once->key);
    write_blob(w, once->fingerprint);
    write_varint(w, once->ttl_ms);
    write_blob(w, once->command);
}
