// `parley lock`: runs a command under a lock; shows locks, and breaks one.
#include "cli/lock.h"
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/held.h"
#include "cli/options.h"
#include "model/lock/lock.h"
#include "protocol/http/native.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct texts { // flags as given
    const char *server, *wait, *ttl, *grace, *delay, *permits, *total, *token, *reason, *via;
    bool try_only, shared, json;
};

// ---- asking
static int list(struct native_client *client, bool raw) {
    json_t *body = json_object(), *one;
    json_object_set_new(body, "limit", json_integer(NATIVE_LIST_MAX));
    json_t *json = native_ask(client, "lock", "lock/list", body);
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("%-40s %-10s %8s %8s\n", "NAME", "MODE", "HOLDERS", "WAITERS");
    json_array_foreach(json_object_get(json, "locks"), i, one) {
        printf("%-40s %-10s %8lld %8lld\n", native_text(one, "name"), native_text(one, "mode"),
               native_number(one, "holders"), native_number(one, "waiters"));
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static int show(struct native_client *client, const char *name, bool raw) {
    json_t *body = json_object(), *claim;
    json_object_set_new(body, "name", json_string(name));
    json_t *json = native_ask(client, "lock", "lock/show", body);
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("%lld hold it, %lld wait\n", native_number(json, "holders"), native_number(json, "waiters"));
    json_array_foreach(json_object_get(json, "claims"), i, claim) {
        bool holds = native_number(claim, "token") != 0;
        if (i == 0) printf("%-6s %-10s %20s %12s %8s  %s\n", "", "MODE", "TOKEN", "SESSION", "SECONDS", "OWNER");
        printf("%-6s %-10s %20lld %12lld %8lld  %s\n", holds ? "holds" : "waits", native_text(claim, "mode"),
               native_number(claim, "token"), native_number(claim, "session"), native_number(claim, "for_ms") / 1000,
               native_text(claim, "owner"));
    }
    json_decref(json);
    return 0;
}

static int break_lock(struct native_client *client, const char *name, unsigned long long token, const char *reason) {
    json_t *body = json_object();
    json_object_set_new(body, "name", json_string(name));
    json_object_set_new(body, "token", json_integer((json_int_t)token));
    json_object_set_new(body, "reason", json_string(reason));
    json_t *json = native_ask(client, "lock", "lock/break", body);
    if (json == NULL) return EXIT_FATAL;
    printf("taken away from the holder of token %llu\n", token);
    json_decref(json);
    return 0;
}

// ---- flags
static int read_options(const struct option_table *table, const struct texts *t, struct lock_options *o) {
    if (!options_u64(t->ttl, NATIVE_SESSION_TTL_MS_MIN, NATIVE_SESSION_TTL_MS_MAX, &o->ttl_ms))
        return options_wrong(table, "--ttl is of %u to %u ms", NATIVE_SESSION_TTL_MS_MIN, NATIVE_SESSION_TTL_MS_MAX);
    if (!options_u64(t->wait, 0, LOCK_TTL_MS_MAX, &o->wait_ms) || (t->wait != NULL && t->try_only))
        return options_wrong(table, "--wait is of 0 to %llu ms, and does not go with --try", LOCK_TTL_MS_MAX);
    if (!options_u64(t->grace, 0, 3600000, &o->grace_ms)) return options_wrong(table, "--grace is of 0 to 3600000 ms");
    if (!options_u64(t->delay, 0, LOCK_TTL_MS_MAX, &o->delay_ms))
        return options_wrong(table, "--delay is of 0 to %llu ms", LOCK_TTL_MS_MAX);
    if (!options_u64(t->total, 1, UINT32_MAX, &o->total) || !options_u64(t->permits, 1, UINT32_MAX, &o->permits))
        return options_wrong(table, "--permits and --total are numbers from 1 on");
    if (t->permits != NULL && (o->total == 0 || o->permits > o->total))
        return options_wrong(table, "--permits N goes with --total M, and N is at most M");
    if (o->total != 0 && o->shared) return options_wrong(table, "--shared does not go with --total");
    if (t->try_only) o->wait_ms = 0;
    return -1;
}

static int run(const struct option_table *table, const struct texts *t, struct native_client *client, char **arguments,
               size_t count, char **command) {
    struct lock_options o = {.who = "parley lock",
                             .command = command,
                             .ttl_ms = NATIVE_SESSION_TTL_MS_DEFAULT,
                             .wait_ms = LOCK_TTL_MS_MAX,
                             .grace_ms = HELD_GRACE_MS_DEFAULT,
                             .permits = 1,
                             .shared = t->shared,
                             .json = t->json};
    if (count != 1) return options_wrong(table, "one lock's NAME is wanted ahead of --");
    if (command[0] == NULL) return options_wrong(table, "a command is wanted behind --");
    o.name = arguments[0];
    if (o.name[0] == 0 || strlen(o.name) > LOCK_NAME_BYTES_MAX)
        return options_wrong(table, "a name has 1 to %u bytes", LOCK_NAME_BYTES_MAX);
    int code = read_options(table, t, &o);
    if (code < 0 && t->via != NULL && (t->shared || t->permits != NULL || t->total != NULL || t->delay != NULL))
        code = options_wrong(table, "recipes of other systems have no --shared, --permits, --total and --delay");
    if (code >= 0) return code;
    return t->via != NULL ? lock_via_run(t->via, &o) : lock_run(client, &o);
}

static int ask_about(const struct option_table *table, const struct texts *t, struct native_client *client,
                     char **arguments, size_t count) {
    const char *verb = arguments[0];
    uint64_t token = 0;
    if (t->via != NULL) return options_wrong(table, "--via goes with NAME -- CMD");
    if (strcmp(verb, "list") == 0 && count == 1) return list(client, t->json);
    if (strcmp(verb, "show") == 0 && count == 2) return show(client, arguments[1], t->json);
    if (strcmp(verb, "break") != 0 || count != 2)
        return options_wrong(table, "wanted: NAME ... -- CMD, list, show NAME, or break NAME");
    if (t->token == NULL || t->reason == NULL || !options_u64(t->token, 1, INT64_MAX, &token))
        return options_wrong(table, "break wants --token N, as `show` names it, and --reason TEXT");
    return break_lock(client, arguments[1], token, t->reason);
}

static int dispatch(const struct option_table *table, struct texts *t, int argc, char **argv, char **command) {
    static struct native_client client; // threads of a run use it to the end
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), error[512];
    size_t count;
    int code = options_read(table, argc, argv, arguments, &count);
    if (code < 0 && !native_client_init(&client, t->server, error)) code = options_wrong(table, "--server: %s", error);
    if (code < 0)
        code = command != NULL ? run(table, t, &client, arguments, count, command)
                               : ask_about(table, t, &client, arguments, count);
    mem_free(arguments);
    return code;
}

int lock_main(int argc, char **argv) {
    struct texts t = {.server = "localhost:7450"};
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &t.server, NULL},
        {"wait", 0, "MS", "waits in line so long at most [for ever]", &t.wait, NULL},
        {"try", 0, NULL, "does not wait", NULL, &t.try_only},
        {"ttl", 0, "MS", "another gets the lock so long after this command is gone [15000]", &t.ttl, NULL},
        {"grace", 0, "MS", "from SIGTERM to SIGKILL when the lock is lost [3000]", &t.grace, NULL},
        {"delay", 0, "MS", "after a loss nobody gets it for so long [0]", &t.delay, NULL},
        {"shared", 0, NULL, "together with others that are shared", NULL, &t.shared},
        {"permits", 0, "N", "takes N of --total M (a semaphore) [1]", &t.permits, NULL},
        {"total", 0, "M", "of how many; all who use the lock say the same", &t.total, NULL},
        {"via", 0, "URL",
         "on another system: redis://, redlock://, zookeeper://, etcd://, memcached://, postgres://, mysql://", &t.via,
         NULL},
        {"token", 0, "N", "break: the holder's token, as `show` names it", &t.token, NULL},
        {"reason", 0, "TEXT", "break: what the holder is told", &t.reason, NULL},
        {"json", 0, NULL, "JSON; of a run, as lines on standard error", NULL, &t.json}};
    const struct option_table table = {
        "lock",
        "parley lock NAME [FLAGS] -- CMD [ARGUMENT...] | list | show NAME | break NAME --token N --reason TEXT",
        "Runs CMD while a lock is held: the token is in PARLEY_LOCK_TOKEN, the name in PARLEY_LOCK_NAME. When the "
        "lock\n"
        "is lost, CMD gets SIGTERM and then SIGKILL. The exit code is CMD's own (128 + N after signal N); 75 when the\n"
        "lock was not got, 76 when it was lost, 126 or 127 when CMD cannot be run. With --via the token is there only "
        "if the\n"
        "system has one (docs/locks.md).",
        rows,
        sizeof rows / sizeof rows[0],
        1,
        2};
    char **command = options_command(&argc, argv);
    return dispatch(&table, &t, argc, argv, command);
}
