// The state machine of one group: streams (replication.md "Streams"), sessions' end, membership, digests, snapshots,
// restore.
#include "test/unit/machine_kit.h"

#include <errno.h>

#include "base/limits.h"
#include "base/prng.h"
#include "model/tree/tree.h"

static void write_create(struct writer *w, const char *path, uint64_t session, uint64_t attach, uint8_t flags) {
    command_write_head(w, MODEL_TREE, TREE_OP_CREATE, session, attach);
    write_blob(w, bytes_of(NULL, 0)); // no identities
    struct tree_acl_entry open = {TREE_ALL, bytes_of_text("world"), bytes_of_text("anyone")};
    struct bytes data = bytes_of_text("x");
    tree_write_create(w, bytes_of_text(path), &data, &open, 1, flags, 0);
}

static int tree_exists(struct bench *b, const char *path) {
    struct tree_query query = {.op = TREE_EXISTS, .path = bytes_of_text(path)};
    struct result result;
    machine_query(b->machine, MODEL_TREE, &query, &result);
    return result.error;
}

static uint64_t stream_seq(struct bench *b, uint32_t member) {
    struct machine_stream streams[8];
    size_t count = machine_streams(b->machine, streams, 8);
    for (size_t i = 0; i < count; i++)
        if (streams[i].member == member) return streams[i].last_seq;
    return UINT64_MAX;
}

// A duplicate and a gap are skipped; only last_seq + 1 is taken; every one of them takes an index.
static void stream_takes_only_the_next(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    write_create(&w, "/a", 0, 0, 0);
    send_one(&b, SELF, BOOT, 2, &w);
    write_create(&w, "/dup", 0, 0, 0);
    send_one(&b, SELF, BOOT, 2, &w);
    write_create(&w, "/gap", 0, 0, 0);
    send_one(&b, SELF, BOOT, 4, &w);
    write_create(&w, "/b", 0, 0, 0);
    send_one(&b, SELF, BOOT, 3, &w);
    assert_int_equal(tree_exists(&b, "/a"), 0);
    assert_int_equal(tree_exists(&b, "/b"), 0);
    assert_int_equal(tree_exists(&b, "/dup"), TREE_NONODE);
    assert_int_equal(tree_exists(&b, "/gap"), TREE_NONODE);
    assert_int_equal(machine_applied(b.machine), 6);
    assert_int_equal(stream_seq(&b, SELF), 3);
    assert_int_equal(b.told.own_count, 3); // the opening, a, b
    assert_int_equal(b.told.own_seq[2], 3);
    writer_free(&w);
    bench_end(&b);
}

// An old boot's commands are shut out by the opening of a newer one; a lower or equal boot opens nothing.
static void old_boot_is_shut_out(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    open_stream(&b, 2, 2, 5);
    open_stream(&b, 2, 2, 6);
    write_create(&w, "/old", 0, 0, 0);
    send_one(&b, 2, 5, 2, &w);
    assert_int_equal(tree_exists(&b, "/old"), TREE_NONODE);
    open_stream(&b, 2, 2, 6); // again: void, the numbers go on
    write_create(&w, "/new", 0, 0, 0);
    send_one(&b, 2, 6, 2, &w);
    assert_int_equal(tree_exists(&b, "/new"), 0);
    open_stream(&b, 2, 2, 4);
    write_create(&w, "/new2", 0, 0, 0);
    send_one(&b, 2, 6, 3, &w);
    assert_int_equal(tree_exists(&b, "/new2"), 0);
    open_stream(&b, 2, 9, 99); // an incarnation that the membership does not name
    assert_int_equal(stream_seq(&b, 2), 3);
    writer_free(&w);
    bench_end(&b);
}

