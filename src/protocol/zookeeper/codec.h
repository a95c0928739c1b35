// Jute, ZooKeeper's encoding: big-endian integers, one byte booleans, length-prefixed buffers and strings (-1: null),
// vectors.
#pragma once
#include "base/bytes.h"
#include "model/tree/tree.h"

#define JUTE_STAT_BYTES 68u
#define JUTE_REPLY_HEADER_BYTES 16u // xid, zxid, error
#define JUTE_FRAME_BYTES 4u
#define SESSION_SHOWN_BASE                                                                                             \
    0x0100000000000000ull // a session's number is shown with this top byte: never 0xff, never INT64_MIN

static inline int32_t jute_int(struct reader *r) {
    return (int32_t)read_u32_be(r);
}
static inline int64_t jute_long(struct reader *r) {
    return (int64_t)read_u64_be(r);
}
bool jute_bool(struct reader *r);
// A string that may not be null, or a buffer; a negative length but -1, or one past the end, fails the reader.
struct bytes jute_string(struct reader *r);
struct bytes jute_buffer(struct reader *r, bool *null);
// A vector's count: -1 (null) sets *null. Fails when so many items of `item_bytes_min` cannot stand in what is left.
uint32_t jute_count(struct reader *r, size_t item_bytes_min, bool *null);

static inline void jute_write_int(struct writer *w, int32_t v) {
    write_u32_be(w, (uint32_t)v);
}
void jute_write_bytes(struct writer *w, struct bytes span);
void jute_write_stat(struct writer *w, const struct tree_stat *stat);
