// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "test/unit/support/protocol/zookeeper_script.h"
#include "protocol/zookeeper/operations.h"
#include "protocol/zookeeper/zookeeper.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

void script_open(struct script *script, const void *settings) {
    memset(script, 0, sizeof *script);
    script->fake = fake_new(&zookeeper_protocol, settings);
    for (int i = 0; i < SCRIPT_CLIENTS; i++) ring_init(&script->unanswered[i], sizeof(struct script_request));
}

void script_close(struct script *script) {
    fake_free(script->fake);
    for (int i = 0; i < SCRIPT_CLIENTS; i++) ring_free(&script->unanswered[i]);
}

void connect_bytes(struct writer *out, uint64_t last_zxid, uint32_t timeout_ms, uint64_t session,
                   const uint8_t password[16], int read_only) {
    write_u32_be(out, 4 + 8 + 4 + 8 + 4 + 16 + (read_only >= 0 ? 1 : 0));
    write_u32_be(out, 0);
    write_u64_be(out, last_zxid);
    write_u32_be(out, timeout_ms);
    write_u64_be(out, session);
    write_u32_be(out, 16);
    write_span(out, bytes_of(password, 16));
    if (read_only >= 0) write_u8(out, (uint8_t)read_only);
}

bool script_take(struct client *client, struct writer *frame) {
    writer_clear(frame);
    if (client->output.len < 4) return false;
    size_t len = get_u32_be(client->output.data);
    if (client->output.len < 4 + len) fail_msg("half a frame: %zu of %zu bytes", client->output.len - 4, len);
    write_span(frame, bytes_of(client->output.data + 4, len));
    writer_consume(&client->output, 4 + len);
    return true;
}

struct client *script_client(struct script *script, char letter) {
    int i = letter - 'a';
    if (i < 0 || i >= SCRIPT_CLIENTS) fail_msg("no client %c in: %s", letter, script->where);
    if (script->clients[i]) return script->clients[i];
    static const uint8_t none[16];
    struct writer w = {0}, frame = {0};
    struct client *client = script->clients[i] = fake_connect(script->fake, "127.0.0.1:40000");
    connect_bytes(&w, 0, 4000, 0, none, 0);
    fake_send(client, w.data, w.len);
    fake_step(script->fake);
    assert_true(script_take(client, &frame));
    assert_int_equal(frame.len, 37);
    script->sessions[i] = get_u64_be(frame.data + 8);
    memcpy(script->passwords[i], frame.data + 20, 16);
    writer_free(&w);
    writer_free(&frame);
    return client;
}

static void encode_acl(struct writer *out, char *text) {
    size_t count_at = out->len;
    uint32_t count = 0;
    write_u32_be(out, 0);
    char *save = NULL;
    for (char *entry = strtok_r(text, ";", &save); entry; entry = strtok_r(NULL, ";", &save)) {
        char *scheme = strchr(entry, ',') + 1, *id = strchr(scheme, ',');
        *id++ = '\0';
        write_u32_be(out, (uint32_t)atoi(entry));
        write_u32_be(out, (uint32_t)strlen(scheme));
        write_span(out, bytes_of_text(scheme));
        write_u32_be(out, (uint32_t)strlen(id));
        write_span(out, bytes_of_text(id));
        count++;
    }
    put_u32_be(out->data + count_at, count);
}

