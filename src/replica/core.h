// One group on the replication loop: Raft, this node's stream, forwards, log time, renewable deadlines, linearizable
// reads, commit hand-over, membership and snapshot transfer. No I/O and no threads: the node calls it with what
// happened, and it calls `core_ops`. Every rule is in shared/design/replication.md; each is coded in the file named
// after its section.
#pragma once
#include "base/log.h"
#include "consensus/raft.h"
#include "replica/machine.h"

struct core;

enum core_channel { CORE_CONTROL = 0, CORE_BULK = 1 }; // a peer's two connections

struct core_status { // what the service loop, status pages and protocols are told when it changes
    enum raft_role role;
    uint32_t leader;
    uint64_t term, commit, last_index;
    bool ready;                // leader known and (leader: its term's first entry is applied)
    uint32_t synced_followers; // voters within 1,024 entries of the leader's commit (leader only)
    uint32_t synced_observers; // learners and observers, likewise
    bool disk_full;
    bool diverged; // this node's digest differs from the majority's: it stops serving
};
struct core_keepalive {
    uint64_t session, attach;
};

struct core_ops {
    // To the disk: append is owned by core until done is called (journal_append shape: hard, start, truncate, batches).
    void (*persist)(void *context, const struct raft_update *update,
                    uint64_t number); // the node calls core_persisted(number)
    // To a peer: a frame = head bytes (copied) + bufs by reference (the node takes own references). Lost if the link is
    // down: core resends.
    void (*send)(void *context, uint32_t peer, enum core_channel channel, struct bytes head, struct buf *const *bufs,
                 size_t buf_count);
    // To the service loop, in order:
    void (*apply)(void *context, const struct batch_ref *batches, size_t count, uint64_t epoch); // takes own references
    void (*refused)(void *context, uint64_t first_tag, uint64_t count, int error);               // never got a number
    void (*read_ready)(void *context, uint64_t round, uint64_t index, int error);
    void (*keepalive_acked)(void *context, uint64_t round, const struct core_keepalive *unknown, size_t unknown_count);
    void (*status)(void *context, const struct core_status *status);
    void (*clock)(void *context, uint64_t log_time_ms); // newest heartbeat's log time
    void (*install)(void *context, uint64_t index, uint64_t term,
                    uint64_t epoch);      // a received snapshot is on disk: load it, then core_installed
    void (*want_snapshot)(void *context); // a follower needs one: make one now
    void (*admin_done)(void *context, uint64_t request, int error, const char *text);
    // From storage, answered by core_entries / synchronously:
    void (*read_log)(void *context, const struct raft_need *need); // peer 0: for apply
    int64_t (*snapshot_read)(void *context, uint64_t index, uint64_t term, uint64_t offset, void *data, size_t len);
    int (*snapshot_write)(void *context, uint64_t index, uint64_t term, uint64_t offset, const void *data, size_t len,
                          bool last,
                          struct raft_membership *membership); // last: verified, committed; gives its membership
    int64_t (*snapshot_received)(void *context, uint64_t index, uint64_t term);
    bool (*snapshot_newest)(void *context, uint64_t *index, uint64_t *term, uint64_t *bytes);
    // Raised and fsynced boot for a new stream after an install, or after this node was removed.
    uint64_t (*raise_boot)(void *context);
    void (*set_cluster)(void *context, const uint8_t cluster_id[16]);
    // A formation on this node: write the genesis snapshot (machine_genesis) at (index, term), durable when it returns.
    // Core then installs it like a received one: persist with `installed`, then ops.install with a new epoch.
    void (*form)(void *context, const struct raft_membership *m, const uint8_t cluster_id[16], uint64_t index,
                 uint64_t term);
    int64_t (*unix_ms)(void *context);
    uint64_t (*service_turn_ms)(void *context); // monotonic ms of the service loop's last turn that read its sockets
    // It leads, has applied its term's first entry, and no other node votes: what is applied is all that was ever
    // acknowledged. False is told before a message leaves that could make it so. May be NULL.
    void (*alone)(void *context, bool alone);
    void *context;
};

struct core_peer {
    uint32_t id;
    char address[ADDRESS_TEXT_MAX];
};
#define APPLY_AHEAD_BYTES_DEFAULT (16u << 20) // one more batch may pass it
struct core_options {
    uint32_t group, id;
    uint8_t incarnation[INCARNATION_BYTES], cluster_id[16];
    uint64_t boot;
    char advertised[ADVERTISED_COUNT][ADDRESS_TEXT_MAX];
    const struct core_peer *listed;
    size_t listed_count;                // --cluster, own id included; 0 or 1: alone
    uint32_t heartbeat_ms, election_ms; // 100, 500
    uint64_t forward_bytes_max;         // credit: unapplied bytes of own commands; 16 MiB
    uint64_t apply_ahead_bytes_max; // committed bytes handed to the service loop and not applied yet; 0: the default
    uint64_t snapshot_chunk_bytes;  // of one message of a transfer; 0: 256 KiB
    uint64_t log_tail_bytes_max;    // of the log, kept in memory; 0: 16 MiB
    uint32_t apply_level_max;       // what this node's machine can follow; 0: APPLY_LEVEL_NEWEST
    uint64_t settings[GROUP_SETTING_COUNT]; // wanted by this node while it leads; 0: whatever stands
    uint64_t seed;
    struct log *log;
    const struct core_ops *ops;
};

