// What a run was asked for, and what its seed drew (swarm testing: each seed has faults, sizes and speeds of its own,
// some of them none at all, so that one kind of fault does not hide another).
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct sim_options {
    uint64_t seed;
    uint64_t seconds;        // simulated, of the phase with faults
    uint32_t nodes, clients; // 0: drawn
    bool trace, log;         // print events; print the nodes' log lines
    bool faults;             // false: a calm run
    bool operations;         // print how often each operation was used; one that never was is a failure
    const char *history;     // file for the recorded history; NULL: none
    bool quiet;              // a failure is not described
    uint8_t without[512];    // faults left out, by ordinal, a bit each
};
#define CLIENT_OPS_MAX 40u
struct op_counts { // of one operation of the protocol: answers
    uint64_t done, refused;
};

#define ORDINALS_MAX 4096u
static inline bool without_ordinal(const struct sim_options *options, uint64_t ordinal) {
    return ordinal < ORDINALS_MAX && options->without[ordinal / 8] >> (ordinal % 8) & 1;
}
static inline void leave_out_ordinal(struct sim_options *options, uint64_t ordinal) {
    if (ordinal < ORDINALS_MAX) options->without[ordinal / 8] |= (uint8_t)(1u << (ordinal % 8));
}

#define FAULTS_MAX 40u
struct swarm { // drawn by the seed
    uint32_t nodes, clients;
    uint32_t ping_ms, think_us, depth, keys, session_ms, value_bytes;
    uint32_t delay_us, jitter_us;     // one way, between hosts
    uint32_t disk_us, disk_jitter_us; // one sync
    uint32_t call_us_max;             // what looking at the clock costs: makes turns' budgets end
    uint32_t schedule_us;             // until a ready loop runs
    uint32_t child_step_us;           // of a child that saves a snapshot, between two writes
    uint32_t drift_ppm_max;           // of a monotonic clock
    uint32_t split_per_million;       // reads that are cut
    uint32_t journal_align;
    uint64_t segment_bytes, snapshot_every_entries, snapshot_every_bytes, journal_keep_entries, log_tail_bytes,
        snapshot_chunk_bytes;
    uint64_t fault_every_us;         // mean time between faults; 0: none
    uint32_t weight[FAULTS_MAX];     // of each enum fault; 0: not in this seed
    bool scenarios, newer_scenarios; // sequences of faults too
    bool long_logs;                  // journals of many pieces, and followers that come back to them
    uint64_t apply_ahead_bytes;
    bool from_start; // faults come while the cluster forms
};
