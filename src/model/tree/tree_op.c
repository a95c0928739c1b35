// The single operations, in the order of checks that ZooKeeper's PrepRequestProcessor has (clients see which error
// comes first). Each reads all its arguments, then checks everything, then changes; so an error leaves nothing behind.
#include "base/assert.h"
#include "base/planted.h"
#include "model/tree/tree_internal.h"
#include <string.h>

struct create_args {
    uint64_t flags, ttl_ms;
    struct bytes path, data, acl;
    bool data_null;
};

static struct bytes read_data(struct reader *r, bool *null) {
    uint64_t code = read_varint(r);
    *null = code == 0;
    if (code == 0) return bytes_of(NULL, 0);
    if (code - 1 > UINT32_MAX) {
        r->failed = true;
        return bytes_of(NULL, 0);
    }
    return read_span(r, (size_t)(code - 1));
}

static bool read_version(struct reader *r, uint32_t *version) { // false: any
    uint64_t code = read_varint(r);
    if (code > (uint64_t)UINT32_MAX + 1) r->failed = true;
    *version = (uint32_t)(code - 1);
    return code != 0;
}

static bool may(const struct tree *tree, const struct tree_node *node, enum tree_perm perm,
                const struct tree_request *request) {
    return tree_acl_allows(tree->acls[node->acl], (uint8_t)perm, request->who);
}

// Deletes always pass, and so do writes that need no more than what they replace.
static bool has_room(const struct tree *tree, size_t more) {
    return more == 0 || (tree->memory <= tree->memory_max && more <= tree->memory_max - tree->memory);
}

// ---- what a create or delete does to its parent. The caller has taken the parent's item out of the digest and puts it
// back.

static void parent_remember(struct tree *tree, struct tree_node *parent) {
    struct tree_undo *undo = tree_txn_undo(tree, UNDO_PARENT, parent);
    undo->was.parent.had_extra = parent->extra != NULL;
    undo->was.parent.creates = parent->extra ? parent->extra->creates : 0;
    undo->was.parent.pzxid = parent->extra ? parent->extra->pzxid : 0;
    undo->was.parent.deadline = tree_node_deadline(parent);
}

static uint64_t later(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - 1 - b ? UINT64_MAX - 1 : a + b;
}

static void parent_emptied(struct tree *tree, struct apply *apply, struct tree_node *parent) {
    struct tree_special *special = tree_node_timed(parent);
    if (!special || tree_node_children(parent)) return;
    uint64_t now = apply->log_time_ms, due = special->life.timed.due_ms;
    if (parent->kind == TREE_KIND_CONTAINER) due = later(now, tree->container_check_ms);
    tree_node_set_deadline(tree, parent, due > now ? due : now);
}

void tree_remove(struct tree *tree, struct apply *apply, struct tree_node *node, struct bytes path) {
    struct tree_node *parent = node->parent;
    ENSURE(parent && tree_node_children(node) == 0);
    digest_sub(&tree->digest, tree_digest_stat(tree, node));
    digest_sub(&tree->digest, tree_digest_data(node));
    digest_sub(&tree->digest, tree_digest_stat(tree, parent));
    parent_remember(tree, parent);
    struct tree_undo *undo = tree_txn_undo(tree, UNDO_DELETED, node);
    undo->was.deleted.was_first = parent->extra->first == node;
    undo->was.deleted.deadline = tree_node_deadline(node);
    tree_node_unlink(tree, node);
    parent->extra->pzxid = apply->index;
    parent_emptied(tree, apply, parent);
    digest_add(&tree->digest, tree_digest_stat(tree, parent));
    tree_txn_event(tree, TREE_EVENT_DELETED, path, node, apply->index);
    tree_txn_event(tree, TREE_EVENT_CHILDREN, tree_path_parent(path), parent, apply->index);
}

// ---- create

static int create_flags_check(const struct tree_request *request, const struct create_args *args) {
    uint64_t kind = args->flags & (TREE_EPHEMERAL | TREE_CONTAINER | TREE_TTL);
    if (kind & (kind - 1)) return TREE_BADARGUMENTS; // more than one
    if (kind == TREE_CONTAINER && (args->flags & TREE_SEQUENTIAL)) return TREE_BADARGUMENTS;
    if (kind == TREE_TTL && (args->ttl_ms == 0 || args->ttl_ms > TREE_TTL_MS_MAX)) return TREE_BADARGUMENTS;
    if (kind != TREE_EPHEMERAL) return 0;
    if (request->session == 0) return TREE_BADARGUMENTS;
    // A grant checks its lease inside the state machine: an ephemeral of an ended session would never go away.
    if (PLANTED(ENDED_SESSION_WRITES)) return 0;
    if (request->apply->leases && !lease_find(request->apply->leases, request->session)) return COMMAND_SESSION_EXPIRED;
    return 0;
}

