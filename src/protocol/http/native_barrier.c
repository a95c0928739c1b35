// Double barriers and latches over HTTP.
#include "base/assert.h"
#include "model/barrier/barrier.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"

// Who enters or leaves waits for its ticket; who waits for a latch, for the latch.
#define TICKET ((uint64_t)MODEL_BARRIER << 56)
#define LATCH (TICKET | 1ull << 55)

static void fail(struct http_call *call, int error) {
    static const char *const names[] = {[-BARRIER_BUSY] = "busy",           [-BARRIER_KIND] = "kind",
                                        [-BARRIER_NOT_FOUND] = "not-found", [-BARRIER_MISMATCH] = "mismatch",
                                        [-BARRIER_LIMIT] = "limit",         [-BARRIER_BAD_ARGUMENTS] = "bad-request"};
    ENSURE(error < 0 && (size_t)-error < sizeof names / sizeof names[0]);
    call_fail(call, names[-error], NULL, NULL);
}

// ---- double barriers

static void enter_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    barrier_write_enter(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                        call_text(call, "member"), (uint32_t)call_number(call, "members"),
                        call_number(call, "wait_ms"));
    call_submit(call, &w);
}

static void entered(struct http_call *call, uint64_t round) {
    json_t *json = json_object();
    json_object_set_new(json, "round", json_number(round));
    call_answer(call, 200, json);
}

static void left(struct http_call *call, bool over) {
    json_t *json = json_object();
    json_object_set_new(json, "over", json_boolean(over));
    call_answer(call, 200, json);
}

static void member_reply(struct http_call *call, const struct result *result) {
    const struct barrier_result *barrier = result->value;
    if (result->op == BARRIER_CANCEL)
        call_end(call);
    else if (result->error != 0)
        fail(call, result->error);
    else if (barrier->waits)
        call_wait(call, barrier->ticket | TICKET);
    else if (result->op == BARRIER_ENTER)
        entered(call, barrier->round);
    else
        left(call, barrier->over);
}

// In line no longer. Who was let in meanwhile stays inside: the others have begun, and its session answers for it.
static void enter_gone(struct http_call *call) {
    if (call->open->answer == NULL && call_number_waited(call) != 0) {
        struct writer w;
        writer_init(&w);
        barrier_write_cancel(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                             call_text(call, "member"), call_number_waited(call) & ~TICKET);
        agent_submit(call->agent, &w);
    }
    call_end(call);
}

static void leave_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    barrier_write_leave(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                        call_text(call, "member"), call_number(call, "round"), call_number(call, "wait_ms"));
    call_submit(call, &w);
}

// ---- latches

static void latch_set_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    barrier_write_latch_set(&w, call_text(call, "name"), call_number(call, "count"), call_number(call, "ttl_ms"));
    call_submit(call, &w);
}

static void latch_down_run(struct http_call *call) {
    struct bytes request = call_text(call, "request_id");
    struct writer w;
    writer_init(&w);
    barrier_write_latch_down(&w, call_text(call, "name"), call_number(call, "by"), request,
                             request.len > 0 ? call_number(call, "request_ttl_ms") : 0);
    call_submit(call, &w);
}

static void latch_delete_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    barrier_write_latch_delete(&w, call_text(call, "name"));
    call_submit(call, &w);
}

static void latch_answer(struct http_call *call, uint64_t count) {
    json_t *json = json_object();
    json_object_set_new(json, "count", json_number(count));
    call_answer(call, 200, json);
}

static void latch_reply(struct http_call *call, const struct result *result) {
    const struct barrier_result *barrier = result->value;
    if (result->error != 0)
        fail(call, result->error);
    else if (result->op == BARRIER_LATCH_DELETE)
        call_answer(call, 200, json_object());
    else
        latch_answer(call, barrier->count);
}

static void keep_latch(void *context, const struct latch_info *info) {
    *(struct latch_info *)context = *info;
}

