// The five strategies.
//
//   7 partitions, members a b c:   averagely  a a a b b c c      by circle  a b c a b c a
#include "base/alloc.h"
#include "base/hash.h"
#include "model/topic/topic.h"

#define KEY_SEED 0x746f7069636b6579ull // never changes: messages of one key must stay in one partition
#define RING_SEED 0x746f70696372696eull

uint32_t topic_partition_of_key(struct bytes key, uint32_t partitions) {
    return (uint32_t)(hash_bytes(key.data, key.len, KEY_SEED) % partitions);
}

// What of `count` things stands at place `at` goes to which of `shares`: each gets a run, the first ones one more.
static uint32_t share_of(uint32_t at, uint32_t count, uint32_t shares) {
    uint32_t each = count / shares, more = count % shares;
    uint32_t long_ones = more * (each + 1);
    return at < long_ones ? at / (each + 1) : more + (at - long_ones) / each;
}

static void averagely(const struct topic_allocation *in, uint32_t *out) {
    for (uint32_t p = 0; p < in->partitions; p++) out[p] = share_of(p, in->partitions, in->members);
}

static void by_circle(const struct topic_allocation *in, uint32_t *out) {
    for (uint32_t p = 0; p < in->partitions; p++) out[p] = p % in->members;
}

static bool configured(const struct topic_candidate *member, uint32_t p) {
    return p / 8 < member->configured.len && (member->configured.data[p / 8] >> (p % 8) & 1) != 0;
}

static void by_config(const struct topic_allocation *in, uint32_t *out) {
    for (uint32_t p = 0; p < in->partitions; p++) {
        out[p] = TOPIC_NOBODY;
        for (uint32_t m = 0; m < in->members && out[p] == TOPIC_NOBODY; m++)
            if (configured(&in->candidates[m], p)) out[p] = m; // the first of them; the others stand by
    }
}

// ---- machine rooms: a room's partitions averagely to the room's members; those of rooms without one, to all

// The members of this room, in their order; all of them when there is none.
static uint32_t members_of(const struct topic_allocation *in, struct bytes room, uint32_t *members) {
    uint32_t count = 0;
    for (uint32_t m = 0; m < in->members; m++)
        if (bytes_equal(in->candidates[m].room, room)) members[count++] = m;
    return count;
}

static void share_room(const struct topic_allocation *in, const uint32_t *of_room, uint32_t count,
                       const uint32_t *members, uint32_t member_count, uint32_t *out) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t share = share_of(i, count, member_count > 0 ? member_count : in->members);
        out[of_room[i]] = member_count > 0 ? members[share] : share;
    }
}

static void by_machine_room(const struct topic_allocation *in, uint32_t *out) {
    uint32_t *of_room = mem_alloc(sizeof *of_room * in->partitions);
    uint32_t *members = mem_alloc(sizeof *members * in->members);
    uint32_t orphans = 0, *without = mem_alloc(sizeof *without * in->partitions);
    for (uint32_t p = 0; p < in->partitions; p++) out[p] = TOPIC_NOBODY;
    for (uint32_t p = 0; p < in->partitions; p++) {
        if (out[p] != TOPIC_NOBODY) continue; // its room has been seen to
        uint32_t member_count = members_of(in, in->rooms[p], members), count = 0;
        if (member_count == 0) {
            without[orphans++] = p;
            continue;
        }
        for (uint32_t q = p; q < in->partitions; q++)
            if (bytes_equal(in->rooms[q], in->rooms[p])) of_room[count++] = q;
        share_room(in, of_room, count, members, member_count, out);
    }
    share_room(in, without, orphans, NULL, 0, out);
    mem_free(of_room);
    mem_free(members);
    mem_free(without);
}

// ---- the ring: a partition goes to the member whose point follows its own
//
//   p3 . . b . . . a . p0 p7 . . . . a . b        p3 to b; p7 to a, and so p0, with no point ahead of p7

struct arc {          // from a partition's place to the next one's
    uint64_t at, way; // way: to the first point in it
    uint32_t partition, member;
};

static void sort_arcs(struct arc *arcs, uint32_t count) { // by insertion: no two stand at one place
    for (uint32_t i = 1; i < count; i++) {
        struct arc arc = arcs[i];
        uint32_t k = i;
        for (; k > 0 && arcs[k - 1].at > arc.at; k--) arcs[k] = arcs[k - 1];
        arcs[k] = arc;
    }
}

static struct arc *arc_of(struct arc *arcs, uint32_t count, uint64_t at) { // the last one that begins at or before it
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (arcs[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return &arcs[low == 0 ? count - 1 : low - 1];
}

static void set_points(struct arc *arcs, uint32_t count, struct bytes name, uint32_t member) {
    uint64_t base = hash_bytes(name.data, name.len, RING_SEED);
    for (uint32_t k = 0; k < TOPIC_RING_POINTS; k++) {
        uint64_t at = hash_u64(base + k);
        struct arc *arc = arc_of(arcs, count, at);
        uint64_t way = at - arc->at; // modulo 2^64: the last arc reaches over the end
        if (arc->member != TOPIC_NOBODY && arc->way <= way) continue;
        arc->way = way;
        arc->member = member;
    }
}

static void consistent_hash(const struct topic_allocation *in, uint32_t *out) {
    uint32_t count = in->partitions;
    struct arc *arcs = mem_alloc(sizeof *arcs * count);
    for (uint32_t p = 0; p < count; p++)
        arcs[p] = (struct arc){.at = hash_u64(RING_SEED ^ p), .partition = p, .member = TOPIC_NOBODY};
    sort_arcs(arcs, count);
    for (uint32_t m = 0; m < in->members; m++) set_points(arcs, count, in->candidates[m].name, m);
    for (uint32_t i = 2 * count;
         i-- > 0;) // twice around, backwards: an arc without a point is followed by the next one
        if (arcs[i % count].member == TOPIC_NOBODY) arcs[i % count].member = arcs[(i + 1) % count].member;
    for (uint32_t i = 0; i < count; i++) out[arcs[i].partition] = arcs[i].member;
    mem_free(arcs);
}

void topic_allocate(const struct topic_allocation *in, uint32_t *out) {
    static void (*const strategies[TOPIC_STRATEGY_END])(const struct topic_allocation *, uint32_t *) = {
        [TOPIC_AVERAGELY] = averagely,
        [TOPIC_BY_CIRCLE] = by_circle,
        [TOPIC_CONSISTENT_HASH] = consistent_hash,
        [TOPIC_BY_CONFIG] = by_config,
        [TOPIC_BY_MACHINE_ROOM] = by_machine_room,
    };
    if (in->members > 0) {
        strategies[in->strategy](in, out);
        return;
    }
    for (uint32_t p = 0; p < in->partitions; p++) out[p] = TOPIC_NOBODY;
}
