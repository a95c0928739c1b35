// What the files of `parley queue` share.
#pragma once
#include "base/bytes.h"
#include "cli/native_client.h"

#define QUEUE_EXIT_NONE 75 // claim, work --once: there was no message in the time given

struct queue_work_options {
    const char *name;
    char **command; // NULL-terminated
    uint64_t visibility_ms, delay_ms, grace_ms, wait_ms;
    bool once, json;
};
int queue_work(struct native_client *client, const struct queue_work_options *options); // the exit code
void queue_set_body(json_t *to, struct bytes body); // "body", or "body_base64" if it is no text
bool queue_read_input(struct writer *to);           // standard input; false: too long, or unreadable, which was printed
bool queue_get_body(const json_t *message, struct writer *to); // false: base64 that is none
// What is pushed may be sent to several nodes, so it gets an id by which it is known: `given`, or a random one.
void queue_set_dedup(json_t *body, const char *given);
