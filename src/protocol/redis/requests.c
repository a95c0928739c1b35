// Requests of one connection: replies leave in request order, and a read runs when everything before it has been
// answered. See internal.h.
#include "base/alloc.h"
#include "base/assert.h"
#include "protocol/redis/internal.h"

#define HELD_KEPT_BYTES 512u // memory that an empty pipeline may keep
#define HELD_CONSUME_BYTES 65536u

// ---- arguments that wait

void arguments_write(struct writer *w, const struct bytes *argv, size_t argc) {
    write_varint(w, argc);
    for (size_t i = 0; i < argc; i++) write_blob(w, argv[i]);
}

struct bytes *requests_arguments(struct instance *instance, size_t count) {
    if (count > instance->argv_capacity) {
        instance->argv_capacity = count + count / 2 + 16;
        instance->argv = mem_realloc(instance->argv, instance->argv_capacity * sizeof *instance->argv);
    }
    return instance->argv;
}

size_t arguments_read(struct instance *instance, struct reader *r) {
    size_t count = (size_t)read_varint(r);
    struct bytes *argv = requests_arguments(instance, count);
    for (size_t i = 0; i < count; i++) argv[i] = read_blob(r);
    ENSURE(!r->failed);
    return count;
}

// ---- the ring

struct request *requests_push(struct connection *c, const struct keys_row *row, enum request_state state) {
    struct request *slot = ring_push(&c->requests);
    uint8_t flags = (uint8_t)((c->resp3 ? REQUEST_RESP3 : 0) | (c->silent_now ? REQUEST_SILENT : 0));
    *slot = (struct request){.row = row == NULL ? UINT16_MAX : (uint16_t)row_place(row),
                             .state = (uint8_t)state,
                             .flags = flags,
                             .database = c->database,
                             .arrived_ms = (uint32_t)c->instance->now_ms};
    if (c->requests.count >= c->instance->settings.outstanding_max && !c->paused) {
        c->paused = true;
        client_pause(c->client);
    }
    return slot;
}

void requests_hold(struct connection *c, struct request *request, struct bytes bytes) {
    request->held_at = c->held_base + c->held.len;
    request->held_len = (uint32_t)bytes.len;
    write_span(&c->held, bytes);
}

static struct bytes held_bytes(const struct connection *c, const struct request *request) {
    if (request->held_len == 0) return bytes_of(NULL, 0);
    ENSURE(request->held_at >= c->held_base);
    return bytes_of(c->held.data + (request->held_at - c->held_base), request->held_len);
}

// Requests hold bytes in the order of the ring, but for those whose reply came out of turn.
static void pop(struct connection *c) {
    ring_pop(&c->requests);
    if (c->requests.count == 0) {
        c->held_base += c->held.len;
        writer_clear(&c->held);
        if (c->held.capacity > HELD_KEPT_BYTES) writer_free(&c->held);
        return;
    }
    if (c->held.len < HELD_CONSUME_BYTES) return;
    uint64_t from = UINT64_MAX;
    for (size_t i = 0; i < c->requests.count; i++) {
        const struct request *request = ring_at(&c->requests, i);
        if (request->held_len > 0 && request->held_at < from) from = request->held_at;
        if (request->held_len > 0 && request->state != REQUEST_READY) break; // those behind hold behind
    }
    if (from == UINT64_MAX) from = c->held_base + c->held.len;
    size_t done = (size_t)(from - c->held_base);
    if (done < c->held.len / 2) return;
    writer_consume(&c->held, done);
    c->held_base += done;
}

void requests_free(struct connection *c) {
    ring_free(&c->requests);
    writer_free(&c->held);
}

// What was held back because of the requests ahead goes on.
static void read_again(struct connection *c) {
    if (!c->paused || c->closing || !list_empty(&c->waiting)) return;
    if (c->requests.count > (c->barrier ? 0 : c->instance->settings.outstanding_max / 2)) return;
    c->paused = c->barrier = false;
    client_resume(c->client);
}

static void wait_for_all(struct connection *c) {
    c->barrier = true;
    if (c->paused) return;
    c->paused = true;
    client_pause(c->client);
}

// ---- replies

