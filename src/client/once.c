// Calls that are run once: begin under a key, run the caller's function, keep its lease alive meanwhile, store.
//
// What a node acknowledged holds from the moment at which it was asked: the lease lasts until lease_ms after that, and
// the function is told a little before. An answer that came late, or was asked for twice, says nothing of when the
// lease began; then it is begun anew before the function runs.
#include "base/base64.h"
#include "client/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define KEY_BYTES_MAX 255u
#define FINGERPRINT_BYTES_MAX 64u
#define BODY_BYTES_MAX 65536u
#define LEASE_MS_STANDARD 30000u
#define LEASE_MS_MIN 1000u
#define LEASE_MS_MAX (24ull * 3600 * 1000)
#define TTL_MS_MAX (30ull * 24 * 3600 * 1000)
#define WAIT_MS_MAX (3600ull * 1000) // of one request; a longer wait begins again
#define LATE_MS 500u                 // a node's word that the time is over is waited for a little longer
#define MARGIN 20u                   // a part of the lease
#define BEATS 4u                     // extensions in a lease

struct parley_run {
    struct parley_client *client;
    const char *key;
    char owner[64];
    uint64_t lease_ms, ttl_ms, until_ms; // until_ms: it waits so long to run; NEVER: as long as it takes
    bool try_only;
    uint64_t token, acknowledged_ms; // acknowledged_ms: when the newest request that proves the lease was sent
    uint32_t attempt;
    bool lost;
    char why[384];
    struct exchange extend;
    struct timer beat;
};

static json_t *body_of(const struct parley_run *run) {
    json_t *body = json_object();
    json_object_set_new(body, "key", json_string(run->key));
    if (run->token != 0) json_object_set_new(body, "token", json_integer((json_int_t)run->token));
    return body;
}

// ---- the lease

static void lose(struct parley_run *run, const char *why) {
    if (run->lost) return;
    run->lost = true;
    snprintf(run->why, sizeof run->why, "%s", why);
}

static bool is_lost(struct parley_run *run) {
    if (boot_now_ms() >= run->acknowledged_ms + run->lease_ms - run->lease_ms / MARGIN)
        lose(run, "its lease was not extended in time");
    return run->lost;
}

static json_t *extend_body(const struct parley_run *run) {
    json_t *body = body_of(run);
    json_object_set_new(body, "lease_ms", json_integer((json_int_t)run->lease_ms));
    return body;
}

static uint64_t extend_attempt_ms(const struct parley_run *run) {
    uint64_t ms = run->lease_ms / (2 * BEATS);
    return ms < run->client->options.attempt_ms ? ms : run->client->options.attempt_ms;
}

static void beat(struct timer *timer) {
    struct parley_run *run = CONTAINER_OF(timer, struct parley_run, beat);
    if (run->client->ended || run->extend.state != EXCHANGE_IDLE) return;
    run->extend.attempt_ms = extend_attempt_ms(run);
    run->extend.deadline_ms = run->acknowledged_ms + run->lease_ms;
    run->extend.repeatable = true;
    exchange_start(&run->extend, extend_body(run));
}

static void extended(struct exchange *x, enum outcome outcome, int status, const json_t *json) {
    struct parley_run *run = CONTAINER_OF(x, struct parley_run, extend);
    struct parley_problem problem;
    if (problem_outcome(x, outcome, status, json, &problem) != PARLEY_OK) {
        lose(run, problem.text);
    } else if (!is_lost(run)) {
        run->acknowledged_ms = x->sent_ms;
        timer_set(&run->beat, x->sent_ms + run->lease_ms / BEATS);
    }
}

// On the caller's thread, before it runs. false: another may run, or nobody knows.
static bool extend_now(struct parley_run *run) {
    struct calling calling;
    calling_init(&calling, run->client, "/v1/idempotency/extend");
    calling.exchange.repeatable = true;
    calling.exchange.attempt_ms = extend_attempt_ms(run);
    enum parley_error error = calling_run(&calling, extend_body(run));
    json_decref(calling.answer);
    if (error == PARLEY_OK) run->acknowledged_ms = calling.exchange.sent_ms;
    return error == PARLEY_OK && !is_lost(run);
}

// ---- begin

static json_t *begin_body(const struct parley_run *run, const struct parley_once_options *o, uint64_t wait_ms) {
    json_t *body = body_of(run);
    json_object_set_new(body, "owner", json_string(run->owner));
    json_object_set_new(body, "fingerprint", json_string(o->fingerprint != NULL ? o->fingerprint : ""));
    json_object_set_new(body, "lease_ms", json_integer((json_int_t)run->lease_ms));
    if (run->ttl_ms != 0) json_object_set_new(body, "ttl_ms", json_integer((json_int_t)run->ttl_ms));
    json_object_set_new(body, "wait_ms", json_integer((json_int_t)wait_ms));
    return body;
}

