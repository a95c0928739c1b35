// See decimal.h. Every step is exact up to one rounding to the nearest, ties to even.
#include "model/keys/decimal.h"
#include "base/assert.h"
#include <string.h>

typedef unsigned __int128 wide;

#define EXPONENT_MIN (-16445) // of x86's long double, for a mantissa that is an integer
#define EXPONENT_MAX 16320
#define EXPONENT_TEXT_MAX 100000 // beyond this a text's exponent makes no difference
#define DIGITS_MAX 4940          // of a number that is not infinite; and zeros behind the point of one that is not 0
#define LIMBS 1060u              // 10^10080: what a text of DECIMAL_TEXT_MAX digits and such an exponent is divided by

struct big {
    uint32_t limbs[LIMBS]; // the least first
    size_t count;          // the last one is not 0
};

static void big_step(struct big *n, uint32_t factor, uint32_t addend) {
    uint64_t carry = addend;
    for (size_t i = 0; i < n->count; i++, carry >>= 32)
        n->limbs[i] = (uint32_t)(carry += (uint64_t)n->limbs[i] * factor);
    if (carry == 0) return;
    ENSURE(n->count < LIMBS);
    n->limbs[n->count++] = (uint32_t)carry;
}

static size_t big_bits(const struct big *n) {
    return n->count == 0 ? 0 : n->count * 32 - (size_t)__builtin_clz(n->limbs[n->count - 1]);
}

static void big_shift(struct big *n, size_t bits) {
    size_t whole = bits / 32;
    if (n->count == 0) return;
    ENSURE(n->count + whole < LIMBS);
    memmove(n->limbs + whole, n->limbs, n->count * sizeof n->limbs[0]);
    memset(n->limbs, 0, whole * sizeof n->limbs[0]);
    n->count += whole;
    big_step(n, 1u << (bits % 32), 0);
}

static int big_compare(const struct big *a, const struct big *b) {
    if (a->count != b->count) return a->count < b->count ? -1 : 1;
    for (size_t i = a->count; i-- > 0;)
        if (a->limbs[i] != b->limbs[i]) return a->limbs[i] < b->limbs[i] ? -1 : 1;
    return 0;
}

static void big_subtract(struct big *a, const struct big *b) { // a >= b
    uint64_t borrow = 0;
    for (size_t i = 0; i < a->count; i++) {
        uint64_t left = (uint64_t)a->limbs[i] - (i < b->count ? b->limbs[i] : 0) - borrow;
        a->limbs[i] = (uint32_t)left;
        borrow = left >> 63;
    }
    while (a->count > 0 && a->limbs[a->count - 1] == 0) a->count--;
}

// The nearest number to m * 2^exponent; `more`: a bit more than that.
static struct decimal nearest(bool negative, wide m, int64_t exponent, bool more) {
    struct decimal out = {.negative = negative};
    if (m == 0) return out;
    uint64_t top = (uint64_t)(m >> 64);
    int bits = top != 0 ? 128 - __builtin_clzll(top) : 64 - __builtin_clzll((uint64_t)m);
    int64_t shift = bits - 64;
    if (exponent + shift < EXPONENT_MIN) shift = EXPONENT_MIN - exponent;
    if (shift >= 128) return out;
    if (shift <= 0) {
        out.mantissa = (uint64_t)m << -shift;
    } else {
        wide rest = m & (((wide)1 << shift) - 1), half = (wide)1 << (shift - 1);
        out.mantissa = (uint64_t)(m >> shift);
        bool up = rest > half || (rest == half && (more || (out.mantissa & 1) != 0));
        if (up && ++out.mantissa == 0) {
            out.mantissa = 1ull << 63;
            shift++;
        }
    }
    out.exponent = (int32_t)(exponent + shift);
    out.infinite = exponent + shift > EXPONENT_MAX;
    return out;
}

