// Shapes of the ZooKeeper room, shared by its files only.
//
//   bytes --> input (instance.c) --> four_letter.c            before the connect request only
//                  |---------------> connect.c                the session is attached to the connection: an entry
//                  `---------------> pipeline.c --> writes.c, multi.c   commands, answered by `reply`
//                                         |-------> reads.c, watches.c  run when all before them has been answered
//                                         `-------> auth.c              at arrival; the answer keeps its place
//   tree events --> watches.c --> events on the connections, ahead of the replies that follow
//
// The pipeline is a ring of small requests. Invariant: a request that may run at once is never in the ring unless
// another is ahead of it; the front of a ring that is at rest waits for the node (WAITING), or the connection is
// stalled by its output.
#pragma once
#include "base/hash.h"
#include "base/list.h"
#include "base/ring.h"
#include "protocol/zookeeper/codec.h"
#include "protocol/zookeeper/operations.h"
#include "protocol/zookeeper/watches.h"
#include "protocol/zookeeper/zookeeper.h"

struct connection;

// Handlers: 0, or the error code that is the answer.
typedef int (*write_handler)(struct connection *c, struct reader *r, struct writer *command);
typedef int (*read_handler)(struct connection *c, struct reader *r, struct writer *body);

enum operation_kind { KIND_WRITE, KIND_READ, KIND_ARRIVAL, KIND_SYNC, KIND_CLOSE, KIND_REFUSED };
struct operation {
    const char *name;
    int32_t code;
    enum operation_kind kind;
    const char *tag;
    write_handler write;
    read_handler read;
    int refused;
};
extern const struct operation zookeeper_operations[ZOOKEEPER_OP_COUNT + 1]; // the last: any other code

enum request_state {
    REQUEST_READY,   // runs, or is answered, when it comes to the front
    REQUEST_WAITING, // for reply(tag) or read_ready(tag)
};
struct request {
    uint64_t tag;      // WAITING
    uint64_t body_at;  // place in the connection's held bytes (counted from its beginning of time)
    uint32_t body_len; // READ: the request's bytes. multi: one byte a part
    int32_t xid;
    uint32_t arrived_ms; // low bits of the monotonic clock
    int16_t error;       // READY: the answer when not 0
    uint8_t operation;
    uint8_t state;
};

struct connect_wait { // of a connection whose session is not attached yet
    struct list link; // in instance->waiting; unlinked once the attach is under way
    struct connection *owner;
    uint64_t attach_tag;
    uint64_t last_zxid, session_shown, deadline_ms;
    uint32_t timeout_ms;
    bool sent_read_only, read_only;
    uint8_t password[LEASE_PASSWORD_BYTES];
};

struct latency {
    uint32_t min, max; // ms; min > max: none yet
    uint64_t count, sum;
};

enum connection_state { CONNECTION_NEW, CONNECTION_CONNECTING, CONNECTION_OPEN, CONNECTION_CLOSING };

struct connection {
    struct instance *instance;
    struct client *client;
    struct list link;             // in instance->connections
    struct list stalled;          // in instance->stalled while its output is full
    struct list greeting;         // in instance->greeting until its connect request is whole
    struct hash_node by_session;  // while `indexed`
    struct connect_wait *connect; // CONNECTING only
    struct ring requests;
    struct writer held; // bytes of requests in the ring; the first stands for held_base
    uint64_t held_base;
    struct writer identities; // tree_identities: one byte of count, then scheme and id each
    struct watch_holder watches;
    uint64_t session, attach; // number as in the state; 0: read-only session
    uint64_t session_shown, sync_tag;
    uint64_t received, sent; // packets
    uint64_t last_zxid;
    int64_t opened_unix_ms;
    uint64_t greeting_since_ms; // on instance->greeting_ms
    uint64_t last_reply_ms;
    struct latency latency;
    uint32_t timeout_ms, waiting; // requests in state WAITING
    int32_t last_xid;
    uint8_t last_operation; // ZOOKEEPER_OP_COUNT: none yet
    uint8_t state;
    bool indexed, read_only, paused, ending; // ending: closeSession is under way; what follows is dropped
};

