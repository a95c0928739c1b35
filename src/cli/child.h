// A command that runs below `parley` (lock, once): in a process group of its own unless a terminal gave it one, killed
// when we are, with our signals passed on.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

// Exit codes beside CMD's own (128 + N when a signal N ended it) and those of every command (server.h).
#define CHILD_EXIT_NOT_RUN 75 // CMD did not run: another holds what it needs, or no server could be asked
#define CHILD_EXIT_LOST 76    // what it ran under was lost; CMD was ended
#define CHILD_EXIT_CANNOT_RUN 126
#define CHILD_EXIT_NOT_FOUND 127

struct child {
    pid_t pid;
    int signal_fd; // readable when a signal came, also when CMD ended
    bool own_group;
};
// output: where its standard output and error go; NULL: ours. false: errno says why, and CMD did not run.
bool child_start(struct child *child, char **command, const int output[2]);
bool child_ended(const struct child *child, int *status); // as waitpid gives it; does not wait
void child_kill(const struct child *child, int number);
void child_pass_signals(const struct child *child); // what a terminal sends, CMD has got itself
int child_exit_code(int status);
int child_cannot_run(const char *who, const char *command, int error); // prints why; the exit code
// A thread that no signal interrupts: they are for the main thread. Ends the process when there can be none.
void thread_start(pthread_t *thread, void *(*body)(void *), void *context);