static void encode_stat(struct script *script, struct writer *out, const char *text) {
    char owner = '0', field[9][24];
    int got = sscanf(text, "%23[^,],%23[^,],%23[^,],%23[^,],%23[^,],%23[^,],%23[^,],%23[^,],%23s", field[0], field[1],
                     field[2], field[3], field[4], field[5], field[6], field[7], field[8]);
    if (got != 9) fail_msg("stat \"%s\" in: %s", text, script->where);
    uint64_t czxid = strtoull(field[0], NULL, 10), mzxid = strtoull(field[1], NULL, 10);
    owner = field[5][0];
    write_u64_be(out, czxid);
    write_u64_be(out, mzxid);
    write_u64_be(out, czxid ? (uint64_t)fake_unix_ms(czxid) : 0);
    write_u64_be(out, mzxid ? (uint64_t)fake_unix_ms(mzxid) : 0);
    for (int i = 2; i < 5; i++) write_u32_be(out, (uint32_t)atoi(field[i]));
    write_u64_be(out, owner == '0' ? 0 : script->sessions[owner - 'a']);
    write_u32_be(out, (uint32_t)atoi(field[6]));
    write_u32_be(out, (uint32_t)atoi(field[7]));
    write_u64_be(out, strtoull(field[8], NULL, 10));
}

void script_encode(struct script *script, struct writer *out, const char *words) {
    char copy[LINE_MAX_BYTES], *save = NULL;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *rest = word + 1;
        if (strcmp(word, "null") == 0)
            write_u32_be(out, UINT32_MAX);
        else if (strcmp(word, "O") == 0) {
            char open[] = "31,world,anyone";
            encode_acl(out, open);
        } else if (strcmp(word, "END") == 0)
            script_encode(script, out, "h-1,1,-1");
        else if (word[0] == 'i')
            write_u32_be(out, (uint32_t)strtoll(rest, NULL, 0));
        else if (word[0] == 'l')
            write_u64_be(out, (uint64_t)strtoll(rest, NULL, 0));
        else if (word[0] == 'b')
            write_u8(out, (uint8_t)atoi(rest));
        else if (word[0] == 's') {
            write_u32_be(out, (uint32_t)strlen(rest));
            write_span(out, bytes_of_text(rest));
        } else if (word[0] == 'A')
            encode_acl(out, rest);
        else if (word[0] == 'h') {
            int type, done, error;
            if (sscanf(rest, "%d,%d,%d", &type, &done, &error) != 3) fail_msg("header %s", word);
            write_u32_be(out, (uint32_t)type);
            write_u8(out, (uint8_t)done);
            write_u32_be(out, (uint32_t)error);
        } else if (word[0] == 'x') {
            for (; rest[0] && rest[1]; rest += 2) {
                char two[3] = {rest[0], rest[1], '\0'};
                write_u8(out, (uint8_t)strtoul(two, NULL, 16));
            }
        } else if (word[0] == 't')
            encode_stat(script, out, rest);
        else
            fail_msg("unknown word \"%s\" in: %s", word, script->where);
    }
}

