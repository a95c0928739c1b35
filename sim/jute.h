// ZooKeeper's bytes, as little of them as the simulator's clients need; written apart from the server's codec, so that
// one mistake is not made on both sides alike.
#pragma once
#include "base/bytes.h"
#include <string.h>

// All that a client may ask. WRITE: takes an entry of the log.
#define JUTE_OPS(X)                                                                                                    \
    X(CREATE, 1, true)                                                                                                 \
    X(DELETE, 2, true)                                                                                                 \
    X(EXISTS, 3, false)                                                                                                \
    X(GET, 4, false)                                                                                                   \
    X(SET, 5, true)                                                                                                    \
    X(GET_ACL, 6, false)                                                                                               \
    X(SET_ACL, 7, true)                                                                                                \
    X(CHILDREN, 8, false)                                                                                              \
    X(SYNC, 9, false)                                                                                                  \
    X(PING, 11, false)                                                                                                 \
    X(CHILDREN2, 12, false)                                                                                            \
    X(CHECK, 13, true)                                                                                                 \
    X(MULTI, 14, true)                                                                                                 \
    X(CREATE2, 15, true)                                                                                               \
    X(RECONFIG, 16, false)                                                                                             \
    X(CHECK_WATCHES, 17, false)                                                                                        \
    X(REMOVE_WATCHES, 18, false)                                                                                       \
    X(CREATE_CONTAINER, 19, true)                                                                                      \
    X(DELETE_CONTAINER, 20, false)                                                                                     \
    X(CREATE_TTL, 21, true)                                                                                            \
    X(MULTI_READ, 22, false)                                                                                           \
    X(AUTH, 100, false)                                                                                                \
    X(SET_WATCHES, 101, false)                                                                                         \
    X(SASL, 102, false)                                                                                                \
    X(EPHEMERALS, 103, false)                                                                                          \
    X(DESCENDANTS, 104, false)                                                                                         \
    X(SET_WATCHES2, 105, false)                                                                                        \
    X(ADD_WATCH, 106, false)                                                                                           \
    X(WHO_AM_I, 107, false)                                                                                            \
    X(CREATE_SESSION, -10, false)                                                                                      \
    X(CLOSE, -11, false)
enum jute_op {
#define X(name, code, write) JUTE_##name = code,
    JUTE_OPS(X)
#undef X
};
enum { JUTE_XID_EVENT = -1, JUTE_XID_PING = -2, JUTE_XID_AUTH = -4, JUTE_XID_SET_WATCHES = -8 };
enum {
    JUTE_SYSTEM = -1,
    JUTE_INCONSISTENCY = -2,
    JUTE_MARSHALLING = -5,
    JUTE_UNIMPLEMENTED = -6,
    JUTE_BAD_ARGUMENTS = -8,
    JUTE_NONODE = -101,
    JUTE_NOAUTH = -102,
    JUTE_BADVERSION = -103,
    JUTE_NODEEXISTS = -110,
    JUTE_SESSION_EXPIRED = -112,
    JUTE_INVALID_ACL = -114,
    JUTE_AUTH_FAILED = -115,
    JUTE_SESSION_MOVED = -118,
    JUTE_NOT_READ_ONLY = -119,
    JUTE_NO_WATCHER = -121,
    JUTE_RECONFIG_DISABLED = -123
};
enum { JUTE_EPHEMERAL = 1, JUTE_SEQUENTIAL = 2, JUTE_CONTAINER = 4, JUTE_TTL = 5, JUTE_TTL_SEQUENTIAL = 6 };
enum { JUTE_READ = 1, JUTE_WRITE = 2, JUTE_MAY_CREATE = 4, JUTE_MAY_DELETE = 8, JUTE_ADMIN = 16, JUTE_ALL = 31 };
enum { JUTE_EVENT_CREATED = 1, JUTE_EVENT_DELETED = 2, JUTE_EVENT_DATA = 3, JUTE_EVENT_CHILD = 4 };

struct jute_stat {
    uint64_t czxid, mzxid, pzxid, owner, ctime, mtime;
    int32_t version, cversion, aversion, data_length, children;
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
static inline void jute_ace(struct writer *w, int32_t perms, const char *scheme, const char *id) {
    jute_int(w, perms);
    jute_text(w, scheme);
    jute_text(w, id);
}
static inline void jute_multi_head(struct writer *w, int32_t type, bool done) {
    jute_int(w, type);
    write_u8(w, done);
    jute_int(w, -1);
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
    s.ctime = read_u64_be(r);
    s.mtime = read_u64_be(r);
    s.version = jute_read_int(r);
    s.cversion = jute_read_int(r);
    s.aversion = jute_read_int(r);
    s.owner = read_u64_be(r);
    s.data_length = jute_read_int(r);
    s.children = jute_read_int(r);
    s.pzxid = read_u64_be(r);
    return s;
}
