// A journal on a memory_io with a model beside it: every append is also an entry in `ops`, so that a test can say which
// logs a recovery may give: the state after some number of ops between those acknowledged and those handed in.
#pragma once
#include "storage/journal.h"
#include "test/unit/support/memory_io.h"
#include <errno.h>

struct journal_rig_batch {
    uint64_t first, last, term;
    uint64_t crc; // 64 bits: no padding, so that memcmp compares these
};
struct journal_rig_state {
    struct journal_hard hard;
    uint64_t start_index, start_term, last_index, last_term;
    struct journal_rig_batch *batches;
    size_t count, capacity;
};
struct journal_rig_op {
    struct journal_append append; // append.context: the rig
    struct journal_hard hard;
    bool has_hard, answered, failed;
    int result;
};
struct journal_rig {
    struct memory_io *m;
    struct journal *journal;
    struct journal_options options;
    struct journal_recovered recovered;
    struct journal_error error;
    struct journal_rig_state base;  // when it was opened
    struct journal_rig_state found; // what the last open gave
    struct journal_rig_op **ops;    // since then, in order; failed ones are taken out
    size_t op_count, op_capacity;
    size_t acknowledged;              // a prefix of ops
    uint64_t term;                    // of the next batches
    uint64_t last_index, start_index; // as queued
    struct prng prng;
    bool broken_sections; // of what is appended from now on
    int fatal;
    uint64_t cut_index; // what may be gone
};
void journal_rig_init(struct journal_rig *r, uint64_t seed, uint64_t segment_bytes);
void journal_rig_free(struct journal_rig *r); // the memory_io too
int journal_rig_open(struct journal_rig *r);  // fills found; base is the caller's to move (journal_rig_settle)
void journal_rig_stop(struct journal_rig *r); // abandons the journal, frees the ops
struct journal_rig_op *journal_rig_append(struct journal_rig *r, uint32_t batches, size_t body_bytes);
struct journal_rig_op *journal_rig_append_full(struct journal_rig *r, const struct journal_hard *hard, uint64_t start,
                                               uint64_t start_term, uint64_t truncate_from, uint32_t batches,
                                               size_t body_bytes);
void journal_rig_state_free(struct journal_rig_state *s);
void journal_rig_state_after(const struct journal_rig *r, size_t ops,
                             struct journal_rig_state *s); // base and so many ops
bool journal_rig_state_equal(const struct journal_rig_state *want, const struct journal_rig_state *got,
                             uint64_t cut_index);
// The number of ops that `found` holds: at least `least`, at most `most`; SIZE_MAX: none fits.
size_t journal_rig_match(const struct journal_rig *r, size_t least, size_t most);
void journal_rig_settle(struct journal_rig *r, size_t ops); // base = found, ops forgotten
void journal_rig_take_out_failed(struct journal_rig *r);    // ops that a full disk refused are not in the model
// Reads [first, last] and holds it against the model (all ops acknowledged): whole batches, in order, from the one that
// holds first on, never more than bytes_max (but one). Gives the result and the number of batches.
int journal_rig_read(struct journal_rig *r, uint64_t first, uint64_t last, size_t bytes_max, size_t *count);
