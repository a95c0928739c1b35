// Idempotency keys: named cases, and random commands held against a naive model.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "model/idempotency/idempotency.h"
#include "native_kit.h"

#define TTL_MS 10000
#define LEASE_MS 1000

static const struct idempotency_result *out(const struct native *n) {
    return n->result.value;
}

static void on_event(void *context, uint8_t model, const void *event) {
    struct native *n = context;
    const struct idempotency_event *e = event;
    static const char *const types[] = {"runs", "done", "timed out", "cancelled", "lost"};
    size_t len = strlen(n->events);
    assert_int_equal(model, MODEL_IDEMPOTENCY);
    assert_true(len + 100 < sizeof n->events);
    len += (size_t)snprintf(n->events + len, sizeof n->events - len, "%.*s %s %.*s", (int)e->owner.len, e->owner.data,
                            types[e->type], (int)e->key.len, e->key.data);
    if (e->type == IDEMPOTENCY_EVENT_DONE)
        len += (size_t)snprintf(n->events + len, sizeof n->events - len, " %u %.*s%s", e->status, (int)e->body.len,
                                e->body.data, e->failed ? " failed" : "");
    if (e->type == IDEMPOTENCY_EVENT_RUN)
        len += (size_t)snprintf(n->events + len, sizeof n->events - len, " attempt %u", e->attempt);
    snprintf(n->events + len, sizeof n->events - len, "\n");
}

struct call {
    uint64_t session;
    const char *fingerprint;
    uint64_t ttl_ms, lease_ms, wait_ms;
};

static int begin_as(struct native *n, const char *key, const char *owner, struct call c) {
    struct writer w = {0};
    struct idempotency_request q = {.key = bytes_of_text(key),
                                    .owner = bytes_of_text(owner),
                                    .fingerprint = bytes_of_text(c.fingerprint ? c.fingerprint : "f"),
                                    .ttl_ms = c.ttl_ms ? c.ttl_ms : TTL_MS,
                                    .lease_ms = c.lease_ms,
                                    .wait_ms = c.wait_ms};
    if (c.session == 0 && c.lease_ms == 0) q.lease_ms = LEASE_MS;
    idempotency_write_begin(&w, c.session, 1, &q);
    return native_run(n, &w);
}
static int begin(struct native *n, const char *key, const char *owner) {
    return begin_as(n, key, owner, (struct call){0});
}
static int begin_wait(struct native *n, const char *key, const char *owner) {
    return begin_as(n, key, owner, (struct call){.wait_ms = 60000});
}
static int complete(struct native *n, const char *key, uint64_t token, uint32_t status, const char *body) {
    struct writer w = {0};
    idempotency_write_complete(&w, 0, 0, bytes_of_text(key), token, status, bytes_of_text(body));
    return native_run(n, &w);
}
static int give_up(struct native *n, const char *key, uint64_t token, bool store, uint32_t status, const char *body) {
    struct writer w = {0};
    idempotency_write_fail(&w, 0, 0, bytes_of_text(key), token, store, status, bytes_of_text(body));
    return native_run(n, &w);
}
static int extend(struct native *n, const char *key, uint64_t token, uint64_t lease_ms) {
    struct writer w = {0};
    idempotency_write_extend(&w, 0, 0, bytes_of_text(key), token, lease_ms);
    return native_run(n, &w);
}
static int cancel(struct native *n, const char *key, uint64_t ticket) {
    struct writer w = {0};
    idempotency_write_cancel(&w, 0, 0, bytes_of_text(key), ticket);
    return native_run(n, &w);
}
static int forget(struct native *n, const char *key) {
    struct writer w = {0};
    idempotency_write_forget(&w, bytes_of_text(key));
    return native_run(n, &w);
}

static void assert_stored(const struct native *n, uint32_t status, const char *body, bool failed) {
    assert_int_equal(out(n)->outcome, IDEMPOTENCY_STORED);
    assert_int_equal(out(n)->status, status);
    assert_true(bytes_equal(out(n)->body, bytes_of_text(body)));
    assert_int_equal(out(n)->failed, failed);
}

