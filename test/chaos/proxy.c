// A TCP proxy that makes links bad: delay, stalls, and connections that break in the middle of what was being sent.
//
//   proxy PORT CONTROL_FILE
//
// nft redirects outgoing connections to PORT; SO_ORIGINAL_DST says where they wanted to go. The proxy's own connections
// carry MARK, so that they are not redirected again. CONTROL_FILE holds five numbers, read anew every 100 ms:
//   delay_ms jitter_ms stall_per_10000 stall_ms cut_per_10000
// stall and cut are drawn for each piece that was read: a stall holds the direction for up to stall_ms; a cut sends a
// random part of the piece and then resets both ends.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MARK 7
#define PIECES 256 // read ahead in a direction; more would only hide back-pressure
#define PIECE_BYTES 16384

enum { DELAY, JITTER, STALL, STALL_MS, CUT, SETTINGS };
static _Atomic unsigned settings[SETTINGS];

struct piece {
    long due_ms;
    size_t len;
    char bytes[PIECE_BYTES];
};
struct pair { // a connection: both directions share it, the last one frees it
    int fd[2];
    atomic_int users;
};
struct direction {
    struct pair *pair;
    int from, to;
    unsigned chance; // state of its own generator
    unsigned first, count;
    long last_due;
    struct piece *pieces;
};

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static unsigned draw(struct direction *d, unsigned below) {
    return below ? (unsigned)rand_r(&d->chance) % below : 0;
}

// Both directions see it at their next call; the reset tells both peers.
static void cut(struct pair *pair) {
    struct linger reset = {.l_onoff = 1};
    for (int i = 0; i < 2; i++) {
        setsockopt(pair->fd[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        shutdown(pair->fd[i], SHUT_RDWR);
    }
}

static int send_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0) return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

// Reads one piece and says when it may go on; false: nothing will come any more.
static int take_piece(struct direction *d) {
    struct piece *piece = &d->pieces[(d->first + d->count) % PIECES];
    ssize_t n = recv(d->from, piece->bytes, sizeof(piece->bytes), 0);
    if (n <= 0) return 0;
    piece->len = (size_t)n;
    piece->due_ms = now_ms() + settings[DELAY] + draw(d, settings[JITTER] + 1);
    if (draw(d, 10000) < settings[STALL]) piece->due_ms += draw(d, settings[STALL_MS]);
    if (piece->due_ms < d->last_due) piece->due_ms = d->last_due; // it is a stream: nothing overtakes
    d->last_due = piece->due_ms;
    d->count++;
    return 1;
}

static int give_piece(struct direction *d) {
    struct piece *piece = &d->pieces[d->first];
    if (draw(d, 10000) < settings[CUT]) {
        send_all(d->to, piece->bytes, draw(d, (unsigned)piece->len));
        return -1;
    }
    d->first = (d->first + 1) % PIECES;
    d->count--;
    return send_all(d->to, piece->bytes, piece->len);
}

static void run_direction(struct direction *d) {
    for (int open = 1; open || d->count;) {
        long wait = d->count ? d->pieces[d->first].due_ms - now_ms() : -1;
        if (d->count && wait <= 0) {
            if (give_piece(d) < 0) return;
            continue;
        }
        struct pollfd p = {.fd = open && d->count < PIECES ? d->from : -1, .events = POLLIN};
        if (poll(&p, 1, (int)wait) < 0 && errno != EINTR) return;
        if (p.revents && !take_piece(d)) open = 0;
    }
}

static void *direction_main(void *argument) {
    struct direction *d = argument;
    struct pair *pair = d->pair;
    run_direction(d);
    cut(pair); // the end of one direction is the end of both: neither protocol uses half-closed connections
    free(d->pieces);
    free(d);
    if (atomic_fetch_sub(&pair->users, 1) == 1) {
        close(pair->fd[0]);
        close(pair->fd[1]);
        free(pair);
    }
    return NULL;
}

static void start_direction(struct pair *pair, int side) {
    struct direction *d = calloc(1, sizeof(*d));
    pthread_t thread;
    d->pair = pair;
    d->from = pair->fd[side];
    d->to = pair->fd[!side];
    d->chance = (unsigned)now_ms() ^ ((unsigned)d->from << 16) ^ (unsigned)getpid();
    d->pieces = calloc(PIECES, sizeof(*d->pieces));
    if (pthread_create(&thread, NULL, direction_main, d) != 0) abort();
    pthread_detach(thread);
}

// Connects to where the client wanted to go; a thread, since that may take long. What cannot be reached is reset.
static void *connection_main(void *argument) {
    struct pair *pair = argument;
    struct sockaddr_in to;
    socklen_t len = sizeof(to);
    int mark = MARK, one = 1;
    pair->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (getsockopt(pair->fd[0], SOL_IP, SO_ORIGINAL_DST, &to, &len) < 0 ||
        setsockopt(pair->fd[1], SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
        connect(pair->fd[1], (struct sockaddr *)&to, sizeof(to)) < 0) {
        cut(pair);
        close(pair->fd[0]);
        close(pair->fd[1]);
        free(pair);
        return NULL;
    }
    for (int i = 0; i < 2; i++) setsockopt(pair->fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    atomic_store(&pair->users, 2);
    start_direction(pair, 0);
    start_direction(pair, 1);
    return NULL;
}

static void *control_main(void *path) {
    for (;; usleep(100000)) {
        unsigned v[SETTINGS];
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%u %u %u %u %u", &v[0], &v[1], &v[2], &v[3], &v[4]) == SETTINGS)
            for (int i = 0; i < SETTINGS; i++) settings[i] = v[i];
        fclose(file);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: proxy PORT CONTROL_FILE\n");
        return 2;
    }
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    pthread_t thread;
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 1024) < 0) {
        perror("proxy");
        return 1;
    }
    if (pthread_create(&thread, NULL, control_main, argv[2]) != 0) return 1;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        struct pair *pair = calloc(1, sizeof(*pair));
        pair->fd[0] = fd;
        if (pthread_create(&thread, NULL, connection_main, pair) != 0) abort();
        pthread_detach(thread);
    }
}
