// Locks over HTTP: arguments into commands, results and events into answers.
#include "base/assert.h"
#include "model/lock/lock.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include "protocol/http/view.h"
#include <stdio.h>
#include <string.h>

#define TOKEN_NUMBER (1ull << 63) // calls that wait for what becomes of a token, beside those that wait for a ticket

void lock_fail(struct http_call *call, int error, const struct lock_result *lock) {
    static const char *const names[] = {[-LOCK_BUSY] = "busy",         [-LOCK_NOT_HELD] = "not-held",
                                        [-LOCK_DEADLOCK] = "deadlock", [-LOCK_KIND] = "kind",
                                        [-LOCK_LIMIT] = "limit",       [-LOCK_BAD_ARGUMENTS] = "bad-request"};
    ENSURE(error < 0 && (size_t)-error < sizeof names / sizeof names[0]);
    json_t *members = json_object();
    if (error == LOCK_BUSY) {
        json_object_set_new(members, "holder", json_bytes(lock->holder));
        json_object_set_new(members, "token", json_number(lock->token));
    }
    if (lock->refused.len > 0) json_object_set_new(members, "name", json_bytes(lock->refused));
    if (lock->circle.len > 0) json_object_set_new(members, "circle", json_bytes(lock->circle));
    call_fail(call, names[-error], NULL, members);
}

// ---- acquire

// An owner's name without a session is anybody's who says it: an empty one would be shared by all who forgot it.
static bool bound(struct http_call *call) {
    const char *missing = NULL;
    if (call_session(call) == 0 && call_text(call, "owner").len == 0)
        missing = "without a session, an owner's name is wanted";
    if (call_session(call) == 0 && call_number(call, "ttl_ms") == 0)
        missing = "a session or ttl_ms is wanted: nothing would ever end it";
    if (missing == NULL) return true;
    call_fail(call, "bad-request", missing, NULL);
    return false;
}

static void lock_acquire_run(struct http_call *call) {
    struct lock_request request = {.name = call_text(call, "name"),
                                   .owner = call_text(call, "owner"),
                                   .mode = (enum lock_mode)call_number(call, "mode"),
                                   .permits = (uint32_t)call_number(call, "permits"),
                                   .total = (uint32_t)call_number(call, "total"),
                                   .ttl_ms = call_number(call, "ttl_ms"),
                                   .wait_ms = call_number(call, "wait_ms"),
                                   .delay_ms = call_number(call, "delay_ms")};
    bool permits = request.mode == LOCK_PERMITS;
    if (!bound(call)) return;
    if (permits ? request.permits > request.total : request.total != 0 || request.permits != 1) {
        call_fail(call, "bad-request", "permits and total go with mode permits; permits are at most the total", NULL);
        return;
    }
    struct writer w;
    writer_init(&w);
    lock_write_acquire(&w, call_session(call), call_attach_number(call), &request);
    call_submit(call, &w);
}

static void granted(struct http_call *call, uint64_t token, uint64_t ticket, uint32_t holds) {
    struct writer w;
    answer_begin(&w);
    answer_number(&w, "token", token);
    answer_number(&w, "ticket", ticket);
    answer_number(&w, "holds", holds);
    call_set_number(call, ticket);
    call_answer_text(call, &w);
}

static void lock_acquire_reply(struct http_call *call, const struct result *result) {
    const struct lock_result *lock = result->value;
    if (result->error != 0) {
        lock_fail(call, result->error, lock);
    } else if (lock->granted) {
        granted(call, lock->token, lock->ticket, lock->holds);
    } else {
        call_wait(call, lock->ticket);
    }
}

// The ticket is this request's: had its owner asked again meanwhile, that keeps the place, and what it was told it
// holds.
static void lock_acquire_gone(struct http_call *call) {
    if (call_number_waited(call) != 0) {
        struct writer w;
        writer_init(&w);
        lock_write_cancel(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                          call_text(call, "owner"), call_number_waited(call), true);
        agent_submit(call->agent, &w);
    }
    call_end(call);
}

// ---- several at once

