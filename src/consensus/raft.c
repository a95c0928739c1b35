// Raft's step: one event in, one update out. The parts are in the other files (see raft_internal.h); here is what ties
// them.
#include "consensus/raft.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/planted.h"
#include "consensus/raft_internal.h"

struct peer *raft_peer(const struct raft *raft, uint32_t id) {
    if (id > 255 || raft->peer_place[id] == 0) return NULL;
    return &raft->peers[raft->peer_place[id] - 1];
}

struct peer *raft_self(const struct raft *raft) {
    struct peer *peer = raft_peer(raft, raft->options.id);
    return peer != NULL && peer->self ? peer : NULL;
}

void raft_set_hard(struct raft *raft, uint64_t term, uint32_t voted_for) {
    ENSURE(term >= raft->term);
    ENSURE(term > raft->term || raft->voted_for == 0); // at most one vote a term
    raft->term = term;
    raft->voted_for = voted_for;
    raft->hard_dirty = true;
}

void raft_append(struct raft *raft, struct batch_ref batch) {
    struct raft_update *u = &raft->update;
    if (u->append_count == raft->append_capacity) {
        raft->append_capacity = raft->append_capacity == 0 ? 16 : raft->append_capacity * 2;
        u->append = mem_realloc(u->append, raft->append_capacity * sizeof *u->append);
    }
    u->append[u->append_count] = batch;
    u->append[u->append_count++].buf = buf_ref(batch.buf);
    raft_log_append(&raft->log, batch);
    if (raft_batch_kind(&batch) == BATCH_MEMBERSHIP) raft_membership_appended(raft, &batch);
}

void raft_truncate(struct raft *raft, uint64_t from) {
    ENSURE(raft->update.append_count == 0 && raft->update.truncate_from == 0);
    raft_log_truncate(&raft->log, from);
    raft->update.truncate_from = from;
    for (size_t i = 0; i < raft->persists_count; i++) {
        struct persist *p = &raft->persists[(raft->persists_head + i) & (raft->persists_capacity - 1)];
        if (p->last >= from) p->last = from - 1;
    }
    raft_membership_truncated(raft, from);
}

// ---- life ----

struct raft *raft_new(const struct raft_options *options, const struct raft_restored *restored, uint64_t now_ms) {
    ENSURE(options->id >= 1 && options->id <= 255);
    ENSURE(options->heartbeat_ms > 0 && options->election_ms > options->heartbeat_ms);
    ENSURE(options->inflight_messages_max > 0 && options->message_bytes_max <= options->inflight_bytes_max);
    struct raft *raft = mem_zalloc(sizeof *raft);
    raft->options = *options;
    raft->now_ms = now_ms;
    prng_seed(&raft->prng, options->seed ^ hash_u64(options->id));
    raft->term = restored->term;
    raft->voted_for = restored->voted_for;
    raft->round = 1; // 0 on a heartbeat means: no answer wanted
    raft_log_init(&raft->log, restored->start_index, restored->start_term);
    raft_membership_start(raft, &restored->membership);
    for (size_t i = 0; i < restored->batch_count; i++) {
        struct batch_ref batch = restored->batches[i];
        batch.buf = buf_ref(batch.buf);
        raft_log_append(&raft->log, batch);
        if (raft_batch_kind(&batch) == BATCH_MEMBERSHIP) raft_membership_appended(raft, &batch);
    }
    if (restored->start_term > raft->term) { // a snapshot of a term whose hard state was not written before the crash
        raft->term = restored->start_term;
        raft->voted_for = 0;
    }
    ENSURE(raft->log.last_term <= raft->term);
    ENSURE(restored->commit >= restored->start_index && restored->commit <= raft->log.last);
    raft->log.persisted = raft->log.last;
    raft->log.commit = restored->commit;
    raft_membership_committed(raft);
    raft_log_trim(&raft->log, options->tail_bytes_max);
    raft_election_reset_timer(raft);
    raft->update.membership_changed = false;
    return raft;
}

static void release_append(struct raft_update *u) {
    for (size_t i = 0; i < u->append_count; i++) batch_ref_release(&u->append[i]);
    u->append_count = 0;
}

void raft_free(struct raft *raft) {
    if (raft == NULL) return;
    release_append(&raft->update);
    raft_outbox_free(&raft->send);
    raft_outbox_free(&raft->send_after);
    mem_free(raft->update.append);
    mem_free(raft->update.reads_ready);
    mem_free(raft->update.needs);
    mem_free(raft->update.snapshots);
    for (size_t i = 0; i < raft->membership_count; i++) membership_free(&raft->memberships[i]);
    mem_free(raft->memberships);
    for (uint32_t i = 0; i < raft->peer_count; i++) mem_free(raft->peers[i].inflight);
    mem_free(raft->peers);
    mem_free(raft->persists);
    raft_log_free(&raft->log);
    mem_free(raft);
}