// The path with the parent's counter behind it: at least 10 digits, more when they are needed (no roll-over).
static struct bytes sequence_path(struct tree *tree, struct bytes path, uint64_t number) {
    uint8_t digits[20];
    size_t n = 0;
    for (; number || n < 10; number /= 10) digits[n++] = (uint8_t)('0' + number % 10);
    uint8_t *out = arena_alloc(&tree->arena, path.len + n);
    memcpy(out, path.data, path.len);
    for (size_t i = 0; i < n; i++) out[path.len + i] = digits[n - 1 - i];
    return bytes_of(out, path.len + n);
}

static enum tree_kind create_kind(const struct create_args *args) {
    return args->flags & TREE_EPHEMERAL   ? TREE_KIND_EPHEMERAL
           : args->flags & TREE_CONTAINER ? TREE_KIND_CONTAINER
           : args->flags & TREE_TTL       ? TREE_KIND_TTL
                                          : TREE_KIND_PERSISTENT;
}

// Nothing of memory and of the session's ephemerals stands against it.
static bool create_fits(const struct tree *tree, const struct tree_request *request, const struct create_args *args,
                        size_t name_len) {
    if (!has_room(tree, tree_node_cost(name_len, (uint8_t)create_kind(args), args->data.len))) return false;
    if (!(args->flags & TREE_EPHEMERAL)) return true;
    const struct tree_owner *owner = tree_owner_find(tree, request->session);
    return (owner ? owner->owned.count : 0) < tree->ephemerals_max;
}

static struct tree_node *create_node(struct tree *tree, const struct tree_request *request,
                                     const struct create_args *args, struct tree_node *parent, struct bytes path) {
    struct apply *apply = request->apply;
    size_t name_at = tree_path_parent(path).len;
    if (name_at > 1) name_at++; // behind the slash; the root's own path is the slash
    enum tree_kind kind = create_kind(args);
    struct tree_node *node = tree_node_new(tree, parent, bytes_of(path.data + name_at, path.len - name_at), kind);
    node->czxid = node->mzxid = apply->index;
    node->ctime = node->mtime = apply->unix_ms;
    node->acl = tree_acl_ref(tree, args->acl);
    tree_node_set_data(tree, node, args->data_null, args->data);
    struct tree_special *special = tree_node_special(node);
    tree->order++;
    if (special) {
        special->extra.pzxid = apply->index;
        special->order = tree->order;
        if (kind == TREE_KIND_EPHEMERAL) special->life.ephemeral.owner = request->session;
        if (kind == TREE_KIND_TTL) {
            special->life.timed.ttl_ms = args->ttl_ms;
            special->life.timed.due_ms = later(apply->log_time_ms, args->ttl_ms);
        }
    }
    return node;
}

static int op_create(struct tree *tree, const struct tree_request *request, struct reader *r, struct tree_result *out) {
    struct create_args args = {.flags = read_varint(r)};
    args.path = read_blob(r);
    args.data = read_data(r, &args.data_null);
    bool acl_read = tree_acl_read(r, &args.acl);
    if (args.flags & TREE_TTL) args.ttl_ms = read_varint(r);
    if (!acl_read || !reader_done(r) || args.flags > 15) return COMMAND_BAD_COMMAND;
    out->create_flags = (uint8_t)args.flags;
    int error = create_flags_check(request, &args);
    if (error) return error;
    // A sequential path may end in a slash: its name is the number alone.
    bool sequential = args.flags & TREE_SEQUENTIAL;
    struct bytes path = sequential ? sequence_path(tree, args.path, 0) : args.path;
    if (!tree_path_valid(path)) return TREE_BADARGUMENTS;
    error = tree_acl_check(tree, args.acl, request->who, &args.acl);
    if (error) return error;
    if (path.len == 1) return TREE_NODEEXISTS;
    struct tree_node *parent = tree_find(tree, tree_path_parent(path));
    if (!parent) return TREE_NONODE;
    if (!may(tree, parent, TREE_CREATE, request)) return TREE_NOAUTH;
    if (sequential) {
        uint64_t next = parent->extra ? parent->extra->creates : 0;
        if (PLANTED(SEQUENCE_FROM_CHILDREN)) next = tree_node_children(parent);
        path = sequence_path(tree, args.path, next);
        if (!tree_path_valid(path)) return TREE_BADARGUMENTS; // a name of the greatest length took a digit more
    }
    size_t parent_len = tree_path_parent(path).len;
    size_t name_at = parent_len > 1 ? parent_len + 1 : 1;
    if (tree_child(tree, parent, bytes_of(path.data + name_at, path.len - name_at))) return TREE_NODEEXISTS;
    if (parent->kind == TREE_KIND_EPHEMERAL) return TREE_NOCHILDRENFOREPHEMERALS;
    if (!create_fits(tree, request, &args, path.len - name_at)) return TREE_QUOTAEXCEEDED;

    struct apply *apply = request->apply;
    digest_sub(&tree->digest, tree_digest_stat(tree, parent));
    parent_remember(tree, parent);
    struct tree_node *node = create_node(tree, request, &args, parent, path);
    tree_node_link(tree, node);
    tree_txn_undo(tree, UNDO_CREATED, node);
    if (node->kind == TREE_KIND_TTL) tree_node_set_deadline(tree, node, tree_node_timed(node)->life.timed.due_ms);
    parent->extra->creates++;
    parent->extra->pzxid = apply->index;
    tree_node_set_deadline(tree, parent, UINT64_MAX); // it has a child now
    digest_add(&tree->digest, tree_digest_stat(tree, parent));
    digest_add(&tree->digest, tree_digest_stat(tree, node));
    digest_add(&tree->digest, tree_digest_data(node));
    tree_txn_event(tree, TREE_EVENT_CREATED, path, node, apply->index);
    tree_txn_event(tree, TREE_EVENT_CHILDREN, tree_path_parent(path), parent, apply->index);
    out->path = path;
    tree_stat_of(node, &out->stat);
    return 0;
}

