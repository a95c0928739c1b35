// Requests that are answered from what this node has applied.
#include "base/assert.h"
#include "base/planted.h"
#include "protocol/zookeeper/internal.h"
#include <string.h>

static const struct tree_answer *read_query(struct connection *c, struct tree_query *query, int *error) {
    struct result result = {0};
    query->identities.encoded = bytes_of(c->identities.data, c->identities.len);
    client_query(c->client, MODEL_TREE, query, &result);
    *error = result.error;
    ENSURE(result.error || result.value != NULL);
    return result.value;
}

int read_stat(struct connection *c, struct bytes path, struct tree_stat *stat) {
    struct tree_query query = {.op = TREE_EXISTS, .path = path};
    int error;
    const struct tree_answer *answer = read_query(c, &query, &error);
    if (!error) *stat = answer->stat;
    return error;
}

int read_data(struct connection *c, struct bytes path, struct writer *body) {
    struct tree_query query = {.op = TREE_GET, .path = path};
    int error;
    const struct tree_answer *answer = read_query(c, &query, &error);
    if (error) return error;
    if (answer->data_null)
        jute_write_int(body, -1);
    else
        jute_write_bytes(body, answer->data);
    jute_write_stat(body, &answer->stat);
    return 0;
}

struct names {
    struct writer *body;
    uint32_t count;
    size_t bytes_max; // of the body: what is behind it would not be sent anyway
};

static void name_add(void *context, struct bytes name) {
    struct names *names = context;
    names->count++;
    if (names->body->len <= names->bytes_max) jute_write_bytes(names->body, name);
}

// A vector of strings: its count is known when all have been given.
static int read_names(struct connection *c, struct tree_query *query, struct tree_stat *stat, struct writer *body) {
    size_t at = body->len;
    struct names names = {body, 0, at + c->instance->settings.reply_bytes_max};
    int error;
    jute_write_int(body, 0);
    query->name = name_add;
    query->context = &names;
    const struct tree_answer *answer = read_query(c, query, &error);
    if (error) return error;
    put_u32_be(body->data + at, names.count);
    if (stat) *stat = answer->stat;
    return 0;
}

int read_children(struct connection *c, struct bytes path, struct tree_stat *stat, struct writer *body) {
    struct tree_query query = {.op = TREE_CHILDREN, .path = path};
    return read_names(c, &query, stat, body);
}

static void watch(struct connection *c, struct bytes path, uint8_t mode) {
    struct watches *watches = &c->instance->watches;
    watches_add(watches, &c->watches, path, mode);
}

// Over the limit no watch is promised that would not be kept.
static bool watch_room(const struct connection *c, struct bytes path) {
    uint32_t most = c->instance->settings.watches_max;
    uint64_t all = c->instance->settings.watches_node_max;
    if ((most == 0 || c->watches.count < most) && (all == 0 || c->instance->watches.count < all)) return true;
    return watches_modes(&c->instance->watches, &c->watches, path) != 0; // it has one there already
}

static struct bytes read_path_watch(struct connection *c, struct reader *r, bool *wants, int *error) {
    struct bytes path = jute_string(r);
    *wants = jute_bool(r);
    *error = r->failed ? ZOOKEEPER_MARSHALLINGERROR : *wants && !watch_room(c, path) ? ZOOKEEPER_SYSTEMERROR : 0;
    return path;
}

int zookeeper_read_exists(struct connection *c, struct reader *r, struct writer *body) {
    bool wants;
    int error;
    struct bytes path = read_path_watch(c, r, &wants, &error);
    if (error) return error;
    if (path.len && memchr(path.data, 0, path.len)) return ZOOKEEPER_BADARGUMENTS;
    struct tree_stat stat;
    error = read_stat(c, path, &stat);
    if (wants && (error == 0 || error == ZOOKEEPER_NONODE))
        watch(c, path, WATCH_DATA); // of a missing node: for its creation
    if (!error) jute_write_stat(body, &stat);
    return error;
}

int zookeeper_read_data(struct connection *c, struct reader *r, struct writer *body) {
    bool wants;
    int error;
    struct bytes path = read_path_watch(c, r, &wants, &error);
    if (!error) error = read_data(c, path, body);
    if (!error && wants) watch(c, path, WATCH_DATA);
    return error;
}

int zookeeper_read_children(struct connection *c, struct reader *r, struct writer *body) {
    bool wants;
    int error;
    struct bytes path = read_path_watch(c, r, &wants, &error);
    if (!error) error = read_children(c, path, NULL, body);
    if (!error && wants) watch(c, path, WATCH_CHILD);
    return error;
}

