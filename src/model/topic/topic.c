// The model: making and ending topics and groups, dispatch, deadlines.
#include "model/topic/topic.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "model/topic/topic_internal.h"

// ---- CREATE, DELETE

static bool create_good(const struct topic_options *o) {
    if (!topic_name_good(o->name) || o->partitions == 0 || o->partitions > TOPIC_PARTITIONS_MAX) return false;
    if (o->bytes_max < TOPIC_PUBLISH_BYTES_MAX || o->bytes_max > TOPIC_BYTES_MAX) return false;
    if (o->retention_ms > TOPIC_RETENTION_MS_MAX) return false;
    if (o->retention_count > TOPIC_MESSAGES_MAX / o->partitions) return false;
    return o->retention_bytes <= o->bytes_max / o->partitions;
}

static bool read_create(struct topic_state *state, struct reader *r, struct topic_options *o) {
    *o = (struct topic_options){.name = read_blob(r)};
    uint64_t partitions = read_varint(r);
    o->retention_count = read_varint(r);
    o->retention_bytes = read_varint(r);
    o->retention_ms = read_varint(r);
    o->bytes_max = read_varint(r);
    uint64_t rooms = read_varint(r);
    if (r->failed || rooms > reader_left(r)) return false;
    o->partitions = partitions > UINT32_MAX ? UINT32_MAX : (uint32_t)partitions;
    if (o->bytes_max == 0) o->bytes_max = TOPIC_BYTES_DEFAULT;
    struct bytes *names = arena_alloc(&state->arena, sizeof *names * (size_t)rooms);
    for (uint64_t i = 0; i < rooms; i++) {
        names[i] = read_blob(r);
        if (names[i].len > TOPIC_ROOM_BYTES_MAX) o->partitions = 0; // out of bounds
    }
    if (rooms > 0 && rooms != partitions) o->partitions = 0;
    o->rooms = rooms > 0 ? names : NULL;
    return reader_done(r);
}

static bool set_room(struct partition *partition, struct bytes room) { // true: it is another one
    if (bytes_equal(bytes_of(partition->room, partition->room_len), room)) return false;
    partition->room_len = (uint8_t)room.len;
    if (room.len > 0) memcpy(partition->room, room.data, room.len);
    return true;
}

static void set_options(struct topic_state *state, struct apply *apply, struct topic *topic,
                        const struct topic_options *o) {
    bool moved = false;
    topic->retention_count = o->retention_count;
    topic->retention_bytes = o->retention_bytes;
    topic->retention_ms = o->retention_ms;
    topic->bytes_max = o->bytes_max;
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        moved |= set_room(topic->partitions[p], o->rooms ? o->rooms[p] : bytes_of(NULL, 0));
        topic_trim(state, topic->partitions[p]);
        topic_changed(state, TABLE_PARTITIONS, &topic->partitions[p]->item);
    }
    topic_changed(state, TABLE_TOPICS, &topic->item);
    struct item *item = moved ? topic_first_of(state, TABLE_GROUPS, topic->id.number) : NULL;
    for (; item; item = topic_next_of(item, topic->id.number))
        topic_rebalance(state, apply, CONTAINER_OF(item, struct group, item));
}

static int apply_create(struct topic_state *state, struct apply *apply, struct reader *r) {
    struct topic_options options;
    if (!read_create(state, r, &options)) return COMMAND_BAD_COMMAND;
    if (!create_good(&options)) return TOPIC_BAD_ARGUMENTS;
    struct topic *topic = topic_find(state, options.name);
    if (topic && topic->partition_count != options.partitions) return TOPIC_EXISTS;
    if (topic == NULL) {
        topic = topic_make(state, options.name, topic_next_number(state), options.partitions);
        state->words[WORD_NUMBER] += options.partitions;
    }
    set_options(state, apply, topic, &options);
    return 0;
}

static void end_group(struct topic_state *state, struct apply *apply, struct group *group) {
    for (struct item *item; (item = topic_first_of(state, TABLE_MEMBERS, group->id.number)) != NULL;)
        topic_member_end(state, apply, CONTAINER_OF(item, struct member, item));
    group_free(state, group);
}

static void drop_messages(struct topic_state *state, struct partition *partition) {
    for (struct item *item; (item = topic_first_of(state, TABLE_MESSAGES, partition->number)) != NULL;)
        message_free(state, partition, CONTAINER_OF(item, struct message, item));
    deadline_set(&state->due, &partition->age, NO_DEADLINE, 0);
    items_remove(&state->tables[TABLE_PARTITIONS], &partition->item);
}

