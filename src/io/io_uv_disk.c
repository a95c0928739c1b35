// Disk jobs: one journal thread for what must become durable in order, libuv's pool for reads.
//
//   loop --todo--> journal thread --done--> loop        both ways a lock-free mailbox; the thread sleeps on a futex,
//                                                       the loop is told by its bell (io_uv.c)
// Spinning before the sleep was weighed and left out: with two cores a spinning journal thread takes the time that the
// replication loop needs to make its next batch.
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io_uv_internal.h"
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WRITE_IOV_MAX 256 // pieces in one pwritev; the kernel's own limit is 1024

// ---- the work itself, on whatever thread
static int64_t write_all(int fd, const struct iovec *iov, int count, uint64_t offset) {
    int64_t written = 0;
    size_t skip = 0; // bytes of iov[at] that are written
    for (int at = 0; at < count;) {
        struct iovec part[WRITE_IOV_MAX];
        int parts = 0;
        for (int i = at; i < count && parts < WRITE_IOV_MAX; i++) {
            size_t done = i == at ? skip : 0;
            part[parts++] =
                (struct iovec){.iov_base = (uint8_t *)iov[i].iov_base + done, .iov_len = iov[i].iov_len - done};
        }
        ssize_t n = pwritev(fd, part, parts, (off_t)(offset + (uint64_t)written));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        written += n;
        size_t left = (size_t)n + skip;
        int before = at;
        while (at < count && left >= iov[at].iov_len) left -= iov[at++].iov_len;
        if (n == 0 && at == before) return -EIO; // a device that takes nothing and says nothing
        skip = left;
    }
    return written;
}

static bool whole_sectors(uint64_t n) {
    return n % UV_DIRECT_UNIT == 0;
}

// Copies from iov[*at] + *skip on until `room` is full or iov ends.
static size_t bounce_fill(uint8_t *bounce, const struct iovec *iov, int count, int *at, size_t *skip) {
    size_t filled = 0;
    while (*at < count && filled < UV_BOUNCE_BYTES) {
        size_t len = iov[*at].iov_len - *skip;
        if (len > UV_BOUNCE_BYTES - filled) len = UV_BOUNCE_BYTES - filled;
        memcpy(bounce + filled, (const uint8_t *)iov[*at].iov_base + *skip, len);
        filled += len;
        *skip += len;
        if (*skip == iov[*at].iov_len) {
            ++*at;
            *skip = 0;
        }
    }
    return filled;
}

// Past the page cache: a write there costs the kernel a copy, a fresh page and a walk of the dirty ones, twice for a
// journal that is filled with zeros first. One copy in cached memory is less, and zeros, which are aligned, need none.
// -EINVAL, and nothing written: this file does not take it; then the page cache does.
static int64_t write_direct(int fd, uint8_t *bounce, const struct iovec *iov, int count, uint64_t offset) {
    if (count == 1 && (uintptr_t)iov[0].iov_base % UV_DIRECT_UNIT == 0) return write_all(fd, iov, count, offset);
    int64_t written = 0;
    size_t skip = 0;
    for (int at = 0; at < count;) {
        size_t filled = bounce_fill(bounce, iov, count, &at, &skip);
        struct iovec piece = {.iov_base = bounce, .iov_len = filled};
        int64_t n = filled == 0 ? 0 : write_all(fd, &piece, 1, offset + (uint64_t)written);
        if (n < 0) return n == -EINVAL && written > 0 ? -EIO : n;
        written += n;
    }
    return written;
}

static int64_t write_job(struct io_disk_job *job) {
    struct io_file *file = job->file;
    uint8_t *bounce = file->io->journal.bounce;
    uint64_t bytes = 0;
    for (int i = 0; i < job->iov_count; i++) bytes += job->iov[i].iov_len;
    if (file->direct_fd >= 0 && bounce != NULL && whole_sectors(job->offset) && whole_sectors(bytes)) {
        int64_t result = write_direct(file->direct_fd, bounce, job->iov, job->iov_count, job->offset);
        if (result != -EINVAL) return result;
    }
    return write_all(file->fd, job->iov, job->iov_count, job->offset);
}

static int sync_data(int fd, uint64_t *duration_us) {
    uint64_t begin = uv_now_us(NULL);
    int error = fdatasync(fd) != 0 ? -errno : 0; // EINTR too is a failed sync: what was dropped cannot be known
    *duration_us = uv_now_us(NULL) - begin;
    return error;
}

static int64_t read_some(const struct io_disk_job *job) {
    ENSURE(job->iov_count >= 1);
    return uv_file_read(job->file, job->iov[0].iov_base, job->iov[0].iov_len, job->offset);
}

