// libparley: a Parley cluster for C programs: locks, elections, calls that are run once, any other operation by its
// name; and an executor that keeps calls of one key in order.
//
//     struct parley_client *client;
//     struct parley_lock *lock;
//     if (parley_open("a:7450,b:7450,c:7450", NULL, &client, NULL) == PARLEY_OK &&
//         parley_lock(client, "orders", NULL, &lock, NULL) == PARLEY_OK) {
//         write_order(parley_lock_token(lock)); // the store refuses smaller tokens than it has seen
//         parley_unlock(lock, NULL);
//     }
//     parley_close(client);
//
// Rules for all functions
// - Texts are UTF-8 and end with NUL. Texts and options that are given in are copied; they may go when the call
// returns.
// - Times are in milliseconds. The library measures them with a clock that nobody sets and that counts suspended time.
// - Any thread may call any function on any object at any time, unless it is said otherwise. A program that forks must
//   not use in the child what it has opened before.
// - There is no global state: two clients in one process know nothing of each other.
// - Callbacks run on a thread of the client, one at a time. They may use the library, but not parley_close, nor wait
//   for another callback. What they are slow at delays other callbacks; it delays no keep-alive.
// - `problem`, the last argument of many, may be NULL. It is filled whenever the result is not PARLEY_OK.
// - Running out of memory ends the process with a line on standard error.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PARLEY_API __attribute__((visibility("default")))

// ---- errors

// X(name, text)
#define PARLEY_ERRORS(X)                                                                                               \
    X(PARLEY_OK, "done")                                                                                               \
    X(PARLEY_BAD_ARGUMENTS, "an argument is not allowed")                                                              \
    X(PARLEY_BUSY, "held by another")                                                                                  \
    X(PARLEY_TIMED_OUT, "not granted in the time given")                                                               \
    X(PARLEY_CANCELLED, "cancelled")                                                                                   \
    X(PARLEY_NOT_HELD, "not held under this token")                                                                    \
    X(PARLEY_LOST, "the lock was lost before")                                                                         \
    X(PARLEY_DEADLOCK, "waiting would close a circle of owners that wait for each other")                              \
    X(PARLEY_KIND, "held or queued in another way")                                                                    \
    X(PARLEY_LIMIT, "more claims than one session or one lock may have")                                               \
    X(PARLEY_FORBIDDEN, "this may not be done from here")                                                              \
    X(PARLEY_NOT_APPLIED, "not done; it may be tried again")                                                           \
    X(PARLEY_UNKNOWN, "it may have been done or not")                                                                  \
    X(PARLEY_REFUSED, "the server refused")                                                                            \
    X(PARLEY_PROTOCOL, "the answer was not understood: is it a node of Parley?")                                       \
    X(PARLEY_CLOSED, "the client is closed")                                                                           \
    X(PARLEY_SYSTEM, "the system refused")                                                                             \
    X(PARLEY_MISMATCH, "the key was used for another request")

#define PARLEY_ERROR_MEMBER(name, text) name,
enum parley_error { PARLEY_ERRORS(PARLEY_ERROR_MEMBER) };
#undef PARLEY_ERROR_MEMBER

struct parley_problem {
    enum parley_error error;
    char text[384];   // one line for people; "" at PARLEY_OK
    char holder[256]; // PARLEY_BUSY: one owner that holds the lock; else ""
    uint64_t token;   // PARLEY_BUSY: the holder's token; else 0
};

PARLEY_API const char *parley_error_name(enum parley_error error); // "PARLEY_BUSY"; static, never NULL
PARLEY_API const char *parley_error_text(enum parley_error error); // "held by another"; static, never NULL

// ---- the client

struct parley_client;
struct parley_options {      // 0 or NULL anywhere: the default
    uint32_t session_ttl_ms; // 15000 (2000 to 86400000): locks are lost when no node was reached for so long
    uint32_t connect_ms;     // 2000: then the next node is tried
    uint32_t attempt_ms;     // 5000: an answer of one node that waits for nothing; then the next one is asked
    uint32_t call_ms;        // 15000: a call that waits for nothing, with all its attempts; also an unlock, a close
    const char *owner; // "HOST pid PID": how locks name this client in `parley lock` and on the page, at most 200 bytes
};

