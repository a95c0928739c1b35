// Configuration, and requests under an Idempotency-Key: publishes, rollbacks and numbers of a sequence, each asked
// again when it was lost, and sometimes when it was not. What must hold, whatever fails:
//
//   one key, one answer: whoever asks the same again, wherever, gets what the first one got, an error too; what another
//   request asks under it is refused; a number is given to one key, and what was published under one is one version
//   a reader never sees an older revision than was known when it asked; a version is the same for all who see it
//   a publish that expects a version makes the next one; a rollback makes one that is equal to the old one
//   a watcher who knows an older revision than is known is told
#include "model/config/config.h"
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASKED_ONCE = NATIVE_FIRST, ASKED_OTHER, ASKED_GET, ASKED_WATCH };
enum request_kind { PUBLISH, ROLLBACK, NEXT };

static const char *const spaces[] = {"c0", "c1"}; // rollbacks in the second one only
#define SPACES 2u
#define ANY UINT64_MAX
#define VERSIONS_MAX 100000u

struct request { // its key is its index, and that is what a publish puts
    enum request_kind kind;
    uint32_t space;
    uint64_t expected, base;
    char answer[256]; // the first that anybody got; empty: none yet
};
struct release { // a version; revision 0: nobody knows it
    uint64_t revision;
    size_t value;
};
struct space {
    struct release *releases;
    size_t count, capacity;
    uint64_t version, revision; // the newest that anybody was told
};
struct configs { // of the run
    struct space spaces[SPACES];
    struct request *requests; // from 1 on
    size_t request_count, request_capacity;
    uint64_t *numbers; // by request
    size_t number_capacity;
};
struct viewer {   // of one client
    size_t again; // a request that was lost; 0: none
    uint64_t seen[SPACES];
    // Of the request under way:
    size_t request;
    uint32_t space;
    uint64_t watched;
    struct {
        uint64_t version, revision;
    } known;
};

static struct configs *configs_of(struct native_line *line) {
    return line->shared;
}

// ---- versions

// A version as somebody was told; value 0: without its item.
static void learn(struct native_line *line, uint32_t s, uint64_t version, uint64_t revision, size_t value) {
    struct space *space = &configs_of(line)->spaces[s];
    struct world *world = &line->native->sim->world;
    if (version == 0 || version > VERSIONS_MAX || revision == 0) {
        world_fail(world, "config %s: version %llu, revision %llu", spaces[s], (unsigned long long)version,
                   (unsigned long long)revision);
        return;
    }
    space->releases = native_grow(space->releases, &space->capacity, (size_t)version, sizeof *space->releases);
    if (version >= space->count) space->count = (size_t)version + 1;
    struct release *release = &space->releases[version];
    if ((release->revision != 0 && release->revision != revision) ||
        (release->value != 0 && value != 0 && release->value != value))
        world_fail(world, "config %s: version %llu is revision %llu with %zu, and was %llu with %zu", spaces[s],
                   (unsigned long long)version, (unsigned long long)revision, value,
                   (unsigned long long)release->revision, release->value);
    bool fresh = release->revision == 0 || (release->value == 0 && value != 0);
    release->revision = revision;
    if (value != 0) release->value = value;
    for (uint64_t v = 1; v < space->count && fresh; v++) {
        const struct release *other = &space->releases[v];
        if (other->revision == 0 || v == version) continue;
        if ((v < version) != (other->revision < revision))
            world_fail(world, "config %s: versions %llu and %llu are revisions %llu and %llu", spaces[s],
                       (unsigned long long)v, (unsigned long long)version, (unsigned long long)other->revision,
                       (unsigned long long)revision);
        if (s == 0 && value != 0 && other->value == value)
            world_fail(world, "config %s: request %zu was published twice: versions %llu and %llu", spaces[s], value,
                       (unsigned long long)v, (unsigned long long)version);
    }
    if (version > space->version) {
        space->version = version;
        space->revision = revision;
    }
}

// What was read must not be older than what anybody knew.
static void looked(struct native_line *line, unsigned asked, const char *body) {
    struct viewer *viewer = line->state;
    struct world *world = &line->native->sim->world;
    uint64_t version = native_number_of(body, "version"), revision = native_number_of(body, "revision");
    bool unchanged = asked == ASKED_WATCH && !native_says(body, "changed");
    char value[32];
    if (revision < viewer->known.revision || version < viewer->known.version)
        world_fail(world, "config %s: h%u sees version %llu, revision %llu, and %llu was known when it asked",
                   spaces[viewer->space], line->native->number, (unsigned long long)version,
                   (unsigned long long)revision, (unsigned long long)viewer->known.revision);
    if (unchanged && viewer->watched < viewer->known.revision)
        world_fail(world, "config %s: h%u watches from revision %llu, and is not told of %llu", spaces[viewer->space],
                   line->native->number, (unsigned long long)viewer->watched,
                   (unsigned long long)viewer->known.revision);
    if (version == 0) return;
    native_text_of(body, "x", value, sizeof value);
    if (!unchanged && value[0] == 0) world_fail(world, "config %s: no item: %s", spaces[viewer->space], body);
    learn(line, viewer->space, version, revision, unchanged ? 0 : strtoull(value, NULL, 10));
    viewer->seen[viewer->space] = revision;
}

