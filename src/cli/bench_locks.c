// `parley bench locks`: one lock on each of several systems (parley_via.h), first by one client alone, then by many.
//
// Many: each client is a thread with a handle of its own, as if it were a machine. Who has given the lock back asks for
// it again only when another has got it, so that each hand-over is from one client to another, and all but one or two
// wait. The time of a hand-over is from before the release is called until the next client's acquire has returned.
#include "base/alloc.h"
#include "base/histogram.h"
#include "cli/bench.h"
#include "cli/options.h"
#include "parley_via.h"
#include "server/server.h"
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct bench {
    const char *url;
    char name[200];
    uint32_t clients, seconds;
    bool json;
    struct histogram alone, hand_over;
    uint64_t alone_us;
    pthread_mutex_t mutex; // what follows
    pthread_cond_t changed;
    uint32_t ready;
    bool go, stop;
    uint64_t grants, released_us;
    struct parley_problem problem; // the first one
};

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static struct parley_via *open_lock(struct bench *b, const char *kind, struct parley_problem *problem) {
    char name[256];
    struct parley_via *via;
    snprintf(name, sizeof name, "%s-%s", b->name, kind);
    // So long that nothing is renewed while many clients start.
    struct parley_via_options options = {.ttl_ms = 30000, .call_ms = 7000};
    return parley_via_open(b->url, name, &options, &via, problem) == PARLEY_OK ? via : NULL;
}

// ---- alone

static bool alone(struct bench *b) {
    struct parley_via *via = open_lock(b, "alone", &b->problem);
    uint64_t begin_us = 0, end_us = UINT64_MAX, now = 0;
    if (via == NULL) return false;
    for (uint64_t i = 0; now < end_us && b->problem.error == PARLEY_OK; i++) {
        uint64_t asked_us = now_us();
        if (parley_via_acquire(via, 20000, &b->problem) == PARLEY_OK) parley_via_release(via, &b->problem);
        now = now_us();
        if (i == 10) { // sessions, tables and connections are there
            begin_us = now;
            end_us = now + b->seconds * 1000000ull;
        }
        if (i > 10) histogram_add(&b->alone, now - asked_us);
    }
    b->alone_us = now - begin_us;
    parley_via_close(via);
    return b->problem.error == PARLEY_OK;
}

// ---- many

static bool wait_for_start(struct bench *b) {
    pthread_mutex_lock(&b->mutex);
    b->ready++;
    pthread_cond_broadcast(&b->changed);
    while (!b->go) pthread_cond_wait(&b->changed, &b->mutex);
    bool goes_on = !b->stop;
    pthread_mutex_unlock(&b->mutex);
    return goes_on;
}

// A grant; then the release is about to be called.
static uint64_t granted(struct bench *b) {
    uint64_t now = now_us();
    pthread_mutex_lock(&b->mutex);
    if (b->released_us != 0 && !b->stop) histogram_add(&b->hand_over, now - b->released_us);
    uint64_t number = ++b->grants;
    pthread_cond_broadcast(&b->changed);
    b->released_us = now_us();
    pthread_mutex_unlock(&b->mutex);
    return number;
}

static bool wait_for_another(struct bench *b, uint64_t number) {
    pthread_mutex_lock(&b->mutex);
    while (b->grants == number && !b->stop) pthread_cond_wait(&b->changed, &b->mutex);
    bool goes_on = !b->stop;
    pthread_mutex_unlock(&b->mutex);
    return goes_on;
}

static void failed(struct bench *b, const struct parley_problem *problem) {
    pthread_mutex_lock(&b->mutex);
    if (b->problem.error == PARLEY_OK) b->problem = *problem;
    b->stop = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->mutex);
}

static void *client(void *context) {
    struct bench *b = context;
    struct parley_problem problem = {0};
    struct parley_via *via = open_lock(b, "many", &problem);
    bool ok = via != NULL && parley_via_acquire(via, 60000, &problem) == PARLEY_OK && // its session
              parley_via_release(via, &problem) == PARLEY_OK;
    bool goes_on = wait_for_start(b) && ok;
    while (ok && goes_on) {
        ok = parley_via_acquire(via, 60000, &problem) == PARLEY_OK;
        uint64_t number = ok ? granted(b) : 0;
        ok = ok && parley_via_release(via, &problem) == PARLEY_OK;
        goes_on = ok && wait_for_another(b, number);
    }
    if (!ok) failed(b, &problem);
    parley_via_close(via);
    return NULL;
}

static void conduct(struct bench *b, uint32_t started) {
    struct timespec until;
    pthread_mutex_lock(&b->mutex);
    while (b->ready < started) pthread_cond_wait(&b->changed, &b->mutex);
    b->go = true;
    pthread_cond_broadcast(&b->changed);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += b->seconds;
    while (!b->stop && pthread_cond_timedwait(&b->changed, &b->mutex, &until) == 0) {
    }
    b->stop = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->mutex);
}

