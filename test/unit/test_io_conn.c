// io on libuv: connections over loopback.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/io_uv_internal.h"
#include "test/unit/support/io_fixture.h"

static const struct io_listen_options plain = {0};

static void *pattern(size_t len) {
    uint8_t *bytes = malloc(len);
    for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
    return bytes;
}

// A blocking client, for what a well-behaved one does not do.
static int raw_client(const char *address) {
    const char *colon = strrchr(address, ':');
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

// ---- echo
#define CLIENTS 200
static bool all_echoed(void *context) {
    const struct peer *clients = context;
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i].got.len < (size_t)(i + 1) * 100) return false;
    }
    return true;
}

static void echo_with_200_connections(void **state) {
    struct io_fixture f;
    struct acceptor a;
    static struct peer clients[CLIENTS];
    memset(clients, 0, sizeof clients);
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", &plain, CLIENTS), 0);
    a.echo = true;
    for (int i = 0; i < CLIENTS; i++) assert_int_equal(peer_connect(&clients[i], &f, a.address, NULL, 5000000), 0);
    for (int i = 0; i < CLIENTS; i++) assert_true(run_until_set(&f, &clients[i].open));
    uint8_t *bytes = pattern(CLIENTS * 100);
    for (int i = 0; i < CLIENTS; i++) {
        size_t len = (size_t)(i + 1) * 100, half = len / 3;
        f.io->ops->conn_write(clients[i].conn, bytes, half);
        f.io->ops->conn_write(clients[i].conn, bytes + half, len - half);
        assert_int_equal(f.io->ops->conn_pending(clients[i].conn), len);
    }
    assert_true(run_until(&f, all_echoed, clients));
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(clients[i].got.len, (size_t)(i + 1) * 100);
        assert_memory_equal(clients[i].got.data, bytes, clients[i].got.len);
        assert_int_equal(f.io->ops->conn_pending(clients[i].conn), 0);
        assert_int_equal(clients[i].closings, 0);
    }
    for (int i = 0; i < CLIENTS; i++) peer_free(&clients[i]);
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(run_until_set(&f, &a.peers[i].closed));
        assert_int_equal(a.peers[i].error, 0);
    }
    acceptor_close(&a);
    free(bytes);
    io_fixture_close(&f);
}

static void one_pair(struct io_fixture *f, struct acceptor *a, struct peer *client) {
    memset(client, 0, sizeof *client);
    io_fixture_open(f, NULL);
    assert_int_equal(acceptor_open(a, f, "127.0.0.1:0", &plain, 4), 0);
    assert_int_equal(peer_connect(client, f, a->address, NULL, 5000000), 0);
    assert_true(run_until_set(f, &client->open));
    assert_true(run_until_count(f, &a->count, 1));
}

static void pair_end(struct io_fixture *f, struct acceptor *a, struct peer *client) {
    peer_free(client);
    acceptor_close(a);
    io_fixture_close(f);
}

static void info_names_both_ends(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer client;
    one_pair(&f, &a, &client);
    struct io_conn_info mine, theirs;
    f.io->ops->conn_info(client.conn, &mine);
    f.io->ops->conn_info(a.peers[0].conn, &theirs);
    assert_string_equal(mine.remote, a.address);
    assert_string_equal(mine.remote, theirs.local);
    assert_string_equal(mine.local, theirs.remote);
    assert_false(mine.tls);
    assert_string_equal(mine.tls_subject, "");
    pair_end(&f, &a, &client);
}

static void accepted_sockets_inherit_nodelay_and_keepalive(void **state) {
    struct io_fixture f;
    struct acceptor a;
    io_fixture_open(&f, NULL);
    int low =
        open("/dev/null", O_RDONLY); // descriptors are given lowest first: the accepted one comes after the client's
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", &plain, 4), 0);
    int client = raw_client(a.address);
    assert_true(run_until_count(&f, &a.count, 1));
    int seen = 0;
    for (int fd = low; fd < low + 20; fd++) {
        struct sockaddr_in remote, local;
        socklen_t len = sizeof remote, local_len = sizeof local, int_len = sizeof(int);
        if (fd == client || getpeername(fd, (struct sockaddr *)&remote, &len) != 0) continue;
        getsockname(client, (struct sockaddr *)&local, &local_len);
        if (remote.sin_port != local.sin_port) continue;
        int nodelay = 0, keepalive = 0, idle = 0;
        getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &int_len);
        getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keepalive, &int_len);
        getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &int_len);
        assert_int_not_equal(nodelay, 0);
        assert_int_not_equal(keepalive, 0);
        assert_int_equal(idle, 60);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        seen++;
    }
    assert_int_equal(seen, 1);
    close(client);
    close(low);
    acceptor_close(&a);
    io_fixture_close(&f);
}

