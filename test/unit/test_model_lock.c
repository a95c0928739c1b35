// Fenced fair locks: named cases, and random commands held against a naive model.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/prng.h"
#include "model/lock/lock.h"
#include <stdio.h>
#include <string.h>

struct kit {
    void *state;
    struct apply apply;
    struct result result;
    struct lock_result out;
    char holder[300], circle[2100], refused[300];
    char events[1 << 16];
};

static void on_event(void *context, uint8_t model, const void *event) {
    struct kit *k = context;
    const struct lock_event *e = event;
    static const char *const types[] = {"granted", "lost", "timed out", "cancelled", "superseded"};
    static const char *const losses[] = {"", " expired", " session", " broken"};
    size_t len = strlen(k->events);
    assert_int_equal(model, MODEL_LOCK);
    snprintf(k->events + len, sizeof k->events - len, "%.*s %s %.*s%s\n", (int)e->owner.len, e->owner.data,
             types[e->type], (int)e->name.len, e->name.data, losses[e->loss]);
}

static void kit_open(struct kit *k) {
    memset(k, 0, sizeof *k);
    k->state = lock_model.create();
    k->apply = (struct apply){.index = 100, .log_time_ms = 1000, .apply_level = 1, .emit = on_event};
    k->apply.emit_context = k;
}

static void kit_close(struct kit *k) {
    assert_true(digest_equal(lock_model.digest(k->state), lock_model.digest_recount(k->state)));
    lock_model.destroy(k->state);
}

static void keep(char *to, size_t size, struct bytes span) {
    snprintf(to, size, "%.*s", (int)span.len, span.data ? (const char *)span.data : "");
}

static int run(struct kit *k, struct writer *w) {
    struct command command;
    assert_true(command_read(&command, bytes_of(w->data, w->len)));
    k->apply.index++;
    k->events[0] = '\0';
    memset(&k->result, 0, sizeof k->result);
    lock_model.apply(k->state, &k->apply, &command, &k->result);
    k->out = *(const struct lock_result *)k->result.value;
    keep(k->holder, sizeof k->holder, k->out.holder);
    keep(k->circle, sizeof k->circle, k->out.circle);
    keep(k->refused, sizeof k->refused, k->out.refused);
    writer_free(w);
    return k->result.error;
}

static int ask(struct kit *k, uint64_t session, const char *name, const char *owner, struct lock_request q) {
    struct writer w = {0};
    q.name = bytes_of_text(name);
    q.owner = bytes_of_text(owner);
    if (q.permits == 0) q.permits = 1;
    if (q.ttl_ms == 0 && session == 0) q.ttl_ms = 10000;
    lock_write_acquire(&w, session, 1, &q);
    return run(k, &w);
}

static int try(struct kit *k, const char *name, const char *owner) {
    return ask(k, 0, name, owner, (struct lock_request){0});
}
static int wait_for(struct kit *k, const char *name, const char *owner) {
    return ask(k, 0, name, owner, (struct lock_request){.wait_ms = LOCK_WAIT_FOREVER});
}
static int release(struct kit *k, uint64_t session, const char *name, const char *owner, uint64_t token) {
    struct writer w = {0};
    lock_write_release(&w, session, 1, bytes_of_text(name), bytes_of_text(owner), token, false);
    return run(k, &w);
}
static size_t pass(struct kit *k, uint64_t ms) {
    k->apply.log_time_ms += ms;
    k->apply.index++;
    k->events[0] = '\0';
    return lock_model.expire(k->state, &k->apply, 1000);
}

