// Commands' bytes, as tree.h states them (without head and identities).
#include "base/assert.h"
#include "model/tree/tree.h"
#include <string.h>

static void write_data(struct writer *w, const struct bytes *data) {
    if (!data) {
        write_varint(w, 0);
        return;
    }
    write_varint(w, (uint64_t)data->len + 1);
    write_span(w, *data);
}

static void write_version(struct writer *w, int32_t version) {
    write_varint(w, version == -1 ? 0 : (uint64_t)(uint32_t)version + 1);
}

static void write_acl(struct writer *w, const struct tree_acl_entry *acl, size_t count) {
    write_varint(w, count);
    for (size_t i = 0; i < count; i++) {
        write_u8(w, acl[i].perms);
        write_blob(w, acl[i].scheme);
        write_blob(w, acl[i].id);
    }
}

void tree_write_create(struct writer *w, struct bytes path, const struct bytes *data, const struct tree_acl_entry *acl,
                       size_t acl_count, uint8_t flags, uint64_t ttl_ms) {
    write_varint(w, flags);
    write_blob(w, path);
    write_data(w, data);
    write_acl(w, acl, acl_count);
    if (flags & TREE_TTL) write_varint(w, ttl_ms);
}

void tree_write_delete(struct writer *w, struct bytes path, int32_t version) {
    write_blob(w, path);
    write_version(w, version);
}

void tree_write_set(struct writer *w, struct bytes path, const struct bytes *data, int32_t version) {
    write_blob(w, path);
    write_data(w, data);
    write_version(w, version);
}

void tree_write_set_acl(struct writer *w, struct bytes path, const struct tree_acl_entry *acl, size_t acl_count,
                        int32_t version) {
    write_blob(w, path);
    write_acl(w, acl, acl_count);
    write_version(w, version);
}

void tree_write_check(struct writer *w, struct bytes path, int32_t version) {
    tree_write_delete(w, path, version);
}

void tree_write_multi(struct writer *w, size_t count) {
    write_varint(w, count);
}

void tree_multi_part(struct writer *w, uint8_t op, struct bytes args) {
    write_u8(w, op);
    write_blob(w, args);
}

// A number for which one byte was kept at `at`: what stands behind it moves when it is longer (a part over 127 bytes, a
// multi of over 127 parts).
static void varint_fill(struct writer *w, size_t at, uint64_t v) {
    ENSURE(at < w->len);
    size_t more = varint_size(v) - 1, behind = w->len - at - 1;
    if (more > 0) {
        writer_extend(w, more);
        memmove(w->data + at + 1 + more, w->data + at + 1, behind);
    }
    uint8_t *to = w->data + at;
    for (; v >= 0x80; v >>= 7) *to++ = (uint8_t)(v | 0x80);
    *to = (uint8_t)v;
}

size_t tree_multi_begin(struct writer *w) {
    write_u8(w, 0);
    return w->len - 1;
}

size_t tree_multi_part_begin(struct writer *w) {
    writer_extend(w, 2); // op and the arguments' length
    return w->len - 2;
}

void tree_multi_part_end(struct writer *w, size_t at, uint8_t op) {
    ENSURE(at + 2 <= w->len);
    w->data[at] = op;
    varint_fill(w, at + 1, w->len - at - 2);
}

void tree_multi_end(struct writer *w, size_t at, size_t count) {
    varint_fill(w, at, count);
}
