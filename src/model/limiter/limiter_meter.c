// The algorithms. Everything but charge and convert only looks: what is in use is a function of what was charged and of
// the time, so a refused call changes nothing.
#include "base/alloc.h"
#include "base/planted.h"
#include "model/limiter/limiter_internal.h"
#include <string.h>

static bool is_bucket(const struct limiter_definition *def) {
    return def->algorithm == LIMITER_LEAKY_BUCKET || def->algorithm == LIMITER_TOKEN_BUCKET;
}

bool definition_good(const struct limiter_definition *def) {
    if (def->rate == 0 || def->rate > LIMITER_UNITS_MAX || def->burst > LIMITER_UNITS_MAX) return false;
    if (def->algorithm > LIMITER_CONCURRENCY) return false;
    if (!is_bucket(def) && def->burst != 0) return false;
    if (def->algorithm == LIMITER_CONCURRENCY) return def->window_ms == 0;
    return def->window_ms > 0 && def->window_ms <= LIMITER_WINDOW_MS_MAX;
}

uint32_t meter_capacity(const struct limiter_definition *def) {
    return is_bucket(def) && def->burst > 0 ? def->burst : def->rate;
}

// ---- sliding window
//
//   sub-windows     [ 0 1 | 2 3 | 4 5 | 6 7 | 8 9 ]    width 2, W 6, now 9: 4 and later are inside the last 6 ms; a
//                             ^---- counted ----^      sub-window counts until its last moment is outside: here 4 5 on

static uint64_t slot_width(const struct limiter_definition *def) {
    return (def->window_ms + LIMITER_SLOTS - 1) / LIMITER_SLOTS;
}

static uint64_t slot_leaves_at(const struct limiter_definition *def, uint64_t slot) { // first moment without it
    uint64_t window_ms = PLANTED(LIMITER_WINDOW_ENDS_EARLY) ? def->window_ms / 2 : def->window_ms;
    return (slot + 1) * slot_width(def) - 1 + window_ms;
}

// The oldest sub-window that has a place beside the newest.
static uint64_t slot_oldest(const struct limit *limit) {
    return limit->window >= SLOTS_KEPT ? limit->window - SLOTS_KEPT + 1 : 0;
}

static uint64_t sliding_used(const struct limit *limit, uint64_t now_ms) {
    uint64_t used = 0;
    for (uint64_t slot = limit->window + 1; slot-- > slot_oldest(limit);) {
        if (slot_leaves_at(&limit->def, slot) <= now_ms) break;
        used += limit->slots[slot % SLOTS_KEPT];
    }
    return used;
}

static uint64_t sliding_wait_ms(const struct limit *limit, uint64_t too_much, uint64_t now_ms) {
    for (uint64_t slot = slot_oldest(limit); slot <= limit->window; slot++) {
        uint64_t leaves = slot_leaves_at(&limit->def, slot), units = limit->slots[slot % SLOTS_KEPT];
        if (leaves <= now_ms) continue;
        if (units >= too_much) return leaves - now_ms;
        too_much -= units;
    }
    return UINT64_MAX;
}

static void sliding_charge(struct limit *limit, uint64_t units, uint64_t now_ms) {
    uint64_t now = now_ms / slot_width(&limit->def);
    for (uint64_t slot = limit->window + 1; slot <= now; slot++) { // places are taken over from those gone by
        if (slot + SLOTS_KEPT <= now) slot = now - SLOTS_KEPT + 1;
        limit->slots[slot % SLOTS_KEPT] = 0;
    }
    if (now > limit->window) limit->window = now;
    limit->slots[limit->window % SLOTS_KEPT] += (uint32_t)units;
}

void meter_slots(struct limiter_state *state, struct limit *limit) {
    bool needed = limit->def.algorithm == LIMITER_SLIDING_WINDOW;
    if (needed == (limit->slots != NULL)) return;
    if (needed) {
        limit->slots = mem_zalloc(SLOTS_KEPT * sizeof *limit->slots);
        state->sliding++;
        return;
    }
    mem_free(limit->slots);
    limit->slots = NULL;
    state->sliding--;
}

// ---- any

static uint64_t held_units(const struct limit *limit) {
    if (PLANTED(LIMITER_LEASE_NOT_COUNTED) && limit->def.algorithm != LIMITER_CONCURRENCY) return 0;
    if (PLANTED(LIMITER_PERMIT_BEYOND) && limit->held > 0) return limit->held - 1;
    return limit->held;
}

