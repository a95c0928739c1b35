// What each operation answers and leaves behind, as ZooKeeper's clients rely on it.
#include "model_kit.h"

#include "model/tree/tree_internal.h"

static int kit_up(void **state) {
    struct kit *k = malloc(sizeof *k);
    kit_open_tree(k);
    *state = k;
    return 0;
}
static int kit_down(void **state) {
    struct kit *k = *state;
    kit_check_digest(k);
    kit_close(k);
    free(k);
    return 0;
}

static struct tree_stat stat_of(struct kit *k, const char *path) {
    const struct tree_answer *answer = kit_get(k, TREE_EXISTS, path);
    assert_non_null(answer);
    return answer->stat;
}

static void fresh_tree_is_zookeepers(void **state) {
    struct kit *k = *state;
    char *names = kit_names(k, TREE_CHILDREN, "/", 0);
    assert_string_equal(names, "zookeeper ");
    mem_free(names);
    names = kit_names(k, TREE_CHILDREN, "/zookeeper", 0);
    assert_string_equal(names, "quota config ");
    mem_free(names);
    struct tree_stat root = stat_of(k, "/");
    assert_int_equal(root.czxid, 0);
    assert_int_equal(root.pzxid, 0);
    assert_int_equal(root.cversion, -1); // what a fresh ZooKeeper shows
    assert_int_equal(stat_of(k, "/zookeeper").cversion, -2);
    assert_false(kit_get(k, TREE_GET, "/")->data_null);
    assert_int_equal(kit_get(k, TREE_STATS, "/")->nodes, 4);
}

static void create_sets_stat_and_parent(void **state) {
    struct kit *k = *state;
    k->apply.log_time_ms = 50;
    assert_int_equal(kit_create(k, "/a", "hello", 0), 0);
    assert_string_equal(kit_events(k), "created /a 1\nchildren / 1\n");
    struct tree_stat stat = kit_result(k)->stat;
    assert_int_equal(stat.czxid, 1);
    assert_int_equal(stat.mzxid, 1);
    assert_int_equal(stat.pzxid, 1);
    assert_int_equal(stat.ctime, KIT_UNIX_MS + 50);
    assert_int_equal(stat.mtime, KIT_UNIX_MS + 50);
    assert_int_equal(stat.version, 0);
    assert_int_equal(stat.cversion, 0);
    assert_int_equal(stat.aversion, 0);
    assert_int_equal(stat.ephemeral_owner, 0);
    assert_int_equal(stat.data_length, 5);
    assert_int_equal(stat.children, 0);
    assert_int_equal(kit_create(k, "/a/b", NULL, 0), 0);
    assert_string_equal(kit_events(k), "created /a/b 2\nchildren /a 2\n");
    stat = stat_of(k, "/a");
    assert_int_equal(stat.pzxid, 2);
    assert_int_equal(stat.cversion, 1);
    assert_int_equal(stat.children, 1);
    assert_int_equal(stat.mzxid, 1);
    assert_true(kit_get(k, TREE_GET, "/a/b")->data_null);
    assert_int_equal(kit_create(k, "/a/c", "", 0), 0);
    assert_false(kit_get(k, TREE_GET, "/a/c")->data_null); // null is not empty
}

static void delete_moves_the_parents_pzxid_and_cversion(void **state) {
    struct kit *k = *state;
    kit_create(k, "/a", "", 0);
    kit_create(k, "/a/b", "", 0);
    assert_int_equal(kit_delete(k, "/a/b", -1), 0);
    assert_string_equal(kit_events(k), "deleted /a/b 3\nchildren /a 3\n");
    struct tree_stat stat = stat_of(k, "/a");
    assert_int_equal(stat.cversion, 2); // one create, one delete
    assert_int_equal(stat.pzxid, 3);
    assert_int_equal(stat.children, 0);
    assert_int_equal(kit_query(k, &(struct tree_query){.op = TREE_EXISTS}, "/a/b"), TREE_NONODE);
}

static void set_counts_versions(void **state) {
    struct kit *k = *state;
    kit_create(k, "/a", "one", 0);
    assert_int_equal(kit_set(k, "/a", "two", 0), 0);
    assert_string_equal(kit_events(k), "data /a 2\n");
    assert_int_equal(kit_result(k)->stat.version, 1);
    assert_int_equal(kit_result(k)->stat.mzxid, 2);
    assert_int_equal(kit_set(k, "/a", "three", 0), TREE_BADVERSION);
    assert_string_equal(kit_events(k), "");
    assert_int_equal(kit_set(k, "/a", NULL, -1), 0);
    assert_true(kit_get(k, TREE_GET, "/a")->data_null);
    assert_int_equal(kit_set(k, "/", "root has data too", -1), 0);
}

