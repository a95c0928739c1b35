// Everything a node may ask of the outside world: clock, timers, wake-ups between loops, sockets, files. A node never
// calls the system itself, so the simulator runs the same objects against a world of its own (sim/), and io_uv.c runs
// them on libuv.
//
// One `struct io` belongs to one loop (one thread in production, one task in the simulator). All calls are made on that
// loop's thread, except io_wake_signal. Callbacks run on the loop's thread, or on one that stands in for it while it
// sleeps (io_uv_options.shared_turns), one turn at a time, never from inside the call that asked for them (so no
// re-entrance). Errors are negative errno values; 0 or more is success.
#pragma once
#include "base/buf.h"
#include "base/bytes.h"
#include "base/limits.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct io;
struct io_conn; // one TCP connection, plain or TLS: its bytes here are always clear
struct io_listener;
struct io_file;
struct io_tls; // certificates and key of one side; shared by many connections
struct mail;

// ---- timers: one shot; the owner embeds it and keeps it until it fired or was stopped
struct io_timer {
    void (*fire)(struct io_timer *timer);
    void *context;
    void *impl; // the implementation's; NULL while never started. io_timer_stop releases it
};

// ---- a wake-up for another loop: signals before the callback runs are merged into one callback
struct io_wake {
    void (*woken)(struct io_wake *wake);
    void *context;
    struct io *io; // the loop that is woken
    void *impl;
};

// ---- connections
struct io_conn_handler {
    // Bytes arrived. They are valid during the call only. Not called while reading is stopped.
    void (*read)(struct io_conn *conn, const uint8_t *data, size_t len);
    // Ended, by the other side (0: orderly end of file; what is written still leaves) or by an error. Called once, and
    // once more where an error follows an orderly end; never behind io_conn_close, which the owner still calls to free
    // it.
    void (*closed)(struct io_conn *conn, int error);
    // The bytes waiting in the send queue fell to at most `low_water` after having been over it. May be NULL.
    void (*drained)(struct io_conn *conn);
};

// Every implementation's `struct io_conn` begins with the context that conn_start was given: a handler, which is told
// the connection only, gets at its own side without knowing which io it came from.
static inline void *io_conn_context(struct io_conn *conn) {
    return *(void **)(void *)conn;
}

struct io_conn_info {
    char remote[ADDRESS_TEXT_MAX]; // "127.0.0.1:40312", "[::1]:40312"
    char local[ADDRESS_TEXT_MAX];
    bool tls;
    char tls_subject[256]; // the peer certificate's subject (RFC 2253 text), empty if none
    char tls_issuer[256];
};

// ---- listening
struct io_listen_options {
    struct io_tls *tls;     // NULL: plain. The handshake is done before `accepted` is called (and times out after 10 s)
    size_t connections_max; // over it: accepted and closed at once; 0: no limit
    size_t per_host_max;    // the same for those of one remote address
    uint64_t *refused;      // counts those, and those that no descriptor was left for; the loop's; may be NULL
};
typedef void (*io_accepted_fn)(struct io_listener *listener, struct io_conn *conn, void *context);
typedef void (*io_connected_fn)(struct io_conn *conn, int error, void *context); // conn NULL on error

// ---- disk jobs: run beside the loop (journal thread for IO_DISK_WRITE_SYNC, a reader pool for reads); completed on
// the loop
enum io_disk_op {
    IO_DISK_WRITE_SYNC, // pwritev of all of iov at offset, then fdatasync: done(0) only when both succeeded
    IO_DISK_WRITE,      // pwritev without sync
    IO_DISK_READ,       // pread of iov[0]; result: bytes read (less than asked only at the end of the file)
    IO_DISK_SYNC,       // fdatasync
};
struct io_disk_job { // owned by the caller, untouched by it until done is called
    enum io_disk_op op;
    struct io_file *file;
    const struct iovec *iov;
    int iov_count;
    uint64_t offset;
    // error < 0: negative errno, and then `failed_sync` tells whether it was the fdatasync (the process must end: a
    // retried fsync lies) or the write (-ENOSPC: may be tried again later).
    void (*done)(struct io_disk_job *job, int64_t result);
    bool failed_sync;
    uint64_t duration_us; // set at completion: time of the fdatasync part (for the histogram)
    void *context;
    void *impl;
};

// ---- a child that writes a snapshot from the forked image of this process (fork)
struct io_child {
    void (*exited)(struct io_child *child, int status); // 0: all is in the file, synced; > 0: errno; < 0: signal
    void *context;
    const char *path;    // the file it makes
    uint64_t rate_bytes; // a second that it writes at most: the disk is the journal's too; 0: no limit
    void *impl;          // the implementation's; NULL again once exited was called
};
// Appends to the child's file: 0 or negative errno. The only call that `save` may make: nothing that allocates.
typedef int (*io_append_fn)(void *out, const void *data, size_t len);

struct io_ops {
    uint64_t (*now_us)(struct io *io); // monotonic; cached per turn is NOT allowed: real time of the call
    int64_t (*unix_ms)(struct io *io);
    void (*random)(struct io *io, void *bytes,
                   size_t len); // for secrets and incarnations (in the simulator: from its seed)

    void (*timer_start)(struct io *io, struct io_timer *timer, uint64_t delay_us); // again: moved
    void (*timer_stop)(struct io *io, struct io_timer *timer);

    int (*wake_init)(struct io *io, struct io_wake *wake);
    void (*wake_signal)(struct io_wake *wake); // from any thread
    void (*wake_close)(struct io_wake *wake);

