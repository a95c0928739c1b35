// Sequences and ids in the order of time: named cases, and random commands held against a naive model.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "model/sequence/sequence.h"
#include "native_kit.h"

#define DAY_MS (24ull * 3600 * 1000)

static const struct sequence_result *out(const struct native *n) {
    return n->result.value;
}

static int next(struct native *n, const char *name, uint32_t count) {
    struct writer w = {0};
    struct sequence_request q = {.name = bytes_of_text(name), .count = count};
    sequence_write_next(&w, 0, 0, &q);
    return native_run(n, &w);
}

static int keyed(struct native *n, const char *name, const char *key, const char *fingerprint, uint64_t ttl_ms) {
    struct writer w = {0};
    struct sequence_request q = {.name = bytes_of_text(name),
                                 .count = 1,
                                 .key = bytes_of_text(key),
                                 .fingerprint = bytes_of_text(fingerprint),
                                 .key_ttl_ms = ttl_ms};
    sequence_write_next(&w, 0, 0, &q);
    return native_run(n, &w);
}

static int make(struct native *n, struct sequence_settings settings) {
    struct writer w = {0};
    if (settings.step == 0) settings.step = 1;
    if (settings.ceiling == 0) settings.ceiling = SEQUENCE_CEILING_MAX;
    if (settings.block_max == 0) settings.block_max = SEQUENCE_BLOCK_DEFAULT;
    sequence_write_create(&w, &settings);
    return native_run(n, &w);
}

static int set(struct native *n, const char *name, uint64_t value) {
    struct writer w = {0};
    sequence_write_set(&w, bytes_of_text(name), value);
    return native_run(n, &w);
}

static int ids(struct native *n, uint32_t count) {
    struct writer w = {0};
    sequence_write_ids(&w, 0, 0, count);
    return native_run(n, &w);
}

static int lease(struct native *n, uint64_t session, uint64_t window_ms) {
    struct writer w = {0};
    sequence_write_lease(&w, session, 1, bytes_of_text("host"), window_ms);
    return native_run(n, &w);
}

static int renew(struct native *n, uint64_t session, uint32_t worker, uint64_t token, uint64_t window_ms) {
    struct writer w = {0};
    sequence_write_renew(&w, session, 1, worker, token, window_ms);
    return native_run(n, &w);
}

static int release(struct native *n, uint64_t session, uint32_t worker, uint64_t token) {
    struct writer w = {0};
    sequence_write_release(&w, session, 1, worker, token);
    return native_run(n, &w);
}

static void numbers_grow_singly_and_in_blocks(void **state) {
    struct native n;
    native_open(&n, &sequence_model, NULL);
    assert_int_equal(next(&n, "order", 1), 0);
    assert_true(out(&n)->first == 1 && out(&n)->count == 1);
    assert_int_equal(next(&n, "order", 100), 0);
    assert_true(out(&n)->first == 2 && out(&n)->count == 100 && out(&n)->step == 1);
    assert_int_equal(next(&n, "order", 1), 0);
    assert_true(out(&n)->first == 102);
    assert_int_equal(next(&n, "order", SEQUENCE_BLOCK_DEFAULT + 1), SEQUENCE_LIMIT);
    assert_int_equal(next(&n, "order", 0), SEQUENCE_BAD_ARGUMENTS);
    native_close(&n);
}

static void ends_at_its_ceiling(void **state) {
    struct native n;
    native_open(&n, &sequence_model, NULL);
    struct sequence_settings s = {.name = bytes_of_text("odd"), .start = 11, .step = 10, .ceiling = 40};
    assert_int_equal(make(&n, s), 0);
    assert_int_equal(make(&n, s), 0); // alike: a retry
    s.step = 5;
    assert_int_equal(make(&n, s), SEQUENCE_EXISTS);
    assert_int_equal(next(&n, "odd", 4), SEQUENCE_EXHAUSTED); // 11 21 31 and no 41
    assert_int_equal(next(&n, "odd", 2), 0);
    assert_true(out(&n)->first == 11);
    assert_int_equal(next(&n, "odd", 1), 0);
    assert_true(out(&n)->first == 31);
    assert_int_equal(next(&n, "odd", 1), SEQUENCE_EXHAUSTED);
    assert_int_equal(next(&n, "odd", 1), SEQUENCE_EXHAUSTED);
    s = (struct sequence_settings){.name = bytes_of_text("big"), .start = SEQUENCE_CEILING_MAX - 1};
    s.step = SEQUENCE_STEP_MAX;
    assert_int_equal(make(&n, s), 0);
    assert_int_equal(next(&n, "big", 1), 0);
    assert_int_equal(next(&n, "big", 1), SEQUENCE_EXHAUSTED);
    native_close(&n);
}

