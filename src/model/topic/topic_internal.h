// What the files of the topic model share. Nothing outside this folder includes it.
//
//   topic.c           the model: dispatch, deadlines, CREATE, DELETE
//   topic_state.c     what the state is made of: making, finding, freeing; records
//   topic_publish.c   messages: publishing, retention
//   topic_group.c     groups: members, who reads which partition, what readers ask
//   topic_allocate.c  the strategies
//   topic_query.c     queries          topic_load.c   load          topic_write.c  commands' bytes
//
// Everything is an item (model/items.h). What belongs to something is named by that one's number and its own name, so
// it stands together in the order of its table:
//
//   topics      name                        groups   topic + name       members  group + name
//   partitions  number                      slots    group + partition (what a group has to do with a partition)
//   messages    partition's number + offset
//   producers   topic + name                held     producer + number (publishes that wait for an earlier one)
//   remembered  topic + deduplication id
//
// A topic's partitions have the numbers behind its own, a group's slots those behind the group's: ties of deadlines.
#pragma once
#include "base/arena.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/omap.h"
#include "model/items.h"
#include "model/owned.h"
#include "model/remember.h"
#include "model/topic/topic.h"

enum topic_due { DUE_MEMBER, DUE_HANDOVER, DUE_AGE, DUE_PRODUCER, DUE_HELD, DUE_REMEMBERED };
enum topic_word { WORD_NUMBER, WORD_TOKEN, WORD_COUNT };
enum topic_table {
    TABLE_TOPICS,
    TABLE_PARTITIONS,
    TABLE_MESSAGES,
    TABLE_GROUPS,
    TABLE_MEMBERS,
    TABLE_SLOTS, // behind the members that they name
    TABLE_PRODUCERS,
    TABLE_HELD,
    TABLE_OWN, // the remembered requests have theirs
};
#define NAME_BYTES_MAX (8 + TOPIC_NAME_BYTES_MAX)

enum numbered_kind { NUMBERED_TOPIC, NUMBERED_GROUP, NUMBERED_MEMBER, NUMBERED_PRODUCER };
struct numbered { // found by its number
    struct hash_node node;
    uint64_t number;
    enum numbered_kind kind;
};

struct partition {
    struct item item;
    struct topic *topic;
    uint64_t number, first, end, bytes;
    uint64_t count;      // of messages
    struct deadline age; // of the oldest message
    uint32_t index;
    uint8_t room_len;
    uint8_t room[TOPIC_ROOM_BYTES_MAX];
};

struct topic {
    struct item item;
    struct numbered id;
    uint64_t retention_count, retention_bytes, retention_ms, bytes_max;
    uint64_t turn; // of messages without a key
    uint64_t messages, bytes, held_bytes;
    uint32_t partition_count, groups, producers, held;
    struct partition *partitions[];
};

struct message {
    struct item item;
    uint64_t published_ms;
    struct digest digest; // of key and body
    uint32_t key_len, body_len;
    uint8_t bytes[];
};

struct group {
    struct item item;
    struct numbered id;
    struct topic *topic;
    enum topic_strategy strategy;
    uint64_t generation, handover_ms;
    uint32_t members;
    struct slot *slots[];
};

struct member {
    struct item item;
    struct numbered id;
    struct group *group;
    uint64_t session, ttl_ms, since_ms, version;
    struct deadline due; // of one without a session
    struct omap_node of_session;
    uint32_t reads; // partitions
    uint8_t room_len, configured_len;
    uint8_t room[TOPIC_ROOM_BYTES_MAX];
    uint8_t configured[TOPIC_BITMAP_BYTES];
};

struct slot {
    struct item item;
    struct group *group;
    struct member *owner, *target; // who reads; who is to: another one only while it is revoked
    uint64_t token, committed;     // token 0: nobody reads
    struct deadline handover;      // while it is revoked
    uint32_t partition;
};

struct producer {
    struct item item;
    struct numbered id;
    struct topic *topic;
    uint64_t next;
    struct deadline forget; // unless publishes wait
    uint32_t held;
};

struct held {
    struct item item;
    struct producer *producer;
    uint64_t number, ticket;
    struct deadline gap;
    struct digest digest; // of the arguments
    uint64_t charge;      // keys' and bodies' bytes
    uint32_t count, len;  // messages; arguments' bytes
    uint8_t args[];
};

struct topic_state {
    struct items tables[TABLE_OWN];
    struct remember_kind remembered;
    struct hash by_number;
    struct omap by_session; // members
    struct owned owned;
    struct heap due;
    struct item_sum sum;
    uint64_t words[WORD_COUNT];
    struct arena arena; // of the newest command
    struct topic_result result;
};

