// `parley demo`: experiments with real processes. Each shows the usual way failing, then the same need met by this
// cluster. A demo is a row of two functions; what they start (services, stores, nodes) are processes of this binary
// that die with the demo's own process, so a failure anywhere simply ends that one.
#pragma once
#include "cli/native_client.h"
#include "cli/nodes.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define DEMO_NODES 3u
#define DEMO_TEXT 512u    // of a message from a service, and of a store's answer
#define DEMO_STALLS 1u    // a service stops itself at the point that the story names,
#define DEMO_LATE_STALL 2 // or at the later one
#define DEMO_WAIT_MS 20000u

// A store as many services have one: a process with its own file, values without versions, locks with a time-out. It
// refuses an older token than it has seen of a key, but only who gives a token gets that.
struct store {
    pid_t pid;
    struct sockaddr_un address;
    socklen_t address_len;
    char path[4096];
};
struct demo {
    const struct demo_row *row;
    const char *folder;
    bool quiet;
    struct nodes nodes;
    pid_t pids[DEMO_NODES]; // 0: killed
    struct store store;
    struct native_client client;
    json_t *facts; // of the half that runs
};
struct demo_row {
    const char *name, *about;
    const char *usual, *ours;             // how each is done, in a line
    const char *command;                  // that does it in a shell
    bool (*run_usual)(struct demo *demo); // true: it failed as told
    bool (*run_ours)(struct demo *demo);  // true: it held
};
extern const struct demo_row demo_payment, demo_result, demo_order, demo_consumer, demo_lock, demo_stock, demo_limit,
    demo_ids, demo_config, demo_session, demo_naming;

// ---- the story
void demo_say(const struct demo *demo, const char *format, ...) __attribute__((format(printf, 2, 3)));
void demo_fact(struct demo *demo, const char *name, long long value); // "charged_twice"
_Noreturn void demo_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Asks until it holds; nothing depends on how often.
void demo_until(struct demo *demo, const char *what, bool (*holds)(struct demo *demo, const void *context),
                const void *context);

// ---- the cluster
void demo_kill_leader(struct demo *demo); // kill -9
// The cluster's answer, which is for the caller to free; problem: its error's name, "" when it is none. body is taken.
json_t *demo_ask(struct native_client *client, const char *operation, json_t *body, uint64_t wait_ms, char problem[64]);
json_t *demo_good(struct native_client *client, const char *operation, json_t *body); // where no error can be

// ---- services: processes that do one thing each, and report
struct service { // as the process itself sees it
    const char *name, *words;
    unsigned stall;
    const struct store *store;
    struct native_client *client;
    const char *folder;
    int line;
};
struct actor { // as the story sees it
    const char *name;
    pid_t pid;
    int line;
    char text[DEMO_TEXT];
};
// name: "A"; words: what it is to do, for the function to read.
struct actor actor_start(struct demo *demo, void (*run)(struct service *service), const char *name, const char *words,
                         unsigned stall);
const char *actor_hear(struct actor *actor);   // its next report; waits for it
void actor_stopped(const struct actor *actor); // waits until it has stopped
void actor_continue(const struct actor *actor);
void actor_kill(struct actor *actor); // kill -9
void actor_end(struct actor *actor);  // waits until it has done its thing
void service_report(const struct service *service, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Stops this process (SIGSTOP) if the story wants it at this point, as a page fault, a debugger or a moving virtual
// machine does.
void service_stall(const struct service *service, unsigned point);

// ---- the store
void store_start(struct demo *demo, const char *name); // the file of this name; goes on with it if it is there
void store_kill(struct demo *demo);
// Operation, key, token (0: none), value. true: done, and answer has its text; false: "busy" or "refused TOKEN".
bool store_ask(const struct store *store, char answer[DEMO_TEXT], const char *operation, const char *key,
               unsigned long long token, const char *value);
long long store_number(const struct store *store, const char *operation, const char *key); // 0: there is none
int store_subscribe(const struct store *store, const char *key); // a descriptor that messages come from
