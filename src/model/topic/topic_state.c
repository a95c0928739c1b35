// What the state is made of: making, finding and freeing; the records that are saved and digested.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/topic/topic_internal.h"

// ---- names

struct topic_name topic_name_of(uint64_t number, struct bytes name) {
    struct topic_name out = {.len = 8 + name.len};
    ENSURE(name.len <= TOPIC_NAME_BYTES_MAX);
    put_u64_be(out.bytes, number);
    if (name.len > 0) memcpy(out.bytes + 8, name.data, name.len);
    return out;
}

struct topic_name topic_name_of_two(uint64_t number, uint64_t second) {
    uint8_t bytes[8];
    put_u64_be(bytes, second);
    return topic_name_of(number, bytes_of(bytes, sizeof bytes));
}

struct item *topic_find_item(const struct topic_state *state, enum topic_table table, uint64_t number,
                             struct bytes name) {
    struct topic_name key = topic_name_of(number, name);
    return items_find(&state->tables[table], topic_name_bytes(&key));
}

static bool is_of(const struct item *item, uint64_t number) {
    struct reader r = reader_of(item->name, item->name_len);
    return read_u64_be(&r) == number && !r.failed;
}

struct item *topic_first_of(const struct topic_state *state, enum topic_table table, uint64_t number) {
    uint8_t prefix[8];
    put_u64_be(prefix, number);
    struct items_page page = {.prefix = bytes_of(prefix, sizeof prefix)};
    return (struct item *)(uintptr_t)items_page_first(&state->tables[table], &page);
}

struct item *topic_next_of(const struct item *item, uint64_t number) {
    struct item *next = items_next(item);
    return next && is_of(next, number) ? next : NULL;
}

void topic_changed(struct topic_state *state, enum topic_table table, struct item *item) {
    items_changed(&state->tables[table], item);
}

static void insert(struct topic_state *state, enum topic_table table, struct item *item) {
    bool fresh = items_insert(&state->tables[table], item);
    ENSURE(fresh);
}

static void *item_of(size_t bytes, uint64_t number, struct bytes name) { // a thing of what has this number
    struct topic_name key = topic_name_of(number, name);
    return item_make(bytes, topic_name_bytes(&key));
}

// ---- numbers

static bool is_numbered(const struct hash_node *node, const void *key) {
    return CONTAINER_OF_CONST(node, struct numbered, node)->number == *(const uint64_t *)key;
}

static void number_it(struct topic_state *state, struct numbered *id, enum numbered_kind kind, uint64_t number) {
    *id = (struct numbered){.number = number, .kind = kind};
    hash_insert(&state->by_number, &id->node, hash_u64(number));
}

void *topic_numbered(const struct topic_state *state, enum numbered_kind kind, uint64_t number) {
    struct hash_node *node = hash_find(&state->by_number, hash_u64(number), is_numbered, &number);
    struct numbered *id = node ? CONTAINER_OF(node, struct numbered, node) : NULL;
    if (id == NULL || id->kind != kind) return NULL;
    switch (kind) {
    case NUMBERED_TOPIC:
        return CONTAINER_OF(id, struct topic, id);
    case NUMBERED_GROUP:
        return CONTAINER_OF(id, struct group, id);
    case NUMBERED_MEMBER:
        return CONTAINER_OF(id, struct member, id);
    default:
        return CONTAINER_OF(id, struct producer, id);
    }
}

// ---- topics and their partitions

struct topic *topic_find(const struct topic_state *state, struct bytes name) {
    struct item *item = items_find(&state->tables[TABLE_TOPICS], name);
    return item ? CONTAINER_OF(item, struct topic, item) : NULL;
}

