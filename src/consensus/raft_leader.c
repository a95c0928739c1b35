// What a leader does: appends, replicates with flow control, commits, keeps its followers' time-outs from ending,
// checks that a majority still answers, and hands over.
//
// A follower is in one of three states. PROBE: its log's end is not known; one message at a time. REPLICATE: messages
// are sent one behind the other up to the bounds in flight. SNAPSHOT: what it needs next is gone; the replica sends a
// snapshot.
#include "base/alloc.h"
#include "base/planted.h"
#include "consensus/raft_internal.h"

static void clear_inflight(struct peer *p) {
    p->inflight_head = p->inflight_count = 0, p->inflight_bytes = 0;
}

static void to_probe(struct peer *p, uint64_t next) {
    p->state = RAFT_PROBE;
    p->next = next;
    p->probe_sent = false;
    p->retry_at = RAFT_NEVER;
    clear_inflight(p);
    ENSURE(p->next > p->match);
}

static void to_snapshot(struct raft *raft, struct peer *p) {
    p->state = RAFT_SNAPSHOT;
    p->retry_at = RAFT_NEVER;
    clear_inflight(p);
    struct raft_update *u = &raft->update;
    if (u->snapshot_count == raft->snapshot_capacity) {
        raft->snapshot_capacity = raft->snapshot_capacity == 0 ? 4 : raft->snapshot_capacity * 2;
        u->snapshots = mem_realloc(u->snapshots, raft->snapshot_capacity * sizeof *u->snapshots);
    }
    u->snapshots[u->snapshot_count++].peer = p->id;
}

static void ask_storage(struct raft *raft, struct peer *p) {
    if (p->need_pending) return;
    p->need_pending = true;
    struct raft_update *u = &raft->update;
    if (u->need_count == raft->need_capacity) {
        raft->need_capacity = raft->need_capacity == 0 ? 4 : raft->need_capacity * 2;
        u->needs = mem_realloc(u->needs, raft->need_capacity * sizeof *u->needs);
    }
    u->needs[u->need_count++] = (struct raft_need){p->id, p->next, raft_log_tail_first(&raft->log) - 1,
                                                   (size_t)raft->options.message_bytes_max};
}

static bool room(const struct raft *raft, const struct peer *p, uint64_t bytes) {
    if (p->inflight_count >= raft->options.inflight_messages_max) return false;
    return p->inflight_bytes == 0 || p->inflight_bytes + bytes <= raft->options.inflight_bytes_max;
}

static void add_inflight(struct raft *raft, struct peer *p, uint64_t last, uint64_t bytes) {
    uint32_t max = raft->options.inflight_messages_max;
    if (p->inflight == NULL) p->inflight = mem_alloc(max * sizeof *p->inflight);
    ENSURE(p->inflight_count < max);
    p->inflight[(p->inflight_head + p->inflight_count++) % max] = (struct inflight){last, bytes};
    p->inflight_bytes += bytes;
}

// An append behind `next` without entries yet.
static struct raft_message *begin_append(struct raft *raft, struct peer *p) {
    uint64_t prev = p->next - 1, prev_term = 0;
    bool known = raft_log_term_at(&raft->log, prev, &prev_term);
    ENSURE(known);
    struct raft_message *m = raft_emit(raft, &raft->send, RAFT_MSG_APPEND, p->id);
    m->index = prev;
    m->log_term = prev_term;
    m->commit = raft->log.commit;
    return m;
}

static void end_append(struct raft *raft, struct peer *p, struct raft_message *m, uint64_t bytes) {
    uint64_t last = m->batch_count > 0 ? m->batches[m->batch_count - 1].last : m->index;
    uint64_t known = m->commit < last ? m->commit : last;
    if (p->state == RAFT_PROBE) {
        p->probe_sent = true;
        p->probe_prev = m->index;
        p->retry_at = raft->now_ms + raft->options.election_ms;
        return;
    }
    if (known > p->commit_sent) p->commit_sent = known;
    if (m->batch_count == 0) return;
    add_inflight(raft, p, last, bytes);
    p->next = last + 1;
}