static void errors_and_their_order(void **state) {
    struct kit *k = *state;
    k->session = 7;
    kit_create(k, "/a", "", 0);
    kit_create(k, "/a/b", "", 0);
    kit_create(k, "/e", "", TREE_EPHEMERAL);
    static const struct tree_acl_entry bad_acl[1] = {
        {TREE_ALL, {(const uint8_t *)"world", 5}, {(const uint8_t *)"me", 2}}};
    struct {
        int (*run)(struct kit *, const char *, const char *, uint8_t);
        const char *path;
        uint8_t flags;
        int error;
    } creates[] = {
        {kit_create, "/x/y", 0, TREE_NONODE},
        {kit_create, "/a", 0, TREE_NODEEXISTS},
        {kit_create, "/", 0, TREE_NODEEXISTS},
        {kit_create, "/e/child", 0, TREE_NOCHILDRENFOREPHEMERALS},
        {kit_create, "", 0, TREE_BADARGUMENTS},
        {kit_create, "a", 0, TREE_BADARGUMENTS},
        {kit_create, "/a/", 0, TREE_BADARGUMENTS},
        {kit_create, "//a", 0, TREE_BADARGUMENTS},
        {kit_create, "/a/../b", 0, TREE_BADARGUMENTS},
        {kit_create, "/a/.", 0, TREE_BADARGUMENTS},
        {kit_create, "/n", TREE_EPHEMERAL | TREE_TTL, TREE_BADARGUMENTS},
        {kit_create, "/n", TREE_CONTAINER | TREE_SEQUENTIAL, TREE_BADARGUMENTS},
        {kit_create, "/n", TREE_CONTAINER | TREE_TTL, TREE_BADARGUMENTS},
        {kit_create, "/n", 16, COMMAND_BAD_COMMAND},
    };
    struct digest before = tree_model.digest(k->tree);
    for (size_t i = 0; i < sizeof creates / sizeof creates[0]; i++) {
        assert_int_equal(creates[i].run(k, creates[i].path, "", creates[i].flags), creates[i].error);
        assert_string_equal(kit_events(k), "");
    }
    assert_int_equal(kit_delete(k, "/a", -1), TREE_NOTEMPTY);
    assert_int_equal(kit_delete(k, "/a", 5), TREE_BADVERSION); // before NotEmpty
    assert_int_equal(kit_delete(k, "/none", -1), TREE_NONODE);
    assert_int_equal(kit_delete(k, "/none/below", -1), TREE_NONODE);
    const char *const kept[] = {"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"};
    for (size_t i = 0; i < 4; i++) assert_int_equal(kit_delete(k, kept[i], -1), TREE_BADARGUMENTS);
    assert_int_equal(kit_set(k, "/none", "", -1), TREE_NONODE);
    assert_int_equal(kit_set(k, "/a//b", "", -1), TREE_BADARGUMENTS);
    assert_int_equal(kit_set(k, "/a", "", -2), TREE_BADVERSION);
    assert_int_equal(kit_set_acl(k, "/a", 3), TREE_BADVERSION);
    k->acl_count = 0;
    assert_int_equal(kit_create(k, "/x/y", "", 0), TREE_INVALIDACL); // before NoNode
    assert_int_equal(kit_set_acl(k, "/none", -1), TREE_INVALIDACL);
    k->acl = bad_acl;
    k->acl_count = 1;
    assert_int_equal(kit_create(k, "/n", "", 0), TREE_INVALIDACL);
    k->acl = kit_open;
    k->session = 0;
    assert_int_equal(kit_create(k, "/n", "", TREE_EPHEMERAL), TREE_BADARGUMENTS);
    assert_int_equal(kit_run(k, TREE_OP_CREATE, kit_args_create(k, "/n", "", TREE_TTL, 0)), TREE_BADARGUMENTS);
    assert_int_equal(kit_run(k, TREE_OP_CREATE, kit_args_create(k, "/n", "", TREE_TTL, TREE_TTL_MS_MAX + 1)),
                     TREE_BADARGUMENTS);
    assert_true(digest_equal(before, tree_model.digest(k->tree))); // errors leave nothing behind
}

