#include "base/buf.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct buf *buf_new(size_t len) {
    ENSURE(len <= SIZE_MAX / 2);
    struct buf *b = mem_alloc(sizeof *b + len);
    atomic_init(&b->refs, 1);
    b->reserved = 0;
    b->len = len;
    return b;
}

struct buf *buf_copy(const void *data, size_t len) {
    struct buf *b = buf_new(len);
    if (len > 0) memcpy(b->data, data, len);
    return b;
}

struct buf *buf_ref(struct buf *b) {
    // Relaxed is enough: whoever takes a reference already has one, so the count cannot reach 0 meanwhile.
    uint32_t before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    ENSURE(before > 0 && before < UINT32_MAX);
    return b;
}

void buf_unref(struct buf *b) {
    if (b == NULL) return;
    // Release: this thread's reads of the bytes come before the free. Acquire: the freeing thread sees all of them
    // done.
    uint32_t before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    ENSURE(before > 0);
    if (before == 1) mem_free(b);
}
