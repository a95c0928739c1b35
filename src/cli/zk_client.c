#include "cli/zk_client.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "client/http_client.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PACKET_BYTES_MAX (128u << 20)
#define XID_EVENT (-1)
#define XID_PING (-2)
#define XID_AUTH (-4)
#define OP_PING 11
#define OP_AUTH 100
#define OP_CLOSE (-11)

struct zk_client {
    int fd;
    unsigned timeout_ms; // the session's, as the server gave it
    uint64_t session;
    int32_t xid;
    long long sent_ms;    // when anything was sent last
    struct writer packet; // the last one received
    char server[ADDRESS_TEXT_MAX];
    void (*on_event)(void *context, const struct zk_event *event);
    void *context;
};

static const struct {
    int code;
    const char *text;
} errors[] = {
    {-4, "the connection was lost: what was under way may or may not have happened"},
    {-5, "an answer that this client does not understand"},
    {-6, "the server does not know this operation"},
    {-7, "no answer in time"},
    {-8, "bad arguments"},
    {-101, "no such node"},
    {-102, "not allowed by its ACL"},
    {-103, "another version"},
    {-108, "an ephemeral node has no children"},
    {-110, "the node exists"},
    {-111, "the node has children"},
    {-112, "the session has expired"},
    {-114, "a bad ACL"},
    {-115, "authentication failed"},
    {-118, "the session moved to another server"},
    {-119, "the server is read-only now"},
    {-122, "too large"},
    {-125, "a quota is exceeded"},
};

const char *zk_error_text(int error) {
    static _Thread_local char other[48];
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].code == error) return errors[i].text;
    snprintf(other, sizeof other, "ZooKeeper error %d", error);
    return other;
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void zk_put_text(struct writer *w, struct bytes text) {
    write_u32_be(w, (uint32_t)text.len);
    write_span(w, text);
}

struct bytes zk_get_text(struct reader *r) {
    uint32_t len = read_u32_be(r);
    if (len == UINT32_MAX) return bytes_of(NULL, 0);
    return read_span(r, len);
}

// ---- packets: u32 length, then the bytes
static bool send_packet(struct zk_client *c, struct writer *w) {
    put_u32_be(w->data, (uint32_t)(w->len - 4));
    c->sent_ms = now_ms();
    return net_send(c->fd, w->data, w->len, c->timeout_ms);
}

static void begin_packet(struct writer *w) {
    writer_init(w);
    write_u32_be(w, 0);
}