// ---- delete

static bool path_special(struct bytes path) {
    return path.len == 1 || bytes_equal(path, bytes_of_text("/zookeeper")) ||
           bytes_equal(path, bytes_of_text("/zookeeper/quota")) ||
           bytes_equal(path, bytes_of_text("/zookeeper/config"));
}

static int op_delete(struct tree *tree, const struct tree_request *request, struct reader *r, struct tree_result *out) {
    struct bytes path = read_blob(r);
    uint32_t version;
    bool checked = read_version(r, &version);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!tree_path_valid(path) || path_special(path)) return TREE_BADARGUMENTS;
    struct bytes parent_path = tree_path_parent(path);
    struct tree_node *parent = tree_find(tree, parent_path);
    if (!parent) return TREE_NONODE;
    if (!may(tree, parent, TREE_DELETE, request)) return TREE_NOAUTH;
    size_t name_at = parent_path.len > 1 ? parent_path.len + 1 : 1;
    struct tree_node *node = tree_child(tree, parent, bytes_of(path.data + name_at, path.len - name_at));
    if (!node) return TREE_NONODE;
    if (checked && node->version != version) return TREE_BADVERSION;
    if (tree_node_children(node)) return TREE_NOTEMPTY;
    tree_remove(tree, request->apply, node, path);
    return 0;
}

// ---- set, set_acl, check

// The node of a path that has been checked for `perm`.
static int find_allowed(const struct tree *tree, const struct tree_request *request, struct bytes path,
                        enum tree_perm perm, struct tree_node **node) {
    if (!tree_path_valid(path)) return TREE_BADARGUMENTS;
    *node = tree_find(tree, path);
    if (!*node) return TREE_NONODE;
    return may(tree, *node, perm, request) ? 0 : TREE_NOAUTH;
}

static struct tree_undo *data_remember(struct tree *tree, struct tree_node *node) {
    const struct tree_special *special = tree_node_timed(node);
    struct tree_undo *undo = tree_txn_undo(tree, UNDO_DATA, node);
    undo->was.data.data = node->data;
    undo->was.data.len = node->data_len;
    undo->was.data.null = node->data_null;
    undo->was.data.in_place = false;
    undo->was.data.version = node->version;
    undo->was.data.mzxid = node->mzxid;
    undo->was.data.mtime = node->mtime;
    undo->was.data.due_ms = special ? special->life.timed.due_ms : 0;
    undo->was.data.deadline = tree_node_deadline(node);
    return undo;
}

