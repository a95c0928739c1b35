// 1 .. 99 and 1000 up: what the connection answers (protocol/redis): greetings, transactions, clients, the server. And
// commands that only contain others.
#pragma once

#define KEYS_CONNECTION_COMMANDS(X)                                                                                    \
    X(1, "ping", -1, 0, 0, 0, KEYS_FAST, KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)                                      \
    X(2, "echo", 2, 0, 0, 0, KEYS_FAST, KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)                                       \
    X(3, "select", 2, 0, 0, 0, KEYS_LOADING | KEYS_STALE | KEYS_FAST, KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)         \
    X(4, "quit", -1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_NO_AUTH | KEYS_ALLOW_BUSY,  \
      KEYS_IN_FAST | KEYS_IN_CONNECTION, NULL)                                                                         \
    X(5, "multi", 1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_ALLOW_BUSY,                 \
      KEYS_IN_FAST | KEYS_IN_TRANSACTION, NULL)                                                                        \
    X(6, "exec", 1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_SKIP_SLOWLOG,                            \
      KEYS_IN_SLOW | KEYS_IN_TRANSACTION, NULL)                                                                        \
    X(7, "discard", 1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_ALLOW_BUSY,               \
      KEYS_IN_FAST | KEYS_IN_TRANSACTION, NULL)                                                                        \
    X(8, "watch", -2, 1, -1, 1,                                                                                        \
      KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_ALLOW_BUSY | KEYS_NO_MULTI,                         \
      KEYS_IN_FAST | KEYS_IN_TRANSACTION, NULL)                                                                        \
    X(9, "unwatch", 1, 0, 0, 0, KEYS_NOSCRIPT | KEYS_LOADING | KEYS_STALE | KEYS_FAST | KEYS_ALLOW_BUSY,               \
      KEYS_IN_FAST | KEYS_IN_TRANSACTION, NULL)                                                                        \
    X(224, "object", -2, 0, 0, 0, 0, KEYS_IN_SLOW, NULL)
