// What ZooKeeper promises a session: answers and effects in the order of sending, a view that never goes back, its own
// writes, events before the data that they announce, and a sync that is worth its name.
#pragma once
#include "sim/check/check.h"

void guarantees_check(const struct record *record, const struct check_limits *limits, struct check_result *result);
