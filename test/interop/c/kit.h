// Named tests with deadlines for the C client, and what they share: clients, waiting, events that were seen.
#pragma once
#define THREADED
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <zookeeper/zookeeper.h>

// A failed check ends its test; the process goes on with the next.
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            kit_fail(__FILE__, __LINE__, #condition, " " __VA_ARGS__);                                                 \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)
#define CHECK_CODE(call, wanted)                                                                                       \
    do {                                                                                                               \
        int got_ = (call);                                                                                             \
        CHECK(got_ == (wanted), "gave %d (%s), wanted %d", got_, zerror(got_), (int)(wanted));                         \
    } while (0)
// Polls until the condition holds; ten seconds at most.
#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        long end_ = kit_ms() + 10000;                                                                                  \
        while (!(condition) && kit_ms() < end_) kit_pause();                                                           \
        CHECK(condition, "waited 10 s in vain");                                                                       \
    } while (0)

struct event {
    int type, state;
    char path[200];
};
struct client {
    zhandle_t *handle;
    pthread_mutex_t lock;
    struct event events[256]; // of the session and of default watches, in order
    int count;
};
struct test {
    const char *name;
    void (*run)(void);
    int seconds;
};
extern const struct test basic_tests[], asynchronous_tests[], session_tests[]; // each ends with a null name

__attribute__((format(printf, 4, 5))) void kit_fail(const char *file, int line, const char *what, const char *format,
                                                    ...);
long kit_ms(void);
void kit_pause(void);
const char *kit_hosts(int node); // -1: all; else that node's address (modulo their count)
int kit_host_count(void);
// A path below this run's root; valid until the same thread has asked for eight more.
const char *kit_path(const char *name);
// Prints KILL LEADER and waits for the harness; does nothing the second time.
void kit_kill_leader(void);

// A connected client, or null after 15 s. With `id` it takes over that session.
struct client *client_open(int node, int timeout_ms, const clientid_t *id);
// The same with a chroot.
struct client *client_open_below(int node, const char *chroot);
int client_close(struct client *c);                                                     // closes the session
void client_watch(zhandle_t *zh, int type, int state, const char *path, void *context); // context: the client
int client_events(struct client *c, int type, const char *path); // how many such were seen (null path: any)
int client_sync(struct client *c, const char *path);
int client_expired(struct client *c);
