// sim/check/linear: histories that have an order and histories that have none; what a violation shows; the bounds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sim/check/linear.h"
#include "support/histories.h"

#define GOOD(name, text)                                                                                               \
    { name, "linear", CHECK_OK, text }
#define BAD(name, text)                                                                                                \
    { name, "linear", CHECK_VIOLATION, text }
#define RUN(cases) histories_run(cases, sizeof(cases) / sizeof *(cases))

static void registers(void **state) {
    static const struct history_case cases[] = {
        GOOD("one after the other", "1 0-1 write x a\n2 2-3 read x a\n1 4-5 write x b\n2 6-7 read x b"),
        GOOD("a read beside a write sees either", "1 0-9 write x a\n2 1-2 read x -\n2 3-4 read x a"),
        GOOD("a read that returns when the write is called is beside it", "1 5-9 write x a\n2 1-5 read x a"),
        GOOD("a slow write takes effect behind a quick one",
             "1 0-20 write x a\n2 1-2 write x b\n3 3-4 read x b\n3 21-22 read x a"),
        GOOD("a failed write is not seen", "1 0-1 write x a\n1 2-3 write x b !\n2 4-5 read x a"),
        BAD("stale read after write (a replica that answers alone)",
            "1 0-1 write x a\n1 2-3 write x b\n2 4-5 read x a"),
        BAD("stale read: nothing there, though it was written", "1 0-1 write x a\n2 2-3 read x -"),
        BAD("a value out of nowhere", "1 0-1 write x a\n2 2-3 read x z"),
        BAD("a read before its write", "2 0-1 read x a\n1 2-3 write x a"),
        BAD("what a failed write would have written", "1 0-1 write x a\n1 2-3 write x b !\n2 4-5 read x b"),
        BAD("reads go back beside a write", "1 0-1 write x a\n1 2-9 write x b\n2 3-4 read x b\n3 5-6 read x a"),
        BAD("two readers see two writes in different orders",
            "1 0-9 write x a\n2 0-9 write x b\n3 10-11 read x a\n4 12-13 read x b"),
        // Herlihy and Wing 1990, the register of figure 2: the second read's value was overwritten before it was
        // called.
        BAD("Herlihy-Wing figure 2: an overwritten value comes back",
            "1 0-1 write x 0\n2 2-3 write x 1\n1 4-5 read x 1\n3 6-7 read x 0"),
        GOOD("Herlihy-Wing figure 2: the write was still under way",
             "1 0-1 write x 0\n2 2-9 write x 1\n3 3-4 read x 0\n1 5-6 read x 1"),
        // The shape of Jepsen's report on etcd (2014) and of reads without a quorum in general.
        BAD("etcd: a deposed leader answers a read",
            "1 0-1 write x 1\n1 2-3 cas x 2 e=1\n2 4-5 read x 1\n2 6-7 read x 2"),
        // ZooKeeper's plain reads may be behind; only a read that claims more is wrong.
        GOOD("ZooKeeper: a plain read may be stale", "1 0-1 write x a\n1 2-3 write x b\n2 4-5 read x a local"),
        BAD("ZooKeeper: a read behind sync may not", "1 0-1 write x a\n1 2-3 write x b\n2 4-5 read x a"),
    };
    RUN(cases);
}

