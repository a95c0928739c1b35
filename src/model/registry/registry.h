// Naming as replicated state: services with instances, where they can be reached, and whether they are well.
//
//   service "orders", version 812 (index of its last change)
//     a1  10.0.0.1:80   session 300      passing
//     a2  10.0.0.2:80   until 12:00:15   passing, drains     (renewed by who registered it)
//     b1  10.0.1.1:80   permanent        failing             (checked by the node that leads: node/checks.c)
//
// An instance lives as long as what it is bound to: its session (it goes in the entry that ends the session), a time to
// live that is renewed, or nothing; then it must have a check. Each registration has a number that only grows; the
// newest registration of an id takes the place of the one before, and what names an older one is void. So is a report
// of an older term's leader: what a deposed leader found out late changes nothing.
//
// Version: watchers ask for what is newer than they know. A service without instances is not kept; its version is the
// index at which any service was dropped last, so a version never goes back (a watcher may be answered once too often).
//
// Picking is a read, but for the least active one: leases count who is at work where, exactly and for the whole
// cluster, so such a pick is an entry. Time is log time.
#pragma once
#include "model/items.h"

// A service and an id are made of letters, digits and . _ - : / @ +, an address is host:port: what is registered ends
// up in other programs' configurations.
#define REGISTRY_NAME_BYTES_MAX 127u // with an id behind it it is an item's name
#define REGISTRY_ID_BYTES_MAX 127u
#define REGISTRY_ADDRESS_BYTES_MAX 255u
#define REGISTRY_ZONE_BYTES_MAX 63u
#define REGISTRY_PAIRS_MAX 16u // metadata: labels, not documents (those are what the config model is for)
#define REGISTRY_KEY_BYTES_MAX 63u
#define REGISTRY_VALUE_BYTES_MAX 255u
#define REGISTRY_METADATA_BYTES_MAX 2048u // of all pairs, as encoded
#define REGISTRY_PATH_BYTES_MAX 255u
#define REGISTRY_OUTPUT_BYTES_MAX 95u // what a check said last: a line
#define REGISTRY_WEIGHT_MAX 1000u
#define REGISTRY_SERVICE_MAX 4096u     // instances of one service: a pick looks at each
#define REGISTRY_INSTANCES_MAX 200000u // of all services; about 150 MB with much metadata
#define REGISTRY_CHECKED_MAX 10000u    // with a check: one node runs them all
#define REGISTRY_SESSION_MAX 1000u     // instances and leases of one session: its end is one entry
#define REGISTRY_LEASES_MAX 100000u    // of one service: calls under way
#define REGISTRY_TTL_MS_MAX (24ull * 3600 * 1000)
#define REGISTRY_LEASE_MS_MAX (3600ull * 1000) // a caller that is gone counts as at work for so long at most
#define REGISTRY_INTERVAL_MS_MIN 500u          // of checks: 10,000 of them each half second are what a node can run
#define REGISTRY_INTERVAL_MS_MAX (3600u * 1000)
#define REGISTRY_TIMEOUT_MS_MIN 10u
#define REGISTRY_TIMEOUT_MS_MAX 60000u
#define REGISTRY_STREAK_MAX 100u // results in a row

#define REGISTRY_OPS(X)                                                                                                \
    X(REGISTER, 1)   /* see struct registry_registration */                                                            \
    X(DEREGISTER, 2) /* service, id, registration varint (0: whichever) */                                             \
    X(RENEW, 3)      /* service, id, registration varint, ttl_ms varint (0: as before) */                              \
    X(UPDATE, 4)     /* service, id, registration varint (0: whichever), what u8, weight varint, drain u8, metadata */ \
    X(REPORT, 5)     /* service, id, registration varint, term varint, health u8, output: of the leader's check */     \
    X(LEASE, 6)      /* service, zone, spill_below varint, ttl_ms varint: the least active instance */                 \
    X(RELEASE, 7)    /* token varint: of a lease */
enum registry_op {
#define X(name, value) REGISTRY_##name = value,
    REGISTRY_OPS(X)
#undef X
};

#define REGISTRY_ERRORS(X)                                                                                             \
    X(NOT_FOUND, -1, "no such service, instance or lease")                                                             \
    X(OLD, -2, "a newer registration has taken this one's place, or a newer leader has reported")                      \
    X(NONE, -3, "no instance of the service is passing and stays")                                                     \
    X(LIMIT, -4, "more instances, checks or leases than there may be")                                                 \
    X(BAD_ARGUMENTS, -5, "arguments out of bounds")
enum registry_error {
    REGISTRY_OK = 0,
#define X(name, code, text) REGISTRY_##name = code,
    REGISTRY_ERRORS(X)
#undef X
};

enum registry_binding { REGISTRY_BY_SESSION = 0, REGISTRY_BY_TTL = 1, REGISTRY_PERMANENT = 2 };
enum registry_check_kind { REGISTRY_CHECK_NONE = 0, REGISTRY_CHECK_TCP = 1, REGISTRY_CHECK_HTTP = 2 };
enum registry_health { REGISTRY_UNKNOWN = 0, REGISTRY_PASSING = 1, REGISTRY_FAILING = 2 }; // UNKNOWN: not checked yet

