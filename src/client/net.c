#include "client/net.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool net_split(const char *address, char host[ADDRESS_TEXT_MAX], char port[16]) {
    const char *colon = strrchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= ADDRESS_TEXT_MAX || strlen(colon + 1) >= 16) return false;
    size_t len = (size_t)(colon - address);
    bool v6 = len >= 2 && address[0] == '[' && colon[-1] == ']';
    snprintf(host, ADDRESS_TEXT_MAX, "%.*s", (int)(v6 ? len - 2 : len), address + (v6 ? 1 : 0));
    snprintf(port, 16, "%s", colon + 1);
    return true;
}

// A server that is gone without a word is noticed in about ten seconds, also by who waits long for an answer. Requests
// are small and leave at once.
static void set_options(int fd) {
    int on = 1, idle_s = 5, apart_s = 2, count = 3;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &apart_s, sizeof apart_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int net_connect_begin(const struct sockaddr *address, socklen_t len) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    set_options(fd);
    if (connect(fd, address, len) == 0 || errno == EINPROGRESS) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int net_connect_error(int fd) {
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 ? errno : error;
}

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

static int connect_one(const struct addrinfo *info, unsigned timeout_ms) {
    int fd = net_connect_begin(info->ai_addr, info->ai_addrlen);
    if (fd < 0) return -1;
    int error = wait_for(fd, POLLOUT, timeout_ms) ? net_connect_error(fd) : errno;
    if (error == 0) return fd;
    close(fd);
    errno = error;
    return -1;
}

int net_connect(const char *address, unsigned timeout_ms, char error[512]) {
    char host[ADDRESS_TEXT_MAX], port[16];
    if (!net_split(address, host, port)) {
        snprintf(error, 512, "'%s' is no address: write HOST:PORT", address);
        return -1;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info = NULL;
    int resolved = getaddrinfo(host, port, &hints, &info);
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
