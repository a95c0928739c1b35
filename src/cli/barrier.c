// `parley barrier`: runs a command inside of a double barrier; latches for scripts; shows both.
#include "model/barrier/barrier.h"
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/lock.h"
#include "cli/options.h"
#include "protocol/http/native.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_NOT_ZERO 75 // wait: the latch was not at zero in time
#define WAIT_MS 20000u   // of one request
#define MARGIN_MS 5000u

struct texts {
    const char *server, *by, *request, *wait, *ttl, *members, *grace;
    bool json;
};

static json_t *with_name(const char *name) {
    json_t *body = json_object();
    if (name != NULL) json_object_set_new(body, "name", json_string(name));
    return body;
}

static int list(struct native_client *client, bool raw) {
    json_t *json = native_ask(client, "barrier", "barrier/list", json_object()), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("%-40s %8s %8s %8s %8s\n", "NAME", "MEMBERS", "INSIDE", "LEAVING", "WAITING");
    json_array_foreach(json_object_get(json, "barriers"), i, one) {
        printf("%-40s %8lld %8lld %8lld %8lld\n", native_text(one, "name"), native_number(one, "members"),
               native_number(one, "inside"), native_number(one, "leaving"), native_number(one, "waiting"));
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static int show(struct native_client *client, const char *name, bool raw) {
    json_t *json = native_ask(client, "barrier", "barrier/show", with_name(name)), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("round %lld of %lld members\n", native_number(json, "round"), native_number(json, "members"));
    json_array_foreach(json_object_get(json, "places"), i, one) {
        if (i == 0) printf("%-8s %12s %8s  %s\n", "STATE", "SESSION", "SECONDS", "MEMBER");
        printf("%-8s %12lld %8lld  %s\n", native_text(one, "state"), native_number(one, "session"),
               native_number(one, "for_ms") / 1000, native_text(one, "member"));
    }
    json_decref(json);
    return 0;
}

static int latch_list(struct native_client *client, bool raw) {
    json_t *json = native_ask(client, "barrier", "latch/list", json_object()), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("%-40s %12s %12s\n", "NAME", "COUNT", "FROM");
    json_array_foreach(json_object_get(json, "latches"), i, one) {
        printf("%-40s %12lld %12lld\n", native_text(one, "name"), native_number(one, "count"),
               native_number(one, "from"));
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static int print_count(json_t *json, bool raw) {
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    if (json_object_get(json, "count") != NULL) printf("%lld\n", native_number(json, "count"));
    json_decref(json);
    return 0;
}

// What a server did not answer is asked again, here too: so a request without an id gets one.
static int count_down(struct native_client *client, const char *name, uint64_t by, const char *request, bool raw) {
    json_t *body = with_name(name);
    char own[64];
    snprintf(own, sizeof own, "parley %ld %llu", (long)getpid(), (unsigned long long)native_now_ms());
    json_object_set_new(body, "by", json_integer((json_int_t)by));
    json_object_set_new(body, "request_id", json_string(request != NULL ? request : own));
    return print_count(native_ask(client, "barrier", "latch/count_down", body), raw);
}

static int wait_for(struct native_client *client, const char *name, uint64_t wait_ms, bool raw) {
    uint64_t until_ms = native_now_ms() + wait_ms;
    for (;;) {
        uint64_t now_ms = native_now_ms(), left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        struct native_answer answer;
        json_t *body = with_name(name);
        json_object_set_new(body, "wait_ms", json_integer((json_int_t)(left_ms < WAIT_MS ? left_ms : WAIT_MS)));
        if (!native_call(client, "latch/wait", body, WAIT_MS + MARGIN_MS, now_ms + NATIVE_TIMEOUT_MS, &answer)) {
            fprintf(stderr, "parley barrier: %s\n", answer.error);
            native_answer_free(&answer);
            return EXIT_FATAL;
        }
        long long count = native_number(answer.json, "count");
        if (count > 0 && native_now_ms() < until_ms) {
            native_answer_free(&answer);
            continue;
        }
        print_count(answer.json, raw);
        return count == 0 ? 0 : EXIT_NOT_ZERO;
    }
}

static int latch(const struct option_table *table, const struct texts *t, struct native_client *client,
                 char **arguments, size_t count) {
    const char *verb = arguments[0], *name = count > 1 ? arguments[1] : NULL;
    uint64_t number = 0, by = 1, wait_ms = BARRIER_WAIT_MS_MAX, ttl_ms = 0;
    if (!options_u64(t->by, 1, LATCH_COUNT_MAX, &by)) return options_wrong(table, "--by is a number from 1 on");
    if (!options_u64(t->wait, 0, BARRIER_WAIT_MS_MAX, &wait_ms) ||
        !options_u64(t->ttl, 0, BARRIER_WAIT_MS_MAX, &ttl_ms))
        return options_wrong(table, "--wait and --ttl are of 0 to %llu ms", BARRIER_WAIT_MS_MAX);
    if (strcmp(verb, "list") == 0 && count == 1) return latch_list(client, t->json);
    if (strcmp(verb, "set") == 0 && count == 3) {
        json_t *body = with_name(name);
        if (!options_u64(arguments[2], 0, LATCH_COUNT_MAX, &number)) {
            json_decref(body);
            return options_wrong(table, "'%s' is no count", arguments[2]);
        }
        json_object_set_new(body, "count", json_integer((json_int_t)number));
        json_object_set_new(body, "ttl_ms", json_integer((json_int_t)ttl_ms));
        return print_count(native_ask(client, "barrier", "latch/set", body), t->json);
    }
    if (strcmp(verb, "down") == 0 && count == 2) return count_down(client, name, by, t->request, t->json);
    if (strcmp(verb, "wait") == 0 && count == 2) return wait_for(client, name, wait_ms, t->json);
    if (strcmp(verb, "delete") == 0 && count == 2)
        return print_count(native_ask(client, "barrier", "latch/delete", with_name(name)), t->json);
    return options_wrong(table, "wanted: latch list, set NAME COUNT, down NAME, wait NAME, or delete NAME");
}

static int run(const struct option_table *table, const struct texts *t, struct native_client *client, char **arguments,
               size_t count, char **command) {
    struct lock_options o = {.who = "parley barrier",
                             .command = command,
                             .ttl_ms = NATIVE_SESSION_TTL_MS_DEFAULT,
                             .wait_ms = BARRIER_WAIT_MS_MAX,
                             .grace_ms = HELD_GRACE_MS_DEFAULT,
                             .json = t->json};
    if (count != 2 || strcmp(arguments[0], "run") != 0 || command[0] == NULL)
        return options_wrong(table, "wanted: run NAME --members N -- CMD");
    o.name = arguments[1];
    if (t->members == NULL || !options_u64(t->members, 1, BARRIER_SIZE_MAX, &o.members))
        return options_wrong(table, "--members is a number from 1 to %u", BARRIER_SIZE_MAX);
    if (!options_u64(t->ttl, NATIVE_SESSION_TTL_MS_MIN, NATIVE_SESSION_TTL_MS_MAX, &o.ttl_ms))
        return options_wrong(table, "--ttl is of %u to %u ms", NATIVE_SESSION_TTL_MS_MIN, NATIVE_SESSION_TTL_MS_MAX);
    if (!options_u64(t->wait, 0, BARRIER_WAIT_MS_MAX, &o.wait_ms) || !options_u64(t->grace, 0, 3600000, &o.grace_ms))
        return options_wrong(table, "--wait is of 0 to %llu ms, --grace of 0 to 3600000", BARRIER_WAIT_MS_MAX);
    return lock_run(client, &o);
}

static int dispatch(const struct option_table *table, const struct texts *t, struct native_client *client,
                    char **arguments, size_t count, char **command) {
    if (command != NULL) return run(table, t, client, arguments, count, command);
    const char *verb = arguments[0];
    if (strcmp(verb, "list") == 0 && count == 1) return list(client, t->json);
    if (strcmp(verb, "show") == 0 && count == 2) return show(client, arguments[1], t->json);
    if (strcmp(verb, "latch") == 0 && count > 1) return latch(table, t, client, arguments + 1, count - 1);
    return options_wrong(table, "wanted: run NAME --members N -- CMD, list, show NAME, or latch ...");
}

int barrier_main(int argc, char **argv) {
    struct texts t = {.server = "localhost:7450"};
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &t.server, NULL},
        {"by", 0, "N", "latch down: counts so many [1]", &t.by, NULL},
        {"request", 0, "ID", "latch down: a repeat under the same ID counts once", &t.request, NULL},
        {"wait", 0, "MS", "run, latch wait: so long at most [for ever]", &t.wait, NULL},
        {"members", 0, "N", "run: so many begin together; all who use the barrier say the same", &t.members, NULL},
        {"ttl", 0, "MS", "latch set: it is deleted after so long [never]; run: who is gone has left after it [15000]",
         &t.ttl, NULL},
        {"grace", 0, "MS", "run: from SIGTERM to SIGKILL when the session is lost [3000]", &t.grace, NULL},
        {"json", 0, NULL, "JSON", NULL, &t.json}};
    const struct option_table table = {
        "barrier",
        "parley barrier run NAME --members N [FLAGS] -- CMD [ARGUMENT...] | list | show NAME | latch list | latch set "
        "NAME COUNT | latch (down|wait|delete) NAME",
        "run: a double barrier: CMD begins when N have come, and this ends when all of their commands have ended, or\n"
        "their sessions; the round is in PARLEY_ROUND. The exit code is CMD's own (128 + N after signal N); 75 when "
        "the\n"
        "others did not come in time, 76 when the session was lost. Latches: `wait` ends when as many have counted\n"
        "down as the latch was set to, with exit code 75 if that was not in time.",
        rows,
        sizeof rows / sizeof rows[0],
        1,
        4};
    static struct native_client client;
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), error[512];
    size_t count;
    char **command = options_command(&argc, argv);
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0 && !native_client_init(&client, t.server, error)) code = options_wrong(&table, "--server: %s", error);
    if (code < 0) code = dispatch(&table, &t, &client, arguments, count, command);
    mem_free(arguments);
    return code;
}
