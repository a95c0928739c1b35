// The disk of a host. What is written stands in the page cache (`data`) until a sync copies its sectors to the medium
// (`durable`). When the power goes, each unsynced sector and each unsynced change of a folder is kept or dropped for
// itself (the idea is SQLite's test6.c); when only the process ends, the cache stays, and writes under way are done in
// part.
#include "sim/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define SECTOR 512u
#define PATH_BYTES 160u
#define GIVEN_UP 2
#define NONE_BAD SIZE_MAX

struct inode {
    uint8_t *data, *durable;                                  // both `capacity` bytes, zero behind their lengths
    uint8_t *dirty;                                           // a byte for each sector: 0, 1, GIVEN_UP
    uint64_t *synced_us;                                      // of each sector, when it was last synced; 0: never
    size_t len, durable_len, capacity, dirty_low, dirty_high; // sectors [low, high) may be dirty
    uint64_t vouched_us; // sectors synced before this are vouched for by a later synced write of this file
    uint64_t lied_us;    // a write was lost or misdirected then; 0: none
    size_t bad;          // this sector cannot be read; NONE_BAD
    bool folder, locked;
    int links; // names, durable names, pending changes, open files
};
struct name {
    char path[PATH_BYTES];
    struct inode *inode;
};
struct names {
    struct name *at;
    size_t count, capacity;
};
#define FAR_BYTES (128u << 10) // of a journal: what one reads at once at least
enum change_kind { CHANGE_CREATE, CHANGE_UNLINK, CHANGE_RENAME };
struct change { // of a folder, not synced
    enum change_kind kind;
    char path[PATH_BYTES], from[PATH_BYTES];
    struct inode *inode;
};
struct sim_disk {
    struct world *world;
    struct names names, durable;
    struct change *changes;
    size_t change_count, change_capacity;
    struct disk_faults faults;
    uint64_t busy_until_us, read_errors, full_us;
    struct { // of the journal, one piece behind the other
        const struct inode *inode;
        uint64_t offset, end, bytes, far;
    } reading;
    enum disk_lie lie;
    const struct swarm *swarm;
    void (*synced)(void *context, const uint8_t *data, size_t len);
    void *synced_context;
};
struct io_file {
    struct host *host;
    struct sim_disk *disk;
    struct inode *inode;
    char path[PATH_BYTES];
    bool locks;
};
struct sim_job {
    struct event event;
    struct ready ready;
    struct list link;
    struct sim_loop *loop;
    struct io_disk_job *job;
    uint64_t submitted_us;
    int64_t result;
    bool ran;
};

static void *grow(void *array, size_t *capacity, size_t count, size_t element) {
    if (count < *capacity) return array;
    *capacity = *capacity ? *capacity * 2 : 16;
    return mem_realloc(array, *capacity * element);
}

// ---- inodes

static void inode_unlink(struct inode *inode) {
    if (--inode->links > 0) return;
    mem_free(inode->data);
    mem_free(inode->durable);
    mem_free(inode->dirty);
    mem_free(inode->synced_us);
    mem_free(inode);
}

static void inode_room(struct inode *inode, size_t len) {
    if (len <= inode->capacity) return;
    size_t old = inode->capacity, capacity = old ? old : 4096;
    while (capacity < len) capacity *= 2;
    size_t sectors = capacity / SECTOR, before = old / SECTOR;
    inode->data = mem_realloc(inode->data, capacity);
    inode->durable = mem_realloc(inode->durable, capacity);
    inode->dirty = mem_realloc(inode->dirty, sectors);
    inode->synced_us = mem_realloc(inode->synced_us, sectors * sizeof *inode->synced_us);
    memset(inode->data + old, 0, capacity - old);
    memset(inode->durable + old, 0, capacity - old);
    memset(inode->dirty + before, 0, sectors - before);
    memset(inode->synced_us + before, 0, (sectors - before) * sizeof *inode->synced_us);
    inode->capacity = capacity;
}

static struct inode *inode_new(bool folder) {
    struct inode *inode = mem_zalloc(sizeof *inode);
    inode->folder = folder;
    inode->bad = NONE_BAD;
    return inode;
}

static void make_dirty(struct inode *inode, size_t low, size_t high) {
    memset(inode->dirty + low, 1, high - low);
    if (inode->bad >= low && inode->bad < high) inode->bad = NONE_BAD; // written anew: the disk takes another place
    if (inode->dirty_high == 0 || low < inode->dirty_low) inode->dirty_low = low;
    if (high > inode->dirty_high) inode->dirty_high = high;
}

