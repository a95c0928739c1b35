// The leader's batches: whatever waits at the end of a turn (own chunks, forwarded sections, entries of its own) goes
// into one batch and is proposed at once; nothing waits for a timer, and the next batch does not wait for the last
// one's disk write.
#include "replica/core_internal.h"

struct piece { // commands of one origin, in place
    uint32_t origin, count;
    uint64_t boot, first_seq;
    struct bytes commands;
};
struct draft {
    struct piece *pieces;
    size_t count, capacity, bytes;
    uint64_t chunks; // own chunks taken
    size_t forwards; // forwarded sections taken
    uint64_t commands;
    bool internal;
};

bool core_may_propose(const struct core *core) {
    return core->leading && !core->disk_full && core->now_ms >= core->propose_hold_ms;
}

void core_internal_command(struct core *core, struct bytes command) {
    ENSURE(core->leading);
    ENSURE(command.len > 0 && command.len <= UINT32_MAX);
    write_u32_le(&core->internal, (uint32_t)command.len);
    write_span(&core->internal, command);
    core->internal_count++;
}

void core_propose_reset(struct core *core) {
    while (core->forwards.count > 0) {
        struct forwarded *f = ring_front(&core->forwards);
        buf_unref(f->bytes);
        ring_pop(&core->forwards);
    }
    core->forwards_bytes = 0;
    writer_clear(&core->internal);
    core->internal_count = 0;
    ring_clear(&core->proposals);
    core->uncommitted_bytes = 0;
    core->propose_hold_ms = 0;
}

void core_propose_committed(struct core *core) {
    uint64_t commit = raft_commit(core->raft);
    while (core->proposals.count > 0) {
        struct proposed *p = ring_front(&core->proposals);
        if (p->last > commit) return;
        ENSURE(core->uncommitted_bytes >= p->bytes);
        core->uncommitted_bytes -= p->bytes;
        ring_pop(&core->proposals);
    }
}

static void add_piece(struct draft *draft, const struct piece *piece) {
    if (draft->count == draft->capacity) {
        draft->capacity = draft->capacity == 0 ? 16 : draft->capacity * 2;
        draft->pieces = mem_realloc(draft->pieces, draft->capacity * sizeof *draft->pieces);
    }
    draft->pieces[draft->count++] = *piece;
    draft->bytes += piece->commands.len;
    draft->commands += piece->count;
}

static bool full(const struct draft *draft, size_t more) {
    return draft->count > 0 && draft->bytes + more > BATCH_BYTES_MAX;
}

// Own chunks get their numbers here: this is the moment they are handed to a leader, ourselves.
static void collect(struct core *core, struct draft *draft) {
    if (core->internal_count > 0) {
        struct piece piece = {0, core->internal_count, 0, 0, bytes_of(core->internal.data, core->internal.len)};
        add_piece(draft, &piece);
        draft->internal = true;
    }
    for (uint64_t id = core->own.next; id < core->own.base + core->own.chunks.count; id++) {
        struct chunk *chunk = core_chunk(core, id);
        if (full(draft, chunk->bytes->len) || !core_may_hand(core, chunk)) break;
        if (core->uncommitted_bytes + draft->bytes > CORE_UNCOMMITTED_MAX) break;
        core_stream_number(core, chunk);
        struct piece piece = {core->options.id, chunk->count, core->own.boot, chunk->first_seq,
                              bytes_of(chunk->bytes->data, chunk->bytes->len)};
        add_piece(draft, &piece);
        draft->chunks++;
    }
    for (size_t i = 0; i < core->forwards.count; i++) {
        const struct forwarded *f = ring_at(&core->forwards, i);
        if (full(draft, f->bytes->len)) break;
        struct piece piece = {f->origin, f->count, f->boot, f->first_seq, bytes_of(f->bytes->data, f->bytes->len)};
        add_piece(draft, &piece);
        draft->forwards++;
    }
}

// Neighbours of one stream share a section.
static bool continues(const struct piece *a, const struct piece *b, uint64_t count) {
    return a->origin != 0 && a->origin == b->origin && a->boot == b->boot && a->first_seq + count == b->first_seq;
}