// ---- the update ----

static void begin(struct raft *raft) {
    struct raft_update *u = &raft->update, empty = {0};
    release_append(u);
    raft_outbox_clear(&raft->send);
    raft_outbox_clear(&raft->send_after);
    empty.append = u->append; // the arrays live on
    empty.reads_ready = u->reads_ready;
    empty.needs = u->needs;
    empty.snapshots = u->snapshots;
    *u = empty;
}

static void push_persist(struct raft *raft, struct persist persist) {
    if (raft->persists_count == raft->persists_capacity) {
        size_t capacity = raft->persists_capacity == 0 ? 16 : raft->persists_capacity * 2;
        struct persist *grown = mem_alloc(capacity * sizeof *grown);
        for (size_t i = 0; i < raft->persists_count; i++)
            grown[i] = raft->persists[(raft->persists_head + i) & (raft->persists_capacity - 1)];
        mem_free(raft->persists);
        raft->persists = grown;
        raft->persists_capacity = capacity;
        raft->persists_head = 0;
    }
    raft->persists[(raft->persists_head + raft->persists_count++) & (raft->persists_capacity - 1)] = persist;
}

static const struct raft_update *end(struct raft *raft, enum raft_role role_before, uint32_t leader_before,
                                     uint64_t term_before) {
    struct raft_update *u = &raft->update;
    u->hard_changed = raft->hard_dirty;
    u->term = raft->term;
    u->voted_for = raft->voted_for;
    if (raft->hard_dirty || u->append_count > 0 || u->truncate_from != 0 || u->installed) {
        u->persist_number = ++raft->persist_issued;
        push_persist(raft, (struct persist){u->persist_number, raft->log.last});
        if (raft->hard_dirty) raft->hard_number = u->persist_number;
        raft->hard_dirty = false;
    }
    u->commit = raft->log.commit;
    u->role = raft->role;
    u->leader = raft->leader;
    u->role_changed = raft->role != role_before || raft->leader != leader_before || raft->term != term_before;
    u->send = raft->send.messages;
    u->send_count = raft->send.count;
    u->send_after = raft->send_after.messages;
    u->send_after_count = raft->send_after.count;
    return u;
}

static void persisted(struct raft *raft, uint64_t number) {
    ENSURE(number <= raft->persist_issued);
    if (number > raft->persist_done) raft->persist_done = number;
    while (raft->persists_count > 0) {
        const struct persist *p = &raft->persists[raft->persists_head];
        if (p->number > number) break;
        if (p->last > raft->log.persisted) raft->log.persisted = p->last;
        raft->persists_head = (raft->persists_head + 1) & (raft->persists_capacity - 1);
        raft->persists_count--;
    }
    ENSURE(raft->log.persisted <= raft->log.last);
    struct peer *self = raft_self(raft);
    if (raft->role == RAFT_LEADER && self != NULL && self->match < raft->log.persisted) {
        self->match = raft->log.persisted; // our own write counts like a follower's, when it is done
        self->next = self->match + 1;
        raft->match_dirty = true;
    }
    if (raft->role == RAFT_CANDIDATE) raft_election_tally(raft);
    raft_log_trim(&raft->log, raft->options.tail_bytes_max);
}

// ---- dispatch ----

static bool asks_us(enum raft_message_type type) { // requests name our incarnation; answers come to whoever asked
    return type != RAFT_MSG_PRE_VOTE_ANSWER && type != RAFT_MSG_VOTE_ANSWER && type != RAFT_MSG_APPEND_ANSWER &&
           type != RAFT_MSG_HEARTBEAT_ANSWER;
}

static bool from_a_leader(enum raft_message_type type) {
    return type == RAFT_MSG_APPEND || type == RAFT_MSG_HEARTBEAT || type == RAFT_MSG_SNAPSHOT_OFFER;
}

