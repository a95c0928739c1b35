// CONFIG: what exists, under Redis's names. Nothing is set here: settings are the server's (docs/settings.md), and what
// the state hangs on is the cluster's.
#include "base/alloc.h"
#include "model/keys/glob.h"
#include "protocol/redis/internal.h"
#include <ctype.h>
#include <stdio.h>

struct config_value {
    const char *name;
    const char *value;
};
struct config_values {
    char memory_max[24];
    struct config_value *rows;
    size_t count;
};

struct config_values *config_values_new(const struct redis_settings *settings) {
    static const struct config_value fixed[] = {
        {"appendfsync", "always"},
        {"appendonly", "yes"},
        {"client-query-buffer-limit", "135266304"},
        {"databases", "16"},
        {"hz", "10"},
        {"lfu-decay-time", "1"},
        {"lfu-log-factor", "10"},
        {"lua-time-limit", "5000"},
        {"busy-reply-threshold", "5000"},
        {"maxmemory-policy", "noeviction"},
        {"min-replicas-to-write", "0"},
        {"notify-keyspace-events", ""},
        {"proto-max-bulk-len", "67108864"},
        {"replica-serve-stale-data", "no"},
        {"replicaof", ""},
        {"save", ""},
        {"slowlog-log-slower-than", "-1"},
        {"slowlog-max-len", "0"},
        {"tcp-keepalive", "300"},
        {"timeout", "0"},
        {"hash-max-listpack-entries", "128"},
        {"hash-max-listpack-value", "64"},
        {"hash-max-ziplist-entries", "128"},
        {"hash-max-ziplist-value", "64"},
        {"list-max-listpack-size", "-2"},
        {"list-max-ziplist-size", "-2"},
        {"list-compress-depth", "0"},
        {"set-max-intset-entries", "512"},
        {"zset-max-listpack-entries", "128"},
        {"zset-max-listpack-value", "64"},
        {"zset-max-ziplist-entries", "128"},
        {"zset-max-ziplist-value", "64"},
        {"hll-sparse-max-bytes", "3000"},
        {"stream-node-max-bytes", "4096"},
        {"stream-node-max-entries", "100"},
    };
    size_t known = sizeof fixed / sizeof fixed[0];
    struct config_values *values = mem_zalloc(sizeof *values);
    values->rows = mem_alloc((known + 4) * sizeof *values->rows);
    memcpy(values->rows, fixed, sizeof fixed);
    values->count = known;
    snprintf(values->memory_max, sizeof values->memory_max, "%llu", (unsigned long long)settings->memory_max);
    values->rows[values->count++] = (struct config_value){"maxmemory", values->memory_max};
    values->rows[values->count++] = (struct config_value){"cluster-enabled", settings->cluster ? "yes" : "no"};
    values->rows[values->count++] =
        (struct config_value){"requirepass", settings->password == NULL ? "" : settings->password};
    return values;
}

void config_values_free(struct config_values *values) {
    if (values != NULL) mem_free(values->rows);
    mem_free(values);
}

const char *config_value(const struct instance *instance, const char *name) {
    const struct config_values *values = instance->config;
    for (size_t i = 0; i < values->count; i++)
        if (strcmp(values->rows[i].name, name) == 0) return values->rows[i].value;
    return NULL;
}

static bool matches(struct bytes pattern, const char *name) {
    char small[128];
    if (pattern.len > sizeof small) return false;
    for (size_t i = 0; i < pattern.len; i++) small[i] = (char)tolower(pattern.data[i]);
    return glob_match(bytes_of(small, pattern.len), bytes_of_text(name));
}

void own_config_get(struct connection *c, const struct call *call) {
    const struct config_values *values = c->instance->config;
    size_t begun = reply_begin(call->reply), count = 0;
    for (size_t i = 0; i < values->count; i++) {
        bool wanted = false;
        for (size_t k = 2; k < call->argc && !wanted; k++) wanted = matches(call->argv[k], values->rows[i].name);
        if (!wanted) continue;
        reply_text(call->reply, values->rows[i].name);
        reply_text(call->reply, values->rows[i].value);
        count++;
    }
    reply_end(call->reply, begun, '%', count);
}

// Only what is so already.
void own_config_set(struct connection *c, const struct call *call) {
    if (call->argc % 2 != 0) {
        reply_error(call->reply, "ERR wrong number of arguments for 'config|set' command");
        return;
    }
    for (size_t i = 2; i < call->argc; i += 2) {
        char name[128];
        struct bytes word = call->argv[i];
        snprintf(name, sizeof name, "%.*s", (int)(word.len > 127 ? 127 : word.len), (const char *)word.data);
        for (char *at = name; *at != 0; at++) *at = (char)tolower((unsigned char)*at);
        const char *value = config_value(c->instance, name);
        if (value == NULL) {
            reply_error(call->reply, "ERR Unknown option or number of arguments for CONFIG SET - '%s'", name);
            return;
        }
        if (word_is(call->argv[i + 1], value)) continue;
        reply_error(call->reply,
                    "ERR CONFIG SET failed (possibly related to argument '%s') - can't set immutable config", name);
        return;
    }
    reply_ok(call->reply);
}

void own_config_resetstat(struct connection *c, const struct call *call) {
    struct instance *instance = c->instance;
    memset(instance->statistics, 0, keys_row_count * sizeof *instance->statistics);
    instance->commands = instance->errors = instance->connections_received = instance->ticked_commands = 0;
    instance->peak_memory = 0;
    reply_ok(call->reply);
}
