// One node: two loops (service, replication) and a journal thread, tied together. Everything outside goes through the
// two `struct io` it is given, so that production (io_uv, two threads) and the simulator (two tasks of one scheduler)
// run the same objects.
#pragma once
#include "base/log.h"
#include "consensus/membership.h"
#include "io/io.h"
#include "node/protocol.h"
#include "replica/core.h"

struct node;

struct node_listener { // one client listener
    const struct protocol *protocol;
    const char *address;   // "127.0.0.1:2181"
    const char *advertise; // what other nodes and clients are told; NULL: the address
    enum advertised advertised_as;
    struct io_tls *tls;     // NULL: plain
    size_t connections_max; // 0: no limit
    size_t per_host_max;    // of them; 0: no limit
    const void *settings;   // of the protocol
};

struct node_options {
    struct io *service_io, *replication_io; // the same one is allowed (tests)
    struct log *log;
    const char *data_folder;
    uint32_t id; // 1 when alone
    const struct core_peer *cluster;
    size_t cluster_count;     // --cluster; 0: alone
    const char *peer_address; // listen for peers; NULL: none (alone, no member can be added)
    const char *peer_advertise;
    struct io_tls *peer_tls_server, *peer_tls_client; // both or none
    const struct node_listener *listeners;
    size_t listener_count;
    uint32_t heartbeat_ms, election_ms; // 0: 100, 500
    uint32_t journal_align;             // 0: 512
    uint64_t segment_bytes;             // 0: 64 MiB
    uint64_t snapshot_every_entries;    // 0: 1,000,000: a snapshot when so many entries came since the last
    uint64_t snapshot_every_bytes;      // 0: 1 GiB of journal
    uint64_t journal_keep_entries;      // 0: 10,000: kept behind a snapshot
    uint64_t snapshot_chunk_bytes;      // 0: 256 KiB: of one message of a transfer
    uint64_t log_tail_bytes_max;        // 0: 16 MiB: of the log, kept in memory
    uint64_t apply_ahead_bytes_max;     // 0: 16 MiB: committed and not applied yet, of what is handed on
    uint64_t snapshot_rate_bytes;       // bytes a second the child may write; 0: 200 MiB
    uint32_t ephemerals_max;            // a session; 0: the default
    uint64_t memory_max;                // bytes of the tree and the native models, over all nodes alike; 0: no limit
    uint64_t container_check_ms;        // 0: the default
    uint32_t apply_level_max;           // 0: what this binary knows (tests, the simulator)
    bool checks_off;                    // as leader it checks no registered instance's health
    uint64_t client_pending_bytes_max;  // commands under way of one client; 0: 4 MiB
};

// Opens the data folder, recovers, starts listeners. Must be called on no loop's thread before the loops run. NULL with
// a clear text in error (which flag, which file, what to do).
struct node *node_start(const struct node_options *options, char error[1024]);
// Orderly end: hands leadership over, closes clients, syncs; `stopped` is called on the replication loop when nothing
// more will happen (then node_free). May be called from any thread once.
void node_stop(struct node *node, void (*stopped)(void *context), void *context);
void node_free(struct node *node);
// For the simulator: as node_free, of a process that is thought dead. The io has forgotten its disk jobs; nothing that
// is called has effect.
void node_abandon(struct node *node);
// Called (on some loop) when this node can never go on: failed fsync, unknown apply level, damage. Default: log and
// exit(1).
void node_on_fatal(struct node *node, void (*fatal)(void *context, const char *text), void *context);
bool node_disk_failed(const struct node *node); // behind fatal: the journal could not be written or synced

struct service *node_service(struct node *node);
bool node_ready(struct node *node); // serves clients now. Service loop

// Administration, from the service loop (HTTP, CLI); done is called on the service loop.
void node_admin(struct node *node, enum core_admin what, uint32_t member, const char *address,
                void (*done)(void *context, int error, const char *text), void *context);
void node_snapshot(struct node *node, void (*done)(void *context, int error, uint64_t index),
                   void *context); // one now (backup)

struct node_member {
    struct member member;
    bool self, leader;
    uint64_t match;
    bool connected;
};
struct node_view { // for /v1/cluster, status; service loop
    struct core_status status;
    uint64_t applied, log_time_ms;
    int64_t unix_ms;
    struct digest digest;
    uint64_t digest_index; // newest sample
    uint8_t cluster_id[16];
    struct node_member *members;
    size_t member_count; // valid during the turn
    uint32_t apply_level;
};
void node_get_view(struct node *node, struct node_view *view);

struct node_metrics { // counters and histograms for /metrics; service loop
    struct histogram fsync_us, apply_us, loop_lag_us, commit_us;
    uint64_t commands, queries, read_rounds, connections_opened, connections_open, connections_refused, bytes_in,
        bytes_out;
    uint64_t journal_bytes, journal_writes, snapshots_made, snapshots_installed, leader_changes, sessions, refused;
};
void node_get_metrics(struct node *node, struct node_metrics *metrics);

struct node_load {                                       // what waits inside; service loop
    uint64_t commands, command_bytes, command_bytes_max; // submitted by clients and not answered
    uint64_t reads;                                      // linearizable ones
    uint64_t apply_bytes, apply_bytes_max;               // committed and not applied
};
void node_get_load(struct node *node, struct node_load *load);

// For the simulator and tests (read only).
struct machine *node_machine(struct node *node);
struct core *node_core(struct node *node);