static void session_end_takes_its_ephemerals_in_the_same_entry(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    attach_new(&b, &w, 2);
    uint64_t session = b.told.created_session, attach = b.told.created_attach;
    assert_int_equal(session, machine_applied(b.machine));
    write_create(&w, "/e", session, attach, TREE_EPHEMERAL);
    send_one(&b, SELF, BOOT, 3, &w);
    assert_int_equal(tree_exists(&b, "/e"), 0);
    lease_write_expire(&w, session, attach + 1); // judged another attachment: void
    send_one(&b, 0, 0, 0, &w);
    assert_int_equal(tree_exists(&b, "/e"), 0);
    lease_write_expire(&w, session, attach);
    send_one(&b, 0, 0, 0, &w);
    assert_int_equal(tree_exists(&b, "/e"), TREE_NONODE);
    write_create(&w, "/late", session, attach, 0);
    send_one(&b, SELF, BOOT, 4, &w);
    assert_int_equal(b.told.own_error[b.told.own_count - 1], COMMAND_SESSION_EXPIRED);
    assert_int_equal(tree_exists(&b, "/late"), TREE_NONODE);
    writer_free(&w);
    bench_end(&b);
}

static void command_of_an_older_attachment_is_moved(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    uint8_t password[LEASE_PASSWORD_BYTES] = {9};
    lease_write_attach(&w, 0, password, 10000, LEASE_KIND_ZOOKEEPER, SELF, BOOT);
    send_one(&b, SELF, BOOT, 2, &w);
    uint64_t session = b.told.created_session, attach = b.told.created_attach;
    lease_write_attach(&w, session, password, 10000, LEASE_KIND_ZOOKEEPER, SELF, BOOT);
    send_one(&b, SELF, BOOT, 3, &w);
    assert_int_equal(b.told.created_session, session);
    assert_true(b.told.created_attach > attach);
    write_create(&w, "/m", session, attach, 0);
    send_one(&b, SELF, BOOT, 4, &w);
    assert_int_equal(b.told.own_error[b.told.own_count - 1], COMMAND_SESSION_MOVED);
    writer_free(&w);
    bench_end(&b);
}

static void void_takes_a_number_and_gives_its_error(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    group_write_void(&w, COMMAND_FULL);
    send_one(&b, SELF, BOOT, 2, &w);
    assert_int_equal(b.told.own_error[1], COMMAND_FULL);
    assert_int_equal(stream_seq(&b, SELF), 2);
    writer_free(&w);
    bench_end(&b);
}

// The limits of ephemerals and of memory decide what apply answers, so they are state: alike on all replicas and in
// snapshots.
static void setting_is_replicated(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    attach_new(&b, &w, 2);
    struct digest before = machine_digest(b.machine);
    group_write_setting(&w, GROUP_SETTING_EPHEMERALS_MAX, 1);
    assert_int_equal(send_one(&b, 0, 0, 0, &w), 0);
    assert_false(digest_equal(before, machine_digest(b.machine)));
    uint64_t settings[GROUP_SETTING_COUNT];
    machine_settings(b.machine, settings);
    assert_int_equal(settings[GROUP_SETTING_EPHEMERALS_MAX], 1);
    write_create(&w, "/one", b.told.created_session, b.told.created_attach, TREE_EPHEMERAL);
    send_one(&b, SELF, BOOT, 3, &w);
    write_create(&w, "/two", b.told.created_session, b.told.created_attach, TREE_EPHEMERAL);
    send_one(&b, SELF, BOOT, 4, &w);
    assert_int_equal(b.told.own_error[b.told.own_count - 1], TREE_QUOTAEXCEEDED);
    group_write_setting(&w, GROUP_SETTING_MEMORY_MAX, 1);
    assert_int_equal(send_one(&b, 0, 0, 0, &w), 0);
    write_create(&w, "/three", b.told.created_session, b.told.created_attach, 0);
    send_one(&b, SELF, BOOT, 5, &w);
    assert_int_equal(b.told.own_error[b.told.own_count - 1], TREE_QUOTAEXCEEDED);
    struct machine *copy = machine_new(SELF, BOOT, NULL);
    struct machine_cursor cursor = {0};
    static uint8_t chunk[256u << 10];
    uint8_t model;
    size_t len;
    while ((len = machine_save(b.machine, &cursor, &model, chunk, sizeof chunk)) > 0)
        assert_int_equal(machine_load(copy, model, chunk, len), 0);
    machine_settings(copy, settings);
    assert_int_equal(settings[GROUP_SETTING_MEMORY_MAX], 1);
    assert_int_equal(settings[GROUP_SETTING_EPHEMERALS_MAX], 1);
    machine_free(copy);
    command_write_head(&w, MODEL_GROUP, GROUP_SETTING, 0, 0);
    write_varint(&w, GROUP_SETTING_COUNT);
    write_varint(&w, 1);
    assert_int_equal(send_one(&b, 0, 0, 0, &w), COMMAND_BAD_COMMAND); // a newer binary's setting: stop, never skip
    writer_free(&w);
    bench_end(&b);
}

