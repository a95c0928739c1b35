// The line between protocols and the node. A protocol is bytes in, bytes out: it sees no sockets, no models' memory, no
// log. It runs on the service loop. Pipelines: commands of one client are applied in the order of client_submit;
// `reply` is called in that order. A protocol keeps its own queue of waiting requests so that replies leave in request
// order, and runs a read when everything before it has been answered.
#pragma once
#include "base/bytes.h"
#include "base/histogram.h"
#include "base/limits.h"
#include "base/log.h"
#include "model/lease/lease.h"
#include "model/model.h"

struct client;  // one connection, owned by the node; a protocol may use it until its `close` was called
struct service; // the service loop of one node

#define CLIENT_OUTPUT_HOLD (1u << 20) // a client with more output waiting is not given input

struct protocol {
    const char *name;           // "zookeeper"
    bool closes_without_leader; // after 3 s without a leader its connections are closed (replication.md "Keep-alive")
    bool outside_state; // its connections were told nothing that hangs on the state: they stay open when another
                        // state takes its place (a formation, a received snapshot), or when it proves wrong
    // One per node. settings is the protocol's own settings struct, from the configuration; may be NULL.
    void *(*start)(struct service *service, const void *settings);
    void (*stop)(void *instance); // all clients have been closed before
    // Every change of a model, on every node, in order (watch tables hang here). May be NULL.
    void (*event)(void *instance, uint8_t model, const void *event);
    // Another state took the place of the one that events told of. May be NULL.
    void (*replaced)(void *instance);
    void (*tick)(void *instance, uint64_t now_ms); // about every 100 ms; may be NULL

    // ---- one connection
    void *(*open)(void *instance, struct client *client);
    // New bytes behind what was not consumed before. Returns how many bytes are done with; the rest comes again with
    // more. A protocol that cannot take more now calls client_pause and returns what it consumed; after client_resume
    // it is called again. One that sees client_output_pending over CLIENT_OUTPUT_HOLD may simply return early: the rest
    // comes again, also without new bytes, once that has left.
    size_t (*input)(void *connection, const uint8_t *data, size_t len);
    void (*reply)(void *connection, uint64_t tag,
                  const struct result *result); // of client_submit / client_attach; result valid during the call
    // Of client_read_index: now client_query sees it; error NOT_APPLIED: no leader. Comes in the order of the client's
    // commands: behind the replies of those submitted before it, ahead of those submitted after it.
    void (*read_ready)(void *connection, uint64_t tag, int error);
    // An answer is still to come that the node does not know of (it is no command and no read): a client that has shut
    // its sending side is not closed before. May be NULL.
    bool (*owes)(const void *connection);
    // The leader has acknowledged newer activity of the session (client_acked_ms). No client may be opened or attached
    // inside the call. May be NULL.
    void (*kept_alive)(void *connection);
    void (*close)(void *connection); // the connection is gone; frees. No call for it comes after.
};

// ---- what a protocol may do with a client
void client_write(struct client *client, const void *data,
                  size_t len); // queued; leaves at the end of the turn, gated by the session's keep-alive rule
struct writer *
client_output(struct client *client);            // append in place instead of client_write (then nothing else to call)
void client_output_ready(struct client *client); // call after appending through client_output
size_t client_output_pending(const struct client *client);
void client_close(struct client *client, bool flush); // `close` is called later in this turn, never from inside
void client_pause(struct client *client);             // no more input calls
void client_resume(struct client *client);
void client_set_context(struct client *client, void *context);

// Hands over a command (bytes as from command_write_head + args; copied). Gives its tag; `reply` comes in order. The
// node stops reading a client whose commands under way pass a bound. COMMAND_TOO_LARGE and the like also come as a
// reply.
uint64_t client_submit(struct client *client, struct bytes command);
// Attaches a session (0: creates one) to this connection: an entry. On success the node binds it: gating, keep-alive,
// close of older connections. reply gets op LEASE_ATTACH with a lease_result, or an error. Until then the client is not
// read.
uint64_t client_attach(struct client *client, uint64_t session, const uint8_t password[LEASE_PASSWORD_BYTES],
                       uint32_t timeout_ms, uint8_t kind);
