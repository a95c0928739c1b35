// Requests of one connection: replies leave in request order, and a read runs when everything before it has been
// answered.
#include "base/assert.h"
#include "base/planted.h"
#include "protocol/zookeeper/internal.h"

#define HELD_KEPT_BYTES 512u // memory that an empty pipeline may keep
#define HELD_CONSUME_BYTES 65536u

const struct operation zookeeper_operations[ZOOKEEPER_OP_COUNT + 1] = {
#define WRITE(f) .kind = KIND_WRITE, .write = f
#define READ(f) .kind = KIND_READ, .read = f
#define ARRIVAL(f) .kind = KIND_ARRIVAL, .read = f
#define SYNC(f) .kind = KIND_SYNC, .read = f
#define CLOSE(f) .kind = KIND_CLOSE, .read = f
#define REFUSED(error) .kind = KIND_REFUSED, .refused = error
#define X(op_name, op_code, op_kind, op_tag, handler)                                                                  \
    [ZOOKEEPER_OP_##op_name] = {.name = #op_name, .code = op_code, .tag = op_tag, op_kind(handler)},
    ZOOKEEPER_OPERATIONS(X)
#undef X
        [ZOOKEEPER_OP_COUNT] = {.name = "unknown", .tag = "NA", REFUSED(ZOOKEEPER_UNIMPLEMENTED)},
#undef WRITE
#undef READ
#undef ARRIVAL
#undef SYNC
#undef CLOSE
#undef REFUSED
};

static uint8_t operation_of(int32_t code) {
    switch (code) {
#define X(name, value, kind, tag, handler)                                                                             \
    case value:                                                                                                        \
        return ZOOKEEPER_OP_##name;
        ZOOKEEPER_OPERATIONS(X)
#undef X
    default:
        return ZOOKEEPER_OP_COUNT;
    }
}

void latency_add(struct latency *latency, uint32_t ms) {
    if (ms < latency->min) latency->min = ms;
    if (ms > latency->max) latency->max = ms;
    latency->count++;
    latency->sum += ms;
}

// ---- a reply: its place is opened, the body written behind it, and it is finished

// A handler whose body has to follow events takes its place back, writes them, and opens it again behind them.
void pipeline_reply_here(struct connection *c, struct writer *w) {
    c->instance->reply_at = w->len;
    writer_extend(w, JUTE_FRAME_BYTES + JUTE_REPLY_HEADER_BYTES);
}

void pipeline_reply_later(struct connection *c, struct writer *w) {
    ENSURE(w->len == c->instance->reply_at + JUTE_FRAME_BYTES + JUTE_REPLY_HEADER_BYTES);
    w->len = c->instance->reply_at;
}

static void reply_finish(struct connection *c, struct writer *w, const struct request *request, int error) {
    struct instance *instance = c->instance;
    size_t start = instance->reply_at;
    uint64_t zxid = zookeeper_zxid(instance);
    uint8_t operation = request->operation;
    // A reply that the client would not take is an error to it, not a connection lost (#1129).
    if (!error && w->len - start - JUTE_FRAME_BYTES > instance->settings.reply_bytes_max)
        error = ZOOKEEPER_MARSHALLINGERROR;
    if (error) w->len = start + JUTE_FRAME_BYTES + JUTE_REPLY_HEADER_BYTES; // an error is the header alone
    size_t len = w->len - start - JUTE_FRAME_BYTES;
    bool zero_zxid = operation == ZOOKEEPER_OP_auth || operation == ZOOKEEPER_OP_sasl; // these know no state
    uint8_t *at = w->data + start;
    put_u32_be(at, (uint32_t)len);
    put_u32_be(at + 4, (uint32_t)request->xid);
    put_u64_be(at + 8, zero_zxid ? 0 : zxid);
    put_u32_be(at + 16, (uint32_t)error);
    client_output_ready(c->client);
    c->sent++;
    instance->packets_sent++;
    c->last_zxid = zxid;
    c->last_xid = request->xid;
    c->last_operation = operation;
    c->last_reply_ms = instance->now_ms;
    uint32_t ms = (uint32_t)instance->now_ms - request->arrived_ms;
    latency_add(&c->latency, ms);
    latency_add(&instance->latency, ms);
    instance->last_reply_bytes = (int64_t)len;
    if (instance->last_reply_bytes > instance->max_reply_bytes) instance->max_reply_bytes = instance->last_reply_bytes;
    if (instance->min_reply_bytes < 0 || instance->last_reply_bytes < instance->min_reply_bytes)
        instance->min_reply_bytes = instance->last_reply_bytes;
    connection_wrote(c);
}

// ---- the ring

static void pipeline_hold(struct connection *c, struct request *request, struct bytes bytes) {
    request->body_at = c->held_base + c->held.len;
    request->body_len = (uint32_t)bytes.len;
    write_span(&c->held, bytes);
}

struct bytes pipeline_body(const struct connection *c, const struct request *request) {
    if (request->body_len == 0) return bytes_of(NULL, 0);
    ENSURE(request->body_at >= c->held_base);
    return bytes_of(c->held.data + (request->body_at - c->held_base), request->body_len);
}

static void pipeline_pop(struct connection *c) {
    ring_pop(&c->requests);
    c->instance->outstanding--;
    if (c->requests.count == 0) {
        c->held_base += c->held.len;
        writer_clear(&c->held);
        if (c->held.capacity > HELD_KEPT_BYTES) writer_free(&c->held);
        return;
    }
    const struct request *front = ring_front(&c->requests);
    if (front->body_len == 0) return; // the next one that has bytes says up to where they are done with
    size_t done = (size_t)(front->body_at - c->held_base);
    if (done < HELD_CONSUME_BYTES || done < c->held.len / 2) return;
    writer_consume(&c->held, done);
    c->held_base += done;
}

bool pipeline_full(const struct connection *c) {
    return client_output_pending(c->client) > c->instance->settings.output_pause_bytes;
}

// No further request is taken until the output has drained; seen at the next input or tick. Not while commands are
// under way: their results cannot wait.
void pipeline_stall(struct connection *c) {
    if (list_empty(&c->stalled)) list_push_back(&c->instance->stalled, &c->stalled);
}

static void request_run(struct connection *c, const struct request *request, struct bytes body) {
    const struct operation *operation = &zookeeper_operations[request->operation];
    struct writer *w = client_output(c->client);
    pipeline_reply_here(c, w);
    int error = request->error;
    if (PLANTED(WATCH_AFTER_DATA) && request->xid == -1) write_span(w, body);
    if (!error && operation->read) {
        struct reader r = reader_of(body.data, body.len);
        error = operation->read(c, &r, w);
        if (!error && r.failed) error = ZOOKEEPER_MARSHALLINGERROR;
    }
    reply_finish(c, w, request, error);
    if (operation->kind == KIND_CLOSE || (operation->kind == KIND_ARRIVAL && error) ||
        error == ZOOKEEPER_SESSIONEXPIRED)
        connection_end(c, true);
}

static void pipeline_drain(struct connection *c) {
    while (c->state == CONNECTION_OPEN && c->requests.count > 0) {
        struct request request = *(struct request *)ring_front(&c->requests);
        if (request.state == REQUEST_WAITING) return;
        if (c->waiting == 0 && pipeline_full(c)) {
            pipeline_stall(c);
            return;
        }
        request_run(c, &request, pipeline_body(c, &request));
        if (c->state != CONNECTION_OPEN) return;
        pipeline_pop(c);
    }
}

static void pipeline_read_again(struct connection *c) {
    if (!c->paused || c->state != CONNECTION_OPEN || c->requests.count > c->instance->settings.outstanding_max / 2)
        return;
    c->paused = false;
    client_resume(c->client);
}

// False: it is full still.
bool pipeline_unstall(struct connection *c) {
    if (list_empty(&c->stalled)) return true;
    if (c->state != CONNECTION_OPEN || client_output_pending(c->client) > c->instance->settings.output_pause_bytes / 2)
        return false;
    list_remove(&c->stalled);
    pipeline_drain(c);
    pipeline_read_again(c);
    return list_empty(&c->stalled);
}

// ---- arrival

static struct request *request_push(struct connection *c, const struct request *request) {
    struct request *slot = ring_push(&c->requests);
    *slot = *request;
    c->instance->outstanding++;
    if (c->requests.count >= c->instance->settings.outstanding_max && !c->paused) {
        c->paused = true;
        client_pause(c->client);
    }
    return slot;
}

// Runs at once when nothing is ahead; else it waits in the ring with a copy of its bytes.
static void request_read(struct connection *c, struct request *request, struct bytes body) {
    request->state = REQUEST_READY;
    if (c->requests.count == 0 || PLANTED(READ_BEFORE_WRITE_AHEAD)) {
        request_run(c, request, body);
        return;
    }
    struct request *slot = request_push(c, request);
    if (slot->error || body.len == 0) return;
    pipeline_hold(c, slot, body);
}

void pipeline_event(struct connection *c, struct bytes frame) {
    if (PLANTED(WATCH_AFTER_DATA) && c->waiting > 0) {
        request_read(c, &(struct request){.xid = -1, .operation = ZOOKEEPER_OP_COUNT},
                     bytes_of(frame.data + 20, frame.len - 20));
        return;
    }
    client_write(c->client, frame.data, frame.len);
    c->sent++;
    c->instance->packets_sent++;
    if (client_output_pending(c->client) > c->instance->settings.output_bytes_max && list_empty(&c->stalled))
        list_push_back(&c->instance->stalled, &c->stalled); // closed when the firing is over
}

static void request_failed(struct connection *c, struct request *request, int error) {
    request->error = (int16_t)error;
    request_read(c, request, bytes_of(NULL, 0));
}

static void request_write(struct connection *c, struct request *request, struct bytes body) {
    const struct operation *operation = &zookeeper_operations[request->operation];
    struct writer *command = &c->instance->command;
    struct reader r = reader_of(body.data, body.len);
    writer_clear(command);
    int error = operation->write(c, &r, command);
    if (!error && r.failed) error = ZOOKEEPER_MARSHALLINGERROR;
    if (error) {
        request_failed(c, request, error);
        return;
    }
    request->state = REQUEST_WAITING;
    struct request *slot = request_push(c, request);
    if (request->operation == ZOOKEEPER_OP_multi) { // what each part is answered as
        const struct writer *kinds = &c->instance->scratch;
        pipeline_hold(c, slot, bytes_of(kinds->data, kinds->len));
    }
    if (request->operation == ZOOKEEPER_OP_check) pipeline_hold(c, slot, body); // its path, for the stat
    c->waiting++;
    slot->tag = client_submit(c->client, bytes_of(command->data, command->len));
}

static void request_sync(struct connection *c, struct request *request, struct bytes body) {
    struct reader r = reader_of(body.data, body.len);
    jute_string(&r);
    if (r.failed) {
        request_failed(c, request, ZOOKEEPER_MARSHALLINGERROR);
        return;
    }
    request->state = REQUEST_WAITING;
    struct request *slot = request_push(c, request);
    pipeline_hold(c, slot, body);
    c->waiting++;
    slot->tag = client_read_index(c->client);
}

static void request_close(struct connection *c, struct request *request) {
    c->ending = true; // whatever is sent behind it has no session
    if (c->read_only) {
        request_read(c, request, bytes_of(NULL, 0));
        return;
    }
    struct writer *command = &c->instance->command;
    writer_clear(command);
    lease_write_close(command, c->session, c->attach);
    request->state = REQUEST_WAITING;
    struct request *slot = request_push(c, request);
    c->waiting++;
    slot->tag = client_submit(c->client, bytes_of(command->data, command->len));
}

void pipeline_request(struct connection *c, struct bytes frame) {
    struct reader r = reader_of(frame.data, frame.len);
    struct request request = {.xid = jute_int(&r), .arrived_ms = (uint32_t)c->instance->now_ms};
    int32_t code = jute_int(&r);
    if (r.failed) { // no xid to answer to
        connection_bad_input(c, "request without a header");
        return;
    }
    struct bytes body = read_span(&r, reader_left(&r));
    request.operation = operation_of(code);
    const struct operation *operation = &zookeeper_operations[request.operation];
    bool needs_leader = operation->kind == KIND_WRITE || operation->kind == KIND_SYNC || code == 16;
    if (c->read_only && needs_leader) {
        request_failed(c, &request, ZOOKEEPER_NOTREADONLY);
        return;
    }
    switch (operation->kind) {
    case KIND_WRITE:
        request_write(c, &request, body);
        break;
    case KIND_READ:
        request_read(c, &request, body);
        break;
    case KIND_ARRIVAL: {
        struct reader arrival = reader_of(body.data, body.len);
        int error = operation->read(c, &arrival, NULL);
        if (arrival.failed)
            connection_bad_input(c, "auth packet that cannot be read");
        else if (error)
            request_failed(c, &request, error);
        else
            request_read(c, &request, bytes_of(NULL, 0));
        break;
    }
    case KIND_SYNC:
        request_sync(c, &request, body);
        break;
    case KIND_CLOSE:
        request_close(c, &request);
        break;
    case KIND_REFUSED:
        request_failed(c, &request, operation->refused);
        break;
    }
}

// ---- what the node gives back

// Errors of the group in ZooKeeper's words. True: there are none for it but a lost connection, which its clients take
// as "unknown".
static bool error_ends(int *error) {
    switch (*error) {
    case COMMAND_SESSION_EXPIRED:
        *error = ZOOKEEPER_SESSIONEXPIRED;
        return false;
    case COMMAND_TOO_LARGE:
    case COMMAND_BAD_COMMAND:
        *error = ZOOKEEPER_MARSHALLINGERROR;
        return false;
    case COMMAND_FULL:
        *error = ZOOKEEPER_SYSTEMERROR;
        return false;
    default: // NOT_APPLIED, UNKNOWN, SESSION_MOVED
        return *error <= COMMAND_NOT_APPLIED;
    }
}

// A command that was refused before it was applied says nothing about what stands ahead of it: it waits for its turn.
static bool reply_later(struct connection *c, uint64_t tag, const struct result *result, int error) {
    const struct request *front = ring_front(&c->requests);
    bool refused =
        result->error == COMMAND_TOO_LARGE || result->error == COMMAND_FULL || result->error == COMMAND_BAD_COMMAND;
    if (!refused || !front || front->tag == tag) return false;
    for (size_t i = 1; i < c->requests.count; i++) {
        struct request *request = ring_at(&c->requests, i);
        if (request->state != REQUEST_WAITING || request->tag != tag) continue;
        request->state = REQUEST_READY;
        request->error = (int16_t)error;
        c->waiting--;
        return true;
    }
    return false;
}

void pipeline_reply(struct connection *c, uint64_t tag, const struct result *result) {
    int error = result->error;
    if (error_ends(&error)) {
        connection_end(c, true);
        return;
    }
    if (reply_later(c, tag, result, error)) return;
    // The command was proposed after the syncs ahead of it arrived, so what it is applied on holds all that was
    // committed then (replication.md "Reads"): they are satisfied, whether the node says so first or not.
    struct request *front = ring_front(&c->requests);
    while (front && front->state == REQUEST_WAITING && front->tag != tag && front->operation == ZOOKEEPER_OP_sync) {
        front->state = REQUEST_READY;
        c->waiting--;
        pipeline_drain(c);
        if (c->state != CONNECTION_OPEN) return;
        front = ring_front(&c->requests);
    }
    ENSURE(front && front->state == REQUEST_WAITING && front->tag == tag);
    struct request request = *front;
    struct writer *w = client_output(c->client);
    pipeline_reply_here(c, w);
    bool tree_answered = result->error > COMMAND_NOT_APPLIED; // not an error of the group's
    if (tree_answered && request.operation != ZOOKEEPER_OP_closeSession) error = write_reply(c, &request, result, w);
    reply_finish(c, w, &request, error);
    c->waiting--;
    if (request.operation == ZOOKEEPER_OP_closeSession || error == ZOOKEEPER_SESSIONEXPIRED) {
        connection_end(c, true);
        return;
    }
    if (c->state != CONNECTION_OPEN) return;
    pipeline_pop(c);
    pipeline_drain(c);
    pipeline_read_again(c);
}

void pipeline_read_ready(struct connection *c, uint64_t tag, int error) {
    for (size_t i = 0; i < c->requests.count; i++) {
        struct request *request = ring_at(&c->requests, i);
        if (request->state != REQUEST_WAITING || request->operation != ZOOKEEPER_OP_sync || request->tag != tag)
            continue;
        if (error) { // no leader: what the client would be told is not known here
            connection_end(c, true);
            return;
        }
        request->state = REQUEST_READY;
        c->waiting--;
        pipeline_drain(c);
        pipeline_read_again(c);
        return;
    }
}
