// Snapshots between nodes: the raw bytes of a finished file, in chunks over the bulk connection, a few in flight,
// resumed where a broken transfer stopped; and what an install does to this node's core.
//
//   leader: OFFER(index, term, bytes) -> follower: ASK(written so far) -> leader: CHUNK ... -> ASK(written) -> ... ->
//   DONE
#include <errno.h>
#include <stdio.h>

#include "replica/core_internal.h"

#define REOFFER_MS 1000u

// ---- leader

static void offer(struct core *core, struct peer_state *peer) {
    struct transfer *t = &peer->transfer;
    t->sent = t->written = 0;
    t->progress_ms = core->now_ms;
    struct core_frame frame = {.type = FRAME_SNAPSHOT_OFFER,
                               .term = core->term,
                               .a = t->index,
                               .b = t->term,
                               .c = t->bytes,
                               .flags = t->rebuild ? OFFER_REBUILD : 0};
    memcpy(frame.id16, core->options.cluster_id, 16);
    core_send_frame(core, peer->id, CORE_CONTROL, &frame, NULL, 0);
}

// Does it bring the peer further? To rebuild from, it must be newer than what the peer distrusts; else it must reach
// the entries that the peer needs: the log may lack them in its middle, where the disk cannot read.
static bool reaches(const struct core *core, const struct peer_state *peer, uint64_t index) {
    struct raft_progress progress;
    if (peer->transfer.rebuild) return index > peer->transfer.above;
    return !raft_progress(core->raft, peer->id, &progress) || index >= progress.next;
}

// The newest one, if the log goes on behind it.
static void start(struct core *core, struct peer_state *peer) {
    struct transfer *t = &peer->transfer;
    uint64_t index = 0, term = 0, bytes = 0, own_term = 0;
    bool usable = core->ops.snapshot_newest(core->ops.context, &index, &term, &bytes) && bytes > 0 &&
                  raft_term_at(core->raft, index, &own_term) && own_term == term && !t->unusable &&
                  reaches(core, peer, index);
    if (!usable) {
        if (t->asked_maker && core->now_ms < t->progress_ms + 10 * REOFFER_MS) return;
        t->asked_maker = true;
        t->progress_ms = core->now_ms;
        core->ops.want_snapshot(core->ops.context);
        return;
    }
    t->active = true;
    t->asked_maker = false;
    t->index = index;
    t->term = term;
    t->bytes = bytes;
    LOG_INFO(core->options.log, "sends a snapshot peer=%u index=%llu bytes=%llu", peer->id, (unsigned long long)index,
             (unsigned long long)bytes);
    offer(core, peer);
}

void core_snapshot_wanted(struct core *core, uint32_t id, bool rebuild) {
    struct peer_state *peer = core_peer(core, id);
    peer->transfer.wanted = true;
    if (rebuild) peer->transfer.rebuild = true;
    if (!peer->transfer.active) start(core, peer);
}

void core_snapshot_leader_changed(struct core *core) {
    for (uint32_t id = 1; id < CORE_MEMBER_IDS; id++)
        if (core->peers[id] != NULL) memset(&core->peers[id]->transfer, 0, sizeof core->peers[id]->transfer);
}

static void ended(struct core *core, struct peer_state *peer, bool ok) {
    struct transfer *t = &peer->transfer;
    struct raft_event event = {
        .type = RAFT_EVENT_SNAPSHOT_SENT, .peer = peer->id, .ok = ok, .index = t->index, .term = t->term};
    t->active = false;
    if (ok) t->wanted = t->rebuild = false;
    t->progress_ms = core->now_ms;
    core_step(core, &event);
}

// Superseded meanwhile: the next tick takes the newest. If it is the newest itself, another must be made first.
static void cannot_use(struct core *core, struct transfer *t, const char *why) {
    uint64_t index = 0, term = 0, bytes = 0;
    LOG_WARN(core->options.log, "snapshot %s index=%llu offset=%llu", why, (unsigned long long)t->index,
             (unsigned long long)t->sent);
    t->active = false;
    t->unusable = core->ops.snapshot_newest(core->ops.context, &index, &term, &bytes) && index == t->index;
}

void core_snapshot_renewed(struct core *core) {
    for (uint32_t id = 1; id < CORE_MEMBER_IDS; id++)
        if (core->peers[id] != NULL) core->peers[id]->transfer.unusable = false;
    core_snapshot_tick(core);
}

