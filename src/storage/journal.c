// The journal: opening, group commit, the frame that vouches when nothing follows, numbers for metrics.
//
//   journal_append -> queue -> pump: one frame of all that waits -> IO_DISK_WRITE_SYNC -> write_done -> pump, then done
//   callbacks
//
// One write is under way at most, so all that stands below a frame was synced before it was written: a frame's own
// place is what it vouches for.
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "storage/journal_internal.h"

#define SCRATCH_KEPT (1u << 20) // a burst's buffer is not kept for ever

static void defer_fire(struct io_timer *timer);
static void vouch_fire(struct io_timer *timer);
static void write_done(struct io_disk_job *job, int64_t result);

// ---- what the records say, for recovery and for appends alike

void journal_add_segment(struct journal *j, struct segment *segment) {
    if (j->segment_count == j->segment_capacity) {
        j->segment_capacity = j->segment_capacity ? j->segment_capacity * 2 : 8;
        j->segments = mem_realloc(j->segments, j->segment_capacity * sizeof(struct segment *));
    }
    ENSURE(j->segment_count == 0 || journal_current(j)->number < segment->number);
    j->segments[j->segment_count++] = segment;
}

bool journal_apply_batch(struct journal *j, struct place frame, uint64_t first, uint64_t last, uint64_t term) {
    if (!index_batch(&j->index, frame, first, last, term)) return false;
    journal_current(j)->last_index = last;
    return true;
}

bool journal_apply_truncate(struct journal *j, struct place frame, uint64_t from, uint64_t term_before) {
    if (!index_truncate(&j->index, frame, from, term_before)) return false;
    for (size_t i = j->segment_count; i-- > 0;) {
        struct segment *segment = j->segments[i];
        if (segment->last_index >= from) segment->last_index = segment->base_index < from - 1 ? from - 1 : 0;
        if (segment->base_index >= from) {
            segment->base_index = from - 1;
            segment->base_term = term_before;
        }
    }
    return true;
}

bool journal_apply_start(struct journal *j, struct place frame, uint64_t start, uint64_t term) {
    if (!index_start(&j->index, frame, start, term)) return false;
    for (size_t i = 0; i < j->segment_count; i++) {
        j->segments[i]->last_index = 0;
        j->segments[i]->base_index = start;
        j->segments[i]->base_term = term;
    }
    return true;
}

// ---- open and close

static int sync_parent(struct io *io, const char *path) {
    char *parent = mem_strdup(path);
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent) *slash = 0;
    int result = io->ops->sync_dir(io, slash ? parent : ".");
    mem_free(parent);
    return result;
}

static int make_folder(struct journal *j, struct journal_error *error) {
    if (j->options.read_only) return 0;
    int result = j->io->ops->mkdir(j->io, j->folder, 0700);
    if (result >= 0) result = sync_parent(j->io, j->folder);
    if (result < 0)
        snprintf(error->text, sizeof error->text, "journal: cannot make the folder %s: %s", j->folder,
                 strerror(-result));
    return result < 0 ? result : 0;
}

static void release(struct journal *j) {
    for (size_t i = 0; i < j->segment_count; i++) segment_unref(j->io, j->segments[i]);
    if (j->next) segment_unref(j->io, j->next);
    if (j->folder_file) j->io->ops->file_close(j->folder_file);
    if (!j->options.read_only) {
        j->io->ops->timer_stop(j->io, &j->vouch_timer);
        j->io->ops->timer_stop(j->io, &j->defer_timer);
    }
    index_free(&j->index);
    writer_free(&j->scratch);
    mem_free(j->segments);
    mem_free(j->iov);
    mem_free(j->prepare.header);
    mem_zpages_free(j->zeros, JOURNAL_PREPARE_STEP);
    mem_free(j->cut.numbers);
    mem_free(j->folder);
    mem_free(j->torn_folder);
    mem_free(j);
}

// What was read may stand in the page cache only (the process died, the machine did not): nobody may count on it before
// it is synced.
static int sync_found(struct journal *j, struct journal_error *error) {
    struct segment *current = journal_current(j);
    int result = j->io->ops->file_sync(current->file);
    if (result >= 0) result = j->io->ops->sync_dir(j->io, j->folder);
    if (result < 0)
        snprintf(error->text, sizeof error->text, "journal: cannot sync %s: %s", j->folder, strerror(-result));
    return result < 0 ? result : 0;
}

