// Sequences and ids over HTTP: arguments into commands, results into answers.
#include "base/assert.h"
#include "model/sequence/sequence.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include "protocol/http/view.h"
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

static void sequence_create_run(struct http_call *call) {
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

static void sequence_next_run(struct http_call *call) {
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

static void sequence_next_reply(struct http_call *call, const struct result *result) {
    const struct sequence_result *sequence = result->value;
    if (result->error != 0) {
        fail(call, result->error, sequence);
        return;
    }
    uint64_t last = sequence->first + (sequence->count - 1) * sequence->step;
    struct writer w;
    answer_begin(&w);
    answer_number(&w, "first", sequence->first);
    answer_number(&w, "last", last);
    answer_number(&w, "step", sequence->step);
    answer_number(&w, "count", sequence->count);
    answer_bool(&w, "repeated", sequence->repeated);
    call_answer_text(call, &w);
}

static void sequence_set_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    sequence_write_set(&w, call_text(call, "name"), call_number(call, "next"));
    call_submit(call, &w);
}

static void sequence_done_reply(struct http_call *call, const struct result *result) {
    if (result->error != 0)
        fail(call, result->error, result->value);
    else
        call_answer(call, 200, json_object());
}

// ---- ids

static void sequence_ids_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    sequence_write_ids(&w, call_session(call), call_attach_number(call), (uint32_t)call_number(call, "count"));
    call_submit(call, &w);
}

static void sequence_ids_reply(struct http_call *call, const struct result *result) {
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

static void sequence_worker_lease_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    sequence_write_lease(&w, call_session(call), call_attach_number(call), call_text(call, "owner"),
                         call_number(call, "window_ms"));
    call_submit(call, &w);
}

static void sequence_worker_renew_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    sequence_write_renew(&w, call_session(call), call_attach_number(call), (uint32_t)call_number(call, "worker"),
                         call_number(call, "token"), call_number(call, "window_ms"));
    call_submit(call, &w);
}

static void sequence_worker_reply(struct http_call *call, const struct result *result) {
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

static void sequence_worker_release_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    sequence_write_release(&w, call_session(call), call_attach_number(call), (uint32_t)call_number(call, "worker"),
                           call_number(call, "token"));
    call_submit(call, &w);
}

// ---- reads

json_t *sequence_json(const struct sequence_info *info) {
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
    return json;
}

static void list_sequence(void *context, const struct sequence_info *info) {
    struct native_list *list = context;
    if (native_list_takes(list)) json_array_append_new(list->items, sequence_json(info));
}

static void ask(struct http_call *call, const struct sequence_query *query) {
    struct result result;
    service_query(call->agent->instance->service, MODEL_SEQUENCE, query, &result);
}

static void sequence_list_read(struct http_call *call) {
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

static void sequence_workers_read(struct http_call *call) {
    struct native_list list = {.items = json_array(), .now_ms = native_log_ms(call)};
    struct sequence_query query = {.page = {.max = SEQUENCE_WORKERS}, .worker = list_worker, .context = &list};
    ask(call, &query);
    json_t *json = json_object();
    json_object_set_new(json, "workers", list.items);
    call_answer(call, 200, json);
}

// ---- the table
#define SEQUENCE_NAME                                                                                                  \
    {                                                                                                                  \
        .name = "name", .type = NATIVE_TEXT, .low = 1, .high = SEQUENCE_NAME_BYTES_MAX, .required = true,              \
        .help = "the sequence"                                                                                         \
    }
#define SEQUENCE_WINDOW                                                                                                \
    {                                                                                                                  \
        .name = "window_ms", .type = NATIVE_NUMBER, .low = 1, .high = SEQUENCE_WINDOW_MS_MAX, .standard = 60000,       \
        .help = "the range of time reaches so far from now on; without a session the lease ends then"                  \
    }
#define SEQUENCE_WORKER                                                                                                \
    {                                                                                                                  \
        .name = "worker", .type = NATIVE_NUMBER, .low = 1, .high = SEQUENCE_WORKERS - 1, .required = true,             \
        .help = "the worker's number"                                                                                  \
    }
#define SEQUENCE_TOKEN                                                                                                 \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true,                         \
        .help = "of the worker's lease"                                                                                \
    }
