// Native operations over HTTP, against a node that is made up (fake_service): fields, problem documents, sessions that
// are bound to no connection, waits that events end, and what is given back when a connection goes.
#include "model/lock/lock.h"
#include "test/unit/http_native_kit.h"

static uint32_t waiters;
static uint32_t holders;
static void count(void *context, struct bytes name, enum lock_mode mode, uint32_t total, uint32_t held,
                  uint32_t waiting) {
    holders = held;
    waiters = waiting;
}
static void look(struct room *room) { // at lock "a"
    struct lock_query query = {.name = bytes_of_text("a"), .lock = count};
    struct result result;
    holders = waiters = 0;
    lock_model.query(room->fake->models[MODEL_LOCK], &query, &result);
}

#define TRY "{\"name\": \"a\", \"owner\": \"%s\", \"ttl_ms\": 5000}"
#define WAIT "{\"name\": \"a\", \"owner\": \"%s\", \"ttl_ms\": 5000, \"wait_ms\": 60000}"

// ---- fields
static void what_is_wrong_is_named(void **state) {
    struct room *room = *state;
    static const struct {
        const char *operation, *body, *field;
    } cases[] = {
        {"lock/acquire", "{\"owner\": \"x\", \"ttl_ms\": 1}", "name"},
        {"lock/acquire", "{\"name\": \"\", \"owner\": \"x\", \"ttl_ms\": 1}", "name"},
        {"lock/acquire", "{\"name\": 5}", "name"},
        {"lock/acquire", "{\"name\": \"a\", \"ttl_ms\": -1}", "ttl_ms"},
        {"lock/acquire", "{\"name\": \"a\", \"ttl_ms\": 1.5}", "ttl_ms"},
        {"lock/acquire", "{\"name\": \"a\", \"ttl_ms\": 99999999999}", "ttl_ms"},
        {"lock/acquire", "{\"name\": \"a\", \"mode\": \"exclusiv\"}", "mode"},
        {"lock/acquire", "{\"name\": \"a\", \"mode\": 1}", "mode"},
        {"lock/acquire", "{\"name\": \"a\", \"session\": \"7-00\"}", "session"},
        {"lock/acquire", "{\"name\": \"a\", \"session\": \"0-00112233445566778899aabbccddeeff\"}", "session"},
        {"lock/acquire", "{\"name\": \"a\", \"tokn\": 1}", "tokn"},
        {"lock/acquire_all", "{\"names\": [\"a\", 1]}", "names"},
        {"lock/acquire_all", "{\"names\": \"a\"}", "names"},
        {"lock/release", "{\"name\": \"a\", \"token\": 1, \"all\": 1}", "all"},
        {"lock/release", "{\"name\": \"a\"}", "token"},
        {"session/create", "{\"ttl_ms\": 1}", "ttl_ms"},
        {"session/close", "{}", "session"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask(room, room->one, cases[i].operation, "%s", cases[i].body);
        expect(room, room->one, 400, "bad-request");
        assert_string_equal(json_string_value(json_object_get(room->seen, "field")), cases[i].field);
    }
    static const char *const others[] = {"[]",
                                         "7",
                                         "{\"name\": \"a\"",
                                         "{\"name\": \"a\", \"name\": \"b\"}",
                                         "{\"name\": \"\\u0000\"}",
                                         "{\"name\": \"a\"}", // no end to it
                                         "{\"name\": \"a\", \"ttl_ms\": 5}",
                                         "{\"name\": \"a\", \"owner\": \"x\", \"ttl_ms\": 5, \"permits\": 2}",
                                         "{\"name\": \"a\", \"owner\": \"x\", \"ttl_ms\": 5, \"mode\": \"permits\"}"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        ask(room, room->one, "lock/acquire", "%s", others[i]);
        expect(room, room->one, 400, "bad-request");
    }
    assert_int_equal(room->fake->commands, 0);
}

static void browsers_and_other_methods_are_refused(void **state) {
    struct room *room = *state;
    send_headers(room, room->one, "lock/acquire", "Origin: http://localhost\r\n",
                 "{\"name\": \"a\", \"owner\": \"x\", \"ttl_ms\": 5}");
    expect(room, room->one, 403, "forbidden");
    static const char get[] = "GET /v1/lock/list HTTP/1.1\r\nHost: x\r\n\r\n";
    fake_send(room->one, get, sizeof get - 1);
    expect(room, room->one, 405, "bad-method");
    // Data is for whoever reaches the listener; what only an operator may do is not.
    struct client *far = fake_connect(room->fake, "10.0.0.7:5");
    ask(room, far, "lock/acquire", TRY, "x");
    expect(room, far, 200, NULL);
    ask(room, far, "lock/break", "{\"name\": \"a\", \"token\": %lld, \"reason\": \"r\"}", number(room, "token"));
    expect(room, far, 403, "forbidden");
}

// ---- locks
static void locks_are_taken_and_given_back(void **state) {
    struct room *room = *state;
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    json_int_t token = number(room, "token");
    assert_int_equal(number(room, "holds"), 1);
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    assert_int_equal(number(room, "holds"), 2);
    assert_int_equal(number(room, "token"), token);
    ask(room, room->two, "lock/acquire", TRY, "y");
    expect(room, room->two, 409, "busy");
    assert_string_equal(json_string_value(json_object_get(room->seen, "holder")), "x");
    assert_int_equal(number(room, "token"), token);
    ask(room, room->one, "lock/release", "{\"name\": \"a\", \"owner\": \"x\", \"token\": %lld}", token);
    expect(room, room->one, 200, NULL);
    assert_int_equal(number(room, "holds"), 1);
    ask(room, room->one, "lock/verify", "{\"name\": \"a\", \"token\": %lld}", token);
    expect(room, room->one, 200, NULL);
    assert_true(json_is_true(json_object_get(room->seen, "valid")));
    ask(room, room->one, "lock/renew", "{\"name\": \"a\", \"owner\": \"x\", \"token\": %lld, \"ttl_ms\": 9000}", token);
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "lock/show", "{\"name\": \"a\"}");
    expect(room, room->one, 200, NULL);
    const json_t *claim = json_array_get(json_object_get(room->seen, "claims"), 0);
    assert_int_equal(json_integer_value(json_object_get(claim, "due_in_ms")), 9000);
    assert_string_equal(json_string_value(json_object_get(claim, "owner")), "x");
    ask(room, room->two, "lock/release", "{\"name\": \"a\", \"owner\": \"y\", \"token\": %lld}", token);
    expect(room, room->two, 409, "not-held");
    ask(room, room->one, "lock/release", "{\"name\": \"a\", \"owner\": \"x\", \"token\": %lld, \"all\": true}", token);
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "lock/verify", "{\"name\": \"a\", \"token\": %lld}", token);
    expect(room, room->one, 200, NULL);
    assert_true(json_is_false(json_object_get(room->seen, "valid")));
    ask(room, room->one, "lock/list", "{}");
    expect(room, room->one, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "locks")), 0);
}

