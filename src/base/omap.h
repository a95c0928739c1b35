// An intrusive ordered map: a balanced binary tree (AVL) over nodes that live in their items.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct omap_node {
    struct omap_node *parent, *left, *right;
    int32_t height;
    int32_t reserved;
};
typedef int (*omap_compare_fn)(const struct omap_node *a, const struct omap_node *b); // <0, 0, >0
typedef int (*omap_key_fn)(const void *key, const struct omap_node *node);            // key against node

struct omap {
    struct omap_node *root;
    omap_compare_fn compare;
    size_t count;
};
void omap_init(struct omap *m, omap_compare_fn compare);
struct omap_node *omap_insert(struct omap *m,
                              struct omap_node *node); // NULL, or the equal one already there (then nothing is changed)
void omap_remove(struct omap *m, struct omap_node *node);
struct omap_node *omap_find(const struct omap *m, omap_key_fn key_compare, const void *key);
struct omap_node *omap_lower_bound(const struct omap *m, omap_key_fn key_compare,
                                   const void *key); // first >= key, or NULL
struct omap_node *omap_first(const struct omap *m);
struct omap_node *omap_last(const struct omap *m);
struct omap_node *omap_next(const struct omap_node *node);
struct omap_node *omap_prev(const struct omap_node *node);
