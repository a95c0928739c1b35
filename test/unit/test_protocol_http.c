// protocol/http: bytes in, bytes out, against a node that is made up here: limits, order, time-outs, who may
// administer, metrics, backups.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/prng.h"
#include "io/io.h"
#include "protocol/http/http.h"

// ---- the made-up node: one client at a time, its calls noted
struct client {
    struct writer in, out;
    void *connection;
    bool paused, closing, closed;
    const char *remote;
    size_t pending; // bytes that a slow reader leaves waiting
};
struct service {
    uint64_t now_ms;
};
struct node {
    bool ready, diverged, formed;
    uint32_t leader;
    // the last administration
    enum core_admin what;
    uint32_t member;
    char address[256];
    void (*admin_done)(void *context, int error, const char *text);
    void (*snapshot_done)(void *context, int error, uint64_t index);
    void *context;
    size_t calls;
};
static struct service service;
static struct node node;
static struct client client;
static void *instance;

void client_write(struct client *c, const void *data, size_t len) {
    write_span(&c->out, bytes_of(data, len));
}
void client_close(struct client *c, bool flush) {
    c->closing = true;
}
void client_pause(struct client *c) {
    c->paused = true;
}
void client_resume(struct client *c) {
    c->paused = false;
}
size_t client_output_pending(const struct client *c) {
    return c->pending;
}
void client_info(const struct client *c, struct io_conn_info *info) {
    *info = (struct io_conn_info){0};
    snprintf(info->remote, sizeof info->remote, "%s", c->remote);
}
uint64_t service_now_ms(struct service *s) {
    return s->now_ms;
}
struct log *service_log(struct service *s) {
    return NULL;
}
void service_status(struct service *s, struct service_status *status) {
    *status = (struct service_status){.id = 1, .data_folder = "/data", .uptime_ms = 5000, .journal_bytes = 77};
}
bool node_ready(struct node *n) {
    return n->ready;
}
void node_get_view(struct node *n, struct node_view *view) {
    static struct node_member members[2];
    *view = (struct node_view){.applied = n->formed ? 40 : 0, .members = members, .member_count = n->formed ? 2 : 0};
    view->status = (struct core_status){
        .role = RAFT_LEADER, .leader = n->leader, .term = 3, .commit = 41, .last_index = 50, .diverged = n->diverged};
    view->digest = (struct digest){.lo = 1, .hi = 2};
    for (uint32_t i = 0; i < 2; i++) {
        members[i] = (struct node_member){.member = {.id = i + 1, .role = MEMBER_VOTER},
                                          .self = i == 0,
                                          .leader = i == 0,
                                          .match = 50 - 8 * i,
                                          .connected = true};
        snprintf(members[i].member.address[ADVERTISED_HTTP], ADDRESS_TEXT_MAX, "localhost:%u", 7450 + i);
    }
}
void node_get_metrics(struct node *n, struct node_metrics *m) {
    memset(m, 0, sizeof *m);
    m->commands = 12;
    m->sessions = 3;
    for (uint64_t us = 40; us < 4000000; us *= 3) histogram_add(&m->fsync_us, us);
}
void node_admin(struct node *n, enum core_admin what, uint32_t member, const char *address,
                void (*done)(void *context, int error, const char *text), void *context) {
    n->what = what;
    n->member = member;
    snprintf(n->address, sizeof n->address, "%s", address != NULL ? address : "");
    n->admin_done = done;
    n->context = context;
    n->calls++;
}
void node_snapshot(struct node *n, void (*done)(void *context, int error, uint64_t index), void *context) {
    n->snapshot_done = done;
    n->context = context;
    n->calls++;
}

