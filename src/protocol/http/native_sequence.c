// Sequences and ids over HTTP: arguments into commands, results into answers.
#include "base/assert.h"
#include "model/sequence/sequence.h"
#include "protocol/http/native_internal.h"
#include <stdio.h>

static void fail(struct http_call *call, int error, const struct sequence_result *sequence) {
    static const char *const names[] = {[-SEQUENCE_EXHAUSTED] = "exhausted",
                                        [-SEQUENCE_MISMATCH] = "mismatch",
                                        [-SEQUENCE_KEY_NEEDED] = "key-needed",
                                        [-SEQUENCE_RESTORED] = "restored",
                                        [-SEQUENCE_EXISTS] = "exists",
                                        [-SEQUENCE_NOT_FOUND] = "not-found",
                                        [-SEQUENCE_BACKWARD] = "backward",
                                        [-SEQUENCE_NOT_HELD] = "not-held",
                                        [-SEQUENCE_BUSY] = "later",
                                        [-SEQUENCE_LIMIT] = "limit",
                                        [-SEQUENCE_CLOCK] = "clock",
                                        [-SEQUENCE_BAD_ARGUMENTS] = "bad-request"};
    ENSURE(error < 0 && (size_t)-error < sizeof names / sizeof names[0]);
    json_t *members = json_object();
    if (error == SEQUENCE_BUSY) json_object_set_new(members, "retry_ms", json_number(sequence->retry_ms));
    call_fail(call, names[-error], NULL, members);
}

// ---- numbers

void sequence_create_run(struct http_call *call) {
    struct sequence_settings settings = {.name = call_text(call, "name"),
                                         .start = call_number(call, "start"),
                                         .step = call_number(call, "step"),
                                         .ceiling = call_number(call, "ceiling"),
                                         .block_max = (uint32_t)call_number(call, "block_max"),
                                         .gapless = call_number(call, "gapless") != 0};
    if (settings.start > settings.ceiling) {
        call_fail(call, "bad-request", "start is at most the ceiling", NULL);
        return;
    }
    struct writer w;
    writer_init(&w);
    sequence_write_create(&w, &settings);
    call_submit(call, &w);
}

void sequence_next_run(struct http_call *call) {
    struct sequence_request request = {.name = call_text(call, "name"),
                                       .count = (uint32_t)call_number(call, "count"),
                                       .key = call_text(call, "key"),
                                       .fingerprint = call_text(call, "fingerprint"),
                                       .key_ttl_ms = call_number(call, "key_ttl_ms")};
    struct writer w;
    writer_init(&w);
    sequence_write_next(&w, call_session(call), call_attach_number(call), &request);
    call_submit(call, &w);
}

void sequence_next_reply(struct http_call *call, const struct result *result) {
    const struct sequence_result *sequence = result->value;
    if (result->error != 0) {
        fail(call, result->error, sequence);
        return;
    }
    uint64_t last = sequence->first + (sequence->count - 1) * sequence->step;
    json_t *json = json_object();
    json_object_set_new(json, "first", json_number(sequence->first));
    json_object_set_new(json, "last", json_number(last));
    json_object_set_new(json, "step", json_number(sequence->step));
    json_object_set_new(json, "count", json_number(sequence->count));
    json_object_set_new(json, "repeated", json_boolean(sequence->repeated));
    call_answer(call, 200, json);
}

void sequence_set_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    sequence_write_set(&w, call_text(call, "name"), call_number(call, "next"));
    call_submit(call, &w);
}

void sequence_done_reply(struct http_call *call, const struct result *result) {
    if (result->error != 0)
        fail(call, result->error, result->value);
    else
        call_answer(call, 200, json_object());
}

// ---- ids

void sequence_ids_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    sequence_write_ids(&w, call_session(call), call_attach_number(call), (uint32_t)call_number(call, "count"));
    call_submit(call, &w);
}

