// `parley status`: asks one node for the members, then each member for its own view.
#include "base/alloc.h"
#include "base/limits.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MEMBER_TIMEOUT_MS 1000u // a dead member must not hold the table for long

static long long number(const json_t *json, const char *key) {
    return (long long)json_integer_value(json_object_get(json, key));
}

static const char *text(const json_t *json, const char *key) {
    const char *words = json_string_value(json_object_get(json, key));
    return words != NULL ? words : "-";
}

// {"asked": view, "nodes": [{"id", "http", "reachable", "view"}]}
static json_t *collect(const char *address) {
    json_t *asked = ask_json("status", address, "GET", "/v1/cluster", NULL, 2 * MEMBER_TIMEOUT_MS, false);
    if (asked == NULL) return NULL;
    json_t *nodes = json_array(), *member;
    size_t i;
    json_array_foreach(json_object_get(asked, "members"), i, member) {
        const char *http = json_string_value(json_object_get(json_object_get(member, "addresses"), "http"));
        json_t *view = json_is_true(json_object_get(member, "self")) ? json_incref(asked)
                       : http != NULL ? ask_json("status", http, "GET", "/v1/cluster", NULL, MEMBER_TIMEOUT_MS, true)
                                      : NULL;
        json_t *node = json_object();
        json_object_set(node, "id", json_object_get(member, "id"));
        json_object_set_new(node, "reachable", json_boolean(view != NULL));
        json_object_set_new(node, "http", http != NULL ? json_string(http) : json_null());
        json_object_set_new(node, "view", view != NULL ? view : json_null());
        json_array_append_new(nodes, node);
    }
    json_t *all = json_object();
    json_object_set_new(all, "asked", asked);
    json_object_set_new(all, "nodes", nodes);
    return all;
}

static json_t *view_of(const json_t *all, long long id) {
    size_t i;
    json_t *node;
    json_array_foreach(json_object_get(all, "nodes"), i, node) {
        if (number(node, "id") == id && json_is_true(json_object_get(node, "reachable")))
            return json_object_get(node, "view");
    }
    return NULL;
}

// Entries that the leader does not know to be on that member's disk. -1: unknown.
static long long lag_by_leader(const json_t *leader, long long id) {
    size_t i;
    json_t *member;
    json_array_foreach(json_object_get(leader, "members"), i, member) {
        if (number(member, "id") == id && json_object_get(member, "lag") != NULL) return number(member, "lag");
    }
    return -1;
}

// What the leader knows of a member is up to half a second old: what the member says itself may show that it is less.
static long long lag_of(const json_t *leader, const json_t *node, long long id) {
    long long lag = lag_by_leader(leader, id);
    if (lag <= 0 || node == NULL) return lag;
    long long behind = number(json_object_get(leader, "node"), "last_index") - number(node, "applied_index");
    return behind < 0 ? 0 : behind < lag ? behind : lag;
}

static const char *state_of(const json_t *node) {
    if (node == NULL) return "unreachable";
    if (json_is_true(json_object_get(node, "diverged"))) return "diverged";
    if (json_is_true(json_object_get(node, "disk_full"))) return "disk full";
    return json_is_true(json_object_get(node, "ready")) ? "ready" : "not ready";
}

static void print_rate(const json_t *node, const json_t *before, const char *key, double seconds) {
    if (node == NULL || before == NULL || seconds <= 0) {
        printf(" %9s", "-");
        return;
    }
    long long now = number(json_object_get(node, "counters"), key),
              then = number(json_object_get(before, "counters"), key);
    printf(" %9.0f", now >= then ? (double)(now - then) / seconds : 0.0);
}

