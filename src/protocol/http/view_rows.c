// Panels that are one query of a model each. They ask for one row more than they show: it says that there are more.
#include "protocol/http/view.h"
#include "protocol/zookeeper/codec.h"
#include <stdio.h>
#include <stdlib.h>

void view_ask(struct view_page *page, uint8_t model, const void *query) {
    struct result result;
    service_query(page->instance->service, model, query, &result);
}

// ---- sessions

static json_t *session_json(struct view_page *page, const struct lease *lease) {
    json_t *json = json_object();
    json_object_set_new(json, "session", json_number(lease->session));
    bool zookeeper = lease->kind == LEASE_KIND_ZOOKEEPER;
    json_object_set_new(json, "kind", json_string(zookeeper ? "zookeeper" : "native"));
    if (zookeeper) // as its client knows it
        json_object_set_new(json, "shown",
                            json_sprintf("0x%llx", (unsigned long long)(SESSION_SHOWN_BASE | lease->session)));
    json_object_set_new(json, "node", json_number(lease->node));
    json_object_set_new(json, "timeout_ms", json_number(lease->timeout_ms));
    json_object_set_new(json, "things", json_number(service_count_of_session(page->instance->service, lease->session)));
    return json;
}

void view_sessions(struct view_page *page) {
    struct service *service = page->instance->service;
    const struct lease *at = service_lease_next(service, strtoull(page->after, NULL, 10));
    uint64_t last = 0;
    for (; at != NULL && json_array_size(page->rows) < page->limit; at = service_lease_next(service, last)) {
        last = at->session;
        json_array_append_new(page->rows, session_json(page, at));
    }
    if (at != NULL) snprintf(page->next, sizeof page->next, "%llu", (unsigned long long)last);
}

// ---- queues, each with its deepest keys

static void add_queue(void *context, const struct queue_info *info) {
    json_array_append_new(((struct view_page *)context)->rows, queue_json(info));
}

struct hot_keys {
    json_t *keys;
    uint64_t now_ms;
};

static void add_hot_key(void *context, const struct queue_key_info *info) {
    struct hot_keys *hot = context;
    json_array_append_new(hot->keys, queue_key_json(info, hot->now_ms));
}

void view_queues(struct view_page *page) {
    uint8_t name[ITEM_NAME_BYTES_MAX];
    struct queue_query all = {.name = bytes_of("", 0),
                              .after = view_after_name(page->after, name),
                              .max = page->limit + 1,
                              .queue = add_queue,
                              .context = page};
    view_ask(page, MODEL_QUEUE, &all);
    view_next_name(page, "name");
    for (size_t i = 0; i < json_array_size(page->rows); i++) {
        json_t *row = json_array_get(page->rows, i), *own = json_object_get(row, "name");
        struct hot_keys hot = {.keys = json_array(), .now_ms = page->now_ms};
        struct queue_query keys = {.name = bytes_of(json_string_value(own), json_string_length(own)),
                                   .max = VIEW_HOT_KEYS_MAX,
                                   .key = add_hot_key,
                                   .context = &hot};
        if (keys.name.len > 0) view_ask(page, MODEL_QUEUE, &keys);
        json_object_set_new(row, "hot_keys", hot.keys);
    }
}

// ---- limits

static void add_limit(void *context, const struct limiter_info *info) {
    json_array_append_new(((struct view_page *)context)->rows, limit_json(info));
}

void view_limits(struct view_page *page) {
    uint8_t name[ITEM_NAME_BYTES_MAX];
    struct limiter_query query = {.name = bytes_of("", 0),
                                  .after = view_after_name(page->after, name),
                                  .now_ms = page->now_ms,
                                  .max = page->limit + 1,
                                  .limit = add_limit,
                                  .context = page};
    view_ask(page, MODEL_LIMITER, &query);
    view_next_name(page, "name");
}

// ---- idempotency keys

