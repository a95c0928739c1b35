#include "base/alloc.h"
#include "base/assert.h"
#include "client/internal.h"
#include "client/net.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define IDLE_MS 30000u // a server closes after 75 s; ours is first, so that no request meets a closing connection
#define RECEIVE_BYTES (16u << 10)

bool server_resolve(struct server *server, char why[256]) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info = NULL;
    int error = getaddrinfo(server->host, server->port, &hints, &info);
    if (error != 0) {
        snprintf(why, 256, "cannot resolve '%.100s': %s", server->host, gai_strerror(error));
        return false;
    }
    server->count = 0;
    for (const struct addrinfo *at = info; at != NULL && server->count < SERVER_ADDRESSES_MAX; at = at->ai_next) {
        if (at->ai_addrlen > sizeof(struct sockaddr_storage)) continue;
        struct address *address = &server->addresses[server->count++];
        memcpy(&address->socket, at->ai_addr, at->ai_addrlen);
        address->len = at->ai_addrlen;
    }
    freeaddrinfo(info);
    return server->count > 0;
}

static bool watch_for(struct connection *c, uint32_t events, int operation) { // only EPOLL_CTL_ADD may be refused
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (operation == EPOLL_CTL_MOD && c->wanted == events) return true;
    c->wanted = events;
    int failed = epoll_ctl(c->client->epoll_fd, operation, c->fd, &event);
    ENSURE(failed == 0 || operation == EPOLL_CTL_ADD);
    return failed == 0;
}

// ---- descriptors. A process without a free one still keeps its session: one is put by, for the reserved connection,
// which gives it back without letting go of it in between.

void spare_init(struct parley_client *client) {
    client->spare_fd = fcntl(client->wake_fd, F_DUPFD_CLOEXEC, 0);
}

