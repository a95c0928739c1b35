// Handles of locks.
#include "base/alloc.h"
#include "base/assert.h"
#include "client/internal.h"
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LIMIT_MARGIN_MS 500u // the server's word that the time is over, if it comes, is waited for a little longer
#define WAIT_MS_MAX (30ull * 24 * 3600 * 1000)
#define NAME_BYTES_MAX 255u

// ---- what a hold tells its handles

static void told(struct parley_lock *lock) {
    timer_stop(&lock->limit);
    if (lock->async && lock->on_done != NULL) {
        lock->done_due = true;
        client_job(lock->client, lock);
    }
    pthread_cond_broadcast(&lock->changed);
}

void handle_granted(struct parley_lock *lock, uint64_t token) {
    if (lock->state != PARLEY_LOCK_WAITS) return;
    lock->state = PARLEY_LOCK_HELD;
    lock->token = token;
    problem_set(&lock->problem, PARLEY_OK, "");
    told(lock);
}

void lock_failed(struct parley_lock *lock, const struct parley_problem *problem) {
    ENSURE(lock->state == PARLEY_LOCK_WAITS && lock->hold == NULL);
    lock->state = PARLEY_LOCK_FAILED;
    lock->problem = *problem;
    told(lock);
}

void lock_lost(struct parley_lock *lock, const char *why) {
    ENSURE(lock->state == PARLEY_LOCK_HELD && lock->hold == NULL);
    lock->state = PARLEY_LOCK_LOST;
    snprintf(lock->why_lost, sizeof lock->why_lost, "%s", why);
    lock_arm(lock);
    if (lock->on_lost == NULL) return;
    lock->lost_due = true;
    client_job(lock->client, lock);
}

// A timer of the kernel: it tells the loss by time even if none of our threads runs.
void lock_arm(struct parley_lock *lock) {
    if (lock->fd < 0) return;
    uint64_t at_ms = lock->state == PARLEY_LOCK_HELD ? lock->client->session.deadline_ms : 1; // 1: long ago
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at_ms / 1000), .tv_nsec = (long)(at_ms % 1000) * 1000000}};
    int failed = timerfd_settime(lock->fd, TFD_TIMER_ABSTIME, &when, NULL);
    ENSURE(failed == 0);
}

// ---- taking

static void limit_passed(struct timer *timer) {
    struct parley_lock *lock = CONTAINER_OF(timer, struct parley_lock, limit);
    struct parley_problem problem;
    problem_set(&problem, lock->try_only ? PARLEY_NOT_APPLIED : PARLEY_TIMED_OUT, lock->hold->exchange.trouble);
    hold_leave(lock->hold, lock);
    lock_failed(lock, &problem);
}

bool lock_options_good(const char *name, const struct parley_lock_options *o, struct parley_problem *problem) {
    const char *wrong = NULL;
    if (!text_good(name, 1, NAME_BYTES_MAX)) wrong = "a name has 1 to 255 bytes of UTF-8";
    if (o->owner != NULL && !text_good(o->owner, 1, NAME_BYTES_MAX)) wrong = "an owner has 1 to 255 bytes of UTF-8";
    if ((unsigned)o->mode > PARLEY_PERMITS) wrong = "there is no such mode";
    if (o->mode == PARLEY_PERMITS ? o->permits == 0 || o->permits > o->total : o->permits != 0 || o->total != 0)
        wrong = "permits are 1 to total, and go with PARLEY_PERMITS";
    if ((o->wait_ms > WAIT_MS_MAX && o->wait_ms != PARLEY_TRY) || o->delay_ms > WAIT_MS_MAX)
        wrong = "times are 30 days at most";
    if (wrong != NULL) problem_set(problem, PARLEY_BAD_ARGUMENTS, wrong);
    return wrong == NULL;
}

static struct parley_lock *lock_new(struct parley_client *client, const struct parley_lock_options *o) {
    struct parley_lock *lock = mem_zalloc(sizeof *lock);
    uint64_t now_ms = boot_now_ms();
    list_init(&lock->of_hold);
    list_init(&lock->of_jobs);
    lock->client = client;
    client->references++;
    lock->fd = -1;
    lock->try_only = o->wait_ms == PARLEY_TRY;
    lock->until_ms = o->wait_ms == 0 ? NEVER : now_ms + (lock->try_only ? client->options.call_ms : o->wait_ms);
    lock->on_lost = o->on_lost;
    lock->lost_context = o->context;
    timer_init(&lock->limit, client, limit_passed);
    cond_init(&lock->changed);
    return lock;
}

