// What the tests of model/keys share: a command as a line of words, its reply as the protocol's bytes with CR LF as '
// '.
#pragma once
#include "model/keys/keys.h"
#include "native_kit.h"
#include <ctype.h>

struct keys_kit {
    struct native native;
    bool resp3;
    uint32_t database;
    char reply[1 << 16];
};

static void keys_on_event(void *context, uint8_t model, const void *event) {
    struct native *n = context;
    const struct keys_event *e = event;
    assert_int_equal(model, MODEL_KEYS);
    if (e->kind != KEYS_EVENT_NOTIFY) return;
    size_t len = strlen(n->events);
    snprintf(n->events + len, sizeof n->events - len, "%s %.*s\n", e->notify, (int)e->key.len, e->key.data);
}

static void keys_open(struct keys_kit *k) {
    memset(k, 0, sizeof *k);
    native_open(&k->native, &keys_model, keys_on_event);
    k->native.apply.apply_level = 3;
}
static void keys_close(struct keys_kit *k) {
    native_close(&k->native);
}

// "text of several words" is one argument; \xNN a byte.
static size_t keys_words(const char *line, struct bytes *argv, uint8_t *room) {
    size_t argc = 0;
    while (*line == ' ') line++;
    while (*line != 0) {
        bool quoted = *line == '"';
        uint8_t *begin = room;
        for (line += quoted; *line != 0 && *line != (quoted ? '"' : ' '); line++) {
            unsigned byte;
            if (line[0] == '\\' && line[1] == 'x' && sscanf(line + 2, "%2x", &byte) == 1) {
                *room++ = (uint8_t)byte;
                line += 3;
            } else {
                *room++ = (uint8_t)*line;
            }
        }
        argv[argc++] = bytes_of(begin, (size_t)(room - begin));
        line += *line != 0;
        while (*line == ' ') line++;
    }
    return argc;
}

static const char *keys_show(struct keys_kit *k, struct bytes reply) {
    size_t len = 0;
    for (size_t i = 0; i < reply.len && len + 5 < sizeof k->reply; i++) {
        uint8_t c = reply.data[i];
        if (c == '\r') continue;
        if (c == '\n')
            k->reply[len++] = ' ';
        else if (isprint(c))
            k->reply[len++] = (char)c;
        else
            len += (size_t)snprintf(k->reply + len, 5, "\\x%02x", c);
    }
    if (len > 0 && k->reply[len - 1] == ' ') len--;
    k->reply[len] = 0;
    return k->reply;
}

static const struct keys_row *keys_row_for(const struct bytes *argv, size_t argc) {
    const struct keys_row *row = keys_row_find(argv[0], argc > 1 ? argv[1] : bytes_of(NULL, 0));
    if (row == NULL) fail_msg("no command %.*s", (int)argv[0].len, argv[0].data);
    return row;
}

static const char *keys_do(struct keys_kit *k, const char *line) {
    static uint8_t room[1 << 16];
    static struct bytes argv[4096];
    size_t argc = keys_words(line, argv, room);
    const struct keys_row *row = keys_row_for(argv, argc);
    k->native.apply.seed = k->native.apply.index * 0x9e3779b97f4a7c15u;
    if ((row->flags & KEYS_READONLY) != 0 && k->native.apply.index % 2 == 0) { // each read both ways
        struct writer out = {0};
        struct result result = {0};
        struct keys_query query = {.kind = KEYS_QUERY_RUN,
                                   .database = k->database,
                                   .row = row,
                                   .argv = argv,
                                   .argc = argc,
                                   .resp3 = k->resp3,
                                   .out = &out,
                                   .log_time_ms = k->native.apply.log_time_ms,
                                   .unix_ms = k->native.apply.unix_ms,
                                   .seed = k->native.apply.seed};
        k->native.apply.index++;
        keys_model.query(k->native.state, &query, &result);
        assert_int_equal(result.error, 0);
        keys_show(k, bytes_of(out.data, out.len));
        writer_free(&out);
        return k->reply;
    }
    struct writer w = {0};
    command_write_head(&w, MODEL_KEYS, KEYS_OP_RUN, 0, 0);
    keys_write_run(&w, &(struct keys_run){.client = 7, .flags = k->resp3 ? KEYS_RESP3 : 0, .commands = 1});
    keys_write_command(&w, k->database, row, argv, argc);
    assert_int_equal(native_run(&k->native, &w), 0);
    const struct keys_result *result = k->native.result.value;
    assert_int_equal(result->count, 1);
    return keys_show(k, result->reply);
}
#define SAYS(k, line, reply) assert_string_equal(keys_do(k, line), reply)

// Random commands on a state, then on it and a copy of it: replies, events, what time ends and digests are alike.
static __attribute__((unused)) void keys_copies_alike(uint64_t seed,
                                                      void (*random_line)(struct prng *random, char line[128])) {
    static struct keys_kit a, b;
    struct prng random;
    char line[128];
    prng_seed(&random, seed);
    for (unsigned round = 0; round < 40; round++) {
        keys_open(&a);
        a.resp3 = round % 3 == 0;
        for (unsigned i = 0; i < 300; i++) {
            random_line(&random, line);
            a.database = (uint32_t)prng_below(&random, 4);
            keys_do(&a, line);
            if (prng_below(&random, 20) == 0) native_pass(&a.native, prng_below(&random, 3000));
        }
        native_check(&a.native);
        memset(&b, 0, sizeof b);
        native_copy(&a.native, &b.native, round % 2 ? 512 : SAVE_RECORD_BYTES_MAX);
        b.resp3 = a.resp3;
        b.native.apply = a.native.apply;
        b.native.apply.emit_context = &b.native;
        for (unsigned i = 0; i < 200; i++) {
            random_line(&random, line);
            a.database = b.database = (uint32_t)prng_below(&random, 4);
            keys_do(&a, line);
            assert_string_equal(keys_do(&b, line), a.reply);
            assert_string_equal(keys_do(&a, "randomkey"), keys_do(&b, "randomkey"));
            if (prng_below(&random, 20) == 0) {
                uint64_t ms = prng_below(&random, 3000);
                assert_int_equal(native_pass(&a.native, ms), native_pass(&b.native, ms));
                assert_string_equal(a.native.events, b.native.events);
            }
            assert_true(digest_equal(keys_model.digest(a.native.state), keys_model.digest(b.native.state)));
        }
        assert_true(keys_model.memory(a.native.state) == keys_model.memory(b.native.state));
        keys_close(&a);
        keys_close(&b);
    }
}
