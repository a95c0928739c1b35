// Redis's data types as replicated state: 16 databases of keys, and the commands on them. What the bytes of the
// protocol are, and what belongs to a connection (HELLO, SUBSCRIBE, CLIENT), is the room protocol/redis; what a command
// does to data is here, and runs at apply, alike on every replica.
//
// One entry runs one command, or all commands of an EXEC. Replies are written as the protocol's bytes at once, in the
// caller's version of it (RESP2 or RESP3): there is no second form of them that would have to be turned.
//
// Physical order must not show in results (design: redis-semantics.md). Databases and collections are dense arrays with
// an index that no result can see; SCAN goes through the array from its end, so that taking an element out (the last
// one takes its place) hides none from it.
#pragma once
#include "model/model.h"

#define KEYS_DATABASES 16u
#define KEYS_VALUE_BYTES_MAX (64u << 20) // of one string; longer ones are refused as Redis refuses those over 512 MB
#define KEYS_NAME_BYTES_MAX KEYS_VALUE_BYTES_MAX
#define KEYS_ARGUMENTS_MAX (1024u * 1024) // of one command, as Redis
#define KEYS_COMMANDS_MAX 65536u          // of one EXEC

// ---- the table of commands (keys_commands.h: rows)

enum keys_flag { // names as COMMAND INFO prints them: keys_flag_names
#define KEYS_FLAGS(X)                                                                                                  \
    X(WRITE, "write")                                                                                                  \
    X(READONLY, "readonly")                                                                                            \
    X(DENYOOM, "denyoom")                                                                                              \
    X(ADMIN, "admin")                                                                                                  \
    X(PUBSUB, "pubsub")                                                                                                \
    X(NOSCRIPT, "noscript")                                                                                            \
    X(BLOCKING, "blocking")                                                                                            \
    X(LOADING, "loading")                                                                                              \
    X(STALE, "stale")                                                                                                  \
    X(SKIP_MONITOR, "skip_monitor")                                                                                    \
    X(SKIP_SLOWLOG, "skip_slowlog")                                                                                    \
    X(ASKING, "asking")                                                                                                \
    X(FAST, "fast")                                                                                                    \
    X(NO_AUTH, "no_auth")                                                                                              \
    X(MAY_REPLICATE, "may_replicate")                                                                                  \
    X(NO_MANDATORY_KEYS, "no_mandatory_keys")                                                                          \
    X(NO_ASYNC_LOADING, "no_async_loading")                                                                            \
    X(NO_MULTI, "no_multi")                                                                                            \
    X(MOVABLEKEYS, "movablekeys")                                                                                      \
    X(ALLOW_BUSY, "allow_busy")
#define X(name, text) KEYS_BIT_##name,
    KEYS_FLAGS(X)
#undef X
        KEYS_FLAG_COUNT
};
enum {
#define X(name, text) KEYS_##name = 1 << KEYS_BIT_##name,
    KEYS_FLAGS(X)
#undef X
};
extern const char *const keys_flag_names[KEYS_FLAG_COUNT];

enum keys_category { // of ACLs: "@read" ...
#define KEYS_CATEGORIES(X)                                                                                             \
    X(KEYSPACE, "keyspace")                                                                                            \
    X(READ, "read")                                                                                                    \
    X(WRITE, "write")                                                                                                  \
    X(SET, "set")                                                                                                      \
    X(SORTEDSET, "sortedset")                                                                                          \
    X(LIST, "list")                                                                                                    \
    X(HASH, "hash")                                                                                                    \
    X(STRING, "string")                                                                                                \
    X(BITMAP, "bitmap")                                                                                                \
    X(HYPERLOGLOG, "hyperloglog")                                                                                      \
    X(GEO, "geo")                                                                                                      \
    X(STREAM, "stream")                                                                                                \
    X(PUBSUB, "pubsub")                                                                                                \
    X(ADMIN, "admin")                                                                                                  \
    X(FAST, "fast")                                                                                                    \
    X(SLOW, "slow")                                                                                                    \
    X(BLOCKING, "blocking")                                                                                            \
    X(DANGEROUS, "dangerous")                                                                                          \
    X(CONNECTION, "connection")                                                                                        \
    X(TRANSACTION, "transaction")                                                                                      \
    X(SCRIPTING, "scripting")
#define X(name, text) KEYS_CATEGORY_BIT_##name,
    KEYS_CATEGORIES(X)
#undef X
        KEYS_CATEGORY_COUNT
};
enum {
#define X(name, text) KEYS_IN_##name = 1 << KEYS_CATEGORY_BIT_##name,
    KEYS_CATEGORIES(X)
#undef X
};
extern const char *const keys_category_names[KEYS_CATEGORY_COUNT];

