// What the files of the queue model share. Nothing outside this folder includes it.
//
//   queue.c        state: queues, keys, messages, and what else is made and freed
//   queue_flow.c   where a key stands; deliveries, their ends, who is served; deadlines, the ends of sessions
//   queue_push.c   pushing: deduplication, numbering, merging
//   queue_op.c     the other operations, and the dispatch
//   queue_query.c  queries
//   queue_save.c   records, digests, save;  queue_load.c: load
//   queue_write.c  commands' bytes
//
// Only the first message of a key can be claimed, so claims, tries and deadlines live in the key, and a message is
// little more than its body. A key stands in one place at a time:
//
//   READY    in its queue's ready map        (priority down, number up: in the order of becoming ready)
//   CLAIMED  in the state's by_session map   (session, token), and in the heap when the claim has a deadline
//   DELAYED  in the heap: its first message may not be delivered yet
//   EMPTY    only while its numbering is remembered (then in the heap) or messages wait for an earlier number
//
// Digests: whoever changes a queue calls queue_begin before and queue_done after; a key, key_begin and key_settle.
// queue_done serves the waiters, and frees a queue that is not needed; key_settle frees a key that is not.
#pragma once
#include "base/arena.h"
#include "base/bucket.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/omap.h"
#include "model/owned.h"
#include "model/queue/queue.h"

enum queue_due_kind { DUE_KEY, DUE_WAITER, DUE_HELD, DUE_DEDUP, DUE_PACE };
struct queue_due { // the tie is the number of what it belongs to
    struct heap_item item;
    enum queue_due_kind kind;
};

struct queue_place {
    struct omap_node node;
    uint64_t session, number; // of a claim: its token. Of a wait: its ticket. Of a ready key: since which number
    bool claim;               // waits come before claims in by_session
};

struct queue_message {
    struct list of_key;
    uint64_t id, order, not_before_ms, pushed_ms; // order: grows along the key
    uint32_t len;
    uint8_t priority, sign;
    uint8_t body[];
};

enum key_state { KEY_EMPTY, KEY_READY, KEY_DELAYED, KEY_CLAIMED };
struct queue_key {
    struct hash_node index; // by queue and name; a key without a name is in no table
    struct list of_queue;   // in the order of their numbers
    struct queue *queue;
    uint64_t number;
    struct list messages;
    struct queue_place place;
    struct omap_node of_depth; // when it has two messages or more, or one that waits for a number
    uint64_t next;             // number awaited from producers; 0: none was numbered
    struct omap held;          // by number
    struct queue_due due;
    uint32_t depth, tries; // tries: of the first message
    enum key_state state;
    uint8_t priority; // READY: as it stands in the ready map
    uint8_t name_len;
    uint8_t name[];
};

struct queue_held { // a message that waits for an earlier number
    struct omap_node of_key;
    struct queue_key *key;
    struct queue_message *message;
    uint64_t number, session;
    struct queue_due due;
};

struct queue_dead {
    struct omap_node of_queue; // by id
    struct queue_message *message;
    uint64_t since_ms;
    uint32_t tries;
    uint8_t key_len;
    uint8_t key[];
};

struct queue_dedup {
    struct hash_node index; // by queue and text
    struct list of_queue;   // in the order of their numbers
    struct queue *queue;
    uint64_t number, id;
    struct queue_due due;
    uint8_t len;
    uint8_t text[];
};

struct queue_claim { // what a consumer asks for
    uint64_t session, visibility_ms;
    uint32_t max;
};

struct queue_waiter {
    struct list of_queue; // in the order of their tickets
    struct queue_place place;
    struct queue *queue;
    struct queue_claim claim;
    struct queue_due due;
};

struct queue {
    struct hash_node index; // by name
    struct list all;        // in the order of their numbers
    uint64_t number;
    bool configured; // stays when nothing is in it
    struct queue_options options;
    struct list keys, dedups, waiters;
    struct omap ready, by_depth, dead;
    uint64_t messages, key_count, claimed, delayed, dedup_count, waiter_count;
    struct bucket bucket;  // of the rate
    struct queue_due pace; // somebody waits, and the rate allows the next delivery then
    size_t name_len;
    uint8_t name[];
};

struct queue_state {
    struct hash queues, keys, dedups;
    struct list all;
    struct omap by_session;
    struct owned owned;
    struct heap due;
    struct digest digest;
    uint64_t number, token; // the newest given out
    uint64_t bytes;         // of everything, as memory() gives it
    struct list loading;    // messages whose key's record comes next
    uint32_t loading_count;
    uint64_t loading_key; // the number that they name
    struct arena arena;   // of the newest result or event
    struct queue_result result;
};

static inline struct bytes queue_name(const struct queue *queue) {
    return bytes_of(queue->name, queue->name_len);
}
static inline struct bytes queue_key_name(const struct queue_key *key) {
    return bytes_of(key->name, key->name_len);
}
static inline struct queue_message *queue_first(const struct queue_key *key) { // it has one
    return CONTAINER_OF(key->messages.next, struct queue_message, of_key);
}
static inline struct queue_message *queue_last(const struct queue_key *key) {
    return CONTAINER_OF(key->messages.prev, struct queue_message, of_key);
}
static inline uint64_t queue_time_after(uint64_t now_ms, uint64_t ms) {
    return ms > UINT64_MAX - 1 - now_ms ? UINT64_MAX - 1 : now_ms + ms;
}
static inline uint32_t queue_burst(const struct queue_options *options) {
    return options->burst > 0 ? options->burst : options->rate;
}