static void held_by_one_and_given_on_in_order(void **state) {
    struct kit k;
    kit_open(&k);
    assert_int_equal(try(&k, "x", "a"), 0);
    assert_true(k.out.granted);
    uint64_t first = k.out.token;
    assert_int_equal(try(&k, "x", "b"), LOCK_BUSY);
    assert_string_equal(k.holder, "a");
    assert_int_equal(wait_for(&k, "x", "b"), 0);
    assert_false(k.out.granted);
    uint64_t ticket = k.out.ticket;
    assert_int_equal(wait_for(&k, "x", "c"), 0);
    assert_int_equal(wait_for(&k, "x", "b"), 0); // asked once more: the same place, and the older request is told
    assert_true(k.out.ticket > ticket);
    assert_string_equal(k.events, "b superseded x\n");
    assert_int_equal(release(&k, 0, "x", "a", first + 1), LOCK_NOT_HELD);
    assert_int_equal(release(&k, 0, "x", "a", first), 0);
    assert_string_equal(k.events, "b granted x\n");
    assert_int_equal(try(&k, "x", "b"), 0); // reentrant
    assert_true(k.out.token > first);
    assert_int_equal(k.out.holds, 2);
    uint64_t second = k.out.token;
    assert_int_equal(release(&k, 0, "x", "b", second), 0);
    assert_int_equal(k.out.holds, 1);
    assert_string_equal(k.events, "");
    assert_int_equal(release(&k, 0, "x", "b", second), 0);
    assert_string_equal(k.events, "c granted x\n");
    kit_close(&k);
}

static void shared_together_but_writers_do_not_starve(void **state) {
    struct kit k;
    kit_open(&k);
    struct lock_request shared = {.mode = LOCK_SHARED, .wait_ms = LOCK_WAIT_FOREVER};
    assert_int_equal(ask(&k, 0, "x", "r1", shared), 0);
    uint64_t r1 = k.out.token;
    assert_int_equal(ask(&k, 0, "x", "r2", shared), 0);
    assert_true(k.out.granted);
    uint64_t r2 = k.out.token;
    assert_true(r2 > r1);
    assert_int_equal(wait_for(&k, "x", "w"), 0);
    assert_int_equal(ask(&k, 0, "x", "r3", shared), 0);
    assert_false(k.out.granted); // behind the writer
    assert_int_equal(ask(&k, 0, "x", "r4", shared), 0);
    release(&k, 0, "x", "r1", r1);
    assert_string_equal(k.events, "");
    release(&k, 0, "x", "r2", r2);
    assert_string_equal(k.events, "w granted x\n");
    ask(&k, 0, "x", "w", (struct lock_request){0});
    struct writer w = {0};
    lock_write_release(&w, 0, 0, bytes_of_text("x"), bytes_of_text("w"), k.out.token, true); // all holds at once
    assert_int_equal(run(&k, &w), 0);
    assert_string_equal(k.events, "r3 granted x\nr4 granted x\n");
    assert_int_equal(ask(&k, 0, "x", "r3", (struct lock_request){0}), LOCK_KIND); // no upgrade
    kit_close(&k);
}

static void permits_are_counted_and_nobody_overtakes(void **state) {
    struct kit k;
    kit_open(&k);
    struct lock_request two = {.mode = LOCK_PERMITS, .permits = 2, .total = 3, .wait_ms = LOCK_WAIT_FOREVER};
    struct lock_request one = {.mode = LOCK_PERMITS, .permits = 1, .total = 3, .wait_ms = LOCK_WAIT_FOREVER};
    assert_int_equal(ask(&k, 0, "s", "a", two), 0);
    uint64_t a = k.out.token;
    assert_int_equal(ask(&k, 0, "s", "b", two), 0);
    assert_false(k.out.granted);
    assert_int_equal(ask(&k, 0, "s", "c", one), 0);
    assert_false(k.out.granted); // one is free, but b came first
    one.total = 4;
    assert_int_equal(ask(&k, 0, "s", "d", one), LOCK_KIND);
    assert_int_equal(try(&k, "s", "d"), LOCK_KIND);
    release(&k, 0, "s", "a", a);
    assert_string_equal(k.events, "b granted s\nc granted s\n");
    kit_close(&k);
}

