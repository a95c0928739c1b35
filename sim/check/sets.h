// Sets that are read as a whole: no acknowledged element lost, none out of nowhere, none twice, none missing from a
// read that had to show it.
#pragma once
#include "sim/check/check.h"

void sets_check(const struct record *record, const struct check_limits *limits, struct check_result *result);