// Its last use: also lets go of the mutex.
static void lock_free(struct parley_lock *lock) {
    struct parley_client *client = lock->client;
    ENSURE(lock->hold == NULL);
    timer_stop(&lock->limit);
    list_remove(&lock->of_jobs);
    if (lock->fd >= 0) close(lock->fd);
    pthread_cond_destroy(&lock->changed);
    mem_free(lock);
    client_release(client);
}

static bool same_kind(const struct hold *hold, const struct parley_lock_options *o) {
    return hold->mode == o->mode && hold->permits == o->permits && hold->total == o->total;
}

// With the mutex held: finds or makes the claim, and joins it.
static enum parley_error join(struct parley_lock *lock, const char *name, const struct parley_lock_options *o,
                              const char *value) {
    struct parley_client *client = lock->client;
    char fresh[NAME_BYTES_MAX + 1];
    if (client->closing) return PARLEY_CLOSED;
    session_check(client); // a hold that is lost by now is none
    snprintf(fresh, sizeof fresh, "%.200s #%llu", client->owner, (unsigned long long)++client->owners);
    const char *owner = o->owner != NULL ? o->owner : fresh;
    struct hold *hold = held_claim_find(client, name, owner);
    if (hold != NULL && !same_kind(hold, o)) return PARLEY_KIND;
    if (hold != NULL && hold->state != HOLD_HELD && lock->try_only) return PARLEY_BUSY;
    if (hold == NULL) hold = hold_new(client, name, owner, o, value);
    hold_join(hold, lock);
    if (lock->state == PARLEY_LOCK_WAITS && lock->until_ms != NEVER)
        timer_set(&lock->limit, lock->until_ms + (lock->try_only ? 0 : LIMIT_MARGIN_MS));
    return PARLEY_OK;
}

static enum parley_error refuse(struct parley_lock *lock, enum parley_error error, struct parley_problem *problem) {
    problem_set(problem, error, error == PARLEY_BUSY ? "its own owner waits for it or gives it back" : "");
    lock_free(lock);
    return error;
}

enum parley_error lock_take(struct parley_client *client, const char *name, const struct parley_lock_options *o,
                            const char *value, struct parley_lock **out, struct parley_problem *problem) {
    *out = NULL;
    pthread_mutex_lock(&client->mutex);
    struct parley_lock *lock = lock_new(client, o);
    enum parley_error error = join(lock, name, o, value);
    if (error != PARLEY_OK) return refuse(lock, error, problem);
    while (lock->state == PARLEY_LOCK_WAITS) wait_until(&lock->changed, &client->mutex, NEVER);
    if (lock->state == PARLEY_LOCK_FAILED) {
        error = lock->problem.error;
        if (problem != NULL) *problem = lock->problem;
        lock_free(lock);
        return error;
    }
    *out = lock;
    pthread_mutex_unlock(&client->mutex);
    return PARLEY_OK;
}

enum parley_error lock_take_async(struct parley_client *client, const char *name, const struct parley_lock_options *o,
                                  const char *value, parley_done_fn on_done, void *context, struct parley_lock **out,
                                  struct parley_problem *problem) {
    *out = NULL;
    pthread_mutex_lock(&client->mutex);
    struct parley_lock *lock = lock_new(client, o);
    lock->async = true;
    lock->on_done = on_done;
    lock->done_context = context;
    enum parley_error error = join(lock, name, o, value);
    if (error == PARLEY_CLOSED) return refuse(lock, error, problem);
    if (error != PARLEY_OK) {
        struct parley_problem why;
        problem_set(&why, error, "");
        lock_failed(lock, &why);
    }
    *out = lock; // before the callback can run, which may use it
    pthread_mutex_unlock(&client->mutex);
    return PARLEY_OK;
}

enum parley_error parley_lock(struct parley_client *client, const char *name, const struct parley_lock_options *options,
                              struct parley_lock **lock, struct parley_problem *problem) {
    static const struct parley_lock_options standard;
    const struct parley_lock_options *o = options != NULL ? options : &standard;
    *lock = NULL;
    return lock_options_good(name, o, problem) ? lock_take(client, name, o, NULL, lock, problem) : PARLEY_BAD_ARGUMENTS;
}

