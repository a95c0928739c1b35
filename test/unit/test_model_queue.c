// Ordered queues: named cases. (Random commands: test_model_queue_random.c.)
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/prng.h"
#include "support/queue_kit.h"
#include <stdio.h>
#include <string.h>

#define kit_open queue_kit_open
#define kit_close queue_kit_close
#define pass queue_kit_pass

static int push(struct queue_kit *k, const char *key, const char *body, struct queue_push q) {
    struct writer w = {0};
    q.name = bytes_of_text("q");
    q.key = bytes_of_text(key);
    q.body = bytes_of_text(body);
    queue_write_push(&w, 0, 0, &q);
    return queue_kit_run(k, &w, 0);
}
static uint64_t put(struct queue_kit *k, const char *key, const char *body) {
    assert_int_equal(push(k, key, body, (struct queue_push){0}), 0);
    return k->out.id;
}
static int claim(struct queue_kit *k, uint64_t session, uint32_t max, uint64_t visibility_ms, uint64_t wait_ms) {
    struct writer w = {0};
    queue_write_claim(&w, session, 1, bytes_of_text("q"), max, visibility_ms, wait_ms);
    return queue_kit_run(k, &w, session);
}
// The bodies of what one claim gives, with blanks between.
static const char *bodies(struct queue_kit *k, uint64_t session, uint32_t max) {
    static char text[1000];
    text[0] = '\0';
    assert_int_equal(claim(k, session, max, 1000, 0), 0);
    for (size_t i = 0; i < k->out.delivery_count; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%.*s", i > 0 ? " " : "", (int)k->out.deliveries[i].body.len,
                 (const char *)k->out.deliveries[i].body.data);
    }
    return text;
}
static uint64_t claim_one(struct queue_kit *k, const char *body) { // gives its token
    assert_string_equal(bodies(k, 0, 1), body);
    return k->first.token;
}
static int ack(struct queue_kit *k, uint64_t session, uint64_t token) {
    struct writer w = {0};
    queue_write_ack(&w, session, 1, bytes_of_text("q"), &token, 1);
    return queue_kit_run(k, &w, session);
}
static int nack(struct queue_kit *k, uint64_t session, uint64_t token, uint64_t delay_ms, bool unread) {
    struct writer w = {0};
    queue_write_nack(&w, session, 1, bytes_of_text("q"), token, delay_ms, unread);
    return queue_kit_run(k, &w, session);
}
static int extend(struct queue_kit *k, uint64_t token, uint64_t ms) {
    struct writer w = {0};
    queue_write_extend(&w, 0, 1, bytes_of_text("q"), token, ms);
    return queue_kit_run(k, &w, 0);
}
static int configure(struct queue_kit *k, struct queue_options options) {
    struct writer w = {0};
    queue_write_configure(&w, bytes_of_text("q"), &options);
    return queue_kit_run(k, &w, 0);
}
static struct queue_info info;
static void keep_info(void *context, const struct queue_info *queue) {
    info = *queue;
}
static void look(struct queue_kit *k) {
    struct queue_query query = {.name = bytes_of_text("q"), .max = 1, .queue = keep_info};
    struct result result;
    memset(&info, 0, sizeof info);
    queue_model.query(k->state, &query, &result);
}

static void keys_in_order_and_one_at_a_time(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    put(k, "a", "a1");
    put(k, "a", "a2");
    put(k, "b", "b1");
    put(k, "a", "a3");
    put(k, "", "free1");
    put(k, "", "free2");
    assert_string_equal(bodies(k, 0, 10), "a1 b1 free1 free2");
    uint64_t a1 = k->first.token;
    assert_string_equal(bodies(k, 0, 10), "");
    assert_int_equal(ack(k, 0, a1), 0);
    assert_int_equal(ack(k, 0, a1), QUEUE_NOT_CLAIMED);
    assert_string_equal(bodies(k, 0, 10), "a2");
    assert_true(k->first.token > a1);
    assert_int_equal(ack(k, 7, k->first.token), QUEUE_NOT_CLAIMED); // another's
    assert_int_equal(ack(k, 0, k->first.token), 0);
    assert_string_equal(bodies(k, 0, 10), "a3");
    kit_close(k);
    test_free(k);
}

