// Linearizable reads without the log (thesis 6.4). A read may run once applied >= the commit index of a moment after it
// arrived at which we were still leader. A round of heartbeats proves that; all reads that arrive while a round is
// under way share the next one. Rounds are numbered from 1 over this process's life, so an answer to an older term's
// round proves nothing.
#include "base/alloc.h"
#include "base/planted.h"
#include "consensus/raft_internal.h"

void raft_read_drop(struct raft *raft) {
    raft->round_running = raft->round_wanted = false;
}

static bool acked(void *context, uint32_t id) {
    const struct raft *raft = context;
    const struct peer *p = raft_peer(raft, id);
    return p->self || p->acked_round >= raft->round;
}

static bool complete(struct raft *raft) {
    if (!PLANTED(READ_WITHOUT_ROUND) && !membership_quorum(raft_newest_membership(raft), acked, raft)) return false;
    struct raft_update *u = &raft->update;
    if (u->reads_ready_count == raft->ready_capacity) {
        raft->ready_capacity = raft->ready_capacity == 0 ? 4 : raft->ready_capacity * 2;
        u->reads_ready = mem_realloc(u->reads_ready, raft->ready_capacity * sizeof *u->reads_ready);
    }
    u->reads_ready[u->reads_ready_count++] = (struct raft_read_ready){raft->round, raft->round_index};
    raft->round_running = false;
    return true;
}

void raft_read_advance(struct raft *raft) {
    if (raft->role != RAFT_LEADER) return;
    if (raft->round_running && !complete(raft)) return;
    // Only a leader that has committed in its term knows how far commit was before it (thesis 6.4, step 1).
    if (!raft->round_wanted) return;
    if (raft->log.commit < raft->own_first && !PLANTED(READ_BEFORE_FIRST_COMMIT)) return;
    raft->round_wanted = false;
    raft->round_running = true;
    raft->round++;
    raft->round_index = raft->log.commit;
    if (!complete(raft)) raft_leader_heartbeats(raft); // a node alone has its majority at once
}

void raft_read_request(struct raft *raft) {
    if (raft->role != RAFT_LEADER) return; // read_round stays 0
    raft->round_wanted = true;             // begun at the end of this step, or when the round under way ends
    raft->update.read_round = raft->round + 1;
}
