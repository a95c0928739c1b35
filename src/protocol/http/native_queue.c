// Queues over HTTP: arguments into commands, results and events into answers. A claim that waits is answered by the
// DELIVERED event. What was delivered to a claim that nobody hears of any more goes back, as if never delivered.
#include "base/assert.h"
#include "base/planted.h"
#include "model/limiter/limiter.h"
#include "model/queue/queue.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include "protocol/http/view.h"
#include <stdlib.h>
#include <string.h>

// Numbers of calls that wait: a ticket is the queue model's own, not the locks'.
#define TICKET ((uint64_t)MODEL_QUEUE << 56)
#define CANCELLED (TICKET | 1ull << 55) // the claim's client is gone; it is being cancelled

#define X(name, code, text) [-(code)] = text,
static const char *const error_texts[] = {QUEUE_ERRORS(X)};
#undef X

static void fail(struct http_call *call, int error, const struct queue_result *queue) {
    static const char *const names[] = {[-QUEUE_NOT_FOUND] = "not-found",
                                        [-QUEUE_NOT_CLAIMED] = "not-claimed",
                                        [-QUEUE_LENGTH] = "full",
                                        [-QUEUE_GAP] = "gap",
                                        [-QUEUE_LIMIT] = "limit",
                                        [-QUEUE_NOT_EMPTY] = "not-empty",
                                        [-QUEUE_BAD_ARGUMENTS] = "bad-request"};
    ENSURE(error < 0 && (size_t)-error < sizeof names / sizeof names[0]);
    json_t *members = json_object();
    if (error == QUEUE_NOT_CLAIMED && queue->token != 0)
        json_object_set_new(members, "token", json_number(queue->token));
    call_fail(call, names[-error], error_texts[-error], members);
}

static bool succeeded(struct http_call *call, const struct result *result) {
    if (result->error != 0) fail(call, result->error, result->value);
    return result->error == 0;
}

static void queue_done_reply(struct http_call *call, const struct result *result) {
    struct writer w;
    if (!succeeded(call, result)) return;
    answer_begin(&w);
    call_answer_text(call, &w);
}

// ---- the queue itself

static void queue_configure_run(struct http_call *call) {
    struct queue_options options = {.tries_max = (uint32_t)call_number(call, "tries_max"),
                                    .merge = (enum queue_merge)call_number(call, "merge"),
                                    .length_max = (uint32_t)call_number(call, "length_max"),
                                    .concurrency_max = (uint32_t)call_number(call, "concurrency_max"),
                                    .rate = (uint32_t)call_number(call, "rate"),
                                    .burst = (uint32_t)call_number(call, "burst"),
                                    .window_ms = call_number(call, "window_ms"),
                                    .gap_ms = call_number(call, "gap_ms"),
                                    .numbering_ms = call_number(call, "numbering_ms")};
    if ((options.rate > 0) != (options.window_ms > 0) || (options.rate == 0 && options.burst > 0)) {
        call_fail(call, "bad-request", "rate and window_ms go together, and burst with them", NULL);
        return;
    }
    struct writer w;
    writer_init(&w);
    queue_write_configure(&w, call_text(call, "name"), &options);
    call_submit(call, &w);
}

static void queue_delete_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    queue_write_delete(&w, call_text(call, "name"));
    call_submit(call, &w);
}

// ---- push

// What the fields do not say one by one; NULL: nothing.
static const char *push_wrong(const struct http_call *call) {
    bool number = call_number(call, "number") > 0, dedup = call_value(call, "dedup_id")->given;
    if (number && dedup) return "number and dedup_id do not go together: the number does the same";
    if (number && call_text(call, "key").len == 0) return "number goes with a key";
    return NULL;
}

static void queue_push_run(struct http_call *call) {
    const char *wrong = push_wrong(call);
    if (wrong != NULL) {
        call_fail(call, "bad-request", wrong, NULL);
        return;
    }
    bool dedup = call_value(call, "dedup_id")->given;
    struct queue_push push = {.name = call_text(call, "name"),
                              .key = call_text(call, "key"),
                              .priority = (uint8_t)call_number(call, "priority"),
                              .sign = (enum queue_sign)call_number(call, "sign"),
                              .delay_ms = call_number(call, "delay_ms"),
                              .dedup = call_text(call, "dedup_id"),
                              .dedup_ms = dedup ? call_number(call, "dedup_ms") : 0,
                              .number = call_number(call, "number")};
    if (!call_bytes(call, "body", "body_base64", &push.body)) return;
    struct writer w;
    writer_init(&w);
    queue_write_push(&w, call_session(call), call_attach_number(call), &push);
    call_submit(call, &w);
}

