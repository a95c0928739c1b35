// Connections: one read(2) into the loop's buffer for each ready one, one sendmsg(2) for each with output at the end of
// the turn. The sockets are ours and libuv only watches them (uv_poll): so a half-open end, an exact errno and the
// order of close are in our hands, and an idle connection owns no buffers.
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io_uv_internal.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_poll(uv_poll_t *poll, int status, int events);

struct io_conn *conn_new(struct uv_io *io, int fd) {
    ENSURE(fd >= 0);
    struct io_conn *conn = mem_zalloc(sizeof *conn);
    if (uv_poll_init_socket(&io->loop, &conn->poll, fd) != 0) {
        close(fd);
        mem_free(conn);
        return NULL;
    }
    conn->poll.data = conn;
    conn->io = io;
    conn->fd = fd;
    conn->state = CONN_OPEN;
    list_init(&conn->dirty);
    list_push_back(&io->conns, &conn->link);
    return conn;
}

static void on_poll_closed(uv_handle_t *handle) {
    struct io_conn *conn = handle->data;
    ENSURE(conn->state == CONN_DEAD);
    mem_free(conn);
}

void conn_destroy(struct io_conn *conn) {
    ENSURE(conn->state != CONN_DEAD);
    struct uv_io *io = conn->io;
    if (conn->tls != NULL) conn_tls_free(conn);
    conn->state = CONN_DEAD;
    conn->handler = NULL;
    conn->reading = false;
    uv_timer_end(io, &conn->timer);
    list_remove(&conn->link);
    list_remove(&conn->dirty);
    out_clear(&io->stock, &conn->out);
    uv_close((uv_handle_t *)&conn->poll, on_poll_closed); // frees conn at the end of this turn
    close(conn->fd);
    conn->fd = -1;
    if (conn->listener != NULL) listener_leave(conn);
    conn->listener = NULL;
}

void conn_dirty(struct io_conn *conn) {
    if (list_empty(&conn->dirty)) list_push_back(&conn->io->dirty, &conn->dirty);
}

size_t conn_waiting(const struct io_conn *conn) {
    size_t bytes = conn->out.bytes;
    if (conn->tls != NULL) bytes += conn_tls_clear((struct io_conn *)(uintptr_t)conn)->bytes;
    return bytes;
}

// ---- which events are watched
static int wanted_events(const struct io_conn *conn) {
    if (conn->error != 0) return 0;
    int writable = conn->blocked ? UV_WRITABLE : 0;
    switch ((enum conn_state)conn->state) {
    case CONN_CONNECTING:
        return UV_WRITABLE;
    case CONN_HANDSHAKE:
        return conn_tls_waits(conn) ? 0 : UV_READABLE | writable;
    case CONN_OPEN:
        if (conn->handler == NULL || conn->ended) return writable;
        if (conn->reading) return UV_READABLE | writable;
        return (conn->hangup ? 0 : UV_DISCONNECT) | writable; // a reset is noticed while reading is stopped
    case CONN_FLUSHING:
        return writable;
    case CONN_LINGER:
        return UV_READABLE;
    case CONN_DEAD:
        break;
    }
    UNREACHABLE();
}

void conn_arm(struct io_conn *conn) {
    int events = wanted_events(conn);
    if (events == conn->armed) return;
    int error = events == 0 ? uv_poll_stop(&conn->poll) : uv_poll_start(&conn->poll, events, on_poll);
    ENSURE(error == 0);
    conn->armed = (uint8_t)events;
}

// ---- the end
static void tell_closed(struct io_conn *conn, int error) {
    if (conn->told || conn->handler == NULL) return;
    conn->told = error != 0; // behind an orderly end of the other side, an error of ours is still told
    conn->handler->closed(conn, error);
}

void conn_fail(struct io_conn *conn, int error) {
    ENSURE(error < 0);
    if (conn->state == CONN_CONNECTING || conn->state == CONN_HANDSHAKE) {
        struct uv_connect *connect = conn->connect;
        conn_destroy(conn);
        if (connect != NULL) connect_finished(connect, NULL, error);
        return;
    }
    if (conn->state == CONN_FLUSHING || conn->state == CONN_LINGER) {
        conn_destroy(conn);
        return;
    }
    ENSURE(conn->state == CONN_OPEN);
    if (conn->error == 0) conn->error = error;
    out_clear(&conn->io->stock, &conn->out);
    if (conn->tls != NULL) out_clear(&conn->io->stock, conn_tls_clear(conn));
    conn_dirty(conn);
    conn_arm(conn);
    tell_closed(conn, conn->error); // last: the owner may close it
}

