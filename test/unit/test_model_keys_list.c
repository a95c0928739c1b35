// Lists: named cases, random commands held against an array, and the state against a copy.
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

static void both_ends(void **state) {
    static struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "lpushx l a", ":0");
    SAYS(&k, "rpush l a b c", ":3");
    assert_string_equal(k.native.events, "new l\nrpush l\n");
    SAYS(&k, "lpush l 1 2", ":5");
    SAYS(&k, "lrange l 0 -1", "*5 $1 2 $1 1 $1 a $1 b $1 c");
    SAYS(&k, "lpop l", "$1 2");
    SAYS(&k, "rpop l 2", "*2 $1 c $1 b");
    SAYS(&k, "rpop l 0", "*0");
    SAYS(&k, "llen l", ":2");
    SAYS(&k, "lpop l -1", "-ERR value is out of range, must be positive");
    SAYS(&k, "lpop l 1 2", "-ERR wrong number of arguments for 'lpop' command");
    SAYS(&k, "lpop l 10", "*2 $1 1 $1 a");
    assert_string_equal(k.native.events, "lpop l\ndel l\n");
    SAYS(&k, "exists l", ":0");
    SAYS(&k, "lpop l", "$-1");
    SAYS(&k, "lpop l 1", "*-1");
    SAYS(&k, "set s x", "+OK");
    SAYS(&k, "lpush s x", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    SAYS(&k, "rpush l a", ":1");
    SAYS(&k, "type l", "+list");
    SAYS(&k, "object encoding l", "$9 quicklist");
    SAYS(&k, "get l", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    SAYS(&k, "set l x", "+OK");
    SAYS(&k, "get l", "$1 x");
    keys_close(&k);
}

static void by_index(void **state) {
    static struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "lset l 0 x", "-ERR no such key");
    SAYS(&k, "linsert l before a b", ":0");
    SAYS(&k, "rpush l a b c b d", ":5");
    SAYS(&k, "lindex l -1", "$1 d");
    SAYS(&k, "lindex l 5", "$-1");
    SAYS(&k, "lindex l x", "-ERR value is not an integer or out of range");
    SAYS(&k, "lset l -5 longer", "+OK");
    SAYS(&k, "lset l 5 x", "-ERR index out of range");
    SAYS(&k, "linsert l after b x", ":6");
    SAYS(&k, "linsert l before none x", ":-1");
    SAYS(&k, "linsert l over none x", "-ERR syntax error");
    SAYS(&k, "lrange l 0 -1", "*6 $6 longer $1 b $1 x $1 c $1 b $1 d");
    SAYS(&k, "lpos l b", ":1");
    SAYS(&k, "lpos l b rank -1", ":4");
    SAYS(&k, "lpos l b count 0", "*2 :1 :4");
    SAYS(&k, "lpos l b rank 3 count 0", "*0");
    SAYS(&k, "lpos l b maxlen 1", "$-1");
    SAYS(&k, "lpos l b rank 0",
         "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start "
         "from the end of the list");
    SAYS(&k, "lpos l b count -1", "-ERR COUNT can't be negative");
    SAYS(&k, "lrem l -1 b", ":1");
    SAYS(&k, "lrange l 0 -1", "*5 $6 longer $1 b $1 x $1 c $1 d");
    SAYS(&k, "ltrim l 1 -2", "+OK");
    SAYS(&k, "lrange l -100 100", "*3 $1 b $1 x $1 c");
    SAYS(&k, "ltrim l 5 1", "+OK");
    SAYS(&k, "exists l", ":0");
    keys_close(&k);
}

static void from_list_to_list(void **state) {
    static struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "rpush a 1 2 3", ":3");
    SAYS(&k, "rpoplpush a b", "$1 3");
    SAYS(&k, "lmove a b left right", "$1 1");
    SAYS(&k, "lrange b 0 -1", "*2 $1 3 $1 1");
    SAYS(&k, "rpoplpush b b", "$1 1");
    SAYS(&k, "lrange b 0 -1", "*2 $1 1 $1 3");
    SAYS(&k, "lmove a b left up", "-ERR syntax error");
    SAYS(&k, "lmove a a left left", "$1 2");
    SAYS(&k, "lmove a b left left", "$1 2");
    SAYS(&k, "exists a", ":0");
    SAYS(&k, "lmove a b left left", "$-1");
    SAYS(&k, "lmpop 2 a b left count 2", "*2 $1 b *2 $1 2 $1 1");
    SAYS(&k, "lmpop 2 a b right", "*2 $1 b *1 $1 3");
    SAYS(&k, "lmpop 2 a b right", "*-1");
    SAYS(&k, "lmpop 0 a right", "-ERR numkeys should be greater than 0");
    SAYS(&k, "lmpop 3 a b right", "-ERR syntax error");
    SAYS(&k, "lmpop 1 a right count 0", "-ERR count should be greater than 0");
    SAYS(&k, "rpush a 1", ":1");
    SAYS(&k, "rename a c", "+OK");
    SAYS(&k, "move c 3", ":1");
    k.database = 3;
    SAYS(&k, "lrange c 0 -1", "*1 $1 1");
    keys_close(&k);
}

// ---- at random, held against an array

struct naive {
    char *entries[4000];
    size_t count;
};