static void ends_with_its_time_or_its_session(void **state) {
    struct kit k;
    kit_open(&k);
    ask(&k, 0, "x", "a", (struct lock_request){.ttl_ms = 500});
    uint64_t a = k.out.token;
    ask(&k, 7, "x", "b", (struct lock_request){.wait_ms = LOCK_WAIT_FOREVER});
    ask(&k, 0, "x", "c", (struct lock_request){.wait_ms = 100});
    ask(&k, 7, "x", "d", (struct lock_request){.wait_ms = LOCK_WAIT_FOREVER});
    assert_true(lock_model.next_deadline_ms(k.state) == k.apply.log_time_ms + 100);
    assert_int_equal(pass(&k, 99), 0);
    assert_int_equal(pass(&k, 1), 1);
    assert_string_equal(k.events, "c timed out x expired\n");
    assert_true(lock_verify(k.state, bytes_of_text("x"), a));
    assert_int_equal(pass(&k, 399), 0);
    assert_int_equal(pass(&k, 1), 1);
    assert_string_equal(k.events, "a lost x expired\nb granted x\n");
    assert_false(lock_verify(k.state, bytes_of_text("x"), a));
    assert_int_equal(pass(&k, 1000000), 0); // b's is bound to its session
    k.events[0] = '\0';
    ask(&k, 0, "x", "e", (struct lock_request){.wait_ms = LOCK_WAIT_FOREVER});
    k.apply.index++;
    lock_model.session_end(k.state, &k.apply, 7);
    assert_string_equal(k.events, "b lost x session\ne granted x\n");
    kit_close(&k);
}

static void session_that_waits_twice_is_gone_whole(void **state) {
    struct kit k;
    kit_open(&k);
    ask(&k, 9, "x", "a", (struct lock_request){0});
    ask(&k, 9, "y", "a", (struct lock_request){0});
    k.apply.index++;
    lock_model.session_end(k.state, &k.apply, 9);
    assert_int_equal(try(&k, "x", "b"), 0);
    assert_int_equal(try(&k, "y", "b"), 0);
    kit_close(&k);
}

static void renewed_broken_cancelled(void **state) {
    struct kit k;
    kit_open(&k);
    struct writer w = {0};
    ask(&k, 0, "x", "a", (struct lock_request){.ttl_ms = 500});
    uint64_t a = k.out.token;
    pass(&k, 400);
    lock_write_renew(&w, 0, 0, bytes_of_text("x"), bytes_of_text("a"), a, 500);
    assert_int_equal(run(&k, &w), 0);
    assert_int_equal(pass(&k, 400), 0);
    wait_for(&k, "x", "b");
    uint64_t ticket = k.out.ticket;
    wait_for(&k, "x", "c");
    lock_write_cancel(&w, 0, 0, bytes_of_text("x"), bytes_of_text("b"), ticket, false);
    assert_int_equal(run(&k, &w), 0);
    assert_string_equal(k.events, "b cancelled x\n");
    lock_write_break(&w, bytes_of_text("x"), a + 1, bytes_of_text("test"));
    assert_int_equal(run(&k, &w), LOCK_NOT_HELD);
    lock_write_break(&w, bytes_of_text("x"), a, bytes_of_text("test"));
    assert_int_equal(run(&k, &w), 0);
    assert_string_equal(k.events, "a lost x broken\nc granted x\n");
    lock_write_renew(&w, 0, 0, bytes_of_text("x"), bytes_of_text("a"), a, 500);
    assert_int_equal(run(&k, &w), LOCK_NOT_HELD);
    kit_close(&k);
}

static int cancel(struct kit *k, const char *owner, uint64_t ticket, bool give_back) {
    struct writer w = {0};
    lock_write_cancel(&w, 0, 0, bytes_of_text("x"), bytes_of_text(owner), ticket, give_back);
    return run(k, &w);
}

