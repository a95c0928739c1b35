// server/config: every kind of mistake gets one clear line; defaults, flags and the file agree with settings.def, and
// so do the texts that are made from it (docs/settings.md, completions, man page).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/generate.h"
#include "server/config.h"

#define COUNT(list) ((int)(sizeof(list) / sizeof(list)[0]))
#define LOAD(config, ...)                                                                                              \
    load(config, COUNT(((char *[]){__VA_ARGS__})), (char *[]){__VA_ARGS__}) // flags as main gets them

static enum config_outcome load(struct config *config, int count, char **arguments) {
    return config_load(config, count, arguments);
}

// Loads the flags, wants exactly one mistake, and every one of the words in its line.
static void refused(int count, char **arguments, const char *const *words) {
    struct config config;
    enum config_outcome outcome = config_load(&config, count, arguments);
    const char *errors = config_errors(&config);
    if (outcome != CONFIG_BAD) fail_msg("%s was taken", arguments[0]);
    const char *end = strchr(errors, '\n');
    if (end == NULL || end[1] != 0) fail_msg("not one line: %s", errors);
    for (; *words != NULL; words++)
        if (strstr(errors, *words) == NULL) fail_msg("'%s' is not in: %s", *words, errors);
    config_free(&config);
}
#define REFUSED(words, ...)                                                                                            \
    refused(COUNT(((char *[]){__VA_ARGS__})), (char *[]){__VA_ARGS__}, (const char *const[]){words, NULL})
#define AND ,

static void defaults_are_a_local_node_alone(void **state) {
    struct config config;
    assert_int_equal(config_load(&config, 0, NULL), CONFIG_OK);
    assert_string_equal(config_text(&config, SETTING_ZOOKEEPER), "localhost:2181");
    assert_string_equal(config_text(&config, SETTING_HTTP), "localhost:7450");
    assert_string_equal(config_text(&config, SETTING_PEER), "localhost:7451");
    assert_string_equal(config_text(&config, SETTING_DATA), "parley-data");
    assert_null(config_text(&config, SETTING_ZOOKEEPER_TLS));
    assert_null(config_text(&config, SETTING_REDIS));
    assert_null(config_text(&config, SETTING_CONFIG));
    assert_int_equal(config_number(&config, SETTING_ID), 1);
    assert_int_equal(config_number(&config, SETTING_HEARTBEAT), 100);
    assert_int_equal(config_number(&config, SETTING_SEGMENT_SIZE), 64 << 20);
    assert_int_equal(config_number(&config, SETTING_ALLOW_REMOTE), 0);
    assert_int_equal(config.peer_count, 0);
    assert_false(config_given(&config, SETTING_HTTP));
    assert_string_equal(config_errors(&config), "");
    assert_string_equal(config_notes(&config), "");
    config_free(&config);
}

static void flags_have_both_forms(void **state) {
    struct config config;
    assert_int_equal(LOAD(&config, "--id=3", "--data", "/x", "--zookeeper", "off", "--http=2", "--allow-remote",
                          "--heartbeat", "1s", "--election-timeout=5s", "--segment-size", "1M", "--peer", "[::1]:9",
                          "--zookeeper-tls", "off", "--log-level", "error"),
                     CONFIG_OK);
    assert_int_equal(config_number(&config, SETTING_ID), 3);
    assert_string_equal(config_text(&config, SETTING_DATA), "/x");
    assert_null(config_text(&config, SETTING_ZOOKEEPER));
    assert_string_equal(config_text(&config, SETTING_HTTP), "localhost:2");
    assert_string_equal(config_text(&config, SETTING_PEER), "[::1]:9");
    assert_int_equal(config_number(&config, SETTING_ALLOW_REMOTE), 1);
    assert_int_equal(config_number(&config, SETTING_HEARTBEAT), 1000);
    assert_int_equal(config_number(&config, SETTING_ELECTION_TIMEOUT), 5000);
    assert_int_equal(config_number(&config, SETTING_SEGMENT_SIZE), 1 << 20);
    assert_int_equal(config_number(&config, SETTING_LOG_LEVEL), 3);
    assert_true(config_given(&config, SETTING_HTTP));
    config_free(&config);
    assert_int_equal(LOAD(&config, "--allow-remote", "off", "--id", "2"), CONFIG_OK); // a switch may have its word
    assert_int_equal(config_number(&config, SETTING_ALLOW_REMOTE), 0);
    assert_int_equal(config_number(&config, SETTING_ID), 2);
    config_free(&config);
    assert_int_equal(LOAD(&config, "--id", "2", "--id", "4"), CONFIG_OK); // the last one wins, as shells expect
    assert_int_equal(config_number(&config, SETTING_ID), 4);
    config_free(&config);
    assert_int_equal(LOAD(&config, "--nonsense", "--help"), CONFIG_HELP);
    config_free(&config);
}