static void container_check_is_replicated_and_silent_at_its_default(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    static uint8_t chunk[256u << 10];
    uint8_t model;
    struct machine_cursor cursor = {0};
    machine_save(b.machine, &cursor, &model, chunk, sizeof chunk);
    assert_int_equal(model, MODEL_GROUP);
    assert_int_equal(get_u32_le(chunk + 24), 1); // as binaries wrote it that knew one setting
    write_create(&w, "/c", 0, 0, TREE_CONTAINER);
    send_one(&b, SELF, BOOT, 2, &w);
    group_write_setting(&w, GROUP_SETTING_CONTAINER_CHECK_MS, 2000);
    assert_int_equal(send_one(&b, 0, 0, 0, &w), 0);
    write_create(&w, "/c/x", 0, 0, 0);
    send_one(&b, SELF, BOOT, 3, &w);
    command_write_head(&w, MODEL_TREE, TREE_OP_DELETE, 0, 0);
    write_blob(&w, bytes_of(NULL, 0));
    tree_write_delete(&w, bytes_of_text("/c/x"), -1);
    send_one(&b, SELF, BOOT, 4, &w);
    assert_int_equal(b.told.own_error[b.told.own_count - 1], 0);
    assert_int_equal(machine_next_deadline_ms(b.machine), machine_log_time_ms(b.machine) + 2000);
    memset(&cursor, 0, sizeof cursor);
    machine_save(b.machine, &cursor, &model, chunk, sizeof chunk);
    assert_int_equal(get_u32_le(chunk + 24), 2);
    writer_free(&w);
    bench_end(&b);
}

// fuzz_batch: times at the end of their range were added up over it.
static void times_beyond_any_clock_stay_in_range(void **state) {
    (void)state;
    const int64_t offsets[] = {INT64_MIN, INT64_MAX, -1, 0};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        struct bench b;
        bench_start(&b);
        struct writer w;
        writer_init(&w);
        open_stream(&b, SELF, SELF, BOOT);
        group_write_unix_offset(&w, offsets[i]);
        assert_int_equal(send_one(&b, 0, 0, 0, &w), 0);
        b.log_time = UINT64_MAX - 5;
        write_create(&w, "/late", 0, 0, 0);
        assert_int_equal(send_one(&b, SELF, BOOT, 2, &w), 0);
        assert_int_equal(b.told.own_error[1], 0);
        assert_true(digest_equal(machine_digest(b.machine), machine_digest_recount(b.machine)));
        writer_free(&w);
        bench_end(&b);
    }
}

// fuzz_snapshot: without the tree's last record the digest is the whole one's, but the tree would have taken another
// chunk for its own.
static void part_of_a_snapshot_is_refused(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer m;
    writer_init(&m);
    membership_encode(machine_membership(b.machine), &m);
    for (size_t missing = 0; missing <= 2; missing += 2) { // the END record: its tag and a count below 128
        struct machine *copy = machine_new(SELF, BOOT, NULL);
        struct machine_cursor cursor = {0};
        static uint8_t chunk[256u << 10];
        uint8_t model;
        size_t len;
        while ((len = machine_save(b.machine, &cursor, &model, chunk, sizeof chunk)) > 0)
            assert_int_equal(machine_load(copy, model, chunk, len - (model == MODEL_TREE ? missing : 0)), 0);
        int result = machine_load_finish(copy, machine_applied(b.machine), 1, 0, bytes_of(m.data, m.len),
                                         machine_digest(b.machine));
        assert_true(digest_equal(machine_digest(copy), machine_digest(b.machine)));
        assert_int_equal(result, missing == 0 ? 0 : -74);
        machine_free(copy);
    }
    writer_free(&m);
    bench_end(&b);
}

