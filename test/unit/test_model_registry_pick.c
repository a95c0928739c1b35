// Picking: each strategy's shares, what moves when instances come and go, zones.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
// clang-format on
#include "registry_kit.h"

#define KEYS 20000

static void add(struct native *n, unsigned number, uint32_t weight, const char *zone) {
    char id[32];
    snprintf(id, sizeof id, "i%u", number);
    struct registry_registration q = registration("web", id);
    q.weight = weight;
    q.zone = bytes_of_text(zone);
    assert_int_equal(enter(n, 7, &q), 0);
}

static int by_key(const struct native *n, unsigned key) {
    char text[32];
    snprintf(text, sizeof text, "customer-%u", key);
    struct registry_pick pick = {.strategy = REGISTRY_HASH, .key = bytes_of_text(text)};
    const char *got = picked(n, "web", &pick);
    return got[0] == 'i' ? atoi(got + 1) : -1;
}

static void about(size_t got, double wanted) {
    if ((double)got < wanted * 0.85 || (double)got > wanted * 1.15) {
        print_error("%zu, about %.0f wanted\n", got, wanted);
        fail();
    }
}

// From 1 to 12 instances: adding the n-th of n moves 1/n of the keys, all of them to it.
static void a_new_instance_takes_its_share_and_nothing_else_moves(void **state) {
    static int before[KEYS], now[KEYS];
    struct native n;
    native_open(&n, &registry_model, NULL);
    add(&n, 1, 1, "");
    for (unsigned k = 0; k < KEYS; k++) before[k] = by_key(&n, k);
    for (unsigned count = 2; count <= 12; count++) {
        size_t moved = 0;
        add(&n, count, 1, "");
        for (unsigned k = 0; k < KEYS; k++) {
            now[k] = by_key(&n, k);
            if (now[k] == before[k]) continue;
            assert_int_equal(now[k], count); // no key moves between old ones
            moved++;
        }
        about(moved, (double)KEYS / count);
        memcpy(before, now, sizeof now);
    }
    assert_int_equal(leave(&n, "web", "i5", 0), 0);
    for (unsigned k = 0; k < KEYS; k++)
        if (before[k] != 5) assert_int_equal(by_key(&n, k), before[k]); // only the keys of the one that went
    add(&n, 5, 1, "");
    for (unsigned k = 0; k < KEYS; k++) assert_int_equal(by_key(&n, k), before[k]); // it comes back to its own
    native_close(&n);
}

static void keys_go_by_weight(void **state) {
    static int before[KEYS];
    size_t of[4] = {0};
    struct native n;
    native_open(&n, &registry_model, NULL);
    add(&n, 1, 1, "");
    add(&n, 2, 2, "");
    add(&n, 3, 5, "");
    for (unsigned k = 0; k < KEYS; k++) of[before[k] = by_key(&n, k)]++;
    about(of[1], KEYS / 8.0);
    about(of[2], KEYS * 2 / 8.0);
    about(of[3], KEYS * 5 / 8.0);
    struct registry_update heavier = {
        .service = bytes_of_text("web"), .id = bytes_of_text("i1"), .what = REGISTRY_SET_WEIGHT, .weight = 3};
    assert_int_equal(change(&n, &heavier), 0);
    for (unsigned k = 0; k < KEYS; k++) {
        int now = by_key(&n, k);
        assert_true(now == before[k] || now == 1); // a weight that grows draws keys to itself only
    }
    native_close(&n);
}

static void turns_go_around(void **state) {
    struct native n;
    size_t of[10] = {0};
    native_open(&n, &registry_model, NULL);
    for (unsigned i = 0; i < 5; i++) add(&n, i, 1 + i, "");
    struct registry_pick pick = {.strategy = REGISTRY_ROUND_ROBIN, .rotation = registry_rotation_new(3)};
    char first[16];
    snprintf(first, sizeof first, "%.15s", picked(&n, "web", &pick));
    for (int i = 1; i < 10; i++) {
        const char *got = picked(&n, "web", &pick);
        assert_true((strcmp(got, first) == 0) == (i == 5)); // one after the other, weights or not
        of[atoi(got + 1)]++;
    }
    for (int i = 0; i < 5; i++) assert_true(of[i] >= 1 && of[i] <= 2);
    registry_rotation_free(pick.rotation);
    native_close(&n);
}

