// io on libuv: files, folders, disk jobs, the forked child.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/unit/support/io_fixture.h"

static char folder[128];
static const char *at(const char *name) {
    static char path[4][256];
    static int turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}
static int make_folder(void **state) {
    snprintf(folder, sizeof folder, "/tmp/parley-io-XXXXXX");
    return mkdtemp(folder) == NULL;
}
static int drop_folder(void **state) {
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

// ---- files and folders
static void files_read_write_and_tell_errors(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    const struct io_ops *ops = f.io->ops;
    struct io_file *file = NULL;
    assert_int_equal(ops->file_open(f.io, at("none"), O_RDWR, 0, &file), -ENOENT);
    assert_int_equal(ops->file_open(f.io, at("data"), O_RDWR | O_CREAT | O_EXCL, 0600, &file), 0);
    assert_int_equal(ops->file_write(file, "hello", 5, 3), 5);
    char got[16] = {'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x'};
    assert_int_equal(ops->file_read(file, got, sizeof got, 1), 7); // short at the end
    assert_memory_equal(got, "\0\0hellox", 8);
    assert_int_equal(ops->file_read(file, got, 4, 100), 0);
    assert_int_equal(ops->file_size(file), 8);
    assert_int_equal(ops->file_truncate(file, 4), 0);
    assert_int_equal(ops->file_size(file), 4);
    assert_int_equal(ops->file_sync(file), 0);
    assert_true(fcntl(io_file_fd(file), F_GETFD) & FD_CLOEXEC);
    uint64_t foreign[8] = {0};
    assert_int_equal(io_file_fd((struct io_file *)(void *)foreign), -1);
    struct io_file *other = NULL;
    assert_int_equal(ops->file_open(f.io, at("data"), O_RDWR, 0, &other), 0);
    assert_int_equal(ops->file_lock(file), 0);
    assert_int_equal(ops->file_lock(other), -EWOULDBLOCK); // in the same process too
    ops->file_close(file);
    assert_int_equal(ops->file_lock(other), 0);
    ops->file_close(other);
    assert_int_equal(ops->rename(f.io, at("data"), at("moved")), 0);
    assert_int_equal(ops->rename(f.io, at("data"), at("moved")), -ENOENT);
    assert_int_equal(ops->unlink(f.io, at("moved")), 0);
    assert_int_equal(ops->unlink(f.io, at("moved")), -ENOENT);
    assert_int_equal(ops->file_open(f.io, "/dev/full", O_RDWR, 0, &file), 0);
    assert_int_equal(ops->file_write(file, "x", 1, 0), -ENOSPC);
    ops->file_close(file);
    io_fixture_close(&f);
}

static void collect(void *context, const char *name) {
    strcat(context, name);
    strcat(context, " ");
}
static void folders(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    const struct io_ops *ops = f.io->ops;
    char names[256] = "";
    assert_int_equal(ops->mkdir(f.io, at("sub"), 0700), 0);
    assert_int_equal(ops->mkdir(f.io, at("sub"), 0700), 0); // exists: fine
    static const char *const made[] = {"b", "a10", "a2", "Z", "a1"};
    for (int i = 0; i < 5; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", at("sub"), made[i]);
        struct io_file *file;
        assert_int_equal(ops->file_open(f.io, path, O_WRONLY | O_CREAT, 0600, &file), 0);
        ops->file_close(file);
        if (i == 0) assert_int_equal(ops->mkdir(f.io, path, 0700), -EEXIST); // a file is no folder
    }
    assert_int_equal(ops->list_dir(f.io, at("sub"), collect, names), 0);
    assert_string_equal(names, "Z a1 a10 a2 b "); // by bytes, whatever the locale
    assert_int_equal(ops->list_dir(f.io, at("absent"), collect, names), -ENOENT);
    assert_int_equal(ops->sync_dir(f.io, at("sub")), 0);
    assert_int_equal(ops->sync_dir(f.io, at("absent")), -ENOENT);
    assert_true(ops->free_bytes(f.io, folder) > 0);
    assert_int_equal(ops->free_bytes(f.io, at("absent")), -ENOENT);
    io_fixture_close(&f);
}

// ---- disk jobs
struct work {
    struct io_disk_job job;
    struct iovec iov;
    int *finished, order;
    bool done;
    int64_t result;
};

static void on_done(struct io_disk_job *job, int64_t result) {
    struct work *w = job->context;
    w->result = result;
    w->done = true;
    if (w->finished != NULL) w->order = ++*w->finished;
}

static void submit(struct io_fixture *f, struct work *w, enum io_disk_op op, struct io_file *file, void *data,
                   size_t len, uint64_t offset) {
    w->iov = (struct iovec){.iov_base = data, .iov_len = len};
    w->job = (struct io_disk_job){.op = op, .file = file, .iov = &w->iov, .iov_count = 1, .offset = offset};
    w->job.done = on_done;
    w->job.context = w;
    f->io->ops->disk_submit(f->io, &w->job);
}

static void journal_writes_complete_in_order(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, "journal-test");
    struct io_file *file;
    assert_int_equal(f.io->ops->file_open(f.io, at("journal"), O_RDWR | O_CREAT, 0600, &file), 0);
    static struct work w[200];
    memset(w, 0, sizeof w);
    static char bytes[200];
    int finished = 0;
    for (int i = 0; i < 200; i++) {
        bytes[i] = (char)('a' + i % 26);
        w[i].finished = &finished;
        enum io_disk_op op = i % 10 == 9 ? IO_DISK_SYNC : i % 3 == 0 ? IO_DISK_WRITE : IO_DISK_WRITE_SYNC;
        submit(&f, &w[i], op, file, &bytes[i], 1, (uint64_t)(i / 2)); // pairs overwrite each other
        assert_false(w[i].done);
    }
    assert_true(run_until_count(&f, &finished, 200));
    for (int i = 0; i < 200; i++) {
        assert_int_equal(w[i].result, 0);
        assert_int_equal(w[i].order, i + 1);
        assert_false(w[i].job.failed_sync);
        assert_null(w[i].job.impl);
    }
    char got[101] = {0};
    assert_int_equal(f.io->ops->file_read(file, got, 101, 0), 100);
    for (int i = 0; i < 100; i++) assert_int_equal(got[i], bytes[i * 2 + 1 - (i % 5 == 4)]); // each tenth only synced
    f.io->ops->file_close(file);
    io_fixture_close(&f);
}

