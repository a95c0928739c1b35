// Calls that block: any operation by name, and what the library asks itself on a caller's thread.
#include "base/assert.h"
#include "client/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MARGIN_MS 5000u // a server answers so long behind the waiting time at the latest
#define WAIT_MS_MAX (30ull * 24 * 3600 * 1000)

static void called(struct exchange *x, enum outcome outcome, int status, const json_t *json) {
    struct calling *calling = CONTAINER_OF(x, struct calling, exchange);
    calling->error = problem_outcome(x, outcome, status, json, &calling->problem);
    if (calling->error == PARLEY_OK) calling->answer = json_incref((json_t *)(uintptr_t)json);
    struct parley_client *client = x->timer.client;
    bool ours = calling->session[0] != 0 && strcmp(calling->session, client->session.text) == 0;
    if (ours && strcmp(problem_name(json), "session-expired") == 0) session_lost(client, calling->problem.text);
    calling->over = true;
    pthread_cond_signal(&calling->changed);
}

void calling_init(struct calling *calling, struct parley_client *client, const char *path) {
    memset(calling, 0, sizeof *calling);
    exchange_init(&calling->exchange, client, path, called);
    calling->exchange.deadline_ms = boot_now_ms() + client->options.call_ms;
    calling->exchange.attempt_ms = client->options.attempt_ms;
}

enum parley_error calling_run(struct calling *calling, json_t *body) {
    struct parley_client *client = calling->exchange.timer.client;
    if (client->ended) {
        json_decref(body);
        problem_set(&calling->problem, PARLEY_CLOSED, "");
        return calling->error = PARLEY_CLOSED;
    }
    const char *session = json_string_value(json_object_get(body, "session"));
    if (session != NULL && client->session.state == SESSION_LIVE && strcmp(session, client->session.text) == 0)
        snprintf(calling->session, sizeof calling->session, "%s", session);
    calling->exchange.of_session = calling->exchange.repeatable && calling->session[0] != 0;
    cond_init(&calling->changed);
    exchange_start(&calling->exchange, body);
    while (!calling->over) wait_until(&calling->changed, &client->mutex, NEVER);
    pthread_cond_destroy(&calling->changed);
    return calling->error;
}

void calling_wait(struct calling *calling, uint64_t wait_ms) {
    struct exchange *x = &calling->exchange;
    x->waits = wait_ms > 0;
    x->attempt_ms = wait_ms + WAIT_MARGIN_MS;
    x->deadline_ms += wait_ms;
}

// wait_ms 0: of an operation that does not wait.
static enum parley_error run(struct parley_client *client, const char *path, json_t *body, uint64_t wait_ms,
                             bool repeatable, char **answer, struct parley_problem *problem) {
    struct calling calling;
    pthread_mutex_lock(&client->mutex);
    client->references++;
    calling_init(&calling, client, path);
    calling.exchange.repeatable = repeatable;
    if (wait_ms > 0) calling_wait(&calling, wait_ms);
    calling_run(&calling, body);
    client_release(client);
    if (calling.error == PARLEY_OK) *answer = json_dumps(calling.answer, JSON_COMPACT);
    json_decref(calling.answer);
    if (calling.error != PARLEY_OK && problem != NULL) *problem = calling.problem;
    return calling.error;
}

static enum parley_error ask(struct parley_client *client, const char *operation, const char *body, uint64_t wait_ms,
                             bool repeatable, char **answer, struct parley_problem *problem) {
    char path[128];
    json_error_t wrong;
    *answer = NULL;
    int len = snprintf(path, sizeof path, "/v1/%s", operation);
    json_t *json = json_loads(body != NULL ? body : "{}", 0, &wrong);
    bool good = json_is_object(json) && (size_t)len < sizeof path && wait_ms <= WAIT_MS_MAX &&
                strcspn(operation, " \r\n?#") == strlen(operation);
    if (!good) {
        json_decref(json);
        problem_set(problem, PARLEY_BAD_ARGUMENTS,
                    "the operation is MODEL/NAME, the body a JSON object; a wait takes 30 days at most");
        return PARLEY_BAD_ARGUMENTS;
    }
    if (wait_ms > 0) json_object_set_new(json, "wait_ms", json_integer((json_int_t)wait_ms));
    return run(client, path, json, wait_ms, repeatable, answer, problem);
}

enum parley_error parley_call(struct parley_client *client, const char *operation, const char *body, bool repeatable,
                              char **answer, struct parley_problem *problem) {
    return ask(client, operation, body, 0, repeatable, answer, problem);
}

enum parley_error parley_call_wait(struct parley_client *client, const char *operation, const char *body,
                                   uint64_t wait_ms, bool repeatable, char **answer, struct parley_problem *problem) {
    return ask(client, operation, body, wait_ms, repeatable, answer, problem);
}

enum parley_error parley_verify(struct parley_client *client, const char *name, uint64_t token, bool *valid,
                                struct parley_problem *problem) {
    json_t *body = json_pack("{s:s, s:I}", "name", name, "token", (json_int_t)token);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL, *answer = NULL;
    json_error_t wrong;
    json_decref(body);
    *valid = false;
    if (text == NULL) {
        problem_set(problem, PARLEY_BAD_ARGUMENTS, "a name is UTF-8");
        return PARLEY_BAD_ARGUMENTS;
    }
    enum parley_error error = parley_call(client, "lock/verify", text, true, &answer, problem);
    json_t *json = answer != NULL ? json_loads(answer, 0, &wrong) : NULL;
    *valid = json_is_true(json_object_get(json, "valid"));
    json_decref(json);
    free(answer);
    free(text);
    return error;
}

enum parley_error parley_session(struct parley_client *client, char text[PARLEY_SESSION_BYTES],
                                 struct parley_problem *problem) {
    struct session *s = &client->session;
    enum parley_error error = PARLEY_OK;
    text[0] = 0;
    pthread_mutex_lock(&client->mutex);
    client->references++;
    uint64_t until_ms = boot_now_ms() + client->options.call_ms, failures = s->failures;
    while (!session_check(client)) {
        bool failed = s->failures != failures;
        if (client->closing || failed || boot_now_ms() >= until_ms) {
            error = client->closing ? PARLEY_CLOSED : failed ? s->problem.error : PARLEY_NOT_APPLIED;
            problem_set(problem, error, s->create.trouble);
            if (failed && !client->closing && problem != NULL) *problem = s->problem;
            break;
        }
        session_want(client);
        wait_until(&client->session_changed, &client->mutex, until_ms);
    }
    if (error == PARLEY_OK) snprintf(text, PARLEY_SESSION_BYTES, "%s", s->text);
    client_release(client);
    return error;
}
