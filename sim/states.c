// How often a run was in each named state. All of it is seen from outside: the nodes' views, the faults, the simulated
// disks and the committed history.
#include "sim/states.h"

#include "sim/client.h"
#include "sim/sim.h"

#define JUST_NOW_US 1000000u

const struct state_name state_names[STATE_COUNT] = {
#define X(name, text, what) {text, what},
    STATES(X)
#undef X
};

static struct raft *raft_of(const struct sim_node *node) {
    return core_raft(node_core(node->node));
}

static bool runs(const struct sim_node *node) {
    return node->node != NULL && !node->host->dead;
}

void state_reached(struct sim *sim, enum state state) {
    sim->result->states[state]++;
}

static void reached_if(struct sim *sim, bool is, enum state state) {
    if (is) state_reached(sim, state);
}

static bool new_leader_just_now(const struct sim *sim) {
    return sim->world.now_us - sim->seen.leader_us < JUST_NOW_US;
}

// ---- a new leader

static bool logs_differ(struct sim *sim) {
    uint64_t last[SIM_NODES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < sim->node_count; i++) {
        if (!runs(&sim->nodes[i]) || !core_formed(node_core(sim->nodes[i].node))) continue;
        last[count] = raft_last_index(raft_of(&sim->nodes[i]));
        for (size_t j = 0; j < count; j++)
            if (last[j] == last[count]) return false;
        count++;
    }
    return count >= 3;
}

static void old_leader(struct sim *sim, const struct sim_node *old) {
    if (!runs(old)) return;
    uint64_t full_us = disk_full_us(old->host->disk);
    reached_if(sim, raft_role(raft_of(old)) == RAFT_LEADER, STATE_SPLIT_LEADERS);
    reached_if(sim, old->host->paused_until_us > sim->world.now_us, STATE_LEADER_PAUSED);
    reached_if(sim, disk_faults(old->host->disk)->stalled_until_us > sim->world.now_us, STATE_LEADER_STALLED);
    reached_if(sim, full_us > 0 && sim->world.now_us - full_us < JUST_NOW_US, STATE_LEADER_FULL);
}

static void new_leader(struct sim *sim, const struct sim_node *node) {
    const struct raft *raft = raft_of(node);
    uint64_t term = 0;
    reached_if(sim, logs_differ(sim), STATE_LOGS_DIFFER);
    bool old_tail = raft_term_at(raft, raft_commit(raft) + 1, &term) && term < raft_term(raft);
    reached_if(sim, old_tail, STATE_OLD_TERM_TAIL);
    reached_if(sim, sim->partial_until_us > sim->world.now_us, STATE_LEADER_PARTIAL);
    reached_if(sim, raft_membership(raft)->joint, STATE_CHANGE_LEADER_CHANGE);
    if (sim->seen.leader != 0 && sim->seen.leader != node->id) {
        reached_if(sim, sim->seen.sending != 0, STATE_TRANSFER_LEADER_CHANGE);
        old_leader(sim, &sim->nodes[sim->seen.leader - 1]);
    }
    sim->seen.leader = node->id;
    sim->seen.term = raft_term(raft);
    sim->seen.leader_us = sim->world.now_us;
    sim->seen.sending = 0;
}

// ---- behind each turn

static void who_receives(struct sim *sim, const struct sim_node *leader) {
    const struct raft *raft = raft_of(leader);
    const struct raft_membership *m = raft_membership(raft);
    sim->seen.sending = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        struct raft_progress progress;
        if (m->members[i].id == leader->id || !raft_progress(raft, m->members[i].id, &progress)) continue;
        if (progress.state == RAFT_SNAPSHOT) sim->seen.sending |= 1u << m->members[i].id;
    }
}

void states_replication_turn(struct sim *sim, struct sim_node *node) {
    const struct raft *raft = raft_of(node);
    uint64_t last = raft_last_index(raft);
    if (raft_role(raft) == RAFT_LEADER) {
        if (raft_term(raft) > sim->seen.term) new_leader(sim, node);
        if (raft_term(raft) == sim->seen.term) who_receives(sim, node);
    }
    reached_if(sim, last < node->seen_last, STATE_TAIL_REPLACED);
    uint64_t far_reads = disk_far_reads(node->host->disk);
    reached_if(sim, far_reads > node->far_reads,
               raft_role(raft) == RAFT_LEADER ? STATE_CAUGHT_UP_FAR : STATE_APPLIED_FAR);
    node->far_reads = far_reads;
    node->seen_last = last;
}

void states_service_turn(struct sim *sim, struct sim_node *node, bool applied) {
    const struct machine *machine = node_machine(node->node);
    reached_if(sim, applied && host_saves(node->host), STATE_SAVE_BESIDE_APPLY);
    reached_if(sim, node->host->children_killed > node->seen_killed, STATE_CHILD_KILLED);
    node->seen_killed = node->host->children_killed;
    uint64_t read_errors = disk_read_errors(node->host->disk);
    reached_if(sim, read_errors > node->read_errors, STATE_READ_ERROR_MET);
    node->read_errors = read_errors;
    if (machine == node->seen_machine) return;
    bool clients = false;
    for (size_t i = 0; i < sim->client_count; i++) clients = clients || client_is_at(sim, i, node->id - 1);
    reached_if(sim, node->seen_machine != NULL && clients, STATE_INSTALL_WITH_CLIENTS);
    node->seen_machine = machine;
}

