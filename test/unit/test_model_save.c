// Saving and loading: big data over many records, chunk sizes, damaged chunks.
#include "model_kit.h"

#include <errno.h>

#include "base/limits.h"
#include "base/prng.h"

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

static void create_big(struct kit *k, const char *path, size_t len) {
    uint8_t *data = malloc(len + 1);
    struct prng prng;
    prng_seed(&prng, len);
    for (size_t i = 0; i < len; i++) data[i] = (uint8_t)prng_next(&prng);
    struct bytes span = bytes_of(data, len);
    writer_clear(&k->args);
    tree_write_create(&k->args, bytes_of_text(path), &span, kit_open, 1, 0, 0);
    assert_int_equal(kit_run(k, TREE_OP_CREATE, kit_bytes(&k->args)), 0);
    free(data);
}

static void expect_equal(struct kit *k, struct tree *copy) {
    assert_true(digest_equal(tree_model.digest(copy), tree_model.digest(k->tree)));
    assert_true(digest_equal(tree_model.digest(copy), tree_model.digest_recount(copy)));
    assert_int_equal(tree_model.memory(copy), tree_model.memory(k->tree));
    assert_true(tree_model.next_deadline_ms(copy) == tree_model.next_deadline_ms(k->tree));
}

static void data_of_every_size_comes_back(void **state) {
    struct kit *k = *state;
    static const size_t sizes[] = {0,      1,      63,     64,     65,     100000,  191u << 10, (192u << 10) - 200,
                                   196600, 196608, 196609, 262144, 300000, 1048575, 5u << 20,   33};
    char path[20];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        snprintf(path, sizeof path, "/n%zu", i);
        create_big(k, path, sizes[i]);
    }
    static const size_t capacities[] = {SAVE_RECORD_BYTES_MAX, SAVE_RECORD_BYTES_MAX + 1, SAVE_RECORD_BYTES_MAX + 77,
                                        256u << 10, 1u << 20};
    for (size_t c = 0; c < 5; c++) {
        struct tree *copy = kit_copy_tree(k, capacities[c]);
        expect_equal(k, copy);
        tree_model.destroy(copy);
    }
}

static void one_node_may_hold_a_whole_command(void **state) {
    struct kit *k = *state;
    create_big(k, "/big", COMMAND_BYTES_MAX - 100);
    struct tree *copy = kit_copy_tree(k, 256u << 10);
    expect_equal(k, copy);
    tree_model.destroy(copy);
}

static void long_names_and_lists_fit_a_record(void **state) {
    struct kit *k = *state;
    char *path = malloc(TREE_NAME_BYTES_MAX + 2), *id = malloc(TREE_ACL_BYTES_MAX - 20);
    memset(path, 'n', TREE_NAME_BYTES_MAX + 1);
    path[0] = '/';
    path[TREE_NAME_BYTES_MAX + 1] = 0;
    memset(id, 'i', TREE_ACL_BYTES_MAX - 21);
    id[TREE_ACL_BYTES_MAX - 21] = 0;
    struct tree_acl_entry acl = {TREE_ALL, bytes_of_text("x509"), bytes_of_text(id)};
    k->acl = &acl;
    assert_int_equal(kit_create(k, path, "data", 0), 0);
    struct tree *copy = kit_copy_tree(k, SAVE_RECORD_BYTES_MAX);
    expect_equal(k, copy);
    tree_model.destroy(copy);
    free(path);
    free(id);
}

static void fill(struct kit *k) {
    k->session = 3;
    kit_create(k, "/a", "one", 0);
    kit_create(k, "/a/e", "two", TREE_EPHEMERAL);
    kit_create(k, "/a/t", NULL, TREE_TTL);
    kit_create(k, "/a/c", "", TREE_CONTAINER);
    kit_create(k, "/a/c/x", "three", 0);
    kit_delete(k, "/a/c/x", -1);
    kit_create(k, "/e2", "four", TREE_EPHEMERAL);
    struct tree_acl_entry acl = {TREE_ALL, bytes_of_text("digest"), bytes_of_text("u:p")};
    k->acl = &acl;
    kit_create(k, "/b", "five", 0);
    k->acl = kit_open;
}

