// Latency histogram: log-linear buckets (16 per power of two, error at most 6.25 %), in microseconds, up to 2^40.
#pragma once
#include <stdint.h>

#define HISTOGRAM_BUCKETS 640
struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count, sum, max;
};
void histogram_add(struct histogram *h, uint64_t value);
uint64_t histogram_percentile(const struct histogram *h,
                              uint32_t per_million); // upper bound of the bucket; 0 when empty
void histogram_merge(struct histogram *into, const struct histogram *from);
uint64_t histogram_count_at_most(const struct histogram *h, uint64_t value); // for Prometheus's cumulative buckets
