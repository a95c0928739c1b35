#include "client/http_client.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool failed(struct http_reply *reply, const char *address, const char *what) {
    snprintf(reply->error, sizeof reply->error, "%s: %s", address, what);
    return false;
}

static bool send_request(int fd, const char *address, const char *method, const char *path, const char *body,
                         unsigned timeout_ms) {
    char head[1024];
    int len =
        snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                 method, path, address, body != NULL ? strlen(body) : 0);
    if (len < 0 || (size_t)len >= sizeof head) {
        errno = ENAMETOOLONG;
        return false;
    }
    return net_send(fd, head, (size_t)len, timeout_ms) &&
           (body == NULL || net_send(fd, body, strlen(body), timeout_ms));
}

static bool receive(int fd, const char *address, unsigned timeout_ms, struct response *response,
                    struct http_reply *reply) {
    uint8_t bytes[64 << 10];
    while (!response->done) {
        long n = net_receive(fd, bytes, sizeof bytes, timeout_ms);
        if (n < 0) return failed(reply, address, errno == ETIMEDOUT ? "no answer in time" : strerror(errno));
        if (!response_feed(response, bytes, (size_t)n)) return failed(reply, address, response->wrong);
    }
    return true;
}

bool http_call(const char *address, const char *method, const char *path, const char *body, unsigned timeout_ms,
               response_sink_fn sink, void *context, struct http_reply *reply) {
    *reply = (struct http_reply){0};
    int fd = net_connect(address, timeout_ms, reply->error);
    if (fd < 0) return false;
    struct response response = {.sink = sink, .context = context};
    response_init(&response);
    bool ok = send_request(fd, address, method, path, body, timeout_ms) || failed(reply, address, strerror(errno));
    ok = ok && receive(fd, address, timeout_ms, &response, reply);
    close(fd);
    if (ok) {
        reply->status = response.status;
        reply->body = response.body;
    } else {
        response_free(&response);
    }
    return ok;
}

void http_reply_free(struct http_reply *reply) {
    writer_free(&reply->body);
}
