// Sequence numbers: unique for each key, and growing for calls that do not overlap.
#pragma once
#include "sim/check/check.h"

void sequences_check(const struct record *record, const struct check_limits *limits, struct check_result *result);