// The client shuts its sending side after a request: the answer still reaches it.
static void half_closed_client_gets_its_answer(void **state) {
    struct io_fixture f;
    struct acceptor a;
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", &plain, 4), 0);
    a.echo = true;
    int client = raw_client(a.address);
    assert_int_equal(write(client, "question", 8), 8);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    assert_true(run_until_count(&f, &a.count, 1));
    struct peer *server = &a.peers[0];
    assert_true(run_until_set(&f, &server->closed));
    assert_int_equal(server->error, 0);
    assert_int_equal(server->got.len, 8);
    f.io->ops->conn_write(server->conn, " answered late", 14); // after its end was read
    peer_close(server, true);
    run_turns(&f, 3);
    char got[64] = {0};
    assert_int_equal(recv(client, got, sizeof got, MSG_WAITALL), 22);
    assert_string_equal(got, "question answered late");
    close(client);
    acceptor_close(&a);
    io_fixture_close(&f);
}

static void a_reset_is_an_error_told_once(void **state) {
    struct io_fixture f;
    struct acceptor a;
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", &plain, 4), 0);
    int client = raw_client(a.address);
    assert_true(run_until_count(&f, &a.count, 1));
    run_turns(&f, 2);
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(client);
    struct peer *server = &a.peers[0];
    assert_true(run_until_set(&f, &server->closed));
    assert_int_equal(server->error, -ECONNRESET);
    f.io->ops->conn_write(server->conn, "nobody", 6); // after an error nothing happens
    assert_int_equal(f.io->ops->conn_pending(server->conn), 0);
    run_turns(&f, 5);
    assert_int_equal(server->closings, 1);
    acceptor_close(&a);
    io_fixture_close(&f);
}

// A session's attach waits in the log, its connection is not read meanwhile: that its client is gone must still be
// seen.
static void a_reset_is_seen_while_reading_is_stopped(void **state) {
    struct io_fixture f;
    struct acceptor a;
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", &plain, 4), 0);
    int client = raw_client(a.address);
    assert_true(run_until_count(&f, &a.count, 1));
    f.io->ops->conn_read_stop(a.peers[0].conn);
    run_turns(&f, 2);
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(client);
    assert_true(run_until_set(&f, &a.peers[0].closed));
    assert_int_equal(a.peers[0].error, -ECONNRESET);
    acceptor_close(&a);
    io_fixture_close(&f);
}

static void stopped_reading_keeps_bytes_and_end_for_later(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer client;
    one_pair(&f, &a, &client);
    struct peer *server = &a.peers[0];
    server->stop_after_read = true;
    f.io->ops->conn_write(client.conn, "one", 3);
    assert_true(run_until_got(server, 3));
    f.io->ops->conn_write(client.conn, "two", 3);
    peer_close(&client, true);
    run_turns(&f, 20);
    assert_int_equal(server->got.len, 3); // nothing while stopped, not even the end
    assert_false(server->closed);
    server->stop_after_read = false;
    f.io->ops->conn_read_start(server->conn);
    assert_true(run_until_got(server, 6));
    assert_memory_equal(server->got.data, "onetwo", 6);
    assert_true(run_until_set(&f, &server->closed));
    assert_int_equal(server->error, 0);
    assert_int_equal(server->closings, 1);
    pair_end(&f, &a, &client);
}

// ---- output
static bool drained_once(void *context) {
    return ((struct peer *)context)->drained > 0;
}

