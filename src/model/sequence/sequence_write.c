// Commands' bytes, as sequence.h states them.
#include "model/sequence/sequence.h"

void sequence_write_create(struct writer *w, const struct sequence_settings *settings) {
    command_write_head(w, MODEL_SEQUENCE, SEQUENCE_CREATE, 0, 0);
    write_blob(w, settings->name);
    write_varint(w, settings->start);
    write_varint(w, settings->step);
    write_varint(w, settings->ceiling);
    write_varint(w, settings->block_max);
    write_u8(w, settings->gapless);
}

void sequence_write_next(struct writer *w, uint64_t session, uint64_t attach, const struct sequence_request *request) {
    command_write_head(w, MODEL_SEQUENCE, SEQUENCE_NEXT, session, attach);
    write_blob(w, request->name);
    write_varint(w, request->count);
    write_blob(w, request->key);
    write_blob(w, request->fingerprint);
    write_varint(w, request->key_ttl_ms);
}

void sequence_write_set(struct writer *w, struct bytes name, uint64_t value) {
    command_write_head(w, MODEL_SEQUENCE, SEQUENCE_SET, 0, 0);
    write_blob(w, name);
    write_varint(w, value);
}

void sequence_write_ids(struct writer *w, uint64_t session, uint64_t attach, uint32_t count) {
    command_write_head(w, MODEL_SEQUENCE, SEQUENCE_IDS, session, attach);
    write_varint(w, count);
}

void sequence_write_lease(struct writer *w, uint64_t session, uint64_t attach, struct bytes owner, uint64_t window_ms) {
    command_write_head(w, MODEL_SEQUENCE, SEQUENCE_LEASE, session, attach);
    write_blob(w, owner);
    write_varint(w, window_ms);
}

void sequence_write_renew(struct writer *w, uint64_t session, uint64_t attach, uint32_t worker, uint64_t token,
                          uint64_t window_ms) {
    command_write_head(w, MODEL_SEQUENCE, SEQUENCE_RENEW, session, attach);
    write_varint(w, worker);
    write_varint(w, token);
    write_varint(w, window_ms);
}

void sequence_write_release(struct writer *w, uint64_t session, uint64_t attach, uint32_t worker, uint64_t token) {
    command_write_head(w, MODEL_SEQUENCE, SEQUENCE_RELEASE, session, attach);
    write_varint(w, worker);
    write_varint(w, token);
}
