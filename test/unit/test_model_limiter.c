// Rate limits: named cases, and random commands held against a model that keeps every charge and recounts each time.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/prng.h"
#include "model/limiter/limiter.h"
#include <stdio.h>
#include <string.h>

struct kit {
    void *state;
    struct apply apply;
    struct result result;
    struct limiter_result out;
    char events[1 << 14];
    struct { // of the newest event
        uint64_t tokens[64];
        size_t count;
    } lost;
};

static void on_event(void *context, uint8_t model, const void *event) {
    struct kit *k = context;
    const struct limiter_event *e = event;
    size_t len = strlen(k->events);
    assert_int_equal(model, MODEL_LIMITER);
    snprintf(k->events + len, sizeof k->events - len, "%.*s %s %u %s\n", (int)e->name.len, e->name.data,
             e->lease ? "lease" : "permit", e->units, e->expired ? "expired" : "session");
    if (k->lost.count < 64) k->lost.tokens[k->lost.count++] = e->token;
}

static void kit_open(struct kit *k) {
    memset(k, 0, sizeof *k);
    k->state = limiter_model.create();
    k->apply = (struct apply){.index = 100, .log_time_ms = 1000, .apply_level = 2, .emit = on_event};
    k->apply.emit_context = k;
}

static void kit_close(struct kit *k) {
    assert_true(digest_equal(limiter_model.digest(k->state), limiter_model.digest_recount(k->state)));
    limiter_model.destroy(k->state);
}

static int run(struct kit *k, struct writer *w) {
    struct command command;
    assert_true(command_read(&command, bytes_of(w->data, w->len)));
    k->apply.index++;
    k->events[0] = '\0';
    k->lost.count = 0;
    memset(&k->result, 0, sizeof k->result);
    limiter_model.apply(k->state, &k->apply, &command, &k->result);
    k->out = *(const struct limiter_result *)k->result.value;
    writer_free(w);
    return k->result.error;
}

static int take(struct kit *k, uint64_t session, const char *name, struct limiter_definition def, uint32_t cost,
                uint64_t ttl_ms) {
    struct writer w = {0};
    limiter_write_take(&w, session, 1, bytes_of_text(name), &def, cost, ttl_ms);
    return run(k, &w);
}
static bool allowed(struct kit *k, const char *name, struct limiter_definition def, uint32_t cost) {
    assert_int_equal(take(k, 0, name, def, cost, 0), 0);
    return k->out.allowed;
}
static int lease(struct kit *k, uint64_t session, const char *name, struct limiter_definition def, uint32_t units,
                 uint32_t least, uint64_t ttl_ms) {
    struct writer w = {0};
    limiter_write_lease(&w, session, 1, bytes_of_text(name), &def, units, least, ttl_ms);
    return run(k, &w);
}
static int release(struct kit *k, uint64_t session, const char *name, uint64_t token, uint32_t used) {
    struct writer w = {0};
    limiter_write_release(&w, session, 1, bytes_of_text(name), token, used);
    return run(k, &w);
}
static int renew(struct kit *k, uint64_t session, const char *name, uint64_t token, uint64_t ttl_ms) {
    struct writer w = {0};
    limiter_write_renew(&w, session, 1, bytes_of_text(name), token, ttl_ms);
    return run(k, &w);
}
static size_t pass(struct kit *k, uint64_t ms) {
    k->apply.log_time_ms += ms;
    k->apply.index++;
    k->events[0] = '\0';
    k->lost.count = 0;
    return limiter_model.expire(k->state, &k->apply, 100000);
}
static void at(struct kit *k, uint64_t ms) {
    pass(k, ms - k->apply.log_time_ms);
}

static const struct limiter_definition fixed = {LIMITER_FIXED_WINDOW, 3, 0, 100};
static const struct limiter_definition sliding = {LIMITER_SLIDING_WINDOW, 3, 0, 6400};
static const struct limiter_definition leaky = {LIMITER_LEAKY_BUCKET, 2, 6, 1000};
static const struct limiter_definition tokens = {LIMITER_TOKEN_BUCKET, 3, 5, 1000};
static const struct limiter_definition at_once = {LIMITER_CONCURRENCY, 3, 0, 0};

static void fixed_window_starts_anew(void **state) {
    struct kit k;
    kit_open(&k);
    at(&k, 1050);
    assert_true(allowed(&k, "x", fixed, 2));
    assert_int_equal(k.out.remaining, 1);
    assert_int_equal(k.out.limit, 3);
    assert_false(allowed(&k, "x", fixed, 2));
    assert_int_equal(k.out.retry_after_ms, 50);
    assert_int_equal(k.out.remaining, 1);
    at(&k, 1099);
    assert_false(allowed(&k, "x", fixed, 2));
    at(&k, 1100);
    assert_true(allowed(&k, "x", fixed, 3));
    assert_int_equal(k.out.remaining, 0);
    kit_close(&k);
}

