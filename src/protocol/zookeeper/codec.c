#include "protocol/zookeeper/codec.h"

bool jute_bool(struct reader *r) {
    return read_u8(r) != 0;
}

struct bytes jute_buffer(struct reader *r, bool *null) {
    int32_t len = jute_int(r);
    *null = len == -1 && !r->failed;
    if (*null) return bytes_of(NULL, 0);
    if (len < 0) r->failed = true;
    return r->failed ? bytes_of(NULL, 0) : read_span(r, (size_t)len);
}

struct bytes jute_string(struct reader *r) {
    bool null;
    struct bytes span = jute_buffer(r, &null);
    if (null) r->failed = true; // the model knows no null path; ZooKeeper stumbles over it with the same error
    return span;
}

uint32_t jute_count(struct reader *r, size_t item_bytes_min, bool *null) {
    int32_t count = jute_int(r);
    *null = count == -1 && !r->failed;
    if (*null || r->failed) return 0;
    if (count < 0 || (uint64_t)count * item_bytes_min > reader_left(r)) {
        r->failed = true;
        return 0;
    }
    return (uint32_t)count;
}

void jute_write_bytes(struct writer *w, struct bytes span) {
    write_u32_be(w, (uint32_t)span.len);
    write_span(w, span);
}

void jute_write_stat(struct writer *w, const struct tree_stat *stat) {
    uint8_t *at = writer_extend(w, JUTE_STAT_BYTES);
    put_u64_be(at, stat->czxid);
    put_u64_be(at + 8, stat->mzxid);
    put_u64_be(at + 16, (uint64_t)stat->ctime);
    put_u64_be(at + 24, (uint64_t)stat->mtime);
    put_u32_be(at + 32, (uint32_t)stat->version);
    put_u32_be(at + 36, (uint32_t)stat->cversion);
    put_u32_be(at + 40, (uint32_t)stat->aversion);
    // Containers and TTL nodes show no owner (3.8's copyStat); only a session's own does.
    bool owned = stat->kind == TREE_KIND_EPHEMERAL;
    put_u64_be(at + 44, owned ? SESSION_SHOWN_BASE | stat->ephemeral_owner : 0);
    put_u32_be(at + 52, (uint32_t)stat->data_length);
    put_u32_be(at + 56, (uint32_t)stat->children);
    put_u64_be(at + 60, stat->pzxid);
}
