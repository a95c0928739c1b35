// What a leader commits by counting, looked at from above: what the nodes' disks hold is known here, so a leader that
// counts a copy which is not there yet, or one that does not count, is found at the moment it commits, not only when
// the crash comes that loses the entry.
#include "sim/sim.h"

#include <string.h>

// Is the entry on the disk that this member's name stands for? A disk that was lost counts as holding what it held.
static bool holds(const struct sim *sim, const struct member *member, uint64_t index, uint64_t term) {
    const struct sim_node *node = &sim->nodes[member->id - 1];
    if (memcmp(node->incarnation, member->incarnation, INCARNATION_BYTES) != 0) return index <= node->lost_upto;
    if (node->node == NULL) return index <= node->persisted;
    const struct raft *raft = core_raft(node_core(node->node));
    uint64_t there = 0;
    if (raft_persisted_index(raft) < index) return false;
    return !raft_term_at(raft, index, &there) || there == term; // not in the log any more: behind a snapshot
}

static void check_majority(struct sim_node *node, const struct raft_membership *m, uint64_t index, uint64_t term,
                           enum member_role outside) {
    uint32_t voters = 0, copies = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->members[i].role == MEMBER_LEARNER || m->members[i].role == outside) continue;
        voters++;
        copies += holds(node->sim, &m->members[i], index, term);
    }
    if (copies * 2 <= voters)
        world_fail(&node->sim->world, "node %u commits index %llu of term %llu, and %u of %u%s voters have it on disk",
                   node->id, (unsigned long long)index, (unsigned long long)term, copies, voters,
                   !m->joint                    ? ""
                   : outside == MEMBER_INCOMING ? " old"
                                                : " new");
}

// Behind each turn of a node's replication loop. Only turns that begin and end as leader of the same term under the
// same membership tell who was counted.
void quorum_check(struct sim_node *node) {
    const struct raft *raft = core_raft(node_core(node->node));
    const struct raft_membership *m = raft_membership(raft);
    bool leads = raft_role(raft) == RAFT_LEADER;
    uint64_t commit = raft_commit(raft), before = node->led_commit, term = 0;
    bool same = leads && node->led_term == raft_term(raft) && node->led_membership == m->index;
    if (leads && node->led_term != raft_term(raft)) raft_check(raft); // its own vote among the rest
    node->led_term = leads ? raft_term(raft) : 0;
    node->led_membership = m->index;
    node->led_commit = commit;
    if (!same || commit <= before || !raft_term_at(raft, commit, &term)) return;
    if (term != raft_term(raft))
        world_fail(&node->sim->world,
                   "node %u leads term %llu and commits index %llu of term %llu: a leader counts only entries of its "
                   "own term",
                   node->id, (unsigned long long)raft_term(raft), (unsigned long long)commit, (unsigned long long)term);
    check_majority(node, m, commit, term, MEMBER_INCOMING);
    if (m->joint) check_majority(node, m, commit, term, MEMBER_OUTGOING);
}
