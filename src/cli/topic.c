// `parley topic`: makes and shows partitioned topics, publishes; `consume` is in topic_consume.c.
#include "cli/topic.h"
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/held.h"
#include "cli/options.h"
#include "cli/queue.h"
#include "model/topic/topic.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct texts { // flags as given
    const char *server, *key, *partition, *dedup, *producer, *number, *group, *member, *strategy, *room, *rooms, *start,
        *partitions, *handover, *ttl, *wait, *delay, *grace, *keep, *keep_bytes, *keep_ms, *bytes;
    bool json, once;
};
struct values {
    uint64_t partition, number, handover_ms, ttl_ms, wait_ms, delay_ms, grace_ms, keep, keep_bytes, keep_ms, bytes;
};
struct call { // of one verb
    const struct option_table *table;
    const struct texts *texts;
    const struct values *values;
    struct native_client *client;
    char **arguments; // behind the verb: NAME and more
    size_t count;
};

// ---- verbs

static json_t *body_of(const struct call *call) {
    json_t *body = json_object();
    if (call->count > 0) json_object_set_new(body, "name", json_string(call->arguments[0]));
    return body;
}
static void set(json_t *body, const char *name, uint64_t number) {
    json_object_set_new(body, name, json_integer((json_int_t)number));
}
static json_t *ask(const struct call *call, const char *operation, json_t *body) {
    return native_ask(call->client, "topic", operation, body);
}

static int done(const struct call *call, json_t *json, const char *words) {
    return native_done(json, call->texts->json, words);
}

// "a,b,c" as an array of strings, or of numbers. NULL: a number that is none.
static json_t *list_of(const char *text, bool numbers) {
    json_t *list = json_array();
    for (size_t len; *text != 0; text += len + (text[len] != 0)) {
        char one[32];
        unsigned long long number;
        len = strcspn(text, ",");
        if (!numbers) {
            json_array_append_new(list, json_stringn(text, len));
            continue;
        }
        snprintf(one, sizeof one, "%.*s", (int)(len < sizeof one ? len : sizeof one - 1), text);
        if (!options_number(one, 0, TOPIC_PARTITIONS_MAX - 1, &number)) {
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, json_integer((json_int_t)number));
    }
    return list;
}

static int create(const struct call *call) {
    const struct values *v = call->values;
    uint64_t partitions = 0;
    if (call->count != 2 || !options_u64(call->arguments[1], 1, TOPIC_PARTITIONS_MAX, &partitions))
        return options_wrong(call->table, "create wants the NAME and how many PARTITIONS, 1 to %u",
                             TOPIC_PARTITIONS_MAX);
    json_t *body = body_of(call);
    set(body, "partitions", partitions);
    set(body, "retention_count", v->keep);
    set(body, "retention_bytes", v->keep_bytes);
    set(body, "retention_ms", v->keep_ms);
    if (v->bytes > 0) set(body, "bytes_max", v->bytes);
    if (call->texts->rooms != NULL) json_object_set_new(body, "rooms", list_of(call->texts->rooms, false));
    return done(call, ask(call, "topic/create", body), "done");
}

// What is published may be sent to several nodes, so it gets an id by which the topic knows it.
static void set_identity(const struct call *call, json_t *body) {
    const struct texts *t = call->texts;
    if (t->producer != NULL) {
        json_object_set_new(body, "producer", json_string(t->producer));
        set(body, "number", call->values->number);
        return;
    }
    queue_set_dedup(body, t->dedup);
}

static int print_places(const struct call *call, struct native_answer *answer) {
    const json_t *one;
    size_t i;
    if (call->texts->json) return native_print(answer->json);
    const char *before = json_is_true(json_object_get(answer->json, "duplicate")) ? " (published before)" : "";
    json_array_foreach(json_object_get(answer->json, "places"), i, one) {
        printf("partition %lld offset %lld%s\n", native_number(one, "partition"), native_number(one, "offset"), before);
    }
    if (i == 0) printf("done%s\n", before);
    native_answer_free(answer);
    return 0;
}

