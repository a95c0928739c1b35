// Spans of bytes, a reader that cannot run past its end, and a writer that grows.
// The small functions are inline: every request passes through dozens of them.
// Integers: _le little-endian (journal, peers, commands), _be big-endian (ZooKeeper). varint: LEB128, 1 to 10 bytes.
#pragma once
#include "base/assert.h"
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes { // a borrowed span; data may be NULL only when len is 0, unless a caller gives NULL a meaning
    const uint8_t *data;
    size_t len;
};

static inline struct bytes bytes_of(const void *data, size_t len) {
    return (struct bytes){(const uint8_t *)data, len};
}
struct bytes bytes_of_text(const char *text); // without the ending NUL
bool bytes_equal(struct bytes a, struct bytes b);
int bytes_compare(struct bytes a, struct bytes b); // as memcmp, the shorter first; -1, 0, 1

// Fixed places, for headers that are filled in later. The caller vouches for the room. (The compilers make one load or
// store of each.)
static inline void put_u16_le(uint8_t *at, uint16_t v) {
    v = htole16(v);
    memcpy(at, &v, sizeof v);
}
static inline void put_u32_le(uint8_t *at, uint32_t v) {
    v = htole32(v);
    memcpy(at, &v, sizeof v);
}
static inline void put_u64_le(uint8_t *at, uint64_t v) {
    v = htole64(v);
    memcpy(at, &v, sizeof v);
}
static inline void put_u32_be(uint8_t *at, uint32_t v) {
    v = htobe32(v);
    memcpy(at, &v, sizeof v);
}
static inline void put_u64_be(uint8_t *at, uint64_t v) {
    v = htobe64(v);
    memcpy(at, &v, sizeof v);
}
static inline uint16_t get_u16_le(const uint8_t *at) {
    return (uint16_t)(at[0] | at[1] << 8);
}
static inline uint32_t get_u32_le(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}
static inline uint64_t get_u64_le(const uint8_t *at) {
    return get_u32_le(at) | (uint64_t)get_u32_le(at + 4) << 32;
}
static inline uint32_t get_u32_be(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}
static inline uint64_t get_u64_be(const uint8_t *at) {
    return (uint64_t)get_u32_be(at) << 32 | get_u32_be(at + 4);
}

// Reader: on the first read past the end `failed` is set, and every read from then on gives 0 or an empty span.
// So a decoder reads all its fields and asks once at its end.
struct reader {
    const uint8_t *data;
    size_t len;
    size_t at;
    bool failed;
};
static inline struct reader reader_of(const void *data, size_t len) {
    return (struct reader){.data = (const uint8_t *)data, .len = len};
}
static inline size_t reader_left(const struct reader *r) {
    return r->failed ? 0 : r->len - r->at;
}
static inline bool reader_done(const struct reader *r) { // not failed and nothing left
    return !r->failed && r->at == r->len;
}
// The next `len` bytes, or NULL after setting `failed`. The only place that moves the reader.
static inline const uint8_t *reader_take(struct reader *r, size_t len) {
    ENSURE(r->at <= r->len);
    if (r->failed || len > r->len - r->at) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *taken = r->data + r->at;
    r->at += len;
    return taken;
}
static inline uint8_t read_u8(struct reader *r) {
    const uint8_t *at = reader_take(r, 1);
    return at == NULL ? 0 : *at;
}
static inline uint16_t read_u16_le(struct reader *r) {
    const uint8_t *at = reader_take(r, 2);
    return at == NULL ? 0 : get_u16_le(at);
}
static inline uint32_t read_u32_le(struct reader *r) {
    const uint8_t *at = reader_take(r, 4);
    return at == NULL ? 0 : get_u32_le(at);
}
static inline uint64_t read_u64_le(struct reader *r) {
    const uint8_t *at = reader_take(r, 8);
    return at == NULL ? 0 : get_u64_le(at);
}
static inline uint32_t read_u32_be(struct reader *r) {
    const uint8_t *at = reader_take(r, 4);
    return at == NULL ? 0 : get_u32_be(at);
}
static inline uint64_t read_u64_be(struct reader *r) {
    const uint8_t *at = reader_take(r, 8);
    return at == NULL ? 0 : get_u64_be(at);
}
uint64_t reader_varint_long(struct reader *r);         // what read_varint does with more than one byte
static inline uint64_t read_varint(struct reader *r) { // over-long or > 64 bits: failed
    if (!r->failed && r->at < r->len && r->data[r->at] < 0x80) return r->data[r->at++];
    return reader_varint_long(r);
}
static inline struct bytes read_span(struct reader *r, size_t len) { // points into the reader's bytes
    if (len == 0) {                                                  // apart, because NULL + 0 is undefined in C
        bool empty_data = r->data == NULL;
        return bytes_of(r->failed || empty_data ? NULL : r->data + r->at, 0);
    }
    const uint8_t *at = reader_take(r, len);
    return at == NULL ? bytes_of(NULL, 0) : bytes_of(at, len);
}
static inline struct bytes read_blob(struct reader *r) { // varint length, then the bytes
    uint64_t len = read_varint(r);
    if (len > reader_left(r)) { // before it is cut to a size_t
        r->failed = true;
        return bytes_of(NULL, 0);
    }
    return read_span(r, (size_t)len);
}

