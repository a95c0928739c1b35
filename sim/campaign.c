// The proof by hours: fresh seeds on all cores until as many hours are full as were asked for. What was done is kept in
// docs/proof/sim.jsonl, a line a piece, so that it can be stopped and taken up again. Pieces count from the last
// failure on; each line has a hash over src/ and sim/, and of the source as it stands the last half hour must be. An
// hour is an hour of processor time on every core, whatever else the machine did meanwhile.
#include "sim/result.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
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
#define NEWEST_S 1800u // of the source as it stands

struct sums {
    uint64_t wall_s, busy_s, seeds, failed, simulated_s, operations, last_seed, entries;
    uint64_t faults[FAULT_COUNT], states[STATE_COUNT];
};

static volatile sig_atomic_t stop_asked;

static void on_stop(int number) {
    stop_asked = 1;
}
static void on_alarm(int number) {} // only ends the wait

struct proof {
    struct sums all, newest; // since the last failure; of it what the source as it stands did
    uint64_t last_seed;
};

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
    uint64_t wall_s = number_in(line, "wall_seconds"), cores = number_in(line, "cores");
    json_t *cpu = json_object_get(line, "cpu_seconds"); // older lines have none: nothing ran beside them
    sums->wall_s += wall_s;
    sums->busy_s += cpu != NULL && cores > 0 ? number_in(line, "cpu_seconds") / cores : wall_s;
    sums->seeds += number_in(line, "seeds");
    sums->failed += number_in(line, "failed");
    sums->simulated_s += number_in(line, "simulated_seconds");
    sums->operations += number_in(line, "operations");
    uint64_t last = number_in(line, "last_seed");
    if (last > sums->last_seed) sums->last_seed = last;
    for (int i = 0; i < FAULT_COUNT; i++) sums->faults[i] += number_in(faults, fault_names[i]);
    for (int i = 0; i < STATE_COUNT; i++) sums->states[i] += number_in(states, state_names[i].name);
}

static void read_line(const json_t *line, const char *tree, struct proof *proof) {
    const char *of = json_string_value(json_object_get(line, "tree"));
    if (of == NULL) return;
    bool newest = strcmp(of, tree) == 0;
    uint64_t last_seed = number_in(line, "last_seed");
    if (last_seed > proof->last_seed) proof->last_seed = last_seed;
    if (number_in(line, "failed") > 0) proof->all = (struct sums){0};
    if (number_in(line, "failed") == 0 || newest) add_line(line, &proof->all);
    if (newest) add_line(line, &proof->newest);
}

static void read_proof(const char *tree, struct proof *proof) {
    FILE *file = fopen(PROOF_FILE, "r");
    char line[16384];
    *proof = (struct proof){0};
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *object = json_loads(line, 0, NULL);
        read_line(object, tree, proof);
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
            "\"failed\":%llu,\"cores\":%zu,\"wall_seconds\":%llu,\"cpu_seconds\":%llu,"
            "\"simulated_seconds\":%llu,\"operations\":%llu,"
            "\"faults\":{",
            commit, tree, date, (unsigned long long)first_seed, (unsigned long long)piece->last_seed,
            (unsigned long long)piece->seeds, (unsigned long long)piece->failed, jobs,
            (unsigned long long)piece->wall_s, (unsigned long long)(piece->busy_s * jobs),
            (unsigned long long)piece->simulated_s, (unsigned long long)piece->operations);
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
    uint64_t reached = 0, busy_s = s->busy_s * jobs;
    for (int i = 0; i < STATE_COUNT; i++) reached += s->states[i] > 0;
    printf("%llu seeds, %llu failed, ", (unsigned long long)s->seeds, (unsigned long long)s->failed);
    print_hours(s->simulated_s);
    printf(" simulated, %llu operations", (unsigned long long)s->operations);
    if (busy_s > 0) printf(" (%llu/s a core)", (unsigned long long)(s->operations / busy_s));
    printf(", states %llu of %d, faults:", (unsigned long long)reached, STATE_COUNT);
    print_faults(s->faults);
    printf("\n");
}

static bool read_tree(char commit[64], char tree[64]) {
    bool got = tree_of(commit, tree);
    if (!got) fprintf(stderr, "sim: scripts/sim_tree.sh gives no hash: run it from the repository's folder\n");
    return got;
}

static void print_proof(const struct proof *proof, size_t jobs) {
    printf("%llu pieces, ", (unsigned long long)proof->all.entries);
    print_hours(proof->all.busy_s);
    printf(" on every core, ");
    print_hours(proof->newest.busy_s);
    printf(" of it with src/ and sim/ as they stand: ");
    print_sums(&proof->all, jobs);
}

