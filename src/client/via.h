// Between parley_via.h (via.c) and the modules (src/via/): a module is one system's recipe, a table of functions. What
// all have in common is done once, in via.c: the clock that tells a loss, the thread that renews, the count of holds.
#pragma once
#include "parley.h"

#define VIA_VERSION 1u // of this file
#define VIA_HOSTS_MAX 9u
#define VIA_PARAMETERS_MAX 8u
#define VIA_MODULE_SYMBOL "parley_via_module"

struct via_host {
    char host[256];
    uint16_t port; // 0: the system's own
};
struct via_parameter {
    char name[32], value[256];
};
struct via_url {
    char scheme[16], user[128], password[128], path[256]; // path without its first slash
    struct via_host hosts[VIA_HOSTS_MAX];
    size_t count;
    struct via_parameter parameters[VIA_PARAMETERS_MAX];
    size_t parameter_count;
};
bool via_url_read(const char *text, struct via_url *url); // false: it is none

struct via_setup { // lives as long as the module's state
    struct via_url url;
    char name[256];
    char owner[256]; // the user's, or the nonce
    char nonce[64];  // of this handle alone, in the whole world
    uint64_t ttl_ms;
    uint64_t answer_ms; // an answer that waits for nothing is waited for so long
};
struct via_grant {
    uint64_t token;    // 0: none
    uint64_t sent_ms;  // the clock before the request left that the grant counts from
    uint64_t valid_ms; // nobody else gets it for so long after that, unless it is renewed
};
enum via_kept { VIA_KEPT, VIA_GONE, VIA_UNSURE }; // UNSURE: nobody has said

// Calls of one state never overlap. A function that fails says why in `problem` (never NULL).
struct via_module {
    unsigned version;
    const char *schemes;                                                                       // "redis redlock"
    bool (*open)(const struct via_setup *setup, void **state, struct parley_problem *problem); // checks; asks nobody
    // Waits in the system's own way until until_ms (0: not at all). PARLEY_OK, PARLEY_BUSY (also when the time is
    // over), PARLEY_NOT_APPLIED (nobody answered), or another error. When it is held already: tried once more.
    enum parley_error (*acquire)(void *state, uint64_t until_ms, struct via_grant *grant,
                                 struct parley_problem *problem);
    enum via_kept (*keep)(void *state, struct parley_problem *problem);        // renews; blocks for answer_ms at most
    enum parley_error (*release)(void *state, struct parley_problem *problem); // once: OK, LOST or UNKNOWN
    int (*fd)(void *state);    // may be NULL; while it is held: readable when the system has news (-1: none)
    bool (*lost)(void *state); // may be NULL; what the module knows without asking, from any thread
    void (*close)(void *state);
};
extern const struct via_module via_native; // parley://, built in
