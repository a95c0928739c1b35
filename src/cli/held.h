// Running a command (CMD) while something is held that may be lost: a lock, a message of a queue. What `parley lock`
// and `parley queue work` share.
//
//   keeper   a thread that does something again and again, until it is stopped
//   held     CMD runs; when the thing is lost CMD gets SIGTERM, and SIGKILL when it must be gone
#pragma once
#include "base/bytes.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

// Exit codes beside CMD's own (128 + N when a signal N ended it) and those of every command (server.h).
#define HELD_EXIT_LOST 76 // it was lost while CMD ran; CMD was ended
#define HELD_EXIT_CANNOT_RUN 126
#define HELD_EXIT_NOT_FOUND 127

#define HELD_GRACE_MS_DEFAULT 3000u

struct keeper {
    bool (*work)(void *context); // false: it ends
    void *context;
    uint64_t period_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
};
bool keeper_start(struct keeper *keeper, uint64_t period_ms, bool (*work)(void *context), void *context);
void keeper_stop(struct keeper *keeper); // waits for what is under way

struct held {
    const char *who;                // "parley lock", for messages
    char **command;                 // NULL-terminated
    bool stays;                     // held on when CMD has ended: until it is lost, or a signal asks us to end
    const struct bytes *input;      // CMD's standard input; NULL: ours
    void (*started)(void *context); // CMD runs; may be NULL
    void (*told)(void *context, const char *reason); // of the loss, in the thread that waits for CMD
    void *context;
    int lost_fd; // readable once it is lost
    pthread_mutex_t lock;
    bool lost, over;
    uint64_t kill_ms; // CMD must be gone then (native_now_ms)
    char reason[600];
    int signal; // the last one that asked us to end while CMD ran; 0: none
};
void held_init(struct held *held);
void held_again(struct held *held);                                        // not lost: it is held anew
void held_over(struct held *held);                                         // nothing is held: no loss counts
void held_lose(struct held *held, const char *reason, uint64_t kill_ms);   // from any thread
int held_run(struct held *held);                                           // the exit code
bool held_thread(pthread_t *thread, void *(*body)(void *), void *context); // one that gets no signals
