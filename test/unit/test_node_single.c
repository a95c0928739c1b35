// One node on real loops and a real disk: what was acknowledged is there after every kind of end, replies keep their
// order, the keep-alive rule holds, and a client that does not read is bounded.
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "model/lock/lock.h"
#include "protocol/http/http.h"
#include "support/agent.h"
#include "support/line_protocol.h"
#include "support/node_rig.h"

struct fixture {
    struct rig_node rig;
    struct line_client client;
    char folder[256], line[512];
    int port;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    rig_folder(f->folder, "single");
    f->port = rig_free_port();
    rig_init(&f->rig, 1, f->folder, f->port);
    f->client.fd = -1;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    line_close_client(&f->client);
    if (f->rig.running) rig_stop(&f->rig);
    rig_remove(f->folder);
    free(f);
    return 0;
}

static void start(struct fixture *f) {
    if (!rig_start(&f->rig)) fail_msg("%s", f->rig.error);
    assert_true(line_connect(&f->client, f->rig.address));
}

#define ASK(f, expected, ...) assert_string_equal(line_ask(&(f)->client, (f)->line, __VA_ARGS__), (expected))

static void test_write_and_read(void **state) {
    struct fixture *f = *state;
    start(f);
    ASK(f, "OK 0", "CREATE /a one");
    ASK(f, "DATA one", "GET /a");
    ASK(f, "OK 1", "SET /a two");
    ASK(f, "SYNCED", "SYNC");
    ASK(f, "DATA two", "GET /a");
    ASK(f, "ERR -110", "CREATE /a again");
    ASK(f, "ERR -101", "GET /b");
    ASK(f, "PONG", "PING");
}

static void test_orderly_restart(void **state) {
    struct fixture *f = *state;
    start(f);
    for (int i = 0; i < 50; i++) ASK(f, "OK 0", "CREATE /n%d v%d", i, i);
    rig_stop(&f->rig);
    line_close_client(&f->client);
    start(f);
    assert_true(rig_wait_ready(&f->rig));
    ASK(f, "SYNCED", "SYNC");
    for (int i = 0; i < 50; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "DATA v%d", i);
        ASK(f, expected, "GET /n%d", i);
    }
    ASK(f, "OK 0", "CREATE /after x");
}

static void test_crashed_loops(void **state) { // the process goes on, the node ends without a word
    struct fixture *f = *state;
    start(f);
    for (int i = 0; i < 20; i++) ASK(f, "OK 0", "CREATE /n%d v", i);
    rig_crash(&f->rig);
    line_close_client(&f->client);
    start(f);
    ASK(f, "SYNCED", "SYNC");
    for (int i = 0; i < 20; i++) ASK(f, "DATA v", "GET /n%d", i);
}