// Native operations have tests of their own (test_protocol_http_native.c): nothing here comes to them.
struct client *service_client_open(struct service *s, const struct protocol *protocol, void *connection) {
    return NULL;
}
uint64_t client_submit(struct client *c, struct bytes command) {
    UNREACHABLE();
}
uint64_t client_attach(struct client *c, uint64_t session, const uint8_t password[LEASE_PASSWORD_BYTES],
                       uint32_t timeout_ms, uint8_t kind) {
    UNREACHABLE();
}
uint64_t client_read_index(struct client *c) {
    UNREACHABLE();
}
uint64_t client_attach_number(const struct client *c) {
    UNREACHABLE();
}
uint64_t client_acked_ms(const struct client *c) {
    UNREACHABLE();
}
bool client_may_tell(const struct client *c) {
    UNREACHABLE();
}
void client_touch(struct client *c) {
    UNREACHABLE();
}
void client_output_ready(struct client *c) {
    UNREACHABLE();
}
const struct lease *service_lease(struct service *s, uint64_t session) {
    UNREACHABLE();
}
void service_leases(struct service *s, void (*visit)(void *context, const struct lease *lease), void *context) {
    UNREACHABLE();
}
const struct lease *service_lease_next(struct service *s, uint64_t session) {
    UNREACHABLE();
}
uint64_t service_count(struct service *s, uint8_t model) {
    UNREACHABLE();
}
uint64_t service_count_of_session(struct service *s, uint64_t session) {
    UNREACHABLE();
}
struct digest service_digest(struct service *s, uint8_t model) {
    return (struct digest){.lo = model, .hi = 1};
}
uint64_t service_applied(struct service *s) {
    return 40;
}
void service_query(struct service *s, uint8_t model, const void *query, struct result *result) {
    UNREACHABLE();
}
void service_random(struct service *s, void *out, size_t len) {
    UNREACHABLE();
}

// ---- a made-up snapshot file
struct file {
    uint64_t left;
    bool broken, open;
};
static struct file file;
static void *open_file(void *context, uint64_t index, uint64_t *bytes, char name[64]) {
    if (index != 40) return NULL;
    *bytes = file.left;
    snprintf(name, 64, "40.snap");
    file.open = true;
    return &file;
}
static int64_t read_file(void *backup, void *data, size_t len) {
    if (file.broken) return -EIO;
    if (len > file.left) len = (size_t)file.left;
    memset(data, 'x', len);
    file.left -= len;
    return (int64_t)len;
}
static void close_file(void *backup) {
    file.open = false;
}

static struct http_settings settings;

static int setup(void **state) {
    node = (struct node){.ready = true, .formed = true, .leader = 1};
    service.now_ms = 1000;
    file = (struct file){0};
    settings = (struct http_settings){
        .node = &node, .backup_open = open_file, .backup_read = read_file, .backup_close = close_file};
    instance = http_protocol.start(&service, &settings);
    client = (struct client){.remote = "127.0.0.1:5000"};
    client.connection = http_protocol.open(instance, &client);
    return 0;
}

static void gone(void) {
    if (client.closed) return;
    client.closed = true;
    http_protocol.close(client.connection);
}

static int teardown(void **state) {
    gone();
    http_protocol.stop(instance);
    writer_free(&client.in);
    writer_free(&client.out);
    return 0;
}

// As node/client.c does it: what is not taken comes again with more, or when the client is resumed.
static void feed(const void *data, size_t len) {
    write_span(&client.in, bytes_of(data, len));
    while (!client.paused && !client.closing && client.in.len > 0) {
        size_t used = http_protocol.input(client.connection, client.in.data, client.in.len);
        assert_true(used <= client.in.len);
        writer_consume(&client.in, used);
        if (used == 0) break;
    }
}
static void send_text(const char *text) {
    feed(text, strlen(text));
}
static void tick(uint64_t ms) {
    service.now_ms += ms;
    http_protocol.tick(instance, service.now_ms);
    feed(NULL, 0);
}

static const char *answer(void) {
    writer_reserve(&client.out, 1);
    client.out.data[client.out.len] = 0;
    return (const char *)client.out.data;
}
static int status(void) {
    return strncmp(answer(), "HTTP/1.1 ", 9) == 0 ? atoi(answer() + 9) : -1;
}
static const char *body(void) {
    const char *end = strstr(answer(), "\r\n\r\n");
    return end != NULL ? end + 4 : "";
}
static void expect(const char *request, int wanted) {
    writer_clear(&client.out);
    send_text(request);
    if (status() != wanted) fail_msg("%d instead of %d for %s", status(), wanted, request);
}
#define LOCAL "Host: localhost:7450\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" LOCAL "\r\n"

