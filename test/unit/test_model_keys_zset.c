// Sorted sets: named cases, a naive model under random commands, the state against a copy of it, damaged bytes.
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

static void adding(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "zadd z 1 a 2 b 2 b", ":2");
    assert_string_equal(k.native.events, "new z\nzadd z\n");
    SAYS(&k, "zadd z nx 5 a 3 c", ":1");
    SAYS(&k, "zadd z xx ch 5 a 3 d", ":1");
    SAYS(&k, "zadd z gt 4 a", ":0");
    SAYS(&k, "zadd z lt ch 4 a", ":1");
    SAYS(&k, "zadd z incr 1.5 a", "$3 5.5");
    assert_string_equal(k.native.events, "zincr z\n");
    SAYS(&k, "zadd z nx incr 1.5 a", "$-1");
    SAYS(&k, "zadd none xx incr 1 a", "$-1");
    SAYS(&k, "zadd none xx 1 a", ":0");
    SAYS(&k, "exists none", ":0");
    SAYS(&k, "zincrby z 0.1 c", "$18 3.1000000000000001");
    SAYS(&k, "zadd z 1 a 2", "-ERR syntax error");
    SAYS(&k, "zadd z nx xx 1 a", "-ERR XX and NX options at the same time are not compatible");
    SAYS(&k, "zadd z nx gt 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible");
    SAYS(&k, "zadd z incr 1 a 2 b", "-ERR INCR option supports a single increment-element pair");
    SAYS(&k, "zadd z 7 a nan b", "-ERR value is not a valid float");
    SAYS(&k, "zscore z a", "$3 5.5"); // an error leaves nothing behind
    SAYS(&k, "zadd z inf i -inf j", ":2");
    SAYS(&k, "zincrby z -inf i", "-ERR resulting score is not a number (NaN)");
    SAYS(&k, "zmscore z i j none", "*3 $3 inf $4 -inf $-1");
    SAYS(&k, "zrange z 0 -1", "*5 $1 j $1 b $1 c $1 a $1 i");
    SAYS(&k, "set s x", "+OK");
    SAYS(&k, "zadd s 1 a", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    SAYS(&k, "get z", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    k.resp3 = true;
    SAYS(&k, "zscore z i", ",inf");
    SAYS(&k, "zrange z 0 1 withscores", "*2 *2 $1 j ,-inf *2 $1 b ,2");
    keys_close(&k);
}

static void ranges(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "zadd z 1 a 2 b 3 c 3 d", ":4");
    SAYS(&k, "zrange z 1 -2 rev", "*2 $1 c $1 b");
    SAYS(&k, "zrange z 5 9", "*0");
    SAYS(&k, "zrange z (1 3 byscore limit 1 1 withscores", "*2 $1 c $1 3");
    SAYS(&k, "zrange z +inf (1 byscore rev limit 0 2", "*2 $1 d $1 c");
    SAYS(&k, "zrevrangebyscore z 3 1 limit 1 -1", "*3 $1 c $1 b $1 a");
    SAYS(&k, "zrangebyscore z 3 1", "*0");
    SAYS(&k, "zrangebyscore z \"\" 1", "*1 $1 a");
    SAYS(&k, "zcount z (1 (3", ":1");
    SAYS(&k, "zcount z 1x 3", "-ERR min or max is not a float");
    SAYS(&k, "zrank z d", ":3");
    SAYS(&k, "zrevrank z d", ":0");
    SAYS(&k, "zrank z x", "$-1");
    SAYS(&k, "zrange z 0 1 limit 0 1",
         "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
    SAYS(&k, "zrange z - + bylex withscores", "-ERR syntax error, WITHSCORES not supported in combination with BYLEX");
    SAYS(&k, "zrangebyscore z 0 1 rev", "-ERR syntax error");
    SAYS(&k, "zadd l 0 a 0 b 0 ba 0 c", ":4");
    SAYS(&k, "zrangebylex l [b (c", "*2 $1 b $2 ba");
    SAYS(&k, "zrevrangebylex l + (b", "*2 $1 c $2 ba");
    SAYS(&k, "zrangebylex l + -", "*0");
    SAYS(&k, "zrangebylex l b +", "-ERR min or max not valid string range item");
    SAYS(&k, "zlexcount l - +", ":4");
    SAYS(&k, "zrangestore z z 2 3 byscore", ":3");
    assert_string_equal(k.native.events, "new z\nzrangestore z\n");
    SAYS(&k, "zrange z 0 -1", "*3 $1 b $1 c $1 d");
    SAYS(&k, "zrangestore z none 0 -1", ":0");
    assert_string_equal(k.native.events, "del z\n");
    SAYS(&k, "zremrangebylex l [b [ba", ":2");
    SAYS(&k, "zremrangebyrank l 0 -1", ":2");
    assert_string_equal(k.native.events, "zremrangebyrank l\ndel l\n");
    keys_close(&k);
}

static void taking_out(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "zadd z 1 a 2 b 3 c 4 d 5 e", ":5");
    SAYS(&k, "zpopmin z", "*2 $1 a $1 1");
    SAYS(&k, "zpopmax z 2", "*4 $1 e $1 5 $1 d $1 4");
    SAYS(&k, "zpopmin z 0", "*0");
    SAYS(&k, "zpopmin z -1", "-ERR value is out of range, must be positive");
    SAYS(&k, "zrem z b x", ":1");
    SAYS(&k, "zmpop 2 none z min count 5", "*2 $1 z *1 *2 $1 c $1 3");
    assert_string_equal(k.native.events, "zpopmin z\ndel z\n");
    SAYS(&k, "zmpop 2 none z min", "*-1");
    SAYS(&k, "zmpop 0 z min", "-ERR numkeys should be greater than 0");
    SAYS(&k, "zmpop 1 z min count 0 x", "-ERR count should be greater than 0");
    SAYS(&k, "zmpop 9223372036854775807 z min", "-ERR syntax error");
    k.resp3 = true;
    SAYS(&k, "zadd z 1 a 2 b", ":2");
    SAYS(&k, "zpopmin z", "*2 $1 a ,1");
    SAYS(&k, "zpopmin z 1", "*1 *2 $1 b ,2");
    keys_close(&k);
}

