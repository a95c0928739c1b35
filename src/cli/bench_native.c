// A load generator for the native operations over HTTP/1.1: one thread, epoll, many requests of each connection under
// way.
//
//   connection:  `depth` lanes; each does one operation after the other, as the steps of the work have it
//   lane:        request of step 0 -> answer -> request of step 1 (with the token of that answer) -> ...
//
// Answers come in the order of the requests, so which lanes wait is a ring. One operation is a whole round of steps:
// begin and complete; push, claim and ack; acquire and release.
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/histogram.h"
#include "cli/bench.h"
#include "cli/options.h"
#include "server/server.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (256u << 10)
#define STEPS_MAX 3u
#define TTL_MS 10000 // of what a work leaves behind: the next run meets little of it

enum work { WORK_LIMITER, WORK_IDEMPOTENCY, WORK_QUEUE, WORK_LOCK, WORK_SEQUENCE, WORK_WAIT };
static const struct {
    const char *name;
    uint32_t steps;
} works[] = {[WORK_LIMITER] = {"limiter", 1}, [WORK_IDEMPOTENCY] = {"idempotency", 2}, [WORK_QUEUE] = {"queue", 3},
             [WORK_LOCK] = {"lock", 2},       [WORK_SEQUENCE] = {"sequence", 1},       [WORK_WAIT] = {"wait", 2}};

struct lane {
    uint32_t number, step;
    uint64_t begun_us, token, round;
};
struct connection {
    int fd;
    struct writer out, in;
    struct lane *lanes;
    uint32_t *ring; // lanes whose requests are under way, in their order
    uint32_t under_way, oldest;
    bool writable_wanted, gone;
};
struct bench {
    struct sockaddr_storage host;
    socklen_t host_length;
    char host_name[128];
    uint32_t connection_count, depth, keys, size, seconds, warm_seconds, pending;
    enum work work;
    bool json, quiet;
    int epoll;
    uint64_t run; // a number of this run, for names
    char *value;
    struct connection *connections;
    uint32_t gone, lanes_done;
    uint64_t begin_us, end_us, last_us, gap_us, errors, empty, refused, second_count, requests;
    char first_error[256];
    struct histogram latency;
};

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

// ---- requests

__attribute__((format(printf, 4, 5))) static void request(struct bench *b, struct connection *c, const char *path,
                                                          const char *format, ...) {
    char body[1024], head[512];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    bool sized = b->work == WORK_QUEUE || b->work == WORK_IDEMPOTENCY;
    char *hole = sized ? strchr(body, '\1') : NULL; // where the value goes
    size_t total = (size_t)len + (hole != NULL ? b->size - 1 : 0);
    int head_len = snprintf(head, sizeof head,
                            "POST /v1/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: "
                            "%zu\r\n\r\n",
                            path, b->host_name, total);
    write_span(&c->out, bytes_of(head, (size_t)head_len));
    if (hole == NULL) {
        write_span(&c->out, bytes_of(body, (size_t)len));
        return;
    }
    write_span(&c->out, bytes_of(body, (size_t)(hole - body)));
    write_span(&c->out, bytes_of(b->value, b->size));
    write_span(&c->out, bytes_of(hole + 1, (size_t)len - (size_t)(hole - body) - 1));
}

