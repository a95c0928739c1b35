// Which path is what, and what changes the cluster. Everything that changes it, and a backup (it holds all data), is
// taken from this machine only, unless allow-remote is on; and never from a web page: a browser on this machine sends
// requests for any site it shows.
#include "protocol/http/routes.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io.h"
#include "protocol/http/internal.h"
#include "protocol/http/route_fields.h"
#include "protocol/http/view.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

// ---- who may
static bool is_this_machine(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0;
}

// A page that made its own name point at 127.0.0.1 still sends that name.
static bool names_this_machine(const char *host) {
    return strncmp(host, "localhost", 9) == 0 ? host[9] == 0 || host[9] == ':'
                                              : strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0;
}

// A browser names the page that asks: by Origin, and by Sec-Fetch-Site where it sends no Origin (an image, a script).
// Our own page asks from the same origin, whose name is the Host that it was fetched from.
static bool asks_for_another_site(const struct http_request *request) {
    const char *site = request->fetch_site, *host = strstr(request->origin, "://");
    if (request->has_origin && (host == NULL || strcmp(host + 3, request->host) != 0)) return true;
    return site[0] != 0 && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
}

static const char *not_from_here(struct http_connection *c, const struct http_request *request) {
    struct io_conn_info info;
    if (c->instance->settings->allow_remote) return NULL;
    client_info(c->client, &info);
    if (is_this_machine(info.remote) && names_this_machine(request->host)) return NULL;
    return "only from the node's own machine, by the name localhost, 127.0.0.1 or [::1] (setting allow-remote)";
}

const char *http_may_not_look(struct http_connection *c, const struct http_request *request) {
    if (asks_for_another_site(request)) return "requests from other sites' pages may not see this";
    return not_from_here(c, request);
}

const char *http_may_not_administer(struct http_connection *c, const struct http_request *request) {
    return request->has_origin ? "requests from web pages may not do this" : not_from_here(c, request);
}

// ---- parameters
static int hex_digit(char c) {
    const char *digits = "0123456789abcdef", *at = c == 0 ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
    return at == NULL ? -1 : (int)(at - digits);
}

static bool decode(const char *from, size_t len, char *out, size_t size) {
    for (size_t i = 0; i < len; i++, out++, size--) {
        if (size < 2) return false;
        *out = from[i];
        if (from[i] != '%' || len - i < 3) continue;
        int high = hex_digit(from[i + 1]), low = hex_digit(from[i + 2]);
        if (high < 0 || low < 0) continue;
        *out = (char)(high * 16 + low);
        i += 2;
    }
    *out = 0;
    return true;
}

bool http_parameter(const struct http_request *request, const char *name, char *out, size_t size) {
    size_t name_len = strlen(name);
    for (const char *at = request->query; *at != 0;) {
        size_t len = strcspn(at, "&#");
        if (len > name_len && strncmp(at, name, name_len) == 0 && at[name_len] == '=')
            return decode(at + name_len + 1, len - name_len - 1, out, size);
        at += len;
        if (*at == '#') break;
        if (*at == '&') at++;
    }
    return false;
}

// ---- health
static void get_healthz(struct http_connection *c, const struct http_request *request, uint32_t id) {
    http_answer_text(c, 200, "ok");
}

static void get_readyz(struct http_connection *c, const struct http_request *request, uint32_t id) {
    struct node *node = c->instance->settings->node;
    struct node_view view;
    if (node_ready(node)) {
        http_answer_text(c, 200, "ready");
        return;
    }
    node_get_view(node, &view);
    http_answer_text(c, 503,
                     view.status.diverged      ? "not ready: this node's state differs from the others'; it rebuilds"
                     : view.member_count == 0  ? "not ready: the cluster is not formed yet"
                     : view.status.leader == 0 ? "not ready: there is no leader"
                                               : "not ready: catching up");
}

