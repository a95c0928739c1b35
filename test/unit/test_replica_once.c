// Commands that take effect once, under a request's key: what is kept, what is told again, what takes no key.
#include "test/unit/machine_kit.h"

#include "base/prng.h"
#include "model/guard/guard.h"
#include "model/idempotency/idempotency.h"
#include "model/limiter/limiter.h"
#include "model/queue/queue.h"

static void see(struct told *told, const struct result *result) {
    const void *value = result->error == 0 ? result->value : NULL;
    if (value == NULL) return;
    if (result->model == MODEL_GUARD && result->op == GUARD_COUNTER_ADD)
        told->counter = ((const struct guard_result *)value)->values[0];
    if (result->model == MODEL_LOCK) {
        const struct lock_result *lock = value;
        told->token = lock->token_count > 0 ? lock->tokens[lock->token_count - 1] : lock->token;
        told->holds = lock->holds;
    } else if (result->model == MODEL_LIMITER) {
        const struct limiter_result *limiter = value;
        told->token = limiter->token;
        told->remaining = limiter->allowed ? limiter->remaining : UINT32_MAX;
    } else if (result->model == MODEL_QUEUE) {
        const struct queue_result *queue = value;
        told->id = queue->id;
        told->token = queue->delivery_count > 0 ? queue->deliveries[0].token : 0;
    }
}

static void write_once(struct writer *w, const char *key, const char *fingerprint, struct bytes command) {
    struct idempotency_once once = {bytes_of_text(key), bytes_of_text(fingerprint), 60000, command};
    idempotency_write_once(w, 0, 0, &once);
}

// Adds to a counter under a key; gives the error, which is in told with the rest.
static int add_once(struct bench *b, uint64_t *seq, const char *key, const char *fingerprint, int64_t delta) {
    struct writer inner, w;
    writer_init(&inner);
    writer_init(&w);
    struct guard_addition addition = {bytes_of_text("stock"), delta};
    guard_write_counter_add(&inner, 0, 0, bytes_of_text(""), 0, &addition, 1);
    write_once(&w, key, fingerprint, bytes_of(inner.data, inner.len));
    assert_int_equal(send_one(b, SELF, BOOT, (*seq)++, &w), 0);
    writer_free(&inner);
    writer_free(&w);
    assert_true(digest_equal(machine_digest(b->machine), machine_digest_recount(b->machine)));
    return b->told.own_error[b->told.own_count - 1];
}

static void command_under_a_key_takes_effect_once(void **state) {
    (void)state;
    struct bench b;
    uint64_t seq = 2;
    bench_start(&b);
    b.told.see = see;
    open_stream(&b, SELF, SELF, BOOT);
    assert_int_equal(add_once(&b, &seq, "a", "five", 5), 0);
    assert_int_equal(b.told.counter, 5);
    assert_int_equal(add_once(&b, &seq, "b", "two", 2), 0);
    assert_int_equal(b.told.counter, 7);
    b.told.counter = 0;
    assert_int_equal(add_once(&b, &seq, "a", "five", 5), 0); // as it was then
    assert_int_equal(b.told.counter, 5);
    assert_int_equal(b.told.model, MODEL_GUARD);
    assert_int_equal(add_once(&b, &seq, "a", "six", 6), IDEMPOTENCY_MISMATCH);
    assert_int_equal(b.told.model, MODEL_IDEMPOTENCY);
    assert_int_equal(add_once(&b, &seq, "c", "minus", -8), GUARD_BELOW); // kept too
    assert_int_equal(add_once(&b, &seq, "d", "ten", 10), 0);
    assert_int_equal(b.told.counter, 17);
    assert_int_equal(add_once(&b, &seq, "c", "minus", -8), GUARD_BELOW);
    b.log_time += 60000; // known no longer
    struct writer w;
    writer_init(&w);
    group_write_time(&w);
    send_one(&b, 0, 0, 0, &w);
    assert_int_equal(machine_next_deadline_ms(b.machine), UINT64_MAX);
    assert_int_equal(add_once(&b, &seq, "a", "five", 5), 0);
    assert_int_equal(b.told.counter, 22);
    writer_free(&w);
    bench_end(&b);
}