// Opens a client of the nodes "HOST:PORT,HOST:PORT" (7450 where a port is missing; IPv6 as [::1]:7450). It does not ask
// them yet: an unreachable cluster is noticed by the first call. Starts two threads, which block all signals.
// Names are resolved here (this may block), and again in the background when a node cannot be reached.
// PARLEY_OK: *client is to be closed. Else PARLEY_BAD_ARGUMENTS, PARLEY_SYSTEM; *client is NULL.
PARLEY_API enum parley_error parley_open(const char *nodes, const struct parley_options *options,
                                         struct parley_client **client, struct parley_problem *problem);

// Ends the session, with all that it holds (held handles become lost, their on_lost runs), ends what waits with
// PARLEY_CLOSED, runs the callbacks that are due, and ends the threads. Blocks for call_ms at most, and for running
// callbacks. Handles are still to be given to parley_unlock, before or after. Other threads may be inside of
// calls of this client, but may not begin new ones. NULL is allowed. Not from a callback.
PARLEY_API void parley_close(struct parley_client *client);

// Any native operation (docs/native.md), for what has no function of its own: operation "lock/show", body a JSON object
// as text or NULL for {}. What is certainly not done is repeated, at other nodes, until call_ms is over. What may have
// been done is repeated only if `repeatable`. PARLEY_OK: *answer is the answer's JSON text, to be freed with free().
// Else any error; PARLEY_UNKNOWN only if not `repeatable` or at the end of the time. *answer is NULL then. Operations
// that wait (wait_ms) have to end within attempt_ms: else use parley_call_wait.
PARLEY_API enum parley_error parley_call(struct parley_client *client, const char *operation, const char *body,
                                         bool repeatable, char **answer, struct parley_problem *problem);

// The same for operations that wait: the library adds "wait_ms" to the body, and an answer is awaited for as long at
// each node that is asked. What a node that hangs has been asked is asked elsewhere when the wait is over; only what is
// `repeatable` and names the client's own session goes on elsewhere as soon as keep-alives are. wait_ms: 30 days at
// most (an operation may allow less).
PARLEY_API enum parley_error parley_call_wait(struct parley_client *client, const char *operation, const char *body,
                                              uint64_t wait_ms, bool repeatable, char **answer,
                                              struct parley_problem *problem);

// The client's session, for the "session" of operations whose effect shall end with this process: made if there is
// none, kept alive in the background, ended by parley_close. When it is lost, operations that name it give PARLEY_LOST,
// and the next call of this makes another. Blocks for call_ms at most. PARLEY_OK: `text` has it. Else "" and any error.
#define PARLEY_SESSION_BYTES 96
PARLEY_API enum parley_error parley_session(struct parley_client *client, char text[PARLEY_SESSION_BYTES],
                                            struct parley_problem *problem);

// ---- locks

enum parley_mode {
    PARLEY_EXCLUSIVE,
    PARLEY_SHARED,  // with others that are shared
    PARLEY_PERMITS, // `permits` of `total`: a semaphore
};
enum parley_lock_state {
    PARLEY_LOCK_WAITS, // only of parley_lock_async
    PARLEY_LOCK_HELD,
    PARLEY_LOCK_LOST,   // stays so
    PARLEY_LOCK_FAILED, // never was held, and will not be: only of parley_lock_async
};
#define PARLEY_TRY UINT64_MAX

struct parley_lock;
typedef void (*parley_lock_fn)(void *context, struct parley_lock *lock);
typedef void (*parley_done_fn)(void *context, struct parley_lock *lock, enum parley_error error,
                               const struct parley_problem *problem);

