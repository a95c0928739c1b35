// Elections: clients campaign under their sessions, lead for a while, say what they are, resign; all look who leads.
// What must hold, whatever fails:
//
//   nobody is told that he lives, or that he leads, once another was told that he leads; tokens grow
//   a leader who has lost the lead proclaims nothing
//   whoever looks never sees an older leader or value than was known when he asked; a version is one leader's, and one
//   value
//   an ended session leads nothing
#include "model/lock/lock.h"
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASKED_CAMPAIGN = NATIVE_FIRST, ASKED_RESIGN, ASKED_PROCLAIM, ASKED_LOOK };

static const char *const names[] = {"e0", "e1"};
#define ELECTIONS 2u

struct lead { // as clients were told
    uint64_t token, first_us, last_us;
    uint32_t native;
};
struct version {
    uint64_t version, token, value; // value 0: not known
};
struct election {
    struct lead *leads;
    size_t count, capacity;
    struct version *versions;
    size_t version_count, version_capacity;
    uint64_t token, version; // the newest that anybody was told
};
struct elections { // of the run
    struct election elections[ELECTIONS];
    uint64_t values;
};
struct slot {
    bool leads, resigning, unsettled; // unsettled: a lost campaign may still come, wait, or lead
    uint64_t token, until_us, seen;
    size_t at;
};
struct candidate { // of one client
    struct slot slots[ELECTIONS];
    // Of the request under way:
    uint32_t election;
    uint64_t token, version, value, own; // token, version: the newest that anybody knew; own: PROCLAIM's token
    bool fresh;
};

static struct election *election_of(struct native_line *line, uint32_t election) {
    return &((struct elections *)line->shared)->elections[election];
}

// ---- who leads

static void check_alone(struct native_line *line, uint32_t e, const struct lead *lead) {
    const struct election *election = election_of(line, e);
    for (size_t i = 0; i < election->count; i++) {
        const struct lead *other = &election->leads[i];
        const struct lead *old = other->token < lead->token ? other : lead, *new = old == other ? lead : other;
        if (old->token == new->token || old->last_us < new->first_us) continue;
        world_fail(&line->native->sim->world,
                   "election %s: two lead: h%u (token %llu) still at %llu us, and h%u (token %llu) from %llu us on",
                   names[e], old->native, (unsigned long long)old->token, (unsigned long long)old->last_us, new->native,
                   (unsigned long long)new->token, (unsigned long long)new->first_us);
    }
}

static void heard(struct native_line *line, uint64_t sent_us) {
    const struct candidate *candidate = line->state;
    for (uint32_t e = 0; e < ELECTIONS; e++) {
        if (!candidate->slots[e].leads) continue;
        struct lead *lead = &election_of(line, e)->leads[candidate->slots[e].at];
        if (sent_us <= lead->last_us) continue;
        lead->last_us = sent_us;
        check_alone(line, e, lead);
    }
}

static void session_over(struct native_line *line) {
    struct candidate *candidate = line->state;
    for (uint32_t e = 0; e < ELECTIONS; e++) candidate->slots[e] = (struct slot){.seen = candidate->slots[e].seen};
}

static void died(struct native_line *line) {
    memset(line->state, 0, sizeof(struct candidate));
}

static void is_version(struct native_line *line, uint64_t version, uint64_t token, uint64_t value) {
    struct candidate *candidate = line->state;
    struct election *election = election_of(line, candidate->election);
    struct world *world = &line->native->sim->world;
    if (token > election->token) election->token = token;
    if (version > election->version) election->version = version;
    for (size_t i = 0; i < election->version_count; i++) {
        const struct version *known = &election->versions[i];
        bool same = known->version == version;
        if (same ? known->token == token && known->value == value
                 : (known->version < version) == (known->token < token) || known->token == token)
            continue;
        world_fail(world, "election %s: version %llu is token %llu and value %llu, and %llu was token %llu and %llu",
                   names[candidate->election], (unsigned long long)version, (unsigned long long)token,
                   (unsigned long long)value, (unsigned long long)known->version, (unsigned long long)known->token,
                   (unsigned long long)known->value);
        return;
    }
    election->versions = native_grow(election->versions, &election->version_capacity, election->version_count,
                                     sizeof *election->versions);
    election->versions[election->version_count++] = (struct version){version, token, value};
}