static void ten_megabytes_by_reference_to_a_slow_reader(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer client;
    one_pair(&f, &a, &client);
    struct peer *server = &a.peers[0];
    f.io->ops->conn_read_stop(client.conn);
    run_turns(&f, 2);
    size_t len = 10u << 20;
    uint8_t *bytes = pattern(len);
    struct buf *big = buf_copy(bytes, len), *small = buf_copy("tail", 4);
    f.io->ops->conn_write(server->conn, "head", 4);
    f.io->ops->conn_write_buf(server->conn, big, 0, len);
    f.io->ops->conn_write_buf(server->conn, small, 1, 3);
    buf_unref(big); // the queue has its own reference
    buf_unref(small);
    run_turns(&f, 10);
    assert_true(f.io->ops->conn_pending(server->conn) > 65536);
    assert_int_equal(server->drained, 0);
    f.io->ops->conn_read_start(client.conn);
    assert_true(run_until(&f, drained_once, server));
    assert_true(f.io->ops->conn_pending(server->conn) <= 65536);
    assert_true(run_until_got(&client, 4 + len + 3));
    assert_int_equal(client.got.len, 4 + len + 3);
    assert_memory_equal(client.got.data, "head", 4);
    assert_memory_equal(client.got.data + 4, bytes, len);
    assert_memory_equal(client.got.data + 4 + len, "ail", 3);
    assert_int_equal(server->drained, 1);
    assert_int_equal(f.io->ops->conn_pending(server->conn), 0);
    free(bytes);
    pair_end(&f, &a, &client);
}

static void many_pieces_keep_their_order(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer client;
    one_pair(&f, &a, &client);
    struct writer expected;
    writer_init(&expected);
    uint8_t *bytes = pattern(100000);
    for (unsigned i = 0; i < 600; i++) { // far more than fit one sendmsg's iovec
        size_t len = (i * 7919u) % 5000u, at = (i * 31u) % 90000u;
        write_span(&expected, bytes_of(bytes + at, len));
        if (i % 3 == 0) {
            f.io->ops->conn_write(client.conn, bytes + at, len);
        } else {
            struct buf *b = buf_copy(bytes, at + len);
            f.io->ops->conn_write_buf(client.conn, b, at, len);
            buf_unref(b);
        }
    }
    assert_true(run_until_got(&a.peers[0], expected.len));
    assert_int_equal(a.peers[0].got.len, expected.len);
    assert_memory_equal(a.peers[0].got.data, expected.data, expected.len);
    writer_free(&expected);
    free(bytes);
    pair_end(&f, &a, &client);
}

static void close_with_flush_sends_everything_first(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer client;
    one_pair(&f, &a, &client);
    size_t len = 6u << 20;
    uint8_t *bytes = pattern(len);
    f.io->ops->conn_write(client.conn, "unread by the server", 20); // would turn a careless close into a reset
    f.io->ops->conn_write(a.peers[0].conn, bytes, len);
    peer_close(&a.peers[0], true);
    assert_true(run_until_set(&f, &client.closed));
    assert_int_equal(client.error, 0);
    assert_int_equal(client.got.len, len);
    assert_memory_equal(client.got.data, bytes, len);
    assert_int_equal(a.peers[0].closings, 0); // no callback after close
    free(bytes);
    pair_end(&f, &a, &client);
}

static void close_without_flush_while_writing(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer client;
    one_pair(&f, &a, &client);
    f.io->ops->conn_read_stop(client.conn);
    run_turns(&f, 2);
    uint8_t *bytes = pattern(8u << 20);
    f.io->ops->conn_write(a.peers[0].conn, bytes, 8u << 20);
    run_turns(&f, 3);
    peer_close(&a.peers[0], false);
    f.io->ops->conn_read_start(client.conn);
    assert_true(run_until_set(&f, &client.closed));
    assert_true(client.got.len < 8u << 20);
    assert_memory_equal(client.got.data, bytes, client.got.len);
    free(bytes);
    pair_end(&f, &a, &client);
}

