// The faults there are: one row each, drawn by the seed with a weight of its own (faults.c).
#pragma once

#define FAULTS(X)                                                                                                      \
    X(KILL, "kill")           /* a process ends */                                                                     \
    X(POWER, "power")         /* a machine loses power */                                                              \
    X(POWER_ALL, "power-all") /* all at once */                                                                        \
    X(PAUSE, "pause")                                                                                                  \
    X(PARTITION, "partition") /* two sides */                                                                          \
    X(ONE_WAY, "one-way")                                                                                              \
    X(PARTIAL, "partial") /* some pairs are cut, and both still reach a third */                                       \
    X(ISOLATE, "isolate") /* one node from all, clients too */                                                         \
    X(BREAK, "break")     /* connections end mid-frame */                                                              \
    X(SLOW_LINK, "slow-link")                                                                                          \
    X(SLOW_DISK, "slow-disk")                                                                                          \
    X(STALL_DISK, "stall-disk")                                                                                        \
    X(FULL_DISK, "full-disk")                                                                                          \
    X(FAIL_SYNC, "fail-sync")                                                                                          \
    X(ROT, "rot")                 /* a bit of what was vouched for flips */                                            \
    X(READ_ERROR, "read-error")   /* a sector cannot be read any more */                                               \
    X(LOST_WRITE, "lost-write")   /* acknowledged, never on the medium */                                              \
    X(MISDIRECTED, "misdirected") /* acknowledged, but written elsewhere */                                            \
    X(WIPE, "wipe")                                                                                                    \
    X(CLOCK, "clock") /* Unix time jumps or stands */                                                                  \
    X(CLIENT_PAUSE, "client-pause")                                                                                    \
    X(CLIENT_DIE, "client-die")                                                                                        \
    X(RESTART, "restart")       /* orderly */                                                                          \
    X(MEMBER, "member")         /* a member is added or removed */                                                     \
    X(TRANSFER, "transfer")     /* the leader hands over */                                                            \
    X(STRAND, "strand")         /* a node loses the others, but not its clients; these die, or stay */                 \
    X(CHILD_KILL, "child-kill") /* the child that saves a snapshot */                                                  \
    X(AMBUSH, "ambush")         /* a node ends in the moment when it is in some state, before its turn's output left */

// Sequences of faults that single ones hardly ever hit (scenario.c). Not drawn with the others: what those do in a
// recorded seed stays as it was.
#define SCENARIOS(X)                                                                                                   \
    X(FALL_BEHIND, "fall-behind")   /* a follower loses the others, not its clients, while its leader's log is cut */  \
    X(RETURN_LATE, "return-late")   /* clients return when their sessions expire, and disks are slow */                \
    X(DEPOSED, "deposed")           /* a leader loses the others and keeps its clients, or stands still */             \
    X(FROZEN, "frozen")             /* a node stands still, then its clients; their sessions end, and all go on */     \
    X(HAND_OVERS, "hand-overs")     /* to named heirs, some slow, one behind the other */                              \
    X(BREAKS, "breaks")             /* connections of a follower and its leader end, again and again */                \
    X(WIPED_LAG, "wiped-lag")       /* a wiped node is taken in while another voter lags */                            \
    X(WIPED_ALONE, "wiped-alone")   /* without the wiped node there is no majority, perhaps no leader */               \
    X(QUIET_BEHIND, "quiet-behind") /* as fall-behind, with idle clients that stay, and much that is written */        \
    X(LATE_ANSWERS, "late-answers") /* a leader that others have left still reads what they said before */             \
    X(FAR_BEHIND, "far-behind")     /* a node is away until much is to be read from a disk's long journal */

enum fault {
#define X(name, text) FAULT_##name,
    FAULTS(X)
#undef X
        FAULT_DRAWN,
    FAULT_BEFORE_SCENARIOS = FAULT_DRAWN - 1,
#define X(name, text) FAULT_##name,
    SCENARIOS(X)
#undef X
        FAULT_COUNT,
    FAULT_NEWER =
        FAULT_QUIET_BEHIND // from here to FAR_BEHIND, and that: in seeds of their own, the others stay as they were
};
extern const char *const fault_names[FAULT_COUNT];