FIELDS(sequence_create_fields) = {
    SEQUENCE_NAME,
    {.name = "start", .type = NATIVE_NUMBER, .high = SEQUENCE_CEILING_MAX, .standard = 1, .help = "the first number"},
    {.name = "step",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = SEQUENCE_STEP_MAX,
     .standard = 1,
     .help = "from one number to the next"},
    {.name = "ceiling",
     .type = NATIVE_NUMBER,
     .high = SEQUENCE_CEILING_MAX,
     .standard = SEQUENCE_CEILING_MAX,
     .help = "the last number at most"},
    {.name = "block_max",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = SEQUENCE_BLOCK_MAX,
     .standard = SEQUENCE_BLOCK_DEFAULT,
     .help = "so many numbers in one `next` at most; a restore from a backup skips 2^40 "
             "times as many"},
    {.name = "gapless", .type = NATIVE_BOOL, .help = "gives numbers only under a key, and so none is lost"},
    END};
FIELDS(sequence_next_fields) = {SEQUENCE_NAME,
                                {.name = "count",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = SEQUENCE_BLOCK_MAX,
                                 .standard = 1,
                                 .help = "so many numbers; at most the sequence's block_max"},
                                {.name = "key",
                                 .type = NATIVE_TEXT,
                                 .low = 1,
                                 .high = REMEMBER_ID_BYTES_MAX,
                                 .help = "what the numbers are for: a retry under the key gets the same ones"},
                                {.name = "fingerprint",
                                 .type = NATIVE_TEXT,
                                 .high = REMEMBER_FINGERPRINT_BYTES_MAX,
                                 .help = "of the request: the key with another one is a mistake"},
                                {.name = "key_ttl_ms",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = REMEMBER_TTL_MS_MAX,
                                 .standard = ONE_DAY_MS,
                                 .help = "so long the key is known"},
                                END};
FIELDS(sequence_next_answer) = {
    {.name = "first", .type = NATIVE_NUMBER, .help = "the first number; then first + step, and so on"},
    {.name = "last", .type = NATIVE_NUMBER, .help = "the last one"},
    {.name = "step", .type = NATIVE_NUMBER, .help = "from one to the next"},
    {.name = "count", .type = NATIVE_NUMBER, .help = "how many"},
    {.name = "repeated", .type = NATIVE_BOOL, .help = "the key was used before: these are its numbers"},
    END};
FIELDS(sequence_set_fields) = {SEQUENCE_NAME,
                               {.name = "next",
                                .type = NATIVE_NUMBER,
                                .high = SEQUENCE_CEILING_MAX,
                                .required = true,
                                .help = "the number that is given next; only forward"},
                               END};
FIELDS(sequence_ids_fields) = {
    {.name = "count", .type = NATIVE_NUMBER, .low = 1, .high = SEQUENCE_IDS_MAX, .standard = 1, .help = "how many"},
    END};
FIELDS(sequence_ids_answer) = {{.name = "ids",
                                .type = NATIVE_TEXTS,
                                .low = 1,
                                .high = SEQUENCE_IDS_MAX,
                                .help = "decimal, as strings: they are above 2^53"},
                               END};
FIELDS(sequence_worker_lease_fields) = {{.name = "owner",
                                         .type = NATIVE_TEXT,
                                         .high = SEQUENCE_OWNER_BYTES_MAX,
                                         .help = "who it is, for the list of workers"},
                                        SEQUENCE_WINDOW,
                                        SESSION,
                                        END};
FIELDS(sequence_worker_renew_fields) = {SEQUENCE_WORKER, SEQUENCE_TOKEN, SEQUENCE_WINDOW, SESSION, END};
FIELDS(sequence_worker_release_fields) = {SEQUENCE_WORKER, SEQUENCE_TOKEN, SESSION, END};
FIELDS(sequence_worker_answer) = {
    {.name = "worker", .type = NATIVE_NUMBER, .help = "the number that stands in its ids"},
    {.name = "token", .type = NATIVE_NUMBER, .help = "of the lease"},
    {.name = "from_unix_ms", .type = NATIVE_NUMBER, .help = "ids may be made with times from here on"},
    {.name = "until_unix_ms", .type = NATIVE_NUMBER, .help = "and before this"},
    END};
