// Partitioned topics over HTTP: arguments into commands, results and events into answers. Reading is a linearizable
// read: who waits for messages is woken by an event, and then reads anew, behind another round, so no answer is given
// under a token that had ended when it was asked for.
#include "base/assert.h"
#include "base/base64.h"
#include "model/topic/topic.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include "protocol/http/view.h"
#include <string.h>

// Numbers of calls that wait: for a publish's ticket, for what a token stands for, for what a member reads, and for a
// change of what it may read.
#define TICKET ((uint64_t)MODEL_TOPIC << 56)
#define READS_TOKEN (TICKET | 1ull << 55)
#define READS_MEMBER (TICKET | 1ull << 54)
#define WATCHES_MEMBER (TICKET | 1ull << 53)

#define X(name, code, text) [-(code)] = text,
static const char *const error_texts[] = {TOPIC_ERRORS(X)};
#undef X

static void fail(struct http_call *call, int error) {
    static const char *const names[] = {[-TOPIC_NOT_FOUND] = "not-found",
                                        [-TOPIC_EXISTS] = "exists",
                                        [-TOPIC_FULL] = "full",
                                        [-TOPIC_NOT_ASSIGNED] = "not-assigned",
                                        [-TOPIC_NOT_MEMBER] = "not-member",
                                        [-TOPIC_STRATEGY] = "strategy",
                                        [-TOPIC_PARTITION] = "not-found",
                                        [-TOPIC_OFFSET] = "offset",
                                        [-TOPIC_GAP] = "gap",
                                        [-TOPIC_LIMIT] = "limit",
                                        [-TOPIC_NOT_EMPTY] = "not-empty",
                                        [-TOPIC_BAD_ARGUMENTS] = "bad-request"};
    ENSURE(error < 0 && (size_t)-error < sizeof names / sizeof names[0]);
    call_fail(call, names[-error], error_texts[-error], NULL);
}

static bool succeeded(struct http_call *call, const struct result *result) {
    if (result->error != 0) fail(call, result->error);
    return result->error == 0;
}

static void done_reply(struct http_call *call, const struct result *result) {
    if (succeeded(call, result)) call_answer(call, 200, json_object());
}

// ---- the topic itself

static void create_run(struct http_call *call) {
    const json_t *list = call_value(call, "rooms")->list;
    size_t count = json_array_size(list);
    struct bytes rooms[TOPIC_PARTITIONS_MAX];
    struct topic_options options = {.name = call_text(call, "name"),
                                    .partitions = (uint32_t)call_number(call, "partitions"),
                                    .retention_count = call_number(call, "retention_count"),
                                    .retention_bytes = call_number(call, "retention_bytes"),
                                    .retention_ms = call_number(call, "retention_ms"),
                                    .bytes_max = call_number(call, "bytes_max"),
                                    .rooms = count > 0 ? rooms : NULL};
    if (count > 0 && count != options.partitions) {
        call_fail(call, "bad-request", "rooms has one room for each partition, or none", NULL);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *room = json_array_get(list, i);
        rooms[i] = bytes_of(json_string_value(room), json_string_length(room));
    }
    struct writer w;
    writer_init(&w);
    topic_write_create(&w, &options);
    call_submit(call, &w);
}

static void delete_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    topic_write_delete(&w, call_text(call, "name"));
    call_submit(call, &w);
}

static void group_delete_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    topic_write_group_delete(&w, call_text(call, "name"), call_text(call, "group"));
    call_submit(call, &w);
}

// ---- publish

// The bytes take the text's place in the message, which owns them. NULL, or what is wrong.
static const char *decode(json_t *message) {
    const json_t *text = json_object_get(message, "body_base64");
    if (text == NULL) return NULL;
    if (json_object_get(message, "body") != NULL) return "a message has body or body_base64, not both";
    struct writer w;
    writer_init(&w);
    bool good = json_is_string(text) && base64_read(&w, bytes_of(json_string_value(text), json_string_length(text)));
    if (good) json_object_set_new(message, "body", json_stringn_nocheck((const char *)w.data, w.len));
    writer_free(&w);
    return good ? NULL : "body_base64 is base64, with its padding";
}

static struct bytes text_of(const json_t *json) {
    return json == NULL ? bytes_of("", 0) : bytes_of(json_string_value(json), json_string_length(json));
}