static void a_copys_future_is_the_same(void **state) {
    struct kit *k = *state;
    fill(k);
    struct tree *copy = kit_copy_tree(k, SAVE_RECORD_BYTES_MAX), *original = k->tree;
    struct writer events = {0};
    for (int i = 0; i < 2; i++) {
        k->tree = i ? copy : original;
        struct apply apply = k->apply;
        writer_clear(&k->events);
        apply.index++;
        tree_model.session_end(k->tree, &apply, 3);
        apply.index++;
        apply.log_time_ms += 100000;
        tree_model.expire(k->tree, &apply, 100);
        if (i == 0) write_span(&events, kit_bytes(&k->events));
    }
    assert_true(events.len > 0);
    assert_true(bytes_equal(kit_bytes(&events), kit_bytes(&k->events)));
    k->tree = original;
    expect_equal(k, copy);
    tree_model.destroy(copy);
    writer_free(&events);
}

// Digests are compared between nodes of different releases: if this fails, apply or the digest changed, and that needs
// a new apply level.
static void the_digest_of_these_entries_stays(void **state) {
    struct kit *k = *state;
    k->apply.log_time_ms = 77;
    fill(k);
    kit_set(k, "/a", "other", -1);
    kit_set_acl(k, "/e2", -1);
    struct digest digest = tree_model.digest(k->tree);
    char text[40];
    snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)digest.hi, (unsigned long long)digest.lo);
    assert_string_equal(text, "e795b057b1e39c483337af8c555b9129");
}

static size_t save_all(struct kit *k, uint8_t *out, size_t capacity) {
    struct save_cursor cursor = {{0}};
    size_t len = tree_model.save(k->tree, &cursor, out, capacity);
    assert_int_equal(tree_model.save(k->tree, &cursor, out + len, SAVE_RECORD_BYTES_MAX), 0);
    return len;
}

// Any damage either is refused or gives a tree that holds together; never a crash.
static void damaged_chunks_are_refused(void **state) {
    struct kit *k = *state;
    fill(k);
    uint8_t *whole = malloc(2 * SAVE_RECORD_BYTES_MAX), *bad = malloc(2 * SAVE_RECORD_BYTES_MAX);
    size_t len = save_all(k, whole, SAVE_RECORD_BYTES_MAX), refused = 0;
    struct prng prng;
    prng_seed(&prng, 5);
    for (int i = 0; i < 20000; i++) {
        size_t bad_len = len;
        memcpy(bad, whole, len);
        for (uint64_t n = 1 + prng_below(&prng, 3); n > 0; n--) {
            size_t at = prng_below(&prng, len);
            switch (prng_below(&prng, 4)) {
            case 0:
                bad[at] = (uint8_t)prng_next(&prng);
                break;
            case 1:
                bad[at] ^= (uint8_t)(1u << prng_below(&prng, 8));
                break;
            case 2:
                if (at < bad_len) bad_len = at;
                break;
            default:
                if (at + 8 < len) memmove(bad + at, bad + at + 1 + prng_below(&prng, 6), len - at - 7);
            }
        }
        struct tree *copy = tree_model.create();
        uint8_t *exact = malloc(bad_len ? bad_len : 1);
        memcpy(exact, bad, bad_len);
        int error = tree_model.load(copy, exact, bad_len);
        if (error) {
            assert_int_equal(error, -EBADMSG);
            refused++;
        } else if (bad_len == len) { // a changed value that nobody can tell from a right one
            struct apply apply = {.index = 1000, .log_time_ms = 1u << 30};
            tree_model.expire(copy, &apply, 100);
            tree_model.session_end(copy, &apply, 3);
            assert_true(digest_equal(tree_model.digest(copy), tree_model.digest_recount(copy)));
        }
        tree_model.destroy(copy);
        free(exact);
    }
    assert_true(refused > 5000);
    free(whole);
    free(bad);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, kit_up, kit_down)
    const struct CMUnitTest tests[] = {
        T(data_of_every_size_comes_back), T(one_node_may_hold_a_whole_command), T(long_names_and_lists_fit_a_record),
        T(a_copys_future_is_the_same),    T(the_digest_of_these_entries_stays), T(damaged_chunks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
