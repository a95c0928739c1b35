// What the tests of the registry share: short forms of its commands and of what it shows.
#pragma once
#include "model/registry/registry.h"
#include "native_kit.h"

static const struct registry_check TCP_CHECK = {
    .kind = REGISTRY_CHECK_TCP, .interval_ms = 1000, .timeout_ms = 500, .failures = 3, .successes = 1};

static inline const struct registry_result *out(const struct native *n) {
    return n->result.value;
}

static inline struct registry_registration registration(const char *service, const char *id) {
    return (struct registry_registration){.service = bytes_of_text(service),
                                          .id = bytes_of_text(id),
                                          .address = bytes_of_text("10.0.0.1:80"),
                                          .weight = 1};
}

static inline int enter(struct native *n, uint64_t session, const struct registry_registration *q) {
    struct writer w = {0};
    registry_write_register(&w, session, session != 0, q);
    return native_run(n, &w);
}

static inline int enter_ttl(struct native *n, const char *service, const char *id, uint64_t ttl_ms) {
    struct registry_registration q = registration(service, id);
    q.binding = REGISTRY_BY_TTL;
    q.ttl_ms = ttl_ms;
    return enter(n, 0, &q);
}

static inline int leave(struct native *n, const char *service, const char *id, uint64_t number) {
    struct writer w = {0};
    registry_write_deregister(&w, bytes_of_text(service), bytes_of_text(id), number);
    return native_run(n, &w);
}

static inline int renew(struct native *n, const char *service, const char *id, uint64_t number, uint64_t ttl_ms) {
    struct writer w = {0};
    registry_write_renew(&w, bytes_of_text(service), bytes_of_text(id), number, ttl_ms);
    return native_run(n, &w);
}

static inline int change(struct native *n, const struct registry_update *update) {
    struct writer w = {0};
    registry_write_update(&w, update);
    return native_run(n, &w);
}

static inline int drain(struct native *n, const char *service, const char *id, bool on) {
    struct registry_update update = {.service = bytes_of_text(service),
                                     .id = bytes_of_text(id),
                                     .what = REGISTRY_SET_DRAIN,
                                     .weight = 1,
                                     .drain = on};
    return change(n, &update);
}

static inline int report(struct native *n, const char *service, const char *id, uint64_t number, uint64_t term,
                         enum registry_health health) {
    struct writer w = {0};
    registry_write_report(&w, bytes_of_text(service), bytes_of_text(id), number, term, health, bytes_of_text("said"));
    return native_run(n, &w);
}

static inline int lease(struct native *n, uint64_t session, const char *service, uint64_t ttl_ms) {
    struct writer w = {0};
    registry_write_lease(&w, session, session != 0, bytes_of_text(service), bytes_of(NULL, 0), 0, ttl_ms);
    return native_run(n, &w);
}

static inline int release(struct native *n, uint64_t token) {
    struct writer w = {0};
    registry_write_release(&w, token);
    return native_run(n, &w);
}

static inline void registry_line(void *context, uint8_t model, const void *event) {
    static const char *const types[] = {"registered", "removed", "changed"};
    struct native *n = context;
    const struct registry_event *e = event;
    size_t at = strlen(n->events);
    snprintf(n->events + at, sizeof n->events - at, "%s %.*s/%.*s %s\n", types[e->type], (int)e->instance.service.len,
             e->instance.service.data, (int)e->instance.id.len, e->instance.id.data,
             e->version == n->apply.index ? "now" : "before");
}

// Names of a service's instances, as "a1 a2-": with a minus when it would not be picked.
struct shown {
    char text[4096];
    struct registry_info last;
    struct registry_service_info service;
    size_t count;
};
static inline void show_one(void *context, const struct registry_info *info) {
    struct shown *shown = context;
    size_t at = strlen(shown->text);
    bool ready = info->health == REGISTRY_PASSING && !info->draining;
    snprintf(shown->text + at, sizeof shown->text - at, "%s%.*s%s", at > 0 ? " " : "", (int)info->id.len, info->id.data,
             ready ? "" : "-");
    shown->last = *info;
    shown->count++;
}
static inline void show_service_of(void *context, const struct registry_service_info *info) {
    ((struct shown *)context)->service = *info;
}
static inline const struct shown *show(const struct native *n, const char *service) {
    static struct shown shown;
    memset(&shown, 0, sizeof shown);
    struct registry_query query = {.service = bytes_of_text(service),
                                   .max = 100000,
                                   .on_service = show_service_of,
                                   .on_instance = show_one,
                                   .context = &shown};
    struct result result;
    n->ops->query(n->state, &query, &result);
    return &shown;
}

static inline const char *picked(const struct native *n, const char *service, const struct registry_pick *pick) {
    static struct shown shown;
    memset(&shown, 0, sizeof shown);
    struct registry_query query = {
        .service = bytes_of_text(service), .pick = pick, .on_instance = show_one, .context = &shown};
    struct result result;
    n->ops->query(n->state, &query, &result);
    return result.error ? "none" : shown.text;
}
