// Links to peers: two TCP connections each, control and bulk. A frame is u32 length and so many bytes of core's; length
// 0 is a sign of life. The first frame each way is a hello.
//
//   Who dials: the lower id at once, the higher one only after a while or when a link broke, so that either side's view
//   of the members is enough and a broken link is back as soon as one of both can open it. Two connections of one
//   channel that cross: both sides keep the one that the lower id dialed; otherwise the newer takes the older one's
//   place. A link that is down is dialed again at once, then after 50 ms, doubling to 1 s.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "node/internal.h"

#define LINK_MAGIC 0x4b4e4c50u // "PLNK"
#define LINK_VERSION 1u
#define HELLO_BYTES_MAX 8192u
#define FRAME_BYTES_MAX (COMMAND_BYTES_MAX + (64u << 20)) // an append of one largest batch, and room
#define BACKOFF_FIRST_MS 50u
#define BACKOFF_MAX_MS 1000u
#define HIGHER_DIALS_AFTER_MS 1000u
#define HELLO_WAIT_MS 3000u
#define PING_EVERY_MS 500u
#define SILENT_MAX_MS 5000u // several heartbeats and pings: the path is gone though TCP does not know yet
#define PEERS_MAX 64u
#define ACCEPTED_MAX 512u // four times what 31 members may have open: strangers must not take the journal's descriptors

enum hello_kind { HELLO_ASK = 1, HELLO_ANSWER = 2, HELLO_REFUSED = 3 };

struct link {
    struct list all;
    struct links *links;
    struct peer *peer; // NULL: accepted, not introduced yet
    struct io_conn *conn;
    enum core_channel channel;
    bool dialed, up;
    uint64_t opened_ms, heard_ms, pinged_ms;
    struct writer in;
};
struct channel {
    struct peer *peer;
    enum core_channel which;
    struct link *up, *dialing; // dialing: connected, waits for the answer
    void *connecting;
    uint64_t dial_at_ms, backoff_ms;
};
struct peer {
    struct links *links;
    uint32_t id;
    bool wanted; // core names it: is dialed
    char address[ADDRESS_TEXT_MAX];
    struct channel channels[2];
    struct log_limit refusals;
};
struct links {
    struct replication *replication;
    struct io *io;
    struct log *log;
    struct io_listener *listener;
    struct list all;
    struct peer *peers[PEERS_MAX];
    size_t peer_count;
    uint64_t last_tick_ms;
    struct log_limit strangers;
    bool closing;
};

static void dial(struct channel *channel);

static struct peer *peer_find(const struct links *links, uint32_t id) {
    for (size_t i = 0; i < links->peer_count; i++)
        if (links->peers[i]->id == id) return links->peers[i];
    return NULL;
}

static struct peer *peer_make(struct links *links, uint32_t id) {
    struct peer *peer = peer_find(links, id);
    if (peer != NULL) return peer;
    if (links->peer_count == PEERS_MAX) return NULL;
    peer = mem_zalloc(sizeof *peer);
    peer->links = links;
    peer->id = id;
    uint32_t self = links->replication->node->options.id;
    for (int c = 0; c < 2; c++) {
        peer->channels[c].peer = peer;
        peer->channels[c].which = (enum core_channel)c;
        peer->channels[c].dial_at_ms = io_now_ms(links->io) + (self < id ? 0 : HIGHER_DIALS_AFTER_MS);
    }
    links->peers[links->peer_count++] = peer;
    return peer;
}

// ---- frames out

static void write_frame(struct link *link, struct bytes head, struct buf *const *bufs, size_t buf_count) {
    const struct io_ops *ops = link->links->io->ops;
    size_t len = head.len;
    for (size_t i = 0; i < buf_count; i++) len += bufs[i]->len;
    ENSURE(len <= UINT32_MAX);
    uint8_t prefix[4];
    put_u32_le(prefix, (uint32_t)len);
    ops->conn_write(link->conn, prefix, sizeof prefix);
    if (head.len > 0) ops->conn_write(link->conn, head.data, head.len);
    for (size_t i = 0; i < buf_count; i++) ops->conn_write_buf(link->conn, bufs[i], 0, bufs[i]->len);
}

