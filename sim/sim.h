// A whole run: the world, its nodes, its clients, what they did, and what must hold.
#pragma once
#include "node/node.h"
#include "protocol/http/http.h"
#include "sim/check/history.h"
#include "sim/host.h"
#include "sim/result.h"

#define SIM_NODES_MAX 9u
#define SIM_CLIENTS_MAX 24u
#define SIM_NATIVES_MAX 4u

struct sim;
struct sim_node {
    struct sim *sim;
    struct host *host;
    uint32_t id;
    struct node *node; // NULL: not running
    bool member;       // asked to belong to the cluster
    bool lost;         // its disk was lost and it is not back as a voter yet
    bool rotten;       // its disk holds a flipped bit: it is replaced at the next chance
    bool stopping;
    uint32_t starts;
    bool away; // left out of the healed core
    uint64_t turns, turns_since_start;
    uint64_t persisted; // what Raft took for durable when the process ended
    uint64_t vote_term; // of the newest vote on its disk
    uint32_t vote;
    uint64_t lost_upto, lost_vote_term;    // what was durable on the disk it lost
    uint64_t led_term, led_commit;         // as its last turn ended: quorum.c
    struct raft_membership led_membership; // likewise
    uint64_t checked_commit;               // of this process
    uint64_t checked_applied, recount_at;
    struct event restart;
    struct event struck;  // an ambush: the process ended in its turn, and is freed behind it
    struct event stopped; // an orderly end is done
    uint8_t incarnation[INCARNATION_BYTES];
    char data[32], zookeeper[64], http[64], peer[64], fatal[512];
    struct http_settings http_settings;
    struct log *log;
    char refused[1024]; // why it did not start
    // states.c
    uint64_t seen_last, seen_killed, read_errors, far_reads;
    const struct machine *seen_machine;
};

// Where an ambush waits: the first node that is seen in that state ends there.
enum ambush {
    AMBUSH_NONE,
    AMBUSH_SAVING,    // its child saves a snapshot
    AMBUSH_RECEIVING, // a snapshot is on its way to it
    AMBUSH_SENDING,   // it sends one
    AMBUSH_JOINT,     // it leads a joint change
    AMBUSH_UNSENT,    // it leads, and its disk has what no follower has
    AMBUSH_ELECTED,   // it leads, and nothing of its term is committed
    AMBUSH_STARTED,   // it has just started
    AMBUSH_COUNT,
    AMBUSH_LIED // its disk has lied about the newest write (of the faults that make it lie)
};

struct scenario { // the one under way
    struct event event;
    struct prng prng; // of its own
    enum fault kind;  // below FAULT_DRAWN: none
    uint32_t step, steps;
    uint64_t ordinal;
    uint32_t think_us; // what clients had before it
    struct sim_node *leader, *node, *other;
};

struct sim {
    struct world world;
    struct swarm swarm;
    struct history history;
    struct sim_node nodes[SIM_NODES_MAX];
    size_t node_count;
    bool spare_observes;                     // the member that comes and goes is added as an observer
    struct core_peer cluster[SIM_NODES_MAX]; // --cluster
    size_t cluster_count;
    struct sim_client *clients[SIM_CLIENTS_MAX];
    size_t client_count;
    struct client_checks *checks;
    struct native_checks *natives; // native.c
    size_t native_count;
    struct invariants *invariants;
    struct event fault_event;
    struct scenario scenario;
    enum ambush ambush;
    uint64_t partial_until_us;              // of the newest partial partition
    struct {                                // states.c
        uint32_t leader, sending, learners; // sending, learners: a bit each
        uint64_t term, leader_us, membership;
    } seen;
    struct list heals; // ends of faults that are planned
    bool faults_on, calming;
    uint64_t fault_ordinal; // counts what was drawn, also what could not be begun
    struct run_result *result;
    uint64_t operations, failed_operations, unknown_operations, sessions_opened, snapshots_installed, snapshots_made;
    uint64_t marks;                             // unique numbers given out
    struct op_counts op_counts[CLIENT_OPS_MAX]; // by row of client_ops.c
};