static void sliding_window_lets_go_by_parts(void **state) { // parts of 100 ms
    struct kit k;
    kit_open(&k);
    at(&k, 10050);
    assert_true(allowed(&k, "x", sliding, 1));
    at(&k, 10250);
    assert_true(allowed(&k, "x", sliding, 2));
    assert_false(allowed(&k, "x", sliding, 1));
    assert_int_equal(k.out.retry_after_ms, 10099 + 6400 - 10250);
    assert_false(allowed(&k, "x", sliding, 2));
    assert_int_equal(k.out.retry_after_ms, 10299 + 6400 - 10250);
    at(&k, 10099 + 6400 - 1);
    assert_false(allowed(&k, "x", sliding, 1));
    assert_int_equal(k.out.retry_after_ms, 1);
    pass(&k, 1);
    assert_true(allowed(&k, "x", sliding, 1));
    assert_false(allowed(&k, "x", sliding, 1));
    kit_close(&k);
}

static void short_sliding_window_is_exact(void **state) {
    struct kit k;
    kit_open(&k);
    struct limiter_definition def = {LIMITER_SLIDING_WINDOW, 1, 0, 10};
    at(&k, 2003);
    assert_true(allowed(&k, "x", def, 1));
    at(&k, 2012);
    assert_false(allowed(&k, "x", def, 1));
    at(&k, 2013);
    assert_true(allowed(&k, "x", def, 1));
    kit_close(&k);
}

static void token_bucket_fills_without_drift(void **state) { // 3 a second: each third of a second, for 1000 seconds
    struct kit k;
    kit_open(&k);
    at(&k, 2000);
    assert_true(allowed(&k, "x", tokens, 5));
    assert_false(allowed(&k, "x", tokens, 1));
    assert_int_equal(k.out.retry_after_ms, 334);
    uint64_t had = 0;
    for (int ms = 0; ms < 1000000; ms += 7) {
        pass(&k, 7);
        had += allowed(&k, "x", tokens, 1);
    }
    assert_int_equal(had, 3000);
    kit_close(&k);
}

static void leaky_bucket_tells_each_its_turn(void **state) {
    struct kit k;
    kit_open(&k);
    for (uint64_t i = 0; i < 6; i++) {
        assert_true(allowed(&k, "x", leaky, 1));
        assert_int_equal(k.out.delay_ms, i * 500);
    }
    assert_false(allowed(&k, "x", leaky, 1));
    assert_int_equal(k.out.retry_after_ms, 500);
    pass(&k, 750);
    assert_true(allowed(&k, "x", leaky, 1));
    assert_int_equal(k.out.delay_ms, 2250);
    kit_close(&k);
}

static void permits_end_by_release_time_or_session(void **state) {
    struct kit k;
    kit_open(&k);
    assert_int_equal(take(&k, 7, "x", at_once, 1, 0), 0);
    uint64_t a = k.out.token;
    assert_true(k.out.until_ms == UINT64_MAX);
    assert_int_equal(take(&k, 0, "x", at_once, 2, 500), 0);
    uint64_t b = k.out.token;
    assert_true(b > a && k.out.allowed);
    assert_false(allowed(&k, "y", tokens, 5) && take(&k, 0, "x", at_once, 1, 500) == 0 && k.out.allowed);
    assert_int_equal(k.out.retry_after_ms, 500);
    assert_int_equal(release(&k, 0, "x", a, 0), LIMITER_NOT_HELD); // another's
    assert_int_equal(release(&k, 7, "y", a, 0), LIMITER_NOT_HELD); // elsewhere
    assert_int_equal(renew(&k, 7, "x", a, 100), LIMITER_BAD_ARGUMENTS);
    pass(&k, 400);
    assert_int_equal(renew(&k, 0, "x", b, 500), 0);
    assert_int_equal(pass(&k, 499), 0);
    assert_int_equal(pass(&k, 1), 1);
    assert_string_equal(k.events, "x permit 2 expired\n");
    assert_int_equal(release(&k, 0, "x", b, 0), LIMITER_NOT_HELD);
    assert_int_equal(take(&k, 7, "x", at_once, 2, 500), 0); // of a session, and with a time
    assert_int_equal(take(&k, 8, "x", at_once, 1, 500), 0);
    assert_false(k.out.allowed);
    k.events[0] = '\0';
    limiter_model.session_end(k.state, &k.apply, 7);
    assert_string_equal(k.events, "x permit 1 session\nx permit 2 session\n");
    assert_int_equal(take(&k, 8, "x", at_once, 3, 0), 0);
    assert_true(k.out.allowed);
    kit_close(&k);
}