int proof_status(void) {
    char commit[64], tree[64];
    struct proof proof;
    if (!read_tree(commit, tree)) return 2;
    read_proof(tree, &proof);
    printf("proof: ");
    print_proof(&proof, 0);
    print_states(proof.all.states);
    printf("simulated hours that count (%u faults and %u operations each): ", FAULTS_AN_HOUR, OPERATIONS_AN_HOUR);
    print_hours(counting(&proof.all));
    printf("\n");
    return proof.newest.busy_s >= NEWEST_S && proof.all.failed == 0 ? 0 : 1;
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
    to->entries += from->entries;
    to->wall_s += from->wall_s;
    to->busy_s += from->busy_s;
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

static void progress(const struct proof *before, const struct sums *piece, uint64_t wanted_s, size_t jobs) {
    struct proof now = *before;
    add_sums(&now.all, piece);
    add_sums(&now.newest, piece);
    printf("sim: of ");
    print_hours(wanted_s);
    printf(": ");
    print_proof(&now, jobs);
    fflush(stdout);
}

static uint64_t children_cpu_us(void) {
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static uint64_t left_s(const struct proof *proof, uint64_t wanted_s) {
    uint64_t newest_s = wanted_s < NEWEST_S ? wanted_s : NEWEST_S;
    uint64_t all = proof->all.busy_s < wanted_s ? wanted_s - proof->all.busy_s : 0;
    uint64_t newest = proof->newest.busy_s < newest_s ? newest_s - proof->newest.busy_s : 0;
    return all > newest ? all : newest;
}

// One piece: until piece_us are over, or all is done, or Ctrl-C. Runs that Ctrl-C ends do not count.
static void run_piece(struct pool *pool, struct sim_options *options, const struct proof *before, uint64_t wanted_s,
                      struct sums *piece) {
    uint64_t begun_us = wall_us(), cpu_us = children_cpu_us(), told_us = begun_us, seed = options->seed;
    *piece = (struct sums){.entries = 1};
    while (!stop_asked) {
        bool over = wall_us() - begun_us >= PIECE_US || piece->busy_s >= left_s(before, wanted_s);
        while (!over && pool->running < pool->count) {
            options->seed = seed++;
            pool_start(pool, options);
        }
        if (over && pool->running == 0) break;
        struct run_result *result = pool_wait(pool);
        piece->wall_s = (wall_us() - begun_us) / 1000000;
        piece->busy_s = (children_cpu_us() - cpu_us) / 1000000 / pool->count;
        if (result != NULL) {
            add_run(piece, result);
            if (!result->ok) print_result(result);
            if (!result->ok && piece->failed <= 3) shrink(result, 60);
        }
        if (wall_us() - told_us >= PROGRESS_SECONDS * 1000000ull) {
            progress(before, piece, wanted_s, pool->count);
            told_us = wall_us();
        }
    }
    options->seed = seed;
}

int campaign(const struct sim_options *wanted, uint64_t minutes, size_t jobs) {
    char commit[64], tree[64];
    struct proof proof;
    struct pool pool;
    uint64_t wanted_s = minutes * 60;
    if (!read_tree(commit, tree)) return 2;
    read_proof(tree, &proof);
    struct sim_options options = *wanted;
    options.seed = proof.last_seed > 0 ? proof.last_seed + 1 : (uint64_t)time(NULL) * 1000;
    printf("sim: commit %s, tree %s, %zu cores; Ctrl-C stops, the same command goes on; ", commit, tree, jobs);
    print_proof(&proof, 0);
    watch_signals();
    bool kept = true;
    while (kept && !stop_asked && left_s(&proof, wanted_s) > 0) {
        struct sums piece;
        uint64_t first_seed = options.seed;
        pool_open(&pool, jobs);
        run_piece(&pool, &options, &proof, wanted_s, &piece);
        pool_close(&pool);
        if (piece.seeds > 0) kept = append_line(commit, tree, first_seed, &piece, jobs);
        read_proof(tree, &proof);
    }
    if (!kept) fprintf(stderr, "sim: cannot write %s: %s\n", PROOF_FILE, strerror(errno));
    printf("sim: ");
    print_proof(&proof, jobs);
    print_states(proof.all.states);
    printf("sim: %llu passed, %llu failed, 0 skipped\n", (unsigned long long)(proof.all.seeds - proof.all.failed),
           (unsigned long long)proof.all.failed);
    return proof.all.failed > 0 || !kept ? 1 : 0;
}
