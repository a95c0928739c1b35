// What the files of core share among themselves. Nothing outside src/replica includes this.
//
//   core.c            life, raft's updates: persist, send, hand-over to apply; leader changes; status
//   core_propose.c    the leader's batches
//   core_stream.c     this node's stream, forwards, the leader's table of appended numbers
//   core_time.c       log time, time entries, the Unix offset
//   core_keepalive.c  renewable deadlines, keep-alive rounds, expiry, checkpoints
//   core_read.c       linearizable rounds
//   core_member.c     hello, formation, taking in, administration
//   core_level.c      raising the apply level
//   core_snapshot.c   transfer and install
//   core_digest.c     samples compared
//   core_frame.c      bytes of the peer frames
#pragma once
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/prng.h"
#include "base/ring.h"
#include "replica/core.h"

#define CORE_MEMBER_IDS 256u             // ids are 1 .. 255
#define CORE_CHUNK_BYTES (1u << 20)      // own commands are kept, sent and resent in pieces of about this size
#define CORE_WINDOW_BYTES (4u << 20)     // credit of one origin: sent and not yet acknowledged by the leader
#define CORE_UNCOMMITTED_MAX (32u << 20) // a leader's proposals that a majority has not yet: beyond, no credit
#define CORE_WAIT_MS 3000u        // what waits for a leader longer is refused: ZooKeeper's connections close then too
#define CORE_HOUSEKEEPING_MS 100u // the loop never sleeps longer (replication.md "Time")
#define CORE_TIME_AHEAD_MS 250u   // log time beyond the service loop's last reading turn
#define CORE_TIME_EVERY_MS 10000u // time entries while a deadline exists
#define CORE_GRACE_MAX_MS 2000u   // G = min(T/3, 2 s)
#define CORE_LOOP_GONE_MS 10000u  // a node whose service loop stands longer counts as gone
#define CORE_CHECKPOINT_OVER_MS 60000u // leases longer than this are checkpointed
#define CORE_CHECKPOINT_EVERY_MS 30000u
#define CORE_CHECKPOINT_MAX 500u // leases in one CHECKPOINT entry
#define CORE_EXPIRE_MAX 100u     // EXPIRE entries under way: a mass expiry is paced
#define CORE_SILENT_MS 10000u    // replication.md "Members": the old incarnation's silence before a new one is taken in
#define CORE_CAUGHT_UP 1024u     // entries behind the leader at most: synced, may be promoted
#define CORE_SNAPSHOT_CHUNK_DEFAULT (256u << 10)
#define CORE_SNAPSHOT_FLIGHT 4u // chunks sent and not yet written by the follower
#define CORE_LOST_GRACE_MS 20u  // "cannot be opened again at once"
#define CORE_HISTORY 256u       // heartbeats remembered: log times by the own clock
#define CORE_DISK_RETRY_MS 500u
#define CORE_PEER_SAMPLES 8u
#define CORE_STOP_MS 2000u // an orderly end waits so long for a successor