// ---- requests under a key

static void published(struct native_line *line, const char *body) {
    const struct viewer *viewer = line->state;
    struct configs *all = configs_of(line);
    const struct request *request = &all->requests[viewer->request];
    const struct space *space = &all->spaces[request->space];
    uint64_t version = native_number_of(body, "version");
    size_t value = viewer->request;
    if (request->kind == ROLLBACK) value = request->base < space->count ? space->releases[request->base].value : 0;
    if (request->kind == PUBLISH && !native_says(body, "changed"))
        world_fail(&line->native->sim->world, "config %s: request %zu is said to change nothing: %s",
                   spaces[request->space], viewer->request, body);
    if (request->expected != ANY && native_says(body, "changed") && version != request->expected + 1)
        world_fail(&line->native->sim->world, "config %s: request %zu expects version %llu, and made %llu",
                   spaces[request->space], viewer->request, (unsigned long long)request->expected,
                   (unsigned long long)version);
    learn(line, request->space, version, native_number_of(body, "revision"), value);
}

static void numbered(struct native_line *line, const char *body) {
    const struct viewer *viewer = line->state;
    struct configs *all = configs_of(line);
    uint64_t number = native_number_of(body, "first");
    all->numbers = native_grow(all->numbers, &all->number_capacity, all->request_count, sizeof *all->numbers);
    for (size_t i = 1; i <= all->request_count; i++)
        if (i != viewer->request && all->numbers[i] == number)
            world_fail(&line->native->sim->world, "once: requests %zu and %zu both have number %llu", i,
                       viewer->request, (unsigned long long)number);
    all->numbers[viewer->request] = number;
}

// The first answer of a key counts for all that follow. Of an error: its type.
static void one_answer(struct native_line *line, const char *body, bool good) {
    struct viewer *viewer = line->state;
    struct request *request = &configs_of(line)->requests[viewer->request];
    char text[sizeof request->answer];
    if (good)
        snprintf(text, sizeof text, "%s", body);
    else
        native_text_of(body, "type", text, sizeof text);
    if (request->answer[0] != 0 && strcmp(request->answer, text) != 0)
        world_fail(&line->native->sim->world, "once: request %zu was answered %.100s, and now %.100s", viewer->request,
                   request->answer, text);
    bool first = request->answer[0] == 0;
    memcpy(request->answer, text, sizeof text);
    if (viewer->again == viewer->request) viewer->again = 0;
    if (good && first && request->kind == NEXT) numbered(line, body);
    if (good && first && request->kind != NEXT) published(line, body);
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    const struct viewer *viewer = line->state;
    if (asked == ASKED_GET || asked == ASKED_WATCH) looked(line, asked, body);
    if (asked == ASKED_ONCE) one_answer(line, body, true);
    if (asked == ASKED_OTHER)
        world_fail(&line->native->sim->world, "once: another request was answered under the key of %zu: %.100s",
                   viewer->request, body);
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    const struct viewer *viewer = line->state;
    const struct request *request = &configs_of(line)->requests[viewer->request];
    if (asked == ASKED_OTHER) return native_is_error(body, "mismatch");
    if (asked == ASKED_GET) return viewer->known.version == 0 && native_is_error(body, "not-found");
    if (asked != ASKED_ONCE) return false;
    one_answer(line, body, false);
    if (native_is_error(body, "not-found")) return request->kind == ROLLBACK;
    return native_is_error(body, "version") && request->expected != ANY;
}

static void lost(struct native_line *line, unsigned asked, bool done) {
    struct viewer *viewer = line->state;
    if (asked == ASKED_ONCE) viewer->again = viewer->request;
}

static void ask_once(struct native_line *line, size_t number) {
    struct viewer *viewer = line->state;
    const struct request *request = &configs_of(line)->requests[number];
    char expected[48] = "";
    viewer->request = number;
    if (request->expected != ANY)
        snprintf(expected, sizeof expected, ",\"expected\":%llu", (unsigned long long)request->expected);
    snprintf(line->once, sizeof line->once, "r%zu", number);
    if (request->kind == NEXT)
        native_request(line, ASKED_ONCE, 0, "sequence/next", "{\"name\":\"once\"}");
    else if (request->kind == ROLLBACK)
        native_request(line, ASKED_ONCE, 0, "config/rollback", "{\"name\":\"%s\",\"version\":%llu%s}",
                       spaces[request->space], (unsigned long long)request->base, expected);
    else
        native_request(line, ASKED_ONCE, 0, "config/publish", "{\"name\":\"%s\",\"items\":{\"x\":\"%zu\"}%s}",
                       spaces[request->space], number, expected);
}

