#include "sim/client.h"
void record_begin(struct sim *sim) {}
void record_end(struct sim *sim) {}
void record_sent(struct sim_client *client, struct op *op) {}
void record_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r) {}
void record_lost(struct sim_client *client, const struct op *op) {}
void record_event(struct sim_client *client, const struct oracle_node *node, int32_t type) {}
