// What the files of `parley lock` share.
#pragma once
#include "cli/native_client.h"

#define LOCK_EXIT_NOT_GOT 75 // held by another in all the time given, or no server could be asked; CMD did not run

struct lock_options {
    const char *name;
    char **command; // NULL-terminated
    uint64_t ttl_ms, wait_ms, grace_ms, delay_ms, permits, total;
    bool shared, json;
};
int lock_run(struct native_client *client, const struct lock_options *options); // the exit code
