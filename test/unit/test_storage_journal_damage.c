// Every sector of a small journal is damaged and cut in turn. What must come of it is worked out here from the list of
// writes that the journal made, not from the journal's own scanning: the last frame bad: torn, the log before it; an
// earlier one: refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "test/unit/support/journal_rig.h"

#define SEGMENT 8192u

struct frame {
    uint64_t segment, offset, len, covered; // covered: header and body; the rest is padding but for the last four bytes
    size_t ops;                             // acknowledged once it is there
};
struct small {
    struct journal_rig rig;
    struct frame *frames;
    size_t count;
    uint64_t segments; // last with frames
};

static const char *path_of(uint64_t segment) {
    static char path[64];
    snprintf(path, sizeof path, "/d/journal/%020llu.seg", (unsigned long long)segment);
    return path;
}

// A journal of some 20 frames over three segments, of one op, of several, and of none.
static void make(struct small *s, uint64_t seed, bool empty_last) {
    memset(s, 0, sizeof *s);
    struct journal_rig *r = &s->rig;
    journal_rig_init(r, seed, SEGMENT);
    assert_int_equal(journal_rig_open(r), 0);
    size_t frames = 0;
    s->frames = mem_zalloc(200 * sizeof *s->frames);
    for (int i = 0; i < 18; i++) {
        int kind = (int)prng_below(&r->prng, 6);
        if (kind == 0)
            journal_rig_append_full(r, &(struct journal_hard){.term = (uint64_t)i + 1, .voted_for = 2}, 0, 0, 0, 0, 0);
        if (kind == 1 && r->last_index > r->start_index) {
            r->term = (uint64_t)i + 2;
            struct journal_rig_state now;
            journal_rig_state_after(r, r->op_count, &now);
            journal_rig_append_full(r, NULL, 0, 0, now.batches[now.count - 1].first, 1, 30);
            journal_rig_state_free(&now);
        }
        if (kind == 2) journal_rig_append(r, 3, prng_below(&r->prng, 500));
        journal_rig_append(r, 1, prng_below(&r->prng, 1500));
        while (r->acknowledged < r->op_count) {
            assert_true(memory_io_step(r->m));
            const struct memory_write *writes;
            size_t n = memory_io_writes(r->m, &writes);
            for (; frames < n; frames++) s->frames[frames].ops = r->acknowledged;
        }
        memory_io_run(r->m);
        if (i % 5 == 4 || (i == 17 && empty_last)) memory_io_advance(r->m, 100000);
        const struct memory_write *writes;
        size_t n = memory_io_writes(r->m, &writes);
        for (; frames < n; frames++) s->frames[frames].ops = r->acknowledged;
    }
    const struct memory_write *writes;
    s->count = memory_io_writes(r->m, &writes);
    assert_int_equal(s->count, frames);
    for (size_t i = 0; i < s->count; i++) {
        struct frame *f = &s->frames[i];
        f->segment = (uint64_t)strtoull(writes[i].path + strlen("/d/journal/"), NULL, 10);
        f->offset = writes[i].offset;
        f->len = writes[i].len;
        f->covered = 64 + get_u32_le(memory_io_data(r->m, path_of(f->segment), NULL) + f->offset + 16);
        assert_true(f->covered + 4 <= f->len);
        s->segments = f->segment;
    }
    assert_true(s->segments >= 3);
    memory_io_kill(r->m);
    journal_rig_stop(r);
}

static void drop(struct small *s) {
    journal_rig_free(&s->rig);
    mem_free(s->frames);
}

enum expect { WHOLE, WHOLE_TORN, PREFIX_TORN, PREFIX, DAMAGE };