static void set_data(struct tree *tree, struct apply *apply, struct tree_node *node, struct bytes path, bool null,
                     struct bytes data) {
    struct tree_special *special = tree_node_timed(node);
    digest_sub(&tree->digest, tree_digest_stat(tree, node));
    digest_sub(&tree->digest, tree_digest_data(node));
    if (node->data && node->data_len == data.len) { // the usual case: no new memory, and it stays near its node
        if (!tree->txn.single) {
            struct tree_undo *undo = data_remember(tree, node);
            undo->was.data.data = memcpy(arena_alloc(&tree->arena, data.len), node->data, data.len);
            undo->was.data.in_place = true;
        }
        memcpy(node->data, data.data, data.len);
    } else {
        data_remember(tree, node);
        tree->memory -= node->data_len;
        tree->data_bytes -= node->data_len;
        tree_node_set_data(tree, node, null, data);
        tree->memory += node->data_len;
        tree->data_bytes += node->data_len;
    }
    node->version++;
    node->mzxid = apply->index;
    node->mtime = apply->unix_ms;
    if (node->kind == TREE_KIND_TTL) {
        special->life.timed.due_ms = later(apply->log_time_ms, special->life.timed.ttl_ms);
        if (!tree_node_children(node)) tree_node_set_deadline(tree, node, special->life.timed.due_ms);
    }
    digest_add(&tree->digest, tree_digest_stat(tree, node));
    digest_add(&tree->digest, tree_digest_data(node));
    tree_txn_event(tree, TREE_EVENT_DATA, path, node, apply->index);
}

static int op_set(struct tree *tree, const struct tree_request *request, struct reader *r, struct tree_result *out) {
    struct bytes path = read_blob(r);
    bool null;
    struct bytes data = read_data(r, &null);
    uint32_t version;
    bool checked = read_version(r, &version);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct tree_node *node;
    int error = find_allowed(tree, request, path, TREE_WRITE, &node);
    if (error) return error;
    if (checked && node->version != version) return TREE_BADVERSION;
    if (!has_room(tree, data.len > node->data_len ? data.len - node->data_len : 0)) return TREE_QUOTAEXCEEDED;
    set_data(tree, request->apply, node, path, null, data);
    tree_stat_of(node, &out->stat);
    return 0;
}

static int op_set_acl(struct tree *tree, const struct tree_request *request, struct reader *r,
                      struct tree_result *out) {
    struct bytes path = read_blob(r), acl;
    bool acl_read = tree_acl_read(r, &acl);
    uint32_t version;
    bool checked = read_version(r, &version);
    if (!acl_read || !reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!tree_path_valid(path)) return TREE_BADARGUMENTS;
    int error = tree_acl_check(tree, acl, request->who, &acl);
    if (error) return error;
    struct tree_node *node;
    error = find_allowed(tree, request, path, TREE_ADMIN, &node);
    if (error) return error;
    if (checked && node->aversion != version) return TREE_BADVERSION;
    if (!has_room(tree, acl.len)) return TREE_QUOTAEXCEEDED;
    digest_sub(&tree->digest, tree_digest_stat(tree, node));
    struct tree_undo *undo = tree_txn_undo(tree, UNDO_ACL, node);
    undo->was.acl.acl = node->acl;
    undo->was.acl.aversion = node->aversion;
    node->acl = tree_acl_ref(tree, acl);
    node->aversion++;
    digest_add(&tree->digest, tree_digest_stat(tree, node));
    tree_stat_of(node, &out->stat);
    return 0;
}

static int op_check(struct tree *tree, const struct tree_request *request, struct reader *r, struct tree_result *out) {
    struct bytes path = read_blob(r);
    uint32_t version;
    bool checked = read_version(r, &version);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct tree_node *node;
    int error = find_allowed(tree, request, path, TREE_READ, &node);
    if (error) return error;
    if (checked && node->version != version) return TREE_BADVERSION;
    tree_stat_of(node, &out->stat);
    return 0;
}

int tree_op_apply(struct tree *tree, const struct tree_request *request, uint8_t op, struct bytes args,
                  struct tree_result *out) {
    typedef int (*op_fn)(struct tree *, const struct tree_request *, struct reader *, struct tree_result *);
    static const op_fn ops[] = {
        [TREE_OP_CREATE] = op_create,   [TREE_OP_DELETE] = op_delete, [TREE_OP_SET] = op_set,
        [TREE_OP_SET_ACL] = op_set_acl, [TREE_OP_CHECK] = op_check,
    };
    out->op = op;
    if (op >= sizeof ops / sizeof ops[0] || !ops[op]) return out->error = COMMAND_BAD_COMMAND;
    struct reader r = reader_of(args.data, args.len);
    return out->error = ops[op](tree, request, &r, out);
}

void tree_set_config(struct tree *tree, struct apply *apply, struct bytes data) {
    struct bytes path = bytes_of_text("/zookeeper/config");
    struct tree_node *node = tree_find(tree, path);
    ENSURE(node);
    if (!node->data_null && bytes_equal(bytes_of(node->data, node->data_len), data)) return;
    tree_txn_begin(tree, true);
    set_data(tree, apply, node, path, false, data);
    tree_txn_commit(tree, apply);
}
