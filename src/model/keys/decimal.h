// Decimal texts as numbers of 64 bits of precision: what Redis computes in x86's long double, here in integers, so that
// INCRBYFLOAT gives the same bytes on every CPU.
#pragma once
#include "base/bytes.h"

#define DECIMAL_TEXT_MAX 5120u

struct decimal { // mantissa * 2^exponent; the mantissa is 0 or has its top bit, unless the exponent is the least
    uint64_t mantissa;
    int32_t exponent;
    bool negative, infinite;
};
bool decimal_read(struct bytes text, struct decimal *out); // as strtold reads them; false: none, or out of range
struct decimal decimal_add(struct decimal a, struct decimal b);
size_t decimal_write(char out[DECIMAL_TEXT_MAX], struct decimal value); // 17 places, zeros at the end cut; finite only
