// Redis's keys: strings, deadlines, databases, WATCH, SCAN; the state against a copy, and bytes that no node makes.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/prng.h"
#include "keys_kit.h"
#include <stdlib.h>

static void get_and_set(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "get a", "$-1");
    SAYS(&k, "set a 1", "+OK");
    SAYS(&k, "get a", "$1 1");
    SAYS(&k, "set a x nx", "$-1");
    SAYS(&k, "set a x xx get", "$1 1");
    SAYS(&k, "set b x xx", "$-1");
    SAYS(&k, "set b x nx get", "$-1");
    SAYS(&k, "get b", "$1 x");
    SAYS(&k, "set a y ifeq z", "$-1");
    SAYS(&k, "set a y ifeq x", "+OK");
    SAYS(&k, "delifeq a x", ":0");
    SAYS(&k, "delifeq a y", ":1");
    SAYS(&k, "set a 1 nx xx", "-ERR syntax error");
    SAYS(&k, "set a 1 ex", "-ERR syntax error");
    SAYS(&k, "set a 1 ex 0", "-ERR invalid expire time in 'set' command");
    SAYS(&k, "set a 1 ex a", "-ERR value is not an integer or out of range");
    SAYS(&k, "set a 1 ex 9223372036854775", "-ERR invalid expire time in 'set' command");
    SAYS(&k, "setnx a 1", ":1");
    SAYS(&k, "setnx a 2", ":0");
    SAYS(&k, "getset a 3", "$1 1");
    SAYS(&k, "getdel a", "$1 3");
    SAYS(&k, "exists a b b", ":2");
    k.resp3 = true;
    SAYS(&k, "get a", "_");
    keys_close(&k);
}

static void counters(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "incr n", ":1");
    SAYS(&k, "incrby n 41", ":42");
    SAYS(&k, "decr n", ":41");
    SAYS(&k, "decrby n -9223372036854775808", "-ERR decrement would overflow");
    SAYS(&k, "object encoding n", "$3 int");
    SAYS(&k, "append n 5", ":3");
    SAYS(&k, "object encoding n", "$3 raw");
    SAYS(&k, "incr n", ":416");
    SAYS(&k, "set n 9223372036854775807", "+OK");
    SAYS(&k, "incr n", "-ERR increment or decrement would overflow");
    SAYS(&k, "set n 01", "+OK");
    SAYS(&k, "object encoding n", "$6 embstr");
    SAYS(&k, "incr n", "-ERR value is not an integer or out of range");
    keys_close(&k);
}

static void parts_of_strings(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "setrange s 3 abc", ":6");
    SAYS(&k, "get s", "$6 \\x00\\x00\\x00abc");
    SAYS(&k, "getrange s -3 -1", "$3 abc");
    SAYS(&k, "getrange s 5 1", "$0 ");
    SAYS(&k, "getrange s -1 -3", "$0 ");
    SAYS(&k, "setrange s -1 x", "-ERR offset is out of range");
    SAYS(&k, "setrange none 5 \"\"", ":0");
    SAYS(&k, "setrange s 70000000 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    SAYS(&k, "set i 12", "+OK");
    SAYS(&k, "setrange i 1 x", ":2");
    SAYS(&k, "get i", "$2 1x");
    for (int i = 0; i < 5; i++) keys_do(&k, "setrange long 9000 y"), keys_do(&k, "append long 0123456789");
    SAYS(&k, "strlen long", ":9051");
    SAYS(&k, "setrange long 4090 abcdefghijkl", ":9051");
    SAYS(&k, "getrange long 4089 4102", "$14 \\x00abcdefghijkl\\x00");
    keys_close(&k);
}

