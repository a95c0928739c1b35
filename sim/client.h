// The insides of a simulated client; for client*.c and work*.c only. A client is a process on a host of its own that
// speaks ZooKeeper's bytes.
//
//   client.c         connecting, sessions, frames, dying
//   client_ops.c     requests: sent, counted, answered
//   client_check.c   each answer against the oracle, from the request's own bytes
//   client_watch.c   watches: which events must come, in which order, before which answers
//   client_lock.c    nobody believes to hold what another holds
//   client_deaf.c    one that never reads
//   client_record.c  the history for the checkers
//   work*.c          what clients ask: one row of `works` a workload
#pragma once
#include "base/prng.h"
#include "base/ring.h"
#include "sim/jute.h"
#include "sim/sim.h"

#define LOCKS_MAX 8u // 0..3 one ephemeral node each; 4, 5 by the recipe; 6, 7 the recipe with readers
#define LOCKS_PLAIN 4u
#define WATCHES_WANTED 24u // with those under way there are at most WATCHES_MAX
#define WATCHES_MAX 64u
#define WORKS_MAX 16u

struct op {
    int32_t xid, code;
    uint8_t work, step; // the workload's row and its own mark; WORK_NONE: the connection's
    uint8_t read_only;  // its connection was
    bool behind_sync;   // a read that must show all that anyone had been told
    uint32_t key;
    int32_t refused; // what it must be answered with before any state is looked at; 0: nothing
    uint64_t floor;  // what was known by anyone when it was sent
    uint64_t invoked_us;
    uint64_t record; // its place in the recorded history + 1
    uint8_t *body;   // the request's bytes, owned
    size_t len;
};
#define WORK_NONE UINT8_MAX        // the connection's own
#define WORK_SETUP (UINT8_MAX - 1) // what all need
// Rows of `works` that client_record.c makes histories of.
enum { WORK_REGISTER, WORK_SET, WORK_LOCK, WORK_RECIPE, WORK_QUEUE, WORK_WATCH = 10 };

struct lock_told { // an owner that was told so
    uint64_t czxid;
    uint64_t first_us, last_us; // newest bytes that were sent to it while it believed that it held the lock
    uint32_t client;
    bool shared;
};
struct client_checks { // of all clients together
    uint64_t floor;    // highest zxid that any client was told
    struct {
        struct lock_told *told;
        size_t count, capacity;
        uint64_t fence; // the guarded resource: the highest token it has seen
    } locks[LOCKS_MAX];
    // drawn by the seed
    uint32_t depth, burst, keys, users;
    uint64_t deaf, deaf_held; // clients that stopped reading; most that a node held for one
    bool holders;             // every third client takes a plain lock, and then mostly reads
    uint32_t weight[WORKS_MAX];
    struct record *record;
};

enum watched { // which list of setWatches it stands in
    WATCHED_DATA = 1,
    WATCHED_EXIST = 2,
    WATCHED_CHILD = 4,
    WATCHED_PERSISTENT = 8,
    WATCHED_RECURSIVE = 16
};
struct watch {
    const struct oracle_node *node;
    uint8_t modes; // enum watched
};
struct watch_event {
    const struct oracle_node *node;
    int32_t type;
};

enum recipe_phase { RECIPE_IDLE, RECIPE_ASKED, RECIPE_LIST, RECIPE_LISTED, RECIPE_WATCHED, RECIPE_HELD };
struct recipe { // one lock of the ZooKeeper recipe
    enum recipe_phase phase;
    bool shared;
    uint32_t generation;
    uint64_t since_us;
    char name[48]; // of its node, below the lock's; while the number is not known, the prefix
    bool named;
    uint64_t czxid;
    char before[64]; // whose end it waits for
};

struct sim_client {
    struct sim *sim;
    struct host *host;
    struct sim_loop *loop;
    struct prng prng; // what it asks; apart from the world's, so that a draw more here moves nothing there
    uint32_t number;
    struct io_conn *conn;
    struct io_conn *left; // an older one that it does not read any more
    struct io_conn *word; // a four-letter word under way
    void *connecting, *word_connecting;
    uint8_t word_kind;
    struct writer word_in;
    struct io_timer timer;
    struct writer in, out; // out: the request that is being written
    struct ring pending;   // struct op, in the order they were sent
    // the session
    uint64_t session, shown;
    uint8_t password[16];
    uint32_t timeout_ms;
    uint64_t last_zxid, write_zxid; // write_zxid: of this connection's newest write
    bool attached, closing, set_up, dead, stopped;
    bool read_only, passing; // the connection is; its session was made by a node without a leader
    bool broken;             // it has sent bytes that the server must not bear
    uint32_t setup_step, auth_left;
    struct writer who; // its identities, as in a command
    int32_t next_xid;
    uint64_t heard_us, sent_us, next_op_us, calm_done;
    uint64_t connects, recorded, received; // received: answers, in their order
    // watches
    struct watch watches[WATCHES_MAX];
    size_t watch_count, event_at; // event_at: the first of the oracle's events that it has not been told of
    bool rearming;                // setWatches is under way: no watch stands on this connection yet
    struct watch_event missed[2 * WATCHES_MAX];
    size_t missed_count;
    struct {
        bool held;
        uint64_t czxid;
        size_t at;
    } locks[LOCKS_MAX];
    struct recipe recipes[LOCKS_MAX];
    int32_t versions[64];              // of registers, as last read
    uint32_t queued;                   // as last read
    uint64_t deaf_until_us, deaf_most; // 0: it reads
    uint64_t quiet_until_us;           // it only sets this many watches, and pings
    uint32_t quiet_watches;
    struct event reborn;
    uint32_t server;
};

