// Text to double. See double_text.h.
//
// value = digits * 10^exponent is made the quotient of two big integers, of which the first 64 bits are found by
// subtraction; what is left over only counts as zero or not. Short numbers, as nearly all are, take one multiplication
// or division of two doubles that hold their integers exactly, which IEEE 754 rounds right.
#include "model/keys/double_text.h"
#include "base/assert.h"
#include <string.h>

#define DIGITS_MAX 780 // a tie between two doubles has at most 767 digits: further ones only break it
#define WORDS_MAX 160  // 10^1130 and 800 digits are below 2^3900; 64 bits and a shift above
#define MANTISSA_BITS 53
#define EXPONENT_MIN (-1022)
#define EXPONENT_LARGEST 1023

struct big {
    uint32_t words[WORDS_MAX]; // lowest first
    size_t count;              // no zero word on top
};

static void big_multiply_add(struct big *b, uint32_t by, uint32_t add) {
    uint64_t carry = add;
    for (size_t i = 0; i < b->count; i++) {
        carry += (uint64_t)b->words[i] * by;
        b->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry == 0) return;
    ENSURE(b->count < WORDS_MAX);
    b->words[b->count++] = (uint32_t)carry;
}

static void big_power(struct big *b, int64_t ten) {
    for (; ten >= 9; ten -= 9) big_multiply_add(b, 1000000000u, 0);
    for (; ten > 0; ten--) big_multiply_add(b, 10, 0);
}

static int big_bits(const struct big *b) {
    return (int)b->count * 32 - __builtin_clz(b->words[b->count - 1]);
}

static void big_shift(struct big *b, int bits) {
    size_t words = (size_t)bits / 32;
    ENSURE(b->count + words < WORDS_MAX);
    memmove(b->words + words, b->words, b->count * sizeof b->words[0]);
    memset(b->words, 0, words * sizeof b->words[0]);
    b->count += words;
    big_multiply_add(b, 1u << (bits % 32), 0);
}

static int big_compare(const struct big *a, const struct big *b) {
    if (a->count != b->count) return a->count < b->count ? -1 : 1;
    for (size_t i = a->count; i-- > 0;)
        if (a->words[i] != b->words[i]) return a->words[i] < b->words[i] ? -1 : 1;
    return 0;
}

static void big_subtract(struct big *a, const struct big *b) { // a >= b
    uint64_t borrow = 0;
    for (size_t i = 0; i < a->count; i++) {
        uint64_t take = borrow + (i < b->count ? b->words[i] : 0);
        borrow = a->words[i] < take;
        a->words[i] = (uint32_t)(a->words[i] - take);
    }
    while (a->count > 0 && a->words[a->count - 1] == 0) a->count--;
}

static double from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// The double next to bits * 2^(exponent - 63), the top one of `bits` set; more: it is a little larger than that.
static double rounded(uint64_t bits, int64_t exponent, bool more, enum double_range *range) {
    int keep = MANTISSA_BITS;
    if (exponent < EXPONENT_MIN)
        keep = exponent < EXPONENT_MIN - 64 ? -1 : MANTISSA_BITS - (int)(EXPONENT_MIN - exponent);
    if (exponent > EXPONENT_LARGEST) {
        *range = DOUBLE_TOO_LARGE;
        return from_bits(0x7ffull << 52);
    }
    uint64_t kept = keep > 0 ? bits >> (64 - keep) : 0, rest = keep > 0 ? bits << keep : keep == 0 ? bits : 1;
    bool up = rest > 1ull << 63 || (rest == 1ull << 63 && (more || (kept & 1) != 0));
    kept += up;
    if (kept == 0) *range = DOUBLE_TOO_SMALL;
    // The hidden bit, or a carry out of the mantissa, counts into the exponent's field.
    uint64_t field = exponent < EXPONENT_MIN ? kept : ((uint64_t)(exponent - EXPONENT_MIN) << 52) + kept;
    if (field >> 52 == 0x7ff) *range = DOUBLE_TOO_LARGE;
    return from_bits(field);
}

static double quotient(const char *digits, size_t count, int64_t ten, enum double_range *range) {
    struct big above = {.count = 0}, below = {.words = {1}, .count = 1};
    for (size_t i = 0; i < count; i++) big_multiply_add(&above, 10, (uint32_t)(digits[i] - '0'));
    big_power(ten >= 0 ? &above : &below, ten >= 0 ? ten : -ten);
    int exponent = big_bits(&above) - big_bits(&below);
    big_shift(exponent >= 0 ? &below : &above, exponent >= 0 ? exponent : -exponent);
    if (big_compare(&above, &below) < 0) {
        big_shift(&above, 1);
        exponent--;
    }
    uint64_t bits = 0;
    for (int i = 0; i < 64; i++) {
        bool one = big_compare(&above, &below) >= 0;
        bits = bits << 1 | one;
        if (one) big_subtract(&above, &below);
        big_multiply_add(&above, 2, 0);
    }
    return rounded(bits, exponent, above.count > 0, range);
}

// ---- reading