static void deadlines(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "set a 1 px 1000", "+OK");
    SAYS(&k, "pttl a", ":1000");
    SAYS(&k, "ttl a", ":1");
    SAYS(&k, "pexpiretime a", ":1760000002000");
    SAYS(&k, "set b 1", "+OK");
    SAYS(&k, "ttl b", ":-1");
    SAYS(&k, "ttl none", ":-2");
    SAYS(&k, "expire b 10 xx", ":0");
    SAYS(&k, "expire b 10 nx", ":1");
    SAYS(&k, "expire b 5 gt", ":0");
    SAYS(&k, "expire b 5 lt", ":1");
    SAYS(&k, "expire b 5 nx gt", "-ERR NX and XX, GT or LT options at the same time are not compatible");
    SAYS(&k, "expire b 5 no", "-ERR Unsupported option no");
    SAYS(&k, "persist b", ":1");
    SAYS(&k, "set a 2 keepttl", "+OK");
    SAYS(&k, "pttl a", ":1000");
    SAYS(&k, "set a 3", "+OK");
    SAYS(&k, "pttl a", ":-1");
    SAYS(&k, "getex a px 300", "$1 3");
    assert_int_equal(keys_model.next_deadline_ms(k.native.state), 1300);
    assert_int_equal(native_pass(&k.native, 299), 0);
    SAYS(&k, "get a", "$1 3");
    assert_int_equal(native_pass(&k.native, 1), 1);
    assert_string_equal(k.native.events, "expired a\n");
    SAYS(&k, "get a", "$-1");
    SAYS(&k, "expire b -1", ":1");
    SAYS(&k, "exists b", ":0");
    SAYS(&k, "set c 1 pxat 5", "+OK");
    SAYS(&k, "exists c", ":0");
    // Past its deadline, before time's entry came: gone for all that follows.
    SAYS(&k, "set d 1 px 10", "+OK");
    k.native.apply.log_time_ms += 10;
    k.native.apply.unix_ms += 10;
    SAYS(&k, "exists d", ":0");
    SAYS(&k, "set d 2 nx", "+OK");
    SAYS(&k, "ttl d", ":-1");
    keys_close(&k);
}

static void several_keys(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "mset a 1 b 2 a 3", "+OK");
    SAYS(&k, "mget a none b", "*3 $1 3 $-1 $1 2");
    SAYS(&k, "mset a 1 b", "-ERR wrong number of arguments for 'mset' command");
    SAYS(&k, "msetnx c 1 a 2", ":0");
    SAYS(&k, "exists c", ":0");
    SAYS(&k, "rename a c", "+OK");
    assert_string_equal(k.native.events, "new c\nrename_from a\nrename_to c\n");
    SAYS(&k, "rename a c", "-ERR no such key");
    SAYS(&k, "renamenx b c", ":0");
    SAYS(&k, "renamenx c c", ":0");
    SAYS(&k, "rename c c", "+OK");
    SAYS(&k, "get c", "$1 3");
    SAYS(&k, "del c b x", ":2");
    SAYS(&k, "dbsize", ":0");
    keys_close(&k);
}

static void databases(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "set a 0 px 100", "+OK");
    SAYS(&k, "set b 0", "+OK");
    SAYS(&k, "move a 1", ":1");
    SAYS(&k, "move a 1", ":0");
    k.database = 1;
    SAYS(&k, "get a", "$1 0");
    SAYS(&k, "pttl a", ":100");
    SAYS(&k, "swapdb 0 1", "+OK");
    SAYS(&k, "keys *", "*1 $1 b");
    SAYS(&k, "swapdb 0 16", "-ERR DB index is out of range");
    SAYS(&k, "swapdb x 16", "-ERR invalid first DB index");
    SAYS(&k, "move b 1", "-ERR source and destination objects are the same");
    k.database = 0;
    SAYS(&k, "dbsize", ":1");
    SAYS(&k, "flushdb", "+OK");
    SAYS(&k, "dbsize", ":0");
    assert_int_equal(keys_model.next_deadline_ms(k.native.state), UINT64_MAX);
    SAYS(&k, "flushall sync", "+OK");
    SAYS(&k, "flushall now", "-ERR syntax error");
    assert_int_equal(keys_model.memory(k.native.state), 0);
    keys_close(&k);
}

// Goes through all keys by SCAN while `change` is done between the steps; how often each of key:0 .. key:n-1 was told.
static void scan_all(struct keys_kit *k, unsigned n, unsigned char *seen,
                     void (*change)(struct keys_kit *k, unsigned step)) {
    char line[64] = "scan 0 count 3", *at;
    for (unsigned step = 0;; step++) {
        const char *reply = keys_do(k, line);
        unsigned long cursor = strtoul(strchr(reply + 4, ' ') + 1, NULL, 10);
        for (at = strstr(reply, "key:"); at != NULL; at = strstr(at + 1, "key:")) {
            unsigned long i = strtoul(at + 4, NULL, 10);
            if (i < n) seen[i]++;
        }
        if (cursor == 0) return;
        if (change != NULL) change(k, step);
        snprintf(line, sizeof line, "scan %lu count 3", cursor);
    }
}