static int64_t carry_out(struct io_disk_job *job) {
    int fd = job->file->fd;
    job->failed_sync = false;
    job->duration_us = 0;
    int64_t result = 0;
    if (job->op == IO_DISK_READ) return read_some(job);
    if (job->op == IO_DISK_WRITE || job->op == IO_DISK_WRITE_SYNC) {
        ENSURE(job->offset <= INT64_MAX);
        result = write_job(job);
        if (result < 0 || job->op == IO_DISK_WRITE) return result < 0 ? result : 0;
    }
    result = sync_data(fd, &job->duration_us);
    job->failed_sync = result < 0;
    return result;
}

// ---- completion, on the loop
static void complete(struct disk_request *request) {
    struct uv_io *io = request->io;
    struct io_disk_job *job = request->job;
    int64_t result = request->result;
    ENSURE(io->jobs > 0 && job->file->jobs > 0);
    io->jobs--;
    job->file->jobs--;
    job->impl = NULL;
    pool_give(&io->requests, request);
    if (!io->closing) job->done(job, result);
}

void disk_completed(struct uv_io *io) {
    struct mail *mail = mailbox_take(&io->journal.done);
    while (mail != NULL) {
        struct mail *next = mail->next;
        complete(CONTAINER_OF(mail, struct disk_request, mail));
        mail = next;
    }
}

// ---- the journal thread
static void futex_wait(_Atomic uint32_t *word, uint32_t while_value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void signal_thread(struct journal_thread *journal) {
    atomic_fetch_add(&journal->signal, 1);
    if (atomic_load(&journal->sleeping) != 0) futex_wake(&journal->signal);
}

// The number is read before the box is looked at, so a hand-over in between changes it and the futex does not sleep.
static struct mail *wait_for_work(struct journal_thread *journal) {
    for (;;) {
        uint32_t seen = atomic_load(&journal->signal);
        struct mail *mail = mailbox_take(&journal->todo);
        if (mail != NULL) return mail;
        if (atomic_load(&journal->quit)) return NULL;
        atomic_store(&journal->sleeping, 1);
        futex_wait(&journal->signal, seen);
        atomic_store(&journal->sleeping, 0);
    }
}

static void *journal_main(void *context) {
    struct uv_io *io = context;
    pthread_setname_np(pthread_self(), io->journal.name);
    stand_in_allow(true);
    struct mail *mail;
    while ((mail = wait_for_work(&io->journal)) != NULL) {
        while (mail != NULL) {
            struct mail *next = mail->next;
            struct disk_request *request = CONTAINER_OF(mail, struct disk_request, mail);
            request->result = carry_out(request->job);
            if (mailbox_push(&io->journal.done, mail)) bell_ring(io);
            mail = next;
        }
    }
    return NULL;
}

int disk_start(struct uv_io *io, const char *journal_thread_name) {
    struct journal_thread *journal = &io->journal;
    mailbox_init(&journal->todo);
    mailbox_init(&journal->done);
    if (journal_thread_name == NULL) return 0;
    journal->bounce = mem_zpages(UV_BOUNCE_BYTES); // page-aligned
    snprintf(journal->name, sizeof journal->name, "%s", journal_thread_name);
    sigset_t all, before; // signals are for the loops' threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&journal->thread, NULL, journal_main, io);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) return -error;
    journal->started = true;
    return 0;
}

void disk_stop(struct uv_io *io) {
    if (io->journal.started) {
        atomic_store(&io->journal.quit, true);
        signal_thread(&io->journal);
        pthread_join(io->journal.thread, NULL);
        io->journal.started = false;
    }
    mem_zpages_free(io->journal.bounce, UV_BOUNCE_BYTES);
    io->journal.bounce = NULL;
    disk_completed(io);
}

// ---- the pool
static void on_pool_work(uv_work_t *work) {
    struct disk_request *request = work->data;
    request->result = carry_out(request->job);
}

static void on_pool_done(uv_work_t *work, int status) {
    struct disk_request *request = work->data;
    if (status != 0) request->result = -ECANCELED;
    complete(request);
}

void uv_disk_submit(struct io *base, struct io_disk_job *job) {
    struct uv_io *io = uv_io_of(base);
    ENSURE(job->file != NULL && job->file->io == io);
    ENSURE(job->done != NULL);
    ENSURE(job->op != IO_DISK_WRITE_SYNC || io->journal.started); // only the journal thread keeps their order
    struct disk_request *request = pool_take(&io->requests);
    memset(request, 0, sizeof *request);
    request->io = io;
    request->job = job;
    job->impl = request;
    job->file->jobs++;
    io->jobs++;
    if (job->op != IO_DISK_READ && io->journal.started) {
        if (mailbox_push(&io->journal.todo, &request->mail)) signal_thread(&io->journal);
        return;
    }
    request->work.data = request;
    int error = uv_queue_work(&io->loop, &request->work, on_pool_work, on_pool_done);
    ENSURE(error == 0); // it only fails without a callback
}