// One append from the tail in memory. false: nothing to send, no room, or the entries must come from elsewhere first.
static bool send_one(struct raft *raft, struct peer *p) {
    const struct raft_log *log = &raft->log;
    if (p->next <= log->start_index) {
        to_snapshot(raft, p);
        return false;
    }
    size_t place = raft_log_find(log, p->next);
    if (p->next <= log->last && place == SIZE_MAX) {
        if (room(raft, p, raft->options.message_bytes_max)) ask_storage(raft, p);
        return false;
    }
    if (p->next <= log->last) p->next = raft_log_slot(log, place)->first; // a probe's place may lie within a batch
    ENSURE(p->next > p->match);
    if (place != SIZE_MAX && p->state == RAFT_REPLICATE && !room(raft, p, raft_log_slot(log, place)->buf->len))
        return false;
    struct raft_message *m = begin_append(raft, p);
    uint64_t bytes = 0;
    for (; place < log->count; place++) { // SIZE_MAX: a probe at the log's end
        const struct batch_ref *batch = raft_log_slot(log, place);
        uint64_t more = bytes + batch->buf->len;
        if (bytes > 0 &&
            (more > raft->options.message_bytes_max || (p->state == RAFT_REPLICATE && !room(raft, p, more))))
            break;
        raft_emit_batch(&raft->send, m, batch);
        bytes = more;
    }
    end_append(raft, p, m, bytes);
    return true;
}

static void replicate(struct raft *raft, struct peer *p) {
    if (p->self || p->state == RAFT_SNAPSHOT) return;
    if (p->state == RAFT_PROBE) {
        if (!p->probe_sent && !p->need_pending) send_one(raft, p);
        return;
    }
    while (p->state == RAFT_REPLICATE && p->next <= raft->log.last && send_one(raft, p)) {
    }
}

// ---- appending and commit ----

void raft_leader_append(struct raft *raft, struct batch_ref batch) {
    ENSURE(raft->role == RAFT_LEADER && batch.term == raft->term);
    raft_append(raft, batch);
}

void raft_leader_append_own(struct raft *raft, enum batch_kind kind, struct bytes body) {
    struct batch_header header = {.group = raft->options.group,
                                  .kind = kind,
                                  .body_bytes = (uint32_t)body.len,
                                  .count = 1,
                                  .first_index = raft->log.last + 1,
                                  .term = raft->term,
                                  .log_time_ms = raft->log.log_time_ms,
                                  .seed = prng_next(&raft->prng)};
    raft_leader_append(raft, batch_make(&header, body));
}

void raft_leader_start(struct raft *raft) {
    ENSURE(raft->role == RAFT_CANDIDATE && raft->voted_for == raft->options.id);
    raft->role = RAFT_LEADER;
    raft->leader = raft->options.id;
    raft->leader_lost = false;
    raft->hint_until = 0;
    raft->transfer_to = 0;
    raft_read_drop(raft);
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct peer *p = &raft->peers[i];
        p->match = p->self ? raft->log.persisted : 0;
        p->commit_sent = p->acked_round = p->pinged_match = p->ping_at = 0;
        p->need_pending = false;
        p->active_ms = raft->now_ms;
        to_probe(p, (p->self ? p->match : raft->log.last) + 1);
    }
    raft->own_first = raft->log.last + 1;
    LOG_INFO(raft->options.log, "raft leads term=%llu last=%llu", (unsigned long long)raft->term,
             (unsigned long long)raft->log.last);
    raft_leader_append_own(raft, BATCH_EMPTY, bytes_of(NULL, 0)); // thesis 6.4: what commits the entries of older terms
    raft_leader_heartbeats(raft);
}

void raft_commit_to(struct raft *raft, uint64_t index) {
    ENSURE(index <= raft->log.last);
    index = raft_batch_end(&raft->log, index); // a peer that is wrong may name a place inside a batch
    if (index <= raft->log.commit) return;
    raft->log.commit = index;
    raft->update.commit_changed = true;
    raft_membership_committed(raft);
    raft_log_trim(&raft->log, raft->options.tail_bytes_max);
}

// The largest place that a majority of one set has. which: the role that does not belong to it.
static uint64_t majority_match(const struct raft *raft, enum member_role outside) {
    uint64_t matches[MEMBERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct peer *p = &raft->peers[i];
        if ((!raft_counts(p->role) && !PLANTED(LEARNER_COUNTED)) || p->role == outside) continue;
        uint64_t match = PLANTED(OWN_WRITE_COUNTED_EARLY) && p->self ? raft->log.last : p->match;
        uint32_t at = count++;
        for (; at > 0 && matches[at - 1] < match; at--) matches[at] = matches[at - 1]; // descending
        matches[at] = match;
    }
    return count == 0 ? 0 : matches[count / 2];
}

