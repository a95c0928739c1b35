// The proof by hours: fresh seeds on all cores until as many hours are full as were asked for. What was done is kept in
// docs/proof/sim.jsonl, a line a piece, so that it can be stopped and taken up again. A figure counts while nothing
// under src/ and sim/ has changed since: each line has a hash of both.
#include "sim/result.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#define PROOF_FOLDER "docs/proof"
#define PROOF_FILE PROOF_FOLDER "/sim.jsonl"
#define PROGRESS_SECONDS 5
#define PIECE_US 600000000ull // a line is written at least so often: what a kill -9 can take
#define FAULTS_AN_HOUR 60u    // an hour of simulated time counts only with so many faults
#define OPERATIONS_AN_HOUR 10000u

struct sums {
    uint64_t wall_s, seeds, failed, simulated_s, operations, last_seed, entries;
    uint64_t faults[FAULT_COUNT], states[STATE_COUNT];
};

static volatile sig_atomic_t stop_asked;

static void on_stop(int number) {
    stop_asked = 1;
}
static void on_alarm(int number) {} // only ends the wait

// ---- the file

static bool tree_of(char commit[64], char tree[64]) {
    FILE *pipe = popen("scripts/sim_tree.sh", "r");
    if (pipe == NULL) return false;
    int got = fscanf(pipe, "%63s %63s", commit, tree);
    return pclose(pipe) == 0 && got == 2;
}

static uint64_t number_in(const json_t *object, const char *name) {
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void add_line(const json_t *line, struct sums *sums) {
    const json_t *faults = json_object_get(line, "faults"), *states = json_object_get(line, "states");
    sums->entries++;
    sums->wall_s += number_in(line, "wall_seconds");
    sums->seeds += number_in(line, "seeds");
    sums->failed += number_in(line, "failed");
    sums->simulated_s += number_in(line, "simulated_seconds");
    sums->operations += number_in(line, "operations");
    uint64_t last = number_in(line, "last_seed");
    if (last > sums->last_seed) sums->last_seed = last;
    for (int i = 0; i < FAULT_COUNT; i++) sums->faults[i] += number_in(faults, fault_names[i]);
    for (int i = 0; i < STATE_COUNT; i++) sums->states[i] += number_in(states, state_names[i].name);
}

static void read_proof(const char *tree, struct sums *sums) {
    FILE *file = fopen(PROOF_FILE, "r");
    char line[16384];
    *sums = (struct sums){0};
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *object = json_loads(line, 0, NULL);
        const char *of = json_string_value(json_object_get(object, "tree"));
        if (of != NULL && strcmp(of, tree) == 0) add_line(object, sums);
        json_decref(object);
    }
    fclose(file);
}

static bool append_line(const char *commit, const char *tree, uint64_t first_seed, const struct sums *piece,
                        size_t jobs) {
    if (mkdir(PROOF_FOLDER, 0755) != 0 && errno != EEXIST) return false;
    FILE *file = fopen(PROOF_FILE, "a");
    if (file == NULL) return false;
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    fprintf(file,
            "{\"commit\":\"%s\",\"tree\":\"%s\",\"date\":\"%s\",\"first_seed\":%llu,\"last_seed\":%llu,\"seeds\":%llu,"
            "\"failed\":%llu,\"cores\":%zu,\"wall_seconds\":%llu,\"simulated_seconds\":%llu,\"operations\":%llu,"
            "\"faults\":{",
            commit, tree, date, (unsigned long long)first_seed, (unsigned long long)piece->last_seed,
            (unsigned long long)piece->seeds, (unsigned long long)piece->failed, jobs,
            (unsigned long long)piece->wall_s, (unsigned long long)piece->simulated_s,
            (unsigned long long)piece->operations);
    for (int i = 0; i < FAULT_COUNT; i++)
        fprintf(file, "%s\"%s\":%llu", i == 0 ? "" : ",", fault_names[i], (unsigned long long)piece->faults[i]);
    fprintf(file, "},\"states\":{");
    for (int i = 0; i < STATE_COUNT; i++)
        fprintf(file, "%s\"%s\":%llu", i == 0 ? "" : ",", state_names[i].name, (unsigned long long)piece->states[i]);
    fprintf(file, "}}\n");
    return fclose(file) == 0;
}

// ---- printing

static void print_hours(uint64_t seconds) {
    printf("%llu:%02llu:%02llu", (unsigned long long)(seconds / 3600), (unsigned long long)(seconds / 60 % 60),
           (unsigned long long)(seconds % 60));
}

static uint64_t total(const uint64_t *counts, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += counts[i];
    return sum;
}

// Simulated seconds that count: each hour needs its faults and its operations.
static uint64_t counting(const struct sums *s) {
    uint64_t by_faults = total(s->faults, FAULT_COUNT) * 3600 / FAULTS_AN_HOUR;
    uint64_t by_operations = s->operations * 3600 / OPERATIONS_AN_HOUR, seconds = s->simulated_s;
    if (by_faults < seconds) seconds = by_faults;
    return by_operations < seconds ? by_operations : seconds;
}

static void print_sums(const struct sums *s, size_t jobs) {
    uint64_t reached = 0, busy_s = s->wall_s * jobs;
    for (int i = 0; i < STATE_COUNT; i++) reached += s->states[i] > 0;
    printf("%llu seeds, %llu failed, ", (unsigned long long)s->seeds, (unsigned long long)s->failed);
    print_hours(s->simulated_s);
    printf(" simulated, %llu operations", (unsigned long long)s->operations);
    if (busy_s > 0) printf(" (%llu/s a core)", (unsigned long long)(s->operations / busy_s));
    printf(", states %llu of %d, faults:", (unsigned long long)reached, STATE_COUNT);
    print_faults(s->faults);
    printf("\n");
}

