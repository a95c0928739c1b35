#include "support/node_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "io/io_uv_internal.h"
#include "node/internal.h"
#include "support/line_protocol.h"

#define LINE_MAX_BYTES 512

int rig_free_port(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    ENSURE(bind(fd, (struct sockaddr *)&address, len) == 0);
    ENSURE(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

void rig_folder(char folder[256], const char *name) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, 256, "%s/parley-%s-XXXXXX", base == NULL ? "/tmp" : base, name);
    ENSURE(mkdtemp(folder) != NULL);
}

void rig_remove(const char *folder) {
    char command[512];
    ENSURE(strstr(folder, "/parley-") != NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ENSURE(system(command) == 0);
}

void rig_init(struct rig_node *rig, uint32_t id, const char *folder, int port) {
    memset(rig, 0, sizeof *rig);
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->changed, NULL);
    snprintf(rig->folder, sizeof rig->folder, "%s", folder);
    snprintf(rig->address, sizeof rig->address, "127.0.0.1:%d", port);
    rig->listener = (struct node_listener){
        .protocol = &line_protocol, .address = rig->address, .advertised_as = ADVERTISED_ZOOKEEPER};
    rig->options = (struct node_options){.id = id,
                                         .data_folder = rig->folder,
                                         .listeners = &rig->listener,
                                         .listener_count = 1,
                                         .segment_bytes = 4u << 20};
}