// kill -9 in the middle of a pipeline: each write that was acknowledged is there, and what is there is a beginning of
// what was sent.
static void test_killed(void **state) {
    struct fixture *f = *state;
    uint64_t acknowledged = 0;
    for (int round = 0; round < 3; round++) {
        pid_t child = rig_fork(&f->rig);
        assert_true(line_connect(&f->client, f->rig.address));
        char name[32];
        snprintf(name, sizeof name, "/r%d", round);
        ASK(f, "SYNCED", "SYNC");
        for (int before = 0; before < round; before++) ASK(f, "DATA x", "GET /r%d", before);
        ASK(f, "OK 0", "CREATE %s x", name);
        int sent = 0, acked = 0;
        for (; sent < 300; sent++) line_send(&f->client, "CREATE /r%d/%d v%d", round, sent, sent);
        while (acked < 40 + 30 * round) {
            assert_true(line_read(&f->client, f->line, sizeof f->line, 10000));
            assert_string_equal(f->line, "OK 0");
            acked++;
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        waitpid(child, NULL, 0);
        line_close_client(&f->client);
        acknowledged += (uint64_t)acked;

        child = rig_fork(&f->rig);
        assert_true(line_connect(&f->client, f->rig.address));
        ASK(f, "SYNCED", "SYNC");
        int there = 0;
        bool hole = false;
        for (int i = 0; i < sent; i++) {
            bool found = strncmp(line_ask(&f->client, f->line, "GET /r%d/%d", round, i), "DATA v", 6) == 0;
            if (found && hole) fail_msg("a later write is there, an earlier one is not: %d", i);
            if (!found) hole = true;
            there += found ? 1 : 0;
        }
        if (there < acked) fail_msg("acknowledged %d, found %d", acked, there);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        line_close_client(&f->client);
    }
    assert_true(acknowledged > 100);
}

static void test_pipeline_order(void **state) {
    struct fixture *f = *state;
    start(f);
    ASK(f, "OK 0", "CREATE /p 0");
    enum { N = 3000 };
    pid_t writer = fork(); // writes while we read, so neither side's buffers stop the test
    if (writer == 0) {
        for (int i = 1; i <= N; i++) {
            line_send(&f->client, "SET /p v%d", i);
            line_send(&f->client, "GET /p");
            if (i % 7 == 0) line_send(&f->client, "SYNC");
        }
        _exit(0);
    }
    char expected[64];
    for (int i = 1; i <= N; i++) {
        assert_true(line_read(&f->client, f->line, sizeof f->line, 10000));
        snprintf(expected, sizeof expected, "OK %d", i);
        assert_string_equal(f->line, expected);
        assert_true(line_read(&f->client, f->line, sizeof f->line, 10000));
        // A read sees the connection's own write before it, and maybe those behind it.
        assert_memory_equal(f->line, "DATA v", 6);
        assert_true(atoi(f->line + 6) >= i);
        if (i % 7 != 0) continue;
        assert_true(line_read(&f->client, f->line, sizeof f->line, 10000));
        assert_string_equal(f->line, "SYNCED");
    }
    waitpid(writer, NULL, 0);
}

static void test_snapshot_and_restart(void **state) {
    struct fixture *f = *state;
    start(f);
    for (int i = 0; i < 200; i++) ASK(f, "OK 0", "CREATE /n%d v%d", i, i);
    uint64_t index = rig_snapshot(&f->rig);
    assert_true(index >= 200);
    for (int i = 0; i < 100; i++) ASK(f, "OK 1", "SET /n%d w%d", i, i);
    uint64_t second = rig_snapshot(&f->rig);
    assert_true(second >= index + 100);
    ASK(f, "OK 0", "CREATE /last x");
    rig_crash(&f->rig);
    line_close_client(&f->client);
    start(f);
    ASK(f, "SYNCED", "SYNC");
    ASK(f, "DATA w0", "GET /n0");
    ASK(f, "DATA v150", "GET /n150");
    ASK(f, "DATA x", "GET /last");
    assert_int_equal(rig_state(&f->rig).snapshot_index, second);
}

static void test_snapshots_by_policy(void **state) {
    struct fixture *f = *state;
    f->rig.options.snapshot_every_entries = 50;
    start(f);
    // A child that is given little of a busy machine finishes later: entries go on until two have.
    int i = 0;
    for (; i < 400 || (rig_state(&f->rig).metrics.snapshots_made < 2 && i < 100000); i++)
        ASK(f, "OK 0", "CREATE /n%d v%d", i, i);
    assert_true(rig_state(&f->rig).metrics.snapshots_made >= 2);
    rig_stop(&f->rig);
    line_close_client(&f->client);
    start(f);
    ASK(f, "SYNCED", "SYNC");
    for (i = 0; i < 400; i += 37) {
        char expected[32];
        snprintf(expected, sizeof expected, "DATA v%d", i);
        ASK(f, expected, "GET /n%d", i);
    }
}

static void attach(struct fixture *f, struct line_client *client, unsigned timeout_ms, char id[32], char password[64]) {
    line_ask(client, f->line, "ATTACH %u", timeout_ms);
    assert_int_equal(sscanf(f->line, "SESSION %31s %63s", id, password), 2);
}

static bool there_is(struct fixture *f, const char *path) {
    return strncmp(line_ask(&f->client, f->line, "GET %s", path), "DATA", 4) == 0;
}

static uint64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// A session that is used lives on; one that only sleeps ends after T + G, and its ephemerals with it.
static void test_keep_alive(void **state) {
    struct fixture *f = *state;
    struct line_client used, idle;
    char id[32], password[64];
    start(f);
    assert_true(line_connect(&used, f->rig.address));
    assert_true(line_connect(&idle, f->rig.address));
    attach(f, &used, 1000, id, password);
    attach(f, &idle, 1000, id, password);
    assert_string_equal(line_ask(&used, f->line, "EPHEMERAL /used x"), "OK 0");
    assert_string_equal(line_ask(&idle, f->line, "EPHEMERAL /idle x"), "OK 0");
    uint64_t begin = clock_ms();
    while (clock_ms() - begin < 10000 && there_is(f, "/idle")) {
        assert_string_equal(line_ask(&used, f->line, "PING"), "PONG");
        usleep(20000); // a client's pings; the test waits for the node, not for this
    }
    uint64_t took = clock_ms() - begin;
    assert_true(took >= 1000 && took < 10000);
    assert_true(there_is(f, "/used"));
    assert_false(line_read(&idle, f->line, sizeof f->line, 5000)); // its connection was closed
    // An orderly close: the reply comes, then the end; the ephemeral is gone.
    assert_string_equal(line_ask(&used, f->line, "CLOSE"), "OK 0");
    assert_false(line_read(&used, f->line, sizeof f->line, 5000));
    assert_false(there_is(f, "/used"));
    line_close_client(&used);
    line_close_client(&idle);
}

static void test_session_moves(void **state) {
    struct fixture *f = *state;
    struct line_client first, second;
    char id[32], password[64];
    start(f);
    assert_true(line_connect(&first, f->rig.address));
    assert_true(line_connect(&second, f->rig.address));
    attach(f, &first, 5000, id, password);
    assert_string_equal(line_ask(&first, f->line, "EPHEMERAL /mine x"), "OK 0");
    line_ask(&second, f->line, "ATTACH 5000 %s %s", id, password);
    assert_memory_equal(f->line, "SESSION ", 8);
    assert_false(line_read(&first, f->line, sizeof f->line, 5000)); // closed
    assert_true(there_is(f, "/mine"));
    assert_string_equal(line_ask(&second, f->line, "SET /mine y"), "OK 1");
    line_ask(&f->client, f->line, "ATTACH 5000 %s 00000000000000000000000000000000", id);
    assert_memory_equal(f->line, "ERR", 3); // a wrong password
    line_close_client(&first);
    line_close_client(&second);
}

// A restart of the node ends no session that its client still holds.
static void test_session_survives_restart(void **state) {
    struct fixture *f = *state;
    char id[32], password[64];
    start(f);
    attach(f, &f->client, 8000, id, password);
    ASK(f, "OK 0", "EPHEMERAL /mine x");
    rig_crash(&f->rig);
    line_close_client(&f->client);
    start(f);
    line_ask(&f->client, f->line, "ATTACH 8000 %s %s", id, password);
    assert_memory_equal(f->line, "SESSION ", 8);
    ASK(f, "OK 1", "SET /mine y");
}

// 512 MB asked for, nothing read: the node holds back, others are served, memory stays bounded; the rest comes once it
// is read.
static void test_slow_reader(void **state) {
    struct fixture *f = *state;
    struct line_client slow;
    start(f);
    assert_true(line_connect(&slow, f->rig.address));
    for (int i = 0; i < 512; i++) line_send(&slow, "FLOOD 1000000");
    for (int i = 0; i < 200; i++) ASK(f, "PONG", "PING");
    uint64_t sent = rig_state(&f->rig).metrics.bytes_out;
    assert_true(sent < 64u << 20);
    static char sink[1 << 20];
    uint64_t got = 0, lines = 0;
    while (lines < 512) {
        ssize_t n = recv(slow.fd, sink, sizeof sink, 0);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++) lines += sink[i] == '\n';
        got += (uint64_t)n;
    }
    assert_int_equal(got, 512u * 1000001u);
    line_close_client(&slow);
}

