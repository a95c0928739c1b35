// Streams (replication.md "Streams"): numbers for this node's commands, their way to the leader of the term, and the
// leader's table of what it has appended of each member's stream.
//
//   chunks:  [applied, freed) | sent and acknowledged | sent | numbered before, to be sent again | no number yet |
//                             base                 acked   next                                                   end
//
// Go-back-N with a number for the attempt: a leader that meets a gap raises the member's attempt, says what it wants,
// and ignores forwards of older attempts. So one gap costs one resend, and what was under way cannot ask for another.
#include "base/planted.h"
#include "replica/core_internal.h"

struct chunk *core_chunk(const struct core *core, uint64_t id) {
    ENSURE(id >= core->own.base && id - core->own.base < core->own.chunks.count);
    return ring_at(&core->own.chunks, (size_t)(id - core->own.base));
}

static uint64_t end_id(const struct core *core) {
    return core->own.base + core->own.chunks.count;
}

static uint64_t start_of(const struct core *core, uint64_t id) {
    return id < end_id(core) ? core_chunk(core, id)->start : core->own.total_bytes;
}

static uint64_t last_seq_of(const struct chunk *chunk) {
    return chunk->first_seq + chunk->count - 1;
}

static uint64_t first_unnumbered(const struct core *core) {
    uint64_t id = end_id(core);
    while (id > core->own.base && core_chunk(core, id - 1)->first_seq == 0) id--;
    return id;
}

// ---- life

void core_stream_init(struct core *core) {
    ring_init(&core->own.chunks, sizeof(struct chunk));
}

static void drop_chunks(struct core *core) {
    while (core->own.chunks.count > 0) {
        buf_unref(((struct chunk *)ring_front(&core->own.chunks))->bytes);
        ring_pop(&core->own.chunks);
    }
}

void core_stream_free(struct core *core) {
    drop_chunks(core);
    ring_free(&core->own.chunks);
}

static void add_chunk(struct core *core, uint64_t first_tag, uint32_t count, struct bytes commands) {
    struct own_stream *own = &core->own;
    struct chunk *chunk = ring_push(&own->chunks);
    chunk->first_tag = first_tag;
    chunk->count = count;
    chunk->arrived_ms = core->now_ms;
    chunk->bytes = buf_copy(commands.data, commands.len);
    chunk->start = own->total_bytes;
    own->total_bytes += commands.len;
    chunk->end = own->total_bytes;
}

void core_stream_number(struct core *core, struct chunk *chunk) {
    if (chunk->first_seq != 0) return;
    chunk->first_seq = core->own.next_seq;
    core->own.next_seq += chunk->count;
    core->own.numbered_end = chunk->end;
}

void core_stream_open(struct core *core, uint64_t boot) {
    struct own_stream *own = &core->own;
    drop_chunks(core);
    struct ring chunks = own->chunks;
    memset(own, 0, sizeof *own);
    own->chunks = chunks;
    own->open = true;
    own->boot = boot;
    own->next_seq = 1;
    own->progress_ms = core->now_ms;
    struct writer w;
    writer_init(&w);
    write_u32_le(&w, 0);
    group_write_stream_open(&w, core->options.incarnation, core->options.id, boot);
    put_u32_le(w.data, (uint32_t)(w.len - 4));
    add_chunk(core, 0, 1, bytes_of(w.data, w.len));
    writer_free(&w);
    core_stream_number(core, core_chunk(core, own->base)); // always 1: it opens the stream
    if (core->leading) core_stream_leading(core);
    core->own.progress_ms = 0; // ask the leader at once
}

void core_stream_refuse(struct core *core, int error) {
    struct own_stream *own = &core->own;
    uint64_t first = first_unnumbered(core);
    for (uint64_t id = first; id < end_id(core); id++) {
        const struct chunk *chunk = core_chunk(core, id);
        core->ops.refused(core->ops.context, chunk->first_tag, chunk->count, error);
    }
    while (end_id(core) > first) {
        struct chunk *chunk = ring_back(&own->chunks);
        own->total_bytes = chunk->start;
        buf_unref(chunk->bytes);
        ring_pop_back(&own->chunks);
    }
    if (own->next > end_id(core)) own->next = end_id(core);
    if (own->acked > own->next) own->acked = own->next;
}

