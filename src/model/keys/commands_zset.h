// 600 .. 699: sorted sets.
#pragma once

#define KEYS_ZSET_COMMANDS(X)                                                                                          \
    X(600, "zadd", -4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST,                                                 \
      KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_FAST, zset_add)                                                      \
    X(601, "zincrby", 4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_FAST,                                               \
      KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_FAST, zset_incrby)                                                   \
    X(602, "zrem", -3, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_FAST, zset_rem)    \
    X(603, "zcard", 2, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_FAST, zset_card) \
    X(604, "zscore", 3, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_FAST,           \
      zset_score)                                                                                                      \
    X(605, "zmscore", -3, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_FAST,         \
      zset_mscore)                                                                                                     \
    X(606, "zrank", 3, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_FAST,            \
      zset_rank_of)                                                                                                    \
    X(607, "zrevrank", 3, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_FAST,         \
      zset_revrank)                                                                                                    \
    X(608, "zrange", -4, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW, zset_ranges)         \
    X(609, "zrangestore", -5, 1, 2, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,    \
      zset_rangestore)                                                                                                 \
    X(610, "zrangebyscore", -4, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,               \
      zset_rangebyscore)                                                                                               \
    X(611, "zrevrangebyscore", -4, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,            \
      zset_revrangebyscore)                                                                                            \
    X(612, "zrangebylex", -4, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,                 \
      zset_rangebylex)                                                                                                 \
    X(613, "zrevrangebylex", -4, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,              \
      zset_revrangebylex)                                                                                              \
    X(614, "zrevrange", -4, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW, zset_revrange)    \
    X(615, "zcount", 4, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_FAST,           \
      zset_countscore)                                                                                                 \
    X(616, "zlexcount", 4, 1, 1, 1, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_FAST,        \
      zset_lexcount)                                                                                                   \
    X(617, "zremrangebyrank", 4, 1, 1, 1, KEYS_WRITE, KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,                \
      zset_remrangebyrank)                                                                                             \
    X(618, "zremrangebyscore", 4, 1, 1, 1, KEYS_WRITE, KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,               \
      zset_remrangebyscore)                                                                                            \
    X(619, "zremrangebylex", 4, 1, 1, 1, KEYS_WRITE, KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,                 \
      zset_remrangebylex)                                                                                              \
    X(620, "zpopmin", -2, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_FAST,           \
      zset_popmin)                                                                                                     \
    X(621, "zpopmax", -2, 1, 1, 1, KEYS_WRITE | KEYS_FAST, KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_FAST,           \
      zset_popmax)                                                                                                     \
    X(622, "zmpop", -4, 0, 0, 0, KEYS_WRITE | KEYS_MOVABLEKEYS, KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,      \
      zset_mpop)                                                                                                       \
    X(623, "zunion", -3, 0, 0, 0, KEYS_READONLY | KEYS_MOVABLEKEYS, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,   \
      zset_union)                                                                                                      \
    X(624, "zinter", -3, 0, 0, 0, KEYS_READONLY | KEYS_MOVABLEKEYS, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,   \
      zset_inter)                                                                                                      \
    X(625, "zdiff", -3, 0, 0, 0, KEYS_READONLY | KEYS_MOVABLEKEYS, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,    \
      zset_diff)                                                                                                       \
    X(626, "zunionstore", -4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_MOVABLEKEYS,                                   \
      KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_SLOW, zset_unionstore)                                               \
    X(627, "zinterstore", -4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_MOVABLEKEYS,                                   \
      KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_SLOW, zset_interstore)                                               \
    X(628, "zdiffstore", -4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_MOVABLEKEYS,                                    \
      KEYS_IN_WRITE | KEYS_IN_SORTEDSET | KEYS_IN_SLOW, zset_diffstore)                                                \
    X(629, "zintercard", -3, 0, 0, 0, KEYS_READONLY | KEYS_MOVABLEKEYS,                                                \
      KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW, zset_intercard)                                                 \
    X(630, "zrandmember", -2, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW,                 \
      zset_randmember)                                                                                                 \
    X(631, "zscan", -3, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SORTEDSET | KEYS_IN_SLOW, zset_scan)