static void a_closed_flush_gives_up_on_a_client_that_does_not_read(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct io_listen_options one = {.connections_max = 1};
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", &one, 4), 0);
    int client = raw_client(a.address);
    assert_true(run_until_count(&f, &a.count, 1));
    uint8_t *bytes = pattern(16u << 20);
    f.io->ops->conn_write(a.peers[0].conn, bytes, 16u << 20);
    uint64_t begin = io_now_us(f.io);
    peer_close(&a.peers[0], true);
    // It counts until it is gone, and then another may come.
    struct peer second = {0};
    while (a.count < 2) {
        memset(&second, 0, sizeof second);
        assert_int_equal(peer_connect(&second, &f, a.address, NULL, 5000000), 0);
        assert_true(run_until_set(&f, &second.open));
        run_turns(&f, 5);
        if (a.count < 2) assert_true(run_until_set(&f, &second.closed));
        peer_free(&second);
    }
    uint64_t took = io_now_us(f.io) - begin;
    assert_true(took > 4500000 && took < 9000000);
    close(client);
    free(bytes);
    acceptor_close(&a);
    io_fixture_close(&f);
}

// Two ends that each echo: every byte goes round while both queues are drained by the other's reading.
static void writing_from_callbacks_never_reenters(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer client;
    one_pair(&f, &a, &client);
    a.peers[0].echo = client.echo = true;
    f.io->ops->conn_write(client.conn, "ball", 4);
    assert_true(run_until_got(&client, 4000));
    for (size_t i = 0; i < 4000; i++) assert_int_equal(client.got.data[i], "ball"[i % 4]);
    pair_end(&f, &a, &client);
}

static void closing_inside_closed(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer client;
    one_pair(&f, &a, &client);
    a.peers[0].close_on_end = true;
    peer_close(&client, true);
    assert_true(run_until_set(&f, &a.peers[0].closed));
    run_turns(&f, 5);
    assert_int_equal(a.peers[0].closings, 1);
    pair_end(&f, &a, &client);
}

// Whoever ended is not watched any more, even before the turn ends: it would stay ready, and with a thousand of them
// libuv looks at all of them 48 times in that turn.
static bool ended_and_unwatched(void *context) {
    struct acceptor *a = context;
    int ended = 0;
    for (int i = 0; i < a->count; i++) {
        if (!a->peers[i].closed) continue;
        assert_int_equal(a->peers[i].conn->armed, 0);
        ended++;
    }
    return ended == CLIENTS;
}
static void a_crowd_that_ended_is_reported_once(void **state) {
    struct io_fixture f;
    struct acceptor a;
    static int clients[CLIENTS];
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", &plain, CLIENTS), 0);
    for (int i = 0; i < CLIENTS; i++) clients[i] = raw_client(a.address);
    assert_true(run_until_count(&f, &a.count, CLIENTS));
    run_turns(&f, 3);
    for (int i = 0; i < CLIENTS; i++) {
        if (i % 2 == 0) assert_int_equal(write(clients[i], "last", 4), 4);
        close(clients[i]);
    }
    assert_true(run_until(&f, ended_and_unwatched, &a));
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(a.peers[i].got.len, i % 2 == 0 ? 4 : 0);
        assert_int_equal(a.peers[i].closings, 1);
    }
    acceptor_close(&a);
    io_fixture_close(&f);
}

// ---- limits and descriptors
static void over_connections_max_is_closed_at_once(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer clients[5] = {0};
    uint64_t refused = 0;
    struct io_listen_options three = {.connections_max = 3, .refused = &refused};
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", &three, 8), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(peer_connect(&clients[i], &f, a.address, NULL, 5000000), 0);
        assert_true(run_until_set(&f, &clients[i].open));
    }
    assert_true(run_until_set(&f, &clients[3].closed));
    assert_true(run_until_set(&f, &clients[4].closed));
    assert_int_equal(a.count, 3);
    assert_int_equal(refused, 2);
    assert_false(clients[0].closed || clients[1].closed || clients[2].closed);
    peer_free(&clients[1]); // a place is free again once the server closed its end too
    assert_true(run_until_set(&f, &a.peers[1].closed));
    peer_close(&a.peers[1], false);
    peer_free(&clients[4]);
    memset(&clients[4], 0, sizeof clients[4]);
    assert_int_equal(peer_connect(&clients[4], &f, a.address, NULL, 5000000), 0);
    assert_true(run_until_count(&f, &a.count, 4));
    for (int i = 0; i < 5; i++) peer_free(&clients[i]);
    acceptor_close(&a);
    io_fixture_close(&f);
}

