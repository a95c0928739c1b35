// Linearizability, key by key: the search of Wing and Gong with Lowe's memory of the configurations it has been in.
// An operation that nobody knows the outcome of may take effect at any time behind its call, or never.
// Keys: registers (read, write, cas by value or version, create, delete, any mixture), elements of sets (add, remove,
// contains), queues (enqueue, dequeue). Keys that a multi binds together are searched as one object, if they are few.
// Reads with consistency "local" are none of its business (sim/check/guarantees.h).
#pragma once
#include "sim/check/check.h"

void linear_check(const struct record *record, const struct check_limits *limits, struct check_result *result);
