// One row per model. MODEL_GROUP has no row: its commands are the machine's own (replica/machine.c).
#include "model/lease/lease.h"
#include "model/model.h"
#include "model/tree/tree.h"

const struct model_ops *model_table(uint8_t id) {
    static const struct model_ops *const rows[MODEL_COUNT] = {
        [MODEL_LEASE] = &lease_model,
        [MODEL_TREE] = &tree_model,
    };
    return id < MODEL_COUNT ? rows[id] : NULL;
}