static const char *read_message(json_t *message, struct topic_entry *entry) {
    const char *name, *wrong = decode(message);
    json_t *value;
    if (wrong != NULL) return wrong;
    json_object_foreach(message, name, value) {
        bool number = strcmp(name, "partition") == 0;
        bool text = strcmp(name, "key") == 0 || strcmp(name, "body") == 0 || strcmp(name, "body_base64") == 0;
        if (!number && !text) return "a message has partition, key, body or body_base64";
        if (number && (!json_is_integer(value) || json_integer_value(value) < 0 ||
                       json_integer_value(value) >= TOPIC_PARTITIONS_MAX))
            return "partition is a whole number from 0 on";
        if (text && !json_is_string(value)) return "key, body and body_base64 are strings";
    }
    const json_t *partition = json_object_get(message, "partition");
    *entry = (struct topic_entry){.by_key = partition == NULL,
                                  .partition = (uint32_t)json_integer_value(partition),
                                  .key = text_of(json_object_get(message, "key")),
                                  .body = text_of(json_object_get(message, "body"))};
    if (entry->key.len > TOPIC_KEY_BYTES_MAX) return "a key has at most 255 bytes";
    return entry->body.len > TOPIC_BODY_BYTES_MAX ? "a body has at most 131072 bytes" : NULL;
}

static const char *publish_wrong(const struct http_call *call) {
    bool number = call_value(call, "number")->given, producer = call_value(call, "producer")->given;
    if (number != producer) return "number and producer go together";
    if (number && call_value(call, "dedup_id")->given)
        return "producer does the same as dedup_id: one of them is wanted";
    return NULL;
}

static const char *read_messages(const struct http_call *call, struct topic_publish *publish,
                                 struct topic_entry *entries) {
    const json_t *list = call_value(call, "messages")->list;
    const char *wrong = publish_wrong(call);
    uint64_t bytes = 0;
    publish->count = (uint32_t)json_array_size(list);
    for (uint32_t i = 0; i < publish->count && wrong == NULL; i++) {
        wrong = read_message(json_array_get(list, i), &entries[i]);
        bytes += entries[i].key.len + entries[i].body.len;
    }
    if (wrong == NULL && bytes > TOPIC_PUBLISH_BYTES_MAX)
        wrong = "one publish has at most 163840 bytes of keys and bodies";
    publish->entries = entries;
    return wrong;
}

static void publish_run(struct http_call *call) {
    struct topic_entry entries[TOPIC_PUBLISH_MAX] = {0};
    bool dedup = call_value(call, "dedup_id")->given;
    struct topic_publish publish = {.name = call_text(call, "name"),
                                    .dedup = call_text(call, "dedup_id"),
                                    .dedup_ms = dedup ? call_number(call, "dedup_ms") : 0,
                                    .producer = call_text(call, "producer"),
                                    .number = call_number(call, "number")};
    const char *wrong = read_messages(call, &publish, entries);
    if (wrong != NULL) {
        call_fail(call, "bad-request", wrong, NULL);
        return;
    }
    struct writer w;
    writer_init(&w);
    topic_write_publish(&w, call_session(call), call_attach_number(call), &publish);
    call_submit(call, &w);
}

static void published(struct http_call *call, const struct topic_place *places, uint32_t count, bool duplicate) {
    json_t *json = json_object(), *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *place = json_object();
        json_object_set_new(place, "partition", json_number(places[i].partition));
        json_object_set_new(place, "offset", json_number(places[i].offset));
        json_array_append_new(list, place);
    }
    json_object_set_new(json, "places", list);
    json_object_set_new(json, "duplicate", json_boolean(duplicate));
    call_answer(call, 200, json);
}

static void publish_reply(struct http_call *call, const struct result *result) {
    const struct topic_result *topic = result->value;
    if (!succeeded(call, result)) return;
    if (topic->waits)
        call_wait(call, topic->ticket | TICKET); // who goes has published it all the same
    else
        published(call, topic->places, topic->place_count, topic->duplicate);
}

// ---- members

static void join_run(struct http_call *call) {
    const json_t *list = call_value(call, "partitions")->list;
    uint32_t partitions[TOPIC_PARTITIONS_MAX];
    struct topic_join join = {.topic = call_text(call, "name"),
                              .group = call_text(call, "group"),
                              .member = call_text(call, "member"),
                              .ttl_ms = call_number(call, "ttl_ms"),
                              .strategy = (enum topic_strategy)call_number(call, "strategy"),
                              .start = (enum topic_start)call_number(call, "start"),
                              .handover_ms = call_number(call, "handover_ms"),
                              .room = call_text(call, "room"),
                              .partitions = partitions,
                              .partition_count = (uint32_t)json_array_size(list)};
    if ((call_session(call) != 0) == (join.ttl_ms > 0)) {
        call_fail(call, "bad-request", "a session or ttl_ms is wanted, and not both", NULL);
        return;
    }
    for (uint32_t i = 0; i < join.partition_count; i++)
        partitions[i] = (uint32_t)json_integer_value(json_array_get(list, i));
    struct writer w;
    writer_init(&w);
    topic_write_join(&w, call_session(call), call_attach_number(call), &join);
    call_submit(call, &w);
}

static void member_reply(struct http_call *call, const struct result *result) {
    const struct topic_result *topic = result->value;
    if (!succeeded(call, result)) return;
    json_t *json = json_object();
    if (result->op == TOPIC_JOIN) json_object_set_new(json, "member_id", json_number(topic->member));
    json_object_set_new(json, "generation", json_number(topic->generation));
    json_object_set_new(json, "version", json_number(topic->version));
    call_answer(call, 200, json);
}