static void naive_insert(struct naive *n, size_t at, const char *entry) {
    memmove(n->entries + at + 1, n->entries + at, (n->count - at) * sizeof *n->entries);
    n->entries[at] = strdup(entry);
    n->count++;
}
static void naive_remove(struct naive *n, size_t at) {
    free(n->entries[at]);
    n->count--;
    memmove(n->entries + at, n->entries + at + 1, (n->count - at) * sizeof *n->entries);
}
static long naive_find(const struct naive *n, const char *entry) {
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->entries[i], entry) == 0) return (long)i;
    return -1;
}

static void word(struct prng *random, char *out) {
    size_t len = prng_below(random, 30) == 0 ? 1000 + prng_below(random, 5000) : prng_below(random, 4) == 0 ? 150 : 0;
    snprintf(out, 12, "w%u", (unsigned)prng_below(random, 40));
    size_t have = strlen(out);
    if (len > have) memset(out + have, '.', len - have);
    out[len > have ? len : have] = 0;
}

static void one_change(struct keys_kit *k, struct naive *n, struct prng *random) {
    static char entry[8192], line[20000];
    word(random, entry);
    size_t at = n->count == 0 ? 0 : prng_below(random, n->count);
    switch (prng_below(random, 9)) {
    case 0:
        snprintf(line, sizeof line, "lpush l %s", entry);
        naive_insert(n, 0, entry);
        break;
    case 1:
    case 2:
        snprintf(line, sizeof line, "rpush l %s %s", entry, entry);
        naive_insert(n, n->count, entry);
        naive_insert(n, n->count, entry);
        break;
    case 3:
        if (n->count == 0) return;
        snprintf(line, sizeof line, "lset l %zu %s", at, entry);
        naive_remove(n, at);
        naive_insert(n, at, entry);
        break;
    case 4: {
        long found = naive_find(n, entry);
        snprintf(line, sizeof line, "linsert l after %s x", entry);
        if (found >= 0) naive_insert(n, (size_t)found + 1, "x");
        break;
    }
    case 5: {
        bool back = prng_below(random, 2) != 0;
        unsigned max = (unsigned)prng_below(random, 3) + 1;
        snprintf(line, sizeof line, "lrem l %s%u %s", back ? "-" : "", max, entry);
        for (size_t i = n->count; back && i > 0 && max > 0; i--)
            if (strcmp(n->entries[i - 1], entry) == 0) naive_remove(n, i - 1), max--;
        for (size_t i = 0; !back && i < n->count && max > 0;)
            if (strcmp(n->entries[i], entry) == 0)
                naive_remove(n, i), max--;
            else
                i++;
        break;
    }
    case 6:
        snprintf(line, sizeof line, "lpop l");
        if (n->count > 0) naive_remove(n, 0);
        break;
    case 7:
        snprintf(line, sizeof line, "lmove l l right left");
        if (n->count > 0) {
            snprintf(entry, sizeof entry, "%s", n->entries[n->count - 1]);
            naive_remove(n, n->count - 1);
            naive_insert(n, 0, entry);
        }
        break;
    default:
        if (n->count < 1000) return;
        snprintf(line, sizeof line, "ltrim l 300 -300");
        for (size_t i = 0; i < 300; i++) naive_remove(n, 0);
        for (size_t i = 0; i < 299; i++) naive_remove(n, n->count - 1);
    }
    keys_do(k, line);
}

static void look(struct keys_kit *k, const struct naive *n, struct prng *random) {
    char line[64];
    static char want[8300];
    size_t at = n->count == 0 ? 0 : prng_below(random, n->count);
    snprintf(line, sizeof line, "lindex l %s%zu", at % 2 ? "-" : "", at);
    if (n->count > 0) {
        const char *entry = n->entries[at % 2 ? n->count - at : at];
        snprintf(want, sizeof want, "$%zu %s", strlen(entry), entry);
        SAYS(k, line, want);
    }
    snprintf(want, sizeof want, ":%zu", n->count);
    SAYS(k, "llen l", want);
}

static void random_commands_do_what_an_array_does(void **state) {
    static struct keys_kit a, b;
    static struct naive n;
    struct prng random;
    prng_seed(&random, 5);
    keys_open(&a);
    for (unsigned i = 0; i < 6000; i++) {
        one_change(&a, &n, &random);
        look(&a, &n, &random);
        if (i % 500 == 0) {
            native_check(&a.native);
            memset(&b, 0, sizeof b);
            native_copy(&a.native, &b.native, i % 1000 ? 700 : SAVE_RECORD_BYTES_MAX);
            b.native.apply = a.native.apply;
            b.native.apply.emit_context = &b.native;
            keys_do(&a, "lmove l l left right");
            keys_do(&b, "lmove l l left right");
            keys_do(&a, "lmove l l right left"), keys_do(&b, "lmove l l right left");
            assert_true(digest_equal(keys_model.digest(a.native.state), keys_model.digest(b.native.state)));
            look(&b, &n, &random);
            keys_close(&b);
        }
    }
    native_check(&a.native);
    keys_do(&a, "del l");
    assert_int_equal(keys_model.memory(a.native.state), 0);
    while (n.count > 0) naive_remove(&n, 0);
    keys_close(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends),
        cmocka_unit_test(by_index),
        cmocka_unit_test(from_list_to_list),
        cmocka_unit_test(random_commands_do_what_an_array_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