static void several_sets(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "zadd a 1 x 2 y 3 z", ":3");
    SAYS(&k, "zadd b 10 y 20 z 30 w", ":3");
    SAYS(&k, "sadd s y w", ":2");
    SAYS(&k, "zunion 2 a b withscores", "*8 $1 x $1 1 $1 y $2 12 $1 z $2 23 $1 w $2 30");
    SAYS(&k, "zinter 2 a b weights 2 1 aggregate max withscores", "*4 $1 y $2 10 $1 z $2 20");
    SAYS(&k, "zinter 3 a b s withscores", "*2 $1 y $2 13");
    SAYS(&k, "zdiff 2 a s withscores", "*4 $1 x $1 1 $1 z $1 3");
    SAYS(&k, "zintercard 2 a b limit 1", ":1");
    SAYS(&k, "zunion 1 a weights -1 withscores", "*6 $1 z $2 -3 $1 y $2 -2 $1 x $2 -1");
    SAYS(&k, "zunionstore a 2 a none", ":3");
    SAYS(&k, "zinterstore d 2 a none", ":0");
    SAYS(&k, "zdiffstore a 2 a a", ":0");
    assert_string_equal(k.native.events, "del a\n");
    SAYS(&k, "zadd i inf x", ":1");
    SAYS(&k, "zadd j -inf x", ":1");
    SAYS(&k, "zunion 2 i j withscores", "*2 $1 x $1 0");
    SAYS(&k, "zunion 1 i weights 0 withscores", "*2 $1 x $1 0");
    SAYS(&k, "zunion 0 a", "-ERR at least 1 input key is needed for 'zunion' command");
    SAYS(&k, "zunion 2 a", "-ERR syntax error");
    SAYS(&k, "zdiff 1 a weights 1", "-ERR syntax error");
    SAYS(&k, "zunion 1 a weights x", "-ERR weight value is not a float");
    SAYS(&k, "zintercard 1 a limit -1", "-ERR LIMIT can't be negative");
    const struct keys_row *row = keys_row_find(bytes_of_text("zunionstore"), bytes_of(NULL, 0));
    struct bytes argv[] = {bytes_of_text("zunionstore"), bytes_of_text("d"), bytes_of_text("2"),
                           bytes_of_text("a"),           bytes_of_text("b"), bytes_of_text("weights")};
    uint32_t at[4];
    assert_int_equal(keys_positions(row, argv, 6, at, 4), 3);
    assert_true(at[0] == 1 && at[1] == 3 && at[2] == 4);
    keys_close(&k);
}

