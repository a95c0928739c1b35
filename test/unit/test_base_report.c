// base/log and base/histogram: what operators read.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/histogram.h"
#include "base/log.h"
#include "base/prng.h"
#include "base/version.h"

struct heard {
    int lines;
    enum log_level level;
    char last[8192];
};

static void hear(void *context, enum log_level level, const char *line) {
    struct heard *heard = context;
    heard->lines++;
    heard->level = level;
    snprintf(heard->last, sizeof heard->last, "%s", line);
}

static void sink_gets_lines_of_its_level(void **state) {
    struct heard heard = {0};
    struct log *log = log_new(LOG_LEVEL_INFO, hear, &heard);
    LOG_DEBUG(log, "no");
    assert_int_equal(heard.lines, 0);
    LOG_INFO(log, "node started id=%d", 3);
    assert_int_equal(heard.lines, 1);
    assert_int_equal(heard.level, LOG_LEVEL_INFO);
    assert_string_equal(heard.last, "node started id=3");
    log_set_level(log, LOG_LEVEL_ERROR);
    LOG_WARN(log, "no");
    assert_int_equal(heard.lines, 1);
    LOG_ERROR(log, "yes");
    assert_int_equal(heard.lines, 2);
    log_set_level(log, LOG_LEVEL_OFF);
    LOG_ERROR(log, "no");
    assert_int_equal(heard.lines, 2);
    LOG_ERROR(NULL, "dropped");
    log_free(log);
}

static void strangers_cannot_forge_lines(void **state) {
    struct heard heard = {0};
    struct log *log = log_new(LOG_LEVEL_DEBUG, hear, &heard);
    LOG_INFO(log, "user=%s", "x\n2026-01-01T00:00:00.000Z error forged\x1b[2J\x7f\t\xc3\xa4");
    assert_string_equal(heard.last, "user=x?2026-01-01T00:00:00.000Z error forged?[2J??\xc3\xa4");
    log_free(log);
}

static void long_line_is_cut_and_says_so(void **state) {
    struct heard heard = {0};
    struct log *log = log_new(LOG_LEVEL_DEBUG, hear, &heard);
    char *text = malloc(10001);
    memset(text, 'a', 10000);
    text[10000] = 0;
    LOG_INFO(log, "%s", text);
    size_t len = strlen(heard.last);
    assert_in_range(len, 2000, 4095);
    assert_string_equal(heard.last + len - 5, "[cut]");
    assert_int_equal(heard.last[len - 6], 'a');
    text[len] = 0; // exactly fits
    LOG_INFO(log, "%s", text);
    assert_string_equal(heard.last, text);
    free(text);
    log_free(log);
}

// stderr is a datagram socket here, so that each receive is one write(2).
static void stderr_line_is_one_write_with_an_iso_time(void **state) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    struct log *log = log_new(LOG_LEVEL_DEBUG, NULL, NULL);
    time_t before = time(NULL);
    LOG_WARN(log, "disk slow ms=%d", 120);
    LOG_ERROR(log, "second");
    time_t after = time(NULL);
    dup2(kept, STDERR_FILENO);
    close(kept);
    log_free(log);

    char line[8192];
    ssize_t len = recv(ends[0], line, sizeof line - 1, MSG_DONTWAIT);
    assert_true(len > 0);
    line[len] = 0;
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ warn disk slow ms=120\n";
    assert_int_equal(len, sizeof shape - 1);
    for (int i = 0; i < 24; i++) {
        if (shape[i] == 'd')
            assert_true(isdigit((unsigned char)line[i]));
        else
            assert_int_equal(line[i], shape[i]);
    }
    assert_string_equal(line + 24, shape + 24);
    struct tm utc = {0};
    assert_non_null(strptime(line, "%Y-%m-%dT%H:%M:%S", &utc));
    time_t said = timegm(&utc);
    assert_true(said >= before && said <= after);

    len = recv(ends[0], line, sizeof line - 1, MSG_DONTWAIT);
    assert_true(len > 0);
    line[len] = 0;
    assert_string_equal(line + 24, " error second\n");
    assert_int_equal(recv(ends[0], line, sizeof line, MSG_DONTWAIT), -1);
    close(ends[0]);
    close(ends[1]);
}

static void level_names_parse(void **state) {
    static const char *const names[] = {"debug", "info", "warn", "error", "off"};
    enum log_level level = LOG_LEVEL_OFF;
    for (int i = 0; i < 5; i++) {
        assert_true(log_level_parse(names[i], &level));
        assert_int_equal(level, i);
    }
    level = LOG_LEVEL_WARN;
    assert_false(log_level_parse("INFO", &level));
    assert_false(log_level_parse("", &level));
    assert_false(log_level_parse("debugg", &level));
    assert_int_equal(level, LOG_LEVEL_WARN);
}

static void limit_passes_a_burst_a_second_and_counts_the_rest(void **state) {
    struct log_limit limit = {0};
    uint32_t dropped = 99;
    for (int i = 0; i < 3; i++) assert_true(log_limit_pass(&limit, 3, 500, &dropped) && dropped == 0);
    for (int i = 0; i < 7; i++) assert_false(log_limit_pass(&limit, 3, 999, &dropped));
    assert_true(log_limit_pass(&limit, 3, 1000, &dropped)); // 1000 ms after the zeroed start: a new window
    assert_int_equal(dropped, 7);
    assert_true(log_limit_pass(&limit, 3, 1999, &dropped) && dropped == 0); // told once
    assert_true(log_limit_pass(&limit, 3, 1999, &dropped));
    assert_false(log_limit_pass(&limit, 3, 1999, &dropped));
    assert_true(log_limit_pass(&limit, 3, 2000, &dropped));
    assert_int_equal(dropped, 1);
    assert_true(log_limit_pass(&limit, 1, 10, &dropped)); // a clock that was set back does not silence for ever
    assert_false(log_limit_pass(&limit, 0, 5000, &dropped));
    assert_int_equal(dropped, 0);
}