static void several_are_taken_in_one_step_or_none(void **state) {
    struct room *room = *state;
    ask(room, room->one, "lock/acquire_all",
        "{\"names\": [\"a\", \"b\"], \"shared_names\": [\"c\"], \"owner\": \"x\", \"ttl_ms\": 5000}");
    expect(room, room->one, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "tokens")), 3);
    ask(room, room->two, "lock/acquire_all", "{\"names\": [\"d\", \"b\"], \"owner\": \"y\", \"ttl_ms\": 5000}");
    expect(room, room->two, 409, "busy");
    assert_string_equal(json_string_value(json_object_get(room->seen, "name")), "b");
    ask(room, room->two, "lock/acquire_all", "{\"owner\": \"y\", \"ttl_ms\": 5000}");
    expect(room, room->two, 400, "bad-request");
    ask(room, room->two, "lock/list", "{\"limit\": 2}");
    expect(room, room->two, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "locks")), 2);
    assert_true(json_is_true(json_object_get(room->seen, "more")));
    ask(room, room->two, "lock/list", "{\"prefix\": \"d\"}");
    expect(room, room->two, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "locks")), 0);
}

static void waits_end_by_events(void **state) {
    struct room *room = *state;
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    json_int_t token = number(room, "token");
    ask(room, room->two, "lock/acquire", WAIT, "y");
    fake_step(room->fake);
    assert_false(take(room, room->two));
    fake_pass_time(room->fake, 4999);
    assert_false(take(room, room->two));
    fake_pass_time(room->fake, 1); // the first one's time is over
    assert_true(take(room, room->two));
    assert_int_equal(room->status, 200);
    assert_true(number(room, "token") > token);
    ask(room, room->one, "lock/acquire", "{\"name\": \"a\", \"owner\": \"x\", \"ttl_ms\": 9, \"wait_ms\": 100}");
    fake_step(room->fake);
    fake_pass_time(room->fake, 99);
    assert_false(take(room, room->one));
    fake_pass_time(room->fake, 1);
    expect(room, room->one, 409, "timed-out");
}

