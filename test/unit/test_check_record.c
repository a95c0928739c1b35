// sim/check/record: the format, both ways; what is no history is refused with its line; check_all's table.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "sim/check/check.h"
#include "support/histories.h"

static int read_text(struct record *record, const char *text, char error[RECORD_ERROR_BYTES]) {
    FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    assert_non_null(in);
    int status = record_load(record, in, error);
    fclose(in);
    return status;
}

static char *write_text(const struct record *record) {
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(record_save(record, out), 0);
    fclose(out);
    return text;
}

static void every_field_is_read(void **state) {
    struct record record;
    char error[RECORD_ERROR_BYTES];
    record_init(&record);
    assert_int_equal(
        read_text(&record,
                  "{\"meta\":{\"system\":\"s\",\"initial\":\"0\"}}\n"
                  "{\"client\":3,\"seq\":9,\"op\":\"cas\",\"key\":\"/k\",\"call\":5,\"return\":8,\"outcome\":"
                  "\"fail\",\"value\":\"b\",\"expect\":2,\"version\":4,\"zxid\":77,\"received\":6,\"multi\":1,"
                  "\"error\":\"bad_version\",\"beside\":[1]}\n\n"
                  "{\"client\":3,\"seq\":10,\"op\":\"read\",\"key\":\"/k\",\"call\":9,\"return\":null,"
                  "\"outcome\":\"unknown\",\"value\":null,\"consistency\":\"local\",\"watch\":\"data\"}\n"
                  "{\"client\":3,\"seq\":11,\"op\":\"read\",\"key\":\"s\",\"call\":9,\"return\":9,"
                  "\"outcome\":\"ok\",\"value\":[\"a\",\"b\"]}\n"
                  "{\"client\":3,\"seq\":12,\"op\":\"lock\",\"key\":\"l\",\"call\":9,\"return\":9,"
                  "\"outcome\":\"ok\",\"value\":33}\n"
                  "{\"client\":3,\"seq\":13,\"op\":\"contains\",\"key\":\"s\",\"call\":9,\"return\":9,"
                  "\"outcome\":\"ok\",\"value\":\"a\",\"found\":true}",
                  error),
        0);
    assert_int_equal(record.count, 5);
    assert_string_equal(record_string(&record, record.initial), "0");
    const struct record_operation *o = record.operations;
    assert_int_equal(o->client, 3);
    assert_int_equal(o->seq, 9);
    assert_int_equal(o->op, RECORD_CAS);
    assert_string_equal(record_string(&record, o->key), "/k");
    assert_int_equal(o->call_us, 5);
    assert_int_equal(o->return_us, 8);
    assert_int_equal(o->outcome, RECORD_FAIL);
    assert_int_equal(o->expect, RECORD_ANY);
    assert_int_equal(o->expect_version, 2);
    assert_int_equal(o->version, 4);
    assert_int_equal(o->zxid, 77);
    assert_int_equal(o->received, 6);
    assert_int_equal(o->multi, 1);
    assert_int_equal(o->error, RECORD_BAD_VERSION);
    assert_int_equal(o->line, 2);
    assert_true(o[1].return_us == RECORD_NEVER);
    assert_int_equal(o[1].value, RECORD_NULL);
    assert_int_equal(o[1].consistency, RECORD_LOCAL);
    assert_int_equal(o[1].watch, RECORD_WATCH_DATA);
    assert_int_equal(o[1].version, RECORD_NO_VERSION);
    assert_string_equal(record_string(&record, o[2].value), "a,b");
    assert_int_equal(o[2].consistency, RECORD_LINEARIZABLE);
    assert_string_equal(record_string(&record, o[3].value), "33");
    assert_true(o[4].found);
    record_free(&record);
}

static void what_is_no_history_is_refused(void **state) {
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"{\"client\":1", "line 1"},
        {"\n\nnonsense", "line 3"},
        {"[1]", "\"client\" is missing"},
        {"{\"client\":-1,\"seq\":1,\"op\":\"sync\",\"call\":1,\"return\":1,\"outcome\":\"ok\"}", "\"client\""},
        {"{\"client\":1,\"op\":\"sync\",\"call\":1,\"return\":1,\"outcome\":\"ok\"}", "\"seq\" is missing"},
        {"{\"client\":1,\"seq\":1,\"op\":\"jump\",\"call\":1,\"return\":1,\"outcome\":\"ok\"}", "\"op\" is not known"},
        {"{\"client\":1,\"seq\":1,\"op\":\"sync\",\"return\":1,\"outcome\":\"ok\"}", "\"call\" is missing"},
        {"{\"client\":1,\"seq\":1,\"op\":\"sync\",\"call\":2,\"return\":1,\"outcome\":\"ok\"}", "before the call"},
        {"{\"client\":1,\"seq\":1,\"op\":\"sync\",\"call\":2,\"return\":null,\"outcome\":\"ok\"}",
         "\"return\" is missing"},
        {"{\"client\":1,\"seq\":1,\"op\":\"sync\",\"call\":2,\"return\":3}", "\"outcome\" is missing"},
        {"{\"client\":1,\"seq\":1,\"op\":\"sync\",\"call\":2,\"return\":3,\"outcome\":\"good\"}",
         "\"outcome\" has a value"},
        {"{\"client\":1,\"seq\":1,\"op\":\"read\",\"call\":2,\"return\":3,\"outcome\":\"ok\",\"value\":{}}",
         "\"value\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct record record;
        char error[RECORD_ERROR_BYTES];
        record_init(&record);
        assert_int_equal(read_text(&record, cases[i].text, error), -1);
        if (strstr(error, cases[i].error) == NULL) fail_msg("%s: %s", cases[i].text, error);
        record_free(&record);
    }
}

