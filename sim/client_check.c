// Each answer against the oracle: what the request's own bytes ask for must be exactly what stood there at the zxid of
// the reply; a write's zxid is its own entry, and says what the rules say of it.
#include "sim/client.h"

#include <stdio.h>

struct answer {
    struct sim_client *client;
    struct oracle *oracle;
    const struct op *op;
    uint64_t zxid;
    int32_t error;
    struct reader *r; // the reply's body
    struct reader request;
};

const struct oracle_node *client_path(struct sim_client *client, const struct op *op) {
    struct reader r = reader_of(op->body, op->len);
    return oracle_path(&client->sim->history.oracle, jute_read_data(&r));
}

static void wrong(struct answer *a, const char *what, const char *path, uint64_t have, uint64_t want) {
    client_fail(a->client, a->op, "%s of %s at zxid %llu: %lld, and %lld stands there", what, path,
                (unsigned long long)a->zxid, (long long)have, (long long)want);
}

static struct bytes who_of(const struct answer *a) {
    return bytes_of(a->client->who.data, a->client->who.len);
}

static void check_stat(struct answer *a, const struct oracle_node *node, const struct oracle_state *state) {
    struct jute_stat s = jute_read_stat(a->r);
    uint64_t owner = state->kind == TREE_KIND_EPHEMERAL ? state->owner | (uint64_t)1 << 56 : 0;
    struct {
        const char *name;
        uint64_t have, want;
    } fields[] = {
        {"czxid", s.czxid, state->czxid},
        {"mzxid", s.mzxid, state->mzxid},
        {"pzxid", s.pzxid, state->pzxid},
        {"ctime", s.ctime, (uint64_t)state->ctime},
        {"mtime", s.mtime, (uint64_t)state->mtime},
        {"version", (uint32_t)s.version, state->version},
        {"cversion", (uint32_t)s.cversion, (uint32_t)oracle_cversion(state)},
        {"aversion", (uint32_t)s.aversion, state->aversion},
        {"owner", s.owner, owner},
        {"dataLength", (uint32_t)s.data_length, state->data_len},
        {"numChildren", (uint32_t)s.children, state->children},
    };
    if (a->r->failed) client_fail(a->client, a->op, "the answer ends in the middle of its stat");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].have != fields[i].want) wrong(a, fields[i].name, node->path, fields[i].have, fields[i].want);
}

// ---- reads

static int32_t read_error(struct answer *a, const struct oracle_state *state, uint8_t perms) {
    if (state == NULL) return JUTE_NONODE;
    return perms == 0 || oracle_allows(a->oracle, state->acl, perms, who_of(a)) ? 0 : JUTE_NOAUTH;
}

static void check_data(struct answer *a, const struct oracle_node *node, const struct oracle_state *state) {
    int32_t len = (int32_t)get_u32_be(a->r->data + a->r->at);
    struct bytes data = jute_read_data(a->r);
    if (a->r->failed || (len < 0) != state->null || data.len != state->data_len ||
        hash_bytes(data.data, data.len, 0) != state->data_hash)
        client_fail(a->client, a->op, "at zxid %llu %s reads \"%.*s\", and write %llu stands there",
                    (unsigned long long)a->zxid, node->path, data.len > 20 ? 20 : (int)data.len,
                    data.len == 0 ? "" : (const char *)data.data, (unsigned long long)state->mzxid);
    check_stat(a, node, state);
}

