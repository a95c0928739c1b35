// One-time tokens, guarded states, versioned values and bounded counters over HTTP.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/guard/guard.h"
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

void guard_reply(struct http_call *call, const struct result *result) {
    const struct guard_result *guard = result->value;
    if (result->error != 0) {
        fail(call, result->error, guard);
        return;
    }
    json_t *json = json_object();
    if (result->op == GUARD_ISSUE) json_object_set(json, "tokens", json_object_get(call->body, "tokens"));
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
void guard_issue_run(struct http_call *call) {
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
    json_object_set_new(call->body, "tokens", list);
    struct writer w;
    writer_init(&w);
    guard_write_issue(&w, call_session(call), call_attach_number(call), call_text(call, "purpose"),
                      call_number(call, "ttl_ms"), tokens, count);
    call_submit(call, &w);
}

void guard_consume_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    guard_write_consume(&w, call_session(call), call_attach_number(call), call_text(call, "token"),
                        call_text(call, "purpose"), call_text(call, "caller"));
    call_submit(call, &w);
}

// ---- states

void guard_transition_run(struct http_call *call) {
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

void guard_entity_delete_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    guard_write_entity_delete(&w, call_session(call), call_attach_number(call), call_text(call, "entity"),
                              call_text(call, "state"));
    call_submit(call, &w);
}

// ---- values

void guard_put_run(struct http_call *call) {
    struct bytes value;
    if (!call_bytes(call, "value", "value_base64", &value)) return;
    struct writer w;
    writer_init(&w);
    guard_write_put(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                    call_number(call, "version"), call_number(call, "token"), value);
    call_submit(call, &w);
}

void guard_delete_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    guard_write_delete(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                       call_number(call, "version"), call_number(call, "token"));
    call_submit(call, &w);
}

// ---- counters

void guard_counter_set_run(struct http_call *call) {
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
    json_t *deltas = json_object_get(call->body, "deltas"), *delta;
    const char *name;
    struct guard_addition *additions = mem_alloc(json_object_size(deltas) * sizeof *additions);
    *count = 0;
    json_object_foreach(deltas, name, delta) {
        additions[(*count)++] = (struct guard_addition){bytes_of_text(name), json_integer_value(delta)};
    }
    qsort(additions, *count, sizeof *additions, by_name);
    return additions;
}

void guard_counter_add_run(struct http_call *call) {
    size_t count;
    struct guard_addition *additions = additions_of(call, &count);
    struct writer w;
    writer_init(&w);
    guard_write_counter_add(&w, call_session(call), call_attach_number(call), call_text(call, "request"),
                            call_number(call, "request_ttl_ms"), additions, count);
    mem_free(additions);
    call_submit(call, &w);
}

void guard_counter_delete_run(struct http_call *call) {
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

void guard_token_read(struct http_call *call) {
    show(call, &(struct guard_query){.token = show_token}, "token");
}
void guard_entity_read(struct http_call *call) {
    show(call, &(struct guard_query){.entity = show_change}, "entity");
}
void guard_value_read(struct http_call *call) {
    show(call, &(struct guard_query){.value = show_value}, "name");
}
void guard_counter_read(struct http_call *call) {
    show(call, &(struct guard_query){.counter = show_counter}, "name");
}

// Tokens are not listed: who knows one may consume it.
void guard_list_read(struct http_call *call) {
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