static void delete_odd(struct keys_kit *k, unsigned step) {
    char line[32];
    snprintf(line, sizeof line, "del key:%u key:%u", 2 * step + 1, 2 * step + 301);
    keys_do(k, line);
}

static void scan_hides_nothing_that_stays(void **state) {
    struct keys_kit k;
    unsigned char seen[500] = {0};
    char line[64];
    keys_open(&k);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(line, sizeof line, "set key:%u %u", i, i);
        keys_do(&k, line);
    }
    scan_all(&k, 500, seen, NULL);
    for (unsigned i = 0; i < 500; i++) assert_int_equal(seen[i], 1);
    memset(seen, 0, sizeof seen);
    scan_all(&k, 500, seen, delete_odd);
    for (unsigned i = 0; i < 500; i += 2) assert_true(seen[i] >= 1);
    SAYS(&k, "scan x", "-ERR invalid cursor");
    SAYS(&k, "scan 0 count 0", "-ERR syntax error");
    SAYS(&k, "scan 0 match key:499? count 1000", "*2 $1 0 *0");
    SAYS(&k, "scan 0 match key:498 count 1000", "*2 $1 0 *1 $7 key:498");
    SAYS(&k, "scan 0 type list count 1000", "*2 $1 0 *0");
    keys_close(&k);
}

// ---- transactions

static uint64_t watch(struct keys_kit *k, const char *name) {
    struct bytes key = bytes_of_text(name);
    struct keys_query query = {.kind = KEYS_QUERY_WATCH,
                               .database = k->database,
                               .argv = &key,
                               .argc = 1,
                               .log_time_ms = k->native.apply.log_time_ms};
    struct result result = {0};
    keys_model.query(k->native.state, &query, &result);
    return *(const uint64_t *)result.value;
}
static size_t exec(struct keys_kit *k, const char *watched, uint64_t index, const char *const *lines, uint32_t count) {
    struct writer w = {0};
    command_write_head(&w, MODEL_KEYS, KEYS_OP_RUN, 0, 0);
    keys_write_run(&w, &(struct keys_run){.flags = KEYS_TRANSACTION, .watches = 1, .commands = count});
    keys_write_watch(&w, k->database, bytes_of_text(watched), index);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t room[256];
        struct bytes argv[16];
        size_t argc = keys_words(lines[i], argv, room);
        keys_write_command(&w, k->database, keys_row_for(argv, argc), argv, argc);
    }
    assert_int_equal(native_run(&k->native, &w), 0);
    const struct keys_result *result = k->native.result.value;
    keys_show(k, result->reply);
    return result->count;
}

static void exec_is_one_entry_and_minds_watches(void **state) {
    struct keys_kit k;
    static const char *const lines[] = {"incr n", "set x y", "incr x", "get n"};
    keys_open(&k);
    uint64_t index = watch(&k, "w");
    assert_int_equal(exec(&k, "w", index, lines, 4), 4);
    assert_string_equal(k.reply, ":1 +OK -ERR value is not an integer or out of range $1 1");
    index = watch(&k, "w");
    keys_do(&k, "set w 1");
    assert_int_equal(exec(&k, "w", index, lines, 4), 0);
    index = watch(&k, "w");
    assert_int_equal(exec(&k, "w", index, lines, 4), 4);
    keys_do(&k, "set w 1"); // the same value is a change
    assert_int_equal(exec(&k, "w", index, lines, 4), 0);
    index = watch(&k, "w");
    keys_do(&k, "del w");
    assert_int_equal(exec(&k, "w", index, lines, 4), 0);
    index = watch(&k, "w"); // made and deleted meanwhile
    keys_do(&k, "set w 1"), keys_do(&k, "del w");
    assert_int_equal(exec(&k, "w", index, lines, 4), 0);
    index = watch(&k, "w");
    keys_do(&k, "swapdb 0 5");
    assert_int_equal(exec(&k, "w", index, lines, 4), 0);
    keys_do(&k, "set w 1 px 50");
    index = watch(&k, "w");
    k.native.apply.log_time_ms += 50;
    assert_int_equal(exec(&k, "w", index, lines, 4), 0);
    keys_close(&k);
}