static void elected(struct native_line *line, uint64_t token) {
    struct candidate *candidate = line->state;
    struct native *native = line->native;
    struct slot *slot = &candidate->slots[candidate->election];
    struct election *election = election_of(line, candidate->election);
    uint64_t sent_us = native_sent_us(line);
    if (candidate->fresh && token <= candidate->token)
        world_fail(&native->sim->world, "election %s: h%u leads with token %llu, and %llu was known when it asked",
                   names[candidate->election], native->number, (unsigned long long)token,
                   (unsigned long long)candidate->token);
    *slot = (struct slot){.leads = true,
                          .token = token,
                          .seen = slot->seen,
                          .until_us = native_now_us(native) + native_draw(native, 2000000),
                          .at = election->count};
    election->leads = native_grow(election->leads, &election->capacity, election->count, sizeof *election->leads);
    election->leads[election->count++] = (struct lead){token, sent_us, sent_us, native->number};
    check_alone(line, candidate->election, &election->leads[slot->at]);
}

// ---- answers

static void looked(struct native_line *line, const char *body) {
    struct candidate *candidate = line->state;
    uint64_t version = native_number_of(body, "version"), token = native_number_of(body, "token");
    char value[32];
    if (!native_says(body, "elected")) return;
    if (version < candidate->version || token < candidate->token)
        world_fail(&line->native->sim->world,
                   "election %s: h%u sees version %llu, token %llu, and %llu, %llu was known when it asked",
                   names[candidate->election], line->native->number, (unsigned long long)version,
                   (unsigned long long)token, (unsigned long long)candidate->version,
                   (unsigned long long)candidate->token);
    native_text_of(body, "value", value, sizeof value);
    is_version(line, version, token, strtoull(value, NULL, 10));
    candidate->slots[candidate->election].seen = version;
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct candidate *candidate = line->state;
    struct slot *slot = &candidate->slots[candidate->election];
    if (asked == ASKED_LOOK) {
        looked(line, body);
        return;
    }
    heard(line, native_sent_us(line));
    if (asked == ASKED_CAMPAIGN) elected(line, native_number_of(body, "token"));
    if (asked == ASKED_RESIGN) *slot = (struct slot){.seen = slot->seen};
    if (asked != ASKED_PROCLAIM) return;
    if (candidate->token > candidate->own)
        world_fail(&line->native->sim->world, "election %s: h%u proclaims under token %llu, and %llu was known",
                   names[candidate->election], line->native->number, (unsigned long long)candidate->own,
                   (unsigned long long)candidate->token);
    is_version(line, native_number_of(body, "version"), candidate->own, candidate->value);
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    struct candidate *candidate = line->state;
    struct slot *slot = &candidate->slots[candidate->election];
    if (asked == ASKED_CAMPAIGN) // deadlock: each leads one and waits for the other
        return native_is_error(body, "busy") || native_is_error(body, "timed-out") || native_is_error(body, "deadlock");
    if (asked != ASKED_RESIGN && asked != ASKED_PROCLAIM) return false;
    if (asked == ASKED_PROCLAIM || !slot->resigning)
        world_fail(&line->native->sim->world, "election %s: h%u leads (token %llu), and is told that it does not",
                   names[candidate->election], line->native->number, (unsigned long long)slot->token);
    *slot = (struct slot){.seen = slot->seen};
    return native_is_error(body, "not-held");
}

static void lost(struct native_line *line, unsigned asked, bool done) {
    struct candidate *candidate = line->state;
    if (asked == ASKED_CAMPAIGN) candidate->slots[candidate->election].unsettled = true;
    if (asked == ASKED_RESIGN) candidate->slots[candidate->election].resigning = true;
}