static void get_index(struct http_connection *c, const struct http_request *request, uint32_t id) {
    static const char *const methods[] = {
        [HTTP_VERB_GET] = "GET", [HTTP_VERB_POST] = "POST", [HTTP_VERB_DELETE] = "DELETE"};
    char text[4096] = "Parley\n\n";
    size_t len = strlen(text);
    for (size_t i = 1; http_route_at(i) != NULL; i++) {
        const struct http_route *route = http_route_at(i);
        const char *member = strchr(route->path, '#');
        char path[64];
        snprintf(path, sizeof path, "%.*s%s%s", (int)strcspn(route->path, "#"), route->path, member != NULL ? "ID" : "",
                 member != NULL ? member + 1 : "");
        len += (size_t)snprintf(text + len, sizeof text - len, "  %-6s %-22s %s\n", methods[route->method], path,
                                route->about);
        ENSURE(len < sizeof text);
    }
    snprintf(text + len, sizeof text - len,
             "  POST   /v1/session/..., /v1/lock/...   native operations: docs/native.md, docs/openapi.json\n");
    http_answer(c, 200, "text/plain; charset=utf-8", bytes_of_text(text));
}

static void get_metrics(struct http_connection *c, const struct http_request *request, uint32_t id) {
    struct writer w;
    writer_init(&w);
    http_write_metrics(c->instance, &w);
    http_answer(c, 200, METRICS_TYPE, bytes_of(w.data, w.len));
    writer_free(&w);
}

static void get_cluster(struct http_connection *c, const struct http_request *request, uint32_t id) {
    http_answer_json(c, 200, http_cluster_json(c->instance));
}

// ---- administration
static int status_of(int error) {
    switch (error) {
    case 0:
        return 200;
    case -EINVAL:
        return 400;
    case -ENOENT:
        return 404;
    case COMMAND_NOT_APPLIED:
        return 503;
    case COMMAND_UNKNOWN:
    case -ETIMEDOUT:
        return 504;
    default:
        return 409;
    }
}

static void on_admin_done(void *context, int error, const char *text) {
    struct http_connection *c = http_back(context);
    if (c == NULL) return;
    const char *what = text != NULL && text[0] != 0 ? text
                       : error == 0                 ? "done"
                       : error <= -1000             ? command_error_text(error)
                                                    : strerror(-error);
    if (error != 0) {
        http_answer_error(c, status_of(error), "%s", what);
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "result", json_string(what));
    http_answer_json(c, 200, json);
}

static void administer(struct http_connection *c, enum core_admin what, uint32_t member, const char *address) {
    node_admin(c->instance->settings->node, what, member, address, on_admin_done, http_later(c));
}

// A JSON object from the body; NULL when it was answered. An empty body is an empty object.
static json_t *read_body(struct http_connection *c, const struct http_request *request) {
    json_error_t error;
    if (request->body.len == 0) return json_object();
    json_t *json = json_loadb((const char *)request->body.data, request->body.len, JSON_REJECT_DUPLICATES, &error);
    if (json != NULL && json_is_object(json)) return json;
    json_decref(json);
    http_answer_error(c, 400, "the body is no JSON object");
    return NULL;
}

// A member's number from the body; 0 when it lacks or is none.
static uint32_t member_in(const json_t *json, const char *key) {
    const json_t *value = json_object_get(json, key);
    if (!json_is_integer(value)) return 0;
    json_int_t number = json_integer_value(value);
    return number >= 1 && number <= 255 ? (uint32_t)number : 0;
}

static bool is_address(const char *text) {
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strlen(text) >= ADDRESS_TEXT_MAX) return false;
    for (const char *at = text; *at != 0; at++)
        if (*at <= ' ' || *at >= 0x7f) return false;
    unsigned long port = strtoul(colon + 1, NULL, 10);
    return colon[1] != 0 && colon[1 + strspn(colon + 1, "0123456789")] == 0 && port >= 1 && port <= 65535;
}

