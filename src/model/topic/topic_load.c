// Loading: each record is checked before it becomes part of the state; what cannot be is refused, whole. Tables come in
// their order (enum topic_table), so what a record belongs to is there.
#include "model/topic/topic_internal.h"
#include <errno.h>

static bool number_free(const struct topic_state *state, uint64_t number) {
    if (number == 0 || number > state->words[WORD_NUMBER]) return false;
    for (enum numbered_kind kind = NUMBERED_TOPIC; kind <= NUMBERED_PRODUCER; kind++)
        if (topic_numbered(state, kind, number)) return false;
    return true;
}

// A name that begins with a number: that, and what stands behind it.
static uint64_t split(struct bytes name, struct bytes *own) {
    struct reader r = reader_of(name.data, name.len);
    uint64_t number = read_u64_be(&r);
    *own = read_span(&r, reader_left(&r));
    return r.failed ? 0 : number;
}

static bool load_topic(struct topic_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t number = read_u64_le(r), partitions = read_u64_le(r);
    struct topic options = {.retention_count = read_u64_le(r)};
    options.retention_bytes = read_u64_le(r);
    options.retention_ms = read_u64_le(r);
    options.bytes_max = read_u64_le(r);
    options.turn = read_u64_le(r);
    if (r->failed || !topic_name_good(name) || topic_find(state, name) || !number_free(state, number)) return false;
    if (partitions == 0 || partitions > TOPIC_PARTITIONS_MAX || options.retention_ms > TOPIC_RETENTION_MS_MAX)
        return false;
    if (number + partitions > state->words[WORD_NUMBER]) return false;
    for (uint64_t p = 0; p < partitions; p++)
        if (topic_find_item(state, TABLE_PARTITIONS, number + 1 + p, bytes_of(NULL, 0))) return false;
    struct topic *topic = topic_make(state, name, number, (uint32_t)partitions);
    topic->retention_count = options.retention_count;
    topic->retention_bytes = options.retention_bytes;
    topic->retention_ms = options.retention_ms;
    topic->bytes_max = options.bytes_max;
    topic->turn = options.turn;
    topic_changed(state, TABLE_TOPICS, &topic->item);
    for (uint32_t p = 0; p < topic->partition_count; p++)
        topic_changed(state, TABLE_PARTITIONS, &topic->partitions[p]->item);
    return true;
}

static struct partition *partition_of(const struct topic_state *state, uint64_t number) {
    struct item *item = topic_find_item(state, TABLE_PARTITIONS, number, bytes_of(NULL, 0));
    return item ? CONTAINER_OF(item, struct partition, item) : NULL;
}

static bool load_partition(struct topic_state *state, struct reader *r) {
    struct bytes own, name = item_read_text(r);
    struct partition *partition = partition_of(state, split(name, &own));
    uint64_t first = read_u64_le(r), end = read_u64_le(r);
    struct bytes room = item_read_text(r);
    if (r->failed || own.len > 0 || partition == NULL || partition->count > 0) return false;
    if (first > end || room.len > TOPIC_ROOM_BYTES_MAX) return false;
    partition->first = first;
    partition->end = end;
    partition->room_len = (uint8_t)room.len;
    if (room.len > 0) memcpy(partition->room, room.data, room.len);
    topic_changed(state, TABLE_PARTITIONS, &partition->item);
    return true;
}

static struct digest read_digest(struct reader *r) {
    uint64_t lo = read_u64_le(r);
    return (struct digest){.lo = lo, .hi = read_u64_le(r)};
}

static bool load_message(struct topic_state *state, struct reader *r) {
    struct bytes own, name = item_read_text(r);
    struct partition *partition = partition_of(state, split(name, &own));
    uint64_t published_ms = read_u64_le(r), key_len = read_u64_le(r);
    struct digest digest = read_digest(r);
    struct bytes body = items_read_body(r);
    if (r->failed || partition == NULL || own.len != 8 || key_len > body.len || key_len > TOPIC_KEY_BYTES_MAX)
        return false;
    struct reader offset_of = reader_of(own.data, own.len);
    uint64_t offset = read_u64_be(&offset_of);
    if (offset != partition->first + partition->count || offset >= partition->end) return false;
    if (body.len - key_len > TOPIC_BODY_BYTES_MAX) return false;
    struct message *message = message_make(state, partition, offset, published_ms, bytes_of(body.data, (size_t)key_len),
                                           bytes_of(body.data + key_len, body.len - (size_t)key_len));
    topic_changed(state, TABLE_MESSAGES, &message->item);
    if (partition->count == 1) topic_settle_age(state, partition);
    return digest_equal(digest, message->digest);
}

