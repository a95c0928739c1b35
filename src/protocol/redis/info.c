// INFO and what else tells of the server.
#include "base/alloc.h"
#include "base/version.h"
#include "protocol/redis/internal.h"
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static unsigned long long number(uint64_t value) {
    return value;
}

static void write_server(struct instance *instance, const struct service_status *status, struct writer *out) {
    struct utsname system = {0};
    uname(&system);
    text_format(
        out,
        "redis_version:%s\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:parley-%s\r\n"
        "redis_mode:%s\r\nos:%s %s %s\r\narch_bits:64\r\nmultiplexing_api:epoll\r\natomicvar_api:c11-builtin\r\n"
        "process_id:%d\r\nrun_id:%s\r\n",
        REDIS_VERSION, PARLEY_VERSION, instance->settings.cluster ? "cluster" : "standalone", system.sysname,
        system.release, system.machine, (int)getpid(), instance->run_id);
    struct node_list nodes;
    char host[ADDRESS_TEXT_MAX] = "";
    int64_t port = 0;
    nodes_list(instance, &nodes);
    if (nodes.self != NULL) redis_address(nodes.self->protocol_address, host, &port);
    text_format(out,
                "tcp_port:%lld\r\nserver_time_usec:%lld\r\nuptime_in_seconds:%llu\r\nuptime_in_days:%llu\r\nhz:10\r\n"
                "configured_hz:10\r\nexecutable:parley\r\nconfig_file:\r\nio_threads_active:0\r\nparley_version:%s\r\n"
                "parley_node:%u\r\n",
                (long long)port, (long long)service_unix_ms(instance->service) * 1000, number(status->uptime_ms / 1000),
                number(status->uptime_ms / 86400000), PARLEY_VERSION, status->id);
}

static void write_clients(struct instance *instance, const struct service_status *status, struct writer *out) {
    text_format(out,
                "connected_clients:%llu\r\ncluster_connections:0\r\nmaxclients:10000\r\n"
                "client_recent_max_input_buffer:0\r\nclient_recent_max_output_buffer:0\r\nblocked_clients:0\r\n"
                "tracking_clients:0\r\nclients_in_timeout_table:0\r\n",
                number(instance->connection_count));
}

static uint64_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long long all = 0, resident = 0;
    if (file == NULL) return 0;
    if (fscanf(file, "%llu %llu", &all, &resident) != 2) resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void human(uint64_t bytes, char out[32]) {
    static const char units[] = "BKMGT";
    size_t unit = 0;
    double value = (double)bytes;
    for (; value >= 1024 && unit + 2 < sizeof units; unit++) value /= 1024;
    snprintf(out, 32, unit == 0 ? "%.0f%c" : "%.2f%c", value, units[unit]);
}

static void write_memory(struct instance *instance, const struct service_status *status, struct writer *out) {
    char used[32], resident[32], peak[32], most[32];
    uint64_t rss = resident_bytes(), data = status->data_bytes_estimate;
    uint64_t highest = instance->peak_memory > data ? instance->peak_memory : data;
    human(data, used);
    human(rss, resident);
    human(highest, peak);
    human(instance->settings.memory_max, most);
    text_format(
        out,
        "used_memory:%llu\r\nused_memory_human:%s\r\nused_memory_rss:%llu\r\nused_memory_rss_human:%s\r\n"
        "used_memory_peak:%llu\r\nused_memory_peak_human:%s\r\nused_memory_lua:0\r\nused_memory_dataset:%llu\r\n"
        "maxmemory:%llu\r\nmaxmemory_human:%s\r\nmaxmemory_policy:noeviction\r\n"
        "mem_fragmentation_ratio:%.2f\r\nmem_clients_normal:0\r\nmem_allocator:libc\r\nlazyfree_pending_objects:0\r\n",
        number(data), used, number(rss), resident, number(highest), peak, number(data),
        number(instance->settings.memory_max), most, data == 0 ? 1.0 : (double)rss / (double)data);
}

