// A queue model under test: commands go in through their bytes, and what comes out, events first, is written down as
// text, one line each:
//
//   dead 7 | timed out 12 | pushed 9 | gap 9 | delivered 12 to 1: [id token key body tries priority]...
//   push ID [again] [waits] [for ID] [with ID] | claim [..]... [waits TICKET] [in MS ms] | ok | error E [token T]
#pragma once
#include "model/queue/queue.h"

struct queue_kit {
    void *state;
    struct apply apply;
    struct result result;
    struct queue_result out;
    struct queue_delivery first; // of the newest claim that was answered with any
    char log[1 << 15];           // of the newest command or expiry
    void (*delivered)(void *context, uint64_t session, const struct queue_delivery *delivery); // NULL: none
    void *context;
};
void queue_kit_open(struct queue_kit *k);
void queue_kit_close(struct queue_kit *k); // recounts first
void queue_kit_say(struct queue_kit *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
int queue_kit_run(struct queue_kit *k, struct writer *w, uint64_t session); // frees the writer
size_t queue_kit_pass(struct queue_kit *k, uint64_t ms);
void queue_kit_session_end(struct queue_kit *k, uint64_t session);
void queue_kit_reload(struct queue_kit *k); // goes on with a state that was saved and loaded
