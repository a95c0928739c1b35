// The tree of znodes, ZooKeeper's data model: data (null is not empty), ACL, versions, ephemerals, 64-bit sequence
// counters, containers, TTL. zxid = index of the entry. Error codes are ZooKeeper's own numbers, so that the protocol
// passes them on.
#pragma once
#include "model/model.h"

#define TREE_ERRORS(X)                                                                                                 \
    X(NONODE, -101)                                                                                                    \
    X(NOAUTH, -102)                                                                                                    \
    X(BADVERSION, -103)                                                                                                \
    X(NOCHILDRENFOREPHEMERALS, -108)                                                                                   \
    X(NODEEXISTS, -110)                                                                                                \
    X(NOTEMPTY, -111) X(INVALIDACL, -114) X(BADARGUMENTS, -8) X(QUOTAEXCEEDED, -125) X(RUNTIMEINCONSISTENCY, -2)
enum tree_error {
    TREE_OK = 0,
#define X(name, code) TREE_##name = code,
    TREE_ERRORS(X)
#undef X
};

// Operations; each begins with: identities blob (see tree_identities). Then:
#define TREE_OPS(X)                                                                                                    \
    X(CREATE, 1)  /* flags varint (tree_create_flag), path blob, data option, acl, ttl_ms varint if TREE_TTL */        \
    X(DELETE, 2)  /* path blob, version option */                                                                      \
    X(SET, 3)     /* path blob, data option, version option */                                                         \
    X(SET_ACL, 4) /* path blob, acl, aversion option */                                                                \
    X(CHECK, 5)   /* path blob, version option (only in multi) */                                                      \
    X(MULTI, 6)   /* count varint, then (op u8, length varint, args without identities) each: all or none */
/* data option: 0 null, else length+1 varint and bytes. version option: 0 any, else version+1 as varint of u32.
   acl: count varint, then perms u8, scheme blob, id blob each. */
enum tree_op {
#define X(name, value) TREE_OP_##name = value,
    TREE_OPS(X)
#undef X
};
enum tree_create_flag { TREE_EPHEMERAL = 1, TREE_SEQUENTIAL = 2, TREE_CONTAINER = 4, TREE_TTL = 8 };
enum tree_perm { TREE_READ = 1, TREE_WRITE = 2, TREE_CREATE = 4, TREE_DELETE = 8, TREE_ADMIN = 16, TREE_ALL = 31 };

struct tree_acl_entry {
    uint8_t perms;
    struct bytes scheme, id;
};
// Who asks: count varint, then scheme blob, id blob each ("ip" "127.0.0.1", "digest" "user:base64", "x509" subject,
// "super" "" passes all checks). An empty span has no identity beyond world:anyone.
struct tree_identities {
    struct bytes encoded;
};

struct tree_stat {
    uint64_t czxid, mzxid, pzxid;
    int64_t ctime, mtime;                // Unix milliseconds
    int32_t version, cversion, aversion; // cversion as ZooKeeper shows it: creates*2 - children
    uint64_t ephemeral_owner;            // session number; 0: none. Containers and TTL nodes: see `kind`
    enum tree_kind { TREE_KIND_PERSISTENT, TREE_KIND_EPHEMERAL, TREE_KIND_CONTAINER, TREE_KIND_TTL } kind;
    uint64_t ttl_ms;
    int32_t data_length, children;
};

struct tree_result { // result.value of each op
    int error;       // of this operation (in a failed multi: 0 before, its code at, -2 behind the failing one)
    uint8_t op;
    uint8_t create_flags;
    struct bytes path;               // CREATE: the path with its sequence suffix
    struct tree_stat stat;           // CREATE, SET, SET_ACL, CHECK
    const struct tree_result *parts; // MULTI
    size_t part_count;
};

// Told on every replica as changes are applied, in ZooKeeper's order: for a create NODE_CREATED then the parent's
// CHILDREN_CHANGED; for a delete NODE_DELETED then the parent's CHILDREN_CHANGED; DATA_CHANGED.
enum tree_event_type { TREE_EVENT_CREATED = 1, TREE_EVENT_DELETED = 2, TREE_EVENT_DATA = 3, TREE_EVENT_CHILDREN = 4 };
struct tree_event {
    enum tree_event_type type;
    struct bytes path;
    uint64_t zxid;
    const void *acl; // the node's ACL for tree_event_allows; valid during the call
};
struct tree; // the state of MODEL_TREE
extern const struct model_ops tree_model;
bool tree_event_allows(const struct tree_event *event, struct tree_identities identities); // may this watcher READ?

