// Room ahead of the write position. A frame overwrites zeros that are already there, so its fdatasync moves data only
// and no metadata, and a full disk is met here, before it can break off a frame. One step at a time, each a disk job
// beside the appends, and as large as a step may be: zeros that grow a file change its metadata, which the next
// fdatasync of that file then writes too, so a step beside each frame would double the work of each.
//
//   current  ... -> PREPARE_CURRENT (1 MB of zeros) until 4 MB ahead of the frames
//   next     PREPARE_HEADER -> _HEADER_SYNC -> _FOLDER_SYNC (ready) -> PREPARE_NEXT ... -> PREPARE_NEXT_SYNC
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/journal_internal.h"

static struct segment *new_segment(struct journal *j, uint64_t number) {
    struct segment *segment = mem_zalloc(sizeof *segment);
    segment->number = number;
    segment->align = j->options.align;
    segment->end = segment->align;
    segment->limit = j->options.segment_bytes;
    segment->refs = 1;
    j->io->ops->random(j->io, &segment->salt, sizeof segment->salt);
    memset(j->prepare.header, 0, segment->align);
    segment_header_encode(j->prepare.header,
                          &(struct segment_header){.align = segment->align, .segment = number, .salt = segment->salt});
    return segment;
}

static int open_new(struct journal *j, struct segment *segment) {
    char *path = segment_path(j->folder, segment->number);
    int result =
        j->io->ops->file_open(j->io, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT, 0600, &segment->file);
    mem_free(path);
    return result;
}

int journal_prepare_first(struct journal *j, uint64_t number, struct journal_error *error) {
    struct segment *segment = new_segment(j, number);
    uint64_t bytes = segment->limit < JOURNAL_PREPARE_STEP ? segment->limit : JOURNAL_PREPARE_STEP;
    int64_t result = open_new(j, segment);
    if (result >= 0) result = j->io->ops->file_write(segment->file, j->prepare.header, segment->align, 0);
    if (result >= 0)
        result = j->io->ops->file_write(segment->file, j->zeros, (size_t)bytes - segment->align, segment->align);
    if (result >= 0) result = j->io->ops->file_sync(segment->file);
    if (result >= 0) result = j->io->ops->sync_dir(j->io, j->folder);
    if (result < 0) {
        snprintf(error->text, sizeof error->text, "journal: cannot make the first segment in %s: %s", j->folder,
                 strerror((int)-result));
        error->damage = false;
        segment_unref(j->io, segment);
        return (int)result;
    }
    segment->bytes = bytes;
    journal_add_segment(j, segment);
    return 0;
}

void journal_use_next(struct journal *j) {
    ENSURE(j->next && j->next_ready);
    struct segment *segment = j->next;
    segment->base_index = j->index.last_index;
    segment->base_term = j->index.last_term;
    j->next = NULL;
    j->next_ready = false;
    j->next_synced = 0;
    journal_add_segment(j, segment);
}

static void step_done(struct io_disk_job *job, int64_t result);

// segment: the one it is for, held until it is done; NULL: the folder.
static void submit(struct journal *j, enum prepare_step step, struct segment *segment, enum io_disk_op op,
                   uint64_t offset, int iov_count) {
    struct io_file *file = segment ? segment->file : j->folder_file;
    if (segment) segment->refs++;
    j->prepare.segment = segment;
    j->prepare.busy = true;
    j->prepare.step = step;
    j->prepare.job = (struct io_disk_job){.op = op,
                                          .file = file,
                                          .iov = j->prepare.iov,
                                          .iov_count = iov_count,
                                          .offset = offset,
                                          .done = step_done,
                                          .context = j};
    j->io->ops->disk_submit(j->io, &j->prepare.job);
}

static void submit_zeros(struct journal *j, enum prepare_step step, struct segment *segment, uint64_t to) {
    uint64_t bytes = to - segment->bytes;
    if (bytes > JOURNAL_PREPARE_STEP) bytes = JOURNAL_PREPARE_STEP;
    ENSURE(bytes > 0 && bytes % segment->align == 0);
    j->prepare.bytes = bytes;
    j->prepare.iov[0] = (struct iovec){.iov_base = j->zeros, .iov_len = (size_t)bytes};
    submit(j, step, segment, IO_DISK_WRITE, segment->bytes, 1);
}

static void met_full(struct journal *j) {
    j->prepare.full_at_us = io_now_us(j->io);
    if (j->prepare.full_at_us == 0) j->prepare.full_at_us = 1;
}

static void begin_next(struct journal *j) {
    struct segment *segment = new_segment(j, journal_current(j)->number + 1);
    int result = open_new(j, segment);
    if (result < 0) {
        segment_unref(j->io, segment);
        met_full(j); // no name, no descriptor: like a full disk, it may pass
        LOG_WARN(j->log, "journal cannot make the next segment error=%s", strerror(-result));
        if (j->prepare.waiting) { // answered from the loop, never from inside the append that asked
            j->deferred_full = true;
            j->io->ops->timer_start(j->io, &j->defer_timer, 0);
        }
        return;
    }
    j->next = segment;
    j->next_ready = false;
    j->next_synced = 0;
    uint64_t bytes = segment->limit < JOURNAL_PREPARE_STEP ? segment->limit : JOURNAL_PREPARE_STEP;
    j->prepare.bytes = bytes;
    j->prepare.iov[0] = (struct iovec){.iov_base = j->prepare.header, .iov_len = segment->align};
    j->prepare.iov[1] = (struct iovec){.iov_base = j->zeros, .iov_len = (size_t)bytes - segment->align};
    submit(j, PREPARE_HEADER, segment, IO_DISK_WRITE, 0, 2);
}