struct parley_lock_options { // zeros, or NULL instead of the whole: exclusive, waits for ever
    enum parley_mode mode;
    uint32_t permits, total; // PARLEY_PERMITS: 1 to total; total is fixed while anybody holds or waits. Else 0
    uint64_t wait_ms;        // 0: as long as it takes; PARLEY_TRY: not at all; at most 30 days
    uint64_t delay_ms;       // after a loss that was no unlock nobody gets it for so long; at most 30 days
    // NULL: every call is an owner of its own. Else: calls of this client with one owner share one hold (reentrance):
    // the second gets a handle at once, the lock is given back with the last one. Owners also are what deadlocks are
    // found by, so name them like your threads or jobs. At most 255 bytes.
    const char *owner;
    parley_lock_fn on_lost; // NULL: none. Called once if the lock is lost before parley_unlock is called
    void *context;          // of on_lost
};

// Takes the lock `name` (1 to 255 bytes) and blocks until it is held, or the time is over. *lock is a handle, to be
// given to parley_unlock. Fair: served in the order of asking, over all clients. While nodes fail it goes on at others.
// Errors (*lock is NULL): BAD_ARGUMENTS, BUSY (PARLEY_TRY), TIMED_OUT, NOT_APPLIED (PARLEY_TRY: no node could be asked
// in call_ms), CANCELLED (an operator ended the waiting), DEADLOCK, KIND, LIMIT, REFUSED, PROTOCOL, CLOSED. Never
// UNKNOWN: a claim whose fate is unknown is cleared in the background.
PARLEY_API enum parley_error parley_lock(struct parley_client *client, const char *name,
                                         const struct parley_lock_options *options, struct parley_lock **lock,
                                         struct parley_problem *problem);

// The same without blocking: gives a handle that waits, and calls on_done once, on the client's thread, with PARLEY_OK
// or an error of parley_lock; unless parley_unlock ends the waiting before. In every case the handle is to be given to
// parley_unlock, also after a failure (it may be done in on_done). PARLEY_OK, or BAD_ARGUMENTS or CLOSED with *lock
// NULL and no callback.
PARLEY_API enum parley_error parley_lock_async(struct parley_client *client, const char *name,
                                               const struct parley_lock_options *options, parley_done_fn on_done,
                                               void *context, struct parley_lock **lock,
                                               struct parley_problem *problem);

// Gives back the lock, or ends its waiting; frees the handle in every case, so no other thread may still use it. When
// it returns, no callback of the handle is running (unless this is called in it) nor will be. PARLEY_OK: given back; or
// it was not held (it waited, or had failed). PARLEY_LOST: it had been lost, or is now: what was done under it since
// may have met another holder. PARLEY_UNKNOWN: no node has acknowledged it in call_ms; the client goes on trying in the
// background until the session ends. PARLEY_CLOSED: parley_close came first. NULL is allowed. Blocks for call_ms at
// most, and for a running callback of the handle.
PARLEY_API enum parley_error parley_unlock(struct parley_lock *lock, struct parley_problem *problem);

// The fencing token of the grant: larger than that of every grant before, of any lock of the cluster. 0: never held.
PARLEY_API uint64_t parley_lock_token(const struct parley_lock *lock);

PARLEY_API enum parley_lock_state parley_lock_state(struct parley_lock *lock);

// Whether the lock is not surely held any more. It is lost when the cluster says so (the session ended, an operator
// broke it), and at the latest when the session can no longer be known to live: 19/20 of its time-out after the last
// keep-alive that was acknowledged had been sent. Until then nobody else can get it. Cheap: one mutex, no I/O.
PARLEY_API bool parley_lock_lost(struct parley_lock *lock);

// Why: a line for people, "" unless it is lost. Writes at most `size` bytes with the NUL.
PARLEY_API void parley_lock_lost_why(struct parley_lock *lock, char *text, size_t size);

// A file descriptor that becomes readable (poll, epoll) when the lock is lost, even while callbacks hang. It is the
// handle's: do not read or close it; it goes with parley_unlock. -1: the system gave none. For held locks.
PARLEY_API int parley_lock_fd(struct parley_lock *lock);

// For resources: is the lock held under this token? As of a moment after the call began. Errors: those of parley_call.
PARLEY_API enum parley_error parley_verify(struct parley_client *client, const char *name, uint64_t token, bool *valid,
                                           struct parley_problem *problem);