static void write_hello(struct link *link, enum hello_kind kind, const char *refusal) {
    struct core_hello hello;
    struct writer w;
    writer_init(&w);
    write_u32_le(&w, LINK_MAGIC);
    write_u16_le(&w, LINK_VERSION);
    write_u8(&w, (uint8_t)kind);
    write_u8(&w, (uint8_t)link->channel);
    if (kind == HELLO_REFUSED) {
        write_blob(&w, bytes_of_text(refusal));
    } else {
        memset(&hello, 0, sizeof hello);
        core_own_hello(link->links->replication->core, &hello);
        write_u32_le(&w, hello.id);
        write_span(&w, bytes_of(hello.incarnation, sizeof hello.incarnation));
        write_span(&w, bytes_of(hello.cluster_id, sizeof hello.cluster_id));
        write_u8(&w, hello.empty ? 1 : 0);
        write_u32_le(&w, hello.apply_level_max);
        write_varint(&w, ADVERTISED_COUNT);
        for (int i = 0; i < ADVERTISED_COUNT; i++) write_blob(&w, bytes_of_text(hello.address[i]));
    }
    write_frame(link, bytes_of(w.data, w.len), NULL, 0);
    writer_free(&w);
}

void links_send(struct links *links, uint32_t id, enum core_channel channel, struct bytes head, struct buf *const *bufs,
                size_t buf_count) {
    struct peer *peer = peer_find(links, id);
    if (peer == NULL || peer->channels[channel].up == NULL) return; // core sends again when the link is up
    write_frame(peer->channels[channel].up, head, bufs, buf_count);
}

bool links_connected(const struct links *links, uint32_t id) {
    const struct peer *peer = peer_find(links, id);
    return peer != NULL && peer->channels[CORE_CONTROL].up != NULL;
}

// ---- ends

static void link_free(struct link *link, bool flush) {
    list_remove(&link->all);
    link->links->io->ops->conn_close(link->conn, flush);
    writer_free(&link->in);
    mem_free(link);
}

static void later(struct channel *channel, uint64_t now_ms) {
    channel->dial_at_ms = now_ms + channel->backoff_ms;
    channel->backoff_ms = channel->backoff_ms == 0 ? BACKOFF_FIRST_MS : channel->backoff_ms * 2;
    if (channel->backoff_ms > BACKOFF_MAX_MS) channel->backoff_ms = BACKOFF_MAX_MS;
}

static void link_lost(struct link *link, bool flush) {
    struct links *links = link->links;
    struct replication *replication = links->replication;
    uint64_t now_ms = io_now_ms(links->io);
    struct channel *channel = link->peer == NULL ? NULL : &link->peer->channels[link->channel];
    bool was_up = link->up;
    if (channel != NULL && channel->up == link) channel->up = NULL;
    if (channel != NULL && channel->dialing == link) channel->dialing = NULL;
    link_free(link, flush);
    if (channel == NULL || links->closing) return;
    if (was_up) {
        LOG_INFO(links->log, "peer link down peer=%u channel=%s", channel->peer->id,
                 channel->which == CORE_CONTROL ? "control" : "bulk");
        core_peer_down(replication->core, now_ms, channel->peer->id, channel->which);
        replication_fed(replication);
        channel->backoff_ms = 0; // once at once: it may be back before anybody calls an election
    }
    later(channel, now_ms);
    if (channel->dial_at_ms <= now_ms) dial(channel);
}

// ---- the handshake