static void pushed(struct http_call *call, uint64_t id, bool duplicate, uint64_t replaced, uint64_t cancelled) {
    struct writer w;
    answer_begin(&w);
    answer_number(&w, "id", id);
    answer_bool(&w, "duplicate", duplicate);
    if (replaced != 0) answer_number(&w, "replaced", replaced);
    if (cancelled != 0) answer_number(&w, "cancelled", cancelled);
    call_answer_text(call, &w);
}

static void queue_push_reply(struct http_call *call, const struct result *result) {
    const struct queue_result *queue = result->value;
    if (!succeeded(call, result)) return;
    if (queue->waits)
        call_wait(call, queue->ticket | TICKET); // who goes has pushed it all the same
    else
        pushed(call, queue->id, queue->duplicate, queue->replaced, queue->cancelled);
}

// ---- claim

static void write_delivery(struct writer *w, const struct queue_delivery *delivery, uint64_t now_ms) {
    write_u8(w, '{');
    answer_number(w, "id", delivery->id);
    answer_number(w, "token", delivery->token);
    answer_text(w, "key", delivery->key);
    answer_number(w, "tries", delivery->tries);
    answer_number(w, "priority", delivery->priority);
    answer_number(w, "age_ms", native_until(delivery->pushed_ms, now_ms));
    answer_bytes(w, "body", "body_base64", delivery->body);
    write_u8(w, '}');
}

static void delivered(struct http_call *call, const struct queue_delivery *deliveries, size_t count,
                      uint64_t retry_after_ms) {
    struct writer w;
    uint64_t now_ms = count > 0 ? native_log_ms(call) : 0;
    answer_begin(&w);
    answer_name(&w, "messages");
    write_u8(&w, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) write_u8(&w, ',');
        write_delivery(&w, &deliveries[i], now_ms);
    }
    write_u8(&w, ']');
    answer_number(&w, "retry_after_ms", retry_after_ms);
    call_answer_text(call, &w);
}

static void queue_claim_run(struct http_call *call) {
    struct writer w;
    if (call_session(call) == 0 && call_number(call, "visibility_ms") == 0) {
        call_fail(call, "bad-request", "a session or visibility_ms is wanted: nothing would ever end it", NULL);
        return;
    }
    writer_init(&w);
    queue_write_claim(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                      (uint32_t)call_number(call, "max"), call_number(call, "visibility_ms"),
                      call_number(call, "wait_ms"));
    call_submit(call, &w);
}

static void queue_claim_reply(struct http_call *call, const struct result *result) {
    const struct queue_result *queue = result->value;
    if (result->op == QUEUE_CANCEL)
        call_end(call); // or it was served meanwhile, then the event has seen to it
    else if (!succeeded(call, result))
        return;
    else if (queue->waits)
        call_wait(call, queue->ticket | TICKET);
    else
        delivered(call, queue->deliveries, queue->delivery_count, queue->retry_after_ms);
}

// Nobody has read it: it is no try, and the next one gets it at once.
static void give_back(struct http_call *call, uint64_t token) {
    struct writer w;
    writer_init(&w);
    queue_write_nack(&w, call_session(call), call_attach_number(call), call_text(call, "name"), token, 0, true);
    agent_submit(call->agent, &w);
}

static void queue_claim_gone(struct http_call *call) {
    struct writer w;
    if (call->open->answer == NULL && call_number_waited(call) != 0) {
        writer_init(&w);
        uint64_t ticket = call_number_waited(call) & ~TICKET;
        queue_write_cancel(&w, call_session(call), call_attach_number(call), call_text(call, "name"), ticket);
        call_cancel(call, &w, ticket | CANCELLED);
        return;
    }
    const json_t *messages = json_object_get(call->open->answer, "messages"), *message;
    size_t i;
    json_array_foreach(messages, i, message) {
        give_back(call, (uint64_t)json_integer_value(json_object_get(message, "token")));
    }
    call_end(call);
}

