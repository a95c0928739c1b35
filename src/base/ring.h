// A growing first-in-first-out queue of equal-sized elements, by value. Not shared between threads (that is mailbox.h).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    uint8_t *slots;
    size_t element_bytes;
    size_t capacity; // a power of two, or 0 before the first push
    size_t head;     // position of the oldest
    size_t count;
};
void ring_init(struct ring *r, size_t element_bytes);
void ring_free(struct ring *r);
void *ring_push(struct ring *r); // room for one more at the end, zeroed; pointer valid until the next push
void *ring_at(const struct ring *r, size_t i); // 0 is the oldest; i < count
void *ring_front(const struct ring *r);        // NULL when empty
void *ring_back(const struct ring *r);
void ring_pop(struct ring *r);      // drops the oldest
void ring_pop_back(struct ring *r); // drops the newest
void ring_clear(struct ring *r);
