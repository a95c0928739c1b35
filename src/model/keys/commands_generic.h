// 200 .. 299: keys of any type, and databases.
#pragma once

#define KEYS_GENERIC_COMMANDS(X)                                                                                       \
    X(200, "del", -2, 1, -1, 1, KEYS_WRITE, KEYS_IN_KEYSPACE | KEYS_IN_WRITE | KEYS_IN_SLOW, generic_del)
