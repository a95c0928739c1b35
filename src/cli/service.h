// `parley service` (service.c): while CMD runs (service_run.c).
#pragma once
#include "cli/native_client.h"
#include <stdint.h>

struct service_options {
    const char *name, *id; // for messages
    json_t *body;          // of registry/register, without a session
    uint64_t ttl_ms;
    bool json;
    char **command;
};
int service_run(struct native_client *client, const struct service_options *options);
