// Several native commands of one connection under way: what begins when, the order of answers, the bounds. And bodies
// that are read in place against those that the library reads.
#include "model/lock/lock.h"
#include "test/unit/http_native_kit.h"

static void put(struct writer *w, const char *operation, const char *headers, const char *body) {
    char head[512];
    snprintf(head, sizeof head, "POST /v1/%s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n", operation,
             headers, strlen(body));
    write_span(w, bytes_of_text(head));
    write_span(w, bytes_of_text(body));
}

static void put_acquire(struct writer *w, const char *name, const char *owner, unsigned wait_ms) {
    char body[256];
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"owner\":\"%s\",\"ttl_ms\":60000,\"wait_ms\":%u}", name, owner,
             wait_ms);
    put(w, "lock/acquire", "", body);
}

static void send_all(struct client *client, struct writer *w) {
    fake_send(client, w->data, w->len);
    writer_free(w);
}

// The next answer of several; what is behind it stays.
static int next_status(struct room *room, struct client *client) {
    struct writer *out = &client->output;
    write_u8(out, 0);
    out->len--;
    const char *text = (const char *)out->data, *body = strstr(text, "\r\n\r\n");
    if (out->len == 0 || body == NULL) return 0;
    size_t len = strtoul(strstr(text, "Content-Length: ") + 16, NULL, 10);
    json_decref(room->seen);
    room->seen = json_loadb(body + 4, len, 0, NULL);
    assert_non_null(room->seen);
    int status = atoi(text + 9);
    writer_consume(out, (size_t)(body + 4 - text) + len);
    return status;
}

static unsigned waiting(struct room *room, const char *name) {
    ask(room, room->two, "lock/show", "{\"name\": \"%s\", \"limit\": 1}", name);
    expect(room, room->two, 200, NULL);
    return (unsigned)number(room, "waiters");
}

static json_int_t hold(struct room *room, const char *name) { // by the other connection
    ask(room, room->two, "lock/acquire", "{\"name\": \"%s\", \"owner\": \"holder\", \"ttl_ms\": 60000}", name);
    expect(room, room->two, 200, NULL);
    return number(room, "token");
}

static void release(struct room *room, const char *name, json_int_t token) {
    ask(room, room->two, "lock/release", "{\"name\": \"%s\", \"owner\": \"holder\", \"token\": %lld}", name,
        (long long)token);
    expect(room, room->two, 200, NULL);
}

static void commands_of_one_piece_are_under_way_together(void **state) {
    struct room *room = *state;
    struct writer w;
    writer_init(&w);
    put_acquire(&w, "a", "x", 0);
    put_acquire(&w, "a", "y", 0);
    put(&w, "lock/acquire", "", "{\"name\": 5}");
    put_acquire(&w, "b", "x", 0);
    send_all(room->one, &w);
    assert_int_equal(room->fake->commands, 3);
    assert_int_equal(room->one->output.len, 0); // the refusal stands behind two commands
    fake_step(room->fake);
    assert_int_equal(next_status(room, room->one), 200);
    assert_int_equal(next_status(room, room->one), 409);
    assert_int_equal(next_status(room, room->one), 400);
    assert_int_equal(next_status(room, room->one), 200);
    assert_int_equal(next_status(room, room->one), 0);
}

static void an_answer_waits_for_those_before_it(void **state) {
    struct room *room = *state;
    struct writer w;
    json_int_t token = hold(room, "a");
    writer_init(&w);
    put_acquire(&w, "a", "x", 60000);
    put_acquire(&w, "b", "x", 0);
    put(&w, "lock/show", "", "{\"name\": \"b\"}"); // a read begins when all before it are answered
    put_acquire(&w, "c", "x", 0);                  // and is answered before the next
    send_all(room->one, &w);
    fake_step(room->fake);
    assert_int_equal(room->one->output.len, 0);
    assert_true(room->one->paused);
    release(room, "a", token);
    fake_step(room->fake);
    assert_int_equal(next_status(room, room->one), 200);
    assert_true(number(room, "token") > token);
    assert_int_equal(next_status(room, room->one), 200);
    assert_int_equal(next_status(room, room->one), 200);
    assert_int_equal(number(room, "holders"), 1);
    assert_int_equal(next_status(room, room->one), 200);
    assert_int_equal(next_status(room, room->one), 0);
    assert_false(room->one->paused);
}

