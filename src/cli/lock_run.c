// A lock that is held for a command, and `parley lock NAME -- CMD`, which runs CMD while it is held and ends it when
// the lock is lost. With a value it is an election (`parley elect`): got when elected, lost with the lead.
//
//   main     gets the lock, starts CMD, waits for its end, for signals and for the loss
//   keeper   keeps the session alive; a session that nobody acknowledges for two thirds of its time counts as lost,
//            because CMD must be gone when the time is over: another may have the lock then
//   watcher  asks to be told of a loss (an operator broke the lock)
#include "base/alloc.h"
#include "cli/lock.h"
#include "server/server.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WATCH_MS 20000u
#define ANSWER_MS_MIN 600u
#define WAIT_MARGIN_MS 5000u // a server answers so long behind the waiting time at the latest

// ---- what is told
void lock_tell(const struct lock_claim *run, const char *event, const char *format, ...) {
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!run->options->json) {
        fprintf(stderr, "%s: %s\n", run->options->who, text);
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "event", json_string(event));
    json_object_set_new(json, "name", json_string(run->options->name));
    json_object_set_new(json, "text", json_string(text));
    if (run->token != 0) json_object_set_new(json, "token", json_integer(run->token));
    char *line = json_dumps(json, JSON_COMPACT);
    fprintf(stderr, "%s\n", line);
    free(line);
    json_decref(json);
}

// ---- the session
static json_t *with_session(const struct lock_claim *run) {
    json_t *body = json_object();
    json_object_set_new(body, "session", json_string(run->session));
    return body;
}

// Of one server, before the next one is asked: there must be time for two.
static uint64_t answer_ms(const struct lock_claim *run) {
    return run->options->ttl_ms / 6 > ANSWER_MS_MIN ? run->options->ttl_ms / 6 : ANSWER_MS_MIN;
}

// When the newest activity that is known to have been acknowledged was sent; this one was, if not 0.
static uint64_t acknowledged_at(struct lock_claim *run, uint64_t sent_ms) {
    pthread_mutex_lock(&run->held.lock);
    if (sent_ms > run->acknowledged_ms) run->acknowledged_ms = sent_ms;
    uint64_t newest_ms = run->acknowledged_ms;
    pthread_mutex_unlock(&run->held.lock);
    return newest_ms;
}

static bool keep(void *context) {
    struct lock_claim *run = context;
    uint64_t ttl_ms = run->options->ttl_ms;
    struct native_answer answer;
    uint64_t sent_ms = native_now_ms(), give_up_ms = acknowledged_at(run, 0) + ttl_ms * 2 / 3;
    if (sent_ms >= give_up_ms) give_up_ms = sent_ms + 1;
    bool kept = native_call(run->client, "session/keepalive", with_session(run), answer_ms(run), give_up_ms, &answer);
    bool ended = answer.status == 410;
    uint64_t acknowledged_ms = acknowledged_at(run, kept ? sent_ms : 0);
    uint64_t now_ms = native_now_ms(), grace_ms = now_ms + run->options->grace_ms;
    uint64_t end_ms = acknowledged_ms + ttl_ms;
    char reason[600];
    snprintf(reason, sizeof reason, "the session was not acknowledged in time: %.500s", answer.error);
    native_answer_free(&answer);
    if (ended)
        held_lose(&run->held, "its session has ended", grace_ms);
    else if (!kept && now_ms + 200 >= acknowledged_ms + ttl_ms * 2 / 3)
        held_lose(&run->held, reason, end_ms < grace_ms ? end_ms : grace_ms);
    return !ended;
}

static void no_thread(const struct lock_claim *run) {
    lock_tell(run, "error", "cannot start a thread: %s", strerror(errno));
    exit(EXIT_FATAL);
}

static bool make_session(struct lock_claim *run, uint64_t until_ms, struct native_answer *answer) {
    json_t *body = json_object();
    json_object_set_new(body, "ttl_ms", json_integer((json_int_t)run->options->ttl_ms));
    uint64_t sent_ms = native_now_ms();
    if (!native_call(run->client, "session/create", body, NATIVE_TIMEOUT_MS, until_ms, answer)) return false;
    const char *session = json_string_value(json_object_get(answer->json, "session"));
    snprintf(run->session, sizeof run->session, "%s", session != NULL ? session : "");
    native_answer_free(answer);
    run->acknowledged_ms = sent_ms;
    held_over(&run->held); // who only waits has nothing to lose
    if (!keeper_start(&run->keeper, run->options->ttl_ms / 4, keep, run)) no_thread(run);
    return true;
}

// With it goes everything that it holds.
void lock_claim_end(struct lock_claim *run) {
    struct native_answer answer;
    keeper_stop(&run->keeper);
    native_call(run->client, "session/close", with_session(run), 2000, native_now_ms() + 2000, &answer);
    native_answer_free(&answer);
}

