// A tree and a lease table of their own, with the commands' bytes made as a protocol makes them, and every event
// written down.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "model/lease/lease.h"
#include "model/tree/tree.h"

#define KIT_UNIX_MS 1700000000000ll

struct kit {
    struct tree *tree;
    struct lease_table *leases;
    struct apply apply;
    struct writer command, args, multi;
    struct writer events; // one line an event: "created /a 7\n"
    struct result result;
    size_t multi_count;
    const char *who; // identities as "scheme id scheme id", "" for none
    uint64_t session;
    const struct tree_acl_entry *acl;
    size_t acl_count;
};

static const struct tree_acl_entry kit_open[1] = {
    {TREE_ALL, {(const uint8_t *)"world", 5}, {(const uint8_t *)"anyone", 6}}};

static inline void kit_emit(void *context, uint8_t model, const void *event) {
    struct kit *k = context;
    static const char *const types[] = {"?", "created", "deleted", "data", "children"};
    char line[512];
    if (model == MODEL_TREE) {
        const struct tree_event *e = event;
        assert_non_null(e->acl);
        tree_event_allows(e, (struct tree_identities){{NULL, 0}}); // the ACL must be readable here
        snprintf(line, sizeof line, "%s %.*s %llu\n", types[e->type], (int)e->path.len, (const char *)e->path.data,
                 (unsigned long long)e->zxid);
    } else {
        const struct lease_event *e = event;
        snprintf(line, sizeof line, "%s %llu attach %llu old %llu reason %d\n",
                 e->type == LEASE_EVENT_ENDED ? "ended" : "attached", (unsigned long long)e->lease.session,
                 (unsigned long long)e->lease.attach, (unsigned long long)e->old_attach, e->reason);
    }
    write_span(&k->events, bytes_of_text(line));
}

static inline void kit_ended(void *context, struct apply *apply, uint64_t session) {
    struct kit *k = context;
    tree_model.session_end(k->tree, apply, session);
}

static inline void kit_open_tree(struct kit *k) {
    memset(k, 0, sizeof *k);
    k->tree = tree_model.create();
    k->leases = lease_model.create();
    lease_on_end(k->leases, kit_ended, k);
    k->apply.emit = kit_emit;
    k->apply.emit_context = k;
    k->apply.unix_ms = KIT_UNIX_MS;
    k->who = "";
    k->acl = kit_open;
    k->acl_count = 1;
}

static inline void kit_close(struct kit *k) {
    tree_model.destroy(k->tree);
    lease_model.destroy(k->leases);
    writer_free(&k->command);
    writer_free(&k->args);
    writer_free(&k->multi);
    writer_free(&k->events);
}

static inline struct bytes kit_bytes(const struct writer *w) {
    return bytes_of(w->data, w->len);
}

static inline void kit_write_who(struct writer *w, const char *who) {
    uint64_t words = 0;
    for (const char *c = who; *c;) {
        words++;
        c += strcspn(c, " ");
        c += *c == ' ';
    }
    struct writer ids = {0};
    write_varint(&ids, words / 2);
    for (const char *c = who; *c;) {
        size_t len = strcspn(c, " ");
        bool empty = len == 1 && *c == '-'; // "-" is the empty id
        write_blob(&ids, bytes_of(c, empty ? 0 : len));
        c += len;
        c += *c == ' ';
    }
    write_blob(w, words ? kit_bytes(&ids) : bytes_of(NULL, 0));
    writer_free(&ids);
}

// Applies one command whose bytes are given (behind the identities), as the next entry.
static inline int kit_run(struct kit *k, uint8_t op, struct bytes args) {
    writer_clear(&k->command);
    writer_clear(&k->events);
    command_write_head(&k->command, MODEL_TREE, op, k->session, 0);
    kit_write_who(&k->command, k->who);
    write_span(&k->command, args);
    struct command command;
    assert_true(command_read(&command, kit_bytes(&k->command)));
    k->apply.index++;
    k->apply.unix_ms = KIT_UNIX_MS + (int64_t)k->apply.log_time_ms;
    memset(&k->result, 0, sizeof k->result);
    tree_model.apply(k->tree, &k->apply, &command, &k->result);
    return k->result.error;
}

static inline const struct tree_result *kit_result(const struct kit *k) {
    return k->result.value;
}