// ZooKeeper's maxClientCnxns: 127.0.0.1 is full, ::1 is another host.
static void connections_of_one_host_are_limited(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer clients[4] = {0}, other = {0};
    uint64_t refused = 0;
    struct io_listen_options two = {.per_host_max = 2, .refused = &refused};
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "localhost:0", &two, 8), 0);
    char four[ADDRESS_TEXT_MAX], six[ADDRESS_TEXT_MAX];
    snprintf(four, sizeof four, "127.0.0.1%s", strrchr(a.address, ':'));
    snprintf(six, sizeof six, "[::1]%s", strrchr(a.address, ':'));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(peer_connect(&clients[i], &f, four, NULL, 5000000), 0);
        assert_true(run_until_set(&f, &clients[i].open));
    }
    assert_true(run_until_set(&f, &clients[2].closed));
    assert_int_equal(a.count, 2);
    assert_int_equal(refused, 1);
    assert_int_equal(peer_connect(&other, &f, six, NULL, 5000000), 0);
    assert_true(run_until_count(&f, &a.count, 3));
    peer_free(&clients[0]); // its place is free again once the server closed its end too
    assert_true(run_until_set(&f, &a.peers[0].closed));
    peer_close(&a.peers[0], false);
    assert_int_equal(peer_connect(&clients[3], &f, four, NULL, 5000000), 0);
    assert_true(run_until_count(&f, &a.count, 4));
    assert_int_equal(refused, 1);
    for (int i = 1; i < 4; i++) peer_free(&clients[i]);
    peer_free(&other);
    acceptor_close(&a);
    io_fixture_close(&f);
}

static int turns_seen;
static bool client_closed_counting(void *context) {
    turns_seen++;
    return ((struct peer *)context)->closed;
}

static void without_descriptors_a_client_is_refused_and_the_loop_does_not_spin(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer client = {0}, later = {0};
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", &plain, 4), 0);
    assert_int_equal(peer_connect(&client, &f, a.address, NULL, 5000000), 0);
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    int probe = open("/dev/null", O_RDONLY);
    close(probe);
    low = before;
    low.rlim_cur = (rlim_t)probe + 1; // one more: the client's own socket
    setrlimit(RLIMIT_NOFILE, &low);
    turns_seen = 0;
    bool ended = run_until(&f, client_closed_counting, &client);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(ended);
    assert_true(turns_seen < 100);
    assert_int_equal(a.count, 0);
    // With descriptors it takes connections again.
    assert_int_equal(peer_connect(&later, &f, a.address, NULL, 5000000), 0);
    assert_true(run_until_count(&f, &a.count, 1));
    peer_free(&client);
    peer_free(&later);
    acceptor_close(&a);
    io_fixture_close(&f);
}

// ---- addresses
static void localhost_listens_on_both_families(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer v4 = {0}, v6 = {0}, name = {0};
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "localhost:0", &plain, 4), 0);
    const char *port = strrchr(a.address, ':');
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1%s", port);
    assert_int_equal(peer_connect(&v4, &f, text, NULL, 5000000), 0);
    assert_true(run_until_count(&f, &a.count, 1));
    snprintf(text, sizeof text, "localhost%s", port);
    assert_int_equal(peer_connect(&name, &f, text, NULL, 5000000), 0);
    assert_true(run_until_count(&f, &a.count, 2));
    if (access("/proc/net/if_inet6", R_OK) == 0) {
        snprintf(text, sizeof text, "[::1]%s", port);
        assert_int_equal(peer_connect(&v6, &f, text, NULL, 5000000), 0);
        assert_true(run_until_count(&f, &a.count, 3));
        struct io_conn_info info;
        f.io->ops->conn_info(a.peers[2].conn, &info);
        assert_string_equal(info.local, text);
        assert_memory_equal(info.remote, "[::1]:", 6);
    }
    // The port is taken now, in either family.
    struct acceptor b;
    assert_int_equal(acceptor_open(&b, &f, a.address, &plain, 1), -EADDRINUSE);
    snprintf(text, sizeof text, "localhost%s", port);
    assert_int_equal(acceptor_open(&b, &f, text, &plain, 1), -EADDRINUSE);
    peer_free(&v4);
    peer_free(&v6);
    peer_free(&name);
    acceptor_close(&a);
    io_fixture_close(&f);
}