static void sequence_counts_creates_only(void **state) {
    struct kit *k = *state;
    kit_create(k, "/q", "", 0);
    const char *const want[] = {"/q/n0000000000", "/q/n0000000001", "/q/n0000000003", "/q/0000000004"};
    for (int i = 0; i < 4; i++) {
        if (i == 2) {
            kit_create(k, "/q/other", "", 0);
            kit_delete(k, "/q/other", -1);
            kit_delete(k, "/q/n0000000000", -1);
        }
        assert_int_equal(kit_create(k, i == 3 ? "/q/" : "/q/n", "", TREE_SEQUENTIAL), 0);
        struct bytes path = kit_result(k)->path;
        assert_true(bytes_equal(path, bytes_of_text(want[i])));
        assert_int_equal(kit_result(k)->create_flags, TREE_SEQUENTIAL);
    }
    assert_int_equal(kit_create(k, "/", "", TREE_SEQUENTIAL), 0);
    assert_true(bytes_equal(kit_result(k)->path, bytes_of_text("/0000000001")));
    assert_int_equal(kit_create(k, "/q/n0000000007", "", 0), 0); // number 5 is used up by it
    assert_int_equal(kit_create(k, "/q/n000000000", "", 0), 0);  // 6
    assert_int_equal(kit_create(k, "/q/n", "", TREE_SEQUENTIAL), TREE_NODEEXISTS);
}

static void sequence_does_not_roll_over(void **state) {
    struct kit *k = *state;
    static const struct {
        uint64_t creates;
        const char *path;
    } rows[] = {{2147483647, "/q/n2147483647"}, // where ZooKeeper's goes negative
                {2147483648, "/q/n2147483648"},
                {9999999999, "/q/n9999999999"},
                {10000000000, "/q/n10000000000"}};
    kit_create(k, "/q", "", 0);
    kit_create(k, "/q/x", "", 0);
    struct tree_node *node = tree_find(k->tree, bytes_of_text("/q"));
    for (int i = 0; i < 4; i++) {
        digest_sub(&k->tree->digest, tree_digest_stat(k->tree, node));
        node->extra->creates = rows[i].creates;
        digest_add(&k->tree->digest, tree_digest_stat(k->tree, node));
        assert_int_equal(kit_create(k, "/q/n", "", TREE_SEQUENTIAL), 0);
        assert_true(bytes_equal(kit_result(k)->path, bytes_of_text(rows[i].path)));
    }
}

static void ephemerals_end_with_their_session_in_creation_order(void **state) {
    struct kit *k = *state;
    uint8_t password[LEASE_PASSWORD_BYTES] = "0123456789abcde";
    struct writer w = {0};
    lease_write_attach(&w, 0, password, 4000, LEASE_KIND_ZOOKEEPER, 1, 1);
    struct command command;
    assert_true(command_read(&command, kit_bytes(&w)));
    k->apply.leases = k->leases;
    k->apply.index++;
    lease_model.apply(k->leases, &k->apply, &command, &k->result);
    k->session = 1;
    kit_create(k, "/b", "", 0);
    assert_int_equal(kit_create(k, "/z", "", TREE_EPHEMERAL), 0);
    assert_int_equal(kit_result(k)->stat.ephemeral_owner, 1);
    assert_int_equal(kit_create(k, "/b/y", "", TREE_EPHEMERAL), 0);
    assert_int_equal(kit_create(k, "/a", "", TREE_EPHEMERAL | TREE_SEQUENTIAL), 0);
    k->session = 99;
    assert_int_equal(kit_create(k, "/other", "", TREE_EPHEMERAL), COMMAND_SESSION_EXPIRED);
    char *names = kit_names(k, TREE_EPHEMERALS, "/", 1);
    assert_string_equal(names, "/z /b/y /a0000000002 ");
    mem_free(names);
    names = kit_names(k, TREE_EPHEMERALS, "/b", 1);
    assert_string_equal(names, "/b/y ");
    mem_free(names);
    writer_clear(&w);
    lease_write_close(&w, 1, 1);
    assert_true(command_read(&command, kit_bytes(&w)));
    writer_clear(&k->events);
    k->apply.index++;
    lease_model.apply(k->leases, &k->apply, &command, &k->result);
    assert_int_equal(k->result.error, 0);
    assert_string_equal(kit_events(k), "deleted /z 7\nchildren / 7\ndeleted /b/y 7\nchildren /b 7\n"
                                       "deleted /a0000000002 7\nchildren / 7\nended 1 attach 1 old 0 reason 2\n");
    assert_int_equal(stat_of(k, "/b").pzxid, 7);
    assert_int_equal(kit_get(k, TREE_STATS, "/")->ephemerals, 0);
    writer_free(&w);
}

