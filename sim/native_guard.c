// Guarded facts. What must hold, whatever fails:
//
//   a one-time token is consumed by one, and everybody is told by whom
//   a state changes from a named one once, its versions grow, and a request's retry is the same change
//   a counter never falls below its floor, and is the sum of what was acknowledged, and of what is unknown at most
//   a version is overwritten once; who comes with an older fencing token than was known is refused
#include "model/guard/guard.h"
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTITIES 2u
#define COUNTERS 3u
#define NAME_BYTES 40u

enum { ASKED_ISSUE = NATIVE_FIRST, ASKED_CONSUME, ASKED_CHANGE, ASKED_ADD, ASKED_PUT, ASKED_FENCED, ASKED_GET };

struct token {
    char text[NAME_BYTES], winner[24]; // winner empty: nobody was told
};
struct change {
    uint32_t entity;
    uint64_t from, to, version; // states are numbers, 0: there is none yet
};
struct put {
    uint64_t expected, version;
};
struct facts { // of the run
    struct token *tokens;
    size_t token_count, token_capacity;
    struct change *changes;
    size_t change_count, change_capacity;
    struct put *puts;
    size_t put_count, put_capacity;
    struct {
        uint64_t state, version;
    } entities[ENTITIES];
    struct {
        int64_t told, low, high; // low, high: what is unknown may have made of it
    } counters[COUNTERS];
    uint64_t states, requests, version, fence, fenced_version;
};
struct addition {
    uint64_t request; // 0: none
    int64_t deltas[COUNTERS], values[COUNTERS];
    bool known; // was answered
};
struct guarded { // of one client: what it asks, and asks again until it is answered
    struct {
        bool open, wrong;
        size_t token;
        char caller[24];
    } consume;
    struct {
        bool open, again;
        uint32_t entity;
        uint64_t from, to;
    } change;
    struct addition add;
    bool add_open, add_counted;     // counted: among what is unknown
    uint64_t version, token, floor; // of the request under way; floor: what was known when it was asked
};

static void *grow(void *array, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity) return array;
    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    return mem_realloc(array, *capacity * size);
}

// ---- tokens

static void issued(struct native_line *line, const char *body) {
    struct facts *facts = line->shared;
    const char *at = strchr(body, '[');
    for (at = at ? strchr(at, '"') : NULL; at != NULL; at = strchr(at, '"')) {
        size_t len = strcspn(++at, "\"");
        facts->tokens = grow(facts->tokens, &facts->token_capacity, facts->token_count, sizeof *facts->tokens);
        struct token *token = &facts->tokens[facts->token_count++];
        token->winner[0] = 0;
        snprintf(token->text, sizeof token->text, "%.*s", (int)len, at);
        at += len + 1;
    }
}

static void consumed(struct native_line *line, const char *by) {
    struct guarded *guarded = line->state;
    struct token *token = &((struct facts *)line->shared)->tokens[guarded->consume.token];
    guarded->consume.open = false;
    if (token->winner[0] != 0 && strcmp(token->winner, by) != 0)
        world_fail(&line->native->sim->world, "token %s was consumed twice: by %s and by %s", token->text,
                   token->winner, by);
    snprintf(token->winner, sizeof token->winner, "%s", by);
}

static void consume(struct native_line *line) {
    struct guarded *guarded = line->state;
    const struct facts *facts = line->shared;
    struct native *native = line->native;
    if (!guarded->consume.open) {
        if (facts->token_count == 0) return;
        size_t newest = facts->token_count < 6 ? facts->token_count : 6;
        guarded->consume.token = facts->token_count - 1 - native_draw(native, newest);
        guarded->consume.open = true;
        guarded->consume.wrong = native_draw(native, 10) == 0;
        native_owner(native, guarded->consume.caller, sizeof guarded->consume.caller);
    }
    native_request(
        line, ASKED_CONSUME, 0, "guard/token_consume", "{\"token\":\"%s\",\"purpose\":\"%s\",\"caller\":\"%s\"}",
        facts->tokens[guarded->consume.token].text, guarded->consume.wrong ? "q" : "p", guarded->consume.caller);
}

// ---- states

