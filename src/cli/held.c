#include "cli/held.h"
#include "cli/native_client.h"
#include "server/server.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// ---- keepers

bool held_thread(pthread_t *thread, void *(*body)(void *), void *context) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, body, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return error == 0;
}

// false: it shall end.
static bool sleeps(struct keeper *keeper) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + keeper->period_ms * 1000000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&keeper->lock);
    while (!keeper->stopping && pthread_cond_timedwait(&keeper->changed, &keeper->lock, &until) == 0) {
    }
    bool goes_on = !keeper->stopping;
    pthread_mutex_unlock(&keeper->lock);
    return goes_on;
}

static void *keep(void *context) {
    struct keeper *keeper = context;
    while (sleeps(keeper) && keeper->work(keeper->context)) {
    }
    return NULL;
}

bool keeper_start(struct keeper *keeper, uint64_t period_ms, bool (*work)(void *context), void *context) {
    pthread_condattr_t monotonic;
    *keeper = (struct keeper){.work = work, .context = context, .period_ms = period_ms};
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->changed, &monotonic);
    return held_thread(&keeper->thread, keep, keeper);
}

void keeper_stop(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    keeper->stopping = true;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
}

// ---- what is held

void held_init(struct held *held) {
    held->lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (held->lost_fd < 0) abort();
    pthread_mutex_init(&held->lock, NULL);
}

void held_again(struct held *held) {
    uint64_t losses;
    pthread_mutex_lock(&held->lock);
    held->lost = held->over = false;
    held->signal = 0;
    bool drained = read(held->lost_fd, &losses, sizeof losses) >= 0 || errno == EAGAIN; // of the one before
    pthread_mutex_unlock(&held->lock);
    if (!drained) abort();
}

void held_over(struct held *held) {
    pthread_mutex_lock(&held->lock);
    held->over = true;
    pthread_mutex_unlock(&held->lock);
}

void held_lose(struct held *held, const char *reason, uint64_t kill_ms) {
    uint64_t one = 1;
    pthread_mutex_lock(&held->lock);
    if (!held->lost && !held->over) {
        held->lost = true;
        held->kill_ms = kill_ms;
        snprintf(held->reason, sizeof held->reason, "%s", reason);
        if (write(held->lost_fd, &one, sizeof one) != sizeof one) abort(); // an eventfd takes it
    }
    pthread_mutex_unlock(&held->lock);
}

// ---- CMD

// A file in memory, so that nobody has to feed it to CMD.
static int input_file(const struct bytes *input) {
    int fd = memfd_create("input", MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < input->len) {
        ssize_t n = write(fd, input->data + done, input->len - done);
        if (n < 0 && errno != EINTR) {
            close(fd);
            return -1;
        }
        if (n > 0) done += (size_t)n;
    }
    if (fd >= 0) lseek(fd, 0, SEEK_SET);
    return fd;
}

static pid_t start_command(const struct held *held, const sigset_t *before, bool own_group) {
    int input = held->input != NULL ? input_file(held->input) : -1;
    if (held->input != NULL && input < 0) return -1;
    pid_t parent = getpid(), child = fork();
    if (child != 0) {
        if (input >= 0) close(input);
        return child;
    }
    if (own_group) setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); // without us nobody would end it when what is held is lost
    if (getppid() != parent) _exit(HELD_EXIT_LOST);
    if (input >= 0) dup2(input, STDIN_FILENO);
    sigprocmask(SIG_SETMASK, before, NULL);
    execvp(held->command[0], held->command);
    int error = errno;
    fprintf(stderr, "%s: %s: %s\n", held->who, held->command[0], strerror(error));
    _exit(error == ENOENT ? HELD_EXIT_NOT_FOUND : HELD_EXIT_CANNOT_RUN);
}

static int time_left(const struct held *held, bool ending) {
    if (!ending) return -1;
    uint64_t now_ms = native_now_ms();
    return held->kill_ms > now_ms ? (int)(held->kill_ms - now_ms) : 0;
}

// Signals are passed on; what a terminal sends, CMD has got itself.
static void pass_signals(struct held *held, int signal_fd, pid_t target, bool own_group) {
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof info) == sizeof info) {
        int number = (int)info.ssi_signo;
        bool terminal = number == SIGINT || number == SIGQUIT;
        if (number == SIGTERM || number == SIGHUP || terminal) held->signal = number;
        if (target != 0 && number != SIGCHLD && (own_group || !terminal)) kill(target, number);
    }
}

// Waits for CMD's end, and for that of the holding if it stays; gives CMD's status.
static int supervise(struct held *held, pid_t child, int signal_fd, bool own_group) {
    pid_t target = own_group ? -child : child;
    bool ending = false;
    int status = 0;
    for (;;) {
        if (target != 0 && waitpid(child, &status, WNOHANG) == child) target = 0;
        if (target == 0 && (!held->stays || ending || held->signal != 0)) return status;
        struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN},
                                {.fd = ending ? -1 : held->lost_fd, .events = POLLIN}};
        int ready = poll(fds, 2, time_left(held, ending));
        if (ready == 0 && target != 0) kill(target, SIGKILL);
        if (ready == 0) held->kill_ms = native_now_ms() + 1000; // it ends now; else once more
        if (ready > 0 && (fds[1].revents & POLLIN) != 0) {
            ending = true;
            held->told(held->context, held->reason);
            if (target != 0) kill(target, SIGTERM);
        }
        pass_signals(held, signal_fd, target, own_group);
    }
}

int held_run(struct held *held) {
    sigset_t signals, before;
    sigemptyset(&signals);
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) sigaddset(&signals, numbers[i]);
    sigprocmask(SIG_BLOCK, &signals, &before);
    int signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    bool own_group = isatty(STDIN_FILENO) == 0; // a terminal's jobs stay in one group
    pid_t child = signal_fd >= 0 ? start_command(held, &before, own_group) : -1;
    int status = 0;
    if (child < 0) {
        fprintf(stderr, "%s: cannot start a process: %s\n", held->who, strerror(errno));
    } else {
        if (own_group) setpgid(child, child); // whoever is first
        if (held->started != NULL) held->started(held->context);
        status = supervise(held, child, signal_fd, own_group);
    }
    held_over(held);
    bool lost = held->lost;                                    // nobody changes it any more
    if (child > 0 && lost && own_group) kill(-child, SIGKILL); // what CMD left behind holds nothing either
    if (signal_fd >= 0) close(signal_fd);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (child < 0) return EXIT_FATAL;
    if (lost) return HELD_EXIT_LOST;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
