// One-time tokens, guarded states, versioned values and bounded counters over HTTP.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/guard/guard.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_BYTES 16u // 128 random bits are not guessed

// ---- results

static void set_signed(json_t *json, const char *name, int64_t number) {
    json_object_set_new(json, name, json_integer(number));
}
static void set_text(json_t *json, const char *name, struct bytes text) {
    json_object_set_new(json, name, json_bytes(text));
}
static void set_number(json_t *json, const char *name, uint64_t number) {
    json_object_set_new(json, name, json_number(number));
}

static json_t *error_members(int error, const struct guard_result *guard) {
    json_t *json = json_object();
    if (error == GUARD_CONSUMED) {
        set_signed(json, "at_unix_ms", guard->at_unix_ms);
        set_text(json, "by", guard->by);
    }
    if (error == GUARD_STATE) set_text(json, "state", guard->state);
    if (error == GUARD_STATE || error == GUARD_VERSION || error == GUARD_OLD_TOKEN)
        set_number(json, "version", guard->version);
    if (error == GUARD_VERSION && guard->version != 0) native_set_bytes(json, "value", "value_base64", guard->value);
    if (error == GUARD_OLD_TOKEN) set_number(json, "token", guard->token);
    if (error == GUARD_BELOW || error == GUARD_ABOVE) {
        set_text(json, "name", guard->refused);
        set_signed(json, "value", guard->rest);
    }
    return json;
}

static void fail(struct http_call *call, int error, const struct guard_result *guard) {
    static const char *const names[] = {[-GUARD_NOT_FOUND] = "not-found",
                                        [-GUARD_CONSUMED] = "consumed",
                                        [-GUARD_MISMATCH] = "mismatch",
                                        [-GUARD_EXISTS] = "exists",
                                        [-GUARD_STATE] = "state",
                                        [-GUARD_VERSION] = "version",
                                        [-GUARD_OLD_TOKEN] = "old-token",
                                        [-GUARD_BELOW] = "below",
                                        [-GUARD_ABOVE] = "above",
                                        [-GUARD_LIMIT] = "limit",
                                        [-GUARD_BAD_ARGUMENTS] = "bad-request"};
    ENSURE(error < 0 && (size_t)-error < sizeof names / sizeof names[0]);
    call_fail(call, names[-error], NULL, error_members(error, guard));
}

static struct guard_addition *additions_of(const struct http_call *call, size_t *count);

// The values after an addition, under the names as they were applied.
static json_t *values_json(const struct http_call *call, const struct guard_result *guard) {
    size_t count;
    json_t *json = json_object();
    struct guard_addition *additions = additions_of(call, &count);
    ENSURE(count == guard->value_count);
    for (size_t i = 0; i < count; i++) {
        char name[GUARD_NAME_BYTES_MAX + 1];
        snprintf(name, sizeof name, "%.*s", (int)additions[i].name.len, (const char *)additions[i].name.data);
        set_signed(json, name, guard->values[i]);
    }
    mem_free(additions);
    return json;
}

static void guard_reply(struct http_call *call, const struct result *result) {
    const struct guard_result *guard = result->value;
    if (result->error != 0) {
        fail(call, result->error, guard);
        return;
    }
    json_t *json = json_object();
    if (result->op == GUARD_ISSUE) json_object_set(json, "tokens", json_object_get(call->open->body, "tokens"));
    if (result->op == GUARD_TRANSITION) {
        set_text(json, "state", guard->state);
        json_object_set_new(json, "repeated", json_boolean(guard->repeated));
    }
    if (result->op == GUARD_TRANSITION || result->op == GUARD_PUT) set_number(json, "version", guard->version);
    if (result->op == GUARD_COUNTER_ADD) {
        json_object_set_new(json, "values", values_json(call, guard));
        json_object_set_new(json, "repeated", json_boolean(guard->repeated));
    }
    call_answer(call, 200, json);
}

// ---- tokens

