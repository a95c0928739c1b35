// What is done once under a key. What must hold, whatever fails:
//
//   nobody is told to run while another who was told so may rely on it; no one is told so once a result was known
//   a run's token is larger than every token that was known when it was asked for, and nobody else's
//   what an older run stores is refused once a newer one was known, and of all runs of a key one stores
//   everybody gets what that one stored
#include "model/idempotency/idempotency.h"
#include "sim/native.h"
#include <stdio.h>
#include <string.h>

#define RUNS_MAX 2u // of one client at a time

enum { ASKED_BEGIN = NATIVE_FIRST, ASKED_EXTEND, ASKED_END, ASKED_OTHER };

struct run { // as its client was told
    size_t key;
    uint64_t token, first_us, last_us; // last_us: until when nobody else may run
    uint32_t native, end;              // end: one of the ways below
};
enum { END_COMPLETE, END_FAIL, END_FREE };
struct key {
    bool stored;
    size_t by; // run
};
struct keys { // of the simulated world
    struct run *runs;
    size_t run_count, run_capacity;
    struct key *keys;
    size_t key_count, key_capacity;
    uint64_t newest; // token
};
struct job { // a run, or one that is asked for
    bool asked, runs, ending;
    char owner[24];
    size_t key, run;
    uint64_t lease_ms; // 0: with its session
    uint64_t sure_us, until_us;
};
struct doer {
    struct job jobs[RUNS_MAX];
    size_t job;             // that the request under way is for
    uint64_t floor;         // the largest token that was known
    uint64_t newer;         // of the same key: a newer run's, or 0
    uint64_t sure_us;       // as it was when it was asked
    bool fresh, was_stored; // BEGIN: its owner had not asked before; its result was known
    bool other;             // BEGIN: with another fingerprint; the key is known to be there
};

static struct run *run_of(struct native_line *line, const struct job *job) {
    return &((struct keys *)line->shared)->runs[job->run];
}

// ---- what was told together

static void check_pair(struct native_line *line, const struct run *a, const struct run *b) {
    const struct run *older = a->token < b->token ? a : b, *newer = older == a ? b : a;
    if (a == b || a->key != b->key || older->last_us < newer->first_us) return;
    world_fail(&line->native->sim->world,
               "key o%zu runs twice: h%u (token %llu) may still run at %llu us; h%u (token %llu) was told to run at "
               "%llu us",
               a->key, older->native, (unsigned long long)older->token, (unsigned long long)older->last_us,
               newer->native, (unsigned long long)newer->token, (unsigned long long)newer->first_us);
}

static void check_run(struct native_line *line, const struct run *run) {
    const struct keys *all = line->shared;
    for (size_t i = 0; i < all->run_count; i++) check_pair(line, run, &all->runs[i]);
}

static void heard(struct native_line *line, uint64_t sent_us) {
    struct doer *doer = line->state;
    for (size_t i = 0; i < RUNS_MAX; i++) {
        const struct job *job = &doer->jobs[i];
        if (!job->runs || job->lease_ms != 0) continue;
        struct run *run = run_of(line, job);
        if (sent_us <= run->last_us || (job->ending && run->end == END_FREE)) continue;
        run->last_us = sent_us;
        check_run(line, run);
    }
}

static void session_over(struct native_line *line) {
    struct doer *doer = line->state;
    for (size_t i = 0; i < RUNS_MAX; i++)
        if (doer->jobs[i].lease_ms == 0 && !doer->jobs[i].ending) doer->jobs[i] = (struct job){0};
}

static void died(struct native_line *line) {
    *(struct doer *)line->state = (struct doer){0};
}

// ---- answers

static uint64_t sure_until(const struct native_line *line, const struct job *job) { // clocks run wrong by some percent
    return line->asked_us + job->lease_ms * 900;
}