static void ephemerals_have_a_limit_per_session(void **state) {
    struct kit *k = *state;
    tree_set_ephemerals_max(k->tree, 2);
    k->session = 5;
    assert_int_equal(kit_create(k, "/a", "", TREE_EPHEMERAL), 0);
    assert_int_equal(kit_create(k, "/b", "", TREE_EPHEMERAL), 0);
    assert_int_equal(kit_create(k, "/c", "", TREE_EPHEMERAL), TREE_QUOTAEXCEEDED);
    assert_int_equal(kit_create(k, "/c", "", 0), 0);
    k->session = 6;
    assert_int_equal(kit_create(k, "/d", "", TREE_EPHEMERAL), 0);
    k->session = 5;
    assert_int_equal(kit_delete(k, "/a", -1), 0);
    assert_int_equal(kit_create(k, "/e", "", TREE_EPHEMERAL), 0);
}

// Full means: refused with nothing changed, deletes go through, and what they gave back can be used again.
static void memory_has_a_limit(void **state) {
    struct kit *k = *state;
    char hundred[101];
    memset(hundred, 'x', 100);
    hundred[100] = 0;
    assert_int_equal(kit_create(k, "/a", "", 0), 0);
    uint64_t before = tree_model.memory(k->tree);
    assert_int_equal(kit_create(k, "/b", hundred, 0), 0);
    uint64_t cost = tree_model.memory(k->tree) - before;
    tree_set_memory_max(k->tree, before + 2 * cost - 1);
    assert_int_equal(kit_create(k, "/c", hundred, 0), TREE_QUOTAEXCEEDED);
    assert_int_equal(tree_model.memory(k->tree), before + cost);
    assert_string_equal(kit_events(k), "");
    assert_null(kit_get(k, TREE_EXISTS, "/c"));
    assert_int_equal(kit_create(k, "/c", hundred + 1, 0), 0); // fits to the byte
    assert_int_equal(kit_set(k, "/b", "", -1), 0);
    assert_int_equal(kit_set(k, "/b", hundred, -1), 0);
    assert_int_equal(kit_set(k, "/a", "x", -1), TREE_QUOTAEXCEEDED);
    assert_int_equal(kit_set(k, "/b", hundred, -1), 0); // as large as before
    const struct tree_acl_entry acl[2] = {kit_open[0], {TREE_READ, bytes_of_text("ip"), bytes_of_text("10.0.0.1")}};
    k->acl = acl;
    k->acl_count = 2;
    assert_int_equal(kit_run(k, TREE_OP_SET_ACL, kit_args_set_acl(k, "/b", -1)), TREE_QUOTAEXCEEDED);
    k->acl = kit_open;
    k->acl_count = 1;
    assert_int_equal(kit_delete(k, "/c", -1), 0);
    assert_int_equal(kit_create(k, "/d", hundred + 1, 0), 0);
    tree_set_memory_max(k->tree, 1); // an operator lowers it below what there is: only smaller writes and deletes pass
    assert_int_equal(kit_create(k, "/e", "", 0), TREE_QUOTAEXCEEDED);
    assert_int_equal(kit_set(k, "/d", "less", -1), 0);
    assert_int_equal(kit_delete(k, "/d", -1), 0);
    k->session = 5;
    assert_int_equal(kit_create(k, "/e", "", TREE_EPHEMERAL), TREE_QUOTAEXCEEDED);
}

