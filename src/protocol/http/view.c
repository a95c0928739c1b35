// GET /v1/view: some rows of each panel, and how many there are.
#include "protocol/http/view.h"
#include <stdlib.h>
#include <string.h>

const struct view_topic view_topics[] = {
    {"members", "members, leader, term, who is connected", MODEL_GROUP, NULL},
    {"sessions", "sessions that begin, move or end", MODEL_LEASE, view_sessions},
    {"locks", "locks of both kinds: native ones, and recipes of ZooKeeper's clients", MODEL_LOCK, view_locks},
    {"elections", "who leads, who is a candidate", MODEL_LOCK, view_elections},
    {"queues", "ordered queues", MODEL_QUEUE, view_queues},
    {"limits", "rate limits", MODEL_LIMITER, view_limits},
    {"keys", "idempotency keys", MODEL_IDEMPOTENCY, view_keys},
    {"topics", "partitioned topics, their groups, who reads what", MODEL_TOPIC, view_topics_rows},
    {"services", "services and the health of their instances", MODEL_REGISTRY, view_services},
    {"config", "namespaces of configuration", MODEL_CONFIG, view_config},
    {"sequences", "sequences", MODEL_SEQUENCE, view_sequences},
};
const size_t view_topic_count = sizeof view_topics / sizeof view_topics[0];
_Static_assert(sizeof view_topics / sizeof view_topics[0] <= HTTP_TOPICS_MAX, "more bits are wanted");

uint32_t view_topics_wanted(struct http_connection *c, const struct http_request *request, const char *parameter) {
    char names[256];
    uint32_t wanted = 0;
    if (!http_parameter(request, parameter, names, sizeof names)) return (1u << view_topic_count) - 1;
    for (const char *at = names;; at++) {
        size_t len = strcspn(at, ","), i = 0;
        while (i < view_topic_count &&
               (strlen(view_topics[i].name) != len || memcmp(view_topics[i].name, at, len) != 0))
            i++;
        if (i == view_topic_count) {
            http_answer_error(c, 400, "%s: there is no \"%.*s\"; docs/page.md lists them", parameter, (int)len, at);
            return 0;
        }
        wanted |= 1u << i;
        at += len;
        if (*at == 0) return wanted;
    }
}

// ---- cursors

void view_next_name(struct view_page *page, const char *member) {
    if (json_array_size(page->rows) <= page->limit) return;
    json_array_remove(page->rows, page->limit);
    const json_t *name = json_object_get(json_array_get(page->rows, page->limit - 1), member);
    const uint8_t *bytes = (const uint8_t *)json_string_value(name);
    size_t len = json_string_length(name);
    static const char digits[] = "0123456789abcdef";
    char *out = page->next;
    if (len == 0 || len > ITEM_NAME_BYTES_MAX) return;
    *out++ = 'n';
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = 0;
}

struct bytes view_after_name(const char *after, uint8_t bytes[ITEM_NAME_BYTES_MAX]) {
    size_t len = 0;
    if (after[0] != 'n') return bytes_of("", 0);
    for (const char *at = after + 1; at[0] != 0 && at[1] != 0 && len < ITEM_NAME_BYTES_MAX; at += 2) {
        const char pair[3] = {at[0], at[1], 0};
        bytes[len++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return bytes_of(bytes, len);
}

// ---- the answer

struct asked {
    uint32_t topics;
    size_t limit;
    char after[VIEW_CURSOR_BYTES_MAX + 1];
};

static bool read_query(struct http_connection *c, const struct http_request *request, struct asked *asked) {
    char text[16];
    *asked = (struct asked){.limit = VIEW_ROWS_DEFAULT};
    asked->topics = view_topics_wanted(c, request, "panels");
    if (asked->topics == 0) return false;
    if (http_parameter(request, "limit", text, sizeof text)) {
        unsigned long limit = strtoul(text, NULL, 10);
        if (limit < 1 || limit > VIEW_ROWS_MAX || text[strspn(text, "0123456789")] != 0) {
            http_answer_error(c, 400, "limit: 1 to %u is wanted", VIEW_ROWS_MAX);
            return false;
        }
        asked->limit = limit;
    }
    http_parameter(request, "after", asked->after, sizeof asked->after);
    if (asked->after[0] == 0 || (asked->topics & (asked->topics - 1)) == 0) return true;
    http_answer_error(c, 400, "after: goes with one panel");
    return false;
}

static json_t *panel_json(struct http_instance *instance, const struct view_topic *topic, const struct asked *asked,
                          const struct service_status *status) {
    struct view_page page = {.instance = instance,
                             .rows = json_array(),
                             .limit = asked->limit,
                             .after = asked->after,
                             .now_ms = status->log_time_ms,
                             .unix_ms = status->unix_ms,
                             .count = service_count(instance->service, topic->model)};
    topic->rows(&page);
    json_t *json = json_object();
    json_object_set_new(json, "count", json_number(page.count));
    json_object_set_new(json, "rows", page.rows);
    json_object_set_new(json, "next", page.next[0] != 0 ? json_string(page.next) : json_null());
    return json;
}

void view_get(struct http_connection *c, const struct http_request *request, uint32_t id) {
    struct http_instance *instance = c->instance;
    struct asked asked;
    struct node_view view;
    struct service_status status;
    const char *refusal = http_may_not_look(c, request);
    if (refusal != NULL) {
        http_answer_error(c, 403, "%s", refusal);
        return;
    }
    if (!read_query(c, request, &asked)) return;
    service_status(instance->service, &status);
    node_get_view(instance->settings->node, &view);
    json_t *json = json_object(), *panels = json_object();
    json_object_set_new(json, "index", json_number(service_applied(instance->service)));
    for (size_t i = 0; i < view_topic_count; i++) {
        if ((asked.topics >> i & 1) == 0) continue;
        if (view_topics[i].model == MODEL_GROUP) json_object_set_new(json, "cluster", http_cluster_json(instance));
        if (view_topics[i].rows == NULL || view.status.diverged) continue; // what is wrong is not shown
        json_object_set_new(panels, view_topics[i].name, panel_json(instance, &view_topics[i], &asked, &status));
    }
    json_object_set_new(json, "panels", panels);
    http_answer_compact(c, 200, "application/json", json);
}