static void who_closes_waits_no_longer(void **state) {
    struct room *room = *state;
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    ask(room, room->two, "lock/acquire", WAIT, "y");
    fake_step(room->fake);
    look(room);
    assert_int_equal(waiters, 1);
    assert_true(http_protocol.owes(room->one->connection) == false);
    assert_false(http_protocol.owes(room->two->connection)); // one that only shut its sending side is not kept either
    fake_disconnect(room->two);
    fake_step(room->fake);
    look(room);
    assert_int_equal(waiters, 0);
    assert_int_equal(holders, 1);
}

static void who_closed_before_the_answer_keeps_nothing(void **state) {
    struct room *room = *state;
    ask(room, room->one, "lock/acquire", TRY, "x");
    assert_true(http_protocol.owes(room->one->connection));
    fake_disconnect(room->one); // granted, and nobody is told
    fake_step(room->fake);
    look(room);
    assert_int_equal(holders, 0);
    struct client *third = fake_connect(room->fake, "127.0.0.1:3");
    ask(room, third, "lock/acquire", TRY, "x");
    expect(room, third, 200, NULL);
    ask(room, room->two, "lock/acquire", WAIT, "y");
    fake_disconnect(room->two); // waits before anybody knows
    fake_step(room->fake);
    look(room);
    assert_int_equal(holders, 1);
    assert_int_equal(waiters, 0);
}

// Found by reading: who was granted the lock while the cancellation was on its way kept it, and nobody knew.
static void granted_while_the_cancellation_is_on_its_way(void **state) {
    struct room *room = *state;
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    make_session(room);
    ask(room, room->two, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\", \"wait_ms\": 60000}", room->session);
    fake_step(room->fake);
    fake_disconnect(room->two);
    fake_pass_time(room->fake, 5000);
    look(room);
    assert_int_equal(holders, 1);
    fake_step(room->fake);
    look(room);
    assert_int_equal(holders + waiters, 0);
}

// The same owner asks again over another connection: the first one's end does not take the place in line away.
static void one_place_in_line_for_two_connections(void **state) {
    struct room *room = *state;
    struct client *third = fake_connect(room->fake, "127.0.0.1:3");
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    ask(room, room->two, "lock/acquire", WAIT, "y");
    ask(room, third, "lock/acquire", WAIT, "y");
    expect(room, room->two, 409, "superseded");
    fake_disconnect(room->two);
    fake_step(room->fake);
    look(room);
    assert_int_equal(waiters, 1);
    fake_pass_time(room->fake, 5000);
    expect(room, third, 200, NULL);
}

static void cancelled_by_its_ticket(void **state) {
    struct room *room = *state;
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    json_int_t ticket = number(room, "ticket");
    ask(room, room->two, "lock/acquire", WAIT, "y");
    ask(room, room->one, "lock/cancel", "{\"name\": \"a\", \"owner\": \"y\", \"ticket\": %lld}", ticket + 1);
    expect(room, room->one, 200, NULL);
    assert_true(json_is_false(json_object_get(room->seen, "granted")));
    expect(room, room->two, 409, "cancelled");
    ask(room, room->one, "lock/cancel", "{\"name\": \"a\", \"owner\": \"x\", \"ticket\": %lld}", ticket);
    expect(room, room->one, 200, NULL);
    assert_true(json_is_true(json_object_get(room->seen, "granted"))); // too late
}

// Found by reading: who waited here was never told when another node took the cancellation.
static void cancelled_at_another_node(void **state) {
    struct room *room = *state;
    struct writer w = {0};
    struct result result = {0};
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    json_int_t ticket = number(room, "ticket");
    ask(room, room->two, "lock/acquire", WAIT, "y");
    fake_step(room->fake);
    lock_write_cancel(&w, 0, 0, bytes_of_text("a"), bytes_of_text("y"), (uint64_t)ticket + 1, false);
    apply_command(room->fake, bytes_of(w.data, w.len), &result);
    writer_free(&w);
    expect(room, room->two, 409, "cancelled");
}

static void holders_are_told_of_their_loss(void **state) {
    struct room *room = *state;
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    json_int_t token = number(room, "token");
    ask(room, room->two, "lock/watch", "{\"name\": \"a\", \"token\": %lld, \"wait_ms\": 300}", token);
    fake_step(room->fake);
    fake_tick(room->fake, 299);
    assert_false(take(room, room->two));
    fake_tick(room->fake, 1);
    expect(room, room->two, 200, NULL);
    assert_true(json_is_true(json_object_get(room->seen, "held")));
    ask(room, room->two, "lock/watch", "{\"name\": \"a\", \"token\": %lld}", token);
    fake_step(room->fake);
    ask(room, room->one, "lock/break", "{\"name\": \"a\", \"token\": %lld, \"reason\": \"stuck\"}", token);
    expect(room, room->one, 200, NULL);
    assert_true(take(room, room->two));
    assert_string_equal(json_string_value(json_object_get(room->seen, "loss")), "broken");
    assert_string_equal(json_string_value(json_object_get(room->seen, "reason")), "stuck");
    ask(room, room->two, "lock/watch", "{\"name\": \"a\", \"token\": %lld}", token);
    expect(room, room->two, 200, NULL);
    assert_string_equal(json_string_value(json_object_get(room->seen, "loss")), "gone");
}

