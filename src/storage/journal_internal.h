// What the files of the journal share; nobody else includes this.
//
//   journal.c          open, append, group commit, the empty frame after 100 ms, stats
//   journal_frame.c    bytes <-> segment headers, frames, records
//   journal_index.c    what the log is, as told by the records in their order; where its batches stand
//   journal_segment.c  segment files: names, making, reading in large pieces
//   journal_scan.c     recovery: walk, torn or damage, repair
//   journal_prepare.c  zeros ahead of the write position, the next segment
//   journal_read.c     batches from disk, cutting old segments
#pragma once
#include "base/histogram.h"
#include "base/list.h"
#include "storage/journal.h"
#include "storage/journal_frame.h"
#include <errno.h>

#define JOURNAL_VOUCH_US 100000u         // replication.md "Disks": an empty frame after 100 ms
#define JOURNAL_PREPARE_STEP (1u << 20)  // zeros a job: short beside an append's write
#define JOURNAL_PREPARE_SYNC (4u << 20)  // and of the next segment a sync: 64 MB at once held appends up for 18 ms
#define JOURNAL_PREPARE_AHEAD (4u << 20) // zeros ahead of the write position in the current segment
#define JOURNAL_FRAME_SOFT (8u << 20)    // a group commit stops growing here, so that one write stays short
#define JOURNAL_IOV_MAX 1000             // below the kernel's IOV_MAX of 1024
#define JOURNAL_COPY_BELOW 2048u         // smaller batches are copied together: cheaper than an iovec each
#define JOURNAL_RETRY_US 1000000u        // a full disk is asked again this often while nobody waits for room
#define JOURNAL_RESERVE (64u << 10)   // kept on a full disk for votes and terms: without them no leader could hand over
#define JOURNAL_SEGMENTS_MAX 1000000u // more files than this in the folder are refused, not walked

struct segment {
    uint64_t number, salt;
    uint32_t align;
    struct io_file *file;
    uint64_t bytes;                 // the file's, in whole units: all of it is frames or zeros
    uint64_t limit;                 // what bytes may grow to
    uint64_t end;                   // the next frame's offset; == align: holds none. Invariant: align <= end <= bytes
    uint64_t base_index, base_term; // the log's end where this segment begins
    uint64_t last_index;            // highest index that lives in it; 0: none
    uint32_t refs;                  // the journal's, and one for each read under way
};

// ---- journal_index.c: the log as a list of facts
struct index_run { // from this index on, entries have this term
    uint64_t first, term;
};
struct index_event { // TRUNCATE or START at this place: batches that stand before it with first >= from are dead
    struct place place;
    uint64_t from;
};
struct index_mark { // a frame whose first live batch begins with this index
    uint64_t index;
    struct place place;
};
struct journal_index {
    struct journal_hard hard;
    uint64_t start_index, start_term, last_index, last_term; // invariant: start_index <= last_index
    struct index_run *runs;                                  // first and term ascending
    struct index_event *events; // place and from ascending (an earlier event with a higher from says nothing)
    struct index_mark *marks;   // index and place ascending, one each 64 KiB
    size_t run_count, event_count, mark_count;
    size_t run_capacity, event_capacity, mark_capacity;
    bool mark_next; // the next batch gets a mark: the ones before it are dead
};
void index_free(struct journal_index *index);
void index_base(struct journal_index *index, uint64_t base, uint64_t term); // only while empty: the log begins after it
// Each false when the record contradicts the log (recovery: damage; append: our own mistake).
bool index_batch(struct journal_index *index, struct place frame, uint64_t first, uint64_t last, uint64_t term);
bool index_truncate(struct journal_index *index, struct place frame, uint64_t from, uint64_t term_before);
bool index_start(struct journal_index *index, struct place frame, uint64_t start, uint64_t term);
uint64_t index_term(const struct journal_index *index, uint64_t at); // start_index <= at <= last_index
uint64_t index_dead_from(const struct journal_index *index,
                         struct place frame); // batches in this frame live while first < this
const struct index_mark *index_find(const struct journal_index *index,
                                    uint64_t at);                            // newest mark with index <= at, or NULL
void index_forget(struct journal_index *index, const struct segment *first); // segments before it are gone

// ---- journal_segment.c
char *segment_path(const char *folder, uint64_t number); // mem_free it
bool segment_name_parse(const char *name, uint64_t *number);
void segment_unref(struct io *io, struct segment *segment); // closes and frees at 0
struct segment_reader {                                     // one window on a file, large sequential reads
    struct io *io;
    struct io_file *file;
    uint64_t size, at;
    uint8_t *buffer;
    size_t capacity, len;
    int error; // of the last read; 0
};
void segment_reader_init(struct segment_reader *r, struct io *io);
void segment_reader_free(struct segment_reader *r);
void segment_reader_file(struct segment_reader *r, struct io_file *file, uint64_t size);
// len bytes at offset, valid until the next call; NULL behind the end or on an error (r->error).
const uint8_t *segment_reader_at(struct segment_reader *r, uint64_t offset, size_t len);
// The readable frame that stands exactly at offset, or NULL. salt NULL: any (the segment's header cannot be read).
const uint8_t *segment_reader_frame(struct segment_reader *r, uint64_t segment, const uint64_t *salt, uint32_t align,
                                    uint64_t offset, struct frame_header *header);