static void lease_counts_until_it_ends_and_then_from_its_end(void **state) {
    struct kit k;
    kit_open(&k);
    struct limiter_definition def = {LIMITER_SLIDING_WINDOW, 10, 0, 60};
    assert_int_equal(lease(&k, 3, "x", def, 6, 1, 100), 0);
    assert_int_equal(k.out.units, 6);
    uint64_t a = k.out.token;
    assert_int_equal(lease(&k, 4, "x", def, 6, 5, 50), 0);
    assert_false(k.out.allowed);
    assert_int_equal(k.out.retry_after_ms, 100);
    assert_int_equal(lease(&k, 4, "x", def, 6, 1, 50), 0);
    assert_int_equal(k.out.units, 4); // what was free
    pass(&k, 50);
    assert_string_equal(k.events, "x lease 4 expired\n");
    pass(&k, 40); // longer than a window since a's grant, not since the other's end
    assert_false(allowed(&k, "x", def, 1));
    assert_int_equal(release(&k, 3, "x", a, 7), LIMITER_BAD_ARGUMENTS);
    assert_int_equal(release(&k, 3, "x", a, 2), 0); // four come back unused
    assert_int_equal(k.out.remaining, 4);
    assert_true(allowed(&k, "x", def, 4));
    assert_false(allowed(&k, "x", def, 1));
    pass(&k, 20);
    assert_true(allowed(&k, "x", def, 4));
    kit_close(&k);
}

static void lease_outlives_its_session(void **state) { // its holder may not know yet, and go on using it
    struct kit k;
    kit_open(&k);
    struct limiter_definition def = {LIMITER_SLIDING_WINDOW, 10, 0, 60};
    assert_int_equal(lease(&k, 3, "x", def, 10, 10, 100), 0);
    limiter_model.session_end(k.state, &k.apply, 3);
    assert_string_equal(k.events, "");
    pass(&k, 99);
    assert_false(allowed(&k, "x", def, 1));
    pass(&k, 1); // it ends here, and may have been used up to here
    assert_string_equal(k.events, "x lease 10 expired\n");
    pass(&k, 59);
    assert_false(allowed(&k, "x", def, 1));
    pass(&k, 1);
    assert_true(allowed(&k, "x", def, 10));
    kit_close(&k);
}

static void changed_definition_keeps_what_is_used(void **state) {
    struct kit k;
    kit_open(&k);
    at(&k, 2000);
    assert_true(allowed(&k, "x", fixed, 2));
    assert_true(allowed(&k, "x", tokens, 3)); // 2 of 5 are used
    assert_false(allowed(&k, "x", tokens, 1));
    assert_false(allowed(&k, "x", sliding, 1)); // full: 3
    assert_int_equal(k.out.retry_after_ms, 2000 / 100 * 100 + 99 + 6400 - 2000);
    assert_int_equal(take(&k, 0, "x", at_once, 1, 500), 0); // a concurrency limit starts anew: nothing is held
    assert_true(k.out.allowed);
    uint64_t token = k.out.token;
    assert_int_equal(take(&k, 0, "x", fixed, 1, 0), LIMITER_KIND);
    assert_int_equal(release(&k, 0, "x", token, 0), 0);
    assert_true(allowed(&k, "x", fixed, 3));
    kit_close(&k);
}

static void count_limit(void *context, const struct limiter_info *info) {
    (*(int *)context)++;
}
static int limits(struct kit *k) {
    int count = 0;
    struct limiter_query query = {.now_ms = k->apply.log_time_ms, .max = 1000, .limit = count_limit, .context = &count};
    struct result result;
    limiter_model.query(k->state, &query, &result);
    return count;
}

static void idle_limits_drop_out_together(void **state) {
    struct kit k;
    char name[32];
    kit_open(&k);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "address-%d", i);
        assert_true(allowed(&k, name, tokens, 1));
        k.apply.log_time_ms += 10;
    }
    assert_int_equal(take(&k, 0, "held", at_once, 1, 60000), 0);
    assert_int_equal(limits(&k), 501);
    assert_int_equal(limiter_model.next_deadline_ms(k.state), 2000);
    assert_int_equal(pass(&k, 0), 500 - 33); // not the last 330 ms: their buckets are not full yet
    at(&k, 10000);
    assert_int_equal(limits(&k), 1);
    assert_int_equal(limiter_model.next_deadline_ms(k.state), 66000);
    at(&k, 80000);
    assert_int_equal(limits(&k), 0);
    assert_int_equal(limiter_model.memory(k.state), 0);
    kit_close(&k);
}

