// The journal as its callers see it: append, recover, truncate, start, group commit, the vouching frame, full disks,
// failing syncs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/histogram.h"
#include "test/unit/support/journal_rig.h"

#define SEGMENT (64u << 10)

// The process dies and starts again; nothing that was written is lost.
static void restart(struct journal_rig *r, size_t want) {
    memory_io_kill(r->m);
    journal_rig_stop(r);
    assert_int_equal(journal_rig_open(r), 0);
    assert_int_equal(journal_rig_match(r, want, want), want);
    journal_rig_settle(r, want);
}

static void test_empty(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 1, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    assert_int_equal(r.recovered.last_index, 0);
    assert_false(r.recovered.torn);
    restart(&r, 0);
    assert_false(r.recovered.torn);
    journal_rig_free(&r);
}

static void test_append_recover(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 2, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    struct journal_hard hard = {.term = 1, .voted_for = 3};
    journal_rig_append_full(&r, &hard, 0, 0, 0, 0, 0);
    assert_int_equal(r.acknowledged, 0); // never from inside the call
    for (int i = 0; i < 100; i++) {
        journal_rig_append(&r, 1 + (uint32_t)i % 3, (size_t)i * 17);
        if (i % 7 == 0) memory_io_run(r.m);
    }
    memory_io_run(r.m);
    assert_int_equal(r.acknowledged, 101);
    restart(&r, 101);
    assert_int_equal(r.recovered.hard.voted_for, 3);
    journal_rig_append(&r, 1, 10);
    memory_io_run(r.m);
    restart(&r, 1);
    journal_rig_free(&r);
}

static void test_group_commit(void **state) { // what waits goes in one write
    struct journal_rig r;
    journal_rig_init(&r, 3, 1u << 20);
    assert_int_equal(journal_rig_open(&r), 0);
    memory_io_run(r.m);
    journal_rig_append(&r, 1, 100);
    for (int i = 0; i < 50; i++) journal_rig_append(&r, 2, 300);
    while (memory_io_step(r.m)) {
    }
    struct journal_stats stats;
    journal_stats(r.journal, &stats);
    assert_int_equal(stats.writes, 2);
    assert_int_equal(stats.batches, 101);
    assert_int_equal(r.acknowledged, 51);
    assert_int_equal(stats.sync_us->count, 2);
    restart(&r, 51);
    journal_rig_free(&r);
}

static void test_many_large_batches(void **state) { // more iovecs than one call takes
    struct journal_rig r;
    journal_rig_init(&r, 4, 16u << 20);
    assert_int_equal(journal_rig_open(&r), 0);
    journal_rig_append(&r, 1500, 2100);
    memory_io_run(r.m);
    assert_int_equal(r.acknowledged, 1);
    journal_rig_append(&r, 300, 5000);
    memory_io_run(r.m);
    restart(&r, 2);
    journal_rig_free(&r);
}

static void test_larger_than_a_segment(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 5, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    journal_rig_append(&r, 1, 300000); // in the empty first segment
    journal_rig_append(&r, 1, 100);
    memory_io_run(r.m);
    journal_rig_append(&r, 1, 3000000); // in the next
    memory_io_run(r.m);
    journal_rig_append(&r, 1, 100);
    memory_io_run(r.m);
    assert_int_equal(r.acknowledged, 4);
    restart(&r, 4);
    journal_rig_free(&r);
}

// A read goes through a segment in pieces, and bytes_max is any number: no piece ends within a frame's header.
static void test_read_in_pieces_of_any_size(void **state) {
    enum { BATCHES = 1000, PIECE = 128 << 10 };
    struct journal_rig r;
    journal_rig_init(&r, 19, 4u << 20);
    assert_int_equal(journal_rig_open(&r), 0);
    for (int i = 0; i < BATCHES; i++) {
        journal_rig_append(&r, 1, 1 + (size_t)i % 20); // a frame of one unit each
        memory_io_run(r.m);
    }
    struct journal_stats stats;
    journal_stats(r.journal, &stats);
    for (size_t more = 0; more < 2 * 512; more += 13) {
        size_t count;
        assert_int_equal(journal_rig_read(&r, 1, stats.last_index, PIECE + more, &count), 0);
        assert_int_equal(count, BATCHES);
    }
    journal_rig_free(&r);
}

