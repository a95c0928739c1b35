// Idempotency keys over HTTP: arguments into commands, results and events into answers.
#include "base/assert.h"
#include "model/idempotency/idempotency.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include "protocol/http/view.h"

// A lock's tickets are numbers of their own.
static uint64_t waiting_number(uint64_t ticket) {
    return (uint64_t)MODEL_IDEMPOTENCY << 56 | ticket;
}
static uint64_t waiting_ticket(const struct http_call *call) {
    return call_number_waited(call) & ((1ull << 56) - 1);
}

static void fail(struct http_call *call, int error, const struct idempotency_result *key) {
    static const char *const names[] = {
        [-IDEMPOTENCY_IN_PROGRESS] = "in-progress",  [-IDEMPOTENCY_MISMATCH] = "mismatch",
        [-IDEMPOTENCY_NOT_HELD] = "not-held",        [-IDEMPOTENCY_ALREADY] = "already",
        [-IDEMPOTENCY_NOT_FOUND] = "not-found",      [-IDEMPOTENCY_LIMIT] = "limit",
        [-IDEMPOTENCY_BAD_ARGUMENTS] = "bad-request"};
    ENSURE(error < 0 && (size_t)-error < sizeof names / sizeof names[0]);
    json_t *members = json_object();
    if (error == IDEMPOTENCY_IN_PROGRESS) {
        uint64_t now_ms = native_log_ms(call);
        json_object_set_new(members, "token", json_number(key->token));
        json_object_set_new(members, "holder", json_bytes(key->holder));
        json_object_set_new(members, "for_ms", json_number(native_until(key->since_ms, now_ms)));
        if (key->due_ms != NO_DEADLINE)
            json_object_set_new(members, "due_in_ms", json_number(native_until(now_ms, key->due_ms)));
    }
    call_fail(call, names[-error], NULL, members);
}

// ---- begin

static void idempotency_begin_run(struct http_call *call) {
    struct idempotency_request request = {.key = call_text(call, "key"),
                                          .fingerprint = call_text(call, "fingerprint"),
                                          .owner = call_text(call, "owner"),
                                          .ttl_ms = call_number(call, "ttl_ms"),
                                          .lease_ms = call_number(call, "lease_ms"),
                                          .wait_ms = call_number(call, "wait_ms")};
    if (request.lease_ms == 0 && call_session(call) == 0) {
        call_fail(call, "bad-request", "a session or lease_ms is wanted: nothing would ever end it", NULL);
        return;
    }
    struct writer w;
    writer_init(&w);
    idempotency_write_begin(&w, call_session(call), call_attach_number(call), &request);
    call_submit(call, &w);
}

static void runs(struct http_call *call, uint64_t token, uint64_t ticket, uint32_t attempt) {
    struct writer w;
    answer_begin(&w);
    answer_text(&w, "outcome", bytes_of_text("run"));
    answer_number(&w, "token", token);
    answer_number(&w, "ticket", ticket);
    answer_number(&w, "attempt", attempt);
    call->open->token = token;
    call_answer_text(call, &w);
}

static json_t *stored(bool failed, uint32_t status, struct bytes body) {
    json_t *json = json_object();
    json_object_set_new(json, "outcome", json_string("stored"));
    json_object_set_new(json, "failed", json_boolean(failed));
    json_object_set_new(json, "status", json_number(status));
    native_set_bytes(json, "body", "body_base64", body);
    return json;
}

// Nobody heard that it runs. With an owner its retry gets the same run, perhaps got it already at another node: then
// only the lease may end it, or two would run at the same time.
static void give_up(struct http_call *call, uint64_t token) {
    if (call_text(call, "owner").len == 0) {
        struct writer w;
        writer_init(&w);
        idempotency_write_fail(&w, call_session(call), call_attach_number(call), call_text(call, "key"), token, false,
                               0, bytes_of("", 0));
        agent_submit(call->agent, &w);
    }
    call_end(call);
}