// What ran before is told as it was, though nothing new may be remembered.
static void key_is_known_at_memory_max(void **state) {
    (void)state;
    struct bench b;
    struct writer w;
    uint64_t seq = 2;
    bench_start(&b);
    b.told.see = see;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    assert_int_equal(add_once(&b, &seq, "a", "five", 5), 0);
    group_write_setting(&w, GROUP_SETTING_MEMORY_MAX, 1);
    assert_int_equal(send_one(&b, 0, 0, 0, &w), 0);
    assert_int_equal(add_once(&b, &seq, "b", "one", 1), COMMAND_MEMORY);
    b.told.counter = 0;
    assert_int_equal(add_once(&b, &seq, "a", "five", 5), 0);
    assert_int_equal(b.told.counter, 5);
    group_write_setting(&w, GROUP_SETTING_MEMORY_MAX, UINT64_MAX);
    assert_int_equal(send_one(&b, 0, 0, 0, &w), 0);
    assert_int_equal(add_once(&b, &seq, "b", "one", 1), 0); // the refusal was not kept
    assert_int_equal(b.told.counter, 6);
    writer_free(&w);
    bench_end(&b);
}

static void keys_of_commands_are_in_snapshots(void **state) {
    (void)state;
    static uint8_t chunk[256u << 10];
    struct bench b;
    uint64_t seq = 2;
    uint8_t model;
    struct writer m;
    struct machine_cursor cursor = {0};
    bench_start(&b);
    b.told.see = see;
    open_stream(&b, SELF, SELF, BOOT);
    add_once(&b, &seq, "a", "five", 5);
    struct machine_sink sink = {.before_own = told_before, .own = told_own, .event = told_event, .context = &b.told};
    struct machine *copy = machine_new(SELF, BOOT, &sink);
    for (size_t len; (len = machine_save(b.machine, &cursor, &model, chunk, sizeof chunk)) > 0;)
        assert_int_equal(machine_load(copy, model, chunk, len), 0);
    writer_init(&m);
    membership_encode(machine_membership(b.machine), &m);
    assert_int_equal(
        machine_load_finish(copy, machine_applied(b.machine), 1, 0, bytes_of(m.data, m.len), machine_digest(b.machine)),
        0);
    machine_free(b.machine);
    b.machine = copy;
    b.told.counter = 0;
    assert_int_equal(add_once(&b, &seq, "a", "five", 5), 0);
    assert_int_equal(b.told.counter, 5);
    assert_int_equal(add_once(&b, &seq, "b", "one", 1), 0);
    assert_int_equal(b.told.counter, 6);
    writer_free(&m);
    bench_end(&b);
}

// What may not be done under a key is refused, and so are any bytes; nothing is remembered of it.
static void only_what_keeps_its_result_is_done_under_a_key(void **state) {
    (void)state;
    struct bench b;
    struct prng prng;
    struct writer inner, w;
    uint64_t seq = 2;
    bench_start(&b);
    b.told.see = see;
    prng_seed(&prng, 5);
    writer_init(&inner);
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    for (int i = 0; i < 3000; i++) {
        writer_clear(&inner);
        if (i == 0)
            write_acquire(&inner, 0, 0, 5000, 0); // it ends by time
        else if (i == 1)
            write_once(&inner, "x", "y", bytes_of("", 0)); // one in another
        else if (i == 2)
            command_write_head(&inner, MODEL_GUARD, GUARD_COUNTER_DELETE, 7, 1); // of another session
        else
            for (uint64_t k = prng_below(&prng, 12); k > 0; k--) write_u8(&inner, (uint8_t)prng_below(&prng, 16));
        write_once(&w, "key", "", bytes_of(inner.data, inner.len));
        assert_int_equal(send_one(&b, SELF, BOOT, seq++, &w), 0);
        int error = b.told.own_error[b.told.own_count - 1];
        assert_true(error == COMMAND_BAD_COMMAND || i > 2);
        if (i <= 2) assert_int_equal(machine_next_deadline_ms(b.machine), UINT64_MAX);
        assert_true(digest_equal(machine_digest(b.machine), machine_digest_recount(b.machine)));
    }
    writer_free(&inner);
    writer_free(&w);
    bench_end(&b);
}