static void pages_are_answered(void **state) {
    expect(GET("/healthz"), 200);
    assert_string_equal(body(), "ok\n");
    expect(GET("/"), 200);
    assert_non_null(strstr(body(), "/v1/cluster"));
    expect(GET("/?query#x"), 200);
    expect(GET("/readyz"), 200);
    expect(GET("/nothing"), 404);
    assert_non_null(strstr(body(), "\"error\""));
    expect(GET("/healthz/"), 404);
    expect("POST /healthz HTTP/1.1\r\n" LOCAL "Content-Length: 0\r\n\r\n", 405);
    expect("PATCH /v1/members HTTP/1.1\r\n" LOCAL "Content-Length: 0\r\n\r\n", 405);
    assert_false(client.closing);
}

static void readyz_says_why_not(void **state) {
    node.ready = false;
    node.leader = 0;
    expect(GET("/readyz"), 503);
    assert_non_null(strstr(body(), "there is no leader"));
    node.leader = 2;
    expect(GET("/readyz"), 503);
    assert_non_null(strstr(body(), "catching up"));
    node.diverged = true;
    expect(GET("/readyz"), 503);
    assert_non_null(strstr(body(), "differs"));
    node.diverged = node.formed = false;
    expect(GET("/readyz"), 503);
    assert_non_null(strstr(body(), "not formed"));
    expect(GET("/healthz"), 200); // the process answers
}

static void requests_in_one_piece_are_answered_in_order(void **state) {
    send_text(GET("/healthz") GET("/none") "HEAD /readyz HTTP/1.1\r\n" LOCAL "\r\n" GET("/healthz"));
    const char *first = strstr(answer(), "ok\n"), *second = strstr(answer(), "404"),
               *third = strstr(answer(), "Content-Length: 6\r\n"), *last = strstr(second, "ok\n");
    assert_true(first != NULL && second > first && third > second && last > third);
    assert_null(strstr(answer(), "\r\n\r\nready")); // HEAD has no body
}

// Many requests at once are answered a few at each tick, so that the clients of the other listeners are served between.
static void a_flood_of_requests_is_answered_in_portions(void **state) {
    for (unsigned i = 0; i < 3 * HTTP_PIPELINED_MAX; i++) {
        const char *request = GET("/metrics");
        write_span(&client.in, bytes_of(request, strlen(request)));
    }
    size_t answered = 0;
    for (unsigned round = 1; round <= 3; round++) {
        writer_clear(&client.out);
        if (round == 1)
            feed(NULL, 0);
        else
            tick(100);
        for (const char *at = answer(); (at = strstr(at, "HTTP/1.1 200")) != NULL; at++) answered++;
        assert_int_equal(answered, round * HTTP_PIPELINED_MAX);
        assert_int_equal(client.paused, round < 3);
    }
    expect(GET("/healthz"), 200); // one at a time is answered at once
}

static void a_request_may_come_byte_by_byte(void **state) {
    const char *request =
        "POST /v1/members HTTP/1.1\r\n" LOCAL "Content-Length: 31\r\n\r\n{\"id\": 4, \"address\": \"host:71\"}";
    size_t len = strlen(request);
    for (size_t i = 0; i < len - 1; i++) {
        feed(request + i, 1);
        assert_int_equal(node.calls, 0);
    }
    feed(request + len - 1, 1);
    assert_int_equal(node.calls, 1);
    assert_string_equal(node.address, "host:71");
    node.admin_done(node.context, 0, "added");
    assert_int_equal(status(), 200);
}

static void connections_are_kept_or_closed_as_asked(void **state) {
    expect(GET("/healthz"), 200);
    assert_null(strstr(answer(), "Connection: close"));
    assert_false(client.closing);
    expect("GET /healthz HTTP/1.1\r\n" LOCAL "Connection: close\r\n\r\n" GET("/readyz"), 200);
    assert_non_null(strstr(answer(), "Connection: close"));
    assert_true(client.closing);
    assert_null(strstr(answer(), "ready")); // what comes behind is not read
}

