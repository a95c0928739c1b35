// An AVL tree (Adelson-Velsky and Landis, 1962): the heights of a node's two sides differ by 1 at most, so n items are
// at most 1.44 log2(n) deep. A rotation lifts one side by one:
//
//        n                 p
//       / \               / \         lift_left(n); lift_right is its mirror.
//      a   p     ->      n   c        The order a n b p c stays.
//         / \           / \           .
//        b   c         a   b
#include "base/omap.h"

#include "base/assert.h"

void omap_init(struct omap *m, omap_compare_fn compare) {
    *m = (struct omap){.compare = compare};
}

static int32_t height_of(const struct omap_node *node) {
    return node == NULL ? 0 : node->height;
}

static void height_update(struct omap_node *node) {
    int32_t left = height_of(node->left), right = height_of(node->right);
    node->height = 1 + (left > right ? left : right);
}

// Puts `with` (may be NULL) where `node` hangs: under its parent, or at the root.
static void replace_child(struct omap *m, struct omap_node *parent, const struct omap_node *node,
                          struct omap_node *with) {
    if (parent == NULL)
        m->root = with;
    else if (parent->left == node)
        parent->left = with;
    else
        parent->right = with;
    if (with != NULL) with->parent = parent;
}

static struct omap_node *lift_left(struct omap *m, struct omap_node *node) {
    struct omap_node *pivot = node->right;
    replace_child(m, node->parent, node, pivot);
    node->right = pivot->left;
    if (node->right != NULL) node->right->parent = node;
    pivot->left = node;
    node->parent = pivot;
    height_update(node);
    height_update(pivot);
    return pivot;
}

static struct omap_node *lift_right(struct omap *m, struct omap_node *node) {
    struct omap_node *pivot = node->left;
    replace_child(m, node->parent, node, pivot);
    node->left = pivot->right;
    if (node->left != NULL) node->left->parent = node;
    pivot->right = node;
    node->parent = pivot;
    height_update(node);
    height_update(pivot);
    return pivot;
}

// From a node whose sides changed up to the first whose height is again what it was.
static void rebalance(struct omap *m, struct omap_node *node) {
    while (node != NULL) {
        int32_t before = node->height;
        height_update(node);
        int32_t lean = height_of(node->left) - height_of(node->right);
        ENSURE(lean >= -2 && lean <= 2);
        if (lean == 2) {
            if (height_of(node->left->left) < height_of(node->left->right)) lift_left(m, node->left);
            node = lift_right(m, node);
        } else if (lean == -2) {
            if (height_of(node->right->right) < height_of(node->right->left)) lift_right(m, node->right);
            node = lift_left(m, node);
        }
        if (node->height == before) return;
        node = node->parent;
    }
}

struct omap_node *omap_insert(struct omap *m, struct omap_node *node) {
    struct omap_node *parent = NULL, **link = &m->root;
    while (*link != NULL) {
        parent = *link;
        int order = m->compare(node, parent);
        if (order == 0) return parent;
        link = order < 0 ? &parent->left : &parent->right;
    }
    *node = (struct omap_node){.parent = parent, .height = 1};
    *link = node;
    m->count++;
    rebalance(m, parent);
    return NULL;
}

void omap_remove(struct omap *m, struct omap_node *node) {
    ENSURE(m->count > 0);
    ENSURE(node->height > 0); // in a map
    struct omap_node *from;   // where the change of height begins
    if (node->left != NULL && node->right != NULL) {
        // The next in order has no left side. It takes the node's place, height and both sides.
        struct omap_node *next = node->right;
        while (next->left != NULL) next = next->left;
        if (next->parent == node) {
            from = next;
        } else {
            from = next->parent;
            replace_child(m, from, next, next->right);
            next->right = node->right;
            next->right->parent = next;
        }
        next->left = node->left;
        next->left->parent = next;
        next->height = node->height;
        replace_child(m, node->parent, node, next);
    } else {
        from = node->parent;
        replace_child(m, from, node, node->left != NULL ? node->left : node->right);
    }
    m->count--;
    *node = (struct omap_node){0};
    rebalance(m, from);
}

struct omap_node *omap_find(const struct omap *m, omap_key_fn key_compare, const void *key) {
    struct omap_node *node = m->root;
    while (node != NULL) {
        int order = key_compare(key, node);
        if (order == 0) return node;
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

struct omap_node *omap_lower_bound(const struct omap *m, omap_key_fn key_compare, const void *key) {
    struct omap_node *node = m->root, *best = NULL;
    while (node != NULL) {
        if (key_compare(key, node) <= 0) {
            best = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

static struct omap_node *leftmost(struct omap_node *node) {
    while (node != NULL && node->left != NULL) node = node->left;
    return node;
}

static struct omap_node *rightmost(struct omap_node *node) {
    while (node != NULL && node->right != NULL) node = node->right;
    return node;
}

struct omap_node *omap_first(const struct omap *m) {
    return leftmost(m->root);
}
struct omap_node *omap_last(const struct omap *m) {
    return rightmost(m->root);
}

struct omap_node *omap_next(const struct omap_node *node) {
    if (node->right != NULL) return leftmost(node->right);
    while (node->parent != NULL && node->parent->right == node) node = node->parent;
    return node->parent;
}

struct omap_node *omap_prev(const struct omap_node *node) {
    if (node->left != NULL) return rightmost(node->left);
    while (node->parent != NULL && node->parent->left == node) node = node->parent;
    return node->parent;
}