static uint64_t state_in(const char *body) {
    char state[32];
    native_text_of(body, "state", state, sizeof state);
    return state[0] == 't' ? strtoull(state + 1, NULL, 10) : 0;
}

static void seen_state(struct native_line *line, uint64_t state, uint64_t version) {
    struct guarded *guarded = line->state;
    struct facts *facts = line->shared;
    uint32_t entity = guarded->change.entity;
    if (version > facts->entities[entity].version) {
        facts->entities[entity].version = version;
        facts->entities[entity].state = state;
    }
}

static void changed(struct native_line *line, const char *body) {
    struct guarded *guarded = line->state;
    struct facts *facts = line->shared;
    struct world *world = &line->native->sim->world;
    uint64_t version = native_number_of(body, "version"), to = guarded->change.to, from = guarded->change.from;
    bool repeated = native_says(body, "repeated");
    if (state_in(body) != to || (repeated && !guarded->change.again))
        world_fail(world, "entity e%u: h%u asked for its first change to t%llu, and was told %s",
                   guarded->change.entity, line->native->number, (unsigned long long)to, body);
    if (!guarded->change.again && version <= guarded->floor)
        world_fail(world, "entity e%u: the change to t%llu got version %llu, and %llu was known when it was asked",
                   guarded->change.entity, (unsigned long long)to, (unsigned long long)version,
                   (unsigned long long)guarded->floor);
    for (size_t i = 0; i < facts->change_count; i++) {
        const struct change *other = &facts->changes[i];
        if (other->entity == guarded->change.entity && other->from == from)
            world_fail(world, "entity e%u changed from t%llu twice: to t%llu and to t%llu", other->entity,
                       (unsigned long long)from, (unsigned long long)other->to, (unsigned long long)to);
    }
    facts->changes = grow(facts->changes, &facts->change_capacity, facts->change_count, sizeof *facts->changes);
    facts->changes[facts->change_count++] = (struct change){guarded->change.entity, from, to, version};
    seen_state(line, to, version);
    guarded->change.open = false;
}

static bool not_changed(struct native_line *line, const char *body) {
    struct guarded *guarded = line->state;
    guarded->change.open = false;
    if (native_is_error(body, "not-found")) {
        if (guarded->floor != 0)
            world_fail(&line->native->sim->world, "entity e%u is not found, and its version %llu was known",
                       guarded->change.entity, (unsigned long long)guarded->floor);
        return true;
    }
    if (!native_is_error(body, "state")) return false;
    uint64_t version = native_number_of(body, "version");
    if (version < guarded->floor || state_in(body) == guarded->change.from)
        world_fail(&line->native->sim->world,
                   "entity e%u: the change from t%llu was refused, with version %llu known when it was asked: %s",
                   guarded->change.entity, (unsigned long long)guarded->change.from, (unsigned long long)guarded->floor,
                   body);
    seen_state(line, state_in(body), version);
    return true;
}

static void change(struct native_line *line) {
    struct guarded *guarded = line->state;
    struct facts *facts = line->shared;
    struct native *native = line->native;
    char from[32] = "";
    guarded->change.again = guarded->change.open;
    if (!guarded->change.open) {
        guarded->change.open = true;
        guarded->change.entity = (uint32_t)native_draw(native, ENTITIES);
        guarded->change.from = facts->entities[guarded->change.entity].state;
        if (native_draw(native, 8) == 0) guarded->change.from = native_draw(native, guarded->change.from + 1);
        guarded->change.to = ++facts->states;
    }
    guarded->floor = facts->entities[guarded->change.entity].version;
    if (guarded->change.from != 0)
        snprintf(from, sizeof from, ",\"from\":\"t%llu\"", (unsigned long long)guarded->change.from);
    native_request(line, ASKED_CHANGE, 0, "guard/entity_transition",
                   "{\"entity\":\"e%u\",\"to\":\"t%llu\",\"request\":\"r%llu\"%s}", guarded->change.entity,
                   (unsigned long long)guarded->change.to, (unsigned long long)guarded->change.to, from);
}

// ---- counters

