// Native clients: processes that speak the native operations over HTTP, each on a host of its own with a session, one
// connection for its keepalives and one for each workload of its seed. native.c is the process: connections, its
// session, requests and answers, its life. What it asks for, and what must be true of the answers, is a table of
// workloads (native_work.c): a row is a name and its functions, in a file of its own.
#pragma once
#include "base/prng.h"
#include "sim/sim.h"

#define NATIVE_LINES_MAX 16u

struct native;
struct native_workload;

enum { NATIVE_IDLE, NATIVE_CREATE, NATIVE_KEEPALIVE, NATIVE_FIRST }; // what was asked; a workload's begin with FIRST

struct native_line { // a connection, for one request at a time
    struct native *native;
    const struct native_workload *workload; // NULL: keepalives
    void *shared, *state;                   // the workload's: of the run, and of this line
    struct io_conn *conn;
    void *connecting;
    struct writer in, out;
    unsigned asked;
    uint64_t asked_us, until_us;
    char once[32]; // set ahead of native_request, which clears it: the request's Idempotency-Key
    // Set by the workload behind native_request, which clears them:
    bool leaves;  // the client may close the connection before the answer comes
    bool unbound; // names no session: the answer counts whatever became of it
    bool stale;   // its session is over for the one who asked
};

struct native {
    struct sim *sim;
    struct host *host;
    struct sim_loop *loop;
    struct io_timer timer;
    struct prng prng;
    uint32_t number, server, ttl_ms, owners; // owners: names given out
    struct native_line keep, lines[NATIVE_LINES_MAX];
    size_t line_count;
    char session[64];
    uint64_t told_us, kept_us, next_us, silent_until_us; // kept_us: when the newest keepalive was sent
    uint64_t calm_done;
    bool stopped;
};

// Functions may be NULL, but step and answer. Whoever sees a promise broken calls world_fail with a text that names it.
struct native_workload {
    const char *name;
    void *(*open)(struct sim *sim); // what all lines of a run share
    void (*close)(void *shared);
    void (*begin)(struct native_line *line); // makes line->state
    void (*end)(struct native_line *line);
    void (*step)(struct native_line *line); // idle, with a session that lives: asks for something, or not
    void (*answer)(struct native_line *line, unsigned asked, const char *body);  // 200
    bool (*refused)(struct native_line *line, unsigned asked, const char *body); // true: one of its operation's errors
    // No answer that says what became of it: the connection is cut, its session is over. done: it may have been done.
    void (*lost)(struct native_line *line, unsigned asked, bool done);
    void (*heard)(struct native_line *line, uint64_t sent_us); // a node let bytes go that say that its session lives
    void (*session_over)(struct native_line *line);
    void (*died)(struct native_line *line);       // its process: behind session_over. Another begins, and knows nothing
    void (*check)(struct sim *sim, void *shared); // when all is settled: what the machine holds
};
extern const struct native_workload *const native_workloads[]; // ends with NULL

static inline uint64_t native_now_us(const struct native *native) {
    return native->sim->world.now_us;
}
static inline uint64_t native_draw(struct native *native, uint64_t bound) {
    return prng_below(&native->prng, bound);
}
// Sends a request; the answer may take wait_us longer than that of one that waits for nothing.
void native_request(struct native_line *line, unsigned asked, uint64_t wait_us, const char *operation,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));
// What came later, only in some seeds: what the others were found for stays as it was.
bool native_is_newer(const struct sim *sim);
void native_owner(struct native *native, char *out, size_t size); // a name that nobody had before
uint64_t native_sent_us(const struct native_line *line);          // in answer: when the node let these bytes go
uint64_t native_number_of(const char *body, const char *member);  // of an answer; 0: none
size_t native_numbers(const char *body, const char *member, uint64_t *out, size_t max); // an array of them: how many
void native_text_of(const char *body, const char *member, char *out, size_t size);      // empty: none
bool native_says(const char *body, const char *member);                                 // true
bool native_is_error(const char *body, const char *error);                              // a problem document's type

// The next object of a list of flat ones; false: its end.
bool native_object(const char **at, char *out, size_t size);
// Room for one more at `count`; what is new is zero.
void *native_grow(void *array, size_t *capacity, size_t count, size_t size);

extern const struct native_workload native_workload_lock, native_workload_sequence, native_workload_idempotency,
    native_workload_guard, native_workload_topic, native_workload_limiter, native_workload_queue,
    native_workload_registry, native_workload_config, native_workload_election, native_workload_barrier,
    native_workload_latch, native_workload_release;
