// Naming over HTTP: arguments into commands, results into answers; watches, picking.
#include "base/assert.h"
#include "model/registry/registry.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include "protocol/http/view.h"
#include <string.h>

#define INTERVAL_MS_DEFAULT 5000u
#define TIMEOUT_MS_DEFAULT 2000u
#define FAILURES_DEFAULT 3u
#define SUCCESSES_DEFAULT 1u
#define LEASE_MS_DEFAULT 30000u // most requests are done by then

static bool succeeded(struct http_call *call, const struct result *result) {
    static const char *const names[] = {[-REGISTRY_NOT_FOUND] = "not-found",
                                        [-REGISTRY_OLD] = "old-registration",
                                        [-REGISTRY_NONE] = "none-ready",
                                        [-REGISTRY_LIMIT] = "limit",
                                        [-REGISTRY_BAD_ARGUMENTS] = "bad-request"};
#define X(name, code, text) [-(code)] = text,
    static const char *const texts[] = {REGISTRY_ERRORS(X)};
#undef X
    if (result->error == 0) return true;
    ENSURE(result->error < 0 && (size_t)-result->error < sizeof names / sizeof names[0]);
    const struct registry_result *registry = result->value;
    json_t *members = json_object();
    if (result->error == REGISTRY_OLD && registry != NULL)
        json_object_set_new(members, "registration", json_number(registry->registration));
    call_fail(call, names[-result->error], texts[-result->error], members);
    return false;
}

static void refuse(struct http_call *call, const char *why) {
    call_fail(call, "bad-request", why, NULL);
}

// ---- register

static void write_metadata(const struct http_call *call, struct writer *pairs) {
    const char *key;
    json_t *value;
    writer_init(pairs);
    json_object_foreach((json_t *)call_value(call, "metadata")->list, key, value) registry_metadata_write(
        pairs, bytes_of_text(key), bytes_of(json_string_value(value), json_string_length(value)));
}

// "tcp", or "http:/path"
static bool read_check(const struct http_call *call, struct registry_check *check) {
    struct bytes text = call_text(call, "check");
    *check = (struct registry_check){0};
    if (text.len == 0) return true;
    check->interval_ms = call_number(call, "interval_ms");
    check->timeout_ms = call_number(call, "timeout_ms");
    check->failures = (uint32_t)call_number(call, "failures");
    check->successes = (uint32_t)call_number(call, "successes");
    check->kind = REGISTRY_CHECK_TCP;
    if (bytes_equal(text, bytes_of_text("tcp"))) return true;
    if (text.len < 6 || memcmp(text.data, "http:", 5) != 0) return false;
    check->kind = REGISTRY_CHECK_HTTP;
    check->path = bytes_of(text.data + 5, text.len - 5);
    return true;
}

static const char *read_registration(const struct http_call *call, struct registry_registration *out) {
    *out = (struct registry_registration){.service = call_text(call, "service"),
                                          .id = call_text(call, "id"),
                                          .address = call_text(call, "address"),
                                          .zone = call_text(call, "zone"),
                                          .weight = (uint32_t)call_number(call, "weight"),
                                          .ttl_ms = call_number(call, "ttl_ms")};
    bool session = call_session(call) != 0, permanent = call_number(call, "permanent") != 0;
    if (out->id.len == 0) out->id = out->address;
    out->binding = permanent ? REGISTRY_PERMANENT : session ? REGISTRY_BY_SESSION : REGISTRY_BY_TTL;
    if (session + permanent + (out->ttl_ms > 0) != 1)
        return "one of session, ttl_ms and permanent is wanted: what ends it?";
    if (!read_check(call, &out->check)) return "check is tcp, or http: with a path";
    if (permanent && out->check.kind == REGISTRY_CHECK_NONE)
        return "permanent wants a check: else nobody would notice that it is gone";
    if (!registry_address_good(out->address)) return "address is host:port";
    return NULL;
}

