// Picking: of the instances that are ready (passing and not draining), which one a caller shall use. Written once:
// reads use it with what the asking node keeps (whose turn it is), leases inside the model.
//
// HASH is a ring on which each instance has endlessly many points: for each key, every instance draws a number out of
// the key and its id, and the smallest, divided by its weight, wins (Thaler and Ravishankar's highest random weight;
// the logarithm makes the shares exactly proportional). So an instance that comes takes keys only for itself, its share
// of them, and the keys of one that goes are the only ones that move; and no ring has to be kept.
#include "base/alloc.h"
#include "model/registry/registry_internal.h"
#include <string.h>

// ---- turns

struct registry_turn {
    uint64_t registration;
    int64_t credit;
};
struct registry_rotation {
    struct registry_turn *turns; // in the order of ids
    size_t count;
    uint64_t random, newest; // newest: registration that was ever among them
};

struct registry_rotation *registry_rotation_new(uint64_t random) {
    struct registry_rotation *rotation = mem_zalloc(sizeof *rotation);
    rotation->random = random;
    return rotation;
}

void registry_rotation_free(struct registry_rotation *rotation) {
    mem_free(rotation->turns);
    mem_free(rotation);
}

// The turns of those that may be picked now; who was among them before keeps its credit. Both are in the order of ids,
// so what is looked for stands behind what was found last.
static void rotation_fit(struct registry_rotation *rotation, struct registry_instance *const *ready, size_t count) {
    bool same = rotation->count == count;
    for (size_t i = 0; same && i < count; i++) same = rotation->turns[i].registration == ready[i]->registration;
    if (same) return;
    struct registry_turn *turns = mem_zalloc(count * sizeof *turns);
    uint64_t newest = rotation->newest;
    for (size_t i = 0, from = 0; i < count; i++) {
        uint64_t registration = ready[i]->registration;
        size_t at = registration > newest ? rotation->count : from; // never seen: not looked for
        while (at < rotation->count && rotation->turns[at].registration != registration) at++;
        turns[i].registration = registration;
        if (registration > rotation->newest) rotation->newest = registration;
        if (at == rotation->count) continue;
        turns[i].credit = rotation->turns[at].credit;
        from = at + 1;
    }
    mem_free(rotation->turns);
    rotation->turns = turns;
    rotation->count = count;
}

// Each gets its weight as credit, who has most is picked and pays the sum of all: so within as many picks as the
// weights add up to each is picked as often as its weight says, as evenly as whole numbers allow.
static size_t rotation_next(struct registry_rotation *rotation, struct registry_instance *const *ready, size_t count,
                            bool weighted) {
    size_t start = (size_t)(rotation->random % count), best = start; // so that not every node begins with the same one
    int64_t sum = 0;
    rotation_fit(rotation, ready, count);
    for (size_t i = 0; i < count; i++) {
        int64_t weight = weighted ? (int64_t)ready[i]->weight : 1;
        rotation->turns[i].credit += weight;
        sum += weight;
    }
    for (size_t i = 0; i < count; i++) {
        size_t at = (start + i) % count;
        if (rotation->turns[at].credit > rotation->turns[best].credit) best = at;
    }
    rotation->turns[best].credit -= sum;
    return best;
}

// ---- hash

#define FRACTION_BITS 24u

// 64 - log2(draw) for a draw of 1 to 2^64 - 1, with FRACTION_BITS bits behind the point; whole numbers only, since
// nodes of different machines must agree.
static uint64_t minus_log2(uint64_t draw) {
    unsigned whole = 63u - (unsigned)__builtin_clzll(draw | 1);
    uint64_t mantissa = (draw | 1) << (63u - whole), fraction = 0; // 1 to 2, as 63 bits behind the point
    for (unsigned i = 0; i < FRACTION_BITS; i++) {
        __extension__ unsigned __int128 square = (unsigned __int128)mantissa * mantissa;
        bool carry = square >> 127 != 0;
        mantissa = (uint64_t)(square >> (carry ? 64 : 63));
        fraction = fraction << 1 | carry;
    }
    return (64ull << FRACTION_BITS) - ((uint64_t)whole << FRACTION_BITS) - fraction;
}

