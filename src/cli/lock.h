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
int lock_via_run(const char *url, const struct lock_options *options);          // the same on another system's lock
// On standard error: a line, or with --json an object. token: 0: none.
void lock_tell(const struct lock_options *options, uint64_t token, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
