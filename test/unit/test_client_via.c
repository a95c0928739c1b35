// parley_via.h: URLs in all their forms and damaged ones, and what is told without any system to ask.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "client/via.h"
#include "parley_via.h"

// A copy that ends where the text ends, so that ASan sees a byte too far.
static bool read_url(const char *text, struct via_url *url) {
    char *copy = strdup(text);
    bool ok = via_url_read(copy, url);
    free(copy);
    return ok;
}

static void all_parts_are_read(void **state) {
    struct via_url url;
    (void)state;
    assert_true(read_url("postgres://me%40home:p%3Aw%2fd@[::1]:5433,b/data%20base?recipe=advisory&sslmode=off", &url));
    assert_string_equal(url.scheme, "postgres");
    assert_string_equal(url.user, "me@home");
    assert_string_equal(url.password, "p:w/d");
    assert_int_equal(url.count, 2);
    assert_string_equal(url.hosts[0].host, "::1");
    assert_int_equal(url.hosts[0].port, 5433);
    assert_string_equal(url.hosts[1].host, "b");
    assert_int_equal(url.hosts[1].port, 0);
    assert_string_equal(url.path, "data base");
    assert_int_equal(url.parameter_count, 2);
    assert_string_equal(url.parameters[1].name, "sslmode");
    assert_string_equal(url.parameters[1].value, "off");
}

static void parts_may_be_missing(void **state) {
    struct via_url url;
    (void)state;
    assert_true(read_url("redis://:secret@@host", &url)); // an @ in a password
    assert_string_equal(url.user, "");
    assert_string_equal(url.password, "secret@");
    assert_string_equal(url.hosts[0].host, "host");
    assert_true(read_url("redis://host?recipe=", &url));
    assert_string_equal(url.parameters[0].value, "");
    assert_true(read_url("zookeeper://a:1,b:2,c:3/deep/base", &url));
    assert_string_equal(url.path, "deep/base");
    assert_int_equal(url.count, 3);
}

static void wrong_ones_are_refused(void **state) {
    static const char *const wrong[] = {"",
                                        "redis",
                                        "redis:/host",
                                        "redis://",
                                        "redis://a,",
                                        "://host",
                                        "redis://host:0",
                                        "redis://host:65536",
                                        "redis://host:x",
                                        "redis://a:",
                                        "redis://[::1",
                                        "redis://a%",
                                        "redis://u%4@a",
                                        "redis://a/%zz",
                                        "redis://a?=x",
                                        "redis://a?noequals",
                                        "r://a%00",
                                        "redis://[::1]x",
                                        "r://a:1x",
                                        "r://a:123456789",
                                        "a-scheme-that-is-too-long://a",
                                        "r://1,2,3,4,5,6,7,8,9,10"};
    struct via_url url;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_false(read_url(wrong[i], &url));
}

static void damaged_ones_are_survived(void **state) {
    static const char good[] = "postgres://me%40home:p%3Aw@[::1]:5433,b:1/data%20base?recipe=advisory&sslmode=off";
    struct prng prng;
    struct via_url url;
    (void)state;
    prng_seed(&prng, 1);
    for (int i = 0; i < 20000; i++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        for (int k = 0; k < 3; k++) text[prng_below(&prng, sizeof good - 1)] = "%@:/?&=,[]a\xff"[prng_below(&prng, 12)];
        text[prng_below(&prng, sizeof good)] = 0;
        if (read_url(text, &url)) assert_in_range(url.count, 1, VIA_HOSTS_MAX);
    }
}

static enum parley_error open_error(const char *url, const char *name, uint32_t ttl_ms,
                                    struct parley_problem *problem) {
    struct parley_via_options options = {.ttl_ms = ttl_ms};
    struct parley_via *via;
    enum parley_error error = parley_via_open(url, name, &options, &via, problem);
    parley_via_close(via); // NULL unless it is open
    return error;
}

static void what_is_missing_has_a_name(void **state) {
    struct parley_problem problem;
    (void)state;
    setenv("PARLEY_VIA_PATH", "/nowhere", 1);
    assert_int_equal(open_error("postgres://a", "x", 0, &problem), PARLEY_SYSTEM);
    assert_non_null(strstr(problem.text, "this build has no postgres"));
    assert_int_equal(open_error("oracle://a", "x", 0, &problem), PARLEY_BAD_ARGUMENTS);
    assert_int_equal(open_error("../redis://a", "x", 0, &problem), PARLEY_BAD_ARGUMENTS);
    assert_int_equal(open_error("redis://a", "", 0, &problem), PARLEY_BAD_ARGUMENTS);
    assert_int_equal(open_error("redis://a", "x", 999, &problem), PARLEY_BAD_ARGUMENTS);
    assert_int_equal(open_error(NULL, "x", 0, &problem), PARLEY_BAD_ARGUMENTS);
}

static void nobody_there_is_told(void **state) {
    struct parley_problem problem;
    struct parley_via *via;
    (void)state;
    assert_int_equal(
        parley_via_open("parley://127.0.0.1:1", "x", &(struct parley_via_options){.call_ms = 300}, &via, &problem),
        PARLEY_OK);
    assert_int_equal(parley_via_release(via, &problem), PARLEY_NOT_HELD);
    assert_int_equal(parley_via_token(via), 0);
    assert_int_equal(parley_via_left_ms(via), 0);
    assert_false(parley_via_lost(via));
    assert_int_equal(parley_via_acquire(via, 200, &problem), PARLEY_TIMED_OUT);
    assert_non_null(strstr(problem.text, "not granted in the time given"));
    parley_via_close(via);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_parts_are_read),         cmocka_unit_test(parts_may_be_missing),
        cmocka_unit_test(wrong_ones_are_refused),     cmocka_unit_test(damaged_ones_are_survived),
        cmocka_unit_test(what_is_missing_has_a_name), cmocka_unit_test(nobody_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
