// Recovery. Walks the frames from the oldest segment on; where none is readable it asks whether one should be
// (replication.md "Disks"): if a readable later frame says that this place was synced, it is damage and the journal is
// refused; else it is a torn tail, which is kept in torn/, zeroed and synced before anything is appended.
//
//   seg 1  [f][f][f]0000      the end: zeros, and seg 2's first frame says "synced up to exactly here"
//   seg 2  [f][f]xx00000      xx not readable and no later frame: torn
//   seg 3  header 0000        prepared, not used yet
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "storage/journal_internal.h"

struct scanned { // a segment file as found
    struct segment *segment;
    uint64_t size; // of the file, as it is; segment->bytes is it in whole units
    bool header_good, header_zero;
};

struct scan {
    struct journal *j;
    struct journal_error *error;
    struct scanned *found;
    size_t count, capacity;
    struct segment_reader reader;
    bool too_many;
};

__attribute__((format(printf, 4, 5))) static int refuse(struct scan *s, int code, bool damage, const char *format,
                                                        ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->error->text, sizeof s->error->text, format, arguments);
    va_end(arguments);
    s->error->damage = damage;
    ENSURE(code < 0);
    return code;
}

#define DAMAGE_ADVICE                                                                                                  \
    "Nothing was changed. If this node is one of several: move its data folder away and start it empty, the others "   \
    "rebuild it. If it is alone: restore a backup. Check the disk first"

static int refuse_damage(struct scan *s, uint64_t segment, uint64_t offset, const char *why) {
    return refuse(s, -EBADMSG, true,
                  "journal: damage in %s/%020" PRIu64 ".seg at offset %" PRIu64 ", behind index %" PRIu64
                  ": %s. " DAMAGE_ADVICE,
                  s->j->folder, segment, offset, s->j->index.last_index, why);
}

static int refuse_read(struct scan *s, uint64_t segment) {
    return refuse(s, s->reader.error, true,
                  "journal: cannot read %s/%020" PRIu64 ".seg near offset %" PRIu64 ": %s. " DAMAGE_ADVICE,
                  s->j->folder, segment, s->reader.at, strerror(-s->reader.error));
}

static void found_name(void *context, const char *name) {
    struct scan *s = context;
    uint64_t number;
    if (!segment_name_parse(name, &number)) return;
    if (s->count == JOURNAL_SEGMENTS_MAX) {
        s->too_many = true;
        return;
    }
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 16;
        s->found = mem_realloc(s->found, s->capacity * sizeof *s->found);
    }
    struct segment *segment = mem_zalloc(sizeof *segment);
    segment->number = number;
    segment->refs = 1;
    s->found[s->count++] = (struct scanned){.segment = segment};
}

static void use(struct scan *s, const struct scanned *f) {
    segment_reader_file(&s->reader, f->segment->file, f->size);
}

static int open_segment(struct scan *s, struct scanned *f) {
    struct journal *j = s->j;
    char *path = segment_path(j->folder, f->segment->number);
    int result = j->io->ops->file_open(j->io, path, (j->options.read_only ? O_RDONLY : O_RDWR | O_DIRECT) | O_CLOEXEC,
                                       0, &f->segment->file);
    if (result < 0) {
        refuse(s, result, false, "journal: cannot open %s: %s", path, strerror(-result));
        mem_free(path);
        return result;
    }
    mem_free(path);
    int64_t size = j->io->ops->file_size(f->segment->file);
    if (size < 0)
        return refuse(s, (int)size, true, "journal: cannot read the size of segment %" PRIu64, f->segment->number);
    f->size = (uint64_t)size;
    f->segment->align = j->options.align;
    use(s, f);
    const uint8_t *at = segment_reader_at(&s->reader, 0, SEGMENT_HEADER_BYTES);
    if (s->reader.error) return refuse_read(s, f->segment->number);
    struct segment_header header;
    enum segment_header_state state = at ? segment_header_decode(at, &header) : SEGMENT_HEADER_BAD;
    f->header_zero = !at || bytes_zero(at, SEGMENT_HEADER_BYTES);
    if (state == SEGMENT_HEADER_NEWER) {
        return refuse(s, -ENOTSUP, false,
                      "journal: segment %" PRIu64 " in %s has a format newer than this binary's %u: start the newer "
                      "parley that wrote it",
                      f->segment->number, j->folder, JOURNAL_FORMAT);
    }
    f->header_good = state == SEGMENT_HEADER_GOOD && header.segment == f->segment->number && f->size >= header.align;
    if (f->header_good) {
        f->segment->align = header.align;
        f->segment->salt = header.salt;
    }
    f->segment->bytes = f->size & ~(uint64_t)(f->segment->align - 1);
    f->segment->limit = f->segment->bytes > j->options.segment_bytes ? f->segment->bytes : j->options.segment_bytes;
    f->segment->end = f->segment->align;
    return 0;
}

