// 400 .. 499: lists.
#pragma once

#define KEYS_LIST_COMMANDS(X)                                                                                          \
    X(400, "lpush", -3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_FAST,   \
      list_lpush)                                                                                                      \
    X(401, "rpush", -3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_FAST,   \
      list_rpush)                                                                                                      \
    X(402, "lpushx", -3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_FAST,  \
      list_lpushx)                                                                                                     \
    X(403, "rpushx", -3, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_FAST,  \
      list_rpushx)                                                                                                     \
    X(404, "lpop", -2, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_FAST, list_lpop)        \
    X(405, "rpop", -2, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_FAST, list_rpop)        \
    X(406, "llen", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_LIST | KEYS_IN_FAST, list_llen)       \
    X(407, "lindex", 3, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_LIST | KEYS_IN_SLOW, list_lindex)               \
    X(408, "lset", 4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_SLOW, list_lset)      \
    X(409, "lrange", 4, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_LIST | KEYS_IN_SLOW, list_lrange)               \
    X(410, "linsert", 5, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_SLOW,              \
      list_linsert)                                                                                                    \
    X(411, "lrem", 4, 1, 1, 1, KEYS_WRITE, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_SLOW, list_lrem)                     \
    X(412, "ltrim", 4, 1, 1, 1, KEYS_WRITE, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_SLOW, list_ltrim)                   \
    X(413, "lpos", -3, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_LIST | KEYS_IN_SLOW, list_lpos)                  \
    X(414, "lmove", 5, 1, 2, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_SLOW, list_lmove)    \
    X(415, "rpoplpush", 3, 1, 2, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_SLOW,            \
      list_rpoplpush)                                                                                                  \
    X(416, "lmpop", -4, 0, 0, 0, KEYS_WRITE | KEYS_MOVABLEKEYS, KEYS_IN_WRITE | KEYS_IN_LIST | KEYS_IN_SLOW, list_lmpop)