static void check(struct small *s, struct memory_io *broken, enum expect expect, size_t ops, uint64_t segment,
                  uint64_t offset) {
    struct journal_rig *r = &s->rig;
    struct memory_io *sound = r->m;
    r->m = broken;
    r->options.io = memory_io_io(broken);
    int result = journal_rig_open(r);
    if (expect == DAMAGE ? result != -EBADMSG : result != 0) {
        fail_msg("segment %d offset %d: expected %d, got %d %s", (int)segment, (int)offset, expect, result,
                 r->error.text);
    }
    if (expect == DAMAGE) {
        assert_true(r->error.damage);
        assert_non_null(strstr(r->error.text, ".seg"));
        assert_non_null(strstr(r->error.text, "offset"));
    } else {
        size_t want = expect == WHOLE || expect == WHOLE_TORN ? r->op_count : ops;
        if (journal_rig_match(r, want, want) != want)
            fail_msg("segment %d offset %d: not the first %d ops", (int)segment, (int)offset, (int)want);
        if (r->recovered.torn != (expect == WHOLE_TORN || expect == PREFIX_TORN))
            fail_msg("torn at %d %d", (int)segment, (int)offset);
        assert_int_equal(memory_io_count(broken, "/d/torn", ".torn") > 0, r->recovered.torn);
        // It was put right: the next start finds it sound.
        uint64_t last = r->recovered.last_index;
        memory_io_kill(broken);
        journal_rig_stop(r);
        assert_int_equal(journal_rig_open(r), 0);
        assert_false(r->recovered.torn);
        assert_int_equal(r->recovered.last_index, last);
        assert_int_equal(journal_rig_match(r, want, want), want);
        journal_rig_stop(r);
    }
    memory_io_free(broken);
    r->m = sound;
    r->options.io = memory_io_io(sound);
}

static void flip(struct small *s, uint64_t segment, uint64_t offset, uint8_t bits) {
    enum expect expect = WHOLE;
    size_t ops = 0;
    bool in_frame = false, has_frames = false;
    uint64_t end = 512;
    for (size_t i = 0; i < s->count; i++) {
        const struct frame *f = &s->frames[i];
        if (f->segment != segment) continue;
        has_frames = true;
        end = f->offset + f->len;
        if (offset < f->offset || offset >= end) continue;
        in_frame = true;
        bool covered = offset < f->offset + f->covered || offset >= end - 4;
        if (covered && i + 1 < s->count) expect = DAMAGE;
        if (covered && i + 1 == s->count) {
            expect = PREFIX_TORN;
            ops = i ? s->frames[i - 1].ops : 0;
        }
    }
    if (offset < 40)
        expect = has_frames ? DAMAGE : WHOLE_TORN; // the segment's header
    else if (!in_frame && offset >= end && segment >= s->segments)
        expect = WHOLE_TORN; // zeros that nobody says are the end
    struct memory_io *broken = memory_io_copy(s->rig.m, offset + 7);
    size_t len;
    uint8_t *data = memory_io_data(broken, path_of(segment), &len);
    assert_true(offset < len);
    data[offset] ^= bits;
    check(s, broken, expect, ops, segment, offset);
}

static void cut(struct small *s, uint64_t segment, uint64_t length) {
    enum expect expect = WHOLE;
    size_t ops = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct frame *f = &s->frames[i];
        if (f->segment != segment || f->offset + f->len <= length) continue;
        if (segment < s->segments) {
            expect = DAMAGE;
        } else if (expect == WHOLE) { // nothing behind it is left to vouch: like the disk's loss of the newest writes
            expect = length > f->offset ? PREFIX_TORN : PREFIX;
            ops = i ? s->frames[i - 1].ops : 0;
        }
    }
    if (length > 0 && length < 512) {
        expect = segment < s->segments    ? DAMAGE
                 : segment == s->segments ? PREFIX_TORN
                                          : WHOLE_TORN; // a piece of a header
    }
    struct memory_io *broken = memory_io_copy(s->rig.m, length + 11);
    memory_io_cut(broken, path_of(segment), (size_t)length);
    check(s, broken, expect, ops, segment, length);
}