// ---- frames (core_frame.c): first byte says which
enum frame_type {
    FRAME_RAFT = 1,            // either: a raft message follows
    FRAME_STREAM_STATE = 2,    // L->F control: what the leader has appended of the receiver's stream, and its credit
    FRAME_FORWARD = 3,         // F->L bulk: a section
    FRAME_STREAM_ASK = 4,      // F->L control: say where my stream stands
    FRAME_KEEPALIVE = 5,       // F->L control: a round of renewed sessions; also clock and digest sample
    FRAME_KEEPALIVE_ACK = 6,   // L->F control
    FRAME_READ_ASK = 7,        // F->L control
    FRAME_READ_ANSWER = 8,     // L->F control
    FRAME_SNAPSHOT_OFFER = 9,  // L->F control
    FRAME_SNAPSHOT_ASK = 10,   // F->L control: written up to offset
    FRAME_SNAPSHOT_CHUNK = 11, // L->F bulk
    FRAME_SNAPSHOT_DONE = 12,  // F->L control
    FRAME_SNAPSHOT_WANT = 13,  // F->L control: a diverged node asks for one to rebuild from
    FRAME_DIVERGED = 14,       // L->F control: your digest differs (or agrees again)
    FRAME_ADMIN = 15,          // F->L control
    FRAME_ADMIN_DONE = 16,     // L->F control
};
struct core_frame { // one shape for all but RAFT; each type uses the fields that its row in core_frame.c names
    uint8_t type;
    uint64_t term;
    uint64_t a, b, c, d;
    uint32_t attempt, count;
    uint8_t flags;
    int64_t signed_value;
    struct digest digest;
    uint8_t id16[16];
    struct bytes tail; // the rest: commands, (session, attach) pairs, chunk bytes, text
};
enum { STATE_RESYNC = 1, STATE_FULL = 2 }; // flags of STREAM_STATE
enum { CHUNK_LAST = 1, OFFER_REBUILD = 1, DONE_OK = 1, DONE_DAMAGED = 2, ANSWER_OK = 1, DIVERGED_YES = 1 };
void core_frame_encode(const struct core_frame *frame, struct writer *w); // all but the tail
bool core_frame_decode(struct core_frame *frame, struct bytes span);      // the tail points into span

// ---- stream
struct chunk { // commands of this node in the order they came; first_seq 0: no number yet
    uint64_t first_tag, first_seq;
    uint32_t count;
    uint64_t arrived_ms;
    uint64_t start, end; // its place among the bytes of the stream, for windows
    struct buf *bytes;
};
struct own_stream {
    bool open; // formed, not between snapshot and core_installed
    uint64_t boot;
    uint64_t next_seq;     // the next number to be given
    uint64_t applied_seq;  // of this boot
    struct ring chunks;    // struct chunk; front has id base
    uint64_t base;         // id of the oldest kept chunk
    uint64_t next;         // id of the next to hand to the leader of this term
    uint64_t acked;        // id of the first not acknowledged by it
    uint64_t total_bytes;  // ever taken in (chunk.end of the newest)
    uint64_t applied_end;  // chunk.end of the newest applied one
    uint64_t numbered_end; // chunk.end of the newest numbered one
    // towards the leader of (term, leader), when that is another node
    bool synced;      // it has told where our stream stands
    uint32_t attempt; // forwards with another attempt are ignored by the leader: one resync resends once
    uint64_t credit;
    bool leader_full;
    uint64_t progress_ms; // last acknowledgement, or last sending out of nothing
};
struct stream { // of a member: where its stream stands
    bool known;
    uint8_t incarnation[INCARNATION_BYTES];
    uint64_t boot, last_seq;
};
struct forwarded { // leader: a section that waits for the next batch
    uint32_t origin;
    uint32_t count;
    uint64_t boot, first_seq;
    struct buf *bytes;
};

// ---- keep-alive
struct renewable { // one lease's soft state
    uint64_t session, attach;
    uint32_t timeout_ms, node;
    uint64_t remaining_ms; // of the last checkpoint; 0: none
    uint64_t deadline_ms;  // leader: log time of expiry (activity + T + G)
    bool expiring;         // leader: an EXPIRE of this attach stands in the log, or waits for the batch
    bool checkpointing;    // leader: has proposed a checkpoint that may not be committed yet
    bool clearing;         // leader: the entry that takes back its checkpoint is under way
    struct hash_node node_by_session;
    struct list order;
    struct heap_item due;
};
struct checkpoint { // found in a committed batch that ends with index, not yet applied
    uint64_t index, session, attach, remaining_ms;
};
struct round { // a node's keep-alive round, waiting for a quorum round begun after it
    uint32_t node;
    uint64_t round;
    struct core_keepalive *active;
    size_t count;
};
struct round_bundle {       // what one raft round answers
    struct ring keepalives; // struct round
    struct ring reads;      // struct read_wait
};
struct read_wait {
    uint32_t node;  // 0: this one
    uint64_t round; // the node's, or the follower's id of the ask
    uint64_t since_ms;
};

