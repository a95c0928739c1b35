// Bucket of a value: below 16 the value itself; above, the position of the highest bit and the 4 bits behind it.
//
//   value  0 1 2 .. 15 | 16 17 .. 31 | 32-33 34-35 .. 62-63 | 64-67 ..
//   bucket 0 1 2 .. 15 | 16 17 .. 31 | 32    33    .. 47    | 48    ..
#include "base/histogram.h"

#include "base/assert.h"

#define SUB_BITS 4u
#define SUBS (1u << SUB_BITS)

static uint32_t bucket_of(uint64_t value) {
    if (value < SUBS) return (uint32_t)value;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - SUB_BITS;
    uint32_t bucket = (shift + 1) * SUBS + ((uint32_t)(value >> shift) & (SUBS - 1));
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1; // days and more share the last
}

static uint64_t bucket_upper(uint32_t bucket) { // the largest value in it
    if (bucket < SUBS) return bucket;
    if (bucket == HISTOGRAM_BUCKETS - 1) return UINT64_MAX;
    uint32_t shift = bucket / SUBS - 1;
    return ((uint64_t)(SUBS + bucket % SUBS + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value) {
    h->buckets[bucket_of(value)]++;
    h->count++;
    h->sum += value;
    if (value > h->max) h->max = value;
}

uint64_t histogram_percentile(const struct histogram *h, uint32_t per_million) {
    ENSURE(per_million <= 1000000);
    if (h->count == 0) return 0;
    // The rank is at least 1: percentile 0 is the smallest value. In two parts, as count * per_million could overflow.
    uint64_t rank = h->count / 1000000 * per_million + (h->count % 1000000 * per_million + 999999) / 1000000;
    if (rank == 0) rank = 1;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen < rank) continue;
        uint64_t upper = bucket_upper(i);
        return upper < h->max ? upper : h->max; // no bound is said that is above all values seen
    }
    UNREACHABLE();
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) into->buckets[i] += from->buckets[i];
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max) into->max = from->max;
}

uint64_t histogram_count_at_most(const struct histogram *h, uint64_t value) {
    if (value >= h->max) return h->count;
    // Only buckets that lie wholly at or below the value: it may say a little too few, never that more were so fast.
    uint64_t count = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && bucket_upper(i) <= value; i++) count += h->buckets[i];
    return count;
}
