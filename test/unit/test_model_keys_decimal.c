// INCRBYFLOAT's arithmetic beside x86's long double and the C library, which Redis uses.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/prng.h"
#include "keys_kit.h"
#include "model/keys/decimal.h"
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

static void sums_are_told_as_redis_tells_them(void **state) {
    struct keys_kit k;
    keys_open(&k);
    SAYS(&k, "incrbyfloat n 0.1", "$3 0.1");
    SAYS(&k, "incrbyfloat n 0.2", "$3 0.3");
    assert_string_equal(k.native.events, "incrbyfloat n\n");
    SAYS(&k, "incrbyfloat n -0.3", "$1 0");
    SAYS(&k, "incrbyfloat n 3.0e3", "$4 3000");
    SAYS(&k, "incrbyfloat n 0x1.8p1", "$4 3003");
    SAYS(&k, "object encoding n", "$6 embstr");
    SAYS(&k, "incr n", ":3004");
    SAYS(&k, "incrbyfloat n 1e-17", "$4 3004");
    SAYS(&k, "incrbyfloat n inf", "-ERR increment would produce NaN or Infinity");
    SAYS(&k, "incrbyfloat n 1e5000", "-ERR value is not a valid float");
    SAYS(&k, "incrbyfloat n nan", "-ERR value is not a valid float");
    SAYS(&k, "incrbyfloat n \" 1\"", "-ERR value is not a valid float");
    SAYS(&k, "incrbyfloat n 1x", "-ERR value is not a valid float");
    SAYS(&k, "set t text", "+OK");
    SAYS(&k, "incrbyfloat t 1", "-ERR value is not a valid float");
    SAYS(&k, "hincrbyfloat h f 10.5", "$4 10.5");
    SAYS(&k, "hincrbyfloat h f -20", "$4 -9.5");
    SAYS(&k, "hincrbyfloat h f inf", "-ERR value is NaN or Infinity");
    SAYS(&k, "hincrbyfloat h f x", "-ERR value is not a valid float");
    SAYS(&k, "hset h t text", ":1");
    SAYS(&k, "hincrbyfloat h t 1", "-ERR hash value is not a float");
    SAYS(&k, "hset h t inf", ":0");
    SAYS(&k, "hincrbyfloat h t 1", "-ERR increment would produce NaN or Infinity");
    SAYS(&k, "hget h f", "$4 -9.5");
    keys_close(&k);
}

#if LDBL_MANT_DIG == 64
static bool library_read(const char *text, long double *out) {
    char *end;
    errno = 0;
    *out = strtold(text, &end);
    bool range = errno == ERANGE && (isinf(*out) || *out == 0);
    return text[0] != 0 && !isspace((unsigned char)text[0]) && *end == 0 && !range && !isnan(*out);
}

static void library_write(char out[DECIMAL_TEXT_MAX], long double value) {
    int len = snprintf(out, DECIMAL_TEXT_MAX, "%.17Lf", value);
    while (out[len - 1] == '0') out[--len] = 0;
    if (out[len - 1] == '.') out[--len] = 0;
    if (strcmp(out, "-0") == 0) strcpy(out, "0");
}

static void both(const char *a, const char *b) {
    static char ours[DECIMAL_TEXT_MAX], theirs[DECIMAL_TEXT_MAX];
    long double x = 0, y = 0;
    struct decimal m = {0}, n = {0};
    bool good = library_read(a, &x);
    if (decimal_read(bytes_of_text(a), &m) != good) fail_msg("read %s", a);
    if (!good || !library_read(b, &y)) return;
    assert_true(decimal_read(bytes_of_text(b), &n));
    struct decimal sum = decimal_add(m, n);
    if (isnan(x + y) || isinf(x + y)) {
        assert_true(sum.infinite);
        return;
    }
    assert_false(sum.infinite);
    ours[decimal_write(ours, sum)] = 0;
    library_write(theirs, x + y);
    if (strcmp(ours, theirs) != 0) fail_msg("%s + %s: %s, not %s", a, b, ours, theirs);
}

