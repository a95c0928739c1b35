// Commands' bytes, as barrier.h states them.
#include "model/barrier/barrier.h"

static void head(struct writer *w, uint8_t op, uint64_t session, uint64_t attach, struct bytes name,
                 struct bytes member) {
    command_write_head(w, MODEL_BARRIER, op, session, attach);
    write_blob(w, name);
    write_blob(w, member);
}

void barrier_write_enter(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes member,
                         uint32_t size, uint64_t wait_ms) {
    head(w, BARRIER_ENTER, session, attach, name, member);
    write_varint(w, size);
    write_varint(w, wait_ms);
}

void barrier_write_leave(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes member,
                         uint64_t round, uint64_t wait_ms) {
    head(w, BARRIER_LEAVE, session, attach, name, member);
    write_varint(w, round);
    write_varint(w, wait_ms);
}

void barrier_write_cancel(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes member,
                          uint64_t ticket) {
    head(w, BARRIER_CANCEL, session, attach, name, member);
    write_varint(w, ticket);
}

void barrier_write_latch_set(struct writer *w, struct bytes name, uint64_t count, uint64_t ttl_ms) {
    command_write_head(w, MODEL_BARRIER, BARRIER_LATCH_SET, 0, 0);
    write_blob(w, name);
    write_varint(w, count);
    write_varint(w, ttl_ms);
}

void barrier_write_latch_down(struct writer *w, struct bytes name, uint64_t by, struct bytes request,
                              uint64_t request_ttl_ms) {
    command_write_head(w, MODEL_BARRIER, BARRIER_LATCH_DOWN, 0, 0);
    write_blob(w, name);
    write_varint(w, by);
    write_blob(w, request);
    write_varint(w, request_ttl_ms);
}

void barrier_write_latch_delete(struct writer *w, struct bytes name) {
    command_write_head(w, MODEL_BARRIER, BARRIER_LATCH_DELETE, 0, 0);
    write_blob(w, name);
}