static void bad_arguments_are_refused(void **state) {
    struct kit k;
    kit_open(&k);
    char big[300];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    struct limiter_definition def = fixed;
    assert_int_equal(take(&k, 0, "", fixed, 1, 0), LIMITER_BAD_ARGUMENTS);
    assert_int_equal(take(&k, 0, big, fixed, 1, 0), LIMITER_BAD_ARGUMENTS);
    assert_int_equal(take(&k, 0, "x", fixed, 0, 0), LIMITER_BAD_ARGUMENTS);
    assert_int_equal(take(&k, 0, "x", fixed, 4, 0), LIMITER_BAD_ARGUMENTS); // never
    assert_int_equal(take(&k, 0, "x", fixed, 1, 5), LIMITER_BAD_ARGUMENTS);
    assert_int_equal(take(&k, 0, "x", at_once, 1, 0), LIMITER_BAD_ARGUMENTS); // nothing would end it
    assert_int_equal(take(&k, 0, "x", at_once, 1, LIMITER_TTL_MS_MAX + 1), LIMITER_BAD_ARGUMENTS);
    assert_int_equal(lease(&k, 1, "x", leaky, 1, 1, 50), LIMITER_BAD_ARGUMENTS);
    assert_int_equal(lease(&k, 1, "x", tokens, 1, 1, 0), LIMITER_BAD_ARGUMENTS);
    assert_int_equal(lease(&k, 1, "x", tokens, 1, 2, 50), LIMITER_BAD_ARGUMENTS);
    def.burst = 1;
    assert_int_equal(take(&k, 0, "x", def, 1, 0), LIMITER_BAD_ARGUMENTS);
    def = fixed;
    def.window_ms = LIMITER_WINDOW_MS_MAX + 1;
    assert_int_equal(take(&k, 0, "x", def, 1, 0), LIMITER_BAD_ARGUMENTS);
    def = tokens;
    def.rate = LIMITER_UNITS_MAX + 1;
    assert_int_equal(take(&k, 0, "x", def, 1, 0), LIMITER_BAD_ARGUMENTS);
    struct writer w = {0};
    command_write_head(&w, MODEL_LIMITER, LIMITER_TAKE, 0, 0);
    write_u8(&w, 200);
    assert_int_equal(run(&k, &w), COMMAND_BAD_COMMAND);
    command_write_head(&w, MODEL_LIMITER, 99, 0, 0);
    assert_int_equal(run(&k, &w), COMMAND_BAD_COMMAND);
    assert_int_equal(limits(&k), 0); // errors leave nothing behind
    kit_close(&k);
}

static void largest_amounts_do_not_overflow(void **state) {
    struct kit k;
    kit_open(&k);
    struct limiter_definition def = {LIMITER_TOKEN_BUCKET, 1, LIMITER_UNITS_MAX, LIMITER_WINDOW_MS_MAX};
    assert_true(allowed(&k, "x", def, LIMITER_UNITS_MAX));
    assert_false(allowed(&k, "x", def, LIMITER_UNITS_MAX));
    assert_true(k.out.retry_after_ms == LIMITER_UNITS_MAX * LIMITER_WINDOW_MS_MAX);
    k.apply.log_time_ms += LIMITER_UNITS_MAX * LIMITER_WINDOW_MS_MAX - 1;
    assert_false(allowed(&k, "x", def, LIMITER_UNITS_MAX));
    k.apply.log_time_ms++;
    assert_true(allowed(&k, "x", def, LIMITER_UNITS_MAX));
    def.rate = LIMITER_UNITS_MAX;
    assert_true(allowed(&k, "y", def, LIMITER_UNITS_MAX));
    assert_false(allowed(&k, "y", def, 1));
    assert_true(k.out.retry_after_ms == 3); // 2592000000 / 1000000000
    kit_close(&k);
}

// ---- random commands beside a naive model: every charge is kept, every answer counted anew

#define NAMES 6u
#define CHARGES_MAX 4000u
#define HOLDS_MAX 512u

struct naive_hold {
    uint64_t token, session, until_ms, units, used;
    unsigned name;
};
struct naive {
    struct limiter_definition def[NAMES];
    bool known[NAMES];
    struct {
        uint64_t at_ms, units;
    } charges[NAMES][CHARGES_MAX], uses[NAMES][CHARGES_MAX]; // uses: what really happened, leases' too
    size_t charge_count[NAMES], use_count[NAMES];
    struct naive_hold holds[HOLDS_MAX];
    size_t hold_count;
};

static uint64_t naive_held(const struct naive *n, unsigned name) {
    uint64_t held = 0;
    for (size_t i = 0; i < n->hold_count; i++) held += n->holds[i].name == name ? n->holds[i].units : 0;
    return held;
}

