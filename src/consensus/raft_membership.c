// Membership as part of the log (Raft thesis 4.1: a server uses the latest one in its log, committed or not), changed
// by joint consensus (thesis 4.3), and the table of peers that follows it.
#include "base/alloc.h"
#include "consensus/raft_internal.h"

bool raft_counts(enum member_role role) {
    return role != MEMBER_LEARNER;
}

struct raft_membership *raft_newest_membership(const struct raft *raft) {
    ENSURE(raft->membership_count > 0);
    return &raft->memberships[raft->membership_count - 1];
}

// Who stays (same id and incarnation) keeps its progress; anyone else begins anew.
static void rebuild_peers(struct raft *raft) {
    const struct raft_membership *m = raft_newest_membership(raft);
    struct peer *peers = mem_zalloc(m->count * sizeof *peers);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct member *member = &m->members[i];
        struct peer *peer = &peers[i], *old = raft_peer(raft, member->id);
        if (old != NULL && memcmp(old->incarnation, member->incarnation, INCARNATION_BYTES) == 0) {
            *peer = *old;
            old->inflight = NULL;
        } else {
            peer->id = member->id;
            memcpy(peer->incarnation, member->incarnation, INCARNATION_BYTES);
            peer->next = raft->log.last + 1;
            peer->state = RAFT_PROBE;
            peer->active_ms = raft->now_ms; // a grace of one election time-out
            peer->retry_at = RAFT_NEVER;
            peer->self = member->id == raft->options.id &&
                         memcmp(member->incarnation, raft->options.incarnation, INCARNATION_BYTES) == 0;
        }
        peer->role = member->role;
    }
    for (uint32_t i = 0; i < raft->peer_count; i++) mem_free(raft->peers[i].inflight);
    mem_free(raft->peers);
    raft->peers = peers;
    raft->peer_count = m->count;
    memset(raft->peer_place, 0, sizeof raft->peer_place);
    for (uint32_t i = 0; i < m->count; i++) raft->peer_place[peers[i].id] = (uint8_t)(i + 1);
    raft->match_dirty = true; // other majorities count now
}

static void changed(struct raft *raft) {
    rebuild_peers(raft);
    raft->update.membership_changed = true;
}

static void push(struct raft *raft, const struct raft_membership *m) { // takes it over
    if (raft->membership_count == raft->membership_capacity) {
        raft->membership_capacity = raft->membership_capacity == 0 ? 4 : raft->membership_capacity * 2;
        raft->memberships = mem_realloc(raft->memberships, raft->membership_capacity * sizeof *raft->memberships);
    }
    raft->memberships[raft->membership_count++] = *m;
}

void raft_membership_start(struct raft *raft, const struct raft_membership *base) {
    for (size_t i = 0; i < raft->membership_count; i++) membership_free(&raft->memberships[i]);
    raft->membership_count = 0;
    struct raft_membership copy;
    membership_copy(&copy, base);
    push(raft, &copy);
    changed(raft);
}

bool raft_membership_of_batch(const struct batch_ref *batch, struct raft_membership *m) {
    if (raft_batch_kind(batch) != BATCH_MEMBERSHIP || !membership_decode(m, batch_body(batch))) return false;
    m->index = batch->first;
    return true;
}

bool raft_membership_batch_good(const struct batch_ref *batch) {
    struct raft_membership m;
    if (raft_batch_kind(batch) != BATCH_MEMBERSHIP) return true;
    if (batch->first != batch->last || !raft_membership_of_batch(batch, &m)) return false;
    membership_free(&m);
    return true;
}

void raft_membership_appended(struct raft *raft, const struct batch_ref *batch) {
    struct raft_membership m;
    bool good = raft_membership_of_batch(batch, &m); // what came from others was looked at before
    ENSURE(good);
    push(raft, &m);
    changed(raft);
}

void raft_membership_truncated(struct raft *raft, uint64_t from) {
    size_t before = raft->membership_count;
    while (raft->membership_count > 1 && raft_newest_membership(raft)->index >= from)
        membership_free(&raft->memberships[--raft->membership_count]);
    ENSURE(raft_newest_membership(raft)->index < from);
    if (raft->membership_count != before) changed(raft);
}

void raft_membership_committed(struct raft *raft) {
    size_t drop = 0; // older ones cannot come back
    while (drop + 1 < raft->membership_count && raft->memberships[drop + 1].index <= raft->log.commit) drop++;
    if (drop == 0) return;
    for (size_t i = 0; i < drop; i++) membership_free(&raft->memberships[i]);
    raft->membership_count -= drop;
    memmove(raft->memberships, raft->memberships + drop, raft->membership_count * sizeof *raft->memberships);
}

