// LD_PRELOAD, for any program: fsync errors and jumps of the wall clock on demand.
// CHAOS_SHIM names a file whose first byte is looked at by each sync (it is mapped, so a look costs nothing): a digit n
// > 0 lets the n-th fsync or fdatasync from now on fail with EIO, without syncing anything, and is cleared by that.
// (Java's FileChannel.force ends in fdatasync.) CHAOS_CLOCK names a file of 8 bytes, an int64_t: so many seconds
// CLOCK_REALTIME is off. CLOCK_MONOTONIC stays right. (libfaketime would do, but under it Java's timed waits return at
// once.)
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static _Atomic unsigned char *order;
static _Atomic int64_t *off_by;

static void *map_file(const char *variable, size_t len) {
    const char *path = getenv(variable);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return NULL;
    void *page = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

__attribute__((constructor)) static void shim_begin(void) {
    order = map_file("CHAOS_SHIM", 1);
    off_by = map_file("CHAOS_CLOCK", sizeof(*off_by));
}

// The kernel's clock itself, not libc's function, which is this one.
int clock_gettime(clockid_t clock, struct timespec *t) {
    int result = (int)syscall(SYS_clock_gettime, clock, t);
    if (result == 0 && off_by && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += *off_by;
    return result;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    *t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

// True for the one call that shall fail.
static int shim_strikes(void) {
    unsigned char left = order ? atomic_load(order) : 0;
    while (left > '0' && left <= '9')
        if (atomic_compare_exchange_weak(order, &left, (unsigned char)(left - 1))) return left == '1';
    return 0;
}

static int shim_sync(const char *name, int fd) {
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (shim_strikes()) {
        errno = EIO;
        return -1;
    }
    return next(fd);
}

int fsync(int fd) {
    return shim_sync("fsync", fd);
}

int fdatasync(int fd) {
    return shim_sync("fdatasync", fd);
}