static void unknown_model_or_level_stops_the_node(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    group_write_apply_level(&w, APPLY_LEVEL_NEWEST + 1);
    assert_int_equal(send_one(&b, 0, 0, 0, &w), COMMAND_BAD_COMMAND);
    command_write_head(&w, 200, 1, 0, 0);
    assert_int_equal(send_one(&b, 0, 0, 0, &w), COMMAND_BAD_COMMAND);
    writer_free(&w);
    bench_end(&b);
}

static size_t saved_chunks_of(struct bench *b, uint8_t wanted) {
    static uint8_t chunk[256u << 10];
    struct machine_cursor cursor = {0};
    uint8_t model;
    size_t count = 0;
    while (machine_save(b->machine, &cursor, &model, chunk, sizeof chunk) > 0) count += model == wanted;
    return count;
}

// Members of a binary without the model must hold the same state, so nothing of it is in digests and snapshots.
static void model_above_the_apply_level_is_no_part_of_the_state(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    machine_free(b.machine);
    struct machine_sink sink = {.before_own = told_before, .own = told_own, .event = told_event, .context = &b.told};
    b.machine = machine_new(SELF, BOOT, &sink);
    b.membership.members[2].apply_level_max = 1;
    machine_genesis(b.machine, 1, 1, 1000, 0, &b.membership);
    assert_int_equal(machine_apply_level(b.machine), 1);
    struct writer w;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    struct digest before = machine_digest(b.machine);
    assert_true(digest_equal(before, machine_digest_recount(b.machine)));
    write_acquire(&w, 0, 0, 5000, 0);
    assert_int_equal(send_one(&b, SELF, BOOT, 2, &w), 0);
    assert_int_equal(b.told.own_error[1], COMMAND_LEVEL);
    assert_int_equal(machine_next_deadline_ms(b.machine), UINT64_MAX);
    assert_int_equal(saved_chunks_of(&b, MODEL_LOCK), 0);
    group_write_apply_level(&w, 2);
    assert_int_equal(send_one(&b, 0, 0, 0, &w), 0);
    assert_true(digest_equal(machine_digest(b.machine), machine_digest_recount(b.machine)));
    assert_int_not_equal(saved_chunks_of(&b, MODEL_LOCK), 0);
    write_acquire(&w, 0, 0, 5000, 0);
    assert_int_equal(send_one(&b, SELF, BOOT, 3, &w), 0);
    assert_int_equal(b.told.own_error[2], 0);
    assert_int_equal(machine_next_deadline_ms(b.machine), 6000);
    writer_free(&w);
    bench_end(&b);
}

// memory-max holds for znodes and native models together; what gives back goes through, and then there is room again.
static void memory_is_bounded_over_all_models(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    write_acquire(&w, 0, 0, 5000, 0);
    send_one(&b, SELF, BOOT, 2, &w);
    assert_int_equal(b.told.own_error[1], 0);
    uint64_t token = machine_applied(b.machine);
    uint64_t used = 0;
    for (uint8_t id = 0; id < MODEL_COUNT; id++) {
        const struct model_ops *ops = model_table(id);
        if (ops == NULL || id == MODEL_LEASE) continue;
        assert_true(id == MODEL_TREE || id == MODEL_KEYS || ops->growing != 0); // else nothing would bound it
        used += ops->memory(machine_model(b.machine, id));
    }
    group_write_setting(&w, GROUP_SETTING_MEMORY_MAX, used);
    assert_int_equal(send_one(&b, 0, 0, 0, &w), 0);
    write_create(&w, "/one", 0, 0, 0);
    send_one(&b, SELF, BOOT, 3, &w);
    assert_int_equal(b.told.own_error[2], TREE_QUOTAEXCEEDED);
    write_acquire(&w, 0, 0, 5000, 1000);
    send_one(&b, SELF, BOOT, 4, &w);
    assert_int_equal(b.told.own_error[3], COMMAND_MEMORY);
    lock_write_release(&w, 0, 0, bytes_of_text("orders"), bytes_of_text("a"), token, true);
    send_one(&b, SELF, BOOT, 5, &w);
    assert_int_equal(b.told.own_error[4], 0);
    write_create(&w, "/one", 0, 0, 0);
    send_one(&b, SELF, BOOT, 6, &w);
    assert_int_equal(b.told.own_error[5], 0); // a znode of no data takes less than the lock did
    writer_free(&w);
    bench_end(&b);
}