// n / d, bit by bit: both are used up.
static struct decimal quotient(bool negative, struct big *n, struct big *d, int64_t exponent) {
    size_t n_bits = big_bits(n), d_bits = big_bits(d);
    if (n_bits < d_bits)
        big_shift(n, d_bits - n_bits);
    else
        big_shift(d, n_bits - d_bits);
    wide q = 0;
    for (int i = 0; i < 67; i++) { // the first bit may be 0
        bool one = big_compare(n, d) >= 0;
        if (one) big_subtract(n, d);
        q = q << 1 | one;
        big_step(n, 2, 0);
    }
    return nearest(negative, q, exponent + (int64_t)n_bits - (int64_t)d_bits - 66, n->count > 0);
}

// ---- reading

static int digit_of(uint8_t c, unsigned base) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return base == 16 && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Digits with at most one point; gives how many stand behind it. false: there is no digit.
static bool read_digits(struct reader *r, unsigned base, struct big *n, int64_t *behind) {
    bool any = false, point = false;
    *behind = 0;
    for (; reader_left(r) > 0; r->at++) {
        uint8_t c = r->data[r->at];
        int digit = digit_of(c, base);
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (digit < 0) break;
        big_step(n, base, (uint32_t)digit);
        *behind += point;
        any = true;
    }
    return any;
}

// The exponent after `letter`, if that is there: all that is left.
static bool read_exponent(struct reader *r, uint8_t letter, int64_t *out) {
    *out = 0;
    if (reader_left(r) == 0) return true;
    if ((read_u8(r) | 0x20) != letter || reader_left(r) == 0) return false;
    uint8_t sign = r->data[r->at];
    if (sign == '-' || sign == '+') r->at++;
    if (reader_left(r) == 0) return false;
    while (reader_left(r) > 0) {
        int digit = digit_of(read_u8(r), 10);
        if (digit < 0) return false;
        if (*out < EXPONENT_TEXT_MAX) *out = *out * 10 + digit;
    }
    if (sign == '-') *out = -*out;
    return true;
}

static bool word_is(const struct reader *r, const char *word) {
    size_t len = strlen(word);
    if (reader_left(r) != len) return false;
    for (size_t i = 0; i < len; i++)
        if ((r->data[r->at + i] | 0x20) != word[i]) return false;
    return true;
}

static void big_power_of_ten(struct big *n, int64_t power) {
    for (; power >= 9; power -= 9) big_step(n, 1000000000, 0);
    for (; power > 0; power--) big_step(n, 10, 0);
}

// false: less than the least number, or more than the largest.
static bool in_range(struct decimal *value) {
    bool good = value->mantissa != 0 && !value->infinite;
    value->infinite = false; // only the word is
    return good;
}

static bool read_number(struct reader *r, unsigned base, struct decimal *out) {
    struct big n, d;
    int64_t behind, exponent;
    bool ten = base == 10, negative = out->negative;
    n.count = 0;
    d.count = d.limbs[0] = 1;
    if (!read_digits(r, base, &n, &behind) || !read_exponent(r, ten ? 'e' : 'p', &exponent)) return false;
    if (n.count == 0) return true;
    if (!ten) {
        *out = quotient(negative, &n, &d, exponent - 4 * behind);
        return in_range(out);
    }
    exponent -= behind;
    int64_t digits = (int64_t)(big_bits(&n) * 30103 / 100000) + exponent; // of the whole part, about
    if (digits > DIGITS_MAX || digits < -DIGITS_MAX - 20) return false;
    big_power_of_ten(exponent >= 0 ? &n : &d, exponent >= 0 ? exponent : -exponent);
    *out = quotient(negative, &n, &d, 0);
    return in_range(out);
}

bool decimal_read(struct bytes text, struct decimal *out) {
    struct reader r = reader_of(text.data, text.len);
    *out = (struct decimal){0};
    if (text.len == 0 || text.len >= DECIMAL_TEXT_MAX) return false;
    out->negative = text.data[0] == '-';
    if (text.data[0] == '-' || text.data[0] == '+') r.at++;
    out->infinite = word_is(&r, "inf") || word_is(&r, "infinity");
    if (out->infinite) return true;
    bool hexadecimal = reader_left(&r) > 2 && r.data[r.at] == '0' && (r.data[r.at + 1] | 0x20) == 'x';
    if (hexadecimal) r.at += 2;
    return read_number(&r, hexadecimal ? 16 : 10, out);
}

