#include "sim/check/linear_values.h"

#include <stdlib.h>

#include "base/alloc.h"

// The value that must stand in the cell for the move to be right, if it is one value.
static bool sees(const struct linear_move *move, record_text *value) {
    if (move->error != RECORD_NO_ERROR) {
        *value = RECORD_NULL;
        return move->error == RECORD_NO_NODE;
    }
    *value = move->op == RECORD_READ ? move->value : move->op == RECORD_CREATE ? RECORD_NULL : move->expect;
    if (move->op == RECORD_READ || move->op == RECORD_CREATE) return !(move->optional && move->op == RECORD_READ);
    return move->op == RECORD_CAS && move->expect != RECORD_ANY;
}

static bool makes(const struct linear_move *move, record_text *value) {
    if (move->error != RECORD_NO_ERROR) return false;
    *value = move->op == RECORD_DELETE ? RECORD_NULL : move->value;
    return move->op == RECORD_WRITE || move->op == RECORD_CAS || move->op == RECORD_CREATE || move->op == RECORD_DELETE;
}

static int compare(const void *a, const void *b) {
    const struct linear_value *left = a, *right = b;
    if (left->cell != right->cell) return left->cell < right->cell ? -1 : 1;
    return left->value < right->value ? -1 : left->value > right->value;
}

static struct linear_value *find(const struct linear_values *values, uint32_t cell, record_text value) {
    struct linear_value wanted = {.cell = cell, .value = value};
    return bsearch(&wanted, values->at, values->count, sizeof wanted, compare);
}

void linear_values_init(struct linear_values *values, const struct linear_move *moves, size_t count) {
    record_text value;
    size_t kept = 0;
    *values = (struct linear_values){.at = mem_alloc((2 * count + 1) * sizeof *values->at)};
    for (size_t i = 0; i < count; i++) {
        if (sees(&moves[i], &value))
            values->at[values->count++] = (struct linear_value){moves[i].cell, value, 0, 0, false};
        if (makes(&moves[i], &value))
            values->at[values->count++] = (struct linear_value){moves[i].cell, value, 0, 0, false};
    }
    qsort(values->at, values->count, sizeof *values->at, compare);
    for (size_t i = 0; i < values->count; i++)
        if (i == 0 || compare(&values->at[kept - 1], &values->at[i]) != 0) values->at[kept++] = values->at[i];
    values->count = kept;
    for (size_t i = 0; i < count; i++) {
        if (sees(&moves[i], &value) && moves[i].optional) find(values, moves[i].cell, value)->conditional = true;
        linear_values_done(values, &moves[i], 1, false);
    }
}

void linear_values_free(struct linear_values *values) {
    mem_free(values->at);
}

void linear_values_done(struct linear_values *values, const struct linear_move *moves, uint32_t count, bool done) {
    record_text value;
    uint32_t step = done ? UINT32_MAX : 1; // minus one, or one
    for (uint32_t i = 0; i < count; i++) {
        if (sees(&moves[i], &value) && !moves[i].optional) find(values, moves[i].cell, value)->seers += step;
        if (makes(&moves[i], &value)) find(values, moves[i].cell, value)->makers += step;
    }
}

bool linear_values_lost(const struct linear_values *values, const struct linear_move *moves, uint32_t count,
                        const uint32_t *before, const uint32_t *after, uint32_t cells) {
    for (uint32_t cell = 0; cell < cells; cell++) {
        record_text old = before[cell * CELL_WORDS], value;
        if (old == after[cell * CELL_WORDS] || old == CELL_ANY || old == CELL_UNSEEN) continue;
        const struct linear_value *known = find(values, cell, old);
        if (known == NULL || known->makers > 0) continue;
        uint32_t own = 0;
        for (uint32_t i = 0; i < count; i++)
            if (moves[i].cell == cell && !moves[i].optional && sees(&moves[i], &value) && value == old) own++;
        if (known->seers > own) return true;
    }
    return false;
}

bool linear_values_unseen(const struct linear_values *values, const struct linear_move *move) {
    const struct linear_value *known = find(values, move->cell, move->value);
    return known == NULL || (known->seers == 0 && !known->conditional);
}
