// MULTI: parts are applied in order; the first that fails takes everything back. The answer says 0 for the parts before
// it, its code at it, and RUNTIMEINCONSISTENCY behind it, as ZooKeeper does.
#include "base/assert.h"
#include "model/tree/tree_internal.h"
#include <string.h>

// How many parts really stand there; their announced count is not believed before memory is taken for it.
static bool parts_count(struct reader r, uint64_t *count) {
    *count = read_varint(&r);
    uint64_t seen = 0;
    for (; reader_left(&r) > 0 && !r.failed; seen++) {
        read_u8(&r);
        read_blob(&r);
    }
    return reader_done(&r) && seen == *count;
}

int tree_multi_apply(struct tree *tree, const struct tree_request *request, struct bytes args,
                     struct tree_result *out) {
    struct reader r = reader_of(args.data, args.len);
    uint64_t count;
    if (!parts_count(r, &count)) return out->error = COMMAND_BAD_COMMAND;
    read_varint(&r);
    struct tree_result *parts = arena_alloc(&tree->arena, (size_t)count * sizeof *parts + 1);
    if (count) memset(parts, 0, (size_t)count * sizeof *parts);
    out->parts = parts;
    out->part_count = (size_t)count;
    for (size_t i = 0; i < count && !out->error; i++) {
        uint8_t op = read_u8(&r);
        struct bytes part = read_blob(&r);
        out->error = tree_op_apply(tree, request, op, part, &parts[i]);
        for (size_t k = i + 1; out->error && k < count; k++) {
            parts[k].op = read_u8(&r);
            read_blob(&r);
            parts[k].error = TREE_RUNTIMEINCONSISTENCY;
        }
    }
    ENSURE(reader_done(&r));
    for (size_t i = 0; out->error && i < count; i++) { // nothing of the taken back may be shown
        int error = parts[i].error;
        uint8_t op = parts[i].op;
        memset(&parts[i], 0, sizeof parts[i]);
        parts[i].error = error;
        parts[i].op = op;
    }
    return out->error;
}