static void retry_of_a_gapless_number_gets_it_again(void **state) {
    struct native n;
    native_open(&n, &sequence_model, NULL);
    assert_int_equal(keyed(&n, "invoice", "a", "12 EUR", 1000), 0);
    assert_true(out(&n)->first == 1 && !out(&n)->repeated);
    assert_int_equal(keyed(&n, "invoice", "b", "12 EUR", 5000), 0);
    assert_true(out(&n)->first == 2);
    assert_int_equal(keyed(&n, "invoice", "a", "12 EUR", 1000), 0);
    assert_true(out(&n)->first == 1 && out(&n)->repeated);
    assert_int_equal(keyed(&n, "invoice", "a", "13 EUR", 1000), SEQUENCE_MISMATCH);
    assert_int_equal(next(&n, "invoice", 1), SEQUENCE_KEY_NEEDED);
    assert_int_equal(keyed(&n, "receipt", "a", "", 1000), 0); // keys belong to their sequence
    assert_true(out(&n)->first == 1);
    assert_int_equal(native_pass(&n, 999), 0);
    assert_int_equal(native_pass(&n, 1), 2);
    assert_int_equal(keyed(&n, "invoice", "b", "12 EUR", 1000), 0);
    assert_true(out(&n)->first == 2);
    assert_int_equal(keyed(&n, "invoice", "a", "12 EUR", 1000), 0); // its time was over: a new one, and no gap
    assert_true(out(&n)->first == 3);
    native_close(&n);
}

static void only_set_forward(void **state) {
    struct native n;
    native_open(&n, &sequence_model, NULL);
    assert_int_equal(set(&n, "x", 10), SEQUENCE_NOT_FOUND);
    next(&n, "x", 5);
    assert_int_equal(set(&n, "x", 5), SEQUENCE_BACKWARD);
    assert_int_equal(set(&n, "x", 1000), 0);
    next(&n, "x", 1);
    assert_true(out(&n)->first == 1000);
    native_close(&n);
}

// A backup, numbers given behind it, and a restore: the index is 2^40 higher, the state the older one.
static void no_number_returns_after_a_restore(void **state) {
    struct native n, restored;
    native_open(&n, &sequence_model, NULL);
    make(&n, (struct sequence_settings){.name = bytes_of_text("block"), .block_max = 50, .step = 3});
    make(&n, (struct sequence_settings){.name = bytes_of_text("short"), .ceiling = 1000});
    next(&n, "block", 50);
    next(&n, "short", 1);
    keyed(&n, "gapless", "a", "", DAY_MS);
    native_copy(&n, &restored, 4096);
    uint64_t newest = 0;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(next(&n, "block", 50), 0);
        newest = out(&n)->first + 3 * 49;
    }
    restored.apply.index += SEQUENCE_RESTORE_STEP;
    assert_int_equal(next(&restored, "block", 1), 0);
    assert_true(out(&restored)->first > newest);
    assert_true(out(&restored)->first >= 50 * 3 * SEQUENCE_RESTORE_STEP); // as many as so many entries can give
    uint64_t first = out(&restored)->first;
    assert_int_equal(next(&restored, "block", 1), 0);
    assert_true(out(&restored)->first == first + 3); // once
    assert_int_equal(next(&restored, "short", 1), SEQUENCE_EXHAUSTED);
    assert_int_equal(set(&restored, "short", 500), 0); // an operator knows better
    assert_int_equal(next(&restored, "short", 1), 0);
    assert_true(out(&restored)->first == 500);
    assert_int_equal(keyed(&restored, "gapless", "a", "", DAY_MS), 0); // known from before the backup
    assert_int_equal(keyed(&restored, "gapless", "b", "", DAY_MS), SEQUENCE_RESTORED);
    assert_int_equal(set(&restored, "gapless", 8), 0);
    assert_int_equal(keyed(&restored, "gapless", "b", "", DAY_MS), 0);
    assert_true(out(&restored)->first == 8);
    next(&restored, "new", 1);
    assert_true(out(&restored)->first == 1); // made behind it
    native_close(&n);
    native_close(&restored);
}