static const uint8_t *frame_at(struct scan *s, const struct scanned *f, uint64_t offset, struct frame_header *header) {
    const uint64_t *salt = f->header_good ? &f->segment->salt : NULL;
    return segment_reader_frame(&s->reader, f->segment->number, salt, f->segment->align, offset, header);
}

// Applies a readable frame's records.
static bool apply_frame(struct scan *s, const uint8_t *bytes, const struct frame_header *header,
                        bool first_of_journal) {
    struct journal *j = s->j;
    struct record_walk walk = record_walk_of(bytes, header);
    struct record record;
    while (record_next(&walk, &record)) {
        bool good = true;
        struct batch_header batch;
        switch (record.kind) {
        case RECORD_HARD:
            good = record.term >= j->index.hard.term;
            j->index.hard = (struct journal_hard){.term = record.term, .voted_for = record.voted_for};
            break;
        case RECORD_BASE:
            if (first_of_journal && j->index.run_count == 0) index_base(&j->index, record.index, record.term);
            good = record.index == j->index.last_index && record.term == j->index.last_term;
            journal_current(j)->base_index = record.index;
            journal_current(j)->base_term = record.term;
            break;
        case RECORD_START:
            good = journal_apply_start(j, header->place, record.index, record.term);
            break;
        case RECORD_TRUNCATE:
            good = journal_apply_truncate(j, header->place, record.index, record.term);
            break;
        case RECORD_BATCH:
            good = batch_decode(record.batch, record.batch_bytes, &batch) &&
                   journal_apply_batch(j, header->place, batch.first_index, batch.first_index + batch.count - 1,
                                       batch.term);
            break;
        }
        if (!good) return false;
    }
    return true;
}

// Seeks a readable frame that vouches for `bad`, at each unit behind it. 1: found (at *by), 0: none, < 0: refused.
static int vouched(struct scan *s, size_t from, struct place bad, struct place *by) {
    for (size_t i = from; i < s->count; i++) {
        const struct scanned *f = &s->found[i];
        uint64_t number = f->segment->number;
        uint32_t step = f->header_good ? f->segment->align : JOURNAL_ALIGN_MIN;
        uint64_t offset = number == bad.segment ? bad.offset + step : f->segment->align;
        if (!f->header_good) offset = step; // its align is not known: the smallest finds them all
        use(s, f);
        for (; offset < f->size; offset += step) {
            struct frame_header header;
            const uint8_t *magic = segment_reader_at(&s->reader, offset, 4);
            if (s->reader.error) return refuse_read(s, number);
            if (!magic || get_u32_le(magic) != FRAME_MAGIC) continue;
            bool good = frame_at(s, f, offset, &header) != NULL;
            for (uint32_t align = JOURNAL_ALIGN_MIN; !good && !f->header_good && align <= JOURNAL_ALIGN_MAX;
                 align *= 2) {
                good = segment_reader_frame(&s->reader, number, NULL, align, offset, &header) != NULL;
            }
            if (s->reader.error) return refuse_read(s, number);
            // A segment's header is synced before its first frame: a readable frame vouches for it too.
            if (PLANTED(DAMAGE_TAKEN_FOR_TORN)) continue;
            if (good && (place_compare(header.synced, bad) > 0 || !f->header_good)) {
                *by = header.place;
                return 1;
            }
        }
    }
    return 0;
}

