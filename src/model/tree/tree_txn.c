// A command's log of undo steps and its events. Parts of a MULTI are applied for real one after the other, so a later
// part sees exactly what the earlier ones made; when one fails, the steps are taken back in reverse. Events wait for
// the commit.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/tree/tree_internal.h"
#include <string.h>

#define KEPT_CAPACITY 1024u // entries whose memory is kept for the next command

void tree_txn_begin(struct tree *tree, bool single) {
    ENSURE(tree->txn.undo_count == 0 && tree->txn.event_count == 0);
    tree->txn.digest = tree->digest;
    tree->txn.order = tree->order;
    tree->txn.single = single;
}

struct tree_undo *tree_txn_undo(struct tree *tree, enum tree_undo_kind kind, struct tree_node *node) {
    struct tree_txn *txn = &tree->txn;
    if (txn->undo_count == txn->undo_capacity) {
        txn->undo_capacity = txn->undo_capacity ? txn->undo_capacity * 2 : 16;
        txn->undo = mem_realloc(txn->undo, txn->undo_capacity * sizeof *txn->undo);
    }
    struct tree_undo *undo = &txn->undo[txn->undo_count++];
    undo->kind = kind;
    undo->node = node;
    return undo;
}

// The ACL is the node's at this moment; whatever replaces or deletes it lets go of it only after the commit's events.
void tree_txn_event(struct tree *tree, enum tree_event_type type, struct bytes path, const struct tree_node *node,
                    uint64_t zxid) {
    struct tree_txn *txn = &tree->txn;
    if (txn->event_count == txn->event_capacity) {
        txn->event_capacity = txn->event_capacity ? txn->event_capacity * 2 : 16;
        txn->events = mem_realloc(txn->events, txn->event_capacity * sizeof *txn->events);
    }
    txn->events[txn->event_count++] =
        (struct tree_event){.type = type, .path = path, .zxid = zxid, .acl = tree->acls[node->acl]};
}

static void txn_end(struct tree_txn *txn) {
    txn->undo_count = txn->event_count = 0;
    if (txn->undo_capacity > KEPT_CAPACITY) {
        mem_free(txn->undo);
        txn->undo = NULL;
        txn->undo_capacity = 0;
    }
    if (txn->event_capacity > KEPT_CAPACITY) {
        mem_free(txn->events);
        txn->events = NULL;
        txn->event_capacity = 0;
    }
}

void tree_txn_commit(struct tree *tree, struct apply *apply) {
    struct tree_txn *txn = &tree->txn;
    for (size_t i = 0; apply->emit && i < txn->event_count; i++)
        apply->emit(apply->emit_context, MODEL_TREE, &txn->events[i]);
    for (size_t i = 0; i < txn->undo_count; i++) {
        struct tree_undo *undo = &txn->undo[i];
        if (undo->kind == UNDO_DATA && !undo->was.data.in_place) mem_free(undo->was.data.data);
        if (undo->kind == UNDO_ACL) tree_acl_unref(tree, undo->was.acl.acl);
    }
    for (size_t i = 0; i < txn->undo_count; i++)
        if (txn->undo[i].kind == UNDO_DELETED) tree_node_free(tree, txn->undo[i].node);
    txn_end(txn);
}

static void undo_data(struct tree *tree, struct tree_undo *undo) {
    struct tree_node *node = undo->node;
    struct tree_special *special = tree_node_timed(node);
    tree->memory -= node->data_len;
    tree->data_bytes -= node->data_len;
    if (undo->was.data.in_place) {
        memcpy(node->data, undo->was.data.data, undo->was.data.len);
    } else {
        mem_free(node->data);
        node->data = undo->was.data.data;
    }
    node->data_len = undo->was.data.len;
    node->data_null = undo->was.data.null;
    node->version = undo->was.data.version;
    node->mzxid = undo->was.data.mzxid;
    node->mtime = undo->was.data.mtime;
    tree->memory += node->data_len;
    tree->data_bytes += node->data_len;
    if (special) special->life.timed.due_ms = undo->was.data.due_ms;
    tree_node_set_deadline(tree, node, undo->was.data.deadline);
}

static void undo_parent(struct tree *tree, struct tree_undo *undo) {
    struct tree_node *node = undo->node;
    node->extra->creates = undo->was.parent.creates;
    node->extra->pzxid = undo->was.parent.pzxid;
    tree_node_set_deadline(tree, node, undo->was.parent.deadline);
    if (!undo->was.parent.had_extra) tree_node_drop_branch(tree, node);
}

void tree_txn_abort(struct tree *tree) {
    struct tree_txn *txn = &tree->txn;
    ENSURE(!txn->single || txn->undo_count == 0);
    for (size_t i = txn->undo_count; i-- > 0;) {
        struct tree_undo *undo = &txn->undo[i];
        struct tree_node *node = undo->node;
        switch (undo->kind) {
        case UNDO_CREATED:
            tree_node_unlink(tree, node);
            tree_node_free(tree, node);
            break;
        case UNDO_DELETED:
            tree_node_relink(tree, node, undo->was.deleted.was_first);
            tree_node_set_deadline(tree, node, undo->was.deleted.deadline);
            break;
        case UNDO_DATA:
            undo_data(tree, undo);
            break;
        case UNDO_ACL:
            tree_acl_unref(tree, node->acl);
            node->acl = undo->was.acl.acl;
            node->aversion = undo->was.acl.aversion;
            break;
        case UNDO_PARENT:
            undo_parent(tree, undo);
            break;
        }
    }
    tree->digest = txn->digest;
    tree->order = txn->order;
    txn_end(txn);
}
