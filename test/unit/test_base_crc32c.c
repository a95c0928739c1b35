// base/crc32c: the known sums of RFC 3720 B.4, and instructions and tables say the same of all lengths and alignments.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/prng.h"

typedef uint32_t (*crc_fn)(uint32_t, const void *, size_t);
static const crc_fn both[] = {crc32c, crc32c_portable};

static void known_sums(void **state) {
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++) up[i] = (uint8_t)i, down[i] = (uint8_t)(31 - i);
    static const uint8_t scsi_read[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, 0x28, [40] = 0x02};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(both[i](0, zeros, 32), 0x8a9136aau);
        assert_int_equal(both[i](0, ones, 32), 0x62a8ab43u);
        assert_int_equal(both[i](0, up, 32), 0x46dd794eu);
        assert_int_equal(both[i](0, down, 32), 0x113fdb5cu);
        assert_int_equal(both[i](0, scsi_read, 48), 0xd9963a56u);
        assert_int_equal(both[i](0, "123456789", 9), 0xe3069283u);
        assert_int_equal(both[i](0, NULL, 0), 0);
        assert_int_equal(both[i](0x12345678u, NULL, 0), 0x12345678u);
    }
}

// The definition, bit by bit.
static uint32_t by_definition(const uint8_t *data, size_t len) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

// Lengths around each change of method: a word, three short streams (768), three long ones (12288), and both together.
static void both_ways_agree_at_all_alignments(void **state) {
    static const size_t around[] = {0, 24, 256, 768, 1536, 4096, 12288, 13056, 24576, 40000};
    struct prng random;
    prng_seed(&random, 3);
    for (size_t k = 0; k < sizeof around / sizeof *around; k++) {
        for (size_t align = 0; align < 16; align++) {
            for (size_t more = 0; more < 20; more += 1 + (around[k] > 1000) * 2) {
                size_t len = around[k] + more;
                uint8_t *block = malloc(align + len + 1), *data = block + align;
                for (size_t i = 0; i < len; i++) data[i] = (uint8_t)prng_next(&random);
                uint32_t portable = crc32c_portable(0, data, len);
                assert_int_equal(crc32c(0, data, len), portable);
                if (align == 5) assert_int_equal(by_definition(data, len), portable);
                uint32_t start = (uint32_t)prng_next(&random);
                assert_int_equal(crc32c(start, data, len), crc32c_portable(start, data, len));
                free(block);
            }
        }
    }
}

static void a_sum_can_be_continued(void **state) {
    enum { LEN = 30000 };
    uint8_t *data = malloc(LEN);
    struct prng random;
    prng_seed(&random, 4);
    for (int i = 0; i < LEN; i++) data[i] = (uint8_t)prng_next(&random);
    uint32_t whole = crc32c(0, data, LEN);
    for (int i = 0; i < 200; i++) {
        size_t cut = prng_below(&random, LEN + 1);
        assert_int_equal(crc32c(crc32c_portable(0, data, cut), data + cut, LEN - cut), whole);
        assert_int_equal(crc32c_portable(crc32c(0, data, cut), data + cut, LEN - cut), whole);
    }
    data[12345] ^= 0x10;
    assert_int_not_equal(crc32c(0, data, LEN), whole);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_sums),
        cmocka_unit_test(both_ways_agree_at_all_alignments),
        cmocka_unit_test(a_sum_can_be_continued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
