// LD_PRELOAD: fsync errors on demand, in any program (Java's FileChannel.force ends in fdatasync too).
// CHAOS_SHIM names a file whose first byte is read at each call (it is mapped, so a look costs nothing): a digit n > 0
// lets the n-th fsync or fdatasync from now on fail with EIO, without syncing anything, and is cleared by that.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic unsigned char *order;

__attribute__((constructor)) static void shim_begin(void) {
    const char *path = getenv("CHAOS_SHIM");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED) order = page;
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
