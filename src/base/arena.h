// Memory for one batch of work: allocation moves a pointer, everything is freed at once. Not shared between threads.
#pragma once
#include "base/bytes.h"
#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *block; // newest first
    size_t used;               // bytes given since the last reset
};
void arena_init(struct arena *a);
void *arena_alloc(struct arena *a, size_t bytes); // aligned to 16; valid until reset or free
struct bytes arena_copy(struct arena *a, struct bytes span);
void arena_reset(struct arena *a); // keeps one block for the next batch
void arena_free(struct arena *a);