static void inode_write(struct inode *inode, uint64_t offset, const void *data, size_t len) {
    if (len == 0) return;
    inode_room(inode, (size_t)offset + len);
    memcpy(inode->data + offset, data, len);
    make_dirty(inode, (size_t)(offset / SECTOR), (size_t)((offset + len - 1) / SECTOR) + 1);
    if (offset + len > inode->len) inode->len = (size_t)offset + len;
}

static void inode_sync(struct inode *inode, uint64_t now_us, uint64_t begun_us) {
    static const uint8_t zeros[SECTOR];
    bool given_up = false, vouches = false; // zeros vouch for nothing
    for (size_t s = inode->dirty_low; s < inode->dirty_high; s++) {
        if (inode->dirty[s] != 1) {
            given_up = given_up || inode->dirty[s] != 0;
            continue;
        }
        memcpy(inode->durable + s * SECTOR, inode->data + s * SECTOR, SECTOR);
        inode->dirty[s] = 0;
        inode->synced_us[s] = now_us;
        vouches = vouches || memcmp(inode->data + s * SECTOR, zeros, SECTOR) != 0;
    }
    if (!given_up) inode->dirty_low = inode->dirty_high = 0;
    inode->durable_len = inode->len;
    if (vouches) inode->vouched_us = begun_us;
}

static void inode_truncate(struct inode *inode, size_t len) {
    inode_room(inode, len);
    if (len < inode->len) {
        memset(inode->data + len, 0, inode->len - len);
        make_dirty(inode, len / SECTOR, (inode->len - 1) / SECTOR + 1);
    }
    inode->len = len;
}

static void clean(struct inode *inode) {
    inode->dirty_low = inode->dirty_high = 0;
    if (inode->capacity > 0) memset(inode->dirty, 0, inode->capacity / SECTOR);
}

// Power is gone: per sector, old or new.
static void inode_crash(struct world *world, struct inode *inode) {
    if (inode->folder) return;
    size_t low = inode->durable_len < inode->len ? inode->durable_len : inode->len;
    size_t high = inode->durable_len < inode->len ? inode->len : inode->durable_len;
    size_t len = low + (size_t)world_draw(world, PRNG_DISK, high - low + 1);
    uint64_t whole = world_draw(world, PRNG_DISK, 4);
    if (whole == 0) len = inode->len;
    if (whole == 1) len = inode->durable_len;
    uint64_t odds = world_draw(world, PRNG_DISK, 4); // 0: none, 3: all, else sector by sector
    for (size_t s = inode->dirty_low; s < inode->dirty_high; s++) {
        if (!inode->dirty[s]) continue;
        bool keep = inode->dirty[s] == 1 && (odds == 3 || (odds != 0 && world_draw(world, PRNG_DISK, 2) == 0));
        if (keep)
            memcpy(inode->durable + s * SECTOR, inode->data + s * SECTOR, SECTOR);
        else
            memcpy(inode->data + s * SECTOR, inode->durable + s * SECTOR, SECTOR);
    }
    clean(inode);
    if (len < inode->capacity) {
        memset(inode->data + len, 0, inode->capacity - len);
        memset(inode->durable + len, 0, inode->capacity - len);
    }
    inode->len = inode->durable_len = len;
}

// ---- names and changes

static struct name *names_find(const struct names *n, const char *path) {
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->at[i].path, path) == 0) return &n->at[i];
    return NULL;
}

static void names_remove(struct names *n, const char *path) {
    struct name *name = names_find(n, path);
    if (name == NULL) return;
    inode_unlink(name->inode);
    size_t at = (size_t)(name - n->at);
    memmove(name, name + 1,
            (n->count - at - 1) * sizeof *name); // order of making stays: draws must not depend on removals
    n->count--;
}

static void names_set(struct names *n, const char *path, struct inode *inode) {
    inode->links++;
    names_remove(n, path);
    n->at = grow(n->at, &n->capacity, n->count, sizeof *n->at);
    ENSURE(strlen(path) < PATH_BYTES);
    snprintf(n->at[n->count].path, PATH_BYTES, "%s", path);
    n->at[n->count++].inode = inode;
}

