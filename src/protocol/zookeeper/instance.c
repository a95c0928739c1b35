// The room's table of functions: one instance a node, one connection a client.
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io.h"
#include "protocol/zookeeper/internal.h"

static uint32_t or_default(uint32_t value, uint32_t fallback) {
    return value ? value : fallback;
}

static void *zookeeper_start(struct service *service, const void *settings) {
    struct instance *instance = mem_zalloc(sizeof *instance);
    instance->service = service;
    struct zookeeper_settings *s = &instance->settings;
    if (settings) *s = *(const struct zookeeper_settings *)settings;
    s->tick_time_ms = or_default(s->tick_time_ms, ZOOKEEPER_TICK_MS);
    s->session_timeout_min_ms = or_default(s->session_timeout_min_ms, 2 * s->tick_time_ms);
    s->session_timeout_max_ms = or_default(s->session_timeout_max_ms, 20 * s->tick_time_ms);
    if (s->session_timeout_max_ms < s->session_timeout_min_ms) s->session_timeout_max_ms = s->session_timeout_min_ms;
    s->frame_bytes_max = or_default(s->frame_bytes_max, ZK_FRAME_BYTES_DEFAULT);
    s->reply_bytes_max = or_default(s->reply_bytes_max, s->frame_bytes_max);
    s->outstanding_max = or_default(s->outstanding_max, ZOOKEEPER_OUTSTANDING_MAX);
    s->output_pause_bytes = or_default(s->output_pause_bytes, ZOOKEEPER_OUTPUT_PAUSE);
    s->output_bytes_max = or_default(s->output_bytes_max, ZOOKEEPER_OUTPUT_MAX);
    s->connect_wait_ms = or_default(s->connect_wait_ms, ZOOKEEPER_CONNECT_WAIT_MS);
    s->greeting_ms = or_default(s->greeting_ms, ZOOKEEPER_GREETING_MS);
    s->read_only_after_ms = or_default(s->read_only_after_ms, ZOOKEEPER_READ_ONLY_AFTER_MS);
    list_init(&instance->connections);
    list_init(&instance->waiting);
    list_init(&instance->stalled);
    list_init(&instance->greeting);
    hash_init(&instance->sessions);
    service_random(service, &instance->seed, sizeof instance->seed);
    watches_init(&instance->watches, instance->seed);
    writer_init(&instance->command);
    writer_init(&instance->part);
    writer_init(&instance->scratch);
    stats_reset(instance);
    instance->now_ms = instance->ticked_ms = service_now_ms(service);
    return instance;
}

static void zookeeper_stop(void *context) {
    struct instance *instance = context;
    ENSURE(instance->connection_count == 0);
    watches_free(&instance->watches);
    hash_free(&instance->sessions);
    writer_free(&instance->command);
    writer_free(&instance->part);
    writer_free(&instance->scratch);
    mem_free(instance->acl);
    mem_free(instance);
}

uint64_t zookeeper_zxid(const struct instance *instance) {
    return service_applied(instance->service);
}

// ---- connections

_Static_assert(sizeof(struct connection) <= 448,
               "an idle session stays well below 1.5 KB with its identities and ring");

static void *zookeeper_open(void *context, struct client *client) {
    struct instance *instance = context;
    struct connection *c = mem_zalloc(sizeof *c);
    c->instance = instance;
    c->client = client;
    c->state = CONNECTION_NEW;
    c->last_operation = ZOOKEEPER_OP_COUNT;
    c->opened_unix_ms = service_unix_ms(instance->service);
    c->latency.min = UINT32_MAX;
    list_init(&c->stalled);
    list_init(&c->greeting);
    c->greeting_since_ms = instance->greeting_ms;
    list_push_back(&instance->greeting, &c->greeting);
    list_push_back(&instance->connections, &c->link);
    instance->connection_count++;
    ring_init(&c->requests, sizeof(struct request));
    writer_init(&c->held);
    writer_init(&c->identities);
    watch_holder_init(&c->watches);
    auth_start(c);
    return c;
}

static void connection_unindex(struct connection *c) {
    if (!c->indexed) return;
    hash_remove(&c->instance->sessions, &c->by_session);
    c->indexed = false;
}

static void zookeeper_close(void *context) {
    struct connection *c = context;
    struct instance *instance = c->instance;
    ENSURE(instance->connection_count > 0);
    connect_forget(c);
    connection_unindex(c);
    watches_leave(&instance->watches, &c->watches);
    instance->outstanding -= c->requests.count;
    instance->connection_count--;
    list_remove(&c->stalled);
    list_remove(&c->greeting);
    list_remove(&c->link);
    ring_free(&c->requests);
    writer_free(&c->held);
    writer_free(&c->identities);
    mem_free(c);
}

void connection_end(struct connection *c, bool flush) {
    if (c->state == CONNECTION_CLOSING) return;
    c->state = CONNECTION_CLOSING;
    connect_forget(c);
    // Its watches must not fire into a connection that is going away.
    watches_leave(&c->instance->watches, &c->watches);
    list_remove(&c->stalled);
    list_remove(&c->greeting);
    client_close(c->client, flush);
}

