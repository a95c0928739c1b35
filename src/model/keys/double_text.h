// Decimal and hexadecimal text to double, rounded to the nearest (a tie to the even one) by integers alone: the same
// bits on every CPU, in every locale and rounding mode. What strtod takes, without leading blanks and without nan,
// which no command accepts.
#pragma once
#include "base/bytes.h"

enum double_range { DOUBLE_IN_RANGE, DOUBLE_TOO_LARGE, DOUBLE_TOO_SMALL }; // then *out is infinite, or zero
// How many bytes of `text` are a number; 0: none, *out is 0.
size_t double_read(struct bytes text, double *out, enum double_range *range);
// An argument as Redis reads one: the whole text, no blanks, in range.
bool double_read_whole(struct bytes text, double *out);
