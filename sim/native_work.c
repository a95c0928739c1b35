// The table of what native clients do.
#include "sim/native.h"

const struct native_workload *const native_workloads[] = {&native_workload_lock,        &native_workload_sequence,
                                                          &native_workload_idempotency, &native_workload_guard,
                                                          &native_workload_topic,       &native_workload_limiter,
                                                          &native_workload_queue,       &native_workload_registry,
                                                          &native_workload_config,      &native_workload_election,
                                                          &native_workload_barrier,     &native_workload_latch,
                                                          &native_workload_release,     NULL};
