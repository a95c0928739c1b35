// Numbers that a service gave out (sequence numbers, fencing tokens): rules that they share.
#pragma once
#include "sim/check/check.h"
#include "sim/check/order.h"

struct numbered {
    const struct record_operation *operation;
    uint64_t number;
};
struct numbers {
    const struct record *record;
    const struct check_limits *limits;
    struct check_result *result;
    const char *what; // "token"
    struct numbered *at;
    size_t count;
};
// Takes the operations that `wants` names, by key; a value without a number is reported as unknown.
void numbers_select(struct numbers *numbers, order_filter_fn wants);
void numbers_free(struct numbers *numbers);

void numbers_unique(const struct numbers *numbers); // for each key
// An operation that was called behind another's return has the greater number (equal: only if `equal_too`).
void numbers_grow(const struct numbers *numbers, bool equal_too);
void numbers_grow_by_client(const struct numbers *numbers); // in each client's order of sending
// The one with this number, or NULL.
const struct numbered *numbers_find(const struct numbers *numbers, record_text key, uint64_t number);
