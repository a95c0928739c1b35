#include "storage/journal_frame.h"

#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"

void segment_header_encode(uint8_t at[SEGMENT_HEADER_BYTES], const struct segment_header *header) {
    memset(at, 0, SEGMENT_HEADER_BYTES);
    put_u32_le(at, SEGMENT_MAGIC);
    put_u16_le(at + 8, JOURNAL_FORMAT);
    put_u32_le(at + 12, header->align);
    put_u64_le(at + 16, header->segment);
    put_u64_le(at + 24, header->salt);
    put_u32_le(at + 4, crc32c(0, at + 8, SEGMENT_HEADER_BYTES - 8));
}

enum segment_header_state segment_header_decode(const uint8_t at[SEGMENT_HEADER_BYTES], struct segment_header *header) {
    if (get_u32_le(at) != SEGMENT_MAGIC) return SEGMENT_HEADER_BAD;
    if (get_u32_le(at + 4) != crc32c(0, at + 8, SEGMENT_HEADER_BYTES - 8)) return SEGMENT_HEADER_BAD;
    if (get_u16_le(at + 8) > JOURNAL_FORMAT) return SEGMENT_HEADER_NEWER;
    header->align = get_u32_le(at + 12);
    header->segment = get_u64_le(at + 16);
    header->salt = get_u64_le(at + 24);
    bool sound = get_u16_le(at + 8) != 0 && header->align >= JOURNAL_ALIGN_MIN && header->align <= JOURNAL_ALIGN_MAX &&
                 (header->align & (header->align - 1)) == 0;
    return sound ? SEGMENT_HEADER_GOOD : SEGMENT_HEADER_BAD;
}

uint64_t frame_total(uint64_t body_bytes, uint32_t align) {
    uint64_t bytes = FRAME_HEADER_BYTES + body_bytes + FRAME_FOOTER_BYTES;
    return (bytes + align - 1) & ~(uint64_t)(align - 1);
}

uint32_t frame_seal(uint8_t *at, const struct frame_header *header) {
    ENSURE(header->directory_bytes <= header->body_bytes);
    put_u32_le(at, FRAME_MAGIC);
    put_u16_le(at + 8, JOURNAL_FORMAT);
    put_u16_le(at + 10, (uint16_t)header->kind);
    put_u32_le(at + 12, header->directory_bytes);
    put_u32_le(at + 16, header->body_bytes);
    put_u32_le(at + 20, header->records);
    put_u64_le(at + 24, header->place.segment);
    put_u64_le(at + 32, header->place.offset);
    put_u64_le(at + 40, header->salt);
    put_u64_le(at + 48, header->synced.segment);
    put_u64_le(at + 56, header->synced.offset);
    uint32_t crc = crc32c(0, at + 8, FRAME_HEADER_BYTES - 8 + (size_t)header->directory_bytes);
    put_u32_le(at + 4, crc);
    return crc;
}

bool frame_header_decode(const uint8_t at[FRAME_HEADER_BYTES], struct frame_header *header) {
    if (get_u32_le(at) != FRAME_MAGIC || get_u16_le(at + 8) != JOURNAL_FORMAT) return false;
    uint16_t kind = get_u16_le(at + 10);
    if (kind != FRAME_RECORDS && kind != FRAME_EMPTY) return false;
    *header = (struct frame_header){
        .kind = (enum frame_kind)kind,
        .crc = get_u32_le(at + 4),
        .directory_bytes = get_u32_le(at + 12),
        .body_bytes = get_u32_le(at + 16),
        .records = get_u32_le(at + 20),
        .place = {.segment = get_u64_le(at + 24), .offset = get_u64_le(at + 32)},
        .salt = get_u64_le(at + 40),
        .synced = {.segment = get_u64_le(at + 48), .offset = get_u64_le(at + 56)},
    };
    return header->directory_bytes <= header->body_bytes;
}

bool frame_check(const uint8_t *at, const struct frame_header *header, uint32_t align) {
    uint64_t total = frame_total(header->body_bytes, align);
    if (get_u32_le(at + total - FRAME_FOOTER_BYTES) != (uint32_t)~header->crc) return false;
    if (crc32c(0, at + 8, FRAME_HEADER_BYTES - 8 + (size_t)header->directory_bytes) != header->crc) return false;
    struct record_walk walk = record_walk_of(at, header);
    struct record record;
    uint32_t records = 0;
    while (record_next(&walk, &record)) {
        records++;
        struct batch_header batch;
        if (record.kind == RECORD_BATCH) {
            if (!batch_decode(record.batch, record.batch_bytes, &batch)) return false;
            if (get_u32_le(record.batch) != record.batch_crc) return false;
        }
    }
    return !walk.directory.failed && walk.batch == walk.end && records == header->records;
}

void journal_record_write(struct writer *directory, const struct record *record) {
    write_u8(directory, (uint8_t)record->kind);
    switch (record->kind) {
    case RECORD_HARD:
        write_u64_le(directory, record->term);
        write_u32_le(directory, record->voted_for);
        return;
    case RECORD_BASE:
    case RECORD_START:
    case RECORD_TRUNCATE:
        write_u64_le(directory, record->index);
        write_u64_le(directory, record->term);
        return;
    case RECORD_BATCH:
        write_u32_le(directory, record->batch_bytes);
        write_u32_le(directory, record->batch_crc);
        return;
    }
    UNREACHABLE();
}

struct record_walk record_walk_of(const uint8_t *frame, const struct frame_header *header) {
    const uint8_t *body = frame + FRAME_HEADER_BYTES;
    return (struct record_walk){.directory = reader_of(body, header->directory_bytes),
                                .batch = body + header->directory_bytes,
                                .end = body + header->body_bytes};
}

bool record_next(struct record_walk *walk, struct record *record) {
    struct reader *r = &walk->directory;
    if (r->failed || reader_left(r) == 0) return false;
    uint8_t kind = read_u8(r);
    *record = (struct record){.kind = (enum record_kind)kind};
    switch (kind) {
    case RECORD_HARD:
        record->term = read_u64_le(r);
        record->voted_for = read_u32_le(r);
        break;
    case RECORD_BASE:
    case RECORD_START:
    case RECORD_TRUNCATE:
        record->index = read_u64_le(r);
        record->term = read_u64_le(r);
        break;
    case RECORD_BATCH:
        record->batch_bytes = read_u32_le(r);
        record->batch_crc = read_u32_le(r);
        record->batch = walk->batch;
        if (record->batch_bytes > (size_t)(walk->end - walk->batch)) r->failed = true;
        if (!r->failed) walk->batch += record->batch_bytes;
        break;
    default:
        r->failed = true;
    }
    return !r->failed;
}
