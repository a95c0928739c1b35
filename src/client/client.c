#include "base/alloc.h"
#include "base/assert.h"
#include "client/internal.h"
#include "client/net.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64
#define RESOLVE_EVERY_MS 5000u

// ---- time

static uint64_t clock_ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t boot_now_ms(void) {
    return clock_ms(CLOCK_BOOTTIME);
}

void cond_init(pthread_cond_t *changed) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC); // pthreads know no clock that counts suspended time
    pthread_cond_init(changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void wait_until(pthread_cond_t *changed, pthread_mutex_t *mutex, uint64_t until_ms) {
    uint64_t now_ms = boot_now_ms();
    if (until_ms == NEVER) {
        pthread_cond_wait(changed, mutex);
    } else if (until_ms > now_ms) {
        uint64_t at_ms = clock_ms(CLOCK_MONOTONIC) + (until_ms - now_ms);
        struct timespec at = {.tv_sec = (time_t)(at_ms / 1000), .tv_nsec = (long)(at_ms % 1000) * 1000000};
        pthread_cond_timedwait(changed, mutex, &at);
    }
}

void timer_init(struct timer *timer, struct parley_client *client, void (*fire)(struct timer *timer)) {
    memset(timer, 0, sizeof *timer);
    timer->client = client;
    timer->fire = fire;
}

static void wake(struct parley_client *client) {
    uint64_t one = 1;
    ssize_t n = write(client->wake_fd, &one, sizeof one);
    ENSURE(n == sizeof one || errno == EAGAIN);
}

void timer_set(struct timer *timer, uint64_t at_ms) {
    struct parley_client *client = timer->client;
    if (at_ms == NEVER) {
        timer_stop(timer);
        return;
    }
    heap_set(&client->timers, &timer->item, at_ms, ++client->timer_ties);
    if (at_ms < client->sleeps_until_ms) {
        client->sleeps_until_ms = 0; // once is enough
        wake(client);
    }
}

void timer_stop(struct timer *timer) {
    heap_remove(&timer->client->timers, &timer->item);
}

// ---- the loop's thread

static void run_timers(struct parley_client *client) {
    uint64_t now_ms = boot_now_ms();
    for (;;) {
        struct heap_item *first = heap_first(&client->timers);
        if (first == NULL || first->time > now_ms) return;
        heap_remove(&client->timers, first);
        struct timer *timer = CONTAINER_OF(first, struct timer, item);
        timer->fire(timer);
    }
}

// Idle connections end in time though nothing else happens.
#define SLEEP_MS_MAX 10000u

static int sleep_ms(struct parley_client *client) {
    uint64_t now_ms = boot_now_ms(), until_ms = now_ms + SLEEP_MS_MAX;
    const struct heap_item *first = heap_first(&client->timers);
    if (first != NULL && first->time < until_ms) until_ms = first->time;
    client->sleeps_until_ms = until_ms;
    return until_ms > now_ms ? (int)(until_ms - now_ms) : 0;
}

static void *loop(void *context) {
    struct parley_client *client = context;
    struct epoll_event events[EVENTS_AT_ONCE];
    pthread_mutex_lock(&client->mutex);
    while (!client->ended) {
        int ms = sleep_ms(client);
        pthread_mutex_unlock(&client->mutex);
        int count = epoll_wait(client->epoll_fd, events, EVENTS_AT_ONCE, ms);
        pthread_mutex_lock(&client->mutex);
        client->sleeps_until_ms = 0;
        for (int i = 0; i < count; i++) {
            uint64_t ignored;
            if (events[i].data.ptr != NULL)
                connection_event(events[i].data.ptr, events[i].events);
            else if (read(client->wake_fd, &ignored, sizeof ignored) < 0)
                ENSURE(errno == EAGAIN);
        }
        run_timers(client);
        connections_reap(client, boot_now_ms());
    }
    pthread_mutex_unlock(&client->mutex);
    return NULL;
}

// ---- the thread of callbacks, which also resolves names: both may block

void client_job(struct parley_client *client, struct parley_lock *lock) {
    if (list_empty(&lock->of_jobs)) list_push_back(&client->jobs, &lock->of_jobs);
    pthread_cond_signal(&client->jobs_changed);
}

void client_resolve(struct parley_client *client, struct server *server) {
    if (server->resolved_ms != 0 && boot_now_ms() < server->resolved_ms + RESOLVE_EVERY_MS) return;
    server->stale = true;
    pthread_cond_signal(&client->jobs_changed);
}

static struct server *stale_server(struct parley_client *client) {
    for (size_t i = 0; i < client->server_count; i++)
        if (client->servers[i].stale) return &client->servers[i];
    return NULL;
}

static void resolve(struct parley_client *client, struct server *server) {
    struct server fresh = {0};
    char why[256];
    snprintf(fresh.host, sizeof fresh.host, "%s", server->host);
    snprintf(fresh.port, sizeof fresh.port, "%s", server->port);
    pthread_mutex_unlock(&client->mutex);
    bool resolved = server_resolve(&fresh, why);
    pthread_mutex_lock(&client->mutex);
    server->stale = false;
    server->resolved_ms = boot_now_ms();
    if (!resolved) return; // the former addresses may be right still
    server->count = fresh.count;
    memcpy(server->addresses, fresh.addresses, sizeof fresh.addresses);
}

// What is due of one handle. parley_unlock, in another thread, waits until `running` is another one.
static void run_callbacks(struct parley_client *client, struct parley_lock *lock) {
    bool done = lock->done_due, lost = lock->lost_due;
    struct parley_problem problem = lock->problem; // parley_unlock writes to it
    lock->done_due = lock->lost_due = false;
    client->running = lock;
    pthread_mutex_unlock(&client->mutex);
    if (done) lock->on_done(lock->done_context, lock, problem.error, &problem);
    pthread_mutex_lock(&client->mutex);
    bool gone = client->running != lock;                           // it was unlocked in its own callback
    parley_lock_fn on_lost = lost && !gone ? lock->on_lost : NULL; // NULL too if it is being unlocked in another thread
    if (on_lost != NULL) {
        pthread_mutex_unlock(&client->mutex);
        on_lost(lock->lost_context, lock);
        pthread_mutex_lock(&client->mutex);
        gone = client->running != lock;
    }
    client->running = NULL;
    if (!gone) pthread_cond_broadcast(&lock->changed);
}

static void *callbacks(void *context) {
    struct parley_client *client = context;
    pthread_mutex_lock(&client->mutex);
    for (;;) {
        struct server *server = stale_server(client);
        if (!list_empty(&client->jobs)) {
            struct parley_lock *lock = CONTAINER_OF(client->jobs.next, struct parley_lock, of_jobs);
            list_remove(&lock->of_jobs);
            run_callbacks(client, lock);
        } else if (client->ended) {
            break;
        } else if (server != NULL) {
            resolve(client, server);
        } else {
            pthread_cond_wait(&client->jobs_changed, &client->mutex);
        }
    }
    pthread_mutex_unlock(&client->mutex);
    return NULL;
}

// ---- open and close

static void client_free(struct parley_client *client) {
    ENSURE(list_empty(&client->holds) && list_empty(&client->exchanges));
    if (client->epoll_fd >= 0) close(client->epoll_fd);
    if (client->wake_fd >= 0) close(client->wake_fd);
    if (client->spare_fd >= 0) close(client->spare_fd);
    heap_free(&client->timers);
    hash_free(&client->by_name);
    pthread_mutex_destroy(&client->mutex);
    pthread_cond_destroy(&client->jobs_changed);
    pthread_cond_destroy(&client->session_changed);
    mem_free(client);
}

void client_release(struct parley_client *client) {
    bool last = --client->references == 0;
    pthread_mutex_unlock(&client->mutex);
    if (last) client_free(client);
}

static uint32_t or_else(uint32_t given, uint32_t standard) {
    return given != 0 ? given : standard;
}

static bool options_take(struct parley_client *client, const struct parley_options *given) {
    static const struct parley_options none;
    const struct parley_options *o = given != NULL ? given : &none;
    client->options = (struct parley_options){.session_ttl_ms = or_else(o->session_ttl_ms, 15000),
                                              .connect_ms = or_else(o->connect_ms, 2000),
                                              .attempt_ms = or_else(o->attempt_ms, 5000),
                                              .call_ms = or_else(o->call_ms, 15000)};
    char host[65] = "";
    gethostname(host, sizeof host - 1);
    int len = o->owner != NULL ? snprintf(client->owner, sizeof client->owner, "%s", o->owner)
                               : snprintf(client->owner, sizeof client->owner, "%s pid %ld", host, (long)getpid());
    json_t *text = json_string(client->owner); // NULL if it is no UTF-8
    json_decref(text);
    return len > 0 && len <= 200 && text != NULL && client->options.session_ttl_ms >= 2000 &&
           client->options.session_ttl_ms <= 86400000;
}

static bool servers_take(struct parley_client *client, const char *nodes, char why[256]) {
    while (*nodes != 0) {
        char one[240];
        size_t len = strcspn(nodes, ",");
        struct server *server = &client->servers[client->server_count];
        snprintf(why, 256, "nodes are HOST:PORT,HOST:PORT, %u at most", SERVERS_MAX);
        if (len == 0 || len >= sizeof one || client->server_count == SERVERS_MAX) return false;
        snprintf(one, sizeof one, "%.*s", (int)len, nodes);
        const char *bracket = strrchr(one, ']'), *colon = strrchr(one, ':');
        bool has_port = colon != NULL && (bracket == NULL || colon > bracket);
        snprintf(server->text, sizeof server->text, "%s%s", one, has_port ? "" : ":7450");
        if (!net_split(server->text, server->host, server->port)) return false;
        unsigned long port = strtoul(server->port, NULL, 10);
        if (server->host[0] == 0 || server->port[strspn(server->port, "0123456789")] != 0 || port == 0 || port > 65535)
            return false;
        list_init(&server->idle);
        if (!server_resolve(server, why)) server->stale = true; // it may be known later
        client->server_count++;
        nodes += len;
        if (*nodes == ',') nodes++;
    }
    snprintf(why, 256, "no node is named");
    return client->server_count > 0;
}

static bool threads_start(struct parley_client *client) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&client->loop, NULL, loop, client);
    if (error == 0) {
        error = pthread_create(&client->callbacks, NULL, callbacks, client);
        if (error != 0) {
            pthread_mutex_lock(&client->mutex);
            client->ended = true;
            wake(client);
            pthread_mutex_unlock(&client->mutex);
            pthread_join(client->loop, NULL);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return error == 0;
}

static bool loop_open(struct parley_client *client) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    spare_init(client);
    return client->epoll_fd >= 0 && client->wake_fd >= 0 && client->spare_fd >= 0 &&
           epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, client->wake_fd, &event) == 0;
}