static void test_end_of_input_is_answered(void **state) { // printf ... | nc
    struct fixture *f = *state;
    start(f);
    line_send(&f->client, "CREATE /nc x");
    line_send(&f->client, "GET /nc");
    shutdown(f->client.fd, SHUT_WR);
    assert_true(line_read(&f->client, f->line, sizeof f->line, 10000));
    assert_string_equal(f->line, "OK 0");
    assert_true(line_read(&f->client, f->line, sizeof f->line, 10000));
    assert_string_equal(f->line, "DATA x");
    assert_false(line_read(&f->client, f->line, sizeof f->line, 10000));
}

// ---- HTTP answers that come later, to a client that has shut its sending side
#define BACKUP_BYTES (2 * HTTP_BACKUP_TURN_BYTES + 5) // three pieces, each in a tick of its own
static uint64_t backup_left;
static void *backup_open(void *context, uint64_t index, uint64_t *bytes, char name[64]) {
    *bytes = backup_left = BACKUP_BYTES;
    snprintf(name, 64, "%llu.snap", (unsigned long long)index);
    return &backup_left;
}
static int64_t backup_read(void *backup, void *data, size_t len) {
    if (len > backup_left) len = (size_t)backup_left;
    memset(data, 'x', len);
    backup_left -= len;
    return (int64_t)len;
}
static void backup_close(void *backup) {}

