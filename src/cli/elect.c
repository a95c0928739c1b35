// `parley elect`: leads, and runs commands when it does or does not; shows who leads.
#include "cli/elect.h"
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "model/lock/lock.h"
#include "protocol/http/native.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OBSERVE_MS 20000u
#define MARGIN_MS 5000u

struct texts { // flags as given
    const char *server, *value, *candidate, *on_leader, *on_follower, *wait, *ttl, *grace, *delay;
    bool try_only, show, watch, json;
};

// ---- asking

static void copy(char *to, size_t size, const char *text) {
    snprintf(to, size, "%s", text);
}

bool elect_observe(struct native_client *client, const char *name, long long seen, struct elect_leader *out,
                   char error[512]) {
    struct native_answer answer;
    json_t *body = json_object();
    json_object_set_new(body, "name", json_string(name));
    json_object_set_new(body, "wait_ms", json_integer(OBSERVE_MS));
    if (seen >= 0) json_object_set_new(body, "version", json_integer(seen));
    bool asked = native_call(client, "election/observe", body, OBSERVE_MS + MARGIN_MS,
                             native_now_ms() + NATIVE_TIMEOUT_MS, &answer);
    copy(error, 512, answer.error);
    if (asked) {
        *out = (struct elect_leader){.elected = json_is_true(json_object_get(answer.json, "elected")),
                                     .token = native_number(answer.json, "token"),
                                     .version = native_number(answer.json, "version")};
        copy(out->candidate, sizeof out->candidate, native_text(answer.json, "candidate"));
        copy(out->value, sizeof out->value, native_text(answer.json, "value"));
    }
    native_answer_free(&answer);
    return asked;
}

static void print_change(const struct elect_leader *leader, bool raw) {
    if (!raw && leader->elected)
        printf("%s leads, token %lld%s%s\n", leader->candidate, leader->token, leader->value[0] ? ": " : "",
               leader->value);
    if (!raw && !leader->elected) printf("nobody leads\n");
    if (raw) {
        json_t *json = json_object();
        json_object_set_new(json, "elected", json_boolean(leader->elected));
        json_object_set_new(json, "candidate", json_string(leader->candidate));
        json_object_set_new(json, "value", json_string(leader->value));
        json_object_set_new(json, "token", json_integer(leader->token));
        json_object_set_new(json, "version", json_integer(leader->version));
        json_dumpf(json, stdout, JSON_COMPACT);
        printf("\n");
        json_decref(json);
    }
    fflush(stdout);
}

int elect_watch(struct native_client *client, const char *name, bool raw) {
    struct elect_leader leader;
    char error[512];
    long long seen = -1;
    while (elect_observe(client, name, seen, &leader, error)) {
        if (leader.version != seen) print_change(&leader, raw);
        seen = leader.version;
        if (ferror(stdout)) return EXIT_FATAL; // nobody reads it
    }
    fprintf(stderr, "parley elect: %s\n", error);
    return EXIT_FATAL;
}

int elect_show(struct native_client *client, const char *name, bool raw) {
    json_t *body = json_object(), *one;
    json_object_set_new(body, "name", json_string(name));
    json_t *json = native_ask(client, "elect", "election/candidates", body);
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    json_array_foreach(json_object_get(json, "candidates"), i, one) {
        if (i == 0) printf("%-6s %20s %12s %8s  %-30s %s\n", "", "TOKEN", "SESSION", "SECONDS", "CANDIDATE", "VALUE");
        printf("%-6s %20lld %12lld %8lld  %-30s %s\n", native_number(one, "token") != 0 ? "leads" : "waits",
               native_number(one, "token"), native_number(one, "session"), native_number(one, "for_ms") / 1000,
               native_text(one, "candidate"), native_text(one, "value"));
    }
    if (i == 0) printf("nobody leads, nobody waits\n");
    json_decref(json);
    return 0;
}

