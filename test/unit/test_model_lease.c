// Sessions as replicated state: attach, close, expiry that judged an older attach, checkpoints, save and load.
#include "model_kit.h"

#include <errno.h>

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

static const uint8_t password[LEASE_PASSWORD_BYTES] = "0123456789abcde";

// Applies what stands in k->args.
static int run(struct kit *k) {
    struct command command;
    assert_true(command_read(&command, kit_bytes(&k->args)));
    assert_int_equal(command.model, MODEL_LEASE);
    writer_clear(&k->events);
    k->apply.index++;
    memset(&k->result, 0, sizeof k->result);
    lease_model.apply(k->leases, &k->apply, &command, &k->result);
    writer_clear(&k->args);
    kit_check_digest(k);
    return k->result.error;
}
static int attach(struct kit *k, uint64_t session, const uint8_t *with, uint32_t timeout_ms) {
    lease_write_attach(&k->args, session, with, timeout_ms, LEASE_KIND_ZOOKEEPER, 3, 8);
    return run(k);
}

static void attach_creates_with_the_index(void **state) {
    struct kit *k = *state;
    k->apply.index = 9;
    assert_int_equal(attach(k, 0, password, 4000), 0);
    assert_string_equal(kit_events(k), "attached 10 attach 10 old 0 reason 0\n");
    const struct lease_result *r = k->result.value;
    assert_int_equal(r->session, 10);
    assert_int_equal(r->attach, 10);
    assert_int_equal(r->timeout_ms, 4000);
    assert_memory_equal(r->password, password, LEASE_PASSWORD_BYTES);
    const struct lease *lease = lease_find(k->leases, 10);
    assert_int_equal(lease->node, 3);
    assert_int_equal(lease->boot, 8);
    assert_int_equal(lease->kind, LEASE_KIND_ZOOKEEPER);
    uint64_t asked = 10;
    lease_model.query(k->leases, &asked, &k->result);
    assert_ptr_equal(k->result.value, lease);
    asked = 11;
    lease_model.query(k->leases, &asked, &k->result);
    assert_int_equal(k->result.error, COMMAND_SESSION_EXPIRED);
    assert_int_equal(lease_check(k->leases, 10, 10), 0);
    assert_int_equal(lease_check(k->leases, 10, 9), COMMAND_SESSION_MOVED);
    assert_int_equal(lease_check(k->leases, 11, 11), COMMAND_SESSION_EXPIRED);
}

static void attach_again_needs_the_password(void **state) {
    struct kit *k = *state;
    attach(k, 0, password, 4000);
    assert_int_equal(attach(k, 1, (const uint8_t *)"wrong wrong wron", 4000), COMMAND_SESSION_EXPIRED);
    const struct lease_result *r = k->result.value;
    assert_int_equal(r->session, 0);
    assert_int_equal(r->timeout_ms, 0);
    assert_int_equal(attach(k, 77, password, 4000), COMMAND_SESSION_EXPIRED);
    assert_string_equal(kit_events(k), "");
    assert_int_equal(attach(k, 1, password, 9000), 0);
    assert_string_equal(kit_events(k), "attached 1 attach 4 old 1 reason 0\n");
    assert_int_equal(lease_check(k->leases, 1, 1), COMMAND_SESSION_MOVED);
    assert_int_equal(lease_check(k->leases, 1, 4), 0);
    assert_int_equal(lease_find(k->leases, 1)->timeout_ms, 9000);
    lease_write_close(&k->args, 1, 1); // of the older connection
    assert_int_equal(run(k), COMMAND_SESSION_MOVED);
    lease_write_close(&k->args, 1, 4);
    assert_int_equal(run(k), 0);
    assert_string_equal(kit_events(k), "ended 1 attach 4 old 0 reason 2\n");
    assert_int_equal(lease_count(k->leases), 0);
}

static void expiry_is_void_after_a_newer_attach(void **state) {
    struct kit *k = *state;
    attach(k, 0, password, 4000);
    attach(k, 1, password, 4000);
    lease_write_expire(&k->args, 1, 1);
    assert_int_equal(run(k), COMMAND_SESSION_MOVED);
    assert_string_equal(kit_events(k), "");
    assert_non_null(lease_find(k->leases, 1));
    lease_write_expire(&k->args, 1, 2);
    assert_int_equal(run(k), 0);
    assert_string_equal(kit_events(k), "ended 1 attach 2 old 0 reason 3\n");
    lease_write_expire(&k->args, 1, 2);
    assert_int_equal(run(k), COMMAND_SESSION_EXPIRED);
    attach(k, 0, password, 4000);
    lease_write_kill(&k->args, 6);
    assert_int_equal(run(k), 0);
    assert_string_equal(kit_events(k), "ended 6 attach 6 old 0 reason 4\n");
}

