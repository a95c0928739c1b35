// Outgoing messages in arrays that are reused from step to step, and the bytes of a message.
//
//   type u8   flags u8 (1 reject, 2 disturb)   format u16   group u32   from u32   to u32   to_incarnation 16 bytes
//   term, index, log_term, commit, round, hint_index, hint_term, log_time_ms: u64 each   batch_count u32
//   then the batches as they are (their headers say how long they are)
//
// What index means: vote and pre-vote: the candidate's last place, with log_term. append: the place before the batches,
// with log_term. append answer: the place up to which the follower's log is the leader's and durable; if `reject`, the
// refused previous place, with hint = the follower's largest place not above it whose term is not above the leader's
// there. heartbeat: round 0 is news of a commit index only and is not answered.
#include "base/alloc.h"
#include "consensus/raft_internal.h"

#define MESSAGE_FORMAT 1u
#define MESSAGE_HEADER_BYTES 100u
#define FLAG_REJECT 1u
#define FLAG_DISTURB 2u

void raft_message_release(struct raft_message *m) {
    for (size_t i = 0; i < m->batch_count; i++) batch_ref_release(&m->batches[i]);
    mem_free(m->batches);
    m->batches = NULL;
    m->batch_count = 0;
}

struct raft_message *raft_emit(struct raft *raft, struct outbox *outbox, enum raft_message_type type, uint32_t to) {
    if (outbox->count == outbox->capacity) {
        size_t capacity = outbox->capacity == 0 ? 8 : outbox->capacity * 2;
        outbox->messages = mem_realloc(outbox->messages, capacity * sizeof *outbox->messages);
        outbox->slots = mem_realloc(outbox->slots, capacity * sizeof *outbox->slots);
        memset(outbox->slots + outbox->capacity, 0, (capacity - outbox->capacity) * sizeof *outbox->slots);
        outbox->capacity = capacity;
    }
    ENSURE(to != raft->options.id && to != 0);
    struct raft_message *m = &outbox->messages[outbox->count++];
    memset(m, 0, sizeof *m);
    m->type = type;
    m->group = raft->options.group;
    m->from = raft->options.id;
    m->to = to;
    m->term = raft->term;
    const struct peer *peer = raft_peer(raft, to);
    if (peer != NULL) memcpy(m->to_incarnation, peer->incarnation, INCARNATION_BYTES);
    return m;
}

void raft_emit_batch(struct outbox *outbox, struct raft_message *m, const struct batch_ref *batch) {
    struct outbox_slot *slot = &outbox->slots[m - outbox->messages];
    if (m->batch_count == slot->capacity) {
        slot->capacity = slot->capacity == 0 ? 4 : slot->capacity * 2;
        slot->array = mem_realloc(slot->array, slot->capacity * sizeof *slot->array);
    }
    slot->used = true;
    m->batches = slot->array;
    m->batches[m->batch_count] = *batch;
    m->batches[m->batch_count++].buf = buf_ref(batch->buf);
}

void raft_outbox_clear(struct outbox *outbox) {
    for (size_t i = 0; i < outbox->count; i++) {
        struct raft_message *m = &outbox->messages[i];
        struct outbox_slot *slot = &outbox->slots[i];
        if (!slot->used) continue;
        slot->used = false;
        if (m->batches == NULL) { // the caller took the array
            slot->array = NULL;
            slot->capacity = 0;
            continue;
        }
        ENSURE(m->batches == slot->array);
        for (size_t b = 0; b < m->batch_count; b++) batch_ref_release(&m->batches[b]);
    }
    outbox->count = 0;
}

void raft_outbox_free(struct outbox *outbox) {
    raft_outbox_clear(outbox);
    for (size_t i = 0; i < outbox->capacity; i++) mem_free(outbox->slots[i].array);
    mem_free(outbox->messages);
    mem_free(outbox->slots);
    memset(outbox, 0, sizeof *outbox);
}

struct outbox *raft_answer_box(struct raft *raft) {
    bool durable = !raft->hard_dirty && raft->hard_number <= raft->persist_done;
    return durable ? &raft->send : &raft->send_after;
}