static void visibility_ends_and_the_same_message_comes_first(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    put(k, "a", "a1");
    put(k, "a", "a2");
    uint64_t first = claim_one(k, "a1");
    pass(k, 900);
    assert_int_equal(extend(k, first, 500), 0);
    assert_int_equal(pass(k, 499), 0);
    assert_int_equal(pass(k, 1), 1);
    assert_int_equal(ack(k, 0, first), QUEUE_NOT_CLAIMED);
    uint64_t second = claim_one(k, "a1");
    assert_true(second > first);
    assert_int_equal(k->first.tries, 2);
    assert_int_equal(ack(k, 0, first), QUEUE_NOT_CLAIMED);
    assert_int_equal(nack(k, 0, second, 300, false), 0);
    assert_string_equal(bodies(k, 0, 10), ""); // a2 waits behind it
    pass(k, 300);
    claim_one(k, "a1");
    assert_int_equal(k->first.tries, 3);
    assert_int_equal(nack(k, 0, k->first.token, 0, true), 0);
    claim_one(k, "a1");
    assert_int_equal(k->first.tries, 3); // it had not been read
    kit_close(k);
    test_free(k);
}

static void session_ends_with_its_claims_and_waits(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    put(k, "a", "a1");
    assert_int_equal(claim(k, 7, 1, 0, 0), 0);
    assert_int_equal(k->out.delivery_count, 1);
    assert_int_equal(claim(k, 7, 1, 0, 5000), 0);
    assert_int_equal(claim(k, 8, 1, 0, 5000), 0);
    uint64_t ticket = k->out.ticket;
    queue_kit_session_end(k, 7);
    char expected[100];
    snprintf(expected, sizeof expected, "delivered %llu to 8: [3 105 a a1 2 0]\n", (unsigned long long)ticket);
    assert_string_equal(k->log, expected);
    assert_int_equal(ack(k, 8, 105), 0);
    look(k);
    assert_int_equal(info.messages + info.waiters + info.keys, 0);
    assert_int_equal(queue_model.memory(k->state), 0);
    kit_close(k);
    test_free(k);
}

static void waits_are_served_in_their_order(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    claim(k, 0, 2, 1000, 300);
    uint64_t first = k->out.ticket;
    claim(k, 0, 2, 1000, 200);
    uint64_t second = k->out.ticket;
    claim(k, 0, 2, 1000, 300);
    uint64_t third = k->out.ticket;
    pass(k, 200);
    char expected[200];
    snprintf(expected, sizeof expected, "timed out %llu\n", (unsigned long long)second);
    assert_string_equal(k->log, expected);
    put(k, "a", "a1");
    snprintf(expected, sizeof expected, "delivered %llu to 0: [6 105 a a1 1 0]\npush 6\n", (unsigned long long)first);
    assert_string_equal(k->log, expected);
    struct writer w = {0};
    queue_write_cancel(&w, 0, 1, bytes_of_text("q"), first);
    assert_int_equal(queue_kit_run(k, &w, 0), QUEUE_NOT_FOUND);
    queue_write_cancel(&w, 0, 1, bytes_of_text("q"), third);
    assert_int_equal(queue_kit_run(k, &w, 0), 0);
    put(k, "b", "b1");
    assert_string_equal(bodies(k, 0, 1), "b1");
    kit_close(k);
    test_free(k);
}

static void dead_letters_after_so_many_tries(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    configure(k, (struct queue_options){.tries_max = 2});
    uint64_t id = put(k, "a", "poison");
    put(k, "a", "a2");
    nack(k, 0, claim_one(k, "poison"), 0, false);
    nack(k, 0, claim_one(k, "poison"), 0, false);
    char expected[100];
    snprintf(expected, sizeof expected, "dead %llu\nok\n", (unsigned long long)id);
    assert_string_equal(k->log, expected);
    look(k);
    assert_int_equal(info.dead, 1);
    assert_int_equal(info.messages, 2);
    struct writer w = {0};
    queue_write_requeue(&w, bytes_of_text("q"), id);
    assert_int_equal(queue_kit_run(k, &w, 0), 0);
    ack(k, 0, claim_one(k, "a2"));
    nack(k, 0, claim_one(k, "poison"), 0, false);
    assert_int_equal(k->first.tries, 1);
    nack(k, 0, claim_one(k, "poison"), 0, false);
    queue_write_drop(&w, bytes_of_text("q"), id);
    assert_int_equal(queue_kit_run(k, &w, 0), 0);
    queue_write_drop(&w, bytes_of_text("q"), id);
    assert_int_equal(queue_kit_run(k, &w, 0), QUEUE_NOT_FOUND);
    look(k);
    assert_int_equal(info.messages, 0);
    kit_close(k);
    test_free(k);
}

