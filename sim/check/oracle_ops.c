// The tree's operations by ZooKeeper's rules, each in its simplest form: errors in the order in which ZooKeeper looks
// for them, and what the entry changes.
#include "sim/check/oracle.h"

#include <stdio.h>
#include <string.h>

// ---- access control lists

struct ace {
    uint8_t perms;
    struct bytes scheme, id;
};

static bool is(struct bytes span, const char *text) {
    return span.len == strlen(text) && memcmp(span.data, text, span.len) == 0;
}

static struct ace read_ace(struct reader *r) {
    struct ace ace = {.perms = read_u8(r)};
    ace.scheme = read_blob(r);
    ace.id = read_blob(r);
    return ace;
}

uint32_t oracle_acl(struct oracle *o, struct bytes encoded) {
    for (size_t i = 0; i < o->acl_count; i++)
        if (bytes_equal(bytes_of(o->acls[i].encoded, o->acls[i].len), encoded)) return (uint32_t)i;
    o->acls = oracle_grow(o->acls, &o->acl_capacity, o->acl_count + 1, sizeof *o->acls);
    struct oracle_acl *acl = &o->acls[o->acl_count];
    *acl = (struct oracle_acl){mem_alloc(encoded.len), encoded.len};
    memcpy(acl->encoded, encoded.data, encoded.len);
    return (uint32_t)o->acl_count++;
}

// Addresses as the simulator's clients have and name them: IPv4, with a mask or without.
static bool ip_read(struct bytes text, uint32_t *address, uint32_t *bits) {
    char copy[32];
    unsigned a, b, c, d, mask = 32;
    int end = 0;
    if (text.len == 0 || text.len >= sizeof copy) return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    bool whole = sscanf(copy, "%3u.%3u.%3u.%3u%n", &a, &b, &c, &d, &end) == 4;
    if (whole && copy[end] == '/')
        whole = sscanf(copy + end, "/%3u%n", &mask, &(int){0}) == 1;
    else if (whole && copy[end] != 0)
        whole = false;
    if (!whole || a > 255 || b > 255 || c > 255 || d > 255 || mask > 32) return false;
    *address = a << 24 | b << 16 | c << 8 | d;
    *bits = mask;
    return true;
}

static bool ip_in(struct bytes address, struct bytes pattern) {
    uint32_t have, want, bits, none;
    if (!ip_read(address, &have, &none) || !ip_read(pattern, &want, &bits)) return false;
    return bits == 0 || (have ^ want) >> (32 - bits) == 0;
}

static bool ace_names(const struct ace *ace, struct bytes scheme, struct bytes id) {
    if (!bytes_equal(ace->scheme, scheme)) return false;
    return is(scheme, "ip") ? ip_in(id, ace->id) : bytes_equal(ace->id, id);
}

bool oracle_allows(const struct oracle *o, uint32_t acl, uint8_t perms, struct bytes identities) {
    struct reader list = reader_of(o->acls[acl].encoded, o->acls[acl].len);
    for (uint64_t aces = read_varint(&list); aces > 0; aces--) {
        struct ace ace = read_ace(&list);
        if ((ace.perms & perms) == 0) continue;
        if (is(ace.scheme, "world") && is(ace.id, "anyone")) return true;
        struct reader who = reader_of(identities.data, identities.len);
        for (uint64_t count = identities.len > 0 ? read_varint(&who) : 0; count > 0; count--) {
            struct bytes scheme = read_blob(&who), id = read_blob(&who);
            if (ace_names(&ace, scheme, id)) return true;
        }
    }
    return false;
}

static bool ace_good(const struct ace *ace) {
    uint32_t address, bits;
    if (is(ace->scheme, "world")) return is(ace->id, "anyone");
    if (is(ace->scheme, "ip")) return ip_read(ace->id, &address, &bits);
    if (is(ace->scheme, "x509")) return ace->id.len > 0;
    if (!is(ace->scheme, "digest") || ace->id.len == 0) return false;
    const uint8_t *colon = memchr(ace->id.data, ':', ace->id.len);
    size_t behind = colon == NULL ? 0 : ace->id.len - (size_t)(colon + 1 - ace->id.data);
    return colon != NULL && (behind == 0 || memchr(colon + 1, ':', behind) == NULL);
}

