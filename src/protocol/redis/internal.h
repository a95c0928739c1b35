// Shapes of the Redis room, shared by its files only.
//
//   bytes --> parse.c --> requests.c (request)  --> own commands (connect.c, clients.c, transaction.c, ...)  at arrival
//                              |--> KEYS_OP_RUN, answered by `reply`                    writes, and EXEC with writes
//                              `--> keys_query, when all before it has been answered    reads
//
// Own commands run when they arrive (SELECT, MULTI, HELLO change how the next request is read); their reply keeps its
// place. The pipeline is a ring of small requests. Invariant: the front of a ring at rest waits for the node.
//
// Without a leader the bytes of a command that needs one stay unread, so that nothing of it can be applied later.
#pragma once
#include "base/histogram.h"
#include "base/list.h"
#include "base/ring.h"
#include "model/keys/keys.h"
#include "model/keys/reply.h"
#include "protocol/redis/parse.h"
#include "protocol/redis/redis.h"
#include <stdarg.h>
#include <stdio.h>

enum request_state {
    REQUEST_WRITE, // waits for reply(tag)
    REQUEST_ROUND, // a read that waits for read_ready(tag)
    REQUEST_READ,  // a read that runs when it comes to the front
    REQUEST_READY, // its reply is held
};
enum { // of a request
    REQUEST_RESP3 = 1,
    REQUEST_SILENT = 2, // CLIENT REPLY OFF, SKIP
    REQUEST_EXEC = 4,   // held: what transaction_hold wrote
    REQUEST_TRACK = 16, // keys that it reads are remembered
    REQUEST_WATCH = 8,  // nothing is read behind it: EXEC needs its answer
};
struct request {
    uint64_t tag;
    uint64_t held_at; // place in the connection's held bytes (counted from its beginning of time)
    uint32_t held_len;
    uint32_t arrived_ms; // low bits of the monotonic clock
    uint16_t row;        // place in keys_rows
    uint8_t state, flags, database;
};

struct connection;
struct call { // an own command
    const struct keys_row *row;
    const struct bytes *argv;
    size_t argc;
    struct reply *reply;
};
typedef void (*own_handler)(struct connection *c, const struct call *call);

struct queued { // of MULTI; its arguments stand in the transaction's bytes
    const struct keys_row *row;
    size_t at;
    uint32_t argc;
    bool own;
};
struct watched {
    uint64_t index;
    uint32_t database;
    uint32_t at, len; // of the key, in the transaction's keys
};
struct transaction {
    bool open, failed; // between MULTI and EXEC; a command could not be queued
    struct ring queue; // struct queued
    struct writer bytes;
    struct ring watches; // struct watched
    struct writer keys;
};

struct connection {
    struct instance *instance;
    struct client *client;
    struct list link;    // in instance->connections
    struct list waiting; // in instance->waiting: its next command waits for a leader
    struct ring requests;
    struct writer held;
    uint64_t held_base;
    struct parse parse;
    struct transaction *transaction; // NULL: nothing queued or watched
    char *name, *library, *library_version;
    const struct keys_row *last_row;
    struct subscriber *subscriber; // NULL: no channel
    struct tracker *tracker;       // NULL: not tracking
    uint64_t id, waiting_since_ms, last_ms;
    int64_t opened_unix_ms;
    uint32_t commands;
    uint8_t database;
    bool resp3, authenticated, local_reads, silent, silent_next, silent_now, no_evict, paused, barrier, closing;
    bool tracks_now; // the read that runs is remembered (tracking.c)
    bool ends;       // closed once what was asked is answered; nothing more is read
};

enum {                       // of a row, beside its flags
    TRAIT_CONTAINS = 1,      // there are subcommands
    TRAIT_EXEC = 2,          // the pipeline's own, as WATCH
    TRAIT_WATCH = 4,         //
    TRAIT_DATA = 8,          // the model's; EXEC, WATCH
    TRAIT_APART = 16,        // an own one that runs when all before it has been answered
    TRAIT_AT_ONCE = 32,      // not queued by MULTI
    TRAIT_NAMES_LEADER = 64, // it is worth waiting for the election's end: clients ask when they lost the leader
    TRAIT_LISTENS = 128,     // allowed to a subscriber in RESP2
};
struct command_statistics {
    uint64_t calls, us, rejected, failed;
};

