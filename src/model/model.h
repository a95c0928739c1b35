// What every model implements (rows in model/table.c), and what it is given. Models run on the service loop, on every
// replica, in log order. They read no clock, draw nothing, do no I/O: time and seed come with the entry.
#pragma once
#include "base/bytes.h"
#include "base/digest.h"
#include "model/command.h"

struct lease_table;

struct apply { // the entry that is being applied
    uint64_t index;
    uint64_t log_time_ms; // never goes back
    int64_t unix_ms;      // log time + the group's offset
    uint64_t seed;        // of this command
    uint32_t apply_level;
    struct lease_table *leases;
    // Tells this node what changed (watch tables, renewable deadlines). Called in order, before the command's result is
    // given out. `event` points to the model's event struct, valid during the call.
    void (*emit)(void *context, uint8_t model, const void *event);
    void *emit_context;
};

struct result { // what apply or query gave; `value` is the model's result struct, valid during the call that hands it
                // out
    int error;  // 0, a command_error, or the model's own
    uint8_t model, op;
    const void *value;
};

struct save_cursor { // all zero at the start; the model's own use
    uint64_t words[32];
};

// Operations that may be done once under a request's key (replica/machine.c): their results as bytes of at most
// RESULT_KEPT_BYTES_MAX, and back. The value that `read` makes is valid until the model's next command, as apply's.
#define RESULT_KEPT_BYTES_MAX 1000u
struct result_keeper {
    bool (*keeps)(const struct command *command); // by its operation and arguments
    bool (*done)(const struct result *result); // false: nothing was done, and a retry asks anew. NULL: keeps errors too
    void (*write)(const struct result *result, struct writer *w);
    // error, model and op are there already. What is not true any more (a lock that it says is held) becomes an error.
    bool (*read)(void *state, const struct command *command, struct reader *r, struct result *result);
};

#define MODEL_GROWS(op) (1ull << (op))
struct model_ops {
    const char *name;
    uint8_t id;
    void *(*create)(void); // an empty state
    void (*destroy)(void *state);
    // Applies one command; the session's lease has been checked (unless session is 0). Bytes of a command were made by
    // a node of this cluster, but may be of an older version or damaged by a bug: bad ones give COMMAND_BAD_COMMAND,
    // alike everywhere.
    void (*apply)(void *state, struct apply *apply, const struct command *command, struct result *result);
    void (*query)(const void *state, const void *query, struct result *result); // the model's query struct
    void (*session_end)(void *state, struct apply *apply,
                        uint64_t session); // ownership dies in this entry. May be NULL
    uint64_t (*next_deadline_ms)(
        const void *state); // earliest fixed deadline in log time; UINT64_MAX: none. May be NULL
    size_t (*expire)(void *state, struct apply *apply,
                     size_t max); // ends what is due at apply->log_time_ms, (deadline, creation) order; how many
    // Pull iterator: writes at most `capacity` bytes of self-contained records into out; 0: done. No malloc (runs in a
    // forked child). The state does not change between calls of one save.
    size_t (*save)(const void *state, struct save_cursor *cursor, uint8_t *out, size_t capacity);
    int (*load)(void *state, const uint8_t *data, size_t len); // a chunk as save gave it; 0 or -EBADMSG
    struct digest (*digest)(const void *state);                // kept incrementally
    struct digest (*digest_recount)(const void *state);        // from the items, for `check` and the simulator
    const struct result_keeper *keeper;                        // NULL: none of its operations is done under a key
    uint64_t (*memory)(const void *state);                     // deterministic size in bytes (not malloc's). O(1)
    // MODEL_GROWS(op) of each operation that may make the state larger: refused at memory-max (replica/machine.c). What
    // ends, gives back or finishes something goes through. 0: the model bounds itself.
    uint64_t growing;
    // For those who look on: how many things there are, and how many of them a session has. Each is one look-up. May
    // be NULL.
    uint64_t (*count)(const void *state);
    uint64_t (*count_of_session)(const void *state, uint64_t session);
};
const struct model_ops *model_table(uint8_t id); // NULL: unknown. MODEL_LEASE, MODEL_TREE, ...
// The apply level (replica/machine.h) from which on a model is part of the state. Below it its commands are refused,
// and nothing of it is in digests and snapshots: there are members whose binary has no such model.
uint32_t model_min_apply_level(uint8_t id);

#define SAVE_RECORD_BYTES_MAX (192u << 10) // save may split one item over records; every record fits in a chunk
