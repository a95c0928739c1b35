#include "base/hash.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/sip.h"

#define HASH_SLOTS_FIRST ((size_t)16)
// Growth from n slots comes again after n inserts at the soonest; moving them is done after n / 2.
#define HASH_MOVE_AT_INSERT 2

static size_t slots_bytes(size_t mask) {
    return (mask + 1) * sizeof(struct hash_node *);
}

void hash_init(struct hash *h) {
    *h = (struct hash){0};
}

void hash_free(struct hash *h) {
    if (h->slots != NULL) mem_zpages_free(h->slots, slots_bytes(h->mask));
    if (h->old != NULL) mem_zpages_free(h->old, slots_bytes(h->old_mask));
    *h = (struct hash){0};
}

size_t hash_memory(const struct hash *h) {
    return (h->slots == NULL ? 0 : slots_bytes(h->mask)) + (h->old == NULL ? 0 : slots_bytes(h->old_mask));
}

static struct hash_node *chain_find(struct hash_node *node, uint64_t hash, hash_match_fn match, const void *key) {
    while (node != NULL && !(node->hash == hash && match(node, key))) node = node->next;
    return node;
}

struct hash_node *hash_find(const struct hash *h, uint64_t hash, hash_match_fn match, const void *key) {
    if (h->slots == NULL) return NULL;
    struct hash_node *found = chain_find(h->slots[hash & h->mask], hash, match, key);
    if (found == NULL && h->old != NULL) found = chain_find(h->old[hash & h->old_mask], hash, match, key);
    return found;
}

static void slot_push(struct hash *h, struct hash_node *node) {
    struct hash_node **slot = &h->slots[node->hash & h->mask];
    node->next = *slot;
    *slot = node;
}

// Moves the next few old slots. A moved slot is left empty, so find and remove need not know how far this is.
static void move_some(struct hash *h) {
    for (int i = 0; i < HASH_MOVE_AT_INSERT && h->old != NULL; i++) {
        struct hash_node *node = h->old[h->old_at];
        h->old[h->old_at] = NULL;
        while (node != NULL) {
            struct hash_node *next = node->next;
            slot_push(h, node);
            node = next;
        }
        if (h->old_at++ == h->old_mask) {
            mem_zpages_free(h->old, slots_bytes(h->old_mask));
            h->old = NULL;
            h->old_mask = h->old_at = 0;
        }
    }
}

static void grow(struct hash *h) {
    ENSURE(h->old == NULL); // see HASH_MOVE_AT_INSERT
    ENSURE(h->mask < SIZE_MAX / 4 / sizeof(struct hash_node *));
    h->old = h->slots;
    h->old_mask = h->mask;
    h->old_at = 0;
    h->mask = h->mask * 2 + 1;
    h->slots = mem_zpages(slots_bytes(h->mask)); // untouched pages: a large array costs nothing here
}

void hash_insert(struct hash *h, struct hash_node *node, uint64_t hash) {
    if (h->slots == NULL) {
        h->mask = HASH_SLOTS_FIRST - 1;
        h->slots = mem_zpages(slots_bytes(h->mask));
    }
    if (h->count > h->mask) grow(h);
    if (h->old != NULL) move_some(h);
    node->hash = hash;
    slot_push(h, node);
    h->count++;
}

static bool chain_remove(struct hash_node **link, const struct hash_node *node) {
    while (*link != NULL && *link != node) link = &(*link)->next;
    if (*link == NULL) return false;
    *link = node->next;
    return true;
}

void hash_remove(struct hash *h, struct hash_node *node) {
    ENSURE(h->count > 0);
    bool removed = chain_remove(&h->slots[node->hash & h->mask], node);
    if (!removed && h->old != NULL) removed = chain_remove(&h->old[node->hash & h->old_mask], node);
    ENSURE(removed);
    node->next = NULL;
    h->count--;
}

uint64_t hash_u64(uint64_t value) { // the finaliser of splitmix64, one to one
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed) {
    return sip_hash(1, 3, seed, hash_u64(seed), data, len, NULL);
}