bool bytes_zero(const uint8_t *data, size_t len);

// ---- the journal
enum journal_writing { WRITING_NOTHING, WRITING_FRAME, WRITING_VOID };
enum prepare_step {
    PREPARE_CURRENT,
    PREPARE_HEADER,
    PREPARE_HEADER_SYNC,
    PREPARE_FOLDER_SYNC,
    PREPARE_NEXT,
    PREPARE_NEXT_SYNC
};

struct journal {
    struct journal_options options;
    struct io *io;
    struct log *log;
    char *folder, *torn_folder;
    void (*fatal)(void *context, const char *text);
    void *fatal_context;
    bool dead, closing;

    struct segment **segments; // oldest first, consecutive numbers; the last is written to
    size_t segment_count, segment_capacity;
    struct segment *next;       // being prepared; or NULL
    bool next_ready;            // its header and its name are synced: may be used
    uint64_t next_synced;       // bytes of it
    struct journal_index index; // of what is synced

    // the queue and the write under way
    struct journal_append *queue, **queue_end;
    struct journal_append *under_way;
    uint64_t queued_last, queued_start; // the log's end and start once all that is queued is in
    enum journal_writing writing;
    struct io_disk_job job;
    struct iovec *iov;
    struct writer scratch; // header, directory, small batches, padding
    struct place frame;    // of the write under way
    uint64_t frame_bytes;
    bool frame_empty;
    uint64_t write_started_us;
    bool unvouched; // the last frame holds records and nothing behind it says it was synced
    bool vouch_due;
    uint64_t void_bytes; // behind the write position: left by a write that a full disk broke off
    struct io_timer vouch_timer, defer_timer;
    bool deferred_full;

    struct {
        struct io_disk_job job;
        struct iovec iov[2];
        struct segment *segment; // of the step under way
        uint8_t *header;
        uint64_t bytes;
        bool busy;
        enum prepare_step step;
        uint64_t waiting;    // bytes of a frame that waits for room; 0: nobody waits
        bool waiting_next;   // and it is in the next segment
        uint64_t full_at_us; // 0: not full
    } prepare;
    struct io_file *folder_file; // to sync the folder beside the loop; NULL: by io's sync_dir
    uint8_t *zeros;              // JOURNAL_PREPARE_STEP of them

    struct { // segments whose names go, one after the other
        struct io_disk_job job;
        bool busy;
        uint64_t *numbers;
        size_t count, capacity;
    } cut;
    struct list reads; // under way

    struct journal_stats stats;
    struct histogram sync_us;
    bool full;
};

static inline struct segment *journal_current(const struct journal *j) {
    return j->segments[j->segment_count - 1];
}
void journal_add_segment(struct journal *j, struct segment *segment);
// Tells index and segments what a record of a frame says. False: it contradicts.
bool journal_apply_batch(struct journal *j, struct place frame, uint64_t first, uint64_t last, uint64_t term);
bool journal_apply_truncate(struct journal *j, struct place frame, uint64_t from, uint64_t term_before);
bool journal_apply_start(struct journal *j, struct place frame, uint64_t start, uint64_t term);
void journal_pump(struct journal *j); // starts the next write if there is one and none is under way
void journal_fail_queue(struct journal *j, int result);
__attribute__((format(printf, 2, 3))) void journal_die(struct journal *j, const char *format, ...);
void journal_settle(struct journal *j); // frees a journal that was closed with own jobs under way
static inline bool journal_is_full(int64_t result) {
    return result == -ENOSPC || result == -EDQUOT;
}

// journal_scan.c. Fills segments, next, index. Repairs a torn tail unless read_only.
int journal_scan(struct journal *j, struct journal_recovered *recovered, struct journal_error *error);
int journal_replay(struct journal *j, void (*batch)(void *context, const struct batch_ref *batch), void *context,
                   struct journal_error *error);
// journal_prepare.c
int journal_prepare_first(struct journal *j, uint64_t number,
                          struct journal_error *error); // an empty folder's first segment
void journal_prepare(struct journal *j);                // starts the next step if one is due
void journal_use_next(struct journal *j);
// journal_read.c
void journal_reads_abandon(struct journal *j);
void journal_cut_step(struct journal *j); // removes the next name, if any waits
