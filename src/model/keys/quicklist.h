// A list of byte strings: blocks of up to QUICKLIST_BLOCK_BYTES, linked both ways. In a block each entry has its length
// ahead of it and behind it, so both ends of a list are equally near.
//
//   block <-> block <-> block         entry: len varint, bytes, len varint backwards
//
// No result hangs on where blocks end, so they are no state. An entry's place in the digest is its position, counted
// from a first one that moves with pushes and pops at the front: both ends cost one hash. What is put in or taken out
// in the middle moves the positions of the shorter side.
#pragma once
#include "base/list.h"
#include "model/keys/keys_internal.h"

#define QUICKLIST_BLOCK_BYTES 4096u // an entry that is longer has a block of its own

struct quicklist_block {
    struct list link;
    uint32_t count, begin, end, capacity; // entries are data[begin .. end)
    uint8_t data[];
};
struct quicklist {
    struct value value;
    struct list blocks;
    uint64_t count;
    uint64_t first; // position of the first entry; wraps
};
struct quicklist_at { // an entry; the one behind it and the one before it are near
    const struct quicklist *list;
    struct quicklist_block *block;
    uint32_t offset; // of its head in block->data
    uint64_t rank;
};

static inline struct quicklist *quicklist_of(const struct key *key) {
    return (struct quicklist *)(void *)key->object;
}
// Changes account for themselves in the key's digest and memory; key_touched is the caller's. rank 0: the first entry.
void quicklist_push(struct keys_call *call, struct key *key, bool front, struct bytes entry);
void quicklist_pop(struct keys_call *call, struct key *key, bool front);
void quicklist_replace(struct keys_call *call, struct key *key, uint64_t rank, struct bytes entry);
void quicklist_insert(struct keys_call *call, struct key *key, uint64_t rank,
                      struct bytes entry); // it has this rank then
// Takes out up to `max` entries that are equal to `entry`, from the front or from the back; how many.
uint64_t quicklist_remove_equal(struct keys_call *call, struct key *key, struct bytes entry, uint64_t max, bool front);

bool quicklist_seek(const struct quicklist *list, uint64_t rank, struct quicklist_at *at); // false: there is none
struct bytes quicklist_entry(const struct quicklist_at *at);
bool quicklist_next(struct quicklist_at *at);
bool quicklist_previous(struct quicklist_at *at);

extern const struct type_ops quicklist_ops;
