// Services, instances and leases; what ends them; queries. See registry_internal.h.
//
// Invariants: a service has at least one instance; an instance that belongs to a session has its place in by_session, a
// lease too; only BY_TTL instances and leases have deadlines.
#include "model/registry/registry.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "model/registry/registry_internal.h"
#include <string.h>

// ---- names

struct instance_name {
    uint8_t bytes[REGISTRY_NAME_BYTES_MAX + 1 + REGISTRY_ID_BYTES_MAX];
};
_Static_assert(sizeof(struct instance_name) <= ITEM_NAME_BYTES_MAX, "a record holds an item's name whole");

// Both are within their bounds.
static struct bytes join(struct instance_name *to, struct bytes service, struct bytes id) {
    ENSURE(service.len <= REGISTRY_NAME_BYTES_MAX && id.len <= REGISTRY_ID_BYTES_MAX);
    if (service.len > 0) memcpy(to->bytes, service.data, service.len);
    to->bytes[service.len] = 0;
    if (id.len > 0) memcpy(to->bytes + service.len + 1, id.data, id.len);
    return bytes_of(to->bytes, service.len + 1 + id.len);
}

struct registry_service *registry_service_find(const struct registry_state *state, struct bytes name) {
    return registry_service_of(items_find(&state->services, name));
}

struct registry_instance *registry_instance_find(const struct registry_state *state, struct bytes service,
                                                 struct bytes id) {
    struct instance_name name;
    if (service.len > REGISTRY_NAME_BYTES_MAX || id.len > REGISTRY_ID_BYTES_MAX) return NULL;
    return registry_instance_of(items_find(&state->instances, join(&name, service, id)));
}

const struct registry_instance *registry_instance_first(const struct registry_state *state,
                                                        const struct registry_service *service, struct bytes after) {
    struct instance_name prefix, behind;
    struct bytes name = item_name(&service->item);
    if (after.len > REGISTRY_ID_BYTES_MAX) return NULL;
    struct items_page page = {.prefix = join(&prefix, name, bytes_of(NULL, 0))};
    if (after.len > 0) page.after = join(&behind, name, after);
    return registry_instance_of(items_page_first(&state->instances, &page));
}

const struct registry_instance *registry_instance_next(const struct registry_instance *instance) {
    const struct registry_instance *next = registry_instance_of(items_next(&instance->item));
    return next && next->service == instance->service ? next : NULL;
}

// ---- what belongs to a session