struct keys_call;
struct keys_row {
    uint16_t number;                     // stands in entries: never changes, never given again
    const char *name;                    // lower case; "config|get" is a subcommand of "config"
    int16_t arity;                       // with the name; negative: at least so many
    int16_t first, last, step;           // the keys among the arguments, as COMMAND INFO tells them; first 0: none
    uint32_t flags, categories;          // KEYS_..., KEYS_IN_...
    void (*run)(struct keys_call *call); // NULL: the connection's own (protocol/redis)
};
extern const struct keys_row keys_rows[];
extern const size_t keys_row_count;
// By name and, where the command has subcommands, its first argument; any case. NULL: there is none. A command with
// subcommands, alone, is its container's row (run NULL).
const struct keys_row *keys_row_find(struct bytes name, struct bytes first_argument);
const struct keys_row *keys_row_of(uint16_t number);
// The keys among argv, also of commands whose keys hang on their arguments. Gives how many; at most `max` positions.
size_t keys_positions(const struct keys_row *row, const struct bytes *argv, size_t argc, uint32_t *positions,
                      size_t max);

// ---- commands of the log

#define KEYS_OPS(X) X(RUN, 1) /* see keys_write_run */
enum keys_op {
#define X(name, value) KEYS_OP_##name = value,
    KEYS_OPS(X)
#undef X
};

enum {                    // of a run
    KEYS_RESP3 = 1,       // replies in RESP3
    KEYS_TRANSACTION = 2, // an EXEC: watches are checked, replies stand apart, nothing blocks
};
struct keys_run {
    uint64_t client; // a client's id as CLIENT ID tells it; contains the node
    uint32_t flags;
    uint32_t watches; // how many follow
    uint32_t commands;
};
// Arguments of KEYS_OP_RUN: head, watches, commands.
void keys_write_run(struct writer *w, const struct keys_run *run);
void keys_write_watch(struct writer *w, uint32_t database, struct bytes key,
                      uint64_t index); // keys_watch_index at WATCH
// argv[0] is the name as it was sent.
void keys_write_command(struct writer *w, uint32_t database, const struct keys_row *row, const struct bytes *argv,
                        size_t argc);

struct keys_result {    // of a run
    struct bytes reply; // all replies, one behind the other; an EXEC's without the array's head
    const size_t *ends; // of each command's reply in it
    size_t count;       // 0: aborted, a watched key has changed
};

// ---- events (on every node, in order, before the result)

enum keys_event_kind {
    KEYS_EVENT_NOTIFY,  // a keyspace event, as NOTIFY names it: class, name
    KEYS_EVENT_CHANGED, // a key may read differently from now on (client-side caching)
    KEYS_EVENT_FLUSHED, // a whole database did; all of them: database is KEYS_DATABASES
};
struct keys_event {
    enum keys_event_kind kind;
    uint32_t database;
    struct bytes key;
    uint32_t notify_class; // KEYS_NOTIFY_...
    const char *notify;    // "set", "expired", ...
    uint64_t client;       // that did it; 0: time
};
enum { // classes of keyspace events; letters as in notify-keyspace-events
#define KEYS_NOTIFY_CLASSES(X)                                                                                         \
    X(GENERIC, 'g')                                                                                                    \
    X(STRING, '$')                                                                                                     \
    X(LIST, 'l')                                                                                                       \
    X(SET, 's')                                                                                                        \
    X(HASH, 'h')                                                                                                       \
    X(ZSET, 'z')                                                                                                       \
    X(EXPIRED, 'x')                                                                                                    \
    X(EVICTED, 'e')                                                                                                    \
    X(STREAM, 't')                                                                                                     \
    X(KEY_MISS, 'm')                                                                                                   \
    X(NEW, 'n')
#define X(name, letter) KEYS_NOTIFY_BIT_##name,
    KEYS_NOTIFY_CLASSES(X)
#undef X
        KEYS_NOTIFY_COUNT
};
enum {
#define X(name, letter) KEYS_NOTIFY_##name = 1 << KEYS_NOTIFY_BIT_##name,
    KEYS_NOTIFY_CLASSES(X)
#undef X
};

// ---- queries: reads on what is applied

enum keys_query_kind { KEYS_QUERY_RUN, KEYS_QUERY_WATCH, KEYS_QUERY_STATISTICS };
struct keys_query {
    enum keys_query_kind kind;
    uint32_t database;
    // RUN: a command that only reads (KEYS_READONLY); its reply is appended to `out`
    const struct keys_row *row;
    const struct bytes *argv;
    size_t argc;
    bool resp3;
    struct writer *out;
    // RUN: TTLs count from here (the state's own time is only as new as its newest entry); service_status
    uint64_t log_time_ms;
    int64_t unix_ms;
    uint64_t seed; // for random picks of reads (RANDOMKEY, SRANDMEMBER)
    // WATCH: the key in argv[0]
};
struct keys_statistics {
    uint64_t keys[KEYS_DATABASES], expires[KEYS_DATABASES], average_ttl_ms[KEYS_DATABASES];
    uint64_t expired, hits, misses;
};
// result->value: RUN: NULL. WATCH: const uint64_t *, what keys_write_watch wants. STATISTICS: struct keys_statistics.

extern const struct model_ops keys_model;
void keys_set_memory_max(void *state, uint64_t bytes); // UINT64_MAX: none; deterministic: a setting of the group
