// What the fuzz harnesses share: input taken apart byte by byte, and checks that stay on. A harness turns bytes into
// what an adversary, a damaged disk or a confused user could send; ENSURE in a harness states what must hold then.
#pragma once
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

// The rest of an input. Past its end everything is 0, so that every input means something.
struct take {
    const uint8_t *data;
    size_t left;
};
static inline struct take take_of(const uint8_t *data, size_t size) {
    return (struct take){data, size};
}
static inline uint8_t take_u8(struct take *t) {
    if (t->left == 0) return 0;
    t->left--;
    return *t->data++;
}
static inline uint32_t take_u16(struct take *t) {
    uint32_t high = take_u8(t);
    return high << 8 | take_u8(t);
}
static inline uint32_t take_u32(struct take *t) {
    uint32_t high = take_u16(t);
    return high << 16 | take_u16(t);
}
static inline uint64_t take_u64(struct take *t) {
    uint64_t high = take_u32(t);
    return high << 32 | take_u32(t);
}
// Numbers around which mistakes live: a class, then as many bytes as it needs.
static inline uint64_t take_number(struct take *t) {
    uint8_t class = take_u8(t);
    switch (class & 7) {
    case 0:
        return (uint64_t)(class >> 3);
    case 1:
        return take_u8(t);
    case 2:
        return take_u16(t);
    case 3:
        return take_u32(t);
    case 4:
        return take_u64(t);
    case 5:
        return UINT64_MAX - (uint64_t)(class >> 3);
    case 6:
        return (uint64_t)INT64_MAX - 2 + (class >> 3);
    default:
        return 1ull << (class >> 2 & 63);
    }
}
static inline struct bytes take_bytes(struct take *t, size_t len) { // fewer when there are no more
    if (len > t->left) len = t->left;
    struct bytes taken = bytes_of(t->data, len);
    t->data += len;
    t->left -= len;
    return taken;
}
// A copy that ends where ASan sees a read behind it.
static inline uint8_t *exact(struct bytes b) {
    uint8_t *copy = mem_alloc(b.len);
    if (b.len > 0) memcpy(copy, b.data, b.len);
    return copy;
}
