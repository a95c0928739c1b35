// Limiters and queues over HTTP, against a node that is made up (fake_service): JSON in and out, problem documents,
// what waits for events, and what a client that has gone gives back.
#include "base/base64.h"
#include "model/queue/queue.h"
#include "test/unit/http_native_kit.h"

#define BUCKET "\"algorithm\": \"token-bucket\", \"rate\": 10, \"window_ms\": 1000"
#define PERMITS "\"algorithm\": \"concurrency\", \"rate\": 2"
#define CLAIM_WAITS "{\"name\": \"q\", \"wait_ms\": 60000}"

static bool truth(struct room *room, const char *key) {
    assert_true(json_is_boolean(json_object_get(room->seen, key)));
    return json_is_true(json_object_get(room->seen, key));
}

// ---- limiters
static void a_bucket_allows_and_refuses(void **state) {
    struct room *room = *state;
    ask(room, room->one, "limiter/take", "{\"name\": \"l\", " BUCKET ", \"burst\": 3, \"cost\": 3}");
    expect(room, room->one, 200, NULL);
    assert_true(truth(room, "allowed"));
    assert_int_equal(number(room, "limit"), 3);
    assert_int_equal(number(room, "remaining"), 0);
    assert_int_equal(number(room, "retry_after_ms"), 0);
    assert_null(json_object_get(room->seen, "token"));
    ask(room, room->two, "limiter/take", "{\"name\": \"l\", " BUCKET ", \"burst\": 3}");
    fake_step(room->fake);
    assert_non_null(memmem(room->two->output.data, room->two->output.len, "\r\nRetry-After: 1\r\n", 18));
    expect(room, room->two, 200, NULL);
    assert_false(truth(room, "allowed"));
    assert_int_equal(number(room, "retry_after_ms"), 100);
    ask(room, room->two, "limiter/show", "{\"name\": \"l\"}");
    fake_step(room->fake);
    assert_null(memmem(room->two->output.data, room->two->output.len, "Retry-After", 11));
    expect(room, room->two, 200, NULL);
    fake_pass_time(room->fake, 99);
    ask(room, room->two, "limiter/take", "{\"name\": \"l\", " BUCKET ", \"burst\": 3}");
    expect(room, room->two, 200, NULL);
    assert_int_equal(number(room, "retry_after_ms"), 1);
    fake_pass_time(room->fake, 1);
    ask(room, room->two, "limiter/take", "{\"name\": \"l\", " BUCKET ", \"burst\": 3}");
    expect(room, room->two, 200, NULL);
    assert_true(truth(room, "allowed"));
}

static void what_is_shown_is_as_of_log_time(void **state) {
    struct room *room = *state;
    ask(room, room->one, "limiter/take", "{\"name\": \"l\", " BUCKET ", \"cost\": 10}");
    expect(room, room->one, 200, NULL);
    fake_pass_time(room->fake, 300);
    ask(room, room->one, "limiter/show", "{\"name\": \"l\"}");
    expect(room, room->one, 200, NULL);
    assert_int_equal(number(room, "remaining"), 3);
    assert_int_equal(number(room, "used"), 7);
    assert_int_equal(number(room, "rate"), 10);
    assert_string_equal(json_string_value(json_object_get(room->seen, "algorithm")), "token-bucket");
    ask(room, room->one, "limiter/show", "{\"name\": \"other\"}");
    expect(room, room->one, 404, "not-found");
    ask(room, room->one, "limiter/take", "{\"name\": \"m\", " BUCKET "}");
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "limiter/list", "{\"limit\": 1}");
    expect(room, room->one, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "limits")), 1);
    assert_true(truth(room, "more"));
    ask(room, room->one, "limiter/list", "{\"after\": \"l\"}");
    expect(room, room->one, 200, NULL);
    const json_t *first = json_array_get(json_object_get(room->seen, "limits"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "m");
    assert_false(truth(room, "more"));
}