void core_stream_close(struct core *core) {
    core_stream_refuse(core, COMMAND_NOT_APPLIED);
    drop_chunks(core); // numbered: unknown to their clients, whom the node has told so
    core->own.open = false;
    core->own.base = core->own.next = core->own.acked = 0;
}

// A removed node that is added again goes on under its incarnation, but apply has forgotten how far its stream had
// come, and a number is never reused: only a higher boot may begin with 1. A stream of an older boot that goes when the
// log is read again after a start is no concern of the one that is open.
void core_stream_gone(struct core *core, uint64_t boot) {
    if (!core->own.open || core->own.boot != boot) return;
    core_stream_close(core);
    core->options.boot = core->ops.raise_boot(core->ops.context);
    core_stream_open(core, core->options.boot);
}

// ---- commands of this node

static int refuse_all(const struct core *core) {
    if (!core->own.open || core->stopping) return COMMAND_NOT_APPLIED;
    bool full = core->role == RAFT_LEADER ? core->disk_full : core->own.leader_full;
    return full ? COMMAND_FULL : 0;
}

void core_commands(struct core *core, uint64_t now_ms, uint64_t first_tag, uint64_t count, struct bytes commands) {
    core->now_ms = now_ms;
    int error = refuse_all(core);
    if (error != 0) {
        core->ops.refused(core->ops.context, first_tag, count, error);
        return;
    }
    struct own_stream *own = &core->own;
    struct reader r = reader_of(commands.data, commands.len);
    size_t begin = 0;
    uint64_t tag = first_tag;
    uint32_t in_chunk = 0;
    for (uint64_t i = 0; i < count; i++) {
        size_t at = r.at;
        struct bytes command = read_span(&r, read_u32_le(&r));
        ENSURE(!r.failed); // our own service loop's framing
        bool waits_too_long = own->total_bytes + (r.at - begin) - own->numbered_end > core->options.forward_bytes_max &&
                              end_id(core) > first_unnumbered(core);
        int refusal = command.len > COMMAND_BYTES_MAX ? COMMAND_TOO_LARGE : waits_too_long ? COMMAND_NOT_APPLIED : 0;
        if (refusal != 0 || (in_chunk > 0 && r.at - begin > CORE_CHUNK_BYTES)) {
            if (in_chunk > 0) add_chunk(core, tag, in_chunk, bytes_of(commands.data + begin, at - begin));
            tag += in_chunk;
            in_chunk = 0;
            begin = at;
        }
        if (refusal != 0) {
            core->ops.refused(core->ops.context, tag++, 1, refusal);
            begin = r.at;
        } else {
            in_chunk++;
        }
    }
    if (in_chunk > 0) add_chunk(core, tag, in_chunk, bytes_of(commands.data + begin, r.at - begin));
    // Proposed or forwarded at the end of the turn (core_tick), with all that came in it.
}

// A chunk falls into two at a command; ids behind it move up by one.
static void split_chunk(struct core *core, uint64_t id, uint32_t at_command) {
    struct own_stream *own = &core->own;
    ring_push(&own->chunks);
    size_t place = (size_t)(id - own->base);
    for (size_t i = own->chunks.count - 1; i > place + 1; i--)
        *(struct chunk *)ring_at(&own->chunks, i) = *(struct chunk *)ring_at(&own->chunks, i - 1);
    struct chunk *left = ring_at(&own->chunks, place), *right = ring_at(&own->chunks, place + 1);
    *right = *left;
    ENSURE(at_command > 0 && at_command < left->count);
    struct reader r = reader_of(left->bytes->data, left->bytes->len);
    for (uint32_t i = 0; i < at_command; i++) read_span(&r, read_u32_le(&r));
    ENSURE(!r.failed);
    struct buf *whole = left->bytes;
    left->bytes = buf_copy(whole->data, r.at);
    right->bytes = buf_copy(whole->data + r.at, whole->len - r.at);
    buf_unref(whole);
    right->count -= at_command;
    left->count = at_command;
    if (right->first_tag != 0) right->first_tag += at_command;
    if (right->first_seq != 0) right->first_seq += at_command;
    left->end = right->start = left->start + r.at < right->end ? left->start + r.at : right->end;
    if (own->next > id) own->next++;
    if (own->acked > id) own->acked++;
}