// ---- getting the lock
static json_t *acquire_body(const struct lock_claim *run, uint64_t wait_ms) {
    const struct lock_options *o = run->options;
    json_t *body = with_session(run);
    json_object_set_new(body, "name", json_string(o->name));
    if (o->members != 0) {
        json_object_set_new(body, "members", json_integer((json_int_t)o->members));
        json_object_set_new(body, "wait_ms", json_integer((json_int_t)wait_ms));
        return body;
    }
    json_object_set_new(body, o->value != NULL ? "candidate" : "owner", json_string(run->owner));
    json_object_set_new(body, "wait_ms", json_integer((json_int_t)wait_ms));
    json_object_set_new(body, "delay_ms", json_integer((json_int_t)o->delay_ms));
    if (o->value != NULL) json_object_set_new(body, "value", json_string(o->value));
    if (o->shared) json_object_set_new(body, "mode", json_string("shared"));
    if (o->total > 0) {
        json_object_set_new(body, "mode", json_string("permits"));
        json_object_set_new(body, "permits", json_integer((json_int_t)o->permits));
        json_object_set_new(body, "total", json_integer((json_int_t)o->total));
    }
    return body;
}

// A session that moved, or a request that an older one of ours took the place of: asked again. A place in line stays
// the session's.
static bool acquire(struct lock_claim *run, uint64_t begin_ms, struct native_answer *answer) {
    const char *operation = run->options->members != 0    ? "barrier/enter"
                            : run->options->value != NULL ? "election/campaign"
                                                          : "lock/acquire";
    uint64_t until_ms = begin_ms + run->options->wait_ms;
    for (;;) {
        uint64_t now_ms = native_now_ms(), wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        uint64_t answer_ms = (wait_ms > WAIT_MARGIN_MS ? wait_ms : WAIT_MARGIN_MS) + WAIT_MARGIN_MS;
        uint64_t give_up_ms = now_ms + (wait_ms > NATIVE_TIMEOUT_MS ? wait_ms : NATIVE_TIMEOUT_MS);
        if (native_call(run->client, operation, acquire_body(run, wait_ms), answer_ms, give_up_ms, answer)) return true;
        const char *error = native_error_name(answer);
        if (strcmp(error, "session-moved") != 0 && strcmp(error, "superseded") != 0) return false;
        native_answer_free(answer);
    }
}

static void tell_not_got(const struct lock_claim *run, const struct native_answer *answer) {
    const char *holder = json_string_value(json_object_get(answer->json, "holder"));
    bool held = holder != NULL && holder[0] != 0;
    lock_tell(run, "not-got", "%s%s%s%s", answer->error, held ? " (" : "", held ? holder : "", held ? ")" : "");
}

// The grant may be old news: CMD begins only when the session is known to live. From now on a loss counts.
static bool confirm(struct lock_claim *run, struct native_answer *answer) {
    uint64_t sent_ms = native_now_ms(), until_ms = sent_ms + run->options->ttl_ms / 3;
    if (!native_call(run->client, "session/keepalive", with_session(run), answer_ms(run), until_ms, answer))
        return false;
    native_answer_free(answer);
    acknowledged_at(run, sent_ms);
    held_again(&run->held);
    return true;
}

// false: the answer says why; again: another session may get it.
static bool try_session(struct lock_claim *run, uint64_t begin_ms, uint64_t until_ms, bool *again,
                        struct native_answer *answer) {
    *again = false;
    if (!make_session(run, until_ms, answer)) return false;
    if (acquire(run, begin_ms, answer)) {
        const char *number = run->options->members != 0 ? "round" : "token";
        run->token = json_integer_value(json_object_get(answer->json, number));
        native_answer_free(answer);
        if (confirm(run, answer)) return true;
        *again = true;
    }
    *again = *again || answer->status == 410; // it ended while the servers were away
    lock_claim_end(run);
    run->token = 0;
    return false;
}

bool lock_claim_get(struct lock_claim *run) {
    struct native_answer answer;
    uint64_t begin_ms = native_now_ms(), wait_ms = run->options->wait_ms;
    uint64_t until_ms = begin_ms + (wait_ms > NATIVE_TIMEOUT_MS ? wait_ms : NATIVE_TIMEOUT_MS);
    bool again;
    while (!try_session(run, begin_ms, until_ms, &again, &answer)) {
        if (again && native_now_ms() < until_ms) {
            native_answer_free(&answer);
            continue;
        }
        tell_not_got(run, &answer);
        native_answer_free(&answer);
        return false;
    }
    return true;
}

// ---- while it is held
static bool over(struct lock_claim *run) {
    pthread_mutex_lock(&run->held.lock);
    bool over = run->held.over;
    pthread_mutex_unlock(&run->held.lock);
    return over;
}

