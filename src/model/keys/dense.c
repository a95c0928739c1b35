// Dense arrays with an index. See dense.h. Linear probing; a slot is freed by moving later ones of its run back, so
// there are no gravestones.
#include "model/keys/dense.h"
#include "base/alloc.h"
#include "base/hash.h"

#define CAPACITY_FIRST 4u
#define SLOTS_FIRST 32u
#define OLD_SLOTS_AN_INSERT 8u // all of `old` has moved when the new index, of twice its size, is half full

void dense_free(struct dense *d) {
    mem_free(d->items);
    mem_free(d->index.slots);
    mem_free(d->old.slots);
    *d = (struct dense){0};
}

static uint32_t hash_of(const struct dense_kind *kind, struct bytes name) {
    return (uint32_t)hash_bytes(name.data, name.len, kind->seed);
}

static uint32_t index_find(const struct dense *d, const struct dense_index *index, const struct dense_kind *kind,
                           struct bytes name, uint32_t hash) {
    if (index->slots == NULL) return DENSE_NONE;
    for (uint32_t at = hash & index->mask; index->slots[at].place != 0; at = (at + 1) & index->mask) {
        if (index->slots[at].hash != hash) continue;
        uint32_t place = index->slots[at].place - 1;
        if (bytes_equal(kind->name(d->items[place]), name)) return place;
    }
    return DENSE_NONE;
}

uint32_t dense_find(const struct dense *d, const struct dense_kind *kind, struct bytes name) {
    if (d->index.slots == NULL) {
        for (uint32_t i = 0; i < d->count; i++)
            if (bytes_equal(kind->name(d->items[i]), name)) return i;
        return DENSE_NONE;
    }
    uint32_t hash = hash_of(kind, name);
    uint32_t place = index_find(d, &d->index, kind, name, hash);
    return place != DENSE_NONE ? place : index_find(d, &d->old, kind, name, hash);
}

static void index_insert(struct dense_index *index, uint32_t hash, uint32_t place) {
    uint32_t at = hash & index->mask;
    while (index->slots[at].place != 0) at = (at + 1) & index->mask;
    index->slots[at] = (struct dense_slot){.hash = hash, .place = place + 1};
    index->count++;
}

// The slot of a place; UINT32_MAX: not in this index.
static uint32_t slot_of(const struct dense_index *index, uint32_t hash, uint32_t place) {
    if (index->slots == NULL) return UINT32_MAX;
    for (uint32_t at = hash & index->mask; index->slots[at].place != 0; at = (at + 1) & index->mask)
        if (index->slots[at].place == place + 1) return at;
    return UINT32_MAX;
}

static void slot_free(struct dense_index *index, uint32_t at) {
    uint32_t hole = at;
    for (uint32_t next = (hole + 1) & index->mask; index->slots[next].place != 0; next = (next + 1) & index->mask) {
        uint32_t home = index->slots[next].hash & index->mask;
        if (((next - home) & index->mask) < ((next - hole) & index->mask)) continue; // it would stand before its home
        index->slots[hole] = index->slots[next];
        hole = next;
    }
    index->slots[hole] = (struct dense_slot){0};
    index->count--;
}

static void index_make(struct dense_index *index, uint32_t slots) {
    index->slots = mem_zalloc(slots * sizeof *index->slots);
    index->mask = slots - 1;
    index->count = 0;
}

// Moves some of the old index. Its runs are emptied from the front: a slot whose run began before `old_at` may have
// moved back to behind it, never ahead of it, because what stands ahead is free.
static void move_some(struct dense *d, uint32_t slots) {
    for (; d->old.slots != NULL && slots > 0; slots--) {
        struct dense_slot *slot = &d->old.slots[d->old_at];
        while (slot->place != 0) {
            struct dense_slot moving = *slot;
            slot_free(&d->old, d->old_at); // a later one of the run may come here
            index_insert(&d->index, moving.hash, moving.place - 1);
        }
        if (d->old.count == 0 || d->old_at++ == d->old.mask) {
            if (d->old.count > 0) { // moved behind the front by a run over the end
                d->old_at = 0;
                continue;
            }
            mem_free(d->old.slots);
            d->old = (struct dense_index){0};
        }
    }
}

static void index_grow(struct dense *d, const struct dense_kind *kind) {
    if (d->index.slots == NULL) {
        index_make(&d->index, SLOTS_FIRST);
        for (uint32_t i = 0; i < d->count; i++) index_insert(&d->index, hash_of(kind, kind->name(d->items[i])), i);
        return;
    }
    move_some(d, OLD_SLOTS_AN_INSERT);
    if (d->count < (d->index.mask + 1) / 4 * 3) return;
    move_some(d, UINT32_MAX); // has long been empty
    d->old = d->index;
    d->old_at = 0;
    index_make(&d->index, (d->old.mask + 1) * 2);
}

uint32_t dense_add(struct dense *d, const struct dense_kind *kind, void *item) {
    if (d->count == d->capacity) {
        d->capacity =
            d->capacity == 0 ? CAPACITY_FIRST : d->capacity + (d->capacity < 1024 ? d->capacity : d->capacity / 4);
        d->items = mem_realloc(d->items, d->capacity * sizeof *d->items);
    }
    uint32_t place = d->count;
    if (place >= DENSE_PLAIN_MAX) index_grow(d, kind);
    d->items[d->count++] = item;
    if (d->index.slots != NULL) index_insert(&d->index, hash_of(kind, kind->name(item)), place);
    return place;
}

void dense_put(struct dense *d, uint32_t place, void *item) {
    ENSURE(place < d->count);
    d->items[place] = item;
}

static void unlink_place(struct dense *d, uint32_t hash, uint32_t place) {
    uint32_t at = slot_of(&d->index, hash, place);
    if (at != UINT32_MAX) {
        slot_free(&d->index, at);
        return;
    }
    at = slot_of(&d->old, hash, place);
    ENSURE(at != UINT32_MAX);
    slot_free(&d->old, at);
}

void dense_remove(struct dense *d, const struct dense_kind *kind, uint32_t place) {
    ENSURE(place < d->count);
    uint32_t last = d->count - 1;
    if (d->index.slots != NULL) unlink_place(d, hash_of(kind, kind->name(d->items[place])), place);
    if (place != last) {
        void *item = d->items[last];
        if (d->index.slots != NULL) {
            uint32_t hash = hash_of(kind, kind->name(item));
            unlink_place(d, hash, last);
            index_insert(&d->index, hash, place);
        }
        d->items[place] = item;
        if (kind->moved != NULL) kind->moved(kind->context, item, place);
    }
    d->count = last;
    if (d->count == 0) dense_free(d);
}

size_t dense_memory(uint32_t count) {
    size_t bytes = (size_t)count * sizeof(void *) * 5 / 4;
    if (count > DENSE_PLAIN_MAX) bytes += (size_t)count * 2 * sizeof(struct dense_slot);
    return bytes;
}
