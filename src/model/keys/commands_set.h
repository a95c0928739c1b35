// 500 .. 599: sets.
#pragma once

#define KEYS_SET_COMMANDS(X)                                                                                           \
    X(500, "sadd", -3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_SET | KEYS_IN_FAST,     \
      set_add)                                                                                                         \
    X(501, "srem", -3, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_SET | KEYS_IN_FAST, set_rem)           \
    X(502, "smembers", 2, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SET | KEYS_IN_SLOW, set_members)              \
    X(503, "sismember", 3, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_SET | KEYS_IN_FAST,              \
      set_ismember)                                                                                                    \
    X(504, "smismember", -3, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_SET | KEYS_IN_FAST,            \
      set_mismember)                                                                                                   \
    X(505, "scard", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_SET | KEYS_IN_FAST, set_card)        \
    X(506, "spop", -2, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_SET | KEYS_IN_FAST, set_pop)           \
    X(507, "srandmember", -2, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SET | KEYS_IN_SLOW, set_randmember)       \
    X(508, "smove", 4, 1, 2, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_SET | KEYS_IN_FAST, set_move)          \
    X(509, "sinter", -2, 1, -1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SET | KEYS_IN_SLOW, set_inter)                \
    X(510, "sintercard", -3, 0, 0, 0, KEYS_READONLY | KEYS_MOVABLEKEYS, KEYS_IN_READ | KEYS_IN_SET | KEYS_IN_SLOW,     \
      set_intercard)                                                                                                   \
    X(511, "sinterstore", -3, 1, -1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_SET | KEYS_IN_SLOW,         \
      set_interstore)                                                                                                  \
    X(512, "sunion", -2, 1, -1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SET | KEYS_IN_SLOW, set_union)                \
    X(513, "sunionstore", -3, 1, -1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_SET | KEYS_IN_SLOW,         \
      set_unionstore)                                                                                                  \
    X(514, "sdiff", -2, 1, -1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SET | KEYS_IN_SLOW, set_diff)                  \
    X(515, "sdiffstore", -3, 1, -1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_SET | KEYS_IN_SLOW,          \
      set_diffstore)                                                                                                   \
    X(516, "sscan", -3, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SET | KEYS_IN_SLOW, set_scan)