// What comes until the other side closes; the first bytes are kept in `head`.
static uint64_t ask_and_shut(const char *address, const char *request, char head[64]) {
    struct line_client client;
    assert_true(line_connect(&client, address));
    line_send(&client, "%s", request);
    shutdown(client.fd, SHUT_WR);
    uint64_t got = 0;
    char sink[1 << 16];
    ssize_t n;
    while ((n = recv(client.fd, sink, sizeof sink, 0)) > 0) {
        if (got == 0) snprintf(head, 64, "%.*s", n < 63 ? (int)n : 63, sink);
        got += (uint64_t)n;
    }
    assert_int_equal(n, 0);
    line_close_client(&client);
    return got;
}

static void test_end_of_input_waits_for_late_answers(void **state) {
    struct fixture *f = *state;
    char address[64], head[64] = "";
    snprintf(address, sizeof address, "127.0.0.1:%d", rig_free_port());
    struct http_settings settings = {
        .backup_open = backup_open, .backup_read = backup_read, .backup_close = backup_close};
    struct node_listener listeners[2] = {
        f->rig.listener,
        {.protocol = &http_protocol, .address = address, .settings = &settings, .advertised_as = ADVERTISED_HTTP}};
    f->rig.options.listeners = listeners;
    f->rig.options.listener_count = 2;
    start(f);
    settings.node = f->rig.node;
    ASK(f, "OK 0", "CREATE /a one");
    // The administration's answer comes by way of the other loop, the backup's behind a child process and in pieces.
    ask_and_shut(address, "POST /v1/leader/transfer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", head);
    assert_non_null(strstr(head, "HTTP/1.1 4"));
    assert_true(ask_and_shut(address, "GET /v1/backup HTTP/1.1\r\nHost: localhost\r\n\r\n", head) > BACKUP_BYTES);
    assert_non_null(strstr(head, "HTTP/1.1 200"));
    // More requests than one piece of input is answered at once: the rest comes at the next ticks.
    char many[4096] = "";
    for (unsigned i = 0; i < 2 * HTTP_PIPELINED_MAX + 1; i++) strcat(many, "GET /healthz HTTP/1.1\r\n\r\n");
    uint64_t one = ask_and_shut(address, "GET /healthz HTTP/1.1\r\n\r\n", head);
    assert_int_equal(ask_and_shut(address, many, head), one * (2 * HTTP_PIPELINED_MAX + 1));
    rig_stop(&f->rig);
}

static void test_taken_port_is_a_clear_error(void **state) {
    struct fixture *f = *state;
    start(f);
    struct rig_node other;
    char folder[256];
    rig_folder(folder, "other");
    rig_init(&other, 1, folder, f->port);
    assert_false(rig_start(&other));
    assert_non_null(strstr(other.error, "--line"));
    rig_remove(folder);
    rig_init(&other, 1, f->folder, rig_free_port());
    assert_false(rig_start(&other)); // the folder is locked
    assert_true(strlen(other.error) > 0);
}

