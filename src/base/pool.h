// Objects of one size, taken and given back in O(1), in slabs that are kept. Not shared between threads.
#pragma once
#include <stddef.h>

struct pool {
    size_t object_bytes; // rounded up to 8
    size_t per_slab;
    void *free_list;
    void *slabs;
    size_t live;  // objects out
    size_t bytes; // memory held
};
void pool_init(struct pool *p, size_t object_bytes, size_t per_slab);
void *pool_take(struct pool *p); // uninitialised
void pool_give(struct pool *p, void *object);
void pool_free(struct pool *p); // every object's memory at once
