// `parley lock NAME -- CMD`: runs CMD while a lock is held, and ends it when the lock is lost.
//
//   main     gets the lock, starts CMD, waits for its end, for signals and for the loss
//   keeper   keeps the session alive; a session that nobody acknowledges for two thirds of its time counts as lost,
//            because CMD must be gone when the time is over: another may have the lock then
//   watcher  asks to be told of a loss (an operator broke the lock)
#include "cli/lock.h"
#include "server/server.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCH_MS 20000u
#define ANSWER_MS_MIN 600u
#define WAIT_MARGIN_MS 5000u // a server answers so long behind the waiting time at the latest

struct run {
    struct native_client *client;
    const struct lock_options *options;
    char session[96], owner[256];
    json_int_t token;
    int lost_fd; // readable once it is lost
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping, holds, lost; // keeper ends; CMD runs, or may; the lock is lost
    uint64_t acknowledged_ms, kill_ms;
    char reason[600];
    pthread_t keeper;
};

// ---- what is told
__attribute__((format(printf, 3, 4))) static void tell(const struct run *run, const char *event, const char *format,
                                                       ...) {
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!run->options->json) {
        fprintf(stderr, "parley lock: %s\n", text);
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "event", json_string(event));
    json_object_set_new(json, "name", json_string(run->options->name));
    json_object_set_new(json, "text", json_string(text));
    if (run->token != 0) json_object_set_new(json, "token", json_integer(run->token));
    char *line = json_dumps(json, JSON_COMPACT);
    fprintf(stderr, "%s\n", line);
    free(line);
    json_decref(json);
}

static void note_loss(struct run *run, const char *reason, uint64_t kill_ms) {
    uint64_t one = 1;
    pthread_mutex_lock(&run->lock);
    bool first = run->holds && !run->lost; // who only waits has nothing to lose
    if (first) {
        run->lost = true;
        run->kill_ms = kill_ms;
        snprintf(run->reason, sizeof run->reason, "%s", reason);
    }
    pthread_mutex_unlock(&run->lock);
    if (first && write(run->lost_fd, &one, sizeof one) != sizeof one) abort(); // an eventfd takes it
}

// ---- the session
static json_t *with_session(const struct run *run) {
    json_t *body = json_object();
    json_object_set_new(body, "session", json_string(run->session));
    return body;
}

// false: it shall end.
static bool keeper_sleeps(struct run *run, uint64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + ms * 1000000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&run->lock);
    while (!run->stopping && pthread_cond_timedwait(&run->changed, &run->lock, &until) == 0) {
    }
    bool goes_on = !run->stopping;
    pthread_mutex_unlock(&run->lock);
    return goes_on;
}

// Of one server, before the next one is asked: there must be time for two.
static uint64_t answer_ms(const struct run *run) {
    return run->options->ttl_ms / 6 > ANSWER_MS_MIN ? run->options->ttl_ms / 6 : ANSWER_MS_MIN;
}

// When the newest activity that is known to have been acknowledged was sent; this one was, if not 0.
static uint64_t acknowledged_at(struct run *run, uint64_t sent_ms) {
    pthread_mutex_lock(&run->lock);
    if (sent_ms > run->acknowledged_ms) run->acknowledged_ms = sent_ms;
    uint64_t newest_ms = run->acknowledged_ms;
    pthread_mutex_unlock(&run->lock);
    return newest_ms;
}

static void *keep(void *context) {
    struct run *run = context;
    uint64_t ttl_ms = run->options->ttl_ms;
    while (keeper_sleeps(run, ttl_ms / 4)) {
        struct native_answer answer;
        uint64_t sent_ms = native_now_ms(), give_up_ms = acknowledged_at(run, 0) + ttl_ms * 2 / 3;
        if (sent_ms >= give_up_ms) give_up_ms = sent_ms + 1;
        bool kept =
            native_call(run->client, "session/keepalive", with_session(run), answer_ms(run), give_up_ms, &answer);
        bool ended = answer.status == 410;
        uint64_t acknowledged_ms = acknowledged_at(run, kept ? sent_ms : 0);
        uint64_t now_ms = native_now_ms(), grace_ms = now_ms + run->options->grace_ms;
        uint64_t end_ms = acknowledged_ms + ttl_ms;
        char reason[600];
        snprintf(reason, sizeof reason, "the session was not acknowledged in time: %.500s", answer.error);
        native_answer_free(&answer);
        if (ended)
            note_loss(run, "its session has ended", grace_ms);
        else if (!kept && now_ms + 200 >= acknowledged_ms + ttl_ms * 2 / 3)
            note_loss(run, reason, end_ms < grace_ms ? end_ms : grace_ms);
        if (ended) break;
    }
    return NULL;
}

static void stop_keeper(struct run *run) {
    pthread_mutex_lock(&run->lock);
    run->stopping = true;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
    pthread_join(run->keeper, NULL);
}

// Signals are for the main thread.
static void start_thread(pthread_t *thread, void *(*body)(void *), struct run *run) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, body, run);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) return;
    tell(run, "error", "cannot start a thread: %s", strerror(error));
    exit(EXIT_FATAL);
}

