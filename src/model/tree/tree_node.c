// A node's memory, its places (index, siblings, owner, deadlines), paths, and its two digest items.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/tree/tree_internal.h"
#include <string.h>

#define STAT_DOMAIN 0x7472656573746174ull // "treestat"
#define DATA_DOMAIN 0x7472656564617461ull // "treedata"
#define ROOT_HASH 0x2f2f2f2f2f2f2f2full
#define INDEX_SHARE_BYTES 16 // a node's share of the index, whatever the table's true size is just now

// ---- memory

static size_t node_bytes(size_t name_len) {
    size_t bytes = offsetof(struct tree_node, name) + name_len;
    return bytes < sizeof(struct tree_node) ? sizeof(struct tree_node) : bytes;
}

static size_t extra_bytes(uint8_t kind) {
    return kind == TREE_KIND_PERSISTENT ? sizeof(struct tree_extra) : sizeof(struct tree_special);
}

#define OWNER_BYTES 48 // as it always was counted
// Apply judges by these whether a write fits (memory-max), so all replicas must have them alike: a change of one hangs
// on an apply level.
_Static_assert(sizeof(struct tree_node) == 112 && sizeof(struct tree_extra) == 32, "see above");
_Static_assert(sizeof(struct tree_special) == 88, "see above");
_Static_assert(sizeof(struct tree_acl) == 48, "see above");

size_t tree_node_cost(size_t name_len, uint8_t kind, size_t data_len) {
    size_t extra = kind == TREE_KIND_PERSISTENT ? 0 : extra_bytes(kind);
    return node_bytes(name_len) + extra + data_len + INDEX_SHARE_BYTES;
}

struct tree_node *tree_node_new(struct tree *tree, struct tree_node *parent, struct bytes name, enum tree_kind kind) {
    ENSURE(name.len <= TREE_NAME_BYTES_MAX);
    struct tree_node *node = mem_alloc(node_bytes(name.len));
    memset(node, 0, sizeof *node);
    node->parent = parent;
    node->next = node->prev = node;
    node->acl = UINT32_MAX; // none yet
    node->kind = (uint8_t)kind;
    node->name_len = (uint16_t)name.len;
    if (name.len) memcpy(node->name, name.data, name.len);
    node->index.hash = parent ? hash_bytes(name.data, name.len, parent->index.hash) : ROOT_HASH;
    if (kind != TREE_KIND_PERSISTENT) {
        struct tree_special *special = mem_zalloc(sizeof *special);
        special->node = node;
        node->extra = &special->extra;
    }
    return node;
}

void tree_node_free(struct tree *tree, struct tree_node *node) {
    ENSURE(tree_node_children(node) == 0);
    if (node->acl != UINT32_MAX) tree_acl_unref(tree, node->acl);
    mem_free(node->extra);
    mem_free(node->data);
    mem_free(node);
}

struct tree_extra *tree_node_branch(struct tree *tree, struct tree_node *node) {
    if (!node->extra) {
        node->extra = mem_zalloc(sizeof *node->extra);
        node->extra->pzxid = node->czxid;
        tree->memory += sizeof *node->extra;
    }
    return node->extra;
}

void tree_node_drop_branch(struct tree *tree, struct tree_node *node) {
    ENSURE(node->kind == TREE_KIND_PERSISTENT && node->extra && node->extra->children == 0);
    mem_free(node->extra);
    node->extra = NULL;
    tree->memory -= sizeof *node->extra;
}

void tree_node_set_data(struct tree *tree, struct tree_node *node, bool null, struct bytes data) {
    ENSURE(data.len <= UINT32_MAX);
    node->data_null = null;
    node->data_len = (uint32_t)data.len;
    node->data = NULL;
    if (!data.len) return;
    node->data = mem_alloc(data.len);
    memcpy(node->data, data.data, data.len);
}

// ---- places

struct tree_special *tree_node_special(const struct tree_node *node) {
    if (node->kind == TREE_KIND_PERSISTENT) return NULL;
    return CONTAINER_OF(node->extra, struct tree_special, extra);
}

struct tree_special *tree_node_timed(const struct tree_node *node) {
    return node->kind == TREE_KIND_CONTAINER || node->kind == TREE_KIND_TTL ? tree_node_special(node) : NULL;
}

uint64_t tree_node_deadline(const struct tree_node *node) {
    const struct tree_special *special = tree_node_timed(node);
    return special && special->life.timed.deadline.at ? special->life.timed.deadline.time : UINT64_MAX;
}