static void enqueued_once_by_its_deduplication_id(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    struct queue_push once = {.dedup = bytes_of_text("order-17"), .dedup_ms = 5000};
    assert_int_equal(push(k, "a", "pay", once), 0);
    uint64_t id = k->out.id;
    assert_int_equal(push(k, "a", "pay", once), 0);
    assert_true(k->out.duplicate && k->out.id == id);
    ack(k, 0, claim_one(k, "pay"));
    pass(k, 4999);
    assert_int_equal(push(k, "a", "pay", once), 0); // also after it was read
    assert_true(k->out.duplicate && k->out.id == id);
    pass(k, 1001);
    assert_int_equal(push(k, "a", "pay", once), 0);
    assert_false(k->out.duplicate);
    kit_close(k);
    test_free(k);
}

static int number(struct queue_kit *k, uint64_t n) {
    char body[20];
    snprintf(body, sizeof body, "%llu", (unsigned long long)n);
    return push(k, "a", body, (struct queue_push){.number = n});
}

static void numbers_that_come_as_2_3_1_are_read_as_1_2_3(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    assert_int_equal(number(k, 2), 0);
    uint64_t two = k->out.ticket;
    assert_true(k->out.waits);
    assert_int_equal(number(k, 3), 0);
    uint64_t three = k->out.ticket;
    assert_int_equal(number(k, 2), 0); // a retry: the same ticket
    assert_true(k->out.duplicate && k->out.waits && k->out.ticket == two);
    assert_string_equal(bodies(k, 0, 10), "");
    assert_int_equal(number(k, 1), 0);
    char expected[100];
    snprintf(expected, sizeof expected, "pushed %llu\npushed %llu\npush %llu\n", (unsigned long long)two,
             (unsigned long long)three, (unsigned long long)k->out.id);
    assert_string_equal(k->log, expected);
    assert_int_equal(number(k, 2), 0);
    assert_true(k->out.duplicate && !k->out.waits);
    ack(k, 0, claim_one(k, "1"));
    ack(k, 0, claim_one(k, "2"));
    ack(k, 0, claim_one(k, "3"));
    assert_int_equal(number(k, 3), 0); // remembered though the key is empty
    assert_true(k->out.duplicate);
    pass(k, QUEUE_NUMBERING_MS_DEFAULT + QUEUE_GRID_MS);
    assert_int_equal(queue_model.memory(k->state), 0);
    kit_close(k);
    test_free(k);
}

static void missing_number_is_a_gap(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    configure(k, (struct queue_options){.gap_ms = 400});
    number(k, 1);
    number(k, 3);
    uint64_t three = k->out.ticket;
    pass(k, 400);
    char expected[100];
    snprintf(expected, sizeof expected, "gap %llu\n", (unsigned long long)three);
    assert_string_equal(k->log, expected);
    number(k, 2);
    ack(k, 0, claim_one(k, "1"));
    ack(k, 0, claim_one(k, "2"));
    assert_string_equal(bodies(k, 0, 1), "");
    for (uint64_t i = 0; i < QUEUE_HELD_MAX; i++) assert_int_equal(number(k, 10 + i), 0);
    assert_int_equal(number(k, 9), QUEUE_GAP);
    assert_int_equal(number(k, 3), 0);
    kit_close(k);
    test_free(k);
}

