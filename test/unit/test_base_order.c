// base/omap and base/heap: order, balance and places after random operations, against plain arrays.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/heap.h"
#include "base/omap.h"
#include "base/prng.h"

struct item {
    uint64_t key;
    struct omap_node node;
    bool in;
};

static uint64_t key_of(const struct omap_node *node) {
    return CONTAINER_OF_CONST(node, struct item, node)->key;
}

static int item_compare(const struct omap_node *a, const struct omap_node *b) {
    return key_of(a) < key_of(b) ? -1 : key_of(a) > key_of(b);
}

static int item_key(const void *key, const struct omap_node *node) {
    uint64_t k = *(const uint64_t *)key;
    return k < key_of(node) ? -1 : k > key_of(node);
}

// Height of a subtree, after checking each node's links, height, balance and order.
static int32_t checked_height(const struct omap_node *node, const struct omap_node *parent, size_t *count) {
    if (node == NULL) return 0;
    assert_ptr_equal(node->parent, parent);
    if (node->left != NULL) assert_true(key_of(node->left) < key_of(node));
    if (node->right != NULL) assert_true(key_of(node->right) > key_of(node));
    int32_t left = checked_height(node->left, node, count), right = checked_height(node->right, node, count);
    assert_in_range(left - right + 1, 0, 2);
    assert_int_equal(node->height, 1 + (left > right ? left : right));
    (*count)++;
    return node->height;
}

static void check_against(const struct omap *m, const struct item *items, uint64_t keys) {
    size_t count = 0;
    checked_height(m->root, NULL, &count);
    assert_int_equal(count, m->count);
    // Forward and back through the map beside the array.
    const struct omap_node *node = omap_first(m);
    for (uint64_t k = 0; k < keys; k++) {
        if (!items[k].in) continue;
        assert_ptr_equal(node, &items[k].node);
        node = omap_next(node);
    }
    assert_null(node);
    node = omap_last(m);
    for (uint64_t k = keys; k-- > 0;) {
        if (!items[k].in) continue;
        assert_ptr_equal(node, &items[k].node);
        node = omap_prev(node);
    }
    assert_null(node);
}

static const struct omap_node *model_lower_bound(const struct item *items, uint64_t keys, uint64_t key) {
    while (key < keys && !items[key].in) key++;
    return key < keys ? &items[key].node : NULL;
}

static void omap_random_operations(uint64_t keys, int operations, int check_every, uint64_t seed) {
    struct item *items = calloc(keys, sizeof *items);
    struct prng random;
    struct omap m;
    omap_init(&m, item_compare);
    prng_seed(&random, seed);
    for (int i = 0; i < operations; i++) {
        uint64_t key = prng_below(&random, keys);
        struct item *item = &items[key];
        item->key = key;
        assert_ptr_equal(omap_find(&m, item_key, &key), item->in ? &item->node : NULL);
        assert_ptr_equal(omap_lower_bound(&m, item_key, &key), model_lower_bound(items, keys, key));
        // Waves: mostly inserts, then mostly removes, so that the tree also gets small again.
        bool filling = (i / (int)keys) % 2 == 0;
        if (!item->in && (filling || prng_below(&random, 4) == 0)) {
            assert_null(omap_insert(&m, &item->node));
            item->in = true;
        } else if (item->in && (!filling || prng_below(&random, 4) == 0)) {
            omap_remove(&m, &item->node);
            item->in = false;
        }
        if (i % check_every == 0) check_against(&m, items, keys);
    }
    check_against(&m, items, keys);
    for (uint64_t k = 0; k < keys; k++)
        if (items[k].in) omap_remove(&m, &items[k].node);
    assert_null(m.root);
    assert_int_equal(m.count, 0);
    free(items);
}

static void omap_small_trees(void **state) {
    for (uint64_t seed = 1; seed <= 40; seed++) omap_random_operations(2 + seed, 2000, 1, seed);
}

static void omap_large_tree(void **state) {
    omap_random_operations(20000, 120000, 5000, 77);
}