static int compare_places(const struct omap_node *a, const struct omap_node *b) {
    const struct registry_place *x = CONTAINER_OF_CONST(a, struct registry_place, node);
    const struct registry_place *y = CONTAINER_OF_CONST(b, struct registry_place, node);
    if (x->session != y->session) return x->session < y->session ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int compare_session(const void *key, const struct omap_node *node) { // before the first of its places
    const struct registry_place *place = CONTAINER_OF_CONST(node, struct registry_place, node);
    return *(const uint64_t *)key <= place->session ? -1 : 1;
}

static void place_take(struct registry_state *state, struct registry_place *place, uint64_t session, uint64_t number,
                       bool lease) {
    place->session = session;
    place->number = number;
    place->lease = lease;
    if (session == 0) return;
    ENSURE(omap_insert(&state->by_session, &place->node) == NULL);
    owned_more(&state->owned, session);
}

static void place_leave(struct registry_state *state, struct registry_place *place) {
    if (place->session == 0) return;
    omap_remove(&state->by_session, &place->node);
    owned_less(&state->owned, place->session);
}

static struct registry_place *place_first(const struct registry_state *state, uint64_t session) {
    struct omap_node *node = omap_lower_bound(&state->by_session, compare_session, &session);
    struct registry_place *place = node ? CONTAINER_OF(node, struct registry_place, node) : NULL;
    return place && place->session == session ? place : NULL;
}

// ---- services and instances

struct registry_service *registry_service_make(struct registry_state *state, struct bytes name) {
    struct registry_service *service = item_make(sizeof *service, name);
    ENSURE(items_insert(&state->services, &service->item));
    return service;
}

void registry_set_metadata(struct registry_instance *instance, struct bytes metadata) {
    uint8_t *bytes = mem_alloc(metadata.len);
    if (metadata.len > 0) memcpy(bytes, metadata.data, metadata.len);
    mem_free(instance->metadata);
    instance->metadata = bytes;
    instance->metadata_len = (uint32_t)metadata.len;
    instance->metadata_digest = digest_hash(bytes, metadata.len, MODEL_REGISTRY);
}

static uint8_t *append(uint8_t *at, struct bytes bytes) {
    if (bytes.len > 0) memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

struct registry_instance *registry_instance_make(struct registry_state *state, struct registry_service *service,
                                                 const struct registry_registration *from, uint64_t session,
                                                 uint64_t number) {
    struct instance_name name;
    size_t text = from->address.len + from->zone.len + from->check.path.len;
    struct registry_instance *instance =
        item_make(sizeof *instance + text, join(&name, item_name(&service->item), from->id));
    instance->service = service;
    instance->due.kind = DUE_INSTANCE;
    list_init(&instance->leases);
    instance->registration = number;
    instance->ttl_ms = from->ttl_ms;
    instance->weight = from->weight;
    instance->binding = from->binding;
    instance->health = from->check.kind == REGISTRY_CHECK_NONE ? REGISTRY_PASSING : REGISTRY_UNKNOWN;
    instance->spread = hash_bytes(from->id.data, from->id.len, MODEL_REGISTRY);
    instance->address_len = (uint8_t)from->address.len;
    instance->zone_len = (uint8_t)from->zone.len;
    uint8_t *path = append(append(instance->text, from->address), from->zone);
    append(path, from->check.path);
    instance->check = from->check;
    instance->check.path = bytes_of(path, from->check.path.len);
    registry_set_metadata(instance, from->metadata);
    ENSURE(items_insert(&state->instances, &instance->item));
    place_take(state, &instance->place, session, number, false);
    service->instances++;
    registry_count(instance);
    state->checked += from->check.kind != REGISTRY_CHECK_NONE;
    return instance;
}

void registry_instance_free(struct registry_state *state, struct registry_instance *instance) {
    while (!list_empty(&instance->leases))
        registry_lease_free(state, CONTAINER_OF(instance->leases.next, struct registry_lease, of_instance));
    place_leave(state, &instance->place);
    deadline_set(&state->due, &instance->due, NO_DEADLINE, 0);
    instance->service->instances--;
    registry_uncount(instance);
    state->checked -= instance->check.kind != REGISTRY_CHECK_NONE;
    mem_free(instance->metadata);
    instance->metadata = NULL;
    items_remove(&state->instances, &instance->item);
}

uint64_t registry_number(struct registry_state *state, const struct apply *apply) {
    uint64_t number = state->words[WORD_NUMBER] + 1;
    state->words[WORD_NUMBER] = number > apply->index ? number : apply->index; // also behind a restored backup
    return state->words[WORD_NUMBER];
}

void registry_service_changed(struct registry_state *state, const struct apply *apply,
                              struct registry_service *service) {
    service->version = state->words[WORD_CHANGED] = apply->index;
    items_changed(&state->services, &service->item);
}

void registry_instance_remove(struct registry_state *state, struct apply *apply, struct registry_instance *instance) {
    struct registry_service *service = instance->service;
    registry_service_changed(state, apply, service);
    if (service->instances == 1) state->words[WORD_DROPPED] = apply->index;
    registry_tell(apply, instance, REGISTRY_EVENT_REMOVED);
    registry_instance_free(state, instance);
    if (service->instances == 0) items_remove(&state->services, &service->item);
}

// ---- leases

struct registry_lease *registry_lease_find(const struct registry_state *state, uint64_t token) {
    uint8_t name[8];
    put_u64_be(name, token);
    struct item *item = items_find(&state->leases, bytes_of(name, 8));
    return item ? CONTAINER_OF(item, struct registry_lease, item) : NULL;
}

struct registry_lease *registry_lease_make(struct registry_state *state, struct registry_instance *instance,
                                           uint64_t session, uint64_t token, uint64_t due_ms) {
    uint8_t name[8];
    if (registry_lease_find(state, token)) return NULL;
    put_u64_be(name, token);
    struct registry_lease *lease = item_make(sizeof *lease, bytes_of(name, 8));
    lease->instance = instance;
    lease->due.kind = DUE_LEASE;
    ENSURE(items_insert(&state->leases, &lease->item));
    list_push_back(&instance->leases, &lease->of_instance);
    instance->active++;
    instance->service->leases++;
    place_take(state, &lease->place, session, token, true);
    deadline_set(&state->due, &lease->due, due_ms, token);
    items_changed(&state->leases, &lease->item);
    return lease;
}

void registry_lease_free(struct registry_state *state, struct registry_lease *lease) {
    list_remove(&lease->of_instance);
    lease->instance->active--;
    lease->instance->service->leases--;
    place_leave(state, &lease->place);
    deadline_set(&state->due, &lease->due, NO_DEADLINE, 0);
    items_remove(&state->leases, &lease->item);
}

// ---- the model

static void *registry_create(void) {
    struct registry_state *state = mem_zalloc(sizeof *state);
    state->sum.domain = MODEL_REGISTRY;
    items_init(&state->services, &registry_service_kind, &state->sum);
    items_init(&state->instances, &registry_instance_kind, &state->sum);
    items_init(&state->leases, &registry_lease_kind, &state->sum);
    omap_init(&state->by_session, compare_places);
    owned_init(&state->owned);
    heap_init(&state->due);
    return state;
}

static void registry_destroy(void *model) {
    struct registry_state *state = model;
    for (struct item *item; (item = items_first(&state->instances)) != NULL;)
        registry_instance_free(state, registry_instance_of(item));
    items_free(&state->services);
    owned_free(&state->owned);
    heap_free(&state->due);
    mem_free(state);
}

static void registry_session_end(void *model, struct apply *apply, uint64_t session) {
    struct registry_state *state = model;
    if (PLANTED(NAMING_OUTLIVES_SESSION)) return;
    for (struct registry_place *place; (place = place_first(state, session)) != NULL;) {
        if (place->lease)
            registry_lease_free(state, CONTAINER_OF(place, struct registry_lease, place));
        else
            registry_instance_remove(state, apply, CONTAINER_OF(place, struct registry_instance, place));
    }
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}

static uint64_t registry_next_deadline(const void *model) {
    return deadline_first(&((const struct registry_state *)model)->due);
}

static size_t registry_expire(void *model, struct apply *apply, size_t max) {
    struct registry_state *state = model;
    size_t ended = 0;
    for (struct deadline *due; ended < max && (due = deadline_due(&state->due, apply->log_time_ms)); ended++) {
        if (due->kind == DUE_LEASE)
            registry_lease_free(state, CONTAINER_OF(due, struct registry_lease, due));
        else
            registry_instance_remove(state, apply, CONTAINER_OF(due, struct registry_instance, due));
    }
    items_head_changed(&state->sum, state->words, WORD_COUNT);
    return ended;
}

void registry_info_of(const struct registry_instance *instance, struct registry_info *info) {
    const uint8_t *zone = instance->text + instance->address_len;
    *info = (struct registry_info){.service = item_name(&instance->service->item),
                                   .id = registry_instance_id(instance),
                                   .address = bytes_of(instance->text, instance->address_len),
                                   .zone = bytes_of(zone, instance->zone_len),
                                   .metadata = bytes_of(instance->metadata, instance->metadata_len),
                                   .output = bytes_of(instance->output, instance->output_len),
                                   .check = instance->check,
                                   .registration = instance->registration,
                                   .session = instance->place.session,
                                   .ttl_ms = instance->ttl_ms,
                                   .due_ms = deadline_of(&instance->due),
                                   .since_ms = instance->since_ms,
                                   .health_since_ms = instance->health_since_ms,
                                   .weight = instance->weight,
                                   .active = instance->active,
                                   .binding = instance->binding,
                                   .health = instance->health,
                                   .draining = instance->draining};
}

void registry_tell(struct apply *apply, const struct registry_instance *instance, enum registry_event_type type) {
    struct registry_event event = {.type = type, .version = instance->service->version};
    registry_info_of(instance, &event.instance);
    if (apply->emit) apply->emit(apply->emit_context, MODEL_REGISTRY, &event);
}

// ---- queries

static void show_service(const struct registry_service *service, const struct registry_query *query) {
    struct registry_service_info info = {.service = item_name(&service->item),
                                         .version = service->version,
                                         .instances = service->instances,
                                         .ready = service->ready,
                                         .failing = service->failing,
                                         .leases = service->leases};
    query->on_service(query->context, &info);
}

static void show_instance(const struct registry_instance *instance, const struct registry_query *query) {
    struct registry_info info;
    registry_info_of(instance, &info);
    query->on_instance(query->context, &info);
}

static void query_all(const struct registry_state *state, const struct registry_query *query) {
    struct items_page page = {.prefix = query->prefix, .after = query->after, .max = query->max};
    if (query->version) *query->version = state->words[WORD_CHANGED] ? state->words[WORD_CHANGED] : 1;
    if (query->on_service) {
        const struct item *at = items_page_first(&state->services, &page);
        for (size_t left = page.max; at && left > 0; at = items_page_next(&page, at), left--)
            show_service(CONTAINER_OF_CONST(at, struct registry_service, item), query);
    } else if (query->on_instance) {
        for (const struct item *at = items_first(&state->instances); at; at = items_next(at))
            if (registry_instance_of(at)->check.kind != REGISTRY_CHECK_NONE)
                show_instance(registry_instance_of(at), query);
    }
}

static int query_one(const struct registry_state *state, const struct registry_query *query) {
    const struct registry_service *service = registry_service_find(state, query->service);
    // 1 where none was ever dropped: 0 is what a watcher says that knows nothing, and no service has ever had 1.
    uint64_t dropped = state->words[WORD_DROPPED] ? state->words[WORD_DROPPED] : 1;
    struct registry_service_info none = {.service = query->service, .version = dropped};
    if (query->version) *query->version = service ? service->version : dropped;
    if (query->on_service && service == NULL) query->on_service(query->context, &none);
    if (service == NULL) return query->pick ? REGISTRY_NONE : 0;
    if (query->on_service) show_service(service, query);
    if (query->pick) {
        const struct registry_instance *chosen = registry_choose(state, service, query->pick);
        if (chosen && query->on_instance) show_instance(chosen, query);
        return chosen ? 0 : REGISTRY_NONE;
    }
    const struct registry_instance *at = registry_instance_first(state, service, query->after);
    for (size_t left = query->on_instance ? query->max : 0; at && left > 0; at = registry_instance_next(at), left--)
        show_instance(at, query);
    return 0;
}

static void registry_query_model(const void *model, const void *asked, struct result *result) {
    const struct registry_query *query = asked;
    *result = (struct result){.model = MODEL_REGISTRY};
    if (query->service.len == 0)
        query_all(model, query);
    else
        result->error = query_one(model, query);
}

static struct digest registry_digest(const void *model) {
    return ((const struct registry_state *)model)->sum.digest;
}

static uint64_t registry_count_model(const void *model) {
    return ((const struct registry_state *)model)->services.map.count;
}

static uint64_t registry_memory(const void *model) {
    const struct registry_state *state = model;
    return state->sum.memory + owned_memory(&state->owned);
}

const struct model_ops registry_model = {
    .name = "registry",
    .id = MODEL_REGISTRY,
    .create = registry_create,
    .destroy = registry_destroy,
    .apply = registry_apply,
    .query = registry_query_model,
    .session_end = registry_session_end,
    .next_deadline_ms = registry_next_deadline,
    .expire = registry_expire,
    .save = registry_save,
    .load = registry_load,
    .digest = registry_digest,
    .digest_recount = registry_digest_recount,
    .memory = registry_memory,
    // Not UPDATE, which drains too: metadata is bounded for each instance.
    .growing = MODEL_GROWS(REGISTRY_REGISTER) | MODEL_GROWS(REGISTRY_LEASE),
    .count = registry_count_model,
};
