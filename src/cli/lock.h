// What the files of `parley lock` and `parley elect` share.
#pragma once
#include "cli/held.h"
#include "cli/native_client.h"

#define LOCK_EXIT_NOT_GOT 75 // held by another in all the time given, or no server could be asked; CMD did not run

struct lock_options {
    const char *who; // "parley lock", for messages
    const char *name;
    const char *value; // not NULL: an election's
    uint64_t members;  // not 0: a barrier's, which is entered instead; the token is the round
    const char *owner; // NULL: "HOST pid PID"
    char **command;    // NULL-terminated
    uint64_t ttl_ms, wait_ms, grace_ms, delay_ms, permits, total;
    bool shared, json;
};
int lock_run(struct native_client *client, const struct lock_options *options); // the exit code
int lock_via_run(const char *url, const struct lock_options *options);          // the same on another system's lock

// A lock, or the lead of an election, under a session of its own.
struct lock_claim {
    struct native_client *client;
    const struct lock_options *options;
    char session[96], owner[256];
    json_int_t token;
    uint64_t acknowledged_ms; // under the lock of `held`
    struct keeper keeper;
    struct held held;
    _Atomic int users; // its watcher may wait for an answer behind its end
};
struct lock_claim *lock_claim_new(struct native_client *client, const struct lock_options *options);
void lock_claim_drop(struct lock_claim *claim);
bool lock_claim_get(struct lock_claim *claim); // false: said why. Else lock_claim_end is due
int lock_claim_hold(struct lock_claim *claim); // runs the command (held.h), which is told the token; its exit code
void lock_claim_end(struct lock_claim *claim); // with its session
void lock_tell(const struct lock_claim *claim, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
