#include "kit.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char hosts[8][64];
static int host_count;
static char all_hosts[600], run_root[64];
static bool failed, killed;
static int totals[3];
static const struct test *volatile under_way;

void kit_fail(const char *file, int line, const char *what, const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("  %s:%d: %s ", file, line, what);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    failed = true;
}

long kit_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void kit_pause(void) {
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

const char *kit_hosts(int node) {
    return node < 0 ? all_hosts : hosts[node % host_count];
}

int kit_host_count(void) {
    return host_count;
}

const char *kit_path(const char *name) {
    static _Thread_local char paths[8][256];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", run_root, name);
    return path;
}

void kit_kill_leader(void) {
    if (killed) return;
    killed = true;
    printf("KILL LEADER\n");
    fflush(stdout);
    char line[64];
    if (getenv("ZK_MODE") && !fgets(line, sizeof line, stdin)) printf("  the harness did not answer\n");
}

void client_watch(zhandle_t *zh, int type, int state, const char *path, void *context) {
    struct client *c = context;
    pthread_mutex_lock(&c->lock);
    if (c->count < (int)(sizeof c->events / sizeof c->events[0])) {
        struct event *e = &c->events[c->count++];
        e->type = type;
        e->state = state;
        snprintf(e->path, sizeof e->path, "%s", path ? path : "");
    }
    pthread_mutex_unlock(&c->lock);
}

int client_events(struct client *c, int type, const char *path) {
    int found = 0;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->count; i++)
        found += c->events[i].type == type && (!path || !strcmp(c->events[i].path, path));
    pthread_mutex_unlock(&c->lock);
    return found;
}

int client_expired(struct client *c) {
    int found = 0;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->count; i++)
        found += c->events[i].type == ZOO_SESSION_EVENT && c->events[i].state == ZOO_EXPIRED_SESSION_STATE;
    pthread_mutex_unlock(&c->lock);
    return found;
}

static struct client *open_at(const char *where, int timeout_ms, const clientid_t *id) {
    struct client *c = calloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->handle = zookeeper_init(where, client_watch, timeout_ms, id, c, 0);
    long end = kit_ms() + 15000;
    while (c->handle && zoo_state(c->handle) != ZOO_CONNECTED_STATE && !client_expired(c) && kit_ms() < end)
        kit_pause();
    return c->handle && zoo_state(c->handle) == ZOO_CONNECTED_STATE ? c : NULL;
}

struct client *client_open(int node, int timeout_ms, const clientid_t *id) {
    return open_at(kit_hosts(node), timeout_ms, id);
}

struct client *client_open_below(int node, const char *chroot) {
    char where[900];
    snprintf(where, sizeof where, "%s%s", kit_hosts(node), chroot);
    return open_at(where, 10000, NULL);
}

int client_close(struct client *c) {
    int code = zookeeper_close(c->handle);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return code;
}

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t came;
    int code;
};

static void synced(int code, const char *value, const void *data) {
    struct answer *a = (struct answer *)data;
    pthread_mutex_lock(&a->lock);
    a->code = code;
    pthread_cond_signal(&a->came);
    pthread_mutex_unlock(&a->lock);
}

int client_sync(struct client *c, const char *path) {
    struct answer a = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 1};
    int code = zoo_async(c->handle, path, synced, &a);
    if (code != ZOK) return code;
    pthread_mutex_lock(&a.lock);
    while (a.code == 1) pthread_cond_wait(&a.came, &a.lock);
    pthread_mutex_unlock(&a.lock);
    return a.code;
}

// A test over its deadline ends the run: its threads cannot be taken back.
static void *watchdog(void *unused) {
    const struct test *seen = NULL;
    long began = 0;
    for (;;) {
        kit_pause();
        const struct test *now = under_way;
        if (now != seen) {
            seen = now;
            began = kit_ms();
        } else if (now && kit_ms() - began > now->seconds * 1000L) {
            printf("FAIL %s: over its deadline of %d s\n%d passed, %d failed, %d skipped\n", now->name, now->seconds,
                   totals[0], totals[1] + 1, totals[2]);
            fflush(stdout);
            _exit(1);
        }
    }
    return unused;
}

static void run_all(const struct test *tests, int argc, char **argv) {
    for (; tests->name; tests++) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++) wanted = wanted || strstr(tests->name, argv[i]);
        if (!wanted) continue;
        failed = false;
        long began = kit_ms();
        under_way = tests;
        tests->run();
        under_way = NULL;
        totals[failed]++;
        printf("%s %s (%.1f s)\n", failed ? "FAIL" : "ok  ", tests->name, (double)(kit_ms() - began) / 1000);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *from = getenv("ZK_HOSTS");
    snprintf(all_hosts, sizeof all_hosts, "%s", from ? from : "127.0.0.1:2181");
    char copy[600], *rest = copy;
    snprintf(copy, sizeof copy, "%s", all_hosts);
    for (char *one; host_count < 8 && (one = strsep(&rest, ",")); host_count++)
        snprintf(hosts[host_count], sizeof hosts[0], "%s", one);
    zoo_set_debug_level(getenv("ZK_LOG") ? ZOO_LOG_LEVEL_DEBUG : 0);
    snprintf(run_root, sizeof run_root, "/c-%ld-%ld", (long)getpid(), kit_ms());
    struct client *c = client_open(-1, 10000, NULL);
    if (!c || zoo_create(c->handle, run_root, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) != ZOK) {
        printf("no connection to %s\n0 passed, 1 failed, 0 skipped\n", all_hosts);
        return 1;
    }
    client_close(c);
    pthread_t thread;
    pthread_create(&thread, NULL, watchdog, NULL);
    run_all(basic_tests, argc, argv);
    run_all(asynchronous_tests, argc, argv);
    run_all(session_tests, argc, argv);
    printf("%d passed, %d failed, %d skipped\n", totals[0], totals[1], totals[2]);
    return totals[1] != 0;
}
