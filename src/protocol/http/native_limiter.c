// Rate limits over HTTP: arguments into commands, results into answers. A refusal is an answer (allowed: false).
#include "base/assert.h"
#include "model/limiter/limiter.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include "protocol/http/view.h"

#define X(name, code, text) [-(code)] = text,
static const char *const error_texts[] = {LIMITER_ERRORS(X)};
#undef X
static const char *const algorithms[] = {"fixed-window", "sliding-window", "leaky-bucket", "token-bucket",
                                         "concurrency"};

static bool succeeded(struct http_call *call, const struct result *result) {
    static const char *const names[] = {[-LIMITER_NOT_HELD] = "not-held",
                                        [-LIMITER_KIND] = "kind",
                                        [-LIMITER_LIMIT] = "limit",
                                        [-LIMITER_BAD_ARGUMENTS] = "bad-request"};
    if (result->error == 0) return true;
    ENSURE(result->error < 0 && (size_t)-result->error < sizeof names / sizeof names[0]);
    call_fail(call, names[-result->error], error_texts[-result->error], NULL);
    return false;
}

// ---- take, lease

// What the fields do not say one by one; NULL: nothing.
static const char *definition_wrong(const struct limiter_definition *definition) {
    bool permits = definition->algorithm == LIMITER_CONCURRENCY;
    bool bucket = definition->algorithm == LIMITER_TOKEN_BUCKET || definition->algorithm == LIMITER_LEAKY_BUCKET;
    if (permits && definition->window_ms != 0) return "window_ms does not go with concurrency";
    if (!permits && definition->window_ms == 0) return "window_ms is wanted: so many units in how long?";
    if (!bucket && definition->burst != 0) return "burst goes with token-bucket and leaky-bucket";
    return NULL;
}

static bool read_definition(struct http_call *call, struct limiter_definition *out) {
    *out = (struct limiter_definition){.algorithm = (enum limiter_algorithm)call_number(call, "algorithm"),
                                       .rate = (uint32_t)call_number(call, "rate"),
                                       .burst = (uint32_t)call_number(call, "burst"),
                                       .window_ms = call_number(call, "window_ms")};
    const char *wrong = definition_wrong(out);
    if (wrong != NULL) call_fail(call, "bad-request", wrong, NULL);
    return wrong == NULL;
}

static void limiter_take_run(struct http_call *call) {
    struct limiter_definition definition;
    struct writer w;
    if (!read_definition(call, &definition)) return;
    uint64_t ttl_ms = call_number(call, "ttl_ms");
    bool permits = definition.algorithm == LIMITER_CONCURRENCY;
    const char *wrong = NULL;
    if (permits && ttl_ms == 0 && call_session(call) == 0)
        wrong = "a session or ttl_ms is wanted: nothing would ever end the permit";
    if (!permits && ttl_ms != 0) wrong = "ttl_ms goes with concurrency";
    if (wrong != NULL) {
        call_fail(call, "bad-request", wrong, NULL);
        return;
    }
    writer_init(&w);
    limiter_write_take(&w, call_session(call), call_attach_number(call), call_text(call, "name"), &definition,
                       (uint32_t)call_number(call, "cost"), ttl_ms);
    call_submit(call, &w);
}

static void decision(struct http_call *call, const struct limiter_result *limiter, struct writer *w) {
    call->open->retry_after_ms = limiter->retry_after_ms;
    answer_begin(w);
    answer_bool(w, "allowed", limiter->allowed);
    answer_number(w, "limit", limiter->limit);
    answer_number(w, "remaining", limiter->remaining);
    answer_number(w, "retry_after_ms", limiter->retry_after_ms);
    if (limiter->token != 0) answer_number(w, "token", limiter->token);
}

static void limiter_take_reply(struct http_call *call, const struct result *result) {
    const struct limiter_result *limiter = result->value;
    if (!succeeded(call, result)) return;
    struct writer w;
    decision(call, limiter, &w);
    answer_number(&w, "delay_ms", limiter->delay_ms);
    call_answer_text(call, &w);
}

// What a rate allowed is spent; a permit or a lease goes back.
static void limiter_take_gone(struct http_call *call) {
    json_int_t token = json_integer_value(json_object_get(call->open->answer, "token"));
    if (token != 0) {
        struct writer w;
        writer_init(&w);
        limiter_write_release(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                              (uint64_t)token, 0);
        agent_submit(call->agent, &w);
    }
    call_end(call);
}