enum parley_error parley_lock_async(struct parley_client *client, const char *name,
                                    const struct parley_lock_options *options, parley_done_fn on_done, void *context,
                                    struct parley_lock **lock, struct parley_problem *problem) {
    static const struct parley_lock_options standard;
    const struct parley_lock_options *o = options != NULL ? options : &standard;
    *lock = NULL;
    if (!lock_options_good(name, o, problem)) return PARLEY_BAD_ARGUMENTS;
    return lock_take_async(client, name, o, NULL, on_done, context, lock, problem);
}

// ---- giving back

// With the mutex held. No callback of it begins any more; one that runs in another thread is waited for.
static void end_callbacks(struct parley_lock *lock) {
    struct parley_client *client = lock->client;
    bool own = pthread_equal(pthread_self(), client->callbacks) != 0;
    list_remove(&lock->of_jobs);
    lock->on_lost = NULL;
    lock->async = false;
    if (own && client->running == lock) client->running = NULL;
    while (client->running == lock) wait_until(&lock->changed, &client->mutex, NEVER);
}

static enum parley_error give_back(struct parley_lock *lock) {
    struct parley_client *client = lock->client;
    uint64_t until_ms = boot_now_ms() + client->options.call_ms;
    problem_set(&lock->problem, PARLEY_OK, "");
    if (!hold_leave(lock->hold, lock)) return PARLEY_OK; // others hold it still
    while (!lock->released && boot_now_ms() < until_ms) wait_until(&lock->changed, &client->mutex, until_ms);
    if (!lock->released) {
        problem_set(&lock->problem, PARLEY_UNKNOWN, lock->hold->exchange.trouble);
        lock->hold->last = NULL;
        lock->hold = NULL;
    }
    return lock->problem.error;
}

enum parley_error parley_unlock(struct parley_lock *lock, struct parley_problem *problem) {
    if (lock == NULL) return PARLEY_OK;
    struct parley_client *client = lock->client;
    enum parley_error error = PARLEY_OK;
    pthread_mutex_lock(&client->mutex);
    session_check(client);
    end_callbacks(lock);
    if (lock->state == PARLEY_LOCK_LOST) {
        error = PARLEY_LOST;
        problem_set(&lock->problem, error, lock->why_lost);
    } else if (lock->state == PARLEY_LOCK_HELD) {
        error = give_back(lock);
    } else if (lock->state == PARLEY_LOCK_WAITS) {
        hold_leave(lock->hold, lock);
    }
    if (error != PARLEY_OK && problem != NULL) *problem = lock->problem;
    lock_free(lock);
    return error;
}

// ---- asking a handle

uint64_t parley_lock_token(const struct parley_lock *lock) {
    pthread_mutex_lock(&lock->client->mutex);
    uint64_t token = lock->token;
    pthread_mutex_unlock(&lock->client->mutex);
    return token;
}

enum parley_lock_state parley_lock_state(struct parley_lock *lock) {
    pthread_mutex_lock(&lock->client->mutex);
    session_check(lock->client);
    enum parley_lock_state state = lock->state;
    pthread_mutex_unlock(&lock->client->mutex);
    return state;
}

bool parley_lock_lost(struct parley_lock *lock) {
    enum parley_lock_state state = parley_lock_state(lock);
    return state == PARLEY_LOCK_LOST || state == PARLEY_LOCK_FAILED;
}

void parley_lock_lost_why(struct parley_lock *lock, char *text, size_t size) {
    pthread_mutex_lock(&lock->client->mutex);
    snprintf(text, size, "%s", lock->why_lost);
    pthread_mutex_unlock(&lock->client->mutex);
}

int parley_lock_fd(struct parley_lock *lock) {
    pthread_mutex_lock(&lock->client->mutex);
    if (lock->fd < 0 && (lock->state == PARLEY_LOCK_HELD || lock->state == PARLEY_LOCK_LOST)) {
        lock->fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        lock_arm(lock);
    }
    int fd = lock->fd;
    pthread_mutex_unlock(&lock->client->mutex);
    return fd;
}
