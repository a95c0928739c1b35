// multi and multiRead: a row of {type int, done bool, error int} headers, each with its operation, until one that says
// done.
#include "base/assert.h"
#include "protocol/zookeeper/internal.h"

#define HEADER_DONE (-1)
#define CONFIG_VERSION INT32_MIN // no version is ever this, so a check of it fails

static bool header_read(struct reader *r, int32_t *type) { // false: the end, or bad bytes
    *type = jute_int(r);
    bool done = jute_bool(r);
    jute_int(r); // an error has no meaning in a request
    return !r->failed && !done;
}

static void header_write(struct writer *w, int32_t type, bool done, int32_t error) {
    jute_write_int(w, type);
    write_u8(w, done);
    jute_write_int(w, error);
}

static void error_write(struct writer *w, int32_t error) {
    header_write(w, -1, false, error);
    jute_write_int(w, error);
}

// Gives to `scratch`, for the reply: per part its answer's type, then its own error (negated, 0: none), one byte each.
int zookeeper_write_multi(struct connection *c, struct reader *r, struct writer *command) {
    struct writer *kinds = &c->instance->scratch;
    size_t count = 0;
    int32_t type;
    writer_clear(kinds);
    write_command_head(c, command, TREE_OP_MULTI);
    size_t multi = tree_multi_begin(command);
    for (; header_read(r, &type); count++) {
        bool known = type == 1 || type == 2 || type == 5 || type == 13 || type == 15 || type == 19 || type == 21;
        if (!known) return ZOOKEEPER_MARSHALLINGERROR;
        uint8_t op = 0;
        size_t part = tree_multi_part_begin(command), args = command->len;
        int error = write_part(c, r, type, command, &op);
        if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
        // A part that can be seen to fail before it is applied stands as a check that must fail at its place: whether
        // an earlier part fails first is for the state to say. Its real error is kept beside it.
        if (error) {
            command->len = args;
            tree_write_check(command, bytes_of("/", 1), CONFIG_VERSION);
            op = TREE_OP_CHECK;
        }
        tree_multi_part_end(command, part, op);
        write_u8(kinds, type == 19 || type == 21
                            ? 15
                            : (uint8_t)type); // creates of containers and TTL nodes answer as create2
        ENSURE(error <= 0 && error > -256);
        write_u8(kinds, (uint8_t)-error);
    }
    if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
    tree_multi_end(command, multi, count);
    return 0;
}

int multi_reply(struct connection *c, const struct request *request, const struct tree_result *result,
                struct writer *body) {
    struct bytes kinds = pipeline_body(c, request);
    if (kinds.len != result->part_count * 2) return ZOOKEEPER_MARSHALLINGERROR;
    bool failed = false;
    for (size_t i = 0; i < result->part_count; i++) failed = failed || result->parts[i].error;
    bool at_failure = true;
    for (size_t i = 0; i < result->part_count; i++) {
        const struct tree_result *part = &result->parts[i];
        int32_t type = kinds.data[i * 2], own = kinds.data[i * 2 + 1];
        if (failed) { // 0 before the one that failed, its code at it, -2 behind it
            bool here = at_failure && part->error;
            error_write(body, here && own ? -own : part->error);
            if (part->error) at_failure = false;
            continue;
        }
        header_write(body, type, false, 0);
        if (type == 1 || type == 15) jute_write_bytes(body, part->path);
        if (type == 15 || type == 5) jute_write_stat(body, &part->stat);
    }
    header_write(body, -1, true, HEADER_DONE);
    return 0;
}

int zookeeper_read_multi(struct connection *c, struct reader *r, struct writer *body) {
    int32_t type;
    while (header_read(r, &type)) {
        if (type != 4 && type != 8) return ZOOKEEPER_MARSHALLINGERROR;
        struct bytes path = jute_string(r);
        jute_bool(r); // watches are not set here: its clients cannot ask for them (Op.getData)
        if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
        size_t start = body->len;
        header_write(body, type, false, 0);
        int error = type == 4 ? read_data(c, path, body) : read_children(c, path, NULL, body);
        if (error) {
            body->len = start;
            error_write(body, error);
        }
        if (body->len > (size_t)c->instance->settings.reply_bytes_max + JUTE_FRAME_BYTES + JUTE_REPLY_HEADER_BYTES +
                            c->instance->settings.output_pause_bytes)
            return ZOOKEEPER_MARSHALLINGERROR; // far too long already: no need to make more of it
    }
    header_write(body, -1, true, HEADER_DONE);
    return 0;
}
