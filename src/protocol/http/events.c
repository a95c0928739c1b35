// Server-sent events (WHATWG HTML, "server-sent events").
//
// GET /v1/events tells that something of a topic changed, and as of which index; what it is now is asked (GET /v1/view,
// or the native operations). So nothing has to be kept for a reader: one that does not read is told nothing, and
// `resync` once it reads again. And a reader that comes back with Last-Event-ID misses nothing, at any node: it is told
// every topic that changed behind that index, or `resync` where this node cannot know.
//
//   tick:  digest of each model, marks of events, this node's view  ->  changes.index[topic]  ->  each stream
//
// A native operation that has to wait (POST with Accept: text/event-stream) is answered by one event.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/tree/tree.h"
#include "protocol/http/view.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http_stream {
    struct list link;
    struct http_connection *connection;
    uint32_t topics;
    uint32_t missed;             // topics that it was not told of, for it did not read
    uint64_t since_ms, stuck_ms; // stuck_ms: since when its output waits; 0: it does not
};

__attribute__((format(printf, 2, 3))) static void send_text(struct http_connection *c, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    ENSURE(len > 0 && (size_t)len < sizeof text);
    client_write(c->client, text, (size_t)len);
    c->event_ms = service_now_ms(c->instance->service);
}

// Proxies drop what is silent for a minute, and a connection whose other side is gone is noticed by writing only.
static void keep_open(struct http_connection *c, uint64_t now_ms) {
    if (now_ms >= c->event_ms + HTTP_EVENT_KEEP_MS) send_text(c, ": still here\n\n");
}

// ---- what changed

// The last component of a sequential node's path ends in ten digits or more.
static bool is_sequential(struct bytes path) {
    for (size_t i = 1; i <= 10; i++)
        if (path.len < i || path.data[path.len - i] < '0' || path.data[path.len - i] > '9') return false;
    return true;
}

static uint32_t topic_of(uint8_t model) {
    for (size_t i = 0; i < view_topic_count; i++)
        if (view_topics[i].model == model) return 1u << i;
    UNREACHABLE();
}

void events_model(struct http_instance *instance, uint8_t model, const void *event) {
    if (model != MODEL_TREE) return; // the others are seen by their digests
    const struct tree_event *tree = event;
    bool moves = tree->type == TREE_EVENT_CREATED || tree->type == TREE_EVENT_DELETED;
    if (moves && is_sequential(tree->path)) instance->changes.marked |= topic_of(MODEL_LOCK);
}

// What this node knows of the cluster, without what only counts on.
static struct digest cluster_digest(struct http_instance *instance) {
    struct node_view view;
    struct node *node = instance->settings->node;
    node_get_view(node, &view);
    uint8_t bytes[32 + MEMBERS_MAX * 8] = {0};
    put_u64_le(bytes, view.status.term);
    put_u64_le(bytes + 8, view.status.leader);
    put_u64_le(bytes + 16, view.apply_level);
    bytes[24] = (uint8_t)view.status.role;
    bytes[25] = (uint8_t)(node_ready(node) | view.status.disk_full << 1 | view.status.diverged << 2);
    for (size_t i = 0; i < view.member_count && i < MEMBERS_MAX; i++) {
        const struct node_member *m = &view.members[i];
        put_u32_le(bytes + 32 + 8 * i, m->member.id);
        bytes[32 + 8 * i + 4] = (uint8_t)m->member.role;
        bytes[32 + 8 * i + 5] = (uint8_t)(m->connected | m->member.observer << 1);
    }
    return digest_hash(bytes, sizeof bytes, MODEL_GROUP);
}

static uint32_t find_changes(struct http_instance *instance) {
    struct http_changes *changes = &instance->changes;
    if (instance->settings->node == NULL) return 0; // it starts
    uint64_t index = service_applied(instance->service);
    bool first = changes->since == 0; // nothing to compare with
    uint32_t changed = changes->marked;
    changes->marked = 0;
    for (size_t i = 0; i < view_topic_count; i++) {
        uint8_t model = view_topics[i].model;
        struct digest now = model == MODEL_GROUP ? cluster_digest(instance) : service_digest(instance->service, model);
        if (!digest_equal(now, changes->seen[i])) changed |= 1u << i;
        changes->seen[i] = now;
        if (changed >> i & 1) changes->index[i] = index;
    }
    if (first) changes->since = index;
    return first ? 0 : changed;
}

// ---- streams

static void send_resync(struct http_stream *stream) {
    struct http_instance *instance = stream->connection->instance;
    char names[256] = "";
    for (size_t i = 0, len = 0; i < view_topic_count; i++)
        if (stream->topics >> i & 1)
            len +=
                (size_t)snprintf(names + len, sizeof names - len, "%s\"%s\"", len > 0 ? "," : "", view_topics[i].name);
    unsigned long long index = service_applied(instance->service);
    send_text(stream->connection, "event: resync\nid: %llu\ndata: {\"index\":%llu,\"topics\":[%s]}\n\n", index, index,
              names);
    stream->missed = 0;
}

static void send_changes(struct http_stream *stream, uint32_t topics) {
    unsigned long long index = service_applied(stream->connection->instance->service);
    for (size_t i = 0; i < view_topic_count; i++)
        if (topics >> i & 1)
            send_text(stream->connection, "event: %s\nid: %llu\ndata: {\"index\":%llu}\n\n", view_topics[i].name, index,
                      index);
}

