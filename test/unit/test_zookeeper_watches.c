// Watches: which events come to whom, in which order, how often; the table itself against a plain one; its size.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "test/unit/support/protocol/zookeeper_room.c"
// clang-format on
#include "base/alloc.h"
#include "base/prng.h"
#include "protocol/zookeeper/watches.h"
#include <stdio.h>
#include <string.h>

static void run(const char *text) {
    struct script script;
    script_open(&script, NULL);
    script_run(&script, text);
    script_close(&script);
}

static void test_writer_gets_its_event_before_its_reply(void **state) {
    run("a> create s/x s O i0\n"
        "a< 0 s/x\n"
        "a> getData s/x b1\n"
        "a< 0 *\n"
        "a> setData s/x s i-1\n"
        "a! 3 /x\n"
        "a< 0 *\n"
        "a> setData s/x s i-1\n" // one shot
        "a< 0 *\n");
}

static void test_create_fires_the_node_then_its_parent(void **state) {
    run("a> exists s/x b1\n"
        "a< -101\n"
        "a> getChildren s/ b1\n"
        "a< 0 *\n"
        "b> create s/x s O i0\n"
        "b< 0 s/x\n"
        "a! 1 /x\n"
        "a! 4 /\n"
        "a.\n");
}

static void test_delete_fires_once_at_one_watcher(void **state) {
    run("a> create s/x s O i0\n"
        "a< 0 s/x\n"
        "a> getData s/x b1\n"
        "a< 0 *\n"
        "a> getChildren s/x b1\n"
        "a< 0 *\n"
        "a> exists s/x b1\n"
        "a< 0 *\n"
        "a> addWatch s/x i0\n"
        "a< 0 i0\n"
        "a> addWatch s/ i1\n"
        "a< 0 i0\n"
        "a> getChildren s/ b1\n"
        "a< 0 *\n"
        "b> delete s/x i-1\n"
        "b< 0\n"
        "a! 2 /x\n"
        "a! 4 /\n"
        "a.\n");
}

static void test_watch_is_not_left_where_nothing_was_read(void **state) {
    run("a> getData s/x b1\n"
        "a< -101\n"
        "a> getChildren s/x b1\n"
        "a< -101\n"
        "a> create s/x s O i0\n"
        "a< 0 s/x\n"
        "a> setData s/x s i-1\n"
        "a< 0 *\n");
}

static void test_persistent_watch(void **state) {
    run("a> addWatch s/w i0\n"
        "a< 0 i0\n"
        "b> create s/w s O i0\n"
        "b< 0 s/w\n"
        "a! 1 /w\n"
        "b> create s/w/k s O i0\n"
        "b< 0 s/w/k\n"
        "a! 4 /w\n"
        "b> setData s/w/k s i-1\n" // not of the children
        "b< 0 *\n"
        "a.\n"
        "b> setData s/w s i-1\n"
        "b< 0 *\n"
        "a! 3 /w\n"
        "b> delete s/w/k i-1\n"
        "b< 0\n"
        "a! 4 /w\n"
        "b> delete s/w i-1\n"
        "b< 0\n"
        "a! 2 /w\n"
        "b> create s/w s O i0\n"
        "b< 0 s/w\n"
        "a! 1 /w\n");
}

static void test_recursive_watch_has_no_child_events(void **state) {
    run("a> addWatch s/r i1\n"
        "a< 0 i0\n"
        "b> create s/r s O i0\n"
        "b< 0 s/r\n"
        "a! 1 /r\n"
        "b> create s/r/a s O i0\n"
        "b< 0 s/r/a\n"
        "a! 1 /r/a\n"
        "b> create s/r/a/b s O i0\n"
        "b< 0 s/r/a/b\n"
        "a! 1 /r/a/b\n"
        "b> create s/rr s O i0\n" // not below it
        "b< 0 s/rr\n"
        "a.\n"
        "b> setData s/r/a/b s i-1\n"
        "b< 0 *\n"
        "a! 3 /r/a/b\n"
        "b> delete s/r/a/b i-1\n"
        "b< 0\n"
        "a! 2 /r/a/b\n"
        "a.\n");
}

static void test_recursive_and_one_shot_together(void **state) {
    run("a> addWatch s/ i1\n"
        "a< 0 i0\n"
        "a> create s/r s O i0\n"
        "a! 1 /r\n"
        "a< 0 s/r\n"
        "a> getData s/r b1\n"
        "a< 0 *\n"
        "a> getChildren s/r b1\n"
        "a< 0 *\n"
        "a> setData s/r s i-1\n"
        "a! 3 /r\n" // once
        "a< 0 *\n"
        "a> create s/r/x s O i0\n"
        "a! 1 /r/x\n"
        "a! 4 /r\n" // of the one-shot child watch
        "a< 0 s/r/x\n"
        "a> create s/r/y s O i0\n"
        "a! 1 /r/y\n"
        "a< 0 s/r/y\n");
}

