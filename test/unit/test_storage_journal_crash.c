// Random lives of a journal, each ended by a crash in which unsynced sectors and names are kept or lost one by one.
// What was acknowledged is there; what is there is a prefix of what was handed in; nothing is ever refused as damage.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "test/unit/support/journal_rig.h"

static void random_truncate(struct journal_rig *r) {
    struct journal_rig_state s;
    journal_rig_state_after(r, r->op_count, &s);
    size_t low = s.count;
    while (low > 0 && s.batches[low - 1].first > r->cut_index && s.count - low < 40) low--;
    if (low < s.count) {
        uint64_t from = s.batches[low + prng_below(&r->prng, s.count - low)].first;
        r->term++;
        struct journal_hard hard = {.term = r->term, .voted_for = (uint32_t)prng_below(&r->prng, 5)};
        journal_rig_append_full(r, &hard, 0, 0, from, (uint32_t)prng_below(&r->prng, 3),
                                (size_t)prng_below(&r->prng, 800));
    }
    journal_rig_state_free(&s);
}

static void random_cut(struct journal_rig *r) {
    struct journal_stats stats;
    journal_stats(r->journal, &stats);
    if (stats.last_index == 0) return;
    uint64_t low = stats.last_index > 60 ? stats.last_index - 60 : 1;
    uint64_t index = low + prng_below(&r->prng, stats.last_index - low + 1);
    // Raft never truncates what a snapshot holds, so only what no queued truncation takes may be cut.
    if (r->acknowledged != r->op_count || index <= r->cut_index) return;
    r->cut_index = index;
    uint64_t keep = prng_below(&r->prng, 3) == 0 ? index - prng_below(&r->prng, index) : 0;
    journal_cut(r->journal, index, keep, prng_below(&r->prng, 50000));
}

static void act(struct journal_rig *r) {
    size_t bytes = (size_t)prng_below(&r->prng, prng_below(&r->prng, 8) == 0 ? 5000 : 400);
    switch (prng_below(&r->prng, 16)) {
    case 0:
        random_truncate(r);
        break;
    case 1:
        if (prng_below(&r->prng, 6) == 0) {
            uint64_t start = r->last_index + prng_below(&r->prng, 50) + 1;
            journal_rig_append_full(r, NULL, start, r->term, 0, (uint32_t)prng_below(&r->prng, 3), bytes);
        }
        break;
    case 2:
        r->term++;
        journal_rig_append_full(r, &(struct journal_hard){.term = r->term, .voted_for = 1}, 0, 0, 0, 0, 0);
        break;
    case 3:
        random_cut(r);
        break;
    case 4:
        memory_io_advance(r->m, prng_below(&r->prng, 200000));
        break;
    case 5:
        memory_io_run(r->m);
        break;
    case 6:
    case 7:
    case 8:
        for (uint64_t n = prng_below(&r->prng, 6); n > 0; n--) memory_io_step(r->m);
        break;
    default:
        journal_rig_append(r, (uint32_t)prng_below(&r->prng, 4), bytes);
    }
}

static void full_disks(struct journal_rig *r) {
    uint64_t dice = prng_below(&r->prng, 60);
    if (dice == 0) memory_io_capacity(r->m, prng_below(&r->prng, 200000));
    if (dice == 1) memory_io_break_write(r->m, prng_below(&r->prng, 5000));
    if (dice <= 10 && dice > 7) memory_io_capacity(r->m, UINT64_MAX);
}

static void read_some(struct journal_rig *r) {
    struct journal_stats stats;
    journal_stats(r->journal, &stats);
    if (stats.last_index < stats.first_index) return;
    uint64_t first = stats.first_index + prng_below(&r->prng, stats.last_index - stats.first_index + 1);
    uint64_t last = first + prng_below(&r->prng, 100);
    size_t count;
    int result = journal_rig_read(r, first, last, 1 + (size_t)prng_below(&r->prng, 20000), &count);
    assert_int_equal(result, 0);
    if (stats.first_index > 1)
        assert_int_equal(journal_rig_read(r, stats.first_index - 1, last, 1000, &count), -ENOENT);
    assert_int_equal(journal_rig_read(r, stats.last_index + 1, stats.last_index + 1, 1000, &count), -ENOENT);
}