static const char *error_words(int error, bool write) {
    switch (error) {
    case COMMAND_NOT_APPLIED:
        return write ? "NOREPLICAS Not applied: this node knows no leader. The command may be sent again."
                     : "MASTERDOWN Not answered: this node knows no leader. The command may be sent again.";
    case COMMAND_UNKNOWN:
        return "UNKNOWN The command may or may not have been applied; look before it is sent again.";
    case COMMAND_TOO_LARGE:
        return "ERR Not applied: larger than one entry of the log may be";
    case COMMAND_FULL:
        return "MISCONF Not applied: the disk is full. Reads go on.";
    case COMMAND_MEMORY:
        return "OOM command not allowed when used memory > 'maxmemory'.";
    case COMMAND_LEVEL:
        return "ERR Not applied: not every member of this cluster is of a version that has Redis's data";
    default:
        return "ERR Not applied: this node cannot read the command";
    }
}

void call_error(struct connection *c, const struct keys_row *row, struct reply *reply, int error) {
    bool write = row == NULL || !(row->flags & KEYS_READONLY);
    c->instance->errors++;
    reply_error(reply, "%s", error_words(error, write));
}

void requests_query(struct connection *c, uint32_t database, const struct keys_row *row, const struct bytes *argv,
                    size_t argc, struct reply *reply) {
    struct instance *instance = c->instance;
    struct service_reading reading;
    struct result result = {0};
    service_reading(instance->service, &reading);
    instance->seed = instance->seed * 6364136223846793005ull + 1442695040888963407ull;
    struct keys_query query = {.kind = KEYS_QUERY_RUN,
                               .database = database,
                               .row = row,
                               .argv = argv,
                               .argc = argc,
                               .resp3 = reply->resp3,
                               .out = reply->to,
                               .log_time_ms = reading.log_time_ms,
                               .unix_ms = reading.unix_ms,
                               .seed = hash_u64(instance->seed)};
    client_query(c->client, MODEL_KEYS, &query, &result);
    if (result.error) call_error(c, row, reply, result.error);
}

// One read, or a transaction of reads, on what is applied now.
static void run_read(struct connection *c, const struct request *request, struct bytes held, struct reply *reply) {
    if (request->flags & REQUEST_EXEC) {
        transaction_run(c, held, reply);
        return;
    }
    const struct keys_row *row = &keys_rows[request->row];
    struct reader r = reader_of(held.data, held.len);
    size_t argc = arguments_read(c->instance, &r);
    if (request->flags & REQUEST_WATCH) {
        struct call call = {.row = row, .argv = c->instance->argv, .argc = argc, .reply = reply};
        transaction_watch(c, &call);
    } else {
        requests_query(c, request->database, row, c->instance->argv, argc, reply);
    }
}

static void answer_front(struct connection *c, const struct request *request) {
    struct writer *out = request->flags & REQUEST_SILENT ? &c->instance->scratch : client_output(c->client);
    struct reply reply = {.to = out, .resp3 = (request->flags & REQUEST_RESP3) != 0};
    if (request->flags & REQUEST_SILENT) writer_clear(out);
    struct bytes held = held_bytes(c, request);
    if (request->state == REQUEST_READY)
        write_span(out, held);
    else
        run_read(c, request, held, &reply);
    client_output_ready(c->client);
}

void requests_drain(struct connection *c) {
    while (c->requests.count > 0 && !c->closing) {
        struct request request = *(struct request *)ring_front(&c->requests);
        if (request.state == REQUEST_WRITE || request.state == REQUEST_ROUND) break;
        answer_front(c, &request);
        pop(c);
    }
    if (c->ends && c->requests.count == 0) redis_end(c, true);
    read_again(c);
}

static struct request *find(struct connection *c, uint64_t tag) {
    for (size_t i = 0; i < c->requests.count; i++) {
        struct request *request = ring_at(&c->requests, i);
        if (request->tag == tag && (request->state == REQUEST_WRITE || request->state == REQUEST_ROUND)) return request;
    }
    return NULL;
}

static void write_result(struct connection *c, const struct request *request, const struct result *result,
                         struct reply *reply) {
    if (result->error != 0) {
        call_error(c, &keys_rows[request->row], reply, result->error);
        return;
    }
    const struct keys_result *keys = result->value;
    ENSURE(keys != NULL);
    if (request->flags & REQUEST_EXEC)
        transaction_reply(c, held_bytes(c, request), keys, reply);
    else
        write_span(reply->to, keys->reply);
}

