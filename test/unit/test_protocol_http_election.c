// Elections, barriers, latches and the administration of sessions over HTTP, against a node that is made up
// (fake_service).
#include "test/unit/http_native_kit.h"

static bool truth(struct room *room, const char *key) {
    assert_true(json_is_boolean(json_object_get(room->seen, key)));
    return json_is_true(json_object_get(room->seen, key));
}
static const char *text(struct room *room, const char *key) {
    assert_true(json_is_string(json_object_get(room->seen, key)));
    return json_string_value(json_object_get(room->seen, key));
}
static void campaign(struct room *room, struct client *client, const char *candidate, const char *more) {
    ask(room, client, "election/campaign", "{\"name\": \"e\", \"session\": \"%s\", \"candidate\": \"%s\"%s}",
        room->session, candidate, more);
}
static void leader(struct room *room, struct client *client) {
    ask(room, client, "election/leader", "{\"name\": \"e\"}");
    expect(room, client, 200, NULL);
}

static void one_leads_and_the_next_follows(void **state) {
    struct room *room = *state;
    make_session(room);
    leader(room, room->one);
    assert_false(truth(room, "elected"));
    assert_int_equal(number(room, "version"), 0);
    campaign(room, room->one, "a", ", \"value\": \"host-a\"");
    expect(room, room->one, 200, NULL);
    json_int_t token = number(room, "token");
    assert_int_equal(number(room, "version"), token);
    campaign(room, room->one, "b", "");
    expect(room, room->one, 409, "busy");
    assert_string_equal(text(room, "holder"), "a");
    campaign(room, room->two, "b", ", \"value\": \"host-b\", \"wait_ms\": 60000");
    fake_step(room->fake);
    assert_false(take(room, room->two));
    ask(room, room->one, "election/candidates", "{\"name\": \"e\"}");
    expect(room, room->one, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "candidates")), 2);
    ask(room, room->one, "election/list", "{}");
    expect(room, room->one, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "elections")), 1);
    ask(room, room->one, "lock/verify", "{\"name\": \"e\", \"token\": %lld}", token);
    expect(room, room->one, 200, NULL);
    assert_true(truth(room, "valid"));
    ask(room, room->one, "lock/show", "{\"name\": \"e\"}");
    expect(room, room->one, 200, NULL);
    assert_string_equal(text(room, "mode"), "election");
    ask(room, room->one, "election/resign",
        "{\"name\": \"e\", \"session\": \"%s\", \"candidate\": \"a\", \"token\": %lld}", room->session, token);
    expect(room, room->one, 200, NULL);
    assert_true(take(room, room->two));
    assert_true(number(room, "token") > token);
    ask(room, room->one, "lock/verify", "{\"name\": \"e\", \"token\": %lld}", token);
    expect(room, room->one, 200, NULL);
    assert_false(truth(room, "valid"));
    leader(room, room->one);
    assert_string_equal(text(room, "value"), "host-b");
    assert_int_equal(number(room, "session"), session_number(room));
}

static void observe(struct room *room, struct client *client, json_int_t version) {
    ask(room, client, "election/observe", "{\"name\": \"e\", \"version\": %lld, \"wait_ms\": 5000}", version);
    fake_step(room->fake);
}

static void observers_are_told_of_every_change(void **state) {
    struct room *room = *state;
    make_session(room);
    observe(room, room->two, 0);
    assert_false(take(room, room->two));
    campaign(room, room->one, "a", ", \"value\": \"1\"");
    expect(room, room->one, 200, NULL);
    json_int_t token = number(room, "token");
    assert_true(take(room, room->two));
    assert_true(truth(room, "elected"));
    assert_int_equal(number(room, "version"), token);
    assert_string_equal(text(room, "value"), "1");
    observe(room, room->two, token);
    assert_false(take(room, room->two));
    ask(room, room->one, "election/proclaim",
        "{\"name\": \"e\", \"session\": \"%s\", \"candidate\": \"a\", \"token\": %lld, \"value\": \"2\"}",
        room->session, token);
    expect(room, room->one, 200, NULL);
    json_int_t version = number(room, "version");
    assert_true(version > token);
    assert_true(take(room, room->two));
    assert_string_equal(text(room, "value"), "2");
    assert_int_equal(number(room, "version"), version);
    assert_int_equal(number(room, "token"), token);
    observe(room, room->two, token); // an old one: at once
    assert_true(take(room, room->two));
    observe(room, room->two, version);
    fake_expire(room->fake, session_number(room)); // dies with its session
    assert_true(take(room, room->two));
    assert_false(truth(room, "elected"));
    assert_int_equal(number(room, "version"), 0);
    observe(room, room->two, 0);
    fake_tick(room->fake, 4999);
    fake_step(room->fake);
    assert_false(take(room, room->two));
    fake_tick(room->fake, 1);
    fake_step(room->fake);
    assert_true(take(room, room->two)); // the time is over
    assert_int_equal(number(room, "version"), 0);
    ask(room, room->two, "election/observe", "{\"name\": \"e\"}");
    expect(room, room->two, 200, NULL);
}