static void unknown_outcomes(void **state) {
    static const struct history_case cases[] = {
        GOOD("seen later", "1 0-1 write x a\n2 2-3 write x b ?\n3 4-5 read x a\n3 8-9 read x b"),
        GOOD("seen much later, behind another write",
             "1 0-1 write x a\n2 2- write x b\n1 4-5 write x c\n3 6-7 read x c\n3 8-9 read x b"),
        GOOD("never seen", "1 0-1 write x a\n2 2- write x b\n3 4-5 read x a\n3 6-7 read x a"),
        GOOD("an unknown read says nothing", "1 0-1 write x a\n2 2- read x\n3 4-5 read x a"),
        BAD("seen, then unseen", "1 0-1 write x a\n2 2- write x b\n3 4-5 read x b\n3 6-7 read x a"),
        BAD("seen before it was called", "3 0-1 read x b\n2 2- write x b"),
        BAD("takes effect twice", "1 0-1 write x a\n2 2- write x b\n3 4-5 read x b\n1 6-7 write x c\n3 8-9 read x b"),
        GOOD("an unknown swap explains a read", "1 0-1 write x a\n2 2- cas x b e=a\n3 4-5 read x b"),
        BAD("an unknown swap whose condition never held", "1 0-1 write x a\n2 2- cas x b e=q\n3 4-5 read x b"),
        GOOD("an unknown delete explains that nothing is there", "1 0-1 create x a\n2 2- delete x\n3 4-5 read x -"),
        BAD("one unknown delete cannot do it twice",
            "1 0-1 create x a\n2 2- delete x\n1 4-5 create x b\n1 6-7 create x c"),
        GOOD("an unknown write fills the gap of versions", "1 0-1 create x a v=0\n2 2- write x b\n1 4-5 write x c v=2"),
        BAD("nothing fills the gap of versions", "1 0-1 create x a v=0\n1 4-5 write x c v=2"),
        BAD("one unknown write cannot fill a gap of two", "1 0-1 create x a v=0\n2 2- write x b\n1 4-5 write x c v=3"),
    };
    RUN(cases);
}

static void swaps_and_versions(void **state) {
    static const struct history_case cases[] = {
        GOOD("of two concurrent swaps one succeeds",
             "1 0-1 write x a\n1 2-5 cas x b e=a\n2 2-5 cas x c e=a err=bad_version\n3 6-7 read x b"),
        BAD("both of two concurrent swaps succeed", "1 0-1 write x a\n1 2-5 cas x b e=a\n2 2-5 cas x c e=a"),
        BAD("lost update: two that read 0 both make it 1",
            "1 0-1 write x 0\n1 2-3 read x 0\n2 2-3 read x 0\n1 4-5 cas x 1a e=0\n2 4-5 cas x 1b e=0"),
        BAD("lost update: an increment vanished",
            "1 0-1 write x 0\n1 2-3 cas x 1 e=0\n2 4-5 cas x 2 e=1\n3 6-7 read x 1"),
        BAD("a swap fails though what it wants is there", "1 0-1 write x a\n2 2-3 cas x b e=a err=bad_version"),
        GOOD("ABA by value goes through",
             "1 0-1 write x a\n2 2-3 cas x b e=a\n2 4-5 cas x a e=b\n1 6-7 cas x c e=a\n3 8-9 read x c"),
        GOOD("ABA by version is refused", "1 0-1 create x a v=0\n2 2-3 write x b v=1\n2 4-5 write x a v=2\n"
                                          "1 6-7 cas x c e=#0 err=bad_version\n3 8-9 read x a v=2"),
        BAD("ABA by version goes through",
            "1 0-1 create x a v=0\n2 2-3 write x b v=1\n2 4-5 write x a v=2\n1 6-7 cas x c e=#0"),
        BAD("two writes make the same version", "1 0-1 create x a v=0\n1 2-5 write x b v=1\n2 2-5 write x c v=1"),
        BAD("a read joins one write's value with another's version",
            "1 0-1 create x a v=0\n1 2-3 write x b v=1\n2 4-5 read x a v=1"),
        GOOD("versions begin again", "1 0-1 create x a v=0\n1 2-3 write x b v=1\n1 4-5 delete x e=#1\n"
                                     "1 6-7 create x c v=0\n2 8-9 read x c v=0"),
        BAD("a delete of a version that is gone", "1 0-1 create x a v=0\n1 2-3 write x b v=1\n1 4-5 delete x e=#0"),
    };
    RUN(cases);
}

