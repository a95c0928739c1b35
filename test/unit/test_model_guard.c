// One-time tokens, guarded states, values with fencing, bounded counters: named cases, and random commands held against
// a naive model.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "model/guard/guard.h"
#include "native_kit.h"

#define TTL_MS 10000

static const struct guard_result *out(const struct native *n) {
    return n->result.value;
}

static bool is(struct bytes span, const char *text) {
    return bytes_equal(span, bytes_of_text(text));
}

static int issue(struct native *n, const char *token, const char *purpose, uint64_t ttl_ms) {
    struct writer w = {0};
    struct bytes tokens[] = {bytes_of_text(token)};
    guard_write_issue(&w, 0, 0, bytes_of_text(purpose), ttl_ms, tokens, 1);
    return native_run(n, &w);
}
static int consume(struct native *n, const char *token, const char *purpose, const char *caller) {
    struct writer w = {0};
    guard_write_consume(&w, 0, 0, bytes_of_text(token), bytes_of_text(purpose), bytes_of_text(caller));
    return native_run(n, &w);
}
static int change(struct native *n, const char *entity, const char *from, const char *to, const char *request,
                  uint64_t ttl_ms) {
    struct writer w = {0};
    struct guard_transition t = {.entity = bytes_of_text(entity),
                                 .from = bytes_of_text(from),
                                 .to = bytes_of_text(to),
                                 .request = bytes_of_text(request),
                                 .caller = bytes_of_text("caller"),
                                 .ttl_ms = ttl_ms};
    guard_write_transition(&w, 0, 0, &t);
    return native_run(n, &w);
}
static int delete_entity(struct native *n, const char *entity, const char *state) {
    struct writer w = {0};
    guard_write_entity_delete(&w, 0, 0, bytes_of_text(entity), bytes_of_text(state));
    return native_run(n, &w);
}
static int put(struct native *n, const char *name, uint64_t expected, uint64_t token, const char *value) {
    struct writer w = {0};
    guard_write_put(&w, 0, 0, bytes_of_text(name), expected, token, bytes_of_text(value));
    return native_run(n, &w);
}
static int delete_value(struct native *n, const char *name, uint64_t expected, uint64_t token) {
    struct writer w = {0};
    guard_write_delete(&w, 0, 0, bytes_of_text(name), expected, token);
    return native_run(n, &w);
}
static int set(struct native *n, const char *name, int64_t value, int64_t floor, int64_t ceiling) {
    struct writer w = {0};
    guard_write_counter_set(&w, bytes_of_text(name), value, floor, ceiling);
    return native_run(n, &w);
}
static int add_both(struct native *n, const char *request, uint64_t ttl_ms, const char *a, int64_t delta_a,
                    const char *b, int64_t delta_b) {
    struct writer w = {0};
    struct guard_addition additions[] = {{bytes_of_text(a), delta_a}, {bytes_of_text(b ? b : ""), delta_b}};
    guard_write_counter_add(&w, 0, 0, bytes_of_text(request), ttl_ms, additions, b ? 2 : 1);
    return native_run(n, &w);
}
static int add(struct native *n, const char *name, int64_t delta) {
    return add_both(n, "", 0, name, delta, NULL, 0);
}
static int delete_counter(struct native *n, const char *name) {
    struct writer w = {0};
    guard_write_counter_delete(&w, bytes_of_text(name));
    return native_run(n, &w);
}

static void token_is_consumed_once(void **state) {
    struct native n;
    native_open(&n, &guard_model, NULL);
    assert_int_equal(issue(&n, "t1", "order form", TTL_MS), 0);
    assert_int_equal(issue(&n, "t1", "order form", TTL_MS), GUARD_EXISTS);
    assert_int_equal(consume(&n, "t2", "order form", "a"), GUARD_NOT_FOUND);
    assert_int_equal(consume(&n, "t1", "another form", "a"), GUARD_MISMATCH);
    native_pass(&n, 5);
    int64_t then = n.apply.unix_ms;
    assert_int_equal(consume(&n, "t1", "order form", "host a, click 7"), 0);
    native_pass(&n, 500);
    assert_int_equal(consume(&n, "t1", "order form", "host b"), GUARD_CONSUMED);
    assert_true(is(out(&n)->by, "host a, click 7") && out(&n)->at_unix_ms == then);
    assert_int_equal(issue(&n, "t1", "order form", TTL_MS), GUARD_EXISTS); // known to its time's end
    assert_int_equal(native_pass(&n, TTL_MS - 506), 0);
    assert_int_equal(native_pass(&n, 1), 1);
    assert_int_equal(consume(&n, "t1", "order form", "a"), GUARD_NOT_FOUND);
    native_close(&n);
}

