#include "base/prng.h"

#include "base/assert.h"

static uint64_t rotate(uint64_t x, unsigned by) {
    return x << by | x >> (64 - by);
}

void prng_seed(struct prng *p, uint64_t seed) { // splitmix64: four outputs are never all zero, the one bad state
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        p->s[i] = z ^ z >> 31;
    }
}

uint64_t prng_next(struct prng *p) { // Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021
    uint64_t *s = p->s, result = rotate(s[1] * 5, 7) * 9, shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *p, uint64_t bound) {
    ENSURE(bound > 0);
    // The lowest 2^64 mod bound values are drawn again; what is left is a whole number of rounds of `bound`.
    uint64_t uneven = -bound % bound, drawn;
    do {
        drawn = prng_next(p);
    } while (drawn < uneven);
    return drawn % bound;
}
