// Requests that change the tree: decoded into commands, and their results encoded into replies. Paths, ACLs and
// versions are judged by the model when the command is applied, alike on every node; here only the shape of the bytes
// is.
#include "base/alloc.h"
#include "base/assert.h"
#include "protocol/zookeeper/internal.h"

#define ACL_BYTES_MIN 12u // perms and two empty strings

// CreateMode's numbers on the wire.
enum create_mode { MODE_EPHEMERAL = 1, MODE_SEQUENTIAL = 2, MODE_CONTAINER = 4, MODE_TTL = 5, MODE_TTL_SEQUENTIAL = 6 };

static bool config_path(struct bytes path) {
    return bytes_equal(path, bytes_of_text("/zookeeper/config"));
}

// Vector of {perms int, scheme string, id string}; what each entry may say, and what `auth` stands for, is the model's
// business.
static int read_acl(struct connection *c, struct reader *r, size_t *count) {
    struct instance *instance = c->instance;
    bool null;
    *count = jute_count(r, ACL_BYTES_MIN, &null);
    if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
    if (*count > instance->acl_capacity) {
        instance->acl_capacity = *count + 16;
        instance->acl = mem_realloc(instance->acl, instance->acl_capacity * sizeof *instance->acl);
    }
    size_t total = 0;
    for (size_t i = 0; i < *count; i++) {
        struct tree_acl_entry *entry = &instance->acl[i];
        entry->perms = (uint8_t)(jute_int(r) & TREE_ALL);
        bool no_scheme, no_id; // null counts as empty: kazoo sends `auth` with a null id, as ZooKeeper allows
        entry->scheme = jute_buffer(r, &no_scheme);
        entry->id = jute_buffer(r, &no_id);
        total += entry->scheme.len + entry->id.len;
    }
    if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
    return *count == 0 || total > TREE_ACL_BYTES_MAX ? ZOOKEEPER_INVALIDACL : 0;
}

static int create_flags(int32_t code, int32_t flags, uint8_t *out) {
    bool sequential =
        flags == MODE_SEQUENTIAL || flags == (MODE_EPHEMERAL | MODE_SEQUENTIAL) || flags == MODE_TTL_SEQUENTIAL;
    bool timed = flags == MODE_TTL || flags == MODE_TTL_SEQUENTIAL;
    if (flags < 0 || flags > MODE_TTL_SEQUENTIAL || timed != (code == 21)) return ZOOKEEPER_BADARGUMENTS;
    *out = sequential ? TREE_SEQUENTIAL : 0;
    if (code == 19) { // the operation says that it is a container, whatever the flags do
        *out = TREE_CONTAINER;
        return sequential ? ZOOKEEPER_BADARGUMENTS : 0;
    }
    if (timed) *out |= TREE_TTL;
    if (flags == MODE_EPHEMERAL || flags == (MODE_EPHEMERAL | MODE_SEQUENTIAL)) *out |= TREE_EPHEMERAL;
    return 0; // MODE_CONTAINER by create or create2 is an ordinary node, as in 3.8
}

static int write_create(struct connection *c, struct reader *r, int32_t code, struct writer *out) {
    struct bytes path = jute_string(r);
    bool null;
    struct bytes data = jute_buffer(r, &null);
    size_t count;
    int error = read_acl(c, r, &count);
    if (error == ZOOKEEPER_MARSHALLINGERROR) return error;
    int32_t mode = jute_int(r);
    int64_t ttl = code == 21 ? jute_long(r) : 0;
    if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
    uint8_t flags;
    int bad_flags = create_flags(code, mode, &flags);
    if (bad_flags) return bad_flags;
    if (code == 21 && (ttl <= 0 || (uint64_t)ttl > TREE_TTL_MS_MAX)) return ZOOKEEPER_BADARGUMENTS;
    if (!path_characters(path)) return ZOOKEEPER_BADARGUMENTS;
    if (error) return error;
    tree_write_create(out, path, null ? NULL : &data, c->instance->acl, count, flags, (uint64_t)ttl);
    return 0;
}

static int write_set(struct reader *r, struct writer *out, bool *config) {
    struct bytes path = jute_string(r);
    bool null;
    struct bytes data = jute_buffer(r, &null);
    int32_t version = jute_int(r);
    if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
    if (!path_characters(path)) return ZOOKEEPER_BADARGUMENTS;
    *config = config_path(path);
    tree_write_set(out, path, null ? NULL : &data, version);
    return 0;
}