int zookeeper_read_children2(struct connection *c, struct reader *r, struct writer *body) {
    bool wants;
    int error;
    struct tree_stat stat;
    struct bytes path = read_path_watch(c, r, &wants, &error);
    if (!error) error = read_children(c, path, &stat, body);
    if (error) return error;
    jute_write_stat(body, &stat);
    if (wants) watch(c, path, WATCH_CHILD);
    return 0;
}

struct acl_list {
    struct writer *body;
    uint32_t count;
};

static void acl_add(void *context, const struct tree_acl_entry *entry) {
    struct acl_list *list = context;
    list->count++;
    jute_write_int(list->body, entry->perms);
    jute_write_bytes(list->body, entry->scheme);
    jute_write_bytes(list->body, entry->id);
}

int zookeeper_read_acl(struct connection *c, struct reader *r, struct writer *body) {
    struct bytes path = jute_string(r);
    if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
    size_t at = body->len;
    struct acl_list list = {body, 0};
    struct tree_query query = {.op = TREE_GET_ACL, .path = path, .acl = acl_add, .context = &list};
    int error;
    jute_write_int(body, 0);
    const struct tree_answer *answer = read_query(c, &query, &error);
    if (error) return error;
    put_u32_be(body->data + at, list.count);
    jute_write_stat(body, &answer->stat);
    return 0;
}

int zookeeper_read_children_count(struct connection *c, struct reader *r, struct writer *body) {
    struct tree_query query = {.op = TREE_CHILDREN_COUNT, .path = jute_string(r)};
    if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
    int error;
    const struct tree_answer *answer = read_query(c, &query, &error);
    if (!error) jute_write_int(body, answer->count > INT32_MAX ? INT32_MAX : (int32_t)answer->count);
    return error;
}

int zookeeper_read_ephemerals(struct connection *c, struct reader *r, struct writer *body) {
    bool null;
    struct bytes prefix = jute_buffer(r, &null);
    if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
    if (prefix.len == 1 && prefix.data[0] == '/') prefix.len = 0; // all, as null and empty are
    // A read-only connection attaches nothing, but what its client's session owns stands all the same.
    bool shown = c->read_only && c->session_shown >> 56 == SESSION_SHOWN_BASE >> 56;
    uint64_t session = shown ? c->session_shown & ~SESSION_SHOWN_BASE : c->session;
    struct tree_query query = {.op = TREE_EPHEMERALS, .path = prefix, .session = session};
    return read_names(c, &query, NULL, body);
}

int zookeeper_read_ping(struct connection *c, struct reader *r, struct writer *body) {
    return 0;
}

int zookeeper_read_nothing(struct connection *c, struct reader *r, struct writer *body) {
    return 0;
}

int zookeeper_read_sync(struct connection *c, struct reader *r, struct writer *body) {
    jute_write_bytes(body, jute_string(r));
    return 0;
}

// ---- watches

int zookeeper_read_add_watch(struct connection *c, struct reader *r, struct writer *body) {
    struct bytes path = jute_string(r);
    int32_t mode = jute_int(r);
    if (r->failed || mode < 0 || mode > 1) return ZOOKEEPER_MARSHALLINGERROR;
    if (!watch_room(c, path)) return ZOOKEEPER_SYSTEMERROR;
    watch(c, path, mode == 0 ? WATCH_PERSISTENT : WATCH_RECURSIVE);
    jute_write_int(body, 0); // an ErrorResponse
    return 0;
}

// WatcherType's numbers. Children and Data mean the one-shot watches, and where there is none the persistent ones,
// which 3.8 keeps in the same two tables; Persistent and PersistentRecursive came with 3.9.
static uint8_t watcher_modes(int32_t type, uint8_t have) {
    uint8_t lasting = have & (WATCH_PERSISTENT | WATCH_RECURSIVE);
    switch (type) {
    case 1:
        return have & WATCH_CHILD ? WATCH_CHILD : lasting;
    case 2:
        return have & WATCH_DATA ? WATCH_DATA : lasting;
    case 3:
        return have;
    case 4:
        return have & WATCH_PERSISTENT;
    case 5:
        return have & WATCH_RECURSIVE;
    default:
        return 0;
    }
}

static int watches_request(struct connection *c, struct reader *r, bool remove) {
    struct watches *watches = &c->instance->watches;
    struct bytes path = jute_string(r);
    int32_t type = jute_int(r);
    if (r->failed || type < 1 || type > 5) return ZOOKEEPER_MARSHALLINGERROR;
    uint8_t modes = watcher_modes(type, watches_modes(watches, &c->watches, path));
    if (modes == 0) return ZOOKEEPER_NOWATCHER;
    if (remove) watches_remove(watches, &c->watches, path, modes);
    return 0;
}

