// 100 .. 199: strings.
#pragma once

#define KEYS_STRING_COMMANDS(X)                                                                                        \
    X(100, "get", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_STRING | KEYS_IN_FAST, string_get)     \
    X(101, "set", -3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_SLOW, string_set)   \
    X(102, "setnx", 3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_FAST,  \
      string_setnx)                                                                                                    \
    X(103, "setex", 4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_SLOW,              \
      string_setex)                                                                                                    \
    X(104, "psetex", 4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_SLOW,             \
      string_psetex)                                                                                                   \
    X(105, "getset", 3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_FAST, \
      string_getset)                                                                                                   \
    X(106, "getdel", 2, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_FAST, string_getdel) \
    X(107, "getex", -2, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_FAST, string_getex)  \
    X(108, "delifeq", 3, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_FAST,               \
      string_delifeq)                                                                                                  \
    X(109, "mget", -2, 1, -1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_STRING | KEYS_IN_FAST, string_mget) \
    X(110, "mset", -3, 1, -1, 2, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_SLOW,             \
      string_mset)                                                                                                     \
    X(111, "msetnx", -3, 1, -1, 2, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_SLOW,           \
      string_msetnx)                                                                                                   \
    X(112, "strlen", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_STRING | KEYS_IN_FAST,              \
      string_strlen)                                                                                                   \
    X(113, "getrange", 4, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_STRING | KEYS_IN_SLOW, string_getrange)       \
    X(114, "substr", 4, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_STRING | KEYS_IN_SLOW, string_getrange)         \
    X(115, "setrange", 4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_SLOW,           \
      string_setrange)                                                                                                 \
    X(116, "append", 3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_FAST, \
      string_append)                                                                                                   \
    X(117, "incr", 2, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_FAST,   \
      string_incr)                                                                                                     \
    X(118, "decr", 2, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_FAST,   \
      string_decr)                                                                                                     \
    X(119, "incrby", 3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_FAST, \
      string_incrby)                                                                                                   \
    X(120, "decrby", 3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_STRING | KEYS_IN_FAST, \
      string_decrby)