static void unknown_flags_name_the_nearest(void **state) {
    REFUSED("--zookeper" AND "did you mean --zookeeper?", "--zookeper", "localhost:1");
    REFUSED("--electiontimeout" AND "did you mean --election-timeout?", "--electiontimeout=1s");
    REFUSED("--bananas is unknown" AND "`parley server --help` lists", "--bananas");
    REFUSED("--etcd-advertise comes with a later part", "--etcd-advertise=a:1");
    REFUSED("--redis and --http (default localhost:7450) both want localhost:7450", "--redis", "7450");
    REFUSED("--redis-tls needs --tls-cert and --tls-key", "--redis-tls", "localhost:1");
    REFUSED("--memcached comes with a later part", "--memcached=off");
    REFUSED("'extra' is unexpected", "extra");
    REFUSED("'-x' is unexpected", "-x");
    REFUSED("--http lacks its value" AND "--http ADDR", "--http");
    REFUSED("--http lacks its value", "--http", "--id", "1");
}

static void values_are_checked(void **state) {
    REFUSED("--id" AND "'x'" AND "a number" AND "1 to 255", "--id", "x");
    REFUSED("--id" AND "0" AND "out of range" AND "1 to 255", "--id", "0");
    REFUSED("--id" AND "256" AND "1 to 255", "--id", "256");
    REFUSED("--id" AND "'1K'", "--id", "1K"); // units are for sizes
    REFUSED("--id" AND "'99999999999999999999999'", "--id", "99999999999999999999999");
    REFUSED("--heartbeat" AND "'fast'" AND "duration" AND "500ms", "--heartbeat", "fast");
    REFUSED("--heartbeat" AND "out of range" AND "10ms to 10s", "--heartbeat", "1ms");
    REFUSED("--segment-size" AND "'64MB'" AND "size in bytes" AND "1M to 1G", "--segment-size", "64MB");
    REFUSED("--segment-size" AND "18446744073709551616T", "--segment-size", "18446744073709551616T");
    REFUSED("--journal-align" AND "'1000'" AND "power of two" AND "512 to 65536", "--journal-align", "1000");
    REFUSED("--log-level" AND "'loud'" AND "debug|info|warn|error|off", "--log-level", "loud");
    REFUSED("--log-level" AND "''", "--log-level", "");
    REFUSED("--allow-remote" AND "'maybe'" AND "neither on nor off", "--allow-remote=maybe");
    REFUSED("--data" AND "is empty", "--data", "");
    REFUSED("--zookeeper-super-digest" AND "28 characters", "--zookeeper-super-digest", "super:short");
}

