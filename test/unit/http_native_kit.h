// For tests of native operations over HTTP, against a node that is made up (fake_service): a room with two connections,
// requests, answers, a session.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "protocol/http/http.h"
#include "protocol/http/native.h"
#include "test/unit/support/protocol/fake_service.c" // in the place of the node: nothing of that is linked

// ---- what http asks of a node beside
struct node {
    struct node_member members[3];
    size_t count;
    uint32_t leader;
    bool diverged;
};
bool node_ready(struct node *n) {
    return true;
}
void node_get_view(struct node *n, struct node_view *view) {
    *view = (struct node_view){.members = n->members, .member_count = n->count};
    view->status.leader = n->leader;
    view->status.diverged = n->diverged;
}
void node_get_metrics(struct node *n, struct node_metrics *m) {
    memset(m, 0, sizeof *m);
}
void node_admin(struct node *n, enum core_admin what, uint32_t member, const char *address,
                void (*done)(void *context, int error, const char *text), void *context) {
    UNREACHABLE();
}
void node_snapshot(struct node *n, void (*done)(void *context, int error, uint64_t index), void *context) {
    UNREACHABLE();
}

struct room {
    struct node node;
    struct http_settings settings;
    struct fake *fake;
    struct client *one, *two;
    json_t *seen; // of the newest answer
    int status;
    char session[64];
};

static int setup(void **state) {
    struct room *room = mem_zalloc(sizeof *room);
    room->settings.node = &room->node;
    room->fake = fake_new(&http_protocol, &room->settings);
    room->one = fake_connect(room->fake, "127.0.0.1:1");
    room->two = fake_connect(room->fake, "127.0.0.1:2");
    *state = room;
    return 0;
}

static int teardown(void **state) {
    struct room *room = *state;
    fake_free(room->fake);
    json_decref(room->seen);
    mem_free(room);
    return 0;
}

// ---- requests and answers
static void send_headers(struct room *room, struct client *client, const char *operation, const char *headers,
                         const char *body) {
    char request[4096];
    snprintf(request, sizeof request, "POST /v1/%s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s",
             operation, headers, strlen(body), body);
    fake_send(client, request, strlen(request));
}

// A body with one %s: the session.
__attribute__((format(printf, 4, 5))) static void ask(struct room *room, struct client *client, const char *operation,
                                                      const char *format, ...) {
    char body[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    send_headers(room, client, operation, "", body);
}

// Takes the answer that is there; false: none yet.
static bool take(struct room *room, struct client *client) {
    struct writer *out = &client->output;
    if (out->len == 0) return false;
    write_u8(out, 0);
    const char *text = (const char *)out->data, *body = strstr(text, "\r\n\r\n");
    assert_non_null(body);
    room->status = atoi(text + 9);
    bool problem = strstr(text, "Content-Type: application/problem+json\r\n") != NULL;
    assert_int_equal(problem, room->status != 200);
    json_decref(room->seen);
    room->seen = json_loads(body, 0, NULL);
    assert_non_null(room->seen);
    if (problem) assert_int_equal(json_integer_value(json_object_get(room->seen, "status")), room->status);
    writer_clear(out);
    return true;
}

static json_int_t number(struct room *room, const char *key) {
    assert_true(json_is_integer(json_object_get(room->seen, key)));
    return json_integer_value(json_object_get(room->seen, key));
}

static void expect(struct room *room, struct client *client, int status, const char *error) {
    fake_step(room->fake);
    assert_true(take(room, client));
    char type[64] = "";
    if (error != NULL) snprintf(type, sizeof type, "/errors/%s", error);
    const char *seen = json_string_value(json_object_get(room->seen, "type"));
    assert_string_equal(seen != NULL ? seen : "", type);
    assert_int_equal(room->status, status);
}

static void make_session(struct room *room) {
    ask(room, room->one, "session/create", "{\"ttl_ms\": 6000}");
    expect(room, room->one, 200, NULL);
    assert_int_equal(number(room, "ttl_ms"), 6000);
    snprintf(room->session, sizeof room->session, "%s", json_string_value(json_object_get(room->seen, "session")));
}

static uint64_t session_number(const struct room *room) {
    return strtoull(room->session, NULL, 10);
}