static void ids_grow_and_go_with_the_clock(void **state) {
    struct native n;
    native_open(&n, &sequence_model, NULL);
    assert_int_equal(ids(&n, 10), 0);
    uint64_t first = out(&n)->first;
    assert_true(first >> 22 == (uint64_t)(n.apply.unix_ms - SEQUENCE_EPOCH_UNIX_MS));
    assert_true((first >> 12 & 1023) == 0);
    assert_int_equal(ids(&n, SEQUENCE_IDS_MAX), 0);
    assert_true(out(&n)->first == first + 10);
    uint64_t last = sequence_id_after(out(&n)->first, SEQUENCE_IDS_MAX - 1); // runs over into the next millisecond
    assert_true(last >> 22 == (first >> 22) + 1 && (last & 4095) == 9);
    n.apply.unix_ms -= 5000; // an operator set the clock back
    assert_int_equal(ids(&n, 1), 0);
    assert_true(out(&n)->first == last + 1);
    n.apply.unix_ms -= (int64_t)SEQUENCE_WINDOW_MS_MAX;
    assert_int_equal(ids(&n, 1), SEQUENCE_BUSY);
    assert_true(out(&n)->retry_ms > 5000 && out(&n)->retry_ms < 5010);
    n.apply.unix_ms = 1000; // no clock
    assert_int_equal(ids(&n, 1), SEQUENCE_CLOCK);
    assert_int_equal(lease(&n, 0, 1000), SEQUENCE_CLOCK);
    native_close(&n);
}

static void workers_ranges_never_overlap(void **state) {
    struct native n;
    native_open(&n, &sequence_model, NULL);
    assert_int_equal(lease(&n, 7, 1000), 0);
    assert_int_equal(out(&n)->worker, 1);
    uint64_t token = out(&n)->token, until = out(&n)->until_ms;
    assert_true(out(&n)->from_ms == (uint64_t)n.apply.unix_ms && until == out(&n)->from_ms + 1000);
    native_pass(&n, 600);
    assert_int_equal(renew(&n, 7, 1, token, 1000), 0);
    assert_true(out(&n)->until_ms == until + 600);
    until += 600;
    assert_int_equal(renew(&n, 7, 1, token, 1), 0); // a range never shrinks
    assert_true(out(&n)->until_ms == until);
    assert_int_equal(renew(&n, 8, 1, token, 1000), SEQUENCE_NOT_HELD);
    assert_int_equal(renew(&n, 7, 1, token + 1, 1000), SEQUENCE_NOT_HELD);
    native_end_session(&n, 7);
    assert_int_equal(renew(&n, 7, 1, token, 1000), SEQUENCE_NOT_HELD);
    assert_int_equal(lease(&n, 0, 500), 0);
    assert_int_equal(out(&n)->worker, 2); // 1 can still make ids
    assert_true(out(&n)->token > token);
    native_pass(&n, 999);
    assert_int_equal(lease(&n, 9, 500), 0);
    assert_int_equal(out(&n)->worker, 2); // whose time was over at 500
    native_pass(&n, 1);
    assert_int_equal(lease(&n, 9, 500), 0);
    assert_int_equal(out(&n)->worker, 1);
    assert_true(out(&n)->from_ms >= until);
    assert_int_equal(release(&n, 9, 1, out(&n)->token), 0);
    native_close(&n);
}

static void all_numbers_out_says_when(void **state) {
    struct native n;
    native_open(&n, &sequence_model, NULL);
    for (uint32_t i = 1; i < SEQUENCE_WORKERS; i++) {
        assert_int_equal(lease(&n, 0, 10000 + i), 0);
        assert_int_equal(out(&n)->worker, i);
    }
    assert_int_equal(lease(&n, 0, 1000), SEQUENCE_BUSY);
    assert_int_equal(native_pass(&n, 10001), 1);
    assert_int_equal(lease(&n, 0, 1000), 0);
    assert_int_equal(out(&n)->worker, 1);
    assert_int_equal(release(&n, 0, 1, out(&n)->token), 0);
    assert_int_equal(lease(&n, 0, 1000), SEQUENCE_BUSY); // its ids can still be made
    assert_true(out(&n)->retry_ms == 1000);
    native_close(&n);
}

