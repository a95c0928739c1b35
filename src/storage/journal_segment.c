// Segment files: their names, and reading them in large pieces.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/journal_internal.h"

#define READ_WINDOW (4u << 20)

char *segment_path(const char *folder, uint64_t number) {
    size_t len = strlen(folder) + 32;
    char *path = mem_alloc(len);
    snprintf(path, len, "%s/%020" PRIu64 ".seg", folder, number);
    return path;
}

bool segment_name_parse(const char *name, uint64_t *number) {
    if (strlen(name) != 24 || strcmp(name + 20, ".seg") != 0) return false;
    uint64_t value = 0;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9') return false;
        uint64_t digit = (uint64_t)(name[i] - '0');
        if (value > (UINT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *number = value;
    return value > 0 && value < UINT64_MAX;
}

void segment_unref(struct io *io, struct segment *segment) {
    ENSURE(segment->refs > 0);
    if (--segment->refs > 0) return;
    if (segment->file) io->ops->file_close(segment->file);
    mem_free(segment);
}

void segment_reader_init(struct segment_reader *r, struct io *io) {
    memset(r, 0, sizeof *r);
    r->io = io;
}

void segment_reader_free(struct segment_reader *r) {
    mem_free(r->buffer);
    memset(r, 0, sizeof *r);
}

void segment_reader_file(struct segment_reader *r, struct io_file *file, uint64_t size) {
    r->file = file;
    r->size = size;
    r->at = 0;
    r->len = 0;
}

const uint8_t *segment_reader_at(struct segment_reader *r, uint64_t offset, size_t len) {
    if (offset > r->size || len > r->size - offset) return NULL;
    if (offset >= r->at && offset - r->at <= r->len && len <= r->len - (size_t)(offset - r->at)) {
        return r->buffer + (offset - r->at);
    }
    size_t want = len > READ_WINDOW ? len : READ_WINDOW;
    if (want > r->size - offset) want = (size_t)(r->size - offset);
    if (want > r->capacity) {
        mem_free(r->buffer);
        r->buffer = mem_alloc(want);
        r->capacity = want;
    }
    r->len = 0;
    r->at = offset;
    int64_t got = r->io->ops->file_read(r->file, r->buffer, want, offset);
    if (got < 0) {
        r->error = (int)got;
        return NULL;
    }
    r->len = (size_t)got;
    return r->len >= len ? r->buffer : NULL;
}

const uint8_t *segment_reader_frame(struct segment_reader *r, uint64_t segment, const uint64_t *salt, uint32_t align,
                                    uint64_t offset, struct frame_header *header) {
    const uint8_t *at = segment_reader_at(r, offset, align);
    if (!at || !frame_header_decode(at, header)) return NULL;
    if (header->place.segment != segment || header->place.offset != offset) return NULL;
    if (salt && header->salt != *salt) return NULL;
    uint64_t total = frame_total(header->body_bytes, align);
    if (total > r->size - offset) return NULL;
    at = segment_reader_at(r, offset, (size_t)total);
    return at && frame_check(at, header, align) ? at : NULL;
}

bool bytes_zero(const uint8_t *data, size_t len) {
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}