// queue.c. What is made is in no digest yet; what is freed is in none any more.
struct queue *queue_find(const struct queue_state *state, struct bytes name);
struct queue *queue_make(struct queue_state *state, struct bytes name, uint64_t number);
void queue_free(struct queue_state *state, struct queue *queue); // with all that is in it
struct queue_key *queue_key_find(const struct queue_state *state, const struct queue *queue, struct bytes name);
struct queue_key *queue_key_make(struct queue_state *state, struct queue *queue, struct bytes name, uint64_t number);
void queue_key_free(struct queue_state *state, struct queue_key *key);
void queue_key_deepen(struct queue_key *key, uint32_t more); // by 1, or by UINT32_MAX: one less
struct queue_message *queue_message_make(struct queue_state *state, struct bytes body);
void queue_message_free(struct queue_state *state, struct queue_message *message);
struct queue_held *queue_held_find(const struct queue_key *key, uint64_t number);
struct queue_held *queue_held_make(struct queue_state *state, struct queue_key *key, struct queue_message *message,
                                   uint64_t number, uint64_t session, uint64_t due_ms);    // NULL: the number is there
struct queue_message *queue_held_free(struct queue_state *state, struct queue_held *held); // gives its message back
struct queue_dead *queue_dead_find(const struct queue *queue, uint64_t id);
struct queue_dead *queue_dead_make(struct queue_state *state, struct queue *queue, struct bytes key,
                                   struct queue_message *message); // NULL: the id is there
struct queue_message *queue_dead_free(struct queue_state *state, struct queue *queue, struct queue_dead *dead);
struct queue_dedup *queue_dedup_find(const struct queue_state *state, const struct queue *queue, struct bytes text);
struct queue_dedup *queue_dedup_make(struct queue_state *state, struct queue *queue, struct bytes text, uint64_t number,
                                     uint64_t due_ms);
void queue_dedup_free(struct queue_state *state, struct queue_dedup *dedup);
struct queue_waiter *queue_waiter_make(struct queue_state *state, struct queue *queue, const struct queue_claim *claim,
                                       uint64_t ticket, uint64_t due_ms); // NULL: the ticket is there
void queue_waiter_free(struct queue_state *state, struct queue_waiter *waiter);
struct queue_place *queue_place_find(const struct queue_state *state, uint64_t session, bool claim, uint64_t number);
struct queue_place *queue_place_first(const struct queue_state *state, uint64_t session); // NULL: has none
struct queue_place *queue_place_next(const struct queue_place *place);                    // of the same session

// queue_flow.c
void queue_begin(struct queue_state *state, struct queue *queue);
void queue_done(struct queue_state *state, struct apply *apply, struct queue *queue);
void key_begin(struct queue_state *state, struct queue_key *key);
void key_settle(struct queue_state *state, struct queue_key *key, uint64_t now_ms);
bool queue_key_claim(struct queue_state *state, struct queue_key *key, uint64_t session, uint64_t token,
                     uint64_t due_ms); // false: the token is there
size_t queue_deliver(struct queue_state *state, const struct apply *apply, struct queue *queue,
                     const struct queue_claim *to, struct queue_delivery *out); // how many; out has room for to->max
uint64_t queue_pace_ms(const struct queue *queue, uint64_t now_ms);             // until the rate allows a delivery
enum queue_end { END_ACKED, END_RETURNED, END_UNREAD };
void queue_end_claim(struct queue_state *state, struct apply *apply, struct queue_key *key, enum queue_end end,
                     uint64_t delay_ms); // inside queue_begin and queue_done
uint64_t queue_next_token(struct queue_state *state, const struct apply *apply);
void queue_session_end(void *state, struct apply *apply, uint64_t session);
size_t queue_expire(void *state, struct apply *apply, size_t max);

// queue_push.c
bool queue_read_push(struct reader *r, struct queue_push *q);
int queue_apply_push(struct queue_state *state, struct apply *apply, uint64_t session, struct reader *r,
                     struct queue_result *out);
void queue_append(struct queue_state *state, struct queue_key *key, struct queue_message *message); // and its digest
void queue_tell_push(struct queue_state *state, struct apply *apply, const struct queue_held *held,
                     enum queue_event_type type);

// queue_op.c
extern const struct result_keeper queue_keeper;
void queue_apply(void *state, struct apply *apply, const struct command *command, struct result *result);
bool queue_options_good(const struct queue_options *options);

// queue_query.c
void queue_query_model(const void *state, const void *query, struct result *result);

// queue_save.c
enum queue_record {
    RECORD_COUNTERS = 1,
    RECORD_QUEUE,
    RECORD_MESSAGE,
    RECORD_KEY,
    RECORD_HELD,
    RECORD_DEAD,
    RECORD_DEDUP,
    RECORD_WAITER,
};
struct digest queue_counters_digest(const struct queue_state *state);
struct digest queue_digest_of(const struct queue *queue);
struct digest queue_key_digest(const struct queue_key *key);
struct digest queue_message_digest(const struct queue_message *message, uint64_t key_number);
struct digest queue_held_digest(const struct queue_held *held);
struct digest queue_dead_digest(const struct queue_dead *dead);
struct digest queue_dedup_digest(const struct queue_dedup *dedup);
struct digest queue_waiter_digest(const struct queue_waiter *waiter);
size_t queue_save(const void *state, struct save_cursor *cursor, uint8_t *out, size_t capacity);
struct digest queue_digest_recount(const void *state);
int queue_load(void *state, const uint8_t *data, size_t len);