static void ids_wait_after_a_restore(void **state) {
    struct native n;
    native_open(&n, &sequence_model, NULL);
    lease(&n, 0, 60000);
    uint64_t token = out(&n)->token;
    ids(&n, 1);
    n.apply.index += SEQUENCE_RESTORE_STEP;
    assert_int_equal(ids(&n, 1), SEQUENCE_BUSY);
    assert_true(out(&n)->retry_ms == SEQUENCE_WINDOW_MS_MAX);
    assert_int_equal(renew(&n, 0, 1, token, 1000), SEQUENCE_NOT_HELD);
    assert_int_equal(lease(&n, 0, 1000), SEQUENCE_BUSY);
    native_pass(&n, SEQUENCE_WINDOW_MS_MAX);
    assert_int_equal(ids(&n, 1), 0);
    assert_int_equal(lease(&n, 0, 1000), 0);
    assert_true(out(&n)->token >= SEQUENCE_RESTORE_STEP);
    native_close(&n);
}

// A worker's lease and a key that end at one time: cut between the two, a copy by save and load ends the same one.
static void equal_deadlines_have_one_order(void **state) {
    struct native n, copy;
    native_open(&n, &sequence_model, NULL);
    for (int i = 0; i < 6; i++) lease(&n, 0, 1000);
    for (int i = 0; i < 6; i++) keyed(&n, "x", (const char[]){(char)('a' + i), '\0'}, "", 1000);
    native_copy(&n, &copy, 4096);
    n.apply.log_time_ms = copy.apply.log_time_ms += 1000;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(sequence_model.expire(n.state, &n.apply, 1), 1);
        assert_int_equal(sequence_model.expire(copy.state, &copy.apply, 1), 1);
        assert_true(digest_equal(sequence_model.digest(n.state), sequence_model.digest(copy.state)));
    }
    native_close(&n);
    native_close(&copy);
}

static void see_sequence(void *context, const struct sequence_info *info) {
    struct native *n = context;
    size_t len = strlen(n->events);
    snprintf(n->events + len, sizeof n->events - len, "%.*s %llu%s\n", (int)info->name.len, info->name.data,
             (unsigned long long)info->next, info->gapless ? " gapless" : "");
}

static void see_worker(void *context, const struct sequence_worker_info *info) {
    struct native *n = context;
    size_t len = strlen(n->events);
    snprintf(n->events + len, sizeof n->events - len, "%u %.*s\n", info->worker, (int)info->owner.len,
             info->owner.data);
}

static void listed_in_pages(void **state) {
    struct native n;
    native_open(&n, &sequence_model, NULL);
    next(&n, "b/1", 1);
    next(&n, "b/3", 3);
    keyed(&n, "b/2", "k", "", 1000);
    next(&n, "a", 1);
    next(&n, "c", 1);
    struct sequence_query q = {.page = {.prefix = bytes_of_text("b/"), .max = 2}, .sequence = see_sequence};
    q.context = &n;
    struct result result;
    n.events[0] = '\0';
    sequence_model.query(n.state, &q, &result);
    assert_string_equal(n.events, "b/1 2\nb/2 2 gapless\n");
    q.page.after = bytes_of_text("b/2");
    n.events[0] = '\0';
    sequence_model.query(n.state, &q, &result);
    assert_string_equal(n.events, "b/3 4\n");
    q.page = (struct items_page){.name = bytes_of_text("c"), .max = 10};
    n.events[0] = '\0';
    sequence_model.query(n.state, &q, &result);
    assert_string_equal(n.events, "c 2\n");
    lease(&n, 0, 1000);
    lease(&n, 0, 1000);
    q = (struct sequence_query){.page = {.max = 10}, .worker = see_worker, .context = &n};
    sequence_model.query(n.state, &q, &result);
    assert_string_equal(n.events, "1 host\n2 host\n");
    native_close(&n);
}

static void bad_arguments_are_refused(void **state) {
    struct native n;
    native_open(&n, &sequence_model, NULL);
    char big[400];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(next(&n, "", 1), SEQUENCE_BAD_ARGUMENTS);
    assert_int_equal(next(&n, big, 1), SEQUENCE_BAD_ARGUMENTS);
    assert_int_equal(keyed(&n, "x", big, "", 1000), SEQUENCE_BAD_ARGUMENTS);
    assert_int_equal(keyed(&n, "x", "k", "", 0), SEQUENCE_BAD_ARGUMENTS);
    assert_int_equal(keyed(&n, "x", "k", "", REMEMBER_TTL_MS_MAX + 1), SEQUENCE_BAD_ARGUMENTS);
    assert_int_equal(make(&n, (struct sequence_settings){.name = bytes_of_text("x"), .start = 5, .ceiling = 4}),
                     SEQUENCE_BAD_ARGUMENTS);
    assert_int_equal(make(&n, (struct sequence_settings){.name = bytes_of_text("x"), .step = SEQUENCE_STEP_MAX + 1}),
                     SEQUENCE_BAD_ARGUMENTS);
    assert_int_equal(lease(&n, 0, SEQUENCE_WINDOW_MS_MAX + 1), SEQUENCE_BAD_ARGUMENTS);
    assert_int_equal(ids(&n, SEQUENCE_IDS_MAX + 1), SEQUENCE_LIMIT);
    struct sequence_query q = {.page = {.max = 10}, .sequence = see_sequence, .context = &n};
    struct result result;
    n.events[0] = '\0';
    sequence_model.query(n.state, &q, &result);
    assert_string_equal(n.events, ""); // errors leave nothing behind
    native_garbage(&n, 3);
    native_close(&n);
}