static void omap_sorted_inserts_stay_shallow(void **state) {
    enum { COUNT = 100000 };
    struct item *items = calloc(COUNT, sizeof *items);
    struct omap m;
    omap_init(&m, item_compare);
    assert_null(omap_first(&m));
    assert_null(omap_last(&m));
    for (uint64_t i = 0; i < COUNT; i++) {
        items[i].key = i;
        items[i].in = true;
        omap_insert(&m, &items[i].node);
    }
    check_against(&m, items, COUNT);
    assert_true(m.root->height <= 24); // 1.44 log2(100000)
    free(items);
}

static void omap_equal_item_is_given_back(void **state) {
    struct item a = {.key = 5}, b = {.key = 5};
    struct omap m;
    omap_init(&m, item_compare);
    assert_null(omap_insert(&m, &a.node));
    struct omap_node before = b.node;
    assert_ptr_equal(omap_insert(&m, &b.node), &a.node);
    assert_memory_equal(&before, &b.node, sizeof before);
    assert_int_equal(m.count, 1);
    assert_null(omap_next(&a.node));
    assert_null(omap_prev(&a.node));
}

static void check_heap(const struct heap *h) {
    for (size_t i = 0; i < h->count; i++) {
        const struct heap_item *item = h->items[i];
        assert_int_equal(item->at, i + 1);
        if (i == 0) continue;
        const struct heap_item *parent = h->items[(i - 1) / 2];
        assert_true(parent->time < item->time || (parent->time == item->time && parent->tie <= item->tie));
    }
}

static void heap_random_operations_give_the_earliest(void **state) {
    enum { ITEMS = 300 };
    struct heap_item items[ITEMS] = {0};
    struct heap h;
    struct prng random;
    heap_init(&h);
    prng_seed(&random, 21);
    assert_null(heap_first(&h));
    for (int i = 0; i < 20000; i++) {
        size_t k = prng_below(&random, ITEMS);
        switch (prng_below(&random, 3)) {
        case 0:
            heap_remove(&h, &items[k]);
            break; // in or not
        default:
            heap_set(&h, &items[k], prng_below(&random, 50), k);
            break;
        }
        if (i % 10 == 0) check_heap(&h);
        const struct heap_item *best = NULL;
        size_t in = 0;
        for (size_t j = 0; j < ITEMS; j++) {
            if (items[j].at == 0) continue;
            in++;
            if (best == NULL || items[j].time < best->time) best = &items[j]; // the tie is j: the first one stays
        }
        assert_int_equal(h.count, in);
        assert_ptr_equal(heap_first(&h), best);
    }
    uint64_t time = 0, tie = 0;
    while (h.count > 0) {
        struct heap_item *first = heap_first(&h);
        assert_true(first->time > time || (first->time == time && first->tie >= tie));
        time = first->time;
        tie = first->tie;
        heap_remove(&h, first);
        assert_int_equal(first->at, 0);
        check_heap(&h);
    }
    heap_free(&h);
}

static void heap_item_moves_both_ways(void **state) {
    struct heap_item items[40] = {0};
    struct heap h;
    heap_init(&h);
    for (uint64_t i = 0; i < 40; i++) heap_set(&h, &items[i], 100 + i, 0);
    heap_set(&h, &items[39], 1, 0);
    assert_ptr_equal(heap_first(&h), &items[39]);
    heap_set(&h, &items[39], UINT64_MAX, UINT64_MAX);
    assert_ptr_equal(heap_first(&h), &items[0]);
    assert_int_equal(h.count, 40);
    check_heap(&h);
    heap_free(&h);
    assert_int_equal(h.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(omap_small_trees),
        cmocka_unit_test(omap_large_tree),
        cmocka_unit_test(omap_sorted_inserts_stay_shallow),
        cmocka_unit_test(omap_equal_item_is_given_back),
        cmocka_unit_test(heap_random_operations_give_the_earliest),
        cmocka_unit_test(heap_item_moves_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