static bool in_old(const struct member *m) {
    return m != NULL && (m->role == MEMBER_VOTER || m->role == MEMBER_OUTGOING);
}

// Every majority before and every majority after must share a member, whoever has seen which entry. A joint membership
// asks both majorities, so it may follow if its old set is exactly today's voters; a plain one only if the voters stay
// as they are (thesis 4.3; changes of one voter at a time are not used, so their 2015 fault cannot arise).
static int judge(const struct raft_membership *now, const struct raft_membership *next) {
    bool joint = false;
    uint32_t new_voters = 0, old_now = 0, old_next = 0;
    if (next->count > MEMBERS_MAX) return RAFT_UNSAFE;
    for (uint32_t i = 0; i < next->count; i++) {
        const struct member *member = &next->members[i], *before = membership_find(now, member->id);
        if (member->id < 1 || member->id > 255 || (i > 0 && member->id <= next->members[i - 1].id)) return RAFT_UNSAFE;
        if (member->role > MEMBER_INCOMING || (member->stays && member->role != MEMBER_OUTGOING)) return RAFT_UNSAFE;
        if (member->observer && member->role != MEMBER_LEARNER) return RAFT_UNSAFE;
        bool same = before != NULL && memcmp(before->incarnation, member->incarnation, INCARNATION_BYTES) == 0;
        if (in_old(member)) {
            if (!in_old(before) || !same) return RAFT_UNSAFE; // nobody becomes a voter but through both majorities
            old_next++;
        } else if (in_old(before)) {
            return RAFT_UNSAFE; // a voter leaves through OUTGOING only
        }
        joint |= member->role == MEMBER_OUTGOING || member->role == MEMBER_INCOMING;
        new_voters += member->role == MEMBER_VOTER || member->role == MEMBER_INCOMING;
    }
    for (uint32_t i = 0; i < now->count; i++) old_now += in_old(&now->members[i]);
    if (old_now != old_next || new_voters == 0 || joint != next->joint) return RAFT_UNSAFE;
    return RAFT_OK;
}

static void append_membership(struct raft *raft, struct raft_membership *m) {
    struct writer w;
    writer_init(&w);
    m->index = raft->log.last + 1;
    membership_encode(m, &w);
    raft_leader_append_own(raft, BATCH_MEMBERSHIP, bytes_of(w.data, w.len));
    writer_free(&w);
}

int raft_membership_propose(struct raft *raft, const struct raft_membership *proposed) {
    const struct raft_membership *now = raft_newest_membership(raft);
    if (raft->role != RAFT_LEADER) return RAFT_NOT_LEADER;
    if (raft->transfer_to != 0) return RAFT_TRANSFERRING;
    if (now->joint || now->index > raft->log.commit) return RAFT_BUSY;
    if (raft->log.commit < raft->own_first) return RAFT_BUSY; // the correction of 2015: first an entry of this term
    int verdict = judge(now, proposed);
    if (verdict != RAFT_OK) return verdict;
    struct raft_membership copy;
    membership_copy(&copy, proposed);
    append_membership(raft, &copy);
    membership_free(&copy);
    return RAFT_OK;
}

// Thesis 4.3: once the joint entry is committed the leader goes on to the new membership, whoever proposed it.
// Thesis 4.2.2: a leader outside of the new voters leads, without counting itself, until that is committed, and then
// steps down.
void raft_membership_leader_after_commit(struct raft *raft) {
    const struct raft_membership *now = raft_newest_membership(raft);
    if (raft->role != RAFT_LEADER || now->index > raft->log.commit || raft->log.commit < raft->own_first) return;
    if (now->joint) {
        struct raft_membership next;
        membership_copy(&next, now);
        bool left = membership_leave_joint(&next);
        ENSURE(left);
        append_membership(raft, &next);
        membership_free(&next);
        return;
    }
    const struct peer *self = raft_self(raft);
    if (self != NULL && raft_counts(self->role)) return;
    raft_leader_commit_news(raft); // they must learn that the change is done
    struct peer *heir = raft_leader_best_voter(raft);
    if (heir != NULL && heir->match == raft->log.last) raft_emit(raft, &raft->send, RAFT_MSG_TIMEOUT_NOW, heir->id);
    LOG_INFO(raft->options.log, "raft left the voters, steps down term=%llu", (unsigned long long)raft->term);
    raft_become_follower(raft, raft->term, 0);
}
