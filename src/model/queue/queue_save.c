// Records, digests, and saving. A record is its kind, fixed fields, a text, and of a message its body; what is saved of
// an item is also what its digest is over.
//
//   counters, then of each queue:  QUEUE  (MESSAGE... KEY HELD...)...  DEAD...  DEDUP...  WAITER...
//
// A key's messages come before it, so that a key that is loaded is whole, and can be checked and put in its place.
#include "base/assert.h"
#include "model/queue/queue_internal.h"
#include <string.h>

#define HEAD_BYTES_MAX 512u
#define DIGEST_DOMAIN 0x71756575ull
_Static_assert(HEAD_BYTES_MAX + QUEUE_BODY_BYTES_MAX <= SAVE_RECORD_BYTES_MAX, "a record fits in a chunk");

struct record {
    struct bytes body; // follows the head
    size_t len;        // of the head
    uint8_t head[HEAD_BYTES_MAX];
};

static void out_u64(struct record *record, uint64_t v) {
    put_u64_le(record->head + record->len, v);
    record->len += 8;
}
static void out_text(struct record *record, const uint8_t *text, size_t len) {
    ENSURE(len <= 255 && record->len + 1 + len <= HEAD_BYTES_MAX);
    record->head[record->len++] = (uint8_t)len;
    if (len > 0) memcpy(record->head + record->len, text, len);
    record->len += len;
}
static void start(struct record *record, enum queue_record kind) {
    record->body = bytes_of(NULL, 0);
    record->head[0] = (uint8_t)kind;
    record->len = 1;
}
static uint64_t due_of(const struct queue_due *due) {
    return due->item.at != 0 ? due->item.time : UINT64_MAX;
}

static void counters_record(const struct queue_state *state, struct record *record) {
    start(record, RECORD_COUNTERS);
    out_u64(record, state->number);
    out_u64(record, state->token);
}

static void queue_record(const struct queue *queue, struct record *record) {
    const struct queue_options *options = &queue->options;
    start(record, RECORD_QUEUE);
    out_u64(record, queue->number);
    out_u64(record, queue->configured);
    out_u64(record, options->tries_max);
    out_u64(record, options->merge);
    out_u64(record, options->length_max);
    out_u64(record, options->concurrency_max);
    out_u64(record, options->rate);
    out_u64(record, options->burst);
    out_u64(record, options->window_ms);
    out_u64(record, options->gap_ms);
    out_u64(record, options->numbering_ms);
    out_u64(record, queue->bucket.level);
    out_u64(record, queue->bucket.at_ms);
    out_u64(record, due_of(&queue->pace));
    out_text(record, queue->name, queue->name_len);
}

// The last fields of a record, with the body behind them.
static void out_message(struct record *record, const struct queue_message *message) {
    out_u64(record, message->id);
    out_u64(record, message->order);
    out_u64(record, message->not_before_ms);
    out_u64(record, message->pushed_ms);
    out_u64(record, message->len | (uint64_t)message->priority << 32 | (uint64_t)message->sign << 40);
    record->body = bytes_of(message->body, message->len);
}

static void message_record(const struct queue_message *message, uint64_t key_number, struct record *record) {
    start(record, RECORD_MESSAGE);
    out_u64(record, key_number);
    out_message(record, message);
}

static void key_record(const struct queue_key *key, struct record *record) {
    start(record, RECORD_KEY);
    out_u64(record, key->queue->number);
    out_u64(record, key->number);
    out_u64(record, key->state);
    out_u64(record, key->depth | (uint64_t)key->tries << 32);
    out_u64(record, key->state == KEY_CLAIMED ? key->place.session : 0);
    out_u64(record, key->place.number);
    out_u64(record, key->next);
    out_u64(record, due_of(&key->due));
    out_text(record, key->name, key->name_len);
}

static void held_record(const struct queue_held *held, struct record *record) {
    start(record, RECORD_HELD);
    out_u64(record, held->key->number);
    out_u64(record, held->number);
    out_u64(record, held->session);
    out_u64(record, due_of(&held->due));
    out_message(record, held->message);
}

