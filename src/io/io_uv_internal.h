// Inside of the libuv implementation of io.h: what its files share. Nobody outside src/io includes this.
//
// One turn of a loop, in this order:
//   epoll_wait -> ready sockets are read, wakes and disk completions are called   (libuv's poll phase)
//              -> timers that are due -> paced TLS handshakes -> the turn hook -> every connection with output is
//              flushed
//                                                                                  (libuv's check phase)
// Of a loop with shared_turns another thread may run the wakes, the completions, the hook and the flush while the loop
// sleeps (io_uv.c "turns by others").
// Timers run after the sockets, not before as in libuv itself: a process that was paused reads what its peers sent
// meanwhile before any time-out judges them, and what a timer writes still leaves in the same turn.
#pragma once
#include "base/heap.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/pool.h"
#include "io/io.h"
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#define UV_SLEEP_MS_MAX 100u        // replication.md "Time": the loop never sleeps longer
#define UV_READ_BYTES (256u << 10)  // one read(2) of a ready connection
#define UV_CLEAR_BYTES (64u << 10)  // decrypted bytes handed over in one call
#define UV_OUT_AT_ONCE (256u << 10) // that many bytes waiting in a turn leave without waiting for its end
#define UV_OUT_TURN_MAX                                                                                                \
    (4u << 20) // bytes one connection may send in one flush, so that a fast reader cannot hold the loop
#define UV_FLUSH_TURN_MAX                                                                                              \
    256u                  // connections flushed in a turn, about 2 ms: ten thousand watchers are told in many turns
#define UV_COPY_MAX 1024u // a shorter io_conn_write_buf is copied: an iovec and a reference cost more
#define UV_IOV_MAX 64     // pieces in one sendmsg
#define UV_ACCEPT_TURN_MAX 64u    // connections accepted per listener and turn
#define UV_HANDSHAKE_TURN_MAX 32u // TLS handshake steps in a turn, and the time after which the rest wait for the next:
#define UV_HANDSHAKE_TURN_US                                                                                           \
    2000u // a step with an RSA-4096 key is 6 ms, with P-256 it is 0.1 ms; a write passes several turns
#define UV_TIMERS_TURN_US                                                                                              \
    2000u // a crowd whose time-outs are due at once: the rest in the next turn, which does not wait
#define UV_HANDSHAKE_QUEUE_MAX                                                                                         \
    256u // so many wait for a step: others stay in the kernel's queue, where their time-out does not run yet
#define UV_HANDSHAKE_US 10000000u  // a TLS client that is not done by then is closed
#define UV_FLUSH_US 5000000u       // a closed connection may send what is queued for so long
#define UV_LINGER_US 1000000u      // and then waits so long for the other side's end of file
#define UV_ACCEPT_PAUSE_US 100000u // no descriptors even for the reserve: the listener rests
#define UV_DIRECT_UNIT 512u        // what O_DIRECT wants of offsets, lengths and memory; else the page cache is used
#define UV_BOUNCE_BYTES (1u << 20) // copied and written at once
#define UV_ADDRESSES_MAX 8u        // addresses of one name that are bound or tried

#define UV_STAND_IN_TURNS_MAX 4u // turns that another thread runs in a row for this loop
#define UV_STAND_IN_MARGIN_US                                                                                          \
    2000u // owners count in whole ms: a time-out may be judged so long before its timer is due

struct uv_io;

