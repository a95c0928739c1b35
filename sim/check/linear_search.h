// The search itself, over one object: is there an order of its operations that its model allows and that keeps every
// operation between its call and its return?
#pragma once
#include "sim/check/check.h"

struct linear_part {
    size_t operation; // index into the record
    uint32_t cell;
};
// One atomic operation: a single one, or all of a multi that concerns the object.
struct linear_item {
    uint64_t call_us, return_us;
    size_t first; // of its parts
    uint32_t parts;
    bool definite; // it was answered, so it must have its place
};
struct linear_object {
    const struct record *record;
    struct linear_item *items; // ascending by call
    struct linear_part *parts;
    size_t count;
    uint32_t cells;
    bool queue;
};
// Which items take part: the minimiser leaves some out and relaxes others. Relaxing (it may take effect or not,
// whenever) only ever accepts more.
enum linear_use { LINEAR_OUT, LINEAR_AS_IT_IS, LINEAR_RELAXED };

struct linear_budget {
    uint64_t steps;      // left
    size_t memory;       // of one search
    const char *ran_out; // of what, when the answer was CHECK_UNKNOWN
};
// initial: what every cell holds at first, RECORD_ANY: not known. use NULL: everything as it is.
enum check_verdict linear_search(const struct linear_object *object, const uint8_t *use, record_text initial,
                                 struct linear_budget *budget);

// An item that has no effect on anything: it may be left out without making a good history bad.
bool linear_item_observes(const struct linear_object *object, const struct linear_item *item);
