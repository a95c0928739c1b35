// Channels of this node: SUBSCRIBE and PUBLISH. Three kinds, which do not see each other: channels, patterns, and shard
// channels.
//
//   hash of channels --> struct channel --> its subscriptions <-- struct subscriber (a connection's)
//   list of patterns ------^
#include "base/alloc.h"
#include "base/assert.h"
#include "model/keys/glob.h"
#include "protocol/redis/internal.h"

enum channel_kind { KIND_CHANNEL, KIND_PATTERN, KIND_SHARD, KIND_COUNT };
struct channel {
    struct hash_node by_name;
    struct list link; // in channels->of
    struct list subscriptions;
    size_t count;
    uint8_t kind;
    size_t len;
    uint8_t name[];
};
struct subscription {
    struct list of_channel, of_subscriber;
    struct channel *channel;
    struct connection *connection;
};
struct subscriber {
    struct list subscriptions[KIND_COUNT];
    size_t count[KIND_COUNT];
};
struct channels {
    struct hash names;
    struct list of[KIND_COUNT];
    size_t count[KIND_COUNT];
    uint64_t seed;
};

struct channels *channels_new(uint64_t seed) {
    struct channels *channels = mem_zalloc(sizeof *channels);
    hash_init(&channels->names);
    for (int kind = 0; kind < KIND_COUNT; kind++) list_init(&channels->of[kind]);
    channels->seed = seed;
    return channels;
}

void channels_free(struct channels *channels) {
    ENSURE(channels->names.count == 0);
    hash_free(&channels->names);
    mem_free(channels);
}

size_t channels_count(const struct channels *channels, bool patterns) {
    return patterns ? channels->count[KIND_PATTERN] : channels->count[KIND_CHANNEL];
}

// ---- names

struct channel_key {
    enum channel_kind kind;
    struct bytes name;
};

static bool channel_matches(const struct hash_node *node, const void *key) {
    const struct channel *channel = CONTAINER_OF_CONST(node, struct channel, by_name);
    const struct channel_key *wanted = key;
    return channel->kind == wanted->kind && bytes_equal(bytes_of(channel->name, channel->len), wanted->name);
}

static uint64_t channel_hash(const struct channels *channels, struct bytes name, enum channel_kind kind) {
    return hash_bytes(name.data, name.len, channels->seed + kind);
}

static struct channel *channel_find(const struct channels *channels, struct bytes name, enum channel_kind kind) {
    struct channel_key key = {kind, name};
    struct hash_node *node = hash_find(&channels->names, channel_hash(channels, name, kind), channel_matches, &key);
    return node == NULL ? NULL : CONTAINER_OF(node, struct channel, by_name);
}

static struct channel *channel_of(struct channels *channels, struct bytes name, enum channel_kind kind) {
    struct channel *channel = channel_find(channels, name, kind);
    if (channel != NULL) return channel;
    channel = mem_zalloc(sizeof *channel + name.len);
    channel->kind = (uint8_t)kind;
    channel->len = name.len;
    if (name.len > 0) memcpy(channel->name, name.data, name.len);
    list_init(&channel->subscriptions);
    list_push_back(&channels->of[kind], &channel->link);
    channels->count[kind]++;
    hash_insert(&channels->names, &channel->by_name, channel_hash(channels, name, kind));
    return channel;
}

// ---- subscriptions

static struct subscription *subscription_find(const struct connection *c, const struct channel *channel) {
    if (c->subscriber == NULL || channel == NULL) return NULL;
    const struct list *head = &c->subscriber->subscriptions[channel->kind];
    for (struct list *at = head->next; at != head; at = at->next) {
        struct subscription *s = CONTAINER_OF(at, struct subscription, of_subscriber);
        if (s->channel == channel) return s;
    }
    return NULL;
}

