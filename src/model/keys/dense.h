// A dense array of items found by name: what a database's keys, a set's members and a hash's fields stand in.
//
//   items  [0] [1] [2] ... [count-1]        the order is state: alike on every replica, saved as it is
//   slots  {hash, place + 1} ...            an index over it, never saved, seen by no result
//
// An item is taken out by putting the last one into its place. Up to DENSE_PLAIN_MAX items there is no index: a walk is
// as fast. The index grows two slots at each insert while an older one is left, so that no insert pauses.
#pragma once
#include "base/bytes.h"

#define DENSE_PLAIN_MAX 8u
#define DENSE_NONE UINT32_MAX

struct dense_slot {
    uint32_t hash, place; // place + 1; 0: free
};
struct dense_index {
    struct dense_slot *slots;
    uint32_t mask, count;
};
struct dense {
    void **items;
    uint32_t count, capacity;
    struct dense_index index, old;
    uint32_t old_at; // slots of `old` from here on are still to be moved
};
struct dense_kind {
    struct bytes (*name)(const void *item);
    void (*moved)(void *context, void *item, uint32_t place); // it stands there now; may be NULL
    uint64_t seed;                                            // of the index
    void *context;
};
void dense_free(struct dense *d);                                                             // not the items
uint32_t dense_find(const struct dense *d, const struct dense_kind *kind, struct bytes name); // DENSE_NONE: absent
uint32_t dense_add(struct dense *d, const struct dense_kind *kind, void *item); // absent before; its place
void dense_put(struct dense *d, uint32_t place, void *item);                    // the same name in another allocation
void dense_remove(struct dense *d, const struct dense_kind *kind, uint32_t place);
size_t dense_memory(uint32_t count); // deterministic: as if built by `count` adds