static void bad_addresses_are_refused(void **state) {
    static const char *const bad[] = {"",       "80",      "localhost", "localhost:", "localhost:x", "127.0.0.1:65536",
                                      "::1:80", "[::1:80", "[]:80",     "a:1234567",  "[::1]80"};
    struct io_fixture f;
    struct acceptor a;
    io_fixture_open(&f, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct peer p = {0};
        assert_int_equal(acceptor_open(&a, &f, bad[i], &plain, 1), -EINVAL);
        assert_int_equal(peer_connect(&p, &f, bad[i], NULL, 1000), -EINVAL);
    }
    assert_int_equal(acceptor_open(&a, &f, "no-such-host.invalid:0", &plain, 1), -EADDRNOTAVAIL);
    assert_int_equal(acceptor_open(&a, &f, "192.0.2.1:0", &plain, 1), -EADDRNOTAVAIL); // not ours
    io_fixture_close(&f);
}

// ---- connecting
static void connect_refused(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer p = {0}, unknown = {0};
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&a, &f, "127.0.0.1:0", &plain, 1), 0);
    char address[ADDRESS_TEXT_MAX];
    strcpy(address, a.address);
    acceptor_close(&a);
    assert_int_equal(peer_connect(&p, &f, address, NULL, 5000000), 0);
    assert_false(p.failed); // never from inside the call
    assert_true(run_until_set(&f, &p.failed));
    assert_int_equal(p.error, -ECONNREFUSED);
    assert_int_equal(peer_connect(&unknown, &f, "no-such-host.invalid:1", NULL, 5000000), 0);
    assert_true(run_until_set(&f, &unknown.failed));
    assert_true(unknown.error == -EHOSTUNREACH || unknown.error == -ETIMEDOUT);
    io_fixture_close(&f);
}

// A listening socket whose queue is full does not answer: connecting to it hangs.
static int full_listener(char address[64], int *fillers, int count) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 0), 0);
    socklen_t len = sizeof at;
    getsockname(fd, (struct sockaddr *)&at, &len);
    snprintf(address, 64, "127.0.0.1:%u", ntohs(at.sin_port));
    for (int i = 0; i < count; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        int result = connect(fillers[i], (struct sockaddr *)&at, sizeof at);
        assert_true(result == 0 || errno == EINPROGRESS);
    }
    return fd;
}

static void connect_times_out_and_can_be_cancelled(void **state) {
    struct io_fixture f;
    int fillers[4];
    char address[64];
    struct peer slow = {0}, cancelled = {0};
    int fd = full_listener(address, fillers, 4);
    io_fixture_open(&f, NULL);
    uint64_t begin = io_now_us(f.io);
    assert_int_equal(peer_connect(&cancelled, &f, address, NULL, 50000), 0);
    assert_int_equal(peer_connect(&slow, &f, address, NULL, 100000), 0);
    run_turns(&f, 3);
    f.io->ops->connect_cancel(f.io, cancelled.pending);
    assert_true(run_until_set(&f, &slow.failed));
    assert_int_equal(slow.error, -ETIMEDOUT);
    assert_true(io_now_us(f.io) - begin >= 100000);
    assert_false(cancelled.failed || cancelled.open);
    // Cancelled before it began, and one that is under way when the loop is freed.
    assert_int_equal(peer_connect(&cancelled, &f, address, NULL, 50000), 0);
    f.io->ops->connect_cancel(f.io, cancelled.pending);
    assert_int_equal(peer_connect(&cancelled, &f, "no-such-host.invalid:7", NULL, 50000), 0);
    run_turns(&f, 1);
    f.io->ops->connect_cancel(f.io, cancelled.pending);
    assert_int_equal(peer_connect(&slow, &f, address, NULL, 100000000), 0);
    run_turns(&f, 2);
    assert_false(cancelled.failed || cancelled.open);
    io_fixture_close(&f);
    for (int i = 0; i < 4; i++) close(fillers[i]);
    close(fd);
}