static void latch_wait_read(struct http_call *call) {
    struct service *service = call->agent->instance->service;
    struct latch_info latch = {.number = 0};
    struct barrier_query query = {
        .page = {.name = call_text(call, "name"), .max = 1}, .latch = keep_latch, .context = &latch};
    struct result result;
    service_query(service, MODEL_BARRIER, &query, &result);
    uint64_t until_ms = call_until(call, call_number(call, "wait_ms"));
    if (latch.number == 0)
        fail(call, BARRIER_NOT_FOUND);
    else if (latch.count > 0 && service_now_ms(service) < until_ms)
        call_wait(call, latch.number | LATCH);
    else
        latch_answer(call, latch.count);
}

// ---- reads

struct showing {
    struct native_list list;
    json_t *places, *shown;
};

static json_t *barrier_json(const struct barrier_info *info) {
    json_t *json = json_object();
    json_object_set_new(json, "name", json_bytes(info->name));
    json_object_set_new(json, "members", json_number(info->size));
    json_object_set_new(json, "round", json_number(info->round));
    json_object_set_new(json, "inside", json_number(info->inside));
    json_object_set_new(json, "leaving", json_number(info->leaving));
    json_object_set_new(json, "waiting", json_number(info->waiting));
    return json;
}

static void list_barrier(void *context, const struct barrier_info *info) {
    struct native_list *list = context;
    if (native_list_takes(list)) json_array_append_new(list->items, barrier_json(info));
}

static void list_latch(void *context, const struct latch_info *info) {
    struct native_list *list = context;
    if (!native_list_takes(list)) return;
    json_t *json = json_object();
    json_object_set_new(json, "name", json_bytes(info->name));
    json_object_set_new(json, "count", json_number(info->count));
    json_object_set_new(json, "from", json_number(info->from));
    uint64_t due_ms = info->due_ms == NO_DEADLINE ? 0 : info->due_ms;
    json_object_set_new(json, "due_in_ms", json_number(native_until(list->now_ms, due_ms)));
    json_array_append_new(list->items, json);
}

static void show_barrier(void *context, const struct barrier_info *info) {
    ((struct showing *)context)->shown = barrier_json(info);
}

static void show_place(void *context, const struct barrier_place_info *info) {
    static const char *const states[] = {"waits", "inside", "leaves"};
    struct showing *showing = context;
    if (json_array_size(showing->places) >= showing->list.limit) return;
    json_t *json = json_object();
    json_object_set_new(json, "member", json_bytes(info->member));
    json_object_set_new(json, "session", json_number(info->session));
    json_object_set_new(json, "state", json_string(states[info->state]));
    json_object_set_new(json, "for_ms", json_number(native_until(info->since_ms, showing->list.now_ms)));
    json_array_append_new(showing->places, json);
}

static void barrier_show_read(struct http_call *call) {
    struct showing showing = {.list = {.limit = (size_t)call_number(call, "limit"), .now_ms = native_log_ms(call)},
                              .places = json_array()};
    struct barrier_query query = {.page = {.name = call_text(call, "name"), .max = 1},
                                  .barrier = show_barrier,
                                  .place = show_place,
                                  .context = &showing};
    struct result result;
    service_query(call->agent->instance->service, MODEL_BARRIER, &query, &result);
    if (showing.shown == NULL) {
        json_decref(showing.places);
        fail(call, BARRIER_NOT_FOUND);
        return;
    }
    json_object_set_new(showing.shown, "places", showing.places);
    call_answer(call, 200, showing.shown);
}

static void barrier_list_read(struct http_call *call) {
    struct native_list list;
    struct barrier_query query = {.page = call_page(call, &list), .barrier = list_barrier, .context = &list};
    struct result result;
    service_query(call->agent->instance->service, MODEL_BARRIER, &query, &result);
    native_list_answer(call, &list, "barriers");
}

static void latch_list_read(struct http_call *call) {
    struct native_list list;
    struct barrier_query query = {.page = call_page(call, &list), .latch = list_latch, .context = &list};
    struct result result;
    service_query(call->agent->instance->service, MODEL_BARRIER, &query, &result);
    native_list_answer(call, &list, "latches");
}

// ---- events