static void make_request(struct bench *b, struct connection *c, struct lane *lane) {
    unsigned long long run = b->run, round = lane->round, token = lane->token,
                       key = (lane->number + round * 7919) % b->keys;
    switch (b->work) {
    case WORK_LIMITER:
        request(
            b, c, "limiter/take",
            "{\"name\":\"user-%llu\",\"algorithm\":\"token-bucket\",\"rate\":1000000,\"window_ms\":1000,\"cost\":1}",
            key);
        break;
    case WORK_IDEMPOTENCY:
        if (lane->step == 0)
            request(b, c, "idempotency/begin", "{\"key\":\"order-%llu-%u-%llu\",\"fingerprint\":\"f\",\"ttl_ms\":%u}",
                    run, lane->number, round, TTL_MS);
        else
            request(b, c, "idempotency/complete",
                    "{\"key\":\"order-%llu-%u-%llu\",\"token\":%llu,\"status\":200,\"body\":\"\1\"}", run, lane->number,
                    round, token);
        break;
    case WORK_QUEUE:
        if (lane->step == 0)
            request(b, c, "queue/push", "{\"name\":\"bench-%llu\",\"key\":\"key-%llu\",\"body\":\"\1\"}", run, key);
        else if (lane->step == 1)
            request(b, c, "queue/claim", "{\"name\":\"bench-%llu\",\"visibility_ms\":60000}", run);
        else
            request(b, c, "queue/ack", "{\"name\":\"bench-%llu\",\"tokens\":[%llu]}", run, token);
        break;
    case WORK_LOCK:
    case WORK_WAIT:
        if (lane->step == 1)
            request(b, c, "lock/release", "{\"name\":\"bench-%llu\",\"owner\":\"%u\",\"token\":%llu}",
                    b->work == WORK_WAIT ? 0ull : lane->number, lane->number, token);
        else if (b->work == WORK_WAIT)
            request(b, c, "lock/acquire",
                    "{\"name\":\"bench-0\",\"owner\":\"%u\",\"ttl_ms\":3600000,\"wait_ms\":3600000}", lane->number);
        else
            request(b, c, "lock/acquire", "{\"name\":\"bench-%u\",\"owner\":\"%u\",\"ttl_ms\":60000}", lane->number,
                    lane->number);
        break;
    case WORK_SEQUENCE:
        request(b, c, "sequence/next", "{\"name\":\"bench-%llu\"}", key);
        break;
    }
}

static void send_lane(struct bench *b, struct connection *c, struct lane *lane, uint64_t now) {
    if (lane->step == 0) lane->begun_us = now;
    make_request(b, c, lane);
    c->ring[(c->oldest + c->under_way++) % b->depth] = (uint32_t)(lane - c->lanes);
    b->requests++;
}

// ---- sockets

static void lose(struct bench *b, struct connection *c, const char *why) {
    if (c->gone) return;
    c->gone = true;
    b->gone++;
    if (!b->quiet && b->gone <= 3) fprintf(stderr, "a connection is gone: %s\n", why);
    close(c->fd);
    c->fd = -1;
}