static void permits_end_with_their_session_or_time(void **state) {
    struct room *room = *state;
    make_session(room);
    ask(room, room->one, "limiter/take", "{\"name\": \"c\", " PERMITS ", \"session\": \"%s\"}", room->session);
    expect(room, room->one, 200, NULL);
    json_int_t token = number(room, "token");
    ask(room, room->one, "limiter/take", "{\"name\": \"c\", " PERMITS ", \"ttl_ms\": 500}");
    expect(room, room->one, 200, NULL);
    assert_true(number(room, "token") > token);
    ask(room, room->two, "limiter/take", "{\"name\": \"c\", " PERMITS ", \"ttl_ms\": 500}");
    expect(room, room->two, 200, NULL);
    assert_false(truth(room, "allowed"));
    assert_int_equal(number(room, "retry_after_ms"), 500);
    ask(room, room->two, "limiter/take", "{\"name\": \"c\", " BUCKET "}");
    expect(room, room->two, 409, "kind");
    ask(room, room->two, "limiter/release", "{\"name\": \"c\", \"token\": %lld}", token);
    expect(room, room->two, 409, "not-held"); // it is the session's
    ask(room, room->two, "limiter/show", "{\"name\": \"c\"}");
    expect(room, room->two, 200, NULL);
    assert_int_equal(number(room, "held"), 2);
    const json_t *out = json_array_get(json_object_get(room->seen, "out"), 1); // the one without an end is last
    assert_int_equal(json_integer_value(json_object_get(out, "token")), token);
    assert_int_equal(json_integer_value(json_object_get(out, "due_in_ms")), 0);
    fake_pass_time(room->fake, 500);
    fake_expire(room->fake, session_number(room));
    ask(room, room->two, "limiter/take", "{\"name\": \"c\", " PERMITS ", \"cost\": 2, \"ttl_ms\": 500}");
    expect(room, room->two, 200, NULL);
    assert_true(truth(room, "allowed"));
    token = number(room, "token");
    ask(room, room->two, "limiter/renew", "{\"name\": \"c\", \"token\": %lld, \"ttl_ms\": 5000}", token);
    expect(room, room->two, 200, NULL);
    assert_int_equal(number(room, "units"), 2);
    ask(room, room->two, "limiter/release", "{\"name\": \"c\", \"token\": %lld}", token);
    expect(room, room->two, 200, NULL);
    assert_int_equal(number(room, "remaining"), 2);
}

static void leases_count_what_was_used(void **state) {
    struct room *room = *state;
    ask(room, room->one, "limiter/lease", "{\"name\": \"l\", " BUCKET ", \"units\": 50, \"ttl_ms\": 1000}");
    expect(room, room->one, 200, NULL);
    assert_true(truth(room, "allowed"));
    assert_int_equal(number(room, "units"), 10);
    ask(room, room->one, "limiter/release", "{\"name\": \"l\", \"token\": %lld, \"used\": 4}", number(room, "token"));
    expect(room, room->one, 200, NULL);
    assert_int_equal(number(room, "remaining"), 6);
    ask(room, room->one, "limiter/lease",
        "{\"name\": \"l\", " BUCKET ", \"units\": 9, \"least\": 7, \"ttl_ms\": 1000}");
    expect(room, room->one, 200, NULL);
    assert_false(truth(room, "allowed"));
}

static void who_closed_keeps_no_permit(void **state) {
    struct room *room = *state;
    ask(room, room->one, "limiter/take", "{\"name\": \"c\", " PERMITS ", \"ttl_ms\": 500}");
    ask(room, room->two, "limiter/lease", "{\"name\": \"l\", " BUCKET ", \"units\": 5, \"ttl_ms\": 1000}");
    fake_disconnect(room->one);
    fake_disconnect(room->two);
    fake_step(room->fake);
    struct client *third = fake_connect(room->fake, "127.0.0.1:3");
    ask(room, third, "limiter/show", "{\"name\": \"c\"}");
    expect(room, third, 200, NULL);
    assert_int_equal(number(room, "held"), 0);
    ask(room, third, "limiter/show", "{\"name\": \"l\"}");
    expect(room, third, 200, NULL);
    assert_int_equal(number(room, "remaining"), 10);
}