enum parley_error parley_open(const char *nodes, const struct parley_options *options, struct parley_client **out,
                              struct parley_problem *problem) {
    struct parley_client *client = mem_zalloc(sizeof *client);
    char why[256];
    uint64_t seed;
    *out = NULL;
    client->references = 1;
    pthread_mutex_init(&client->mutex, NULL);
    cond_init(&client->jobs_changed);
    cond_init(&client->session_changed);
    heap_init(&client->timers);
    hash_init(&client->by_name);
    list_init(&client->exchanges);
    list_init(&client->dead);
    list_init(&client->holds);
    list_init(&client->jobs);
    client->epoll_fd = client->wake_fd = client->spare_fd = -1;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = (uint64_t)(uintptr_t)client ^ boot_now_ms();
    prng_seed(&client->prng, seed); // only for pauses
    session_init(client);
    enum parley_error error = PARLEY_BAD_ARGUMENTS;
    if (nodes == NULL || !options_take(client, options)) {
        problem_set(problem, error, "an option is out of its bounds, or no node is named");
    } else if (!servers_take(client, nodes, why)) {
        problem_set(problem, error, why);
    } else if (!loop_open(client) || !threads_start(client)) {
        error = PARLEY_SYSTEM;
        problem_set(problem, error, strerror(errno));
    } else {
        *out = client;
        return PARLEY_OK;
    }
    client_free(client);
    return error;
}

