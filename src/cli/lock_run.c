// `parley lock NAME -- CMD`: runs CMD while a lock is held, and ends it when the lock is lost.
//
//   main     gets the lock, starts CMD, waits for its end, for signals and for the loss
//   keeper   keeps the session alive; a session that nobody acknowledges for two thirds of its time counts as lost,
//            because CMD must be gone when the time is over: another may have the lock then
//   watcher  asks to be told of a loss (an operator broke the lock)
#include "cli/held.h"
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

struct run {
    struct native_client *client;
    const struct lock_options *options;
    char session[96], owner[256];
    json_int_t token;
    uint64_t acknowledged_ms; // under the lock of `held`
    struct keeper keeper;
    struct held held;
};

// ---- what is told
void lock_tell(const struct lock_options *options, uint64_t token, const char *event, const char *format, ...) {
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!options->json) {
        fprintf(stderr, "parley lock: %s\n", text);
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "event", json_string(event));
    json_object_set_new(json, "name", json_string(options->name));
    json_object_set_new(json, "text", json_string(text));
    if (token != 0) json_object_set_new(json, "token", json_integer((json_int_t)token));
    char *line = json_dumps(json, JSON_COMPACT);
    fprintf(stderr, "%s\n", line);
    free(line);
    json_decref(json);
}

// ---- the session
static json_t *with_session(const struct run *run) {
    json_t *body = json_object();
    json_object_set_new(body, "session", json_string(run->session));
    return body;
}

// Of one server, before the next one is asked: there must be time for two.
static uint64_t answer_ms(const struct run *run) {
    return run->options->ttl_ms / 6 > ANSWER_MS_MIN ? run->options->ttl_ms / 6 : ANSWER_MS_MIN;
}

// When the newest activity that is known to have been acknowledged was sent; this one was, if not 0.
static uint64_t acknowledged_at(struct run *run, uint64_t sent_ms) {
    pthread_mutex_lock(&run->held.lock);
    if (sent_ms > run->acknowledged_ms) run->acknowledged_ms = sent_ms;
    uint64_t newest_ms = run->acknowledged_ms;
    pthread_mutex_unlock(&run->held.lock);
    return newest_ms;
}

static bool keep(void *context) {
    struct run *run = context;
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

static void no_thread(const struct run *run) {
    lock_tell(run->options, (uint64_t)run->token, "error", "cannot start a thread: %s", strerror(errno));
    exit(EXIT_FATAL);
}

static bool make_session(struct run *run, uint64_t until_ms, struct native_answer *answer) {
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
static void close_session(struct run *run) {
    struct native_answer answer;
    keeper_stop(&run->keeper);
    native_call(run->client, "session/close", with_session(run), 2000, native_now_ms() + 2000, &answer);
    native_answer_free(&answer);
}

// ---- getting the lock
static json_t *acquire_body(const struct run *run, uint64_t wait_ms) {
    const struct lock_options *o = run->options;
    json_t *body = with_session(run);
    json_object_set_new(body, "name", json_string(o->name));
    json_object_set_new(body, "owner", json_string(run->owner));
    json_object_set_new(body, "wait_ms", json_integer((json_int_t)wait_ms));
    json_object_set_new(body, "delay_ms", json_integer((json_int_t)o->delay_ms));
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
static bool acquire(struct run *run, uint64_t begin_ms, struct native_answer *answer) {
    uint64_t until_ms = begin_ms + run->options->wait_ms;
    for (;;) {
        uint64_t now_ms = native_now_ms(), wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        uint64_t answer_ms = (wait_ms > WAIT_MARGIN_MS ? wait_ms : WAIT_MARGIN_MS) + WAIT_MARGIN_MS;
        uint64_t give_up_ms = now_ms + (wait_ms > NATIVE_TIMEOUT_MS ? wait_ms : NATIVE_TIMEOUT_MS);
        if (native_call(run->client, "lock/acquire", acquire_body(run, wait_ms), answer_ms, give_up_ms, answer))
            return true;
        const char *error = native_error_name(answer);
        if (strcmp(error, "session-moved") != 0 && strcmp(error, "superseded") != 0) return false;
        native_answer_free(answer);
    }
}

static void tell_not_got(const struct run *run, const struct native_answer *answer) {
    const char *holder = json_string_value(json_object_get(answer->json, "holder"));
    bool held = holder != NULL && holder[0] != 0;
    lock_tell(run->options, (uint64_t)run->token, "not-got", "%s%s%s%s", answer->error, held ? " (" : "",
              held ? holder : "", held ? ")" : "");
}

// The grant may be old news: CMD begins only when the session is known to live. From now on a loss counts.
static bool confirm(struct run *run, struct native_answer *answer) {
    uint64_t sent_ms = native_now_ms(), until_ms = sent_ms + run->options->ttl_ms / 3;
    if (!native_call(run->client, "session/keepalive", with_session(run), answer_ms(run), until_ms, answer))
        return false;
    native_answer_free(answer);
    acknowledged_at(run, sent_ms);
    held_again(&run->held);
    return true;
}

// false: the answer says why; again: another session may get it.
static bool try_session(struct run *run, uint64_t begin_ms, uint64_t until_ms, bool *again,
                        struct native_answer *answer) {
    *again = false;
    if (!make_session(run, until_ms, answer)) return false;
    if (acquire(run, begin_ms, answer)) {
        run->token = json_integer_value(json_object_get(answer->json, "token"));
        native_answer_free(answer);
        if (confirm(run, answer)) return true;
        *again = true;
    }
    *again = *again || answer->status == 410; // it ended while the servers were away
    close_session(run);
    run->token = 0;
    return false;
}

static bool obtain(struct run *run) {
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
static void *watch(void *context) {
    struct run *run = context;
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
        if (lost) return NULL;
    }
}

static void started(void *context) {
    pthread_t watcher;
    if (!held_thread(&watcher, watch, context)) no_thread(context);
    pthread_detach(watcher);
}

static void told(void *context, const char *reason) {
    const struct run *run = context;
    lock_tell(run->options, (uint64_t)run->token, "lost", "%s was lost: %s", run->options->name, reason);
}

int lock_run(struct native_client *client, const struct lock_options *options) {
    static struct run run; // the watcher may still wait for an answer when this returns
    char host[128] = "", token[32];
    run = (struct run){.client = client, .options = options};
    run.held = (struct held){
        .who = "parley lock", .command = options->command, .started = started, .told = told, .context = &run};
    held_init(&run.held);
    gethostname(host, sizeof host - 1);
    snprintf(run.owner, sizeof run.owner, "%s pid %ld", host, (long)getpid());
    if (!obtain(&run)) return LOCK_EXIT_NOT_GOT;
    if (options->json) lock_tell(options, (uint64_t)run.token, "got", "%s is held", options->name);
    snprintf(token, sizeof token, "%lld", (long long)run.token);
    setenv("PARLEY_LOCK_TOKEN", token, 1);
    setenv("PARLEY_LOCK_NAME", options->name, 1);
    int code = held_run(&run.held);
    close_session(&run);
    return code;
}