// Writer: an owned, growing buffer.
struct writer {
    uint8_t *data;
    size_t len;
    size_t capacity;
};
void writer_init(struct writer *w);                                   // allocates nothing
void writer_free(struct writer *w);                                   // may be used again after
void writer_clear(struct writer *w);                                  // len = 0, memory kept
void writer_reserve(struct writer *w, size_t more);                   // room for `more` bytes behind len
void writer_consume(struct writer *w, size_t front);                  // drops the first `front` bytes
static inline uint8_t *writer_extend(struct writer *w, size_t more) { // len += more; gives the uninitialised new bytes
    if (more > w->capacity - w->len) writer_reserve(w, more);
    if (w->data == NULL) return NULL; // only when nothing was asked for and nothing was ever written
    uint8_t *at = w->data + w->len;
    w->len += more;
    return at;
}
static inline void write_u8(struct writer *w, uint8_t v) {
    *writer_extend(w, 1) = v;
}
static inline void write_u16_le(struct writer *w, uint16_t v) {
    put_u16_le(writer_extend(w, 2), v);
}
static inline void write_u32_le(struct writer *w, uint32_t v) {
    put_u32_le(writer_extend(w, 4), v);
}
static inline void write_u64_le(struct writer *w, uint64_t v) {
    put_u64_le(writer_extend(w, 8), v);
}
static inline void write_u32_be(struct writer *w, uint32_t v) {
    put_u32_be(writer_extend(w, 4), v);
}
static inline void write_u64_be(struct writer *w, uint64_t v) {
    put_u64_be(writer_extend(w, 8), v);
}
static inline size_t varint_size(uint64_t v) {
    unsigned bits = 64u - (unsigned)__builtin_clzll(v | 1);
    return (bits + 6) / 7;
}
static inline void write_varint(struct writer *w, uint64_t v) {
    uint8_t *at = writer_extend(w, varint_size(v));
    for (; v >= 0x80; v >>= 7) *at++ = (uint8_t)(v | 0x80);
    *at = (uint8_t)v;
}
// Signed numbers, small ones short: 0, -1, 1, -2 ... as 0, 1, 2, 3 ...
static inline void write_varint_signed(struct writer *w, int64_t v) {
    write_varint(w, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}
static inline int64_t read_varint_signed(struct reader *r) {
    uint64_t v = read_varint(r);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}
static inline void write_span(struct writer *w, struct bytes span) {
    if (span.len > 0) memcpy(writer_extend(w, span.len), span.data, span.len);
}
static inline void write_blob(struct writer *w, struct bytes span) { // varint length, then the bytes
    write_varint(w, span.len);
    write_span(w, span);
}