static void containers_end_a_minute_after_their_last_child(void **state) {
    struct kit *k = *state;
    kit_create(k, "/c", "", TREE_CONTAINER);
    assert_int_equal(kit_result(k)->stat.kind, TREE_KIND_CONTAINER);
    assert_true(tree_model.next_deadline_ms(k->tree) == UINT64_MAX); // never had a child: stays
    k->apply.log_time_ms = 1000;
    kit_create(k, "/c/x", "", TREE_CONTAINER);
    kit_create(k, "/c/x/y", "", 0);
    kit_delete(k, "/c/x/y", -1);
    assert_int_equal(tree_model.next_deadline_ms(k->tree), 1000 + TREE_CONTAINER_CHECK_MS);
    kit_create(k, "/c/x/y", "", 0); // cancelled
    assert_true(tree_model.next_deadline_ms(k->tree) == UINT64_MAX);
    k->apply.log_time_ms = 2000;
    kit_delete(k, "/c/x/y", -1);
    k->apply.log_time_ms = 2000 + TREE_CONTAINER_CHECK_MS - 1;
    assert_int_equal(tree_model.expire(k->tree, &k->apply, 100), 0);
    k->apply.log_time_ms++;
    k->apply.index++;
    writer_clear(&k->events);
    assert_int_equal(tree_model.expire(k->tree, &k->apply, 100), 1);
    assert_string_equal(kit_events(k), "deleted /c/x 7\nchildren /c 7\n");
    // The outer one lost its last child just now.
    assert_int_equal(tree_model.next_deadline_ms(k->tree), 2000 + 2 * TREE_CONTAINER_CHECK_MS);
    k->apply.log_time_ms = 2000 + 2 * TREE_CONTAINER_CHECK_MS;
    assert_int_equal(tree_model.expire(k->tree, &k->apply, 100), 1);
    assert_int_equal(kit_query(k, &(struct tree_query){.op = TREE_EXISTS}, "/c"), TREE_NONODE);
}

static void ttl_counts_from_the_last_change(void **state) {
    struct kit *k = *state;
    k->apply.log_time_ms = 100;
    kit_create(k, "/t", "", TREE_TTL);
    assert_int_equal(kit_result(k)->stat.ttl_ms, 1000);
    assert_int_equal(tree_model.next_deadline_ms(k->tree), 1100);
    k->apply.log_time_ms = 600;
    kit_set(k, "/t", "x", -1);
    assert_int_equal(tree_model.next_deadline_ms(k->tree), 1600);
    kit_create(k, "/t/c", "", 0);
    assert_true(tree_model.next_deadline_ms(k->tree) == UINT64_MAX); // children keep it
    k->apply.log_time_ms = 900;
    kit_delete(k, "/t/c", -1);
    assert_int_equal(tree_model.next_deadline_ms(k->tree), 1600);
    kit_create(k, "/t/c", "", 0);
    k->apply.log_time_ms = 5000;
    kit_delete(k, "/t/c", -1);
    assert_int_equal(tree_model.next_deadline_ms(k->tree), 5000); // long due
    kit_create(k, "/u", "", TREE_TTL);
    kit_create(k, "/s", "", TREE_TTL);
    k->apply.log_time_ms = 6000;
    writer_clear(&k->events);
    assert_int_equal(tree_model.expire(k->tree, &k->apply, 2), 2); // in parts
    assert_string_equal(kit_events(k), "deleted /t 8\nchildren / 8\ndeleted /u 8\nchildren / 8\n");
    assert_int_equal(tree_model.expire(k->tree, &k->apply, 2), 1);
}

static void config_is_the_groups_to_set(void **state) {
    struct kit *k = *state;
    k->apply.index = 20;
    tree_set_config(k->tree, &k->apply, bytes_of_text("server.1=a"));
    assert_string_equal(kit_events(k), "data /zookeeper/config 20\n");
    const struct tree_answer *answer = kit_get(k, TREE_GET, "/zookeeper/config");
    assert_true(bytes_equal(answer->data, bytes_of_text("server.1=a")));
    assert_int_equal(answer->stat.mzxid, 20);
    assert_int_equal(answer->stat.version, 1);
    writer_clear(&k->events);
    tree_set_config(k->tree, &k->apply, bytes_of_text("server.1=a")); // the same again says nothing
    assert_string_equal(kit_events(k), "");
    assert_int_equal(kit_set(k, "/zookeeper/config", "mine", -1), TREE_NOAUTH);
    k->who = "super -";
    assert_int_equal(kit_set(k, "/zookeeper/config", "mine", -1), 0);
}

