// Core's life and the wiring of Raft's updates: what to persist, what to send at once, what after which persist, what
// is committed.
//
//   entry point -> raft_step -> take_update:  persists[] -> ops.persist -> core_persisted -> waiting[] -> ops.send
//                                             needs[], snapshots[], readies[]  --core_flush-->  storage, transfers,
//                                             reads commit                           --core_flush-->  ops.apply,
//                                             bounded in bytes
#include "base/planted.h"
#include "replica/core_internal.h"

#define APPLY_BATCHES_MAX 64u

uint32_t core_self(const struct core *core) {
    return core->options.id;
}

struct peer_state *core_peer(struct core *core, uint32_t id) {
    ENSURE(id >= 1 && id < CORE_MEMBER_IDS);
    if (core->peers[id] == NULL) {
        core->peers[id] = mem_zalloc(sizeof *core->peers[id]);
        core->peers[id]->id = id;
    }
    return core->peers[id];
}

bool core_alone(const struct core *core) {
    const struct raft_membership *m = raft_membership(core->raft);
    return m->count == 1 && m->members[0].id == core->options.id && m->members[0].role == MEMBER_VOTER;
}

// ---- life

static struct core_peer *copy_listed(const struct core_options *options) {
    struct core_peer *listed = mem_zalloc((options->listed_count + 1) * sizeof *listed);
    for (size_t i = 0; i < options->listed_count; i++) {
        ENSURE(options->listed[i].id >= 1 && options->listed[i].id < CORE_MEMBER_IDS);
        listed[i] = options->listed[i];
    }
    return listed;
}

struct core *core_new(const struct core_options *options, const struct raft_restored *restored, bool formed,
                      uint64_t last_log_time_ms, uint64_t applied, uint64_t now_ms) {
    ENSURE(options->id >= 1 && options->id < CORE_MEMBER_IDS);
    ENSURE(options->ops != NULL);
    struct core *core = mem_zalloc(sizeof *core);
    core->options = *options;
    core->ops = *options->ops;
    if (core->options.heartbeat_ms == 0) core->options.heartbeat_ms = 100;
    if (core->options.apply_level_max == 0) core->options.apply_level_max = APPLY_LEVEL_NEWEST;
    if (core->options.election_ms == 0) core->options.election_ms = 500;
    if (core->options.forward_bytes_max == 0) core->options.forward_bytes_max = 16u << 20;
    if (core->options.snapshot_chunk_bytes == 0) core->options.snapshot_chunk_bytes = CORE_SNAPSHOT_CHUNK_DEFAULT;
    if (core->options.apply_ahead_bytes_max == 0) core->options.apply_ahead_bytes_max = APPLY_AHEAD_BYTES_DEFAULT;
    core->listed = copy_listed(options);
    core->options.listed = core->listed;
    core->now_ms = now_ms;
    core->formed = formed;
    core->first_tick = true;
    prng_seed(&core->prng, options->seed ^ 0x636f7265u);
    ring_init(&core->persists, sizeof(struct persist_item));
    ring_init(&core->waiting, sizeof(struct waiting_send));
    ring_init(&core->needs, sizeof(struct raft_need));
    ring_init(&core->snapshots, sizeof(uint32_t));
    ring_init(&core->readies, sizeof(struct raft_read_ready));
    ring_init(&core->proposals, sizeof(struct proposed));
    ring_init(&core->forwards, sizeof(struct forwarded));
    ring_init(&core->admins, sizeof(struct admin_request));
    writer_init(&core->internal);
    core->streams = mem_zalloc(CORE_MEMBER_IDS * sizeof *core->streams);
    core->appended = mem_zalloc(CORE_MEMBER_IDS * sizeof *core->appended);
    core->log_time_ms = core->applied_log_ms = last_log_time_ms;
    core->next_deadline_ms = core->lost_soon_ms = UINT64_MAX;
    core->leaderless_ms = now_ms;
    core_stream_init(core);
    core_keepalive_init(core);
    core_read_init(core);
    struct raft_options raft = {
        .id = options->id,
        .group = options->group,
        .seed = options->seed,
        .heartbeat_ms = core->options.heartbeat_ms,
        .election_ms = core->options.election_ms,
        .inflight_bytes_max = BATCH_BYTES_MAX,
        .inflight_messages_max = 256,
        .message_bytes_max = 1u << 20,
        .tail_bytes_max = options->log_tail_bytes_max == 0
                              ? 16u << 20
                              : options->log_tail_bytes_max, // a tenth of what a million znodes take; what is older is
                                                             // read from the journal
        .log = options->log,
    };
    memcpy(raft.incarnation, options->incarnation, INCARNATION_BYTES);
    core->raft = raft_new(&raft, restored, now_ms);
    core->term = raft_term(core->raft);
    core->handed = core->applied = applied;
    core->epoch = 1;
    if (formed) core_stream_open(core, options->boot);
    return core;
}