// ---- what becomes of deliveries

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void queue_ack_run(struct http_call *call) {
    const json_t *list = call_value(call, "tokens")->list;
    uint64_t tokens[QUEUE_CLAIM_MAX];
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) tokens[i] = (uint64_t)json_integer_value(json_array_get(list, i));
    qsort(tokens, count, sizeof tokens[0], ascending);
    struct writer w;
    writer_init(&w);
    queue_write_ack(&w, call_session(call), call_attach_number(call), call_text(call, "name"), tokens, count);
    call_submit(call, &w);
}

static void queue_nack_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    queue_write_nack(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                     call_number(call, "token"), call_number(call, "delay_ms"), call_number(call, "unread") != 0);
    call_submit(call, &w);
}

static void queue_extend_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    queue_write_extend(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                       call_number(call, "token"), call_number(call, "visibility_ms"));
    call_submit(call, &w);
}

static void queue_requeue_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    queue_write_requeue(&w, call_text(call, "name"), call_number(call, "id"));
    call_submit(call, &w);
}

static void queue_drop_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    queue_write_drop(&w, call_text(call, "name"), call_number(call, "id"));
    call_submit(call, &w);
}

// ---- reads: as of a moment after the request came

struct listing {
    json_t *items, *messages, *info;
    uint64_t now_ms;
};

json_t *queue_json(const struct queue_info *info) {
    static const char *const merges[] = {"none", "latest", "cancel"};
    const struct queue_options *o = &info->options;
    json_t *json = json_object();
    const struct {
        const char *name;
        uint64_t number;
    } numbers[] = {{"messages", info->messages},
                   {"keys", info->keys},
                   {"ready", info->ready},
                   {"claimed", info->claimed},
                   {"delayed", info->delayed},
                   {"dead", info->dead},
                   {"waiters", info->waiters},
                   {"tries_max", o->tries_max},
                   {"length_max", o->length_max},
                   {"concurrency_max", o->concurrency_max},
                   {"rate", o->rate},
                   {"burst", o->burst},
                   {"window_ms", o->window_ms},
                   {"gap_ms", o->gap_ms},
                   {"numbering_ms", o->numbering_ms}};
    json_object_set_new(json, "name", json_bytes(info->name));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(json, numbers[i].name, json_number(numbers[i].number));
    json_object_set_new(json, "merge", json_string(merges[o->merge]));
    return json;
}

static void list_queue(void *context, const struct queue_info *info) {
    json_array_append_new(((struct listing *)context)->items, queue_json(info));
}

static void show_queue(void *context, const struct queue_info *info) {
    ((struct listing *)context)->info = queue_json(info);
}

json_t *queue_key_json(const struct queue_key_info *info, uint64_t now_ms) {
    json_t *json = json_object();
    json_object_set_new(json, "key", json_bytes(info->key));
    json_object_set_new(json, "depth", json_number(info->depth));
    json_object_set_new(json, "tries", json_number(info->tries));
    json_object_set_new(json, "held", json_number(info->held));
    json_object_set_new(json, "token", json_number(info->token));
    json_object_set_new(json, "session", json_number(info->session));
    json_object_set_new(json, "next", json_number(info->next));
    json_object_set_new(json, "oldest_ms", json_number(native_until(info->oldest_ms, now_ms)));
    return json;
}

static void list_key(void *context, const struct queue_key_info *info) {
    struct listing *listing = context;
    json_array_append_new(listing->items, queue_key_json(info, listing->now_ms));
}

static json_t *message_json(const struct listing *listing, const struct queue_message_info *info) {
    json_t *json = json_object();
    json_object_set_new(json, "id", json_number(info->id));
    json_object_set_new(json, "key", json_bytes(info->key));
    json_object_set_new(json, "priority", json_number(info->priority));
    json_object_set_new(json, "age_ms", json_number(native_until(info->pushed_ms, listing->now_ms)));
    native_set_bytes(json, "body", "body_base64", info->body);
    return json;
}

static void list_message(void *context, const struct queue_message_info *info) {
    struct listing *listing = context;
    json_t *json = message_json(listing, info);
    json_object_set_new(json, "delay_ms", json_number(native_until(listing->now_ms, info->not_before_ms)));
    if (info->number != 0) json_object_set_new(json, "number", json_number(info->number));
    json_array_append_new(listing->messages, json);
}