static void write_persistence(struct instance *instance, const struct service_status *status, struct writer *out) {
    text_format(out,
                "loading:%d\r\nasync_loading:0\r\ncurrent_cow_size:0\r\nrdb_changes_since_last_save:%llu\r\n"
                "rdb_bgsave_in_progress:0\r\nrdb_last_save_time:%llu\r\nrdb_last_bgsave_status:ok\r\n"
                "rdb_last_bgsave_time_sec:-1\r\nrdb_saves:%llu\r\naof_enabled:1\r\naof_rewrite_in_progress:0\r\n"
                "aof_last_bgrewrite_status:ok\r\naof_last_write_status:ok\r\naof_current_size:%llu\r\n",
                status->applied_index == 0, number(status->applied_index - status->last_snapshot_index),
                number(status->start_unix_ms / 1000), number(status->snapshots), number(status->journal_bytes));
}

static void statistics_of(struct instance *instance, struct keys_statistics *out) {
    struct keys_query query = {.kind = KEYS_QUERY_STATISTICS};
    struct result result = {0};
    service_query(instance->service, MODEL_KEYS, &query, &result);
    *out = (struct keys_statistics){0};
    if (result.error == 0 && result.value != NULL) *out = *(const struct keys_statistics *)result.value;
}

static void write_stats(struct instance *instance, const struct service_status *status, struct writer *out) {
    struct keys_statistics keys;
    statistics_of(instance, &keys);
    text_format(out,
                "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\ninstantaneous_ops_per_sec:%llu\r\n"
                "total_net_input_bytes:%llu\r\ntotal_net_output_bytes:%llu\r\ninstantaneous_input_kbps:0.00\r\n"
                "instantaneous_output_kbps:0.00\r\nrejected_connections:%llu\r\nsync_full:0\r\nsync_partial_ok:0\r\n"
                "sync_partial_err:0\r\n",
                number(instance->connections_received), number(instance->commands),
                number(instance->commands_per_second), number(status->received_bytes), number(status->sent_bytes),
                number(status->refused_connections));
    text_format(out,
                "expired_keys:%llu\r\nexpired_stale_perc:0.00\r\nexpired_time_cap_reached_count:0\r\nevicted_keys:0\r\n"
                "evicted_clients:0\r\nkeyspace_hits:%llu\r\nkeyspace_misses:%llu\r\npubsub_channels:%zu\r\n"
                "pubsub_patterns:%zu\r\nlatest_fork_usec:0\r\ntotal_forks:%llu\r\ntotal_error_replies:%llu\r\n",
                number(keys.expired), number(keys.hits), number(keys.misses), channels_count(instance->channels, false),
                channels_count(instance->channels, true), number(status->snapshots), number(instance->errors));
}

static void write_cpu(struct instance *instance, const struct service_status *status, struct writer *out) {
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    text_format(out,
                "used_cpu_sys:%ld.%06ld\r\nused_cpu_user:%ld.%06ld\r\nused_cpu_sys_children:0.000000\r\n"
                "used_cpu_user_children:0.000000\r\n",
                (long)own.ru_stime.tv_sec, (long)own.ru_stime.tv_usec, (long)own.ru_utime.tv_sec,
                (long)own.ru_utime.tv_usec);
}

static void write_modules(struct instance *instance, const struct service_status *status, struct writer *out) {}

static void write_commandstats(struct instance *instance, const struct service_status *status, struct writer *out) {
    for (size_t i = 0; i < keys_row_count; i++) {
        const struct command_statistics *s = &instance->statistics[i];
        if (s->calls == 0 && s->rejected == 0) continue;
        text_format(out, "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=0.00,rejected_calls=%llu,failed_calls=%llu\r\n",
                    keys_rows[i].name, number(s->calls), number(s->us), number(s->rejected), number(s->failed));
    }
}

static void write_errorstats(struct instance *instance, const struct service_status *status, struct writer *out) {}