static void close_fd(struct connection *c) { // leaves epoll with it
    struct parley_client *client = c->client;
    if (c->fd >= 0 && c->reserved && client->spare_fd < 0 && dup3(client->wake_fd, c->fd, O_CLOEXEC) == c->fd)
        client->spare_fd = c->fd;
    else if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static int open_fd(struct connection *c, const struct address *to) {
    int fd = net_connect_begin((const struct sockaddr *)&to->socket, to->len);
    bool none_left = fd < 0 && (errno == EMFILE || errno == ENFILE);
    if (!none_left || !c->reserved || c->client->spare_fd < 0) return fd;
    close(c->client->spare_fd);
    c->client->spare_fd = -1;
    return net_connect_begin((const struct sockaddr *)&to->socket, to->len);
}

// Connects to the next address that the system does not refuse at once.
static bool connect_next(struct connection *c, char why[256]) {
    for (; c->address < c->server->count; c->address++) {
        const struct address *to = &c->server->addresses[c->address];
        c->fd = open_fd(c, to);
        c->state = CONNECTION_CONNECTS;
        if (c->fd >= 0 && watch_for(c, EPOLLOUT, EPOLL_CTL_ADD)) return true;
        snprintf(why, 256, "cannot connect to %.200s: %s", c->server->text, strerror(errno));
        close_fd(c);
    }
    client_resolve(c->client, c->server);
    return false;
}

void connection_drop(struct connection *c) {
    if (c->state == CONNECTION_DEAD) return;
    c->state = CONNECTION_DEAD;
    c->exchange = NULL;
    if (c->client->reserved == c) c->client->reserved = NULL;
    close_fd(c);
    list_remove(&c->link);
    list_push_back(&c->client->dead, &c->link);
}

static void connection_free(struct connection *c) {
    list_remove(&c->link);
    writer_free(&c->out);
    response_free(&c->response);
    mem_free(c);
}

void connections_reap(struct parley_client *client, uint64_t now_ms) {
    for (size_t i = 0; i < client->server_count; i++) {
        struct list *idle = &client->servers[i].idle; // the longest idle one stands first
        while (!list_empty(idle)) {
            struct connection *c = CONTAINER_OF(idle->next, struct connection, link);
            if (!client->ended && c->idle_since_ms + IDLE_MS > now_ms) break;
            connection_drop(c);
        }
    }
    if (client->ended && client->reserved != NULL) connection_drop(client->reserved);
    while (!list_empty(&client->dead)) connection_free(CONTAINER_OF(client->dead.next, struct connection, link));
}

// The connection has failed: its exchange, if any, hears it.
static void broke(struct connection *c, const char *why) {
    struct exchange *exchange = c->exchange;
    bool sent = c->sent;
    char text[256];
    snprintf(text, sizeof text, "%.100s: %.150s", c->server->text, why);
    connection_drop(c);
    if (exchange != NULL) exchange_broke(exchange, text, sent);
}

static bool send_some(struct connection *c) { // false: an error (errno)
    while (c->out_at < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN) return false;
        if (n < 0) break;
        c->sent = true;
        c->out_at += (size_t)n;
    }
    watch_for(c, c->out_at < c->out.len ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    return true;
}

// One that is open and free; NULL: none. Keep-alives have one of their own.
static struct connection *idle_connection(struct parley_client *client, struct server *server, bool reserved) {
    struct connection *c = client->reserved;
    if (reserved && c != NULL && (c->server != server || c->state != CONNECTION_IDLE)) { // the session has moved on
        connection_drop(c);
        c = NULL;
    }
    if (reserved) return c;
    if (list_empty(&server->idle)) return NULL;
    c = CONTAINER_OF(server->idle.prev, struct connection, link); // the one that was used last
    list_remove(&c->link);
    return c;
}

struct connection *connection_request(struct parley_client *client, struct server *server, struct exchange *exchange,
                                      const char *path, const char *body, char why[256]) {
    struct connection *c = idle_connection(client, server, exchange->reserved);
    if (c != NULL) {
        c->state = CONNECTION_BUSY;
        writer_clear(&c->out);
        c->out_at = 0;
        c->sent = false;
        response_init(&c->response);
    } else {
        c = mem_zalloc(sizeof *c);
        list_init(&c->link);
        c->client = client;
        c->server = server;
        c->fd = -1;
        c->reserved = exchange->reserved;
        response_init(&c->response);
        snprintf(why, 256, "no address of %.200s is known", server->text);
        if (!connect_next(c, why)) {
            connection_free(c);
            return NULL;
        }
        if (c->reserved) client->reserved = c;
    }
    char head[1024];
    int len = snprintf(head, sizeof head,
                       "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                       path, server->text, strlen(body));
    ENSURE(len > 0 && (size_t)len < sizeof head);
    write_span(&c->out, bytes_of(head, (size_t)len));
    write_span(&c->out, bytes_of(body, strlen(body)));
    c->exchange = exchange;
    // An error of this send shows as an event too, where the exchange can be told.
    if (c->state == CONNECTION_BUSY && !send_some(c)) watch_for(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    return c;
}

static void finish(struct connection *c) {
    struct exchange *exchange = c->exchange;
    struct writer body = c->response.body; // the connection may be dropped or used again while the answer is read
    int status = c->response.status;
    writer_init(&c->response.body);
    c->exchange = NULL;
    if (c->response.keep_alive) {
        c->state = CONNECTION_IDLE;
        c->idle_since_ms = boot_now_ms();
        if (!c->reserved) list_push_back(&c->server->idle, &c->link);
    } else {
        connection_drop(c);
    }
    exchange_answered(exchange, status, bytes_of(body.data, body.len));
    writer_free(&body);
}

static void receive(struct connection *c) {
    uint8_t bytes[RECEIVE_BYTES];
    for (;;) {
        ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0 || c->exchange == NULL) { // an idle one: the server closes it, or says what nobody asked for
            broke(c, n < 0 ? strerror(errno) : "the connection was closed");
            return;
        }
        if (!response_feed(&c->response, bytes, (size_t)n)) {
            broke(c, c->response.wrong);
            return;
        }
        if (!c->response.done) continue;
        finish(c);
        return;
    }
}

static void connect_ended(struct connection *c) {
    char why[256];
    int error = net_connect_error(c->fd);
    if (error == 0) {
        c->state = CONNECTION_BUSY;
        exchange_connected(c->exchange);
        if (!send_some(c)) broke(c, strerror(errno));
        return;
    }
    close_fd(c);
    c->address++;
    snprintf(why, sizeof why, "%s", strerror(error));
    if (!connect_next(c, why)) broke(c, why);
}

void connection_event(struct connection *c, uint32_t events) {
    if (c->state == CONNECTION_DEAD) return;
    if (c->state == CONNECTION_CONNECTS) {
        connect_ended(c);
        return;
    }
    if ((events & EPOLLOUT) != 0 && !send_some(c)) {
        broke(c, strerror(errno));
        return;
    }
    receive(c);
}
