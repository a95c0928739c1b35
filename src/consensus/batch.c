// Batches: see batch.h for the layout.
#include "consensus/batch.h"

#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "consensus/membership.h"

void batch_ref_release(struct batch_ref *batch) {
    buf_unref(batch->buf);
    batch->buf = NULL;
}

// Consensus acts on a membership when it is appended, long before apply could refuse it.
static bool good_membership(struct bytes body) {
    struct raft_membership m;
    bool good = membership_decode(&m, body);
    membership_free(&m); // of bad bytes: empty
    return good;
}

bool batch_decode(const void *data, size_t len, struct batch_header *header) {
    const uint8_t *at = data;
    if (len < BATCH_HEADER_BYTES || get_u32_le(at + 4) != BATCH_MAGIC || get_u16_le(at + 14) != BATCH_VERSION) {
        return false;
    }
    uint16_t kind = get_u16_le(at + 12);
    if (kind < BATCH_EMPTY || kind > BATCH_MEMBERSHIP) return false;
    *header = (struct batch_header){
        .group = get_u32_le(at + 8),
        .kind = (enum batch_kind)kind,
        .body_bytes = get_u32_le(at + 16),
        .count = get_u32_le(at + 20),
        .first_index = get_u64_le(at + 24),
        .term = get_u64_le(at + 32),
        .log_time_ms = get_u64_le(at + 40),
        .seed = get_u64_le(at + 48),
    };
    if (header->body_bytes != len - BATCH_HEADER_BYTES) return false;
    if (header->count == 0 || header->first_index > UINT64_MAX - header->count) return false;
    if (crc32c(0, at + 4, len - 4) != get_u32_le(at)) return false;
    struct bytes body = bytes_of(at + BATCH_HEADER_BYTES, header->body_bytes);
    if (header->kind == BATCH_EMPTY) return header->count == 1 && body.len == 0;
    return header->kind != BATCH_MEMBERSHIP || (header->count == 1 && good_membership(body));
}

bool batch_sections_good(const struct batch_header *header, struct bytes body) {
    if (header->kind != BATCH_COMMANDS) return true;
    struct reader r = reader_of(body.data, body.len);
    struct section section;
    uint64_t count = 0;
    while (section_read(&r, &section)) count += section.count;
    return !r.failed && count == header->count;
}

void batch_encode_header(uint8_t *at, const struct batch_header *header) {
    ENSURE(header->count >= 1);
    ENSURE(header->kind >= BATCH_EMPTY && header->kind <= BATCH_MEMBERSHIP);
    put_u32_le(at, 0);
    put_u32_le(at + 4, BATCH_MAGIC);
    put_u32_le(at + 8, header->group);
    put_u16_le(at + 12, (uint16_t)header->kind);
    put_u16_le(at + 14, BATCH_VERSION);
    put_u32_le(at + 16, header->body_bytes);
    put_u32_le(at + 20, header->count);
    put_u64_le(at + 24, header->first_index);
    put_u64_le(at + 32, header->term);
    put_u64_le(at + 40, header->log_time_ms);
    put_u64_le(at + 48, header->seed);
}

void batch_seal(struct buf *buf) {
    ENSURE(buf->len >= BATCH_HEADER_BYTES);
    ENSURE(get_u32_le(buf->data + 16) == buf->len - BATCH_HEADER_BYTES);
    put_u32_le(buf->data, crc32c(0, buf->data + 4, buf->len - 4));
}

struct batch_ref batch_make(const struct batch_header *header, struct bytes body) {
    ENSURE(body.len <= UINT32_MAX);
    ENSURE(header->first_index <= UINT64_MAX - header->count);
    struct batch_header full = *header;
    full.body_bytes = (uint32_t)body.len;
    struct buf *buf = buf_new(BATCH_HEADER_BYTES + body.len);
    batch_encode_header(buf->data, &full);
    if (body.len > 0) memcpy(buf->data + BATCH_HEADER_BYTES, body.data, body.len);
    batch_seal(buf);
    return (struct batch_ref){
        .first = full.first_index, .last = full.first_index + full.count - 1, .term = full.term, .buf = buf};
}

bool section_read(struct reader *reader, struct section *section) {
    if (reader->failed || reader_left(reader) == 0) return false;
    section->origin = read_u32_le(reader);
    section->boot = read_u64_le(reader);
    section->first_seq = read_u64_le(reader);
    section->count = read_u32_le(reader);
    uint32_t bytes = read_u32_le(reader);
    section->commands = read_span(reader, bytes);
    if (reader->failed) return false;
    if (section->count == 0 || (section->origin == 0 && (section->boot != 0 || section->first_seq != 0))) {
        reader->failed = true;
        return false;
    }
    // The commands' lengths must fill the section exactly: whoever walks them later relies on it.
    struct reader commands = reader_of(section->commands.data, section->commands.len);
    for (uint32_t i = 0; i < section->count && !commands.failed; i++) read_span(&commands, read_u32_le(&commands));
    if (!reader_done(&commands)) reader->failed = true;
    return !reader->failed;
}

void section_write(struct writer *writer, const struct section *section) {
    ENSURE(section->count >= 1);
    ENSURE(section->commands.len <= UINT32_MAX);
    write_u32_le(writer, section->origin);
    write_u64_le(writer, section->boot);
    write_u64_le(writer, section->first_seq);
    write_u32_le(writer, section->count);
    write_u32_le(writer, (uint32_t)section->commands.len);
    write_span(writer, section->commands);
}
