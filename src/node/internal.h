// The insides of a node, for the files of this room only. Two halves that share nothing but the two postboxes and the
// atomics at the end of `struct node`: `struct service` belongs to the service loop, `struct replication` to the
// replication loop.
//
//   client bytes -> protocol -> submit buffer --MAIL_COMMANDS--> core -> journal / peers
//   client bytes <- protocol <- machine_apply <--MAIL_APPLY----- core <- committed
#pragma once
#include "base/hash.h"
#include "base/list.h"
#include "base/ring.h"
#include "node/mails.h"
#include "node/node.h"
#include "storage/folder.h"
#include "storage/journal.h"
#include "storage/snapshot.h"
#include <pthread.h>
#include <stdatomic.h>

#define TICK_MS 100u             // keep-alive rounds, checks of time-outs (replication.md "Keep-alive")
#define NO_LEADER_CLOSE_MS 3000u // ZooKeeper connections close after so long without a leader
#define READ_WAIT_MAX_MS 10000u  // a linearizable read that found no leader for so long is refused
#define APPLY_TURN_US 5000u      // a turn's budget for apply: keep-alives and other clients get their share
#define WORK_PER_TURN                                                                                                  \
    128u                  // clients flushed, fed or closed in one turn: 10,000 watchers are paced, about 1 ms each time
#define WORK_OF_CROWD 64u // of these, those that have no reply waiting get at least so many: nobody starves
#define CLIENT_INPUT_TURN_BYTES (256u << 10) // read from one client in one turn
#define CLIENT_INPUT_KEPT_BYTES (4u << 10)   // of room for it that is empty
#define CLIENT_INPUT_HELD_BYTES (64u << 10)  // kept of a client that is not served now: its end is still noticed
#define CLIENT_PENDING_MAX 8192u             // commands under way of one client
#define CLIENT_PENDING_BYTES_DEFAULT (4u << 20)
#define SERVICE_PENDING_BYTES_MAX                                                                                      \
    (32u << 20) // commands under way of all clients; half of what core takes before it refuses
#define FORWARD_BYTES_MAX (64u << 20)
#define CLIENT_OUTPUT_LOW (256u << 10)
#define CLIENT_OUTPUT_MAX (256u << 20) // a client that lets so much wait is closed: twice the largest reply
#define OUTPUT_KEEP_BYTES (64u << 10)  // an output buffer larger than this is not kept
#define SNAPSHOT_EVERY_ENTRIES_DEFAULT 1000000u
#define SNAPSHOT_EVERY_BYTES_DEFAULT (1ull << 30)
#define SNAPSHOT_RATE_DEFAULT (200u << 20)
#define JOURNAL_KEEP_ENTRIES_DEFAULT                                                                                   \
    10000u // kept behind a snapshot, so that a follower a little behind needs no snapshot
#define JOURNAL_KEEP_BYTES (256ull << 20) // at most, for followers that are far behind
#define STOP_WAIT_MS 5000u                // for handing leadership over

// ---- service loop

struct instance { // of a protocol; one a node
    const struct protocol *protocol;
    void *state;
    const void *settings;
    bool started;
    uint64_t connections;
};
struct door { // a listener
    struct service *service;
    struct instance *instance;
    struct io_listener *listener;
    size_t connections;
    bool secure;
};

struct pending { // a command of this node that was submitted and not answered; the ring's place is its tag
    struct client *client;
    uint64_t tag;            // the protocol's
    uint64_t next_of_client; // core tag of this client's next pending command; 0: none
    uint64_t submitted_us;
    uint32_t bytes;
    int32_t refused; // not 0: it never got a number; delivered in the client's order
    uint8_t model, op;
    bool attach, delivered;
};
struct waiting_read {
    struct list all, of_client;
    struct client *client;
    uint64_t tag, command_tag, round, index, since_ms; // command_tag: first core tag that was submitted after it
    bool ready;
};

struct client {
    struct list all, work, bound_link, talking;
    struct hash_node by_session;
    struct service *service;
    const struct protocol *protocol;
    struct door *door;    // NULL: it came by none (service_client_open)
    struct io_conn *conn; // NULL: it has no socket, or is gone
    void *connection;     // the protocol's
    struct writer in, out;
    struct list reads;
    uint64_t next_tag, first_pending, last_pending; // core tags; 0: none
    size_t pending_count;
    uint64_t pending_bytes;
    // session
    uint64_t session, attach, timeout_ms;
    uint64_t attach_tag, attach_core_tag, attach_read_ms; // of the attach under way; 0: none
    struct writer attach_command;                         // waits for a leader; len 0: none
    uint64_t activity_ms, acked_ms;                       // newest byte read; v of replication.md "Keep-alive"
    struct {
        uint64_t round, activity_ms;
    } sent[2]; // keep-alives under way, the older first; round 0: free
    bool unknown_now;
    // flow
    uint64_t received, sent_bytes, turn, turn_bytes;
    int64_t opened_unix_ms;
    bool paused, reading, held, gated, closing, close_flush, lost, eof, over_budget, in_work;
    bool gone; // its protocol has let go of it; the struct stays while commands of it are pending
};

