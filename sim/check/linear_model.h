// What the objects of a history do, step by step: cells (registers with versions; elements of sets) and queues.
// A state is a span of words. Cells: value and version for each. Queue: its elements, the head first.
#pragma once
#include "sim/check/record.h"

#define CELL_WORDS 2u
#define CELL_ANY RECORD_ANY          // as value: whatever stood there at the beginning, not yet seen
#define CELL_UNSEEN (RECORD_ANY - 1) // as value: of a write that no read can have seen, whichever
#define CELL_IN 1u                   // an element of a set that is there
#define CELL_NO_VERSION UINT32_MAX   // as version: not known
#define CELL_FRESH (UINT32_MAX - 1)  // as version, where versions are not looked at: see linear_apply

// One operation (or part of a multi) on one cell, with what is known of its answer.
struct linear_move {
    enum record_op op;
    enum record_error error; // of an operation that failed and so was an observation; RECORD_NO_ERROR: it was done
    bool optional;           // outcome unknown: nothing of its answer is known
    bool alone;              // not part of a multi
    bool found;
    uint32_t cell;
    record_text value, expect;        // expect RECORD_ANY: none
    uint32_t version, expect_version; // CELL_NO_VERSION: none
};
enum linear_step { LINEAR_ILLEGAL, LINEAR_SAME, LINEAR_CHANGED };

// Does the move to a cell, if it is legal. With `versions` false the cell's version is only a mark: CELL_FRESH says
// that an optional blind write came last. A blind write on top of it would show that the optional one need not have
// happened at all, so that order is not worth trying and counts as illegal.
enum linear_step linear_cell(const struct linear_move *move, bool versions, uint32_t cell[CELL_WORDS]);
// The same for a queue of *count elements; there is room for one more.
enum linear_step linear_queue(const struct linear_move *move, uint32_t *elements, size_t *count);

bool linear_observes(enum record_op op); // has no effect of its own, whatever is answered
