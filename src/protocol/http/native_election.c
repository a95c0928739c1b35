// Elections over HTTP. They are locks of a mode of their own, so their tokens are verified, watched and broken as
// locks' are. See model/lock/lock.h.
#include "model/lock/lock.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include <string.h>

// Who campaigns waits for its ticket, observers for news of a name.
#define TICKET ((uint64_t)MODEL_ELECTION << 56)
#define NAME_NUMBER (TICKET | 1ull << 55)

// ---- candidates
static void campaign_run(struct http_call *call) {
    struct lock_request request = {.name = call_text(call, "name"),
                                   .owner = call_text(call, "candidate"),
                                   .mode = LOCK_ELECTION,
                                   .permits = 1,
                                   .wait_ms = call_number(call, "wait_ms"),
                                   .delay_ms = call_number(call, "delay_ms"),
                                   .value = call_text(call, "value")};
    struct writer w;
    writer_init(&w);
    lock_write_acquire(&w, call_session(call), call_attach_number(call), &request);
    call_submit(call, &w);
}

static void elected(struct http_call *call, uint64_t token, uint64_t version, uint64_t ticket) {
    json_t *json = json_object();
    json_object_set_new(json, "token", json_number(token));
    json_object_set_new(json, "version", json_number(version));
    call_set_number(call, ticket);
    call_answer(call, 200, json);
}

static void campaign_reply(struct http_call *call, const struct result *result) {
    const struct lock_result *lock = result->value;
    if (result->error != 0)
        lock_fail(call, result->error, lock);
    else if (lock->granted)
        elected(call, lock->token, lock->version, lock->ticket);
    else
        call_wait(call, lock->ticket | TICKET);
}

// Who is not there any more neither waits nor leads, unless it has asked again.
static void campaign_gone(struct http_call *call) {
    if (call_number_waited(call) != 0) {
        struct writer w;
        writer_init(&w);
        lock_write_cancel(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                          call_text(call, "candidate"), call_number_waited(call) & ~TICKET, true);
        agent_submit(call->agent, &w);
    }
    call_end(call);
}

static void resign_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    lock_write_release(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                       call_text(call, "candidate"), call_number(call, "token"), true);
    call_submit(call, &w);
}

static void proclaim_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    lock_write_proclaim(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                        call_text(call, "candidate"), call_number(call, "token"), call_text(call, "value"));
    call_submit(call, &w);
}

static void leads_reply(struct http_call *call, const struct result *result) {
    const struct lock_result *lock = result->value;
    if (result->error != 0) {
        lock_fail(call, result->error, lock);
        return;
    }
    json_t *json = json_object();
    if (result->op == LOCK_PROCLAIM) json_object_set_new(json, "version", json_number(lock->version));
    call_answer(call, 200, json);
}

// ---- observers

static void show_leader(struct http_call *call, const struct lock_claim_info *leader) {
    json_t *json = json_object();
    json_object_set_new(json, "elected", json_boolean(leader->version != 0));
    json_object_set_new(json, "candidate", json_bytes(leader->owner));
    json_object_set_new(json, "session", json_number(leader->session));
    json_object_set_new(json, "value", json_bytes(leader->value));
    json_object_set_new(json, "token", json_number(leader->token));
    json_object_set_new(json, "version", json_number(leader->version));
    json_object_set_new(json, "for_ms", json_number(native_until(leader->since_ms, native_log_ms(call))));
    call_answer(call, 200, json);
}

static void find_leader(void *context, const struct lock_claim_info *claim) {
    if (claim->version != 0) *(struct lock_claim_info *)context = *claim;
}

static struct lock_claim_info leader_of(const struct http_call *call) {
    struct lock_claim_info leader = {.owner = bytes_of("", 0), .value = bytes_of("", 0)};
    struct lock_query query = {
        .name = call_text(call, "name"), .claims_max = 1, .claim = find_leader, .context = &leader};
    struct result result;
    service_query(call->agent->instance->service, MODEL_LOCK, &query, &result);
    return leader;
}

static void leader_read(struct http_call *call) {
    struct lock_claim_info leader = leader_of(call);
    show_leader(call, &leader);
}

static uint64_t name_number(struct bytes name) {
    return NAME_NUMBER | hash_bytes(name.data, name.len, MODEL_ELECTION) >> 9;
}

static void observe_read(struct http_call *call) {
    struct lock_claim_info leader = leader_of(call);
    const struct native_value *seen = call_value(call, "version");
    uint64_t until_ms = call_until(call, call_number(call, "wait_ms"));
    bool waits = seen->given && seen->number == leader.version;
    if (waits && service_now_ms(call->agent->instance->service) < until_ms)
        call_wait(call, name_number(call_text(call, "name")));
    else
        show_leader(call, &leader);
}

// ---- lists

struct listing {
    json_t *items;
    struct bytes prefix;
    size_t limit;
    uint64_t now_ms;
};