uint64_t client_draw(struct sim_client *client, uint64_t bound);

// client.c
void client_session_over(struct sim_client *client);
void client_move(struct sim_client *client); // to another server, now
void client_word(struct sim_client *client); // on a connection of its own

// client_ops.c
struct writer *client_begin(struct sim_client *client); // an empty body
// Sends what stands in the body; the result may be changed until the next.
struct op *client_ask(struct sim_client *client, int32_t code, uint8_t work, uint8_t step, uint32_t key);
void client_send_next(struct sim_client *client);
void client_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader *r);
void client_ping(struct sim_client *client);
void client_auth(struct sim_client *client);
void client_fail(struct sim_client *client, const struct op *op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *client_op_name(int32_t code);
bool client_op_writes(int32_t code);

// client_check.c
void client_check(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r);
// A path at the beginning of a request's bytes.
const struct oracle_node *client_path(struct sim_client *client, const struct op *op);

// client_watch.c
void watches_told(struct sim_client *client, const struct op *op, uint64_t zxid); // before an answer of that zxid
void watches_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error);
int32_t watches_expected(struct sim_client *client, const struct op *op); // of checkWatches, removeWatches
void watches_event(struct sim_client *client, struct reader *r);
void watches_rearm(struct sim_client *client);
void watches_dropped(struct sim_client *client); // the connection is gone
bool watches_any(const struct sim_client *client, const struct oracle_node *node, uint8_t modes);

// client_lock.c
void client_heard(struct sim_client *client, uint64_t sent_us); // bytes came that a server let go then
void lock_fence(struct sim_client *client, uint32_t lock);      // the holder writes to what the lock guards
void lock_granted(struct sim_client *client, const struct op *op, uint32_t lock, uint64_t czxid, bool shared);

// client_deaf.c
void deaf_begin(struct sim_client *client, uint8_t work); // it asks for much, and reads nothing of it
bool deaf_goes_on(struct sim_client *client);             // false: it gives the connection up

// client_record.c
void record_begin(struct sim *sim);
void record_end(struct sim *sim); // checks; frees
void record_sent(struct sim_client *client, struct op *op);
void record_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r);
// A lock was granted, by the create that `op` is or by a look at the list; its holder writes to what it guards.
void record_lock(struct sim_client *client, const struct op *op, uint32_t lock, uint64_t token);
void record_fence(struct sim_client *client, uint32_t lock, uint64_t token, bool accepted);

// work.c
struct work {
    const char *name;
    uint32_t weight; // most that a seed draws; a step may send some requests or none
    void (*step)(struct sim_client *client, uint8_t work);
    // All that follow may be NULL.
    void (*answered)(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r);
    void (*event)(struct sim_client *client, const struct oracle_node *node, int32_t type);
    void (*lost)(struct sim_client *client, bool session); // the connection, or the session with it
};
extern const struct work works[]; // the table
extern const size_t work_count;
void works_draw(struct sim *sim);
void work_next(struct sim_client *client);
void work_setup(struct sim_client *client);

// work_body.c: pieces of requests
__attribute__((format(printf, 2, 3))) void body_path(struct writer *w, const char *format, ...);
void body_value(struct sim_client *client, struct writer *w); // a new unique one
void body_open_acl(struct writer *w);
void body_watch(struct sim_client *client, struct writer *w, uint32_t one_in); // the flag behind a path
// What stands behind a create's path.
void body_create(struct sim_client *client, struct writer *w, int32_t flags);

// Steps of the table's rows, by file.
#define WORK_STEP(name) void name(struct sim_client *client, uint8_t work);
#define WORK_ANSWERED(name)                                                                                            \
    void name(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r);
WORK_STEP(register_step) // work_basic.c
WORK_ANSWERED(register_answered)
WORK_STEP(set_step)
WORK_STEP(lock_step)
WORK_ANSWERED(lock_answered)
WORK_STEP(queue_step)
WORK_ANSWERED(queue_answered)
WORK_STEP(recipe_step) // work_recipe.c
WORK_ANSWERED(recipe_answered)
void recipe_event(struct sim_client *client, const struct oracle_node *node, int32_t type);
void recipe_lost(struct sim_client *client, bool session);
WORK_STEP(acl_step) // work_tree.c
WORK_STEP(container_step)
WORK_STEP(ttl_step)
WORK_STEP(branch_step)
WORK_STEP(multi_step)
WORK_STEP(watch_step) // work_odd.c
WORK_STEP(odd_step)
WORK_STEP(bad_step)
WORK_STEP(life_step)
