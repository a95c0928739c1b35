// Configuration over HTTP: publishing, gradual releases, reads, and the watch.
//
// A watch is a read that waits: it is answered when what its client shall have is another revision than it names. Each
// event of the namespace lets it read again, so it may skip versions, but never the newest.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/config/config.h"
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include "protocol/http/view.h"
#include <stdlib.h>
#include <string.h>

// ---- results

#define X(name, code, text) [-(code)] = text,
static const char *const error_texts[] = {CONFIG_ERRORS(X)};
#undef X

static void set_number(json_t *json, const char *name, uint64_t number) {
    json_object_set_new(json, name, json_number(number));
}

static bool succeeded(struct http_call *call, const struct result *result) {
    static const char *const names[] = {[-CONFIG_NOT_FOUND] = "not-found", [-CONFIG_VERSION] = "version",
                                        [-CONFIG_RELEASING] = "releasing", [-CONFIG_NOT_RELEASING] = "not-releasing",
                                        [-CONFIG_LIMIT] = "limit",         [-CONFIG_BAD_ARGUMENTS] = "bad-request"};
    const struct config_result *config = result->value;
    if (result->error == 0) return true;
    ENSURE(result->error < 0 && (size_t)-result->error < sizeof names / sizeof names[0]);
    json_t *members = json_object();
    if (result->error == CONFIG_VERSION) set_number(members, "version", config->released);
    if (result->error == CONFIG_RELEASING) set_number(members, "version", config->gradual);
    call_fail(call, names[-result->error], error_texts[-result->error], members);
    return false;
}

static void config_done_reply(struct http_call *call, const struct result *result) {
    const struct config_result *config = result->value;
    if (!succeeded(call, result)) return;
    json_t *json = json_object();
    json_object_set_new(json, "changed", json_boolean(config->changed));
    if (result->op != CONFIG_DELETE) {
        set_number(json, "version", config->version);
        set_number(json, "revision", config->revision);
        set_number(json, "released", config->released);
        set_number(json, "gradual", config->gradual);
    }
    call_answer(call, 200, json);
}

// ---- publish

static size_t labels_of(const struct http_call *call, struct bytes out[CONFIG_LABELS_MAX]) {
    const json_t *list = call_value(call, "labels")->list, *label;
    size_t i;
    json_array_foreach(list, i, label) {
        out[i] = bytes_of(json_string_value(label), json_string_length(label));
    }
    return json_array_size(list);
}

static int by_key(const void *a, const void *b) {
    const struct config_change *one = a, *other = b;
    return bytes_compare(one->key, other->key);
}

static struct config_change *changes_of(const json_t *items, size_t *count) { // to be freed
    struct config_change *changes = mem_alloc(json_object_size(items) * sizeof *changes);
    const char *key;
    json_t *value;
    *count = 0;
    json_object_foreach((json_t *)items, key, value) {
        struct bytes bytes = bytes_of(json_string_value(value), json_string_length(value));
        changes[(*count)++] = (struct config_change){bytes_of_text(key), bytes, json_is_null(value)};
    }
    qsort(changes, *count, sizeof *changes, by_key);
    return changes;
}

static void publish(struct http_call *call, struct config_publish *p) {
    struct bytes labels[CONFIG_LABELS_MAX];
    struct config_selector selector = {(uint32_t)call_number(call, "percent"), labels, labels_of(call, labels)};
    p->name = call_text(call, "name");
    p->author = call_text(call, "author");
    p->comment = call_text(call, "comment");
    p->expected = call_number(call, "expected");
    if (call_value(call, "percent")->given || call_value(call, "labels")->given) p->gradual = &selector;
    struct writer w;
    writer_init(&w);
    config_write_publish(&w, p);
    call_submit(call, &w);
}