static void add_change(struct sim_disk *d, enum change_kind kind, const char *path, const char *from,
                       struct inode *inode) {
    d->changes = grow(d->changes, &d->change_capacity, d->change_count, sizeof *d->changes);
    struct change *c = &d->changes[d->change_count++];
    memset(c, 0, sizeof *c);
    c->kind = kind;
    snprintf(c->path, sizeof c->path, "%s", path);
    snprintf(c->from, sizeof c->from, "%s", from != NULL ? from : "");
    c->inode = inode;
    inode->links++;
}

static void apply_change(struct sim_disk *d, const struct change *c) {
    if (c->kind == CHANGE_CREATE) names_set(&d->durable, c->path, c->inode);
    if (c->kind == CHANGE_UNLINK) {
        const struct name *name = names_find(&d->durable, c->path);
        if (name != NULL && name->inode == c->inode) names_remove(&d->durable, c->path);
    }
    if (c->kind == CHANGE_RENAME) {
        names_set(&d->durable, c->path, c->inode);
        const struct name *name = names_find(&d->durable, c->from);
        if (name != NULL && name->inode == c->inode) names_remove(&d->durable, c->from);
    }
}

static bool in_folder(const char *path, const char *folder) {
    size_t len = strlen(folder);
    if (len == 1) len = 0; // "/"
    return strncmp(path, folder, len) == 0 && path[len] == '/' && path[len + 1] != 0 &&
           strchr(path + len + 1, '/') == NULL;
}

static void sync_folder(struct sim_disk *d, const char *folder) {
    size_t kept = 0;
    for (size_t i = 0; i < d->change_count; i++) {
        struct change c = d->changes[i];
        if (in_folder(c.path, folder)) {
            apply_change(d, &c);
            inode_unlink(c.inode);
        } else {
            d->changes[kept++] = c;
        }
    }
    d->change_count = kept;
}

// ---- time that the disk takes

static uint64_t sync_us(struct sim_disk *d, size_t bytes) {
    const struct swarm *swarm = d->swarm;
    uint64_t us = swarm == NULL ? 100 : swarm->disk_us + world_draw(d->world, PRNG_DISK, swarm->disk_jitter_us + 1);
    return (us + bytes / 500) * d->faults.slow; // 500 MB/s
}

// A call that waits for the disk: the process stands.
static void wait_sync(struct host *host, size_t bytes) {
    struct sim_disk *d = host->disk;
    uint64_t us = sync_us(d, bytes), now_us = d->world->now_us + host->spent_us;
    if (d->faults.stalled_until_us > now_us) us += d->faults.stalled_until_us - now_us;
    host->spent_us += us;
}

static int take_sync_fault(struct sim_disk *d) {
    if (!d->faults.fail_sync) return 0;
    d->faults.fail_sync = false;
    return -EIO;
}

// After a failed sync the kernel may have given pages up: what was not synced reads as old or new from now on, and no
// later sync tells.
static void lose_pages(struct world *world, struct inode *inode) {
    for (size_t s = inode->dirty_low; s < inode->dirty_high; s++) {
        if (!inode->dirty[s] || world_draw(world, PRNG_DISK, 2) == 0) continue;
        inode->dirty[s] = GIVEN_UP; // stands in the cache, but will never be written
    }
}

// ---- a disk that lies

static bool take_lie(struct sim_disk *d, struct inode *inode, uint64_t now_us) {
    if (!d->faults.lose_write && !d->faults.misdirect) return false;
    d->faults.lose_write = false;
    d->faults.lied = true;
    inode->lied_us = now_us;
    return true;
}

// This write of the journal is acknowledged, stands in the cache, and is not on the medium; or it is elsewhere.
static void lie_about(struct sim_disk *d, struct io_disk_job *job, uint64_t now_us) {
    struct inode *inode = job->file->inode;
    size_t low = (size_t)(job->offset / SECTOR), high = low;
    for (int i = 0; i < job->iov_count; i++) high += job->iov[i].iov_len / SECTOR;
    if (low < 2 || high <= low || !take_lie(d, inode, now_us)) return; // not the header's: nothing counts on it yet
    memset(inode->dirty + low, GIVEN_UP, high - low);
    if (!d->faults.misdirect) return;
    d->faults.misdirect = false;
    size_t to = 1 + (size_t)world_draw(d->world, PRNG_DISK, low - 1);
    size_t count = high - low < low - to ? high - low : low - to;
    memcpy(inode->durable + to * SECTOR, inode->data + low * SECTOR, count * SECTOR);
}

