// What the files of Raft share among themselves. Nothing outside src/consensus includes this.
//
//   raft.c            new, free, step: dispatch, the update's life, getters, raft_check
//   raft_election.c   time-outs, pre-vote, votes, becoming a candidate or leader, leader transfer's receiving end
//   raft_leader.c     appending, replication with flow control, commit, heartbeats, check-quorum, transfer
//   raft_follower.c   appends, heartbeats, installed snapshots
//   raft_read.c       ReadIndex rounds
//   raft_membership.c the memberships of the log's tail, joint consensus, the table of peers
//   raft_log.c        the log: runs of terms for all of it, batches for its tail
//   raft_message.c    outgoing messages, and their bytes
//   raft_check.c      every invariant, asserted
#pragma once
#include "base/assert.h"
#include "base/prng.h"
#include "consensus/raft.h"
#include <string.h>

#define RAFT_HINT_SPREAD_MS 50u // a closed leader connection: pre-vote after a random time up to this (replication.md)
#define RAFT_NEVER UINT64_MAX
#define RAFT_TERM_RUNS_KEPT 4096u // runs below the snapshot are forgotten beyond this: a term costs 16 bytes

// The log. Entries (start_index, last] exist; those from the tail's front on are in memory, older ones in storage only.
//
//   start_index        tail front             commit        persisted       last
//        |  (storage)      |  slots: batch batch batch batch batch batch batch |
//   runs: [first, term) [first, term) ...                                       one per change of term
//
// Invariants: start_index <= commit <= last; persisted <= last; the tail holds everything above min(commit, persisted).
struct term_run {
    uint64_t first, term; // entries from first up to the next run's first have this term
};
struct raft_log {
    uint64_t start_index, start_term;
    uint64_t last, last_term;
    uint64_t persisted; // durable up to here
    uint64_t commit;
    uint64_t log_time_ms; // largest log time seen: entries that raft makes itself carry it
    struct term_run *runs;
    size_t run_count, run_capacity;
    struct batch_ref *slots; // ring, capacity a power of two
    size_t capacity, head, count;
    uint64_t bytes; // of the batches in the ring
};

void raft_log_init(struct raft_log *log, uint64_t start_index, uint64_t start_term);
void raft_log_free(struct raft_log *log);
bool raft_log_term_at(const struct raft_log *log, uint64_t index, uint64_t *term);
// Largest index <= `index` whose term is <= `term` (never below start_index): the step of fast back-tracking.
uint64_t raft_log_backtrack(const struct raft_log *log, uint64_t index, uint64_t term, uint64_t *found_term);
void raft_log_append(struct raft_log *log, struct batch_ref batch); // takes the reference; batch.first == last + 1
void raft_log_truncate(struct raft_log *log, uint64_t from);        // from > commit, at a batch's first
void raft_log_replace(struct raft_log *log, uint64_t index, uint64_t term); // by a snapshot: empty behind (index, term)
void raft_log_trim(struct raft_log *log, uint64_t bytes_max);    // drops the oldest committed and persisted batches
void raft_log_forget_runs(struct raft_log *log, uint64_t index); // bounds the number of runs, below a snapshot
uint64_t raft_log_tail_first(const struct raft_log *log);        // first index in memory; last + 1 if none
size_t raft_log_find(const struct raft_log *log,
                     uint64_t index); // place of the batch that holds it; SIZE_MAX: not in memory
// The largest place not above it where a batch ends (logs are cut, and commit moves, only between batches).
uint64_t raft_batch_end(const struct raft_log *log, uint64_t index);
static inline struct batch_ref *raft_log_slot(const struct raft_log *log, size_t place) {
    return &log->slots[(log->head + place) & (log->capacity - 1)];
}

struct inflight {
    uint64_t last, bytes;
};
enum { VOTE_NONE, VOTE_GRANTED, VOTE_REFUSED };