static void
test_flip(void **state) { // first, last, some byte of every sector of every file; single bits and whole bytes
    for (int round = 0; round < 2; round++) {
        struct small s;
        make(&s, 100 + (uint64_t)round, round == 1);
        size_t files = memory_io_count(s.rig.m, "/d/journal", ".seg");
        for (uint64_t segment = 1; segment <= files; segment++) {
            size_t len;
            assert_non_null(memory_io_data(s.rig.m, path_of(segment), &len));
            for (uint64_t offset = 0; offset < len; offset += 512) {
                flip(&s, segment, offset, 1);
                flip(&s, segment, offset + 511, 0x80);
                flip(&s, segment, offset + prng_below(&s.rig.prng, 512), 0xff);
                flip(&s, segment, offset + 40 + prng_below(&s.rig.prng, 60), 0x10);
            }
        }
        drop(&s);
    }
}

static void test_cut(void **state) { // at every sector, every frame's first and last bytes
    struct small s;
    make(&s, 200, false);
    size_t files = memory_io_count(s.rig.m, "/d/journal", ".seg");
    for (uint64_t segment = 1; segment <= files; segment++) {
        size_t len;
        assert_non_null(memory_io_data(s.rig.m, path_of(segment), &len));
        for (uint64_t length = 0; length < len; length += 512) cut(&s, segment, length);
        cut(&s, segment, 39);
    }
    for (size_t i = 0; i < s.count; i++) {
        cut(&s, s.frames[i].segment, s.frames[i].offset + 1);
        cut(&s, s.frames[i].segment, s.frames[i].offset + s.frames[i].covered);
        cut(&s, s.frames[i].segment, s.frames[i].offset + s.frames[i].len - 1);
    }
    drop(&s);
}

static void test_records(void **state) { // at every record boundary and every byte of the directories
    struct small s;
    make(&s, 300, true);
    for (size_t i = 0; i < s.count; i++) {
        const struct frame *f = &s.frames[i];
        uint32_t directory = get_u32_le(memory_io_data(s.rig.m, path_of(f->segment), NULL) + f->offset + 12);
        for (uint64_t at = 0; at < 64 + directory; at++) flip(&s, f->segment, f->offset + at, (uint8_t)(1 + at));
        if (f->segment == s.segments) {
            for (uint64_t at = 0; at < 64 + directory; at += 3) cut(&s, f->segment, f->offset + at);
        }
    }
    drop(&s);
}

static void test_missing_segment(void **state) {
    struct small s;
    make(&s, 400, false);
    for (uint64_t segment = 1; segment < s.segments; segment++) {
        struct memory_io *broken = memory_io_copy(s.rig.m, segment);
        memory_io_remove(broken, path_of(segment));
        if (segment > 1) {
            check(&s, broken, DAMAGE, 0, segment, 0);
            continue;
        }
        // The oldest: like a journal that was cut. It begins where the second segment says; its caller misses a
        // snapshot.
        struct memory_io *sound = s.rig.m;
        s.rig.m = broken;
        s.rig.options.io = memory_io_io(broken);
        assert_int_equal(journal_rig_open(&s.rig), 0);
        assert_true(s.rig.recovered.start_index > 0);
        s.rig.cut_index = UINT64_MAX;
        assert_int_equal(journal_rig_match(&s.rig, s.rig.op_count, s.rig.op_count), s.rig.op_count);
        s.rig.cut_index = 0;
        journal_rig_stop(&s.rig);
        memory_io_free(broken);
        s.rig.m = sound;
        s.rig.options.io = memory_io_io(sound);
    }
    drop(&s);
}

// The oldest segment's number tells that others were cut: then its first frame was on the disk, whatever stands behind
// it.
static void test_first_frame_after_cut(void **state) {
    struct small s;
    make(&s, 500, false);
    struct memory_io *broken = memory_io_copy(s.rig.m, 1);
    for (uint64_t segment = 1; segment < s.segments; segment++) memory_io_remove(broken, path_of(segment));
    const struct frame *first = NULL;
    for (size_t i = 0; i < s.count && !first; i++) {
        if (s.frames[i].segment == s.segments) first = &s.frames[i];
    }
    memory_io_cut(broken, path_of(s.segments), first->offset + 600);
    memory_io_data(broken, path_of(s.segments), NULL)[first->offset] ^= 1;
    check(&s, broken, DAMAGE, 0, s.segments, first->offset);
    drop(&s);
}