static void random_number(struct prng *random, char out[128]) {
    size_t len = 0;
    uint64_t kind = prng_below(random, 8), digits = 1 + prng_below(random, kind == 0 ? 60 : 20);
    bool hexadecimal = prng_below(random, 16) == 0;
    uint64_t point = prng_below(random, 2) ? prng_below(random, digits + 1) : digits;
    if (prng_below(random, 3) == 0) out[len++] = prng_below(random, 4) ? '-' : '+';
    if (hexadecimal) len += (size_t)sprintf(out + len, "0x");
    for (uint64_t i = 0; i < digits; i++) {
        if (i == point) out[len++] = '.';
        out[len++] = "0123456789abcdef"[prng_below(random, kind == 1 ? 2 : hexadecimal ? 16 : 10)];
    }
    uint64_t range = kind == 2 ? 10200 : kind == 3 ? 60 : 0;
    if (hexadecimal) range *= 3;
    if (range > 0)
        len += (size_t)sprintf(out + len, "%c%d", hexadecimal ? 'p' : 'e',
                               (int)prng_below(random, range) - (int)range / 2);
    out[len] = 0;
    if (prng_below(random, 60) == 0) out[prng_below(random, len)] = "ex. -p"[prng_below(random, 6)];
}

static void random_sums_are_the_library_s(void **state) {
    static const char *const edges[] = {"0",
                                        "-0",
                                        "1",
                                        "0x1p-16445",
                                        "0x1.8p-16446",
                                        "0x0.8p-16445",
                                        "0x1p-16382",
                                        "1.18973149535723176502e4932",
                                        "-1.18973149535723176502e4932",
                                        "1.18973149535723176509e4932",
                                        "3.6e-4951",
                                        "1.8e-4951",
                                        "1e-4952",
                                        "0e99999",
                                        "1e-99999999999999999999",
                                        "1e99999999999999999999",
                                        "9223372036854775807.5",
                                        "18446744073709551615",
                                        "18446744073709551616.5",
                                        "0.000000000000000005",
                                        "0.000000000000000015",
                                        "0x1p-18",
                                        "0x3p-18",
                                        "0x1p-64",
                                        "0x1.fffffffffffffffep0",
                                        "0x1.ffffffffffffffffp0",
                                        "inf",
                                        "-infinity",
                                        "nan",
                                        "",
                                        ".",
                                        "-",
                                        "1e",
                                        "1e+",
                                        "0x",
                                        "0x.",
                                        "0x1p",
                                        ".5",
                                        "5.",
                                        "+.5e1",
                                        "--1",
                                        "1..2",
                                        "infi",
                                        "0.99999999999999999999"};
    size_t count = sizeof edges / sizeof edges[0];
    struct prng random;
    char a[128], b[128];
    prng_seed(&random, 3);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) both(edges[i], edges[j]);
    for (unsigned i = 0; i < 6000; i++) {
        random_number(&random, a);
        random_number(&random, b);
        both(a, prng_below(&random, 5) ? b : edges[prng_below(&random, count)]);
    }
}

// The longest texts: as many digits as are read, and 10^5000 on top.
static void long_texts(void **state) {
    static char text[DECIMAL_TEXT_MAX + 1], tail[16];
    static const char *const exponents[] = {"", "e4900", "e-4900", "e-9000", "e9999999", "e-10050", "e200"};
    for (size_t e = 0; e < sizeof exponents / sizeof exponents[0]; e++)
        for (unsigned point = 0; point < 3; point++) {
            strcpy(tail, exponents[e]);
            size_t len = DECIMAL_TEXT_MAX - 1 - strlen(tail);
            memset(text, point == 1 ? '0' : '9', len);
            if (point > 0) text[1] = '.';
            if (point == 1) text[len - 1] = '7';
            strcpy(text + len, tail);
            both(text, "1.5");
        }
    memset(text, '1', DECIMAL_TEXT_MAX);
    struct decimal value;
    assert_false(decimal_read(bytes_of(text, DECIMAL_TEXT_MAX), &value)); // as Redis's buffer
}
#else
static void random_sums_are_the_library_s(void **state) {
    skip();
}
static void long_texts(void **state) {
    skip();
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_told_as_redis_tells_them),
        cmocka_unit_test(random_sums_are_the_library_s),
        cmocka_unit_test(long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
