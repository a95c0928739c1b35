// Texts to doubles: the same bits as glibc's strtod, which rounds right, and the same length taken.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/prng.h"
#include "model/keys/double_text.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void as_strtod(const char *text) {
    double value;
    enum double_range range;
    char *end;
    size_t len = double_read(bytes_of_text(text), &value, &range);
    errno = 0;
    double right = strtod(text, &end);
    if (isnan(right) || isspace((unsigned char)text[0])) {
        assert_int_equal(len, 0);
        return;
    }
    bool large = errno == ERANGE && isinf(right), small = errno == ERANGE && right == 0;
    if (len != (size_t)(end - text) || memcmp(&value, &right, sizeof value) != 0 ||
        range != (large   ? DOUBLE_TOO_LARGE
                  : small ? DOUBLE_TOO_SMALL
                          : DOUBLE_IN_RANGE))
        fail_msg("\"%s\": %zu bytes, %a, range %d; strtod: %zu, %a", text, len, value, range, (size_t)(end - text),
                 right);
}

static void named_texts(void **state) {
    static const char *const texts[] = {"",
                                        ".",
                                        "-",
                                        "+.",
                                        "e5",
                                        "1e",
                                        "1e+",
                                        "1e-",
                                        "1.e1",
                                        ".5",
                                        "-.5e-3",
                                        "0x",
                                        "0x.",
                                        "0x.8",
                                        "0x1p",
                                        "0x1p-",
                                        "0x1p3",
                                        "-0X1.8P+1",
                                        "inf",
                                        "-INF",
                                        "infinit",
                                        "+Infinity",
                                        "infinityx",
                                        "in",
                                        "nan",
                                        "-nan",
                                        "nan(1)",
                                        ".inf",
                                        "00000.000e99999999999999999999",
                                        "1e99999999999999999999",
                                        "-1e-99999999999999999999",
                                        "0",
                                        "-0",
                                        "1e22",
                                        "1e23",
                                        "9007199254740993",
                                        "9007199254740992.5",
                                        "9007199254740993.00000000000000000000000000000000000001",
                                        "1.7976931348623157e308",
                                        "1.7976931348623158e308",
                                        "1.7976931348623159e308",
                                        "2.2250738585072014e-308",
                                        "2.2250738585072011e-308",
                                        "4.9406564584124654e-324",
                                        "2.4703282292062327e-324",
                                        "2.4703282292062328e-324",
                                        "0x1p-1074",
                                        "0x1p-1075",
                                        "0x1.0000000000001p-1075",
                                        "0x1.fffffffffffff8p1023",
                                        "0x1.fffffffffffff7fp1023",
                                        "0x10000000000000000001",
                                        "0x0.00000000000000000000001p96",
                                        " 1",
                                        "1 ",
                                        "1_",
                                        "--1",
                                        "1e5.5"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) as_strtod(texts[i]);
    double value;
    assert_true(double_read_whole(bytes_of_text("-1.5"), &value) && value == -1.5);
    assert_false(double_read_whole(bytes_of_text(""), &value));
    assert_false(double_read_whole(bytes_of_text("1 "), &value));
    assert_false(double_read_whole(bytes_of_text("1e400"), &value));
    assert_false(double_read_whole(bytes_of_text("1e-400"), &value));
    assert_true(double_read_whole(bytes_of_text("1e-310"), &value) && value == 1e-310);
}

// Exact ties between two doubles, and their neighbours: all digits of the middle, which printf gives.
static void ties(struct prng *random) {
    char text[1600];
    uint64_t bits = prng_next(random) & ~(1ull << 63);
    if (prng_below(random, 3) == 0) bits &= (1ull << 54) - 1; // the smallest ones
    double low, high;
    bits %= 0x7feull << 52;
    memcpy(&low, &bits, sizeof low);
    bits++;
    memcpy(&high, &bits, sizeof high);
    long double middle = ((long double)low + (long double)high) / 2; // exact: 64 bits hold it
    int len = snprintf(text, sizeof text, "%.1100Lf", middle);
    as_strtod(text);
    text[len++] = (char)('0' + prng_below(random, 2));
    text[len] = 0;
    as_strtod(text);
}

static void random_text(struct prng *random, char *text) {
    uint64_t bits = prng_next(random);
    double value;
    memcpy(&value, &bits, sizeof value);
    switch (prng_below(random, 6)) {
    case 0:
        snprintf(text, 100, "%.*e", (int)prng_below(random, 25), value);
        return;
    case 1:
        snprintf(text, 100, "%a", value);
        return;
    case 2:
        snprintf(text, 100, "%.*f", (int)prng_below(random, 20), (double)(int64_t)bits / 1e9);
        return;
    case 3:
        snprintf(text, 100, "%llu.%llue%d", (unsigned long long)prng_next(random), (unsigned long long)bits,
                 (int)prng_below(random, 700) - 360);
        return;
    case 4:
        snprintf(text, 100, "%llue%d", (unsigned long long)(bits >> prng_below(random, 64)),
                 (int)prng_below(random, 60) - 30);
        return;
    default: {
        static const char letters[] = "0011223456789..eEx+-pPabfinty";
        size_t len = prng_below(random, 12);
        for (size_t i = 0; i < len; i++) text[i] = letters[prng_below(random, sizeof letters - 1)];
        text[len] = 0;
    }
    }
}

static void random_texts(void **state) {
    struct prng random;
    char text[128];
    prng_seed(&random, 3);
    for (unsigned i = 0; i < 400000; i++) {
        random_text(&random, text);
        as_strtod(text);
        if (i % 200 == 0) ties(&random);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_texts),
        cmocka_unit_test(random_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