static void count_unknown(struct native_line *line, bool add) {
    struct guarded *guarded = line->state;
    struct facts *facts = line->shared;
    if (guarded->add_counted == add) return;
    guarded->add_counted = add;
    for (size_t i = 0; i < COUNTERS; i++) {
        int64_t delta = add ? guarded->add.deltas[i] : -guarded->add.deltas[i];
        *(guarded->add.deltas[i] < 0 ? &facts->counters[i].low : &facts->counters[i].high) += delta;
    }
}

static int64_t value_in(const char *body, const char *name, bool *there) {
    char key[16];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(body, key);
    *there = at != NULL;
    return at == NULL ? 0 : strtoll(at + strlen(key), NULL, 10);
}

static void added(struct native_line *line, const char *body) {
    struct guarded *guarded = line->state;
    struct facts *facts = line->shared;
    struct world *world = &line->native->sim->world;
    bool repeated = native_says(body, "repeated");
    count_unknown(line, false);
    guarded->add_open = false;
    if (guarded->add.known != repeated && (guarded->add.known || guarded->version == 0))
        world_fail(world, "counters: h%u asks with request %llu %s, and was told %s", line->native->number,
                   (unsigned long long)guarded->add.request, guarded->add.known ? "again" : "first", body);
    for (size_t i = 0; i < COUNTERS; i++) {
        char name[8];
        bool there;
        snprintf(name, sizeof name, "c%zu", i);
        int64_t value = value_in(body, name, &there);
        if (guarded->add.deltas[i] == 0) continue;
        if (!there || value < 0) world_fail(world, "counter %s: its value is below its floor: %s", name, body);
        if (guarded->add.known && value != guarded->add.values[i])
            world_fail(world, "counter %s: request %llu was told %lld, and is told %lld now", name,
                       (unsigned long long)guarded->add.request, (long long)guarded->add.values[i], (long long)value);
        guarded->add.values[i] = value;
        if (!guarded->add.known) facts->counters[i].told += guarded->add.deltas[i];
    }
    guarded->add.known = true;
}

static bool not_added(struct native_line *line, const char *body) {
    struct guarded *guarded = line->state;
    char name[8];
    bool there;
    guarded->add_open = guarded->add_counted = false; // one that was lost may still come: it stays unknown
    if (!native_is_error(body, "below")) return false;
    native_text_of(body, "name", name, sizeof name);
    size_t at = name[0] == 'c' && name[1] < '0' + (int)COUNTERS ? (size_t)(name[1] - '0') : 0;
    int64_t value = value_in(body, "value", &there);
    if (value < 0 || value + guarded->add.deltas[at] >= 0 || guarded->add.known)
        world_fail(&line->native->sim->world, "counter %s: %lld was not added to it: %s", name,
                   (long long)guarded->add.deltas[at], body);
    guarded->add = (struct addition){0};
    return true;
}

static void add(struct native_line *line) {
    struct guarded *guarded = line->state;
    struct native *native = line->native;
    char deltas[128] = "", request[48] = "";
    size_t len = 0;
    guarded->version = guarded->add_open; // it asks again
    bool repeats = !guarded->add_open && guarded->add.known && guarded->add.request != 0 && native_draw(native, 6) == 0;
    if (!guarded->add_open && !repeats) {
        guarded->add = (struct addition){0};
        size_t from = native_draw(native, COUNTERS), to = native_draw(native, COUNTERS);
        guarded->add.deltas[from] = 0 - (int64_t)native_draw(native, 6);
        guarded->add.deltas[to] += 1 + (int64_t)native_draw(native, 5);
        if (guarded->add.deltas[to] == 0) guarded->add.deltas[to] = -1;
        if (native_draw(native, 4) > 0) guarded->add.request = ++((struct facts *)line->shared)->requests;
    }
    guarded->add_open = true;
    for (size_t i = 0; i < COUNTERS; i++)
        if (guarded->add.deltas[i] != 0)
            len += (size_t)snprintf(deltas + len, sizeof deltas - len, "%s\"c%zu\":%lld", len > 0 ? "," : "", i,
                                    (long long)guarded->add.deltas[i]);
    if (guarded->add.request != 0)
        snprintf(request, sizeof request, ",\"request\":\"a%llu\"", (unsigned long long)guarded->add.request);
    native_request(line, ASKED_ADD, 0, "guard/counter_add", "{\"deltas\":{%s}%s}", deltas, request);
}