struct instance {
    struct service *service;
    struct redis_settings settings;
    struct list connections, waiting;
    uint64_t connection_count, next_id, connections_received, rejected;
    struct parse_spans spare; // of a connection whose request is whole
    struct bytes *argv;       // of the request that is being taken
    size_t argv_capacity;
    struct writer command, scratch, line;
    own_handler *handlers;                 // by place in keys_rows; NULL: the model's, or not there
    uint8_t *traits;                       // by place in keys_rows: TRAIT_...
    struct command_statistics *statistics; // by place in keys_rows
    struct channels *channels;
    struct tracking *tracking;
    struct config_values *config;
    uint64_t now_ms, commands, errors;
    uint64_t ticked_ms, ticked_commands, commands_per_second, ticked_received, ticked_sent;
    uint64_t peak_memory;
    uint32_t leader; // of the last tick
    uint32_t notify; // classes of events that are told (notify.c)
    uint64_t seed;
    char run_id[41];
};

static inline struct reply reply_to(struct writer *to, const struct connection *c) {
    return (struct reply){.to = to, .resp3 = c->resp3};
}
static inline size_t row_place(const struct keys_row *row) {
    return (size_t)(row - keys_rows);
}
bool word_is(struct bytes text, const char *word); // without regard to case
struct bytes text_of(const char *text);            // NULL is empty

// instance.c
void redis_end(struct connection *c, bool flush);
void redis_reset(struct connection *c);
struct connection *redis_connection_by_id(struct instance *instance, uint64_t id);
void text_set(char **to, struct bytes text);

// requests.c
// False: it cannot be taken now; its bytes are to come again.
bool requests_request(struct connection *c, const struct bytes *argv, size_t argc);
void requests_reply(struct connection *c, uint64_t tag, const struct result *result);
void requests_read_ready(struct connection *c, uint64_t tag, int error);
void requests_tick(struct connection *c); // reads without a leader
void requests_free(struct connection *c);
struct request *requests_push(struct connection *c, const struct keys_row *row, enum request_state state);
void requests_hold(struct connection *c, struct request *request, struct bytes bytes);
void requests_submit(struct connection *c, struct request *request); // what instance->command holds
void requests_read(struct connection *c, const struct keys_row *row, uint8_t flags, struct bytes held);
void requests_drain(struct connection *c);
void requests_run_own(struct connection *c, const struct call *call);
void requests_query(struct connection *c, uint32_t database, const struct keys_row *row, const struct bytes *argv,
                    size_t argc, struct reply *reply);
struct bytes *requests_arguments(struct instance *instance, size_t count);
void arguments_write(struct writer *w, const struct bytes *argv, size_t argc);
size_t arguments_read(struct instance *instance, struct reader *r); // into instance->argv; how many
void call_error(struct connection *c, const struct keys_row *row, struct reply *reply, int error);

// transaction.c
bool transaction_open(const struct connection *c);
void transaction_queue(struct connection *c, const struct keys_row *row, const struct bytes *argv, size_t argc);
void transaction_fail(struct connection *c);
void transaction_exec(struct connection *c, const struct keys_row *row);
void transaction_watch(struct connection *c, const struct call *call);
void transaction_reply(struct connection *c, struct bytes held, const struct keys_result *result, struct reply *reply);
void transaction_forget(struct connection *c, struct bytes held);                   // behind the reply: see tracking.c
void transaction_run(struct connection *c, struct bytes held, struct reply *reply); // one that only reads
void transaction_end(struct connection *c);

