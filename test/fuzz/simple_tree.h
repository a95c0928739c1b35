// The tree told a second time, as simply as it can be: an array of whole paths. It stands between the fake node and the
// real tree (SIMPLE_TREE_BETWEEN), plays every command that is applied, and holds the real tree's answers and, at the
// end, its nodes against its own.
//
// ACLs, quotas and the like are not told again: an error of theirs is taken as given and changes nothing.
#pragma once
#include "base/alloc.h"
#include "base/assert.h"
#include "model/tree/tree.h"
#include <stdlib.h>
#include <string.h>

#define SIMPLE_NODES 4096
struct simple_node {
    uint8_t *path, *data; // owned
    size_t path_len, data_len;
    bool null;
    uint32_t version, aversion;
    uint64_t owner, creates;
};
struct simple_tree {
    struct simple_node nodes[SIMPLE_NODES];
    size_t count;
};
static struct simple_tree simple;

static uint8_t *simple_copy(struct bytes from) {
    uint8_t *to = mem_alloc(from.len + 1);
    if (from.len > 0) memcpy(to, from.data, from.len);
    return to;
}

static struct simple_node *simple_find(struct bytes path) {
    for (size_t i = 0; i < simple.count; i++)
        if (bytes_equal(bytes_of(simple.nodes[i].path, simple.nodes[i].path_len), path)) return &simple.nodes[i];
    return NULL;
}

static struct bytes simple_above(struct bytes path) {
    size_t len = path.len;
    while (len > 1 && path.data[len - 1] != '/') len--;
    return bytes_of(path.data, len > 1 ? len - 1 : 1);
}

static size_t simple_children(struct bytes path) {
    size_t count = 0;
    for (size_t i = 0; i < simple.count; i++) {
        struct bytes at = bytes_of(simple.nodes[i].path, simple.nodes[i].path_len);
        count += at.len > 1 && bytes_equal(simple_above(at), path);
    }
    return count;
}

static void simple_set(struct simple_node *n, struct bytes data, bool null) {
    mem_free(n->data);
    n->data = simple_copy(data);
    n->data_len = data.len;
    n->null = null;
}

static struct simple_node *simple_add(struct bytes path, struct bytes data, bool null, uint64_t owner) {
    ENSURE(simple.count < SIMPLE_NODES);
    struct simple_node *n = &simple.nodes[simple.count++];
    *n = (struct simple_node){.path = simple_copy(path), .path_len = path.len, .owner = owner};
    simple_set(n, data, null);
    return n;
}

static void simple_remove(struct simple_node *n) {
    mem_free(n->path);
    mem_free(n->data);
    *n = simple.nodes[--simple.count];
}

static void simple_clear(void) {
    while (simple.count > 0) simple_remove(&simple.nodes[0]);
}

static void simple_begin(void) {
    static const char *const born[] = {"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"};
    simple_clear();
    for (size_t i = 0; i < sizeof born / sizeof born[0]; i++)
        simple_add(bytes_of_text(born[i]), bytes_of("", 0), false, 0);
}

// ---- commands

static struct bytes simple_read_data(struct reader *r, bool *null) {
    uint64_t code = read_varint(r);
    *null = code == 0;
    return code == 0 ? bytes_of("", 0) : read_span(r, (size_t)(code - 1));
}

static bool simple_is_number(struct bytes digits, uint64_t number) {
    uint64_t value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') return false;
        value = value * 10 + (uint64_t)(digits.data[i] - '0');
    }
    return digits.len >= 10 && value == number;
}

static void simple_create(struct reader *r, uint64_t session, const struct tree_result *result) {
    uint64_t flags = read_varint(r);
    struct bytes path = read_blob(r);
    bool null;
    struct bytes data = simple_read_data(r, &null);
    struct simple_node *parent = simple_find(simple_above(path));
    if (result->error == TREE_NONODE) ENSURE(parent == NULL);
    if (result->error == TREE_NOCHILDRENFOREPHEMERALS) ENSURE(parent != NULL && parent->owner != 0);
    if (result->error == TREE_NODEEXISTS) ENSURE((flags & TREE_SEQUENTIAL) != 0 || simple_find(path) != NULL);
    if (result->error != 0) return;
    ENSURE(parent != NULL && parent->owner == 0 && simple_find(result->path) == NULL);
    if (flags & TREE_SEQUENTIAL)
        ENSURE(simple_is_number(bytes_of(result->path.data + path.len, result->path.len - path.len), parent->creates));
    else
        ENSURE(bytes_equal(path, result->path));
    parent->creates++;
    simple_add(result->path, data, null, flags & TREE_EPHEMERAL ? session : 0);
}

static bool simple_version_fits(struct reader *r, uint32_t version) {
    uint64_t code = read_varint(r);
    return code == 0 || (uint32_t)(code - 1) == version;
}