static void lives(uint64_t seed, int count, bool full, uint64_t segment_bytes) {
    struct journal_rig r;
    journal_rig_init(&r, seed, segment_bytes);
    size_t torn = 0, total = 0;
    for (int life = 0; life < count; life++) {
        int result = journal_rig_open(&r);
        if (result != 0) fail_msg("seed %d life %d: refused: %s", (int)seed, life, r.error.text);
        size_t held = journal_rig_match(&r, r.acknowledged, r.op_count);
        if (held == SIZE_MAX) {
            fail_msg("seed %d life %d: recovered last %d, %d of %d ops acknowledged", (int)seed, life,
                     (int)r.recovered.last_index, (int)r.acknowledged, (int)r.op_count);
        }
        torn += r.recovered.torn;
        total += held;
        journal_rig_settle(&r, held);
        if (r.cut_index < r.recovered.start_index) r.cut_index = r.recovered.start_index;
        read_some(&r);
        for (uint64_t n = prng_below(&r.prng, 30); n > 0; n--) {
            act(&r);
            if (full) full_disks(&r);
            journal_rig_take_out_failed(&r);
        }
        if (prng_below(&r.prng, 4) == 0) {
            memory_io_capacity(r.m, UINT64_MAX);
            memory_io_run(r.m);
            journal_rig_take_out_failed(&r);
            read_some(&r);
        }
        memory_io_capacity(r.m, UINT64_MAX);
        if (prng_below(&r.prng, 8) == 0)
            memory_io_kill(r.m);
        else
            memory_io_crash(r.m);
        journal_rig_take_out_failed(&r);
        journal_rig_stop(&r);
    }
    assert_true(torn > 0);
    assert_true(total > (size_t)count);
    journal_rig_free(&r);
}

// CRASH_LIVES=n: so many in each test.
static int count_of(int normal) {
    const char *text = getenv("CRASH_LIVES");
    return text ? atoi(text) : normal;
}

static void test_crashes(void **state) {
    for (uint64_t seed = 1; seed <= 8; seed++) lives(seed, count_of(400), false, 16u << 10);
}

static void test_crashes_and_full_disks(void **state) {
    for (uint64_t seed = 11; seed <= 18; seed++) lives(seed, count_of(400), true, 16u << 10);
}

static void test_crashes_tiny_segments(void **state) {
    for (uint64_t seed = 21; seed <= 24; seed++) lives(seed, count_of(300), true, 2048);
}

// No byte that a torn tail held is lost: torn/ has them.
static void test_torn_is_kept(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 31, 64u << 10);
    assert_int_equal(journal_rig_open(&r), 0);
    memory_io_run(r.m);
    journal_rig_append(&r, 1, 700);
    memory_io_run(r.m);
    journal_rig_append(&r, 1, 3000);
    memory_io_run(r.m);
    const struct memory_write *writes;
    size_t n = memory_io_writes(r.m, &writes);
    uint64_t offset = writes[n - 1].offset;
    memory_io_kill(r.m);
    journal_rig_stop(&r);
    uint8_t *data = memory_io_data(r.m, writes[n - 1].path, NULL);
    data[offset + 2000] ^= 4;
    uint8_t tail[3000];
    memcpy(tail, data + offset, sizeof tail);
    assert_int_equal(journal_rig_open(&r), 0);
    assert_int_equal(journal_rig_match(&r, 1, 1), 1);
    assert_true(r.recovered.torn && r.recovered.torn_bytes >= sizeof tail);
    assert_int_equal(memory_io_count(r.m, "/d/torn", ".torn"), 1);
    char path[128];
    snprintf(path, sizeof path, "/d/torn/%020d-%d-%lld.torn", 1, (int)offset,
             (long long)memory_io_io(r.m)->ops->unix_ms(memory_io_io(r.m)));
    size_t len;
    const uint8_t *kept = memory_io_data(r.m, path, &len);
    assert_non_null(kept);
    assert_int_equal(len, r.recovered.torn_bytes);
    assert_memory_equal(kept, tail, sizeof tail);
    journal_rig_free(&r);
}

static void test_cut(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 41, 8192);
    assert_int_equal(journal_rig_open(&r), 0);
    journal_rig_append_full(&r, &(struct journal_hard){.term = 9, .voted_for = 4}, 0, 0, 0, 0, 0);
    r.term = 9;
    for (int i = 0; i < 60; i++) {
        journal_rig_append(&r, 1, 700);
        memory_io_run(r.m);
    }
    struct journal_stats stats;
    journal_stats(r.journal, &stats);
    uint64_t all = stats.segments, middle = stats.last_index / 2;
    journal_cut(r.journal, middle, 1, UINT64_MAX); // a follower needs all
    journal_stats(r.journal, &stats);
    assert_int_equal(stats.segments, all);
    journal_cut(r.journal, middle, 1, 100); // but that is more than may be kept for it
    journal_stats(r.journal, &stats);
    assert_true(stats.segments < all);
    assert_true(stats.first_index > 1 && stats.first_index <= middle + 1);
    memory_io_run(r.m);
    assert_int_equal(memory_io_count(r.m, "/d/journal", ".seg"), stats.segments);
    size_t count;
    assert_int_equal(journal_rig_read(&r, 1, 10, 1000, &count), -ENOENT);
    assert_int_equal(journal_rig_read(&r, stats.first_index, stats.last_index, 1u << 20, &count), 0);
    memory_io_crash(r.m);
    journal_rig_stop(&r);
    r.cut_index = middle;
    assert_int_equal(journal_rig_open(&r), 0);
    assert_int_equal(journal_rig_match(&r, 61, 61), 61);
    assert_int_equal(r.recovered.hard.voted_for, 4); // told in a segment that is gone, repeated by the later ones
    assert_int_equal(r.recovered.start_term, 9);
    journal_rig_free(&r);
}