void sequence_ids_reply(struct http_call *call, const struct result *result) {
    const struct sequence_result *sequence = result->value;
    if (result->error != 0) {
        fail(call, result->error, sequence);
        return;
    }
    json_t *json = json_object(), *ids = json_array();
    for (uint64_t k = 0; k < sequence->count; k++) { // as texts: they are above 2^53, where many readers of JSON round
        char text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)sequence_id_after(sequence->first, k));
        json_array_append_new(ids, json_string(text));
    }
    json_object_set_new(json, "ids", ids);
    call_answer(call, 200, json);
}

void sequence_worker_lease_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    sequence_write_lease(&w, call_session(call), call_attach_number(call), call_text(call, "owner"),
                         call_number(call, "window_ms"));
    call_submit(call, &w);
}

void sequence_worker_renew_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    sequence_write_renew(&w, call_session(call), call_attach_number(call), (uint32_t)call_number(call, "worker"),
                         call_number(call, "token"), call_number(call, "window_ms"));
    call_submit(call, &w);
}

void sequence_worker_reply(struct http_call *call, const struct result *result) {
    const struct sequence_result *sequence = result->value;
    if (result->error != 0) {
        fail(call, result->error, sequence);
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "worker", json_number(sequence->worker));
    json_object_set_new(json, "token", json_number(sequence->token));
    json_object_set_new(json, "from_unix_ms", json_number(sequence->from_ms));
    json_object_set_new(json, "until_unix_ms", json_number(sequence->until_ms));
    call_answer(call, 200, json);
}

void sequence_worker_release_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    sequence_write_release(&w, call_session(call), call_attach_number(call), (uint32_t)call_number(call, "worker"),
                           call_number(call, "token"));
    call_submit(call, &w);
}

// ---- reads

static void list_sequence(void *context, const struct sequence_info *info) {
    struct native_list *list = context;
    if (!native_list_takes(list)) return;
    json_t *json = json_object();
    bool exhausted = info->next > info->ceiling;
    json_object_set_new(json, "name", json_bytes(info->name));
    if (!exhausted) json_object_set_new(json, "next", json_number(info->next));
    json_object_set_new(json, "step", json_number(info->step));
    json_object_set_new(json, "ceiling", json_number(info->ceiling));
    json_object_set_new(json, "block_max", json_number(info->block_max));
    json_object_set_new(json, "gapless", json_boolean(info->gapless));
    json_object_set_new(json, "exhausted", json_boolean(exhausted));
    json_object_set_new(json, "restored", json_boolean(info->restored));
    json_array_append_new(list->items, json);
}

static void ask(struct http_call *call, const struct sequence_query *query) {
    struct result result;
    service_query(call->agent->instance->service, MODEL_SEQUENCE, query, &result);
}

void sequence_list_read(struct http_call *call) {
    struct native_list list;
    struct sequence_query query = {.page = call_page(call, &list), .sequence = list_sequence, .context = &list};
    query.page.name = call_text(call, "name");
    ask(call, &query);
    native_list_answer(call, &list, "sequences");
}

static void list_worker(void *context, const struct sequence_worker_info *info) {
    struct native_list *list = context;
    if (info->token == 0) return; // leased to nobody
    json_t *json = json_object();
    json_object_set_new(json, "worker", json_number(info->worker));
    json_object_set_new(json, "owner", json_bytes(info->owner));
    json_object_set_new(json, "session", json_number(info->session));
    json_object_set_new(json, "token", json_number(info->token));
    json_object_set_new(json, "for_ms", json_number(native_until(info->since_ms, list->now_ms)));
    json_object_set_new(json, "from_unix_ms", json_number(info->from_ms));
    json_object_set_new(json, "until_unix_ms", json_number(info->until_ms));
    json_array_append_new(list->items, json);
}

void sequence_workers_read(struct http_call *call) {
    struct native_list list = {.items = json_array(), .now_ms = native_log_ms(call)};
    struct sequence_query query = {.page = {.max = SEQUENCE_WORKERS}, .worker = list_worker, .context = &list};
    ask(call, &query);
    json_t *json = json_object();
    json_object_set_new(json, "workers", list.items);
    call_answer(call, 200, json);
}