static void register_run(struct http_call *call) {
    struct registry_registration registration;
    const char *wrong = read_registration(call, &registration);
    if (wrong != NULL) {
        refuse(call, wrong);
        return;
    }
    struct writer w, pairs;
    write_metadata(call, &pairs);
    registration.metadata = bytes_of(pairs.data, pairs.len);
    writer_init(&w);
    registry_write_register(&w, call_session(call), call_attach_number(call), &registration);
    writer_free(&pairs);
    call_submit(call, &w);
}

static void register_reply(struct http_call *call, const struct result *result) {
    const struct registry_result *registry = result->value;
    if (!succeeded(call, result)) return;
    json_t *json = json_object();
    json_object_set_new(json, "registration", json_number(registry->registration));
    json_object_set_new(json, "replaced", json_number(registry->replaced));
    json_object_set_new(json, "version", json_number(registry->version));
    call_answer(call, 200, json);
}

// ---- what holders and operators ask

static void deregister_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    registry_write_deregister(&w, call_text(call, "service"), call_text(call, "id"), call_number(call, "registration"));
    call_submit(call, &w);
}

static void renew_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    registry_write_renew(&w, call_text(call, "service"), call_text(call, "id"), call_number(call, "registration"),
                         call_number(call, "ttl_ms"));
    call_submit(call, &w);
}

static void update_run(struct http_call *call) {
    struct registry_update update = {.service = call_text(call, "service"),
                                     .id = call_text(call, "id"),
                                     .registration = call_number(call, "registration"),
                                     .weight = (uint32_t)call_number(call, "weight"),
                                     .drain = call_number(call, "drain") != 0};
    if (call_value(call, "weight")->given) update.what |= REGISTRY_SET_WEIGHT;
    if (call_value(call, "drain")->given) update.what |= REGISTRY_SET_DRAIN;
    if (call_value(call, "metadata")->given) update.what |= REGISTRY_SET_METADATA;
    if (update.what == 0) {
        refuse(call, "weight, drain or metadata is wanted: what shall change?");
        return;
    }
    struct writer w, pairs;
    write_metadata(call, &pairs);
    update.metadata = bytes_of(pairs.data, pairs.len);
    writer_init(&w);
    registry_write_update(&w, &update);
    writer_free(&pairs);
    call_submit(call, &w);
}

static void report_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    registry_write_report(&w, call_text(call, "service"), call_text(call, "id"), call_number(call, "registration"), 0,
                          call_number(call, "passing") != 0 ? REGISTRY_PASSING : REGISTRY_FAILING,
                          call_text(call, "output"));
    call_submit(call, &w);
}

static void done_reply(struct http_call *call, const struct result *result) {
    const struct registry_result *registry = result->value;
    if (!succeeded(call, result)) return;
    json_t *json = json_object();
    if (result->op != REGISTRY_RELEASE) json_object_set_new(json, "version", json_number(registry->version));
    call_answer(call, 200, json);
}

// ---- instances as JSON

static json_t *metadata_json(struct bytes metadata) {
    json_t *json = json_object();
    struct reader pairs = reader_of(metadata.data, metadata.len);
    struct bytes key, value;
    while (registry_metadata_read(&pairs, &key, &value))
        json_object_setn_new(json, (const char *)key.data, key.len, json_bytes(value));
    return json;
}

static void set_target(json_t *json, const struct registry_info *info) { // what a caller needs
    json_object_set_new(json, "id", json_bytes(info->id));
    json_object_set_new(json, "address", json_bytes(info->address));
    json_object_set_new(json, "zone", json_bytes(info->zone));
    json_object_set_new(json, "weight", json_number(info->weight));
    json_object_set_new(json, "metadata", metadata_json(info->metadata));
}

static json_t *check_json(const struct registry_check *check) {
    if (check->kind == REGISTRY_CHECK_TCP) return json_string("tcp");
    if (check->kind == REGISTRY_CHECK_NONE) return json_string("");
    return json_sprintf("http:%.*s", (int)check->path.len, (const char *)check->path.data);
}

