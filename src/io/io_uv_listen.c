// Listening: one listener may stand on several sockets (localhost: 127.0.0.1 and ::1).
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io_uv_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096       // ten thousand clients reconnect at once; the kernel cuts it to somaxconn
#define SAME_PORT_TRIES 16 // for port 0 on two sockets: the first one's port may be taken on the second
#define KEEPALIVE_IDLE_S                                                                                               \
    60 // a client whose machine is gone, without any bytes queued for it, is noticed after 60 + 4 * 15 s
#define KEEPALIVE_EVERY_S 15
#define KEEPALIVE_COUNT 4

static void set_int(int fd, int level, int name, int value) {
    int error = setsockopt(fd, level, name, &value, sizeof value);
    ENSURE(error == 0);
}

// An accepted socket inherits these from the listening one (Linux), which saves five system calls each.
static int open_socket(const struct uv_address *address, bool both_families) {
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
    if (address->any.sa_family == AF_INET6) set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, both_families ? 0 : 1);
    if (bind(fd, &address->any, address_bytes(address)) != 0 || listen(fd, BACKLOG) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static int socket_port(int fd, uint16_t *port) {
    struct uv_address local;
    socklen_t len = sizeof local;
    if (getsockname(fd, &local.any, &len) != 0) return -errno;
    *port = address_port(&local);
    return 0;
}

static bool no_such_family(int error) {
    return error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT;
}

// Binds all addresses to one port. A machine without IPv6 still gets its 127.0.0.1.
static int bind_all(const struct uv_address *wanted, size_t count, bool both_families, int *fds, size_t *bound) {
    uint16_t port = address_port(&wanted[0]);
    int error = -EADDRNOTAVAIL;
    *bound = 0;
    for (size_t i = 0; i < count; i++) {
        struct uv_address address = wanted[i];
        address_set_port(&address, port);
        int fd = open_socket(&address, both_families);
        if (fd < 0) {
            error = fd;
            if (no_such_family(fd) && count > 1) continue;
            break;
        }
        fds[(*bound)++] = fd;
        error = port == 0 ? socket_port(fd, &port) : 0;
        if (error != 0) break;
    }
    if (*bound > 0 && (error == 0 || (no_such_family(error) && count > 1))) return 0;
    while (*bound > 0) close(fds[--*bound]);
    return error;
}

static int listen_addresses(const char *text, struct uv_address *out, size_t *count, bool *both_families) {
    char host[ADDRESS_TEXT_MAX];
    uint16_t port;
    int error = address_split(text, host, &port);
    if (error != 0) return error;
    bool any = host[0] == 0;
    *both_families = any || strcmp(host, "::") == 0;
    *count = address_known(any ? "::" : host, port, out);
    if (*count > 0) return 0;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *info = NULL;
    if (getaddrinfo(host, NULL, &hints, &info) != 0) return -EADDRNOTAVAIL; // at start, so it may wait
    *count = address_from_info(info, port, out);
    freeaddrinfo(info);
    return *count > 0 ? 0 : -EADDRNOTAVAIL;
}

// ---- accepting
static void on_listen_ready(uv_poll_t *poll, int status, int events);

static void watch(struct io_listener *listener, bool on) {
    for (size_t i = 0; i < listener->sockets; i++) {
        struct listen_socket *socket = &listener->socket[i];
        int error = on ? uv_poll_start(&socket->poll, UV_READABLE, on_listen_ready) : uv_poll_stop(&socket->poll);
        ENSURE(error == 0);
    }
}

static void on_pause_over(struct io_timer *timer) {
    watch(timer->context, true);
}

static void count_refused(struct io_listener *listener) {
    if (listener->refused != NULL) ++*listener->refused;
}

// No descriptors: give up the reserve, take one connection with it and close that, so that its client is told and the
// queue shrinks. If even that fails the listener rests a while: the socket stays ready, and the loop must not spin on
// it.
static bool refuse_with_reserve(struct io_listener *listener, int fd) {
    struct uv_io *io = listener->io;
    int refused = -1;
    if (io->reserve_fd >= 0) {
        close(io->reserve_fd);
        refused = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (refused >= 0) {
            close(refused);
            count_refused(listener);
        }
        io->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (refused >= 0 && io->reserve_fd >= 0) return true;
    watch(listener, false);
    uv_timer_begin(io, &listener->pause, on_pause_over, listener, UV_ACCEPT_PAUSE_US);
    return false;
}

// ---- connections of one host
struct host {
    struct hash_node index;
    size_t connections;
    uint8_t address[16], len;
};

static void host_key(const struct uv_address *remote, struct host *key) {
    bool six = remote->any.sa_family == AF_INET6;
    key->len = six ? 16 : 4;
    memcpy(key->address, six ? (const void *)&remote->v6.sin6_addr : &remote->v4.sin_addr, key->len);
}

static bool host_matches(const struct hash_node *node, const void *key) {
    const struct host *host = CONTAINER_OF_CONST(node, struct host, index), *want = key;
    return host->len == want->len && memcmp(host->address, want->address, want->len) == 0;
}

static struct host *host_find(const struct io_listener *listener, const struct host *key, uint64_t hash) {
    if (listener->hosts.count == 0) return NULL;
    struct hash_node *node = hash_find(&listener->hosts, hash, host_matches, key);
    return node == NULL ? NULL : CONTAINER_OF(node, struct host, index);
}

// False: this host has as many as it may have.
static bool host_enter(struct io_listener *listener, const struct uv_address *remote) {
    if (listener->per_host_max == 0) return true;
    struct host key = {0};
    host_key(remote, &key);
    uint64_t hash = hash_bytes(key.address, key.len, listener->hosts_seed);
    struct host *host = host_find(listener, &key, hash);
    if (host == NULL) {
        host = mem_alloc(sizeof *host);
        *host = key;
        hash_insert(&listener->hosts, &host->index, hash);
    }
    if (host->connections >= listener->per_host_max) return false;
    host->connections++;
    return true;
}

static void host_leave(struct io_listener *listener, const struct uv_address *remote) {
    if (listener->per_host_max == 0) return;
    struct host key = {0};
    host_key(remote, &key);
    struct host *host = host_find(listener, &key, hash_bytes(key.address, key.len, listener->hosts_seed));
    ENSURE(host != NULL && host->connections > 0);
    if (--host->connections > 0) return;
    hash_remove(&listener->hosts, &host->index);
    mem_free(host);
}

static void take_connection(struct io_listener *listener, int fd, const struct uv_address *remote) {
    struct uv_io *io = listener->io;
    bool full = listener->connections_max > 0 && listener->connections >= listener->connections_max;
    if (full || !host_enter(listener, remote)) {
        close(fd);
        count_refused(listener);
        return;
    }
    struct io_conn *conn = conn_new(io, fd);
    if (conn == NULL) {
        host_leave(listener, remote);
        return;
    }
    conn->remote = *remote;
    conn->listener = listener;
    listener->connections++;
    if (listener->tls == NULL) {
        conn_opened(conn);
    } else if (conn_tls_init(conn, listener->tls, NULL) != 0) {
        conn_destroy(conn);
    }
}

static void on_listen_ready(uv_poll_t *poll, int status, int events) {
    struct listen_socket *socket = poll->data;
    struct io_listener *listener = socket->listener;
    // Ten thousand that come back at once: who is taken in is also served soon, and those who say nothing do not count.
    if (listener->tls != NULL && listener->io->handshake_count >= UV_HANDSHAKE_QUEUE_MAX) return;
    for (unsigned i = 0; i < UV_ACCEPT_TURN_MAX && !listener->closed; i++) {
        struct uv_address remote = {0};
        socklen_t len = sizeof remote;
        int fd = accept4(socket->fd, &remote.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            take_connection(listener, fd, &remote);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            if (!refuse_with_reserve(listener, socket->fd)) return;
        } else if (errno == EAGAIN) {
            return;
        } // else this one connection is broken (ECONNABORTED and the like): take the next
    }
}

void conn_opened(struct io_conn *conn) {
    conn->state = CONN_OPEN;
    conn_dirty(conn);
    if (conn->connect != NULL) {
        struct uv_connect *connect = conn->connect;
        conn->connect = NULL;
        connect_finished(connect, conn, 0);
    } else {
        ENSURE(conn->listener != NULL && !conn->listener->closed);
        conn->listener->accepted(conn->listener, conn, conn->listener->context);
    }
}

// ---- start and end
int uv_listen_address(struct io *base, const char *address, const struct io_listen_options *options,
                      io_accepted_fn accepted, void *context, struct io_listener **out) {
    struct uv_io *io = uv_io_of(base);
    ENSURE(accepted != NULL && out != NULL);
    struct uv_address addresses[UV_ADDRESSES_MAX];
    size_t count = 0, bound = 0;
    bool both_families = false;
    int error = listen_addresses(address, addresses, &count, &both_families);
    if (error != 0) return error;
    int fds[UV_ADDRESSES_MAX];
    int tries = count > 1 && address_port(&addresses[0]) == 0 ? SAME_PORT_TRIES : 1;
    do {
        error = bind_all(addresses, count, both_families, fds, &bound);
        if (error != 0 && both_families && no_such_family(error)) { // no IPv6 here: all of IPv4
            uint16_t port = address_port(&addresses[0]);
            count = address_known("0.0.0.0", port, addresses);
            both_families = false;
            tries++;
        }
    } while (error != 0 && --tries > 0);
    if (error != 0) return error;

    struct io_listener *listener = mem_zalloc(sizeof *listener);
    listener->io = io;
    listener->accepted = accepted;
    listener->context = context;
    if (options != NULL && options->tls != NULL) listener->tls = tls_ref(options->tls);
    if (options != NULL) {
        listener->connections_max = options->connections_max;
        listener->per_host_max = options->per_host_max;
        listener->refused = options->refused;
    }
    hash_init(&listener->hosts);
    base->ops->random(base, &listener->hosts_seed, sizeof listener->hosts_seed);
    list_push_back(&io->listeners, &listener->link);
    for (size_t i = 0; i < bound; i++) {
        struct listen_socket *socket = &listener->socket[i];
        socket->fd = fds[i];
        socket->listener = listener;
        if (error == 0) error = uv_poll_init_socket(&io->loop, &socket->poll, fds[i]);
        if (error != 0) {
            close(fds[i]);
            continue;
        }
        socket->poll.data = socket;
        listener->sockets++;
        listener->handles++;
    }
    if (error != 0) {
        listener_shut(listener);
        return error;
    }
    watch(listener, true);
    *out = listener;
    return 0;
}

void uv_listener_address(struct io_listener *listener, char out[ADDRESS_TEXT_MAX]) {
    struct uv_address local;
    socklen_t len = sizeof local;
    out[0] = 0;
    ENSURE(!listener->closed);
    if (getsockname(listener->socket[0].fd, &local.any, &len) == 0) address_text(&local, out);
}

// Freed when it is closed, libuv let go of its handles, and none of its connections is left.
static void listener_free_if_unused(struct io_listener *listener) {
    if (!listener->closed || listener->handles > 0 || listener->connections > 0) return;
    if (listener->tls != NULL) io_tls_free(listener->tls);
    hash_free(&listener->hosts);
    mem_free(listener);
}

static void on_socket_closed(uv_handle_t *handle) {
    struct listen_socket *socket = handle->data;
    socket->listener->handles--;
    listener_free_if_unused(socket->listener);
}

static void let_go(struct io_listener *listener) {
    ENSURE(listener->connections > 0);
    listener->connections--;
    listener_free_if_unused(listener);
}

void listener_leave(struct io_conn *conn) {
    host_leave(conn->listener, &conn->remote);
    let_go(conn->listener);
}

void listener_shut(struct io_listener *listener) {
    ENSURE(!listener->closed);
    struct uv_io *io = listener->io;
    list_remove(&listener->link);
    uv_timer_end(io, &listener->pause);
    listener->connections++; // keeps it until the end of this function
    listener->closed = true;
    for (size_t i = 0; i < listener->sockets; i++) {
        uv_close((uv_handle_t *)&listener->socket[i].poll, on_socket_closed);
        close(listener->socket[i].fd);
    }
    // Handshakes under way have no owner yet.
    for (struct list *at = io->conns.next, *next; at != &io->conns; at = next) {
        next = at->next;
        struct io_conn *conn = CONTAINER_OF(at, struct io_conn, link);
        if (conn->listener == listener && conn->state == CONN_HANDSHAKE) conn_destroy(conn);
    }
    let_go(listener);
}

void uv_listener_close(struct io_listener *listener) {
    listener_shut(listener);
}
