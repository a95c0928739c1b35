// io on libuv: clocks, timers, wakes, the turn hook.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "io/io_uv_internal.h"
#include "test/unit/support/io_fixture.h"

// ---- timers
struct shot {
    struct io_timer timer;
    struct io_fixture *f;
    int *fired, order;
    int again;
    uint64_t at_us;
    struct shot *stops;
};

static void on_shot(struct io_timer *timer) {
    struct shot *s = timer->context;
    assert_null(timer->impl); // nothing is held any more: the owner may free it here
    s->at_us = io_now_us(s->f->io);
    s->order = ++*s->fired;
    if (s->stops != NULL) s->f->io->ops->timer_stop(s->f->io, &s->stops->timer);
    if (s->again-- > 0) s->f->io->ops->timer_start(s->f->io, timer, 0);
}

static void shoot(struct io_fixture *f, struct shot *s, int *fired, uint64_t delay_us) {
    s->f = f;
    s->fired = fired;
    s->timer.fire = on_shot;
    s->timer.context = s;
    f->io->ops->timer_start(f->io, &s->timer, delay_us);
}

static void timers_fire_in_order_of_time(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    struct shot s[5] = {0};
    int fired = 0;
    uint64_t begin = io_now_us(f.io);
    shoot(&f, &s[0], &fired, 30000);
    shoot(&f, &s[1], &fired, 10000);
    shoot(&f, &s[2], &fired, 20000);
    shoot(&f, &s[3], &fired, 5000);
    shoot(&f, &s[3], &fired, 40000); // moved
    shoot(&f, &s[4], &fired, 15000);
    f.io->ops->timer_stop(f.io, &s[4].timer);
    f.io->ops->timer_stop(f.io, &s[4].timer); // twice is harmless
    assert_true(run_until_count(&f, &fired, 4));
    assert_int_equal(s[1].order, 1);
    assert_int_equal(s[2].order, 2);
    assert_int_equal(s[0].order, 3);
    assert_int_equal(s[3].order, 4);
    assert_int_equal(s[4].order, 0);
    assert_true(s[1].at_us - begin >= 10000); // never early
    assert_true(s[3].at_us - begin >= 40000);
    io_fixture_close(&f);
}

static void equal_times_fire_in_order_of_start(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    struct shot s[50] = {0};
    int fired = 0;
    for (int i = 0; i < 50; i++) shoot(&f, &s[i], &fired, 0);
    assert_true(run_until_count(&f, &fired, 50));
    for (int i = 0; i < 50; i++) assert_int_equal(s[i].order, i + 1);
    io_fixture_close(&f);
}

static void a_timer_can_stop_one_that_is_due_too(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    struct shot s[3] = {0};
    int fired = 0;
    s[0].stops = &s[1];
    for (int i = 0; i < 3; i++) shoot(&f, &s[i], &fired, 0);
    assert_true(run_until_count(&f, &fired, 2));
    run_turns(&f, 3);
    assert_int_equal(s[1].order, 0);
    assert_int_equal(s[2].order, 2);
    io_fixture_close(&f);
}

// A timer that starts itself again without delay must let the sockets be read in between.
static void on_again(struct io_timer *timer) {
    struct shot *s = timer->context;
    if (++s->order >= 5) {
        io_uv_stop(s->f->io);
        return;
    }
    s->f->io->ops->timer_start(s->f->io, timer, 0);
}
static void only_count(void *context) {
    ++*(int *)context;
}
static void timer_started_in_its_own_call_waits_for_the_next_turn(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    int turns = 0;
    struct shot s = {.f = &f, .timer = {.fire = on_again, .context = &s}};
    f.io->ops->set_turn_hook(f.io, only_count, &turns);
    f.io->ops->timer_start(f.io, &s.timer, 0);
    io_uv_run(f.io);
    assert_int_equal(s.order, 5);
    assert_true(turns >= 5);
    io_fixture_close(&f);
}

static bool ten_turns(void *context) {
    return ++*(int *)context > 10;
}
static void the_loop_never_sleeps_over_100_ms(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    int turns = 0;
    uint64_t begin = io_now_us(f.io);
    assert_true(run_until(&f, ten_turns, &turns)); // no event at all: only the ticks
    uint64_t took = io_now_us(f.io) - begin;
    assert_true(took >= 500000 && took < 3000000);
    io_fixture_close(&f);
}

