// libparley, driven by test/native/lib.py.
//
//   test_client talk                     takes commands from standard input, one a line, and prints what happens
//   test_client stress NODES ROUNDS      8 threads on a few locks: exclusion and tokens are checked in this process;
//                                        ROUNDS 0: until standard input ends
//   test_client executor                 order and parallelism of the keyed executor
#include "parley.h"
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// ---- talk: HANDLE is a small number

#define HANDLES 64
#define WORD 300

struct handle {
    struct parley_lock *lock;
    int number;
    bool may_end; // of what `once` runs with "hold"
};
static struct handle handles[HANDLES];
static pthread_mutex_t handles_mutex = PTHREAD_MUTEX_INITIALIZER; // TSan does not see that lib.py keeps an order
static pthread_cond_t handles_changed = PTHREAD_COND_INITIALIZER;
static struct parley_client *client; // of this program; the threads of talk begin after it

static struct parley_lock *lock_of(const struct handle *handle) {
    pthread_mutex_lock(&handles_mutex);
    struct parley_lock *lock = handle->lock;
    pthread_mutex_unlock(&handles_mutex);
    return lock;
}

static void lock_is(struct handle *handle, struct parley_lock *lock) {
    pthread_mutex_lock(&handles_mutex);
    handle->lock = lock;
    pthread_mutex_unlock(&handles_mutex);
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    strcat(line, "\n");
    fputs(line, stdout); // one call: lines of two threads do not mix
    fflush(stdout);
}

static void on_lost(void *context, struct parley_lock *lock) {
    const struct handle *handle = context;
    char why[256];
    CHECK(parley_lock_lost(lock) && parley_lock_state(lock) == PARLEY_LOCK_LOST);
    parley_lock_lost_why(lock, why, sizeof why);
    say("%d lost %lld %s", handle->number, now_ms(), why);
}

static void tell(const struct handle *handle, enum parley_error error, const struct parley_problem *problem,
                 struct parley_lock *lock) {
    if (error == PARLEY_OK)
        say("%d locked %llu %lld", handle->number, (unsigned long long)parley_lock_token(lock), now_ms());
    else
        say("%d failed %s %s; holder %s", handle->number, parley_error_name(error) + 7, problem->text, problem->holder);
}

static void on_done(void *context, struct parley_lock *lock, enum parley_error error,
                    const struct parley_problem *problem) {
    tell(context, error, problem, lock);
}

struct job {
    struct handle *handle;
    char name[WORD], owner[WORD], value[WORD], text[1024];
    struct parley_lock_options options;
};

static void *take(void *context) {
    struct job *job = context;
    struct parley_problem problem = {0};
    struct parley_lock *lock;
    enum parley_error error = parley_lock(client, job->name, &job->options, &lock, &problem);
    lock_is(job->handle, lock);
    tell(job->handle, error, &problem, lock);
    free(job);
    return NULL;
}

static void *wait_for_loss(void *context) {
    struct handle *handle = context;
    struct parley_lock *lock = lock_of(handle);
    struct pollfd fd = {.fd = parley_lock_fd(lock), .events = POLLIN};
    CHECK(fd.fd >= 0);
    say("%d watches", handle->number);
    if (poll(&fd, 1, -1) == 1) {
        long long at = now_ms();
        CHECK(parley_lock_lost(lock));
        say("%d readable %lld", handle->number, at);
    }
    return NULL;
}

static void start(void *(*body)(void *), void *context) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, context) == 0);
    pthread_detach(thread);
}

static void do_lock(bool async, struct handle *handle, const char *line) {
    struct job *job = calloc(1, sizeof *job);
    char wait[WORD] = "", mode[WORD] = "";
    int words = sscanf(line, "%*s %*s %299s %299s %299s %299s", job->name, wait, mode, job->owner);
    job->handle = handle;
    if (words >= 2) job->options.wait_ms = strcmp(wait, "try") == 0 ? PARLEY_TRY : strtoull(wait, NULL, 10);
    if (words >= 3 && strcmp(mode, "shared") == 0) job->options.mode = PARLEY_SHARED;
    if (words >= 3 && sscanf(mode, "%u/%u", &job->options.permits, &job->options.total) == 2)
        job->options.mode = PARLEY_PERMITS;
    if (words >= 4) job->options.owner = job->owner;
    job->options.on_lost = on_lost;
    job->options.context = handle;
    if (!async) {
        start(take, job);
        return;
    }
    struct parley_problem problem;
    struct parley_lock *lock;
    enum parley_error error = parley_lock_async(client, job->name, &job->options, on_done, handle, &lock, &problem);
    lock_is(handle, lock);
    if (error != PARLEY_OK) tell(handle, error, &problem, NULL);
    free(job);
}

