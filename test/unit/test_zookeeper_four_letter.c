// The four letter words, as monitoring tools read them; and docs/zookeeper.md against the table of operations.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "test/unit/support/protocol/zookeeper_room.c"
// clang-format on
#include "protocol/zookeeper/operations.h"
#include "protocol/zookeeper/zookeeper.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char text[65536];

static const char *ask(struct script *script, const char *word) {
    struct client *client = fake_connect(script->fake, "127.0.0.1:999");
    fake_send(client, word, strlen(word));
    assert_true(client->closed);
    assert_true(client->output.len < sizeof text);
    if (client->output.len) memcpy(text, client->output.data, client->output.len);
    text[client->output.len] = '\0';
    return text;
}

static void has(const char *whole, const char *part) {
    if (!strstr(whole, part)) fail_msg("\"%s\" is not in:\n%s", part, whole);
}

static void open_busy(struct script *script, const struct zookeeper_settings *settings) {
    script_open(script, settings);
    script_run(script, "a> create s/e s O i1\n"
                       "a< 0 s/e\n"
                       "a> getData s/e b1\n"
                       "a< 0 *\n"
                       "a> exists s/none b1\n"
                       "a< -101\n"
                       "b> getData s/e b1\n"
                       "b< 0 *\n");
}

static void test_words(void **state) {
    struct script script;
    open_busy(&script, NULL);
    assert_string_equal(ask(&script, "ruok"), "imok");
    assert_string_equal(ask(&script, "isro"), "rw");
    assert_string_equal(ask(&script, "wchs"), "2 connections watching 2 paths\nTotal watches:3\n");
    assert_string_equal(ask(&script, "wchp"),
                        "/e\n\t0x100000000000002\n\t0x100000000000004\n/none\n\t0x100000000000002\n\n");
    assert_string_equal(ask(&script, "wchc"), "0x100000000000002\n\t/none\n\t/e\n0x100000000000004\n\t/e\n\n");
    assert_string_equal(ask(&script, "ruok\n"), "imok"); // nc sends the newline too
    has(ask(&script, "dump"), "SessionTracker dump:\nSession Sets (1)/(2):\n");
    has(text, "ephemeral nodes dump:\nSessions with Ephemerals (1):\n0x100000000000002:\n\t/e\n");
    has(text, "sessionId: 0x100000000000004\n");
    has(ask(&script, "conf"), "clientPort=2181\n");
    has(text, "tickTime=2000\n");
    has(text, "minSessionTimeout=4000\nmaxSessionTimeout=40000\n");
    has(text, "serverId=0\n");
    has(ask(&script, "cons"), " /127.0.0.1:40000[1](queued=0,recved=4,sent=4,sid=0x100000000000002,lop=EXIS,est=");
    has(text, ",to=4000,lcxid=0x3,lzxid=0x3,lresp=");
    has(ask(&script, "envi"), "Environment:\nzookeeper.version=3.8.0-parley-0.1.0, built on ");
    has(ask(&script, "dirs"), "datadir_size: 0\nlogdir_size: 0\n");
    assert_string_equal(ask(&script, "crst"), "Connection stats reset.\n");
    has(ask(&script, "cons"), "(queued=0,recved=0,sent=0,sid=0x100000000000002,lop=NA,");
    script_close(&script);
}

static void test_server_statistics(void **state) {
    struct script script;
    open_busy(&script, NULL);
    has(ask(&script, "srvr"), "Zookeeper version: 3.8.0-parley-0.1.0, built on ");
    unsigned month, day, year, hour, minute; // go-zookeeper reads `srvr` only with a date of this form
    const char *built = strstr(text, "built on ");
    assert_non_null(built);
    assert_int_equal(sscanf(built, "built on %2u/%2u/%4u %2u:%2u GMT\n", &month, &day, &year, &hour, &minute), 5);
    assert_in_range(month, 1, 12);
    assert_in_range(day, 1, 31);
    assert_in_range(year, 2020, 9999);
    assert_memory_equal(built + strlen("built on 11/21/2026 03:27"), " GMT\n", 5);
    has(text, "\nLatency min/avg/max: 0/0.0/0\nReceived: 7\nSent: 6\nConnections: 3\nOutstanding: 0\nZxid: 0x4\nMode: "
              "standalone\nNode count: 5\n");
    has(ask(&script, "stat"), "\nClients:\n /127.0.0.1:40000[1](queued=0,recved=4,sent=4)\n");
    has(text, ")\n\nLatency min/avg/max: ");
    assert_string_equal(ask(&script, "srst"), "Server stats reset.\n");
    has(ask(&script, "srvr"), "\nReceived: 1\n");
    script.fake->members = 3;
    has(ask(&script, "srvr"), "Mode: leader\nNode count: 5\nProposal sizes last/min/max: -1/-1/-1\n"); // in this order
    script.fake->leading = false;
    has(ask(&script, "srvr"), "Mode: follower\n");
    has(ask(&script, "conf"), "server.2=127.0.0.1:7452:participant;127.0.0.1:2182\n");
    script.fake->has_leader = false;
    has(ask(&script, "srvr"), "Mode: read-only\n");
    assert_string_equal(ask(&script, "isro"), "ro");
    script_close(&script);
}

