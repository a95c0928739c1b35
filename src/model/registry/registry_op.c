// Operations. An error leaves nothing behind.
#include "base/assert.h"
#include "base/planted.h"
#include "model/registry/registry_internal.h"
#include <string.h>

static void read_check(struct reader *r, struct registry_check *check) {
    check->kind = (enum registry_check_kind)read_u8(r);
    check->path = read_blob(r);
    check->interval_ms = read_varint(r);
    check->timeout_ms = read_varint(r);
    uint64_t failures = read_varint(r), successes = read_varint(r);
    check->failures = failures > REGISTRY_STREAK_MAX ? UINT32_MAX : (uint32_t)failures;
    check->successes = successes > REGISTRY_STREAK_MAX ? UINT32_MAX : (uint32_t)successes;
}

static uint32_t read_weight(struct reader *r) {
    uint64_t weight = read_varint(r);
    return weight > REGISTRY_WEIGHT_MAX ? 0 : (uint32_t)weight; // 0 is refused
}

static bool read_registration(struct reader *r, struct registry_registration *out) {
    out->service = read_blob(r);
    out->id = read_blob(r);
    out->address = read_blob(r);
    out->zone = read_blob(r);
    out->metadata = read_blob(r);
    out->weight = read_weight(r);
    out->binding = (enum registry_binding)read_u8(r);
    out->ttl_ms = read_varint(r);
    read_check(r, &out->check);
    return reader_done(r);
}

static bool has_room(const struct registry_state *state, const struct registry_service *service,
                     const struct registry_instance *before, const struct registry_registration *q, uint64_t session) {
    uint32_t here = before ? 1 : 0; // what goes away for it
    uint32_t checked = before && before->check.kind != REGISTRY_CHECK_NONE;
    uint32_t mine = before && before->place.session == session;
    if (q->check.kind != REGISTRY_CHECK_NONE && state->checked - checked >= REGISTRY_CHECKED_MAX) return false;
    if (owned_count(&state->owned, session) - (session != 0 ? mine : 0) >= REGISTRY_SESSION_MAX) return false;
    return (service ? service->instances : 0) - here < REGISTRY_SERVICE_MAX &&
           state->instances.map.count - here < REGISTRY_INSTANCES_MAX;
}

static int apply_register(struct registry_state *state, struct apply *apply, uint64_t session, struct reader *r,
                          struct registry_result *out) {
    struct registry_registration q = {0};
    if (!read_registration(r, &q)) return COMMAND_BAD_COMMAND;
    if (!registry_registration_good(&q)) return REGISTRY_BAD_ARGUMENTS;
    if (q.binding == REGISTRY_BY_SESSION && session == 0) return REGISTRY_BAD_ARGUMENTS;
    if (q.binding != REGISTRY_BY_SESSION) session = 0;
    struct registry_service *service = registry_service_find(state, q.service);
    struct registry_instance *before = registry_instance_find(state, q.service, q.id);
    if (!has_room(state, service, before, &q, session)) return REGISTRY_LIMIT;
    out->replaced = before ? before->registration : 0;
    if (before) registry_instance_free(state, before);
    if (service == NULL) service = registry_service_make(state, q.service);
    out->registration = registry_number(state, apply);
    struct registry_instance *instance = registry_instance_make(state, service, &q, session, out->registration);
    instance->since_ms = instance->health_since_ms = apply->log_time_ms;
    if (q.binding == REGISTRY_BY_TTL)
        deadline_set(&state->due, &instance->due, time_after(apply->log_time_ms, q.ttl_ms), out->registration);
    items_changed(&state->instances, &instance->item);
    registry_service_changed(state, apply, service);
    out->version = service->version;
    registry_tell(apply, instance, REGISTRY_EVENT_REGISTERED);
    return 0;
}

// registration 0: whichever it is.
static int find(const struct registry_state *state, struct bytes service, struct bytes id, uint64_t registration,
                struct registry_instance **found, struct registry_result *out) {
    struct registry_instance *instance = registry_instance_find(state, service, id);
    if (instance == NULL) return REGISTRY_NOT_FOUND;
    out->registration = instance->registration;
    out->version = instance->service->version;
    if (registration != 0 && registration != instance->registration) return REGISTRY_OLD;
    *found = instance;
    return 0;
}

static int apply_deregister(struct registry_state *state, struct apply *apply, struct reader *r,
                            struct registry_result *out) {
    struct bytes service = read_blob(r), id = read_blob(r);
    uint64_t registration = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct registry_instance *instance;
    int error = find(state, service, id, registration, &instance, out);
    if (error) return error;
    registry_instance_remove(state, apply, instance);
    out->version = apply->index;
    return 0;
}

static int apply_renew(struct registry_state *state, struct apply *apply, struct reader *r,
                       struct registry_result *out) {
    struct bytes service = read_blob(r), id = read_blob(r);
    uint64_t registration = read_varint(r), ttl_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (registration == 0 || ttl_ms > REGISTRY_TTL_MS_MAX) return REGISTRY_BAD_ARGUMENTS;
    struct registry_instance *instance;
    int error = find(state, service, id, registration, &instance, out);
    if (error) return error;
    if (instance->binding != REGISTRY_BY_TTL) return REGISTRY_BAD_ARGUMENTS;
    if (ttl_ms > 0) instance->ttl_ms = ttl_ms;
    out->due_ms = time_after(apply->log_time_ms, instance->ttl_ms);
    deadline_set(&state->due, &instance->due, out->due_ms, instance->registration);
    items_changed(&state->instances, &instance->item);
    return 0;
}