static void seal(struct journal *j, const struct frame_header *header) {
    uint32_t crc = frame_seal(j->scratch.data, header);
    put_u32_le(j->scratch.data + j->scratch.len - FRAME_FOOTER_BYTES, ~crc);
}

// The last frame that was found has nothing behind it that vouches for it (what did may have been a torn tail). Before
// anybody is told what stands in it, an empty frame does. A full disk: later, by the timer.
static int vouch_for_found(struct journal *j, struct journal_error *error) {
    const struct io_ops *ops = j->io->ops;
    struct segment *current = journal_current(j);
    uint64_t total = frame_total(0, current->align), end = current->end + total;
    ENSURE(current->end > current->align); // an unvouched frame stands in it
    struct place place = {.segment = current->number, .offset = current->end};
    writer_clear(&j->scratch);
    memset(writer_extend(&j->scratch, (size_t)total), 0, (size_t)total);
    seal(j, &(struct frame_header){.kind = FRAME_EMPTY, .salt = current->salt, .place = place, .synced = place});
    int64_t result = ops->file_write(current->file, j->scratch.data, (size_t)total, current->end);
    bool full = journal_is_full(result);
    if (full && end <= current->bytes) j->void_bytes = total; // a part of it may stand there
    if (full) result = end <= current->bytes ? 0 : ops->file_truncate(current->file, current->bytes);
    if (result >= 0 && !full) result = ops->file_sync(current->file);
    if (result < 0) {
        snprintf(error->text, sizeof error->text, "journal: cannot write to %s: %s", j->folder, strerror((int)-result));
        return (int)result;
    }
    if (full) return 0;
    current->end = end;
    if (current->bytes < end) current->bytes = end; // a segment that was full grows by it
    if (current->limit < end) current->limit = end;
    j->unvouched = false;
    return 0;
}

int journal_open(const struct journal_options *options, void (*batch)(void *context, const struct batch_ref *batch),
                 void *context, struct journal_recovered *recovered, struct journal **journal,
                 struct journal_error *error) {
    ENSURE(options->align >= JOURNAL_ALIGN_MIN && options->align <= JOURNAL_ALIGN_MAX);
    ENSURE((options->align & (options->align - 1)) == 0);
    ENSURE(options->segment_bytes >= 4 * (uint64_t)options->align && options->segment_bytes % options->align == 0);
    struct journal *j = mem_zalloc(sizeof *j);
    j->options = *options;
    j->io = options->io;
    j->log = options->log;
    j->folder = mem_strdup(options->folder);
    j->torn_folder = mem_strdup(options->torn_folder ? options->torn_folder : options->folder);
    j->queue_end = &j->queue;
    list_init(&j->reads);
    j->iov = mem_alloc(JOURNAL_IOV_MAX * sizeof *j->iov);
    j->zeros = mem_zpages(JOURNAL_PREPARE_STEP); // page-aligned, as O_DIRECT wants it
    j->prepare.header = mem_zalloc(JOURNAL_ALIGN_MAX);
    j->vouch_timer = (struct io_timer){.fire = vouch_fire, .context = j};
    j->defer_timer = (struct io_timer){.fire = defer_fire, .context = j};
    memset(recovered, 0, sizeof *recovered);
    memset(error, 0, sizeof *error);

    int result = make_folder(j, error);
    if (result == 0) result = journal_scan(j, recovered, error);
    if (result == 0 && j->segment_count == 0 && !options->read_only) result = journal_prepare_first(j, 1, error);
    if (result == 0 && !options->read_only) result = sync_found(j, error);
    if (result == 0) result = journal_replay(j, batch, context, error);
    if (result == 0 && j->unvouched && !options->read_only) result = vouch_for_found(j, error);
    if (result < 0) {
        release(j);
        return result;
    }
    recovered->hard = j->index.hard;
    recovered->start_index = j->index.start_index;
    recovered->start_term = j->index.start_term;
    recovered->last_index = j->index.last_index;
    j->queued_last = j->index.last_index;
    j->queued_start = j->index.start_index;
    if (!options->read_only) {
        if (j->io->ops->file_open(j->io, j->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &j->folder_file) < 0)
            j->folder_file = NULL;
        if (j->unvouched) j->io->ops->timer_start(j->io, &j->vouch_timer, JOURNAL_VOUCH_US);
        journal_prepare(j);
    }
    *journal = j;
    return 0;
}