// ---- random commands against a naive model: an array of sequences and of keys, and every range a worker ever had

#define NAMES 4
#define KEYS 12
#define RANGES 20000
struct naive {
    struct {
        bool made, gapless;
        uint64_t next, step, ceiling;
        struct {
            uint64_t first, until_ms; // until 0: not remembered
            char fingerprint;
        } keys[KEYS];
    } s[NAMES];
    struct {
        uint32_t worker;
        uint64_t token, from_ms, until_ms;
    } ranges[RANGES];
    size_t range_count;
    uint64_t last_id;
};

static const char *const names[NAMES] = {"a", "b", "c", "d"};

static void naive_make(struct naive *m, size_t i, uint64_t start, uint64_t step, uint64_t ceiling, bool gapless) {
    m->s[i].made = true;
    m->s[i].next = start;
    m->s[i].step = step;
    m->s[i].ceiling = ceiling;
    m->s[i].gapless = gapless;
}

static void random_next(struct native *n, struct naive *m, struct prng *prng) {
    size_t i = prng_below(prng, NAMES), k = prng_below(prng, KEYS);
    bool with_key = i >= 2 ? prng_below(prng, 10) != 0 : prng_below(prng, 4) == 0;
    char key[2] = {(char)('a' + k), '\0'}, fingerprint[2] = {prng_below(prng, 8) ? 'f' : 'g', '\0'};
    uint32_t count = with_key ? 1 : 1 + (uint32_t)prng_below(prng, 5);
    uint64_t ttl_ms = 1 + prng_below(prng, 400), now_ms = n->apply.log_time_ms;
    int error = with_key ? keyed(n, names[i], key, fingerprint, ttl_ms) : next(n, names[i], count);
    if (!m->s[i].made) naive_make(m, i, 1, 1, SEQUENCE_CEILING_MAX, with_key);
    if (with_key && m->s[i].keys[k].until_ms > now_ms) {
        bool same = m->s[i].keys[k].fingerprint == fingerprint[0];
        assert_int_equal(error, same ? 0 : SEQUENCE_MISMATCH);
        if (same) assert_true(out(n)->repeated && out(n)->first == m->s[i].keys[k].first);
        return;
    }
    if (m->s[i].gapless && !with_key) {
        assert_int_equal(error, SEQUENCE_KEY_NEEDED);
        return;
    }
    uint64_t last = m->s[i].next + (count - 1) * m->s[i].step;
    if (last > m->s[i].ceiling) {
        assert_int_equal(error, SEQUENCE_EXHAUSTED);
        return;
    }
    assert_int_equal(error, 0);
    assert_true(out(n)->first == m->s[i].next && out(n)->count == count && !out(n)->repeated);
    if (with_key) {
        m->s[i].keys[k].first = m->s[i].next;
        m->s[i].keys[k].until_ms = now_ms + ttl_ms;
        m->s[i].keys[k].fingerprint = fingerprint[0];
    }
    m->s[i].next = last + m->s[i].step;
}