static void do_open(const char *line) {
    char nodes[WORD];
    struct parley_options options = {0};
    struct parley_problem problem = {0};
    CHECK(sscanf(line, "%*s %299s %u %u", nodes, &options.session_ttl_ms, &options.call_ms) >= 1);
    options.owner = "tester";
    enum parley_error error = parley_open(nodes, &options, &client, &problem);
    say("open %s %s", parley_error_name(error) + 7, problem.text);
}

static void do_call(const char *line) {
    char operation[WORD], how[WORD], *answer;
    int at = 0;
    struct parley_problem problem = {0};
    CHECK(sscanf(line, "%*s %299s %299s %n", operation, how, &at) >= 2);
    enum parley_error error =
        parley_call(client, operation, line + at, strcmp(how, "repeatable") == 0, &answer, &problem);
    say("call %s %s", parley_error_name(error) + 7, error == PARLEY_OK ? answer : problem.text);
    free(answer);
}

static void do_verify(const char *line) {
    char name[WORD];
    unsigned long long token;
    bool valid;
    struct parley_problem problem = {0};
    CHECK(sscanf(line, "%*s %299s %llu", name, &token) == 2);
    enum parley_error error = parley_verify(client, name, token, &valid, &problem);
    say("verify %s %s", parley_error_name(error) + 7, valid ? "valid" : "not");
}

// campaign NUMBER NAME VALUE WAIT [CANDIDATE]
static void *campaign(void *context) {
    struct job *job = context;
    struct parley_election_options options = {.wait_ms = job->options.wait_ms,
                                              .candidate = job->owner[0] != 0 ? job->owner : NULL,
                                              .on_lost = on_lost,
                                              .context = job->handle};
    struct parley_problem problem = {0};
    struct parley_lock *lock;
    enum parley_error error = parley_campaign(client, job->name, job->value, &options, &lock, &problem);
    lock_is(job->handle, lock);
    tell(job->handle, error, &problem, lock);
    free(job);
    return NULL;
}

static void do_campaign(struct handle *handle, const char *line) {
    struct job *job = calloc(1, sizeof *job);
    char wait[WORD];
    job->handle = handle;
    CHECK(sscanf(line, "%*s %*s %299s %299s %299s %299s", job->name, job->value, wait, job->owner) >= 3);
    job->options.wait_ms = strcmp(wait, "try") == 0 ? PARLEY_TRY : strtoull(wait, NULL, 10);
    start(campaign, job);
}

// observe NAME WAIT VERSION
static void *observe(void *context) {
    struct job *job = context;
    struct parley_leader leader = {.version = strtoull(job->value, NULL, 10)};
    struct parley_problem problem = {0};
    enum parley_error error = parley_observe(client, job->name, job->options.wait_ms, &leader, &problem);
    say("observed %s %s %s %s %llu %llu", parley_error_name(error) + 7, leader.elected ? "elected" : "nobody",
        leader.candidate, leader.value, (unsigned long long)leader.token, (unsigned long long)leader.version);
    free(job);
    return NULL;
}

static void do_observe(const char *line) {
    struct job *job = calloc(1, sizeof *job);
    unsigned long long wait_ms;
    CHECK(sscanf(line, "%*s %299s %llu %299s", job->name, &wait_ms, job->value) == 3);
    job->options.wait_ms = wait_ms;
    start(observe, job);
}

// once NUMBER KEY WAIT LEASE FINGERPRINT done|failed|again|hold STATUS BODY; hold: until "go NUMBER", then done. A body
// "%N" is N bytes that are no text.
struct once {
    struct handle *handle;
    char key[WORD], fingerprint[WORD], how[WORD], body[WORD];
    unsigned status;
    struct parley_once_options options;
};

