// A machine of the simulated world: a clock, at most one process with its loops, and what the process has open. The
// process may end at any moment (host_kill): from then on nothing it still calls has any effect, and its memory is
// freed by its owner.
#pragma once
#include "io/io.h"
#include "sim/world.h"

struct sim_disk;
struct host;

// Something that a loop will do in its next turn: embedded in timers, wake-ups, connections, disk jobs.
struct ready {
    struct list link;
    void (*run)(struct ready *ready);
};

struct sim_loop {
    struct io io; // first
    struct host *host;
    struct event turn;
    struct list ready;
    struct list flush; // connections with output of this turn
    void (*hook)(void *context);
    void *hook_context;
    uint64_t turns;
    void (*after_turn)(struct sim_loop *loop, void *context); // the simulator's checks
    void *after_context;
};

#define UNIX_BASE_MS 1760000000000 // where wall clocks begin: ids in the order of time begin at 2024

struct host {
    struct world *world;
    uint32_t index;      // in world->hosts
    char name[32];       // "n1", "c3": host part of its addresses
    bool running;        // the process lives
    bool powered;        // off: packets to it vanish
    bool dead;           // the process has ended but is not freed yet: nothing has effect
    bool stopped_itself; // fatal: the owner frees it after the turn
    uint64_t boot;       // counts processes
    uint64_t paused_until_us, busy_until_us, spent_us;
    // clocks
    int64_t drift_ppm;                      // of the monotonic clock
    uint64_t clock_base_us, clock_world_us; // monotonic = base + (world - clock_world) * (1 + drift)
    int64_t unix_offset_ms;
    bool unix_stands;
    int64_t unix_stood_ms;
    struct sim_loop *loops[2];
    size_t loop_count;
    struct list timers, wakes, listeners, conns, connects, jobs, children;
    struct sim_disk *disk;              // NULL: none
    void (*on_dead)(struct host *host); // the process ended itself (node_fatal); called outside of turns
    struct event death;
    void *owner;
    uint32_t call_us_max, child_step_us;
    uint64_t children_begun, children_killed;
    bool kill_child; // the next one that writes
};

struct host *host_new(struct world *world, const char *name);
void host_free(struct host *host);
struct sim_loop *host_start_loop(struct host *host); // a loop of the process that starts now
void host_process_begin(struct host *host);
// The process ends: connections are cut (power: silently), disk jobs end half done, timers and wake-ups are void. The
// owner then frees the process's memory, and calls host_process_freed.
void host_kill(struct host *host, bool power);
void host_process_freed(struct host *host);
void host_die(struct host *host); // from within the process: as host_kill at once for effects, on_dead later
void host_pause(struct host *host, uint64_t until_us);
void host_go_on(struct host *host);
void host_set_drift(struct host *host, int64_t ppm);

uint64_t host_now_us(struct host *host);                            // its monotonic clock
uint64_t host_world_time(struct host *host, uint64_t monotonic_us); // when its clock will show that

struct io *loop_io(struct sim_loop *loop);
struct sim_loop *loop_of(struct io *io);
void loop_ready(struct sim_loop *loop, struct ready *ready); // in the next turn; once
void loop_spend(struct sim_loop *loop, uint64_t us);

// ---- sim_child.c
int sim_fork(struct io *io, struct io_child *child, int (*save)(void *context, io_append_fn append, void *out),
             void *context);
void sim_child_kill(struct io_child *child);
bool host_saves(const struct host *host); // a child is at work
void host_end_children(struct host *host);

// ---- sim_net.c
void net_init(struct world *world);
void net_free(struct world *world);
void net_cut_host(struct host *host, bool power); // of a process that ended
void net_forget_host(struct host *host);          // its memory is freed
void net_set_swarm(struct world *world, const struct swarm *swarm);
void net_block(struct world *world, uint32_t from, uint32_t to, bool blocked); // one way
bool net_blocked(struct world *world, uint32_t from, uint32_t to);
void net_reject(struct world *world, uint32_t a, uint32_t b); // as a firewall that answers with resets
void net_slow(struct world *world, uint32_t from, uint32_t to, uint32_t extra_us);
void net_heal(struct world *world);                                 // no blocks, no slow links
bool net_cut(const struct world *world);                            // something is blocked
size_t net_break_some(struct world *world, uint32_t a, uint32_t b); // connections between two hosts end mid-frame
void net_flush(struct sim_loop *loop);
uint64_t net_bytes(struct world *world);
// For clients' checks: when were the newest bytes of this connection that were read handed to conn_write by the other
// side?
uint64_t net_read_sent_us(struct io_conn *conn);
size_t net_unread_bytes(struct io_conn *conn); // what the other side's process still holds for this one
extern const struct io_ops sim_ops;
int sim_listen(struct io *io, const char *address, const struct io_listen_options *options, io_accepted_fn accepted,
               void *context, struct io_listener **listener);
