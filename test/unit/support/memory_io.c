#include "test/unit/support/memory_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"

#define SECTOR 512u

struct inode {
    uint8_t *data, *durable; // both `capacity` bytes, zero behind their lengths
    uint8_t *dirty;          // a byte for each sector
    size_t len, durable_len, capacity;
    size_t dirty_low, dirty_high; // sectors outside are clean
    bool folder, locked;
    int links; // names, names of the durable folder, pending changes, open files
};

struct name {
    char path[256];
    struct inode *inode;
};
struct names {
    struct name *at;
    size_t count, capacity;
};
struct change { // of a folder, not synced
    enum { CHANGE_CREATE, CHANGE_UNLINK, CHANGE_RENAME } kind;
    char path[256], from[256];
    struct inode *inode;
};

struct io_file {
    struct memory_io *m;
    struct inode *inode;
    char path[256];
    bool locks;
    struct list link;
};

struct timer_link {
    struct io_timer *timer;
    uint64_t at, order;
    struct list link;
};

struct memory_io {
    struct io io;
    struct prng prng;
    uint64_t now_us, timer_order;
    struct names names, durable;
    struct change *changes;
    size_t change_count, change_capacity;
    struct list files, timers;
    struct io_disk_job **jobs;
    size_t job_count, job_capacity;
    uint64_t capacity, break_write;
    int fail_sync, fail_write;
    struct memory_write *writes;
    size_t write_count, write_capacity;
};

static void *grow(void *array, size_t *capacity, size_t count, size_t element) {
    if (count < *capacity) return array;
    *capacity = *capacity ? *capacity * 2 : 16;
    return mem_realloc(array, *capacity * element);
}

static void inode_unlink(struct inode *inode) {
    if (--inode->links > 0) return;
    mem_free(inode->data);
    mem_free(inode->durable);
    mem_free(inode->dirty);
    mem_free(inode);
}

static struct inode *inode_new(bool folder) {
    struct inode *inode = mem_zalloc(sizeof *inode);
    inode->folder = folder;
    return inode;
}

static void inode_room(struct inode *inode, size_t len) {
    if (len <= inode->capacity) return;
    size_t capacity = inode->capacity ? inode->capacity : 4096;
    while (capacity < len) capacity *= 2;
    inode->data = mem_realloc(inode->data, capacity);
    inode->durable = mem_realloc(inode->durable, capacity);
    inode->dirty = mem_realloc(inode->dirty, capacity / SECTOR);
    memset(inode->data + inode->capacity, 0, capacity - inode->capacity);
    memset(inode->durable + inode->capacity, 0, capacity - inode->capacity);
    memset(inode->dirty + inode->capacity / SECTOR, 0, (capacity - inode->capacity) / SECTOR);
    inode->capacity = capacity;
}

static void inode_mark(struct inode *inode, size_t first, size_t last) {
    memset(inode->dirty + first, 1, last - first + 1);
    if (inode->dirty_low == inode->dirty_high) inode->dirty_low = inode->dirty_high = first;
    if (first < inode->dirty_low) inode->dirty_low = first;
    if (last + 1 > inode->dirty_high) inode->dirty_high = last + 1;
}

static void inode_write(struct inode *inode, uint64_t offset, const void *data, size_t len) {
    if (len == 0) return;
    inode_room(inode, (size_t)offset + len);
    memcpy(inode->data + offset, data, len);
    inode_mark(inode, (size_t)offset / SECTOR, ((size_t)offset + len - 1) / SECTOR);
    if (offset + len > inode->len) inode->len = (size_t)offset + len;
}

static void inode_sync(struct inode *inode) {
    for (size_t s = inode->dirty_low; s < inode->dirty_high; s++) {
        if (!inode->dirty[s]) continue;
        memcpy(inode->durable + s * SECTOR, inode->data + s * SECTOR, SECTOR);
        inode->dirty[s] = 0;
    }
    inode->dirty_low = inode->dirty_high = 0;
    inode->durable_len = inode->len;
}

static void inode_truncate(struct inode *inode, size_t len) {
    inode_room(inode, len);
    if (len < inode->len) {
        memset(inode->data + len, 0, inode->len - len);
        inode_mark(inode, len / SECTOR, (inode->len - 1) / SECTOR);
    }
    inode->len = len;
}

