// 200 .. 299: keys of any type, and databases.
#pragma once

#define KEYS_GENERIC_COMMANDS(X)                                                                                       \
    X(200, "del", -2, 1, -1, 1, KEYS_WRITE, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_SLOW, generic_del)              \
    X(201, "unlink", -2, 1, -1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_FAST,            \
      generic_del)                                                                                                     \
    X(202, "exists", -2, 1, -1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_FAST,          \
      generic_exists)                                                                                                  \
    X(203, "touch", -2, 1, -1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_FAST,           \
      generic_exists)                                                                                                  \
    X(204, "type", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_FAST,              \
      generic_type)                                                                                                    \
    X(205, "ttl", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_FAST, generic_ttl)  \
    X(206, "pttl", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_FAST,              \
      generic_pttl)                                                                                                    \
    X(207, "expiretime", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_FAST,        \
      generic_expiretime)                                                                                              \
    X(208, "pexpiretime", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_FAST,       \
      generic_pexpiretime)                                                                                             \
    X(209, "expire", -3, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_FAST,             \
      generic_expire)                                                                                                  \
    X(210, "pexpire", -3, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_FAST,            \
      generic_pexpire)                                                                                                 \
    X(211, "expireat", -3, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_FAST,           \
      generic_expireat)                                                                                                \
    X(212, "pexpireat", -3, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_FAST,          \
      generic_pexpireat)                                                                                               \
    X(213, "persist", 2, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_FAST,             \
      generic_persist)                                                                                                 \
    X(214, "rename", 3, 1, 2, 1, KEYS_WRITE, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_SLOW, generic_rename)          \
    X(215, "renamenx", 3, 1, 2, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_FAST,            \
      generic_renamenx)                                                                                                \
    X(216, "move", 3, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_FAST, generic_move)  \
    X(217, "swapdb", 3, 0, 0, 0, KEYS_WRITE | KEYS_FAST,                                                               \
      KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_FAST | KEYS_IN_DANGEROUS, generic_swapdb)                             \
    X(218, "flushdb", -1, 0, 0, 0, KEYS_WRITE, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_SLOW | KEYS_IN_DANGEROUS,    \
      generic_flushdb)                                                                                                 \
    X(219, "flushall", -1, 0, 0, 0, KEYS_WRITE, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_SLOW | KEYS_IN_DANGEROUS,   \
      generic_flushall)                                                                                                \
    X(220, "dbsize", 1, 0, 0, 0, KEYS_READONLY | KEYS_FAST, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_FAST,            \
      generic_dbsize)                                                                                                  \
    X(221, "randomkey", 1, 0, 0, 0, KEYS_READONLY, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_SLOW, generic_randomkey)  \
    X(222, "keys", 2, 0, 0, 0, KEYS_READONLY, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_SLOW | KEYS_IN_DANGEROUS,      \
      generic_keys)                                                                                                    \
    X(223, "scan", -2, 0, 0, 0, KEYS_READONLY, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_SLOW, generic_scan)           \
    X(228, "copy", -3, 1, 2, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_SLOW,            \
      generic_copy)                                                                                                    \
    X(225, "object|encoding", 3, 2, 2, 1, KEYS_READONLY, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_SLOW,               \
      object_encoding)                                                                                                 \
    X(226, "object|refcount", 3, 2, 2, 1, KEYS_READONLY, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_SLOW,               \
      object_refcount)                                                                                                 \
    X(227, "object|token", 3, 2, 2, 1, KEYS_READONLY, KEYS_IN_KEYSPACE | KEYS_IN_READ | KEYS_IN_SLOW, object_token)