// A client that no socket stands behind: for a session that outlives connections, and to clean up behind one that has
// gone. Its protocol needs reply, read_ready and close only, and is another than that of a listener. What would write
// to it has no effect; it closes as others do (its session ends, moves or is not acknowledged in time; another state
// takes this one's place), or by client_close. NULL: this node serves nobody now. Not from inside `close`.
struct client *service_client_open(struct service *service, const struct protocol *protocol, void *connection);
uint64_t client_session(const struct client *client); // 0: none bound
uint64_t client_attach_number(const struct client *client);
void client_touch(struct client *client); // activity of the session: called by the node for every input already
uint64_t client_acked_ms(const struct client *client); // the newest activity that the leader has acknowledged
// The keep-alive rule for replies that leave by another way than this client's socket: may its owner be told now what
// says that the session lives?
bool client_may_tell(const struct client *client);
uint64_t client_read_index(
    struct client *client); // gives a tag; read_ready comes when this node has applied what was committed by now
void client_query(struct client *client, uint8_t model, const void *query,
                  struct result *result); // on what is applied now

struct io_conn_info;
void client_info(const struct client *client, struct io_conn_info *info);
uint64_t client_received(const struct client *client); // packets are counted by the protocol; these are bytes
uint64_t client_sent(const struct client *client);
uint64_t client_opened_unix_ms(const struct client *client);
bool client_secure(const struct client *client); // came in by the TLS listener

// ---- what a protocol may ask of the service loop
struct service_member {
    uint32_t id;
    bool voter;
    bool self;
    bool leader;
    char address[ADDRESS_TEXT_MAX];
    char protocol_address[ADDRESS_TEXT_MAX]; /* advertised for this protocol */
};
struct service_status {
    uint32_t id;
    uint64_t term;
    uint32_t leader;                                              // 0: none known
    bool leading, has_leader, learner, observer;                  // an observer is a learner too
    uint32_t members, voters, synced_followers, synced_observers; // the last two on the leader only
    uint64_t applied_index, commit_index, log_time_ms;
    int64_t unix_ms;
    uint64_t sessions, start_unix_ms, uptime_ms;
    uint64_t data_bytes_estimate; // models' memory
    const char *version, *data_folder;
    uint64_t fsyncs;
    const struct histogram *fsync_us;
    uint64_t connections, refused_connections, received_bytes, sent_bytes;
    uint64_t snapshots, last_snapshot_index, journal_bytes;
};
struct service_reading {
    bool has_leader;
    bool alone;           // reads need no round: this node leads, and no other votes
    uint64_t log_time_ms; // the newest that this node heard of; what is applied may be older
    int64_t unix_ms;      // of that time
};
void service_status(struct service *service, struct service_status *status);
void service_reading(struct service *service, struct service_reading *reading); // cheap: for each read
size_t service_members(struct service *service, const char *protocol, struct service_member *out, size_t max);
uint64_t service_applied(struct service *service); // last applied index (zxid)
uint64_t service_now_ms(struct service *service);  // monotonic
int64_t service_unix_ms(struct service *service);
void service_random(struct service *service, void *out, size_t len);
struct log *service_log(struct service *service);
void service_query(struct service *service, uint8_t model, const void *query, struct result *result);
uint64_t service_count(struct service *service, uint8_t model); // things of a model: locks, queues
struct digest service_digest(struct service *service, uint8_t model);
uint64_t service_count_of_session(struct service *service, uint64_t session); // what it has, in all models
const struct lease *service_lease_next(struct service *service,
                                       uint64_t session); // behind it; unknown: the first. NULL: no more
void service_leases(struct service *service, void (*visit)(void *context, const struct lease *lease), void *context);
const struct lease *service_lease(struct service *service,
                                  uint64_t session); // NULL: unknown here. Valid until the next apply
void service_each_client(struct service *service, const struct protocol *protocol,
                         void (*visit)(void *context, void *connection, struct client *client), void *context);