// ---- names

static struct name *names_find(const struct names *n, const char *path) {
    for (size_t i = 0; i < n->count; i++) {
        if (strcmp(n->at[i].path, path) == 0) return &n->at[i];
    }
    return NULL;
}

static void names_remove(struct names *n, const char *path) {
    struct name *name = names_find(n, path);
    if (!name) return;
    inode_unlink(name->inode);
    *name = n->at[--n->count];
}

static void names_set(struct names *n, const char *path, struct inode *inode) {
    inode->links++;
    names_remove(n, path);
    n->at = grow(n->at, &n->capacity, n->count, sizeof *n->at);
    snprintf(n->at[n->count].path, sizeof n->at[n->count].path, "%s", path);
    n->at[n->count++].inode = inode;
}

static void add_change(struct memory_io *m, int kind, const char *path, const char *from, struct inode *inode) {
    m->changes = grow(m->changes, &m->change_capacity, m->change_count, sizeof *m->changes);
    struct change *c = &m->changes[m->change_count++];
    memset(c, 0, sizeof *c);
    c->kind = (__typeof__(c->kind))kind;
    snprintf(c->path, sizeof c->path, "%s", path);
    snprintf(c->from, sizeof c->from, "%s", from ? from : "");
    c->inode = inode;
    inode->links++;
}

static void apply_change(struct memory_io *m, struct change *c) {
    if (c->kind == CHANGE_CREATE) names_set(&m->durable, c->path, c->inode);
    if (c->kind == CHANGE_UNLINK) names_remove(&m->durable, c->path);
    if (c->kind == CHANGE_RENAME) {
        names_set(&m->durable, c->path, c->inode);
        names_remove(&m->durable, c->from);
    }
}

static bool in_folder(const char *path, const char *folder) {
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && path[len] == '/' && strchr(path + len + 1, '/') == NULL;
}

static void sync_folder(struct memory_io *m, const char *folder) {
    size_t kept = 0;
    for (size_t i = 0; i < m->change_count; i++) {
        struct change c = m->changes[i];
        if (in_folder(c.path, folder)) {
            apply_change(m, &c);
            inode_unlink(c.inode);
        } else {
            m->changes[kept++] = c;
        }
    }
    m->change_count = kept;
}

// ---- io: clock, timers, random

static struct memory_io *of(struct io *io) {
    return CONTAINER_OF(io, struct memory_io, io);
}
static uint64_t now_us(struct io *io) {
    return of(io)->now_us;
}
static int64_t unix_ms(struct io *io) {
    return 1700000000000 + (int64_t)(of(io)->now_us / 1000);
}
static void random_bytes(struct io *io, void *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) ((uint8_t *)bytes)[i] = (uint8_t)prng_next(&of(io)->prng);
}

static void timer_stop(struct io *io, struct io_timer *timer) {
    struct timer_link *t = timer->impl;
    if (!t) return;
    list_remove(&t->link);
    mem_free(t);
    timer->impl = NULL;
}

static void timer_start(struct io *io, struct io_timer *timer, uint64_t delay_us) {
    struct memory_io *m = of(io);
    timer_stop(io, timer);
    struct timer_link *t = mem_alloc(sizeof *t);
    *t = (struct timer_link){.timer = timer, .at = m->now_us + delay_us, .order = m->timer_order++};
    timer->impl = t;
    list_push_back(&m->timers, &t->link);
}

// ---- files

static uint64_t used(const struct memory_io *m) {
    uint64_t sum = 0;
    for (size_t i = 0; i < m->names.count; i++) sum += m->names.at[i].inode->len;
    return sum;
}

