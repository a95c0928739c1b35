// Who still has to see which value, and who can still make it: a value that must be seen yet, and that nobody can make
// again, must not be overwritten.
#pragma once
#include "sim/check/linear_model.h"

struct linear_value {
    uint32_t cell;
    record_text value;
    uint32_t seers;   // definite ones that are not done
    uint32_t makers;  // that are not done, optional ones too
    bool conditional; // an optional swap wants it
};
struct linear_values {
    struct linear_value *at; // by cell and value
    size_t count;
};
void linear_values_init(struct linear_values *values, const struct linear_move *moves, size_t count);
void linear_values_free(struct linear_values *values);

void linear_values_done(struct linear_values *values, const struct linear_move *moves, uint32_t count, bool done);
// Whether the moves (which stand for one item) take a value away from `before` that somebody has yet to see.
bool linear_values_lost(const struct linear_values *values, const struct linear_move *moves, uint32_t count,
                        const uint32_t *before, const uint32_t *after, uint32_t cells);
// Whether nobody who is not done looks for what the move makes.
bool linear_values_unseen(const struct linear_values *values, const struct linear_move *move);