static bool receive_all(struct zk_client *c, void *data, size_t len) {
    for (uint8_t *at = data; len > 0;) {
        long n = net_receive(c->fd, at, len, c->timeout_ms);
        if (n <= 0) return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool receive_packet(struct zk_client *c) {
    uint8_t head[4];
    if (!receive_all(c, head, sizeof head)) return false;
    uint32_t len = get_u32_be(head);
    if (len > PACKET_BYTES_MAX) return false;
    writer_clear(&c->packet);
    return len == 0 || receive_all(c, writer_extend(&c->packet, len), len);
}

static bool send_ping(struct zk_client *c) {
    struct writer w;
    begin_packet(&w);
    write_u32_be(&w, (uint32_t)XID_PING);
    write_u32_be(&w, OP_PING);
    bool ok = send_packet(c, &w);
    writer_free(&w);
    return ok;
}

// Until the socket is readable, or `input` is (then false); the session is kept alive. errno says when the connection
// failed.
static bool wait_readable(struct zk_client *c, int input) {
    errno = 0;
    for (;;) {
        long long left = c->sent_ms + c->timeout_ms / 3 - now_ms();
        if (left <= 0 && !send_ping(c)) return false;
        struct pollfd fds[2] = {{.fd = c->fd, .events = POLLIN}, {.fd = input, .events = POLLIN}};
        int ready = poll(fds, 2, left > 0 ? (int)left + 1 : (int)(c->timeout_ms / 3));
        if (ready < 0 && errno != EINTR) return false;
        if (ready > 0 && fds[0].revents != 0) return true;
        if (ready > 0 && fds[1].revents != 0) {
            errno = 0;
            return false;
        }
    }
}

static int take_packet(struct zk_client *c, int32_t *xid, struct reader *answer) {
    if (!receive_packet(c)) return ZK_LOST;
    *answer = reader_of(c->packet.data, c->packet.len);
    *xid = (int32_t)read_u32_be(answer);
    read_u64_be(answer); // zxid
    int error = (int32_t)read_u32_be(answer);
    if (answer->failed) return ZK_LOST;
    if (*xid != XID_EVENT) return error;
    struct zk_event event = {.type = (int32_t)read_u32_be(answer)};
    read_u32_be(answer); // state
    event.path = zk_get_text(answer);
    if (!answer->failed && c->on_event != NULL) c->on_event(c->context, &event);
    return 0;
}

int zk_take_one(struct zk_client *c) {
    struct reader answer;
    int32_t xid = XID_EVENT;
    if (!wait_readable(c, -1)) return ZK_LOST;
    return take_packet(c, &xid, &answer) == ZK_LOST ? ZK_LOST : 0;
}

int zk_wait(struct zk_client *c, int input) {
    while (wait_readable(c, input)) {
        struct reader answer;
        int32_t xid = XID_EVENT;
        if (take_packet(c, &xid, &answer) == ZK_LOST) return ZK_LOST;
    }
    return errno == 0 ? 0 : ZK_LOST;
}

static int call(struct zk_client *c, int32_t xid, int32_t op, struct bytes body, struct reader *answer) {
    struct writer w;
    begin_packet(&w);
    write_u32_be(&w, (uint32_t)xid);
    write_u32_be(&w, (uint32_t)op);
    write_span(&w, body);
    bool ok = send_packet(c, &w);
    writer_free(&w);
    while (ok) {
        int32_t got = XID_EVENT;
        int error = take_packet(c, &got, answer);
        if (error == ZK_LOST && got != xid) return ZK_LOST;
        if (got == xid) return error;
    }
    return ZK_LOST;
}

int zk_call(struct zk_client *c, enum zk_op op, struct bytes body, struct reader *answer) {
    c->xid++;
    return call(c, c->xid, (int32_t)op, body, answer);
}

int zk_auth(struct zk_client *c, const char *scheme, struct bytes credentials) {
    struct writer w;
    struct reader answer;
    writer_init(&w);
    write_u32_be(&w, 0);
    zk_put_text(&w, bytes_of_text(scheme));
    zk_put_text(&w, credentials);
    int error = call(c, XID_AUTH, OP_AUTH, bytes_of(w.data, w.len), &answer);
    writer_free(&w);
    return error;
}

// ---- session
static bool open_session(struct zk_client *c, unsigned timeout_ms, char error[512]) {
    struct writer w;
    uint8_t password[16] = {0};
    begin_packet(&w);
    write_u32_be(&w, 0);
    write_u64_be(&w, 0);
    write_u32_be(&w, timeout_ms);
    write_u64_be(&w, 0);
    zk_put_text(&w, bytes_of(password, sizeof password));
    write_u8(&w, 0); // not read-only
    bool ok = send_packet(c, &w) && receive_packet(c);
    writer_free(&w);
    if (!ok) {
        snprintf(error, 512, "%s took the connection and gave no session (not ready, or not ZooKeeper's port)",
                 c->server);
        return false;
    }
    struct reader r = reader_of(c->packet.data, c->packet.len);
    read_u32_be(&r);
    c->timeout_ms = read_u32_be(&r);
    c->session = read_u64_be(&r);
    if (!r.failed && c->session != 0 && c->timeout_ms != 0) return true;
    snprintf(error, 512, "%s refused a session", c->server);
    return false;
}

struct zk_client *zk_open(const char *servers, unsigned timeout_ms,
                          void (*on_event)(void *context, const struct zk_event *event), void *context,
                          char error[512]) {
    struct zk_client *c = mem_zalloc(sizeof *c);
    char *list = mem_strdup(servers), *rest = list, *one;
    c->on_event = on_event;
    c->context = context;
    c->fd = -1;
    writer_init(&c->packet);
    snprintf(error, 512, "no server was named");
    while ((one = strsep(&rest, ",")) != NULL) {
        if (one[0] == 0) continue;
        snprintf(c->server, sizeof c->server, "%s%s", one, strchr(one, ':') == NULL ? ":2181" : "");
        c->timeout_ms = timeout_ms;
        c->fd = net_connect(c->server, timeout_ms, error);
        if (c->fd >= 0 && open_session(c, timeout_ms, error)) break;
        if (c->fd >= 0) close(c->fd);
        c->fd = -1;
    }
    mem_free(list);
    if (c->fd >= 0) return c;
    writer_free(&c->packet);
    mem_free(c);
    return NULL;
}

void zk_close(struct zk_client *c) {
    if (c == NULL) return;
    struct reader answer;
    c->xid++;
    call(c, c->xid, OP_CLOSE, bytes_of(NULL, 0),
         &answer); // waits, so that ephemeral nodes are gone when the command ends
    close(c->fd);
    writer_free(&c->packet);
    mem_free(c);
}

uint64_t zk_session(const struct zk_client *c) {
    return c->session;
}
const char *zk_server(const struct zk_client *c) {
    return c->server;
}
