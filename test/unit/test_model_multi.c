// MULTI: all or none, later parts see the earlier ones, events only after success.
#include "model_kit.h"

static int kit_up(void **state) {
    struct kit *k = malloc(sizeof *k);
    kit_open_tree(k);
    k->session = 5;
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

static void part_create(struct kit *k, const char *path, uint8_t flags) {
    kit_part(k, TREE_OP_CREATE, kit_args_create(k, path, "data", flags, 1000));
}
static void part_delete(struct kit *k, const char *path, int32_t version) {
    kit_part(k, TREE_OP_DELETE, kit_args_delete(k, path, version));
}
static void part_set(struct kit *k, const char *path, const char *data, int32_t version) {
    kit_part(k, TREE_OP_SET, kit_args_set(k, path, data, version));
}
static void part_check(struct kit *k, const char *path, int32_t version) {
    kit_part(k, TREE_OP_CHECK, kit_args_check(k, path, version));
}

static void later_parts_see_earlier_ones(void **state) {
    struct kit *k = *state;
    part_create(k, "/a", 0);
    part_create(k, "/a/b", 0);
    part_set(k, "/a/b", "new", 0);
    part_check(k, "/a/b", 1);
    part_create(k, "/a/n", TREE_SEQUENTIAL);
    part_delete(k, "/a/b", 1);
    part_create(k, "/a/n", TREE_SEQUENTIAL);
    assert_int_equal(kit_multi(k), 0);
    const struct tree_result *r = kit_result(k);
    assert_int_equal(r->part_count, 7);
    for (size_t i = 0; i < 7; i++) assert_int_equal(r->parts[i].error, 0);
    assert_true(bytes_equal(r->parts[4].path, bytes_of_text("/a/n0000000001")));
    assert_true(bytes_equal(r->parts[6].path, bytes_of_text("/a/n0000000002")));
    assert_int_equal(r->parts[2].stat.version, 1);
    assert_int_equal(r->parts[3].stat.version, 1);
    assert_int_equal(r->parts[6].op, TREE_OP_CREATE);
    assert_string_equal(kit_events(k), "created /a 1\nchildren / 1\ncreated /a/b 1\nchildren /a 1\ndata /a/b 1\n"
                                       "created /a/n0000000001 1\nchildren /a 1\ndeleted /a/b 1\nchildren /a 1\n"
                                       "created /a/n0000000002 1\nchildren /a 1\n");
    struct tree_stat stat = kit_get(k, TREE_EXISTS, "/a")->stat;
    assert_int_equal(stat.children, 2);
    assert_int_equal(stat.cversion, 4);
}

static void a_failing_part_takes_all_back(void **state) {
    struct kit *k = *state;
    kit_create(k, "/p", "", 0);
    kit_create(k, "/p/one", "1", 0);
    kit_create(k, "/p/two", "2", TREE_TTL);
    kit_create(k, "/p/three", "3", 0);
    kit_create(k, "/p/eph", "", TREE_EPHEMERAL);
    kit_create(k, "/p/box", "", TREE_CONTAINER);
    kit_create(k, "/p/box/only", "", 0);
    struct digest digest = tree_model.digest(k->tree);
    uint64_t memory = tree_model.memory(k->tree), deadline = tree_model.next_deadline_ms(k->tree);
    struct tree_answer stats = *kit_get(k, TREE_STATS, "/");
    k->apply.log_time_ms = 500;
    part_delete(k, "/p/one", -1); // the first of its siblings
    part_delete(k, "/p/two", -1); // has a deadline
    part_create(k, "/p/one", 0);  // comes back at another place
    part_set(k, "/p/three", "longer data", -1);
    part_set(k, "/p/three", NULL, -1);
    part_delete(k, "/p/eph", -1);
    part_create(k, "/p/eph2", TREE_EPHEMERAL);
    part_delete(k, "/p/box/only", -1);   // arms the container
    part_create(k, "/p/three/first", 0); // its first child ever
    kit_part(k, TREE_OP_SET_ACL, kit_args_set_acl(k, "/p", -1));
    part_delete(k, "/p/none", -1); // fails
    part_create(k, "/q", 0);
    part_create(k, "/q/r", 0);
    assert_int_equal(kit_multi(k), TREE_NONODE);
    const struct tree_result *r = kit_result(k);
    assert_int_equal(r->error, TREE_NONODE);
    assert_int_equal(r->part_count, 13);
    for (size_t i = 0; i < 13; i++)
        assert_int_equal(r->parts[i].error, i < 10 ? 0 : i == 10 ? TREE_NONODE : TREE_RUNTIMEINCONSISTENCY);
    assert_int_equal(r->parts[11].op, TREE_OP_CREATE);
    assert_string_equal(kit_events(k), "");
    assert_true(digest_equal(digest, tree_model.digest(k->tree)));
    kit_check_digest(k);
    assert_int_equal(memory, tree_model.memory(k->tree));
    assert_int_equal(deadline, tree_model.next_deadline_ms(k->tree));
    const struct tree_answer *now = kit_get(k, TREE_STATS, "/");
    assert_int_equal(now->nodes, stats.nodes);
    assert_int_equal(now->ephemerals, stats.ephemerals);
    assert_int_equal(now->data_bytes, stats.data_bytes);
    char *names = kit_names(k, TREE_CHILDREN, "/p", 0);
    assert_string_equal(names, "one two three eph box ");
    mem_free(names);
    names = kit_names(k, TREE_EPHEMERALS, "/", 5);
    assert_string_equal(names, "/p/eph ");
    mem_free(names);
    assert_true(bytes_equal(kit_get(k, TREE_GET, "/p/three")->data, bytes_of_text("3")));
}

static void every_child_deleted_and_all_taken_back(void **state) {
    struct kit *k = *state;
    kit_create(k, "/p", "", 0);
    char path[16];
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "/p/%d", i);
        kit_create(k, path, "", 0);
    }
    static const int order[] = {2, 0, 4, 1, 3};
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "/p/%d", order[i]);
        part_delete(k, path, -1);
    }
    part_delete(k, "/p", -1);
    part_create(k, "/p", 0);
    part_create(k, "/p/new", 0);
    part_check(k, "/none", -1);
    assert_int_equal(kit_multi(k), TREE_NONODE);
    char *names = kit_names(k, TREE_CHILDREN, "/p", 0);
    assert_string_equal(names, "0 1 2 3 4 ");
    mem_free(names);
}