static void descendants_are_counted(void **state) {
    struct kit *k = *state;
    const char *const paths[] = {"/a", "/a/b", "/a/b/c", "/a/d", "/ab"};
    for (size_t i = 0; i < 5; i++) kit_create(k, paths[i], "xy", 0);
    assert_int_equal(kit_get(k, TREE_CHILDREN_COUNT, "/a")->count, 3);
    assert_int_equal(kit_get(k, TREE_CHILDREN_COUNT, "/a/d")->count, 0);
    assert_int_equal(kit_get(k, TREE_CHILDREN_COUNT, "/")->count, 8);
    assert_int_equal(kit_get(k, TREE_STATS, "/")->data_bytes, 10);
    char *names = kit_names(k, TREE_CHILDREN, "/a", 0);
    assert_string_equal(names, "b d ");
    mem_free(names);
    assert_int_equal(kit_get(k, TREE_CHILDREN, "/a")->count, 2); // without a callback: counted only
    assert_int_equal(kit_get(k, TREE_GET_ACL, "/a")->count, 1);
    assert_int_equal(kit_query(k, &(struct tree_query){.op = TREE_GET}, "/a/"), TREE_NONODE);
    assert_int_equal(kit_query(k, &(struct tree_query){.op = TREE_GET}, "//a"), TREE_NONODE);
    assert_int_equal(kit_query(k, &(struct tree_query){.op = TREE_GET}, ""), TREE_NONODE);
    assert_int_equal(kit_query(k, &(struct tree_query){.op = (enum tree_query_op)77}, "/"), COMMAND_BAD_COMMAND);
}

static void names_have_a_bound(void **state) {
    struct kit *k = *state;
    char *path = malloc(TREE_NAME_BYTES_MAX + 3);
    memset(path, 'n', TREE_NAME_BYTES_MAX + 2);
    path[0] = '/';
    path[TREE_NAME_BYTES_MAX + 2] = 0;
    assert_int_equal(kit_create(k, path, "", 0), TREE_BADARGUMENTS);
    path[TREE_NAME_BYTES_MAX + 1] = 0;
    assert_int_equal(kit_create(k, path, "", 0), 0);
    assert_int_equal(kit_create(k, path, "", TREE_SEQUENTIAL), TREE_BADARGUMENTS);
    free(path);
}

static void deep_trees_need_no_stack(void **state) {
    struct kit *k = *state;
    enum { LEVELS = 3000 };
    char *path = malloc(2 * LEVELS + 1);
    for (int i = 0; i < LEVELS; i++) {
        memcpy(path + 2 * i, "/d", 3);
        assert_int_equal(kit_create(k, path, "", 0), 0);
    }
    assert_int_equal(kit_get(k, TREE_CHILDREN_COUNT, "/")->count, LEVELS + 3);
    struct tree *copy = kit_copy_tree(k, SAVE_RECORD_BYTES_MAX);
    assert_true(digest_equal(tree_model.digest(copy), tree_model.digest(k->tree)));
    tree_model.destroy(copy);
    free(path);
}

static void memory_per_znode_stays_small(void **state) {
    struct kit *k = *state;
    char path[40], data[101];
    memset(data, 'd', 100);
    data[100] = 0;
    uint64_t before = tree_model.memory(k->tree);
    for (int i = 0; i < 10000; i++) {
        snprintf(path, sizeof path, "/znode-with-24-byte%05d", i); // 24 bytes
        assert_int_equal(kit_create(k, path, data, 0), 0);
    }
    uint64_t each = (tree_model.memory(k->tree) - before) / 10000;
    assert_in_range(each, 100, 250); // 300 MB for a million, the allocator's overhead included
    for (int i = 0; i < 10000; i++) {
        snprintf(path, sizeof path, "/znode-with-24-byte%05d", i);
        assert_int_equal(kit_delete(k, path, -1), 0);
    }
    assert_int_equal(tree_model.memory(k->tree), before);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, kit_up, kit_down)
    const struct CMUnitTest tests[] = {
        T(fresh_tree_is_zookeepers),
        T(create_sets_stat_and_parent),
        T(delete_moves_the_parents_pzxid_and_cversion),
        T(set_counts_versions),
        T(errors_and_their_order),
        T(sequence_counts_creates_only),
        T(sequence_does_not_roll_over),
        T(ephemerals_end_with_their_session_in_creation_order),
        T(ephemerals_have_a_limit_per_session),
        T(memory_has_a_limit),
        T(containers_end_a_minute_after_their_last_child),
        T(ttl_counts_from_the_last_change),
        T(config_is_the_groups_to_set),
        T(descendants_are_counted),
        T(names_have_a_bound),
        T(deep_trees_need_no_stack),
        T(memory_per_znode_stays_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
