// Shapes of the tree's room, shared by its files only.
//
//   node ---- index: one hash table over all nodes, key (parent, name); the hash is chained from the parent's, so it is
//   the path's hash too
//    |------- next/prev: ring of the parent's children in creation order
//    |------- extra: only for nodes that had children, and for ephemerals, containers and TTL nodes (those have a
//    tree_special)
//    `------- data: own allocation, NULL when empty
//
// Invariants: extra exists exactly when kind != PERSISTENT or creates > 0 or children > 0 (memory() depends on it);
// a timed node stands in the heap exactly when it has a deadline; digest == the sum over all nodes' two items.
#pragma once
#include "base/arena.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/omap.h"
#include "model/lease/lease.h"
#include "model/tree/tree.h"

struct tree_node;

struct tree_extra { // what a leaf without a life of its own does not need
    struct tree_node *first;
    uint64_t creates; // children ever created: the sequence counter
    uint64_t pzxid;
    uint32_t children;
};

struct tree_special { // of ephemerals, containers and TTL nodes
    struct tree_extra extra;
    struct tree_node *node;
    uint64_t order; // creation number: ties of deadlines, order of a session's ephemerals
    union {
        struct { // TREE_KIND_EPHEMERAL
            struct omap_node owned;
            uint64_t owner;
        } ephemeral;
        struct {                       // TREE_KIND_CONTAINER, TREE_KIND_TTL
            struct heap_item deadline; // in the heap: `time` is the log time of its end
            uint64_t ttl_ms;
            uint64_t due_ms; // log time of the last change + ttl
        } timed;
    } life;
};

struct tree_node {
    struct hash_node index;
    struct tree_node *parent; // NULL: the root
    struct tree_node *next, *prev;
    struct tree_extra *extra;
    uint8_t *data;
    uint64_t czxid, mzxid;
    int64_t ctime, mtime;
    uint32_t version, aversion;
    uint32_t acl; // place in tree.acls
    uint32_t data_len;
    uint16_t name_len;
    uint8_t kind; // tree_kind
    bool data_null;
    uint8_t name[];
};

struct tree_acl { // interned; equal lists are one
    struct hash_node index;
    struct digest digest;
    uint32_t refs, id;
    uint32_t len;
    uint8_t world_perms; // what anyone may: passes without reading identities
    uint8_t encoded[];   // count varint, then (perms u8, scheme blob, id blob) each
};

struct tree_owner { // a session that has ephemerals
    struct hash_node index;
    uint64_t session;
    struct omap owned; // by order
    struct list all;   // as they came to have some; for those who look on, no state
};

// What a command did, so that a failed MULTI can be taken back step by step, in reverse.
enum tree_undo_kind { UNDO_CREATED, UNDO_DELETED, UNDO_DATA, UNDO_ACL, UNDO_PARENT };
struct tree_undo {
    enum tree_undo_kind kind;
    struct tree_node *node;
    union {
        struct {
            bool was_first;
            uint64_t deadline; // UINT64_MAX: none
        } deleted;
        struct {
            uint8_t *data;
            uint32_t len, version;
            bool null, in_place; // in_place: data is a copy in the arena, the node kept its memory
            uint64_t mzxid, due_ms, deadline;
            int64_t mtime;
        } data;
        struct {
            uint32_t acl, aversion;
        } acl;
        struct {
            bool had_extra;
            uint64_t creates, pzxid, deadline;
        } parent;
    } was;
};

struct tree_txn { // empty between commands; the arrays' memory is kept
    struct tree_undo *undo;
    size_t undo_count, undo_capacity;
    struct tree_event *events;
    size_t event_count, event_capacity;
    struct digest digest; // at the start
    uint64_t order;
    bool single; // one operation, which fails before it changes anything or not at all: nothing is ever taken back
};

struct tree {
    struct hash nodes; // all but the root
    struct hash acl_index;
    struct hash owners;
    struct list all_owners;
    struct heap deadlines;
    struct tree_node *root;
    struct tree_acl **acls; // by id; free places are linked through acl_free
    uint32_t acl_count, acl_capacity;
    uint32_t *acl_free;
    uint32_t acl_free_count;
    uint32_t ephemerals_max;
    uint64_t memory_max;
    uint64_t container_check_ms;
    uint64_t order; // creation numbers given
    uint64_t ephemerals, data_bytes, memory;
    struct digest digest;
    struct tree_txn txn;
    // Below: scratch of the newest call, no state.
    struct arena arena;
    struct tree_result result;
    struct tree_answer answer;
    struct writer path;
    struct { // a load under way
        bool begun;
        struct tree_node *last;  // newest node; its ancestors are the possible parents of the next
        uint64_t depth, missing; // of `last`; data bytes of `last` still to come
    } load;
};