static void list_candidate(void *context, const struct lock_claim_info *claim) {
    struct listing *listing = context;
    if (claim->mode != LOCK_ELECTION || json_array_size(listing->items) > listing->limit) return;
    json_t *json = json_object();
    json_object_set_new(json, "candidate", json_bytes(claim->owner));
    json_object_set_new(json, "session", json_number(claim->session));
    json_object_set_new(json, "value", json_bytes(claim->value));
    json_object_set_new(json, "token", json_number(claim->token));
    json_object_set_new(json, "for_ms", json_number(native_until(claim->since_ms, listing->now_ms)));
    json_array_append_new(listing->items, json);
}

static void list_election(void *context, struct bytes name, enum lock_mode mode, uint32_t total, uint32_t holders,
                          uint32_t waiters) {
    struct listing *listing = context;
    bool begins = name.len >= listing->prefix.len && memcmp(name.data, listing->prefix.data, listing->prefix.len) == 0;
    if (mode != LOCK_ELECTION || !begins || json_array_size(listing->items) > listing->limit) return;
    json_t *json = json_object();
    json_object_set_new(json, "name", json_bytes(name));
    json_object_set_new(json, "elected", json_boolean(holders > 0));
    json_object_set_new(json, "candidates", json_number(holders + waiters));
    json_array_append_new(listing->items, json);
}

static void list_answer(struct http_call *call, const char *member, struct lock_query *query, struct bytes prefix) {
    struct listing listing = {.items = json_array(),
                              .prefix = prefix,
                              .limit = (size_t)call_number(call, "limit"),
                              .now_ms = native_log_ms(call)};
    struct result result;
    query->context = &listing;
    service_query(call->agent->instance->service, MODEL_LOCK, query, &result);
    bool more = json_array_size(listing.items) > listing.limit;
    if (more) json_array_remove(listing.items, listing.limit);
    json_t *json = json_object();
    json_object_set_new(json, member, listing.items);
    json_object_set_new(json, "more", json_boolean(more));
    call_answer(call, 200, json);
}

static void candidates_read(struct http_call *call) {
    struct lock_query query = {.name = call_text(call, "name"), .claim = list_candidate};
    list_answer(call, "candidates", &query, bytes_of("", 0));
}

static void list_read(struct http_call *call) {
    struct lock_query query = {.name = bytes_of("", 0), .lock = list_election};
    list_answer(call, "elections", &query, call_text(call, "prefix"));
}

// ---- events

static void news(struct http_instance *instance, const struct lock_event *event) {
    struct lock_claim_info leader = {.owner = event->owner,
                                     .session = event->session,
                                     .token = event->token,
                                     .version = event->version,
                                     .value = event->value,
                                     .since_ms = event->since_ms};
    struct http_call *call;
    while ((call = call_waiting_for(instance, name_number(event->name))) != NULL) {
        bool concerns = bytes_equal(call_text(call, "name"), event->name);
        if (concerns && call_number(call, "version") != event->version)
            show_leader(call, &leader);
        else
            call_read(call); // another name of the same number: it looks, and waits on
    }
}

static void on_event(struct http_instance *instance, const void *value) {
    const struct lock_event *event = value;
    struct http_call *call;
    if (event->type == LOCK_EVENT_LEADER) {
        news(instance, event);
        return;
    }
    if (event->type == LOCK_EVENT_LOST) return;
    while ((call = call_waiting_for(instance, event->ticket | TICKET)) != NULL) {
        if (event->type == LOCK_EVENT_GRANTED)
            elected(call, event->token, event->version, event->ticket);
        else
            call_fail(call,
                      event->type == LOCK_EVENT_TIMED_OUT    ? "timed-out"
                      : event->type == LOCK_EVENT_SUPERSEDED ? "superseded"
                                                             : "cancelled",
                      NULL, NULL);
    }
}

// ---- the table
#define NAME                                                                                                           \
    {                                                                                                                  \
        .name = "name", .type = NATIVE_TEXT, .low = 1, .high = LOCK_NAME_BYTES_MAX, .required = true,                  \
        .help = "the election. Elections and locks share their names: one of both may be in use"                       \
    }
#define CANDIDATE                                                                                                      \
    {                                                                                                                  \
        .name = "candidate", .type = NATIVE_TEXT, .high = LOCK_OWNER_BYTES_MAX,                                        \
        .help = "who of the session; others see it (a host's name, say)"                                               \
    }
#define VALUE                                                                                                          \
    {                                                                                                                  \
        .name = "value", .type = NATIVE_TEXT, .high = LOCK_VALUE_BYTES_MAX,                                            \
        .help = "what others are to know of this leader (its address, say)"                                            \
    }
#define TOKEN                                                                                                          \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true,                         \
        .help = "the leader's fencing token"                                                                           \
    }
#define WAIT_MS                                                                                                        \
    {                                                                                                                  \
        .name = "wait_ms", .type = NATIVE_NUMBER, .high = LOCK_TTL_MS_MAX,                                             \
        .help = "stays in line for so long; 0: not at all. The answer comes with the election; who closes the "        \
                "connection is in line no longer"                                                                      \
    }
#define DELAY                                                                                                          \
    {                                                                                                                  \
        .name = "delay_ms", .type = NATIVE_NUMBER, .high = LOCK_TTL_MS_MAX,                                            \
        .help = "when it loses the lead otherwise than by resigning, nobody is elected for so long"                    \
    }
