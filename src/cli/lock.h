// What the files of `parley lock` share.
#pragma once
#include "cli/child.h"
#include "cli/native_client.h"

#define LOCK_GRACE_MS_DEFAULT 3000u

struct lock_options {
    const char *name;
    char **command; // NULL-terminated
    uint64_t ttl_ms, wait_ms, grace_ms, delay_ms, permits, total;
    bool shared, json;
};
int lock_run(struct native_client *client, const struct lock_options *options); // the exit code
