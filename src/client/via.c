// Locks of other systems: modules and what they have in common.
//
//   caller    acquire, release: one call of the module at a time (`calls`)
//   keeper    renews each quarter of the lock's time; tells the loss at three quarters after the last renewal that was
//             acknowledged had been sent, so that a quarter is left to stop what runs under the lock
#include "client/via.h"
#include "base/alloc.h"
#include "client/internal.h"
#include "parley_via.h"
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define TTL_MS_DEFAULT 15000u
#define TTL_MS_MIN 1000u
#define TTL_MS_MAX 86400000u
#define CALL_MS_DEFAULT 5000u
#define NAME_BYTES_MAX 255u
#define TICK_MS_MAX 1000u // the keeper looks so often what it has to do: a wake-up for each grant would cost more

struct parley_via {
    const struct via_module *module;
    void *library, *state;
    struct via_setup setup;
    pthread_mutex_t calls; // held during a call of the module, and taken before `mutex`
    pthread_t keeper;
    int lost_fd, wake_fd;
    pthread_mutex_t mutex; // what follows
    unsigned holds;
    struct via_grant grant;
    uint64_t retry_ms; // after a renewal that nobody answered; 0: none
    uint64_t lost_ms;  // when the loss was told
    int news_fd;       // of the module
    bool lost, closing;
    bool gone; // lost because the system said so
    char why[384];
};

// ---- modules

static bool module_path(char path[4096], const char *folder, const char *scheme) {
    int len = snprintf(path, 4096, "%s/%s.so", folder, scheme);
    return len > 0 && len < 4096 && access(path, R_OK) == 0;
}

// One module may have several schemes: the modules' folder has a link for each.
static bool find_module(char path[4096], const char *scheme) {
    const char *wanted = getenv("PARLEY_VIA_PATH");
    char folder[2048], place[2200];
    Dl_info own;
    if (strchr(scheme, '/') != NULL) return false;
    if (wanted != NULL) return module_path(path, wanted, scheme);
    if (dladdr(&via_native, &own) == 0 || own.dli_fname == NULL) return false;
    // Of a program it is the name that it was called by, which may not be a path.
    char *real = realpath(strchr(own.dli_fname, '/') != NULL ? own.dli_fname : "/proc/self/exe", NULL);
    if (real == NULL) return false;
    snprintf(folder, sizeof folder, "%s", real);
    free(real);
    char *slash = strrchr(folder, '/');
    if (slash != NULL) *slash = 0;
    static const char *const places[] = {"via", "parley/via", "../lib/parley/via"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(place, sizeof place, "%s/%s", folder, places[i]);
        if (module_path(path, place, scheme)) return true;
    }
    return false;
}