static int file_open(struct io *io, const char *path, int flags, unsigned mode, struct io_file **file) {
    struct memory_io *m = of(io);
    struct name *name = names_find(&m->names, path);
    if (name && (flags & O_CREAT) && (flags & O_EXCL)) return -EEXIST;
    if (name && (flags & O_DIRECTORY) && !name->inode->folder) return -ENOTDIR;
    struct inode *inode = name ? name->inode : NULL;
    if (!inode) {
        if (!(flags & O_CREAT)) return -ENOENT;
        inode = inode_new(false);
        names_set(&m->names, path, inode);
        add_change(m, CHANGE_CREATE, path, NULL, inode);
    } else if (flags & O_TRUNC) {
        inode_truncate(inode, 0);
    }
    struct io_file *f = mem_zalloc(sizeof *f);
    f->m = m;
    f->inode = inode;
    inode->links++;
    snprintf(f->path, sizeof f->path, "%s", path);
    list_push_back(&m->files, &f->link);
    *file = f;
    return 0;
}

static void file_close(struct io_file *file) {
    if (file->locks) file->inode->locked = false;
    inode_unlink(file->inode);
    list_remove(&file->link);
    mem_free(file);
}

static int64_t file_read(struct io_file *file, void *data, size_t len, uint64_t offset) {
    if (offset >= file->inode->len) return 0;
    if (len > file->inode->len - offset) len = (size_t)(file->inode->len - offset);
    memcpy(data, file->inode->data + offset, len);
    return (int64_t)len;
}

// Writes as much as there is room for. The bytes written.
static size_t write_room(struct io_file *file, const void *data, size_t len, uint64_t offset) {
    struct memory_io *m = file->m;
    uint64_t end = offset + len;
    if (end > file->inode->len && m->capacity != UINT64_MAX) {
        uint64_t sum = used(m), more = end - file->inode->len;
        uint64_t room = m->capacity > sum ? m->capacity - sum : 0;
        if (more > room) {
            uint64_t least = file->inode->len + room;
            len = least > offset ? (size_t)(least - offset) : 0;
        }
    }
    inode_write(file->inode, offset, data, len);
    return len;
}

static int64_t file_write(struct io_file *file, const void *data, size_t len, uint64_t offset) {
    return write_room(file, data, len, offset) == len ? (int64_t)len : -ENOSPC;
}

static int take_fault(int *fault) {
    int error = *fault;
    *fault = 0;
    return error;
}

static int file_sync(struct io_file *file) {
    int error = take_fault(&file->m->fail_sync);
    if (error) return error;
    if (file->inode->folder)
        sync_folder(file->m, file->path);
    else
        inode_sync(file->inode);
    return 0;
}

static int file_truncate(struct io_file *file, uint64_t len) {
    inode_truncate(file->inode, (size_t)len);
    return 0;
}

static int64_t file_size(struct io_file *file) {
    return (int64_t)file->inode->len;
}

static int file_lock(struct io_file *file) {
    if (file->inode->locked) return -EWOULDBLOCK;
    file->inode->locked = file->locks = true;
    return 0;
}

static int do_rename(struct io *io, const char *from, const char *to) {
    struct memory_io *m = of(io);
    struct name *name = names_find(&m->names, from);
    if (!name) return -ENOENT;
    struct inode *inode = name->inode;
    names_set(&m->names, to, inode);
    names_remove(&m->names, from);
    add_change(m, CHANGE_RENAME, to, from, inode);
    return 0;
}

static int do_unlink(struct io *io, const char *path) {
    struct memory_io *m = of(io);
    struct name *name = names_find(&m->names, path);
    if (!name) return -ENOENT;
    add_change(m, CHANGE_UNLINK, path, NULL, name->inode);
    names_remove(&m->names, path);
    return 0;
}

static int do_mkdir(struct io *io, const char *path, unsigned mode) {
    struct memory_io *m = of(io);
    struct name *name = names_find(&m->names, path);
    if (name) return name->inode->folder ? 0 : -EEXIST;
    struct inode *inode = inode_new(true);
    names_set(&m->names, path, inode);
    names_set(&m->durable, path, inode);
    return 0;
}

static int sync_dir(struct io *io, const char *path) {
    int error = take_fault(&of(io)->fail_sync);
    if (error) return error;
    sync_folder(of(io), path);
    return 0;
}

