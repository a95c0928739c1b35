// Keyspace notifications: what the model says about keys, on channels of this node. Told when it is applied here, ahead
// of the reply, never when a log is replayed: nobody listens yet.
#include "protocol/redis/internal.h"

enum {
    NOTIFY_KEYSPACE = 1 << KEYS_NOTIFY_COUNT,
    NOTIFY_KEYEVENT = 2 << KEYS_NOTIFY_COUNT,
    NOTIFY_MODULE = 4 << KEYS_NOTIFY_COUNT, // taken and told, as Redis does; there are none
};
#define NOTIFY_BY_A                                                                                                    \
    (KEYS_NOTIFY_GENERIC | KEYS_NOTIFY_STRING | KEYS_NOTIFY_LIST | KEYS_NOTIFY_SET | KEYS_NOTIFY_HASH |                \
     KEYS_NOTIFY_ZSET | KEYS_NOTIFY_EXPIRED | KEYS_NOTIFY_EVICTED | KEYS_NOTIFY_STREAM | NOTIFY_MODULE)

static const struct {
    char letter;
    uint32_t flag;
} letters[] = { // in the order that CONFIG GET tells them
    {'g', KEYS_NOTIFY_GENERIC}, {'$', KEYS_NOTIFY_STRING},  {'l', KEYS_NOTIFY_LIST},    {'s', KEYS_NOTIFY_SET},
    {'h', KEYS_NOTIFY_HASH},    {'z', KEYS_NOTIFY_ZSET},    {'x', KEYS_NOTIFY_EXPIRED}, {'e', KEYS_NOTIFY_EVICTED},
    {'t', KEYS_NOTIFY_STREAM},  {'d', NOTIFY_MODULE},       {'n', KEYS_NOTIFY_NEW},     {'K', NOTIFY_KEYSPACE},
    {'E', NOTIFY_KEYEVENT},     {'m', KEYS_NOTIFY_KEY_MISS}};

bool notify_parse(struct bytes text, uint32_t *flags) {
    *flags = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint32_t flag = text.data[i] == 'A' ? NOTIFY_BY_A : 0;
        for (size_t k = 0; k < sizeof letters / sizeof letters[0]; k++)
            if (letters[k].letter == (char)text.data[i]) flag = letters[k].flag;
        if (flag == 0) return false;
        *flags |= flag;
    }
    return true;
}

bool redis_notify_is(const char *text) {
    uint32_t flags;
    return notify_parse(bytes_of_text(text), &flags);
}

void notify_text(uint32_t flags, char out[NOTIFY_TEXT_MAX]) {
    size_t len = 0;
    bool all = (flags & NOTIFY_BY_A) == NOTIFY_BY_A;
    if (all) out[len++] = 'A';
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
        bool in_all = (letters[i].flag & (NOTIFY_BY_A | KEYS_NOTIFY_NEW)) != 0;
        if ((flags & letters[i].flag) && !(all && in_all)) out[len++] = letters[i].letter;
    }
    out[len] = 0;
}

void redis_event(void *context, uint8_t model, const void *value) {
    struct instance *instance = context;
    const struct keys_event *event = value;
    if (model != MODEL_KEYS) return;
    tracking_event(instance, event);
    if (event->kind != KEYS_EVENT_NOTIFY || !(instance->notify & event->notify_class)) return;
    struct writer channel = {0};
    struct bytes name = bytes_of_text(event->notify);
    if (instance->notify & NOTIFY_KEYSPACE) {
        text_format(&channel, "__keyspace@%u__:", event->database);
        write_span(&channel, event->key);
        channels_publish(instance->channels, bytes_of(channel.data, channel.len), name, false);
        writer_clear(&channel);
    }
    if (instance->notify & NOTIFY_KEYEVENT) {
        text_format(&channel, "__keyevent@%u__:%s", event->database, event->notify);
        channels_publish(instance->channels, bytes_of(channel.data, channel.len), event->key, false);
    }
    writer_free(&channel);
}
