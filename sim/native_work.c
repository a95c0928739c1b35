// The table of what native clients do.
#include "sim/native.h"

const struct native_workload *const native_workloads[] = {&native_workload_lock,        &native_workload_sequence,
                                                          &native_workload_idempotency, &native_workload_guard,
                                                          &native_workload_topic,       NULL};
