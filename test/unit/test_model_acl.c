// Who may do what: the table of schemes, networks, `auth`, masking, and that lists are shared and given back.
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

static void addresses_match_networks(void **state) {
    static const struct {
        const char *address, *pattern;
        bool matches;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"10.1.2.3", "10.0.0.0/8", true},
        {"11.1.2.3", "10.0.0.0/8", false},
        {"10.1.2.3", "10.1.2.0/31", false},
        {"10.1.2.3", "10.1.2.2/31", true},
        {"10.1.2.3", "0.0.0.0/0", true},
        {"10.1.2.3", "10.1.2.3/32", true},
        {"10.1.2.3", "10.1.2.3/33", false},
        {"10.1.2.3", "10.1.2.3/", false},
        {"10.1.2.3", "10.1.2/24", false},
        {"10.1.2.3", "10.1.2.3.4", false},
        {"10.1.2.256", "10.0.0.0/8", false},
        {"10.1.2.3x", "10.0.0.0/8", false},
        {"", "10.0.0.0/8", false},
        {"10.1.2.3", "", false},
        {"10.1.2.3", "::/0", false},
        {"::1", "::1", true},
        {"::1", "0:0:0:0:0:0:0:1", true},
        {"::1", "::2", false},
        {"2001:db8::17", "2001:db8::/32", true},
        {"2001:DB8:0:0:1::17", "2001:db8::/32", true},
        {"2001:db9::17", "2001:db8::/32", false},
        {"2001:db8::18", "2001:db8::10/125", false},
        {"2001:db8::17", "2001:db8::10/125", true},
        {"2001:db8::17", "2001:db8::10/124", true},
        {"fe80::1:2:3:4", "fe80::/10", true},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8/128", true},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8/129", false},
        {"1:2:3:4:5:6:7:8:9", "::/0", false},
        {"1:2:3:4:5:6:7", "::/0", false},
        {"1::2::3", "::/0", false},
        {"1:2:3:4:5:6:7::", "::/0", true},
        {"::", "::/0", true},
        {":", "::/0", false},
        {":::", "::/0", false},
        {"1:", "::/0", false},
        {"12345::", "::/0", false},
        {"::g", "::/0", false},
        {"::ffff:10.1.2.3", "10.0.0.0/8", true}, // a dual-stack socket's word for an IPv4 peer
        {"10.1.2.3", "::ffff:10.0.0.0/104", true},
        {"64:ff9b::10.1.2.3", "64:ff9b::a01:203", true},
        {"::1.2.3", "::/0", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool matches = tree_ip_matches(bytes_of_text(rows[i].address), bytes_of_text(rows[i].pattern));
        if (matches != rows[i].matches) fail_msg("%s against %s", rows[i].address, rows[i].pattern);
    }
}