static inline uint64_t topic_next_number(struct topic_state *state) {
    return ++state->words[WORD_NUMBER];
}
static inline uint64_t topic_grid(uint64_t at_ms) {
    return (at_ms / TOPIC_GRID_MS + 1) * TOPIC_GRID_MS;
}
static inline bool topic_name_good(struct bytes name) {
    return name.len > 0 && name.len <= TOPIC_NAME_BYTES_MAX;
}
static inline struct bytes topic_own_name(const struct item *item) { // behind the number that it begins with
    return bytes_of(item->name + 8, item->name_len - 8);
}
static inline bool slot_revoked(const struct slot *slot) {
    return deadline_of(&slot->handover) != NO_DEADLINE;
}

// topic_state.c. What is made is not in the digest yet: topic_changed is due.
struct topic_name { // a number in front of a name
    uint8_t bytes[NAME_BYTES_MAX];
    size_t len;
};
struct topic_name topic_name_of(uint64_t number, struct bytes name);
struct topic_name topic_name_of_two(uint64_t number, uint64_t second);
static inline struct bytes topic_name_bytes(const struct topic_name *name) {
    return bytes_of(name->bytes, name->len);
}
extern const struct item_kind topic_kinds[TABLE_OWN];
struct item *topic_find_item(const struct topic_state *state, enum topic_table table, uint64_t number,
                             struct bytes name);
struct item *topic_first_of(const struct topic_state *state, enum topic_table table, uint64_t number); // NULL: none
struct item *topic_next_of(const struct item *item, uint64_t number);                                  // NULL: none
void topic_changed(struct topic_state *state, enum topic_table table, struct item *item);
void *topic_numbered(const struct topic_state *state, enum numbered_kind kind, uint64_t number); // NULL: none
struct topic *topic_find(const struct topic_state *state, struct bytes name);
struct topic *topic_make(struct topic_state *state, struct bytes name, uint64_t number, uint32_t partitions);
struct group *group_find(const struct topic_state *state, const struct topic *topic, struct bytes name);
struct group *group_make(struct topic_state *state, struct topic *topic, struct bytes name, uint64_t number);
void group_free(struct topic_state *state, struct group *group); // without members
struct member *member_make(struct topic_state *state, struct group *group, struct bytes name, uint64_t number,
                           uint64_t session);
void member_free(struct topic_state *state, struct member *member);
struct member *member_first_of_session(const struct topic_state *state, uint64_t session);
struct producer *producer_make(struct topic_state *state, struct topic *topic, struct bytes name, uint64_t number);
void producer_free(struct topic_state *state, struct producer *producer); // nothing of it is held
struct message *message_make(struct topic_state *state, struct partition *partition, uint64_t offset,
                             uint64_t published_ms, struct bytes key, struct bytes body);
void message_free(struct topic_state *state, struct partition *partition, struct message *message);
struct message *message_at(const struct topic_state *state, const struct partition *partition, uint64_t offset);
struct message *message_next(const struct partition *partition, struct message *message);
struct held *held_make(struct topic_state *state, struct producer *producer, uint64_t number, struct bytes args,
                       uint32_t count, uint64_t charge);
void held_free(struct topic_state *state, struct held *held);
uint64_t message_offset(const struct message *message);

// topic_publish.c
int topic_apply_publish(struct topic_state *state, struct apply *apply, struct bytes args, struct topic_result *out);
bool topic_read_publish(struct topic_state *state, struct bytes args, struct topic_publish *publish);
uint64_t topic_publish_bytes(const struct topic_publish *publish);
bool topic_publish_good(const struct topic_publish *publish);
void topic_settle_age(struct topic_state *state, struct partition *partition);
void topic_trim(struct topic_state *state, struct partition *partition); // by count and bytes
size_t topic_drop_old(struct topic_state *state, struct partition *partition, uint64_t now_ms, size_t max);
void topic_held_due(struct topic_state *state, struct apply *apply, struct held *held);

// topic_group.c
int topic_apply_join(struct topic_state *state, struct apply *apply, uint64_t session, struct reader *r,
                     struct topic_result *out);
int topic_apply_of_member(struct topic_state *state, struct apply *apply, uint8_t op, struct reader *r,
                          struct topic_result *out); // HEARTBEAT, LEAVE
int topic_apply_of_slot(struct topic_state *state, struct apply *apply, uint8_t op, struct reader *r,
                        struct topic_result *out); // RELEASE, COMMIT
void topic_rebalance(struct topic_state *state, struct apply *apply, struct group *group);
void topic_member_end(struct topic_state *state, struct apply *apply, struct member *member); // no rebalance yet
void topic_handover(struct topic_state *state, struct apply *apply, struct slot *slot);

// topic_query.c, topic_load.c
void topic_query_model(const void *state, const void *query, struct result *result);
int topic_load(void *state, const uint8_t *data, size_t len);