// A node gives back what it got for a connection that has gone. Meanwhile its owner may have asked again, elsewhere,
// and been told that he holds it: nothing of that may be taken (simulator, seed 1795272144171).
static void giving_back_spares_a_newer_request(void **state) {
    struct kit k;
    kit_open(&k);
    try(&k, "x", "a");
    uint64_t a = k.out.token;
    wait_for(&k, "x", "b");
    uint64_t first = k.out.ticket;
    wait_for(&k, "x", "b");
    uint64_t second = k.out.ticket;
    assert_int_equal(cancel(&k, "b", first, true), LOCK_NOT_HELD); // b waits on
    release(&k, 0, "x", "a", a);
    assert_string_equal(k.events, "b granted x\n");
    assert_int_equal(cancel(&k, "b", first, true), LOCK_NOT_HELD);
    try(&k, "x", "b");
    uint64_t third = k.out.ticket, token = k.out.token;
    assert_int_equal(k.out.holds, 2);
    assert_int_equal(cancel(&k, "b", second, true), LOCK_NOT_HELD);
    assert_int_equal(cancel(&k, "b", third, false), 0); // too late to cancel
    assert_true(k.out.granted && k.out.token == token);
    assert_int_equal(cancel(&k, "b", third, true), 0); // one hold less
    assert_int_equal(k.out.holds, 1);
    assert_true(lock_verify(k.state, bytes_of_text("x"), token));
    assert_int_equal(cancel(&k, "b", third, true), 0);
    assert_false(lock_verify(k.state, bytes_of_text("x"), token));
    kit_close(&k);
}

static void unclean_loss_delays_the_next(void **state) {
    struct kit k;
    kit_open(&k);
    ask(&k, 0, "x", "a", (struct lock_request){.ttl_ms = 500, .delay_ms = 300});
    pass(&k, 500);
    assert_string_equal(k.events, "a lost x expired\n");
    assert_int_equal(try(&k, "x", "b"), LOCK_BUSY);
    wait_for(&k, "x", "b");
    assert_false(k.out.granted);
    assert_int_equal(pass(&k, 299), 0);
    assert_int_equal(pass(&k, 1), 1);
    assert_string_equal(k.events, "b granted x\n");
    uint64_t b = 0;
    assert_int_equal(ask(&k, 0, "x", "b", (struct lock_request){0}), 0);
    b = k.out.token;
    release(&k, 0, "x", "b", b);
    release(&k, 0, "x", "b", b); // a release is clean: no delay
    assert_int_equal(try(&k, "x", "c"), 0);
    kit_close(&k);
}

static void several_at_once_or_none(void **state) {
    struct kit k;
    kit_open(&k);
    struct writer w = {0};
    struct bytes names[] = {bytes_of_text("x"), bytes_of_text("y"), bytes_of_text("z")};
    enum lock_mode modes[] = {LOCK_EXCLUSIVE, LOCK_SHARED, LOCK_EXCLUSIVE};
    try(&k, "z", "b");
    uint64_t b = k.out.token;
    lock_write_acquire_all(&w, 0, 0, bytes_of_text("a"), 1000, 0, names, modes, 3);
    assert_int_equal(run(&k, &w), LOCK_BUSY);
    assert_string_equal(k.refused, "z");
    assert_int_equal(try(&k, "x", "c"), 0); // nothing was kept
    release(&k, 0, "x", "c", k.out.token);
    release(&k, 0, "z", "b", b);
    lock_write_acquire_all(&w, 0, 0, bytes_of_text("a"), 1000, 0, names, modes, 3);
    assert_int_equal(run(&k, &w), 0);
    assert_int_equal(k.out.token_count, 3);
    assert_int_equal(try(&k, "x", "c"), LOCK_BUSY);
    names[1] = names[0];
    lock_write_acquire_all(&w, 0, 0, bytes_of_text("d"), 1000, 0, names, modes, 3);
    assert_int_equal(run(&k, &w), LOCK_BUSY);
    kit_close(&k);
}

