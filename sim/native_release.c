// Gradual releases of a configuration: clients of two zones publish versions, for all or for one zone, for a half of it
// too; others, or they, promote and abandon them; all read with their labels. What must hold, whatever fails:
//
//   while a release is under way who has its labels (and is in its half) reads it, and all others what all had: one of
//   exactly two versions. Who is in a half stays so
//   who lacks the labels reads it only when somebody has asked for its promotion; what was promoted, all have
//   what was abandoned nobody reads any more; nothing is both
#include "model/config/config.h"
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASKED_PUBLISH = NATIVE_FIRST, ASKED_PROMOTE, ASKED_ABANDON, ASKED_READ };
enum half { HALF_UNKNOWN, HALF_IN, HALF_OUT };

#define FOR_ALL 2u // as a zone

struct release {                        // what it puts is its index
    uint64_t version, released;         // 0: not known. released: what all had when it began
    uint64_t promoted_us, abandoned_us; // 0: nobody was told that it is
    uint32_t zone;
    bool half, told, promoting, abandoning; // told: its publisher was. promoting, abandoning: it was asked for
};
struct releases {       // of the run
    struct release *at; // from 1 on
    size_t count, capacity;
    size_t current; // a gradual one that was told, and that nobody has asked to end; 0: none
    uint64_t floor; // the newest version that was told to be what all have
    enum half halves[SIM_NATIVES_MAX + 1];
};
struct viewer { // of one client: of the request under way
    size_t release, current;
    uint64_t floor;
};

static uint32_t zone_of(const struct native *native) {
    return native->number % 2;
}

static void wrong(struct native_line *line, const char *what, uint64_t version, uint64_t other) {
    world_fail(&line->native->sim->world, "release: h%u %s (versions %llu, %llu)", line->native->number, what,
               (unsigned long long)version, (unsigned long long)other);
}

// ---- what was read

static void is_version(struct native_line *line, size_t number, uint64_t version) {
    struct release *release = &((struct releases *)line->shared)->at[number];
    if (release->version != 0 && release->version != version)
        wrong(line, "was told of one release under two versions", release->version, version);
    release->version = version;
}

// Whether this client is to have the release; who is in its half is found out.
static bool selects(struct native_line *line, const struct release *release, bool has) {
    struct releases *all = line->shared;
    enum half *half = &all->halves[line->native->number];
    if (release->zone != zone_of(line->native)) return false;
    if (!release->half) return true;
    if (*half == HALF_UNKNOWN) *half = has ? HALF_IN : HALF_OUT;
    return *half == HALF_IN;
}

// While one is under way, and nobody has asked for its end: it, or what all have.
static void check_current(struct native_line *line, uint64_t version, bool gradual) {
    const struct releases *all = line->shared;
    const struct viewer *viewer = line->state;
    if (viewer->current == 0 || viewer->current != all->current) return;
    const struct release *current = &all->at[viewer->current];
    if (gradual != selects(line, current, gradual))
        wrong(line, gradual ? "has a release that is not for it" : "lacks a release that is for it", version,
              current->version);
    if (version != (gradual ? current->version : current->released))
        wrong(line, "has neither the release nor what all have", version, current->version);
}

static bool told_before(const struct native_line *line, uint64_t us) { // this request was asked
    return us != 0 && us <= line->asked_us;
}

static void looked(struct native_line *line, const char *body) {
    const struct releases *all = line->shared;
    const struct viewer *viewer = line->state;
    uint64_t version = native_number_of(body, "version");
    bool gradual = native_says(body, "gradual");
    char value[32];
    native_text_of(body, "x", value, sizeof value);
    size_t number = strtoull(value, NULL, 10);
    if (version < viewer->floor) wrong(line, "reads what is older than all have", version, viewer->floor);
    check_current(line, version, gradual);
    if (version == 0 || number == 0) return; // nothing, or nothing new
    if (number > all->count) {
        wrong(line, "reads what nobody published", version, number);
        return;
    }
    const struct release *release = &all->at[number];
    is_version(line, number, version);
    if (gradual && (release->zone != zone_of(line->native) || told_before(line, release->promoted_us)))
        wrong(line, "has a release that is not for it, or no more", version, version);
    if (!gradual && release->zone != FOR_ALL && !release->promoting)
        wrong(line, "has a release that nobody promoted", version, version);
    if (told_before(line, release->abandoned_us)) wrong(line, "has a release that was abandoned", version, version);
}

// ---- answers

static void published(struct native_line *line, const char *body) {
    struct releases *all = line->shared;
    const struct viewer *viewer = line->state;
    struct release *release = &all->at[viewer->release];
    is_version(line, viewer->release, native_number_of(body, "version"));
    release->told = true;
    if (release->zone == FOR_ALL) {
        if (release->version > all->floor) all->floor = release->version;
        return;
    }
    release->released = native_number_of(body, "released");
    if (!release->promoting && !release->abandoning) all->current = viewer->release;
}

