// Agents and calls: see native_internal.h. A call ends in exactly one of call_answer, call_fail and, when its
// connection has gone, call_drop. An agent ends when its client does: its session ended or moved, nobody acknowledged
// it in time, or another state took the place of the one that its calls hang on. What was under way then is "unknown".
#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "model/idempotency/idempotency.h"
#include "protocol/http/native_internal.h"
#include <stdio.h>
#include <string.h>

static const struct protocol agent_protocol;

// ---- calls

static bool number_matches(const struct hash_node *node, const void *key) {
    return node->hash == *(const uint64_t *)key;
}

struct http_call *call_waiting_for(struct http_instance *instance, uint64_t number) {
    struct hash_node *node = hash_find(&instance->numbers, number, number_matches, &number);
    if (node == NULL) return NULL;
    struct http_call *call = CONTAINER_OF(node, struct http_call, by_number);
    call_unfold(call);
    return call;
}

static bool is_under_way(enum call_state state) {
    return state == CALL_SUBMITTED || state == CALL_READS;
}

static void set_state(struct http_call *call, enum call_state state, struct list *list) {
    if (call->numbered) hash_remove(&call->agent->instance->numbers, &call->by_number);
    call->numbered = false;
    int more = is_under_way(state) - is_under_way(call->state);
    call->state = (uint8_t)state;
    list_remove(&call->of_agent);
    if (list != NULL) list_push_back(list, &call->of_agent);
    if (more != 0) http_commands(call->agent->instance, more);
}

void call_dispose(struct http_instance *instance, struct http_call *call) {
    if (call->is_folded) {
        mem_free(call->folded);
    } else {
        json_decref(call->open->body);
        json_decref(call->open->answer);
        mem_free(call->open->once);
        mem_free(call->open);
    }
    pool_give(&instance->calls, call);
}

static void call_free(struct http_call *call) {
    set_state(call, CALL_GATED, NULL);
    call_dispose(call->agent->instance, call);
}

void call_end(struct http_call *call) {
    call_free(call);
}

// Its connection has gone. What was got under an Idempotency-Key stays: the same request gets it.
static void call_drop(struct http_call *call) {
    set_state(call, CALL_GATED, NULL);
    bool keyed = !call->is_folded && call->open->once != NULL;
    if (call->operation->gone == NULL || keyed || call->agent->state != AGENT_READY || call->cleans_up ||
        PLANTED(NATIVE_WAIT_OUTLIVES_CONNECTION)) {
        call_free(call);
        return;
    }
    call->cleans_up = true;
    call_unfold(call);
    call->operation->gone(call);
}

void call_gone(struct http_call *call) {
    if (call->state != CALL_SUBMITTED) call_drop(call); // else its answer says what there is to give back
}

static void deliver(struct http_call *call) {
    struct http_connection *c = http_wait_end(&call->waiting);
    if (c != NULL) {
        c->retry_after_s = (call->open->retry_after_ms + 999) / 1000;
        http_answer_compact(c, call->open->status, "application/json", call->open->answer);
        call->open->answer = NULL; // taken
    }
    call_free(call);
}

void call_answer(struct http_call *call, int status, json_t *json) {
    struct http_agent *agent = call->agent;
    call->open->status = status;
    call->open->answer = json;
    if (call->waiting.connection == NULL) {
        call_drop(call);
    } else if (agent->session != 0 && agent->state == AGENT_READY && !client_may_tell(agent->client)) {
        set_state(call, CALL_GATED, &agent->timed); // it would say that the session lives
    } else {
        deliver(call);
    }
}

void call_answer_text(struct http_call *call, struct writer *w) {
    struct http_agent *agent = call->agent;
    write_span(w, bytes_of("}\n", 2));
    bool gated = agent->session != 0 && agent->state == AGENT_READY && !client_may_tell(agent->client);
    if (call->waiting.connection == NULL || gated) { // who gives back what nobody hears of, looks into it
        json_t *json = json_loadb((const char *)w->data, w->len, 0, NULL);
        ENSURE(json != NULL);
        call_answer(call, 200, json);
    } else {
        struct http_connection *c = http_wait_end(&call->waiting);
        c->retry_after_s = (call->open->retry_after_ms + 999) / 1000;
        http_answer(c, 200, "application/json", bytes_of(w->data, w->len));
        call_free(call);
    }
    writer_free(w);
}

