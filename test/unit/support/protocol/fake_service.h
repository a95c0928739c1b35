// node/protocol.h without a node: one process, the real models, no log and no sockets. A command is
// applied when the test says so (fake_step), so what waits and what does not can be told apart. Time moves when the
// test moves it.
#pragma once
#include "base/bytes.h"
#include "base/list.h"
#include "base/ring.h"
#include "io/io.h"
#include "model/model.h"
#include "node/protocol.h"

struct client {
    struct list link;
    struct fake *fake;
    const struct protocol *protocol;
    void *connection;     // of the protocol
    struct writer input;  // sent by the test, not consumed yet
    struct writer output; // written by the protocol, not taken by the test yet
    uint64_t session, attach, received, sent;
    uint64_t touched_ms, acked_ms; // activity, and what of it was acknowledged
    bool without_socket;
    struct io_conn_info info;
    bool paused, attaching, closing, flushed, closed,
        reads_nothing; // closed: `close` was called; reads_nothing: output counts as pending
};

struct fake {
    const struct protocol *protocol;
    void *instance;
    struct lease_table *leases;
    void *models[MODEL_COUNT]; // as in model_table; that of the leases is `leases`
    struct list clients;
    struct ring queue; // commands, attaches and read rounds, in order
    uint64_t applied, next_tag, now_ms, random;
    uint64_t commands; // handed over by client_submit and client_attach
    bool has_leader, leading;
    bool silent; // the keep-alive rule lets nobody be told that his session lives
    uint32_t members;
    uint64_t log_lines;
    struct log *log;
};

void fake_pass_time(struct fake *fake, uint64_t ms);         // for native models: what is due ends, in an entry
void fake_move_session(struct fake *fake, uint64_t session); // another node attaches it
void fake_acknowledge(struct fake *fake);                    // the leader knows of all activity until now
void fake_replace_state(struct fake *fake);                  // what another state in the place of this one closes, ends
struct fake *fake_new(const struct protocol *protocol, const void *settings);
void fake_free(struct fake *fake); // closes every client first
struct client *fake_connect(struct fake *fake, const char *remote);
struct client *fake_connect_tls(struct fake *fake, const char *remote, const char *subject);
void fake_send(struct client *client, const void *data, size_t len);
void fake_disconnect(struct client *client);           // the other side ended it
void fake_step(struct fake *fake);                     // applies all that was handed over, until nothing is left
bool fake_step_one(struct fake *fake);                 // false: nothing was left
void fake_forget_newest(struct fake *fake);            // what was handed over last is never applied
void fake_turn(struct fake *fake);                     // closes what asked for it, gives input to what was resumed
void fake_tick(struct fake *fake, uint64_t ms);        // time passes
void fake_expire(struct fake *fake, uint64_t session); // as the leader does
int64_t fake_unix_ms(uint64_t index);                  // the time that the entry of this index carries