static bool read_stored(const json_t *json, struct parley_result *result) {
    const json_t *text = json_object_get(json, "body"), *base64 = json_object_get(json, "body_base64");
    struct writer w;
    writer_init(&w);
    bool good = base64 == NULL || base64_read(&w, bytes_of(json_string_value(base64), json_string_length(base64)));
    if (base64 == NULL) write_span(&w, bytes_of(json_string_value(text), json_string_length(text)));
    result->status = (uint32_t)json_integer_value(json_object_get(json, "status"));
    result->failed = json_is_true(json_object_get(json, "failed"));
    result->replayed = true;
    result->body_bytes = w.len;
    result->body = malloc(w.len + 1);
    if (result->body == NULL) abort();
    if (w.len > 0) memcpy(result->body, w.data, w.len);
    ((char *)result->body)[w.len] = 0;
    writer_free(&w);
    return good;
}

// PARLEY_OK: it runs here (token), or `result` has what is stored.
static enum parley_error begun(struct parley_run *run, const struct calling *calling, struct parley_result *result,
                               struct parley_problem *problem) {
    const struct exchange *x = &calling->exchange;
    const char *outcome = json_string_value(json_object_get(calling->answer, "outcome"));
    if (outcome != NULL && strcmp(outcome, "stored") == 0 && read_stored(calling->answer, result)) return PARLEY_OK;
    run->token = (uint64_t)json_integer_value(json_object_get(calling->answer, "token"));
    run->attempt = (uint32_t)json_integer_value(json_object_get(calling->answer, "attempt"));
    if (run->token == 0) {
        problem_set(problem, PARLEY_PROTOCOL, "");
        return PARLEY_PROTOCOL;
    }
    run->acknowledged_ms = x->sent_ms;
    bool fresh = x->attempts == 1 && boot_now_ms() < x->sent_ms + run->lease_ms / BEATS;
    if (fresh) return PARLEY_OK;
    if (extend_now(run)) return PARLEY_OK;
    run->token = 0; // it was lost before it began: the key is asked for anew
    run->lost = false;
    return PARLEY_OK;
}

static enum parley_error refusal(const struct parley_run *run, const struct calling *calling,
                                 struct parley_problem *problem) {
    enum parley_error error = calling->error;
    if (problem != NULL) *problem = calling->problem;
    if (error != PARLEY_UNKNOWN && error != PARLEY_NOT_APPLIED) return error;
    error = run->try_only || run->until_ms == NEVER ? PARLEY_NOT_APPLIED : PARLEY_TIMED_OUT; // nothing has run
    problem_set(problem, error, calling->exchange.trouble);
    return error;
}

static enum parley_error begin(struct parley_run *run, const struct parley_once_options *o,
                               struct parley_result *result, struct parley_problem *problem) {
    for (;;) {
        struct calling calling;
        uint64_t now_ms = boot_now_ms(), left_ms = run->until_ms > now_ms ? run->until_ms - now_ms : 0;
        uint64_t wait_ms = run->try_only ? 0 : left_ms < WAIT_MS_MAX ? left_ms : WAIT_MS_MAX;
        calling_init(&calling, run->client, "/v1/idempotency/begin");
        calling.exchange.repeatable = true; // the owner makes it one call
        if (wait_ms > 0) calling_wait(&calling, wait_ms);
        if (!run->try_only) calling.exchange.deadline_ms = run->until_ms == NEVER ? NEVER : now_ms + wait_ms + LATE_MS;
        enum parley_error error = calling_run(&calling, begin_body(run, o, wait_ms));
        bool again = error == PARLEY_CANCELLED || (error == PARLEY_TIMED_OUT && left_ms > wait_ms);
        if (error == PARLEY_OK) {
            error = begun(run, &calling, result, problem);
            again = error == PARLEY_OK && run->token == 0 && !result->replayed;
        } else if (!again) {
            error = refusal(run, &calling, problem);
        }
        json_decref(calling.answer);
        if (!again) return error;
    }
}

// ---- the end

static json_t *end_body(const struct parley_run *run, enum parley_run_end end, const struct parley_result *result) {
    json_t *body = body_of(run);
    if (end == PARLEY_RUN_AGAIN) return body;
    if (end == PARLEY_RUN_FAILED) json_object_set_new(body, "store", json_true());
    json_object_set_new(body, "status", json_integer(result->status));
    if (result->body_bytes == 0) return body;
    bool zero = memchr(result->body, 0, result->body_bytes) != NULL;
    json_t *text = zero ? NULL : json_stringn(result->body, result->body_bytes); // NULL if it is no UTF-8
    if (text == NULL) {
        struct writer w;
        writer_init(&w);
        base64_write(&w, bytes_of(result->body, result->body_bytes));
        json_object_set_new(body, "body_base64", json_stringn((const char *)w.data, w.len));
        writer_free(&w);
    } else {
        json_object_set_new(body, "body", text);
    }
    return body;
}