static void judge_lies(struct sim_disk *d) {
    for (size_t i = 0; i < d->names.count; i++) {
        struct inode *inode = d->names.at[i].inode;
        if (inode->lied_us == 0) continue;
        bool vouched = strstr(d->names.at[i].path, "/snapshots/") != NULL || inode->vouched_us > inode->lied_us;
        if (d->lie != DISK_LIE_TAIL) d->lie = vouched ? DISK_LIE_VOUCHED : DISK_LIE_TAIL;
        inode->lied_us = 0;
    }
    d->faults.lied = false;
}

enum disk_lie disk_lie(const struct sim_disk *disk) {
    return disk->lie;
}

// ---- calls

static struct sim_disk *disk_of(struct io *io) {
    return loop_of(io)->host->disk;
}

static uint64_t used(const struct sim_disk *d) {
    uint64_t sum = 0;
    for (size_t i = 0; i < d->names.count; i++) sum += d->names.at[i].inode->len;
    return sum;
}

int sim_file_open(struct io *io, const char *path, int flags, unsigned mode, struct io_file **file) {
    struct host *host = loop_of(io)->host;
    struct sim_disk *d = host->disk;
    ENSURE(d != NULL);
    struct name *name = names_find(&d->names, path);
    if (name != NULL && (flags & O_CREAT) && (flags & O_EXCL)) return -EEXIST;
    if (name != NULL && (flags & O_DIRECTORY) && !name->inode->folder) return -ENOTDIR;
    struct inode *inode = name != NULL ? name->inode : NULL;
    if (inode == NULL) {
        if (!(flags & O_CREAT)) return -ENOENT;
        if (host->dead) return -EIO;
        inode = inode_new(false);
        names_set(&d->names, path, inode);
        add_change(d, CHANGE_CREATE, path, NULL, inode);
    } else if ((flags & O_TRUNC) && !host->dead) {
        inode_truncate(inode, 0);
    }
    struct io_file *f = mem_zalloc(sizeof *f);
    f->host = host;
    f->disk = d;
    f->inode = inode;
    inode->links++;
    snprintf(f->path, sizeof f->path, "%s", path);
    *file = f;
    return 0;
}

void sim_file_close(struct io_file *file) {
    if (file->locks) file->inode->locked = false;
    inode_unlink(file->inode);
    mem_free(file);
}

static bool of_log(const char *path, const char *part) {
    return (strstr(path, "/journal/") != NULL || strstr(path, "/snapshots/") != NULL) && strstr(path, part) != NULL;
}

static bool holds_synced(const struct inode *inode, size_t s) { // something, on the medium
    if (inode->dirty[s] || inode->synced_us[s] == 0 || s * SECTOR >= inode->durable_len) return false;
    for (size_t i = 0; i < SECTOR; i++)
        if (inode->durable[s * SECTOR + i] != 0) return true;
    return false;
}

// One of the synced sectors that hold something, in [offset, offset + len), cannot be read from now on.
static void take_read_fault(struct sim_disk *d, struct inode *inode, uint64_t offset, size_t len) {
    size_t low = (size_t)(offset / SECTOR), high = (size_t)((offset + len) / SECTOR), fit = 0;
    for (size_t s = low; s < high; s++) fit += holds_synced(inode, s);
    if (fit == 0) return;
    d->faults.fail_read = false;
    size_t chosen = (size_t)world_draw(d->world, PRNG_DISK, fit);
    for (size_t s = low; s < high; s++)
        if (holds_synced(inode, s) && chosen-- == 0) inode->bad = s;
}

int64_t sim_file_read(struct io_file *file, void *data, size_t len, uint64_t offset) {
    if (offset >= file->inode->len) return 0;
    if (len > file->inode->len - offset) len = (size_t)(file->inode->len - offset);
    if (file->disk->faults.fail_read && of_log(file->path, "/")) take_read_fault(file->disk, file->inode, offset, len);
    size_t bad = file->inode->bad;
    if (bad != NONE_BAD && offset < (bad + 1) * SECTOR && offset + len > bad * SECTOR) {
        file->disk->read_errors++;
        return -EIO;
    }
    memcpy(data, file->inode->data + offset, len);
    file->host->spent_us += 5 + len / 1000;
    return (int64_t)len;
}

