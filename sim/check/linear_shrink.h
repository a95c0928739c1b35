// Makes a violation small enough to be read.
#pragma once
#include "sim/check/linear_search.h"

// For an object that linear_search refused: sets use[] to a smaller set of its items that is refused all the same, and
// whose refusal means that the whole is wrong. Gives the initial value that this holds for: the one it was given, or
// RECORD_ANY when it does not matter what stood there.
record_text linear_shrink(const struct linear_object *object, record_text initial, struct linear_budget budget,
                          uint8_t *use);