static void idempotency_begin_reply(struct http_call *call, const struct result *result) {
    const struct idempotency_result *key = result->value;
    if (result->op == IDEMPOTENCY_CANCEL) { // nobody is there any more; it may run meanwhile
        if (result->error == 0 && key->outcome == IDEMPOTENCY_RUNS)
            give_up(call, key->token);
        else
            call_end(call);
    } else if (result->error != 0) {
        fail(call, result->error, key);
    } else if (key->outcome == IDEMPOTENCY_RUNS) {
        runs(call, key->token, key->ticket, key->attempt);
    } else if (key->outcome == IDEMPOTENCY_STORED) {
        call_answer(call, 200, stored(key->failed, key->status, key->body));
    } else {
        call_wait(call, waiting_number(key->ticket));
    }
}

static void idempotency_begin_gone(struct http_call *call) {
    if (call->open->token != 0) {
        give_up(call, call->open->token);
    } else if (call_number_waited(call) != 0 &&
               call_waiting_for(call->agent->instance, call_number_waited(call)) == NULL) {
        struct writer w;
        writer_init(&w);
        idempotency_write_cancel(&w, call_session(call), call_attach_number(call), call_text(call, "key"),
                                 waiting_ticket(call));
        call_submit(call, &w);
    } else {
        call_end(call); // another one waits in the same place, or there was only an answer to hear
    }
}

// ---- what ends it

static void idempotency_complete_run(struct http_call *call) {
    struct bytes body;
    if (!call_bytes(call, "body", "body_base64", &body)) return;
    struct writer w;
    writer_init(&w);
    idempotency_write_complete(&w, call_session(call), call_attach_number(call), call_text(call, "key"),
                               call_number(call, "token"), (uint32_t)call_number(call, "status"), body);
    call_submit(call, &w);
}

static void idempotency_fail_run(struct http_call *call) {
    struct bytes body;
    if (!call_bytes(call, "body", "body_base64", &body)) return;
    struct writer w;
    writer_init(&w);
    idempotency_write_fail(&w, call_session(call), call_attach_number(call), call_text(call, "key"),
                           call_number(call, "token"), call_number(call, "store") != 0,
                           (uint32_t)call_number(call, "status"), body);
    call_submit(call, &w);
}

static void idempotency_extend_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    idempotency_write_extend(&w, call_session(call), call_attach_number(call), call_text(call, "key"),
                             call_number(call, "token"), call_number(call, "lease_ms"));
    call_submit(call, &w);
}

static void idempotency_cancel_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    idempotency_write_cancel(&w, call_session(call), call_attach_number(call), call_text(call, "key"),
                             call_number(call, "ticket"));
    call_submit(call, &w);
}

static void idempotency_forget_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    idempotency_write_forget(&w, call_text(call, "key"));
    call_submit(call, &w);
}

static void idempotency_done_reply(struct http_call *call, const struct result *result) {
    const struct idempotency_result *key = result->value;
    if (result->error != 0) {
        fail(call, result->error, key);
        return;
    }
    struct writer w;
    bool stores = result->op == IDEMPOTENCY_COMPLETE || result->op == IDEMPOTENCY_FAIL;
    answer_begin(&w);
    if (stores) answer_bool(&w, "repeated", key->repeated);
    if (result->op == IDEMPOTENCY_EXTEND) answer_number(&w, "attempt", key->attempt);
    if (result->op == IDEMPOTENCY_CANCEL) {
        bool late = key->outcome == IDEMPOTENCY_RUNS;
        answer_bool(&w, "runs", late);
        if (late) answer_number(&w, "token", key->token);
    }
    call_answer_text(call, &w);
}

// ---- reads: as of a moment after the request came

