// Numbers as ZooKeeper 3.8 prints them: srvr, mntr, and a line for each connection.
#include "base/version.h"
#include "io/io.h"
#include "protocol/zookeeper/internal.h"
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

void text_write(struct writer *out, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    writer_reserve(out, 256); // most lines; it is told when that was not enough
    size_t room = out->capacity - out->len;
    int len = vsnprintf((char *)out->data + out->len, room, format, args);
    va_end(args);
    if (len > 0 && (size_t)len >= room) {
        writer_reserve(out, (size_t)len + 1); // its ending NUL is not counted in
        vsnprintf((char *)out->data + out->len, (size_t)len + 1, format, again);
    }
    if (len > 0) out->len += (size_t)len;
    va_end(again);
}

void stats_reset(struct instance *instance) {
    instance->packets_received = instance->packets_sent = 0;
    instance->auth_failed = instance->bad_frames = 0;
    instance->last_reply_bytes = instance->max_reply_bytes = instance->min_reply_bytes = -1;
    instance->latency = (struct latency){.min = UINT32_MAX};
}

static uint32_t latency_min(const struct latency *latency) {
    return latency->count ? latency->min : 0;
}

// The average with at most four digits behind the point, as ZooKeeper rounds it; at least one.
static void latency_average(const struct latency *latency, char out[32]) {
    uint64_t scaled = latency->count ? latency->sum * 10000 / latency->count : 0;
    int len =
        snprintf(out, 32, "%llu.%04llu", (unsigned long long)(scaled / 10000), (unsigned long long)(scaled % 10000));
    while (len > 2 && out[len - 1] == '0' && out[len - 2] != '.') out[--len] = '\0';
}

static const char *server_state(const struct service_status *status) {
    if (!status->has_leader) return "read-only";
    if (status->members <= 1) return "standalone";
    return status->leading ? "leader" : status->learner ? "observer" : "follower";
}

static void tree_stats(struct instance *instance, struct tree_answer *answer) {
    struct tree_query query = {.op = TREE_STATS};
    struct result result = {0};
    service_query(instance->service, MODEL_TREE, &query, &result);
    *answer = result.error || !result.value ? (struct tree_answer){0} : *(const struct tree_answer *)result.value;
}

// The date as ZooKeeper wrote it until 3.5, "11/21/2026 03:27 GMT": go-zookeeper reads `srvr` in no other form.
void stats_version(struct writer *out) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec", built[] = __DATE__, at[] = __TIME__;
    int month = 1;
    while (month < 12 && memcmp(months + 3 * (month - 1), built, 3) != 0) month++;
    text_write(out, "3.8.0-parley-%s, built on %02d/%c%c/%.4s %.5s GMT", PARLEY_VERSION, month,
               built[4] == ' ' ? '0' : built[4], built[5], built + 7, at);
}

void stats_server(struct instance *instance, struct writer *out) {
    struct service_status status;
    struct tree_answer tree;
    char average[32];
    service_status(instance->service, &status);
    tree_stats(instance, &tree);
    latency_average(&instance->latency, average);
    text_write(out, "Zookeeper version: ");
    stats_version(out);
    text_write(out, "\nLatency min/avg/max: %u/%s/%u\nReceived: %llu\nSent: %llu\nConnections: %u\nOutstanding: %llu\n",
               latency_min(&instance->latency), average, instance->latency.max,
               (unsigned long long)instance->packets_received, (unsigned long long)instance->packets_sent,
               instance->connection_count, (unsigned long long)instance->outstanding);
    text_write(out, "Zxid: 0x%llx\nMode: %s\n", (unsigned long long)status.applied_index, server_state(&status));
    text_write(out, "Node count: %llu\n", (unsigned long long)tree.nodes);
    if (status.leading && status.members > 1) text_write(out, "Proposal sizes last/min/max: -1/-1/-1\n");
}

static uint64_t open_files(void) {
    DIR *dir = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (!dir) return 0;
    while (readdir(dir)) count++;
    closedir(dir);
    return count > 3 ? count - 3 : 0; // ".", ".." and this one
}

static void monitor_number(struct writer *out, const char *key, uint64_t value) {
    text_write(out, "zk_%s\t%llu\n", key, (unsigned long long)value);
}