static void bad_parts_refuse_the_whole(void **state) {
    struct kit *k = *state;
    struct digest digest = tree_model.digest(k->tree);
    part_create(k, "/a", 0);
    kit_part(k, TREE_OP_MULTI, bytes_of("\0", 1)); // no multi in a multi
    assert_int_equal(kit_multi(k), COMMAND_BAD_COMMAND);
    part_create(k, "/a", 0);
    kit_part(k, TREE_OP_SET, bytes_of("\3/a", 3)); // cut
    assert_int_equal(kit_multi(k), COMMAND_BAD_COMMAND);
    part_create(k, "/a", 0);
    k->multi_count = 1u << 30; // more announced than there
    assert_int_equal(kit_multi(k), COMMAND_BAD_COMMAND);
    assert_true(digest_equal(digest, tree_model.digest(k->tree)));
    assert_int_equal(kit_multi(k), 0); // none at all is fine
    assert_int_equal(kit_result(k)->part_count, 0);
    part_check(k, "/", 0);
    assert_int_equal(kit_multi(k), 0);
}

static void the_quota_counts_within_a_multi(void **state) {
    struct kit *k = *state;
    tree_set_ephemerals_max(k->tree, 2);
    part_create(k, "/a", TREE_EPHEMERAL);
    part_create(k, "/b", TREE_EPHEMERAL);
    part_create(k, "/c", TREE_EPHEMERAL);
    assert_int_equal(kit_multi(k), TREE_QUOTAEXCEEDED);
    part_create(k, "/a", TREE_EPHEMERAL);
    part_delete(k, "/a", -1);
    part_create(k, "/b", TREE_EPHEMERAL);
    part_create(k, "/c", TREE_EPHEMERAL);
    assert_int_equal(kit_multi(k), 0);
}

static void thousands_of_parts_are_one_step(void **state) {
    struct kit *k = *state;
    struct digest digest = tree_model.digest(k->tree);
    uint64_t memory = tree_model.memory(k->tree);
    char path[20];
    for (int fails = 1; fails >= 0; fails--) {
        part_create(k, "/p", 0);
        for (int i = 0; i < 3000; i++) {
            snprintf(path, sizeof path, "/p/%d", i);
            part_create(k, path, i % 3 ? 0 : TREE_TTL);
            if (i % 2) part_delete(k, path, 0);
        }
        part_check(k, "/p", fails);
        assert_int_equal(kit_multi(k), fails ? TREE_BADVERSION : 0);
        if (!fails) break;
        assert_string_equal(kit_events(k), "");
        assert_true(digest_equal(digest, tree_model.digest(k->tree)));
        assert_int_equal(memory, tree_model.memory(k->tree));
    }
    assert_int_equal(kit_get(k, TREE_CHILDREN, "/p")->count, 1500);
    assert_int_equal(kit_get(k, TREE_EXISTS, "/p")->stat.cversion, 3000 * 2 - 1500);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, kit_up, kit_down)
    const struct CMUnitTest tests[] = {
        T(later_parts_see_earlier_ones), T(a_failing_part_takes_all_back),   T(every_child_deleted_and_all_taken_back),
        T(bad_parts_refuse_the_whole),   T(the_quota_counts_within_a_multi), T(thousands_of_parts_are_one_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