static void release_persist(struct persist_item *item) {
    for (size_t i = 0; i < item->append_count; i++) batch_ref_release(&item->append[i]);
    mem_free(item->append);
}

static void release_waiting(struct waiting_send *w) {
    for (size_t i = 0; i < w->buf_count; i++) buf_unref(w->bufs[i]);
    mem_free(w->bufs);
    buf_unref(w->head);
}

void core_free(struct core *core) {
    if (core == NULL) return;
    for (size_t i = 0; i < core->persists.count; i++) release_persist(ring_at(&core->persists, i));
    for (size_t i = 0; i < core->waiting.count; i++) release_waiting(ring_at(&core->waiting, i));
    core_propose_reset(core);
    core_stream_free(core);
    core_keepalive_forget(core);
    hash_free(&core->leases);
    heap_free(&core->lease_due);
    ring_free(&core->checkpoints);
    core_read_free(core);
    ring_free(&core->persists);
    ring_free(&core->waiting);
    ring_free(&core->needs);
    ring_free(&core->snapshots);
    ring_free(&core->readies);
    ring_free(&core->proposals);
    ring_free(&core->forwards);
    ring_free(&core->admins);
    writer_free(&core->internal);
    for (size_t i = 0; i < CORE_MEMBER_IDS; i++) mem_free(core->peers[i]);
    mem_free(core->streams);
    mem_free(core->appended);
    mem_free(core->listed);
    raft_free(core->raft);
    mem_free(core);
}

// ---- sending

static void send_message(struct core *core, struct raft_message *m, uint64_t number) {
    if (m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_APPEND) m->log_time_ms = core->log_time_ms;
    enum core_channel channel = m->type == RAFT_MSG_APPEND ? CORE_BULK : CORE_CONTROL;
    struct writer w;
    writer_init(&w);
    write_u8(&w, FRAME_RAFT);
    size_t tail = 0;
    raft_message_encode(m, &w, &tail);
    struct buf **bufs = mem_alloc((m->batch_count + 1) * sizeof *bufs);
    for (size_t i = 0; i < m->batch_count; i++) bufs[i] = m->batches[i].buf;
    if (number <= core->persisted) {
        core->ops.send(core->ops.context, m->to, channel, bytes_of(w.data, w.len), bufs, m->batch_count);
        mem_free(bufs);
    } else {
        for (size_t i = 0; i < m->batch_count; i++) buf_ref(bufs[i]);
        struct waiting_send *waiting = ring_push(&core->waiting);
        *waiting = (struct waiting_send){.number = number,
                                         .peer = m->to,
                                         .channel = channel,
                                         .bufs = bufs,
                                         .buf_count = m->batch_count,
                                         .head = buf_copy(w.data, w.len)};
    }
    writer_free(&w);
}