static void flush(struct bench *b, struct connection *c) {
    size_t at = 0;
    while (!c->gone && at < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + at, c->out.len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0)
            lose(b, c, strerror(errno));
        else
            at += (size_t)n;
    }
    writer_consume(&c->out, at);
    bool writable = c->out.len > 0;
    if (c->gone || writable == c->writable_wanted) return;
    c->writable_wanted = writable;
    struct epoll_event event = {.events = EPOLLIN | (writable ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(b->epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static bool open_connection(struct bench *b, struct connection *c) {
    int one = 1;
    c->fd = socket(b->host.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&b->host, b->host_length) != 0) {
        fprintf(stderr, "parley bench: cannot connect: %s\n", strerror(errno));
        return false;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    return epoll_ctl(b->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

// ---- answers

static uint64_t number_behind(const char *body, size_t len, const char *name) {
    const char *at = memmem(body, len, name, strlen(name));
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10); // what follows the number is no digit
}

static void count_operation(struct bench *b, struct lane *lane, uint64_t now) {
    if (b->work == WORK_WAIT && b->lanes_done++ == 0) b->end_us = now + (uint64_t)b->seconds * 1000000u;
    if (b->begin_us == 0 || lane->begun_us < b->begin_us) return;
    histogram_add(&b->latency, now - lane->begun_us);
    b->second_count++;
}

static void note_error(struct bench *b, const char *body, size_t len) {
    if (b->errors++ == 0) snprintf(b->first_error, sizeof b->first_error, "%.*s", (int)(len < 200 ? len : 200), body);
}

// One answer: the lane's next step. false: the lane has nothing more to do.
static bool step(struct bench *b, struct lane *lane, int status, const char *body, size_t len, uint64_t now) {
    if (status != 200) {
        note_error(b, body, len);
        lane->step = 0;
        lane->round++;
        return b->work != WORK_WAIT;
    }
    if (b->work == WORK_LIMITER && memmem(body, len, "\"allowed\":true", 14) == NULL) b->refused++;
    lane->token = works[b->work].steps > 1 ? number_behind(body, len, "\"token\":") : 0;
    if (b->work == WORK_QUEUE && lane->step == 1 && lane->token == 0) {
        b->empty++; // what there is belongs to keys that others hold: asks again
        return true;
    }
    bool waited =
        b->work == WORK_WAIT && lane->step == 0; // an operation is the grant: what gives it back is behind others
    if (waited) count_operation(b, lane, now);
    if (++lane->step < works[b->work].steps) return true;
    if (b->work != WORK_WAIT) count_operation(b, lane, now);
    lane->step = 0;
    lane->round++;
    return b->work != WORK_WAIT;
}

static size_t one_answer(struct bench *b, struct connection *c, const char *data, size_t len, uint64_t now) {
    const char *end = memmem(data, len, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    size_t head = (size_t)(end - data) + 4, body = number_behind(data, head, "Content-Length: ");
    if (len < head + body) return 0;
    if (c->under_way == 0) {
        lose(b, c, "an answer that nobody asked for");
        return 0;
    }
    struct lane *lane = &c->lanes[c->ring[c->oldest]];
    c->oldest = (c->oldest + 1) % b->depth;
    c->under_way--;
    if (b->last_us != 0 && now - b->last_us > b->gap_us) b->gap_us = now - b->last_us;
    b->last_us = now;
    if (step(b, lane, (int)strtol(data + 9, NULL, 10), data + head, body, now) && (b->end_us == 0 || now < b->end_us))
        send_lane(b, c, lane, now);
    return head + body;
}

static void received(struct bench *b, struct connection *c, const char *data, size_t len) {
    uint64_t now = now_us();
    size_t at = 0, used;
    bool kept = c->in.len > 0;
    if (kept) {
        write_span(&c->in, bytes_of(data, len));
        data = (const char *)c->in.data;
        len = c->in.len;
    }
    while (!c->gone && at < len && (used = one_answer(b, c, data + at, len - at, now)) > 0) at += used;
    if (kept)
        writer_consume(&c->in, at);
    else
        write_span(&c->in, bytes_of(data + at, len - at));
    flush(b, c);
}

static void ready(struct bench *b, struct connection *c, uint32_t events, char *buffer) {
    if (c->gone) return;
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        ssize_t n = recv(c->fd, buffer, READ_BYTES - 1, MSG_DONTWAIT);
        if (n > 0) {
            buffer[n] = 0;
            received(b, c, buffer, (size_t)n);
        } else if (n == 0 || errno != EAGAIN) {
            lose(b, c, n == 0 ? "closed by the server" : strerror(errno));
        }
    }
    if ((events & EPOLLOUT) && !c->gone) flush(b, c);
}

// ---- the run

static void print_report(const struct bench *b, double seconds, const struct rusage *from, const struct rusage *to) {
    const struct histogram *h = &b->latency;
    unsigned long long p50 = histogram_percentile(h, 500000), p99 = histogram_percentile(h, 990000),
                       p999 = histogram_percentile(h, 999000);
    double rate = seconds > 0 ? (double)h->count / seconds : 0;
    double user = (double)(to->ru_utime.tv_sec - from->ru_utime.tv_sec) +
                  (double)(to->ru_utime.tv_usec - from->ru_utime.tv_usec) / 1e6;
    double kernel = (double)(to->ru_stime.tv_sec - from->ru_stime.tv_sec) +
                    (double)(to->ru_stime.tv_usec - from->ru_stime.tv_usec) / 1e6;
    if (b->json) {
        printf("{\"work\":\"%s\",\"connections\":%u,\"outstanding\":%u,\"keys\":%u,\"bytes\":%u,\"seconds\":%.3f,"
               "\"operations\":%llu,\"per_second\":%.1f,\"requests_per_operation\":%u,\"p50_us\":%llu,\"p99_us\":%llu,"
               "\"p999_us\":%llu,\"max_us\":%llu,\"longest_gap_ms\":%.1f,\"errors\":%llu,\"refused\":%llu,"
               "\"empty_claims\":%llu,\"connections_lost\":%u,\"generator_user_cpu_s\":%.3f,"
               "\"generator_system_cpu_s\":%.3f}\n",
               works[b->work].name, b->connection_count, b->connection_count * b->depth, b->keys, b->size, seconds,
               (unsigned long long)h->count, rate, works[b->work].steps, p50, p99, p999, (unsigned long long)h->max,
               (double)b->gap_us / 1000.0, (unsigned long long)b->errors, (unsigned long long)b->refused,
               (unsigned long long)b->empty, b->gone, user, kernel);
        return;
    }
    printf("%s: %u connections, %u outstanding, %u keys\n", works[b->work].name, b->connection_count,
           b->connection_count * b->depth, b->keys);
    printf("  %.0f operations/s of %u requests each   (%llu in %.2f s)\n", rate, works[b->work].steps,
           (unsigned long long)h->count, seconds);
    printf("  latency us: p50 %llu   p99 %llu   p99.9 %llu   max %llu\n", p50, p99, p999, (unsigned long long)h->max);
    printf("  longest gap without an answer: %.1f ms;   errors %llu%s%s;   refused %llu;   empty claims %llu;   "
           "connections lost %u\n",
           (double)b->gap_us / 1000.0, (unsigned long long)b->errors, b->errors > 0 ? ", the first " : "",
           b->first_error, (unsigned long long)b->refused, (unsigned long long)b->empty, b->gone);
    printf("  this generator used %.2f s of CPU in user and %.2f s in the kernel\n", user, kernel);
}

static bool finished(const struct bench *b, uint64_t now) {
    if (b->gone == b->connection_count) return true;
    if (b->lanes_done + b->errors >= (uint64_t)b->connection_count * b->depth && b->work == WORK_WAIT) return true;
    return b->end_us != 0 && now >= b->end_us;
}

static void begin_measuring(struct bench *b, uint64_t now, struct rusage *usage) {
    b->begin_us = now;
    b->last_us = b->gap_us = 0;
    if (b->work != WORK_WAIT) b->end_us = now + (uint64_t)b->seconds * 1000000u;
    getrusage(RUSAGE_SELF, usage);
}

static int run(struct bench *b) {
    struct epoll_event events[256];
    struct rusage before = {0}, after;
    for (uint32_t i = 0; i < b->connection_count; i++)
        if (!open_connection(b, &b->connections[i])) return 1;
    char *buffer = mem_alloc(READ_BYTES);
    uint64_t start = now_us(), next_line = start + 1000000u, now = start;
    if (b->warm_seconds == 0) begin_measuring(b, start, &before);
    for (uint32_t i = 0; i < b->connection_count; i++) {
        struct connection *c = &b->connections[i];
        for (uint32_t lane = 0; lane < b->depth; lane++) send_lane(b, c, &c->lanes[lane], now);
        flush(b, c);
    }
    while (!finished(b, now)) {
        int n = epoll_wait(b->epoll, events, 256, 50);
        for (int i = 0; i < n; i++) ready(b, events[i].data.ptr, events[i].events, buffer);
        now = now_us();
        if (b->begin_us == 0 && now >= start + (uint64_t)b->warm_seconds * 1000000u) begin_measuring(b, now, &before);
        if (now < next_line) continue;
        if (!b->quiet)
            fprintf(stderr, "%5.0f s  %8llu operations/s%s\n", (double)(now - start) / 1e6,
                    (unsigned long long)b->second_count, b->begin_us == 0 ? "  (warming up)" : "");
        b->second_count = 0;
        next_line += 1000000u;
    }
    getrusage(RUSAGE_SELF, &after);
    print_report(b, b->begin_us == 0 ? 0 : (double)(now - b->begin_us) / 1e6, &before, &after);
    mem_free(buffer);
    return b->latency.count == 0 ? 1 : 0;
}

// ---- the command line

static bool parse_host(struct bench *b, const char *text) {
    char copy[128];
    snprintf(copy, sizeof copy, "%s", text);
    snprintf(b->host_name, sizeof b->host_name, "%s", text);
    char *colon = strrchr(copy, ':'), *name = copy;
    if (colon == NULL) return false;
    *colon = 0;
    if (*name == '[') name[strcspn(name, "]")] = 0, name++;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(name, colon + 1, &hints, &found) != 0) return false;
    memcpy(&b->host, found->ai_addr, found->ai_addrlen);
    b->host_length = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static void raise_file_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void make_connections(struct bench *b) {
    b->epoll = epoll_create1(EPOLL_CLOEXEC);
    b->value = mem_zalloc(b->size + 1);
    memset(b->value, 'v', b->size);
    b->connections = mem_zalloc(b->connection_count * sizeof *b->connections);
    for (uint32_t i = 0; i < b->connection_count; i++) {
        struct connection *c = &b->connections[i];
        c->fd = -1;
        writer_init(&c->out);
        writer_init(&c->in);
        c->lanes = mem_zalloc(b->depth * sizeof *c->lanes);
        c->ring = mem_zalloc(b->depth * sizeof *c->ring);
        for (uint32_t lane = 0; lane < b->depth; lane++) c->lanes[lane].number = i * b->depth + lane;
    }
}

static void free_connections(struct bench *b) {
    for (uint32_t i = 0; i < b->connection_count; i++) {
        struct connection *c = &b->connections[i];
        if (c->fd >= 0) close(c->fd);
        writer_free(&c->out);
        writer_free(&c->in);
        mem_free(c->lanes);
        mem_free(c->ring);
    }
    mem_free(b->connections);
    mem_free(b->value);
    close(b->epoll);
}

int bench_native_main(int argc, char **argv) {
    const char *host = "127.0.0.1:7450", *connections = "64", *outstanding = "1024", *size = "100", *work = "limiter",
               *seconds = "10", *warm = "2", *keys = "1000";
    struct bench b = {0};
    const struct option_row rows[] = {
        {"server", 's', "HOST:PORT", "the HTTP listener of a node (127.0.0.1:7450)", &host, NULL},
        {"work", 'w', "NAME",
         "limiter (token bucket), idempotency (begin + complete), queue (push + claim + ack), lock (acquire + release "
         "of one of its own), sequence; wait: all wait for the lock bench-0; measured from the first grant on "
         "(limiter)",
         &work, NULL},
        {"connections", 0, "N", "connections (64)", &connections, NULL},
        {"outstanding", 0, "N", "requests under way on all connections together (1024)", &outstanding, NULL},
        {"keys", 0, "N", "limits, sequences, keys of the queue (1000)", &keys, NULL},
        {"size", 0, "BYTES", "of a message, or of what complete stores (100)", &size, NULL},
        {"seconds", 0, "N", "measured time (10)", &seconds, NULL},
        {"warm", 0, "N", "seconds before that which do not count (2)", &warm, NULL},
        {"json", 0, NULL, "one JSON object instead of words", NULL, &b.json},
        {"quiet", 'q', NULL, "no progress lines", NULL, &b.quiet},
    };
    const struct option_table table = {"bench native",
                                       "parley bench native [FLAGS]",
                                       "Loads the native operations of one node over pipelined HTTP/1.1, and prints "
                                       "throughput, latency percentiles\nof whole operations and its own use of CPU.",
                                       rows,
                                       sizeof rows / sizeof rows[0],
                                       0,
                                       0};
    size_t argument_count = 0;
    char **arguments = mem_alloc((size_t)(argc + 1) * sizeof *arguments);
    int code = options_read(&table, argc, argv, arguments, &argument_count);
    mem_free(arguments);
    if (code >= 0) return code;
    const struct {
        const char *name, *text;
        unsigned long long low, high;
        uint32_t *to;
    } numbers[] = {{"connections", connections, 1, 100000, &b.connection_count},
                   {"outstanding", outstanding, 1, 10000000, &b.depth},
                   {"keys", keys, 1, 100000000, &b.keys},
                   {"size", size, 0, 65536, &b.size},
                   {"seconds", seconds, 1, 86400, &b.seconds},
                   {"warm", warm, 0, 3600, &b.warm_seconds}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        unsigned long long n;
        if (!options_number(numbers[i].text, numbers[i].low, numbers[i].high, &n))
            return options_wrong(&table, "--%s must be a whole number from %llu to %llu", numbers[i].name,
                                 numbers[i].low, numbers[i].high);
        *numbers[i].to = (uint32_t)n;
    }
    size_t which = 0, count = sizeof works / sizeof works[0];
    while (which < count && strcmp(works[which].name, work) != 0) which++;
    if (which == count) return options_wrong(&table, "--work: there is no work '%s'", work);
    if (!parse_host(&b, host)) return options_wrong(&table, "--server: '%s' is no HOST:PORT", host);
    b.work = (enum work)which;
    b.depth = b.depth / b.connection_count > 0 ? b.depth / b.connection_count : 1;
    b.run = now_us() / 1000;
    if (b.work == WORK_WAIT) b.warm_seconds = 0;
    raise_file_limit();
    make_connections(&b);
    code = run(&b);
    free_connections(&b);
    return code;
}