static int publish(const struct call *call) {
    const struct texts *t = call->texts;
    struct writer input;
    writer_init(&input);
    if ((t->producer != NULL) != (t->number != NULL))
        return options_wrong(call->table, "--producer and --number go together");
    if (call->count < 2 && !queue_read_input(&input)) return EXIT_FATAL;
    json_t *body = body_of(call), *message = json_object();
    queue_set_body(message, call->count == 2 ? bytes_of_text(call->arguments[1]) : bytes_of(input.data, input.len));
    writer_free(&input);
    if (t->key != NULL) json_object_set_new(message, "key", json_string(t->key));
    if (t->partition != NULL) set(message, "partition", call->values->partition);
    json_object_set_new(body, "messages", json_pack("[o]", message));
    set_identity(call, body);
    struct native_answer answer;
    uint64_t wait_ms = t->number != NULL ? TOPIC_GAP_MS + NATIVE_TIMEOUT_MS : NATIVE_TIMEOUT_MS; // for the one before
    if (native_call(call->client, "topic/publish", body, wait_ms, native_now_ms() + wait_ms, &answer))
        return print_places(call, &answer);
    fprintf(stderr, "parley topic: %s\n", answer.error);
    native_answer_free(&answer);
    return EXIT_FATAL;
}

static int delete_topic(const struct call *call) {
    json_t *body = body_of(call);
    if (call->texts->group == NULL) return done(call, ask(call, "topic/delete", body), "done");
    json_object_set_new(body, "group", json_string(call->texts->group));
    return done(call, ask(call, "topic/group_delete", body), "done");
}

static void print_topic(const json_t *one) {
    printf("%-40s %10lld %10lld %12lld %6lld\n", native_text(one, "name"), native_number(one, "partition_count"),
           native_number(one, "messages"), native_number(one, "bytes"), native_number(one, "group_count"));
}
static void print_head(void) {
    printf("%-40s %10s %10s %12s %6s\n", "NAME", "PARTITIONS", "MESSAGES", "BYTES", "GROUPS");
}