static void send_waiting(struct core *core) {
    while (core->waiting.count > 0) {
        struct waiting_send w = *(struct waiting_send *)ring_front(&core->waiting);
        if (w.number > core->persisted) return;
        ring_pop(&core->waiting);
        core->ops.send(core->ops.context, w.peer, w.channel, bytes_of(w.head->data, w.head->len), w.bufs, w.buf_count);
        release_waiting(&w);
    }
}

void core_send_frame(struct core *core, uint32_t peer, enum core_channel channel, const struct core_frame *frame,
                     struct buf *const *bufs, size_t buf_count) {
    ENSURE(peer != core->options.id);
    struct writer w;
    writer_init(&w);
    core_frame_encode(frame, &w);
    write_span(&w, frame->tail);
    core->ops.send(core->ops.context, peer, channel, bytes_of(w.data, w.len), bufs, buf_count);
    writer_free(&w);
}

// ---- persisting

static void issue_persist(struct core *core, struct persist_item *item) {
    struct raft_update update = {
        .persist_number = item->number,
        .hard_changed = item->hard_changed,
        .term = item->term,
        .voted_for = item->voted_for,
        .truncate_from = item->truncate_from,
        .append = item->append,
        .append_count = item->append_count,
        .installed = item->installed,
        .start_index = item->start_index,
        .start_term = item->start_term,
    };
    item->issued = true;
    item->failed = false;
    core->ops.persist(core->ops.context, &update, item->number);
}

static void take_persist(struct core *core, const struct raft_update *u) {
    ENSURE(u->persist_number > core->issued);
    struct persist_item *item = ring_push(&core->persists);
    *item = (struct persist_item){
        .number = u->persist_number,
        .hard_changed = u->hard_changed,
        .term = u->term,
        .voted_for = u->voted_for,
        .truncate_from = u->truncate_from,
        .append_count = u->append_count,
        .installed = u->installed,
        .start_index = u->start_index,
        .start_term = u->start_term,
    };
    // A formation installs (1, term 1) before this node has ever been in a term; what is on disk must not be older than
    // its log.
    if (u->installed && item->term < u->start_term) {
        item->hard_changed = true;
        item->term = u->start_term;
    }
    if (u->append_count > 0) {
        item->append = mem_alloc(u->append_count * sizeof *item->append);
        for (size_t i = 0; i < u->append_count; i++) {
            item->append[i] = u->append[i];
            buf_ref(u->append[i].buf);
        }
    }
    core->issued = u->persist_number;
    // While the disk is full all waits here in order: an append behind a gap would be a hole in the journal.
    if (!core->disk_full) issue_persist(core, item);
}

// After a full disk: storage gave everything back from the first failed one on; all of it goes again, in order.
static void retry_persists(struct core *core) {
    if (!core->disk_full || core->now_ms < core->disk_retry_ms) return;
    for (size_t i = 0; i < core->persists.count; i++) {
        struct persist_item *item = ring_at(&core->persists, i);
        if (item->issued && !item->failed) return; // still under way
    }
    core->disk_retry_ms = core->now_ms + CORE_DISK_RETRY_MS;
    if (core->persists.count == 0) return;
    issue_persist(core, ring_front(&core->persists)); // one first, to see whether there is room
}

static void disk_event(struct core *core, bool ok) {
    if (core->disk_stalled == !ok) return;
    core->disk_stalled = !ok;
    core_step_simple(core, RAFT_EVENT_DISK, 0, ok);
}

