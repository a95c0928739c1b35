// What the files of the registry share. Nothing outside this folder includes it.
//
//   registry.c        state: services, instances, leases; what ends them; queries
//   registry_op.c     operations
//   registry_check.c  which names, addresses, metadata and checks are taken
//   registry_pick.c   picking
//   registry_save.c   records, load
//   registry_write.c  commands' bytes
//
// An instance stands under SERVICE 0 ID, so those of one service stand together, in the order of their ids.
#pragma once
#include "base/list.h"
#include "model/owned.h"
#include "model/registry/registry.h"

enum registry_deadline { DUE_INSTANCE, DUE_LEASE }; // the tie is the registration or the token

struct registry_place { // of what belongs to a session
    struct omap_node node;
    uint64_t session, number; // the registration or the token
    bool lease;
};

struct registry_service {
    struct item item;
    uint64_t version;
    uint32_t instances, ready, failing, leases;
};

struct registry_instance {
    struct item item;
    struct deadline due; // BY_TTL
    struct registry_place place;
    struct registry_service *service;
    struct list leases;
    uint32_t active; // of them
    uint64_t registration, ttl_ms, since_ms, health_since_ms;
    uint64_t term;   // of the newest report
    uint64_t given;  // the newest token: of like ones, who waits longest is next
    uint64_t spread; // hash of the id, for HASH
    uint8_t *metadata;
    uint32_t metadata_len;
    struct digest metadata_digest;
    uint32_t weight;
    struct registry_check check; // its path stands in text
    enum registry_binding binding;
    enum registry_health health;
    bool draining;
    uint8_t output_len, address_len, zone_len;
    uint8_t output[REGISTRY_OUTPUT_BYTES_MAX];
    uint8_t text[]; // address, zone, path, then the name
};

struct registry_lease { // under its token, 8 bytes big-endian
    struct item item;
    struct deadline due;
    struct registry_place place;
    struct list of_instance;
    struct registry_instance *instance;
};

enum registry_word {
    WORD_NUMBER,  // the newest registration or token
    WORD_CHANGED, // index of the newest change of any service
    WORD_DROPPED, // index at which a service was dropped last
    WORD_COUNT
};

struct registry_state {
    struct items services, instances, leases;
    struct omap by_session; // places: (session, number)
    struct owned owned;
    struct heap due;
    struct item_sum sum;
    uint32_t checked;
    uint64_t words[WORD_COUNT];
    struct registry_result result;
};

static inline struct registry_service *registry_service_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct registry_service, item) : NULL;
}
static inline struct registry_instance *registry_instance_of(const struct item *item) {
    return item ? CONTAINER_OF(item, struct registry_instance, item) : NULL;
}
static inline struct bytes registry_instance_id(const struct registry_instance *instance) {
    size_t head = instance->service->item.name_len + 1;
    return bytes_of(instance->item.name + head, instance->item.name_len - head);
}
static inline bool registry_ready(const struct registry_instance *instance) {
    return instance->health == REGISTRY_PASSING && !instance->draining;
}
static inline void registry_count(const struct registry_instance *instance) { // behind a change of its health
    instance->service->ready += registry_ready(instance);
    instance->service->failing += instance->health == REGISTRY_FAILING;
}
static inline void registry_uncount(const struct registry_instance *instance) { // ahead of it
    instance->service->ready -= registry_ready(instance);
    instance->service->failing -= instance->health == REGISTRY_FAILING;
}

// registry.c
struct registry_service *registry_service_find(const struct registry_state *state, struct bytes name);
struct registry_service *registry_service_make(struct registry_state *state, struct bytes name);
struct registry_instance *registry_instance_find(const struct registry_state *state, struct bytes service,
                                                 struct bytes id);
const struct registry_instance *registry_instance_first(const struct registry_state *state,
                                                        const struct registry_service *service, struct bytes after);
const struct registry_instance *registry_instance_next(const struct registry_instance *instance); // of its service
// The service exists and has no such instance. items_changed is due.
struct registry_instance *registry_instance_make(struct registry_state *state, struct registry_service *service,
                                                 const struct registry_registration *registration, uint64_t session,
                                                 uint64_t number);
void registry_instance_free(struct registry_state *state, struct registry_instance *instance); // its service stays
void registry_set_metadata(struct registry_instance *instance, struct bytes metadata);
// NULL: the token is taken (damaged bytes only).
struct registry_lease *registry_lease_make(struct registry_state *state, struct registry_instance *instance,
                                           uint64_t session, uint64_t token, uint64_t due_ms);
struct registry_lease *registry_lease_find(const struct registry_state *state, uint64_t token);
void registry_lease_free(struct registry_state *state, struct registry_lease *lease);
void registry_info_of(const struct registry_instance *instance, struct registry_info *info);
uint64_t registry_number(struct registry_state *state, const struct apply *apply); // a new one
void registry_service_changed(struct registry_state *state, const struct apply *apply,
                              struct registry_service *service);
void registry_tell(struct apply *apply, const struct registry_instance *instance, enum registry_event_type type);
// Tells, and drops the service when it was the last one.
void registry_instance_remove(struct registry_state *state, struct apply *apply, struct registry_instance *instance);

// registry_op.c
void registry_apply(void *state, struct apply *apply, const struct command *command, struct result *result);

// registry_check.c
bool registry_name_good(struct bytes name, size_t max);
bool registry_metadata_good(struct bytes metadata);
bool registry_registration_good(const struct registry_registration *registration);

// registry_pick.c
struct registry_instance *registry_choose(const struct registry_state *state, const struct registry_service *service,
                                          const struct registry_pick *pick); // NULL: none is ready

// registry_save.c
extern const struct item_kind registry_service_kind, registry_instance_kind, registry_lease_kind;
size_t registry_save(const void *state, struct save_cursor *cursor, uint8_t *out, size_t capacity);
int registry_load(void *state, const uint8_t *data, size_t len);
struct digest registry_digest_recount(const void *state);