int proof_status(void) {
    char commit[64], tree[64];
    struct sums sums;
    if (!tree_of(commit, tree)) {
        fprintf(stderr, "sim: scripts/sim_tree.sh gives no hash: run it from the repository's folder\n");
        return 2;
    }
    read_proof(tree, &sums);
    printf("proof: tree %s (src/ and sim/ as they stand): %llu pieces, ", tree, (unsigned long long)sums.entries);
    print_hours(sums.wall_s);
    printf(" h: ");
    print_sums(&sums, 0);
    print_states(sums.states);
    printf("simulated hours that count (%u faults and %u operations each): ", FAULTS_AN_HOUR, OPERATIONS_AN_HOUR);
    print_hours(counting(&sums));
    printf("\n");
    return sums.entries > 0 && sums.failed == 0 ? 0 : 1;
}

// ---- running

static void add_run(struct sums *s, const struct run_result *r) {
    s->seeds++;
    s->failed += !r->ok;
    s->simulated_s += r->now_us / 1000000;
    s->operations += r->operations;
    if (r->options.seed > s->last_seed) s->last_seed = r->options.seed;
    for (int i = 0; i < FAULT_COUNT; i++) s->faults[i] += r->fault_counts[i];
    for (int i = 0; i < STATE_COUNT; i++) s->states[i] += r->states[i];
}

static void add_sums(struct sums *to, const struct sums *from) {
    to->wall_s += from->wall_s;
    to->seeds += from->seeds;
    to->failed += from->failed;
    to->simulated_s += from->simulated_s;
    to->operations += from->operations;
    if (from->last_seed > to->last_seed) to->last_seed = from->last_seed;
    for (int i = 0; i < FAULT_COUNT; i++) to->faults[i] += from->faults[i];
    for (int i = 0; i < STATE_COUNT; i++) to->states[i] += from->states[i];
}

static void watch_signals(void) {
    struct sigaction stop = {.sa_handler = on_stop}, tick = {.sa_handler = on_alarm};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGALRM, &tick, NULL);
    struct itimerval every = {.it_interval = {.tv_sec = PROGRESS_SECONDS}, .it_value = {.tv_sec = PROGRESS_SECONDS}};
    setitimer(ITIMER_REAL, &every, NULL);
}

static void progress(const struct sums *sums, uint64_t wanted_s, size_t jobs) {
    printf("sim: ");
    print_hours(sums->wall_s);
    printf(" of ");
    print_hours(wanted_s);
    printf(": ");
    print_sums(sums, jobs);
    fflush(stdout);
}

// One piece: until piece_us are over, or all is done, or Ctrl-C. Runs that Ctrl-C ends do not count.
static void run_piece(struct pool *pool, struct sim_options *options, const struct sums *before, uint64_t wanted_s,
                      struct sums *piece) {
    uint64_t begun_us = wall_us(), told_us = begun_us, seed = options->seed;
    *piece = (struct sums){0};
    while (!stop_asked) {
        uint64_t passed_us = wall_us() - begun_us;
        bool over = passed_us >= PIECE_US || before->wall_s * 1000000 + passed_us >= wanted_s * 1000000;
        piece->wall_s = passed_us / 1000000;
        while (!over && pool->running < pool->count) {
            options->seed = seed++;
            pool_start(pool, options);
        }
        if (over && pool->running == 0) break;
        struct run_result *result = pool_wait(pool);
        if (result != NULL) {
            add_run(piece, result);
            if (!result->ok) print_result(result);
            if (!result->ok && piece->failed <= 3) shrink(result, 60);
        }
        if (wall_us() - told_us >= PROGRESS_SECONDS * 1000000ull) {
            struct sums all = *before;
            add_sums(&all, piece);
            progress(&all, wanted_s, pool->count);
            told_us = wall_us();
        }
    }
    piece->wall_s = (wall_us() - begun_us) / 1000000;
    options->seed = seed;
}

int campaign(const struct sim_options *wanted, uint64_t minutes, size_t jobs) {
    char commit[64], tree[64];
    struct sums sums;
    struct pool pool;
    uint64_t wanted_s = minutes * 60;
    if (!tree_of(commit, tree)) {
        fprintf(stderr, "sim: scripts/sim_tree.sh gives no hash: run it from the repository's folder\n");
        return 2;
    }
    read_proof(tree, &sums);
    struct sim_options options = *wanted;
    options.seed = sums.last_seed > 0 ? sums.last_seed + 1 : (uint64_t)time(NULL) * 1000;
    printf("sim: commit %s, tree %s, %zu cores; done before: ", commit, tree, jobs);
    print_hours(sums.wall_s);
    printf("; Ctrl-C stops, the same command goes on\n");
    watch_signals();
    bool kept = true;
    while (kept && !stop_asked && sums.wall_s < wanted_s) {
        struct sums piece;
        uint64_t first_seed = options.seed;
        pool_open(&pool, jobs);
        run_piece(&pool, &options, &sums, wanted_s, &piece);
        pool_close(&pool);
        if (piece.seeds > 0) kept = append_line(commit, tree, first_seed, &piece, jobs);
        add_sums(&sums, &piece);
    }
    if (!kept) fprintf(stderr, "sim: cannot write %s: %s\n", PROOF_FILE, strerror(errno));
    progress(&sums, wanted_s, jobs);
    print_states(sums.states);
    printf("sim: %llu passed, %llu failed, 0 skipped\n", (unsigned long long)(sums.seeds - sums.failed),
           (unsigned long long)sums.failed);
    return sums.failed > 0 || !kept ? 1 : 0;
}
