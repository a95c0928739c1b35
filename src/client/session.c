// The client's session: made when the first lock wants one, kept alive by the loop, lost by the clock at the latest.
//
// A keep-alive that is acknowledged proves that the session lives until its time-out after the keep-alive was SENT.
// That bound, less a margin for clocks that run at different speeds and for whoever has to hear of the loss, is the
// deadline.
#include "client/internal.h"
#include <stdio.h>
#include <string.h>

#define BEATS 3u   // keep-alives in a time-out
#define MARGIN 20u // a part of the time-out

static void beat(struct timer *timer);
static void expire(struct timer *timer);
static void created(struct exchange *x, enum outcome outcome, int status, const json_t *json);
static void kept(struct exchange *x, enum outcome outcome, int status, const json_t *json);

void session_init(struct parley_client *client) {
    struct session *s = &client->session;
    exchange_init(&s->create, client, "/v1/session/create", created);
    exchange_init(&s->keepalive, client, "/v1/session/keepalive", kept);
    s->keepalive.reserved = true;
    timer_init(&s->beat, client, beat);
    timer_init(&s->expiry, client, expire);
}

json_t *session_body(const struct parley_client *client) {
    json_t *body = json_object();
    json_object_set_new(body, "session", json_string(client->session.text));
    return body;
}

void session_want(struct parley_client *client) {
    struct session *s = &client->session;
    if (s->state != SESSION_NONE || client->closing) return;
    s->state = SESSION_CREATING;
    s->create.attempt_ms = client->options.attempt_ms;
    s->create.repeatable = true; // one that nobody was told of ends by itself
    json_t *body = json_object();
    json_object_set_new(body, "ttl_ms", json_integer(client->options.session_ttl_ms));
    exchange_start(&s->create, body);
}

// It lives until ttl_ms after this moment of ours. false: that is over already.
static bool acknowledged(struct parley_client *client, uint64_t sent_ms) {
    struct session *s = &client->session;
    s->deadline_ms = sent_ms + s->ttl_ms - s->ttl_ms / MARGIN;
    if (!session_check(client)) return false;
    timer_set(&s->beat, sent_ms + s->ttl_ms / BEATS);
    timer_set(&s->expiry, s->deadline_ms);
    return true;
}

static void created(struct exchange *x, enum outcome outcome, int status, const json_t *json) {
    struct parley_client *client = x->timer.client;
    struct session *s = &client->session;
    struct parley_problem problem;
    const char *text = json_string_value(json_object_get(json, "session"));
    s->state = SESSION_NONE;
    if (problem_outcome(x, outcome, status, json, &problem) != PARLEY_OK || text == NULL) {
        if (status == 200) problem_set(&problem, PARLEY_PROTOCOL, "");
        s->problem = problem;
        s->failures++;
        pthread_cond_broadcast(&client->session_changed);
        holds_session_failed(client, &problem);
        return;
    }
    snprintf(s->text, sizeof s->text, "%s", text);
    s->ttl_ms = (uint64_t)json_integer_value(json_object_get(json, "ttl_ms"));
    if (s->ttl_ms == 0) s->ttl_ms = client->options.session_ttl_ms;
    s->state = SESSION_LIVE;
    pthread_cond_broadcast(&client->session_changed);
    if (acknowledged(client, x->sent_ms)) holds_session_ready(client);
}

static void beat(struct timer *timer) {
    struct session *s = &timer->client->session;
    if (s->keepalive.state != EXCHANGE_IDLE) return;
    s->keepalive.attempt_ms = s->ttl_ms / (2 * BEATS);
    if (s->keepalive.attempt_ms > timer->client->options.attempt_ms)
        s->keepalive.attempt_ms = timer->client->options.attempt_ms;
    s->keepalive.repeatable = s->keepalive.of_session = true;
    exchange_start(&s->keepalive, session_body(timer->client)); // until it is answered, or the session's time is over
}

static void kept(struct exchange *x, enum outcome outcome, int status, const json_t *json) {
    struct parley_client *client = x->timer.client;
    if (!session_check(client)) return; // by its former deadline: what was told lost does not come back
    if (status == 200) {
        if (acknowledged(client, x->sent_ms)) holds_kept_alive(client);
    } else {
        struct parley_problem problem;
        problem_outcome(x, outcome, status, json, &problem);
        session_lost(client, problem.text);
    }
}

static void expire(struct timer *timer) {
    session_check(timer->client);
}

bool session_check(struct parley_client *client) {
    struct session *s = &client->session;
    if (s->state != SESSION_LIVE) return false;
    if (boot_now_ms() < s->deadline_ms) return true;
    char why[300];
    snprintf(why, sizeof why, "the session was not acknowledged in time%s%.220s",
             s->keepalive.trouble[0] != 0 ? ": " : "", s->keepalive.trouble);
    session_lost(client, why);
    return false;
}

void session_stop(struct parley_client *client) {
    struct session *s = &client->session;
    exchange_stop(&s->create);
    exchange_stop(&s->keepalive);
    timer_stop(&s->beat);
    timer_stop(&s->expiry);
    s->state = SESSION_NONE;
}

void session_lost(struct parley_client *client, const char *why) {
    if (client->session.state != SESSION_LIVE) return;
    session_stop(client);
    holds_session_lost(client, why);
}