static bool read_hello(struct bytes frame, enum hello_kind *kind, enum core_channel *channel, struct core_hello *hello,
                       char refusal[256]) {
    struct reader r = reader_of(frame.data, frame.len);
    memset(hello, 0, sizeof *hello);
    refusal[0] = 0;
    if (read_u32_le(&r) != LINK_MAGIC || read_u16_le(&r) != LINK_VERSION) return false;
    uint8_t k = read_u8(&r), c = read_u8(&r);
    if (k < HELLO_ASK || k > HELLO_REFUSED || c > CORE_BULK) return false;
    *kind = (enum hello_kind)k;
    *channel = (enum core_channel)c;
    if (k == HELLO_REFUSED) {
        struct bytes text = read_blob(&r);
        snprintf(refusal, 256, "%.*s", (int)(text.len < 255 ? text.len : 255),
                 text.len == 0 ? "" : (const char *)text.data);
        return !r.failed;
    }
    hello->id = read_u32_le(&r);
    struct bytes incarnation = read_span(&r, sizeof hello->incarnation);
    struct bytes cluster = read_span(&r, sizeof hello->cluster_id);
    hello->empty = read_u8(&r) != 0;
    hello->apply_level_max = read_u32_le(&r);
    uint64_t count = read_varint(&r);
    for (uint64_t i = 0; i < count && !r.failed; i++) {
        struct bytes address = read_blob(&r);
        if (r.failed || address.len >= ADDRESS_TEXT_MAX) return false;
        for (size_t b = 0; b < address.len; b++) // it reaches logs and /zookeeper/config
            if (address.data[b] <= ' ' || address.data[b] >= 0x7f) return false;
        if (i < ADVERTISED_COUNT && address.len > 0) memcpy(hello->address[i], address.data, address.len);
    }
    if (r.failed || hello->id == 0 || hello->id > 255) return false;
    memcpy(hello->incarnation, incarnation.data, sizeof hello->incarnation);
    memcpy(hello->cluster_id, cluster.data, sizeof hello->cluster_id);
    return true;
}

static void log_refusal(struct links *links, struct log_limit *limit, uint32_t id, const char *what, const char *why) {
    uint32_t dropped = 0;
    if (!log_limit_pass(limit, 1, io_now_ms(links->io), &dropped)) return;
    LOG_WARN(links->log, "peer %s peer=%u dropped=%u: %s", what, id, dropped, why);
}

static void link_is_up(struct link *link, const struct core_hello *hello) {
    struct links *links = link->links;
    struct channel *channel = &link->peer->channels[link->channel];
    struct link *older = channel->up;
    channel->up = link;
    link->up = true;
    channel->backoff_ms = 0;
    if (older != NULL) link_free(older, false);
    LOG_INFO(links->log, "peer link up peer=%u channel=%s", link->peer->id,
             link->channel == CORE_CONTROL ? "control" : "bulk");
    core_peer_up(links->replication->core, io_now_ms(links->io), link->peer->id, hello->incarnation, link->channel);
}

// The first frame. false: the link is gone.
static bool on_hello(struct link *link, struct bytes frame) {
    struct links *links = link->links;
    struct replication *replication = links->replication;
    struct core_hello hello;
    enum hello_kind kind;
    enum core_channel which;
    char text[256];
    const char *refusal = NULL;
    uint32_t self = replication->node->options.id;
    if (!read_hello(frame, &kind, &which, &hello, text) || (kind == HELLO_ASK) == link->dialed ||
        (link->dialed && which != link->channel)) {
        log_refusal(links, &links->strangers, 0, "dropped", "it does not speak our peer protocol");
        link_lost(link, false);
        return false;
    }
    if (kind == HELLO_REFUSED) {
        log_refusal(links, &link->peer->refusals, link->peer->id, "refused us", text);
        link_lost(link, false);
        return false;
    }
    replication_fed(replication);
    bool allowed = core_hello(replication->core, io_now_ms(links->io), &hello, &refusal);
    if (allowed && hello.id == self) {
        allowed = false;
        refusal = "that is my own id";
    }
    if (allowed && link->dialed && hello.id != link->peer->id) {
        allowed = false;
        refusal = "another member answers at this address";
    }
    struct peer *peer = allowed ? peer_make(links, hello.id) : NULL;
    if (!allowed || peer == NULL) {
        log_refusal(links, link->peer != NULL ? &link->peer->refusals : &links->strangers, hello.id, "refused",
                    refusal == NULL ? "too many peers" : refusal);
        if (!link->dialed) write_hello(link, HELLO_REFUSED, refusal == NULL ? "refused" : refusal);
        link_lost(link, true);
        return false;
    }
    if (!link->dialed) {
        link->peer = peer;
        link->channel = which;
    }
    struct channel *channel = &peer->channels[link->channel];
    if (link->dialed) channel->dialing = NULL;
    // Crossing connections: the lower id's stays.
    bool by_lower = link->dialed == (self < peer->id);
    if (channel->up != NULL && !by_lower && channel->up->dialed == (self < peer->id)) {
        link->peer = NULL; // not this channel's end
        link_free(link, false);
        return false;
    }
    if (!link->dialed) write_hello(link, HELLO_ANSWER, NULL);
    link_is_up(link, &hello);
    return true;
}