static void circle_of_waiting_owners_is_named(void **state) {
    struct kit k;
    kit_open(&k);
    try(&k, "x", "a");
    try(&k, "y", "b");
    try(&k, "z", "c");
    assert_int_equal(wait_for(&k, "y", "a"), 0);
    assert_int_equal(wait_for(&k, "z", "b"), 0);
    assert_int_equal(wait_for(&k, "x", "c"), LOCK_DEADLOCK);
    assert_string_equal(k.circle, "b waits for z, held by c; a waits for y, held by b; c waits for x, held by a");
    assert_int_equal(wait_for(&k, "x", "d"), 0);    // holds nothing: no circle
    assert_int_equal(try(&k, "x", "c"), LOCK_BUSY); // does not wait
    kit_close(&k);
}

static void readers_that_share_make_no_circle(void **state) {
    struct kit k;
    kit_open(&k);
    struct lock_request shared = {.mode = LOCK_SHARED, .wait_ms = LOCK_WAIT_FOREVER};
    try(&k, "x", "holder");
    try(&k, "m", "b");
    assert_int_equal(ask(&k, 0, "x", "a", shared), 0);
    assert_int_equal(wait_for(&k, "m", "a"), 0);       // a waits for x, and for m, held by b
    assert_int_equal(ask(&k, 0, "x", "b", shared), 0); // behind a, but both will read together
    kit_close(&k);
}

static void token_grows_after_a_restore(void **state) { // the index jumps by 2^40, the counter is an older one
    struct kit k;
    kit_open(&k);
    for (int i = 0; i < 50; i++) {
        try(&k, "x", "a");
        release(&k, 0, "x", "a", k.out.token);
    }
    try(&k, "x", "a");
    uint64_t before = k.out.token;
    assert_true(before >= k.apply.index);
    release(&k, 0, "x", "a", before);
    k.apply.index += 1ull << 40;
    try(&k, "x", "a");
    assert_true(k.out.token >= 1ull << 40);
    kit_close(&k);
}

static void bad_arguments_are_refused(void **state) {
    struct kit k;
    kit_open(&k);
    char big[400];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(try(&k, "", "a"), LOCK_BAD_ARGUMENTS);
    assert_int_equal(try(&k, big, "a"), LOCK_BAD_ARGUMENTS);
    assert_int_equal(try(&k, "x", big), LOCK_BAD_ARGUMENTS);
    assert_int_equal(ask(&k, 0, "x", "a", (struct lock_request){.mode = LOCK_PERMITS, .permits = 2, .total = 1}),
                     LOCK_BAD_ARGUMENTS);
    assert_int_equal(ask(&k, 0, "x", "a", (struct lock_request){.ttl_ms = LOCK_TTL_MS_MAX + 1}), LOCK_BAD_ARGUMENTS);
    struct writer w = {0};
    command_write_head(&w, MODEL_LOCK, LOCK_ACQUIRE, 0, 0);
    write_u8(&w, 200);
    assert_int_equal(run(&k, &w), COMMAND_BAD_COMMAND);
    command_write_head(&w, MODEL_LOCK, 99, 0, 0);
    assert_int_equal(run(&k, &w), COMMAND_BAD_COMMAND);
    kit_close(&k);
}

// ---- random commands: safety, fairness, and a copy by save and load that stays alike

static void copy_by_save(struct kit *from, struct kit *to) {
    static uint8_t chunk[4096];
    struct save_cursor cursor = {0};
    kit_open(to);
    for (size_t len; (len = lock_model.save(from->state, &cursor, chunk, sizeof chunk)) > 0;)
        assert_int_equal(lock_model.load(to->state, chunk, len), 0);
    to->apply.index = from->apply.index;
    to->apply.log_time_ms = from->apply.log_time_ms;
    assert_true(digest_equal(lock_model.digest(from->state), lock_model.digest(to->state)));
}