static void candidate_that_has_gone_does_not_lead(void **state) {
    struct room *room = *state;
    make_session(room);
    campaign(room, room->one, "a", "");
    expect(room, room->one, 200, NULL);
    json_int_t token = number(room, "token");
    campaign(room, room->two, "b", ", \"wait_ms\": 60000");
    fake_step(room->fake);
    fake_disconnect(room->two);
    fake_step(room->fake);
    ask(room, room->one, "election/resign",
        "{\"name\": \"e\", \"session\": \"%s\", \"candidate\": \"a\", \"token\": %lld}", room->session, token);
    expect(room, room->one, 200, NULL);
    leader(room, room->one);
    assert_false(truth(room, "elected"));
    struct client *third = fake_connect(room->fake, "127.0.0.1:3");
    campaign(room, third, "c", ""); // elected, and nobody is told
    fake_disconnect(third);
    fake_step(room->fake);
    leader(room, room->one);
    assert_false(truth(room, "elected"));
}

static void barrier(struct room *room, struct client *client, const char *operation, const char *member,
                    const char *more) {
    char path[64];
    snprintf(path, sizeof path, "barrier/%s", operation);
    ask(room, client, path, "{\"name\": \"b\", \"session\": \"%s\", \"member\": \"%s\"%s}", room->session, member,
        more);
}

static void members_begin_and_end_together(void **state) {
    struct room *room = *state;
    char more[64];
    make_session(room);
    barrier(room, room->one, "enter", "1", ", \"members\": 2");
    expect(room, room->one, 409, "busy");
    barrier(room, room->one, "enter", "1", ", \"members\": 2, \"wait_ms\": 60000");
    fake_step(room->fake);
    assert_false(take(room, room->one));
    barrier(room, room->two, "enter", "2", ", \"members\": 3, \"wait_ms\": 60000");
    expect(room, room->two, 409, "kind");
    barrier(room, room->two, "enter", "2", ", \"members\": 2, \"wait_ms\": 60000");
    expect(room, room->two, 200, NULL);
    json_int_t round = number(room, "round");
    assert_true(take(room, room->one));
    assert_int_equal(number(room, "round"), round);
    snprintf(more, sizeof more, ", \"round\": %lld, \"wait_ms\": 60000", round);
    barrier(room, room->one, "leave", "1", more);
    fake_step(room->fake);
    assert_false(take(room, room->one));
    ask(room, room->two, "barrier/show", "{\"name\": \"b\"}");
    expect(room, room->two, 200, NULL);
    assert_int_equal(number(room, "inside"), 1);
    assert_int_equal(number(room, "leaving"), 1);
    barrier(room, room->two, "leave", "2", more);
    expect(room, room->two, 200, NULL);
    assert_true(truth(room, "over"));
    assert_true(take(room, room->one));
    assert_true(truth(room, "over"));
    ask(room, room->two, "barrier/show", "{\"name\": \"b\"}");
    expect(room, room->two, 404, "not-found");
}

static void who_has_gone_is_in_line_no_longer(void **state) {
    struct room *room = *state;
    make_session(room);
    barrier(room, room->two, "enter", "2", ", \"members\": 2, \"wait_ms\": 60000");
    fake_step(room->fake);
    fake_disconnect(room->two);
    fake_step(room->fake);
    barrier(room, room->one, "enter", "1", ", \"members\": 2, \"wait_ms\": 100");
    fake_step(room->fake);
    assert_false(take(room, room->one));
    fake_pass_time(room->fake, 100);
    assert_true(take(room, room->one));
    assert_int_equal(room->status, 409);
    assert_string_equal(text(room, "type"), "/errors/timed-out");
}

static void latch_is_waited_for(void **state) {
    struct room *room = *state;
    ask(room, room->one, "latch/wait", "{\"name\": \"l\"}");
    expect(room, room->one, 404, "not-found");
    ask(room, room->one, "latch/set", "{\"name\": \"l\", \"count\": 3}");
    expect(room, room->one, 200, NULL);
    ask(room, room->two, "latch/wait", "{\"name\": \"l\"}");
    fake_step(room->fake);
    for (int i = 0; i < 2; i++) { // a retry counts once
        ask(room, room->one, "latch/count_down", "{\"name\": \"l\", \"by\": 2, \"request_id\": \"r\"}");
        expect(room, room->one, 200, NULL);
        assert_int_equal(number(room, "count"), 1);
    }
    ask(room, room->one, "latch/count_down", "{\"name\": \"l\", \"request_id\": \"r\"}");
    expect(room, room->one, 422, "mismatch");
    assert_false(take(room, room->two));
    ask(room, room->one, "latch/count_down", "{\"name\": \"l\"}");
    expect(room, room->one, 200, NULL);
    assert_true(take(room, room->two));
    assert_int_equal(number(room, "count"), 0);
    ask(room, room->one, "latch/set", "{\"name\": \"l\", \"count\": 1, \"ttl_ms\": 50}");
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "latch/list", "{}");
    expect(room, room->one, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "latches")), 1);
    ask(room, room->two, "latch/wait", "{\"name\": \"l\"}");
    fake_step(room->fake);
    fake_pass_time(room->fake, 50);
    assert_true(take(room, room->two));
    assert_int_equal(room->status, 404);
}

