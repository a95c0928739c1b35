// Partitioned topics with consumer groups as replicated state. A topic has a fixed number of partitions, each a
// sequence of messages with offsets from 0 on; a message stays until retention drops it, whoever has read it. Within a
// group each partition has at most one reader at a time; groups do not know of each other.
//
//   topic "orders"  0: [m0 m1 m2 m3]     group "bill":  0 -> a, token 17, committed 2     members a, b
//                   1: [m0 m1]                          1 -> b, token 18, committed 2
//                   2: [m0 m1 m2]                       2 -> a, token 21, committed 0
//
// Who reads a partition is told by a fencing token that grows with every change of its reader. Joining, leaving and the
// end of a member rebalance the group in the same entry, by its strategy. A partition that is to move between two
// members that live is first REVOKED: its reader is told, gets no more of it, may still commit, and gives it back
// (RELEASE); when it does, or when the group's hand-over time is over, the next one gets it, under a new token. From
// that entry on the old token fetches and commits nothing, so two never read one partition at once, even when one was
// paused. What the former reader had fetched and not committed is read again by the next one.
//
// Reading is a query, made behind a read round: it costs no entry, and its token was valid at that round. Committed
// offsets say what to read next, and only go forward. Time is log time.
#pragma once
#include "model/model.h"

#define TOPIC_NAME_BYTES_MAX 240u         // of topics, groups, members, producers: with a number it is an item's name
#define TOPIC_KEY_BYTES_MAX 255u          // a saved record must hold it whole
#define TOPIC_ROOM_BYTES_MAX 64u          // machine rooms have short names, and each partition keeps one
#define TOPIC_DEDUP_BYTES_MAX 128u        // a UUID with a prefix
#define TOPIC_PARTITIONS_MAX 1024u        // a rebalance is one entry and looks at each
#define TOPIC_BODY_BYTES_MAX (128u << 10) // a saved record must hold it whole
#define TOPIC_PUBLISH_MAX 100u            // messages in one publish: its answer is remembered whole
#define TOPIC_PUBLISH_BYTES_MAX (160u << 10) // keys and bodies of one publish: one that is held is one saved record
#define TOPIC_FETCH_MAX 1000u                // messages in one answer
#define TOPIC_FETCH_BYTES_MAX (1u << 20)     // keys and bodies in one answer; one message is always given
#define TOPIC_MESSAGES_MAX 1000000u          // of one topic: deleting it is one entry
#define TOPIC_BYTES_DEFAULT (256ull << 20)   // keys and bodies of one topic, when it is not given its own bound
#define TOPIC_BYTES_MAX (64ull << 30)        // it lives in memory
#define TOPIC_GROUPS_MAX 256u                // of one topic: publishing tells each of them
#define TOPIC_MEMBERS_MAX 1024u              // of one group: more than partitions have nothing to do
#define TOPIC_SESSION_MAX 32u                // memberships of one session: its end is one entry, each with a rebalance
#define TOPIC_PRODUCERS_MAX 100000u          // numbered ones that one topic remembers
#define TOPIC_HELD_MAX 1000u                 // publishes of a producer that wait for an earlier number
#define TOPIC_REMEMBERED_MAX 1000000u        // publishes that were given a deduplication id, of all topics
#define TOPIC_TIME_MS_MAX (30ull * 24 * 3600 * 1000) // TTLs, hand-over, deduplication
#define TOPIC_RETENTION_MS_MAX (3650ull * 24 * 3600 * 1000)
#define TOPIC_HANDOVER_MS_DEFAULT 30000u         // a batch of work is done by then; who needs less gives it back
#define TOPIC_GAP_MS 30000u                      // how long a publish waits for an earlier number, as in queues
#define TOPIC_NUMBERING_MS (24ull * 3600 * 1000) // a producer's numbering is forgotten after, as in queues
#define TOPIC_GRID_MS 1000u                      // what is dropped by age is dropped together: a time entry a second
#define TOPIC_RING_POINTS 32u // of one member on the consistent hash ring: shares differ by about a sixth

// Operations. Names, keys, bodies, dedup, rooms: blobs. Numbers: varints.
#define TOPIC_OPS(X)                                                                                                   \
    X(CREATE, 1)       /* struct topic_options: name, partitions, retention_count, retention_bytes, retention_ms,      \
                          bytes_max, rooms' count (0 or partitions), rooms. Of one that is there: its new settings */  \
    X(DELETE, 2)       /* name: with its messages and groups */                                                        \
    X(PUBLISH, 3)      /* name, dedup, dedup_ms, producer, number, count, then of each partition + 1 (0: by key), key, \
                          body */                                                                                      \
    X(JOIN, 4)         /* struct topic_join: topic, group, member, ttl_ms, strategy u8, start u8, handover_ms, room,   \
                          partitions' count, partitions */                                                             \
    X(HEARTBEAT, 5)    /* topic, group, member's number: of one with a TTL */                                          \
    X(LEAVE, 6)        /* topic, group, member's number */                                                             \
    X(RELEASE, 7)      /* topic, group, partition, token: the next one may have it */                                  \
    X(COMMIT, 8)       /* topic, group, partition, token, offset of what is to be read next */                         \
    X(GROUP_DELETE, 9) /* topic, group: one without members */