static void http_1_0_closes(void **state) {
    expect("GET /healthz HTTP/1.0\r\n\r\n", 200);
    assert_true(client.closing);
}

static void limits(const char *what, size_t repeat, const char *before, const char *after, int wanted) {
    struct writer w;
    writer_init(&w);
    write_span(&w, bytes_of_text(before));
    for (size_t i = 0; i < repeat; i++) write_span(&w, bytes_of_text(what));
    write_span(&w, bytes_of_text(after));
    feed(w.data, w.len);
    writer_free(&w);
    assert_int_equal(status(), wanted);
    assert_true(client.closing);
}
static void long_urls_are_refused(void **state) {
    limits("a", 3000, "GET /", " HTTP/1.1\r\n\r\n", 414);
}
static void long_headers_are_refused(void **state) {
    limits("Name: value-value-value\r\n", 1000, "GET / HTTP/1.1\r\n", "\r\n", 431);
}
static void one_long_header_is_refused(void **state) {
    limits("v", 100000, "GET / HTTP/1.1\r\nName: ", "\r\n\r\n", 431);
}
static void endless_headers_are_refused_before_they_end(void **state) {
    limits("a: b\r\n", 20000, "GET / HTTP/1.1\r\n", "", 431);
}
static void large_bodies_are_refused_by_their_length(void **state) {
    limits("", 0, "POST /v1/members HTTP/1.1\r\n" LOCAL "Content-Length: 262145\r\n\r\n", "", 413);
    assert_int_equal(node.calls, 0);
}
static void large_chunked_bodies_are_refused(void **state) {
    limits("400\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123"
           "456789abcdef0123456789abcdef"
           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789a"
           "bcdef0123456789abcdef"
           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789a"
           "bcdef0123456789abcdef"
           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789a"
           "bcdef0123456789abcdef"
           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789a"
           "bcdef0123456789abcdef"
           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789a"
           "bcdef0123456789abcdef"
           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789a"
           "bcdef0123456789abcdef"
           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789a"
           "bcdef0123456789abcdef\r\n",
           257, "POST /v1/members HTTP/1.1\r\n" LOCAL "Transfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n", 413);
}
static void what_is_not_http_is_refused(void **state) {
    limits("", 0, "stat\n\x01\x02 nonsense\r\n\r\n", "", 400);
}

static void slow_requests_time_out(void **state) {
    send_text("GET /healthz HTTP/1.1\r\n");
    tick(HTTP_REQUEST_MS - 1);
    assert_int_equal(client.out.len, 0);
    tick(1);
    assert_int_equal(status(), 408);
    assert_true(client.closing);
}

static void a_trickle_of_headers_does_not_reset_the_time(void **state) {
    send_text("GET /healthz HTTP/1.1\r\n");
    for (int i = 0; i < 100 && !client.closing; i++) {
        send_text("A: b\r\n");
        tick(HTTP_REQUEST_MS / 50);
    }
    assert_int_equal(status(), 408);
}

static void idle_connections_close(void **state) {
    expect(GET("/healthz"), 200);
    tick(HTTP_IDLE_MS - 1);
    assert_false(client.closing);
    tick(1);
    assert_true(client.closing);
}