static void forms(void **state) {
    struct keys_kit k;
    char line[128];
    keys_open(&k);
    for (int i = 0; i < 128; i++) {
        snprintf(line, sizeof line, "zadd z %d m%03d", i % 7, i);
        keys_do(&k, line);
    }
    SAYS(&k, "object encoding z", "$8 listpack");
    SAYS(&k, "zadd z 1 m000", ":0");
    SAYS(&k, "object encoding z", "$8 listpack");
    SAYS(&k, "zadd z 1 one-more", ":1");
    SAYS(&k, "object encoding z", "$8 skiplist");
    SAYS(&k, "zremrangebyrank z 1 -1", ":128");
    SAYS(&k, "object encoding z", "$8 skiplist");
    SAYS(&k, "zadd l 1 1234567890123456789012345678901234567890123456789012345678901234", ":1");
    SAYS(&k, "object encoding l", "$8 listpack");
    SAYS(&k, "zadd l 1 12345678901234567890123456789012345678901234567890123456789012345", ":1");
    SAYS(&k, "object encoding l", "$8 skiplist");
    SAYS(&k, "zunionstore u 2 z z", ":1");
    SAYS(&k, "object encoding u", "$8 listpack");
    SAYS(&k, "zadd small -0 a", ":1");
    SAYS(&k, "zscore small a", "$1 0");
    SAYS(&k, "zadd z -0 a", ":1");
    SAYS(&k, "zscore z a", "$2 -0");
    SAYS(&k, "zadd small -1152526422442713856 b", ":1");
    SAYS(&k, "zscan small 0 match b", "*2 $1 0 *2 $1 b $20 -1152526422442713856");
    SAYS(&k, "zscore small b", "$23 -1.1525264224427139e+18");
    keys_close(&k);
}

// Every element that stays is told, whatever is taken out between the steps.
static void scan_hides_nothing_that_stays(void **state) {
    struct keys_kit k;
    char line[128] = "zscan z 0 count 3";
    unsigned seen[400] = {0};
    keys_open(&k);
    for (int i = 0; i < 400; i++) {
        char add[64];
        snprintf(add, sizeof add, "zadd z %d key:%d", i * 7 % 400, i);
        keys_do(&k, add);
    }
    for (unsigned step = 0;; step++) {
        const char *reply = keys_do(&k, line);
        unsigned long cursor = strtoul(strchr(reply + 4, ' ') + 1, NULL, 10);
        for (const char *at = strstr(reply, "key:"); at != NULL; at = strstr(at + 1, "key:"))
            seen[strtoul(at + 4, NULL, 10)]++;
        if (cursor == 0) break;
        snprintf(line, sizeof line, "zrem z key:%u key:%u", (2 * step + 1) % 400, (2 * step + 201) % 400);
        keys_do(&k, line);
        snprintf(line, sizeof line, "zscan z %lu count 3", cursor);
    }
    for (unsigned i = 0; i < 400; i += 2) assert_true(seen[i] >= 1);
    keys_close(&k);
}

static void picks(void **state) {
    struct keys_kit k;
    char line[64];
    unsigned seen[200] = {0};
    keys_open(&k);
    SAYS(&k, "zrandmember none", "$-1");
    SAYS(&k, "zrandmember none 3", "*0");
    for (int i = 0; i < 200; i++) {
        snprintf(line, sizeof line, "zadd z %d %d", i, i);
        keys_do(&k, line);
    }
    for (int round = 0; round < 400; round++) {
        bool now[200] = {false};
        const char *reply = keys_do(&k, "zrandmember z 20");
        assert_memory_equal(reply, "*20 ", 4);
        for (const char *at = reply + 4; at != NULL && *at != 0;) {
            at = strchr(at, ' ') + 1;
            unsigned long i = strtoul(at, NULL, 10);
            assert_false(now[i]); // none twice
            now[i] = true;
            seen[i]++;
            at = strchr(at, ' ');
            if (at != NULL) at++;
        }
    }
    for (int i = 0; i < 200; i++) assert_true(seen[i] > 10 && seen[i] < 90); // 40 each, on the average
    assert_memory_equal(keys_do(&k, "zrandmember z 1000 withscores"), "*400 ", 5);
    assert_memory_equal(keys_do(&k, "zrandmember z -300"), "*300 ", 5);
    SAYS(&k, "zrandmember z -9223372036854775807", "-ERR value is out of range");
    SAYS(&k, "zrandmember z 1 foo", "-ERR syntax error");
    keys_close(&k);
}