static void on_stopped(void *context) {
    struct rig_node *rig = context;
    pthread_mutex_lock(&rig->lock);
    rig->stopped = true;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static void on_call(struct io_wake *wake) {
    struct rig_node *rig = wake->context;
    pthread_mutex_lock(&rig->lock);
    if (rig->call != NULL) {
        rig->call(rig, rig->call_context);
        rig->call = NULL;
        rig->called = true;
        pthread_cond_broadcast(&rig->changed);
    }
    pthread_mutex_unlock(&rig->lock);
}

static void on_idle_asked(struct io_wake *wake) { // replication loop
    struct rig_node *rig = wake->context;
    pthread_mutex_lock(&rig->lock);
    rig->idle = rig->node->replication.persists == 0;
    rig->called = true;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static void *run_loop(void *io) {
    io_uv_run(io);
    return NULL;
}

static void free_loops(struct rig_node *rig) {
    if (!rig->one_loop) io_uv_free(rig->service_io);
    io_uv_free(rig->replication_io);
    log_free(rig->log);
}

static bool prepare(struct rig_node *rig) {
    struct io_uv_options service = {0},
                         replication = {.journal_thread_name = "journal", .shared_turns = !rig->one_loop};
    const char *level_text = getenv("RIG_LOG");
    enum log_level level = LOG_LEVEL_OFF;
    if (level_text != NULL) log_level_parse(level_text, &level);
    rig->log = log_new(level, NULL, NULL);
    rig->replication_io = io_uv_new(&replication);
    rig->service_io = rig->one_loop ? rig->replication_io : io_uv_new(&service);
    if (rig->patch_replication_io != NULL) rig->patch_replication_io(rig, rig->replication_io);
    rig->options.service_io = rig->service_io;
    rig->options.replication_io = rig->replication_io;
    rig->options.log = rig->log;
    rig->stopped = false;
    rig->node = node_start(&rig->options, rig->error);
    if (rig->node == NULL) {
        free_loops(rig);
        return false;
    }
    rig->call_wake = (struct io_wake){.woken = on_call, .context = rig, .io = rig->service_io};
    ENSURE(rig->service_io->ops->wake_init(rig->service_io, &rig->call_wake) == 0);
    rig->idle_wake = (struct io_wake){.woken = on_idle_asked, .context = rig, .io = rig->replication_io};
    ENSURE(rig->replication_io->ops->wake_init(rig->replication_io, &rig->idle_wake) == 0);
    return true;
}

bool rig_start(struct rig_node *rig) {
    if (!prepare(rig)) return false;
    if (!rig->one_loop) ENSURE(pthread_create(&rig->service_thread, NULL, run_loop, rig->service_io) == 0);
    ENSURE(pthread_create(&rig->replication_thread, NULL, run_loop, rig->replication_io) == 0);
    rig->running = true;
    return true;
}

static void on_drain_timer(struct io_timer *timer) {
    struct io *io = timer->context;
    if (uv_io_of(io)->jobs > 0)
        io->ops->timer_start(io, timer, 1000);
    else
        io_uv_stop(io);
}

// The journal's own jobs (zeros ahead) end after it was closed, and then it is freed.
static void drain_disk(struct io *io) {
    struct io_timer timer = {.fire = on_drain_timer, .context = io};
    io->ops->timer_start(io, &timer, 0);
    io_uv_run(io);
    io->ops->timer_stop(io, &timer);
}

static void end_loops(struct rig_node *rig) {
    if (!rig->one_loop) io_uv_stop(rig->service_io);
    io_uv_stop(rig->replication_io);
    if (!rig->one_loop) pthread_join(rig->service_thread, NULL);
    pthread_join(rig->replication_thread, NULL);
    rig->service_io->ops->wake_close(&rig->call_wake);
    rig->replication_io->ops->wake_close(&rig->idle_wake);
    node_free(rig->node);
    rig->node = NULL;
    drain_disk(rig->replication_io);
    free_loops(rig);
    rig->running = false;
}

void rig_stop(struct rig_node *rig) {
    if (!rig->running) return;
    node_stop(rig->node, on_stopped, rig);
    pthread_mutex_lock(&rig->lock);
    while (!rig->stopped) pthread_cond_wait(&rig->changed, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
    end_loops(rig);
}

// Both halves stand still from here on, as if dead; what the disk was told to do it still does, and its answers are
// dropped.
void rig_crash(struct rig_node *rig) {
    if (!rig->running) return;
    atomic_store(&rig->node->dead, true);
    do {
        pthread_mutex_lock(&rig->lock);
        rig->called = false;
        rig->replication_io->ops->wake_signal(&rig->idle_wake);
        while (!rig->called) pthread_cond_wait(&rig->changed, &rig->lock);
        pthread_mutex_unlock(&rig->lock);
    } while (!rig->idle);
    end_loops(rig);
}

void rig_call(struct rig_node *rig, void (*call)(struct rig_node *rig, void *context), void *context) {
    pthread_mutex_lock(&rig->lock);
    rig->call = call;
    rig->call_context = context;
    rig->called = false;
    rig->service_io->ops->wake_signal(&rig->call_wake);
    while (!rig->called) pthread_cond_wait(&rig->changed, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
}

static void take_state(struct rig_node *rig, void *context) {
    struct rig_state *state = context;
    struct service_status status;
    service_status(node_service(rig->node), &status);
    state->ready = node_ready(rig->node);
    state->leading = status.leading;
    state->leader = status.leader;
    state->applied = status.applied_index;
    state->snapshot_index = status.last_snapshot_index;
    state->voters = status.voters;
    state->members = status.members;
    node_get_metrics(rig->node, &state->metrics);
}

struct rig_state rig_state(struct rig_node *rig) {
    struct rig_state state = {0};
    rig_call(rig, take_state, &state);
    return state;
}

bool rig_wait(struct rig_node *rig, bool (*holds)(const struct rig_state *state, uint64_t argument), uint64_t argument,
              int timeout_ms) {
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (;;) {
        struct rig_state state = rig_state(rig);
        if (holds(&state, argument)) return true;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 > timeout_ms) return false;
        usleep(5000); // asks again; nothing depends on this length
    }
}

static bool is_ready(const struct rig_state *state, uint64_t argument) {
    return state->ready;
}

bool rig_wait_ready(struct rig_node *rig) {
    return rig_wait(rig, is_ready, 0, 10000);
}

struct snapshot_wait {
    struct rig_node *rig;
    bool done;
    uint64_t index;
};

static void on_snapshot(void *context, int error, uint64_t index) {
    struct snapshot_wait *wait = context;
    pthread_mutex_lock(&wait->rig->lock);
    wait->done = true;
    wait->index = error == 0 ? index : 0;
    pthread_cond_broadcast(&wait->rig->changed);
    pthread_mutex_unlock(&wait->rig->lock);
}

static void ask_snapshot(struct rig_node *rig, void *context) {
    node_snapshot(rig->node, on_snapshot, context);
}

uint64_t rig_snapshot(struct rig_node *rig) {
    struct snapshot_wait wait = {.rig = rig};
    rig_call(rig, ask_snapshot, &wait);
    pthread_mutex_lock(&rig->lock);
    while (!wait.done) pthread_cond_wait(&rig->changed, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
    return wait.index;
}

struct admin_wait {
    struct rig_node *rig;
    enum core_admin what;
    uint32_t member;
    const char *address;
    bool done;
    int error;
    char text[256];
};

static void on_admin(void *context, int error, const char *text) {
    struct admin_wait *wait = context;
    pthread_mutex_lock(&wait->rig->lock);
    wait->done = true;
    wait->error = error;
    snprintf(wait->text, sizeof wait->text, "%s", text);
    pthread_cond_broadcast(&wait->rig->changed);
    pthread_mutex_unlock(&wait->rig->lock);
}

static void ask_admin(struct rig_node *rig, void *context) {
    struct admin_wait *wait = context;
    node_admin(rig->node, wait->what, wait->member, wait->address, on_admin, wait);
}

int rig_admin(struct rig_node *rig, enum core_admin what, uint32_t member, const char *address, char text[256]) {
    struct admin_wait wait = {.rig = rig, .what = what, .member = member, .address = address};
    rig_call(rig, ask_admin, &wait);
    pthread_mutex_lock(&rig->lock);
    while (!wait.done) pthread_cond_wait(&rig->changed, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
    memcpy(text, wait.text, sizeof wait.text);
    return wait.error;
}

pid_t rig_fork(struct rig_node *rig) {
    pid_t pid = fork();
    ENSURE(pid >= 0);
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); // a failed test leaves no node behind
    if (!rig_start(rig)) {
        fprintf(stderr, "child: %s\n", rig->error);
        _exit(1);
    }
    for (;;) pause();
}

// ---- the line client

bool line_connect(struct line_client *client, const char *address) {
    memset(client, 0, sizeof *client);
    const char *colon = strrchr(address, ':');
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)atoi(colon + 1))};
    // A node in a child needs a moment to listen.
    for (int i = 0; i < 2000; i++) {
        client->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(client->fd, (struct sockaddr *)&to, sizeof to) == 0) {
            int one = 1;
            setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            return true;
        }
        close(client->fd);
        usleep(5000);
    }
    client->fd = -1;
    return false;
}

