// Named states: situations in which consensus systems have failed before. A run counts how often it was in each, so
// that a table over many seeds shows what was really tried, and what was not.
#pragma once
#include <stdint.h>

#define STATES(X)                                                                                                      \
    X(FORMING_FAULT, "forming-fault", "a fault before the first cluster has formed")                                   \
    X(SPLIT_LEADERS, "split-leaders", "two nodes lead, in different terms")                                            \
    X(LOGS_DIFFER, "logs-differ", "a leader is elected while all (3 or more) logs end differently")                    \
    X(OLD_TERM_TAIL, "old-term-tail", "a new leader's log ends with uncommitted entries of older terms")               \
    X(TAIL_REPLACED, "tail-replaced", "a follower's uncommitted entries are cut away by a new leader")                 \
    X(LEADER_PAUSED, "leader-paused", "a leader is replaced while it is paused")                                       \
    X(LEADER_STALLED, "leader-stalled", "a leader whose disk stalls is replaced")                                      \
    X(LEADER_FULL, "leader-full", "a leader whose disk is full hands over")                                            \
    X(LEADER_PARTIAL, "leader-partial", "a leader is elected under a partial partition")                               \
    X(LEADER_SYNC_FAILS, "leader-sync-fails", "a leader's fsync fails")                                                \
    X(CRASH_BEFORE_PERSIST, "crash-before-persist", "a leader ends with entries that its disk does not have yet")      \
    X(CRASH_BEFORE_SEND, "crash-before-send", "a leader ends behind its own persist, before a follower has the entry") \
    X(CRASH_IN_JOINT, "crash-in-joint", "a member ends while a joint change is under way")                             \
    X(CRASH_IN_SAVE, "crash-in-save", "a node ends while its child saves a snapshot")                                  \
    X(CRASH_IN_RECEIVE, "crash-in-receive", "a node ends while it receives a snapshot")                                \
    X(CRASH_IN_SEND, "crash-in-send", "a leader ends while it sends a snapshot")                                       \
    X(CHILD_KILLED, "child-killed", "the child that saves a snapshot is killed alone")                                 \
    X(SAVE_BESIDE_APPLY, "save-beside-apply", "entries are applied while a child saves")                               \
    X(TRANSFER_LEADER_CHANGE, "transfer-leader-change", "the leader changes while it sends a snapshot")                \
    X(INSTALL_WITH_CLIENTS, "install-with-clients", "a node with clients installs a snapshot")                         \
    X(TORN_TAIL, "torn-tail", "a torn tail is cut at a start")                                                         \
    X(DAMAGE_REFUSED, "damage-refused", "a start is refused because of damage")                                        \
    X(READ_ERROR_REFUSED, "read-error-refused", "a start is refused because a sector cannot be read")                  \
    X(READ_ERROR_MET, "read-error-met", "a running node meets a sector that cannot be read")                           \
    X(CAUGHT_UP_FAR, "caught-up-far-from-disk", "a leader reads on in its journal for more than 128 KiB")              \
    X(APPLIED_FAR, "applied-far-from-disk", "another node does, to apply it")                                          \
    X(LOST_WRITE_REFUSED, "lost-write-refused", "a start is refused because a lost or misdirected write is noticed")   \
    X(LOST_WRITE_TAIL, "lost-write-tail", "a lost write was in the last synced batch: the disk counts as lost")        \
    X(START_EMPTY, "start-empty", "a wiped node starts while the cluster stands")                                      \
    X(START_SNAPSHOT_ONLY, "start-snapshot-only", "a start finds a snapshot and no log behind it")                     \
    X(WIPED_BACK, "wiped-back", "a wiped node is a voter again")                                                       \
    X(WIPE_IN_CATCH_UP, "wipe-in-catch-up", "a node is wiped while one (perhaps itself) catches up")                   \
    X(CHANGE_IN_PARTITION, "change-in-partition", "members change while the network is cut")                           \
    X(PROMOTED_IN_PARTITION, "promoted-in-partition", "a learner becomes a voter while the network is cut")            \
    X(CHANGE_LEADER_CHANGE, "change-leader-change", "the leader changes inside a joint change")                        \
    X(EXPIRY_RACES_ATTACH, "expiry-races-attach", "a session expires while its client attaches")                       \
    X(MOVE_NEW_LEADER, "move-new-leader", "a session moves within a second of a new leader")                           \
    X(CLOCK_IN_HANDOVER, "clock-in-handover", "a clock jumps within a second of a new leader, or without one")         \
    X(ALL_DOWN, "all-down", "no node runs, after the cluster has formed")                                              \
    X(MINORITY_RUNS, "minority-runs", "less than a majority of the voters runs")

enum state {
#define X(name, text, what) STATE_##name,
    STATES(X)
#undef X
        STATE_COUNT
};
struct state_name {
    const char *name, *what;
};
extern const struct state_name state_names[STATE_COUNT];