static void operators_see_and_end_sessions(void **state) {
    struct room *room = *state;
    make_session(room);
    campaign(room, room->one, "a", "");
    expect(room, room->one, 200, NULL);
    barrier(room, room->two, "enter", "m", ", \"members\": 2, \"wait_ms\": 60000");
    fake_step(room->fake);
    unsigned long long session = session_number(room);
    ask(room, room->one, "session/list", "{}");
    expect(room, room->one, 200, NULL);
    const json_t *one = json_array_get(json_object_get(room->seen, "sessions"), 0);
    assert_int_equal(json_integer_value(json_object_get(one, "number")), session);
    ask(room, room->one, "session/list", "{\"after\": %llu}", session);
    expect(room, room->one, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "sessions")), 0);
    ask(room, room->one, "session/show", "{\"number\": %llu}", session);
    expect(room, room->one, 200, NULL);
    const json_t *holds = json_object_get(room->seen, "holds");
    assert_int_equal(json_array_size(holds), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(holds, 0), "what")), "election");
    assert_string_equal(json_string_value(json_object_get(json_array_get(holds, 1), "state")), "waits");
    struct client *far = fake_connect(room->fake, "192.0.2.1:1");
    ask(room, far, "session/end", "{\"number\": %llu}", session);
    expect(room, far, 403, "forbidden");
    ask(room, room->one, "session/end", "{\"number\": %llu}", session);
    expect(room, room->one, 200, NULL);
    assert_true(take(room, room->two)); // it waited
    assert_string_equal(text(room, "type"), "/errors/session-expired");
    leader(room, room->one);
    assert_false(truth(room, "elected"));
    ask(room, room->one, "session/show", "{\"number\": %llu}", session);
    expect(room, room->one, 404, "not-found");
    ask(room, room->one, "session/end", "{\"number\": %llu}", session);
    expect(room, room->one, 410, "session-expired");
}

// One of what session/show told: "what name owner state token?".
static const char *held_at(struct room *room, size_t at) {
    static char text[200];
    const json_t *one = json_array_get(json_object_get(room->seen, "holds"), at);
    const char *owner = json_string_value(json_object_get(one, "owner"));
    snprintf(text, sizeof text, "%s %s %s %s %d", json_string_value(json_object_get(one, "what")),
             json_string_value(json_object_get(one, "name")), owner != NULL ? owner : "-",
             json_string_value(json_object_get(one, "state")), json_object_get(one, "token") != NULL);
    return text;
}

static void session_shows_deliveries_permits_and_runs(void **state) {
    struct room *room = *state;
    make_session(room);
    char own[100];
    snprintf(own, sizeof own, "\"session\": \"%s\"", room->session);
    ask(room, room->one, "queue/push", "{\"name\": \"q\", \"key\": \"k\"}");
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "queue/claim", "{\"name\": \"q\", %s}", own);
    expect(room, room->one, 200, NULL);
    ask(room, room->two, "queue/claim", "{\"name\": \"r\", \"wait_ms\": 60000, %s}", own);
    fake_step(room->fake);
    ask(room, room->one, "limiter/take", "{\"name\": \"l\", \"algorithm\": \"concurrency\", \"rate\": 2, %s}", own);
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "idempotency/begin", "{\"key\": \"pay\", \"owner\": \"o\", %s}", own);
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "session/show", "{\"number\": %llu}", (unsigned long long)session_number(room));
    expect(room, room->one, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "holds")), 4);
    assert_string_equal(held_at(room, 0), "claim r - waits 0");
    assert_string_equal(held_at(room, 1), "delivery q k holds 1");
    assert_string_equal(held_at(room, 2), "permit l - holds 1");
    assert_string_equal(held_at(room, 3), "run pay o holds 1");
    assert_false(truth(room, "more"));
    ask(room, room->one, "session/show", "{\"number\": %llu, \"limit\": 3}", (unsigned long long)session_number(room));
    expect(room, room->one, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "holds")), 3);
    assert_true(truth(room, "more"));
    unsigned long long first = session_number(room);
    make_session(room); // another one has none of it
    ask(room, room->one, "session/show", "{\"number\": %llu}", (unsigned long long)session_number(room));
    expect(room, room->one, 200, NULL);
    assert_int_equal(json_array_size(json_object_get(room->seen, "holds")), 0);
    assert_true(first < session_number(room));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(one_leads_and_the_next_follows),        TEST(observers_are_told_of_every_change),
        TEST(candidate_that_has_gone_does_not_lead), TEST(members_begin_and_end_together),
        TEST(who_has_gone_is_in_line_no_longer),     TEST(latch_is_waited_for),
        TEST(operators_see_and_end_sessions),        TEST(session_shows_deliveries_permits_and_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
