// The simulator: whole clusters in one process and one thread, from the same objects as the server. docs/simulator.md.
#include "sim/result.h"
#include "sim/sim.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

#define SHRINK_SECONDS 60u
#define SHRINKS_MAX 3u // of the first failures of a run

struct run {
    struct sim_options options;
    uint64_t first, last, minutes, hours, shrink_seconds, jobs;
    const char *replay;
    bool states, proof_status, fresh;
};
struct tally {
    uint64_t passed, failed, operations, cpu_us, simulated_us;
    uint64_t faults[FAULT_COUNT], states[STATE_COUNT];
    struct op_counts operations_by_code[CLIENT_OPS_MAX];
};

// ---- printing

void repeat_line(char *out, size_t room, const struct sim_options *o) {
    size_t n = (size_t)snprintf(out, room, "make sim SEED=%llu SIM_ARGS=\"--seconds %llu", (unsigned long long)o->seed,
                                (unsigned long long)o->seconds);
    if (o->nodes != 0) n += (size_t)snprintf(out + n, room - n, " --nodes %u", o->nodes);
    if (o->clients != 0) n += (size_t)snprintf(out + n, room - n, " --clients %u", o->clients);
    if (!o->faults) n += (size_t)snprintf(out + n, room - n, " --calm");
    bool any = false;
    for (uint32_t i = 0; i < ORDINALS_MAX && n + 32 < room; i++) {
        if (!without_ordinal(o, i)) continue;
        uint32_t end = i;
        while (without_ordinal(o, end + 1)) end++;
        n += (size_t)snprintf(out + n, room - n, any ? ",%u" : " --without %u", i);
        if (end > i) n += (size_t)snprintf(out + n, room - n, "-%u", end);
        any = true;
        i = end;
    }
    snprintf(out + n, room - n, "\"");
}