struct topic *topic_make(struct topic_state *state, struct bytes name, uint64_t number, uint32_t partitions) {
    struct topic *topic = item_make(sizeof *topic + partitions * sizeof(struct partition *), name);
    topic->partition_count = partitions;
    number_it(state, &topic->id, NUMBERED_TOPIC, number);
    insert(state, TABLE_TOPICS, &topic->item);
    for (uint32_t i = 0; i < partitions; i++) {
        struct partition *partition = item_of(sizeof *partition, number + 1 + i, bytes_of(NULL, 0));
        partition->topic = topic;
        partition->number = number + 1 + i;
        partition->index = i;
        partition->age.kind = DUE_AGE;
        topic->partitions[i] = partition;
        insert(state, TABLE_PARTITIONS, &partition->item);
    }
    return topic;
}

// ---- messages

static struct message *message_of(struct item *item) {
    return CONTAINER_OF(item, struct message, item);
}

uint64_t message_offset(const struct message *message) {
    struct reader r = reader_of(message->item.name + 8, 8);
    return read_u64_be(&r);
}

struct message *message_make(struct topic_state *state, struct partition *partition, uint64_t offset,
                             uint64_t published_ms, struct bytes key, struct bytes body) {
    struct topic_name name = topic_name_of_two(partition->number, offset);
    struct message *message = item_make(sizeof *message + key.len + body.len, topic_name_bytes(&name));
    message->item.bytes -= (uint32_t)(key.len + body.len); // counted as the item's body
    message->published_ms = published_ms;
    message->key_len = (uint32_t)key.len;
    message->body_len = (uint32_t)body.len;
    if (key.len > 0) memcpy(message->bytes, key.data, key.len);
    if (body.len > 0) memcpy(message->bytes + key.len, body.data, body.len);
    message->digest = digest_hash(message->bytes, key.len + body.len, MODEL_TOPIC);
    insert(state, TABLE_MESSAGES, &message->item);
    partition->count++;
    partition->bytes += key.len + body.len;
    partition->topic->messages++;
    partition->topic->bytes += key.len + body.len;
    return message;
}

void message_free(struct topic_state *state, struct partition *partition, struct message *message) {
    uint64_t bytes = (uint64_t)message->key_len + message->body_len;
    partition->count--;
    partition->bytes -= bytes;
    partition->topic->messages--;
    partition->topic->bytes -= bytes;
    items_remove(&state->tables[TABLE_MESSAGES], &message->item);
}

struct message *message_at(const struct topic_state *state, const struct partition *partition, uint64_t offset) {
    struct topic_name name = topic_name_of_two(partition->number, offset);
    struct item *item = items_find(&state->tables[TABLE_MESSAGES], topic_name_bytes(&name));
    return item ? message_of(item) : NULL;
}

struct message *message_next(const struct partition *partition, struct message *message) {
    struct item *item = topic_next_of(&message->item, partition->number);
    return item ? message_of(item) : NULL;
}

// ---- groups

static struct bytes slot_name(uint32_t partition, uint8_t bytes[4]) {
    put_u32_be(bytes, partition);
    return bytes_of(bytes, 4);
}

struct group *group_find(const struct topic_state *state, const struct topic *topic, struct bytes name) {
    if (!topic_name_good(name)) return NULL;
    struct item *item = topic_find_item(state, TABLE_GROUPS, topic->id.number, name);
    return item ? CONTAINER_OF(item, struct group, item) : NULL;
}

struct group *group_make(struct topic_state *state, struct topic *topic, struct bytes name, uint64_t number) {
    size_t bytes = sizeof(struct group) + topic->partition_count * sizeof(struct slot *);
    struct group *group = item_of(bytes, topic->id.number, name);
    group->topic = topic;
    topic->groups++;
    number_it(state, &group->id, NUMBERED_GROUP, number);
    insert(state, TABLE_GROUPS, &group->item);
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        uint8_t own[4];
        struct slot *slot = item_of(sizeof *slot, number, slot_name(i, own));
        slot->group = group;
        slot->partition = i;
        slot->handover.kind = DUE_HANDOVER;
        group->slots[i] = slot;
        insert(state, TABLE_SLOTS, &slot->item);
    }
    return group;
}