static void config_publish_run(struct http_call *call) {
    struct config_publish p = {.base = call_number(call, "replace") ? CONFIG_BASE_EMPTY : CONFIG_BASE_RELEASED};
    struct config_change *changes = changes_of(call_value(call, "items")->list, &p.change_count);
    p.changes = changes;
    publish(call, &p);
    mem_free(changes);
}

static void config_rollback_run(struct http_call *call) {
    publish(call, &(struct config_publish){.base = call_number(call, "version")});
}

static void config_release_run(struct http_call *call) {
    struct bytes labels[CONFIG_LABELS_MAX];
    struct config_selector selector = {(uint32_t)call_number(call, "percent"), labels, labels_of(call, labels)};
    struct writer w;
    writer_init(&w);
    config_write_select(&w, call_text(call, "name"), call_number(call, "version"), &selector);
    call_submit(call, &w);
}

static void config_promote_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    config_write_promote(&w, call_text(call, "name"), call_number(call, "version"));
    call_submit(call, &w);
}

static void config_abandon_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    config_write_abandon(&w, call_text(call, "name"), call_number(call, "version"));
    call_submit(call, &w);
}

static void config_delete_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    config_write_delete(&w, call_text(call, "name"), call_number(call, "expected"));
    call_submit(call, &w);
}

// ---- reads: as of a moment after the request came

static json_t *value_json(struct bytes value) { // as NATIVE_ITEMS
    json_t *json = json_object();
    native_set_bytes(json, "text", "base64", value);
    json_t *text = json_incref(json_object_get(json, "text"));
    if (text == NULL) return json;
    json_decref(json);
    return text;
}

struct reading {
    json_t *json;
    json_t *items;
    struct bytes key; // only this one, if not empty
};

static void read_space(void *context, const struct config_info *info) {
    struct reading *reading = context;
    set_number(reading->json, "version", info->version);
    set_number(reading->json, "revision", info->revision);
    json_object_set_new(reading->json, "gradual", json_boolean(info->gradual != 0 && info->version == info->gradual));
}

static void read_item(void *context, const struct config_item_info *info) {
    struct reading *reading = context;
    char key[CONFIG_KEY_BYTES_MAX + 1] = {0};
    if (reading->key.len > 0 && !bytes_equal(reading->key, info->key)) return;
    memcpy(key, info->key.data, info->key.len);
    json_object_set_new(reading->items, key, value_json(info->value));
}

static int ask(const struct http_call *call, const struct config_query *query) {
    struct result result;
    service_query(call->agent->instance->service, MODEL_CONFIG, query, &result);
    return result.error;
}

// What the client shall have, or the version that it asks for. `items` only when they are wanted.
static int read_version(const struct http_call *call, struct reading *reading, uint64_t version, bool items) {
    struct bytes labels[CONFIG_LABELS_MAX];
    struct config_client client = {call_text(call, "id"), labels, labels_of(call, labels)};
    struct config_query query = {.page.name = call_text(call, "name"),
                                 .version = version,
                                 .client = &client,
                                 .space = read_space,
                                 .item = items ? read_item : NULL,
                                 .context = reading};
    reading->json = json_object();
    reading->items = json_object();
    json_object_set_new(reading->json, "items", reading->items);
    read_space(reading, &(struct config_info){0}); // what stands when there is none
    return ask(call, &query);
}

static void config_get_read(struct http_call *call) {
    struct reading reading = {.key = call_text(call, "key")};
    int error = read_version(call, &reading, call_number(call, "version"), true);
    if (error == 0 && (reading.key.len == 0 || json_object_size(reading.items) > 0)) {
        call_answer(call, 200, reading.json);
        return;
    }
    json_decref(reading.json);
    call_fail(call, "not-found", error != 0 ? error_texts[-error] : "there is no such item", NULL);
}

// Of a namespace, for all who watch it. Two names of one number cost a read, no more.
static uint64_t waiting_number(struct bytes name) {
    return (uint64_t)MODEL_CONFIG << 56 | hash_bytes(name.data, name.len, MODEL_CONFIG) >> 8;
}

