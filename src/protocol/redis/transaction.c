// MULTI, EXEC, WATCH. What is queued waits here; an EXEC is one entry, or none when it only reads. Own commands among
// the queued ones run when EXEC arrives, in their place (SELECT holds for what is behind it).
//
// Held of an EXEC: how many watches, (database, index, key) each; how many items, and for each: ITEM_OWN and its reply,
// or ITEM_DATA and, when it only reads, row, database and arguments.
#include "base/alloc.h"
#include "base/assert.h"
#include "protocol/redis/internal.h"

enum { ITEM_OWN, ITEM_DATA };

static struct transaction *transaction_of(struct connection *c) {
    if (c->transaction != NULL) return c->transaction;
    struct transaction *t = c->transaction = mem_zalloc(sizeof *t);
    ring_init(&t->queue, sizeof(struct queued));
    ring_init(&t->watches, sizeof(struct watched));
    return t;
}

bool transaction_open(const struct connection *c) {
    return c->transaction != NULL && c->transaction->open;
}

void transaction_fail(struct connection *c) {
    if (transaction_open(c)) c->transaction->failed = true;
}

void transaction_end(struct connection *c) {
    struct transaction *t = c->transaction;
    if (t == NULL) return;
    ring_free(&t->queue);
    ring_free(&t->watches);
    writer_free(&t->bytes);
    writer_free(&t->keys);
    mem_free(t);
    c->transaction = NULL;
}

void transaction_queue(struct connection *c, const struct keys_row *row, const struct bytes *argv, size_t argc) {
    struct transaction *t = c->transaction;
    if (t->queue.count >= KEYS_COMMANDS_MAX || t->bytes.len > COMMAND_BYTES_MAX) t->failed = true;
    if (t->failed) return; // EXEC will refuse it all
    *(struct queued *)ring_push(&t->queue) =
        (struct queued){.row = row, .at = t->bytes.len, .argc = (uint32_t)argc, .own = row->run == NULL};
    arguments_write(&t->bytes, argv, argc);
}

// ---- WATCH

static uint64_t watch_index(struct connection *c, uint32_t database, struct bytes key) {
    struct result result = {0};
    struct service_reading reading;
    service_reading(c->instance->service, &reading);
    struct keys_query query = {.kind = KEYS_QUERY_WATCH,
                               .database = database,
                               .argv = &key,
                               .argc = 1,
                               .log_time_ms = reading.log_time_ms,
                               .unix_ms = reading.unix_ms};
    client_query(c->client, MODEL_KEYS, &query, &result);
    return result.error != 0 ? 0 : *(const uint64_t *)result.value;
}

static struct bytes watched_key(const struct transaction *t, const struct watched *watched) {
    return bytes_of(t->keys.data + watched->at, watched->len);
}

static bool is_watched(const struct transaction *t, uint32_t database, struct bytes key) {
    for (size_t i = 0; i < t->watches.count; i++) {
        const struct watched *watched = ring_at(&t->watches, i);
        if (watched->database == database && bytes_equal(watched_key(t, watched), key)) return true;
    }
    return false;
}

void transaction_watch(struct connection *c, const struct call *call) {
    struct transaction *t = transaction_of(c);
    for (size_t i = 1; i < call->argc; i++) {
        struct bytes key = call->argv[i];
        if (is_watched(t, c->database, key)) continue;
        uint64_t index = watch_index(c, c->database, key);
        *(struct watched *)ring_push(&t->watches) = (struct watched){
            .index = index, .database = c->database, .at = (uint32_t)t->keys.len, .len = (uint32_t)key.len};
        write_span(&t->keys, key);
    }
    reply_ok(call->reply);
}

// ---- EXEC

// Writes what is held of it, running own commands; the model's go to `command` when there are writes.
static void hold(struct connection *c, bool writes, struct writer *held, struct writer *command) {
    struct transaction *t = c->transaction;
    struct writer reply_bytes = {0};
    write_varint(held, writes ? 0 : t->watches.count);
    for (size_t i = 0; i < t->watches.count; i++) {
        const struct watched *watched = ring_at(&t->watches, i);
        if (writes) {
            keys_write_watch(command, watched->database, watched_key(t, watched), watched->index);
            continue;
        }
        write_varint(held, watched->database);
        write_varint(held, watched->index);
        write_blob(held, watched_key(t, watched));
    }
    write_varint(held, t->queue.count);
    for (size_t i = 0; i < t->queue.count; i++) {
        const struct queued *queued = ring_at(&t->queue, i);
        struct reader r = reader_of(t->bytes.data + queued->at, t->bytes.len - queued->at);
        size_t argc = arguments_read(c->instance, &r);
        const struct bytes *argv = c->instance->argv;
        write_u8(held, queued->own ? ITEM_OWN : ITEM_DATA);
        if (queued->own) {
            struct reply reply = reply_to(&reply_bytes, c);
            writer_clear(&reply_bytes);
            struct call call = {.row = queued->row, .argv = argv, .argc = argc, .reply = &reply};
            requests_run_own(c, &call);
            write_blob(held, bytes_of(reply_bytes.data, reply_bytes.len));
        } else if (writes) {
            keys_write_command(command, c->database, queued->row, argv, argc);
        } else {
            write_varint(held, row_place(queued->row));
            write_varint(held, c->database);
            arguments_write(held, argv, argc);
        }
    }
    writer_free(&reply_bytes);
}