static uint64_t whole_units(uint64_t bytes, uint32_t align) {
    return (bytes + align - 1) & ~(uint64_t)(align - 1);
}

// How far the current segment should be zeroed now.
static uint64_t current_target(const struct journal *j, const struct segment *current) {
    uint64_t ahead = current->end + JOURNAL_PREPARE_AHEAD;
    if (j->prepare.waiting && !j->prepare.waiting_next) ahead += j->prepare.waiting;
    ahead = whole_units(ahead, current->align);
    return ahead < current->limit ? ahead : current->limit;
}

// And the next one: from a quarter of the current one's use on, twice as fast as that is used, so it is done at three
// quarters.
static uint64_t next_target(const struct journal *j, const struct segment *current) {
    if (j->prepare.waiting && j->prepare.waiting_next) return j->next->limit;
    uint64_t quarter = current->limit / 4;
    uint64_t used = current->end > quarter ? (current->end - quarter) * 2 : 0;
    used = whole_units(used, j->next->align);
    return used < j->next->limit ? used : j->next->limit;
}

// Whole steps only, but the last of a segment, and what a frame waits for.
static bool step_due(const struct journal *j, const struct segment *segment, uint64_t target) {
    if (segment->bytes >= target) return false;
    return j->prepare.waiting || target == segment->limit || target - segment->bytes >= JOURNAL_PREPARE_STEP;
}

void journal_prepare(struct journal *j) {
    if (j->prepare.busy || j->dead || j->closing || j->options.read_only || j->deferred_full) return;
    if (j->prepare.full_at_us && !j->prepare.waiting && io_now_us(j->io) - j->prepare.full_at_us < JOURNAL_RETRY_US)
        return;
    struct segment *current = journal_current(j);
    bool for_next = j->prepare.waiting && j->prepare.waiting_next;
    uint64_t target = current_target(j, current);
    if (step_due(j, current, target) && !for_next) {
        submit_zeros(j, PREPARE_CURRENT, current, target);
        return;
    }
    if (!for_next && (current->bytes < current->limit || current->end < current->limit / 4)) return;
    if (!j->next) {
        begin_next(j);
        return;
    }
    struct segment *next = j->next;
    if (for_next) {
        uint64_t need = whole_units(next->align + j->prepare.waiting, next->align);
        if (need > next->limit) next->limit = need;
    }
    if (next->bytes == 0) { // its first step failed on a full disk; the header is still in its buffer
        uint64_t bytes = next->limit < JOURNAL_PREPARE_STEP ? next->limit : JOURNAL_PREPARE_STEP;
        j->prepare.bytes = bytes;
        j->prepare.iov[0] = (struct iovec){.iov_base = j->prepare.header, .iov_len = next->align};
        j->prepare.iov[1] = (struct iovec){.iov_base = j->zeros, .iov_len = (size_t)bytes - next->align};
        submit(j, PREPARE_HEADER, next, IO_DISK_WRITE, 0, 2);
        return;
    }
    target = next_target(j, current);
    uint64_t unsynced = next->bytes - j->next_synced;
    if (unsynced >= JOURNAL_PREPARE_SYNC || (unsynced > 0 && next->bytes >= next->limit)) {
        submit(j, PREPARE_NEXT_SYNC, next, IO_DISK_SYNC, 0, 0);
    } else if (step_due(j, next, target)) {
        submit_zeros(j, PREPARE_NEXT, next, target);
    }
}

static void folder_synced(struct journal *j) {
    j->next_ready = true;
    j->next_synced = j->next->bytes;
    j->prepare.full_at_us = 0;
}

static void go_on(struct journal *j, struct segment *segment) {
    int result;
    switch (j->prepare.step) {
    case PREPARE_CURRENT: // what was the next segment may be the current one by now, and the current one an old one
    case PREPARE_NEXT:
        segment->bytes += j->prepare.bytes;
        j->prepare.full_at_us = 0;
        break;
    case PREPARE_HEADER:
        segment->bytes = j->prepare.bytes;
        submit(j, PREPARE_HEADER_SYNC, segment, IO_DISK_SYNC, 0, 0);
        return;
    case PREPARE_HEADER_SYNC:
        if (j->folder_file) {
            submit(j, PREPARE_FOLDER_SYNC, NULL, IO_DISK_SYNC, 0, 0);
            return;
        }
        result = j->io->ops->sync_dir(j->io, j->folder);
        if (result < 0) {
            journal_die(j, "sync of %s failed: %s", j->folder, strerror(-result));
            return;
        }
        folder_synced(j);
        break;
    case PREPARE_FOLDER_SYNC:
        folder_synced(j);
        break;
    case PREPARE_NEXT_SYNC:
        if (segment == j->next) j->next_synced = segment->bytes;
        break;
    }
    journal_pump(j); // may wait for this room; and prepares on
}

static void step_done(struct io_disk_job *job, int64_t result) {
    struct journal *j = job->context;
    struct segment *segment = j->prepare.segment;
    j->prepare.busy = false;
    j->prepare.segment = NULL;
    if (j->closing || j->dead) {
        if (segment) segment_unref(j->io, segment);
        journal_settle(j);
        return;
    }
    if (result >= 0) {
        go_on(j, segment);
    } else if (job->op == IO_DISK_SYNC || job->failed_sync || !journal_is_full(result)) {
        bool sync = job->op == IO_DISK_SYNC || job->failed_sync;
        journal_die(j, "preparing a journal segment failed in %s: %s", sync ? "fdatasync" : "write",
                    strerror((int)-result));
    } else {
        met_full(j);
        if (j->prepare.waiting) journal_fail_queue(j, -ENOSPC);
    }
    if (segment) segment_unref(j->io, segment);
}
