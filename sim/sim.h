// A whole run: the world, its nodes, its clients, what they did, and what must hold.
#pragma once
#include "node/node.h"
#include "sim/check/history.h"
#include "sim/host.h"

#define SIM_NODES_MAX 9u
#define SIM_CLIENTS_MAX 24u

enum fault {
    FAULT_KILL,      // a process ends
    FAULT_POWER,     // a machine loses power
    FAULT_POWER_ALL, // all at once
    FAULT_PAUSE,
    FAULT_PARTITION, // two sides
    FAULT_ONE_WAY,
    FAULT_ISOLATE, // one node from all, clients too
    FAULT_BREAK,   // connections end mid-frame
    FAULT_SLOW_LINK,
    FAULT_SLOW_DISK,
    FAULT_STALL_DISK,
    FAULT_FULL_DISK,
    FAULT_FAIL_SYNC,
    FAULT_ROT,
    FAULT_WIPE,
    FAULT_CLOCK, // Unix time jumps or stands
    FAULT_CLIENT_PAUSE,
    FAULT_CLIENT_DIE,
    FAULT_RESTART,  // orderly
    FAULT_MEMBER,   // a member is added or removed
    FAULT_TRANSFER, // the leader hands over
    FAULT_STRAND,   // a node loses the others, but not its clients; these die, or stay
    FAULT_COUNT
};
extern const char *const fault_names[FAULT_COUNT];

#define CLIENT_OPS_MAX 40u
struct op_counts { // of one operation of the protocol: answers
    uint64_t done, refused;
};

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
    uint64_t turns;
    uint64_t persisted; // what Raft took for durable when the process ended
    uint64_t vote_term; // of the newest vote on its disk
    uint32_t vote;
    uint64_t lost_upto, lost_vote_term;    // what was durable on the disk it lost
    uint64_t led_term, led_commit;         // as its last turn ended: quorum.c
    struct raft_membership led_membership; // likewise
    uint64_t checked_commit;               // of this process
    uint64_t checked_applied, recount_at;
    uint64_t restart_us; // when it starts again; 0: not planned
    struct event restart;
    struct event stopped; // an orderly end is done
    uint8_t incarnation[INCARNATION_BYTES];
    char data[32], zookeeper[64], peer[64], fatal[512];
    struct log *log;
    char refused[1024]; // why it did not start
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
    struct event fault_event;
    struct list heals; // ends of faults that are planned
    bool faults_on, calming;
    uint64_t fault_counts[FAULT_COUNT];
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
bool fault_allowed(const struct sim *sim, enum fault fault, const struct sim_node *node);

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
bool client_is_at(const struct sim *sim, size_t which, uint32_t node); // its server, by place
uint32_t client_host_index(const struct sim *sim, size_t which);
