// Base64 both ways: the RFC's own examples, random bytes, and what is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/base64.h"
#include "base/prng.h"

static void examples(void **state) {
    static const char *const cases[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct writer text, bytes;
        writer_init(&text);
        writer_init(&bytes);
        base64_write(&text, bytes_of_text(cases[i][0]));
        assert_int_equal(text.len, BASE64_LENGTH(strlen(cases[i][0])));
        assert_true(bytes_equal(bytes_of(text.data, text.len), bytes_of_text(cases[i][1])));
        assert_true(base64_read(&bytes, bytes_of_text(cases[i][1])));
        assert_true(bytes_equal(bytes_of(bytes.data, bytes.len), bytes_of_text(cases[i][0])));
        writer_free(&text);
        writer_free(&bytes);
    }
}

static void random_bytes_come_back(void **state) {
    struct prng prng;
    prng_seed(&prng, 7);
    for (int round = 0; round < 500; round++) {
        struct writer in = {0}, text = {0}, out = {0};
        for (uint64_t left = prng_below(&prng, 100); left > 0; left--) write_u8(&in, (uint8_t)prng_next(&prng));
        base64_write(&text, bytes_of(in.data, in.len));
        assert_true(base64_read(&out, bytes_of(text.data, text.len)));
        assert_true(bytes_equal(bytes_of(in.data, in.len), bytes_of(out.data, out.len)));
        writer_free(&in);
        writer_free(&text);
        writer_free(&out);
    }
}

static void what_is_none_is_refused(void **state) {
    static const char *const bad[] = {"Z",    "Zg",    "Zg=",      "Zg===",    "Zh==",  "Zm9=", "Z===",
                                      "====", "Zm9v=", "Zg==Zg==", "Zm8=Zm8=", "Zm 8=", "Zm-_", "Zm9v\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct writer out = {0};
        assert_false(base64_read(&out, bytes_of_text(bad[i])));
        writer_free(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(random_bytes_come_back),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
