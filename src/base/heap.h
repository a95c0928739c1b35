// An intrusive binary heap of deadlines: (time, tie) ascending, so equal times have a fixed order on every node.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_item {
    uint64_t time, tie;
    size_t at; // place in the heap + 1; 0: not in a heap
};
struct heap {
    struct heap_item **items;
    size_t count, capacity;
};
void heap_init(struct heap *h);
void heap_free(struct heap *h);                                                     // not the items
void heap_set(struct heap *h, struct heap_item *item, uint64_t time, uint64_t tie); // inserts or moves
void heap_remove(struct heap *h, struct heap_item *item);                           // not in a heap: nothing
struct heap_item *heap_first(const struct heap *h);                                 // NULL when empty