static void dead_record(const struct queue_dead *dead, struct record *record) {
    start(record, RECORD_DEAD);
    out_u64(record, dead->since_ms);
    out_u64(record, dead->tries);
    out_text(record, dead->key, dead->key_len);
    out_message(record, dead->message);
}

static void dedup_record(const struct queue_dedup *dedup, struct record *record) {
    start(record, RECORD_DEDUP);
    out_u64(record, dedup->queue->number);
    out_u64(record, dedup->number);
    out_u64(record, dedup->id);
    out_u64(record, due_of(&dedup->due));
    out_text(record, dedup->text, dedup->len);
}

static void waiter_record(const struct queue_waiter *waiter, struct record *record) {
    start(record, RECORD_WAITER);
    out_u64(record, waiter->queue->number);
    out_u64(record, waiter->place.session);
    out_u64(record, waiter->place.number);
    out_u64(record, waiter->claim.max);
    out_u64(record, waiter->claim.visibility_ms);
    out_u64(record, due_of(&waiter->due));
}

// ---- digests

static struct digest digest_of(const struct record *record) {
    struct digest sum = digest_hash(record->head, record->len, DIGEST_DOMAIN);
    if (record->body.len > 0) // not copied behind the head: it may be long. Bound to it by the head's own digest
        digest_add(&sum, digest_hash(record->body.data, record->body.len, sum.lo));
    return sum;
}

struct digest queue_counters_digest(const struct queue_state *state) {
    struct record record;
    if (state->number == 0) return (struct digest){0}; // never used: as on a node that does not know the model
    counters_record(state, &record);
    return digest_of(&record);
}
struct digest queue_digest_of(const struct queue *queue) {
    struct record record;
    queue_record(queue, &record);
    return digest_of(&record);
}
struct digest queue_key_digest(const struct queue_key *key) {
    struct record record;
    key_record(key, &record);
    return digest_of(&record);
}
struct digest queue_message_digest(const struct queue_message *message, uint64_t key_number) {
    struct record record;
    message_record(message, key_number, &record);
    return digest_of(&record);
}
struct digest queue_held_digest(const struct queue_held *held) {
    struct record record;
    held_record(held, &record);
    return digest_of(&record);
}
struct digest queue_dead_digest(const struct queue_dead *dead) {
    struct record record;
    dead_record(dead, &record);
    return digest_of(&record);
}
struct digest queue_dedup_digest(const struct queue_dedup *dedup) {
    struct record record;
    dedup_record(dedup, &record);
    return digest_of(&record);
}
struct digest queue_waiter_digest(const struct queue_waiter *waiter) {
    struct record record;
    waiter_record(waiter, &record);
    return digest_of(&record);
}

// ---- saving: a cursor is a stage, a queue, one of its keys, and an item of either

enum stage { AT_COUNTERS, AT_QUEUE, AT_MESSAGES, AT_KEY, AT_HELD, AT_DEAD, AT_DEDUPS, AT_WAITERS, AT_END };
struct cursor {
    enum stage stage;
    const struct list *queue, *key;
    const void *item;
};

static void to_queue(const struct queue_state *state, struct cursor *at, const struct list *queue) {
    at->stage = queue == &state->all ? AT_END : AT_QUEUE;
    at->queue = queue;
}

static void to_key(const struct queue *queue, struct cursor *at, const struct list *key) {
    at->key = key;
    at->stage = key == &queue->keys ? AT_DEAD : AT_MESSAGES;
    at->item = key == &queue->keys ? (const void *)omap_first(&queue->dead)
                                   : CONTAINER_OF_CONST(key, struct queue_key, of_queue)->messages.next;
}

