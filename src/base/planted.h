// Faults that test/mutants plants, one in each build, to see that the checks bite. A product build plants none: the
// condition is a constant 0, so the compiler drops what hangs on it (`make mutants` compares the machine code with a
// build without these lines). test/mutants/table.txt says what each one breaks. A name that is not in this list does
// not compile, in the source or on the command line (-DPLANTED_FAULT=NAME).
#pragma once

#define PLANTED_FAULTS(X)                                                                                              \
    X(ACK_BEFORE_FSYNC)                                                                                                \
    X(APPEND_WITHOUT_LOG_MATCH)                                                                                        \
    X(BACKTRACK_STANDS_STILL)                                                                                          \
    X(BARRIER_BEGINS_WITHOUT_ONE)                                                                                      \
    X(BARRIER_KEEPS_THE_DEAD)                                                                                          \
    X(BARRIER_OVER_WITH_ONE_INSIDE)                                                                                    \
    X(CLIENTS_KEPT_AT_INSTALL)                                                                                         \
    X(CONFIG_ABANDONED_IN_SILENCE)                                                                                     \
    X(CONFIG_EXPECTED_IGNORED)                                                                                         \
    X(CONFIG_RELEASED_TO_ALL)                                                                                          \
    X(COUNTER_RETRY_COUNTS)                                                                                            \
    X(DAMAGE_TAKEN_FOR_TORN)                                                                                           \
    X(DIGEST_MISMATCH_IGNORED)                                                                                         \
    X(ELECTION_VALUE_UNTOLD)                                                                                           \
    X(ENDED_SESSION_WRITES)                                                                                            \
    X(EPHEMERALS_OUTLIVE_CLOSE)                                                                                        \
    X(EXPIRED_BY_FOLLOWER)                                                                                             \
    X(EXPIRY_OF_OLDER_ATTACH)                                                                                          \
    X(FAILED_FSYNC_IGNORED)                                                                                            \
    X(GAPLESS_KEY_NOT_KEPT)                                                                                            \
    X(GUARD_OLD_TOKEN_WRITES)                                                                                          \
    X(HEARTBEAT_COMMITS_BEYOND_MATCH)                                                                                  \
    X(IDEMPOTENCY_LEASE_NOT_EXTENDED)                                                                                  \
    X(IDEMPOTENCY_OLD_TOKEN_STORES)                                                                                    \
    X(JOINT_ONE_MAJORITY)                                                                                              \
    X(JOURNAL_CUT_TOO_FAR)                                                                                             \
    X(JOURNAL_PIECE_CUTS_HEADER)                                                                                       \
    X(JOURNAL_WITHOUT_FSYNC)                                                                                           \
    X(KEEPALIVE_WITHOUT_ROUND)                                                                                         \
    X(LATCH_COUNTS_A_RETRY)                                                                                            \
    X(LEADS_BEFORE_APPLIED)                                                                                            \
    X(LEARNER_COUNTED)                                                                                                 \
    X(LIMITER_LEASE_NOT_COUNTED)                                                                                       \
    X(LIMITER_PERMIT_BEYOND)                                                                                           \
    X(LIMITER_WINDOW_ENDS_EARLY)                                                                                       \
    X(MOVED_SESSION_WRITES)                                                                                            \
    X(MULTI_NOT_TAKEN_BACK)                                                                                            \
    X(NAMING_OUTLIVES_SESSION)                                                                                         \
    X(NAMING_VOID_REPORT_COUNTS)                                                                                       \
    X(NATIVE_LOCK_ALL_PARTLY)                                                                                          \
    X(NATIVE_LOCK_HELD_TWICE)                                                                                          \
    X(NATIVE_LOCK_NOT_RENEWED)                                                                                         \
    X(NATIVE_LOCK_OUTLIVES_SESSION)                                                                                    \
    X(NATIVE_LOCK_PERMITS_LENT)                                                                                        \
    X(NATIVE_LOCK_QUEUE_PASSED)                                                                                        \
    X(NATIVE_WAIT_OUTLIVES_CONNECTION)                                                                                 \
    X(NEW_LEADER_EXTENDS_NOTHING)                                                                                      \
    X(OLD_BOOT_ACCEPTED)                                                                                               \
    X(OLD_TERM_COMMITTED_BY_COUNT)                                                                                     \
    X(ONCE_NOT_KEPT)                                                                                                   \
    X(ONE_TIME_TOKEN_TWICE)                                                                                            \
    X(OWN_VOTE_BEFORE_PERSIST)                                                                                         \
    X(OWN_WRITE_COUNTED_EARLY)                                                                                         \
    X(PINGED_WITHOUT_LEADER)                                                                                           \
    X(QUEUE_DEDUP_NOT_KEPT)                                                                                            \
    X(QUEUE_KEPT_BY_WHO_LEFT)                                                                                          \
    X(QUEUE_NUMBER_NOT_AWAITED)                                                                                        \
    X(QUEUE_REDELIVERED_BEHIND)                                                                                        \
    X(READ_BEFORE_FIRST_COMMIT)                                                                                        \
    X(READ_BEFORE_WRITE_AHEAD)                                                                                         \
    X(READ_WITHOUT_ROUND)                                                                                              \
    X(SEQUENCE_BLOCK_SHORT)                                                                                            \
    X(SEQUENCE_FROM_CHILDREN)                                                                                          \
    X(SNAPSHOT_INDEX_OFF_BY_ONE)                                                                                       \
    X(SNAPSHOT_MISSES_RECORD)                                                                                          \
    X(SNAPSHOT_NOT_SYNCED)                                                                                             \
    X(STATE_FROM_ANY)                                                                                                  \
    X(STREAM_DUPLICATES_APPLIED)                                                                                       \
    X(STREAM_GAP_APPLIED)                                                                                              \
    X(SYNC_BEFORE_APPLIED)                                                                                             \
    X(TERM_FORGOTTEN)                                                                                                  \
    X(TOPIC_TOKEN_KEPT)                                                                                                \
    X(TRANSFER_TO_OLDER_LOG)                                                                                           \
    X(VOTE_BEFORE_PERSIST)                                                                                             \
    X(VOTE_FORGOTTEN)                                                                                                  \
    X(VOTE_WITHOUT_LOG_CHECK)                                                                                          \
    X(WATCH_AFTER_DATA)                                                                                                \
    X(WATCH_LOST_AT_RECONNECT)                                                                                         \
    X(WIPED_VOTER_VOTES)                                                                                               \
    X(WORKER_RANGES_OVERLAP)

enum planted_fault {
    PLANTED_NONE,
#define X(name) PLANTED_##name,
    PLANTED_FAULTS(X)
#undef X
};

#ifndef PLANTED_FAULT
#define PLANTED_FAULT NONE
#endif
#define PLANTED_NAMED(name) PLANTED_##name
#define PLANTED_IS(name) PLANTED_NAMED(name)
#define PLANTED(name) (PLANTED_##name == PLANTED_IS(PLANTED_FAULT))