static bool held(struct bench *b, uint64_t token) {
    return lock_verify(machine_model(b->machine, MODEL_LOCK), bytes_of_text("orders"), token);
}

static void locks_end_with_their_session_and_their_time(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    attach_new(&b, &w, 2);
    write_acquire(&w, b.told.created_session, b.told.created_attach, 0, 0);
    send_one(&b, SELF, BOOT, 3, &w);
    uint64_t first = machine_applied(b.machine);
    assert_true(held(&b, first)); // tokens follow the index
    write_acquire(&w, 0, 0, 5000, 60000);
    send_one(&b, SELF, BOOT, 4, &w);
    lease_write_expire(&w, b.told.created_session, b.told.created_attach);
    size_t events = b.told.events;
    send_one(&b, 0, 0, 0, &w);
    assert_int_equal(b.told.events, events + 3); // lost, granted to who waits, ended: one entry
    uint64_t second = machine_applied(b.machine);
    assert_false(held(&b, first));
    assert_true(held(&b, second));
    assert_int_equal(machine_next_deadline_ms(b.machine), b.log_time + 5000);
    b.log_time += 5000;
    group_write_time(&w);
    send_one(&b, 0, 0, 0, &w);
    assert_false(held(&b, second));
    assert_int_equal(machine_next_deadline_ms(b.machine), UINT64_MAX);
    assert_true(digest_equal(machine_digest(b.machine), machine_digest_recount(b.machine)));
    writer_free(&w);
    bench_end(&b);
}

static void state_above_the_own_apply_level_is_refused(void **state) {
    (void)state;
    struct machine *newer = machine_new(SELF, BOOT, NULL), *older = machine_new(SELF, BOOT, NULL);
    uint32_t level = APPLY_LEVEL_NEWEST + 1;
    machine_limit_apply_level(newer, level + 1);
    struct raft_membership members;
    membership_init(&members);
    membership_add(&members, SELF)->apply_level_max = level;
    machine_genesis(newer, 1, 1, 0, 0, &members);
    assert_int_equal(machine_apply_level(newer), level); // a formation begins where all of its members can
    static uint8_t chunk[1u << 18];
    struct machine_cursor cursor = {0};
    uint8_t model;
    size_t len = machine_save(newer, &cursor, &model, chunk, sizeof chunk);
    assert_int_equal(model, MODEL_GROUP);
    assert_int_equal(machine_load(older, model, chunk, len), -ENOTSUP);
    assert_true(machine_level_unknown(older));
    machine_free(older);
    older = machine_new(SELF, BOOT, NULL);
    machine_limit_apply_level(older, level);
    assert_int_equal(machine_load(older, model, chunk, len), 0);
    assert_int_equal(machine_apply_level(older), level);
    assert_false(machine_level_unknown(older));
    membership_free(&members);
    machine_free(older);
    machine_free(newer);
}

static void membership_change_drops_the_stream_of_who_left(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    open_stream(&b, 2, 2, 5);
    open_stream(&b, 3, 3, 5);
    membership_remove(&b.membership, 3);
    struct writer w;
    writer_init(&w);
    membership_encode(&b.membership, &w);
    assert_int_equal(apply_body(&b, BATCH_MEMBERSHIP, bytes_of(w.data, w.len), 1), 0);
    assert_true(stream_seq(&b, 3) == UINT64_MAX);
    assert_int_equal(stream_seq(&b, 2), 1);
    assert_int_equal(machine_membership(b.machine)->count, 2);
    struct tree_query query = {.op = TREE_GET, .path = bytes_of_text("/zookeeper/config")};
    struct result result;
    machine_query(b.machine, MODEL_TREE, &query, &result);
    const struct tree_answer *answer = result.value;
    // Curator ignores a configuration whose two peer ports of a server are equal ("Client and election port must be
    // different").
    const char *want =
        "server.1=host1:7451:0:participant;host1:2181\nserver.2=host2:7451:0:participant;host2:2181\nversion=";
    assert_true(answer->data.len > strlen(want));
    assert_memory_equal(answer->data.data, want, strlen(want));
    membership_remove(&b.membership, 2); // alone: clients keep the address they have
    w.len = 0;
    membership_encode(&b.membership, &w);
    assert_int_equal(apply_body(&b, BATCH_MEMBERSHIP, bytes_of(w.data, w.len), 1), 0);
    machine_query(b.machine, MODEL_TREE, &query, &result);
    assert_int_equal(((const struct tree_answer *)result.value)->data.len, 0);
    writer_free(&w);
    bench_end(&b);
}