static uint64_t bucket_now(const struct limit *limit, uint64_t now_ms) {
    return bucket_level(&limit->bucket, limit->def.rate, now_ms);
}

uint64_t meter_used(const struct limit *limit, uint64_t now_ms) {
    switch (limit->def.algorithm) {
    case LIMITER_FIXED_WINDOW:
        return now_ms / limit->def.window_ms > limit->window ? 0 : limit->used;
    case LIMITER_SLIDING_WINDOW:
        return sliding_used(limit, now_ms);
    case LIMITER_LEAKY_BUCKET:
    case LIMITER_TOKEN_BUCKET:
        return (bucket_now(limit, now_ms) + limit->def.window_ms - 1) / limit->def.window_ms;
    case LIMITER_CONCURRENCY:
        break;
    }
    return 0;
}

uint32_t meter_free(const struct limit *limit, uint64_t now_ms) {
    uint64_t used = meter_used(limit, now_ms) + held_units(limit);
    uint32_t capacity = meter_capacity(&limit->def);
    return used >= capacity ? 0 : (uint32_t)(capacity - used);
}

uint64_t meter_wait_ms(const struct limit *limit, uint64_t cost, uint64_t now_ms) {
    uint64_t capacity = meter_capacity(&limit->def), window_ms = limit->def.window_ms;
    if (held_units(limit) + cost > capacity) return UINT64_MAX;
    uint64_t room = capacity - held_units(limit) - cost; // of what is charged, so much may stay
    if (is_bucket(&limit->def)) {
        uint64_t level = bucket_now(limit, now_ms), may_stay = room * window_ms;
        return level <= may_stay ? 0 : bucket_wait_ms(level - may_stay, limit->def.rate);
    }
    uint64_t used = meter_used(limit, now_ms);
    if (used <= room) return 0;
    if (limit->def.algorithm == LIMITER_FIXED_WINDOW) return (limit->window + 1) * window_ms - now_ms;
    return sliding_wait_ms(limit, used - room, now_ms);
}

uint64_t meter_turn_ms(const struct limit *limit, uint64_t now_ms) {
    return bucket_wait_ms(bucket_now(limit, now_ms), limit->def.rate);
}

void meter_charge(struct limit *limit, uint64_t units, uint64_t now_ms) {
    uint64_t window_ms = limit->def.window_ms;
    switch (limit->def.algorithm) {
    case LIMITER_FIXED_WINDOW:
        limit->used = meter_used(limit, now_ms) + units;
        if (now_ms / window_ms > limit->window) limit->window = now_ms / window_ms;
        return;
    case LIMITER_SLIDING_WINDOW:
        sliding_charge(limit, units, now_ms);
        return;
    case LIMITER_LEAKY_BUCKET:
    case LIMITER_TOKEN_BUCKET:
        bucket_add(&limit->bucket, limit->def.rate, units * window_ms, now_ms);
        return;
    case LIMITER_CONCURRENCY:
        return;
    }
}

uint64_t meter_idle_at(const struct limit *limit) {
    switch (limit->def.algorithm) {
    case LIMITER_FIXED_WINDOW:
        return (limit->window + 1) * limit->def.window_ms;
    case LIMITER_SLIDING_WINDOW:
        return slot_leaves_at(&limit->def, limit->window);
    case LIMITER_LEAKY_BUCKET:
    case LIMITER_TOKEN_BUCKET:
        return limiter_time_after(limit->bucket.at_ms, bucket_wait_ms(limit->bucket.level, limit->def.rate));
    case LIMITER_CONCURRENCY:
        break;
    }
    return 0;
}

void meter_convert(struct limiter_state *state, struct limit *limit, const struct limiter_definition *def,
                   uint64_t now_ms) {
    uint64_t used = meter_used(limit, now_ms), capacity = meter_capacity(def);
    if (used > capacity) used = capacity; // so that it is free again after one window, or when the bucket has leaked
    if (limit->slots) memset(limit->slots, 0, SLOTS_KEPT * sizeof *limit->slots);
    limit->def = *def;
    limit->bucket = (struct bucket){.at_ms = now_ms};
    limit->window = limit->used = 0;
    meter_slots(state, limit);
    meter_charge(limit, used, now_ms);
}