json_t *idempotency_json(const struct idempotency_info *info, uint64_t now_ms) {
    json_t *json = json_object();
    const char *state = info->outcome == IDEMPOTENCY_RUNS     ? "running"
                        : info->outcome == IDEMPOTENCY_STORED ? "stored"
                                                              : "free";
    json_object_set_new(json, "key", json_bytes(info->key));
    json_object_set_new(json, "state", json_string(state));
    json_object_set_new(json, "holder", json_bytes(info->holder));
    json_object_set_new(json, "session", json_number(info->session));
    json_object_set_new(json, "token", json_number(info->token));
    json_object_set_new(json, "attempts", json_number(info->attempts));
    json_object_set_new(json, "waiters", json_number(info->waiters));
    json_object_set_new(json, "failed", json_boolean(info->failed));
    json_object_set_new(json, "status", json_number(info->status));
    json_object_set_new(json, "for_ms", json_number(native_until(info->since_ms, now_ms)));
    uint64_t due_ms = info->due_ms == NO_DEADLINE ? 0 : native_until(now_ms, info->due_ms);
    json_object_set_new(json, "due_in_ms", json_number(due_ms));
    return json;
}

static void list_key(void *context, const struct idempotency_info *info) {
    struct native_list *list = context;
    if (native_list_takes(list)) json_array_append_new(list->items, idempotency_json(info, list->now_ms));
}

static void show_key(void *context, const struct idempotency_info *info) {
    struct native_list *list = context;
    json_t *json = idempotency_json(info, list->now_ms);
    if (info->outcome == IDEMPOTENCY_STORED) native_set_bytes(json, "body", "body_base64", info->body);
    json_array_append_new(list->items, json);
}

static void ask(struct http_call *call, const struct idempotency_query *query) {
    struct result result;
    service_query(call->agent->instance->service, MODEL_IDEMPOTENCY, query, &result);
}

static void idempotency_list_read(struct http_call *call) {
    struct native_list list;
    struct idempotency_query query = {.page = call_page(call, &list), .key = list_key, .context = &list};
    ask(call, &query);
    native_list_answer(call, &list, "keys");
}

static void idempotency_show_read(struct http_call *call) {
    struct native_list list = {.items = json_array(), .now_ms = native_log_ms(call)};
    struct idempotency_query query = {
        .page = {.name = call_text(call, "key"), .max = 1}, .key = show_key, .context = &list};
    ask(call, &query);
    json_t *found = json_incref(json_array_get(list.items, 0));
    json_decref(list.items);
    if (found == NULL)
        call_fail(call, "not-found", NULL, NULL);
    else
        call_answer(call, 200, found);
}

// ---- events

static void on_event(struct http_instance *instance, const void *value) {
    const struct idempotency_event *event = value;
    struct http_call *call;
    if (event->type == IDEMPOTENCY_EVENT_LOST) return; // its holder hears it from extend or complete
    while ((call = call_waiting_for(instance, waiting_number(event->ticket))) != NULL) {
        if (event->type == IDEMPOTENCY_EVENT_RUN)
            runs(call, event->token, event->ticket, event->attempt);
        else if (event->type == IDEMPOTENCY_EVENT_DONE)
            call_answer(call, 200, stored(event->failed, event->status, event->body));
        else
            call_fail(call, event->type == IDEMPOTENCY_EVENT_TIMED_OUT ? "timed-out" : "cancelled", NULL, NULL);
    }
}

// ---- the table
#define IDEMPOTENCY_KEY                                                                                                \
    {                                                                                                                  \
        .name = "key", .type = NATIVE_TEXT, .low = 1, .high = IDEMPOTENCY_KEY_BYTES_MAX, .required = true,             \
        .help = "what is to be done once"                                                                              \
    }
#define IDEMPOTENCY_TOKEN                                                                                              \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true,                         \
        .help = "of the run, as begin gave it"                                                                         \
    }
#define IDEMPOTENCY_RESULT                                                                                             \
    {.name = "status", .type = NATIVE_NUMBER, .high = UINT32_MAX, .help = "a number of the caller's, stored"},         \
        {.name = "body",                                                                                               \
         .type = NATIVE_TEXT,                                                                                          \
         .high = IDEMPOTENCY_BODY_BYTES_MAX,                                                                           \
         .help = "what later callers get: at most 64 KiB of text"},                                                    \
    {                                                                                                                  \
        .name = "body_base64", .type = NATIVE_BASE64, .high = IDEMPOTENCY_BODY_BYTES_MAX, .help = "or these bytes"     \
    }