static bool make_session(struct run *run, uint64_t until_ms, struct native_answer *answer) {
    json_t *body = json_object();
    json_object_set_new(body, "ttl_ms", json_integer((json_int_t)run->options->ttl_ms));
    uint64_t sent_ms = native_now_ms();
    if (!native_call(run->client, "session/create", body, NATIVE_TIMEOUT_MS, until_ms, answer)) return false;
    const char *session = json_string_value(json_object_get(answer->json, "session"));
    snprintf(run->session, sizeof run->session, "%s", session != NULL ? session : "");
    native_answer_free(answer);
    run->acknowledged_ms = sent_ms;
    run->stopping = run->holds = run->lost = false;
    start_thread(&run->keeper, keep, run);
    return true;
}

// With it goes everything that it holds.
static void close_session(struct run *run) {
    struct native_answer answer;
    stop_keeper(run);
    native_call(run->client, "session/close", with_session(run), 2000, native_now_ms() + 2000, &answer);
    native_answer_free(&answer);
}

// ---- getting the lock
static json_t *acquire_body(const struct run *run, uint64_t wait_ms) {
    const struct lock_options *o = run->options;
    json_t *body = with_session(run);
    json_object_set_new(body, "name", json_string(o->name));
    json_object_set_new(body, "owner", json_string(run->owner));
    json_object_set_new(body, "wait_ms", json_integer((json_int_t)wait_ms));
    json_object_set_new(body, "delay_ms", json_integer((json_int_t)o->delay_ms));
    if (o->shared) json_object_set_new(body, "mode", json_string("shared"));
    if (o->total > 0) {
        json_object_set_new(body, "mode", json_string("permits"));
        json_object_set_new(body, "permits", json_integer((json_int_t)o->permits));
        json_object_set_new(body, "total", json_integer((json_int_t)o->total));
    }
    return body;
}

// A session that moved or ended meanwhile: asked again. A place in line stays the session's.
static bool acquire(struct run *run, uint64_t begin_ms, struct native_answer *answer) {
    uint64_t until_ms = begin_ms + run->options->wait_ms;
    for (;;) {
        uint64_t now_ms = native_now_ms(), wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        uint64_t answer_ms = (wait_ms > WAIT_MARGIN_MS ? wait_ms : WAIT_MARGIN_MS) + WAIT_MARGIN_MS;
        uint64_t give_up_ms = now_ms + (wait_ms > NATIVE_TIMEOUT_MS ? wait_ms : NATIVE_TIMEOUT_MS);
        if (native_call(run->client, "lock/acquire", acquire_body(run, wait_ms), answer_ms, give_up_ms, answer))
            return true;
        if (strcmp(native_error_name(answer), "session-moved") != 0) return false;
        native_answer_free(answer);
    }
}

static void tell_not_got(const struct run *run, const struct native_answer *answer) {
    const char *holder = json_string_value(json_object_get(answer->json, "holder"));
    bool held = holder != NULL && holder[0] != 0;
    tell(run, "not-got", "%s%s%s%s", answer->error, held ? " (" : "", held ? holder : "", held ? ")" : "");
}

// The grant may be old news: CMD begins only when the session is known to live. From now on a loss counts.
static bool confirm(struct run *run, struct native_answer *answer) {
    uint64_t sent_ms = native_now_ms(), until_ms = sent_ms + run->options->ttl_ms / 3;
    if (!native_call(run->client, "session/keepalive", with_session(run), answer_ms(run), until_ms, answer))
        return false;
    native_answer_free(answer);
    pthread_mutex_lock(&run->lock);
    run->acknowledged_ms = sent_ms;
    run->holds = true;
    pthread_mutex_unlock(&run->lock);
    return true;
}

// false: the answer says why; again: another session may get it.
static bool try_session(struct run *run, uint64_t begin_ms, uint64_t until_ms, bool *again,
                        struct native_answer *answer) {
    *again = false;
    if (!make_session(run, until_ms, answer)) return false;
    if (acquire(run, begin_ms, answer)) {
        run->token = json_integer_value(json_object_get(answer->json, "token"));
        native_answer_free(answer);
        if (confirm(run, answer)) return true;
        *again = true;
    }
    *again = *again || answer->status == 410; // it ended while the servers were away
    close_session(run);
    run->token = 0;
    return false;
}

static bool obtain(struct run *run) {
    struct native_answer answer;
    uint64_t begin_ms = native_now_ms(), wait_ms = run->options->wait_ms;
    uint64_t until_ms = begin_ms + (wait_ms > NATIVE_TIMEOUT_MS ? wait_ms : NATIVE_TIMEOUT_MS);
    bool again;
    while (!try_session(run, begin_ms, until_ms, &again, &answer)) {
        if (again && native_now_ms() < until_ms) {
            native_answer_free(&answer);
            continue;
        }
        tell_not_got(run, &answer);
        native_answer_free(&answer);
        return false;
    }
    return true;
}

