// Publishing: what is dropped as a repeat, what waits for an earlier number of its producer, and what retention drops.
//
//   partition   first 3: [m3 m4 m5] end 6      a publish gives its messages the offsets 6, 7, ...; retention of 4
//                                              messages then drops m3, m4: first 5
#include "base/assert.h"
#include "model/topic/topic_internal.h"

#define ANSWER_PLACE_BYTES 10u // a partition in 2 bytes, an offset in 8
_Static_assert(TOPIC_PUBLISH_MAX *ANSWER_PLACE_BYTES <= REMEMBER_ANSWER_BYTES_MAX, "an answer is remembered whole");
_Static_assert(TOPIC_DEDUP_BYTES_MAX <= REMEMBER_ID_BYTES_MAX, "an id is remembered whole");
_Static_assert(TOPIC_PUBLISH_BYTES_MAX + (16u << 10) <= SAVE_RECORD_BYTES_MAX, "what is held is one saved record");

// ---- arguments

bool topic_read_publish(struct topic_state *state, struct bytes args, struct topic_publish *publish) {
    struct reader r = reader_of(args.data, args.len);
    *publish = (struct topic_publish){.name = read_blob(&r)};
    publish->dedup = read_blob(&r);
    publish->dedup_ms = read_varint(&r);
    publish->producer = read_blob(&r);
    publish->number = read_varint(&r);
    uint64_t count = read_varint(&r);
    if (r.failed || count > reader_left(&r)) return false;
    struct topic_entry *entries = arena_alloc(&state->arena, sizeof *entries * (size_t)count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t place = read_varint(&r);
        uint64_t partition = place > 0 && place <= UINT32_MAX ? place - 1 : UINT32_MAX;
        entries[i] = (struct topic_entry){.by_key = place == 0, .partition = (uint32_t)partition, .key = read_blob(&r)};
        entries[i].body = read_blob(&r);
    }
    publish->entries = entries;
    publish->count = (uint32_t)count;
    return reader_done(&r) && count <= UINT32_MAX;
}

uint64_t topic_publish_bytes(const struct topic_publish *publish) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < publish->count; i++) bytes += publish->entries[i].key.len + publish->entries[i].body.len;
    return bytes;
}

bool topic_publish_good(const struct topic_publish *publish) {
    if (!topic_name_good(publish->name) || publish->count == 0 || publish->count > TOPIC_PUBLISH_MAX) return false;
    if (publish->dedup.len > TOPIC_DEDUP_BYTES_MAX || publish->dedup_ms > TOPIC_TIME_MS_MAX) return false;
    if ((publish->dedup.len > 0) != (publish->dedup_ms > 0)) return false;
    if (publish->producer.len > TOPIC_NAME_BYTES_MAX || (publish->producer.len > 0) != (publish->number > 0))
        return false;
    if (publish->number > 0 && (publish->dedup.len > 0 || publish->number == UINT64_MAX)) return false;
    for (uint32_t i = 0; i < publish->count; i++) {
        if (publish->entries[i].key.len > TOPIC_KEY_BYTES_MAX) return false;
        if (publish->entries[i].body.len > TOPIC_BODY_BYTES_MAX) return false;
    }
    return topic_publish_bytes(publish) <= TOPIC_PUBLISH_BYTES_MAX;
}

static bool partitions_good(const struct topic *topic, const struct topic_publish *publish) {
    for (uint32_t i = 0; i < publish->count; i++)
        if (!publish->entries[i].by_key && publish->entries[i].partition >= topic->partition_count) return false;
    return true;
}

// ---- retention

static struct message *oldest(const struct topic_state *state, const struct partition *partition) {
    return partition->count > 0 ? message_at(state, partition, partition->first) : NULL;
}

static void drop_oldest(struct topic_state *state, struct partition *partition) {
    message_free(state, partition, oldest(state, partition));
    partition->first++;
}

void topic_settle_age(struct topic_state *state, struct partition *partition) {
    const struct message *first = oldest(state, partition);
    uint64_t retention_ms = partition->topic->retention_ms, due_ms = NO_DEADLINE;
    if (first && retention_ms > 0) due_ms = topic_grid(time_after(first->published_ms, retention_ms));
    deadline_set(&state->due, &partition->age, due_ms, partition->number);
}

void topic_trim(struct topic_state *state, struct partition *partition) {
    const struct topic *topic = partition->topic;
    while (topic->retention_count > 0 && partition->count > topic->retention_count) drop_oldest(state, partition);
    while (topic->retention_bytes > 0 && partition->bytes > topic->retention_bytes && partition->count > 1)
        drop_oldest(state, partition);
    topic_settle_age(state, partition);
}

size_t topic_drop_old(struct topic_state *state, struct partition *partition, uint64_t now_ms, size_t max) {
    size_t dropped = 0;
    for (const struct message *first; dropped < max && (first = oldest(state, partition)) != NULL; dropped++) {
        if (time_after(first->published_ms, partition->topic->retention_ms) > now_ms) break;
        drop_oldest(state, partition);
    }
    topic_settle_age(state, partition);
    topic_changed(state, TABLE_PARTITIONS, &partition->item);
    return dropped;
}