struct admin_call {
    struct list link;
    uint64_t request;
    void (*done)(void *context, int error, const char *text);
    void *context;
};
struct snapshot_call {
    struct list link;
    void (*done)(void *context, int error, uint64_t index);
    void *context;
};
struct taking; // a snapshot under way (taking.c)
struct checks; // of registered instances' health (checks.c)
struct registry_event;

struct service {
    struct node *node;
    struct io *io;
    struct log *log;
    struct machine *machine;
    struct core_status status;
    struct instance instances[8];
    size_t instance_count;
    struct door *doors;
    size_t door_count;
    struct list clients, bound, reads;
    struct list
        talking; // clients with activity, or a round under way, that the leader has not acknowledged (sessions.c)
    struct list work,
        urgent; // clients to be fed, flushed, closed; urgent: a reply waits, so not behind a crowd of watchers
    struct hash by_session;
    // commands
    struct writer submit;
    size_t submit_before;                // bytes of the newest mail
    uint64_t submit_first, submit_count; // core tags of what is in `submit`
    struct ring pending;
    uint64_t pending_first; // core tag of the ring's oldest; next tag = pending_first + count
    uint64_t pending_bytes;
    bool pressed;        // pending_bytes passed its bound: no client is read
    uint64_t read_round; // of the newest round; reads of this turn join round + 1
    bool read_wanted;
    // Ready means: has applied what was committed at some moment after this node started or installed a snapshot. A
    // round of its own finds that out (a node far behind would answer old data to whoever a load balancer sends).
    enum { CATCH_UP_UNKNOWN, CATCH_UP_ASKED, CATCH_UP_GOAL, CAUGHT_UP } catch_up;
    uint64_t catch_up_round, catch_up_index;
    // apply
    struct ring apply_queue; // struct batch_ref
    uint64_t epoch, boot;
    struct core_applied applied; // what is reported at the end of the turn
    size_t lease_capacity;
    uint32_t streams_moved[MEMBERS_MAX];
    size_t streams_moved_count;
    bool applied_any;
    // time
    struct io_timer tick;
    uint64_t clock_us; // the newest look at the clock: at a read, a turn's begin, a batch; for the metrics of commands
    uint64_t turn, now_ms, last_tick_ms, no_leader_since_ms, keepalive_round, start_unix_ms, start_ms;
    bool keepalive_due;
    uint64_t silent_at_ms; // no session is silent for its time-out before then: nobody need be looked at
    // snapshots
    struct checks *checks; // NULL: none yet
    struct taking *taking;
    size_t children; // forked and not yet ended
    bool take_wanted;
    uint64_t snapshot_index, bytes_since_snapshot;
    struct list snapshot_calls; // wait for the next one that begins
    uint8_t cluster_id[16];
    // admin
    struct list admin_calls;
    uint64_t admin_next;
    // figures
    struct node_metrics metrics;
    uint64_t refused_told; // of metrics.connections_refused
    struct log_limit refused_log;
    struct replication_view *view;
    uint64_t snapshots;
    bool ended, farewell;
    struct node_member view_members[MEMBERS_MAX];
};

// ---- replication loop

struct links;
struct persist;
struct replication {
    struct node *node;
    struct io *io;
    struct log *log;
    struct core *core;
    struct journal *journal;
    struct links *links;
    struct io_timer deadline, tick, stop_timer;
    uint64_t armed_ms;               // of `deadline`; UINT64_MAX: not armed
    bool dirty;                      // core was fed in this turn: it is ticked at the end of it
    struct node_mail *apply;         // batches of this turn, not posted yet
    size_t persists;                 // appends and reads under way
    struct list persisting, reading; // these, for who frees a node that did not end in order
    bool installing, stopping, stop_done, ending, ended, service_gone, service_ended;
    uint64_t leader_changes;
    uint32_t last_leader;
    uint64_t last_view_ms;
    struct core_ops ops;
};

