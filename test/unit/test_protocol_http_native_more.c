// Sequences, idempotency keys and guards over HTTP, against a node that is made up: what their JSON becomes, what comes
// back, what each error says, and what becomes of a run whose caller has gone.
#include "model/idempotency/idempotency.h"
#include "test/unit/http_native_kit.h"

static bool truth(struct room *room, const char *key) {
    assert_true(json_is_boolean(json_object_get(room->seen, key)));
    return json_is_true(json_object_get(room->seen, key));
}

static const char *words(struct room *room, const char *key) {
    const char *text = json_string_value(json_object_get(room->seen, key));
    assert_non_null(text);
    return text;
}

// Asks on the first connection; the body is as it stands.
static void gives(struct room *room, const char *operation, const char *body) {
    send_headers(room, room->one, operation, "", body);
    expect(room, room->one, 200, NULL);
}
static void refuses(struct room *room, const char *operation, const char *body, int status, const char *error) {
    send_headers(room, room->one, operation, "", body);
    expect(room, room->one, status, error);
}

// ---- fields
static void what_is_wrong_is_named(void **state) {
    struct room *room = *state;
    static const struct {
        const char *operation, *body, *field;
    } cases[] = {
        {"sequence/next", "{}", "name"},
        {"sequence/next", "{\"name\": \"a\", \"count\": 0}", "count"},
        {"sequence/next", "{\"name\": \"a\", \"key\": \"\"}", "key"},
        {"sequence/set", "{\"name\": \"a\"}", "next"},
        {"sequence/ids", "{\"count\": 4097}", "count"},
        {"sequence/worker_lease", "{\"window_ms\": 300001}", "window_ms"},
        {"idempotency/begin", "{\"key\": \"a\", \"ttl_ms\": 0}", "ttl_ms"},
        {"idempotency/begin", "{\"key\": \"a\", \"wait_ms\": 3600001}", "wait_ms"},
        {"idempotency/complete", "{\"key\": \"a\"}", "token"},
        {"idempotency/complete", "{\"key\": \"a\", \"token\": 1, \"body\": 5}", "body"},
        {"idempotency/complete", "{\"key\": \"a\", \"token\": 1, \"body_base64\": \"AAE\"}", "body_base64"},
        {"idempotency/complete", "{\"key\": \"a\", \"token\": 1, \"body_base64\": \"AA=E\"}", "body_base64"},
        {"idempotency/complete", "{\"key\": \"a\", \"token\": 1, \"body_base64\": 7}", "body_base64"},
        {"guard/token_issue", "{\"count\": 257}", "count"},
        {"guard/value_put", "{\"name\": \"a\", \"version\": -2}", "version"},
        {"guard/counter_set", "{\"name\": \"a\", \"value\": 1.5}", "value"},
        {"guard/counter_add", "{}", "deltas"},
        {"guard/counter_add", "{\"deltas\": {}}", "deltas"},
        {"guard/counter_add", "{\"deltas\": [1]}", "deltas"},
        {"guard/counter_add", "{\"deltas\": {\"a\": \"1\"}}", "deltas"},
        {"guard/counter_add", "{\"deltas\": {\"\": 1}}", "deltas"},
        {"guard/list", "{\"kind\": \"tokens\"}", "kind"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        refuses(room, cases[i].operation, cases[i].body, 400, "bad-request");
        assert_string_equal(words(room, "field"), cases[i].field);
    }
    static const struct {
        const char *operation, *body;
    } others[] = {
        {"sequence/create", "{\"name\": \"a\", \"start\": 3, \"ceiling\": 2}"},
        {"idempotency/begin", "{\"key\": \"a\", \"lease_ms\": 0}"},
        {"idempotency/complete", "{\"key\": \"a\", \"token\": 1, \"body\": \"x\", \"body_base64\": \"\"}"},
        {"guard/counter_set", "{\"name\": \"a\", \"value\": -1}"},
        {"guard/counter_set", "{\"name\": \"a\", \"value\": 3, \"ceiling\": 2}"},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        refuses(room, others[i].operation, others[i].body, 400, "bad-request");
    assert_int_equal(room->fake->commands, 0);
    static const char *const operators[] = {"sequence/set", "idempotency/forget"};
    struct client *far = fake_connect(room->fake, "10.0.0.7:5");
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        send_headers(room, far, operators[i], "", "{}");
        expect(room, far, 403, "forbidden");
    }
}

// ---- sequences
static void sequences_give_each_number_once(void **state) {
    struct room *room = *state;
    gives(room, "sequence/create", "{\"name\": \"s\", \"start\": 10, \"step\": 5, \"ceiling\": 40, \"block_max\": 3}");
    gives(room, "sequence/next", "{\"name\": \"s\", \"count\": 3}");
    assert_int_equal(number(room, "first"), 10);
    assert_int_equal(number(room, "last"), 20);
    assert_int_equal(number(room, "step"), 5);
    assert_int_equal(number(room, "count"), 3);
    refuses(room, "sequence/next", "{\"name\": \"s\", \"count\": 4}", 409, "limit");
    refuses(room, "sequence/create", "{\"name\": \"s\"}", 409, "exists");
    refuses(room, "sequence/set", "{\"name\": \"s\", \"next\": 24}", 409, "backward");
    refuses(room, "sequence/set", "{\"name\": \"t\", \"next\": 24}", 404, "not-found");
    gives(room, "sequence/set", "{\"name\": \"s\", \"next\": 40}");
    gives(room, "sequence/next", "{\"name\": \"s\"}");
    assert_int_equal(number(room, "first"), 40);
    refuses(room, "sequence/next", "{\"name\": \"s\"}", 409, "exhausted");
    gives(room, "sequence/list", "{\"name\": \"s\"}");
    const json_t *one = json_array_get(json_object_get(room->seen, "sequences"), 0);
    assert_true(json_is_true(json_object_get(one, "exhausted")));
    assert_null(json_object_get(one, "next"));
}

static void a_key_gets_its_number_again(void **state) {
    struct room *room = *state;
    for (int i = 0; i < 2; i++) {
        gives(room, "sequence/next", "{\"name\": \"g\", \"key\": \"order 1\", \"fingerprint\": \"f\"}");
        assert_int_equal(number(room, "first"), 1);
        assert_int_equal(truth(room, "repeated"), i == 1);
    }
    refuses(room, "sequence/next", "{\"name\": \"g\", \"key\": \"order 1\"}", 422, "mismatch");
    refuses(room, "sequence/next", "{\"name\": \"g\"}", 409, "key-needed");
    gives(room, "sequence/next", "{\"name\": \"g\", \"key\": \"order 2\"}");
    assert_int_equal(number(room, "first"), 2);
    gives(room, "sequence/next", "{\"name\": \"a\"}");
    gives(room, "sequence/list", "{\"limit\": 1}");
    assert_int_equal(json_array_size(json_object_get(room->seen, "sequences")), 1);
    assert_true(truth(room, "more"));
    gives(room, "sequence/list", "{\"after\": \"a\"}");
    assert_int_equal(json_array_size(json_object_get(room->seen, "sequences")), 1);
    assert_false(truth(room, "more"));
}

static void ids_want_a_clock_and_workers_a_token(void **state) {
    struct room *room = *state;
    refuses(room, "sequence/ids", "{}", 409, "clock"); // the fake's clock shows 2020
    refuses(room, "sequence/worker_lease", "{\"owner\": \"w\"}", 409, "clock");
    refuses(room, "sequence/worker_renew", "{\"worker\": 1, \"token\": 1}", 409, "not-held");
    refuses(room, "sequence/worker_release", "{\"worker\": 1, \"token\": 1}", 409, "not-held");
    gives(room, "sequence/workers", "{}");
    assert_int_equal(json_array_size(json_object_get(room->seen, "workers")), 0);
}

// ---- idempotency keys
#define BEGIN "{\"key\": \"k\", \"owner\": \"%s\", \"lease_ms\": 5000}"
#define BEGIN_WAIT "{\"key\": \"k\", \"owner\": \"%s\", \"lease_ms\": 5000, \"wait_ms\": 60000}"

static json_int_t begin(struct room *room, struct client *client, const char *owner) {
    ask(room, client, "idempotency/begin", BEGIN, owner);
    expect(room, client, 200, NULL);
    assert_string_equal(words(room, "outcome"), "run");
    return number(room, "token");
}

static const char *key_state(struct room *room) {
    struct client *client = fake_connect(room->fake, "127.0.0.1:9");
    ask(room, client, "idempotency/show", "{\"key\": \"k\"}");
    expect(room, client, 200, NULL);
    return words(room, "state");
}

static void one_runs_and_later_ones_get_what_it_stored(void **state) {
    struct room *room = *state;
    json_int_t token = begin(room, room->one, "x");
    assert_int_equal(number(room, "attempt"), 1);
    assert_int_equal(begin(room, room->two, "x"), token); // its retry
    ask(room, room->two, "idempotency/begin", BEGIN, "y");
    expect(room, room->two, 409, "in-progress");
    assert_string_equal(words(room, "holder"), "x");
    assert_int_equal(number(room, "token"), token);
    assert_int_equal(number(room, "due_in_ms"), 5000);
    refuses(room, "idempotency/begin", "{\"key\": \"k\", \"fingerprint\": \"f\"}", 422, "mismatch");
    refuses(room, "idempotency/forget", "{\"key\": \"k\"}", 409, "in-progress");
    for (int i = 0; i < 2; i++) {
        ask(room, room->one, "idempotency/complete",
            "{\"key\": \"k\", \"token\": %lld, \"status\": 201, \"body\": \"\\u00e4 \\\"\"}", token);
        expect(room, room->one, 200, NULL);
        assert_int_equal(truth(room, "repeated"), i == 1);
    }
    ask(room, room->one, "idempotency/complete", "{\"key\": \"k\", \"token\": %lld, \"status\": 202}", token);
    expect(room, room->one, 409, "already");
    ask(room, room->two, "idempotency/begin", BEGIN, "y");
    expect(room, room->two, 200, NULL);
    assert_string_equal(words(room, "outcome"), "stored");
    assert_string_equal(words(room, "body"), "\xc3\xa4 \"");
    assert_int_equal(number(room, "status"), 201);
    assert_false(truth(room, "failed"));
    gives(room, "idempotency/list", "{}");
    const json_t *one = json_array_get(json_object_get(room->seen, "keys"), 0);
    assert_null(json_object_get(one, "body"));
    gives(room, "idempotency/forget", "{\"key\": \"k\"}");
    refuses(room, "idempotency/show", "{\"key\": \"k\"}", 404, "not-found");
    assert_true(begin(room, room->two, "y") > token);
}

static void bodies_are_any_bytes(void **state) {
    struct room *room = *state;
    static const char *const texts[] = {"", "AA==", "AAEC/w==", "//79"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_int_t token = begin(room, room->one, "x");
        ask(room, room->one, "idempotency/complete", "{\"key\": \"k\", \"token\": %lld, \"body_base64\": \"%s\"}",
            token, texts[i]);
        expect(room, room->one, 200, NULL);
        ask(room, room->one, "idempotency/begin", BEGIN, "y");
        expect(room, room->one, 200, NULL);
        assert_string_equal(words(room, i == 0 ? "body" : "body_base64"), texts[i]);
        gives(room, "idempotency/forget", "{\"key\": \"k\"}");
    }
}

static void send_body(struct room *room, json_int_t token, size_t len) {
    char *body = mem_alloc(6 * len + 200);
    int at = sprintf(body, "{\"key\": \"k\", \"token\": %lld, \"body\": \"", token);
    for (size_t i = 0; i < len; i++) at += sprintf(body + at, "\\u0001");
    at += sprintf(body + at, "\"}");
    char head[200];
    int head_len =
        snprintf(head, sizeof head,
                 "POST /v1/idempotency/complete HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", at);
    write_span(&room->one->input, bytes_of(head, (size_t)head_len));
    fake_send(room->one, body, (size_t)at);
    mem_free(body);
}

// Each of its bytes as JSON may write it in six: the longest request there is.
static void bodies_of_64_kib_fit(void **state) {
    struct room *room = *state;
    json_int_t token = begin(room, room->one, "x");
    send_body(room, token, IDEMPOTENCY_BODY_BYTES_MAX + 1);
    expect(room, room->one, 400, "bad-request");
    assert_string_equal(words(room, "field"), "body");
    send_body(room, token, IDEMPOTENCY_BODY_BYTES_MAX);
    expect(room, room->one, 200, NULL);
    gives(room, "idempotency/show", "{\"key\": \"k\"}");
    assert_int_equal(strlen(words(room, "body")), IDEMPOTENCY_BODY_BYTES_MAX);
}

static void who_waits_gets_what_is_stored(void **state) {
    struct room *room = *state;
    json_int_t token = begin(room, room->one, "x");
    struct client *third = fake_connect(room->fake, "127.0.0.1:3");
    ask(room, room->two, "idempotency/begin", BEGIN_WAIT, "y");
    ask(room, third, "idempotency/begin", BEGIN_WAIT, "z");
    fake_step(room->fake);
    assert_false(take(room, room->two));
    ask(room, room->one, "idempotency/fail", "{\"key\": \"k\", \"token\": %lld, \"store\": true, \"status\": 7}",
        token);
    expect(room, room->one, 200, NULL);
    struct client *waiting[] = {room->two, third};
    for (size_t i = 0; i < 2; i++) {
        expect(room, waiting[i], 200, NULL);
        assert_string_equal(words(room, "outcome"), "stored");
        assert_int_equal(number(room, "status"), 7);
        assert_true(truth(room, "failed"));
    }
}

static void a_lost_run_frees_the_key(void **state) {
    struct room *room = *state;
    json_int_t token = begin(room, room->one, "x");
    ask(room, room->two, "idempotency/begin", BEGIN_WAIT, "y");
    fake_step(room->fake);
    fake_pass_time(room->fake, 4000);
    ask(room, room->one, "idempotency/extend", "{\"key\": \"k\", \"token\": %lld, \"lease_ms\": 3000}", token);
    expect(room, room->one, 200, NULL);
    fake_pass_time(room->fake, 2999);
    assert_false(take(room, room->two));
    fake_pass_time(room->fake, 1);
    expect(room, room->two, 200, NULL);
    assert_string_equal(words(room, "outcome"), "run");
    assert_int_equal(number(room, "attempt"), 2);
    assert_true(number(room, "token") > token);
    ask(room, room->one, "idempotency/complete", "{\"key\": \"k\", \"token\": %lld}", token);
    expect(room, room->one, 409, "not-held");
    ask(room, room->one, "idempotency/extend", "{\"key\": \"k\", \"token\": %lld, \"lease_ms\": 3000}", token);
    expect(room, room->one, 409, "not-held");
    ask(room, room->one, "idempotency/begin", "{\"key\": \"k\", \"owner\": \"z\", \"wait_ms\": 100}");
    fake_step(room->fake);
    fake_pass_time(room->fake, 100);
    expect(room, room->one, 409, "timed-out");
}

static void giving_up_lets_the_next_one_run(void **state) {
    struct room *room = *state;
    json_int_t token = begin(room, room->one, "x");
    ask(room, room->two, "idempotency/begin", BEGIN_WAIT, "y");
    fake_step(room->fake);
    ask(room, room->one, "idempotency/fail", "{\"key\": \"k\", \"token\": %lld}", token);
    expect(room, room->one, 200, NULL);
    expect(room, room->two, 200, NULL);
    assert_string_equal(words(room, "outcome"), "run");
}

static void who_closes_waits_no_longer(void **state) {
    struct room *room = *state;
    begin(room, room->one, "x");
    ask(room, room->two, "idempotency/begin", BEGIN_WAIT, "y");
    fake_step(room->fake);
    key_state(room);
    assert_int_equal(number(room, "waiters"), 1);
    fake_disconnect(room->two);
    fake_step(room->fake);
    assert_string_equal(key_state(room), "running");
    assert_int_equal(number(room, "waiters"), 0);
}

// Without an owner nobody can ask for the run again: it ends. With one, a retry may have got it at another node.
static void who_closed_before_the_answer(void **state) {
    struct room *room = *state;
    ask(room, room->one, "idempotency/begin", "{\"key\": \"k\"}");
    fake_disconnect(room->one);
    fake_step(room->fake);
    assert_string_equal(key_state(room), "free");
    ask(room, room->two, "idempotency/begin", BEGIN, "y");
    fake_disconnect(room->two);
    fake_step(room->fake);
    assert_string_equal(key_state(room), "running");
    struct client *third = fake_connect(room->fake, "127.0.0.1:3");
    json_int_t token = begin(room, third, "y");
    key_state(room);
    assert_int_equal(number(room, "token"), token);
    assert_int_equal(number(room, "attempts"), 2);
}

static void cancelled_by_its_ticket(void **state) {
    struct room *room = *state;
    json_int_t token = begin(room, room->one, "x"), ticket = number(room, "ticket");
    ask(room, room->two, "idempotency/begin", BEGIN_WAIT, "y");
    fake_step(room->fake);
    ask(room, room->one, "idempotency/cancel", "{\"key\": \"k\", \"ticket\": %lld}", ticket);
    expect(room, room->one, 200, NULL);
    assert_true(truth(room, "runs"));
    assert_int_equal(number(room, "token"), token);
    ask(room, room->one, "idempotency/cancel", "{\"key\": \"k\", \"ticket\": %lld}", ticket + 1);
    expect(room, room->one, 200, NULL);
    assert_false(truth(room, "runs"));
    expect(room, room->two, 409, "cancelled");
    ask(room, room->one, "idempotency/cancel", "{\"key\": \"k\", \"ticket\": %lld}", ticket + 1);
    expect(room, room->one, 404, "not-found");
}

// Tickets of locks and of keys are numbers of their own: both begin at 1.
static void locks_do_not_answer_who_waits_for_a_key(void **state) {
    struct room *room = *state;
    struct client *clients[4] = {room->one, room->two};
    for (int i = 2; i < 4; i++) clients[i] = fake_connect(room->fake, "127.0.0.1:4");
    static const char lock[] = "{\"name\": \"a\", \"owner\": \"%s\", \"ttl_ms\": 5000, \"wait_ms\": 9000}";
    ask(room, clients[0], "lock/acquire", lock, "x");
    expect(room, clients[0], 200, NULL);
    json_int_t token = number(room, "token");
    begin(room, clients[1], "x");
    ask(room, clients[2], "idempotency/begin", BEGIN_WAIT, "y");
    fake_step(room->fake);
    ask(room, clients[3], "lock/acquire", lock, "y");
    fake_step(room->fake);
    ask(room, clients[0], "lock/release", "{\"name\": \"a\", \"owner\": \"x\", \"token\": %lld}", token);
    expect(room, clients[0], 200, NULL);
    assert_false(take(room, clients[2]));
    expect(room, clients[3], 200, NULL);
    assert_true(number(room, "holds") == 1);
}

static void a_session_ends_its_runs(void **state) {
    struct room *room = *state;
    make_session(room);
    ask(room, room->one, "idempotency/begin", "{\"key\": \"k\", \"session\": \"%s\", \"lease_ms\": 0}", room->session);
    expect(room, room->one, 200, NULL);
    key_state(room);
    assert_int_equal(number(room, "session"), session_number(room));
    assert_int_equal(number(room, "due_in_ms"), 0);
    ask(room, room->two, "idempotency/begin", BEGIN_WAIT, "y");
    fake_step(room->fake);
    ask(room, room->one, "session/close", "{\"session\": \"%s\"}", room->session);
    expect(room, room->one, 200, NULL);
    expect(room, room->two, 200, NULL);
    assert_int_equal(number(room, "attempt"), 2);
}

// ---- guards
static void tokens_are_consumed_once(void **state) {
    struct room *room = *state;
    gives(room, "guard/token_issue", "{\"count\": 2, \"purpose\": \"form\"}");
    const json_t *tokens = json_object_get(room->seen, "tokens");
    assert_int_equal(json_array_size(tokens), 2);
    char token[64];
    snprintf(token, sizeof token, "%s", json_string_value(json_array_get(tokens, 0)));
    assert_int_equal(strspn(token, "0123456789abcdef"), 32);
    assert_string_not_equal(token, json_string_value(json_array_get(tokens, 1)));
    ask(room, room->one, "guard/token_consume", "{\"token\": \"%s\", \"purpose\": \"mail\"}", token);
    expect(room, room->one, 422, "mismatch");
    ask(room, room->one, "guard/token_show", "{\"token\": \"%s\"}", token);
    expect(room, room->one, 200, NULL);
    assert_false(truth(room, "consumed"));
    ask(room, room->one, "guard/token_consume", "{\"token\": \"%s\", \"purpose\": \"form\", \"caller\": \"c\"}", token);
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "guard/token_consume", "{\"token\": \"%s\", \"purpose\": \"form\"}", token);
    expect(room, room->one, 409, "consumed");
    assert_string_equal(words(room, "by"), "c");
    assert_int_equal(number(room, "at_unix_ms"), fake_unix_ms(room->fake->applied - 1));
    ask(room, room->one, "guard/token_show", "{\"token\": \"%s\"}", token);
    expect(room, room->one, 200, NULL);
    assert_true(truth(room, "consumed"));
    refuses(room, "guard/token_consume", "{\"token\": \"nothing\"}", 404, "not-found");
}

