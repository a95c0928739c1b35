// Requests of Redis clients: whole, in pieces, damaged, too large.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/alloc.h"
#include "base/prng.h"
#include "protocol/redis/parse.h"
#include <stdio.h>
#include <string.h>

static const struct parse_limits usual = {
    .arguments_max = 1u << 20, .bulk_bytes_max = 64u << 20, .request_bytes_max = 129u << 20};

// What a connection does with it: every request as "[a|b|c]", "-" for an empty one, "!error" and the end.
static void parse_all(struct bytes input, size_t step, const struct parse_limits *limits, struct writer *out) {
    struct parse parse = {0};
    struct writer line = {0};
    const char *error = NULL;
    size_t at = 0, seen = 0;
    while (at < input.len || seen < input.len) {
        seen = seen + step < input.len ? seen + step : input.len;
        if (seen < at) continue;
        for (;;) {
            size_t len = seen - at; // as long as it is, so that ASan sees a read behind it
            uint8_t *copy = mem_alloc(len);
            if (len > 0) memcpy(copy, input.data + at, len);
            enum parse_outcome outcome = parse_step(&parse, copy, len, limits, &line, &error);
            const uint8_t *base = outcome == PARSE_INLINE ? line.data : copy;
            if (outcome == PARSE_REQUEST || outcome == PARSE_INLINE) {
                write_u8(out, '[');
                for (uint32_t i = 0; i < parse.count; i++) {
                    if (i > 0) write_u8(out, '|');
                    write_span(out, bytes_of(base + parse.spans.items[i].at, parse.spans.items[i].len));
                }
                write_u8(out, ']');
            } else if (outcome == PARSE_NOTHING) {
                write_u8(out, '-');
            } else if (outcome == PARSE_ERROR) {
                write_u8(out, '!');
                write_span(out, bytes_of_text(error));
            }
            mem_free(copy);
            if (outcome == PARSE_ERROR) goto end;
            if (outcome == PARSE_MORE) break;
            at += parse.at;
            parse_restart(&parse);
        }
        if (seen == input.len) break;
    }
end:
    parse_free(&parse);
    writer_free(&line);
}

static void says_limited(const char *input, size_t len, const struct parse_limits *limits, const char *expected) {
    for (size_t step = 1; step <= len; step = step < 4 ? step + 1 : step * 2) {
        struct writer out = {0};
        parse_all(bytes_of(input, len), step, limits, &out);
        write_u8(&out, 0);
        assert_string_equal((const char *)out.data, expected);
        writer_free(&out);
    }
}
#define SAYS(input, expected) says_limited(input, sizeof(input) - 1, &usual, expected)

static void test_requests(void **state) {
    SAYS("*1\r\n$4\r\nPING\r\n", "[PING]");
    SAYS("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n*1\r\n$1\r\nx\r\n", "[SET|k|a\r\nb][x]");
    SAYS("*2\r\n$0\r\n\r\n$1\r\n\n\r\n", "[|\n]");
    SAYS("*0\r\n*-1\r\n*-9\r\n\r\nPING\r\n", "----[PING]");
    SAYS("*1\r\n$4\r\nPI", "");
    SAYS("*1\r\n$4\r\nPINGxxPING\r\n", "[PING][PING]"); // as in Redis: what stands for CR LF is not looked at
}

static void test_lines(void **state) {
    SAYS("PING\r\nset a b\n  \r\n", "[PING][set|a|b]-");
    SAYS("set \"a b\" 'c d' \"\\x41\\n\\q\\\"\" 'it\\'s' \"\"\r\n", "[set|a b|c d|A\nq\"|it's|]");
    SAYS("a\tb  c \r\n", "[a|b|c]");
    SAYS("a \"b\r\n", "!Protocol error: unbalanced quotes in request");
    SAYS("a 'b\r\n", "!Protocol error: unbalanced quotes in request");
    SAYS("a \"b\"c\r\n", "!Protocol error: unbalanced quotes in request");
    SAYS("x \"\\x4\"\r\n", "[x|x4]");
}

static void test_damaged(void **state) {
    SAYS("*x\r\n", "!Protocol error: invalid multibulk length");
    SAYS("*01\r\n", "!Protocol error: invalid multibulk length");
    SAYS("*+1\r\n", "!Protocol error: invalid multibulk length");
    SAYS("*1048577\r\n", "!Protocol error: invalid multibulk length");
    SAYS("*99999999999999999999\r\n", "!Protocol error: invalid multibulk length");
    SAYS("*1\r\nPING\r\n", "!Protocol error: expected '$', got 'P'");
    SAYS("*1\r\n$-1\r\n", "!Protocol error: invalid bulk length");
    SAYS("*1\r\n$67108865\r\n", "!Protocol error: invalid bulk length");
    SAYS("*1\r\n$\r\n", "!Protocol error: invalid bulk length");
    SAYS("*1\r\n$4 \r\n", "!Protocol error: invalid bulk length");
}

