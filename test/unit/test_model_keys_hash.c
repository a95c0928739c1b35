// Redis's hashes: commands, forms and their order, counts by chance, snapshots, lazy freeing.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/prng.h"
#include "keys_kit.h"
#include "model/keys/keys_internal.h"
#include <stdlib.h>

static void fields(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "hset h a 1 b 2 a 3", ":2");
    SAYS(&k, "hget h a", "$1 3");
    SAYS(&k, "hget h none", "$-1");
    SAYS(&k, "hget none a", "$-1");
    SAYS(&k, "hmget h b none a", "*3 $1 2 $-1 $1 3");
    SAYS(&k, "hgetall h", "*4 $1 a $1 3 $1 b $1 2");
    SAYS(&k, "hkeys h", "*2 $1 a $1 b");
    SAYS(&k, "hvals h", "*2 $1 3 $1 2");
    SAYS(&k, "hgetall none", "*0");
    SAYS(&k, "hlen h", ":2");
    SAYS(&k, "hexists h b", ":1");
    SAYS(&k, "hexists h c", ":0");
    SAYS(&k, "hstrlen h a", ":1");
    SAYS(&k, "hstrlen h c", ":0");
    SAYS(&k, "hsetnx h a 9", ":0");
    SAYS(&k, "hsetnx h c 9", ":1");
    SAYS(&k, "hmset h a 4", "+OK");
    SAYS(&k, "hset h a 1 b", "-ERR wrong number of arguments for 'hset' command");
    SAYS(&k, "hdel h a none", ":1");
    SAYS(&k, "hdel h b c b", ":2");
    assert_string_equal(k.native.events, "hdel h\ndel h\n");
    SAYS(&k, "exists h", ":0");
    SAYS(&k, "hset h a 1", ":1");
    assert_string_equal(k.native.events, "new h\nhset h\n");
    k.resp3 = true;
    SAYS(&k, "hgetall h", "%1 $1 a $1 1");
    SAYS(&k, "hgetall none", "%0");
    SAYS(&k, "hget h none", "_");
    keys_close(&k);
}

static void counters_in_fields(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "hincrby h n 5", ":5");
    SAYS(&k, "hincrby h n -7", ":-2");
    SAYS(&k, "hincrby h n x", "-ERR value is not an integer or out of range");
    SAYS(&k, "hset h t text", ":1");
    SAYS(&k, "hincrby h t 1", "-ERR hash value is not an integer");
    SAYS(&k, "hincrby h n 9223372036854775807", ":9223372036854775805");
    SAYS(&k, "hincrby h n 3", "-ERR increment or decrement would overflow");
    SAYS(&k, "hget h n", "$19 9223372036854775805");
    keys_close(&k);
}