// The reply of one that is not at the front (it was refused before what stands ahead of it was answered) is held.
static void hold_result(struct connection *c, struct request *request, const struct result *result) {
    struct writer *scratch = &c->instance->scratch;
    struct reply reply = {.to = scratch, .resp3 = (request->flags & REQUEST_RESP3) != 0};
    writer_clear(scratch);
    write_result(c, request, result, &reply);
    request->state = REQUEST_READY;
    requests_hold(c, request, bytes_of(scratch->data, scratch->len));
}

void requests_reply(struct connection *c, uint64_t tag, const struct result *result) {
    struct request *request = find(c, tag);
    if (request == NULL || c->closing) return;
    if (request != ring_front(&c->requests)) {
        hold_result(c, request, result);
        return;
    }
    struct request front = *request;
    struct writer *out = front.flags & REQUEST_SILENT ? &c->instance->scratch : client_output(c->client);
    struct reply reply = {.to = out, .resp3 = (front.flags & REQUEST_RESP3) != 0};
    if (front.flags & REQUEST_SILENT) writer_clear(out);
    write_result(c, &front, result, &reply);
    client_output_ready(c->client);
    pop(c);
    requests_drain(c);
}

static void refuse_read(struct connection *c, struct request *request, int error) {
    const struct result result = {.error = error};
    hold_result(c, request, &result);
}

void requests_read_ready(struct connection *c, uint64_t tag, int error) {
    struct request *request = find(c, tag);
    if (request == NULL || c->closing) return; // refused by the tick
    if (error != 0)
        refuse_read(c, request, error);
    else
        request->state = REQUEST_READ;
    requests_drain(c);
}

// There is no leader: reads need not wait as long as the node would.
void requests_tick(struct connection *c) {
    struct instance *instance = c->instance;
    for (size_t i = 0; i < c->requests.count; i++) {
        struct request *request = ring_at(&c->requests, i);
        if ((uint32_t)instance->now_ms - request->arrived_ms < instance->settings.leader_wait_ms) break;
        if (request->state == REQUEST_ROUND) refuse_read(c, request, COMMAND_NOT_APPLIED);
    }
    requests_drain(c);
}

// ---- arrival

void requests_submit(struct connection *c, struct request *request) {
    struct writer *command = &c->instance->command;
    request->tag = client_submit(c->client, bytes_of(command->data, command->len));
}

static void take_write(struct connection *c, const struct keys_row *row, const struct bytes *argv, size_t argc) {
    struct writer *w = &c->instance->command;
    struct keys_run run = {.client = c->id, .flags = c->resp3 ? KEYS_RESP3 : 0, .commands = 1};
    writer_clear(w);
    command_write_head(w, MODEL_KEYS, KEYS_OP_RUN, 0, 0);
    keys_write_run(w, &run);
    keys_write_command(w, c->database, row, argv, argc);
    requests_submit(c, requests_push(c, row, REQUEST_WRITE));
}

// held: what run_read takes.
void requests_read(struct connection *c, const struct keys_row *row, uint8_t flags, struct bytes held) {
    struct service_reading reading;
    service_reading(c->instance->service, &reading);
    bool round = !reading.alone && !(c->local_reads && !(flags & (REQUEST_WATCH | REQUEST_EXEC)));
    struct request *request = requests_push(c, row, round ? REQUEST_ROUND : REQUEST_READ);
    request->flags |= flags;
    requests_hold(c, request, held);
    if (round) request->tag = client_read_index(c->client);
    if (!round) requests_drain(c);
}

static void take_read(struct connection *c, const struct keys_row *row, const struct bytes *argv, size_t argc,
                      uint8_t flags) {
    struct service_reading reading;
    service_reading(c->instance->service, &reading);
    if (c->requests.count == 0 && flags == 0 && !c->silent_now && (reading.alone || c->local_reads)) {
        struct reply reply = reply_to(client_output(c->client), c);
        requests_query(c, c->database, row, argv, argc, &reply);
        client_output_ready(c->client);
        return;
    }
    struct writer held = {0};
    arguments_write(&held, argv, argc);
    requests_read(c, row, flags, bytes_of(held.data, held.len));
    writer_free(&held);
}