static void existence(void **state) {
    static const struct history_case cases[] = {
        GOOD("made, removed, made", "1 0-1 create x a\n2 2-3 delete x\n2 4-5 create x b\n1 6-7 read x b"),
        BAD("made twice", "1 0-1 create x a\n2 2-3 create x b"),
        BAD("removed twice", "1 0-1 create x a\n1 2-5 delete x\n2 2-5 delete x"),
        GOOD("who comes second is told so", "1 0-3 create x a\n2 0-3 create x b err=node_exists\n3 4-5 read x a"),
        BAD("told that it exists, though nobody made it", "1 0-1 create x a err=node_exists"),
        BAD("told that it does not exist", "1 0-1 create x a\n2 2-3 delete x err=no_node"),
        BAD("comes back after its removal", "1 0-1 create x a\n1 2-3 delete x\n2 4-5 read x a"),
        GOOD("a set's element", "1 0-1 add s e\n2 2-3 contains s e in\n1 4-5 remove s e\n2 6-7 contains s e out"),
        GOOD("elements are apart", "1 0-1 add s e\n2 2-3 contains s f out\n3 0-9 add s f\n2 4-5 contains s f in"),
        BAD("an acknowledged element is not there", "1 0-1 add s e\n2 2-3 contains s e out"),
        GOOD("an unknown element comes late", "1 0- add s e\n2 2-3 contains s e out\n2 4-5 contains s e in"),
        BAD("an unknown element comes and goes", "1 0- add s e\n2 2-3 contains s e in\n2 4-5 contains s e out"),
        BAD("a removed element comes back", "1 0-1 add s e\n1 2-3 remove s e\n2 4-5 contains s e in"),
    };
    RUN(cases);
}

static void queues(void **state) {
    static const struct history_case cases[] = {
        // Herlihy and Wing 1990, the four queue histories of figure 1.
        GOOD("Herlihy-Wing figure 1a: enqueues overlap, either is first",
             "1 0-5 enqueue q x\n2 2-7 enqueue q y\n2 8-9 dequeue q x\n1 10-11 dequeue q y\n1 12-13 enqueue q z"),
        BAD("Herlihy-Wing figure 1b: the second overtakes the first",
            "1 0-1 enqueue q x\n2 2-3 enqueue q y\n2 4-5 dequeue q y"),
        GOOD("Herlihy-Wing figure 1c: taken while it is being put", "1 0-5 enqueue q x\n2 2-7 dequeue q x"),
        BAD("Herlihy-Wing figure 1d: taken twice",
            "1 0-5 enqueue q x\n2 2-7 enqueue q y\n1 8-9 dequeue q y\n2 10-11 dequeue q y"),
        BAD("empty though something was put", "1 0-1 enqueue q x\n2 2-3 dequeue q -"),
        GOOD("empty again", "1 0-1 enqueue q x\n2 2-3 dequeue q x\n2 4-5 dequeue q -"),
        GOOD("a dequeue whose answer was lost took it", "1 0-1 enqueue q x\n2 2- dequeue q\n3 4-5 dequeue q -"),
        BAD("an element out of nowhere", "1 0-1 dequeue q x"),
    };
    RUN(cases);
}

static void several_keys_at_once(void **state) {
    static const struct history_case cases[] = {
        GOOD("both or none",
             "1 0-9 write x a m=1\n1 0-9 write y a m=1\n2 1-2 read y -\n2 3-4 read x a\n2 5-6 read y a"),
        BAD("one of two parts is seen", "1 0-9 write x a m=1\n1 0-9 write y a m=1\n2 1-2 read x a\n2 3-4 read y -"),
        GOOD("an unknown one may come late",
             "1 0- write x a m=1\n1 0- write y a m=1\n2 1-2 read y -\n2 3-4 read x a\n2 5-6 read y a"),
        BAD("an unknown one comes in part", "1 0- write x a m=1\n1 0- write y a m=1\n2 3-4 read x a\n2 5-6 read y -"),
        BAD("write skew: two that read both keys, each writes one",
            "1 0-9 read x - m=1\n1 0-9 read y - m=1\n1 0-9 write x a m=1\n"
            "2 0-9 read x - m=1\n2 0-9 read y - m=1\n2 0-9 write y b m=1"),
        GOOD("a failed one has no effect and says nothing of its parts",
             "1 0-1 write x a\n2 2-3 create y b m=1 !\n2 2-3 create x c m=1 err=no_node\n3 4-5 read y -"),
        {"too many keys", "linear", CHECK_UNKNOWN,
         "1 0-1 write a 1 m=1\n1 0-1 write b 1 m=1\n1 0-1 write c 1 m=1\n1 0-1 write d 1 m=1\n1 0-1 write e 1 m=1\n"
         "1 0-1 write f 1 m=1\n1 0-1 write g 1 m=1\n1 0-1 write h 1 m=1\n1 0-1 write i 1 m=1"},
        {"a queue and a register in one", "linear", CHECK_UNKNOWN, "1 0-1 enqueue q a m=1\n1 0-1 write x a m=1"},
        {"a violation elsewhere is still told", "linear", CHECK_VIOLATION,
         "1 0-1 enqueue q a m=1\n1 0-1 write x a m=1\n1 2-3 read y z"},
    };
    RUN(cases);
}

