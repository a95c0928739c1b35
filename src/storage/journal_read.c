// Batches from disk, for followers that are behind what is in memory, and the removal of segments behind a snapshot.
//
// A read begins at the newest mark at or before its first index and parses frames forward, a piece at a time; what an
// event (TRUNCATE, START) behind a frame killed is left out. Only what is synced is looked at.
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "storage/journal_internal.h"

#define READ_LEAST (128u << 10)
#define READ_MOST (1u << 20)

struct read {
    struct list link;
    struct journal *j;
    uint64_t first, last;
    size_t bytes_max, bytes;
    journal_read_fn done;
    void *context;
    struct segment *segment; // held
    uint64_t offset;         // of the next frame
    uint8_t *buffer;
    size_t capacity;
    struct io_disk_job job;
    struct iovec iov;
    struct io_timer timer; // for answers that need no disk: never from inside the call that asked
    struct batch_ref *batches;
    struct place *places;
    size_t count, batch_capacity;
    int result;
};

static void free_read(struct journal *j, struct read *r) {
    if (r->segment) segment_unref(j->io, r->segment);
    j->io->ops->timer_stop(j->io, &r->timer);
    mem_free(r->batches);
    mem_free(r->places);
    mem_free(r->buffer);
    mem_free(r);
}

static void finish(struct read *r) {
    struct journal *j = r->j;
    // A cut of the log while this read was under way takes its tail away.
    size_t keep = r->result < 0 ? 0 : r->count;
    for (size_t i = 0; i < keep; i++) {
        if (r->batches[i].first >= index_dead_from(&j->index, r->places[i])) keep = i;
    }
    for (size_t i = keep; i < r->count; i++) batch_ref_release(&r->batches[i]);
    if (r->result >= 0 && keep == 0) r->result = -ENOENT;
    list_remove(&r->link);
    r->done(r->context, r->result < 0 ? r->result : 0, keep ? r->batches : NULL, keep);
    free_read(j, r);
}

void journal_reads_abandon(struct journal *j) {
    while (!list_empty(&j->reads)) {
        struct read *r = CONTAINER_OF(j->reads.next, struct read, link);
        list_remove(&r->link);
        for (size_t i = 0; i < r->count; i++) batch_ref_release(&r->batches[i]);
        free_read(j, r);
    }
}

static void finish_fire(struct io_timer *timer) {
    finish(timer->context);
}

static struct segment *find_segment(const struct journal *j, uint64_t number) {
    if (j->segment_count == 0 || number < j->segments[0]->number) return NULL;
    uint64_t at = number - j->segments[0]->number;
    return at < j->segment_count ? j->segments[at] : NULL;
}

static void take_batch(struct read *r, struct place place, const struct record *record,
                       const struct batch_header *header) {
    if (r->count == r->batch_capacity) {
        r->batch_capacity = r->batch_capacity ? r->batch_capacity * 2 : 16;
        r->batches = mem_realloc(r->batches, r->batch_capacity * sizeof *r->batches);
        r->places = mem_realloc(r->places, r->batch_capacity * sizeof *r->places);
    }
    r->places[r->count] = place;
    r->batches[r->count++] = (struct batch_ref){.first = header->first_index,
                                                .last = header->first_index + header->count - 1,
                                                .term = header->term,
                                                .buf = buf_copy(record->batch, record->batch_bytes)};
    r->bytes += record->batch_bytes;
}

// One frame's batches. True: enough.
static bool take_frame(struct read *r, const uint8_t *bytes, const struct frame_header *frame) {
    uint64_t dead_from = index_dead_from(&r->j->index, frame->place);
    struct record_walk walk = record_walk_of(bytes, frame);
    struct record record;
    while (record_next(&walk, &record)) {
        struct batch_header header;
        if (record.kind != RECORD_BATCH || !batch_decode(record.batch, record.batch_bytes, &header)) continue;
        if (header.first_index >= dead_from || header.first_index + header.count - 1 < r->first) continue;
        if (header.first_index > r->last) return true;
        if (r->count > 0 && r->bytes + record.batch_bytes > r->bytes_max) return true;
        take_batch(r, frame->place, &record, &header);
        if (header.first_index + header.count - 1 >= r->last || r->bytes >= r->bytes_max) return true;
    }
    return false;
}