// DELETE, SET, SET_ACL, CHECK: a node, a version, perhaps more.
static void simple_change(struct reader *r, uint8_t op, const struct tree_result *result) {
    struct bytes path = read_blob(r), data = {0};
    bool null = false;
    if (op == TREE_OP_SET) data = simple_read_data(r, &null);
    for (uint64_t i = op == TREE_OP_SET_ACL ? read_varint(r) : 0; i > 0; i--) {
        read_u8(r);
        read_blob(r);
        read_blob(r);
    }
    struct simple_node *n = simple_find(path);
    bool fits = n != NULL && simple_version_fits(r, op == TREE_OP_SET_ACL ? n->aversion : n->version);
    size_t children = simple_children(path);
    if (result->error == TREE_NONODE) ENSURE(n == NULL);
    if (result->error == TREE_BADVERSION) ENSURE(n != NULL && !fits);
    if (result->error == TREE_NOTEMPTY) ENSURE(children > 0);
    if (result->error != 0) return;
    ENSURE(n != NULL && fits);
    if (op == TREE_OP_DELETE) {
        ENSURE(children == 0);
        simple_remove(n);
    } else if (op == TREE_OP_SET) {
        simple_set(n, data, null);
        ENSURE((uint32_t)result->stat.version == ++n->version);
    } else if (op == TREE_OP_SET_ACL) {
        ENSURE((uint32_t)result->stat.aversion == ++n->aversion);
    }
}

static void simple_op(uint8_t op, struct bytes args, uint64_t session, const struct tree_result *result) {
    struct reader r = reader_of(args.data, args.len);
    if (result->error <= -1000) return; // the group's own: bytes that nobody understands
    if (op == TREE_OP_CREATE)
        simple_create(&r, session, result);
    else
        simple_change(&r, op, result);
}

static void simple_multi(struct reader *r, uint64_t session, const struct tree_result *result) {
    static struct simple_tree before;
    before.count = simple.count;
    for (size_t i = 0; i < simple.count; i++) {
        struct simple_node *n = &simple.nodes[i];
        before.nodes[i] = *n;
        before.nodes[i].path = simple_copy(bytes_of(n->path, n->path_len));
        before.nodes[i].data = simple_copy(bytes_of(n->data, n->data_len));
    }
    uint64_t count = read_varint(r);
    ENSURE(count == result->part_count);
    bool failed = false;
    for (size_t i = 0; i < count && !failed; i++) {
        uint8_t op = read_u8(r);
        struct bytes args = read_blob(r);
        struct tree_result part = result->parts[i];
        failed = part.error != 0;
        // What a multi that failed says of a part that had worked: nothing but 0. Whether it failed rightly can only be
        // told without sequences, whose paths are not shown then.
        if (result->error != 0 && !failed) break;
        simple_op(op, args, session, &part);
    }
    ENSURE(result->error != 0 || !failed);
    if (result->error != 0) {
        simple_clear();
        simple = before;
    } else {
        for (size_t i = 0; i < before.count; i++) mem_free(before.nodes[i].path), mem_free(before.nodes[i].data);
    }
}

static void simple_apply(void *state, struct apply *apply, const struct command *command, struct result *result) {
    tree_model.apply(state, apply, command, result);
    const struct tree_result *told = result->value;
    if (result->error <= -1000 || told == NULL) return;
    struct reader r = reader_of(command->args.data, command->args.len);
    read_blob(&r); // identities
    if (command->op == TREE_OP_MULTI)
        simple_multi(&r, command->session, told);
    else
        simple_op(command->op, read_span(&r, reader_left(&r)), command->session, told);
}

static void simple_session_end(void *state, struct apply *apply, uint64_t session) {
    tree_model.session_end(state, apply, session);
    for (size_t i = 0; i < simple.count;) {
        if (simple.nodes[i].owner == session)
            simple_remove(&simple.nodes[i]);
        else
            i++;
    }
}

static struct model_ops simple_ops;
static const struct model_ops *simple_between(void) {
    if (simple_ops.apply == NULL) {
        simple_ops = tree_model;
        simple_ops.apply = simple_apply;
        simple_ops.session_end = simple_session_end;
    }
    return &simple_ops;
}

// Every node, its data, version, owner and children; and no other.
static void simple_compare(const void *tree) {
    struct bytes super = bytes_of("\x01\x05super\x00", 8);
    for (size_t i = 0; i <= simple.count; i++) {
        const struct simple_node *n = &simple.nodes[i];
        bool nodes = i < simple.count;
        struct bytes path = nodes ? bytes_of(n->path, n->path_len) : bytes_of_text("/");
        struct tree_query query = {.op = nodes ? TREE_GET : TREE_STATS, .path = path, .identities = {super}};
        struct result result = {0};
        tree_model.query(tree, &query, &result);
        ENSURE(result.error == 0);
        const struct tree_answer *answer = result.value;
        if (!nodes) {
            ENSURE(answer->nodes == simple.count);
            return;
        }
        if (bytes_equal(path, bytes_of_text("/zookeeper/config"))) continue; // the group's
        ENSURE(answer->data_null == n->null && answer->data.len == n->data_len);
        ENSURE(n->data_len == 0 || memcmp(answer->data.data, n->data, n->data_len) == 0);
        ENSURE((uint32_t)answer->stat.version == n->version && (uint32_t)answer->stat.aversion == n->aversion);
        ENSURE(answer->stat.ephemeral_owner == n->owner);
        ENSURE((size_t)answer->stat.children == simple_children(path));
    }
}