// Terms first (thesis 3.3). false: nothing more to do with this message.
static bool meet_term(struct raft *raft, const struct raft_message *m) {
    if (m->term < raft->term) {
        if (m->type == RAFT_MSG_APPEND || m->type == RAFT_MSG_HEARTBEAT) raft_answer_stale_leader(raft, m);
        return m->type == RAFT_MSG_PRE_VOTE || m->type == RAFT_MSG_VOTE; // these get a refusal that shows our term
    }
    if (m->term == raft->term || m->type == RAFT_MSG_PRE_VOTE) return true;
    if (m->type == RAFT_MSG_PRE_VOTE_ANSWER && !m->reject) return true; // granted for a term that nobody has yet
    if (m->type == RAFT_MSG_VOTE && !m->disturb && raft_election_lease(raft)) return false; // thesis 4.2.3
    raft_become_follower(raft, m->term, from_a_leader(m->type) ? m->from : 0);
    return true;
}

static void message(struct raft *raft, struct raft_message *m, const uint8_t *from_incarnation) {
    const uint32_t id = raft->options.id;
    if (m->group != raft->options.group || m->to != id || m->from == id || m->from < 1 || m->from > 255) return;
    // replication.md "Members": only under the incarnation that the sender's membership names; a wiped node has
    // another.
    if (asks_us(m->type) && memcmp(m->to_incarnation, raft->options.incarnation, INCARNATION_BYTES) != 0 &&
        !PLANTED(WIPED_VOTER_VOTES))
        return;
    const struct peer *peer =
        raft_peer(raft, m->from); // what another disk under this name acknowledged counts for nothing
    if (!asks_us(m->type) && from_incarnation != NULL && peer != NULL &&
        memcmp(from_incarnation, peer->incarnation, INCARNATION_BYTES) != 0 && !PLANTED(WIPED_VOTER_VOTES))
        return;
    if (!meet_term(raft, m)) return;
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
        raft_handle_pre_vote(raft, m);
        return;
    case RAFT_MSG_VOTE:
        raft_handle_vote(raft, m);
        return;
    case RAFT_MSG_PRE_VOTE_ANSWER:
    case RAFT_MSG_VOTE_ANSWER:
        raft_handle_vote_answer(raft, m);
        return;
    case RAFT_MSG_APPEND:
        raft_handle_append(raft, m);
        return;
    case RAFT_MSG_APPEND_ANSWER:
        raft_handle_append_answer(raft, m);
        return;
    case RAFT_MSG_SNAPSHOT_OFFER: // the chunks are the replica's; to us it is a sign of life
    case RAFT_MSG_HEARTBEAT:
        raft_handle_heartbeat(raft, m);
        return;
    case RAFT_MSG_HEARTBEAT_ANSWER:
        raft_handle_heartbeat_answer(raft, m);
        return;
    case RAFT_MSG_TIMEOUT_NOW:
        raft_handle_timeout_now(raft, m);
        return;
    }
}

static void propose(struct raft *raft, const struct raft_event *event) {
    struct raft_update *u = &raft->update;
    u->refused = raft->role != RAFT_LEADER ? RAFT_NOT_LEADER : raft->transfer_to != 0 ? RAFT_TRANSFERRING : RAFT_OK;
    for (size_t i = 0; i < event->batch_count; i++) {
        struct batch_ref batch = event->batches[i];
        if (u->refused != RAFT_OK) {
            batch_ref_release(&batch);
            continue;
        }
        ENSURE(raft_batch_kind(&batch) != BATCH_MEMBERSHIP); // these go by RAFT_EVENT_MEMBERSHIP
        raft_leader_append(raft, batch);
    }
}

static void disk(struct raft *raft, bool ok) {
    raft->disk_bad = !ok;
    if (ok) {
        if (raft->role == RAFT_FOLLOWER && raft->election_at == RAFT_NEVER) raft_election_reset_timer(raft);
    } else if (raft->role == RAFT_LEADER) {
        raft_leader_transfer(raft, 0); // hands over first; with nobody to hand over to it stays
    } else if (raft->role != RAFT_FOLLOWER) {
        raft_become_follower(raft, raft->term, 0);
    }
}

static void peer_event(struct raft *raft, uint32_t id, bool lost) {
    struct peer *peer = raft_peer(raft, id);
    if (lost)
        raft_election_peer_lost(raft, id);
    else if (raft->leader == id)
        raft->leader_lost = false;
    if (raft->role == RAFT_LEADER && peer != NULL) raft_leader_peer_reset(raft, peer, lost);
}