static void reads_run_in_the_pool(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, NULL);
    struct io_file *file;
    assert_int_equal(f.io->ops->file_open(f.io, at("read"), O_RDWR | O_CREAT, 0600, &file), 0);
    struct work write = {0}, read = {0}, end = {0}, sync = {0};
    char got[10] = "..........";
    submit(&f, &write, IO_DISK_WRITE, file, (char[]){"0123456789"}, 10, 0); // without a journal thread: in the pool
    assert_true(run_until_set(&f, &write.done));
    assert_int_equal(write.result, 0);
    submit(&f, &read, IO_DISK_READ, file, got, 4, 3);
    submit(&f, &end, IO_DISK_READ, file, got + 4, 6, 8);
    submit(&f, &sync, IO_DISK_SYNC, file, NULL, 0, 0);
    assert_true(run_until_set(&f, &read.done));
    assert_true(run_until_set(&f, &end.done));
    assert_true(run_until_set(&f, &sync.done));
    assert_int_equal(read.result, 4);
    assert_int_equal(end.result, 2);
    assert_int_equal(sync.result, 0);
    assert_memory_equal(got, "345689....", 10);
    f.io->ops->file_close(file);
    io_fixture_close(&f);
}

// A file that was opened with O_DIRECT: whole sectors from any memory, larger than the bounce buffer, beside writes
// that are no whole sectors (these go through the page cache); the reader sees one file.
static void direct_writes_and_others_are_one_file(void **state) {
    enum { BYTES = (2 << 20) + 1536, PIECE = 4999 };
    struct io_fixture f;
    io_fixture_open(&f, "journal-test");
    const struct io_ops *ops = f.io->ops;
    struct io_file *file;
    assert_int_equal(ops->file_open(f.io, at("direct"), O_RDWR | O_CREAT | O_DIRECT, 0600, &file), 0);
    uint8_t *bytes = malloc(BYTES + 1), *got = malloc(BYTES + 1);
    for (size_t i = 0; i < BYTES + 1; i++) bytes[i] = (uint8_t)(i * 7 + i / 300);
    static struct iovec iov[BYTES / PIECE + 2];
    int pieces = 0;
    for (size_t from = 0; from < BYTES; from += PIECE)
        iov[pieces++] =
            (struct iovec){.iov_base = bytes + 1 + from, .iov_len = BYTES - from < PIECE ? BYTES - from : PIECE};
    struct work scattered = {0}, odd = {0}, sector = {0};
    scattered.job = (struct io_disk_job){.op = IO_DISK_WRITE_SYNC, .file = file, .iov = iov, .iov_count = pieces};
    scattered.job.offset = 512;
    scattered.job.done = on_done;
    scattered.job.context = &scattered;
    ops->disk_submit(f.io, &scattered.job);
    assert_true(run_until_set(&f, &scattered.done));
    assert_int_equal(scattered.result, 0);
    submit(&f, &odd, IO_DISK_WRITE_SYNC, file, "odd", 3, 1000);
    assert_true(run_until_set(&f, &odd.done));
    submit(&f, &sector, IO_DISK_WRITE, file, bytes + 1, 512, 0);
    assert_true(run_until_set(&f, &sector.done));
    assert_int_equal(odd.result, 0);
    assert_int_equal(sector.result, 0);
    assert_int_equal(ops->file_size(file), BYTES + 512);
    assert_int_equal(ops->file_read(file, got, BYTES, 512), BYTES);
    assert_memory_equal(got + 1000 - 512, "odd", 3);
    memcpy(got + 1000 - 512, bytes + 1 + 1000 - 512, 3);
    assert_memory_equal(got, bytes + 1, BYTES);
    assert_int_equal(ops->file_read(file, got, 512, 0), 512);
    assert_memory_equal(got, bytes + 1, 512);
    free(bytes);
    free(got);
    ops->file_close(file);
    io_fixture_close(&f);
}