// ---- starts and ends

static void who_is_left(struct sim *sim) {
    if (sim->history.machine == NULL) return;
    const struct raft_membership *m = machine_membership(sim->history.machine);
    size_t voters = 0, up = 0, all = 0;
    for (size_t i = 0; i < sim->node_count; i++) all += runs(&sim->nodes[i]);
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->members[i].role == MEMBER_LEARNER) continue;
        voters++;
        up += runs(&sim->nodes[m->members[i].id - 1]);
    }
    reached_if(sim, all == 0, STATE_ALL_DOWN);
    reached_if(sim, up > 0 && up <= voters / 2, STATE_MINORITY_RUNS);
}

static void leader_ends(struct sim *sim, const struct sim_node *node) {
    const struct raft *raft = raft_of(node);
    uint64_t persisted = raft_persisted_index(raft);
    const struct raft_membership *m = raft_membership(raft);
    bool alone = m->count > 1 && persisted > raft_commit(raft);
    for (uint32_t i = 0; i < m->count; i++) {
        struct raft_progress progress;
        if (m->members[i].id == node->id || !raft_progress(raft, m->members[i].id, &progress)) continue;
        alone = alone && progress.match < persisted;
    }
    reached_if(sim, raft_last_index(raft) > persisted, STATE_CRASH_BEFORE_PERSIST);
    reached_if(sim, alone, STATE_CRASH_BEFORE_SEND);
    reached_if(sim, sim->seen.leader == node->id && sim->seen.sending != 0, STATE_CRASH_IN_SEND);
}

void states_crash(struct sim *sim, struct sim_node *node) {
    if (raft_role(raft_of(node)) == RAFT_LEADER) leader_ends(sim, node);
    bool joint = raft_membership(raft_of(node))->joint;
    reached_if(sim, joint, STATE_CRASH_IN_JOINT);
    reached_if(sim, host_saves(node->host), STATE_CRASH_IN_SAVE);
    reached_if(sim, sim->seen.sending >> node->id & 1, STATE_CRASH_IN_RECEIVE);
}

void states_crashed(struct sim *sim) {
    who_is_left(sim);
}

void states_started(struct sim *sim, struct sim_node *node) {
    uint64_t applied = machine_applied(node_machine(node->node));
    bool formed = core_formed(node_core(node->node));
    reached_if(sim, node->lost && !formed && sim->history.machine != NULL, STATE_START_EMPTY);
    bool only = formed && applied > sim->history.base && raft_last_index(raft_of(node)) == applied;
    reached_if(sim, only, STATE_START_SNAPSHOT_ONLY);
    node->seen_last = raft_last_index(raft_of(node));
    node->seen_machine = node_machine(node->node);
    node->read_errors = disk_read_errors(node->host->disk);
}

// ---- members

static bool catching_up(const struct sim *sim) {
    const struct raft_membership *m = machine_membership(sim->history.machine);
    for (uint32_t i = 0; i < m->count; i++)
        if (m->members[i].role == MEMBER_LEARNER) return true;
    return sim->seen.sending != 0;
}

void states_membership(struct sim *sim) {
    const struct raft_membership *m = machine_membership(sim->history.machine);
    if (m->index == sim->seen.membership) return;
    sim->seen.membership = m->index;
    bool cut = net_cut(&sim->world);
    uint32_t learners = 0;
    reached_if(sim, cut, STATE_CHANGE_IN_PARTITION);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct member *member = &m->members[i];
        struct sim_node *node = &sim->nodes[member->id - 1];
        bool was_learner = sim->seen.learners >> member->id & 1;
        if (member->role == MEMBER_LEARNER) learners |= 1u << member->id;
        reached_if(sim, cut && was_learner && member->role != MEMBER_LEARNER, STATE_PROMOTED_IN_PARTITION);
        // A majority of the new voters has this entry, and with it all before it: the disk counts as whole again.
        if (!node->lost || node->rotten || !node_is_voter(sim, node)) continue;
        node->lost = false;
        state_reached(sim, STATE_WIPED_BACK);
    }
    sim->seen.learners = learners;
}

// ---- faults

void states_fault(struct sim *sim, enum fault fault, const struct sim_node *node) {
    const struct sim_node *leader = sim_leader(sim);
    reached_if(sim, sim->history.machine == NULL, STATE_FORMING_FAULT);
    if (fault == FAULT_WIPE) reached_if(sim, catching_up(sim), STATE_WIPE_IN_CATCH_UP);
    if (fault == FAULT_CLOCK) reached_if(sim, leader == NULL || new_leader_just_now(sim), STATE_CLOCK_IN_HANDOVER);
}

// ---- sessions

void states_session(struct sim *sim, const struct history_session *session) {
    if (session->ended_index == 0) {
        reached_if(sim, new_leader_just_now(sim), STATE_MOVE_NEW_LEADER);
        return;
    }
    if (session->reason != LEASE_EXPIRE) return;
    for (size_t i = 0; i < sim->client_count; i++) {
        const struct sim_client *client = sim->clients[i];
        bool attaches = client->session == session->session && !client->attached && client->conn != NULL;
        reached_if(sim, attaches, STATE_EXPIRY_RACES_ATTACH);
    }
}