static json_t *instance_json(const struct registry_info *info, uint64_t now_ms) {
    static const char *const healths[] = {"unknown", "passing", "failing"};
    static const char *const bindings[] = {"session", "ttl", "permanent"};
    json_t *json = json_object();
    set_target(json, info);
    json_object_set_new(json, "health", json_string(healths[info->health]));
    json_object_set_new(json, "draining", json_boolean(info->draining));
    json_object_set_new(json, "output", json_bytes(info->output));
    json_object_set_new(json, "check", check_json(&info->check));
    json_object_set_new(json, "binding", json_string(bindings[info->binding]));
    json_object_set_new(json, "session", json_number(info->session));
    json_object_set_new(json, "registration", json_number(info->registration));
    json_object_set_new(json, "active", json_number(info->active));
    json_object_set_new(json, "for_ms", json_number(native_until(info->since_ms, now_ms)));
    json_object_set_new(json, "health_for_ms", json_number(native_until(info->health_since_ms, now_ms)));
    bool ends = info->due_ms != NO_DEADLINE;
    json_object_set_new(json, "due_in_ms", json_number(ends ? native_until(now_ms, info->due_ms) : 0));
    return json;
}

// ---- reads

// With `stale`, as this node has it; else as of a moment after the request came.
static void read_run(struct http_call *call) {
    if (call_number(call, "stale") != 0)
        call->operation->read(call);
    else
        call_read(call);
}

static int ask(const struct http_call *call, const struct registry_query *query) {
    struct result result;
    service_query(call->agent->instance->service, MODEL_REGISTRY, query, &result);
    return result.error;
}

json_t *registry_service_json(const struct registry_service_info *info) {
    json_t *json = json_object();
    json_object_set_new(json, "service", json_bytes(info->service));
    json_object_set_new(json, "version", json_number(info->version));
    json_object_set_new(json, "instances", json_number(info->instances));
    json_object_set_new(json, "ready", json_number(info->ready));
    json_object_set_new(json, "failing", json_number(info->failing));
    json_object_set_new(json, "leases", json_number(info->leases));
    return json;
}

static void list_service(void *context, const struct registry_service_info *info) {
    struct native_list *list = context;
    if (native_list_takes(list)) json_array_append_new(list->items, registry_service_json(info));
}

static void list_read(struct http_call *call) {
    struct native_list list;
    struct items_page page = call_page(call, &list);
    struct registry_query query = {
        .prefix = page.prefix, .after = page.after, .max = page.max, .on_service = list_service, .context = &list};
    ask(call, &query);
    native_list_answer(call, &list, "services");
}

static void list_instance(void *context, const struct registry_info *info) {
    struct native_list *list = context;
    if (native_list_takes(list)) json_array_append_new(list->items, instance_json(info, list->now_ms));
}

static json_t *service_json(const struct http_call *call, struct bytes after, uint64_t *version) {
    struct native_list list = {
        .items = json_array(), .limit = (size_t)call_number(call, "limit"), .now_ms = native_log_ms(call)};
    struct registry_query query = {.service = call_text(call, "service"),
                                   .after = after,
                                   .max = list.limit + 1,
                                   .version = version,
                                   .on_instance = list_instance,
                                   .context = &list};
    ask(call, &query);
    json_t *json = json_object();
    json_object_set_new(json, "version", json_number(*version));
    json_object_set_new(json, "instances", list.items);
    json_object_set_new(json, "more", json_boolean(list.more));
    return json;
}

static void show_read(struct http_call *call) {
    uint64_t version;
    call_answer(call, 200, service_json(call, call_text(call, "after"), &version));
}

// ---- watch: any service's change, or one service's

static uint64_t watch_number(struct bytes service) { // of all: of an empty name
    return (uint64_t)MODEL_REGISTRY << 56 | hash_bytes(service.data, service.len, 0) >> 8;
}

static void watch_read(struct http_call *call) {
    uint64_t now_ms = service_now_ms(call->agent->instance->service), version = 0;
    struct bytes service = call_text(call, "service");
    struct registry_query query = {.service = service, .version = &version};
    uint64_t until_ms = call_until(call, call_number(call, "wait_ms"));
    ask(call, &query);
    bool changed = version != call_number(call, "version"); // lower: a backup was restored
    if (!changed && now_ms < until_ms) {
        call_wait(call, watch_number(service));
        return;
    }
    json_t *json = service.len > 0 && changed ? service_json(call, bytes_of("", 0), &version) : json_object();
    json_object_set_new(json, "changed", json_boolean(changed));
    json_object_set_new(json, "version", json_number(version));
    call_answer(call, 200, json);
}