void tree_node_set_deadline(struct tree *tree, struct tree_node *node, uint64_t deadline) {
    struct tree_special *special = tree_node_timed(node);
    if (!special) {
        ENSURE(deadline == UINT64_MAX);
        return;
    }
    if (deadline == UINT64_MAX)
        heap_remove(&tree->deadlines, &special->life.timed.deadline);
    else
        heap_set(&tree->deadlines, &special->life.timed.deadline, deadline, special->order);
}

static bool owner_matches(const struct hash_node *node, const void *key) {
    return CONTAINER_OF_CONST(node, struct tree_owner, index)->session == *(const uint64_t *)key;
}

struct tree_owner *tree_owner_find(const struct tree *tree, uint64_t session) {
    struct hash_node *node = hash_find(&tree->owners, hash_u64(session), owner_matches, &session);
    return node ? CONTAINER_OF(node, struct tree_owner, index) : NULL;
}

static int owned_compare(const struct omap_node *a, const struct omap_node *b) {
    uint64_t left = CONTAINER_OF_CONST(a, struct tree_special, life.ephemeral.owned)->order;
    uint64_t right = CONTAINER_OF_CONST(b, struct tree_special, life.ephemeral.owned)->order;
    return left < right ? -1 : left > right;
}

static void owner_add(struct tree *tree, struct tree_special *special) {
    struct tree_owner *owner = tree_owner_find(tree, special->life.ephemeral.owner);
    if (!owner) {
        owner = mem_zalloc(sizeof *owner);
        owner->session = special->life.ephemeral.owner;
        omap_init(&owner->owned, owned_compare);
        hash_insert(&tree->owners, &owner->index, hash_u64(owner->session));
        list_push_back(&tree->all_owners, &owner->all);
        tree->memory += OWNER_BYTES;
    }
    struct omap_node *other = omap_insert(&owner->owned, &special->life.ephemeral.owned);
    ENSURE(!other);
    tree->ephemerals++;
}

static void owner_remove(struct tree *tree, struct tree_special *special) {
    struct tree_owner *owner = tree_owner_find(tree, special->life.ephemeral.owner);
    ENSURE(owner);
    omap_remove(&owner->owned, &special->life.ephemeral.owned);
    tree->ephemerals--;
    if (owner->owned.count) return;
    hash_remove(&tree->owners, &owner->index);
    list_remove(&owner->all);
    mem_free(owner);
    tree->memory -= OWNER_BYTES;
}

static uint64_t node_memory(const struct tree_node *node) {
    return node_bytes(node->name_len) + node->data_len + (node->extra ? extra_bytes(node->kind) : 0) +
           INDEX_SHARE_BYTES;
}

// Everything of being in the tree but the place among the siblings.
static void node_enter(struct tree *tree, struct tree_node *node) {
    if (node->parent) {
        hash_insert(&tree->nodes, &node->index, node->index.hash);
        node->parent->extra->children++;
    }
    if (node->kind == TREE_KIND_EPHEMERAL) owner_add(tree, tree_node_special(node));
    tree->memory += node_memory(node);
    tree->data_bytes += node->data_len;
}

void tree_node_link(struct tree *tree, struct tree_node *node) {
    struct tree_node *parent = node->parent;
    if (parent) {
        struct tree_node *first = tree_node_branch(tree, parent)->first;
        if (first) {
            node->next = first;
            node->prev = first->prev;
            node->prev->next = node->next->prev = node;
        } else {
            node->next = node->prev = node;
            parent->extra->first = node;
        }
    }
    node_enter(tree, node);
}

void tree_node_unlink(struct tree *tree, struct tree_node *node) {
    struct tree_node *parent = node->parent;
    ENSURE(tree_node_children(node) == 0);
    if (parent) {
        ENSURE(parent->extra->children > 0);
        node->prev->next = node->next;
        node->next->prev = node->prev;
        if (parent->extra->first == node) parent->extra->first = node->next == node ? NULL : node->next;
        parent->extra->children--;
        hash_remove(&tree->nodes, &node->index);
    }
    if (node->kind == TREE_KIND_EPHEMERAL)
        owner_remove(tree, tree_node_special(node));
    else
        tree_node_set_deadline(tree, node, UINT64_MAX);
    tree->memory -= node_memory(node);
    tree->data_bytes -= node->data_len;
}