static enum parley_run_end run_once(void *context, struct parley_run *run, struct parley_result *result) {
    struct once *once = context;
    say("%d runs %llu %u", once->handle->number, (unsigned long long)parley_run_token(run), parley_run_attempt(run));
    result->status = once->status;
    result->body_bytes = once->body[0] == '%' ? strtoul(once->body + 1, NULL, 10) : strlen(once->body);
    result->body = malloc(result->body_bytes + 1);
    if (once->body[0] == '%')
        memset(result->body, 0xff, result->body_bytes);
    else
        memcpy(result->body, once->body, result->body_bytes);
    pthread_mutex_lock(&handles_mutex);
    while (strcmp(once->how, "hold") == 0 && !once->handle->may_end)
        pthread_cond_wait(&handles_changed, &handles_mutex);
    once->handle->may_end = false;
    pthread_mutex_unlock(&handles_mutex);
    if (parley_run_lost(run)) say("%d was lost %lld", once->handle->number, now_ms());
    return strcmp(once->how, "again") == 0    ? PARLEY_RUN_AGAIN
           : strcmp(once->how, "failed") == 0 ? PARLEY_RUN_FAILED
                                              : PARLEY_RUN_DONE;
}

static void *call_once(void *context) {
    struct once *once = context;
    struct parley_result result;
    struct parley_problem problem = {0};
    enum parley_error error = parley_once(client, once->key, &once->options, run_once, once, &result, &problem);
    const unsigned char *body = result.body;
    if (error == PARLEY_OK && result.body_bytes > 0 && body[0] != 0xff)
        say("%d once OK %s %s %u %.*s", once->handle->number, result.replayed ? "replayed" : "ran",
            result.failed ? "failed" : "done", result.status, (int)result.body_bytes, (const char *)result.body);
    else if (error == PARLEY_OK)
        say("%d once OK %s %s %u %%%zu", once->handle->number, result.replayed ? "replayed" : "ran",
            result.failed ? "failed" : "done", result.status, result.body_bytes);
    else
        say("%d once %s %s; holder %s", once->handle->number, parley_error_name(error) + 7, problem.text,
            problem.holder);
    free(result.body);
    free(once);
    return NULL;
}

static void do_once(struct handle *handle, const char *line) {
    struct once *once = calloc(1, sizeof *once);
    char wait[WORD];
    unsigned long long lease_ms;
    once->handle = handle;
    CHECK(sscanf(line, "%*s %*s %299s %299s %llu %299s %299s %u %299s", once->key, wait, &lease_ms, once->fingerprint,
                 once->how, &once->status, once->body) == 7);
    once->options =
        (struct parley_once_options){.fingerprint = once->fingerprint,
                                     .lease_ms = lease_ms,
                                     .wait_ms = strcmp(wait, "try") == 0 ? PARLEY_TRY : strtoull(wait, NULL, 10)};
    start(call_once, once);
}

static void do_go(struct handle *handle) {
    pthread_mutex_lock(&handles_mutex);
    handle->may_end = true;
    pthread_cond_broadcast(&handles_changed);
    pthread_mutex_unlock(&handles_mutex);
}

// wait OPERATION WAIT BODY: repeatable
static void *call_wait(void *context) {
    struct job *job = context;
    char *answer;
    struct parley_problem problem = {0};
    enum parley_error error =
        parley_call_wait(client, job->name, job->text, job->options.wait_ms, true, &answer, &problem);
    say("waited %s %s", parley_error_name(error) + 7, error == PARLEY_OK ? answer : problem.text);
    free(answer);
    free(job);
    return NULL;
}

static void do_wait(const char *line) {
    struct job *job = calloc(1, sizeof *job);
    unsigned long long wait_ms;
    int at = 0;
    CHECK(sscanf(line, "%*s %299s %llu %n", job->name, &wait_ms, &at) == 2);
    job->options.wait_ms = wait_ms;
    snprintf(job->text, sizeof job->text, "%s", line + at);
    start(call_wait, job);
}