static void limiter_lease_run(struct http_call *call) {
    struct limiter_definition definition;
    struct writer w;
    if (!read_definition(call, &definition)) return;
    uint64_t units = call_number(call, "units"), least = call_number(call, "least");
    if (least > units || definition.algorithm == LIMITER_CONCURRENCY || definition.algorithm == LIMITER_LEAKY_BUCKET) {
        call_fail(call, "bad-request", "least is at most units; there are no leases of concurrency and leaky-bucket",
                  NULL);
        return;
    }
    writer_init(&w);
    limiter_write_lease(&w, call_session(call), call_attach_number(call), call_text(call, "name"), &definition,
                        (uint32_t)units, (uint32_t)least, call_number(call, "ttl_ms"));
    call_submit(call, &w);
}

static void limiter_lease_reply(struct http_call *call, const struct result *result) {
    const struct limiter_result *limiter = result->value;
    if (!succeeded(call, result)) return;
    struct writer w;
    decision(call, limiter, &w);
    answer_number(&w, "units", limiter->units);
    call_answer_text(call, &w);
}

// ---- permits and leases

static void limiter_release_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    limiter_write_release(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                          call_number(call, "token"), (uint32_t)call_number(call, "used"));
    call_submit(call, &w);
}

static void limiter_release_reply(struct http_call *call, const struct result *result) {
    const struct limiter_result *limiter = result->value;
    if (!succeeded(call, result)) return;
    json_t *json = json_object();
    json_object_set_new(json, "limit", json_number(limiter->limit));
    json_object_set_new(json, "remaining", json_number(limiter->remaining));
    call_answer(call, 200, json);
}

static void limiter_renew_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    limiter_write_renew(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                        call_number(call, "token"), call_number(call, "ttl_ms"));
    call_submit(call, &w);
}

static void limiter_renew_reply(struct http_call *call, const struct result *result) {
    const struct limiter_result *limiter = result->value;
    if (!succeeded(call, result)) return;
    json_t *json = json_object();
    json_object_set_new(json, "units", json_number(limiter->units));
    call_answer(call, 200, json);
}

// ---- reads: as of a moment after the request came

struct listing {
    json_t *items, *shown;
    uint64_t now_ms;
};

json_t *limit_json(const struct limiter_info *info) {
    json_t *json = json_object();
    json_object_set_new(json, "name", json_bytes(info->name));
    json_object_set_new(json, "algorithm", json_string(algorithms[info->definition.algorithm]));
    json_object_set_new(json, "rate", json_number(info->definition.rate));
    json_object_set_new(json, "window_ms", json_number(info->definition.window_ms));
    json_object_set_new(json, "burst", json_number(info->definition.burst));
    json_object_set_new(json, "limit", json_number(info->limit));
    json_object_set_new(json, "remaining", json_number(info->remaining));
    json_object_set_new(json, "used", json_number(info->used));
    json_object_set_new(json, "held", json_number(info->held));
    json_object_set_new(json, "holds", json_number(info->holds));
    return json;
}

static void list_limit(void *context, const struct limiter_info *info) {
    json_array_append_new(((struct listing *)context)->items, limit_json(info));
}
static void show_limit(void *context, const struct limiter_info *info) {
    ((struct listing *)context)->shown = limit_json(info);
}

static void show_hold(void *context, const struct limiter_hold_info *hold) {
    struct listing *listing = context;
    bool ends = hold->until_ms != UINT64_MAX;
    uint64_t now_ms = listing->now_ms;
    json_t *json = json_object();
    json_object_set_new(json, "token", json_number(hold->token));
    json_object_set_new(json, "session", json_number(hold->session));
    json_object_set_new(json, "units", json_number(hold->units));
    json_object_set_new(json, "lease", json_boolean(hold->lease));
    json_object_set_new(json, "for_ms", json_number(native_until(hold->since_ms, now_ms)));
    json_object_set_new(json, "due_in_ms", json_number(ends ? native_until(now_ms, hold->until_ms) : 0));
    json_array_append_new(listing->items, json);
}

static void ask(struct http_call *call, struct limiter_query *query, struct listing *listing) {
    struct result result;
    *listing = (struct listing){.items = json_array(), .now_ms = native_log_ms(call)};
    query->now_ms = listing->now_ms;
    query->context = listing;
    service_query(call->agent->instance->service, MODEL_LIMITER, query, &result);
}

static void limiter_show_read(struct http_call *call) {
    struct listing listing;
    struct limiter_query query = {
        .name = call_text(call, "name"), .max = call_number(call, "limit"), .limit = show_limit, .hold = show_hold};
    ask(call, &query, &listing);
    if (listing.shown == NULL) {
        json_decref(listing.items);
        call_fail(call, "not-found", "nothing of such a limit is in use", NULL);
        return;
    }
    json_object_set_new(listing.shown, "out", listing.items);
    call_answer(call, 200, listing.shown);
}

