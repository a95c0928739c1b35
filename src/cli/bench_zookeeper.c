// A load generator for anything that speaks ZooKeeper's protocol: one thread, epoll, each session a pipeline of
// requests.
//
//   session:  connect -> handshake -> set-up (its own znode) -> running: `depth` requests under way -> closed
//
// A ZooKeeper server answers a session's requests in order, so the times of the requests under way are a ring. A
// session that loses its server is not opened again: what is measured is the service of the others (`longest_gap_ms`:
// the longest time in which nobody was answered).
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/histogram.h"
#include "cli/bench.h"
#include "cli/bench_tls.h"
#include "cli/options.h"
#include "server/server.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HOSTS_MAX 16
#define READ_BYTES (256u << 10)
#define XID_PING -2
#define XID_WATCH -1

enum work {
    WORK_SET,
    WORK_GET,
    WORK_EPHEMERAL,
    WORK_MULTI,
    WORK_CREATE,
    WORK_MIX,
    WORK_IDLE,
    WORK_WATCH,
    WORK_EXPIRE,
    WORK_RECONNECT
};
enum opcode { OP_CREATE = 1, OP_DELETE = 2, OP_GET = 4, OP_SET = 5, OP_PING = 11, OP_MULTI = 14, OP_CLOSE = -11 };
enum state { CONNECTING, SECURING, HANDSHAKE, SETUP, RUNNING, GONE };

struct session {
    int fd;
    struct ssl_st *ssl; // NULL: plain
    uint64_t id;        // 0: has none yet; a connection that comes back resumes it
    uint8_t password[16];
    enum state state;
    struct writer out; // requests not taken by the kernel yet
    struct writer in;  // a broken frame's bytes
    uint64_t *sent_us; // ring of `depth`: when each request under way was made
    uint32_t under_way, oldest;
    uint32_t number; // which session
    uint64_t made, ping_at_us;
    int32_t xid;
    bool writable_wanted, back; // back: in this round of reconnecting
};

struct bench {
    // what is wanted
    struct sockaddr_storage hosts[HOSTS_MAX];
    socklen_t host_lengths[HOSTS_MAX];
    size_t host_count;
    uint32_t session_count, crowd, depth, size, read_percent, timeout_ms, seconds, warm_seconds, multi;
    uint64_t create_total;
    enum work work;
    const char *work_name, *root;
    struct bench_tls *tls; // NULL: plain
    bool json, quiet;
    // what happens
    int epoll;
    struct session *sessions;
    uint8_t *value;
    uint32_t running, gone;
    uint64_t begin_us, end_us, last_reply_us, gap_us, errors, created, random;
    struct histogram latency;
    uint64_t second_count;
    int first_error;
    // watch, expire and reconnect: `crowd` sessions behind the measured ones
    uint32_t total, crowd_gone;           // sessions of both kinds
    uint64_t fire_at_us, fired_us;        // watch: the next change of the root, the newest one
    uint32_t crowd_rounds, crowd_retries; // reconnect: rounds in which all came back; connections that failed in them
    uint32_t crowd_back;
    uint64_t cut_us;
    uint64_t crowd_events, round_events, crowd_us; // crowd_us: longest time from a change to its last event; to the end
};

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

// ---- requests

static size_t begin(struct session *s, int32_t xid, int32_t op) {
    size_t at = s->out.len;
    write_u32_be(&s->out, 0); // the length, put in by end
    write_u32_be(&s->out, (uint32_t)xid);
    write_u32_be(&s->out, (uint32_t)op);
    return at;
}
static void end(struct session *s, size_t at) {
    put_u32_be(s->out.data + at, (uint32_t)(s->out.len - at - 4));
}

static void put_string(struct writer *w, const void *data, size_t len) {
    write_u32_be(w, (uint32_t)len);
    write_span(w, bytes_of(data, len));
}
static void put_create(struct bench *b, struct writer *w, const char *path, uint32_t flags) {
    put_string(w, path, strlen(path));
    put_string(w, b->value, b->size);
    write_u32_be(w, 1); // one ACL: world:anyone, everything
    write_u32_be(w, 31);
    put_string(w, "world", 5);
    put_string(w, "anyone", 6);
    write_u32_be(w, flags);
}
static void put_set(struct bench *b, struct writer *w, const char *path) {
    put_string(w, path, strlen(path));
    put_string(w, b->value, b->size);
    write_u32_be(w, UINT32_MAX); // any version
}

