// `parley member`, `parley leader`, `parley cluster`: administration of a running cluster through any node's HTTP
// listener.
#include "base/alloc.h"
#include "base/limits.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "client/http_client.h"
#include "server/config.h"
#include "server/server.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FORM_POLLS 50 // and how often: 5 s, far over an election
#define FORM_POLL_US 100000u

static const char *text_of(const json_t *json, const char *key) {
    const char *text = json_string_value(json_object_get(json, key));
    return text != NULL ? text : "-";
}

static int member_list(const char *address) {
    json_t *json = ask_json("member", address, "GET", "/v1/cluster", NULL, ASK_TIMEOUT_MS, false);
    if (json == NULL) return EXIT_FATAL;
    size_t i;
    json_t *member;
    printf("%-4s %-10s %-7s %-26s %-26s %s\n", "ID", "ROLE", "LEADER", "PEER", "ZOOKEEPER", "HTTP");
    json_array_foreach(json_object_get(json, "members"), i, member) {
        const json_t *addresses = json_object_get(member, "addresses");
        printf("%-4lld %-10s %-7s %-26s %-26s %s\n", (long long)json_integer_value(json_object_get(member, "id")),
               text_of(member, "role"), json_is_true(json_object_get(member, "leader")) ? "yes" : "",
               text_of(addresses, "peer"), text_of(addresses, "zookeeper"), text_of(addresses, "http"));
    }
    json_decref(json);
    return 0;
}

int member_main(int argc, char **argv) {
    const char *http = ASK_DEFAULT;
    bool observer = false;
    const struct option_row rows[] = {
        {"observer", 0, NULL, "add: serves clients, never votes, stays so until it is promoted", NULL, &observer},
        ASK_OPTION(http)};
    const struct option_table table = {
        "member",
        "parley member list | add [--observer] ID HOST:PORT | promote ID | remove ID",
        "Members of a running cluster. A new node is started with --id ID --cluster (all peers and itself) on an empty "
        "folder;\n"
        "`add` lets it in as a learner at its peer address: it becomes a voter once it has caught up. With --observer "
        "it\n"
        "stays without a vote until `promote` makes it a voter.",
        rows,
        2,
        1,
        3};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), address[ADDRESS_TEXT_MAX], path[64],
         peer[ADDRESS_TEXT_MAX], error[256];
    size_t count;
    unsigned long long id = 0;
    int code = options_read(&table, argc, argv, arguments, &count);
    const char *what = count > 0 ? arguments[0] : "";
    bool list = strcmp(what, "list") == 0, add = strcmp(what, "add") == 0, promote = strcmp(what, "promote") == 0,
         drop = strcmp(what, "remove") == 0;
    if (code >= 0) {
    } else if (!ask_address("member", http, address)) {
        code = EXIT_USAGE;
    } else if (!list && !add && !promote && !drop) {
        code = options_wrong(&table, "'%s' is unknown", what);
    } else if (count != (list ? 1u : add ? 3u : 2u)) {
        code = options_wrong(&table, "%s wants %s", what, list ? "nothing more" : add ? "ID HOST:PORT" : "ID");
    } else if (observer && !add) {
        code = options_wrong(&table, "--observer goes with add only");
    } else if (list) {
        code = member_list(address);
    } else if (!options_number(arguments[1], 1, 255, &id)) {
        code = options_wrong(&table, "'%s' is no member's number: allowed are 1 to 255", arguments[1]);
    } else if (add && !config_parse_address(arguments[2], 7451, peer, error)) {
        code = options_wrong(&table, "'%s' %s", arguments[2], error);
    } else if (add) {
        code = ask_admin("member", address, "POST", "/v1/members",
                         json_pack("{s:I, s:s, s:b}", "id", (json_int_t)id, "address", peer, "observer", observer));
    } else {
        snprintf(path, sizeof path, promote ? "/v1/members/%llu/promote" : "/v1/members/%llu", id);
        code = ask_admin("member", address, promote ? "POST" : "DELETE", path, NULL);
    }
    mem_free(arguments);
    return code;
}

int leader_main(int argc, char **argv) {
    const char *http = ASK_DEFAULT;
    const struct option_row rows[] = {ASK_OPTION(http)};
    const struct option_table table = {
        "leader",
        "parley leader transfer [ID]",
        "Hands leadership to member ID, or to the most advanced voter; before maintenance of the leader.",
        rows,
        1,
        1,
        2};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), address[ADDRESS_TEXT_MAX];
    size_t count;
    unsigned long long id = 0;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code >= 0) {
    } else if (!ask_address("leader", http, address)) {
        code = EXIT_USAGE;
    } else if (strcmp(arguments[0], "transfer") != 0) {
        code = options_wrong(&table, "'%s' is unknown", arguments[0]);
    } else if (count == 2 && !options_number(arguments[1], 1, 255, &id)) {
        code = options_wrong(&table, "'%s' is no member's number: allowed are 1 to 255", arguments[1]);
    } else {
        code = ask_admin("leader", address, "POST", "/v1/leader/transfer",
                         id != 0 ? json_pack("{s:I}", "to", (json_int_t)id) : NULL);
    }
    mem_free(arguments);
    return code;
}

