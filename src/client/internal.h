// What the files of libparley share.
//
//   client.c      the object: two threads, timers, callbacks
//   connection.c  HTTP connections, kept open between requests, and the servers they go to
//   exchange.c    one operation until its outcome is known: attempts at one server after the other
//   call.c        an exchange that a caller's thread waits for
//   session.c     the session, kept alive
//   hold.c        a claim on a lock and its handles
//   lock.c        what parley.h promises of locks
//   election.c    leaders: holds of another kind; observers
//   once.c        calls that are run once
//
// One mutex guards all of a client. Its holder may begin requests, so an operation leaves on its caller's thread; all
// that comes back (events, timers) is taken by the loop's thread. `done` of an exchange is called by the loop only.
#pragma once
#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "client/response.h"
#include "parley.h"
#include <jansson.h>
#include <pthread.h>
#include <sys/socket.h>

#define SERVERS_MAX 9u
#define SERVER_ADDRESSES_MAX 8u // of one name
#define NEVER UINT64_MAX

struct parley_client;

// ---- timers

struct timer {
    struct heap_item item;
    void (*fire)(struct timer *timer); // not set any more then
    struct parley_client *client;
};
void timer_init(struct timer *timer, struct parley_client *client, void (*fire)(struct timer *timer));
void timer_set(struct timer *timer, uint64_t at_ms); // NEVER: not at all
void timer_stop(struct timer *timer);

uint64_t boot_now_ms(void); // counts suspended time: a session goes on while a machine sleeps
void wait_until(pthread_cond_t *changed, pthread_mutex_t *mutex, uint64_t until_ms); // may wake up early
void cond_init(pthread_cond_t *changed);

// ---- servers and connections

struct address {
    struct sockaddr_storage socket;
    socklen_t len;
};
struct server {
    char text[256], host[256], port[16];
    struct address addresses[SERVER_ADDRESSES_MAX];
    size_t count;         // 0: could not be resolved yet
    struct list idle;     // connections
    bool stale;           // to be resolved again
    uint64_t resolved_ms; // when it last was
};

struct exchange;
enum connection_state { CONNECTION_CONNECTS, CONNECTION_BUSY, CONNECTION_IDLE, CONNECTION_DEAD };
struct connection {
    struct list link; // idle: of the server; dead: of the client, until the loop has seen all events that name it
    struct parley_client *client;
    struct server *server;
    size_t address; // which one of the server's
    enum connection_state state;
    int fd;
    uint32_t wanted; // what epoll watches for
    uint64_t idle_since_ms;
    struct writer out;
    size_t out_at;
    bool sent;     // a byte of the request may have left
    bool reserved; // for keep-alives: one of a client, so that nothing else can be in its way
    struct response response;
    struct exchange *exchange; // while it connects or is busy
};
// A request on an idle connection or a new one. NULL: no address of the server could be tried; `why` says more.
struct connection *connection_request(struct parley_client *client, struct server *server, struct exchange *exchange,
                                      const char *path, const char *body, char why[256]);
void connection_event(struct connection *connection, uint32_t events);
void connection_drop(struct connection *connection); // closed at once, freed by the loop
void connections_reap(struct parley_client *client, uint64_t now_ms);
void spare_init(struct parley_client *client);
bool server_resolve(struct server *server, char why[256]); // blocks; writes only addresses and count

// ---- exchanges

enum outcome { OUTCOME_ANSWERED, OUTCOME_NOT_APPLIED, OUTCOME_UNKNOWN };
enum exchange_state { EXCHANGE_IDLE, EXCHANGE_ASKS, EXCHANGE_PAUSES };
struct exchange {
    struct list link; // of the client, unless idle
    struct timer timer;
    enum exchange_state state;
    // Set before exchange_start:
    const char *path; // "/v1/lock/acquire"
    char *body;       // owned
    uint64_t deadline_ms;
    uint64_t attempt_ms;
    bool repeatable; // may be repeated though it may have been done
    bool of_session; // goes elsewhere when the session's server is silent
    bool reserved;   // on the connection that nothing else uses: keep-alives
    bool waits;      // for an event: no answer in time says nothing about the server
    // json is of an answer (NULL: it was none), the callee's to be released by the exchange.
    void (*done)(struct exchange *exchange, enum outcome outcome, int status, const json_t *json);
    // While it runs:
    struct connection *connection;
    size_t server;
    unsigned attempts;
    bool maybe_done;   // an attempt has ended without an outcome
    uint64_t sent_ms;  // of the last attempt
    char trouble[256]; // of the last attempt that failed
};
void exchange_init(struct exchange *exchange, struct parley_client *client, const char *path,
                   void (*done)(struct exchange *, enum outcome, int, const json_t *));
void exchange_start(struct exchange *exchange, json_t *body); // takes the body
void exchange_stop(struct exchange *exchange);                // nobody is told; harmless when idle
void exchange_answered(struct exchange *exchange, int status, struct bytes body);
void exchange_broke(struct exchange *exchange, const char *why, bool sent); // its connection has gone
void exchange_connected(struct exchange *exchange);

// ---- problems

bool text_good(const char *text, size_t least, size_t most);                                 // UTF-8 of so many bytes
void problem_set(struct parley_problem *problem, enum parley_error error, const char *text); // problem may be NULL
const char *problem_name(const json_t *json); // of a problem document: "busy"; "" if it is none
enum parley_error problem_read(int status, const json_t *json, struct parley_problem *problem);
enum parley_error problem_outcome(const struct exchange *exchange, enum outcome outcome, int status, const json_t *json,
                                  struct parley_problem *problem); // of any exchange; PARLEY_OK at status 200