const struct raft_update *raft_step(struct raft *raft, const struct raft_event *event) {
    begin(raft);
    enum raft_role role_before = raft->role;
    uint32_t leader_before = raft->leader;
    uint64_t term_before = raft->term;
    if (event->now_ms > raft->now_ms) raft->now_ms = event->now_ms;
    if (event->log_time_ms > raft->log.log_time_ms) raft->log.log_time_ms = event->log_time_ms;
    switch (event->type) {
    case RAFT_EVENT_TICK:
        if (raft->role == RAFT_LEADER)
            raft_leader_tick(raft);
        else
            raft_election_tick(raft);
        break;
    case RAFT_EVENT_MESSAGE:
        message(raft, event->message, event->from_incarnation);
        break;
    case RAFT_EVENT_PROPOSE:
        propose(raft, event);
        break;
    case RAFT_EVENT_PERSISTED:
        persisted(raft, event->number);
        break;
    case RAFT_EVENT_ENTRIES:
        raft_leader_entries(raft, event->peer, event->batches, event->batch_count);
        break;
    case RAFT_EVENT_READ:
        raft_read_request(raft);
        break;
    case RAFT_EVENT_MEMBERSHIP:
        raft->update.refused = raft_membership_propose(raft, event->membership);
        break;
    case RAFT_EVENT_TRANSFER:
        raft->update.refused = raft_leader_transfer(raft, event->peer);
        break;
    case RAFT_EVENT_PEER_LOST:
        peer_event(raft, event->peer, true);
        break;
    case RAFT_EVENT_PEER_BACK:
        peer_event(raft, event->peer, false);
        break;
    case RAFT_EVENT_SNAPSHOT_SENT:
        raft_leader_snapshot_sent(raft, event->peer, event->index, event->ok);
        break;
    case RAFT_EVENT_INSTALL:
        raft_follower_install(raft, event->index, event->term, event->membership);
        break;
    case RAFT_EVENT_SNAPSHOT_MADE:
        raft->snapshot_index = event->index;
        raft_log_forget_runs(&raft->log, event->index);
        break;
    case RAFT_EVENT_DISK:
        disk(raft, event->ok);
        break;
    case RAFT_EVENT_CAMPAIGN:
        if (raft->role != RAFT_LEADER && raft->role != RAFT_CANDIDATE && raft_may_stand(raft))
            raft_become_candidate(raft, false);
        break;
    }
    raft_leader_finish(raft);
    return end(raft, role_before, leader_before, term_before);
}

// ---- getters ----

uint64_t raft_next_index(const struct raft *raft) {
    return raft->log.last + 1;
}
uint64_t raft_term(const struct raft *raft) {
    return raft->term;
}
enum raft_role raft_role(const struct raft *raft) {
    return raft->role;
}
uint32_t raft_leader(const struct raft *raft) {
    return raft->leader;
}
uint64_t raft_commit(const struct raft *raft) {
    return raft->log.commit;
}
uint64_t raft_last_index(const struct raft *raft) {
    return raft->log.last;
}
uint64_t raft_persisted_index(const struct raft *raft) {
    return raft->log.persisted;
}
bool raft_vote_persisted(const struct raft *raft, uint32_t *voted_for) {
    *voted_for = raft->voted_for;
    return !raft->hard_dirty && raft->hard_number <= raft->persist_done;
}
const struct raft_membership *raft_membership(const struct raft *raft) {
    return raft_newest_membership(raft);
}

bool raft_term_committed(const struct raft *raft) {
    return raft->role == RAFT_LEADER && raft->log.commit >= raft->own_first;
}

uint64_t raft_next_deadline_ms(const struct raft *raft) {
    return raft->role == RAFT_LEADER ? raft_leader_deadline(raft) : raft->election_at;
}

size_t raft_committed(const struct raft *raft, uint64_t from, size_t bytes_max, struct batch_ref *out, size_t max) {
    size_t count = 0, bytes = 0;
    if (from > raft->log.commit) return 0;
    size_t place = raft_log_find(&raft->log, from);
    for (; place < raft->log.count && count < max; place++) { // SIZE_MAX: not in memory
        const struct batch_ref *batch = raft_log_slot(&raft->log, place);
        if (batch->last > raft->log.commit || (count > 0 && bytes + batch->buf->len > bytes_max)) break;
        bytes += batch->buf->len;
        out[count++] = *batch;
    }
    return count;
}

bool raft_progress(const struct raft *raft, uint32_t id, struct raft_progress *out) {
    const struct peer *p = raft_peer(raft, id);
    if (raft->role != RAFT_LEADER || p == NULL) return false;
    memset(out, 0, sizeof *out);
    out->id = id;
    out->match = p->match;
    out->next = p->next;
    out->state = p->state;
    out->inflight_bytes = p->inflight_bytes;
    out->recent_active = raft_peer_active(raft, p);
    return true;
}

bool raft_term_at(const struct raft *raft, uint64_t index, uint64_t *term) {
    return raft_log_term_at(&raft->log, index, term);
}