// Writes as much as there is room for. The bytes written.
static size_t write_room(struct io_file *file, const void *data, size_t len, uint64_t offset) {
    struct sim_disk *d = file->disk;
    uint64_t end = offset + len;
    if (end > file->inode->len && d->faults.capacity != UINT64_MAX) {
        uint64_t sum = used(d), more = end - file->inode->len;
        uint64_t room = d->faults.capacity > sum ? d->faults.capacity - sum : 0;
        if (more > room) {
            d->full_us = d->world->now_us;
            uint64_t least = file->inode->len + room;
            len = least > offset ? (size_t)(least - offset) : 0;
        }
    }
    inode_write(file->inode, offset, data, len);
    return len;
}

int64_t sim_file_write(struct io_file *file, const void *data, size_t len, uint64_t offset) {
    if (file->host->dead) return (int64_t)len;
    file->host->spent_us += 5 + len / 1000;
    return write_room(file, data, len, offset) == len ? (int64_t)len : -ENOSPC;
}

static int sync_inode(struct host *host, struct inode *inode, const char *path) {
    struct sim_disk *d = host->disk;
    if (host->dead) return 0;
    wait_sync(host, (inode->dirty_high - inode->dirty_low) * SECTOR);
    int error = take_sync_fault(d);
    if (error != 0) {
        lose_pages(d->world, inode);
        return error;
    }
    uint64_t now_us = d->world->now_us + host->spent_us;
    if (inode->folder) {
        sync_folder(d, path);
        return 0;
    }
    if (strstr(path, "/snapshots/") != NULL && inode->dirty_high > inode->dirty_low && take_lie(d, inode, now_us)) {
        size_t lost = inode->dirty_low + (size_t)world_draw(d->world, PRNG_DISK, inode->dirty_high - inode->dirty_low);
        if (inode->dirty[lost]) inode->dirty[lost] = GIVEN_UP;
    }
    inode_sync(inode, now_us, now_us);
    return 0;
}

int sim_file_sync(struct io_file *file) {
    return sync_inode(file->host, file->inode, file->path);
}

int sim_file_truncate(struct io_file *file, uint64_t len) {
    if (!file->host->dead) inode_truncate(file->inode, (size_t)len);
    return 0;
}

int64_t sim_file_size(struct io_file *file) {
    return (int64_t)file->inode->len;
}

int sim_file_lock(struct io_file *file) {
    if (file->inode->locked) return -EWOULDBLOCK;
    file->inode->locked = file->locks = true;
    return 0;
}

int sim_rename(struct io *io, const char *from, const char *to) {
    struct sim_disk *d = disk_of(io);
    struct name *name = names_find(&d->names, from);
    if (loop_of(io)->host->dead) return 0;
    if (name == NULL) return -ENOENT;
    struct inode *inode = name->inode;
    add_change(d, CHANGE_RENAME, to, from, inode);
    names_set(&d->names, to, inode);
    names_remove(&d->names, from);
    return 0;
}

int sim_unlink(struct io *io, const char *path) {
    struct sim_disk *d = disk_of(io);
    struct name *name = names_find(&d->names, path);
    if (loop_of(io)->host->dead) return 0;
    if (name == NULL) return -ENOENT;
    add_change(d, CHANGE_UNLINK, path, NULL, name->inode);
    names_remove(&d->names, path);
    return 0;
}

int sim_mkdir(struct io *io, const char *path, unsigned mode) {
    struct sim_disk *d = disk_of(io);
    struct name *name = names_find(&d->names, path);
    if (name != NULL) return name->inode->folder ? 0 : -EEXIST;
    if (loop_of(io)->host->dead) return 0;
    struct inode *inode = inode_new(true);
    names_set(&d->names, path, inode);
    add_change(d, CHANGE_CREATE, path, NULL, inode);
    return 0;
}

int sim_sync_dir(struct io *io, const char *path) {
    struct host *host = loop_of(io)->host;
    struct sim_disk *d = host->disk;
    if (host->dead) return 0;
    if (strcmp(path, "/") != 0 && names_find(&d->names, path) == NULL) return -ENOENT;
    wait_sync(host, 0);
    int error = take_sync_fault(d);
    if (error == 0) sync_folder(d, path);
    return error;
}

