// base/bytes: the reader never passes its end, each value has one spelling, the writer grows.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/prng.h"

static void spans_compare_as_bytes(void **state) {
    assert_true(bytes_equal(bytes_of(NULL, 0), bytes_of_text("")));
    assert_true(bytes_equal(bytes_of_text("ab"), bytes_of_text("ab")));
    assert_false(bytes_equal(bytes_of_text("ab"), bytes_of_text("abc")));
    assert_int_equal(bytes_compare(bytes_of(NULL, 0), bytes_of(NULL, 0)), 0);
    assert_int_equal(bytes_compare(bytes_of(NULL, 0), bytes_of_text("a")), -1);
    assert_int_equal(bytes_compare(bytes_of_text("ab"), bytes_of_text("a")), 1);
    assert_int_equal(bytes_compare(bytes_of_text("a\x7f"), bytes_of_text("a\x80")), -1); // bytes are unsigned
    assert_int_equal(bytes_compare(bytes_of("a\0b", 3), bytes_of("a\0c", 3)), -1);       // a zero does not end a span
}

static void fixed_places_have_their_byte_order(void **state) {
    uint8_t at[8];
    put_u16_le(at, 0x0102);
    assert_memory_equal(at, "\x02\x01", 2);
    assert_int_equal(get_u16_le(at), 0x0102);
    put_u32_le(at, 0xf1020304u);
    assert_memory_equal(at, "\x04\x03\x02\xf1", 4);
    assert_int_equal(get_u32_le(at), 0xf1020304u);
    put_u64_le(at, 0xf102030405060708u);
    assert_memory_equal(at, "\x08\x07\x06\x05\x04\x03\x02\xf1", 8);
    assert_true(get_u64_le(at) == 0xf102030405060708u);
    put_u32_be(at, 0xf1020304u);
    assert_memory_equal(at, "\xf1\x02\x03\x04", 4);
    assert_int_equal(get_u32_be(at), 0xf1020304u);
    put_u64_be(at, 0xf102030405060708u);
    assert_memory_equal(at, "\xf1\x02\x03\x04\x05\x06\x07\x08", 8);
    assert_true(get_u64_be(at) == 0xf102030405060708u);
}

static void what_is_written_is_read(void **state) {
    struct writer w;
    writer_init(&w);
    assert_null(w.data);
    write_u8(&w, 0xfe);
    write_u16_le(&w, 0xfedc);
    write_u32_le(&w, 0xfedcba98u);
    write_u64_le(&w, 0xfedcba9876543210u);
    write_u32_be(&w, 0xfedcba98u);
    write_u64_be(&w, 0xfedcba9876543210u);
    write_varint(&w, 300);
    write_span(&w, bytes_of_text("span"));
    write_blob(&w, bytes_of_text("blob"));
    write_blob(&w, bytes_of(NULL, 0));
    assert_int_equal(w.len, 1 + 2 + 4 + 8 + 4 + 8 + 2 + 4 + 5 + 1);

    struct reader r = reader_of(w.data, w.len);
    assert_int_equal(reader_left(&r), w.len);
    assert_int_equal(read_u8(&r), 0xfe);
    assert_int_equal(read_u16_le(&r), 0xfedc);
    assert_int_equal(read_u32_le(&r), 0xfedcba98u);
    assert_true(read_u64_le(&r) == 0xfedcba9876543210u);
    assert_int_equal(read_u32_be(&r), 0xfedcba98u);
    assert_true(read_u64_be(&r) == 0xfedcba9876543210u);
    assert_int_equal(read_varint(&r), 300);
    assert_true(bytes_equal(read_span(&r, 4), bytes_of_text("span")));
    assert_false(reader_done(&r));
    assert_true(bytes_equal(read_blob(&r), bytes_of_text("blob")));
    assert_int_equal(read_blob(&r).len, 0);
    assert_true(reader_done(&r));
    writer_free(&w);
    assert_null(w.data);
    write_u8(&w, 1); // may be used again
    assert_int_equal(w.len, 1);
    writer_free(&w);
}

static uint64_t read_kind(struct reader *r, int kind, size_t span) {
    switch (kind) {
    case 0:
        return read_u8(r);
    case 1:
        return read_u16_le(r);
    case 2:
        return read_u32_le(r);
    case 3:
        return read_u64_le(r);
    case 4:
        return read_u32_be(r);
    case 5:
        return read_u64_be(r);
    case 6:
        return read_varint(r);
    case 7:
        return read_span(r, span).len;
    default:
        return read_blob(r).len;
    }
}

