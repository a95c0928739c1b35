// The journal: the write-ahead log of batches and of Raft's hard state, in zero-filled segments, one for all groups.
// Rules: shared/design/replication.md "Disks". Owned by the replication loop; writes run as io disk jobs: one write and
// one fdatasync for all that waits, the next started when the last is done.
//
//   DATA/journal/00000000000000000001.seg     segment header | frame | frame | ... | zeros
//   segment header: one unit (of --journal-align); written and synced before any frame; holds a random salt.
//   frame: one write; starts on a unit and ends with one; never spans segments.
//     header     magic, crc, kind, sizes, its own segment and offset, the salt, and the place below which all was
//     synced
//                before this frame was written: that is vouched for
//     directory  records: HARD, BASE (first frame of a segment: HARD and where the log stood, so that older segments
//                may go), START (the log begins after (index, term): a snapshot was installed, or a formation/restore),
//                TRUNCATE, BATCH
//     batches    as encoded (consensus/batch.h), under their own checksums, which the directory repeats: each byte is
//                summed once
//     footer     the crc inverted, at the unit's end: a write that a full disk broke off is never valid
//   The salt stands in every frame: bytes of a client that look like a frame are never taken for one.
//   Each field: docs/formats.md.
#pragma once
#include "base/log.h"
#include "consensus/batch.h"
#include "io/io.h"

struct journal;

struct journal_options {
    struct io *io;
    struct log *log;
    const char *folder;      // DATA/journal; made if absent
    const char *torn_folder; // DATA/torn: bytes of torn tails are kept here
    uint32_t align;          // 512 by default; a power of two, 512 to 65536
    uint64_t segment_bytes;  // 64 MiB by default; zero-filled ahead in paced steps
    bool read_only;          // `parley check`: reports, changes nothing
};

struct journal_hard { // Raft's hard state; voted_for 0: none in this term
    uint64_t term;
    uint32_t voted_for;
};

// What was found at start.
struct journal_recovered {
    struct journal_hard hard;
    uint64_t start_index, start_term; // the log's first batch follows this
    uint64_t last_index;              // == start_index when empty
    bool torn;                        // a torn tail was cut and kept in torn/
    uint64_t torn_bytes;
};

struct journal_error { // why opening was refused; text says what to do
    char text[512];    // includes file, offset, index
    bool damage;       // vouched for but bad (exit code of its own)
};

// Opens and scans; calls batch for every batch of the log that survives (in index order, after truncations; buf is
// borrowed: buf_ref to keep). 0, or negative with *error filled.
int journal_open(const struct journal_options *options, void (*batch)(void *context, const struct batch_ref *batch),
                 void *context, struct journal_recovered *recovered, struct journal **journal,
                 struct journal_error *error);
void journal_close(
    struct journal *journal); // no append or read may be in flight; own jobs (zeros, the empty frame) may
// For the simulator and tests: the process is thought dead. The io has forgotten its jobs; frees all, answers nobody.
void journal_abandon(struct journal *journal);

// One append: all in it becomes durable together. Order within: hard, start, truncate, batches. done runs on the loop
// once all of this and everything before it is on disk. result 0; -ENOSPC (and everything queued behind it too: nothing
// of those is in the journal; the caller may append again later); a failed fsync does not come back: `fatal` is called
// and the process ends.
struct journal_append {              // owned by the caller until done; batches hold references until then
    const struct journal_hard *hard; // NULL: unchanged
    bool has_start;
    uint64_t start_index, start_term;
    uint64_t truncate_from; // 0: nothing; entries with index >= are gone
    struct batch_ref *batches;
    size_t batch_count;
    void (*done)(struct journal_append *append, int result);
    void *context;
    struct journal_append *next; // the journal's
};
void journal_append(struct journal *journal, struct journal_append *append);
void journal_on_fatal(struct journal *journal, void (*fatal)(void *context, const char *text), void *context);

// Batches that contain [first, last], from disk, as whole batches in order, at most bytes_max (at least one). Fewer if
// the disk holds fewer yet. done gets count 0 and -ENOENT if first is cut away or not on the disk, -EBADMSG if what is
// there is damaged. Batches carry a reference each, given to the callee; the array is the journal's and ends with the
// call.
typedef void (*journal_read_fn)(void *context, int result, struct batch_ref *batches, size_t count);
void journal_read(struct journal *journal, uint64_t first, uint64_t last, size_t bytes_max, journal_read_fn done,
                  void *context);

// Segments that hold only entries <= index may go (behind a snapshot), except those needed from keep_from on (a
// follower in transfer; 0: none) as long as these are at most keep_bytes.
void journal_cut(struct journal *journal, uint64_t index, uint64_t keep_from, uint64_t keep_bytes);

struct journal_stats {
    uint64_t writes, bytes, batches, segments;
    uint64_t first_index, last_index; // of what could be read back
    uint64_t disk_bytes;
    uint64_t stalled_us; // age of the write under way; 0: idle
    bool full;           // the last write met a full disk
    const struct histogram *sync_us;
};
void journal_stats(const struct journal *journal, struct journal_stats *stats);
