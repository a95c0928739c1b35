// Elections. Who leads, or is in line, has a hold of its own kind (hold.c): a handle as that of a lock.
#include "base/alloc.h"
#include "client/internal.h"
#include <stdio.h>
#include <string.h>

#define VALUE_BYTES_MAX 1024u
#define OBSERVE_MS_MAX (3600ull * 1000)

static bool campaign_good(const char *name, const char *value, const struct parley_election_options *given,
                          struct parley_lock_options *o, struct parley_problem *problem) {
    static const struct parley_election_options standard;
    const struct parley_election_options *e = given != NULL ? given : &standard;
    *o = (struct parley_lock_options){.wait_ms = e->wait_ms,
                                      .delay_ms = e->delay_ms,
                                      .owner = e->candidate,
                                      .on_lost = e->on_lost,
                                      .context = e->context};
    if (!lock_options_good(name, o, problem)) return false;
    o->mode = HOLD_LEADS;
    if (text_good(value, 0, VALUE_BYTES_MAX)) return true;
    problem_set(problem, PARLEY_BAD_ARGUMENTS, "a value has at most 1,024 bytes of UTF-8");
    return false;
}

enum parley_error parley_campaign(struct parley_client *client, const char *name, const char *value,
                                  const struct parley_election_options *options, struct parley_lock **lead,
                                  struct parley_problem *problem) {
    struct parley_lock_options o;
    *lead = NULL;
    if (!campaign_good(name, value, options, &o, problem)) return PARLEY_BAD_ARGUMENTS;
    return lock_take(client, name, &o, value, lead, problem);
}

enum parley_error parley_campaign_async(struct parley_client *client, const char *name, const char *value,
                                        const struct parley_election_options *options, parley_done_fn on_done,
                                        void *context, struct parley_lock **lead, struct parley_problem *problem) {
    struct parley_lock_options o;
    *lead = NULL;
    if (!campaign_good(name, value, options, &o, problem)) return PARLEY_BAD_ARGUMENTS;
    return lock_take_async(client, name, &o, value, on_done, context, lead, problem);
}

static json_t *proclaim_body(const struct hold *hold, const char *value) {
    json_t *body = session_body(hold->client);
    json_object_set_new(body, "name", json_string(hold->name));
    json_object_set_new(body, "candidate", json_string(hold->owner));
    json_object_set_new(body, "token", json_integer((json_int_t)hold->token));
    json_object_set_new(body, "value", json_string(value));
    return body;
}

// With the mutex held.
static enum parley_error proclaim(struct parley_lock *lead, const char *value, struct calling *calling) {
    struct parley_client *client = lead->client;
    session_check(client);
    calling_init(calling, client, "/v1/election/proclaim");
    problem_set(&calling->problem, PARLEY_LOST, lead->why_lost);
    if (lead->state != PARLEY_LOCK_HELD) return lead->state == PARLEY_LOCK_LOST ? PARLEY_LOST : PARLEY_NOT_HELD;
    if (lead->hold->mode != HOLD_LEADS || !text_good(value, 0, VALUE_BYTES_MAX)) {
        problem_set(&calling->problem, PARLEY_BAD_ARGUMENTS, "a lead, and a value of at most 1,024 bytes of UTF-8");
        return PARLEY_BAD_ARGUMENTS;
    }
    calling->exchange.repeatable = true; // the same value twice is once
    enum parley_error error = calling_run(calling, proclaim_body(lead->hold, value));
    if (error == PARLEY_OK && lead->hold != NULL) {
        mem_free(lead->hold->value);
        lead->hold->value = mem_strdup(value);
    }
    return error == PARLEY_NOT_HELD ? PARLEY_LOST : error;
}

enum parley_error parley_proclaim(struct parley_lock *lead, const char *value, struct parley_problem *problem) {
    struct parley_client *client = lead->client;
    struct calling calling;
    pthread_mutex_lock(&client->mutex);
    client->references++;
    enum parley_error error = proclaim(lead, value, &calling);
    client_release(client);
    json_decref(calling.answer);
    if (error != PARLEY_OK && problem != NULL) *problem = calling.problem;
    if (error != PARLEY_OK && problem != NULL) problem->error = error;
    return error;
}

static void copy(char *to, size_t size, const json_t *json, const char *member) {
    const char *text = json_string_value(json_object_get(json, member));
    snprintf(to, size, "%s", text != NULL ? text : "");
}

static uint64_t number(const json_t *json, const char *member) {
    return (uint64_t)json_integer_value(json_object_get(json, member));
}

enum parley_error parley_observe(struct parley_client *client, const char *name, uint64_t wait_ms,
                                 struct parley_leader *leader, struct parley_problem *problem) {
    struct calling calling;
    if (!text_good(name, 1, 255) || wait_ms > OBSERVE_MS_MAX) {
        problem_set(problem, PARLEY_BAD_ARGUMENTS, "a name has 1 to 255 bytes of UTF-8, a wait an hour at most");
        return PARLEY_BAD_ARGUMENTS;
    }
    json_t *body = json_object();
    json_object_set_new(body, "name", json_string(name));
    if (wait_ms > 0) {
        json_object_set_new(body, "version", json_integer((json_int_t)leader->version));
        json_object_set_new(body, "wait_ms", json_integer((json_int_t)wait_ms));
    }
    pthread_mutex_lock(&client->mutex);
    client->references++;
    calling_init(&calling, client, wait_ms > 0 ? "/v1/election/observe" : "/v1/election/leader");
    calling.exchange.repeatable = true;
    if (wait_ms > 0) calling_wait(&calling, wait_ms);
    enum parley_error error = calling_run(&calling, body);
    client_release(client);
    if (error == PARLEY_OK) {
        leader->elected = json_is_true(json_object_get(calling.answer, "elected"));
        leader->token = number(calling.answer, "token");
        leader->version = number(calling.answer, "version");
        copy(leader->candidate, sizeof leader->candidate, calling.answer, "candidate");
        copy(leader->value, sizeof leader->value, calling.answer, "value");
    } else if (problem != NULL) {
        *problem = calling.problem;
    }
    json_decref(calling.answer);
    return error;
}
