// The tree told a second time, as simply as it can be: an array of nodes with whole paths, searched from end to end; a
// MULTI copies everything first. What test_model_random.c compares the real one with.
#pragma once
#include "model_kit.h"

#define NAIVE_NODES 400
#define NAIVE_PATH 48
#define NAIVE_DATA 24

struct naive_node {
    char path[NAIVE_PATH];
    char data[NAIVE_DATA];
    bool null, had_child;
    uint64_t czxid, mzxid, pzxid;
    int64_t ctime, mtime;
    uint32_t version, aversion;
    uint64_t creates;
    enum tree_kind kind;
    uint64_t owner, ttl, due, deadline; // deadline UINT64_MAX: none
    uint64_t order;
    int acl; // index into naive_acls
};

struct naive {
    struct naive_node nodes[NAIVE_NODES]; // in creation order, which is also every list's order
    size_t count;
    uint64_t order;
    uint32_t ephemerals_max;
    char events[1 << 16];
};

struct naive_request {
    uint8_t op;
    const char *path, *data; // data NULL: null
    uint8_t flags;
    uint64_t ttl;
    int acl;
    int32_t version;
};

// Everybody; readers only; the owner "u:p" with everything and readers; the owner alone; may not delete below.
static const struct tree_acl_entry naive_acls[5][2] = {
    {{31, {(const uint8_t *)"world", 5}, {(const uint8_t *)"anyone", 6}}, {0}},
    {{1, {(const uint8_t *)"world", 5}, {(const uint8_t *)"anyone", 6}}, {0}},
    {{31, {(const uint8_t *)"digest", 6}, {(const uint8_t *)"u:p", 3}},
     {1, {(const uint8_t *)"world", 5}, {(const uint8_t *)"anyone", 6}}},
    {{31, {(const uint8_t *)"digest", 6}, {(const uint8_t *)"u:p", 3}}, {0}},
    {{23, {(const uint8_t *)"world", 5}, {(const uint8_t *)"anyone", 6}}, {0}},
};
static const size_t naive_acl_counts[5] = {1, 1, 2, 1, 1};
static const uint8_t naive_world[5] = {31, 1, 1, 0, 23}, naive_owner[5] = {31, 1, 31, 31, 23};

static inline bool naive_may(const struct naive_node *n, uint8_t perm, const char *who) {
    if (strcmp(who, "super -") == 0) return true;
    return ((strcmp(who, "digest u:p") == 0 ? naive_owner : naive_world)[n->acl] & perm) != 0;
}

static inline struct naive_node *naive_find(struct naive *m, const char *path) {
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->nodes[i].path, path) == 0) return &m->nodes[i];
    return NULL;
}

static inline void naive_parent_path(const char *path, char out[NAIVE_PATH]) {
    size_t len = (size_t)(strrchr(path, '/') - path);
    snprintf(out, NAIVE_PATH, "%.*s", (int)(len ? len : 1), path);
}

static inline bool naive_is_child(const struct naive_node *n, const char *parent) {
    char above[NAIVE_PATH];
    if (strcmp(n->path, "/") == 0) return false;
    naive_parent_path(n->path, above);
    return strcmp(above, parent) == 0;
}

static inline int naive_children(const struct naive *m, const char *path) {
    int count = 0;
    for (size_t i = 0; i < m->count; i++) count += naive_is_child(&m->nodes[i], path);
    return count;
}

static inline void naive_event(struct naive *m, const char *type, const char *path, uint64_t zxid) {
    size_t len = strlen(m->events);
    snprintf(m->events + len, sizeof m->events - len, "%s %s %llu\n", type, path, (unsigned long long)zxid);
}

static inline void naive_init(struct naive *m) {
    static const char *const paths[] = {"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"};
    memset(m, 0, sizeof *m);
    m->ephemerals_max = 4;
    for (int i = 0; i < 4; i++) {
        snprintf(m->nodes[i].path, NAIVE_PATH, "%s", paths[i]);
        m->nodes[i].deadline = UINT64_MAX;
        m->nodes[i].acl = i == 3;
    }
    m->count = 4;
}

static inline void naive_remove(struct naive *m, const struct apply *apply, struct naive_node *n) {
    char path[NAIVE_PATH], above[NAIVE_PATH];
    snprintf(path, sizeof path, "%s", n->path);
    naive_parent_path(path, above);
    memmove(n, n + 1, (size_t)(&m->nodes[m->count] - (n + 1)) * sizeof *n);
    m->count--;
    struct naive_node *parent = naive_find(m, above);
    parent->pzxid = apply->index;
    if (naive_children(m, above) == 0) {
        if (parent->kind == TREE_KIND_CONTAINER) parent->deadline = apply->log_time_ms + 60000;
        if (parent->kind == TREE_KIND_TTL)
            parent->deadline = parent->due > apply->log_time_ms ? parent->due : apply->log_time_ms;
    }
    naive_event(m, "deleted", path, apply->index);
    naive_event(m, "children", above, apply->index);
}

