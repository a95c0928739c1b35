#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/asan.h"
#include "base/assert.h"

#define ARENA_BLOCK_FIRST ((size_t)64 << 10) // most batches fit
#define ARENA_BLOCK_KEEP ((size_t)1 << 20)   // blocks double up to here; a larger one is not kept over a reset

struct arena_block {
    struct arena_block *next; // older
    size_t capacity, at;      // bytes of data; bytes given of them
    _Alignas(16) uint8_t data[];
};

void arena_init(struct arena *a) {
    *a = (struct arena){0};
}

static void block_add(struct arena *a, size_t need) {
    size_t capacity = a->block == NULL ? ARENA_BLOCK_FIRST : a->block->capacity * 2;
    if (capacity > ARENA_BLOCK_KEEP) capacity = ARENA_BLOCK_KEEP;
    if (capacity < need) capacity = need;
    struct arena_block *block = mem_alloc(sizeof *block + capacity);
    *block = (struct arena_block){.next = a->block, .capacity = capacity};
    ASAN_HIDE(block->data, capacity);
    a->block = block;
}

static void block_free(struct arena_block *block) {
    ASAN_SHOW(block->data, block->capacity);
    mem_free(block);
}

void *arena_alloc(struct arena *a, size_t bytes) {
    ENSURE(bytes <= SIZE_MAX / 4);
    // Rounded up, and never 0, so that each pointer is its own.
    size_t need = bytes == 0 ? 16 : (bytes + 15) & ~(size_t)15;
    if (a->block == NULL || a->block->capacity - a->block->at < need) block_add(a, need);
    struct arena_block *block = a->block;
    uint8_t *memory = block->data + block->at;
    block->at += need;
    a->used += need;
    ENSURE(block->at <= block->capacity);
    ASAN_SHOW(memory, bytes);
    return memory;
}

struct bytes arena_copy(struct arena *a, struct bytes span) {
    uint8_t *copy = arena_alloc(a, span.len);
    if (span.len > 0) memcpy(copy, span.data, span.len);
    return bytes_of(copy, span.len);
}

void arena_reset(struct arena *a) {
    // The largest block that is not beyond the limit stays: the next batch is likely to be as large as this one.
    struct arena_block *kept = NULL, *block = a->block;
    while (block != NULL) {
        struct arena_block *next = block->next;
        bool keep = block->capacity <= ARENA_BLOCK_KEEP && (kept == NULL || block->capacity > kept->capacity);
        struct arena_block *loser = keep ? kept : block;
        if (keep) kept = block;
        if (loser != NULL) block_free(loser);
        block = next;
    }
    if (kept != NULL) {
        kept->next = NULL;
        kept->at = 0;
        ASAN_HIDE(kept->data, kept->capacity);
    }
    a->block = kept;
    a->used = 0;
}

void arena_free(struct arena *a) {
    while (a->block != NULL) {
        struct arena_block *next = a->block->next;
        block_free(a->block);
        a->block = next;
    }
    a->used = 0;
}