static int32_t code_of(struct script *script, const char *name) {
#define X(op, code, kind, tag, handler)                                                                                \
    if (strcmp(name, #op) == 0) return code;
    ZOOKEEPER_OPERATIONS(X)
#undef X
    char *end;
    long code = strtol(name, &end, 10);
    if (*end) fail_msg("no operation %s in: %s", name, script->where);
    return (int32_t)code;
}

static void send_line(struct script *script, char letter, int32_t xid, char *text) {
    struct client *client = script_client(script, letter);
    struct writer w = {0};
    char *body = strchr(text, ' ');
    if (body) *body++ = '\0';
    int32_t code = code_of(script, text);
    write_u32_be(&w, 0);
    write_u32_be(&w, (uint32_t)xid);
    write_u32_be(&w, (uint32_t)code);
    script_encode(script, &w, body ? body : "");
    put_u32_be(w.data, (uint32_t)w.len - 4);
    struct script_request *request = ring_push(&script->unanswered[letter - 'a']);
    *request = (struct script_request){xid, code == 100 || code == 102};
    fake_send(client, w.data, w.len);
    writer_free(&w);
}

static void hex(const struct writer *w, char *out, size_t capacity) {
    size_t at = 0;
    for (size_t i = 0; i < w->len && at + 3 < capacity; i++)
        at += (size_t)snprintf(out + at, capacity - at, "%02x", w->data[i]);
    out[at] = '\0';
}

static void expect_frame(struct script *script, char letter, struct writer *want, bool prefix) {
    struct writer got = {0};
    char have_text[1200], want_text[1200];
    if (!script_take(script->clients[letter - 'a'], &got)) fail_msg("nothing came: %s", script->where);
    bool alike = prefix ? got.len >= want->len : got.len == want->len;
    if (!alike || memcmp(got.data, want->data, want->len) != 0) {
        hex(&got, have_text, sizeof have_text);
        hex(want, want_text, sizeof want_text);
        fail_msg("at: %s\n  got  %s\n  want %s", script->where, have_text, want_text);
    }
    writer_free(&got);
    writer_free(want);
}

static void expect_reply(struct script *script, char letter, char *text) {
    struct ring *unanswered = &script->unanswered[letter - 'a'];
    if (unanswered->count == 0) fail_msg("nothing was asked: %s", script->where);
    struct script_request request = *(struct script_request *)ring_front(unanswered);
    ring_pop(unanswered);
    struct writer want = {0};
    char *body = strchr(text, ' ');
    if (body) *body++ = '\0';
    bool prefix = body && strchr(body, '*');
    if (prefix) *strchr(body, '*') = '\0';
    const char *zxid = strchr(text, '@');
    write_u32_be(&want, (uint32_t)request.xid);
    write_u64_be(&want, request.zero_zxid ? 0 : zxid ? strtoull(zxid + 1, NULL, 10) : script->fake->applied);
    write_u32_be(&want, (uint32_t)atoi(text));
    script_encode(script, &want, body ? body : "");
    expect_frame(script, letter, &want, prefix);
}

static void expect_event(struct script *script, char letter, char *text) {
    char *path = strchr(text, ' ') + 1;
    struct writer want = {0};
    write_u32_be(&want, UINT32_MAX);
    write_u64_be(&want, UINT64_MAX);
    write_u32_be(&want, 0);
    write_u32_be(&want, (uint32_t)atoi(text));
    write_u32_be(&want, 3);
    write_u32_be(&want, (uint32_t)strlen(path));
    write_span(&want, bytes_of_text(path));
    expect_frame(script, letter, &want, false);
}

static void run_line(struct script *script, char *line) {
    char letter = line[0];
    char *rest = line + 2;
    if (strcmp(line, "step") == 0) {
        fake_step(script->fake);
        return;
    }
    int i = letter - 'a';
    switch (line[1]) {
    case '>': {
        bool later = *rest == '>';
        script_client(script, letter);
        send_line(script, letter, ++script->next_xid[i], rest + (later ? 2 : 1));
        if (!later) fake_step(script->fake);
        break;
    }
    case '@': {
        char *end;
        int32_t xid = (int32_t)strtol(rest, &end, 10);
        send_line(script, letter, xid, end + 1);
        fake_step(script->fake);
        break;
    }
    case '<':
        expect_reply(script, letter, rest + 1);
        break;
    case '!':
        expect_event(script, letter, rest + 1);
        break;
    case '.':
    case '#': {
        struct writer got = {0};
        if (script_take(script_client(script, letter), &got)) {
            char text[1200];
            hex(&got, text, sizeof text);
            fail_msg("more came at: %s\n  got %s", script->where, text);
        }
        if (script->clients[i]->closed != (line[1] == '#')) fail_msg("closed or not: %s", script->where);
        break;
    }
    default:
        fail_msg("unknown line: %s", script->where);
    }
}

void script_run(struct script *script, const char *text) {
    char line[LINE_MAX_BYTES], shown[LINE_MAX_BYTES];
    while (*text) {
        size_t len = strcspn(text, "\n");
        while (len && *text == ' ') text++, len--;
        assert_true(len < sizeof line);
        memcpy(line, text, len);
        line[len] = '\0';
        memcpy(shown, line, len + 1);
        script->where = shown;
        if (len) run_line(script, line);
        text += len + (text[len] == '\n');
    }
    script->where = "";
}
