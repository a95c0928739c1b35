// Records and load. Services come before instances, instances before leases; each of the latter names what it belongs
// to.
#include "base/assert.h"
#include "model/registry/registry_internal.h"
#include <errno.h>
#include <string.h>

#define TABLES(state)                                                                                                  \
    { &(state)->services, &(state)->instances, &(state)->leases }
enum { TABLE_COUNT = 3 };

static void record_service(const struct item *item, struct item_record *to) {
    item_record_u64(to, CONTAINER_OF_CONST(item, struct registry_service, item)->version);
}

static void record_instance(const struct item *item, struct item_record *to) {
    const struct registry_instance *instance = CONTAINER_OF_CONST(item, struct registry_instance, item);
    struct registry_info info;
    registry_info_of(instance, &info);
    item_record_text(to, info.address);
    item_record_text(to, info.zone);
    item_record_text(to, info.output);
    item_record_text(to, info.check.path);
    item_record_u64(to, info.check.kind);
    item_record_u64(to, info.check.interval_ms);
    item_record_u64(to, info.check.timeout_ms);
    item_record_u64(to, info.check.failures | (uint64_t)info.check.successes << 32);
    item_record_u64(to, info.registration);
    item_record_u64(to, info.session);
    item_record_u64(to, info.ttl_ms);
    item_record_u64(to, info.due_ms);
    item_record_u64(to, info.since_ms);
    item_record_u64(to, info.health_since_ms);
    item_record_u64(to, instance->term);
    item_record_u64(to, instance->given);
    item_record_u64(to, info.weight);
    item_record_u64(to, info.binding | (uint64_t)info.health << 8 | (uint64_t)info.draining << 16);
    item_record_u64(to, instance->metadata_digest.lo);
    item_record_u64(to, instance->metadata_digest.hi);
}

static struct bytes metadata_of(const struct item *item) {
    const struct registry_instance *instance = CONTAINER_OF_CONST(item, struct registry_instance, item);
    return bytes_of(instance->metadata, instance->metadata_len);
}

static void record_lease(const struct item *item, struct item_record *to) {
    const struct registry_lease *lease = CONTAINER_OF_CONST(item, struct registry_lease, item);
    item_record_text(to, item_name(&lease->instance->item));
    item_record_u64(to, lease->place.session);
    item_record_u64(to, deadline_of(&lease->due));
}

const struct item_kind registry_service_kind = {.tag = 's', .record = record_service};
const struct item_kind registry_instance_kind = {.tag = 'i', .record = record_instance, .body = metadata_of};
const struct item_kind registry_lease_kind = {.tag = 'l', .record = record_lease};

size_t registry_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    const struct registry_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_save(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT, cursor, out, capacity);
}

struct digest registry_digest_recount(const void *model) {
    const struct registry_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_recount(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT);
}

// ---- load

static bool load_service(struct registry_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t version = read_u64_le(r);
    if (r->failed || !registry_name_good(name, REGISTRY_NAME_BYTES_MAX) || registry_service_find(state, name))
        return false;
    if (version == 0 || version > state->words[WORD_CHANGED]) return false;
    struct registry_service *service = registry_service_make(state, name);
    service->version = version;
    items_changed(&state->services, &service->item);
    return true;
}

static bool split(struct bytes joined, struct bytes *service, struct bytes *id) {
    const uint8_t *zero = joined.len > 0 ? memchr(joined.data, 0, joined.len) : NULL;
    if (zero == NULL) return false;
    *service = bytes_of(joined.data, (size_t)(zero - joined.data));
    *id = bytes_of(zero + 1, joined.len - service->len - 1);
    return true;
}

struct loaded { // an instance's record
    struct registry_registration q;
    struct bytes output;
    uint64_t registration, session, due_ms, since_ms, health_since_ms, term, given, weight, flags;
    struct digest digest;
};