int sim_list_dir(struct io *io, const char *path, void (*entry)(void *context, const char *name), void *context) {
    struct sim_disk *d = disk_of(io);
    if (names_find(&d->names, path) == NULL) return -ENOENT;
    char last[PATH_BYTES] = "";
    for (;;) { // the next name in order
        const struct name *best = NULL;
        for (size_t i = 0; i < d->names.count; i++) {
            const struct name *n = &d->names.at[i];
            if (in_folder(n->path, path) && strcmp(n->path, last) > 0 &&
                (best == NULL || strcmp(n->path, best->path) < 0))
                best = n;
        }
        if (best == NULL) return 0;
        snprintf(last, sizeof last, "%s", best->path);
        entry(context, last + strlen(path) + 1);
    }
}

int64_t sim_free_bytes(struct io *io, const char *path) {
    const struct sim_disk *d = disk_of(io);
    if (d->faults.capacity == UINT64_MAX) return INT64_MAX;
    uint64_t sum = used(d);
    return d->faults.capacity > sum ? (int64_t)(d->faults.capacity - sum) : 0;
}

// ---- jobs

static int64_t write_job(struct io_disk_job *job, uint64_t most) {
    uint64_t offset = job->offset;
    for (int i = 0; i < job->iov_count; i++) {
        size_t len = job->iov[i].iov_len;
        if (len > most) len = (size_t)most;
        most -= len;
        if (write_room(job->file, job->iov[i].iov_base, len, offset) < len) return -ENOSPC;
        offset += len;
    }
    return 0;
}

static void job_told(struct ready *ready) {
    struct sim_job *j = CONTAINER_OF(ready, struct sim_job, ready);
    struct io_disk_job *job = j->job;
    int64_t result = j->result;
    list_remove(&j->link);
    job->impl = NULL;
    mem_free(j);
    job->done(job, result);
}

static void journal_synced(struct sim_disk *d, struct io_disk_job *job, uint64_t now_us) {
    const struct inode *inode = job->file->inode;
    if (job->op != IO_DISK_WRITE_SYNC || job->offset >= inode->len) return;
    lie_about(d, job, now_us);
    if (d->synced != NULL) d->synced(d->synced_context, inode->data + job->offset, inode->len - (size_t)job->offset);
}

// Of a running node: one piece begins within or behind the one before, or at the beginning of the next segment.
static void journal_read_on(struct sim_disk *d, const struct io_disk_job *job, uint64_t len) {
    const struct inode *inode = job->file->inode;
    bool goes_on = inode == d->reading.inode && job->offset > d->reading.offset && job->offset <= d->reading.end;
    bool next = d->reading.inode != NULL && inode != d->reading.inode && job->offset <= d->swarm->journal_align;
    uint64_t before = goes_on ? job->offset - d->reading.offset : next ? d->reading.end - d->reading.offset : 0;
    d->reading.bytes = goes_on || next ? d->reading.bytes + before : 0;
    d->reading.inode = inode;
    d->reading.offset = job->offset;
    d->reading.end = job->offset + len;
    if (d->reading.bytes <= FAR_BYTES) return;
    d->reading.far++;
    d->reading.bytes = 0;
}

static void job_run(struct event *event) {
    struct sim_job *j = CONTAINER_OF(event, struct sim_job, event);
    struct io_disk_job *job = j->job;
    struct sim_disk *d = job->file->disk;
    struct world *world = d->world;
    if (d->faults.stalled_until_us > world->now_us) {
        world_at(world, event, d->faults.stalled_until_us);
        if (d->busy_until_us < d->faults.stalled_until_us) d->busy_until_us = d->faults.stalled_until_us;
        return;
    }
    struct inode *inode = job->file->inode;
    j->ran = true;
    job->failed_sync = false;
    job->duration_us = world->now_us - j->submitted_us;
    if (job->op == IO_DISK_READ) {
        j->result = sim_file_read(job->file, job->iov[0].iov_base, job->iov[0].iov_len, job->offset);
        if (strstr(job->file->path, "/journal/") != NULL && j->result > 0) journal_read_on(d, job, (uint64_t)j->result);
    } else if (job->op != IO_DISK_SYNC) {
        j->result = write_job(job, UINT64_MAX);
    }
    if (j->result >= 0 && (job->op == IO_DISK_WRITE_SYNC || job->op == IO_DISK_SYNC)) {
        int error = take_sync_fault(d);
        if (error != 0) {
            lose_pages(world, inode);
            job->failed_sync = true;
            j->result = error;
        } else if (inode->folder) {
            sync_folder(d, job->file->path);
        } else {
            if (strstr(job->file->path, "/journal/") != NULL) journal_synced(d, job, world->now_us);
            inode_sync(inode, world->now_us, j->submitted_us);
        }
    }
    world_note(world, NOTE_DISK, j->loop->host->index * 8 + (uint64_t)job->op, job->offset);
    loop_ready(j->loop, &j->ready);
}