struct ace_list {
    struct writer w;
    uint64_t count;
};

static void ace_add(struct ace_list *list, const struct ace *ace) {
    struct reader r = reader_of(list->w.data, list->w.len);
    for (uint64_t i = 0; i < list->count; i++) {
        struct ace other = read_ace(&r);
        if (other.perms == ace->perms && bytes_equal(other.scheme, ace->scheme) && bytes_equal(other.id, ace->id))
            return;
    }
    write_u8(&list->w, ace->perms);
    write_blob(&list->w, ace->scheme);
    write_blob(&list->w, ace->id);
    list->count++;
}

// The list that is stored: no repeats, `auth` replaced by who has proven to be whom. False: InvalidACL.
static bool acl_store(struct oracle *o, struct reader *r, struct bytes who, uint32_t *acl) {
    struct ace_list list = {.count = 0};
    bool good = true;
    writer_init(&list.w);
    uint64_t count = read_varint(r);
    for (uint64_t i = 0; i < count; i++) {
        struct ace ace = read_ace(r);
        if (!is(ace.scheme, "auth")) {
            good = good && ace_good(&ace);
            ace_add(&list, &ace);
            continue;
        }
        bool any = false;
        struct reader all = reader_of(who.data, who.len);
        for (uint64_t left = who.len > 0 ? read_varint(&all) : 0; left > 0; left--) {
            struct ace own = {.perms = ace.perms};
            own.scheme = read_blob(&all);
            own.id = read_blob(&all);
            if (is(own.scheme, "ip")) continue;
            ace_add(&list, &own);
            any = true;
        }
        good = good && any;
    }
    good = good && count > 0;
    if (good) {
        struct writer whole;
        writer_init(&whole);
        write_varint(&whole, list.count);
        write_span(&whole, bytes_of(list.w.data, list.w.len));
        *acl = oracle_acl(o, bytes_of(whole.data, whole.len));
        writer_free(&whole);
    }
    writer_free(&list.w);
    return good;
}

// ---- arguments

static bool path_good(struct bytes path) {
    if (path.len == 0 || path.data[0] != '/' || memchr(path.data, 0, path.len) != NULL) return false;
    if (path.len == 1) return true;
    size_t begin = 1;
    for (size_t at = 1; at <= path.len; at++) {
        if (at < path.len && path.data[at] != '/') continue;
        size_t len = at - begin;
        bool dots = (len == 1 || len == 2) && memcmp(path.data + begin, "..", len) == 0;
        if (len == 0 || len > TREE_NAME_BYTES_MAX || dots) return false;
        begin = at + 1;
    }
    return true;
}

struct data {
    struct bytes bytes;
    bool null;
};

static struct data read_data(struct reader *r) {
    uint64_t code = read_varint(r);
    return (struct data){code == 0 ? bytes_of(NULL, 0) : read_span(r, (size_t)(code - 1)), code == 0};
}

static bool version_is(struct reader *r, uint32_t version) { // or any will do
    uint64_t code = read_varint(r);
    return code == 0 || code - 1 == version;
}

static void set_data(struct oracle *o, struct oracle_state *state, struct data data) {
    state->null = data.null;
    state->data_len = (uint32_t)data.bytes.len;
    state->data_hash = hash_bytes(data.bytes.data, data.bytes.len, 0);
    state->mzxid = o->index;
    state->mtime = (int64_t)o->log_time_ms + o->unix_offset_ms;
}

// ---- operations

void oracle_remove(struct oracle *o, struct oracle_node *node) {
    struct oracle_state *parent = oracle_touch(o, node->parent);
    oracle_touch(o, node)->exists = false;
    parent->children--;
    parent->pzxid = o->index;
    if (parent->children == 0 && parent->kind == TREE_KIND_CONTAINER)
        parent->deadline_ms = o->log_time_ms + TREE_CONTAINER_CHECK_MS;
    if (parent->children == 0 && parent->kind == TREE_KIND_TTL)
        parent->deadline_ms = parent->due_ms > o->log_time_ms ? parent->due_ms : o->log_time_ms;
    oracle_event(o, TREE_EVENT_DELETED, node);
    oracle_event(o, TREE_EVENT_CHILDREN, node->parent);
}