void core_persisted(struct core *core, uint64_t now_ms, uint64_t number, int error) {
    core->now_ms = now_ms;
    size_t at = 0;
    while (at < core->persists.count && ((struct persist_item *)ring_at(&core->persists, at))->number != number) at++;
    ENSURE(at < core->persists.count);
    struct persist_item *item = ring_at(&core->persists, at);
    ENSURE(item->issued);
    if (error != 0) {
        item->failed = true;
        item->issued = false;
        if (!core->disk_full) {
            LOG_ERROR(core->options.log, "disk full: writes are refused until there is room error=%d", error);
            core->disk_full = true;
            core->disk_retry_ms = now_ms + CORE_DISK_RETRY_MS;
        }
        disk_event(core, false);
        core_flush(core);
        return;
    }
    ENSURE(at == 0); // storage completes in order
    struct persist_item done = *item;
    ring_pop(&core->persists);
    release_persist(&done);
    core->persisted = number;
    if (core->disk_full) {
        core->disk_full = false;
        LOG_INFO(core->options.log, "disk has room again waiting=%zu", core->persists.count);
        for (size_t i = 0; i < core->persists.count; i++) issue_persist(core, ring_at(&core->persists, i));
    }
    disk_event(core, true);
    send_waiting(core);
    struct raft_event event = {.type = RAFT_EVENT_PERSISTED, .number = number};
    core_step(core, &event);
    core_flush(core);
}

void core_disk_stall(struct core *core, uint64_t now_ms, uint64_t stalled_ms) {
    core->now_ms = now_ms;
    if (stalled_ms >= core->options.election_ms)
        disk_event(core, false);
    else if (!core->disk_full)
        disk_event(core, true); // what stalled may have been the journal's own write, whose end nobody tells core
    core_flush(core);
}

// ---- updates

static void leader_changed(struct core *core) {
    core->term = raft_term(core->raft);
    core->leader = raft_leader(core->raft);
    core->role = raft_role(core->raft);
    core->leading = false;
    core->leader_since_ms = core->now_ms;
    core->level_proposed = 0;
    core->own_first = core->role == RAFT_LEADER ? raft_last_index(core->raft) : UINT64_MAX;
    if (core->leader != 0)
        core->leaderless_ms = 0;
    else if (core->leaderless_ms == 0)
        core->leaderless_ms = core->now_ms;
    core_time_leader_changed(core);
    core_propose_reset(core);
    core_stream_leader_changed(core);
    core_keepalive_leader_changed(core);
    core_read_leader_changed(core);
    core_snapshot_leader_changed(core);
}

static void tell_alone(struct core *core) {
    const struct raft_membership *m = raft_membership(core->raft);
    const struct member *self = membership_find(m, core->options.id);
    bool alone = core->leading && membership_voters(m) == 1 && self != NULL && self->role == MEMBER_VOTER;
    if (alone == core->alone || core->ops.alone == NULL) return;
    core->alone = alone;
    core->ops.alone(core->ops.context, alone);
}

static void take_update(struct core *core, const struct raft_update *u) {
    if (u->persist_number != 0) take_persist(core, u);
    for (size_t i = 0; i < u->append_count; i++) core_time_seen(core, get_u64_le(u->append[i].buf->data + 40), 0);
    if (core->term != raft_term(core->raft) || core->leader != raft_leader(core->raft) ||
        core->role != raft_role(core->raft))
        leader_changed(core);
    tell_alone(core);
    for (size_t i = 0; i < u->send_count; i++) send_message(core, &u->send[i], 0);
    for (size_t i = 0; i < u->send_after_count; i++)
        send_message(core, &u->send_after[i], PLANTED(ACK_BEFORE_FSYNC) ? 0 : core->issued);
    for (size_t i = 0; i < u->reads_ready_count; i++)
        *(struct raft_read_ready *)ring_push(&core->readies) = u->reads_ready[i];
    for (size_t i = 0; i < u->need_count; i++) *(struct raft_need *)ring_push(&core->needs) = u->needs[i];
    for (size_t i = 0; i < u->snapshot_count; i++) *(uint32_t *)ring_push(&core->snapshots) = u->snapshots[i].peer;
    if (u->commit_changed) core_propose_committed(core);
}

const struct raft_update *core_step(struct core *core, const struct raft_event *event) {
    ENSURE(!core->stepping); // ops must not call back from within persist or send
    core->stepping = true;
    core_time_move(core);
    struct raft_event timed = *event;
    timed.now_ms = core->now_ms;
    timed.log_time_ms = core->log_time_ms;
    const struct raft_update *update = raft_step(core->raft, &timed);
    take_update(core, update);
    core->stepping = false;
    return update;
}

