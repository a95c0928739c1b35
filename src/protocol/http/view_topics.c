// Topics: each with its first groups, and who reads which of their partitions. A group costs as much as its topic has
// partitions, so there is a bound on them for one answer; behind it topics are shown without their groups.
#include "protocol/http/view.h"

struct topics {
    struct view_page *page;
    json_t *groups; // of the topic that is being told
    json_t *readers;
    uint64_t looked_at, idle; // partitions; idle: that nobody reads
};

static void add_topic(void *context, const struct topic_info *info) {
    json_array_append_new(((struct topics *)context)->page->rows, topic_json(info));
}

static void add_group(void *context, const struct topic_group_info *info) {
    json_array_append_new(((struct topics *)context)->groups, topic_group_json(info));
}

static json_t *reader_json(json_t *readers, const struct topic_slot_info *slot) {
    json_t *reader;
    size_t i;
    json_array_foreach(readers, i, reader) {
        if ((uint64_t)json_integer_value(json_object_get(reader, "member_id")) == slot->owner) return reader;
    }
    if (json_array_size(readers) == VIEW_READERS_MAX) return NULL;
    reader = json_object();
    json_object_set_new(reader, "member", json_bytes(slot->owner_name));
    json_object_set_new(reader, "member_id", json_number(slot->owner));
    json_object_set_new(reader, "count", json_number(0));
    json_object_set_new(reader, "partitions", json_array());
    json_object_set_new(reader, "leaves", json_false()); // it has been asked to give one back
    json_array_append_new(readers, reader);
    return reader;
}

static void add_slot(void *context, const struct topic_slot_info *slot) {
    struct topics *topics = context;
    topics->idle += slot->owner == 0;
    json_t *reader = slot->owner != 0 ? reader_json(topics->readers, slot) : NULL;
    if (reader == NULL) return;
    json_t *count = json_object_get(reader, "count"), *partitions = json_object_get(reader, "partitions");
    json_integer_set(count, json_integer_value(count) + 1);
    if (json_array_size(partitions) < VIEW_READS_MAX) json_array_append_new(partitions, json_number(slot->partition));
    if (slot->revoked) json_object_set_new(reader, "leaves", json_true());
}

static struct bytes text_of(const json_t *json, const char *member) {
    const json_t *text = json_object_get(json, member);
    return bytes_of(json_string_value(text), json_string_length(text));
}

static void add_groups(struct topics *topics, json_t *row) {
    uint64_t partitions = (uint64_t)json_integer_value(json_object_get(row, "partition_count"));
    uint64_t groups = (uint64_t)json_integer_value(json_object_get(row, "group_count"));
    json_t *group;
    size_t i;
    topics->groups = json_array();
    topics->looked_at += 2 * partitions * (groups < VIEW_GROUPS_MAX ? groups : VIEW_GROUPS_MAX); // their lag, readers
    json_object_set_new(row, "groups", topics->groups);
    json_object_set_new(row, "cut", json_boolean(topics->looked_at > VIEW_PARTITIONS_MAX));
    if (topics->looked_at > VIEW_PARTITIONS_MAX) return;
    struct topic_query query = {
        .name = text_of(row, "name"), .max = VIEW_GROUPS_MAX, .of_group = add_group, .context = topics};
    view_ask(topics->page, MODEL_TOPIC, &query);
    json_array_foreach(topics->groups, i, group) {
        topics->readers = json_array();
        topics->idle = 0;
        struct topic_query one = {
            .name = query.name, .group = text_of(group, "name"), .slot = add_slot, .context = topics};
        view_ask(topics->page, MODEL_TOPIC, &one);
        json_object_set_new(group, "readers", topics->readers);
        json_object_set_new(group, "idle", json_number(topics->idle));
    }
}

void view_topics_rows(struct view_page *page) {
    uint8_t name[ITEM_NAME_BYTES_MAX];
    struct topics topics = {.page = page};
    struct topic_query query = {.name = bytes_of("", 0),
                                .group = bytes_of("", 0),
                                .after = view_after_name(page->after, name),
                                .max = page->limit + 1,
                                .topic = add_topic,
                                .context = &topics};
    view_ask(page, MODEL_TOPIC, &query);
    view_next_name(page, "name");
    for (size_t i = 0; i < json_array_size(page->rows); i++) add_groups(&topics, json_array_get(page->rows, i));
}