static void born(struct oracle *o, struct oracle_node *node, struct oracle_state *state, uint64_t flags,
                 uint64_t session, uint64_t ttl_ms) {
    state->czxid = state->pzxid = o->index;
    state->ctime = state->mtime;
    state->order = ++o->order;
    oracle_kid_add(&node->parent->kids, node, o->index);
    if (flags & TREE_EPHEMERAL) {
        state->kind = TREE_KIND_EPHEMERAL;
        state->owner = session;
        oracle_kid_add(&oracle_session(o, session)->owned, node, o->index);
    } else if (flags & (TREE_CONTAINER | TREE_TTL)) {
        state->kind = flags & TREE_TTL ? TREE_KIND_TTL : TREE_KIND_CONTAINER;
        state->ttl_ms = ttl_ms;
        if (flags & TREE_TTL) state->due_ms = state->deadline_ms = o->log_time_ms + ttl_ms;
        oracle_kid_add(&o->timed, node, o->index);
    }
    struct oracle_state *parent = oracle_touch(o, node->parent);
    parent->children++;
    parent->creates++;
    parent->pzxid = o->index;
    parent->deadline_ms = ORACLE_NEVER;
    oracle_event(o, TREE_EVENT_CREATED, node);
    oracle_event(o, TREE_EVENT_CHILDREN, node->parent);
}

struct call {
    struct oracle *o;
    uint64_t session;
    struct bytes who;
    struct reader *r;
    struct oracle_result *out;
};

static struct oracle_node *numbered(struct oracle *o, struct bytes path, bool sequential, uint64_t number) {
    if (!sequential) return oracle_path(o, path);
    struct writer w;
    char digits[32];
    writer_init(&w);
    int n = snprintf(digits, sizeof digits, "%010llu", (unsigned long long)number);
    write_span(&w, path);
    write_span(&w, bytes_of(digits, (size_t)n));
    struct oracle_node *node = oracle_path(o, bytes_of(w.data, w.len));
    writer_free(&w);
    return node;
}

static int op_create(struct call *call) {
    struct oracle *o = call->o;
    uint64_t flags = read_varint(call->r), ttl_ms = 0;
    struct bytes path = read_blob(call->r);
    struct data data = read_data(call->r);
    uint32_t acl = 0;
    bool acl_good = acl_store(o, call->r, call->who, &acl), sequential = flags & TREE_SEQUENTIAL;
    if (flags & TREE_TTL) ttl_ms = read_varint(call->r);
    struct bytes first = path;
    if (sequential) {
        struct oracle_node *zero = numbered(o, path, true, 0);
        first = bytes_of(zero->path, zero->len);
    }
    call->out->node = oracle_path(o, path); // until it has a name of its own
    if (!path_good(first)) return TREE_BADARGUMENTS;
    if (!acl_good) return TREE_INVALIDACL;
    if (first.len == 1) return TREE_NODEEXISTS;
    struct oracle_node *parent = oracle_path(o, first)->parent;
    const struct oracle_state *above = oracle_now(parent);
    if (above == NULL) return TREE_NONODE;
    if (!oracle_allows(o, above->acl, TREE_CREATE, call->who)) return TREE_NOAUTH;
    struct oracle_node *node = numbered(o, path, sequential, above->creates);
    if (oracle_now(node) != NULL) return TREE_NODEEXISTS;
    if (above->kind == TREE_KIND_EPHEMERAL) return TREE_NOCHILDRENFOREPHEMERALS;
    call->out->node = node;
    struct oracle_state *state = oracle_touch(o, node);
    *state = (struct oracle_state){.zxid = o->index, .exists = true, .acl = acl, .deadline_ms = ORACLE_NEVER};
    set_data(o, state, data);
    born(o, node, state, flags, call->session, ttl_ms);
    return 0;
}

static int op_delete(struct call *call) {
    struct oracle *o = call->o;
    static const char *const own[] = {"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"};
    struct bytes path = read_blob(call->r);
    struct oracle_node *node = oracle_path(o, path);
    call->out->node = node;
    if (!path_good(path)) return TREE_BADARGUMENTS;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (is(path, own[i])) return TREE_BADARGUMENTS;
    const struct oracle_state *above = oracle_now(node->parent), *state = oracle_now(node);
    if (above == NULL) return TREE_NONODE;
    if (!oracle_allows(o, above->acl, TREE_DELETE, call->who)) return TREE_NOAUTH;
    if (state == NULL) return TREE_NONODE;
    if (!version_is(call->r, state->version)) return TREE_BADVERSION;
    if (state->children > 0) return TREE_NOTEMPTY;
    oracle_remove(o, node);
    return 0;
}

