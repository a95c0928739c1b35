// A command as it stands in a section (consensus/batch.h): model u8, op u8, session varint, attach varint, then the
// model's arguments. session 0: none. The session's number is the index of the entry that created it; protocols show it
// as they like.
#pragma once
#include "base/bytes.h"

enum model_id {
    MODEL_GROUP = 0, // the group's own: streams, time, membership side effects, apply level (replica/machine.c)
    MODEL_LEASE = 1,
    MODEL_TREE = 2,
    MODEL_LOCK = 3,
    MODEL_SEQUENCE = 4,
    MODEL_IDEMPOTENCY = 5,
    MODEL_LIMITER = 6,
    MODEL_QUEUE = 7,
    MODEL_GUARD = 8,
    MODEL_ELECTION = 9, // no model: elections are locks (model/lock)
    MODEL_BARRIER = 10,
    MODEL_REGISTRY = 11, // from here on: no row in the table yet, so no command of them is ever applied
    MODEL_CONFIG = 12,
    MODEL_TOPIC = 13,
    MODEL_KEYS = 14, // Redis's data
    MODEL_COUNT,
};

struct command {
    uint8_t model, op;
    uint64_t session, attach;
    struct bytes args;
};
void command_write_head(struct writer *w, uint8_t model, uint8_t op, uint64_t session,
                        uint64_t attach);                      // the arguments follow
bool command_read(struct command *command, struct bytes span); // false: bad bytes

// Errors that the group itself gives, for every model. Models' own errors are negative too and begin below -1000 only
// here.
#define COMMAND_ERRORS(X)                                                                                              \
    X(NOT_APPLIED, -1001, "not applied: refused before it got a number; may be sent again")                            \
    X(UNKNOWN, -1002, "unknown: may or may not have been applied")                                                     \
    X(SESSION_EXPIRED, -1003, "the session has ended")                                                                 \
    X(SESSION_MOVED, -1004, "the session is attached elsewhere")                                                       \
    X(TOO_LARGE, -1005, "larger than one entry may be")                                                                \
    X(FULL, -1006, "the disk is full: writes are refused, reads go on")                                                \
    X(BAD_COMMAND, -1007, "bytes that this version cannot read")                                                       \
    X(LEVEL, -1008, "not applied: not every member of this cluster is of a version that knows this operation")         \
    X(MEMORY, -1009, "not applied: memory-max is reached; what ends or gives back something goes through")
enum command_error {
    COMMAND_OK = 0,
#define X(name, code, text) COMMAND_##name = code,
    COMMAND_ERRORS(X)
#undef X
};
const char *command_error_text(int error);
