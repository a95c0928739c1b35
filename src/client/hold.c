// A claim of this client on one lock, for one owner, with the handles that share it.
//
//   QUEUED --session--> ACQUIRING --granted--> HELD --last handle goes--> RELEASING --> freed
//                           |
//                           '--last handle goes--> CLEARING (granted meanwhile? then it is released)
//
// No two claims of one client have the same owner at the same lock, so an acquire may be repeated: at most it counts
// one claim's holds twice, and a release gives back all of them. Each lives and dies with the session: when that is
// lost, what is held is lost, and what waits begins anew.
#include "base/alloc.h"
#include "base/assert.h"
#include "client/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS_MAX (30ull * 24 * 3600 * 1000)
#define WAIT_MARGIN_MS 5000u   // a server answers so long behind the waiting time at the latest
#define TIMED_OUT_EARLY_MS 50u // clocks of servers may run a little faster than ours
#define CLEAR_MS 1000u
#define WATCH_AFTER_MS 1000u // locks that are held shortly are not worth a connection
#define WATCH_MS 20000u

static void acquired(struct exchange *x, enum outcome outcome, int status, const json_t *json);
static void cleared(struct exchange *x, enum outcome outcome, int status, const json_t *json);
static void released(struct exchange *x, enum outcome outcome, int status, const json_t *json);
static void watched(struct exchange *x, enum outcome outcome, int status, const json_t *json);
static void begin_watch(struct timer *timer);

// ---- finding, making, freeing

struct hold_key {
    const char *name, *owner;
};

static uint64_t hash_of(const char *name, const char *owner) {
    return hash_bytes(owner, strlen(owner), hash_bytes(name, strlen(name), 0));
}

static bool matches(const struct hash_node *node, const void *key) {
    const struct hold *hold = CONTAINER_OF_CONST(node, struct hold, by_name);
    const struct hold_key *wanted = key;
    return strcmp(hold->name, wanted->name) == 0 && strcmp(hold->owner, wanted->owner) == 0;
}

struct hold *held_claim_find(struct parley_client *client, const char *name, const char *owner) {
    struct hold_key key = {name, owner};
    struct hash_node *node = hash_find(&client->by_name, hash_of(name, owner), matches, &key);
    return node == NULL ? NULL : CONTAINER_OF(node, struct hold, by_name);
}

struct hold *hold_new(struct parley_client *client, const char *name, const char *owner,
                      const struct parley_lock_options *options, const char *value) {
    struct hold *hold = mem_zalloc(sizeof *hold);
    hold->client = client;
    hold->name = mem_strdup(name);
    hold->owner = mem_strdup(owner);
    hold->value = value != NULL ? mem_strdup(value) : NULL;
    hold->mode = options->mode;
    hold->permits = options->permits;
    hold->total = options->total;
    hold->delay_ms = options->delay_ms;
    hold->state = HOLD_QUEUED;
    list_init(&hold->handles);
    exchange_init(&hold->exchange, client, NULL, NULL);
    exchange_init(&hold->watch, client, "/v1/lock/watch", watched);
    timer_init(&hold->watch_timer, client, begin_watch);
    list_push_back(&client->holds, &hold->link);
    hash_insert(&client->by_name, &hold->by_name, hash_of(name, owner));
    return hold;
}

static void tell_last(struct hold *hold, enum parley_error error, const char *text) {
    struct parley_lock *last = hold->last;
    hold->last = NULL;
    if (last == NULL) return;
    problem_set(&last->problem, error, text);
    last->hold = NULL;
    last->released = true;
    pthread_cond_broadcast(&last->changed);
}

static void hold_free(struct hold *hold) {
    ENSURE(list_empty(&hold->handles) && hold->last == NULL);
    exchange_stop(&hold->exchange);
    exchange_stop(&hold->watch);
    timer_stop(&hold->watch_timer);
    list_remove(&hold->link);
    hash_remove(&hold->client->by_name, &hold->by_name);
    mem_free(hold->name);
    mem_free(hold->owner);
    mem_free(hold->value);
    mem_free(hold);
}

static struct parley_lock *take_handle(struct hold *hold) { // NULL: there is none left
    if (list_empty(&hold->handles)) return NULL;
    struct parley_lock *lock = CONTAINER_OF(hold->handles.next, struct parley_lock, of_hold);
    list_remove(&lock->of_hold);
    lock->hold = NULL;
    return lock;
}

