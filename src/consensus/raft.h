// Raft as a pure step function (Ongaro's thesis, cited by section where a rule is coded). No I/O, no clock, no
// randomness of its own (the seed is given): one event with the time in it goes in, an update comes out that says what
// to persist, what may be sent at once, and what only after the persist. The caller owns threads, disks and sockets.
//
// Unit of the log: the batch (consensus/batch.h). `index` counts commands; a message's previous index is always some
// batch's last. Invariants: commit <= last; commit never shrinks; a committed batch never changes; term never shrinks;
//             at most one vote a term; everything in `send_after` waits for its own persist_number.
#pragma once
#include "base/log.h"
#include "consensus/batch.h"
#include "consensus/membership.h"

struct raft;

struct raft_options {
    uint32_t id;
    uint8_t incarnation[INCARNATION_BYTES];
    uint32_t group;
    uint64_t seed;                  // for election time-outs
    uint32_t heartbeat_ms;          // 100
    uint32_t election_ms;           // 500: time-outs are random in [election_ms, 2 * election_ms)
    uint64_t inflight_bytes_max;    // per follower in replicate state; 8 MiB
    uint32_t inflight_messages_max; // 256
    uint64_t message_bytes_max;     // entries in one append message; 1 MiB (one batch may exceed it)
    uint64_t
        tail_bytes_max; // batches kept in memory for followers and apply; 16 MiB; older ones are asked from storage
    struct log *log;
};