static bool load_group(struct topic_state *state, struct reader *r) {
    struct bytes own, name = item_read_text(r);
    struct topic *topic = topic_numbered(state, NUMBERED_TOPIC, split(name, &own));
    uint64_t number = read_u64_le(r), strategy = read_u64_le(r), generation = read_u64_le(r),
             handover_ms = read_u64_le(r);
    if (r->failed || topic == NULL || !topic_name_good(own) || group_find(state, topic, own)) return false;
    if (!number_free(state, number) || number + topic->partition_count > state->words[WORD_NUMBER]) return false;
    if (strategy < TOPIC_AVERAGELY || strategy >= TOPIC_STRATEGY_END || handover_ms > TOPIC_TIME_MS_MAX) return false;
    struct group *group = group_make(state, topic, own, number);
    group->strategy = (enum topic_strategy)strategy;
    group->generation = generation;
    group->handover_ms = handover_ms;
    topic_changed(state, TABLE_GROUPS, &group->item);
    for (uint32_t p = 0; p < topic->partition_count; p++) topic_changed(state, TABLE_SLOTS, &group->slots[p]->item);
    return true;
}

static bool load_member(struct topic_state *state, struct reader *r) {
    struct bytes own, name = item_read_text(r);
    struct group *group = topic_numbered(state, NUMBERED_GROUP, split(name, &own));
    uint64_t number = read_u64_le(r), session = read_u64_le(r), ttl_ms = read_u64_le(r), since_ms = read_u64_le(r);
    uint64_t version = read_u64_le(r), due_ms = read_u64_le(r);
    struct bytes room = item_read_text(r), configured = item_read_text(r);
    if (r->failed || group == NULL || !topic_name_good(own) || !number_free(state, number)) return false;
    if ((session == 0) != (due_ms != NO_DEADLINE) || (session == 0) != (ttl_ms > 0) || ttl_ms > TOPIC_TIME_MS_MAX)
        return false;
    if (room.len > TOPIC_ROOM_BYTES_MAX || configured.len > TOPIC_BITMAP_BYTES) return false;
    if (topic_find_item(state, TABLE_MEMBERS, group->id.number, own)) return false;
    if (group->members >= TOPIC_MEMBERS_MAX || owned_count(&state->owned, session) >= TOPIC_SESSION_MAX) return false;
    struct member *member = member_make(state, group, own, number, session);
    member->ttl_ms = ttl_ms;
    member->since_ms = since_ms;
    member->version = version;
    member->room_len = (uint8_t)room.len;
    if (room.len > 0) memcpy(member->room, room.data, room.len);
    member->configured_len = (uint8_t)configured.len;
    if (configured.len > 0) memcpy(member->configured, configured.data, configured.len);
    deadline_set(&state->due, &member->due, due_ms, number);
    topic_changed(state, TABLE_MEMBERS, &member->item);
    return true;
}

static bool load_slot(struct topic_state *state, struct reader *r) {
    struct bytes own, name = item_read_text(r);
    struct group *group = topic_numbered(state, NUMBERED_GROUP, split(name, &own));
    uint64_t owner_number = read_u64_le(r), target_number = read_u64_le(r), token = read_u64_le(r);
    uint64_t committed = read_u64_le(r), due_ms = read_u64_le(r);
    struct reader at = reader_of(own.data, own.len);
    uint32_t p = read_u32_be(&at);
    if (r->failed || group == NULL || !reader_done(&at) || p >= group->topic->partition_count) return false;
    struct member *owner = topic_numbered(state, NUMBERED_MEMBER, owner_number);
    struct member *target = topic_numbered(state, NUMBERED_MEMBER, target_number);
    if ((owner == NULL) != (owner_number == 0) || (target == NULL) != (target_number == 0)) return false;
    if ((owner == NULL) != (target == NULL) || (owner == NULL) != (token == 0)) return false;
    if (owner && (owner->group != group || target->group != group)) return false;
    if ((owner != target) != (due_ms != NO_DEADLINE) || token > state->words[WORD_TOKEN]) return false;
    struct slot *slot = group->slots[p];
    if (slot->owner != NULL || committed > group->topic->partitions[p]->end) return false;
    slot->owner = owner;
    slot->target = target;
    slot->token = token;
    slot->committed = committed;
    if (owner) owner->reads++;
    deadline_set(&state->due, &slot->handover, due_ms, group->id.number + 1 + p);
    topic_changed(state, TABLE_SLOTS, &slot->item);
    return true;
}