void conn_end(struct io_conn *conn) {
    ENSURE(conn->state == CONN_OPEN);
    conn->ended = true;
    conn_dirty(conn);
    // At once: a thousand that ended and are still watched make libuv look 48 times in a turn, and see the same each
    // time.
    conn_arm(conn);
    tell_closed(conn, 0);
}

static int socket_error(int fd) {
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) return -errno;
    return error != 0 ? -error : -ECONNRESET;
}

// ---- input
static void read_ready(struct io_conn *conn) {
    struct uv_io *io = conn->io;
    ssize_t n;
    do {
        n = recv(conn->fd, io->read_buf, UV_READ_BYTES, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN) conn_fail(conn, -errno);
    } else if (n == 0) {
        conn_end(conn);
    } else if (conn->tls != NULL) {
        conn_tls_input(conn, io->read_buf, (size_t)n);
    } else {
        conn->handler->read(conn, io->read_buf, (size_t)n);
    }
}

// After our side is shut: whatever still comes is dropped, until the end.
static void linger_ready(struct io_conn *conn) {
    ssize_t n = recv(conn->fd, conn->io->read_buf, UV_READ_BYTES, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) conn_destroy(conn);
}

static void open_ready(struct io_conn *conn, int status, int events) {
    if (events & UV_WRITABLE) {
        conn->blocked = false;
        conn_dirty(conn);
    }
    if (conn->reading && !conn->ended) {
        if (events & UV_READABLE) read_ready(conn);
    } else if (status < 0) {
        conn_fail(conn, socket_error(conn->fd));
    } else if (events & UV_DISCONNECT) {
        conn->hangup = true; // what came before the end is still read once reading starts again
        conn_dirty(conn);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct io_conn *conn = poll->data;
    if (status < 0) { // POLLERR: libuv has stopped watching
        conn->armed = 0;
        events = UV_READABLE | UV_WRITABLE;
        conn_dirty(conn);
    }
    switch ((enum conn_state)conn->state) {
    case CONN_CONNECTING:
        connect_writable(conn);
        return;
    case CONN_HANDSHAKE:
        if (events & UV_WRITABLE) {
            conn->blocked = false;
            conn_dirty(conn);
        }
        if (events & UV_READABLE) conn_tls_ready(conn);
        return;
    case CONN_OPEN:
        open_ready(conn, status, events);
        return;
    case CONN_FLUSHING:
        if (status < 0) {
            conn_destroy(conn);
            return;
        }
        conn->blocked = false;
        conn_dirty(conn);
        return;
    case CONN_LINGER:
        linger_ready(conn);
        return;
    case CONN_DEAD:
        break;
    }
    UNREACHABLE();
}

// ---- output
void conn_send(struct io_conn *conn) {
    struct out_stock *stock = &conn->io->stock;
    size_t sent = 0;
    while (conn->error == 0 && !conn->blocked) {
        if (conn->tls != NULL) conn_tls_encrypt(conn);
        if (conn->out.bytes == 0) return;
        if (sent >= UV_OUT_TURN_MAX) {
            conn_dirty(conn); // the rest in the next turn, which does not wait
            return;
        }
        struct iovec iov[UV_IOV_MAX];
        size_t bytes = 0;
        struct msghdr message = {.msg_iov = iov};
        message.msg_iovlen = (size_t)out_gather(&conn->out, iov, UV_IOV_MAX, &bytes);
        ssize_t n = sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == ENOBUFS) {
                conn->blocked = true;
            } else {
                conn->error = -errno;
                conn_dirty(conn); // told at the end of the turn
            }
            return;
        }
        out_consume(stock, &conn->out, (size_t)n);
        sent += (size_t)n;
        if ((size_t)n < bytes) conn->blocked = true; // the kernel's buffer is full
    }
}

static void flush_done(struct io_conn *conn) {
    if (conn->ended || shutdown(conn->fd, SHUT_WR) != 0) {
        conn_destroy(conn);
        return;
    }
    conn->state = CONN_LINGER;
    uv_timer_begin(conn->io, &conn->timer, conn->timer.fire, conn, UV_LINGER_US);
    conn_arm(conn);
}

// What is to be done with a connection at the end of the turn.
static void conn_service(struct io_conn *conn) {
    if (conn->tls != NULL && conn->state == CONN_OPEN && conn->reading && !conn->ended) conn_tls_resume(conn);
    if (conn->state == CONN_DEAD) return;
    if (conn->state != CONN_CONNECTING) conn_send(conn);
    if (conn->error != 0 && (conn->state != CONN_OPEN || (conn->handler != NULL && !conn->told))) {
        conn_fail(conn, conn->error);
        if (conn->state == CONN_DEAD) return;
    }
    if (conn->state == CONN_FLUSHING && conn_waiting(conn) == 0 && (conn->tls == NULL || conn_tls_notified(conn))) {
        flush_done(conn);
        return;
    }
    if (conn->over && conn->state == CONN_OPEN && conn_waiting(conn) <= conn->low_water) {
        conn->over = false;
        if (conn->error == 0 && conn->handler != NULL && conn->handler->drained != NULL) conn->handler->drained(conn);
        if (conn->state == CONN_DEAD) return;
    }
    conn_arm(conn);
}