static void advance_commit(struct raft *raft) {
    if (!raft->match_dirty) return;
    raft->match_dirty = false;
    uint64_t index = majority_match(raft, MEMBER_INCOMING);
    if (raft_newest_membership(raft)->joint) { // both majorities (thesis 4.3)
        uint64_t incoming = majority_match(raft, MEMBER_OUTGOING);
        if (incoming < index || PLANTED(JOINT_ONE_MAJORITY)) index = incoming;
    }
    // Thesis 3.6.2, figure 3.7: only entries of our own term commit by counting; older ones commit with them.
    if (index >= raft->own_first || PLANTED(OLD_TERM_COMMITTED_BY_COUNT)) raft_commit_to(raft, index);
}

// ---- heartbeats ----

static void heartbeat(struct raft *raft, struct peer *p, uint64_t round) {
    struct raft_message *m = raft_emit(raft, &raft->send, RAFT_MSG_HEARTBEAT, p->id);
    m->commit = raft->log.commit < p->match ? raft->log.commit : p->match; // never beyond what is known to be alike
    if (PLANTED(HEARTBEAT_COMMITS_BEYOND_MATCH)) m->commit = raft->log.commit;
    m->round = round;
    if (m->commit > p->commit_sent) p->commit_sent = m->commit;
}

void raft_leader_heartbeats(struct raft *raft) {
    for (uint32_t i = 0; i < raft->peer_count; i++)
        if (!raft->peers[i].self) heartbeat(raft, &raft->peers[i], raft->round);
    raft->heartbeat_at = raft->now_ms + raft->options.heartbeat_ms;
}

// A new commit index goes at once to whoever has the entry and has not been told in an append of this step.
void raft_leader_commit_news(struct raft *raft) {
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct peer *p = &raft->peers[i];
        uint64_t news = raft->log.commit < p->match ? raft->log.commit : p->match;
        if (!p->self && p->state == RAFT_REPLICATE && news > p->commit_sent) heartbeat(raft, p, 0);
    }
}

// ---- hand-over (thesis 3.10) ----

struct peer *raft_leader_best_voter(struct raft *raft) {
    struct peer *best = NULL;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct peer *p = &raft->peers[i];
        if (p->self || p->role == MEMBER_LEARNER || p->role == MEMBER_OUTGOING || !raft_peer_active(raft, p)) continue;
        if (best == NULL || p->match > best->match) best = p;
    }
    return best;
}

static void transfer_step(struct raft *raft) {
    struct peer *heir = raft->transfer_to == 0 ? NULL : raft_peer(raft, raft->transfer_to);
    if (heir == NULL || !raft_counts(heir->role)) {
        raft->transfer_to = 0;
        return;
    }
    bool behind = heir->match != raft->log.last && !PLANTED(TRANSFER_TO_OLDER_LOG);
    if (raft->timeout_now_sent || behind) return; // it must have everything first
    raft->timeout_now_sent = true;
    raft_emit(raft, &raft->send, RAFT_MSG_TIMEOUT_NOW, heir->id);
}

int raft_leader_transfer(struct raft *raft, uint32_t id) {
    if (raft->role != RAFT_LEADER) return RAFT_NOT_LEADER;
    struct peer *heir = id == 0 ? raft_leader_best_voter(raft) : raft_peer(raft, id);
    if (heir == NULL || !raft_counts(heir->role)) return RAFT_UNSAFE; // nobody who could lead
    if (heir->self || heir->id == raft->transfer_to) return RAFT_OK;
    raft->transfer_to = heir->id;
    raft->transfer_until = raft->now_ms + raft->options.election_ms;
    raft->timeout_now_sent = false;
    return RAFT_OK;
}

// ---- time ----

bool raft_peer_active(const struct raft *raft, const struct peer *p) {
    return p->self || raft->now_ms - p->active_ms < raft->options.election_ms;
}

static bool active(void *context, uint32_t id) {
    const struct raft *raft = context;
    return raft_peer_active(raft, raft_peer(raft, id));
}