static bool next_in_key(const struct queue *queue, struct cursor *at, struct record *record) {
    const struct queue_key *key = CONTAINER_OF_CONST(at->key, struct queue_key, of_queue);
    const struct list *message = at->item;
    const struct omap_node *held = at->item;
    if (at->stage == AT_KEY) {
        at->stage = AT_HELD;
        at->item = omap_first(&key->held);
        key_record(key, record);
        return true;
    }
    if (at->stage == AT_MESSAGES) {
        if (message == &key->messages) {
            at->stage = AT_KEY;
            return false;
        }
        at->item = message->next;
        message_record(CONTAINER_OF_CONST(message, struct queue_message, of_key), key->number, record);
        return true;
    }
    if (held == NULL) {
        to_key(queue, at, at->key->next);
        return false;
    }
    at->item = omap_next(held);
    held_record(CONTAINER_OF_CONST(held, struct queue_held, of_key), record);
    return true;
}

static bool next_behind_keys(const struct queue_state *state, const struct queue *queue, struct cursor *at,
                             struct record *record) {
    const struct omap_node *dead = at->item;
    const struct list *item = at->item;
    if (at->stage == AT_DEAD) {
        at->stage = dead ? AT_DEAD : AT_DEDUPS;
        at->item = dead ? (const void *)omap_next(dead) : queue->dedups.next;
        if (dead) dead_record(CONTAINER_OF_CONST(dead, struct queue_dead, of_queue), record);
        return dead != NULL;
    }
    if (at->stage == AT_DEDUPS) {
        bool end = item == &queue->dedups;
        at->stage = end ? AT_WAITERS : AT_DEDUPS;
        at->item = end ? queue->waiters.next : item->next;
        if (!end) dedup_record(CONTAINER_OF_CONST(item, struct queue_dedup, of_queue), record);
        return !end;
    }
    if (item == &queue->waiters) {
        to_queue(state, at, at->queue->next);
        return false;
    }
    at->item = item->next;
    waiter_record(CONTAINER_OF_CONST(item, struct queue_waiter, of_queue), record);
    return true;
}

// The record under the cursor, and the cursor behind it; false: none stood there.
static bool next_record(const struct queue_state *state, struct cursor *at, struct record *record) {
    if (at->stage == AT_COUNTERS) {
        to_queue(state, at, state->all.next);
        counters_record(state, record);
        return state->number > 0;
    }
    const struct queue *queue = CONTAINER_OF_CONST(at->queue, struct queue, all);
    if (at->stage == AT_QUEUE) {
        to_key(queue, at, queue->keys.next);
        queue_record(queue, record);
        return true;
    }
    return at->stage <= AT_HELD ? next_in_key(queue, at, record) : next_behind_keys(state, queue, at, record);
}

size_t queue_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    struct cursor at = {.stage = (enum stage)cursor->words[0],
                        .queue = (const struct list *)(uintptr_t)cursor->words[1],
                        .key = (const struct list *)(uintptr_t)cursor->words[2],
                        .item = (const void *)(uintptr_t)cursor->words[3]};
    size_t len = 0;
    while (at.stage != AT_END) {
        struct cursor after = at;
        struct record record;
        if (next_record(model, &after, &record)) {
            if (record.len + record.body.len > capacity - len) break;
            memcpy(out + len, record.head, record.len);
            if (record.body.len > 0) memcpy(out + len + record.len, record.body.data, record.body.len);
            len += record.len + record.body.len;
        }
        at = after;
    }
    ENSURE(len > 0 || at.stage == AT_END); // the capacity holds every record
    cursor->words[0] = at.stage;
    cursor->words[1] = (uint64_t)(uintptr_t)at.queue;
    cursor->words[2] = (uint64_t)(uintptr_t)at.key;
    cursor->words[3] = (uint64_t)(uintptr_t)at.item;
    return len;
}

// ---- recount: what is saved is what counts

struct digest queue_digest_recount(const void *model) {
    struct cursor at = {.stage = AT_COUNTERS};
    struct digest sum = {0};
    while (at.stage != AT_END) {
        struct record record;
        if (next_record(model, &at, &record)) digest_add(&sum, digest_of(&record));
    }
    return sum;
}