static void circles_are_refused(void **state) {
    struct room *room = *state;
    static const char both[] = "{\"name\": \"%s\", \"owner\": \"%s\", \"ttl_ms\": 5000, \"wait_ms\": 9000}";
    ask(room, room->one, "lock/acquire", both, "a", "x");
    expect(room, room->one, 200, NULL);
    ask(room, room->two, "lock/acquire", both, "b", "y");
    expect(room, room->two, 200, NULL);
    ask(room, room->one, "lock/acquire", both, "b", "x");
    ask(room, room->two, "lock/acquire", both, "a", "y");
    expect(room, room->two, 409, "deadlock");
    assert_true(json_string_length(json_object_get(room->seen, "circle")) > 0);
}

// ---- sessions
static void sessions_are_bound_to_no_connection(void **state) {
    struct room *room = *state;
    make_session(room);
    fake_disconnect(room->one);
    ask(room, room->two, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\"}", room->session);
    expect(room, room->two, 200, NULL);
    uint64_t commands = room->fake->commands;
    ask(room, room->two, "session/keepalive", "{\"session\": \"%s\"}", room->session);
    expect(room, room->two, 200, NULL); // activity of this moment is known
    fake_tick(room->fake, 1000);
    ask(room, room->two, "session/keepalive", "{\"session\": \"%s\"}", room->session);
    fake_step(room->fake);
    assert_false(take(room, room->two));
    fake_acknowledge(room->fake);
    expect(room, room->two, 200, NULL);
    assert_int_equal(number(room, "ttl_ms"), 6000);
    assert_int_equal(room->fake->commands, commands); // keep-alives stay off the log
    ask(room, room->two, "session/close", "{\"session\": \"%s\"}", room->session);
    expect(room, room->two, 200, NULL);
    look(room);
    assert_int_equal(holders, 0);
    ask(room, room->two, "session/keepalive", "{\"session\": \"%s\"}", room->session);
    expect(room, room->two, 410, "session-expired");
}

static void strangers_get_no_session(void **state) {
    struct room *room = *state;
    make_session(room);
    size_t last = strlen(room->session) - 1;
    char right = room->session[last];
    room->session[last] = right == '0' ? '1' : '0';
    ask(room, room->two, "session/close", "{\"session\": \"%s\"}", room->session);
    expect(room, room->two, 410, "session-expired");
    ask(room, room->two, "session/close", "{\"session\": \"99%s\"}", room->session);
    expect(room, room->two, 410, "session-expired");
    room->session[last] = right;
    ask(room, room->two, "session/close", "{\"session\": \"%s\"}", room->session);
    expect(room, room->two, 200, NULL);
}

static void expiry_answers_who_waits_and_frees_the_lock(void **state) {
    struct room *room = *state;
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    make_session(room);
    ask(room, room->two, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\", \"wait_ms\": 60000}", room->session);
    fake_step(room->fake);
    look(room);
    assert_int_equal(waiters, 1);
    fake_expire(room->fake, session_number(room));
    expect(room, room->two, 410, "session-expired");
    look(room);
    assert_int_equal(waiters, 0);
}

static void attached_elsewhere(void **state) {
    struct room *room = *state;
    make_session(room);
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    ask(room, room->two, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\", \"wait_ms\": 60000}", room->session);
    fake_step(room->fake);
    fake_move_session(room->fake, session_number(room));
    expect(room, room->two, 409, "session-moved");
    look(room);
    assert_int_equal(waiters, 1); // its place in line is the session's
    ask(room, room->one, "session/keepalive", "{\"session\": \"%s\"}", room->session); // back to this node
    expect(room, room->one, 200, NULL);
    ask(room, room->two, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\", \"wait_ms\": 60000}", room->session);
    fake_step(room->fake);
    look(room);
    assert_int_equal(waiters, 1);
    fake_pass_time(room->fake, 5000);
    expect(room, room->two, 200, NULL);
}