static void subscription_end(struct subscription *s) {
    struct channel *channel = s->channel;
    struct channels *channels = s->connection->instance->channels;
    list_remove(&s->of_channel);
    list_remove(&s->of_subscriber);
    s->connection->subscriber->count[channel->kind]--;
    mem_free(s);
    if (--channel->count > 0) return;
    hash_remove(&channels->names, &channel->by_name);
    list_remove(&channel->link);
    channels->count[channel->kind]--;
    mem_free(channel);
}

static size_t of_kind(const struct connection *c, enum channel_kind kind) {
    return c->subscriber == NULL ? 0 : c->subscriber->count[kind];
}

size_t subscriber_count(const struct connection *c, bool patterns) {
    return of_kind(c, patterns ? KIND_PATTERN : KIND_CHANNEL);
}

static size_t subscriber_all(const struct connection *c) {
    return of_kind(c, KIND_CHANNEL) + of_kind(c, KIND_PATTERN) + of_kind(c, KIND_SHARD);
}

bool subscriber_restricted(const struct connection *c) {
    return c->subscriber != NULL && !c->resp3 && subscriber_all(c) > 0;
}

static struct subscription *first_of(const struct connection *c, enum channel_kind kind) {
    const struct list *head = &c->subscriber->subscriptions[kind];
    return list_empty(head) ? NULL : CONTAINER_OF(head->next, struct subscription, of_subscriber);
}

void subscriber_leave(struct connection *c) {
    if (c->subscriber == NULL) return;
    for (int kind = 0; kind < KIND_COUNT; kind++)
        for (struct subscription *s; (s = first_of(c, (enum channel_kind)kind)) != NULL;) subscription_end(s);
    mem_free(c->subscriber);
    c->subscriber = NULL;
}

// ---- SUBSCRIBE, UNSUBSCRIBE and their kin

static enum channel_kind kind_of(const struct keys_row *row) {
    const char *name = row->name;
    if (name[0] == 'p' && strncmp(name, "publish", 7) != 0) return KIND_PATTERN;
    bool shard = strncmp(name, "ss", 2) == 0 || strncmp(name, "sunsub", 6) == 0 || strncmp(name, "sp", 2) == 0;
    return shard ? KIND_SHARD : KIND_CHANNEL;
}

static void confirm(struct connection *c, struct reply *reply, const char *what, enum channel_kind kind,
                    const struct bytes *name) {
    size_t count = kind == KIND_SHARD ? of_kind(c, KIND_SHARD) : of_kind(c, KIND_CHANNEL) + of_kind(c, KIND_PATTERN);
    reply_push(reply, 3);
    reply_text(reply, what);
    if (name == NULL)
        reply_null(reply);
    else
        reply_bulk(reply, *name);
    reply_number(reply, (int64_t)count);
}

void own_subscribe(struct connection *c, const struct call *call) {
    enum channel_kind kind = kind_of(call->row);
    if (c->subscriber == NULL) {
        c->subscriber = mem_zalloc(sizeof *c->subscriber);
        for (int i = 0; i < KIND_COUNT; i++) list_init(&c->subscriber->subscriptions[i]);
    }
    for (size_t i = 1; i < call->argc; i++) {
        struct channel *channel = channel_of(c->instance->channels, call->argv[i], kind);
        if (subscription_find(c, channel) == NULL) {
            struct subscription *s = mem_zalloc(sizeof *s);
            s->channel = channel;
            s->connection = c;
            list_push_back(&channel->subscriptions, &s->of_channel);
            list_push_back(&c->subscriber->subscriptions[kind], &s->of_subscriber);
            channel->count++;
            c->subscriber->count[kind]++;
        }
        confirm(c, call->reply, call->row->name, kind, &call->argv[i]);
    }
}