struct seen {
    uint32_t exclusive, shared, permits;
    uint64_t last_place, tokens[64];
    size_t count;
};
static void see_claim(void *context, const struct lock_claim_info *claim) {
    struct seen *seen = context;
    if (claim->token == 0) {
        assert_true(claim->place > seen->last_place); // first in, first out
        seen->last_place = claim->place;
        return;
    }
    seen->exclusive += claim->mode == LOCK_EXCLUSIVE;
    seen->shared += claim->mode == LOCK_SHARED;
    seen->permits += claim->mode == LOCK_PERMITS ? claim->permits : 0;
    for (size_t i = 0; i < seen->count; i++) assert_true(seen->tokens[i] != claim->token);
    if (seen->count < 64) seen->tokens[seen->count++] = claim->token;
}

static void check_lock(struct kit *k, const char *name) {
    struct seen seen = {0};
    struct lock_query query = {.name = bytes_of_text(name), .claim = see_claim, .context = &seen};
    struct result result;
    lock_model.query(k->state, &query, &result);
    assert_true(seen.exclusive <= 1 && (seen.exclusive == 0 || seen.shared == 0) && seen.permits <= 3);
    assert_true(seen.permits == 0 || seen.exclusive + seen.shared == 0);
}

static void random_step(struct kit *k, struct prng *prng) {
    static const char *const names[] = {"x", "y", "z"};
    static const char *const owners[] = {"a", "b", "c", "d", "e"};
    const char *name = names[prng_below(prng, 3)], *owner = owners[prng_below(prng, 5)];
    uint64_t session = prng_below(prng, 3);
    struct lock_request q = {.mode = (enum lock_mode)prng_below(prng, 2)};
    if (strcmp(name, "z") == 0) q = (struct lock_request){.mode = LOCK_PERMITS, .total = 3};
    q.permits = q.mode == LOCK_PERMITS ? 1 + (uint32_t)prng_below(prng, 3) : 1;
    q.ttl_ms = prng_below(prng, 2) ? 1 + prng_below(prng, 300) : 0;
    q.wait_ms = prng_below(prng, 3) == 0 ? 0 : 1 + prng_below(prng, 500);
    q.delay_ms = prng_below(prng, 8) == 0 ? prng_below(prng, 50) : 0;
    uint64_t newest = k->out.token;
    k->events[0] = '\0';
    switch (prng_below(prng, 8)) {
    case 0:
        pass(k, prng_below(prng, 60));
        break;
    case 1:
        k->apply.index++;
        lock_model.session_end(k->state, &k->apply, 1 + prng_below(prng, 2));
        break;
    case 2:
    case 3:
        release(k, session, name, owner, newest);
        break;
    default:
        ask(k, session, name, owner, q);
    }
    if (k->out.token == 0) k->out.token = newest;
    for (size_t i = 0; i < 3; i++) check_lock(k, names[i]);
}

static void random_commands_keep_every_promise(void **state) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct prng prng, twin_prng;
        struct kit *k = test_malloc(sizeof *k), *twin = test_malloc(sizeof *twin);
        prng_seed(&prng, seed);
        kit_open(k);
        for (int i = 0; i < 400; i++) random_step(k, &prng);
        copy_by_save(k, twin);
        twin->out = k->out;
        twin->result = k->result;
        twin_prng = prng;
        for (int i = 0; i < 400; i++) {
            random_step(k, &prng);
            random_step(twin, &twin_prng);
            assert_string_equal(k->events, twin->events);
            assert_int_equal(k->result.error, twin->result.error);
        }
        assert_true(digest_equal(lock_model.digest(k->state), lock_model.digest(twin->state)));
        kit_close(k);
        kit_close(twin);
        test_free(k);
        test_free(twin);
    }
}

static void see_order(void *context, const struct lock_claim_info *claim) {
    size_t len = strlen(context);
    snprintf((char *)context + len, 64 - len, "%.*s ", (int)claim->owner.len, claim->owner.data);
}

