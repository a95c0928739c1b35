// Batches and their sections: encoded, read back, damaged.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "consensus/batch.h"

static struct batch_ref some(size_t body_bytes) {
    uint8_t body[600];
    for (size_t i = 0; i < body_bytes; i++) body[i] = (uint8_t)(i * 7);
    struct batch_header header = {.group = 3,
                                  .kind = BATCH_COMMANDS,
                                  .count = 5,
                                  .first_index = 1000,
                                  .term = 9,
                                  .log_time_ms = 77,
                                  .seed = 0x1122334455667788u};
    return batch_make(&header, bytes_of(body, body_bytes));
}

static void test_round_trip(void **state) {
    struct batch_ref b = some(100);
    assert_int_equal(b.first, 1000);
    assert_int_equal(b.last, 1004);
    assert_int_equal(b.term, 9);
    struct batch_header header;
    assert_true(batch_decode(b.buf->data, b.buf->len, &header));
    assert_int_equal(header.group, 3);
    assert_int_equal(header.kind, BATCH_COMMANDS);
    assert_int_equal(header.body_bytes, 100);
    assert_int_equal(header.count, 5);
    assert_int_equal(header.first_index, 1000);
    assert_int_equal(header.log_time_ms, 77);
    assert_true(header.seed == 0x1122334455667788u);
    assert_int_equal(batch_body(&b).len, 100);
    assert_int_equal(batch_body(&b).data[3], 21);
    batch_ref_release(&b);
    assert_null(b.buf);
    b = some(0);
    assert_true(batch_decode(b.buf->data, b.buf->len, &header));
    batch_ref_release(&b);
}

static void test_every_damaged_bit(void **state) {
    struct batch_ref b = some(60);
    struct batch_header header;
    for (size_t i = 0; i < b.buf->len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            b.buf->data[i] ^= (uint8_t)(1 << bit);
            assert_false(batch_decode(b.buf->data, b.buf->len, &header));
            b.buf->data[i] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t len = 0; len < b.buf->len; len++) assert_false(batch_decode(b.buf->data, len, &header));
    batch_ref_release(&b);
}

// Bytes from outside with a right checksum and wrong sense.
static void test_senseless(void **state) {
    struct batch_header header;
    for (int wrong = 0; wrong < 5; wrong++) {
        struct batch_ref b = some(60);
        if (wrong == 0) put_u32_le(b.buf->data + 20, 0);          // no command
        if (wrong == 1) put_u64_le(b.buf->data + 24, UINT64_MAX); // the index wraps
        if (wrong == 2) put_u16_le(b.buf->data + 12, 4);          // a kind of the future
        if (wrong == 3) put_u16_le(b.buf->data + 14, 2);          // a version of the future
        if (wrong == 4) put_u32_le(b.buf->data + 4, 1);           // not a batch
        batch_seal(b.buf);
        assert_false(batch_decode(b.buf->data, b.buf->len, &header));
        batch_ref_release(&b);
    }
}

static void put_command(struct writer *w, const char *text) {
    write_u32_le(w, (uint32_t)strlen(text));
    write_span(w, bytes_of_text(text));
}

static void test_sections(void **state) {
    struct writer commands, body;
    writer_init(&commands);
    writer_init(&body);
    put_command(&commands, "one");
    put_command(&commands, "");
    put_command(&commands, "three");
    struct section section = {
        .origin = 2, .boot = 7, .first_seq = 40, .count = 3, .commands = bytes_of(commands.data, commands.len)};
    section_write(&body, &section);
    section.origin = 0;
    section.boot = section.first_seq = 0;
    section_write(&body, &section);
    assert_int_equal(body.len, 2 * (SECTION_HEADER_BYTES + commands.len));
    struct reader reader = reader_of(body.data, body.len);
    struct section got;
    assert_true(section_read(&reader, &got));
    assert_int_equal(got.origin, 2);
    assert_int_equal(got.boot, 7);
    assert_int_equal(got.first_seq, 40);
    assert_int_equal(got.count, 3);
    assert_true(bytes_equal(got.commands, section.commands));
    assert_true(section_read(&reader, &got));
    assert_int_equal(got.origin, 0);
    assert_false(section_read(&reader, &got));
    assert_true(reader_done(&reader));
    for (size_t len = 1; len < SECTION_HEADER_BYTES + commands.len; len++) { // cut anywhere
        reader = reader_of(body.data, len);
        assert_false(section_read(&reader, &got));
        assert_true(reader.failed);
    }
    body.data[20]++; // four commands said, three there
    reader = reader_of(body.data, body.len);
    assert_false(section_read(&reader, &got));
    assert_true(reader.failed);
    body.data[20] -= 2; // fewer than there are bytes for
    reader = reader_of(body.data, body.len);
    assert_false(section_read(&reader, &got));
    writer_free(&commands);
    writer_free(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_damaged_bit),
        cmocka_unit_test(test_senseless),
        cmocka_unit_test(test_sections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