static void runs(struct native_line *line, const char *body) {
    struct doer *doer = line->state;
    struct job *job = &doer->jobs[doer->job];
    struct keys *all = line->shared;
    struct native *native = line->native;
    struct world *world = &native->sim->world;
    uint64_t token = native_number_of(body, "token"), sent_us = native_sent_us(line);
    if (doer->was_stored)
        world_fail(world, "key o%zu: h%u was told to run, and its result was known when it asked", job->key,
                   native->number);
    if (doer->fresh && token <= doer->floor)
        world_fail(world, "key o%zu: h%u got token %llu, and %llu was known when it asked", job->key, native->number,
                   (unsigned long long)token, (unsigned long long)doer->floor);
    for (size_t i = 0; i < all->run_count; i++)
        if (all->runs[i].token == token)
            world_fail(world, "key o%zu: h%u got token %llu, which h%u was told before", job->key, native->number,
                       (unsigned long long)token, all->runs[i].native);
    if (all->run_count == all->run_capacity) {
        all->run_capacity = all->run_capacity == 0 ? 64 : all->run_capacity * 2;
        all->runs = mem_realloc(all->runs, all->run_capacity * sizeof *all->runs);
    }
    uint64_t way = native_draw(native, 8);
    job->runs = true;
    job->run = all->run_count;
    job->sure_us = sure_until(line, job);
    job->until_us = native_now_us(native) + native_draw(native, 2500000);
    all->runs[all->run_count++] = (struct run){.key = job->key,
                                               .token = token,
                                               .first_us = sent_us,
                                               .last_us = job->lease_ms == 0 ? sent_us : job->sure_us,
                                               .native = native->number,
                                               .end = way == 0   ? END_FREE
                                                      : way == 1 ? END_FAIL
                                                                 : END_COMPLETE};
    if (token > all->newest) all->newest = token;
    check_run(line, run_of(line, job));
}

// What is stored is known now: by whom, and nobody else's.
static void known(struct native_line *line, size_t at, size_t run) {
    struct keys *all = line->shared;
    struct key *key = &all->keys[at];
    if (key->stored && key->by != run)
        world_fail(&line->native->sim->world, "key o%zu: two runs stored their results: tokens %llu and %llu", at,
                   (unsigned long long)all->runs[key->by].token, (unsigned long long)all->runs[run].token);
    key->stored = true;
    key->by = run;
}

static void stored(struct native_line *line, const char *body) {
    struct doer *doer = line->state;
    size_t at = doer->jobs[doer->job].key, run = native_number_of(body, "status");
    const struct keys *all = line->shared;
    char text[32], wanted[32];
    native_text_of(body, "body", text, sizeof text);
    snprintf(wanted, sizeof wanted, "r%zu", run);
    if (run >= all->run_count || all->runs[run].key != at || strcmp(text, wanted) != 0 ||
        native_says(body, "failed") != (all->runs[run].end == END_FAIL) || all->runs[run].end == END_FREE) {
        world_fail(&line->native->sim->world, "key o%zu: h%u got what none of its runs stores: %s", at,
                   line->native->number, body);
        return;
    }
    known(line, at, run);
}

static void ended(struct native_line *line, const char *body) {
    struct doer *doer = line->state;
    struct job *job = &doer->jobs[doer->job];
    const struct run *run = run_of(line, job);
    if (doer->newer != 0)
        world_fail(&line->native->sim->world,
                   "key o%zu: what h%u gave under token %llu counted, and %llu was known when it came", job->key,
                   line->native->number, (unsigned long long)run->token, (unsigned long long)doer->newer);
    if (run->end != END_FREE) known(line, job->key, job->run);
    *job = (struct job){0};
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct doer *doer = line->state;
    struct job *job = &doer->jobs[doer->job];
    if (!line->unbound) heard(line, native_sent_us(line));
    if (asked == ASKED_BEGIN) {
        char outcome[16];
        native_text_of(body, "outcome", outcome, sizeof outcome);
        if (doer->other)
            world_fail(&line->native->sim->world, "key o%zu: another request was answered under it: %s", job->key,
                       body);
        if (strcmp(outcome, "run") == 0) {
            runs(line, body);
            return;
        }
        stored(line, body);
        *job = (struct job){0};
    }
    if (asked == ASKED_END) ended(line, body);
    if (asked == ASKED_OTHER)
        world_fail(&line->native->sim->world, "key o%zu: a second result was stored: %s", job->key, body);
    if (asked != ASKED_EXTEND || !job->runs) return;
    struct run *run = run_of(line, job);
    job->sure_us = run->last_us = sure_until(line, job);
    check_run(line, run);
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    struct doer *doer = line->state;
    struct job *job = &doer->jobs[doer->job];
    bool not_held = native_is_error(body, "not-held");
    if (asked == ASKED_OTHER) {
        *job = (struct job){0};
        return not_held || native_is_error(body, "already");
    }
    if (asked == ASKED_END || asked == ASKED_EXTEND) {
        // A lost `fail` that frees the key may be why.
        bool early =
            not_held && native_sent_us(line) < doer->sure_us && !(job->ending && run_of(line, job)->end == END_FREE);
        if (early && asked == ASKED_EXTEND && job->ending) early = false; // stored meanwhile
        if (early)
            world_fail(&line->native->sim->world,
                       "key o%zu: h%u may not end its run (token %llu) before %llu us, and its lease lasts to %llu us",
                       job->key, line->native->number, (unsigned long long)run_of(line, job)->token,
                       (unsigned long long)native_sent_us(line), (unsigned long long)doer->sure_us);
        *job = (struct job){0};
        return not_held;
    }
    *job = (struct job){0};
    if (native_is_error(body, "mismatch")) return doer->other;
    return native_is_error(body, "in-progress") || native_is_error(body, "timed-out") ||
           native_is_error(body, "cancelled");
}