static void wrong_definitions_are_refused(void **state) {
    struct room *room = *state;
    static const char *const cases[] = {
        "{\"name\": \"l\", \"algorithm\": \"token-bucket\", \"rate\": 1}",
        "{\"name\": \"l\", \"algorithm\": \"fixed-window\", \"rate\": 1, \"window_ms\": 9, \"burst\": 2}",
        "{\"name\": \"l\", \"algorithm\": \"concurrency\", \"rate\": 1}",
        "{\"name\": \"l\", \"algorithm\": \"concurrency\", \"rate\": 1, \"ttl_ms\": 9, \"window_ms\": 1}",
        "{\"name\": \"l\", \"algorithm\": \"token-bucket\", \"rate\": 1, \"window_ms\": 9, \"ttl_ms\": 5}",
        "{\"name\": \"l\", \"algorithm\": \"token-bucket\", \"rate\": 1, \"window_ms\": 9, \"cost\": 2}",
        "{\"name\": \"l\", \"rate\": 1, \"window_ms\": 9}",
        "{\"name\": \"l\", \"algorithm\": \"token-bucket\", \"rate\": 0, \"window_ms\": 9}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask(room, room->one, "limiter/take", "%s", cases[i]);
        expect(room, room->one, 400, "bad-request");
    }
    ask(room, room->one, "limiter/lease", "{\"name\": \"l\", " BUCKET ", \"units\": 1, \"least\": 2, \"ttl_ms\": 9}");
    expect(room, room->one, 400, "bad-request");
    ask(room, room->one, "limiter/lease", "{\"name\": \"l\", " PERMITS ", \"units\": 1, \"ttl_ms\": 9}");
    expect(room, room->one, 400, "bad-request");
}

// ---- queues
static json_int_t put(struct room *room, const char *more) {
    ask(room, room->one, "queue/push", "{\"name\": \"q\"%s}", more);
    expect(room, room->one, 200, NULL);
    return number(room, "id");
}

static const json_t *message(struct room *room, size_t i) {
    return json_array_get(json_object_get(room->seen, "messages"), i);
}
static size_t messages(struct room *room) {
    assert_true(json_is_array(json_object_get(room->seen, "messages")));
    return json_array_size(json_object_get(room->seen, "messages"));
}
static json_int_t token_of(struct room *room, size_t i) {
    return json_integer_value(json_object_get(message(room, i), "token"));
}
static const char *body_of(struct room *room, size_t i) {
    const char *body = json_string_value(json_object_get(message(room, i), "body"));
    return body != NULL ? body : "(none)";
}

static void claim(struct room *room, struct client *client, const char *more) {
    ask(room, client, "queue/claim", "{\"name\": \"q\"%s}", more);
    expect(room, client, 200, NULL);
}
static void ack(struct room *room, json_int_t token, int status, const char *error) {
    ask(room, room->one, "queue/ack", "{\"name\": \"q\", \"tokens\": [%lld]}", token);
    expect(room, room->one, status, error);
}

static uint64_t waiters, claimed;
static void look_at(void *context, const struct queue_info *info) {
    waiters = info->waiters;
    claimed = info->claimed;
}
static void look(struct room *room) {
    struct queue_query query = {.name = bytes_of_text("q"), .max = 1, .queue = look_at};
    struct result result;
    waiters = claimed = 0;
    queue_model.query(room->fake->models[MODEL_QUEUE], &query, &result);
}

static void a_key_is_read_in_order_one_at_a_time(void **state) {
    struct room *room = *state;
    json_int_t id = put(room, ", \"key\": \"a\", \"body\": \"one\"");
    assert_true(put(room, ", \"key\": \"a\", \"body\": \"two\"") > id);
    put(room, ", \"key\": \"b\", \"body\": \"three\", \"priority\": 9");
    fake_pass_time(room->fake, 20);
    claim(room, room->one, ", \"max\": 9");
    assert_int_equal(messages(room), 2);
    assert_string_equal(body_of(room, 0), "three");
    assert_string_equal(body_of(room, 1), "one");
    const json_t *one = message(room, 1);
    assert_int_equal(json_integer_value(json_object_get(one, "id")), id);
    assert_int_equal(json_integer_value(json_object_get(one, "tries")), 1);
    assert_int_equal(json_integer_value(json_object_get(one, "age_ms")), 20);
    assert_string_equal(json_string_value(json_object_get(one, "key")), "a");
    json_int_t tokens[] = {token_of(room, 0), token_of(room, 1)};
    claim(room, room->two, ", \"max\": 9");
    assert_int_equal(messages(room), 0);
    ask(room, room->one, "queue/ack", "{\"name\": \"q\", \"tokens\": [%lld, %lld]}", tokens[1], tokens[0]); // any order
    expect(room, room->one, 200, NULL);
    claim(room, room->two, "");
    assert_string_equal(body_of(room, 0), "two");
}

