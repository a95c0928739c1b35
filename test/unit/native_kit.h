// What the tests of models with named items share: applying commands, letting time pass, a copy by save and load,
// damaged records. A test's file includes cmocka before it.
#pragma once
#include "base/prng.h"
#include "model/model.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

struct native {
    const struct model_ops *ops;
    void *state;
    struct apply apply;
    struct result result;
    char events[1 << 14]; // one line each, made by the test's own `emit`
};

#define NATIVE_UNIX_MS 1760000000000ll // Unix time of log time 0

static void native_open(struct native *n, const struct model_ops *ops,
                        void (*emit)(void *context, uint8_t model, const void *event)) {
    memset(n, 0, sizeof *n);
    n->ops = ops;
    n->state = ops->create();
    n->apply = (struct apply){.index = 100, .log_time_ms = 1000, .apply_level = 2, .emit = emit, .emit_context = n};
    n->apply.unix_ms = NATIVE_UNIX_MS + 1000;
    assert_true(digest_equal(ops->digest(n->state), (struct digest){0, 0})); // can be added to a group that lives
}

static void native_check(const struct native *n) {
    assert_true(digest_equal(n->ops->digest(n->state), n->ops->digest_recount(n->state)));
}

static void native_close(struct native *n) {
    native_check(n);
    n->ops->destroy(n->state);
}

static int native_run(struct native *n, struct writer *w) {
    struct command command;
    assert_true(command_read(&command, bytes_of(w->data, w->len)));
    n->apply.index++;
    n->events[0] = '\0';
    memset(&n->result, 0, sizeof n->result);
    n->ops->apply(n->state, &n->apply, &command, &n->result);
    writer_free(w);
    return n->result.error;
}

static size_t native_pass(struct native *n, uint64_t ms) {
    n->apply.log_time_ms += ms;
    n->apply.unix_ms += (int64_t)ms;
    n->apply.index++;
    n->events[0] = '\0';
    return n->ops->expire ? n->ops->expire(n->state, &n->apply, 100000) : 0;
}

static __attribute__((unused)) void native_end_session(struct native *n, uint64_t session) {
    n->apply.index++;
    n->events[0] = '\0';
    n->ops->session_end(n->state, &n->apply, session);
}

static void native_copy(const struct native *from, struct native *to, size_t chunk_bytes) {
    static uint8_t chunk[SAVE_RECORD_BYTES_MAX];
    struct save_cursor cursor = {0};
    native_open(to, from->ops, from->apply.emit);
    for (size_t len; (len = from->ops->save(from->state, &cursor, chunk, chunk_bytes)) > 0;)
        assert_int_equal(to->ops->load(to->state, chunk, len), 0);
    to->apply.index = from->apply.index;
    to->apply.log_time_ms = from->apply.log_time_ms;
    to->apply.unix_ms = from->apply.unix_ms;
    assert_true(digest_equal(from->ops->digest(from->state), to->ops->digest(to->state)));
    assert_true(from->ops->memory(from->state) == to->ops->memory(to->state));
    native_check(to);
}

// What ends by time ends in one order here and in a copy, wherever the time entries cut it.
static __attribute__((unused)) void native_ends_alike(struct native *n) {
    struct native *copy = test_malloc(sizeof *copy);
    native_copy(n, copy, 2048);
    n->apply.log_time_ms = copy->apply.log_time_ms += 100;
    for (size_t ended = 1; ended > 0;) {
        n->events[0] = copy->events[0] = '\0';
        n->apply.index = ++copy->apply.index;
        ended = n->ops->expire(n->state, &n->apply, 1);
        assert_int_equal(n->ops->expire(copy->state, &copy->apply, 1), ended);
        assert_string_equal(n->events, copy->events);
        assert_true(digest_equal(n->ops->digest(n->state), n->ops->digest(copy->state)));
    }
    native_close(copy);
    test_free(copy);
}

// Damaged records are refused, or load to a state that is whole and can be used.
static __attribute__((unused)) void native_damage(const struct native *n, uint64_t seed) {
    static uint8_t saved[1 << 17], bad[1 << 17];
    struct save_cursor cursor = {0};
    struct prng prng;
    prng_seed(&prng, seed);
    size_t len = n->ops->save(n->state, &cursor, saved, sizeof saved);
    for (int i = 0; i < 4000; i++) {
        size_t cut = i % 4 == 0 ? (size_t)prng_below(&prng, len) : len;
        memcpy(bad, saved, len);
        for (uint64_t k = i % 4 == 0 ? 0 : 1 + prng_below(&prng, 3); k > 0; k--)
            bad[prng_below(&prng, len)] ^= (uint8_t)(1u << prng_below(&prng, 8));
        struct native other = *n;
        other.state = n->ops->create();
        other.apply.emit_context = &other;
        if (n->ops->load(other.state, bad, cut) == 0) {
            native_check(&other);
            native_pass(&other, 1u << prng_below(&prng, 20));
            native_check(&other);
        }
        n->ops->destroy(other.state);
    }
}

// Commands of any bytes: each is refused as a bad command, or has arguments that mean something.
static __attribute__((unused)) void native_garbage(struct native *n, uint64_t seed) {
    struct prng prng;
    prng_seed(&prng, seed);
    for (int i = 0; i < 20000; i++) {
        struct writer w = {0};
        command_write_head(&w, n->ops->id, (uint8_t)prng_below(&prng, 20), prng_below(&prng, 3), 1);
        for (uint64_t k = prng_below(&prng, 24); k > 0; k--) {
            bool low = prng_below(&prng, 4) != 0;
            write_u8(&w, (uint8_t)prng_below(&prng, low ? 6 : 256));
        }
        native_run(n, &w);
    }
    native_check(n);
}

// Commands a second, for the report: not asserted.
static __attribute__((unused)) void native_rate(const char *what, uint64_t commands, const struct timespec *begin) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin->tv_sec) + (double)(end.tv_nsec - begin->tv_nsec) / 1e9;
    fprintf(stderr, "%s: %.0f commands/s\n", what, (double)commands / seconds);
}