static void lock_acquire_all_run(struct http_call *call) {
    struct bytes names[2 * LOCK_ALL_MAX];
    enum lock_mode modes[2 * LOCK_ALL_MAX];
    size_t count = 0;
    for (enum lock_mode mode = LOCK_EXCLUSIVE; mode <= LOCK_SHARED; mode++) {
        const json_t *list = call_value(call, mode == LOCK_SHARED ? "shared_names" : "names")->list;
        for (size_t i = 0; i < json_array_size(list); i++, count++) {
            const json_t *name = json_array_get(list, i);
            names[count] = bytes_of(json_string_value(name), json_string_length(name));
            modes[count] = mode;
        }
    }
    if (!bound(call)) return;
    if (count == 0 || count > LOCK_ALL_MAX) {
        call_fail(call, "bad-request", "1 to 64 names are wanted", NULL);
        return;
    }
    struct writer w;
    writer_init(&w);
    lock_write_acquire_all(&w, call_session(call), call_attach_number(call), call_text(call, "owner"),
                           call_number(call, "ttl_ms"), call_number(call, "delay_ms"), names, modes, count);
    call_submit(call, &w);
}

static void lock_acquire_all_reply(struct http_call *call, const struct result *result) {
    const struct lock_result *lock = result->value;
    if (result->error != 0) {
        lock_fail(call, result->error, lock);
        return;
    }
    json_t *json = json_object(), *tokens = json_array();
    for (size_t i = 0; i < lock->token_count; i++) json_array_append_new(tokens, json_number(lock->tokens[i]));
    json_object_set_new(json, "tokens", tokens);
    call_answer(call, 200, json);
}

// ---- what holders and operators ask

static void lock_release_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    lock_write_release(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                       call_text(call, "owner"), call_number(call, "token"), call_number(call, "all") != 0);
    call_submit(call, &w);
}

static void lock_renew_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    lock_write_renew(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                     call_text(call, "owner"), call_number(call, "token"), call_number(call, "ttl_ms"));
    call_submit(call, &w);
}

static void lock_break_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    lock_write_break(&w, call_text(call, "name"), call_number(call, "token"), call_text(call, "reason"));
    call_submit(call, &w);
}

static void lock_held_reply(struct http_call *call, const struct result *result) {
    const struct lock_result *lock = result->value;
    if (result->error != 0) {
        lock_fail(call, result->error, lock);
        return;
    }
    struct writer w;
    answer_begin(&w);
    if (result->op != LOCK_BREAK) answer_number(&w, "holds", lock->holds);
    call_answer_text(call, &w);
}

static void lock_cancel_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    lock_write_cancel(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                      call_text(call, "owner"), call_number(call, "ticket"), false);
    call_submit(call, &w);
}

static void lock_cancel_reply(struct http_call *call, const struct result *result) {
    const struct lock_result *lock = result->value;
    if (result->error != 0) {
        lock_fail(call, result->error, lock);
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "granted", json_boolean(lock->granted));
    if (lock->granted) json_object_set_new(json, "token", json_number(lock->token));
    call_answer(call, 200, json);
}

// ---- reads: as of a moment after the request came

struct search {
    uint64_t token;
    bool found;
};

static void find_token(void *context, const struct lock_claim_info *claim) {
    struct search *search = context;
    search->found |= claim->token == search->token;
}

static bool is_held(const struct http_call *call) {
    struct search search = {.token = call_number(call, "token")};
    struct lock_query query = {.name = call_text(call, "name"), .claim = find_token, .context = &search};
    struct result result;
    service_query(call->agent->instance->service, MODEL_LOCK, &query, &result);
    return search.found;
}

static void lock_verify_read(struct http_call *call) {
    json_t *json = json_object();
    json_object_set_new(json, "valid", json_boolean(is_held(call)));
    call_answer(call, 200, json);
}

static void watched(struct http_call *call, const char *loss, struct bytes reason) {
    json_t *json = json_object();
    json_object_set_new(json, "held", json_boolean(loss == NULL));
    if (loss != NULL) json_object_set_new(json, "loss", json_string(loss));
    if (reason.len > 0) json_object_set_new(json, "reason", json_bytes(reason));
    call_answer(call, 200, json);
}