static void test_truncate_and_start(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 6, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    for (int i = 0; i < 20; i++) {
        journal_rig_append(&r, 1, 100);
        memory_io_run(r.m);
    }
    r.term = 2;
    struct journal_rig_state s;
    journal_rig_state_after(&r, 20, &s);
    uint64_t from = s.batches[12].first;
    journal_rig_append_full(&r, &(struct journal_hard){.term = 2}, 0, 0, from, 2, 50);
    journal_rig_state_free(&s);
    journal_rig_append(&r, 1, 100); // queued behind: one frame after the other
    memory_io_run(r.m);
    restart(&r, 22);
    r.term = 5;
    journal_rig_append_full(&r, NULL, 1000, 4, 0, 3, 70); // a snapshot came
    journal_rig_append(&r, 1, 100);
    memory_io_run(r.m);
    restart(&r, 2);
    assert_int_equal(r.recovered.start_index, 1000);
    assert_int_equal(r.recovered.start_term, 4);
    journal_rig_append_full(&r, NULL, 0, 0, 1001, 0, 0); // all behind the start
    memory_io_run(r.m);
    restart(&r, 1);
    assert_int_equal(r.recovered.last_index, 1000);
    journal_rig_append(&r, 1, 10);
    memory_io_run(r.m);
    restart(&r, 1);
    journal_rig_free(&r);
}

