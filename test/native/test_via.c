// Drives parley_via.h for via.py: commands come on standard input, one a line, what happens goes to standard output.
//
//   open N URL NAME TTL [OWNER]   take N try|WAIT   give N   lost N   watch N   close N
//
//   test_via count URL NAME FILE THREADS ROUNDS: a number in a file, made one larger under the lock by each thread each
//   round
#include "parley_via.h"
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef NDEBUG
#define HANDLES 10

static struct parley_via *handles[HANDLES];

static unsigned long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
}

static const char *name_of(enum parley_error error) {
    return parley_error_name(error) + strlen("PARLEY_");
}

static void do_open(int n, char *rest) {
    char *url = strtok(rest, " "), *name = strtok(NULL, " "), *ttl = strtok(NULL, " "), *owner = strtok(NULL, " ");
    struct parley_via_options options = {.ttl_ms = (uint32_t)atoi(ttl), .owner = owner};
    struct parley_problem problem;
    enum parley_error error = parley_via_open(url, name, &options, &handles[n], &problem);
    printf("%d open %s %s\n", n, name_of(error), error == PARLEY_OK ? "" : problem.text);
}

static void do_take(int n, const char *rest) {
    struct parley_problem problem;
    uint64_t wait_ms = strcmp(rest, "try") == 0 ? PARLEY_TRY : strtoull(rest, NULL, 10);
    enum parley_error error = parley_via_acquire(handles[n], wait_ms, &problem);
    if (error == PARLEY_OK)
        printf("%d took %llu %llu\n", n, (unsigned long long)parley_via_token(handles[n]), now_ms());
    else
        printf("%d failed %s %s\n", n, name_of(error), problem.text);
}

static void do_give(int n) {
    struct parley_problem problem;
    enum parley_error error = parley_via_release(handles[n], &problem);
    printf("%d gave %s %s\n", n, name_of(error), problem.text);
}

static void do_lost(int n) {
    char why[300];
    bool lost = parley_via_lost(handles[n]);
    parley_via_lost_why(handles[n], why, sizeof why);
    printf("%d is %s %s\n", n, lost ? "lost" : "held", why);
}

static void *wait_for_loss(void *context) {
    struct parley_via *via = context;
    struct pollfd fd = {.fd = parley_via_fd(via), .events = POLLIN};
    char why[300];
    while (poll(&fd, 1, -1) != 1) {
    }
    assert(parley_via_lost(via));
    parley_via_lost_why(via, why, sizeof why);
    printf("lost %llu %s\n", now_ms(), why);
    return NULL;
}

static void do_watch(int n) {
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_loss, handles[n]);
    pthread_detach(thread);
}

static int talk(void) {
    char line[2000], verb[20], rest[1900];
    while (fgets(line, sizeof line, stdin) != NULL) {
        int n = 0;
        rest[0] = 0;
        if (sscanf(line, "%19s %d %1899[^\n]", verb, &n, rest) < 2 || n < 0 || n >= HANDLES) return 2;
        if (strcmp(verb, "open") == 0)
            do_open(n, rest);
        else if (strcmp(verb, "take") == 0)
            do_take(n, rest);
        else if (strcmp(verb, "give") == 0)
            do_give(n);
        else if (strcmp(verb, "lost") == 0)
            do_lost(n);
        else if (strcmp(verb, "watch") == 0)
            do_watch(n);
        else if (strcmp(verb, "close") == 0) {
            parley_via_close(handles[n]);
            handles[n] = NULL;
            printf("%d closed\n", n);
        }
    }
    for (int n = 0; n < HANDLES; n++) parley_via_close(handles[n]);
    return 0;
}

// ---- counting

static struct counting {
    const char *url, *name, *file;
    int rounds;
    atomic_int inside;
} counting;

static void add_one(void) {
    long number = -1;
    FILE *file = fopen(counting.file, "r+");
    assert(file != NULL && fscanf(file, "%ld", &number) == 1);
    assert(atomic_fetch_add(&counting.inside, 1) == 0);
    sched_yield();
    rewind(file);
    fprintf(file, "%ld\n", number + 1);
    atomic_fetch_sub(&counting.inside, 1);
    fclose(file);
}

static void *count(void *context) {
    struct parley_via *via;
    struct parley_problem problem;
    (void)context;
    if (parley_via_open(counting.url, counting.name, NULL, &via, &problem) != PARLEY_OK) {
        fprintf(stderr, "%s\n", problem.text);
        exit(1);
    }
    for (int i = 0; i < counting.rounds; i++) {
        if (parley_via_acquire(via, 60000, &problem) == PARLEY_OK) add_one();
        if (problem.error == PARLEY_OK && parley_via_release(via, &problem) == PARLEY_OK) continue;
        fprintf(stderr, "%s\n", problem.text);
        exit(1);
    }
    parley_via_close(via);
    return NULL;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && strcmp(argv[1], "talk") == 0) return talk();
    assert(argc == 7 && strcmp(argv[1], "count") == 0);
    counting.url = argv[2], counting.name = argv[3], counting.file = argv[4], counting.rounds = atoi(argv[6]);
    pthread_t threads[64];
    int thread_count = atoi(argv[5]);
    for (int i = 0; i < thread_count; i++) pthread_create(&threads[i], NULL, count, NULL);
    for (int i = 0; i < thread_count; i++) pthread_join(threads[i], NULL);
    return 0;
}