static void random_worker(struct native *n, struct naive *m, struct prng *prng) {
    size_t k = m->range_count > 0 ? prng_below(prng, m->range_count) : 0;
    uint64_t session = prng_below(prng, 3), window_ms = 1 + prng_below(prng, 50);
    if (m->range_count > 0 && prng_below(prng, 2)) {
        if (prng_below(prng, 4) == 0) {
            release(n, session, m->ranges[k].worker, m->ranges[k].token);
            return;
        }
        if (renew(n, session, m->ranges[k].worker, m->ranges[k].token, window_ms) != 0) return;
        assert_true(out(n)->until_ms >= m->ranges[k].until_ms); // what was granted stays granted
        m->ranges[k].until_ms = out(n)->until_ms;
    } else if (lease(n, session, window_ms) == 0 && m->range_count < RANGES) {
        k = m->range_count++;
        m->ranges[k].worker = out(n)->worker;
        m->ranges[k].token = out(n)->token;
        m->ranges[k].from_ms = out(n)->from_ms;
        m->ranges[k].until_ms = out(n)->until_ms;
        assert_true(k == 0 || m->ranges[k].token > m->ranges[k - 1].token);
    } else {
        return;
    }
    for (size_t i = 0; i < m->range_count; i++) {
        bool apart = m->ranges[i].until_ms <= m->ranges[k].from_ms || m->ranges[k].until_ms <= m->ranges[i].from_ms;
        assert_true(i == k || m->ranges[i].worker != m->ranges[k].worker || apart);
    }
}

static void random_step(struct native *n, struct naive *m, struct prng *prng) {
    size_t i = prng_below(prng, NAMES);
    switch (prng_below(prng, 16)) {
    case 0:
        native_pass(n, prng_below(prng, 60));
        break;
    case 1:
        native_end_session(n, 1 + prng_below(prng, 2));
        break;
    case 2: {
        uint64_t value = m->s[i].next + prng_below(prng, 20) - 5;
        int error = set(n, names[i], value);
        bool back = value<m->s[i].next, beyond = value> m->s[i].ceiling;
        assert_int_equal(error, !m->s[i].made ? SEQUENCE_NOT_FOUND
                                : beyond      ? SEQUENCE_BAD_ARGUMENTS
                                : back        ? SEQUENCE_BACKWARD
                                              : 0);
        if (error == 0) m->s[i].next = value;
        break;
    }
    case 3: {
        struct sequence_settings s = {.name = bytes_of_text(names[i]), .start = 5, .step = 7, .ceiling = 900};
        s.gapless = i >= 2;
        int error = make(n, s);
        bool alike = m->s[i].ceiling == 900 && m->s[i].next >= 5;
        assert_int_equal(error, !m->s[i].made || alike ? 0 : SEQUENCE_EXISTS);
        if (!m->s[i].made) naive_make(m, i, 5, 7, 900, i >= 2);
        break;
    }
    case 4:
        if (ids(n, 1 + (uint32_t)prng_below(prng, 3000)) != 0) break;
        assert_true(out(n)->first > m->last_id);
        m->last_id = sequence_id_after(out(n)->first, out(n)->count - 1);
        break;
    case 5:
    case 6:
    case 7:
        random_worker(n, m, prng);
        break;
    default:
        random_next(n, m, prng);
    }
}

static void random_commands_match_a_naive_model(void **state) {
    struct naive *m = test_malloc(sizeof *m);
    struct native n, copy;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct prng prng;
        prng_seed(&prng, seed);
        memset(m, 0, sizeof *m);
        native_open(&n, &sequence_model, NULL);
        for (int i = 0; i < 1500; i++) {
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
    char key[32];
    native_open(&n, &sequence_model, NULL);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 200000; i++) assert_int_equal(next(&n, "order", 1), 0);
    native_rate("sequence next", 200000, &begin);
    uint64_t before = n.ops->memory(n.state);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "request-%d", i);
        assert_int_equal(keyed(&n, "invoice", key, "0123456789abcdef", 1000), 0);
        assert_int_equal(out(&n)->first, i + 1);
    }
    native_rate("sequence next, gapless", 100000, &begin);
    uint64_t bytes = (n.ops->memory(n.state) - before) / 100000;
    fprintf(stderr, "a remembered key: %llu bytes\n", (unsigned long long)bytes);
    assert_true(bytes < 256);
    native_pass(&n, 1000); // forgotten
    assert_true(n.ops->memory(n.state) < before + 1000);
    native_close(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_grow_singly_and_in_blocks),
        cmocka_unit_test(ends_at_its_ceiling),
        cmocka_unit_test(retry_of_a_gapless_number_gets_it_again),
        cmocka_unit_test(only_set_forward),
        cmocka_unit_test(no_number_returns_after_a_restore),
        cmocka_unit_test(ids_grow_and_go_with_the_clock),
        cmocka_unit_test(workers_ranges_never_overlap),
        cmocka_unit_test(all_numbers_out_says_when),
        cmocka_unit_test(ids_wait_after_a_restore),
        cmocka_unit_test(equal_deadlines_have_one_order),
        cmocka_unit_test(listed_in_pages),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(random_commands_match_a_naive_model),
        cmocka_unit_test(cost_of_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