static void do_other(const char *verb, struct handle *handle, const char *line) {
    struct parley_problem problem = {0};
    if (strcmp(verb, "campaign") == 0) {
        do_campaign(handle, line);
    } else if (strcmp(verb, "observe") == 0) {
        do_observe(line);
    } else if (strcmp(verb, "proclaim") == 0) {
        char value[WORD] = "";
        sscanf(line, "%*s %*s %299s", value);
        say("%d proclaimed %s", handle->number,
            parley_error_name(parley_proclaim(lock_of(handle), value, &problem)) + 7);
    } else if (strcmp(verb, "once") == 0) {
        do_once(handle, line);
    } else if (strcmp(verb, "go") == 0) {
        do_go(handle);
    } else if (strcmp(verb, "wait") == 0) {
        do_wait(line);
    } else if (strcmp(verb, "session") == 0) {
        char text[PARLEY_SESSION_BYTES];
        enum parley_error error = parley_session(client, text, &problem);
        say("session %s %s", parley_error_name(error) + 7, error == PARLEY_OK ? text : problem.text);
    }
}

static int talk(void) {
    char line[4096], verb[WORD];
    for (int i = 0; i < HANDLES; i++) handles[i].number = i;
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        int number = 0;
        struct parley_problem problem = {0};
        CHECK(sscanf(line, "%299s", verb) == 1);
        bool of_handle = sscanf(line, "%*s %d", &number) == 1 && number >= 0 && number < HANDLES;
        struct handle *handle = &handles[of_handle ? number : 0];
        if (strcmp(verb, "open") == 0) {
            do_open(line);
        } else if (strcmp(verb, "lock") == 0 || strcmp(verb, "async") == 0) {
            do_lock(verb[0] == 'a', handle, line);
        } else if (strcmp(verb, "unlock") == 0) {
            enum parley_error error = parley_unlock(lock_of(handle), &problem);
            lock_is(handle, NULL);
            say("%d unlocked %s %s", number, parley_error_name(error) + 7, problem.text);
        } else if (strcmp(verb, "lost") == 0) {
            say("%d %s", number, parley_lock_lost(lock_of(handle)) ? "is lost" : "is held");
        } else if (strcmp(verb, "watch") == 0) {
            start(wait_for_loss, handle);
        } else if (strcmp(verb, "verify") == 0) {
            do_verify(line);
        } else if (strcmp(verb, "call") == 0) {
            do_call(line);
        } else if (strcmp(verb, "close") == 0) {
            parley_close(client);
            say("closed");
        } else {
            do_other(verb, handle, line);
        }
    }
    return 0;
}

// ---- stress

#define THREADS 8
#define LOCKS 3

static struct stressed {
    char name[32];
    uint64_t token; // guarded by the lock itself: TSan would tell, were it not
    _Atomic int inside;
} stressed[LOCKS];
static int rounds;
static _Atomic bool enough;
static _Atomic long taken, missed, done_calls;

static void on_async(void *context, struct parley_lock *lock, enum parley_error error,
                     const struct parley_problem *problem) {
    CHECK(error == PARLEY_OK || error == PARLEY_TIMED_OUT || error == PARLEY_BUSY);
    if (error == PARLEY_OK) CHECK(parley_lock_token(lock) > 0);
    atomic_fetch_add(&done_calls, 1);
    CHECK(parley_unlock(lock, NULL) == PARLEY_OK);
    atomic_fetch_add((_Atomic int *)context, 1); // behind the last use of the handle: its thread goes on
}

static void under_lock(struct stressed *at, struct parley_lock *lock) {
    CHECK(atomic_fetch_add(&at->inside, 1) == 0);
    uint64_t token = parley_lock_token(lock);
    CHECK(token > at->token);
    at->token = token;
    atomic_fetch_add(&taken, 1);
    CHECK(!parley_lock_lost(lock));
    CHECK(atomic_fetch_sub(&at->inside, 1) == 1);
}