FIELDS(idempotency_begin_fields) = {
    IDEMPOTENCY_KEY,
    {.name = "fingerprint",
     .type = NATIVE_TEXT,
     .high = IDEMPOTENCY_FINGERPRINT_BYTES_MAX,
     .help = "of the request (a hash, say): the key with another one is a mistake"},
    {.name = "owner",
     .type = NATIVE_TEXT,
     .high = IDEMPOTENCY_OWNER_BYTES_MAX,
     .help = "chosen anew for each call (a random text): its retry gets the same run, or place in line, at any node"},
    SESSION,
    {.name = "lease_ms",
     .type = NATIVE_NUMBER,
     .high = IDEMPOTENCY_LEASE_MS_MAX,
     .standard = 30000,
     .help = "another may run after so long without extend; 0: when the session ends"},
    {.name = "ttl_ms",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = IDEMPOTENCY_TTL_MS_MAX,
     .standard = ONE_DAY_MS,
     .help = "what is stored stays so long"},
    {.name = "wait_ms",
     .type = NATIVE_NUMBER,
     .high = IDEMPOTENCY_WAIT_MS_MAX,
     .help = "waits so long for a run under way; 0: not at all. Who closes the connection waits no longer"},
    END};
FIELDS(idempotency_begin_answer) = {
    {.name = "outcome", .type = NATIVE_TEXT, .help = "run: do it, then complete or fail; stored: it was done"},
    {.name = "token", .type = NATIVE_NUMBER, .help = "run: larger than that of every run before"},
    {.name = "ticket", .type = NATIVE_NUMBER, .help = "run: number of the call"},
    {.name = "attempt",
     .type = NATIVE_NUMBER,
     .help = "run: 1 for the first; above it, one before was lost or failed and may have done a part"},
    {.name = "status", .type = NATIVE_NUMBER, .help = "stored: as it was given"},
    {.name = "failed", .type = NATIVE_BOOL, .help = "stored: by fail"},
    {.name = "body", .type = NATIVE_TEXT, .help = "stored: text (UTF-8 without a zero byte)"},
    {.name = "body_base64", .type = NATIVE_TEXT, .help = "stored: any other bytes"},
    END};
FIELDS(idempotency_complete_fields) = {IDEMPOTENCY_KEY, IDEMPOTENCY_TOKEN, IDEMPOTENCY_RESULT, END};
FIELDS(idempotency_fail_fields) = {
    IDEMPOTENCY_KEY,
    IDEMPOTENCY_TOKEN,
    {.name = "store",
     .type = NATIVE_BOOL,
     .help = "later callers get this failure; else the key is free, and who waits runs next"},
    IDEMPOTENCY_RESULT,
    END};
FIELDS(idempotency_store_answer) = {
    {.name = "repeated", .type = NATIVE_BOOL, .help = "it was stored before, alike: this is a retry"}, END};
FIELDS(idempotency_extend_fields) = {IDEMPOTENCY_KEY,
                                     IDEMPOTENCY_TOKEN,
                                     {.name = "lease_ms",
                                      .type = NATIVE_NUMBER,
                                      .low = 1,
                                      .high = IDEMPOTENCY_LEASE_MS_MAX,
                                      .required = true,
                                      .help = "from now on"},
                                     END};
FIELDS(idempotency_extend_answer) = {{.name = "attempt", .type = NATIVE_NUMBER, .help = "of the run"}, END};
FIELDS(idempotency_cancel_fields) = {IDEMPOTENCY_KEY,
                                     {.name = "ticket",
                                      .type = NATIVE_NUMBER,
                                      .low = 1,
                                      .high = INT64_MAX,
                                      .required = true,
                                      .help = "of the call that waits"},
                                     END};
FIELDS(idempotency_cancel_answer) = {{.name = "runs", .type = NATIVE_BOOL, .help = "too late: it runs"},
                                     {.name = "token", .type = NATIVE_NUMBER, .help = "of the run, if so"},
                                     END};