static void config_watch_read(struct http_call *call) {
    uint64_t now_ms = service_now_ms(call->agent->instance->service);
    uint64_t until_ms = call_until(call, call_number(call, "wait_ms"));
    struct reading reading = {0};
    read_version(call, &reading, 0, false); // a namespace that is not there may come to be
    uint64_t revision = (uint64_t)json_integer_value(json_object_get(reading.json, "revision"));
    bool changed = revision != call_number(call, "revision");
    json_decref(reading.json);
    if (!changed && now_ms < until_ms) {
        call_wait(call, waiting_number(call_text(call, "name")));
        return;
    }
    reading = (struct reading){0};
    read_version(call, &reading, 0, changed);
    json_object_set_new(reading.json, "changed", json_boolean(changed));
    if (!changed) json_object_del(reading.json, "items");
    call_answer(call, 200, reading.json);
}

static void config_event(struct http_instance *instance, const void *of_config) {
    const struct config_event *event = of_config;
    uint64_t number = waiting_number(event->name);
    for (struct http_call *call; (call = call_waiting_for(instance, number)) != NULL;) call_read(call);
}

json_t *config_space_json(const struct config_info *info) {
    json_t *json = json_object(), *labels = json_array();
    json_object_set_new(json, "name", json_bytes(info->name));
    set_number(json, "version", info->released);
    set_number(json, "revision", info->revision);
    set_number(json, "gradual", info->gradual);
    set_number(json, "newest", info->newest);
    set_number(json, "kept", info->releases);
    set_number(json, "bytes", info->bytes);
    for (size_t i = 0; i < info->selector.label_count; i++)
        json_array_append_new(labels, json_bytes(info->selector.labels[i]));
    json_object_set_new(json, "labels", labels);
    set_number(json, "percent", info->selector.percent);
    return json;
}

static void list_space(void *context, const struct config_info *info) {
    struct native_list *list = context;
    if (native_list_takes(list)) json_array_append_new(list->items, config_space_json(info));
}

static void config_list_read(struct http_call *call) {
    struct native_list list;
    struct config_query query = {.page = call_page(call, &list), .space = list_space, .context = &list};
    ask(call, &query);
    native_list_answer(call, &list, "namespaces");
}

static void list_release(void *context, const struct config_release_info *info) {
    static const char *const states[] = {"past", "released", "gradual", "abandoned"};
    struct native_list *list = context;
    if (!native_list_takes(list)) return;
    json_t *json = json_object();
    bool rollback = info->base != CONFIG_BASE_RELEASED && info->base != CONFIG_BASE_EMPTY;
    set_number(json, "version", info->version);
    set_number(json, "revision", info->revision);
    json_object_set_new(json, "state", json_string(states[info->state]));
    json_object_set_new(json, "at_unix_ms", json_integer(info->unix_ms));
    json_object_set_new(json, "author", json_bytes(info->author));
    json_object_set_new(json, "comment", json_bytes(info->comment));
    set_number(json, "puts", info->puts);
    set_number(json, "deletes", info->deletes);
    if (rollback) set_number(json, "rollback_to", info->base);
    json_array_append_new(list->items, json);
}

static void show_space(void *context, const struct config_info *info) {
    struct reading *reading = context;
    reading->json = config_space_json(info);
}

static void config_show_read(struct http_call *call) {
    struct reading reading = {0};
    struct config_query query = {.page.name = call_text(call, "name"), .space = show_space, .context = &reading};
    int error = ask(call, &query);
    if (error == 0)
        call_answer(call, 200, reading.json);
    else
        call_fail(call, "not-found", error_texts[-error], NULL);
}

static void config_history_read(struct http_call *call) {
    struct native_list list = {.items = json_array(), .limit = (size_t)call_number(call, "limit")};
    struct config_query query = {.page.name = call_text(call, "name"),
                                 .before = call_number(call, "before"),
                                 .max = list.limit + 1,
                                 .release = list_release,
                                 .context = &list};
    int error = ask(call, &query);
    if (error == 0) {
        native_list_answer(call, &list, "releases");
        return;
    }
    json_decref(list.items);
    call_fail(call, "not-found", error_texts[-error], NULL);
}