static void limiter_list_read(struct http_call *call) {
    struct listing listing;
    size_t limit = call_number(call, "limit");
    struct limiter_query query = {
        .name = bytes_of("", 0), .after = call_text(call, "after"), .max = limit + 1, .limit = list_limit};
    ask(call, &query, &listing);
    bool more = json_array_size(listing.items) > limit; // one more was asked for
    if (more) json_array_remove(listing.items, limit);
    json_t *json = json_object();
    json_object_set_new(json, "limits", listing.items);
    json_object_set_new(json, "more", json_boolean(more));
    call_answer(call, 200, json);
}

// ---- the table
#define LIMITER_NAME                                                                                                   \
    {                                                                                                                  \
        .name = "name", .type = NATIVE_TEXT, .low = 1, .high = LIMITER_NAME_BYTES_MAX, .required = true,               \
        .help = "the limit"                                                                                            \
    }
#define ALGORITHM                                                                                                      \
    {                                                                                                                  \
        .name = "algorithm", .type = NATIVE_CHOICE, .required = true,                                                  \
        .choices = "fixed-window|sliding-window|leaky-bucket|token-bucket|concurrency",                                \
        .help = "how it counts; all who use a limit say the same, else what was used counts on under the newest"       \
    }
#define RATE                                                                                                           \
    {                                                                                                                  \
        .name = "rate", .type = NATIVE_NUMBER, .low = 1, .high = LIMITER_UNITS_MAX, .required = true,                  \
        .help = "units in each window_ms; concurrency: units at once"                                                  \
    }
#define WINDOW                                                                                                         \
    { .name = "window_ms", .type = NATIVE_NUMBER, .high = LIMITER_WINDOW_MS_MAX, .help = "wanted, but for concurrency" }
#define BURST                                                                                                          \
    {                                                                                                                  \
        .name = "burst", .type = NATIVE_NUMBER, .high = LIMITER_UNITS_MAX,                                             \
        .help = "of token-bucket and leaky-bucket: what may go at once; 0: as the rate"                                \
    }
#define HOLD_TOKEN                                                                                                     \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true,                         \
        .help = "of the permit or lease"                                                                               \
    }
#define ALLOWED                                                                                                        \
    { .name = "allowed", .type = NATIVE_BOOL, .help = "false: refused, and nothing was used" }
#define ALLOWANCE                                                                                                      \
    { .name = "limit", .type = NATIVE_NUMBER, .help = "how much it allows when nothing is in use" }
#define REMAINING                                                                                                      \
    { .name = "remaining", .type = NATIVE_NUMBER, .help = "how much it allows now" }
#define RETRY_AFTER                                                                                                    \
    {                                                                                                                  \
        .name = "retry_after_ms", .type = NATIVE_NUMBER,                                                               \
        .help = "refused: as it stands, the same may be allowed then (header Retry-After: in seconds); 0: only when "  \
                "somebody gives back"                                                                                  \
    }

FIELDS(limiter_take_fields) = {
    LIMITER_NAME,
    ALGORITHM,
    RATE,
    WINDOW,
    BURST,
    {.name = "cost",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = LIMITER_UNITS_MAX,
     .standard = 1,
     .help = "units that this takes"},
    {.name = "ttl_ms",
     .type = NATIVE_NUMBER,
     .high = LIMITER_TTL_MS_MAX,
     .help = "concurrency: the permit ends so long after now or the last renewal; 0: with its session only"},
    SESSION,
    END};
FIELDS(limiter_take_answer) = {
    ALLOWED,
    ALLOWANCE,
    REMAINING,
    RETRY_AFTER,
    {.name = "delay_ms", .type = NATIVE_NUMBER, .help = "leaky-bucket: its turn is then, for an even rate"},
    {.name = "token", .type = NATIVE_NUMBER, .help = "concurrency: of the permit, to release it"},
    END};
FIELDS(limiter_lease_fields) = {LIMITER_NAME,
                                ALGORITHM,
                                RATE,
                                WINDOW,
                                BURST,
                                {.name = "units",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = LIMITER_UNITS_MAX,
                                 .required = true,
                                 .help = "as many as are free, at most so many"},
                                {.name = "least",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = LIMITER_UNITS_MAX,
                                 .standard = 1,
                                 .help = "fewer are refused"},
                                {.name = "ttl_ms",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = LIMITER_LEASE_MS_MAX,
                                 .required = true,
                                 .help = "what is not released then counts as used. Measure it from before you asked"},
                                SESSION,
                                END};
FIELDS(limiter_lease_answer) = {ALLOWED,
                                ALLOWANCE,
                                REMAINING,
                                RETRY_AFTER,
                                {.name = "token", .type = NATIVE_NUMBER, .help = "of the lease"},
                                {.name = "units", .type = NATIVE_NUMBER, .help = "how many were had"},
                                END};