static void test_persistent_and_one_shot_together(void **state) {
    run("a> create s/w s O i0\n"
        "a< 0 s/w\n"
        "a> getData s/w b1\n"
        "a< 0 *\n"
        "a> addWatch s/w i0\n"
        "a< 0 i0\n"
        "a> setData s/w s i-1\n"
        "a! 3 /w\n"
        "a< 0 *\n"
        "a> setData s/w s i-1\n"
        "a! 3 /w\n"
        "a< 0 *\n");
}

static void test_remove_watches_by_type(void **state) {
    run("a> create s/w s O i0\n"
        "a< 0 s/w\n"
        "a> getData s/w b1\n"
        "a< 0 *\n"
        "a> getChildren s/w b1\n"
        "a< 0 *\n"
        "a> addWatch s/w i0\n"
        "a< 0 i0\n"
        "a> addWatch s/w i1\n"
        "a< 0 i0\n"
        "a> removeWatches s/w i5\n"
        "a< 0\n"
        "a> checkWatches s/w i5\n"
        "a< -121\n"
        "a> removeWatches s/w i4\n"
        "a< 0\n"
        "a> checkWatches s/w i4\n"
        "a< -121\n"
        "a> removeWatches s/w i1\n"
        "a< 0\n"
        "a> create s/w/k s O i0\n"
        "a< 0 s/w/k\n"
        "a> checkWatches s/w i1\n"
        "a< -121\n"
        "a> checkWatches s/w i2\n"
        "a< 0\n"
        "a> setData s/w s i-1\n"
        "a! 3 /w\n"
        "a< 0 *\n"
        "a> checkWatches s/w i3\n"
        "a< -121\n"
        "a> exists s/q b1\n"
        "a< -101\n"
        "a> removeWatches s/q i3\n"
        "a< 0\n"
        "a> create s/q s O i0\n"
        "a< 0 s/q\n");
}

static void test_persistent_watch_by_the_types_of_3_8(void **state) {
    run("a> addWatch s/w i0\n"
        "a< 0 i0\n"
        "a> checkWatches s/w i1\n"
        "a< 0\n"
        "a> checkWatches s/w i2\n"
        "a< 0\n"
        "a> removeWatches s/w i2\n"
        "a< 0\n"
        "a> checkWatches s/w i3\n"
        "a< -121\n");
}

static void test_events_are_filtered_by_read_permission(void **state) {
    run("a@ -4 auth i0 sdigest sbob:pw\n"
        "a< 0\n"
        "a> addWatch s/ i1\n"
        "a< 0 i0\n"
        "b> addWatch s/ i1\n"
        "b< 0 i0\n"
        "b> exists s/x b1\n"
        "b< -101\n"
        "a> create s/x s A31,auth, i0\n"
        "a! 1 /x\n"
        "a< 0 s/x\n"
        "b.\n"
        "a> setData s/x s i-1\n"
        "a! 3 /x\n"
        "a< 0 *\n"
        "b.\n"
        "a> delete s/x i-1\n"
        "a! 2 /x\n"
        "a< 0\n"
        "b.\n");
}

static void test_multi_fires_when_it_is_applied_only(void **state) {
    run("a> addWatch s/ i1\n"
        "a< 0 i0\n"
        "a> multi h1,0,-1 s/x s O i0 h13,0,-1 s/none i-1 END\n"
        "a< 0 h-1,0,0 i0 h-1,0,-101 i-101 END\n"
        "a> multi h1,0,-1 s/x s O i0 h5,0,-1 s/x s i-1 h2,0,-1 s/x i-1 END\n"
        "a! 1 /x\n"
        "a! 3 /x\n"
        "a! 2 /x\n"
        "a< 0 *\n");
}

static void test_watches_go_with_their_connection(void **state) {
    struct script script;
    script_open(&script, NULL);
    script_run(&script, "a> getChildren s/ b1\n"
                        "a< 0 *\n"
                        "b> getChildren s/ b1\n"
                        "b< 0 *\n");
    fake_disconnect(script.clients[0]);
    script_run(&script, "b> create s/x s O i0\n"
                        "b! 4 /\n"
                        "b< 0 s/x\n");
    script_close(&script);
}