static void latest_takes_the_place_of_what_waits(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    configure(k, (struct queue_options){.merge = QUEUE_MERGE_LATEST});
    put(k, "a", "a1");
    put(k, "b", "b1");
    put(k, "a", "a2");
    assert_true(k->out.replaced > 0);
    uint64_t token = claim_one(k, "a2"); // a kept its turn before b
    put(k, "a", "a3");
    assert_int_equal(k->out.replaced, 0); // a2 is at work
    put(k, "a", "a4");
    nack(k, 0, token, 0, false); // a2 is out of date now
    ack(k, 0, claim_one(k, "b1"));
    ack(k, 0, claim_one(k, "a4"));
    look(k);
    assert_int_equal(info.messages, 0);
    kit_close(k);
    test_free(k);
}

static void opposite_pairs_vanish(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    struct queue_push plus = {.sign = QUEUE_SIGN_PLUS}, minus = {.sign = QUEUE_SIGN_MINUS};
    assert_int_equal(push(k, "a", "+", plus), QUEUE_BAD_ARGUMENTS); // not of this queue
    configure(k, (struct queue_options){.merge = QUEUE_MERGE_CANCEL});
    push(k, "a", "+", plus);
    uint64_t first = k->out.id;
    push(k, "a", "+", plus);
    push(k, "a", "-", minus);
    assert_true(k->out.cancelled > first);
    push(k, "a", "-", minus);
    assert_true(k->out.cancelled == first);
    look(k);
    assert_int_equal(info.messages + info.keys, 0);
    push(k, "a", "+", plus);
    nack(k, 0, claim_one(k, "+"), 0, false);
    push(k, "a", "-", minus);
    assert_int_equal(k->out.cancelled, 0); // the + may have had its effect
    ack(k, 0, claim_one(k, "+"));
    ack(k, 0, claim_one(k, "-"));
    kit_close(k);
    test_free(k);
}

static void priority_and_turns(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    put(k, "a", "a1");
    put(k, "a", "a2");
    put(k, "b", "b1");
    push(k, "c", "c1", (struct queue_push){.priority = 9});
    push(k, "a", "a3", (struct queue_push){.priority = 200}); // behind a1 and a2 all the same
    push(k, "d", "d1", (struct queue_push){.priority = 9, .delay_ms = 100});
    ack(k, 0, claim_one(k, "c1"));
    ack(k, 0, claim_one(k, "a1"));
    ack(k, 0, claim_one(k, "b1")); // a's turn came after b's
    pass(k, 100);
    ack(k, 0, claim_one(k, "d1"));
    ack(k, 0, claim_one(k, "a2"));
    ack(k, 0, claim_one(k, "a3"));
    kit_close(k);
    test_free(k);
}

static void rate_and_concurrency_shield_the_consumer(void **state) { // 20,000/s come in, 2,000/s go out
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    configure(k, (struct queue_options){.rate = 2000, .burst = 10, .window_ms = 1000, .concurrency_max = 3});
    uint64_t delivered = 0, start = k->apply.log_time_ms;
    for (int ms = 0; ms < 3000; ms++) {
        for (int i = 0; i < 20; i++) put(k, "", "x");
        for (int i = 0; i < 2; i++) {
            assert_int_equal(claim(k, 0, 10, 1000, 0), 0);
            assert_true(k->out.delivery_count <= 3);
            delivered += k->out.delivery_count;
            uint64_t tokens[10];
            size_t count = k->out.delivery_count;
            for (size_t t = 0; t < count; t++) tokens[t] = k->out.deliveries[t].token;
            look(k);
            assert_true(info.claimed <= 3);
            assert_true(delivered <= 10 + 2 * (k->apply.log_time_ms - start));
            if (count == 0) continue;
            struct writer w = {0};
            queue_write_ack(&w, 0, 0, bytes_of_text("q"), tokens, count);
            assert_int_equal(queue_kit_run(k, &w, 0), 0);
        }
        pass(k, 1);
    }
    assert_true(delivered >= 2 * 2999); // not less than it may be, either
    assert_int_equal(claim(k, 0, 10, 1000, 0), 0);
    assert_int_equal(claim(k, 0, 10, 1000, 0), 0);
    assert_int_equal(k->out.retry_after_ms, 1);
    assert_int_equal(claim(k, 0, 10, 1000, 50), 0);
    assert_true(k->out.waits);
    pass(k, 1); // nobody pushed: the pace served it
    assert_int_equal(strncmp(k->log, "delivered", 9), 0);
    kit_close(k);
    test_free(k);
}

