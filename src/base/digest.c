// These sums are compared between nodes and stand in golden files of past releases: what digest_hash gives for some
// bytes never changes.
//
// Two lanes, each a chain of folded 64x64 -> 128 bit products (the multiply-and-fold step that hashes of the last
// decade share), with constants of their own, over the same 16 bytes a step. A write hashes its node four times, so
// this is on the hot path: SipHash-1-3 cost a tenth of a multi. Products are not linear, so the sums of chosen items
// cannot simply be made to meet; no secret is involved, as every node must find the same value.
#include "base/digest.h"

#include "base/bytes.h"

// Digits of the fractions of sqrt(2), sqrt(3), sqrt(5), sqrt(7), made odd: nothing is hidden in them.
#define ROOT_2 0x6a09e667f3bcc909u
#define ROOT_3 0xbb67ae8584caa73bu
#define ROOT_5 0x3c6ef372fe94f82bu
#define ROOT_7 0xa54ff53a5f1d36f1u

static inline uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// The bytes of a word that is not whole, zeros above.
static inline uint64_t part_word(const uint8_t *at, size_t len) {
    uint64_t word = 0;
    if (len >= 4) { // two reads that may overlap give all of them
        word = get_u32_le(at) | (uint64_t)get_u32_le(at + len - 4) << (8 * (len - 4));
    } else {
        for (size_t i = 0; i < len; i++) word |= (uint64_t)at[i] << (8 * i);
    }
    return word;
}

struct digest digest_hash(const void *data, size_t len, uint64_t domain) {
    const uint8_t *at = (const uint8_t *)data;
    uint64_t a = domain ^ ROOT_2, b = fold(domain ^ ROOT_5, len ^ ROOT_7);
    size_t left = len;
    for (; left >= 16; at += 16, left -= 16) {
        uint64_t x = get_u64_le(at), y = get_u64_le(at + 8);
        a += fold(x ^ ROOT_3, y ^ a); // added, so that a factor of 0 does not forget what came before
        b += fold(x ^ b, y ^ ROOT_7);
    }
    uint64_t x = left >= 8 ? get_u64_le(at) : part_word(at, left), y = left > 8 ? part_word(at + 8, left - 8) : 0;
    a += fold(x ^ ROOT_3, y ^ a);
    b += fold(x ^ b, y ^ ROOT_7);
    return (struct digest){.lo = fold(a ^ ROOT_5, b ^ ROOT_3 ^ len),
                           .hi = fold(a ^ ROOT_7, (b << 32 | b >> 32) ^ ROOT_2)};
}

void digest_add(struct digest *sum, struct digest item) {
    sum->lo += item.lo;
    sum->hi += item.hi;
}

void digest_sub(struct digest *sum, struct digest item) {
    sum->lo -= item.lo;
    sum->hi -= item.hi;
}

bool digest_equal(struct digest a, struct digest b) {
    return a.lo == b.lo && a.hi == b.hi;
}