static void every_operation_asks_for_its_permission(void **state) {
    struct kit *k = *state;
    static const struct {
        const char *scheme, *id, *who;
        bool matches;
    } schemes[] = {
        {"world", "anyone", "", true},
        {"digest", "u:hash", "digest u:hash", true},
        {"digest", "u:hash", "digest u:other", false},
        {"digest", "u:hash", "", false},
        {"digest", "u:hash", "x509 u:hash", false},
        {"digest", "u:hash", "ip 1.2.3.4 digest u:hash", true},
        {"ip", "10.0.0.0/8", "ip 10.9.9.9", true},
        {"ip", "10.0.0.0/8", "ip 11.9.9.9", false},
        {"x509", "CN=me", "x509 CN=me", true},
        {"x509", "CN=me", "x509 CN=you", false},
        {"x509", "CN=me", "super -", true},
    };
    static const uint8_t perms[] = {TREE_READ, TREE_WRITE, TREE_CREATE, TREE_DELETE, TREE_ADMIN};
    int serial = 0;
    for (size_t s = 0; s < sizeof schemes / sizeof schemes[0]; s++)
        for (size_t p = 0; p < 5; p++) {
            char node[40], child[60], fresh[60];
            snprintf(node, sizeof node, "/n%d", serial++);
            snprintf(child, sizeof child, "%s/child", node);
            snprintf(fresh, sizeof fresh, "%s/fresh", node);
            k->who = "super -";
            struct tree_acl_entry acl = {perms[p], bytes_of_text(schemes[s].scheme), bytes_of_text(schemes[s].id)};
            k->acl = kit_open;
            assert_int_equal(kit_create(k, node, "", 0), 0);
            assert_int_equal(kit_create(k, child, "", 0), 0);
            k->acl = &acl;
            assert_int_equal(kit_set_acl(k, node, -1), 0);
            k->acl = kit_open;
            k->who = schemes[s].who;
            bool all = strcmp(schemes[s].who, "super -") == 0, yes = schemes[s].matches;
#define EXPECT(call, perm) assert_int_equal(call, all || (yes && perms[p] == (perm)) ? 0 : TREE_NOAUTH)
            struct tree_query get = {.op = TREE_GET}, children = {.op = TREE_CHILDREN},
                              count = {.op = TREE_CHILDREN_COUNT};
            EXPECT(kit_query(k, &get, node), TREE_READ);
            EXPECT(kit_query(k, &children, node), TREE_READ);
            EXPECT(kit_query(k, &count, node), TREE_READ);
            assert_int_equal(kit_query(k, &(struct tree_query){.op = TREE_EXISTS}, node), 0);
            EXPECT(kit_run(k, TREE_OP_CHECK, kit_args_check(k, node, -1)), TREE_READ);
            EXPECT(kit_set(k, node, "x", -1), TREE_WRITE);
            EXPECT(kit_create(k, fresh, "", 0), TREE_CREATE);
            EXPECT(kit_delete(k, child, -1), TREE_DELETE); // the parent's permission counts
            bool read_acl = all || (yes && (perms[p] == TREE_READ || perms[p] == TREE_ADMIN));
            assert_int_equal(kit_query(k, &(struct tree_query){.op = TREE_GET_ACL}, node), read_acl ? 0 : TREE_NOAUTH);
            EXPECT(kit_set_acl(k, node, -1), TREE_ADMIN);
        }
}

static void append_entry(void *context, const struct tree_acl_entry *entry) {
    char line[200];
    snprintf(line, sizeof line, "%d %.*s %.*s;", entry->perms, (int)entry->scheme.len, (const char *)entry->scheme.data,
             (int)entry->id.len, (const char *)entry->id.data);
    write_span(context, bytes_of_text(line));
}

static void expect_acl(struct kit *k, const char *path, const char *want) {
    struct writer w = {0};
    struct tree_query query = {.op = TREE_GET_ACL, .acl = append_entry, .context = &w};
    assert_int_equal(kit_query(k, &query, path), 0);
    write_u8(&w, 0);
    assert_string_equal((const char *)w.data, want);
    writer_free(&w);
}

static void digests_are_masked_without_admin(void **state) {
    struct kit *k = *state;
    struct tree_acl_entry acl[] = {{TREE_ALL, bytes_of_text("digest"), bytes_of_text("bob:secret=")},
                                   {TREE_READ, bytes_of_text("world"), bytes_of_text("anyone")}};
    k->acl = acl;
    k->acl_count = 2;
    kit_create(k, "/a", "", 0);
    expect_acl(k, "/a", "31 digest bob:x;1 world anyone;");
    k->who = "digest bob:secret=";
    expect_acl(k, "/a", "31 digest bob:secret=;1 world anyone;");
}

static void auth_stands_for_the_proven_identities(void **state) {
    struct kit *k = *state;
    struct tree_acl_entry acl[] = {{TREE_ALL, bytes_of_text("auth"), bytes_of_text("")},
                                   {TREE_READ, bytes_of_text("ip"), bytes_of_text("10.0.0.0/8")},
                                   {TREE_WRITE, bytes_of_text("ip"), bytes_of_text("10.0.0.0/8")},
                                   {TREE_READ, bytes_of_text("ip"), bytes_of_text("10.0.0.0/8")}};
    k->acl = acl;
    k->acl_count = 4;
    k->who = "ip 1.1.1.1";
    assert_int_equal(kit_create(k, "/a", "", 0), TREE_INVALIDACL); // nothing proven
    k->who = "ip 1.1.1.1 digest a:b x509 CN=c";
    assert_int_equal(kit_create(k, "/a", "", 0), 0);
    expect_acl(k, "/a", "31 digest a:b;31 x509 CN=c;1 ip 10.0.0.0/8;2 ip 10.0.0.0/8;"); // repeats are left out
}

