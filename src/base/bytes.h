// Spans of bytes, a reader that cannot run past its end, and a writer that grows.
// Integers: _le little-endian (journal, peers, commands), _be big-endian (ZooKeeper). varint: LEB128, 1 to 10 bytes.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

// Reader: on the first read past the end `failed` is set, and every read from then on gives 0 or an empty span.
// So a decoder reads all its fields and asks once at its end.
struct reader {
    const uint8_t *data;
    size_t len;
    size_t at;
    bool failed;
};
struct reader reader_of(const void *data, size_t len);
size_t reader_left(const struct reader *r);
bool reader_done(const struct reader *r); // not failed and nothing left
uint8_t read_u8(struct reader *r);
uint16_t read_u16_le(struct reader *r);
uint32_t read_u32_le(struct reader *r);
uint64_t read_u64_le(struct reader *r);
uint32_t read_u32_be(struct reader *r);
uint64_t read_u64_be(struct reader *r);
uint64_t read_varint(struct reader *r);               // over-long or > 64 bits: failed
struct bytes read_span(struct reader *r, size_t len); // points into the reader's bytes
struct bytes read_blob(struct reader *r);             // varint length, then the bytes

// Writer: an owned, growing buffer.
struct writer {
    uint8_t *data;
    size_t len;
    size_t capacity;
};
void writer_init(struct writer *w);                    // allocates nothing
void writer_free(struct writer *w);                    // may be used again after
void writer_clear(struct writer *w);                   // len = 0, memory kept
void writer_reserve(struct writer *w, size_t more);    // room for `more` bytes behind len
uint8_t *writer_extend(struct writer *w, size_t more); // len += more; gives the uninitialised new bytes
void writer_consume(struct writer *w, size_t front);   // drops the first `front` bytes
void write_u8(struct writer *w, uint8_t v);
void write_u16_le(struct writer *w, uint16_t v);
void write_u32_le(struct writer *w, uint32_t v);
void write_u64_le(struct writer *w, uint64_t v);
void write_u32_be(struct writer *w, uint32_t v);
void write_u64_be(struct writer *w, uint64_t v);
void write_varint(struct writer *w, uint64_t v);
void write_span(struct writer *w, struct bytes span);
void write_blob(struct writer *w, struct bytes span); // varint length, then the bytes
size_t varint_size(uint64_t v);

// Fixed places, for headers that are filled in later. The caller vouches for the room.
void put_u16_le(uint8_t *at, uint16_t v);
void put_u32_le(uint8_t *at, uint32_t v);
void put_u64_le(uint8_t *at, uint64_t v);
void put_u32_be(uint8_t *at, uint32_t v);
void put_u64_be(uint8_t *at, uint64_t v);
uint16_t get_u16_le(const uint8_t *at);
uint32_t get_u32_le(const uint8_t *at);
uint64_t get_u64_le(const uint8_t *at);
uint32_t get_u32_be(const uint8_t *at);
uint64_t get_u64_be(const uint8_t *at);
