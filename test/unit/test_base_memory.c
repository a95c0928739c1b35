// base/alloc, arena, pool, buf and assert.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/pool.h"
#include "base/prng.h"

// Runs what must end the process in a child, and gives what it wrote to stderr. The child must have died by SIGABRT.
static void dies_saying(void (*run)(void), char *said, size_t room) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        run();
        _exit(0);
    }
    close(ends[1]);
    size_t len = 0;
    ssize_t got;
    while ((got = read(ends[0], said + len, room - 1 - len)) > 0) len += (size_t)got;
    said[len] = 0;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void break_invariant(void) {
    ENSURE(1 + 1 == 3);
}
static void ask_for_too_much(void) {
    mem_zpages(SIZE_MAX / 2);
}
static void remove_too_often(void) {
    struct buf *b = buf_new(4);
    b->refs = 0;
    buf_unref(b);
}

static void broken_invariant_says_where(void **state) {
    char said[4096];
    dies_saying(break_invariant, said, sizeof said);
    assert_non_null(strstr(said, "test_base_memory.c:"));
    assert_non_null(strstr(said, "break_invariant"));
    assert_non_null(strstr(said, "1 + 1 == 3"));
    ENSURE(1 + 1 == 2);
}

static void out_of_memory_says_so(void **state) {
    char said[4096];
    dies_saying(ask_for_too_much, said, sizeof said);
    assert_non_null(strstr(said, "out of memory"));
}

static void alloc_never_gives_null(void **state) {
    void *a = mem_alloc(0), *b = mem_alloc(0);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    a = mem_realloc(a, 100);
    a = mem_realloc(a, 0);
    assert_non_null(a);
    mem_free(a);
    mem_free(b);
    mem_free(NULL);
    char *copy = mem_strdup("text");
    assert_string_equal(copy, "text");
    mem_free(copy);
    uint8_t *zeros = mem_zalloc(1000);
    for (int i = 0; i < 1000; i++) assert_int_equal(zeros[i], 0);
    mem_free(zeros);
}

static void zpages_are_zero_on_both_sides_of_the_limit(void **state) {
    static const size_t sizes[] = {1, 4096, 65535, 65536, 65537, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int twice = 0; twice < 2; twice++) { // memory that was given back dirty comes zeroed again
            uint8_t *memory = mem_zpages(sizes[i]);
            for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(memory[k], 0);
            memset(memory, 0xff, sizes[i]);
            mem_zpages_free(memory, sizes[i]);
        }
    }
    mem_zpages_free(NULL, 123);
}

static void arena_gives_aligned_memory_of_its_own(void **state) {
    struct arena a;
    struct prng random;
    arena_init(&a);
    prng_seed(&random, 41);
    for (int batch = 0; batch < 30; batch++) {
        enum { PIECES = 300 };
        uint8_t *pieces[PIECES];
        size_t sizes[PIECES], sum = 0;
        for (int i = 0; i < PIECES; i++) {
            sizes[i] = prng_below(&random, 50) == 0 ? prng_below(&random, 3 << 20) : prng_below(&random, 600);
            if (batch % 3 == 0) sizes[i] %= 100; // small batches between large ones
            pieces[i] = arena_alloc(&a, sizes[i]);
            assert_int_equal((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], i & 0xff, sizes[i]);
            sum += sizes[i];
        }
        assert_true(a.used >= sum);
        for (int i = 0; i < PIECES; i++) {
            if (sizes[i] == 0) continue;
            assert_int_equal(pieces[i][0], i & 0xff);
            assert_int_equal(pieces[i][sizes[i] - 1], i & 0xff);
        }
        arena_reset(&a);
        assert_int_equal(a.used, 0);
        assert_non_null(a.block); // one block stays
    }
    struct bytes copy = arena_copy(&a, bytes_of_text("kept"));
    assert_true(bytes_equal(copy, bytes_of_text("kept")));
    assert_int_equal(arena_copy(&a, bytes_of(NULL, 0)).len, 0);
    assert_ptr_not_equal(arena_alloc(&a, 0), arena_alloc(&a, 0));
    arena_free(&a);
    arena_free(&a);
    assert_null(a.block);
}

static void arena_that_was_reset_reuses_its_block(void **state) {
    struct arena a;
    arena_init(&a);
    arena_reset(&a);
    void *first = arena_alloc(&a, 100);
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    arena_alloc(&a, 5 << 20); // larger than what is kept
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    arena_free(&a);
}

static void pool_objects_do_not_overlap(void **state) {
    enum { OBJECTS = 1000 };
    struct pool p;
    struct prng random;
    pool_init(&p, 21, 64);
    assert_int_equal(p.object_bytes, 24);
    prng_seed(&random, 43);
    uint8_t *objects[OBJECTS] = {0};
    size_t live = 0;
    for (int i = 0; i < 50000; i++) {
        size_t k = prng_below(&random, OBJECTS);
        if (objects[k] == NULL) {
            objects[k] = pool_take(&p);
            assert_int_equal((uintptr_t)objects[k] % 8, 0);
            memset(objects[k], (int)(k & 0xff), 24);
            live++;
        } else {
            for (int b = 0; b < 24; b++) assert_int_equal(objects[k][b], k & 0xff);
            pool_give(&p, objects[k]);
            objects[k] = NULL;
            live--;
        }
        assert_int_equal(p.live, live);
    }
    assert_true(p.bytes >= live * 24 && p.bytes <= (OBJECTS / 64 + 1) * (64 * 24 + 64)); // slabs are used again
    pool_free(&p);
    assert_int_equal(p.live, 0);
    assert_int_equal(p.bytes, 0);
    void *again = pool_take(&p);
    pool_give(&p, again);
    assert_ptr_equal(pool_take(&p), again);
    pool_free(&p);
}

static void buf_lives_as_long_as_its_references(void **state) {
    struct buf *b = buf_copy("bytes", 5);
    assert_int_equal(b->len, 5);
    assert_int_equal(b->refs, 1);
    assert_ptr_equal(buf_ref(b), b);
    buf_unref(b);
    assert_memory_equal(b->data, "bytes", 5); // the sanitizer would see a free
    buf_unref(b);
    buf_unref(NULL);
    buf_unref(buf_new(0));
    buf_unref(buf_copy(NULL, 0));
    char said[4096];
    dies_saying(remove_too_often, said, sizeof said);
    assert_non_null(strstr(said, "buf_unref"));
}

static void *ref_and_unref(void *context) {
    for (int i = 0; i < 50000; i++) buf_unref(buf_ref(context));
    buf_unref(context); // the reference it was given
    return NULL;
}

static void buf_counts_across_threads(void **state) {
    struct buf *b = buf_copy("shared", 6);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, buf_ref(b)), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(b->refs, 1);
    buf_unref(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_invariant_says_where),
        cmocka_unit_test(out_of_memory_says_so),
        cmocka_unit_test(alloc_never_gives_null),
        cmocka_unit_test(zpages_are_zero_on_both_sides_of_the_limit),
        cmocka_unit_test(arena_gives_aligned_memory_of_its_own),
        cmocka_unit_test(arena_that_was_reset_reuses_its_block),
        cmocka_unit_test(pool_objects_do_not_overlap),
        cmocka_unit_test(buf_lives_as_long_as_its_references),
        cmocka_unit_test(buf_counts_across_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