struct node {
    struct service service;
    struct replication replication;
    struct postbox to_service, to_replication;
    struct folder *folder;        // replication loop
    struct snapshot_store *store; // both, under store_lock: never on a hot path
    pthread_mutex_t store_lock;
    struct log *log;
    struct node_options options; // with own copies of its texts
    struct core_options core_options;
    struct core_peer *cluster;
    bool one_loop;  // both io are the same
    bool abandoned; // node_abandon
    void (*fatal)(void *context, const char *text);
    void *fatal_context;
    void (*stopped)(void *context);
    void *stopped_context;
    // shared by both loops
    _Atomic uint64_t service_turn_ms; // the last turn that read its sockets
    _Atomic uint64_t log_time_ms;     // newest heartbeat's
    _Atomic bool alone;               // core_ops.alone
    _Atomic bool stop_asked, dead, disk_failed;
};
void node_fatal(struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));
void node_replication_done(struct node *node); // the very end: calls `stopped`
// recovery.c: snapshot and journal into machine, core and journal. false: error is filled.
bool node_recover(struct node *node, char error[1024]);
struct machine *node_machine_new(struct node *node, uint64_t boot, const struct machine_sink *sink);
int node_load_snapshot(struct node *node, struct io *io, struct machine *machine, uint64_t index, uint64_t term,
                       uint8_t cluster_id[16], char error[512]); // cluster_id: what the file says; may be NULL
int node_save_genesis(struct node *node, const struct raft_membership *membership, uint64_t index, uint64_t term,
                      const uint8_t cluster_id[16]); // calls node_fatal on errors
// Leases and streams of a machine's whole state, as core_applied takes them; free with core_applied_free.
void applied_of_machine(const struct machine *machine, struct core_applied *applied);
void applied_free(struct core_applied *applied);

// service.c
bool service_open_doors(struct service *service, char error[1024]);
bool service_init(struct service *service, struct node *node, char error[1024]);
void service_begin(struct service *service); // sockets are opened, timers armed
void service_turn(struct service *service);
void service_mails(struct service *service);
void service_free(struct service *service);
void service_farewell(struct service *service);
void service_submit(struct service *service, struct client *client, uint64_t tag, struct bytes command, bool attach);
void service_withdraw(struct service *service, uint64_t core_tag);
void service_fail_pending(struct service *service, int error);
const struct machine_sink *service_sink(struct service *service, struct machine_sink *sink);
// reads.c
void reads_ready(struct service *service, uint64_t round, uint64_t index, int error);
void reads_run(struct service *service); // those whose index is applied
void reads_before(struct service *service, struct client *client, uint64_t command_tag);
void reads_after(struct service *service, struct client *client);
void reads_fail(struct service *service, struct client *client, int error); // client NULL: all
void reads_drop(struct client *client);
void reads_catch_up(struct service *service); // asks for the round that tells when this node has caught up
void reads_tick(struct service *service);
// client.c
void client_accepted(struct io_listener *listener, struct io_conn *conn, void *door);
void client_want_work(struct client *client);
void client_want_work_soon(struct client *client); // before those that only want work
void client_work(struct client *client);           // feeds, flushes, closes
void client_reply(struct client *client, uint64_t tag, const struct result *result);
void client_released(struct client *client); // may a held client go on?
void client_end(struct client *client);      // now; frees unless commands are pending
void client_forget(struct client *client);   // frees a gone client without pending commands
// sessions.c
void sessions_init(struct service *service);
void sessions_free(struct service *service);
void sessions_attached(struct client *client, const struct lease_result *lease);
void sessions_unbind(struct client *client);
void sessions_touch(struct client *client); // bytes of it were read
void sessions_event(struct service *service, const struct lease_event *event);
void sessions_tick(struct service *service);
void sessions_send_round(struct service *service);
void sessions_acked(struct service *service, uint64_t round, const struct core_keepalive *unknown,
                    size_t unknown_count);
void sessions_leader_known(struct service *service);
bool sessions_gate_open(const struct client *client, uint64_t now_ms);
// taking.c: snapshots, own ones and received ones
void taking_consider(struct service *service);
bool taking_start(struct service *service);
void taking_abandon(struct service *service);
void taking_install(struct service *service, uint64_t index, uint64_t term, uint64_t epoch);
// checks.c
void checks_tick(struct service *service);
void checks_event(struct service *service, const struct registry_event *event);
void checks_free(struct service *service);
// view.c
void view_send(struct replication *replication, uint64_t now_ms);

// replication.c
void replication_init(struct replication *replication, struct node *node);
void replication_begin(struct replication *replication);
void replication_turn(struct replication *replication);
void replication_mails(struct replication *replication);
void replication_free(struct replication *replication);
void replication_fed(struct replication *replication); // core was called: tick it at the end of the turn
// links.c
struct links *links_new(struct replication *replication, char error[512]);
void links_free(struct links *links);
void links_tick(struct links *links, uint64_t now_ms);
void links_send(struct links *links, uint32_t peer, enum core_channel channel, struct bytes head,
                struct buf *const *bufs, size_t buf_count);
bool links_connected(const struct links *links, uint32_t peer);