static void states_change_only_from_the_expected_one(void **state) {
    struct room *room = *state;
    refuses(room, "guard/entity_transition", "{\"entity\": \"o\", \"from\": \"new\", \"to\": \"paid\"}", 404,
            "not-found");
    gives(room, "guard/entity_transition", "{\"entity\": \"o\", \"to\": \"new\"}");
    json_int_t version = number(room, "version");
    refuses(room, "guard/entity_transition", "{\"entity\": \"o\", \"from\": \"paid\", \"to\": \"sent\"}", 409, "state");
    assert_string_equal(words(room, "state"), "new");
    assert_int_equal(number(room, "version"), version);
    static const char pay[] = "{\"entity\": \"o\", \"from\": \"new\", \"to\": \"paid\", \"request\": \"r\"}";
    for (int i = 0; i < 2; i++) {
        gives(room, "guard/entity_transition", pay);
        assert_string_equal(words(room, "state"), "paid");
        assert_int_equal(truth(room, "repeated"), i == 1);
    }
    refuses(room, "guard/entity_transition",
            "{\"entity\": \"o\", \"from\": \"paid\", \"to\": \"x\", \"request\": \"r\"}", 422, "mismatch");
    gives(room, "guard/entity_show", "{\"entity\": \"o\"}");
    assert_string_equal(words(room, "state"), "paid");
    assert_string_equal(words(room, "request"), "r");
    assert_int_equal(json_array_size(json_object_get(room->seen, "history")), 2);
    gives(room, "guard/list", "{\"kind\": \"entities\"}");
    assert_int_equal(json_array_size(json_object_get(room->seen, "items")), 1);
    refuses(room, "guard/entity_delete", "{\"entity\": \"o\", \"state\": \"new\"}", 409, "state");
    gives(room, "guard/entity_delete", "{\"entity\": \"o\", \"state\": \"paid\"}");
    refuses(room, "guard/entity_show", "{\"entity\": \"o\"}", 404, "not-found");
}