void sim_disk_submit(struct io *io, struct io_disk_job *job) {
    struct sim_loop *loop = loop_of(io);
    struct host *host = loop->host;
    struct sim_disk *d = host->disk;
    struct world *world = host->world;
    struct sim_job *j = mem_zalloc(sizeof *j);
    j->event.run = job_run;
    j->ready.run = job_told;
    list_init(&j->ready.link);
    j->loop = loop;
    j->job = job;
    j->submitted_us = world->now_us + host->spent_us;
    job->impl = j;
    list_push_back(&host->jobs, &j->link);
    if (host->dead) return; // freed with the others
    size_t bytes = 0;
    for (int i = 0; i < job->iov_count; i++) bytes += job->iov[i].iov_len;
    uint64_t at = j->submitted_us;
    if (job->op == IO_DISK_READ) {
        at += 20 + sync_us(d, bytes) / 4;
    } else { // one journal thread: one after the other
        if (d->busy_until_us > at) at = d->busy_until_us;
        at += job->op == IO_DISK_WRITE ? 20 + bytes / 500 : sync_us(d, bytes);
        d->busy_until_us = at;
    }
    world_at(world, &j->event, at);
}

// ---- making, ending

struct sim_disk *disk_new(struct world *world) {
    struct sim_disk *d = mem_zalloc(sizeof *d);
    d->world = world;
    d->faults = (struct disk_faults){.capacity = UINT64_MAX, .slow = 1};
    return d;
}

void disk_set_swarm(struct sim_disk *d, const struct swarm *swarm) {
    d->swarm = swarm;
}

struct disk_faults *disk_faults(struct sim_disk *disk) {
    return &disk->faults;
}

uint64_t disk_used(const struct sim_disk *disk) {
    return used(disk);
}

void disk_wipe(struct sim_disk *d) {
    for (size_t i = 0; i < d->change_count; i++) inode_unlink(d->changes[i].inode);
    d->change_count = 0;
    while (d->names.count > 0) names_remove(&d->names, d->names.at[0].path);
    while (d->durable.count > 0) names_remove(&d->durable, d->durable.at[0].path);
    d->lie = DISK_LIE_NONE;
    d->faults.lose_write = d->faults.misdirect = d->faults.lied = d->faults.fail_read = false;
    d->reading.inode = NULL;
}

void disk_free(struct sim_disk *d) {
    disk_wipe(d);
    mem_free(d->names.at);
    mem_free(d->durable.at);
    mem_free(d->changes);
    mem_free(d);
}

static bool reachable(const struct names *n, const char *path) {
    char parent[PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent) return true;
    *slash = 0;
    return names_find(n, parent) != NULL && reachable(n, parent);
}

static void power_lost(struct sim_disk *d) {
    // Each unsynced change of a folder for itself, in any order.
    for (size_t i = 0; i < d->change_count; i++) {
        if (world_draw(d->world, PRNG_DISK, 2) == 0) apply_change(d, &d->changes[i]);
        inode_unlink(d->changes[i].inode);
    }
    d->change_count = 0;
    for (size_t i = 0; i < d->durable.count;) {
        if (reachable(&d->durable, d->durable.at[i].path)) {
            i++;
        } else {
            names_remove(&d->durable, d->durable.at[i].path);
            i = 0;
        }
    }
    while (d->names.count > 0) names_remove(&d->names, d->names.at[0].path);
    for (size_t i = 0; i < d->durable.count; i++) names_set(&d->names, d->durable.at[i].path, d->durable.at[i].inode);
    for (size_t i = 0; i < d->names.count; i++) inode_crash(d->world, d->names.at[i].inode);
    judge_lies(d);
}