static void who_closes_waits_no_longer_for_any(void **state) {
    struct room *room = *state;
    struct writer w;
    json_int_t token = hold(room, "a");
    writer_init(&w);
    put_acquire(&w, "a", "x", 60000);
    put_acquire(&w, "a", "\xc3\xbc", 60000); // the library reads it
    put_acquire(&w, "b", "x", 0);
    send_all(room->one, &w);
    fake_step(room->fake);
    assert_int_equal(waiting(room, "a"), 2);
    fake_disconnect(room->one);
    fake_step(room->fake);
    assert_int_equal(waiting(room, "a"), 0);
    release(room, "a", token);
    ask(room, room->two, "lock/show", "{\"name\": \"a\"}");
    expect(room, room->two, 200, NULL);
    assert_int_equal(number(room, "holders"), 0);
}

static void no_more_than_so_many_are_under_way(void **state) {
    struct room *room = *state;
    struct writer w;
    json_int_t token = hold(room, "a");
    uint64_t before = room->fake->commands;
    writer_init(&w);
    for (unsigned i = 0; i < HTTP_UNDER_WAY_MAX + 10; i++) {
        char owner[16];
        snprintf(owner, sizeof owner, "%u", i);
        put_acquire(&w, "a", owner, 60000);
    }
    send_all(room->one, &w);
    fake_step(room->fake);
    assert_int_equal(room->fake->commands - before, HTTP_UNDER_WAY_MAX);
    assert_true(room->one->paused);
    release(room, "a", token);
    for (unsigned i = 0; i <= HTTP_UNDER_WAY_MAX / 2; i++) { // those that are granted give back, over the other one
        char body[256];
        assert_int_equal(next_status(room, room->one), 200);
        snprintf(body, sizeof body, "{\"name\": \"a\", \"owner\": \"%u\", \"token\": %lld}", i,
                 (long long)number(room, "token"));
        ask(room, room->two, "lock/release", "%s", body);
        expect(room, room->two, 200, NULL);
        fake_step(room->fake);
    }
    assert_false(room->one->paused);
    assert_int_equal(waiting(room, "a"), HTTP_UNDER_WAY_MAX + 10 - HTTP_UNDER_WAY_MAX / 2 - 2);
}

static void put_acquires(struct room *room, struct client *client, const char *name, const char *who, unsigned count) {
    struct writer w;
    writer_init(&w);
    for (unsigned i = 0; i < count; i++) {
        char owner[32];
        snprintf(owner, sizeof owner, "%s-%u", who, i);
        put_acquire(&w, name, owner, 60000);
    }
    send_all(client, &w);
}

// Many that ask at once take no more memory than those that can be served at once; and all of them are served.
static void pipelines_are_short_in_a_crowd(void **state) {
    struct room *room = *state;
    hold(room, "a");
    room->settings.commands_max = 100;
    uint64_t before = room->fake->commands;
    struct client *late = fake_connect(room->fake, "127.0.0.1:3");
    put_acquires(room, room->one, "a", "one", 300);
    assert_int_equal(room->fake->commands - before, 100);
    assert_true(room->one->paused);
    put_acquires(room, late, "a", "late", 300);
    assert_int_equal(room->fake->commands - before, 100 + HTTP_UNDER_WAY_CROWD);
    ask(room, room->two, "lock/acquire", "{\"name\": \"b\", \"owner\": \"x\", \"ttl_ms\": 60000}");
    assert_int_equal(room->fake->commands - before, 101 + HTTP_UNDER_WAY_CROWD); // not in line behind the others
    for (unsigned i = 0; i < 20 && room->fake->commands - before < 601; i++) fake_step(room->fake);
    assert_int_equal(room->fake->commands - before, 601);
    assert_true(take(room, room->two));
    assert_int_equal(waiting(room, "a"), 600);
    assert_false(room->one->paused);
    assert_false(late->paused);
    fake_disconnect(late);
    fake_disconnect(room->one);
    for (unsigned i = 0; i < 20; i++) fake_step(room->fake);
    assert_int_equal(waiting(room, "a"), 0);
}

// Commands reach the log in the order of their connection.
static void others_wait_until_a_session_is_taken_up(void **state) {
    struct room *room = *state;
    struct writer w;
    char body[256];
    make_session(room);
    fake_move_session(room->fake, session_number(room));
    fake_step(room->fake);
    uint64_t before = room->fake->commands;
    snprintf(body, sizeof body, "{\"name\":\"a\",\"session\":\"%s\"}", room->session);
    writer_init(&w);
    put(&w, "lock/acquire", "", body);
    put_acquire(&w, "a", "x", 0);
    send_all(room->one, &w);
    assert_int_equal(room->fake->commands, before);
    fake_step(room->fake);
    assert_int_equal(next_status(room, room->one), 200);
    assert_int_equal(next_status(room, room->one), 409);
}

