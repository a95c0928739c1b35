// The simulated world: one thread, one heap of events ordered by (time, sequence), one prng a purpose, all from the
// seed. Nothing else decides what happens, so a seed repeats to the byte, in gcc and clang alike: no floats, no
// addresses, no hash order, no clock.
//
//   world ── hosts (sim_io: a machine with one process and its loops) ── disk (survives the process), connections (do
//   not)
//
// `trace` folds every event that matters (what, where, when) into 64 bits: equal seeds must give equal traces.
#pragma once
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "sim/options.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum world_prng { PRNG_SWARM, PRNG_SCHEDULE, PRNG_NET, PRNG_DISK, PRNG_FAULT, PRNG_CLIENT, PRNG_SECRETS, PRNG_COUNT };

struct event { // embedded; waits in the heap while it is set
    struct heap_item item;
    void (*run)(struct event *event);
};

#define HOSTS_MAX 48u

struct world {
    uint64_t seed, now_us, sequence, events;
    uint64_t trace;
    struct heap heap;
    struct prng prng[PRNG_COUNT];
    struct host *hosts[HOSTS_MAX];
    size_t host_count;
    struct sim_net *net;
    struct sim_options options;
    bool failed;
    char failure[2048];
};

// Codes of what is folded into the trace.
enum note {
    NOTE_TURN = 1,
    NOTE_DELIVER,
    NOTE_ACCEPT,
    NOTE_CONNECT,
    NOTE_CLOSE,
    NOTE_DISK,
    NOTE_START,
    NOTE_CRASH,
    NOTE_FAULT,
    NOTE_COMMIT,
    NOTE_APPLY,
    NOTE_OPERATION,
    NOTE_CHILD
};

void world_init(struct world *world, const struct sim_options *options);
void world_free(struct world *world);
void world_at(struct world *world, struct event *event, uint64_t time_us); // sets or moves; behind all of the same time
void world_cancel(struct world *world, struct event *event);
static inline bool event_set(const struct event *event) {
    return event->item.at != 0;
}
bool world_step(struct world *world); // runs the next event; false: there is none
void world_note(struct world *world, enum note what, uint64_t a, uint64_t b);
// The first failure stands; the run ends after the event.
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_trace_line(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3))); // --trace

uint64_t world_draw(struct world *world, enum world_prng from, uint64_t bound); // 0 .. bound - 1; bound 0: 0
uint64_t world_between(struct world *world, enum world_prng from, uint64_t low, uint64_t high); // both included
bool world_chance(struct world *world, enum world_prng from, uint32_t per_million);