static void a_late_acknowledgement_is_refused(void **state) {
    struct room *room = *state;
    put(room, ", \"key\": \"a\", \"body\": \"x\"");
    claim(room, room->one, ", \"visibility_ms\": 1000");
    json_int_t first = token_of(room, 0);
    ask(room, room->one, "queue/extend", "{\"name\": \"q\", \"token\": %lld, \"visibility_ms\": 2000}", first);
    expect(room, room->one, 200, NULL);
    fake_pass_time(room->fake, 1999);
    claim(room, room->two, "");
    assert_int_equal(messages(room), 0);
    fake_pass_time(room->fake, 1);
    claim(room, room->two, "");
    json_int_t second = token_of(room, 0);
    assert_true(second > first);
    assert_int_equal(json_integer_value(json_object_get(message(room, 0), "tries")), 2);
    ack(room, first, 409, "not-claimed");
    assert_int_equal(number(room, "token"), first);
    ask(room, room->one, "queue/extend", "{\"name\": \"q\", \"token\": %lld, \"visibility_ms\": 2000}", first);
    expect(room, room->one, 409, "not-claimed");
    ack(room, second, 200, NULL);
    ack(room, second, 409, "not-claimed");
}

static void tries_end_as_a_dead_letter(void **state) {
    struct room *room = *state;
    ask(room, room->one, "queue/configure", "{\"name\": \"q\", \"tries_max\": 2}");
    expect(room, room->one, 200, NULL);
    json_int_t id = put(room, ", \"key\": \"a\", \"body\": \"bad\"");
    for (int i = 0; i < 3; i++) { // the first one is never read, so it is no try
        claim(room, room->one, "");
        json_int_t token = token_of(room, 0);
        ask(room, room->one, "queue/nack", "{\"name\": \"q\", \"token\": %lld, \"delay_ms\": 5, \"unread\": %s}", token,
            i == 0 ? "true" : "false");
        expect(room, room->one, 200, NULL);
        claim(room, room->one, "");
        assert_int_equal(messages(room), 0);
        fake_pass_time(room->fake, 5);
    }
    ask(room, room->one, "queue/dead", "{\"name\": \"q\"}");
    expect(room, room->one, 200, NULL);
    const json_t *dead = json_array_get(json_object_get(room->seen, "dead"), 0);
    assert_int_equal(json_integer_value(json_object_get(dead, "id")), id);
    assert_int_equal(json_integer_value(json_object_get(dead, "tries")), 2);
    assert_string_equal(json_string_value(json_object_get(dead, "body")), "bad");
    ask(room, room->one, "queue/delete", "{\"name\": \"q\"}");
    expect(room, room->one, 409, "not-empty");
    ask(room, room->one, "queue/requeue", "{\"name\": \"q\", \"id\": %lld}", id);
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "queue/drop", "{\"name\": \"q\", \"id\": %lld}", id);
    expect(room, room->one, 404, "not-found");
    claim(room, room->one, "");
    assert_int_equal(json_integer_value(json_object_get(message(room, 0), "tries")), 1);
    ack(room, token_of(room, 0), 200, NULL);
    ask(room, room->one, "queue/delete", "{\"name\": \"q\"}");
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "queue/delete", "{\"name\": \"q\"}");
    expect(room, room->one, 404, "not-found");
}

static void claims_wait_for_the_event(void **state) {
    struct room *room = *state;
    ask(room, room->two, "queue/claim", CLAIM_WAITS);
    fake_step(room->fake);
    assert_false(take(room, room->two));
    put(room, ", \"body\": \"x\"");
    assert_true(take(room, room->two));
    assert_int_equal(room->status, 200);
    assert_string_equal(body_of(room, 0), "x");
    ack(room, token_of(room, 0), 200, NULL);
    ask(room, room->two, "queue/claim", "{\"name\": \"q\", \"wait_ms\": 100}");
    fake_step(room->fake);
    fake_pass_time(room->fake, 99);
    assert_false(take(room, room->two));
    fake_pass_time(room->fake, 1);
    assert_true(take(room, room->two));
    assert_int_equal(messages(room), 0);
}