static int list_dir(struct io *io, const char *path, void (*entry)(void *context, const char *name), void *context) {
    struct memory_io *m = of(io);
    if (!names_find(&m->names, path)) return -ENOENT;
    char last[256] = "";
    for (;;) { // the next name in order
        const struct name *best = NULL;
        for (size_t i = 0; i < m->names.count; i++) {
            const struct name *n = &m->names.at[i];
            if (in_folder(n->path, path) && strcmp(n->path, last) > 0 && (!best || strcmp(n->path, best->path) < 0))
                best = n;
        }
        if (!best) return 0;
        snprintf(last, sizeof last, "%s", best->path);
        entry(context, last + strlen(path) + 1);
    }
}

static int64_t free_bytes(struct io *io, const char *path) {
    const struct memory_io *m = of(io);
    return m->capacity == UINT64_MAX ? INT64_MAX : (int64_t)(m->capacity - used(m));
}

// ---- jobs

static void disk_submit(struct io *io, struct io_disk_job *job) {
    struct memory_io *m = of(io);
    m->jobs = grow(m->jobs, &m->job_capacity, m->job_count, sizeof *m->jobs);
    m->jobs[m->job_count++] = job;
}

static int64_t run_write(struct memory_io *m, struct io_disk_job *job) {
    int error = take_fault(&m->fail_write);
    if (error) return error;
    uint64_t offset = job->offset, most = UINT64_MAX;
    if (job->op == IO_DISK_WRITE_SYNC) {
        most = m->break_write;
        m->break_write = UINT64_MAX;
    }
    for (int i = 0; i < job->iov_count; i++) {
        size_t len = job->iov[i].iov_len;
        bool broken = len > most;
        if (broken) len = (size_t)most;
        if (most != UINT64_MAX) most -= len;
        if (write_room(job->file, job->iov[i].iov_base, len, offset) < len || broken) return -ENOSPC;
        offset += len;
    }
    return 0;
}

static int64_t run_job(struct memory_io *m, struct io_disk_job *job) {
    struct inode *inode = job->file->inode;
    job->failed_sync = false;
    job->duration_us = 100;
    int64_t result = 0;
    if (job->op == IO_DISK_READ) return file_read(job->file, job->iov[0].iov_base, job->iov[0].iov_len, job->offset);
    if (job->op == IO_DISK_WRITE || job->op == IO_DISK_WRITE_SYNC) result = run_write(m, job);
    if (result == 0 && job->op != IO_DISK_WRITE) {
        result = take_fault(&m->fail_sync);
        if (result) {
            job->failed_sync = true;
            return result;
        }
        if (inode->folder)
            sync_folder(m, job->file->path);
        else
            inode_sync(inode);
    }
    if (result == 0 && job->op == IO_DISK_WRITE_SYNC) {
        m->writes = grow(m->writes, &m->write_capacity, m->write_count, sizeof *m->writes);
        struct memory_write *w = &m->writes[m->write_count++];
        snprintf(w->path, sizeof w->path, "%s", job->file->path);
        w->offset = job->offset;
        w->len = 0;
        for (int i = 0; i < job->iov_count; i++) w->len += job->iov[i].iov_len;
    }
    return result;
}

bool memory_io_step(struct memory_io *m) {
    if (m->job_count == 0) return false;
    size_t at = (size_t)prng_below(&m->prng, m->job_count);
    for (size_t i = 0; i < at; i++) { // jobs of one file keep their order
        if (m->jobs[i]->file == m->jobs[at]->file) at = i;
    }
    struct io_disk_job *job = m->jobs[at];
    memmove(m->jobs + at, m->jobs + at + 1, (m->job_count - at - 1) * sizeof *m->jobs);
    m->job_count--;
    int64_t result = run_job(m, job);
    job->done(job, result);
    return true;
}

static struct timer_link *next_timer(struct memory_io *m, uint64_t until) {
    struct timer_link *best = NULL;
    for (struct list *l = m->timers.next; l != &m->timers; l = l->next) {
        struct timer_link *t = CONTAINER_OF(l, struct timer_link, link);
        if (t->at <= until && (!best || t->at < best->at || (t->at == best->at && t->order < best->order))) best = t;
    }
    return best;
}

static bool fire_timer(struct memory_io *m, uint64_t until) {
    struct timer_link *t = next_timer(m, until);
    if (!t) return false;
    if (t->at > m->now_us) m->now_us = t->at;
    struct io_timer *timer = t->timer;
    timer_stop(&m->io, timer);
    timer->fire(timer);
    return true;
}

