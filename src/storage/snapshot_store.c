// The folder of snapshots: which there are, how one comes to be (aside, synced, renamed, the folder synced), and which
// stay.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "storage/snapshot_format.h"

#define SNAPSHOTS_KEPT 2u // the newest may turn out unreadable
#define PATH_BYTES 4096u

struct open_snapshot { // a file that stays open between calls; file NULL: none
    struct io_file *file;
    uint64_t index, term;
    uint64_t bytes; // receiving: so far
};

struct snapshot_store {
    struct io *io;
    struct log *log;
    char *folder;
    struct snapshot_entry *entries; // newest first
    size_t count, capacity;
    struct open_snapshot reading, receiving;
};

void snapshot_store_path(struct snapshot_store *store, uint64_t index, uint64_t term, char path[4096]) {
    int len = snprintf(path, PATH_BYTES, "%s/%020" PRIu64 "-%" PRIu64 ".snap", store->folder, index, term);
    ENSURE(len > 0 && (size_t)len < PATH_BYTES);
}

void snapshot_store_temporary(struct snapshot_store *store, uint64_t index, uint64_t term, char path[4096]) {
    int len = snprintf(path, PATH_BYTES, "%s/%020" PRIu64 "-%" PRIu64 ".snap.tmp", store->folder, index, term);
    ENSURE(len > 0 && (size_t)len < PATH_BYTES);
}

static bool digits(const char **at, uint64_t *value) {
    const char *p = *at;
    *value = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (*value > (UINT64_MAX - digit) / 10) return false;
        *value = *value * 10 + digit;
    }
    bool some = p != *at;
    *at = p;
    return some;
}

static bool name_parse(const char *name, uint64_t *index, uint64_t *term) {
    const char *at = name;
    if (!digits(&at, index) || at != name + 20 || *at++ != '-' || !digits(&at, term)) return false;
    return strcmp(at, ".snap") == 0;
}

static bool newer(const struct snapshot_entry *a, const struct snapshot_entry *b) {
    return a->index != b->index ? a->index > b->index : a->term > b->term;
}

static void add_entry(struct snapshot_store *s, struct snapshot_entry entry) {
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 8;
        s->entries = mem_realloc(s->entries, s->capacity * sizeof *s->entries);
    }
    size_t at = s->count++;
    for (; at > 0 && newer(&entry, &s->entries[at - 1]); at--) s->entries[at] = s->entries[at - 1];
    s->entries[at] = entry;
}

static bool remove_entry(struct snapshot_store *s, uint64_t index, uint64_t term) {
    for (size_t i = 0; i < s->count; i++) {
        if (s->entries[i].index != index || s->entries[i].term != term) continue;
        memmove(s->entries + i, s->entries + i + 1, (s->count - i - 1) * sizeof *s->entries);
        s->count--;
        return true;
    }
    return false;
}

static void close_open(struct snapshot_store *s, struct open_snapshot *open) {
    if (open->file) s->io->ops->file_close(open->file);
    memset(open, 0, sizeof *open);
}

static bool is_open(const struct open_snapshot *open, uint64_t index, uint64_t term) {
    return open->file && open->index == index && open->term == term;
}

static int64_t size_of(struct snapshot_store *s, const char *path) {
    struct io_file *file;
    int result = s->io->ops->file_open(s->io, path, O_RDONLY | O_CLOEXEC, 0, &file);
    if (result < 0) return result;
    int64_t size = s->io->ops->file_size(file);
    s->io->ops->file_close(file);
    return size;
}

// ---- open

struct names {
    char **at;
    size_t count, capacity;
};

static void take_name(void *context, const char *name) {
    struct names *n = context;
    if (n->count == n->capacity) {
        n->capacity = n->capacity ? n->capacity * 2 : 16;
        n->at = mem_realloc(n->at, n->capacity * sizeof(char *));
    }
    n->at[n->count++] = mem_strdup(name);
}

static int take_found(struct snapshot_store *s, const char *name, char error[256]) {
    char path[PATH_BYTES];
    size_t len = strlen(name);
    if (len > 4 && strcmp(name + len - 4, ".tmp") == 0) {
        snprintf(path, sizeof path, "%s/%s", s->folder, name);
        int result = s->io->ops->unlink(s->io, path);
        if (result < 0) snprintf(error, 256, "cannot remove the unfinished snapshot %s: %s", name, strerror(-result));
        return result;
    }
    struct snapshot_entry entry;
    if (!name_parse(name, &entry.index, &entry.term)) return 0;
    snapshot_store_path(s, entry.index, entry.term, path);
    int64_t size = size_of(s, path);
    if (size < 0) {
        snprintf(error, 256, "cannot open the snapshot %s: %s", name, strerror((int)-size));
        return (int)size;
    }
    entry.bytes = (uint64_t)size;
    add_entry(s, entry);
    return 0;
}

int snapshot_store_open(struct io *io, struct log *log, const char *folder, struct snapshot_store **store,
                        char error[256]) {
    struct snapshot_store *s = mem_zalloc(sizeof *s);
    ENSURE(strlen(folder) < PATH_BYTES - 128);
    s->io = io;
    s->log = log;
    s->folder = mem_strdup(folder);
    error[0] = 0;
    struct names names = {0};
    int result = io->ops->mkdir(io, folder, 0700);
    if (result >= 0)
        result = io->ops->list_dir(io, folder, take_name, &names); // first all names: the folder changes below
    if (result < 0) snprintf(error, 256, "cannot use the snapshot folder: %s", strerror(-result));
    for (size_t i = 0; i < names.count; i++) {
        if (result >= 0) result = take_found(s, names.at[i], error);
        mem_free(names.at[i]);
    }
    mem_free(names.at);
    if (result < 0) {
        snapshot_store_close(s);
        return result;
    }
    *store = s;
    return 0;
}