static enum parley_error store(struct parley_run *run, enum parley_run_end end, const struct parley_result *result,
                               struct parley_problem *problem) {
    struct calling calling;
    bool done = end == PARLEY_RUN_DONE;
    calling_init(&calling, run->client, done ? "/v1/idempotency/complete" : "/v1/idempotency/fail");
    calling.exchange.repeatable = true; // alike, it is stored once
    uint64_t lease_end_ms = run->acknowledged_ms + run->lease_ms;
    if (calling.exchange.deadline_ms < lease_end_ms) calling.exchange.deadline_ms = lease_end_ms;
    enum parley_error error = calling_run(&calling, end_body(run, end, result));
    json_decref(calling.answer);
    if (problem != NULL) *problem = calling.problem;
    if (error == PARLEY_NOT_HELD || error == PARLEY_NOT_APPLIED) {
        error = PARLEY_LOST;
        problem_set(problem, error, calling.problem.text);
    }
    if (end == PARLEY_RUN_AGAIN && error != PARLEY_CLOSED) { // if the key is not free now, it is when the lease is over
        error = PARLEY_CANCELLED;
        problem_set(problem, error, "the function gave up");
    }
    return error;
}

static enum parley_error end_run(struct parley_run *run, enum parley_run_end end, const struct parley_result *result,
                                 struct parley_problem *problem) {
    if (result->body_bytes > BODY_BYTES_MAX || (unsigned)end > PARLEY_RUN_AGAIN) {
        problem_set(problem, PARLEY_BAD_ARGUMENTS, "a result has at most 65,536 bytes");
        return PARLEY_BAD_ARGUMENTS;
    }
    if (is_lost(run)) {
        problem_set(problem, PARLEY_LOST, run->why);
        return PARLEY_LOST;
    }
    return store(run, end, result, problem);
}

// ---- the call

static bool good(const char *key, const struct parley_once_options *o) {
    if (key == NULL || !text_good(key, 1, KEY_BYTES_MAX)) return false;
    if (o->fingerprint != NULL && !text_good(o->fingerprint, 0, FINGERPRINT_BYTES_MAX)) return false;
    if (o->lease_ms != 0 && (o->lease_ms < LEASE_MS_MIN || o->lease_ms > LEASE_MS_MAX)) return false;
    return o->ttl_ms <= TTL_MS_MAX && (o->wait_ms <= TTL_MS_MAX || o->wait_ms == PARLEY_TRY);
}

static void run_init(struct parley_run *run, struct parley_client *client, const char *key,
                     const struct parley_once_options *o) {
    uint64_t random[2];
    *run = (struct parley_run){.client = client, .key = key, .try_only = o->wait_ms == PARLEY_TRY};
    if (getrandom(random, sizeof random, 0) != sizeof random) abort();
    snprintf(run->owner, sizeof run->owner, "%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    run->lease_ms = o->lease_ms != 0 ? o->lease_ms : LEASE_MS_STANDARD;
    run->ttl_ms = o->ttl_ms;
    run->until_ms = o->wait_ms == 0 ? NEVER : boot_now_ms() + (run->try_only ? 0 : o->wait_ms);
    exchange_init(&run->extend, client, "/v1/idempotency/extend", extended);
    timer_init(&run->beat, client, beat);
}

enum parley_error parley_once(struct parley_client *client, const char *key, const struct parley_once_options *options,
                              parley_run_fn function, void *context, struct parley_result *result,
                              struct parley_problem *problem) {
    static const struct parley_once_options standard;
    const struct parley_once_options *o = options != NULL ? options : &standard;
    struct parley_run run;
    *result = (struct parley_result){0};
    if (!good(key, o)) {
        problem_set(problem, PARLEY_BAD_ARGUMENTS, "the key, or an option, is out of its bounds");
        return PARLEY_BAD_ARGUMENTS;
    }
    pthread_mutex_lock(&client->mutex);
    client->references++;
    run_init(&run, client, key, o);
    enum parley_error error = begin(&run, o, result, problem);
    if (error == PARLEY_OK && !result->replayed) {
        timer_set(&run.beat, run.acknowledged_ms + run.lease_ms / BEATS);
        pthread_mutex_unlock(&client->mutex);
        enum parley_run_end end = function(context, &run, result);
        pthread_mutex_lock(&client->mutex);
        result->failed = end == PARLEY_RUN_FAILED;
        result->replayed = false;
        error = end_run(&run, end, result, problem);
        timer_stop(&run.beat);
        exchange_stop(&run.extend);
    }
    client_release(client);
    return error;
}

uint64_t parley_run_token(const struct parley_run *run) {
    return run->token;
}
uint32_t parley_run_attempt(const struct parley_run *run) {
    return run->attempt;
}
bool parley_run_lost(struct parley_run *run) {
    pthread_mutex_lock(&run->client->mutex);
    bool lost = is_lost(run);
    pthread_mutex_unlock(&run->client->mutex);
    return lost;
}