static void tokens_are_issued_all_or_none(void **state) {
    struct native n;
    native_open(&n, &guard_model, NULL);
    struct bytes tokens[] = {bytes_of_text("a"), bytes_of_text("b"), bytes_of_text("a")};
    struct writer w = {0};
    guard_write_issue(&w, 0, 0, bytes_of_text(""), TTL_MS, tokens, 3);
    assert_int_equal(native_run(&n, &w), GUARD_EXISTS);
    assert_int_equal(consume(&n, "b", "", ""), GUARD_NOT_FOUND);
    guard_write_issue(&w, 0, 0, bytes_of_text(""), TTL_MS, tokens, 2);
    assert_int_equal(native_run(&n, &w), 0);
    assert_int_equal(consume(&n, "b", "", ""), 0);
    assert_int_equal(consume(&n, "b", "", ""), GUARD_CONSUMED);
    native_close(&n);
}

static void state_changes_only_from_the_expected_one(void **state) {
    struct native n;
    native_open(&n, &guard_model, NULL);
    assert_int_equal(change(&n, "order 1", "NEW", "PAID", "", 0), GUARD_NOT_FOUND);
    assert_int_equal(change(&n, "order 1", "", "NEW", "", 0), 0);
    uint64_t version = out(&n)->version;
    assert_int_equal(change(&n, "order 1", "", "NEW", "", 0), GUARD_STATE);
    assert_true(is(out(&n)->state, "NEW") && out(&n)->version == version);
    assert_int_equal(change(&n, "order 1", "NEW", "PAID", "pay-1", 0), 0);
    assert_true(out(&n)->version > version && is(out(&n)->state, "PAID"));
    version = out(&n)->version;
    assert_int_equal(change(&n, "order 1", "NEW", "CANCELLED", "", 0), GUARD_STATE);
    assert_int_equal(change(&n, "order 1", "PAID", "SENT", "", 0), 0);
    assert_int_equal(change(&n, "order 1", "NEW", "PAID", "pay-1", 0), 0); // a retry that comes late
    assert_true(out(&n)->repeated && out(&n)->version == version && is(out(&n)->state, "PAID"));
    assert_int_equal(change(&n, "order 1", "NEW", "CANCELLED", "pay-1", 0), GUARD_MISMATCH);
    assert_int_equal(delete_entity(&n, "order 1", "PAID"), GUARD_STATE);
    assert_int_equal(delete_entity(&n, "order 1", "SENT"), 0);
    assert_int_equal(delete_entity(&n, "order 1", "SENT"), GUARD_NOT_FOUND);
    native_close(&n);
}

static void see_change(void *context, const struct guard_entity_info *info) {
    struct native *n = context;
    size_t len = strlen(n->events);
    snprintf(n->events + len, sizeof n->events - len, "%.*s:%.*s ", (int)info->request.len, info->request.data,
             (int)info->state.len, info->state.data);
}