static void see_key(void *context, const struct queue_key_info *key) {
    char *text = context;
    size_t len = strlen(text);
    snprintf(text + len, 200 - len, "%.*s:%u ", (int)key->key.len, (const char *)key->key.data, key->depth);
}
static void see_message(void *context, const struct queue_message_info *message) {
    char *text = context;
    size_t len = strlen(text);
    snprintf(text + len, 200 - len, "%.*s ", (int)message->body.len, (const char *)message->body.data);
}

static void hot_key_is_seen_and_blocks_nobody(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    char text[200] = "";
    kit_open(k);
    for (int i = 0; i < 500; i++) put(k, "hot", "h");
    for (int i = 0; i < 3; i++) put(k, "warm", i == 0 ? "w0" : "w");
    put(k, "cold", "c");
    struct queue_query query = {
        .name = bytes_of_text("q"), .of_key = bytes_of_text("warm"), .max = 5, .key = see_key, .context = text};
    struct result result;
    queue_model.query(k->state, &query, &result);
    assert_string_equal(text, "hot:500 warm:3 ");
    text[0] = '\0';
    query.key = NULL;
    query.message = see_message;
    queue_model.query(k->state, &query, &result);
    assert_string_equal(text, "w0 w w ");
    assert_string_equal(bodies(k, 0, 10), "h w0 c");
    kit_close(k);
    test_free(k);
}

static void see_backlog(void *context, const struct queue_key_info *key) {
    char *text = context;
    size_t len = strlen(text);
    snprintf(text + len, 200 - len, "%.*s:%u+%u>%u@%u ", (int)key->key.len, (const char *)key->key.data, key->depth,
             key->held, (unsigned)key->next, (unsigned)key->oldest_ms);
}
static const char *backlog(struct queue_kit *k) {
    static char text[200];
    struct queue_query query = {.name = bytes_of_text("q"), .max = 5, .key = see_backlog, .context = text};
    struct result result;
    text[0] = '\0';
    queue_model.query(k->state, &query, &result);
    return text;
}

static void key_whose_messages_all_wait_for_a_number_is_seen(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    unsigned at = (unsigned)k->apply.log_time_ms;
    char expected[200], text[200] = "";
    push(k, "a", "a2", (struct queue_push){.number = 2});
    pass(k, 10);
    push(k, "b", "b3", (struct queue_push){.number = 3});
    push(k, "b", "b2", (struct queue_push){.number = 2});
    put(k, "cold", "c");
    snprintf(expected, sizeof expected, "b:0+2>0@%u a:0+1>0@%u ", at + 10, at);
    assert_string_equal(backlog(k), expected);
    queue_kit_reload(k);
    assert_string_equal(backlog(k), expected);
    struct queue_query query = {
        .name = bytes_of_text("q"), .of_key = bytes_of_text("b"), .max = 5, .message = see_message, .context = text};
    struct result result;
    queue_model.query(k->state, &query, &result);
    assert_string_equal(text, "b2 b3 ");
    push(k, "b", "b1", (struct queue_push){.number = 1});
    push(k, "a", "a1", (struct queue_push){.number = 1});
    snprintf(expected, sizeof expected, "b:3+0>4@%u a:2+0>3@%u ", at + 10, at + 10);
    assert_string_equal(backlog(k), expected);
    push(k, "b", "b6", (struct queue_push){.number = 6});
    for (int i = 0; i < 6; i++) {
        assert_int_equal(claim(k, 0, 1, 1000, 0), 0);
        assert_int_equal(ack(k, 0, k->first.token), 0);
    }
    snprintf(expected, sizeof expected, "b:0+1>4@%u ", at + 10);
    assert_string_equal(backlog(k), expected);
    pass(k, QUEUE_GAP_MS_DEFAULT);
    assert_string_equal(backlog(k), "");
    kit_close(k);
    test_free(k);
}