static void lock_watch_read(struct http_call *call) {
    uint64_t now_ms = service_now_ms(call->agent->instance->service), wait_ms = call_number(call, "wait_ms");
    uint64_t until_ms = call_until(call, wait_ms);
    bool held = is_held(call);
    if (held && now_ms < until_ms)
        call_wait(call, call_number(call, "token") | TOKEN_NUMBER);
    else
        watched(call, held ? NULL : "gone", bytes_of("", 0));
}

struct listing {
    json_t *items;
    struct bytes prefix;
    size_t limit;
    bool more;
    uint64_t now_ms;
    enum lock_mode mode; // of the one that is shown
    uint32_t total, holders, waiters;
};

const char *lock_mode_name(enum lock_mode mode) {
    static const char *const names[] = {"exclusive", "shared", "permits", "election"};
    return names[mode];
}

static void list_lock(void *context, struct bytes name, enum lock_mode mode, uint32_t total, uint32_t holders,
                      uint32_t waiters) {
    struct listing *listing = context;
    if (name.len < listing->prefix.len || memcmp(name.data, listing->prefix.data, listing->prefix.len) != 0) return;
    if (json_array_size(listing->items) == listing->limit) {
        listing->more = true;
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "name", json_bytes(name));
    json_object_set_new(json, "mode", json_string(lock_mode_name(mode)));
    json_object_set_new(json, "total", json_number(total));
    json_object_set_new(json, "holders", json_number(holders));
    json_object_set_new(json, "waiters", json_number(waiters));
    json_array_append_new(listing->items, json);
}

static void lock_list_read(struct http_call *call) {
    struct listing listing = {
        .items = json_array(), .prefix = call_text(call, "prefix"), .limit = call_number(call, "limit")};
    struct lock_query query = {.name = bytes_of("", 0), .lock = list_lock, .context = &listing};
    struct result result;
    service_query(call->agent->instance->service, MODEL_LOCK, &query, &result);
    json_t *json = json_object();
    json_object_set_new(json, "locks", listing.items);
    json_object_set_new(json, "more", json_boolean(listing.more));
    call_answer(call, 200, json);
}

json_t *lock_claim_json(const struct lock_claim_info *claim, uint64_t now_ms) {
    json_t *json = json_object();
    json_object_set_new(json, "owner", json_bytes(claim->owner));
    json_object_set_new(json, "session", json_number(claim->session));
    json_object_set_new(json, "ticket", json_number(claim->ticket));
    json_object_set_new(json, "token", json_number(claim->token));
    json_object_set_new(json, "mode", json_string(lock_mode_name(claim->mode)));
    json_object_set_new(json, "permits", json_number(claim->permits));
    json_object_set_new(json, "holds", json_number(claim->holds));
    json_object_set_new(json, "for_ms", json_number(native_until(claim->since_ms, now_ms)));
    json_object_set_new(json, "ttl_ms", json_number(claim->ttl_ms));
    json_object_set_new(json, "due_in_ms", json_number(native_until(now_ms, claim->due_ms)));
    return json;
}

static void show_claim(void *context, const struct lock_claim_info *claim) {
    struct listing *listing = context;
    if (json_array_size(listing->items) == listing->limit) return;
    json_array_append_new(listing->items, lock_claim_json(claim, listing->now_ms));
}

static void show_lock(void *context, struct bytes name, enum lock_mode mode, uint32_t total, uint32_t holders,
                      uint32_t waiters) {
    struct listing *listing = context;
    listing->mode = mode;
    listing->total = total;
    listing->holders = holders;
    listing->waiters = waiters;
}

static void lock_show_read(struct http_call *call) {
    struct service *service = call->agent->instance->service;
    struct listing listing = {
        .items = json_array(), .limit = call_number(call, "limit"), .now_ms = native_log_ms(call)};
    struct lock_query query = {
        .name = call_text(call, "name"), .lock = show_lock, .claim = show_claim, .context = &listing};
    struct result result;
    service_query(service, MODEL_LOCK, &query, &result);
    json_t *json = json_object();
    json_object_set_new(json, "name", json_bytes(query.name));
    json_object_set_new(json, "mode", json_string(lock_mode_name(listing.mode)));
    json_object_set_new(json, "total", json_number(listing.total));
    json_object_set_new(json, "holders", json_number(listing.holders));
    json_object_set_new(json, "waiters", json_number(listing.waiters));
    json_object_set_new(json, "claims", listing.items);
    call_answer(call, 200, json);
}