// Is there room for so many messages and bytes more? What retention bounds makes its own room; what is held has none.
static bool has_room(const struct topic *topic, uint32_t count, uint64_t bytes) {
    uint64_t messages = topic->retention_count > 0 ? 0 : topic->messages;
    uint64_t used = topic->retention_bytes > 0 ? 0 : topic->bytes;
    return messages + topic->held + count <= TOPIC_MESSAGES_MAX && used + topic->held_bytes + bytes <= topic->bytes_max;
}

// ---- appending

static uint32_t partition_of(struct topic *topic, const struct topic_entry *entry) {
    if (!entry->by_key) return entry->partition;
    if (entry->key.len > 0) return topic_partition_of_key(entry->key, topic->partition_count);
    return (uint32_t)(topic->turn++ % topic->partition_count);
}

// Every group's reader is told once of each partition that has grown.
static void tell_readers(const struct topic_state *state, struct apply *apply, const struct topic *topic,
                         const struct topic_place *places, uint32_t count) {
    if (apply->emit == NULL) return;
    const struct item *item = topic_first_of(state, TABLE_GROUPS, topic->id.number);
    for (; item; item = topic_next_of(item, topic->id.number)) {
        const struct group *group = CONTAINER_OF_CONST(item, struct group, item);
        for (uint32_t i = 0; i < count && group->members > 0; i++) {
            const struct slot *slot = group->slots[places[i].partition];
            bool last = places[i].offset + 1 == topic->partitions[places[i].partition]->end;
            if (!last || slot->owner == NULL) continue;
            struct topic_event event = {
                .type = TOPIC_EVENT_GROWN, .member = slot->owner->id.number, .token = slot->token};
            apply->emit(apply->emit_context, MODEL_TOPIC, &event);
        }
    }
}

static void append(struct topic_state *state, struct apply *apply, struct topic *topic,
                   const struct topic_publish *publish, struct topic_result *out) {
    struct topic_place *places = arena_alloc(&state->arena, sizeof *places * publish->count);
    for (uint32_t i = 0; i < publish->count; i++) {
        const struct topic_entry *entry = &publish->entries[i];
        struct partition *partition = topic->partitions[partition_of(topic, entry)];
        places[i] = (struct topic_place){partition->index, partition->end++};
        struct message *message =
            message_make(state, partition, places[i].offset, apply->log_time_ms, entry->key, entry->body);
        topic_changed(state, TABLE_MESSAGES, &message->item);
        topic_trim(state, partition);
        topic_changed(state, TABLE_PARTITIONS, &partition->item);
    }
    topic_changed(state, TABLE_TOPICS, &topic->item);
    out->places = places;
    out->place_count = publish->count;
    tell_readers(state, apply, topic, places, publish->count);
}

// ---- repeats by deduplication id

static void remember(struct topic_state *state, const struct apply *apply, const struct topic *topic,
                     const struct topic_publish *publish, const struct topic_result *out) {
    uint8_t answer[REMEMBER_ANSWER_BYTES_MAX];
    for (uint32_t i = 0; i < out->place_count; i++) {
        put_u16_le(answer + i * ANSWER_PLACE_BYTES, (uint16_t)out->places[i].partition);
        put_u64_le(answer + i * ANSWER_PLACE_BYTES + 2, out->places[i].offset);
    }
    struct bytes all = bytes_of(answer, out->place_count * ANSWER_PLACE_BYTES);
    uint64_t until_ms = topic_grid(time_after(apply->log_time_ms, publish->dedup_ms));
    remember_add(&state->remembered, topic->id.number, publish->dedup, bytes_of("", 0), all, topic_next_number(state),
                 until_ms);
}

static void answer_again(struct topic_state *state, const struct remembered *request, struct topic_result *out) {
    struct bytes answer = remembered_answer(request);
    struct reader r = reader_of(answer.data, answer.len);
    out->place_count = (uint32_t)(answer.len / ANSWER_PLACE_BYTES);
    struct topic_place *places = arena_alloc(&state->arena, sizeof *places * out->place_count);
    for (uint32_t i = 0; i < out->place_count; i++) {
        places[i].partition = read_u16_le(&r);
        places[i].offset = read_u64_le(&r);
    }
    out->places = places;
    out->duplicate = true;
}

// ---- numbers of producers

static struct producer *producer_find(const struct topic_state *state, const struct topic *topic, struct bytes name) {
    struct item *item = name.len > 0 ? topic_find_item(state, TABLE_PRODUCERS, topic->id.number, name) : NULL;
    return item ? CONTAINER_OF(item, struct producer, item) : NULL;
}

static struct held *held_find(const struct topic_state *state, const struct producer *producer, uint64_t number) {
    struct topic_name name = topic_name_of_two(producer->id.number, number);
    struct item *item = items_find(&state->tables[TABLE_HELD], topic_name_bytes(&name));
    return item ? CONTAINER_OF(item, struct held, item) : NULL;
}

