// An intrusive chained hash table that grows a little at each insert, so that no single insert pauses (a rehash of a
// million nodes at once would stall every client for tens of milliseconds). There is no iteration in hash order:
// whoever needs to walk its items keeps them in a list or an ordered map, so no hash order can leak into replicated
// state.
//
//   slots  [0]--> node --> node      old slots are moved 2 at each insert while `old` exists
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_node { // embedded in the item; container_of gives it back
    struct hash_node *next;
    uint64_t hash;
};
typedef bool (*hash_match_fn)(const struct hash_node *node, const void *key);

struct hash {
    struct hash_node **slots, **old;
    size_t mask, old_mask; // sizes - 1; sizes are powers of two
    size_t old_at;         // next old slot to be moved
    size_t count;
};
void hash_init(struct hash *h);
void hash_free(struct hash *h); // frees the slots, not the items
struct hash_node *hash_find(const struct hash *h, uint64_t hash, hash_match_fn match,
                            const void *key);                            // NULL if absent
void hash_insert(struct hash *h, struct hash_node *node, uint64_t hash); // the caller knows that it is absent
void hash_remove(struct hash *h, struct hash_node *node);                // the node is in the table
size_t hash_memory(const struct hash *h);                                // bytes of the slots

uint64_t hash_u64(uint64_t value);                                // a mixer, for keys that no stranger chooses
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed); // siphash-1-3, for keys that strangers choose

#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define CONTAINER_OF_CONST(pointer, type, member)                                                                      \
    ((const type *)(const void *)((const char *)(pointer)-offsetof(type, member)))