void call_fail(struct http_call *call, const char *error, const char *detail, json_t *members) {
    struct http_connection *c = http_wait_end(&call->waiting);
    if (c != NULL)
        http_problem(c, error, detail, members);
    else
        json_decref(members);
    call_free(call);
}

void call_fail_command(struct http_call *call, int error) {
    const char *name = error == COMMAND_NOT_APPLIED       ? "not-applied"
                       : error == COMMAND_SESSION_EXPIRED ? "session-expired"
                       : error == COMMAND_SESSION_MOVED   ? "session-moved"
                       : error == COMMAND_TOO_LARGE       ? "too-large"
                       : error == COMMAND_FULL            ? "disk-full"
                       : error == COMMAND_LEVEL           ? "level"
                       : error == COMMAND_MEMORY          ? "memory-full"
                       : error == COMMAND_BAD_COMMAND     ? "bad-request"
                                                          : "unknown";
    call_fail(call, name, command_error_text(error), NULL);
}

// The command goes to the machine inside of one that looks for the key first. false: it takes no key, and the call was
// answered.
static bool wrap(struct http_call *call, struct writer *w) {
    const struct native_once *asked = call->open->once;
    struct idempotency_once once = {.key = bytes_of(asked->key, asked->key_len),
                                    .fingerprint = bytes_of(asked->fingerprint, sizeof asked->fingerprint),
                                    .ttl_ms = NATIVE_ONCE_TTL_MS,
                                    .command = bytes_of(w->data, w->len)};
    struct command inner;
    struct writer outer;
    writer_init(&outer);
    ENSURE(command_read(&inner, once.command));
    if (!model_table(inner.model)->keeper->keeps(&inner)) {
        char detail[256];
        ENSURE(call->operation->keyed_if != NULL);
        snprintf(detail, sizeof detail, "this operation takes an Idempotency-Key %s", call->operation->keyed_if);
        writer_free(w);
        call_fail(call, "bad-request", detail, NULL);
        return false;
    }
    idempotency_write_once(&outer, inner.session, inner.attach, &once);
    writer_free(w);
    *w = outer;
    return true;
}

static void fail_once(struct http_call *call, int error) {
    call_fail(call,
              error == IDEMPOTENCY_MISMATCH ? "mismatch"
              : error == IDEMPOTENCY_LIMIT  ? "limit"
                                            : "bad-request",
              error == IDEMPOTENCY_MISMATCH ? "this Idempotency-Key was used for another request"
              : error == IDEMPOTENCY_LIMIT  ? "more Idempotency-Keys than are remembered at once"
                                            : NULL,
              NULL);
}

void call_submit(struct http_call *call, struct writer *w) {
    if (call->open->once != NULL && !wrap(call, w)) return;
    set_state(call, CALL_SUBMITTED, &call->agent->submitted);
    call->open->tag = client_submit(call->agent->client, bytes_of(w->data, w->len));
    writer_free(w);
}

void agent_submit(struct http_agent *agent, struct writer *w) {
    client_submit(agent->client, bytes_of(w->data, w->len));
    writer_free(w);
}

void call_read(struct http_call *call) {
    call_unfold(call);
    set_state(call, CALL_READS, &call->agent->reading);
    call->open->tag = client_read_index(call->agent->client);
}

static void set_number(struct http_call *call, uint64_t number) {
    ENSURE(!call->numbered);
    call->numbered = true;
    hash_insert(&call->agent->instance->numbers, &call->by_number, number);
}

void call_set_number(struct http_call *call, uint64_t number) {
    if (!call->numbered) call->by_number.hash = number; // else it has come with that number
}

uint64_t call_until(struct http_call *call, uint64_t wait_ms) {
    if (call->until_ms == 0) call->until_ms = call->open->since_ms + wait_ms;
    return call->until_ms;
}

void call_cancel(struct http_call *call, struct writer *w, uint64_t number) {
    call_submit(call, w);
    set_number(call, number);
}

void call_wait(struct http_call *call, uint64_t number) {
    call_set_number(call, number);
    mem_free(call->open->once); // nothing was kept of it
    call->open->once = NULL;
    if (call->waiting.connection == NULL) {
        call_drop(call);
        return;
    }
    set_state(call, CALL_WAITS_FOR_EVENT, call->until_ms != 0 ? &call->agent->timed : &call->agent->calls);
    set_number(call, number);
    call_fold(call);
    call->waiting.breaks_off = true;
    events_wait_begins(call->waiting.connection);
    client_output_ready(call->waiting.connection->client); // its sender may have ended already
}