static int list(const struct call *call) {
    json_t *json = ask(call, "topic/list", body_of(call)), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    print_head();
    json_array_foreach(json_object_get(json, "topics"), i, one) {
        print_topic(one);
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static int show(const struct call *call) {
    json_t *json = ask(call, "topic/show", body_of(call)), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    print_head();
    print_topic(json);
    printf("\n%10s %10s %10s %12s  %s\n", "PARTITION", "FIRST", "END", "BYTES", "ROOM");
    json_array_foreach(json_object_get(json, "partitions"), i, one) {
        printf("%10lld %10lld %10lld %12lld  %s\n", native_number(one, "partition"), native_number(one, "first"),
               native_number(one, "end"), native_number(one, "bytes"), native_text(one, "room"));
    }
    json_decref(json);
    return 0;
}

static int groups_of(const struct call *call) {
    json_t *json = ask(call, "topic/show", body_of(call)), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    printf("%-30s %-16s %8s %10s %10s\n", "GROUP", "STRATEGY", "MEMBERS", "GENERATION", "LAG");
    json_array_foreach(json_object_get(json, "groups"), i, one) {
        printf("%-30s %-16s %8lld %10lld %10lld\n", native_text(one, "name"), native_text(one, "strategy"),
               native_number(one, "member_count"), native_number(one, "generation"), native_number(one, "lag"));
    }
    json_decref(json);
    return 0;
}

static int groups(const struct call *call) {
    if (call->count == 1) return groups_of(call);
    json_t *body = body_of(call), *one;
    size_t i;
    json_object_set_new(body, "group", json_string(call->arguments[1]));
    json_t *json = ask(call, "topic/group", body);
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    printf("%10s %-30s %12s %10s %10s %10s\n", "PARTITION", "MEMBER", "TOKEN", "COMMITTED", "END", "LAG");
    json_array_foreach(json_object_get(json, "partitions"), i, one) {
        bool revoked = json_is_true(json_object_get(one, "revoked"));
        printf("%10lld %-30s %12lld %10lld %10lld %10lld%s\n", native_number(one, "partition"),
               native_text(one, "member"), native_number(one, "token"), native_number(one, "committed"),
               native_number(one, "end"), native_number(one, "lag"), revoked ? "  wanted back" : "");
    }
    json_decref(json);
    return 0;
}

// ---- flags
static const struct {
    const char *verb;
    int (*run)(const struct call *call);
    size_t least, most; // arguments behind the verb
} verbs[] = {{"create", create, 2, 2}, {"publish", publish, 1, 2}, {"delete", delete_topic, 1, 1},
             {"list", list, 0, 0},     {"show", show, 1, 1},       {"groups", groups, 1, 2}};

static int read_values(const struct option_table *table, const struct texts *t, struct values *v) {
    *v = (struct values){.ttl_ms = 10000, .delay_ms = 1000, .grace_ms = HELD_GRACE_MS_DEFAULT};
    const struct {
        const char *flag, *text;
        uint64_t low, high, *out;
    } rows[] = {{"partition", t->partition, 0, TOPIC_PARTITIONS_MAX - 1, &v->partition},
                {"number", t->number, 1, INT64_MAX, &v->number},
                {"handover", t->handover, 1, TOPIC_TIME_MS_MAX, &v->handover_ms},
                {"ttl", t->ttl, 2000, TOPIC_TIME_MS_MAX, &v->ttl_ms},
                {"wait", t->wait, 0, TOPIC_TIME_MS_MAX, &v->wait_ms},
                {"delay", t->delay, 0, TOPIC_TIME_MS_MAX, &v->delay_ms},
                {"grace", t->grace, 0, 3600000, &v->grace_ms},
                {"keep", t->keep, 0, TOPIC_MESSAGES_MAX, &v->keep},
                {"keep-bytes", t->keep_bytes, 0, TOPIC_BYTES_MAX, &v->keep_bytes},
                {"keep-ms", t->keep_ms, 0, TOPIC_RETENTION_MS_MAX, &v->keep_ms},
                {"bytes", t->bytes, TOPIC_PUBLISH_BYTES_MAX, TOPIC_BYTES_MAX, &v->bytes}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!options_u64(rows[i].text, rows[i].low, rows[i].high, rows[i].out))
            return options_wrong(table, "--%s is a number from %llu to %llu", rows[i].flag,
                                 (unsigned long long)rows[i].low, (unsigned long long)rows[i].high);
    return -1;
}

// Another one in each process, on each host: a name that is taken goes to who joins last.
static const char *own_name(char name[300]) {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    snprintf(name, 300, "%.200s-%ld", host, (long)getpid());
    return name;
}

static int consume(const struct call *call, char **command) {
    const struct texts *t = call->texts;
    char name[300];
    json_t *partitions = t->partitions != NULL ? list_of(t->partitions, true) : NULL;
    if (call->count != 1 || t->group == NULL) return options_wrong(call->table, "consume wants one NAME, and --group");
    if (command != NULL && command[0] == NULL) return options_wrong(call->table, "a command is wanted behind --");
    if (t->partitions != NULL && partitions == NULL)
        return options_wrong(call->table, "--partitions is a list as 0,3,4");
    struct topic_consume_options o = {.name = call->arguments[0],
                                      .group = t->group,
                                      .member = t->member != NULL ? t->member : own_name(name),
                                      .strategy = t->strategy != NULL ? t->strategy : "any",
                                      .room = t->room,
                                      .start = t->start != NULL ? t->start : "earliest",
                                      .partitions = partitions,
                                      .command = command,
                                      .ttl_ms = call->values->ttl_ms,
                                      .handover_ms = call->values->handover_ms,
                                      .grace_ms = call->values->grace_ms,
                                      .delay_ms = call->values->delay_ms,
                                      .wait_ms = call->values->wait_ms,
                                      .once = t->once,
                                      .json = t->json};
    int code = topic_consume(call->client, &o);
    json_decref(partitions);
    return code;
}

static int dispatch(const struct option_table *table, const struct texts *t, char **arguments, size_t count,
                    char **command) {
    static struct native_client client; // threads of `consume` use it to the end
    struct values values;
    char error[512];
    int code = read_values(table, t, &values);
    if (code >= 0) return code;
    if (!native_client_init(&client, t->server, error)) return options_wrong(table, "--server: %s", error);
    struct call call = {table, t, &values, &client, arguments + 1, count - 1};
    if (strcmp(arguments[0], "consume") == 0) return consume(&call, command);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0] && command == NULL; i++) {
        if (strcmp(arguments[0], verbs[i].verb) != 0) continue;
        bool fits = call.count >= verbs[i].least && call.count <= verbs[i].most;
        return fits ? verbs[i].run(&call) : options_wrong(table, "%s: wrong number of arguments", verbs[i].verb);
    }
    return options_wrong(table, "'%s' is no verb; or a command goes with consume only", arguments[0]);
}