// ---- adding

static struct decimal normal(struct decimal value) { // also one of the least exponent
    int shift = value.mantissa == 0 ? 0 : __builtin_clzll(value.mantissa);
    value.mantissa <<= shift;
    value.exponent -= shift;
    return value;
}

struct decimal decimal_add(struct decimal a, struct decimal b) {
    if (a.infinite || b.infinite) return a.infinite ? a : b;
    if (a.mantissa == 0 || b.mantissa == 0) return a.mantissa == 0 ? b : a;
    a = normal(a);
    b = normal(b);
    if (a.exponent < b.exponent || (a.exponent == b.exponent && a.mantissa < b.mantissa)) {
        struct decimal larger = b;
        b = a;
        a = larger;
    }
    int64_t apart = (int64_t)a.exponent - b.exponent;
    wide sum = (wide)a.mantissa << 63, part = 0;
    bool lost = apart >= 127;
    if (apart <= 63) {
        part = (wide)b.mantissa << (63 - apart);
    } else if (!lost) {
        part = b.mantissa >> (apart - 63);
        lost = (b.mantissa & ((1ull << (apart - 63)) - 1)) != 0;
    }
    if (a.negative == b.negative)
        sum += part;
    else
        sum -= part + lost; // what was lost makes it a bit more than this again
    return nearest(a.negative, sum, (int64_t)a.exponent - 63, lost);
}

// ---- writing

static size_t write_whole(char *out, uint64_t m, int32_t exponent) {
    static const uint32_t billion = 1000000000;
    struct big n = {.limbs = {(uint32_t)m, (uint32_t)(m >> 32)}, .count = m >> 32 != 0 ? 2 : m != 0};
    size_t len = 0, at = DECIMAL_TEXT_MAX;
    char digits[DECIMAL_TEXT_MAX];
    if (exponent > 0) big_shift(&n, (size_t)exponent);
    do {
        uint64_t rest = 0;
        for (size_t i = n.count; i-- > 0; rest %= billion) {
            rest = rest << 32 | n.limbs[i];
            n.limbs[i] = (uint32_t)(rest / billion);
        }
        while (n.count > 0 && n.limbs[n.count - 1] == 0) n.count--;
        for (int i = 0; i < 9; i++, rest /= 10) digits[--at] = (char)('0' + rest % 10);
    } while (n.count > 0);
    while (at < DECIMAL_TEXT_MAX - 1 && digits[at] == '0') at++;
    len = DECIMAL_TEXT_MAX - at;
    memcpy(out, digits + at, len);
    return len;
}

size_t decimal_write(char out[DECIMAL_TEXT_MAX], struct decimal value) {
    static const uint64_t places = 100000000000000000; // 10^17
    ENSURE(!value.infinite);
    uint64_t whole = value.mantissa, part = 0;
    int32_t exponent = value.exponent;
    if (exponent < 0) {
        int32_t down = -exponent;
        whole = down < 64 ? value.mantissa >> down : 0;
        wide scaled = (wide)(down < 64 ? value.mantissa & ((1ull << down) - 1) : value.mantissa) * places;
        if (down < 128) { // else less than half of the last place
            wide rest = scaled & (((wide)1 << down) - 1), half = (wide)1 << (down - 1);
            part = (uint64_t)(scaled >> down);
            part += rest > half || (rest == half && (part & 1) != 0);
        }
        if (part == places) {
            part = 0;
            whole++;
        }
        exponent = 0;
    }
    size_t len = 0;
    if (value.negative && (whole != 0 || part != 0)) out[len++] = '-';
    len += write_whole(out + len, whole, exponent);
    if (part == 0) return len;
    out[len++] = '.';
    for (uint64_t place = places / 10; part != 0; part %= place, place /= 10) out[len++] = (char)('0' + part / place);
    return len;
}
