// GET /v1/cluster: this node's view, as JSON.
#include "base/version.h"
#include "protocol/http/internal.h"
#include <stdio.h>

static const char *const role_names[] = {"follower", "pre-candidate", "candidate", "leader"};
static const char *const member_names[] = {"learner", "voter", "outgoing", "incoming"};
static const char *const address_names[ADVERTISED_COUNT] = {"peer", "zookeeper", "etcd", "redis", "memcached", "http"};

static json_t *hex(const uint8_t *bytes, size_t len) {
    char text[2 * 32 + 1] = "";
    for (size_t i = 0; i < len && i < 32; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return json_string(text);
}

static json_t *number(uint64_t n) {
    return json_integer((json_int_t)n);
}

static json_t *text(const char *words) {
    json_t *json = json_string(words);
    return json != NULL ? json : json_string(""); // NULL: not UTF-8
}

// bounds of what a leader knows: a lag is of entries not known to be on that member's disk
static json_t *member_json(const struct node_member *m, const struct node_view *view) {
    json_t *json = json_object(), *addresses = json_object();
    json_object_set_new(json, "id", number(m->member.id));
    json_object_set_new(json, "role", json_string(m->member.observer ? "observer" : member_names[m->member.role]));
    json_object_set_new(json, "self", json_boolean(m->self));
    json_object_set_new(json, "leader", json_boolean(m->leader));
    json_object_set_new(json, "connected", json_boolean(m->connected));
    if (view->status.role == RAFT_LEADER) {
        uint64_t last = view->status.last_index;
        json_object_set_new(json, "match", number(m->match));
        json_object_set_new(json, "lag", number(last > m->match ? last - m->match : 0));
    }
    json_object_set_new(json, "incarnation", hex(m->member.incarnation, sizeof m->member.incarnation));
    json_object_set_new(json, "apply_level_max", number(m->member.apply_level_max));
    for (int i = 0; i < ADVERTISED_COUNT; i++)
        if (m->member.address[i][0] != 0) json_object_set_new(addresses, address_names[i], text(m->member.address[i]));
    json_object_set_new(json, "addresses", addresses);
    return json;
}

json_t *http_cluster_json(struct http_instance *instance) {
    struct node *node = instance->settings->node;
    struct node_view view;
    struct node_metrics metrics;
    struct service_status status;
    node_get_metrics(node, &metrics);
    service_status(instance->service, &status);
    node_get_view(node, &view);
    char digest[40];
    snprintf(digest, sizeof digest, "%016llx%016llx", (unsigned long long)view.digest.hi,
             (unsigned long long)view.digest.lo);
    json_t *json = json_object(), *own = json_object(), *counts = json_object(), *members = json_array();
    json_object_set_new(own, "id", number(status.id));
    const char *role = role_names[view.status.role];
    if (status.learner && view.status.role == RAFT_FOLLOWER) role = status.observer ? "observer" : "learner";
    json_object_set_new(own, "role", json_string(role));
    json_object_set_new(own, "ready", json_boolean(node_ready(node)));
    json_object_set_new(own, "version", json_string(PARLEY_VERSION));
    json_object_set_new(own, "data", text(status.data_folder));
    json_object_set_new(own, "uptime_ms", number(status.uptime_ms));
    json_object_set_new(own, "disk_full", json_boolean(view.status.disk_full));
    json_object_set_new(own, "diverged", json_boolean(view.status.diverged));
    // What is told about the log comes at changes only; what was applied is newer.
    uint64_t last = view.status.last_index > view.applied ? view.status.last_index : view.applied,
             commit = view.status.commit > view.applied ? view.status.commit : view.applied;
    json_object_set_new(own, "last_index", number(last));
    json_object_set_new(own, "commit_index", number(commit));
    json_object_set_new(own, "applied_index", number(view.applied));
    json_object_set_new(own, "digest", json_string(digest));
    json_object_set_new(own, "digest_index", number(view.digest_index));
    json_object_set_new(own, "snapshot_index", number(status.last_snapshot_index));
    json_object_set_new(own, "connections", number(metrics.connections_open));
    json_object_set_new(counts, "commands", number(metrics.commands));
    json_object_set_new(counts, "queries", number(metrics.queries));
    json_object_set_new(counts, "refused", number(metrics.refused));
    json_object_set_new(counts, "bytes_in", number(metrics.bytes_in));
    json_object_set_new(counts, "bytes_out", number(metrics.bytes_out));
    json_object_set_new(own, "counters", counts);
    json_object_set_new(json, "cluster_id", hex(view.cluster_id, sizeof view.cluster_id));
    json_object_set_new(json, "term", number(view.status.term));
    json_object_set_new(json, "leader", number(view.status.leader));
    json_object_set_new(json, "apply_level", number(view.apply_level));
    json_object_set_new(json, "log_time_ms", number(view.log_time_ms));
    json_object_set_new(json, "unix_ms", json_integer((json_int_t)view.unix_ms));
    json_object_set_new(json, "sessions", number(metrics.sessions));
    json_object_set_new(json, "node", own);
    for (size_t i = 0; i < view.member_count; i++) json_array_append_new(members, member_json(&view.members[i], &view));
    json_object_set_new(json, "members", members);
    return json;
}
