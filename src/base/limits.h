// Limits that hold across rooms. Each with its reason; each also stands in docs/limits.md.
#pragma once

#define BATCH_BYTES_MAX                                                                                                \
    (8u << 20) // a batch in the journal: keeps one write and one peer message short (soft: one big command may pass it)
#define COMMAND_BYTES_MAX (128u << 20)       // one entry; the largest that a later protocol promises
#define ZK_FRAME_BYTES_DEFAULT 1048575u      // ZooKeeper's jute.maxbuffer default (0xfffff)
#define ZK_SESSION_EPHEMERALS_DEFAULT 10000u // a session's end is one entry and must stay short
#define MEMBERS_MAX 31u                      // voters and learners of one group
#define ADDRESS_TEXT_MAX 256u                // "host:port"
#define DIGEST_SAMPLE_EVERY 1024u            // indexes between digest samples
#define DIGEST_SAMPLES_KEPT 256u
