// The head of a command and the texts of the group's own errors.
#include "model/command.h"

void command_write_head(struct writer *w, uint8_t model, uint8_t op, uint64_t session, uint64_t attach) {
    write_u8(w, model);
    write_u8(w, op);
    write_varint(w, session);
    write_varint(w, attach);
}

bool command_read(struct command *command, struct bytes span) {
    struct reader r = reader_of(span.data, span.len);
    command->model = read_u8(&r);
    command->op = read_u8(&r);
    command->session = read_varint(&r);
    command->attach = read_varint(&r);
    command->args = read_span(&r, reader_left(&r));
    return !r.failed;
}

const char *command_error_text(int error) {
    switch (error) {
    case COMMAND_OK:
        return "ok";
#define X(name, code, text)                                                                                            \
    case COMMAND_##name:                                                                                               \
        return text;
        COMMAND_ERRORS(X)
#undef X
    default:
        return "error of a model";
    }
}
