#include "model/owned.h"

#include "base/alloc.h"
#include "base/assert.h"

struct owner_count {
    struct hash_node index;
    uint64_t session;
    uint32_t count;
};

void owned_init(struct owned *owned) {
    hash_init(&owned->sessions);
}

void owned_free(struct owned *owned) {
    ENSURE(owned->sessions.count == 0);
    hash_free(&owned->sessions);
}

static bool matches(const struct hash_node *node, const void *key) {
    return CONTAINER_OF_CONST(node, struct owner_count, index)->session == *(const uint64_t *)key;
}

static struct owner_count *find(const struct owned *owned, uint64_t session) {
    struct hash_node *node = hash_find(&owned->sessions, hash_u64(session), matches, &session);
    return node ? CONTAINER_OF(node, struct owner_count, index) : NULL;
}

uint32_t owned_count(const struct owned *owned, uint64_t session) {
    const struct owner_count *of = session != 0 ? find(owned, session) : NULL;
    return of ? of->count : 0;
}

void owned_more(struct owned *owned, uint64_t session) {
    if (session == 0) return;
    struct owner_count *of = find(owned, session);
    if (of == NULL) {
        of = mem_zalloc(sizeof *of);
        of->session = session;
        hash_insert(&owned->sessions, &of->index, hash_u64(session));
    }
    of->count++;
}

void owned_less(struct owned *owned, uint64_t session) {
    if (session == 0) return;
    struct owner_count *of = find(owned, session);
    ENSURE(of != NULL && of->count > 0);
    if (--of->count > 0) return;
    hash_remove(&owned->sessions, &of->index);
    mem_free(of);
}

uint64_t owned_memory(const struct owned *owned) {
    return (uint64_t)owned->sessions.count * (sizeof(struct owner_count) + 16);
}