void core_withdraw(struct core *core, uint64_t now_ms, uint64_t tag, int error) {
    core->now_ms = now_ms;
    for (uint64_t id = core->own.base; id < end_id(core); id++) {
        struct chunk *chunk = core_chunk(core, id);
        if (chunk->first_tag == 0 || tag < chunk->first_tag || tag - chunk->first_tag >= chunk->count) continue;
        struct writer w;
        writer_init(&w);
        struct reader r = reader_of(chunk->bytes->data, chunk->bytes->len);
        for (uint32_t i = 0; i < chunk->count; i++) {
            struct bytes command = read_span(&r, read_u32_le(&r));
            size_t head = w.len;
            write_u32_le(&w, (uint32_t)command.len);
            if (chunk->first_tag + i == tag) {
                group_write_void(&w, error);
                put_u32_le(w.data + head, (uint32_t)(w.len - head - 4));
            } else {
                write_span(&w, command);
            }
        }
        ENSURE(reader_done(&r));
        buf_unref(chunk->bytes); // what is under way keeps its own reference, and its own bytes
        chunk->bytes = buf_copy(w.data, w.len);
        writer_free(&w);
        return;
    }
}

bool core_may_hand(const struct core *core, const struct chunk *chunk) {
    if (chunk->first_seq != 0) return true;
    if (core->stopping || core->installing) return false;
    if (core->role == RAFT_LEADER && core->handed_bytes >= core->options.apply_ahead_bytes_max) return false;
    return core->own.numbered_end - core->own.applied_end < core->options.forward_bytes_max;
}

// ---- towards the leader

// From the number it wants. What it knows of an older boot, or nothing: our stream begins with 1.
static void position(struct core *core, uint64_t boot, uint64_t last_seq) {
    struct own_stream *own = &core->own;
    uint64_t want = boot == own->boot ? last_seq + 1 : 1;
    own->next = first_unnumbered(core);
    while (own->next > own->base && core_chunk(core, own->next - 1)->first_seq >= want) own->next--;
    if (own->next > own->base) {
        struct chunk *before = core_chunk(core, own->next - 1);
        if (before->first_seq < want && last_seq_of(before) >= want) {
            split_chunk(core, own->next - 1, (uint32_t)(want - before->first_seq));
            // split_chunk moved `next` behind the right part, which is the wanted one
            own->next--;
        }
    }
    if (own->next == own->base && own->next < end_id(core)) {
        const struct chunk *first = core_chunk(core, own->next);
        if (first->first_seq > want)
            LOG_ERROR(core->options.log, "leader wants a command that was applied here want=%llu have=%llu",
                      (unsigned long long)want, (unsigned long long)first->first_seq);
    }
    own->acked = own->next;
}

void core_stream_leader_changed(struct core *core) {
    struct own_stream *own = &core->own;
    own->synced = false;
    own->attempt = 0;
    own->credit = 0;
    own->leader_full = false;
    own->progress_ms = core->now_ms;
    own->acked = own->next;
    memset(core->appended, 0, CORE_MEMBER_IDS * sizeof *core->appended);
    for (uint32_t id = 1; id < CORE_MEMBER_IDS; id++) {
        struct peer_state *peer = core->peers[id];
        if (peer == NULL) continue;
        peer->attempt = 0;
        peer->ack_due = peer->credit_was = false;
    }
}

static void send_ask(struct core *core) {
    struct core_frame frame = {.type = FRAME_STREAM_ASK, .term = core->term, .attempt = core->own.attempt};
    core->own.progress_ms = core->now_ms;
    core_send_frame(core, core->leader, CORE_CONTROL, &frame, NULL, 0);
}

static bool follows(const struct core *core) {
    return core->own.open && core->leader != 0 && core->leader != core->options.id && core->role == RAFT_FOLLOWER;
}

void core_stream_pump(struct core *core) {
    struct own_stream *own = &core->own;
    if (!follows(core) || !own->synced) return;
    while (own->next < end_id(core)) {
        struct chunk *chunk = core_chunk(core, own->next);
        uint64_t in_flight = start_of(core, own->next) - start_of(core, own->acked);
        if (!core_may_hand(core, chunk) || in_flight >= own->credit) return;
        if (own->next == own->acked) own->progress_ms = core->now_ms;
        core_stream_number(core, chunk);
        struct core_frame frame = {.type = FRAME_FORWARD,
                                   .term = core->term,
                                   .attempt = own->attempt,
                                   .a = own->boot,
                                   .b = chunk->first_seq,
                                   .count = chunk->count};
        core_send_frame(core, core->leader, CORE_BULK, &frame, &chunk->bytes, 1);
        own->next++;
    }
}