// The bytes lie in a block of exactly their size, so that the sanitizer sees one byte too far.
static void reader_never_passes_its_end(void **state) {
    struct prng random;
    prng_seed(&random, 7);
    for (int round = 0; round < 20000; round++) {
        size_t len = prng_below(&random, 24);
        uint8_t *data = malloc(len + (len == 0));
        for (size_t i = 0; i < len; i++) data[i] = (uint8_t)prng_next(&random);
        struct reader r = reader_of(len == 0 ? NULL : data, len);
        for (int i = 0; i < 12; i++) {
            bool failed = r.failed;
            size_t before = r.at;
            int kind = (int)prng_below(&random, 9);
            size_t span = prng_below(&random, 4) == 0 ? SIZE_MAX - prng_below(&random, 9) : prng_below(&random, 9);
            uint64_t value = read_kind(&r, kind, span);
            assert_true(r.at <= r.len);
            assert_true(r.at >= before);
            if (r.failed) assert_true(value == 0 && reader_left(&r) == 0 && !reader_done(&r));
            if (failed) assert_true(r.failed && r.at == before);
        }
        free(data);
    }
}

static void first_failure_stays(void **state) {
    struct reader r = reader_of("\x01\x02\x03", 3);
    assert_int_equal(read_u32_le(&r), 0);
    assert_true(r.failed);
    assert_int_equal(read_u8(&r), 0); // though a byte would be there
    assert_null(read_span(&r, 1).data);
    assert_null(read_span(&r, 0).data);
    assert_false(reader_done(&r));
}

static void blob_longer_than_the_rest_fails(void **state) {
    struct reader r = reader_of("\x05"
                                "abcd",
                                5);
    assert_int_equal(read_blob(&r).len, 0);
    assert_true(r.failed);
    // A length that wraps when it is added to the place.
    r = reader_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                  "ab",
                  12);
    assert_int_equal(read_blob(&r).len, 0);
    assert_true(r.failed);
}

static void varint_is_true_at_its_limits(void **state) {
    struct writer w;
    writer_init(&w);
    for (unsigned bits = 0; bits <= 64; bits++) {
        uint64_t top = bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1; // the largest of so many bits
        size_t want = bits == 0 ? 1 : (bits + 6) / 7;
        writer_clear(&w);
        write_varint(&w, top);
        assert_int_equal(w.len, want);
        assert_int_equal(varint_size(top), want);
        struct reader r = reader_of(w.data, w.len);
        assert_true(read_varint(&r) == top && reader_done(&r));
        for (size_t cut = 0; cut < w.len; cut++) {
            r = reader_of(w.data, cut);
            assert_true(read_varint(&r) == 0 && r.failed);
        }
    }
    writer_free(&w);
}

static void signed_varint_keeps_every_sign(void **state) {
    const int64_t values[] = {0, -1, 1, -64, 64, 1000000, -1000000, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct writer w = {0};
        write_varint_signed(&w, values[i]);
        struct reader r = reader_of(w.data, w.len);
        assert_true(read_varint_signed(&r) == values[i] && reader_done(&r));
        if (i < 4) assert_int_equal(w.len, 1); // small ones are short
        writer_free(&w);
    }
}

static void varint_has_one_spelling(void **state) {
    static const struct {
        const char *data;
        size_t len;
        bool good;
    } cases[] = {
        {"\x00", 1, true},
        {"\x80\x00", 2, false},     // 0 in two bytes
        {"\xff\x00", 2, false},     // 127 in two bytes
        {"\x80\x80\x00", 3, false}, // 0 in three
        {"\x80\x01", 2, true},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, true},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, false},     // the 65th bit
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 10, false},     // 63 bits in ten bytes
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, false}, // eleven bytes
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reader r = reader_of(cases[i].data, cases[i].len);
        uint64_t value = read_varint(&r);
        assert_int_equal(!r.failed, cases[i].good);
        if (!cases[i].good) assert_true(value == 0);
    }
}

static void writer_keeps_bytes_while_it_grows_and_drops_the_front(void **state) {
    struct writer w;
    writer_init(&w);
    assert_null(writer_extend(&w, 0));
    for (uint32_t i = 0; i < 10000; i++) write_u32_le(&w, i);
    writer_reserve(&w, 100000);
    uint8_t *data = w.data;
    memset(writer_extend(&w, 100000), 0xaa, 100000);
    assert_ptr_equal(w.data, data); // the reserve was enough
    writer_consume(&w, 4 * 9990);
    assert_int_equal(w.len, 40 + 100000);
    for (uint32_t i = 0; i < 10; i++) assert_int_equal(get_u32_le(w.data + 4 * i), 9990 + i);
    assert_int_equal(w.data[40], 0xaa);
    writer_consume(&w, 0);
    writer_consume(&w, w.len);
    assert_int_equal(w.len, 0);
    size_t capacity = w.capacity;
    writer_clear(&w);
    assert_int_equal(w.capacity, capacity);
    writer_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_compare_as_bytes),
        cmocka_unit_test(fixed_places_have_their_byte_order),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(reader_never_passes_its_end),
        cmocka_unit_test(first_failure_stays),
        cmocka_unit_test(blob_longer_than_the_rest_fails),
        cmocka_unit_test(varint_is_true_at_its_limits),
        cmocka_unit_test(signed_varint_keeps_every_sign),
        cmocka_unit_test(varint_has_one_spelling),
        cmocka_unit_test(writer_keeps_bytes_while_it_grows_and_drops_the_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
