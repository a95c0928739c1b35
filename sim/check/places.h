// Where a value of a node stands among the values that the node has had, as far as a history shows it: by the zxid of
// the write that made it, by the node's version, or because one write had returned before the other was called.
#pragma once
#include "sim/check/order.h"

struct place {
    bool known;
    bool initial;    // what stood there before anything was recorded
    uint64_t zxid;   // of the change that made it; 0: not known
    int64_t version; // RECORD_NO_VERSION: not known, or the node was made more than once and versions say nothing
    uint64_t from_us, until_us;               // it came into being between these: call and return of its writer
    const struct record_operation *operation; // that shows it
};

struct places_writer {
    record_text key, value;
    const struct record_operation *operation; // NULL: several wrote this value
    const struct record_operation *failed;    // one that wrote it and surely had no effect; NULL: none
    const struct record_operation *first;     // the writer that was called first, and may have had an effect
};
struct places {
    const struct record *record;
    struct places_writer *writers; // by key and value
    size_t count;
    bool *changed;     // by key: somebody tried to change it
    bool *deleted;     // by key: perhaps deleted, perhaps created twice
    struct order done; // acknowledged changes whose zxid is known, by key and zxid
};
void places_init(struct places *places, const struct record *record);
void places_free(struct places *places);

// Of an acknowledged operation on a node: what it read, or what it made. known is false when nothing can be said.
struct place places_of(const struct places *places, const struct record_operation *operation);
bool place_older(const struct place *a, const struct place *b); // surely
// The writer of a value; NULL: nobody in this history.
const struct places_writer *places_writer(const struct places *places, record_text key, record_text value);
// The first acknowledged change of a key with a zxid above this, and the last with one of at most this; NULL: none.
const struct record_operation *places_after(const struct places *places, record_text key, uint64_t zxid);
const struct record_operation *places_upto(const struct places *places, record_text key, uint64_t zxid);