// More pieces than one pwritev takes, empty ones among them.
static void a_write_of_3000_pieces(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, "journal-test");
    struct io_file *file;
    assert_int_equal(f.io->ops->file_open(f.io, at("pieces"), O_RDWR | O_CREAT, 0600, &file), 0);
    static struct iovec iov[3000];
    static char bytes[3000 * 8];
    size_t total = 0;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 13 + i / 256);
    for (size_t i = 0; i < 3000; i++) {
        iov[i] = (struct iovec){.iov_base = bytes + total, .iov_len = i % 9};
        if (i % 9 > 8) iov[i].iov_len = 8;
        total += iov[i].iov_len;
    }
    struct work w = {0};
    w.job = (struct io_disk_job){.op = IO_DISK_WRITE_SYNC, .file = file, .iov = iov, .iov_count = 3000, .offset = 512};
    w.job.done = on_done;
    w.job.context = &w;
    f.io->ops->disk_submit(f.io, &w.job);
    assert_true(run_until_set(&f, &w.done));
    assert_int_equal(w.result, 0);
    assert_int_equal(f.io->ops->file_size(file), 512 + total);
    static char got[sizeof bytes];
    assert_int_equal(f.io->ops->file_read(file, got, sizeof got, 512), total);
    assert_memory_equal(got, bytes, total);
    f.io->ops->file_close(file);
    io_fixture_close(&f);
}

static void a_full_disk_and_a_failed_sync_are_told_apart(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, "journal-test");
    struct io_file *full, *unsyncable;
    struct work a = {0}, b = {0}, c = {0};
    assert_int_equal(f.io->ops->file_open(f.io, "/dev/full", O_RDWR, 0, &full), 0);
    assert_int_equal(f.io->ops->file_open(f.io, "/dev/null", O_RDWR, 0, &unsyncable),
                     0); // takes bytes, refuses fdatasync
    submit(&f, &a, IO_DISK_WRITE_SYNC, full, (char[]){"x"}, 1, 0);
    submit(&f, &b, IO_DISK_WRITE_SYNC, unsyncable, (char[]){"x"}, 1, 0);
    submit(&f, &c, IO_DISK_WRITE, full, (char[]){"x"}, 1, 0);
    assert_true(run_until_set(&f, &c.done));
    assert_true(a.done && b.done);
    assert_int_equal(a.result, -ENOSPC);
    assert_false(a.job.failed_sync);
    assert_int_equal(b.result, -EINVAL);
    assert_true(b.job.failed_sync);
    assert_int_equal(c.result, -ENOSPC);
    f.io->ops->file_close(full);
    f.io->ops->file_close(unsyncable);
    io_fixture_close(&f);
}