static void list_difference(void *context, const struct config_difference *difference) {
    json_t *json = json_object();
    json_object_set_new(json, "key", json_bytes(difference->key));
    if (difference->from) json_object_set_new(json, "from", value_json(*difference->from));
    if (difference->to) json_object_set_new(json, "to", value_json(*difference->to));
    json_array_append_new(context, json);
}

static void config_diff_read(struct http_call *call) {
    json_t *differences = json_array();
    struct config_query query = {.page.name = call_text(call, "name"),
                                 .version = call_number(call, "from"),
                                 .other = call_number(call, "to"),
                                 .difference = list_difference,
                                 .context = differences};
    int error = ask(call, &query);
    if (error == 0) {
        json_t *json = json_object();
        json_object_set_new(json, "differences", differences);
        call_answer(call, 200, json);
        return;
    }
    json_decref(differences);
    call_fail(call, "not-found", error_texts[-error], NULL);
}

// ---- the table

#define CONFIG_NAME                                                                                                    \
    {                                                                                                                  \
        .name = "name", .type = NATIVE_TEXT, .low = 1, .high = CONFIG_NAME_BYTES_MAX, .required = true,                \
        .help = "the namespace"                                                                                        \
    }
#define VERSION_FIELD(name_, required_, words)                                                                         \
    { .name = name_, .type = NATIVE_NUMBER, .high = CONFIG_VERSION_MAX, .required = required_, .help = words }
#define EXPECTED                                                                                                       \
    {                                                                                                                  \
        .name = "expected", .type = NATIVE_SIGNED, .low = UINT64_MAX, .high = INT64_MAX, .standard = CONFIG_ANY,       \
        .help = "only if all have this version now (0: none); -1: whatever they have"                                  \
    }
#define ABOUT                                                                                                          \
    {.name = "author", .type = NATIVE_TEXT, .high = CONFIG_AUTHOR_BYTES_MAX, .help = "who, for the history"}, {        \
        .name = "comment", .type = NATIVE_TEXT, .high = CONFIG_COMMENT_BYTES_MAX, .help = "why, for the history"       \
    }
#define LABELS(words)                                                                                                  \
    { .name = "labels", .type = NATIVE_TEXTS, .high = CONFIG_LABELS_MAX, .help = words }
#define PERCENT                                                                                                        \
    {                                                                                                                  \
        .name = "percent", .type = NATIVE_NUMBER, .high = 100, .standard = 100,                                        \
        .help = "of them, by their ids: always the same ones in a namespace"                                           \
    }
#define SELECTOR LABELS("who gets it: clients with these (`zone=a`); of several values of one label, any"), PERCENT
#define CLIENT                                                                                                         \
    LABELS("the client's (`zone=a`)"), {                                                                               \
        .name = "id", .type = NATIVE_TEXT, .high = CONFIG_CLIENT_BYTES_MAX, .help = "the client's"                     \
    }
#define CONTENT                                                                                                        \
    {.name = "version", .type = NATIVE_NUMBER, .help = "0: there is none"},                                            \
        {.name = "revision", .type = NATIVE_NUMBER, .help = "names it for ever: what a watch goes on from"},           \
        {.name = "gradual", .type = NATIVE_BOOL, .help = "it is a gradual release"}, {                                 \
        .name = "items", .type = NATIVE_ITEMS, .help = "text, or {\"base64\": bytes}"                                  \
    }
FIELDS(publish_fields) = {CONFIG_NAME,
                          {.name = "items",
                           .type = NATIVE_ITEMS,
                           .high = CONFIG_CHANGES_MAX,
                           .required = true,
                           .help = "what changes: text, {\"base64\": bytes}, or null: it is deleted"},
                          {.name = "replace", .type = NATIVE_BOOL, .help = "what `items` does not name is deleted"},
                          EXPECTED,
                          SELECTOR,
                          ABOUT,
                          END};