static void values_have_versions_and_fences(void **state) {
    struct room *room = *state;
    gives(room, "guard/value_put", "{\"name\": \"v\", \"value\": \"one\", \"version\": 0, \"token\": 5}");
    json_int_t version = number(room, "version");
    refuses(room, "guard/value_put", "{\"name\": \"v\", \"value\": \"x\", \"version\": 0, \"token\": 5}", 409,
            "version");
    assert_int_equal(number(room, "version"), version);
    assert_string_equal(words(room, "value"), "one");
    refuses(room, "guard/value_put", "{\"name\": \"v\", \"value\": \"x\", \"token\": 4}", 409, "old-token");
    assert_int_equal(number(room, "token"), 5);
    assert_int_equal(number(room, "version"), version);
    ask(room, room->one, "guard/value_put",
        "{\"name\": \"v\", \"value_base64\": \"/wA=\", \"version\": %lld, \"token\": 6}", version);
    expect(room, room->one, 200, NULL);
    assert_true(number(room, "version") > version);
    gives(room, "guard/value_get", "{\"name\": \"v\"}");
    assert_string_equal(words(room, "value_base64"), "/wA=");
    gives(room, "guard/list", "{\"kind\": \"values\"}");
    assert_int_equal(json_array_size(json_object_get(room->seen, "items")), 1);
    refuses(room, "guard/value_delete", "{\"name\": \"v\"}", 409, "old-token");
    gives(room, "guard/value_delete", "{\"name\": \"v\", \"token\": 6}");
    gives(room, "guard/value_get", "{\"name\": \"v\"}");
    assert_int_equal(number(room, "version"), 0);
    assert_null(json_object_get(room->seen, "value"));
    refuses(room, "guard/value_get", "{\"name\": \"w\"}", 404, "not-found");
    refuses(room, "guard/value_delete", "{\"name\": \"w\"}", 404, "not-found");
}