static void *watch(void *context) {
    struct lock_claim *run = context;
    for (;;) {
        struct native_answer answer;
        json_t *body = json_object();
        json_object_set_new(body, "name", json_string(run->options->name));
        json_object_set_new(body, "token", json_integer(run->token));
        json_object_set_new(body, "wait_ms", json_integer(WATCH_MS));
        bool asked = native_call(run->client, "lock/watch", body, WATCH_MS + WAIT_MARGIN_MS,
                                 native_now_ms() + NATIVE_TIMEOUT_MS, &answer);
        bool lost = asked && json_is_false(json_object_get(answer.json, "held"));
        if (lost) {
            const char *loss = json_string_value(json_object_get(answer.json, "loss"));
            const char *why = json_string_value(json_object_get(answer.json, "reason"));
            char reason[600];
            snprintf(reason, sizeof reason, "%s%s%s", loss != NULL ? loss : "gone", why != NULL ? ": " : "",
                     why != NULL ? why : "");
            held_lose(&run->held, reason, native_now_ms() + run->options->grace_ms);
        }
        native_answer_free(&answer);
        if (lost || over(run)) break;
    }
    lock_claim_drop(run);
    return NULL;
}

static void started(void *context) {
    pthread_t watcher;
    if (((struct lock_claim *)context)->options->members != 0) return; // only its session's end ends it
    ((struct lock_claim *)context)->users++;
    if (!held_thread(&watcher, watch, context)) no_thread(context);
    pthread_detach(watcher);
}

static void told(void *context, const char *reason) {
    const struct lock_claim *run = context;
    lock_tell(run, "lost", "%s was lost: %s", run->options->name, reason);
}

struct lock_claim *lock_claim_new(struct native_client *client, const struct lock_options *options) {
    char host[128] = "";
    struct lock_claim *run = mem_zalloc(sizeof *run);
    run->client = client;
    run->options = options;
    run->users = 1;
    run->held = (struct held){
        .who = options->who, .command = options->command, .started = started, .told = told, .context = run};
    held_init(&run->held);
    gethostname(host, sizeof host - 1);
    snprintf(run->owner, sizeof run->owner, "%s pid %ld", host, (long)getpid());
    if (options->owner != NULL) snprintf(run->owner, sizeof run->owner, "%s", options->owner);
    return run;
}

void lock_claim_drop(struct lock_claim *run) {
    if (--run->users > 0) return;
    close(run->held.lost_fd);
    mem_free(run);
}

static void set_environment(const struct lock_claim *run) {
    const struct lock_options *o = run->options;
    char token[32];
    snprintf(token, sizeof token, "%lld", (long long)run->token);
    const char *number = o->members != 0 ? "PARLEY_ROUND" : o->value != NULL ? "PARLEY_TOKEN" : "PARLEY_LOCK_TOKEN";
    const char *name = o->members != 0 ? "PARLEY_BARRIER" : o->value != NULL ? "PARLEY_ELECTION" : "PARLEY_LOCK_NAME";
    setenv(number, token, 1);
    setenv(name, o->name, 1);
    if (o->value == NULL) return;
    setenv("PARLEY_LEADER", run->owner, 1);
    setenv("PARLEY_VALUE", o->value, 1);
}

int lock_claim_hold(struct lock_claim *run) {
    set_environment(run);
    return held_run(&run->held);
}

// Waits until all have left the barrier, while the session lives.
static void leave(struct lock_claim *run) {
    for (bool over = false; !over;) {
        struct native_answer answer;
        json_t *body = with_session(run);
        json_object_set_new(body, "name", json_string(run->options->name));
        json_object_set_new(body, "round", json_integer(run->token));
        json_object_set_new(body, "wait_ms", json_integer(WATCH_MS));
        bool left = native_call(run->client, "barrier/leave", body, WATCH_MS + WAIT_MARGIN_MS,
                                native_now_ms() + NATIVE_TIMEOUT_MS, &answer);
        const char *error = native_error_name(&answer);
        bool again = strcmp(error, "session-moved") == 0 || strcmp(error, "superseded") == 0;
        if (!left && !again) lock_tell(run, "not-left", "%s: %s", run->options->name, answer.error);
        over = left ? json_is_true(json_object_get(answer.json, "over")) : !again;
        native_answer_free(&answer);
    }
}

int lock_run(struct native_client *client, const struct lock_options *options) {
    struct lock_claim *run = lock_claim_new(client, options);
    int code = LOCK_EXIT_NOT_GOT;
    if (lock_claim_get(run)) {
        if (options->json) lock_tell(run, "got", "%s is held", options->name);
        code = lock_claim_hold(run);
        if (options->members != 0 && code != HELD_EXIT_LOST) leave(run);
        lock_claim_end(run);
    }
    lock_claim_drop(run);
    return code;
}
