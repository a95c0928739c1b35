#include "cli/http_client.h"
#include "base/limits.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_BYTES_MAX (64u << 20) // of a body that is kept in memory
#define REPLY_HEAD_BYTES_MAX (32u << 10)

// ---- sockets, always non-blocking, waited for with poll
static bool wait_for(int fd, short events, unsigned timeout_ms) {
    struct pollfd one = {.fd = fd, .events = events};
    for (;;) {
        int ready = poll(&one, 1, (int)timeout_ms);
        if (ready > 0) return true;
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) errno = ETIMEDOUT;
        return false;
    }
}

// A server that is gone without a word is noticed in about ten seconds, also by who waits long for an answer.
static void notice_silence(int fd) {
    int on = 1, idle_s = 5, apart_s = 2, count = 3;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &apart_s, sizeof apart_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static int connect_one(const struct addrinfo *info, unsigned timeout_ms) {
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int error = 0;
    notice_silence(fd);
    if (connect(fd, info->ai_addr, info->ai_addrlen) != 0) {
        socklen_t len = sizeof error;
        error = errno;
        if (error == EINPROGRESS) {
            error = wait_for(fd, POLLOUT, timeout_ms) ? 0 : errno;
            if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
        }
    }
    if (error == 0) return fd;
    close(fd);
    errno = error;
    return -1;
}

int net_connect(const char *address, unsigned timeout_ms, char error[512]) {
    char host[ADDRESS_TEXT_MAX];
    const char *colon = strrchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= sizeof host) {
        snprintf(error, 512, "'%s' is no address: write HOST:PORT", address);
        return -1;
    }
    size_t len = (size_t)(colon - address);
    bool v6 = len >= 2 && address[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(v6 ? len - 2 : len), address + (v6 ? 1 : 0));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info = NULL;
    int resolved = getaddrinfo(host, colon + 1, &hints, &info);
    if (resolved != 0) {
        snprintf(error, 512, "cannot resolve '%s': %s", host, gai_strerror(resolved));
        return -1;
    }
    int fd = -1;
    for (const struct addrinfo *at = info; at != NULL && fd < 0; at = at->ai_next) fd = connect_one(at, timeout_ms);
    if (fd < 0) snprintf(error, 512, "cannot connect to %s: %s", address, strerror(errno));
    freeaddrinfo(info);
    return fd;
}

bool net_send(int fd, const void *data, size_t len, unsigned timeout_ms) {
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            if (!wait_for(fd, POLLOUT, timeout_ms)) return false;
            continue;
        }
        if (n < 0) return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

long net_receive(int fd, void *data, size_t len, unsigned timeout_ms) {
    for (;;) {
        ssize_t n = recv(fd, data, len, 0);
        if (n >= 0) return n;
        if (errno == EINTR) continue;
        if (errno != EAGAIN || !wait_for(fd, POLLIN, timeout_ms)) return -1;
    }
}

// ---- HTTP
struct receiving {
    struct http_reply *reply;
    http_sink_fn sink;
    void *context;
    struct writer head; // until the empty line
    bool in_body, sized;
    uint64_t length, got; // of the body
};

static bool failed(struct http_reply *reply, const char *address, const char *what) {
    reply->status = 0;
    snprintf(reply->error, sizeof reply->error, "%s: %s", address, what);
    return false;
}

static bool take_body(struct receiving *r, const char *address, const uint8_t *data, size_t len) {
    if (r->sized && len > r->length - r->got) len = (size_t)(r->length - r->got);
    r->got += len;
    if (r->sink != NULL && r->reply->status == 200) {
        if (len > 0 && r->sink(r->context, data, len) != 0)
            return failed(r->reply, address, "what came could not be stored");
        return true;
    }
    if (r->reply->body.len + len > REPLY_BYTES_MAX) return failed(r->reply, address, "the answer is too large");
    write_span(&r->reply->body, bytes_of(data, len));
    return true;
}

static bool take_head(struct receiving *r, const char *address) {
    write_u8(&r->head, 0);
    r->head.len--;
    char *text = (char *)r->head.data, *line = text;
    if (strncmp(text, "HTTP/1.", 7) != 0 || strlen(text) < 12)
        return failed(r->reply, address, "the answer is not HTTP");
    r->reply->status = atoi(text + 9);
    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, "content-length:", 15) != 0) continue;
        r->length = strtoull(line + 15, NULL, 10);
        r->sized = true;
    }
    if (r->reply->status < 100 || r->reply->status > 599) return failed(r->reply, address, "the answer is not HTTP");
    r->in_body = true;
    return true;
}

static bool take(struct receiving *r, const char *address, const uint8_t *data, size_t len) {
    if (r->in_body) return take_body(r, address, data, len);
    size_t before = r->head.len;
    write_span(&r->head, bytes_of(data, len));
    const uint8_t *end = memmem(r->head.data, r->head.len, "\r\n\r\n", 4);
    if (end == NULL)
        return r->head.len <= REPLY_HEAD_BYTES_MAX || failed(r->reply, address, "the answer's head is too large");
    size_t head = (size_t)(end - r->head.data) + 4;
    r->head.len = head;
    size_t used = head - before;
    return take_head(r, address) && take_body(r, address, data + used, len - used);
}

bool http_call(const char *address, const char *method, const char *path, const char *body, unsigned timeout_ms,
               http_sink_fn sink, void *context, struct http_reply *reply) {
    *reply = (struct http_reply){0};
    int fd = net_connect(address, timeout_ms, reply->error);
    if (fd < 0) return false;
    char head[1024];
    int len =
        snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                 method, path, address, body != NULL ? strlen(body) : 0);
    bool ok = len > 0 && (size_t)len < sizeof head && net_send(fd, head, (size_t)len, timeout_ms) &&
              (body == NULL || net_send(fd, body, strlen(body), timeout_ms));
    if (!ok) failed(reply, address, strerror(errno));
    struct receiving r = {.reply = reply, .sink = sink, .context = context};
    uint8_t bytes[64 << 10];
    while (ok && !(r.in_body && r.sized && r.got == r.length)) {
        long n = net_receive(fd, bytes, sizeof bytes, timeout_ms);
        if (n < 0) ok = failed(reply, address, errno == ETIMEDOUT ? "no answer in time" : strerror(errno));
        if (n == 0 && (!r.in_body || r.sized)) ok = failed(reply, address, "the answer broke off");
        if (n <= 0) break;
        ok = take(&r, address, bytes, (size_t)n);
    }
    writer_free(&r.head);
    close(fd);
    return ok;
}

void http_reply_free(struct http_reply *reply) {
    writer_free(&reply->body);
}
