// What the files of `parley elect` share.
#pragma once
#include "cli/lock.h"

// Campaigns again and again, and runs the commands (of a shell) at each change; NULL: none. Ends by SIGTERM, SIGINT or
// SIGHUP, or when it cannot campaign.
int elect_serve(struct native_client *client, const struct lock_options *options, const char *on_leader,
                const char *on_follower);
int elect_show(struct native_client *client, const char *name, bool json);
int elect_list(struct native_client *client, bool json);
int elect_watch(struct native_client *client, const char *name, bool json); // a line for each change, until it is ended

// A leader, as observers see it.
struct elect_leader {
    bool elected;
    char candidate[256], value[1032];
    long long token, version;
};
// Waits for another version than seen (-1: any). false: nobody answered, or was refused, which `error` says.
bool elect_observe(struct native_client *client, const char *name, long long seen, struct elect_leader *out,
                   char error[512]);