static void addresses_are_checked(void **state) {
    REFUSED("--zookeeper: ':2181' names no host" AND "0.0.0.0:PORT" AND "localhost:PORT", "--zookeeper", ":2181");
    REFUSED("--http" AND "'0'" AND "1 to 65535", "--http", "0");
    REFUSED("--http" AND "'70000'" AND "1 to 65535", "--http", "70000");
    REFUSED("--http" AND "no valid port", "--http", "localhost:");
    REFUSED("--http" AND "no valid port", "--http", "localhost:http");
    REFUSED("--http" AND "several colons" AND "[ADDRESS]:PORT", "--http", "::1:80");
    REFUSED("--http" AND "lacks the ]", "--http", "[::1:80");
    REFUSED("--http" AND "no IPv6 address", "--http", "[12]:80");
    REFUSED("--http" AND "more behind the ]", "--http", "[::1]80");
    REFUSED("--http" AND "no IPv4 address", "--http", "300.1.1.1:80");
    REFUSED("--http" AND "is no address", "--http", "a b:80");
    REFUSED("--http" AND "is empty", "--http", "");
    REFUSED("--zookeeper-tls" AND "lacks a port", "--zookeeper-tls", "hostA");
    REFUSED("--peer-advertise" AND "others can connect to", "--peer-advertise", "0.0.0.0:7451");
    REFUSED("--http-advertise" AND "lacks a port", "--http-advertise", "hostA");
    REFUSED("--zookeeper" AND "--http" AND "both want localhost:5000", "--zookeeper", "5000", "--http", "5000");
    struct config config;
    assert_int_equal(LOAD(&config, "--zookeeper", "0.0.0.0", "--http", "[::]", "--peer", "host-b"), CONFIG_OK);
    assert_string_equal(config_text(&config, SETTING_ZOOKEEPER), "0.0.0.0:2181");
    assert_string_equal(config_text(&config, SETTING_HTTP), "[::]:7450");
    assert_string_equal(config_text(&config, SETTING_PEER), "host-b:7451");
    config_free(&config);
    char longest[400], text[ADDRESS_TEXT_MAX], error[256];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_false(config_parse_address(longest, 1, text, error));
    assert_non_null(strstr(error, "too long"));
}

static void a_cluster_is_checked(void **state) {
    REFUSED("--cluster" AND "'hostA:7451'" AND "1=hostA:7451", "--id", "1", "--cluster", "hostA:7451");
    REFUSED("--cluster" AND "'0=a:1'", "--id", "1", "--cluster", "0=a:1");
    REFUSED("--cluster" AND "'256=a:1'", "--id", "1", "--cluster", "1=b:1,256=a:1");
    REFUSED("--cluster" AND "''", "--id", "1", "--cluster", "1=a:1,");
    REFUSED("--cluster" AND "address 'a:x' of member 1", "--id", "1", "--cluster", "1=a:x");
    REFUSED("--cluster" AND "member 1 stands there twice", "--id", "1", "--cluster", "1=a:1,1=b:1");
    REFUSED("members 1 and 2 have the same address a:1", "--id", "1", "--cluster", "1=a:1,2=a:1");
    REFUSED("this node, 4 (--id), is not in the list", "--id", "4", "--cluster", "1=a:1,2=b:1,3=c:1");
    REFUSED("--id is needed with --cluster", "--cluster", "1=a:1,2=b:1,3=c:1");
    REFUSED("needs the peer listener", "--id", "1", "--cluster", "1=a:1,2=b:1,3=c:1", "--peer", "off");
    struct config config;
    assert_int_equal(LOAD(&config, "--id", "2", "--cluster", "3=hostC,1=hostA:7451, 2=hostB:7452"), CONFIG_OK);
    assert_int_equal(config.peer_count, 3);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(config.peers[i].id, i + 1);
    assert_string_equal(config.peers[2].address, "hostC:7451");
    assert_string_equal(config_text(&config, SETTING_PEER), "hostB:7452"); // named by the user, so it may be bound
    assert_string_equal(config_text(&config, SETTING_PEER_ADVERTISE), "hostB:7452");
    config_free(&config);
    assert_int_equal(LOAD(&config, "--id", "1", "--cluster", "1=a:1,2=b:1"), CONFIG_OK);
    assert_non_null(strstr(config_notes(&config), "an odd number is better"));
    config_free(&config);
}