static void last_changes_are_kept(void **state) {
    struct native n;
    char request[16];
    struct result result;
    native_open(&n, &guard_model, NULL);
    change(&n, "x", "", "A", "r0", 0);
    for (int i = 1; i < 11; i++) {
        snprintf(request, sizeof request, "r%d", i);
        assert_int_equal(change(&n, "x", i % 2 ? "A" : "B", i % 2 ? "B" : "A", request, 0), 0);
    }
    struct guard_query q = {.page = {.name = bytes_of_text("x"), .max = 1}, .entity = see_change, .context = &n};
    n.events[0] = '\0';
    guard_model.query(n.state, &q, &result);
    assert_string_equal(n.events, "r3:B r4:A r5:B r6:A r7:B r8:A r9:B r10:A ");
    q.page = (struct items_page){.max = 10};
    n.events[0] = '\0';
    guard_model.query(n.state, &q, &result);
    assert_string_equal(n.events, "r10:A ");
    assert_int_equal(change(&n, "x", "A", "B", "r3", 0), 0);
    assert_true(out(&n)->repeated);
    assert_int_equal(change(&n, "x", "A", "B", "r2", 0), 0); // forgotten: it is a new one
    assert_false(out(&n)->repeated);
    assert_int_equal(change(&n, "x", "B", "END", "r11", 500), 0);
    assert_int_equal(native_pass(&n, 499), 0);
    assert_int_equal(native_pass(&n, 1), 1);
    assert_int_equal(change(&n, "x", "", "A", "", 0), 0);
    native_close(&n);
}

static void value_is_written_at_the_expected_version(void **state) {
    struct native n;
    native_open(&n, &guard_model, NULL);
    assert_int_equal(put(&n, "v", 5, 0, "a"), GUARD_VERSION);
    assert_true(out(&n)->version == 0);
    assert_int_equal(put(&n, "v", 0, 0, "a"), 0);
    uint64_t first = out(&n)->version;
    assert_int_equal(put(&n, "v", 0, 0, "b"), GUARD_VERSION);
    assert_true(out(&n)->version == first && is(out(&n)->value, "a"));
    assert_int_equal(put(&n, "v", first, 0, "b"), 0);
    assert_true(out(&n)->version > first);
    assert_int_equal(put(&n, "v", GUARD_ANY, 0, "c"), 0);
    uint64_t last = out(&n)->version;
    assert_int_equal(delete_value(&n, "v", first, 0), GUARD_VERSION);
    assert_int_equal(delete_value(&n, "v", last, 0), 0);
    assert_int_equal(delete_value(&n, "v", GUARD_ANY, 0), GUARD_NOT_FOUND);
    assert_int_equal(put(&n, "v", 0, 0, "d"), 0);
    assert_true(out(&n)->version > last); // also over a deletion
    assert_int_equal(put(&n, "v", last, 0, "e"), GUARD_VERSION);
    native_close(&n);
}

static void older_fencing_token_changes_nothing(void **state) {
    struct native n;
    native_open(&n, &guard_model, NULL);
    assert_int_equal(put(&n, "v", GUARD_ANY, 17, "a"), 0);
    assert_int_equal(put(&n, "v", GUARD_ANY, 18, "b"), 0);
    assert_int_equal(put(&n, "v", GUARD_ANY, 17, "stale"), GUARD_OLD_TOKEN);
    assert_true(out(&n)->token == 18);
    assert_int_equal(put(&n, "v", GUARD_ANY, 0, "unfenced"), GUARD_OLD_TOKEN);
    assert_int_equal(put(&n, "v", GUARD_ANY, 18, "c"), 0);
    assert_int_equal(delete_value(&n, "v", GUARD_ANY, 17), GUARD_OLD_TOKEN);
    assert_int_equal(delete_value(&n, "v", GUARD_ANY, 19), 0);
    assert_int_equal(put(&n, "v", 0, 18, "stale"), GUARD_OLD_TOKEN); // deleted, but not forgotten
    assert_int_equal(delete_value(&n, "v", GUARD_ANY, 20), GUARD_NOT_FOUND);
    native_pass(&n, GUARD_MARK_MS - 1);
    assert_int_equal(put(&n, "v", 0, 18, "stale"), GUARD_OLD_TOKEN);
    assert_int_equal(native_pass(&n, 1), 1);
    assert_int_equal(put(&n, "v", 0, 1, "d"), 0);
    native_close(&n);
}