// ---- events

static void on_event(struct http_instance *instance, const void *value) {
    const struct lock_event *event = value;
    static const char *const losses[] = {
        [LOCK_LOSS_EXPIRED] = "expired", [LOCK_LOSS_SESSION] = "session", [LOCK_LOSS_BROKEN] = "broken"};
    uint64_t wanted = event->type == LOCK_EVENT_LOST ? event->token | TOKEN_NUMBER : event->ticket;
    struct http_call *call;
    if (event->type == LOCK_EVENT_LEADER) return; // native_election.c
    while ((call = call_waiting_for(instance, wanted)) != NULL) {
        if (event->type == LOCK_EVENT_GRANTED)
            granted(call, event->token, event->ticket, 1);
        else if (event->type == LOCK_EVENT_TIMED_OUT)
            call_fail(call, "timed-out", NULL, NULL);
        else if (event->type == LOCK_EVENT_CANCELLED)
            call_fail(call, "cancelled", NULL, NULL);
        else if (event->type == LOCK_EVENT_SUPERSEDED)
            call_fail(call, "superseded", NULL, NULL);
        else
            watched(call, losses[event->loss], event->reason);
    }
}

// ---- the table
#define NAME                                                                                                           \
    { .name = "name", .type = NATIVE_TEXT, .low = 1, .high = LOCK_NAME_BYTES_MAX, .required = true, .help = "the lock" }
#define OWNER                                                                                                          \
    {                                                                                                                  \
        .name = "owner", .type = NATIVE_TEXT, .low = 0, .high = LOCK_OWNER_BYTES_MAX,                                  \
        .help = "who holds it: with a session, one of its owners (a thread, say); without one, a name that nobody "    \
                "else uses"                                                                                            \
    }
#define TOKEN                                                                                                          \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true,                         \
        .help = "the grant's fencing token"                                                                            \
    }
#define TTL                                                                                                            \
    {                                                                                                                  \
        .name = "ttl_ms", .type = NATIVE_NUMBER, .high = LOCK_TTL_MS_MAX,                                              \
        .help = "it ends so long after the grant or the last renewal; 0: with its session only. One of both is wanted" \
    }
#define DELAY                                                                                                          \
    {                                                                                                                  \
        .name = "delay_ms", .type = NATIVE_NUMBER, .high = LOCK_TTL_MS_MAX,                                            \
        .help = "after a loss that was no release, nobody gets it for so long"                                         \
    }
#define MODE                                                                                                           \
    {                                                                                                                  \
        .name = "mode", .type = NATIVE_CHOICE, .choices = "exclusive|shared|permits",                                  \
        .help = "shared: with others that are shared; permits: some of `total` (a semaphore)"                          \
    }
FIELDS(acquire_fields) = {NAME,
                          OWNER,
                          MODE,
                          {.name = "permits",
                           .type = NATIVE_NUMBER,
                           .low = 1,
                           .high = UINT32_MAX,
                           .standard = 1,
                           .help = "how many, of mode permits"},
                          {.name = "total",
                           .type = NATIVE_NUMBER,
                           .high = UINT32_MAX,
                           .help = "of how many: fixed while anybody holds or waits"},
                          SESSION,
                          TTL,
                          {.name = "wait_ms",
                           .type = NATIVE_NUMBER,
                           .high = LOCK_TTL_MS_MAX,
                           .help = "waits in line for so long; 0: not at all. The answer comes with the grant; who "
                                   "closes the connection waits no longer"},
                          DELAY,
                          END};
FIELDS(acquire_answer) = {{.name = "token",
                           .type = NATIVE_NUMBER,
                           .help = "fencing token: larger than that of every grant before, of any lock or election"},
                          {.name = "ticket", .type = NATIVE_NUMBER, .help = "number of the claim"},
                          {.name = "holds", .type = NATIVE_NUMBER, .help = "how often this owner holds it now"},
                          END};