// ---- output: bytes of ours or references to bufs, in order. Chunks come from two small stocks of the loop.
struct out_chunk {
    struct out_chunk *next;
    struct buf *ref; // whose bytes these are, or NULL: they stand in own[]
    uint8_t *data;   // first byte still to be sent
    size_t len;      // bytes still to be sent
    size_t room;     // free bytes behind them, in own[]; 0 with a ref
    size_t size;     // bytes of own[]
    uint8_t own[];
};
struct out_queue {
    struct out_chunk *first, *last;
    size_t bytes;
};
struct out_stock { // chunks for reuse, so that a turn's replies are written to memory that is in the cache
    struct out_chunk *small, *large;
    size_t small_count, large_count;
};
void out_append(struct out_stock *stock, struct out_queue *queue, const void *data, size_t len);
void out_append_buf(struct out_stock *stock, struct out_queue *queue, struct buf *buf, size_t offset, size_t len);
int out_gather(const struct out_queue *queue, struct iovec *iov, int max, size_t *bytes); // iovecs filled
void out_consume(struct out_stock *stock, struct out_queue *queue, size_t bytes);         // the first bytes were sent
void out_clear(struct out_stock *stock, struct out_queue *queue);
void out_stock_free(struct out_stock *stock);

// ---- addresses
struct uv_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};
socklen_t address_bytes(const struct uv_address *address);
void address_text(const struct uv_address *address, char out[ADDRESS_TEXT_MAX]);
uint16_t address_port(const struct uv_address *address);
void address_set_port(struct uv_address *address, uint16_t port);
// Splits "host:port" ("[::1]:80", ":80" and "*:80" give an empty host). -EINVAL if it is none.
int address_split(const char *text, char host[ADDRESS_TEXT_MAX], uint16_t *port);
// Numbers and localhost, without asking anyone: how many addresses were filled (0: a name), at most UV_ADDRESSES_MAX.
size_t address_known(const char *host, uint16_t port, struct uv_address *out);
size_t address_from_info(const struct addrinfo *info, uint16_t port, struct uv_address *out);

// ---- connections
enum conn_state {
    CONN_CONNECTING, // connect(2) is under way
    CONN_HANDSHAKE,  // TLS, not yet given to its owner
    CONN_OPEN,       // the owner has it
    CONN_FLUSHING,   // the owner closed it; what is queued still leaves
    CONN_LINGER, // all was sent and our side is shut: waits for the other side's end, so that no reset eats our bytes
    CONN_DEAD,   // waits for libuv to let go of it
};
struct conn_tls;
struct uv_connect;
struct io_conn {
    void *context; // first: io_conn_context (io.h)
    uv_poll_t poll;
    struct uv_io *io;
    struct list link;                      // io->conns
    struct list dirty;                     // io->dirty: something is to be done at the end of the turn
    const struct io_conn_handler *handler; // NULL before io_conn_start
    size_t low_water;
    struct out_queue out;         // bytes for the socket (with TLS: encrypted)
    struct conn_tls *tls;         // NULL: plain
    struct io_listener *listener; // where it was accepted (it counts there), or NULL
    struct uv_connect *connect;   // the attempt it belongs to, or NULL
    struct io_timer timer;        // handshake, flush, linger
    struct uv_address remote;
    int fd;
    int error;     // the first hard error; nothing is sent after it
    uint8_t state; // enum conn_state
    uint8_t armed; // events that libuv watches
    bool reading;  // started, and not stopped by the owner
    bool ended;    // end of file was read
    bool told;     // `closed` was called with an error
    bool blocked;  // the kernel took no more: wait until writable
    bool over;     // more than low_water waited
    bool hangup;   // the other side ended while reading is stopped: no longer watched for it
};
_Static_assert(sizeof(struct io_conn) <= 512, "an idle plain connection is small");

struct io_conn *conn_new(struct uv_io *io, int fd); // takes fd, also when it fails (NULL)
void conn_destroy(struct io_conn *conn);            // no callbacks
void conn_dirty(struct io_conn *conn);
void conn_arm(struct io_conn *conn);             // watches for what its state wants
void conn_fail(struct io_conn *conn, int error); // tells the owner; destroys what has no owner
void conn_send(struct io_conn *conn);            // what the kernel takes now; no callbacks
void conn_end(struct io_conn *conn);             // the other side's orderly end
void conn_linger_start(struct io_conn *conn);    // sends what is queued, then closes
void conn_opened(struct io_conn *conn);          // gives it to accepted() or connected()
void conns_flush(struct uv_io *io);
size_t conn_waiting(const struct io_conn *conn);