static void what_says_that_it_lives_is_held_back(void **state) {
    struct room *room = *state;
    make_session(room);
    room->fake->silent = true;
    ask(room, room->two, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\"}", room->session);
    fake_step(room->fake);
    assert_false(take(room, room->two));
    ask(room, room->one, "lock/acquire", TRY, "x"); // hangs on no session
    expect(room, room->one, 409, "busy");
    room->fake->silent = false;
    fake_acknowledge(room->fake);
    expect(room, room->two, 200, NULL);
    room->fake->silent = true;
    ask(room, room->two, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\"}", room->session);
    fake_step(room->fake);
    fake_disconnect(room->two); // the second hold was never told
    fake_step(room->fake);
    ask(room, room->one, "lock/show", "{\"name\": \"a\"}");
    expect(room, room->one, 200, NULL);
    const json_t *claim = json_array_get(json_object_get(room->seen, "claims"), 0);
    assert_int_equal(json_integer_value(json_object_get(claim, "holds")), 1);
}

static void another_state_makes_it_unknown(void **state) {
    struct room *room = *state;
    make_session(room);
    ask(room, room->one, "lock/acquire", TRY, "x");
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "lock/acquire", WAIT, "y");
    ask(room, room->two, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\", \"wait_ms\": 60000}", room->session);
    fake_step(room->fake);
    fake_replace_state(room->fake);
    expect(room, room->one, 504, "unknown");
    expect(room, room->two, 504, "unknown");
    ask(room, room->one, "lock/acquire", TRY, "x"); // the connections stay, and go on
    expect(room, room->one, 200, NULL);
    ask(room, room->two, "session/keepalive", "{\"session\": \"%s\"}", room->session);
    expect(room, room->two, 200, NULL);
}

static void without_a_leader_it_is_not_applied(void **state) {
    struct room *room = *state;
    make_session(room);
    fake_replace_state(room->fake); // the session is attached nowhere
    room->fake->has_leader = false;
    ask(room, room->one, "lock/list", "{}");
    expect(room, room->one, 503, "not-applied");
    ask(room, room->one, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\"}", room->session);
    expect(room, room->one, 503, "not-applied");
    room->fake->has_leader = true;
    ask(room, room->one, "session/keepalive", "{\"session\": \"%s\"}", room->session);
    expect(room, room->one, 200, NULL);
    fake_tick(room->fake, 10);
    ask(room, room->one, "session/keepalive", "{\"session\": \"%s\"}", room->session);
    fake_step(room->fake);
    fake_tick(room->fake, NATIVE_KEEPALIVE_MS - 1);
    assert_false(take(room, room->one));
    fake_tick(room->fake, 1);
    expect(room, room->one, 503, "not-applied");
}

// Every error and field that a row names is there, so that the documents made from the table say what is.
static void the_table_is_whole(void **state) {
    const struct native_operation *operation;
    for (size_t i = 0; (operation = native_at(i)) != NULL; i++) {
        assert_non_null(operation->run);
        assert_true(strncmp(operation->path, "/v1/", 4) == 0);
        char errors[512];
        snprintf(errors, sizeof errors, "%s%s", operation->errors, native_common_errors);
        for (char *at = strtok(errors, " "); at != NULL; at = strtok(NULL, " ")) assert_non_null(native_error(at));
        size_t fields = 0;
        for (; operation->fields[fields].name != NULL; fields++) assert_non_null(operation->fields[fields].help);
        assert_true(fields <= NATIVE_FIELDS_MAX);
        for (size_t k = 0; operation->answer[k].name != NULL; k++) assert_non_null(operation->answer[k].help);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_wrong_is_named),
        TEST(browsers_and_other_methods_are_refused),
        TEST(locks_are_taken_and_given_back),
        TEST(several_are_taken_in_one_step_or_none),
        TEST(waits_end_by_events),
        TEST(who_closes_waits_no_longer),
        TEST(who_closed_before_the_answer_keeps_nothing),
        TEST(granted_while_the_cancellation_is_on_its_way),
        TEST(one_place_in_line_for_two_connections),
        TEST(cancelled_by_its_ticket),
        TEST(cancelled_at_another_node),
        TEST(holders_are_told_of_their_loss),
        TEST(circles_are_refused),
        TEST(sessions_are_bound_to_no_connection),
        TEST(strangers_get_no_session),
        TEST(expiry_answers_who_waits_and_frees_the_lock),
        TEST(attached_elsewhere),
        TEST(what_says_that_it_lives_is_held_back),
        TEST(another_state_makes_it_unknown),
        TEST(without_a_leader_it_is_not_applied),
        cmocka_unit_test(the_table_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