void sim_listener_address(struct io_listener *listener, char out[ADDRESS_TEXT_MAX]);
void sim_listener_close(struct io_listener *listener);
int sim_connect(struct io *io, const char *address, struct io_tls *tls, uint64_t timeout_us, io_connected_fn connected,
                void *context, void **pending);
void sim_connect_cancel(struct io *io, void *pending);
void sim_conn_start(struct io_conn *conn, const struct io_conn_handler *handler, void *context, size_t low_water);
void *sim_conn_context(struct io_conn *conn);
void sim_conn_info(struct io_conn *conn, struct io_conn_info *info);
void sim_conn_write(struct io_conn *conn, const void *data, size_t len);
void sim_conn_write_buf(struct io_conn *conn, struct buf *buf, size_t offset, size_t len);
size_t sim_conn_pending(struct io_conn *conn);
void sim_conn_read_stop(struct io_conn *conn);
void sim_conn_read_start(struct io_conn *conn);
void sim_conn_close(struct io_conn *conn, bool flush);

// ---- sim_disk.c
struct disk_faults {
    bool fail_sync;    // the next sync fails
    bool lose_write;   // the next write of the journal or of a snapshot is acknowledged, and never reaches the medium
    bool misdirect;    // and lands elsewhere in its file
    bool lied;         // one of both has happened, and the cache hides it
    bool fail_read;    // of what is read next of the journal or a snapshot, a sector cannot be read, for good
    uint64_t capacity; // UINT64_MAX: no limit
    uint32_t slow;     // times slower; 1: not
    uint64_t stalled_until_us;
};
struct sim_disk *disk_new(struct world *world);
void disk_free(struct sim_disk *disk);
void disk_wipe(struct sim_disk *disk);
struct disk_faults *disk_faults(struct sim_disk *disk);
// The process ended. power: unsynced sectors and names are kept or dropped, each for itself.
void disk_crash(struct host *host, bool power);
void disk_set_swarm(struct sim_disk *disk, const struct swarm *swarm);
// Flips bits of one sector that was vouched for. false: there is none. what: the file.
bool disk_rot(struct sim_disk *disk, char what[256]);
bool disk_make_unreadable(struct sim_disk *disk, char what[256]); // one synced sector
uint64_t disk_read_errors(const struct sim_disk *disk);           // how often one was met
uint64_t disk_far_reads(const struct sim_disk *disk); // how often a running node read on in its journal for 128 KiB
// What a lost or misdirected write came to when the power went. Until then the cache hides it.
enum disk_lie {
    DISK_LIE_NONE,
    DISK_LIE_TAIL,    // nothing that was synced later vouches for it: nobody can tell
    DISK_LIE_VOUCHED, // its checksums and places must tell
};
enum disk_lie disk_lie(const struct sim_disk *disk);
// Each synced write of the journal: the bytes as they were meant.
void disk_on_journal(struct sim_disk *disk, void (*synced)(void *context, const uint8_t *data, size_t len),
                     void *context);
void disk_each_journal(const struct sim_disk *disk, void (*visit)(void *context, const uint8_t *data, size_t len),
                       void *context);                            // its files as they stand on the medium
uint64_t disk_full_us(const struct sim_disk *disk);               // when a write last found no room; 0: never
size_t disk_files(const struct sim_disk *disk, const char *part); // whose path holds that
uint64_t disk_used(const struct sim_disk *disk);
int sim_file_open(struct io *io, const char *path, int flags, unsigned mode, struct io_file **file);
void sim_file_close(struct io_file *file);
int64_t sim_file_read(struct io_file *file, void *data, size_t len, uint64_t offset);
int64_t sim_file_write(struct io_file *file, const void *data, size_t len, uint64_t offset);
int sim_file_sync(struct io_file *file);
int sim_file_truncate(struct io_file *file, uint64_t len);
int64_t sim_file_size(struct io_file *file);
int sim_file_lock(struct io_file *file);
int sim_rename(struct io *io, const char *from, const char *to);
int sim_unlink(struct io *io, const char *path);
int sim_mkdir(struct io *io, const char *path, unsigned mode);
int sim_sync_dir(struct io *io, const char *path);
int sim_list_dir(struct io *io, const char *path, void (*entry)(void *context, const char *name), void *context);
int64_t sim_free_bytes(struct io *io, const char *path);
void sim_disk_submit(struct io *io, struct io_disk_job *job);