static void post_members(struct http_connection *c, const struct http_request *request, uint32_t id) {
    json_t *json = read_body(c, request);
    if (json == NULL) return;
    const char *address = json_string_value(json_object_get(json, "address"));
    const json_t *observer = json_object_get(json, "observer");
    id = member_in(json, "id");
    if (id == 0 || address == NULL || !is_address(address) || (observer != NULL && !json_is_boolean(observer)))
        http_answer_error(c, 400,
                          "wanted: {\"id\": 1 to 255, \"address\": \"HOST:PORT\"}, the new node's peer address; and "
                          "perhaps \"observer\": true");
    else
        administer(c, json_is_true(observer) ? CORE_MEMBER_ADD_OBSERVER : CORE_MEMBER_ADD, id, address);
    json_decref(json);
}

static void delete_member(struct http_connection *c, const struct http_request *request, uint32_t id) {
    administer(c, CORE_MEMBER_REMOVE, id, NULL);
}

static void promote_member(struct http_connection *c, const struct http_request *request, uint32_t id) {
    administer(c, CORE_MEMBER_PROMOTE, id, NULL);
}

static void post_transfer(struct http_connection *c, const struct http_request *request, uint32_t id) {
    json_t *json = read_body(c, request);
    if (json == NULL) return;
    uint32_t to = member_in(json, "to");
    if (json_object_get(json, "to") != NULL && to == 0)
        http_answer_error(c, 400, "wanted: {\"to\": 1 to 255}, or nothing");
    else
        administer(c, CORE_TRANSFER, to, NULL);
    json_decref(json);
}

static void post_form(struct http_connection *c, const struct http_request *request, uint32_t id) {
    json_t *json = read_body(c, request);
    if (json == NULL) return;
    uint32_t without = member_in(json, "without");
    if (without == 0)
        http_answer_error(c, 400, "wanted: {\"without\": 1 to 255}, a member of --cluster that is missing");
    else
        administer(c, CORE_FORM_WITHOUT, without, NULL);
    json_decref(json);
}

static void post_time_step(struct http_connection *c, const struct http_request *request, uint32_t id) {
    administer(c, CORE_TIME_STEP, 0, NULL);
}

// ---- backup
static void on_snapshot(void *context, int error, uint64_t index) {
    struct http_connection *c = http_back(context);
    if (c == NULL) return;
    const struct http_settings *settings = c->instance->settings;
    char name[64];
    uint64_t bytes;
    if (error != 0) {
        http_answer_error(c, 503, "no snapshot could be made: %s",
                          error <= -1000 ? command_error_text(error) : strerror(-error));
        return;
    }
    void *backup = settings->backup_open(settings->context, index, &bytes, name);
    if (backup == NULL)
        http_answer_error(c, 500, "the snapshot of index %llu cannot be opened", (unsigned long long)index);
    else
        http_send_backup(c, backup, bytes, name);
}

static void get_backup(struct http_connection *c, const struct http_request *request, uint32_t id) {
    if (c->head) {
        http_answer_error(c, 405, "HEAD would make a whole snapshot");
        return;
    }
    struct node_view view;
    node_get_view(c->instance->settings->node, &view);
    if (view.status.diverged) {
        http_answer_error(c, 503, "this node's state differs from the others'; ask another node");
        return;
    }
    if (view.applied == 0) {
        http_answer_error(c, 503, "there is nothing to back up: the cluster is not formed yet");
        return;
    }
    node_snapshot(c->instance->settings->node, on_snapshot, http_later(c));
}

// ---- the table
#define JSON "application/json"
#define TEXT "text/plain; charset=utf-8"
#define ROUTE(method_, path_, id_, run_, about_)                                                                       \
    .method = HTTP_VERB_##method_, .path = path_, .id = id_, .run = run_, .about = about_
