// Files and folders: plain system calls on the loop's thread, for starts and for small things. What must not stop the
// loop is a disk job.
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io_uv_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FILE_MAGIC 0x656c6966u

static int open_again(const char *path, int flags, unsigned mode) {
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int uv_file_open(struct io *io, const char *path, int flags, unsigned mode, struct io_file **out) {
    ENSURE(path != NULL && out != NULL);
    // O_DIRECT is a second opening beside the first: only disk jobs that write whole sectors take it, all else (and a
    // filesystem without it) goes through the page cache.
    int fd = open_again(path, flags & ~O_DIRECT, mode), direct_fd = -1;
    if (fd < 0) return fd;
    if (flags & O_DIRECT) direct_fd = open_again(path, O_RDWR | O_DIRECT, mode);
    struct io_file *file = mem_zalloc(sizeof *file);
    file->magic = FILE_MAGIC;
    file->fd = fd;
    file->direct_fd = direct_fd < 0 ? -1 : direct_fd;
    file->io = uv_io_of(io);
    *out = file;
    return 0;
}

void uv_file_close(struct io_file *file) {
    if (file == NULL) return;
    ENSURE(file->magic == FILE_MAGIC);
    ENSURE(file->jobs == 0);
    close(file->fd);
    if (file->direct_fd >= 0) close(file->direct_fd);
    file->magic = 0;
    mem_free(file);
}

int io_file_fd(struct io_file *file) {
    return file != NULL && file->magic == FILE_MAGIC ? file->fd : -1;
}

int64_t uv_file_read(struct io_file *file, void *data, size_t len, uint64_t offset) {
    ENSURE(offset <= INT64_MAX);
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(file->fd, (uint8_t *)data + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        done += (size_t)n;
    }
    return (int64_t)done;
}

int64_t uv_file_write(struct io_file *file, const void *data, size_t len, uint64_t offset) {
    ENSURE(offset <= INT64_MAX);
    size_t done = 0;
    while (done < len) {
        ssize_t n = pwrite(file->fd, (const uint8_t *)data + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return -EIO;
        done += (size_t)n;
    }
    return (int64_t)done;
}

int uv_file_sync(struct io_file *file) {
    return fsync(file->fd) != 0 ? -errno : 0;
}

int uv_file_truncate(struct io_file *file, uint64_t len) {
    ENSURE(len <= INT64_MAX);
    return ftruncate(file->fd, (off_t)len) != 0 ? -errno : 0;
}

int64_t uv_file_size(struct io_file *file) {
    struct stat status;
    return fstat(file->fd, &status) != 0 ? -errno : status.st_size;
}

// flock, not fcntl: it belongs to this opening of the file, so two nodes in one process exclude each other too, and
// closing another descriptor of the same file does not give it up.
int uv_file_lock(struct io_file *file) {
    return flock(file->fd, LOCK_EX | LOCK_NB) != 0 ? -errno : 0;
}

int uv_file_rename(struct io *io, const char *from, const char *to) {
    return rename(from, to) != 0 ? -errno : 0;
}
int uv_file_unlink(struct io *io, const char *path) {
    return unlink(path) != 0 ? -errno : 0;
}

int uv_make_dir(struct io *io, const char *path, unsigned mode) {
    if (mkdir(path, (mode_t)mode) == 0) return 0;
    int error = -errno;
    struct stat status;
    if (error == -EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) return 0;
    return error;
}

int uv_sync_dir(struct io *io, const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int error = fsync(fd) != 0 ? -errno : 0;
    close(fd);
    return error;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int uv_list_dir(struct io *io, const char *path, void (*entry)(void *context, const char *name), void *context) {
    DIR *dir = opendir(path);
    if (dir == NULL) return -errno;
    char **names = NULL;
    size_t count = 0, capacity = 0;
    int error = 0;
    for (;;) {
        errno = 0;
        const struct dirent *found = readdir(dir);
        if (found == NULL) {
            error = -errno;
            break;
        }
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) continue;
        if (count == capacity) {
            capacity = capacity == 0 ? 32 : capacity * 2;
            names = mem_realloc(names, capacity * sizeof *names);
        }
        names[count++] = mem_strdup(found->d_name);
    }
    closedir(dir);
    if (count > 0) qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        if (error == 0) entry(context, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
    return error;
}

int64_t uv_free_bytes(struct io *io, const char *path) {
    struct statvfs status;
    if (statvfs(path, &status) != 0) return -errno;
    return (int64_t)(status.f_bavail * status.f_frsize);
}