static void bad_lists_are_refused(void **state) {
    struct kit *k = *state;
    static const char *const bad[][2] = {{"world", "someone"}, {"digest", "nocolon"}, {"digest", "a:b:c"},
                                         {"ip", "1.2.3"},      {"ip", "1.2.3.4/40"},  {"x509", ""},
                                         {"super", ""},        {"nis", "x"},          {"", ""}};
    struct digest before = tree_model.digest(k->tree);
    uint64_t memory = tree_model.memory(k->tree);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tree_acl_entry acl[2] = {kit_open[0], {TREE_ALL, bytes_of_text(bad[i][0]), bytes_of_text(bad[i][1])}};
        k->acl = acl;
        k->acl_count = 2;
        assert_int_equal(kit_create(k, "/a", "", 0), TREE_INVALIDACL);
        assert_int_equal(kit_set_acl(k, "/", -1), TREE_INVALIDACL);
    }
    char *big = malloc(TREE_ACL_BYTES_MAX + 1);
    memset(big, 'a', TREE_ACL_BYTES_MAX);
    big[TREE_ACL_BYTES_MAX] = 0;
    struct tree_acl_entry acl = {TREE_ALL, bytes_of_text("x509"), bytes_of_text(big)};
    k->acl = &acl;
    k->acl_count = 1;
    assert_int_equal(kit_create(k, "/a", "", 0), TREE_INVALIDACL);
    free(big);
    assert_true(digest_equal(before, tree_model.digest(k->tree)));
    assert_int_equal(memory, tree_model.memory(k->tree));
}

static void lists_are_shared_and_given_back(void **state) {
    struct kit *k = *state;
    uint64_t before = tree_model.memory(k->tree);
    char path[20], id[20];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++) {
            snprintf(path, sizeof path, "/n%d", i);
            snprintf(id, sizeof id, "u:%d", i % 10);
            struct tree_acl_entry acl = {TREE_ALL, bytes_of_text("digest"), bytes_of_text(id)};
            k->acl = &acl;
            assert_int_equal(kit_create(k, path, "", 0), 0);
        }
        assert_int_equal(k->tree->acl_index.count, 12);
        assert_true(k->tree->acl_count <= 12);
        for (int i = 0; i < 100; i++) {
            snprintf(path, sizeof path, "/n%d", i);
            assert_int_equal(kit_delete(k, path, -1), 0);
        }
        assert_int_equal(k->tree->acl_index.count, 2);
    }
    assert_int_equal(tree_model.memory(k->tree), before);
}

static void events_carry_the_nodes_acl(void **state) {
    struct kit *k = *state;
    struct tree_acl_entry acl = {TREE_READ, bytes_of_text("digest"), bytes_of_text("a:b")};
    struct writer w = {0};
    write_varint(&w, 1);
    write_blob(&w, acl.scheme);
    write_blob(&w, acl.id);
    k->acl = &acl;
    kit_create(k, "/a", "", 0);
    struct tree_node *node = tree_find(k->tree, bytes_of_text("/a"));
    struct tree_event event = {.acl = k->tree->acls[node->acl]};
    assert_true(tree_event_allows(&event, (struct tree_identities){kit_bytes(&w)}));
    assert_false(tree_event_allows(&event, (struct tree_identities){{NULL, 0}}));
    assert_false(
        tree_event_allows(&event, (struct tree_identities){bytes_of(w.data, w.len - 1)})); // cut bytes are nobody
    writer_free(&w);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, kit_up, kit_down)
    const struct CMUnitTest tests[] = {
        T(addresses_match_networks),
        T(every_operation_asks_for_its_permission),
        T(digests_are_masked_without_admin),
        T(auth_stands_for_the_proven_identities),
        T(bad_lists_are_refused),
        T(lists_are_shared_and_given_back),
        T(events_carry_the_nodes_acl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