struct score {
    uint64_t distance, draw;
    uint32_t weight;
};

static bool nearer(const struct score *a, const struct score *b) { // distance / weight
    uint64_t x = a->distance * b->weight, y = b->distance * a->weight;
    return x != y ? x < y : a->draw > b->draw;
}

// The logarithm costs most, so who is too far already by its whole part is not asked for the rest.
static bool may_be_nearer(const struct score *a, const struct score *b) {
    uint64_t at_least = (uint64_t)(unsigned)__builtin_clzll(a->draw | 1) << FRACTION_BITS;
    return at_least * b->weight <= b->distance * a->weight;
}

static size_t by_hash(struct registry_instance *const *ready, size_t count, struct bytes key_text) {
    uint64_t key = hash_bytes(key_text.data, key_text.len, MODEL_REGISTRY);
    struct score best = {0};
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct score score = {.weight = ready[i]->weight, .draw = hash_u64(key ^ hash_u64(ready[i]->spread))};
        if (i > 0 && !may_be_nearer(&score, &best)) continue;
        score.distance = minus_log2(score.draw);
        if (i > 0 && !nearer(&score, &best)) continue;
        best = score;
        at = i;
    }
    return at;
}

// ---- least active: leases for each unit of weight, the new one included; who was given longest ago first

static size_t least_active(struct registry_instance *const *ready, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        uint64_t mine = (ready[i]->active + 1ull) * ready[best]->weight;
        uint64_t its = (ready[best]->active + 1ull) * ready[i]->weight;
        if (mine < its || (mine == its && ready[i]->given < ready[best]->given)) best = i;
    }
    return best;
}

// ---- who may be picked

struct candidates {
    struct registry_instance *ready[REGISTRY_SERVICE_MAX];
    size_t count, in_zone, zone_all;
};

static bool is_in(const struct registry_instance *instance, struct bytes zone) {
    return bytes_equal(bytes_of(instance->text + instance->address_len, instance->zone_len), zone);
}

static void gather(const struct registry_state *state, const struct registry_service *service, struct bytes zone,
                   struct candidates *out) {
    out->count = out->in_zone = out->zone_all = 0;
    for (const struct registry_instance *at = registry_instance_first(state, service, bytes_of(NULL, 0)); at;
         at = registry_instance_next(at)) {
        bool in_zone = zone.len > 0 && is_in(at, zone);
        out->zone_all += in_zone && !at->draining;
        if (!registry_ready(at)) continue;
        out->in_zone += in_zone;
        out->ready[out->count++] = registry_instance_of(&at->item);
    }
}

// Only those of the zone, while enough of it is ready.
static void keep_zone(struct candidates *c, const struct registry_pick *pick) {
    if (c->in_zone == 0 || c->in_zone * 100 < c->zone_all * pick->spill_below) return;
    size_t count = 0;
    for (size_t i = 0; i < c->count; i++)
        if (is_in(c->ready[i], pick->zone)) c->ready[count++] = c->ready[i];
    c->count = count;
}

struct registry_instance *registry_choose(const struct registry_state *state, const struct registry_service *service,
                                          const struct registry_pick *pick) {
    struct candidates c;
    gather(state, service, pick->zone, &c);
    keep_zone(&c, pick);
    if (c.count == 0) return NULL;
    switch (pick->strategy) {
    case REGISTRY_ROUND_ROBIN:
    case REGISTRY_WEIGHTED:
        return c.ready[rotation_next(pick->rotation, c.ready, c.count, pick->strategy == REGISTRY_WEIGHTED)];
    case REGISTRY_HASH:
        return c.ready[by_hash(c.ready, c.count, pick->key)];
    case REGISTRY_LEAST_ACTIVE:
        return c.ready[least_active(c.ready, c.count)];
    default:
        return c.ready[pick->random % c.count];
    }
}