// Nobody is promised a watch that is not kept: a read that wants one more is refused, a client that comes back with
// more is told of a change instead.
static void test_watches_have_a_limit(void **state) {
    const struct zookeeper_settings each = {.watches_max = 2}, together = {.watches_node_max = 2};
    for (int i = 0; i < 2; i++) {
        struct script script;
        script_open(&script, i == 0 ? &each : &together);
        script_run(&script, "a> create s/x s O i0\n"
                            "a< 0 s/x\n"
                            "a> getData s/x b1\n"
                            "a< 0 *\n"
                            "a> exists s/y b1\n"
                            "a< -101\n"
                            "a> exists s/z b1\n"
                            "a< -1\n"
                            "a> addWatch s/z i0\n"
                            "a< -1\n"
                            "a> exists s/z b0\n" // no watch, no limit
                            "a< -101\n");
        script_run(&script, i == 0 ? "b> exists s/y b1\nb< -101\n" : "b> exists s/y b1\nb< -1\n");
        script_run(&script, "a@ -8 setWatches l100 i1 s/x i1 s/z i1 s/\n"
                            "a! 3 /z\n"
                            "a! 4 /\n"
                            "a< 0\n"
                            "b> setData s/x s i-1\n"
                            "a! 3 /x\n"
                            "b< 0 *\n"
                            "a> exists s/z b1\n" // room again
                            "a< -101\n");
        script_close(&script);
    }
}

static void test_set_watches_of_any_size(void **state) {
    enum { MISSING = 100000 };
    struct script script;
    script_open(&script, NULL);
    script_run(&script, "a> ping\na< 0\n");
    struct writer w = {0};
    write_u32_be(&w, 0);
    write_u32_be(&w, (uint32_t)-8);
    write_u32_be(&w, 101);
    write_u64_be(&w, 1000);
    write_u32_be(&w, 0);
    write_u32_be(&w, MISSING / 2); // 0.7 MB of them
    for (uint32_t i = 0; i < MISSING / 2; i++) {
        char path[16];
        int len = snprintf(path, sizeof path, "/missing%05u", i);
        write_u32_be(&w, (uint32_t)len);
        write_span(&w, bytes_of(path, (size_t)len));
    }
    write_u32_be(&w, 0);
    put_u32_be(w.data, (uint32_t)w.len - 4);
    fake_send(script.clients[0], w.data, w.len);
    fake_step(script.fake);
    struct writer frame = {0};
    assert_true(script_take(script.clients[0], &frame));
    assert_int_equal(get_u32_be(frame.data), (uint32_t)-8);
    assert_int_equal(get_u32_be(frame.data + 12), 0);
    script_run(&script, "b> create s/missing49999 s O i0\n"
                        "b< 0 *\n"
                        "a! 1 /missing49999\n");
    writer_free(&w);
    writer_free(&frame);
    script_close(&script);
}

// ---- the table

struct fired {
    uint8_t seen[8];
};
static struct watch_holder holders[8];

static void note(void *context, struct watch_holder *holder) {
    ((struct fired *)context)->seen[holder - holders]++;
}

static const char *const paths[] = {"/", "/a", "/a/b", "/a/b/c", "/ab", "/a/c", "/d", "/d/e"};
enum { PATHS = sizeof paths / sizeof paths[0], HOLDERS = 8 };

static bool below(const char *path, const char *top) {
    size_t len = strlen(top);
    return strcmp(top, "/") == 0 || strcmp(path, top) == 0 || (strncmp(path, top, len) == 0 && path[len] == '/');
}

