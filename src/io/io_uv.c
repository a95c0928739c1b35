// The loop on libuv: turns, timers, wakes, start and end. The order of a turn stands in io_uv_internal.h.
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io_uv_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

// ---- clocks and chance
uint64_t uv_now_us(struct io *io) {
    struct timespec now;
    int error = clock_gettime(CLOCK_MONOTONIC, &now);
    ENSURE(error == 0);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static int64_t uv_unix_ms(struct io *io) {
    struct timespec now;
    int error = clock_gettime(CLOCK_REALTIME, &now);
    ENSURE(error == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void uv_random_bytes(struct io *io, void *bytes, size_t len) {
    uint8_t *at = bytes;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        ENSURE(n > 0 || errno == EINTR); // before the kernel's pool is ready it waits, it does not fail
        if (n <= 0) continue;
        at += n;
        len -= (size_t)n;
    }
}

// ---- timers: a heap of our own, in microseconds
struct timer_slot {
    struct heap_item item; // first
    struct io_timer *timer;
};

static void timer_start(struct io *base, struct io_timer *timer, uint64_t delay_us) {
    struct uv_io *io = uv_io_of(base);
    ENSURE(timer->fire != NULL);
    struct timer_slot *slot = timer->impl;
    if (slot == NULL) {
        slot = pool_take(&io->timer_pool);
        memset(slot, 0, sizeof *slot);
        slot->timer = timer;
        timer->impl = slot;
    }
    ENSURE(slot->timer == timer);
    uint64_t now = uv_now_us(base);
    uint64_t time = delay_us > UINT64_MAX - now ? UINT64_MAX : now + delay_us;
    heap_set(&io->timers, &slot->item, time, io->timer_serial++);
}

static void timer_stop(struct io *base, struct io_timer *timer) {
    struct uv_io *io = uv_io_of(base);
    struct timer_slot *slot = timer->impl;
    if (slot == NULL) return;
    ENSURE(slot->timer == timer);
    heap_remove(&io->timers, &slot->item);
    timer->impl = NULL;
    pool_give(&io->timer_pool, slot);
}

void uv_timer_begin(struct uv_io *io, struct io_timer *timer, void (*fire)(struct io_timer *), void *context,
                    uint64_t delay_us) {
    timer->fire = fire;
    timer->context = context;
    timer_start(&io->io, timer, delay_us);
}

void uv_timer_end(struct uv_io *io, struct io_timer *timer) {
    timer_stop(&io->io, timer);
}

static void fire_timers(struct uv_io *io) {
    struct heap_item *first = heap_first(&io->timers);
    if (first == NULL) return;
    // Read once: a timer that starts itself anew with no delay waits for the next turn.
    uint64_t now = uv_now_us(&io->io), serial = io->timer_serial;
    while (first != NULL && first->time <= now && first->tie < serial) {
        struct timer_slot *slot = (struct timer_slot *)(void *)first;
        struct io_timer *timer = slot->timer;
        timer_stop(&io->io, timer);
        timer->fire(timer);
        if (uv_now_us(&io->io) - now >= UV_TIMERS_TURN_US) break;
        first = heap_first(&io->timers);
    }
}

// ---- the bell: wakes, disk completions and the stop come from other threads. While the loop is busy they only set
// flags, which it looks at in every turn; a system call (the eventfd) is made only for a loop that sleeps. Either the
// loop sees `rung` before it sleeps, or the ringer sees `sleeping`: both write first and read then, sequentially
// consistent.
//
// uv_async_t is not used: its receiver spins while the sender is still inside its write(2), which on two cores cost
// each loop three to five per cent.
static bool stand_in(struct uv_io *io); // false: the loop's thread must be woken

static void wake_thread(struct uv_io *io) {
    uint64_t one = 1;
    ssize_t written = write(io->bell.fd, &one, sizeof one);
    ENSURE(written == sizeof one || errno == EAGAIN); // EAGAIN: the counter is full, so the loop is woken anyhow
}

void bell_ring(struct uv_io *io) {
    atomic_store(&io->bell.rung, true);
    if (!atomic_load(&io->bell.sleeping) || !atomic_exchange(&io->bell.sleeping, false)) return;
    if (!io->shared_turns || !stand_in(io)) wake_thread(io);
}

static void on_bell(uv_poll_t *poll, int status, int events) {
    struct uv_io *io = poll->data;
    uint64_t count;
    ssize_t n = read(io->bell.fd, &count, sizeof count);
    (void)n; // what was announced is looked at in on_check
}

struct wake_slot {
    struct list link;
    struct uv_io *io;
    struct io_wake *wake;
    _Atomic bool pending;
    uint64_t round; // of the newest call: one that signals itself waits for the next turn
};

static int wake_init(struct io *base, struct io_wake *wake) {
    struct uv_io *io = uv_io_of(base);
    ENSURE(wake->woken != NULL);
    struct wake_slot *slot = mem_zalloc(sizeof *slot);
    slot->io = io;
    slot->wake = wake;
    list_push_back(&io->wakes, &slot->link);
    wake->io = base;
    wake->impl = slot;
    return 0;
}

static void wake_signal(struct io_wake *wake) {
    struct wake_slot *slot = wake->impl;
    if (atomic_exchange(&slot->pending, true)) return; // announced, and not yet called
    bell_ring(slot->io);
}

static void wake_close(struct io_wake *wake) {
    struct wake_slot *slot = wake->impl;
    if (slot == NULL) return;
    wake->impl = NULL;
    list_remove(&slot->link);
    mem_free(slot);
}

static void answer_bell(struct uv_io *io) {
    atomic_store(&io->bell.sleeping, false);
    if (!atomic_exchange(&io->bell.rung, false)) return;
    if (atomic_exchange(&io->bell.stop, false)) {
        io->stopped = io->shared_turns;
        if (!io->shared_turns) uv_stop(&io->loop);
    }
    disk_completed(io);
    uint64_t round = ++io->bell.rounds;
    struct list *at = io->wakes.next;
    while (at != &io->wakes) {
        struct wake_slot *slot = CONTAINER_OF(at, struct wake_slot, link);
        at = at->next;
        if (slot->round == round || !atomic_load(&slot->pending)) continue;
        slot->round = round;
        atomic_store(&slot->pending, false);
        slot->wake->woken(slot->wake);
        at = io->wakes.next; // the call may have closed any of them
    }
}

// ---- turns
static void set_turn_hook(struct io *base, void (*turn)(void *context), void *context) {
    struct uv_io *io = uv_io_of(base);
    io->turn = turn;
    io->turn_context = context;
}

static void on_check(uv_check_t *check) {
    struct uv_io *io = check->data;
    if (io->closing) return;
    answer_bell(io);
    fire_timers(io);
    tls_handshakes(io);
    if (io->turn != NULL) io->turn(io->turn_context);
    conns_flush(io);
}

static void on_tick(uv_timer_t *tick) {} // it only ends the sleep

// How long the loop may sleep. `sleeping` is set first and `rung` read then (the bell, above).
static uint64_t sleep_ms(struct uv_io *io) {
    uint64_t ms = UV_SLEEP_MS_MAX;
    const struct heap_item *first = heap_first(&io->timers);
    if (!list_empty(&io->dirty) || io->handshake_count > 0) {
        ms = 0;
    } else if (first != NULL) {
        uint64_t now = uv_now_us(&io->io);
        uint64_t wait_us = first->time > now ? first->time - now : 0;
        if (wait_us < UV_SLEEP_MS_MAX * 1000u) ms = (wait_us + 999) / 1000; // up: epoll counts in ms, and never early
    }
    atomic_store(&io->bell.sleeping, true);
    return atomic_load(&io->bell.rung) ? 0 : ms;
}

static void on_prepare(uv_prepare_t *prepare) {
    struct uv_io *io = prepare->data;
    if (io->closing || io->shared_turns) return;
    int error = uv_timer_start(&io->tick, on_tick, sleep_ms(io), 0);
    ENSURE(error == 0);
}

// ---- turns by others. A hand-over to a loop that sleeps costs a system call, a switch and the time until its thread
// runs; on few cores that is most of what a small turn costs. So whoever has news for it runs the turn itself: the
// service loop that of the replication loop with its commands, the journal thread the same with its completions.
//
// `sleeping` is a claim: who takes it back owes the loop a turn, by itself or by waking the loop's thread. `turns`
// keeps two turns apart. The loop sleeps in poll(2) on libuv's descriptor, so that libuv itself is only touched under
// the lock.
//
// Only loops and journal threads stand in: others may hold a lock that the turn wants. Sockets and timers stay with the
// loop's thread. When a timer is due nobody stands in: a process that was paused reads
// what its peers sent before any time-out judges them (io_uv_internal.h).
static _Thread_local bool may_stand_in;

void stand_in_allow(bool allowed) {
    may_stand_in = allowed;
}

static bool timer_due(const struct uv_io *io) {
    const struct heap_item *first = heap_first(&io->timers);
    return first != NULL && first->time <= uv_now_us(NULL) + UV_STAND_IN_MARGIN_US;
}

// What a turn left behind that only the loop's thread can do.
static bool thread_needed(const struct uv_io *io) {
    const struct heap_item *first = heap_first(&io->timers);
    return io->stopped || !list_empty(&io->dirty) || io->handshake_count > 0 || uv_backend_timeout(&io->loop) == 0 ||
           (first != NULL && first->time + 1000u < io->sleeps_until_us);
}

// The caller has the claim; with false it still has it.
static bool stand_in(struct uv_io *io) {
    if (!may_stand_in) return false;
    for (unsigned turn = 0; turn < UV_STAND_IN_TURNS_MAX; turn++) {
        if (pthread_mutex_trylock(&io->turns) != 0) return false;
        bool may = io->running && io->turn != NULL && !timer_due(io);
        if (may) {
            answer_bell(io);
            if (io->turn != NULL) io->turn(io->turn_context);
            conns_flush(io);
        }
        bool needed = !may || thread_needed(io);
        pthread_mutex_unlock(&io->turns);
        if (needed) return false;
        atomic_store(&io->bell.sleeping, true);
        if (!atomic_load(&io->bell.rung) || !atomic_exchange(&io->bell.sleeping, false)) return true;
    }
    return false;
}

static void run_shared(struct uv_io *io) {
    pthread_mutex_lock(&io->turns);
    io->running = true;
    while (!io->stopped) {
        uint64_t ms = sleep_ms(io);
        if (uv_backend_timeout(&io->loop) == 0) ms = 0; // libuv has something to do before it can wait
        io->sleeps_until_us = uv_now_us(&io->io) + ms * 1000u;
        pthread_mutex_unlock(&io->turns);
        struct pollfd ready = {.fd = uv_backend_fd(&io->loop), .events = POLLIN};
        if (ms > 0) poll(&ready, 1, (int)ms);
        pthread_mutex_lock(&io->turns);
        atomic_store(&io->bell.sleeping, false);
        uv_run(&io->loop, UV_RUN_NOWAIT);
    }
    io->running = io->stopped = false;
    pthread_mutex_unlock(&io->turns);
}

// ---- the table
static const struct io_ops uv_ops = {
    .now_us = uv_now_us,
    .unix_ms = uv_unix_ms,
    .random = uv_random_bytes,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .wake_init = wake_init,
    .wake_signal = wake_signal,
    .wake_close = wake_close,
    .set_turn_hook = set_turn_hook,
    .listen = uv_listen_address,
    .listener_address = uv_listener_address,
    .listener_close = uv_listener_close,
    .connect = uv_connect_address,
    .connect_cancel = uv_connect_cancel,
    .conn_start = uv_conn_start,
    .conn_context = uv_conn_context,
    .conn_info = uv_conn_info,
    .conn_write = uv_conn_write,
    .conn_write_buf = uv_conn_write_buf,
    .conn_pending = uv_conn_pending,
    .conn_read_stop = uv_conn_read_stop,
    .conn_read_start = uv_conn_read_start,
    .conn_close = uv_conn_close,
    .file_open = uv_file_open,
    .file_close = uv_file_close,
    .file_read = uv_file_read,
    .file_write = uv_file_write,
    .file_sync = uv_file_sync,
    .file_truncate = uv_file_truncate,
    .file_size = uv_file_size,
    .file_lock = uv_file_lock,
    .rename = uv_file_rename,
    .unlink = uv_file_unlink,
    .mkdir = uv_make_dir,
    .sync_dir = uv_sync_dir,
    .list_dir = uv_list_dir,
    .free_bytes = uv_free_bytes,
    .disk_submit = uv_disk_submit,
    .fork = uv_fork_child,
    .child_kill = uv_child_kill,
};

// ---- start and end
static int init_handles(struct uv_io *io) {
    int error = uv_prepare_init(&io->loop, &io->prepare);
    if (error == 0) error = uv_check_init(&io->loop, &io->check);
    if (error == 0) error = uv_timer_init(&io->loop, &io->tick);
    ENSURE(error == 0); // these take nothing from the system
    io->prepare.data = io->check.data = io->tick.data = io;
    io->bell.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (io->bell.fd < 0) return -errno;
    error = uv_poll_init(&io->loop, &io->bell.poll, io->bell.fd);
    if (error != 0) return error;
    io->bell.poll.data = io;
    uv_poll_start(&io->bell.poll, UV_READABLE, on_bell);
    uv_prepare_start(&io->prepare, on_prepare);
    uv_check_start(&io->check, on_check);
    return 0;
}

struct io *io_uv_new(const struct io_uv_options *options) {
    ENSURE(options != NULL);
    struct uv_io *io = mem_zalloc(sizeof *io);
    io->io.ops = &uv_ops;
    if (uv_loop_init(&io->loop) != 0) {
        mem_free(io);
        return NULL;
    }
    io->bell.fd = -1;
    io->shared_turns = options->shared_turns;
    pthread_mutex_init(&io->turns, NULL);
    heap_init(&io->timers);
    pool_init(&io->timer_pool, sizeof(struct timer_slot), 128);
    pool_init(&io->requests, sizeof(struct disk_request), 16);
    struct list *lists[] = {&io->conns,     &io->dirty, &io->handshakes, &io->handshakes_begun,
                            &io->listeners, &io->wakes, &io->connects,   &io->children};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) list_init(lists[i]);
    io->read_buf = mem_alloc(UV_READ_BYTES);
    io->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int error = init_handles(io);
    if (error == 0) error = disk_start(io, options->journal_thread_name);
    if (error != 0 || io->reserve_fd < 0) {
        io_uv_free(&io->io);
        return NULL;
    }
    return &io->io;
}

void io_uv_run(struct io *base) {
    struct uv_io *io = uv_io_of(base);
    ENSURE(!io->closing);
    stand_in_allow(true);
    if (io->shared_turns)
        run_shared(io);
    else
        uv_run(&io->loop, UV_RUN_DEFAULT);
    stand_in_allow(false);
}

void io_uv_stop(struct io *base) {
    struct uv_io *io = uv_io_of(base);
    atomic_store(&io->bell.stop, true);
    bell_ring(io);
}

static void close_rest(uv_handle_t *handle, void *context) {
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void io_uv_free(struct io *base) {
    if (base == NULL) return;
    struct uv_io *io = uv_io_of(base);
    ENSURE(!io->closing);
    io->closing = true;
    while (!list_empty(&io->connects)) connect_drop((struct uv_connect *)(void *)io->connects.next);
    while (!list_empty(&io->conns)) conn_destroy(CONTAINER_OF(io->conns.next, struct io_conn, link));
    while (!list_empty(&io->listeners)) listener_shut(CONTAINER_OF(io->listeners.next, struct io_listener, link));
    while (!list_empty(&io->wakes)) wake_close(CONTAINER_OF(io->wakes.next, struct wake_slot, link)->wake);
    children_drop(io);
    disk_stop(io);
    uv_walk(&io->loop, close_rest, NULL);
    uv_run(&io->loop, UV_RUN_DEFAULT); // closes the handles, and waits for what libuv's pool still does
    int error = uv_loop_close(&io->loop);
    ENSURE(error == 0);
    if (io->bell.fd >= 0) close(io->bell.fd);
    if (io->reserve_fd >= 0) close(io->reserve_fd);
    out_stock_free(&io->stock);
    pthread_mutex_destroy(&io->turns);
    heap_free(&io->timers);
    pool_free(&io->timer_pool);
    pool_free(&io->requests);
    mem_free(io->read_buf);
    mem_free(io->clear_buf);
    mem_free(io);
}