static bool in_crowd(const struct bench *b, const struct session *s) {
    return s->number >= b->session_count;
}

static void put_watch(struct bench *b, struct session *s) { // reads the root and asks to be told of its next change
    size_t at = begin(s, s->xid++, OP_GET);
    put_string(&s->out, b->root, strlen(b->root));
    write_u8(&s->out, 1);
    end(s, at);
}

static void own_path(const struct bench *b, const struct session *s, char path[64]) {
    snprintf(path, 64, "%s/s%06u", b->root, s->number);
}

static uint64_t draw(struct bench *b) { // xorshift64: which operation of a mix
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

static void make_request(struct bench *b, struct session *s, uint64_t now) {
    char path[64];
    size_t at;
    own_path(b, s, path);
    enum work work = b->work;
    if (work == WORK_WATCH && s->number == 0 && b->fire_at_us != 0 && now >= b->fire_at_us) {
        snprintf(path, sizeof path, "%s", b->root);
        b->fired_us = now;
        b->fire_at_us = now + 1000000u;
        b->round_events = 0;
    }
    if (work >= WORK_WATCH) work = WORK_SET; // beside which the crowd is told, or dies
    if (work == WORK_MIX) work = draw(b) % 100 < b->read_percent ? WORK_GET : WORK_SET;
    switch (work) {
    case WORK_SET:
        at = begin(s, s->xid, OP_SET);
        put_set(b, &s->out, path);
        break;
    case WORK_GET:
        at = begin(s, s->xid, OP_GET);
        put_string(&s->out, path, strlen(path));
        write_u8(&s->out, 0); // no watch
        break;
    case WORK_EPHEMERAL: // a create, then the delete of the same
        snprintf(path, sizeof path, "%s/s%06u-%llu", b->root, s->number, (unsigned long long)(s->made / 2));
        at = begin(s, s->xid, s->made % 2 == 0 ? OP_CREATE : OP_DELETE);
        if (s->made % 2 == 0)
            put_create(b, &s->out, path, 1);
        else {
            put_string(&s->out, path, strlen(path));
            write_u32_be(&s->out, UINT32_MAX);
        }
        break;
    case WORK_MULTI:
        at = begin(s, s->xid, OP_MULTI);
        for (uint32_t i = 0; i < b->multi; i++) {
            write_u32_be(&s->out, OP_SET);
            write_u8(&s->out, 0);
            write_u32_be(&s->out, UINT32_MAX);
            put_set(b, &s->out, path);
        }
        write_u32_be(&s->out, UINT32_MAX);
        write_u8(&s->out, 1);
        write_u32_be(&s->out, UINT32_MAX);
        break;
    case WORK_CREATE:
        snprintf(path, sizeof path, "%s/n%010llu", b->root, (unsigned long long)b->created++);
        at = begin(s, s->xid, OP_CREATE);
        put_create(b, &s->out, path, 0);
        break;
    default:
        return;
    }
    end(s, at);
    s->xid = s->xid == INT32_MAX ? 1 : s->xid + 1;
    s->sent_us[(s->oldest + s->under_way++) % b->depth] = now;
    s->made++;
}

static bool more_wanted(const struct bench *b, uint64_t now) {
    if (b->work == WORK_IDLE) return false;
    if (b->work == WORK_EXPIRE && b->crowd_gone == b->crowd && b->crowd > 0) return false;
    if (b->create_total > 0) return b->created < b->create_total;
    return b->end_us == 0 || now < b->end_us;
}

static void fill(struct bench *b, struct session *s, uint64_t now) {
    if (in_crowd(b, s)) return;
    while (s->state == RUNNING && s->under_way < b->depth && more_wanted(b, now)) make_request(b, s, now);
}

// ---- sockets

static void connect_session(struct bench *b, struct session *s);

// At once, as when a network or a server goes away: nothing is said, and no port waits in TIME_WAIT for the next round.
static void cut(struct session *s) {
    struct linger at_once = {.l_onoff = 1};
    bench_tls_close(s->ssl);
    s->ssl = NULL;
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(s->fd);
    s->fd = -1;
    writer_clear(&s->out);
    writer_clear(&s->in);
}

static void lose(struct bench *b, struct session *s, const char *why) {
    if (s->state == GONE) return;
    if (b->work == WORK_RECONNECT && in_crowd(b, s) && s->state < SETUP) { // tries again, as clients do
        if (++b->crowd_retries <= 3 && !b->quiet)
            fprintf(stderr, "session %u tries again (state %d): %s\n", s->number, (int)s->state, why);
        cut(s);
        connect_session(b, s);
        return;
    }
    if (s->state == RUNNING) b->running--;
    s->state = GONE;
    b->gone++;
    if (in_crowd(b, s) && b->begin_us != 0) {
        b->crowd_gone++;
        b->crowd_us = now_us() - b->begin_us;
    }
    if (!b->quiet && b->gone <= 3 && b->work != WORK_EXPIRE)
        fprintf(stderr, "session %u is gone: %s\n", s->number, why);
    cut(s);
}

static void want(struct bench *b, struct session *s, bool writable) {
    if (s->writable_wanted == writable) return;
    s->writable_wanted = writable;
    struct epoll_event event = {.events = EPOLLIN | (writable ? (uint32_t)EPOLLOUT : 0), .data.ptr = s};
    epoll_ctl(b->epoll, EPOLL_CTL_MOD, s->fd, &event);
}

static void flush(struct bench *b, struct session *s) {
    if (s->state == GONE || s->state < HANDSHAKE) return;
    size_t at = 0;
    while (at < s->out.len) {
        ssize_t n = s->ssl != NULL ? bench_tls_send(s->ssl, s->out.data + at, s->out.len - at)
                                   : send(s->fd, s->out.data + at, s->out.len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EAGAIN) break;
            lose(b, s, strerror(errno));
            return;
        }
        at += (size_t)n;
    }
    writer_consume(&s->out, at);
    want(b, s, s->out.len > 0);
}

