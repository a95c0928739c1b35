// Idempotency keys over HTTP: arguments into commands, results and events into answers.
#include "base/assert.h"
#include "protocol/http/view.h"

// A lock's tickets are numbers of their own.
static uint64_t waiting_number(uint64_t ticket) {
    return (uint64_t)MODEL_IDEMPOTENCY << 56 | ticket;
}
static uint64_t waiting_ticket(const struct http_call *call) {
    return call->number & ((1ull << 56) - 1);
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

void idempotency_begin_run(struct http_call *call) {
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
    json_t *json = json_object();
    json_object_set_new(json, "outcome", json_string("run"));
    json_object_set_new(json, "token", json_number(token));
    json_object_set_new(json, "ticket", json_number(ticket));
    json_object_set_new(json, "attempt", json_number(attempt));
    call->token = token;
    call_answer(call, 200, json);
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

void idempotency_begin_reply(struct http_call *call, const struct result *result) {
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

void idempotency_begin_gone(struct http_call *call) {
    if (call->token != 0) {
        give_up(call, call->token);
    } else if (call->number != 0 && call_waiting_for(call->agent->instance, call->number) == NULL) {
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

void idempotency_complete_run(struct http_call *call) {
    struct bytes body;
    if (!call_bytes(call, "body", "body_base64", &body)) return;
    struct writer w;
    writer_init(&w);
    idempotency_write_complete(&w, call_session(call), call_attach_number(call), call_text(call, "key"),
                               call_number(call, "token"), (uint32_t)call_number(call, "status"), body);
    call_submit(call, &w);
}

void idempotency_fail_run(struct http_call *call) {
    struct bytes body;
    if (!call_bytes(call, "body", "body_base64", &body)) return;
    struct writer w;
    writer_init(&w);
    idempotency_write_fail(&w, call_session(call), call_attach_number(call), call_text(call, "key"),
                           call_number(call, "token"), call_number(call, "store") != 0,
                           (uint32_t)call_number(call, "status"), body);
    call_submit(call, &w);
}

void idempotency_extend_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    idempotency_write_extend(&w, call_session(call), call_attach_number(call), call_text(call, "key"),
                             call_number(call, "token"), call_number(call, "lease_ms"));
    call_submit(call, &w);
}

void idempotency_cancel_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    idempotency_write_cancel(&w, call_session(call), call_attach_number(call), call_text(call, "key"),
                             call_number(call, "ticket"));
    call_submit(call, &w);
}

void idempotency_forget_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    idempotency_write_forget(&w, call_text(call, "key"));
    call_submit(call, &w);
}

void idempotency_done_reply(struct http_call *call, const struct result *result) {
    const struct idempotency_result *key = result->value;
    if (result->error != 0) {
        fail(call, result->error, key);
        return;
    }
    json_t *json = json_object();
    bool stores = result->op == IDEMPOTENCY_COMPLETE || result->op == IDEMPOTENCY_FAIL;
    if (stores) json_object_set_new(json, "repeated", json_boolean(key->repeated));
    if (result->op == IDEMPOTENCY_EXTEND) json_object_set_new(json, "attempt", json_number(key->attempt));
    if (result->op == IDEMPOTENCY_CANCEL) {
        bool late = key->outcome == IDEMPOTENCY_RUNS;
        json_object_set_new(json, "runs", json_boolean(late));
        if (late) json_object_set_new(json, "token", json_number(key->token));
    }
    call_answer(call, 200, json);
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

void idempotency_list_read(struct http_call *call) {
    struct native_list list;
    struct idempotency_query query = {.page = call_page(call, &list), .key = list_key, .context = &list};
    ask(call, &query);
    native_list_answer(call, &list, "keys");
}

void idempotency_show_read(struct http_call *call) {
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

void idempotency_event(struct http_instance *instance, const struct idempotency_event *event) {
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