static void add_key(void *context, const struct idempotency_info *info) {
    struct view_page *page = context;
    json_array_append_new(page->rows, idempotency_json(info, page->now_ms));
}

void view_keys(struct view_page *page) {
    uint8_t name[ITEM_NAME_BYTES_MAX];
    struct idempotency_query query = {.page = {.name = bytes_of("", 0),
                                               .prefix = bytes_of("", 0),
                                               .after = view_after_name(page->after, name),
                                               .max = page->limit + 1},
                                      .key = add_key,
                                      .context = page};
    view_ask(page, MODEL_IDEMPOTENCY, &query);
    view_next_name(page, "key");
}

// ---- sequences

static struct items_page names(const struct view_page *page, uint8_t name[ITEM_NAME_BYTES_MAX]) {
    return (struct items_page){.name = bytes_of("", 0),
                               .prefix = bytes_of("", 0),
                               .after = view_after_name(page->after, name),
                               .max = page->limit + 1};
}

static void add_sequence(void *context, const struct sequence_info *info) {
    json_array_append_new(((struct view_page *)context)->rows, sequence_json(info));
}

void view_sequences(struct view_page *page) {
    uint8_t name[ITEM_NAME_BYTES_MAX];
    struct sequence_query query = {.page = names(page, name), .sequence = add_sequence, .context = page};
    view_ask(page, MODEL_SEQUENCE, &query);
    view_next_name(page, "name");
}

// ---- configuration: namespaces and versions, no items

static void add_space(void *context, const struct config_info *info) {
    json_array_append_new(((struct view_page *)context)->rows, config_space_json(info));
}

void view_config(struct view_page *page) {
    uint8_t name[ITEM_NAME_BYTES_MAX];
    struct config_query query = {.page = names(page, name), .space = add_space, .context = page};
    view_ask(page, MODEL_CONFIG, &query);
    view_next_name(page, "name");
}

// ---- services, each with its first instances

static void add_service(void *context, const struct registry_service_info *info) {
    json_array_append_new(((struct view_page *)context)->rows, registry_service_json(info));
}

struct instances {
    json_t *list;
    uint64_t now_ms;
};

static void add_instance(void *context, const struct registry_info *info) {
    static const char *const healths[] = {"unknown", "passing", "failing"};
    struct instances *instances = context;
    json_t *json = json_object();
    json_object_set_new(json, "id", json_bytes(info->id));
    json_object_set_new(json, "address", json_bytes(info->address));
    json_object_set_new(json, "zone", json_bytes(info->zone));
    json_object_set_new(json, "session", json_number(info->session));
    json_object_set_new(json, "health", json_string(healths[info->health]));
    json_object_set_new(json, "draining", json_boolean(info->draining));
    json_object_set_new(json, "for_ms", json_number(native_until(info->health_since_ms, instances->now_ms)));
    json_array_append_new(instances->list, json);
}

void view_services(struct view_page *page) {
    uint8_t name[ITEM_NAME_BYTES_MAX];
    struct items_page all = names(page, name);
    struct registry_query query = {.service = all.name,
                                   .prefix = all.prefix,
                                   .after = all.after,
                                   .max = all.max,
                                   .on_service = add_service,
                                   .context = page};
    view_ask(page, MODEL_REGISTRY, &query);
    view_next_name(page, "service");
    for (size_t i = 0; i < json_array_size(page->rows); i++) {
        json_t *row = json_array_get(page->rows, i), *own = json_object_get(row, "service");
        struct instances instances = {.list = json_array(), .now_ms = page->now_ms};
        struct registry_query one = {.service = bytes_of(json_string_value(own), json_string_length(own)),
                                     .after = all.name,
                                     .max = VIEW_INSTANCES_MAX,
                                     .on_instance = add_instance,
                                     .context = &instances};
        view_ask(page, MODEL_REGISTRY, &one);
        json_object_set_new(row, "shown", instances.list);
    }
}