static void connect_session(struct bench *b, struct session *s) {
    size_t host = s->number % b->host_count;
    s->fd = socket(b->hosts[host].ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        fprintf(stderr, "parley bench: no socket for session %u: %s\n", s->number, strerror(errno));
        exit(1);
    }
    int one = 1;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    s->state = CONNECTING;
    s->writable_wanted = true;
    if (s->id == 0) s->xid = 1;
    if (connect(s->fd, (struct sockaddr *)&b->hosts[host], b->host_lengths[host]) != 0 && errno != EINPROGRESS) {
        lose(b, s, strerror(errno));
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = s};
    epoll_ctl(b->epoll, EPOLL_CTL_ADD, s->fd, &event);
}

static void greet(struct bench *b, struct session *s) {
    s->state = HANDSHAKE;
    size_t at = s->out.len;
    write_u32_be(&s->out, 0);
    write_u32_be(&s->out, 0); // protocol version
    write_u64_be(&s->out, 0); // last zxid seen
    write_u32_be(&s->out, b->timeout_ms);
    write_u64_be(&s->out, s->id);
    put_string(&s->out, s->password, sizeof s->password);
    write_u8(&s->out, 0);
    end(s, at);
    flush(b, s);
}

static void secure(struct bench *b, struct session *s) {
    int done = bench_tls_handshake(s->ssl);
    if (done < 0)
        lose(b, s, "the TLS handshake failed");
    else if (done == 0)
        want(b, s, false); // its part fits into the socket's buffer: what it waits for is the other's
    else
        greet(b, s);
}

static void connected(struct bench *b, struct session *s) {
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        lose(b, s, strerror(error));
        return;
    }
    if (b->tls == NULL) {
        greet(b, s);
        return;
    }
    s->ssl = bench_tls_open(b->tls, s->fd);
    s->state = SECURING;
    secure(b, s);
}

// ---- reconnect: all of the crowd is cut off at once, again and again

static void cut_crowd(struct bench *b, uint64_t now) {
    b->cut_us = now;
    b->crowd_back = 0;
    for (uint32_t i = b->session_count; i < b->total; i++) {
        struct session *s = &b->sessions[i];
        if (s->state != RUNNING) continue;
        b->running--;
        s->back = false;
        cut(s);
        connect_session(b, s);
    }
}