// ---- peers
struct sample_slot {
    uint64_t index;
    struct digest digest;
};
struct transfer { // leader: a snapshot on its way to this peer
    bool wanted, active, rebuild;
    bool asked_maker;
    bool unusable;  // the newest one of this node: it cannot be read, or its bytes are damaged
    uint64_t above; // rebuild: only one above this index
    uint64_t index, term, bytes;
    uint64_t sent, written;
    uint64_t progress_ms;
};
struct peer_state {
    uint32_t id;
    bool up[2];
    uint8_t incarnation[INCARNATION_BYTES]; // of the link
    uint64_t lost_at_ms;                    // control closed, not yet told to raft; 0: none
    uint64_t heard_ms;                      // last frame or hello, own clock
    uint64_t member_heard_ms;               // last frame of the incarnation that the membership names
    bool taking_in;                         // leader: its old voter was made a learner to be replaced
    // leader, of this term
    uint32_t attempt;
    bool ack_due, credit_was;
    uint64_t heard_log_ms; // log time at the last control frame
    uint64_t round_log_ms; // log time at its last keep-alive round
    uint64_t knew_log_ms;  // the log time that its service loop's newest round stands behind
    uint64_t unix_at_ms;   // when its clock was told (own clock); 0: not
    int64_t unix_ahead_ms; // its Unix time - ours
    struct sample_slot samples[CORE_PEER_SAMPLES];
    uint32_t sample_at;
    bool diverged;
    struct transfer transfer;
    // from its hello
    bool seen, empty;
    uint8_t cluster_id[16];
    uint8_t hello_incarnation[INCARNATION_BYTES];
    uint32_t apply_level_max;
    char address[ADVERTISED_COUNT][ADDRESS_TEXT_MAX];
};

struct persist_item { // issued to storage, or waiting while the disk is full
    uint64_t number;
    bool failed, issued;
    bool hard_changed, installed;
    uint64_t term, truncate_from, start_index, start_term;
    uint32_t voted_for;
    struct batch_ref *append;
    size_t append_count;
};
struct waiting_send {
    uint64_t number;
    uint32_t peer;
    enum core_channel channel;
    struct buf *head;
    struct buf **bufs;
    size_t buf_count;
};
struct proposed {
    uint64_t last, bytes;
};
struct admin_request {
    uint64_t request;
    uint32_t from; // 0: this node
    enum core_admin what;
    uint32_t member;
    uint64_t deadline_ms;
    bool proposed;
    uint32_t asked; // the leader that was asked
    bool retried;   // another one was asked before, and may have done it
    char address[ADDRESS_TEXT_MAX];
};
struct history {
    uint64_t at_ms, log_ms, term;
};

struct core {
    struct core_options options;
    struct core_ops ops;
    struct core_peer *listed;
    struct raft *raft;
    struct prng prng;
    uint64_t now_ms;
    bool formed, stopping, stopped, stepping, flushing;
    uint64_t stop_deadline_ms, stop_request_ms;
    bool stop_time_done, first_tick;
    uint64_t next_ms;

    // what was true after the last step
    uint64_t term;
    uint32_t leader;
    enum raft_role role;
    uint64_t own_first;     // leader: its term's first entry
    bool alone;             // as told (core_ops.alone)
    bool leading;           // leader, and its term's first entry is applied: forwards and keep-alives are taken
    uint64_t leaderless_ms; // since when no leader is known; 0: one is
    struct core_status status;
    uint64_t status_ms;

    // persisting
    struct ring persists; // struct persist_item
    struct ring waiting;  // struct waiting_send
    uint64_t issued, persisted;
    bool disk_full, disk_stalled;
    uint64_t disk_retry_ms;

    // hand-over to apply
    uint64_t epoch, handed, handed_bytes, applied, applied_term;
    bool primed;     // the full core_applied of this epoch has come
    bool installing; // ops.install was called, core_installed not yet
    bool reading;    // storage was asked for apply
    uint64_t read_again_ms;
    struct ring needs;     // struct raft_need, to be asked outside of a step
    struct ring snapshots; // uint32_t peers
    struct ring readies;   // struct raft_read_ready
    struct ring proposals; // struct proposed: own term's batches above commit
    uint64_t uncommitted_bytes;