// Names below `above` (a length), in the order of creation.
static void check_names(struct answer *a, const struct oracle_node **nodes, size_t count, size_t above) {
    int32_t told = jute_read_int(a->r);
    if (told != (int32_t)count) {
        client_fail(a->client, a->op, "%d names at zxid %llu, and %zu stand there", told, (unsigned long long)a->zxid,
                    count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct bytes name = jute_read_data(a->r);
        const char *want = nodes[i]->path + above;
        if (name.len != strlen(want) || memcmp(name.data, want, name.len) != 0) {
            client_fail(a->client, a->op, "name %zu at zxid %llu is %.*s, and %s stands there", i,
                        (unsigned long long)a->zxid, (int)name.len, (const char *)name.data, want);
            return;
        }
    }
}

static void check_children(struct answer *a, const struct oracle_node *node, const struct oracle_state *state) {
    const struct oracle_node **nodes = mem_alloc((state->children + 1) * sizeof *nodes);
    size_t found = oracle_children(&node->kids, a->zxid, state->children, nodes);
    ENSURE(found == state->children);
    check_names(a, nodes, found, node->len == 1 ? 1 : node->len + 1);
    mem_free(nodes);
}

static void check_acl(struct answer *a, const struct oracle_node *node, const struct oracle_state *state) {
    const struct oracle_acl *acl = &a->oracle->acls[state->acl];
    struct reader list = reader_of(acl->encoded, acl->len);
    bool whole = oracle_allows(a->oracle, state->acl, JUTE_ADMIN, who_of(a));
    uint64_t count = read_varint(&list);
    if (jute_read_int(a->r) != (int32_t)count) client_fail(a->client, a->op, "another number of ACL entries");
    for (; count > 0; count--) {
        int32_t perms = jute_read_int(a->r);
        struct bytes scheme = jute_read_data(a->r), id = jute_read_data(a->r);
        uint8_t want_perms = read_u8(&list);
        struct bytes want_scheme = read_blob(&list), want = read_blob(&list);
        const uint8_t *colon = want.len > 0 ? memchr(want.data, ':', want.len) : NULL;
        if (!whole && colon != NULL && bytes_equal(want_scheme, bytes_of_text("digest"))) { // masked
            size_t user = (size_t)(colon - want.data) + 1;
            if (id.len != user + 1 || memcmp(id.data, want.data, user) != 0 || id.data[user] != 'x')
                client_fail(a->client, a->op, "a digest is shown to whom it does not concern");
            want = id;
        }
        if (perms != want_perms || !bytes_equal(scheme, want_scheme) || !bytes_equal(id, want))
            client_fail(a->client, a->op, "another ACL than what stands at %s", node->path);
    }
    check_stat(a, node, state);
}

static void check_ephemerals(struct answer *a) {
    struct bytes prefix = jute_read_data(&a->request);
    const struct oracle_session *session = oracle_session(a->oracle, a->client->session);
    size_t count = session == NULL ? 0 : session->owned.count, found = 0;
    const struct oracle_node **nodes = mem_alloc((count + 1) * sizeof *nodes);
    for (size_t i = 0; i < count; i++) {
        const struct oracle_kid *kid = &session->owned.kids[i];
        const struct oracle_state *state = oracle_at(kid->node, a->zxid);
        if (state == NULL || state->czxid != kid->born || kid->node->len < prefix.len ||
            memcmp(kid->node->path, prefix.data, prefix.len) != 0)
            continue;
        nodes[found++] = kid->node;
    }
    check_names(a, nodes, found, 0);
    mem_free(nodes);
}

static int32_t read_perms(int32_t code) {
    return code == JUTE_EXISTS ? 0 : code == JUTE_GET_ACL ? JUTE_READ | JUTE_ADMIN : JUTE_READ;
}

static void check_read(struct answer *a) {
    const struct oracle_node *node = oracle_path(a->oracle, jute_read_data(&a->request));
    const struct oracle_state *state = oracle_at(node, a->zxid);
    int32_t want = read_error(a, state, (uint8_t)read_perms(a->op->code));
    if (a->error != want) wrong(a, "the error", node->path, (uint64_t)(int64_t)a->error, (uint64_t)(int64_t)want);
    if (a->error != 0 || state == NULL) return;
    switch (a->op->code) {
    case JUTE_EXISTS:
        check_stat(a, node, state);
        break;
    case JUTE_GET:
        check_data(a, node, state);
        break;
    case JUTE_GET_ACL:
        check_acl(a, node, state);
        break;
    case JUTE_DESCENDANTS: {
        uint64_t want_count = oracle_descendants(node, a->zxid);
        int32_t count = jute_read_int(a->r);
        if ((uint64_t)count != want_count) wrong(a, "number of descendants", node->path, (uint64_t)count, want_count);
        break;
    }
    default:
        check_children(a, node, state);
        if (a->op->code == JUTE_CHILDREN2) check_stat(a, node, state);
    }
}

static bool multi_head(struct reader *r, int32_t *type) { // false: the end
    *type = jute_read_int(r);
    bool done = read_u8(r);
    jute_read_int(r);
    return !done && !r->failed;
}

static void check_multi_read(struct answer *a) {
    int32_t type, told;
    while (multi_head(&a->request, &type)) {
        const struct oracle_node *node = oracle_path(a->oracle, jute_read_data(&a->request));
        read_u8(&a->request);
        const struct oracle_state *state = oracle_at(node, a->zxid);
        int32_t want = read_error(a, state, JUTE_READ);
        multi_head(a->r, &told);
        if (want != 0) {
            int32_t error = jute_read_int(a->r);
            if (told != -1 || error != want) wrong(a, "a part's error", node->path, (uint64_t)error, (uint64_t)want);
        } else if (told != type) {
            wrong(a, "a part", node->path, (uint64_t)told, (uint64_t)type);
        } else if (type == JUTE_GET) {
            check_data(a, node, state);
        } else {
            check_children(a, node, state);
        }
    }
    if (multi_head(a->r, &told)) client_fail(a->client, a->op, "more parts than were asked for");
}

static void check_who(struct answer *a) {
    struct reader who = reader_of(a->client->who.data, a->client->who.len);
    uint64_t count = read_varint(&who);
    if (jute_read_int(a->r) != (int32_t)count) client_fail(a->client, a->op, "another number of identities");
    for (; count > 0; count--) {
        struct bytes want_scheme = read_blob(&who), want = read_blob(&who);
        struct bytes scheme = jute_read_data(a->r), id = jute_read_data(a->r);
        if (bytes_equal(want_scheme, bytes_of_text("digest")))
            want.len = (size_t)((const uint8_t *)memchr(want.data, ':', want.len) - want.data);
        if (!bytes_equal(scheme, want_scheme) || !bytes_equal(id, want))
            client_fail(a->client, a->op, "it is told to be %.*s", (int)id.len, (const char *)id.data);
    }
}

// ---- writes

static uint8_t tree_op_of(int32_t code) {
    switch (code) {
    case JUTE_DELETE:
        return TREE_OP_DELETE;
    case JUTE_SET:
        return TREE_OP_SET;
    case JUTE_SET_ACL:
        return TREE_OP_SET_ACL;
    case JUTE_CHECK:
    case JUTE_MULTI:
        return TREE_OP_MULTI;
    default:
        return TREE_OP_CREATE;
    }
}

// The asked path is what the entry is about: a sequential one with its number behind it.
static void check_target(struct answer *a, const struct oracle_result *result, struct bytes path) {
    const struct oracle_node *node = result->node;
    bool begins = node->len >= path.len && memcmp(node->path, path.data, path.len) == 0;
    bool numbered = result->op == TREE_OP_CREATE && node->len >= path.len + 10;
    if (!begins || (node->len != path.len && !numbered))
        client_fail(a->client, a->op, "zxid %llu is of %s", (unsigned long long)a->zxid, node->path);
}

static void check_written(struct answer *a, const struct oracle_result *result, struct bytes data) {
    if (hash_bytes(data.data, data.len, 0) != result->state.data_hash)
        client_fail(a->client, a->op, "zxid %llu has written something else to %s", (unsigned long long)a->zxid,
                    result->node->path);
}

static void check_path(struct answer *a, const struct oracle_result *result) {
    struct bytes path = jute_read_data(a->r);
    if (path.len != result->node->len || memcmp(path.data, result->node->path, path.len) != 0)
        client_fail(a->client, a->op, "it is told to have made %.*s; it is %s", (int)path.len, (const char *)path.data,
                    result->node->path);
}

// The arguments in the request: the entry must be about the same, and (applied) have written the same.
static void check_arguments(struct answer *a, int32_t type, const struct oracle_result *result, bool applied) {
    struct bytes path = jute_read_data(&a->request);
    if (result->node != NULL) check_target(a, result, path);
    if (type == JUTE_DELETE || type == JUTE_CHECK) {
        jute_read_int(&a->request);
        return;
    }
    struct bytes data = jute_read_data(&a->request);
    if (applied) check_written(a, result, data);
    if (type == JUTE_SET) {
        jute_read_int(&a->request);
        return;
    }
    for (int32_t count = jute_read_int(&a->request); count > 0; count--) {
        jute_read_int(&a->request);
        jute_read_data(&a->request);
        jute_read_data(&a->request);
    }
    jute_read_int(&a->request);
    if (type == JUTE_CREATE_TTL) read_u64_be(&a->request);
}

static void check_multi(struct answer *a, const struct oracle_entry *entry) {
    bool taken_back = entry->error != 0;
    int32_t type, told;
    size_t at = 0;
    for (; multi_head(&a->request, &type) && at < entry->count; at++) {
        const struct oracle_result *result = &a->oracle->results[entry->result + at];
        check_arguments(a, type, result, !taken_back);
        multi_head(a->r, &told);
        if (taken_back) {
            int32_t error = jute_read_int(a->r);
            if (told != -1 || error != result->error)
                wrong(a, "a part's error", result->node == NULL ? "?" : result->node->path, (uint64_t)(int64_t)error,
                      (uint64_t)(int64_t)result->error);
            continue;
        }
        int32_t want = type == JUTE_CREATE_CONTAINER || type == JUTE_CREATE_TTL ? JUTE_CREATE2 : type;
        if (told != want) wrong(a, "a part", result->node->path, (uint64_t)told, (uint64_t)want);
        if (want == JUTE_CREATE || want == JUTE_CREATE2) check_path(a, result);
        if (want == JUTE_CREATE2 || want == JUTE_SET) check_stat(a, result->node, &result->state);
    }
    if (at != entry->count || reader_left(&a->request) > 0)
        client_fail(a->client, a->op, "the entry has %zu parts, not %zu", entry->count, at);
    if (multi_head(a->r, &told)) client_fail(a->client, a->op, "more parts than were asked for");
}

static void check_one(struct answer *a, const struct oracle_entry *entry) {
    const struct oracle_result *result = &a->oracle->results[entry->result];
    int32_t code = a->op->code;
    if (a->error != result->error)
        wrong(a, "the error", result->node->path, (uint64_t)(int64_t)a->error, (uint64_t)(int64_t)result->error);
    if (code == JUTE_SET_ACL)
        check_target(a, result, jute_read_data(&a->request));
    else
        check_arguments(a, code, result, a->error == 0);
    if (a->error != 0) return;
    bool creates = result->op == TREE_OP_CREATE;
    if (creates) check_path(a, result);
    if (code == JUTE_CHECK) {
        check_stat(a, result->node, oracle_at(result->node, a->zxid));
    } else if (code != JUTE_CREATE && code != JUTE_DELETE) {
        check_stat(a, result->node, &result->state);
    }
}

static void check_write(struct answer *a) {
    struct sim_client *client = a->client;
    struct oracle_entry *entry = (struct oracle_entry *)(uintptr_t)oracle_entry_at(a->oracle, a->zxid);
    if (a->error == JUTE_SYSTEM) return; // the disk was full: it may not even have got a number
    if (entry == NULL || !entry->taken || entry->model != MODEL_TREE || entry->session != client->session ||
        entry->op != tree_op_of(a->op->code) || entry->answered) {
        client_fail(client, a->op, "zxid %llu is the entry of something else (model %d operation %d session %llx%s)",
                    (unsigned long long)a->zxid, entry == NULL ? -1 : entry->model, entry == NULL ? 0 : entry->op,
                    entry == NULL ? 0 : (unsigned long long)entry->session,
                    entry != NULL && entry->answered ? ", answered before" : "");
        return;
    }
    entry->answered = true;
    if (entry->who != hash_bytes(client->who.data, client->who.len, 0))
        client_fail(client, a->op, "its entry names somebody else as its sender");
    if (a->zxid <= a->op->floor)
        client_fail(client, a->op, "a write at zxid %llu, but zxid %llu had been told before it was sent",
                    (unsigned long long)a->zxid, (unsigned long long)a->op->floor);
    if (a->zxid <= client->write_zxid)
        client_fail(client, a->op, "writes of one connection out of order: zxid %llu behind %llu",
                    (unsigned long long)a->zxid, (unsigned long long)client->write_zxid);
    client->write_zxid = a->zxid;
    if (a->op->code == JUTE_MULTI) {
        if (a->error != 0) client_fail(client, a->op, "a multi is answered with error %d", a->error);
        check_multi(a, entry);
    } else {
        check_one(a, entry);
    }
}

// ---- all

static void check_state(struct answer *a) {
    switch (a->op->code) {
    case JUTE_EPHEMERALS:
        check_ephemerals(a);
        return;
    case JUTE_MULTI_READ:
        check_multi_read(a);
        return;
    case JUTE_WHO_AM_I:
        check_who(a);
        return;
    case JUTE_CHECK_WATCHES:
    case JUTE_REMOVE_WATCHES: {
        int32_t want = watches_expected(a->client, a->op);
        if (a->error != want) wrong(a, "the error", "a watch", (uint64_t)(int64_t)a->error, (uint64_t)(int64_t)want);
        return;
    }
    case JUTE_EXISTS:
    case JUTE_GET:
    case JUTE_GET_ACL:
    case JUTE_CHILDREN:
    case JUTE_CHILDREN2:
    case JUTE_DESCENDANTS:
        check_read(a);
        return;
    case JUTE_SYNC: {
        struct bytes asked = jute_read_data(&a->request), told = jute_read_data(a->r);
        if (a->error != 0 || !bytes_equal(asked, told)) client_fail(a->client, a->op, "error %d", a->error);
        return;
    }
    default:
        if (a->error != 0) client_fail(a->client, a->op, "error %d", a->error);
    }
}

void client_check(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r) {
    struct answer a = {.client = client,
                       .oracle = &client->sim->history.oracle,
                       .op = op,
                       .zxid = zxid,
                       .error = error,
                       .r = &r,
                       .request = reader_of(op->body, op->len)};
    bool write = client_op_writes(op->code);
    int32_t refused = op->refused;
    if (op->read_only && (write || op->code == JUTE_SYNC || op->code == JUTE_RECONFIG)) refused = JUTE_NOT_READ_ONLY;
    if (op->behind_sync && !op->read_only && zxid < op->floor)
        client_fail(client, op, "behind a sync at zxid %llu, but zxid %llu had been told before",
                    (unsigned long long)zxid, (unsigned long long)op->floor);
    if (refused != 0) {
        if (error != refused) client_fail(client, op, "error %d, must be %d", error, refused);
        return;
    }
    if (write)
        check_write(&a);
    else
        check_state(&a);
    if (error == 0 && !reader_done(&r) && op->code != JUTE_ADD_WATCH)
        client_fail(client, op, "the answer has %zu bytes more than it may", reader_left(&r));
}