static bool read_instance(struct reader *r, struct loaded *out) {
    struct bytes joined = item_read_text(r);
    out->q.address = item_read_text(r);
    out->q.zone = item_read_text(r);
    out->output = item_read_text(r);
    out->q.check.path = item_read_text(r);
    uint64_t kind = read_u64_le(r);
    out->q.check.kind = kind > REGISTRY_CHECK_HTTP ? REGISTRY_CHECK_HTTP + 1 : (enum registry_check_kind)kind;
    out->q.check.interval_ms = read_u64_le(r);
    out->q.check.timeout_ms = read_u64_le(r);
    uint64_t streaks = read_u64_le(r);
    out->q.check.failures = (uint32_t)streaks;
    out->q.check.successes = (uint32_t)(streaks >> 32);
    out->registration = read_u64_le(r);
    out->session = read_u64_le(r);
    out->q.ttl_ms = read_u64_le(r);
    out->due_ms = read_u64_le(r);
    out->since_ms = read_u64_le(r);
    out->health_since_ms = read_u64_le(r);
    out->term = read_u64_le(r);
    out->given = read_u64_le(r);
    out->weight = read_u64_le(r);
    out->flags = read_u64_le(r);
    out->digest.lo = read_u64_le(r);
    out->digest.hi = read_u64_le(r);
    out->q.metadata = items_read_body(r);
    out->q.weight = out->weight > REGISTRY_WEIGHT_MAX ? 0 : (uint32_t)out->weight;
    out->q.binding = (enum registry_binding)(out->flags & 255);
    return !r->failed && split(joined, &out->q.service, &out->q.id);
}

static bool instance_whole(const struct registry_state *state, const struct loaded *from) {
    uint64_t health = from->flags >> 8 & 255;
    bool by_ttl = from->q.binding == REGISTRY_BY_TTL;
    if (!registry_registration_good(&from->q) || from->output.len > REGISTRY_OUTPUT_BYTES_MAX) return false;
    if (from->flags >> 17 != 0 || health > REGISTRY_FAILING) return false;
    if ((from->q.binding == REGISTRY_BY_SESSION) != (from->session != 0)) return false;
    if (by_ttl != (from->due_ms != NO_DEADLINE)) return false;
    if (from->registration == 0 || from->registration > state->words[WORD_NUMBER]) return false;
    return from->given <= state->words[WORD_NUMBER] &&
           registry_instance_find(state, from->q.service, from->q.id) == NULL;
}

// Another item of this session has this number, or another deadline has it as its tie: damaged bytes only.
static bool number_taken(const struct registry_state *state, uint64_t session, uint64_t number) {
    struct registry_place place = {.session = session, .number = number};
    struct omap probe = state->by_session;
    for (struct omap_node *at = probe.root; at != NULL;) {
        int order = probe.compare(&place.node, at);
        if (order == 0) return true;
        at = order < 0 ? at->left : at->right;
    }
    return false;
}

static bool load_instance(struct registry_state *state, struct reader *r) {
    struct loaded from = {0};
    if (!read_instance(r, &from) || !instance_whole(state, &from)) return false;
    struct registry_service *service = registry_service_find(state, from.q.service);
    if (service == NULL || (from.session != 0 && number_taken(state, from.session, from.registration))) return false;
    struct registry_instance *instance =
        registry_instance_make(state, service, &from.q, from.session, from.registration);
    instance->since_ms = from.since_ms;
    instance->health_since_ms = from.health_since_ms;
    instance->term = from.term;
    instance->given = from.given;
    registry_uncount(instance);
    instance->health = (enum registry_health)(from.flags >> 8 & 255);
    instance->draining = (from.flags >> 16 & 1) != 0;
    registry_count(instance);
    instance->output_len = (uint8_t)from.output.len;
    if (from.output.len > 0) memcpy(instance->output, from.output.data, from.output.len);
    deadline_set(&state->due, &instance->due, from.due_ms, from.registration);
    items_changed(&state->instances, &instance->item);
    return digest_equal(instance->metadata_digest, from.digest);
}

static bool load_lease(struct registry_state *state, struct reader *r) {
    struct bytes name = item_read_text(r), joined = item_read_text(r), service, id;
    uint64_t session = read_u64_le(r), due_ms = read_u64_le(r);
    if (r->failed || name.len != 8 || due_ms == NO_DEADLINE || !split(joined, &service, &id)) return false;
    struct reader number = reader_of(name.data, 8);
    uint64_t token = read_u64_be(&number);
    struct registry_instance *instance = registry_instance_find(state, service, id);
    if (instance == NULL || token == 0 || token > state->words[WORD_NUMBER]) return false;
    if (session != 0 && number_taken(state, session, token)) return false;
    return registry_lease_make(state, instance, session, token, due_ms) != NULL;
}

static bool load_one(struct registry_state *state, uint8_t tag, struct reader *r) {
    switch (tag) {
    case 0:
        return items_load_head(&state->sum, r, state->words, WORD_COUNT);
    case 's':
        return load_service(state, r);
    case 'i':
        return load_instance(state, r);
    case 'l':
        return load_lease(state, r);
    default:
        return false;
    }
}

int registry_load(void *model, const uint8_t *data, size_t len) {
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        uint8_t tag = read_u8(&r);
        if (!load_one(model, tag, &r)) return -EBADMSG;
    }
    return r.failed ? -EBADMSG : 0;
}
