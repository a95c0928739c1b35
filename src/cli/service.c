// `parley service`: registers instances of services, shows, watches and picks them.
#include "cli/service.h"
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "model/registry/registry.h"
#include "protocol/http/native.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_MS 20000u
#define WATCH_MARGIN_MS 5000u

struct texts { // flags as given
    const char *server, *id, *weight, *zone, *meta, *check, *interval, *timeout, *failures, *successes, *ttl,
        *registration, *strategy, *key, *spill_below, *lease;
    bool permanent, once, stale, json;
};

// ---- arguments into JSON

static bool set_number(json_t *body, const char *field, const char *text) {
    unsigned long long number;
    if (text == NULL) return true;
    if (!options_number(text, 0, INT64_MAX, &number)) return false;
    json_object_set_new(body, field, json_integer((json_int_t)number));
    return true;
}

static void set_text(json_t *body, const char *field, const char *text) {
    if (text != NULL) json_object_set_new(body, field, json_string(text));
}

// "rack=r1,build=7"
static bool set_metadata(json_t *body, const char *text) {
    if (text == NULL) return true;
    json_t *pairs = json_object();
    json_object_set_new(body, "metadata", pairs);
    while (*text != 0) {
        size_t len = strcspn(text, ","), key = strcspn(text, "=");
        if (key == 0 || key >= len) return false;
        json_t *value = json_stringn(text + key + 1, len - key - 1);
        if (value == NULL || json_object_setn_new(pairs, text, key, value) != 0) return false;
        text += len;
        if (*text == ',') text++;
    }
    return true;
}

// ---- printing

static const char *health_of(const json_t *instance) {
    return json_is_true(json_object_get(instance, "draining")) ? "draining" : native_text(instance, "health");
}

static void print_instances(const json_t *json) {
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(json, "instances"), i, one) {
        if (i == 0)
            printf("%-24s %-24s %-9s %6s %6s %-12s %s\n", "ID", "ADDRESS", "HEALTH", "WEIGHT", "ACTIVE", "ZONE", "");
        printf("%-24s %-24s %-9s %6lld %6lld %-12s %s\n", native_text(one, "id"), native_text(one, "address"),
               health_of(one), native_number(one, "weight"), native_number(one, "active"), native_text(one, "zone"),
               native_text(one, "output"));
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    fflush(stdout);
}