uint64_t call_session(const struct http_call *call) {
    return call->agent->session;
}

uint64_t call_attach_number(const struct http_call *call) {
    return call->agent->session == 0 ? 0 : client_attach_number(call->agent->client);
}

static bool acknowledged(const struct http_call *call) {
    return client_acked_ms(call->agent->client) >= call->open->since_ms;
}

void call_keepalive(struct http_call *call) {
    if (acknowledged(call))
        session_keepalive_done(call);
    else
        set_state(call, CALL_KEEPALIVE, &call->agent->timed);
}

// ---- agents

static bool session_matches(const struct hash_node *node, const void *key) {
    return CONTAINER_OF_CONST(node, struct http_agent, by_session)->session == *(const uint64_t *)key;
}

static struct http_agent *agent_find(struct http_instance *instance, uint64_t session) {
    struct hash_node *node = hash_find(&instance->sessions, hash_u64(session), session_matches, &session);
    return node == NULL ? NULL : CONTAINER_OF(node, struct http_agent, by_session);
}

static struct http_agent *agent_new(struct http_instance *instance, uint64_t session) {
    struct http_agent *agent = mem_zalloc(sizeof *agent);
    agent->instance = instance;
    agent->client = service_client_open(instance->service, &agent_protocol, agent);
    if (agent->client == NULL) {
        mem_free(agent);
        return NULL;
    }
    agent->session = session;
    agent->since_ms = service_now_ms(instance->service);
    agent->state = AGENT_READY;
    list_init(&agent->calls);
    list_init(&agent->timed);
    list_init(&agent->submitted);
    list_init(&agent->reading);
    list_push_back(&instance->agents, &agent->link);
    if (session != 0) hash_insert(&instance->sessions, &agent->by_session, hash_u64(session));
    return agent;
}

static struct http_agent *agent_without_session(struct http_instance *instance) {
    if (instance->own == NULL) instance->own = agent_new(instance, 0);
    return instance->own;
}

// The session's agent here; a new one looks the session up first, as of now: it may have been made at another node.
static struct http_agent *agent_of(struct http_instance *instance, const char *text, bool *good) {
    uint64_t session;
    uint8_t secret[LEASE_PASSWORD_BYTES];
    ENSURE(session_parse(text, &session, secret));
    struct http_agent *agent = agent_find(instance, session);
    *good = agent == NULL || memcmp(agent->secret, secret, sizeof agent->secret) == 0;
    if (agent != NULL) return agent;
    agent = agent_new(instance, session);
    if (agent == NULL) return NULL;
    memcpy(agent->secret, secret, sizeof agent->secret);
    agent->state = AGENT_READS;
    client_read_index(agent->client);
    return agent;
}

// What a call is told when its agent ends otherwise than by its session.
static const char *left_with(const struct http_call *call) {
    bool under_way = call->state == CALL_SUBMITTED || call->state == CALL_WAITS_FOR_EVENT || call->state == CALL_GATED;
    return under_way ? "unknown" : "not-applied";
}

static void fail_all(struct list *calls, const char *error, const char *detail) {
    while (!list_empty(calls)) {
        struct http_call *call = CONTAINER_OF(calls->next, struct http_call, of_agent);
        call_fail(call, error != NULL ? error : left_with(call), detail, NULL);
    }
}

// error NULL: as left_with says. The client's end follows, and frees.
static void agent_end(struct http_agent *agent, const char *error, const char *detail) {
    if (agent->state == AGENT_ENDED) return;
    agent->state = AGENT_ENDED;
    if (agent == agent->instance->own) agent->instance->own = NULL;
    if (agent->session != 0) hash_remove(&agent->instance->sessions, &agent->by_session);
    fail_all(&agent->calls, error, detail);
    fail_all(&agent->timed, error, detail);
    fail_all(&agent->submitted, error, detail);
    fail_all(&agent->reading, error, detail);
    client_close(agent->client, false);
}

static void agent_close(void *connection) {
    struct http_agent *agent = connection;
    agent_end(agent, NULL, "this node had to let go of the session, or of the state that was asked");
    list_remove(&agent->link);
    mem_free(agent);
}

