// What there is to see, and what readers get.
#include "model/topic/topic_internal.h"

static void show_topic(const struct topic *topic, const struct topic_query *query) {
    struct topic_info info = {.name = item_name(&topic->item),
                              .partitions = topic->partition_count,
                              .groups = topic->groups,
                              .producers = topic->producers,
                              .retention_count = topic->retention_count,
                              .retention_bytes = topic->retention_bytes,
                              .retention_ms = topic->retention_ms,
                              .bytes_max = topic->bytes_max,
                              .messages = topic->messages,
                              .bytes = topic->bytes + topic->held_bytes,
                              .held = topic->held};
    query->topic(query->context, &info);
}

static void show_partitions(const struct topic *topic, const struct topic_query *query) {
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        const struct partition *partition = topic->partitions[p];
        struct topic_partition_info info = {.partition = p,
                                            .first = partition->first,
                                            .end = partition->end,
                                            .bytes = partition->bytes,
                                            .room = bytes_of(partition->room, partition->room_len)};
        query->partition(query->context, &info);
    }
}

static struct topic_slot_info slot_info(const struct slot *slot) {
    const struct partition *partition = slot->group->topic->partitions[slot->partition];
    uint64_t from = slot->committed > partition->first ? slot->committed : partition->first;
    struct topic_slot_info info = {.partition = slot->partition,
                                   .token = slot->token,
                                   .revoked = slot_revoked(slot),
                                   .committed = slot->committed,
                                   .first = partition->first,
                                   .end = partition->end,
                                   .lag = partition->end - from,
                                   .dropped = from - slot->committed};
    if (slot->owner) info.owner = slot->owner->id.number;
    if (slot->owner) info.owner_name = topic_own_name(&slot->owner->item);
    if (info.revoked) info.handover_until_ms = deadline_of(&slot->handover);
    return info;
}

static void show_group(const struct group *group, const struct topic_query *query) {
    struct topic_group_info info = {.name = topic_own_name(&group->item),
                                    .strategy = group->strategy,
                                    .generation = group->generation,
                                    .handover_ms = group->handover_ms,
                                    .members = group->members};
    for (uint32_t p = 0; p < group->topic->partition_count; p++) info.lag += slot_info(group->slots[p]).lag;
    query->of_group(query->context, &info);
}

static void show_members(const struct topic_state *state, const struct group *group, const struct topic_query *query) {
    const struct item *item = topic_first_of(state, TABLE_MEMBERS, group->id.number);
    for (size_t left = query->max; item && left > 0; item = topic_next_of(item, group->id.number), left--) {
        const struct member *member = CONTAINER_OF_CONST(item, struct member, item);
        struct topic_member_info info = {.name = topic_own_name(item),
                                         .room = bytes_of(member->room, member->room_len),
                                         .number = member->id.number,
                                         .session = member->session,
                                         .ttl_ms = member->ttl_ms,
                                         .due_ms = member->session == 0 ? deadline_of(&member->due) : 0,
                                         .since_ms = member->since_ms,
                                         .version = member->version,
                                         .partitions = member->reads};
        query->member(query->context, &info);
    }
}

static void show_slots(const struct group *group, const struct topic_query *query) {
    for (uint32_t p = 0; p < group->topic->partition_count; p++) {
        struct topic_slot_info info = slot_info(group->slots[p]);
        query->slot(query->context, &info);
    }
}

static void show_groups(const struct topic_state *state, const struct topic *topic, const struct topic_query *query) {
    size_t left = query->max;
    const struct item *item = topic_first_of(state, TABLE_GROUPS, topic->id.number);
    for (; item && left > 0; item = topic_next_of(item, topic->id.number), left--)
        show_group(CONTAINER_OF_CONST(item, struct group, item), query);
}

// ---- reading

struct budget { // of one answer
    uint64_t bytes;
    bool given; // a message: one is given, however large
};