// In units * window, so that buckets need no fraction.
static uint64_t naive_used(const struct naive *n, unsigned name, uint64_t now_ms) {
    const struct limiter_definition *def = &n->def[name];
    uint64_t sum = 0, before = 0, width = (def->window_ms + 63) / 64;
    for (size_t i = 0; i < n->charge_count[name]; i++) {
        uint64_t at_ms = n->charges[name][i].at_ms, units = n->charges[name][i].units * def->window_ms;
        if (def->algorithm == LIMITER_FIXED_WINDOW) {
            sum += at_ms / def->window_ms == now_ms / def->window_ms ? units : 0;
        } else if (def->algorithm == LIMITER_SLIDING_WINDOW) {
            uint64_t last_of_part = at_ms - at_ms % width + width - 1;
            sum += last_of_part + def->window_ms > now_ms ? units : 0;
        } else {
            uint64_t leaked = (at_ms - before) * def->rate;
            sum = (sum > leaked ? sum - leaked : 0) + units;
            before = at_ms;
        }
    }
    if (def->algorithm == LIMITER_FIXED_WINDOW || def->algorithm == LIMITER_SLIDING_WINDOW) return sum;
    uint64_t leaked = (now_ms - before) * def->rate;
    return sum > leaked ? sum - leaked : 0;
}

static uint64_t capacity_of(const struct limiter_definition *def) {
    return def->burst > 0 ? def->burst : def->rate;
}

static bool naive_fits(const struct naive *n, unsigned name, uint64_t cost, uint64_t now_ms) {
    const struct limiter_definition *def = &n->def[name];
    uint64_t window = def->algorithm == LIMITER_CONCURRENCY ? 1 : def->window_ms;
    uint64_t used = def->algorithm == LIMITER_CONCURRENCY ? 0 : naive_used(n, name, now_ms);
    return used + (naive_held(n, name) + cost) * window <= capacity_of(def) * window;
}

static uint64_t naive_free(const struct naive *n, unsigned name, uint64_t now_ms) {
    uint64_t free = 0;
    while (free < capacity_of(&n->def[name]) && naive_fits(n, name, free + 1, now_ms)) free++;
    return free;
}

static void naive_charge(struct naive *n, unsigned name, uint64_t units, uint64_t now_ms) {
    assert_true(n->charge_count[name] < CHARGES_MAX);
    n->charges[name][n->charge_count[name]].at_ms = now_ms;
    n->charges[name][n->charge_count[name]++].units = units;
}

static void naive_use(struct naive *n, unsigned name, uint64_t units, uint64_t now_ms) {
    assert_true(n->use_count[name] < CHARGES_MAX);
    n->uses[name][n->use_count[name]].at_ms = now_ms;
    n->uses[name][n->use_count[name]++].units = units;
}

static bool same(const struct limiter_definition *a, const struct limiter_definition *b) {
    return a->algorithm == b->algorithm && a->rate == b->rate && a->burst == b->burst && a->window_ms == b->window_ms;
}

static void naive_define(struct naive *n, unsigned name, const struct limiter_definition *def, uint64_t now_ms) {
    if (n->known[name] && !same(&n->def[name], def)) {
        uint64_t window = n->def[name].window_ms;
        uint64_t used = window == 0 ? 0 : (naive_used(n, name, now_ms) + window - 1) / window;
        n->charge_count[name] = 0;
        if (used > capacity_of(def)) used = capacity_of(def);
        if (def->algorithm != LIMITER_CONCURRENCY && used > 0) naive_charge(n, name, used, now_ms);
    }
    n->known[name] = true;
    n->def[name] = *def;
}

static void naive_end(struct naive *n, size_t i, uint64_t used, uint64_t now_ms) {
    struct naive_hold hold = n->holds[i];
    if (n->def[hold.name].algorithm != LIMITER_CONCURRENCY && used > 0) naive_charge(n, hold.name, used, now_ms);
    n->holds[i] = n->holds[--n->hold_count];
}

static void naive_lost(struct kit *k, struct naive *n) { // what the events told
    for (size_t e = 0; e < k->lost.count; e++)
        for (size_t i = 0; i < n->hold_count; i++) {
            if (n->holds[i].token != k->lost.tokens[e]) continue;
            naive_end(n, i, n->holds[i].units, k->apply.log_time_ms);
            break;
        }
    for (size_t i = 0; i < n->hold_count; i++) assert_true(n->holds[i].until_ms > k->apply.log_time_ms);
}

static const char *const names[NAMES] = {"fixed", "sliding", "leaky", "tokens", "at once", "changing"};

static struct limiter_definition definition(struct prng *prng, unsigned name) {
    static const struct limiter_definition defs[] = {{LIMITER_FIXED_WINDOW, 7, 0, 130},
                                                     {LIMITER_SLIDING_WINDOW, 9, 0, 333},
                                                     {LIMITER_LEAKY_BUCKET, 5, 8, 170},
                                                     {LIMITER_TOKEN_BUCKET, 7, 11, 190},
                                                     {LIMITER_CONCURRENCY, 6, 0, 0}};
    if (name < 5) return defs[name];
    struct limiter_definition def = defs[prng_below(prng, 5)];
    if (prng_below(prng, 2)) def.rate += 2;
    if (def.algorithm != LIMITER_CONCURRENCY && prng_below(prng, 2)) def.window_ms = 20 + prng_below(prng, 300);
    return def;
}