static void beginnings(void **state) {
    struct record record;
    struct check_limits limits = check_limits_default();
    record_init(&record);
    histories_parse(&record, "1 0-1 read x a\n1 2-3 cas x b e=a\n1 4-5 read x b");
    assert_int_equal(check_all(&record, NULL, limits), CHECK_VIOLATION);
    record.initial = record_intern(&record, "a");
    assert_int_equal(check_all(&record, NULL, limits), CHECK_OK);
    record.initial = RECORD_ANY;
    assert_int_equal(check_all(&record, NULL, limits), CHECK_OK);
    histories_parse(&record, "2 6-7 read x a");
    assert_int_equal(check_all(&record, NULL, limits), CHECK_VIOLATION);
    record_free(&record);
}

// ---- what is shown

static struct check_finding *only_finding(const struct record *record, struct check_result *result) {
    struct check_limits limits = check_limits_default();
    *result = (struct check_result){.verdict = CHECK_OK};
    linear_check(record, &limits, result);
    assert_int_equal(result->verdict, CHECK_VIOLATION);
    assert_int_equal(result->count, 1);
    return &result->findings[0];
}

static void a_violation_is_cut_down_to_what_shows_it(void **state) {
    struct record record;
    struct check_result result;
    record_init(&record);
    char line[128], value[16];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(line, sizeof line, "1 %u-%u write x w%u\n2 %u-%u read x w%u", i * 10, i * 10 + 1, i, i * 10 + 2,
                 i * 10 + 3, i == 200 ? 199 : i);
        histories_parse(&record, line);
    }
    struct check_finding *finding = only_finding(&record, &result);
    // The write of w200, and the read behind it that shows w199, and at most what tells that w199 is older.
    assert_in_range(finding->count, 2, 3);
    bool culprit = false;
    for (size_t i = 0; i < finding->count; i++) {
        const struct record_operation *o = &record.operations[finding->operations[i]];
        snprintf(value, sizeof value, "%s", record_string(&record, o->value));
        culprit = culprit || (o->op == RECORD_READ && strcmp(value, "w199") == 0 && o->call_us == 2002);
    }
    assert_true(culprit);
    check_result_free(&result);
    record_free(&record);
}

// A swap whose condition comes true only later is no violation in a beginning of the history that ends before.
static void what_is_under_way_at_the_end_is_not_blamed(void **state) {
    struct record record;
    struct check_result result;
    record_init(&record);
    histories_parse(&record, "1 0-1 write x a\n2 2-50 cas x c e=b\n1 3-4 write x d\n1 5-6 read x d\n1 7-8 read x d\n"
                             "1 9-10 read x d\n1 11-12 read x d\n1 13-14 read x d\n1 20-21 write x b\n"
                             "1 60-61 read x c\n1 70-71 read x a");
    struct check_finding *finding = only_finding(&record, &result);
    assert_int_equal(finding->operations[finding->count - 1], record.count - 1);
    check_result_free(&result);
    record_free(&record);
}