void disk_crash(struct host *host, bool power) {
    struct sim_disk *d = host->disk;
    while (!list_empty(&host->jobs)) {
        struct sim_job *j = CONTAINER_OF(host->jobs.next, struct sim_job, link);
        bool writes = !j->ran && (j->job->op == IO_DISK_WRITE || j->job->op == IO_DISK_WRITE_SYNC);
        if (writes && event_set(&j->event)) { // under way: all of it, a part, or nothing
            uint64_t bytes = 0, how = world_draw(d->world, PRNG_DISK, 3);
            for (int i = 0; i < j->job->iov_count; i++) bytes += j->job->iov[i].iov_len;
            if (how == 1) bytes = world_draw(d->world, PRNG_DISK, bytes / SECTOR + 1) * SECTOR;
            if (how != 2) write_job(j->job, bytes);
        }
        world_cancel(d->world, &j->event);
        list_remove(&j->ready.link);
        list_remove(&j->link);
        j->job->impl = NULL;
        mem_free(j);
    }
    d->busy_until_us = 0;
    if (power) power_lost(d);
}

// ---- rot

static bool may_rot(const struct name *name, size_t s) {
    const struct inode *inode = name->inode;
    if (!holds_synced(inode, s)) return false;
    // docs/faults.md: what no later write vouches for yet counts as a lost disk, and no disk can tell. The first sector
    // is the header.
    return strstr(name->path, "/journal/") == NULL || inode->synced_us[s] < inode->vouched_us;
}

// A sector of a journal's or a snapshot's file that may rot. NULL: there is none.
static struct name *pick_sector(struct sim_disk *d, size_t *sector) {
    size_t files = 0;
    const char *part = world_draw(d->world, PRNG_FAULT, 3) == 0 ? "/snapshots/" : "/";
    for (size_t i = 0; i < d->names.count; i++) files += of_log(d->names.at[i].path, part);
    if (files == 0) return NULL;
    size_t pick = (size_t)world_draw(d->world, PRNG_FAULT, files);
    for (size_t i = 0; i < d->names.count; i++) {
        struct name *name = &d->names.at[i];
        if (!of_log(name->path, part) || pick-- > 0) continue;
        size_t sectors = name->inode->durable_len / SECTOR, fit = 0;
        for (size_t s = 0; s < sectors; s++) fit += may_rot(name, s);
        if (fit == 0) return NULL;
        size_t chosen = (size_t)world_draw(d->world, PRNG_FAULT, fit);
        for (size_t s = 0; s < sectors; s++) {
            if (!may_rot(name, s) || chosen-- > 0) continue;
            *sector = s;
            return name;
        }
    }
    return NULL;
}

bool disk_rot(struct sim_disk *d, char what[256]) {
    size_t sector;
    struct name *name = pick_sector(d, &sector);
    if (name == NULL) return false;
    size_t at = sector * SECTOR + (size_t)world_draw(d->world, PRNG_FAULT, SECTOR);
    uint8_t bit = (uint8_t)(1u << world_draw(d->world, PRNG_FAULT, 8));
    name->inode->data[at] ^= bit;
    name->inode->durable[at] ^= bit;
    snprintf(what, 256, "%s+%zu", name->path, at);
    return true;
}

bool disk_make_unreadable(struct sim_disk *d, char what[256]) {
    size_t sector;
    struct name *name = pick_sector(d, &sector);
    if (name == NULL || name->inode->bad != NONE_BAD) return false;
    name->inode->bad = sector;
    snprintf(what, 256, "%s+%zu", name->path, sector * SECTOR);
    return true;
}

uint64_t disk_read_errors(const struct sim_disk *disk) {
    return disk->read_errors;
}

uint64_t disk_far_reads(const struct sim_disk *disk) {
    return disk->reading.far;
}

// ---- looking at it

void disk_on_journal(struct sim_disk *d, void (*synced)(void *context, const uint8_t *data, size_t len),
                     void *context) {
    d->synced = synced;
    d->synced_context = context;
}

void disk_each_journal(const struct sim_disk *d, void (*visit)(void *context, const uint8_t *data, size_t len),
                       void *context) {
    for (size_t i = 0; i < d->durable.count; i++)
        if (strstr(d->durable.at[i].path, "/journal/") != NULL)
            visit(context, d->durable.at[i].inode->durable, d->durable.at[i].inode->durable_len);
}

uint64_t disk_full_us(const struct sim_disk *disk) {
    return disk->full_us;
}

size_t disk_files(const struct sim_disk *d, const char *part) {
    size_t count = 0;
    for (size_t i = 0; i < d->names.count; i++)
        count += strstr(d->names.at[i].path, part) != NULL && !d->names.at[i].inode->folder;
    return count;
}
