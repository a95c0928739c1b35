// Snapshot files: DATA/snapshots/<index in 20 digits>-<term>.snap, written aside (.tmp), fsynced, renamed, folder
// fsynced. The last two are kept.
//   header (group, index, term, log time, cluster id, digest, membership), chunks (zstd, each with its crc), trailer
//   (count, bytes, digest, crc of all). Each field: snapshot_format.h, docs/formats.md.
// Two writers: a plain one (slices in the loop, or a forked child through plain write(2)), and `receive` for chunks
// from a leader.
#pragma once
#include "base/bytes.h"
#include "base/digest.h"
#include "base/log.h"
#include "io/io.h"

struct snapshot_meta {
    uint32_t group;
    uint64_t index, term;
    uint64_t log_time_ms;
    uint8_t cluster_id[16];
    struct bytes membership; // encoded raft_membership as of index (borrowed)
    struct digest digest;    // of the state at index
};

// ---- writing. The sink is plain functions so that a forked child can give its own (only write, fdatasync, _exit
// there). Everything the writer needs is allocated in snapshot_writer_new (before a fork): afterwards no malloc
// happens.
struct snapshot_sink {
    int (*write)(void *context, const void *data, size_t len); // 0 or negative errno; appends
    void *context;
};
struct snapshot_writer;
#define SNAPSHOT_CHUNK_BYTES (256u << 10)
struct snapshot_writer *snapshot_writer_new(const struct snapshot_meta *meta);
int snapshot_writer_begin(struct snapshot_writer *writer, const struct snapshot_sink *sink);
int snapshot_writer_chunk(struct snapshot_writer *writer, uint8_t model, const void *data,
                          size_t len); // len <= SNAPSHOT_CHUNK_BYTES
int snapshot_writer_end(struct snapshot_writer *writer);
void snapshot_writer_free(struct snapshot_writer *writer);

// ---- the folder
struct snapshot_store;
struct snapshot_entry {
    uint64_t index, term, bytes;
};
// Removes .tmp leftovers. 0 or negative errno with text.
int snapshot_store_open(struct io *io, struct log *log, const char *folder, struct snapshot_store **store,
                        char error[256]);
void snapshot_store_close(struct snapshot_store *store);
size_t snapshot_store_list(struct snapshot_store *store, struct snapshot_entry *entries, size_t max); // newest first
// Path of the temporary file to write (index, term) into; then `commit` fsyncs it, renames it, fsyncs the folder and
// drops all but the last two.
void snapshot_store_temporary(struct snapshot_store *store, uint64_t index, uint64_t term, char path[4096]);
int snapshot_store_commit(struct snapshot_store *store, uint64_t index, uint64_t term);
// Removes the temporary file only. A finished snapshot of the same index (it may be made again) stays: the journal may
// have been cut behind it.
void snapshot_store_abandon(struct snapshot_store *store, uint64_t index, uint64_t term);

// ---- reading: verifies every checksum; calls chunk for each chunk in order (NULL: verifies only). -EBADMSG with a
// text naming file and offset on damage, -ENOTSUP if a newer parley wrote it. A chunk is verified before it is handed
// on, the whole only at the end: a caller that gets an error throws away what it took. A chunk's own negative result
// ends it.
int snapshot_load(struct io *io, const char *path, struct snapshot_meta *meta, struct writer *membership_bytes,
                  int (*chunk)(void *context, uint8_t model, const void *data, size_t len), void *context,
                  char error[512]);
void snapshot_store_path(struct snapshot_store *store, uint64_t index, uint64_t term, char path[4096]);

// ---- transfer: raw bytes of the finished file by offset, so that a broken transfer resumes where it stopped.
int64_t snapshot_store_read(struct snapshot_store *store, uint64_t index, uint64_t term, uint64_t offset, void *data,
                            size_t len);
int snapshot_store_receive(struct snapshot_store *store, uint64_t index, uint64_t term, uint64_t offset,
                           const void *data, size_t len); // into .tmp; -EINVAL if offset is not its size
int64_t snapshot_store_received(struct snapshot_store *store, uint64_t index,
                                uint64_t term); // bytes of the .tmp so far