static void on_event(struct http_instance *instance, const void *value) {
    const struct barrier_event *event = value;
    bool latch = event->type == BARRIER_EVENT_LATCH;
    struct http_call *call;
    while ((call = call_waiting_for(instance, latch ? event->latch | LATCH : event->ticket | TICKET)) != NULL) {
        if (latch && event->gone)
            fail(call, BARRIER_NOT_FOUND);
        else if (latch)
            latch_answer(call, 0);
        else if (event->type == BARRIER_EVENT_ENTERED)
            entered(call, event->round);
        else if (event->type == BARRIER_EVENT_LEFT)
            left(call, event->over);
        else
            call_fail(call,
                      event->type == BARRIER_EVENT_TIMED_OUT    ? "timed-out"
                      : event->type == BARRIER_EVENT_SUPERSEDED ? "superseded"
                                                                : "cancelled",
                      NULL, NULL);
    }
}

// ---- the table
#define BARRIER_NAME                                                                                                   \
    {                                                                                                                  \
        .name = "name", .type = NATIVE_TEXT, .low = 1, .high = BARRIER_NAME_BYTES_MAX, .required = true,               \
        .help = "the barrier"                                                                                          \
    }
#define LATCH_NAME                                                                                                     \
    {                                                                                                                  \
        .name = "name", .type = NATIVE_TEXT, .low = 1, .high = BARRIER_NAME_BYTES_MAX, .required = true,               \
        .help = "the latch"                                                                                            \
    }
#define MEMBER                                                                                                         \
    {                                                                                                                  \
        .name = "member", .type = NATIVE_TEXT, .high = BARRIER_MEMBER_BYTES_MAX,                                       \
        .help = "who of the session: a session may be several members"                                                 \
    }
#define LEFT_COUNT                                                                                                     \
    { .name = "count", .type = NATIVE_NUMBER, .help = "what is left" }

FIELDS(enter_fields) = {
    BARRIER_NAME,
    MEMBER,
    SESSION_REQUIRED,
    {.name = "members",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = BARRIER_SIZE_MAX,
     .required = true,
     .help = "so many make a round; all who use the barrier say the same"},
    {.name = "wait_ms",
     .type = NATIVE_NUMBER,
     .high = BARRIER_WAIT_MS_MAX,
     .help = "waits in line for so long; 0: enters only if the others are there. Who closes the connection waits no "
             "longer"},
    END};
FIELDS(enter_answer) = {{.name = "round",
                         .type = NATIVE_NUMBER,
                         .help = "the round that it is in: wanted for leaving. Rounds' numbers grow"},
                        END};
FIELDS(leave_fields) = {BARRIER_NAME,
                        MEMBER,
                        SESSION_REQUIRED,
                        {.name = "round",
                         .type = NATIVE_NUMBER,
                         .low = 1,
                         .high = INT64_MAX,
                         .required = true,
                         .help = "as enter gave it. Of a round that is over, the answer comes at once"},
                        {.name = "wait_ms",
                         .type = NATIVE_NUMBER,
                         .high = BARRIER_WAIT_MS_MAX,
                         .help = "for the others to leave, so long at most. It has left in any case"},
                        END};
FIELDS(leave_answer) = {{.name = "over", .type = NATIVE_BOOL, .help = "all have left"}, END};
FIELDS(show_fields) = {BARRIER_NAME, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), END};
FIELDS(show_answer) = {
    {.name = "name", .type = NATIVE_TEXT, .help = "the barrier"},
    {.name = "members", .type = NATIVE_NUMBER, .help = "of a round"},
    {.name = "round", .type = NATIVE_NUMBER, .help = "the one that is on; 0: none"},
    {.name = "inside", .type = NATIVE_NUMBER, .help = "how many"},
    {.name = "leaving", .type = NATIVE_NUMBER, .help = "how many have left, and wait for the others"},
    {.name = "waiting", .type = NATIVE_NUMBER, .help = "how many are in line for the next round"},
    {.name = "places",
     .type = NATIVE_OBJECTS,
     .help = "in the order in which they came: member, session (its number), state (waits, inside, leaves) and for_ms"},
    END};
FIELDS(list_fields) = {PAGE_PREFIX, PAGE_AFTER, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), END};
FIELDS(list_answer) = {{.name = "barriers",
                        .type = NATIVE_OBJECTS,
                        .help = "each with name, members, round, inside, leaving and waiting, in the order of names"},
                       MORE,
                       END};
