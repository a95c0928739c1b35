// Bytes of the frames that replicas send each other beside Raft's messages: type u8, then the fields of its row as
// varints (digests and ids raw), then the tail as it is. One flat shape keeps a frame's whole layout in one table row.
#include "replica/core_internal.h"

enum {
    HAS_A = 1,
    HAS_B = 2,
    HAS_C = 4,
    HAS_D = 8,
    HAS_ATTEMPT = 16,
    HAS_COUNT = 32,
    HAS_FLAGS = 64,
    HAS_SIGNED = 128,
    HAS_DIGEST = 256,
    HAS_ID = 512,
    HAS_TAIL = 1024
};

static const uint16_t shapes[] = {
    // a boot, b last_seq, c credit
    [FRAME_STREAM_STATE] = HAS_ATTEMPT | HAS_FLAGS | HAS_A | HAS_B | HAS_C,
    // a boot, b first_seq, tail commands
    [FRAME_FORWARD] = HAS_ATTEMPT | HAS_A | HAS_B | HAS_COUNT | HAS_TAIL,
    [FRAME_STREAM_ASK] = HAS_ATTEMPT,
    // a round, b log time known, c sample's index and its digest, signed Unix ms, tail count pairs
    [FRAME_KEEPALIVE] = HAS_A | HAS_B | HAS_C | HAS_SIGNED | HAS_DIGEST | HAS_COUNT | HAS_TAIL,
    // a round, tail count pairs that were not acknowledged
    [FRAME_KEEPALIVE_ACK] = HAS_A | HAS_COUNT | HAS_TAIL,
    [FRAME_READ_ASK] = HAS_A,
    // a id, b index
    [FRAME_READ_ANSWER] = HAS_A | HAS_B | HAS_FLAGS,
    // a index, b its term, c bytes
    [FRAME_SNAPSHOT_OFFER] = HAS_A | HAS_B | HAS_C | HAS_FLAGS | HAS_ID,
    // a index, b its term, c offset
    [FRAME_SNAPSHOT_ASK] = HAS_A | HAS_B | HAS_C,
    [FRAME_SNAPSHOT_CHUNK] = HAS_A | HAS_B | HAS_C | HAS_FLAGS | HAS_TAIL,
    [FRAME_SNAPSHOT_DONE] = HAS_A | HAS_B | HAS_FLAGS,
    [FRAME_SNAPSHOT_WANT] = HAS_A,
    // a index of the sample
    [FRAME_DIVERGED] = HAS_A | HAS_FLAGS,
    // a request, b what, c member, tail address
    [FRAME_ADMIN] = HAS_A | HAS_B | HAS_C | HAS_TAIL,
    // a request, signed error, tail text
    [FRAME_ADMIN_DONE] = HAS_A | HAS_SIGNED | HAS_TAIL,
};

static uint16_t shape_of(uint8_t type) {
    return type < sizeof shapes / sizeof shapes[0] ? shapes[type] : 0;
}

void core_frame_encode(const struct core_frame *frame, struct writer *w) {
    uint16_t shape = shape_of(frame->type);
    ENSURE(shape != 0);
    write_u8(w, frame->type);
    write_varint(w, frame->term);
    if (shape & HAS_ATTEMPT) write_varint(w, frame->attempt);
    if (shape & HAS_FLAGS) write_u8(w, frame->flags);
    if (shape & HAS_A) write_varint(w, frame->a);
    if (shape & HAS_B) write_varint(w, frame->b);
    if (shape & HAS_C) write_varint(w, frame->c);
    if (shape & HAS_D) write_varint(w, frame->d);
    if (shape & HAS_SIGNED) write_u64_le(w, (uint64_t)frame->signed_value);
    if (shape & HAS_DIGEST) {
        write_u64_le(w, frame->digest.lo);
        write_u64_le(w, frame->digest.hi);
    }
    if (shape & HAS_ID) write_span(w, bytes_of(frame->id16, 16));
    if (shape & HAS_COUNT) write_varint(w, frame->count);
}

bool core_frame_decode(struct core_frame *frame, struct bytes span) {
    struct reader r = reader_of(span.data, span.len);
    memset(frame, 0, sizeof *frame);
    frame->type = read_u8(&r);
    uint16_t shape = shape_of(frame->type);
    if (r.failed || shape == 0) return false;
    frame->term = read_varint(&r);
    if (shape & HAS_ATTEMPT) frame->attempt = (uint32_t)read_varint(&r);
    if (shape & HAS_FLAGS) frame->flags = read_u8(&r);
    if (shape & HAS_A) frame->a = read_varint(&r);
    if (shape & HAS_B) frame->b = read_varint(&r);
    if (shape & HAS_C) frame->c = read_varint(&r);
    if (shape & HAS_D) frame->d = read_varint(&r);
    if (shape & HAS_SIGNED) frame->signed_value = (int64_t)read_u64_le(&r);
    if (shape & HAS_DIGEST) {
        frame->digest.lo = read_u64_le(&r);
        frame->digest.hi = read_u64_le(&r);
    }
    if (shape & HAS_ID) {
        struct bytes id = read_span(&r, 16);
        if (id.len == 16) memcpy(frame->id16, id.data, 16);
    }
    if (shape & HAS_COUNT) {
        uint64_t count = read_varint(&r);
        if (count > UINT32_MAX) return false;
        frame->count = (uint32_t)count;
    }
    if (r.failed) return false;
    if (shape & HAS_TAIL) frame->tail = read_span(&r, reader_left(&r));
    return reader_done(&r);
}