static void one_runs_and_later_ones_get_what_it_stored(void **state) {
    struct native n;
    native_open(&n, &idempotency_model, on_event);
    assert_int_equal(begin(&n, "pay", "a"), 0);
    assert_int_equal(out(&n)->outcome, IDEMPOTENCY_RUNS);
    assert_int_equal(out(&n)->attempt, 1);
    uint64_t token = out(&n)->token;
    assert_int_equal(begin(&n, "pay", "b"), IDEMPOTENCY_IN_PROGRESS);
    assert_true(bytes_equal(out(&n)->holder, bytes_of_text("a")));
    assert_true(out(&n)->due_ms == n.apply.log_time_ms + LEASE_MS);
    assert_int_equal(begin_as(&n, "pay", "b", (struct call){.fingerprint = "other"}), IDEMPOTENCY_MISMATCH);
    assert_int_equal(begin(&n, "pay", "a"), 0); // the same call once more: its answer was lost
    assert_true(out(&n)->token == token && out(&n)->attempt == 1);
    assert_int_equal(complete(&n, "pay", token + 1, 200, "paid"), IDEMPOTENCY_NOT_HELD);
    assert_int_equal(complete(&n, "pay", token, 200, "paid"), 0);
    assert_int_equal(begin(&n, "pay", "c"), 0);
    assert_stored(&n, 200, "paid", false);
    assert_int_equal(begin_as(&n, "pay", "b", (struct call){.fingerprint = "other"}), IDEMPOTENCY_MISMATCH);
    assert_int_equal(complete(&n, "pay", token, 200, "paid"), 0);
    assert_true(out(&n)->repeated);
    assert_int_equal(complete(&n, "pay", token, 200, "twice"), IDEMPOTENCY_ALREADY);
    assert_int_equal(native_pass(&n, TTL_MS - 1), 0);
    assert_int_equal(native_pass(&n, 1), 1);
    assert_int_equal(begin(&n, "pay", "c"), 0);
    assert_int_equal(out(&n)->outcome, IDEMPOTENCY_RUNS);
    assert_true(out(&n)->token > token);
    native_close(&n);
}

static void waiters_are_told_what_was_stored(void **state) {
    struct native n;
    native_open(&n, &idempotency_model, on_event);
    begin(&n, "pay", "a");
    uint64_t token = out(&n)->token;
    assert_int_equal(begin_wait(&n, "pay", "b"), 0);
    assert_int_equal(out(&n)->outcome, IDEMPOTENCY_WAITS);
    uint64_t ticket = out(&n)->ticket;
    begin_wait(&n, "pay", "c");
    begin_wait(&n, "pay", "b");
    assert_true(out(&n)->ticket == ticket); // its place is kept
    begin_as(&n, "pay", "d", (struct call){.wait_ms = 100});
    native_pass(&n, 100);
    assert_string_equal(n.events, "d timed out pay\n");
    begin_wait(&n, "pay", "e");
    assert_int_equal(cancel(&n, "pay", out(&n)->ticket), 0);
    assert_string_equal(n.events, "e cancelled pay\n");
    assert_int_equal(cancel(&n, "other", ticket), IDEMPOTENCY_NOT_FOUND);
    assert_int_equal(complete(&n, "pay", token, 201, "x"), 0);
    assert_string_equal(n.events, "b done pay 201 x\nc done pay 201 x\n");
    assert_int_equal(cancel(&n, "pay", ticket), IDEMPOTENCY_NOT_FOUND); // void
    native_close(&n);
}

static void dead_holders_key_goes_to_the_first_that_waits(void **state) {
    struct native n;
    native_open(&n, &idempotency_model, on_event);
    begin(&n, "pay", "a");
    uint64_t token = out(&n)->token;
    begin_wait(&n, "pay", "b");
    uint64_t ticket = out(&n)->ticket;
    begin_wait(&n, "pay", "c");
    native_pass(&n, LEASE_MS);
    assert_string_equal(n.events, "a lost pay\nb runs pay attempt 2\n");
    assert_int_equal(complete(&n, "pay", token, 200, "late"), IDEMPOTENCY_NOT_HELD);
    assert_int_equal(extend(&n, "pay", token, 1), IDEMPOTENCY_NOT_HELD);
    assert_int_equal(cancel(&n, "pay", ticket), 0); // too late: it runs
    assert_int_equal(out(&n)->outcome, IDEMPOTENCY_RUNS);
    assert_true(out(&n)->token > token);
    token = out(&n)->token;
    native_pass(&n, LEASE_MS - 1);
    assert_int_equal(extend(&n, "pay", token, LEASE_MS), 0);
    native_pass(&n, LEASE_MS - 1);
    assert_string_equal(n.events, "");
    assert_int_equal(give_up(&n, "pay", token, false, 0, ""), 0);
    assert_string_equal(n.events, "c runs pay attempt 3\n");
    native_close(&n);
}

