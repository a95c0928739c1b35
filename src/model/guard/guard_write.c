// Commands' bytes, as guard.h states them.
#include "model/guard/guard.h"

void guard_write_issue(struct writer *w, uint64_t session, uint64_t attach, struct bytes purpose, uint64_t ttl_ms,
                       const struct bytes *tokens, size_t count) {
    command_write_head(w, MODEL_GUARD, GUARD_ISSUE, session, attach);
    write_blob(w, purpose);
    write_varint(w, ttl_ms);
    write_varint(w, count);
    for (size_t i = 0; i < count; i++) write_blob(w, tokens[i]);
}

void guard_write_consume(struct writer *w, uint64_t session, uint64_t attach, struct bytes token, struct bytes purpose,
                         struct bytes caller) {
    command_write_head(w, MODEL_GUARD, GUARD_CONSUME, session, attach);
    write_blob(w, token);
    write_blob(w, purpose);
    write_blob(w, caller);
}

void guard_write_transition(struct writer *w, uint64_t session, uint64_t attach,
                            const struct guard_transition *transition) {
    command_write_head(w, MODEL_GUARD, GUARD_TRANSITION, session, attach);
    write_blob(w, transition->entity);
    write_blob(w, transition->from);
    write_blob(w, transition->to);
    write_blob(w, transition->request);
    write_blob(w, transition->caller);
    write_varint(w, transition->ttl_ms);
}

void guard_write_entity_delete(struct writer *w, uint64_t session, uint64_t attach, struct bytes entity,
                               struct bytes state) {
    command_write_head(w, MODEL_GUARD, GUARD_ENTITY_DELETE, session, attach);
    write_blob(w, entity);
    write_blob(w, state);
}

static void guarded(struct writer *w, uint8_t op, uint64_t session, uint64_t attach, struct bytes name,
                    uint64_t expected, uint64_t token) {
    command_write_head(w, MODEL_GUARD, op, session, attach);
    write_blob(w, name);
    write_varint(w, expected);
    write_varint(w, token);
}

void guard_write_put(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t expected,
                     uint64_t token, struct bytes value) {
    guarded(w, GUARD_PUT, session, attach, name, expected, token);
    write_blob(w, value);
}

void guard_write_delete(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t expected,
                        uint64_t token) {
    guarded(w, GUARD_DELETE, session, attach, name, expected, token);
}

void guard_write_counter_set(struct writer *w, struct bytes name, int64_t value, int64_t floor, int64_t ceiling) {
    command_write_head(w, MODEL_GUARD, GUARD_COUNTER_SET, 0, 0);
    write_blob(w, name);
    write_varint_signed(w, value);
    write_varint_signed(w, floor);
    write_varint_signed(w, ceiling);
}

void guard_write_counter_add(struct writer *w, uint64_t session, uint64_t attach, struct bytes request, uint64_t ttl_ms,
                             const struct guard_addition *additions, size_t count) {
    command_write_head(w, MODEL_GUARD, GUARD_COUNTER_ADD, session, attach);
    write_blob(w, request);
    write_varint(w, ttl_ms);
    write_varint(w, count);
    for (size_t i = 0; i < count; i++) {
        write_blob(w, additions[i].name);
        write_varint_signed(w, additions[i].delta);
    }
}

void guard_write_counter_delete(struct writer *w, struct bytes name) {
    command_write_head(w, MODEL_GUARD, GUARD_COUNTER_DELETE, 0, 0);
    write_blob(w, name);
}