static void heartbeat_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    topic_write_heartbeat(&w, call_text(call, "name"), call_text(call, "group"), call_number(call, "member_id"));
    call_submit(call, &w);
}

static void leave_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    topic_write_leave(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                      call_text(call, "group"), call_number(call, "member_id"));
    call_submit(call, &w);
}

static void release_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    topic_write_release(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                        call_text(call, "group"), (uint32_t)call_number(call, "partition"), call_number(call, "token"));
    call_submit(call, &w);
}

static void commit_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    topic_write_commit(&w, call_session(call), call_attach_number(call), call_text(call, "name"),
                       call_text(call, "group"), (uint32_t)call_number(call, "partition"), call_number(call, "token"),
                       call_number(call, "offset"));
    call_submit(call, &w);
}

static void commit_reply(struct http_call *call, const struct result *result) {
    const struct topic_result *topic = result->value;
    if (!succeeded(call, result)) return;
    json_t *json = json_object();
    json_object_set_new(json, "committed", json_number(topic->committed));
    json_object_set_new(json, "revoked", json_boolean(topic->revoked));
    call_answer(call, 200, json);
}

// ---- reading

struct reading {
    json_t *partitions, *messages, *groups, *members, *info;
    size_t limit;
    uint64_t now_ms; // log time
    bool revoked, named;
};

static json_t *slot_json(const struct reading *reading, const struct topic_slot_info *info) {
    json_t *json = json_object();
    json_object_set_new(json, "partition", json_number(info->partition));
    if (reading->named) json_object_set_new(json, "member", json_bytes(info->owner_name));
    if (reading->named) json_object_set_new(json, "member_id", json_number(info->owner));
    json_object_set_new(json, "token", json_number(info->token));
    json_object_set_new(json, "revoked", json_boolean(info->revoked));
    if (info->revoked)
        json_object_set_new(json, "handover_in_ms",
                            json_number(native_until(reading->now_ms, info->handover_until_ms)));
    json_object_set_new(json, "committed", json_number(info->committed));
    json_object_set_new(json, "first", json_number(info->first));
    json_object_set_new(json, "end", json_number(info->end));
    json_object_set_new(json, "lag", json_number(info->lag));
    json_object_set_new(json, "dropped", json_number(info->dropped));
    return json;
}

static void take_slot(void *context, const struct topic_slot_info *info) {
    struct reading *reading = context;
    reading->revoked |= info->revoked;
    json_array_append_new(reading->partitions, slot_json(reading, info));
}

static void take_message(void *context, const struct topic_message *message) {
    struct reading *reading = context;
    json_t *json = json_object();
    json_object_set_new(json, "partition", json_number(message->partition));
    json_object_set_new(json, "offset", json_number(message->offset));
    json_object_set_new(json, "key", json_bytes(message->key));
    json_object_set_new(json, "age_ms", json_number(native_until(message->published_ms, reading->now_ms)));
    native_set_bytes(json, "body", "body_base64", message->body);
    json_array_append_new(reading->messages, json);
}

static void ask(struct http_call *call, struct topic_query *query, struct reading *reading) {
    struct result result;
    query->name = call_text(call, "name");
    query->context = reading;
    reading->now_ms = native_log_ms(call);
    service_query(call->agent->instance->service, MODEL_TOPIC, query, &result);
}

static bool may_wait(struct http_call *call) {
    uint64_t until_ms = call_until(call, call_number(call, "wait_ms"));
    return service_now_ms(call->agent->instance->service) < until_ms;
}

static void fetch_read(struct http_call *call) {
    struct reading reading = {.partitions = json_array(), .messages = json_array()};
    struct topic_fetch fetch = {.token = call_number(call, "token"),
                                .partition = (uint32_t)call_number(call, "partition"),
                                .from_offset = call_value(call, "offset")->given,
                                .offset = call_number(call, "offset"),
                                .max = (uint32_t)call_number(call, "max"),
                                .max_bytes = call_number(call, "max_bytes")};
    struct topic_query query = {
        .group = call_text(call, "group"), .slot = take_slot, .message = take_message, .fetch = &fetch};
    ask(call, &query, &reading);
    json_t *slot = json_array_get(reading.partitions, 0);
    if (fetch.error != 0) {
        fail(call, fetch.error);
    } else if (json_array_size(reading.messages) == 0 && !reading.revoked && may_wait(call)) {
        call_wait(call, fetch.token | READS_TOKEN);
    } else {
        json_object_set(slot, "messages", reading.messages);
        json_object_set_new(slot, "next", json_number(fetch.next));
        call_answer(call, 200, json_incref(slot));
    }
    json_decref(reading.partitions);
    json_decref(reading.messages);
}

