// A bucket that leaks evenly, in whole numbers: what it holds is kept in units times the period, so that `rate` units
// a period leak away as `rate` a millisecond and no remainder is ever lost. Level 0 is a token bucket that is full.
// The caller keeps units * period_ms below 2^62.
#pragma once
#include <stdint.h>

struct bucket {
    uint64_t level; // units * period_ms, as of at_ms
    uint64_t at_ms;
};

static inline uint64_t bucket_level(const struct bucket *b, uint64_t rate, uint64_t now_ms) {
    uint64_t passed = now_ms > b->at_ms ? now_ms - b->at_ms : 0;
    return passed > b->level / rate ? 0 : b->level - passed * rate; // divided first: the product could overflow
}
static inline uint64_t bucket_wait_ms(uint64_t too_much, uint64_t rate) { // until so much has leaked, rounded up
    return too_much / rate + (too_much % rate != 0);
}
static inline void bucket_add(struct bucket *b, uint64_t rate, uint64_t more, uint64_t now_ms) {
    b->level = bucket_level(b, rate, now_ms) + more;
    b->at_ms = now_ms > b->at_ms ? now_ms : b->at_ms;
}
