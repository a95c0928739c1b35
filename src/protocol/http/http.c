// Connections of HTTP. Answers leave in the order of the requests. Native commands of one connection may be under way
// together (pipelining); any other request begins when all before it are answered, and is answered before the next.
//
//   places:  [waits] [answered, held] [waits] ...     the first one always waits: answers in front have left
#include "base/alloc.h"
#include "base/assert.h"
#include "protocol/http/native_internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKUP_CHUNK_BYTES (256u << 10)
#define HTTP_CALLS_PER_SLAB 1000u

static const char *reason(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 413:
        return "Payload Too Large";
    case 414:
        return "URI Too Long";
    case 422:
        return "Unprocessable Content";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 507:
        return "Insufficient Storage";
    default:
        return "Unknown";
    }
}

// ---- the order of answers
struct http_answered {
    struct http_waiting waiting;
    size_t len;
    uint8_t bytes[];
};

static uint32_t commands_max(const struct http_instance *instance) {
    return instance->settings->commands_max != 0 ? instance->settings->commands_max : HTTP_COMMANDS_MAX;
}

static bool crowded(const struct http_instance *instance) {
    return instance->commands >= commands_max(instance);
}

static void stall(struct http_connection *c) {
    c->stalled = true;
    client_pause(c->client);
    if (crowded(c->instance) && list_empty(&c->in_crowd)) list_push_back(&c->instance->crowded, &c->in_crowd);
}

static bool may_begin(const struct http_connection *c) {
    if (c->backup != NULL || c->stream != NULL) return false;
    if (list_empty(&c->places)) return true;
    const struct http_waiting *newest = CONTAINER_OF_CONST(c->places.prev, struct http_waiting, place);
    uint32_t most = crowded(c->instance) ? HTTP_UNDER_WAY_CROWD : HTTP_UNDER_WAY_MAX;
    return !newest->alone && !c->last && c->place_count < most && c->held_bytes <= HTTP_HELD_BYTES_HOLD;
}

static bool may_go_on(const struct http_connection *c) {
    if (list_empty(&c->places)) return c->backup == NULL && c->stream == NULL;
    return !c->deferred && c->place_count <= HTTP_UNDER_WAY_MAX / 2 && may_begin(c);
}

static void go_on(struct http_connection *c) {
    c->stalled = false;
    list_remove(&c->in_crowd);
    client_resume(c->client);
}

void http_go_on(struct http_connection *c) {
    if (!c->stalled || c->resting || c->closing) return;
    if (may_go_on(c))
        go_on(c);
    else
        stall(c); // the reason may be another one by now
}

// Connections that the crowd has stopped go on when half of it has gone, in the order in which they came.
void http_commands(struct http_instance *instance, int more) {
    instance->commands += (uint32_t)more;
    if (instance->commands != commands_max(instance) / 2) return;
    while (!list_empty(&instance->crowded)) { // none joins meanwhile: they go on later
        struct http_connection *c = CONTAINER_OF(instance->crowded.next, struct http_connection, in_crowd);
        list_remove(&c->in_crowd);
        if (c->stalled && !c->resting && !c->closing && !c->deferred && may_begin(c)) go_on(c);
    }
}

static void put(struct http_connection *c, const void *data, size_t len) {
    if (c->behind == NULL)
        client_write(c->client, data, len);
    else
        write_span(&c->held, bytes_of(data, len));
}

static void left(struct http_connection *c, bool keep_alive) {
    c->since_ms = service_now_ms(c->instance->service);
    if (keep_alive) return;
    c->closing = true;
    client_close(c->client, true);
}

