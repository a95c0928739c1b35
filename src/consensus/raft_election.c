// Elections: time-outs, pre-vote (thesis 9.6), votes (3.4), the lease that keeps disruptive servers out (4.2.3), and
// the receiving end of a leader transfer (3.10).
#include "base/planted.h"
#include "consensus/raft_internal.h"

void raft_election_reset_timer(struct raft *raft) {
    uint64_t spread = raft->options.election_ms;
    raft->election_at = raft->now_ms + raft->options.election_ms + prng_below(&raft->prng, spread);
}

// A learner never stands, nor one that its own membership does not name. One exception, thesis 4.2.2: who is left out
// by a membership that is not known to be committed may be the only one that holds it, and then nobody else can win.
bool raft_may_stand(const struct raft *raft) {
    if (raft->disk_bad) return false;
    const struct peer *self = raft_self(raft);
    if (self != NULL && raft_counts(self->role)) return true;
    if (raft_newest_membership(raft)->index <= raft->log.commit || raft->membership_count < 2) return false;
    const struct member *before = membership_find(&raft->memberships[raft->membership_count - 2], raft->options.id);
    return before != NULL && raft_counts(before->role) &&
           memcmp(before->incarnation, raft->options.incarnation, INCARNATION_BYTES) == 0;
}

// Thesis 4.2.3: while a leader is heard of, requests for votes do not count. A closed connection to it ends that at
// once.
bool raft_election_lease(const struct raft *raft) {
    if (raft->role == RAFT_LEADER) return true; // check-quorum makes it step down when it has lost the majority
    return raft->leader != 0 && !raft->leader_lost && raft->now_ms - raft->contact_ms < raft->options.election_ms;
}

void raft_become_follower(struct raft *raft, uint64_t term, uint32_t leader) {
    ENSURE(term >= raft->term);
    ENSURE(leader != raft->options.id);
    enum raft_role before = raft->role;
    if (term > raft->term) raft_set_hard(raft, term, 0);
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    if (before == RAFT_LEADER) {
        raft->transfer_to = 0;
        raft_read_drop(raft);
        for (uint32_t i = 0; i < raft->peer_count; i++) {
            raft->peers[i].need_pending = false;
            raft->peers[i].inflight_count = 0;
            raft->peers[i].inflight_bytes = 0;
        }
    }
    if (before != RAFT_FOLLOWER) raft_election_reset_timer(raft);
}

static void clear_votes(struct raft *raft) {
    for (uint32_t i = 0; i < raft->peer_count; i++) raft->peers[i].vote = VOTE_NONE;
}

static void ask_votes(struct raft *raft, struct outbox *box, enum raft_message_type type, uint64_t term, bool disturb) {
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct peer *peer = &raft->peers[i];
        if (peer->self || peer->id == raft->options.id || !raft_counts(peer->role)) continue;
        struct raft_message *m = raft_emit(raft, PLANTED(OWN_VOTE_BEFORE_PERSIST) ? &raft->send : box, type, peer->id);
        m->term = term;
        m->index = raft->log.last;
        m->log_term = raft->log.last_term;
        m->disturb = disturb;
    }
}

void raft_become_pre_candidate(struct raft *raft) {
    ENSURE(raft->role != RAFT_LEADER);
    raft->role = RAFT_PRE_CANDIDATE;
    raft->leader = 0;
    clear_votes(raft);
    raft_election_reset_timer(raft);
    if (raft->now_ms < raft->hint_until) // the others learn of the closed connection a little later than we did
        raft->election_at = raft->now_ms + RAFT_HINT_SPREAD_MS + prng_below(&raft->prng, RAFT_HINT_SPREAD_MS);
    ask_votes(raft, &raft->send, RAFT_MSG_PRE_VOTE, raft->term + 1, false); // nothing changes, so nothing to persist
    raft_election_tally(raft);
}

void raft_become_candidate(struct raft *raft, bool disturb) {
    ENSURE(raft->role != RAFT_LEADER);
    raft_set_hard(raft, raft->term + 1, raft->options.id);
    raft->role = RAFT_CANDIDATE;
    raft->leader = 0;
    clear_votes(raft);
    raft_election_reset_timer(raft);
    ask_votes(raft, &raft->send_after, RAFT_MSG_VOTE, raft->term, disturb); // our own vote must be durable first
}

static bool granted(void *context, uint32_t id) {
    const struct raft *raft = context;
    const struct peer *peer = raft_peer(raft, id);
    if (!peer->self) return peer->vote == VOTE_GRANTED;
    if (raft->role == RAFT_PRE_CANDIDATE || PLANTED(OWN_VOTE_BEFORE_PERSIST)) return true;
    // Our own vote is one of a majority that must survive our crash: only when it is on disk.
    return raft->voted_for == raft->options.id && !raft->hard_dirty && raft->hard_number <= raft->persist_done;
}