// Read behind the event, not in it: one entry may change a service in several steps.
static void wake(struct http_instance *instance, struct bytes service) {
    struct http_call *call;
    while ((call = call_waiting_for(instance, watch_number(service))) != NULL) call_read(call);
}

static void on_event(struct http_instance *instance, const void *event) {
    wake(instance, ((const struct registry_event *)event)->instance.service);
    wake(instance, bytes_of("", 0));
}

// ---- pick

static const char *pick_wrong(const struct http_call *call) {
    enum registry_strategy strategy = (enum registry_strategy)call_number(call, "strategy");
    if ((strategy == REGISTRY_HASH) != (call_text(call, "key").len > 0)) return "key goes with hash";
    if (strategy == REGISTRY_LEAST_ACTIVE) return call_value(call, "stale")->given ? "a lease is a write" : NULL;
    return call_value(call, "lease_ms")->given ? "lease_ms goes with least-active" : NULL;
}

static void pick_run(struct http_call *call) {
    const char *wrong = pick_wrong(call);
    struct writer w;
    if (wrong != NULL) {
        refuse(call, wrong);
    } else if (call_number(call, "strategy") == REGISTRY_LEAST_ACTIVE) {
        writer_init(&w);
        registry_write_lease(&w, call_session(call), call_attach_number(call), call_text(call, "service"),
                             call_text(call, "zone"), (uint32_t)call_number(call, "spill_below"),
                             call_number(call, "lease_ms"));
        call_submit(call, &w);
    } else {
        read_run(call);
    }
}

static void pick_reply(struct http_call *call, const struct result *result) {
    const struct registry_result *registry = result->value;
    if (!succeeded(call, result)) return;
    json_t *json = json_object();
    set_target(json, &registry->instance);
    json_object_set_new(json, "lease", json_number(registry->token));
    call_answer(call, 200, json);
}

static void pick_gone(struct http_call *call) {
    json_int_t token = json_integer_value(json_object_get(call->open->answer, "lease"));
    if (token != 0) {
        struct writer w;
        writer_init(&w);
        registry_write_release(&w, (uint64_t)token);
        agent_submit(call->agent, &w);
    }
    call_end(call);
}

static void pick_instance(void *context, const struct registry_info *info) {
    set_target(context, info);
}

static void pick_read(struct http_call *call) {
    struct http_instance *instance = call->agent->instance;
    struct registry_pick pick = {.strategy = (enum registry_strategy)call_number(call, "strategy"),
                                 .key = call_text(call, "key"),
                                 .zone = call_text(call, "zone"),
                                 .spill_below = (uint32_t)call_number(call, "spill_below")};
    json_t *json = json_object();
    struct registry_query query = {
        .service = call_text(call, "service"), .pick = &pick, .on_instance = pick_instance, .context = json};
    if (pick.strategy == REGISTRY_RANDOM) service_random(instance->service, &pick.random, sizeof pick.random);
    if (pick.strategy == REGISTRY_WEIGHTED || pick.strategy == REGISTRY_ROUND_ROBIN)
        pick.rotation = native_turn(instance, query.service, pick.zone, pick.strategy);
    struct result result = {.model = MODEL_REGISTRY, .error = ask(call, &query)};
    if (result.error == 0) {
        call_answer(call, 200, json);
        return;
    }
    json_decref(json);
    succeeded(call, &result);
}

static void release_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    registry_write_release(&w, call_number(call, "lease"));
    call_submit(call, &w);
}

// ---- the table
#define SERVICE                                                                                                        \
    {                                                                                                                  \
        .name = "service", .type = NATIVE_TEXT, .low = 1, .high = REGISTRY_NAME_BYTES_MAX, .required = true,           \
        .help = "its name: letters, digits and . _ - : / @ +"                                                          \
    }