// ---- elections: locks whose holder, the leader, tells the others something of itself (its address). The handle is a
// lock's: parley_lock_token, parley_lock_lost, parley_lock_fd and all the others tell of the lead, and parley_unlock
// resigns, or ends the candidacy. Elections and locks share their names: one of both may be in use.

struct parley_election_options { // zeros, or NULL instead of the whole
    uint64_t wait_ms;            // in line. 0: as long as it takes; PARLEY_TRY: not at all; at most 30 days
    uint64_t delay_ms;      // when the lead is lost and not resigned, nobody is elected for so long; at most 30 days
    const char *candidate;  // what others see; NULL: the client's owner with a number. Candidacies of this client
                            // with one candidate share one place, and the lead. At most 255 bytes
    parley_lock_fn on_lost; // as that of locks
    void *context;
};
// Is in line for the lead of `name` (1 to 255 bytes) and blocks until it leads: in the order of asking, over all
// clients. value: at most 1,024 bytes of UTF-8. The errors are those of parley_lock. *lead is to be given to
// parley_unlock.
PARLEY_API enum parley_error parley_campaign(struct parley_client *client, const char *name, const char *value,
                                             const struct parley_election_options *options, struct parley_lock **lead,
                                             struct parley_problem *problem);
// The same without blocking, as parley_lock_async.
PARLEY_API enum parley_error parley_campaign_async(struct parley_client *client, const char *name, const char *value,
                                                   const struct parley_election_options *options,
                                                   parley_done_fn on_done, void *context, struct parley_lock **lead,
                                                   struct parley_problem *problem);
// The leader's new value; observers are told. PARLEY_LOST: it leads no longer. PARLEY_NOT_HELD: not yet.
// PARLEY_UNKNOWN: no node has acknowledged it in call_ms; call it again. Blocks for call_ms at most.
PARLEY_API enum parley_error parley_proclaim(struct parley_lock *lead, const char *value,
                                             struct parley_problem *problem);

struct parley_leader {
    bool elected; // somebody leads
    char candidate[256], value[1025];
    uint64_t token;   // the leader's; 0: nobody leads
    uint64_t version; // of leader and value: only grows; 0: nobody leads
};
// Who leads. wait_ms 0: as of a moment after the call began. Else *leader is what was seen before: it is answered as
// soon as that has changed, at the latest after wait_ms (an hour at most), with the newest, whether it has changed or
// not. What came and went between two calls is not told. Errors: those of parley_call; *leader is untouched then.
PARLEY_API enum parley_error parley_observe(struct parley_client *client, const char *name, uint64_t wait_ms,
                                            struct parley_leader *leader, struct parley_problem *problem);

// ---- calls that are run once: of all who call under one key, one runs its function; the others, and all who come
// later, get what it stored. For what must happen once though it is asked for again: a payment, a message.

struct parley_run;     // a function that runs, for the calls below; gone when it returns
struct parley_result { // what a run stores, and what all get
    uint32_t status;   // of the caller's choosing
    bool failed;       // by PARLEY_RUN_FAILED
    bool replayed;     // what another call stored; false: the function was run by this call
    void *body; // bytes of malloc, the caller's to be freed with free(); NULL allowed. Replayed: a NUL stands behind
    size_t body_bytes; // at most 65,536
};
enum parley_run_end {
    PARLEY_RUN_DONE,   // the result is stored, for all
    PARLEY_RUN_FAILED, // the failure is stored, for all: calling again does not run it again
    PARLEY_RUN_AGAIN,  // nothing is stored: whoever waits, or calls next, runs its function
};
// Fills status, body and body_bytes of `result` (zeros before). Runs on the caller's thread, and may use the library.
// It should stop when parley_run_lost.
typedef enum parley_run_end (*parley_run_fn)(void *context, struct parley_run *run, struct parley_result *result);