enum topic_op {
#define X(name, value) TOPIC_##name = value,
    TOPIC_OPS(X)
#undef X
};

#define TOPIC_ERRORS(X)                                                                                                \
    X(NOT_FOUND, -1, "no such topic or group")                                                                         \
    X(EXISTS, -2, "the topic is there, with another number of partitions")                                             \
    X(FULL, -3, "the topic is full, and has no retention that would drop what is old")                                 \
    X(NOT_ASSIGNED, -4, "not assigned under this token, or not any more")                                              \
    X(NOT_MEMBER, -5, "no such member, or not any more")                                                               \
    X(STRATEGY, -6, "the group's members have another strategy")                                                       \
    X(PARTITION, -7, "the topic has no such partition")                                                                \
    X(OFFSET, -8, "beyond the partition's end")                                                                        \
    X(GAP, -9, "too many publishes of this producer wait for an earlier number")                                       \
    X(LIMIT, -10, "more than a session, a group or a topic may have")                                                  \
    X(NOT_EMPTY, -11, "the group has members")                                                                         \
    X(BAD_ARGUMENTS, -12, "arguments out of bounds")
enum topic_error {
    TOPIC_OK = 0,
#define X(name, code, text) TOPIC_##name = code,
    TOPIC_ERRORS(X)
#undef X
};

enum topic_strategy {
    TOPIC_STRATEGY_ANY = 0, // of a JOIN: the group's; of the join that makes the group: AVERAGELY
    TOPIC_AVERAGELY = 1,
    TOPIC_BY_CIRCLE,
    TOPIC_CONSISTENT_HASH,
    TOPIC_BY_CONFIG,
    TOPIC_BY_MACHINE_ROOM,
    TOPIC_STRATEGY_END,
};
enum topic_start { TOPIC_EARLIEST = 0, TOPIC_LATEST = 1 }; // where a new group begins to read

struct topic_options {
    struct bytes name;
    uint32_t partitions;
    uint64_t retention_count, retention_bytes; // of each partition; 0: none. More is dropped, the oldest first
    uint64_t retention_ms;                     // older is dropped, within TOPIC_GRID_MS; 0: none
    uint64_t bytes_max;                        // keys and bodies, of all partitions; 0: TOPIC_BYTES_DEFAULT
    const struct bytes *rooms;                 // of each partition, for BY_MACHINE_ROOM; NULL: none is in any
};

struct topic_entry { // a message to publish
    bool by_key;     // its partition is found by its key; without a key by turns
    uint32_t partition;
    struct bytes key, body;
};
struct topic_publish {
    struct bytes name;
    struct bytes dedup; // a second publish with it within dedup_ms answers what the first did; empty: none
    uint64_t dedup_ms;
    struct bytes producer; // numbers its publishes from 1: n waits for n - 1, repeats are dropped; empty: does not
    uint64_t number;
    const struct topic_entry *entries;
    uint32_t count;
};

struct topic_join {
    struct bytes topic, group, member;
    uint64_t ttl_ms; // without a session: it ends so long after the last heartbeat
    enum topic_strategy strategy;
    enum topic_start start;     // of the join that makes the group
    uint64_t handover_ms;       // of the join that finds the group without members; 0: TOPIC_HANDOVER_MS_DEFAULT
    struct bytes room;          // for BY_MACHINE_ROOM
    const uint32_t *partitions; // for BY_CONFIG: which it may read
    uint32_t partition_count;
};

struct topic_place {
    uint32_t partition;
    uint64_t offset;
};
struct topic_result {                 // value of every operation
    bool duplicate;                   // PUBLISH: dropped; places only if it was by dedup
    bool waits;                       // PUBLISH: for an earlier number; the event PUBLISHED or GAP names `ticket`
    uint64_t ticket;                  //
    const struct topic_place *places; // PUBLISH: of each message
    uint32_t place_count;             //
    uint64_t member;                  // JOIN: its number
    uint64_t generation;              // JOIN, HEARTBEAT: of the group; grows with every rebalance
    uint64_t version;                 // JOIN, HEARTBEAT: of the member's assignment; grows with every change of it
    uint64_t committed;               // COMMIT: what is to be read next
    bool revoked;                     // COMMIT: the partition is wanted back
};