static void drop_remembered(struct topic_state *state, uint64_t topic) {
    uint8_t prefix[8];
    put_u64_be(prefix, topic);
    struct items_page page = {.prefix = bytes_of(prefix, sizeof prefix)};
    for (const struct item *item; (item = items_page_first(&state->remembered.items, &page)) != NULL;)
        remember_drop(&state->remembered, CONTAINER_OF((struct item *)(uintptr_t)item, struct remembered, item));
}

static void free_topic(struct topic_state *state, struct apply *apply, struct topic *topic) {
    uint64_t number = topic->id.number;
    for (struct item *item; (item = topic_first_of(state, TABLE_GROUPS, number)) != NULL;)
        end_group(state, apply, CONTAINER_OF(item, struct group, item));
    for (struct item *item; (item = topic_first_of(state, TABLE_PRODUCERS, number)) != NULL;) {
        struct producer *producer = CONTAINER_OF(item, struct producer, item);
        uint64_t of = producer->id.number;
        producer->next = 1; // so that it goes with the last that it holds
        if (producer->held == 0) producer_free(state, producer);
        for (struct item *held; (held = topic_first_of(state, TABLE_HELD, of)) != NULL;)
            topic_held_due(state, apply, CONTAINER_OF(held, struct held, item));
    }
    for (uint32_t p = 0; p < topic->partition_count; p++) drop_messages(state, topic->partitions[p]);
    drop_remembered(state, number);
    hash_remove(&state->by_number, &topic->id.node);
    items_remove(&state->tables[TABLE_TOPICS], &topic->item);
}

static int apply_delete(struct topic_state *state, struct apply *apply, struct reader *r) {
    struct bytes name = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct topic *topic = topic_find(state, name);
    if (topic == NULL) return TOPIC_NOT_FOUND;
    free_topic(state, apply, topic);
    return 0;
}

static int apply_group_delete(struct topic_state *state, struct apply *apply, struct reader *r) {
    struct bytes topic_name = read_blob(r), group_name = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    const struct topic *topic = topic_find(state, topic_name);
    struct group *group = topic ? group_find(state, topic, group_name) : NULL;
    if (group == NULL) return TOPIC_NOT_FOUND;
    if (group->members > 0) return TOPIC_NOT_EMPTY;
    end_group(state, apply, group);
    return 0;
}

// ---- the model

static int run(struct topic_state *state, struct apply *apply, const struct command *command,
               struct topic_result *out) {
    struct reader r = reader_of(command->args.data, command->args.len);
    switch (command->op) {
    case TOPIC_CREATE:
        return apply_create(state, apply, &r);
    case TOPIC_DELETE:
        return apply_delete(state, apply, &r);
    case TOPIC_PUBLISH:
        return topic_apply_publish(state, apply, command->args, out);
    case TOPIC_JOIN:
        return topic_apply_join(state, apply, command->session, &r, out);
    case TOPIC_HEARTBEAT:
    case TOPIC_LEAVE:
        return topic_apply_of_member(state, apply, command->op, &r, out);
    case TOPIC_RELEASE:
    case TOPIC_COMMIT:
        return topic_apply_of_slot(state, apply, command->op, &r, out);
    case TOPIC_GROUP_DELETE:
        return apply_group_delete(state, apply, &r);
    default:
        return COMMAND_BAD_COMMAND;
    }
}

static void topic_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct topic_state *state = model;
    arena_reset(&state->arena);
    state->result = (struct topic_result){0};
    result->value = &state->result;
    result->error = run(state, apply, command, &state->result);
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}

static void topic_session_end(void *model, struct apply *apply, uint64_t session) {
    struct topic_state *state = model;
    arena_reset(&state->arena);
    for (struct member *member; (member = member_first_of_session(state, session)) != NULL;) {
        struct group *group = member->group;
        topic_member_end(state, apply, member);
        topic_rebalance(state, apply, group);
    }
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}

static size_t end_one(struct topic_state *state, struct apply *apply, struct deadline *due, size_t max) {
    struct member *member;
    struct group *group;
    switch ((enum topic_due)due->kind) {
    case DUE_MEMBER:
        member = CONTAINER_OF(due, struct member, due);
        group = member->group;
        topic_member_end(state, apply, member);
        topic_rebalance(state, apply, group);
        return 1;
    case DUE_HANDOVER:
        topic_handover(state, apply, CONTAINER_OF(due, struct slot, handover));
        return 1;
    case DUE_AGE:
        return topic_drop_old(state, CONTAINER_OF(due, struct partition, age), apply->log_time_ms, max);
    case DUE_PRODUCER:
        producer_free(state, CONTAINER_OF(due, struct producer, forget));
        return 1;
    case DUE_HELD:
        topic_held_due(state, apply, CONTAINER_OF(due, struct held, gap));
        return 1;
    default:
        remember_drop(&state->remembered, remembered_of(due));
        return 1;
    }
}