static void came_back(struct bench *b, struct session *s) {
    s->state = RUNNING;
    b->running++;
    if (!s->back) b->crowd_back++;
    s->back = true;
}

// All are back: once more.
static void next_round(struct bench *b, uint64_t now) {
    if (b->cut_us == 0 || b->crowd_back + b->crowd_gone < b->crowd) return;
    if (now - b->cut_us > b->crowd_us) b->crowd_us = now - b->cut_us;
    b->crowd_rounds++;
    b->cut_us = 0;
    if (now < b->end_us) cut_crowd(b, now);
}

// ---- replies

static void handshaken(struct bench *b, struct session *s, struct bytes body) {
    struct reader r = reader_of(body.data, body.len);
    read_u32_be(&r);
    uint32_t timeout = read_u32_be(&r);
    uint64_t id = read_u64_be(&r);
    bool resumed = s->id != 0;
    struct bytes password = read_span(&r, read_u32_be(&r));
    if (r.failed || timeout == 0 || id == 0 || password.len != sizeof s->password) {
        s->state = SETUP; // no use in trying again
        lose(b, s, "the server refused the session");
        return;
    }
    s->ping_at_us = now_us() + (uint64_t)timeout * 1000u / 3u;
    b->timeout_ms = timeout;
    s->id = id;
    memcpy(s->password, password.data, sizeof s->password);
    if (resumed) {
        came_back(b, s);
        return;
    }
    s->state = SETUP;
    s->under_way = 1;
    if (in_crowd(b, s) && b->work == WORK_WATCH) {
        put_watch(b, s);
        flush(b, s);
        return;
    }
    char path[64];
    own_path(b, s, path);
    size_t at = begin(s, s->xid++, OP_CREATE);
    if (in_crowd(b, s)) { // it dies with its session
        put_create(b, &s->out, path, 1);
        end(s, at);
        flush(b, s);
        return;
    }
    put_create(b, &s->out, s->number == 0 && s->made == 0 ? b->root : path, 0);
    end(s, at);
    flush(b, s);
}

static void set_up(struct bench *b, struct session *s, int32_t error) {
    if (error != 0 && error != -110) { // it may exist from an earlier run
        if (b->first_error == 0) b->first_error = error;
        lose(b, s, "its znode cannot be made");
        return;
    }
    if (s->number == 0 && s->made == 0) { // the root stands: now its own znode, and then the others
        s->made = 1;
        char path[64];
        own_path(b, s, path);
        size_t at = begin(s, s->xid++, OP_CREATE);
        put_create(b, &s->out, path, 0);
        end(s, at);
        flush(b, s);
        for (uint32_t i = 1; i < b->total; i++) connect_session(b, &b->sessions[i]);
        return;
    }
    s->made = 0;
    s->state = RUNNING;
    s->under_way = 0;
    b->running++;
}

static void answered(struct bench *b, struct session *s, struct bytes body, uint64_t now) {
    struct reader r = reader_of(body.data, body.len);
    int32_t xid = (int32_t)read_u32_be(&r);
    read_u64_be(&r);
    int32_t error = (int32_t)read_u32_be(&r);
    if (r.failed) {
        lose(b, s, "a reply is too short");
        return;
    }
    if (xid == XID_WATCH && b->work == WORK_WATCH) {
        b->crowd_events++;
        b->round_events++;
        if (b->fired_us != 0 && now - b->fired_us > b->crowd_us) b->crowd_us = now - b->fired_us;
        put_watch(b, s);
    }
    if (xid == XID_PING || xid == XID_WATCH) return;
    if (s->state == SETUP) {
        set_up(b, s, error);
        return;
    }
    if (in_crowd(b, s)) return;
    if (s->under_way == 0) return;
    uint64_t sent = s->sent_us[s->oldest];
    s->oldest = (s->oldest + 1) % b->depth;
    s->under_way--;
    if (error != 0) {
        b->errors++;
        if (b->first_error == 0) b->first_error = error;
    }
    b->second_count++;
    if (b->begin_us == 0) return; // warming up
    histogram_add(&b->latency, now - sent);
    if (b->last_reply_us != 0 && now - b->last_reply_us > b->gap_us) b->gap_us = now - b->last_reply_us;
    b->last_reply_us = now;
}