static void refuse(struct connection *c, const struct keys_row *row, const char *text) {
    struct writer *scratch = &c->instance->scratch;
    struct reply reply = reply_to(scratch, c);
    writer_clear(scratch);
    reply_error(&reply, "%s", text);
    c->instance->errors++;
    if (c->silent_now) return;
    requests_hold(c, requests_push(c, row, REQUEST_READY), bytes_of(scratch->data, scratch->len));
    requests_drain(c);
}

void transaction_exec(struct connection *c, const struct keys_row *row) {
    struct transaction *t = c->transaction;
    if (t == NULL || !t->open) {
        refuse(c, row, "ERR EXEC without MULTI");
        return;
    }
    if (t->failed) {
        transaction_end(c);
        refuse(c, row, "EXECABORT Transaction discarded because of previous errors.");
        return;
    }
    uint32_t data = 0;
    bool writes = false;
    for (size_t i = 0; i < t->queue.count; i++) {
        const struct queued *queued = ring_at(&t->queue, i);
        data += !queued->own;
        writes = writes || (!queued->own && !(queued->row->flags & KEYS_READONLY));
    }
    struct writer held = {0}, *command = &c->instance->command;
    writer_clear(command);
    if (writes) {
        struct keys_run run = {.client = c->id,
                               .flags = KEYS_TRANSACTION | (c->resp3 ? KEYS_RESP3 : 0),
                               .watches = (uint32_t)t->watches.count,
                               .commands = data};
        command_write_head(command, MODEL_KEYS, KEYS_OP_RUN, 0, 0);
        keys_write_run(command, &run);
    }
    t->open = false; // own commands run as they do alone
    hold(c, writes, &held, command);
    transaction_end(c);
    if (writes) {
        struct request *request = requests_push(c, row, REQUEST_WRITE);
        request->flags |= REQUEST_EXEC;
        requests_hold(c, request, bytes_of(held.data, held.len));
        requests_submit(c, request);
    } else {
        requests_read(c, row, REQUEST_EXEC, bytes_of(held.data, held.len));
    }
    writer_free(&held);
}

void transaction_reply(struct connection *c, struct bytes held, const struct keys_result *result, struct reply *reply) {
    struct reader r = reader_of(held.data, held.len);
    if (result->count == 0) {
        reply_null_array(reply);
        return;
    }
    uint64_t watches = read_varint(&r), count = read_varint(&r);
    ENSURE(watches == 0);
    reply_array(reply, (size_t)count);
    size_t at = 0, next = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (read_u8(&r) == ITEM_OWN) {
            write_span(reply->to, read_blob(&r));
            continue;
        }
        ENSURE(next < result->count);
        size_t end = result->ends[next++];
        write_span(reply->to, bytes_of(result->reply.data + at, end - at));
        at = end;
    }
    ENSURE(reader_done(&r) && next == result->count);
}

void transaction_run(struct connection *c, struct bytes held, struct reply *reply) {
    struct reader r = reader_of(held.data, held.len);
    bool changed = false;
    for (uint64_t watches = read_varint(&r); watches > 0; watches--) {
        uint32_t database = (uint32_t)read_varint(&r);
        uint64_t index = read_varint(&r);
        struct bytes key = read_blob(&r);
        changed = changed || watch_index(c, database, key) != index;
    }
    if (changed) {
        reply_null_array(reply);
        return;
    }
    uint64_t count = read_varint(&r);
    reply_array(reply, (size_t)count);
    for (uint64_t i = 0; i < count; i++) {
        if (read_u8(&r) == ITEM_OWN) {
            write_span(reply->to, read_blob(&r));
            continue;
        }
        const struct keys_row *row = &keys_rows[read_varint(&r)];
        uint32_t database = (uint32_t)read_varint(&r);
        size_t argc = arguments_read(c->instance, &r);
        requests_query(c, database, row, c->instance->argv, argc, reply);
    }
    ENSURE(reader_done(&r));
}

// ---- own commands

void own_multi(struct connection *c, const struct call *call) {
    if (transaction_open(c)) {
        reply_error(call->reply, "ERR MULTI calls can not be nested");
        return;
    }
    transaction_of(c)->open = true;
    reply_ok(call->reply);
}

void own_discard(struct connection *c, const struct call *call) {
    if (!transaction_open(c)) {
        reply_error(call->reply, "ERR DISCARD without MULTI");
        return;
    }
    transaction_end(c);
    reply_ok(call->reply);
}

void own_unwatch(struct connection *c, const struct call *call) {
    struct transaction *t = c->transaction;
    if (t != NULL) {
        ring_clear(&t->watches);
        writer_clear(&t->keys);
    }
    reply_ok(call->reply);
}
