// SipHash (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), with its numbers of rounds as arguments
// that the compiler folds away. Inside base only: others call hash_bytes or digest_hash.
#pragma once
#include "base/bytes.h"
#include <stddef.h>
#include <stdint.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t sip_rotate(uint64_t x, unsigned by) {
    return x << by | x >> (64 - by);
}

static inline void sip_rounds(struct sip *s, unsigned rounds) { // 2.2, figure 2.2: SipRound
    for (unsigned i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = sip_rotate(s->v1, 13) ^ s->v0;
        s->v3 = sip_rotate(s->v3, 16) ^ s->v2;
        s->v0 = sip_rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = sip_rotate(s->v1, 17) ^ s->v2;
        s->v3 = sip_rotate(s->v3, 21) ^ s->v0;
        s->v2 = sip_rotate(s->v2, 32);
    }
}

// second NULL: the 64-bit function. Otherwise the 128-bit variant, whose second half goes there.
static inline uint64_t sip_hash(unsigned c_rounds, unsigned d_rounds, uint64_t k0, uint64_t k1, const void *data,
                                size_t len, uint64_t *second) {
    struct sip s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                    k1 ^ 0x7465646279746573u};
    if (second != NULL) s.v1 ^= 0xee;
    const uint8_t *at = (const uint8_t *)data;
    size_t left = len;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word = get_u64_le(at);
        s.v3 ^= word;
        sip_rounds(&s, c_rounds);
        s.v0 ^= word;
    }
    uint64_t last = (uint64_t)len << 56; // the length's low byte closes the last word
    for (size_t i = 0; i < left; i++) last |= (uint64_t)at[i] << (8 * i);
    s.v3 ^= last;
    sip_rounds(&s, c_rounds);
    s.v0 ^= last;
    s.v2 ^= second != NULL ? 0xee : 0xff;
    sip_rounds(&s, d_rounds);
    uint64_t first = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    if (second != NULL) {
        s.v1 ^= 0xdd;
        sip_rounds(&s, d_rounds);
        *second = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    }
    return first;
}
