// The registry: each client registers itself under its session, looks who is there, waits for changes, picks, and takes
// itself out. What must hold, whatever fails:
//
//   a listed instance's session lives (as of what was committed when the list was asked for)
//   who was told that he is registered is listed, with that registration or a newer one, while the session that he
//   named lives and he has not taken it back; registrations grow
//   a registration that was lost may still come while the session that it named lives: it is then the newest one of its
//   id, and goes with that session. Behind the end of that session it comes no more
//   a service's version never goes back, and a watcher who knows an older one than is known is told who is there
//   an ended session leaves no instance
#include "model/registry/registry.h"
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_MS 2000u

enum { ASKED_REGISTER = NATIVE_FIRST, ASKED_DEREGISTER, ASKED_SHOW, ASKED_WATCH, ASKED_PICK };

struct names { // of the run: the newest that anybody was told
    uint64_t version, registration;
};
struct instance { // of one client
    bool there;   // was told so, and has not asked for anything else since
    uint64_t registration, version;
    uint64_t session; // that the registration named
    // Sessions that lost registrations had named, of whichever of its processes
    uint64_t *late;
    size_t late_count, late_capacity;
    // Of the request under way. known: versions and registrations that anybody knew; mine: its registration, if there
    struct names known;
    uint64_t mine, named, committed, watched; // named: the session
};

static void registered(struct native_line *line, const char *body) {
    struct names *names = line->shared;
    struct instance *instance = line->state;
    uint64_t registration = native_number_of(body, "registration");
    if (registration <= instance->known.registration)
        world_fail(&line->native->sim->world, "naming: h%u got registration %llu, and %llu was known when it asked",
                   line->native->number, (unsigned long long)registration,
                   (unsigned long long)instance->known.registration);
    instance->registration = registration;
    instance->session = instance->named;
    instance->there = true;
    if (registration > names->registration) names->registration = registration;
}

static void version_told(struct native_line *line, uint64_t version) {
    struct names *names = line->shared;
    const struct instance *instance = line->state;
    if (version < instance->known.version)
        world_fail(&line->native->sim->world, "naming: version %llu, and %llu was known when it was asked",
                   (unsigned long long)version, (unsigned long long)instance->known.version);
    if (version > names->version) names->version = version;
}

// What stands there; the registration under which this client is listed, or 0.
static uint64_t listed(struct native_line *line, const char *list) {
    struct sim *sim = line->native->sim;
    const struct instance *instance = line->state;
    uint64_t registration = 0;
    char id[32], mine[32];
    snprintf(mine, sizeof mine, "h%u", line->native->number);
    while ((list = strstr(list, "\"id\":")) != NULL) { // an instance begins
        uint64_t owner = native_number_of(list, "session");
        const struct history_session *session = history_session(&sim->history, owner);
        native_text_of(list, "id", id, sizeof id);
        if (session == NULL || (session->ended_index != 0 && session->ended_index <= instance->committed))
            world_fail(&sim->world,
                       "naming: %s is listed, and its session %llu has ended before the list was asked for", id,
                       (unsigned long long)owner);
        if (strcmp(id, mine) == 0) registration = native_number_of(list, "registration");
        list++;
    }
    return registration;
}

// A late one took the place of `mine`, and went with its session: that ended behind `mine`.
static bool replaced(struct native_line *line) {
    const struct instance *instance = line->state;
    for (size_t i = 0; i < instance->late_count; i++) {
        const struct history_session *late = history_session(&line->native->sim->history, instance->late[i]);
        if (late != NULL && late->ended_index > instance->mine) return true;
    }
    return false;
}

// It is not there, or only with an older registration than it was told of: it registers itself anew, if that may be.
static void missed(struct native_line *line, uint64_t registration) {
    struct instance *instance = line->state;
    struct sim *sim = line->native->sim;
    const struct history_session *session = history_session(&sim->history, instance->session);
    if (session != NULL && session->ended_index == 0 && !replaced(line))
        world_fail(&sim->world, "naming: h%u was told registration %llu and is listed under %llu", line->native->number,
                   (unsigned long long)instance->mine, (unsigned long long)registration);
    instance->there = false;
}