FIELDS(idempotency_key_fields) = {IDEMPOTENCY_KEY, END};
FIELDS(idempotency_show_answer) = {
    {.name = "key", .type = NATIVE_TEXT, .help = "the key"},
    {.name = "state", .type = NATIVE_TEXT, .help = "running, stored, or free (a run was lost, or gave up)"},
    {.name = "holder", .type = NATIVE_TEXT, .help = "who runs: the owner's text"},
    {.name = "session", .type = NATIVE_NUMBER, .help = "of who runs; 0: none"},
    {.name = "token", .type = NATIVE_NUMBER, .help = "of the newest run"},
    {.name = "attempts", .type = NATIVE_NUMBER, .help = "how many runs there were"},
    {.name = "waiters", .type = NATIVE_NUMBER, .help = "how many"},
    {.name = "failed", .type = NATIVE_BOOL, .help = "stored by fail"},
    {.name = "status", .type = NATIVE_NUMBER, .help = "stored"},
    {.name = "for_ms", .type = NATIVE_NUMBER, .help = "in this state for so long"},
    {.name = "due_in_ms",
     .type = NATIVE_NUMBER,
     .help = "the run's lease, or the key, ends in so long; 0: not by time"},
    {.name = "body", .type = NATIVE_TEXT, .help = "stored (or body_base64)"},
    END};
FIELDS(idempotency_list_fields) = {PAGE_PREFIX, PAGE_AFTER, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), END};
FIELDS(idempotency_list_answer) = {
    {.name = "keys", .type = NATIVE_OBJECTS, .help = "each as `show` says it, without its body"}, MORE, END};

static const struct native_operation operations[] = {
    {.path = "/v1/idempotency/begin",
     .about = "Of all who begin under one key, one runs; the others wait for what it stores, or are told that it is "
              "under way; later ones get what was stored.",
     .fields = idempotency_begin_fields,
     .answer = idempotency_begin_answer,
     .errors = "in-progress mismatch timed-out cancelled limit session-expired session-moved ",
     .run = idempotency_begin_run,
     .reply = idempotency_begin_reply,
     .kept = "key owner ",
     .gone = idempotency_begin_gone},
    {.path = "/v1/idempotency/complete",
     .about = "Stores the run's result, for all who wait and all who come later. Refused when a newer run began.",
     .fields = idempotency_complete_fields,
     .answer = idempotency_store_answer,
     .errors = "not-held already ",
     .run = idempotency_complete_run,
     .reply = idempotency_done_reply},
    {.path = "/v1/idempotency/fail",
     .about = "The run failed: frees the key, or stores the failure.",
     .fields = idempotency_fail_fields,
     .answer = idempotency_store_answer,
     .errors = "not-held already ",
     .run = idempotency_fail_run,
     .reply = idempotency_done_reply},
    {.path = "/v1/idempotency/extend",
     .about = "Lets the run go on. Refused when its lease is over and another may run.",
     .fields = idempotency_extend_fields,
     .answer = idempotency_extend_answer,
     .errors = "not-held ",
     .run = idempotency_extend_run,
     .reply = idempotency_done_reply},
    {.path = "/v1/idempotency/cancel",
     .about = "Waits no longer: the begin that waits is told, at whatever node.",
     .fields = idempotency_cancel_fields,
     .answer = idempotency_cancel_answer,
     .errors = "not-found ",
     .run = idempotency_cancel_run,
     .reply = idempotency_done_reply},
    {.path = "/v1/idempotency/forget",
     .about = "An operator drops what is stored: the next begin runs.",
     .fields = idempotency_key_fields,
     .answer = no_fields,
     .errors = "not-found in-progress forbidden ",
     .administration = true,
     .run = idempotency_forget_run,
     .reply = idempotency_done_reply},
    {.path = "/v1/idempotency/show",
     .about = "What is known of a key.",
     .fields = idempotency_key_fields,
     .answer = idempotency_show_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = idempotency_show_read},
    {.path = "/v1/idempotency/list",
     .about = "Keys, in their order.",
     .fields = idempotency_list_fields,
     .answer = idempotency_list_answer,
     .errors = "",
     .run = call_read,
     .read = idempotency_list_read},
};
const struct native_room idempotency_room = {.operations = operations,
                                             .count = sizeof operations / sizeof operations[0],
                                             .model = MODEL_IDEMPOTENCY,
                                             .event = on_event};