static void lost(struct native_line *line, unsigned asked, bool done) {
    struct doer *doer = line->state;
    struct job *job = &doer->jobs[doer->job];
    if (asked == ASKED_OTHER) *job = (struct job){0};
    // A call that is not asked again: its run goes on until its lease ends.
    if (asked == ASKED_BEGIN && native_draw(line->native, 3) == 0) *job = (struct job){0};
}

// ---- requests

static void session_json(const struct native_line *line, const struct job *job, char *out, size_t size) {
    out[0] = 0;
    if (job->lease_ms == 0) snprintf(out, size, ",\"session\":\"%s\"", line->native->session);
}

static size_t draw_key(struct native_line *line) {
    struct keys *all = line->shared;
    if (all->key_count > 0 && native_draw(line->native, 5) > 0) {
        size_t newest = all->key_count < 3 ? all->key_count : 3;
        return all->key_count - 1 - native_draw(line->native, newest);
    }
    if (all->key_count == all->key_capacity) {
        all->key_capacity = all->key_capacity == 0 ? 64 : all->key_capacity * 2;
        all->keys = mem_realloc(all->keys, all->key_capacity * sizeof *all->keys);
    }
    all->keys[all->key_count] = (struct key){0};
    return all->key_count++;
}

static void begin_job(struct native_line *line, struct job *job) {
    static const unsigned waits[] = {0, 300, 3000};
    struct doer *doer = line->state;
    struct native *native = line->native;
    char session[96];
    unsigned wait_ms = waits[native_draw(native, 3)];
    doer->fresh = !job->asked;
    doer->other = false;
    if (!job->asked) {
        job->key = draw_key(line);
        job->lease_ms = native_draw(native, 3) == 0 ? 0 : 500 + native_draw(native, 3000);
        job->asked = true;
        native_owner(native, job->owner, sizeof job->owner);
        const struct key *key = &((struct keys *)line->shared)->keys[job->key];
        doer->other = key->stored && native_draw(native, 8) == 0;
    }
    doer->was_stored = ((struct keys *)line->shared)->keys[job->key].stored;
    doer->floor = ((struct keys *)line->shared)->newest;
    session_json(line, job, session, sizeof session);
    native_request(line, ASKED_BEGIN, wait_ms * 1000ull, "idempotency/begin",
                   "{\"key\":\"o%zu\",\"fingerprint\":\"%s\",\"owner\":\"%s\",\"lease_ms\":%llu,\"wait_ms\":%u%s}",
                   job->key, doer->other ? "other" : "f", job->owner, (unsigned long long)job->lease_ms, wait_ms,
                   session);
    line->leaves = true;
    line->unbound = job->lease_ms != 0;
}

static void extend(struct native_line *line, struct job *job) {
    native_request(line, ASKED_EXTEND, 0, "idempotency/extend", "{\"key\":\"o%zu\",\"token\":%llu,\"lease_ms\":%llu}",
                   job->key, (unsigned long long)run_of(line, job)->token, (unsigned long long)job->lease_ms);
    line->unbound = true;
}