static void a_claimer_that_has_gone_keeps_nothing(void **state) {
    struct room *room = *state;
    ask(room, room->two, "queue/claim", CLAIM_WAITS); // in line
    fake_step(room->fake);
    fake_disconnect(room->two);
    fake_step(room->fake);
    look(room);
    assert_int_equal(waiters, 0);
    put(room, ", \"key\": \"a\"");
    struct client *third = fake_connect(room->fake, "127.0.0.1:3");
    ask(room, third, "queue/claim", CLAIM_WAITS); // gets it, and nobody is told
    fake_disconnect(third);
    fake_step(room->fake);
    look(room);
    assert_int_equal(claimed, 0);
    claim(room, room->one, "");
    assert_int_equal(json_integer_value(json_object_get(message(room, 0), "tries")), 1); // that was no try
}

// The message came while the cancellation was on its way: nobody would know of it until its time-out.
static void delivered_while_the_cancellation_is_on_its_way(void **state) {
    struct room *room = *state;
    ask(room, room->two, "queue/claim", CLAIM_WAITS);
    fake_step(room->fake);
    ask(room, room->one, "queue/push", "{\"name\": \"q\", \"key\": \"a\", \"body\": \"x\"}"); // stands before it
    fake_disconnect(room->two);
    expect(room, room->one, 200, NULL);
    look(room);
    assert_int_equal(waiters, 0);
    assert_int_equal(claimed, 0);
    claim(room, room->one, "");
    assert_string_equal(body_of(room, 0), "x");
    assert_int_equal(json_integer_value(json_object_get(message(room, 0), "tries")), 1);
}

static void who_waits_behind_one_that_has_gone_gets_it(void **state) {
    struct room *room = *state;
    struct client *third = fake_connect(room->fake, "127.0.0.1:3");
    ask(room, room->two, "queue/claim", CLAIM_WAITS);
    fake_step(room->fake);
    ask(room, third, "queue/claim", CLAIM_WAITS);
    fake_step(room->fake);
    ask(room, room->one, "queue/push", "{\"name\": \"q\", \"key\": \"a\", \"body\": \"x\"}");
    fake_disconnect(room->two);
    expect(room, room->one, 200, NULL);
    assert_true(take(room, third));
    assert_string_equal(body_of(room, 0), "x");
}

static void deliveries_are_the_sessions(void **state) {
    struct room *room = *state;
    make_session(room);
    put(room, ", \"key\": \"a\"");
    ask(room, room->one, "queue/claim", "{\"name\": \"q\", \"visibility_ms\": 0, \"session\": \"%s\"}", room->session);
    expect(room, room->one, 200, NULL);
    json_int_t token = token_of(room, 0);
    ack(room, token, 409, "not-claimed"); // without the session
    ask(room, room->two, "queue/claim", CLAIM_WAITS);
    fake_step(room->fake);
    assert_false(take(room, room->two));
    fake_expire(room->fake, session_number(room));
    assert_true(take(room, room->two));
    assert_true(token_of(room, 0) > token);
    ask(room, room->one, "queue/ack", "{\"name\": \"q\", \"tokens\": [%lld], \"session\": \"%s\"}", token,
        room->session);
    expect(room, room->one, 410, "session-expired");
}

static void repeats_are_dropped(void **state) {
    struct room *room = *state;
    json_int_t id = put(room, ", \"dedup_id\": \"once\"");
    assert_false(truth(room, "duplicate"));
    assert_int_equal(put(room, ", \"dedup_id\": \"once\""), id);
    assert_true(truth(room, "duplicate"));
    claim(room, room->one, ", \"max\": 5");
    assert_int_equal(messages(room), 1);
}