static void test_many_clients_one_by_one(void **state) { // tombstones: clients that leave with commands under way
    struct fixture *f = *state;
    start(f);
    ASK(f, "OK 0", "CREATE /t 0");
    for (int i = 0; i < 200; i++) {
        struct line_client client;
        assert_true(line_connect(&client, f->rig.address));
        for (int k = 0; k < 5; k++) line_send(&client, "SET /t %d", i * 5 + k);
        if (i % 3 == 0) line_read(&client, f->line, sizeof f->line, 10000);
        line_close_client(&client);
    }
    ASK(f, "SYNCED", "SYNC");
    assert_true(there_is(f, "/t"));
}

// ---- a full disk: the io's table with a disk_submit that fails while `full`
static struct {
    struct io_ops ops;
    void (*submit)(struct io *io, struct io_disk_job *job);
    _Atomic bool full;
} disk;

struct failing {
    struct io_timer timer;
    struct io *io;
    struct io_disk_job *job;
};

static void on_fail(struct io_timer *timer) {
    struct failing *failing = timer->context;
    struct io_disk_job *job = failing->job;
    failing->io->ops->timer_stop(failing->io, timer);
    free(failing);
    job->failed_sync = false;
    job->done(job, -ENOSPC);
}

static void submit(struct io *io, struct io_disk_job *job) {
    if (!disk.full || job->op == IO_DISK_READ) {
        disk.submit(io, job);
        return;
    }
    struct failing *failing = calloc(1, sizeof *failing);
    failing->timer = (struct io_timer){.fire = on_fail, .context = failing};
    failing->io = io;
    failing->job = job;
    io->ops->timer_start(io, &failing->timer, 0);
}

static void patch_disk(struct rig_node *rig, struct io *io) {
    disk.ops = *io->ops;
    disk.submit = io->ops->disk_submit;
    disk.ops.disk_submit = submit;
    io->ops = &disk.ops;
}

// A full disk refuses writes with its own error, reads go on; with room again so do writes, and what was acknowledged
// is there.
static void test_full_disk(void **state) {
    struct fixture *f = *state;
    f->rig.patch_replication_io = patch_disk;
    disk.full = false;
    start(f);
    ASK(f, "OK 0", "CREATE /a one");
    disk.full = true;
    line_send(&f->client, "SET /a stuck"); // has its number: it waits
    struct line_client other;
    assert_true(line_connect(&other, f->rig.address));
    int refused = 0;
    for (int i = 0; i < 400 && refused < 3; i++) {
        line_send(&other, "SET /a refused");
        // The first ones may have been taken before the disk said that it is full.
        if (!line_read(&other, f->line, sizeof f->line, 200)) {
            line_close_client(&other);
            assert_true(line_connect(&other, f->rig.address));
            continue;
        }
        assert_string_equal(f->line, "ERR -1006");
        refused++;
    }
    assert_int_equal(refused, 3);
    assert_string_equal(line_ask(&other, f->line, "GET /a"), "DATA one");
    disk.full = false;
    assert_true(line_read(&f->client, f->line, sizeof f->line, 10000));
    assert_memory_equal(f->line, "OK ", 3);
    int attempts = 0;
    while (strncmp(line_ask(&f->client, f->line, "SET /a two"), "OK", 2) != 0 && attempts++ < 100) usleep(20000);
    assert_true(attempts < 100);
    line_close_client(&other);
    rig_crash(&f->rig);
    line_close_client(&f->client);
    f->rig.patch_replication_io = NULL;
    start(f);
    ASK(f, "SYNCED", "SYNC");
    ASK(f, "DATA two", "GET /a");
}

static void test_one_loop(void **state) {
    struct fixture *f = *state;
    f->rig.one_loop = true;
    start(f);
    for (int i = 0; i < 50; i++) ASK(f, "OK 0", "CREATE /n%d v%d", i, i);
    ASK(f, "SYNCED", "SYNC");
    assert_true(rig_snapshot(&f->rig) >= 50);
    rig_stop(&f->rig);
    line_close_client(&f->client);
    start(f);
    ASK(f, "SYNCED", "SYNC");
    ASK(f, "DATA v49", "GET /n49");
}

// ---- clients without a socket