FIELDS(limiter_release_fields) = {LIMITER_NAME,
                                  HOLD_TOKEN,
                                  {.name = "used",
                                   .type = NATIVE_NUMBER,
                                   .high = LIMITER_UNITS_MAX,
                                   .help = "of a lease: so many of its units were used"},
                                  SESSION,
                                  END};
FIELDS(limiter_release_answer) = {ALLOWANCE, REMAINING, END};
FIELDS(limiter_renew_fields) = {LIMITER_NAME,
                                HOLD_TOKEN,
                                {.name = "ttl_ms",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = LIMITER_TTL_MS_MAX,
                                 .required = true,
                                 .help = "from now on; of what was taken with one"},
                                SESSION,
                                END};
FIELDS(limiter_renew_answer) = {{.name = "units", .type = NATIVE_NUMBER, .help = "of the permit or lease"}, END};
FIELDS(limiter_show_fields) = {LIMITER_NAME, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), END};
FIELDS(limiter_show_answer) = {
    {.name = "name", .type = NATIVE_TEXT, .help = "the limit"},
    ANSWERED("algorithm", TEXT, "as the newest call said, as are rate, burst and window_ms"),
    ANSWERED("rate", NUMBER, "units a window, or at once"),
    ANSWERED("burst", NUMBER, "of buckets: units at once"),
    ANSWERED("window_ms", NUMBER, "of the rate"),
    ALLOWANCE,
    REMAINING,
    {.name = "used", .type = NATIVE_NUMBER, .help = "units, with those that are held"},
    ANSWERED("held", NUMBER, "units in permits and leases"),
    ANSWERED("holds", NUMBER, "how many permits and leases"),
    {.name = "out",
     .type = NATIVE_OBJECTS,
     .help = "permits and leases, the first to end first: token, session (its number; 0: none), units, lease, for_ms, "
             "due_in_ms (0: with its session)"},
    END};
FIELDS(limiter_list_fields) = {{.name = "after",
                                .type = NATIVE_TEXT,
                                .high = LIMITER_NAME_BYTES_MAX,
                                .help = "behind this one, if it still is; to read on"},
                               LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT),
                               END};
FIELDS(limiter_list_answer) = {
    {.name = "limits", .type = NATIVE_OBJECTS, .help = "as show tells of one, in the order of their making"},
    MORE,
    END};

static const struct native_operation operations[] = {
    {.path = "/v1/limiter/take",
     .about = "Takes units of a rate limit, or a permit of a concurrency limit. The definition goes with each call; a "
              "refusal is an answer with allowed: false, not an error.",
     .fields = limiter_take_fields,
     .answer = limiter_take_answer,
     .errors = "not-held kind limit session-expired session-moved ",
     .keyed = true,
     .keyed_if = "of a rate, or with a session and without ttl_ms",
     .run = limiter_take_run,
     .reply = limiter_take_reply,
     .gone = limiter_take_gone},
    {.path = "/v1/limiter/lease",
     .about = "Takes a block of units to give out without asking for each. Not of concurrency and leaky-bucket.",
     .fields = limiter_lease_fields,
     .answer = limiter_lease_answer,
     .errors = "kind limit session-expired session-moved ",
     .run = limiter_lease_run,
     .reply = limiter_lease_reply,
     .gone = limiter_take_gone},
    {.path = "/v1/limiter/release",
     .about = "Gives back a permit, or what was not used of a lease.",
     .fields = limiter_release_fields,
     .answer = limiter_release_answer,
     .errors = "not-held session-expired session-moved ",
     .keyed = true,
     .run = limiter_release_run,
     .reply = limiter_release_reply},
    {.path = "/v1/limiter/renew",
     .about = "Lets a permit or a lease go on.",
     .fields = limiter_renew_fields,
     .answer = limiter_renew_answer,
     .errors = "not-held session-expired session-moved ",
     .run = limiter_renew_run,
     .reply = limiter_renew_reply},
    {.path = "/v1/limiter/show",
     .about = "What is used of a limit, and who holds permits and leases. A limit of which nothing is in use is not "
              "found.",
     .fields = limiter_show_fields,
     .answer = limiter_show_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = limiter_show_read},
    {.path = "/v1/limiter/list",
     .about = "Limits of which something is in use.",
     .fields = limiter_list_fields,
     .answer = limiter_list_answer,
     .errors = "",
     .run = call_read,
     .read = limiter_list_read},
};
const struct native_room limiter_room = {.operations = operations, .count = sizeof operations / sizeof operations[0]};