#define ID                                                                                                             \
    {                                                                                                                  \
        .name = "id", .type = NATIVE_TEXT, .low = 1, .high = REGISTRY_ID_BYTES_MAX, .required = true,                  \
        .help = "of the instance"                                                                                      \
    }
#define REGISTRATION(required_, help_)                                                                                 \
    {                                                                                                                  \
        .name = "registration", .type = NATIVE_NUMBER, .low = required_, .high = INT64_MAX, .required = required_,     \
        .help = help_                                                                                                  \
    }
#define WEIGHT                                                                                                         \
    {                                                                                                                  \
        .name = "weight", .type = NATIVE_NUMBER, .low = 1, .high = REGISTRY_WEIGHT_MAX, .standard = 1,                 \
        .help = "its share of what is picked by weight, hash and least-active"                                         \
    }
#define ZONE(help_)                                                                                                    \
    { .name = "zone", .type = NATIVE_TEXT, .high = REGISTRY_ZONE_BYTES_MAX, .help = help_ }
#define METADATA                                                                                                       \
    {                                                                                                                  \
        .name = "metadata", .type = NATIVE_PAIRS, .high = REGISTRY_PAIRS_MAX,                                          \
        .help = "labels: names of up to 63 bytes (as of services) with up to 255 bytes, 2,048 bytes in all"            \
    }
#define VERSION                                                                                                        \
    { .name = "version", .type = NATIVE_NUMBER, .help = "of the service: index of its last change; only grows" }
#define STALE                                                                                                          \
    {                                                                                                                  \
        .name = "stale", .type = NATIVE_BOOL,                                                                          \
        .help = "as this node knows it, at once: also without a leader, and perhaps a little old"                      \
    }
#define INSTANCES                                                                                                      \
    {                                                                                                                  \
        .name = "instances", .type = NATIVE_OBJECTS,                                                                   \
        .help = "by id: id, address, zone, weight, metadata, health (passing, failing, unknown: not checked yet), "    \
                "draining, output (of its check), check, binding (session, ttl, permanent), session (its number; 0: "  \
                "none), registration, active (leases), for_ms, health_for_ms, due_in_ms (0: no time to live)"          \
    }

FIELDS(register_fields) = {
    SERVICE,
    {.name = "address",
     .type = NATIVE_TEXT,
     .low = 3,
     .high = REGISTRY_ADDRESS_BYTES_MAX,
     .required = true,
     .help = "host:port, where it can be reached"},
    {.name = "id",
     .type = NATIVE_TEXT,
     .high = REGISTRY_ID_BYTES_MAX,
     .help = "of the instance; empty: the address. The newest registration of an id takes the place of the one before"},
    ZONE("where it stands, for picking near by"),
    WEIGHT,
    METADATA,
    {.name = "ttl_ms",
     .type = NATIVE_NUMBER,
     .high = REGISTRY_TTL_MS_MAX,
     .help = "it goes so long after now or its last renewal"},
    {.name = "permanent", .type = NATIVE_BOOL, .help = "it stays until it is deregistered; wants a check"},
    {.name = "check",
     .type = NATIVE_TEXT,
     .high = REGISTRY_PATH_BYTES_MAX + 5,
     .help = "how the leader finds out whether it is well: tcp (it accepts a connection), or http: and a path (GET "
             "answers 2xx). Empty: not at all, it is passing until it reports otherwise"},
    {.name = "interval_ms",
     .type = NATIVE_NUMBER,
     .low = REGISTRY_INTERVAL_MS_MIN,
     .high = REGISTRY_INTERVAL_MS_MAX,
     .standard = INTERVAL_MS_DEFAULT,
     .help = "between two checks"},
    {.name = "timeout_ms",
     .type = NATIVE_NUMBER,
     .low = REGISTRY_TIMEOUT_MS_MIN,
     .high = REGISTRY_TIMEOUT_MS_MAX,
     .standard = TIMEOUT_MS_DEFAULT,
     .help = "a check that takes longer has failed"},
    {.name = "failures",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = REGISTRY_STREAK_MAX,
     .standard = FAILURES_DEFAULT,
     .help = "so many in a row and it is failing"},
    {.name = "successes",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = REGISTRY_STREAK_MAX,
     .standard = SUCCESSES_DEFAULT,
     .help = "so many in a row and it is passing"},
    SESSION,
    END};