static void received(struct bench *b, struct session *s, const uint8_t *data, size_t len) {
    if (s->in.len > 0) {
        write_span(&s->in, bytes_of(data, len));
        data = s->in.data;
        len = s->in.len;
    }
    uint64_t now = now_us();
    size_t at = 0;
    while (s->state != GONE && len - at >= 4) {
        uint32_t frame = get_u32_be(data + at);
        if (frame > (64u << 20)) {
            lose(b, s, "a frame is absurdly long");
            return;
        }
        if (len - at - 4 < frame) break;
        struct bytes body = bytes_of(data + at + 4, frame);
        if (s->state == HANDSHAKE)
            handshaken(b, s, body);
        else
            answered(b, s, body, now);
        at += 4 + frame;
    }
    if (s->state == GONE || s->fd < 0) return;
    if (s->in.len > 0)
        writer_consume(&s->in, at);
    else if (at < len)
        write_span(&s->in, bytes_of(data + at, len - at));
    fill(b, s, now);
    flush(b, s);
}

static void ready(struct bench *b, struct session *s, uint32_t events, uint8_t *buffer) {
    if (s->state == GONE) return;
    if (s->state == CONNECTING) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) connected(b, s);
        return;
    }
    if (s->state == SECURING) {
        secure(b, s);
        return;
    }
    bool more = (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
    while (more && s->state >= HANDSHAKE && s->state != GONE) {
        ssize_t n =
            s->ssl != NULL ? bench_tls_recv(s->ssl, buffer, READ_BYTES) : recv(s->fd, buffer, READ_BYTES, MSG_DONTWAIT);
        more = s->ssl != NULL && n > 0; // a record may wait inside, although the socket is silent
        if (n == 0)
            lose(b, s, "closed by the server");
        else if (n < 0 && errno != EAGAIN)
            lose(b, s, strerror(errno));
        else if (n > 0)
            received(b, s, buffer, (size_t)n);
    }
    if ((events & EPOLLOUT) && s->state != GONE) flush(b, s);
}

static void ping_idle(struct bench *b, uint64_t now) {
    for (uint32_t i = 0; i < b->total; i++) {
        struct session *s = &b->sessions[i];
        if (s->state != RUNNING || now < s->ping_at_us) continue;
        if (b->work == WORK_EXPIRE && in_crowd(b, s) && b->begin_us != 0) continue; // falls silent
        s->ping_at_us = now + (uint64_t)b->timeout_ms * 1000u / 3u;
        if (s->under_way > 0) continue; // requests keep it alive
        size_t at = begin(s, XID_PING, OP_PING);
        end(s, at);
        flush(b, s);
    }
}

// ---- the run

struct report {
    double seconds, user_cpu, system_cpu;
    uint64_t operations;
};