static void nothing_begins_behind_the_last(void **state) {
    struct room *room = *state;
    struct writer w;
    writer_init(&w);
    put_acquire(&w, "a", "x", 0);
    put(&w, "lock/acquire", "Connection: close\r\n", "{\"name\":\"b\",\"owner\":\"x\",\"ttl_ms\":60000}");
    put_acquire(&w, "c", "x", 0);
    send_all(room->one, &w);
    fake_step(room->fake);
    assert_int_equal(room->fake->commands, 2);
    assert_int_equal(next_status(room, room->one), 200);
    assert_int_equal(next_status(room, room->one), 200);
    assert_int_equal(next_status(room, room->one), 0);
    assert_true(room->one->closed);
}

static void answers_that_are_held_are_bounded(void **state) {
    struct room *room = *state;
    struct writer w;
    char *body = mem_alloc(61000);
    hold(room, "a");
    ask(room, room->two, "idempotency/begin", "{\"key\": \"k\"}");
    expect(room, room->two, 200, NULL);
    int len = snprintf(body, 61000, "{\"key\": \"k\", \"token\": %lld, \"body\": \"", (long long)number(room, "token"));
    memset(body + len, 'v', 60000);
    memcpy(body + len + 60000, "\"}", 3);
    writer_init(&w);
    put(&w, "idempotency/complete", "", body);
    send_all(room->two, &w);
    expect(room, room->two, 200, NULL);
    writer_init(&w);
    put_acquire(&w, "a", "x", 60000);
    for (unsigned i = 0; i < HTTP_HELD_BYTES_MAX / 60000 + 1; i++) put(&w, "idempotency/begin", "", "{\"key\": \"k\"}");
    send_all(room->one, &w);
    fake_step(room->fake);
    assert_true(room->one->closed);
    fake_step(room->fake);
    assert_int_equal(waiting(room, "a"), 0);
    mem_free(body);
}

// The same however it is written: each asks for one more hold of the same owner.
static void bodies_mean_the_same_by_either_reader(void **state) {
    struct room *room = *state;
    static const char *const same[] = {
        "{\"name\":\"a\",\"owner\":\"x\",\"ttl_ms\":5000}",
        " { \"ttl_ms\" :5000 ,\t\"owner\"\r\n: \"x\" , \"name\" : \"a\" } ",
        "{\"name\":\"\\u0061\",\"owner\":\"x\",\"ttl_ms\":5000}",
        "{\"n\\u0061me\":\"a\",\"owner\":\"x\",\"ttl_ms\":5000,\"wait_ms\":0,\"mode\":\"exclusive\"}",
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        ask(room, room->one, "lock/acquire", "%s", same[i]);
        expect(room, room->one, 200, NULL);
        assert_int_equal(number(room, "holds"), i + 1);
    }
    static const char *const none[] = {"{\"name\":\"a\",\"owner\":\"x\",\"ttl_ms\":05}",
                                       "{\"name\":\"a\",\"owner\":\"x\",\"ttl_ms\":5e3}",
                                       "{\"name\":\"a\",\"owner\":\"x\",\"ttl_ms\":5000.0}",
                                       "{\"name\":\"a\",\"owner\":\"x\",\"ttl_ms\":5000}}",
                                       "{\"name\":\"a\",\"owner\":\"x\",\"ttl_ms\":5000,}",
                                       "{\"name\":\"a\",\"owner\":\"x\" \"ttl_ms\":5000}",
                                       "{\"name\":\"a\",\"owner\":\"x\",\"ttl_ms\":5000 7}",
                                       "{\"name\":\"a\",\"owner\":\"\x01\",\"ttl_ms\":5000}",
                                       "{\"name\":\"a\",\"owner\":\"\xff\",\"ttl_ms\":5000}",
                                       "{\"name\":\"a\",\"owner\":\"x\",\"ttl_ms\":5000,\"owner\":\"x\"}",
                                       "{\"name\":\"a\",\"owner\":\"x\",\"ttl_ms\":99999999999999999999}"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        ask(room, room->one, "lock/acquire", "%s", none[i]);
        expect(room, room->one, 400, "bad-request");
    }
    static const char zero[] = "{\"name\":\"a\",\"owner\":\"x\",\"ttl_ms\":5000}\0 ";
    char request[256];
    int len = snprintf(request, sizeof request,
                       "POST /v1/lock/acquire HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", sizeof zero - 1);
    memcpy(request + len, zero, sizeof zero - 1);
    fake_send(room->one, request, (size_t)len + sizeof zero - 1);
    expect(room, room->one, 400, "bad-request");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(commands_of_one_piece_are_under_way_together),
        TEST(an_answer_waits_for_those_before_it),
        TEST(who_closes_waits_no_longer_for_any),
        TEST(no_more_than_so_many_are_under_way),
        TEST(pipelines_are_short_in_a_crowd),
        TEST(others_wait_until_a_session_is_taken_up),
        TEST(nothing_begins_behind_the_last),
        TEST(answers_that_are_held_are_bounded),
        TEST(bodies_mean_the_same_by_either_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