int zookeeper_read_check_watches(struct connection *c, struct reader *r, struct writer *body) {
    return watches_request(c, r, false);
}

int zookeeper_read_remove_watches(struct connection *c, struct reader *r, struct writer *body) {
    return watches_request(c, r, true);
}

// ---- setWatches: a client that comes back says what it watched and up to where it knew

enum catch_up { CATCH_UP_DATA, CATCH_UP_EXIST, CATCH_UP_CHILD, CATCH_UP_NONE };

// The event that was missed since `zxid`, 0: none, so that the watch stands.
static int missed_event(struct connection *c, struct bytes path, enum catch_up kind, uint64_t zxid) {
    if (kind == CATCH_UP_NONE) return 0;
    struct tree_stat stat;
    bool there = read_stat(c, path, &stat) == 0;
    switch (kind) {
    case CATCH_UP_EXIST:
        return there ? TREE_EVENT_CREATED : 0;
    case CATCH_UP_DATA:
        return !there ? TREE_EVENT_DELETED : stat.mzxid > zxid ? TREE_EVENT_DATA : 0;
    default:
        return !there ? TREE_EVENT_DELETED : stat.pzxid > zxid ? TREE_EVENT_CHILDREN : 0;
    }
}

// Over the limit a watch that was promised elsewhere is not dropped in silence: its client is told of a change, reads
// again, and learns by the error that it watches no more. Lasting watches have no such event and are taken all the
// same.
static int unkept_event(const struct connection *c, struct bytes path, enum catch_up kind) {
    if (kind == CATCH_UP_NONE || watch_room(c, path)) return 0;
    return kind == CATCH_UP_CHILD ? TREE_EVENT_CHILDREN : TREE_EVENT_DATA;
}

static void catch_up_list(struct connection *c, struct reader *r, enum catch_up kind, uint8_t mode, uint64_t zxid,
                          struct writer *events) {
    bool null;
    uint32_t count = jute_count(r, 4, &null);
    if (null) r->failed = true;
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct bytes path = jute_string(r);
        if (r->failed) return;
        int event = PLANTED(WATCH_LOST_AT_RECONNECT) ? 0 : missed_event(c, path, kind, zxid);
        if (!event) event = unkept_event(c, path, kind);
        if (!event) {
            watch(c, path, mode);
            continue;
        }
        write_u32_be(events, (uint32_t)(JUTE_REPLY_HEADER_BYTES + 12 + path.len));
        jute_write_int(events, -1);
        write_u64_be(events, UINT64_MAX);
        jute_write_int(events, 0);
        jute_write_int(events, event);
        jute_write_int(events, 3);
        jute_write_bytes(events, path);
        c->sent++;
        c->instance->packets_sent++;
    }
}

static int set_watches(struct connection *c, struct reader *r, struct writer *body, bool second) {
    static const struct {
        enum catch_up kind;
        uint8_t mode;
    } lists[] = {{CATCH_UP_DATA, WATCH_DATA},
                 {CATCH_UP_EXIST, WATCH_DATA},
                 {CATCH_UP_CHILD, WATCH_CHILD},
                 {CATCH_UP_NONE, WATCH_PERSISTENT},
                 {CATCH_UP_NONE, WATCH_RECURSIVE}};
    uint64_t zxid = read_u64_be(r);
    // Nothing is done of a request that cannot be read to its end.
    struct reader look = *r;
    size_t count = second ? 5 : 3;
    for (size_t i = 0; i < count; i++) {
        bool null;
        for (uint32_t left = jute_count(&look, 4, &null); left > 0 && !look.failed; left--) jute_string(&look);
        if (null) look.failed = true;
    }
    if (look.failed) return ZOOKEEPER_MARSHALLINGERROR;
    pipeline_reply_later(c, body); // what was missed stands ahead of the answer
    for (size_t i = 0; i < count; i++) catch_up_list(c, r, lists[i].kind, lists[i].mode, zxid, body);
    pipeline_reply_here(c, body);
    return 0;
}

int zookeeper_read_set_watches(struct connection *c, struct reader *r, struct writer *body) {
    return set_watches(c, r, body, false);
}

int zookeeper_read_set_watches2(struct connection *c, struct reader *r, struct writer *body) {
    return set_watches(c, r, body, true);
}