void core_step_simple(struct core *core, enum raft_event_type type, uint32_t peer, bool ok) {
    struct raft_event event = {.type = type, .peer = peer, .ok = ok};
    core_step(core, &event);
}

// ---- hand-over to apply

// Apply gets what is committed and on this node's own disk (a snapshot of it is then never ahead of the journal), at
// most apply_ahead_bytes_max at once; what is behind the bound stays in the log, or in storage.
static void hand_over(struct core *core) {
    if (!core->formed || !core->primed || core->installing || core->reading || core->now_ms < core->read_again_ms)
        return;
    for (;;) {
        uint64_t to = raft_commit(core->raft), persisted = raft_persisted_index(core->raft);
        if (persisted < to) to = persisted;
        if (core->handed >= to || core->handed_bytes >= core->options.apply_ahead_bytes_max) return;
        struct batch_ref batches[APPLY_BATCHES_MAX];
        size_t room = core->options.apply_ahead_bytes_max - core->handed_bytes;
        size_t count = raft_committed(core->raft, core->handed + 1, room, batches, APPLY_BATCHES_MAX);
        while (count > 0 && batches[count - 1].last > to) count--;
        if (count == 0) {
            if (raft_committed(core->raft, core->handed + 1, 1, batches, 1) > 0) return; // there, but not on disk yet
            core->reading = true;
            *(struct raft_need *)ring_push(&core->needs) = (struct raft_need){0, core->handed + 1, to, room};
            return;
        }
        ENSURE(batches[0].first == core->handed + 1);
        for (size_t i = 0; i < count; i++) {
            core->handed_bytes += batches[i].buf->len;
            core_keepalive_scan(core, &batches[i]);
        }
        core->handed = batches[count - 1].last;
        core->ops.apply(core->ops.context, batches, count, core->epoch);
    }
}

void core_entries(struct core *core, uint64_t now_ms, const struct raft_need *need, struct batch_ref *batches,
                  size_t count) {
    core->now_ms = now_ms;
    if (need->peer != 0) {
        struct raft_event event = {
            .type = RAFT_EVENT_ENTRIES, .peer = need->peer, .batches = batches, .batch_count = count};
        core_step(core, &event); // takes the references
        core_flush(core);
        return;
    }
    core->reading = false;
    uint64_t to = raft_commit(core->raft);
    size_t good = 0;
    uint64_t next = core->handed + 1;
    if (need->first == next && !core->installing && core->primed)
        for (; good < count && batches[good].first == next && batches[good].last <= to; good++)
            next = batches[good].last + 1;
    if (good > 0) {
        for (size_t i = 0; i < good; i++) {
            core->handed_bytes += batches[i].buf->len;
            core_keepalive_scan(core, &batches[i]);
        }
        core->handed = next - 1;
        core->ops.apply(core->ops.context, batches, good, core->epoch);
    } else if (need->first == next && !core->installing) {
        LOG_ERROR(core->options.log, "storage has no entries for apply first=%llu commit=%llu",
                  (unsigned long long)need->first, (unsigned long long)to);
        core->read_again_ms = now_ms + CORE_HOUSEKEEPING_MS; // not in a circle
    }
    for (size_t i = 0; i < count; i++) batch_ref_release(&batches[i]);
    core_flush(core);
}

void core_reset_epoch(struct core *core, uint64_t index) {
    core->epoch++;
    core->handed = core->applied = index;
    core->handed_bytes = 0;
    core->applied_term = 0;
    core->primed = false;
    core->installing = true;
    core->leading = false;
    memset(core->streams, 0, CORE_MEMBER_IDS * sizeof *core->streams);
    core_keepalive_forget(core);
    core_digest_forget(core);
}