// ---- at random, against a list in order

#define NAIVE_MAX 600
struct naive {
    struct {
        int score, member;
    } items[NAIVE_MAX];
    size_t count;
};

static void naive_put(struct naive *n, int score, int member) {
    size_t at = 0;
    while (at < n->count && n->items[at].member != member) at++;
    if (at < n->count) memmove(&n->items[at], &n->items[at + 1], (--n->count - at) * sizeof n->items[0]);
    for (at = 0; at < n->count; at++)
        if (n->items[at].score > score || (n->items[at].score == score && n->items[at].member > member)) break;
    memmove(&n->items[at + 1], &n->items[at], (n->count++ - at) * sizeof n->items[0]);
    n->items[at].score = score;
    n->items[at].member = member;
}

static void naive_take(struct naive *n, size_t from, size_t to) {
    memmove(&n->items[from], &n->items[to], (n->count - to) * sizeof n->items[0]);
    n->count -= to - from;
}

static void naive_says(const struct naive *n, char *out, size_t from, size_t to) {
    size_t len = (size_t)sprintf(out, "*%zu", 2 * (to - from));
    for (size_t i = from; i < to; i++) {
        char score[16];
        int digits = sprintf(score, "%d", n->items[i].score);
        len += (size_t)sprintf(out + len, " $4 m%03d $%d %s", n->items[i].member, digits, score);
    }
}

static void naive_step(struct keys_kit *k, struct naive *n, struct prng *random) {
    static char right[1 << 16];
    char line[64];
    int score = (int)prng_below(random, 60), member = (int)prng_below(random, NAIVE_MAX / 2),
        form = (int)prng_below(random, 100);
    size_t from = 0, to = 0, rank = n->count == 0 ? 0 : (size_t)prng_below(random, n->count);
    if (form < 55) {
        snprintf(line, sizeof line, "zadd z %d m%03d", score, member);
        keys_do(k, line);
        naive_put(n, score, member);
    } else if (form < 85 && n->count > 0) {
        snprintf(line, sizeof line, "zrem z m%03d", n->items[rank].member);
        SAYS(k, line, ":1");
        naive_take(n, rank, rank + 1);
    } else if (form < 97) {
        while (from < n->count && n->items[from].score < score) from++;
        for (to = from; to < n->count && n->items[to].score <= score + 5;) to++;
        snprintf(line, sizeof line, "zrange z %d (%d byscore withscores", score, score + 6);
        naive_says(n, right, from, to);
        SAYS(k, line, right);
        snprintf(line, sizeof line, "zcount z %d %d.5", score, score + 5);
        snprintf(right, sizeof right, ":%zu", to - from);
        SAYS(k, line, right);
    } else if (n->count > 0) {
        to = rank + 5 < n->count ? rank + 5 : n->count;
        snprintf(line, sizeof line, "zremrangebyrank z %zu %zu", rank, rank + 4);
        snprintf(right, sizeof right, ":%zu", to - rank);
        SAYS(k, line, right);
        naive_take(n, rank, to);
    }
    if (n->count == 0) return;
    rank = (size_t)prng_below(random, n->count);
    snprintf(line, sizeof line, "zrank z m%03d", n->items[rank].member);
    snprintf(right, sizeof right, ":%zu", rank);
    SAYS(k, line, right);
    snprintf(line, sizeof line, "zrange z %zu %zu withscores", rank, rank + 3);
    naive_says(n, right, rank, rank + 4 < n->count ? rank + 4 : n->count);
    SAYS(k, line, right);
}

static void as_a_naive_list(void **state) {
    static struct keys_kit k;
    static char right[1 << 16];
    struct prng random;
    prng_seed(&random, 5);
    for (int round = 0; round < 6; round++) {
        struct naive n = {.count = 0};
        keys_open(&k);
        for (int i = 0; i < 2500; i++) {
            naive_step(&k, &n, &random);
            if (i % 500 == 0) native_check(&k.native);
        }
        naive_says(&n, right, 0, n.count);
        SAYS(&k, "zrange z 0 -1 withscores", right);
        keys_close(&k);
    }
}

// ---- at random: the state against a copy of it

