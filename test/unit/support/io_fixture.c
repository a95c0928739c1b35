#include "test/unit/support/io_fixture.h"
#include "base/alloc.h"
#include "base/assert.h"
#include <string.h>

#define PATIENCE_US 20000000u

bool io_fixture_shared_turns;

void io_fixture_open(struct io_fixture *f, const char *journal_thread_name) {
    struct io_uv_options options = {.journal_thread_name = journal_thread_name,
                                    .shared_turns = io_fixture_shared_turns};
    memset(f, 0, sizeof *f);
    f->io = io_uv_new(&options);
    ENSURE(f->io != NULL);
}

void io_fixture_close(struct io_fixture *f) {
    io_uv_free(f->io);
    f->io = NULL;
}

static void on_turn(void *context) {
    struct io_fixture *f = context;
    if (!f->done && f->condition(f->context)) f->done = true;
    if (f->done) io_uv_stop(f->io);
}

static void on_watchdog(struct io_timer *timer) {
    struct io_fixture *f = timer->context;
    f->late = true;
    io_uv_stop(f->io);
}

bool run_until(struct io_fixture *f, bool (*condition)(void *context), void *context) {
    if (condition(context)) return true;
    f->condition = condition;
    f->context = context;
    f->late = f->done = false;
    f->watchdog.fire = on_watchdog;
    f->watchdog.context = f;
    f->io->ops->timer_start(f->io, &f->watchdog, PATIENCE_US);
    f->io->ops->set_turn_hook(f->io, on_turn, f);
    do {
        io_uv_run(f->io); // a stop of the time before may end it at once
    } while (!f->late && !f->done);
    f->io->ops->timer_stop(f->io, &f->watchdog);
    f->io->ops->set_turn_hook(f->io, NULL, NULL);
    return f->done;
}

struct count_condition {
    const int *count;
    int at_least;
};
static bool count_reached(void *context) {
    const struct count_condition *c = context;
    return *c->count >= c->at_least;
}
bool run_until_count(struct io_fixture *f, const int *count, int at_least) {
    struct count_condition c = {count, at_least};
    return run_until(f, count_reached, &c);
}

static bool is_set(void *context) {
    return **(const bool **)context;
}
bool run_until_set(struct io_fixture *f, const bool *flag) {
    return run_until(f, is_set, &flag);
}

struct turns {
    struct io_fixture *f;
    struct io_timer timer;
    int left;
};
static void on_turns_timer(struct io_timer *timer) {
    struct turns *t = timer->context;
    if (--t->left > 0) t->f->io->ops->timer_start(t->f->io, timer, 0);
}
static bool no_turns_left(void *context) {
    return ((struct turns *)context)->left <= 0;
}
void run_turns(struct io_fixture *f, int turns) {
    struct turns t = {.f = f, .left = turns, .timer = {.fire = on_turns_timer}};
    ENSURE(turns > 0);
    t.timer.context = &t;
    f->io->ops->timer_start(f->io, &t.timer, 0);
    bool ok = run_until(f, no_turns_left, &t);
    ENSURE(ok);
}

// ---- peers
// The context is only reachable through the loop's table, so each peer's connection is looked up with its own loop's:
// all tests use the production one.
static struct peer *peer_of(struct io_conn *conn);

static void on_read(struct io_conn *conn, const uint8_t *data, size_t len) {
    struct peer *p = peer_of(conn);
    ENSURE(p->conn == conn && !p->closed);
    p->reads++;
    write_span(&p->got, bytes_of(data, len));
    if (p->echo) p->f->io->ops->conn_write(conn, data, len);
    if (p->stop_after_read) p->f->io->ops->conn_read_stop(conn);
}

static void on_closed(struct io_conn *conn, int error) {
    struct peer *p = peer_of(conn);
    ENSURE(p->conn == conn);
    p->closed = true;
    p->closings++;
    p->error = error;
    if (p->close_on_end) peer_close(p, true);
}

static void on_drained(struct io_conn *conn) {
    peer_of(conn)->drained++;
}

static const struct io_conn_handler peer_handler = {.read = on_read, .closed = on_closed, .drained = on_drained};

// Every production loop has the same table; any gives it.
static const struct io_ops *production_ops(void) {
    static _Thread_local const struct io_ops *ops;
    if (ops == NULL) {
        struct io_uv_options options = {0};
        struct io *io = io_uv_new(&options);
        ENSURE(io != NULL);
        ops = io->ops;
        io_uv_free(io);
    }
    return ops;
}

static struct peer *peer_of(struct io_conn *conn) {
    return production_ops()->conn_context(conn);
}

void peer_take(struct peer *p, struct io_fixture *f, struct io_conn *conn, size_t low_water) {
    p->f = f;
    p->conn = conn;
    p->open = true;
    f->io->ops->conn_start(conn, &peer_handler, p, low_water);
}

static void on_connected(struct io_conn *conn, int error, void *context) {
    struct peer *p = context;
    p->pending = NULL;
    p->error = error;
    if (conn == NULL)
        p->failed = true;
    else
        peer_take(p, p->f, conn, 65536);
}

int peer_connect(struct peer *p, struct io_fixture *f, const char *address, struct io_tls *tls, uint64_t timeout_us) {
    p->f = f;
    return f->io->ops->connect(f->io, address, tls, timeout_us, on_connected, p, &p->pending);
}

static bool got_enough(void *context) {
    const struct peer *p = context;
    return p->got.len >= p->wanted;
}
bool run_until_got(struct peer *p, size_t bytes) {
    p->wanted = bytes;
    return run_until(p->f, got_enough, p);
}

void peer_close(struct peer *p, bool flush) {
    if (p->conn != NULL) p->f->io->ops->conn_close(p->conn, flush);
    p->conn = NULL;
}

void peer_free(struct peer *p) {
    peer_close(p, false);
    writer_free(&p->got);
}

// ---- listeners
static void on_accepted(struct io_listener *listener, struct io_conn *conn, void *context) {
    struct acceptor *a = context;
    ENSURE(a->count < a->max);
    struct peer *p = &a->peers[a->count++];
    p->echo = a->echo;
    peer_take(p, a->f, conn, a->low_water);
}

int acceptor_open(struct acceptor *a, struct io_fixture *f, const char *address,
                  const struct io_listen_options *options, int max) {
    memset(a, 0, sizeof *a);
    a->f = f;
    a->max = max;
    a->low_water = 65536;
    int error = f->io->ops->listen(f->io, address, options, on_accepted, a, &a->listener);
    if (error != 0) return error;
    a->peers = mem_zalloc((size_t)max * sizeof *a->peers);
    f->io->ops->listener_address(a->listener, a->address);
    return 0;
}

void acceptor_close(struct acceptor *a) {
    if (a->listener != NULL) a->f->io->ops->listener_close(a->listener);
    for (int i = 0; i < a->count; i++) peer_free(&a->peers[i]);
    mem_free(a->peers);
    a->peers = NULL;
    a->listener = NULL;
}
