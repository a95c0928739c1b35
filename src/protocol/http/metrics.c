// GET /metrics: Prometheus's text format, version 0.0.4. Names: parley_*, _total for counters, base units (_seconds,
// _bytes).
#include "base/version.h"
#include "protocol/http/internal.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    write_span(w, bytes_of(text, len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1));
}

static void head(struct writer *w, const char *name, const char *type, const char *help) {
    put(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void counter(struct writer *w, const char *name, const char *help, uint64_t value) {
    head(w, name, "counter", help);
    put(w, "%s %" PRIu64 "\n", name, value);
}

static void gauge(struct writer *w, const char *name, const char *help, uint64_t value) {
    head(w, name, "gauge", help);
    put(w, "%s %" PRIu64 "\n", name, value);
}

// Bounds that a disk and a network spread over, in microseconds.
static const uint32_t bounds_us[] = {50,    100,   250,    500,    1000,   2500,    5000,    10000,
                                     25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};

static void histogram(struct writer *w, const char *name, const char *help, const struct histogram *h) {
    head(w, name, "histogram", help);
    for (size_t i = 0; i < sizeof bounds_us / sizeof bounds_us[0]; i++) {
        char bound[32];
        snprintf(bound, sizeof bound, "%u.%06u", bounds_us[i] / 1000000, bounds_us[i] % 1000000);
        size_t len = 0;
        while (bound[len] != 0) len++;
        while (bound[len - 1] == '0') bound[--len] = 0; // 0.00005, 10.
        if (bound[len - 1] == '.') bound[--len] = 0;
        put(w, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, bound, histogram_count_at_most(h, bounds_us[i]));
    }
    put(w, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, h->count);
    put(w, "%s_sum %" PRIu64 ".%06" PRIu64 "\n%s_count %" PRIu64 "\n", name, h->sum / 1000000, h->sum % 1000000, name,
        h->count);
}

void http_write_metrics(struct http_instance *instance, struct writer *w) {
    struct node *node = instance->settings->node;
    struct node_metrics m;
    struct node_view view;
    struct service_status status;
    node_get_metrics(node, &m);
    node_get_view(node, &view);
    service_status(instance->service, &status);
    head(w, "parley_build_info", "gauge", "Always 1; the label is this node's version.");
    put(w, "parley_build_info{version=\"%s\"} 1\n", PARLEY_VERSION);
    gauge(w, "parley_ready", "1 while this node serves clients.", node_ready(node) ? 1 : 0);
    gauge(w, "parley_leader", "1 while this node leads.", view.status.role == RAFT_LEADER ? 1 : 0);
    gauge(w, "parley_has_leader", "1 while this node knows a leader.", view.status.leader != 0 ? 1 : 0);
    gauge(w, "parley_leader_id", "Number of the leader; 0: none known.", view.status.leader);
    gauge(w, "parley_term", "Raft term.", view.status.term);
    gauge(w, "parley_members", "Members of the cluster.", view.member_count);
    gauge(w, "parley_synced_followers", "Followers close behind; on the leader only.", view.status.synced_followers);
    gauge(w, "parley_synced_observers", "Observers and learners close behind; on the leader only.",
          view.status.synced_observers);
    // What is told about the log comes at changes only; what was applied is newer.
    uint64_t commit = view.status.commit > view.applied ? view.status.commit : view.applied;
    gauge(w, "parley_last_index", "Last index of this node's log.",
          view.status.last_index > commit ? view.status.last_index : commit);
    gauge(w, "parley_commit_index", "Last index known to be committed.", commit);
    gauge(w, "parley_applied_index", "Last index that this node applied.", view.applied);
    gauge(w, "parley_disk_full", "1 while writes are refused because the disk is full.", view.status.disk_full ? 1 : 0);
    gauge(w, "parley_diverged", "1 while this node's state differs from the majority's and it does not serve.",
          view.status.diverged ? 1 : 0);
    head(w, "parley_peer_connected", "gauge", "1 while the links to this member are up.");
    for (size_t i = 0; i < view.member_count; i++)
        if (!view.members[i].self)
            put(w, "parley_peer_connected{member=\"%u\"} %d\n", view.members[i].member.id,
                view.members[i].connected ? 1 : 0);
    if (view.status.role == RAFT_LEADER) {
        head(w, "parley_peer_match_index", "gauge",
             "Last index that is known to be on this member's disk; on the leader only.");
        for (size_t i = 0; i < view.member_count; i++)
            if (!view.members[i].self)
                put(w, "parley_peer_match_index{member=\"%u\"} %" PRIu64 "\n", view.members[i].member.id,
                    view.members[i].match);
    }
    counter(w, "parley_commands_total", "Writes that clients of this node asked for.", m.commands);
    counter(w, "parley_commands_refused_total", "Of those, not applied.", m.refused);
    counter(w, "parley_queries_total", "Reads answered from this node's state.", m.queries);
    counter(w, "parley_read_rounds_total", "Rounds of linearizable reads.", m.read_rounds);
    gauge(w, "parley_sessions", "Sessions of the cluster, as of what this node applied.", m.sessions);
    gauge(w, "parley_connections", "Client connections that are open.", m.connections_open);
    counter(w, "parley_connections_opened_total", "Client connections that were accepted.", m.connections_opened);
    counter(w, "parley_connections_refused_total", "Client connections that were closed at once.",
            m.connections_refused);
    counter(w, "parley_received_bytes_total", "Bytes from clients.", m.bytes_in);
    counter(w, "parley_sent_bytes_total", "Bytes to clients.", m.bytes_out);
    counter(w, "parley_journal_written_bytes_total", "Bytes written to the journal.", m.journal_bytes);
    counter(w, "parley_journal_writes_total", "Writes of the journal, each with an fdatasync.", m.journal_writes);
    gauge(w, "parley_journal_disk_bytes", "What the journal takes on the disk.", status.journal_bytes);
    gauge(w, "parley_data_bytes", "Estimated memory of the state.", status.data_bytes_estimate);
    counter(w, "parley_snapshots_made_total", "Snapshots that this node made.", m.snapshots_made);
    counter(w, "parley_snapshots_installed_total", "Snapshots that it took from others.", m.snapshots_installed);
    gauge(w, "parley_snapshot_index", "Index of the newest snapshot.", status.last_snapshot_index);
    counter(w, "parley_leader_changes_total", "Changes of leader that this node saw.", m.leader_changes);
    gauge(w, "parley_uptime_seconds", "Since this node started.", status.uptime_ms / 1000);
    histogram(w, "parley_fdatasync_seconds", "Time of an fdatasync of the journal.", &m.fsync_us);
    histogram(w, "parley_apply_seconds", "Time of applying what one turn of the service loop applied.", &m.apply_us);
    histogram(w, "parley_loop_lag_seconds", "How late the service loop came to its ticks.", &m.loop_lag_us);
    histogram(w, "parley_commit_seconds", "Time from a write's arrival until it was applied here.", &m.commit_us);
}