static int list(struct native_client *client, const struct texts *t) {
    json_t *one, *json = native_ask(client, "service", "registry/list", json_pack("{s:b}", "stale", t->stale));
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (t->json) return native_print(json);
    printf("%-40s %9s %9s %12s\n", "SERVICE", "INSTANCES", "READY", "VERSION");
    json_array_foreach(json_object_get(json, "services"), i, one) {
        printf("%-40s %9lld %9lld %12lld\n", native_text(one, "service"), native_number(one, "instances"),
               native_number(one, "ready"), native_number(one, "version"));
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static int show(struct native_client *client, const struct texts *t, const char *name) {
    json_t *body = json_pack("{s:s, s:b, s:i}", "service", name, "stale", t->stale, "limit", REGISTRY_SERVICE_MAX);
    json_t *json = native_ask(client, "service", "registry/show", body);
    if (json == NULL) return EXIT_FATAL;
    if (t->json) return native_print(json);
    print_instances(json);
    json_decref(json);
    return 0;
}

static void print_line(json_t *json) {
    char *line = json_dumps(json, JSON_COMPACT);
    printf("%s\n", line);
    fflush(stdout);
    free(line);
}

// Tells what there is, then each change, until it is ended. With --once: waits for one change behind the version given
// by what it saw first.
static int watch(struct native_client *client, const struct texts *t, const char *name) {
    long long version = 0;
    for (bool away = false, first = true;;) {
        struct native_answer answer;
        json_t *body = json_pack("{s:s, s:I, s:i, s:i}", "service", name, "version", (json_int_t)version, "wait_ms",
                                 (int)WATCH_MS, "limit", REGISTRY_SERVICE_MAX);
        bool asked = native_call(client, "registry/watch", body, WATCH_MS + WATCH_MARGIN_MS,
                                 native_now_ms() + NATIVE_TIMEOUT_MS, &answer);
        if (!asked && !away) fprintf(stderr, "parley service: %s; trying on\n", answer.error);
        bool fatal = !asked && answer.status != 0 && answer.status < 500;
        bool changed = asked && native_number(answer.json, "version") != version;
        away = !asked;
        if (changed) {
            version = native_number(answer.json, "version");
            if (t->json)
                print_line(answer.json);
            else
                printf("%s version %lld\n", name[0] != 0 ? name : "all services", version);
            if (!t->json) print_instances(answer.json);
        }
        native_answer_free(&answer);
        if (fatal) return EXIT_FATAL;
        if (changed && t->once && !first) return 0;
        first = first && !changed;
    }
}

// ---- register

static int read_registration(const struct option_table *table, const struct texts *t, char **arguments, json_t *body) {
    set_text(body, "service", arguments[1]);
    set_text(body, "address", arguments[2]);
    set_text(body, "id", t->id);
    set_text(body, "zone", t->zone);
    set_text(body, "check", t->check);
    if (!set_metadata(body, t->meta)) return options_wrong(table, "--meta is NAME=TEXT,NAME=TEXT...");
    if (!set_number(body, "weight", t->weight) || !set_number(body, "interval_ms", t->interval) ||
        !set_number(body, "timeout_ms", t->timeout) || !set_number(body, "failures", t->failures) ||
        !set_number(body, "successes", t->successes))
        return options_wrong(table, "--weight, --interval, --timeout, --failures and --successes are whole numbers");
    return -1;
}

static int enter(const struct option_table *table, struct native_client *client, const struct texts *t,
                 char **arguments, char **command) {
    static struct service_options o; // the keeper uses it to the end
    json_t *body = json_object();
    int code = read_registration(table, t, arguments, body);
    o = (struct service_options){.name = arguments[1],
                                 .id = t->id != NULL ? t->id : arguments[2],
                                 .body = body,
                                 .ttl_ms = NATIVE_SESSION_TTL_MS_DEFAULT,
                                 .json = t->json,
                                 .command = command};
    if (code < 0 && command != NULL) {
        if (command[0] == NULL || t->permanent)
            code = options_wrong(table, "a command is wanted behind --, and then --permanent does not go with it");
        else if (!options_u64(t->ttl, NATIVE_SESSION_TTL_MS_MIN, NATIVE_SESSION_TTL_MS_MAX, &o.ttl_ms))
            code =
                options_wrong(table, "--ttl is of %u to %u ms", NATIVE_SESSION_TTL_MS_MIN, NATIVE_SESSION_TTL_MS_MAX);
        else
            code = service_run(client, &o);
        json_decref(body);
        return code;
    }
    if (code < 0 && (t->ttl == NULL) == !t->permanent)
        code = options_wrong(table, "without a command, --ttl MS or --permanent is wanted");
    if (code < 0 && !set_number(body, "ttl_ms", t->ttl)) code = options_wrong(table, "--ttl is a number of ms");
    if (code >= 0) {
        json_decref(body);
        return code;
    }
    if (t->permanent) json_object_set_new(body, "permanent", json_true());
    json_t *json = native_ask(client, "service", "registry/register", body);
    if (json == NULL) return EXIT_FATAL;
    if (t->json) return native_print(json);
    printf("%lld\n", native_number(json, "registration"));
    json_decref(json);
    return 0;
}

// ---- of one instance

static int change(struct native_client *client, const struct texts *t, const char *operation, json_t *body) {
    json_t *json = native_ask(client, "service", operation, body);
    if (json == NULL) return EXIT_FATAL;
    if (t->json) return native_print(json);
    json_decref(json);
    return 0;
}

static int of_instance(const struct option_table *table, struct native_client *client, const struct texts *t,
                       char **arguments) {
    const char *verb = arguments[0];
    json_t *body = json_pack("{s:s, s:s}", "service", arguments[1], "id", arguments[2]);
    bool good = set_number(body, "registration", t->registration);
    if (strcmp(verb, "deregister") == 0 && good) return change(client, t, "registry/deregister", body);
    if (strcmp(verb, "renew") == 0 && good && t->registration != NULL && set_number(body, "ttl_ms", t->ttl))
        return change(client, t, "registry/renew", body);
    if (strcmp(verb, "drain") == 0 || strcmp(verb, "undrain") == 0)
        json_object_set_new(body, "drain", json_boolean(verb[0] == 'd'));
    good = good && set_number(body, "weight", t->weight) && set_metadata(body, t->meta);
    if (good && (verb[0] == 'd' || strcmp(verb, "undrain") == 0 || strcmp(verb, "update") == 0))
        return change(client, t, "registry/update", body);
    json_decref(body);
    return options_wrong(table, "renew wants --registration N; --registration, --ttl and --weight are whole numbers, "
                                "--meta is NAME=TEXT,NAME=TEXT...");
}

// ---- pick

static int pick(const struct option_table *table, struct native_client *client, const struct texts *t,
                const char *name) {
    json_t *body = json_pack("{s:s}", "service", name);
    set_text(body, "strategy", t->strategy);
    set_text(body, "key", t->key);
    set_text(body, "zone", t->zone);
    if (t->stale) json_object_set_new(body, "stale", json_true());
    if (!set_number(body, "spill_below", t->spill_below) || !set_number(body, "lease_ms", t->lease)) {
        json_decref(body);
        return options_wrong(table, "--spill-below and --lease are whole numbers");
    }
    json_t *json = native_ask(client, "service", "registry/pick", body);
    if (json == NULL) return EXIT_FATAL;
    if (t->json) return native_print(json);
    long long lease = native_number(json, "lease");
    printf("%s", native_text(json, "address"));
    if (lease != 0) printf(" %lld", lease);
    printf("\n");
    json_decref(json);
    return 0;
}

static int release(const struct option_table *table, struct native_client *client, const struct texts *t,
                   const char *lease) {
    json_t *body = json_object();
    if (set_number(body, "lease", lease)) return change(client, t, "registry/release", body);
    json_decref(body);
    return options_wrong(table, "a lease is a number, as pick prints it behind the address");
}

// ---- dispatch

static int run(const struct option_table *table, struct native_client *client, const struct texts *t, char **arguments,
               size_t count, char **command) {
    const char *verb = arguments[0];
    if (strcmp(verb, "register") == 0 && count == 3) return enter(table, client, t, arguments, command);
    if (command != NULL) return options_wrong(table, "a command behind -- goes with register NAME ADDRESS");
    if (strcmp(verb, "list") == 0 && count == 1) return list(client, t);
    if (strcmp(verb, "show") == 0 && count == 2) return show(client, t, arguments[1]);
    if (strcmp(verb, "watch") == 0 && count <= 2) return watch(client, t, count == 2 ? arguments[1] : "");
    if (strcmp(verb, "pick") == 0 && count == 2) return pick(table, client, t, arguments[1]);
    if (strcmp(verb, "release") == 0 && count == 2) return release(table, client, t, arguments[1]);
    static const char *const verbs[] = {"deregister", "renew", "update", "drain", "undrain"};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verb, verbs[i]) == 0 && count == 3) return of_instance(table, client, t, arguments);
    return options_wrong(table, "wanted: register NAME ADDRESS, deregister, renew, update, drain or undrain NAME ID, "
                                "list, show NAME, watch [NAME], pick NAME, or release LEASE");
}

