// The tree as a stream of records: a head, then every node in pre-order, so that a child finds its parent among the
// last node's ancestors and the children come back in their order. Data that does not fit in a chunk goes on in DATA
// records.
//
//   HEAD  tag, version varint, creation counter varint
//   NODE  tag, depth varint, name blob, kind u8, flags u8, czxid, mzxid - czxid, ctime u64, mtime u64, version,
//   aversion varints,
//         acl blob, [creates, pzxid: if EXTRA], [order, owner: if ephemeral], [order, ttl, due, deadline + 1: if
//         timed], data length varint, then as a blob the part of it that still fits
//   DATA  tag, blob: more of the newest node's data
//   END   tag, number of nodes varint
#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "model/tree/tree_internal.h"
#include <errno.h>
#include <string.h>

#define RECORD_HEAD 1u
#define RECORD_NODE 2u
#define RECORD_DATA 3u
#define RECORD_END 4u
#define SAVE_VERSION 1u
#define FLAG_EXTRA 1u
#define FLAG_NULL 2u
#define VARINT_MAX 10u
#define HEAD_BYTES_MAX (1 + 2 * VARINT_MAX)
#define DATA_BYTES_MIN (1 + VARINT_MAX + 64u) // a DATA record smaller than this is not worth it

// ---- saving. Writes into the caller's bytes only: this runs in a forked child.

struct out {
    uint8_t *data;
    size_t len, capacity;
};

static void out_u8(struct out *o, uint8_t v) {
    ENSURE(o->len < o->capacity);
    o->data[o->len++] = v;
}

static void out_varint(struct out *o, uint64_t v) {
    for (; v >= 0x80; v >>= 7) out_u8(o, (uint8_t)(v | 0x80));
    out_u8(o, (uint8_t)v);
}

static void out_u64(struct out *o, uint64_t v) {
    ENSURE(o->capacity - o->len >= 8);
    put_u64_le(o->data + o->len, v);
    o->len += 8;
}

static void out_blob(struct out *o, const uint8_t *data, size_t len) {
    out_varint(o, len);
    ENSURE(o->capacity - o->len >= len);
    if (len) memcpy(o->data + o->len, data, len);
    o->len += len;
}

// Room that a node's record needs at most, without its data.
static size_t node_bytes_max(const struct tree *tree, const struct tree_node *node) {
    return 3 + 16 + 16 * VARINT_MAX + node->name_len + tree->acls[node->acl]->len;
}

static size_t save_part(struct out *o, const struct tree_node *node, size_t from) {
    size_t part = node->data_len - from, room = o->capacity - o->len - VARINT_MAX;
    if (part > room) part = room;
    out_blob(o, node->data ? node->data + from : NULL, part);
    return from + part;
}

static void save_node(const struct tree *tree, const struct tree_node *node, uint64_t depth, struct out *o) {
    const struct tree_acl *acl = tree->acls[node->acl];
    const struct tree_special *special = tree_node_special(node);
    out_u8(o, RECORD_NODE);
    out_varint(o, depth);
    out_blob(o, node->name, node->name_len);
    out_u8(o, node->kind);
    out_u8(o, (uint8_t)((node->extra ? FLAG_EXTRA : 0) | (node->data_null ? FLAG_NULL : 0)));
    out_varint(o, node->czxid);
    out_varint(o, node->mzxid - node->czxid);
    out_u64(o, (uint64_t)node->ctime);
    out_u64(o, (uint64_t)node->mtime);
    out_varint(o, node->version);
    out_varint(o, node->aversion);
    out_blob(o, acl->encoded, acl->len);
    if (node->extra) {
        out_varint(o, node->extra->creates);
        out_varint(o, node->extra->pzxid);
    }
    if (special) {
        out_varint(o, special->order);
        if (node->kind == TREE_KIND_EPHEMERAL) {
            out_varint(o, special->life.ephemeral.owner);
        } else {
            out_varint(o, special->life.timed.ttl_ms);
            out_varint(o, special->life.timed.due_ms);
            out_varint(o, tree_node_deadline(node) + 1); // 0: none
        }
    }
    out_varint(o, node->data_len);
}

enum save_word { SAVE_STAGE, SAVE_NODE, SAVE_DEPTH, SAVE_DATA_AT, SAVE_COUNT };
enum save_stage { STAGE_HEAD, STAGE_NODE, STAGE_DATA, STAGE_END, STAGE_DONE };

