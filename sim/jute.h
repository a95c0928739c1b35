// ZooKeeper's bytes, as little of them as the simulator's clients need; written apart from the server's codec, so that
// one mistake is not made on both sides alike.
#pragma once
#include "base/bytes.h"
#include <string.h>

enum jute_op {
    JUTE_CREATE2 = 15,
    JUTE_DELETE = 2,
    JUTE_GET = 4,
    JUTE_SET = 5,
    JUTE_CHILDREN = 8,
    JUTE_SYNC = 9,
    JUTE_PING = 11,
    JUTE_MULTI = 14,
    JUTE_SET_WATCHES = 101,
    JUTE_CLOSE = -11
};
enum { JUTE_XID_EVENT = -1, JUTE_XID_PING = -2, JUTE_XID_SET_WATCHES = -8 };
enum {
    JUTE_NONODE = -101,
    JUTE_BADVERSION = -103,
    JUTE_NODEEXISTS = -110,
    JUTE_SESSION_EXPIRED = -112,
    JUTE_SESSION_MOVED = -118
};
enum { JUTE_EPHEMERAL = 1, JUTE_SEQUENTIAL = 2 };

struct jute_stat {
    uint64_t czxid, mzxid, pzxid, owner;
    int32_t version, cversion, data_length, children;
};

static inline void jute_int(struct writer *w, int32_t v) {
    write_u32_be(w, (uint32_t)v);
}
static inline void jute_text(struct writer *w, const char *text) {
    jute_int(w, (int32_t)strlen(text));
    write_span(w, bytes_of_text(text));
}
static inline void jute_data(struct writer *w, struct bytes data) {
    jute_int(w, (int32_t)data.len);
    write_span(w, data);
}
static inline int32_t jute_read_int(struct reader *r) {
    return (int32_t)read_u32_be(r);
}
static inline struct bytes jute_read_data(struct reader *r) {
    int32_t len = jute_read_int(r);
    return len < 0 ? (struct bytes){0} : read_span(r, (size_t)len);
}
static inline struct jute_stat jute_read_stat(struct reader *r) {
    struct jute_stat s = {0};
    s.czxid = read_u64_be(r);
    s.mzxid = read_u64_be(r);
    read_u64_be(r); // ctime, mtime
    read_u64_be(r);
    s.version = jute_read_int(r);
    s.cversion = jute_read_int(r);
    jute_read_int(r); // aversion
    s.owner = read_u64_be(r);
    s.data_length = jute_read_int(r);
    s.children = jute_read_int(r);
    s.pzxid = read_u64_be(r);
    return s;
}