// An error leaves no empty key behind.
static void other_types_are_refused(void **state) {
    struct keys_kit k;
    static const char *const lines[] = {"hset s a 1",    "hget s a",       "hgetall s",   "hdel s a",
                                        "hincrby s a 1", "hlen s",         "hmget s a",   "hsetnx s a 1",
                                        "hscan s 0",     "hrandfield s 1", "hstrlen s a", "hexists s a"};
    keys_open(&k);
    keys_do(&k, "set s 1");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        SAYS(&k, lines[i], "-WRONGTYPE Operation against a key holding the wrong kind of value");
    SAYS(&k, "hincrby none a x", "-ERR value is not an integer or out of range");
    SAYS(&k, "hset h a 1", ":1");
    SAYS(&k, "get h", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    SAYS(&k, "type h", "+hash");
    SAYS(&k, "dbsize", ":2");
    SAYS(&k, "set h 1", "+OK");
    SAYS(&k, "type h", "+string");
    keys_close(&k);
}

static void small_hashes_keep_their_order(void **state) {
    struct keys_kit k;
    char line[64], value[80];
    keys_open(&k);
    keys_do(&k, "hset h a 1 b 2 c 3");
    keys_do(&k, "hdel h a");
    keys_do(&k, "hset h b longer a 4");
    SAYS(&k, "hgetall h", "*6 $1 b $6 longer $1 c $1 3 $1 a $1 4");
    SAYS(&k, "object encoding h", "$8 listpack");
    for (unsigned i = 3; i < 128; i++) snprintf(line, sizeof line, "hset h f%u %u", i, i), keys_do(&k, line);
    SAYS(&k, "hlen h", ":128");
    SAYS(&k, "object encoding h", "$8 listpack");
    SAYS(&k, "hset h f3 x", ":0");
    SAYS(&k, "hset h one more", ":1");
    SAYS(&k, "object encoding h", "$9 hashtable");
    SAYS(&k, "hget h b", "$6 longer");
    for (unsigned i = 3; i < 128; i++) snprintf(line, sizeof line, "hdel h f%u", i), keys_do(&k, line);
    SAYS(&k, "object encoding h", "$9 hashtable"); // one way
    memset(value, 'x', 64), value[64] = 0;
    snprintf(line, sizeof line, "hset g a %.40s", value);
    keys_do(&k, line);
    SAYS(&k, "object encoding g", "$8 listpack");
    char longer[160];
    snprintf(longer, sizeof longer, "hset g b %s", value);
    keys_do(&k, longer);
    SAYS(&k, "object encoding g", "$8 listpack");
    snprintf(longer, sizeof longer, "hset g c %sx c 1", value); // one long argument, though it does not stay
    keys_do(&k, longer);
    SAYS(&k, "object encoding g", "$9 hashtable");
    SAYS(&k, "hget g c", "$1 1");
    keys_close(&k);
}

static void fields_by_chance(void **state) {
    struct keys_kit k;
    char line[64];
    keys_open(&k);
    SAYS(&k, "hrandfield none", "$-1");
    SAYS(&k, "hrandfield none 3", "*0");
    keys_do(&k, "hset h a 1 b 2 c 3");
    SAYS(&k, "hrandfield h 5", "*3 $1 a $1 b $1 c");
    SAYS(&k, "hrandfield h 3 withvalues", "*6 $1 a $1 1 $1 b $1 2 $1 c $1 3");
    SAYS(&k, "hrandfield h 0", "*0");
    SAYS(&k, "hrandfield h 1 values", "-ERR syntax error");
    SAYS(&k, "hrandfield h x", "-ERR value is not an integer or out of range");
    SAYS(&k, "hrandfield h -9223372036854775808",
         "-ERR value is out of range, value must between "
         "-9223372036854775807 and 9223372036854775807");
    SAYS(&k, "hrandfield h 9223372036854775807 withvalues", "-ERR value is out of range");
    k.resp3 = true;
    SAYS(&k, "hrandfield h 3 withvalues", "*3 *2 $1 a $1 1 *2 $1 b $1 2 *2 $1 c $1 3");
    assert_int_equal(strncmp(keys_do(&k, "hrandfield h -7 withvalues"), "*7 *2 ", 6), 0);
    k.resp3 = false;
    unsigned seen[300] = {0};
    for (unsigned i = 0; i < 300; i++) snprintf(line, sizeof line, "hset big f%u 1", i), keys_do(&k, line);
    for (unsigned round = 0; round < 200; round++) { // 20 of 300, none twice
        bool now[300] = {false};
        unsigned told = 0;
        for (const char *at = strchr(keys_do(&k, "hrandfield big 20"), 'f'); at != NULL; at = strchr(at + 1, 'f')) {
            unsigned long i = strtoul(at + 1, NULL, 10);
            assert_false(now[i]);
            now[i] = true;
            seen[i]++;
            told++;
        }
        assert_int_equal(told, 20);
    }
    for (unsigned i = 0; i < 300; i++) assert_in_range(seen[i], 1, 60); // 13 expected
    keys_close(&k);
}

static void scan_of_fields(void **state) {
    struct keys_kit k;
    char line[64] = "hscan h 0 count 7";
    unsigned seen[400] = {0};
    keys_open(&k);
    SAYS(&k, "hscan none 0 nonsense", "*2 $1 0 *0");
    SAYS(&k, "hscan none x", "-ERR invalid cursor");
    keys_do(&k, "hset s a 1 b 2");
    SAYS(&k, "hscan s 7 count 1", "*2 $1 0 *4 $1 a $1 1 $1 b $1 2");
    SAYS(&k, "hscan s 0 match b*", "*2 $1 0 *2 $1 b $1 2");
    SAYS(&k, "hscan s 0 type hash", "-ERR syntax error");
    for (unsigned i = 0; i < 400; i++) snprintf(line, sizeof line, "hset h f%u v", i), keys_do(&k, line);
    unsigned long cursor = 0;
    for (unsigned step = 0; step == 0 || cursor != 0; step++) {
        snprintf(line, sizeof line, "hscan h %lu count 7", cursor);
        const char *reply = keys_do(&k, line);
        cursor = strtoul(strchr(reply + 4, ' ') + 1, NULL, 10);
        for (const char *at = strchr(reply, 'f'); at != NULL; at = strchr(at + 1, 'f'))
            seen[strtoul(at + 1, NULL, 10)]++;
        snprintf(line, sizeof line, "hdel h f%u f%u", 2 * step + 1, 399 - 2 * step);
        keys_do(&k, line);
    }
    for (unsigned i = 0; i < 400; i += 2) assert_int_equal(seen[i] >= 1, 1);
    keys_close(&k);
}

static void renamed_copied_and_moved(void **state) {
    struct keys_kit k;
    keys_open(&k);
    keys_do(&k, "hset h a 1 b 2");
    keys_do(&k, "pexpire h 500");
    SAYS(&k, "copy h g", ":1");
    assert_string_equal(k.native.events, "new g\ncopy_to g\n");
    SAYS(&k, "copy h g", ":0");
    SAYS(&k, "copy none g replace", ":0");
    SAYS(&k, "hset h a 3", ":0");
    SAYS(&k, "hget g a", "$1 1");
    SAYS(&k, "pttl g", ":500");
    SAYS(&k, "copy h g replace", ":1");
    SAYS(&k, "hget g a", "$1 3");
    SAYS(&k, "copy h h", "-ERR source and destination objects are the same");
    SAYS(&k, "copy h h db 99", "-ERR DB index is out of range");
    SAYS(&k, "copy h h db 2", ":1");
    SAYS(&k, "rename h i", "+OK");
    SAYS(&k, "hset i c 4", ":1");
    SAYS(&k, "move i 3", ":1");
    native_check(&k.native);
    k.database = 3;
    SAYS(&k, "hgetall i", "*6 $1 a $1 3 $1 b $1 2 $1 c $1 4");
    assert_int_equal(native_pass(&k.native, 500), 3);
    keys_do(&k, "set text abc");
    SAYS(&k, "copy text other db 3 replace", ":1");
    SAYS(&k, "get other", "$3 abc");
    SAYS(&k, "copy text other", ":0");
    keys_do(&k, "set n 5");
    SAYS(&k, "copy n m", ":1");
    SAYS(&k, "object encoding m", "$3 int");
    k.database = 0;
    SAYS(&k, "dbsize", ":0");
    keys_close(&k);
}

static void watched_hashes_change(void **state) {
    struct keys_kit k;
    keys_open(&k);
    keys_do(&k, "hset h a 1");
    struct bytes name = bytes_of_text("h");
    struct keys_query query = {.kind = KEYS_QUERY_WATCH, .argv = &name, .argc = 1, .log_time_ms = 1000};
    struct result result = {0};
    keys_model.query(k.native.state, &query, &result);
    uint64_t index = *(const uint64_t *)result.value;
    SAYS(&k, "hdel h none", ":0");
    keys_model.query(k.native.state, &query, &result);
    assert_true(*(const uint64_t *)result.value == index);
    SAYS(&k, "hset h a 1", ":0"); // the same value is a change
    keys_model.query(k.native.state, &query, &result);
    assert_true(*(const uint64_t *)result.value > index);
    keys_close(&k);
}

// Memory is given back on paper at once, in fact bit by bit.
static void a_big_hash_is_freed_bit_by_bit(void **state) {
    static struct keys_kit k;
    char line[64];
    keys_open(&k);
    const struct keys *keys = k.native.state;
    for (unsigned i = 0; i < 5000; i++) snprintf(line, sizeof line, "hset h f%u %u", i, i), keys_do(&k, line);
    for (unsigned round = 0; round < 2; round++) {
        SAYS(&k, "copy h g", ":1");
        SAYS(&k, round == 0 ? "unlink g" : "set g 1", round == 0 ? ":1" : "+OK");
        assert_non_null(keys->garbage);
        unsigned steps = 0;
        for (; keys->garbage != NULL; steps++) keys_do(&k, "del none");
        assert_in_range(steps, 20, 100);
        keys_do(&k, "del g");
    }
    for (unsigned i = 0; i < 3; i++) snprintf(line, sizeof line, "copy h h%u", i), keys_do(&k, line);
    SAYS(&k, "flushall", "+OK");
    assert_int_equal(keys_model.memory(k.native.state), 0);
    assert_non_null(keys->garbage);
    for (unsigned i = 0; i < 500; i++) keys_do(&k, "del none");
    assert_null(keys->garbage);
    keys_do(&k, "hset h a 1");
    keys_close(&k);
}

static void random_hash(struct prng *random, char line[128]) {
    static const char *const forms[] = {"hset h%u f%u 1",
                                        "hset h%u f%u 2 g%u 7",
                                        "hdel h%u f%u g1 g2",
                                        "hincrby h%u n%u 1",
                                        "hsetnx h%u f%u 00000000000000000000000000000000000000"
                                        "0000000000000000000000000000000",
                                        "del h%u",
                                        "expire h%u 1%u",
                                        "rename h%u h%u",
                                        "copy h%u h%u replace",
                                        "move h%u %u",
                                        "hrandfield h%u -%u withvalues",
                                        "hgetall h%u",
                                        "hscan h%u 0 count %u",
                                        "hrandfield h%u %u",
                                        "copy h%u x db %u",
                                        "persist h%u"};
    uint32_t form = (uint32_t)prng_below(random, sizeof forms / sizeof forms[0] + 4);
    if (form >= sizeof forms / sizeof forms[0]) form = 1;
    if (form == 5 && prng_below(random, 4) > 0) form = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line, 128, forms[form], (unsigned)prng_below(random, 6), (unsigned)prng_below(random, 40),
             (unsigned)prng_below(random, 40));
#pragma GCC diagnostic pop
}