static void counter_stays_between_floor_and_ceiling(void **state) {
    struct native n;
    native_open(&n, &guard_model, NULL);
    assert_int_equal(add(&n, "stock", -1), GUARD_BELOW);
    assert_true(is(out(&n)->refused, "stock") && out(&n)->rest == 0);
    assert_int_equal(add(&n, "stock", 5), 0);
    assert_true(out(&n)->value_count == 1 && out(&n)->values[0] == 5);
    assert_int_equal(add(&n, "stock", -6), GUARD_BELOW);
    assert_true(out(&n)->rest == 5);
    assert_int_equal(add(&n, "stock", -5), 0);
    assert_int_equal(set(&n, "stock", 5, 10, 20), GUARD_BAD_ARGUMENTS);
    assert_int_equal(set(&n, "stock", 15, -10, 20), 0);
    assert_int_equal(add(&n, "stock", 6), GUARD_ABOVE);
    assert_int_equal(add(&n, "stock", -25), 0);
    assert_true(out(&n)->values[0] == -10);
    assert_int_equal(add(&n, "stock", INT64_MIN), GUARD_BELOW);
    assert_int_equal(add(&n, "sum", INT64_MAX), 0);
    assert_int_equal(add(&n, "sum", INT64_MAX), GUARD_ABOVE);
    assert_int_equal(delete_counter(&n, "sum"), 0);
    assert_int_equal(delete_counter(&n, "sum"), GUARD_NOT_FOUND);
    native_close(&n);
}

static void counters_change_together_or_not(void **state) {
    struct native n;
    native_open(&n, &guard_model, NULL);
    add(&n, "alice", 100);
    assert_int_equal(add_both(&n, "", 0, "bob", 150, "alice", -150), GUARD_BELOW);
    assert_true(is(out(&n)->refused, "alice") && out(&n)->rest == 100);
    assert_int_equal(add_both(&n, "", 0, "bob", 60, "alice", -60), 0);
    assert_true(out(&n)->values[0] == 60 && out(&n)->values[1] == 40);
    assert_int_equal(add_both(&n, "", 0, "bob", 1, "bob", -1), GUARD_BAD_ARGUMENTS);
    native_close(&n);
}

static void retry_of_an_addition_counts_once(void **state) {
    struct native n;
    native_open(&n, &guard_model, NULL);
    assert_int_equal(add_both(&n, "r1", 1000, "a", 10, "b", 20), 0);
    add(&n, "a", 5);
    assert_int_equal(add_both(&n, "r1", 1000, "a", 10, "b", 20), 0);
    assert_true(out(&n)->repeated && out(&n)->values[0] == 10 && out(&n)->values[1] == 20);
    assert_int_equal(add_both(&n, "r1", 1000, "a", 11, "b", 20), GUARD_MISMATCH);
    assert_int_equal(add_both(&n, "r2", 1000, "a", -100, NULL, 0), GUARD_BELOW);
    assert_int_equal(add_both(&n, "r2", 1000, "a", -15, NULL, 0), 0); // a refusal is not remembered
    assert_true(out(&n)->values[0] == 0);
    assert_int_equal(native_pass(&n, 1000), 2);
    assert_int_equal(add_both(&n, "r1", 1000, "a", 10, "b", 20), 0);
    assert_true(!out(&n)->repeated && out(&n)->values[1] == 40);
    native_close(&n);
}

static void see_token(void *context, const struct guard_token_info *info) {
    struct native *n = context;
    size_t len = strlen(n->events);
    snprintf(n->events + len, sizeof n->events - len, "%.*s%s ", (int)info->token.len, info->token.data,
             info->consumed ? " consumed" : "");
}
static void see_value(void *context, const struct guard_value_info *info) {
    struct native *n = context;
    size_t len = strlen(n->events);
    snprintf(n->events + len, sizeof n->events - len, "%.*s=%.*s %llu%s ", (int)info->name.len, info->name.data,
             (int)info->value.len, info->value.data, (unsigned long long)info->token, info->deleted ? " deleted" : "");
}
static void see_counter(void *context, const struct guard_counter_info *info) {
    struct native *n = context;
    size_t len = strlen(n->events);
    snprintf(n->events + len, sizeof n->events - len, "%.*s=%lld ", (int)info->name.len, info->name.data,
             (long long)info->value);
}