// ---- sim_node.c
void nodes_make(struct sim *sim);
void nodes_free(struct sim *sim);
void nodes_count(struct sim *sim);      // figures of those that still run
void node_begin(struct sim_node *node); // starts its process
void node_crash(struct sim_node *node, bool power);
void node_end(struct sim_node *node); // orderly, in the background
void node_restart_after(struct sim_node *node, uint64_t us);
void node_wipe(struct sim_node *node);                                     // of one that does not run
struct sim_node *sim_leader(struct sim *sim);                              // the one with the highest term; NULL
bool node_is_voter(const struct sim *sim, const struct sim_node *node);    // by what is committed, with its incarnation
bool node_is_observer(const struct sim *sim, const struct sim_node *node); // likewise
void disk_set_swarm(struct sim_disk *disk, const struct swarm *swarm);

// ---- quorum.c
void quorum_check(struct sim_node *node);
void quorum_started(struct sim_node *node); // what it found on its disk
void quorum_lost(struct sim_node *node);    // its disk is empty now
void quorum_free(struct sim_node *node);

// ---- faults.c
void swarm_draw(struct sim *sim);
void faults_start(struct sim *sim);
void faults_stop(struct sim *sim);   // heals the core: a majority at least runs, is connected, has working disks
void faults_rejoin(struct sim *sim); // and the rest
void faults_free(struct sim *sim);
void fault_begun(struct sim *sim, enum fault fault, const struct sim_node *node, uint64_t ordinal); // counted, noted
bool fault_allowed(const struct sim *sim, enum fault fault, const struct sim_node *node);

bool ambushed(struct sim *sim, const struct sim_node *node); // and then it is over

// ---- scenario.c
void scenario_swarm(struct sim *sim); // what they need of the seed's mixture
void scenario_start(struct sim *sim);
void scenario_stop(struct sim *sim);

// ---- states.c
void state_reached(struct sim *sim, enum state state);
void states_replication_turn(struct sim *sim, struct sim_node *node);
void states_service_turn(struct sim *sim, struct sim_node *node, bool applied);
void states_crash(struct sim *sim, struct sim_node *node); // it still stands
void states_crashed(struct sim *sim);
void states_started(struct sim *sim, struct sim_node *node);
void states_membership(struct sim *sim); // something was committed
void states_fault(struct sim *sim, enum fault fault, const struct sim_node *node);
void states_session(struct sim *sim, const struct history_session *session); // attached again, or ended

// ---- invariants.c
void invariants_init(struct sim *sim);
void invariants_free(struct sim *sim);
void invariants_started(struct sim *sim, struct sim_node *node); // what stands on its medium
void invariants_commit(struct sim *sim, struct sim_node *node, const struct batch_ref *batch); // the first to show it
// A batch that some disk holds, and the history does not have yet. Borrowed.
bool invariants_batch(struct sim *sim, uint64_t first, uint64_t term, struct batch_ref *batch);
void invariants_committed(struct sim *sim, const struct batch_ref *batch); // the history has applied it
void invariants_applied(struct sim *sim, struct sim_node *node);
void invariants_load(struct sim *sim, struct sim_node *node);
bool invariants_idle(struct sim *sim, const struct sim_node *node); // nothing waits in it
void invariants_end(struct sim *sim);

// ---- client.c
void clients_make(struct sim *sim);
void clients_free(struct sim *sim);
void clients_check(struct sim *sim); // the recorded history, at the end of a run
// Prints the table, counts added up over runs; false: one was never answered.
bool clients_operations(const struct op_counts counts[CLIENT_OPS_MAX]);
void clients_calm(struct sim *sim);             // each shall complete something new from now on
size_t clients_waiting(const struct sim *sim);  // how many have not since
void clients_stop(struct sim *sim);             // no new operations
void client_die(struct sim *sim, size_t which); // its process ends; another starts
void client_pause_for(struct sim *sim, size_t which, uint64_t us);
void client_quiet_for(struct sim *sim, size_t which, uint64_t us);     // only watches, as most clients do
bool client_is_at(const struct sim *sim, size_t which, uint32_t node); // its server, by place
uint32_t client_host_index(const struct sim *sim, size_t which);

// ---- native.c
bool natives_wanted(const struct sim *sim);
void natives_make(struct sim *sim);
void natives_free(struct sim *sim);
void natives_calm(struct sim *sim); // as clients_calm and clients_waiting
size_t natives_waiting(const struct sim *sim);
void natives_stop(struct sim *sim);
void natives_check(struct sim *sim); // at the end: nothing of an ended session is left