// The call's body keeps them until it is known that they were issued.
static void guard_issue_run(struct http_call *call) {
    uint8_t random[TOKEN_BYTES];
    char text[2 * TOKEN_BYTES + 1];
    struct bytes tokens[GUARD_TOKENS_MAX];
    size_t count = (size_t)call_number(call, "count");
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        service_random(call->agent->instance->service, random, sizeof random);
        for (size_t k = 0; k < TOKEN_BYTES; k++) snprintf(text + 2 * k, 3, "%02x", random[k]);
        json_t *token = json_string(text);
        json_array_append_new(list, token);
        tokens[i] = bytes_of_text(json_string_value(token));
    }
    if (call->open->body == NULL) call->open->body = json_object();
    json_object_set_new(call->open->body, "tokens", list);
    struct writer w;
    writer_init(&w);
    guard_write_issue(&w, call_session(call), call_attach_number(call), call_text(call, "purpose"),
                      call_number(call, "ttl_ms"), tokens, count);
    call_submit(call, &w);
}

static void guard_consume_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    guard_write_consume(&w, call_session(call), call_attach_number(call), call_text(call, "token"),
                        call_text(call, "purpose"), call_text(call, "caller"));
    call_submit(call, &w);
}

// ---- states

static void guard_transition_run(struct http_call *call) {
    struct guard_transition transition = {.entity = call_text(call, "entity"),
                                          .from = call_text(call, "from"),
                                          .to = call_text(call, "to"),
                                          .request = call_text(call, "request"),
                                          .caller = call_text(call, "caller"),
                                          .ttl_ms = call_number(call, "ttl_ms")};
    struct writer w;
    writer_init(&w);
    guard_write_transition(&w, call_session(call), call_attach_number(call), &transition);
    call_submit(call, &w);
}

static void guard_entity_delete_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    guard_write_entity_delete(&w, call_session(call), call_attach_number(call), call_text(call, "entity"),
                              call_text(call, "state"));
    call_submit(call, &w);
}

// ---- values

static void guard_put_run(struct http_call *call) {
    struct bytes value;
    if (!call_bytes(call, "value", "value_base64", &value)) return;
    struct writer w;
    writer_init(&w);
    guard_write_put(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                    call_number(call, "version"), call_number(call, "token"), value);
    call_submit(call, &w);
}

static void guard_delete_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    guard_write_delete(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                       call_number(call, "version"), call_number(call, "token"));
    call_submit(call, &w);
}

// ---- counters

static void guard_counter_set_run(struct http_call *call) {
    int64_t value = (int64_t)call_number(call, "value"), floor = (int64_t)call_number(call, "floor");
    int64_t ceiling = (int64_t)call_number(call, "ceiling");
    if (value < floor || value > ceiling) {
        call_fail(call, "bad-request", "value is from floor to ceiling", NULL);
        return;
    }
    struct writer w;
    writer_init(&w);
    guard_write_counter_set(&w, call_text(call, "name"), value, floor, ceiling);
    call_submit(call, &w);
}

static int by_name(const void *a, const void *b) {
    const struct guard_addition *one = a, *other = b;
    return strcmp((const char *)one->name.data, (const char *)other->name.data); // of JSON: a zero ends them
}

// In the order of names: a retry is the same request in whatever order its JSON names them. To be freed.
static struct guard_addition *additions_of(const struct http_call *call, size_t *count) {
    json_t *deltas = json_object_get(call->open->body, "deltas"), *delta;
    const char *name;
    struct guard_addition *additions = mem_alloc(json_object_size(deltas) * sizeof *additions);
    *count = 0;
    json_object_foreach(deltas, name, delta) {
        additions[(*count)++] = (struct guard_addition){bytes_of_text(name), json_integer_value(delta)};
    }
    qsort(additions, *count, sizeof *additions, by_name);
    return additions;
}

static void guard_counter_add_run(struct http_call *call) {
    size_t count;
    struct guard_addition *additions = additions_of(call, &count);
    struct writer w;
    writer_init(&w);
    guard_write_counter_add(&w, call_session(call), call_attach_number(call), call_text(call, "request"),
                            call_number(call, "request_ttl_ms"), additions, count);
    mem_free(additions);
    call_submit(call, &w);
}

static void guard_counter_delete_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    guard_write_counter_delete(&w, call_text(call, "name"));
    call_submit(call, &w);
}

// ---- reads: as of a moment after the request came

static void ask(struct http_call *call, const struct guard_query *query) {
    struct result result;
    service_query(call->agent->instance->service, MODEL_GUARD, query, &result);
}

static uint64_t due_in_ms(const struct native_list *list, uint64_t due_ms) {
    return due_ms == NO_DEADLINE ? 0 : native_until(list->now_ms, due_ms);
}