static int dispatch(const struct option_table *table, struct texts *t, int argc, char **argv, char **command) {
    static struct native_client client;
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), error[512];
    size_t count;
    int code = options_read(table, argc, argv, arguments, &count);
    if (code < 0 && !native_client_init(&client, t->server, error)) code = options_wrong(table, "--server: %s", error);
    if (code < 0) code = run(table, &client, t, arguments, count, command);
    mem_free(arguments);
    return code;
}

int service_main(int argc, char **argv) {
    struct texts t = {.server = "localhost:7450"};
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &t.server, NULL},
        {"id", 0, "ID", "register: of the instance [ADDRESS]", &t.id, NULL},
        {"weight", 0, "N", "register, update: its share, 1 to 1000 [1]", &t.weight, NULL},
        {"zone", 0, "ZONE", "register: where it stands; pick: its instances first", &t.zone, NULL},
        {"meta", 0, "NAME=TEXT,...", "register, update: labels", &t.meta, NULL},
        {"check", 0, "tcp|http:PATH", "register: the leader finds out whether it is well", &t.check, NULL},
        {"interval", 0, "MS", "register: between two checks [5000]", &t.interval, NULL},
        {"timeout", 0, "MS", "register: of one check [2000]", &t.timeout, NULL},
        {"failures", 0, "N", "register: so many in a row and it is failing [3]", &t.failures, NULL},
        {"successes", 0, "N", "register: so many in a row and it is passing [1]", &t.successes, NULL},
        {"ttl", 0, "MS", "register: it goes so long after CMD is killed [15000], or after the last renew", &t.ttl,
         NULL},
        {"permanent", 0, NULL, "register: it stays until it is deregistered; wants --check", NULL, &t.permanent},
        {"registration", 0, "N", "deregister, renew, update, drain: of this registration only", &t.registration, NULL},
        {"strategy", 0, "NAME", "pick: weighted, round-robin, random, hash, least-active [weighted]", &t.strategy,
         NULL},
        {"key", 0, "TEXT", "pick by hash: equal keys get the same instance", &t.key, NULL},
        {"spill-below", 0, "PERCENT", "pick: other zones too when less of the zone is ready [0]", &t.spill_below, NULL},
        {"lease", 0, "MS", "pick by least-active: counts as at work so long at most [30000]", &t.lease, NULL},
        {"stale", 0, NULL, "list, show, pick: as the asked node knows it, also without a leader", NULL, &t.stale},
        {"once", 0, NULL, "watch: ends after the first change", NULL, &t.once},
        {"json", 0, NULL, "JSON; of watch a line for each change, of a run on standard error", NULL, &t.json}};
    const struct option_table table = {
        "service",
        "parley service register NAME ADDRESS [FLAGS] [-- CMD [ARGUMENT...]] | deregister NAME ID | renew NAME ID | "
        "update NAME ID | drain NAME ID | undrain NAME ID | list | show NAME | watch [NAME] | pick NAME | release "
        "LEASE",
        "Registers where a service can be reached, while CMD runs: when CMD ends it is gone at once, when this "
        "command\n"
        "is killed after --ttl. pick prints the address of one instance that is passing and not draining (and, by\n"
        "least-active, its lease). Without an instance it fails. The exit code of register with CMD is CMD's own.",
        rows,
        sizeof rows / sizeof rows[0],
        1,
        3};
    char **command = options_command(&argc, argv);
    return dispatch(&table, &t, argc, argv, command);
}
