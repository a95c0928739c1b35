// `parley lock --via URL NAME -- CMD`: as lock_run.c, on another system's lock (parley_via.h).
#include "base/alloc.h"
#include "cli/held.h"
#include "cli/lock.h"
#include "parley_via.h"
#include "server/server.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FDS_MAX 4096

struct via_run {
    struct lock_claim claim; // of which options, token and held are used
    struct parley_via *via;
    int over_fd[2]; // a pipe: closed when CMD has ended
};

// Client libraries open sockets that CMD would inherit, and a CMD that left a process behind would go on holding what
// belongs to a connection. What was open before is CMD's to have.
static void mark_open(bool open[FDS_MAX]) {
    for (int fd = 0; fd < FDS_MAX; fd++) open[fd] = fcntl(fd, F_GETFD) >= 0;
}

static void close_at_exec(const bool open[FDS_MAX]) {
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        int fd = atoi(entry->d_name);
        if (fd > STDERR_FILENO && (fd >= FDS_MAX || !open[fd])) fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    if (folder != NULL) closedir(folder);
}

static void *watch(void *context) {
    struct via_run *run = context;
    struct pollfd fds[2] = {{.fd = parley_via_fd(run->via), .events = POLLIN},
                            {.fd = run->over_fd[0], .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    if (!parley_via_lost(run->via)) return NULL; // CMD has ended
    char why[400];
    uint64_t left_ms = parley_via_left_ms(run->via), grace_ms = run->claim.options->grace_ms;
    parley_via_lost_why(run->via, why, sizeof why);
    // Another may have it already: then CMD has its grace as on a native lock that was broken.
    held_lose(&run->claim.held, why, native_now_ms() + (left_ms > 0 && left_ms < grace_ms ? left_ms : grace_ms));
    return NULL;
}

static void told(void *context, const char *reason) {
    const struct via_run *run = context;
    lock_tell(&run->claim, "lost", "%s was lost: %s", run->claim.options->name, reason);
}

static bool obtain(struct via_run *run, const char *url, int *code) {
    const struct lock_options *o = run->claim.options;
    struct parley_via_options options = {.ttl_ms = (uint32_t)o->ttl_ms};
    struct parley_problem problem;
    enum parley_error error = parley_via_open(url, o->name, &options, &run->via, &problem);
    *code = error == PARLEY_BAD_ARGUMENTS ? EXIT_USAGE : EXIT_FATAL;
    if (error == PARLEY_OK) {
        error = parley_via_acquire(run->via, o->wait_ms == 0 ? PARLEY_TRY : o->wait_ms, &problem);
        *code = LOCK_EXIT_NOT_GOT;
    }
    if (error != PARLEY_OK) lock_tell(&run->claim, "not-got", "%s", problem.text);
    return error == PARLEY_OK;
}

static void tell_token(struct via_run *run, const char *url) {
    const struct lock_options *o = run->claim.options;
    char token[32];
    run->claim.token = (json_int_t)parley_via_token(run->via);
    snprintf(token, sizeof token, "%llu", (unsigned long long)run->claim.token);
    setenv("PARLEY_LOCK_NAME", o->name, 1);
    if (run->claim.token != 0) {
        setenv("PARLEY_LOCK_TOKEN", token, 1);
    } else {
        unsetenv("PARLEY_LOCK_TOKEN"); // an outer lock's would be taken for this one's
        lock_tell(&run->claim, "no-token", "this recipe has no fencing token (%.*s://): PARLEY_LOCK_TOKEN is not set",
                  (int)strcspn(url, ":"), url);
    }
    if (o->json) lock_tell(&run->claim, "got", "%s is held", o->name);
}

static int run_command(struct via_run *run) {
    pthread_t watcher;
    if (pipe2(run->over_fd, O_CLOEXEC) < 0 || !held_thread(&watcher, watch, run)) {
        lock_tell(&run->claim, "error", "cannot start a thread: %s", strerror(errno));
        return EXIT_FATAL;
    }
    int code = held_run(&run->claim.held);
    close(run->over_fd[1]);
    pthread_join(watcher, NULL);
    close(run->over_fd[0]);
    return code;
}

int lock_via_run(const char *url, const struct lock_options *options) {
    struct via_run run = {.claim.options = options};
    bool open[FDS_MAX];
    int code;
    mark_open(open);
    run.claim.held = (struct held){.who = options->who, .command = options->command, .told = told, .context = &run};
    held_init(&run.claim.held);
    if (obtain(&run, url, &code)) {
        close_at_exec(open);
        tell_token(&run, url);
        code = run_command(&run);
        struct parley_problem problem;
        if (parley_via_release(run.via, &problem) != PARLEY_OK && code != HELD_EXIT_LOST)
            lock_tell(&run.claim, "not-released", "%s", problem.text);
    }
    parley_via_close(run.via);
    return code;
}
