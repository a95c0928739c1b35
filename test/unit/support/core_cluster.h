// N cores with real machines, fake disks, fake links and a clock that the test moves: everything from one seed. Links
// keep order as TCP does unless the test asks for loss, repetition or disorder.
#pragma once
#include "base/prng.h"
#include "base/ring.h"
#include "replica/core.h"

#define CLUSTER_NODES_MAX 5u
#define CLUSTER_TAGS_MAX 4096u

enum outcome { OUTCOME_OPEN, OUTCOME_APPLIED, OUTCOME_REFUSED, OUTCOME_UNKNOWN };
struct cluster_snapshot {
    uint64_t index, term;
    struct writer bytes;
};
struct cluster_session {
    uint64_t session, attach, attach_tag;
    uint32_t timeout_ms;
    bool active; // named in each round
    uint64_t acked_ms, activity_ms;
};
struct cluster_node {
    struct cluster *cluster;
    uint32_t id;
    uint32_t apply_level_max; // of its binary: taken at a start; 0: this one's
    bool alone;               // as core told
    bool up, paused, service_paused, disk_full, loop_stands;
    bool snapshot_unreadable, snapshot_rotten; // on its disk, until the next one is made
    uint64_t unreadable_upto;                  // entries of its log on disk, for other nodes
    struct core *core;
    struct machine *machine;
    struct core_ops ops;
    // what survives a crash
    uint8_t incarnation[INCARNATION_BYTES], cluster_id[16];
    bool formed;
    uint64_t boot, hard_term, start_index, start_term;
    uint32_t voted_for;
    struct ring log; // struct batch_ref
    struct cluster_snapshot snapshot, receiving;
    // what does not
    struct ring persists;     // struct fake_persist
    struct ring applies;      // struct fake_apply
    struct ring tags;         // uint64_t, waiting for a result, in order
    struct ring lease_events; // struct lease_event of this turn
    uint64_t turn_ms, round_ms, epoch, next_tag, own_gone;
    bool installing;
    uint64_t install_index, install_term, install_epoch;
    struct core_status status;
    struct cluster_session sessions[16];
    size_t session_count;
    uint64_t read_round, read_index, read_errors, read_required; // what was applied anywhere when it was asked
    bool read_done;
    uint64_t admin_request;
    int admin_error;
    char admin_text[200];
    bool admin_done, stopped;
    uint64_t max_chunk_offset, snapshot_writes, snapshots_wanted;
    int64_t clock_ahead_ms;
    uint64_t log_time_ms; // as its core told it, every 50 ms
    // outcomes by tag; history of creations by path, in order
    enum outcome outcomes[CLUSTER_TAGS_MAX];
    int errors[CLUSTER_TAGS_MAX];
    uint64_t tag_base;      // tags of this boot begin here
    struct writer history;  // paths, each ended by '\n'
    uint64_t ended_session; // newest that ended here
    uint32_t ended_count;
};
struct cluster {
    uint32_t count;
    uint64_t now_ms;
    struct prng prng;
    struct cluster_node nodes[CLUSTER_NODES_MAX + 1]; // by id
    struct ring frames;                               // struct fake_frame
    bool cut[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
    bool linked[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
    uint32_t loss_percent, repeat_percent, disorder_percent;
    uint32_t disk_ms;
    uint64_t log_tail_bytes; // of nodes that start from now on; 0: core's default
    uint64_t order;
    // May drop a frame: gives false. type is core's first byte.
    bool (*filter)(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t type, struct bytes frame);
    struct {
        uint64_t session, at_ms;
    } expired[1024]; // by expiry, at its first apply
    size_t expired_count;
    struct core_peer listed[CLUSTER_NODES_MAX];
    bool check_raft;
    struct log *log;
};
struct cluster *cluster_new(uint32_t count, uint64_t seed); // all started, none formed
void cluster_free(struct cluster *c);
void cluster_run(struct cluster *c, uint64_t ms);
bool cluster_run_until(struct cluster *c, bool (*done)(struct cluster *c), uint64_t ms);
uint32_t cluster_leader(struct cluster *c);              // 0: none that is ready
bool cluster_ready(struct cluster *c);                   // a ready leader
bool cluster_settled(struct cluster *c);                 // ready, and all nodes that are up have applied alike
void cluster_form(struct cluster *c);                    // runs until settled
uint64_t cluster_create(struct cluster *c, uint32_t id); // a command of that node; gives its tag
uint64_t cluster_attach(struct cluster *c, uint32_t id,
                        uint32_t timeout_ms); // gives the place in sessions[]; runs until attached
void cluster_command(struct cluster *c, uint32_t id, struct bytes command, uint64_t *tag);
void cluster_crash(struct cluster *c, uint32_t id);
void cluster_start(struct cluster *c, uint32_t id);
void cluster_wipe(struct cluster *c, uint32_t id); // while down: disk lost
void cluster_cut(struct cluster *c, uint32_t a, uint32_t b);
void cluster_heal(struct cluster *c);
void cluster_isolate(struct cluster *c, uint32_t id);
void cluster_snapshot(struct cluster *c, uint32_t id); // made at once of what is applied; cuts the log
void cluster_ask(struct cluster *c,
                 uint32_t id); // a linearizable read; its index is checked against what was applied before
size_t cluster_times(const struct cluster_node *node, const char *path_start); // how often created
void cluster_check(struct cluster *c); // once only, order, refused never, digests alike
