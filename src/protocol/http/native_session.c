// Sessions over HTTP: created, kept alive and closed by requests of any connection, at any node. For operators: which
// there are, what they hold, and their end.
#include "model/barrier/barrier.h"
#include "model/idempotency/idempotency.h"
#include "model/limiter/limiter.h"
#include "model/lock/lock.h"
#include "model/queue/queue.h"
#include "model/tree/tree.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void session_text(uint64_t session, const uint8_t secret[LEASE_PASSWORD_BYTES], char out[64]) {
    int len = snprintf(out, 64, "%llu-", (unsigned long long)session);
    for (size_t i = 0; i < LEASE_PASSWORD_BYTES; i++) len += snprintf(out + len, 64 - (size_t)len, "%02x", secret[i]);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool session_parse(const char *text, uint64_t *session, uint8_t secret[LEASE_PASSWORD_BYTES]) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 19 || text[digits] != '-') return false;
    *session = strtoull(text, NULL, 10);
    const char *hex = text + digits + 1;
    if (strlen(hex) != 2 * LEASE_PASSWORD_BYTES || *session == 0) return false;
    for (size_t i = 0; i < LEASE_PASSWORD_BYTES; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        secret[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static void answer(struct http_call *call, uint64_t ttl_ms) {
    char text[64];
    session_text(call->agent->session, call->agent->secret, text);
    json_t *json = json_object();
    json_object_set_new(json, "session", json_string(text));
    json_object_set_new(json, "ttl_ms", json_integer((json_int_t)ttl_ms));
    call_answer(call, 200, json);
}

static void session_create_run(struct http_call *call) {
    call_attach(call, (uint32_t)call_value(call, "ttl_ms")->number);
}

static void session_create_reply(struct http_call *call, const struct result *result) {
    const struct lease_result *lease = result->value;
    answer(call, lease->timeout_ms);
}

// Answered when the leader has acknowledged activity that is not older than this request.
static void session_keepalive_run(struct http_call *call) {
    call_keepalive(call);
}

void session_keepalive_done(struct http_call *call) {
    const struct lease *lease = service_lease(call->agent->instance->service, call->agent->session);
    answer(call, lease != NULL ? lease->timeout_ms : 0);
}

static void session_close_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    lease_write_close(&w, call_session(call), call_attach_number(call));
    call_submit(call, &w);
}

// The end of the session is told by its event, in the same entry and ahead of this.
void session_close_reply(struct http_call *call, const struct result *result) {
    call_answer(call, 200, json_object());
}

// ---- for operators: sessions by their numbers, without their secrets

static json_t *lease_json(const struct lease *lease) {
    json_t *json = json_object();
    json_object_set_new(json, "number", json_number(lease->session));
    json_object_set_new(json, "kind", json_string(lease->kind == LEASE_KIND_NATIVE ? "native" : "zookeeper"));
    json_object_set_new(json, "ttl_ms", json_number(lease->timeout_ms));
    json_object_set_new(json, "node", json_number(lease->node));
    return json;
}

struct listing {
    struct native_list list;
    uint64_t after;
};

static void list_lease(void *context, const struct lease *lease) {
    struct listing *listing = context;
    if (lease->session <= listing->after || listing->list.more || !native_list_takes(&listing->list)) return;
    json_array_append_new(listing->list.items, lease_json(lease));
}

static void session_list_read(struct http_call *call) {
    struct listing listing = {.list = {.items = json_array(), .limit = (size_t)call_number(call, "limit")},
                              .after = call_number(call, "after")};
    service_leases(call->agent->instance->service, list_lease, &listing);
    native_list_answer(call, &listing.list, "sessions");
}

struct holdings {
    json_t *list;
    size_t limit;
    bool more;
    uint64_t now_ms;
    struct bytes name; // of the lock or barrier that is shown
    const char *what;
};

static void add_held(struct holdings *holdings, struct bytes owner, const char *state, uint64_t token,
                     uint64_t since_ms) {
    holdings->more = json_array_size(holdings->list) == holdings->limit;
    if (holdings->more) return;
    json_t *json = json_object();
    json_object_set_new(json, "what", json_string(holdings->what));
    json_object_set_new(json, "name", json_bytes(holdings->name));
    if (owner.len > 0) json_object_set_new(json, "owner", json_bytes(owner));
    if (state != NULL) json_object_set_new(json, "state", json_string(state));
    if (token != 0) json_object_set_new(json, "token", json_number(token));
    if (since_ms != 0) json_object_set_new(json, "for_ms", json_number(native_until(since_ms, holdings->now_ms)));
    json_array_append_new(holdings->list, json);
}

static void see_lock(void *context, struct bytes name, enum lock_mode mode, uint32_t total, uint32_t holders,
                     uint32_t waiters) {
    struct holdings *holdings = context;
    holdings->what = mode == LOCK_ELECTION ? "election" : "lock";
    holdings->name = name;
}
static void see_claim(void *context, const struct lock_claim_info *claim) {
    add_held(context, claim->owner, claim->token != 0 ? "holds" : "waits", claim->token, claim->since_ms);
}
static void see_barrier(void *context, const struct barrier_info *info) {
    struct holdings *holdings = context;
    holdings->what = "barrier";
    holdings->name = info->name;
}
static void see_place(void *context, const struct barrier_place_info *place) {
    static const char *const states[] = {"waits", "inside", "leaves"};
    add_held(context, place->member, states[place->state], 0, place->since_ms);
}
static void see_node(void *context, struct bytes path) {
    struct holdings *holdings = context;
    holdings->what = "ephemeral";
    holdings->name = path;
    add_held(holdings, bytes_of("", 0), NULL, 0, 0);
}

static void see_delivery(void *context, const struct queue_claim_info *claim) {
    struct holdings *holdings = context;
    bool holds = claim->token != 0;
    holdings->what = holds ? "delivery" : "claim";
    holdings->name = claim->queue;
    add_held(holdings, claim->key, holds ? "holds" : "waits", claim->token, 0);
}
static void see_permit(void *context, const struct limiter_hold_info *hold) {
    struct holdings *holdings = context;
    holdings->what = hold->lease ? "quota" : "permit";
    holdings->name = hold->limit;
    add_held(holdings, bytes_of("", 0), "holds", hold->token, hold->since_ms);
}
static void see_run(void *context, const struct idempotency_claim_info *claim) {
    struct holdings *holdings = context;
    holdings->what = "run";
    holdings->name = claim->key;
    add_held(holdings, claim->owner, claim->token != 0 ? "holds" : "waits", claim->token, claim->since_ms);
}

static json_t *held_by(struct http_call *call, uint64_t session, bool *more) {
    struct service *service = call->agent->instance->service;
    struct holdings holdings = {
        .list = json_array(), .limit = (size_t)call_number(call, "limit"), .now_ms = native_log_ms(call)};
    size_t max = holdings.limit + 1;
    struct queue_query queues = {.session = session, .max = max, .claim = see_delivery, .context = &holdings};
    struct limiter_query limits = {.session = session, .max = max, .hold = see_permit, .context = &holdings};
    struct idempotency_query keys = {.session = session, .page.max = max, .claim = see_run, .context = &holdings};
    struct lock_query locks = {.session = session, .lock = see_lock, .claim = see_claim, .context = &holdings};
    struct barrier_query barriers = {
        .session = session, .barrier = see_barrier, .place = see_place, .context = &holdings};
    struct tree_query nodes = {.op = TREE_EPHEMERALS, .session = session, .name = see_node, .context = &holdings};
    struct result result;
    service_query(service, MODEL_LOCK, &locks, &result);
    service_query(service, MODEL_BARRIER, &barriers, &result);
    service_query(service, MODEL_QUEUE, &queues, &result);
    service_query(service, MODEL_LIMITER, &limits, &result);
    service_query(service, MODEL_IDEMPOTENCY, &keys, &result);
    service_query(service, MODEL_TREE, &nodes, &result);
    *more = holdings.more;
    return holdings.list;
}

static void session_show_read(struct http_call *call) {
    uint64_t number = call_number(call, "number");
    const struct lease *lease = service_lease(call->agent->instance->service, number);
    bool more = false;
    if (lease == NULL) {
        call_fail(call, "not-found", "there is no such session", NULL);
        return;
    }
    json_t *json = lease_json(lease);
    json_object_set_new(json, "holds", held_by(call, number, &more));
    json_object_set_new(json, "more", json_boolean(more));
    call_answer(call, 200, json);
}

static void session_end_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    lease_write_kill(&w, call_number(call, "number"));
    call_submit(call, &w);
}