static void save_next(const struct tree *tree, const struct tree_node *node, uint64_t *w) {
    const struct tree_node *next = tree_walk(tree->root, node, &w[SAVE_DEPTH]);
    w[SAVE_NODE] = (uint64_t)(uintptr_t)next;
    w[SAVE_STAGE] = next && !(PLANTED(SNAPSHOT_MISSES_RECORD) && w[SAVE_COUNT] == 20) ? STAGE_NODE : STAGE_END;
    w[SAVE_COUNT]++;
}

// Writes one record, if it fits.
static bool save_record(const struct tree *tree, uint64_t *w, struct out *o) {
    const struct tree_node *node = (const struct tree_node *)(uintptr_t)w[SAVE_NODE];
    size_t room = o->capacity - o->len;
    switch ((enum save_stage)w[SAVE_STAGE]) {
    case STAGE_HEAD:
        if (room < HEAD_BYTES_MAX) return false;
        out_u8(o, RECORD_HEAD);
        out_varint(o, SAVE_VERSION);
        out_varint(o, tree->order);
        w[SAVE_NODE] = (uint64_t)(uintptr_t)tree->root;
        w[SAVE_STAGE] = STAGE_NODE;
        return true;
    case STAGE_NODE:
        if (room < node_bytes_max(tree, node)) return false;
        save_node(tree, node, w[SAVE_DEPTH], o);
        w[SAVE_DATA_AT] = save_part(o, node, 0);
        w[SAVE_STAGE] = STAGE_DATA;
        break;
    case STAGE_DATA:
        if (room < DATA_BYTES_MIN) return false;
        out_u8(o, RECORD_DATA);
        w[SAVE_DATA_AT] = save_part(o, node, (size_t)w[SAVE_DATA_AT]);
        break;
    case STAGE_END:
        if (room < HEAD_BYTES_MAX) return false;
        out_u8(o, RECORD_END);
        out_varint(o, w[SAVE_COUNT]);
        w[SAVE_STAGE] = STAGE_DONE;
        return true;
    case STAGE_DONE:
        return false;
    }
    if (w[SAVE_DATA_AT] == node->data_len) save_next(tree, node, w);
    return true;
}

size_t tree_save(const void *state, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    ENSURE(capacity >= SAVE_RECORD_BYTES_MAX);
    struct out o = {out, 0, capacity};
    while (save_record(state, cursor->words, &o)) continue;
    return o.len;
}

// ---- loading

// The place of a node of `depth` below the newest one's ancestors. NULL: there is none.
static struct tree_node *load_parent(const struct tree *tree, uint64_t depth) {
    if (!tree->load.last || depth == 0 || depth > tree->load.depth + 1) return NULL;
    struct tree_node *node = tree->load.last;
    for (uint64_t at = tree->load.depth; at >= depth; at--) node = node->parent;
    return node;
}

static void load_finish(struct tree *tree) { // the newest node is whole
    digest_add(&tree->digest, tree_digest_stat(tree, tree->load.last));
    digest_add(&tree->digest, tree_digest_data(tree->load.last));
}

static bool load_data(struct tree *tree, struct reader *r) {
    struct tree_node *node = tree->load.last;
    struct bytes part = read_blob(r);
    if (r->failed || part.len > tree->load.missing) return false;
    if (part.len) memcpy(node->data + (node->data_len - tree->load.missing), part.data, part.len);
    tree->load.missing -= part.len;
    if (tree->load.missing == 0) load_finish(tree);
    return true;
}

static int order_compare(const void *key, const struct omap_node *node) {
    uint64_t want = *(const uint64_t *)key;
    uint64_t order = CONTAINER_OF_CONST(node, struct tree_special, life.ephemeral.owned)->order;
    return want < order ? -1 : want > order;
}

static bool load_special(const struct tree *tree, struct tree_node *node, struct reader *r, uint64_t *deadline) {
    struct tree_special *special = tree_node_special(node);
    if (!special) return true;
    special->order = read_varint(r);
    if (special->order > tree->order) return false;
    if (node->kind == TREE_KIND_EPHEMERAL) {
        special->life.ephemeral.owner = read_varint(r);
        const struct tree_owner *owner = tree_owner_find(tree, special->life.ephemeral.owner);
        if (owner && omap_find(&owner->owned, order_compare, &special->order)) return false;
        return special->life.ephemeral.owner != 0;
    }
    special->life.timed.ttl_ms = read_varint(r);
    special->life.timed.due_ms = read_varint(r);
    *deadline = read_varint(r) - 1;
    return true;
}