static void dead_holders_key_is_free_when_nobody_waits(void **state) {
    struct native n;
    native_open(&n, &idempotency_model, on_event);
    begin(&n, "pay", "a");
    uint64_t token = out(&n)->token;
    native_pass(&n, LEASE_MS);
    assert_int_equal(begin_as(&n, "pay", "b", (struct call){.fingerprint = "other"}), IDEMPOTENCY_MISMATCH);
    assert_int_equal(begin(&n, "pay", "b"), 0);
    assert_int_equal(out(&n)->attempt, 2); // so b knows that a part may have been done
    assert_int_equal(complete(&n, "pay", token, 200, "a"), IDEMPOTENCY_NOT_HELD);
    token = out(&n)->token;
    begin(&n, "pay", "b");
    token = out(&n)->token;
    native_pass(&n, LEASE_MS);
    assert_int_equal(complete(&n, "pay", token, 200, "b"), 0); // late, but nobody else has begun
    begin(&n, "pay", "c");
    assert_stored(&n, 200, "b", false);
    begin(&n, "gone", "a");
    native_pass(&n, LEASE_MS);
    assert_int_equal(native_pass(&n, TTL_MS), 2);
    assert_int_equal(begin_as(&n, "gone", "b", (struct call){.fingerprint = "other"}), 0);
    native_close(&n);
}

static void failure_frees_or_is_stored(void **state) {
    struct native n;
    native_open(&n, &idempotency_model, on_event);
    begin(&n, "pay", "a");
    uint64_t token = out(&n)->token;
    assert_int_equal(give_up(&n, "pay", token, false, 500, "no"), 0);
    assert_int_equal(complete(&n, "pay", token, 200, "yes"), IDEMPOTENCY_NOT_HELD); // it gave up
    begin(&n, "pay", "b");
    assert_int_equal(out(&n)->outcome, IDEMPOTENCY_RUNS);
    token = out(&n)->token;
    begin_wait(&n, "pay", "c");
    assert_int_equal(give_up(&n, "pay", token, true, 402, "no money"), 0);
    assert_string_equal(n.events, "c done pay 402 no money failed\n");
    begin(&n, "pay", "d");
    assert_stored(&n, 402, "no money", true);
    assert_int_equal(give_up(&n, "pay", token, true, 402, "no money"), 0);
    assert_true(out(&n)->repeated);
    assert_int_equal(complete(&n, "pay", token, 402, "no money"), IDEMPOTENCY_ALREADY);
    assert_int_equal(forget(&n, "pay"), 0);
    assert_int_equal(forget(&n, "pay"), IDEMPOTENCY_NOT_FOUND);
    begin(&n, "pay", "d");
    assert_int_equal(out(&n)->attempt, 1);
    assert_int_equal(forget(&n, "pay"), IDEMPOTENCY_IN_PROGRESS);
    native_close(&n);
}

static void session_takes_its_runs_and_its_places_with_it(void **state) {
    struct native n;
    native_open(&n, &idempotency_model, on_event);
    begin_as(&n, "x", "a", (struct call){.session = 7});
    begin_as(&n, "x", "b", (struct call){.session = 7, .wait_ms = 60000});
    begin_as(&n, "x", "c", (struct call){.session = 8, .wait_ms = 60000});
    begin_as(&n, "y", "a", (struct call){.session = 8});
    begin_as(&n, "y", "b", (struct call){.session = 7, .wait_ms = 60000});
    assert_int_equal(native_pass(&n, 50000), 0); // no lease: it lives with its session
    native_end_session(&n, 7);
    assert_string_equal(n.events, "a lost x\nc runs x attempt 2\n");
    native_end_session(&n, 9);
    assert_string_equal(n.events, "");
    native_end_session(&n, 8);
    assert_string_equal(n.events, "c lost x\na lost y\n");
    native_close(&n);
}