static void session_end_reply(struct http_call *call, const struct result *result) {
    call_answer(call, 200, json_object());
}

// ---- the table
#define NUMBER                                                                                                         \
    {                                                                                                                  \
        .name = "number", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true,                        \
        .help = "the session's number: what stands ahead of the dash of a session, and what lists show"                \
    }
FIELDS(session_create_fields) = {{.name = "ttl_ms",
                                  .type = NATIVE_NUMBER,
                                  .low = NATIVE_SESSION_TTL_MS_MIN,
                                  .high = NATIVE_SESSION_TTL_MS_MAX,
                                  .standard = NATIVE_SESSION_TTL_MS_DEFAULT,
                                  .help = "it ends, with all that it holds, when nothing is heard of it for so long"},
                                 END};
FIELDS(session_fields) = {SESSION_REQUIRED, END};
FIELDS(session_answer) = {
    {.name = "session", .type = NATIVE_TEXT, .help = "its number and its secret: who has it may use it"},
    {.name = "ttl_ms", .type = NATIVE_NUMBER, .help = "its time-out"},
    END};

FIELDS(list_fields) = {{.name = "after",
                        .type = NATIVE_NUMBER,
                        .high = INT64_MAX,
                        .help = "only numbers behind this one: the last of the page before"},
                       LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT),
                       END};