FIELDS(rollback_fields) = {
    CONFIG_NAME, VERSION_FIELD("version", true, "the one to publish again"), EXPECTED, SELECTOR, ABOUT, END};
FIELDS(release_fields) = {CONFIG_NAME, VERSION_FIELD("version", true, "the gradual release"), SELECTOR, END};
FIELDS(end_fields) = {CONFIG_NAME, VERSION_FIELD("version", true, "the gradual release"), END};
FIELDS(delete_fields) = {CONFIG_NAME, EXPECTED, END};
FIELDS(done_answer) = {
    {.name = "changed", .type = NATIVE_BOOL, .help = "false: it was so before (a retry, say); there is no new version"},
    {.name = "version", .type = NATIVE_NUMBER, .help = "that this was about: of a publish, what there is now"},
    {.name = "revision", .type = NATIVE_NUMBER, .help = "of that version"},
    {.name = "released", .type = NATIVE_NUMBER, .help = "what all have now; 0: none"},
    {.name = "gradual", .type = NATIVE_NUMBER, .help = "the gradual release that is under way; 0: none"},
    END};
FIELDS(deleted_answer) = {{.name = "changed", .type = NATIVE_BOOL, .help = "true"}, END};
FIELDS(get_fields) = {CONFIG_NAME,
                      CLIENT,
                      VERSION_FIELD("version", false, "this one, if it is kept; 0: what the client shall have"),
                      {.name = "key", .type = NATIVE_TEXT, .high = CONFIG_KEY_BYTES_MAX, .help = "only this item"},
                      END};
FIELDS(get_answer) = {CONTENT, END};
FIELDS(watch_fields) = {
    CONFIG_NAME,
    CLIENT,
    {.name = "revision", .type = NATIVE_NUMBER, .high = INT64_MAX, .help = "of what the client has; 0: nothing"},
    {.name = "wait_ms",
     .type = NATIVE_NUMBER,
     .high = NATIVE_WATCH_MS_MAX,
     .standard = NATIVE_WATCH_MS_DEFAULT,
     .help = "waits so long; then the answer is changed: false, without items"},
    END};
FIELDS(watch_answer) = {
    {.name = "changed", .type = NATIVE_BOOL, .help = "the client shall have something else"}, CONTENT, END};
FIELDS(show_fields) = {CONFIG_NAME, END};
FIELDS(show_answer) = {
    {.name = "name", .type = NATIVE_TEXT, .help = "the namespace"},
    {.name = "version", .type = NATIVE_NUMBER, .help = "what all have; 0: none"},
    {.name = "revision", .type = NATIVE_NUMBER, .help = "of that"},
    {.name = "gradual", .type = NATIVE_NUMBER, .help = "the gradual release that is under way; 0: none"},
    {.name = "labels", .type = NATIVE_TEXTS, .high = CONFIG_LABELS_MAX, .help = "who gets it"},
    {.name = "percent", .type = NATIVE_NUMBER, .help = "of them"},
    {.name = "newest", .type = NATIVE_NUMBER, .help = "the newest version that was ever published"},
    {.name = "kept", .type = NATIVE_NUMBER, .help = "how many versions are"},
    {.name = "bytes", .type = NATIVE_NUMBER, .help = "of all of them"},
    END};
FIELDS(list_fields) = {PAGE_PREFIX, PAGE_AFTER, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), END};
FIELDS(list_answer) = {{.name = "namespaces", .type = NATIVE_OBJECTS, .help = "each as `show` says it"}, MORE, END};
FIELDS(history_fields) = {CONFIG_NAME, VERSION_FIELD("before", false, "only versions below this one; 0: all"),
                          LIST_LIMIT(CONFIG_HISTORY_MAX, CONFIG_HISTORY_MAX), END};