static void send_all(struct line_client *client, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = send(client->fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) return; // the reader sees the end
        data += n;
        len -= (size_t)n;
    }
}

void line_send(struct line_client *client, const char *format, ...) {
    char line[LINE_MAX_BYTES];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(line, sizeof line - 1, format, list);
    va_end(list);
    ENSURE(n > 0 && (size_t)n < sizeof line - 1);
    line[n++] = '\n';
    send_all(client, line, (size_t)n);
}

bool line_read(struct line_client *client, char *line, size_t max, int timeout_ms) {
    line[0] = 0;
    for (;;) {
        char *end = memchr(client->buf, '\n', client->len);
        if (end != NULL) {
            size_t n = (size_t)(end - client->buf);
            ENSURE(n < max);
            memcpy(line, client->buf, n);
            line[n] = 0;
            client->len -= n + 1;
            memmove(client->buf, end + 1, client->len);
            return true;
        }
        struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, timeout_ms) <= 0) return false;
        ssize_t n = recv(client->fd, client->buf + client->len, sizeof client->buf - client->len, 0);
        if (n <= 0) return false;
        client->len += (size_t)n;
    }
}

void line_close_client(struct line_client *client) {
    if (client->fd >= 0) close(client->fd);
    client->fd = -1;
}

const char *line_ask(struct line_client *client, char *line, const char *format, ...) {
    char out[LINE_MAX_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(out, sizeof out, format, list);
    va_end(list);
    line_send(client, "%s", out);
    line_read(client, line, LINE_MAX_BYTES, 20000);
    return line;
}
