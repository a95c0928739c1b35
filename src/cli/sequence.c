// `parley sequence`: numbers that are given once.
#include "model/sequence/sequence.h"
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/native_client.h"
#include "cli/options.h"
#include "server/server.h"
#include <stdio.h>
#include <string.h>

struct sequence_call {
    const struct option_table *table;
    struct native_client client;
    const char *name;
    const char *server, *count, *key, *ttl, *start, *step, *ceiling, *block_max, *to; // flags as given
    bool gapless, json;
};

// ---- asking
static json_t *ask(struct sequence_call *call, const char *operation, json_t *body) {
    return native_ask(&call->client, "sequence", operation, body);
}

static json_t *named(const struct sequence_call *call) {
    json_t *body = json_object();
    json_object_set_new(body, "name", json_string(call->name));
    return body;
}

// -1: it is in the body, or was not given; else the exit code.
static int put_number(const struct sequence_call *call, json_t *body, const char *field, const char *flag,
                      const char *given, unsigned long long low, unsigned long long high) {
    unsigned long long value;
    if (given == NULL) return -1;
    if (!options_number(given, low, high, &value))
        return options_wrong(call->table, "--%s is of %llu to %llu", flag, low, high);
    json_object_set_new(body, field, json_integer((json_int_t)value));
    return -1;
}

// ---- the verbs
static json_t *find(struct sequence_call *call) { // {"sequences": [one, or none]}
    return ask(call, "sequence/list", named(call));
}

// One that is there and gives numbers without keys too has gaps.
static int check_gapless(struct sequence_call *call) {
    if (!call->gapless) return -1;
    if (call->key == NULL) return options_wrong(call->table, "--gapless goes with --key");
    json_t *json = find(call);
    const json_t *one = json_array_get(json_object_get(json, "sequences"), 0);
    bool wrong = json == NULL || json_is_false(json_object_get(one, "gapless"));
    if (json != NULL && wrong) fprintf(stderr, "parley sequence: %s is not gapless\n", call->name);
    json_decref(json);
    return wrong ? EXIT_FATAL : -1;
}

static int next(struct sequence_call *call) {
    json_t *body = named(call);
    int code = put_number(call, body, "count", "count", call->count, 1, SEQUENCE_BLOCK_MAX);
    if (code < 0) code = put_number(call, body, "key_ttl_ms", "ttl", call->ttl, 1, REMEMBER_TTL_MS_MAX);
    if (code < 0) code = check_gapless(call);
    if (call->key != NULL) json_object_set_new(body, "key", json_string(call->key));
    if (code >= 0) {
        json_decref(body);
        return code;
    }
    json_t *json = ask(call, "sequence/next", body);
    if (json == NULL) return EXIT_FATAL;
    if (call->json) return native_print(json);
    long long first = native_number(json, "first"), step = native_number(json, "step");
    long long count = native_number(json, "count");
    for (long long i = 0; i < count; i++) printf("%lld\n", first + i * step);
    json_decref(json);
    return 0;
}

static void print_one(const json_t *one) {
    bool exhausted = json_is_true(json_object_get(one, "exhausted"));
    char next_number[24] = "exhausted";
    if (!exhausted) snprintf(next_number, sizeof next_number, "%lld", native_number(one, "next"));
    printf("%-32s %20s %11lld %20lld %9lld %s%s\n", native_text(one, "name"), next_number, native_number(one, "step"),
           native_number(one, "ceiling"), native_number(one, "block_max"),
           json_is_true(json_object_get(one, "gapless")) ? "gapless" : "",
           json_is_true(json_object_get(one, "restored")) ? " restored" : "");
}

