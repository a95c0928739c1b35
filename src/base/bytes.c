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

// Reader

uint64_t reader_varint_long(struct reader *r) {
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

void writer_consume(struct writer *w, size_t front) {
    ENSURE(front <= w->len);
    if (front == 0) return;
    w->len -= front;
    if (w->len > 0) memmove(w->data, w->data + front, w->len);
}