void raft_message_encode(const struct raft_message *m, struct writer *w, size_t *tail_bytes) {
    uint8_t *at = writer_extend(w, MESSAGE_HEADER_BYTES + 4);
    at[0] = (uint8_t)m->type;
    at[1] = (uint8_t)((m->reject ? FLAG_REJECT : 0) | (m->disturb ? FLAG_DISTURB : 0));
    put_u16_le(at + 2, MESSAGE_FORMAT);
    put_u32_le(at + 4, m->group);
    put_u32_le(at + 8, m->from);
    put_u32_le(at + 12, m->to);
    memcpy(at + 16, m->to_incarnation, INCARNATION_BYTES);
    const uint64_t numbers[] = {m->term,  m->index,      m->log_term,  m->commit,
                                m->round, m->hint_index, m->hint_term, m->log_time_ms};
    for (size_t i = 0; i < 8; i++) put_u64_le(at + 32 + 8 * i, numbers[i]);
    put_u32_le(at + 96, (uint32_t)m->batch_count);
    put_u32_le(at + 100, 0); // reserved
    *tail_bytes = 0;
    for (size_t i = 0; i < m->batch_count; i++) *tail_bytes += m->batches[i].buf->len;
}

static bool read_batches(struct raft_message *m, struct reader *r, uint32_t count) {
    if (count > reader_left(r) / BATCH_HEADER_BYTES) return false; // no allocation beyond what the bytes can hold
    m->batches = mem_alloc(count * sizeof *m->batches);
    for (uint32_t i = 0; i < count; i++) {
        if (reader_left(r) < BATCH_HEADER_BYTES) return false;
        uint64_t len = (uint64_t)BATCH_HEADER_BYTES + get_u32_le(r->data + r->at + 16);
        if (len > reader_left(r)) return false;
        struct bytes span = read_span(r, (size_t)len);
        struct batch_header header;
        if (!batch_decode(span.data, span.len, &header) || header.group != m->group) return false;
        if (!batch_sections_good(&header, bytes_of(span.data + BATCH_HEADER_BYTES, header.body_bytes))) return false;
        m->batches[m->batch_count++] = (struct batch_ref){header.first_index, header.first_index + header.count - 1,
                                                          header.term, buf_copy(span.data, span.len)};
    }
    return true;
}

bool raft_message_decode(struct raft_message *m, struct bytes span) {
    struct reader r = reader_of(span.data, span.len);
    memset(m, 0, sizeof *m);
    uint8_t type = read_u8(&r), flags = read_u8(&r);
    uint16_t format = read_u16_le(&r);
    m->group = read_u32_le(&r);
    m->from = read_u32_le(&r);
    m->to = read_u32_le(&r);
    struct bytes incarnation = read_span(&r, INCARNATION_BYTES);
    uint64_t *numbers[] = {&m->term,  &m->index,      &m->log_term,  &m->commit,
                           &m->round, &m->hint_index, &m->hint_term, &m->log_time_ms};
    for (size_t i = 0; i < 8; i++) *numbers[i] = read_u64_le(&r);
    uint32_t count = read_u32_le(&r);
    uint32_t reserved = read_u32_le(&r);
    if (r.failed || format != MESSAGE_FORMAT || type < RAFT_MSG_PRE_VOTE || type > RAFT_MSG_SNAPSHOT_OFFER)
        return false;
    if (flags > (FLAG_REJECT | FLAG_DISTURB) || reserved != 0) return false;
    if (m->from < 1 || m->from > 255 || m->to < 1 || m->to > 255) return false;
    if (count > 0 && type != RAFT_MSG_APPEND) return false;
    m->type = (enum raft_message_type)type;
    m->reject = (flags & FLAG_REJECT) != 0;
    m->disturb = (flags & FLAG_DISTURB) != 0;
    memcpy(m->to_incarnation, incarnation.data, INCARNATION_BYTES);
    if ((count > 0 && !read_batches(m, &r, count)) || !reader_done(&r)) {
        raft_message_release(m);
        return false;
    }
    return true;
}
