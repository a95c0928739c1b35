// Sorted sets as data: elements in the order of (score, bytes of the member). Of the room's own files only.
//
//   LISTPACK   up to ZSET_SMALL_COUNT elements of at most ZSET_SMALL_BYTES, in one allocation, in order
//   SKIPLIST   a tree in order, balanced by the sizes of subtrees (so ranks cost a walk from the root), and a dense
//              array with an index by member, whose order is state: ZSCAN and ZRANDMEMBER tell it
//
// The first becomes the second, never back. All that changes an object is done on a draft, or between
// key_object_changing and key_object_changed.
#pragma once
#include "model/keys/keys_internal.h"

#define ZSET_SMALL_COUNT 128u
#define ZSET_SMALL_BYTES 64u

struct zset_item {
    double score;
    struct bytes member; // borrowed
};
struct zset_element { // of the big form
    double score;
    struct zset_element *parent, *child[2];
    uint32_t size; // of the subtree
    uint32_t place, len;
    uint8_t member[];
};
struct zset_small {
    struct value value;
    uint32_t count, len, capacity; // bytes
    uint8_t data[];                // score (8 bytes), length, member, length (to walk back), ...
};
struct zset_big {
    struct value value;
    struct zset_element *root;
    struct dense members;
    uint64_t seed;
};
struct zset_walk {
    const struct key *key;
    const struct zset_element *element;
    uint32_t at, left;
    bool backwards;
};

uint32_t zset_count(const struct key *key);
bool zset_find(const struct key *key, struct bytes member, double *score);
bool zset_rank(const struct key *key, struct bytes member, uint32_t *rank);
void zset_put(struct keys *keys, struct key *key, struct bytes member, double score); // new, or another score
bool zset_take(struct key *key, struct bytes member);                                 // false: absent
void zset_take_ranks(struct key *key, uint32_t from, uint32_t to);                    // without `to`
// How many elements from the first one on `before` is true of.
uint32_t zset_count_before(const struct key *key, bool (*before)(const void *context, const struct zset_item *item),
                           const void *context);
// From a rank on, `count` elements (at most so many as there are), in order or against it.
struct zset_walk zset_walk_from(const struct key *key, uint32_t rank, uint32_t count, bool backwards);
bool zset_step(struct zset_walk *walk, struct zset_item *out);
// By the order that is state: of the big form the array's, of the small one ranks.
struct zset_item zset_at_place(const struct key *key, uint32_t place);

// ---- keys_zset_tree.c
struct zset_element *zset_tree_first(const struct zset_big *z);
struct zset_element *zset_tree_beside(const struct zset_element *e, bool before); // NULL: none
struct zset_element *zset_tree_at(const struct zset_big *z, uint32_t rank);
uint32_t zset_tree_rank(const struct zset_element *e);
void zset_tree_insert(struct zset_big *z, struct zset_element *e);
void zset_tree_remove(struct zset_big *z, struct zset_element *e);
int zset_compare(double a_score, struct bytes a, double b_score, struct bytes b);
static inline struct bytes zset_member(const struct zset_element *e) {
    return bytes_of(e->member, e->len);
}

// ---- keys_zset_range.c
struct lex_end {
    int infinite; // -1: before all, 1: behind all
    bool open;
    struct bytes text;
};
struct zset_range {
    enum { BY_RANK, BY_SCORE, BY_LEX } by;
    int64_t first, last; // ranks
    double low, high;
    bool low_open, high_open;
    struct lex_end from, to;
};
// What a range is of a key: the ranks from `from` on, without `to`.
struct zset_span {
    uint32_t from, to;
};

// Items, with scores or without: RESP3 has pairs, RESP2 a flat array.
void zset_reply_head(struct keys_call *call, size_t items, bool scores);
void zset_reply_item(struct keys_call *call, const struct zset_item *item, bool scores);
// ---- keys_zset.c
// After elements were taken: the event; an empty key is deleted, with its own.
void zset_taken(struct keys_call *call, struct key *key, struct bytes name, const char *event);
void zset_take_span(struct keys_call *call, struct key *key, struct bytes name, struct zset_span span,
                    const char *event);
// A draft in the form that so many elements get, put in by who asks.
struct key *zset_draft(struct keys_call *call, struct bytes name, uint32_t count);
// The draft (NULL: none) takes the place of what stands under its name; an empty one only deletes it. Replies the
// count.
void zset_store(struct keys_call *call, struct bytes name, struct key *draft, const char *event);