enum tree_query_op {
    TREE_GET = 1,
    TREE_EXISTS,
    TREE_CHILDREN,
    TREE_GET_ACL,
    TREE_EPHEMERALS,
    TREE_CHILDREN_COUNT,
    TREE_STATS,
    TREE_RECIPES
};
// RECIPES: parents of ephemeral sequential children, which is what recipes of locks, elections and semaphores are made
// of. Ephemerals are gone through session by session; a parent is told at the first of its contenders.
struct tree_contender { // in the order of their numbers: the first is first in line
    struct bytes name;
    uint64_t session;
    int64_t ctime; // Unix milliseconds
};
struct tree_query {
    enum tree_query_op op;
    struct bytes path; // EPHEMERALS: prefix
    struct tree_identities identities;
    uint64_t session; // EPHEMERALS: its owner
    // Either may be NULL: then nothing is given, only counted (a first pass, for protocols that write the number
    // first). CHILDREN: names in the order of their creation. EPHEMERALS: whole paths, in the order of their creation.
    // GET_ACL: entries.
    void (*name)(void *context, struct bytes name);
    void (*acl)(void *context, const struct tree_acl_entry *entry);
    // RECIPES: goes on behind `session` and `order`, as an answer gave them (0: from the first; also when that session
    // has no ephemerals any more). `recipe` gives whether it takes this parent: if not, the answer's session and order
    // lead back to it. `contender` follows for each of its contenders.
    uint64_t order;
    size_t steps_max; // children looked at, and so the time that it takes
    bool (*recipe)(void *context, struct bytes path);
    void (*contender)(void *context, const struct tree_contender *contender);
    void *context;
};
struct tree_answer { // result.value of a query; spans are valid until the next apply
    struct tree_stat stat;
    bool data_null;
    struct bytes data;
    uint64_t count; // CHILDREN_COUNT: all descendants. EPHEMERALS, CHILDREN, GET_ACL: how many were (or would be) given
    uint64_t nodes, ephemerals, watches_unused, data_bytes; // STATS
    uint64_t session, order;                                // RECIPES: where to go on; session 0: there are no more
    bool cut; // RECIPES: steps_max was reached within the last recipe: it has more contenders
};
// Commands' bytes, for protocols.
void tree_write_create(struct writer *w, struct bytes path, const struct bytes *data, const struct tree_acl_entry *acl,
                       size_t acl_count, uint8_t flags, uint64_t ttl_ms);
void tree_write_delete(struct writer *w, struct bytes path, int32_t version); // version -1: any
void tree_write_set(struct writer *w, struct bytes path, const struct bytes *data, int32_t version);
void tree_write_set_acl(struct writer *w, struct bytes path, const struct tree_acl_entry *acl, size_t acl_count,
                        int32_t version);
void tree_write_check(struct writer *w, struct bytes path, int32_t version);
// In a MULTI: begin with tree_write_multi(count), then tree_multi_part(op, args) for each.
void tree_write_multi(struct writer *w, size_t count);
void tree_multi_part(struct writer *w, uint8_t op, struct bytes args);
// The same without copies, for who does not know the count yet and writes the arguments straight behind what stands
// there: each begin gives the place that its end takes.
size_t tree_multi_begin(struct writer *w);
size_t tree_multi_part_begin(struct writer *w);
void tree_multi_part_end(struct writer *w, size_t at, uint8_t op);
void tree_multi_end(struct writer *w, size_t at, size_t count);
void tree_set_memory_max(struct tree *tree, uint64_t bytes);     // setting; default UINT64_MAX: no limit
void tree_set_ephemerals_max(struct tree *tree, uint32_t limit); // setting; default ZK_SESSION_EPHEMERALS_DEFAULT
void tree_set_container_check(struct tree *tree, uint64_t ms);   // setting; default TREE_CONTAINER_CHECK_MS
// Between the first and the last chunk of a load: false. A state that stays so is a part of one.
bool tree_load_whole(const struct tree *tree);
// Sets /zookeeper/config, as the entry of `apply` (zxid, mtime, version + 1) and emits its DATA event. Called by
// replica/ when the membership changes. Data that is equal to what stands there changes nothing.
void tree_set_config(struct tree *tree, struct apply *apply, struct bytes data);

#define TREE_CONTAINER_CHECK_MS                                                                                        \
    60000u // default: a container that lost its last child lives this long (ZooKeeper's check interval)
#define TREE_TTL_MS_MAX ((1ull << 40) - 1) // ZooKeeper's own bound of a TTL
#define TREE_NAME_BYTES_MAX 65535u // one path component: a saved record must hold it whole. Longer: BADARGUMENTS
#define TREE_ACL_BYTES_MAX 65536u  // one encoded ACL, for the same reason. Longer: INVALIDACL
