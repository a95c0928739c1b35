// The replicated state machine of one group, service-loop side: takes committed batches in order, gives results and
// events. Holds the models, the streams' last_seq (once-only without a table of replies), membership as of the applied
// index, log time, the Unix offset, the apply level and the digest samples. Deterministic: no clock, no I/O, nothing of
// this node but `self`/`boot`, which only decide who is told a result.
#pragma once
#include "base/digest.h"
#include "consensus/batch.h"
#include "consensus/membership.h"
#include "model/lease/lease.h"
#include "model/model.h"

// Operations of MODEL_GROUP.
#define GROUP_OPS(X)                                                                                                   \
    X(STREAM_OPEN, 1) /* by its node, seq 1 of a stream: args incarnation[16], member varint, boot varint. Void unless \
                         boot is higher */                                                                             \
    X(VOID, 2)        /* takes a number in a stream and nothing else: args error zigzag varint */                      \
    X(TIME, 3)        /* time passes: what is due ends */                                                              \
    X(UNIX_OFFSET, 4) /* args: offset as zigzag varint: Unix ms - log time ms */                                       \
    X(APPLY_LEVEL, 5) /* args: level varint */                                                                         \
    X(SETTING, 6)     /* a setting that every replica must have alike: args group_setting varint, value varint */
enum group_op {
#define X(name, value) GROUP_##name = value,
    GROUP_OPS(X)
#undef X
};
void group_write_stream_open(struct writer *w, const uint8_t incarnation[INCARNATION_BYTES], uint32_t member,
                             uint64_t boot);
void group_write_void(struct writer *w, int error);
void group_write_time(struct writer *w);
void group_write_unix_offset(struct writer *w, int64_t offset_ms);
// Settings that apply's results depend on are part of the state: the leader proposes its own where they differ.
enum group_setting {
    GROUP_SETTING_EPHEMERALS_MAX = 0,
    GROUP_SETTING_CONTAINER_CHECK_MS,
    GROUP_SETTING_MEMORY_MAX, // bytes of the tree and the native models; UINT64_MAX: no limit
    GROUP_SETTING_COUNT
};
void group_write_setting(struct writer *w, enum group_setting setting, uint64_t value);
void group_write_apply_level(struct writer *w, uint32_t level);
// How commands are applied may change only for all replicas at one index: the leader raises the level once every member
// can follow, and a binary that cannot must stop, never guess.
#define APPLY_LEVEL_FIRST 1u
#define APPLY_LEVEL_NEWEST 3u   // 2: native primitives; 3: Redis's data (model/table.c)
#define TIME_REMOVALS_MAX 1000u // a full time entry is followed at once by another

struct machine;

struct machine_sink { // all on the service loop, during machine_apply
    // The next command of this node's own stream is about to be applied: reads that wait ahead of it run now.
    void (*before_own)(void *context, uint64_t seq);
    void (*own)(void *context, uint64_t seq, const struct result *result); // its result (VOID gives its error)
    void (*event)(void *context, uint8_t model, const void *event);        // model_event, in order; also MODEL_LEASE's
    void (*stream)(void *context, uint32_t member, uint64_t boot,
                   uint64_t last_seq); // once per section: where a stream now stands
    // A member left, and its stream with it: what it still has under way under this boot is never applied.
    void (*stream_gone)(void *context, uint32_t member, uint64_t boot);
    void *context;
};
struct machine_sample {
    uint64_t index;
    struct digest digest;
};

struct machine *machine_new(uint32_t self, uint64_t boot, const struct machine_sink *sink);
void machine_free(struct machine *machine);
// Of a new machine, instead of APPLY_LEVEL_NEWEST: a binary that knows fewer or more levels (tests, the simulator).
void machine_limit_apply_level(struct machine *machine, uint32_t level_max);
// Applies a committed batch: batch->first == applied + 1. 0; or COMMAND_BAD_COMMAND when it meets a level, model or
// framing this binary does not know: the node must stop, never skip (text says what).
int machine_apply(struct machine *machine, const struct batch_ref *batch, char error[256]);
void machine_set_boot(struct machine *machine, uint64_t boot); // after a snapshot install
uint64_t machine_applied(const struct machine *machine);
uint64_t machine_applied_term(const struct machine *machine);
uint64_t machine_log_time_ms(const struct machine *machine);
int64_t machine_unix_offset_ms(const struct machine *machine);
uint32_t machine_apply_level(const struct machine *machine);
bool machine_level_unknown(const struct machine *machine); // what was loaded is of a level above this binary's
// The replicated settings, by enum group_setting.
void machine_settings(const struct machine *machine, uint64_t out[GROUP_SETTING_COUNT]);
uint64_t machine_next_deadline_ms(const struct machine *machine); // earliest fixed deadline of all models
const struct raft_membership *machine_membership(const struct machine *machine);
struct lease_table *machine_leases(const struct machine *machine);
void *machine_model(const struct machine *machine, uint8_t model);
// Of one model: how many things there are, and how many of a session; its digest.
uint64_t machine_count(const struct machine *machine, uint8_t model);
uint64_t machine_count_of_session(const struct machine *machine, uint8_t model, uint64_t session);
struct digest machine_model_digest(const struct machine *machine, uint8_t model);
void machine_query(const struct machine *machine, uint8_t model, const void *query, struct result *result);
#define STREAM_CLOSED UINT64_MAX // as last_seq: its member is gone; only a higher boot opens it again
struct machine_stream {
    uint32_t member;
    uint8_t incarnation[INCARNATION_BYTES];
    uint64_t boot, last_seq;
};
size_t machine_streams(const struct machine *machine, struct machine_stream *out, size_t max);
struct digest machine_digest(const struct machine *machine); // kept incrementally: models, streams, time, offset, level
struct digest machine_digest_recount(const struct machine *machine);
const struct machine_sample *machine_newest_sample(const struct machine *machine); // NULL: none yet
bool machine_sample_at(const struct machine *machine, uint64_t index, struct digest *digest);
uint64_t machine_memory(const struct machine *machine);

// Snapshots. save: as model_ops.save over all of the state; the caller must not apply in between. No malloc.
struct machine_cursor {
    uint32_t model;
    struct save_cursor inner;
};
size_t machine_save(const struct machine *machine, struct machine_cursor *cursor, uint8_t *model, uint8_t *out,
                    size_t capacity); // 0: done
// Loading into a new machine: chunk by chunk, then finish with the meta's place; checks the digest. 0, -EBADMSG, or
// -ENOTSUP: it was written at an apply level that this binary does not know.
int machine_load(struct machine *machine, uint8_t model, const void *data, size_t len);
int machine_load_finish(struct machine *machine, uint64_t index, uint64_t term, uint64_t log_time_ms,
                        struct bytes membership, struct digest digest);
// An empty state at a formation: index 1, term 1 (the genesis), with this membership.
void machine_genesis(struct machine *machine, uint64_t index, uint64_t term, uint64_t log_time_ms,
                     int64_t unix_offset_ms, const struct raft_membership *membership);
// A restore, or a recovery without the majority: ends every session (with what it owns), forgets all streams, takes the
// new membership and jumps to `index` (2^40 higher than any old one, so no zxid returns), all in one step. Offline
// only: no sink is told.
void machine_reset(struct machine *machine, uint64_t index, uint64_t term, const struct raft_membership *membership);
#define RESTORE_INDEX_JUMP (1ull << 40)
