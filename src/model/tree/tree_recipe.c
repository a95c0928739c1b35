// Recipes: what clients of ZooKeeper build of ephemeral sequential children.
//
//   owners   [session 17] -> [session 40]            each with its ephemerals in the order of their creation
//                  |
//   parent  a-0000000003  b-0000000004  c-0000000007    children in the order of their creation, and so of their
//   numbers
//            ^ told here
//
// Nothing is kept for this: a query goes through the ephemerals, a bounded number of steps at a time.
#include "base/assert.h"
#include "model/tree/tree_internal.h"
#include <string.h>

#define SEQUENCE_DIGITS 10u // at least so many: more once the counter has passed them
#define OTHERS_BETWEEN 16u  // children of another kind that may stand before the first contender

static bool is_contender(const struct tree_node *node) {
    if (node->kind != TREE_KIND_EPHEMERAL || node->name_len < SEQUENCE_DIGITS) return false;
    for (size_t i = 1; i <= SEQUENCE_DIGITS; i++) {
        uint8_t digit = node->name[node->name_len - i];
        if (digit < '0' || digit > '9') return false;
    }
    return true;
}

static bool is_first(const struct tree_node *node, size_t *steps) {
    const struct tree_node *first = node->parent->extra->first;
    for (unsigned i = 0; node != first && i < OTHERS_BETWEEN; i++) {
        node = node->prev;
        ++*steps;
        if (is_contender(node)) return false;
    }
    return true;
}

static void tell_contenders(const struct tree_node *first, const struct tree_query *query, size_t *steps,
                            struct tree_answer *answer) {
    const struct tree_node *end = first->parent->extra->first, *at = first;
    do {
        if (*steps >= query->steps_max && at != first) { // who is first in line is always told
            answer->cut = true;
            return;
        }
        ++*steps;
        if (!is_contender(at)) continue;
        struct tree_contender contender = {.name = bytes_of(at->name, at->name_len),
                                           .session = tree_node_special(at)->life.ephemeral.owner,
                                           .ctime = at->ctime};
        query->contender(query->context, &contender);
    } while ((at = at->next) != end);
}

static bool tell(const struct tree *tree, const struct tree_node *first, const struct tree_query *query) {
    struct writer *path = &((struct tree *)(uintptr_t)tree)->path; // scratch
    size_t len = tree_path_bytes(first->parent);
    writer_clear(path);
    tree_path_write(first->parent, writer_extend(path, len), len);
    return query->recipe(query->context, bytes_of(path->data, len));
}

static int behind_order(const void *order, const struct omap_node *node) { // below all that are behind it
    return *(const uint64_t *)order < CONTAINER_OF_CONST(node, struct tree_special, life.ephemeral.owned)->order ? -1
                                                                                                                 : 1;
}

void tree_query_recipes(const struct tree *tree, const struct tree_query *query, struct tree_answer *answer) {
    const struct tree_owner *owner = query->session != 0 ? tree_owner_find(tree, query->session) : NULL;
    uint64_t order = owner != NULL ? query->order : 0;
    const struct list *at = owner != NULL ? &owner->all : tree->all_owners.next;
    size_t steps = 0;
    for (; at != &tree->all_owners; at = at->next, order = 0) {
        owner = CONTAINER_OF_CONST(at, struct tree_owner, all);
        const struct omap_node *one = omap_lower_bound(&owner->owned, behind_order, &order);
        answer->session = owner->session;
        answer->order = order;
        for (; one != NULL; one = omap_next(one)) {
            const struct tree_special *special = CONTAINER_OF_CONST(one, struct tree_special, life.ephemeral.owned);
            if (steps >= query->steps_max) return;
            steps++;
            bool told = is_contender(special->node) && is_first(special->node, &steps);
            if (told && !tell(tree, special->node, query)) return;
            answer->order = special->order;
            if (told) tell_contenders(special->node, query, &steps, answer);
        }
    }
    answer->session = answer->order = 0;
}
