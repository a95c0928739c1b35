// Sessions over HTTP: created, kept alive and closed by requests of any connection, at any node.
#include "protocol/http/native_fields.h"
#include "protocol/http/native_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void session_text(uint64_t session, const uint8_t secret[LEASE_PASSWORD_BYTES], char out[64]) {
    int len = snprintf(out, 64, "%llu-", (unsigned long long)session);
    for (size_t i = 0; i < LEASE_PASSWORD_BYTES; i++) len += snprintf(out + len, 64 - (size_t)len, "%02x", secret[i]);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool session_parse(const char *text, uint64_t *session, uint8_t secret[LEASE_PASSWORD_BYTES]) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 19 || text[digits] != '-') return false;
    *session = strtoull(text, NULL, 10);
    const char *hex = text + digits + 1;
    if (strlen(hex) != 2 * LEASE_PASSWORD_BYTES || *session == 0) return false;
    for (size_t i = 0; i < LEASE_PASSWORD_BYTES; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        secret[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static void answer(struct http_call *call, uint64_t ttl_ms) {
    char text[64];
    session_text(call->agent->session, call->agent->secret, text);
    json_t *json = json_object();
    json_object_set_new(json, "session", json_string(text));
    json_object_set_new(json, "ttl_ms", json_integer((json_int_t)ttl_ms));
    call_answer(call, 200, json);
}

static void session_create_run(struct http_call *call) {
    call_attach(call, (uint32_t)call_value(call, "ttl_ms")->number);
}

static void session_create_reply(struct http_call *call, const struct result *result) {
    const struct lease_result *lease = result->value;
    answer(call, lease->timeout_ms);
}

// Answered when the leader has acknowledged activity that is not older than this request.
static void session_keepalive_run(struct http_call *call) {
    call_keepalive(call);
}

void session_keepalive_done(struct http_call *call) {
    const struct lease *lease = service_lease(call->agent->instance->service, call->agent->session);
    answer(call, lease != NULL ? lease->timeout_ms : 0);
}

static void session_close_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    lease_write_close(&w, call_session(call), call_attach_number(call));
    call_submit(call, &w);
}

// The end of the session is told by its event, in the same entry and ahead of this.
void session_close_reply(struct http_call *call, const struct result *result) {
    call_answer(call, 200, json_object());
}

// ---- the table
FIELDS(session_create_fields) = {{.name = "ttl_ms",
                                  .type = NATIVE_NUMBER,
                                  .low = NATIVE_SESSION_TTL_MS_MIN,
                                  .high = NATIVE_SESSION_TTL_MS_MAX,
                                  .standard = NATIVE_SESSION_TTL_MS_DEFAULT,
                                  .help = "it ends, with all that it holds, when nothing is heard of it for so long"},
                                 END};
FIELDS(session_fields) = {SESSION_REQUIRED, END};
FIELDS(session_answer) = {
    {.name = "session", .type = NATIVE_TEXT, .help = "its number and its secret: who has it may use it"},
    {.name = "ttl_ms", .type = NATIVE_NUMBER, .help = "its time-out"},
    END};

static const struct native_operation operations[] = {
    {.path = "/v1/session/create",
     .about =
         "Makes a session. It lives as long as requests name it, or keepalives do: send one every quarter of ttl_ms.",
     .fields = session_create_fields,
     .answer = session_answer,
     .errors = "",
     .run = session_create_run,
     .reply = session_create_reply},
    {.path = "/v1/session/keepalive",
     .about =
         "Says that the session's owner lives. Answered when the leader knows it. At another node than before, the "
         "session moves there.",
     .fields = session_fields,
     .answer = session_answer,
     .errors = "session-expired session-moved ",
     .run = session_keepalive_run},
    {.path = "/v1/session/close",
     .about = "Ends the session, with all that it holds and waits for.",
     .fields = session_fields,
     .answer = no_fields,
     .errors = "session-expired session-moved ",
     .run = session_close_run,
     .reply = session_close_reply},
};
const struct native_room session_room = {.operations = operations, .count = sizeof operations / sizeof operations[0]};
