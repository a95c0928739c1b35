// The shortest schedule found for a failure: fewer simulated seconds, then fewer faults. A fault is left out by its
// ordinal, and each draws from a prng of its own, so the others stay what they were; what they lead to may differ,
// which is why each try is run.
#include "sim/result.h"

#include <stdio.h>

#include "base/alloc.h"

struct shrinker {
    struct pool pool;
    struct run_result *best;
    uint64_t until_us;
    size_t tries;
};

static bool in_time(const struct shrinker *s) {
    return wall_us() < s->until_us;
}

// Ends the phase with faults where it failed.
static void end_there(struct sim_options *options, const struct run_result *r) {
    uint64_t seconds = r->failed_us / 1000000; // the world begins at its first second
    if (r->failed_us > 0 && seconds >= 1 && seconds < options->seconds) options->seconds = seconds;
}

static bool still_fails(struct shrinker *s, const struct sim_options *options) {
    struct run_result *r;
    pool_start(&s->pool, options);
    while ((r = pool_wait(&s->pool)) == NULL) continue;
    s->tries++;
    if (r->ok) return false;
    *s->best = *r;
    end_there(&s->best->options, r);
    return true;
}

static void drop_faults(struct shrinker *s) {
    size_t chunk = s->best->fault_count; // all of them first
    while (chunk > 0 && in_time(s)) {
        bool any = false;
        size_t at = 0;
        while (at < s->best->fault_count && in_time(s)) {
            struct sim_options options = s->best->options;
            for (size_t i = at; i < at + chunk && i < s->best->fault_count; i++)
                leave_out_ordinal(&options, s->best->faults[i].ordinal);
            if (still_fails(s, &options))
                any = true;
            else
                at += chunk;
        }
        if (chunk > 1)
            chunk = (chunk + 1) / 2;
        else if (!any)
            chunk = 0;
    }
}

void shrink(const struct run_result *failed, uint64_t seconds) {
    struct shrinker s = {.until_us = wall_us() + seconds * 1000000};
    pool_open(&s.pool, 1);
    s.best = mem_alloc(sizeof *s.best);
    *s.best = *failed;
    struct sim_options options = failed->options;
    options.quiet = true;
    options.trace = options.log = false;
    end_there(&options, failed);
    if (still_fails(&s, &options)) drop_faults(&s);
    const struct run_result *best = s.best;
    printf("sim: shortest schedule found in %zu tries: fails at %llu.%06llu s with %zu faults: %s\n", s.tries,
           (unsigned long long)(best->failed_us / 1000000), (unsigned long long)(best->failed_us % 1000000),
           best->fault_count, best->failure);
    for (size_t i = 0; i < best->fault_count; i++)
        printf("  %6llu.%06llu  #%u %s n%u\n", (unsigned long long)(best->faults[i].at_us / 1000000),
               (unsigned long long)(best->faults[i].at_us % 1000000), best->faults[i].ordinal,
               fault_names[best->faults[i].fault], best->faults[i].node);
    char line[4096];
    repeat_line(line, sizeof line, &best->options);
    printf("  repeat: %s\n", line);
    fflush(stdout);
    mem_free(s.best);
    pool_close(&s.pool);
}
