// Commands' bytes, as registry.h states them.
#include "model/registry/registry.h"

static void write_names(struct writer *w, uint8_t op, uint64_t session, uint64_t attach, struct bytes service,
                        struct bytes second) {
    command_write_head(w, MODEL_REGISTRY, op, session, attach);
    write_blob(w, service);
    write_blob(w, second);
}

void registry_write_register(struct writer *w, uint64_t session, uint64_t attach,
                             const struct registry_registration *r) {
    write_names(w, REGISTRY_REGISTER, session, attach, r->service, r->id);
    write_blob(w, r->address);
    write_blob(w, r->zone);
    write_blob(w, r->metadata);
    write_varint(w, r->weight);
    write_u8(w, (uint8_t)r->binding);
    write_varint(w, r->ttl_ms);
    write_u8(w, (uint8_t)r->check.kind);
    write_blob(w, r->check.path);
    write_varint(w, r->check.interval_ms);
    write_varint(w, r->check.timeout_ms);
    write_varint(w, r->check.failures);
    write_varint(w, r->check.successes);
}

void registry_write_deregister(struct writer *w, struct bytes service, struct bytes id, uint64_t registration) {
    write_names(w, REGISTRY_DEREGISTER, 0, 0, service, id);
    write_varint(w, registration);
}

void registry_write_renew(struct writer *w, struct bytes service, struct bytes id, uint64_t registration,
                          uint64_t ttl_ms) {
    write_names(w, REGISTRY_RENEW, 0, 0, service, id);
    write_varint(w, registration);
    write_varint(w, ttl_ms);
}

void registry_write_update(struct writer *w, const struct registry_update *update) {
    write_names(w, REGISTRY_UPDATE, 0, 0, update->service, update->id);
    write_varint(w, update->registration);
    write_u8(w, update->what);
    write_varint(w, update->weight);
    write_u8(w, update->drain);
    write_blob(w, update->metadata);
}

void registry_write_report(struct writer *w, struct bytes service, struct bytes id, uint64_t registration,
                           uint64_t term, enum registry_health health, struct bytes output) {
    write_names(w, REGISTRY_REPORT, 0, 0, service, id);
    write_varint(w, registration);
    write_varint(w, term);
    write_u8(w, (uint8_t)health);
    write_blob(w, output);
}

void registry_write_lease(struct writer *w, uint64_t session, uint64_t attach, struct bytes service, struct bytes zone,
                          uint32_t spill_below, uint64_t ttl_ms) {
    write_names(w, REGISTRY_LEASE, session, attach, service, zone);
    write_varint(w, spill_below);
    write_varint(w, ttl_ms);
}

void registry_write_release(struct writer *w, uint64_t token) {
    command_write_head(w, MODEL_REGISTRY, REGISTRY_RELEASE, 0, 0);
    write_varint(w, token);
}