static void looked(struct native_line *line, unsigned asked, const char *body) {
    struct native *native = line->native;
    struct instance *instance = line->state;
    const char *list = strstr(body, "\"instances\":[");
    version_told(line, native_number_of(body, "version"));
    instance->version = native_number_of(body, "version");
    if (list == NULL) { // a watch: nothing has changed
        if (asked == ASKED_SHOW || instance->known.version > instance->watched)
            world_fail(&native->sim->world, "naming: h%u knows version %llu, and is not told what %llu is",
                       native->number, (unsigned long long)instance->watched,
                       (unsigned long long)instance->known.version);
        return;
    }
    uint64_t registration = listed(line, list);
    if (instance->there && registration < instance->mine) missed(line, registration);
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    if (asked == ASKED_REGISTER) registered(line, body);
    if (asked == ASKED_REGISTER || asked == ASKED_DEREGISTER) version_told(line, native_number_of(body, "version"));
    if (asked == ASKED_SHOW || asked == ASKED_WATCH) looked(line, asked, body);
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    const struct instance *instance = line->state;
    if (asked == ASKED_PICK) {
        if (instance->mine != 0 && instance->there) missed(line, 0); // nobody is there
        return native_is_error(body, "none-ready") || native_is_error(body, "not-found");
    }
    return asked == ASKED_DEREGISTER &&
           (native_is_error(body, "not-found") || native_is_error(body, "old-registration"));
}

static void session_over(struct native_line *line) {
    ((struct instance *)line->state)->there = false;
}

static void lost(struct native_line *line, unsigned asked, bool done) {
    struct instance *instance = line->state;
    if (asked != ASKED_REGISTER || !done) return;
    instance->late =
        native_grow(instance->late, &instance->late_capacity, instance->late_count, sizeof *instance->late);
    instance->late[instance->late_count++] = instance->named;
}

static void died(struct native_line *line) {
    struct instance *instance = line->state;
    *instance = (struct instance){
        .late = instance->late, .late_count = instance->late_count, .late_capacity = instance->late_capacity};
}

// ---- requests

static void step(struct native_line *line) {
    struct native *native = line->native;
    struct instance *instance = line->state;
    uint64_t kind = native_draw(native, 10);
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    instance->known = *(const struct names *)line->shared;
    instance->mine = instance->there ? instance->registration : 0;
    instance->committed = native->sim->history.last;
    instance->watched = instance->version;
    instance->named = strtoull(native->session, NULL, 10);
    if (!instance->there || kind == 0) {
        native_request(line, ASKED_REGISTER, 0, "registry/register",
                       "{\"service\":\"s\",\"id\":\"h%u\",\"address\":\"h:%u\",\"session\":\"%s\"}", native->number,
                       native->number, native->session);
        return;
    }
    if (kind == 1) {
        instance->there = false;
        native_request(line, ASKED_DEREGISTER, 0, "registry/deregister",
                       "{\"service\":\"s\",\"id\":\"h%u\",\"registration\":%llu}", native->number,
                       (unsigned long long)instance->registration);
    } else if (kind == 2) {
        native_request(line, ASKED_PICK, 0, "registry/pick", "{\"service\":\"s\",\"strategy\":\"random\"}");
    } else if (kind < 6) {
        native_request(line, ASKED_WATCH, WATCH_MS * 1000ull, "registry/watch",
                       "{\"service\":\"s\",\"version\":%llu,\"wait_ms\":%u}", (unsigned long long)instance->version,
                       WATCH_MS);
        line->leaves = true;
    } else {
        native_request(line, ASKED_SHOW, 0, "registry/show", "{\"service\":\"s\"}");
    }
    line->unbound = true;
}

// ---- life

static void *open_names(struct sim *sim) {
    return mem_zalloc(sizeof(struct names));
}
static void close_names(void *shared) {
    mem_free(shared);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct instance));
}
static void end(struct native_line *line) {
    mem_free(((struct instance *)line->state)->late);
    mem_free(line->state);
}

static void check_instance(void *context, const struct registry_info *info) {
    struct sim *sim = context;
    const struct history_session *session = history_session(&sim->history, info->session);
    if (session == NULL || session->ended_index != 0)
        world_fail(&sim->world, "session %llu has ended, and its instance %.*s is left",
                   (unsigned long long)info->session, (int)info->id.len, (const char *)info->id.data);
}

static void check(struct sim *sim, void *shared) {
    struct registry_query query = {
        .service = bytes_of_text("s"), .max = 1000, .on_instance = check_instance, .context = sim};
    struct result result;
    machine_query(sim->history.machine, MODEL_REGISTRY, &query, &result);
}

const struct native_workload native_workload_registry = {.name = "registry",
                                                         .open = open_names,
                                                         .close = close_names,
                                                         .begin = begin,
                                                         .end = end,
                                                         .step = step,
                                                         .answer = answer,
                                                         .refused = refused,
                                                         .lost = lost,
                                                         .session_over = session_over,
                                                         .died = died,
                                                         .check = check};