void journal_settle(struct journal *j) {
    if (j->closing && !j->prepare.busy && !j->cut.busy && j->writing == WRITING_NOTHING) release(j);
}

void journal_close(struct journal *journal) {
    ENSURE(journal->dead || (journal->queue == NULL && journal->under_way == NULL));
    ENSURE(list_empty(&journal->reads));
    journal->closing = true;
    journal_settle(journal); // own jobs (zeros, the empty frame) may be under way: then they free it
}

void journal_abandon(struct journal *journal) {
    journal_reads_abandon(journal);
    if (journal->prepare.segment) segment_unref(journal->io, journal->prepare.segment);
    release(journal);
}

void journal_on_fatal(struct journal *journal, void (*fatal)(void *context, const char *text), void *context) {
    journal->fatal = fatal;
    journal->fatal_context = context;
}

void journal_die(struct journal *j, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    j->dead = true;
    LOG_ERROR(j->log, "journal fatal error=\"%s\"", text);
    if (j->fatal)
        j->fatal(j->fatal_context, text);
    else
        ensure_failed(__FILE__, __LINE__, __func__, text);
}

// ---- the queue

void journal_append(struct journal *journal, struct journal_append *append) {
    struct journal *j = journal;
    ENSURE(!j->options.read_only && !j->closing);
    if (append->has_start) j->queued_start = j->queued_last = append->start_index;
    if (append->truncate_from != 0) {
        ENSURE(append->truncate_from > j->queued_start && append->truncate_from <= j->queued_last + 1);
        j->queued_last = append->truncate_from - 1;
    }
    for (size_t i = 0; i < append->batch_count; i++) {
        ENSURE(append->batches[i].first == j->queued_last + 1 && append->batches[i].last >= append->batches[i].first);
        j->queued_last = append->batches[i].last;
    }
    append->next = NULL;
    *j->queue_end = append;
    j->queue_end = &append->next;
    journal_pump(j);
}

static void answer(struct journal_append *list, int result) {
    while (list) {
        struct journal_append *next = list->next; // done may free it
        list->done(list, result);
        list = next;
    }
}

void journal_fail_queue(struct journal *j, int result) {
    ENSURE(j->writing == WRITING_NOTHING && j->under_way == NULL);
    struct journal_append *list = j->queue;
    j->queue = NULL;
    j->queue_end = &j->queue;
    j->queued_last = j->index.last_index;
    j->queued_start = j->index.start_index;
    j->prepare.waiting = 0;
    if (list) j->full = true;
    answer(list, result);
}

static void defer_fire(struct io_timer *timer) {
    struct journal *j = timer->context;
    j->deferred_full = false;
    if (j->prepare.waiting && j->writing == WRITING_NOTHING) journal_fail_queue(j, -ENOSPC);
}

static void vouch_fire(struct io_timer *timer) {
    struct journal *j = timer->context;
    if (!j->unvouched || j->dead || j->writing != WRITING_NOTHING)
        return; // a write under way vouches, and starts the time anew
    j->vouch_due = true;
    journal_pump(j);
}

// ---- frames

static size_t append_directory_bytes(const struct journal_append *a) {
    return (a->hard ? 13 : 0) + (a->has_start ? RECORD_BYTES_MAX : 0) + (a->truncate_from ? RECORD_BYTES_MAX : 0) +
           a->batch_count * RECORD_BATCH_BYTES;
}

static uint64_t append_bytes(const struct journal_append *a) {
    uint64_t bytes = append_directory_bytes(a);
    for (size_t i = 0; i < a->batch_count; i++) bytes += a->batches[i].buf->len;
    return bytes;
}

#define FIRST_FRAME_DIRECTORY (13u + RECORD_BYTES_MAX) // HARD and BASE

// Room that entries may not use: on a full disk what is left is for the hard state.
static uint64_t reserve(const struct journal *j) {
    if (!j->prepare.full_at_us) return 0;
    uint64_t eighth = j->options.segment_bytes / 8;
    return eighth < JOURNAL_RESERVE ? eighth : JOURNAL_RESERVE;
}