FIELDS(list_answer) = {
    {.name = "sessions",
     .type = NATIVE_OBJECTS,
     .help = "each with number, kind (native or zookeeper), ttl_ms and node (where it is attached), oldest first"},
    MORE,
    END};
FIELDS(show_fields) = {NUMBER, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), END};
FIELDS(show_answer) = {
    {.name = "number", .type = NATIVE_NUMBER, .help = "the session's"},
    {.name = "kind", .type = NATIVE_TEXT, .help = "native or zookeeper"},
    {.name = "ttl_ms", .type = NATIVE_NUMBER, .help = "its time-out"},
    {.name = "node", .type = NATIVE_NUMBER, .help = "the member where it is attached"},
    {.name = "holds",
     .type = NATIVE_OBJECTS,
     .help = "locks, elections, barriers, deliveries of queues (their key as owner) and claims that wait, "
             "permits and quotas of limits, runs of idempotency keys, ephemeral znodes: what, name, "
             "owner, state (holds or waits; of barriers: waits, inside, leaves), token and for_ms"},
    MORE,
    END};
FIELDS(end_fields) = {NUMBER, END};

static const struct native_operation operations[] = {
    {.path = "/v1/session/create",
     .about =
         "Makes a session. It lives as long as requests name it, or keepalives do: send one every quarter of ttl_ms.",
     .fields = session_create_fields,
     .answer = session_answer,
     .errors = "",
     .run = session_create_run,
     .reply = session_create_reply},
    {.path = "/v1/session/keepalive",
     .about =
         "Says that the session's owner lives. Answered when the leader knows it. At another node than before, the "
         "session moves there.",
     .fields = session_fields,
     .answer = session_answer,
     .errors = "session-expired session-moved ",
     .run = session_keepalive_run},
    {.path = "/v1/session/close",
     .about = "Ends the session, with all that it holds and waits for.",
     .fields = session_fields,
     .answer = no_fields,
     .errors = "session-expired session-moved ",
     .run = session_close_run,
     .reply = session_close_reply},
    {.path = "/v1/session/list",
     .about = "Sessions, of ZooKeeper's clients too.",
     .fields = list_fields,
     .answer = list_answer,
     .errors = "",
     .run = call_read,
     .read = session_list_read},
    {.path = "/v1/session/show",
     .about = "A session, and what it holds and waits for.",
     .fields = show_fields,
     .answer = show_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = session_show_read},
    {.path = "/v1/session/end",
     .about = "Ends a session by its number, with all that it holds (an operator's last resort).",
     .fields = end_fields,
     .answer = no_fields,
     .errors = "session-expired ",
     .administration = true,
     .run = session_end_run,
     .reply = session_end_reply},
};
const struct native_room session_room = {.operations = operations, .count = sizeof operations / sizeof operations[0]};
