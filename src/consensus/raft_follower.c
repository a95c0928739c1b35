// What a follower does with its leader's messages (thesis 3.5), and with a snapshot (thesis 5.3).
#include "base/planted.h"
#include "consensus/raft_internal.h"

// The leader of our term has been heard of.
static void contact(struct raft *raft, uint32_t leader) {
    if (raft->role != RAFT_FOLLOWER) raft_become_follower(raft, raft->term, leader);
    raft->leader = leader;
    raft->leader_lost = false;
    raft->hint_until = 0;
    raft->contact_ms = raft->now_ms;
    raft_election_reset_timer(raft);
}

// Two leaders in a term would be a broken vote; nothing of such a message may be used.
static bool from_leader(const struct raft *raft, const struct raft_message *m) {
    if (raft->role != RAFT_LEADER && (raft->leader == 0 || raft->leader == m->from)) return true;
    LOG_ERROR(raft->options.log, "raft second leader in a term term=%llu peer=%u leader=%u",
              (unsigned long long)raft->term, m->from, raft->leader);
    return false;
}

// A leader of an older term learns of ours by this and steps down; without it, a node whose term had risen could
// neither follow nor, because of pre-vote and leases, be heard (thesis 3.3: servers exchange terms whenever they talk).
void raft_answer_stale_leader(struct raft *raft, const struct raft_message *m) {
    enum raft_message_type type = m->type == RAFT_MSG_APPEND ? RAFT_MSG_APPEND_ANSWER : RAFT_MSG_HEARTBEAT_ANSWER;
    struct raft_message *answer = raft_emit(raft, raft_answer_box(raft), type, m->from);
    answer->index = m->index;
    answer->reject = true;
}

static void accept_append(struct raft *raft, uint32_t to, uint64_t index) {
    // At the leader this counts towards a majority: everything appended up to now must be durable first.
    raft_emit(raft, &raft->send_after, RAFT_MSG_APPEND_ANSWER, to)->index = index;
}

// Consecutive, terms in order, memberships readable, nothing of another group: else the message is not a leader's.
static bool well_formed(const struct raft *raft, const struct raft_message *m) {
    uint64_t before = m->index, term = m->log_term;
    for (size_t i = 0; i < m->batch_count; i++) {
        const struct batch_ref *b = &m->batches[i];
        if (b->first != before + 1 || b->last < b->first || b->last == UINT64_MAX) return false;
        if (b->term < term || b->term == 0 || b->term > m->term || !raft_membership_batch_good(b)) return false;
        before = b->last;
        term = b->term;
    }
    return m->log_term <= m->term;
}

static void refuse_append(struct raft *raft, const struct raft_message *m) {
    struct raft_message *answer = raft_emit(raft, raft_answer_box(raft), RAFT_MSG_APPEND_ANSWER, m->from);
    uint64_t index = m->index < raft->log.last ? m->index : raft->log.last;
    answer->index = m->index;
    answer->reject = true;
    answer->hint_index = raft_log_backtrack(&raft->log, index, m->log_term, &answer->hint_term);
    // Below commit every leader's log is ours, so no step needs to go further back.
    if (answer->hint_index < raft->log.commit && raft->log.commit < m->index) {
        answer->hint_index = raft->log.commit;
        bool known = raft_log_term_at(&raft->log, raft->log.commit, &answer->hint_term);
        ENSURE(known);
    }
}

