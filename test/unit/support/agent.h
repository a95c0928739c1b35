// A client without a socket, and what the node told it. All of it belongs to the service loop (rig_call).
#pragma once
#include "node/protocol.h"
#include "support/node_rig.h"

struct agent {
    struct client *client; // NULL: closed
    uint64_t session;
    size_t replies, reads, acks, closes;
    int error;           // of the newest reply
    uint32_t timeout_ms; // of the session that agent_open asks for; 0: one second
};
void agent_open(struct rig_node *rig, void *agent); // for rig_call
