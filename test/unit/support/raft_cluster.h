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

struct rafts_disk { // what survives a crash
    uint64_t term;
    uint32_t voted_for;
    uint64_t start_index, start_term;
    struct raft_membership start_membership;
    struct batch_ref *batches;
    size_t count, capacity;
    uint64_t snapshot_index, snapshot_term; // a complete snapshot file; 0: none
    struct raft_membership snapshot_membership;
};

struct rafts_write { // one update on its way to the disk, with the messages that wait for it
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

struct rafts_node {
    uint32_t id;
    uint8_t incarnation[INCARNATION_BYTES];
    struct raft *raft; // NULL: down
    struct rafts_disk disk;
    struct rafts_write *writes;
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

struct rafts_message {
    struct raft_message m;
    uint8_t from_incarnation[INCARNATION_BYTES]; // links are bound to incarnations
};

struct rafts_commit {
    uint64_t first, last, term;
    struct buf *buf;
};

struct rafts_read {
    uint32_t node;
    uint64_t term, round, floor;
};

struct rafts {
    struct raft_options options; // of each node, but for id, incarnation and seed
    struct prng prng;
    uint64_t seed, now_ms;
    struct rafts_node nodes[CLUSTER_NODES];
    bool cut[CLUSTER_NODES][CLUSTER_NODES]; // [from][to]: dropped
    struct rafts_message *flight;
    size_t flight_count, flight_capacity;
    uint32_t *leaders; // by term
    size_t leaders_count;
    struct rafts_commit *commits; // everything that was ever committed, in order
    size_t commit_count, commit_capacity;
    struct rafts_read *reads;
    size_t read_count, read_capacity;
    uint64_t steps, reads_done, installs, wipes, elections, changes;
    uint64_t sent[16]; // by message type
};

struct rafts *rafts_new(uint32_t voters, uint64_t seed); // ids 1 .. voters, up; the options' defaults are small
void rafts_free(struct rafts *c);
void rafts_start(struct rafts *c, uint32_t id); // from its disk; a node never seen before has an empty one
void rafts_crash(struct rafts *c, uint32_t id,
                 size_t writes_done); // so many of the writes under way are on disk though nobody heard of it
void rafts_wipe(struct rafts *c,
                uint32_t id); // crashed or not: loses everything, comes back with another incarnation

const struct raft_update *rafts_step(struct rafts *c, uint32_t id, struct raft_event *event); // now_ms is filled in
const struct raft_update *rafts_event(struct rafts *c, uint32_t id, enum raft_event_type type);
// COMMANDS whose sections are as a peer may send them; the last command holds the bytes.
struct batch_ref rafts_batch(const struct batch_header *header, struct bytes bytes);
int rafts_propose(struct rafts *c, uint32_t id, uint32_t count, size_t bytes); // one batch; raft_error
uint64_t rafts_read_ask(struct rafts *c, uint32_t id);                         // the round, 0: refused
int rafts_change(struct rafts *c, uint32_t id, const struct raft_membership *next);
bool rafts_persist(struct rafts *c, uint32_t id); // the oldest write ends; false: none under way
void rafts_deliver(struct rafts *c, size_t place);
void rafts_drop(struct rafts *c, size_t place);
void rafts_duplicate(struct rafts *c, size_t place);
void rafts_tick(struct rafts *c, uint32_t id);
bool rafts_answer_need(struct rafts *c, uint32_t id);                 // the oldest question to storage
bool rafts_send_snapshot(struct rafts *c, uint32_t id, bool arrives); // the oldest wanted one
void rafts_snapshot(struct rafts *c, uint32_t id,
                    bool cut); // makes one at what is applied; cut: the log before it goes

// For scenarios: in order and without loss (but for `cut`), everything that can happen without time passing.
void rafts_settle(struct rafts *c);
void rafts_run(struct rafts *c, uint64_t ms); // settles and ticks each node at its deadlines
void rafts_isolate(struct rafts *c, uint32_t id, bool isolated);
uint32_t rafts_leader(const struct rafts *c);   // of the highest term among the nodes that are up; 0: none
void rafts_elect(struct rafts *c, uint32_t id); // makes it lead and settles
void rafts_check_logs(struct rafts *c);         // log matching of every pair
struct raft_event rafts_no_event(enum raft_event_type type);
size_t rafts_find(const struct rafts *c, enum raft_message_type type, uint32_t from,
                  uint32_t to); // place in flight; SIZE_MAX: none
uint64_t rafts_commit_max(const struct rafts *c);