// The segment that takes over holds hard state and base only once its first frame is on the disk: until then the older
// ones stay.
static void test_cut_while_the_next_segment_begins(void **state) {
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct journal_rig r;
        journal_rig_init(&r, seed, 8192);
        assert_int_equal(journal_rig_open(&r), 0);
        for (uint64_t i = 0; i <= 7 + seed % 20; i++) {
            memory_io_run(r.m);
            struct journal_rig_op *op = journal_rig_append(&r, 1, 500);
            r.cut_index = op->append.batches[0].first - 1;
            if (r.cut_index > 0) journal_cut(r.journal, r.cut_index, 0, 0);
        }
        for (uint64_t steps = prng_below(&r.prng, 3); steps > 0; steps--) memory_io_step(r.m);
        memory_io_crash(r.m);
        journal_rig_stop(&r);
        if (journal_rig_open(&r) != 0) fail_msg("seed %d: %s", (int)seed, r.error.text);
        assert_true(journal_rig_match(&r, r.acknowledged, r.op_count) != SIZE_MAX);
        journal_rig_free(&r);
    }
}

struct late {
    const struct journal_rig *rig;
    bool answered, after; // after all appends
    int result;
    size_t count;
    uint64_t last_term;
};

static void late_done(void *context, int result, struct batch_ref *batches, size_t count) {
    struct late *late = context;
    late->answered = true;
    late->after = late->rig->acknowledged == late->rig->op_count;
    late->result = result;
    late->count = count;
    for (size_t i = 0; i < count; i++) {
        late->last_term = batches[i].term;
        batch_ref_release(&batches[i]);
    }
}

static void read_meets_cut_and_truncate(uint64_t seed, size_t *before, size_t *after) {
    struct journal_rig r;
    journal_rig_init(&r, seed, 8192);
    assert_int_equal(journal_rig_open(&r), 0);
    for (int i = 0; i < 40; i++) journal_rig_append(&r, 1, 300);
    memory_io_run(r.m);
    struct late late = {.rig = &r};
    journal_read(r.journal, 1, 5, 100000, late_done, &late);
    journal_cut(r.journal, r.last_index, 0, 0);
    memory_io_run(r.m);
    assert_true(late.answered); // the file was held open
    assert_true(late.result == 0 || late.result == -ENOENT);
    struct journal_rig_state s;
    journal_rig_state_after(&r, r.op_count, &s);
    uint64_t from = s.batches[s.count - 2].first;
    journal_rig_state_free(&s);
    r.term = 2;
    late = (struct late){.rig = &r};
    journal_rig_append_full(&r, NULL, 0, 0, from, 2, 10);
    journal_read(r.journal, from, from + 1, 100000, late_done, &late);
    memory_io_run(r.m);
    assert_true(late.answered);
    // Answered before the truncation was on the disk: the old batches; after it: the new ones, or none of the old.
    if (late.result == 0)
        assert_int_equal(late.last_term, late.after ? 2 : 1);
    else
        assert_true(late.after);
    *(late.after ? after : before) += 1;
    size_t count;
    assert_int_equal(journal_rig_read(&r, from, from, 100000, &count), 0);
    journal_rig_free(&r);
}

static void test_read_meets_cut_and_truncate(void **state) { // what changed while the read was under way
    size_t before = 0, after = 0;
    for (uint64_t seed = 51; seed < 91; seed++) read_meets_cut_and_truncate(seed, &before, &after);
    assert_true(before > 0 && after > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_crashes_and_full_disks),
        cmocka_unit_test(test_crashes_tiny_segments),
        cmocka_unit_test(test_torn_is_kept),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_cut_while_the_next_segment_begins),
        cmocka_unit_test(test_read_meets_cut_and_truncate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
