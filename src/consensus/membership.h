// Who belongs to a group: (id, incarnation) with a role, an address for peers, and one advertised address per protocol.
// It is replicated state: an entry of kind BATCH_MEMBERSHIP holds it whole, takes effect when appended (Raft
// thesis 4.1), and a snapshot holds the one as of its index.
#pragma once
#include "base/bytes.h"
#include "base/limits.h"
#include <stdbool.h>
#include <stdint.h>

#define INCARNATION_BYTES 16
enum member_role {
    MEMBER_LEARNER = 0,  // receives the log, never counted; becomes a voter by itself unless it is an observer
    MEMBER_VOTER = 1,    // in the only, or in both majorities
    MEMBER_OUTGOING = 2, // joint: in the old majority only; gone (or learner, if `stays`) afterwards
    MEMBER_INCOMING = 3, // joint: in the new majority only; a voter afterwards
};
enum advertised {
    ADVERTISED_PEER,
    ADVERTISED_ZOOKEEPER,
    ADVERTISED_ETCD,
    ADVERTISED_REDIS,
    ADVERTISED_MEMCACHED,
    ADVERTISED_HTTP,
    ADVERTISED_COUNT
};

struct member {
    uint32_t id; // 1 .. 255
    uint8_t incarnation[INCARNATION_BYTES];
    enum member_role role;
    bool stays;                                       // with MEMBER_OUTGOING: becomes a learner
    bool observer;                                    // with MEMBER_LEARNER: stays one until it is promoted
    uint32_t apply_level_max;                         // what this member's binary supports
    char address[ADVERTISED_COUNT][ADDRESS_TEXT_MAX]; // "" where none
};
struct raft_membership {
    uint64_t index; // of the entry that made it; 0: none yet
    bool joint;     // any OUTGOING or INCOMING
    uint32_t count;
    struct member *members; // ascending by id; owned
};
void membership_init(struct raft_membership *m);
void membership_free(struct raft_membership *m);
void membership_copy(struct raft_membership *to, const struct raft_membership *from);
struct member *membership_find(const struct raft_membership *m, uint32_t id); // NULL if absent
struct member *membership_add(struct raft_membership *m, uint32_t id); // zeroed learner at its place; id is absent
void membership_remove(struct raft_membership *m, uint32_t id);
void membership_encode(const struct raft_membership *m, struct writer *w);
bool membership_decode(struct raft_membership *m, struct bytes span); // false: bad bytes, m is empty
bool membership_leave_joint(struct raft_membership *m); // gives the state after the joint one; false if not joint
// Does `vote(context, id)` hold for a majority of each voter set? (true when a set is empty only if both are)
bool membership_quorum(const struct raft_membership *m, bool (*vote)(void *context, uint32_t id), void *context);
uint32_t membership_voters(const struct raft_membership *m); // members that count in either majority