static void test_monitor_keys(void **state) {
    static const char *const keys[] = {"zk_version\t3.8.0-parley-0.1.0, built on ",
                                       "zk_server_state\tleader\n",
                                       "zk_avg_latency\t0.0\n",
                                       "zk_min_latency\t0\n",
                                       "zk_max_latency\t0\n",
                                       "zk_packets_received\t",
                                       "zk_packets_sent\t",
                                       "zk_num_alive_connections\t3\n",
                                       "zk_outstanding_requests\t0\n",
                                       "zk_znode_count\t5\n",
                                       "zk_watch_count\t3\n",
                                       "zk_ephemerals_count\t1\n",
                                       "zk_approximate_data_size\t",
                                       "zk_open_file_descriptor_count\t",
                                       "zk_max_file_descriptor_count\t",
                                       "zk_global_sessions\t2\n",
                                       "zk_uptime\t",
                                       "zk_learners\t2\n",
                                       "zk_synced_followers\t2\n",
                                       "zk_pending_syncs\t0\n"};
    struct script script;
    open_busy(&script, NULL);
    script.fake->members = 3;
    ask(&script, "mntr");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) has(text, keys[i]);
    for (char *line = text; *line; line = strchr(line, '\n') + 1) { // key, tab, value: nothing else
        assert_non_null(strchr(line, '\n'));
        assert_memory_equal(line, "zk_", 3);
        assert_true(strcspn(line, "\t") < strcspn(line, "\n"));
    }
    script_close(&script);
}

static void test_whitelist(void **state) {
    struct zookeeper_settings settings = {.four_letter_whitelist = "ruok, srvr"};
    struct script script;
    open_busy(&script, &settings);
    assert_string_equal(ask(&script, "ruok"), "imok");
    assert_string_equal(ask(&script, "mntr"), "mntr is not executed because it is not in the whitelist.\n");
    assert_string_equal(ask(&script, "stmk"), "stmk is not executed because it is not in the whitelist.\n");
    script_close(&script);
    settings.four_letter_whitelist = "";
    open_busy(&script, &settings);
    assert_string_equal(ask(&script, "ruok"), "ruok is not executed because it is not in the whitelist.\n");
    script_close(&script);
}

static void test_words_stop_at_the_connect_request(void **state) {
    struct script script;
    open_busy(&script, NULL);
    fake_send(script.clients[0], "ruok", 4);
    assert_true(script.clients[0]->closed);
    assert_int_equal(script.clients[0]->output.len, 0);
    script_close(&script);
}

// Every operation has its row in the documentation, and the documentation has no other.
static void test_coverage_page_matches_the_table(void **state) {
    static const struct {
        const char *name;
        int code;
    } rows[] = {
#define X(name, code, kind, tag, handler) {#name, code},
        ZOOKEEPER_OPERATIONS(X)
#undef X
    };
    char line[1024];
    bool seen[sizeof rows / sizeof rows[0]] = {false};
    FILE *page = fopen("docs/zookeeper.md", "r");
    if (!page) skip(); // not run from the repository's top
    while (fgets(line, sizeof line, page)) {
        char name[64];
        int code;
        if (sscanf(line, "| `%63[A-Za-z0-9]` | %d |", name, &code) != 2) continue;
        bool known = false;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            if (strcmp(rows[i].name, name) != 0) continue;
            known = seen[i] = true;
            assert_int_equal(rows[i].code, code);
        }
        if (!known) fail_msg("docs/zookeeper.md has %s, the table has not", name);
    }
    fclose(page);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!seen[i]) fail_msg("docs/zookeeper.md lacks %s", rows[i].name);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_server_statistics),
        cmocka_unit_test(test_monitor_keys),
        cmocka_unit_test(test_whitelist),
        cmocka_unit_test(test_words_stop_at_the_connect_request),
        cmocka_unit_test(test_coverage_page_matches_the_table),
    };
    return cmocka_run_group_tests_name("zookeeper_four_letter", tests, NULL, NULL);
}