static void random_line(struct prng *random, char line[128]) {
    unsigned key = (unsigned)prng_below(random, 5), other = (unsigned)prng_below(random, 5);
    unsigned member = (unsigned)prng_below(random, 200), score = (unsigned)prng_below(random, 50);
    switch (prng_below(random, 16)) {
    case 0:
        snprintf(line, 128, "zrem z%u m%u m%u", key, member, score);
        return;
    case 1:
        snprintf(line, 128, "zpopmin z%u %u", key, score / 10);
        return;
    case 2:
        snprintf(line, 128, "zunionstore z%u 2 z%u z%u weights 0.1 -3", other, key, (key + 1) % 5);
        return;
    case 3:
        snprintf(line, 128, "zrandmember z%u -5 withscores", key);
        return;
    case 4:
        snprintf(line, 128, "zscan z%u %u count 7", key, member);
        return;
    case 5:
        snprintf(line, 128, "zremrangebyscore z%u %u %u", key, score, score + 1);
        return;
    case 6:
        snprintf(line, 128, score < 10 ? "del z%u" : score < 20 ? "copy z%u z9 replace" : "rename z%u z8", key);
        return;
    case 7:
        snprintf(line, 128, "zrangestore z%u z%u 10 40 byscore", key, other);
        return;
    case 8:
        snprintf(line, 128, "zrandmember z%u %u", key, score);
        return;
    case 9:
        snprintf(line, 128, "zincrby z%u -0.%u m%u", key, score, member);
        return;
    default:
        snprintf(line, 128, "zadd z%u %u m%u -%u.25 n%u", key, score, member, score, member / 2);
    }
}

static void copies_go_on_alike(void **state) {
    static struct keys_kit a, b;
    struct prng random;
    char line[128];
    prng_seed(&random, 7);
    for (unsigned round = 0; round < 12; round++) {
        keys_open(&a);
        for (unsigned i = 0; i < 600; i++) {
            random_line(&random, line);
            keys_do(&a, line);
        }
        native_check(&a.native);
        memset(&b, 0, sizeof b);
        native_copy(&a.native, &b.native, round % 2 ? 512 : SAVE_RECORD_BYTES_MAX);
        b.native.apply = a.native.apply;
        b.native.apply.emit_context = &b.native;
        a.native.events[0] = 0;
        for (unsigned i = 0; i < 300; i++) {
            random_line(&random, line);
            a.resp3 = b.resp3 = prng_below(&random, 2) != 0;
            keys_do(&a, line);
            assert_string_equal(keys_do(&b, line), a.reply);
            assert_string_equal(a.native.events, b.native.events);
            assert_true(digest_equal(keys_model.digest(a.native.state), keys_model.digest(b.native.state)));
        }
        assert_true(keys_model.memory(a.native.state) == keys_model.memory(b.native.state));
        keys_close(&a);
        keys_close(&b);
    }
}

static void damaged_bytes_are_refused_or_whole(void **state) {
    static struct keys_kit k;
    char line[128];
    keys_open(&k);
    keys_do(&k, "zadd small 1 a 2 b 2 c inf d");
    for (unsigned i = 0; i < 140; i++) {
        snprintf(line, sizeof line, "zadd big %u m%u", i * 37 % 101, i);
        keys_do(&k, line);
    }
    native_damage(&k.native, 13);
    keys_close(&k);
}

// A large one goes from the accounts at once, and from memory bit by bit.
static void large_ones_are_freed_later(void **state) {
    static struct keys_kit k;
    char line[128];
    keys_open(&k);
    keys_do(&k, "zadd other 1 a");
    keys_do(&k, "del other");
    uint64_t empty = keys_model.memory(k.native.state);
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(line, sizeof line, "zadd big %u m%u", i, i);
        keys_do(&k, line);
    }
    assert_true(keys_model.memory(k.native.state) > empty + 100000);
    SAYS(&k, "del big", ":1");
    assert_true(keys_model.memory(k.native.state) == empty);
    native_check(&k.native);
    for (unsigned i = 0; i < 10; i++) keys_do(&k, "zcard big");
    SAYS(&k, "zadd big 1 a", ":1");
    SAYS(&k, "zcard big", ":1");
    keys_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adding),
        cmocka_unit_test(ranges),
        cmocka_unit_test(taking_out),
        cmocka_unit_test(several_sets),
        cmocka_unit_test(forms),
        cmocka_unit_test(scan_hides_nothing_that_stays),
        cmocka_unit_test(picks),
        cmocka_unit_test(as_a_naive_list),
        cmocka_unit_test(copies_go_on_alike),
        cmocka_unit_test(damaged_bytes_are_refused_or_whole),
        cmocka_unit_test(large_ones_are_freed_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
