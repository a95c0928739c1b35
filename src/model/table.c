// One row per model. MODEL_GROUP has no row: its commands are the machine's own (replica/machine.c).
#include "model/barrier/barrier.h"
#include "model/config/config.h"
#include "model/guard/guard.h"
#include "model/idempotency/idempotency.h"
#include "model/keys/keys.h"
#include "model/lease/lease.h"
#include "model/limiter/limiter.h"
#include "model/lock/lock.h"
#include "model/model.h"
#include "model/queue/queue.h"
#include "model/registry/registry.h"
#include "model/sequence/sequence.h"
#include "model/topic/topic.h"
#include "model/tree/tree.h"

static const struct {
    const struct model_ops *ops;
    uint32_t min_apply_level;
} rows[MODEL_COUNT] = {
    [MODEL_LEASE] = {&lease_model, 1},
    [MODEL_TREE] = {&tree_model, 1},
    [MODEL_LOCK] = {&lock_model, 2},
    [MODEL_SEQUENCE] = {&sequence_model, 2},
    [MODEL_IDEMPOTENCY] = {&idempotency_model, 2},
    [MODEL_GUARD] = {&guard_model, 2},
    [MODEL_LIMITER] = {&limiter_model, 2},
    [MODEL_QUEUE] = {&queue_model, 2},
    [MODEL_BARRIER] = {&barrier_model, 2},
    [MODEL_CONFIG] = {&config_model, 2},
    [MODEL_TOPIC] = {&topic_model, 2},
    [MODEL_KEYS] = {&keys_model, 3},
    [MODEL_REGISTRY] = {&registry_model, 2},
};

const struct model_ops *model_table(uint8_t id) {
    return id < MODEL_COUNT ? rows[id].ops : NULL;
}

uint32_t model_min_apply_level(uint8_t id) {
    return id < MODEL_COUNT ? rows[id].min_apply_level : 0;
}