static void list_dead(void *context, const struct queue_message_info *info) {
    struct listing *listing = context;
    json_t *json = message_json(listing, info);
    json_object_set_new(json, "tries", json_number(info->tries));
    json_object_set_new(json, "dead_ms", json_number(native_until(info->since_ms, listing->now_ms)));
    json_array_append_new(listing->items, json);
}

// One more than the limit was asked for, to know whether there are more.
static bool had_more(json_t *items, size_t limit) {
    bool more = json_array_size(items) > limit;
    if (more) json_array_remove(items, limit);
    return more;
}

static json_t *list_of(struct http_call *call, const char *member, struct queue_query *query) {
    struct listing listing = {.items = json_array(), .messages = json_array(), .now_ms = native_log_ms(call)};
    size_t limit = call_number(call, "limit");
    struct result result;
    query->max = limit + 1;
    query->context = &listing;
    service_query(call->agent->instance->service, MODEL_QUEUE, query, &result);
    bool shows = query->queue == show_queue;
    json_t *json = shows ? listing.info : json_object();
    if (json != NULL) {
        json_object_set(json, member, listing.items);
        json_object_set_new(json, "more", json_boolean(had_more(listing.items, limit)));
        if (query->message != NULL) had_more(listing.messages, limit);
        if (query->message != NULL) json_object_set(json, "in_key", listing.messages);
    }
    json_decref(listing.items);
    json_decref(listing.messages);
    return json;
}

static void queue_show_read(struct http_call *call) {
    bool key = call_value(call, "key")->given;
    struct queue_query query = {.name = call_text(call, "name"),
                                .of_key = call_text(call, "key"),
                                .queue = show_queue,
                                .key = list_key,
                                .message = key ? list_message : NULL};
    json_t *json = list_of(call, "hot_keys", &query);
    if (json != NULL)
        call_answer(call, 200, json);
    else
        call_fail(call, "not-found", "there is no such queue", NULL);
}

static void queue_list_read(struct http_call *call) {
    struct queue_query query = {.name = bytes_of("", 0), .after = call_text(call, "after"), .queue = list_queue};
    call_answer(call, 200, list_of(call, "queues", &query));
}

static void queue_dead_read(struct http_call *call) {
    struct queue_query query = {
        .name = call_text(call, "name"), .after_id = call_number(call, "after"), .dead = list_dead};
    call_answer(call, 200, list_of(call, "dead", &query));
}

// ---- events

static void tell(struct http_call *call, const struct queue_event *event) {
    if (event->type == QUEUE_EVENT_DELIVERED || event->type == QUEUE_EVENT_TIMED_OUT)
        delivered(call, event->deliveries, event->delivery_count, 0);
    else if (event->type == QUEUE_EVENT_PUSHED)
        pushed(call, event->id, false, 0, 0);
    else
        call_fail(call, "gap", "an earlier number of its key did not come in time; the message is dropped", NULL);
}

static void on_event(struct http_instance *instance, const void *value) {
    const struct queue_event *event = value;
    struct http_call *call;
    if (event->type == QUEUE_EVENT_DEAD) return;
    while ((call = call_waiting_for(instance, event->ticket | TICKET)) != NULL) tell(call, event);
    call = PLANTED(QUEUE_KEPT_BY_WHO_LEFT) ? NULL : call_waiting_for(instance, event->ticket | CANCELLED);
    for (size_t i = 0; call != NULL && i < event->delivery_count; i++) give_back(call, event->deliveries[i].token);
}

// ---- the table
#define QUEUE_NAME                                                                                                     \
    {                                                                                                                  \
        .name = "name", .type = NATIVE_TEXT, .low = 1, .high = QUEUE_NAME_BYTES_MAX, .required = true,                 \
        .help = "the queue"                                                                                            \
    }
#define DELIVERY_TOKEN                                                                                                 \
    { .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true, .help = "of the delivery" }
#define CLAIMER                                                                                                        \
    { .name = "session", .type = NATIVE_SESSION, .help = "the one that claimed it, if any did" }
#define DEAD_ID                                                                                                        \
    { .name = "id", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true, .help = "of the dead letter" }