// The newest unlink's neighbours are again as they were then, because everything after it has been taken back.
void tree_node_relink(struct tree *tree, struct tree_node *node, bool first) {
    ENSURE(node->parent && node->parent->extra);
    node->prev->next = node;
    node->next->prev = node;
    if (first) node->parent->extra->first = node;
    node_enter(tree, node);
}

// ---- finding

struct child_key {
    const struct tree_node *parent;
    struct bytes name;
};

static bool child_matches(const struct hash_node *hash_node, const void *key) {
    const struct tree_node *node = CONTAINER_OF_CONST(hash_node, struct tree_node, index);
    const struct child_key *want = key;
    return node->parent == want->parent && node->name_len == want->name.len &&
           memcmp(node->name, want->name.data, want->name.len) == 0;
}

struct tree_node *tree_child(const struct tree *tree, const struct tree_node *parent, struct bytes name) {
    struct child_key key = {parent, name};
    if (name.len == 0 || !tree_node_children(parent)) return NULL;
    uint64_t hash = hash_bytes(name.data, name.len, parent->index.hash);
    struct hash_node *node = hash_find(&tree->nodes, hash, child_matches, &key);
    return node ? CONTAINER_OF(node, struct tree_node, index) : NULL;
}

// Compares upwards from the node: names hold no slash and are never empty, so only one way of matching exists.
static bool path_matches(const struct hash_node *hash_node, const void *key) {
    const struct tree_node *node = CONTAINER_OF_CONST(hash_node, struct tree_node, index);
    const struct bytes *path = key;
    size_t end = path->len;
    for (; node->parent; node = node->parent) {
        if (end <= node->name_len) return false;
        end -= node->name_len;
        if (path->data[end - 1] != '/' || memcmp(node->name, path->data + end, node->name_len) != 0) return false;
        end--;
    }
    return end == 0;
}

// The chained hash of the names is the node's own, so the nodes on the way need not be looked up.
struct tree_node *tree_find(const struct tree *tree, struct bytes path) {
    if (path.len == 0 || path.data[0] != '/') return NULL;
    if (path.len == 1) return tree->root;
    uint64_t hash = ROOT_HASH;
    for (size_t at = 1; at <= path.len;) {
        const uint8_t *slash = at < path.len ? memchr(path.data + at, '/', path.len - at) : NULL;
        size_t end = slash ? (size_t)(slash - path.data) : path.len;
        hash = hash_bytes(path.data + at, end - at, hash);
        at = end + 1;
    }
    struct hash_node *node = hash_find(&tree->nodes, hash, path_matches, &path);
    return node ? CONTAINER_OF(node, struct tree_node, index) : NULL;
}

struct tree_node *tree_walk(const struct tree_node *top, const struct tree_node *node, uint64_t *depth) {
    if (tree_node_children(node)) {
        ++*depth;
        return node->extra->first;
    }
    while (node != top) {
        if (node->next != node->parent->extra->first) return node->next;
        node = node->parent;
        --*depth;
    }
    return NULL;
}

// ---- paths

bool tree_path_valid(struct bytes path) {
    if (path.len == 0 || path.data[0] != '/') return false;
    if (path.len == 1) return true;
    if (memchr(path.data, 0, path.len)) return false;
    for (size_t at = 1; at <= path.len;) {
        const uint8_t *slash = at < path.len ? memchr(path.data + at, '/', path.len - at) : NULL;
        size_t end = slash ? (size_t)(slash - path.data) : path.len;
        size_t len = end - at;
        if (len == 0 || len > TREE_NAME_BYTES_MAX) return false;
        if (path.data[at] == '.' && (len == 1 || (len == 2 && path.data[at + 1] == '.'))) return false;
        at = end + 1;
    }
    return true;
}

struct bytes tree_path_parent(struct bytes path) {
    ENSURE(path.len > 1);
    size_t len = path.len - 1;
    while (len > 0 && path.data[len] != '/') len--;
    return bytes_of(path.data, len ? len : 1);
}

size_t tree_path_bytes(const struct tree_node *node) {
    size_t len = node->parent ? 0 : 1;
    for (; node->parent; node = node->parent) len += 1u + node->name_len;
    return len;
}

void tree_path_write(const struct tree_node *node, uint8_t *out, size_t len) {
    if (!node->parent) out[0] = '/';
    for (; node->parent; node = node->parent) {
        ENSURE(len > node->name_len);
        len -= node->name_len;
        memcpy(out + len, node->name, node->name_len);
        out[--len] = '/';
    }
}

// ---- what a node says of itself

