// What hashes and sets have in common: elements with a name and, in hashes, a value, in one of three forms.
//
//   pack    ENCODING_LISTPACK   {len, name, len, value} ...   one allocation; small hashes. Order: as they came
//   intset  ENCODING_INTSET     integers, 2, 4 or 8 bytes     one allocation; small sets of numbers. Order: ascending
//   table   ENCODING_HASHTABLE  a dense array with an index   an allocation for each element; the last one takes the
//                                                             place of one that is taken out
//
// A form changes one way only, at Redis's thresholds. Elements are changed between elements_begin and elements_end (or
// in a draft), where the key's digest and memory do not count.
#pragma once
#include "model/keys/keys_internal.h"

#define HASH_PACK_ENTRIES_MAX 128u // hash-max-listpack-entries, hash-max-listpack-value, set-max-intset-entries
#define HASH_PACK_BYTES_MAX 64u
#define INTSET_ENTRIES_MAX 512u

struct item { // borrowed from the collection, until it changes
    struct bytes name, value;
    uint32_t place;
    size_t at, next; // of a pack: its bytes
    char text[24];   // of an intset: the name
};
struct walk { // zero at the beginning
    uint32_t place;
    size_t at;
};
uint32_t elements_count(const struct key *key);
bool elements_next(const struct key *key, struct walk *walk, struct item *out); // in order; false: the end
void elements_get(const struct key *key, uint32_t place, struct item *out);
bool elements_find(const struct keys *keys, const struct key *key, struct bytes name, struct item *out);
bool elements_put(struct keys *keys, struct key *key, struct bytes name, struct bytes value); // true: it is new
void elements_take(struct keys *keys, struct key *key, const struct item *item);              // found or got just now
void elements_widen(struct keys *keys, struct key *key);                                      // to a table
void elements_settle(struct key *key); // a draft's digest and memory, when all is put

void elements_begin(struct keys_call *call, struct key *key);
// When nothing is left the key goes, with its event `del`.
void elements_end(struct keys_call *call, struct key *key, bool changed);
// Of no database, for what a command makes up; discarded at once. Also a draft that is not needed.
struct key *elements_temporary(struct keys *keys, enum key_type type, enum key_encoding encoding);
void elements_discard(struct key *key);

// HSCAN, SSCAN.
void elements_scan(struct keys_call *call, enum key_type type);
// SRANDMEMBER, HRANDFIELD: key [count [WITHVALUES]].
void elements_random(struct keys_call *call, enum key_type type, bool may_have_values);
// The i-th of a random order of 0 .. count - 1: none comes twice.
uint32_t random_place(uint64_t seed, uint32_t count, uint64_t i);
