// client/response.c: responses that come in any pieces, and bytes that are none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "client/response.h"

static const char sized[] = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world";
static const char chunked[] =
    "HTTP/1.1 409 No\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n";
static const char to_the_end[] = "HTTP/1.0 200 OK\r\n\r\nhello world";

// Feeds a copy that ends where the piece ends, so that ASan sees a byte too far.
static bool feed(struct response *response, const char *data, size_t len) {
    char *piece = malloc(len);
    assert_true(piece != NULL || len == 0);
    if (len > 0) memcpy(piece, data, len);
    bool good = response_feed(response, piece, len);
    free(piece);
    return good;
}

static void in_pieces(const char *text, size_t piece, int status, bool keep_alive) {
    struct response response = {0};
    response_init(&response);
    for (int again = 0; again < 2; again++, response_init(&response)) { // the same connection answers twice
        for (size_t at = 0, len = strlen(text); at < len; at += piece)
            assert_true(feed(&response, text + at, piece < len - at ? piece : len - at));
        if (!response.done) assert_true(feed(&response, "", 0));
        assert_true(response.done);
        assert_int_equal(response.status, status);
        assert_int_equal(response.keep_alive, keep_alive);
        assert_int_equal(response.body.len, 11);
        assert_memory_equal(response.body.data, "hello world", 11);
    }
    response_free(&response);
}

static void whole_in_any_pieces(void **state) {
    for (size_t piece = 1; piece < sizeof chunked; piece++) {
        in_pieces(sized, piece, 200, true);
        in_pieces(chunked, piece, 409, true);
        in_pieces(to_the_end, piece, 200, false);
    }
}

static void cut_short_is_wrong(void **state) {
    for (size_t len = 0; len < strlen(sized); len++) {
        struct response response = {0};
        response_init(&response);
        if (len > 0) assert_true(feed(&response, sized, len));
        assert_false(feed(&response, "", 0));
        assert_false(response.done);
        assert_non_null(response.wrong);
        assert_false(feed(&response, sized, 1)); // nothing more is taken
        response_free(&response);
    }
}

static void bytes_behind_it_end_the_connection(void **state) {
    struct response response = {0};
    char text[2 * sizeof sized];
    strcpy(text, sized);
    strcat(text, "HTTP/1.1 200 OK\r\n");
    response_init(&response);
    assert_true(feed(&response, text, strlen(text)));
    assert_true(response.done);
    assert_false(response.keep_alive);
    response_free(&response);
}

static int take(void *context, const void *data, size_t len) {
    size_t *left = context;
    if (len > *left) return -1;
    *left -= len;
    return 0;
}

static void sink_gets_a_good_body_only(void **state) {
    size_t left = 20;
    struct response response = {.sink = take, .context = &left};
    response_init(&response);
    assert_true(feed(&response, sized, strlen(sized)));
    assert_int_equal(left, 9);
    assert_int_equal(response.body.len, 0);
    response_init(&response);
    assert_true(feed(&response, chunked, strlen(chunked))); // an error's text is kept
    assert_int_equal(response.body.len, 11);
    response_init(&response);
    assert_false(feed(&response, sized, strlen(sized))); // no room is left
    assert_string_equal(response.wrong, "what came could not be stored");
    response_free(&response);
}

static void damaged_bytes_are_survived(void **state) {
    struct prng prng;
    prng_seed(&prng, 7);
    for (int round = 0; round < 20000; round++) {
        const char *texts[] = {sized, chunked, to_the_end};
        char text[sizeof chunked];
        strcpy(text, texts[prng_below(&prng, 3)]);
        size_t len = strlen(text), changes = 1 + (size_t)prng_below(&prng, 4);
        for (size_t i = 0; i < changes; i++) text[prng_below(&prng, len)] = (char)prng_next(&prng);
        struct response response = {0};
        response_init(&response);
        size_t at = 0;
        while (at < len) {
            size_t piece = 1 + (size_t)prng_below(&prng, len - at);
            if (!feed(&response, text + at, piece) || response.done) break;
            at += piece;
        }
        assert_true(response.body.len <= len);
        response_free(&response);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_in_any_pieces),
        cmocka_unit_test(cut_short_is_wrong),
        cmocka_unit_test(bytes_behind_it_end_the_connection),
        cmocka_unit_test(sink_gets_a_good_body_only),
        cmocka_unit_test(damaged_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
