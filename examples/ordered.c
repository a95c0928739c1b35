// Calls of one key in order and one at a time, keys in parallel, in three ways, and how many calls a second each does:
//
//   lock      by threads of any machine. A lock keeps them apart; which call is next has to stand somewhere else
//   queue     by threads of any machine. It has the calls, in order, and gives out a key's next one when the former is
//             acknowledged. A call may come again when its consumer dies
//   executor  by threads of this process. Nothing goes over the network, and nothing is left when it ends
//
//     cc ordered.c $(pkg-config --cflags --libs parley) -lpthread -o ordered && ./ordered localhost:7450 [KEYS CALLS
//     THREADS]
#include <parley.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CLAIM = 16 };

struct account {
    atomic_bool inside; // a call is at work
    unsigned done;      // calls; needs no mutex if they run one at a time
};
struct run {
    struct parley_client *client;
    unsigned keys, calls, threads; // so many calls of each key
    struct account *accounts;
    char queue[64];
    atomic_uint taken, done, workers;
    atomic_bool wrong;
    double ended;
};
struct call {
    struct run *run;
    unsigned key, number;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// What is to be done in order; number 0: whichever is next. A call that comes once more has been done.
static void handle(struct run *run, unsigned key, unsigned number) {
    struct account *account = &run->accounts[key];
    if (atomic_exchange(&account->inside, true)) run->wrong = true;
    if (number == 0) number = account->done + 1;
    if (number > account->done) {
        if (number != account->done + 1) run->wrong = true;
        account->done = number;
        if (atomic_fetch_add(&run->done, 1) + 1 == run->keys * run->calls) run->ended = now();
    }
    account->inside = false;
}

// ---- by lock

static void *by_lock(void *context) {
    struct run *run = context;
    struct parley_problem problem;
    for (unsigned at; (at = atomic_fetch_add(&run->taken, 1)) < run->keys * run->calls && !run->wrong;) {
        unsigned key = at % run->keys;
        struct parley_lock *lock;
        char name[64];
        snprintf(name, sizeof name, "account-%u", key);
        if (parley_lock(run->client, name, NULL, &lock, &problem) != PARLEY_OK) {
            fprintf(stderr, "%s\n", problem.text);
            run->wrong = true;
            break;
        }
        handle(run, key, 0); // a store would be given the token, and refuse older ones
        if (parley_unlock(lock, &problem) == PARLEY_LOST) run->wrong = true;
    }
    return NULL;
}

// ---- by queue

// NULL: it failed. All that is asked may be repeated: pushes have numbers.
__attribute__((format(printf, 3, 4))) static char *ask(struct run *run, const char *operation, const char *format,
                                                       ...) {
    char body[1024], *answer;
    struct parley_problem problem;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    enum parley_error error = parley_call(run->client, operation, body, true, &answer, &problem);
    if (error == PARLEY_OK) return answer;
    fprintf(stderr, "%s: %s\n", operation, problem.text);
    if (error != PARLEY_REFUSED) run->wrong = true; // refused: acknowledged before, or delivered to another by now
    return NULL;
}

// The number behind `before`, and what follows it. (A program would use a JSON library.)
static const char *number_behind(const char *text, const char *before, unsigned long long *number) {
    const char *at = text != NULL ? strstr(text, before) : NULL;
    if (at == NULL) return NULL;
    *number = strtoull(at + strlen(before), NULL, 10);
    return at + strlen(before);
}

static void consume(struct run *run) {
    char tokens[CLAIM * 24] = "";
    unsigned long long token, key, number;
    char *claimed = ask(run, "queue/claim", "{\"name\":\"%s\",\"max\":%d,\"visibility_ms\":30000,\"wait_ms\":200}",
                        run->queue, CLAIM);
    for (const char *at = claimed; (at = number_behind(at, "\"token\":", &token)) != NULL;) {
        at = number_behind(at, "\"key\":\"account-", &key);
        at = number_behind(at, "\"body\":\"", &number);
        if (at == NULL || key >= run->keys) {
            run->wrong = true;
            break;
        }
        handle(run, (unsigned)key, (unsigned)number);
        snprintf(tokens + strlen(tokens), 24, "%s%llu", tokens[0] != 0 ? "," : "", token);
    }
    if (tokens[0] != 0) free(ask(run, "queue/ack", "{\"name\":\"%s\",\"tokens\":[%s]}", run->queue, tokens));
    free(claimed);
}

static void *by_queue(void *context) {
    struct run *run = context;
    unsigned worker = atomic_fetch_add(&run->workers, 1);
    for (unsigned number = 1; number <= run->calls; number++)
        for (unsigned key = worker; key < run->keys && !run->wrong; key += run->threads)
            free(ask(run, "queue/push", "{\"name\":\"%s\",\"key\":\"account-%u\",\"number\":%u,\"body\":\"%u\"}",
                     run->queue, key, number, number));
    while (run->done < run->keys * run->calls && !run->wrong) consume(run);
    return NULL;
}

// ---- by executor

static void task(void *context) {
    struct call *call = context;
    handle(call->run, call->key, call->number);
}

static void by_executor(struct run *run) {
    struct parley_executor *executor;
    struct call *calls = calloc((size_t)run->keys * run->calls, sizeof *calls);
    if (calls == NULL || parley_executor_open(run->threads, &executor) != PARLEY_OK) abort();
    for (unsigned i = 0; i < run->keys * run->calls; i++) {
        calls[i] = (struct call){run, i % run->keys, i / run->keys + 1};
        parley_executor_submit(executor, &calls[i].key, sizeof calls[i].key, task, &calls[i]);
    }
    parley_executor_close(executor); // after all of them have run
    free(calls);
}

// ---- the three of them

static void in_threads(struct run *run, void *(*work)(void *run)) {
    pthread_t *threads = calloc(run->threads, sizeof *threads);
    if (threads == NULL) abort();
    for (unsigned i = 0; i < run->threads; i++)
        if (pthread_create(&threads[i], NULL, work, run) != 0) abort();
    for (unsigned i = 0; i < run->threads; i++) pthread_join(threads[i], NULL);
    free(threads);
}

// work: of each of the threads; NULL: by executor
static bool measure(const struct run *plan, const char *way, void *(*work)(void *run)) {
    struct run run = {.client = plan->client, .keys = plan->keys, .calls = plan->calls, .threads = plan->threads};
    run.accounts = calloc(run.keys, sizeof *run.accounts);
    if (run.accounts == NULL) abort();
    double began = now();
    snprintf(run.queue, sizeof run.queue, "ordered-%.9f", began);
    if (work != NULL) {
        in_threads(&run, work);
    } else {
        by_executor(&run);
    }
    for (unsigned key = 0; key < run.keys; key++) run.wrong = run.wrong || run.accounts[key].done != run.calls;
    if (!run.wrong) printf("%-9s %8.0f calls/s\n", way, run.keys * run.calls / (run.ended - began));
    if (work == by_queue) free(ask(&run, "queue/delete", "{\"name\":\"%s\"}", run.queue));
    free(run.accounts);
    if (run.wrong) fprintf(stderr, "by %s: out of order, or it failed\n", way);
    return !run.wrong;
}

int main(int argc, char **argv) {
    struct run plan = {.keys = argc > 2 ? (unsigned)atoi(argv[2]) : 100,
                       .calls = argc > 3 ? (unsigned)atoi(argv[3]) : 20,
                       .threads = argc > 4 ? (unsigned)atoi(argv[4]) : 16};
    struct parley_problem problem;
    if (parley_open(argc > 1 ? argv[1] : "localhost:7450", NULL, &plan.client, &problem) != PARLEY_OK) {
        fprintf(stderr, "%s\n", problem.text);
        return 1;
    }
    bool good = measure(&plan, "lock", by_lock);
    good = measure(&plan, "queue", by_queue) && good;
    good = measure(&plan, "executor", NULL) && good;
    parley_close(plan.client);
    return good ? 0 : 1;
}
