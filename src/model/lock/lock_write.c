// Commands' bytes, as lock.h states them.
#include "model/lock/lock.h"

void lock_write_acquire(struct writer *w, uint64_t session, uint64_t attach, const struct lock_request *request) {
    command_write_head(w, MODEL_LOCK, LOCK_ACQUIRE, session, attach);
    write_blob(w, request->name);
    write_blob(w, request->owner);
    write_u8(w, (uint8_t)request->mode);
    write_varint(w, request->permits);
    write_varint(w, request->total);
    write_varint(w, request->ttl_ms);
    write_varint(w, request->wait_ms);
    write_varint(w, request->delay_ms);
    if (request->mode == LOCK_ELECTION) write_blob(w, request->value);
}

void lock_write_acquire_all(struct writer *w, uint64_t session, uint64_t attach, struct bytes owner, uint64_t ttl_ms,
                            uint64_t delay_ms, const struct bytes *names, const enum lock_mode *modes, size_t count) {
    command_write_head(w, MODEL_LOCK, LOCK_ACQUIRE_ALL, session, attach);
    write_blob(w, owner);
    write_varint(w, ttl_ms);
    write_varint(w, delay_ms);
    write_varint(w, count);
    for (size_t i = 0; i < count; i++) {
        write_blob(w, names[i]);
        write_u8(w, (uint8_t)modes[i]);
    }
}

static void head(struct writer *w, uint8_t op, uint64_t session, uint64_t attach, struct bytes name,
                 struct bytes owner) {
    command_write_head(w, MODEL_LOCK, op, session, attach);
    write_blob(w, name);
    write_blob(w, owner);
}

void lock_write_release(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes owner,
                        uint64_t token, bool all) {
    head(w, LOCK_RELEASE, session, attach, name, owner);
    write_varint(w, token);
    write_u8(w, all);
}

void lock_write_renew(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes owner,
                      uint64_t token, uint64_t ttl_ms) {
    head(w, LOCK_RENEW, session, attach, name, owner);
    write_varint(w, token);
    write_varint(w, ttl_ms);
}

void lock_write_cancel(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes owner,
                       uint64_t ticket, bool give_back) {
    head(w, LOCK_CANCEL, session, attach, name, owner);
    write_varint(w, ticket);
    write_u8(w, give_back);
}

void lock_write_proclaim(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes owner,
                         uint64_t token, struct bytes value) {
    head(w, LOCK_PROCLAIM, session, attach, name, owner);
    write_varint(w, token);
    write_blob(w, value);
}

void lock_write_break(struct writer *w, struct bytes name, uint64_t token, struct bytes reason) {
    command_write_head(w, MODEL_LOCK, LOCK_BREAK, 0, 0);
    write_blob(w, name);
    write_varint(w, token);
    write_blob(w, reason);
}
