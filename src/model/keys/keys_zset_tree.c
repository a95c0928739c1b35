// The order of a big sorted set: a binary tree, balanced by weight (size + 1). No subtree weighs more than 3 times its
// sibling; one that does is rotated, twice if what is moved over would weigh too much itself.
#include "model/keys/zset.h"

#define HEAVIER 3u // with INNER a pair for which one pass from the change to the root always restores the balance
#define INNER 2u

int zset_compare(double a_score, struct bytes a, double b_score, struct bytes b) {
    if (a_score != b_score) return a_score < b_score ? -1 : 1;
    return bytes_compare(a, b);
}

static uint32_t size_of(const struct zset_element *e) {
    return e == NULL ? 0 : e->size;
}

static uint64_t weight(const struct zset_element *e) {
    return (uint64_t)size_of(e) + 1;
}

static void resize(struct zset_element *e) {
    e->size = size_of(e->child[0]) + size_of(e->child[1]) + 1;
}

static void set_child(struct zset_element *e, int side, struct zset_element *child) {
    e->child[side] = child;
    if (child != NULL) child->parent = e;
}

// `by` (may be NULL) stands where `e` stood.
static void replace(struct zset_big *z, struct zset_element *e, struct zset_element *by) {
    struct zset_element *parent = e->parent;
    if (parent != NULL) {
        set_child(parent, parent->child[1] == e, by);
        return;
    }
    z->root = by;
    if (by != NULL) by->parent = NULL;
}

// The child on `side` goes up, `e` down to its other side. Gives the child.
static struct zset_element *rotate(struct zset_big *z, struct zset_element *e, int side) {
    struct zset_element *up = e->child[side];
    replace(z, e, up);
    set_child(e, side, up->child[!side]);
    set_child(up, !side, e);
    resize(e);
    resize(up);
    return up;
}

static struct zset_element *balance(struct zset_big *z, struct zset_element *e) {
    for (int side = 0; side < 2; side++) {
        struct zset_element *heavy = e->child[side];
        if (weight(heavy) <= HEAVIER * weight(e->child[!side])) continue;
        if (weight(heavy->child[!side]) >= INNER * weight(heavy->child[side])) rotate(z, heavy, !side);
        return rotate(z, e, side);
    }
    return e;
}

static void balance_up(struct zset_big *z, struct zset_element *e) {
    for (; e != NULL; e = e->parent) {
        resize(e);
        e = balance(z, e);
    }
}

static struct zset_element *outmost(struct zset_element *e, int side) {
    while (e != NULL && e->child[side] != NULL) e = e->child[side];
    return e;
}

struct zset_element *zset_tree_first(const struct zset_big *z) {
    return outmost(z->root, 0);
}

struct zset_element *zset_tree_beside(const struct zset_element *e, bool before) {
    int side = before ? 0 : 1;
    if (e->child[side] != NULL) return outmost(e->child[side], !side);
    while (e->parent != NULL && e->parent->child[side] == e) e = e->parent;
    return e->parent;
}

struct zset_element *zset_tree_at(const struct zset_big *z, uint32_t rank) {
    struct zset_element *e = z->root;
    while (e != NULL) {
        uint32_t left = size_of(e->child[0]);
        if (rank == left) return e;
        bool right = rank > left;
        if (right) rank -= left + 1;
        e = e->child[right];
    }
    return NULL;
}

uint32_t zset_tree_rank(const struct zset_element *e) {
    uint32_t rank = size_of(e->child[0]);
    for (; e->parent != NULL; e = e->parent)
        if (e->parent->child[1] == e) rank += size_of(e->parent->child[0]) + 1;
    return rank;
}

void zset_tree_insert(struct zset_big *z, struct zset_element *e) {
    struct zset_element *parent = NULL, **at = &z->root;
    while (*at != NULL) {
        parent = *at;
        at = &parent->child[zset_compare(e->score, zset_member(e), parent->score, zset_member(parent)) > 0];
    }
    e->parent = parent;
    e->child[0] = e->child[1] = NULL;
    *at = e;
    balance_up(z, e);
}

void zset_tree_remove(struct zset_big *z, struct zset_element *e) {
    struct zset_element *from = e->parent;
    if (e->child[0] != NULL && e->child[1] != NULL) {
        struct zset_element *next = outmost(e->child[1], 0);
        from = next->parent == e ? next : next->parent;
        replace(z, next, next->child[1]);
        set_child(next, 0, e->child[0]);
        set_child(next, 1, e->child[1]);
        replace(z, e, next);
    } else {
        replace(z, e, e->child[e->child[0] == NULL]);
    }
    balance_up(z, from);
}