// ---- frames in

// One whole frame. false: the link is gone.
static bool on_frame(struct link *link, struct bytes frame) {
    if (!link->up) return on_hello(link, frame);
    if (frame.len == 0) return true;
    struct replication *replication = link->links->replication;
    core_peer_frame(replication->core, io_now_ms(link->links->io), link->peer->id, link->channel, frame);
    replication_fed(replication);
    return true;
}

// Takes whole frames from the front. Gives how many bytes are done with; SIZE_MAX: the link is gone.
static size_t take_frames(struct link *link, const uint8_t *data, size_t len) {
    size_t at = 0;
    while (len - at >= 4) {
        size_t frame = get_u32_le(data + at);
        if (frame > (link->up ? FRAME_BYTES_MAX : HELLO_BYTES_MAX)) {
            log_refusal(link->links, &link->links->strangers, link->peer == NULL ? 0 : link->peer->id, "dropped",
                        "a frame longer than any may be");
            link_lost(link, false);
            return SIZE_MAX;
        }
        if (len - at - 4 < frame) break;
        if (!on_frame(link, bytes_of(data + at + 4, frame))) return SIZE_MAX;
        at += 4 + frame;
    }
    return at;
}

static void on_read(struct io_conn *conn, const uint8_t *data, size_t len) {
    struct link *link = io_conn_context(conn);
    if (link->links->replication->node->dead) return;
    link->heard_ms = io_now_ms(link->links->io);
    if (link->in.len == 0) {
        size_t done = take_frames(link, data, len);
        if (done == SIZE_MAX) return;
        if (done < len) write_span(&link->in, bytes_of(data + done, len - done));
        return;
    }
    write_span(&link->in, bytes_of(data, len));
    size_t done = take_frames(link, link->in.data, link->in.len);
    if (done == SIZE_MAX) return;
    writer_consume(&link->in, done);
    if (link->in.len == 0 && link->in.capacity > (1u << 20)) writer_free(&link->in);
}

static void on_closed(struct io_conn *conn, int error) {
    link_lost(io_conn_context(conn), false);
}

static const struct io_conn_handler link_handler = {.read = on_read, .closed = on_closed};

static struct link *link_new(struct links *links, struct io_conn *conn, bool dialed) {
    struct link *link = mem_zalloc(sizeof *link);
    link->links = links;
    link->conn = conn;
    link->dialed = dialed;
    link->opened_ms = link->heard_ms = link->pinged_ms = io_now_ms(links->io);
    list_push_back(&links->all, &link->all);
    links->io->ops->conn_start(conn, &link_handler, link, 1u << 20);
    return link;
}

static void on_accepted(struct io_listener *listener, struct io_conn *conn, void *context) {
    struct links *links = context;
    if (links->closing || links->replication->node->dead) {
        links->io->ops->conn_close(conn, false);
        return;
    }
    link_new(links, conn, false);
}

static void on_connected(struct io_conn *conn, int error, void *context) {
    struct channel *channel = context;
    struct links *links = channel->peer->links;
    channel->connecting = NULL;
    if (conn == NULL) {
        if (error == -EKEYREJECTED)
            log_refusal(links, &channel->peer->refusals, channel->peer->id, "link is not opened",
                        "its certificate was refused: another authority's, expired, or not made out for the host of "
                        "its peer address");
        later(channel, io_now_ms(links->io));
        return;
    }
    struct link *link = link_new(links, conn, true);
    link->peer = channel->peer;
    link->channel = channel->which;
    channel->dialing = link;
    write_hello(link, HELLO_ASK, NULL);
}