// One operation's arguments, alone or as a part of a multi.
int write_part(struct connection *c, struct reader *r, int32_t code, struct writer *out, uint8_t *op) {
    bool config = false;
    int error = 0;
    switch (code) {
    case 1:
    case 15:
    case 19:
    case 21:
        *op = TREE_OP_CREATE;
        return write_create(c, r, code, out);
    case 2:
    case 13: {
        struct bytes path = jute_string(r);
        int32_t version = jute_int(r);
        if (r->failed) return ZOOKEEPER_MARSHALLINGERROR;
        *op = code == 2 ? TREE_OP_DELETE : TREE_OP_CHECK;
        if (code == 2)
            tree_write_delete(out, path, version);
        else
            tree_write_check(out, path, version);
        return 0;
    }
    case 5:
        *op = TREE_OP_SET;
        error = write_set(r, out, &config);
        // The members' addresses are the cluster's own; not even `super` writes them.
        return error ? error : config ? ZOOKEEPER_NOAUTH : 0;
    default:
        return ZOOKEEPER_MARSHALLINGERROR;
    }
}

void write_command_head(struct connection *c, struct writer *command, uint8_t op) {
    command_write_head(command, MODEL_TREE, op, c->session, c->attach);
    write_blob(command, bytes_of(c->identities.data, c->identities.len));
}

static int write_one(struct connection *c, struct reader *r, int32_t code, uint8_t op, struct writer *command) {
    uint8_t same = op;
    write_command_head(c, command, op);
    int error = write_part(c, r, code, command, &same);
    ENSURE(error || same == op);
    return error;
}

int zookeeper_write_create(struct connection *c, struct reader *r, struct writer *command) {
    return write_one(c, r, 1, TREE_OP_CREATE, command);
}

int zookeeper_write_create_container(struct connection *c, struct reader *r, struct writer *command) {
    return write_one(c, r, 19, TREE_OP_CREATE, command);
}

int zookeeper_write_create_ttl(struct connection *c, struct reader *r, struct writer *command) {
    return write_one(c, r, 21, TREE_OP_CREATE, command);
}

int zookeeper_write_delete(struct connection *c, struct reader *r, struct writer *command) {
    return write_one(c, r, 2, TREE_OP_DELETE, command);
}

int zookeeper_write_set_data(struct connection *c, struct reader *r, struct writer *command) {
    return write_one(c, r, 5, TREE_OP_SET, command);
}

int zookeeper_write_set_acl(struct connection *c, struct reader *r, struct writer *command) {
    struct bytes path = jute_string(r);
    size_t count;
    int error = read_acl(c, r, &count);
    int32_t version = jute_int(r);
    if (r->failed || error == ZOOKEEPER_MARSHALLINGERROR) return ZOOKEEPER_MARSHALLINGERROR;
    if (!path_characters(path)) return ZOOKEEPER_BADARGUMENTS;
    if (error) return error;
    if (config_path(path)) return ZOOKEEPER_NOAUTH;
    write_command_head(c, command, TREE_OP_SET_ACL);
    tree_write_set_acl(command, path, c->instance->acl, count, version);
    return 0;
}

// The model knows a check within a multi only, so this is a multi of one.
int zookeeper_write_check(struct connection *c, struct reader *r, struct writer *command) {
    struct writer *part = &c->instance->part;
    uint8_t op;
    writer_clear(part);
    int error = write_part(c, r, 13, part, &op);
    if (error) return error;
    write_command_head(c, command, TREE_OP_MULTI);
    tree_write_multi(command, 1);
    tree_multi_part(command, op, bytes_of(part->data, part->len));
    return 0;
}

// ---- results

static int check_reply(struct connection *c, const struct request *request, const struct tree_result *multi,
                       struct writer *body) {
    if (multi->part_count == 1 && multi->parts[0].error) return multi->parts[0].error;
    // What has just been checked is still what stands there.
    struct reader r;
    struct bytes held = pipeline_body(c, request);
    r = reader_of(held.data, held.len);
    struct tree_stat stat;
    int error = read_stat(c, jute_string(&r), &stat);
    if (!error) jute_write_stat(body, &stat);
    return error;
}

int write_reply(struct connection *c, const struct request *request, const struct result *result, struct writer *body) {
    const struct tree_result *tree = result->value;
    bool multi = request->operation == ZOOKEEPER_OP_multi || request->operation == ZOOKEEPER_OP_check;
    // A failed multi has its parts' errors in the value; anything else that failed is its code alone.
    if (result->error && !(multi && tree && tree->part_count > 0)) return result->error;
    ENSURE(tree != NULL);
    switch (request->operation) {
    case ZOOKEEPER_OP_create:
        jute_write_bytes(body, tree->path);
        return 0;
    case ZOOKEEPER_OP_create2:
    case ZOOKEEPER_OP_createContainer:
    case ZOOKEEPER_OP_createTTL:
        jute_write_bytes(body, tree->path);
        jute_write_stat(body, &tree->stat);
        return 0;
    case ZOOKEEPER_OP_setData:
    case ZOOKEEPER_OP_setACL:
        jute_write_stat(body, &tree->stat);
        return 0;
    case ZOOKEEPER_OP_check:
        return check_reply(c, request, tree, body);
    case ZOOKEEPER_OP_multi:
        return multi_reply(c, request, tree, body);
    default:
        ENSURE(request->operation == ZOOKEEPER_OP_delete);
        return 0;
    }
}