FIELDS(acquire_all_fields) = {
    {.name = "names", .type = NATIVE_TEXTS, .high = LOCK_ALL_MAX, .help = "locks to hold exclusively"},
    {.name = "shared_names", .type = NATIVE_TEXTS, .high = LOCK_ALL_MAX, .help = "locks to share; at most 64 of both"},
    OWNER,
    SESSION,
    TTL,
    DELAY,
    END};
FIELDS(acquire_all_answer) = {
    {.name = "tokens", .type = NATIVE_NUMBERS, .help = "the tokens, in the order of names, then of shared_names"}, END};
FIELDS(release_fields) = {
    NAME, OWNER, SESSION, TOKEN, {.name = "all", .type = NATIVE_BOOL, .help = "all of its holds, not one"}, END};
FIELDS(holds_answer) = {{.name = "holds", .type = NATIVE_NUMBER, .help = "how often this owner still holds it"}, END};
FIELDS(renew_fields) = {NAME,
                        OWNER,
                        SESSION,
                        TOKEN,
                        {.name = "ttl_ms",
                         .type = NATIVE_NUMBER,
                         .low = 1,
                         .high = LOCK_TTL_MS_MAX,
                         .required = true,
                         .help = "from now on; of a lock that was acquired with one"},
                        END};
FIELDS(cancel_fields) = {NAME,
                         OWNER,
                         SESSION,
                         {.name = "ticket",
                          .type = NATIVE_NUMBER,
                          .low = 1,
                          .high = INT64_MAX,
                          .required = true,
                          .help = "of the claim that waits"},
                         END};
FIELDS(cancel_answer) = {{.name = "granted", .type = NATIVE_BOOL, .help = "too late: it had been granted, and is held"},
                         {.name = "token", .type = NATIVE_NUMBER, .help = "of the grant, if so"},
                         END};
FIELDS(break_fields) = {NAME,
                        TOKEN,
                        {.name = "reason",
                         .type = NATIVE_TEXT,
                         .low = 1,
                         .high = LOCK_REASON_BYTES_MAX,
                         .required = true,
                         .help = "what its holder is told"},
                        END};
FIELDS(verify_fields) = {NAME, TOKEN, END};
FIELDS(verify_answer) = {{.name = "valid", .type = NATIVE_BOOL, .help = "it is held under this token"}, END};
FIELDS(watch_fields) = {NAME,
                        TOKEN,
                        {.name = "wait_ms",
                         .type = NATIVE_NUMBER,
                         .high = NATIVE_WATCH_MS_MAX,
                         .standard = NATIVE_WATCH_MS_DEFAULT,
                         .help = "the answer comes after so long, or when the lock is lost"},
                        END};
FIELDS(watch_answer) = {{.name = "held", .type = NATIVE_BOOL, .help = "it is still held under this token"},
                        {.name = "loss",
                         .type = NATIVE_TEXT,
                         .help = "if it was lost in this time: expired, session or broken; gone: not held any more"},
                        {.name = "reason", .type = NATIVE_TEXT, .help = "broken: the operator's reason"},
                        END};
FIELDS(list_fields) = {
    {.name = "prefix", .type = NATIVE_TEXT, .high = LOCK_NAME_BYTES_MAX, .help = "only names that begin so"},
    {.name = "limit",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = NATIVE_LIST_MAX,
     .standard = NATIVE_LIST_DEFAULT,
     .help = "so many at most"},
    END};
FIELDS(list_answer) = {{.name = "locks",
                        .type = NATIVE_OBJECTS,
                        .help = "each with name, mode, total, holders and waiters (how many), oldest first"},
                       {.name = "more", .type = NATIVE_BOOL, .help = "there are more than the limit"},
                       END};
FIELDS(show_fields) = {NAME,
                       {.name = "limit",
                        .type = NATIVE_NUMBER,
                        .low = 1,
                        .high = NATIVE_LIST_MAX,
                        .standard = NATIVE_LIST_DEFAULT,
                        .help = "so many claims at most"},
                       END};