static void each_kind_is_listed(void **state) {
    struct native n;
    struct result result;
    native_open(&n, &guard_model, NULL);
    issue(&n, "t1", "", TTL_MS);
    issue(&n, "t2", "", TTL_MS);
    consume(&n, "t2", "", "a");
    put(&n, "v1", 0, 0, "x");
    put(&n, "v2", 0, 9, "y");
    delete_value(&n, "v2", GUARD_ANY, 9);
    add_both(&n, "", 0, "c2", 2, "c1", 1);
    n.events[0] = '\0';
    struct guard_query q = {.page = {.max = 10}, .token = see_token, .context = &n};
    guard_model.query(n.state, &q, &result);
    q.token = NULL;
    q.value = see_value;
    guard_model.query(n.state, &q, &result);
    q.value = NULL;
    q.counter = see_counter;
    guard_model.query(n.state, &q, &result);
    assert_string_equal(n.events, "t1 t2 consumed v1=x 0 v2= 9 deleted c1=1 c2=2 ");
    native_close(&n);
}

static void bad_arguments_are_refused(void **state) {
    struct native n;
    char big[300];
    native_open(&n, &guard_model, NULL);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(issue(&n, big, "", TTL_MS), GUARD_BAD_ARGUMENTS);
    assert_int_equal(issue(&n, "", "", TTL_MS), GUARD_BAD_ARGUMENTS);
    assert_int_equal(issue(&n, "t", big, TTL_MS), GUARD_BAD_ARGUMENTS);
    assert_int_equal(issue(&n, "t", "", 0), GUARD_BAD_ARGUMENTS);
    assert_int_equal(issue(&n, "t", "", GUARD_TTL_MS_MAX + 1), GUARD_BAD_ARGUMENTS);
    assert_int_equal(consume(&n, "t", "", big), GUARD_BAD_ARGUMENTS);
    assert_int_equal(change(&n, big, "", "A", "", 0), GUARD_BAD_ARGUMENTS);
    assert_int_equal(change(&n, "e", "", "", "", 0), GUARD_BAD_ARGUMENTS);
    assert_int_equal(change(&n, "e", "", big, "", 0), GUARD_BAD_ARGUMENTS);
    assert_int_equal(change(&n, "e", "", "A", big, 0), GUARD_BAD_ARGUMENTS);
    assert_int_equal(put(&n, big, 0, 0, ""), GUARD_BAD_ARGUMENTS);
    assert_int_equal(add(&n, big, 1), GUARD_BAD_ARGUMENTS);
    assert_int_equal(add_both(&n, big, 1000, "a", 1, NULL, 0), GUARD_BAD_ARGUMENTS);
    assert_int_equal(add_both(&n, "r", 0, "a", 1, NULL, 0), GUARD_BAD_ARGUMENTS);
    assert_true(digest_equal(guard_model.digest(n.state), (struct digest){0, 0})); // errors leave nothing behind
    assert_true(guard_model.memory(n.state) == 0);
    native_garbage(&n, 5);
    native_close(&n);
}

// ---- random commands against a naive model

#define NAMES 4
#define REQUESTS 8
#define CHANGES 4096
struct naive {
    struct {
        uint64_t until_ms, consumed_at; // until 0: none; consumed_at: Unix time, 0: not consumed
        char by;
    } tokens[NAMES];
    struct {
        char states[CHANGES], requests[CHANGES]; // every change; the state is the last one, 0: none
        uint64_t versions[CHANGES];
        size_t count;
        uint64_t until_ms;
    } entities[NAMES];
    struct {
        uint64_t version, token, mark_until_ms; // version 0: none
        char value;
    } values[NAMES];
    struct {
        int64_t value, floor, ceiling;
    } counters[NAMES];
    struct {
        size_t a, b;
        int64_t delta_a, delta_b, after_a, after_b;
        uint64_t until_ms;
    } requests[REQUESTS];
};

static const char *const names[NAMES] = {"w", "x", "y", "z"};