static json_int_t value_of(struct room *room, const char *name) {
    return json_integer_value(json_object_get(json_object_get(room->seen, "values"), name));
}

static void counters_stay_within_their_bounds(void **state) {
    struct room *room = *state;
    gives(room, "guard/counter_set", "{\"name\": \"stock\", \"value\": 5, \"ceiling\": 9}");
    gives(room, "guard/counter_add", "{\"deltas\": {\"stock\": -2, \"sold\": 2}, \"request\": \"r\"}");
    assert_int_equal(value_of(room, "stock"), 3);
    assert_int_equal(value_of(room, "sold"), 2);
    gives(room, "guard/counter_add", "{\"deltas\": {\"sold\": 2, \"stock\": -2}, \"request\": \"r\"}");
    assert_true(truth(room, "repeated")); // in whatever order its names stand
    assert_int_equal(value_of(room, "stock"), 3);
    assert_int_equal(value_of(room, "sold"), 2);
    refuses(room, "guard/counter_add", "{\"deltas\": {\"stock\": -1}, \"request\": \"r\"}", 422, "mismatch");
    refuses(room, "guard/counter_add", "{\"deltas\": {\"sold\": 4, \"stock\": -4}}", 409, "below");
    assert_string_equal(words(room, "name"), "stock");
    assert_int_equal(number(room, "value"), 3);
    refuses(room, "guard/counter_add", "{\"deltas\": {\"stock\": 7}}", 409, "above");
    gives(room, "guard/counter_show", "{\"name\": \"sold\"}");
    assert_int_equal(number(room, "value"), 2); // all or none
    gives(room, "guard/counter_set", "{\"name\": \"sold\", \"value\": -3, \"floor\": -9, \"ceiling\": -1}");
    gives(room, "guard/list", "{\"prefix\": \"so\"}");
    assert_int_equal(json_array_size(json_object_get(room->seen, "items")), 1);
    gives(room, "guard/counter_delete", "{\"name\": \"sold\"}");
    refuses(room, "guard/counter_show", "{\"name\": \"sold\"}", 404, "not-found");
    refuses(room, "guard/counter_delete", "{\"name\": \"sold\"}", 404, "not-found");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_wrong_is_named),
        TEST(sequences_give_each_number_once),
        TEST(a_key_gets_its_number_again),
        TEST(ids_want_a_clock_and_workers_a_token),
        TEST(one_runs_and_later_ones_get_what_it_stored),
        TEST(bodies_are_any_bytes),
        TEST(bodies_of_64_kib_fit),
        TEST(who_waits_gets_what_is_stored),
        TEST(a_lost_run_frees_the_key),
        TEST(giving_up_lets_the_next_one_run),
        TEST(who_closes_waits_no_longer),
        TEST(who_closed_before_the_answer),
        TEST(cancelled_by_its_ticket),
        TEST(locks_do_not_answer_who_waits_for_a_key),
        TEST(a_session_ends_its_runs),
        TEST(tokens_are_consumed_once),
        TEST(states_change_only_from_the_expected_one),
        TEST(values_have_versions_and_fences),
        TEST(counters_stay_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