static void numbers_wait_for_those_before_them(void **state) {
    struct room *room = *state;
    ask(room, room->two, "queue/push", "{\"name\": \"q\", \"key\": \"a\", \"body\": \"2\", \"number\": 2}");
    fake_step(room->fake);
    assert_false(take(room, room->two));
    struct client *third = fake_connect(room->fake, "127.0.0.1:3");
    ask(room, third, "queue/push", "{\"name\": \"q\", \"key\": \"a\", \"body\": \"2\", \"number\": 2}"); // sent again
    fake_step(room->fake);
    assert_false(take(room, third));
    put(room, ", \"key\": \"a\", \"body\": \"1\", \"number\": 1");
    assert_true(take(room, room->two));
    assert_int_equal(room->status, 200);
    json_int_t id = number(room, "id");
    assert_true(take(room, third));
    assert_int_equal(number(room, "id"), id);
    claim(room, room->one, "");
    assert_string_equal(body_of(room, 0), "1");
    ask(room, room->two, "queue/push", "{\"name\": \"q\", \"key\": \"a\", \"number\": 5}");
    fake_step(room->fake);
    fake_pass_time(room->fake, QUEUE_GAP_MS_DEFAULT);
    expect(room, room->two, 409, "gap");
}

static void bodies_may_be_any_bytes(void **state) {
    struct room *room = *state;
    put(room, ", \"key\": \"a\", \"body\": \"\\u00e4\\n\\\"\"");
    put(room, ", \"key\": \"b\", \"body_base64\": \"AP8=\"");
    put(room, ", \"key\": \"c\", \"body_base64\": \"YWJj\"");
    put(room, ", \"key\": \"d\"");
    claim(room, room->one, ", \"max\": 9");
    assert_string_equal(body_of(room, 0), "\xc3\xa4\n\"");
    assert_string_equal(json_string_value(json_object_get(message(room, 1), "body_base64")), "AP8=");
    assert_null(json_object_get(message(room, 1), "body"));
    assert_string_equal(body_of(room, 2), "abc"); // text, however it came
    assert_string_equal(body_of(room, 3), "");
    static const char *const bad[] = {"\"body_base64\": \"AP8\"", "\"body_base64\": \"A-8=\"",
                                      "\"body_base64\": \"AP8=\", \"body\": \"x\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ask(room, room->one, "queue/push", "{\"name\": \"q\", %s}", bad[i]);
        expect(room, room->one, 400, "bad-request");
    }
}