#define QUEUE_TIME(name_, standard_, help_)                                                                            \
    { .name = name_, .type = NATIVE_NUMBER, .high = QUEUE_TIME_MS_MAX, .standard = standard_, .help = help_ }

FIELDS(queue_configure_fields) = {
    QUEUE_NAME,
    {.name = "tries_max",
     .type = NATIVE_NUMBER,
     .high = UINT32_MAX,
     .help = "after so many deliveries it is a dead letter; 0: never"},
    {.name = "merge",
     .type = NATIVE_CHOICE,
     .choices = "none|latest|cancel",
     .help = "latest: of a key's messages that wait only the newest stays; cancel: a message and the one right behind "
             "it in its key with the opposite sign both vanish"},
    {.name = "length_max",
     .type = NATIVE_NUMBER,
     .high = QUEUE_MESSAGES_MAX,
     .help = "messages, dead letters too; 0: 100000000"},
    {.name = "concurrency_max", .type = NATIVE_NUMBER, .high = UINT32_MAX, .help = "claimed at once; 0: no bound"},
    {.name = "rate",
     .type = NATIVE_NUMBER,
     .high = LIMITER_UNITS_MAX,
     .help = "deliveries in each window_ms; 0: no bound"},
    {.name = "burst", .type = NATIVE_NUMBER, .high = LIMITER_UNITS_MAX, .help = "deliveries at once; 0: as the rate"},
    QUEUE_TIME("window_ms", 0, "of the rate"),
    QUEUE_TIME("gap_ms", 0, "a message waits so long for an earlier number; 0: 30000"),
    QUEUE_TIME("numbering_ms", 0, "an empty key's numbering is forgotten after so long; 0: 86400000"),
    END};
FIELDS(queue_delete_fields) = {QUEUE_NAME, END};
FIELDS(queue_push_fields) = {
    QUEUE_NAME,
    {.name = "key",
     .type = NATIVE_TEXT,
     .high = QUEUE_KEY_BYTES_MAX,
     .help = "messages of one key are delivered in order, one at a time; none: no order"},
    {.name = "body", .type = NATIVE_TEXT, .high = QUEUE_BODY_BYTES_MAX, .help = "text"},
    {.name = "body_base64",
     .type = NATIVE_BASE64,
     .high = QUEUE_BODY_BYTES_MAX,
     .help = "in its place, other bytes: 131072 at most"},
    {.name = "priority", .type = NATIVE_NUMBER, .high = UINT8_MAX, .help = "larger is sooner"},
    {.name = "sign", .type = NATIVE_CHOICE, .choices = "none|plus|minus", .help = "of a queue that merges by cancel"},
    QUEUE_TIME("delay_ms", 0, "not delivered before; what comes later in its key waits behind it"),
    {.name = "dedup_id",
     .type = NATIVE_TEXT,
     .low = 1,
     .high = QUEUE_DEDUP_BYTES_MAX,
     .help = "a second push with it is dropped, and its answer names the first one's id"},
    {.name = "dedup_ms",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = QUEUE_TIME_MS_MAX,
     .standard = NATIVE_DEDUP_MS_DEFAULT,
     .help = "dedup_id is remembered so long"},
    {.name = "number",
     .type = NATIVE_NUMBER,
     .high = INT64_MAX,
     .help = "the producer's own, from 1 on in each key: n waits for n - 1, and is pushed once; 0: none. The answer "
             "comes when it is in its key"},
    SESSION,
    END};
FIELDS(queue_push_answer) = {
    {.name = "id", .type = NATIVE_NUMBER, .help = "of the message; 0: an old number, whose id nobody knows any more"},
    {.name = "duplicate", .type = NATIVE_BOOL, .help = "it had been pushed already"},
    {.name = "replaced", .type = NATIVE_NUMBER, .help = "merge latest: id of the one whose place it took"},
    {.name = "cancelled", .type = NATIVE_NUMBER, .help = "merge cancel: id of the one that vanished with it"},
    END};
FIELDS(queue_claim_fields) = {
    QUEUE_NAME,
    {.name = "max",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = QUEUE_CLAIM_MAX,
     .standard = 1,
     .help = "so many messages at most, of different keys; of 1 MiB together"},
    QUEUE_TIME("visibility_ms", NATIVE_VISIBILITY_MS_DEFAULT,
               "not acknowledged by then, they are delivered again; 0: only when the session ends"),
    QUEUE_TIME("wait_ms", 0, "waits in line so long for a message; 0: not at all"),
    SESSION,
    END};