static bool many(struct bench *b) {
    pthread_t *threads = mem_alloc(b->clients * sizeof *threads);
    pthread_attr_t small;
    uint32_t started = 0;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 512 << 10);
    while (started < b->clients && pthread_create(&threads[started], &small, client, b) == 0) started++;
    if (started < b->clients) failed(b, &(struct parley_problem){PARLEY_SYSTEM, "cannot start a thread", "", 0});
    conduct(b, started);
    for (uint32_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
    mem_free(threads);
    return b->problem.error == PARLEY_OK;
}

// ---- what comes out

static void print_json(const struct bench *b, const char *system) {
    double seconds = (double)b->alone_us / 1e6;
    json_t *json = json_object();
    json_object_set_new(json, "system", json_string(system));
    json_object_set_new(json, "clients", json_integer(b->clients));
    if (b->problem.error != PARLEY_OK) json_object_set_new(json, "failed", json_string(b->problem.text));
    if (b->alone.count > 0) {
        json_object_set_new(json, "per_second", json_real((double)b->alone.count / seconds));
        json_object_set_new(json, "p50_us", json_integer((json_int_t)histogram_percentile(&b->alone, 500000)));
        json_object_set_new(json, "p99_us", json_integer((json_int_t)histogram_percentile(&b->alone, 990000)));
    }
    if (b->hand_over.count > 0) {
        json_object_set_new(json, "hand_overs", json_integer((json_int_t)b->hand_over.count));
        json_object_set_new(json, "hand_over_p50_us",
                            json_integer((json_int_t)histogram_percentile(&b->hand_over, 500000)));
        json_object_set_new(json, "hand_over_p99_us",
                            json_integer((json_int_t)histogram_percentile(&b->hand_over, 990000)));
    }
    char *line = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6));
    printf("%s\n", line);
    fflush(stdout);
    free(line);
    json_decref(json);
}

static void print_row(const struct bench *b, const char *system) {
    printf("%-22s %12.0f %9llu %9llu %11llu %11llu %11llu  %s\n", system,
           b->alone_us > 0 ? (double)b->alone.count / ((double)b->alone_us / 1e6) : 0.0,
           (unsigned long long)histogram_percentile(&b->alone, 500000),
           (unsigned long long)histogram_percentile(&b->alone, 990000), (unsigned long long)b->hand_over.count,
           (unsigned long long)histogram_percentile(&b->hand_over, 500000),
           (unsigned long long)histogram_percentile(&b->hand_over, 990000), b->problem.text);
    fflush(stdout);
}

// "postgres?recipe=advisory": what a reader tells systems by, without hosts and passwords.
static void name_system(const char *url, char system[64]) {
    const char *query = strchr(url, '?');
    snprintf(system, 64, "%.*s%s", (int)strcspn(url, ":"), url, query != NULL ? query : "");
}

static bool measure(const char *url, uint32_t clients, uint32_t seconds, bool json) {
    struct bench *b = mem_zalloc(sizeof *b);
    char system[64];
    b->url = url, b->clients = clients, b->seconds = seconds, b->json = json;
    pthread_mutex_init(&b->mutex, NULL);
    pthread_cond_init(&b->changed, NULL);
    snprintf(b->name, sizeof b->name, "bench-%llx", (unsigned long long)now_us());
    name_system(url, system);
    bool ok = alone(b) && (clients == 0 || many(b));
    if (json)
        print_json(b, system);
    else
        print_row(b, system);
    mem_free(b);
    return ok;
}

int bench_locks_main(int argc, char **argv) {
    const char *clients = "100", *seconds = "3";
    bool json = false;
    const struct option_row rows[] = {
        {"clients", 0, "N", "that want the lock at once (100); 0: one client alone is measured only", &clients, NULL},
        {"seconds", 0, "N", "of each of the two measurements (3)", &seconds, NULL},
        {"json", 0, NULL, "a JSON object for each system", NULL, &json}};
    const struct option_table table = {
        "bench locks",
        "parley bench locks [FLAGS] [URL...]",
        "Takes and gives back one lock of each system (parley lock --via says which): by one client alone, and by many "
        "that\n"
        "all wait for it. A hand-over is from before one gives it back until the next one has it.",
        rows,
        sizeof rows / sizeof rows[0],
        0,
        64};
    char **urls = mem_alloc((size_t)(argc + 1) * sizeof *urls);
    size_t count = 0;
    unsigned long long n = 0, s = 0;
    int code = options_read(&table, argc, argv, urls, &count);
    if (code < 0 && (!options_number(clients, 0, 10000, &n) || !options_number(seconds, 1, 3600, &s)))
        code = options_wrong(&table, "--clients is of 0 to 10000, --seconds of 1 to 3600");
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    char native[] = "parley://localhost:7450";
    if (code < 0 && count == 0) urls[count++] = native;
    if (code < 0 && !json)
        printf("%-22s %12s %9s %9s %11s %11s %11s\n", "SYSTEM", "TAKE+GIVE/s", "P50 us", "P99 us", "HAND-OVERS",
               "P50 us", "P99 us");
    bool ok = true;
    for (size_t i = 0; code < 0 && i < count; i++) ok = measure(urls[i], (uint32_t)n, (uint32_t)s, json) && ok;
    mem_free(urls);
    return code >= 0 ? code : ok ? 0 : EXIT_FATAL;
}