// With the mutex held: the session's end is asked for and waited for a little.
static void close_session(struct parley_client *client) {
    json_t *body = client->session.state == SESSION_LIVE ? session_body(client) : NULL;
    session_stop(client);
    holds_close(client);
    if (body == NULL) return;
    struct calling calling;
    calling_init(&calling, client, "/v1/session/close");
    calling.exchange.repeatable = calling.exchange.reserved = true;
    calling_run(&calling, body);
    json_decref(calling.answer);
}

void parley_close(struct parley_client *client) {
    if (client == NULL) return;
    pthread_mutex_lock(&client->mutex);
    ENSURE(!client->closing);
    client->closing = true;
    pthread_cond_broadcast(&client->session_changed);
    close_session(client);
    client->ended = true;
    while (!list_empty(&client->exchanges)) { // of blocking calls in other threads
        struct exchange *x = CONTAINER_OF(client->exchanges.next, struct exchange, link);
        x->deadline_ms = 0;
        exchange_stop(x);
        x->done(x, OUTCOME_NOT_APPLIED, 0, NULL);
    }
    wake(client);
    pthread_cond_signal(&client->jobs_changed);
    pthread_mutex_unlock(&client->mutex);
    pthread_join(client->loop, NULL);
    pthread_join(client->callbacks, NULL);
    pthread_mutex_lock(&client->mutex);
    connections_reap(client, boot_now_ms());
    client_release(client);
}