// The schedule: node 3 has a command applied, learns nothing of it, is removed and added again without a restart, and
// sends its whole stream again to the leader of the time after. A leader and an apply that had forgotten its boot would
// take it as a new stream and run the command twice.
static void what_a_removed_member_sends_again_is_not_applied_twice(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w, members;
    writer_init(&w);
    writer_init(&members);
    open_stream(&b, 3, 3, 5);
    write_create(&w, "/once-", 0, 0, TREE_SEQUENTIAL);
    assert_int_equal(send_one(&b, 3, 5, 2, &w), 0);
    assert_int_equal(tree_exists(&b, "/once-0000000000"), 0);
    for (int back = 0; back <= 1; back++) {
        if (back) {
            struct member *member = membership_add(&b.membership, 3);
            fill_incarnation(member->incarnation, 3);
        } else {
            membership_remove(&b.membership, 3);
        }
        writer_clear(&members);
        membership_encode(&b.membership, &members);
        assert_int_equal(apply_body(&b, BATCH_MEMBERSHIP, bytes_of(members.data, members.len), 1), 0);
        open_stream(&b, 3, 3, 5); // void: not a higher boot
        write_create(&w, "/once-", 0, 0, TREE_SEQUENTIAL);
        send_one(&b, 3, 5, 2, &w);
        assert_int_equal(tree_exists(&b, "/once-0000000001"), TREE_NONODE);
    }
    open_stream(&b, 3, 3, 6);
    write_create(&w, "/once-", 0, 0, TREE_SEQUENTIAL);
    send_one(&b, 3, 6, 2, &w);
    assert_int_equal(tree_exists(&b, "/once-0000000001"), 0);
    writer_free(&w);
    writer_free(&members);
    bench_end(&b);
}

// Random work; then a second machine is loaded from a snapshot in the middle and must agree with the first ever after.
static void restored_machine_agrees_ever_after(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng prng;
        prng_seed(&prng, seed);
        struct bench a, c;
        bench_start(&a);
        struct writer w;
        writer_init(&w);
        open_stream(&a, SELF, SELF, BOOT);
        uint64_t seq = 2, session = 0, attach = 0;
        bool restored = false;
        for (int i = 0; i < 1500; i++) {
            char path[32];
            snprintf(path, sizeof path, "/n%llu", (unsigned long long)prng_below(&prng, 40));
            a.log_time += prng_below(&prng, 50);
            c.log_time = a.log_time;
            uint64_t kind = prng_below(&prng, 10);
            uint8_t password[LEASE_PASSWORD_BYTES] = {5};
            uint32_t origin = SELF;
            if (session == 0 || kind == 0)
                lease_write_attach(&w, session, password, 8000, LEASE_KIND_ZOOKEEPER, SELF, BOOT);
            else if (kind == 1) {
                lease_write_expire(&w, session, attach);
                origin = 0;
            } else if (kind == 2) {
                group_write_time(&w);
                origin = 0;
            } else if (kind < 6)
                write_create(&w, path, session, attach, kind == 3 ? TREE_EPHEMERAL : kind == 4 ? TREE_SEQUENTIAL : 0);
            else {
                command_write_head(&w, MODEL_TREE, TREE_OP_DELETE, session, attach);
                write_blob(&w, bytes_of(NULL, 0));
                tree_write_delete(&w, bytes_of_text(path), -1);
            }
            struct writer copy;
            writer_init(&copy);
            write_span(&copy, bytes_of(w.data, w.len));
            uint64_t number = origin == 0 ? 0 : seq++;
            send_one(&a, origin, origin ? BOOT : 0, number, &w);
            if (restored) send_one(&c, origin, origin ? BOOT : 0, number, &copy);
            writer_free(&copy);
            if (kind == 1 && origin == 0)
                session = 0;
            else if (a.told.created_session != 0)
                session = a.told.created_session, attach = a.told.created_attach;
            if (kind == 1 && origin == 0) a.told.created_session = 0;
            if (i == 700) {
                struct machine_sink sink = {.own = told_own, .context = &c.told};
                memset(&c, 0, sizeof c);
                membership_init(&c.membership);
                c.machine = machine_new(SELF, BOOT, &sink);
                struct machine_cursor cursor = {0};
                uint8_t model;
                static uint8_t chunk[256u << 10];
                size_t len;
                while ((len = machine_save(a.machine, &cursor, &model, chunk, sizeof chunk)) > 0)
                    assert_int_equal(machine_load(c.machine, model, chunk, len), 0);
                struct writer m;
                writer_init(&m);
                membership_encode(machine_membership(a.machine), &m);
                assert_int_equal(machine_load_finish(c.machine, machine_applied(a.machine), 1, a.log_time,
                                                     bytes_of(m.data, m.len), machine_digest(a.machine)),
                                 0);
                writer_free(&m);
                c.log_time = a.log_time;
                restored = true;
            }
            if (restored) assert_true(digest_equal(machine_digest(a.machine), machine_digest(c.machine)));
        }
        assert_true(digest_equal(machine_digest(a.machine), machine_digest_recount(a.machine)));
        assert_true(digest_equal(machine_digest(c.machine), machine_digest_recount(c.machine)));
        const struct machine_sample *sample = machine_newest_sample(a.machine);
        struct digest found;
        assert_non_null(sample);
        assert_true(machine_sample_at(c.machine, sample->index, &found));
        assert_true(digest_equal(found, sample->digest));
        writer_free(&w);
        bench_end(&a);
        bench_end(&c);
    }
}

