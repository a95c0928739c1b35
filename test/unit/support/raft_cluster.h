// A cluster of Raft nodes in one process, for tests: a pool of messages in flight, a queue of writes in progress per
// node, disks that keep only what was written, and observers that see all of it. Nothing happens by itself: the test
// delivers, persists, lets time pass, crashes and restarts. After every step the observers check:
//   - at most one leader a term; a new leader holds all that is committed (thesis 3.6.3)
//   - what one node has committed, no other ever contradicts; and it is durable on a majority when its leader commits
//   it
//   - logs that agree at a place agree below it; raft_check
//   - a read's index is not below what was committed anywhere when it was asked
#pragma once
#include "base/prng.h"
#include "consensus/raft.h"

#define CLUSTER_NODES 9u // ids 1 .. 8

struct cluster_disk { // what survives a crash
    uint64_t term;
    uint32_t voted_for;
    uint64_t start_index, start_term;
    struct raft_membership start_membership;
    struct batch_ref *batches;
    size_t count, capacity;
    uint64_t snapshot_index, snapshot_term; // a complete snapshot file; 0: none
    struct raft_membership snapshot_membership;
};

struct cluster_write { // one update on its way to the disk, with the messages that wait for it
    uint64_t number;
    bool hard;
    uint64_t term;
    uint32_t voted_for;
    bool installed;
    uint64_t start_index, start_term;
    struct raft_membership membership; // of the installed snapshot
    uint64_t truncate_from;
    struct batch_ref *append;
    size_t append_count;
    struct raft_message *after;
    size_t after_count;
};

struct cluster_node {
    uint32_t id;
    uint8_t incarnation[INCARNATION_BYTES];
    struct raft *raft; // NULL: down
    struct cluster_disk disk;
    struct cluster_write *writes;
    size_t write_count, write_capacity;
    struct raft_need *needs;
    size_t need_count, need_capacity;
    uint32_t snapshots[CLUSTER_NODES]; // peers that wait for our snapshot
    size_t snapshot_count;
    uint64_t applied, applied_term;
    struct raft_membership applied_membership;
    struct raft_membership installing; // of the INSTALL event being stepped
    bool wiped;                        // lost its disk; its old incarnation may still be named by a membership
    uint8_t old_incarnation[INCARNATION_BYTES];
};

struct cluster_message {
    struct raft_message m;
    uint8_t from_incarnation[INCARNATION_BYTES]; // links are bound to incarnations
};

struct cluster_commit {
    uint64_t first, last, term;
    struct buf *buf;
};

struct cluster_read {
    uint32_t node;
    uint64_t term, round, floor;
};

struct cluster {
    struct raft_options options; // of each node, but for id, incarnation and seed
    struct prng prng;
    uint64_t seed, now_ms;
    struct cluster_node nodes[CLUSTER_NODES];
    bool cut[CLUSTER_NODES][CLUSTER_NODES]; // [from][to]: dropped
    struct cluster_message *flight;
    size_t flight_count, flight_capacity;
    uint32_t *leaders; // by term
    size_t leaders_count;
    struct cluster_commit *commits; // everything that was ever committed, in order
    size_t commit_count, commit_capacity;
    struct cluster_read *reads;
    size_t read_count, read_capacity;
    uint64_t steps, reads_done, installs, wipes, elections, changes;
    uint64_t sent[16]; // by message type
};

struct cluster *cluster_new(uint32_t voters, uint64_t seed); // ids 1 .. voters, up; the options' defaults are small
void cluster_free(struct cluster *c);
void cluster_start(struct cluster *c, uint32_t id); // from its disk; a node never seen before has an empty one
void cluster_crash(struct cluster *c, uint32_t id,
                   size_t writes_done); // so many of the writes under way are on disk though nobody heard of it
void cluster_wipe(struct cluster *c,
                  uint32_t id); // crashed or not: loses everything, comes back with another incarnation

const struct raft_update *cluster_step(struct cluster *c, uint32_t id, struct raft_event *event); // now_ms is filled in
const struct raft_update *cluster_event(struct cluster *c, uint32_t id, enum raft_event_type type);
int cluster_propose(struct cluster *c, uint32_t id, uint32_t count, size_t bytes); // one batch; raft_error
uint64_t cluster_read_ask(struct cluster *c, uint32_t id);                         // the round, 0: refused
int cluster_change(struct cluster *c, uint32_t id, const struct raft_membership *next);
bool cluster_persist(struct cluster *c, uint32_t id); // the oldest write ends; false: none under way
void cluster_deliver(struct cluster *c, size_t place);
void cluster_drop(struct cluster *c, size_t place);
void cluster_duplicate(struct cluster *c, size_t place);
void cluster_tick(struct cluster *c, uint32_t id);
bool cluster_answer_need(struct cluster *c, uint32_t id);                 // the oldest question to storage
bool cluster_send_snapshot(struct cluster *c, uint32_t id, bool arrives); // the oldest wanted one
void cluster_snapshot(struct cluster *c, uint32_t id,
                      bool cut); // makes one at what is applied; cut: the log before it goes

// For scenarios: in order and without loss (but for `cut`), everything that can happen without time passing.
void cluster_settle(struct cluster *c);
void cluster_run(struct cluster *c, uint64_t ms); // settles and ticks each node at its deadlines
void cluster_isolate(struct cluster *c, uint32_t id, bool isolated);
uint32_t cluster_leader(const struct cluster *c);   // of the highest term among the nodes that are up; 0: none
void cluster_elect(struct cluster *c, uint32_t id); // makes it lead and settles
void cluster_check_logs(struct cluster *c);         // log matching of every pair
struct raft_event cluster_no_event(enum raft_event_type type);
size_t cluster_find(const struct cluster *c, enum raft_message_type type, uint32_t from,
                    uint32_t to); // place in flight; SIZE_MAX: none
uint64_t cluster_commit_max(const struct cluster *c);