static void settings_that_belong_together(void **state) {
    REFUSED("--zookeeper-tls needs --tls-cert and --tls-key", "--zookeeper-tls", "2281");
    REFUSED("--tls-cert and --tls-key are needed together", "--tls-cert", "/dev/null");
    REFUSED("--peer-tls-cert, --peer-tls-key and --peer-tls-ca are needed together", "--peer-tls-cert", "/dev/null");
    REFUSED("--tls-key" AND "'/does/not/exist'" AND "No such file", "--tls-cert", "/dev/null", "--tls-key",
            "/does/not/exist");
    REFUSED("--election-timeout (default 500ms) must be at least 3 times --heartbeat" AND "600ms", "--heartbeat",
            "200ms");
    REFUSED("--zookeeper-min-session-timeout" AND "is above", "--zookeeper-min-session-timeout", "1h");
    REFUSED("--segment-size must be a multiple of --journal-align", "--segment-size", "1048577");
}

// ---- the file
static const char *write_file(const char *text) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/parley-config-%ld.conf", (long)getpid());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
    return path;
}

static void the_file_has_the_same_names(void **state) {
    const char *path =
        write_file("# a comment\n\n  id = 3\nhttp 7000   # behind a blank\nallow-remote\ndata=\"/with blank\"\r\n"
                   "zookeeper-super-digest = super:aaaaaaaaaaaaaaaaaaaaaaaaa#==\nzookeeper=off\npeer 9000\n");
    struct config config;
    enum config_outcome outcome = LOAD(&config, "--http", "7001", "--config", (char *)path);
    assert_string_equal(config_errors(&config), "");
    assert_int_equal(outcome, CONFIG_OK);
    assert_int_equal(config_number(&config, SETTING_ID), 3);
    assert_string_equal(config_text(&config, SETTING_HTTP), "localhost:7001"); // the flag wins, wherever it stands
    assert_string_equal(config_text(&config, SETTING_PEER), "localhost:9000");
    assert_string_equal(config_text(&config, SETTING_DATA), "/with blank");
    assert_int_equal(config_number(&config, SETTING_ALLOW_REMOTE), 1);
    assert_string_equal(config_text(&config, SETTING_ZOOKEEPER_SUPER_DIGEST), "super:aaaaaaaaaaaaaaaaaaaaaaaaa#==");
    assert_null(config_text(&config, SETTING_ZOOKEEPER));
    config_free(&config);
    unlink(path);
}

static void mistakes_in_the_file_name_its_line(void **state) {
    char *path = (char *)write_file(
        "id = 1\nhtpp = 7000\nid = 2\nheartbeat\nconfig = x\nlog-level = loud\nmemcached = 1\npeer = :1\n");
    struct config config;
    assert_int_equal(LOAD(&config, "--config", path), CONFIG_BAD);
    const char *errors = config_errors(&config);
    static const char *const wanted[] = {".conf:2: htpp is unknown; did you mean http?",
                                         ".conf:3: id stands in line 1 already",
                                         ".conf:4: heartbeat lacks its value; write heartbeat = TIME",
                                         ".conf:5: config cannot stand in a configuration file",
                                         ".conf:6: log-level: 'loud'",
                                         ".conf:7: memcached comes with a later part",
                                         ".conf:8: peer: ':1' names no host"};
    size_t lines = 0;
    for (const char *at = errors; (at = strchr(at, '\n')) != NULL; at++) lines++;
    assert_int_equal(lines, sizeof wanted / sizeof wanted[0]);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (strstr(errors, wanted[i]) == NULL) fail_msg("'%s' is not in:\n%s", wanted[i], errors);
    config_free(&config);
    unlink(path);
    REFUSED("--config: cannot read '/does/not/exist': No such file", "--config", "/does/not/exist");
    char *text = mem_alloc(20000);
    memset(text, 'a', 19999);
    text[19999] = 0;
    path = (char *)write_file(text);
    REFUSED(":1: the line or the file is too long", "--config", path);
    unlink(path);
    mem_free(text);
    REFUSED(":1: a zero byte", "--config", "/dev/zero"); // and it does not read on for ever
    static const char *const binary[] = {"id = 2\n\0\0\n", "id = 2\nheartbeat\0 = 1s"};
    static const size_t lengths[] = {10, 20};
    for (size_t i = 0; i < 2; i++) {
        path = (char *)write_file("");
        FILE *file = fopen(path, "we");
        assert_int_equal(fwrite(binary[i], 1, lengths[i], file), lengths[i]);
        fclose(file);
        REFUSED(":2: a zero byte", "--config", path);
        unlink(path);
    }
}