    // Called once in each turn of the loop after the ready sockets were read and before the loop sleeps; output that
    // was queued in the turn is flushed after it. One hook a loop. The loop never sleeps longer than 100 ms.
    void (*set_turn_hook)(struct io *io, void (*turn)(void *context), void *context);

    int (*listen)(struct io *io, const char *address, const struct io_listen_options *options, io_accepted_fn accepted,
                  void *context, struct io_listener **listener);
    void (*listener_address)(struct io_listener *listener,
                             char out[ADDRESS_TEXT_MAX]); // the real port where :0 was asked
    void (*listener_close)(struct io_listener *listener);
    // Opens a connection in the background. `cancel` in *pending until the callback ran.
    int (*connect)(struct io *io, const char *address, struct io_tls *tls, uint64_t timeout_us,
                   io_connected_fn connected, void *context, void **pending);
    void (*connect_cancel)(struct io *io, void *pending); // the callback will not be called

    void (*conn_start)(struct io_conn *conn, const struct io_conn_handler *handler, void *context, size_t low_water);
    void *(*conn_context)(struct io_conn *conn);
    void (*conn_info)(struct io_conn *conn, struct io_conn_info *info);
    // Queues bytes; they leave in one writev at the end of the turn (or at once when many wait). After an error nothing
    // happens.
    void (*conn_write)(struct io_conn *conn, const void *data, size_t len);
    void (*conn_write_buf)(struct io_conn *conn, struct buf *buf, size_t offset,
                           size_t len);           // keeps a reference, no copy
    size_t (*conn_pending)(struct io_conn *conn); // bytes queued and not yet taken by the kernel (TLS bytes included)
    void (*conn_read_stop)(struct io_conn *conn);
    void (*conn_read_start)(struct io_conn *conn);
    // Ends it and frees it; no callback comes after. flush: what is queued is sent first (at most 5 s), in the
    // background.
    void (*conn_close)(struct io_conn *conn, bool flush);

    // open(2) flags. O_DIRECT is a wish: disk jobs that write whole sectors go past the page cache where that is
    // possible.
    int (*file_open)(struct io *io, const char *path, int flags, unsigned mode, struct io_file **file);
    void (*file_close)(struct io_file *file);
    int64_t (*file_read)(struct io_file *file, void *data, size_t len, uint64_t offset); // bytes read; short at the end
    int64_t (*file_write)(struct io_file *file, const void *data, size_t len,
                          uint64_t offset); // all of it, or an error
    int (*file_sync)(struct io_file *file); // fsync
    int (*file_truncate)(struct io_file *file, uint64_t len);
    int64_t (*file_size)(struct io_file *file);
    int (*file_lock)(struct io_file *file); // exclusive, until closed or the process ends; -EWOULDBLOCK if taken
    int (*rename)(struct io *io, const char *from, const char *to);
    int (*unlink)(struct io *io, const char *path);
    int (*mkdir)(struct io *io, const char *path, unsigned mode); // 0 also when it exists as a folder
    int (*sync_dir)(struct io *io, const char *path);
    int (*list_dir)(struct io *io, const char *path, void (*entry)(void *context, const char *name),
                    void *context); // sorted by name
    int64_t (*free_bytes)(struct io *io, const char *path);

    void (*disk_submit)(struct io *io, struct io_disk_job *job); // jobs of op WRITE_SYNC on one file complete in order

    // fork(2): the child runs `save`, which gives 0 or negative errno, on the memory as it is at this moment.
    int (*fork)(struct io *io, struct io_child *child, int (*save)(void *context, io_append_fn append, void *out),
                void *context);
    void (*child_kill)(struct io_child *child);
};

struct io {
    const struct io_ops *ops;
};

// Short forms: io_now_us(io) and so on.
static inline uint64_t io_now_us(struct io *io) {
    return io->ops->now_us(io);
}
static inline uint64_t io_now_ms(struct io *io) {
    return io->ops->now_us(io) / 1000;
}
static inline int64_t io_unix_ms(struct io *io) {
    return io->ops->unix_ms(io);
}

// ---- the production implementation (io_uv.c, io_tls.c); each runs on the thread that calls io_uv_run
struct io_uv_options {
    const char
        *journal_thread_name; // NULL: no thread for IO_DISK_WRITE_SYNC is started (a loop that never submits one)
    // While this loop sleeps, another loop that wakes it, or its journal thread that completes a job, runs its turn
    // (the wakes, the completions, the turn hook, the output; no timers, no sockets) instead of waking its thread.
    bool shared_turns;
};
struct io *io_uv_new(const struct io_uv_options *options); // NULL when the system gives no descriptors
void io_uv_run(struct io *io);                             // until io_uv_stop
void io_uv_stop(struct io *io);                            // from any thread
void io_uv_free(struct io *io);                            // closes what is left
int io_file_fd(struct io_file *file); // the descriptor, for a forked child; -1 for a file of another implementation

// Certificates: PEM files. ca NULL: the other side is not asked for a certificate (server) / not checked (client).
// Gives NULL and a text in error on bad files.
struct io_tls_options {
    const char *cert_file, *key_file, *ca_file;
    bool require_peer; // server: refuse clients without a certificate that `ca` signed
    bool verify_name;  // client: the certificate must be made out for the host of the address that was connected to,
                       // name or number; else -EKEYREJECTED. Needs `ca`
};
struct io_tls *io_tls_new(const struct io_tls_options *options, bool server, char error[256]);
int io_tls_reload(struct io_tls *tls,
                  char error[256]);   // reads the files again; new handshakes use them; the old stay on an error
void io_tls_free(struct io_tls *tls); // connections that use it keep it alive