static void show_token(void *context, const struct guard_token_info *info) {
    struct native_list *list = context;
    json_t *json = json_object();
    set_text(json, "purpose", info->purpose);
    json_object_set_new(json, "consumed", json_boolean(info->consumed));
    if (info->consumed) {
        set_text(json, "by", info->caller);
        set_signed(json, "at_unix_ms", info->consumed_unix_ms);
    }
    set_number(json, "due_in_ms", due_in_ms(list, info->due_ms));
    json_array_append_new(list->items, json);
}

static void show_change(void *context, const struct guard_entity_info *info) {
    struct native_list *list = context;
    if (!native_list_takes(list)) return;
    json_t *json = json_object();
    set_text(json, "entity", info->entity);
    set_text(json, "state", info->state);
    set_number(json, "version", info->version);
    set_signed(json, "at_unix_ms", info->unix_ms);
    set_text(json, "request", info->request);
    set_text(json, "caller", info->caller);
    set_number(json, "due_in_ms", due_in_ms(list, info->due_ms));
    json_array_append_new(list->items, json);
}

static json_t *value_json(const struct guard_value_info *info) {
    json_t *json = json_object();
    set_text(json, "name", info->name);
    set_number(json, "version", info->deleted ? 0 : info->version);
    set_number(json, "token", info->token);
    return json;
}

static void show_value(void *context, const struct guard_value_info *info) {
    struct native_list *list = context;
    json_t *json = value_json(info);
    if (!info->deleted) native_set_bytes(json, "value", "value_base64", info->value);
    json_array_append_new(list->items, json);
}

static void list_value(void *context, const struct guard_value_info *info) {
    struct native_list *list = context;
    if (!native_list_takes(list)) return;
    json_t *json = value_json(info);
    set_number(json, "bytes", info->value.len);
    json_array_append_new(list->items, json);
}

static void show_counter(void *context, const struct guard_counter_info *info) {
    struct native_list *list = context;
    if (!native_list_takes(list)) return;
    json_t *json = json_object();
    set_text(json, "name", info->name);
    set_signed(json, "value", info->value);
    set_signed(json, "floor", info->floor);
    set_signed(json, "ceiling", info->ceiling);
    set_number(json, "version", info->version);
    json_array_append_new(list->items, json);
}

// Answers with the only one that was found. Entities: the newest change, and all that are kept as `history`.
static void show(struct http_call *call, struct guard_query *query, const char *name) {
    struct native_list list = {.items = json_array(), .limit = GUARD_HISTORY, .now_ms = native_log_ms(call)};
    query->page = (struct items_page){.name = call_text(call, name), .max = 1};
    query->context = &list;
    ask(call, query);
    size_t count = json_array_size(list.items);
    json_t *found = count > 0 ? json_copy(json_array_get(list.items, count - 1)) : NULL;
    if (found != NULL && query->entity != NULL) json_object_set(found, "history", list.items);
    json_decref(list.items);
    if (found == NULL)
        call_fail(call, "not-found", NULL, NULL);
    else
        call_answer(call, 200, found);
}

static void guard_token_read(struct http_call *call) {
    show(call, &(struct guard_query){.token = show_token}, "token");
}
static void guard_entity_read(struct http_call *call) {
    show(call, &(struct guard_query){.entity = show_change}, "entity");
}
static void guard_value_read(struct http_call *call) {
    show(call, &(struct guard_query){.value = show_value}, "name");
}
static void guard_counter_read(struct http_call *call) {
    show(call, &(struct guard_query){.counter = show_counter}, "name");
}

// Tokens are not listed: who knows one may consume it.
static void guard_list_read(struct http_call *call) {
    enum { COUNTERS, ENTITIES };
    struct native_list list;
    uint64_t kind = call_number(call, "kind");
    struct guard_query query = {.page = call_page(call, &list), .context = &list};
    if (kind == COUNTERS)
        query.counter = show_counter;
    else if (kind == ENTITIES)
        query.entity = show_change;
    else
        query.value = list_value;
    ask(call, &query);
    native_list_answer(call, &list, "items");
}

// ---- the table
#define GUARD_TEXT_FIELD(field, most, words)                                                                           \
    { .name = field, .type = NATIVE_TEXT, .high = most, .help = words }
#define GUARD_NAME_FIELD(field, words)                                                                                 \
    { .name = field, .type = NATIVE_TEXT, .low = 1, .high = GUARD_NAME_BYTES_MAX, .required = true, .help = words }