static void ended(struct native_line *line, unsigned asked) {
    struct releases *all = line->shared;
    const struct viewer *viewer = line->state;
    struct release *release = &all->at[viewer->release];
    if (asked == ASKED_PROMOTE && release->promoted_us == 0) release->promoted_us = native_now_us(line->native);
    if (asked == ASKED_PROMOTE && release->version > all->floor) all->floor = release->version;
    if (asked == ASKED_ABANDON && release->abandoned_us == 0) release->abandoned_us = native_now_us(line->native);
    if (release->promoted_us != 0 && release->abandoned_us != 0)
        wrong(line, "knows a release that was promoted and abandoned", release->version, release->version);
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    if (asked == ASKED_PUBLISH) published(line, body);
    if (asked == ASKED_PROMOTE || asked == ASKED_ABANDON) ended(line, asked);
    if (asked == ASKED_READ) looked(line, body);
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    if (asked == ASKED_PUBLISH) return native_is_error(body, "releasing");
    if (asked != ASKED_READ) return native_is_error(body, "not-releasing") || native_is_error(body, "not-found");
    looked(line, "");
    return native_is_error(body, "not-found");
}

// ---- requests

static void publish(struct native_line *line) {
    struct releases *all = line->shared;
    struct native *native = line->native;
    char gradual[64] = "";
    size_t number = ((struct viewer *)line->state)->release = ++all->count;
    all->at = native_grow(all->at, &all->capacity, number, sizeof *all->at);
    struct release *release = &all->at[number];
    *release =
        (struct release){.zone = (uint32_t)native_draw(native, FOR_ALL + 1), .half = native_draw(native, 3) == 0};
    if (release->zone != FOR_ALL)
        snprintf(gradual, sizeof gradual, ",\"labels\":[\"zone=%u\"],\"percent\":%u", release->zone,
                 release->half ? 50 : 100);
    native_request(line, ASKED_PUBLISH, 0, "config/publish", "{\"name\":\"g\",\"items\":{\"x\":\"%zu\"}%s}", number,
                   gradual);
}

// The newest one whose version is known, and that may be under way.
static bool end_one(struct native_line *line) {
    struct releases *all = line->shared;
    size_t number = all->count;
    while (number > 0 && (all->at[number].zone == FOR_ALL || all->at[number].version == 0)) number--;
    if (number == 0) return false;
    struct release *release = &all->at[number];
    bool promotes = native_draw(line->native, 2) == 0;
    ((struct viewer *)line->state)->release = number;
    *(promotes ? &release->promoting : &release->abandoning) = true;
    if (all->current == number) all->current = 0;
    native_request(line, promotes ? ASKED_PROMOTE : ASKED_ABANDON, 0, promotes ? "config/promote" : "config/abandon",
                   "{\"name\":\"g\",\"version\":%llu}", (unsigned long long)release->version);
    return true;
}

static void look(struct native_line *line) {
    struct native *native = line->native;
    struct viewer *viewer = line->state;
    const struct releases *all = line->shared;
    viewer->current = all->current;
    viewer->floor = all->floor;
    native_request(line, ASKED_READ, 0, "config/get", "{\"name\":\"g\",\"labels\":[\"zone=%u\"],\"id\":\"h%u\"}",
                   zone_of(native), native->number);
}

static void step(struct native_line *line) {
    struct native *native = line->native;
    uint64_t kind = native_draw(native, 10);
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    if (kind < 2)
        publish(line);
    else if (kind > 2 || !end_one(line))
        look(line);
    line->unbound = true;
}

// ---- life

static void *open_releases(struct sim *sim) {
    return mem_zalloc(sizeof(struct releases));
}
static void close_releases(void *shared) {
    mem_free(((struct releases *)shared)->at);
    mem_free(shared);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct viewer));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

static void check_released(void *context, const struct config_info *info) {
    *(uint64_t *)context = info->released;
}

static void check(struct sim *sim, void *shared) {
    const struct releases *all = shared;
    uint64_t released = 0;
    struct config_query query = {.page.name = bytes_of_text("g"), .space = check_released, .context = &released};
    struct result result;
    machine_query(sim->history.machine, MODEL_CONFIG, &query, &result);
    if (released < all->floor)
        world_fail(&sim->world, "release: all have version %llu at the end, and were told of %llu",
                   (unsigned long long)released, (unsigned long long)all->floor);
}

const struct native_workload native_workload_release = {.name = "release",
                                                        .open = open_releases,
                                                        .close = close_releases,
                                                        .begin = begin,
                                                        .end = end,
                                                        .step = step,
                                                        .answer = answer,
                                                        .refused = refused,
                                                        .check = check};