static void send_chunks(struct core *core, struct peer_state *peer) {
    struct transfer *t = &peer->transfer;
    while (t->active && t->sent < t->bytes &&
           t->sent - t->written < CORE_SNAPSHOT_FLIGHT * core->options.snapshot_chunk_bytes) {
        uint64_t left = t->bytes - t->sent;
        size_t len = left < core->options.snapshot_chunk_bytes ? (size_t)left : core->options.snapshot_chunk_bytes;
        struct buf *data = buf_new(len);
        int64_t got = core->ops.snapshot_read(core->ops.context, t->index, t->term, t->sent, data->data, len);
        if (got != (int64_t)len) {
            buf_unref(data);
            cannot_use(core, t, "cannot be read");
            return;
        }
        struct core_frame frame = {.type = FRAME_SNAPSHOT_CHUNK,
                                   .term = core->term,
                                   .a = t->index,
                                   .b = t->term,
                                   .c = t->sent,
                                   .flags = left == len ? CHUNK_LAST : 0};
        core_send_frame(core, peer->id, CORE_BULK, &frame, &data, 1);
        buf_unref(data);
        t->sent += len;
    }
}

static void on_ask(struct core *core, struct peer_state *peer, const struct core_frame *frame) {
    struct transfer *t = &peer->transfer;
    if (!t->active || frame->a != t->index || frame->b != t->term || frame->c > t->bytes) return;
    if (frame->c > t->written || t->sent == 0) t->progress_ms = core->now_ms;
    t->written = frame->c;
    if (t->sent < frame->c) t->sent = frame->c; // resumed: the rest is there already
    send_chunks(core, peer);
}

// ---- follower

static void send_ask(struct core *core) {
    struct core_frame frame = {.type = FRAME_SNAPSHOT_ASK,
                               .term = core->term,
                               .a = core->receive_index,
                               .b = core->receive_term,
                               .c = core->receive_written};
    core_send_frame(core, core->receive_from, CORE_CONTROL, &frame, NULL, 0);
}

static void send_done(struct core *core, uint32_t to, uint64_t index, uint64_t term, uint8_t flags) {
    struct core_frame frame = {.type = FRAME_SNAPSHOT_DONE, .term = core->term, .a = index, .b = term, .flags = flags};
    core_send_frame(core, to, CORE_CONTROL, &frame, NULL, 0);
}

// The log begins behind the snapshot; apply begins anew in a new epoch; what this node had under way is of a closed
// stream.
void core_install(struct core *core, uint64_t index, uint64_t term, const struct raft_membership *membership,
                  const uint8_t cluster_id[16]) {
    bool apply_behind = index > core->handed || core->receive_rebuild;
    if (!core->formed) {
        memcpy(core->options.cluster_id, cluster_id, 16);
        core->ops.set_cluster(core->ops.context, cluster_id);
        core->formed = true;
    }
    struct raft_event event = {.type = RAFT_EVENT_INSTALL, .index = index, .term = term, .membership = membership};
    core_step(core, &event);
    if (!apply_behind || raft_commit(core->raft) < index) return;
    core_stream_close(core);
    core->options.boot = core->ops.raise_boot(core->ops.context);
    core_reset_epoch(core, index);
    LOG_INFO(core->options.log, "installs a snapshot index=%llu term=%llu epoch=%llu", (unsigned long long)index,
             (unsigned long long)term, (unsigned long long)core->epoch);
    core->ops.install(core->ops.context, index, term, core->epoch);
}

static void write_chunk(struct core *core, struct bytes data, bool last) {
    struct raft_membership membership;
    membership_init(&membership);
    int error = core->ops.snapshot_write(core->ops.context, core->receive_index, core->receive_term,
                                         core->receive_written, data.data, data.len, last, last ? &membership : NULL);
    if (error != 0) {
        LOG_WARN(core->options.log, "snapshot refused index=%llu offset=%llu error=%d",
                 (unsigned long long)core->receive_index, (unsigned long long)core->receive_written, error);
        core->receiving = false;
        send_done(core, core->receive_from, core->receive_index, core->receive_term,
                  error == -EBADMSG ? DONE_DAMAGED : 0); // else: this node's disk, which may be full
        return;
    }
    core->receive_written += data.len;
    core->receive_ms = core->now_ms;
    if (!last) {
        send_ask(core);
        return;
    }
    core->receiving = false;
    if (core->role != RAFT_LEADER)
        core_install(core, core->receive_index, core->receive_term, &membership, core->receive_cluster);
    core->receive_rebuild = false;
    send_done(core, core->receive_from, core->receive_index, core->receive_term, DONE_OK);
    membership_free(&membership);
}