static void monitor_fsync(struct writer *out, const struct histogram *us) {
    if (!us) return;
    uint64_t average = us->count ? us->sum * 10 / us->count / 1000 : 0; // tenths of a millisecond
    text_write(out, "zk_avg_fsynctime\t%llu.%llu\n", (unsigned long long)(average / 10),
               (unsigned long long)(average % 10));
    monitor_number(out, "max_fsynctime", us->max / 1000);
    monitor_number(out, "cnt_fsynctime", us->count);
    monitor_number(out, "sum_fsynctime", us->sum / 1000);
}

void stats_monitor(struct instance *instance, struct writer *out) {
    struct service_status status;
    struct tree_answer tree;
    struct rlimit files = {0};
    char average[32];
    service_status(instance->service, &status);
    tree_stats(instance, &tree);
    latency_average(&instance->latency, average);
    getrlimit(RLIMIT_NOFILE, &files);
    text_write(out, "zk_version\t");
    stats_version(out);
    text_write(out, "\nzk_server_state\t%s\n", server_state(&status));
    monitor_number(out, "ephemerals_count", tree.ephemerals);
    monitor_number(out, "num_alive_connections", instance->connection_count);
    text_write(out, "zk_avg_latency\t%s\n", average);
    monitor_number(out, "outstanding_requests", instance->outstanding);
    monitor_number(out, "znode_count", tree.nodes);
    monitor_number(out, "global_sessions", status.sessions);
    monitor_number(out, "local_sessions", 0);
    text_write(out, "zk_last_client_response_size\t%lld\n", (long long)instance->last_reply_bytes);
    text_write(out, "zk_max_client_response_size\t%lld\n", (long long)instance->max_reply_bytes);
    text_write(out, "zk_min_client_response_size\t%lld\n", (long long)instance->min_reply_bytes);
    monitor_number(out, "packets_sent", instance->packets_sent);
    monitor_number(out, "packets_received", instance->packets_received);
    monitor_number(out, "watch_count", instance->watches.count);
    monitor_number(out, "watch_bytes", watches_memory(&instance->watches));
    monitor_number(out, "auth_failed_count", instance->auth_failed);
    monitor_number(out, "min_latency", latency_min(&instance->latency));
    monitor_number(out, "max_latency", instance->latency.max);
    monitor_number(out, "max_file_descriptor_count", files.rlim_cur);
    monitor_number(out, "open_file_descriptor_count", open_files());
    monitor_number(out, "approximate_data_size", tree.data_bytes);
    monitor_number(out, "uptime", status.uptime_ms);
    monitor_number(out, "bytes_received_count", status.received_bytes);
    monitor_number(out, "response_bytes", status.sent_bytes);
    monitor_number(out, "connection_rejected", status.refused_connections);
    monitor_number(out, "snap_count", status.snapshots);
    monitor_fsync(out, status.fsync_us);
    if (!status.leading || status.members <= 1) return;
    monitor_number(out, "quorum_size", status.voters);
    monitor_number(out, "learners", status.members - 1);
    monitor_number(out, "synced_followers", status.synced_followers);
    monitor_number(out, "synced_non_voting_followers", 0);
    monitor_number(out, "synced_observers", status.synced_observers);
    monitor_number(out, "pending_syncs", 0);
    text_write(out, "zk_last_proposal_size\t-1\nzk_max_proposal_size\t-1\nzk_min_proposal_size\t-1\n");
}

void stats_connection(struct connection *c, struct writer *out, bool full) {
    struct io_conn_info info;
    client_info(c->client, &info);
    text_write(out, " /%s[%d](queued=%zu,recved=%llu,sent=%llu", info.remote, c->paused ? 0 : 1, c->requests.count,
               (unsigned long long)c->received, (unsigned long long)c->sent);
    if (full && c->session_shown) {
        char average[32];
        latency_average(&c->latency, average);
        char *point = average; // whole milliseconds here
        while (*point && *point != '.') point++;
        *point = '\0';
        text_write(
            out,
            ",sid=0x%llx,lop=%s,est=%lld,to=%u,lcxid=0x%x,lzxid=0x%llx,lresp=%llu,llat=0,minlat=%u,avglat=%s,maxlat=%u",
            (unsigned long long)c->session_shown, zookeeper_operations[c->last_operation].tag,
            (long long)c->opened_unix_ms, c->timeout_ms, (uint32_t)c->last_xid, (unsigned long long)c->last_zxid,
            (unsigned long long)c->last_reply_ms, latency_min(&c->latency), average, c->latency.max);
    }
    text_write(out, ")\n");
}