static void run_waiting(struct http_agent *agent) {
    struct list waiting;
    list_init(&waiting);
    while (!list_empty(&agent->calls)) { // none of them was run, so all of them wait for the agent
        struct list *first = agent->calls.next;
        list_remove(first);
        list_push_back(&waiting, first);
    }
    while (!list_empty(&waiting)) {
        struct http_call *call = CONTAINER_OF(waiting.next, struct http_call, of_agent);
        list_remove(&call->of_agent);
        struct http_connection *c = call->waiting.connection;
        call->waiting.alone = false; // so commands reach the log in the order of their connection
        call->operation->run(call);
        if (c != NULL) http_go_on(c);
    }
}

// ---- what the node tells an agent

static struct http_call *front_of(struct list *list, uint64_t tag) {
    if (list_empty(list)) return NULL;
    struct http_call *call = CONTAINER_OF(list->next, struct http_call, of_agent);
    return call->open->tag == tag ? call : NULL;
}

static bool attached(struct http_agent *agent, const struct result *result) {
    if (result->error != 0) {
        bool ended = result->error == COMMAND_SESSION_EXPIRED;
        agent_end(agent,
                  ended                              ? "session-expired"
                  : result->error == COMMAND_UNKNOWN ? NULL
                                                     : "not-applied",
                  command_error_text(result->error));
        return false;
    }
    const struct lease_result *lease = result->value;
    if (agent->session == 0) { // created
        agent->session = lease->session;
        hash_insert(&agent->instance->sessions, &agent->by_session, hash_u64(agent->session));
    }
    agent->state = AGENT_READY;
    return true;
}

static void agent_reply(void *connection, uint64_t tag, const struct result *result) {
    struct http_agent *agent = connection;
    if (agent->state == AGENT_ENDED) return;
    bool attach = agent->state == AGENT_ATTACHES;
    if (attach && !attached(agent, result)) return;
    struct http_call *call = front_of(&agent->submitted, tag); // NULL: of agent_submit
    if (call != NULL) {
        list_remove(&call->of_agent);
        if (result->error <= COMMAND_NOT_APPLIED)
            call_fail_command(call, result->error);
        else if (result->model == MODEL_IDEMPOTENCY && result->op == IDEMPOTENCY_ONCE)
            fail_once(call, result->error);
        else
            call->operation->reply(call, result);
    }
    if (attach) run_waiting(agent);
}

static void looked_up(struct http_agent *agent) {
    const struct lease *lease = service_lease(agent->instance->service, agent->session);
    if (lease == NULL || lease->kind != LEASE_KIND_NATIVE ||
        memcmp(lease->password, agent->secret, sizeof agent->secret) != 0) {
        agent_end(agent, "session-expired", command_error_text(COMMAND_SESSION_EXPIRED));
        return;
    }
    agent->state = AGENT_ATTACHES;
    client_attach(agent->client, agent->session, agent->secret, lease->timeout_ms, LEASE_KIND_NATIVE);
}

static void agent_read_ready(void *connection, uint64_t tag, int error) {
    struct http_agent *agent = connection;
    if (agent->state == AGENT_ENDED) return;
    if (agent->state == AGENT_READS) {
        if (error == 0)
            looked_up(agent);
        else
            agent_end(agent, "not-applied", command_error_text(error));
        return;
    }
    struct list *at = agent->reading.next;
    while (at != &agent->reading && CONTAINER_OF(at, struct http_call, of_agent)->open->tag != tag) at = at->next;
    if (at == &agent->reading) return; // its connection has gone
    struct http_call *call = CONTAINER_OF(at, struct http_call, of_agent);
    list_remove(&call->of_agent);
    if (error != 0)
        call_fail_command(call, error);
    else
        call->operation->read(call);
}

static void agent_kept_alive(void *connection) {
    struct http_agent *agent = connection;
    struct list *next;
    for (struct list *at = agent->timed.next; at != &agent->timed; at = next) {
        struct http_call *call = CONTAINER_OF(at, struct http_call, of_agent);
        next = at->next;
        if (call->state == CALL_KEEPALIVE && acknowledged(call))
            session_keepalive_done(call);
        else if (call->state == CALL_GATED && client_may_tell(agent->client))
            deliver(call);
    }
}

static const struct protocol agent_protocol = {.name = "http",
                                               .reply = agent_reply,
                                               .read_ready = agent_read_ready,
                                               .kept_alive = agent_kept_alive,
                                               .close = agent_close};