static void on_offer(struct core *core, uint32_t from, const struct core_frame *frame) {
    if (from != core->leader || core->role != RAFT_FOLLOWER || core->installing) return;
    if (core->formed && memcmp(frame->id16, core->options.cluster_id, 16) != 0) return;
    bool rebuild = (frame->flags & OFFER_REBUILD) != 0 && core->diverged && frame->a > core->rebuild_above;
    if (!rebuild && core->formed && frame->a <= raft_commit(core->raft)) {
        send_done(core, from, frame->a, frame->b, DONE_OK); // we have all that it holds
        return;
    }
    core->receiving = true;
    core->receive_rebuild = rebuild;
    core->receive_index = frame->a;
    core->receive_term = frame->b;
    core->receive_bytes = frame->c;
    core->receive_from = from;
    core->receive_ms = core->now_ms;
    memcpy(core->receive_cluster, frame->id16, 16);
    int64_t written = core->ops.snapshot_received(core->ops.context, frame->a, frame->b);
    core->receive_written = written > 0 ? (uint64_t)written : 0;
    if (core->receive_written >= core->receive_bytes)
        write_chunk(core, bytes_of(NULL, 0), true);
    else
        send_ask(core);
}

static void on_chunk(struct core *core, uint32_t from, const struct core_frame *frame) {
    if (!core->receiving || from != core->receive_from || frame->a != core->receive_index ||
        frame->b != core->receive_term)
        return;
    if (frame->c != core->receive_written) return; // a repeated one, or behind a lost one: the leader offers again
    if (frame->tail.len == 0 || frame->c + frame->tail.len > core->receive_bytes) return;
    write_chunk(core, frame->tail, (frame->flags & CHUNK_LAST) != 0);
}

// ---- both

void core_snapshot_frame(struct core *core, uint32_t from, enum core_channel channel, const struct core_frame *frame) {
    if (frame->term != core->term) return;
    struct peer_state *peer = core_peer(core, from);
    if (frame->type == FRAME_SNAPSHOT_OFFER)
        on_offer(core, from, frame);
    else if (frame->type == FRAME_SNAPSHOT_CHUNK)
        on_chunk(core, from, frame);
    else if (core->role != RAFT_LEADER || !core_peer_trusted(core, from))
        return;
    else if (frame->type == FRAME_SNAPSHOT_ASK)
        on_ask(core, peer, frame);
    else if (frame->type == FRAME_SNAPSHOT_DONE) {
        if (!peer->transfer.active || frame->a != peer->transfer.index || frame->b != peer->transfer.term) return;
        if ((frame->flags & DONE_DAMAGED) != 0)
            cannot_use(core, &peer->transfer, "is damaged, by the word of its receiver");
        ended(core, peer, (frame->flags & DONE_OK) != 0);
    } else if (!core->diverged && !peer->transfer.active) { // WANT: from a leader that agrees with the majority only
        peer->transfer.above = frame->a;
        core_snapshot_wanted(core, from, true);
    }
}

void core_snapshot_link(struct core *core, uint32_t id) {
    struct peer_state *peer = core_peer(core, id);
    if (core->role == RAFT_LEADER && peer->transfer.active && peer->up[CORE_CONTROL] && peer->up[CORE_BULK])
        offer(core, peer);
}

void core_snapshot_tick(struct core *core) {
    if (core->role == RAFT_FOLLOWER && core->diverged && core->want_rebuild && core->leader != 0 && !core->receiving &&
        !core->installing && core->now_ms >= core->want_told_ms + REOFFER_MS) {
        core->want_told_ms = core->now_ms;
        struct core_frame frame = {.type = FRAME_SNAPSHOT_WANT, .term = core->term, .a = core->rebuild_above};
        core_send_frame(core, core->leader, CORE_CONTROL, &frame, NULL, 0);
    }
    if (core->receiving && core->now_ms >= core->receive_ms + 10 * REOFFER_MS) core->receiving = false;
    if (core->role != RAFT_LEADER) return;
    for (uint32_t id = 1; id < CORE_MEMBER_IDS; id++) {
        struct peer_state *peer = core->peers[id];
        if (peer == NULL || !peer->transfer.wanted || !peer->up[CORE_CONTROL]) continue;
        struct raft_progress progress;
        if (!peer->transfer.rebuild && (!raft_progress(core->raft, id, &progress) || progress.state != RAFT_SNAPSHOT)) {
            memset(&peer->transfer, 0, sizeof peer->transfer); // it has what it needs, or raft asks again
            continue;
        }
        if (!peer->transfer.active)
            start(core, peer);
        else if (core->now_ms >= peer->transfer.progress_ms + REOFFER_MS)
            offer(core, peer);
    }
}