#define VERSION_ANSWER                                                                                                 \
    { .name = "version", .type = NATIVE_NUMBER, .help = "of leader and value: larger than any before; 0: nobody leads" }

FIELDS(campaign_fields) = {NAME, CANDIDATE, VALUE, SESSION_REQUIRED, WAIT_MS, DELAY, END};
FIELDS(campaign_answer) = {{.name = "token",
                            .type = NATIVE_NUMBER,
                            .help = "fencing token: larger than that of every leader before, of any election or lock"},
                           VERSION_ANSWER,
                           END};
FIELDS(resign_fields) = {NAME, CANDIDATE, SESSION_REQUIRED, TOKEN, END};
FIELDS(proclaim_fields) = {NAME, CANDIDATE, SESSION_REQUIRED, TOKEN, VALUE, END};
FIELDS(proclaim_answer) = {VERSION_ANSWER, END};
FIELDS(leader_fields) = {NAME, END};
FIELDS(leader_answer) = {{.name = "elected", .type = NATIVE_BOOL, .help = "somebody leads"},
                         {.name = "candidate", .type = NATIVE_TEXT, .help = "who"},
                         {.name = "session", .type = NATIVE_NUMBER, .help = "its session's number; 0: nobody leads"},
                         {.name = "value", .type = NATIVE_TEXT, .help = "what it said of itself"},
                         {.name = "token", .type = NATIVE_NUMBER, .help = "its fencing token; 0: nobody leads"},
                         VERSION_ANSWER,
                         {.name = "for_ms", .type = NATIVE_NUMBER, .help = "it leads so long"},
                         END};
FIELDS(observe_fields) = {NAME,
                          {.name = "version",
                           .type = NATIVE_NUMBER,
                           .high = INT64_MAX,
                           .help = "the one that the caller has seen; not given: the answer comes at once"},
                          {.name = "wait_ms",
                           .type = NATIVE_NUMBER,
                           .high = NATIVE_WATCH_MS_MAX,
                           .standard = NATIVE_WATCH_MS_DEFAULT,
                           .help = "the answer comes after so long, or when the version is another"},
                          END};
FIELDS(candidates_fields) = {NAME, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), END};
FIELDS(candidates_answer) = {
    {.name = "candidates",
     .type = NATIVE_OBJECTS,
     .help = "the leader, then who is in line, in their order: candidate, session (its number), value, token (0: in "
             "line) and for_ms (leads or waits so long)"},
    MORE,
    END};
FIELDS(list_fields) = {PAGE_PREFIX, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), END};
FIELDS(list_answer_fields) = {{.name = "elections",
                               .type = NATIVE_OBJECTS,
                               .help = "each with name, elected, and candidates (how many), oldest first"},
                              MORE,
                              END};

static const struct native_operation operations[] = {
    {.path = "/v1/election/campaign",
     .about = "Is in line for the lead, and is answered when it leads: until it resigns, or its session ends. A leader "
              "that campaigns again keeps its token; another value than before is proclaimed. The token is verified "
              "and watched as a lock's: /v1/lock/verify, /v1/lock/watch (and /v1/lock/break for operators).",
     .fields = campaign_fields,
     .answer = campaign_answer,
     .errors = "busy timed-out cancelled superseded deadlock kind limit session-expired session-moved ",
     .run = campaign_run,
     .reply = campaign_reply,
     .kept = "name candidate ",
     .gone = campaign_gone},
    {.path = "/v1/election/resign",
     .about = "Leads no longer. The first in line is elected.",
     .fields = resign_fields,
     .answer = no_fields,
     .errors = "not-held session-expired session-moved ",
     .run = resign_run,
     .reply = leads_reply},
    {.path = "/v1/election/proclaim",
     .about = "The leader's new value. Observers are told.",
     .fields = proclaim_fields,
     .answer = proclaim_answer,
     .errors = "not-held session-expired session-moved ",
     .run = proclaim_run,
     .reply = leads_reply},
    {.path = "/v1/election/leader",
     .about = "Who leads, as of a moment after the request came.",
     .fields = leader_fields,
     .answer = leader_answer,
     .errors = "",
     .run = call_read,
     .read = leader_read},
    {.path = "/v1/election/observe",
     .about = "Answers as soon as leader or value are others than those of `version`, with the newest ones. What came "
              "and went between two requests is not told; versions only grow, so nothing is told twice or backwards.",
     .fields = observe_fields,
     .answer = leader_answer,
     .errors = "",
     .run = call_read,
     .read = observe_read},
    {.path = "/v1/election/candidates",
     .about = "Who leads, and who is in line.",
     .fields = candidates_fields,
     .answer = candidates_answer,
     .errors = "",
     .run = call_read,
     .read = candidates_read},
    {.path = "/v1/election/list",
     .about = "Elections with candidates.",
     .fields = list_fields,
     .answer = list_answer_fields,
     .errors = "",
     .run = call_read,
     .read = list_read},
};
const struct native_room election_room = {.operations = operations,
                                          .count = sizeof operations / sizeof operations[0],
                                          .model = MODEL_LOCK,
                                          .event = on_event};
