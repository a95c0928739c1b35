// The commands, one list for each group. Rows drive decoding, arity, flags, key positions, ACL categories, dispatch,
// COMMAND and docs/redis.md. Numbers stand in entries: a row is never renumbered; those of a group begin at its
// hundred.
//
//   X(number, name, arity, first, last, step, flags, categories, handler)
//
// The handler is a function of this room; NULL for what the connection answers itself (protocol/redis).
#pragma once
#include "model/keys/commands_connection.h"
#include "model/keys/commands_generic.h"
#include "model/keys/commands_hash.h"
#include "model/keys/commands_list.h"
#include "model/keys/commands_set.h"
#include "model/keys/commands_string.h"
#include "model/keys/commands_zset.h"

#define KEYS_COMMANDS(X)                                                                                               \
    KEYS_CONNECTION_COMMANDS(X)                                                                                        \
    KEYS_GENERIC_COMMANDS(X)                                                                                           \
    KEYS_LIST_COMMANDS(X)                                                                                              \
    KEYS_STRING_COMMANDS(X)                                                                                            \
    KEYS_HASH_COMMANDS(X)                                                                                              \
    KEYS_SET_COMMANDS(X)                                                                                               \
    KEYS_ZSET_COMMANDS(X)