// At most `max` messages from this offset on. The offset behind the last one.
static uint64_t give(const struct topic_state *state, const struct slot *slot, uint64_t from, uint32_t max,
                     struct budget *budget, const struct topic_query *query) {
    const struct partition *partition = slot->group->topic->partitions[slot->partition];
    uint64_t next = from > partition->first ? from : partition->first;
    struct message *message = slot_revoked(slot) ? NULL : message_at(state, partition, next);
    for (; message && max > 0; message = message_next(partition, message), max--, next++) {
        uint64_t bytes = (uint64_t)message->key_len + message->body_len;
        if (budget->given && bytes > budget->bytes) break;
        struct topic_message info = {.partition = slot->partition,
                                     .offset = next,
                                     .published_ms = message->published_ms,
                                     .key = bytes_of(message->bytes, message->key_len),
                                     .body = bytes_of(message->bytes + message->key_len, message->body_len)};
        query->message(query->context, &info);
        budget->bytes -= bytes < budget->bytes ? bytes : budget->bytes;
        budget->given = true;
    }
    return next;
}

static void fetch_partition(const struct topic_state *state, const struct group *group,
                            const struct topic_query *query) {
    struct topic_fetch *fetch = query->fetch;
    struct budget budget = {.bytes = fetch->max_bytes};
    fetch->error = TOPIC_PARTITION;
    if (fetch->partition >= group->topic->partition_count) return;
    const struct slot *slot = group->slots[fetch->partition];
    fetch->error = TOPIC_NOT_ASSIGNED;
    if (slot->owner == NULL || slot->token != fetch->token) return;
    struct topic_slot_info info = slot_info(slot);
    uint64_t from = fetch->from_offset ? fetch->offset : slot->committed;
    fetch->error = from > info.end ? TOPIC_OFFSET : 0;
    if (fetch->error) return;
    fetch->version = slot->owner->version;
    if (query->slot) query->slot(query->context, &info);
    fetch->next = give(state, slot, from, fetch->max, &budget, query);
}

static void fetch_member(const struct topic_state *state, const struct group *group, const struct topic_query *query) {
    struct topic_fetch *fetch = query->fetch;
    struct budget budget = {.bytes = fetch->max_bytes};
    uint32_t partitions = group->topic->partition_count;
    const struct member *member = topic_numbered(state, NUMBERED_MEMBER, fetch->member);
    fetch->error = member == NULL || member->group != group ? TOPIC_NOT_MEMBER : 0;
    if (fetch->error) return;
    fetch->version = member->version;
    for (uint32_t p = 0; p < partitions; p++) {
        struct topic_slot_info info = slot_info(group->slots[p]);
        if (group->slots[p]->owner == member && query->slot) query->slot(query->context, &info);
    }
    uint32_t begin = fetch->behind < partitions ? fetch->behind + 1 : 0;
    for (uint32_t i = 0; i < partitions && query->message && budget.bytes > 0; i++) {
        const struct slot *slot = group->slots[(begin + i) % partitions];
        if (slot->owner == member) give(state, slot, slot->committed, fetch->max, &budget, query);
    }
}

static void query_one(const struct topic_state *state, const struct topic *topic, const struct topic_query *query) {
    const struct group *group = group_find(state, topic, query->group);
    if (query->topic) show_topic(topic, query);
    if (query->partition) show_partitions(topic, query);
    if (query->of_group && query->group.len == 0) show_groups(state, topic, query);
    if (group == NULL) return;
    if (query->fetch) {
        query->fetch->generation = group->generation;
        (query->fetch->token != 0 ? fetch_partition : fetch_member)(state, group, query);
        return;
    }
    if (query->of_group) show_group(group, query);
    if (query->member) show_members(state, group, query);
    if (query->slot) show_slots(group, query);
}

void topic_query_model(const void *model, const void *asked, struct result *result) {
    const struct topic_state *state = model;
    const struct topic_query *query = asked;
    *result = (struct result){.model = MODEL_TOPIC};
    if (query->fetch) query->fetch->error = TOPIC_NOT_FOUND;
    if (query->name.len > 0) {
        const struct topic *topic = topic_find(state, query->name);
        if (topic) query_one(state, topic, query);
        return;
    }
    struct items_page page = {.after = query->after};
    size_t left = query->topic ? query->max : 0;
    const struct item *item = items_page_first(&state->tables[TABLE_TOPICS], &page);
    for (; item && left > 0; item = items_page_next(&page, item), left--)
        show_topic(CONTAINER_OF_CONST(item, struct topic, item), query);
}