static void test_vouching_frame(void **state) { // 100 ms of silence: one empty frame, and only one
    struct journal_rig r;
    journal_rig_init(&r, 7, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    memory_io_advance(r.m, 1000000);
    struct journal_stats stats;
    journal_stats(r.journal, &stats);
    assert_int_equal(stats.writes, 0); // nothing to vouch for
    journal_rig_append(&r, 1, 100);
    memory_io_run(r.m);
    memory_io_advance(r.m, 99999);
    journal_stats(r.journal, &stats);
    assert_int_equal(stats.writes, 1);
    memory_io_advance(r.m, 1);
    journal_stats(r.journal, &stats);
    assert_int_equal(stats.writes, 2);
    memory_io_advance(r.m, 10000000);
    journal_stats(r.journal, &stats);
    assert_int_equal(stats.writes, 2);
    restart(&r, 1);
    memory_io_advance(r.m, 1000000);
    journal_stats(r.journal, &stats);
    assert_int_equal(stats.writes, 0); // the last frame found is empty
    journal_rig_append(&r, 1, 100);
    memory_io_run(r.m);
    restart(&r, 1);
    memory_io_advance(r.m, 1000000); // found unvouched, and vouched for at the start
    journal_stats(r.journal, &stats);
    assert_int_equal(stats.writes, 0);
    journal_rig_free(&r);
}

static void full_segment(struct journal_rig *r) { // one frame, up to its segment's end
    journal_rig_append(r, 1, SEGMENT - 512 - 512 - 100);
    memory_io_run(r->m);
    struct journal_stats stats;
    journal_stats(r->journal, &stats);
    assert_int_equal(stats.bytes, SEGMENT - 512);
}

// What vouched for the newest batch was cut off with a torn tail, or there is no room for it: the start vouches anew.
static void test_start_vouches(void **state) {
    for (int full = 0; full < 2; full++) {
        struct journal_rig r;
        journal_rig_init(&r, 8, SEGMENT);
        assert_int_equal(journal_rig_open(&r), 0);
        if (full) {
            full_segment(&r);
        } else {
            journal_rig_append(&r, 1, 100);
            memory_io_run(r.m);
            journal_rig_append(&r, 1, 3000);
            memory_io_run(r.m);
        }
        const struct memory_write *writes;
        struct memory_write last = {0};
        size_t n = memory_io_writes(r.m, &writes);
        last = writes[n - 1];
        memory_io_kill(r.m);
        journal_rig_stop(&r);
        size_t len;
        if (!full) memory_io_data(r.m, last.path, &len)[last.offset + 1000] ^= 4; // torn
        assert_int_equal(journal_rig_open(&r), 0);
        assert_int_equal(journal_rig_match(&r, 1, 1), 1);
        assert_true(r.recovered.torn == !full);
        memory_io_crash(r.m); // at once
        journal_rig_stop(&r);
        memory_io_data(r.m, last.path, &len)[full ? 600 : last.offset - 500] ^= 4; // rot
        assert_int_equal(journal_rig_open(&r), -EBADMSG);
        assert_true(r.error.damage);
        memory_io_data(r.m, last.path, &len)[full ? 600 : last.offset - 500] ^= 4;
        assert_int_equal(journal_rig_open(&r), 0); // and it goes on behind it
        journal_rig_settle(&r, 1);
        journal_rig_append(&r, 1, 100);
        memory_io_run(r.m);
        restart(&r, 1);
        journal_rig_free(&r);
    }
}

static void test_start_on_a_full_disk_vouches_later(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 9, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    full_segment(&r);
    memory_io_capacity(r.m, 0);
    restart(&r, 1);
    memory_io_capacity(r.m, UINT64_MAX);
    memory_io_advance(r.m, 3000000);
    struct journal_stats stats;
    journal_stats(r.journal, &stats);
    assert_int_equal(stats.writes, 1);
    journal_rig_free(&r);
}

static void test_prepared_ahead(void **state) { // no append waits for a new segment when the steps keep up
    struct journal_rig r;
    journal_rig_init(&r, 8, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    for (int i = 0; i < 200; i++) {
        journal_rig_append(&r, 1, 1000);
        memory_io_run(r.m);
        assert_int_equal(r.acknowledged, i + 1);
    }
    struct journal_stats stats;
    journal_stats(r.journal, &stats);
    assert_true(stats.segments >= 5);
    restart(&r, 200);
    journal_rig_free(&r);
}

static void test_full_disk(void **state) { // all that is queued answers ENOSPC; room again: goes on
    struct journal_rig r;
    journal_rig_init(&r, 9, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    memory_io_capacity(r.m, 100000);
    struct journal_stats stats;
    int before = 0;
    for (;; before++) {
        struct journal_rig_op *op = journal_rig_append(&r, 1, 1000);
        struct journal_rig_op *behind = journal_rig_append(&r, 1, 1000);
        memory_io_run(r.m);
        assert_true(op->answered && behind->answered);
        if (op->result == 0 && behind->result == 0) continue;
        assert_int_equal(behind->result, -ENOSPC);
        break;
    }
    assert_true(before > 15);
    journal_stats(r.journal, &stats);
    assert_true(stats.full);
    journal_rig_take_out_failed(&r);
    size_t held = r.op_count;
    for (int i = 0; i < 3; i++) { // again and again
        struct journal_rig_op *op = journal_rig_append(&r, 1, 1000);
        assert_false(op->answered);
        memory_io_run(r.m);
        assert_int_equal(op->result, -ENOSPC);
        journal_rig_take_out_failed(&r);
    }
    restart(&r, held);
    held = 0;
    for (struct journal_rig_op *op; held < 60; held++) { // what was prepared in pieces before may be used now, not more
        op = journal_rig_append(&r, 1, 1000);
        memory_io_run(r.m);
        if (op->result == -ENOSPC) break;
    }
    assert_true(held < 60);
    journal_rig_take_out_failed(&r);
    memory_io_capacity(r.m, UINT64_MAX);
    for (int i = 0; i < 100; i++) journal_rig_append(&r, 1, 1000);
    memory_io_run(r.m);
    assert_int_equal(r.acknowledged, held + 100);
    journal_stats(r.journal, &stats);
    assert_false(stats.full);
    restart(&r, held + 100);
    journal_rig_free(&r);
}

// Entries are refused, votes are not: else a full disk would leave the cluster without a leader.
static void test_full_disk_keeps_room_for_votes(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 19, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    memory_io_capacity(r.m, 100000);
    for (struct journal_rig_op *op = NULL; !op || op->result == 0;) {
        op = journal_rig_append(&r, 1, 1000);
        memory_io_run(r.m);
    }
    journal_rig_take_out_failed(&r);
    for (uint64_t term = 2; term < 12; term++) {
        struct journal_rig_op *op =
            journal_rig_append_full(&r, &(struct journal_hard){.term = term, .voted_for = 2}, 0, 0, 0, 0, 0);
        memory_io_run(r.m);
        assert_int_equal(op->result, 0);
        op = journal_rig_append(&r, 1, 1000);
        memory_io_run(r.m);
        assert_int_equal(op->result, -ENOSPC);
        journal_rig_take_out_failed(&r);
    }
    restart(&r, r.op_count);
    assert_int_equal(r.recovered.hard.term, 11);
    journal_rig_free(&r);
}

static void test_write_broken_off(void **state) { // a full disk in the middle of a frame, at each sector of it
    for (uint64_t bytes = 0; bytes < 8 * 512; bytes += 256) {
        for (int then = 0; then < 3; then++) {
            struct journal_rig r;
            journal_rig_init(&r, 10, SEGMENT);
            assert_int_equal(journal_rig_open(&r), 0);
            journal_rig_append(&r, 1, 700);
            memory_io_run(r.m);
            memory_io_break_write(r.m, bytes);
            struct journal_rig_op *op = journal_rig_append(&r, 2, 1800);
            struct journal_rig_op *behind = journal_rig_append(&r, 1, 10);
            while (!behind->answered) assert_true(memory_io_step(r.m));
            assert_int_equal(op->result, -ENOSPC);
            assert_int_equal(behind->result, -ENOSPC);
            journal_rig_take_out_failed(&r);
            size_t held = 1;
            if (then == 1) { // again, and that is what the log has
                journal_rig_append(&r, 1, 100);
                memory_io_run(r.m);
                assert_int_equal(r.acknowledged, 2);
                held = 2;
            }
            if (then == 2) { // the zeros do not fit either
                memory_io_break_write(r.m, 100);
                op = journal_rig_append(&r, 1, 100);
                memory_io_run(r.m);
                assert_int_equal(op->result, -ENOSPC);
                journal_rig_take_out_failed(&r);
            }
            restart(&r, held);
            if (then == 1) assert_false(r.recovered.torn);
            journal_rig_free(&r);
        }
    }
}

static void test_failed_sync_is_fatal(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 11, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    memory_io_run(r.m);
    journal_rig_append(&r, 1, 100);
    memory_io_fail_sync(r.m, -EIO);
    memory_io_run(r.m);
    assert_int_equal(r.fatal, 1);
    assert_int_equal(r.acknowledged, 0);
    struct journal_rig_op *op = journal_rig_append(&r, 1, 100);
    memory_io_advance(r.m, 1000000);
    assert_false(op->answered); // never tried again
    assert_int_equal(r.fatal, 1);
    journal_rig_free(&r);
}

static void test_failed_write_is_fatal(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 12, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    memory_io_run(r.m);
    journal_rig_append(&r, 1, 100);
    memory_io_fail_write(r.m, -EIO);
    memory_io_run(r.m);
    assert_int_equal(r.fatal, 1);
    assert_int_equal(r.acknowledged, 0);
    journal_rig_free(&r);
}

static void test_close(void **state) { // own jobs may be under way
    struct journal_rig r;
    journal_rig_init(&r, 13, 8u << 20);
    assert_int_equal(journal_rig_open(&r), 0);
    assert_true(memory_io_waiting(r.m) > 0);
    journal_close(r.journal);
    r.journal = NULL;
    memory_io_run(r.m);
    assert_int_equal(memory_io_open_files(r.m), 0);
    assert_int_equal(journal_rig_open(&r), 0);
    journal_rig_free(&r);
}

static void test_read_only(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 14, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    journal_rig_append(&r, 1, 2000);
    journal_rig_append(&r, 1, 2000);
    memory_io_run(r.m);
    memory_io_kill(r.m);
    journal_rig_stop(&r);
    size_t len;
    uint8_t *data = memory_io_data(r.m, "/d/journal/00000000000000000001.seg", &len);
    data[512 + 1000] ^= 1; // the only frame, or the first of two
    uint8_t *before = test_malloc(len);
    memcpy(before, data, len);
    r.options.read_only = true;
    int result = journal_rig_open(&r);
    data = memory_io_data(r.m, "/d/journal/00000000000000000001.seg", &len);
    assert_memory_equal(before, data, len);
    assert_int_equal(result, -EBADMSG); // the second frame vouches
    data[512 + 1000] ^= 1;
    data[512 + 2560 + 600] ^= 1;
    result = journal_rig_open(&r);
    assert_int_equal(result, 0);
    assert_true(r.recovered.torn);
    assert_int_equal(journal_rig_match(&r, 1, 1), 1);
    assert_int_equal(memory_io_count(r.m, "/d/torn", ".torn"), 0);
    journal_close(r.journal);
    r.journal = NULL;
    test_free(before);
    journal_rig_free(&r);
}

static void test_newer_format(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 15, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    memory_io_kill(r.m);
    journal_rig_stop(&r);
    size_t len;
    uint8_t *data = memory_io_data(r.m, "/d/journal/00000000000000000001.seg", &len);
    put_u16_le(data + 8, 2);
    put_u32_le(data + 4, crc32c(0, data + 8, 32));
    assert_int_equal(journal_rig_open(&r), -ENOTSUP);
    assert_non_null(strstr(r.error.text, "newer"));
    assert_false(r.error.damage);
    journal_rig_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_append_recover),
        cmocka_unit_test(test_group_commit),
        cmocka_unit_test(test_many_large_batches),
        cmocka_unit_test(test_larger_than_a_segment),
        cmocka_unit_test(test_read_in_pieces_of_any_size),
        cmocka_unit_test(test_truncate_and_start),
        cmocka_unit_test(test_vouching_frame),
        cmocka_unit_test(test_start_vouches),
        cmocka_unit_test(test_start_on_a_full_disk_vouches_later),
        cmocka_unit_test(test_prepared_ahead),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_full_disk_keeps_room_for_votes),
        cmocka_unit_test(test_write_broken_off),
        cmocka_unit_test(test_failed_sync_is_fatal),
        cmocka_unit_test(test_failed_write_is_fatal),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_newer_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