// The node that an operation on one node means, if it may.
static int target(struct call *call, enum tree_perm perm, bool acl_good) {
    const struct oracle_node *node = call->out->node;
    if (!path_good(bytes_of(node->path, node->len))) return TREE_BADARGUMENTS;
    if (!acl_good) return TREE_INVALIDACL;
    const struct oracle_state *state = oracle_now(node);
    if (state == NULL) return TREE_NONODE;
    return oracle_allows(call->o, state->acl, (uint8_t)perm, call->who) ? 0 : TREE_NOAUTH;
}

static int op_set(struct call *call) {
    struct oracle_node *node = oracle_path(call->o, read_blob(call->r));
    struct data data = read_data(call->r);
    call->out->node = node;
    int error = target(call, TREE_WRITE, true);
    if (error != 0) return error;
    if (!version_is(call->r, oracle_now(node)->version)) return TREE_BADVERSION;
    struct oracle_state *state = oracle_touch(call->o, node);
    set_data(call->o, state, data);
    state->version++;
    if (state->kind == TREE_KIND_TTL) {
        state->due_ms = call->o->log_time_ms + state->ttl_ms;
        if (state->children == 0) state->deadline_ms = state->due_ms;
    }
    oracle_event(call->o, TREE_EVENT_DATA, node);
    return 0;
}

static int op_set_acl(struct call *call) {
    struct oracle_node *node = oracle_path(call->o, read_blob(call->r));
    uint32_t acl = 0;
    bool good = acl_store(call->o, call->r, call->who, &acl);
    call->out->node = node;
    int error = target(call, TREE_ADMIN, good);
    if (error != 0) return error;
    if (!version_is(call->r, oracle_now(node)->aversion)) return TREE_BADVERSION;
    struct oracle_state *state = oracle_touch(call->o, node);
    state->acl = acl;
    state->aversion++;
    return 0;
}

static int op_check(struct call *call) {
    struct oracle_node *node = oracle_path(call->o, read_blob(call->r));
    call->out->node = node;
    int error = target(call, TREE_READ, true);
    if (error != 0) return error;
    return version_is(call->r, oracle_now(node)->version) ? 0 : TREE_BADVERSION;
}

int oracle_op(struct oracle *o, uint64_t session, struct bytes who, uint8_t op, struct bytes args,
              struct oracle_result *out) {
    struct reader r = reader_of(args.data, args.len);
    struct call call = {o, session, who, &r, out};
    out->op = op;
    switch (op) {
    case TREE_OP_CREATE:
        out->error = op_create(&call);
        break;
    case TREE_OP_DELETE:
        out->error = op_delete(&call);
        break;
    case TREE_OP_SET:
        out->error = op_set(&call);
        break;
    case TREE_OP_SET_ACL:
        out->error = op_set_acl(&call);
        break;
    case TREE_OP_CHECK:
        out->error = op_check(&call);
        break;
    default:
        world_fail(o->world, "entry %llu: operation %u is unknown", (unsigned long long)o->index, op);
    }
    if (out->error == 0 && op != TREE_OP_DELETE) out->state = out->node->states[out->node->count - 1];
    return out->error;
}

int oracle_multi(struct oracle *o, uint64_t session, struct bytes who, struct bytes args) {
    struct reader r = reader_of(args.data, args.len);
    int error = 0;
    for (uint64_t count = read_varint(&r); count > 0; count--) {
        uint8_t op = read_u8(&r);
        struct bytes part = read_blob(&r);
        struct oracle_result result = {.op = op, .error = TREE_RUNTIMEINCONSISTENCY};
        if (error == 0) error = oracle_op(o, session, who, op, part, &result);
        o->results = oracle_grow(o->results, &o->result_capacity, o->result_count + 1, sizeof *o->results);
        o->results[o->result_count++] = result;
    }
    return error;
}