static void read_done(struct io_disk_job *job, int64_t result);

static void read_more(struct read *r, size_t len) {
    struct journal *j = r->j;
    if (r->offset >= r->segment->end) { // on to the next segment
        struct segment *next = find_segment(j, r->segment->number + 1);
        if (!next || next->end == next->align) {
            finish(r);
            return;
        }
        segment_unref(j->io, r->segment);
        r->segment = next;
        next->refs++;
        r->offset = next->align;
    }
    if (!PLANTED(JOURNAL_PIECE_CUTS_HEADER)) // it never does
        len = (len + r->segment->align - 1) / r->segment->align * r->segment->align;
    uint64_t left = r->segment->end - r->offset;
    if (len > left) len = (size_t)left;
    if (len > r->capacity) {
        mem_free(r->buffer);
        r->buffer = mem_alloc(len);
        r->capacity = len;
    }
    r->iov = (struct iovec){.iov_base = r->buffer, .iov_len = len};
    r->job = (struct io_disk_job){.op = IO_DISK_READ,
                                  .file = r->segment->file,
                                  .iov = &r->iov,
                                  .iov_count = 1,
                                  .offset = r->offset,
                                  .done = read_done,
                                  .context = r};
    j->io->ops->disk_submit(j->io, &r->job);
}

static size_t piece(const struct read *r) {
    size_t want = r->bytes_max > READ_MOST ? READ_MOST : r->bytes_max;
    return want < READ_LEAST ? READ_LEAST : want;
}

static void read_done(struct io_disk_job *job, int64_t result) {
    struct read *r = job->context;
    const struct segment *segment = r->segment;
    if (result < 0 || (size_t)result < r->iov.iov_len) {
        r->result = result < 0 ? (int)result : -EIO;
        finish(r);
        return;
    }
    size_t at = 0, len = (size_t)result;
    while (at < len) {
        struct frame_header frame;
        const uint8_t *bytes = r->buffer + at;
        ENSURE(len - at >= FRAME_HEADER_BYTES); // frames begin on units
        bool good = frame_header_decode(bytes, &frame) && frame.place.segment == segment->number &&
                    frame.place.offset == r->offset && frame.salt == segment->salt;
        uint64_t total = good ? frame_total(frame.body_bytes, segment->align) : 0;
        if (good && total > segment->end - r->offset) good = false;
        if (good && total > len - at) {
            read_more(r, total > piece(r) ? (size_t)total : piece(r));
            return;
        }
        if (!good || !frame_check(bytes, &frame, segment->align)) {
            LOG_ERROR(r->j->log, "journal damage found by a read segment=%" PRIu64 " offset=%" PRIu64, segment->number,
                      r->offset);
            r->result = -EBADMSG;
            finish(r);
            return;
        }
        if (take_frame(r, bytes, &frame)) {
            finish(r);
            return;
        }
        at += (size_t)total;
        r->offset += total;
    }
    read_more(r, piece(r));
}

void journal_read(struct journal *journal, uint64_t first, uint64_t last, size_t bytes_max, journal_read_fn done,
                  void *context) {
    struct journal *j = journal;
    ENSURE(first >= 1 && first <= last);
    ENSURE(!j->closing);
    struct read *r = mem_zalloc(sizeof *r);
    r->j = j;
    r->first = first;
    r->last = last;
    r->bytes_max = bytes_max;
    r->done = done;
    r->context = context;
    r->timer = (struct io_timer){.fire = finish_fire, .context = r};
    list_push_back(&j->reads, &r->link);
    const struct index_mark *mark = index_find(&j->index, first);
    struct segment *segment = mark ? find_segment(j, mark->place.segment) : NULL;
    if (first <= j->index.start_index || first > j->index.last_index || !segment) {
        r->result = -ENOENT;
        j->io->ops->timer_start(j->io, &r->timer, 0);
        return;
    }
    segment->refs++;
    r->segment = segment;
    r->offset = mark->place.offset;
    read_more(r, piece(r));
}

