// What the files of `parley topic` share.
#pragma once
#include "cli/native_client.h"

struct topic_consume_options {
    const char *name, *group, *member, *strategy, *room, *start; // room: NULL: none
    const json_t *partitions;                                    // for by-config; NULL: none
    char **command;                                              // NULL-terminated; NULL: messages are printed
    uint64_t ttl_ms, handover_ms, grace_ms, delay_ms, wait_ms;
    bool once, json;
};
#define TOPIC_EXIT_NONE 75 // --once: no message in the time given
int topic_consume(struct native_client *client, const struct topic_consume_options *options); // the exit code
