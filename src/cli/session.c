// `parley session`: for operators.
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/native_client.h"
#include "cli/options.h"
#include "protocol/http/native.h"
#include "server/server.h"
#include <stdio.h>
#include <string.h>

static int list(struct native_client *client, bool raw) {
    json_t *body = json_object(), *one;
    json_object_set_new(body, "limit", json_integer(NATIVE_LIST_MAX));
    json_t *json = native_ask(client, "session", "session/list", body);
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("%20s %-10s %10s %6s\n", "NUMBER", "KIND", "TTL MS", "NODE");
    json_array_foreach(json_object_get(json, "sessions"), i, one) {
        printf("%20lld %-10s %10lld %6lld\n", native_number(one, "number"), native_text(one, "kind"),
               native_number(one, "ttl_ms"), native_number(one, "node"));
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static json_t *with_number(uint64_t number) {
    json_t *body = json_object();
    json_object_set_new(body, "number", json_integer((json_int_t)number));
    return body;
}

static int show(struct native_client *client, uint64_t number, bool raw) {
    json_t *json = native_ask(client, "session", "session/show", with_number(number)), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("%s, time-out %lld ms, at node %lld\n", native_text(json, "kind"), native_number(json, "ttl_ms"),
           native_number(json, "node"));
    json_array_foreach(json_object_get(json, "holds"), i, one) {
        if (i == 0) printf("%-10s %-8s %20s %8s  %-30s %s\n", "WHAT", "STATE", "TOKEN", "SECONDS", "NAME", "OWNER");
        printf("%-10s %-8s %20lld %8lld  %-30s %s\n", native_text(one, "what"), native_text(one, "state"),
               native_number(one, "token"), native_number(one, "for_ms") / 1000, native_text(one, "name"),
               native_text(one, "owner"));
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static int end(struct native_client *client, uint64_t number, bool raw) {
    json_t *json = native_ask(client, "session", "session/end", with_number(number));
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("session %llu has ended\n", (unsigned long long)number);
    json_decref(json);
    return 0;
}

static int dispatch(const struct option_table *table, struct native_client *client, char **arguments, size_t count,
                    bool json) {
    const char *verb = arguments[0];
    uint64_t number = 0;
    if (strcmp(verb, "list") == 0 && count == 1) return list(client, json);
    bool shows = strcmp(verb, "show") == 0, ends = strcmp(verb, "end") == 0;
    if (count != 2 || !(shows || ends)) return options_wrong(table, "wanted: list, show NUMBER, or end NUMBER");
    if (!options_u64(arguments[1], 1, INT64_MAX, &number))
        return options_wrong(table, "'%s' is no session's number", arguments[1]);
    return shows ? show(client, number, json) : end(client, number, json);
}

int session_main(int argc, char **argv) {
    const char *server = "localhost:7450";
    bool json = false;
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &server, NULL},
        {"json", 0, NULL, "JSON", NULL, &json}};
    const struct option_table table = {"session",
                                       "parley session list | show NUMBER | end NUMBER",
                                       "Sessions, of ZooKeeper's clients too: which there are, what one holds and "
                                       "waits for, its end as an operator's\n"
                                       "last resort (from the node's own machine).",
                                       rows,
                                       sizeof rows / sizeof rows[0],
                                       1,
                                       2};
    struct native_client client;
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), error[512];
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0 && !native_client_init(&client, server, error)) code = options_wrong(&table, "--server: %s", error);
    if (code < 0) code = dispatch(&table, &client, arguments, count, json);
    mem_free(arguments);
    return code;
}