static struct record_operation random_operation(struct record *record, struct prng *random) {
    char text[16];
    struct record_operation o =
        record_operation_of(prng_below(random, 5), prng_below(random, 100), prng_below(random, RECORD_OP_COUNT),
                            record_intern(record, "/k \"ü\n"));
    snprintf(text, sizeof text, "v%u", (unsigned)prng_below(random, 9));
    o.call_us = prng_below(random, 1000);
    o.outcome = prng_below(random, 3);
    if (o.outcome != RECORD_UNKNOWN || prng_below(random, 2) == 0) o.return_us = o.call_us + prng_below(random, 9);
    if (prng_below(random, 3) > 0) o.value = record_intern(record, text);
    if (o.op == RECORD_CAS && prng_below(random, 2) == 0) o.expect = prng_below(random, 2) == 0 ? RECORD_NULL : o.key;
    if (o.op == RECORD_CAS && o.expect == RECORD_ANY) o.expect_version = (int64_t)prng_below(random, 4);
    if (prng_below(random, 2) == 0) o.version = (int64_t)prng_below(random, 4);
    if (o.op == RECORD_READ) o.consistency = prng_below(random, 2);
    if (o.op == RECORD_CONTAINS) o.found = prng_below(random, 2) == 0;
    o.error = prng_below(random, 4);
    o.watch = prng_below(random, 4);
    o.zxid = prng_below(random, 3);
    o.received = prng_below(random, 3);
    o.multi = prng_below(random, 3);
    return o;
}

static void what_is_written_is_read_again(void **state) {
    struct record record, again;
    struct prng random;
    char error[RECORD_ERROR_BYTES];
    record_init(&record);
    record_init(&again);
    prng_seed(&random, 3);
    record.initial = RECORD_ANY;
    for (int i = 0; i < 2000; i++) {
        struct record_operation o = random_operation(&record, &random);
        record_append(&record, &o);
    }
    char *text = write_text(&record);
    if (read_text(&again, text, error) != 0) fail_msg("%s", error);
    assert_int_equal(again.count, record.count);
    assert_true(again.initial == RECORD_ANY);
    for (size_t i = 0; i < record.count; i++) {
        struct record_operation a = record.operations[i], b = again.operations[i];
        assert_string_equal(record_string(&record, a.value), record_string(&again, b.value));
        assert_string_equal(record_string(&record, a.key), record_string(&again, b.key));
        assert_string_equal(record_string(&record, a.expect), record_string(&again, b.expect));
        assert_int_equal(a.expect_version, b.expect_version);
        assert_int_equal(a.version, b.version);
        assert_true(a.return_us == b.return_us);
    }
    char *twice = write_text(&again); // all other fields
    char *first_line = strchr(text, '\n'), *second_line = strchr(twice, '\n');
    assert_string_equal(first_line, second_line);
    free(text);
    free(twice);
    record_free(&record);
    record_free(&again);
}

static void any_bytes_can_be_written(void **state) {
    struct record record;
    record_init(&record);
    struct record_operation o = record_operation_of(1, 1, RECORD_WRITE, record_intern(&record, "/k"));
    o.value = record_intern_bytes(&record, "\xff\0", 2);
    record_append(&record, &o);
    char *text = write_text(&record);
    assert_non_null(strstr(text, "\"hex:ff00\""));
    free(text);
    record_free(&record);
}

static void strings_are_interned(void **state) {
    enum { STRINGS = 5000 };
    struct record record;
    char text[16];
    record_text numbers[STRINGS];
    record_init(&record);
    for (int i = 0; i < STRINGS; i++) {
        snprintf(text, sizeof text, "s%d", i);
        numbers[i] = record_intern(&record, text);
        assert_true(i == 0 || numbers[i] == numbers[i - 1] + 1);
    }
    for (int i = 0; i < STRINGS; i++) {
        snprintf(text, sizeof text, "s%d", i);
        assert_int_equal(record_intern(&record, text), numbers[i]);
        assert_int_equal(record_find(&record, text, strlen(text)), numbers[i]);
        assert_string_equal(record_string(&record, numbers[i]), text);
    }
    assert_int_equal(record_find(&record, "t", 1), RECORD_NULL);
    assert_int_not_equal(record_intern(&record, "null"), RECORD_NULL);
    assert_int_not_equal(record_intern(&record, ""), RECORD_NULL);
    record_free(&record);
}

static void the_table_says_what_was_found(void **state) {
    struct record record;
    char *text = NULL;
    size_t len = 0;
    struct check_limits limits = check_limits_default();
    record_init(&record);
    for (int i = 0; i < 5; i++) histories_parse(&record, "1 0-1 sequence q 7\n2 2-3 sequence q 7");
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(check_all(&record, out, limits), CHECK_VIOLATION);
    fclose(out);
    for (const struct checker *checker = checkers; checker->name != NULL; checker++)
        assert_non_null(strstr(text, checker->name));
    size_t shown = 0;
    for (const char *at = text; (at = strstr(at, "  violation: ")) != NULL; at++) shown++;
    assert_int_equal(shown, limits.shown);
    assert_non_null(strstr(text, "\"op\":\"sequence\""));
    free(text);
    record_free(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_read),           cmocka_unit_test(what_is_no_history_is_refused),
        cmocka_unit_test(what_is_written_is_read_again), cmocka_unit_test(any_bytes_can_be_written),
        cmocka_unit_test(strings_are_interned),          cmocka_unit_test(the_table_says_what_was_found),
    };
    return cmocka_run_group_tests_name("check_record", tests, NULL, NULL);
}
