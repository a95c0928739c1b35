// What this machine allows at most: a server that does nothing but answer, over loopback TCP, with and without a disk
// behind it. It is the floor under docs/performance.md's rows of one request a session.
//
//   floor disk FILE                 one 512-byte write with fdatasync after the other: p50 and p99
//   floor echo LOAD SECONDS         recv, send: 100-byte replies to 170-byte requests
//   floor sync LOAD SECONDS FILE    what epoll gave is written and synced first, in the same thread
//   floor commit LOAD SECONDS FILE  a thread for the disk: requests gather while it syncs
//   floor gather LOAD SECONDS FILE  the same, and nothing is read while it syncs
//
// LOAD is N connections with one request under way each, or NxW: W on each; what came at once is answered by one send.
// The load is made as `parley bench zookeeper` makes it: one thread, epoll, one recv and one send a turn of a
// connection.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_BYTES 170
#define REPLY_BYTES 100
#define SECTOR 512u
#define FILE_BYTES (16u << 20)
#define CONNECTIONS_MAX 1024
#define WINDOW_MAX 64u // requests under way on one connection
#define TIMES_MAX 20000000u

static void check(int ok, const char *what) {
    if (ok) return;
    perror(what);
    exit(1);
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

// ---- the disk: a file of zeros that were written before, as a journal's segment

static struct {
    int fd;
    uint8_t *bytes;
    uint64_t at;
} disk = {.fd = -1};

static void disk_open(const char *path) {
    disk.fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0600);
    check(disk.fd >= 0, path);
    check(posix_memalign((void **)&disk.bytes, 4096, 1u << 20) == 0, "memory");
    memset(disk.bytes, 0, 1u << 20);
    for (unsigned at = 0; at < FILE_BYTES; at += 1u << 20)
        check(pwrite(disk.fd, disk.bytes, 1u << 20, at) == 1 << 20, path);
    check(fsync(disk.fd) == 0, path);
    memset(disk.bytes, 'x', 1u << 20);
}

static void disk_commit(size_t requests) {
    size_t bytes = (requests * REQUEST_BYTES / SECTOR + 1) * SECTOR;
    if (disk.at + bytes > FILE_BYTES) disk.at = 0;
    check(pwrite(disk.fd, disk.bytes, bytes, (off_t)disk.at) == (ssize_t)bytes, "write");
    check(fdatasync(disk.fd) == 0, "fdatasync");
    disk.at += bytes;
}

// ---- the server

static int listener, epoll_server;
struct owed { // a connection whose requests were read
    int fd;
    size_t requests;
};
static struct owed waiting[8 * CONNECTIONS_MAX];
static size_t waiting_count, waiting_requests;
static size_t part[2 * CONNECTIONS_MAX]; // by descriptor: bytes of a request that is not whole yet

static void reply_all(const struct owed *to, size_t count) {
    static const uint8_t replies[REPLY_BYTES * WINDOW_MAX];
    for (size_t i = 0; i < count; i++)
        check(send(to[i].fd, replies, to[i].requests * REPLY_BYTES, MSG_NOSIGNAL) > 0 || errno, "send");
}

static struct { // the thread for the disk: takes what gathered, and tells when it is done
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    size_t requests; // to be committed; 0: none
    int done;
} job = {.lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER};

static void *commit_thread(void *unused) {
    for (;;) {
        pthread_mutex_lock(&job.lock);
        while (job.requests == 0) pthread_cond_wait(&job.wanted, &job.lock);
        size_t requests = job.requests;
        job.requests = 0;
        pthread_mutex_unlock(&job.lock);
        disk_commit(requests);
        uint64_t one = 1;
        check(write(job.done, &one, sizeof one) == sizeof one, "eventfd");
    }
    return unused;
}

static void read_request(int fd) {
    static uint8_t bytes[REQUEST_BYTES * WINDOW_MAX];
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n == 0) _exit(0); // the load has ended
    if (n < 0) return;
    part[fd] += (size_t)n;
    size_t requests = part[fd] / REQUEST_BYTES;
    part[fd] %= REQUEST_BYTES;
    if (requests == 0) return;
    check(waiting_count < sizeof waiting / sizeof waiting[0], "waiting");
    waiting[waiting_count++] = (struct owed){fd, requests};
    waiting_requests += requests;
}

