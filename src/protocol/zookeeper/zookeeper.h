// ZooKeeper's client protocol: every client of ZooKeeper 3.4 to 3.9 works unmodified. Semantics: 3.8.0, differences:
// docs/zookeeper.md.
#pragma once
#include "base/limits.h"
#include "node/protocol.h"
#include <stdbool.h>
#include <stdint.h>

extern const struct protocol zookeeper_protocol;

#define ZOOKEEPER_TICK_MS 2000u // ZooKeeper's tickTime; the session bounds hang on it
#define ZOOKEEPER_OUTSTANDING_MAX                                                                                      \
    1000u // requests under way of one connection (ZooKeeper's globalOutstandingLimit, here each)
#define ZOOKEEPER_OUTPUT_PAUSE                                                                                         \
    (8u << 20) // unsent bytes from which a connection is read no further: replies of a few full frames
#define ZOOKEEPER_OUTPUT_MAX (64u << 20)   // unsent bytes at which a client that never reads is closed
#define ZOOKEEPER_CONNECT_WAIT_MS 1000u    // how long a client that is ahead of this node may wait (protocol-facts.md)
#define ZOOKEEPER_GREETING_MS 10000u       // a connection whose connect request is not whole by then is closed
#define ZOOKEEPER_READ_ONLY_AFTER_MS 3000u // without a leader: then clients that allow it are served read-only
#define ZOOKEEPER_IDENTITIES_MAX 100u      // of one connection; they stand in every command it sends

// All zero (or NULL) gives the defaults. Strings are borrowed for the life of the instance.
struct zookeeper_settings {
    uint32_t tick_time_ms;             // 0: 2000
    uint32_t session_timeout_min_ms;   // 0: 2 ticks
    uint32_t session_timeout_max_ms;   // 0: 20 ticks
    uint32_t frame_bytes_max;          // 0: 1048575, ZooKeeper's jute.maxbuffer
    uint32_t reply_bytes_max;          // 0: as frame_bytes_max; what clients accept. A longer reply is an error
    uint32_t outstanding_max;          // 0: ZOOKEEPER_OUTSTANDING_MAX
    uint32_t output_pause_bytes;       // 0: ZOOKEEPER_OUTPUT_PAUSE
    uint32_t output_bytes_max;         // 0: ZOOKEEPER_OUTPUT_MAX
    uint32_t connect_wait_ms;          // 0: ZOOKEEPER_CONNECT_WAIT_MS
    uint32_t greeting_ms;              // 0: ZOOKEEPER_GREETING_MS
    uint32_t read_only_after_ms;       // 0: ZOOKEEPER_READ_ONLY_AFTER_MS
    uint32_t watches_max;              // of one connection; 0: no limit
    uint64_t watches_node_max;         // of all connections; 0: no limit
    bool read_only_off;                // refuse read-only service
    const char *four_letter_whitelist; // NULL: all of them; else "ruok,srvr"; "" is none; "*" is all
    const char *super_digest;          // "super:base64(sha1(super:password))"; NULL: there is no super user
};
