// Numbers that are given once, as replicated state: named sequences, and ids in the order of time.
//
// A sequence gives start, start + step, ... up to its ceiling, singly or in blocks, and no number twice, whatever
// fails. A gapless one gives each number in the same entry that remembers the caller's key for it: a retry under the
// key gets its number again, so nothing is lost between the two.
//
// An id has 64 bits, the highest 0:
//
//   | milliseconds since 2024 (41) | worker (10) | count (12) |
//
// A worker's number is leased together with a range of time, and only ids with times in that range may be made under
// it. Ranges of one number never overlap, so no id repeats, whatever the clocks do and whoever is paused; and a number
// is given on only when the group's Unix time is past its last range, so that ids stay in the order of time. Number 0
// is the group's own, for ids that it makes itself.
//
// After a restore from a backup the numbers given since the backup are not known. A restore moves the index up by 2^40
// (replica/machine.h); whoever finds such a step here knows: a sequence moves on by more numbers than can have been
// given in so many entries (block_max a piece), a gapless one waits for an operator's word, worker leases end, and no
// id is given for as long as a range can reach (long before that is over, the group's clock follows its hosts' again).
// A sequence made after the backup is not in it and begins anew.
#pragma once
#include "model/remember.h"

#define SEQUENCE_NAME_BYTES_MAX 255u
#define SEQUENCE_STEP_MAX (1ull << 32)
#define SEQUENCE_CEILING_MAX ((1ull << 63) - 1) // fits a signed integer of every language and database
#define SEQUENCE_BLOCK_DEFAULT 1000u // a restore costs 2^40 blocks of numbers: 8,000 restores with this, in 63 bits
#define SEQUENCE_BLOCK_MAX (1u << 20)
#define SEQUENCE_KEYS_MAX 1000000u // remembered keys, of all sequences: some 200 bytes each
#define SEQUENCE_RESTORE_STEP (1ull << 40)
#define SEQUENCE_WORKERS 1024u
#define SEQUENCE_OWNER_BYTES_MAX 255u
#define SEQUENCE_WINDOW_MS_MAX (5ull * 60 * 1000) // of a worker's range; also how long ids wait after a restore
#define SEQUENCE_IDS_MAX 4096u                    // in one command
#define SEQUENCE_EPOCH_UNIX_MS 1704067200000ll    // 2024-01-01; 41 bits last until 2093

#define SEQUENCE_OPS(X)                                                                                                \
    X(CREATE, 1)  /* see sequence_settings; one that is there alike already is no error */                             \
    X(NEXT, 2)    /* see sequence_request; makes the sequence (gapless if it has a key) when there is none */          \
    X(SET, 3)     /* name, value varint: an operator's word that the next number is this. Only forward */              \
    X(IDS, 4)     /* count varint: ids from the group itself */                                                        \
    X(LEASE, 5)   /* owner blob, window_ms varint: a worker's number until its session ends; without a session until   \
                     window_ms have passed since the last RENEW */                                                     \
    X(RENEW, 6)   /* worker varint, token varint, window_ms varint: the range reaches so far from now on */            \
    X(RELEASE, 7) /* worker varint, token varint */
enum sequence_op {
#define X(name, value) SEQUENCE_##name = value,
    SEQUENCE_OPS(X)
#undef X
};

#define SEQUENCE_ERRORS(X)                                                                                             \
    X(EXHAUSTED, -1, "the sequence has reached its ceiling")                                                           \
    X(MISMATCH, -2, "this key was used for another request")                                                           \
    X(KEY_NEEDED, -3, "a gapless sequence gives numbers only under a key")                                             \
    X(RESTORED, -4, "restored from a backup: an operator must set it behind the numbers given since")                  \
    X(EXISTS, -5, "there is one with other settings")                                                                  \
    X(NOT_FOUND, -6, "no such sequence")                                                                               \
    X(BACKWARD, -7, "a sequence is only set forward")                                                                  \
    X(NOT_HELD, -8, "not held under this token")                                                                       \
    X(BUSY, -9, "none can be given now; retry_ms says when")                                                           \
    X(LIMIT, -10, "more than may be asked for, or remembered, at once")                                                \
    X(CLOCK, -11, "the group's clock shows no time that ids can have")                                                 \
    X(BAD_ARGUMENTS, -12, "arguments out of bounds")
enum sequence_error {
    SEQUENCE_OK = 0,
#define X(name, code, text) SEQUENCE_##name = code,
    SEQUENCE_ERRORS(X)
#undef X
};

struct sequence_settings {
    struct bytes name;
    uint64_t start, step, ceiling;
    uint32_t block_max; // the most numbers in one NEXT
    bool gapless;
};
struct sequence_request {
    struct bytes name;
    uint32_t count;
    struct bytes key, fingerprint; // key empty: none
    uint64_t key_ttl_ms;           // how long it is remembered
};

struct sequence_result {  // value of every operation
    uint64_t first, step; // NEXT: first, first + step, ...; IDS: the first id, see sequence_id_after
    uint32_t count;       // how many
    bool repeated;        // NEXT: the key's numbers of before
    uint32_t worker;      // LEASE, RENEW: ids may be made with times from_ms <= t < until_ms (Unix time)
    uint64_t token;       // of the lease
    uint64_t from_ms, until_ms;
    uint64_t retry_ms; // BUSY
};

// Query: a page of sequences, or (sequence NULL) of workers.
struct sequence_info {
    struct bytes name;
    uint64_t next, step, ceiling; // next > ceiling: exhausted
    uint32_t block_max;
    bool gapless, restored; // restored: its next use will jump, or wait for an operator's word
};
struct sequence_worker_info {
    uint32_t worker;
    struct bytes owner;
    uint64_t session, token, since_ms; // token 0: not leased
    uint64_t from_ms, until_ms;        // Unix time
    uint64_t due_ms;                   // log time; NO_DEADLINE: with its session
};
struct sequence_query {
    struct items_page page;
    void (*sequence)(void *context, const struct sequence_info *info);
    void (*worker)(void *context, const struct sequence_worker_info *info);
    void *context;
};

// The id `k` places behind `id`, of the same worker.
static inline uint64_t sequence_id_after(uint64_t id, uint64_t k) {
    uint64_t place = (id >> 22 << 12 | (id & 4095)) + k;
    return place >> 12 << 22 | (id & (1023u << 12)) | (place & 4095);
}

extern const struct model_ops sequence_model;
void sequence_write_create(struct writer *w, const struct sequence_settings *settings);
void sequence_write_next(struct writer *w, uint64_t session, uint64_t attach, const struct sequence_request *request);
void sequence_write_set(struct writer *w, struct bytes name, uint64_t value);
void sequence_write_ids(struct writer *w, uint64_t session, uint64_t attach, uint32_t count);
void sequence_write_lease(struct writer *w, uint64_t session, uint64_t attach, struct bytes owner, uint64_t window_ms);
void sequence_write_renew(struct writer *w, uint64_t session, uint64_t attach, uint32_t worker, uint64_t token,
                          uint64_t window_ms);
void sequence_write_release(struct writer *w, uint64_t session, uint64_t attach, uint32_t worker, uint64_t token);