// The result names its run. other: another one, under the token whose result was stored.
static void end_job(struct native_line *line, struct job *job, bool other) {
    static const char *const operations[] = {
        [END_COMPLETE] = "idempotency/complete", [END_FAIL] = "idempotency/fail", [END_FREE] = "idempotency/fail"};
    struct run *run = run_of(line, job);
    uint64_t now = native_now_us(line->native);
    job->ending = true;
    if (run->end == END_FREE && run->last_us > now) run->last_us = now;
    native_request(line, other ? ASKED_OTHER : ASKED_END, 0, operations[run->end],
                   "{\"key\":\"o%zu\",\"token\":%llu,\"status\":%zu,\"body\":\"%s%zu\"%s}", job->key,
                   (unsigned long long)run->token, job->run, other ? "x" : "r", job->run,
                   run->end == END_FAIL ? ",\"store\":true" : "");
    line->unbound = true;
}

static bool care(struct native_line *line) {
    struct doer *doer = line->state;
    const struct keys *all = line->shared;
    for (size_t i = 0; i < RUNS_MAX; i++) {
        struct job *job = &doer->jobs[i];
        bool over = job->runs && (job->ending || native_now_us(line->native) >= job->until_us);
        bool extends = job->runs && !over && job->lease_ms != 0 && native_draw(line->native, 10) == 0;
        if (!over && !extends && (!job->asked || job->runs)) continue;
        doer->job = i;
        doer->sure_us = job->lease_ms == 0 ? 0 : job->sure_us;
        doer->newer = 0;
        for (size_t k = 0; job->runs && k < all->run_count; k++)
            if (all->runs[k].key == job->key && all->runs[k].token > run_of(line, job)->token)
                doer->newer = all->runs[k].token;
        if (extends)
            extend(line, job);
        else if (over)
            end_job(line, job, false);
        else
            begin_job(line, job);
        return true;
    }
    return false;
}

// Under a token of whomever: another result than the one that was stored.
static void end_again(struct native_line *line) {
    struct doer *doer = line->state;
    const struct keys *all = line->shared;
    if (all->run_count == 0) return;
    size_t run = native_draw(line->native, all->run_count);
    if (!all->keys[all->runs[run].key].stored) return;
    struct job *job = &doer->jobs[doer->job];
    *job = (struct job){.key = all->runs[run].key, .run = run};
    end_job(line, job, true);
}

static void step(struct native_line *line) {
    struct native *native = line->native;
    struct doer *doer = line->state;
    if (care(line)) return;
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    doer->job = native_draw(native, RUNS_MAX);
    if (doer->jobs[doer->job].asked) return;
    if (native_draw(native, 8) == 0)
        end_again(line);
    else
        begin_job(line, &doer->jobs[doer->job]);
}

// ---- life

static void *open_keys(struct sim *sim) {
    return mem_zalloc(sizeof(struct keys));
}
static void close_keys(void *shared) {
    struct keys *all = shared;
    mem_free(all->runs);
    mem_free(all->keys);
    mem_free(all);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct doer));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

struct end {
    struct sim *sim;
    const struct keys *all;
};

static void check_key(void *context, const struct idempotency_info *info) {
    const struct end *end = context;
    for (size_t i = 0; i < end->all->key_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "o%zu", i);
        if (!end->all->keys[i].stored || !bytes_equal(info->key, bytes_of_text(name))) continue;
        if (info->outcome != IDEMPOTENCY_STORED || info->status != end->all->keys[i].by)
            world_fail(&end->sim->world, "key o%zu: what run %zu stored is not there at the end", i,
                       end->all->keys[i].by);
    }
}

static void check(struct sim *sim, void *shared) {
    struct end end = {sim, shared};
    struct idempotency_query query = {.page = {.max = SIZE_MAX}, .key = check_key, .context = &end};
    struct result result;
    machine_query(sim->history.machine, MODEL_IDEMPOTENCY, &query, &result);
}

const struct native_workload native_workload_idempotency = {.name = "idempotency",
                                                            .open = open_keys,
                                                            .close = close_keys,
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