// Where the last byte that is not zero stands, plus 1; `from` when there is none.
static uint64_t content_end(struct scan *s, const struct scanned *f, uint64_t from) {
    uint64_t end = from;
    use(s, f);
    for (uint64_t offset = from; offset < f->size;) {
        size_t len = 64u << 10;
        if (len > f->size - offset) len = (size_t)(f->size - offset);
        const uint8_t *at = segment_reader_at(&s->reader, offset, len);
        if (!at) break;
        if (!bytes_zero(at, len)) {
            size_t last = len;
            while (at[last - 1] == 0) last--;
            end = offset + last;
        }
        offset += len;
    }
    return end;
}

static int keep_torn(struct scan *s, const struct scanned *f, uint64_t from, uint64_t end) {
    struct journal *j = s->j;
    const struct io_ops *ops = j->io->ops;
    size_t room = strlen(j->torn_folder) + 96;
    char *path = mem_alloc(room);
    snprintf(path, room, "%s/%020" PRIu64 "-%" PRIu64 "-%" PRId64 ".torn", j->torn_folder, f->segment->number, from,
             io_unix_ms(j->io));
    struct io_file *file = NULL;
    int64_t result = ops->mkdir(j->io, j->torn_folder, 0700);
    if (result >= 0) result = ops->file_open(j->io, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600, &file);
    use(s, f);
    for (uint64_t offset = from; result >= 0 && offset < end;) {
        size_t len = end - offset < JOURNAL_PREPARE_STEP ? (size_t)(end - offset) : JOURNAL_PREPARE_STEP;
        const uint8_t *at = segment_reader_at(&s->reader, offset, len);
        result = at ? ops->file_write(file, at, len, offset - from) : s->reader.error ? s->reader.error : -EIO;
        offset += len;
    }
    if (result >= 0) result = ops->file_sync(file);
    if (file) ops->file_close(file);
    if (result >= 0) result = ops->sync_dir(j->io, j->torn_folder);
    if (result < 0) {
        refuse(s, (int)result, false,
               "journal: a torn tail (%" PRIu64 " bytes) cannot be kept in %s: %s. Make room or give access, then "
               "start again",
               end - from, path, strerror((int)-result));
    } else {
        LOG_WARN(j->log, "journal torn tail kept segment=%" PRIu64 " offset=%" PRIu64 " bytes=%" PRIu64 " file=%s",
                 f->segment->number, from, end - from, path);
    }
    mem_free(path);
    return result < 0 ? (int)result : 0;
}

static int zero(struct scan *s, const struct scanned *f, uint64_t from, uint64_t end) {
    struct journal *j = s->j;
    int64_t result = 0;
    if (f->size != f->segment->bytes) { // a last piece of a unit: the file grows in whole units
        result = j->io->ops->file_truncate(f->segment->file, f->segment->bytes);
        if (end > f->segment->bytes) end = f->segment->bytes;
    }
    for (uint64_t offset = from; result >= 0 && offset < end; offset += JOURNAL_PREPARE_STEP) {
        size_t len = end - offset < JOURNAL_PREPARE_STEP ? (size_t)(end - offset) : JOURNAL_PREPARE_STEP;
        result = j->io->ops->file_write(f->segment->file, j->zeros, len, offset);
    }
    if (result >= 0) result = j->io->ops->file_sync(f->segment->file);
    if (result >= 0) return 0;
    return refuse(s, (int)result, false, "journal: the torn tail of segment %" PRIu64 " cannot be zeroed: %s",
                  f->segment->number, strerror((int)-result));
}

static int drop_file(struct scan *s, const struct scanned *f) {
    char *path = segment_path(s->j->folder, f->segment->number);
    int result = s->j->io->ops->unlink(s->j->io, path);
    mem_free(path);
    if (result >= 0) return 0;
    return refuse(s, result, false, "journal: cannot remove the unused segment %" PRIu64 ": %s", f->segment->number,
                  strerror(-result));
}