static void tokens_grow_after_a_restore(void **state) {
    struct native n;
    native_open(&n, &idempotency_model, on_event);
    begin(&n, "x", "a");
    n.apply.index += 1ull << 40;
    begin(&n, "y", "a");
    assert_true(out(&n)->token >= 1ull << 40);
    native_close(&n);
}

static void long_bodies_are_kept_whole(void **state) {
    struct native n, copy;
    native_open(&n, &idempotency_model, on_event);
    char *body = test_malloc(IDEMPOTENCY_BODY_BYTES_MAX + 2);
    memset(body, 'b', IDEMPOTENCY_BODY_BYTES_MAX + 1);
    body[IDEMPOTENCY_BODY_BYTES_MAX + 1] = '\0';
    begin(&n, "x", "a");
    uint64_t token = out(&n)->token;
    assert_int_equal(complete(&n, "x", token, 200, body), IDEMPOTENCY_BAD_ARGUMENTS);
    body[IDEMPOTENCY_BODY_BYTES_MAX] = '\0';
    assert_int_equal(complete(&n, "x", token, 200, body), 0);
    assert_true(n.ops->memory(n.state) > IDEMPOTENCY_BODY_BYTES_MAX);
    native_copy(&n, &copy, SAVE_RECORD_BYTES_MAX);
    begin(&copy, "x", "b");
    assert_stored(&copy, 200, body, false);
    native_close(&n);
    native_close(&copy);
    test_free(body);
}

static void see_key(void *context, const struct idempotency_info *info) {
    struct native *n = context;
    size_t len = strlen(n->events);
    snprintf(n->events + len, sizeof n->events - len, "%.*s %d %.*s %u waiting %u attempts\n", (int)info->key.len,
             info->key.data, info->outcome, (int)info->holder.len, info->holder.data, info->waiters, info->attempts);
}

static void listed_with_who_runs_and_who_waits(void **state) {
    struct native n;
    native_open(&n, &idempotency_model, on_event);
    begin(&n, "a/1", "x");
    begin_wait(&n, "a/1", "y");
    begin(&n, "a/2", "z");
    complete(&n, "a/2", out(&n)->token, 0, "");
    begin(&n, "b", "z");
    give_up(&n, "b", out(&n)->token, false, 0, "");
    struct idempotency_query q = {.page = {.max = 10}, .key = see_key, .context = &n};
    struct result result;
    n.events[0] = '\0';
    idempotency_model.query(n.state, &q, &result);
    assert_string_equal(n.events,
                        "a/1 1 x 1 waiting 1 attempts\na/2 3  0 waiting 1 attempts\nb 0  0 waiting 1 attempts\n");
    q.page = (struct items_page){.prefix = bytes_of_text("a/"), .after = bytes_of_text("a/1"), .max = 1};
    n.events[0] = '\0';
    idempotency_model.query(n.state, &q, &result);
    assert_string_equal(n.events, "a/2 3  0 waiting 1 attempts\n");
    native_close(&n);
}