// A client's value that holds the bytes of a frame is not one: it lacks the segment's salt.
static void test_embedded_frame(void **state) {
    struct small s;
    make(&s, 600, false);
    const struct frame *last = &s.frames[s.count - 1];
    struct memory_io *broken = memory_io_copy(s.rig.m, 1);
    size_t len;
    uint8_t *data = memory_io_data(broken, path_of(s.segments), &len);
    uint64_t place = last->offset + last->len;
    assert_true(place + 512 <= len);
    const uint8_t *old = memory_io_data(broken, path_of(1), NULL) + 512; // the right bytes but for the salt
    uint8_t frame[512];
    memcpy(frame, old, sizeof frame);
    memset(frame + 64, 0, sizeof frame - 64);
    put_u32_le(frame + 12, 0);
    put_u32_le(frame + 16, 0);
    put_u32_le(frame + 20, 0);
    put_u64_le(frame + 24, s.segments);
    put_u64_le(frame + 32, place);
    put_u64_le(frame + 48, s.segments);
    put_u64_le(frame + 56, place);
    uint32_t crc = crc32c(0, frame + 8, 56);
    put_u32_le(frame + 4, crc);
    put_u32_le(frame + 508, ~crc);
    memcpy(data + place, frame, sizeof frame);
    data[last->offset + 70] ^= 1;
    check(&s, broken, PREFIX_TORN, s.frames[s.count - 2].ops, s.segments, last->offset);
    drop(&s);
}

// What the disk gave back is what was written, and yet no batch that could be applied.
static void test_broken_sections_are_refused(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 800, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    journal_rig_append(&r, 2, 100);
    memory_io_run(r.m);
    r.broken_sections = true;
    const struct journal_rig_op *op = journal_rig_append(&r, 1, 100);
    r.broken_sections = false;
    uint64_t first = op->append.batches[0].first, last = op->append.batches[0].last;
    memory_io_run(r.m);
    journal_rig_append(&r, 1, 100);
    memory_io_run(r.m);
    memory_io_kill(r.m);
    journal_rig_stop(&r);
    for (int again = 0; again < 2; again++) {
        char where[64];
        snprintf(where, sizeof where, "index %d to %d", (int)first, (int)last);
        assert_int_equal(journal_rig_open(&r), -EBADMSG);
        assert_true(r.error.damage);
        assert_non_null(strstr(r.error.text, "broken sections"));
        assert_non_null(strstr(r.error.text, where));
        assert_non_null(strstr(r.error.text, "offset"));
    }
    journal_rig_free(&r);
}

// A new segment's header is synced before its only frame, so that frame vouches for it: not a torn tail.
static void test_header_of_a_single_frame(void **state) {
    struct journal_rig r;
    journal_rig_init(&r, 700, SEGMENT);
    assert_int_equal(journal_rig_open(&r), 0);
    const struct memory_write *writes;
    size_t n;
    do {
        journal_rig_append(&r, 1, 500);
        memory_io_run(r.m);
        n = memory_io_writes(r.m, &writes);
    } while (strcmp(writes[n - 1].path, writes[0].path) == 0);
    memory_io_kill(r.m);
    journal_rig_stop(&r);
    memory_io_data(r.m, writes[n - 1].path, NULL)[20] ^= 1;
    assert_int_equal(journal_rig_open(&r), -EBADMSG);
    assert_true(r.error.damage);
    journal_rig_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flip),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_missing_segment),
        cmocka_unit_test(test_first_frame_after_cut),
        cmocka_unit_test(test_embedded_frame),
        cmocka_unit_test(test_broken_sections_are_refused),
        cmocka_unit_test(test_header_of_a_single_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