static int apply_update(struct registry_state *state, struct apply *apply, struct reader *r,
                        struct registry_result *out) {
    struct registry_update q = {.service = read_blob(r), .id = read_blob(r)};
    q.registration = read_varint(r);
    q.what = read_u8(r);
    q.weight = read_weight(r);
    uint8_t drain = read_u8(r);
    q.metadata = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (q.what == 0 || q.what > 7 || q.weight == 0 || drain > 1) return REGISTRY_BAD_ARGUMENTS;
    if (!registry_metadata_good(q.metadata)) return REGISTRY_BAD_ARGUMENTS;
    struct registry_instance *instance;
    int error = find(state, q.service, q.id, q.registration, &instance, out);
    if (error) return error;
    if (q.what & REGISTRY_SET_WEIGHT) instance->weight = q.weight;
    registry_uncount(instance);
    if (q.what & REGISTRY_SET_DRAIN) instance->draining = drain != 0;
    registry_count(instance);
    if (q.what & REGISTRY_SET_METADATA) registry_set_metadata(instance, q.metadata);
    items_changed(&state->instances, &instance->item);
    registry_service_changed(state, apply, instance->service);
    out->version = apply->index;
    registry_tell(apply, instance, REGISTRY_EVENT_CHANGED);
    return 0;
}

// term 0: who registered says it of itself; that is for instances that nobody checks.
static int apply_report(struct registry_state *state, struct apply *apply, struct reader *r,
                        struct registry_result *out) {
    struct bytes service = read_blob(r), id = read_blob(r);
    uint64_t registration = read_varint(r), term = read_varint(r);
    uint8_t health = read_u8(r);
    struct bytes output = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    bool known = health == REGISTRY_PASSING || health == REGISTRY_FAILING;
    if (!known || registration == 0 || output.len > REGISTRY_OUTPUT_BYTES_MAX) return REGISTRY_BAD_ARGUMENTS;
    struct registry_instance *instance;
    int error = find(state, service, id, registration, &instance, out);
    if (error) return error;
    if ((term != 0) != (instance->check.kind != REGISTRY_CHECK_NONE)) return REGISTRY_BAD_ARGUMENTS;
    if (term < instance->term && !PLANTED(NAMING_VOID_REPORT_COUNTS)) return REGISTRY_OLD;
    instance->term = term;
    out->changed = instance->health != (enum registry_health)health;
    if (out->changed) {
        registry_uncount(instance);
        instance->health = (enum registry_health)health;
        registry_count(instance);
        instance->health_since_ms = apply->log_time_ms;
        instance->output_len = (uint8_t)output.len;
        if (output.len > 0) memcpy(instance->output, output.data, output.len);
        registry_service_changed(state, apply, instance->service);
    }
    items_changed(&state->instances, &instance->item);
    out->version = instance->service->version;
    if (out->changed) registry_tell(apply, instance, REGISTRY_EVENT_CHANGED);
    return 0;
}

static int apply_lease(struct registry_state *state, struct apply *apply, uint64_t session, struct reader *r,
                       struct registry_result *out) {
    struct bytes name = read_blob(r), zone = read_blob(r);
    uint64_t spill_below = read_varint(r), ttl_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (spill_below > 100 || ttl_ms == 0 || ttl_ms > REGISTRY_LEASE_MS_MAX) return REGISTRY_BAD_ARGUMENTS;
    struct registry_service *service = registry_service_find(state, name);
    struct registry_pick pick = {.strategy = REGISTRY_LEAST_ACTIVE, .zone = zone, .spill_below = (uint32_t)spill_below};
    struct registry_instance *instance = service ? registry_choose(state, service, &pick) : NULL;
    if (instance == NULL) return REGISTRY_NONE;
    if (service->leases >= REGISTRY_LEASES_MAX || owned_count(&state->owned, session) >= REGISTRY_SESSION_MAX)
        return REGISTRY_LIMIT;
    out->token = instance->given = registry_number(state, apply);
    out->due_ms = time_after(apply->log_time_ms, ttl_ms);
    ENSURE(registry_lease_make(state, instance, session, out->token, out->due_ms) != NULL);
    items_changed(&state->instances, &instance->item);
    registry_info_of(instance, &out->instance);
    out->version = service->version;
    return 0;
}

static int apply_release(struct registry_state *state, struct reader *r) {
    uint64_t token = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct registry_lease *lease = registry_lease_find(state, token);
    if (lease == NULL) return REGISTRY_NOT_FOUND;
    registry_lease_free(state, lease);
    return 0;
}

static int run(struct registry_state *state, struct apply *apply, const struct command *command, struct reader *r,
               struct registry_result *out) {
    switch (command->op) {
    case REGISTRY_REGISTER:
        return apply_register(state, apply, command->session, r, out);
    case REGISTRY_DEREGISTER:
        return apply_deregister(state, apply, r, out);
    case REGISTRY_RENEW:
        return apply_renew(state, apply, r, out);
    case REGISTRY_UPDATE:
        return apply_update(state, apply, r, out);
    case REGISTRY_REPORT:
        return apply_report(state, apply, r, out);
    case REGISTRY_LEASE:
        return apply_lease(state, apply, command->session, r, out);
    case REGISTRY_RELEASE:
        return apply_release(state, r);
    default:
        return COMMAND_BAD_COMMAND;
    }
}

void registry_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct registry_state *state = model;
    struct reader r = reader_of(command->args.data, command->args.len);
    state->result = (struct registry_result){0};
    result->value = &state->result;
    result->error = run(state, apply, command, &r, &state->result);
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}
