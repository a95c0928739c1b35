#include "base/pool.h"

#include <stdint.h>

#include "base/alloc.h"
#include "base/asan.h"
#include "base/assert.h"

// A slab is filled from its front; objects given back go to the free list first. So a new slab costs no walk over it.
struct pool_slab {
    struct pool_slab *next;
    size_t given; // objects handed out of it so far, live or on the free list
    _Alignas(16) uint8_t data[];
};
struct pool_free { // lies in a free object's first bytes
    struct pool_free *next;
};

void pool_init(struct pool *p, size_t object_bytes, size_t per_slab) {
    ENSURE(object_bytes > 0 && per_slab > 0);
    size_t rounded = (object_bytes + 7) & ~(size_t)7;
    ENSURE(rounded >= object_bytes);
    ENSURE(per_slab <= (SIZE_MAX / 2 - sizeof(struct pool_slab)) / rounded);
    *p = (struct pool){.object_bytes = rounded, .per_slab = per_slab};
}

static size_t slab_bytes(const struct pool *p) {
    return sizeof(struct pool_slab) + p->object_bytes * p->per_slab;
}

void *pool_take(struct pool *p) {
    p->live++;
    struct pool_free *object = p->free_list;
    if (object != NULL) {
        ASAN_SHOW(object, p->object_bytes);
        p->free_list = object->next;
        return object;
    }
    struct pool_slab *slab = p->slabs;
    if (slab == NULL || slab->given == p->per_slab) {
        size_t bytes = slab_bytes(p);
        slab = mem_zpages(bytes);
        *slab = (struct pool_slab){.next = p->slabs};
        ASAN_HIDE(slab->data, p->object_bytes * p->per_slab);
        p->slabs = slab;
        p->bytes += bytes;
    }
    uint8_t *memory = slab->data + p->object_bytes * slab->given++;
    ASAN_SHOW(memory, p->object_bytes);
    return memory;
}

void pool_give(struct pool *p, void *object) {
    ENSURE(object != NULL);
    ENSURE(p->live > 0);
    struct pool_free *link = object;
    link->next = p->free_list;
    p->free_list = link;
    p->live--;
    ASAN_HIDE(object, p->object_bytes);
}

void pool_free(struct pool *p) {
    struct pool_slab *slab = p->slabs;
    while (slab != NULL) {
        struct pool_slab *next = slab->next;
        ASAN_SHOW(slab->data, p->object_bytes * p->per_slab);
        mem_zpages_free(slab, slab_bytes(p));
        slab = next;
    }
    *p = (struct pool){.object_bytes = p->object_bytes, .per_slab = p->per_slab};
}