static void test_table_against_a_plain_one(void **state) {
    struct watches w;
    struct prng prng;
    uint8_t plain[PATHS][HOLDERS] = {0};
    watches_init(&w, 5);
    prng_seed(&prng, 42);
    for (int i = 0; i < HOLDERS; i++) watch_holder_init(&holders[i]);
    for (int step = 0; step < 200000; step++) {
        size_t p = prng_below(&prng, PATHS), h = prng_below(&prng, HOLDERS);
        struct bytes path = bytes_of_text(paths[p]);
        uint8_t modes = (uint8_t)(1u + prng_below(&prng, 15));
        switch (prng_below(&prng, 8)) {
        case 0:
            watches_remove(&w, &holders[h], path, modes);
            plain[p][h] &= (uint8_t)~modes;
            break;
        case 1:
            if (prng_below(&prng, 8)) break;
            watches_leave(&w, &holders[h]);
            for (int k = 0; k < PATHS; k++) plain[k][h] = 0;
            break;
        case 2:
        case 3: {
            static const uint8_t kinds[] = {WATCH_DATA | WATCH_PERSISTENT, WATCH_DATA | WATCH_CHILD | WATCH_PERSISTENT,
                                            WATCH_CHILD | WATCH_PERSISTENT};
            size_t kind = prng_below(&prng, 3);
            struct fired got = {0};
            watches_fire(&w, path, kinds[kind], kind != 2, note, &got);
            for (int k = 0; k < HOLDERS; k++) {
                bool want = plain[p][k] & kinds[kind];
                for (int up = 0; up < PATHS; up++)
                    if (kind != 2 && below(paths[p], paths[up]) && (plain[up][k] & WATCH_RECURSIVE)) want = true;
                assert_int_equal(got.seen[k], want);
                plain[p][k] &= (uint8_t) ~(kinds[kind] & (WATCH_DATA | WATCH_CHILD));
            }
            break;
        }
        default:
            watches_add(&w, &holders[h], path, modes);
            plain[p][h] |= modes;
        }
        uint64_t count = 0;
        for (int a = 0; a < PATHS; a++)
            for (int b = 0; b < HOLDERS; b++) count += plain[a][b] != 0;
        assert_int_equal(w.count, count);
        assert_int_equal(watches_modes(&w, &holders[h], path), plain[p][h]);
    }
    for (int i = 0; i < HOLDERS; i++) watches_leave(&w, &holders[i]);
    assert_int_equal(w.path_count, 0);
    assert_int_equal(w.recursive, 0);
    watches_free(&w);
}

static void count_fired(void *context, struct watch_holder *holder) {
    ++*(uint32_t *)context;
}

static void test_ten_thousand_watchers_of_one_node(void **state) {
    enum { WATCHERS = 10000 };
    struct watches w;
    struct watch_holder *many = mem_zalloc(WATCHERS * sizeof *many);
    struct bytes path = bytes_of_text("/lock");
    watches_init(&w, 7);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < WATCHERS; i++) {
            if (round == 0) watch_holder_init(&many[i]);
            watches_add(&w, &many[i], path, WATCH_DATA);
            watches_add(&w, &many[i], path, WATCH_DATA); // twice is once
        }
        assert_int_equal(w.count, WATCHERS);
        uint32_t fired = 0;
        watches_fire(&w, path, WATCH_DATA | WATCH_PERSISTENT, true, count_fired, &fired);
        assert_int_equal(fired, WATCHERS);
        assert_int_equal(w.count, 0);
    }
    mem_free(many);
    watches_free(&w);
}

static void test_a_million_watches_are_compact(void **state) {
    enum { HOLDERS_MANY = 1000, EACH = 1000 };
    struct watches w;
    struct watch_holder *many = mem_zalloc(HOLDERS_MANY * sizeof *many);
    watches_init(&w, 9);
    for (uint32_t i = 0; i < HOLDERS_MANY; i++) watch_holder_init(&many[i]);
    for (uint32_t p = 0; p < EACH; p++) {
        char path[32];
        int len = snprintf(path, sizeof path, "/services/instance-%05u", p);
        for (uint32_t i = 0; i < HOLDERS_MANY; i++) watches_add(&w, &many[i], bytes_of(path, (size_t)len), WATCH_DATA);
    }
    assert_int_equal(w.count, 1000000);
    assert_true(watches_memory(&w) < 45u << 20);
    for (uint32_t i = 0; i < HOLDERS_MANY; i++) watches_leave(&w, &many[i]);
    assert_int_equal(w.count, 0);
    mem_free(many);
    watches_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_gets_its_event_before_its_reply),
        cmocka_unit_test(test_create_fires_the_node_then_its_parent),
        cmocka_unit_test(test_delete_fires_once_at_one_watcher),
        cmocka_unit_test(test_watch_is_not_left_where_nothing_was_read),
        cmocka_unit_test(test_persistent_watch),
        cmocka_unit_test(test_recursive_watch_has_no_child_events),
        cmocka_unit_test(test_recursive_and_one_shot_together),
        cmocka_unit_test(test_persistent_and_one_shot_together),
        cmocka_unit_test(test_remove_watches_by_type),
        cmocka_unit_test(test_persistent_watch_by_the_types_of_3_8),
        cmocka_unit_test(test_events_are_filtered_by_read_permission),
        cmocka_unit_test(test_multi_fires_when_it_is_applied_only),
        cmocka_unit_test(test_watches_go_with_their_connection),
        cmocka_unit_test(test_watches_have_a_limit),
        cmocka_unit_test(test_set_watches_of_any_size),
        cmocka_unit_test(test_table_against_a_plain_one),
        cmocka_unit_test(test_ten_thousand_watchers_of_one_node),
        cmocka_unit_test(test_a_million_watches_are_compact),
    };
    return cmocka_run_group_tests_name("zookeeper_watches", tests, NULL, NULL);
}