// ---- TLS over one connection
int conn_tls_init(struct io_conn *conn, struct io_tls *tls, const char *host); // negative errno
void conn_tls_free(struct io_conn *conn);
void conn_tls_ready(struct io_conn *conn); // a handshaking connection may be stepped: queued for it
void conn_tls_input(struct io_conn *conn, const uint8_t *data, size_t len); // calls handler->read
void conn_tls_resume(struct io_conn *conn);                                 // what was kept while reading was stopped
void conn_tls_encrypt(struct io_conn *conn);                                // from clear to out, a bounded amount
struct out_queue *conn_tls_clear(struct io_conn *conn);                     // bytes not yet encrypted
bool conn_tls_waits(const struct io_conn *conn);                            // in the queue of handshakes
bool conn_tls_notified(const struct io_conn *conn); // everything, close_notify too, is encrypted
void conn_tls_want_notify(struct io_conn *conn);
void conn_tls_info(struct io_conn *conn, struct io_conn_info *info);
void tls_handshakes(struct uv_io *io);      // one turn's worth
struct io_tls *tls_ref(struct io_tls *tls); // given back with io_tls_free

// ---- listening and connecting
struct io_listener {
    struct uv_io *io;
    struct list link; // io->listeners while open
    io_accepted_fn accepted;
    void *context;
    struct io_tls *tls;
    uint64_t *refused;                   // the owner's counter; may be NULL
    size_t connections_max, connections; // connections that exist, handshaking and flushing ones too
    size_t per_host_max;                 // 0: hosts are not counted
    struct hash hosts;                   // by remote address: who has connections, and how many
    uint64_t hosts_seed;                 // strangers choose addresses
    size_t sockets, handles;             // bound; handles that libuv has not yet let go of
    bool closed;
    struct io_timer pause;
    struct listen_socket {
        uv_poll_t poll;
        int fd;
        struct io_listener *listener;
    } socket[UV_ADDRESSES_MAX];
};
void listener_leave(struct io_conn *conn);                                          // it is gone
void listener_shut(struct io_listener *listener);                                   // closes it
void connect_finished(struct uv_connect *connect, struct io_conn *conn, int error); // conn NULL on error
void connect_writable(struct io_conn *conn);                                        // connect(2) ended, well or not
void connect_drop(struct uv_connect *connect);                                      // without its callback

// ---- disk
struct disk_request {
    struct mail mail;
    struct uv_io *io;
    struct io_disk_job *job;
    int64_t result;
    uv_work_t work; // when it runs in libuv's pool
};
struct io_file {
    uint32_t magic; // tells our files from another implementation's (io_file_fd)
    int fd;
    int direct_fd; // the same file past the page cache, for disk jobs that write; -1: none
    struct uv_io *io;
    size_t jobs; // under way
};
struct journal_thread {
    bool started;
    pthread_t thread;
    char name[16];
    struct mailbox todo, done;
    _Atomic uint32_t signal; // raised with each hand-over; the thread sleeps on it (futex)
    _Atomic uint32_t sleeping;
    _Atomic bool quit;
    uint8_t *bounce; // whole sectors on their way to a direct_fd
};