// The cluster's time beside the clock of this machine, in seconds.
static int time_show(const char *address, bool advise) {
    json_t *json = ask_json("time", address, "GET", "/v1/cluster", NULL, ASK_TIMEOUT_MS, false);
    if (json == NULL) return EXIT_FATAL;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long long here = (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
              cluster = (long long)json_integer_value(json_object_get(json, "unix_ms"));
    printf("cluster  %lld.%03lld\nhere     %lld.%03lld\nahead    %+.3f s\n", cluster / 1000, cluster % 1000,
           here / 1000, here % 1000, (double)(cluster - here) / 1000);
    if (advise)
        printf("nothing was changed. A step sets the cluster's Unix time to the leader's clock at once: times of nodes "
               "written\n"
               "afterwards may lie before those of earlier ones. Sessions and TTLs do not notice. To do it: --yes\n");
    json_decref(json);
    return advise ? EXIT_USAGE : 0;
}

int time_main(int argc, char **argv) {
    const char *http = ASK_DEFAULT;
    bool yes = false;
    const struct option_row rows[] = {{"yes", 0, NULL, "step: do it", NULL, &yes}, ASK_OPTION(http)};
    const struct option_table table = {
        "time",
        "parley time show | step [--yes]",
        "The cluster keeps a Unix time of its own, which never goes back by itself: it waits, slowed by 5 %, until the "
        "clocks\n"
        "have come up to it. After a clock was far ahead by mistake `step` sets it back to the leader's clock at once.",
        rows,
        2,
        1,
        1};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), address[ADDRESS_TEXT_MAX];
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    bool step = count > 0 && strcmp(arguments[0], "step") == 0;
    if (code >= 0) {
    } else if (!ask_address("time", http, address)) {
        code = EXIT_USAGE;
    } else if (!step && strcmp(arguments[0], "show") != 0) {
        code = options_wrong(&table, "'%s' is unknown", arguments[0]);
    } else if (step && yes) {
        code = ask_admin("time", address, "POST", "/v1/time/step", NULL);
    } else {
        code = time_show(address, step);
    }
    mem_free(arguments);
    return code;
}

// Forming installs the first state, which closes every connection, also the one that asked: then the cluster itself is
// the answer.
static bool has_formed(const char *address) {
    for (int i = 0; i < FORM_POLLS; i++) {
        json_t *json = ask_json("cluster", address, "GET", "/v1/cluster", NULL, ASK_TIMEOUT_MS, true);
        bool formed = json_array_size(json_object_get(json, "members")) > 0;
        json_decref(json);
        if (formed) return true;
        usleep(FORM_POLL_US);
    }
    return false;
}

static int form_one(const char *address, unsigned long long id) {
    struct http_reply reply;
    char body[48];
    snprintf(body, sizeof body, "{\"without\": %llu}", id);
    bool answered = http_call(address, "POST", "/v1/cluster/form", body, ASK_TIMEOUT_MS, NULL, NULL, &reply);
    int status = reply.status, code = 0;
    json_error_t error;
    json_t *json = answered ? json_loadb((const char *)reply.body.data, reply.body.len, 0, &error) : NULL;
    http_reply_free(&reply);
    if (!answered && has_formed(address)) {
        printf("formed\n");
    } else if (!answered) {
        fprintf(stderr, "parley cluster: %s\n", reply.error);
        code = EXIT_FATAL;
    } else if (status != 200) {
        fprintf(stderr, "parley cluster: %s\n", text_of(json, "error"));
        code = EXIT_FATAL;
    } else {
        printf("%s\n", text_of(json, "result"));
    }
    json_decref(json);
    return code;
}

// One request for each member that is missing: the node forms the cluster with the last of them.
static int form_without(const struct option_table *table, const char *address, const char *ids) {
    char copy[512];
    if (snprintf(copy, sizeof copy, "%s", ids) >= (int)sizeof copy)
        return options_wrong(table, "--without: the list is too long");
    char *rest = copy, *one;
    unsigned long long id;
    while ((one = strsep(&rest, ",")) != NULL)
        if (!options_number(one, 1, 255, &id))
            return options_wrong(table, "--without: '%s' is no member's number: allowed are 1 to 255", one);
    snprintf(copy, sizeof copy, "%s", ids);
    rest = copy;
    int code = 0;
    while (code == 0 && (one = strsep(&rest, ",")) != NULL) {
        options_number(one, 1, 255, &id);
        code = form_one(address, id);
    }
    return code;
}

int cluster_main(int argc, char **argv) {
    const char *http = ASK_DEFAULT, *without = NULL;
    const struct option_row rows[] = {
        {"without", 0, "IDS", "members that are missing, with commas between", &without, NULL}, ASK_OPTION(http)};
    const struct option_table table = {"cluster",
                                       "parley cluster form --without IDS",
                                       "A new cluster forms when all members of --cluster are there and empty. If some "
                                       "will not come, ask the present node with\n"
                                       "the lowest number to form it without them. Only while there is no data; see "
                                       "`parley recover` for a lost majority.",
                                       rows,
                                       2,
                                       1,
                                       1};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), address[ADDRESS_TEXT_MAX];
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code >= 0) {
    } else if (!ask_address("cluster", http, address)) {
        code = EXIT_USAGE;
    } else if (strcmp(arguments[0], "form") != 0) {
        code = options_wrong(&table, "'%s' is unknown", arguments[0]);
    } else if (without == NULL) {
        code = options_wrong(&table, "--without IDS is needed");
    } else {
        code = form_without(&table, address, without);
    }
    mem_free(arguments);
    return code;
}