void connection_bad_input(struct connection *c, const char *why) {
    struct instance *instance = c->instance;
    uint32_t dropped;
    instance->bad_frames++;
    if (log_limit_pass(&instance->bad_input_log, 5, instance->now_ms, &dropped)) {
        struct io_conn_info info;
        client_info(c->client, &info);
        LOG_WARN(service_log(instance->service),
                 "zookeeper connection closed reason=\"%s\" client=%s session=0x%llx dropped=%u", why, info.remote,
                 (unsigned long long)c->session_shown, dropped);
    }
    connection_end(c, true); // what was answered before still leaves
}

void connection_wrote(struct connection *c) {
    struct instance *instance = c->instance;
    if (c->state == CONNECTION_CLOSING) return;
    if (client_output_pending(c->client) <= instance->settings.output_bytes_max) return;
    uint32_t dropped;
    if (log_limit_pass(&instance->slow_client_log, 5, instance->now_ms, &dropped)) {
        struct io_conn_info info;
        client_info(c->client, &info);
        LOG_WARN(service_log(instance->service),
                 "zookeeper connection closed reason=\"does not read its replies\" client=%s "
                 "pending_bytes=%zu session=0x%llx dropped=%u",
                 info.remote, client_output_pending(c->client), (unsigned long long)c->session_shown, dropped);
    }
    connection_end(c, false);
}

// ---- by session

static bool session_matches(const struct hash_node *node, const void *key) {
    return CONTAINER_OF_CONST(node, struct connection, by_session)->session == *(const uint64_t *)key;
}

struct connection *connection_of_session(struct instance *instance, uint64_t session) {
    struct hash_node *node = hash_find(&instance->sessions, hash_u64(session), session_matches, &session);
    return node ? CONTAINER_OF(node, struct connection, by_session) : NULL;
}

void connection_index(struct connection *c) {
    ENSURE(!c->indexed && c->session != 0);
    struct connection *older = connection_of_session(c->instance, c->session);
    if (older) { // the node closes it; from here on it is nobody's
        connection_unindex(older);
        connection_end(older, false);
    }
    hash_insert(&c->instance->sessions, &c->by_session, hash_u64(c->session));
    c->indexed = true;
}

// ---- bytes

static size_t zookeeper_input(void *context, const uint8_t *data, size_t len) {
    struct connection *c = context;
    struct instance *instance = c->instance;
    instance->now_ms = service_now_ms(instance->service);
    size_t at = 0;
    if (!pipeline_unstall(c)) return 0;
    while (len - at >= JUTE_FRAME_BYTES) {
        if (c->state == CONNECTION_CLOSING || c->ending) return len;
        if (c->state == CONNECTION_CONNECTING || c->paused) return at;
        if (c->state == CONNECTION_NEW && four_letter_word(c, data + at)) return len;
        int32_t frame = (int32_t)get_u32_be(data + at);
        if (frame < 0 || (uint32_t)frame > instance->settings.frame_bytes_max) {
            connection_bad_input(c, frame < 0 ? "frame of negative length" : "frame longer than frame_bytes_max");
            return len;
        }
        if (len - at - JUTE_FRAME_BYTES < (size_t)frame) return at;
        struct bytes body = bytes_of(data + at + JUTE_FRAME_BYTES, (size_t)frame);
        at += JUTE_FRAME_BYTES + (size_t)frame;
        c->received++;
        instance->packets_received++;
        if (c->state == CONNECTION_NEW)
            connect_request(c, body);
        else
            pipeline_request(c, body);
        if (pipeline_full(c) && c->waiting == 0 && c->state == CONNECTION_OPEN) {
            pipeline_stall(c); // what was not taken comes again
            return at;
        }
    }
    if (c->state == CONNECTION_CLOSING || c->ending) return len;
    return at;
}

static void zookeeper_reply(void *context, uint64_t tag, const struct result *result) {
    struct connection *c = context;
    if (c->state == CONNECTION_CLOSING) return;
    c->instance->now_ms = service_now_ms(c->instance->service);
    if (c->state == CONNECTION_CONNECTING) {
        if (c->connect && c->connect->attach_tag == tag) connect_attached(c, result);
        return;
    }
    pipeline_reply(c, tag, result);
}

static void zookeeper_read_ready(void *context, uint64_t tag, int error) {
    struct connection *c = context;
    if (c->state != CONNECTION_OPEN) return;
    c->instance->now_ms = service_now_ms(c->instance->service);
    pipeline_read_ready(c, tag, error);
}

// ---- events

struct firing {
    struct instance *instance;
    const struct tree_event *event;
    bool written; // the frame stands in scratch
};