static void new_request(struct native_line *line) {
    struct configs *all = configs_of(line);
    struct native *native = line->native;
    size_t number = ++all->request_count;
    all->requests = native_grow(all->requests, &all->request_capacity, number, sizeof *all->requests);
    struct request *request = &all->requests[number];
    const struct space *space = &all->spaces[request->space = (uint32_t)native_draw(native, SPACES)];
    request->kind = native_draw(native, 3) == 0 ? NEXT : PUBLISH;
    request->expected = native_draw(native, 2) ? ANY : space->version - (space->version > 0 && !native_draw(native, 4));
    if (request->space == 1 && space->version > 1 && native_draw(native, 3) == 0) {
        request->kind = ROLLBACK;
        request->base = space->version - native_draw(native, space->version < 5 ? space->version : 5);
    }
    ask_once(line, number);
}

// A key that somebody used and was answered under: the same again, or another request.
static void repeat(struct native_line *line) {
    struct configs *all = configs_of(line);
    if (all->request_count == 0) return;
    size_t newest = all->request_count < 12 ? all->request_count : 12;
    size_t number = all->request_count - (size_t)native_draw(line->native, newest);
    bool other = all->requests[number].answer[0] != 0 && native_draw(line->native, 4) == 0;
    ((struct viewer *)line->state)->request = number;
    if (!other) {
        ask_once(line, number);
        return;
    }
    snprintf(line->once, sizeof line->once, "r%zu", number);
    native_request(line, ASKED_OTHER, 0, "sequence/next", "{\"name\":\"once\",\"count\":2}");
}

static void look(struct native_line *line) {
    struct viewer *viewer = line->state;
    struct native *native = line->native;
    uint32_t s = viewer->space = (uint32_t)native_draw(native, SPACES);
    const struct space *space = &configs_of(line)->spaces[s];
    viewer->known.version = space->version;
    viewer->known.revision = space->revision;
    viewer->watched = viewer->seen[s];
    if (native_draw(native, 2)) {
        native_request(line, ASKED_GET, 0, "config/get", "{\"name\":\"%s\"}", spaces[s]);
        return;
    }
    unsigned wait_ms = (unsigned)native_draw(native, 2000);
    native_request(line, ASKED_WATCH, wait_ms * 1000ull, "config/watch",
                   "{\"name\":\"%s\",\"revision\":%llu,\"wait_ms\":%u}", spaces[s], (unsigned long long)viewer->watched,
                   wait_ms);
    line->leaves = true;
}

static void step(struct native_line *line) {
    struct native *native = line->native;
    const struct viewer *viewer = line->state;
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    uint64_t kind = native_draw(native, 8);
    if (viewer->again != 0)
        ask_once(line, viewer->again);
    else if (kind < 3)
        new_request(line);
    else if (kind == 3)
        repeat(line);
    else
        look(line);
    line->unbound = true;
}

// ---- life

static void *open_configs(struct sim *sim) {
    return mem_zalloc(sizeof(struct configs));
}
static void close_configs(void *shared) {
    struct configs *all = shared;
    for (uint32_t s = 0; s < SPACES; s++) mem_free(all->spaces[s].releases);
    mem_free(all->requests);
    mem_free(all->numbers);
    mem_free(all);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct viewer));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}
static void died(struct native_line *line) {
    memset(line->state, 0, sizeof(struct viewer));
}

struct end {
    struct sim *sim;
    const struct configs *all;
    uint32_t space;
};

static void check_space(void *context, const struct config_info *info) {
    const struct end *end = context;
    const struct space *space = &end->all->spaces[end->space];
    if (info->revision < space->revision || info->newest < space->version)
        world_fail(&end->sim->world, "config %s: revision %llu at the end, and clients know %llu", spaces[end->space],
                   (unsigned long long)info->revision, (unsigned long long)space->revision);
}

static void check(struct sim *sim, void *shared) {
    struct end end = {sim, shared, 0};
    for (; end.space < SPACES; end.space++) {
        struct config_query query = {
            .page.name = bytes_of_text(spaces[end.space]), .space = check_space, .context = &end};
        struct result result;
        machine_query(sim->history.machine, MODEL_CONFIG, &query, &result);
        if (result.error != 0 && end.all->spaces[end.space].version > 0)
            world_fail(&sim->world, "config %s: it is gone at the end", spaces[end.space]);
    }
}

const struct native_workload native_workload_config = {.name = "config",
                                                       .open = open_configs,
                                                       .close = close_configs,
                                                       .begin = begin,
                                                       .end = end,
                                                       .step = step,
                                                       .answer = answer,
                                                       .refused = refused,
                                                       .lost = lost,
                                                       .died = died,
                                                       .check = check};