static void print_table(const json_t *all, const json_t *before, double seconds, bool rates) {
    const json_t *asked = json_object_get(all, "asked");
    long long leader_id = number(asked, "leader");
    json_t *leader = view_of(all, leader_id);
    size_t i;
    json_t *member;
    if (json_array_size(json_object_get(asked, "members")) == 0) {
        printf("the cluster is not formed yet: the members of --cluster have not all been seen\n");
        return;
    }
    printf("cluster %.8s   term %lld   leader %s", text(asked, "cluster_id"), number(asked, "term"),
           leader_id == 0 ? "none" : "");
    if (leader_id != 0) printf("%lld", leader_id);
    printf("   sessions %lld\n", number(asked, "sessions"));
    printf("%-3s %-9s %-11s %-22s %-22s %12s %8s %6s", "ID", "ROLE", "STATE", "PEER", "ZOOKEEPER", "APPLIED", "LAG",
           "CONNS");
    if (rates) printf(" %9s %9s", "WRITES/S", "READS/S");
    printf("  %s\n", "VERSION");
    json_array_foreach(json_object_get(asked, "members"), i, member) {
        long long id = number(member, "id");
        const json_t *addresses = json_object_get(member, "addresses"),
                     *node = json_object_get(view_of(all, id), "node");
        const char *role = id == leader_id                              ? "leader"
                           : strcmp(text(member, "role"), "voter") == 0 ? "follower"
                                                                        : text(member, "role");
        long long lag = lag_of(leader, node, id);
        printf("%-3lld %-9s %-11s %-22s %-22s", id, role, state_of(node), text(addresses, "peer"),
               text(addresses, "zookeeper"));
        if (node != NULL)
            printf(" %12lld", number(node, "applied_index"));
        else
            printf(" %12s", "-");
        if (lag >= 0)
            printf(" %8lld", lag);
        else
            printf(" %8s", "-");
        if (node != NULL)
            printf(" %6lld", number(node, "connections"));
        else
            printf(" %6s", "-");
        if (rates) {
            const json_t *old = before != NULL ? json_object_get(view_of(before, id), "node") : NULL;
            print_rate(node, old, "commands", seconds);
            print_rate(node, old, "queries", seconds);
        }
        printf("  %s\n", node != NULL ? text(node, "version") : "-");
    }
}

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static _Noreturn void watch(const char *address) {
    json_t *before = NULL;
    double then = 0;
    for (;;) {
        json_t *all = collect(address);
        double now = now_seconds();
        if (isatty(STDOUT_FILENO)) printf("\033[H\033[2J");
        if (all != NULL) {
            print_table(all, before, now - then, true);
            json_decref(before);
            before = all;
            then = now;
        }
        fflush(stdout);
        sleep(1);
    }
}

int status_main(int argc, char **argv) {
    const char *http = ASK_DEFAULT;
    bool json = false, again = false;
    const struct option_row rows[] = {ASK_OPTION(http),
                                      {"watch", 'w', NULL, "again each second, with rates, until Ctrl-C", NULL, &again},
                                      {"json", 'j', NULL, "all that is known, as JSON", NULL, &json}};
    const struct option_table table = {"status",
                                       "parley status [FLAGS]",
                                       "Nodes of a cluster, their roles and how far each is. LAG counts entries that "
                                       "the leader does not know to be on that\n"
                                       "node's disk. Exit code 1 when the node cannot be asked or there is no leader.",
                                       rows,
                                       3,
                                       0,
                                       0};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), address[ADDRESS_TEXT_MAX];
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    mem_free(arguments);
    if (code >= 0) return code;
    if (!ask_address("status", http, address)) return EXIT_USAGE;
    if (again) watch(address);
    json_t *all = collect(address);
    if (all == NULL) return EXIT_FATAL;
    if (json) {
        char *out = json_dumps(all, JSON_INDENT(2));
        printf("%s\n", out);
        free(out);
    } else {
        print_table(all, NULL, 0, false);
    }
    code = number(json_object_get(all, "asked"), "leader") != 0 ? 0 : EXIT_FATAL;
    json_decref(all);
    return code;
}
