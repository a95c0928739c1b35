// Snapshot files: written, read, damaged at every byte, kept, transferred.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "storage/snapshot.h"
#include "test/unit/support/memory_io.h"

static int to_writer(void *context, const void *data, size_t len) {
    write_span(context, bytes_of(data, len));
    return 0;
}

static const struct snapshot_meta META = {.group = 0,
                                          .index = 77,
                                          .term = 5,
                                          .log_time_ms = 123456,
                                          .cluster_id = "cluster-cluster",
                                          .digest = {.lo = 11, .hi = 22}};

// `chunks` chunks of text-like bytes; the first is full.
static void build(struct writer *file, const struct snapshot_meta *meta, size_t chunks, size_t chunk_bytes) {
    struct snapshot_writer *w = snapshot_writer_new(meta);
    struct snapshot_sink sink = {.write = to_writer, .context = file};
    assert_int_equal(snapshot_writer_begin(w, &sink), 0);
    uint8_t *data = mem_alloc(SNAPSHOT_CHUNK_BYTES);
    for (size_t c = 0; c < chunks; c++) {
        size_t len = chunk_bytes - c % 3;
        for (size_t i = 0; i < len; i++) data[i] = (uint8_t)("key=value;"[i % 10] + (i / 50 + c) % 7);
        assert_int_equal(snapshot_writer_chunk(w, (uint8_t)(c % 200), data, len), 0);
    }
    mem_free(data);
    assert_int_equal(snapshot_writer_end(w), 0);
    snapshot_writer_free(w);
}

struct taken {
    size_t chunks, bytes;
    bool wrong;
    int stop_at, stop_with;
};

static int take_chunk(void *context, uint8_t model, const void *data, size_t len) {
    struct taken *t = context;
    const uint8_t *at = data;
    for (size_t i = 0; i < len; i++) {
        if (at[i] != (uint8_t)("key=value;"[i % 10] + (i / 50 + t->chunks) % 7)) t->wrong = true;
    }
    if (model != t->chunks % 200) t->wrong = true;
    t->chunks++;
    t->bytes += len;
    return t->stop_at && (int)t->chunks == t->stop_at ? t->stop_with : 0;
}

static int load(struct memory_io *m, struct snapshot_meta *meta, struct taken *taken, char error[512]) {
    struct writer membership;
    writer_init(&membership);
    *taken = (struct taken){.stop_at = taken->stop_at, .stop_with = taken->stop_with};
    int result = snapshot_load(memory_io_io(m), "/s", meta, &membership, take_chunk, taken, error);
    if (result == 0) {
        assert_int_equal(meta->membership.len, 9);
        assert_memory_equal(meta->membership.data, "1,2,3,abc", 9);
    }
    meta->membership = bytes_of(NULL, 0);
    writer_free(&membership);
    return result;
}

static struct snapshot_meta meta_with_members(void) {
    struct snapshot_meta meta = META;
    meta.membership = bytes_of("1,2,3,abc", 9);
    return meta;
}

static void test_round_trip(void **state) {
    struct memory_io *m = memory_io_new(1);
    struct snapshot_meta meta = meta_with_members(), got;
    struct writer file;
    writer_init(&file);
    build(&file, &meta, 20, SNAPSHOT_CHUNK_BYTES);
    assert_true(file.len < 20 * SNAPSHOT_CHUNK_BYTES / 10);
    memory_io_put(m, "/s", file.data, file.len);
    char error[512];
    struct taken taken = {0};
    assert_int_equal(load(m, &got, &taken, error), 0);
    assert_int_equal(taken.chunks, 20);
    assert_false(taken.wrong);
    assert_int_equal(got.index, 77);
    assert_int_equal(got.term, 5);
    assert_int_equal(got.log_time_ms, 123456);
    assert_memory_equal(got.cluster_id, META.cluster_id, 16);
    assert_true(digest_equal(got.digest, META.digest));
    taken = (struct taken){.stop_at = 3, .stop_with = -ENOMEM}; // the reader's own error comes through
    assert_int_equal(load(m, &got, &taken, error), -ENOMEM);
    struct writer membership; // verify only
    writer_init(&membership);
    assert_int_equal(snapshot_load(memory_io_io(m), "/s", &got, &membership, NULL, NULL, error), 0);
    writer_free(&membership);
    writer_clear(&file);
    build(&file, &meta, 0, 0); // an empty state
    memory_io_put(m, "/s", file.data, file.len);
    taken = (struct taken){0};
    assert_int_equal(load(m, &got, &taken, error), 0);
    assert_int_equal(taken.chunks, 0);
    writer_free(&file);
    memory_io_free(m);
}