void requests_run_own(struct connection *c, const struct call *call) {
    struct instance *instance = c->instance;
    own_handler handler = instance->handlers[row_place(call->row)];
    if (handler != NULL) {
        handler(c, call);
        return;
    }
    struct writer name = {0};
    write_span(&name, bytes_of_text(call->row->name));
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] == '|') name.data[i] = ' ';
    reply_error(call->reply, "ERR '%.*s' is not served by Parley: see docs/redis.md", (int)name.len,
                (const char *)name.data);
    writer_free(&name);
}

// A reply that is known now takes its place behind those that are still to come.
static struct reply answer_begin(struct connection *c) {
    bool now = c->requests.count == 0 && !c->silent_now;
    struct writer *out = now ? client_output(c->client) : &c->instance->scratch;
    if (!now) writer_clear(out);
    return reply_to(out, c);
}

static void answer_end(struct connection *c, const struct keys_row *row, struct reply *reply, size_t at) {
    if (reply->to->len > at && reply->to->data[at] == '-') c->instance->errors++;
    if (reply->to != &c->instance->scratch) {
        client_output_ready(c->client);
        return;
    }
    if (c->silent_now || reply->to->len == 0) return;
    requests_hold(c, requests_push(c, row, REQUEST_READY), bytes_of(reply->to->data, reply->to->len));
    requests_drain(c); // the ring may be empty but for it
}

static void take_own(struct connection *c, const struct keys_row *row, const struct bytes *argv, size_t argc) {
    struct reply reply = answer_begin(c);
    size_t at = reply.to->len;
    struct call call = {.row = row, .argv = argv, .argc = argc, .reply = &reply};
    requests_run_own(c, &call);
    answer_end(c, row, &reply, at);
}

__attribute__((format(printf, 3, 4))) static void reject(struct connection *c, const struct keys_row *row,
                                                         const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (row != NULL) c->instance->statistics[row_place(row)].rejected++;
    transaction_fail(c);
    struct reply reply = answer_begin(c);
    size_t at = reply.to->len;
    reply_error(&reply, "%s", text);
    answer_end(c, row, &reply, at);
}

static void reject_unknown(struct connection *c, const struct keys_row *container, const struct bytes *argv,
                           size_t argc) {
    int name_len = argv[0].len > 128 ? 128 : (int)argv[0].len;
    if (container != NULL) {
        char name[64] = "";
        for (size_t i = 0; container->name[i] != 0 && i < sizeof name - 1; i++)
            name[i] = (char)(container->name[i] - (container->name[i] >= 'a' && container->name[i] <= 'z' ? 32 : 0));
        int len = argv[1].len > 128 ? 128 : (int)argv[1].len;
        reject(c, NULL, "ERR unknown subcommand '%.*s'. Try %s HELP.", len, (const char *)argv[1].data, name);
        return;
    }
    struct writer arguments = {0};
    for (size_t i = 1; i < argc && arguments.len < 128; i++) {
        size_t room = 128 - arguments.len, len = argv[i].len < room ? argv[i].len : room;
        const uint8_t *nul = len == 0 ? NULL : memchr(argv[i].data, 0, len); // as printf
        if (nul != NULL) len = (size_t)(nul - argv[i].data);
        text_format(&arguments, "'%.*s' ", (int)len, (const char *)argv[i].data);
    }
    reject(c, NULL, "ERR unknown command '%.*s', with args beginning with: %.*s", name_len, (const char *)argv[0].data,
           (int)arguments.len, arguments.len == 0 ? "" : (const char *)arguments.data);
    writer_free(&arguments);
}

// What is wrong with a request whatever the state is. True: it was answered.
static bool rejected(struct connection *c, const struct keys_row *row, uint8_t traits, const struct bytes *argv,
                     size_t argc) {
    if (row == NULL || (argc > 1 && (traits & TRAIT_CONTAINS))) {
        reject_unknown(c, row, argv, argc);
        return true;
    }
    if (row->arity > 0 ? argc != (size_t)row->arity : argc < (size_t)-row->arity) {
        reject(c, row, "ERR wrong number of arguments for '%s' command", row->name);
        return true;
    }
    if (!c->authenticated && !(row->flags & KEYS_NO_AUTH)) {
        reject(c, row, "NOAUTH Authentication required.");
        return true;
    }
    if (transaction_open(c) && (row->flags & KEYS_NO_MULTI)) {
        reject(c, row, "ERR Command not allowed inside a transaction");
        return true;
    }
    if (subscriber_restricted(c) && !(traits & TRAIT_LISTENS)) {
        reject(c, row,
               "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
               "this context",
               row->name);
        return true;
    }
    return false;
}

