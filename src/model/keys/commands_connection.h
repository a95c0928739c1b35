// 1 .. 99 and 1000 up: what the connection answers (protocol/redis): greetings, transactions, clients, the server. And
// commands that only contain others.
#pragma once

#define KEYS_CONNECTION_COMMANDS(X)                                                                                    \
    X(1, "ping", -1, 0, 0, 0, KEYS_FAST, KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)                                      \
    X(2, "echo", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE | KEYS_FAST, KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)           \
    X(3, "select", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE | KEYS_FAST, KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)         \
    X(4, "quit", -1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_NO_AUTH | KEYS_ALLOW_BUSY,  \
      KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)                                                                         \
    X(5, "multi", 1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_ALLOW_BUSY,                 \
      KEYS_IN_FAST | KEYS_IN_TRANSACTION, NULL)                                                                        \
    X(6, "exec", 1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_SKIP_SLOWLOG,                            \
      KEYS_IN_SLOW | KEYS_IN_TRANSACTION, NULL)                                                                        \
    X(7, "discard", 1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_ALLOW_BUSY,               \
      KEYS_IN_FAST | KEYS_IN_TRANSACTION, NULL)                                                                        \
    X(8, "watch", -2, 1, -1, 1, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_ALLOW_BUSY,               \
      KEYS_IN_FAST | KEYS_IN_TRANSACTION, NULL)                                                                        \
    X(9, "unwatch", 1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_ALLOW_BUSY,               \
      KEYS_IN_FAST | KEYS_IN_TRANSACTION, NULL)                                                                        \
    X(10, "auth", -2, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_NO_AUTH | KEYS_ALLOW_BUSY, \
      KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)                                                                         \
    X(11, "client", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                                \
    X(12, "client|caching", 3, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION,  \
      NULL)                                                                                                            \
    X(13, "client|getname", 2, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION,  \
      NULL)                                                                                                            \
    X(14, "client|getredir", 2, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, \
      NULL)                                                                                                            \
    X(15, "client|help", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)               \
    X(16, "client|id", 2, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL) \
    X(17, "client|info", 2, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION,     \
      NULL)                                                                                                            \
    X(18, "client|kill", -3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                          \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS | KEYS_IN_CONNECTION, NULL)                                     \
    X(19, "client|list", -2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                          \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS | KEYS_IN_CONNECTION, NULL)                                     \
    X(20, "client|no-evict", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                       \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS | KEYS_IN_CONNECTION, NULL)                                     \
    X(21, "client|pause", -3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                         \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS | KEYS_IN_CONNECTION, NULL)                                     \
    X(22, "client|reply", 3, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION,    \
      NULL)                                                                                                            \
    X(23, "client|setname", 3, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION,  \
      NULL)                                                                                                            \
    X(24, "client|tracking", -3, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                                   \
      KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)                                                                         \
    X(25, "client|trackinginfo", 2, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                                \
      KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)                                                                         \
    X(26, "client|unblock", -3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                       \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS | KEYS_IN_CONNECTION, NULL)                                     \
    X(27, "client|unpause", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                        \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS | KEYS_IN_CONNECTION, NULL)                                     \
    X(28, "hello", -1, 0, 0, 0,                                                                                        \
      KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_NO_AUTH | KEYS_ALLOW_BUSY,                          \
      KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)                                                                         \
    X(29, "reset", 1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_NO_AUTH | KEYS_ALLOW_BUSY, \
      KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)                                                                         \
    X(30, "client|setinfo", 4, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION,  \
      NULL)                                                                                                            \
    X(31, "client|no-touch", 3, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, \
      NULL)                                                                                                            \
    X(224, "object", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                               \
    X(1000, "asking", 1, 0, 0, 0, KEYS_FAST, KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)                                  \
    X(1001, "cluster", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                             \
    X(1002, "cluster|addslots", -3, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                          \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1003, "cluster|addslotsrange", -4, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                     \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1004, "cluster|bumpepoch", 2, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                          \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1005, "cluster|count-failure-reports", 3, 0, 0, 0, KEYS_ADMIN | KEYS_STALE,                                      \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1006, "cluster|countkeysinslot", 3, 0, 0, 0, KEYS_STALE, KEYS_IN_SLOW, NULL)                                     \
    X(1007, "cluster|delslots", -3, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                          \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1008, "cluster|delslotsrange", -4, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                     \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1009, "cluster|failover", -2, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                          \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1010, "cluster|flushslots", 2, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                         \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1011, "cluster|forget", 3, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                             \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1012, "cluster|getkeysinslot", 4, 0, 0, 0, KEYS_STALE, KEYS_IN_SLOW, NULL)                                       \
    X(1013, "cluster|help", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                                 \
    X(1014, "cluster|info", 2, 0, 0, 0, KEYS_STALE, KEYS_IN_SLOW, NULL)                                                \
    X(1015, "cluster|keyslot", 3, 0, 0, 0, KEYS_STALE, KEYS_IN_SLOW, NULL)                                             \
    X(1016, "cluster|links", 2, 0, 0, 0, KEYS_STALE, KEYS_IN_SLOW, NULL)                                               \
    X(1017, "cluster|meet", -4, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                              \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1018, "cluster|myid", 2, 0, 0, 0, KEYS_STALE, KEYS_IN_SLOW, NULL)                                                \
    X(1019, "cluster|nodes", 2, 0, 0, 0, KEYS_STALE, KEYS_IN_SLOW, NULL)                                               \
    X(1020, "cluster|replicas", 3, 0, 0, 0, KEYS_ADMIN | KEYS_STALE, KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, \
      NULL)                                                                                                            \
    X(1021, "cluster|replicate", 3, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                          \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1022, "cluster|reset", -2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_STALE,                                     \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1023, "cluster|saveconfig", 2, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                         \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1024, "cluster|set-config-epoch", 3, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                   \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1025, "cluster|setslot", -4, 0, 0, 0, KEYS_ADMIN | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                           \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1026, "cluster|shards", 2, 0, 0, 0, KEYS_STALE, KEYS_IN_SLOW, NULL)                                              \
    X(1027, "cluster|slaves", 3, 0, 0, 0, KEYS_ADMIN | KEYS_STALE, KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS,   \
      NULL)                                                                                                            \
    X(1028, "cluster|slots", 2, 0, 0, 0, KEYS_STALE, KEYS_IN_SLOW, NULL)                                               \
    X(1029, "readonly", 1, 0, 0, 0, KEYS_LOADING | KEYS_STALE | KEYS_FAST, KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)    \
    X(1030, "readwrite", 1, 0, 0, 0, KEYS_LOADING | KEYS_STALE | KEYS_FAST, KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)   \
    X(1100, "psubscribe", -2, 0, 0, 0, KEYS_PUBSUB | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                        \
      KEYS_IN_PUBSUB | KEYS_IN_SLOW, NULL)                                                                             \
    X(1101, "publish", 3, 0, 0, 0, KEYS_PUBSUB | KEYS_LOADING | KEYS_STALE | KEYS_FAST, KEYS_IN_PUBSUB | KEYS_IN_FAST, \
      NULL)                                                                                                            \
    X(1102, "pubsub", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                              \
    X(1103, "pubsub|channels", -2, 0, 0, 0, KEYS_PUBSUB | KEYS_LOADING | KEYS_STALE, KEYS_IN_PUBSUB | KEYS_IN_SLOW,    \
      NULL)                                                                                                            \
    X(1104, "pubsub|help", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                                  \
    X(1105, "pubsub|numpat", 2, 0, 0, 0, KEYS_PUBSUB | KEYS_LOADING | KEYS_STALE, KEYS_IN_PUBSUB | KEYS_IN_SLOW, NULL) \
    X(1106, "pubsub|numsub", -2, 0, 0, 0, KEYS_PUBSUB | KEYS_LOADING | KEYS_STALE, KEYS_IN_PUBSUB | KEYS_IN_SLOW,      \
      NULL)                                                                                                            \
    X(1107, "pubsub|shardchannels", -2, 0, 0, 0, KEYS_PUBSUB | KEYS_LOADING | KEYS_STALE,                              \
      KEYS_IN_PUBSUB | KEYS_IN_SLOW, NULL)                                                                             \
    X(1108, "pubsub|shardnumsub", -2, 0, 0, 0, KEYS_PUBSUB | KEYS_LOADING | KEYS_STALE, KEYS_IN_PUBSUB | KEYS_IN_SLOW, \
      NULL)                                                                                                            \
    X(1109, "punsubscribe", -1, 0, 0, 0, KEYS_PUBSUB | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                      \
      KEYS_IN_PUBSUB | KEYS_IN_SLOW, NULL)                                                                             \
    X(1110, "spublish", 3, 1, 1, 1, KEYS_PUBSUB | KEYS_LOADING | KEYS_STALE | KEYS_FAST,                               \
      KEYS_IN_PUBSUB | KEYS_IN_FAST, NULL)                                                                             \
    X(1111, "ssubscribe", -2, 1, -1, 1, KEYS_PUBSUB | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                       \
      KEYS_IN_PUBSUB | KEYS_IN_SLOW, NULL)                                                                             \
    X(1112, "subscribe", -2, 0, 0, 0, KEYS_PUBSUB | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                         \
      KEYS_IN_PUBSUB | KEYS_IN_SLOW, NULL)                                                                             \
    X(1113, "sunsubscribe", -1, 1, -1, 1, KEYS_PUBSUB | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                     \
      KEYS_IN_PUBSUB | KEYS_IN_SLOW, NULL)                                                                             \
    X(1114, "unsubscribe", -1, 0, 0, 0, KEYS_PUBSUB | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                       \
      KEYS_IN_PUBSUB | KEYS_IN_SLOW, NULL)                                                                             \
    X(1200, "acl", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                                 \
    X(1201, "acl|cat", -2, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                     \
    X(1202, "acl|deluser", -3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                        \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1203, "acl|dryrun", -4, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                         \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1204, "acl|genpass", -2, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                 \
    X(1205, "acl|getuser", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                         \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1206, "acl|help", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                                     \
    X(1207, "acl|list", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                            \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1208, "acl|load", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                            \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1209, "acl|log", -2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                            \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1210, "acl|save", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                            \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1211, "acl|setuser", -3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                        \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1212, "acl|users", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                           \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1213, "acl|whoami", 2, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                   \
    X(1214, "bgrewriteaof", 1, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_NO_ASYNC_LOADING,                            \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1215, "bgsave", -1, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_NO_ASYNC_LOADING,                                 \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1216, "command", -1, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)                \
    X(1217, "command|count", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)           \
    X(1218, "command|docs", -2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)           \
    X(1219, "command|getkeys", -4, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)        \
    X(1220, "command|getkeysandflags", -4, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION,      \
      NULL)                                                                                                            \
    X(1221, "command|help", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)            \
    X(1222, "command|info", -2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)           \
    X(1223, "command|list", -2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)           \
    X(1224, "config", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                              \
    X(1225, "config|get", -3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                         \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1226, "config|help", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                                  \
    X(1227, "config|resetstat", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                    \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1228, "config|rewrite", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                      \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1229, "config|set", -4, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                         \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1230, "debug", -2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                              \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1231, "failover", -1, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_STALE,                                          \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1232, "info", -1, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                    \
    X(1233, "lastsave", 1, 0, 0, 0, KEYS_LOADING | KEYS_STALE | KEYS_FAST,                                             \
      KEYS_IN_ADMIN | KEYS_IN_FAST | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1234, "latency", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                             \
    X(1235, "latency|doctor", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                      \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1236, "latency|graph", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                       \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1237, "latency|help", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                                 \
    X(1238, "latency|histogram", -2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                  \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1239, "latency|history", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                     \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1240, "latency|latest", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                      \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1241, "latency|reset", -2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                      \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1242, "lolwut", -1, 0, 0, 0, KEYS_READONLY | KEYS_FAST, KEYS_IN_READ | KEYS_IN_FAST, NULL)                       \
    X(1243, "memory", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                              \
    X(1244, "memory|doctor", 2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                        \
    X(1245, "memory|help", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                                  \
    X(1246, "memory|malloc-stats", 2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                  \
    X(1247, "memory|purge", 2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                         \
    X(1248, "memory|stats", 2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                         \
    X(1249, "memory|usage", -3, 2, 2, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_SLOW, NULL)                             \
    X(1250, "migrate", -6, 3, 3, 1, KEYS_WRITE | KEYS_MOVABLEKEYS,                                                     \
      KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                       \
    X(1251, "module", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                              \
    X(1252, "module|help", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                                  \
    X(1253, "module|list", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT, KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS,   \
      NULL)                                                                                                            \
    X(1254, "module|load", -3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_NO_ASYNC_LOADING,                            \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1255, "module|loadex", -3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_NO_ASYNC_LOADING,                          \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1256, "module|unload", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_NO_ASYNC_LOADING,                           \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1257, "monitor", 1, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                             \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1258, "psync", -3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_NO_ASYNC_LOADING | KEYS_NO_MULTI,                  \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1259, "replconf", -1, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_ALLOW_BUSY,         \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1260, "replicaof", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                  \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1261, "restore-asking", -4, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM | KEYS_ASKING,                                    \
      KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                       \
    X(1262, "role", 1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST,                                 \
      KEYS_IN_ADMIN | KEYS_IN_FAST | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1263, "save", 1, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_NO_ASYNC_LOADING | KEYS_NO_MULTI,                    \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1264, "shutdown", -1, 0, 0, 0,                                                                                   \
      KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_NO_MULTI | KEYS_ALLOW_BUSY,                        \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1265, "slaveof", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_STALE | KEYS_NO_ASYNC_LOADING,                    \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1266, "slowlog", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)                                                             \
    X(1267, "slowlog|get", -2, 0, 0, 0, KEYS_ADMIN | KEYS_LOADING | KEYS_STALE,                                        \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1268, "slowlog|help", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE, KEYS_IN_SLOW, NULL)                                 \
    X(1269, "slowlog|len", 2, 0, 0, 0, KEYS_ADMIN | KEYS_LOADING | KEYS_STALE,                                         \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1270, "slowlog|reset", 2, 0, 0, 0, KEYS_ADMIN | KEYS_LOADING | KEYS_STALE,                                       \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1271, "sync", 1, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_NO_ASYNC_LOADING | KEYS_NO_MULTI,                    \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1272, "time", 1, 0, 0, 0, KEYS_LOADING | KEYS_STALE | KEYS_FAST, KEYS_IN_FAST, NULL)                             \
    X(1273, "wait", 3, 0, 0, 0, KEYS_NOSCRIPT, KEYS_IN_SLOW | KEYS_IN_CONNECTION, NULL)                                \
    X(1500, "sentinel", -2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                           \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1501, "sentinel|ckquorum", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                   \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1502, "sentinel|failover", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                   \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1503, "sentinel|get-master-addr-by-name", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,    \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1504, "sentinel|help", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                       \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1505, "sentinel|is-master-down-by-addr", 6, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,     \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1506, "sentinel|master", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                     \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1507, "sentinel|masters", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                    \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1508, "sentinel|monitor", 6, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                    \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1509, "sentinel|myid", 2, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                       \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1510, "sentinel|remove", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                     \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1511, "sentinel|replicas", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                   \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1512, "sentinel|reset", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                      \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1513, "sentinel|sentinels", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                  \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1514, "sentinel|set", -5, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                       \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)                                                          \
    X(1515, "sentinel|slaves", 3, 0, 0, 0, KEYS_ADMIN | KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE,                     \
      KEYS_IN_ADMIN | KEYS_IN_SLOW | KEYS_IN_DANGEROUS, NULL)