// How many of the queue go in a frame of at most `room` bytes; 0: not even the first, then *body is what that one
// needs.
static size_t gather(const struct journal *j, uint64_t room, bool first_frame, uint32_t align, uint64_t *body) {
    uint64_t kept = reserve(j);
    size_t count = 0;
    *body = first_frame ? FIRST_FRAME_DIRECTORY : 0;
    for (const struct journal_append *a = j->queue; a; a = a->next) {
        // A cut looks its term up in what is on disk, so it opens a frame.
        if (count > 0 && (a->has_start || a->truncate_from != 0)) break;
        uint64_t more = append_bytes(a);
        if (count > 0 && *body + more > JOURNAL_FRAME_SOFT) break;
        if (frame_total(*body + more, align) + (a->batch_count ? kept : 0) > room) {
            if (count == 0) *body += more;
            break;
        }
        *body += more;
        count++;
    }
    ENSURE(*body <= UINT32_MAX);
    return count;
}

static uint32_t write_directory(struct journal *j, bool first_frame) {
    struct writer *w = &j->scratch;
    uint32_t records = 0;
    if (first_frame) {
        journal_record_write(
            w, &(struct record){.kind = RECORD_HARD, .term = j->index.hard.term, .voted_for = j->index.hard.voted_for});
        journal_record_write(
            w, &(struct record){.kind = RECORD_BASE, .index = j->index.last_index, .term = j->index.last_term});
        records += 2;
    }
    for (const struct journal_append *a = j->under_way; a; a = a->next) {
        if (a->hard) {
            journal_record_write(
                w, &(struct record){.kind = RECORD_HARD, .term = a->hard->term, .voted_for = a->hard->voted_for});
            records++;
        }
        if (a->has_start) {
            journal_record_write(
                w, &(struct record){.kind = RECORD_START, .index = a->start_index, .term = a->start_term});
            records++;
        }
        if (a->truncate_from) {
            uint64_t before = a->truncate_from - 1;
            uint64_t term = a->has_start ? a->start_term : index_term(&j->index, before);
            journal_record_write(w, &(struct record){.kind = RECORD_TRUNCATE, .index = a->truncate_from, .term = term});
            records++;
        }
        for (size_t i = 0; i < a->batch_count; i++) {
            const struct buf *buf = a->batches[i].buf;
            journal_record_write(w, &(struct record){.kind = RECORD_BATCH,
                                                     .batch_bytes = (uint32_t)buf->len,
                                                     .batch_crc = get_u32_le(buf->data)});
            records++;
        }
    }
    return records;
}

// Small batches are copied behind the directory, large ones stay where they are. Gives the number of iovecs.
static int write_batches(struct journal *j, uint64_t total) {
    size_t large = 0, copied = 0;
    for (const struct journal_append *a = j->under_way; a; a = a->next) {
        for (size_t i = 0; i < a->batch_count; i++) large += a->batches[i].buf->len >= JOURNAL_COPY_BELOW;
    }
    size_t below = large * 2 + 2 > JOURNAL_IOV_MAX ? SIZE_MAX : JOURNAL_COPY_BELOW;
    for (const struct journal_append *a = j->under_way; a; a = a->next) {
        for (size_t i = 0; i < a->batch_count; i++)
            copied += a->batches[i].buf->len < below ? a->batches[i].buf->len : 0;
    }
    struct writer *w = &j->scratch;
    writer_reserve(w, copied + JOURNAL_ALIGN_MAX + FRAME_FOOTER_BYTES); // from here on it does not move
    int count = 0;
    size_t from = 0;
    uint64_t bytes = w->len;
    for (const struct journal_append *a = j->under_way; a; a = a->next) {
        for (size_t i = 0; i < a->batch_count; i++) {
            const struct buf *buf = a->batches[i].buf;
            bytes += buf->len;
            if (buf->len < below) {
                write_span(w, bytes_of(buf->data, buf->len));
                continue;
            }
            if (w->len > from) j->iov[count++] = (struct iovec){.iov_base = w->data + from, .iov_len = w->len - from};
            from = w->len;
            j->iov[count++] = (struct iovec){.iov_base = (void *)buf->data, .iov_len = buf->len};
        }
    }
    size_t padding = (size_t)(total - bytes);
    ENSURE(padding >= FRAME_FOOTER_BYTES && padding < JOURNAL_ALIGN_MAX + FRAME_FOOTER_BYTES);
    memset(writer_extend(w, padding), 0, padding);
    j->iov[count++] = (struct iovec){.iov_base = w->data + from, .iov_len = w->len - from};
    ENSURE(count <= JOURNAL_IOV_MAX);
    return count;
}