static void expect_100_is_answered_once(void **state) {
    send_text("POST /v1/leader/transfer HTTP/1.1\r\n" LOCAL "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    assert_string_equal(answer(), "HTTP/1.1 100 Continue\r\n\r\n");
    send_text("{\"to\"");
    assert_string_equal(answer(), "HTTP/1.1 100 Continue\r\n\r\n");
    send_text(": 3}");
    assert_int_equal(node.calls, 1);
    assert_int_equal(node.member, 3);
    node.admin_done(node.context, 0, "handed over");
}

// ---- administration
static void finish(int error, const char *text) {
    assert_true(client.paused); // nothing behind it is read before it is answered
    node.admin_done(node.context, error, text);
    assert_false(client.paused);
}

#define POST_MEMBER(body, length) "POST /v1/members HTTP/1.1\r\n" LOCAL "Content-Length: " length "\r\n\r\n" body

static void members_are_changed(void **state) {
    send_text(POST_MEMBER("{\"id\": 4, \"address\": \"host:7451\"}", "33"));
    assert_int_equal(node.what, CORE_MEMBER_ADD);
    assert_int_equal(node.member, 4);
    assert_string_equal(node.address, "host:7451");
    finish(0, "added");
    assert_int_equal(status(), 200);
    assert_non_null(strstr(body(), "\"result\": \"added\""));
    writer_clear(&client.out);
    send_text(POST_MEMBER("{\"id\": 4, \"address\": \"host:7451\", \"observer\": true}", "51"));
    assert_int_equal(node.what, CORE_MEMBER_ADD_OBSERVER);
    finish(0, "added");
    writer_clear(&client.out);
    send_text("POST /v1/members/255/promote HTTP/1.1\r\n" LOCAL "\r\n" GET("/healthz"));
    assert_int_equal(node.what, CORE_MEMBER_PROMOTE);
    assert_int_equal(node.member, 255);
    assert_int_equal(client.out.len, 0);
    finish(-EINVAL, "it has not caught up");
    feed(NULL, 0);
    assert_int_equal(status(), 400);
    assert_non_null(strstr(body(), "ok\n")); // the request behind it, after it
    writer_clear(&client.out);
    send_text("DELETE /v1/members/2 HTTP/1.1\r\n" LOCAL "\r\n");
    assert_int_equal(node.what, CORE_MEMBER_REMOVE);
    finish(-ENOENT, "");
    assert_int_equal(status(), 404);
    writer_clear(&client.out);
    send_text("POST /v1/leader/transfer HTTP/1.1\r\n" LOCAL "\r\n");
    assert_int_equal(node.what, CORE_TRANSFER);
    assert_int_equal(node.member, 0);
    finish(COMMAND_NOT_APPLIED, "");
    assert_int_equal(status(), 503);
    writer_clear(&client.out);
    send_text("POST /v1/cluster/form HTTP/1.1\r\n" LOCAL "Content-Length: 14\r\n\r\n{\"without\": 3}");
    assert_int_equal(node.what, CORE_FORM_WITHOUT);
    assert_int_equal(node.member, 3);
    finish(COMMAND_UNKNOWN, NULL);
    assert_int_equal(status(), 504);
    writer_clear(&client.out);
    send_text("POST /v1/time/step HTTP/1.1\r\n" LOCAL "\r\n");
    assert_int_equal(node.what, CORE_TIME_STEP);
    finish(0, "stepped");
    assert_int_equal(status(), 200);
    assert_int_equal(node.calls, 7);
}

static void bad_administration_is_refused(void **state) {
    expect(POST_MEMBER("nonsense", "8"), 400);
    expect(POST_MEMBER("{\"id\": 4, \"address\": \"host:7451\", \"observer\": 1}", "48"), 400);
    expect(POST_MEMBER("[]", "2"), 400);
    expect(POST_MEMBER("{}", "2"), 400);
    expect(POST_MEMBER("{\"id\":0,\"address\":\"h:1\"}", "24"), 400);
    expect(POST_MEMBER("{\"id\":256,\"address\":\"h:1\"}", "26"), 400);
    expect(POST_MEMBER("{\"id\":\"4\",\"address\":\"h:1\"}", "26"), 400);
    expect(POST_MEMBER("{\"id\":4,\"address\":\"h\"}", "22"), 400);
    expect(POST_MEMBER("{\"id\":4,\"address\":\"h:99999\"}", "28"), 400);
    expect(POST_MEMBER("{\"id\":4,\"address\":\"h h:1\"}", "26"), 400);
    expect(POST_MEMBER("{\"id\":4,\"id\":5,\"address\":\"h:1\"}", "31"), 400);
    expect("DELETE /v1/members/0 HTTP/1.1\r\n" LOCAL "\r\n", 404);
    expect("DELETE /v1/members/256 HTTP/1.1\r\n" LOCAL "\r\n", 404);
    expect("DELETE /v1/members/4294967297 HTTP/1.1\r\n" LOCAL "\r\n", 404);
    expect("POST /v1/leader/transfer HTTP/1.1\r\n" LOCAL "Content-Length: 10\r\n\r\n{\"to\":300}", 400);
    expect("POST /v1/cluster/form HTTP/1.1\r\n" LOCAL "\r\n", 400);
    assert_int_equal(node.calls, 0);
}

static void strangers_may_not_administer(void **state) {
    expect("DELETE /v1/members/2 HTTP/1.1\r\n" LOCAL "Origin: http://localhost:7450\r\n\r\n", 403); // a page
    expect("DELETE /v1/members/2 HTTP/1.1\r\nHost: evil.example:7450\r\n\r\n",
           403); // a name that was made to point here
    expect("DELETE /v1/members/2 HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403);
    expect("GET /v1/backup HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403);
    client.remote = "10.0.0.8:5000";
    expect("DELETE /v1/members/2 HTTP/1.1\r\n" LOCAL "\r\n", 403);
    expect(GET("/v1/backup"), 403);
    expect(GET("/v1/cluster"), 200); // reading status is free
    expect(GET("/metrics"), 200);
    assert_int_equal(node.calls, 0);
    settings.allow_remote = true;
    expect("DELETE /v1/members/2 HTTP/1.1\r\nHost: parley.example\r\nOrigin: http://x\r\n\r\n", 403); // still no pages
    writer_clear(&client.out);
    send_text("DELETE /v1/members/2 HTTP/1.1\r\nHost: parley.example\r\n\r\n");
    finish(0, "removed");
    assert_int_equal(status(), 200);
}

static void loopback_of_both_families_may(void **state) {
    client.remote = "[::1]:5000";
    send_text("DELETE /v1/members/2 HTTP/1.1\r\nHost: [::1]:7450\r\n\r\n");
    assert_int_equal(node.calls, 1);
    finish(0, "");
    assert_int_equal(status(), 200);
    client.remote = "[::12]:5000";
    expect("DELETE /v1/members/2 HTTP/1.1\r\n" LOCAL "\r\n", 403);
}

static void a_client_may_leave_while_the_node_works(void **state) {
    send_text("DELETE /v1/members/2 HTTP/1.1\r\n" LOCAL "\r\n");
    gone();
    node.admin_done(node.context, 0, "removed"); // answers nobody
    assert_int_equal(client.out.len, 0);
}

// ---- JSON and metrics
static void the_cluster_is_json(void **state) {
    expect(GET("/v1/cluster"), 200);
    json_error_t error;
    json_t *json = json_loads(body(), JSON_REJECT_DUPLICATES, &error);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "leader")), 1);
    assert_int_equal(json_integer_value(json_object_get(json, "sessions")), 3);
    assert_string_equal(json_string_value(json_object_get(json, "cluster_id")), "00000000000000000000000000000000");
    const json_t *own = json_object_get(json, "node"), *members = json_object_get(json, "members");
    assert_string_equal(json_string_value(json_object_get(own, "role")), "leader");
    assert_string_equal(json_string_value(json_object_get(own, "digest")), "00000000000000020000000000000001");
    assert_int_equal(json_array_size(members), 2);
    const json_t *second = json_array_get(members, 1);
    assert_int_equal(json_integer_value(json_object_get(second, "lag")), 8);
    assert_string_equal(json_string_value(json_object_get(json_object_get(second, "addresses"), "http")),
                        "localhost:7451");
    assert_null(json_object_get(json_object_get(second, "addresses"), "redis"));
    json_decref(json);
}

