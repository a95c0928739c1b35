// The tree of znodes again, written apart from src/model/ and with its whole history: the committed log goes in, and
// every node's state at every zxid, every command's result and every event can be asked for. What the nodes hold and
// what clients are told is held against it, so a rule that every replica breaks alike is seen too.
//
//   batch --> stream rule --> session rule --> operation --> states (per path), results (per entry), events (one log)
//
// It trusts the batch's framing, the commands' bytes and the membership; nothing else of the product.
#pragma once
#include "base/hash.h"
#include "consensus/batch.h"
#include "model/tree/tree.h"
#include "replica/machine.h"
#include "sim/world.h"

#define ORACLE_NEVER UINT64_MAX

struct oracle_state { // of one node behind one entry
    uint64_t zxid;    // the entry
    uint64_t czxid, mzxid, pzxid, creates, owner, order;
    uint64_t ttl_ms, due_ms, deadline_ms; // deadline: ORACLE_NEVER while there is none
    int64_t ctime, mtime;
    uint64_t data_hash;
    uint32_t version, aversion, children, data_len, acl;
    uint8_t kind; // enum tree_kind
    bool exists, null;
};
struct oracle_kid { // holds at a zxid if the node then exists and was born there
    struct oracle_node *node;
    uint64_t born;
};
struct oracle_kids {
    struct oracle_kid *kids;
    size_t count, capacity;
};
struct oracle_node { // a path; stays when the node is gone
    struct hash_node index;
    struct oracle_node *parent;
    struct oracle_state *states; // ascending by zxid
    size_t count, capacity;
    struct oracle_kids kids; // in the order of their creation
    uint32_t len;
    char path[]; // with a NUL
};
struct oracle_result { // of a command, or of a part of a multi
    const struct oracle_node *node;
    struct oracle_state state; // behind it
    int error;
    uint8_t op;
};
struct oracle_entry {
    uint64_t session;
    size_t result, count; // in results: its own, or its parts'
    int error;            // of a multi: the failing part's
    uint8_t model, op;    // model 0 and op GROUP_VOID: a refused one
    bool taken, answered; // taken: its stream's next number. answered: some client was told so
    uint64_t who;         // hash of whom the command names as its sender
};
struct oracle_event {
    uint64_t zxid;
    const struct oracle_node *node;
    uint32_t acl;
    uint8_t type; // enum tree_event_type
};
struct oracle_session {
    uint64_t session, attach, ended; // ended: the entry; 0: lives
    uint8_t password[16];
    struct oracle_kids owned;
};
struct oracle_acl {
    uint8_t *encoded;
    size_t len;
};

struct oracle {
    struct world *world;
    uint64_t base, index, log_time_ms, order;
    int64_t unix_offset_ms, next_offset_ms;
    struct hash paths;
    struct oracle_node **nodes; // all there ever were
    size_t node_count, node_capacity;
    struct oracle_entry *entries; // [i]: of index base + 1 + i
    size_t entry_count, entry_capacity;
    struct oracle_result *results;
    size_t result_count, result_capacity;
    struct oracle_event *events;
    size_t event_count, event_capacity;
    struct oracle_session *sessions; // ascending
    size_t session_count, session_capacity;
    struct oracle_acl *acls;
    size_t acl_count, acl_capacity;
    struct oracle_kids timed;     // containers and TTL nodes
    struct oracle_node **touched; // in the batch under way
    size_t touched_count, touched_capacity, entry_touched;
    struct machine_stream streams[256];
    size_t stream_count;
    uint64_t removed_by_time, refused_by_stream;
};

void oracle_init(struct oracle *o, struct world *world);
void oracle_free(struct oracle *o);
void oracle_begin(struct oracle *o, const struct machine *formed); // an empty tree's
// Before and after `machine` has applied the batch: `after` holds every node that was touched against it.
void oracle_apply(struct oracle *o, const struct batch_ref *batch, const struct machine *before);
void oracle_compare(struct oracle *o, const struct batch_ref *batch, const struct machine *after);

struct oracle_node *oracle_path(struct oracle *o, struct bytes path);                // made when it is not known yet
const struct oracle_state *oracle_at(const struct oracle_node *node, uint64_t zxid); // NULL: nothing stood there
const struct oracle_entry *oracle_entry_at(const struct oracle *o, uint64_t index);  // NULL: none
size_t oracle_event_behind(const struct oracle *o, uint64_t zxid); // the first event behind that entry
struct oracle_session *oracle_session(const struct oracle *o, uint64_t session);
bool oracle_allows(const struct oracle *o, uint32_t acl, uint8_t perms, struct bytes identities);
// Children at that zxid in the order of their creation; gives how many there are, of which `most` are told.
size_t oracle_children(const struct oracle_kids *kids, uint64_t zxid, size_t count, const struct oracle_node **out);
uint64_t oracle_descendants(const struct oracle_node *node, uint64_t zxid);
int32_t oracle_cversion(const struct oracle_state *state);

// oracle_ops.c, for oracle.c only
int oracle_op(struct oracle *o, uint64_t session, struct bytes who, uint8_t op, struct bytes args,
              struct oracle_result *out);
int oracle_multi(struct oracle *o, uint64_t session, struct bytes who, struct bytes args);
void oracle_remove(struct oracle *o, struct oracle_node *node);
struct oracle_state *oracle_touch(struct oracle *o, struct oracle_node *node);
const struct oracle_state *oracle_now(const struct oracle_node *node); // NULL: nothing stands there
void oracle_event(struct oracle *o, enum tree_event_type type, const struct oracle_node *node);
void oracle_kid_add(struct oracle_kids *kids, struct oracle_node *node, uint64_t born);
uint32_t oracle_acl(struct oracle *o, struct bytes encoded); // its number
void *oracle_grow(void *array, size_t *capacity, size_t need, size_t element);