// Snapshots have claims lock by lock; a session ends its claims in the order in which it asked, and is shown so.
static void session_keeps_its_order_through_a_snapshot(void **state) {
    struct kit k, copy;
    struct lock_request waits = {.wait_ms = LOCK_WAIT_FOREVER};
    char order[64] = "";
    kit_open(&k);
    assert_int_equal(ask(&k, 7, "x", "one", waits), 0);
    assert_int_equal(ask(&k, 7, "y", "two", waits), 0);
    assert_int_equal(ask(&k, 7, "x", "three", waits), 0);
    assert_int_equal(wait_for(&k, "x", "next"), 0);
    assert_int_equal(wait_for(&k, "y", "next"), 0);
    copy_by_save(&k, &copy);
    struct lock_query query = {.session = 7, .claim = see_order, .context = order};
    lock_model.query(copy.state, &query, &copy.result);
    assert_string_equal(order, "one two three ");
    kit_close(&copy);
    copy_by_save(&k, &copy); // once more: nobody has asked it yet
    lock_model.session_end(copy.state, &copy.apply, 7);
    assert_string_equal(copy.events, "one lost x session\nnext granted x\ntwo lost y session\nnext granted y\n");
    k.events[0] = 0;
    lock_model.session_end(k.state, &k.apply, 7);
    assert_string_equal(copy.events, k.events);
    assert_true(digest_equal(lock_model.digest(copy.state), lock_model.digest(k.state)));
    kit_close(&copy);
    kit_close(&k);
}

static void damaged_records_are_refused_or_load_whole(void **state) {
    struct kit k;
    kit_open(&k);
    static uint8_t saved[8192], bad[8192];
    struct prng prng;
    prng_seed(&prng, 5);
    for (int i = 0; i < 200; i++) random_step(&k, &prng);
    struct save_cursor cursor = {0};
    size_t len = lock_model.save(k.state, &cursor, saved, sizeof saved);
    for (size_t i = 0; i < 8 * len; i++) {
        memcpy(bad, saved, len);
        bad[i / 8] ^= (uint8_t)(1u << (i & 7));
        void *other = lock_model.create();
        if (lock_model.load(other, bad, len) == 0)
            assert_true(digest_equal(lock_model.digest(other), lock_model.digest_recount(other)));
        lock_model.destroy(other);
    }
    for (size_t cut = 0; cut < len; cut++) {
        void *other = lock_model.create();
        lock_model.load(other, saved, cut);
        lock_model.destroy(other);
    }
    kit_close(&k);
}

static void many_waiters_cost_little(void **state) {
    struct kit *k = test_malloc(sizeof *k);
    kit_open(k);
    char owner[32];
    for (int i = 0; i < 100000; i++) {
        snprintf(owner, sizeof owner, "owner-%d", i);
        assert_int_equal(wait_for(k, "x", owner), 0);
    }
    assert_true(lock_model.memory(k->state) < 24u << 20); // beside it: the calls that wait (docs/performance.md)
    kit_close(k);
    test_free(k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_by_one_and_given_on_in_order),
        cmocka_unit_test(shared_together_but_writers_do_not_starve),
        cmocka_unit_test(permits_are_counted_and_nobody_overtakes),
        cmocka_unit_test(ends_with_its_time_or_its_session),
        cmocka_unit_test(session_that_waits_twice_is_gone_whole),
        cmocka_unit_test(renewed_broken_cancelled),
        cmocka_unit_test(giving_back_spares_a_newer_request),
        cmocka_unit_test(unclean_loss_delays_the_next),
        cmocka_unit_test(several_at_once_or_none),
        cmocka_unit_test(circle_of_waiting_owners_is_named),
        cmocka_unit_test(readers_that_share_make_no_circle),
        cmocka_unit_test(token_grows_after_a_restore),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(random_commands_keep_every_promise),
        cmocka_unit_test(session_keeps_its_order_through_a_snapshot),
        cmocka_unit_test(damaged_records_are_refused_or_load_whole),
        cmocka_unit_test(many_waiters_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