static size_t topic_expire(void *model, struct apply *apply, size_t max) {
    struct topic_state *state = model;
    size_t ended = 0;
    arena_reset(&state->arena);
    for (struct deadline *due; ended < max && (due = deadline_due(&state->due, apply->log_time_ms)) != NULL;)
        ended += end_one(state, apply, due, max - ended);
    items_head_changed(&state->sum, state->words, WORD_COUNT);
    return ended;
}

static uint64_t topic_next_deadline(const void *model) {
    return deadline_first(&((const struct topic_state *)model)->due);
}

static int compare_sessions(const struct omap_node *a, const struct omap_node *b) {
    const struct member *x = CONTAINER_OF_CONST(a, struct member, of_session);
    const struct member *y = CONTAINER_OF_CONST(b, struct member, of_session);
    if (x->session != y->session) return x->session < y->session ? -1 : 1;
    return x->id.number < y->id.number ? -1 : x->id.number > y->id.number;
}

static void *topic_create(void) {
    struct topic_state *state = mem_zalloc(sizeof *state);
    state->sum.domain = MODEL_TOPIC;
    for (size_t i = 0; i < TABLE_OWN; i++) items_init(&state->tables[i], &topic_kinds[i], &state->sum);
    remember_init(&state->remembered, &state->sum, &state->due, DUE_REMEMBERED);
    hash_init(&state->by_number);
    omap_init(&state->by_session, compare_sessions);
    owned_init(&state->owned);
    heap_init(&state->due);
    arena_init(&state->arena);
    return state;
}

static void topic_destroy(void *model) {
    struct topic_state *state = model;
    struct apply nobody = {0};
    for (struct item *item; (item = items_first(&state->tables[TABLE_TOPICS])) != NULL;)
        free_topic(state, &nobody, CONTAINER_OF(item, struct topic, item));
    items_free(&state->remembered.items);
    hash_free(&state->by_number);
    owned_free(&state->owned);
    heap_free(&state->due);
    arena_free(&state->arena);
    mem_free(state);
}

// ---- save, digests

static void tables_of(const struct topic_state *state, const struct items *tables[TABLE_OWN + 1]) {
    for (size_t i = 0; i < TABLE_OWN; i++) tables[i] = &state->tables[i];
    tables[TABLE_OWN] = &state->remembered.items;
}

static size_t topic_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    const struct topic_state *state = model;
    const struct items *tables[TABLE_OWN + 1];
    tables_of(state, tables);
    return items_save(&state->sum, tables, TABLE_OWN + 1, state->words, WORD_COUNT, cursor, out, capacity);
}

static struct digest topic_digest(const void *model) {
    return ((const struct topic_state *)model)->sum.digest;
}

static struct digest topic_digest_recount(const void *model) {
    const struct topic_state *state = model;
    const struct items *tables[TABLE_OWN + 1];
    tables_of(state, tables);
    return items_recount(&state->sum, tables, TABLE_OWN + 1, state->words, WORD_COUNT);
}

static uint64_t topic_count(const void *model) {
    return ((const struct topic_state *)model)->tables[TABLE_TOPICS].map.count;
}

static uint64_t topic_memory(const void *model) {
    const struct topic_state *state = model;
    return state->sum.memory + owned_memory(&state->owned) +
           (uint64_t)(state->by_number.count + state->due.count) * sizeof(void *);
}

const struct model_ops topic_model = {
    .name = "topic",
    .id = MODEL_TOPIC,
    .create = topic_create,
    .destroy = topic_destroy,
    .apply = topic_apply,
    .query = topic_query_model,
    .session_end = topic_session_end,
    .next_deadline_ms = topic_next_deadline,
    .expire = topic_expire,
    .save = topic_save,
    .load = topic_load,
    .digest = topic_digest,
    .digest_recount = topic_digest_recount,
    .memory = topic_memory,
    .count = topic_count,
    .growing =
        MODEL_GROWS(TOPIC_CREATE) | MODEL_GROWS(TOPIC_PUBLISH), // joining is bounded by the topics that there are
};