// Each line of the page: HELP and TYPE before samples, names and units as Prometheus wants them, buckets that only
// grow.
static void metrics_follow_the_conventions(void **state) {
    expect(GET("/metrics"), 200);
    assert_non_null(strstr(answer(), "text/plain; version=0.0.4"));
    char name[128] = "", type[32] = "", line[512];
    double last_bound = -1;
    unsigned long long last_count = 0;
    size_t families = 0, samples = 0;
    for (const char *at = body(); *at != 0;) {
        size_t len = strcspn(at, "\n");
        assert_true(len < sizeof line && at[len] == '\n');
        snprintf(line, sizeof line, "%.*s", (int)len, at);
        at += len + 1;
        if (strncmp(line, "# HELP ", 7) == 0) {
            snprintf(name, sizeof name, "%.*s", (int)strcspn(line + 7, " "), line + 7);
            assert_int_equal(strncmp(name, "parley_", 7), 0);
            assert_true(strlen(line) > 7 + strlen(name) + 5);
            type[0] = 0;
            last_bound = -1;
            last_count = 0;
            families++;
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_int_equal(strncmp(line + 7, name, strlen(name)), 0);
            snprintf(type, sizeof type, "%s", line + 8 + strlen(name));
            bool total = strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
            assert_int_equal(total, strcmp(type, "counter") == 0);
            if (strcmp(type, "histogram") == 0) assert_non_null(strstr(name, "_seconds"));
        } else {
            assert_true(type[0] != 0);
            assert_int_equal(strncmp(line, name, strlen(name)), 0);
            samples++;
            if (strstr(line, "_bucket{le=\"") == NULL) continue;
            const char *bound = strstr(line, "le=\"") + 4;
            double value = strncmp(bound, "+Inf", 4) == 0 ? 1e300 : strtod(bound, NULL);
            unsigned long long count = strtoull(strrchr(line, ' '), NULL, 10);
            assert_true(value > last_bound && count >= last_count);
            last_bound = value;
            last_count = count;
        }
    }
    assert_true(families >= 30 && samples > families);
    assert_non_null(strstr(body(), "\nparley_commands_total 12\n"));
    assert_non_null(strstr(body(), "parley_fdatasync_seconds_bucket{le=\"0.00005\"} 1\n"));
    assert_non_null(strstr(body(), "parley_fdatasync_seconds_bucket{le=\"10\"} 11\n"));
    assert_non_null(strstr(body(), "parley_peer_match_index{member=\"2\"} 42\n"));
}