static void submit(struct journal *j, enum journal_writing writing, uint64_t offset, int iov_count) {
    j->writing = writing;
    j->write_started_us = io_now_us(j->io);
    j->job = (struct io_disk_job){.op = PLANTED(JOURNAL_WITHOUT_FSYNC) ? IO_DISK_WRITE : IO_DISK_WRITE_SYNC,
                                  .file = journal_current(j)->file,
                                  .iov = j->iov,
                                  .iov_count = iov_count,
                                  .offset = offset,
                                  .done = write_done,
                                  .context = j};
    j->io->ops->disk_submit(j->io, &j->job);
}

static void write_frame(struct journal *j, size_t appends, uint64_t body) {
    struct segment *segment = journal_current(j);
    bool first_frame = segment->end == segment->align;
    j->frame = (struct place){.segment = segment->number, .offset = segment->end};
    j->frame_bytes = frame_total(body, segment->align);
    ENSURE(j->frame_bytes <= segment->bytes - segment->end);
    j->frame_empty = appends == 0;
    j->vouch_due = false;
    j->prepare.waiting = 0;
    j->under_way = appends ? j->queue : NULL;
    if (appends) {
        struct journal_append *last = j->queue;
        for (size_t i = 1; i < appends; i++) last = last->next;
        j->queue = last->next;
        if (!j->queue) j->queue_end = &j->queue;
        last->next = NULL;
    }
    if (j->scratch.capacity > SCRATCH_KEPT) writer_free(&j->scratch);
    writer_clear(&j->scratch);
    memset(writer_extend(&j->scratch, FRAME_HEADER_BYTES), 0, FRAME_HEADER_BYTES);
    uint32_t records = write_directory(j, first_frame);
    uint32_t directory = (uint32_t)(j->scratch.len - FRAME_HEADER_BYTES);
    int iov_count = write_batches(j, j->frame_bytes);
    struct place synced = j->frame;
    if (first_frame && j->segment_count > 1) { // the way on from the segment before is checked by exactly this
        const struct segment *before = j->segments[j->segment_count - 2];
        synced = (struct place){.segment = before->number, .offset = before->end};
    }
    struct frame_header header = {.kind = appends ? FRAME_RECORDS : FRAME_EMPTY,
                                  .directory_bytes = directory,
                                  .body_bytes = (uint32_t)body,
                                  .records = records,
                                  .salt = segment->salt,
                                  .place = j->frame,
                                  .synced = synced};
    seal(j, &header);
    submit(j, WRITING_FRAME, j->frame.offset, iov_count);
}

static void write_void(struct journal *j) {
    int count = 0;
    uint64_t left = j->void_bytes;
    for (; left > 0 && count < JOURNAL_IOV_MAX; count++) {
        size_t len = left < JOURNAL_PREPARE_STEP ? (size_t)left : JOURNAL_PREPARE_STEP;
        j->iov[count] = (struct iovec){.iov_base = j->zeros, .iov_len = len};
        left -= len;
    }
    submit(j, WRITING_VOID, journal_current(j)->end + left,
           count); // the end first, so that what is left stays in one piece
}

void journal_pump(struct journal *j) {
    if (j->dead || j->closing || j->writing != WRITING_NOTHING) return;
    if (!j->queue && !j->vouch_due) {
        journal_prepare(j);
        return;
    }
    if (j->void_bytes > 0) {
        write_void(j);
        return;
    }
    uint64_t body = 0;
    for (;;) {
        struct segment *current = journal_current(j);
        bool first_frame = current->end == current->align;
        size_t count = gather(j, current->bytes - current->end, first_frame, current->align, &body);
        bool fits = j->queue ? count > 0 : frame_total(body, current->align) <= current->bytes - current->end;
        if (fits) {
            write_frame(j, count, body);
            break;
        }
        uint64_t kept = j->queue && j->queue->batch_count ? reserve(j) : 0;
        uint64_t need = frame_total(body, current->align);
        if (first_frame && need > current->limit - current->end)
            current->limit = current->end + need; // empty, so it grows
        j->prepare.waiting_next = need + kept > current->limit - current->end;
        if (j->prepare.waiting_next) {
            gather(j, 0, true, j->options.align, &body);
            need = frame_total(body, j->options.align);
            if (j->next && j->next_ready && need <= j->next->bytes - j->next->end) {
                journal_use_next(j);
                continue;
            }
        }
        j->prepare.waiting = need + kept; // the step that makes the room calls again; or fails the queue
        break;
    }
    journal_prepare(j);
}