FIELDS(register_answer) = {
    {.name = "registration", .type = NATIVE_NUMBER, .help = "its number, larger than all before"},
    {.name = "replaced", .type = NATIVE_NUMBER, .help = "the registration of this id before; 0: none"},
    VERSION,
    END};
#define WHICHEVER "of this registration only; 0: whichever it is"
FIELDS(deregister_fields) = {SERVICE, ID, REGISTRATION(0, WHICHEVER), END};
FIELDS(version_answer) = {VERSION, END};
FIELDS(renew_fields) = {
    SERVICE,
    ID,
    REGISTRATION(1, "the number that register gave"),
    {.name = "ttl_ms", .type = NATIVE_NUMBER, .high = REGISTRY_TTL_MS_MAX, .help = "from now on; 0: as before"},
    END};
FIELDS(update_fields) = {SERVICE,
                         ID,
                         REGISTRATION(0, WHICHEVER),
                         WEIGHT,
                         {.name = "drain",
                          .type = NATIVE_BOOL,
                          .help = "true: it is picked no more, and stays registered; false: it is picked again"},
                         METADATA,
                         END};
FIELDS(report_fields) = {
    SERVICE,
    ID,
    REGISTRATION(1, "the number that register gave"),
    {.name = "passing", .type = NATIVE_BOOL, .required = true, .help = "false: it is failing, and picked no more"},
    {.name = "output", .type = NATIVE_TEXT, .high = REGISTRY_OUTPUT_BYTES_MAX, .help = "a few words why"},
    END};
FIELDS(list_fields) = {PAGE_PREFIX, PAGE_AFTER, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), STALE, END};
FIELDS(list_answer) = {{.name = "services",
                        .type = NATIVE_OBJECTS,
                        .help = "by name: service, version, instances, ready (passing and not draining), leases"},
                       MORE,
                       END};
FIELDS(show_fields) = {
    SERVICE,
    {.name = "after", .type = NATIVE_TEXT, .high = REGISTRY_ID_BYTES_MAX, .help = "only ids behind this one"},
    LIST_LIMIT(REGISTRY_SERVICE_MAX, NATIVE_LIST_DEFAULT),
    STALE,
    END};
FIELDS(show_answer) = {VERSION, INSTANCES, MORE, END};
FIELDS(watch_fields) = {
    {.name = "service", .type = NATIVE_TEXT, .high = REGISTRY_NAME_BYTES_MAX, .help = "empty: all services"},
    {.name = "version", .type = NATIVE_NUMBER, .high = INT64_MAX, .help = "known already; 0: nothing is"},
    {.name = "wait_ms",
     .type = NATIVE_NUMBER,
     .high = NATIVE_WATCH_MS_MAX,
     .standard = NATIVE_WATCH_MS_DEFAULT,
     .help = "then the answer is that nothing has changed"},
    LIST_LIMIT(REGISTRY_SERVICE_MAX, NATIVE_LIST_DEFAULT),
    END};
FIELDS(watch_answer) = {{.name = "changed", .type = NATIVE_BOOL, .help = "the version is not the one that was known"},
                        {.name = "version", .type = NATIVE_NUMBER, .help = "of the service, or of all together"},
                        INSTANCES,
                        MORE,
                        END};