// ---- locks, limits and queues

struct one { // a session, and commands of it
    struct bench b;
    uint64_t seq, session, attach;
    struct writer w;
};

static void one_session(struct one *o) {
    attach_new(&o->b, &o->w, o->seq++);
    o->session = o->b.told.created_session;
    o->attach = o->b.told.created_attach;
}
static struct one *one_start(void) {
    struct one *o = test_calloc(1, sizeof *o);
    o->seq = 2;
    bench_start(&o->b);
    o->b.told.see = see;
    open_stream(&o->b, SELF, SELF, BOOT);
    one_session(o);
    return o;
}
static void one_end(struct one *o) {
    writer_free(&o->w);
    bench_end(&o->b);
    test_free(o);
}

// What stands in the writer, under a key if there is one; gives its error.
static int run(struct one *o, const char *key) {
    struct writer outer = {0};
    struct idempotency_once once = {bytes_of_text(key != NULL ? key : ""), bytes_of_text("f"), 60000,
                                    bytes_of(o->w.data, o->w.len)};
    struct command inner;
    assert_true(command_read(&inner, once.command));
    if (key != NULL) idempotency_write_once(&outer, inner.session, inner.attach, &once);
    o->b.told.token = o->b.told.id = 0;
    assert_int_equal(send_one(&o->b, SELF, BOOT, o->seq++, key != NULL ? &outer : &o->w), 0);
    writer_clear(&o->w);
    writer_free(&outer);
    assert_true(digest_equal(machine_digest(o->b.machine), machine_digest_recount(o->b.machine)));
    return o->b.told.own_error[o->b.told.own_count - 1];
}

static int acquire(struct one *o, const char *key) {
    write_acquire(&o->w, o->session, o->attach, 0, 0);
    return run(o, key);
}
static int release(struct one *o, const char *key, uint64_t token) {
    lock_write_release(&o->w, o->session, o->attach, bytes_of_text("orders"), bytes_of_text("a"), token, false);
    return run(o, key);
}

static void lock_under_a_key_is_taken_and_given_back_once(void **state) {
    struct one *o = one_start();
    assert_int_equal(acquire(o, "take"), 0);
    uint64_t token = o->b.told.token;
    assert_int_equal(acquire(o, "take"), 0);
    assert_int_equal(o->b.told.token, token);
    assert_int_equal(o->b.told.holds, 1);
    assert_int_equal(acquire(o, "more"), 0);
    assert_int_equal(o->b.told.holds, 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(release(o, "give", token), 0);
        assert_int_equal(o->b.told.holds, 1);
    }
    assert_int_equal(acquire(o, "take"), 0); // it is held yet
    assert_int_equal(release(o, "last", token), 0);
    assert_int_equal(acquire(o, "take"), LOCK_NOT_HELD);
    assert_int_equal(release(o, "last", token), 0);
    assert_int_equal(release(o, "none", token), LOCK_NOT_HELD);
    assert_int_equal(acquire(o, "anew"), 0);
    assert_true(o->b.told.token > token);
    assert_int_equal(acquire(o, "take"), LOCK_NOT_HELD); // by a later grant
    one_end(o);
}

static void what_was_not_had_under_a_key_may_be_asked_again(void **state) {
    struct one *o = one_start();
    assert_int_equal(acquire(o, NULL), 0);
    uint64_t token = o->b.told.token;
    struct one first = *o;
    one_session(o);
    assert_int_equal(acquire(o, "take"), LOCK_BUSY);
    uint64_t session = o->session, attach = o->attach;
    o->session = first.session;
    o->attach = first.attach;
    assert_int_equal(release(o, NULL, token), 0);
    o->session = session;
    o->attach = attach;
    assert_int_equal(acquire(o, "take"), 0);
    assert_true(o->b.told.token > token);
    one_end(o);
}