// What is shown must be a violation by itself.
static void what_is_shown_is_refused_too(void **state) {
    static const char *const texts[] = {
        "1 0-1 enqueue q a\n1 2-3 enqueue q b\n1 4-5 dequeue q a\n1 6-7 enqueue q c\n2 8-9 dequeue q c\n2 10-11 "
        "dequeue q b",
        "1 0-1 create x a v=0\n1 2-3 write x b v=1\n1 4-5 write x c v=2\n2 6-7 read x b v=1\n2 8-9 read x c v=2",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct record record, shown;
        struct check_result result;
        record_init(&record);
        record_init(&shown);
        histories_parse(&record, texts[i]);
        histories_parse(&shown, texts[i]); // for the same strings
        record_clear(&shown);
        struct check_finding *finding = only_finding(&record, &result);
        assert_true(finding->count < record.count);
        for (size_t j = 0; j < finding->count; j++) record_append(&shown, &record.operations[finding->operations[j]]);
        if (strstr(finding->reason, "anything") != NULL) shown.initial = RECORD_ANY;
        assert_int_equal(check_all(&shown, NULL, check_limits_default()), CHECK_VIOLATION);
        check_result_free(&result);
        record_free(&record);
        record_free(&shown);
    }
}

// ---- bounds

// Many enqueues at once, and one behind them all that comes out first: all orders must be tried.
static void hard(struct record *record, unsigned enqueues) {
    char line[64];
    for (unsigned i = 0; i < enqueues; i++) {
        snprintf(line, sizeof line, "%u 2-100 enqueue q v%u", i + 1, i + 1);
        histories_parse(record, line);
    }
    histories_parse(record, "98 101-102 enqueue q last\n98 103-104 dequeue q last");
}

static void what_is_out_of_bounds_is_unknown(void **state) {
    struct record record;
    struct check_limits limits = check_limits_default(), few = limits, little = limits;
    struct check_result result = {.verdict = CHECK_OK};
    record_init(&record);
    hard(&record, 7);
    few.steps = 1000;
    linear_check(&record, &few, &result);
    assert_int_equal(result.verdict, CHECK_UNKNOWN);
    assert_non_null(strstr(result.findings[0].reason, "steps"));
    check_result_free(&result);
    little.memory = 20000;
    linear_check(&record, &little, &result);
    assert_int_equal(result.verdict, CHECK_UNKNOWN);
    assert_non_null(strstr(result.findings[0].reason, "memory"));
    check_result_free(&result);
    linear_check(&record, &limits, &result);
    assert_int_equal(result.verdict, CHECK_VIOLATION);
    check_result_free(&result);
    record_free(&record);
}

// Fifty writes that nobody knows the outcome of, hanging from the beginning on, must not make it slow.
static void many_unknown_outcomes_are_bearable(void **state) {
    struct record record;
    struct check_limits limits = check_limits_default();
    char line[128];
    limits.steps = 200000;
    record_init(&record);
    histories_parse(&record, "1 0-1 create x a v=0");
    for (unsigned i = 0; i < 50; i++) {
        snprintf(line, sizeof line, "%u 2- write x lost%u\n%u 2- write y lost%u", i + 10, i, i + 100, i);
        histories_parse(&record, line);
    }
    for (unsigned i = 0; i < 50; i++) { // every third write finds that one of the lost ones came before it
        snprintf(line, sizeof line, "1 %u-%u write x w%u v=%u\n1 %u-%u write y w%u", 10 * i + 10, 10 * i + 11, i,
                 1 + i + i / 3, 10 * i + 12, 10 * i + 13, i);
        histories_parse(&record, line);
    }
    assert_int_equal(check_all(&record, NULL, limits), CHECK_OK);
    histories_parse(&record, "1 1000-1001 read x w3 v=20\n1 1002-1003 read y w3");
    assert_int_equal(check_all(&record, NULL, limits), CHECK_VIOLATION);
    record_free(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers),
        cmocka_unit_test(unknown_outcomes),
        cmocka_unit_test(swaps_and_versions),
        cmocka_unit_test(existence),
        cmocka_unit_test(queues),
        cmocka_unit_test(several_keys_at_once),
        cmocka_unit_test(beginnings),
        cmocka_unit_test(a_violation_is_cut_down_to_what_shows_it),
        cmocka_unit_test(what_is_under_way_at_the_end_is_not_blamed),
        cmocka_unit_test(what_is_shown_is_refused_too),
        cmocka_unit_test(what_is_out_of_bounds_is_unknown),
        cmocka_unit_test(many_unknown_outcomes_are_bearable),
    };
    return cmocka_run_group_tests_name("check_linear", tests, NULL, NULL);
}