FIELDS(queue_claim_answer) = {
    {.name = "messages",
     .type = NATIVE_OBJECTS,
     .help = "each with id, token, key, tries (this one counted), priority, age_ms, and body or, if that is no text, "
             "body_base64; none: there was none in the time given"},
    {.name = "retry_after_ms",
     .type = NATIVE_NUMBER,
     .help = "of no messages: the queue's rate allows the next one then; 0: it is not the rate"},
    END};
FIELDS(queue_ack_fields) = {QUEUE_NAME,
                            {.name = "tokens",
                             .type = NATIVE_NUMBERS,
                             .low = 1,
                             .high = QUEUE_CLAIM_MAX,
                             .required = true,
                             .help = "of the deliveries that are done: all of them, or none"},
                            CLAIMER,
                            END};
FIELDS(queue_nack_fields) = {
    QUEUE_NAME,
    DELIVERY_TOKEN,
    QUEUE_TIME("delay_ms", 0, "not delivered again before"),
    {.name = "unread", .type = NATIVE_BOOL, .help = "it never reached its consumer, so this delivery is no try"},
    CLAIMER,
    END};
FIELDS(queue_extend_fields) = {QUEUE_NAME,
                               DELIVERY_TOKEN,
                               {.name = "visibility_ms",
                                .type = NATIVE_NUMBER,
                                .low = 1,
                                .high = QUEUE_TIME_MS_MAX,
                                .required = true,
                                .help = "from now on"},
                               CLAIMER,
                               END};
FIELDS(queue_dead_letter_fields) = {QUEUE_NAME, DEAD_ID, END};
FIELDS(queue_show_fields) = {
    QUEUE_NAME,
    {.name = "key", .type = NATIVE_TEXT, .high = QUEUE_KEY_BYTES_MAX, .help = "show its messages too"},
    LIST_LIMIT(NATIVE_LIST_DEFAULT, NATIVE_BODIES_DEFAULT),
    END};
#define QUEUE_INFO                                                                                                     \
    ANSWERED("name", TEXT, "the queue"), ANSWERED("messages", NUMBER, "all of them, dead letters too"),                \
        ANSWERED("keys", NUMBER, "that have a message"), ANSWERED("ready", NUMBER, "of the keys"),                     \
        ANSWERED("claimed", NUMBER, "of the keys"), ANSWERED("delayed", NUMBER, "of the keys"),                        \
        ANSWERED("dead", NUMBER, "letters"), ANSWERED("waiters", NUMBER, "claims that wait for a message"),            \
        ANSWERED("tries_max", NUMBER, "as configured, as are all below"), ANSWERED("length_max", NUMBER, "messages"),  \
        ANSWERED("concurrency_max", NUMBER, "claimed at once"), ANSWERED("rate", NUMBER, "deliveries a window"),       \
        ANSWERED("burst", NUMBER, "deliveries at once"), ANSWERED("window_ms", NUMBER, "of the rate"),                 \
        ANSWERED("gap_ms", NUMBER, "how long a number is awaited"),                                                    \
        ANSWERED("numbering_ms", NUMBER, "how long it is remembered"), ANSWERED("merge", TEXT, "none, latest, cancel")
FIELDS(queue_info_fields) = {QUEUE_INFO, END};
FIELDS(queue_show_answer) = {
    QUEUE_INFO,
    {.name = "hot_keys",
     .type = NATIVE_OBJECTS,
     .help =
         "keys with two messages or more, or with one that waits for a number, the deepest first: key, depth, tries "
         "of the first, held (messages that wait for a number, beside its depth), next (the number awaited), token "
         "(claimed; 0: not), session, oldest_ms (age)"},
    MORE,
    {.name = "in_key",
     .type = NATIVE_OBJECTS,
     .help = "the key's messages in order: id, key, priority, age_ms, delay_ms, body; those that wait for an earlier "
             "number last, with their number"},
    END};
