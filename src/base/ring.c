#include "base/ring.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define RING_FIRST_ELEMENTS ((size_t)8)

void ring_init(struct ring *r, size_t element_bytes) {
    ENSURE(element_bytes > 0);
    *r = (struct ring){.element_bytes = element_bytes};
}

void ring_free(struct ring *r) {
    mem_free(r->slots);
    *r = (struct ring){.element_bytes = r->element_bytes};
}

static uint8_t *slot_at(const struct ring *r, size_t i) {
    return r->slots + ((r->head + i) & (r->capacity - 1)) * r->element_bytes;
}

// Twice the room, the oldest at place 0: [c d | a b] becomes [a b c d . . . .].
static void grow(struct ring *r) {
    ENSURE(r->count == r->capacity);
    ENSURE(r->capacity <= SIZE_MAX / 4 / r->element_bytes);
    size_t capacity = r->capacity == 0 ? RING_FIRST_ELEMENTS : r->capacity * 2;
    uint8_t *slots = mem_alloc(capacity * r->element_bytes);
    if (r->capacity > 0) {
        size_t until_end = (r->capacity - r->head) * r->element_bytes, wrapped = r->head * r->element_bytes;
        memcpy(slots, r->slots + wrapped, until_end);
        memcpy(slots + until_end, r->slots, wrapped);
    }
    mem_free(r->slots);
    r->slots = slots;
    r->capacity = capacity;
    r->head = 0;
}

void *ring_push(struct ring *r) {
    if (r->count == r->capacity) grow(r);
    uint8_t *slot = slot_at(r, r->count++);
    return memset(slot, 0, r->element_bytes);
}

void *ring_at(const struct ring *r, size_t i) {
    ENSURE(i < r->count);
    return slot_at(r, i);
}

void *ring_front(const struct ring *r) {
    return r->count == 0 ? NULL : slot_at(r, 0);
}

void *ring_back(const struct ring *r) {
    return r->count == 0 ? NULL : slot_at(r, r->count - 1);
}

void ring_pop(struct ring *r) {
    ENSURE(r->count > 0);
    r->head = (r->head + 1) & (r->capacity - 1);
    r->count--;
}

void ring_pop_back(struct ring *r) {
    ENSURE(r->count > 0);
    r->count--;
}

void ring_clear(struct ring *r) {
    r->head = r->count = 0;
}