static void poll_read(struct http_call *call) {
    bool watches = strcmp(call->operation->path, "/v1/topic/watch") == 0;
    struct reading reading = {.partitions = json_array(), .messages = json_array()};
    struct topic_fetch fetch = {.member = call_number(call, "member_id"),
                                .behind = watches ? 0 : (uint32_t)call_number(call, "behind"),
                                .max = watches ? 0 : (uint32_t)call_number(call, "max"),
                                .max_bytes = watches ? 0 : call_number(call, "max_bytes")}; // a watch has no messages
    struct topic_query query = {.group = call_text(call, "group"),
                                .slot = take_slot,
                                .message = watches ? NULL : take_message,
                                .fetch = &fetch};
    ask(call, &query, &reading);
    bool news = json_array_size(reading.messages) > 0 || fetch.version != call_number(call, "version");
    if (fetch.error != 0) {
        fail(call, fetch.error);
    } else if (!news && may_wait(call)) {
        call_wait(call, fetch.member | (watches ? WATCHES_MEMBER : READS_MEMBER));
    } else {
        json_t *json = json_object();
        json_object_set_new(json, "generation", json_number(fetch.generation));
        json_object_set_new(json, "version", json_number(fetch.version));
        json_object_set(json, "partitions", reading.partitions);
        if (!watches) json_object_set(json, "messages", reading.messages);
        call_answer(call, 200, json);
    }
    json_decref(reading.partitions);
    json_decref(reading.messages);
}

// ---- what there is

json_t *topic_json(const struct topic_info *info) {
    const struct {
        const char *name;
        uint64_t number;
    } numbers[] = {{"partition_count", info->partitions},
                   {"group_count", info->groups},
                   {"producers", info->producers},
                   {"messages", info->messages},
                   {"held", info->held},
                   {"bytes", info->bytes},
                   {"bytes_max", info->bytes_max},
                   {"retention_count", info->retention_count},
                   {"retention_bytes", info->retention_bytes},
                   {"retention_ms", info->retention_ms}};
    json_t *json = json_object();
    json_object_set_new(json, "name", json_bytes(info->name));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(json, numbers[i].name, json_number(numbers[i].number));
    return json;
}

static void take_topic(void *context, const struct topic_info *info) {
    struct reading *reading = context;
    json_t *json = topic_json(info);
    if (reading->info == NULL && reading->groups == NULL)
        reading->info = json;
    else
        json_array_append_new(reading->groups, json);
}

static void take_partition(void *context, const struct topic_partition_info *info) {
    json_t *json = json_object();
    json_object_set_new(json, "partition", json_number(info->partition));
    json_object_set_new(json, "first", json_number(info->first));
    json_object_set_new(json, "end", json_number(info->end));
    json_object_set_new(json, "bytes", json_number(info->bytes));
    json_object_set_new(json, "room", json_bytes(info->room));
    json_array_append_new(((struct reading *)context)->partitions, json);
}

json_t *topic_group_json(const struct topic_group_info *info) {
    static const char *const strategies[] = {"any",       "averagely",      "by-circle", "consistent-hash",
                                             "by-config", "by-machine-room"};
    json_t *json = json_object();
    json_object_set_new(json, "name", json_bytes(info->name));
    json_object_set_new(json, "strategy", json_string(strategies[info->strategy]));
    json_object_set_new(json, "generation", json_number(info->generation));
    json_object_set_new(json, "handover_ms", json_number(info->handover_ms));
    json_object_set_new(json, "member_count", json_number(info->members));
    json_object_set_new(json, "lag", json_number(info->lag));
    return json;
}

static void take_group(void *context, const struct topic_group_info *info) {
    json_array_append_new(((struct reading *)context)->groups, topic_group_json(info));
}

static void take_the_group(void *context, const struct topic_group_info *info) {
    ((struct reading *)context)->info = topic_group_json(info);
}

static void take_member(void *context, const struct topic_member_info *info) {
    struct reading *reading = context;
    json_t *json = json_object();
    json_object_set_new(json, "member", json_bytes(info->name));
    json_object_set_new(json, "member_id", json_number(info->number));
    json_object_set_new(json, "session", json_number(info->session));
    json_object_set_new(json, "ttl_ms", json_number(info->ttl_ms));
    json_object_set_new(json, "due_in_ms", json_number(native_until(reading->now_ms, info->due_ms)));
    json_object_set_new(json, "for_ms", json_number(native_until(info->since_ms, reading->now_ms)));
    json_object_set_new(json, "room", json_bytes(info->room));
    json_object_set_new(json, "partition_count", json_number(info->partitions));
    json_array_append_new(reading->members, json);
}

static void show_read(struct http_call *call) {
    struct reading reading = {.partitions = json_array()};
    struct topic_query topic = {.topic = take_topic, .max = 1};
    struct topic_query rest = {.partition = take_partition, .of_group = take_group, .max = TOPIC_GROUPS_MAX};
    ask(call, &topic, &reading);
    reading.groups = json_array();
    ask(call, &rest, &reading);
    if (reading.info != NULL) {
        json_object_set(reading.info, "partitions", reading.partitions);
        json_object_set(reading.info, "groups", reading.groups);
        call_answer(call, 200, reading.info);
    } else {
        fail(call, TOPIC_NOT_FOUND);
    }
    json_decref(reading.partitions);
    json_decref(reading.groups);
}