void group_free(struct topic_state *state, struct group *group) {
    for (uint32_t i = 0; i < group->topic->partition_count; i++) {
        deadline_set(&state->due, &group->slots[i]->handover, NO_DEADLINE, 0);
        items_remove(&state->tables[TABLE_SLOTS], &group->slots[i]->item);
    }
    hash_remove(&state->by_number, &group->id.node);
    group->topic->groups--;
    items_remove(&state->tables[TABLE_GROUPS], &group->item);
}

// ---- members

struct member *member_make(struct topic_state *state, struct group *group, struct bytes name, uint64_t number,
                           uint64_t session) {
    struct member *member = item_of(sizeof *member, group->id.number, name);
    member->group = group;
    member->session = session;
    member->due.kind = DUE_MEMBER;
    number_it(state, &member->id, NUMBERED_MEMBER, number);
    insert(state, TABLE_MEMBERS, &member->item);
    group->members++;
    owned_more(&state->owned, session);
    if (session != 0) omap_insert(&state->by_session, &member->of_session);
    return member;
}

void member_free(struct topic_state *state, struct member *member) {
    if (member->session != 0) omap_remove(&state->by_session, &member->of_session);
    owned_less(&state->owned, member->session);
    deadline_set(&state->due, &member->due, NO_DEADLINE, 0);
    hash_remove(&state->by_number, &member->id.node);
    member->group->members--;
    items_remove(&state->tables[TABLE_MEMBERS], &member->item);
}

static int from_session(const void *session, const struct omap_node *node) { // below all of the session
    return *(const uint64_t *)session <= CONTAINER_OF_CONST(node, struct member, of_session)->session ? -1 : 1;
}

struct member *member_first_of_session(const struct topic_state *state, uint64_t session) {
    struct omap_node *node = omap_lower_bound(&state->by_session, from_session, &session);
    struct member *member = node ? CONTAINER_OF(node, struct member, of_session) : NULL;
    return member && member->session == session ? member : NULL;
}

// ---- producers, and what of them waits

struct producer *producer_make(struct topic_state *state, struct topic *topic, struct bytes name, uint64_t number) {
    struct producer *producer = item_of(sizeof *producer, topic->id.number, name);
    producer->topic = topic;
    producer->next = 1;
    producer->forget.kind = DUE_PRODUCER;
    topic->producers++;
    number_it(state, &producer->id, NUMBERED_PRODUCER, number);
    insert(state, TABLE_PRODUCERS, &producer->item);
    return producer;
}

void producer_free(struct topic_state *state, struct producer *producer) {
    deadline_set(&state->due, &producer->forget, NO_DEADLINE, 0);
    hash_remove(&state->by_number, &producer->id.node);
    producer->topic->producers--;
    items_remove(&state->tables[TABLE_PRODUCERS], &producer->item);
}

struct held *held_make(struct topic_state *state, struct producer *producer, uint64_t number, struct bytes args,
                       uint32_t count, uint64_t charge) {
    struct topic_name name = topic_name_of_two(producer->id.number, number);
    struct held *held = item_make(sizeof *held + args.len, topic_name_bytes(&name));
    held->item.bytes -= (uint32_t)args.len; // counted as the item's body
    held->producer = producer;
    held->number = number;
    held->gap.kind = DUE_HELD;
    held->count = count;
    held->charge = charge;
    held->len = (uint32_t)args.len;
    memcpy(held->args, args.data, args.len);
    held->digest = digest_hash(held->args, args.len, MODEL_TOPIC);
    insert(state, TABLE_HELD, &held->item);
    producer->held++;
    producer->topic->held += count;
    producer->topic->held_bytes += charge;
    return held;
}

void held_free(struct topic_state *state, struct held *held) {
    held->producer->held--;
    held->producer->topic->held -= held->count;
    held->producer->topic->held_bytes -= held->charge;
    deadline_set(&state->due, &held->gap, NO_DEADLINE, 0);
    items_remove(&state->tables[TABLE_HELD], &held->item);
}

// ---- records