// ---- blocking calls (call.c): with the mutex held, which is let go of while they wait

struct calling {
    struct exchange exchange; // its terms may be changed between init and run
    pthread_cond_t changed;
    bool over;
    enum parley_error error;
    struct parley_problem problem;
    char session[96]; // that the body names, if it is the client's; else ""
    json_t *answer;   // PARLEY_OK: the caller's to release; else NULL
};
void calling_init(struct calling *calling, struct parley_client *client, const char *path);
void calling_wait(struct calling *calling, uint64_t wait_ms);         // the operation waits so long itself
enum parley_error calling_run(struct calling *calling, json_t *body); // takes the body

// ---- the session

enum session_state { SESSION_NONE, SESSION_CREATING, SESSION_LIVE };
struct session {
    enum session_state state;
    char text[96];
    uint64_t failures; // how often none could be made, and why the last time
    struct parley_problem problem;
    uint64_t ttl_ms;
    uint64_t deadline_ms; // it counts as lost then
    struct exchange create, keepalive;
    struct timer beat, expiry;
};
void session_init(struct parley_client *client);
void session_want(struct parley_client *client); // holds_session_ready follows, unless there is one already
void session_lost(struct parley_client *client, const char *why);
bool session_check(struct parley_client *client); // by the clock; loses it if its time is over
void session_stop(struct parley_client *client);
json_t *session_body(const struct parley_client *client); // {"session": ...}

// ---- holds: one claim of ours on one lock, with one handle or more

enum hold_state { HOLD_QUEUED, HOLD_ACQUIRING, HOLD_HELD, HOLD_RELEASING, HOLD_CLEARING };
struct hold {
    struct list link;         // of the client
    struct hash_node by_name; // of (name, owner)
    struct list handles;
    struct parley_client *client;
    char *name, *owner;
    char *value; // HOLD_LEADS: what others are to know of this leader; else NULL
    enum parley_mode mode;
    uint32_t permits, total;
    uint64_t delay_ms, token;
    enum hold_state state;
    struct parley_lock *last; // whoever waits for the release
    struct exchange exchange; // acquire, release or clear
    struct exchange watch;
    struct timer watch_timer;
};
struct hold *held_claim_find(struct parley_client *client, const char *name, const char *owner); // NULL: none
struct hold *hold_new(struct parley_client *client, const char *name, const char *owner,
                      const struct parley_lock_options *options, const char *value);
#define HOLD_LEADS ((enum parley_mode)(PARLEY_PERMITS + 1))   // an election's leader, or who wants to be it
void hold_join(struct hold *hold, struct parley_lock *lock);  // the first one lets it begin
bool hold_leave(struct hold *hold, struct parley_lock *lock); // true: a release was begun, which `last` may be told of
void holds_session_ready(struct parley_client *client);
void holds_session_failed(struct parley_client *client, const struct parley_problem *problem);
void holds_session_lost(struct parley_client *client, const char *why);
void holds_kept_alive(struct parley_client *client); // the session's deadline has moved
void holds_close(struct parley_client *client);      // what waits ends

// ---- handles

struct parley_lock {
    struct list of_hold, of_jobs; // linked while it has a hold; while a callback is due
    struct parley_client *client;
    struct hold *hold;
    enum parley_lock_state state;
    struct timer limit;
    uint64_t until_ms; // NEVER: waits for ever
    bool try_only, async, done_due, lost_due, released;
    uint64_t token;
    int fd;
    struct parley_problem problem; // why it failed
    char why_lost[256];
    parley_done_fn on_done;
    parley_lock_fn on_lost;
    void *done_context, *lost_context;
    pthread_cond_t changed;
};
bool lock_options_good(const char *name, const struct parley_lock_options *options, struct parley_problem *problem);
// As parley_lock and parley_lock_async, of options that are good. value: see hold_new.
enum parley_error lock_take(struct parley_client *client, const char *name, const struct parley_lock_options *options,
                            const char *value, struct parley_lock **lock, struct parley_problem *problem);
enum parley_error lock_take_async(struct parley_client *client, const char *name,
                                  const struct parley_lock_options *options, const char *value, parley_done_fn on_done,
                                  void *context, struct parley_lock **lock, struct parley_problem *problem);
void handle_granted(struct parley_lock *lock, uint64_t token);
void lock_failed(struct parley_lock *lock, const struct parley_problem *problem); // it leaves its hold before
void lock_lost(struct parley_lock *lock, const char *why);                        // as well
void lock_arm(struct parley_lock *lock);                                          // its descriptor, if it has one

// ---- the client

struct parley_client {
    pthread_mutex_t mutex;
    unsigned references; // the user's, one of each handle, one of each blocking call
    bool closing, ended; // ended: threads are to return
    struct parley_options options;
    char owner[208];
    uint64_t owners; // counts claims, so that each has an owner of its own
    struct server servers[SERVERS_MAX];
    size_t server_count, at; // at: where the session is
    int epoll_fd, wake_fd;
    int spare_fd; // a descriptor for the reserved connection, when the process has no other left; -1: that has it
    struct connection *reserved; // NULL: none
    uint64_t sleeps_until_ms;    // the loop; 0: it is awake
    struct heap timers;
    uint64_t timer_ties;
    struct list exchanges, dead, holds, jobs;
    struct hash by_name;
    struct session session;
    struct prng prng;
    pthread_t loop, callbacks;
    pthread_cond_t jobs_changed, session_changed;
    struct parley_lock *running; // whose callback runs
};
void client_release(struct parley_client *client);                        // with the mutex held; lets go of it
void client_job(struct parley_client *client, struct parley_lock *lock);  // its callbacks are due
void client_resolve(struct parley_client *client, struct server *server); // in the background
