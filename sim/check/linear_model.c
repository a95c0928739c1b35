#include "sim/check/linear_model.h"

#include <string.h>

bool linear_observes(enum record_op op) {
    return op == RECORD_READ || op == RECORD_CONTAINS;
}

// What stands there must be this; what was not known becomes it.
static enum linear_step must_be(uint32_t *word, uint32_t any, uint32_t wanted) {
    if (*word == wanted) return LINEAR_SAME;
    if (*word != any) return LINEAR_ILLEGAL;
    *word = wanted;
    return LINEAR_CHANGED;
}

static enum linear_step both(enum linear_step a, enum linear_step b) {
    if (a == LINEAR_ILLEGAL || b == LINEAR_ILLEGAL) return LINEAR_ILLEGAL;
    return a == LINEAR_CHANGED ? a : b;
}

static enum linear_step version_must_be(uint32_t *cell, bool versions, uint32_t wanted) {
    if (!versions || wanted == CELL_NO_VERSION) return LINEAR_SAME;
    return must_be(&cell[1], CELL_NO_VERSION, wanted);
}

static enum linear_step read_cell(const struct linear_move *move, bool versions, uint32_t *cell) {
    enum linear_step value = must_be(&cell[0], CELL_ANY, move->value);
    if (value == LINEAR_CHANGED && move->value == RECORD_NULL && versions) cell[1] = CELL_NO_VERSION;
    return move->value == RECORD_NULL ? value : both(value, version_must_be(cell, versions, move->version));
}

// An operation that failed for a reason that tells something. Where nothing is known yet of the cell, a "not this" is
// taken without remembering it: that accepts more, never less.
static enum linear_step failed(const struct linear_move *move, bool versions, uint32_t *cell) {
    if (move->error == RECORD_NO_NODE) return must_be(&cell[0], CELL_ANY, RECORD_NULL);
    if (move->error == RECORD_NODE_EXISTS) return cell[0] == RECORD_NULL ? LINEAR_ILLEGAL : LINEAR_SAME;
    if (move->expect_version != CELL_NO_VERSION) {
        if (cell[0] == RECORD_NULL) return LINEAR_ILLEGAL;
        return versions && cell[1] == move->expect_version ? LINEAR_ILLEGAL : LINEAR_SAME;
    }
    return cell[0] == move->expect && move->expect != RECORD_ANY ? LINEAR_ILLEGAL : LINEAR_SAME;
}

static enum linear_step put(const struct linear_move *move, bool versions, uint32_t *cell) {
    if (versions && cell[0] == RECORD_NULL)
        cell[1] = 0;
    else if (versions && cell[1] != CELL_NO_VERSION)
        cell[1]++;
    cell[0] = move->value;
    if (version_must_be(cell, versions, move->version) == LINEAR_ILLEGAL) return LINEAR_ILLEGAL;
    return LINEAR_CHANGED;
}

static enum linear_step swap(const struct linear_move *move, bool versions, uint32_t *cell) {
    if (move->expect != RECORD_ANY && must_be(&cell[0], CELL_ANY, move->expect) == LINEAR_ILLEGAL)
        return LINEAR_ILLEGAL;
    if (move->expect_version != CELL_NO_VERSION) {
        if (cell[0] == RECORD_NULL) return LINEAR_ILLEGAL;
        if (version_must_be(cell, versions, move->expect_version) == LINEAR_ILLEGAL) return LINEAR_ILLEGAL;
    }
    return put(move, versions, cell);
}

static enum linear_step create(const struct linear_move *move, bool versions, uint32_t *cell) {
    if (must_be(&cell[0], CELL_ANY, RECORD_NULL) == LINEAR_ILLEGAL) return LINEAR_ILLEGAL;
    return put(move, versions, cell);
}

static enum linear_step delete (const struct linear_move *move, bool versions, uint32_t *cell) {
    if (cell[0] == RECORD_NULL) return LINEAR_ILLEGAL;
    if (version_must_be(cell, versions, move->expect_version) == LINEAR_ILLEGAL) return LINEAR_ILLEGAL;
    cell[0] = RECORD_NULL;
    if (versions) cell[1] = CELL_NO_VERSION;
    return LINEAR_CHANGED;
}

static enum linear_step set_element(uint32_t *cell, uint32_t value) {
    enum linear_step step = cell[0] == value ? LINEAR_SAME : LINEAR_CHANGED;
    cell[0] = value;
    return step;
}

static enum linear_step do_move(const struct linear_move *move, bool versions, uint32_t *cell) {
    if (move->optional && linear_observes(move->op)) return LINEAR_SAME; // of a multi: nobody knows what it read
    if (move->error != RECORD_NO_ERROR) return failed(move, versions, cell);
    switch (move->op) {
    case RECORD_READ:
        return read_cell(move, versions, cell);
    case RECORD_WRITE:
        return put(move, versions, cell);
    case RECORD_CAS:
        return swap(move, versions, cell);
    case RECORD_CREATE:
        return create(move, versions, cell);
    case RECORD_DELETE:
        return delete (move, versions, cell);
    case RECORD_ADD:
        return set_element(cell, CELL_IN);
    case RECORD_REMOVE:
        return set_element(cell, RECORD_NULL);
    case RECORD_CONTAINS:
        return must_be(&cell[0], CELL_ANY, move->found ? CELL_IN : RECORD_NULL);
    default:
        return LINEAR_ILLEGAL;
    }
}

static bool blind(const struct linear_move *move) {
    return move->error == RECORD_NO_ERROR &&
           (move->op == RECORD_WRITE || move->op == RECORD_ADD || move->op == RECORD_REMOVE);
}

enum linear_step linear_cell(const struct linear_move *move, bool versions, uint32_t cell[CELL_WORDS]) {
    if (!versions && cell[1] == CELL_FRESH && blind(move)) return LINEAR_ILLEGAL;
    enum linear_step step = do_move(move, versions, cell);
    if (versions || step == LINEAR_ILLEGAL) return step;
    cell[1] = move->optional && move->alone && blind(move) ? CELL_FRESH : CELL_NO_VERSION;
    return step;
}

enum linear_step linear_queue(const struct linear_move *move, uint32_t *elements, size_t *count) {
    if (move->op == RECORD_ENQUEUE) {
        elements[(*count)++] = move->value;
        return LINEAR_CHANGED;
    }
    if (move->op != RECORD_DEQUEUE) return LINEAR_ILLEGAL;
    bool nothing = !move->optional && move->value == RECORD_NULL;
    if (nothing) return *count == 0 ? LINEAR_SAME : LINEAR_ILLEGAL;
    if (*count == 0 || (!move->optional && elements[0] != move->value)) return LINEAR_ILLEGAL;
    memmove(elements, elements + 1, --*count * sizeof *elements);
    return LINEAR_CHANGED;
}