void snapshot_store_close(struct snapshot_store *store) {
    close_open(store, &store->reading);
    close_open(store, &store->receiving);
    mem_free(store->entries);
    mem_free(store->folder);
    mem_free(store);
}

size_t snapshot_store_list(struct snapshot_store *store, struct snapshot_entry *entries, size_t max) {
    size_t count = store->count < max ? store->count : max;
    if (count) memcpy(entries, store->entries, count * sizeof *entries);
    return count;
}

// ---- making

static void drop_old(struct snapshot_store *s) {
    while (s->count > SNAPSHOTS_KEPT) {
        struct snapshot_entry old = s->entries[s->count - 1];
        char path[PATH_BYTES];
        snapshot_store_path(s, old.index, old.term, path);
        int result = s->io->ops->unlink(s->io, path);
        if (result < 0 && result != -ENOENT) {
            LOG_WARN(s->log, "snapshot cannot be removed file=%s error=%s", path, strerror(-result));
            return; // tried again at the next commit
        }
        if (is_open(&s->reading, old.index, old.term)) close_open(s, &s->reading);
        s->count--;
    }
}

int snapshot_store_commit(struct snapshot_store *store, uint64_t index, uint64_t term) {
    struct snapshot_store *s = store;
    const struct io_ops *ops = s->io->ops;
    char from[PATH_BYTES], to[PATH_BYTES];
    snapshot_store_temporary(s, index, term, from);
    snapshot_store_path(s, index, term, to);
    if (is_open(&s->receiving, index, term)) close_open(s, &s->receiving);
    struct io_file *file;
    int result = ops->file_open(s->io, from, O_RDWR | O_CLOEXEC, 0, &file);
    if (result < 0) return result;
    int64_t size = ops->file_size(file);
    result = size < 0 ? (int)size : PLANTED(SNAPSHOT_NOT_SYNCED) ? 0 : ops->file_sync(file);
    ops->file_close(file);
    if (result >= 0) result = ops->rename(s->io, from, to);
    if (result < 0) return result;
    result = ops->sync_dir(s->io, s->folder);
    if (is_open(&s->reading, index, term)) close_open(s, &s->reading); // the name now stands for another file
    bool known = remove_entry(s, index, term);
    if (result < 0 && !known) return result;
    add_entry(s, (struct snapshot_entry){.index = index, .term = term, .bytes = (uint64_t)size});
    if (result >= 0) drop_old(s);
    return result < 0 ? result : 0;
}

void snapshot_store_abandon(struct snapshot_store *store, uint64_t index, uint64_t term) {
    struct snapshot_store *s = store;
    char path[PATH_BYTES];
    if (is_open(&s->receiving, index, term)) close_open(s, &s->receiving);
    snapshot_store_temporary(s, index, term, path);
    s->io->ops->unlink(s->io, path); // may well be absent
}

// ---- transfer

int64_t snapshot_store_read(struct snapshot_store *store, uint64_t index, uint64_t term, uint64_t offset, void *data,
                            size_t len) {
    struct snapshot_store *s = store;
    if (!is_open(&s->reading, index, term)) {
        close_open(s, &s->reading);
        char path[PATH_BYTES];
        snapshot_store_path(s, index, term, path);
        int result = s->io->ops->file_open(s->io, path, O_RDONLY | O_CLOEXEC, 0, &s->reading.file);
        if (result < 0) {
            s->reading.file = NULL;
            return result;
        }
        s->reading.index = index;
        s->reading.term = term;
    }
    return s->io->ops->file_read(s->reading.file, data, len, offset);
}

static int open_receiving(struct snapshot_store *s, uint64_t index, uint64_t term) {
    if (is_open(&s->receiving, index, term)) return 0;
    close_open(s, &s->receiving);
    char path[PATH_BYTES];
    snapshot_store_temporary(s, index, term, path);
    int result = s->io->ops->file_open(s->io, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &s->receiving.file);
    if (result < 0) {
        s->receiving.file = NULL;
        return result;
    }
    int64_t size = s->io->ops->file_size(s->receiving.file);
    if (size < 0) {
        close_open(s, &s->receiving);
        return (int)size;
    }
    s->receiving.index = index;
    s->receiving.term = term;
    s->receiving.bytes = (uint64_t)size;
    return 0;
}

int snapshot_store_receive(struct snapshot_store *store, uint64_t index, uint64_t term, uint64_t offset,
                           const void *data, size_t len) {
    struct snapshot_store *s = store;
    int result = open_receiving(s, index, term);
    if (result < 0) return result;
    if (offset != s->receiving.bytes) return -EINVAL;
    int64_t written = s->io->ops->file_write(s->receiving.file, data, len, offset);
    if (written < 0) { // a part of it may be there: the count says what is sure
        s->io->ops->file_truncate(s->receiving.file, s->receiving.bytes);
        return (int)written;
    }
    s->receiving.bytes += len;
    return 0;
}

int64_t snapshot_store_received(struct snapshot_store *store, uint64_t index, uint64_t term) {
    struct snapshot_store *s = store;
    if (is_open(&s->receiving, index, term)) return (int64_t)s->receiving.bytes;
    char path[PATH_BYTES];
    snapshot_store_temporary(s, index, term, path);
    int64_t size = size_of(s, path);
    return size == -ENOENT ? 0 : size;
}