static void group_read(struct http_call *call) {
    struct reading reading = {.partitions = json_array(), .members = json_array(), .named = true};
    struct topic_query query = {.group = call_text(call, "group"),
                                .of_group = take_the_group,
                                .slot = take_slot,
                                .member = take_member,
                                .max = TOPIC_MEMBERS_MAX};
    ask(call, &query, &reading);
    if (reading.info != NULL) {
        json_object_set(reading.info, "members", reading.members);
        json_object_set(reading.info, "partitions", reading.partitions);
        call_answer(call, 200, reading.info);
    } else {
        fail(call, TOPIC_NOT_FOUND);
    }
    json_decref(reading.partitions);
    json_decref(reading.members);
}

static void list_read(struct http_call *call) {
    size_t limit = (size_t)call_number(call, "limit");
    struct reading reading = {.groups = json_array()};
    struct topic_query query = {
        .after = call_text(call, "after"), .topic = take_topic, .max = limit + 1, .context = &reading};
    struct result result;
    service_query(call->agent->instance->service, MODEL_TOPIC, &query, &result);
    json_t *json = json_object();
    bool more = json_array_size(reading.groups) > limit;
    if (more) json_array_remove(reading.groups, limit);
    json_object_set_new(json, "topics", reading.groups);
    json_object_set_new(json, "more", json_boolean(more));
    call_answer(call, 200, json);
}

// ---- events

static void wake(struct http_instance *instance, uint64_t number) {
    struct http_call *call;
    while ((call = call_waiting_for(instance, number)) != NULL) call_read(call);
}

static void on_event(struct http_instance *instance, const void *value) {
    const struct topic_event *event = value;
    struct http_call *call;
    if (event->type == TOPIC_EVENT_GROWN || event->type == TOPIC_EVENT_CHANGED) {
        if (event->token != 0) wake(instance, event->token | READS_TOKEN);
        wake(instance, event->member | READS_MEMBER);
        if (event->type == TOPIC_EVENT_CHANGED) wake(instance, event->member | WATCHES_MEMBER);
        return;
    }
    while ((call = call_waiting_for(instance, event->ticket | TICKET)) != NULL) {
        if (event->type == TOPIC_EVENT_PUBLISHED)
            published(call, event->places, event->place_count, false);
        else
            call_fail(call, "gap", "an earlier number of its producer did not come in time; it is dropped", NULL);
    }
}

// ---- the table
#define TOPIC_TEXT(name_, high_, required_, help_)                                                                     \
    { .name = name_, .type = NATIVE_TEXT, .low = 1, .high = high_, .required = required_, .help = help_ }
#define TOPIC_NUMBER(name_, low_, high_, standard_, help_)                                                             \
    { .name = name_, .type = NATIVE_NUMBER, .low = low_, .high = high_, .standard = standard_, .help = help_ }
#define TOPIC_WANTED(name_, low_, high_, help_)                                                                        \
    { .name = name_, .type = NATIVE_NUMBER, .low = low_, .high = high_, .required = true, .help = help_ }
#define NAME TOPIC_TEXT("name", TOPIC_NAME_BYTES_MAX, true, "the topic")
#define GROUP TOPIC_TEXT("group", TOPIC_NAME_BYTES_MAX, true, "the consumer group")
#define PARTITION TOPIC_WANTED("partition", 0, TOPIC_PARTITIONS_MAX - 1, "from 0 on")
#define TOKEN TOPIC_WANTED("token", 1, INT64_MAX, "the fencing token under which it is read")
#define MEMBER_ID TOPIC_WANTED("member_id", 1, INT64_MAX, "what join answered")
#define BY_SESSION                                                                                                     \
    { .name = "session", .type = NATIVE_SESSION, .help = "the member's, if it has one: it lives on by this request" }
#define MAX_OF(help_) TOPIC_NUMBER("max", 1, TOPIC_FETCH_MAX, 100, help_)
#define MAX_BYTES                                                                                                      \
    TOPIC_NUMBER("max_bytes", 1, TOPIC_FETCH_BYTES_MAX, TOPIC_FETCH_BYTES_MAX / 4,                                     \
                 "keys and bodies; one is always given")
#define WAIT_MS(help_) TOPIC_NUMBER("wait_ms", 0, NATIVE_WATCH_MS_MAX, 0, help_)
#define VERSION                                                                                                        \
    TOPIC_NUMBER("version", 0, INT64_MAX, 0, "of the assignment that is known: another one is answered at once")
#define GENERATION                                                                                                     \
    { .name = "generation", .type = NATIVE_NUMBER, .help = "of the group: grows with each rebalance" }