static void on_state(struct core *core, uint32_t from, const struct core_frame *frame) {
    struct own_stream *own = &core->own;
    if (!follows(core) || frame->term != core->term || from != core->leader) return;
    if (frame->a > own->boot) {
        LOG_ERROR(core->options.log, "the leader knows a later boot of this node boot=%llu known=%llu",
                  (unsigned long long)own->boot, (unsigned long long)frame->a);
        return;
    }
    // The leader has applied that this node was removed, this node has not: it will, and open a new stream.
    if (frame->a == own->boot && frame->b == STREAM_CLOSED) return;
    if (frame->flags & STATE_RESYNC) {
        if (own->synced && frame->attempt <= own->attempt) return; // an older one, overtaken
        own->attempt = frame->attempt;
        own->synced = true;
        position(core, frame->a, frame->b);
    } else {
        if (!own->synced || frame->attempt != own->attempt || frame->a != own->boot) return;
        while (own->acked < own->next && last_seq_of(core_chunk(core, own->acked)) <= frame->b) own->acked++;
    }
    own->progress_ms = core->now_ms;
    own->credit = frame->c;
    own->leader_full = (frame->flags & STATE_FULL) != 0;
    if (own->leader_full) core_stream_refuse(core, COMMAND_FULL);
    core_stream_pump(core);
}

void core_stream_link(struct core *core, uint32_t peer) {
    if (follows(core) && peer == core->leader)
        send_ask(core); // what was on its way may be lost: from where shall we go on?
}

void core_stream_tick(struct core *core) {
    struct own_stream *own = &core->own;
    uint64_t first = first_unnumbered(core);
    bool served = core->leading || (follows(core) && own->synced);
    if (first < end_id(core) && !served && core->now_ms >= core_chunk(core, first)->arrived_ms + CORE_WAIT_MS)
        core_stream_refuse(core, COMMAND_NOT_APPLIED);
    if (core->leading && core->disk_full) core_stream_refuse(core, COMMAND_FULL);
    if (!follows(core) || core->now_ms < own->progress_ms + core->options.election_ms) return;
    if (!own->synced || own->acked < own->next) send_ask(core); // an answer was lost
}

// ---- applied

void core_stream_applied(struct core *core, const struct machine_stream *streams, size_t count) {
    struct own_stream *own = &core->own;
    for (size_t i = 0; i < count; i++) {
        const struct machine_stream *s = &streams[i];
        ENSURE(s->member >= 1 && s->member < CORE_MEMBER_IDS);
        struct stream *stream = &core->streams[s->member];
        stream->known = true;
        memcpy(stream->incarnation, s->incarnation, INCARNATION_BYTES);
        stream->boot = s->boot;
        stream->last_seq = s->last_seq;
        if (s->member != core->options.id || s->boot != own->boot || !own->open) continue;
        if (memcmp(s->incarnation, core->options.incarnation, INCARNATION_BYTES) != 0) continue;
        if (s->last_seq == STREAM_CLOSED) continue; // core_stream_gone begins another
        own->applied_seq = s->last_seq;
        while (own->chunks.count > 0) {
            struct chunk *chunk = ring_front(&own->chunks);
            if (chunk->first_seq == 0 || last_seq_of(chunk) > own->applied_seq) break;
            own->applied_end = chunk->end;
            buf_unref(chunk->bytes);
            ring_pop(&own->chunks);
            own->base++;
        }
        if (own->next < own->base) own->next = own->base;
        if (own->acked < own->base) own->acked = own->base;
    }
}

// ---- the leader's side

uint64_t core_stream_credit(const struct core *core) {
    if (!core->leading || core->disk_full || core->stopping) return 0;
    if (core->handed_bytes >= core->options.apply_ahead_bytes_max) return 0;
    return core->uncommitted_bytes + core->forwards_bytes < CORE_UNCOMMITTED_MAX ? CORE_WINDOW_BYTES : 0;
}