struct scan {
    const uint8_t *text;
    size_t len, at;
};
static int peek(const struct scan *s, size_t ahead) {
    return s->at + ahead < s->len ? s->text[s->at + ahead] : -1;
}
static bool peek_is(const struct scan *s, size_t ahead, char lower) {
    int c = peek(s, ahead);
    return c >= 0 && (c | 0x20) == lower;
}

static int digit_of(int c, int base) {
    if (c >= '0' && c <= '9') return c - '0';
    int low = c < 0 ? 0 : c | 0x20;
    return base == 16 && low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// An exponent behind its letter; without digits it is none, and the letter not taken.
static int64_t read_exponent(struct scan *s, char letter) {
    if (!peek_is(s, 0, letter)) return 0;
    size_t sign = peek(s, 1) == '-' || peek(s, 1) == '+';
    if (digit_of(peek(s, 1 + sign), 10) < 0) return 0;
    bool negative = peek(s, 1) == '-';
    int64_t value = 0;
    for (s->at += 1 + sign; digit_of(peek(s, 0), 10) >= 0; s->at++)
        if (value < INT64_MAX / 16) value = value * 10 + digit_of(peek(s, 0), 10);
    return negative ? -value : value;
}

// Exact: up to 2^53 in integers, powers of ten up to 10^22.
static bool short_number(const char *digits, size_t count, int64_t ten, double *out) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int64_t value = 0;
    if (count > 15 || ten > 22 || ten < -22) return false;
    for (size_t i = 0; i < count; i++) value = value * 10 + (digits[i] - '0');
    *out = ten >= 0 ? (double)value * powers[ten] : (double)value / powers[-ten];
    return true;
}

// The digits that count, in `digits`; *ten: what power of ten the last one has. false: there is no digit at all.
static bool read_digits(struct scan *s, char digits[DIGITS_MAX + 1], size_t *count, int64_t *ten) {
    bool any = false, point = false, more = false;
    *count = 0;
    *ten = 0;
    for (;; s->at++) {
        int c = peek(s, 0);
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (digit_of(c, 10) < 0) break;
        any = true;
        if (*count < DIGITS_MAX) {
            if (*count > 0 || c != '0') digits[(*count)++] = (char)c;
            *ten -= point;
        } else {
            more |= c != '0';
            *ten += !point;
        }
    }
    if (more) {
        digits[(*count)++] = '1';
        --*ten;
    }
    return any;
}

static bool read_decimal(struct scan *s, double *out, enum double_range *range) {
    char digits[DIGITS_MAX + 1];
    size_t count;
    int64_t ten;
    if (!read_digits(s, digits, &count, &ten)) return false;
    ten += read_exponent(s, 'e');
    while (count > 1 && digits[count - 1] == '0') count--, ten++;
    if (count == 0 || short_number(digits, count, ten, out)) return true;
    int64_t top = ten + (int64_t)count; // the value is below 10^top
    if (top > 310 || top < -330) {
        *range = top > 0 ? DOUBLE_TOO_LARGE : DOUBLE_TOO_SMALL;
        *out = top > 0 ? from_bits(0x7ffull << 52) : 0;
        return true;
    }
    *out = quotient(digits, count, ten, range);
    return true;
}

static bool read_hexadecimal(struct scan *s, double *out, enum double_range *range) {
    uint64_t bits = 0;
    int64_t two = 0;
    bool point = false, any = false, more = false;
    for (;; s->at++) {
        int c = peek(s, 0), digit = digit_of(c, 16);
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (digit < 0) break;
        any = true;
        if (bits >> 60 == 0) {
            bits = bits << 4 | (uint64_t)digit;
            two -= 4 * point;
        } else {
            more |= digit != 0;
            two += 4 * !point;
        }
    }
    if (!any) return false;
    two += read_exponent(s, 'p');
    if (bits == 0) return true;
    int zeros = __builtin_clzll(bits);
    *out = rounded(bits << zeros, two + 63 - zeros, more, range);
    return true;
}

static bool read_infinity(struct scan *s, double *out) {
    static const char word[] = "infinity";
    size_t same = 0;
    while (same < 8 && peek_is(s, same, word[same])) same++;
    if (same < 3) return false;
    s->at += same == 8 ? 8 : 3;
    *out = from_bits(0x7ffull << 52);
    return true;
}

size_t double_read(struct bytes text, double *out, enum double_range *range) {
    struct scan s = {.text = text.data, .len = text.len};
    bool negative = peek(&s, 0) == '-', good;
    *out = 0;
    *range = DOUBLE_IN_RANGE;
    if (negative || peek(&s, 0) == '+') s.at++;
    bool hexadecimal = peek(&s, 0) == '0' && peek_is(&s, 1, 'x') &&
                       (digit_of(peek(&s, 2), 16) >= 0 || (peek(&s, 2) == '.' && digit_of(peek(&s, 3), 16) >= 0));
    if (hexadecimal) {
        s.at += 2;
        good = read_hexadecimal(&s, out, range);
    } else {
        good = peek_is(&s, 0, 'i') ? read_infinity(&s, out) : read_decimal(&s, out, range);
    }
    if (!good) return 0;
    if (negative) *out = -*out;
    return s.at;
}

bool double_read_whole(struct bytes text, double *out) {
    enum double_range range;
    return text.len > 0 && double_read(text, out, &range) == text.len && range == DOUBLE_IN_RANGE;
}