static void naive_pass(struct naive *m, uint64_t now_ms) {
    for (size_t i = 0; i < NAMES; i++) {
        if (m->tokens[i].until_ms <= now_ms) memset(&m->tokens[i], 0, sizeof m->tokens[i]);
        if (m->entities[i].until_ms <= now_ms) m->entities[i].count = 0;
        if (m->values[i].version == 0 && m->values[i].mark_until_ms <= now_ms) m->values[i].token = 0;
    }
    for (size_t i = 0; i < REQUESTS; i++)
        if (m->requests[i].until_ms <= now_ms) memset(&m->requests[i], 0, sizeof m->requests[i]);
}

static void random_token(struct native *n, struct naive *m, struct prng *prng, size_t i) {
    char caller[2] = {(char)('a' + prng_below(prng, 5)), '\0'};
    uint64_t ttl_ms = 1 + prng_below(prng, 400);
    if (prng_below(prng, 3) == 0) {
        assert_int_equal(issue(n, names[i], "p", ttl_ms), m->tokens[i].until_ms != 0 ? GUARD_EXISTS : 0);
        if (m->tokens[i].until_ms == 0) m->tokens[i].until_ms = n->apply.log_time_ms + ttl_ms;
        return;
    }
    int error = consume(n, names[i], "p", caller);
    if (m->tokens[i].until_ms == 0) {
        assert_int_equal(error, GUARD_NOT_FOUND);
    } else if (m->tokens[i].consumed_at != 0) {
        assert_int_equal(error, GUARD_CONSUMED);
        assert_true((uint64_t)out(n)->at_unix_ms == m->tokens[i].consumed_at);
        assert_true(out(n)->by.len == 1 && out(n)->by.data[0] == m->tokens[i].by);
    } else {
        assert_int_equal(error, 0);
        m->tokens[i].consumed_at = (uint64_t)n->apply.unix_ms;
        m->tokens[i].by = caller[0];
    }
}

static void random_entity(struct native *n, struct naive *m, struct prng *prng, size_t i) {
    size_t count = m->entities[i].count;
    char now = count ? m->entities[i].states[count - 1] : '\0';
    char from[2] = {prng_below(prng, 3) ? now : (char)('A' + prng_below(prng, 3)), '\0'};
    char to[2] = {(char)('A' + prng_below(prng, 3)), '\0'};
    char request[2] = {prng_below(prng, 2) ? (char)('a' + prng_below(prng, 26)) : '\0', '\0'};
    uint64_t ttl_ms = prng_below(prng, 3) ? 0 : 1 + prng_below(prng, 400);
    if (prng_below(prng, 30) == 0) {
        int expected = count == 0 ? GUARD_NOT_FOUND : from[0] == now ? 0 : GUARD_STATE;
        assert_int_equal(delete_entity(n, names[i], from), expected);
        if (expected == 0) m->entities[i].count = 0;
        return;
    }
    int error = change(n, names[i], from, to, request, ttl_ms);
    for (size_t k = count > GUARD_HISTORY ? count - GUARD_HISTORY : 0; request[0] && k < count; k++) {
        if (m->entities[i].requests[k] != request[0]) continue;
        bool same = m->entities[i].states[k] == to[0];
        assert_int_equal(error, same ? 0 : GUARD_MISMATCH);
        if (same) assert_true(out(n)->repeated && out(n)->version == m->entities[i].versions[k]);
        return;
    }
    assert_int_equal(error, from[0] == now ? 0 : count == 0 ? GUARD_NOT_FOUND : GUARD_STATE);
    if (error == GUARD_STATE) assert_true(out(n)->state.data[0] == now);
    if (error != 0) return;
    assert_false(out(n)->repeated);
    assert_true(count < CHANGES && out(n)->version == n->apply.index);
    m->entities[i].states[count] = to[0];
    m->entities[i].requests[count] = request[0];
    m->entities[i].versions[count] = n->apply.index;
    m->entities[i].count++;
    m->entities[i].until_ms = ttl_ms ? n->apply.log_time_ms + ttl_ms : UINT64_MAX;
}