static void hold_answer(struct http_connection *c) {
    struct http_answered *answer = mem_alloc(sizeof *answer + c->held.len);
    answer->waiting = (struct http_waiting){.connection = c, .answered = true, .keep_alive = c->keep_alive};
    answer->len = c->held.len;
    memcpy(answer->bytes, c->held.data, c->held.len);
    list_push_front(c->behind, &answer->waiting.place); // right behind it
    c->behind = NULL;
    c->place_count++;
    c->held_bytes += c->held.len;
    if (c->held.capacity > HTTP_HEADER_BYTES_MAX)
        writer_free(&c->held);
    else
        writer_clear(&c->held);
    if (c->held_bytes > HTTP_HELD_BYTES_MAX) http_break_off(c);
}

static void drop_held(struct http_connection *c, struct http_waiting *waiting) {
    struct http_answered *answer = CONTAINER_OF(waiting, struct http_answered, waiting);
    list_remove(&waiting->place);
    c->place_count--;
    c->held_bytes -= answer->len;
    mem_free(answer);
}

// What waited for the answer that has just left.
static void release_held(struct http_connection *c) {
    while (!c->closing && !list_empty(&c->places)) {
        struct http_waiting *first = CONTAINER_OF(c->places.next, struct http_waiting, place);
        if (!first->answered) return;
        const struct http_answered *answer = CONTAINER_OF(first, struct http_answered, waiting);
        bool keep_alive = first->keep_alive;
        client_write(c->client, answer->bytes, answer->len);
        drop_held(c, first);
        left(c, keep_alive);
    }
}

static void go(struct http_connection *c) {
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    c->owes_go = !list_empty(&c->places);
    if (!c->owes_go) client_write(c->client, line, sizeof line - 1);
}

static void answered(struct http_connection *c) {
    c->retry_after_s = 0;
    if (c->behind != NULL) {
        hold_answer(c);
    } else {
        left(c, c->keep_alive);
        release_held(c);
        if (c->owes_go) go(c);
    }
    http_go_on(c);
}

// ---- answers
struct head {
    size_t len;
    char bytes[1024];
};

static void add(struct head *head, const char *text) {
    size_t len = strlen(text);
    ENSURE(len <= sizeof head->bytes - head->len);
    memcpy(head->bytes + head->len, text, len);
    head->len += len;
}

static void add_number(struct head *head, uint64_t number) {
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    add(head, digits + at);
}