static void fail_all(struct hold *hold, const struct parley_problem *problem) {
    struct parley_lock *lock;
    while ((lock = take_handle(hold)) != NULL) lock_failed(lock, problem);
    hold_free(hold);
}

static void lose(struct hold *hold, const char *why) {
    struct parley_lock *lock;
    ENSURE(hold->state == HOLD_HELD);
    while ((lock = take_handle(hold)) != NULL) lock_lost(lock, why);
    hold_free(hold);
}

// ---- what is asked

static void ask(struct hold *hold, const char *path, uint64_t attempt_ms, bool waits, json_t *body,
                void (*done)(struct exchange *, enum outcome, int, const json_t *)) {
    struct exchange *x = &hold->exchange;
    exchange_init(x, hold->client, path, done);
    x->attempt_ms = attempt_ms;
    x->repeatable = x->of_session = true;
    x->waits = waits;
    exchange_start(x, body);
}

static json_t *claim_body(const struct hold *hold) {
    json_t *body = session_body(hold->client);
    json_object_set_new(body, "name", json_string(hold->name));
    json_object_set_new(body, hold->mode == HOLD_LEADS ? "candidate" : "owner", json_string(hold->owner));
    return body;
}

static json_t *acquire_body(const struct hold *hold, uint64_t wait_ms) {
    static const char *const modes[] = {"exclusive", "shared", "permits"};
    json_t *body = claim_body(hold);
    if (hold->mode == HOLD_LEADS)
        json_object_set_new(body, "value", json_string(hold->value));
    else
        json_object_set_new(body, "mode", json_string(modes[hold->mode]));
    if (hold->mode == PARLEY_PERMITS) {
        json_object_set_new(body, "permits", json_integer(hold->permits));
        json_object_set_new(body, "total", json_integer(hold->total));
    }
    json_object_set_new(body, "delay_ms", json_integer((json_int_t)hold->delay_ms));
    json_object_set_new(body, "wait_ms", json_integer((json_int_t)wait_ms));
    return body;
}

static uint64_t wait_ms_of(const struct hold *hold) { // as long as the most patient of its handles
    uint64_t now_ms = boot_now_ms(), most_ms = 0;
    for (const struct list *at = hold->handles.next; at != &hold->handles; at = at->next) {
        const struct parley_lock *lock = CONTAINER_OF_CONST(at, struct parley_lock, of_hold);
        uint64_t ms = lock->try_only ? 0 : lock->until_ms > now_ms ? lock->until_ms - now_ms : 1;
        if (ms > most_ms) most_ms = ms;
    }
    return most_ms < WAIT_MS_MAX ? most_ms : WAIT_MS_MAX;
}

static const char *acquire_path(const struct hold *hold) {
    return hold->mode == HOLD_LEADS ? "/v1/election/campaign" : "/v1/lock/acquire";
}

static void acquire(struct hold *hold) {
    uint64_t wait_ms = wait_ms_of(hold), attempt_ms = hold->client->options.attempt_ms;
    hold->state = HOLD_ACQUIRING;
    if (wait_ms > 0) attempt_ms = wait_ms + WAIT_MARGIN_MS;
    ask(hold, acquire_path(hold), attempt_ms, wait_ms > 0, acquire_body(hold, wait_ms), acquired);
}

static void begin(struct hold *hold) {
    hold->state = HOLD_QUEUED;
    if (session_check(hold->client))
        acquire(hold);
    else
        session_want(hold->client);
}

// Whether a claim whose answer never came stands, nobody knows: asked for once more without waiting, it is granted, or
// it is refused because it does not stand. If it still waits in line there is no answer, and the connection's end
// cancels it.
static void clear(struct hold *hold) {
    hold->state = HOLD_CLEARING;
    ask(hold, acquire_path(hold), CLEAR_MS, true, acquire_body(hold, 0), cleared);
}