FIELDS(queue_list_fields) = {{.name = "after",
                              .type = NATIVE_TEXT,
                              .high = QUEUE_NAME_BYTES_MAX,
                              .help = "behind this one, if it still is; to read on"},
                             LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT),
                             END};
FIELDS(queue_list_answer) = {
    ANSWERED_OF("queues", OBJECTS, queue_info_fields, "as show tells of one, in the order of their making"), MORE, END};
FIELDS(queue_dead_fields) = {
    QUEUE_NAME,
    {.name = "after", .type = NATIVE_NUMBER, .high = INT64_MAX, .help = "ids above this one; to read on"},
    LIST_LIMIT(NATIVE_LIST_DEFAULT, NATIVE_BODIES_DEFAULT),
    END};
FIELDS(queue_dead_answer) = {
    {.name = "dead",
     .type = NATIVE_OBJECTS,
     .help = "by id: id, key, priority, age_ms, tries, dead_ms (for so long), body or body_base64"},
    MORE,
    END};

static const struct native_operation operations[] = {
    {.path = "/v1/queue/configure",
     .about = "Sets a queue's options, all of them; makes the queue. One that was only pushed to has the defaults.",
     .fields = queue_configure_fields,
     .answer = no_fields,
     .errors = "",
     .keyed = true,
     .run = queue_configure_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/delete",
     .about = "Forgets an empty queue's options, and the queue.",
     .fields = queue_delete_fields,
     .answer = no_fields,
     .errors = "not-found not-empty ",
     .keyed = true,
     .run = queue_delete_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/push",
     .about = "Puts a message at the end of its key.",
     .fields = queue_push_fields,
     .answer = queue_push_answer,
     .errors = "full gap session-expired session-moved ",
     .keyed = true,
     .keyed_if = "without number, which does the same",
     .run = queue_push_run,
     .reply = queue_push_reply},
    {.path = "/v1/queue/claim",
     .about = "Gets messages, or waits in line for one. What is not acknowledged in time, or whose session ends, is "
              "delivered again under a larger token, before later messages of its key.",
     .fields = queue_claim_fields,
     .answer = queue_claim_answer,
     .errors = "limit session-expired session-moved ",
     .run = queue_claim_run,
     .reply = queue_claim_reply,
     .gone = queue_claim_gone},
    {.path = "/v1/queue/ack",
     .about = "The messages are done: they leave the queue, and the next ones of their keys may be delivered.",
     .fields = queue_ack_fields,
     .answer = no_fields,
     .errors = "not-claimed session-expired session-moved ",
     .keyed = true,
     .run = queue_ack_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/nack",
     .about = "The message was not done: it is delivered again, or becomes a dead letter after tries_max deliveries.",
     .fields = queue_nack_fields,
     .answer = no_fields,
     .errors = "not-claimed session-expired session-moved ",
     .keyed = true,
     .run = queue_nack_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/extend",
     .about = "The message takes longer: it is not delivered again before visibility_ms from now.",
     .fields = queue_extend_fields,
     .answer = no_fields,
     .errors = "not-claimed session-expired session-moved ",
     .run = queue_extend_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/requeue",
     .about = "Puts a dead letter at the end of its key, with all its tries again.",
     .fields = queue_dead_letter_fields,
     .answer = no_fields,
     .errors = "not-found ",
     .keyed = true,
     .run = queue_requeue_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/drop",
     .about = "Throws a dead letter away.",
     .fields = queue_dead_letter_fields,
     .answer = no_fields,
     .errors = "not-found ",
     .keyed = true,
     .run = queue_drop_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/show",
     .about = "How full a queue is, its options, and its hot keys.",
     .fields = queue_show_fields,
     .answer = queue_show_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = queue_show_read},
    {.path = "/v1/queue/list",
     .about = "All queues.",
     .fields = queue_list_fields,
     .answer = queue_list_answer,
     .errors = "",
     .run = call_read,
     .read = queue_list_read},
    {.path = "/v1/queue/dead",
     .about = "Dead letters, with their bodies.",
     .fields = queue_dead_fields,
     .answer = queue_dead_answer,
     .errors = "",
     .run = call_read,
     .read = queue_dead_read},
};
const struct native_room queue_room = {.operations = operations,
                                       .count = sizeof operations / sizeof operations[0],
                                       .model = MODEL_QUEUE,
                                       .event = on_event};