static void every_metric_is_documented(void **state) {
    FILE *page = fopen("docs/operations.md", "r");
    if (page == NULL) fail_msg("docs/operations.md is missing");
    char *text = mem_zalloc(1u << 20), name[160];
    assert_true(fread(text, 1, (1u << 20) - 1, page) > 0);
    fclose(page);
    expect(GET("/metrics"), 200);
    size_t families = 0, rows = 0;
    for (const char *at = strstr(body(), "# TYPE "); at != NULL; at = strstr(at + 1, "# TYPE ")) {
        snprintf(name, sizeof name, "| `%.*s` |", (int)strcspn(at + 7, " "), at + 7);
        if (strstr(text, name) == NULL) fail_msg("no row %s in docs/operations.md", name);
        families++;
    }
    for (const char *at = strstr(text, "\n| `parley_"); at != NULL; at = strstr(at + 1, "\n| `parley_")) rows++;
    assert_int_equal(rows, families); // and no row of what is not there
    mem_free(text);
}

// ---- backups
static void a_backup_comes_in_pieces(void **state) {
    uint64_t bytes = 3 * HTTP_BACKUP_TURN_BYTES + 7;
    file.left = bytes;
    send_text(GET("/v1/backup") GET("/healthz"));
    assert_true(client.paused);
    node.snapshot_done(node.context, 0, 40);
    assert_int_equal(status(), 200);
    assert_non_null(strstr(answer(), "filename=\"40.snap\""));
    char length[64];
    snprintf(length, sizeof length, "Content-Length: %llu\r\n", (unsigned long long)bytes);
    assert_non_null(strstr(answer(), length));
    assert_true(file.open && client.out.len < HTTP_BACKUP_TURN_BYTES + 1000);
    size_t before = client.out.len;
    client.pending = 2 * HTTP_BACKUP_TURN_BYTES; // it does not read: nothing more is queued
    tick(100);
    assert_int_equal(client.out.len, before);
    client.pending = 0;
    for (int i = 0; i < 3; i++) {
        assert_true(client.paused);
        tick(100);
    }
    assert_false(file.open);
    const char *from = body();
    size_t head = (size_t)(from - answer());
    for (uint64_t i = 0; i < bytes; i++)
        if (from[i] != 'x') fail_msg("byte %llu", (unsigned long long)i);
    assert_non_null(strstr((const char *)client.out.data + head + bytes, "ok\n")); // the request behind it
    assert_false(client.closing);
}