// ---- tree_node.c
struct tree_node *tree_node_new(struct tree *tree, struct tree_node *parent, struct bytes name, enum tree_kind kind);
size_t tree_node_cost(size_t name_len, uint8_t kind, size_t data_len);        // of a new one, in tree->memory
void tree_node_free(struct tree *tree, struct tree_node *node);               // unlinked; its ACL reference goes too
void tree_node_link(struct tree *tree, struct tree_node *node);               // last of its parent's children
void tree_node_unlink(struct tree *tree, struct tree_node *node);             // leaves next/prev for relink
void tree_node_relink(struct tree *tree, struct tree_node *node, bool first); // takes back the newest unlink
void tree_node_set_data(struct tree *tree, struct tree_node *node, bool null,
                        struct bytes data);                                     // old data is not freed
struct tree_extra *tree_node_branch(struct tree *tree, struct tree_node *node); // its extra, made if absent
void tree_node_drop_branch(struct tree *tree, struct tree_node *node);          // of a persistent one
struct tree_special *tree_node_special(const struct tree_node *node);           // NULL: a persistent one
struct tree_special *tree_node_timed(const struct tree_node *node);             // NULL: has no deadlines
uint64_t tree_node_deadline(const struct tree_node *node);                      // UINT64_MAX: none
void tree_node_set_deadline(struct tree *tree, struct tree_node *node, uint64_t deadline);
static inline uint32_t tree_node_children(const struct tree_node *node) {
    return node->extra ? node->extra->children : 0;
}
struct tree_node *tree_child(const struct tree *tree, const struct tree_node *parent, struct bytes name);
struct tree_node *tree_find(const struct tree *tree, struct bytes path); // NULL: absent or not a path
struct tree_node *tree_walk(const struct tree_node *top, const struct tree_node *node,
                            uint64_t *depth); // pre-order; NULL: end
bool tree_path_valid(struct bytes path);
struct bytes tree_path_parent(struct bytes path); // of a valid path other than "/"
size_t tree_path_bytes(const struct tree_node *node);
void tree_path_write(const struct tree_node *node, uint8_t *out, size_t len); // len as tree_path_bytes said
struct tree_owner *tree_owner_find(const struct tree *tree, uint64_t session);
void tree_stat_of(const struct tree_node *node, struct tree_stat *stat);
struct digest tree_digest_stat(const struct tree *tree, const struct tree_node *node);
struct digest tree_digest_data(const struct tree_node *node);
void tree_defaults(struct tree *tree); // an empty tree with ZooKeeper's own nodes
void tree_clear(struct tree *tree);    // no node at all, not even the root

// ---- tree_acl.c
bool tree_acl_read(struct reader *r, struct bytes *encoded); // passes over one; false: bad bytes
// Gives the list to be stored: checked, without repeats, `auth` replaced by who asks. TREE_INVALIDACL otherwise.
int tree_acl_check(struct tree *tree, struct bytes encoded, struct tree_identities who, struct bytes *stored);
uint32_t tree_acl_ref(struct tree *tree, struct bytes stored); // interns
void tree_acl_unref(struct tree *tree, uint32_t id);
bool tree_acl_allows(const struct tree_acl *acl, uint8_t perms, struct tree_identities who);
bool tree_identities_valid(struct tree_identities who);
bool tree_ip_valid(struct bytes text, bool allow_mask);
bool tree_ip_matches(struct bytes address, struct bytes pattern);
extern const uint8_t tree_acl_open[15], tree_acl_world_read[15];

// ---- tree_txn.c
void tree_txn_begin(struct tree *tree, bool single);
struct tree_undo *tree_txn_undo(struct tree *tree, enum tree_undo_kind kind, struct tree_node *node);
void tree_txn_event(struct tree *tree, enum tree_event_type type, struct bytes path, const struct tree_node *node,
                    uint64_t zxid);
void tree_txn_commit(struct tree *tree, struct apply *apply); // emits, then frees what was replaced
void tree_txn_abort(struct tree *tree);                       // everything as it was at begin

// ---- tree_op.c
struct tree_request {
    struct apply *apply;
    struct tree_identities who;
    uint64_t session;
};
int tree_op_apply(struct tree *tree, const struct tree_request *request, uint8_t op, struct bytes args,
                  struct tree_result *out);
void tree_remove(struct tree *tree, struct apply *apply, struct tree_node *node,
                 struct bytes path); // a leaf, within a txn
int tree_multi_apply(struct tree *tree, const struct tree_request *request, struct bytes args, struct tree_result *out);

// ---- tree_query.c, tree_recipe.c, tree_save.c
void tree_query_recipes(const struct tree *tree, const struct tree_query *query, struct tree_answer *answer);
void tree_query_answer(const void *state, const void *query, struct result *result);
size_t tree_save(const void *state, struct save_cursor *cursor, uint8_t *out, size_t capacity);
int tree_load(void *state, const uint8_t *data, size_t len);