void memory_io_run(struct memory_io *m) {
    while (memory_io_step(m) || fire_timer(m, m->now_us)) {
    }
}

void memory_io_advance(struct memory_io *m, uint64_t us) {
    uint64_t until = m->now_us + us;
    memory_io_run(m);
    while (fire_timer(m, until)) memory_io_run(m);
    m->now_us = until;
}

size_t memory_io_waiting(const struct memory_io *m) {
    return m->job_count;
}

// ---- crash

static void drop_running(struct memory_io *m) {
    while (!list_empty(&m->timers)) {
        struct timer_link *t = CONTAINER_OF(m->timers.next, struct timer_link, link);
        t->timer->impl = NULL;
        list_remove(&t->link);
        mem_free(t);
    }
    for (struct list *l = m->files.next; l != &m->files; l = l->next) {
        struct io_file *f = CONTAINER_OF(l, struct io_file, link);
        f->inode->locked = f->locks = false; // the owner still closes it, to free its memory
    }
    m->job_count = 0;
    m->break_write = UINT64_MAX;
    m->fail_sync = m->fail_write = 0;
}

static void crash_inode(struct memory_io *m, struct inode *inode) {
    size_t low = inode->durable_len < inode->len ? inode->durable_len : inode->len;
    size_t high = inode->durable_len < inode->len ? inode->len : inode->durable_len;
    size_t len = low + (size_t)prng_below(&m->prng, high - low + 1);
    if (prng_below(&m->prng, 4) == 0)
        len = inode->len; // often all or nothing
    else if (prng_below(&m->prng, 4) == 0)
        len = inode->durable_len;
    uint64_t odds = prng_below(&m->prng, 4); // 0: none, 3: all, else sector by sector
    for (size_t s = 0; s < inode->capacity / SECTOR; s++) {
        if (!inode->dirty[s]) continue;
        bool keep = odds == 3 || (odds != 0 && prng_below(&m->prng, 2) == 0);
        if (!keep) memcpy(inode->data + s * SECTOR, inode->durable + s * SECTOR, SECTOR);
    }
    if (len < inode->capacity) memset(inode->data + len, 0, inode->capacity - len);
    inode->len = inode->durable_len = len;
    if (inode->capacity) memset(inode->dirty, 0, inode->capacity / SECTOR);
    inode->dirty_low = inode->dirty_high = 0;
    if (inode->capacity) memcpy(inode->durable, inode->data, inode->capacity);
}

static void sync_everything(struct memory_io *m) {
    for (size_t i = 0; i < m->change_count; i++) {
        apply_change(m, &m->changes[i]);
        inode_unlink(m->changes[i].inode);
    }
    m->change_count = 0;
}

void memory_io_crash(struct memory_io *m) {
    for (size_t i = 0; i < m->job_count; i++) { // some had begun
        if (m->jobs[i]->op != IO_DISK_READ && m->jobs[i]->op != IO_DISK_SYNC && prng_below(&m->prng, 3) != 0)
            run_write(m, m->jobs[i]);
    }
    size_t kept = 0;
    for (size_t i = 0; i < m->change_count; i++) {
        if (prng_below(&m->prng, 2) == 0) {
            m->changes[kept++] = m->changes[i];
        } else {
            inode_unlink(m->changes[i].inode);
        }
    }
    m->change_count = kept;
    sync_everything(m);
    while (m->names.count) names_remove(&m->names, m->names.at[0].path);
    for (size_t i = 0; i < m->durable.count; i++) names_set(&m->names, m->durable.at[i].path, m->durable.at[i].inode);
    for (size_t i = 0; i < m->names.count; i++) crash_inode(m, m->names.at[i].inode);
    drop_running(m);
}

void memory_io_kill(struct memory_io *m) {
    for (size_t i = 0; i < m->job_count; i++) {
        if (m->jobs[i]->op == IO_DISK_WRITE || m->jobs[i]->op == IO_DISK_WRITE_SYNC) run_write(m, m->jobs[i]);
    }
    drop_running(m);
}

// ---- faults, looks

