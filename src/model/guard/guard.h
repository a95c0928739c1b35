// Small guarded facts as replicated state, one call each for what is else built from unique keys, version columns and
// guarded updates:
//
//   token     issued, then consumed once; who comes later is told when and by whom
//   entity    a state that changes only from an expected one; its last changes are kept, so a retry of one is known
//   value     bytes that change only at an expected version, and never by the holder of an older fencing token
//   counter   a number that stays between its floor and its ceiling; several change in one step, all or none
//
// Versions are indexes of the entries that wrote, so they grow for ever, also over a deletion or a restore.
#pragma once
#include "model/remember.h"

#define GUARD_NAME_BYTES_MAX 255u
#define GUARD_TEXT_BYTES_MAX 255u // purpose, caller of a token
#define GUARD_STATE_BYTES_MAX 64u // a state's name, a request's id, a caller: the history of GUARD_HISTORY is a record
#define GUARD_VALUE_BYTES_MAX 65536u // a saved record holds it whole
#define GUARD_HISTORY 8u
#define GUARD_TOKENS_MAX 256u       // in one ISSUE
#define GUARD_COUNTERS_MAX 32u      // in one ADD; their answer is remembered
#define GUARD_REQUESTS_MAX 1000000u // remembered ones: some 200 bytes each
#define GUARD_TTL_MS_MAX (366ull * 24 * 3600 * 1000)
#define GUARD_MARK_MS (30ull * 24 * 3600 * 1000) // a deleted value's newest token is known so long
#define GUARD_ANY UINT64_MAX                     // expected version: whatever it is

// Operations. Names and texts: blobs.
#define GUARD_OPS(X)                                                                                                   \
    X(ISSUE, 1)          /* purpose, ttl_ms varint, count varint, tokens: made by the asking node, hard to guess */    \
    X(CONSUME, 2)        /* token, purpose, caller */                                                                  \
    X(TRANSITION, 3)     /* see guard_transition */                                                                    \
    X(ENTITY_DELETE, 4)  /* entity, state that it must have */                                                         \
    X(PUT, 5)            /* name, expected varint, token varint, value */                                              \
    X(DELETE, 6)         /* name, expected varint, token varint */                                                     \
    X(COUNTER_SET, 7)    /* name, value, floor, ceiling: signed varints; an operator's word */                         \
    X(COUNTER_ADD, 8)    /* request, ttl_ms varint, count varint, (name, delta signed varint) each */                  \
    X(COUNTER_DELETE, 9) /* name */
enum guard_op {
#define X(name, value) GUARD_##name = value,
    GUARD_OPS(X)
#undef X
};

#define GUARD_ERRORS(X)                                                                                                \
    X(NOT_FOUND, -1, "there is none of this name, or its time is over")                                                \
    X(CONSUMED, -2, "consumed before")                                                                                 \
    X(MISMATCH, -3, "issued for another purpose, or the request's id was used for another request")                    \
    X(EXISTS, -4, "issued before")                                                                                     \
    X(STATE, -5, "in another state")                                                                                   \
    X(VERSION, -6, "of another version")                                                                               \
    X(OLD_TOKEN, -7, "a newer fencing token was seen")                                                                 \
    X(BELOW, -8, "would fall below its floor")                                                                         \
    X(ABOVE, -9, "would rise above its ceiling")                                                                       \
    X(LIMIT, -10, "more than may be remembered at once")                                                               \
    X(BAD_ARGUMENTS, -11, "arguments out of bounds")
enum guard_error {
    GUARD_OK = 0,
#define X(name, code, text) GUARD_##name = code,
    GUARD_ERRORS(X)
#undef X
};

struct guard_transition {
    struct bytes entity, from, to; // from empty: there must be none yet
    struct bytes request, caller;  // may be empty. A request's id that is still in the history takes effect no more
    uint64_t ttl_ms;               // 0: stays; else it is gone so long after this change, unless another follows
};
struct guard_addition {
    struct bytes name;
    int64_t delta;
};

struct guard_result {      // value of every operation
    bool repeated;         // TRANSITION, COUNTER_ADD: it took effect before; this is what it gave
    int64_t at_unix_ms;    // CONSUMED: when; TRANSITION repeated: when
    struct bytes by;       // CONSUMED: the caller's text then
    struct bytes state;    // TRANSITION: now (repeated: after it); STATE: what it is in
    uint64_t version;      // TRANSITION, PUT, DELETE: new; STATE, VERSION, OLD_TOKEN: what it is (0: there is none)
    uint64_t token;        // OLD_TOKEN: the newest seen
    struct bytes value;    // VERSION: what it is
    struct bytes refused;  // BELOW, ABOVE: the counter's name
    int64_t rest;          // BELOW, ABOVE: its value
    const int64_t *values; // COUNTER_ADD: after it, in the order asked
    size_t value_count;
};

// Query: a page of one kind of thing: the one whose function is there.
struct guard_token_info {
    struct bytes token, purpose, caller;
    bool consumed;
    int64_t consumed_unix_ms;
    uint64_t due_ms; // log time
};
struct guard_entity_info { // one for each kept change of an entity that is asked for by name, else the newest
    struct bytes entity, state, request, caller;
    uint64_t version, due_ms;
    int64_t unix_ms;
};
struct guard_value_info {
    struct bytes name, value;
    uint64_t version, token;
    bool deleted; // only its newest token is still known
};
struct guard_counter_info {
    struct bytes name;
    int64_t value, floor, ceiling;
    uint64_t version;
};
struct guard_query {
    struct items_page page;
    void (*token)(void *context, const struct guard_token_info *info);
    void (*entity)(void *context, const struct guard_entity_info *info);
    void (*value)(void *context, const struct guard_value_info *info);
    void (*counter)(void *context, const struct guard_counter_info *info);
    void *context;
};

extern const struct model_ops guard_model;
void guard_write_issue(struct writer *w, uint64_t session, uint64_t attach, struct bytes purpose, uint64_t ttl_ms,
                       const struct bytes *tokens, size_t count);
void guard_write_consume(struct writer *w, uint64_t session, uint64_t attach, struct bytes token, struct bytes purpose,
                         struct bytes caller);
void guard_write_transition(struct writer *w, uint64_t session, uint64_t attach,
                            const struct guard_transition *transition);
void guard_write_entity_delete(struct writer *w, uint64_t session, uint64_t attach, struct bytes entity,
                               struct bytes state);
void guard_write_put(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t expected,
                     uint64_t token, struct bytes value);
void guard_write_delete(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t expected,
                        uint64_t token);
void guard_write_counter_set(struct writer *w, struct bytes name, int64_t value, int64_t floor, int64_t ceiling);
void guard_write_counter_add(struct writer *w, uint64_t session, uint64_t attach, struct bytes request, uint64_t ttl_ms,
                             const struct guard_addition *additions, size_t count);
void guard_write_counter_delete(struct writer *w, struct bytes name);