static void release(struct hold *hold) {
    hold->state = HOLD_RELEASING;
    exchange_stop(&hold->watch);
    timer_stop(&hold->watch_timer);
    json_t *body = claim_body(hold);
    json_object_set_new(body, "token", json_integer((json_int_t)hold->token));
    bool leads = hold->mode == HOLD_LEADS; // who resigns gives back all holds anyway
    if (!leads) json_object_set_new(body, "all", json_true());
    const char *path = leads ? "/v1/election/resign" : "/v1/lock/release";
    ask(hold, path, hold->client->options.attempt_ms, false, body, released);
}

static void begin_watch(struct timer *timer) {
    struct hold *hold = CONTAINER_OF(timer, struct hold, watch_timer);
    json_t *body = json_object();
    json_object_set_new(body, "name", json_string(hold->name));
    json_object_set_new(body, "token", json_integer((json_int_t)hold->token));
    json_object_set_new(body, "wait_ms", json_integer(WATCH_MS));
    hold->watch.attempt_ms = WATCH_MS + WAIT_MARGIN_MS;
    hold->watch.repeatable = hold->watch.waits = true;
    exchange_start(&hold->watch, body);
}

// ---- what is answered

static void granted(struct hold *hold, const json_t *json) {
    hold->token = (uint64_t)json_integer_value(json_object_get(json, "token"));
    hold->state = HOLD_HELD;
    if (list_empty(&hold->handles)) {
        release(hold);
        return;
    }
    for (struct list *at = hold->handles.next; at != &hold->handles; at = at->next)
        handle_granted(CONTAINER_OF(at, struct parley_lock, of_hold), hold->token);
    timer_set(&hold->watch_timer, boot_now_ms() + WATCH_AFTER_MS);
}

// Not granted in time: whoever has more patience asks once more.
static void impatient_leave(struct hold *hold, const struct parley_problem *problem) {
    uint64_t now_ms = boot_now_ms();
    struct list *next;
    for (struct list *at = hold->handles.next; at != &hold->handles; at = next) {
        struct parley_lock *lock = CONTAINER_OF(at, struct parley_lock, of_hold);
        next = at->next;
        if (!lock->try_only && lock->until_ms > now_ms + TIMED_OUT_EARLY_MS) continue;
        list_remove(&lock->of_hold);
        lock->hold = NULL;
        lock_failed(lock, problem);
    }
    if (list_empty(&hold->handles))
        hold_free(hold);
    else
        acquire(hold);
}

static void acquired(struct exchange *x, enum outcome outcome, int status, const json_t *json) {
    struct hold *hold = CONTAINER_OF(x, struct hold, exchange);
    struct parley_problem problem;
    ENSURE(hold->state == HOLD_ACQUIRING && outcome == OUTCOME_ANSWERED);
    if (!session_check(hold->client)) return; // it waits for a new one
    enum parley_error error = problem_outcome(x, outcome, status, json, &problem);
    if (error == PARLEY_OK)
        granted(hold, json);
    else if (status == 410)
        session_lost(hold->client, problem.text);
    else if (error == PARLEY_BUSY || error == PARLEY_TIMED_OUT)
        impatient_leave(hold, &problem);
    else
        fail_all(hold, &problem);
}

static void over(struct hold *hold) { // nothing of it stands at the servers
    if (list_empty(&hold->handles))
        hold_free(hold);
    else
        begin(hold); // somebody has come meanwhile
}

static void cleared(struct exchange *x, enum outcome outcome, int status, const json_t *json) {
    struct hold *hold = CONTAINER_OF(x, struct hold, exchange);
    ENSURE(hold->state == HOLD_CLEARING && outcome == OUTCOME_ANSWERED);
    if (!session_check(hold->client)) return; // its holds went with it
    if (status == 200)
        granted(hold, json);
    else if (status == 410)
        session_lost(hold->client, "the session has ended");
    else
        over(hold);
}

static void released(struct exchange *x, enum outcome outcome, int status, const json_t *json) {
    struct hold *hold = CONTAINER_OF(x, struct hold, exchange);
    struct parley_problem problem;
    ENSURE(hold->state == HOLD_RELEASING && outcome == OUTCOME_ANSWERED);
    enum parley_error error = problem_outcome(x, outcome, status, json, &problem);
    if (error == PARLEY_NOT_HELD) error = x->maybe_done ? PARLEY_OK : PARLEY_LOST;
    tell_last(hold, error, error == PARLEY_LOST ? "it was not held any more when it was given back" : problem.text);
    if (status == 410)
        session_lost(hold->client, problem.text);
    else
        over(hold);
}