static void test_damage_at_every_byte(void **state) {
    struct memory_io *m = memory_io_new(2);
    struct snapshot_meta meta = meta_with_members(), got;
    struct writer file;
    writer_init(&file);
    build(&file, &meta, 5, 300);
    char error[512];
    struct taken taken = {0};
    for (size_t i = 0; i < file.len; i++) {
        for (int bit = 0; bit < 8; bit += 3) {
            file.data[i] ^= (uint8_t)(1 << bit);
            memory_io_put(m, "/s", file.data, file.len);
            if (load(m, &got, &taken, error) != -EBADMSG) fail_msg("byte %d bit %d was not noticed", (int)i, bit);
            assert_false(taken.wrong);
            assert_non_null(strstr(error, "/s"));
            assert_non_null(strstr(error, "offset"));
            file.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t len = 0; len < file.len; len++) {
        memory_io_put(m, "/s", file.data, len);
        if (load(m, &got, &taken, error) != -EBADMSG) fail_msg("cut at %d was not noticed", (int)len);
    }
    uint8_t more = 0;
    write_span(&file, bytes_of(&more, 1));
    memory_io_put(m, "/s", file.data, file.len);
    assert_int_equal(load(m, &got, &taken, error), -EBADMSG);
    memory_io_remove(m, "/s");
    assert_int_equal(load(m, &got, &taken, error), -ENOENT);
    writer_free(&file);
    memory_io_free(m);
}

static void test_chunks_left_out_or_swapped(void **state) { // each sound by itself
    struct memory_io *m = memory_io_new(3);
    struct snapshot_meta meta = meta_with_members(), got;
    struct writer file, broken;
    writer_init(&file);
    writer_init(&broken);
    build(&file, &meta, 4, 300);
    size_t at[6] = {80 + 9};
    for (int c = 0; c < 4; c++) at[c + 1] = at[c] + 16 + get_u32_le(file.data + at[c] + 4);
    assert_int_equal(at[4] + 48, file.len);
    char error[512];
    struct taken taken = {0};
    write_span(&broken, bytes_of(file.data, at[2]));
    write_span(&broken, bytes_of(file.data + at[3], file.len - at[3]));
    memory_io_put(m, "/s", broken.data, broken.len);
    assert_int_equal(load(m, &got, &taken, error), -EBADMSG);
    writer_clear(&broken);
    write_span(&broken, bytes_of(file.data, at[1]));
    write_span(&broken, bytes_of(file.data + at[2], at[3] - at[2]));
    write_span(&broken, bytes_of(file.data + at[1], at[2] - at[1]));
    write_span(&broken, bytes_of(file.data + at[3], file.len - at[3]));
    memory_io_put(m, "/s", broken.data, broken.len);
    assert_int_equal(load(m, &got, &taken, error), -EBADMSG);
    writer_free(&broken);
    writer_free(&file);
    memory_io_free(m);
}

// ---- nothing is allocated after snapshot_writer_new: a forked child must not call malloc
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
static size_t allocated(void) {
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : mallinfo2().uordblks;
}

static size_t sunk;
static int to_nowhere(void *context, const void *data, size_t len) {
    sunk += len;
    return 0;
}

static void test_writer_allocates_nothing(void **state) {
    struct snapshot_meta meta = meta_with_members();
    uint8_t *data = mem_alloc(SNAPSHOT_CHUNK_BYTES);
    struct prng prng;
    prng_seed(&prng, 1);
    for (size_t i = 0; i < SNAPSHOT_CHUNK_BYTES; i++) data[i] = (uint8_t)prng_next(&prng);
    struct snapshot_writer *w = snapshot_writer_new(&meta);
    struct snapshot_sink sink = {.write = to_nowhere};
    size_t before = allocated();
    assert_int_equal(snapshot_writer_begin(w, &sink), 0);
    for (int i = 0; i < 300; i++) { // many small ones: where zstd's own context would shrink its memory
        assert_int_equal(snapshot_writer_chunk(w, 1, data, i % 100 == 0 ? SNAPSHOT_CHUNK_BYTES : 100), 0);
        assert_int_equal(allocated(), before);
    }
    assert_int_equal(snapshot_writer_end(w), 0);
    assert_int_equal(allocated(), before);
    assert_true(sunk > 3 * SNAPSHOT_CHUNK_BYTES);
    snapshot_writer_free(w);
    mem_free(data);
}

static int fails(void *context, const void *data, size_t len) {
    return --*(int *)context > 0 ? 0 : -ENOSPC;
}

static void test_sink_error_sticks(void **state) {
    struct snapshot_meta meta = meta_with_members();
    struct snapshot_writer *w = snapshot_writer_new(&meta);
    int left = 2;
    struct snapshot_sink sink = {.write = fails, .context = &left};
    assert_int_equal(snapshot_writer_begin(w, &sink), 0);
    assert_int_equal(snapshot_writer_chunk(w, 1, "x", 1), -ENOSPC);
    assert_int_equal(snapshot_writer_chunk(w, 1, "x", 1), -ENOSPC);
    assert_int_equal(snapshot_writer_end(w), -ENOSPC);
    snapshot_writer_free(w);
}

// ---- the folder

static void write_temporary(struct memory_io *m, struct snapshot_store *store, uint64_t index, uint64_t term,
                            struct writer *file) {
    char path[4096];
    snapshot_store_temporary(store, index, term, path);
    memory_io_put(m, path, file->data, file->len);
}

static void test_keeps_two(void **state) {
    struct memory_io *m = memory_io_new(4);
    struct io *io = memory_io_io(m);
    struct snapshot_store *store;
    char error[512], text[256];
    assert_int_equal(snapshot_store_open(io, NULL, "/snap", &store, text), 0);
    struct snapshot_meta meta = meta_with_members();
    struct writer file;
    writer_init(&file);
    build(&file, &meta, 3, 300);
    struct snapshot_entry entries[4];
    for (uint64_t i = 1; i <= 5; i++) {
        write_temporary(m, store, i * 100, 2, &file);
        assert_int_equal(snapshot_store_commit(store, i * 100, 2), 0);
        assert_int_equal(snapshot_store_list(store, entries, 4), i < 2 ? 1 : 2);
        assert_int_equal(entries[0].index, i * 100);
        assert_int_equal(entries[0].bytes, file.len);
    }
    assert_int_equal(memory_io_count(m, "/snap", ".snap"), 2);
    assert_int_equal(memory_io_count(m, "/snap", ".tmp"), 0);
    assert_int_equal(snapshot_store_commit(store, 1, 1), -ENOENT);
    write_temporary(m, store, 600, 2, &file); // unfinished
    snapshot_store_close(store);
    memory_io_crash(m);
    assert_int_equal(snapshot_store_open(io, NULL, "/snap", &store, text), 0);
    assert_int_equal(memory_io_count(m, "/snap", ".tmp"), 0);
    assert_true(snapshot_store_list(store, entries, 4) >= 2); // an unlink may be lost, a snapshot never
    assert_int_equal(entries[0].index, 500);
    assert_int_equal(entries[1].index, 400);
    char path[4096];
    snapshot_store_path(store, 500, 2, path);
    struct snapshot_meta got;
    struct writer membership;
    writer_init(&membership);
    struct taken taken = {0};
    assert_int_equal(snapshot_load(io, path, &got, &membership, take_chunk, &taken, error), 0);
    writer_free(&membership);
    snapshot_store_close(store);
    writer_free(&file);
    assert_int_equal(memory_io_open_files(m), 0);
    memory_io_free(m);
}

// The simulator's seed 1795272146223: a snapshot was made again at its index, that failed, and it took the good one
// with it; the journal had been cut behind it.
static void test_a_failed_second_one_leaves_the_first(void **state) {
    struct memory_io *m = memory_io_new(1);
    struct io *io = memory_io_io(m);
    struct snapshot_store *store;
    char text[256], error[512], path[4096];
    assert_int_equal(snapshot_store_open(io, NULL, "/snap", &store, text), 0);
    struct snapshot_meta meta = meta_with_members();
    struct writer file, membership;
    writer_init(&file);
    writer_init(&membership);
    build(&file, &meta, 3, 300);
    write_temporary(m, store, 100, 2, &file);
    assert_int_equal(snapshot_store_commit(store, 100, 2), 0);
    write_temporary(m, store, 100, 2, &file);
    snapshot_store_abandon(store, 100, 2);
    struct snapshot_entry entry;
    assert_int_equal(snapshot_store_list(store, &entry, 1), 1);
    assert_int_equal(entry.index, 100);
    assert_int_equal(memory_io_count(m, "/snap", ".tmp"), 0);
    snapshot_store_path(store, 100, 2, path);
    assert_int_equal(snapshot_load(io, path, &meta, &membership, NULL, NULL, error), 0);
    snapshot_store_close(store);
    writer_free(&file);
    writer_free(&membership);
    memory_io_free(m);
}

static void test_commit_is_durable(void **state) { // crash right after commit, many times
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct memory_io *m = memory_io_new(seed);
        struct io *io = memory_io_io(m);
        struct snapshot_store *store;
        char text[256], error[512], path[4096];
        assert_int_equal(snapshot_store_open(io, NULL, "/snap", &store, text), 0);
        struct snapshot_meta meta = meta_with_members();
        struct writer file, membership;
        writer_init(&file);
        writer_init(&membership);
        build(&file, &meta, 5, 3000);
        for (size_t at = 0; at < file.len; at += 100) {
            size_t len = file.len - at < 100 ? file.len - at : 100;
            assert_int_equal(snapshot_store_receive(store, 9, 1, at, file.data + at, len), 0);
        }
        if (seed % 4 == 0) { // before: there is either nothing or, never, a bad snapshot
            memory_io_crash(m);
            snapshot_store_close(store);
            assert_int_equal(snapshot_store_open(io, NULL, "/snap", &store, text), 0);
            struct snapshot_entry entry;
            assert_int_equal(snapshot_store_list(store, &entry, 1), 0);
        } else {
            assert_int_equal(snapshot_store_commit(store, 9, 1), 0);
            memory_io_crash(m);
            snapshot_store_close(store);
            assert_int_equal(snapshot_store_open(io, NULL, "/snap", &store, text), 0);
            snapshot_store_path(store, 9, 1, path);
            assert_int_equal(snapshot_load(io, path, &meta, &membership, NULL, NULL, error), 0);
        }
        snapshot_store_close(store);
        writer_free(&file);
        writer_free(&membership);
        memory_io_free(m);
    }
}

