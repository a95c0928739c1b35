// zookeeper:// on the C client of the ZooKeeper project: an ephemeral sequential znode each; the one with the lowest
// number has the lock, each other watches the one before it. The token is the znode's czxid: znodes are made in the
// order in which they are served.
#include "via/kit.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zookeeper/zookeeper.h>

#define MARK "lock-" // lock-NONCE-0000000007

struct zk {
    const struct via_setup *setup;
    char hosts[VIA_HOSTS_MAX * 264], parent[1100], own[1400]; // own: "" while there is none
    zhandle_t *handle;
    pthread_mutex_t mutex; // what follows
    pthread_cond_t changed;
    bool connected, expired;
    uint64_t events; // of watches
};

// ---- events

static void wait_changed(struct zk *zk, uint64_t until_ms) { // with the mutex held
    if (until_ms == KIT_NEVER) {
        pthread_cond_wait(&zk->changed, &zk->mutex);
        return;
    }
    struct timespec until;
    uint64_t now_ms = kit_now_ms(), left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + left_ms % 1000 * 1000000;
    until.tv_sec += (time_t)(left_ms / 1000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_cond_timedwait(&zk->changed, &zk->mutex, &until);
}

static void on_session(zhandle_t *handle, int type, int session_state, const char *path, void *context) {
    struct zk *zk = context;
    (void)handle, (void)path;
    if (type != ZOO_SESSION_EVENT) return;
    pthread_mutex_lock(&zk->mutex);
    zk->connected = session_state == ZOO_CONNECTED_STATE;
    if (session_state == ZOO_EXPIRED_SESSION_STATE || session_state == ZOO_AUTH_FAILED_STATE) zk->expired = true;
    pthread_cond_broadcast(&zk->changed);
    pthread_mutex_unlock(&zk->mutex);
}

static void on_watch(zhandle_t *handle, int type, int session_state, const char *path, void *context) {
    struct zk *zk = context;
    (void)handle, (void)path, (void)type, (void)session_state; // any: the order is looked at again
    pthread_mutex_lock(&zk->mutex);
    zk->events++;
    pthread_cond_broadcast(&zk->changed);
    pthread_mutex_unlock(&zk->mutex);
}

// ---- the session

static void end_session(struct zk *zk) {
    if (zk->handle != NULL) zookeeper_close(zk->handle);
    zk->handle = NULL;
    zk->connected = zk->expired = false;
    zk->own[0] = 0;
}

static bool wait_connected(struct zk *zk, uint64_t until_ms) {
    pthread_mutex_lock(&zk->mutex);
    while (!zk->connected && !zk->expired && kit_now_ms() < until_ms) wait_changed(zk, until_ms);
    bool connected = zk->connected && !zk->expired;
    pthread_mutex_unlock(&zk->mutex);
    return connected;
}

static bool make_parents(struct zk *zk) {
    char path[sizeof zk->parent];
    for (size_t i = 1;; i++) {
        if (zk->parent[i] != '/' && zk->parent[i] != 0) continue;
        snprintf(path, sizeof path, "%.*s", (int)i, zk->parent);
        int rc = zoo_create(zk->handle, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
        if (rc != ZOK && rc != ZNODEEXISTS) return false;
        if (zk->parent[i] == 0) return true;
    }
}

// The client's threads take no signals: they are the program's (one that waits for its children by signalfd would never
// hear).
static zhandle_t *start_client(struct zk *zk) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    zhandle_t *handle = zookeeper_init(zk->hosts, on_session, (int)zk->setup->ttl_ms, NULL, zk, 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return handle;
}

static bool begin_session(struct zk *zk, uint64_t until_ms, struct parley_problem *problem) {
    uint64_t enough_ms = kit_now_ms() + zk->setup->answer_ms;
    if (until_ms < enough_ms) until_ms = enough_ms; // also who does not wait needs a session first
    pthread_mutex_lock(&zk->mutex);
    bool expired = zk->expired;
    pthread_mutex_unlock(&zk->mutex);
    if (expired) end_session(zk);
    if (zk->handle != NULL && wait_connected(zk, until_ms)) return true;
    bool fresh = zk->handle == NULL;
    if (fresh) zk->handle = start_client(zk);
    if (zk->handle != NULL && wait_connected(zk, until_ms) && make_parents(zk)) return true;
    if (fresh) end_session(zk);
    kit_problem(problem, PARLEY_NOT_APPLIED, "no session with %s", zk->hosts);
    return false;
}

// ---- the line

static unsigned long number_of(const char *name) {
    size_t len = strlen(name);
    return len > 10 ? strtoul(name + len - 10, NULL, 10) : 0;
}

// Own znode and the one before it ("": none). false: not in the line.
static bool place(const struct zk *zk, const struct String_vector *line, char own[256], char before[256]) {
    unsigned long mine = 0, best = 0;
    own[0] = before[0] = 0;
    for (int i = 0; i < line->count; i++) {
        if (strstr(line->data[i], zk->setup->nonce) == NULL) continue;
        snprintf(own, 256, "%s", line->data[i]);
        mine = number_of(own);
    }
    for (int i = 0; i < line->count && own[0] != 0; i++) {
        unsigned long number = number_of(line->data[i]);
        if (number >= mine || (before[0] != 0 && number < best)) continue;
        best = number;
        snprintf(before, 256, "%s", line->data[i]);
    }
    return own[0] != 0;
}

static int look(struct zk *zk, char before[256]) {
    struct String_vector line;
    char own[256];
    int rc = zoo_get_children(zk->handle, zk->parent, 0, &line);
    if (rc != ZOK) return rc;
    bool there = place(zk, &line, own, before);
    deallocate_String_vector(&line);
    if (!there) return ZNONODE;
    snprintf(zk->own, sizeof zk->own, "%s/%s", zk->parent, own);
    return ZOK;
}

static int join(struct zk *zk) {
    char path[sizeof zk->parent + 80];
    snprintf(path, sizeof path, "%s/" MARK "%s-", zk->parent, zk->setup->nonce);
    return zoo_create(zk->handle, path, zk->setup->owner, (int)strlen(zk->setup->owner), &ZOO_OPEN_ACL_UNSAFE,
                      ZOO_EPHEMERAL | ZOO_SEQUENCE, NULL, 0);
}

// Until the znode before is gone, or something else happened.
static int wait_for(struct zk *zk, const char *before, uint64_t until_ms) {
    char path[sizeof zk->parent + 260];
    struct Stat stat;
    pthread_mutex_lock(&zk->mutex);
    uint64_t events = zk->events;
    pthread_mutex_unlock(&zk->mutex);
    snprintf(path, sizeof path, "%s/%s", zk->parent, before);
    int rc = zoo_wexists(zk->handle, path, on_watch, zk, &stat);
    if (rc != ZOK) return rc == ZNONODE ? ZOK : rc;
    pthread_mutex_lock(&zk->mutex);
    while (zk->events == events && !zk->expired && kit_now_ms() < until_ms) wait_changed(zk, until_ms);
    pthread_mutex_unlock(&zk->mutex);
    return ZOK;
}

static void leave(struct zk *zk) {
    if (zk->own[0] != 0 && zk->handle != NULL) {
        int rc = zoo_delete(zk->handle, zk->own, -1);
        if (rc != ZOK && rc != ZNONODE) end_session(zk); // with the session the znode goes
    }
    zk->own[0] = 0;
}

// One step in the line. ZOK with held: it is ours.
static int step(struct zk *zk, uint64_t until_ms, bool *held, bool *busy, struct via_grant *grant) {
    char before[256];
    struct Stat stat;
    *busy = *held = false;
    int rc = look(zk, before);
    if (rc == ZNONODE) rc = join(zk);
    if (rc == ZOK) rc = look(zk, before);
    if (rc != ZOK) return rc;
    if (before[0] == 0) {
        grant->sent_ms = kit_now_ms();
        grant->valid_ms = (uint64_t)zoo_recv_timeout(zk->handle);
        rc = zoo_exists(zk->handle, zk->own, 0, &stat); // also proves that the session lives
        grant->token = (uint64_t)stat.czxid;
        *held = rc == ZOK;
        return rc;
    }
    *busy = true;
    return kit_now_ms() < until_ms ? wait_for(zk, before, until_ms) : ZOK;
}

static enum parley_error zk_acquire(void *state, uint64_t until_ms, struct via_grant *grant,
                                    struct parley_problem *problem) {
    struct zk *zk = state;
    struct kit_pause pause = {0};
    bool held = false, busy = false;
    if (zk->own[0] != 0)
        return kit_problem(problem, PARLEY_BUSY, "held by this handle"); // a second znode would wait for the first
    do {
        int rc = ZCONNECTIONLOSS;
        do {
            if (!begin_session(zk, until_ms, problem)) break;
            rc = step(zk, until_ms, &held, &busy, grant);
            if (held) return PARLEY_OK;
        } while (rc == ZOK && kit_now_ms() < until_ms);
        if (rc != ZOK && busy == false) kit_problem(problem, PARLEY_NOT_APPLIED, "%s", zerror(rc));
    } while (kit_pause(&pause, until_ms));
    leave(zk);
    if (busy || until_ms != 0) return kit_problem(problem, PARLEY_BUSY, "held by another");
    return PARLEY_NOT_APPLIED;
}

// ---- while it is held

// The synchronous calls wait as long as a server is silent: too long to tell a loss in time.
struct asked {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int references, rc;
    bool done;
};

static void asked_release(struct asked *asked) { // with the mutex held
    bool last = --asked->references == 0;
    pthread_mutex_unlock(&asked->mutex);
    if (last) free(asked);
}

static void on_answer(int rc, const struct Stat *stat, const void *data) {
    struct asked *asked = (struct asked *)(uintptr_t)data;
    (void)stat;
    pthread_mutex_lock(&asked->mutex);
    asked->rc = rc;
    asked->done = true;
    pthread_cond_signal(&asked->changed);
    asked_release(asked);
}

static int ask(struct zk *zk) {
    struct asked *asked = calloc(1, sizeof *asked);
    pthread_condattr_t monotonic;
    struct timespec until;
    if (asked == NULL) abort();
    asked->references = 2;
    pthread_mutex_init(&asked->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&asked->changed, &monotonic);
    int rc = zoo_aexists(zk->handle, zk->own, 0, on_answer, asked);
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + zk->setup->answer_ms * 1000000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&asked->mutex);
    if (rc != ZOK) asked->references--; // there will be no answer
    while (rc == ZOK && !asked->done && pthread_cond_timedwait(&asked->changed, &asked->mutex, &until) == 0) {
    }
    if (rc == ZOK) rc = asked->done ? asked->rc : ZOPERATIONTIMEOUT;
    asked_release(asked);
    return rc;
}

static enum via_kept zk_keep(void *state, struct parley_problem *problem) {
    struct zk *zk = state;
    int rc = ask(zk);
    if (rc == ZOK) return VIA_KEPT;
    bool gone = rc == ZNONODE || rc == ZSESSIONEXPIRED || rc == ZINVALIDSTATE || rc == ZAUTHFAILED;
    kit_problem(problem, PARLEY_LOST, "%s", rc == ZNONODE ? "its znode is gone" : zerror(rc));
    return gone ? VIA_GONE : VIA_UNSURE;
}

// A delete that a broken connection left unknown is repeated at the next server, with the session.
static enum parley_error zk_release(void *state, struct parley_problem *problem) {
    struct zk *zk = state;
    uint64_t until_ms = kit_now_ms() + zk->setup->answer_ms;
    bool maybe_done = false;
    int rc = ZNONODE;
    while (zk->own[0] != 0 && (rc = zoo_delete(zk->handle, zk->own, -1)) == ZCONNECTIONLOSS) {
        struct kit_pause pause = {0};
        maybe_done = true;
        if (!wait_connected(zk, until_ms) || !kit_pause(&pause, until_ms)) break;
    }
    zk->own[0] = 0;
    if (rc == ZOK || (rc == ZNONODE && maybe_done)) return PARLEY_OK;
    if (rc == ZNONODE) return kit_problem(problem, PARLEY_LOST, "its znode was gone");
    end_session(zk); // with the session the znode goes
    return kit_problem(problem, PARLEY_UNKNOWN, "%s", zerror(rc));
}

// ---- opening and closing

static bool zk_open(const struct via_setup *setup, void **state, struct parley_problem *problem) {
    char name[780];
    size_t used = 0;
    pthread_condattr_t monotonic;
    if (!kit_parameters_known(&setup->url, "", problem)) return false;
    struct zk *zk = calloc(1, sizeof *zk);
    if (zk == NULL) abort();
    zk->setup = setup;
    for (size_t i = 0; i < setup->url.count; i++) {
        const struct via_host *host = &setup->url.hosts[i];
        used += (size_t)snprintf(zk->hosts + used, sizeof zk->hosts - used, "%s%s:%u", i > 0 ? "," : "", host->host,
                                 host->port != 0 ? host->port : 2181u);
    }
    kit_escape(name, sizeof name, setup->name);
    snprintf(zk->parent, sizeof zk->parent, "/%s/%s", setup->url.path[0] != 0 ? setup->url.path : "locks", name);
    pthread_mutex_init(&zk->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&zk->changed, &monotonic);
    zoo_set_debug_level(0); // it writes to standard error otherwise
    *state = zk;
    return true;
}

static void zk_close(void *state) {
    struct zk *zk = state;
    end_session(zk);
    free(zk);
}

PARLEY_API extern const struct via_module parley_via_module;
const struct via_module parley_via_module = {.version = VIA_VERSION,
                                             .schemes = "zookeeper",
                                             .open = zk_open,
                                             .acquire = zk_acquire,
                                             .keep = zk_keep,
                                             .release = zk_release,
                                             .close = zk_close};
