// A reference-counted, immutable-after-filling block of bytes. The count is atomic: a batch is at once in the log's
// tail, in a journal write, in a peer's send queue and on its way to apply, on three threads. Nobody writes to the
// bytes once a second reference exists.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct buf {
    _Atomic uint32_t refs;
    uint32_t reserved;
    size_t len;
    uint8_t data[];
};
struct buf *buf_new(size_t len); // refs 1, bytes uninitialised
struct buf *buf_copy(const void *data, size_t len);
struct buf *buf_ref(struct buf *b); // gives b
void buf_unref(struct buf *b);      // frees at 0; NULL is allowed