#define VALUE_VERSION                                                                                                  \
    {                                                                                                                  \
        .name = "version", .type = NATIVE_SIGNED, .low = UINT64_MAX, .high = INT64_MAX, .standard = GUARD_ANY,         \
        .help = "only if it is of this one; 0: only if there is none; -1: whatever it is"                              \
    }
#define VALUE_TOKEN                                                                                                    \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .high = INT64_MAX,                                                     \
        .help = "a lock's fencing token: refused when a newer one was seen here; 0: none"                              \
    }
FIELDS(guard_issue_fields) = {
    GUARD_TEXT_FIELD("purpose", GUARD_TEXT_BYTES_MAX, "what for; consume must say the same"),
    {.name = "count", .type = NATIVE_NUMBER, .low = 1, .high = GUARD_TOKENS_MAX, .standard = 1, .help = "how many"},
    {.name = "ttl_ms",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = GUARD_TTL_MS_MAX,
     .standard = 3600000,
     .help = "they are known so long, consumed or not"},
    END};
FIELDS(guard_issue_answer) = {{.name = "tokens",
                               .type = NATIVE_TEXTS,
                               .low = 1,
                               .high = GUARD_TOKENS_MAX,
                               .help = "each 128 random bits in hex: who has it may consume it"},
                              END};
FIELDS(guard_consume_fields) = {GUARD_NAME_FIELD("token", "as it was issued"),
                                GUARD_TEXT_FIELD("purpose", GUARD_TEXT_BYTES_MAX, "as it was issued"),
                                GUARD_TEXT_FIELD("caller", GUARD_TEXT_BYTES_MAX, "whoever comes later is told this"),
                                END};
FIELDS(guard_token_fields) = {GUARD_NAME_FIELD("token", "as it was issued"), END};
FIELDS(guard_token_answer) = {{.name = "purpose", .type = NATIVE_TEXT, .help = "as it was issued"},
                              {.name = "consumed", .type = NATIVE_BOOL, .help = "it is of no use any more"},
                              {.name = "by", .type = NATIVE_TEXT, .help = "the caller who consumed it"},
                              {.name = "at_unix_ms", .type = NATIVE_SIGNED, .help = "when"},
                              {.name = "due_in_ms", .type = NATIVE_NUMBER, .help = "it is known so long"},
                              END};
FIELDS(guard_transition_fields) = {
    GUARD_NAME_FIELD("entity", "what has the state"),
    GUARD_TEXT_FIELD("from", GUARD_STATE_BYTES_MAX, "the state that it must be in; none: it must not exist yet"),
    {.name = "to",
     .type = NATIVE_TEXT,
     .low = 1,
     .high = GUARD_STATE_BYTES_MAX,
     .required = true,
     .help = "the state that it gets"},
    GUARD_TEXT_FIELD("request", GUARD_STATE_BYTES_MAX,
                     "the request's id: while it is one of the last 8 changes, its retry changes nothing"),
    GUARD_TEXT_FIELD("caller", GUARD_STATE_BYTES_MAX, "kept with the change"),
    {.name = "ttl_ms",
     .type = NATIVE_NUMBER,
     .high = GUARD_TTL_MS_MAX,
     .help = "it is gone so long after this change, unless another follows; 0: never"},
    END};
FIELDS(guard_transition_answer) = {
    {.name = "state", .type = NATIVE_TEXT, .help = "that it is in; of a repeated one: that it got then"},
    {.name = "version", .type = NATIVE_NUMBER, .help = "of the change: only grows"},
    {.name = "repeated", .type = NATIVE_BOOL, .help = "this request took effect before"},
    END};
FIELDS(guard_entity_delete_fields) = {GUARD_NAME_FIELD("entity", "what has the state"),
                                      {.name = "state",
                                       .type = NATIVE_TEXT,
                                       .low = 1,
                                       .high = GUARD_STATE_BYTES_MAX,
                                       .required = true,
                                       .help = "the state that it must be in"},
                                      END};
