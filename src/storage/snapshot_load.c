// Reading a snapshot. Each chunk is verified before it is handed on; that the file is whole is known only at its end,
// so a caller throws away what it took when this fails.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "storage/snapshot_format.h"

struct load {
    struct io *io;
    const char *path;
    struct io_file *file;
    uint64_t size, offset;
    uint32_t crc; // of all before offset
    uint64_t chunks;
    uint8_t *packed, *raw;
    ZSTD_DCtx *zstd;
    char *error;
};

static int refuse(struct load *l, uint64_t offset, const char *why) {
    snprintf(l->error, 512, "snapshot %s is damaged at offset %" PRIu64 ": %s", l->path, offset, why);
    return -EBADMSG;
}

// Exactly len bytes at the offset, added to the running crc.
static int take(struct load *l, void *data, size_t len) {
    int64_t got = l->io->ops->file_read(l->file, data, len, l->offset);
    if (got < 0) {
        snprintf(l->error, 512, "snapshot %s cannot be read at offset %" PRIu64 ": %s", l->path, l->offset,
                 strerror((int)-got));
        return (int)got;
    }
    if ((size_t)got < len) return refuse(l, l->offset + (uint64_t)got, "the file ends too early");
    l->crc = crc32c(l->crc, data, len);
    l->offset += len;
    return 0;
}

static int load_header(struct load *l, struct snapshot_meta *meta, struct writer *membership) {
    if (l->size < SNAPSHOT_HEADER_BYTES + SNAPSHOT_TRAILER_BYTES) return refuse(l, l->size, "the file is too short");
    uint8_t head[SNAPSHOT_HEADER_BYTES];
    int result = take(l, head, sizeof head);
    if (result < 0) return result;
    if (get_u32_le(head) != SNAPSHOT_MAGIC) return refuse(l, 0, "not a snapshot");
    uint32_t len = get_u32_le(head + 12);
    if (len > SNAPSHOT_MEMBERSHIP_MAX || len > l->size - SNAPSHOT_HEADER_BYTES - SNAPSHOT_TRAILER_BYTES) {
        return refuse(l, 12, "the header's length is wrong");
    }
    writer_clear(membership);
    uint8_t *blob = writer_extend(membership, len);
    if (len > 0) result = take(l, blob, len);
    if (result < 0) return result;
    uint32_t crc = crc32c(0, head + 8, sizeof head - 8);
    if (len > 0) crc = crc32c(crc, blob, len);
    if (crc != get_u32_le(head + 4)) return refuse(l, 0, "the header's checksum is wrong");
    if (get_u16_le(head + 8) != SNAPSHOT_FORMAT) {
        snprintf(l->error, 512, "snapshot %s has format %u, this binary knows %u: start the newer parley that wrote it",
                 l->path, get_u16_le(head + 8), SNAPSHOT_FORMAT);
        return -ENOTSUP;
    }
    *meta = (struct snapshot_meta){.group = get_u32_le(head + 16),
                                   .index = get_u64_le(head + 24),
                                   .term = get_u64_le(head + 32),
                                   .log_time_ms = get_u64_le(head + 40),
                                   .membership = bytes_of(membership->data, len),
                                   .digest = {.lo = get_u64_le(head + 64), .hi = get_u64_le(head + 72)}};
    memcpy(meta->cluster_id, head + 48, 16);
    return 0;
}

static int load_chunk(struct load *l, int (*chunk)(void *context, uint8_t model, const void *data, size_t len),
                      void *context) {
    uint64_t at = l->offset;
    uint64_t left = l->size - SNAPSHOT_TRAILER_BYTES - at;
    if (left < SNAPSHOT_CHUNK_HEADER_BYTES) return refuse(l, at, "a piece of a chunk");
    uint8_t head[SNAPSHOT_CHUNK_HEADER_BYTES];
    int result = take(l, head, sizeof head);
    if (result < 0) return result;
    uint32_t raw = get_u32_le(head), packed = get_u32_le(head + 4), model = get_u32_le(head + 12);
    if (raw == 0 || raw > SNAPSHOT_CHUNK_BYTES || packed > ZSTD_compressBound(SNAPSHOT_CHUNK_BYTES) || model > 255 ||
        packed > left - SNAPSHOT_CHUNK_HEADER_BYTES) {
        return refuse(l, at, "a chunk's header is wrong");
    }
    result = take(l, l->packed, packed);
    if (result < 0) return result;
    uint32_t crc = crc32c(crc32c(crc32c(0, head, 8), head + 12, 4), l->packed, packed);
    if (crc != get_u32_le(head + 8)) return refuse(l, at, "a chunk's checksum is wrong");
    size_t got = ZSTD_decompressDCtx(l->zstd, l->raw, SNAPSHOT_CHUNK_BYTES, l->packed, packed);
    if (ZSTD_isError(got) || got != raw) return refuse(l, at, "a chunk cannot be unpacked");
    l->chunks++;
    return chunk ? chunk(context, (uint8_t)model, l->raw, raw) : 0;
}

static int load_trailer(struct load *l, const struct snapshot_meta *meta) {
    uint64_t at = l->offset;
    uint32_t all = l->crc;
    uint8_t trailer[SNAPSHOT_TRAILER_BYTES];
    int result = take(l, trailer, sizeof trailer);
    if (result < 0) return result;
    if (get_u32_le(trailer) != SNAPSHOT_TRAILER_MAGIC) return refuse(l, at, "the end is not a snapshot's");
    if (get_u32_le(trailer + 4) != crc32c(0, trailer + 8, sizeof trailer - 8))
        return refuse(l, at, "the end's checksum is wrong");
    if (get_u64_le(trailer + 8) != l->chunks || get_u64_le(trailer + 16) != at || get_u32_le(trailer + 40) != all) {
        return refuse(l, at, "the chunks are not those that were written");
    }
    if (get_u64_le(trailer + 24) != meta->digest.lo || get_u64_le(trailer + 32) != meta->digest.hi) {
        return refuse(l, at, "header and end disagree about the digest");
    }
    return 0;
}

int snapshot_load(struct io *io, const char *path, struct snapshot_meta *meta, struct writer *membership_bytes,
                  int (*chunk)(void *context, uint8_t model, const void *data, size_t len), void *context,
                  char error[512]) {
    struct load l = {.io = io, .path = path, .error = error};
    error[0] = 0;
    int result = io->ops->file_open(io, path, O_RDONLY | O_CLOEXEC, 0, &l.file);
    if (result < 0) {
        snprintf(error, 512, "cannot open the snapshot %s: %s", path, strerror(-result));
        return result;
    }
    int64_t size = io->ops->file_size(l.file);
    l.size = size > 0 ? (uint64_t)size : 0;
    l.packed = mem_alloc(ZSTD_compressBound(SNAPSHOT_CHUNK_BYTES));
    l.raw = mem_alloc(SNAPSHOT_CHUNK_BYTES);
    l.zstd = ZSTD_createDCtx();
    ENSURE(l.zstd != NULL);
    result = load_header(&l, meta, membership_bytes);
    while (result == 0 && l.offset < l.size - SNAPSHOT_TRAILER_BYTES) result = load_chunk(&l, chunk, context);
    if (result == 0) result = load_trailer(&l, meta);
    if (result < 0 && error[0] == 0)
        snprintf(error, 512, "snapshot %s: its reader gave up near offset %" PRIu64, path, l.offset);
    ZSTD_freeDCtx(l.zstd);
    mem_free(l.raw);
    mem_free(l.packed);
    io->ops->file_close(l.file);
    return result;
}
