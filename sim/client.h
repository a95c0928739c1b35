// The insides of a simulated client; for client*.c only. A client is a process on a host of its own that speaks
// ZooKeeper's bytes.
#pragma once
#include "base/ring.h"
#include "sim/jute.h"
#include "sim/sim.h"

#define LOCKS_MAX 8u
#define LOCK_TOLD_MAX 4096u

enum op_kind {
    OP_SETUP,
    OP_SET,
    OP_CAS,
    OP_CREATE,
    OP_DELETE,
    OP_GET,
    OP_WATCH,
    OP_SYNC,
    OP_SYNC_GET,
    OP_SEQUENCE,
    OP_EPHEMERAL,
    OP_LOCK,
    OP_UNLOCK,
    OP_MULTI,
    OP_CHILDREN,
    OP_PING,
    OP_SET_WATCHES,
    OP_CLOSE,
    OP_KINDS
};

struct op {
    enum op_kind kind;
    int32_t xid;
    uint32_t key, key2;
    uint64_t mark, mark2;
    uint64_t floor; // what was known by anyone when it was sent
    uint64_t invoked_us;
    int32_t version; // CAS
    char path[64];
};

struct lock_told { // an owner that was told so
    uint64_t czxid;
    uint64_t first_us, last_us; // newest bytes that were sent to it while it believed that it held the lock
    uint32_t client;
};
struct client_checks { // of all clients together
    uint64_t floor;    // highest zxid that any client was told
    struct {
        struct lock_told *told;
        size_t count, capacity;
    } locks[LOCKS_MAX];
};

struct watch {       // on a register's data
    bool set, armed; // armed: this connection's server knows it
    uint64_t since;
};

struct sim_client {
    struct sim *sim;
    struct host *host;
    struct sim_loop *loop;
    uint32_t number;
    struct io_conn *conn;
    struct io_conn *left; // an older one that it does not read any more
    void *connecting;
    struct io_timer timer;
    struct writer in;
    struct ring pending; // struct op, in the order they were sent
    // the session
    uint64_t session, shown;
    uint8_t password[16];
    uint32_t timeout_ms;
    uint64_t last_zxid, write_zxid; // write_zxid: of this connection's newest write
    bool attached, closing, set_up, dead, stopped, told_once;
    uint32_t setup_step;
    int32_t next_xid;
    uint64_t heard_us, sent_us, next_op_us, calm_done;
    uint64_t connects;
    struct watch watches[KEYS_MAX];
    struct {
        bool held;
        uint64_t czxid;
        size_t at;
    } locks[LOCKS_MAX];
    struct {
        bool known;
        int32_t version;
    } versions[KEYS_MAX];
    struct ring sent_marks; // struct sent_mark of this connection, unanswered when it broke
    struct event reborn;
    uint32_t server;
};

// client_ops.c
void client_send_next(struct sim_client *client);
void client_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader *r);
void client_event(struct sim_client *client, struct reader *r);
void client_heard(struct sim_client *client, uint64_t sent_us); // bytes came that a server let go then
void client_send(struct sim_client *client, const struct op *op, struct bytes body, int32_t code);
void client_set_watches(struct sim_client *client);
void client_session_over(struct sim_client *client);
void client_move(struct sim_client *client); // to another server, now
void client_ping(struct sim_client *client);