static void a_backup_that_breaks_off_closes(void **state) {
    file.left = 3 * HTTP_BACKUP_TURN_BYTES;
    send_text(GET("/v1/backup"));
    node.snapshot_done(node.context, 0, 40);
    file.broken = true;
    tick(100);
    assert_true(client.closing); // the promised length tells the reader
    assert_false(file.open);
}

static void backups_that_cannot_be_made(void **state) {
    writer_clear(&client.out);
    send_text(GET("/v1/backup"));
    node.snapshot_done(node.context, -ENOSPC, 0);
    assert_int_equal(status(), 503);
    writer_clear(&client.out);
    send_text(GET("/v1/backup"));
    node.snapshot_done(node.context, 0, 41); // is not there any more
    assert_int_equal(status(), 500);
    node.formed = false;
    expect(GET("/v1/backup"), 503);
    expect("HEAD /v1/backup HTTP/1.1\r\n" LOCAL "\r\n", 405);
    assert_int_equal(node.calls, 2);
}

static void a_backup_ends_with_its_client(void **state) {
    file.left = 3 * HTTP_BACKUP_TURN_BYTES;
    send_text(GET("/v1/backup"));
    node.snapshot_done(node.context, 0, 40);
    assert_true(file.open);
    gone();
    assert_false(file.open);
}

// ---- whatever comes, it is answered or refused; never a crash, never more than one answer a request
static void any_bytes_are_survived(void **state) {
    struct prng prng;
    prng_seed(&prng, 7);
    static const char *const parts[] = {"GET ",
                                        "POST ",
                                        "/v1/members",
                                        "/",
                                        " HTTP/1.1\r\n",
                                        "\r\n",
                                        "Content-Length: 3\r\n",
                                        "Host: localhost\r\n",
                                        "Transfer-Encoding: chunked\r\n",
                                        "3\r\nabc\r\n",
                                        "0\r\n\r\n",
                                        "Upgrade: x\r\nConnection: upgrade\r\n",
                                        "CONNECT ",
                                        "{}"};
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < 20 && !client.closing; i++) {
            uint64_t pick = prng_next(&prng) % 16;
            if (pick < 14) {
                send_text(parts[pick]);
            } else {
                uint64_t noise = prng_next(&prng);
                feed(&noise, 1 + (size_t)(pick & 7));
            }
            if (client.paused) finish(0, "done");
        }
        gone();
        writer_clear(&client.in);
        writer_clear(&client.out);
        client.paused = client.closing = client.closed = false;
        client.connection = http_protocol.open(instance, &client);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(pages_are_answered),
        TEST(readyz_says_why_not),
        TEST(requests_in_one_piece_are_answered_in_order),
        TEST(a_flood_of_requests_is_answered_in_portions),
        TEST(a_request_may_come_byte_by_byte),
        TEST(connections_are_kept_or_closed_as_asked),
        TEST(http_1_0_closes),
        TEST(long_urls_are_refused),
        TEST(long_headers_are_refused),
        TEST(one_long_header_is_refused),
        TEST(endless_headers_are_refused_before_they_end),
        TEST(large_bodies_are_refused_by_their_length),
        TEST(large_chunked_bodies_are_refused),
        TEST(what_is_not_http_is_refused),
        TEST(slow_requests_time_out),
        TEST(a_trickle_of_headers_does_not_reset_the_time),
        TEST(idle_connections_close),
        TEST(expect_100_is_answered_once),
        TEST(members_are_changed),
        TEST(bad_administration_is_refused),
        TEST(strangers_may_not_administer),
        TEST(loopback_of_both_families_may),
        TEST(a_client_may_leave_while_the_node_works),
        TEST(the_cluster_is_json),
        TEST(metrics_follow_the_conventions),
        TEST(every_metric_is_documented),
        TEST(a_backup_comes_in_pieces),
        TEST(a_backup_that_breaks_off_closes),
        TEST(backups_that_cannot_be_made),
        TEST(a_backup_ends_with_its_client),
        TEST(any_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
