// Reads. Permissions as ZooKeeper 3.8 asks for them: READ for data, children and their number; none for exists and
// getEphemerals; READ or ADMIN for the ACL, and without ADMIN its digests are masked.
#include "base/assert.h"
#include "model/tree/tree_internal.h"
#include <string.h>

static void give_acl(const struct tree *tree, const struct tree_node *node, const struct tree_query *query,
                     struct tree_answer *answer) {
    const struct tree_acl *acl = tree->acls[node->acl];
    struct reader r = reader_of(acl->encoded, acl->len);
    answer->count = read_varint(&r);
    bool whole = tree_acl_allows(acl, TREE_ADMIN, query->identities);
    for (uint64_t i = 0; query->acl && i < answer->count; i++) {
        struct tree_acl_entry entry = {.perms = read_u8(&r)};
        entry.scheme = read_blob(&r);
        entry.id = read_blob(&r);
        uint8_t masked[256];
        const uint8_t *colon = entry.id.len ? memchr(entry.id.data, ':', entry.id.len) : NULL;
        if (!whole && colon && bytes_equal(entry.scheme, bytes_of_text("digest"))) {
            size_t user = (size_t)(colon - entry.id.data);
            if (user > sizeof masked - 2) user = sizeof masked - 2; // a longer name is cut: it is only shown
            memcpy(masked, entry.id.data, user);
            memcpy(masked + user, ":x", 2);
            entry.id = bytes_of(masked, user + 2);
        }
        query->acl(query->context, &entry);
    }
}

static void give_children(const struct tree_node *node, const struct tree_query *query, struct tree_answer *answer) {
    answer->count = tree_node_children(node);
    const struct tree_node *child = answer->count && query->name ? node->extra->first : NULL;
    for (uint64_t i = 0; child && i < answer->count; i++, child = child->next)
        query->name(query->context, bytes_of(child->name, child->name_len));
}

static void count_descendants(const struct tree *tree, const struct tree_node *node, struct tree_answer *answer) {
    uint64_t depth = 0;
    if (node == tree->root) {
        answer->count = tree->nodes.count;
        return;
    }
    for (const struct tree_node *at = tree_walk(node, node, &depth); at; at = tree_walk(node, at, &depth))
        answer->count++;
}

// As ZooKeeper: a plain prefix of the path, not of its components.
static void give_ephemerals(struct tree *tree, const struct tree_query *query, struct tree_answer *answer) {
    const struct tree_owner *owner = tree_owner_find(tree, query->session);
    for (const struct omap_node *at = owner ? omap_first(&owner->owned) : NULL; at; at = omap_next(at)) {
        const struct tree_special *special = CONTAINER_OF_CONST(at, struct tree_special, life.ephemeral.owned);
        size_t len = tree_path_bytes(special->node);
        writer_clear(&tree->path);
        uint8_t *path = writer_extend(&tree->path, len);
        tree_path_write(special->node, path, len);
        if (len < query->path.len || (query->path.len && memcmp(path, query->path.data, query->path.len) != 0))
            continue;
        answer->count++;
        if (query->name) query->name(query->context, bytes_of(path, len));
    }
}

static int answer_node(const struct tree *tree, const struct tree_query *query, struct tree_answer *answer) {
    const struct tree_node *node = tree_find(tree, query->path);
    if (!node) return TREE_NONODE;
    uint8_t perms = query->op == TREE_EXISTS ? 0 : query->op == TREE_GET_ACL ? TREE_READ | TREE_ADMIN : TREE_READ;
    if (perms && !tree_acl_allows(tree->acls[node->acl], perms, query->identities)) return TREE_NOAUTH;
    tree_stat_of(node, &answer->stat);
    switch (query->op) {
    case TREE_GET:
        answer->data_null = node->data_null;
        answer->data = bytes_of(node->data, node->data_len);
        break;
    case TREE_CHILDREN:
        give_children(node, query, answer);
        break;
    case TREE_GET_ACL:
        give_acl(tree, node, query, answer);
        break;
    case TREE_CHILDREN_COUNT:
        count_descendants(tree, node, answer);
        break;
    default:
        break;
    }
    return 0;
}

void tree_query_answer(const void *state, const void *query_struct, struct result *result) {
    const struct tree_query *query = query_struct;
    struct tree *tree = (struct tree *)(uintptr_t)state; // only its scratch is written
    struct tree_answer *answer = &tree->answer;
    memset(answer, 0, sizeof *answer);
    result->model = MODEL_TREE;
    result->op = (uint8_t)query->op;
    result->value = answer;
    result->error = 0;
    switch (query->op) {
    case TREE_GET:
    case TREE_EXISTS:
    case TREE_CHILDREN:
    case TREE_GET_ACL:
    case TREE_CHILDREN_COUNT:
        result->error = answer_node(tree, query, answer);
        break;
    case TREE_EPHEMERALS:
        give_ephemerals(tree, query, answer);
        break;
    case TREE_RECIPES:
        tree_query_recipes(tree, query, answer);
        break;
    case TREE_STATS:
        answer->nodes = tree->nodes.count + 1;
        answer->ephemerals = tree->ephemerals;
        answer->data_bytes = tree->data_bytes;
        break;
    default:
        result->error = COMMAND_BAD_COMMAND;
    }
}