static void many_timers(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    static struct shot s[5000];
    memset(s, 0, sizeof s);
    int fired = 0;
    for (int i = 0; i < 5000; i++) shoot(&f, &s[i], &fired, (uint64_t)((i * 7919) % 30000));
    for (int i = 0; i < 5000; i += 5) f.io->ops->timer_stop(f.io, &s[i].timer);
    assert_true(run_until_count(&f, &fired, 4000));
    for (int i = 0; i < 5000; i++) assert_int_equal(s[i].order == 0, i % 5 == 0);
    // Some are left when the loop is freed.
    for (int i = 0; i < 100; i++) shoot(&f, &s[i], &fired, 1000000);
    io_fixture_close(&f);
}

// A crowd whose time-outs come at once leaves the loop after a bounded time, so that sockets are read between them.
#define LONG_SHOTS 6
struct long_shots {
    struct io_fixture f;
    struct io_timer timer[LONG_SHOTS];
    int fired, before, most;
};
static void on_long_shot(struct io_timer *timer) {
    struct long_shots *s = timer->context;
    uint64_t begin = io_now_us(s->f.io);
    while (io_now_us(s->f.io) - begin < UV_TIMERS_TURN_US / 2) continue;
    s->fired++;
}
static bool all_long_shots(void *context) {
    struct long_shots *s = context;
    if (s->fired - s->before > s->most) s->most = s->fired - s->before;
    s->before = s->fired;
    return s->fired == LONG_SHOTS;
}
static void timers_due_at_once_share_the_loop(void **state) {
    struct long_shots s = {0};
    io_fixture_open(&s.f, NULL);
    for (int i = 0; i < LONG_SHOTS; i++) {
        s.timer[i] = (struct io_timer){.fire = on_long_shot, .context = &s};
        s.f.io->ops->timer_start(s.f.io, &s.timer[i], 0);
    }
    assert_true(run_until(&s.f, all_long_shots, &s));
    assert_in_range(s.most, 1, 2);
    io_fixture_close(&s.f);
}

// ---- wakes
struct bell {
    struct io_wake wake;
    _Atomic uint64_t sent; // by all threads
    uint64_t seen;
    int woken;
};

static void on_woken(struct io_wake *wake) {
    struct bell *b = wake->context;
    b->woken++;
    b->seen = b->sent;
}

#define RINGS 20000
static void *ring_the_bell(void *context) {
    struct bell *b = context;
    for (int i = 0; i < RINGS; i++) {
        b->sent++;
        b->wake.io->ops->wake_signal(&b->wake);
    }
    return NULL;
}

static bool all_seen(void *context) {
    return ((struct bell *)context)->seen == 3 * RINGS;
}

static void wakes_from_threads_are_merged_and_none_is_lost(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    struct bell b = {.wake = {.woken = on_woken, .context = &b}};
    assert_int_equal(f.io->ops->wake_init(f.io, &b.wake), 0);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, ring_the_bell, &b);
    assert_true(run_until(&f, all_seen, &b)); // the last signal's callback saw what was done before it
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_true(b.woken <= 3 * RINGS);
    // Signals while the loop does not run become one call.
    int before = b.woken;
    run_turns(&f, 3);
    before = b.woken;
    for (int i = 0; i < 10; i++) f.io->ops->wake_signal(&b.wake);
    run_turns(&f, 3);
    assert_int_equal(b.woken, before + 1);
    // After close nothing is called, although it was signalled.
    f.io->ops->wake_signal(&b.wake);
    f.io->ops->wake_close(&b.wake);
    run_turns(&f, 3);
    assert_int_equal(b.woken, before + 1);
    io_fixture_close(&f);
}

static void *stop_soon(void *context) {
    io_uv_stop(context);
    return NULL;
}
static void stop_from_another_thread(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, stop_soon, f.io);
    io_uv_run(f.io); // returns, before or after the thread came to it
    pthread_join(thread, NULL);
    io_fixture_close(&f);
}

