// Watches: a one-shot watch gives at most one event, and gives it if a later change is known and the client was told
// anything newer; a persistent watch gives every change, in order.
#pragma once
#include "sim/check/check.h"

void watches_check(const struct record *record, const struct check_limits *limits, struct check_result *result);