FIELDS(guard_entity_fields) = {GUARD_NAME_FIELD("entity", "what has the state"), END};
FIELDS(guard_entity_answer) = {
    {.name = "entity", .type = NATIVE_TEXT, .help = "its name"},
    {.name = "state", .type = NATIVE_TEXT, .help = "that it is in"},
    {.name = "version", .type = NATIVE_NUMBER, .help = "of the newest change"},
    {.name = "at_unix_ms", .type = NATIVE_SIGNED, .help = "when that was"},
    {.name = "request", .type = NATIVE_TEXT, .help = "that changed it"},
    {.name = "caller", .type = NATIVE_TEXT, .help = "that changed it"},
    {.name = "due_in_ms", .type = NATIVE_NUMBER, .help = "it is gone in so long; 0: it stays"},
    {.name = "history",
     .type = NATIVE_OBJECTS,
     .help = "its last changes, at most 8, oldest first, each with the same"},
    END};
FIELDS(guard_put_fields) = {
    GUARD_NAME_FIELD("name", "the value's name"),
    {.name = "value", .type = NATIVE_TEXT, .high = GUARD_VALUE_BYTES_MAX, .help = "at most 64 KiB of text"},
    {.name = "value_base64", .type = NATIVE_BASE64, .high = GUARD_VALUE_BYTES_MAX, .help = "or these bytes"},
    VALUE_VERSION,
    VALUE_TOKEN,
    END};
FIELDS(guard_put_answer) = {{.name = "version", .type = NATIVE_NUMBER, .help = "its new version: only grows"}, END};
FIELDS(guard_delete_fields) = {GUARD_NAME_FIELD("name", "the value's name"), VALUE_VERSION, VALUE_TOKEN, END};
FIELDS(guard_value_fields) = {GUARD_NAME_FIELD("name", "the value's name"), END};
FIELDS(guard_value_answer) = {
    {.name = "name", .type = NATIVE_TEXT, .help = "its name"},
    {.name = "version", .type = NATIVE_NUMBER, .help = "its version; 0: deleted, only its newest token is known"},
    {.name = "token", .type = NATIVE_NUMBER, .help = "the newest fencing token seen; 0: none"},
    {.name = "value", .type = NATIVE_TEXT, .help = "text (UTF-8 without a zero byte)"},
    {.name = "value_base64", .type = NATIVE_TEXT, .help = "any other bytes"},
    END};
FIELDS(guard_counter_set_fields) = {GUARD_NAME_FIELD("name", "the counter"),
                                    {.name = "value",
                                     .type = NATIVE_SIGNED,
                                     .low = (uint64_t)INT64_MIN,
                                     .high = INT64_MAX,
                                     .required = true,
                                     .help = "what it is now"},
                                    {.name = "floor",
                                     .type = NATIVE_SIGNED,
                                     .low = (uint64_t)INT64_MIN,
                                     .high = INT64_MAX,
                                     .help = "it never falls below"},
                                    {.name = "ceiling",
                                     .type = NATIVE_SIGNED,
                                     .low = (uint64_t)INT64_MIN,
                                     .high = INT64_MAX,
                                     .standard = INT64_MAX,
                                     .help = "it never rises above"},
                                    END};
FIELDS(guard_counter_add_fields) = {
    {.name = "deltas",
     .type = NATIVE_DELTAS,
     .low = 1,
     .high = GUARD_COUNTERS_MAX,
     .required = true,
     .help = "counters' names, each with what is added (below 0: taken): all of them or none. A counter that is not "
             "there is 0, with floor 0"},
    {.name = "request",
     .type = NATIVE_TEXT,
     .low = 1,
     .high = REMEMBER_ID_BYTES_MAX,
     .help = "the request's id: its retry adds nothing and gets the same answer"},
    {.name = "request_ttl_ms",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = REMEMBER_TTL_MS_MAX,
     .standard = ONE_DAY_MS,
     .help = "so long the request's id is known"},
    END};
FIELDS(guard_counter_add_answer) = {
    {.name = "values", .type = NATIVE_DELTAS, .help = "what each counter was after it"},
    {.name = "repeated", .type = NATIVE_BOOL, .help = "this request took effect before"},
    END};
FIELDS(guard_counter_fields) = {GUARD_NAME_FIELD("name", "the counter"), END};
FIELDS(guard_counter_answer) = {{.name = "name", .type = NATIVE_TEXT, .help = "its name"},
                                {.name = "value", .type = NATIVE_SIGNED, .help = "what it is"},
                                {.name = "floor", .type = NATIVE_SIGNED, .help = "it never falls below"},
                                {.name = "ceiling", .type = NATIVE_SIGNED, .help = "it never rises above"},
                                {.name = "version", .type = NATIVE_NUMBER, .help = "of its last change: only grows"},
                                END};