void raft_handle_append(struct raft *raft, struct raft_message *m) {
    ENSURE(m->term == raft->term);
    if (!from_leader(raft, m)) return;
    contact(raft, m->from);
    if (!well_formed(raft, m)) {
        LOG_ERROR(raft->options.log, "raft malformed append peer=%u index=%llu", m->from, (unsigned long long)m->index);
        return;
    }
    uint64_t term = 0, commit = raft->log.commit;
    if (m->index > commit && (!raft_log_term_at(&raft->log, m->index, &term) ||
                              (term != m->log_term && !PLANTED(APPEND_WITHOUT_LOG_MATCH)))) {
        refuse_append(raft, m);
        return;
    }
    size_t at = 0; // the first batch that is not ours yet; equal (last index, term) are equal bytes (batch.h)
    for (; at < m->batch_count; at++) {
        const struct batch_ref *b = &m->batches[at];
        if (b->last <= commit) continue; // committed entries are every later leader's (Leader Completeness)
        if (b->first <= commit || !raft_log_term_at(&raft->log, b->last, &term) || term != b->term) break;
    }
    if (at < m->batch_count) {
        uint64_t first = m->batches[at].first;
        if (first <= commit) {
            LOG_ERROR(raft->options.log, "raft append conflicts with what is committed peer=%u index=%llu commit=%llu",
                      m->from, (unsigned long long)first, (unsigned long long)commit);
            return;
        }
        uint64_t before = 0;
        size_t place = raft_log_find(&raft->log, first);
        if (!raft_log_term_at(&raft->log, first - 1, &before) || before > m->batches[at].term ||
            (place != SIZE_MAX &&
             raft_log_slot(&raft->log, place)->first != first)) { // logs are cut only between batches
            LOG_ERROR(raft->options.log, "raft append does not fit peer=%u index=%llu", m->from,
                      (unsigned long long)first);
            return;
        }
        if (first <= raft->log.last) raft_truncate(raft, first);
        for (size_t i = at; i < m->batch_count; i++) {
            struct batch_ref taken = m->batches[i];
            m->batches[i].buf = NULL; // moved; the rest is released with the message
            raft_append(raft, taken);
        }
    }
    uint64_t end = m->batch_count > 0 ? m->batches[m->batch_count - 1].last : m->index;
    uint64_t known = m->commit < end ? m->commit : end;
    raft_commit_to(raft, known < raft->log.last ? known : raft->log.last);
    accept_append(raft, m->from, end > raft->log.commit ? end : raft->log.commit);
}

void raft_handle_heartbeat(struct raft *raft, const struct raft_message *m) {
    ENSURE(m->term == raft->term);
    if (!from_leader(raft, m)) return;
    contact(raft, m->from);
    // The leader sends min(commit, match): we have that entry, and it is the leader's.
    raft_commit_to(raft, m->commit < raft->log.last ? m->commit : raft->log.last);
    if (m->log_time_ms > raft->log.log_time_ms) raft->log.log_time_ms = m->log_time_ms;
    if (m->round == 0) return;
    raft_emit(raft, raft_answer_box(raft), RAFT_MSG_HEARTBEAT_ANSWER, m->from)->round = m->round;
}

void raft_follower_install(struct raft *raft, uint64_t index, uint64_t term, const struct raft_membership *membership) {
    uint64_t own_term = 0;
    if (raft->role == RAFT_LEADER) return;                      // it has all that is committed
    if (term > raft->term) raft_become_follower(raft, term, 0); // its leader may have come and gone while we were away
    if (index > raft->log.commit) {
        if (raft_log_term_at(&raft->log, index, &own_term) && own_term == term &&
            raft_batch_end(&raft->log, index) == index) {
            raft_commit_to(raft, index); // a snapshot is of committed entries; ours behind it stay
        } else {
            if (raft->role != RAFT_FOLLOWER)
                raft_become_follower(raft, raft->term, 0); // it asked for votes with another log
            raft_log_replace(&raft->log, index, term);
            for (size_t i = 0; i < raft->persists_count; i++) {
                struct persist *p = &raft->persists[(raft->persists_head + i) & (raft->persists_capacity - 1)];
                if (p->last > raft->log.persisted) p->last = raft->log.persisted;
            }
            raft_membership_start(raft, membership);
            raft->update.installed = true;
            raft->update.start_index = index;
            raft->update.start_term = term;
            raft->update.commit_changed = true;
        }
    }
    if (raft->leader != 0) accept_append(raft, raft->leader, raft->log.commit);
}
