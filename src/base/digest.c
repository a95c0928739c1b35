// These sums are compared between nodes and stand in golden files of past releases: what digest_hash gives for some
// bytes never changes. SipHash rather than a plain checksum, because strangers choose the items and sums of a linear
// function can be made to meet.
#include "base/digest.h"

#include "base/sip.h"

struct digest digest_hash(const void *data, size_t len, uint64_t domain) {
    struct digest item;
    item.lo = sip_hash(1, 3, domain, ~domain, data, len, &item.hi);
    return item;
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
