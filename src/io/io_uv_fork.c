// A child that saves the forked image of this process. No SIGCHLD: its end is read from a pidfd, so other children of
// the process (and other loops) are not disturbed.
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io_uv_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILD_NICE 15        // what it packs is not urgent: on few cores the clients' loop and the journal go first
#define CHILD_POLL_US 20000u // how often its end is asked for on a kernel without pidfd_open (before 5.3)

struct child_slot {
    struct list link; // io->children; first
    struct uv_io *io;
    struct io_child *child; // NULL: dropped
    pid_t pid;
    int pidfd; // -1: asked by the timer
    uv_poll_t poll;
    struct io_timer timer;
};

// ---- in the child: system calls only
static void close_all_from(unsigned first) {
    if (syscall(SYS_close_range, first, ~0u, 0) == 0) return;
    struct rlimit limit = {.rlim_cur = 1024}; // a kernel before 5.9
    getrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned fd = first; fd < limit.rlim_cur; fd++) close((int)fd);
}

struct output {
    int fd;
    uint64_t rate_bytes, since_pause;
};

static int append(void *out, const void *data, size_t len) {
    struct output *to = out;
    const uint8_t *at = data;
    while (len > 0) {
        ssize_t n = write(to->fd, at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? -errno : -EIO;
        at += n;
        len -= (size_t)n;
        to->since_pause += (uint64_t)n;
    }
    // The rate leaves the disk to the journal: pauses of the time that these bytes may take.
    uint64_t slice = to->rate_bytes / 50;
    if (slice > 0 && to->since_pause >= slice) {
        // Towards the disk now, not all at once in the last fdatasync, behind which the journal's would wait.
        sync_file_range(to->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        uint64_t ns = to->since_pause * 1000000000u / to->rate_bytes;
        struct timespec pause = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
        nanosleep(&pause, NULL);
        to->since_pause = 0;
    }
    return 0;
}

static int save_to_file(const struct io_child *child, int (*save)(void *, io_append_fn, void *), void *context) {
    struct output to = {.rate_bytes = child->rate_bytes};
    to.fd = open(child->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (to.fd < 0) return -errno;
    int error = save(context, append, &to);
    return error == 0 && fdatasync(to.fd) != 0 ? -errno : error;
}

_Noreturn static void child_run(const struct io_child *child, pid_t parent, int (*save)(void *, io_append_fn, void *),
                                void *context) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); // no half-written snapshot by an orphan while the restarted node writes its own
    if (getppid() != parent) _exit(125); // it died before the line above
    setpriority(PRIO_PROCESS, 0, CHILD_NICE);
    // The listening sockets, the clients' connections and the folder's lock are the parent's alone. 0 to 2 stay, for a
    // last line.
    close_all_from(3);
    // Handlers of the parent would write to its loop's pipes.
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // When memory ends, the copy goes first, not the node.
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = write(fd, "1000", 4);
        (void)n; // not allowed in some containers; then the kernel chooses
        close(fd);
    }
    _exit(-save_to_file(child, save, context) & 0x7f);
}

// ---- in the parent
static void on_slot_closed(uv_handle_t *handle) {
    mem_free(handle->data);
}

static void slot_free(struct child_slot *slot) {
    list_remove(&slot->link);
    uv_timer_end(slot->io, &slot->timer);
    if (slot->pidfd >= 0) {
        uv_close((uv_handle_t *)&slot->poll, on_slot_closed);
        close(slot->pidfd);
    } else {
        mem_free(slot);
    }
}

static bool ended(struct child_slot *slot, int *status) {
    int wait_status = 0;
    pid_t pid;
    do {
        pid = waitpid(slot->pid, &wait_status, WNOHANG);
    } while (pid < 0 && errno == EINTR);
    if (pid == 0) return false;
    if (pid < 0)
        *status = -ECHILD; // somebody else collected it (SIGCHLD ignored): not known how it ended
    else
        *status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -WTERMSIG(wait_status);
    return true;
}

static void look(struct child_slot *slot) {
    int status = 0;
    if (!ended(slot, &status)) return;
    struct io_child *child = slot->child;
    child->impl = NULL;
    slot_free(slot);
    child->exited(child, status);
}

static void on_pidfd(uv_poll_t *poll, int status, int events) {
    look(poll->data);
}

static void on_poll_timer(struct io_timer *timer) {
    struct child_slot *slot = timer->context;
    uv_timer_begin(slot->io, timer, on_poll_timer, slot, CHILD_POLL_US);
    look(slot);
}

int uv_fork_child(struct io *base, struct io_child *child, int (*save)(void *context, io_append_fn append, void *out),
                  void *context) {
    struct uv_io *io = uv_io_of(base);
    ENSURE(child->exited != NULL && child->impl == NULL);
    ENSURE(save != NULL && child->path != NULL);
    pid_t parent = getpid();
    sigset_t all, before;
    sigfillset(&all); // no handler runs in the child before it has thrown them away
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) child_run(child, parent, save, context);
    int error = -errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) return error;

    struct child_slot *slot = mem_zalloc(sizeof *slot);
    slot->io = io;
    slot->child = child;
    slot->pid = pid;
    slot->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (slot->pidfd >= 0 && uv_poll_init(&io->loop, &slot->poll, slot->pidfd) != 0) {
        close(slot->pidfd);
        slot->pidfd = -1;
    }
    slot->poll.data = slot;
    list_push_back(&io->children, &slot->link);
    child->impl = slot;
    if (slot->pidfd >= 0)
        uv_poll_start(&slot->poll, UV_READABLE, on_pidfd);
    else
        uv_timer_begin(io, &slot->timer, on_poll_timer, slot, CHILD_POLL_US);
    return 0;
}

void uv_child_kill(struct io_child *child) {
    const struct child_slot *slot = child->impl;
    if (slot != NULL) kill(slot->pid, SIGKILL); // not yet collected, so the number is still its own
}

void children_drop(struct uv_io *io) {
    while (!list_empty(&io->children)) {
        struct child_slot *slot = (struct child_slot *)(void *)io->children.next;
        kill(slot->pid, SIGKILL);
        while (waitpid(slot->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        slot->child->impl = NULL;
        slot_free(slot);
    }
}