    struct own_stream own;
    struct stream *streams;  // [CORE_MEMBER_IDS] as applied
    struct stream *appended; // leader: as appended
    struct ring forwards;    // struct forwarded
    uint64_t forwards_bytes;
    struct writer internal; // u32 length + command each: the leader's own entries for the next batch
    uint32_t internal_count;
    uint64_t propose_hold_ms;

    // time
    uint64_t log_time_ms; // largest seen; as a leader it moves
    uint64_t log_at_ms;   // leader: own clock up to which log_time_ms has moved
    uint64_t turn_seen_ms;
    uint64_t clock_told_ms;
    struct history history[CORE_HISTORY];
    uint32_t history_at;
    uint64_t next_deadline_ms; // earliest fixed one as applied
    uint64_t applied_log_ms;
    int64_t unix_offset_ms;
    uint64_t settings[GROUP_SETTING_COUNT]; // as of what is applied
    uint32_t apply_level, level_proposed;   // as of what is applied; what this leadership has proposed
    struct log_limit expire_log;
    bool settings_told;        // this leadership has proposed its own
    uint64_t time_entry_index; // newest TIME entry proposed in this term; 0: none
    bool time_waiting;         // one stands in `internal`
    uint64_t time_entry_log_ms;
    uint64_t offset_entry_index, offset_entry_log_ms;
    uint64_t unix_check_ms;

    // keep-alive
    struct hash leases;
    struct list lease_order;
    struct heap lease_due;
    struct ring checkpoints;  // struct checkpoint
    uint32_t expires_waiting; // proposed or about to be, not applied
    uint64_t checkpoint_log_ms, leading_log_ms;

    // rounds
    struct round_bundle waiting_round, running_round;
    uint64_t running;      // raft's round number; 0: none
    struct ring reads;     // struct read_wait: this node's, not yet asked
    struct ring reads_out; // asked of the leader under read_id
    uint64_t read_id, read_sent_ms;
    bool read_asked;

    // members
    struct peer_state *peers[CORE_MEMBER_IDS];
    bool without[CORE_MEMBER_IDS];
    uint64_t form_told_ms;
    struct ring admins; // struct admin_request
    uint64_t membership_seen, member_check_ms, leader_since_ms, lost_soon_ms;

    // receiving a snapshot
    bool receiving, receive_rebuild;
    uint64_t receive_index, receive_term, receive_bytes, receive_written, receive_ms;
    uint32_t receive_from;
    uint8_t receive_cluster[16];
    uint64_t want_told_ms;

    // digests
    struct sample_slot samples[DIGEST_SAMPLES_KEPT];
    uint64_t sample_count;
    bool diverged, want_rebuild;
    uint64_t rebuild_above; // diverged: a snapshot above this index is taken
};

// core.c
const struct raft_update *core_step(struct core *core,
                                    const struct raft_event *event); // takes the update in; the update stays readable
void core_step_simple(struct core *core, enum raft_event_type type, uint32_t peer, bool ok);
void core_flush(struct core *core); // what an entry point leaves to be done outside of raft's step
void core_send_frame(struct core *core, uint32_t peer, enum core_channel channel, const struct core_frame *frame,
                     struct buf *const *bufs, size_t buf_count);
void core_reset_epoch(struct core *core, uint64_t index);     // apply begins anew behind index
struct peer_state *core_peer(struct core *core, uint32_t id); // makes it; id 1 .. 255
bool core_alone(const struct core *core);                     // the only voter, no other member
uint32_t core_self(const struct core *core);

// core_propose.c
bool core_may_propose(const struct core *core);
void core_internal_command(struct core *core, struct bytes command); // leading only
void core_propose(struct core *core);
void core_propose_committed(struct core *core);
void core_propose_reset(struct core *core);

