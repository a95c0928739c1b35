// Sessions over HTTP: created, kept alive and closed by requests of any connection, at any node.
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

void session_create_run(struct http_call *call) {
    call_attach(call, (uint32_t)call_value(call, "ttl_ms")->number);
}

void session_create_reply(struct http_call *call, const struct result *result) {
    const struct lease_result *lease = result->value;
    answer(call, lease->timeout_ms);
}

// Answered when the leader has acknowledged activity that is not older than this request.
void session_keepalive_run(struct http_call *call) {
    call_keepalive(call);
}

void session_keepalive_done(struct http_call *call) {
    const struct lease *lease = service_lease(call->agent->instance->service, call->agent->session);
    answer(call, lease != NULL ? lease->timeout_ms : 0);
}

void session_close_run(struct http_call *call) {
    struct writer w;
    writer_init(&w);
    lease_write_close(&w, call_session(call), call_attach_number(call));
    call_submit(call, &w);
}

// The end of the session is told by its event, in the same entry and ahead of this.
void session_close_reply(struct http_call *call, const struct result *result) {
    call_answer(call, 200, json_object());
}