static const char usage[] =
    "parley topic create NAME PARTITIONS | publish NAME [BODY] | consume NAME --group G [-- CMD [ARGUMENT...]] |\n"
    "       list | show NAME | groups NAME [GROUP] | delete NAME [--group G]";
static const char about[] =
    "publish takes the body from standard input unless it is given. consume joins the group and reads the partitions "
    "that\n"
    "it is given, each in order; every message is read by one member. Without CMD it prints messages, with --json as\n"
    "lines. CMD runs for each: the body is its standard input, PARLEY_TOPIC_NAME, _GROUP, _PARTITION, _OFFSET, _KEY "
    "and\n"
    "_TOKEN are set. Exit code 0 commits the message; after any other it runs once more, and its partition waits.\n"
    "CMD ends by SIGTERM and then SIGKILL when its partition was given to another member. delete with --group forgets\n"
    "a group without members.";

int topic_main(int argc, char **argv) {
    struct texts t = {.server = "localhost:7450"};
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &t.server, NULL},
        {"key", 0, "KEY", "publish: messages of one key are in one partition, in order [by turns]", &t.key, NULL},
        {"partition", 0, "N", "publish: into this one", &t.partition, NULL},
        {"dedup", 0, "ID", "publish: known by it for 5 minutes [random]", &t.dedup, NULL},
        {"producer", 0, "NAME", "publish: numbers its messages by --number", &t.producer, NULL},
        {"number", 0, "N", "publish: the producer's own, from 1 on: waits for the one before", &t.number, NULL},
        {"group", 0, "NAME", "consume, delete: the consumer group", &t.group, NULL},
        {"member", 0, "NAME", "consume: its name [host and process]", &t.member, NULL},
        {"strategy", 0, "NAME",
         "consume: averagely, by-circle, consistent-hash, by-config or by-machine-room [the group's]", &t.strategy,
         NULL},
        {"partitions", 0, "N,N...", "consume: by-config: those that it may read", &t.partitions, NULL},
        {"room", 0, "NAME", "consume: by-machine-room: where it is", &t.room, NULL},
        {"from", 0, "WHERE", "consume: of a new group: earliest or latest [earliest]", &t.start, NULL},
        {"handover", 0, "MS", "consume: of a group without members: to give a partition back [30000]", &t.handover,
         NULL},
        {"ttl", 0, "MS", "consume: others get its partitions so long after it was heard of last [10000]", &t.ttl, NULL},
        {"once", 0, NULL, "consume: ends after one message; 75: there was none", NULL, &t.once},
        {"wait", 0, "MS", "consume --once: waits so long for a message [0]", &t.wait, NULL},
        {"delay", 0, "MS", "consume: until CMD that failed runs once more [1000]", &t.delay, NULL},
        {"grace", 0, "MS", "consume: from SIGTERM to SIGKILL [3000]", &t.grace, NULL},
        {"rooms", 0, "NAME,...", "create: the machine room of each partition", &t.rooms, NULL},
        {"keep", 0, "N", "create: messages that a partition keeps [all]", &t.keep, NULL},
        {"keep-bytes", 0, "N", "create: bytes that a partition keeps [all]", &t.keep_bytes, NULL},
        {"keep-ms", 0, "MS", "create: how long a partition keeps a message [for ever]", &t.keep_ms, NULL},
        {"bytes", 0, "N", "create: of all partitions; then it is full [256 MiB]", &t.bytes, NULL},
        {"json", 0, NULL, "JSON; of consume, messages as lines, and what happens as lines on standard error", NULL,
         &t.json}};
    const struct option_table table = {"topic", usage, about, rows, sizeof rows / sizeof rows[0], 1, 3};
    char **command = options_command(&argc, argv);
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0) code = dispatch(&table, &t, arguments, count, command);
    mem_free(arguments);
    return code;
}
