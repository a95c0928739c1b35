#include "cli/child.h"
#include "server/server.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static void run(struct child *child, char **command, const int output[2], const sigset_t *signals, pid_t parent,
                int told_fd) {
    if (child->own_group) setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); // without us nobody would end it when what it runs under is lost
    if (getppid() != parent) _exit(CHILD_EXIT_LOST);
    if (output != NULL && (dup2(output[0], STDOUT_FILENO) < 0 || dup2(output[1], STDERR_FILENO) < 0))
        _exit(CHILD_EXIT_CANNOT_RUN);
    sigprocmask(SIG_UNBLOCK, signals, NULL);
    execvp(command[0], command);
    int error = errno;
    if (write(told_fd, &error, sizeof error) != sizeof error) _exit(CHILD_EXIT_CANNOT_RUN);
    _exit(error == ENOENT ? CHILD_EXIT_NOT_FOUND : CHILD_EXIT_CANNOT_RUN);
}

bool child_start(struct child *child, char **command, const int output[2]) {
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    sigset_t signals;
    int tells[2], error = 0;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) sigaddset(&signals, numbers[i]);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    *child = (struct child){.signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC),
                            .own_group = isatty(STDIN_FILENO) == 0}; // a terminal's jobs stay in one group
    if (child->signal_fd < 0 || pipe2(tells, O_CLOEXEC) != 0) return false;
    pid_t parent = getpid();
    child->pid = fork();
    if (child->pid == 0) run(child, command, output, &signals, parent, tells[1]);
    int failed = child->pid < 0 ? errno : 0;
    if (child->pid > 0 && child->own_group) setpgid(child->pid, child->pid); // whoever is first
    close(tells[1]);
    ssize_t told = failed != 0 ? 0 : read(tells[0], &error, sizeof error); // nothing: it runs
    close(tells[0]);
    if (told == sizeof error) waitpid(child->pid, NULL, 0);
    errno = failed != 0 ? failed : error;
    return failed == 0 && told != sizeof error;
}

bool child_ended(const struct child *child, int *status) {
    return waitpid(child->pid, status, WNOHANG) == child->pid;
}

void child_kill(const struct child *child, int number) {
    kill(child->own_group ? -child->pid : child->pid, number);
}

void child_pass_signals(const struct child *child) {
    struct signalfd_siginfo info;
    while (read(child->signal_fd, &info, sizeof info) == sizeof info) {
        bool terminal = info.ssi_signo == SIGINT || info.ssi_signo == SIGQUIT;
        if (info.ssi_signo != SIGCHLD && (child->own_group || !terminal)) child_kill(child, (int)info.ssi_signo);
    }
}

int child_exit_code(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int child_cannot_run(const char *who, const char *command, int error) {
    fprintf(stderr, "parley %s: %s: %s\n", who, command, strerror(error));
    return error == ENOENT ? CHILD_EXIT_NOT_FOUND : CHILD_EXIT_CANNOT_RUN;
}

void thread_start(pthread_t *thread, void *(*body)(void *), void *context) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, body, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) return;
    fprintf(stderr, "parley: cannot start a thread: %s\n", strerror(error));
    exit(EXIT_FATAL);
}
