// Native clients and the registry, in the seeds that have them: each registers itself under its session, looks who is
// there, waits for changes, and takes itself out. What must hold, whatever fails:
//
//   a listed instance's session lives (as of what was committed when the list was asked for)
//   who was told that he is registered is listed, with that registration or a newer one, while his session lives and he
//   has not taken it back; registrations grow
//   a service's version never goes back
#include "model/registry/registry.h"
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_MS 2000u

// Not drawn from the world's, for the same reason as native clients themselves are not.
void naming_make(struct native *native) {
    uint64_t seed = hash_u64(native->sim->world.options.seed + 0x6e616d65u);
    native->name.wanted = seed % 2 == 0;
    prng_seed(&native->name.prng, seed + native->number);
}

static uint64_t draw(struct native *native, uint64_t bound) {
    return prng_below(&native->name.prng, bound);
}

static void look(struct native *native, bool waits) {
    struct sim *sim = native->sim;
    struct line *line = &native->naming;
    native->name.asked = native->name.there ? native->name.registration : 0;
    if (waits)
        native_ask(line, ASKED_WATCH, WATCH_MS * 1000ull, "registry/watch",
                   "{\"service\":\"s\",\"version\":%llu,\"wait_ms\":%u}", (unsigned long long)native->name.version,
                   WATCH_MS);
    else
        native_ask(line, ASKED_SHOW, 0, "registry/show", "{\"service\":\"s\"}");
    line->floor = sim->natives->version;
    line->token = sim->history.last;
}

void naming_work(struct native *native) {
    uint64_t now_us = native->sim->world.now_us, kind;
    if (!native->name.wanted || now_us < native->name.next_us) return;
    native->name.next_us = now_us + draw(native, 300000);
    kind = draw(native, 10);
    if (!native->name.there || kind == 0) {
        native_ask(&native->naming, ASKED_REGISTER, 0, "registry/register",
                   "{\"service\":\"s\",\"id\":\"h%u\",\"address\":\"h:%u\",\"session\":\"%s\"}", native->number,
                   native->number, native->session);
        native->naming.floor = native->sim->natives->registration;
    } else if (kind == 1) {
        native->name.there = false;
        native_ask(&native->naming, ASKED_DEREGISTER, 0, "registry/deregister",
                   "{\"service\":\"s\",\"id\":\"h%u\",\"registration\":%llu}", native->number,
                   (unsigned long long)native->name.registration);
    } else {
        look(native, kind < 5);
    }
}

static void registered(struct native *native, const struct line *line, uint64_t registration, uint64_t version) {
    struct sim *sim = native->sim;
    if (registration <= line->floor)
        world_fail(&sim->world, "naming: h%u got registration %llu, and %llu was known when it asked", native->number,
                   (unsigned long long)registration, (unsigned long long)line->floor);
    native->name.registration = registration;
    native->name.there = true;
    if (registration > sim->natives->registration) sim->natives->registration = registration;
    if (version > sim->natives->version) sim->natives->version = version;
}

// The registration under which h%u is listed; 0: it is not.
static uint64_t listed(struct native *native, const struct line *line, uint32_t number, const char *body) {
    struct sim *sim = native->sim;
    char id[32];
    snprintf(id, sizeof id, "\"id\":\"h%u\"", number);
    const char *at = strstr(body, id);
    if (at == NULL) return 0;
    uint64_t owner = native_number_in(at, "\"session\":");
    const struct history_session *session = history_session(&sim->history, owner);
    if (session == NULL || (session->ended_index != 0 && session->ended_index <= line->token))
        world_fail(&sim->world, "naming: h%u is listed, and its session %llu has ended before the list was asked for",
                   number, (unsigned long long)owner);
    return native_number_in(at, "\"registration\":");
}

static void looked(struct native *native, const struct line *line, const char *body) {
    struct sim *sim = native->sim;
    uint64_t version = native_number_in(body, "\"version\":");
    if (version < line->floor)
        world_fail(&sim->world, "naming: version %llu, and %llu was known when it was asked",
                   (unsigned long long)version, (unsigned long long)line->floor);
    if (version > sim->natives->version) sim->natives->version = version;
    native->name.version = version;
    if (strstr(body, "\"instances\":") == NULL) return; // a watch: nothing has changed
    for (uint32_t number = 1; number <= sim->native_count; number++) {
        uint64_t registration = listed(native, line, number, body);
        if (number != native->number || native->name.asked == 0 || !native->name.there) continue;
        const struct history_session *mine = history_session(&sim->history, strtoull(native->session, NULL, 10));
        if (mine != NULL && mine->ended_index == 0 && registration < native->name.asked)
            world_fail(&sim->world, "naming: h%u was told registration %llu and is listed under %llu", number,
                       (unsigned long long)native->name.asked, (unsigned long long)registration);
    }
}

void naming_told(struct native *native, const struct line *line, enum asked asked, const char *body) {
    if (asked == ASKED_REGISTER)
        registered(native, line, native_number_in(body, "\"registration\":"), native_number_in(body, "\"version\":"));
    else if (asked != ASKED_DEREGISTER)
        looked(native, line, body);
}

// Nothing of an ended session is registered.
static void check_instance(void *context, const struct registry_info *info) {
    struct sim *sim = context;
    const struct history_session *session = history_session(&sim->history, info->session);
    if (session == NULL || session->ended_index != 0)
        world_fail(&sim->world, "session %llu has ended, and its instance %.*s is left",
                   (unsigned long long)info->session, (int)info->id.len, (const char *)info->id.data);
}

void naming_check(struct sim *sim) {
    struct registry_query query = {
        .service = bytes_of_text("s"), .max = 1000, .on_instance = check_instance, .context = sim};
    struct result result;
    machine_query(sim->history.machine, MODEL_REGISTRY, &query, &result);
}
