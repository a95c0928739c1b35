// xoshiro256** seeded by splitmix64: fast, repeatable, not for secrets (those come from io_random).
#pragma once
#include <stdint.h>

struct prng {
    uint64_t s[4];
};
void prng_seed(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
uint64_t prng_below(struct prng *p, uint64_t bound); // 0 .. bound-1, unbiased; bound > 0