static void write_cluster(struct instance *instance, const struct service_status *status, struct writer *out) {
    text_format(out, "cluster_enabled:%d\r\n", instance->settings.cluster);
}

static void write_keyspace(struct instance *instance, const struct service_status *status, struct writer *out) {
    struct keys_statistics keys;
    statistics_of(instance, &keys);
    for (unsigned i = 0; i < KEYS_DATABASES; i++)
        if (keys.keys[i] > 0)
            text_format(out, "db%u:keys=%llu,expires=%llu,avg_ttl=%llu\r\n", i, number(keys.keys[i]),
                        number(keys.expires[i]), number(keys.average_ttl_ms[i]));
}

void own_info(struct connection *c, const struct call *call) {
    static const struct {
        const char *name, *title;
        void (*write)(struct instance *instance, const struct service_status *status, struct writer *out);
        bool always; // without being asked for by its name
    } sections[] = {
        {"server", "Server", write_server, true},
        {"clients", "Clients", write_clients, true},
        {"memory", "Memory", write_memory, true},
        {"persistence", "Persistence", write_persistence, true},
        {"stats", "Stats", write_stats, true},
        {"replication", "Replication", info_replication, true},
        {"cpu", "CPU", write_cpu, true},
        {"modules", "Modules", write_modules, true},
        {"commandstats", "Commandstats", write_commandstats, false},
        {"errorstats", "Errorstats", write_errorstats, true},
        {"cluster", "Cluster", write_cluster, true},
        {"keyspace", "Keyspace", write_keyspace, true},
    };
    struct service_status status;
    struct writer text = {0};
    service_status(c->instance->service, &status);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        bool wanted = call->argc == 1 && sections[i].always;
        for (size_t k = 1; k < call->argc; k++)
            wanted = wanted || word_is(call->argv[k], sections[i].name) || word_is(call->argv[k], "all") ||
                     word_is(call->argv[k], "everything") || (sections[i].always && word_is(call->argv[k], "default"));
        if (!wanted) continue;
        text_format(&text, "%s# %s\r\n", text.len == 0 ? "" : "\r\n", sections[i].title);
        sections[i].write(c->instance, &status, &text);
    }
    reply_verbatim(call->reply, bytes_of(text.data, text.len));
    writer_free(&text);
}

// ---- small ones

void own_ok(struct connection *c, const struct call *call) {
    reply_ok(call->reply);
}

void own_empty(struct connection *c, const struct call *call) {
    reply_array(call->reply, 0);
}

void own_zero(struct connection *c, const struct call *call) {
    reply_number(call->reply, 0);
}

void own_time(struct connection *c, const struct call *call) {
    int64_t unix_ms = service_unix_ms(c->instance->service);
    char seconds[24], micros[24];
    snprintf(seconds, sizeof seconds, "%lld", (long long)unix_ms / 1000);
    snprintf(micros, sizeof micros, "%lld", (long long)(unix_ms % 1000) * 1000);
    reply_array(call->reply, 2);
    reply_text(call->reply, seconds);
    reply_text(call->reply, micros);
}

void own_lastsave(struct connection *c, const struct call *call) {
    struct service_status status;
    service_status(c->instance->service, &status);
    reply_number(call->reply, (int64_t)(status.start_unix_ms / 1000));
}

void own_lolwut(struct connection *c, const struct call *call) {
    reply_text(call->reply, "Parley " PARLEY_VERSION "\n");
}

void own_acl_whoami(struct connection *c, const struct call *call) {
    reply_text(call->reply, "default");
}

void own_memory_doctor(struct connection *c, const struct call *call) {
    reply_text(call->reply, "Nothing is known here that would be wrong: see `parley status` and the metrics.");
}

void own_latency_doctor(struct connection *c, const struct call *call) {
    reply_text(call->reply, "Latencies are in the metrics (GET /metrics): commit, apply, fsync.");
}
