// A 128-bit digest of a set of items that does not depend on their order: the sum, lane by lane modulo 2^64, of each
// item's 128-bit hash. Adding and removing an item cost one hash of it. Equal states have equal digests on every
// machine.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digest {
    uint64_t lo, hi;
};
struct digest digest_hash(const void *data, size_t len, uint64_t domain); // domain tells item kinds apart
void digest_add(struct digest *sum, struct digest item);
void digest_sub(struct digest *sum, struct digest item);
bool digest_equal(struct digest a, struct digest b);