static void accept_one(void) {
    int fd = accept(listener, NULL, NULL), one = 1;
    check(fd >= 0, "accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    check(epoll_ctl(epoll_server, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void serve(const char *mode) {
    static struct owed syncing[8 * CONNECTIONS_MAX]; // whose requests the disk thread has
    size_t syncing_count = 0;
    int gathers = strcmp(mode, "gather") == 0, threaded = gathers || strcmp(mode, "commit") == 0,
        synced = strcmp(mode, "sync") == 0;
    epoll_server = epoll_create1(0);
    job.done = eventfd(0, EFD_NONBLOCK);
    pthread_t thread;
    if (threaded) check(pthread_create(&thread, NULL, commit_thread, NULL) == 0, "thread");
    struct epoll_event events[256], done = {.events = EPOLLIN, .data.fd = job.done},
                                    accepts = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll_server, EPOLL_CTL_ADD, listener, &accepts);
    epoll_ctl(epoll_server, EPOLL_CTL_ADD, job.done, &done);
    for (;;) {
        if (gathers &&
            syncing_count > 0) { // nothing can be committed before the disk is done: read it all at once then
            struct pollfd only = {.fd = job.done, .events = POLLIN};
            poll(&only, 1, -1);
        }
        int n = epoll_wait(epoll_server, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            uint64_t count;
            if (fd == listener) {
                accept_one();
            } else if (fd == job.done) {
                if (read(fd, &count, sizeof count) < 0) continue;
                reply_all(syncing, syncing_count);
                syncing_count = 0;
            } else {
                read_request(fd);
            }
        }
        if (waiting_count == 0 || syncing_count > 0) continue;
        if (threaded) {
            memcpy(syncing, waiting, waiting_count * sizeof *waiting);
            syncing_count = waiting_count;
            pthread_mutex_lock(&job.lock);
            job.requests = waiting_requests;
            pthread_cond_signal(&job.wanted);
            pthread_mutex_unlock(&job.lock);
        } else {
            if (synced) disk_commit(waiting_requests);
            reply_all(waiting, waiting_count);
        }
        waiting_count = waiting_requests = 0;
    }
}

// ---- the load

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *name, uint32_t *times, size_t count, double seconds) {
    qsort(times, count, sizeof *times, compare);
    printf("%-8s %9.0f/s  p50 %u us  p99 %u us\n", name, (double)count / seconds, times[count / 2],
           times[count * 99 / 100]);
}

struct connection {
    int fd;
    size_t part, head; // bytes of a reply that is not whole yet; of the ring
    uint64_t sent[WINDOW_MAX];
};

static void send_requests(struct connection *c, size_t first, size_t count, size_t window) {
    static const uint8_t requests[REQUEST_BYTES * WINDOW_MAX];
    uint64_t now = now_us();
    for (size_t i = 0; i < count; i++) c->sent[(first + i) % window] = now;
    check(send(c->fd, requests, count * REQUEST_BYTES, 0) > 0, "send");
}

static void load(const char *name, const struct sockaddr_in *address, int connections, size_t window, double seconds) {
    uint32_t *times = malloc(TIMES_MAX * sizeof *times);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    int poll = epoll_create1(0), one = 1;
    size_t count = 0;
    for (int i = 0; i < connections; i++) {
        int fd = all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        check(connect(fd, (const struct sockaddr *)address, sizeof *address) == 0, "connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    }
    uint64_t begin = now_us(), end = begin + (uint64_t)(seconds * 1e6);
    for (int i = 0; i < connections; i++) send_requests(&all[i], 0, window, window);
    while (now_us() < end && count < TIMES_MAX - 256 * WINDOW_MAX) {
        struct epoll_event events[256];
        int n = epoll_wait(poll, events, 256, 100);
        for (int i = 0; i < n; i++) {
            struct connection *c = &all[events[i].data.u32];
            static uint8_t bytes[REPLY_BYTES * WINDOW_MAX];
            ssize_t got = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
            if (got <= 0) continue;
            size_t replies = (c->part + (size_t)got) / REPLY_BYTES, first = c->head;
            c->part = (c->part + (size_t)got) % REPLY_BYTES;
            uint64_t now = now_us();
            for (size_t k = 0; k < replies; k++) times[count++] = (uint32_t)(now - c->sent[(first + k) % window]);
            c->head = (first + replies) % window;
            if (replies > 0) send_requests(c, first, replies, window);
        }
    }
    print_times(name, times, count, (double)(now_us() - begin) / 1e6);
}

static void run_disk(void) {
    static uint32_t times[5000];
    uint64_t begin = now_us();
    for (size_t i = 0; i < 5000; i++) {
        uint64_t from = now_us();
        disk_commit(1);
        times[i] = (uint32_t)(now_us() - from);
    }
    print_times("disk", times, 5000, (double)(now_us() - begin) / 1e6);
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "disk") == 0 && argc == 3) {
        disk_open(argv[2]);
        run_disk();
        return 0;
    }
    int file = strcmp(mode, "echo") != 0;
    if ((file && strcmp(mode, "sync") != 0 && strcmp(mode, "commit") != 0 && strcmp(mode, "gather") != 0) ||
        argc != 4 + file) {
        fprintf(stderr, "floor disk FILE | echo LOAD SECONDS | sync|commit|gather LOAD SECONDS FILE\n");
        return 2;
    }
    int connections = atoi(argv[2]);
    const char *times = strchr(argv[2], 'x');
    size_t window = times ? (size_t)atoi(times + 1) : 1;
    check(connections > 0 && connections <= CONNECTIONS_MAX && window > 0 && window <= WINDOW_MAX, "load");
    if (file) disk_open(argv[4]);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    check(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    check(listen(listener, CONNECTIONS_MAX) == 0, "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &len) == 0, "getsockname");
    pid_t server = fork();
    if (server == 0) serve(mode);
    close(listener);
    load(mode, &address, connections, window, atof(argv[3]));
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return 0;
}