FIELDS(sequence_list_fields) = {
    {.name = "name", .type = NATIVE_TEXT, .high = SEQUENCE_NAME_BYTES_MAX, .help = "only this one"},
    PAGE_PREFIX,
    PAGE_AFTER,
    LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT),
    END};
FIELDS(sequence_list_answer) = {{.name = "sequences",
                                 .type = NATIVE_OBJECTS,
                                 .help = "each with name, next (none when exhausted), step, ceiling, block_max, "
                                         "gapless, exhausted and restored (its next use jumps, or waits for `set`)"},
                                MORE,
                                END};
FIELDS(sequence_workers_answer) = {
    {.name = "workers",
     .type = NATIVE_OBJECTS,
     .help = "each with worker, owner, session (its number; 0: none), token, for_ms, from_unix_ms and until_unix_ms"},
    END};

static const struct native_operation operations[] = {
    {.path = "/v1/sequence/create",
     .about = "Makes a sequence. One that is there with the same settings is no error.",
     .fields = sequence_create_fields,
     .answer = no_fields,
     .errors = "exists ",
     .keyed = true,
     .run = sequence_create_run,
     .reply = sequence_done_reply},
    {.path = "/v1/sequence/next",
     .about = "Gives numbers that were never given before. A sequence that is not there is made: gapless if a key is "
              "given. A retry without a key gets other numbers.",
     .fields = sequence_next_fields,
     .answer = sequence_next_answer,
     .errors = "exhausted mismatch key-needed restored limit ",
     .keyed = true,
     .run = sequence_next_run,
     .reply = sequence_next_reply},
    {.path = "/v1/sequence/set",
     .about = "An operator's word that the next number is this; only forward. A gapless sequence wants it after a "
              "restore from a backup.",
     .fields = sequence_set_fields,
     .answer = no_fields,
     .errors = "not-found backward forbidden ",
     .administration = true,
     .keyed = true,
     .run = sequence_set_run,
     .reply = sequence_done_reply},
    {.path = "/v1/sequence/ids",
     .about = "Ids of 63 bits in the order of time: milliseconds since 2024 (41), worker (10), count (12).",
     .fields = sequence_ids_fields,
     .answer = sequence_ids_answer,
     .errors = "later clock ",
     .run = sequence_ids_run,
     .reply = sequence_ids_reply},
    {.path = "/v1/sequence/worker_lease",
     .about = "Leases a worker's number, for making ids with times in its range without asking.",
     .fields = sequence_worker_lease_fields,
     .answer = sequence_worker_answer,
     .errors = "later clock session-expired session-moved ",
     .run = sequence_worker_lease_run,
     .reply = sequence_worker_reply},
    {.path = "/v1/sequence/worker_renew",
     .about = "Moves the end of the worker's range on.",
     .fields = sequence_worker_renew_fields,
     .answer = sequence_worker_answer,
     .errors = "not-held clock session-expired session-moved ",
     .run = sequence_worker_renew_run,
     .reply = sequence_worker_reply},
    {.path = "/v1/sequence/worker_release",
     .about = "Gives the number back: another gets it when its range is over.",
     .fields = sequence_worker_release_fields,
     .answer = no_fields,
     .errors = "not-held session-expired session-moved ",
     .run = sequence_worker_release_run,
     .reply = sequence_done_reply},
    {.path = "/v1/sequence/list",
     .about = "Sequences, in the order of their names.",
     .fields = sequence_list_fields,
     .answer = sequence_list_answer,
     .errors = "",
     .run = call_read,
     .read = sequence_list_read},
    {.path = "/v1/sequence/workers",
     .about = "Who has leased a worker's number.",
     .fields = no_fields,
     .answer = sequence_workers_answer,
     .errors = "",
     .run = call_read,
     .read = sequence_workers_read},
};
const struct native_room sequence_room = {.operations = operations, .count = sizeof operations / sizeof operations[0]};