static void watched(struct exchange *x, enum outcome outcome, int status, const json_t *json) {
    struct hold *hold = CONTAINER_OF(x, struct hold, watch);
    const char *loss = json_string_value(json_object_get(json, "loss"));
    const char *reason = json_string_value(json_object_get(json, "reason"));
    if (status == 200 && json_is_false(json_object_get(json, "held"))) {
        char why[256];
        snprintf(why, sizeof why, "%.40s%s%.200s", loss != NULL ? loss : "gone", reason != NULL ? ": " : "",
                 reason != NULL ? reason : "");
        lose(hold, why);
    } else {
        timer_set(&hold->watch_timer, status == 200 ? 0 : boot_now_ms() + WATCH_AFTER_MS);
    }
}

// ---- handles come and go

void hold_join(struct hold *hold, struct parley_lock *lock) {
    bool first = list_empty(&hold->handles) && hold->state == HOLD_QUEUED;
    lock->hold = hold;
    list_push_back(&hold->handles, &lock->of_hold);
    if (hold->state == HOLD_HELD)
        handle_granted(lock, hold->token);
    else if (first)
        begin(hold);
}

bool hold_leave(struct hold *hold, struct parley_lock *lock) {
    ENSURE(lock->hold == hold);
    list_remove(&lock->of_hold);
    lock->hold = NULL;
    if (!list_empty(&hold->handles)) return false;
    bool held = hold->state == HOLD_HELD;
    struct exchange *x = &hold->exchange;
    bool never_left = x->attempts == 1 && x->connection != NULL && !x->connection->sent;
    if (hold->state == HOLD_QUEUED || (hold->state == HOLD_ACQUIRING && never_left)) {
        hold_free(hold);
    } else if (hold->state == HOLD_ACQUIRING) {
        exchange_stop(x);
        clear(hold);
    } else if (held) {
        hold->last = lock;
        lock->hold = hold;
        release(hold);
    }
    return held;
}

// ---- the session comes and goes

void holds_session_ready(struct parley_client *client) {
    for (struct list *at = client->holds.next; at != &client->holds; at = at->next) {
        struct hold *hold = CONTAINER_OF(at, struct hold, link);
        if (hold->state == HOLD_QUEUED) acquire(hold);
    }
}

void holds_session_failed(struct parley_client *client, const struct parley_problem *problem) {
    struct list *next;
    for (struct list *at = client->holds.next; at != &client->holds; at = next) {
        struct hold *hold = CONTAINER_OF(at, struct hold, link);
        next = at->next;
        fail_all(hold, problem); // without a session all of them are queued
    }
}

void holds_session_lost(struct parley_client *client, const char *why) {
    struct list *next;
    for (struct list *at = client->holds.next; at != &client->holds; at = next) {
        struct hold *hold = CONTAINER_OF(at, struct hold, link);
        next = at->next;
        exchange_stop(&hold->exchange);
        tell_last(hold, PARLEY_UNKNOWN, why);
        if (hold->state == HOLD_HELD)
            lose(hold, why);
        else if (list_empty(&hold->handles))
            hold_free(hold);
        else
            hold->state = HOLD_QUEUED;
    }
    if (!list_empty(&client->holds)) session_want(client);
}

void holds_kept_alive(struct parley_client *client) {
    for (struct list *at = client->holds.next; at != &client->holds; at = at->next) {
        struct hold *hold = CONTAINER_OF(at, struct hold, link);
        if (hold->state != HOLD_HELD) continue;
        for (struct list *one = hold->handles.next; one != &hold->handles; one = one->next)
            lock_arm(CONTAINER_OF(one, struct parley_lock, of_hold));
    }
}

void holds_close(struct parley_client *client) {
    struct parley_problem problem;
    problem_set(&problem, PARLEY_CLOSED, "");
    struct list *next;
    for (struct list *at = client->holds.next; at != &client->holds; at = next) {
        struct hold *hold = CONTAINER_OF(at, struct hold, link);
        next = at->next;
        tell_last(hold, PARLEY_CLOSED, "");
        if (hold->state == HOLD_HELD)
            lose(hold, "the client was closed");
        else
            fail_all(hold, &problem);
    }
}
