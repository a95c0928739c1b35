// What the files of the sequence model share. Nothing outside this folder includes it.
//
//   sequence.c         state, restore, expiry, save and load
//   sequence_next.c    named sequences
//   sequence_worker.c  ids in the order of time
//   sequence_write.c   commands' bytes
#pragma once
#include "model/sequence/sequence.h"

struct sequence {
    struct item item;
    uint64_t next; // the number given next; above the ceiling: none
    uint64_t step, ceiling;
    uint64_t number;   // order of creation: scope of its keys
    uint64_t distance; // of the state's, this sequence has taken into account
    uint32_t block_max;
    bool gapless;
};

struct sequence_worker { // under its number, 2 bytes big-endian. Made at its first lease, then kept for its until_ms
    struct item item;
    struct deadline due;
    uint32_t number, owner_len;
    uint64_t token; // 0: not leased
    uint64_t session, since_ms, from_ms, until_ms;
    uint8_t owner[SEQUENCE_OWNER_BYTES_MAX + 1];
};

enum sequence_deadline { DUE_KEY, DUE_WORKER };

enum sequence_word { // counters of the state, saved in this order
    WORD_NUMBER,     // the newest number of an item
    WORD_INDEX,      // of the newest entry that was applied here
    WORD_DISTANCE,   // sum of the steps of the index that were restores
    WORD_TOKEN,      // the newest
    WORD_IDS_NEXT,   // place (time << 12 | count) of the group's own next id
    WORD_READY_MS,   // log time before which no id is given: after a restore
    WORD_COUNT
};

struct sequence_state {
    struct items sequences, workers;
    struct remember_kind keys; // scope: the sequence's number; answer: first, count
    struct heap due;
    struct item_sum sum;
    uint64_t words[WORD_COUNT];
    struct sequence_result result;
};

static inline struct sequence *sequence_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct sequence, item) : NULL;
}
static inline struct sequence_worker *sequence_worker_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct sequence_worker, item) : NULL;
}

// sequence_next.c
int sequence_apply_create(struct sequence_state *state, struct reader *r);
int sequence_apply_next(struct sequence_state *state, struct apply *apply, struct reader *r,
                        struct sequence_result *out);
int sequence_apply_set(struct sequence_state *state, struct reader *r);
bool sequence_load(struct sequence_state *state, struct reader *r);
extern const struct item_kind sequence_kind;

// sequence_worker.c
int sequence_worker_apply_ids(struct sequence_state *state, struct apply *apply, struct reader *r,
                              struct sequence_result *out);
int sequence_worker_apply_lease(struct sequence_state *state, struct apply *apply, uint64_t session, struct reader *r,
                                struct sequence_result *out);
int sequence_worker_apply_renew(struct sequence_state *state, struct apply *apply, uint64_t session, struct reader *r,
                                struct sequence_result *out);
int sequence_worker_apply_release(struct sequence_state *state, uint64_t session, struct reader *r);
void sequence_worker_end(struct sequence_state *state, struct sequence_worker *worker);
bool sequence_worker_load(struct sequence_state *state, struct reader *r);
extern const struct item_kind sequence_worker_kind;
