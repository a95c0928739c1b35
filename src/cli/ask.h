// What the commands that ask a running node share: its address, its JSON, its errors.
#pragma once
#include <jansson.h>
#include <stdbool.h>

#define ASK_DEFAULT "localhost:7450"
#define ASK_TIMEOUT_MS 15000u // administration waits for the leader and a commit
#define ASK_OPTION(variable)                                                                                           \
    { "http", 0, "ADDR", "the node's HTTP address [" ASK_DEFAULT "]", &(variable), NULL }

// "7450" and "host" are completed; NULL with a printed message when it is no address. out: ADDRESS_TEXT_MAX bytes.
bool ask_address(const char *command, const char *given, char *out);
// NULL when it failed, which was printed, unless quiet.
json_t *ask_json(const char *command, const char *address, const char *method, const char *path, json_t *body,
                 unsigned timeout_ms, bool quiet);
// Administration: the request, then its result printed. Gives the exit code.
int ask_admin(const char *command, const char *address, const char *method, const char *path, json_t *body);
