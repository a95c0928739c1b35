// Ordered queues as replicated state. A message has a key: the messages of one key are delivered strictly in order and
// one at a time, whoever the consumers are and how many; keys go in parallel, so a hot key holds up only itself.
//
//   queue "orders"   key a:  [1: claimed, token 17] [4] [9]      a's 4 waits until 1 is acknowledged
//                    key b:  [2] [3]                             b's 2 is next: keys take turns, by priority and then
//                    key c:  [5: not before 12:00] [8]           by how long they have been ready
//
// Delivery is at least once: a claim that is not acknowledged within its visibility time, or whose session ends, is
// delivered again, before later messages of its key, under a larger token; an acknowledgement under an old token is
// refused. After `tries_max` deliveries a message becomes a dead letter and its key goes on. An empty key is no key:
// such a message has no order to any other.
//
// A delay is part of the key's order: what comes later in the key waits behind it. So is priority: a key counts as
// urgent as its first message. Deduplication (an id, remembered for a time) and numbering (n waits for n - 1 of its
// key) make pushing exactly-once and ordered. Time is log time. A queue comes to be with its first push, with default
// options, or by CONFIGURE. It is one consumer group; partitioned topics will be made of several.
#pragma once
#include "model/model.h"

#define QUEUE_NAME_BYTES_MAX 255u         // names, keys: a saved record must hold them whole
#define QUEUE_KEY_BYTES_MAX 255u          //
#define QUEUE_DEDUP_BYTES_MAX 128u        // a UUID with a prefix
#define QUEUE_BODY_BYTES_MAX (128u << 10) // a saved record must hold it whole
#define QUEUE_MESSAGES_MAX 100000000u     // of one queue, when it is not given a length
#define QUEUE_CLAIM_MAX 256u              // messages in one claim, and tokens in one acknowledgement
#define QUEUE_CLAIM_BYTES_MAX (1u << 20)  // bodies in one claim; one message is always given
#define QUEUE_WAITERS_MAX 100000u         // of one queue
#define QUEUE_SESSION_MAX 10000u          // claims and waits of one session: its end is one entry and must stay short
#define QUEUE_HELD_MAX 1000u              // messages of a key that wait for an earlier number
#define QUEUE_TIME_MS_MAX (30ull * 24 * 3600 * 1000) // delays, visibility, waits, deduplication, numbering
#define QUEUE_GAP_MS_DEFAULT 30000u                  // a producer's retry takes seconds
#define QUEUE_NUMBERING_MS_DEFAULT (24u * 3600 * 1000)
#define QUEUE_GRID_MS 1000u // what is only forgotten is forgotten together: a time entry a second, not one each

// Operations. name, key, body, dedup: blobs.
#define QUEUE_OPS(X)                                                                                                   \
    X(CONFIGURE, 1) /* name, then struct queue_options: tries_max, merge u8, length_max, concurrency_max, rate, burst, \
                       window_ms, gap_ms, numbering_ms; varints but merge */                                           \
    X(DELETE, 2)    /* name: forgets its options, and the queue when nothing is in it; NOT_EMPTY while messages are */ \
    X(PUSH, 3)      /* name, key, body, priority u8, sign u8, delay_ms, dedup, dedup_ms, number: see queue_push */     \
    X(CLAIM, 4)     /* name, max, visibility_ms, wait_ms varints */                                                    \
    X(CANCEL, 5)    /* name, ticket varint: a claim waits no longer; NOT_FOUND when it was served meanwhile */         \
    X(ACK, 6)       /* name, count varint, tokens varints: all of them, or none and the error's token */               \
    X(NACK, 7)      /* name, token, delay_ms varints, unread u8: it never reached its consumer, so is no try */        \
    X(EXTEND, 8)    /* name, token, visibility_ms varints: from now */                                                 \
    X(REQUEUE, 9)   /* name, id varint: a dead letter goes to the end of its key */                                    \
    X(DROP, 10)     /* name, id varint: of a dead letter */
enum queue_op {
#define X(name, value) QUEUE_##name = value,
    QUEUE_OPS(X)
#undef X
};

#define QUEUE_ERRORS(X)                                                                                                \
    X(NOT_FOUND, -1, "no such queue, ticket or dead letter")                                                           \
    X(NOT_CLAIMED, -2, "not claimed under this token, or not any more")                                                \
    X(LENGTH, -3, "the queue has as many messages as it may")                                                          \
    X(GAP, -4, "too many messages of this key wait for an earlier number")                                             \
    X(LIMIT, -5, "more claims or waits than one session or one queue may have")                                        \
    X(NOT_EMPTY, -6, "the queue has messages")                                                                         \
    X(BAD_ARGUMENTS, -7, "arguments out of bounds")
enum queue_error {
    QUEUE_OK = 0,
#define X(name, code, text) QUEUE_##name = code,
    QUEUE_ERRORS(X)
#undef X
};

enum queue_merge {
    QUEUE_MERGE_NONE = 0,
    QUEUE_MERGE_LATEST = 1, // of a key's messages that are not claimed only the newest stays, in the older's place
    QUEUE_MERGE_CANCEL = 2, // a message and the one right behind it in its key with the opposite sign both vanish,
};                          // unless the first was ever delivered