FIELDS(set_fields) = {
    LATCH_NAME,
    {.name = "count", .type = NATIVE_NUMBER, .high = LATCH_COUNT_MAX, .required = true, .help = "counts down from it"},
    {.name = "ttl_ms",
     .type = NATIVE_NUMBER,
     .high = BARRIER_WAIT_MS_MAX,
     .help = "it is deleted after so long; 0: by its deletion only"},
    END};
FIELDS(count_answer) = {LEFT_COUNT, END};
FIELDS(down_fields) = {
    LATCH_NAME,
    {.name = "by", .type = NATIVE_NUMBER, .low = 1, .high = LATCH_COUNT_MAX, .standard = 1, .help = "counts so many"},
    {.name = "request_id",
     .type = NATIVE_TEXT,
     .high = REMEMBER_ID_BYTES_MAX,
     .help = "a retry under the same id counts once, and gets the same answer"},
    {.name = "request_ttl_ms",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = REMEMBER_TTL_MS_MAX,
     .standard = ONE_DAY_MS,
     .help = "how long the id is remembered"},
    END};
FIELDS(latch_name_fields) = {LATCH_NAME, END};
FIELDS(wait_fields) = {LATCH_NAME,
                       {.name = "wait_ms",
                        .type = NATIVE_NUMBER,
                        .high = NATIVE_WATCH_MS_MAX,
                        .standard = NATIVE_WATCH_MS_DEFAULT,
                        .help = "the answer comes after so long, or at zero"},
                       END};
FIELDS(latch_list_answer) = {
    {.name = "latches",
     .type = NATIVE_OBJECTS,
     .help = "each with name, count, from (what it was set to) and due_in_ms (0: none), in the order of names"},
    MORE,
    END};

static const struct native_operation operations[] = {
    {.path = "/v1/barrier/enter",
     .about = "Waits in line until a round begins with this member: when nobody is inside and as many as `members` "
              "wait. A member whose session ends has left.",
     .fields = enter_fields,
     .answer = enter_answer,
     .errors = "busy timed-out cancelled superseded kind limit session-expired session-moved ",
     .run = enter_run,
     .reply = member_reply,
     .gone = enter_gone},
    {.path = "/v1/barrier/leave",
     .about = "Leaves, and may wait until all have left. May be asked again.",
     .fields = leave_fields,
     .answer = leave_answer,
     .errors = "superseded limit session-expired session-moved ",
     .run = leave_run,
     .reply = member_reply},
    {.path = "/v1/barrier/show",
     .about = "Who is inside, who leaves, who waits.",
     .fields = show_fields,
     .answer = show_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = barrier_show_read},
    {.path = "/v1/barrier/list",
     .about = "Barriers that are in use.",
     .fields = list_fields,
     .answer = list_answer,
     .errors = "",
     .run = call_read,
     .read = barrier_list_read},
    {.path = "/v1/latch/set",
     .about = "Makes a latch, or sets it anew; who waits for it waits on.",
     .fields = set_fields,
     .answer = count_answer,
     .errors = "",
     .run = latch_set_run,
     .reply = latch_reply},
    {.path = "/v1/latch/count_down",
     .about = "Counts down, to zero at most.",
     .fields = down_fields,
     .answer = count_answer,
     .errors = "not-found mismatch limit ",
     .run = latch_down_run,
     .reply = latch_reply},
    {.path = "/v1/latch/wait",
     .about = "Answers when the latch is at zero. A count that is not zero says that the time was over. Who asks again "
              "(at another node, say) is told of the latch as it is then.",
     .fields = wait_fields,
     .answer = count_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = latch_wait_read},
    {.path = "/v1/latch/delete",
     .about = "Ends a latch; who waits for it is told that there is none.",
     .fields = latch_name_fields,
     .answer = no_fields,
     .errors = "not-found ",
     .run = latch_delete_run,
     .reply = latch_reply},
    {.path = "/v1/latch/list",
     .about = "Latches.",
     .fields = list_fields,
     .answer = latch_list_answer,
     .errors = "",
     .run = call_read,
     .read = latch_list_read},
};
const struct native_room barrier_room = {.operations = operations,
                                         .count = sizeof operations / sizeof operations[0],
                                         .model = MODEL_BARRIER,
                                         .event = on_event};