// Fills a fresh node from its record, all but the data's bytes.
static bool load_fields(struct tree *tree, struct tree_node *node, uint8_t flags, struct reader *r,
                        uint64_t *deadline) {
    node->czxid = read_varint(r);
    node->mzxid = node->czxid + read_varint(r);
    node->ctime = (int64_t)read_u64_le(r);
    node->mtime = (int64_t)read_u64_le(r);
    node->version = (uint32_t)read_varint(r);
    node->aversion = (uint32_t)read_varint(r);
    struct bytes acl = read_blob(r), encoded;
    struct reader acl_reader = reader_of(acl.data, acl.len);
    if (r->failed || acl.len > TREE_ACL_BYTES_MAX || !tree_acl_read(&acl_reader, &encoded) || !reader_done(&acl_reader))
        return false;
    node->acl = tree_acl_ref(tree, acl);
    if (flags & FLAG_EXTRA) {
        if (!node->extra) node->extra = mem_zalloc(sizeof *node->extra);
        node->extra->creates = read_varint(r);
        node->extra->pzxid = read_varint(r);
    } else if (node->extra) {
        return false;
    }
    if (!load_special(tree, node, r, deadline)) return false;
    uint64_t len = read_varint(r);
    node->data_null = flags & FLAG_NULL;
    if (r->failed || len > COMMAND_BYTES_MAX || (node->data_null && len)) return false;
    node->data_len = (uint32_t)len;
    if (len) node->data = mem_zalloc(len);
    return true;
}

static bool load_node(struct tree *tree, struct reader *r) {
    uint64_t depth = read_varint(r), deadline = UINT64_MAX;
    struct bytes name = read_blob(r);
    uint8_t kind = read_u8(r), flags = read_u8(r);
    struct tree_node *parent = load_parent(tree, depth);
    if (r->failed || kind > TREE_KIND_TTL || name.len > TREE_NAME_BYTES_MAX) return false;
    if (depth == 0 ? tree->root != NULL || name.len != 0 || kind != TREE_KIND_PERSISTENT
                   : !parent || !parent->extra || parent->kind == TREE_KIND_EPHEMERAL || name.len == 0 ||
                         tree_node_deadline(parent) != UINT64_MAX || tree_child(tree, parent, name) != NULL)
        return false;
    struct tree_node *node = tree_node_new(tree, parent, name, (enum tree_kind)kind);
    if (!load_fields(tree, node, flags, r, &deadline)) {
        tree_node_free(tree, node);
        return false;
    }
    tree_node_link(tree, node);
    tree_node_set_deadline(tree, node, deadline);
    if (!parent) tree->root = node;
    tree->load.last = node;
    tree->load.depth = depth;
    tree->load.missing = node->data_len;
    if (node->data_len == 0) {
        if (read_blob(r).len || r->failed) return false;
        load_finish(tree);
        return true;
    }
    return load_data(tree, r);
}

static bool load_record(struct tree *tree, struct reader *r) {
    uint8_t tag = read_u8(r);
    if (tag == RECORD_HEAD) {
        if (tree->load.begun || read_varint(r) != SAVE_VERSION) return false;
        tree_clear(tree);
        tree->load.begun = true;
        tree->order = read_varint(r);
        return !r->failed;
    }
    if (!tree->load.begun) return false;
    if (tag == RECORD_DATA) return tree->load.missing > 0 && load_data(tree, r);
    if (tree->load.missing > 0) return false;
    if (tag == RECORD_NODE) return load_node(tree, r);
    if (tag != RECORD_END || !tree->root) return false;
    uint64_t count = read_varint(r);
    memset(&tree->load, 0, sizeof tree->load);
    return !r->failed && count == tree->nodes.count + 1 && tree_find(tree, bytes_of_text("/zookeeper/config"));
}

int tree_load(void *state, const uint8_t *data, size_t len) {
    struct tree *tree = state;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0)
        if (!load_record(tree, &r)) return -EBADMSG;
    return 0;
}

bool tree_load_whole(const struct tree *tree) {
    return !tree->load.begun; // END takes it back
}
