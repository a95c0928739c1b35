// How many things of one model each session owns (claims, permits, places in a queue). A session's end is one entry, so
// every model bounds what one may own.
#pragma once
#include "base/hash.h"

struct owned {
    struct hash sessions;
};
void owned_init(struct owned *owned);
void owned_free(struct owned *owned); // every count is 0 by then
uint32_t owned_count(const struct owned *owned, uint64_t session);
void owned_more(struct owned *owned, uint64_t session); // session 0 owns nothing: no count is kept
void owned_less(struct owned *owned, uint64_t session);
uint64_t owned_memory(const struct owned *owned); // deterministic