// One member of the newest membership, ourselves included. The replication fields mean something while we lead.
// Invariants: match < next; inflight_bytes is the sum of the ring's bytes.
struct peer {
    uint32_t id;
    uint8_t incarnation[INCARNATION_BYTES];
    enum member_role role;
    bool self;
    uint8_t vote;       // of the election under way
    uint64_t active_ms; // when it last answered (check-quorum, thesis 6.2)
    int state;          // RAFT_PROBE ...
    uint64_t match, next;
    bool probe_sent;     // PROBE: one message is under way; the next at its answer, or at retry_at
    uint64_t probe_prev; // its previous index: other rejections are old ones
    uint64_t retry_at;   // PROBE with probe_sent: send again. SNAPSHOT: try again (RAFT_NEVER: it is under way)
    bool need_pending;   // storage was asked for this peer
    uint64_t acked_round;
    uint64_t commit_sent;      // the commit index it will know once what was sent arrives
    uint64_t pinged_match;     // match when we last looked whether acknowledgements move
    uint64_t ping_at;          // not to ask again before
    struct inflight *inflight; // ring of options.inflight_messages_max, made at first use
    uint32_t inflight_head, inflight_count;
    uint64_t inflight_bytes;
};

struct persist { // an update that storage still works on
    uint64_t number;
    uint64_t last; // the log's last index then, lowered by later truncations
};

struct outbox_slot { // the batches' array of the message at the same place; kept for the next step unless the caller
                     // takes it
    struct batch_ref *array;
    size_t capacity;
    bool used;
};
struct outbox {
    struct raft_message *messages;
    struct outbox_slot *slots;
    size_t count, capacity;
};

struct raft {
    struct raft_options options;
    struct prng prng;
    uint64_t now_ms;

    // Hard state (thesis figure 3.1)
    uint64_t term;
    uint32_t voted_for;
    bool hard_dirty;      // changed in this step
    uint64_t hard_number; // of the update that holds the newest hard state
    uint64_t persist_issued, persist_done;
    struct persist *persists; // ring
    size_t persists_capacity, persists_head, persists_count;

    enum raft_role role;
    uint32_t leader;
    struct raft_log log;

    struct raft_membership
        *memberships; // [0]: newest committed one (or the start's); behind it those of the uncommitted tail
    size_t membership_count, membership_capacity;
    struct peer *peers; // of the newest membership, ascending by id
    uint32_t peer_count;
    uint8_t peer_place[256]; // id -> place + 1; 0: none

    // Followers and candidates
    uint64_t contact_ms; // last message of the leader
    uint64_t election_at;
    uint64_t hint_until; // the leader's connection closed shortly ago: pre-votes are repeated quickly
    bool leader_lost;    // it is still closed
    bool disk_bad;

    // Leader
    uint64_t own_first; // first entry of this term: reads and changes of membership wait for its commit
    uint64_t heartbeat_at, transfer_until;
    uint32_t transfer_to;
    bool timeout_now_sent;
    bool match_dirty; // commit may move
    uint64_t round, round_index;
    bool round_running, round_wanted;
    uint64_t snapshot_index;

    struct raft_update update;
    struct outbox send, send_after;
    size_t append_capacity, need_capacity, snapshot_capacity, ready_capacity;
};

// raft_message.c
struct raft_message *raft_emit(struct raft *raft, struct outbox *outbox, enum raft_message_type type, uint32_t to);
void raft_emit_batch(struct outbox *outbox, struct raft_message *m,
                     const struct batch_ref *batch); // takes its own reference
void raft_outbox_clear(struct outbox *outbox);
void raft_outbox_free(struct outbox *outbox);
// For answers that show our term: at once only if the hard state is on disk.
struct outbox *raft_answer_box(struct raft *raft);