// All that stands behind `end` (in the found segment at `last`, and in all later ones) is not part of the journal.
// keep_last: that segment goes on being the current one; else its file goes too.
static int repair(struct scan *s, size_t last, bool keep_last, uint64_t end, struct journal_recovered *recovered) {
    struct journal *j = s->j;
    bool dropped = false;
    for (size_t i = last; i < s->count; i++) {
        struct scanned *f = &s->found[i];
        bool current = i == last && keep_last;
        uint64_t from = current ? end : f->header_good ? f->segment->align : 0;
        uint64_t content = content_end(s, f, from);
        if (s->reader.error) return refuse_read(s, f->segment->number);
        int result = 0;
        if (content > from) {
            recovered->torn = true;
            recovered->torn_bytes += content - from;
            if (!j->options.read_only) result = keep_torn(s, f, from, content);
        }
        if (result < 0) return result;
        if (j->options.read_only) continue;
        if (current) {
            if (content > from || f->size != f->segment->bytes) result = zero(s, f, from, content);
        } else if (keep_last && i == last + 1 && f->header_good && content == from &&
                   f->segment->align == j->options.align && f->segment->number == s->found[last].segment->number + 1) {
            // Prepared before the restart and never used: go on with it.
            if (f->size != f->segment->bytes) result = zero(s, f, from, from);
            if (result >= 0) result = j->io->ops->file_sync(f->segment->file);
            if (result < 0)
                return refuse(s, result, false, "journal: cannot sync segment %" PRIu64, f->segment->number);
            j->next = f->segment;
            f->segment = NULL;
            j->next_ready = true;
            j->next_synced = j->next->bytes;
        } else {
            result = drop_file(s, f);
            dropped = true;
        }
        if (result < 0) return result;
    }
    if (dropped && j->io->ops->sync_dir(j->io, j->folder) < 0)
        return refuse(s, -EIO, false, "journal: cannot sync %s", j->folder);
    return 0;
}

// The checksum tells what the disk did; a batch that was built wrongly, or in bad memory, has a good one. Apply, and
// whoever looks into committed commands before, rely on whole sections: the node would stop there at every start.
static int check_batch(struct scan *s, const struct frame_header *frame, const struct record *record) {
    struct batch_header header = {.kind = (enum batch_kind)get_u16_le(record->batch + 12),
                                  .count = get_u32_le(record->batch + 20),
                                  .first_index = get_u64_le(record->batch + 24)};
    struct bytes body = bytes_of(record->batch + BATCH_HEADER_BYTES, record->batch_bytes - BATCH_HEADER_BYTES);
    if (batch_sections_good(&header, body)) return 0;
    char why[200];
    snprintf(why, sizeof why,
             "the batch of index %" PRIu64 " to %" PRIu64
             " has broken sections under a right checksum (a fault of memory or of Parley; please report it)",
             header.first_index, header.first_index + header.count - 1);
    return refuse_damage(s, frame->place.segment, frame->place.offset, why);
}

static int check_batches(struct scan *s, const uint8_t *bytes, const struct frame_header *header) {
    struct record_walk records = record_walk_of(bytes, header);
    struct record record;
    int result = 0;
    while (result == 0 && record_next(&records, &record))
        if (record.kind == RECORD_BATCH) result = check_batch(s, header, &record);
    return result;
}

// Walks one segment's frames. Gives the place of the first that is not readable in segment->end.
static int walk_segment(struct scan *s, struct scanned *f, bool first, bool *empty_last) {
    use(s, f);
    uint64_t offset = f->segment->align;
    struct frame_header header;
    const uint8_t *bytes;
    while ((bytes = frame_at(s, f, offset, &header)) != NULL) {
        int result = check_batches(s, bytes, &header);
        if (result < 0) return result;
        if (!apply_frame(s, bytes, &header, first && offset == f->segment->align)) {
            return refuse_damage(s, f->segment->number, offset, "a readable record contradicts the ones before it");
        }
        *empty_last = header.kind == FRAME_EMPTY;
        offset += frame_total(header.body_bytes, f->segment->align);
        f->segment->end = offset;
    }
    return s->reader.error ? refuse_read(s, f->segment->number) : 0;
}

