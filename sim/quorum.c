// What a leader counts, votes and copies, looked at from above: what the nodes' disks hold is known here, so one that
// counts what is not there yet, or what does not count, is found at that moment, not only when the crash comes that
// loses the entry or lets a second leader in. Disks are what their nodes' Raft takes for durable: that it is on the
// medium is invariants.c's to see, which in turn knows no leader, no votes, and of a joint change the new voters only.
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

// Is a vote for this leader on that disk? One of a newer term says nothing about it; nor does a node that has gone on
// to a newer term in the turn in which its vote became durable (seed 1795271533281: such a turn was taken for no vote).
static bool voted(const struct sim *sim, const struct member *member, uint64_t term, uint32_t leader) {
    const struct sim_node *node = &sim->nodes[member->id - 1];
    if (memcmp(node->incarnation, member->incarnation, INCARNATION_BYTES) != 0) return term <= node->lost_vote_term;
    if (node->node != NULL && raft_term(core_raft(node_core(node->node))) > term) return true;
    return node->vote_term > term || (node->vote_term == term && node->vote == leader);
}

struct claim { // what a leader has done, and a majority must stand behind
    uint64_t index, term;
    bool election;
};

static void check_majority(struct sim_node *node, const struct raft_membership *m, const struct claim *claim,
                           enum member_role outside) {
    uint32_t voters = 0, behind = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct member *member = &m->members[i];
        if (member->role == MEMBER_LEARNER || member->role == outside) continue;
        voters++;
        behind += claim->election ? voted(node->sim, member, claim->term, node->id)
                                  : holds(node->sim, member, claim->index, claim->term);
    }
    const char *which = !m->joint ? "" : outside == MEMBER_INCOMING ? " old" : " new";
    if (behind * 2 > voters) return;
    if (claim->election)
        world_fail(&node->sim->world, "node %u leads term %llu, and %u of %u%s voters have that vote on disk", node->id,
                   (unsigned long long)claim->term, behind, voters, which);
    else
        world_fail(&node->sim->world, "node %u commits index %llu of term %llu, and %u of %u%s voters have it on disk",
                   node->id, (unsigned long long)claim->index, (unsigned long long)claim->term, behind, voters, which);
}

static void check_claim(struct sim_node *node, const struct raft_membership *m, struct claim claim) {
    check_majority(node, m, &claim, MEMBER_INCOMING);
    if (m->joint) check_majority(node, m, &claim, MEMBER_OUTGOING);
}

static void note_vote(struct sim_node *node) {
    const struct raft *raft = core_raft(node_core(node->node));
    uint32_t vote = 0;
    if (!raft_vote_persisted(raft, &vote)) return;
    node->vote_term = raft_term(raft);
    node->vote = vote;
}

void quorum_started(struct sim_node *node) {
    uint64_t term = node->vote_term;
    uint32_t vote = node->vote;
    note_vote(node);
    if (node->vote_term < term || (node->vote_term == term && vote != 0 && node->vote != vote))
        world_fail(&node->sim->world, "node %u had voted for %u in term %llu, and finds a vote for %u in term %llu",
                   node->id, vote, (unsigned long long)term, node->vote, (unsigned long long)node->vote_term);
}

void quorum_lost(struct sim_node *node) {
    if (node->persisted > node->lost_upto) node->lost_upto = node->persisted;
    if (node->vote_term > node->lost_vote_term) node->lost_vote_term = node->vote_term;
    node->vote_term = node->vote = 0;
}

void quorum_free(struct sim_node *node) {
    membership_free(&node->led_membership);
}

// What was committed in a turn that led the same term from its beginning to its end.
static void check_commit(struct sim_node *node, const struct raft_membership *m, uint64_t before, uint64_t commit) {
    const struct raft *raft = core_raft(node_core(node->node));
    const struct raft_membership *was = &node->led_membership;
    uint64_t term = 0;
    if (raft_term_at(raft, commit, &term) && term != raft_term(raft))
        world_fail(&node->sim->world,
                   "node %u leads term %llu and commits index %llu of term %llu: a leader counts only entries of its "
                   "own term",
                   node->id, (unsigned long long)raft_term(raft), (unsigned long long)commit, (unsigned long long)term);
    if (m->index != was->index) { // another membership came: who was counted is known of the old one's own entry only
        if (was->index <= before || was->index > commit) return;
        m = was;
        commit = was->index;
    }
    if (!raft_term_at(raft, commit, &term)) return;
    check_claim(node, m, (struct claim){.index = commit, .term = term});
}

// Behind each turn of a node's replication loop.
void quorum_check(struct sim_node *node) {
    const struct raft *raft = core_raft(node_core(node->node));
    const struct raft_membership *m = raft_membership(raft);
    uint64_t term = raft_role(raft) == RAFT_LEADER ? raft_term(raft) : 0, commit = raft_commit(raft);
    note_vote(node);
    if (term != 0 && node->led_term != term)
        check_claim(node, m, (struct claim){.term = term, .election = true});
    else if (term != 0 && commit > node->led_commit)
        check_commit(node, m, node->led_commit, commit);
    bool same = node->led_membership.index == m->index && node->led_term == term;
    node->led_term = term;
    node->led_commit = commit;
    if (same) return;
    membership_free(&node->led_membership);
    membership_copy(&node->led_membership, m);
}
