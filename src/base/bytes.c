#include "base/bytes.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define VARINT_BYTES_MAX 10u // 64 bits at 7 a byte
#define WRITER_FIRST_BYTES ((size_t)64)

// Spans

struct bytes bytes_of_text(const char *text) {
    return bytes_of(text, strlen(text));
}

bool bytes_equal(struct bytes a, struct bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int bytes_compare(struct bytes a, struct bytes b) {
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) return order < 0 ? -1 : 1; // memcmp's size is libc's own; only its sign is the same everywhere
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

// Fixed places. The compilers make one load or store of each.

void put_u16_le(uint8_t *at, uint16_t v) {
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
}

void put_u32_le(uint8_t *at, uint32_t v) {
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
    at[2] = (uint8_t)(v >> 16);
    at[3] = (uint8_t)(v >> 24);
}

void put_u64_le(uint8_t *at, uint64_t v) {
    put_u32_le(at, (uint32_t)v);
    put_u32_le(at + 4, (uint32_t)(v >> 32));
}

void put_u32_be(uint8_t *at, uint32_t v) {
    at[0] = (uint8_t)(v >> 24);
    at[1] = (uint8_t)(v >> 16);
    at[2] = (uint8_t)(v >> 8);
    at[3] = (uint8_t)v;
}

void put_u64_be(uint8_t *at, uint64_t v) {
    put_u32_be(at, (uint32_t)(v >> 32));
    put_u32_be(at + 4, (uint32_t)v);
}

uint16_t get_u16_le(const uint8_t *at) {
    return (uint16_t)(at[0] | at[1] << 8);
}

uint32_t get_u32_le(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint64_t get_u64_le(const uint8_t *at) {
    return get_u32_le(at) | (uint64_t)get_u32_le(at + 4) << 32;
}

uint32_t get_u32_be(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

uint64_t get_u64_be(const uint8_t *at) {
    return (uint64_t)get_u32_be(at) << 32 | get_u32_be(at + 4);
}

// Reader

struct reader reader_of(const void *data, size_t len) {
    return (struct reader){.data = (const uint8_t *)data, .len = len};
}

size_t reader_left(const struct reader *r) {
    return r->failed ? 0 : r->len - r->at;
}

bool reader_done(const struct reader *r) {
    return !r->failed && r->at == r->len;
}

// The next `len` bytes, or NULL after setting `failed`. The only place that moves the reader.
static const uint8_t *reader_take(struct reader *r, size_t len) {
    ENSURE(r->at <= r->len);
    if (r->failed || len > r->len - r->at) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *taken = r->data + r->at;
    r->at += len;
    return taken;
}

uint8_t read_u8(struct reader *r) {
    const uint8_t *at = reader_take(r, 1);
    return at == NULL ? 0 : *at;
}

uint16_t read_u16_le(struct reader *r) {
    const uint8_t *at = reader_take(r, 2);
    return at == NULL ? 0 : get_u16_le(at);
}

uint32_t read_u32_le(struct reader *r) {
    const uint8_t *at = reader_take(r, 4);
    return at == NULL ? 0 : get_u32_le(at);
}

uint64_t read_u64_le(struct reader *r) {
    const uint8_t *at = reader_take(r, 8);
    return at == NULL ? 0 : get_u64_le(at);
}

uint32_t read_u32_be(struct reader *r) {
    const uint8_t *at = reader_take(r, 4);
    return at == NULL ? 0 : get_u32_be(at);
}

uint64_t read_u64_be(struct reader *r) {
    const uint8_t *at = reader_take(r, 8);
    return at == NULL ? 0 : get_u64_be(at);
}

uint64_t read_varint(struct reader *r) {
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        const uint8_t *at = reader_take(r, 1);
        if (at == NULL) return 0;
        value |= (uint64_t)(*at & 0x7f) << (7 * i);
        if (*at & 0x80) continue;
        // One value has one spelling (a digest or a comparison of bytes may rest on it): no closing zero groups, and
        // the tenth byte holds the 64th bit alone.
        if ((i > 0 && *at == 0) || (i == VARINT_BYTES_MAX - 1 && *at > 1)) break;
        return value;
    }
    r->failed = true;
    return 0;
}

struct bytes read_span(struct reader *r, size_t len) {
    if (len == 0) { // apart, because NULL + 0 is undefined in C
        bool empty_data = r->data == NULL;
        return bytes_of(r->failed || empty_data ? NULL : r->data + r->at, 0);
    }
    const uint8_t *at = reader_take(r, len);
    return at == NULL ? bytes_of(NULL, 0) : bytes_of(at, len);
}

struct bytes read_blob(struct reader *r) {
    uint64_t len = read_varint(r);
    if (len > reader_left(r)) { // before it is cut to a size_t
        r->failed = true;
        return bytes_of(NULL, 0);
    }
    return read_span(r, (size_t)len);
}

// Writer

void writer_init(struct writer *w) {
    *w = (struct writer){0};
}

void writer_free(struct writer *w) {
    mem_free(w->data);
    *w = (struct writer){0};
}

void writer_clear(struct writer *w) {
    w->len = 0;
}

void writer_reserve(struct writer *w, size_t more) {
    ENSURE(w->len <= w->capacity);
    if (more <= w->capacity - w->len) return;
    ENSURE(more <= SIZE_MAX / 4 && w->len <= SIZE_MAX / 4);
    size_t need = w->len + more;
    size_t capacity = w->capacity == 0 ? WRITER_FIRST_BYTES : w->capacity * 2;
    if (capacity < need) capacity = need;
    w->data = mem_realloc(w->data, capacity);
    w->capacity = capacity;
}

uint8_t *writer_extend(struct writer *w, size_t more) {
    writer_reserve(w, more);
    if (w->data == NULL) return NULL; // only when nothing was asked for and nothing was ever written
    uint8_t *at = w->data + w->len;
    w->len += more;
    return at;
}

void writer_consume(struct writer *w, size_t front) {
    ENSURE(front <= w->len);
    if (front == 0) return;
    w->len -= front;
    if (w->len > 0) memmove(w->data, w->data + front, w->len);
}

void write_u8(struct writer *w, uint8_t v) {
    *writer_extend(w, 1) = v;
}
void write_u16_le(struct writer *w, uint16_t v) {
    put_u16_le(writer_extend(w, 2), v);
}
void write_u32_le(struct writer *w, uint32_t v) {
    put_u32_le(writer_extend(w, 4), v);
}
void write_u64_le(struct writer *w, uint64_t v) {
    put_u64_le(writer_extend(w, 8), v);
}
void write_u32_be(struct writer *w, uint32_t v) {
    put_u32_be(writer_extend(w, 4), v);
}
void write_u64_be(struct writer *w, uint64_t v) {
    put_u64_be(writer_extend(w, 8), v);
}

size_t varint_size(uint64_t v) {
    unsigned bits = 64u - (unsigned)__builtin_clzll(v | 1);
    return (bits + 6) / 7;
}

void write_varint(struct writer *w, uint64_t v) {
    uint8_t *at = writer_extend(w, varint_size(v));
    while (v >= 0x80) {
        *at++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *at++ = (uint8_t)v;
    ENSURE(at == w->data + w->len);
}

void write_span(struct writer *w, struct bytes span) {
    if (span.len > 0) memcpy(writer_extend(w, span.len), span.data, span.len);
}

void write_blob(struct writer *w, struct bytes span) {
    write_varint(w, span.len);
    write_span(w, span);
}
