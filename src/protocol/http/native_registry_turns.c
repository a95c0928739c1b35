// Whose turn it is: for each service, zone and way of going around that somebody asked this node for. Soft state of
// this node alone, bounded: what nobody has asked for longest is forgotten, and begins anew at a random place.
#include "base/alloc.h"
#include "model/registry/registry.h"
#include "protocol/http/native_internal.h"
#include <string.h>

#define TURNS_MAX 4096u // of one node: services times zones of its callers

struct turn {
    struct hash_node index;
    struct list recent; // the newest last
    struct registry_rotation *rotation;
    size_t len;
    uint8_t name[]; // strategy, service, 0, zone
};
struct native_turns {
    struct hash by_name;
    struct list recent;
};

static bool name_matches(const struct hash_node *node, const void *key) {
    const struct turn *turn = CONTAINER_OF_CONST(node, struct turn, index);
    return bytes_equal(bytes_of(turn->name, turn->len), *(const struct bytes *)key);
}

static void turn_free(struct native_turns *turns, struct turn *turn) {
    hash_remove(&turns->by_name, &turn->index);
    list_remove(&turn->recent);
    registry_rotation_free(turn->rotation);
    mem_free(turn);
}

static struct turn *turn_make(struct native_turns *turns, struct bytes name, uint64_t hash, uint64_t random) {
    if (turns->by_name.count == TURNS_MAX) turn_free(turns, CONTAINER_OF(turns->recent.next, struct turn, recent));
    struct turn *turn = mem_zalloc(sizeof *turn + name.len);
    turn->len = name.len;
    memcpy(turn->name, name.data, name.len);
    turn->rotation = registry_rotation_new(random);
    list_init(&turn->recent);
    hash_insert(&turns->by_name, &turn->index, hash);
    return turn;
}

struct registry_rotation *native_turn(struct http_instance *instance, struct bytes service, struct bytes zone,
                                      uint64_t strategy) {
    if (instance->turns == NULL) {
        instance->turns = mem_zalloc(sizeof *instance->turns);
        hash_init(&instance->turns->by_name);
        list_init(&instance->turns->recent);
    }
    struct writer w;
    writer_init(&w);
    write_u8(&w, (uint8_t)strategy);
    write_span(&w, service);
    write_u8(&w, 0);
    write_span(&w, zone);
    struct bytes name = bytes_of(w.data, w.len);
    uint64_t hash = hash_bytes(name.data, name.len, MODEL_REGISTRY), random;
    service_random(instance->service, &random, sizeof random);
    struct hash_node *node = hash_find(&instance->turns->by_name, hash, name_matches, &name);
    struct turn *turn = node ? CONTAINER_OF(node, struct turn, index) : turn_make(instance->turns, name, hash, random);
    list_remove(&turn->recent);
    list_push_back(&instance->turns->recent, &turn->recent);
    writer_free(&w);
    return turn->rotation;
}

void native_turns_free(struct http_instance *instance) {
    struct native_turns *turns = instance->turns;
    if (turns == NULL) return;
    while (!list_empty(&turns->recent)) turn_free(turns, CONTAINER_OF(turns->recent.next, struct turn, recent));
    hash_free(&turns->by_name);
    mem_free(turns);
    instance->turns = NULL;
}