struct queue_options {
    uint32_t tries_max; // deliveries before it is a dead letter; 0: no bound
    enum queue_merge merge;
    uint32_t length_max;      // messages, dead letters included; 0: QUEUE_MESSAGES_MAX
    uint32_t concurrency_max; // claimed at once, by all consumers together; 0: no bound
    uint32_t rate, burst;     // deliveries: rate each window_ms, at most burst at once (0: rate); rate 0: no bound
    uint64_t window_ms;
    uint64_t gap_ms;       // how long a message waits for an earlier number; 0: QUEUE_GAP_MS_DEFAULT
    uint64_t numbering_ms; // an empty key's numbering is forgotten after; 0: QUEUE_NUMBERING_MS_DEFAULT
};
enum queue_sign { QUEUE_SIGN_NONE = 0, QUEUE_SIGN_PLUS = 1, QUEUE_SIGN_MINUS = 2 }; // for QUEUE_MERGE_CANCEL

struct queue_push {
    struct bytes name, key, body;
    uint8_t priority; // larger is sooner
    enum queue_sign sign;
    uint64_t delay_ms;
    struct bytes dedup; // a second push with it within dedup_ms answers the first one's id; empty: none
    uint64_t dedup_ms;
    uint64_t number; // from 1 for each key; 0: none. Not together with dedup: the number does the same
};

struct queue_delivery {
    uint64_t id, token;
    struct bytes key, body;
    uint32_t tries; // this one included
    uint8_t priority;
    uint64_t pushed_ms;
};

struct queue_result { // value of every operation
    uint64_t id;      // PUSH: of the message; of the first one when it is a duplicate (0: an old number)
    bool duplicate;   // PUSH: dropped
    bool waits;       // PUSH: for an earlier number, the event PUSHED or GAP names `ticket`. CLAIM: for a message
    uint64_t ticket;
    uint64_t replaced, cancelled; // PUSH: id of the message that it took the place of, or vanished together with
    const struct queue_delivery *deliveries; // CLAIM
    size_t delivery_count;
    uint64_t retry_after_ms; // CLAIM of nothing: the rate allows the next delivery then; 0: not the rate's doing
    uint64_t token;          // ACK refused: the first that is not claimed. EXTEND: the claim's
    uint64_t until_ms;       // EXTEND: log time
};

enum queue_event_type {
    QUEUE_EVENT_DELIVERED, // to a claim that waited: ticket, deliveries
    QUEUE_EVENT_TIMED_OUT, // a claim's wait is over: ticket
    QUEUE_EVENT_PUSHED,    // a push that waited for an earlier number is in its key: ticket (also its id)
    QUEUE_EVENT_GAP,       // a push waited too long for an earlier number and is dropped: ticket
    QUEUE_EVENT_DEAD,      // a message became a dead letter: id
};
struct queue_event {
    enum queue_event_type type;
    struct bytes name, key;
    uint64_t session, ticket, id;
    const struct queue_delivery *deliveries;
    size_t delivery_count;
};

// Queries, each part where its callback is set. `name` empty: `queue` for each queue, after `after` if that is one.
// Else `queue` for that one; `key` for its keys with two messages or more, or with one that waits for a number, the
// deepest first; `dead` for its dead letters above id `after_id`; `message` for the messages of key `of_key`, those
// that wait for a number last. At most `max` of each. Or, with a session, `claim` for what it waits for and has
// claimed.
struct queue_info {
    struct bytes name;
    struct queue_options options;
    uint64_t messages, keys, ready, claimed, delayed, dead, waiters; // ready, claimed, delayed: keys
};
struct queue_key_info {
    struct bytes key;
    uint32_t depth, tries, held;
    uint64_t token, session; // of the claim; token 0: none
    uint64_t next;           // number awaited; 0: never numbered
    uint64_t oldest_ms;      // when its first message was pushed, or the first that waits for a number
};
struct queue_message_info {
    uint64_t id, pushed_ms, not_before_ms;
    uint8_t priority;
    struct bytes key, body;
    uint32_t tries;    // of a dead letter
    uint64_t since_ms; // the same
    uint64_t number;   // not 0: it waits for an earlier number
};
struct queue_claim_info { // token 0: it waits for a message
    struct bytes queue, key;
    uint64_t token, ticket;
};
struct queue_query {
    struct bytes name, after, of_key;
    uint64_t after_id, session;
    size_t max;
    void (*queue)(void *context, const struct queue_info *info);
    void (*key)(void *context, const struct queue_key_info *info);
    void (*dead)(void *context, const struct queue_message_info *info);
    void (*message)(void *context, const struct queue_message_info *info);
    void (*claim)(void *context, const struct queue_claim_info *info);
    void *context;
};

extern const struct model_ops queue_model;
void queue_write_configure(struct writer *w, struct bytes name, const struct queue_options *options);
void queue_write_delete(struct writer *w, struct bytes name);
void queue_write_push(struct writer *w, uint64_t session, uint64_t attach, const struct queue_push *push);
void queue_write_claim(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint32_t max,
                       uint64_t visibility_ms, uint64_t wait_ms);
void queue_write_cancel(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t ticket);
void queue_write_ack(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, const uint64_t *tokens,
                     size_t count);
void queue_write_nack(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t token,
                      uint64_t delay_ms, bool unread);
void queue_write_extend(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t token,
                        uint64_t visibility_ms);
void queue_write_requeue(struct writer *w, struct bytes name, uint64_t id);
void queue_write_drop(struct writer *w, struct bytes name, uint64_t id);