#define VERSION_ANSWER                                                                                                 \
    { .name = "version", .type = NATIVE_NUMBER, .help = "of the member's assignment: grows with each change" }
#define ASSIGNED                                                                                                       \
    {                                                                                                                  \
        .name = "partitions", .type = NATIVE_OBJECTS,                                                                  \
        .help =                                                                                                        \
            "that it reads: partition, token, revoked (give it back), handover_in_ms, committed, first, end, lag, "    \
            "dropped (unread, by retention)"                                                                           \
    }
#define MESSAGES                                                                                                       \
    {                                                                                                                  \
        .name = "messages", .type = NATIVE_OBJECTS,                                                                    \
        .help = "each with partition, offset, key, age_ms, and body or, if that is no text, body_base64"               \
    }

FIELDS(create_fields) = {
    NAME,
    TOPIC_WANTED("partitions", 1, TOPIC_PARTITIONS_MAX, "how many, for ever"),
    TOPIC_NUMBER("retention_count", 0, TOPIC_MESSAGES_MAX, 0, "messages that a partition keeps; 0: all"),
    TOPIC_NUMBER("retention_bytes", 0, TOPIC_BYTES_MAX, 0, "keys and bodies that a partition keeps; 0: all"),
    TOPIC_NUMBER("retention_ms", 0, TOPIC_RETENTION_MS_MAX, 0, "how long it keeps a message; 0: for ever"),
    TOPIC_NUMBER("bytes_max", TOPIC_PUBLISH_BYTES_MAX, TOPIC_BYTES_MAX, TOPIC_BYTES_DEFAULT,
                 "keys and bodies of all partitions; more is refused where no retention makes room"),
    {.name = "rooms",
     .type = NATIVE_TEXTS,
     .high = TOPIC_PARTITIONS_MAX,
     .help = "the machine room of each partition, of 1 to 64 bytes, for by-machine-room"},
    END};
FIELDS(name_fields) = {NAME, END};
FIELDS(publish_fields) = {
    NAME,
    {.name = "messages",
     .type = NATIVE_OBJECTS,
     .low = 1,
     .high = TOPIC_PUBLISH_MAX,
     .required = true,
     .help = "published in one step, 163840 bytes at most: each with body (or body_base64), and partition, or key (the "
             "same key, the same partition), or neither (by turns)"},
    TOPIC_TEXT("dedup_id", TOPIC_DEDUP_BYTES_MAX, false,
               "a second publish with it is dropped, and answered as the first"),
    TOPIC_NUMBER("dedup_ms", 1, TOPIC_TIME_MS_MAX, NATIVE_DEDUP_MS_DEFAULT, "dedup_id is remembered so long"),
    TOPIC_TEXT("producer", TOPIC_NAME_BYTES_MAX, false, "numbers its publishes"),
    TOPIC_NUMBER("number", 1, INT64_MAX, 0,
                 "the producer's own, from 1 on: n waits for n - 1, and is published once. The answer comes then"),
    SESSION,
    END};
FIELDS(publish_answer) = {
    {.name = "places",
     .type = NATIVE_OBJECTS,
     .help = "partition and offset of each message; none: an old number, whose places nobody knows any more"},
    {.name = "duplicate", .type = NATIVE_BOOL, .help = "it had been published already"},
    END};
FIELDS(join_fields) = {
    NAME,
    GROUP,
    TOPIC_TEXT("member", TOPIC_NAME_BYTES_MAX, true,
               "its name; who joined under it before, in another session or by a TTL, is a member no more"),
    {.name = "session", .type = NATIVE_SESSION, .help = "it is a member as long as the session lives"},
    TOPIC_NUMBER("ttl_ms", 0, TOPIC_TIME_MS_MAX, 0, "without a session: so long after the last heartbeat"),
    {.name = "strategy",
     .type = NATIVE_CHOICE,
     .choices = "any|averagely|by-circle|consistent-hash|by-config|by-machine-room",
     .help = "all members' the same; any: what the group has, averagely if it is new"},
    {.name = "start",
     .type = NATIVE_CHOICE,
     .choices = "earliest|latest",
     .help = "of a group that this join makes: reads from the first message that is kept, or what comes from now on"},
    TOPIC_NUMBER("handover_ms", 0, TOPIC_TIME_MS_MAX, 0,
                 "of a group without members: a partition that is to move is given back within so long, or taken away; "
                 "0: as it is, 30000 at first"),
    {.name = "room", .type = NATIVE_TEXT, .high = TOPIC_ROOM_BYTES_MAX, .help = "for by-machine-room: where it is"},
    {.name = "partitions",
     .type = NATIVE_PLACES,
     .high = TOPIC_PARTITIONS_MAX,
     .help = "for by-config: which it may read"},
    END};
FIELDS(join_answer) = {{.name = "member_id", .type = NATIVE_NUMBER, .help = "its number: what it names itself by"},
                       GENERATION,
                       VERSION_ANSWER,
                       END};