// length -1: until the connection ends.
void http_write_head(struct http_connection *c, int status, const char *type, int64_t length, const char *more) {
    struct head head;
    head.len = 0; // the rest is written before it is read
    add(&head, "HTTP/1.1 ");
    add_number(&head, (uint64_t)status);
    add(&head, " ");
    add(&head, reason(status));
    add(&head, "\r\nContent-Type: ");
    add(&head, type);
    if (length >= 0) add(&head, "\r\nContent-Length: ");
    if (length >= 0) add_number(&head, (uint64_t)length);
    add(&head, "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    add(&head, more);
    add(&head, c->keep_alive && length >= 0 ? "\r\n" : "Connection: close\r\n\r\n");
    put(c, head.bytes, head.len);
}

void http_answer_with(struct http_connection *c, int status, const char *type, struct bytes body, const char *more) {
    http_write_head(c, status, type, (int64_t)body.len, more);
    if (!c->head) put(c, body.data, body.len);
    answered(c);
}

void http_answer(struct http_connection *c, int status, const char *type, struct bytes body) {
    char more[64] = "";
    ENSURE(c->backup == NULL);
    if (c->waits_as_event) {
        c->keep_alive = false;
        events_wait_ends(c, type, body);
        answered(c);
        return;
    }
    if (c->retry_after_s > 0)
        snprintf(more, sizeof more, "Retry-After: %llu\r\n", (unsigned long long)c->retry_after_s);
    http_answer_with(c, status, type, body, more);
}

void http_break_off(struct http_connection *c) {
    c->closing = true;
    client_close(c->client, false);
}

void http_answer_text(struct http_connection *c, int status, const char *text) {
    char line[4096];
    int len = snprintf(line, sizeof line, "%s\n", text);
    ENSURE(len > 0 && (size_t)len < sizeof line);
    http_answer(c, status, "text/plain; charset=utf-8", bytes_of(line, (size_t)len));
}

static void answer_json(struct http_connection *c, int status, const char *type, json_t *json, size_t how) {
    char *text = json_dumps(json, how);
    json_decref(json);
    ENSURE(text != NULL);
    struct writer w;
    writer_init(&w);
    write_span(&w, bytes_of_text(text));
    write_u8(&w, '\n');
    free(text);
    http_answer(c, status, type, bytes_of(w.data, w.len));
    writer_free(&w);
}

void http_answer_json(struct http_connection *c, int status, json_t *json) {
    answer_json(c, status, "application/json", json, JSON_INDENT(2));
}

void http_answer_compact(struct http_connection *c, int status, const char *type, json_t *json) {
    answer_json(c, status, type, json, JSON_COMPACT);
}

void http_answer_error(struct http_connection *c, int status, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *json = json_object();
    json_t *message = json_string(text);
    json_object_set_new(json, "error", message != NULL ? message : json_string("error")); // NULL: not UTF-8
    http_answer_json(c, status, json);
}

// ---- answers that come later
struct http_waiting *http_later(struct http_connection *c) {
    struct http_waiting *waiting = mem_zalloc(sizeof *waiting);
    http_wait(c, waiting);
    return waiting;
}

struct http_connection *http_back(struct http_waiting *waiting) {
    struct http_connection *c = http_wait_end(waiting);
    mem_free(waiting);
    return c;
}

void http_wait(struct http_connection *c, struct http_waiting *waiting) {
    waiting->connection = c;
    waiting->head = c->head;
    waiting->keep_alive = c->keep_alive;
    waiting->alone = c->alone;
    list_push_back(&c->places, &waiting->place);
    c->place_count++;
    if (c->alone) stall(c);
}

struct http_connection *http_wait_end(struct http_waiting *waiting) {
    struct http_connection *c = waiting->connection;
    waiting->connection = NULL;
    if (c == NULL) return NULL;
    c->behind = waiting->place.prev == &c->places ? NULL : waiting->place.prev;
    c->head = waiting->head;
    c->keep_alive = waiting->keep_alive;
    c->place_count--;
    list_remove(&waiting->place);
    return c;
}

// ---- backups: a piece at each tick
static void end_backup(struct http_connection *c) {
    c->instance->settings->backup_close(c->backup);
    c->backup = NULL;
}

static void send_piece(struct http_connection *c) {
    uint8_t *chunk = mem_alloc(BACKUP_CHUNK_BYTES);
    size_t sent = 0;
    while (c->backup_left > 0 && sent < HTTP_BACKUP_TURN_BYTES &&
           client_output_pending(c->client) < 2 * HTTP_BACKUP_TURN_BYTES) {
        size_t want = c->backup_left < BACKUP_CHUNK_BYTES ? (size_t)c->backup_left : BACKUP_CHUNK_BYTES;
        int64_t n = c->instance->settings->backup_read(c->backup, chunk, want);
        if (n <= 0) { // the length was promised: only a closed connection tells that it is not whole
            LOG_WARN(service_log(c->instance->service), "backup broken off: its file cannot be read left=%llu",
                     (unsigned long long)c->backup_left);
            end_backup(c);
            http_break_off(c);
            break;
        }
        client_write(c->client, chunk, (size_t)n);
        sent += (size_t)n;
        c->backup_left -= (uint64_t)n;
    }
    mem_free(chunk);
    c->since_ms = service_now_ms(c->instance->service);
    if (c->backup == NULL || c->backup_left > 0) return;
    end_backup(c);
    answered(c);
}

void http_send_backup(struct http_connection *c, void *backup, uint64_t bytes, const char *name) {
    char more[128];
    snprintf(more, sizeof more, "Content-Disposition: attachment; filename=\"%s\"\r\n", name);
    http_write_head(c, 200, "application/octet-stream", (int64_t)bytes, more);
    c->backup = backup;
    c->backup_left = bytes;
    stall(c);
    send_piece(c);
}

// ---- the protocol
static void *http_start(struct service *service, const void *settings) {
    ENSURE(settings != NULL);
    struct http_instance *instance = mem_zalloc(sizeof *instance);
    instance->service = service;
    instance->settings = settings;
    list_init(&instance->connections);
    list_init(&instance->crowded);
    list_init(&instance->agents);
    list_init(&instance->streams);
    hash_init(&instance->sessions);
    hash_init(&instance->numbers);
    pool_init(&instance->calls, sizeof(struct http_call), HTTP_CALLS_PER_SLAB);
    return instance;
}

static void http_stop(void *state) {
    struct http_instance *instance = state;
    ENSURE(list_empty(&instance->connections) && list_empty(&instance->agents) && instance->calls.live == 0);
    native_turns_free(instance);
    hash_free(&instance->sessions);
    hash_free(&instance->numbers);
    pool_free(&instance->calls);
    mem_free(instance);
}

static void *http_open(void *state, struct client *client) {
    struct http_instance *instance = state;
    struct http_connection *c = mem_zalloc(sizeof *c);
    c->instance = instance;
    c->client = client;
    c->parse = http_parse_new();
    c->since_ms = service_now_ms(instance->service);
    list_init(&c->places);
    list_init(&c->in_crowd);
    writer_init(&c->held);
    list_push_back(&instance->connections, &c->link);
    events_begin(instance);
    return c;
}

static void http_close(void *connection) {
    struct http_connection *c = connection;
    list_remove(&c->in_crowd); // what ends now lets others go on, not this one
    while (!list_empty(&c->places)) {
        struct http_waiting *waiting = CONTAINER_OF(c->places.next, struct http_waiting, place);
        if (waiting->answered) {
            drop_held(c, waiting);
            continue;
        }
        http_wait_end(waiting);
        if (waiting->native) call_gone(CONTAINER_OF(waiting, struct http_call, waiting));
    }
    writer_free(&c->held);
    if (c->backup != NULL) end_backup(c);
    if (c->stream != NULL) events_close(c);
    list_remove(&c->link);
    http_parse_free(c->parse);
    mem_free(c);
}

static void refuse_stream(struct http_connection *c, int status) {
    c->keep_alive = c->head = false;
    c->last = true;
    c->behind = list_empty(&c->places) ? NULL : c->places.prev;
    http_answer_error(c, status, "%s", reason(status));
}

static void begin_request(struct http_connection *c) {
    const struct http_request *request = http_parse_request(c->parse);
    c->keep_alive = request->keep_alive;
    c->head = request->method == HTTP_VERB_HEAD;
    c->last = !c->keep_alive;
    c->wants_events = c->deferred = false;
    c->behind = list_empty(&c->places) ? NULL : c->places.prev;
    http_route(c, request);
    c->behind = NULL;
    http_parse_next(c->parse);
}

// The few that a node is asked for all the time are found at once.
static const struct native_operation *find_operation(struct http_instance *instance, const char *path) {
    size_t len = strlen(path);
    if (len == 0) return NULL;
    unsigned place = (unsigned)len * 31 + (unsigned char)path[len - 1] * 7 + (unsigned char)path[len / 2];
    const struct native_operation **known = &instance->recent[place % HTTP_RECENT_OPERATIONS];
    if (*known != NULL && strcmp((*known)->path, path) == 0) return *known;
    const struct native_operation *found = native_find(path);
    if (found != NULL) *known = found;
    return found;
}

// A whole request is there. false: it has to wait for the answers of those before it.
static bool take_request(struct http_connection *c) {
    const struct http_request *request = http_parse_request(c->parse);
    c->owes_go = false;
    c->operation = find_operation(c->instance, request->path);
    c->alone = !http_native_beside(c->operation, request);
    if (c->alone && !list_empty(&c->places)) {
        c->deferred = true;
        stall(c);
        return false;
    }
    begin_request(c);
    return true;
}

static size_t http_input(void *connection, const uint8_t *data, size_t len) {
    struct http_connection *c = connection;
    size_t at = 0;
    unsigned answers = 0;
    while (at < len) {
        if (c->closing) return len;
        if (!may_begin(c)) { // answers come first
            stall(c);
            return at;
        }
        if (client_output_pending(c->client) > CLIENT_OUTPUT_HOLD) return at;
        if (answers == HTTP_PIPELINED_MAX) { // a page of metrics takes long; who asks for thousands stalls nobody else
            c->resting = true;
            client_pause(c->client);
            return at;
        }
        if (c->deferred) { // its last byte was left, so that it is called for
            at++;
            answers++;
            begin_request(c);
            continue;
        }
        if (!http_parse_begun(c->parse)) c->since_ms = service_now_ms(c->instance->service);
        enum http_parse_state state;
        at += http_parse_feed(c->parse, data + at, len - at, &state);
        if (state == HTTP_PARSE_DONE) {
            if (!take_request(c)) return at - 1;
            if (c->alone) answers++;
        } else if (state == HTTP_PARSE_BAD) {
            refuse_stream(c, http_parse_status(c->parse));
        } else if (http_parse_wants_continue(c->parse)) {
            go(c);
        }
    }
    return at;
}

static void http_tick(void *state, uint64_t now_ms) {
    struct http_instance *instance = state;
    uint64_t request_ms = instance->settings->request_ms != 0 ? instance->settings->request_ms : HTTP_REQUEST_MS;
    uint64_t idle_ms = instance->settings->idle_ms != 0 ? instance->settings->idle_ms : HTTP_IDLE_MS;
    agents_tick(instance, now_ms);
    events_tick(instance, now_ms);
    struct list *at = instance->connections.next;
    while (at != &instance->connections) {
        struct http_connection *c = CONTAINER_OF(at, struct http_connection, link);
        at = at->next;
        uint64_t age_ms = now_ms > c->since_ms ? now_ms - c->since_ms : 0;
        if (c->waits_as_event) events_wait_tick(c, now_ms);
        if (c->closing || c->stream != NULL) continue;
        if (c->resting) {
            c->resting = false;
            c->stalled = true;
            http_go_on(c);
            continue;
        }
        if (!list_empty(&c->places)) continue;
        if (c->backup != NULL) {
            send_piece(c);
        } else if (http_parse_begun(c->parse)) {
            if (age_ms >= request_ms) refuse_stream(c, 408);
        } else if (age_ms >= idle_ms) {
            c->closing = true;
            client_close(c->client, true);
        }
    }
}

static bool http_owes(const void *connection) {
    const struct http_connection *c = connection;
    const struct list *first = c->places.next; // what is answered behind one that never will be does not count
    return (first != &c->places && !CONTAINER_OF_CONST(first, struct http_waiting, place)->breaks_off) ||
           c->backup != NULL || c->resting;
}

static void http_event(void *state, uint8_t model, const void *event) {
    struct http_instance *instance = state;
    events_model(instance, model, event);
    if (model == MODEL_LEASE) agents_event(instance, event);
    for (size_t i = 0; i < native_room_count; i++)
        if (native_rooms[i]->event != NULL && native_rooms[i]->model == model) native_rooms[i]->event(instance, event);
}

static void http_replaced(void *state) {
    events_replaced(state);
}

static void http_reply(void *connection, uint64_t tag, const struct result *result) {
    UNREACHABLE();
} // what is submitted comes from agents
static void http_read_ready(void *connection, uint64_t tag, int error) {
    UNREACHABLE();
}

const struct protocol http_protocol = {.name = "http",
                                       .outside_state = true,
                                       .start = http_start,
                                       .stop = http_stop,
                                       .event = http_event,
                                       .replaced = http_replaced,
                                       .tick = http_tick,
                                       .open = http_open,
                                       .input = http_input,
                                       .reply = http_reply,
                                       .read_ready = http_read_ready,
                                       .owes = http_owes,
                                       .close = http_close};