static void weights_are_exact_and_smooth(void **state) {
    struct native n;
    native_open(&n, &registry_model, NULL);
    add(&n, 0, 5, "");
    add(&n, 1, 1, "");
    add(&n, 2, 1, "");
    struct registry_pick pick = {.strategy = REGISTRY_WEIGHTED, .rotation = registry_rotation_new(0)};
    for (int round = 0; round < 20; round++) {
        size_t of[3] = {0}, in_a_row = 0;
        for (int i = 0; i < 7; i++) {
            int got = atoi(picked(&n, "web", &pick) + 1);
            of[got]++;
            in_a_row = got == 0 ? in_a_row + 1 : 0;
            assert_true(in_a_row <= 3); // not five
        }
        assert_true(of[0] == 5 && of[1] == 1 && of[2] == 1);
    }
    drain(&n, "web", "i1", true); // the rest goes on with what it has
    size_t of[3] = {0};
    for (int i = 0; i < 600; i++) of[atoi(picked(&n, "web", &pick) + 1)]++;
    assert_true(of[1] == 0 && of[0] >= 498 && of[0] <= 502 && of[2] >= 98 && of[2] <= 102);
    drain(&n, "web", "i1", false);
    for (int i = 0; i < 700; i++) of[atoi(picked(&n, "web", &pick) + 1)]++;
    assert_true(of[1] >= 97 && of[1] <= 103);
    registry_rotation_free(pick.rotation);
    native_close(&n);
}

static void the_own_zone_first(void **state) {
    struct native n;
    native_open(&n, &registry_model, NULL);
    for (unsigned i = 0; i < 4; i++) add(&n, i, 1, "east");
    for (unsigned i = 4; i < 6; i++) add(&n, i, 1, "west");
    struct registry_pick pick = {.strategy = REGISTRY_RANDOM, .zone = bytes_of_text("west")};
    size_t east = 0;
    for (pick.random = 0; pick.random < 60; pick.random++) east += atoi(picked(&n, "web", &pick) + 1) < 4;
    assert_int_equal(east, 0);
    drain(&n, "web", "i4", true); // it does not count as of the zone any more: half of one is not wanted
    pick.spill_below = 60;
    for (pick.random = 0; pick.random < 60; pick.random++) east += atoi(picked(&n, "web", &pick) + 1) < 4;
    assert_int_equal(east, 0);
    drain(&n, "web", "i4", false);
    leave(&n, "web", "i5", 0);
    struct registry_registration q = registration("web", "i5");
    q.zone = bytes_of_text("west");
    q.check = TCP_CHECK;
    assert_int_equal(enter(&n, 7, &q), 0); // not passing: half of the zone is ready, and 60 of 100 are wanted
    for (pick.random = 0; pick.random < 50; pick.random++) east += atoi(picked(&n, "web", &pick) + 1) < 4;
    assert_int_equal(east, 40); // of five that are ready, four are there
    pick.spill_below = 50;
    east = 0;
    for (pick.random = 0; pick.random < 50; pick.random++) east += atoi(picked(&n, "web", &pick) + 1) < 4;
    assert_int_equal(east, 0);
    leave(&n, "web", "i4", 0); // nobody of the zone is ready
    for (pick.random = 0; pick.random < 40; pick.random++) east += atoi(picked(&n, "web", &pick) + 1) < 4;
    assert_int_equal(east, 40);
    pick.zone = bytes_of_text("nowhere");
    pick.random = 1;
    assert_string_equal(picked(&n, "web", &pick), "i1");
    native_close(&n);
}

static void a_ring_of_thousands_is_quick_enough(void **state) { // figures for the report, not asserted
    struct native n;
    struct timespec begin;
    char id[32];
    native_open(&n, &registry_model, NULL);
    for (unsigned i = 0; i < REGISTRY_SERVICE_MAX; i++) {
        snprintf(id, sizeof id, "i%u", i);
        assert_int_equal(enter_ttl(&n, "web", id, 100000), 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < 100; i++) assert_true(by_key(&n, i) >= 0);
    native_rate("picks by hash of 4,096", 100, &begin);
    native_close(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_instance_takes_its_share_and_nothing_else_moves),
        cmocka_unit_test(keys_go_by_weight),
        cmocka_unit_test(turns_go_around),
        cmocka_unit_test(weights_are_exact_and_smooth),
        cmocka_unit_test(the_own_zone_first),
        cmocka_unit_test(a_ring_of_thousands_is_quick_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
