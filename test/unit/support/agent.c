#include "support/agent.h"

static void agent_reply(void *connection, uint64_t tag, const struct result *result) {
    struct agent *agent = connection;
    agent->replies++;
    agent->error = result->error;
    if (result->error == 0 && result->model == MODEL_LEASE && result->op == LEASE_ATTACH)
        agent->session = ((const struct lease_result *)result->value)->session;
}

static void agent_read_ready(void *connection, uint64_t tag, int error) {
    ((struct agent *)connection)->reads += error == 0;
}

static void agent_kept_alive(void *connection) {
    ((struct agent *)connection)->acks++;
}

static void agent_close(void *connection) {
    struct agent *agent = connection;
    agent->closes++;
    agent->client = NULL;
}

static const struct protocol agent_protocol = {.name = "agent",
                                               .reply = agent_reply,
                                               .read_ready = agent_read_ready,
                                               .kept_alive = agent_kept_alive,
                                               .close = agent_close};

void agent_open(struct rig_node *rig, void *context) {
    struct agent *agent = context;
    static const uint8_t password[LEASE_PASSWORD_BYTES] = {1};
    uint32_t timeout_ms = agent->timeout_ms != 0 ? agent->timeout_ms : 1000;
    agent->client = service_client_open(node_service(rig->node), &agent_protocol, agent);
    if (agent->client != NULL) client_attach(agent->client, 0, password, timeout_ms, LEASE_KIND_NATIVE);
}