// A real file system that fills up in the middle of a write: part of it was taken, the error is still "full".
static void a_disk_that_fills_up_inside_a_write(void **state) {
    char command[300];
    assert_int_equal(mkdir(at("small"), 0700), 0);
    snprintf(command, sizeof command, "mount -t tmpfs -o size=64k none '%s' 2>/dev/null", at("small"));
    if (system(command) != 0) skip(); // not root
    struct io_fixture f;
    io_fixture_open(&f, "journal-test");
    struct io_file *file;
    assert_int_equal(f.io->ops->file_open(f.io, at("small/journal"), O_RDWR | O_CREAT, 0600, &file), 0);
    static char bytes[100000];
    struct work over = {0}, fits = {0};
    submit(&f, &over, IO_DISK_WRITE_SYNC, file, bytes, sizeof bytes, 0);
    assert_true(run_until_set(&f, &over.done));
    assert_int_equal(over.result, -ENOSPC);
    assert_false(over.job.failed_sync);
    assert_int_equal(f.io->ops->file_truncate(file, 0), 0);
    submit(&f, &fits, IO_DISK_WRITE_SYNC, file, bytes, 4096, 0); // room again: works again
    assert_true(run_until_set(&f, &fits.done));
    assert_int_equal(fits.result, 0);
    f.io->ops->file_close(file);
    io_fixture_close(&f);
    snprintf(command, sizeof command, "umount '%s'", at("small"));
    assert_int_equal(system(command), 0);
}

static void what_was_handed_over_is_written_before_the_loop_is_freed(void **state) {
    struct io_fixture f;
    io_fixture_open(&f, "journal-test");
    struct io_file *file;
    assert_int_equal(f.io->ops->file_open(f.io, at("last"), O_RDWR | O_CREAT, 0600, &file), 0);
    struct work w[20] = {0};
    char x = 'x';
    for (int i = 0; i < 20; i++) submit(&f, &w[i], IO_DISK_WRITE_SYNC, file, &x, 1, (uint64_t)i);
    io_fixture_close(&f);
    struct stat status;
    assert_int_equal(stat(at("last"), &status), 0);
    assert_int_equal(status.st_size, 20);
    for (int i = 0; i < 20; i++) assert_false(w[i].done); // nobody is called any more
    f = (struct io_fixture){0};
    io_fixture_open(&f, NULL);
    f.io->ops->file_close(file);
    io_fixture_close(&f);
}

// ---- the child
struct offspring {
    struct io_child child;
    bool ended;
    int status;
};
static void on_exited(struct io_child *child, int status) {
    struct offspring *o = child->context;
    o->ended = true;
    o->status = status;
}
static void bear(struct io_fixture *f, struct offspring *o, const char *path, int (*save)(void *, io_append_fn, void *),
                 void *context) {
    *o = (struct offspring){.child = {.exited = on_exited, .context = o, .path = path}};
    assert_int_equal(f->io->ops->fork(f->io, &o->child, save, context), 0);
    assert_false(o->ended);
}

struct image {
    int other;
    char text[32];
};
// In the child: reports through its exit code, and into its file.
static int write_image(void *context, io_append_fn append, void *out) {
    struct image *image = context;
    int open_fds = 0;
    for (int fd = 3; fd < 1000; fd++) open_fds += fcntl(fd, F_GETFD) != -1;
    if (open_fds != 1) return -3; // its own file's
    int signal = 0;
    if (prctl(PR_GET_PDEATHSIG, &signal) != 0 || signal != SIGKILL) return -4;
    char score[16] = {0};
    int fd = open("/proc/self/oom_score_adj", O_RDONLY);
    if (read(fd, score, sizeof score - 1) < 1 || strcmp(score, "1000\n") != 0) return -5;
    close(fd);
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    if (sigismember(&blocked, SIGTERM)) return -6;
    int error = append(out, image->text, 4);
    return error != 0 ? error : append(out, image->text + 4, strlen(image->text) - 4);
}
static int end_with_7(void *context, io_append_fn append, void *out) {
    return -7;
}
static int wait_for_ever(void *context, io_append_fn append, void *out) {
    while (pause() != 0) continue;
    return 0;
}

static void a_child_writes_the_image_of_the_moment(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct offspring o;
    io_fixture_open(&f, "journal-test");
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", NULL, 1), 0);
    struct image image = {.other = dup(1), .text = "as it was"};
    bear(&f, &o, at("image"), write_image, &image);
    strcpy(image.text, "changed meanwhile"); // in the parent only
    assert_true(run_until_set(&f, &o.ended));
    assert_int_equal(o.status, 0);
    assert_null(o.child.impl);
    char got[32] = {0};
    struct io_file *file;
    assert_int_equal(f.io->ops->file_open(f.io, at("image"), O_RDONLY, 0, &file), 0);
    assert_int_equal(f.io->ops->file_read(file, got, sizeof got, 0), 9);
    assert_string_equal(got, "as it was");
    assert_int_not_equal(fcntl(image.other, F_GETFD), -1); // the parent's stay open
    close(image.other);
    f.io->ops->file_close(file);
    acceptor_close(&a);
    io_fixture_close(&f);
}