// core_stream.c
void core_stream_init(struct core *core);
void core_stream_free(struct core *core);
void core_stream_open(struct core *core, uint64_t boot);
void core_stream_close(struct core *core);               // install: what has no number is refused, the rest dropped
void core_stream_gone(struct core *core, uint64_t boot); // apply dropped this node's stream: it begins a new one
void core_stream_refuse(struct core *core, int error);   // all without a number
void core_stream_leader_changed(struct core *core);
void core_stream_leading(struct core *core); // the term's first entry is applied
void core_stream_applied(struct core *core, const struct machine_stream *streams, size_t count);
void core_stream_pump(struct core *core); // follower: hand chunks to the leader
void core_stream_acks(struct core *core); // leader: acknowledgements and credit
void core_stream_tell(struct core *core, uint32_t peer, bool resync);
void core_stream_link(struct core *core, uint32_t peer);
void core_stream_frame(struct core *core, uint32_t peer, const struct core_frame *frame);
void core_stream_tick(struct core *core);
struct chunk *core_chunk(const struct core *core, uint64_t id);
void core_stream_number(struct core *core, struct chunk *chunk);
uint64_t core_stream_credit(const struct core *core);
bool core_may_hand(const struct core *core, const struct chunk *chunk);

// core_time.c
void core_time_move(struct core *core); // leader: log time goes on
void core_time_seen(struct core *core, uint64_t log_time_ms, uint64_t term);
void core_time_leader_changed(struct core *core);
void core_time_leading(struct core *core); // it has just begun to lead
void core_time_tick(struct core *core);
bool core_time_step(struct core *core, struct admin_request *request);
uint64_t core_time_known_at(const struct core *core,
                            uint64_t at_ms); // the log time of this term known here at that moment
uint64_t core_time_deadline(const struct core *core, uint64_t log_deadline_ms); // as own clock

// core_keepalive.c
void core_keepalive_init(struct core *core);
void core_keepalive_forget(struct core *core);
void core_keepalive_leader_changed(struct core *core);
void core_keepalive_leading(struct core *core);
void core_keepalive_events(struct core *core, const struct lease_event *events, size_t count);
void core_keepalive_applied(struct core *core);
void core_keepalive_tick(struct core *core);
void core_keepalive_frame(struct core *core, uint32_t peer, const struct core_frame *frame);
void core_keepalive_answer(struct core *core, struct round *round);         // its quorum round is done
void core_keepalive_scan(struct core *core, const struct batch_ref *batch); // checkpoints in committed batches
void core_round_free(struct round *round);

// core_read.c
void core_read_init(struct core *core);
void core_read_free(struct core *core);
void core_read_leader_changed(struct core *core);
void core_read_ready(struct core *core, const struct raft_read_ready *ready);
void core_read_pump(struct core *core);
void core_read_frame(struct core *core, uint32_t peer, const struct core_frame *frame);
void core_read_refuse(struct core *core, int error); // every one that waits here

// core_member.c
void core_member_tick(struct core *core);
void core_member_applied(struct core *core);
void core_member_frame(struct core *core, uint32_t peer, const struct core_frame *frame);
void core_member_form(struct core *core);
bool core_peer_trusted(const struct core *core, uint32_t peer); // its link's incarnation is the member's
void core_admin_finish(struct core *core, const struct admin_request *request, int error, const char *text);

// core_level.c
void core_level_raise(struct core *core);
uint32_t core_level_needed(const struct core *core); // what every member must be able to follow
bool core_level_too_old(const struct core *core, uint32_t peer);

// core_snapshot.c
void core_snapshot_wanted(struct core *core, uint32_t peer, bool rebuild);
void core_snapshot_leader_changed(struct core *core);
void core_snapshot_frame(struct core *core, uint32_t peer, enum core_channel channel, const struct core_frame *frame);
void core_snapshot_link(struct core *core, uint32_t peer);
void core_snapshot_tick(struct core *core);
void core_snapshot_renewed(struct core *core); // this node has a new one of its own
void core_install(struct core *core, uint64_t index, uint64_t term, const struct raft_membership *membership,
                  const uint8_t cluster_id[16]);

// core_digest.c
void core_digest_sample(struct core *core, const struct machine_sample *sample);
void core_digest_peer(struct core *core, uint32_t peer, uint64_t index, struct digest digest);
void core_digest_frame(struct core *core, uint32_t peer, const struct core_frame *frame);
void core_digest_forget(struct core *core);