static bool load_producer(struct topic_state *state, struct reader *r) {
    struct bytes own, name = item_read_text(r);
    struct topic *topic = topic_numbered(state, NUMBERED_TOPIC, split(name, &own));
    uint64_t number = read_u64_le(r), next = read_u64_le(r), forget_ms = read_u64_le(r);
    if (r->failed || topic == NULL || !topic_name_good(own) || !number_free(state, number) || next == 0) return false;
    if (topic_find_item(state, TABLE_PRODUCERS, topic->id.number, own)) return false;
    struct producer *producer = producer_make(state, topic, own, number);
    producer->next = next;
    deadline_set(&state->due, &producer->forget, forget_ms, number);
    topic_changed(state, TABLE_PRODUCERS, &producer->item);
    return true;
}

static bool load_held(struct topic_state *state, struct reader *r) {
    struct bytes own, name = item_read_text(r);
    struct producer *producer = topic_numbered(state, NUMBERED_PRODUCER, split(name, &own));
    uint64_t ticket = read_u64_le(r), due_ms = read_u64_le(r);
    struct digest digest = read_digest(r);
    struct bytes args = items_read_body(r);
    struct reader number_of = reader_of(own.data, own.len);
    uint64_t number = read_u64_be(&number_of);
    struct topic_publish publish;
    if (r->failed || producer == NULL || !reader_done(&number_of) || number <= producer->next) return false;
    if (due_ms == NO_DEADLINE || ticket > state->words[WORD_NUMBER] || producer->held >= TOPIC_HELD_MAX) return false;
    if (deadline_of(&producer->forget) != NO_DEADLINE || topic_find_item(state, TABLE_HELD, producer->id.number, own))
        return false;
    if (!topic_read_publish(state, args, &publish) || !topic_publish_good(&publish)) return false;
    for (uint32_t i = 0; i < publish.count; i++)
        if (!publish.entries[i].by_key && publish.entries[i].partition >= producer->topic->partition_count)
            return false;
    struct held *held = held_make(state, producer, number, args, publish.count, topic_publish_bytes(&publish));
    held->ticket = ticket;
    deadline_set(&state->due, &held->gap, due_ms, ticket);
    topic_changed(state, TABLE_HELD, &held->item);
    return digest_equal(digest, held->digest);
}

static bool load_one(struct topic_state *state, uint8_t tag, struct reader *r) {
    const struct remembered *request;
    switch (tag) {
    case 0:
        return items_load_head(&state->sum, r, state->words, WORD_COUNT) && state->words[WORD_NUMBER] < UINT64_MAX / 2;
    case 't':
        return load_topic(state, r);
    case 'p':
        return load_partition(state, r);
    case 'm':
        return load_message(state, r);
    case 'g':
        return load_group(state, r);
    case 'c':
        return load_member(state, r);
    case 's':
        return load_slot(state, r);
    case 'n':
        return load_producer(state, r);
    case 'h':
        return load_held(state, r);
    case 'r':
        request = remember_load(&state->remembered, r);
        return request && topic_numbered(state, NUMBERED_TOPIC, request->scope) != NULL;
    default:
        return false;
    }
}

int topic_load(void *model, const uint8_t *data, size_t len) {
    struct topic_state *state = model;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        uint8_t tag = read_u8(&r);
        arena_reset(&state->arena);
        if (!load_one(state, tag, &r)) return -EBADMSG;
    }
    return r.failed ? -EBADMSG : 0;
}
