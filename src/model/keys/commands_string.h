// 100 .. 199: strings.
#pragma once

#define KEYS_STRING_COMMANDS(X)                                                                                        \
    X(100, "get", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_STRING | KEYS_IN_FAST, string_get)     \
    X(101, "set", -3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_SLOW, string_set)