static inline int naive_create(struct naive *m, const struct apply *apply, const struct naive_request *q,
                               uint64_t session, const char *who, char out_path[NAIVE_PATH]) {
    char above[NAIVE_PATH];
    naive_parent_path(q->path, above);
    struct naive_node *parent = naive_find(m, above);
    if ((q->flags & TREE_TTL) && q->ttl == 0) return TREE_BADARGUMENTS;
    if ((q->flags & TREE_EPHEMERAL) && session == 0) return TREE_BADARGUMENTS;
    if (!parent) return TREE_NONODE;
    if (!naive_may(parent, TREE_CREATE, who)) return TREE_NOAUTH;
    if (q->flags & TREE_SEQUENTIAL)
        snprintf(out_path, NAIVE_PATH, "%s%010llu", q->path, (unsigned long long)parent->creates);
    else
        snprintf(out_path, NAIVE_PATH, "%s", q->path);
    if (naive_find(m, out_path)) return TREE_NODEEXISTS;
    if (parent->kind == TREE_KIND_EPHEMERAL) return TREE_NOCHILDRENFOREPHEMERALS;
    uint32_t owned = 0;
    for (size_t i = 0; i < m->count; i++) owned += m->nodes[i].owner == session && session;
    if ((q->flags & TREE_EPHEMERAL) && owned >= m->ephemerals_max) return TREE_QUOTAEXCEEDED;
    assert_true(m->count < NAIVE_NODES);
    parent->creates++;
    parent->pzxid = apply->index;
    parent->deadline = UINT64_MAX;
    struct naive_node *n = &m->nodes[m->count++];
    memset(n, 0, sizeof *n);
    snprintf(n->path, NAIVE_PATH, "%s", out_path);
    n->null = !q->data;
    snprintf(n->data, NAIVE_DATA, "%s", q->data ? q->data : "");
    n->czxid = n->mzxid = n->pzxid = apply->index;
    n->ctime = n->mtime = apply->unix_ms;
    n->order = ++m->order;
    n->deadline = UINT64_MAX;
    n->acl = q->acl;
    if (q->flags & TREE_EPHEMERAL) {
        n->kind = TREE_KIND_EPHEMERAL;
        n->owner = session;
    } else if (q->flags & TREE_CONTAINER) {
        n->kind = TREE_KIND_CONTAINER;
    } else if (q->flags & TREE_TTL) {
        n->kind = TREE_KIND_TTL;
        n->ttl = q->ttl;
        n->due = n->deadline = apply->log_time_ms + q->ttl;
    }
    naive_event(m, "created", out_path, apply->index);
    naive_event(m, "children", above, apply->index);
    return 0;
}

static inline int naive_op(struct naive *m, const struct apply *apply, const struct naive_request *q, uint64_t session,
                           const char *who, char out_path[NAIVE_PATH]) {
    out_path[0] = 0;
    if (q->op == TREE_OP_CREATE) return naive_create(m, apply, q, session, who, out_path);
    struct naive_node *n = naive_find(m, q->path);
    uint32_t version = (uint32_t)q->version;
    bool any = q->version == -1;
    if (q->op == TREE_OP_DELETE) {
        char above[NAIVE_PATH];
        naive_parent_path(q->path, above);
        struct naive_node *parent = naive_find(m, above);
        if (!parent) return TREE_NONODE;
        if (!naive_may(parent, TREE_DELETE, who)) return TREE_NOAUTH;
        if (!n) return TREE_NONODE;
        if (!any && n->version != version) return TREE_BADVERSION;
        if (naive_children(m, q->path)) return TREE_NOTEMPTY;
        naive_remove(m, apply, n);
        return 0;
    }
    if (!n) return TREE_NONODE;
    uint8_t perm = q->op == TREE_OP_SET ? TREE_WRITE : q->op == TREE_OP_SET_ACL ? TREE_ADMIN : TREE_READ;
    if (!naive_may(n, perm, who)) return TREE_NOAUTH;
    if (!any && (q->op == TREE_OP_SET_ACL ? n->aversion : n->version) != version) return TREE_BADVERSION;
    if (q->op == TREE_OP_SET) {
        n->null = !q->data;
        snprintf(n->data, NAIVE_DATA, "%s", q->data ? q->data : "");
        n->version++;
        n->mzxid = apply->index;
        n->mtime = apply->unix_ms;
        if (n->kind == TREE_KIND_TTL) {
            n->due = apply->log_time_ms + n->ttl;
            if (!naive_children(m, n->path)) n->deadline = n->due;
        }
        naive_event(m, "data", n->path, apply->index);
    } else if (q->op == TREE_OP_SET_ACL) {
        n->acl = q->acl;
        n->aversion++;
    }
    return 0;
}

static inline void naive_session_end(struct naive *m, const struct apply *apply, uint64_t session) {
    for (size_t i = 0; i < m->count;) {
        if (m->nodes[i].owner == session)
            naive_remove(m, apply, &m->nodes[i]);
        else
            i++;
    }
}

static inline size_t naive_expire(struct naive *m, const struct apply *apply, size_t max) {
    for (size_t done = 0;; done++) {
        struct naive_node *first = NULL;
        for (size_t i = 0; i < m->count; i++) // creation order breaks ties
            if (m->nodes[i].deadline <= apply->log_time_ms && (!first || m->nodes[i].deadline < first->deadline))
                first = &m->nodes[i];
        if (!first || done == max) return done;
        naive_remove(m, apply, first);
    }
}