// ---- cutting

static void cut_done(struct io_disk_job *job, int64_t result) {
    struct journal *j = job->context;
    j->cut.busy = false;
    if (j->closing || j->dead) {
        journal_settle(j);
        return;
    }
    if (result < 0) {
        journal_die(j, "sync of %s failed: %s", j->folder, strerror((int)-result));
        return;
    }
    journal_cut_step(j);
}

// One name at a time, oldest first, each synced before the next: a crash never leaves a gap between segments.
void journal_cut_step(struct journal *j) {
    while (!j->cut.busy && j->cut.count > 0) {
        char *path = segment_path(j->folder, j->cut.numbers[0]);
        int result = j->io->ops->unlink(j->io, path);
        if (result < 0) LOG_WARN(j->log, "journal cannot remove file=%s error=%s", path, strerror(-result));
        mem_free(path);
        if (result < 0 && result != -ENOENT) return; // stays in front: tried again at the next cut, never past it
        j->cut.count--;
        memmove(j->cut.numbers, j->cut.numbers + 1, j->cut.count * sizeof *j->cut.numbers);
        if (!j->folder_file) {
            result = j->io->ops->sync_dir(j->io, j->folder);
            if (result < 0) {
                journal_die(j, "sync of %s failed: %s", j->folder, strerror(-result));
                return;
            }
            continue;
        }
        j->cut.busy = true;
        j->cut.job = (struct io_disk_job){.op = IO_DISK_SYNC, .file = j->folder_file, .done = cut_done, .context = j};
        j->io->ops->disk_submit(j->io, &j->cut.job);
    }
}

void journal_cut(struct journal *journal, uint64_t index, uint64_t keep_from, uint64_t keep_bytes) {
    struct journal *j = journal;
    ENSURE(!j->options.read_only && !j->closing);
    // The one after the last to go must hold a synced frame: its first frame repeats the hard state and the log's base.
    size_t end = j->segment_count;
    while (end > 0 && journal_current(j)->end == journal_current(j)->align && end == j->segment_count) end--;
    size_t go = 0;
    while (go + 1 < end && j->segments[go]->last_index <= index) go++;
    if (keep_from != 0 && go > 0) {
        size_t keep = go; // the segment that holds keep_from, and all behind it
        while (keep > 0 && j->segments[keep]->base_index >= keep_from) keep--;
        uint64_t bytes = 0;
        for (size_t i = keep; i < go; i++) bytes += j->segments[i]->bytes;
        if (bytes <= keep_bytes) go = keep;
    }
    for (size_t i = 0; i < go; i++) {
        if (j->cut.count == j->cut.capacity) {
            j->cut.capacity = j->cut.capacity ? j->cut.capacity * 2 : 16;
            j->cut.numbers = mem_realloc(j->cut.numbers, j->cut.capacity * sizeof *j->cut.numbers);
        }
        j->cut.numbers[j->cut.count++] = j->segments[i]->number;
        segment_unref(j->io, j->segments[i]);
    }
    if (go > 0) {
        j->segment_count -= go;
        memmove(j->segments, j->segments + go, j->segment_count * sizeof *j->segments);
        index_forget(&j->index, j->segments[0]);
        if (j->queued_start < j->index.start_index) j->queued_start = j->index.start_index;
        j->prepare.full_at_us = 0; // there is room now
    }
    journal_cut_step(j);
}