// Moves all nodes of `from` to the front of `to`.
static void move_front(struct list *from, struct list *to) {
    while (!list_empty(from)) {
        struct list *node = from->prev;
        list_remove(node);
        list_push_front(to, node);
    }
}

void conns_flush(struct uv_io *io) {
    unsigned left = UV_FLUSH_TURN_MAX;
    // Twice: what owners queue while they are told `drained` leaves in this turn too. What comes then waits for the
    // next.
    for (int round = 0; round < 2 && left > 0 && !list_empty(&io->dirty); round++) {
        struct list work;
        list_init(&work);
        list_insert_before(io->dirty.next, &work); // the head moves: work takes io->dirty's nodes
        list_remove(&io->dirty);
        for (; left > 0 && !list_empty(&work); left--) {
            struct io_conn *conn = CONTAINER_OF(work.next, struct io_conn, dirty);
            list_remove(&conn->dirty);
            conn_service(conn);
        }
        move_front(&work, &io->dirty); // over the budget: first in the next turn, which does not wait
    }
}

static void on_close_timeout(struct io_timer *timer) {
    conn_destroy(timer->context);
}

void conn_linger_start(struct io_conn *conn) {
    if (conn->tls != NULL) conn_tls_want_notify(conn);
    conn->state = CONN_FLUSHING;
    conn->handler = NULL;
    conn->reading = false;
    uv_timer_begin(conn->io, &conn->timer, on_close_timeout, conn, UV_FLUSH_US);
    conn_dirty(conn);
}

// ---- what the owner calls
void uv_conn_start(struct io_conn *conn, const struct io_conn_handler *handler, void *context, size_t low_water) {
    ENSURE(conn->state == CONN_OPEN && conn->handler == NULL);
    ENSURE(handler->read != NULL && handler->closed != NULL);
    conn->handler = handler;
    conn->context = context;
    conn->low_water = low_water;
    conn->reading = true;
    conn->over = conn_waiting(conn) > low_water;
    conn_dirty(conn);
}

void *uv_conn_context(struct io_conn *conn) {
    return conn->context;
}

void uv_conn_info(struct io_conn *conn, struct io_conn_info *info) {
    memset(info, 0, sizeof *info);
    address_text(&conn->remote, info->remote);
    struct uv_address local;
    socklen_t len = sizeof local;
    if (getsockname(conn->fd, &local.any, &len) == 0) address_text(&local, info->local);
    info->tls = conn->tls != NULL;
    if (conn->tls != NULL) conn_tls_info(conn, info);
}

static struct out_queue *writable_queue(struct io_conn *conn) {
    ENSURE(conn->state == CONN_OPEN);
    if (conn->error != 0) return NULL;
    return conn->tls != NULL ? conn_tls_clear(conn) : &conn->out;
}

static void queued(struct io_conn *conn) {
    size_t bytes = conn_waiting(conn);
    if (bytes > conn->low_water) conn->over = true;
    if (conn->blocked) return; // the socket says when
    conn_dirty(conn);
    if (bytes >= UV_OUT_AT_ONCE) conn_send(conn);
}

void uv_conn_write(struct io_conn *conn, const void *data, size_t len) {
    struct out_queue *queue = writable_queue(conn);
    if (queue == NULL || len == 0) return;
    out_append(&conn->io->stock, queue, data, len);
    queued(conn);
}

void uv_conn_write_buf(struct io_conn *conn, struct buf *buf, size_t offset, size_t len) {
    struct out_queue *queue = writable_queue(conn);
    if (queue == NULL || len == 0) return;
    out_append_buf(&conn->io->stock, queue, buf, offset, len);
    queued(conn);
}

size_t uv_conn_pending(struct io_conn *conn) {
    return conn_waiting(conn);
}

void uv_conn_read_stop(struct io_conn *conn) {
    ENSURE(conn->state == CONN_OPEN);
    if (!conn->reading) return;
    conn->reading = false;
    conn_dirty(conn);
}

void uv_conn_read_start(struct io_conn *conn) {
    ENSURE(conn->state == CONN_OPEN && conn->handler != NULL);
    if (conn->reading) return;
    conn->reading = true;
    conn_dirty(conn);
}

void uv_conn_close(struct io_conn *conn, bool flush) {
    ENSURE(conn->state == CONN_OPEN);
    if (!flush || conn->error != 0) {
        conn_destroy(conn);
        return;
    }
    conn_linger_start(conn);
}