static void checkpoints_touch_only_what_they_judged(void **state) {
    struct kit *k = *state;
    attach(k, 0, password, 90000);
    attach(k, 0, password, 90000);
    attach(k, 2, password, 90000); // attach 3
    struct lease rows[] = {{.session = 1, .attach = 1, .remaining_ms = 500},
                           {.session = 2, .attach = 2, .remaining_ms = 600},
                           {.session = 9, .attach = 9, .remaining_ms = 700}};
    lease_write_checkpoint(&k->args, rows, 3);
    assert_int_equal(run(k), 0);
    assert_int_equal(lease_find(k->leases, 1)->remaining_ms, 500);
    assert_int_equal(lease_find(k->leases, 2)->remaining_ms, 0);
    attach(k, 1, password, 90000);
    assert_int_equal(lease_find(k->leases, 1)->remaining_ms, 0); // the whole time-out again
}

static void collect(void *context, const struct lease *lease) {
    write_varint(context, lease->session);
}

static void save_and_load_keep_everything(void **state) {
    struct kit *k = *state;
    uint8_t mine[LEASE_PASSWORD_BYTES] = {0};
    for (uint32_t i = 0; i < 3000; i++) {
        mine[0] = (uint8_t)i;
        attach(k, 0, mine, i * 1000003u);
        if (i % 3 == 0) {
            lease_write_kill(&k->args, k->apply.index);
            run(k);
        }
    }
    struct lease_table *copy = lease_model.create();
    uint8_t chunk[300];
    struct save_cursor cursor = {{0}};
    size_t chunks = 0;
    for (size_t len; (len = lease_model.save(k->leases, &cursor, chunk, sizeof chunk)) > 0; chunks++)
        assert_int_equal(lease_model.load(copy, chunk, len), 0);
    assert_true(chunks > 100);
    assert_true(digest_equal(lease_model.digest(copy), lease_model.digest(k->leases)));
    assert_true(digest_equal(lease_model.digest(copy), lease_model.digest_recount(copy)));
    assert_int_equal(lease_model.memory(copy), lease_model.memory(k->leases));
    assert_int_equal(lease_count(copy), 2000);
    struct writer a = {0}, b = {0};
    lease_each(k->leases, collect, &a);
    lease_each(copy, collect, &b);
    assert_true(bytes_equal(kit_bytes(&a), kit_bytes(&b)));
    assert_int_equal(lease_model.load(copy, chunk, 1), -EBADMSG);
    assert_int_equal(lease_model.load(copy, (const uint8_t *)"\7", 1), -EBADMSG);
    memset(&cursor, 0, sizeof cursor);
    size_t first = lease_model.save(k->leases, &cursor, chunk, sizeof chunk);
    assert_int_equal(lease_model.load(copy, chunk, first), -EBADMSG); // out of order, or twice
    writer_free(&a);
    writer_free(&b);
    lease_model.destroy(copy);
}

static void bad_bytes_are_refused(void **state) {
    struct kit *k = *state;
    attach(k, 0, password, 4000);
    struct digest before = lease_model.digest(k->leases);
    lease_write_attach(&k->args, 1, password, 4000, 1, 1, 1);
    size_t whole = k->args.len;
    for (size_t len = 4; len < whole; len++) {
        lease_write_attach(&k->args, 1, password, 4000, 1, 1, 1);
        k->args.len = len;
        assert_int_equal(run(k), COMMAND_BAD_COMMAND);
    }
    for (uint8_t op = 0; op < 12; op++) {
        command_write_head(&k->args, MODEL_LEASE, op, 1, 99);
        write_span(&k->args, bytes_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01zz", 12));
        assert_int_equal(run(k), COMMAND_BAD_COMMAND);
    }
    assert_true(digest_equal(before, lease_model.digest(k->leases)));
    k->apply.index = 0; // an index that is not above the newest session cannot create one
    assert_int_equal(attach(k, 0, password, 4000), COMMAND_BAD_COMMAND);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, kit_up, kit_down)
    const struct CMUnitTest tests[] = {
        T(attach_creates_with_the_index),       T(attach_again_needs_the_password),
        T(expiry_is_void_after_a_newer_attach), T(checkpoints_touch_only_what_they_judged),
        T(save_and_load_keep_everything),       T(bad_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