// It asked without a key before, and waits. Nothing is kept until it holds the lock.
static void owner_that_waits_already_goes_on_waiting(void **state) {
    struct one *o = one_start();
    assert_int_equal(acquire(o, NULL), 0);
    uint64_t token = o->b.told.token, session = o->session, attach = o->attach;
    one_session(o);
    write_acquire(&o->w, o->session, o->attach, 0, 60000);
    assert_int_equal(run(o, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(acquire(o, "take"), 0);
        assert_int_equal(o->b.told.token, 0);
    }
    lock_write_release(&o->w, session, attach, bytes_of_text("orders"), bytes_of_text("a"), token, false);
    assert_int_equal(run(o, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(acquire(o, "take"), 0);
        assert_true(o->b.told.token > token);
        assert_int_equal(o->b.told.holds, 2); // by the wait, and once by the key
    }
    one_end(o);
}

static void grant_that_waits_or_ends_by_time_takes_no_key(void **state) {
    struct one *o = one_start();
    struct bytes name = bytes_of_text("all");
    enum lock_mode mode = LOCK_EXCLUSIVE;
    write_acquire(&o->w, o->session, o->attach, 0, 1000);
    assert_int_equal(run(o, "k"), COMMAND_BAD_COMMAND);
    write_acquire(&o->w, o->session, o->attach, 1000, 0);
    assert_int_equal(run(o, "k"), COMMAND_BAD_COMMAND);
    lock_write_acquire_all(&o->w, o->session, o->attach, bytes_of_text("a"), 1000, 0, &name, &mode, 1);
    assert_int_equal(run(o, "k"), COMMAND_BAD_COMMAND);
    lock_write_renew(&o->w, o->session, o->attach, name, bytes_of_text("a"), 5, 1000);
    assert_int_equal(run(o, "k"), COMMAND_BAD_COMMAND);
    struct lock_request election = {
        .name = name, .owner = bytes_of_text("a"), .mode = LOCK_ELECTION, .permits = 1, .value = bytes_of_text("v")};
    lock_write_acquire(&o->w, o->session, o->attach, &election);
    assert_int_equal(run(o, "k"), COMMAND_BAD_COMMAND);
    assert_int_equal(machine_count(o->b.machine, MODEL_LOCK), 0);
    one_end(o);
}

static void several_locks_under_a_key_are_told_while_all_are_held(void **state) {
    struct one *o = one_start();
    const struct bytes names[] = {bytes_of_text("x"), bytes_of_text("orders")};
    const enum lock_mode modes[] = {LOCK_EXCLUSIVE, LOCK_SHARED};
    uint64_t token = 0;
    for (int i = 0; i < 4; i++) {
        lock_write_acquire_all(&o->w, o->session, o->attach, bytes_of_text("a"), 0, 0, names, modes, 2);
        assert_int_equal(run(o, "all"), i < 2 ? 0 : LOCK_NOT_HELD);
        if (i == 0) token = o->b.told.token;
        if (i < 2) assert_int_equal(o->b.told.token, token);
        if (i == 1) assert_int_equal(release(o, NULL, token), 0);
    }
    one_end(o);
}

static int take(struct one *o, const char *key, const struct limiter_definition *definition, uint64_t ttl_ms) {
    limiter_write_take(&o->w, o->session, o->attach, bytes_of_text("l"), definition, 1, ttl_ms);
    return run(o, key);
}

static void limit_under_a_key_counts_once(void **state) {
    struct one *o = one_start();
    const struct limiter_definition bucket = {.algorithm = LIMITER_TOKEN_BUCKET, .rate = 3, .window_ms = 3000};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(take(o, "a", &bucket, 0), 0);
        assert_int_equal(o->b.told.remaining, 2);
    }
    take(o, "b", &bucket, 0);
    take(o, "c", &bucket, 0);
    assert_int_equal(o->b.told.remaining, 0);
    take(o, "d", &bucket, 0);
    assert_int_equal(o->b.told.remaining, UINT32_MAX); // refused, which is not kept
    o->b.log_time += 1000;
    take(o, "d", &bucket, 0);
    assert_int_equal(o->b.told.remaining, 0);
    limiter_write_lease(&o->w, o->session, o->attach, bytes_of_text("l"), &bucket, 1, 1, 1000);
    assert_int_equal(run(o, "lease"), COMMAND_BAD_COMMAND);
    one_end(o);
}

static void permit_under_a_key_is_told_while_it_is_held(void **state) {
    struct one *o = one_start();
    const struct limiter_definition permits = {.algorithm = LIMITER_CONCURRENCY, .rate = 2};
    assert_int_equal(take(o, "a", &permits, 0), 0);
    uint64_t token = o->b.told.token;
    assert_int_equal(take(o, "a", &permits, 0), 0);
    assert_int_equal(o->b.told.token, token);
    assert_int_equal(o->b.told.remaining, 1);
    assert_int_equal(take(o, "t", &permits, 1000), COMMAND_BAD_COMMAND);
    for (int i = 0; i < 2; i++) {
        limiter_write_release(&o->w, o->session, o->attach, bytes_of_text("l"), token, 0);
        assert_int_equal(run(o, "give"), 0);
    }
    assert_int_equal(take(o, "a", &permits, 0), LIMITER_NOT_HELD);
    one_end(o);
}

static int push(struct one *o, const char *key, uint64_t number) {
    struct queue_push message = {
        .name = bytes_of_text("q"), .key = bytes_of_text("k"), .body = bytes_of_text("b"), .number = number};
    queue_write_push(&o->w, 0, 0, &message);
    return run(o, key);
}

static void message_under_a_key_is_pushed_and_acknowledged_once(void **state) {
    struct one *o = one_start();
    struct queue_options options = {.length_max = 1};
    queue_write_configure(&o->w, bytes_of_text("q"), &options);
    assert_int_equal(run(o, "configure"), 0);
    assert_int_equal(push(o, "p", 0), 0);
    uint64_t id = o->b.told.id;
    assert_int_equal(push(o, "p", 0), 0);
    assert_int_equal(o->b.told.id, id);
    assert_int_equal(push(o, "second", 0), QUEUE_LENGTH);
    assert_int_equal(push(o, "n", 1), COMMAND_BAD_COMMAND); // done once by its number
    queue_write_claim(&o->w, 0, 0, bytes_of_text("q"), 1, 1000, 0);
    assert_int_equal(run(o, "claim"), COMMAND_BAD_COMMAND);
    queue_write_claim(&o->w, 0, 0, bytes_of_text("q"), 1, 1000, 0);
    assert_int_equal(run(o, NULL), 0);
    uint64_t token = o->b.told.token;
    assert_int_not_equal(token, 0);
    for (int i = 0; i < 3; i++) {
        queue_write_ack(&o->w, 0, 0, bytes_of_text("q"), &token, 1);
        assert_int_equal(run(o, i < 2 ? "ack" : "other"), i < 2 ? 0 : QUEUE_NOT_CLAIMED);
    }
    assert_int_equal(push(o, "p", 0), 0); // the message is gone, and not pushed again
    assert_int_equal(o->b.told.id, id);
    assert_int_equal(push(o, "second", 0), 0);
    assert_true(o->b.told.id > id);
    one_end(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_under_a_key_takes_effect_once),
        cmocka_unit_test(key_is_known_at_memory_max),
        cmocka_unit_test(keys_of_commands_are_in_snapshots),
        cmocka_unit_test(only_what_keeps_its_result_is_done_under_a_key),
        cmocka_unit_test(lock_under_a_key_is_taken_and_given_back_once),
        cmocka_unit_test(what_was_not_had_under_a_key_may_be_asked_again),
        cmocka_unit_test(owner_that_waits_already_goes_on_waiting),
        cmocka_unit_test(grant_that_waits_or_ends_by_time_takes_no_key),
        cmocka_unit_test(several_locks_under_a_key_are_told_while_all_are_held),
        cmocka_unit_test(limit_under_a_key_counts_once),
        cmocka_unit_test(permit_under_a_key_is_told_while_it_is_held),
        cmocka_unit_test(message_under_a_key_is_pushed_and_acknowledged_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
