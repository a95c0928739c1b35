// An intrusive doubly linked list with a sentinel head.
#pragma once
#include "base/hash.h" // CONTAINER_OF
#include <stdbool.h>

struct list {
    struct list *next, *prev; // of a head: first and last; an unlinked node points at itself
};
static inline void list_init(struct list *l) {
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l) {
    return l->next == l;
}
static inline void list_insert_before(struct list *at, struct list *node) {
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}
static inline void list_push_back(struct list *head, struct list *node) {
    list_insert_before(head, node);
}
static inline void list_push_front(struct list *head, struct list *node) {
    list_insert_before(head->next, node);
}
static inline void list_remove(struct list *node) { // leaves the node unlinked, so removing twice is harmless
    node->next->prev = node->prev;
    node->prev->next = node->next;
    list_init(node);
}
