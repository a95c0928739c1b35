#include "sim/check/sequences.h"

#include "sim/check/numbers.h"

static bool is_given(const struct record_operation *o) {
    return o->op == RECORD_SEQUENCE && o->outcome == RECORD_OK;
}

void sequences_check(const struct record *record, const struct check_limits *limits, struct check_result *result) {
    struct numbers numbers = {.record = record, .limits = limits, .result = result, .what = "number"};
    numbers_select(&numbers, is_given);
    numbers_unique(&numbers);
    numbers_grow(&numbers, false);
    numbers_grow_by_client(&numbers);
    numbers_free(&numbers);
}