// ---- what a request asks

void call_attach(struct http_call *call, uint32_t ttl_ms) {
    struct http_agent *agent = agent_new(call->agent->instance, 0);
    if (agent == NULL) {
        call_fail(call, "not-applied", "this node serves nobody now", NULL);
        return;
    }
    service_random(agent->instance->service, agent->secret, sizeof agent->secret);
    call->agent = agent;
    agent->state = AGENT_ATTACHES;
    set_state(call, CALL_SUBMITTED, &agent->submitted);
    call->open->tag = client_attach(agent->client, 0, agent->secret, ttl_ms, LEASE_KIND_NATIVE);
}

static const char *session_of(const struct http_call *call) { // its text, with a zero byte behind it
    const struct native_field *fields = call->operation->fields;
    for (size_t i = 0; fields[i].name != NULL; i++)
        if (fields[i].type == NATIVE_SESSION && call->open->values[i].given)
            return (const char *)call->open->values[i].text.data;
    return NULL;
}

static void begin(struct http_call *call, struct http_instance *instance) {
    const char *session = session_of(call);
    bool secret = true;
    struct http_agent *agent = session != NULL ? agent_of(instance, session, &secret) : agent_without_session(instance);
    if (agent == NULL) {
        http_problem(http_wait_end(&call->waiting), "not-applied", "this node serves nobody now", NULL);
        call_dispose(instance, call);
        return;
    }
    call->agent = agent;
    if (!secret) {
        call_fail(call, "session-expired", command_error_text(COMMAND_SESSION_EXPIRED), NULL);
        return;
    }
    client_touch(agent->client);
    if (agent->state == AGENT_READY) {
        call->operation->run(call);
    } else {
        call->waiting.alone = true;
        list_push_back(&agent->calls, &call->of_agent);
    }
}

void call_begin(struct http_connection *c, struct http_call *call) {
    call->open->since_ms = service_now_ms(c->instance->service);
    call->waiting.native = true;
    list_init(&call->of_agent);
    http_wait(c, &call->waiting);
    begin(call, c->instance);
}

// ---- time and events

static void tick_call(struct http_call *call, uint64_t now_ms) {
    if (call->state == CALL_KEEPALIVE && now_ms >= call->open->since_ms + NATIVE_KEEPALIVE_MS)
        call_fail(call, "not-applied", "no leader has acknowledged it", NULL);
    else if (call->state == CALL_WAITS_FOR_EVENT && now_ms >= call->until_ms)
        call_read(call);
}

void agents_tick(struct http_instance *instance, uint64_t now_ms) {
    struct list *next, *next_call;
    for (struct list *at = instance->agents.next; at != &instance->agents; at = next) {
        struct http_agent *agent = CONTAINER_OF(at, struct http_agent, link);
        next = at->next;
        bool begins = agent->state == AGENT_READS || agent->state == AGENT_ATTACHES;
        if (begins && now_ms >= agent->since_ms + NATIVE_ATTACH_MS) {
            agent_end(agent, NULL, "no leader took the session up in time");
            continue;
        }
        for (struct list *one = agent->timed.next; one != &agent->timed; one = next_call) {
            next_call = one->next;
            tick_call(CONTAINER_OF(one, struct http_call, of_agent), now_ms);
        }
    }
}

static void closed(struct http_agent *agent) {
    struct list *next;
    for (struct list *at = agent->submitted.next; at != &agent->submitted; at = next) {
        struct http_call *call = CONTAINER_OF(at, struct http_call, of_agent);
        next = at->next;
        if (call->operation->reply != session_close_reply) continue;
        call->open->status = 200;
        call->open->answer = json_object();
        deliver(call);
    }
}

// What was submitted under this attach and not applied yet never will be: it stands behind this entry.
void agents_event(struct http_instance *instance, const struct lease_event *event) {
    struct http_agent *agent = agent_find(instance, event->lease.session);
    if (agent == NULL) return;
    if (event->type == LEASE_EVENT_ENDED) {
        if (event->reason == LEASE_CLOSE) closed(agent);
        agent_end(agent, "session-expired", "the session has ended");
    } else if (agent->state == AGENT_READY && event->lease.attach > client_attach_number(agent->client)) {
        agent_end(agent, "session-moved", "the session was attached anew, here or at another node");
    }
}