static void bounds_are_kept(void **state) {
    struct native n;
    char text[300];
    native_open(&n, &idempotency_model, NULL);
    begin(&n, "x", "a");
    for (uint32_t i = 0; i < IDEMPOTENCY_WAITERS_MAX; i++) assert_int_equal(begin_wait(&n, "x", ""), 0);
    assert_int_equal(begin_wait(&n, "x", ""), IDEMPOTENCY_LIMIT);
    assert_int_equal(begin(&n, "x", ""), IDEMPOTENCY_IN_PROGRESS);
    for (uint32_t i = 0; i < IDEMPOTENCY_SESSION_MAX; i++) {
        snprintf(text, sizeof text, "key-%u", i);
        assert_int_equal(begin_as(&n, text, "", (struct call){.session = 5}), 0);
    }
    assert_int_equal(begin_as(&n, "more", "", (struct call){.session = 5}), IDEMPOTENCY_LIMIT);
    native_end_session(&n, 5);
    assert_int_equal(begin_as(&n, "more", "", (struct call){.session = 5}), 0);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(begin(&n, text, "a"), IDEMPOTENCY_BAD_ARGUMENTS);
    assert_int_equal(begin(&n, "", "a"), IDEMPOTENCY_BAD_ARGUMENTS);
    assert_int_equal(begin(&n, "y", text), IDEMPOTENCY_BAD_ARGUMENTS);
    assert_int_equal(begin_as(&n, "y", "a", (struct call){.fingerprint = text}), IDEMPOTENCY_BAD_ARGUMENTS);
    assert_int_equal(begin_as(&n, "y", "a", (struct call){.lease_ms = IDEMPOTENCY_LEASE_MS_MAX + 1}),
                     IDEMPOTENCY_BAD_ARGUMENTS);
    assert_int_equal(begin_as(&n, "y", "a", (struct call){.ttl_ms = IDEMPOTENCY_TTL_MS_MAX + 1}),
                     IDEMPOTENCY_BAD_ARGUMENTS);
    assert_int_equal(begin_as(&n, "y", "a", (struct call){.wait_ms = IDEMPOTENCY_WAIT_MS_MAX + 1}),
                     IDEMPOTENCY_BAD_ARGUMENTS);
    assert_int_equal(forget(&n, "y"), IDEMPOTENCY_NOT_FOUND); // errors leave nothing behind
    native_garbage(&n, 4);
    native_close(&n);
}

// ---- random commands against a naive model: flat arrays that are searched whole

#define KEYS 4
#define CLAIMS 4096
struct naive {
    struct {
        bool there, done, failed;
        char fingerprint, body[4];
        uint64_t number, token, ttl_ms, due_ms;
        uint32_t attempts, status;
    } keys[KEYS];
    struct {
        bool alive;
        size_t key;
        char owner;
        uint64_t session, ticket, token, lease_ms, ttl_ms, due_ms;
    } claims[CLAIMS]; // in the order of tickets
    size_t claim_count;
    uint64_t number, token, index, now_ms;
    char events[1 << 14];
};

#define NONE SIZE_MAX
static const char *const names[KEYS] = {"k0", "k1", "k2", "k3"};

static void tell(struct naive *m, size_t c, const char *what, const char *more) {
    size_t len = strlen(m->events);
    snprintf(m->events + len, sizeof m->events - len, "%c %s %s%s\n", m->claims[c].owner, what, names[m->claims[c].key],
             more);
}

static size_t naive_find(const struct naive *m, size_t key, bool runs) { // the run, or the first that waits
    for (size_t c = 0; c < m->claim_count; c++)
        if (m->claims[c].alive && m->claims[c].key == key && (m->claims[c].token != 0) == runs) return c;
    return NONE;
}

static void naive_run(struct naive *m, size_t c) {
    size_t key = m->claims[c].key;
    m->token = m->token + 1 > m->index ? m->token + 1 : m->index;
    m->claims[c].token = m->keys[key].token = m->token;
    m->claims[c].due_ms = m->claims[c].lease_ms ? m->now_ms + m->claims[c].lease_ms : UINT64_MAX;
    m->keys[key].due_ms = UINT64_MAX;
    m->keys[key].ttl_ms = m->claims[c].ttl_ms;
    m->keys[key].attempts++;
}

static void naive_give_on(struct naive *m, size_t key) {
    size_t c = naive_find(m, key, false);
    char more[32];
    if (c == NONE) {
        m->keys[key].due_ms = m->now_ms + m->keys[key].ttl_ms;
        return;
    }
    naive_run(m, c);
    snprintf(more, sizeof more, " attempt %u", m->keys[key].attempts);
    tell(m, c, "runs", more);
}

static void naive_lost(struct naive *m, size_t c) {
    tell(m, c, "lost", "");
    m->claims[c].alive = false;
    naive_give_on(m, m->claims[c].key);
}

