// What the modules share. Compiled into each of them: a module sees of libparley nothing but client/via.h.
#pragma once
#include "client/via.h"
#include <stdarg.h>
#include <string.h>

#define KIT_NEVER UINT64_MAX

uint64_t kit_now_ms(void);
enum parley_error kit_problem(struct parley_problem *problem, enum parley_error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *kit_parameter(const struct via_url *url, const char *name); // NULL: not given
// Only these ("recipe sslmode") are known: else false, with the problem.
bool kit_parameters_known(const struct via_url *url, const char *names, struct parley_problem *problem);

// Pauses of who asks again and again: from 1 ms on, longer and longer up to 50 ms, each drawn between half and the
// whole.
struct kit_pause {
    uint64_t length_ms;
    unsigned seed; // 0: not drawn yet
};
bool kit_pause(struct kit_pause *pause, uint64_t until_ms); // false: the time is over
// A name as it may stand in keys and paths: letters, digits and -._ stay, others are %XX. At most `size` with the NUL.
bool kit_escape(char *out, size_t size, const char *name);