void memory_io_capacity(struct memory_io *m, uint64_t bytes) {
    m->capacity = bytes;
}
void memory_io_break_write(struct memory_io *m, uint64_t bytes) {
    m->break_write = bytes;
}
void memory_io_fail_sync(struct memory_io *m, int error) {
    m->fail_sync = error;
}
void memory_io_fail_write(struct memory_io *m, int error) {
    m->fail_write = error;
}

uint8_t *memory_io_data(struct memory_io *m, const char *path, size_t *len) {
    struct name *name = names_find(&m->names, path);
    if (len) *len = name ? name->inode->len : 0;
    return name ? name->inode->data : NULL;
}

void memory_io_put(struct memory_io *m, const char *path, const void *data, size_t len) {
    struct inode *inode = inode_new(false);
    names_set(&m->names, path, inode);
    names_set(&m->durable, path, inode);
    inode_write(inode, 0, data, len);
    inode_sync(inode);
}

void memory_io_cut(struct memory_io *m, const char *path, size_t len) {
    struct name *name = names_find(&m->names, path);
    ENSURE(name);
    inode_truncate(name->inode, len);
    inode_sync(name->inode);
}

void memory_io_remove(struct memory_io *m, const char *path) {
    names_remove(&m->names, path);
    names_remove(&m->durable, path);
}

size_t memory_io_count(struct memory_io *m, const char *folder, const char *ending) {
    size_t count = 0, len = strlen(ending);
    for (size_t i = 0; i < m->names.count; i++) {
        const char *path = m->names.at[i].path;
        size_t path_len = strlen(path);
        count += in_folder(path, folder) && path_len >= len && strcmp(path + path_len - len, ending) == 0;
    }
    return count;
}

size_t memory_io_open_files(const struct memory_io *m) {
    size_t count = 0;
    for (const struct list *l = m->files.next; l != &m->files; l = l->next) count++;
    return count;
}

size_t memory_io_writes(const struct memory_io *m, const struct memory_write **writes) {
    *writes = m->writes;
    return m->write_count;
}

// ---- making

static int no_fork(struct io *io, struct io_child *child, int (*save)(void *context, io_append_fn append, void *out),
                   void *context) {
    return -ENOSYS;
}

static const struct io_ops ops = {
    .now_us = now_us,
    .unix_ms = unix_ms,
    .random = random_bytes,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .file_open = file_open,
    .file_close = file_close,
    .file_read = file_read,
    .file_write = file_write,
    .file_sync = file_sync,
    .file_truncate = file_truncate,
    .file_size = file_size,
    .file_lock = file_lock,
    .rename = do_rename,
    .unlink = do_unlink,
    .mkdir = do_mkdir,
    .sync_dir = sync_dir,
    .list_dir = list_dir,
    .free_bytes = free_bytes,
    .disk_submit = disk_submit,
    .fork = no_fork,
};

struct memory_io *memory_io_new(uint64_t seed) {
    struct memory_io *m = mem_zalloc(sizeof *m);
    m->io.ops = &ops;
    prng_seed(&m->prng, seed);
    m->now_us = 1000000;
    m->capacity = m->break_write = UINT64_MAX;
    list_init(&m->files);
    list_init(&m->timers);
    return m;
}

struct memory_io *memory_io_copy(struct memory_io *m, uint64_t seed) {
    struct memory_io *copy = memory_io_new(seed);
    for (size_t i = 0; i < m->names.count; i++) {
        const struct name *n = &m->names.at[i];
        if (n->inode->folder)
            do_mkdir(&copy->io, n->path, 0);
        else
            memory_io_put(copy, n->path, n->inode->data, n->inode->len);
    }
    return copy;
}

void memory_io_free(struct memory_io *m) {
    drop_running(m);
    ENSURE(list_empty(&m->files));
    for (size_t i = 0; i < m->change_count; i++) inode_unlink(m->changes[i].inode);
    while (m->names.count) names_remove(&m->names, m->names.at[0].path);
    while (m->durable.count) names_remove(&m->durable, m->durable.at[0].path);
    mem_free(m->names.at);
    mem_free(m->durable.at);
    mem_free(m->changes);
    mem_free(m->jobs);
    mem_free(m->writes);
    mem_free(m);
}

struct io *memory_io_io(struct memory_io *m) {
    return &m->io;
}