// ---- requests

static void of_leader(struct native_line *line, struct slot *slot) {
    struct candidate *candidate = line->state;
    struct native *native = line->native;
    const char *name = names[candidate->election];
    candidate->own = slot->token;
    if (slot->resigning || native_now_us(native) >= slot->until_us) {
        slot->leads = false;
        slot->until_us = 0;
        native_request(line, ASKED_RESIGN, 0, "election/resign", "{\"name\":\"%s\",\"session\":\"%s\",\"token\":%llu}",
                       name, native->session, (unsigned long long)slot->token);
        return;
    }
    candidate->value = ++((struct elections *)line->shared)->values;
    native_request(line, ASKED_PROCLAIM, 0, "election/proclaim",
                   "{\"name\":\"%s\",\"session\":\"%s\",\"token\":%llu,\"value\":\"%llu\"}", name, native->session,
                   (unsigned long long)slot->token, (unsigned long long)candidate->value);
}

static void step(struct native_line *line) {
    struct native *native = line->native;
    struct candidate *candidate = line->state;
    uint32_t e = candidate->election = (uint32_t)native_draw(native, ELECTIONS);
    struct slot *slot = &candidate->slots[e];
    unsigned wait_ms = native_draw(native, 2) ? 0 : (unsigned)native_draw(native, 2500);
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    candidate->token = election_of(line, e)->token;
    candidate->version = election_of(line, e)->version;
    if (native_draw(native, 3) == 0) {
        if (wait_ms == 0)
            native_request(line, ASKED_LOOK, 0, "election/leader", "{\"name\":\"%s\"}", names[e]);
        else
            native_request(line, ASKED_LOOK, wait_ms * 1000ull, "election/observe",
                           "{\"name\":\"%s\",\"version\":%llu,\"wait_ms\":%u}", names[e],
                           (unsigned long long)slot->seen, wait_ms);
        line->unbound = line->leaves = true;
    } else if (slot->token != 0) {
        of_leader(line, slot);
    } else {
        candidate->fresh = !slot->unsettled;
        native_request(line, ASKED_CAMPAIGN, wait_ms * 1000ull, "election/campaign",
                       "{\"name\":\"%s\",\"session\":\"%s\",\"wait_ms\":%u,\"delay_ms\":%u}", names[e], native->session,
                       wait_ms, (unsigned)native_draw(native, 2) * 300);
        line->leaves = true;
    }
}

// ---- life

static void *open_elections(struct sim *sim) {
    return mem_zalloc(sizeof(struct elections));
}
static void close_elections(void *shared) {
    struct elections *all = shared;
    for (uint32_t e = 0; e < ELECTIONS; e++) {
        mem_free(all->elections[e].leads);
        mem_free(all->elections[e].versions);
    }
    mem_free(all);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct candidate));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

static void check_claim(void *context, const struct lock_claim_info *claim) {
    struct sim *sim = context;
    const struct history_session *session = history_session(&sim->history, claim->session);
    if (claim->mode == LOCK_ELECTION && (session == NULL || session->ended_index != 0))
        world_fail(&sim->world, "session %llu has ended, and a claim of it to an election is left",
                   (unsigned long long)claim->session);
}

static void check(struct sim *sim, void *shared) {
    for (uint32_t e = 0; e < ELECTIONS; e++) {
        struct lock_query query = {.name = bytes_of_text(names[e]), .claim = check_claim, .context = sim};
        struct result result;
        machine_query(sim->history.machine, MODEL_LOCK, &query, &result);
    }
}

const struct native_workload native_workload_election = {.name = "election",
                                                         .open = open_elections,
                                                         .close = close_elections,
                                                         .begin = begin,
                                                         .end = end,
                                                         .step = step,
                                                         .answer = answer,
                                                         .refused = refused,
                                                         .lost = lost,
                                                         .heard = heard,
                                                         .session_over = session_over,
                                                         .died = died,
                                                         .check = check};