static void random_value(struct native *n, struct naive *m, struct prng *prng, size_t i) {
    uint64_t version = m->values[i].version, newest = m->values[i].token;
    uint64_t expected = prng_below(prng, 3) == 0 ? GUARD_ANY : prng_below(prng, 4) ? version : prng_below(prng, 300);
    uint64_t token = prng_below(prng, 4) ? newest : newest > 2 ? newest - 2 + prng_below(prng, 5) : prng_below(prng, 3);
    char value[2] = {(char)('a' + prng_below(prng, 26)), '\0'};
    bool deletes = prng_below(prng, 4) == 0, none = version == 0 && newest == 0;
    int error = deletes ? delete_value(n, names[i], expected, token) : put(n, names[i], expected, token, value);
    if (deletes && none) {
        assert_int_equal(error, GUARD_NOT_FOUND);
    } else if (token < newest) {
        assert_int_equal(error, GUARD_OLD_TOKEN);
        assert_true(out(n)->token == newest);
    } else if (expected != GUARD_ANY && expected != version) {
        assert_int_equal(error, GUARD_VERSION);
        assert_true(out(n)->version == version && (version == 0 || out(n)->value.data[0] == m->values[i].value));
    } else if (deletes) {
        assert_int_equal(error, version == 0 ? GUARD_NOT_FOUND : 0);
        if (version == 0) return;
        m->values[i].version = 0;
        m->values[i].token = token;
        m->values[i].mark_until_ms = n->apply.log_time_ms + GUARD_MARK_MS;
    } else {
        assert_int_equal(error, 0);
        m->values[i].version = n->apply.index;
        m->values[i].token = token;
        m->values[i].value = value[0];
    }
}

static int naive_add(struct naive *m, size_t i, int64_t delta) {
    int64_t sum = m->counters[i].value + delta;
    if (delta < 0 && sum < m->counters[i].floor) return GUARD_BELOW;
    return delta >= 0 && sum > m->counters[i].ceiling ? GUARD_ABOVE : 0;
}

static void random_counter(struct native *n, struct naive *m, struct prng *prng, size_t a) {
    size_t b = (a + 1 + prng_below(prng, NAMES - 1)) % NAMES, r = prng_below(prng, REQUESTS);
    int64_t delta_a = (int64_t)prng_below(prng, 9) - 4, delta_b = (int64_t)prng_below(prng, 9) - 4;
    uint64_t ttl_ms = 1 + prng_below(prng, 400);
    char request[2] = {prng_below(prng, 2) ? (char)('a' + r) : '\0', '\0'};
    if (request[0] && m->requests[r].until_ms && prng_below(prng, 3)) { // a retry
        a = m->requests[r].a;
        b = m->requests[r].b;
        delta_a = m->requests[r].delta_a;
        delta_b = m->requests[r].delta_b;
    }
    int error = add_both(n, request, ttl_ms, names[a], delta_a, names[b], delta_b);
    if (request[0] && m->requests[r].until_ms) {
        bool same = m->requests[r].a == a && m->requests[r].b == b && m->requests[r].delta_a == delta_a &&
                    m->requests[r].delta_b == delta_b;
        assert_int_equal(error, same ? 0 : GUARD_MISMATCH);
        if (!same) return;
        assert_true(out(n)->repeated && out(n)->values[0] == m->requests[r].after_a &&
                    out(n)->values[1] == m->requests[r].after_b);
        return;
    }
    int error_a = naive_add(m, a, delta_a), error_b = naive_add(m, b, delta_b);
    assert_int_equal(error, error_a ? error_a : error_b);
    if (error != 0) return;
    m->counters[a].value += delta_a;
    m->counters[b].value += delta_b;
    assert_true(out(n)->values[0] == m->counters[a].value && out(n)->values[1] == m->counters[b].value);
    if (!request[0]) return;
    m->requests[r].a = a;
    m->requests[r].b = b;
    m->requests[r].delta_a = delta_a;
    m->requests[r].delta_b = delta_b;
    m->requests[r].after_a = m->counters[a].value;
    m->requests[r].after_b = m->counters[b].value;
    m->requests[r].until_ms = n->apply.log_time_ms + ttl_ms;
}