static void test_limits(void **state) {
    struct parse_limits guest = usual, small = usual;
    guest.guest = true;
    small.request_bytes_max = 40;
    says_limited("*11\r\n", 5, &guest, "!Protocol error: unauthenticated multibulk length");
    says_limited("*1\r\n$16385\r\n", 12, &guest, "!Protocol error: unauthenticated bulk length");
    says_limited("*10\r\n$1\r\nx\r\n", 12, &guest, "");
    says_limited("*2\r\n$20\r\n01234567890123456789\r\n$20\r\n", 36, &small,
                 "!Protocol error: request larger than this server takes");
    size_t len = (64u << 10) + 2;
    char *line = mem_alloc(len);
    memset(line, 'a', len);
    struct writer out = {0};
    parse_all(bytes_of(line, len), len, &usual, &out);
    line[0] = '*';
    parse_all(bytes_of(line, len), len, &usual, &out);
    memcpy(line, "*1\r\n$", 5);
    parse_all(bytes_of(line, len), 1000, &usual, &out);
    parse_all(bytes_of(line, 1000), 1000, &usual, &out);
    write_u8(&out, 0);
    // The third is 5 bytes short of its limit.
    assert_string_equal((const char *)out.data, "!Protocol error: too big inline request"
                                                "!Protocol error: too big mbulk count string");
    writer_free(&out);
    mem_free(line);
}

// A million arguments, which come in pieces of 64 KB: each is looked at once.
static void test_huge(void **state) {
    struct writer input = {0};
    write_span(&input, bytes_of_text("*1048576\r\n"));
    for (size_t i = 0; i < 1u << 20; i++) write_span(&input, bytes_of_text("$1\r\nx\r\n"));
    struct parse parse = {0};
    struct writer line = {0};
    const char *error = NULL;
    size_t seen = 0;
    enum parse_outcome outcome = PARSE_MORE;
    while (outcome == PARSE_MORE) {
        assert_true(seen < input.len);
        seen = seen + 65536 < input.len ? seen + 65536 : input.len;
        outcome = parse_step(&parse, input.data, seen, &usual, &line, &error);
        assert_true(seen - parse.at <= 8); // nothing whole was left
    }
    assert_int_equal(outcome, PARSE_REQUEST);
    assert_int_equal(parse.count, 1u << 20);
    assert_int_equal(parse.at, input.len);
    parse_free(&parse);
    writer_free(&line);
    writer_free(&input);
}

// However the bytes are cut, the requests are the same.
static void test_random_cuts(void **state) {
    static const char *const parts[] = {"*1\r\n$4\r\nPING\r\n",
                                        "*2\r\n",
                                        "$3\r\nabc\r\n",
                                        "$0\r\n\r\n",
                                        "get a\r\n",
                                        "\"",
                                        "\r\n",
                                        "$",
                                        "*",
                                        "x",
                                        "'",
                                        "\\",
                                        "-1",
                                        "\n",
                                        "5",
                                        " "};
    struct prng prng;
    prng_seed(&prng, 6);
    for (int round = 0; round < 3000; round++) {
        struct writer input = {0}, whole = {0}, cut = {0};
        for (uint64_t i = prng_below(&prng, 12); i > 0; i--)
            write_span(&input, bytes_of_text(parts[prng_below(&prng, sizeof parts / sizeof parts[0])]));
        parse_all(bytes_of(input.data, input.len), SIZE_MAX / 2, &usual, &whole);
        parse_all(bytes_of(input.data, input.len), 1 + prng_below(&prng, 7), &usual, &cut);
        assert_true(bytes_equal(bytes_of(whole.data, whole.len), bytes_of(cut.data, cut.len)));
        writer_free(&input);
        writer_free(&whole);
        writer_free(&cut);
    }
}

static void test_numbers(void **state) {
    int64_t value;
    assert_true(parse_number(bytes_of_text("-9223372036854775808"), &value) && value == INT64_MIN);
    assert_true(parse_number(bytes_of_text("9223372036854775807"), &value) && value == INT64_MAX);
    assert_true(parse_number(bytes_of_text("0"), &value) && value == 0);
    static const char *const wrong[] = {"",
                                        "-",
                                        "-0",
                                        "00",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1.0",
                                        "0x1",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "99999999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (parse_number(bytes_of_text(wrong[i]), &value)) fail_msg("'%s' is no number", wrong[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests), cmocka_unit_test(test_lines), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_limits),   cmocka_unit_test(test_huge),  cmocka_unit_test(test_random_cuts),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests_name("redis_parse", tests, NULL, NULL);
}