static void *worker(void *context) {
    unsigned seed = (unsigned)(size_t)context;
    for (int i = 0; rounds == 0 ? !atomic_load(&enough) : i < rounds; i++) {
        struct stressed *at = &stressed[rand_r(&seed) % LOCKS];
        struct parley_lock_options options = {.wait_ms = rand_r(&seed) % 4 == 0   ? PARLEY_TRY
                                                         : rand_r(&seed) % 4 == 0 ? 1 + (unsigned)rand_r(&seed) % 20
                                                                                  : 0};
        struct parley_lock *lock;
        struct parley_problem problem;
        enum parley_error error = parley_lock(client, at->name, &options, &lock, &problem);
        if (error == PARLEY_OK) {
            under_lock(at, lock);
            error = parley_unlock(lock, &problem);
            if (error != PARLEY_OK) fprintf(stderr, "%s\n", problem.text);
            CHECK(error == PARLEY_OK);
        } else {
            CHECK((error == PARLEY_BUSY || error == PARLEY_TIMED_OUT) && lock == NULL);
            atomic_fetch_add(&missed, 1);
        }
        _Atomic int ended = 0;
        if (rand_r(&seed) % 4 != 0) continue;
        struct parley_lock_options other = {.wait_ms = 5000, .owner = "shared by threads"};
        CHECK(parley_lock_async(client, "other", &other, on_async, &ended, &lock, NULL) == PARLEY_OK);
        struct timespec pause = {.tv_nsec = 200000};
        while (atomic_load(&ended) == 0) nanosleep(&pause, NULL);
    }
    return NULL;
}

static int stress(const char *nodes) {
    pthread_t threads[THREADS];
    struct parley_problem problem;
    CHECK(parley_open(nodes, NULL, &client, &problem) == PARLEY_OK);
    long long began = now_ms();
    for (size_t i = 0; i < LOCKS; i++) snprintf(stressed[i].name, sizeof stressed[i].name, "stress %zu", i);
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, worker, (void *)(i + 1)) == 0);
    while (rounds == 0 && getchar() != EOF) {
    }
    atomic_store(&enough, true);
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    parley_close(client);
    say("stress %ld taken, %ld missed, %ld callbacks in %lld ms", taken, missed, done_calls, now_ms() - began);
    return taken > 0 ? 0 : 1;
}

// ---- executor

#define KEYS 50
#define TASKS 400 // of each key

static struct keyed {
    int next; // no atomic: TSan would tell if two tasks of one key ran at once
    bool wrong;
} keyed[KEYS];
struct numbered {
    int key, number;
};
static struct parley_executor *executor;
static pthread_barrier_t both;

static void count(void *context) {
    struct numbered *task = context;
    struct keyed *key = &keyed[task->key];
    key->wrong |= key->next != task->number;
    key->next++;
    free(task);
}

static void meet(void *context) {
    pthread_barrier_wait(&both); // ends only if two keys run at once
}

static void submit_more(void *context) {
    CHECK(parley_executor_submit(executor, "more", 4, meet, NULL) == PARLEY_OK);
}

static void *submit(void *context) { // the keys of one thread are its own, so their order is known
    int of = (int)(size_t)context;
    for (int number = 0; number < TASKS; number++) {
        for (int key = of; key < KEYS; key += 4) {
            struct numbered *task = malloc(sizeof *task);
            *task = (struct numbered){key, number};
            CHECK(parley_executor_submit(executor, &key, sizeof key, count, task) == PARLEY_OK);
        }
    }
    return NULL;
}

static int test_executor(void) {
    pthread_t threads[4];
    CHECK(parley_executor_open(0, &executor) == PARLEY_BAD_ARGUMENTS && executor == NULL);
    CHECK(parley_executor_open(8, &executor) == PARLEY_OK);
    for (size_t i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, submit, (void *)i) == 0);
    for (size_t i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    parley_executor_drain(executor);
    CHECK(parley_executor_pending(executor) == 0);
    for (int i = 0; i < KEYS; i++) CHECK(keyed[i].next == TASKS && !keyed[i].wrong);
    pthread_barrier_init(&both, NULL, 2);
    CHECK(parley_executor_submit(executor, "a", 1, meet, NULL) == PARLEY_OK);
    CHECK(parley_executor_submit(executor, "", 0, submit_more, NULL) == PARLEY_OK);
    parley_executor_drain(executor); // also what a task has submitted
    parley_executor_close(executor);
    pthread_barrier_destroy(&both);
    say("executor ok");
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "talk") == 0) return talk();
    if (argc == 4 && strcmp(argv[1], "stress") == 0) {
        rounds = atoi(argv[3]);
        return stress(argv[2]);
    }
    if (argc == 2 && strcmp(argv[1], "executor") == 0) return test_executor();
    fprintf(stderr, "see the top of test/native/test_client.c\n");
    return 2;
}