static void naive_store(struct naive *m, size_t key, bool failed, uint32_t status, const char *body) {
    char more[32];
    size_t run = naive_find(m, key, true);
    if (run != NONE) m->claims[run].alive = false;
    m->keys[key].done = true;
    m->keys[key].failed = failed;
    m->keys[key].status = status;
    m->keys[key].due_ms = m->now_ms + m->keys[key].ttl_ms;
    snprintf(m->keys[key].body, sizeof m->keys[key].body, "%s", body);
    snprintf(more, sizeof more, " %u %s%s", status, body, failed ? " failed" : "");
    for (size_t c; (c = naive_find(m, key, false)) != NONE; m->claims[c].alive = false) tell(m, c, "done", more);
}

static size_t naive_pass(struct naive *m, uint64_t ms) { // the smallest (deadline, number) first
    m->now_ms += ms;
    for (size_t ended = 0;; ended++) {
        uint64_t due = UINT64_MAX, tie = UINT64_MAX;
        size_t claim = NONE, key = NONE;
        for (size_t c = 0; c < m->claim_count; c++) {
            if (!m->claims[c].alive || m->claims[c].due_ms >= due) continue; // tickets ascend
            due = m->claims[c].due_ms;
            tie = m->claims[c].ticket;
            claim = c;
        }
        for (size_t k = 0; k < KEYS; k++) {
            bool first = m->keys[k].due_ms < due || (m->keys[k].due_ms == due && m->keys[k].number < tie);
            if (!m->keys[k].there || !first) continue;
            due = m->keys[k].due_ms;
            tie = m->keys[k].number;
            key = k;
        }
        if (due > m->now_ms) return ended;
        if (key != NONE)
            memset(&m->keys[key], 0, sizeof m->keys[key]);
        else if (m->claims[claim].token != 0)
            naive_lost(m, claim);
        else {
            tell(m, claim, "timed out", "");
            m->claims[claim].alive = false;
        }
    }
}

static void naive_end_session(struct naive *m, uint64_t session) {
    for (size_t c = 0; c < m->claim_count; c++)
        if (m->claims[c].session == session && m->claims[c].token == 0) m->claims[c].alive = false;
    for (size_t c = 0; c < m->claim_count; c++)
        if (m->claims[c].alive && m->claims[c].session == session) naive_lost(m, c);
}

static int naive_begin(struct naive *m, size_t key, char owner, struct call q, uint64_t *token, uint64_t *ticket) {
    if (m->keys[key].there && m->keys[key].fingerprint != q.fingerprint[0]) return IDEMPOTENCY_MISMATCH;
    if (m->keys[key].done) return 0;
    for (size_t c = 0; c < m->claim_count; c++) {
        if (!m->claims[c].alive || m->claims[c].key != key || m->claims[c].owner != owner) continue;
        if (m->claims[c].session != q.session) continue;
        *ticket = m->claims[c].ticket;
        *token = m->claims[c].token;
        if (*token == 0) return 0;
        m->claims[c].lease_ms = q.lease_ms;
        m->claims[c].due_ms = q.lease_ms ? m->now_ms + q.lease_ms : UINT64_MAX;
        return 0;
    }
    bool running = naive_find(m, key, true) != NONE;
    if (running && q.wait_ms == 0) return IDEMPOTENCY_IN_PROGRESS;
    if (!m->keys[key].there) {
        m->keys[key].there = true;
        m->keys[key].fingerprint = q.fingerprint[0];
        m->keys[key].number = ++m->number;
    }
    size_t c = m->claim_count++;
    assert_true(c < CLAIMS);
    m->claims[c].alive = true;
    m->claims[c].key = key;
    m->claims[c].owner = owner;
    m->claims[c].session = q.session;
    m->claims[c].ticket = *ticket = ++m->number;
    m->claims[c].lease_ms = q.lease_ms;
    m->claims[c].ttl_ms = q.ttl_ms;
    m->claims[c].due_ms = m->now_ms + q.wait_ms;
    if (!running) naive_run(m, c);
    *token = m->claims[c].token;
    return 0;
}