FIELDS(heartbeat_fields) = {NAME, GROUP, MEMBER_ID, END};
FIELDS(heartbeat_answer) = {GENERATION, VERSION_ANSWER, END};
FIELDS(leave_fields) = {NAME, GROUP, MEMBER_ID, BY_SESSION, END};
FIELDS(poll_fields) = {NAME,
                       GROUP,
                       MEMBER_ID,
                       VERSION,
                       TOPIC_NUMBER("behind", 0, TOPIC_PARTITIONS_MAX, TOPIC_PARTITIONS_MAX,
                                    "begins behind this partition: the one that had its turn last"),
                       MAX_OF("messages of each partition"),
                       MAX_BYTES,
                       WAIT_MS("waits so long for a message, or for another assignment"),
                       BY_SESSION,
                       END};
FIELDS(poll_answer) = {GENERATION, VERSION_ANSWER, ASSIGNED, MESSAGES, END};
FIELDS(watch_fields) = {NAME,       GROUP, MEMBER_ID, VERSION, WAIT_MS("waits so long for another assignment"),
                        BY_SESSION, END};
FIELDS(watch_answer) = {GENERATION, VERSION_ANSWER, ASSIGNED, END};
FIELDS(fetch_fields) = {NAME,
                        GROUP,
                        PARTITION,
                        TOKEN,
                        TOPIC_NUMBER("offset", 0, INT64_MAX, 0, "from this one on, in place of what is committed"),
                        MAX_OF("messages"),
                        MAX_BYTES,
                        WAIT_MS("waits so long for a message"),
                        BY_SESSION,
                        END};
FIELDS(fetch_answer) = {
    MESSAGES,
    {.name = "next", .type = NATIVE_NUMBER, .help = "behind the last message: commit it when all of them are done"},
    {.name = "revoked", .type = NATIVE_BOOL, .help = "it is wanted back: finish, commit, release"},
    ANSWERED("partition", NUMBER, "that was asked of"),
    ANSWERED("token", NUMBER, "under which it is read"),
    ANSWERED("handover_in_ms", NUMBER, "of one that is wanted back: it goes by itself then"),
    ANSWERED("committed", NUMBER, "to be read next, as others see it"),
    ANSWERED("first", NUMBER, "offset of the oldest message"),
    ANSWERED("end", NUMBER, "offset of the next message"),
    ANSWERED("lag", NUMBER, "messages that are not committed"),
    ANSWERED("dropped", NUMBER, "by retention, before they were committed"),
    END};
FIELDS(commit_fields) = {
    NAME,       GROUP, PARTITION, TOKEN, TOPIC_WANTED("offset", 0, INT64_MAX, "to be read next; only forward"),
    BY_SESSION, END};
FIELDS(commit_answer) = {{.name = "committed", .type = NATIVE_NUMBER, .help = "what is to be read next"},
                         {.name = "revoked", .type = NATIVE_BOOL, .help = "it is wanted back: finish, commit, release"},
                         END};
FIELDS(release_fields) = {NAME, GROUP, PARTITION, TOKEN, BY_SESSION, END};
FIELDS(group_fields) = {NAME, GROUP, END};
#define TOPIC_INFO                                                                                                     \
    ANSWERED("name", TEXT, "the topic"), ANSWERED("partition_count", NUMBER, "of its partitions"),                     \
        ANSWERED("group_count", NUMBER, "of its groups"), ANSWERED("producers", NUMBER, "numbered ones, remembered"),  \
        ANSWERED("messages", NUMBER, "of all partitions"), ANSWERED("bytes", NUMBER, "keys and bodies"),               \
        ANSWERED("held", NUMBER, "messages that wait for an earlier number of their producer"),                        \
        ANSWERED("bytes_max", NUMBER, "as create said, as are all below"),                                             \
        ANSWERED("retention_count", NUMBER, "messages of a partition that are kept"),                                  \
        ANSWERED("retention_bytes", NUMBER, "of a partition"), ANSWERED("retention_ms", NUMBER, "age")
#define GROUP_INFO                                                                                                     \
    ANSWERED("name", TEXT, "the group"), ANSWERED("strategy", TEXT, "of allocation"), GENERATION,                      \
        ANSWERED("handover_ms", NUMBER, "how long a reader has to give one back"),                                     \
        ANSWERED("member_count", NUMBER, "of its members"), ANSWERED("lag", NUMBER, "messages to be read")
FIELDS(topic_info_fields) = {TOPIC_INFO, END};
FIELDS(group_info_fields) = {GROUP_INFO, END};
FIELDS(show_answer) = {TOPIC_INFO,
                       {.name = "partitions",
                        .type = NATIVE_OBJECTS,
                        .help = "each with first (its oldest offset), end (the next one), bytes, room"},
                       ANSWERED_OF("groups", OBJECTS, group_info_fields, "by name"),
                       END};