void tree_stat_of(const struct tree_node *node, struct tree_stat *stat) {
    const struct tree_extra *extra = node->extra;
    const struct tree_special *special = tree_node_special(node);
    uint64_t creates = extra ? extra->creates : 0;
    uint32_t children = tree_node_children(node);
    memset(stat, 0, sizeof *stat);
    stat->czxid = node->czxid;
    stat->mzxid = node->mzxid;
    stat->pzxid = extra ? extra->pzxid : node->czxid;
    stat->ctime = node->ctime;
    stat->mtime = node->mtime;
    stat->version = (int32_t)node->version;
    stat->cversion = (int32_t)(uint32_t)(creates * 2 - children); // DataNode.copyStat
    stat->aversion = (int32_t)node->aversion;
    stat->kind = (enum tree_kind)node->kind;
    if (node->kind == TREE_KIND_EPHEMERAL) stat->ephemeral_owner = special->life.ephemeral.owner;
    if (node->kind == TREE_KIND_TTL) stat->ttl_ms = special->life.timed.ttl_ms;
    stat->data_length = (int32_t)node->data_len;
    stat->children = (int32_t)children;
}

// The path's hash stands for the path. Two items, so that a change of the stat (each create changes its parent's) does
// not hash the data again.
struct digest tree_digest_stat(const struct tree *tree, const struct tree_node *node) {
    uint64_t words[16];
    size_t n = 0;
    const struct tree_acl *acl = tree->acls[node->acl];
    words[n++] = node->index.hash;
    words[n++] = node->czxid;
    words[n++] = node->mzxid;
    words[n++] = (uint64_t)node->ctime;
    words[n++] = (uint64_t)node->mtime;
    words[n++] = node->version | (uint64_t)node->aversion << 32;
    words[n++] = acl->digest.lo ^ node->kind;
    words[n++] = acl->digest.hi;
    if (node->extra) {
        words[n++] = node->extra->creates;
        words[n++] = node->extra->pzxid;
    }
    const struct tree_special *special = tree_node_special(node);
    if (special) {
        words[n++] = special->order;
        if (node->kind == TREE_KIND_EPHEMERAL) {
            words[n++] = special->life.ephemeral.owner;
        } else {
            words[n++] = special->life.timed.ttl_ms;
            words[n++] = special->life.timed.due_ms;
            words[n++] = tree_node_deadline(node);
        }
    }
    for (size_t i = 0; i < n; i++) put_u64_le((uint8_t *)&words[i], words[i]);
    return digest_hash(words, n * sizeof words[0], STAT_DOMAIN);
}

struct digest tree_digest_data(const struct tree_node *node) {
    return digest_hash(node->data, node->data_len, DATA_DOMAIN ^ node->index.hash ^ (node->data_null ? 1 : 0));
}

// ---- the empty tree

static struct tree_node *default_node(struct tree *tree, struct tree_node *parent, const char *name,
                                      const uint8_t acl[15]) {
    struct tree_node *node = tree_node_new(tree, parent, bytes_of_text(name), TREE_KIND_PERSISTENT);
    node->acl = tree_acl_ref(tree, bytes_of(acl, sizeof tree_acl_open));
    tree_node_link(tree, node);
    return node;
}

void tree_defaults(struct tree *tree) {
    ENSURE(!tree->root);
    tree->root = default_node(tree, NULL, "", tree_acl_open);
    struct tree_node *zookeeper = default_node(tree, tree->root, "zookeeper", tree_acl_open);
    default_node(tree, zookeeper, "quota", tree_acl_open);
    default_node(tree, zookeeper, "config", tree_acl_world_read);
    uint64_t depth = 0;
    for (struct tree_node *node = tree->root; node; node = tree_walk(tree->root, node, &depth)) {
        digest_add(&tree->digest, tree_digest_stat(tree, node));
        digest_add(&tree->digest, tree_digest_data(node));
    }
}

void tree_clear(struct tree *tree) {
    struct tree_node *node = tree->root;
    while (node) { // leaves first, without recursion: a tree may be as deep as a path is long
        while (tree_node_children(node)) node = node->extra->first;
        struct tree_node *parent = node->parent;
        tree_node_unlink(tree, node);
        tree_node_free(tree, node);
        node = parent;
    }
    tree->root = NULL;
    tree->digest = (struct digest){0, 0};
    tree->order = 0;
    ENSURE(tree->nodes.count == 0 && tree->deadlines.count == 0 && tree->owners.count == 0);
}