FIELDS(pick_fields) = {
    SERVICE,
    {.name = "strategy",
     .type = NATIVE_CHOICE,
     .choices = "weighted|round-robin|random|hash|least-active",
     .help = "weighted, round-robin: in turns, as this node has given them; hash: by key; least-active: with the "
             "fewest leases out, in the whole cluster. See docs/naming.md"},
    {.name = "key",
     .type = NATIVE_TEXT,
     .high = ITEM_NAME_BYTES_MAX,
     .help = "hash: equal keys get the same instance; when instances come and go, as few keys as can be change theirs"},
    ZONE("instances of this zone first"),
    {.name = "spill_below",
     .type = NATIVE_NUMBER,
     .high = 100,
     .help = "other zones' instances too when less than so many percent of the zone's are ready; 0: when none is"},
    {.name = "lease_ms",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = REGISTRY_LEASE_MS_MAX,
     .standard = LEASE_MS_DEFAULT,
     .help = "least-active: what is not released counts as at work for so long"},
    STALE,
    SESSION,
    END};
FIELDS(pick_answer) = {{.name = "id", .type = NATIVE_TEXT, .help = "of the instance"},
                       {.name = "address", .type = NATIVE_TEXT, .help = "host:port"},
                       {.name = "zone", .type = NATIVE_TEXT, .help = "where it stands"},
                       {.name = "weight", .type = NATIVE_NUMBER, .help = "its weight"},
                       {.name = "metadata", .type = NATIVE_PAIRS, .help = "its labels"},
                       {.name = "lease", .type = NATIVE_NUMBER, .help = "least-active: to release it"},
                       END};
FIELDS(release_fields) = {
    {.name = "lease", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true, .help = "that pick gave"},
    END};

static const struct native_operation operations[] = {
    {.path = "/v1/registry/register",
     .about = "Registers an instance of a service, for as long as its session lives, ttl_ms is renewed, or for ever "
              "(permanent).",
     .fields = register_fields,
     .answer = register_answer,
     .errors = "limit session-expired session-moved ",
     .run = register_run,
     .reply = register_reply},
    {.path = "/v1/registry/deregister",
     .about = "Takes an instance out.",
     .fields = deregister_fields,
     .answer = version_answer,
     .errors = "not-found old-registration ",
     .run = deregister_run,
     .reply = done_reply},
    {.path = "/v1/registry/renew",
     .about = "Lets an instance with ttl_ms live on. That is no change: its service's version stays.",
     .fields = renew_fields,
     .answer = version_answer,
     .errors = "not-found old-registration ",
     .run = renew_run,
     .reply = done_reply},
    {.path = "/v1/registry/update",
     .about = "Changes weight, metadata, or whether it is drained; what is not given stays.",
     .fields = update_fields,
     .answer = version_answer,
     .errors = "not-found old-registration ",
     .run = update_run,
     .reply = done_reply},
    {.path = "/v1/registry/report",
     .about = "An instance without a check says of itself whether it is well.",
     .fields = report_fields,
     .answer = version_answer,
     .errors = "not-found old-registration ",
     .run = report_run,
     .reply = done_reply},
    {.path = "/v1/registry/list",
     .about = "Services, by name.",
     .fields = list_fields,
     .answer = list_answer,
     .errors = "",
     .run = read_run,
     .read = list_read},
    {.path = "/v1/registry/show",
     .about = "The instances of a service. A service without any is answered with none.",
     .fields = show_fields,
     .answer = show_answer,
     .errors = "",
     .run = read_run,
     .read = show_read},
    {.path = "/v1/registry/watch",
     .about = "Waits until a service's version, or that of all, is another one than the one given. It may say so once "
              "too often, never once too little.",
     .fields = watch_fields,
     .answer = watch_answer,
     .errors = "",
     .run = call_read,
     .read = watch_read},
    {.path = "/v1/registry/pick",
     .about = "One instance that is passing and not draining, or none-ready.",
     .fields = pick_fields,
     .answer = pick_answer,
     .errors = "none-ready limit session-expired session-moved ",
     .run = pick_run,
     .reply = pick_reply,
     .read = pick_read,
     .gone = pick_gone},
    {.path = "/v1/registry/release",
     .about = "Ends a lease of least-active: the call is over.",
     .fields = release_fields,
     .answer = no_fields,
     .errors = "not-found ",
     .run = release_run,
     .reply = done_reply},
};
const struct native_room registry_room = {.operations = operations,
                                          .count = sizeof operations / sizeof operations[0],
                                          .model = MODEL_REGISTRY,
                                          .event = on_event};