static inline struct bytes kit_args_create(struct kit *k, const char *path, const char *data, uint8_t flags,
                                           uint64_t ttl_ms) {
    struct bytes span = data ? bytes_of_text(data) : bytes_of(NULL, 0);
    writer_clear(&k->args);
    tree_write_create(&k->args, bytes_of_text(path), data ? &span : NULL, k->acl, k->acl_count, flags, ttl_ms);
    return kit_bytes(&k->args);
}
static inline struct bytes kit_args_delete(struct kit *k, const char *path, int32_t version) {
    writer_clear(&k->args);
    tree_write_delete(&k->args, bytes_of_text(path), version);
    return kit_bytes(&k->args);
}
static inline struct bytes kit_args_set(struct kit *k, const char *path, const char *data, int32_t version) {
    struct bytes span = data ? bytes_of_text(data) : bytes_of(NULL, 0);
    writer_clear(&k->args);
    tree_write_set(&k->args, bytes_of_text(path), data ? &span : NULL, version);
    return kit_bytes(&k->args);
}
static inline struct bytes kit_args_set_acl(struct kit *k, const char *path, int32_t version) {
    writer_clear(&k->args);
    tree_write_set_acl(&k->args, bytes_of_text(path), k->acl, k->acl_count, version);
    return kit_bytes(&k->args);
}
static inline struct bytes kit_args_check(struct kit *k, const char *path, int32_t version) {
    writer_clear(&k->args);
    tree_write_check(&k->args, bytes_of_text(path), version);
    return kit_bytes(&k->args);
}

static inline int kit_create(struct kit *k, const char *path, const char *data, uint8_t flags) {
    return kit_run(k, TREE_OP_CREATE, kit_args_create(k, path, data, flags, 1000));
}
static inline int kit_delete(struct kit *k, const char *path, int32_t version) {
    return kit_run(k, TREE_OP_DELETE, kit_args_delete(k, path, version));
}
static inline int kit_set(struct kit *k, const char *path, const char *data, int32_t version) {
    return kit_run(k, TREE_OP_SET, kit_args_set(k, path, data, version));
}
static inline int kit_set_acl(struct kit *k, const char *path, int32_t version) {
    return kit_run(k, TREE_OP_SET_ACL, kit_args_set_acl(k, path, version));
}

// A MULTI: kit_part for each, then kit_multi.
static inline void kit_part(struct kit *k, uint8_t op, struct bytes args) {
    tree_multi_part(&k->multi, op, args);
    k->multi_count++;
}
static inline int kit_multi(struct kit *k) {
    writer_clear(&k->args);
    tree_write_multi(&k->args, k->multi_count);
    write_span(&k->args, kit_bytes(&k->multi));
    writer_clear(&k->multi);
    k->multi_count = 0;
    return kit_run(k, TREE_OP_MULTI, kit_bytes(&k->args));
}

static inline const char *kit_events(struct kit *k) {
    writer_reserve(&k->events, 1);
    k->events.data[k->events.len] = 0;
    return (const char *)k->events.data;
}

static inline int kit_query(struct kit *k, struct tree_query *query, const char *path) {
    struct writer who = {0};
    kit_write_who(&who, k->who);
    struct reader r = reader_of(who.data, who.len);
    query->identities.encoded = read_blob(&r);
    query->path = bytes_of_text(path);
    memset(&k->result, 0, sizeof k->result);
    tree_model.query(k->tree, query, &k->result);
    writer_free(&who);
    return k->result.error;
}

static inline const struct tree_answer *kit_get(struct kit *k, enum tree_query_op op, const char *path) {
    struct tree_query query = {.op = op};
    return kit_query(k, &query, path) ? NULL : k->result.value;
}

static inline void kit_append_name(void *context, struct bytes name) {
    struct writer *w = context;
    write_span(w, name);
    write_u8(w, ' ');
}
// Children's names in their order, each with a space behind it; the caller frees.
static inline char *kit_names(struct kit *k, enum tree_query_op op, const char *path, uint64_t session) {
    struct writer w = {0};
    struct tree_query query = {.op = op, .session = session, .name = kit_append_name, .context = &w};
    kit_query(k, &query, path);
    write_u8(&w, 0);
    return (char *)w.data;
}

static inline void kit_check_digest(struct kit *k) {
    assert_true(digest_equal(tree_model.digest(k->tree), tree_model.digest_recount(k->tree)));
    assert_true(digest_equal(lease_model.digest(k->leases), lease_model.digest_recount(k->leases)));
}

// A second tree made of what the first one saves, in chunks of `capacity`.
static inline struct tree *kit_copy_tree(struct kit *k, size_t capacity) {
    struct tree *copy = tree_model.create();
    uint8_t *chunk = mem_alloc(capacity);
    struct save_cursor cursor = {{0}};
    for (size_t len; (len = tree_model.save(k->tree, &cursor, chunk, capacity)) > 0;) {
        uint8_t *exact = mem_alloc(len); // so that ASan sees a read past the chunk
        memcpy(exact, chunk, len);
        assert_int_equal(tree_model.load(copy, exact, len), 0);
        mem_free(exact);
    }
    mem_free(chunk);
    return copy;
}