static struct batch_ref build(struct core *core, const struct draft *draft) {
    size_t sections = 0;
    uint64_t run = 0;
    for (size_t i = 0, first = 0; i < draft->count; i++) {
        if (i > 0 && continues(&draft->pieces[first], &draft->pieces[i], run)) {
            run += draft->pieces[i].count;
            continue;
        }
        first = i;
        run = draft->pieces[i].count;
        sections++;
    }
    struct buf *buf = buf_new(BATCH_HEADER_BYTES + sections * SECTION_HEADER_BYTES + draft->bytes);
    uint64_t first_index = raft_next_index(core->raft);
    struct batch_header header = {
        .group = core->options.group,
        .kind = BATCH_COMMANDS,
        .body_bytes = (uint32_t)(buf->len - BATCH_HEADER_BYTES),
        .count = (uint32_t)draft->commands,
        .first_index = first_index,
        .term = core->term,
        .log_time_ms = core->log_time_ms,
        .seed = prng_next(&core->prng),
    };
    batch_encode_header(buf->data, &header);
    uint8_t *at = buf->data + BATCH_HEADER_BYTES;
    for (size_t i = 0; i < draft->count;) {
        const struct piece *piece = &draft->pieces[i];
        uint64_t count = piece->count, bytes = piece->commands.len;
        size_t end = i + 1;
        for (; end < draft->count && continues(piece, &draft->pieces[end], count); end++) {
            count += draft->pieces[end].count;
            bytes += draft->pieces[end].commands.len;
        }
        put_u32_le(at, piece->origin);
        put_u64_le(at + 4, piece->boot);
        put_u64_le(at + 12, piece->first_seq);
        put_u32_le(at + 20, (uint32_t)count);
        put_u32_le(at + 24, (uint32_t)bytes);
        at += SECTION_HEADER_BYTES;
        for (; i < end; i++) {
            memcpy(at, draft->pieces[i].commands.data, draft->pieces[i].commands.len);
            at += draft->pieces[i].commands.len;
        }
    }
    ENSURE(at == buf->data + buf->len);
    batch_seal(buf);
    return (struct batch_ref){first_index, first_index + draft->commands - 1, core->term, buf};
}

// Raft took it: only now is anything counted as appended.
static void accepted(struct core *core, const struct draft *draft, uint64_t last, uint64_t bytes) {
    *(struct proposed *)ring_push(&core->proposals) = (struct proposed){last, bytes};
    core->uncommitted_bytes += bytes;
    if (draft->internal) {
        if (core->time_waiting) {
            core->time_waiting = false;
            core->time_entry_index = last;
        }
        if (core->offset_entry_index == UINT64_MAX) core->offset_entry_index = last;
        writer_clear(&core->internal);
        core->internal_count = 0;
    }
    for (uint64_t i = 0; i < draft->chunks; i++) {
        const struct chunk *chunk = core_chunk(core, core->own.next++);
        struct stream *stream = &core->appended[core->options.id];
        stream->known = true;
        stream->boot = core->own.boot;
        stream->last_seq = chunk->first_seq + chunk->count - 1;
    }
    core->own.acked = core->own.next;
    for (size_t i = 0; i < draft->forwards; i++) {
        struct forwarded *f = ring_front(&core->forwards);
        core->forwards_bytes -= f->bytes->len;
        buf_unref(f->bytes);
        ring_pop(&core->forwards);
    }
}

void core_propose(struct core *core) {
    while (core_may_propose(core)) {
        core_time_move(core);
        struct draft draft = {0};
        collect(core, &draft);
        if (draft.count == 0) {
            mem_free(draft.pieces);
            return;
        }
        struct batch_ref batch = build(core, &draft);
        uint64_t last = batch.last, bytes = batch.buf->len, term = core->term;

        struct raft_event event = {.type = RAFT_EVENT_PROPOSE, .batches = &batch, .batch_count = 1};

        const struct raft_update *update = core_step(core, &event);

        if (update->refused != 0) {
            core->propose_hold_ms =
                core->now_ms + 10; // a transfer is under way: it ends by a new leader or by a time-out
        } else if (core->term == term && core->role == RAFT_LEADER) {
            accepted(core, &draft, last, bytes);
            core_propose_committed(core);
        }
        mem_free(draft.pieces);
        if (update->refused != 0) return;
    }
}