static void dial(struct channel *channel) {
    struct peer *peer = channel->peer;
    struct links *links = peer->links;
    if (!peer->wanted || links->closing || channel->up != NULL || channel->dialing != NULL ||
        channel->connecting != NULL)
        return;
    int error = links->io->ops->connect(links->io, peer->address, links->replication->node->options.peer_tls_client,
                                        BACKOFF_MAX_MS * 1000, on_connected, channel, &channel->connecting);
    if (error != 0) {
        channel->connecting = NULL;
        later(channel, io_now_ms(links->io));
    }
}

// ---- the tick

static void refresh_peers(struct links *links) {
    struct core_peer wanted[PEERS_MAX];
    size_t count = core_peers(links->replication->core, wanted, PEERS_MAX);
    uint32_t self = links->replication->node->options.id;
    for (size_t i = 0; i < links->peer_count; i++) links->peers[i]->wanted = false;
    for (size_t i = 0; i < count && i < PEERS_MAX; i++) {
        if (wanted[i].id == self || wanted[i].address[0] == 0) continue;
        struct peer *peer = peer_make(links, wanted[i].id);
        if (peer == NULL) continue;
        peer->wanted = true;
        memcpy(peer->address, wanted[i].address, sizeof peer->address);
    }
}

void links_tick(struct links *links, uint64_t now_ms) {
    refresh_peers(links);
    // A pause of ours says nothing about the peers: what they sent meanwhile has not been read yet.
    bool paused = links->last_tick_ms != 0 && now_ms - links->last_tick_ms > SILENT_MAX_MS / 2;
    links->last_tick_ms = now_ms;
    struct list *at = links->all.next;
    while (at != &links->all) {
        struct link *link = CONTAINER_OF(at, struct link, all);
        at = at->next;
        if (paused) link->heard_ms = link->opened_ms = now_ms;
        if (!link->up) {
            if (now_ms - link->opened_ms > HELLO_WAIT_MS) link_lost(link, false);
            continue;
        }
        if (now_ms > link->heard_ms && now_ms - link->heard_ms > SILENT_MAX_MS) {
            LOG_WARN(links->log, "peer link silent peer=%u", link->peer->id);
            link_lost(link, false);
            continue;
        }
        if (now_ms - link->pinged_ms >= PING_EVERY_MS) {
            link->pinged_ms = now_ms;
            write_frame(link, bytes_of(NULL, 0), NULL, 0);
        }
    }
    for (size_t i = 0; i < links->peer_count; i++)
        for (int c = 0; c < 2; c++)
            if (now_ms >= links->peers[i]->channels[c].dial_at_ms) dial(&links->peers[i]->channels[c]);
}

// ---- life

struct links *links_new(struct replication *replication, char error[512]) {
    const struct node_options *options = &replication->node->options;
    struct links *links = mem_zalloc(sizeof *links);
    links->replication = replication;
    links->io = replication->io;
    links->log = replication->log;
    list_init(&links->all);
    struct io_listen_options listen = {.tls = options->peer_tls_server, .connections_max = ACCEPTED_MAX};
    int e = links->io->ops->listen(links->io, options->peer_address, &listen, on_accepted, links, &links->listener);
    if (e != 0) {
        snprintf(error, 512, "cannot listen for peers on %s: %s (choose another with --peer ADDR)",
                 options->peer_address, strerror(-e));
        mem_free(links);
        return NULL;
    }
    return links;
}

void links_free(struct links *links) {
    links->closing = true;
    links->io->ops->listener_close(links->listener);
    while (!list_empty(&links->all)) link_lost(CONTAINER_OF(links->all.next, struct link, all), true);
    for (size_t i = 0; i < links->peer_count; i++) {
        for (int c = 0; c < 2; c++)
            if (links->peers[i]->channels[c].connecting != NULL)
                links->io->ops->connect_cancel(links->io, links->peers[i]->channels[c].connecting);
        mem_free(links->peers[i]);
    }
    mem_free(links);
}
