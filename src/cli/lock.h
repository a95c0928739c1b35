// What the files of `parley lock` share.
#pragma once
#include "cli/native_client.h"

// Exit codes beside CMD's own (128 + N when a signal N ended it) and those of every command (server.h).
#define LOCK_EXIT_NOT_GOT 75 // held by another in all the time given, or no server could be asked; CMD did not run
#define LOCK_EXIT_LOST 76    // it was lost while CMD ran; CMD was ended
#define LOCK_EXIT_CANNOT_RUN 126
#define LOCK_EXIT_NOT_FOUND 127

#define LOCK_GRACE_MS_DEFAULT 3000u

struct lock_options {
    const char *name;
    char **command; // NULL-terminated
    uint64_t ttl_ms, wait_ms, grace_ms, delay_ms, permits, total;
    bool shared, json;
};
int lock_run(struct native_client *client, const struct lock_options *options); // the exit code