static void random_take(struct kit *k, struct naive *n, struct prng *prng, unsigned name, bool as_lease) {
    struct limiter_definition def = definition(prng, name);
    bool at_once_kind = def.algorithm == LIMITER_CONCURRENCY;
    uint64_t now_ms = k->apply.log_time_ms, session = prng_below(prng, 4), ttl_ms = 1 + prng_below(prng, 200);
    uint32_t cost = 1 + (uint32_t)prng_below(prng, 3), least = as_lease ? 1 + (uint32_t)prng_below(prng, cost) : cost;
    bool changes = n->known[name] && !same(&n->def[name], &def);
    bool was_at_once = n->known[name] && n->def[name].algorithm == LIMITER_CONCURRENCY;
    bool holds = as_lease || at_once_kind;
    if (at_once_kind && session != 0 && prng_below(prng, 2)) ttl_ms = 0;
    int error = as_lease ? lease(k, session, names[name], def, cost, least, ttl_ms)
                         : take(k, session, names[name], def, cost, holds ? ttl_ms : 0);
    if (as_lease && (at_once_kind || def.algorithm == LIMITER_LEAKY_BUCKET)) {
        assert_int_equal(error, LIMITER_BAD_ARGUMENTS);
        return;
    }
    if (changes && naive_held(n, name) > 0 && (was_at_once != at_once_kind || def.algorithm == LIMITER_LEAKY_BUCKET)) {
        assert_int_equal(error, LIMITER_KIND);
        return;
    }
    assert_int_equal(error, 0);
    naive_define(n, name, &def, now_ms);
    assert_int_equal(k->out.allowed, naive_fits(n, name, least, now_ms));
    if (k->out.allowed) {
        uint64_t units = naive_free(n, name, now_ms);
        units = cost < units ? cost : units;
        if (holds) {
            assert_int_equal(k->out.units, units);
            assert_true(n->hold_count < HOLDS_MAX);
            n->holds[n->hold_count++] =
                (struct naive_hold){k->out.token, session, ttl_ms > 0 ? now_ms + ttl_ms : UINT64_MAX, units, 0, name};
        } else {
            naive_charge(n, name, units, now_ms);
            naive_use(n, name, units, now_ms);
        }
    } else if (naive_held(n, name) == 0) { // not a moment too early or too late
        assert_true(k->out.retry_after_ms > 0);
        assert_true(naive_fits(n, name, least, now_ms + k->out.retry_after_ms));
        assert_false(naive_fits(n, name, least, now_ms + k->out.retry_after_ms - 1));
    }
    assert_int_equal(k->out.remaining, naive_free(n, name, now_ms));
}

static void random_hold_step(struct kit *k, struct naive *n, struct prng *prng) {
    if (n->hold_count == 0) return;
    size_t i = prng_below(prng, n->hold_count);
    struct naive_hold *hold = &n->holds[i];
    bool is_lease = n->def[hold->name].algorithm != LIMITER_CONCURRENCY;
    switch (prng_below(prng, 4)) {
    case 0: // its node gives out one more of the block
        if (!is_lease || hold->used == hold->units) return;
        hold->used++;
        naive_use(n, hold->name, 1, k->apply.log_time_ms);
        return;
    case 1:
        if (hold->until_ms == UINT64_MAX) return;
        assert_int_equal(renew(k, hold->session, names[hold->name], hold->token, 50), 0);
        hold->until_ms = k->apply.log_time_ms + 50;
        return;
    case 2:
        assert_int_equal(release(k, hold->session + 1, names[hold->name], hold->token, 0), LIMITER_NOT_HELD);
        return;
    default:
        assert_int_equal(release(k, hold->session, names[hold->name], hold->token, (uint32_t)hold->used), 0);
        naive_end(n, i, hold->used, k->apply.log_time_ms);
    }
}

static void random_step(struct kit *k, struct naive *n, struct prng *prng) {
    switch (prng_below(prng, 16)) {
    case 0:
    case 1:
    case 2:
        pass(k, prng_below(prng, 60));
        naive_lost(k, n);
        break;
    case 3:
        if (prng_below(prng, 4)) break;
        k->lost.count = 0;
        limiter_model.session_end(k->state, &k->apply, 1);
        naive_lost(k, n);
        for (size_t i = 0; i < n->hold_count; i++)
            assert_true(n->holds[i].session != 1 || n->def[n->holds[i].name].algorithm != LIMITER_CONCURRENCY);
        break;
    case 4:
    case 5:
    case 6:
        random_take(k, n, prng, (unsigned)prng_below(prng, NAMES), true);
        break;
    case 7:
    case 8:
    case 9:
    case 10:
        random_hold_step(k, n, prng);
        break;
    default:
        random_take(k, n, prng, (unsigned)prng_below(prng, NAMES), false);
    }
}