// raft_election.c
void raft_become_follower(struct raft *raft, uint64_t term, uint32_t leader);
void raft_become_candidate(struct raft *raft, bool disturb);
void raft_become_pre_candidate(struct raft *raft);
void raft_election_reset_timer(struct raft *raft);
void raft_election_tick(struct raft *raft);
void raft_election_tally(struct raft *raft);
void raft_election_peer_lost(struct raft *raft, uint32_t peer);
bool raft_election_lease(const struct raft *raft);
bool raft_may_stand(const struct raft *raft);
void raft_handle_pre_vote(struct raft *raft, const struct raft_message *m);
void raft_handle_vote(struct raft *raft, const struct raft_message *m);
void raft_handle_vote_answer(struct raft *raft, const struct raft_message *m); // of both kinds
void raft_handle_timeout_now(struct raft *raft, const struct raft_message *m);

// raft_leader.c
void raft_leader_start(struct raft *raft);                          // after the election was won
void raft_leader_append(struct raft *raft, struct batch_ref batch); // takes the reference
void raft_leader_append_own(struct raft *raft, enum batch_kind kind, struct bytes body);
void raft_leader_tick(struct raft *raft);
void raft_leader_finish(struct raft *raft); // the end of each step
void raft_leader_heartbeats(struct raft *raft);
void raft_leader_commit_news(struct raft *raft);
bool raft_peer_active(const struct raft *raft, const struct peer *peer); // answered within an election time-out
int raft_leader_transfer(struct raft *raft, uint32_t peer);
uint64_t raft_leader_deadline(const struct raft *raft);
void raft_leader_peer_reset(struct raft *raft, struct peer *peer, bool lost);
void raft_leader_entries(struct raft *raft, uint32_t peer, struct batch_ref *batches, size_t count);
void raft_leader_snapshot_sent(struct raft *raft, uint32_t peer, uint64_t index, bool ok);
void raft_handle_append_answer(struct raft *raft, const struct raft_message *m);
void raft_handle_heartbeat_answer(struct raft *raft, const struct raft_message *m);
struct peer *raft_leader_best_voter(struct raft *raft); // most advanced active voter but us; NULL: none
void raft_commit_to(struct raft *raft, uint64_t index); // any role

// raft_follower.c
void raft_handle_append(struct raft *raft, struct raft_message *m);
void raft_handle_heartbeat(struct raft *raft, const struct raft_message *m);
void raft_follower_install(struct raft *raft, uint64_t index, uint64_t term, const struct raft_membership *membership);
void raft_answer_stale_leader(struct raft *raft, const struct raft_message *m);

// raft_read.c
void raft_read_request(struct raft *raft);
void raft_read_advance(struct raft *raft); // completes the round under way if it can, starts the next
void raft_read_drop(struct raft *raft);    // no longer leader

// raft_membership.c
struct raft_membership *raft_newest_membership(const struct raft *raft);
void raft_membership_start(struct raft *raft, const struct raft_membership *base);       // the only one
bool raft_membership_of_batch(const struct batch_ref *batch, struct raft_membership *m); // false: not one, or bad
bool raft_membership_batch_good(const struct batch_ref *batch); // false: says to be a membership and is none
void raft_membership_appended(struct raft *raft, const struct batch_ref *batch);
void raft_membership_truncated(struct raft *raft, uint64_t from);
void raft_membership_committed(struct raft *raft);
int raft_membership_propose(struct raft *raft, const struct raft_membership *proposed);
void raft_membership_leader_after_commit(struct raft *raft);
bool raft_counts(enum member_role role); // in the old or the new majority

// raft.c
struct peer *raft_peer(const struct raft *raft, uint32_t id); // NULL: not a member
struct peer *raft_self(const struct raft *raft);              // NULL: not a member under this incarnation
void raft_truncate(struct raft *raft, uint64_t from);
void raft_append(struct raft *raft, struct batch_ref batch); // log, update and membership; takes the reference
void raft_set_hard(struct raft *raft, uint64_t term, uint32_t voted_for);

static inline enum batch_kind raft_batch_kind(const struct batch_ref *batch) {
    return (enum batch_kind)get_u16_le(batch->buf->data + 12);
}
static inline uint64_t raft_batch_time(const struct batch_ref *batch) {
    return get_u64_le(batch->buf->data + 40);
}
