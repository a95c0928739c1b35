// A struct io in memory, for tests of storage: files that lose what was not synced, full disks, failing fsyncs, flipped
// bits, a clock and timers that move when the test says so, disk jobs that run when the test steps them. Not a network.
//
// The crash model is SQLite's test6.c idea: per 512-byte sector an unsynced write is kept or dropped; each unsynced
// change of a folder (create, unlink, rename) is kept or dropped on its own.
#pragma once
#include "base/prng.h"
#include "io/io.h"

struct memory_node;
struct memory_io;

struct memory_io *memory_io_new(uint64_t seed);
void memory_io_free(struct memory_io *m);
struct io *memory_io_io(struct memory_io *m);

// Disk jobs: one by one, as they were submitted (random: any of different files). False: none waits.
bool memory_io_step(struct memory_io *m);
void memory_io_run(struct memory_io *m); // steps, and timers that are due, until nothing is left to do now
void memory_io_advance(struct memory_io *m,
                       uint64_t us);                 // moves the clock, fires timers in order, runs what they start
size_t memory_io_waiting(const struct memory_io *m); // jobs

// All that runs is gone: jobs are half done or not at all, timers and open files are void. What is on the disk stays,
// see above.
void memory_io_crash(struct memory_io *m);
void memory_io_kill(struct memory_io *m); // the process dies, the machine does not: all that was written stays

// ---- faults
void memory_io_capacity(struct memory_io *m, uint64_t bytes); // over all files; UINT64_MAX: no limit
void memory_io_break_write(struct memory_io *m,
                           uint64_t bytes); // the next frame write stops there with -ENOSPC; UINT64_MAX: none
void memory_io_fail_sync(struct memory_io *m, int error);  // the next fdatasync of a job, or fsync of a file; 0: none
void memory_io_fail_write(struct memory_io *m, int error); // the next write of a job

// ---- looking and breaking
uint8_t *memory_io_data(struct memory_io *m, const char *path,
                        size_t *len); // the file's bytes, to be changed in place; NULL: absent
void memory_io_put(struct memory_io *m, const char *path, const void *data, size_t len); // replaces; synced
void memory_io_cut(struct memory_io *m, const char *path, size_t len);
void memory_io_remove(struct memory_io *m, const char *path);
size_t memory_io_count(struct memory_io *m, const char *folder, const char *ending); // names in it
size_t memory_io_open_files(const struct memory_io *m);
struct memory_io *memory_io_copy(struct memory_io *m, uint64_t seed); // of what the files hold; all synced

// Every IO_DISK_WRITE_SYNC that succeeded, in order: what a test holds a journal against.
struct memory_write {
    char path[256];
    uint64_t offset, len;
};
size_t memory_io_writes(const struct memory_io *m, const struct memory_write **writes);