#define ADMINISTERS .administration = true, .type = JSON, .answer = done_fields, .errors = admin_errors
static const struct http_route routes[] = {
    {ROUTE(GET, "/", "index", get_index, "these paths, or the page"), .type = TEXT},
    {ROUTE(GET, "/healthz", "healthz", get_healthz, "the process answers"), .type = TEXT},
    {ROUTE(GET, "/readyz", "readyz", get_readyz, "200 once this node serves clients"), .type = TEXT,
     .errors = ready_errors},
    {ROUTE(GET, "/metrics", "metrics", get_metrics, "figures for Prometheus"), .type = METRICS_TYPE},
    {ROUTE(GET, "/v1/cluster", "cluster", get_cluster, "members, roles, leader, progress"), .type = JSON,
     .answer = cluster_fields},
    {ROUTE(GET, "/v1/view", "view", view_get, "what the page shows: sessions, locks, queues... (docs/page.md)"),
     .type = JSON, .query = view_query, .answer = view_fields, .errors = query_errors, .looks = true},
    {ROUTE(GET, "/v1/events", "events", events_get, "what changes, as server-sent events (docs/page.md)"),
     .type = HTTP_EVENT_STREAM, .query = events_query, .errors = events_errors, .looks = true},
    {ROUTE(POST, "/v1/cluster/form", "cluster_form", post_form,
           "{\"without\": ID}: form a new cluster although ID is missing"),
     ADMINISTERS, .fields = form_body},
    {ROUTE(POST, "/v1/members", "member_add", post_members,
           "{\"id\": ID, \"address\": \"HOST:PORT\"}: add a learner; \"observer\": true: one that stays one"),
     ADMINISTERS, .fields = members_body},
    {ROUTE(POST, "/v1/members/#/promote", "member_promote", promote_member, "make it a voter"), ADMINISTERS},
    {ROUTE(DELETE, "/v1/members/#", "member_remove", delete_member, "remove it"), ADMINISTERS},
    {ROUTE(POST, "/v1/time/step", "time_step", post_time_step,
           "set the cluster's Unix time to the leader's clock, back too"),
     ADMINISTERS},
    {ROUTE(POST, "/v1/leader/transfer", "leader_transfer", post_transfer,
           "{\"to\": ID}, or nothing: another node leads"),
     ADMINISTERS, .fields = transfer_body},
    {ROUTE(GET, "/v1/backup", "backup", get_backup, "a consistent snapshot file"), .administration = true,
     .type = "application/octet-stream", .errors = backup_errors},
};

const struct http_route *http_route_at(size_t place) {
    return place < sizeof routes / sizeof routes[0] ? &routes[place] : NULL;
}

static bool matches(const char *pattern, const char *path, uint32_t *id) {
    while (*pattern != 0) {
        if (*pattern != '#') {
            if (*pattern++ != *path++) return false;
            continue;
        }
        uint32_t number = 0;
        size_t digits = strspn(path, "0123456789");
        if (digits == 0 || digits > 3) return false;
        for (size_t i = 0; i < digits; i++) number = number * 10 + (uint32_t)(path[i] - '0');
        if (number < 1 || number > 255) return false;
        *id = number;
        path += digits;
        pattern++;
    }
    return *path == 0;
}

void http_route(struct http_connection *c, const struct http_request *request) {
    enum http_verb method = request->method == HTTP_VERB_HEAD ? HTTP_VERB_GET : request->method;
    bool known = false;
    if (http_native(c, request) || (method == HTTP_VERB_GET && http_page(c, request))) return;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        uint32_t id = 0;
        if (!matches(routes[i].path, request->path, &id)) continue;
        known = true;
        if (routes[i].method != method) continue;
        const char *refusal = routes[i].administration ? http_may_not_administer(c, request) : NULL;
        if (refusal != NULL)
            http_answer_error(c, 403, "%s", refusal);
        else
            routes[i].run(c, request, id);
        return;
    }
    if (known)
        http_answer_error(c, 405, "this path has no such method; GET / lists them");
    else
        http_answer_error(c, 404, "there is no such path; GET / lists them");
}
