// What both tests of topics use: commands in short form. A test's file includes cmocka before it.
#pragma once
#include "model/topic/topic.h"
#include "native_kit.h"

#define T bytes_of_text("orders")
#define G bytes_of_text("bill")

static const struct topic_result *out(const struct native *n) {
    return n->result.value;
}

static __attribute__((unused)) int create(struct native *n, struct topic_options options) {
    struct writer w = {0};
    options.name = T;
    topic_write_create(&w, &options);
    return native_run(n, &w);
}

static __attribute__((unused)) int publish_all(struct native *n, struct topic_publish publish) {
    struct writer w = {0};
    publish.name = T;
    topic_write_publish(&w, 0, 0, &publish);
    return native_run(n, &w);
}

static __attribute__((unused)) int publish(struct native *n, uint32_t partition, const char *body) {
    struct topic_entry entry = {.partition = partition, .body = bytes_of_text(body)};
    return publish_all(n, (struct topic_publish){.entries = &entry, .count = 1});
}

static __attribute__((unused)) int join_with(struct native *n, uint64_t session, struct topic_join join) {
    struct writer w = {0};
    join.topic = T;
    join.group = G;
    topic_write_join(&w, session, session ? 1 : 0, &join);
    return native_run(n, &w);
}

static __attribute__((unused)) uint64_t join(struct native *n, uint64_t session, const char *name) {
    assert_int_equal(join_with(n, session, (struct topic_join){.member = bytes_of_text(name), .handover_ms = 1000}), 0);
    return out(n)->member;
}

static __attribute__((unused)) int leave(struct native *n, uint64_t member) {
    struct writer w = {0};
    topic_write_leave(&w, 0, 0, T, G, member);
    return native_run(n, &w);
}

static __attribute__((unused)) int release(struct native *n, uint32_t partition, uint64_t token) {
    struct writer w = {0};
    topic_write_release(&w, 0, 0, T, G, partition, token);
    return native_run(n, &w);
}

static __attribute__((unused)) int commit(struct native *n, uint32_t partition, uint64_t token, uint64_t offset) {
    struct writer w = {0};
    topic_write_commit(&w, 0, 0, T, G, partition, token, offset);
    return native_run(n, &w);
}

static __attribute__((unused)) int heartbeat(struct native *n, uint64_t member) {
    struct writer w = {0};
    topic_write_heartbeat(&w, T, G, member);
    return native_run(n, &w);
}

// "a0 b1! -2": who reads which partition; ! while it is revoked.
struct seen {
    char text[4096];
    uint64_t tokens[TOPIC_PARTITIONS_MAX];
};

static void see_slot(void *context, const struct topic_slot_info *info) {
    struct seen *seen = context;
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof seen->text - len, "%s%.*s%u%s", len > 0 ? " " : "",
             info->token ? (int)info->owner_name.len : 1, info->token ? (const char *)info->owner_name.data : "-",
             info->partition, info->revoked ? "!" : "");
    seen->tokens[info->partition] = info->token;
}

static __attribute__((unused)) struct seen see(const struct native *n) {
    struct seen seen = {0};
    struct result result;
    struct topic_query query = {.name = T, .group = G, .slot = see_slot, .context = &seen};
    n->ops->query(n->state, &query, &result);
    return seen;
}

static void see_message(void *context, const struct topic_message *message) {
    struct seen *seen = context;
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof seen->text - len, "%s%u:%llu=%.*s", len > 0 ? " " : "", message->partition,
             (unsigned long long)message->offset, (int)message->body.len, (const char *)message->body.data);
}

static __attribute__((unused)) struct seen fetch(const struct native *n, struct topic_fetch *fetch) {
    struct seen seen = {0};
    struct result result;
    struct topic_query query = {.name = T, .group = G, .message = see_message, .context = &seen, .fetch = fetch};
    if (fetch->max == 0) fetch->max = 100;
    if (fetch->max_bytes == 0) fetch->max_bytes = 1 << 20;
    n->ops->query(n->state, &query, &result);
    return seen;
}