// ---- completion

static void apply_written(struct journal *j) {
    for (const struct journal_append *a = j->under_way; a; a = a->next) {
        bool good = true;
        if (a->hard) {
            ENSURE(a->hard->term >= j->index.hard.term);
            j->index.hard = *a->hard;
        }
        if (a->has_start) good = good && journal_apply_start(j, j->frame, a->start_index, a->start_term);
        if (a->truncate_from) {
            uint64_t before = a->truncate_from - 1;
            good = good && journal_apply_truncate(j, j->frame, a->truncate_from, index_term(&j->index, before));
        }
        for (size_t i = 0; i < a->batch_count; i++) {
            const struct batch_ref *b = &a->batches[i];
            good = good && journal_apply_batch(j, j->frame, b->first, b->last, b->term);
        }
        j->stats.batches += a->batch_count;
        ENSURE(good);
    }
}

static void write_failed(struct journal *j, struct io_disk_job *job, int64_t result) {
    if (job->failed_sync || !journal_is_full(result)) {
        // Raft thesis 3.8 rests on what is synced; a second fsync may say yes for pages that the kernel gave up. So no
        // retry.
        journal_die(j, "journal %s failed in %s segment %" PRIu64 " at offset %" PRIu64 ": %s",
                    job->failed_sync ? "fdatasync" : "write", j->folder, journal_current(j)->number, job->offset,
                    strerror((int)-result));
        return;
    }
    if (j->frame_bytes > j->void_bytes) j->void_bytes = j->frame_bytes;
    if (j->under_way) { // back in front of the queue: all of it is answered alike
        struct journal_append *last = j->under_way;
        while (last->next) last = last->next;
        last->next = j->queue;
        if (!j->queue) j->queue_end = &last->next;
        j->queue = j->under_way;
        j->under_way = NULL;
    }
    j->vouch_due = false;
    if (j->queue) journal_fail_queue(j, -ENOSPC);
    if (j->unvouched) j->io->ops->timer_start(j->io, &j->vouch_timer, JOURNAL_VOUCH_US);
}

static void write_done(struct io_disk_job *job, int64_t result) {
    struct journal *j = job->context;
    enum journal_writing was = j->writing;
    j->writing = WRITING_NOTHING;
    if (j->closing || j->dead) {
        journal_settle(j);
        return;
    }
    if (result < 0 && !(PLANTED(FAILED_FSYNC_IGNORED) && job->failed_sync)) {
        write_failed(j, job, result);
        return;
    }
    histogram_add(&j->sync_us, job->duration_us);
    if (was == WRITING_VOID) {
        j->void_bytes = job->offset - journal_current(j)->end;
        journal_pump(j);
        return;
    }
    journal_current(j)->end += j->frame_bytes;
    j->stats.writes++;
    j->stats.bytes += j->frame_bytes;
    j->full = false;
    apply_written(j);
    j->unvouched = !j->frame_empty;
    if (j->unvouched) j->io->ops->timer_start(j->io, &j->vouch_timer, JOURNAL_VOUCH_US);
    struct journal_append *list = j->under_way;
    j->under_way = NULL;
    journal_pump(j); // the disk goes on while the callers are told
    answer(list, 0);
}

void journal_stats(const struct journal *journal, struct journal_stats *stats) {
    const struct journal *j = journal;
    *stats = j->stats;
    stats->segments = j->segment_count + (j->next != NULL);
    stats->first_index = j->index.start_index + 1;
    stats->last_index = j->index.last_index;
    stats->disk_bytes = j->next ? j->next->bytes : 0;
    for (size_t i = 0; i < j->segment_count; i++) stats->disk_bytes += j->segments[i]->bytes;
    stats->stalled_us = j->writing != WRITING_NOTHING ? io_now_us(j->io) - j->write_started_us : 0;
    stats->full = j->full;
    stats->sync_us = &j->sync_us;
}