static void length_deletion_and_the_largest_body(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    configure(k, (struct queue_options){.length_max = 2});
    char *big = test_malloc(QUEUE_BODY_BYTES_MAX + 2);
    memset(big, 'b', QUEUE_BODY_BYTES_MAX + 1);
    big[QUEUE_BODY_BYTES_MAX + 1] = '\0';
    assert_int_equal(push(k, "a", big, (struct queue_push){0}), QUEUE_BAD_ARGUMENTS);
    big[QUEUE_BODY_BYTES_MAX] = '\0';
    put(k, "a", big);
    put(k, "a", big);
    assert_int_equal(push(k, "a", "x", (struct queue_push){0}), QUEUE_LENGTH);
    queue_kit_reload(k);
    struct writer w = {0};
    queue_write_delete(&w, bytes_of_text("q"));
    assert_int_equal(queue_kit_run(k, &w, 0), QUEUE_NOT_EMPTY);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(claim(k, 0, 10, 1000, 0), 0);
        assert_int_equal(k->first.body.len, QUEUE_BODY_BYTES_MAX);
        ack(k, 0, k->first.token);
    }
    queue_write_delete(&w, bytes_of_text("q"));
    assert_int_equal(queue_kit_run(k, &w, 0), 0);
    queue_write_delete(&w, bytes_of_text("q"));
    assert_int_equal(queue_kit_run(k, &w, 0), QUEUE_NOT_FOUND);
    assert_int_equal(queue_model.memory(k->state), 0);
    kit_close(k);
    test_free(big);
    test_free(k);
}

static void acknowledged_together_or_not_at_all(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    put(k, "a", "a1");
    put(k, "b", "b1");
    uint64_t tokens[2] = {claim_one(k, "a1"), claim_one(k, "b1")}, wrong[2] = {tokens[0], tokens[1] + 1};
    struct writer w = {0};
    queue_write_ack(&w, 0, 0, bytes_of_text("q"), wrong, 2);
    assert_int_equal(queue_kit_run(k, &w, 0), QUEUE_NOT_CLAIMED);
    assert_true(k->out.token == wrong[1]);
    wrong[1] = wrong[0];
    queue_write_ack(&w, 0, 0, bytes_of_text("q"), wrong, 2);
    assert_int_equal(queue_kit_run(k, &w, 0), QUEUE_BAD_ARGUMENTS);
    queue_write_ack(&w, 0, 0, bytes_of_text("q"), tokens, 2);
    assert_int_equal(queue_kit_run(k, &w, 0), 0);
    kit_close(k);
    test_free(k);
}

static void session_owns_so_much_at_most(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    for (uint32_t i = 0; i < QUEUE_SESSION_MAX + 5; i++) put(k, "", "x");
    uint32_t had = 0;
    while (had < QUEUE_SESSION_MAX) {
        assert_int_equal(claim(k, 7, QUEUE_CLAIM_MAX, 0, 0), 0);
        had += (uint32_t)k->out.delivery_count;
    }
    assert_int_equal(had, QUEUE_SESSION_MAX);
    assert_int_equal(claim(k, 7, 1, 0, 0), QUEUE_LIMIT);
    assert_int_equal(claim(k, 8, 1, 0, 0), 0);
    queue_kit_session_end(k, 7);
    look(k);
    assert_int_equal(info.ready, QUEUE_SESSION_MAX + 4);
    kit_close(k);
    test_free(k);
}

static void claim_gives_so_many_bytes_at_most(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    char *big = test_malloc(QUEUE_BODY_BYTES_MAX + 1);
    memset(big, 'b', QUEUE_BODY_BYTES_MAX);
    big[QUEUE_BODY_BYTES_MAX] = '\0';
    for (int i = 0; i < 10; i++) put(k, "", big);
    assert_int_equal(claim(k, 0, 20, 1000, 0), 0);
    assert_int_equal(k->out.delivery_count, QUEUE_CLAIM_BYTES_MAX / QUEUE_BODY_BYTES_MAX);
    assert_int_equal(claim(k, 0, 20, 1000, 0), 0);
    assert_int_equal(k->out.delivery_count, 2);
    kit_close(k);
    test_free(big);
    test_free(k);
}

