// What one run gives: in memory that is shared with the process that started it, so that it stands there even when the
// run broke an assertion.
#pragma once
#include "sim/fault.h"
#include "sim/options.h"
#include "sim/states.h"
#include <stddef.h>

struct result_fault {
    uint32_t ordinal, node;
    enum fault fault;
    uint64_t at_us;
};
struct run_result {
    struct sim_options options;
    bool finished, ok;
    uint64_t now_us, cpu_us; // simulated; of the processor
    uint64_t nodes, clients, operations, refused, unknown, entries, leaders, expired, snapshots, installed, calm_ms;
    uint64_t events, trace;
    uint64_t fault_counts[FAULT_COUNT], states[STATE_COUNT];
    struct op_counts op_counts[CLIENT_OPS_MAX];
    struct result_fault faults[ORDINALS_MAX];
    size_t fault_count;
    uint64_t failed_us;
    char failure[2048];
};

// One seed in this process. false: failed.
bool run_seed(const struct sim_options *options, struct run_result *result);

// Several seeds in processes of their own.
#define JOBS_MAX 64u
struct pool {
    struct {
        int pid; // 0: free
        struct run_result *result;
    } jobs[JOBS_MAX];
    size_t count, running;
    bool quiet; // nothing is printed by the runs
};
void pool_open(struct pool *pool, size_t jobs);
void pool_close(struct pool *pool); // ends what still runs
void pool_start(struct pool *pool, const struct sim_options *options);
// The next one that ended, valid until the next call of pool_start; NULL: a signal came first, or none runs.
struct run_result *pool_wait(struct pool *pool);

uint64_t wall_us(void); // for figures and bounds only: nothing simulated sees it
void print_result(const struct run_result *result);
void print_states(const uint64_t states[STATE_COUNT]);
void print_faults(const uint64_t counts[FAULT_COUNT]);

// shrink.c: prints the shortest schedule found for a failure, and the line that repeats it.
void shrink(const struct run_result *failed, uint64_t seconds);
bool without_parse(struct sim_options *options, const char *text); // "3,7-9"
void repeat_line(char *out, size_t room, const struct sim_options *options);

// campaign.c: fresh seeds on all cores until the hours are full, kept in docs/proof/sim.jsonl.
int campaign(const struct sim_options *options, uint64_t minutes, size_t jobs);
int proof_status(void);