// pubsub.c
struct channels *channels_new(uint64_t seed);
void channels_free(struct channels *channels);
size_t channels_count(const struct channels *channels, bool patterns);
size_t channels_publish(struct channels *channels, struct bytes name, struct bytes message, bool shard); // how many
void subscriber_leave(struct connection *c);
bool subscriber_restricted(const struct connection *c); // RESP2 with a subscription: few commands are allowed
size_t subscriber_count(const struct connection *c, bool patterns);

// tracking.c
struct tracking *tracking_new(uint64_t seed);
void tracking_free(struct tracking *table);
size_t tracking_clients(const struct tracking *table);
void tracking_event(struct instance *instance, const struct keys_event *event);
bool tracking_wanted(const struct connection *c); // is the read that comes now to be remembered?
void tracking_read(struct connection *c, const struct keys_row *row, const struct bytes *argv, size_t argc);
void tracking_seen(struct connection *c); // a connection that tracks has read something
void tracking_forget(struct connection *c, const struct keys_row *row, const struct bytes *argv, size_t argc);
void tracking_command_done(struct connection *c, const struct keys_row *row);
void tracking_end(struct connection *c);

// notify.c
#define NOTIFY_TEXT_MAX 24
bool notify_parse(struct bytes text, uint32_t *flags); // as CONFIG SET has it; false: a letter that there is not
void notify_text(uint32_t flags, char out[NOTIFY_TEXT_MAX]);
void redis_event(void *instance, uint8_t model, const void *event);

// config.c
struct config_values *config_values_new(const struct redis_settings *settings);
void config_values_free(struct config_values *values);
const char *config_value(const struct instance *instance, const char *name);

// clients.c
void redis_client_line(const struct connection *c, struct writer *out);
// commands.c
size_t row_subcommands(const struct keys_row *row); // of a container
const char *row_group(const struct keys_row *row);
// cluster.c
struct node_list {
    struct service_member members[MEMBERS_MAX];
    size_t count;
    const struct service_member *leader, *self; // NULL: none
};
void nodes_list(struct instance *instance, struct node_list *nodes);
void redis_address(const char *address, char host[ADDRESS_TEXT_MAX], int64_t *port);
void info_replication(struct instance *instance, const struct service_status *status, struct writer *out);

__attribute__((format(printf, 2, 3))) void text_format(struct writer *out, const char *format, ...);