// Watch events tell that a node exists and changed, so only those who may read it are told (CVE-2024-23944).
static void watch_fired(void *context, struct watch_holder *holder) {
    struct firing *firing = context;
    struct connection *c = CONTAINER_OF(holder, struct connection, watches);
    struct tree_identities who = {bytes_of(c->identities.data, c->identities.len)};
    if (c->state == CONNECTION_CLOSING || !tree_event_allows(firing->event, who)) return;
    struct writer *w = &firing->instance->scratch;
    if (!firing->written) {
        firing->written = true;
        writer_clear(w);
        write_u32_be(w, (uint32_t)(JUTE_REPLY_HEADER_BYTES + 12 + firing->event->path.len));
        jute_write_int(w, -1);
        write_u64_be(w, UINT64_MAX);
        jute_write_int(w, 0);
        jute_write_int(w, (int32_t)firing->event->type);
        jute_write_int(w, 3); // KeeperState SyncConnected
        jute_write_bytes(w, firing->event->path);
    }
    pipeline_event(c, bytes_of(w->data, w->len));
}

// A client whose output is over its bound is closed after the firing: closing takes watches away, which the table
// forbids meanwhile.
static void close_slow(struct instance *instance) {
    struct list *next;
    for (struct list *at = instance->stalled.next; at != &instance->stalled; at = next) {
        next = at->next;
        connection_wrote(CONTAINER_OF(at, struct connection, stalled));
    }
}

static void zookeeper_event(void *context, uint8_t model, const void *event) {
    struct instance *instance = context;
    if (model == MODEL_LEASE) {
        const struct lease_event *lease = event;
        if (lease->type != LEASE_EVENT_ENDED) return;
        struct connection *c = connection_of_session(instance, lease->lease.session);
        if (c && !(c->ending && lease->reason == LEASE_CLOSE))
            connection_end(c, true); // a close's own reply still comes
        return;
    }
    if (model != MODEL_TREE || instance->watches.count == 0) return;
    static const uint8_t modes[] = {
        [TREE_EVENT_CREATED] = WATCH_DATA | WATCH_PERSISTENT,
        [TREE_EVENT_DELETED] = WATCH_DATA | WATCH_CHILD | WATCH_PERSISTENT, // once, however it watched (WatchManager)
        [TREE_EVENT_DATA] = WATCH_DATA | WATCH_PERSISTENT,
        [TREE_EVENT_CHILDREN] = WATCH_CHILD | WATCH_PERSISTENT, // recursive ones are told of the child itself
    };
    struct firing firing = {instance, event, false};
    ENSURE(firing.event->type >= TREE_EVENT_CREATED && firing.event->type <= TREE_EVENT_CHILDREN);
    watches_fire(&instance->watches, firing.event->path, modes[firing.event->type],
                 firing.event->type != TREE_EVENT_CHILDREN, watch_fired, &firing);
    if (!list_empty(&instance->stalled)) close_slow(instance);
}

// ---- every 100 ms

#define TICK_COUNTS_MS 1000u

// Whoever connects and says nothing, or one byte a second, holds a place that others need.
static void close_silent(struct instance *instance, uint64_t now_ms) {
    uint64_t passed = now_ms > instance->ticked_ms ? now_ms - instance->ticked_ms : 0;
    // After a pause of this process their bytes lie unread in the sockets: it is not them who were silent.
    instance->greeting_ms += passed < TICK_COUNTS_MS ? passed : TICK_COUNTS_MS;
    instance->ticked_ms = now_ms;
    while (!list_empty(&instance->greeting)) {
        struct connection *c = CONTAINER_OF(instance->greeting.next, struct connection, greeting);
        ENSURE(c->state == CONNECTION_NEW);
        if (instance->greeting_ms - c->greeting_since_ms < instance->settings.greeting_ms) return;
        connection_bad_input(c, "no connect request in time");
    }
}

static void zookeeper_tick(void *context, uint64_t now_ms) {
    struct instance *instance = context;
    struct list *at, *next;
    struct service_status status;
    instance->now_ms = now_ms;
    close_silent(instance, now_ms);
    service_status(instance->service, &status);
    bool returned = status.has_leader && instance->no_leader_since_ms != 0;
    if (status.has_leader)
        instance->no_leader_since_ms = 0;
    else if (instance->no_leader_since_ms == 0)
        instance->no_leader_since_ms = now_ms ? now_ms : 1;
    for (at = instance->waiting.next; at != &instance->waiting; at = next) {
        struct connect_wait *wait = CONTAINER_OF(at, struct connect_wait, link);
        next = at->next;
        connect_continue(wait->owner);
    }
    for (at = instance->stalled.next; at != &instance->stalled; at = next) {
        next = at->next;
        struct connection *c = CONTAINER_OF(at, struct connection, stalled);
        if (pipeline_unstall(c) && c->state == CONNECTION_OPEN && !c->paused)
            client_resume(c->client); // asks for the rest
    }
    if (!returned) return;
    for (at = instance->connections.next; at != &instance->connections;
         at = next) { // a real session is to be had again
        struct connection *c = CONTAINER_OF(at, struct connection, link);
        next = at->next;
        if (c->read_only) connection_end(c, true);
    }
}

const struct protocol zookeeper_protocol = {
    .name = "zookeeper",
    .closes_without_leader = true,
    .start = zookeeper_start,
    .stop = zookeeper_stop,
    .event = zookeeper_event,
    .tick = zookeeper_tick,
    .open = zookeeper_open,
    .input = zookeeper_input,
    .reply = zookeeper_reply,
    .read_ready = zookeeper_read_ready,
    .close = zookeeper_close,
};