int elect_list(struct native_client *client, bool raw) {
    json_t *body = json_object(), *one;
    json_object_set_new(body, "limit", json_integer(NATIVE_LIST_MAX));
    json_t *json = native_ask(client, "elect", "election/list", body);
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("%-40s %-8s %10s\n", "NAME", "ELECTED", "CANDIDATES");
    json_array_foreach(json_object_get(json, "elections"), i, one) {
        printf("%-40s %-8s %10lld\n", native_text(one, "name"),
               json_is_true(json_object_get(one, "elected")) ? "yes" : "no", native_number(one, "candidates"));
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
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
    if (strlen(o->value) > LOCK_VALUE_BYTES_MAX)
        return options_wrong(table, "--value has at most %u bytes", LOCK_VALUE_BYTES_MAX);
    if (o->owner != NULL && (o->owner[0] == 0 || strlen(o->owner) > LOCK_OWNER_BYTES_MAX))
        return options_wrong(table, "--candidate has 1 to %u bytes", LOCK_OWNER_BYTES_MAX);
    if (t->try_only) o->wait_ms = 0;
    return -1;
}

static int run(const struct option_table *table, const struct texts *t, struct native_client *client, const char *name,
               char **command) {
    struct lock_options o = {.who = "parley elect",
                             .name = name,
                             .value = t->value != NULL ? t->value : "",
                             .owner = t->candidate,
                             .command = command,
                             .ttl_ms = NATIVE_SESSION_TTL_MS_DEFAULT,
                             .wait_ms = LOCK_TTL_MS_MAX,
                             .grace_ms = HELD_GRACE_MS_DEFAULT,
                             .json = t->json};
    bool serves = t->on_leader != NULL || t->on_follower != NULL;
    if (serves == (command != NULL)) return options_wrong(table, "either --on-leader and --on-follower, or -- CMD");
    if (command != NULL && command[0] == NULL) return options_wrong(table, "a command is wanted behind --");
    if (serves && (t->wait != NULL || t->try_only)) return options_wrong(table, "--wait and --try go with -- CMD");
    int code = read_options(table, t, &o);
    if (code >= 0) return code;
    return serves ? elect_serve(client, &o, t->on_leader, t->on_follower) : lock_run(client, &o);
}

static int dispatch(const struct option_table *table, struct texts *t, int argc, char **argv, char **command) {
    static struct native_client client; // threads use it to the end
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), error[512];
    size_t count;
    int code = options_read(table, argc, argv, arguments, &count);
    const char *name = code < 0 && count == 1 ? arguments[0] : NULL;
    mem_free(arguments);
    if (code >= 0) return code;
    if (!native_client_init(&client, t->server, error)) return options_wrong(table, "--server: %s", error);
    if (t->show && t->watch) return options_wrong(table, "--show or --watch");
    if (name == NULL) return t->show ? elect_list(&client, t->json) : options_wrong(table, "a NAME is wanted");
    if (name[0] == 0 || strlen(name) > LOCK_NAME_BYTES_MAX)
        return options_wrong(table, "a name has 1 to %u bytes", LOCK_NAME_BYTES_MAX);
    if (t->show || t->watch) return t->show ? elect_show(&client, name, t->json) : elect_watch(&client, name, t->json);
    return run(table, t, &client, name, command);
}

int elect_main(int argc, char **argv) {
    struct texts t = {.server = "localhost:7450"};
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &t.server, NULL},
        {"value", 0, "TEXT", "what others are to know of this leader", &t.value, NULL},
        {"candidate", 0, "TEXT", "its name, that no other candidate has [HOST pid PID]", &t.candidate, NULL},
        {"on-leader", 0, "CMD", "runs when it leads", &t.on_leader, NULL},
        {"on-follower", 0, "CMD", "runs at the start, when it leads no longer, and when others do", &t.on_follower,
         NULL},
        {"wait", 0, "MS", "-- CMD: stays in line so long at most [for ever]", &t.wait, NULL},
        {"try", 0, NULL, "-- CMD: does not wait", NULL, &t.try_only},
        {"ttl", 0, "MS", "another is elected so long after this command is gone [15000]", &t.ttl, NULL},
        {"grace", 0, "MS", "from SIGTERM to SIGKILL when the lead is lost [3000]", &t.grace, NULL},
        {"delay", 0, "MS", "after a loss nobody is elected for so long [0]", &t.delay, NULL},
        {"show", 0, NULL, "shows the leader and who is in line; without a NAME, the elections", NULL, &t.show},
        {"watch", 0, NULL, "prints a line for each change of leader or value", NULL, &t.watch},
        {"json", 0, NULL, "JSON; of a run, as lines on standard error", NULL, &t.json}};
    const struct option_table table = {
        "elect",
        "parley elect NAME [FLAGS] (--on-leader CMD --on-follower CMD | -- CMD [ARGUMENT...]) | [NAME] --show | NAME "
        "--watch",
        "Is in line for the lead. --on-leader and --on-follower are run by /bin/sh at each change, until SIGTERM; the\n"
        "one for followers begins at the latest when two thirds of --ttl have passed without an answer of the "
        "servers:\n"
        "the rest is its time, ahead of another's election. They see PARLEY_ELECTION, PARLEY_TOKEN, PARLEY_LEADER and\n"
        "PARLEY_VALUE (of the leader; empty: not known). -- CMD runs CMD once, while it leads: when the lead is lost,\n"
        "CMD gets SIGTERM and then SIGKILL. The exit code is then CMD's own (128 + N after signal N); 75 when it was\n"
        "not elected, 76 when the lead was lost, 126 or 127 when CMD cannot be run.",
        rows,
        sizeof rows / sizeof rows[0],
        0,
        1};
    char **command = options_command(&argc, argv);
    return dispatch(&table, &t, argc, argv, command);
}