static void copies_go_on_alike(void **state) {
    keys_copies_alike(21, random_hash);
}

// An element larger than a record, and bytes that are damaged.
static void snapshots_split_elements(void **state) {
    static struct keys_kit k, copy;
    static char line[40000];
    keys_open(&k);
    int len = snprintf(line, sizeof line, "hset h first 1 long ");
    memset(line + len, 'v', 30000), line[len + 30000] = 0;
    keys_do(&k, line);
    keys_do(&k, "hset h last 1");
    for (unsigned i = 0; i < 40; i++) snprintf(line, sizeof line, "hset small f%u %u", i, i), keys_do(&k, line);
    for (size_t chunk = 300; chunk < 20000; chunk = chunk * 3 / 2) {
        memset(&copy, 0, sizeof copy);
        native_copy(&k.native, &copy.native, chunk);
        SAYS(&copy, "hstrlen h long", ":30000");
        SAYS(&copy, "hrandfield small 1000", keys_do(&k, "hrandfield small 1000"));
        keys_close(&copy);
    }
    keys_do(&k, "hdel h long");
    native_damage(&k.native, 5);
    keys_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(counters_in_fields),
        cmocka_unit_test(other_types_are_refused),
        cmocka_unit_test(small_hashes_keep_their_order),
        cmocka_unit_test(fields_by_chance),
        cmocka_unit_test(scan_of_fields),
        cmocka_unit_test(renamed_copied_and_moved),
        cmocka_unit_test(watched_hashes_change),
        cmocka_unit_test(a_big_hash_is_freed_bit_by_bit),
        cmocka_unit_test(copies_go_on_alike),
        cmocka_unit_test(snapshots_split_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