FIELDS(guard_list_fields) = {{.name = "kind",
                              .type = NATIVE_CHOICE,
                              .choices = "counters|entities|values",
                              .help = "what is listed. Tokens are not: who knows one may consume it"},
                             PAGE_PREFIX,
                             PAGE_AFTER,
                             LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT),
                             END};
FIELDS(guard_list_answer) = {
    {.name = "items",
     .type = NATIVE_OBJECTS,
     .help = "each as counter_show or entity_show says it; of values: name, version, token and bytes (how many)"},
    MORE,
    END};

static const struct native_operation operations[] = {
    {.path = "/v1/guard/token_issue",
     .about = "Makes one-time tokens, against what is sent twice: a form, a link in a mail.",
     .fields = guard_issue_fields,
     .answer = guard_issue_answer,
     .errors = "",
     .run = guard_issue_run,
     .reply = guard_reply},
    {.path = "/v1/guard/token_consume",
     .about = "Consumes a token. Of all who try, one can.",
     .fields = guard_consume_fields,
     .answer = no_fields,
     .errors = "not-found consumed mismatch ",
     .keyed = true,
     .run = guard_consume_run,
     .reply = guard_reply},
    {.path = "/v1/guard/token_show",
     .about = "What is known of a token.",
     .fields = guard_token_fields,
     .answer = guard_token_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = guard_token_read},
    {.path = "/v1/guard/entity_transition",
     .about = "Changes a state to B only from A. Of all who try, one can.",
     .fields = guard_transition_fields,
     .answer = guard_transition_answer,
     .errors = "not-found state mismatch ",
     .keyed = true,
     .run = guard_transition_run,
     .reply = guard_reply},
    {.path = "/v1/guard/entity_delete",
     .about = "Forgets an entity that is in this state.",
     .fields = guard_entity_delete_fields,
     .answer = no_fields,
     .errors = "not-found state ",
     .keyed = true,
     .run = guard_entity_delete_run,
     .reply = guard_reply},
    {.path = "/v1/guard/entity_show",
     .about = "The state that an entity is in, and its last changes.",
     .fields = guard_entity_fields,
     .answer = guard_entity_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = guard_entity_read},
    {.path = "/v1/guard/value_put",
     .about = "Writes a value, if it is of the expected version and no newer fencing token was seen.",
     .fields = guard_put_fields,
     .answer = guard_put_answer,
     .errors = "version old-token ",
     .run = guard_put_run,
     .reply = guard_reply},
    {.path = "/v1/guard/value_delete",
     .about = "Deletes a value, by the same rules. Its newest fencing token is known for 30 days.",
     .fields = guard_delete_fields,
     .answer = no_fields,
     .errors = "not-found version old-token ",
     .run = guard_delete_run,
     .reply = guard_reply},
    {.path = "/v1/guard/value_get",
     .about = "A value with its version.",
     .fields = guard_value_fields,
     .answer = guard_value_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = guard_value_read},
    {.path = "/v1/guard/counter_set",
     .about = "Sets a counter and its bounds, whatever it was.",
     .fields = guard_counter_set_fields,
     .answer = no_fields,
     .errors = "",
     .keyed = true,
     .run = guard_counter_set_run,
     .reply = guard_reply},
    {.path = "/v1/guard/counter_add",
     .about =
         "Adds to counters, or takes from them, in one step: if each stays within its bounds, all of them, else none.",
     .fields = guard_counter_add_fields,
     .answer = guard_counter_add_answer,
     .errors = "below above mismatch limit ",
     .keyed = true,
     .run = guard_counter_add_run,
     .reply = guard_reply},
    {.path = "/v1/guard/counter_delete",
     .about = "Forgets a counter.",
     .fields = guard_counter_fields,
     .answer = no_fields,
     .errors = "not-found ",
     .keyed = true,
     .run = guard_counter_delete_run,
     .reply = guard_reply},
    {.path = "/v1/guard/counter_show",
     .about = "A counter and its bounds.",
     .fields = guard_counter_fields,
     .answer = guard_counter_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = guard_counter_read},
    {.path = "/v1/guard/list",
     .about = "Counters, entities or values, in the order of their names.",
     .fields = guard_list_fields,
     .answer = guard_list_answer,
     .errors = "",
     .run = call_read,
     .read = guard_list_read},
};
const struct native_room guard_room = {.operations = operations, .count = sizeof operations / sizeof operations[0]};
