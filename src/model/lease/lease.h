// Sessions (leases) as replicated state: who exists, where attached, under which attach number. Their renewable
// deadlines are NOT here: they live in the leader's soft state (replica/), fed by the events below. Rules:
// replication.md "Sessions".
#pragma once
#include "model/model.h"

#define LEASE_PASSWORD_BYTES 16
#define LEASE_OPS(X)                                                                                                   \
    X(ATTACH,                                                                                                          \
      1) /* session 0: creates one. args: password[16], timeout_ms varint, kind u8, node varint, boot varint. */       \
    X(CLOSE, 2)      /* by its owner: command.session/attach */                                                        \
    X(EXPIRE, 3)     /* by the leader: args: session varint, attach varint judged; void after a newer attach */        \
    X(KILL, 4)       /* administrative: args: session varint */                                                        \
    X(CHECKPOINT, 5) /* args: count varint, then (session, attach, remaining_ms) varints */
enum lease_op {
#define X(name, value) LEASE_##name = value,
    LEASE_OPS(X)
#undef X
};
enum lease_kind { LEASE_KIND_ZOOKEEPER = 1, LEASE_KIND_NATIVE = 2 };

struct lease {        // as seen by others (read only)
    uint64_t session; // index of the creating entry
    uint64_t attach;  // index of the newest attach entry
    uint32_t timeout_ms;
    uint32_t node; // member id where it is attached
    uint64_t boot; // and that node's boot (stream)
    uint8_t kind;
    uint8_t password[LEASE_PASSWORD_BYTES];
    uint64_t remaining_ms; // of the last checkpoint; 0: none
};
struct lease_result { // of ATTACH (also when error is SESSION_EXPIRED: then zero)
    uint64_t session, attach;
    uint32_t timeout_ms;
    uint8_t password[LEASE_PASSWORD_BYTES];
};
enum lease_event_type { LEASE_EVENT_ATTACHED, LEASE_EVENT_ENDED };
struct lease_event {
    enum lease_event_type type;
    struct lease lease;  // ATTACHED: new state. ENDED: the state that ended
    uint64_t old_attach; // ATTACHED: attach number before (0: created)
    int reason;          // ENDED: LEASE_CLOSE, LEASE_EXPIRE or LEASE_KILL
};

struct lease_table; // == the state of MODEL_LEASE
extern const struct model_ops lease_model;
const struct lease *lease_find(const struct lease_table *table, uint64_t session); // NULL: unknown
int lease_check(const struct lease_table *table, uint64_t session,
                uint64_t attach); // 0, SESSION_EXPIRED (unknown), SESSION_MOVED (older attach)
size_t lease_count(const struct lease_table *table);
const struct lease *lease_next(const struct lease_table *table,
                               uint64_t session); // the one behind it; unknown (0): the first. NULL: it was the last
void lease_each(const struct lease_table *table, void (*visit)(void *context, const struct lease *lease),
                void *context); // ascending by session
// The lease model calls this so that every other model drops what the session owned, in the same entry (set by
// replica/machine.c; called before ENDED is emitted).
void lease_on_end(struct lease_table *table, void (*ended)(void *context, struct apply *apply, uint64_t session),
                  void *context);
// Commands' bytes.
void lease_write_attach(struct writer *w, uint64_t session, const uint8_t password[LEASE_PASSWORD_BYTES],
                        uint32_t timeout_ms, uint8_t kind, uint32_t node, uint64_t boot);
void lease_write_close(struct writer *w, uint64_t session, uint64_t attach);
void lease_write_expire(struct writer *w, uint64_t session, uint64_t attach);
void lease_write_kill(struct writer *w, uint64_t session);
void lease_write_checkpoint(struct writer *w, const struct lease *leases,
                            size_t count); // their session, attach, remaining_ms
// Model query: `query` is a `const uint64_t *` session; the result's value is its `struct lease`, error SESSION_EXPIRED
// when unknown.