// What really was used, leases' uses at their true moments, against what each limit promises of any stretch of time.
static void check_never_too_much(const struct naive *n) {
    for (unsigned name = 0; name < 4; name++) {
        const struct limiter_definition *def = &n->def[name];
        for (size_t from = 0; from < n->use_count[name]; from++) {
            uint64_t sum = 0, start = n->uses[name][from].at_ms;
            for (size_t to = from; to < n->use_count[name]; to++) {
                uint64_t end = n->uses[name][to].at_ms;
                sum += n->uses[name][to].units;
                if (def->algorithm == LIMITER_FIXED_WINDOW) {
                    if (start / def->window_ms == end / def->window_ms) assert_true(sum <= def->rate);
                } else if (def->algorithm == LIMITER_SLIDING_WINDOW) {
                    if (end - start < def->window_ms) assert_true(sum <= def->rate);
                } else {
                    assert_true(sum * def->window_ms <= def->burst * def->window_ms + (end - start) * def->rate);
                }
            }
        }
    }
}

static void copy_by_save(struct kit *k, void **to) {
    static uint8_t chunk[4096];
    struct save_cursor cursor = {0};
    void *copy = *to = limiter_model.create();
    for (size_t len; (len = limiter_model.save(k->state, &cursor, chunk, sizeof chunk)) > 0;)
        assert_int_equal(limiter_model.load(copy, chunk, len), 0);
    assert_true(digest_equal(limiter_model.digest(k->state), limiter_model.digest(copy)));
    assert_true(limiter_model.memory(k->state) == limiter_model.memory(copy));
    assert_true(limiter_model.next_deadline_ms(k->state) == limiter_model.next_deadline_ms(copy));
}

static void random_commands_never_permit_too_much(void **state) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct prng prng;
        struct kit *k = test_malloc(sizeof *k);
        struct naive *n = test_calloc(1, sizeof *n);
        prng_seed(&prng, seed);
        kit_open(k);
        for (int i = 0; i < 1500; i++) {
            random_step(k, n, &prng);
            if (prng_below(&prng, 300) == 0) { // goes on with a copy
                void *copy;
                copy_by_save(k, &copy);
                limiter_model.destroy(k->state);
                k->state = copy;
            }
            if (i % 16 == 0)
                assert_true(digest_equal(limiter_model.digest(k->state), limiter_model.digest_recount(k->state)));
        }
        check_never_too_much(n);
        pass(k, 100000);
        limiter_model.session_end(k->state, &k->apply, 1);
        limiter_model.session_end(k->state, &k->apply, 2);
        limiter_model.session_end(k->state, &k->apply, 3);
        pass(k, 100000);
        assert_int_equal(limiter_model.memory(k->state), 0);
        kit_close(k);
        test_free(k);
        test_free(n);
    }
}

// Deadlines at one moment, and few removals an entry: a copy by save and load ends the same ones first.
static void copy_ends_the_same_ones_first(void **state) {
    char name[8];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct prng prng;
        struct kit k, copy;
        prng_seed(&prng, seed);
        kit_open(&k);
        k.apply.index = 0;
        for (int i = 0; i < 200; i++) {
            snprintf(name, sizeof name, "%u", (unsigned)prng_below(&prng, 40));
            if (prng_below(&prng, 2))
                take(&k, 0, name, tokens, 1, 0);
            else
                take(&k, 0, name, at_once, 1, 1000 * (1 + prng_below(&prng, 20)));
            k.apply.index = 0; // so that numbers stand close
            if (i % 32 == 0) pass(&k, 1000);
        }
        copy = k;
        copy_by_save(&k, &copy.state);
        k.apply.log_time_ms += 30000;
        copy.apply = k.apply;
        while (limiter_model.expire(k.state, &k.apply, 1) > 0) {
            assert_int_equal(limiter_model.expire(copy.state, &copy.apply, 1), 1);
            assert_true(digest_equal(limiter_model.digest(k.state), limiter_model.digest(copy.state)));
        }
        kit_close(&k);
        kit_close(&copy);
    }
}