static void stream_tick(struct http_stream *stream, uint32_t changed, uint64_t now_ms) {
    struct http_connection *c = stream->connection;
    if (c->closing) return;
    if (client_output_pending(c->client) > HTTP_EVENT_PENDING_MAX) {
        stream->missed |= changed & stream->topics;
        if (stream->stuck_ms == 0) stream->stuck_ms = now_ms;
        if (now_ms >= stream->stuck_ms + HTTP_EVENT_STUCK_MS) http_break_off(c);
        return;
    }
    stream->stuck_ms = 0;
    if (stream->missed != 0)
        send_resync(stream);
    else
        send_changes(stream, changed & stream->topics);
    keep_open(c, now_ms);
    if (now_ms < stream->since_ms + HTTP_EVENT_STREAM_MS) return;
    c->closing = true; // readers come back by themselves; so a stream that everybody forgot ends too
    client_close(c->client, true);
}

void events_tick(struct http_instance *instance, uint64_t now_ms) {
    uint32_t changed = find_changes(instance);
    struct list *next;
    for (struct list *at = instance->streams.next; at != &instance->streams; at = next) {
        next = at->next;
        stream_tick(CONTAINER_OF(at, struct http_stream, link), changed, now_ms);
    }
}

void events_begin(struct http_instance *instance) {
    if (instance->changes.since == 0) find_changes(instance);
}

void events_replaced(struct http_instance *instance) {
    instance->changes.since = 0;
    for (struct list *at = instance->streams.next; at != &instance->streams; at = at->next) {
        struct http_stream *stream = CONTAINER_OF(at, struct http_stream, link);
        stream->missed = stream->topics;
    }
}

// What it missed since `index`; without a number, or with one that this node cannot judge, it is told to read anew.
static void resume(struct http_stream *stream, const char *last_event_id) {
    const struct http_instance *instance = stream->connection->instance;
    const struct http_changes *changes = &instance->changes;
    size_t digits = strspn(last_event_id, "0123456789");
    uint64_t index = digits > 0 && digits < 20 && last_event_id[digits] == 0 ? strtoull(last_event_id, NULL, 10) : 0;
    bool known = index != 0 && changes->since != 0 && index >= changes->since;
    uint32_t changed = 0;
    if (!known || index > service_applied(instance->service)) {
        send_resync(stream);
        return;
    }
    for (size_t i = 0; i < view_topic_count; i++)
        if (changes->index[i] > index || view_topics[i].model == MODEL_GROUP) changed |= 1u << i; // that is no entry's
    send_changes(stream, changed & stream->topics);
}

void events_get(struct http_connection *c, const struct http_request *request, uint32_t id) {
    struct http_instance *instance = c->instance;
    const char *refusal = http_may_not_look(c, request);
    if (refusal != NULL) {
        http_answer_error(c, 403, "%s", refusal);
        return;
    }
    uint32_t topics = view_topics_wanted(c, request, "topics");
    if (topics == 0) return;
    if (c->head) {
        http_answer(c, 200, HTTP_EVENT_STREAM, bytes_of("", 0));
        return;
    }
    if (instance->stream_count >= HTTP_EVENT_STREAMS_MAX) {
        c->retry_after_s = 5;
        http_answer_error(c, 503, "this node has %u streams of events; ask another one", HTTP_EVENT_STREAMS_MAX);
        return;
    }
    events_tick(instance, service_now_ms(instance->service)); // the stream begins with what stands now
    struct http_stream *stream = mem_zalloc(sizeof *stream);
    stream->connection = c;
    stream->topics = topics;
    stream->since_ms = service_now_ms(instance->service);
    list_push_back(&instance->streams, &stream->link);
    instance->stream_count++;
    c->stream = stream;
    client_pause(c->client);
    http_write_head(c, 200, HTTP_EVENT_STREAM, -1, "X-Accel-Buffering: no\r\n");
    send_text(c, "retry: 1000\n\n");
    resume(stream, request->last_event_id);
}

void events_close(struct http_connection *c) {
    list_remove(&c->stream->link);
    c->instance->stream_count--;
    mem_free(c->stream);
    c->stream = NULL;
}

// ---- waits of native operations

void events_wait_begins(struct http_connection *c) {
    if (!c->wants_events || c->waits_as_event) return;
    c->waits_as_event = true;
    http_write_head(c, 200, HTTP_EVENT_STREAM, -1, "X-Accel-Buffering: no\r\n");
    send_text(c, ": it waits\n\n");
}

void events_wait_tick(struct http_connection *c, uint64_t now_ms) {
    keep_open(c, now_ms);
}

// Our JSON is compact and ends with the only newline in it.
void events_wait_ends(struct http_connection *c, const char *type, struct bytes body) {
    bool problem = strcmp(type, "application/json") != 0;
    ENSURE(body.len > 0 && body.data[body.len - 1] == '\n');
    ENSURE(memchr(body.data, '\n', body.len) == body.data + body.len - 1);
    send_text(c, "event: %s\ndata: ", problem ? "problem" : "answer");
    client_write(c->client, body.data, body.len);
    client_write(c->client, "\n", 1);
}