// ---- own commands: row's name, handler
#define REDIS_OWN_COMMANDS(X)                                                                                          \
    X("ping", own_ping)                                                                                                \
    X("echo", own_echo)                                                                                                \
    X("quit", own_quit)                                                                                                \
    X("select", own_select)                                                                                            \
    X("hello", own_hello)                                                                                              \
    X("auth", own_auth)                                                                                                \
    X("reset", own_reset)                                                                                              \
    X("multi", own_multi)                                                                                              \
    X("discard", own_discard)                                                                                          \
    X("unwatch", own_unwatch)                                                                                          \
    X("client|id", own_client_id)                                                                                      \
    X("client|getname", own_client_getname)                                                                            \
    X("client|setname", own_client_setname)                                                                            \
    X("client|setinfo", own_client_setinfo)                                                                            \
    X("client|info", own_client_info)                                                                                  \
    X("client|list", own_client_list)                                                                                  \
    X("client|kill", own_client_kill)                                                                                  \
    X("client|reply", own_client_reply)                                                                                \
    X("client|no-evict", own_client_no_evict)                                                                          \
    X("client|no-touch", own_client_no_touch)                                                                          \
    X("client|getredir", own_client_getredir)                                                                          \
    X("client|tracking", own_client_tracking)                                                                          \
    X("client|caching", own_client_caching)                                                                            \
    X("client|trackinginfo", own_client_trackinginfo)                                                                  \
    X("client|help", own_help)                                                                                         \
    X("client|unpause", own_ok)                                                                                        \
    X("command", own_command)                                                                                          \
    X("command|count", own_command_count)                                                                              \
    X("command|info", own_command_info)                                                                                \
    X("command|list", own_command_list)                                                                                \
    X("command|docs", own_command_docs)                                                                                \
    X("command|getkeys", own_command_getkeys)                                                                          \
    X("command|help", own_help)                                                                                        \
    X("config|get", own_config_get)                                                                                    \
    X("config|set", own_config_set)                                                                                    \
    X("config|resetstat", own_config_resetstat)                                                                        \
    X("config|help", own_help)                                                                                         \
    X("info", own_info)                                                                                                \
    X("time", own_time)                                                                                                \
    X("lastsave", own_lastsave)                                                                                        \
    X("lolwut", own_lolwut)                                                                                            \
    X("acl|whoami", own_acl_whoami)                                                                                    \
    X("memory|doctor", own_memory_doctor)                                                                              \
    X("memory|purge", own_ok)                                                                                          \
    X("memory|help", own_help)                                                                                         \
    X("latency|latest", own_empty)                                                                                     \
    X("latency|history", own_empty)                                                                                    \
    X("latency|reset", own_zero)                                                                                       \
    X("latency|doctor", own_latency_doctor)                                                                            \
    X("latency|help", own_help)                                                                                        \
    X("slowlog|get", own_empty)                                                                                        \
    X("slowlog|len", own_zero)                                                                                         \
    X("slowlog|reset", own_ok)                                                                                         \
    X("slowlog|help", own_help)                                                                                        \
    X("module|list", own_empty)                                                                                        \
    X("role", own_role)                                                                                                \
    X("wait", own_wait)                                                                                                \
    X("readonly", own_readonly)                                                                                        \
    X("readwrite", own_readwrite)                                                                                      \
    X("asking", own_ok)                                                                                                \
    X("cluster|info", own_cluster_info)                                                                                \
    X("cluster|slots", own_cluster_slots)                                                                              \
    X("cluster|shards", own_cluster_shards)                                                                            \
    X("cluster|nodes", own_cluster_nodes)                                                                              \
    X("cluster|myid", own_cluster_myid)                                                                                \
    X("cluster|keyslot", own_cluster_keyslot)                                                                          \
    X("cluster|countkeysinslot", own_cluster_countkeysinslot)                                                          \
    X("cluster|replicas", own_cluster_replicas)                                                                        \
    X("cluster|slaves", own_cluster_replicas)                                                                          \
    X("cluster|help", own_help)                                                                                        \
    X("sentinel|get-master-addr-by-name", own_sentinel_address)                                                        \
    X("sentinel|masters", own_sentinel_masters)                                                                        \
    X("sentinel|master", own_sentinel_master)                                                                          \
    X("sentinel|replicas", own_sentinel_replicas)                                                                      \
    X("sentinel|slaves", own_sentinel_replicas)                                                                        \
    X("sentinel|sentinels", own_sentinel_sentinels)                                                                    \
    X("sentinel|ckquorum", own_sentinel_ckquorum)                                                                      \
    X("sentinel|myid", own_cluster_myid)                                                                               \
    X("sentinel|help", own_help)                                                                                       \
    X("subscribe", own_subscribe)                                                                                      \
    X("psubscribe", own_subscribe)                                                                                     \
    X("ssubscribe", own_subscribe)                                                                                     \
    X("unsubscribe", own_unsubscribe)                                                                                  \
    X("punsubscribe", own_unsubscribe)                                                                                 \
    X("sunsubscribe", own_unsubscribe)                                                                                 \
    X("publish", own_publish)                                                                                          \
    X("spublish", own_publish)                                                                                         \
    X("pubsub|channels", own_pubsub_channels)                                                                          \
    X("pubsub|numsub", own_pubsub_numsub)                                                                              \
    X("pubsub|numpat", own_pubsub_numpat)                                                                              \
    X("pubsub|shardchannels", own_pubsub_channels)                                                                     \
    X("pubsub|shardnumsub", own_pubsub_numsub)                                                                         \
    X("pubsub|help", own_help)

// The same handler may stand in several rows.
#define X(name, handler) void handler(struct connection *c, const struct call *call);
REDIS_OWN_COMMANDS(X)
#undef X