static void session_holds_so_much_at_most(void **state) {
    struct kit k;
    kit_open(&k);
    struct limiter_definition def = {LIMITER_CONCURRENCY, 2 * LIMITER_SESSION_MAX, 0, 0};
    for (unsigned i = 0; i < LIMITER_SESSION_MAX; i++) assert_int_equal(take(&k, 7, "x", def, 1, 0), 0);
    assert_int_equal(take(&k, 7, "x", def, 1, 0), LIMITER_LIMIT);
    assert_int_equal(take(&k, 8, "x", def, LIMITER_SESSION_MAX, 0), 0);
    assert_int_equal(k.out.remaining, 0);
    limiter_model.session_end(k.state, &k.apply, 7);
    assert_int_equal(take(&k, 7, "x", def, LIMITER_SESSION_MAX, 0), 0);
    assert_true(k.out.allowed);
    kit_close(&k);
}

static void unused_state_is_nothing(void **state) { // so the model can be added to a group that lives
    struct kit k;
    struct save_cursor cursor = {0};
    uint8_t chunk[64];
    kit_open(&k);
    assert_true(digest_equal(limiter_model.digest(k.state), (struct digest){0}));
    assert_int_equal(limiter_model.save(k.state, &cursor, chunk, sizeof chunk), 0);
    kit_close(&k);
}

static void damaged_records_are_refused_or_load_whole(void **state) {
    struct kit *k = test_malloc(sizeof *k);
    struct naive *n = test_calloc(1, sizeof *n);
    static uint8_t saved[16384], bad[16384];
    struct prng prng;
    kit_open(k);
    prng_seed(&prng, 5);
    for (int i = 0; i < 300; i++) random_step(k, n, &prng);
    struct save_cursor cursor = {0};
    size_t len = limiter_model.save(k->state, &cursor, saved, sizeof saved);
    for (size_t i = 0; i < 8 * len; i++) {
        memcpy(bad, saved, len);
        bad[i / 8] ^= (uint8_t)(1u << (i & 7));
        struct kit other = *k;
        other.state = limiter_model.create();
        if (limiter_model.load(other.state, bad, len) == 0) {
            assert_true(digest_equal(limiter_model.digest(other.state), limiter_model.digest_recount(other.state)));
            for (unsigned name = 0; name < 5; name++)
                take(&other, 1, names[name], definition(&prng, name), 1, name == 4);
            pass(&other, 500);
        }
        limiter_model.destroy(other.state);
    }
    for (size_t cut = 0; cut < len; cut++) {
        void *other = limiter_model.create();
        limiter_model.load(other, saved, cut);
        limiter_model.destroy(other);
    }
    kit_close(k);
    test_free(k);
    test_free(n);
}

static void damaged_commands_do_no_harm(void **state) {
    struct kit *k = test_malloc(sizeof *k);
    struct prng prng;
    kit_open(k);
    prng_seed(&prng, 9);
    for (int i = 0; i < 20000; i++) {
        unsigned name = (unsigned)prng_below(&prng, NAMES);
        struct limiter_definition def = definition(&prng, name);
        struct writer w = {0};
        if (prng_below(&prng, 2))
            limiter_write_take(&w, 1, 1, bytes_of_text(names[name]), &def, 1, def.window_ms == 0);
        else if (prng_below(&prng, 2))
            limiter_write_lease(&w, 1, 1, bytes_of_text(names[name]), &def, 3, 1, 40);
        else
            limiter_write_release(&w, 1, 1, bytes_of_text(names[name]), k->out.token, 1);
        size_t head = 4; // model, operation, session and attach stay: another's bytes are not ours to read
        for (uint64_t flips = prng_below(&prng, 4); flips > 0; flips--)
            w.data[head + prng_below(&prng, w.len - head)] ^= (uint8_t)(1u << prng_below(&prng, 8));
        if (prng_below(&prng, 8) == 0) w.len = head + prng_below(&prng, w.len - head);
        run(k, &w);
        if (i % 8 == 0) pass(k, prng_below(&prng, 40));
    }
    kit_close(k);
    test_free(k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_window_starts_anew),
        cmocka_unit_test(sliding_window_lets_go_by_parts),
        cmocka_unit_test(short_sliding_window_is_exact),
        cmocka_unit_test(token_bucket_fills_without_drift),
        cmocka_unit_test(leaky_bucket_tells_each_its_turn),
        cmocka_unit_test(permits_end_by_release_time_or_session),
        cmocka_unit_test(lease_counts_until_it_ends_and_then_from_its_end),
        cmocka_unit_test(lease_outlives_its_session),
        cmocka_unit_test(changed_definition_keeps_what_is_used),
        cmocka_unit_test(idle_limits_drop_out_together),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(largest_amounts_do_not_overflow),
        cmocka_unit_test(random_commands_never_permit_too_much),
        cmocka_unit_test(copy_ends_the_same_ones_first),
        cmocka_unit_test(session_holds_so_much_at_most),
        cmocka_unit_test(unused_state_is_nothing),
        cmocka_unit_test(damaged_records_are_refused_or_load_whole),
        cmocka_unit_test(damaged_commands_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