// Ten thousand watchers of one node are told in several turns, in order, and the loop does not sleep in between.
#define WATCHERS 1500
static struct acceptor watchers;
static int calls;
static int left_behind[2];
static bool tell_all_once(void *context) {
    struct io_fixture *f = context;
    calls++;
    if (calls == 1) return false; // before the loop runs
    if (calls == 2) {             // the hook of the first turn; its flush follows
        for (int i = 0; i < WATCHERS; i++) f->io->ops->conn_write(watchers.peers[i].conn, "event", 5);
        return false;
    }
    int waiting = 0, first = -1; // the hook of the second
    for (int i = 0; i < WATCHERS; i++) {
        if (f->io->ops->conn_pending(watchers.peers[i].conn) == 0) continue;
        if (first < 0) first = i;
        waiting++;
    }
    left_behind[0] = first;
    left_behind[1] = waiting;
    return true;
}

static void a_mass_of_output_is_paced(void **state) {
    struct io_fixture f;
    static int clients[WATCHERS];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * WATCHERS + 100) skip();
    io_fixture_open(&f, NULL);
    assert_int_equal(acceptor_open(&watchers, &f, "127.0.0.1:0", &plain, WATCHERS), 0);
    for (int i = 0; i < WATCHERS; i++) clients[i] = raw_client(watchers.address);
    assert_true(run_until_count(&f, &watchers.count, WATCHERS));
    run_turns(&f, 5);
    calls = 0;
    uint64_t begin = io_now_us(f.io);
    assert_true(run_until(&f, tell_all_once, &f));
    assert_int_equal(left_behind[0], UV_FLUSH_TURN_MAX); // in order
    assert_int_equal(left_behind[1], WATCHERS - UV_FLUSH_TURN_MAX);
    run_turns(&f, WATCHERS / UV_FLUSH_TURN_MAX + 1);
    assert_true(io_now_us(f.io) - begin < 10000000);
    for (int i = 0; i < WATCHERS; i++) {
        char got[8];
        assert_int_equal(recv(clients[i], got, sizeof got, MSG_DONTWAIT), 5);
        close(clients[i]);
    }
    acceptor_close(&watchers);
    io_fixture_close(&f);
}

static void the_loop_frees_what_is_left_open(void **state) {
    struct io_fixture f;
    struct acceptor a;
    struct peer client;
    one_pair(&f, &a, &client);
    f.io->ops->conn_write(client.conn, "never sent", 10);
    peer_close(&a.peers[0], true); // lingers
    writer_free(&client.got);
    io_fixture_close(&f);
    free(a.peers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo_with_200_connections),
        cmocka_unit_test(info_names_both_ends),
        cmocka_unit_test(accepted_sockets_inherit_nodelay_and_keepalive),
        cmocka_unit_test(half_closed_client_gets_its_answer),
        cmocka_unit_test(a_reset_is_an_error_told_once),
        cmocka_unit_test(a_reset_is_seen_while_reading_is_stopped),
        cmocka_unit_test(stopped_reading_keeps_bytes_and_end_for_later),
        cmocka_unit_test(ten_megabytes_by_reference_to_a_slow_reader),
        cmocka_unit_test(many_pieces_keep_their_order),
        cmocka_unit_test(close_with_flush_sends_everything_first),
        cmocka_unit_test(close_without_flush_while_writing),
        cmocka_unit_test(a_closed_flush_gives_up_on_a_client_that_does_not_read),
        cmocka_unit_test(writing_from_callbacks_never_reenters),
        cmocka_unit_test(closing_inside_closed),
        cmocka_unit_test(a_crowd_that_ended_is_reported_once),
        cmocka_unit_test(over_connections_max_is_closed_at_once),
        cmocka_unit_test(connections_of_one_host_are_limited),
        cmocka_unit_test(without_descriptors_a_client_is_refused_and_the_loop_does_not_spin),
        cmocka_unit_test(localhost_listens_on_both_families),
        cmocka_unit_test(bad_addresses_are_refused),
        cmocka_unit_test(connect_refused),
        cmocka_unit_test(connect_times_out_and_can_be_cancelled),
        cmocka_unit_test(a_mass_of_output_is_paced),
        cmocka_unit_test(the_loop_frees_what_is_left_open),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    io_fixture_shared_turns = true; // all of it holds for such a loop too
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