void raft_leader_tick(struct raft *raft) {
    if (!membership_quorum(raft_newest_membership(raft), active, raft)) { // thesis 6.2
        LOG_WARN(raft->options.log, "raft lost the majority, steps down term=%llu", (unsigned long long)raft->term);
        raft_become_follower(raft, raft->term, 0);
        return;
    }
    if (raft->transfer_to != 0 && raft->now_ms >= raft->transfer_until) {
        raft->transfer_to = 0;
        if (raft->disk_bad) { // nobody could take over in time; a leader that cannot store must not go on
            raft_become_follower(raft, raft->term, 0);
            return;
        }
    }
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct peer *p = &raft->peers[i];
        if (raft->now_ms >= p->retry_at) to_probe(p, p->state == RAFT_SNAPSHOT ? p->match + 1 : p->next);
    }
    if (raft->now_ms < raft->heartbeat_at) return;
    raft_leader_heartbeats(raft);
    if (raft->disk_bad && raft->transfer_to == 0) raft_leader_transfer(raft, 0); // somebody may have come back
}

uint64_t raft_leader_deadline(const struct raft *raft) {
    uint64_t at = raft->heartbeat_at;
    if (raft->transfer_to != 0 && raft->transfer_until < at) at = raft->transfer_until;
    for (uint32_t i = 0; i < raft->peer_count; i++)
        if (raft->peers[i].retry_at < at) at = raft->peers[i].retry_at;
    return at;
}

// The end of each step of a leader, in an order in which each part sees what the one before did.
void raft_leader_finish(struct raft *raft) {
    if (raft->role != RAFT_LEADER) return;
    advance_commit(raft);
    raft_membership_leader_after_commit(raft);
    if (raft->role != RAFT_LEADER) return;
    for (uint32_t i = 0; i < raft->peer_count; i++) replicate(raft, &raft->peers[i]);
    raft_leader_commit_news(raft);
    raft_read_advance(raft);
    transfer_step(raft);
}

// ---- answers and events of one follower ----

void raft_leader_peer_reset(struct raft *raft, struct peer *p, bool lost) {
    if (p->self || p->state == RAFT_SNAPSHOT) return;
    to_probe(p, p->match + 1 > p->next || p->state == RAFT_REPLICATE ? p->match + 1 : p->next);
    if (lost) { // what is sent into a closed connection is gone; PEER_BACK ends the wait
        p->probe_sent = true;
        p->probe_prev = RAFT_NEVER;
        p->retry_at = raft->now_ms + raft->options.election_ms;
    }
}

static void rejected(struct raft *raft, struct peer *p, const struct raft_message *m) {
    if (p->state == RAFT_REPLICATE) {
        if (m->index > p->match) to_probe(p, p->match + 1); // an append was lost
        return;
    }
    if (p->state != RAFT_PROBE || !p->probe_sent || m->index != p->probe_prev) return; // an old answer
    // Thesis 3.5, end: back by whole terms. Not above the hint, and where our term is not above the follower's there.
    uint64_t term = 0, hint = m->hint_index < m->index ? m->hint_index : m->index;
    uint64_t next = raft_log_backtrack(&raft->log, hint, m->hint_term, &term) + 1;
    if (next > m->index) next = m->index > 0 ? m->index : 1; // always at least one step
    if (raft->log.start_index > 0 && hint < raft->log.start_index)
        next = raft->log.start_index; // gone: send_one sees that
    if (next <= p->match) next = p->match + 1;
    if (PLANTED(BACKTRACK_STANDS_STILL)) next = m->index + 1;
    to_probe(p, next);
}

void raft_handle_append_answer(struct raft *raft, const struct raft_message *m) {
    struct peer *p = raft_peer(raft, m->from);
    if (raft->role != RAFT_LEADER || p == NULL || p->self) return;
    p->active_ms = raft->now_ms;
    if (m->reject) {
        rejected(raft, p, m);
        return;
    }
    if (m->index > raft->log.last) {
        LOG_ERROR(raft->options.log, "raft peer claims entries we lack peer=%u index=%llu last=%llu", p->id,
                  (unsigned long long)m->index, (unsigned long long)raft->log.last);
        return;
    }
    size_t place = raft_log_find(&raft->log, m->index);
    if (place != SIZE_MAX && raft_log_slot(&raft->log, place)->last != m->index) {
        LOG_ERROR(raft->options.log, "raft peer claims part of a batch peer=%u index=%llu", p->id,
                  (unsigned long long)m->index);
        return;
    }
    if (m->index > p->match) {
        p->match = m->index;
        raft->match_dirty = true;
    }
    if (p->next <= p->match) p->next = p->match + 1;
    while (p->inflight_count > 0 && p->inflight[p->inflight_head].last <= p->match) {
        p->inflight_bytes -= p->inflight[p->inflight_head].bytes;
        p->inflight_head = (p->inflight_head + 1) % raft->options.inflight_messages_max;
        p->inflight_count--;
    }
    if (p->state == RAFT_SNAPSHOT) {
        if (p->match >= raft->log.start_index) to_probe(p, p->match + 1);
    } else if (p->state == RAFT_PROBE) { // any acceptance of this term tells where its log agrees
        to_probe(p, p->match + 1);
        p->state = RAFT_REPLICATE;
    }
}