// State found on disk at start.
struct raft_restored {
    uint64_t term;
    uint32_t voted_for;
    uint64_t start_index, start_term;  // log begins after this (the snapshot's place, or the formation's base)
    struct raft_membership membership; // as of start_index (copied); later membership batches in the log override it
    const struct batch_ref *batches;   // the log behind start_index, in order (referenced; raft takes own references)
    size_t batch_count;
    uint64_t commit; // known to be committed (the snapshot's index at least)
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_message_type {
    RAFT_MSG_PRE_VOTE = 1,
    RAFT_MSG_PRE_VOTE_ANSWER,
    RAFT_MSG_VOTE,
    RAFT_MSG_VOTE_ANSWER,
    RAFT_MSG_APPEND,        // bulk connection; entries (may be none: a probe)
    RAFT_MSG_APPEND_ANSWER, // control connection
    RAFT_MSG_HEARTBEAT,     // control; carries commit (min(commit, match)), read round, log time (filled by replica)
    RAFT_MSG_HEARTBEAT_ANSWER,
    RAFT_MSG_TIMEOUT_NOW,    // leader transfer (thesis 3.10)
    RAFT_MSG_SNAPSHOT_OFFER, // leader to follower: "your next entry is gone; take snapshot (index, term)"; the chunks
                             // travel in replica's messages
};
struct raft_message {
    enum raft_message_type type;
    uint32_t group, from, to;
    uint8_t to_incarnation[INCARNATION_BYTES]; // as the sender's membership names the receiver; a receiver with another
                                               // one ignores votes and appends
    uint64_t term;
    uint64_t index, log_term; // vote: last log place. append: previous place. append answer: see raft_message.c
    uint64_t commit;
    uint64_t round;                 // heartbeat: read round; echoed. 0: news of a commit index only, not answered
    uint64_t hint_index, hint_term; // append answer that rejects: fast back-tracking (thesis 5.3 end)
    bool reject;
    bool disturb; // vote: caused by leader transfer: leases do not refuse it. (A closed leader connection is no such
                  // cause: who has lost it too grants anyway, who has not must refuse.)
    uint64_t log_time_ms;      // heartbeat and append: filled in by replica
    struct batch_ref *batches; // append: owned by the message
    size_t batch_count;
};
void raft_message_release(struct raft_message *m); // batches and array
// Bytes for a peer connection. encode writes everything but the batches' bytes; batches follow as they are (so that
// they can be sent by reference): *tail_bytes says how many bytes those are. decode takes a whole message; batches
// become own bufs, checked by crc. false: bad bytes.
void raft_message_encode(const struct raft_message *m, struct writer *w, size_t *tail_bytes);
bool raft_message_decode(struct raft_message *m, struct bytes span);

enum raft_event_type {
    RAFT_EVENT_TICK,    // time has passed; call at raft_next_deadline_ms at the latest (timers run here only; feed what
                        // the sockets hold first, so that a pause is not taken for silence)
    RAFT_EVENT_MESSAGE, // message: raft takes the batches it keeps out of it (buf = NULL); the caller releases the
                        // message. With from_incarnation set, answers of another incarnation than our membership names
                        // are dropped (requests are not: we may know only an older incarnation of today's leader)
    RAFT_EVENT_PROPOSE, // leader: batches built by raft_propose_prepare's numbers (see below)
    RAFT_EVENT_PERSISTED, // number: all updates with persist_number <= number are durable
    RAFT_EVENT_ENTRIES,   // storage's answer to `need` of `peer`: batches (may be empty: cut away, then a snapshot is
                          // needed). Every need must be answered; the first batch holds need.first, whole batches in
                          // order
    RAFT_EVENT_READ, // a read round is wanted; the update gives `read_round` when it starts; answered in reads_ready
    RAFT_EVENT_MEMBERSHIP,    // leader: propose this membership (the caller has checked sense; raft checks safety)
    RAFT_EVENT_TRANSFER,      // leader: hand over to `peer` (0: the most advanced voter)
    RAFT_EVENT_PEER_LOST,     // the control connection to `peer` closed and could not be opened again at once
    RAFT_EVENT_PEER_BACK,     // a connection to `peer` is up (again): probe it
    RAFT_EVENT_SNAPSHOT_SENT, // transfer of a snapshot to `peer` ended: `ok` (the follower has INSTALLed it), snapshot
                              // place in index/term. Must follow each entry of update.snapshots; not ok: asked again
                              // after election_ms
    RAFT_EVENT_INSTALL,       // a snapshot (index, term, membership) is complete on disk and may replace the log.
                        // update.installed says that it did; else the log holds that place: the tail stays, only commit
                        // moves. A restart between the snapshot and its START in the journal: start the log at the
                        // snapshot unless it holds (index, term)
    RAFT_EVENT_SNAPSHOT_MADE, // own snapshot at `index`, `term`: the tail behind it may be forgotten (kept for
                              // followers within bounds)
    RAFT_EVENT_DISK,     // `ok` false: the disk stalls past the election time-out or is full: a leader hands over, a
                         // follower does not stand
    RAFT_EVENT_CAMPAIGN, // stand at once (formation of one node, tests)
};
struct raft_event {
    enum raft_event_type type;
    uint64_t now_ms;
    struct raft_message *message;
    struct batch_ref *batches;
    size_t batch_count; // PROPOSE, ENTRIES: raft takes the references (not the array)
    uint64_t number;
    uint32_t peer;
    bool ok;
    uint64_t index, term;
    const struct raft_membership *membership; // copied
    const uint8_t *from_incarnation;          // MESSAGE: the link's; NULL: the caller has checked (INCARNATION_BYTES)
    uint64_t log_time_ms; // the group's clock, or 0: entries raft makes itself carry the largest seen
};

struct raft_need {
    uint32_t peer;
    uint64_t first, last;
    size_t bytes_max;
}; // peer 0: for apply
struct raft_read_ready {
    uint64_t round, index;
}; // reads that asked for `round` or earlier may run at applied >= index

struct raft_update {
    // 1. persist, in this order: hard state, truncation, batches. persist_number 0: nothing to persist in this update.
    uint64_t persist_number;
    bool hard_changed;
    uint64_t term;
    uint32_t voted_for;
    uint64_t truncate_from; // 0: none
    struct batch_ref *append;
    size_t append_count; // references owned by the update
    bool installed;
    uint64_t start_index, start_term; // the log was replaced by a snapshot: it now begins after this place
    // 2. messages. send_after: not before persist_number (of this update; if 0, of all earlier ones) is durable.
    struct raft_message *send;
    size_t send_count;
    struct raft_message *send_after;
    size_t send_after_count;
    // 3. what else changed
    bool commit_changed;
    uint64_t commit;
    bool role_changed;
    enum raft_role role;
    uint32_t leader;         // or the term changed; leader 0: unknown
    bool membership_changed; // raft_membership() gives the new one (appended, not committed)
    uint64_t read_round; // given for this READ event: wait for reads_ready with round >= it; 0: refused (not leader)
    struct raft_read_ready *reads_ready;
    size_t reads_ready_count;
    struct raft_need *needs;
    size_t need_count;
    struct {
        uint32_t peer;
    } * snapshots;
    size_t snapshot_count; // these peers need a snapshot
    int refused;           // PROPOSE, MEMBERSHIP, TRANSFER: 0 or a raft_error
};
enum raft_error {
    RAFT_OK = 0,
    RAFT_NOT_LEADER = 1,
    RAFT_BUSY = 2 /* a change is under way */,
    RAFT_UNSAFE = 3,
    RAFT_TRANSFERRING = 4
};

struct raft *raft_new(const struct raft_options *options, const struct raft_restored *restored, uint64_t now_ms);
void raft_free(struct raft *raft);
// Feeds one event. The update belongs to raft and is valid until the next step; take references out of it (buf_ref) to
// keep bytes. Messages' batches in send/send_after are released at the next step too unless taken (set batches = NULL).
const struct raft_update *raft_step(struct raft *raft, const struct raft_event *event);
// One more line of defence, called by tests and the simulator after each step: asserts every invariant above.
void raft_check(const struct raft *raft);

// For building a batch to propose: valid right before RAFT_EVENT_PROPOSE while role is RAFT_LEADER.
uint64_t raft_next_index(const struct raft *raft);
uint64_t raft_term(const struct raft *raft);
enum raft_role raft_role(const struct raft *raft);
uint32_t raft_leader(const struct raft *raft);
uint64_t raft_commit(const struct raft *raft);
uint64_t raft_last_index(const struct raft *raft);
uint64_t raft_persisted_index(const struct raft *raft);
bool raft_vote_persisted(const struct raft *raft, uint32_t *voted_for); // false: the term's vote is not on disk yet
bool raft_term_committed(const struct raft *raft);       // leader: has committed an entry of its own term
uint64_t raft_next_deadline_ms(const struct raft *raft); // UINT64_MAX: none (a follower that may not stand)
const struct raft_membership *raft_membership(const struct raft *raft);
// Committed batches held in memory, in order, whole, the first holding `from`, at most bytes_max (at least one if the
// first is there); borrowed: buf_ref to keep beyond the next step. 0 while from <= commit: ask storage.
size_t raft_committed(const struct raft *raft, uint64_t from, size_t bytes_max, struct batch_ref *out, size_t max);
struct raft_progress {
    uint32_t id;
    uint64_t match, next;
    enum { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT } state;
    uint64_t inflight_bytes;
    bool recent_active;
};
bool raft_progress(const struct raft *raft, uint32_t peer, struct raft_progress *out);
bool raft_term_at(const struct raft *raft, uint64_t index,
                  uint64_t *term); // false: before the log's start or behind its end
