// Connecting: the name is looked up in libuv's pool, then its addresses are tried one after the other.
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io_uv_internal.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct lookup { // outlives a cancelled attempt: libuv answers later
    uv_getaddrinfo_t request;
    struct uv_connect *attempt; // NULL: nobody waits any more
};

struct uv_connect {
    struct list link; // io->connects; first
    struct uv_io *io;
    io_connected_fn connected;
    void *context;
    struct io_tls *tls;
    struct io_timer deadline, begin;
    struct lookup *lookup;
    struct io_conn *conn; // the attempt under way
    struct uv_address addresses[UV_ADDRESSES_MAX];
    size_t count, at;
    int error; // of the last address tried
    uint16_t port;
    char host[ADDRESS_TEXT_MAX];
};

static void connect_free(struct uv_connect *attempt) {
    list_remove(&attempt->link);
    uv_timer_end(attempt->io, &attempt->deadline);
    uv_timer_end(attempt->io, &attempt->begin);
    if (attempt->lookup != NULL) {
        attempt->lookup->attempt = NULL;
        uv_cancel((uv_req_t *)&attempt->lookup->request); // if it has begun, its answer is dropped
    }
    if (attempt->tls != NULL) io_tls_free(attempt->tls);
    mem_free(attempt);
}

void connect_drop(struct uv_connect *attempt) {
    struct io_conn *conn = attempt->conn;
    attempt->conn = NULL;
    if (conn != NULL) {
        conn->connect = NULL;
        conn_destroy(conn);
    }
    connect_free(attempt);
}

static void connect_next(struct uv_connect *attempt);

void connect_finished(struct uv_connect *attempt, struct io_conn *conn, int error) {
    ENSURE((conn == NULL) == (error < 0));
    io_connected_fn connected = attempt->connected;
    void *context = attempt->context;
    attempt->conn = NULL;
    connect_drop(attempt);
    connected(conn, error, context);
}

static void on_deadline(struct io_timer *timer) {
    struct uv_connect *attempt = timer->context;
    struct io_conn *conn = attempt->conn;
    attempt->conn = NULL;
    if (conn != NULL) conn_destroy(conn);
    connect_finished(attempt, NULL, -ETIMEDOUT);
}

// A port of our own choosing may be the very one we connect to, when nobody listens there: TCP then connects the socket
// to itself. For a peer on the same machine that is down, this would look like a peer that echoes.
static bool is_self(int fd, const struct uv_address *remote) {
    struct uv_address local = {0};
    socklen_t len = sizeof local;
    if (getsockname(fd, &local.any, &len) != 0 || local.any.sa_family != remote->any.sa_family) return false;
    if (address_port(&local) != address_port(remote)) return false;
    if (local.any.sa_family == AF_INET) return local.v4.sin_addr.s_addr == remote->v4.sin_addr.s_addr;
    return memcmp(&local.v6.sin6_addr, &remote->v6.sin6_addr, sizeof local.v6.sin6_addr) == 0;
}

void connect_writable(struct io_conn *conn) {
    struct uv_connect *attempt = conn->connect;
    ENSURE(attempt != NULL && attempt->conn == conn);
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
    if (error == 0 && is_self(conn->fd, &conn->remote)) error = ECONNREFUSED;
    if (error == 0 && attempt->tls != NULL) error = -conn_tls_init(conn, attempt->tls, attempt->host);
    if (error != 0) {
        attempt->conn = NULL;
        attempt->error = -error;
        conn_destroy(conn);
        connect_next(attempt);
        return;
    }
    if (conn->tls == NULL) conn_opened(conn);
}

static int connect_open(struct uv_connect *attempt, const struct uv_address *address) {
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (connect(fd, &address->any, address_bytes(address)) != 0 && errno != EINPROGRESS) {
        int error = -errno;
        close(fd);
        return error;
    }
    struct io_conn *conn = conn_new(attempt->io, fd);
    if (conn == NULL) return -ENOMEM;
    conn->state = CONN_CONNECTING;
    conn->remote = *address;
    conn->connect = attempt;
    attempt->conn = conn;
    conn_dirty(conn); // watched from the end of the turn
    return 0;
}

static void connect_next(struct uv_connect *attempt) {
    while (attempt->at < attempt->count) {
        int error = connect_open(attempt, &attempt->addresses[attempt->at++]);
        if (error == 0) return;
        attempt->error = error;
    }
    connect_finished(attempt, NULL, attempt->error);
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *info) {
    struct lookup *lookup = (struct lookup *)(void *)request;
    struct uv_connect *attempt = lookup->attempt;
    if (attempt != NULL) {
        attempt->lookup = NULL;
        if (status == 0) attempt->count = address_from_info(info, attempt->port, attempt->addresses);
        attempt->error = -EHOSTUNREACH; // the name is unknown
        connect_next(attempt);
    }
    uv_freeaddrinfo(info);
    mem_free(lookup);
}

static void on_begin(struct io_timer *timer) {
    struct uv_connect *attempt = timer->context;
    attempt->count = address_known(attempt->host, attempt->port, attempt->addresses);
    if (attempt->count > 0) {
        connect_next(attempt);
        return;
    }
    struct lookup *lookup = mem_zalloc(sizeof *lookup);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int error = uv_getaddrinfo(&attempt->io->loop, &lookup->request, on_lookup, attempt->host, NULL, &hints);
    if (error != 0) {
        mem_free(lookup);
        connect_finished(attempt, NULL, -EHOSTUNREACH);
        return;
    }
    lookup->attempt = attempt;
    attempt->lookup = lookup;
}

int uv_connect_address(struct io *base, const char *address, struct io_tls *tls, uint64_t timeout_us,
                       io_connected_fn connected, void *context, void **pending) {
    struct uv_io *io = uv_io_of(base);
    ENSURE(connected != NULL && pending != NULL);
    char host[ADDRESS_TEXT_MAX];
    uint16_t port;
    int error = address_split(address, host, &port);
    if (error != 0) return error;
    if (host[0] == 0 || port == 0) return -EINVAL;
    struct uv_connect *attempt = mem_zalloc(sizeof *attempt);
    attempt->io = io;
    attempt->connected = connected;
    attempt->context = context;
    attempt->tls = tls != NULL ? tls_ref(tls) : NULL;
    attempt->port = port;
    memcpy(attempt->host, host, sizeof host);
    list_push_back(&io->connects, &attempt->link);
    uv_timer_begin(io, &attempt->deadline, on_deadline, attempt, timeout_us);
    uv_timer_begin(io, &attempt->begin, on_begin, attempt,
                   0); // in a turn of its own: no callback from inside this call
    *pending = attempt;
    return 0;
}

void uv_connect_cancel(struct io *base, void *pending) {
    struct uv_connect *attempt = pending;
    ENSURE(attempt->io == uv_io_of(base));
    connect_drop(attempt);
}