static uint64_t nth(const uint64_t *values, size_t count, size_t rank) { // the rank-th smallest, from 1, the slow way
    for (size_t i = 0; i < count; i++) {
        size_t below = 0, equal = 0;
        for (size_t k = 0; k < count; k++) {
            below += values[k] < values[i];
            equal += values[k] == values[i];
        }
        if (below < rank && rank <= below + equal) return values[i];
    }
    fail();
    return 0;
}

static void percentiles_are_bounds_within_6_25_percent(void **state) {
    enum { COUNT = 400 };
    static const uint32_t asked[] = {1, 100000, 500000, 900000, 990000, 999000, 1000000};
    struct prng random;
    prng_seed(&random, 51);
    for (unsigned bits = 3; bits <= 40; bits++) {
        struct histogram h = {0};
        uint64_t values[COUNT], sum = 0, max = 0;
        for (int i = 0; i < COUNT; i++) {
            values[i] = prng_below(&random, (uint64_t)1 << bits) >> prng_below(&random, bits);
            histogram_add(&h, values[i]);
            sum += values[i];
            if (values[i] > max) max = values[i];
        }
        assert_true(h.count == COUNT && h.sum == sum && h.max == max);
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
            size_t rank = ((size_t)COUNT * asked[i] + 999999) / 1000000;
            uint64_t exact = nth(values, COUNT, rank), said = histogram_percentile(&h, asked[i]);
            assert_true(said >= exact);
            assert_true(said - exact <= exact / 16);
        }
        assert_true(histogram_percentile(&h, 1000000) == max);
    }
}

static void small_values_are_exact(void **state) {
    struct histogram h = {0};
    assert_int_equal(histogram_percentile(&h, 500000), 0);
    assert_int_equal(histogram_count_at_most(&h, 5), 0);
    for (uint64_t v = 0; v < 32; v++) histogram_add(&h, v);
    for (uint64_t v = 0; v < 32; v++) assert_int_equal(histogram_count_at_most(&h, v), v + 1);
    assert_int_equal(histogram_percentile(&h, 500000), 15);
    assert_int_equal(histogram_percentile(&h, 0), 0);
}

static void huge_values_stay_in_the_table(void **state) {
    struct histogram h = {0};
    histogram_add(&h, UINT64_MAX);
    histogram_add(&h, (uint64_t)1 << 50);
    histogram_add(&h, 7);
    assert_true(histogram_percentile(&h, 1000000) == UINT64_MAX);
    assert_int_equal(histogram_percentile(&h, 1), 7);
    assert_int_equal(histogram_count_at_most(&h, (uint64_t)1 << 40), 1);
    assert_int_equal(histogram_count_at_most(&h, UINT64_MAX), 3);
}

static void count_at_most_grows_and_never_says_too_many(void **state) {
    enum { COUNT = 500 };
    struct histogram h = {0};
    struct prng random;
    uint64_t values[COUNT];
    prng_seed(&random, 52);
    for (int i = 0; i < COUNT; i++) histogram_add(&h, values[i] = prng_below(&random, 100000));
    uint64_t last = 0;
    for (uint64_t bound = 0; bound < 110000; bound += 97) {
        uint64_t exact = 0, surely = 0, said = histogram_count_at_most(&h, bound);
        for (int i = 0; i < COUNT; i++) {
            exact += values[i] <= bound;
            surely += values[i] + values[i] / 16 <= bound; // its whole bucket lies at or below the bound
        }
        assert_true(said <= exact && said >= surely && said >= last);
        last = said;
    }
    assert_int_equal(last, COUNT);
}

static void merge_is_as_if_added_together(void **state) {
    struct histogram a = {0}, b = {0}, both = {0};
    struct prng random;
    prng_seed(&random, 53);
    for (int i = 0; i < 2000; i++) {
        uint64_t v = prng_below(&random, 1 << 20);
        histogram_add(i % 3 ? &a : &b, v);
        histogram_add(&both, v);
    }
    histogram_merge(&a, &b);
    assert_memory_equal(&a, &both, sizeof a);
}

static void version_is_set(void **state) {
    assert_string_equal(PARLEY_VERSION, "0.1.0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sink_gets_lines_of_its_level),
        cmocka_unit_test(strangers_cannot_forge_lines),
        cmocka_unit_test(long_line_is_cut_and_says_so),
        cmocka_unit_test(stderr_line_is_one_write_with_an_iso_time),
        cmocka_unit_test(level_names_parse),
        cmocka_unit_test(limit_passes_a_burst_a_second_and_counts_the_rest),
        cmocka_unit_test(percentiles_are_bounds_within_6_25_percent),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(huge_values_stay_in_the_table),
        cmocka_unit_test(count_at_most_grows_and_never_says_too_many),
        cmocka_unit_test(merge_is_as_if_added_together),
        cmocka_unit_test(version_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