static void print_report(const struct bench *b, const struct report *r) {
    const struct histogram *h = &b->latency;
    unsigned long long p50 = histogram_percentile(h, 500000), p99 = histogram_percentile(h, 990000),
                       p999 = histogram_percentile(h, 999000);
    double rate = r->seconds > 0 ? (double)r->operations / r->seconds : 0;
    if (b->json) {
        printf("{\"work\":\"%s\",\"sessions\":%u,\"outstanding\":%u,\"bytes\":%u,\"seconds\":%.3f,\"operations\":%llu,"
               "\"per_second\":%.1f,\"p50_us\":%llu,\"p99_us\":%llu,\"p999_us\":%llu,\"max_us\":%llu,\"longest_gap_"
               "ms\":%.1f,"
               "\"errors\":%llu,\"crowd\":%u,\"crowd_gone\":%u,\"crowd_events\":%llu,\"crowd_ms\":%.1f,\"crowd_"
               "rounds\":%u,\"crowd_retries\":%u,\"first_error\":"
               "%d,\"sessions_lost\":%u,\"generator_user_cpu_s\":%.3f,"
               "\"generator_system_cpu_s\":%.3f}\n",
               b->work_name, b->session_count, b->session_count * b->depth, b->size, r->seconds,
               (unsigned long long)r->operations, rate, p50, p99, p999, (unsigned long long)h->max,
               (double)b->gap_us / 1000.0, (unsigned long long)b->errors, b->crowd, b->crowd_gone,
               (unsigned long long)b->crowd_events, (double)b->crowd_us / 1000.0, b->crowd_rounds, b->crowd_retries,
               b->first_error, b->gone, r->user_cpu, r->system_cpu);
        return;
    }
    printf("%s: %u sessions, %u outstanding, %u bytes\n", b->work_name, b->session_count, b->session_count * b->depth,
           b->size);
    printf("  %.0f operations/s   (%llu in %.2f s)\n", rate, (unsigned long long)r->operations, r->seconds);
    printf("  latency us: p50 %llu   p99 %llu   p99.9 %llu   max %llu\n", p50, p99, p999, (unsigned long long)h->max);
    printf("  longest gap without an answer: %.1f ms;   errors %llu%s;   sessions lost %u\n",
           (double)b->gap_us / 1000.0, (unsigned long long)b->errors, b->first_error ? " (first shown in --json)" : "",
           b->gone);
    if (b->work == WORK_WATCH)
        printf("  %u watchers, %llu events, the last of a change after at most %.1f ms\n", b->crowd,
               (unsigned long long)b->crowd_events, (double)b->crowd_us / 1000.0);
    if (b->work == WORK_EXPIRE)
        printf("  %u of %u silent sessions were ended, the last after %.1f ms\n", b->crowd_gone, b->crowd,
               (double)b->crowd_us / 1000.0);
    if (b->work == WORK_RECONNECT)
        printf("  %u sessions were cut off and came back %u times, all after at most %.1f ms; %u connections failed\n",
               b->crowd, b->crowd_rounds, (double)b->crowd_us / 1000.0, b->crowd_retries);
    printf("  this generator used %.2f s of CPU in user and %.2f s in the kernel\n", r->user_cpu, r->system_cpu);
}