static void large(struct room *room, size_t bytes, int status, const char *error) {
    struct writer w = {0}, text = {0};
    uint8_t *body = mem_zalloc(bytes);
    base64_write(&text, bytes_of(body, bytes));
    static const char head[] = "{\"name\": \"q\", \"body_base64\": \"";
    char request[256];
    snprintf(request, sizeof request,
             "POST /v1/queue/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(head) + text.len + 2, head);
    write_span(&w, bytes_of_text(request));
    write_span(&w, bytes_of(text.data, text.len));
    write_span(&w, bytes_of_text("\"}"));
    fake_send(room->one, w.data, w.len);
    expect(room, room->one, status, error);
    mem_free(body);
    writer_free(&w);
    writer_free(&text);
}

static void the_largest_body_passes(void **state) {
    struct room *room = *state;
    large(room, QUEUE_BODY_BYTES_MAX, 200, NULL);
    claim(room, room->one, "");
    const json_t *body = json_object_get(message(room, 0), "body_base64"); // NULs are no text
    assert_int_equal(json_string_length(body), BASE64_LENGTH(QUEUE_BODY_BYTES_MAX));
    large(room, QUEUE_BODY_BYTES_MAX + 1, 400, "bad-request");
}

static void bounds_have_their_errors(void **state) {
    struct room *room = *state;
    ask(room, room->one, "queue/configure", "{\"name\": \"q\", \"length_max\": 1}");
    expect(room, room->one, 200, NULL);
    put(room, "");
    ask(room, room->one, "queue/push", "{\"name\": \"q\"}");
    expect(room, room->one, 409, "full");
    static const struct {
        const char *operation, *body;
    } bad[] = {{"queue/configure", "{\"name\": \"q\", \"rate\": 5}"},
               {"queue/configure", "{\"name\": \"q\", \"burst\": 5}"},
               {"queue/push", "{\"name\": \"q\", \"number\": 1}"},
               {"queue/push", "{\"name\": \"q\", \"key\": \"a\", \"number\": 1, \"dedup_id\": \"x\"}"},
               {"queue/push", "{\"name\": \"q\", \"priority\": 256}"},
               {"queue/push", "{\"name\": \"r\", \"sign\": \"plus\"}"},
               {"queue/claim", "{\"name\": \"q\", \"visibility_ms\": 0}"},
               {"queue/claim", "{\"name\": \"q\", \"max\": 257}"},
               {"queue/ack", "{\"name\": \"q\", \"tokens\": []}"},
               {"queue/ack", "{\"name\": \"q\", \"tokens\": [0]}"},
               {"queue/ack", "{\"name\": \"q\", \"tokens\": [1, \"2\"]}"},
               {"queue/ack", "{\"name\": \"q\", \"tokens\": 7}"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ask(room, room->one, bad[i].operation, "%s", bad[i].body);
        expect(room, room->one, 400, "bad-request");
    }
}

static void hot_keys_are_shown(void **state) {
    struct room *room = *state;
    for (int i = 0; i < 3; i++) put(room, ", \"key\": \"hot\", \"body\": \"x\"");
    for (int i = 0; i < 2; i++) put(room, ", \"key\": \"warm\"");
    put(room, ", \"key\": \"cold\", \"delay_ms\": 500");
    ask(room, room->one, "queue/show", "{\"name\": \"q\", \"key\": \"hot\", \"limit\": 1}");
    expect(room, room->one, 200, NULL);
    assert_int_equal(number(room, "messages"), 6);
    assert_int_equal(number(room, "delayed"), 1);
    const json_t *hot = json_array_get(json_object_get(room->seen, "hot_keys"), 0);
    assert_string_equal(json_string_value(json_object_get(hot, "key")), "hot");
    assert_int_equal(json_integer_value(json_object_get(hot, "depth")), 3);
    assert_int_equal(json_array_size(json_object_get(room->seen, "hot_keys")), 1);
    assert_true(truth(room, "more"));
    assert_int_equal(json_array_size(json_object_get(room->seen, "in_key")), 1);
    ask(room, room->one, "queue/show", "{\"name\": \"other\"}");
    expect(room, room->one, 404, "not-found");
    ask(room, room->one, "queue/list", "{}");
    expect(room, room->one, 200, NULL);
    const json_t *queue = json_array_get(json_object_get(room->seen, "queues"), 0);
    assert_string_equal(json_string_value(json_object_get(queue, "name")), "q");
    assert_string_equal(json_string_value(json_object_get(queue, "merge")), "none");
    send_headers(room, room->one, "queue/list", "Origin: http://localhost\r\n", "{}");
    expect(room, room->one, 403, "forbidden");
}

static void the_rate_says_when(void **state) {
    struct room *room = *state;
    ask(room, room->one, "queue/configure", "{\"name\": \"q\", \"rate\": 10, \"window_ms\": 1000, \"burst\": 1}");
    expect(room, room->one, 200, NULL);
    put(room, "");
    put(room, "");
    claim(room, room->one, "");
    assert_int_equal(messages(room), 1);
    claim(room, room->one, "");
    assert_int_equal(messages(room), 0);
    assert_int_equal(number(room, "retry_after_ms"), 100);
    ask(room, room->two, "queue/claim", CLAIM_WAITS);
    fake_step(room->fake);
    assert_false(take(room, room->two));
    fake_pass_time(room->fake, 100);
    assert_true(take(room, room->two));
    assert_int_equal(messages(room), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_bucket_allows_and_refuses),
        TEST(what_is_shown_is_as_of_log_time),
        TEST(permits_end_with_their_session_or_time),
        TEST(leases_count_what_was_used),
        TEST(who_closed_keeps_no_permit),
        TEST(wrong_definitions_are_refused),
        TEST(a_key_is_read_in_order_one_at_a_time),
        TEST(a_late_acknowledgement_is_refused),
        TEST(tries_end_as_a_dead_letter),
        TEST(claims_wait_for_the_event),
        TEST(a_claimer_that_has_gone_keeps_nothing),
        TEST(delivered_while_the_cancellation_is_on_its_way),
        TEST(who_waits_behind_one_that_has_gone_gets_it),
        TEST(deliveries_are_the_sessions),
        TEST(repeats_are_dropped),
        TEST(numbers_wait_for_those_before_them),
        TEST(bodies_may_be_any_bytes),
        TEST(the_largest_body_passes),
        TEST(bounds_have_their_errors),
        TEST(hot_keys_are_shown),
        TEST(the_rate_says_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