struct uv_io {
    struct io io;
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t tick; // bounds the sleep
    struct uv_bell { // how other threads reach this loop (io_uv.c); its eventfd is written only while the loop sleeps
        uv_poll_t poll;
        int fd;
        _Atomic bool rung;     // a wake, a completion or the stop waits
        _Atomic bool sleeping; // the loop is in epoll_wait, or about to look at `rung` for the last time before it
        _Atomic bool stop;
        uint64_t rounds;
    } bell;
    bool shared_turns;        // other threads may run a turn while this loop sleeps (io_uv.c "Turns by others")
    bool running, stopped;    // shared_turns: io_uv_run is under way; it shall return
    pthread_mutex_t turns;    // shared_turns: held by whoever runs a turn, so by nobody while the loop sleeps
    uint64_t sleeps_until_us; // shared_turns: when the loop wakes by itself
    void (*turn)(void *context);
    void *turn_context;
    struct heap timers;
    struct pool timer_pool;
    uint64_t timer_serial;    // equal times fire in the order of their start
    unsigned handshake_count; // in `handshakes_begun` and `handshakes`
    struct list conns, dirty, handshakes_begun, handshakes, listeners, connects, wakes, children;
    struct out_stock stock;
    struct pool requests; // disk_request
    size_t jobs;          // disk jobs under way
    uint8_t *read_buf, *clear_buf;
    int reserve_fd; // closed for a moment to accept and close when there are no descriptors
    bool closing;   // io_uv_free runs: no callbacks to owners any more
    struct journal_thread journal;
};
static inline struct uv_io *uv_io_of(struct io *io) {
    return (struct uv_io *)(void *)io;
}

// ---- the operations, by file
uint64_t uv_now_us(struct io *io);
void bell_ring(struct uv_io *io);  // from any thread, after what it announces was stored
void stand_in_allow(bool allowed); // this thread may run the turns of loops that share them
void uv_timer_begin(struct uv_io *io, struct io_timer *timer, void (*fire)(struct io_timer *), void *context,
                    uint64_t delay_us);
void uv_timer_end(struct uv_io *io, struct io_timer *timer);

int uv_listen_address(struct io *io, const char *address, const struct io_listen_options *options,
                      io_accepted_fn accepted, void *context, struct io_listener **listener);
void uv_listener_address(struct io_listener *listener, char out[ADDRESS_TEXT_MAX]);
void uv_listener_close(struct io_listener *listener);
int uv_connect_address(struct io *io, const char *address, struct io_tls *tls, uint64_t timeout_us,
                       io_connected_fn connected, void *context, void **pending);
void uv_connect_cancel(struct io *io, void *pending);

void uv_conn_start(struct io_conn *conn, const struct io_conn_handler *handler, void *context, size_t low_water);
void *uv_conn_context(struct io_conn *conn);
void uv_conn_info(struct io_conn *conn, struct io_conn_info *info);
void uv_conn_write(struct io_conn *conn, const void *data, size_t len);
void uv_conn_write_buf(struct io_conn *conn, struct buf *buf, size_t offset, size_t len);
size_t uv_conn_pending(struct io_conn *conn);
void uv_conn_read_stop(struct io_conn *conn);
void uv_conn_read_start(struct io_conn *conn);
void uv_conn_close(struct io_conn *conn, bool flush);

int uv_file_open(struct io *io, const char *path, int flags, unsigned mode, struct io_file **file);
void uv_file_close(struct io_file *file);
int64_t uv_file_read(struct io_file *file, void *data, size_t len, uint64_t offset);
int64_t uv_file_write(struct io_file *file, const void *data, size_t len, uint64_t offset);
int uv_file_sync(struct io_file *file);
int uv_file_truncate(struct io_file *file, uint64_t len);
int64_t uv_file_size(struct io_file *file);
int uv_file_lock(struct io_file *file);
int uv_file_rename(struct io *io, const char *from, const char *to);
int uv_file_unlink(struct io *io, const char *path);
int uv_make_dir(struct io *io, const char *path, unsigned mode);
int uv_sync_dir(struct io *io, const char *path);
int uv_list_dir(struct io *io, const char *path, void (*entry)(void *context, const char *name), void *context);
int64_t uv_free_bytes(struct io *io, const char *path);

void uv_disk_submit(struct io *io, struct io_disk_job *job);
void disk_completed(struct uv_io *io); // calls done of what the journal thread finished
int disk_start(struct uv_io *io, const char *journal_thread_name);
void disk_stop(struct uv_io *io); // what was handed over is still carried out

int uv_fork_child(struct io *io, struct io_child *child, int (*save)(void *context, io_append_fn append, void *out),
                  void *context);
void uv_child_kill(struct io_child *child);
void children_drop(struct uv_io *io); // kills and collects them