static void random_step(struct native *n, struct naive *m, struct prng *prng) {
    size_t i = prng_below(prng, NAMES);
    switch (prng_below(prng, 12)) {
    case 0:
        native_pass(n, prng_below(prng, 2000) == 0 ? GUARD_MARK_MS : prng_below(prng, 60));
        naive_pass(m, n->apply.log_time_ms);
        break;
    case 1: {
        int64_t floor = (int64_t)prng_below(prng, 6) - 3, ceiling = (int64_t)prng_below(prng, 12);
        int64_t value = (int64_t)prng_below(prng, 12) - 3;
        bool good = floor <= value && value <= ceiling;
        assert_int_equal(set(n, names[i], value, floor, ceiling), good ? 0 : GUARD_BAD_ARGUMENTS);
        if (!good) break;
        m->counters[i].value = value;
        m->counters[i].floor = floor;
        m->counters[i].ceiling = ceiling;
        break;
    }
    case 2:
    case 3:
        random_token(n, m, prng, i);
        break;
    case 4:
    case 5:
    case 6:
        random_entity(n, m, prng, i);
        break;
    case 7:
    case 8:
        random_value(n, m, prng, i);
        break;
    default:
        random_counter(n, m, prng, i);
    }
}

static void random_commands_match_a_naive_model(void **state) {
    struct naive *m = test_malloc(sizeof *m);
    struct native n, copy;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct prng prng;
        prng_seed(&prng, seed);
        memset(m, 0, sizeof *m);
        for (size_t i = 0; i < NAMES; i++) m->counters[i].ceiling = INT64_MAX;
        native_open(&n, &guard_model, NULL);
        for (int i = 0; i < 3000; i++) {
            random_step(&n, m, &prng);
            if (i % 16 == 0) native_check(&n);
            if (prng_below(&prng, 100) != 0) continue;
            native_copy(&n, &copy, 1024); // goes on from what was saved
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
    struct timespec begin;
    char text[32];
    native_open(&n, &guard_model, NULL);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 100000; i++) {
        snprintf(text, sizeof text, "order-%d", i);
        assert_int_equal(change(&n, text, "", "NEW", "create", 0), 0);
        assert_int_equal(change(&n, text, "NEW", "PAID", "pay", 0), 0);
    }
    native_rate("guard transition", 200000, &begin);
    fprintf(stderr, "an entity with 2 changes: %llu bytes\n", (unsigned long long)n.ops->memory(n.state) / 100000);
    uint64_t before = n.ops->memory(n.state);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 100000; i++) {
        snprintf(text, sizeof text, "token-0123456789-%d", i);
        assert_int_equal(issue(&n, text, "form", TTL_MS), 0);
        assert_int_equal(consume(&n, text, "form", "host-1"), 0);
    }
    native_rate("guard issue and consume (commands)", 200000, &begin);
    fprintf(stderr, "a token: %llu bytes\n", (unsigned long long)(n.ops->memory(n.state) - before) / 100000);
    add(&n, "stock", 1000000);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 100000; i++) {
        snprintf(text, sizeof text, "request-%d", i);
        assert_int_equal(add_both(&n, text, TTL_MS, "stock", -1, "sold", 1), 0);
    }
    native_rate("guard add to two counters, with a request id", 100000, &begin);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint64_t i = 0; i < 100000; i++) assert_int_equal(put(&n, "value", GUARD_ANY, i, "0123456789"), 0);
    native_rate("guard put with a token", 100000, &begin);
    while (native_pass(&n, TTL_MS) > 0) {
    }
    assert_true(n.ops->memory(n.state) < before + 1000);
    native_close(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_is_consumed_once),
        cmocka_unit_test(tokens_are_issued_all_or_none),
        cmocka_unit_test(state_changes_only_from_the_expected_one),
        cmocka_unit_test(last_changes_are_kept),
        cmocka_unit_test(value_is_written_at_the_expected_version),
        cmocka_unit_test(older_fencing_token_changes_nothing),
        cmocka_unit_test(counter_stays_between_floor_and_ceiling),
        cmocka_unit_test(counters_change_together_or_not),
        cmocka_unit_test(retry_of_an_addition_counts_once),
        cmocka_unit_test(each_kind_is_listed),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(random_commands_match_a_naive_model),
        cmocka_unit_test(cost_of_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