// ---- turns by others
struct shared {
    struct io *io;
    struct io_wake wake;
    struct io_timer timer;
    pthread_t loop;
    bool arms, armed; // each call arms a timer that is nearly due
    _Atomic int calls, by_others, under_way, wrong, fired;
};
static void enter(struct shared *s) {
    if (atomic_fetch_add(&s->under_way, 1) != 0) atomic_fetch_add(&s->wrong, 1);
}
static void leave(struct shared *s) {
    atomic_fetch_sub(&s->under_way, 1);
}
static void on_shared_timer(struct io_timer *timer) {
    struct shared *s = timer->context;
    enter(s);
    if (!pthread_equal(pthread_self(), s->loop)) s->wrong++;
    s->armed = false;
    s->fired++;
    leave(s);
}
static void on_shared_wake(struct io_wake *wake) {
    struct shared *s = wake->context;
    enter(s);
    bool by_other = !pthread_equal(pthread_self(), s->loop);
    if (by_other) s->by_others++;
    if (by_other && s->armed) s->wrong++;
    if (s->arms && !s->armed) {
        s->armed = true;
        s->io->ops->timer_start(s->io, &s->timer, 1500);
    }
    s->calls++;
    leave(s);
}
static void no_turn(void *context) {}
static void *run_shared_loop(void *context) {
    struct shared *s = context;
    io_uv_run(s->io);
    return NULL;
}
static void open_shared(struct shared *s, bool arms) {
    memset(s, 0, sizeof *s);
    s->io = io_uv_new(&(struct io_uv_options){.shared_turns = true});
    assert_non_null(s->io);
    s->arms = arms;
    s->wake = (struct io_wake){.woken = on_shared_wake, .context = s};
    s->timer = (struct io_timer){.fire = on_shared_timer, .context = s};
    assert_int_equal(s->io->ops->wake_init(s->io, &s->wake), 0);
    s->io->ops->set_turn_hook(s->io, no_turn, NULL);
}
static void *signal_shared(void *context) {
    struct shared *s = context;
    stand_in_allow(true);
    for (int i = 0; i < RINGS; i++) s->io->ops->wake_signal(&s->wake);
    return NULL;
}
static void run_signals(struct shared *s) {
    pthread_t threads[2];
    pthread_create(&s->loop, NULL, run_shared_loop, s);
    for (int round = 0; round < 200 && (s->by_others == 0 || (s->arms && s->fired < 3)); round++) {
        for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, signal_shared, s);
        for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
        int before = s->calls; // none is lost, whoever runs it
        s->io->ops->wake_signal(&s->wake);
        while (s->calls == before) sched_yield();
    }
    io_uv_stop(s->io);
    pthread_join(s->loop, NULL);
    s->io->ops->timer_stop(s->io, &s->timer);
    s->io->ops->wake_close(&s->wake);
    io_uv_free(s->io);
}
static void who_wakes_a_sleeping_loop_runs_its_turn(void **state) {
    struct shared s;
    open_shared(&s, false);
    run_signals(&s);
    assert_true(s.by_others > 0);
    assert_int_equal(s.wrong, 0); // never two turns at once
}
static void nobody_stands_in_when_a_timer_is_due(void **state) {
    struct shared s;
    open_shared(&s, true);
    run_signals(&s);
    assert_true(s.fired >= 3); // also those that a stand-in started: the loop's thread was woken for them
    assert_true(s.by_others > 0);
    assert_int_equal(s.wrong, 0);
}

static void clocks_and_chance(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    uint64_t a = io_now_us(f.io), b = io_now_us(f.io);
    assert_true(b >= a);
    assert_true(io_unix_ms(f.io) > 1577836800000); // after 2020
    uint8_t x[64] = {0}, y[64] = {0};
    f.io->ops->random(f.io, x, sizeof x);
    f.io->ops->random(f.io, y, sizeof y);
    assert_memory_not_equal(x, y, sizeof x);
    io_fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(who_wakes_a_sleeping_loop_runs_its_turn),
        cmocka_unit_test(nobody_stands_in_when_a_timer_is_due),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_of_time),
        cmocka_unit_test(equal_times_fire_in_order_of_start),
        cmocka_unit_test(a_timer_can_stop_one_that_is_due_too),
        cmocka_unit_test(timer_started_in_its_own_call_waits_for_the_next_turn),
        cmocka_unit_test(the_loop_never_sleeps_over_100_ms),
        cmocka_unit_test(many_timers),
        cmocka_unit_test(timers_due_at_once_share_the_loop),
        cmocka_unit_test(wakes_from_threads_are_merged_and_none_is_lost),
        cmocka_unit_test(stop_from_another_thread),
        cmocka_unit_test(clocks_and_chance),
    };
    int failed = cmocka_run_group_tests(alone, NULL, NULL) + cmocka_run_group_tests(tests, NULL, NULL);
    io_fixture_shared_turns = true; // all of it holds for such a loop too
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