bool without_parse(struct sim_options *options, const char *text) {
    while (*text != 0) {
        char *end;
        uint64_t first = strtoull(text, &end, 10), last = first;
        if (end == text) return false;
        if (*end == '-') {
            text = end + 1;
            last = strtoull(text, &end, 10);
            if (end == text) return false;
        }
        for (uint64_t i = first; i <= last && i < ORDINALS_MAX; i++) leave_out_ordinal(options, i);
        if (*end != 0 && *end != ',') return false;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

void print_faults(const uint64_t counts[FAULT_COUNT]) {
    for (int i = 0; i < FAULT_COUNT; i++)
        if (counts[i] > 0) printf(" %s=%llu", fault_names[i], (unsigned long long)counts[i]);
}

void print_states(const uint64_t states[STATE_COUNT]) {
    size_t missing = 0;
    for (int i = 0; i < STATE_COUNT; i++) {
        printf("  %-24s %10llu  %s\n", state_names[i].name, (unsigned long long)states[i], state_names[i].what);
        missing += states[i] == 0;
    }
    printf("states: %d of %d reached\n", STATE_COUNT - (int)missing, STATE_COUNT);
}

static uint64_t a_second(uint64_t count, uint64_t us) {
    return us == 0 ? 0 : count * 1000000 / us;
}

void print_result(const struct run_result *r) {
    if (r->finished) {
        size_t states = 0;
        for (int i = 0; i < STATE_COUNT; i++) states += r->states[i] > 0;
        printf("seed=%llu %s nodes=%llu clients=%llu seconds=%llu operations=%llu refused=%llu unknown=%llu "
               "entries=%llu leaders=%llu expired=%llu snapshots=%llu installed=%llu calm_ms=%llu states=%zu faults:",
               (unsigned long long)r->options.seed, r->ok ? "passed" : "FAILED", (unsigned long long)r->nodes,
               (unsigned long long)r->clients, (unsigned long long)(r->now_us / 1000000),
               (unsigned long long)r->operations, (unsigned long long)r->refused, (unsigned long long)r->unknown,
               (unsigned long long)r->entries, (unsigned long long)r->leaders, (unsigned long long)r->expired,
               (unsigned long long)r->snapshots, (unsigned long long)r->installed, (unsigned long long)r->calm_ms,
               states);
        print_faults(r->fault_counts);
        printf(" events=%llu trace=%016llx cpu_ms=%llu rate=%llu/s\n", (unsigned long long)r->events,
               (unsigned long long)r->trace, (unsigned long long)(r->cpu_us / 1000),
               (unsigned long long)a_second(r->operations, r->cpu_us));
    }
    if (r->ok) return;
    char line[4096];
    repeat_line(line, sizeof line, &r->options);
    printf("sim: FAILED seed=%llu at %llu.%06llu s: %s\n  repeat: %s\n", (unsigned long long)r->options.seed,
           (unsigned long long)(r->failed_us / 1000000), (unsigned long long)(r->failed_us % 1000000), r->failure,
           line);
}

static void count(struct tally *tally, const struct run_result *r) {
    if (r->ok)
        tally->passed++;
    else
        tally->failed++;
    tally->operations += r->operations;
    tally->cpu_us += r->cpu_us;
    tally->simulated_us += r->now_us;
    for (int i = 0; i < FAULT_COUNT; i++) tally->faults[i] += r->fault_counts[i];
    for (int i = 0; i < STATE_COUNT; i++) tally->states[i] += r->states[i];
    for (size_t i = 0; i < CLIENT_OPS_MAX; i++) {
        tally->operations_by_code[i].done += r->op_counts[i].done;
        tally->operations_by_code[i].refused += r->op_counts[i].refused;
    }
}

// ---- the command line

static int usage(void) {
    fprintf(stderr,
            "usage: simulator [--seed N | --seeds A..B | --minutes M | --replay FILE | --hours H | --proof-status]\n"
            "                 [--seconds S] [--nodes N] [--clients N] [--calm] [--without 3,7-9] [--jobs N]\n"
            "                 [--shrink-seconds S] [--states] [--trace] [--log] [--operations] [--history FILE]\n");
    return 2;
}

struct flag {
    const char *word;
    bool *to;
};
struct number {
    const char *word;
    uint64_t *to;
};

static bool parse_flag(struct run *run, const char *word) {
    const struct flag flags[] = {{"--trace", &run->options.trace},
                                 {"--log", &run->options.log},
                                 {"--operations", &run->options.operations},
                                 {"--states", &run->states},
                                 {"--proof-status", &run->proof_status}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(word, flags[i].word) != 0) continue;
        *flags[i].to = true;
        return true;
    }
    if (strcmp(word, "--calm") != 0) return false;
    run->options.faults = false;
    return true;
}

static bool parse_value(struct run *run, const char *word, const char *value) {
    uint64_t nodes = 0, clients = 0;
    const struct number numbers[] = {{"--seed", &run->first},      {"--seconds", &run->options.seconds},
                                     {"--minutes", &run->minutes}, {"--hours", &run->hours},
                                     {"--jobs", &run->jobs},       {"--shrink-seconds", &run->shrink_seconds},
                                     {"--nodes", &nodes},          {"--clients", &clients}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char *end;
        if (strcmp(word, numbers[i].word) != 0) continue;
        *numbers[i].to = strtoull(value, &end, 10);
        if (end == value || *end != 0) return false;
        if (i == 0) run->last = run->first;
        run->fresh = run->fresh && i != 0;
        if (nodes > 0) run->options.nodes = (uint32_t)nodes;
        if (clients > 0) run->options.clients = (uint32_t)clients;
        return true;
    }
    if (strcmp(word, "--without") == 0) return without_parse(&run->options, value);
    if (strcmp(word, "--replay") == 0) {
        run->replay = value;
        return true;
    }
    if (strcmp(word, "--history") == 0) {
        run->options.history = value;
        return true;
    }
    const char *dots = strstr(value, "..");
    if (strcmp(word, "--seeds") != 0 || dots == NULL) return false;
    run->first = strtoull(value, NULL, 10);
    run->last = strtoull(dots + 2, NULL, 10);
    run->fresh = false;
    return true;
}

static bool parse(struct run *run, int words, char **at) {
    for (int i = 0; i < words; i++) {
        if (parse_flag(run, at[i])) continue;
        if (i + 1 >= words || !parse_value(run, at[i], at[i + 1])) return false;
        i++;
    }
    return true;
}

static void take_one(struct pool *pool, struct tally *tally, const struct run *run) {
    struct run_result *result = pool_wait(pool);
    if (result == NULL) return;
    print_result(result);
    count(tally, result);
    fflush(stdout);
    if (!result->ok && run->shrink_seconds > 0 && tally->failed <= SHRINKS_MAX) shrink(result, run->shrink_seconds);
}

#define SEEDS_MAX 1024u

// sim/seeds.txt: a line each: options as on the command line, then # and what it once showed. Gives how many; -1:
// error.
static int read_seeds(const char *path, struct sim_options *out) {
    FILE *file = fopen(path, "r");
    char line[4096];
    int count = 0;
    if (file == NULL) {
        fprintf(stderr, "sim: cannot open %s\n", path);
        return -1;
    }
    while (count >= 0 && fgets(line, sizeof line, file) != NULL) {
        char *hash = strchr(line, '#'), *words[32], *save = NULL;
        int found = 0;
        if (hash != NULL) *hash = 0;
        for (char *word = strtok_r(line, " \t\n", &save); word != NULL && found < 32;
             word = strtok_r(NULL, " \t\n", &save))
            words[found++] = word;
        if (found == 0) continue;
        struct run run = {.options = {.seconds = 60, .faults = true}};
        if (count == SEEDS_MAX || !parse(&run, found, words)) {
            fprintf(stderr, "sim: %s: cannot read line %d of the seeds\n", path, count + 1);
            count = -1;
            break;
        }
        run.options.seed = run.first;
        out[count++] = run.options;
    }
    fclose(file);
    return count;
}

static int replay(const struct run *wanted, struct pool *pool, struct tally *tally) {
    // All are read before the first one runs: a process that ends moves the place in a file that it shares.
    struct sim_options *seeds = mem_zalloc(SEEDS_MAX * sizeof *seeds);
    int count = read_seeds(wanted->replay, seeds);
    for (int i = 0; i < count; i++) {
        while (pool->running == pool->count) take_one(pool, tally, wanted);
        pool_start(pool, &seeds[i]);
    }
    while (pool->running > 0) take_one(pool, tally, wanted);
    mem_free(seeds);
    return count < 0 ? 2 : 0;
}

static void run_seeds(struct run *run, struct pool *pool, struct tally *tally) {
    uint64_t until_us = wall_us() + run->minutes * 60000000;
    uint64_t seed = run->minutes > 0 && run->fresh ? (uint64_t)time(NULL) * 1000 : run->first;
    while (run->minutes > 0 ? wall_us() < until_us : seed <= run->last) {
        if (pool->running == pool->count) take_one(pool, tally, run);
        if (pool->running == pool->count) continue;
        run->options.seed = seed++;
        pool_start(pool, &run->options);
    }
    while (pool->running > 0) take_one(pool, tally, run);
}

int main(int argc, char **argv) {
    struct run run = {.options = {.seconds = 60, .faults = true},
                      .first = 1,
                      .last = 1,
                      .jobs = 1,
                      .shrink_seconds = SHRINK_SECONDS,
                      .fresh = true};
    struct tally tally = {0};
    struct pool pool;
    if (!parse(&run, argc - 1, argv + 1) || run.jobs == 0 || run.options.seconds == 0) return usage();
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (run.proof_status) return proof_status();
    if (run.hours > 0) return campaign(&run.options, run.hours * 60, (size_t)sysconf(_SC_NPROCESSORS_ONLN));
    pool_open(&pool, run.jobs);
    int error = 0;
    if (run.replay != NULL)
        error = replay(&run, &pool, &tally);
    else
        run_seeds(&run, &pool, &tally);
    pool_close(&pool);
    if (error != 0) return error;
    if (run.states) print_states(tally.states);
    if (run.options.operations && !clients_operations(tally.operations_by_code)) tally.failed++;
    if (tally.passed + tally.failed > 1) {
        printf("sim: %llu s simulated, %llu operations, %llu a second of one core; faults:",
               (unsigned long long)(tally.simulated_us / 1000000), (unsigned long long)tally.operations,
               (unsigned long long)a_second(tally.operations, tally.cpu_us));
        print_faults(tally.faults);
        printf("\n");
    }
    printf("sim: %llu passed, %llu failed, 0 skipped\n", (unsigned long long)tally.passed,
           (unsigned long long)tally.failed);
    return tally.failed > 0 ? 1 : 0;
}