static void restore_ends_all_sessions_and_jumps(void **state) {
    (void)state;
    struct bench b;
    bench_start(&b);
    struct writer w;
    writer_init(&w);
    open_stream(&b, SELF, SELF, BOOT);
    attach_new(&b, &w, 2);
    write_create(&w, "/kept", 0, 0, 0);
    send_one(&b, SELF, BOOT, 3, &w);
    write_create(&w, "/gone", b.told.created_session, b.told.created_attach, TREE_EPHEMERAL);
    send_one(&b, SELF, BOOT, 4, &w);
    uint64_t index = machine_applied(b.machine) + RESTORE_INDEX_JUMP;
    membership_remove(&b.membership, 2);
    membership_remove(&b.membership, 3);
    machine_reset(b.machine, index, 2, &b.membership);
    assert_int_equal(machine_applied(b.machine), index);
    assert_int_equal(lease_count(machine_leases(b.machine)), 0);
    assert_int_equal(tree_exists(&b, "/kept"), 0);
    assert_int_equal(tree_exists(&b, "/gone"), TREE_NONODE);
    assert_true(stream_seq(&b, SELF) == UINT64_MAX);
    assert_int_equal(machine_membership(b.machine)->count, 1);
    assert_true(digest_equal(machine_digest(b.machine), machine_digest_recount(b.machine)));
    writer_free(&w);
    bench_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_takes_only_the_next),
        cmocka_unit_test(old_boot_is_shut_out),
        cmocka_unit_test(session_end_takes_its_ephemerals_in_the_same_entry),
        cmocka_unit_test(command_of_an_older_attachment_is_moved),
        cmocka_unit_test(void_takes_a_number_and_gives_its_error),
        cmocka_unit_test(setting_is_replicated),
        cmocka_unit_test(container_check_is_replicated_and_silent_at_its_default),
        cmocka_unit_test(times_beyond_any_clock_stay_in_range),
        cmocka_unit_test(part_of_a_snapshot_is_refused),
        cmocka_unit_test(unknown_model_or_level_stops_the_node),
        cmocka_unit_test(state_above_the_own_apply_level_is_refused),
        cmocka_unit_test(model_above_the_apply_level_is_no_part_of_the_state),
        cmocka_unit_test(memory_is_bounded_over_all_models),
        cmocka_unit_test(locks_end_with_their_session_and_their_time),
        cmocka_unit_test(membership_change_drops_the_stream_of_who_left),
        cmocka_unit_test(what_a_removed_member_sends_again_is_not_applied_twice),
        cmocka_unit_test(restored_machine_agrees_ever_after),
        cmocka_unit_test(restore_ends_all_sessions_and_jumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
