// Integers as Redis reads and writes them, and words.
#include "model/keys/keys_internal.h"
#include <string.h>

bool number_read(struct bytes text, int64_t *out) {
    const uint8_t *at = text.data;
    size_t left = text.len;
    if (left == 0 || left > 20) return false;
    bool negative = *at == '-';
    if (negative) at++, left--;
    if (left == 0 || *at < '0' || *at > '9') return false;
    if (*at == '0') { // alone: not -0, not 01
        *out = 0;
        return left == 1 && !negative;
    }
    uint64_t value = 0;
    for (; left > 0; at++, left--) {
        uint64_t digit = (uint64_t)*at - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (value > (uint64_t)INT64_MAX + negative) return false;
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

size_t number_write(char out[24], int64_t value) {
    char digits[20];
    size_t count = 0, len = 0;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (value < 0) out[len++] = '-';
    do digits[count++] = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    while (count > 0) out[len++] = digits[--count];
    return len;
}

bool argument_number(struct keys_call *call, struct bytes text, int64_t *out) {
    if (number_read(text, out)) return true;
    reply_error(&call->out, "ERR value is not an integer or out of range");
    return false;
}

bool argument_signed_count(struct keys_call *call, struct bytes text, int64_t *out) {
    if (!argument_number(call, text, out)) return false;
    if (*out != INT64_MIN) return true;
    reply_error(&call->out, "ERR value is out of range, value must between -9223372036854775807 and "
                            "9223372036854775807");
    return false;
}

static uint8_t lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool text_is(struct bytes text, const char *word) {
    size_t len = strlen(word);
    if (len != text.len) return false;
    for (size_t i = 0; i < len; i++)
        if (lower(text.data[i]) != lower((uint8_t)word[i])) return false;
    return true;
}
