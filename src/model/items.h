// Items that a model keeps under a name: found by name, listed in the order of their names, saved, loaded and digested
// alike. A model has one table for each kind of item, and one sum of digests and bytes over all of its tables.
//
//   struct thing { struct item item; ...fields... } + name        (one allocation; the item stands first)
//
// After a change of an item: items_changed. The digest of an item is over its record, which is also what is saved.
// A state that was never used has the digest 0 and saves nothing, so that a model can be added to a group that lives.
#pragma once
#include "base/digest.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/omap.h"
#include "model/model.h"

#define ITEM_NAME_BYTES_MAX 255u
#define ITEM_RECORD_BYTES_MAX 4096u // without name and body; the longest is an entity's history (model/guard)

// ---- records: integers of 8 bytes, texts with a length of 2

struct item_record {
    uint8_t *at, *end;
    bool full; // it did not fit: what was written is void
};
void item_record_u64(struct item_record *to, uint64_t value);
void item_record_text(struct item_record *to, struct bytes text); // at most 64 KiB - 1
struct bytes item_read_text(struct reader *r);

// ---- deadlines of several kinds in one heap. Ties of one heap differ, whatever their kinds: else the order of two
// would hang on the heap's history, which a copy by save and load does not share.

#define NO_DEADLINE UINT64_MAX
struct deadline {
    struct heap_item item;
    int kind; // the model's own
};
void deadline_set(struct heap *heap, struct deadline *deadline, uint64_t at_ms, uint64_t tie); // NO_DEADLINE: takes out
uint64_t deadline_of(const struct deadline *deadline);                                         // NO_DEADLINE: none
uint64_t deadline_first(const struct heap *heap);
struct deadline *deadline_due(const struct heap *heap, uint64_t now_ms); // NULL: nothing is due
static inline uint64_t time_after(uint64_t now_ms, uint64_t ms) {        // never NO_DEADLINE
    return ms > UINT64_MAX - 1 - now_ms ? UINT64_MAX - 1 : now_ms + ms;
}

// ---- items

struct item {
    struct omap_node node;
    const uint8_t *name; // behind the struct
    uint32_t name_len;
    uint32_t bytes; // of the allocation
    uint64_t counted;
    struct digest digest;
};
struct item_kind {
    uint8_t tag; // begins its records; not 0
    void (*record)(const struct item *item, struct item_record *to);
    struct bytes (*body)(const struct item *item); // saved behind the record, but not digested: the record holds its
                                                   // digest where it may be long. NULL: none
};
struct item_sum { // of a whole model
    struct digest digest;
    uint64_t memory;
    struct digest head; // part of the digest
    uint64_t domain;    // the model's id: like items of two models have other digests
};
struct items {
    struct omap map;
    const struct item_kind *kind;
    struct item_sum *sum;
};
void items_init(struct items *items, const struct item_kind *kind, struct item_sum *sum);
void *item_make(size_t bytes, struct bytes name); // zeroed; `bytes` of struct and what stands between it and the name
struct bytes item_name(const struct item *item);
struct item *items_find(const struct items *items, struct bytes name);
bool items_insert(struct items *items, struct item *item); // false: the name is taken. items_changed is due
void items_changed(struct items *items, struct item *item);
void items_remove(struct items *items, struct item *item);                          // and frees it
void items_free(struct items *items);                                               // all of them
struct item *items_first(const struct items *items);                                // in the order of names
struct item *items_next(const struct item *item);                                   // NULL: the last
void items_head_changed(struct item_sum *sum, const uint64_t *words, size_t count); // a model's own counters

// For listings: the items whose names begin with `prefix`, behind `after` (empty: from the first).
struct items_page {
    struct bytes name; // only this one, when not empty
    struct bytes prefix, after;
    size_t max;
};
const struct item *items_page_first(const struct items *items, const struct items_page *page);
const struct item *items_page_next(const struct items_page *page, const struct item *item);

// The head (counters) as one record of tag 0, then table by table.
size_t items_save(const struct item_sum *sum, const struct items *const *tables, size_t count, const uint64_t *words,
                  size_t word_count, struct save_cursor *cursor, uint8_t *out, size_t capacity);
struct bytes items_read_body(struct reader *r); // of a record whose kind has one
bool items_load_head(struct item_sum *sum, struct reader *r, uint64_t *words, size_t count);
struct digest items_recount(const struct item_sum *sum, const struct items *const *tables, size_t count,
                            const uint64_t *words, size_t word_count);