static void add_lost(struct native_line *line, bool done) {
    struct guarded *guarded = line->state;
    if (guarded->add.known) { // it was answered once: what became of the repetition says nothing
        guarded->add_open = false;
        return;
    }
    if (done) count_unknown(line, true);
    if (guarded->add.request != 0) return;            // it asks again
    guarded->add_open = guarded->add_counted = false; // it stays unknown for ever
    guarded->add = (struct addition){0};
}

// ---- values

static void put(struct native_line *line) {
    struct guarded *guarded = line->state;
    struct facts *facts = line->shared;
    guarded->floor = guarded->version = facts->version;
    native_request(line, ASKED_PUT, 0, "guard/value_put", "{\"name\":\"v0\",\"value\":\"%llu\",\"version\":%llu}",
                   (unsigned long long)++facts->requests, (unsigned long long)guarded->version);
}

static void put_fenced(struct native_line *line) {
    struct guarded *guarded = line->state;
    struct facts *facts = line->shared;
    guarded->token = 1 + native_draw(line->native, facts->fence + 2);
    guarded->floor = facts->fence;
    native_request(line, ASKED_FENCED, 0, "guard/value_put", "{\"name\":\"v1\",\"value\":\"%llu\",\"token\":%llu}",
                   (unsigned long long)guarded->token, (unsigned long long)guarded->token);
}

static void get(struct native_line *line) {
    struct guarded *guarded = line->state;
    const struct facts *facts = line->shared;
    guarded->floor = facts->fence;
    guarded->version = facts->fenced_version;
    native_request(line, ASKED_GET, 0, "guard/value_get", "{\"name\":\"v1\"}");
}

static void was_put(struct native_line *line, const char *body) {
    struct guarded *guarded = line->state;
    struct facts *facts = line->shared;
    struct world *world = &line->native->sim->world;
    uint64_t version = native_number_of(body, "version");
    if (version <= guarded->floor)
        world_fail(world, "value v0 got version %llu, and %llu was known when it was asked",
                   (unsigned long long)version, (unsigned long long)guarded->floor);
    for (size_t i = 0; i < facts->put_count; i++)
        if (facts->puts[i].expected == guarded->version)
            world_fail(world, "value v0: its version %llu was overwritten twice: by %llu and by %llu",
                       (unsigned long long)guarded->version, (unsigned long long)facts->puts[i].version,
                       (unsigned long long)version);
    facts->puts = grow(facts->puts, &facts->put_capacity, facts->put_count, sizeof *facts->puts);
    facts->puts[facts->put_count++] = (struct put){guarded->version, version};
    if (version > facts->version) facts->version = version;
}

static bool not_put(struct native_line *line, const char *body) {
    struct guarded *guarded = line->state;
    struct facts *facts = line->shared;
    uint64_t version = native_number_of(body, "version");
    if (!native_is_error(body, "version")) return false;
    if (version == guarded->version || version < guarded->floor)
        world_fail(&line->native->sim->world, "value v0: version %llu was expected, %llu known: %s",
                   (unsigned long long)guarded->version, (unsigned long long)guarded->floor, body);
    if (version > facts->version) facts->version = version;
    return true;
}

static void was_fenced(struct native_line *line, const char *body) {
    struct guarded *guarded = line->state;
    struct facts *facts = line->shared;
    uint64_t version = native_number_of(body, "version");
    if (guarded->token < guarded->floor)
        world_fail(&line->native->sim->world, "value v1: h%u wrote with the old token %llu, and %llu was known",
                   line->native->number, (unsigned long long)guarded->token, (unsigned long long)guarded->floor);
    if (guarded->token > facts->fence) facts->fence = guarded->token;
    if (version > facts->fenced_version) facts->fenced_version = version;
}

static void was_got(struct native_line *line, const char *body) {
    struct guarded *guarded = line->state;
    uint64_t version = native_number_of(body, "version"), token = native_number_of(body, "token");
    if (version < guarded->version || token < guarded->floor)
        world_fail(&line->native->sim->world, "value v1 went back behind version %llu or token %llu: %s",
                   (unsigned long long)guarded->version, (unsigned long long)guarded->floor, body);
}