static void producer_settle(struct topic_state *state, const struct apply *apply, struct producer *producer) {
    if (producer->held == 0 && producer->next == 1) { // of what it sent nothing was ever published
        producer_free(state, producer);
        return;
    }
    uint64_t forget_ms = topic_grid(time_after(apply->log_time_ms, TOPIC_NUMBERING_MS));
    deadline_set(&state->due, &producer->forget, producer->held > 0 ? NO_DEADLINE : forget_ms, producer->id.number);
    topic_changed(state, TABLE_PRODUCERS, &producer->item);
}

static void tell_held(struct apply *apply, const struct held *held, enum topic_event_type type,
                      const struct topic_result *of) {
    struct topic_event event = {.type = type, .ticket = held->ticket};
    if (of) event.places = of->places;
    if (of) event.place_count = of->place_count;
    if (apply->emit) apply->emit(apply->emit_context, MODEL_TOPIC, &event);
}

// What waited for the number that has come.
static void publish_held(struct topic_state *state, struct apply *apply, struct producer *producer) {
    for (struct held *held; producer->held > 0 && (held = held_find(state, producer, producer->next)) != NULL;) {
        struct topic_publish publish;
        struct topic_result of = {0};
        bool good = topic_read_publish(state, bytes_of(held->args, held->len), &publish);
        ENSURE(good); // it was read before it was held, and when it was loaded
        append(state, apply, producer->topic, &publish, &of);
        tell_held(apply, held, TOPIC_EVENT_PUBLISHED, &of);
        held_free(state, held);
        producer->next++;
    }
}

void topic_held_due(struct topic_state *state, struct apply *apply, struct held *held) {
    struct producer *producer = held->producer;
    tell_held(apply, held, TOPIC_EVENT_GAP, NULL);
    held_free(state, held);
    producer_settle(state, apply, producer);
}

static void hold(struct topic_state *state, const struct apply *apply, struct producer *producer, struct bytes args,
                 const struct topic_publish *publish, struct topic_result *out) {
    struct held *held = held_make(state, producer, publish->number, args, publish->count, topic_publish_bytes(publish));
    held->ticket = out->ticket = topic_next_number(state);
    out->waits = true;
    deadline_set(&state->due, &held->gap, time_after(apply->log_time_ms, TOPIC_GAP_MS), held->ticket);
    topic_changed(state, TABLE_HELD, &held->item);
}

// ---- PUBLISH

// Is it a repeat? Then `out` says of what.
static bool repeated(struct topic_state *state, const struct topic *topic, const struct producer *producer,
                     const struct topic_publish *publish, struct topic_result *out) {
    const struct remembered *request =
        publish->dedup.len > 0 ? remember_find(&state->remembered, topic->id.number, publish->dedup) : NULL;
    if (request) answer_again(state, request, out);
    const struct held *held = producer ? held_find(state, producer, publish->number) : NULL;
    if (held) {
        out->waits = true;
        out->ticket = held->ticket;
    }
    out->duplicate = request || held || (producer && publish->number < producer->next);
    return out->duplicate;
}

int topic_apply_publish(struct topic_state *state, struct apply *apply, struct bytes args, struct topic_result *out) {
    struct topic_publish publish;
    if (!topic_read_publish(state, args, &publish)) return COMMAND_BAD_COMMAND;
    if (!topic_publish_good(&publish)) return TOPIC_BAD_ARGUMENTS;
    struct topic *topic = topic_find(state, publish.name);
    if (topic == NULL) return TOPIC_NOT_FOUND;
    if (!partitions_good(topic, &publish)) return TOPIC_PARTITION;
    struct producer *producer = producer_find(state, topic, publish.producer);
    if (repeated(state, topic, producer, &publish, out)) return 0;
    bool waits = publish.number > (producer ? producer->next : 1);
    if (waits && producer && producer->held >= TOPIC_HELD_MAX) return TOPIC_GAP;
    if (publish.number > 0 && producer == NULL && topic->producers >= TOPIC_PRODUCERS_MAX) return TOPIC_LIMIT;
    if (publish.dedup.len > 0 && state->remembered.items.map.count >= TOPIC_REMEMBERED_MAX) return TOPIC_LIMIT;
    if (!has_room(topic, publish.count, topic_publish_bytes(&publish))) return TOPIC_FULL;
    if (publish.number > 0 && producer == NULL)
        producer = producer_make(state, topic, publish.producer, topic_next_number(state));
    if (waits)
        hold(state, apply, producer, args, &publish, out);
    else
        append(state, apply, topic, &publish, out);
    if (publish.dedup.len > 0) remember(state, apply, topic, &publish, out);
    if (producer && !waits) producer->next = publish.number + 1;
    if (producer && !waits) publish_held(state, apply, producer);
    if (producer) producer_settle(state, apply, producer);
    return 0;
}