__attribute__((format(printf, 3, 4))) static bool refuse(struct parley_problem *problem, enum parley_error error,
                                                         const char *format, ...) {
    char text[sizeof problem->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    problem_set(problem, error, text);
    return false;
}

static bool load(struct parley_via *via, struct parley_problem *problem) {
    const char *scheme = via->setup.url.scheme;
    static const char known[] = " redis redlock zookeeper etcd memcached postgres mysql ";
    char path[4096], word[24];
    if (strcmp(scheme, "parley") == 0) {
        via->module = &via_native;
        return true;
    }
    snprintf(word, sizeof word, " %s ", scheme);
    if (strstr(known, word) == NULL)
        return refuse(problem, PARLEY_BAD_ARGUMENTS, "no lock recipe is called %s://", scheme);
    if (!find_module(path, scheme))
        return refuse(problem, PARLEY_SYSTEM,
                      "this build has no %s: its client library was not there when it was made (docs/locks.md)",
                      scheme);
    via->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (via->library == NULL) return refuse(problem, PARLEY_SYSTEM, "the module cannot be loaded: %s", dlerror());
    via->module = dlsym(via->library, VIA_MODULE_SYMBOL);
    if (via->module == NULL || via->module->version != VIA_VERSION)
        return refuse(problem, PARLEY_SYSTEM, "%.300s is of another version of Parley", path);
    return true;
}

// ---- the clock and the loss

// The time that was asked for, or what the system gave of it. With the mutex held.
static uint64_t life_ms(const struct parley_via *via) {
    return via->grant.valid_ms < via->setup.ttl_ms ? via->grant.valid_ms : via->setup.ttl_ms;
}

// With the mutex held.
static uint64_t sure_until_ms(const struct parley_via *via) {
    return via->grant.sent_ms + via->grant.valid_ms / 4 * 3;
}

static void lose(struct parley_via *via, const char *why) {
    uint64_t one = 1;
    if (via->lost || via->holds == 0) return;
    via->lost = true;
    via->lost_ms = boot_now_ms();
    if (why != via->why) snprintf(via->why, sizeof via->why, "%s", why);
    if (write(via->lost_fd, &one, sizeof one) != sizeof one) abort(); // an eventfd takes it
}

static void check_clock(struct parley_via *via) {
    if (via->holds == 0 || via->lost) return;
    if (boot_now_ms() >= sure_until_ms(via))
        lose(via, via->why[0] != 0 ? via->why : "it could not be renewed in time");
    else if (via->module->lost != NULL && via->module->lost(via->state))
        lose(via, "the session has ended");
}

// ---- the keeper

static uint64_t tick_ms(const struct parley_via *via) {
    return via->setup.ttl_ms / 8 < TICK_MS_MAX ? via->setup.ttl_ms / 8 : TICK_MS_MAX;
}

// Whether it is time to ask; *next_ms: when to come again. With the mutex held.
static bool is_due(struct parley_via *via, bool news, uint64_t *next_ms) {
    uint64_t now_ms = boot_now_ms(), sure_ms = sure_until_ms(via), due_ms = via->grant.sent_ms + life_ms(via) / 4;
    *next_ms = tick_ms(via);
    check_clock(via);
    if (via->holds == 0 || via->lost) return false;
    if (due_ms < via->retry_ms) due_ms = via->retry_ms;
    bool late = now_ms + via->setup.answer_ms > sure_ms; // an answer might come too late to tell the loss in time
    if (!late && (news || now_ms >= due_ms)) return true;
    uint64_t at_ms = late || due_ms > sure_ms ? sure_ms : due_ms;
    if (at_ms < now_ms + *next_ms) *next_ms = at_ms > now_ms ? at_ms - now_ms : 0;
    return false;
}

static void kept(struct parley_via *via, enum via_kept outcome, uint64_t sent_ms, const char *text) {
    via->retry_ms = 0;
    via->news_fd = via->module->fd != NULL ? via->module->fd(via->state) : -1;
    if (outcome == VIA_KEPT) via->grant.sent_ms = sent_ms;
    if (outcome == VIA_GONE) {
        via->gone = true;
        lose(via, text[0] != 0 ? text : "another may have it");
    }
    if (outcome == VIA_UNSURE) via->retry_ms = boot_now_ms() + life_ms(via) / 32 + 1;
    if (!via->lost) snprintf(via->why, sizeof via->why, "%s", outcome == VIA_UNSURE ? text : "");
}

static uint64_t renew(struct parley_via *via, bool news) {
    struct parley_problem problem = {0};
    uint64_t next_ms;
    pthread_mutex_lock(&via->mutex);
    bool due = is_due(via, news, &next_ms);
    pthread_mutex_unlock(&via->mutex);
    if (!due) return next_ms;
    pthread_mutex_lock(&via->calls);
    pthread_mutex_lock(&via->mutex);
    due = is_due(via, news, &next_ms); // the other call may have given it back
    pthread_mutex_unlock(&via->mutex);
    if (due) {
        uint64_t sent_ms = boot_now_ms();
        enum via_kept outcome = via->module->keep(via->state, &problem);
        pthread_mutex_lock(&via->mutex);
        kept(via, outcome, sent_ms, problem.text);
        is_due(via, false, &next_ms);
        pthread_mutex_unlock(&via->mutex);
    }
    pthread_mutex_unlock(&via->calls);
    return next_ms;
}

static void *keep(void *context) {
    struct parley_via *via = context;
    uint64_t next_ms = tick_ms(via);
    for (;;) {
        pthread_mutex_lock(&via->mutex);
        bool closing = via->closing;
        int fd = via->holds > 0 && !via->lost ? via->news_fd : -1;
        pthread_mutex_unlock(&via->mutex);
        if (closing) return NULL;
        struct pollfd fds[2] = {{.fd = via->wake_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        if (poll(fds, 2, (int)next_ms) >= 0 && fds[0].revents == 0) next_ms = renew(via, fds[1].revents != 0);
    }
}

static bool start_keeper(struct parley_via *via) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&via->keeper, NULL, keep, via);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0;
}

// ---- opening and closing

static bool read_setup(struct via_setup *setup, const char *url, const char *name,
                       const struct parley_via_options *options, struct parley_problem *problem) {
    static const struct parley_via_options none;
    if (options == NULL) options = &none;
    const char *owner = options->owner != NULL ? options->owner : "";
    uint64_t random[2], call_ms = options->call_ms != 0 ? options->call_ms : CALL_MS_DEFAULT;
    if (url == NULL || !via_url_read(url, &setup->url))
        return refuse(problem, PARLEY_BAD_ARGUMENTS, "not a URL: %.300s", url != NULL ? url : "(NULL)");
    if (name == NULL || name[0] == 0 || strlen(name) > NAME_BYTES_MAX || strlen(owner) > NAME_BYTES_MAX)
        return refuse(problem, PARLEY_BAD_ARGUMENTS, "a name has 1 to 255 bytes");
    setup->ttl_ms = options->ttl_ms != 0 ? options->ttl_ms : TTL_MS_DEFAULT;
    if (setup->ttl_ms < TTL_MS_MIN || setup->ttl_ms > TTL_MS_MAX)
        return refuse(problem, PARLEY_BAD_ARGUMENTS, "ttl_ms is of 1000 to 86400000");
    setup->answer_ms = call_ms < setup->ttl_ms / 4 ? call_ms : setup->ttl_ms / 4;
    if (getrandom(random, sizeof random, 0) != sizeof random) abort();
    snprintf(setup->nonce, sizeof setup->nonce, "%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    snprintf(setup->owner, sizeof setup->owner, "%s", owner[0] != 0 ? owner : setup->nonce);
    snprintf(setup->name, sizeof setup->name, "%s", name);
    return true;
}

static void discard(struct parley_via *via) {
    if (via->state != NULL) via->module->close(via->state);
    // The module stays loaded: some client libraries leave threads or exit handlers behind.
    if (via->lost_fd >= 0) close(via->lost_fd);
    if (via->wake_fd >= 0) close(via->wake_fd);
    pthread_mutex_destroy(&via->calls);
    pthread_mutex_destroy(&via->mutex);
    mem_free(via);
}

enum parley_error parley_via_open(const char *url, const char *name, const struct parley_via_options *options,
                                  struct parley_via **out, struct parley_problem *problem) {
    struct parley_problem own;
    if (problem == NULL) problem = &own;
    *problem = (struct parley_problem){0};
    struct parley_via *via = mem_alloc(sizeof *via);
    *via = (struct parley_via){.lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                               .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    pthread_mutex_init(&via->calls, NULL);
    pthread_mutex_init(&via->mutex, NULL);
    *out = NULL;
    bool ok = via->lost_fd >= 0 && via->wake_fd >= 0;
    if (!ok) problem_set(problem, PARLEY_SYSTEM, strerror(errno));
    ok = ok && read_setup(&via->setup, url, name, options, problem) && load(via, problem) &&
         via->module->open(&via->setup, &via->state, problem);
    if (ok && !start_keeper(via)) ok = refuse(problem, PARLEY_SYSTEM, "cannot start a thread: %s", strerror(errno));
    if (!ok) {
        discard(via);
        return problem->error;
    }
    *out = via;
    return PARLEY_OK;
}

void parley_via_close(struct parley_via *via) {
    uint64_t one = 1;
    if (via == NULL) return;
    while (via->holds > 0) parley_via_release(via, NULL);
    pthread_mutex_lock(&via->mutex);
    via->closing = true;
    pthread_mutex_unlock(&via->mutex);
    if (write(via->wake_fd, &one, sizeof one) != sizeof one) abort();
    pthread_join(via->keeper, NULL);
    discard(via);
}

// ---- taking and giving back

static void granted(struct parley_via *via, const struct via_grant *grant) {
    uint64_t losses;
    pthread_mutex_lock(&via->mutex);
    if (via->holds++ == 0) {
        via->lost = via->gone = false;
        via->why[0] = 0;
        if (read(via->lost_fd, &losses, sizeof losses) < 0 && errno != EAGAIN) abort(); // of the one before
    }
    via->grant = *grant;
    via->retry_ms = 0;
    via->news_fd = via->module->fd != NULL ? via->module->fd(via->state) : -1;
    pthread_mutex_unlock(&via->mutex);
}

static enum parley_error refuse_with(struct parley_problem *problem, enum parley_error error, const char *text) {
    problem_set(problem, error, text);
    return error;
}

// With `calls` held.
static enum parley_error acquire(struct parley_via *via, uint64_t wait_ms, struct parley_problem *problem) {
    struct via_grant grant = {0};
    uint64_t until_ms = wait_ms == PARLEY_TRY ? 0 : wait_ms == 0 ? NEVER : boot_now_ms() + wait_ms;
    bool again = via->holds > 0;
    if (again && parley_via_lost(via)) return refuse_with(problem, PARLEY_LOST, via->why);
    enum parley_error error = via->module->acquire(via->state, again ? 0 : until_ms, &grant, problem);
    if (error == PARLEY_OK) {
        granted(via, &grant);
        *problem = (struct parley_problem){0}; // of tries before
        return error;
    }
    char why[sizeof problem->text];
    snprintf(why, sizeof why, "%s", strcmp(problem->text, parley_error_text(PARLEY_BUSY)) != 0 ? problem->text : "");
    if (again && error == PARLEY_BUSY && wait_ms != PARLEY_TRY)
        error = refuse_with(problem, PARLEY_DEADLOCK, "this recipe is not reentrant: its holder would wait for itself");
    else if (error == PARLEY_BUSY && wait_ms != PARLEY_TRY)
        error = refuse_with(problem, PARLEY_TIMED_OUT, why);
    else if (problem->error != error)
        problem_set(problem, error, why);
    return error;
}

enum parley_error parley_via_acquire(struct parley_via *via, uint64_t wait_ms, struct parley_problem *problem) {
    struct parley_problem own;
    if (problem == NULL) problem = &own;
    *problem = (struct parley_problem){0};
    pthread_mutex_lock(&via->calls);
    enum parley_error error = acquire(via, wait_ms, problem);
    pthread_mutex_unlock(&via->calls);
    return error;
}

enum parley_error parley_via_release(struct parley_via *via, struct parley_problem *problem) {
    struct parley_problem own;
    if (problem == NULL) problem = &own;
    *problem = (struct parley_problem){0};
    pthread_mutex_lock(&via->calls);
    pthread_mutex_lock(&via->mutex);
    check_clock(via);
    bool held = via->holds > 0, lost = via->lost;
    pthread_mutex_unlock(&via->mutex);
    struct parley_problem said = {0};
    enum parley_error error = held ? via->module->release(via->state, &said) : PARLEY_NOT_HELD;
    pthread_mutex_lock(&via->mutex);
    if (held) via->holds--;
    if (lost) error = PARLEY_LOST;
    if (error != PARLEY_OK) problem_set(problem, error, lost ? via->why : said.text);
    pthread_mutex_unlock(&via->mutex);
    pthread_mutex_unlock(&via->calls);
    return error;
}

// ---- what is asked from any thread

bool parley_via_lost(struct parley_via *via) {
    pthread_mutex_lock(&via->mutex);
    check_clock(via);
    bool lost = via->lost;
    pthread_mutex_unlock(&via->mutex);
    return lost;
}

void parley_via_lost_why(struct parley_via *via, char *text, size_t size) {
    pthread_mutex_lock(&via->mutex);
    snprintf(text, size, "%s", via->lost ? via->why : "");
    pthread_mutex_unlock(&via->mutex);
}

int parley_via_fd(struct parley_via *via) {
    return via->lost_fd;
}

uint64_t parley_via_left_ms(struct parley_via *via) {
    pthread_mutex_lock(&via->mutex);
    uint64_t ends_ms = via->grant.sent_ms + via->grant.valid_ms, now_ms = boot_now_ms();
    if (via->lost && via->module->lost != NULL) ends_ms = via->lost_ms + life_ms(via) / 20; // libparley's promise
    if (via->holds == 0 || via->gone) ends_ms = 0;
    pthread_mutex_unlock(&via->mutex);
    return ends_ms > now_ms ? ends_ms - now_ms : 0;
}

uint64_t parley_via_token(struct parley_via *via) {
    pthread_mutex_lock(&via->mutex);
    uint64_t token = via->holds > 0 ? via->grant.token : 0;
    pthread_mutex_unlock(&via->mutex);
    return token;
}