static void many_waits_cost_little(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    for (uint32_t i = 0; i < QUEUE_WAITERS_MAX; i++) assert_int_equal(claim(k, 0, 1, 1000, 60000), 0);
    assert_int_equal(claim(k, 0, 1, 1000, 60000), QUEUE_LIMIT);
    assert_true(queue_model.memory(k->state) < 50u << 20);
    put(k, "a", "a1");
    assert_int_equal(strncmp(k->log, "delivered 2 to 0: [", 19), 0); // the first that came
    assert_int_equal(queue_kit_pass(k, 0), 0);
    look(k);
    assert_int_equal(info.waiters, QUEUE_WAITERS_MAX - 1);
    kit_close(k);
    test_free(k);
}

static void unused_state_is_nothing(void **state) { // so the model can be added to a group that lives
    struct queue_kit *k = test_malloc(sizeof *k);
    struct save_cursor cursor = {0};
    uint8_t chunk[64];
    kit_open(k);
    assert_true(digest_equal(queue_model.digest(k->state), (struct digest){0}));
    assert_int_equal(queue_model.save(k->state, &cursor, chunk, sizeof chunk), 0);
    kit_close(k);
    test_free(k);
}

static void bad_arguments_are_refused(void **state) {
    struct queue_kit *k = test_malloc(sizeof *k);
    kit_open(k);
    struct writer w = {0};
    assert_int_equal(push(k, "", "x", (struct queue_push){.number = 1}), QUEUE_BAD_ARGUMENTS);
    assert_int_equal(push(k, "a", "x", (struct queue_push){.dedup = bytes_of_text("d")}), QUEUE_BAD_ARGUMENTS);
    assert_int_equal(push(k, "a", "x", (struct queue_push){.delay_ms = QUEUE_TIME_MS_MAX + 1}), QUEUE_BAD_ARGUMENTS);
    struct queue_push both = {.dedup = bytes_of_text("d"), .dedup_ms = 5, .number = 1};
    assert_int_equal(push(k, "a", "x", both), QUEUE_BAD_ARGUMENTS);
    assert_int_equal(claim(k, 0, 1, 0, 0), QUEUE_BAD_ARGUMENTS);
    assert_int_equal(claim(k, 0, 0, 10, 0), QUEUE_BAD_ARGUMENTS);
    assert_int_equal(claim(k, 0, QUEUE_CLAIM_MAX + 1, 10, 0), QUEUE_BAD_ARGUMENTS);
    assert_int_equal(configure(k, (struct queue_options){.rate = 5}), QUEUE_BAD_ARGUMENTS);
    command_write_head(&w, MODEL_QUEUE, QUEUE_PUSH, 0, 0);
    write_u8(&w, 200);
    assert_int_equal(queue_kit_run(k, &w, 0), COMMAND_BAD_COMMAND);
    command_write_head(&w, MODEL_QUEUE, 99, 0, 0);
    assert_int_equal(queue_kit_run(k, &w, 0), COMMAND_BAD_COMMAND);
    assert_int_equal(queue_model.memory(k->state), 0); // errors leave nothing behind
    kit_close(k);
    test_free(k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_in_order_and_one_at_a_time),
        cmocka_unit_test(visibility_ends_and_the_same_message_comes_first),
        cmocka_unit_test(session_ends_with_its_claims_and_waits),
        cmocka_unit_test(waits_are_served_in_their_order),
        cmocka_unit_test(dead_letters_after_so_many_tries),
        cmocka_unit_test(enqueued_once_by_its_deduplication_id),
        cmocka_unit_test(numbers_that_come_as_2_3_1_are_read_as_1_2_3),
        cmocka_unit_test(missing_number_is_a_gap),
        cmocka_unit_test(latest_takes_the_place_of_what_waits),
        cmocka_unit_test(opposite_pairs_vanish),
        cmocka_unit_test(priority_and_turns),
        cmocka_unit_test(rate_and_concurrency_shield_the_consumer),
        cmocka_unit_test(hot_key_is_seen_and_blocks_nobody),
        cmocka_unit_test(key_whose_messages_all_wait_for_a_number_is_seen),
        cmocka_unit_test(length_deletion_and_the_largest_body),
        cmocka_unit_test(acknowledged_together_or_not_at_all),
        cmocka_unit_test(session_owns_so_much_at_most),
        cmocka_unit_test(claim_gives_so_many_bytes_at_most),
        cmocka_unit_test(many_waits_cost_little),
        cmocka_unit_test(unused_state_is_nothing),
        cmocka_unit_test(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