static void record_topic(const struct item *item, struct item_record *to) {
    const struct topic *topic = CONTAINER_OF_CONST(item, struct topic, item);
    item_record_u64(to, topic->id.number);
    item_record_u64(to, topic->partition_count);
    item_record_u64(to, topic->retention_count);
    item_record_u64(to, topic->retention_bytes);
    item_record_u64(to, topic->retention_ms);
    item_record_u64(to, topic->bytes_max);
    item_record_u64(to, topic->turn);
}

static void record_partition(const struct item *item, struct item_record *to) {
    const struct partition *partition = CONTAINER_OF_CONST(item, struct partition, item);
    item_record_u64(to, partition->first);
    item_record_u64(to, partition->end);
    item_record_text(to, bytes_of(partition->room, partition->room_len));
}

static void record_message(const struct item *item, struct item_record *to) {
    const struct message *message = CONTAINER_OF_CONST(item, struct message, item);
    item_record_u64(to, message->published_ms);
    item_record_u64(to, message->key_len);
    item_record_u64(to, message->digest.lo);
    item_record_u64(to, message->digest.hi);
}

static struct bytes body_of_message(const struct item *item) {
    const struct message *message = CONTAINER_OF_CONST(item, struct message, item);
    return bytes_of(message->bytes, (size_t)message->key_len + message->body_len);
}

static void record_group(const struct item *item, struct item_record *to) {
    const struct group *group = CONTAINER_OF_CONST(item, struct group, item);
    item_record_u64(to, group->id.number);
    item_record_u64(to, group->strategy);
    item_record_u64(to, group->generation);
    item_record_u64(to, group->handover_ms);
}

static void record_member(const struct item *item, struct item_record *to) {
    const struct member *member = CONTAINER_OF_CONST(item, struct member, item);
    item_record_u64(to, member->id.number);
    item_record_u64(to, member->session);
    item_record_u64(to, member->ttl_ms);
    item_record_u64(to, member->since_ms);
    item_record_u64(to, member->version);
    item_record_u64(to, deadline_of(&member->due));
    item_record_text(to, bytes_of(member->room, member->room_len));
    item_record_text(to, bytes_of(member->configured, member->configured_len));
}

static void record_slot(const struct item *item, struct item_record *to) {
    const struct slot *slot = CONTAINER_OF_CONST(item, struct slot, item);
    item_record_u64(to, slot->owner ? slot->owner->id.number : 0);
    item_record_u64(to, slot->target ? slot->target->id.number : 0);
    item_record_u64(to, slot->token);
    item_record_u64(to, slot->committed);
    item_record_u64(to, deadline_of(&slot->handover));
}

static void record_producer(const struct item *item, struct item_record *to) {
    const struct producer *producer = CONTAINER_OF_CONST(item, struct producer, item);
    item_record_u64(to, producer->id.number);
    item_record_u64(to, producer->next);
    item_record_u64(to, deadline_of(&producer->forget));
}

static void record_held(const struct item *item, struct item_record *to) {
    const struct held *held = CONTAINER_OF_CONST(item, struct held, item);
    item_record_u64(to, held->ticket);
    item_record_u64(to, deadline_of(&held->gap));
    item_record_u64(to, held->digest.lo);
    item_record_u64(to, held->digest.hi);
}

static struct bytes body_of_held(const struct item *item) {
    const struct held *held = CONTAINER_OF_CONST(item, struct held, item);
    return bytes_of(held->args, held->len);
}

const struct item_kind topic_kinds[TABLE_OWN] = {
    [TABLE_TOPICS] = {.tag = 't', .record = record_topic},
    [TABLE_PARTITIONS] = {.tag = 'p', .record = record_partition},
    [TABLE_MESSAGES] = {.tag = 'm', .record = record_message, .body = body_of_message},
    [TABLE_GROUPS] = {.tag = 'g', .record = record_group},
    [TABLE_MEMBERS] = {.tag = 'c', .record = record_member},
    [TABLE_SLOTS] = {.tag = 's', .record = record_slot},
    [TABLE_PRODUCERS] = {.tag = 'n', .record = record_producer},
    [TABLE_HELD] = {.tag = 'h', .record = record_held, .body = body_of_held},
};