static int walk(struct scan *s, struct journal_recovered *recovered) {
    struct journal *j = s->j;
    bool empty_last = true;
    for (size_t i = 0; i < s->count; i++) {
        struct scanned *f = &s->found[i];
        struct segment *segment = f->segment;
        struct place bad = {.segment = segment->number, .offset = 0};
        if (f->header_good) {
            segment->refs++;
            journal_add_segment(j, segment);
            int result = walk_segment(s, f, i == 0, &empty_last);
            if (result < 0) return result;
            bad.offset = segment->end;
            struct frame_header
                header; // the clean way on: the next segment's first frame says that this one ended here
            if (i + 1 < s->count && s->found[i + 1].header_good &&
                s->found[i + 1].segment->number == segment->number + 1) {
                use(s, &s->found[i + 1]);
                if (frame_at(s, &s->found[i + 1], s->found[i + 1].segment->align, &header) &&
                    place_compare(header.synced, bad) == 0)
                    continue;
                if (s->reader.error) return refuse_read(s, segment->number + 1);
            }
        }
        struct place by = bad;
        int result = vouched(s, i, bad, &by);
        if (result < 0) return result;
        if (result > 0) {
            char why[160];
            snprintf(why, sizeof why,
                     "a readable frame in segment %" PRIu64 " at offset %" PRIu64 " says that this was on the disk",
                     by.segment, by.offset);
            return refuse_damage(s, bad.segment, bad.offset, why);
        }
        bool used = f->header_good && segment->end > segment->align;
        if (i == 0 && !used && segment->number > 1) {
            return refuse_damage(s, bad.segment, bad.offset,
                                 "older segments were removed, so the first frame of this one was on the disk");
        }
        j->unvouched = !empty_last;
        return repair(s, i, f->header_good, bad.offset, recovered);
    }
    return 0;
}

int journal_scan(struct journal *j, struct journal_recovered *recovered, struct journal_error *error) {
    struct scan s = {.j = j, .error = error};
    segment_reader_init(&s.reader, j->io);
    int result = j->io->ops->list_dir(j->io, j->folder, found_name, &s);
    if (result < 0)
        refuse(&s, result, false, "journal: cannot list %s: %s", j->folder, strerror(-result));
    else if (s.too_many)
        result = refuse(&s, -EFBIG, false, "journal: more than %u segments in %s", JOURNAL_SEGMENTS_MAX, j->folder);
    for (size_t i = 0; result >= 0 && i < s.count; i++) result = open_segment(&s, &s.found[i]);
    if (result >= 0) result = walk(&s, recovered);
    segment_reader_free(&s.reader);
    for (size_t i = 0; i < s.count; i++) {
        if (s.found[i].segment) segment_unref(j->io, s.found[i].segment);
    }
    mem_free(s.found);
    return result < 0 ? result : 0;
}

// Second walk: what survived all truncations goes to the caller. Reads again rather than hold the log in memory.
int journal_replay(struct journal *j, void (*batch)(void *context, const struct batch_ref *batch), void *context,
                   struct journal_error *error) {
    struct scan s = {.j = j, .error = error};
    segment_reader_init(&s.reader, j->io);
    uint64_t expected = j->index.start_index + 1;
    int result = 0;
    for (size_t i = 0; i < j->segment_count && result == 0; i++) {
        struct segment *segment = j->segments[i];
        if (segment->last_index == 0) continue; // nothing in it lives
        segment_reader_file(&s.reader, segment->file, segment->end);
        for (uint64_t offset = segment->align; offset < segment->end && result == 0;) {
            struct frame_header header;
            const uint8_t *bytes =
                segment_reader_frame(&s.reader, segment->number, &segment->salt, segment->align, offset, &header);
            if (!bytes) {
                result = refuse_damage(&s, segment->number, offset, "it could be read a moment ago and now cannot");
                break;
            }
            uint64_t dead_from = index_dead_from(&j->index, header.place);
            struct record_walk records = record_walk_of(bytes, &header);
            struct record record;
            while (result == 0 && record_next(&records, &record)) {
                if (record.kind != RECORD_BATCH) continue;
                struct batch_ref ref = {.first = get_u64_le(record.batch + 24), .term = get_u64_le(record.batch + 32)};
                ref.last = ref.first + get_u32_le(record.batch + 20) - 1;
                if (ref.first >= dead_from) continue;
                if (ref.first != expected || ref.last >= dead_from) {
                    result = refuse_damage(&s, segment->number, offset, "the log was cut inside a batch");
                    break;
                }
                expected = ref.last + 1;
                if (!batch) continue;
                ref.buf = buf_copy(record.batch, record.batch_bytes);
                batch(context, &ref);
                buf_unref(ref.buf);
            }
            offset += frame_total(header.body_bytes, segment->align);
        }
    }
    if (result == 0 && expected != j->index.last_index + 1) {
        result = refuse_damage(&s, journal_current(j)->number, journal_current(j)->end, "batches are missing");
    }
    segment_reader_free(&s.reader);
    return result;
}
