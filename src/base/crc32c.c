// Three ways to the same sum: tables (slicing by 8, anywhere), SSE4.2 and ARMv8 instructions. The x86 instruction has a
// latency of 3 cycles and a throughput of 1, so long inputs run as three streams side by side. The streams are joined
// with the rule that a CRC is linear: crc(A then B) = shift(crc(A), |B| zero bytes) xor crc(B).
#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

#include "base/bytes.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82f63b78u
#define STRIDE_LONG ((size_t)4096) // bytes of one of the three streams
#define STRIDE_SHORT ((size_t)256)

// Constant once computed; pthread_once makes the first use safe from any thread.
static struct {
    uint32_t slice[8][256];
    uint32_t shift_long[4][256], shift_short[4][256]; // [byte of the crc][its value] moved over STRIDE zero bytes
} tables;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void shift_table_fill(uint32_t table[4][256], size_t zeros) {
    uint32_t bit_moved[32];
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t crc = 1u << bit;
        for (size_t i = 0; i < zeros; i++) crc = crc >> 8 ^ tables.slice[0][crc & 0xff];
        bit_moved[bit] = crc;
    }
    for (unsigned byte = 0; byte < 4; byte++) {
        for (unsigned value = 0; value < 256; value++) {
            uint32_t crc = 0;
            for (unsigned bit = 0; bit < 8; bit++)
                if (value >> bit & 1) crc ^= bit_moved[byte * 8 + bit];
            table[byte][value] = crc;
        }
    }
}

static void tables_fill(void) {
    for (unsigned value = 0; value < 256; value++) {
        uint32_t crc = value;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        tables.slice[0][value] = crc;
    }
    for (unsigned k = 1; k < 8; k++)
        for (unsigned value = 0; value < 256; value++) {
            uint32_t crc = tables.slice[k - 1][value];
            tables.slice[k][value] = crc >> 8 ^ tables.slice[0][crc & 0xff];
        }
    shift_table_fill(tables.shift_long, STRIDE_LONG);
    shift_table_fill(tables.shift_short, STRIDE_SHORT);
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len) {
    pthread_once(&tables_once, tables_fill);
    const uint8_t *at = data;
    crc = ~crc;
    for (; len >= 8; at += 8, len -= 8) {
        uint32_t low = crc ^ get_u32_le(at), high = get_u32_le(at + 4);
        crc = tables.slice[7][low & 0xff] ^ tables.slice[6][low >> 8 & 0xff] ^ tables.slice[5][low >> 16 & 0xff] ^
              tables.slice[4][low >> 24] ^ tables.slice[3][high & 0xff] ^ tables.slice[2][high >> 8 & 0xff] ^
              tables.slice[1][high >> 16 & 0xff] ^ tables.slice[0][high >> 24];
    }
    for (; len > 0; at++, len--) crc = crc >> 8 ^ tables.slice[0][(crc ^ *at) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)

static uint32_t shifted(uint32_t table[4][256], uint64_t crc) {
    return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^ table[2][crc >> 16 & 0xff] ^ table[3][crc >> 24 & 0xff];
}

static uint64_t load_u64(const uint8_t *at) {
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

__attribute__((target("sse4.2"))) static const uint8_t *three_streams(uint64_t *crc, const uint8_t *at, size_t stride,
                                                                      uint32_t table[4][256]) {
    uint64_t a = *crc, b = 0, c = 0;
    for (const uint8_t *end = at + stride; at < end; at += 8) {
        a = __builtin_ia32_crc32di(a, load_u64(at));
        b = __builtin_ia32_crc32di(b, load_u64(at + stride));
        c = __builtin_ia32_crc32di(c, load_u64(at + 2 * stride));
    }
    *crc = shifted(table, shifted(table, a) ^ b) ^ c;
    return at + 2 * stride;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_hardware(uint32_t start, const uint8_t *at, size_t len) {
    uint64_t crc = (uint32_t)~start;
    if (len >= 3 * STRIDE_SHORT) {
        pthread_once(&tables_once, tables_fill);
        for (; len >= 3 * STRIDE_LONG; len -= 3 * STRIDE_LONG)
            at = three_streams(&crc, at, STRIDE_LONG, tables.shift_long);
        for (; len >= 3 * STRIDE_SHORT; len -= 3 * STRIDE_SHORT)
            at = three_streams(&crc, at, STRIDE_SHORT, tables.shift_short);
    }
    for (; len >= 8; at += 8, len -= 8) crc = __builtin_ia32_crc32di(crc, load_u64(at));
    for (; len > 0; at++, len--) crc = __builtin_ia32_crc32qi((uint32_t)crc, *at);
    return ~(uint32_t)crc;
}

static int hardware_has_crc(void) {
    return __builtin_cpu_supports("sse4.2");
}

#elif defined(__aarch64__)

// As assembly, since the two compilers name the intrinsic and its target attribute differently.
static uint32_t crc32c_hardware(uint32_t crc, const uint8_t *at, size_t len) {
    crc = ~crc;
    for (; len >= 8; at += 8, len -= 8)
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(get_u64_le(at)));
    for (; len > 0; at++, len--)
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*at));
    return ~crc;
}

static int hardware_has_crc(void) {
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

#else

static uint32_t crc32c_hardware(uint32_t crc, const uint8_t *at, size_t len) {
    return crc32c_portable(crc, at, len);
}
static int hardware_has_crc(void) {
    return 0;
}

#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t len) {
    return hardware_has_crc() ? crc32c_hardware(crc, data, len) : crc32c_portable(crc, data, len);
}