static void a_childs_end_is_told(void **state) {
    struct io_fixture f;
    struct offspring o;
    io_fixture_open(&f, NULL);
    bear(&f, &o, at("ends"), end_with_7, NULL);
    assert_true(run_until_set(&f, &o.ended));
    assert_int_equal(o.status, 7);
    bear(&f, &o, at("no/such/folder"), wait_for_ever, NULL);
    assert_true(run_until_set(&f, &o.ended));
    assert_int_equal(o.status, ENOENT);
    bear(&f, &o, at("waits"), wait_for_ever, NULL);
    run_turns(&f, 3);
    assert_false(o.ended);
    f.io->ops->child_kill(&o.child);
    assert_true(run_until_set(&f, &o.ended));
    assert_int_equal(o.status, -SIGKILL);
    f.io->ops->child_kill(&o.child); // it is gone: nothing
    // One that still runs when the loop is freed is killed and collected.
    bear(&f, &o, at("waits"), wait_for_ever, NULL);
    io_fixture_close(&f);
    assert_false(o.ended);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

// Without a descriptor for the pidfd (or on an old kernel) its end is asked for by a timer.
static void a_childs_end_is_told_without_a_pidfd(void **state) {
    struct io_fixture f;
    struct offspring o;
    io_fixture_open(&f, NULL);
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    int probe = dup(0);
    close(probe);
    low = before;
    low.rlim_cur = (rlim_t)probe;
    setrlimit(RLIMIT_NOFILE, &low);
    bear(&f, &o, at("ends"), end_with_7, NULL);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(run_until_set(&f, &o.ended));
    assert_int_equal(o.status, 7);
    io_fixture_close(&f);
}

// The parent is killed: its child must not live on. A process between us and them plays the parent.
static int tell_and_wait(void *context, io_append_fn append, void *out) {
    if (append(out, "c", 1) != 0) return -1;
    while (pause() != 0) continue;
    return 0;
}
static void a_child_dies_with_its_parent(void **state) {
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    pid_t middle = fork();
    if (middle == 0) {
        struct io_fixture f;
        struct offspring o;
        io_fixture_open(&f, NULL);
        bear(&f, &o, at("fifo"), tell_and_wait, NULL);
        run_until_set(&f, &o.ended);
        _exit(0);
    }
    int fifo = open(at("fifo"), O_RDONLY);
    char c = 0;
    assert_int_equal(read(fifo, &c, 1), 1); // the child lives
    struct pollfd end = {.fd = fifo, .events = POLLIN};
    assert_int_equal(poll(&end, 1, 0), 0);
    kill(middle, SIGKILL);
    waitpid(middle, NULL, 0);
    assert_int_equal(poll(&end, 1, 10000), 1); // the last writer is gone
    assert_int_equal(read(fifo, &c, 1), 0);
    close(fifo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_read_write_and_tell_errors),
        cmocka_unit_test(folders),
        cmocka_unit_test(journal_writes_complete_in_order),
        cmocka_unit_test(reads_run_in_the_pool),
        cmocka_unit_test(direct_writes_and_others_are_one_file),
        cmocka_unit_test(a_write_of_3000_pieces),
        cmocka_unit_test(a_full_disk_and_a_failed_sync_are_told_apart),
        cmocka_unit_test(a_disk_that_fills_up_inside_a_write),
        cmocka_unit_test(what_was_handed_over_is_written_before_the_loop_is_freed),
        cmocka_unit_test(a_child_writes_the_image_of_the_moment),
        cmocka_unit_test(a_childs_end_is_told),
        cmocka_unit_test(a_childs_end_is_told_without_a_pidfd),
        cmocka_unit_test(a_child_dies_with_its_parent),
    };
    int failed = cmocka_run_group_tests(tests, make_folder, drop_folder);
    io_fixture_shared_turns = true; // all of it holds for such a loop too
    return failed + cmocka_run_group_tests(tests, make_folder, drop_folder);
}