void raft_handle_heartbeat_answer(struct raft *raft, const struct raft_message *m) {
    struct peer *p = raft_peer(raft, m->from);
    if (raft->role != RAFT_LEADER || p == NULL || p->self) return;
    p->active_ms = raft->now_ms;
    if (m->round > p->acked_round && m->round <= raft->round) p->acked_round = m->round;
    // Acknowledgements stand still though something is in flight: an append without entries finds out whether it was
    // lost.
    if (p->state != RAFT_REPLICATE || p->match + 1 >= p->next || raft->now_ms < p->ping_at) return;
    if (p->pinged_match == p->match && p->next - 1 >= raft->log.start_index)
        end_append(raft, p, begin_append(raft, p), 0);
    p->pinged_match = p->match;
    p->ping_at = raft->now_ms + raft->options.heartbeat_ms;
}

// Storage's answer may be of an earlier term of ours. (last index, term) names the bytes of a batch, so the runs of
// terms tell whether it is still our log's.
static size_t usable_entries(const struct raft *raft, const struct peer *p, const struct batch_ref *batches,
                             size_t count) {
    uint64_t before = p->match;
    if (count == 0 || batches[0].first > p->next || batches[0].last < p->next || batches[0].first <= p->match) return 0;
    size_t usable = 0;
    before = batches[0].first - 1;
    for (; usable < count; usable++) {
        const struct batch_ref *b = &batches[usable];
        uint64_t term = 0;
        if (b->first != before + 1 || b->last < b->first) break;
        if (!raft_log_term_at(&raft->log, b->last, &term) || term != b->term) break;
        if (!raft_log_term_at(&raft->log, b->first, &term) || term != b->term) break;
        before = b->last;
    }
    return before >= p->next ? usable : 0;
}

void raft_leader_entries(struct raft *raft, uint32_t id, struct batch_ref *batches, size_t count) {
    struct peer *p = raft_peer(raft, id);
    bool wanted = raft->role == RAFT_LEADER && p != NULL && !p->self && p->need_pending && p->state != RAFT_SNAPSHOT;
    if (wanted) {
        p->need_pending = false;
        size_t place = raft_log_find(&raft->log, p->next);
        size_t usable = usable_entries(raft, p, batches, count);
        if (count == 0 && p->next <= raft->log.last && place == SIZE_MAX) {
            to_snapshot(raft, p);
        } else if (usable > 0 && batches[0].first > raft->log.start_index &&
                   !(p->state == RAFT_PROBE && p->probe_sent) &&
                   (p->state == RAFT_PROBE || (p->next == batches[0].first && room(raft, p, batches[0].buf->len)))) {
            p->next = batches[0].first;
            struct raft_message *m = begin_append(raft, p);
            uint64_t bytes = 0;
            for (size_t i = 0; i < usable; i++) {
                uint64_t more = bytes + batches[i].buf->len;
                if (bytes > 0 &&
                    (more > raft->options.message_bytes_max || (p->state == RAFT_REPLICATE && !room(raft, p, more))))
                    break;
                raft_emit_batch(&raft->send, m, &batches[i]);
                bytes = more;
            }
            end_append(raft, p, m, bytes);
        }
    }
    for (size_t i = 0; i < count; i++) batch_ref_release(&batches[i]);
}

void raft_leader_snapshot_sent(struct raft *raft, uint32_t id, uint64_t index, bool ok) {
    struct peer *p = raft_peer(raft, id);
    if (raft->role != RAFT_LEADER || p == NULL || p->state != RAFT_SNAPSHOT) return;
    if (!ok) {
        p->retry_at = raft->now_ms + raft->options.election_ms;
        return;
    }
    uint64_t next = index > p->match ? index + 1 : p->match + 1;
    to_probe(p, next > raft->log.last + 1 ? raft->log.last + 1 : next);
}