void core_installed(struct core *core, uint64_t now_ms, uint64_t epoch, uint64_t index) {
    core->now_ms = now_ms;
    if (epoch != core->epoch || !core->installing) return;
    ENSURE(index == core->handed);
    core->installing = false;
    core->formed = true;
    core_stream_open(core, core->options.boot);
    core_flush(core);
}

static void become_leading(struct core *core) {
    if (core->leading || core->role != RAFT_LEADER || !core->primed) return;
    bool applied = core->applied >= core->own_first && core->applied_term == core->term;
    if (!applied && !PLANTED(LEADS_BEFORE_APPLIED) && !PLANTED(STREAM_DUPLICATES_APPLIED)) return;
    core->leading = true;
    tell_alone(core);
    core_stream_leading(core);
    core_keepalive_leading(core);
    core_time_leading(core);
}

void core_applied(struct core *core, uint64_t now_ms, const struct core_applied *applied) {
    core->now_ms = now_ms;
    if (applied->epoch != core->epoch) return; // of before an install
    ENSURE(applied->index <= core->handed && applied->index >= core->applied);
    ENSURE(applied->bytes <= core->handed_bytes);
    core->primed = true;
    core->applied = applied->index;
    core->applied_term = applied->term;
    core->handed_bytes -= applied->bytes;
    core->next_deadline_ms = applied->next_deadline_ms;
    core->unix_offset_ms = applied->unix_offset_ms;
    core->apply_level = applied->apply_level;
    memcpy(core->settings, applied->settings, sizeof core->settings);
    if (applied->log_time_ms > core->applied_log_ms) core->applied_log_ms = applied->log_time_ms;
    core_time_seen(core, applied->log_time_ms, 0);
    core_keepalive_events(core, applied->leases, applied->lease_count);
    core_keepalive_applied(core);
    core_stream_applied(core, applied->streams, applied->stream_count);
    if (applied->own_gone != 0) core_stream_gone(core, applied->own_gone);
    if (applied->sample.index != 0) core_digest_sample(core, &applied->sample);
    core_member_applied(core);
    become_leading(core);
    core_flush(core);
}

// ---- status

static void fill_status(const struct core *core, struct core_status *status) {
    memset(status, 0, sizeof *status);
    status->role = core->role;
    status->leader = core->leader;
    status->term = core->term;
    status->commit = raft_commit(core->raft);
    status->last_index = raft_last_index(core->raft);
    status->ready =
        core->formed && core->leader != 0 && (core->role != RAFT_LEADER || core->leading) && !core->installing;
    status->disk_full = core->disk_full;
    status->diverged = core->diverged;
    const struct raft_membership *m = raft_membership(core->raft);
    for (uint32_t i = 0; core->role == RAFT_LEADER && i < m->count; i++) {
        struct raft_progress progress;
        if (m->members[i].id == core->options.id || !raft_progress(core->raft, m->members[i].id, &progress)) continue;
        if (!progress.recent_active || progress.match + CORE_CAUGHT_UP < status->commit) continue;
        if (m->members[i].role == MEMBER_LEARNER)
            status->synced_observers++;
        else
            status->synced_followers++;
    }
}

void core_get_status(const struct core *core, struct core_status *status) {
    fill_status(core, status);
}

static void tell_status(struct core *core) {
    struct core_status now;
    fill_status(core, &now);
    const struct core_status *old = &core->status;
    bool moved = now.commit != old->commit || now.last_index != old->last_index;
    bool changed = now.role != old->role || now.leader != old->leader || now.term != old->term ||
                   now.ready != old->ready || now.synced_followers != old->synced_followers ||
                   now.synced_observers != old->synced_observers || now.disk_full != old->disk_full ||
                   now.diverged != old->diverged;
    if (!changed && !(moved && core->now_ms >= core->status_ms + core->options.heartbeat_ms)) return;
    core->status = now;
    core->status_ms = core->now_ms;
    core->ops.status(core->ops.context, &now);
}

// ---- entry points that only pass on