FIELDS(show_answer) = {
    {.name = "name", .type = NATIVE_TEXT, .help = "the lock"},
    {.name = "mode", .type = NATIVE_TEXT, .help = "exclusive (or shared), permits, or election (see /v1/election)"},
    {.name = "total", .type = NATIVE_NUMBER, .help = "of permits"},
    {.name = "holders", .type = NATIVE_NUMBER, .help = "how many"},
    {.name = "waiters", .type = NATIVE_NUMBER, .help = "how many"},
    {.name = "claims",
     .type = NATIVE_OBJECTS,
     .help =
         "holders, then waiters in their order: owner, session (its number; 0: none), ticket, token (0: waits), mode, "
         "permits, holds, for_ms (holds or waits so long), ttl_ms and due_in_ms (0: none)"},
    END};

static const struct native_operation operations[] = {
    {.path = "/v1/lock/acquire",
     .about = "Takes a lock, or waits for it in line. An owner that holds it gets it once more (holds grows); one that "
              "waits for it keeps its place.",
     .fields = acquire_fields,
     .answer = acquire_answer,
     .errors = "not-held busy timed-out cancelled superseded deadlock kind limit session-expired session-moved ",
     .keyed = true,
     .keyed_if = "with a session, without ttl_ms and wait_ms",
     .kept = "name owner ",
     .run = lock_acquire_run,
     .reply = lock_acquire_reply,
     .gone = lock_acquire_gone},
    {.path = "/v1/lock/acquire_all",
     .about = "Takes several locks in one step, or none of them; it does not wait.",
     .fields = acquire_all_fields,
     .answer = acquire_all_answer,
     .errors = "not-held busy kind limit session-expired session-moved ",
     .keyed = true,
     .keyed_if = "with a session, without ttl_ms",
     .run = lock_acquire_all_run,
     .reply = lock_acquire_all_reply},
    {.path = "/v1/lock/release",
     .about = "Gives back one hold, or all. The first who waits gets the lock.",
     .fields = release_fields,
     .answer = holds_answer,
     .errors = "not-held session-expired session-moved ",
     .keyed = true,
     .run = lock_release_run,
     .reply = lock_held_reply},
    {.path = "/v1/lock/renew",
     .about = "Lets a lock with a time to live go on.",
     .fields = renew_fields,
     .answer = holds_answer,
     .errors = "not-held session-expired session-moved ",
     .run = lock_renew_run,
     .reply = lock_held_reply},
    {.path = "/v1/lock/cancel",
     .about = "Waits no longer. A lock that was granted meanwhile is held, and the answer says so.",
     .fields = cancel_fields,
     .answer = cancel_answer,
     .errors = "not-held session-expired session-moved ",
     .run = lock_cancel_run,
     .reply = lock_cancel_reply},
    {.path = "/v1/lock/break",
     .about = "Takes a lock away from its holder, with a reason that it is told (an operator's last resort).",
     .fields = break_fields,
     .answer = no_fields,
     .errors = "not-held forbidden ",
     .administration = true,
     .keyed = true,
     .run = lock_break_run,
     .reply = lock_held_reply},
    {.path = "/v1/lock/verify",
     .about = "For resources: is the lock held under this token? As of a moment after the request came.",
     .fields = verify_fields,
     .answer = verify_answer,
     .errors = "",
     .run = call_read,
     .read = lock_verify_read},
    {.path = "/v1/lock/watch",
     .about = "For holders: answers as soon as the lock is lost.",
     .fields = watch_fields,
     .answer = watch_answer,
     .errors = "",
     .run = call_read,
     .read = lock_watch_read},
    {.path = "/v1/lock/list",
     .about = "Locks that are held or waited for.",
     .fields = list_fields,
     .answer = list_answer,
     .errors = "",
     .run = call_read,
     .read = lock_list_read},
    {.path = "/v1/lock/show",
     .about = "Who holds a lock, who waits, since when. A lock that nobody uses has no claims.",
     .fields = show_fields,
     .answer = show_answer,
     .errors = "",
     .run = call_read,
     .read = lock_show_read},
};
const struct native_room lock_room = {.operations = operations,
                                      .count = sizeof operations / sizeof operations[0],
                                      .model = MODEL_LOCK,
                                      .event = on_event};