FIELDS(history_answer) = {{.name = "releases",
                           .type = NATIVE_OBJECTS,
                           .help = "newest first, each with version, revision, state (released, gradual, abandoned, "
                                   "past), at_unix_ms, author, comment, puts and deletes (against what all had), and "
                                   "rollback_to of a rollback"},
                          MORE,
                          END};
FIELDS(diff_fields) = {CONFIG_NAME, VERSION_FIELD("from", true, "0: nothing"), VERSION_FIELD("to", true, "0: nothing"),
                       END};
FIELDS(diff_answer) = {{.name = "differences",
                        .type = NATIVE_OBJECTS,
                        .help = "each with key, from and to (as items are; one is missing where it is not there)"},
                       END};

static const struct native_operation operations[] = {
    {.path = "/v1/config/publish",
     .about = "Changes several items in one step: the namespace's next version. With `labels` or `percent` it is a "
              "gradual release: only they get it, until it is promoted. Without a difference there is no new version.",
     .fields = publish_fields,
     .answer = done_answer,
     .errors = "version releasing limit ",
     .keyed = true,
     .run = config_publish_run,
     .reply = config_done_reply},
    {.path = "/v1/config/rollback",
     .about = "Publishes the items of an old version again, as a new one.",
     .fields = rollback_fields,
     .answer = done_answer,
     .errors = "not-found version releasing ",
     .keyed = true,
     .run = config_rollback_run,
     .reply = config_done_reply},
    {.path = "/v1/config/release",
     .about = "Says anew who gets the gradual release.",
     .fields = release_fields,
     .answer = done_answer,
     .errors = "not-found not-releasing ",
     .keyed = true,
     .run = config_release_run,
     .reply = config_done_reply},
    {.path = "/v1/config/promote",
     .about = "All get the gradual release.",
     .fields = end_fields,
     .answer = done_answer,
     .errors = "not-found not-releasing ",
     .keyed = true,
     .run = config_promote_run,
     .reply = config_done_reply},
    {.path = "/v1/config/abandon",
     .about = "Nobody gets the gradual release any more: who had it goes back.",
     .fields = end_fields,
     .answer = done_answer,
     .errors = "not-found not-releasing ",
     .keyed = true,
     .run = config_abandon_run,
     .reply = config_done_reply},
    {.path = "/v1/config/delete",
     .about = "Forgets a namespace and its history.",
     .fields = delete_fields,
     .answer = deleted_answer,
     .errors = "not-found version releasing ",
     .keyed = true,
     .run = config_delete_run,
     .reply = config_done_reply},
    {.path = "/v1/config/get",
     .about = "The items that a client with these labels and this id shall have, or those of a version.",
     .fields = get_fields,
     .answer = get_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = config_get_read},
    {.path = "/v1/config/watch",
     .about =
         "Answers as soon as the client shall have something else than `revision`: the newest, never an older one. "
         "A namespace that is not there has version 0, and may be waited for.",
     .fields = watch_fields,
     .answer = watch_answer,
     .errors = "",
     .run = call_read,
     .read = config_watch_read},
    {.path = "/v1/config/show",
     .about = "The state of a namespace.",
     .fields = show_fields,
     .answer = show_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = config_show_read},
    {.path = "/v1/config/list",
     .about = "Namespaces, in the order of their names.",
     .fields = list_fields,
     .answer = list_answer,
     .errors = "",
     .run = call_read,
     .read = config_list_read},
    {.path = "/v1/config/history",
     .about = "The versions that are kept.",
     .fields = history_fields,
     .answer = history_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = config_history_read},
    {.path = "/v1/config/diff",
     .about = "What differs between two versions that are kept.",
     .fields = diff_fields,
     .answer = diff_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = config_diff_read},
};
const struct native_room config_room = {.operations = operations,
                                        .count = sizeof operations / sizeof operations[0],
                                        .model = MODEL_CONFIG,
                                        .event = config_event};