static const struct stream *known_stream(const struct core *core, uint32_t id) {
    const struct stream *stream = &core->appended[id];
    const struct peer_state *peer = core->peers[id];
    if (!stream->known || memcmp(stream->incarnation, peer->incarnation, INCARNATION_BYTES) != 0) return NULL;
    return stream;
}

void core_stream_tell(struct core *core, uint32_t id, bool resync) {
    if (!core->leading || id == core->options.id || !core_peer_trusted(core, id)) return;
    struct peer_state *peer = core_peer(core, id);
    const struct stream *stream = known_stream(core, id);
    if (resync) peer->attempt++;
    peer->ack_due = false;
    uint64_t credit = core_stream_credit(core);
    peer->credit_was = credit > 0;
    struct core_frame frame = {
        .type = FRAME_STREAM_STATE,
        .term = core->term,
        .attempt = peer->attempt,
        .flags = (uint8_t)((resync ? STATE_RESYNC : 0) | (core->disk_full ? STATE_FULL : 0)),
        .a = stream != NULL ? stream->boot : 0,
        .b = stream != NULL ? stream->last_seq : 0,
        .c = credit,
    };
    core_send_frame(core, id, CORE_CONTROL, &frame, NULL, 0);
}

void core_stream_leading(struct core *core) {
    memcpy(core->appended, core->streams, CORE_MEMBER_IDS * sizeof *core->appended);
    const struct stream *self = &core->appended[core->options.id];
    bool known = self->known && memcmp(self->incarnation, core->options.incarnation, INCARNATION_BYTES) == 0;
    if (core->own.open) position(core, known ? self->boot : 0, known ? self->last_seq : 0);
    const struct raft_membership *m = raft_membership(core->raft);
    for (uint32_t i = 0; i < m->count; i++) core_stream_tell(core, m->members[i].id, true);
}

void core_stream_acks(struct core *core) {
    if (!core->leading) return;
    bool credit = core_stream_credit(core) > 0;
    const struct raft_membership *m = raft_membership(core->raft);
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t id = m->members[i].id;
        if (id == core->options.id || core->peers[id] == NULL) continue;
        if (core->peers[id]->ack_due || core->peers[id]->credit_was != credit) core_stream_tell(core, id, false);
    }
}

static bool good_commands(const struct core_frame *frame) {
    struct reader r = reader_of(frame->tail.data, frame->tail.len);
    for (uint32_t i = 0; i < frame->count && !r.failed; i++) read_span(&r, read_u32_le(&r));
    return frame->count > 0 && frame->b > 0 && reader_done(&r);
}

static void on_forward(struct core *core, uint32_t from, const struct core_frame *frame) {
    if (!core->leading || frame->term != core->term || !core_peer_trusted(core, from)) return;
    struct peer_state *peer = core_peer(core, from);
    if (frame->attempt != peer->attempt || !good_commands(frame)) return;
    const struct stream *known = known_stream(core, from);
    if (known != NULL && frame->a < known->boot) return;                                // an older boot is shut out
    uint64_t want = known != NULL && known->boot == frame->a ? known->last_seq + 1 : 1; // closed: 0, which none has
    if (frame->b != want && !(PLANTED(STREAM_GAP_APPLIED) && frame->b > want)) {
        core_stream_tell(core, from, true);
        return;
    }
    struct stream *stream = &core->appended[from];
    stream->known = true;
    memcpy(stream->incarnation, peer->incarnation, INCARNATION_BYTES);
    stream->boot = frame->a;
    stream->last_seq = frame->b + frame->count - 1;
    struct forwarded *f = ring_push(&core->forwards);
    *f = (struct forwarded){from, frame->count, frame->a, frame->b, buf_copy(frame->tail.data, frame->tail.len)};
    core->forwards_bytes += frame->tail.len;
    peer->ack_due = true;
}

void core_stream_frame(struct core *core, uint32_t peer, const struct core_frame *frame) {
    if (frame->type == FRAME_STREAM_STATE)
        on_state(core, peer, frame);
    else if (frame->type == FRAME_FORWARD)
        on_forward(core, peer, frame);
    else if (frame->term == core->term)
        core_stream_tell(core, peer, true);
}
