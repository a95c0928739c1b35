// What the files of `parley once` share.
#pragma once
#include "base/bytes.h"
#include "cli/held.h"
#include "cli/native_client.h"

#define ONCE_LEASE_MS_MIN 2000u // below it an election of a new leader would end runs
#define ONCE_LEASE_MS_DEFAULT 15000u
#define ONCE_EXIT_NOT_RUN 75 // another runs CMD in all the time given, or no server could be asked, or a mismatch
#define ONCE_OUTPUT_BYTES_MAX 48000u // of both outputs: as base64 they fit into a stored body of 64 KiB

struct once_options {
    const char *key;
    char **command; // NULL-terminated
    const char *fingerprint;
    uint64_t ttl_ms, lease_ms, wait_ms, grace_ms;
    bool retry_failed, json;
};
int once_run(struct native_client *client, const struct once_options *options); // the exit code

// ---- what is stored (once_output.c)
struct once_output {
    struct writer streams[2]; // standard output and error
    bool cut;                 // there was more
};
void once_output_init(struct once_output *output);
void once_output_free(struct once_output *output);
void once_output_add(struct once_output *output, int stream, const void *data, size_t len);
char *once_output_text(const struct once_output *output);                   // JSON; to be freed
bool once_output_read(struct once_output *output, const char *text);        // false: it is not of `parley once`
void once_output_replay(const struct once_output *output, const char *key); // to our own output and error
void once_write_all(int fd, const void *data, size_t len);
