// One operation, asked of one server after the other until its outcome is known or its time is over.
//
//   start --> ASKS --> an answer that ends it: done
//              | ^
//              v |     "not applied" (503), no connection: certainly not done
//            PAUSES    "unknown" (504), no answer, a broken connection: repeated only if it is repeatable
#include "base/assert.h"
#include "client/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MS 50u // after all servers were asked; doubled each time
#define PAUSE_DOUBLINGS_MAX 4u

static void attempt(struct exchange *x);
static void fire(struct timer *timer);

void exchange_init(struct exchange *x, struct parley_client *client, const char *path,
                   void (*done)(struct exchange *, enum outcome, int, const json_t *)) {
    memset(x, 0, sizeof *x);
    list_init(&x->link);
    timer_init(&x->timer, client, fire);
    x->path = path;
    x->done = done;
    x->deadline_ms = NEVER;
}

static void reset(struct exchange *x) {
    struct connection *c = x->connection;
    x->connection = NULL;
    if (c != NULL) connection_drop(c);
    timer_stop(&x->timer);
    list_remove(&x->link);
    x->state = EXCHANGE_IDLE;
    free(x->body);
    x->body = NULL;
}

void exchange_stop(struct exchange *x) {
    if (x->state != EXCHANGE_IDLE) reset(x);
}

static void end(struct exchange *x, enum outcome outcome, int status, const json_t *json) {
    reset(x);
    x->done(x, outcome, status, json); // may free it
}

static void pause_for(struct exchange *x, uint64_t ms) {
    uint64_t now_ms = boot_now_ms();
    x->state = EXCHANGE_PAUSES;
    timer_set(&x->timer, now_ms + ms < x->deadline_ms ? now_ms + ms : x->deadline_ms);
}

// The pause before the next attempt: none until all servers were asked, then longer and longer, and not all alike.
static uint64_t next_pause_ms(struct exchange *x) {
    struct parley_client *client = x->timer.client;
    unsigned rounds = x->attempts / (unsigned)client->server_count;
    if (x->attempts % client->server_count != 0 || rounds == 0) return 0;
    unsigned doublings = rounds - 1 < PAUSE_DOUBLINGS_MAX ? rounds - 1 : PAUSE_DOUBLINGS_MAX;
    uint64_t most_ms = (uint64_t)PAUSE_MS << doublings;
    return most_ms / 2 + prng_below(&client->prng, most_ms / 2 + 1);
}

static void leave_server(struct exchange *x) { // unless another exchange has left it already
    struct parley_client *client = x->timer.client;
    if (client->at == x->server) client->at = (x->server + 1) % client->server_count;
}

static void again(struct exchange *x, const char *why, bool maybe_done) {
    x->connection = NULL;
    x->maybe_done |= maybe_done;
    snprintf(x->trouble, sizeof x->trouble, "%s", why);
    if (maybe_done && !x->repeatable)
        end(x, OUTCOME_UNKNOWN, 0, NULL);
    else
        pause_for(x, next_pause_ms(x));
}

// A server that does not answer: what else of the session was sent to it is asked elsewhere too, since the session
// goes.
static void leave_silent(struct exchange *x, const char *why) {
    struct parley_client *client = x->timer.client;
    size_t silent = x->server;
    struct list *next;
    if (client->at != silent) return;
    leave_server(x);
    for (struct list *at = client->exchanges.next; at != &client->exchanges; at = next) {
        struct exchange *other = CONTAINER_OF(at, struct exchange, link);
        next = at->next;
        if (other == x || !other->of_session || other->server != silent || other->connection == NULL) continue;
        ENSURE(other->repeatable); // so that none ends, and the list's next one stays
        bool sent = other->connection->sent;
        connection_drop(other->connection);
        again(other, why, sent);
    }
}

static void fire(struct timer *timer) {
    struct exchange *x = CONTAINER_OF(timer, struct exchange, timer);
    struct connection *c = x->connection;
    if (c != NULL) {
        char why[256];
        bool sent = c->sent;
        snprintf(why, sizeof why, "%.200s: no answer in time", c->server->text);
        connection_drop(c);
        if (!x->waits) leave_silent(x, why);
        again(x, why, sent);
    } else if (boot_now_ms() >= x->deadline_ms) {
        end(x, x->maybe_done ? OUTCOME_UNKNOWN : OUTCOME_NOT_APPLIED, 0, NULL);
    } else {
        attempt(x);
    }
}

static uint64_t until(const struct exchange *x, uint64_t ms) {
    return ms > NEVER - x->sent_ms || x->sent_ms + ms > x->deadline_ms ? x->deadline_ms : x->sent_ms + ms;
}

static void attempt(struct exchange *x) {
    struct parley_client *client = x->timer.client;
    char why[256] = "";
    x->state = EXCHANGE_ASKS;
    x->attempts++;
    x->server = client->at;
    x->sent_ms = boot_now_ms();
    struct server *server = &client->servers[x->server];
    x->connection = connection_request(client, server, x, x->path, x->body, why);
    if (x->connection == NULL) {
        leave_server(x);
        again(x, why, false); // certainly not done, so it pauses
    } else if (x->connection->state == CONNECTION_CONNECTS && client->options.connect_ms < x->attempt_ms) {
        timer_set(&x->timer, until(x, client->options.connect_ms));
    } else {
        timer_set(&x->timer, until(x, x->attempt_ms));
    }
}

void exchange_connected(struct exchange *x) {
    timer_set(&x->timer, until(x, x->attempt_ms));
}

void exchange_start(struct exchange *x, json_t *body) {
    ENSURE(x->state == EXCHANGE_IDLE);
    x->body = json_dumps(body, JSON_COMPACT);
    ENSURE(x->body != NULL);
    json_decref(body);
    x->attempts = 0;
    x->maybe_done = false;
    x->trouble[0] = 0;
    list_push_back(&x->timer.client->exchanges, &x->link);
    attempt(x);
}

void exchange_broke(struct exchange *x, const char *why, bool sent) {
    x->connection = NULL;
    leave_server(x);
    again(x, why, sent);
}

void exchange_answered(struct exchange *x, int status, struct bytes body) {
    json_error_t ignored;
    x->connection = NULL;
    json_t *json = json_loadb((const char *)body.data, body.len, JSON_DISABLE_EOF_CHECK, &ignored);
    const char *name = problem_name(json);
    struct parley_problem problem;
    if (status == 503 || status == 504) {
        problem_read(status, json, &problem);
        leave_server(x);
        again(x, problem.text, status == 504);
    } else if (status == 409 && strcmp(name, "session-moved") == 0) { // not done; it is ours, so asked once more
        again(x, "the session was attached anew", false);
    } else if (status == 409 &&
               strcmp(name, "superseded") == 0) { // by an attempt of ours that was overtaken by this one
        again(x, "an older attempt came behind this one", false);
    } else {
        end(x, OUTCOME_ANSWERED, status, json);
    }
    json_decref(json);
}