enum leader_wait { LEADER_THERE, LEADER_AWAITED, LEADER_MISSED };
// Without a leader the request's bytes stay where they are; whoever waited long enough is told so.
static enum leader_wait wait_for_leader(struct connection *c) {
    struct instance *instance = c->instance;
    struct service_reading reading;
    service_reading(instance->service, &reading);
    if (reading.has_leader) {
        c->waiting_since_ms = 0;
        return LEADER_THERE;
    }
    if (c->waiting_since_ms == 0) c->waiting_since_ms = instance->now_ms == 0 ? 1 : instance->now_ms;
    if (instance->now_ms - c->waiting_since_ms >= instance->settings.leader_wait_ms) return LEADER_MISSED;
    list_push_back(&instance->waiting, &c->waiting);
    if (!c->paused) client_pause(c->client);
    c->paused = true;
    return LEADER_AWAITED;
}

// WATCH, EXEC and the model's commands.
static bool take_data(struct connection *c, const struct keys_row *row, uint8_t traits, const struct bytes *argv,
                      size_t argc) {
    bool exec = (traits & TRAIT_EXEC) != 0, watch = (traits & TRAIT_WATCH) != 0;
    bool reads = (row->flags & KEYS_READONLY) != 0;
    if (!(reads && c->local_reads) && !(exec && !transaction_open(c)) && !(watch && transaction_open(c))) {
        enum leader_wait wait = wait_for_leader(c);
        if (wait == LEADER_AWAITED) return false;
        if (wait == LEADER_MISSED) {
            reject(c, row, "%s", error_words(COMMAND_NOT_APPLIED, !reads && !watch));
            if (exec) transaction_end(c);
            return true;
        }
    }
    if (exec) {
        transaction_exec(c, row);
    } else if (watch && transaction_open(c)) {
        struct reply reply = answer_begin(c);
        size_t at = reply.to->len;
        reply_error(&reply, "ERR WATCH inside MULTI is not allowed");
        answer_end(c, row, &reply, at);
    } else if (watch) {
        take_read(c, row, argv, argc, REQUEST_WATCH);
        if (c->requests.count > 0) wait_for_all(c);
    } else if (reads) {
        take_read(c, row, argv, argc, 0);
    } else {
        take_write(c, row, argv, argc);
    }
    return true;
}

static void take_queued(struct connection *c, const struct keys_row *row, const struct bytes *argv, size_t argc) {
    transaction_queue(c, row, argv, argc);
    struct reply reply = answer_begin(c);
    size_t at = reply.to->len;
    reply_simple(&reply, "QUEUED");
    answer_end(c, row, &reply, at);
}

bool requests_request(struct connection *c, const struct bytes *argv, size_t argc) {
    struct instance *instance = c->instance;
    const struct keys_row *row = keys_row_find(argv[0], argc > 1 ? argv[1] : bytes_of(NULL, 0));
    uint8_t traits = row == NULL ? 0 : instance->traits[row_place(row)];
    bool in_transaction = transaction_open(c);
    if ((traits & TRAIT_APART) && c->requests.count > 0 && !in_transaction) {
        wait_for_all(c);
        return false;
    }
    if ((traits & TRAIT_NAMES_LEADER) && !in_transaction && wait_for_leader(c) == LEADER_AWAITED) return false;
    bool silent_next = c->silent_next;
    c->silent_now = c->silent || silent_next;
    c->silent_next = false;
    bool taken = true;
    if (!rejected(c, row, traits, argv, argc)) {
        if (in_transaction && !(traits & TRAIT_AT_ONCE))
            take_queued(c, row, argv, argc);
        else if (traits & TRAIT_DATA)
            taken = take_data(c, row, traits, argv, argc);
        else
            take_own(c, row, argv, argc);
    }
    if (!taken) {
        c->silent_next = silent_next;
        return false;
    }
    if (row != NULL) instance->statistics[row_place(row)].calls++;
    c->last_row = row;
    c->commands++;
    instance->commands++;
    return true;
}