FIELDS(group_answer) = {
    GROUP_INFO,
    {.name = "members",
     .type = NATIVE_OBJECTS,
     .help = "by name: member, member_id, session, ttl_ms, due_in_ms, for_ms, room, partition_count"},
    {.name = "partitions",
     .type = NATIVE_OBJECTS,
     .help =
         "each with member, member_id and token (0: nobody reads it), revoked, committed, first, end, lag, dropped"},
    END};
FIELDS(list_fields) = {PAGE_AFTER, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), END};
FIELDS(list_answer) = {
    ANSWERED_OF("topics", OBJECTS, topic_info_fields, "by name, as show tells of one, without its parts"), MORE, END};

static const struct native_operation operations[] = {
    {.path = "/v1/topic/create",
     .about = "Makes a topic. One that is there with as many partitions gets these settings; what its retention keeps "
              "no more is dropped at once.",
     .fields = create_fields,
     .answer = no_fields,
     .errors = "exists ",
     .run = create_run,
     .reply = done_reply},
    {.path = "/v1/topic/delete",
     .about = "Deletes a topic, with its messages and groups.",
     .fields = name_fields,
     .answer = no_fields,
     .errors = "not-found ",
     .run = delete_run,
     .reply = done_reply},
    {.path = "/v1/topic/publish",
     .about = "Puts messages at the ends of their partitions, in one step.",
     .fields = publish_fields,
     .answer = publish_answer,
     .errors = "not-found full gap limit session-expired session-moved ",
     .run = publish_run,
     .reply = publish_reply},
    {.path = "/v1/topic/join",
     .about = "Makes a member of a group, which is rebalanced in the same step. What it may read, poll and watch tell.",
     .fields = join_fields,
     .answer = join_answer,
     .errors = "not-found strategy limit session-expired session-moved ",
     .run = join_run,
     .reply = member_reply},
    {.path = "/v1/topic/heartbeat",
     .about = "Lets a member with a TTL go on, and tells whether its assignment has changed.",
     .fields = heartbeat_fields,
     .answer = heartbeat_answer,
     .errors = "not-member ",
     .run = heartbeat_run,
     .reply = member_reply},
    {.path = "/v1/topic/leave",
     .about = "Ends a membership: others get its partitions in the same step.",
     .fields = leave_fields,
     .answer = no_fields,
     .errors = "not-member session-expired session-moved ",
     .run = leave_run,
     .reply = done_reply},
    {.path = "/v1/topic/poll",
     .about =
         "What a member may read, and messages from there: of each of its partitions from what is committed on, but "
         "of those that are wanted back. As of a moment after the request came, or after it was woken.",
     .fields = poll_fields,
     .answer = poll_answer,
     .errors = "not-found not-member session-expired session-moved ",
     .run = call_read,
     .read = poll_read},
    {.path = "/v1/topic/watch",
     .about = "What a member may read, as soon as it is another than is known.",
     .fields = watch_fields,
     .answer = watch_answer,
     .errors = "not-found not-member session-expired session-moved ",
     .run = call_read,
     .read = poll_read},
    {.path = "/v1/topic/fetch",
     .about = "Messages of one partition, under its token. A partition that is wanted back gives none.",
     .fields = fetch_fields,
     .answer = fetch_answer,
     .errors = "not-found not-assigned offset session-expired session-moved ",
     .run = call_read,
     .read = fetch_read},
    {.path = "/v1/topic/commit",
     .about = "Messages before this offset are done: who reads the partition next begins there.",
     .fields = commit_fields,
     .answer = commit_answer,
     .errors = "not-found not-assigned offset session-expired session-moved ",
     .run = commit_run,
     .reply = commit_reply},
    {.path = "/v1/topic/release",
     .about = "Gives a partition back. The one that is to have it gets it in the same step.",
     .fields = release_fields,
     .answer = no_fields,
     .errors = "not-found not-assigned session-expired session-moved ",
     .run = release_run,
     .reply = done_reply},
    {.path = "/v1/topic/show",
     .about = "A topic: its settings, partitions and groups.",
     .fields = name_fields,
     .answer = show_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = show_read},
    {.path = "/v1/topic/group",
     .about = "A group: who is in it, who reads what, how far it is and how far behind.",
     .fields = group_fields,
     .answer = group_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = group_read},
    {.path = "/v1/topic/group_delete",
     .about = "Forgets a group without members, and what it has committed.",
     .fields = group_fields,
     .answer = no_fields,
     .errors = "not-found not-empty ",
     .run = group_delete_run,
     .reply = done_reply},
    {.path = "/v1/topic/list",
     .about = "All topics.",
     .fields = list_fields,
     .answer = list_answer,
     .errors = "",
     .run = call_read,
     .read = list_read},
};
const struct native_room topic_room = {.operations = operations,
                                       .count = sizeof operations / sizeof operations[0],
                                       .model = MODEL_TOPIC,
                                       .event = on_event};
