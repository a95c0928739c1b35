// 300 .. 399: hashes.
#pragma once

#define KEYS_HASH_COMMANDS(X)                                                                                          \
    X(300, "hset", -4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_HASH | KEYS_IN_FAST,    \
      hash_set)                                                                                                        \
    X(301, "hmset", -4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_HASH | KEYS_IN_FAST,   \
      hash_mset)                                                                                                       \
    X(302, "hsetnx", 4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_HASH | KEYS_IN_FAST,   \
      hash_setnx)                                                                                                      \
    X(303, "hget", 3, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_HASH | KEYS_IN_FAST, hash_get)        \
    X(304, "hmget", -3, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_HASH | KEYS_IN_FAST, hash_mget)     \
    X(305, "hgetall", 2, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_HASH | KEYS_IN_SLOW, hash_getall)              \
    X(306, "hdel", -3, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_HASH | KEYS_IN_FAST, hash_del)         \
    X(307, "hlen", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_HASH | KEYS_IN_FAST, hash_len)        \
    X(308, "hexists", 3, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_HASH | KEYS_IN_FAST, hash_exists)  \
    X(309, "hkeys", 2, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_HASH | KEYS_IN_SLOW, hash_keys)                  \
    X(310, "hvals", 2, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_HASH | KEYS_IN_SLOW, hash_vals)                  \
    X(311, "hstrlen", 3, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_HASH | KEYS_IN_FAST, hash_strlen)  \
    X(312, "hincrby", 4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_HASH | KEYS_IN_FAST,  \
      hash_incrby)                                                                                                     \
    X(313, "hrandfield", -2, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_HASH | KEYS_IN_SLOW, hash_randfield)       \
    X(314, "hscan", -3, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_HASH | KEYS_IN_SLOW, hash_scan)