static void units_are_read(void **state) {
    uint64_t n;
    assert_true(config_parse_duration("1500", &n) && n == 1500);
    assert_true(config_parse_duration("2s", &n) && n == 2000);
    assert_true(config_parse_duration("3m", &n) && n == 180000);
    assert_true(config_parse_duration("1h", &n) && n == 3600000);
    assert_false(config_parse_duration("", &n));
    assert_false(config_parse_duration("s", &n));
    assert_false(config_parse_duration("-1s", &n));
    assert_false(config_parse_duration("1 s", &n));
    assert_false(config_parse_duration("18446744073709551615h", &n));
    assert_true(config_parse_bytes("64K", &n) && n == 65536);
    assert_true(config_parse_bytes("2GiB", &n) && n == 2ull << 30);
    assert_false(config_parse_bytes("1k", &n));
    assert_false(config_parse_bytes("0x10", &n));
}

static void nearest_words(void **state) {
    static const char *const names[] = {"http", "peer", "peer-advertise", "log-level"};
    assert_string_equal(config_nearest("htp", names, 4), "http");
    assert_string_equal(config_nearest("peer-advertize", names, 4), "peer-advertise");
    assert_string_equal(config_nearest("log", names, 4), "log-level"); // the beginning of it
    assert_null(config_nearest("zzzz", names, 4));
    assert_null(config_nearest("", names, 0));
    char word[200];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = 0;
    assert_null(config_nearest(word, names, 4));
}

// ---- what is made from the table
static void compare_file(const char *what, const char *path) {
    struct writer w;
    writer_init(&w);
    assert_true(generate_write(what, &w));
    FILE *file = fopen(path, "r");
    if (file == NULL) fail_msg("%s is missing: parley generate %s > %s", path, what, path);
    char *text = mem_alloc(w.len + 2);
    size_t len = fread(text, 1, w.len + 2, file);
    fclose(file);
    bool same = len == w.len && memcmp(text, w.data, len) == 0;
    mem_free(text);
    writer_free(&w);
    if (!same) fail_msg("%s differs from the table: parley generate %s > %s", path, what, path);
}

static void generated_files_are_those_of_the_table(void **state) {
    compare_file("settings", "docs/settings.md");
    compare_file("bash", "packaging/parley.bash-completion");
    compare_file("zsh", "packaging/_parley");
    compare_file("man", "packaging/parley.1");
    compare_file("native", "docs/native.md");
    compare_file("openapi", "docs/openapi.json");
    compare_file("redis", "docs/redis-commands.md");
    struct writer w;
    writer_init(&w);
    assert_false(generate_write("fish", &w));
    assert_int_equal(w.len, 0);
}

static void every_setting_is_described(void **state) {
    struct writer w;
    writer_init(&w);
    config_write_help(&w);
    write_u8(&w, 0);
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = setting_row((enum setting)i);
        assert_true(row->help[0] != 0 && row->argument[0] != 0);
        assert_non_null(strstr((char *)w.data, row->name));
        assert_true(row->low <= row->high || row->type == SETTING_TYPE_LISTEN);
        for (int j = 0; j < i; j++) assert_string_not_equal(row->name, setting_row((enum setting)j)->name);
    }
    assert_non_null(setting_section(SETTING_CONFIG));
    assert_null(setting_section(SETTING_ID));
    writer_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_a_local_node_alone),
        cmocka_unit_test(flags_have_both_forms),
        cmocka_unit_test(unknown_flags_name_the_nearest),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(addresses_are_checked),
        cmocka_unit_test(a_cluster_is_checked),
        cmocka_unit_test(settings_that_belong_together),
        cmocka_unit_test(the_file_has_the_same_names),
        cmocka_unit_test(mistakes_in_the_file_name_its_line),
        cmocka_unit_test(units_are_read),
        cmocka_unit_test(nearest_words),
        cmocka_unit_test(generated_files_are_those_of_the_table),
        cmocka_unit_test(every_setting_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