static void random_begin(struct native *n, struct naive *m, struct prng *prng) {
    size_t key = prng_below(prng, KEYS);
    char owner[2] = {(char)('a' + prng_below(prng, 6)), '\0'};
    struct call q = {.session = prng_below(prng, 3), .fingerprint = prng_below(prng, 10) ? "f" : "g"};
    q.ttl_ms = 1 + prng_below(prng, 300);
    q.lease_ms = q.session && prng_below(prng, 2) ? 0 : 1 + prng_below(prng, 200);
    q.wait_ms = prng_below(prng, 3) ? 1 + prng_below(prng, 200) : 0;
    uint64_t token = 0, ticket = 0;
    int error = begin_as(n, names[key], owner, q);
    m->index = n->apply.index;
    assert_int_equal(error, naive_begin(m, key, owner[0], q, &token, &ticket));
    if (error != 0) return;
    if (m->keys[key].done) {
        assert_stored(n, m->keys[key].status, m->keys[key].body, m->keys[key].failed);
        return;
    }
    assert_int_equal(out(n)->outcome, token != 0 ? IDEMPOTENCY_RUNS : IDEMPOTENCY_WAITS);
    assert_true(out(n)->token == token && out(n)->ticket == ticket);
    if (token != 0) assert_int_equal(out(n)->attempt, m->keys[key].attempts);
}

static void random_end(struct native *n, struct naive *m, struct prng *prng) {
    size_t key = prng_below(prng, KEYS);
    static const char *const bodies[] = {"", "u", "v"};
    const char *body = bodies[prng_below(prng, 3)];
    uint64_t token = prng_below(prng, 4) ? m->keys[key].token : prng_below(prng, m->token + 2);
    uint32_t status = 200 + (uint32_t)prng_below(prng, 2), how = (uint32_t)prng_below(prng, 3);
    bool held = m->keys[key].there && token != 0 && m->keys[key].token == token, failed = how != 0;
    int error =
        how == 0 ? complete(n, names[key], token, status, body) : give_up(n, names[key], token, how == 1, status, body);
    m->index = n->apply.index;
    if (!held) {
        assert_int_equal(error, IDEMPOTENCY_NOT_HELD);
    } else if (m->keys[key].done) {
        bool alike = m->keys[key].failed == failed && m->keys[key].status == status;
        alike = alike && strcmp(m->keys[key].body, body) == 0;
        assert_int_equal(error, alike ? 0 : IDEMPOTENCY_ALREADY);
    } else {
        assert_int_equal(error, 0);
        if (how < 2) {
            naive_store(m, key, failed, status, body);
            return;
        }
        size_t run = naive_find(m, key, true);
        m->keys[key].token = 0;
        if (run == NONE) return;
        m->claims[run].alive = false;
        naive_give_on(m, key);
    }
}

static void random_other(struct native *n, struct naive *m, struct prng *prng) {
    size_t key = prng_below(prng, KEYS), run = naive_find(m, key, true);
    uint64_t ticket = prng_below(prng, m->number + 2), ms = 1 + prng_below(prng, 200), token = m->keys[key].token;
    switch (prng_below(prng, 3)) {
    case 0: {
        int error = extend(n, names[key], token, ms);
        assert_int_equal(error, run != NONE && token != 0 ? 0 : IDEMPOTENCY_NOT_HELD);
        if (error == 0) m->claims[run].due_ms = m->now_ms + ms;
        break;
    }
    case 1: {
        size_t found = NONE;
        for (size_t c = 0; c < m->claim_count; c++)
            if (m->claims[c].alive && m->claims[c].ticket == ticket && m->claims[c].key == key) found = c;
        assert_int_equal(cancel(n, names[key], ticket), found != NONE ? 0 : IDEMPOTENCY_NOT_FOUND);
        if (found != NONE && m->claims[found].token == 0) {
            m->claims[found].alive = false;
            tell(m, found, "cancelled", "");
        }
        break;
    }
    default: {
        int error = forget(n, names[key]);
        assert_int_equal(error, !m->keys[key].there ? IDEMPOTENCY_NOT_FOUND
                                : run != NONE       ? IDEMPOTENCY_IN_PROGRESS
                                                    : 0);
        if (error == 0) memset(&m->keys[key], 0, sizeof m->keys[key]);
    }
    }
    m->index = n->apply.index;
}