static double cpu_seconds(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static bool finished(const struct bench *b, uint64_t now) {
    if (b->gone == b->total) return true;
    if (b->work == WORK_EXPIRE && b->crowd > 0 && b->crowd_gone == b->crowd) return true;
    if (b->create_total > 0) {
        if (b->created < b->create_total) return false;
        for (uint32_t i = 0; i < b->session_count; i++)
            if (b->sessions[i].state == RUNNING && b->sessions[i].under_way > 0) return false;
        return b->running + b->gone == b->total;
    }
    return b->end_us != 0 && now >= b->end_us;
}

static int run(struct bench *b) {
    struct epoll_event events[256];
    uint8_t *buffer = mem_alloc(READ_BYTES);
    struct rusage before = {0}, after;
    uint64_t measured_from = 0, next_line = 0, patience = now_us() + 60000000u, start_of_running = 0;
    connect_session(b, &b->sessions[0]);
    for (;;) {
        uint64_t now = now_us();
        int n = epoll_wait(b->epoll, events, 256, 50);
        for (int i = 0; i < n; i++) ready(b, events[i].data.ptr, events[i].events, buffer);
        now = now_us();
        if (b->work == WORK_RECONNECT) next_round(b, now);
        ping_idle(b, now); // also while the others still connect: a server may take a minute for ten thousand
        if (start_of_running == 0) {
            if (b->sessions[0].state == GONE) break;
            if (b->running + b->gone < b->total) {
                if (now > patience) {
                    fprintf(stderr, "parley bench: only %u of %u sessions could be opened in 60 s\n", b->running,
                            b->total);
                    return 1;
                }
                continue;
            }
            start_of_running = now; // all at once
            next_line = now + 1000000u;
            for (uint32_t i = 0; i < b->session_count; i++) {
                fill(b, &b->sessions[i], now);
                flush(b, &b->sessions[i]);
            }
        }
        if (b->begin_us == 0 && now >= start_of_running + (uint64_t)b->warm_seconds * 1000000u) {
            b->begin_us = measured_from = now;
            b->fire_at_us = now;
            if (b->create_total == 0) b->end_us = now + (uint64_t)b->seconds * 1000000u;
            if (b->work == WORK_RECONNECT) cut_crowd(b, now);
            getrusage(RUSAGE_SELF, &before);
        }
        if (now >= next_line) {
            if (!b->quiet)
                fprintf(stderr, "%5.0f s  %8llu operations/s%s\n", (double)(now - start_of_running) / 1e6,
                        (unsigned long long)b->second_count, b->begin_us == 0 ? "  (warming up)" : "");
            b->second_count = 0;
            next_line += 1000000u;
        }
        if (b->begin_us != 0 && finished(b, now)) break;
    }
    uint64_t now = now_us();
    getrusage(RUSAGE_SELF, &after);
    if (b->last_reply_us != 0 && now - b->last_reply_us > b->gap_us) b->gap_us = now - b->last_reply_us;
    struct report report = {.seconds = measured_from ? (double)(now - measured_from) / 1e6 : 0,
                            .user_cpu = cpu_seconds(after.ru_utime) - cpu_seconds(before.ru_utime),
                            .system_cpu = cpu_seconds(after.ru_stime) - cpu_seconds(before.ru_stime),
                            .operations = b->latency.count};
    for (uint32_t i = 0; i < b->total; i++) {
        struct session *s = &b->sessions[i];
        if (s->state == GONE) continue;
        size_t at = begin(s, s->xid, OP_CLOSE); // so that the next run does not meet ten thousand sessions to expire
        end(s, at);
        flush(b, s);
        if (s->fd >= 0) close(s->fd);
    }
    print_report(b, &report);
    mem_free(buffer);
    return b->gone == b->total || (b->work != WORK_IDLE && report.operations == 0) ? 1 : 0;
}

// ---- the command line

static bool parse_hosts(struct bench *b, const char *list) {
    char copy[2048];
    snprintf(copy, sizeof copy, "%s", list);
    char *rest = NULL;
    for (char *one = strtok_r(copy, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest)) {
        char *colon = strrchr(one, ':');
        if (colon == NULL || b->host_count == HOSTS_MAX) return false;
        *colon = 0;
        if (one[0] == '[') {
            one++;
            one[strcspn(one, "]")] = 0;
        }
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
        if (getaddrinfo(one, colon + 1, &hints, &found) != 0) return false;
        memcpy(&b->hosts[b->host_count], found->ai_addr, found->ai_addrlen);
        b->host_lengths[b->host_count++] = found->ai_addrlen;
        freeaddrinfo(found);
    }
    return b->host_count > 0;
}

static const struct {
    const char *name;
    enum work work;
} works[] = {{"set", WORK_SET},
             {"get", WORK_GET},
             {"ephemeral", WORK_EPHEMERAL},
             {"multi", WORK_MULTI},
             {"create", WORK_CREATE},
             {"mix", WORK_MIX},
             {"idle", WORK_IDLE},
             {"watch", WORK_WATCH},
             {"expire", WORK_EXPIRE},
             {"reconnect", WORK_RECONNECT}};

int bench_zookeeper_main(int argc, char **argv) {
    const char *hosts = "127.0.0.1:2181", *sessions = "16", *outstanding = "256", *size = "100", *work = "set",
               *seconds = "10", *warm = "2", *percent = "90", *count = "0", *timeout = "10000", *root = "/bench",
               *multi = "10", *crowd = "10000", *ca = NULL, *cert = NULL, *key = NULL;
    bool json = false, quiet = false;
    const struct option_row rows[] = {
        {"server", 's', "HOST:PORT,...", "servers; sessions are spread over them (127.0.0.1:2181)", &hosts, NULL},
        {"work", 'w', "NAME",
         "set, get, ephemeral (create + delete), multi, create, mix, idle, watch, expire, reconnect (set)", &work,
         NULL},
        {"sessions", 0, "N", "sessions (16)", &sessions, NULL},
        {"outstanding", 0, "N", "requests under way in all sessions together (256)", &outstanding, NULL},
        {"size", 0, "BYTES", "of a value (100)", &size, NULL},
        {"seconds", 0, "N", "measured time (10)", &seconds, NULL},
        {"warm", 0, "N", "seconds before that which do not count (2)", &warm, NULL},
        {"reads", 0, "PERCENT", "reads in a mix (90)", &percent, NULL},
        {"count", 0, "N", "create: end after so many znodes", &count, NULL},
        {"multi", 0, "N", "operations in one multi (10)", &multi, NULL},
        {"crowd", 0, "N",
         "watch, expire, reconnect: sessions that are told, die, or are cut off and come back, beside the measured "
         "sets (10000)",
         &crowd, NULL},
        {"timeout", 0, "MS", "session time-out asked for (10000)", &timeout, NULL},
        {"root", 0, "PATH", "znode under which everything is made (/bench)", &root, NULL},
        {"tls-ca", 0, "FILE", "TLS: the authority of the servers' certificates", &ca, NULL},
        {"tls-cert", 0, "FILE", "TLS: certificate to show", &cert, NULL},
        {"tls-key", 0, "FILE", "TLS: its key", &key, NULL},
        {"json", 0, NULL, "one JSON object instead of words", NULL, &json},
        {"quiet", 'q', NULL, "no progress lines", NULL, &quiet},
    };
    const struct option_table table = {
        "bench zookeeper",
        "parley bench zookeeper [FLAGS]",
        "Loads a server that speaks ZooKeeper's protocol, Parley or a real ZooKeeper, with asynchronous pipelines, and "
        "prints\n"
        "throughput, latency percentiles, the longest gap without an answer and its own use of CPU.",
        rows,
        sizeof rows / sizeof rows[0],
        0,
        0};
    size_t argument_count = 0;
    char **arguments = mem_alloc((size_t)(argc + 1) * sizeof *arguments);
    int code = options_read(&table, argc, argv, arguments, &argument_count);
    mem_free(arguments);
    if (code >= 0) return code;

    struct bench b = {.root = root, .json = json, .quiet = quiet, .work_name = work, .random = 88172645463325252ull};
    unsigned long long n;
    bool known = false;
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++)
        if (strcmp(works[i].name, work) == 0) b.work = works[i].work, known = true;
    if (!known) return options_wrong(&table, "--work: there is no work '%s'", work);
    const struct {
        const char *name, *text;
        unsigned long long low, high;
        uint32_t *to;
    } numbers[] = {{"sessions", sessions, 1, 1000000, &b.session_count},
                   {"outstanding", outstanding, 1, 10000000, &b.depth},
                   {"size", size, 0, 1000000, &b.size},
                   {"seconds", seconds, 1, 86400, &b.seconds},
                   {"warm", warm, 0, 3600, &b.warm_seconds},
                   {"reads", percent, 0, 100, &b.read_percent},
                   {"multi", multi, 1, 1000, &b.multi},
                   {"crowd", crowd, 0, 1000000, &b.crowd},
                   {"timeout", timeout, 1, 86400000, &b.timeout_ms}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (!options_number(numbers[i].text, numbers[i].low, numbers[i].high, &n))
            return options_wrong(&table, "--%s must be a whole number from %llu to %llu", numbers[i].name,
                                 numbers[i].low, numbers[i].high);
        *numbers[i].to = (uint32_t)n;
    }
    if (!options_number(count, 0, 1000000000, &n)) return options_wrong(&table, "--count must be a whole number");
    b.create_total = b.work == WORK_CREATE ? n : 0;
    if (b.create_total > 0) b.warm_seconds = 0;
    b.depth = b.depth / b.session_count > 0 ? b.depth / b.session_count : 1;
    if (!parse_hosts(&b, hosts)) return options_wrong(&table, "--server: '%s' is no list of HOST:PORT", hosts);

    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    b.epoll = epoll_create1(EPOLL_CLOEXEC);
    b.value = mem_zalloc(b.size + 1);
    memset(b.value, 'v', b.size);
    if (b.work < WORK_WATCH || b.work == WORK_IDLE) b.crowd = 0;
    char error[256];
    if (ca != NULL && (b.tls = bench_tls_new(ca, cert, key, error)) == NULL)
        return options_wrong(&table, "--tls-ca, --tls-cert, --tls-key: %s", error);
    b.total = b.session_count + b.crowd;
    b.sessions = mem_zalloc(b.total * sizeof *b.sessions);
    for (uint32_t i = 0; i < b.total; i++) {
        struct session *s = &b.sessions[i];
        s->number = i;
        s->fd = -1;
        writer_init(&s->out);
        writer_init(&s->in);
        s->sent_us = mem_zalloc(b.depth * sizeof *s->sent_us);
    }
    code = run(&b);
    for (uint32_t i = 0; i < b.total; i++) {
        writer_free(&b.sessions[i].out);
        writer_free(&b.sessions[i].in);
        mem_free(b.sessions[i].sent_us);
    }
    bench_tls_free(b.tls);
    mem_free(b.sessions);
    mem_free(b.value);
    close(b.epoll);
    return code;
}