// ---- while it is held
static void *watch(void *context) {
    struct run *run = context;
    for (;;) {
        struct native_answer answer;
        json_t *body = json_object();
        json_object_set_new(body, "name", json_string(run->options->name));
        json_object_set_new(body, "token", json_integer(run->token));
        json_object_set_new(body, "wait_ms", json_integer(WATCH_MS));
        bool asked = native_call(run->client, "lock/watch", body, WATCH_MS + WAIT_MARGIN_MS,
                                 native_now_ms() + NATIVE_TIMEOUT_MS, &answer);
        bool lost = asked && json_is_false(json_object_get(answer.json, "held"));
        if (lost) {
            const char *loss = json_string_value(json_object_get(answer.json, "loss"));
            const char *why = json_string_value(json_object_get(answer.json, "reason"));
            char reason[600];
            snprintf(reason, sizeof reason, "%s%s%s", loss != NULL ? loss : "gone", why != NULL ? ": " : "",
                     why != NULL ? why : "");
            note_loss(run, reason, native_now_ms() + run->options->grace_ms);
        }
        native_answer_free(&answer);
        if (lost) return NULL;
    }
}

static pid_t start_command(struct run *run, const sigset_t *signals, bool own_group) {
    char token[32];
    snprintf(token, sizeof token, "%lld", (long long)run->token);
    setenv("PARLEY_LOCK_TOKEN", token, 1);
    setenv("PARLEY_LOCK_NAME", run->options->name, 1);
    pid_t parent = getpid(), child = fork();
    if (child != 0) return child;
    if (own_group) setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); // without us nobody would end it when the lock is lost
    if (getppid() != parent) _exit(LOCK_EXIT_LOST);
    sigprocmask(SIG_UNBLOCK, signals, NULL);
    execvp(run->options->command[0], run->options->command);
    int error = errno;
    fprintf(stderr, "parley lock: %s: %s\n", run->options->command[0], strerror(error));
    _exit(error == ENOENT ? LOCK_EXIT_NOT_FOUND : LOCK_EXIT_CANNOT_RUN);
}

static int time_left(const struct run *run, bool ending) {
    if (!ending) return -1;
    uint64_t now_ms = native_now_ms();
    return run->kill_ms > now_ms ? (int)(run->kill_ms - now_ms) : 0;
}

// Waits for CMD's end; gives its status. Signals are passed on; what a terminal sends, CMD has got itself.
static int supervise(struct run *run, pid_t child, int signal_fd, bool own_group) {
    pid_t target = own_group ? -child : child;
    bool ending = false;
    int status;
    for (;;) {
        if (waitpid(child, &status, WNOHANG) == child) return status;
        struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN},
                                {.fd = ending ? -1 : run->lost_fd, .events = POLLIN}};
        int ready = poll(fds, 2, time_left(run, ending));
        if (ready == 0) kill(target, SIGKILL);
        if (ready == 0) run->kill_ms = native_now_ms() + 1000; // it ends now; else once more
        if (ready > 0 && (fds[1].revents & POLLIN) != 0) {
            ending = true;
            tell(run, "lost", "%s was lost: %s", run->options->name, run->reason);
            kill(target, SIGTERM);
        }
        struct signalfd_siginfo info;
        while (read(signal_fd, &info, sizeof info) == sizeof info) {
            bool terminal = info.ssi_signo == SIGINT || info.ssi_signo == SIGQUIT;
            if (info.ssi_signo != SIGCHLD && (own_group || !terminal)) kill(target, (int)info.ssi_signo);
        }
    }
}

static int run_command(struct run *run) {
    sigset_t signals;
    sigemptyset(&signals);
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) sigaddset(&signals, numbers[i]);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    bool own_group = isatty(STDIN_FILENO) == 0; // a terminal's jobs stay in one group
    pid_t child = signal_fd >= 0 ? start_command(run, &signals, own_group) : -1;
    if (child < 0) {
        tell(run, "error", "cannot start a process: %s", strerror(errno));
        return EXIT_FATAL;
    }
    if (own_group) setpgid(child, child); // whoever is first
    pthread_t watcher;
    start_thread(&watcher, watch, run);
    pthread_detach(watcher);
    int status = supervise(run, child, signal_fd, own_group);
    pthread_mutex_lock(&run->lock);
    bool lost = run->lost;
    pthread_mutex_unlock(&run->lock);
    if (lost && own_group) kill(-child, SIGKILL); // what CMD left behind holds no lock either
    if (lost) return LOCK_EXIT_LOST;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int lock_run(struct native_client *client, const struct lock_options *options) {
    static struct run run; // the watcher may still wait for an answer when this returns
    char host[128] = "";
    pthread_condattr_t monotonic;
    run = (struct run){.client = client, .options = options, .lost_fd = eventfd(0, EFD_CLOEXEC)};
    pthread_mutex_init(&run.lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&run.changed, &monotonic);
    gethostname(host, sizeof host - 1);
    snprintf(run.owner, sizeof run.owner, "%s pid %ld", host, (long)getpid());
    if (!obtain(&run)) return LOCK_EXIT_NOT_GOT;
    if (options->json) tell(&run, "got", "%s is held", options->name);
    int code = run_command(&run);
    close_session(&run);
    return code;
}