static void compare_key(void *context, const struct idempotency_info *info) {
    struct naive *m = context;
    size_t key = (size_t)(info->key.data[1] - '0'), run = naive_find(m, key, true);
    uint32_t waiters = 0;
    for (size_t c = 0; c < m->claim_count; c++)
        waiters += m->claims[c].alive && m->claims[c].key == key && m->claims[c].token == 0;
    assert_true(m->keys[key].there && info->waiters == waiters && info->attempts == m->keys[key].attempts);
    assert_int_equal(info->outcome, run != NONE ? IDEMPOTENCY_RUNS : m->keys[key].done ? IDEMPOTENCY_STORED : 0);
    assert_true(info->due_ms == (run != NONE ? m->claims[run].due_ms : m->keys[key].due_ms));
    assert_true(run == NONE ||
                (info->holder.data[0] == m->claims[run].owner && info->session == m->claims[run].session));
}

static void random_step(struct native *n, struct naive *m, struct prng *prng) {
    uint64_t what = prng_below(prng, 20), ms = prng_below(prng, 40), session = 1 + prng_below(prng, 2);
    m->events[0] = '\0';
    if (what == 0) {
        m->index = n->apply.index + 1;
        assert_int_equal(native_pass(n, ms), naive_pass(m, ms));
    } else if (what == 1) {
        m->index = n->apply.index + 1;
        native_end_session(n, session);
        naive_end_session(m, session);
    } else if (what < 12) {
        random_begin(n, m, prng);
    } else if (what < 16) {
        m->index = n->apply.index + 1;
        random_end(n, m, prng);
    } else {
        random_other(n, m, prng);
    }
    assert_string_equal(n->events, m->events);
    struct idempotency_query q = {.page = {.max = KEYS}, .key = compare_key, .context = m};
    struct result result;
    idempotency_model.query(n->state, &q, &result);
}

static void random_commands_match_a_naive_model(void **state) {
    struct naive *m = test_malloc(sizeof *m);
    struct native n, copy;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct prng prng;
        prng_seed(&prng, seed);
        memset(m, 0, sizeof *m);
        native_open(&n, &idempotency_model, on_event);
        m->now_ms = n.apply.log_time_ms;
        for (int i = 0; i < 2000; i++) {
            random_step(&n, m, &prng);
            if (i % 16 == 0) native_check(&n);
            if (prng_below(&prng, 100) != 0) continue;
            native_copy(&n, &copy, 512); // goes on from what was saved
            native_ends_alike(&n);
            native_close(&n);
            n = copy;
            n.apply.emit_context = &n;
        }
        if (seed <= 3) native_damage(&n, seed);
        native_close(&n);
    }
    test_free(m);
}

static void cost_of_a_command(void **state) {
    struct native n;
    struct timespec started;
    char key[32];
    native_open(&n, &idempotency_model, NULL);
    clock_gettime(CLOCK_MONOTONIC, &started);
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "payment-%d", i);
        assert_int_equal(begin(&n, key, "host-1/7"), 0);
        assert_int_equal(complete(&n, key, out(&n)->token, 200, "{\"paid\":true,\"amount\":1200}"), 0);
    }
    native_rate("idempotency begin and complete (commands)", 200000, &started);
    uint64_t bytes = n.ops->memory(n.state) / 100000;
    fprintf(stderr, "a stored key: %llu bytes\n", (unsigned long long)bytes);
    assert_true(bytes < 400);
    native_pass(&n, TTL_MS);
    assert_true(n.ops->memory(n.state) == 0);
    native_close(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_runs_and_later_ones_get_what_it_stored),
        cmocka_unit_test(waiters_are_told_what_was_stored),
        cmocka_unit_test(dead_holders_key_goes_to_the_first_that_waits),
        cmocka_unit_test(dead_holders_key_is_free_when_nobody_waits),
        cmocka_unit_test(failure_frees_or_is_stored),
        cmocka_unit_test(session_takes_its_runs_and_its_places_with_it),
        cmocka_unit_test(tokens_grow_after_a_restore),
        cmocka_unit_test(long_bodies_are_kept_whole),
        cmocka_unit_test(listed_with_who_runs_and_who_waits),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(random_commands_match_a_naive_model),
        cmocka_unit_test(cost_of_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
