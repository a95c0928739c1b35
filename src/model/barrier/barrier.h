// Double barriers and countdown latches as replicated state.
//
// A double barrier lets N members begin together and end together. Who enters waits in line; when nobody is inside and
// N wait, the first N are let in: a round. Who leaves may wait until all have left, then the round is over. Members
// belong to sessions: who waits is gone with its session, and who is inside leaves with it.
//
//   barrier "step" of 3    inside: a b c (round 17)    left: -     in line for the next round: d
//
// A latch counts down to zero, and may be set anew. Who waits for zero is no part of the state: it is told by an event.
#pragma once
#include "model/remember.h"

#define BARRIER_NAME_BYTES_MAX 240u // with a place's number it is an item's name
#define BARRIER_MEMBER_BYTES_MAX 255u
#define BARRIER_SIZE_MAX 10000u       // a round begins in one entry, which tells all of them
#define BARRIER_PLACES_MAX 100000u    // of one barrier: inside, leaving and in line
#define BARRIER_SESSION_MAX 1000u     // places of one session: its end is one entry
#define BARRIER_REQUESTS_MAX 1000000u // remembered, of all latches: some 200 bytes each
#define BARRIER_WAIT_MS_MAX (30ull * 24 * 3600 * 1000)
#define LATCH_COUNT_MAX (1ull << 53) // every JSON reader has it exactly

#define BARRIER_OPS(X)                                                                                                 \
    X(ENTER, 1)      /* name, member blobs, size varint, wait_ms varint; by a session */                               \
    X(LEAVE, 2)      /* name, member blobs, round varint, wait_ms varint; by a session */                              \
    X(CANCEL, 3)     /* name, member blobs, ticket varint: waits no longer. Void when it waits no longer already, or   \
                        asked again: that has a newer ticket */                                                        \
    X(LATCH_SET, 4)  /* name blob, count varint, ttl_ms varint (0: until it is deleted): makes it, or sets it anew */  \
    X(LATCH_DOWN, 5) /* name blob, by varint, request blob (empty: none), request_ttl_ms varint */                     \
    X(LATCH_DELETE, 6) /* name blob */
enum barrier_op {
#define X(name, value) BARRIER_##name = value,
    BARRIER_OPS(X)
#undef X
};

#define BARRIER_ERRORS(X)                                                                                              \
    X(BUSY, -1, "others are missing, or inside")                                                                       \
    X(KIND, -2, "used with another number of members")                                                                 \
    X(NOT_FOUND, -3, "no such latch, or nobody waits under this ticket")                                               \
    X(MISMATCH, -4, "this request's id was used for another request")                                                  \
    X(LIMIT, -5, "more than one session or one barrier may have, or than can be remembered")                           \
    X(BAD_ARGUMENTS, -6, "arguments out of bounds")
enum barrier_error {
    BARRIER_OK = 0,
#define X(name, code, text) BARRIER_##name = code,
    BARRIER_ERRORS(X)
#undef X
};

struct barrier_result { // value of every operation
    bool waits;         // ENTER, LEAVE: an event with this ticket follows
    uint64_t ticket;
    uint64_t round; // ENTER that does not wait: the round that it is in
    bool over;      // LEAVE that does not wait: all have left. Else it has left, and others have not
    uint64_t count; // of LATCH_SET, LATCH_DOWN: what is left
};

enum barrier_event_type {
    BARRIER_EVENT_ENTERED,    // ticket: round
    BARRIER_EVENT_LEFT,       // ticket: over
    BARRIER_EVENT_TIMED_OUT,  // ticket, of ENTER: it is in line no longer
    BARRIER_EVENT_CANCELLED,  // ticket
    BARRIER_EVENT_SUPERSEDED, // ticket: a newer request of the member took its place
    BARRIER_EVENT_LATCH,      // latch: it is at zero, or gone
};
struct barrier_event {
    enum barrier_event_type type;
    uint64_t ticket, round;
    bool over;
    uint64_t latch; // its number
    bool gone;
};

// Query: a page of barriers, or of latches. With a page of one name and `place`: its places in the order in which they
// came. Or the places of one session, each behind its barrier.
enum barrier_place_state { PLACE_WAITS, PLACE_INSIDE, PLACE_LEAVES };
struct barrier_info {
    struct bytes name;
    uint64_t round; // 0: nobody is inside
    uint32_t size, waiting, inside, leaving;
};
struct barrier_place_info {
    struct bytes member;
    uint64_t session, ticket, since_ms;
    enum barrier_place_state state;
};
struct latch_info {
    struct bytes name;
    uint64_t number, count, from, due_ms; // from: what it was set to. due_ms: log time; NO_DEADLINE: none
};
struct barrier_query {
    struct items_page page;
    uint64_t session; // not 0: instead of a page
    void (*barrier)(void *context, const struct barrier_info *info);
    void (*place)(void *context, const struct barrier_place_info *info);
    void (*latch)(void *context, const struct latch_info *info);
    void *context;
};

extern const struct model_ops barrier_model;
void barrier_write_enter(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes member,
                         uint32_t size, uint64_t wait_ms);
void barrier_write_leave(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes member,
                         uint64_t round, uint64_t wait_ms);
void barrier_write_cancel(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, struct bytes member,
                          uint64_t ticket);
void barrier_write_latch_set(struct writer *w, struct bytes name, uint64_t count, uint64_t ttl_ms);
void barrier_write_latch_down(struct writer *w, struct bytes name, uint64_t by, struct bytes request,
                              uint64_t request_ttl_ms);
void barrier_write_latch_delete(struct writer *w, struct bytes name);
