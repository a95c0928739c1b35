// Redis's sets: members, forms and their order, chance, operations on several, snapshots.
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

static void members(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "sadd s 3 1 2 1", ":3");
    assert_string_equal(k.native.events, "new s\nsadd s\n");
    SAYS(&k, "sadd s 1", ":0");
    assert_string_equal(k.native.events, "");
    SAYS(&k, "smembers s", "*3 $1 1 $1 2 $1 3");
    SAYS(&k, "sismember s 2", ":1");
    SAYS(&k, "sismember s x", ":0");
    SAYS(&k, "smismember s 1 9 3", "*3 :1 :0 :1");
    SAYS(&k, "smismember none 1 9", "*2 :0 :0");
    SAYS(&k, "scard s", ":3");
    SAYS(&k, "scard none", ":0");
    SAYS(&k, "srem s 1 x", ":1");
    SAYS(&k, "srem none 1", ":0");
    SAYS(&k, "srem s 2 3 4", ":2");
    assert_string_equal(k.native.events, "srem s\ndel s\n");
    SAYS(&k, "smembers s", "*0");
    keys_do(&k, "set text 1");
    SAYS(&k, "sadd text 1", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    SAYS(&k, "sunion s text", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    k.resp3 = true;
    keys_do(&k, "sadd s a");
    SAYS(&k, "smembers s", "~1 $1 a");
    keys_close(&k);
}

static void integers_are_kept_in_order(void **state) {
    struct keys_kit k;
    char line[64];
    keys_open(&k);
    keys_do(&k, "sadd s 5 -70000 9000000000 300 -1");
    SAYS(&k, "object encoding s", "$6 intset");
    SAYS(&k, "smembers s", "*5 $6 -70000 $2 -1 $1 5 $3 300 $10 9000000000");
    uint64_t wide = keys_model.memory(k.native.state);
    SAYS(&k, "srem s 9000000000 -70000", ":2");
    assert_true(keys_model.memory(k.native.state) == wide - 5 * 8 + 3 * 2);
    SAYS(&k, "smembers s", "*3 $2 -1 $1 5 $3 300");
    SAYS(&k, "sadd s 9223372036854775808", ":1"); // no integer of ours
    SAYS(&k, "object encoding s", "$9 hashtable");
    SAYS(&k, "srem s 9223372036854775808", ":1");
    SAYS(&k, "object encoding s", "$9 hashtable");
    SAYS(&k, "sadd t 01", ":1");
    SAYS(&k, "object encoding t", "$9 hashtable");
    for (int i = 0; i < 512; i++) snprintf(line, sizeof line, "sadd u %d", i * 7 - 1000), keys_do(&k, line);
    SAYS(&k, "object encoding u", "$6 intset");
    keys_do(&k, "sadd u 100000");
    SAYS(&k, "object encoding u", "$9 hashtable");
    SAYS(&k, "scard u", ":513");
    SAYS(&k, "sismember u -1000", ":1");
    keys_close(&k);
}

static void moved_members(void **state) {
    struct keys_kit k;
    keys_open(&k);
    keys_do(&k, "sadd a 1 x");
    SAYS(&k, "smove a b 1", ":1");
    assert_string_equal(k.native.events, "srem a\nnew b\nsadd b\n");
    SAYS(&k, "object encoding b", "$6 intset");
    SAYS(&k, "smove a b 7", ":0");
    SAYS(&k, "smove a a x", ":1");
    SAYS(&k, "smove a a y", ":0");
    SAYS(&k, "smove a b x", ":1");
    assert_string_equal(k.native.events, "srem a\ndel a\nsadd b\n");
    SAYS(&k, "exists a", ":0");
    keys_do(&k, "set text 1");
    SAYS(&k, "smove none text 1", ":0");
    SAYS(&k, "smove b text 1", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    SAYS(&k, "smove text b 1", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    keys_close(&k);
}

static void members_by_chance(void **state) {
    struct keys_kit k;
    char line[64];
    keys_open(&k);
    SAYS(&k, "spop none", "$-1");
    SAYS(&k, "spop none 2", "*0");
    SAYS(&k, "srandmember none", "$-1");
    SAYS(&k, "srandmember none 2", "*0");
    SAYS(&k, "spop none -1", "-ERR value is out of range, must be positive");
    SAYS(&k, "spop none 1 1", "-ERR syntax error");
    keys_do(&k, "sadd s 1 2 3");
    SAYS(&k, "srandmember s 7", "*3 $1 1 $1 2 $1 3");
    SAYS(&k, "srandmember s x", "-ERR value is not an integer or out of range");
    assert_int_equal(strncmp(keys_do(&k, "srandmember s -9"), "*9 ", 3), 0);
    SAYS(&k, "scard s", ":3");
    SAYS(&k, "spop s 0", "*0");
    SAYS(&k, "spop s 3", "*3 $1 1 $1 2 $1 3");
    assert_string_equal(k.native.events, "spop s\ndel s\n");
    for (unsigned i = 0; i < 1000; i++) snprintf(line, sizeof line, "sadd s m%u", i), keys_do(&k, line);
    unsigned seen[1000] = {0};
    for (unsigned left = 1000; left > 0; left -= 50) {
        const char *at = strchr(keys_do(&k, "spop s 50"), 'm');
        for (; at != NULL; at = strchr(at + 1, 'm')) seen[strtoul(at + 1, NULL, 10)]++;
    }
    for (unsigned i = 0; i < 1000; i++) assert_int_equal(seen[i], 1);
    SAYS(&k, "exists s", ":0");
    keys_do(&k, "sadd s only");
    SAYS(&k, "spop s", "$4 only");
    assert_string_equal(k.native.events, "spop s\ndel s\n");
    keys_close(&k);
}

static void several_sets(void **state) {
    struct keys_kit k;
    keys_open(&k);
    keys_do(&k, "sadd a 1 2 3 4");
    keys_do(&k, "sadd b 3 4 5");
    SAYS(&k, "sinter a b", "*2 $1 3 $1 4");
    SAYS(&k, "sunion b a", "*5 $1 1 $1 2 $1 3 $1 4 $1 5");
    SAYS(&k, "sdiff a b", "*2 $1 1 $1 2");
    SAYS(&k, "sinter a none", "*0");
    SAYS(&k, "sdiff none a", "*0");
    SAYS(&k, "sintercard 2 a b", ":2");
    SAYS(&k, "sintercard 2 a b limit 1", ":1");
    SAYS(&k, "sintercard 2 a b limit 0", ":2");
    SAYS(&k, "sintercard 0 a", "-ERR numkeys should be greater than 0");
    SAYS(&k, "sintercard 3 a b", "-ERR Number of keys can't be greater than number of args");
    SAYS(&k, "sintercard 1 a limit -1", "-ERR LIMIT can't be negative");
    SAYS(&k, "sintercard 1 a limit", "-ERR syntax error");
    SAYS(&k, "sinterstore a a b", ":2");
    assert_string_equal(k.native.events, "sinterstore a\n");
    SAYS(&k, "smembers a", "*2 $1 3 $1 4");
    SAYS(&k, "sunionstore c a b none", ":3");
    assert_string_equal(k.native.events, "new c\nsunionstore c\n");
    SAYS(&k, "sdiffstore c a b", ":0");
    assert_string_equal(k.native.events, "del c\n");
    SAYS(&k, "exists c", ":0");
    keys_do(&k, "set text 1 ex 100");
    SAYS(&k, "sinterstore c a text", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    SAYS(&k, "sunionstore text a", ":2"); // whatever stood there, and its deadline
    SAYS(&k, "ttl text", ":-1");
    SAYS(&k, "type text", "+set");
    k.resp3 = true;
    SAYS(&k, "sinter a b", "~2 $1 3 $1 4");
    keys_close(&k);
}

static void keys_of_counted_commands(void **state) {
    struct bytes argv[6];
    uint8_t room[64];
    uint32_t positions[4];
    size_t argc = keys_words("sintercard 2 a b limit 1", argv, room);
    assert_int_equal(keys_positions(keys_row_for(argv, argc), argv, argc, positions, 4), 2);
    assert_int_equal(positions[0], 2);
    assert_int_equal(positions[1], 3);
    argc = keys_words("sintercard 9 a b", argv, room);
    assert_int_equal(keys_positions(keys_row_for(argv, argc), argv, argc, positions, 4), 0);
}

static void random_set(struct prng *random, char line[128]) {
    static const char *const forms[] = {"sadd s%u %u %u000",
                                        "sadd s%u m%u",
                                        "srem s%u %u %u",
                                        "spop s%u",
                                        "spop s%u %u",
                                        "srandmember s%u -%u",
                                        "srandmember s%u %u",
                                        "smembers s%u",
                                        "smove s%u s%u %u",
                                        "sunionstore s%u s%u s%u",
                                        "sinterstore s%u s%u s%u",
                                        "sdiffstore s%u s%u s%u",
                                        "sunion s%u s%u",
                                        "sdiff s%u s%u",
                                        "sinter s%u s%u",
                                        "copy s%u s%u replace",
                                        "rename s%u s%u",
                                        "expire s%u 1%u",
                                        "sscan s%u %u count 3",
                                        "del s%u",
                                        "sadd s%u -%u 3%u m1 m2"};
    uint32_t form = (uint32_t)prng_below(random, sizeof forms / sizeof forms[0] + 8);
    if (form >= sizeof forms / sizeof forms[0]) form %= 2;
    unsigned small = form >= 8 && form <= 16 ? 5 : 50;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line, 128, forms[form], (unsigned)prng_below(random, 5), (unsigned)prng_below(random, small),
             (unsigned)prng_below(random, small));
#pragma GCC diagnostic pop
}

static void copies_go_on_alike(void **state) {
    keys_copies_alike(31, random_set);
}

static void damaged_snapshots(void **state) {
    static struct keys_kit k;
    keys_open(&k);
    keys_do(&k, "sadd i 1 2 3 70000");
    keys_do(&k, "sadd m a b c 1 2 dddddddddddddddddd");
    keys_do(&k, "expire m 1");
    native_damage(&k.native, 9);
    keys_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members),
        cmocka_unit_test(integers_are_kept_in_order),
        cmocka_unit_test(moved_members),
        cmocka_unit_test(members_by_chance),
        cmocka_unit_test(several_sets),
        cmocka_unit_test(keys_of_counted_commands),
        cmocka_unit_test(copies_go_on_alike),
        cmocka_unit_test(damaged_snapshots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