// formed: data exists on disk. `restored` is from journal and snapshot; last_log_time_ms: largest log time seen in
// either. streams/leases come from the machine at the snapshot's place (the service loop replays the log behind it
// through core's apply).
struct core *core_new(const struct core_options *options, const struct raft_restored *restored, bool formed,
                      uint64_t last_log_time_ms, uint64_t applied, uint64_t now_ms);
void core_free(struct core *core);

// ---- what happened (all with the loop's monotonic now_ms)
void core_tick(struct core *core,
               uint64_t now_ms); // at core_next_deadline_ms at the latest, and after every batch of the calls below
uint64_t core_next_deadline_ms(const struct core *core);
void core_commands(struct core *core, uint64_t now_ms, uint64_t first_tag, uint64_t count,
                   struct bytes commands);                          // u32 length + bytes each, as in a section
void core_read(struct core *core, uint64_t now_ms, uint64_t round); // a linearizable round of this node
// Every 100 ms, sent after a reading turn, also when empty. round: the monotonic ms of that reading turn (same clock as
// now_ms, grows with each round): the leader judges by it what a session's node knew; active: sessions with activity
// since the last round that was acknowledged for them; and the node finds v ("when this node read the newest
// acknowledged activity") in the ack.
void core_keepalive(struct core *core, uint64_t now_ms, uint64_t round, const struct core_keepalive *active,
                    size_t count);
// The command of this tag shall not be proposed any more (an attach whose socket has ended): what is sent from now on
// under its number is a void(error), and whichever is applied first decides. A tag that is applied or refused already:
// nothing.
void core_withdraw(struct core *core, uint64_t now_ms, uint64_t tag, int error);
// The service loop has applied up to index. bytes: handed to it and done with. The lease events of these entries, and
// streams.
struct core_applied {
    uint64_t epoch, index, term, bytes, log_time_ms, next_deadline_ms;
    int64_t unix_offset_ms;
    uint32_t apply_level;
    uint64_t settings[GROUP_SETTING_COUNT];
    const struct lease_event *leases;
    size_t lease_count;
    const struct machine_stream *streams;
    size_t stream_count;          // those that moved
    struct machine_sample sample; // newest digest sample; index 0: none
    // Not 0: this node's stream of that boot went with its membership in these entries. Its commands under way have
    // been answered as unknown, and none that was submitted before has come to core after this.
    uint64_t own_gone;
};
// The first one after core_new (of a formed node) and after core_installed brings everything: each lease as an ATTACHED
// event, each stream, times. Until then nothing is handed to apply. Core forgets leases and streams at both.
void core_applied(struct core *core, uint64_t now_ms, const struct core_applied *applied);
void core_persisted(struct core *core, uint64_t now_ms, uint64_t number,
                    int error); // error -ENOSPC: not in the journal; core retries, answers FULL meanwhile
// How long the write under way has been standing, every 100 ms; 0: none. Past an election time-out a leader hands over.
void core_disk_stall(struct core *core, uint64_t now_ms, uint64_t stalled_ms);
void core_entries(struct core *core, uint64_t now_ms, const struct raft_need *need, struct batch_ref *batches,
                  size_t count); // takes the references
void core_peer_up(struct core *core, uint64_t now_ms, uint32_t peer, const uint8_t incarnation[INCARNATION_BYTES],
                  enum core_channel channel);
void core_peer_down(struct core *core, uint64_t now_ms, uint32_t peer, enum core_channel channel);
void core_peer_frame(struct core *core, uint64_t now_ms, uint32_t peer, enum core_channel channel, struct bytes frame);
void core_snapshot_made(struct core *core, uint64_t now_ms, uint64_t index, uint64_t term);
void core_installed(struct core *core, uint64_t now_ms, uint64_t epoch,
                    uint64_t index); // the service loop has loaded it
void core_stop(struct core *core,
               uint64_t now_ms); // orderly: time entry, leadership handed over; admin_done(0) when it may end

// ---- administration (answers by admin_done with the request's number)
enum core_admin { // in frames between nodes: new ones at the end
    CORE_MEMBER_ADD,
    CORE_MEMBER_REMOVE,
    CORE_MEMBER_PROMOTE,
    CORE_TRANSFER,
    CORE_FORM_WITHOUT, // of the node that is asked only
    CORE_MEMBER_ADD_OBSERVER,
    CORE_TIME_STEP, // Unix time to the leader's clock, back too
    CORE_ADMIN_COUNT
};
void core_admin(struct core *core, uint64_t now_ms, uint64_t request, enum core_admin what, uint32_t member,
                const char *address);
// A link handshake names (id, incarnation, cluster id, addresses): may this peer talk to us? Gives a text for the log
// when not.
struct core_hello {
    uint32_t id;
    uint8_t incarnation[INCARNATION_BYTES];
    uint8_t cluster_id[16];
    bool empty;
    uint32_t apply_level_max;
    char address[ADVERTISED_COUNT][ADDRESS_TEXT_MAX];
};
bool core_hello(struct core *core, uint64_t now_ms, const struct core_hello *hello, const char **refusal);
void core_own_hello(const struct core *core, struct core_hello *hello);
// Peers this node should have links to now (listed ones until formed, then the members'); changes are seen by asking
// after each call.
size_t core_peers(const struct core *core, struct core_peer *out, size_t max);
void core_get_status(const struct core *core, struct core_status *status);
const struct raft_membership *core_membership(const struct core *core);
bool core_formed(const struct core *core);
struct raft *core_raft(struct core *core); // for tests, the simulator and status pages: read only