struct parley_once_options { // zeros, or NULL instead of the whole
    const char *fingerprint; // of the request (a hash of its bytes), at most 64 bytes: another one is PARLEY_MISMATCH
    uint64_t lease_ms; // 30000 (1000 to a day): a process that dies holds the key for so long. Extended while it runs
    uint64_t ttl_ms;   // a day (30 days at most): what is stored stays so long
    uint64_t wait_ms;  // for a run elsewhere. 0: as long as it takes; PARLEY_TRY: not at all; at most 30 days
};

// `key`: 1 to 255 bytes of UTF-8. The function is run by this call, or is not run by it; never twice by one call.
// PARLEY_OK: *result is what is stored under the key (see `replayed`).
// The function was not run, and *result is empty: PARLEY_BAD_ARGUMENTS, PARLEY_MISMATCH, PARLEY_BUSY (it runs
// elsewhere, and PARLEY_TRY), PARLEY_TIMED_OUT, PARLEY_NOT_APPLIED, PARLEY_LIMIT and other refusals, PARLEY_CLOSED. (If
// no node answered in time, the key may be taken in this call's name: it is free again after lease_ms.) The function
// was run, and *result is what it made:
//   PARLEY_CANCELLED: it said PARLEY_RUN_AGAIN.
//   PARLEY_LOST: the lease was over before the result was stored, because no node was reached or the process stood
//       still. It is not stored; another call may run its function, and its parley_run_attempt says that one ran
//       before.
//   PARLEY_UNKNOWN: whether it is stored is not known, since no node has acknowledged it until the lease was over (or
//       for call_ms, if that is longer). Calling again under the key tells: it gives what is stored, or runs.
//   PARLEY_BAD_ARGUMENTS: the body is too large; nothing is stored, the key is free after lease_ms. PARLEY_CLOSED
//   alike.
// So a function runs once as long as its process lives and reaches a node within its lease. Whoever is run with an
// attempt above 1 has to look what was done before, or hand the token to a store that refuses smaller ones.
PARLEY_API enum parley_error parley_once(struct parley_client *client, const char *key,
                                         const struct parley_once_options *options, parley_run_fn function,
                                         void *context, struct parley_result *result, struct parley_problem *problem);
// Larger than that of every run before it, of any key.
PARLEY_API uint64_t parley_run_token(const struct parley_run *run);
// 1: the first. Above it: a run before was lost or gave up, and may have done a part.
PARLEY_API uint32_t parley_run_attempt(const struct parley_run *run);
// Whether another may run by now: by the servers' word, and at the latest at 19/20 of the lease after the last
// extension that was acknowledged had been sent. Cheap: one mutex, no I/O.
PARLEY_API bool parley_run_lost(struct parley_run *run);

// ---- the keyed executor: calls of one key run one after the other, in the order in which they were submitted; keys
// run in parallel. In this process only: it needs no cluster.

struct parley_executor;
typedef void (*parley_task_fn)(void *context);

// threads: 1 to 1024. PARLEY_OK, PARLEY_BAD_ARGUMENTS or PARLEY_SYSTEM (*executor is NULL then).
PARLEY_API enum parley_error parley_executor_open(unsigned threads, struct parley_executor **executor);
// Runs task(context) on one of the threads, behind all that was submitted with this key before. The key is any
// bytes, and is copied. Never blocks; what is submitted and has not run takes memory. Tasks may submit.
// PARLEY_OK, or PARLEY_CLOSED while parley_executor_close runs (the task will not run).
PARLEY_API enum parley_error parley_executor_submit(struct parley_executor *executor, const void *key, size_t key_bytes,
                                                    parley_task_fn task, void *context);
// Waits until all that was submitted has run, what tasks submit meanwhile too. Not from a task.
PARLEY_API void parley_executor_drain(struct parley_executor *executor);
PARLEY_API size_t parley_executor_pending(struct parley_executor *executor); // submitted, and has not returned
// Refuses new tasks, runs those that were submitted, ends the threads, frees. NULL is allowed. Not from a task, and no
// other thread may use the executor when it returns.
PARLEY_API void parley_executor_close(struct parley_executor *executor);

#ifdef __cplusplus
}
#endif