struct registry_check {
    enum registry_check_kind kind;
    struct bytes path; // HTTP: GET it; any 2xx passes
    uint64_t interval_ms, timeout_ms;
    uint32_t failures, successes; // in a row, until it counts as failing or passing
};

// In a command: service, id, address, zone, metadata blobs; weight varint, binding u8, ttl_ms varint; then the check:
// kind u8, path blob, interval_ms, timeout_ms, failures, successes varints.
struct registry_registration {
    struct bytes service, id, address, zone;
    struct bytes metadata; // pairs: see registry_metadata_write
    uint32_t weight;
    enum registry_binding binding;
    uint64_t ttl_ms;
    struct registry_check check;
};

enum { REGISTRY_SET_WEIGHT = 1, REGISTRY_SET_DRAIN = 2, REGISTRY_SET_METADATA = 4 };
struct registry_update {
    struct bytes service, id;
    uint64_t registration;
    uint8_t what; // which of the following
    uint32_t weight;
    bool drain;
    struct bytes metadata;
};

struct registry_info { // of an instance
    struct bytes service, id, address, zone, metadata, output;
    struct registry_check check;
    uint64_t registration, session, ttl_ms;
    uint64_t due_ms;                    // log time at which it goes if it is not renewed; NO_DEADLINE: none
    uint64_t since_ms, health_since_ms; // log time
    uint32_t weight, active;            // active: leases that are out
    enum registry_binding binding;
    enum registry_health health;
    bool draining;
};
struct registry_service_info {
    struct bytes service;
    uint64_t version;
    uint32_t instances, ready, failing, leases; // ready: could be picked
};

struct registry_result {           // value of every operation
    uint64_t registration;         // REGISTER; OLD: the newest one
    uint64_t replaced;             // REGISTER: the registration whose place it took; 0: none
    uint64_t version;              // of the service
    uint64_t due_ms;               // RENEW
    bool changed;                  // REPORT: the health is another one now
    uint64_t token;                // LEASE
    struct registry_info instance; // LEASE
};

enum registry_event_type { REGISTRY_EVENT_REGISTERED, REGISTRY_EVENT_REMOVED, REGISTRY_EVENT_CHANGED };
struct registry_event { // an instance changed, and its service's version with it
    enum registry_event_type type;
    struct registry_info instance;
    uint64_t version;
};

// ---- picking

enum registry_strategy {
    REGISTRY_WEIGHTED = 0, // smooth: an instance of weight 5 of 7 does not get five in a row
    REGISTRY_ROUND_ROBIN = 1,
    REGISTRY_RANDOM = 2,
    REGISTRY_HASH = 3, // by key; see registry_pick.c
    REGISTRY_LEAST_ACTIVE = 4,
};
struct registry_rotation; // whose turn it is, as the asking node knows; soft state that is the asker's own
struct registry_rotation *registry_rotation_new(uint64_t random); // random: who begins
void registry_rotation_free(struct registry_rotation *rotation);
struct registry_pick {
    enum registry_strategy strategy;
    struct bytes key;                   // HASH
    struct bytes zone;                  // its instances first; empty: any
    uint32_t spill_below;               // other zones too when less than so many percent of the zone's are ready
    uint64_t random;                    // RANDOM
    struct registry_rotation *rotation; // ROUND_ROBIN, WEIGHTED
};

// Queries, by what is set. `service` empty: on_service for a page of services; on_instance alone: for every instance
// that has a check. Else: on_service for that one (also when it has no instance), then on_instance for those behind the
// id `after`, or for the one that `pick` gives. version: of what was asked about, set before the others are called.
struct registry_query {
    struct bytes service, prefix, after;
    size_t max;
    const struct registry_pick *pick;
    uint64_t *version;
    void (*on_service)(void *context, const struct registry_service_info *info);
    void (*on_instance)(void *context, const struct registry_info *info);
    void *context;
};

extern const struct model_ops registry_model;
void registry_metadata_write(struct writer *w, struct bytes key, struct bytes value);      // one pair
bool registry_metadata_read(struct reader *pairs, struct bytes *key, struct bytes *value); // false: no more
struct bytes registry_metadata_get(struct bytes metadata, struct bytes key);               // data NULL: none
bool registry_address_good(struct bytes address);
void registry_write_register(struct writer *w, uint64_t session, uint64_t attach,
                             const struct registry_registration *registration);
void registry_write_deregister(struct writer *w, struct bytes service, struct bytes id, uint64_t registration);
void registry_write_renew(struct writer *w, struct bytes service, struct bytes id, uint64_t registration,
                          uint64_t ttl_ms);
void registry_write_update(struct writer *w, const struct registry_update *update);
void registry_write_report(struct writer *w, struct bytes service, struct bytes id, uint64_t registration,
                           uint64_t term, enum registry_health health, struct bytes output);
void registry_write_lease(struct writer *w, uint64_t session, uint64_t attach, struct bytes service, struct bytes zone,
                          uint32_t spill_below, uint64_t ttl_ms);
void registry_write_release(struct writer *w, uint64_t token);
