// The model's face: making and dropping a tree, the dispatch of commands, ends of sessions and of deadlines.
#include "model/tree/tree.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "model/tree/tree_internal.h"
#include <string.h>

#define ORDER_DOMAIN 0x747265656f726472ull // "treeordr"

static void *tree_create(void) {
    struct tree *tree = mem_zalloc(sizeof *tree);
    hash_init(&tree->nodes);
    hash_init(&tree->acl_index);
    hash_init(&tree->owners);
    list_init(&tree->all_owners);
    heap_init(&tree->deadlines);
    arena_init(&tree->arena);
    writer_init(&tree->path);
    tree->memory_max = UINT64_MAX;
    tree->ephemerals_max = ZK_SESSION_EPHEMERALS_DEFAULT;
    tree->container_check_ms = TREE_CONTAINER_CHECK_MS;
    tree_defaults(tree);
    return tree;
}

static void tree_destroy(void *state) {
    struct tree *tree = state;
    if (tree->root) tree_clear(tree);
    ENSURE(tree->acl_index.count == 0);
    hash_free(&tree->nodes);
    hash_free(&tree->acl_index);
    hash_free(&tree->owners);
    heap_free(&tree->deadlines);
    arena_free(&tree->arena);
    writer_free(&tree->path);
    mem_free(tree->acls);
    mem_free(tree->acl_free);
    mem_free(tree->txn.undo);
    mem_free(tree->txn.events);
    mem_free(tree);
}

static void tree_apply(void *state, struct apply *apply, const struct command *command, struct result *result) {
    struct tree *tree = state;
    struct reader r = reader_of(command->args.data, command->args.len);
    struct tree_request request = {.apply = apply, .session = command->session};
    arena_reset(&tree->arena);
    memset(&tree->result, 0, sizeof tree->result);
    tree->result.op = command->op;
    result->model = MODEL_TREE;
    result->op = command->op;
    result->value = &tree->result;
    request.who.encoded = read_blob(&r);
    if (r.failed || !tree_identities_valid(request.who)) {
        result->error = tree->result.error = COMMAND_BAD_COMMAND;
        return;
    }
    struct bytes args = read_span(&r, reader_left(&r));
    tree_txn_begin(tree, command->op != TREE_OP_MULTI);
    int error = command->op == TREE_OP_MULTI ? tree_multi_apply(tree, &request, args, &tree->result)
                                             : tree_op_apply(tree, &request, command->op, args, &tree->result);
    if (error && !(PLANTED(MULTI_NOT_TAKEN_BACK) && command->op == TREE_OP_MULTI))
        tree_txn_abort(tree);
    else
        tree_txn_commit(tree, apply);
    result->error = error;
}

// Removes one node as an entry's own doing: nobody is asked for permission.
static void remove_owned(struct tree *tree, struct apply *apply, struct tree_node *node) {
    arena_reset(&tree->arena);
    size_t len = tree_path_bytes(node);
    uint8_t *path = arena_alloc(&tree->arena, len);
    tree_path_write(node, path, len);
    tree_txn_begin(tree, true);
    tree_remove(tree, apply, node, bytes_of(path, len));
    tree_txn_commit(tree, apply);
}

static void tree_session_end(void *state, struct apply *apply, uint64_t session) {
    struct tree *tree = state;
    const struct tree_owner *owner = tree_owner_find(tree, session);
    for (size_t left = owner ? owner->owned.count : 0; left > 0; left--) { // the owner goes with its last one
        struct tree_special *special =
            CONTAINER_OF(omap_first(&owner->owned), struct tree_special, life.ephemeral.owned);
        remove_owned(tree, apply, special->node);
    }
    ENSURE(!tree_owner_find(tree, session));
}

static uint64_t tree_next_deadline_ms(const void *state) {
    const struct heap_item *first = heap_first(&((const struct tree *)state)->deadlines);
    return first ? first->time : UINT64_MAX;
}

static size_t tree_expire(void *state, struct apply *apply, size_t max) {
    struct tree *tree = state;
    size_t done = 0;
    for (struct heap_item *first; done < max && (first = heap_first(&tree->deadlines)) != NULL; done++) {
        if (first->time > apply->log_time_ms) break;
        remove_owned(tree, apply, CONTAINER_OF(first, struct tree_special, life.timed.deadline)->node);
    }
    return done;
}

// The creation counter is state too: it decides orders to come.
static struct digest order_item(const struct tree *tree) {
    uint8_t bytes[8];
    put_u64_le(bytes, tree->order);
    return digest_hash(bytes, sizeof bytes, ORDER_DOMAIN);
}

static struct digest tree_digest(const void *state) {
    const struct tree *tree = state;
    struct digest sum = tree->digest;
    digest_add(&sum, order_item(tree));
    return sum;
}

static struct digest tree_digest_recount(const void *state) {
    const struct tree *tree = state;
    struct digest sum = {0, 0};
    uint64_t depth = 0;
    for (const struct tree_node *node = tree->root; node; node = tree_walk(tree->root, node, &depth)) {
        digest_add(&sum, tree_digest_stat(tree, node));
        digest_add(&sum, tree_digest_data(node));
    }
    digest_add(&sum, order_item(tree));
    return sum;
}

static uint64_t tree_memory(const void *state) {
    return ((const struct tree *)state)->memory;
}

void tree_set_ephemerals_max(struct tree *tree, uint32_t limit) {
    tree->ephemerals_max = limit;
}

void tree_set_memory_max(struct tree *tree, uint64_t bytes) {
    tree->memory_max = bytes;
}

void tree_set_container_check(struct tree *tree, uint64_t ms) {
    tree->container_check_ms = ms;
}

static uint64_t tree_count(const void *state) {
    return ((const struct tree *)state)->nodes.count + 1;
}

static uint64_t tree_count_of_session(const void *state, uint64_t session) {
    const struct tree_owner *owner = tree_owner_find(state, session);
    return owner ? owner->owned.count : 0;
}

const struct model_ops tree_model = {
    .name = "tree",
    .id = MODEL_TREE,
    .create = tree_create,
    .destroy = tree_destroy,
    .apply = tree_apply,
    .query = tree_query_answer,
    .session_end = tree_session_end,
    .next_deadline_ms = tree_next_deadline_ms,
    .expire = tree_expire,
    .save = tree_save,
    .load = tree_load,
    .digest = tree_digest,
    .digest_recount = tree_digest_recount,
    .memory = tree_memory,
    .count = tree_count,
    .count_of_session = tree_count_of_session,
};