void own_unsubscribe(struct connection *c, const struct call *call) {
    enum channel_kind kind = kind_of(call->row);
    if (call->argc == 1 && of_kind(c, kind) == 0) confirm(c, call->reply, call->row->name, kind, NULL);
    while (call->argc == 1 && of_kind(c, kind) > 0) {
        struct subscription *s = first_of(c, kind);
        uint8_t *copy = mem_alloc(s->channel->len);
        struct bytes name = bytes_of(copy, s->channel->len);
        if (name.len > 0) memcpy(copy, s->channel->name, name.len);
        subscription_end(s);
        confirm(c, call->reply, call->row->name, kind, &name);
        mem_free(copy);
    }
    for (size_t i = 1; i < call->argc; i++) {
        struct subscription *s = subscription_find(c, channel_find(c->instance->channels, call->argv[i], kind));
        if (s != NULL) subscription_end(s);
        confirm(c, call->reply, call->row->name, kind, &call->argv[i]);
    }
}

// ---- PUBLISH

// A message goes between replies, whatever is asked and not answered yet.
static void deliver(const struct channel *channel, struct bytes name, struct bytes message) {
    for (struct list *at = channel->subscriptions.next; at != &channel->subscriptions; at = at->next) {
        struct connection *c = CONTAINER_OF(at, struct subscription, of_channel)->connection;
        struct reply reply = reply_to(client_output(c->client), c);
        bool pattern = channel->kind == KIND_PATTERN;
        reply_push(&reply, pattern ? 4 : 3);
        reply_text(&reply, pattern ? "pmessage" : channel->kind == KIND_SHARD ? "smessage" : "message");
        if (pattern) reply_bulk(&reply, bytes_of(channel->name, channel->len));
        reply_bulk(&reply, name);
        reply_bulk(&reply, message);
        client_output_ready(c->client);
    }
}

size_t channels_publish(struct channels *channels, struct bytes name, struct bytes message, bool shard) {
    const struct channel *channel = channel_find(channels, name, shard ? KIND_SHARD : KIND_CHANNEL);
    size_t told = 0;
    if (channel != NULL) {
        deliver(channel, name, message);
        told += channel->count;
    }
    const struct list *head = &channels->of[KIND_PATTERN];
    for (struct list *at = head->next; !shard && at != head; at = at->next) {
        const struct channel *pattern = CONTAINER_OF(at, struct channel, link);
        if (!glob_match(bytes_of(pattern->name, pattern->len), name)) continue;
        deliver(pattern, name, message);
        told += pattern->count;
    }
    return told;
}

void own_publish(struct connection *c, const struct call *call) {
    bool shard = kind_of(call->row) == KIND_SHARD;
    size_t told = channels_publish(c->instance->channels, call->argv[1], call->argv[2], shard);
    reply_number(call->reply, (int64_t)told);
}

// ---- PUBSUB

static enum channel_kind asked_kind(const struct call *call) {
    return strstr(call->row->name, "|shard") != NULL ? KIND_SHARD : KIND_CHANNEL;
}

void own_pubsub_channels(struct connection *c, const struct call *call) {
    const struct list *head = &c->instance->channels->of[asked_kind(call)];
    size_t begun = reply_begin(call->reply), count = 0;
    for (struct list *at = head->next; at != head; at = at->next) {
        const struct channel *channel = CONTAINER_OF(at, struct channel, link);
        struct bytes name = bytes_of(channel->name, channel->len);
        if (call->argc > 2 && !glob_match(call->argv[2], name)) continue;
        reply_bulk(call->reply, name);
        count++;
    }
    reply_end(call->reply, begun, '*', count);
}

void own_pubsub_numsub(struct connection *c, const struct call *call) {
    reply_array(call->reply, 2 * (call->argc - 2));
    for (size_t i = 2; i < call->argc; i++) {
        const struct channel *channel = channel_find(c->instance->channels, call->argv[i], asked_kind(call));
        reply_bulk(call->reply, call->argv[i]);
        reply_number(call->reply, channel == NULL ? 0 : (int64_t)channel->count);
    }
}

void own_pubsub_numpat(struct connection *c, const struct call *call) {
    reply_number(call->reply, (int64_t)c->instance->channels->count[KIND_PATTERN]);
}