static void token_grows_with_each_creation(void **state) {
    struct keys_kit k;
    keys_open(&k);
    keys_do(&k, "mset lock a other b");
    uint64_t token = strtoull(strchr(keys_do(&k, "object token lock"), ':') + 1, NULL, 10), before = token;
    keys_do(&k, "pexpire lock 100");
    keys_do(&k, "append lock x");
    assert_int_equal(strtoull(strchr(keys_do(&k, "object token lock"), ':') + 1, NULL, 10), token);
    native_pass(&k.native, 100);
    keys_do(&k, "set lock b nx px 100");
    token = strtoull(strchr(keys_do(&k, "object token lock"), ':') + 1, NULL, 10);
    assert_true(token > before && token >= 100);
    keys_close(&k);
}

// ---- at random: the state against a copy of it

static void random_line(struct prng *random, char line[128]) {
    static const char *const forms[] = {"set k%u %u",        "set k%u \"\" px %u",
                                        "del k%u",           "append k%u xyz%u",
                                        "incr k%u",          "expire k%u %u",
                                        "persist k%u",       "setrange k%u %u000 abc",
                                        "rename k%u k%u",    "move k%u %u",
                                        "getdel k%u",        "mset k%u a l%u b",
                                        "setex k%u 1%u v",   "getex k%u persist",
                                        "set k%u x get",     "swapdb 3 %u",
                                        "setnx k%u \\xff%u", "dbsize",
                                        "incrby k%u -%u",    "pexpire k%u 1%u"};
    uint32_t form = (uint32_t)prng_below(random, sizeof forms / sizeof forms[0]);
    if (form == 15)
        snprintf(line, 128, "swapdb 3 %u", (unsigned)prng_below(random, 4));
    else if (prng_below(random, 400) == 0)
        snprintf(line, 128, "flushdb");
    else {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(line, 128, forms[form], (unsigned)prng_below(random, 60), (unsigned)prng_below(random, 16));
#pragma GCC diagnostic pop
    }
}

static void copies_go_on_alike(void **state) {
    keys_copies_alike(7, random_line);
}

static void bad_bytes_change_nothing(void **state) {
    static struct keys_kit k;
    struct prng random;
    prng_seed(&random, 11);
    keys_open(&k);
    keys_do(&k, "set a 1");
    for (unsigned i = 0; i < 20000; i++) {
        static const char *const lines[] = {"set a 1 px 1000", "mset a 1 b 2", "del a", "flushall", "rename a b"};
        uint8_t room[128];
        struct bytes argv[16];
        size_t argc = keys_words(lines[i % 5], argv, room);
        struct writer w = {0};
        keys_write_run(&w, &(struct keys_run){.commands = 1});
        keys_write_command(&w, 0, keys_row_for(argv, argc), argv, argc);
        for (unsigned n = 0; n <= prng_below(&random, 3); n++)
            w.data[prng_below(&random, w.len)] = (uint8_t)prng_next(&random);
        struct command command = {.model = MODEL_KEYS,
                                  .op = KEYS_OP_RUN,
                                  .args =
                                      bytes_of(w.data, prng_below(&random, 4) ? w.len : prng_below(&random, w.len))};
        k.native.apply.index++;
        struct digest before = keys_model.digest(k.native.state);
        struct result result = {0};
        keys_model.apply(k.native.state, &k.native.apply, &command, &result);
        if (result.error != 0) {
            assert_int_equal(result.error, COMMAND_BAD_COMMAND);
            assert_true(digest_equal(before, keys_model.digest(k.native.state)));
        }
        writer_free(&w);
    }
    native_check(&k.native);
    keys_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_and_set),
        cmocka_unit_test(counters),
        cmocka_unit_test(parts_of_strings),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(several_keys),
        cmocka_unit_test(databases),
        cmocka_unit_test(scan_hides_nothing_that_stays),
        cmocka_unit_test(exec_is_one_entry_and_minds_watches),
        cmocka_unit_test(token_grows_with_each_creation),
        cmocka_unit_test(copies_go_on_alike),
        cmocka_unit_test(bad_bytes_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