enum topic_event_type {
    TOPIC_EVENT_GROWN,   // a partition has new messages: member and token of its reader, one for each group
    TOPIC_EVENT_CHANGED, // the assignment of `member` changed in what `token` stands for (0: it is no member any more)
    TOPIC_EVENT_PUBLISHED, // a publish that waited for an earlier number: ticket, places
    TOPIC_EVENT_GAP,       // a publish waited too long for an earlier number, and is dropped: ticket
};
struct topic_event {
    enum topic_event_type type;
    uint64_t member, token, ticket;
    const struct topic_place *places;
    uint32_t place_count;
};

// Queries. `name` empty: `topic` for each topic behind `after`. Else of that one what has a callback: `topic`,
// `partition` for each, `group` for each or for that named; with a group named: `member` for each, `slot` for each
// partition. At most `max` of topics, groups and members.
struct topic_info {
    struct bytes name;
    uint32_t partitions, groups, producers;
    uint64_t retention_count, retention_bytes, retention_ms, bytes_max, messages, bytes, held;
};
struct topic_partition_info {
    uint32_t partition;
    uint64_t first, end, bytes; // offsets: of the oldest message, and of the next one
    struct bytes room;
};
struct topic_group_info {
    struct bytes name;
    enum topic_strategy strategy;
    uint64_t generation, handover_ms, lag;
    uint32_t members;
};
struct topic_member_info {
    struct bytes name, room;
    uint64_t number, session, ttl_ms, due_ms, since_ms, version;
    uint32_t partitions; // that it reads
};
struct topic_slot_info {
    uint32_t partition;
    uint64_t token, owner; // owner: the member's number; 0: none
    struct bytes owner_name;
    bool revoked;
    uint64_t handover_until_ms; // when it is revoked
    uint64_t committed, first, end, lag;
    uint64_t dropped; // by retention, before they were committed
};
struct topic_message {
    uint32_t partition;
    uint64_t offset, published_ms;
    struct bytes key, body;
};
// For a reader. With a token: FETCH, of one partition. With a member: of all that it reads, from what is committed on;
// `slot` for each of them, and `message` for at most `max` messages of each, beginning behind partition `behind`.
struct topic_fetch {
    uint64_t member, token;
    uint32_t partition;
    bool from_offset; // else from what is committed
    uint64_t offset;
    uint32_t behind;
    uint32_t max;
    uint64_t max_bytes;
    // answers
    int error;
    uint64_t generation, version;
    uint64_t next; // of one partition: behind the last message that is given
};
struct topic_query {
    struct bytes name, group, after;
    size_t max;
    void (*topic)(void *context, const struct topic_info *info);
    void (*partition)(void *context, const struct topic_partition_info *info);
    void (*of_group)(void *context, const struct topic_group_info *info);
    void (*member)(void *context, const struct topic_member_info *info);
    void (*slot)(void *context, const struct topic_slot_info *info);
    void (*message)(void *context, const struct topic_message *message);
    void *context;
    struct topic_fetch *fetch; // NULL: none
};

extern const struct model_ops topic_model;
void topic_write_create(struct writer *w, const struct topic_options *options);
void topic_write_delete(struct writer *w, struct bytes name);
void topic_write_publish(struct writer *w, uint64_t session, uint64_t attach, const struct topic_publish *publish);
void topic_write_join(struct writer *w, uint64_t session, uint64_t attach, const struct topic_join *join);
void topic_write_heartbeat(struct writer *w, struct bytes topic, struct bytes group, uint64_t member);
void topic_write_leave(struct writer *w, uint64_t session, uint64_t attach, struct bytes topic, struct bytes group,
                       uint64_t member);
void topic_write_release(struct writer *w, uint64_t session, uint64_t attach, struct bytes topic, struct bytes group,
                         uint32_t partition, uint64_t token);
void topic_write_commit(struct writer *w, uint64_t session, uint64_t attach, struct bytes topic, struct bytes group,
                        uint32_t partition, uint64_t token, uint64_t offset);
void topic_write_group_delete(struct writer *w, struct bytes topic, struct bytes group);

// The partition of a key: the same on every machine and in every version.
uint32_t topic_partition_of_key(struct bytes key, uint32_t partitions);

// Who reads what, a function of these alone. Members in the order of their names; out[p]: a member's place, or
// TOPIC_NOBODY when there is none for it.
#define TOPIC_NOBODY UINT32_MAX
#define TOPIC_BITMAP_BYTES (TOPIC_PARTITIONS_MAX / 8)
struct topic_candidate {
    struct bytes name, room;
    struct bytes configured; // a bitmap, as long as need be: bit p % 8 of byte p / 8 is partition p
};
struct topic_allocation {
    enum topic_strategy strategy;
    uint32_t partitions, members;
    const struct bytes *rooms; // of each partition
    const struct topic_candidate *candidates;
};
void topic_allocate(const struct topic_allocation *in, uint32_t *out);