static int print_list(struct sequence_call *call, json_t *json) {
    size_t i;
    json_t *one;
    if (json == NULL) return EXIT_FATAL;
    if (call->json) return native_print(json);
    printf("%-32s %20s %11s %20s %9s\n", "NAME", "NEXT", "STEP", "CEILING", "BLOCK");
    json_array_foreach(json_object_get(json, "sequences"), i, one) {
        print_one(one);
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static int list(struct sequence_call *call) {
    return print_list(call, ask(call, "sequence/list", json_object()));
}

static int show(struct sequence_call *call) {
    json_t *json = find(call);
    if (json == NULL) return EXIT_FATAL;
    if (json_array_size(json_object_get(json, "sequences")) == 1) return print_list(call, json);
    fprintf(stderr, "parley sequence: there is no %s\n", call->name);
    json_decref(json);
    return EXIT_FATAL;
}

static int done(json_t *json) {
    json_decref(json);
    return json != NULL ? 0 : EXIT_FATAL;
}

static int create(struct sequence_call *call) {
    json_t *body = named(call);
    int code = put_number(call, body, "start", "start", call->start, 0, SEQUENCE_CEILING_MAX);
    if (code < 0) code = put_number(call, body, "step", "step", call->step, 1, SEQUENCE_STEP_MAX);
    if (code < 0) code = put_number(call, body, "ceiling", "ceiling", call->ceiling, 0, SEQUENCE_CEILING_MAX);
    if (code < 0) code = put_number(call, body, "block_max", "block-max", call->block_max, 1, SEQUENCE_BLOCK_MAX);
    json_object_set_new(body, "gapless", json_boolean(call->gapless));
    if (code < 0) return done(ask(call, "sequence/create", body));
    json_decref(body);
    return code;
}

static int set(struct sequence_call *call) {
    json_t *body = named(call);
    int code = call->to == NULL ? options_wrong(call->table, "set wants --to N, the number that is given next")
                                : put_number(call, body, "next", "to", call->to, 0, SEQUENCE_CEILING_MAX);
    if (code < 0) return done(ask(call, "sequence/set", body));
    json_decref(body);
    return code;
}

static int dispatch(struct sequence_call *call, char **arguments, size_t count) {
    static const struct {
        const char *verb;
        size_t arguments;
        int (*run)(struct sequence_call *call);
    } verbs[] = {{"next", 2, next}, {"list", 1, list}, {"show", 2, show}, {"create", 2, create}, {"set", 2, set}};
    char error[512];
    if (!native_client_init(&call->client, call->server, error))
        return options_wrong(call->table, "--server: %s", error);
    call->name = count > 1 ? arguments[1] : "";
    if (count > 1 && (call->name[0] == 0 || strlen(call->name) > SEQUENCE_NAME_BYTES_MAX))
        return options_wrong(call->table, "a name has 1 to %u bytes", SEQUENCE_NAME_BYTES_MAX);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(arguments[0], verbs[i].verb) == 0 && count == verbs[i].arguments) return verbs[i].run(call);
    return options_wrong(call->table, "wanted: next NAME, list, show NAME, create NAME, or set NAME");
}

int sequence_main(int argc, char **argv) {
    struct sequence_call call = {.server = "localhost:7450"};
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &call.server, NULL},
        {"count", 0, "N", "next: so many numbers [1]", &call.count, NULL},
        {"key", 0, "TEXT", "next: what for; the same key gets the same numbers", &call.key, NULL},
        {"ttl", 0, "MS", "next: the key is known so long [86400000]", &call.ttl, NULL},
        {"gapless", 0, NULL, "no number is lost: wants a key for each (next, create)", NULL, &call.gapless},
        {"start", 0, "N", "create: the first number [1]", &call.start, NULL},
        {"step", 0, "N", "create: from one to the next [1]", &call.step, NULL},
        {"ceiling", 0, "N", "create: the last number at most", &call.ceiling, NULL},
        {"block-max", 0, "N", "create: so many numbers in one step at most [1000]", &call.block_max, NULL},
        {"to", 0, "N", "set: the number that is given next; only forward, and on the node's own machine", &call.to,
         NULL},
        {"json", 0, NULL, "print JSON", NULL, &call.json}};
    const struct option_table table = {
        "sequence",
        "parley sequence next NAME [--count N] [--key TEXT [--gapless]] | list | show NAME | create NAME [FLAGS] | "
        "set NAME --to N",
        "Gives numbers that are given once, whatever fails. Without --key, a call whose answer is lost leaves a gap.",
        rows,
        sizeof rows / sizeof rows[0],
        1,
        2};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    call.table = &table;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0) code = dispatch(&call, arguments, count);
    mem_free(arguments);
    return code;
}