void raft_election_tally(struct raft *raft) {
    if (raft->role != RAFT_PRE_CANDIDATE && raft->role != RAFT_CANDIDATE) return;
    if (membership_voters(raft_newest_membership(raft)) == 0) return;
    if (!membership_quorum(raft_newest_membership(raft), granted, raft)) return;
    if (raft->role == RAFT_PRE_CANDIDATE)
        raft_become_candidate(raft, false);
    else
        raft_leader_start(raft);
}

void raft_election_tick(struct raft *raft) {
    if (raft->now_ms < raft->election_at) return;
    if (raft_may_stand(raft)) {
        raft_become_pre_candidate(raft);
        return;
    }
    if (raft->role != RAFT_FOLLOWER) raft_become_follower(raft, raft->term, 0);
    raft->leader = 0;
    raft->election_at = RAFT_NEVER; // until somebody is heard of, or we may stand
}

// replication.md: a leader's control connection that closes and cannot be opened again at once is a hint.
void raft_election_peer_lost(struct raft *raft, uint32_t peer) {
    if (raft->role != RAFT_FOLLOWER || raft->leader != peer || peer == 0) return;
    raft->leader_lost = true;
    raft->hint_until = raft->now_ms + raft->options.election_ms;
    uint64_t soon = raft->now_ms + prng_below(&raft->prng, RAFT_HINT_SPREAD_MS + 1);
    if (soon < raft->election_at) raft->election_at = soon;
}

static bool up_to_date(const struct raft *raft, const struct raft_message *m) { // thesis 3.6.1
    if (PLANTED(VOTE_WITHOUT_LOG_CHECK)) return true;
    if (PLANTED(TRANSFER_TO_OLDER_LOG) && m->disturb) return true;
    if (m->log_term != raft->log.last_term) return m->log_term > raft->log.last_term;
    return m->index >= raft->log.last;
}

void raft_handle_pre_vote(struct raft *raft, const struct raft_message *m) {
    bool could = m->term > raft->term ||
                 (m->term == raft->term && raft->leader == 0 && (raft->voted_for == 0 || raft->voted_for == m->from));
    bool grant = could && !raft_election_lease(raft) && up_to_date(raft, m);
    struct raft_message *answer = raft_emit(raft, raft_answer_box(raft), RAFT_MSG_PRE_VOTE_ANSWER, m->from);
    answer->term = grant ? m->term : raft->term;
    answer->reject = !grant;
}

void raft_handle_vote(struct raft *raft, const struct raft_message *m) {
    ENSURE(m->term <= raft->term); // dispatch has taken the newer term
    bool could = m->term == raft->term && raft->role != RAFT_LEADER &&
                 (raft->voted_for == m->from || (raft->voted_for == 0 && raft->leader == 0));
    bool grant = could && up_to_date(raft, m);
    if (!grant) {
        raft_emit(raft, raft_answer_box(raft), RAFT_MSG_VOTE_ANSWER, m->from)->reject = true;
        return;
    }
    if (raft->voted_for == 0) raft_set_hard(raft, raft->term, m->from);
    if (raft->role != RAFT_FOLLOWER) raft_become_follower(raft, raft->term, 0);
    raft_election_reset_timer(raft);
    struct outbox *box = PLANTED(VOTE_BEFORE_PERSIST) ? &raft->send : &raft->send_after; // durable before it is given
    raft_emit(raft, box, RAFT_MSG_VOTE_ANSWER, m->from);
}

void raft_handle_vote_answer(struct raft *raft, const struct raft_message *m) {
    struct peer *peer = raft_peer(raft, m->from);
    if (peer == NULL) return;
    if (m->type == RAFT_MSG_PRE_VOTE_ANSWER) {
        if (raft->role != RAFT_PRE_CANDIDATE || m->term != raft->term + (m->reject ? 0 : 1)) return;
    } else if (raft->role != RAFT_CANDIDATE || m->term != raft->term) {
        return;
    }
    peer->vote = m->reject ? VOTE_REFUSED : VOTE_GRANTED;
    raft_election_tally(raft);
}

void raft_handle_timeout_now(struct raft *raft, const struct raft_message *m) {
    if (raft->role == RAFT_LEADER || m->term != raft->term || !raft_may_stand(raft)) return;
    raft_become_candidate(raft, true); // thesis 3.10: at once, without pre-vote; leases do not hold against it
}