static void test_transfer_resumes(void **state) {
    struct memory_io *leader = memory_io_new(5), *follower = memory_io_new(6);
    struct snapshot_store *from, *to;
    char text[256], path[4096], error[512];
    assert_int_equal(snapshot_store_open(memory_io_io(leader), NULL, "/snap", &from, text), 0);
    assert_int_equal(snapshot_store_open(memory_io_io(follower), NULL, "/snap", &to, text), 0);
    struct snapshot_meta meta = meta_with_members();
    struct writer file, membership;
    writer_init(&file);
    writer_init(&membership);
    build(&file, &meta, 10, 5000);
    write_temporary(leader, from, 50, 3, &file);
    assert_int_equal(snapshot_store_commit(from, 50, 3), 0);
    assert_int_equal(snapshot_store_received(to, 50, 3), 0);
    uint8_t data[97];
    uint64_t at = 0;
    for (int piece = 0;; piece++) {
        int64_t got = snapshot_store_read(from, 50, 3, at, data, sizeof data);
        assert_true(got >= 0);
        if (got == 0) break;
        assert_int_equal(snapshot_store_receive(to, 50, 3, at + 1, data, (size_t)got), -EINVAL);
        if (piece == 3) { // a full disk: then goes on where it stopped
            memory_io_capacity(follower, at + 10);
            assert_int_equal(snapshot_store_receive(to, 50, 3, at, data, (size_t)got), -ENOSPC);
            memory_io_capacity(follower, UINT64_MAX);
            assert_int_equal(snapshot_store_received(to, 50, 3), at);
        }
        if (piece == 5) { // another one in between
            assert_int_equal(snapshot_store_receive(to, 60, 3, 0, data, 10), 0);
            assert_int_equal(snapshot_store_received(to, 50, 3), at);
        }
        assert_int_equal(snapshot_store_receive(to, 50, 3, at, data, (size_t)got), 0);
        at += (uint64_t)got;
        assert_int_equal(snapshot_store_received(to, 50, 3), at);
    }
    assert_int_equal(at, file.len);
    assert_int_equal(snapshot_store_read(from, 51, 3, 0, data, 1), -ENOENT);
    snapshot_store_abandon(to, 60, 3);
    assert_int_equal(snapshot_store_received(to, 60, 3), 0);
    assert_int_equal(snapshot_store_commit(to, 50, 3), 0);
    snapshot_store_path(to, 50, 3, path);
    assert_int_equal(snapshot_load(memory_io_io(follower), path, &meta, &membership, NULL, NULL, error), 0);
    snapshot_store_close(from);
    snapshot_store_close(to);
    writer_free(&file);
    writer_free(&membership);
    memory_io_free(leader);
    memory_io_free(follower);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damage_at_every_byte),
        cmocka_unit_test(test_chunks_left_out_or_swapped),
        cmocka_unit_test(test_writer_allocates_nothing),
        cmocka_unit_test(test_sink_error_sticks),
        cmocka_unit_test(test_keeps_two),
        cmocka_unit_test(test_a_failed_second_one_leaves_the_first),
        cmocka_unit_test(test_commit_is_durable),
        cmocka_unit_test(test_transfer_resumes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