struct instance {
    struct service *service;
    struct zookeeper_settings settings;
    struct list connections, waiting, stalled;
    struct list greeting; // oldest first
    uint64_t greeting_ms; // runs with the ticks, but a pause of this process is no time that a client had
    uint64_t ticked_ms;   // the tick before
    uint32_t connection_count;
    struct hash sessions;
    struct watches watches;
    struct writer command, part, scratch; // reused by every request
    size_t reply_at;                      // where the reply that is being written begins in its output
    struct tree_acl_entry *acl;
    size_t acl_capacity;
    uint64_t now_ms;             // of the newest tick or input
    uint64_t no_leader_since_ms; // 0: there is one
    uint64_t seed;
    uint64_t packets_received, packets_sent, outstanding;
    uint64_t auth_failed, bad_frames;
    int64_t last_reply_bytes, max_reply_bytes, min_reply_bytes; // -1: none yet
    struct latency latency;
    struct log_limit bad_input_log, slow_client_log;
};

// instance.c
uint64_t zookeeper_zxid(const struct instance *instance);
void connection_end(struct connection *c, bool flush);            // closes it; nothing more is written
void connection_bad_input(struct connection *c, const char *why); // rate-limited line, then closed
void connection_index(struct connection *c);
void connection_wrote(struct connection *c); // after bytes were queued: bounds them
struct connection *connection_of_session(struct instance *instance, uint64_t session);

// connect.c
void connect_request(struct connection *c, struct bytes frame);
void connect_continue(struct connection *c); // of a waiting one, at a tick
void connect_attached(struct connection *c, const struct result *result);
void connect_forget(struct connection *c);

// pipeline.c
void pipeline_request(struct connection *c, struct bytes frame);
void pipeline_reply(struct connection *c, uint64_t tag, const struct result *result);
void pipeline_read_ready(struct connection *c, uint64_t tag, int error);
bool pipeline_unstall(struct connection *c); // false: its output is full still
void pipeline_stall(struct connection *c);
bool pipeline_full(const struct connection *c);
void pipeline_event(struct connection *c, struct bytes frame); // a whole watch event's frame
struct bytes pipeline_body(const struct connection *c, const struct request *request);
void pipeline_reply_here(struct connection *c, struct writer *w);
void pipeline_reply_later(struct connection *c, struct writer *w);
void latency_add(struct latency *latency, uint32_t ms);

// handlers: writes.c, multi.c, reads.c, watching.c, auth.c
#define WRITE(f) int f(struct connection *c, struct reader *r, struct writer *command);
#define READ(f) int f(struct connection *c, struct reader *r, struct writer *body);
#define ARRIVAL(f) READ(f)
#define SYNC(f) READ(f)
#define CLOSE(f) READ(f)
#define REFUSED(f)
#define X(name, code, kind, tag, handler) kind(handler)
ZOOKEEPER_OPERATIONS(X)
#undef X
#undef WRITE
#undef READ
#undef ARRIVAL
#undef SYNC
#undef CLOSE
#undef REFUSED

// writes.c
enum { PART_CONFIG = 0x80 }; // of a multi's part: it tries to write /zookeeper/config
int write_part(struct connection *c, struct reader *r, int32_t code, struct writer *out,
               uint8_t *op); // one operation's arguments
void write_command_head(struct connection *c, struct writer *command, uint8_t op);
int write_reply(struct connection *c, const struct request *request, const struct result *result, struct writer *body);
// paths.c
bool path_characters(struct bytes path);
// multi.c
int multi_reply(struct connection *c, const struct request *request, const struct tree_result *result,
                struct writer *body);
// reads.c
int read_data(struct connection *c, struct bytes path, struct writer *body);
int read_children(struct connection *c, struct bytes path, struct tree_stat *stat, struct writer *body);
int read_stat(struct connection *c, struct bytes path, struct tree_stat *stat);
// auth.c
void auth_start(struct connection *c);
// four_letter.c
bool four_letter_word(struct connection *c,
                      const uint8_t word[4]); // false: not one. True: answered, the connection ends
// stats.c
void stats_version(struct writer *out); // "3.8.0-parley-..., built on ..."
void stats_server(struct instance *instance, struct writer *out);
void stats_monitor(struct instance *instance, struct writer *out);
void stats_connection(struct connection *c, struct writer *out, bool full);
void stats_reset(struct instance *instance);
__attribute__((format(printf, 2, 3))) void text_write(struct writer *out, const char *format, ...);
