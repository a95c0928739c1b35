// Writing a snapshot. After snapshot_writer_new nothing allocates: the writer may run in a forked child whose other
// threads held malloc's locks. That is why zstd's context lives in a block of our own: one that zstd allocates would be
// resized by it after a while of small inputs.
#define ZSTD_STATIC_LINKING_ONLY
#include <string.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "storage/snapshot_format.h"

#define ZSTD_LEVEL 1 // the child's time is the limit, not the disk

struct snapshot_writer {
    struct snapshot_meta meta; // membership: our own copy
    uint8_t *membership, *workspace, *out;
    size_t out_bytes;
    ZSTD_CCtx *zstd; // in workspace
    const struct snapshot_sink *sink;
    struct snapshot_sink sink_copy;
    uint64_t chunks, bytes;
    uint32_t crc; // of all that was written
    int failed;   // the first error; sticks
};

struct snapshot_writer *snapshot_writer_new(const struct snapshot_meta *meta) {
    ENSURE(meta->membership.len <= SNAPSHOT_MEMBERSHIP_MAX);
    struct snapshot_writer *w = mem_zalloc(sizeof *w);
    w->meta = *meta;
    w->membership = mem_alloc(meta->membership.len);
    if (meta->membership.len) memcpy(w->membership, meta->membership.data, meta->membership.len);
    w->meta.membership = bytes_of(w->membership, meta->membership.len);
    size_t workspace_bytes = ZSTD_estimateCCtxSize(ZSTD_LEVEL);
    w->workspace = mem_zalloc(workspace_bytes); // touched now: no page fault storm in the child
    w->zstd = ZSTD_initStaticCCtx(w->workspace, workspace_bytes);
    ENSURE(w->zstd != NULL);
    w->out_bytes = SNAPSHOT_CHUNK_HEADER_BYTES + ZSTD_compressBound(SNAPSHOT_CHUNK_BYTES);
    size_t header_bytes = SNAPSHOT_HEADER_BYTES + meta->membership.len;
    if (w->out_bytes < header_bytes) w->out_bytes = header_bytes;
    w->out = mem_zalloc(w->out_bytes);
    return w;
}

static int put(struct snapshot_writer *w, size_t len) {
    ENSURE(len <= w->out_bytes);
    if (w->failed) return w->failed;
    w->crc = crc32c(w->crc, w->out, len);
    w->bytes += len;
    int result = w->sink->write(w->sink->context, w->out, len);
    if (result < 0) w->failed = result;
    return w->failed;
}

int snapshot_writer_begin(struct snapshot_writer *writer, const struct snapshot_sink *sink) {
    struct snapshot_writer *w = writer;
    ENSURE(w->bytes == 0 && w->sink == NULL);
    w->sink_copy = *sink;
    w->sink = &w->sink_copy;
    uint8_t *at = w->out;
    const struct snapshot_meta *m = &w->meta;
    memset(at, 0, SNAPSHOT_HEADER_BYTES);
    put_u32_le(at, SNAPSHOT_MAGIC);
    put_u16_le(at + 8, SNAPSHOT_FORMAT);
    put_u32_le(at + 12, (uint32_t)m->membership.len);
    put_u32_le(at + 16, m->group);
    put_u64_le(at + 24, m->index);
    put_u64_le(at + 32, m->term);
    put_u64_le(at + 40, m->log_time_ms);
    memcpy(at + 48, m->cluster_id, 16);
    put_u64_le(at + 64, m->digest.lo);
    put_u64_le(at + 72, m->digest.hi);
    if (m->membership.len) memcpy(at + SNAPSHOT_HEADER_BYTES, m->membership.data, m->membership.len);
    size_t len = SNAPSHOT_HEADER_BYTES + m->membership.len;
    put_u32_le(at + 4, crc32c(0, at + 8, len - 8));
    return put(w, len);
}

int snapshot_writer_chunk(struct snapshot_writer *writer, uint8_t model, const void *data, size_t len) {
    struct snapshot_writer *w = writer;
    ENSURE(w->sink != NULL);
    ENSURE(len >= 1 && len <= SNAPSHOT_CHUNK_BYTES);
    if (w->failed) return w->failed;
    uint8_t *at = w->out;
    size_t room = w->out_bytes - SNAPSHOT_CHUNK_HEADER_BYTES;
    size_t packed = ZSTD_compressCCtx(w->zstd, at + SNAPSHOT_CHUNK_HEADER_BYTES, room, data, len, ZSTD_LEVEL);
    ENSURE(!ZSTD_isError(packed)); // the room is zstd's own bound
    put_u32_le(at, (uint32_t)len);
    put_u32_le(at + 4, (uint32_t)packed);
    put_u32_le(at + 12, model);
    uint32_t crc = crc32c(crc32c(0, at, 8), at + 12, 4 + packed);
    put_u32_le(at + 8, crc);
    w->chunks++;
    return put(w, SNAPSHOT_CHUNK_HEADER_BYTES + packed);
}

int snapshot_writer_end(struct snapshot_writer *writer) {
    struct snapshot_writer *w = writer;
    ENSURE(w->sink != NULL);
    uint8_t *at = w->out;
    memset(at, 0, SNAPSHOT_TRAILER_BYTES);
    put_u32_le(at, SNAPSHOT_TRAILER_MAGIC);
    put_u64_le(at + 8, w->chunks);
    put_u64_le(at + 16, w->bytes);
    put_u64_le(at + 24, w->meta.digest.lo);
    put_u64_le(at + 32, w->meta.digest.hi);
    put_u32_le(at + 40, w->crc);
    put_u32_le(at + 4, crc32c(0, at + 8, SNAPSHOT_TRAILER_BYTES - 8));
    return put(w, SNAPSHOT_TRAILER_BYTES);
}

void snapshot_writer_free(struct snapshot_writer *writer) {
    if (!writer) return;
    mem_free(writer->membership);
    mem_free(writer->workspace);
    mem_free(writer->out);
    mem_free(writer);
}
