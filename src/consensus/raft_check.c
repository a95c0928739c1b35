// Every invariant that one node can see by itself, asserted. For tests and the simulator: it walks the whole tail.
#include "consensus/raft_internal.h"

static void check_log(const struct raft_log *log) {
    ENSURE(log->start_index <= log->commit);
    ENSURE(log->commit <= log->last);
    ENSURE(log->persisted <= log->last);
    uint64_t before = log->start_index, term = log->start_term;
    for (size_t i = 0; i < log->run_count; i++) {
        const struct term_run *run = &log->runs[i];
        ENSURE(i == 0 ? run->first == before + 1 : run->first > before);
        ENSURE(i == 0 ? run->term >= term : run->term > term);
        before = run->first;
        term = run->term;
    }
    ENSURE(log->last_term == term);
    ENSURE(log->last == log->start_index ? log->run_count == 0 : log->run_count > 0 && before <= log->last);
    uint64_t bytes = 0, tail_first = raft_log_tail_first(log),
             safe = log->commit < log->persisted ? log->commit : log->persisted;
    ENSURE(tail_first > log->start_index && (tail_first - 1 <= safe || tail_first - 1 == log->start_index));
    for (size_t i = 0; i < log->count; i++) {
        const struct batch_ref *batch = raft_log_slot(log, i);
        ENSURE(batch->first == tail_first && batch->last >= batch->first);
        ENSURE(raft_log_term_at(log, batch->last, &term) && term == batch->term);
        ENSURE(raft_log_term_at(log, batch->first, &term) && term == batch->term);
        ENSURE(batch->last <= log->commit || batch->first > log->commit); // commit lies between batches
        tail_first = batch->last + 1;
        bytes += batch->buf->len;
    }
    ENSURE(tail_first == log->last + 1);
    ENSURE(bytes == log->bytes);
}

static void check_peer(const struct raft *raft, const struct peer *p) {
    ENSURE(p->match < p->next);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->inflight_count; i++)
        bytes += p->inflight[(p->inflight_head + i) % raft->options.inflight_messages_max].bytes;
    ENSURE(bytes == p->inflight_bytes);
    if (raft->role != RAFT_LEADER) return;
    ENSURE(p->match <= raft->log.last && p->next <= raft->log.last + 1);
    ENSURE(p->inflight_count <= raft->options.inflight_messages_max);
    ENSURE(p->inflight_bytes <= raft->options.inflight_bytes_max ||
           p->inflight_count == 1); // one large batch may pass alone
    ENSURE(p->state == RAFT_REPLICATE || p->inflight_count == 0);
    ENSURE(!p->self || p->match <= raft->log.persisted);
    ENSURE(!p->self || p->state == RAFT_PROBE);
}

void raft_check(const struct raft *raft) {
    check_log(&raft->log);
    ENSURE(raft->log.last_term <= raft->term);
    ENSURE(raft->persist_done <= raft->persist_issued);
    ENSURE(raft->hard_number <= raft->persist_issued && !raft->hard_dirty);
    ENSURE(raft->membership_count > 0);
    for (size_t i = 0; i < raft->membership_count; i++) {
        uint64_t index = raft->memberships[i].index;
        ENSURE(index <= raft->log.last || i == 0);
        ENSURE(i == 0 || (index > raft->memberships[i - 1].index && index > raft->log.commit));
    }
    const struct raft_membership *m = raft_newest_membership(raft);
    ENSURE(raft->peer_count == m->count);
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        ENSURE(raft->peers[i].id == m->members[i].id && raft->peers[i].role == m->members[i].role);
        check_peer(raft, &raft->peers[i]);
    }
    for (size_t i = 0; i < raft->persists_count; i++)
        ENSURE(raft->persists[(raft->persists_head + i) & (raft->persists_capacity - 1)].last <= raft->log.last);
    switch (raft->role) {
    case RAFT_LEADER:
        ENSURE(raft->leader == raft->options.id && raft->voted_for == raft->options.id);
        ENSURE(raft->log.last_term == raft->term && raft->own_first <= raft->log.last);
        ENSURE(raft->hard_number <= raft->persist_done); // it won with its own vote, which was durable
        break;
    case RAFT_CANDIDATE:
        ENSURE(raft->leader == 0 && raft->voted_for == raft->options.id);
        break;
    case RAFT_PRE_CANDIDATE:
        ENSURE(raft->leader == 0);
        break;
    case RAFT_FOLLOWER:
        ENSURE(raft->leader != raft->options.id);
        break;
    }
    ENSURE(raft->role == RAFT_LEADER || (!raft->round_running && !raft->round_wanted && raft->transfer_to == 0));
}