// ---- the workload

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct guarded *guarded = line->state;
    if (asked == ASKED_ISSUE) issued(line, body);
    if (asked == ASKED_CONSUME && guarded->consume.wrong)
        world_fail(&line->native->sim->world, "a token was consumed for another purpose than its own");
    if (asked == ASKED_CONSUME) consumed(line, guarded->consume.caller);
    if (asked == ASKED_CHANGE) changed(line, body);
    if (asked == ASKED_ADD) added(line, body);
    if (asked == ASKED_PUT) was_put(line, body);
    if (asked == ASKED_FENCED) was_fenced(line, body);
    if (asked == ASKED_GET) was_got(line, body);
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    struct guarded *guarded = line->state;
    char by[24];
    switch (asked) {
    case ASKED_CONSUME:
        guarded->consume.open = false;
        if (guarded->consume.wrong) return native_is_error(body, "mismatch");
        if (!native_is_error(body, "consumed")) return false;
        native_text_of(body, "by", by, sizeof by);
        consumed(line, by);
        return true;
    case ASKED_CHANGE:
        return not_changed(line, body);
    case ASKED_ADD:
        return not_added(line, body);
    case ASKED_PUT:
        return not_put(line, body);
    case ASKED_FENCED:
        return native_is_error(body, "old-token") && native_number_of(body, "token") > guarded->token;
    default:
        return asked == ASKED_GET && native_is_error(body, "not-found") && guarded->version == 0;
    }
}

static void lost(struct native_line *line, unsigned asked, bool done) {
    if (asked == ASKED_ADD) add_lost(line, done);
}

static void died(struct native_line *line) { // what it asked stays unknown
    *(struct guarded *)line->state = (struct guarded){0};
}

static void step(struct native_line *line) {
    struct native *native = line->native;
    native->next_us = native_now_us(native) + native_draw(native, 250000);
    switch (native_draw(native, 8)) {
    case 0:
        native_request(line, ASKED_ISSUE, 0, "guard/token_issue", "{\"purpose\":\"p\",\"count\":%u}",
                       1 + (unsigned)native_draw(native, 3));
        break;
    case 1:
    case 2:
        consume(line);
        break;
    case 3:
        change(line);
        break;
    case 4:
        put(line);
        break;
    case 5:
        put_fenced(line);
        break;
    case 6:
        get(line);
        break;
    default:
        add(line);
    }
    line->unbound = true;
}

static void *open_facts(struct sim *sim) {
    return mem_zalloc(sizeof(struct facts));
}
static void close_facts(void *shared) {
    struct facts *facts = shared;
    mem_free(facts->tokens);
    mem_free(facts->changes);
    mem_free(facts->puts);
    mem_free(facts);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct guarded));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

struct end {
    struct sim *sim;
    const struct facts *facts;
};

static void check_counter(void *context, const struct guard_counter_info *info) {
    const struct end *end = context;
    size_t at = info->name.len == 2 ? (size_t)(info->name.data[1] - '0') : COUNTERS;
    if (at >= COUNTERS) return;
    int64_t told = end->facts->counters[at].told;
    if (info->value < told + end->facts->counters[at].low || info->value > told + end->facts->counters[at].high)
        world_fail(&end->sim->world, "counter c%zu is %lld: clients were told of %lld, and of %lld..%lld nobody knows",
                   at, (long long)info->value, (long long)told, (long long)end->facts->counters[at].low,
                   (long long)end->facts->counters[at].high);
}

static void check(struct sim *sim, void *shared) {
    struct end end = {sim, shared};
    struct guard_query query = {.page = {.max = SIZE_MAX}, .counter = check_counter, .context = &end};
    struct result result;
    machine_query(sim->history.machine, MODEL_GUARD, &query, &result);
}

const struct native_workload native_workload_guard = {.name = "guard",
                                                      .open = open_facts,
                                                      .close = close_facts,
                                                      .begin = begin,
                                                      .end = end,
                                                      .step = step,
                                                      .answer = answer,
                                                      .refused = refused,
                                                      .lost = lost,
                                                      .died = died,
                                                      .check = check};
