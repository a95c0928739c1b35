// What really happened: the committed log, taken from whichever node shows a batch as committed first. Every other node
// must show the same bytes. A machine of the product's own applies it; its digests are what every node's must equal.
// The oracle, written apart from the product, applies it too: the machine must hold what the oracle does, and clients
// must be told it.
#pragma once
#include "base/digest.h"
#include "consensus/batch.h"
#include "replica/machine.h"
#include "sim/check/oracle.h"
#include "sim/world.h"

#define SIM_APPLY_LEVEL 2u // of the simulated newer binaries: native primitives hang on it

struct history_batch {
    uint64_t first, last, term;
    uint32_t crc;
    struct digest digest; // behind it
};
struct history_session {
    uint64_t session, timeout_ms;
    uint64_t ended_index; // 0: lives
    uint64_t ended_us;    // world time when it was first seen committed
    int reason;
    uint64_t told_us; // newest moment at which a node let bytes go to its client, as the client found out
};
// A unique value that a client wrote: where it was applied.
struct history_mark {
    uint64_t index; // 0: not (yet)
};

struct history {
    struct world *world;
    void (*session)(void *context, const struct history_session *session); // attached again, or ended; may be NULL
    void *session_context;
    struct machine *machine; // NULL until a node has formed
    uint64_t last;           // known committed
    uint64_t base;           // the formation's index
    struct history_batch *batches;
    size_t batch_count, batch_capacity;
    struct history_mark *marks; // by number
    size_t mark_capacity;
    struct history_session *sessions;
    size_t session_count, session_capacity;
    uint32_t *term_leaders; // by term
    size_t term_capacity;
    struct oracle oracle;
    uint64_t writes, expired, leaders, probes, probe_at;
};

#define MARK_BYTES 16u // "=#" + 8 digits hex... see mark_write
void mark_write(char out[MARK_BYTES + 1], uint64_t number);
bool mark_read(struct bytes data, uint64_t *number); // at its beginning

void history_init(struct history *history, struct world *world);
void history_free(struct history *history);
// A fresh machine with the state of this one, through a save and a load. NULL: it failed, and the world with it.
struct machine *history_copy(struct history *history, const struct machine *machine, const struct machine_sink *sink);
void history_begin(struct history *history, const struct machine *formed); // the first formed node's state
void history_commit(struct history *history, uint32_t node, const struct batch_ref *batch);
void history_digest(struct history *history, uint32_t node, uint64_t index, struct digest digest, bool recounted);
void history_leader(struct history *history, uint32_t node, uint64_t term);
struct history_session *history_session(struct history *history, uint64_t session); // NULL: unknown
bool session_early(const struct history_session *session);                          // it expired before it might
uint64_t history_mark_index(const struct history *history, uint64_t number);        // 0: not applied

// probe.c
void history_probe(struct history *history, const struct batch_ref *batch); // the newest applied one
