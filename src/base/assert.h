// Assertions for our own mistakes. They stay on in release builds: a process that broke its own invariant must not go
// on to write to disk. Bytes from outside never reach an assertion; they get the protocol's error.
#pragma once

// Prints file, line, function and text to stderr, then aborts. Never returns.
_Noreturn void ensure_failed(const char *file, int line, const char *func, const char *text);

#define ENSURE(condition)                                                                                              \
    (__builtin_expect(!!(condition), 1) ? (void)0 : ensure_failed(__FILE__, __LINE__, __func__, #condition))

// Marks a place that cannot be reached.
#define UNREACHABLE() ensure_failed(__FILE__, __LINE__, __func__, "unreachable")