static void agent_write(struct rig_node *rig, void *context) {
    struct agent *agent = context;
    struct writer w;
    struct lock_request request = {.name = bytes_of_text("orders"), .owner = bytes_of_text("a"), .permits = 1};
    writer_init(&w);
    lock_write_acquire(&w, agent->session, client_attach_number(agent->client), &request);
    client_submit(agent->client, bytes_of(w.data, w.len));
    writer_free(&w);
    client_read_index(agent->client);
    client_write(agent->client, "x", 1); // goes nowhere
    struct io_conn_info info;
    client_info(agent->client, &info);
    ENSURE(info.remote[0] == 0 && !client_secure(agent->client) && client_may_tell(agent->client));
}

static void agent_touch(struct rig_node *rig, void *context) {
    client_touch(((struct agent *)context)->client);
}

static void agent_copy(struct rig_node *rig, void *context) {
    struct agent **both = context;
    *both[1] = *both[0];
}

// What is seen of it, once `holds`.
static struct agent agent_until(struct fixture *f, struct agent *agent, bool (*holds)(const struct agent *agent)) {
    struct agent seen = {0}, *both[2] = {agent, &seen};
    for (int i = 0; i < 2000 && !holds(&seen); i++) {
        rig_call(&f->rig, agent_copy, both);
        usleep(5000); // asks again; nothing depends on this length
    }
    if (!holds(&seen)) fail_msg("waited in vain");
    return seen;
}
static bool has_session(const struct agent *agent) {
    return agent->session != 0;
}
static bool has_answers(const struct agent *agent) {
    return agent->replies == 2 && agent->reads == 1;
}
static bool was_acked(const struct agent *agent) {
    return agent->acks > 0;
}
static bool was_closed(const struct agent *agent) {
    return agent->closes > 0;
}

// It has a session as others do: commands, reads, acknowledged activity; and ends with it.
static void test_client_without_a_socket(void **state) {
    struct fixture *f = *state;
    struct agent agent = {0};
    start(f);
    assert_true(rig_wait_ready(&f->rig));
    uint64_t connections = rig_state(&f->rig).metrics.connections_open;
    rig_call(&f->rig, agent_open, &agent);
    agent_until(f, &agent, has_session);
    assert_int_equal(rig_state(&f->rig).metrics.connections_open, connections);
    rig_call(&f->rig, agent_write, &agent);
    assert_int_equal(agent_until(f, &agent, has_answers).error, 0);
    rig_call(&f->rig, agent_touch, &agent);
    assert_int_equal(agent_until(f, &agent, was_acked).closes, 0);
    assert_int_equal(agent_until(f, &agent, was_closed).closes, 1); // nothing is heard of it: it expires
    ASK(f, "PONG", "PING");
}

// Its end is told, and what is under way then leaves nothing behind; nobody gets a new one of a node that has ended.
static void test_client_without_a_socket_at_the_end(void **state) {
    struct fixture *f = *state;
    struct agent agent = {0};
    start(f);
    assert_true(rig_wait_ready(&f->rig));
    rig_call(&f->rig, agent_open, &agent);
    agent_until(f, &agent, has_session);
    rig_call(&f->rig, agent_write, &agent);
    rig_stop(&f->rig);
    assert_int_equal(agent.closes, 1);
    assert_true(agent.replies <= 2);
}

// Members may be of a binary that does not know the model: the node that is asked refuses, and the log never holds it.
static void test_model_above_the_apply_level(void **state) {
    struct fixture *f = *state;
    struct agent agent = {0};
    f->rig.options.apply_level_max = 1;
    start(f);
    assert_true(rig_wait_ready(&f->rig));
    rig_call(&f->rig, agent_open, &agent);
    agent_until(f, &agent, has_session);
    rig_call(&f->rig, agent_write, &agent);
    assert_int_equal(agent_until(f, &agent, has_answers).error, COMMAND_LEVEL);
    ASK(f, "OK 0", "CREATE /a x");
    rig_stop(&f->rig); // the agent is this function's
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_and_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orderly_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crashed_loops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipeline_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_snapshot_and_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_snapshots_by_policy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keep_alive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_without_a_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_without_a_socket_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model_above_the_apply_level, setup, teardown),
        cmocka_unit_test_setup_teardown(test_session_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_session_survives_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_of_input_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_of_input_waits_for_late_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_port_is_a_clear_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_clients_one_by_one, setup, teardown),
    };
    const char *only = getenv("TEST_ONLY");
    if (only != NULL) cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
