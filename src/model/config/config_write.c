// Commands' bytes, as config.h states them.
#include "model/config/config.h"

static void write_selector(struct writer *w, const struct config_selector *selector) {
    write_varint(w, selector->percent);
    write_varint(w, selector->label_count);
    for (size_t i = 0; i < selector->label_count; i++) write_blob(w, selector->labels[i]);
}

void config_write_publish(struct writer *w, const struct config_publish *publish) {
    command_write_head(w, MODEL_CONFIG, CONFIG_PUBLISH, 0, 0);
    write_blob(w, publish->name);
    write_varint(w, publish->expected);
    write_varint(w, publish->base);
    write_blob(w, publish->author);
    write_blob(w, publish->comment);
    write_u8(w, publish->gradual != NULL);
    if (publish->gradual != NULL) write_selector(w, publish->gradual);
    write_varint(w, publish->change_count);
    for (size_t i = 0; i < publish->change_count; i++) {
        const struct config_change *change = &publish->changes[i];
        write_blob(w, change->key);
        write_u8(w, change->deletes);
        if (!change->deletes) write_blob(w, change->value);
    }
}

static void of_version(struct writer *w, uint8_t op, struct bytes name, uint64_t version) {
    command_write_head(w, MODEL_CONFIG, op, 0, 0);
    write_blob(w, name);
    write_varint(w, version);
}

void config_write_select(struct writer *w, struct bytes name, uint64_t version,
                         const struct config_selector *selector) {
    of_version(w, CONFIG_SELECT, name, version);
    write_selector(w, selector);
}
void config_write_promote(struct writer *w, struct bytes name, uint64_t version) {
    of_version(w, CONFIG_PROMOTE, name, version);
}
void config_write_abandon(struct writer *w, struct bytes name, uint64_t version) {
    of_version(w, CONFIG_ABANDON, name, version);
}
void config_write_delete(struct writer *w, struct bytes name, uint64_t expected) {
    of_version(w, CONFIG_DELETE, name, expected);
}
