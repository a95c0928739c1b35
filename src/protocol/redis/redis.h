// Redis's protocol, RESP2 and RESP3: clients of Redis work unmodified. Semantics: Redis 7.0, differences:
// docs/redis.md. Data is the model's (model/keys); what belongs to a connection is here.
#pragma once
#include "base/limits.h"
#include "node/protocol.h"
#include <stdbool.h>
#include <stdint.h>

extern const struct protocol redis_protocol;

#define REDIS_LEADER_WAIT_MS 1500u  // without a leader: then a command is refused. Jedis gives up at 2 s, Redisson at 3
#define REDIS_VERSION "7.0.15"      // what clients are told: they ask for features by it
#define REDIS_OUTSTANDING_MAX 8192u // requests of one connection that wait for their reply

struct keys_row;
bool redis_serves(const struct keys_row *row); // for docs: else it is an error that says so

// All zero (or NULL) gives the defaults. Strings are borrowed for the life of the instance.
struct redis_settings {
    const char *password;      // NULL: none is asked for
    bool cluster;              // INFO says so: cluster clients refuse servers that do not
    const char *sentinel_name; // of the one master, for SENTINEL; NULL: "mymaster"
    uint32_t leader_wait_ms;   // 0: REDIS_LEADER_WAIT_MS
    uint32_t outstanding_max;  // 0: REDIS_OUTSTANDING_MAX
    uint64_t memory_max;       // what CONFIG and INFO tell
};
