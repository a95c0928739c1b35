#include "base/heap.h"

#include "base/alloc.h"
#include "base/assert.h"

#define HEAP_FIRST_ITEMS ((size_t)16)

void heap_init(struct heap *h) {
    *h = (struct heap){0};
}

void heap_free(struct heap *h) {
    mem_free(h->items);
    *h = (struct heap){0};
}

static bool before(const struct heap_item *a, const struct heap_item *b) {
    return a->time != b->time ? a->time < b->time : a->tie < b->tie;
}

static void place(struct heap *h, size_t at, struct heap_item *item) {
    h->items[at] = item;
    item->at = at + 1;
}

static void sift_up(struct heap *h, size_t at, struct heap_item *item) {
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!before(item, h->items[parent])) break;
        place(h, at, h->items[parent]);
        at = parent;
    }
    place(h, at, item);
}

static void sift_down(struct heap *h, size_t at, struct heap_item *item) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && before(h->items[child + 1], h->items[child])) child++;
        if (!before(h->items[child], item)) break;
        place(h, at, h->items[child]);
        at = child;
    }
    place(h, at, item);
}

// Puts an item into the hole at `at`, wherever from there it belongs.
static void settle(struct heap *h, size_t at, struct heap_item *item) {
    if (at > 0 && before(item, h->items[(at - 1) / 2]))
        sift_up(h, at, item);
    else
        sift_down(h, at, item);
}

void heap_set(struct heap *h, struct heap_item *item, uint64_t time, uint64_t tie) {
    item->time = time;
    item->tie = tie;
    if (item->at != 0) {
        ENSURE(item->at <= h->count);
        ENSURE(h->items[item->at - 1] == item);
        settle(h, item->at - 1, item);
        return;
    }
    if (h->count == h->capacity) {
        ENSURE(h->capacity <= SIZE_MAX / 4 / sizeof *h->items);
        h->capacity = h->capacity == 0 ? HEAP_FIRST_ITEMS : h->capacity * 2;
        h->items = mem_realloc(h->items, h->capacity * sizeof *h->items);
    }
    sift_up(h, h->count++, item);
}

void heap_remove(struct heap *h, struct heap_item *item) {
    if (item->at == 0) return;
    ENSURE(item->at <= h->count);
    ENSURE(h->items[item->at - 1] == item);
    size_t hole = item->at - 1;
    struct heap_item *last = h->items[--h->count];
    item->at = 0;
    if (last != item) settle(h, hole, last);
}

struct heap_item *heap_first(const struct heap *h) {
    return h->count == 0 ? NULL : h->items[0];
}
