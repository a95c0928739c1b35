// Locks by their fencing tokens, not by anybody's clock: tokens of accepted writes never go down, no two grants share
// one, and a grant that was asked for after another grant was known has the greater one.
#pragma once
#include "sim/check/check.h"

void locks_check(const struct record *record, const struct check_limits *limits, struct check_result *result);