void core_flush(struct core *core) {
    if (core->flushing) return; // an op called back: the outer flush goes on
    core->flushing = true;
    for (bool more = true; more;) {
        hand_over(core);
        core_read_pump(core);
        more = core->readies.count > 0 || core->needs.count > 0 || core->snapshots.count > 0;
        while (core->readies.count > 0) {
            struct raft_read_ready ready = *(struct raft_read_ready *)ring_front(&core->readies);
            ring_pop(&core->readies);
            core_read_ready(core, &ready);
        }
        while (core->needs.count > 0) {
            struct raft_need need = *(struct raft_need *)ring_front(&core->needs);
            ring_pop(&core->needs);
            core->ops.read_log(core->ops.context, &need);
        }
        while (core->snapshots.count > 0) {
            uint32_t peer = *(uint32_t *)ring_front(&core->snapshots);
            ring_pop(&core->snapshots);
            core_snapshot_wanted(core, peer, false);
        }
    }
    tell_status(core);
    core->flushing = false;
}

void core_tick(struct core *core, uint64_t now_ms) {
    core->now_ms = now_ms;
    core_time_move(core);
    if (core->first_tick) {
        core->first_tick = false;
        core_member_form(core);
        // Nobody else could lead: no election time-out to wait for.
        if (core->formed && core_alone(core)) core_step_simple(core, RAFT_EVENT_CAMPAIGN, 0, true);
    }
    core_step_simple(core, RAFT_EVENT_TICK, 0, true);
    if (PLANTED(LEADS_BEFORE_APPLIED) || PLANTED(STREAM_DUPLICATES_APPLIED)) become_leading(core);
    retry_persists(core);
    core_flush(core);
    core_member_tick(core);
    core_time_tick(core);
    core_keepalive_tick(core);
    core_snapshot_tick(core);
    core_propose(core);
    core_stream_tick(core);
    core_stream_acks(core);
    core_stream_pump(core);
    core_flush(core);
    core->next_ms = now_ms + CORE_HOUSEKEEPING_MS;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

uint64_t core_next_deadline_ms(const struct core *core) {
    uint64_t next = earlier(core->next_ms, raft_next_deadline_ms(core->raft));
    if (core->first_tick) return core->now_ms;
    if (core->leading) {
        if (core->time_entry_index == 0 && !core->time_waiting)
            next = earlier(next, core_time_deadline(core, core->next_deadline_ms));
        const struct heap_item *due = heap_first(&core->lease_due);
        if (due != NULL) next = earlier(next, core_time_deadline(core, due->time));
    }
    next = earlier(next, core->lost_soon_ms);
    if (core->disk_full) next = earlier(next, core->disk_retry_ms);
    return next > core->now_ms ? next : core->now_ms + 1;
}

void core_snapshot_made(struct core *core, uint64_t now_ms, uint64_t index, uint64_t term) {
    core->now_ms = now_ms;
    struct raft_event event = {.type = RAFT_EVENT_SNAPSHOT_MADE, .index = index, .term = term};
    core_step(core, &event);
    core_snapshot_renewed(core);
    core_flush(core);
}

void core_peer_up(struct core *core, uint64_t now_ms, uint32_t id, const uint8_t incarnation[INCARNATION_BYTES],
                  enum core_channel channel) {
    core->now_ms = now_ms;
    struct peer_state *peer = core_peer(core, id);
    if (memcmp(peer->incarnation, incarnation, INCARNATION_BYTES) != 0) {
        // Another incarnation behind the same id: nothing that was said by the old one counts for it.
        memcpy(peer->incarnation, incarnation, INCARNATION_BYTES);
        memset(peer->samples, 0, sizeof peer->samples);
        peer->unix_at_ms = 0;
        // But a snapshot that Raft waits for stays wanted: this may be the first time that we meet.
        peer->transfer = (struct transfer){.wanted = peer->transfer.wanted};
    }
    peer->up[channel] = true;
    peer->heard_ms = now_ms;
    if (channel == CORE_CONTROL) peer->lost_at_ms = 0;
    core_step_simple(core, RAFT_EVENT_PEER_BACK, id, true);
    core_stream_link(core, id);
    core_snapshot_link(core, id);
    core_flush(core);
}

void core_peer_down(struct core *core, uint64_t now_ms, uint32_t id, enum core_channel channel) {
    core->now_ms = now_ms;
    struct peer_state *peer = core_peer(core, id);
    peer->up[channel] = false;
    if (channel == CORE_CONTROL) peer->lost_at_ms = now_ms == 0 ? 1 : now_ms;
    if (core->lost_soon_ms > now_ms + CORE_LOST_GRACE_MS) core->lost_soon_ms = now_ms + CORE_LOST_GRACE_MS;
    core_flush(core);
}

static void raft_frame(struct core *core, uint32_t peer, struct bytes frame) {
    struct raft_message m;
    if (!raft_message_decode(&m, bytes_of(frame.data + 1, frame.len - 1))) {
        LOG_WARN(core->options.log, "bad raft message dropped peer=%u bytes=%zu", peer, frame.len);
        return;
    }
    if (m.from == peer && m.to == core->options.id) {
        uint64_t log_time = m.log_time_ms, term = m.term;
        bool timed = m.type == RAFT_MSG_HEARTBEAT || m.type == RAFT_MSG_APPEND;
        const struct peer_state *link = core_peer(core, peer);
        struct raft_event event = {
            .type = RAFT_EVENT_MESSAGE, .message = &m, .from_incarnation = link == NULL ? NULL : link->incarnation};
        core_step(core, &event);
        if (timed) core_time_seen(core, log_time, term);
    }
    raft_message_release(&m);
}

void core_peer_frame(struct core *core, uint64_t now_ms, uint32_t id, enum core_channel channel, struct bytes span) {
    core->now_ms = now_ms;
    if (id < 1 || id >= CORE_MEMBER_IDS || id == core->options.id || span.len == 0) return;
    struct peer_state *peer = core_peer(core, id);
    peer->heard_ms = now_ms;
    if (core_peer_trusted(core, id)) peer->member_heard_ms = now_ms;
    core_time_move(core);
    if (channel == CORE_CONTROL) peer->heard_log_ms = core->log_time_ms;
    struct core_frame frame;
    if (span.data[0] == FRAME_RAFT) {
        raft_frame(core, id, span);
    } else if (!core_frame_decode(&frame, span)) {
        LOG_WARN(core->options.log, "bad frame dropped peer=%u type=%u bytes=%zu", id, span.data[0], span.len);
    } else {
        switch (frame.type) {
        case FRAME_STREAM_STATE:
        case FRAME_FORWARD:
        case FRAME_STREAM_ASK:
            core_stream_frame(core, id, &frame);
            break;
        case FRAME_KEEPALIVE:
        case FRAME_KEEPALIVE_ACK:
            core_keepalive_frame(core, id, &frame);
            break;
        case FRAME_READ_ASK:
        case FRAME_READ_ANSWER:
            core_read_frame(core, id, &frame);
            break;
        case FRAME_SNAPSHOT_OFFER:
        case FRAME_SNAPSHOT_ASK:
        case FRAME_SNAPSHOT_CHUNK:
        case FRAME_SNAPSHOT_DONE:
        case FRAME_SNAPSHOT_WANT:
            core_snapshot_frame(core, id, channel, &frame);
            break;
        case FRAME_DIVERGED:
            core_digest_frame(core, id, &frame);
            break;
        default:
            core_member_frame(core, id, &frame);
            break;
        }
    }
    core_flush(core);
}

const struct raft_membership *core_membership(const struct core *core) {
    return raft_membership(core->raft);
}
bool core_formed(const struct core *core) {
    return core->formed;
}
struct raft *core_raft(struct core *core) {
    return core->raft;
}
