// Commands' bytes, as topic.h states them.
#include "model/topic/topic.h"

static void head(struct writer *w, uint8_t op, uint64_t session, uint64_t attach, struct bytes name) {
    command_write_head(w, MODEL_TOPIC, op, session, attach);
    write_blob(w, name);
}

void topic_write_create(struct writer *w, const struct topic_options *options) {
    head(w, TOPIC_CREATE, 0, 0, options->name);
    write_varint(w, options->partitions);
    write_varint(w, options->retention_count);
    write_varint(w, options->retention_bytes);
    write_varint(w, options->retention_ms);
    write_varint(w, options->bytes_max);
    write_varint(w, options->rooms ? options->partitions : 0);
    for (uint32_t i = 0; options->rooms && i < options->partitions; i++) write_blob(w, options->rooms[i]);
}

void topic_write_delete(struct writer *w, struct bytes name) {
    head(w, TOPIC_DELETE, 0, 0, name);
}

void topic_write_publish(struct writer *w, uint64_t session, uint64_t attach, const struct topic_publish *publish) {
    head(w, TOPIC_PUBLISH, session, attach, publish->name);
    write_blob(w, publish->dedup);
    write_varint(w, publish->dedup_ms);
    write_blob(w, publish->producer);
    write_varint(w, publish->number);
    write_varint(w, publish->count);
    for (uint32_t i = 0; i < publish->count; i++) {
        const struct topic_entry *entry = &publish->entries[i];
        write_varint(w, entry->by_key ? 0 : (uint64_t)entry->partition + 1);
        write_blob(w, entry->key);
        write_blob(w, entry->body);
    }
}

void topic_write_join(struct writer *w, uint64_t session, uint64_t attach, const struct topic_join *join) {
    head(w, TOPIC_JOIN, session, attach, join->topic);
    write_blob(w, join->group);
    write_blob(w, join->member);
    write_varint(w, join->ttl_ms);
    write_u8(w, (uint8_t)join->strategy);
    write_u8(w, (uint8_t)join->start);
    write_varint(w, join->handover_ms);
    write_blob(w, join->room);
    write_varint(w, join->partition_count);
    for (uint32_t i = 0; i < join->partition_count; i++) write_varint(w, join->partitions[i]);
}

void topic_write_heartbeat(struct writer *w, struct bytes topic, struct bytes group, uint64_t member) {
    head(w, TOPIC_HEARTBEAT, 0, 0, topic);
    write_blob(w, group);
    write_varint(w, member);
}

void topic_write_leave(struct writer *w, uint64_t session, uint64_t attach, struct bytes topic, struct bytes group,
                       uint64_t member) {
    head(w, TOPIC_LEAVE, session, attach, topic);
    write_blob(w, group);
    write_varint(w, member);
}

void topic_write_release(struct writer *w, uint64_t session, uint64_t attach, struct bytes topic, struct bytes group,
                         uint32_t partition, uint64_t token) {
    head(w, TOPIC_RELEASE, session, attach, topic);
    write_blob(w, group);
    write_varint(w, partition);
    write_varint(w, token);
}

void topic_write_commit(struct writer *w, uint64_t session, uint64_t attach, struct bytes topic, struct bytes group,
                        uint32_t partition, uint64_t token, uint64_t offset) {
    head(w, TOPIC_COMMIT, session, attach, topic);
    write_blob(w, group);
    write_varint(w, partition);
    write_varint(w, token);
    write_varint(w, offset);
}

void topic_write_group_delete(struct writer *w, struct bytes topic, struct bytes group) {
    head(w, TOPIC_GROUP_DELETE, 0, 0, topic);
    write_blob(w, group);
}
