// io on libuv: TLS over loopback, with certificates made here.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/io_uv_internal.h"
#include "test/unit/support/io_fixture.h"

// ---- certificates: two authorities, each with a server's and a client's
static char folder[128];
static char *at(const char *name) {
    static char path[8][256];
    static int turn;
    char *out = path[turn++ % 8];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static void save(const char *name, const struct identity *id) {
    char file[64];
    snprintf(file, sizeof file, "%s.pem", name);
    FILE *out = fopen(at(file), "w");
    PEM_write_X509(out, id->certificate);
    fclose(out);
    snprintf(file, sizeof file, "%s.key", name);
    out = fopen(at(file), "w");
    PEM_write_PrivateKey(out, id->key, NULL, NULL, 0, NULL, NULL);
    fclose(out);
}

static void extend(X509 *certificate, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

// hosts: alternative names, "DNS:one,IP:1.2.3.4"; NULL: none
static struct identity issue(const char *name, const char *organisation, const struct identity *issuer,
                             const char *hosts) {
    static long serial = 1;
    struct identity id = {EVP_EC_gen("P-256"), X509_new()};
    X509_set_version(id.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id.certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(id.certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(id.certificate), 86400);
    X509_set_pubkey(id.certificate, id.key);
    X509_NAME *subject = X509_get_subject_name(id.certificate);
    X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)organisation, -1, -1, 0);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
    const struct identity *by = issuer != NULL ? issuer : &id;
    X509_set_issuer_name(id.certificate, X509_get_subject_name(by->certificate));
    if (issuer == NULL || strcmp(name, "middle") == 0)
        extend(id.certificate, NID_basic_constraints, "critical,CA:TRUE");
    if (hosts != NULL) extend(id.certificate, NID_subject_alt_name, hosts);
    assert_true(X509_sign(id.certificate, by->key, EVP_sha256()) > 0);
    save(name, &id);
    return id;
}

static void drop(struct identity *id) {
    EVP_PKEY_free(id->key);
    X509_free(id->certificate);
}

static int make_certificates(void **state) {
    snprintf(folder, sizeof folder, "/tmp/parley-tls-XXXXXX");
    if (mkdtemp(folder) == NULL) return 1;
    struct identity ca = issue("ca", "Parley, Tests", NULL, NULL), other = issue("other-ca", "Others", NULL, NULL);
    struct identity made[] = {issue("server", "Parley", &ca, NULL),
                              issue("server2", "Parley", &ca, NULL),
                              issue("client", "Parley", &ca, NULL),
                              issue("stranger", "Others", &other, NULL),
                              issue("by-name", "Parley", &ca, "DNS:localhost"),
                              issue("by-number", "Parley", &ca, "IP:127.0.0.1"),
                              issue("elsewhere", "Parley", &ca, "DNS:elsewhere.example,IP:127.0.0.2"),
                              issue("impostor", "Others", &other, "DNS:localhost,IP:127.0.0.1")};
    struct identity middle = issue("middle", "Parley, Tests", &ca, NULL);
    struct identity below = issue("below", "Parley", &middle, NULL);
    FILE *both = fopen(at("authorities.pem"), "w");
    PEM_write_X509(both, middle.certificate);
    PEM_write_X509(both, ca.certificate);
    fclose(both);
    drop(&middle);
    drop(&below);
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) drop(&made[i]);
    drop(&ca);
    drop(&other);
    FILE *out = fopen(at("garbage.pem"), "w");
    fputs("no certificate\n", out);
    return fclose(out);
}

static int drop_certificates(void **state) {
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static struct io_tls *tls_of(bool server, const char *name, const char *ca, bool require) {
    char error[256] = "", cert[64], key[64], authority[64];
    struct io_tls_options options = {.require_peer = require};
    snprintf(cert, sizeof cert, "%s.pem", name != NULL ? name : "");
    snprintf(key, sizeof key, "%s.key", name != NULL ? name : "");
    snprintf(authority, sizeof authority, "%s.pem", ca != NULL ? ca : "");
    if (name != NULL) options.cert_file = at(cert);
    if (name != NULL) options.key_file = at(key);
    if (ca != NULL) options.ca_file = at(authority);
    struct io_tls *tls = io_tls_new(&options, server, error);
    assert_string_equal(error, "");
    assert_non_null(tls);
    return tls;
}

// ---- a loop with a TLS listener
struct bed {
    struct io_fixture f;
    struct acceptor a;
    struct peer client;
    struct io_tls *server_tls, *client_tls;
};

static void bed_open(struct bed *b, struct io_tls *server_tls, struct io_tls *client_tls) {
    memset(b, 0, sizeof *b);
    b->server_tls = server_tls;
    b->client_tls = client_tls;
    io_fixture_open(&b->f, NULL);
    struct io_listen_options options = {.tls = server_tls};
    assert_int_equal(acceptor_open(&b->a, &b->f, "127.0.0.1:0", &options, 500), 0);
}

static void bed_connect(struct bed *b) {
    assert_int_equal(peer_connect(&b->client, &b->f, b->a.address, b->client_tls, 5000000), 0);
    assert_true(run_until_set(&b->f, &b->client.open));
    assert_true(run_until_count(&b->f, &b->a.count, 1));
}

static void bed_close(struct bed *b) {
    peer_free(&b->client);
    acceptor_close(&b->a);
    io_tls_free(b->server_tls); // while what is closed still lingers: it is kept alive
    io_tls_free(b->client_tls);
    io_fixture_close(&b->f);
}

static uint8_t *pattern(size_t len) {
    uint8_t *bytes = malloc(len);
    for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
    return bytes;
}

static void bytes_go_both_ways(void **state) {
    struct bed b;
    bed_open(&b, tls_of(true, "server", NULL, false), tls_of(false, NULL, NULL, false));
    bed_connect(&b);
    struct io_conn_info info;
    const struct io_ops *ops = b.f.io->ops;
    ops->conn_info(b.client.conn, &info);
    assert_true(info.tls);
    assert_string_equal(info.tls_subject, "CN=server,O=Parley");
    assert_string_equal(info.tls_issuer, "CN=ca,O=Parley\\, Tests"); // RFC 2253: last first, the comma escaped
    ops->conn_info(b.a.peers[0].conn, &info);
    assert_true(info.tls);
    assert_string_equal(info.tls_subject, "");
    size_t len = 5u << 20;
    uint8_t *bytes = pattern(len);
    struct buf *shared = buf_copy(bytes, len);
    b.a.peers[0].echo = true;
    ops->conn_write(b.client.conn, "first", 5);
    assert_int_equal(ops->conn_pending(b.client.conn), 5); // clear bytes that wait count
    assert_true(run_until_got(&b.client, 5));
    ops->conn_write_buf(b.client.conn, shared, 0, len);
    buf_unref(shared);
    assert_true(run_until_got(&b.client, 5 + len));
    assert_memory_equal(b.client.got.data, "first", 5);
    assert_memory_equal(b.client.got.data + 5, bytes, len);
    assert_int_equal(ops->conn_pending(b.client.conn), 0);
    free(bytes);
    bed_close(&b);
}

static void a_slow_reader_keeps_the_queue_bounded(void **state) {
    struct bed b;
    bed_open(&b, tls_of(true, "server", NULL, false), tls_of(false, NULL, NULL, false));
    bed_connect(&b);
    const struct io_ops *ops = b.f.io->ops;
    struct peer *server = &b.a.peers[0];
    ops->conn_read_stop(b.client.conn);
    run_turns(&b.f, 2);
    size_t len = 10u << 20;
    uint8_t *bytes = pattern(len);
    ops->conn_write(server->conn, bytes, len);
    run_turns(&b.f, 20);
    assert_true(ops->conn_pending(server->conn) > 65536);
    assert_int_equal(server->drained, 0);
    peer_close(server, true); // in the background, close_notify at its end
    ops->conn_read_start(b.client.conn);
    assert_true(run_until_set(&b.f, &b.client.closed));
    assert_int_equal(b.client.error, 0);
    assert_int_equal(b.client.got.len, len);
    assert_memory_equal(b.client.got.data, bytes, len);
    free(bytes);
    bed_close(&b);
}

static void stopped_reading_keeps_decrypted_and_encrypted_bytes(void **state) {
    struct bed b;
    bed_open(&b, tls_of(true, "server", NULL, false), tls_of(false, NULL, NULL, false));
    bed_connect(&b);
    const struct io_ops *ops = b.f.io->ops;
    struct peer *server = &b.a.peers[0];
    size_t len = 1u << 20;
    uint8_t *bytes = pattern(len);
    server->stop_after_read = true; // each call takes at most 64 KB of a read of 256 KB
    ops->conn_write(b.client.conn, bytes, len);
    peer_close(&b.client, true);
    while (server->got.len < len) {
        int reads = server->reads;
        assert_true(run_until_count(&b.f, &server->reads, reads + (server->reads == 0)));
        run_turns(&b.f, 5);
        if (reads > 0) assert_int_equal(server->reads, reads); // nothing comes while it is stopped
        assert_false(server->closed);
        reads = server->reads;
        ops->conn_read_start(server->conn);
        assert_true(run_until_count(&b.f, &server->reads, reads + 1));
    }
    assert_memory_equal(server->got.data, bytes, len);
    server->stop_after_read = false;
    ops->conn_read_start(server->conn);
    assert_true(run_until_set(&b.f, &server->closed));
    assert_int_equal(server->error, 0);
    free(bytes);
    bed_close(&b);
}

static void clients_with_a_certificate_are_named(void **state) {
    struct bed b;
    bed_open(&b, tls_of(true, "server", "ca", true), tls_of(false, "client", "ca", false));
    bed_connect(&b);
    struct io_conn_info info;
    b.f.io->ops->conn_info(b.a.peers[0].conn, &info);
    assert_string_equal(info.tls_subject, "CN=client,O=Parley");
    assert_string_equal(info.tls_issuer, "CN=ca,O=Parley\\, Tests");
    b.f.io->ops->conn_write(b.a.peers[0].conn, "welcome", 7);
    assert_true(run_until_got(&b.client, 7));
    bed_close(&b);
}

static bool refused(void *context) {
    const struct peer *p = context;
    return p->failed || p->closed;
}

static void clients_without_a_good_certificate_are_refused(void **state) {
    static const char *const names[] = {NULL, "stranger"};
    for (int i = 0; i < 2; i++) {
        struct bed b;
        bed_open(&b, tls_of(true, "server", "ca", true), tls_of(false, names[i], "ca", false));
        assert_int_equal(peer_connect(&b.client, &b.f, b.a.address, b.client_tls, 5000000), 0);
        assert_true(run_until(&b.f, refused, &b.client)); // TLS 1.3: a client learns it after its own part is done
        assert_int_equal(b.client.error, -EPROTO);
        run_turns(&b.f, 5);
        assert_int_equal(b.a.count, 0);
        bed_close(&b);
    }
}

static void a_server_of_another_authority_is_refused(void **state) {
    struct bed b;
    bed_open(&b, tls_of(true, "stranger", NULL, false), tls_of(false, NULL, "ca", false));
    assert_int_equal(peer_connect(&b.client, &b.f, b.a.address, b.client_tls, 5000000), 0);
    assert_true(run_until_set(&b.f, &b.client.failed));
    assert_int_equal(b.client.error, -EKEYREJECTED);
    run_turns(&b.f, 5);
    assert_int_equal(b.a.count, 0);
    bed_close(&b);
}

// The certificate is good, but is it of the host that was asked for?
static int raw_client(const char *address) {
    const char *colon = strrchr(address, ':');
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

// What stands between our certificate and the root is sent, also when only the authority's file has it; the root is
// not: who trusts it has it, and the others would parse it in every handshake for nothing.
struct looker {
    const char *address;
    int sent;
};
static void *look_at_chain(void *context) {
    struct looker *looker = context;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_load_verify_locations(ctx, at("ca.pem"), NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL *ssl = SSL_new(ctx);
    int fd = raw_client(looker->address);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1) looker->sent = sk_X509_num(SSL_get_peer_cert_chain(ssl));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    return NULL;
}
static int certificates_sent(const char *name, const char *ca) {
    struct bed b;
    bed_open(&b, tls_of(true, name, ca, false), tls_of(false, NULL, NULL, false));
    struct looker looker = {.address = b.a.address};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look_at_chain, &looker), 0);
    assert_true(run_until_count(&b.f, &b.a.count, 1));
    pthread_join(thread, NULL);
    bed_close(&b);
    return looker.sent;
}
static void the_chain_is_sent_without_its_root(void **state) {
    assert_int_equal(certificates_sent("server", NULL), 1);
    assert_int_equal(certificates_sent("server", "ca"), 1);
    assert_int_equal(certificates_sent("below", "authorities"), 2);
}

static void the_name_of_a_server_is_verified(void **state) {
    static const struct {
        const char *certificate, *host;
        int error;
    } cases[] = {{"by-name", "localhost", 0},
                 {"by-number", "127.0.0.1", 0},
                 {"by-name", "127.0.0.1", -EKEYREJECTED}, // a number is no name
                 {"by-number", "localhost", -EKEYREJECTED},
                 {"elsewhere", "localhost", -EKEYREJECTED},
                 {"elsewhere", "127.0.0.1", -EKEYREJECTED},
                 {"server", "127.0.0.1", -EKEYREJECTED}, // none at all
                 {"impostor", "localhost", -EKEYREJECTED}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bed b;
        char error[256], address[ADDRESS_TEXT_MAX];
        struct io_tls_options options = {.ca_file = at("ca.pem"), .verify_name = true};
        struct io_tls *client_tls = io_tls_new(&options, false, error);
        assert_non_null(client_tls);
        bed_open(&b, tls_of(true, cases[i].certificate, NULL, false), client_tls);
        snprintf(address, sizeof address, "%s%s", cases[i].host, strrchr(b.a.address, ':'));
        assert_int_equal(peer_connect(&b.client, &b.f, address, b.client_tls, 5000000), 0);
        assert_true(run_until_set(&b.f, cases[i].error == 0 ? &b.client.open : &b.client.failed));
        assert_int_equal(b.client.error, cases[i].error);
        bed_close(&b);
    }
}

static void copy_file(const char *from, const char *to) {
    char command[600];
    snprintf(command, sizeof command, "cp '%s' '%s'", at(from), at(to));
    assert_int_equal(system(command), 0);
}

static void reload_is_for_new_connections(void **state) {
    copy_file("server.pem", "live.pem");
    copy_file("server.key", "live.key");
    struct bed b;
    char error[256] = "";
    bed_open(&b, tls_of(true, "live", NULL, false), tls_of(false, NULL, "ca", false));
    bed_connect(&b);
    copy_file("server2.pem", "live.pem");
    assert_int_equal(io_tls_reload(b.server_tls, error), -EINVAL); // the old key does not fit
    assert_non_null(strstr(error, "key"));
    struct peer second = {0}, third = {0};
    struct io_conn_info info;
    assert_int_equal(peer_connect(&second, &b.f, b.a.address, b.client_tls, 5000000), 0);
    assert_true(run_until_set(&b.f, &second.open));
    b.f.io->ops->conn_info(second.conn, &info);
    assert_string_equal(info.tls_subject, "CN=server,O=Parley"); // the old ones stay on an error
    copy_file("server2.key", "live.key");
    assert_int_equal(io_tls_reload(b.server_tls, error), 0);
    assert_int_equal(peer_connect(&third, &b.f, b.a.address, b.client_tls, 5000000), 0);
    assert_true(run_until_set(&b.f, &third.open));
    b.f.io->ops->conn_info(third.conn, &info);
    assert_string_equal(info.tls_subject, "CN=server2,O=Parley");
    b.f.io->ops->conn_write(b.client.conn, "still here", 10);
    assert_true(run_until_got(&b.a.peers[0], 10));
    peer_free(&second);
    peer_free(&third);
    bed_close(&b);
}

static void bad_files_are_told(void **state) {
    char error[256] = "";
    struct io_tls_options options = {.cert_file = at("garbage.pem"), .key_file = at("server.key")};
    assert_null(io_tls_new(&options, true, error));
    assert_non_null(strstr(error, "garbage.pem"));
    options.cert_file = at("absent.pem");
    assert_null(io_tls_new(&options, true, error));
    assert_non_null(strstr(error, "absent.pem: No such file"));
    options = (struct io_tls_options){.cert_file = at("server.pem"), .key_file = at("client.key")};
    assert_null(io_tls_new(&options, true, error));
    options =
        (struct io_tls_options){.cert_file = at("server.pem"), .key_file = at("server.key"), .require_peer = true};
    assert_null(io_tls_new(&options, true, error)); // an authority is needed
    options.ca_file = at("garbage.pem");
    assert_null(io_tls_new(&options, true, error));
    assert_non_null(strstr(error, "garbage.pem"));
    options = (struct io_tls_options){0};
    assert_null(io_tls_new(&options, true, error));
    options = (struct io_tls_options){.verify_name = true};
    assert_null(io_tls_new(&options, false, error)); // an authority is needed
}

struct raw {
    int fd;
    ssize_t result;
};
static bool raw_ended(void *context) {
    struct raw *raw = context;
    char bytes[256];
    raw->result = recv(raw->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    return raw->result == 0 || (raw->result < 0 && errno != EAGAIN);
}

static void who_does_not_speak_tls_is_closed(void **state) {
    struct bed b;
    bed_open(&b, tls_of(true, "server", NULL, false), tls_of(false, NULL, NULL, false));
    struct raw plain = {.fd = raw_client(b.a.address)}, silent = {.fd = raw_client(b.a.address)};
    assert_int_equal(write(plain.fd, "GET / HTTP/1.0\r\n\r\n", 18), 18);
    uint64_t begin = io_now_us(b.f.io);
    assert_true(run_until(&b.f, raw_ended, &plain));
    assert_true(io_now_us(b.f.io) - begin < 5000000);
    assert_true(run_until(&b.f, raw_ended, &silent)); // after 10 s
    uint64_t took = io_now_us(b.f.io) - begin;
    assert_true(took > 9000000 && took < 15000000);
    assert_int_equal(b.a.count, 0);
    close(plain.fd);
    close(silent.fd);
    bed_close(&b);
}

static void a_server_that_does_not_speak_tls(void **state) {
    struct bed b;
    struct acceptor plain;
    bed_open(&b, tls_of(true, "server", NULL, false), tls_of(false, NULL, NULL, false));
    assert_int_equal(acceptor_open(&plain, &b.f, "127.0.0.1:0", NULL, 1), 0);
    plain.echo = true; // sends our own hello back
    assert_int_equal(peer_connect(&b.client, &b.f, plain.address, b.client_tls, 5000000), 0);
    assert_true(run_until_set(&b.f, &b.client.failed));
    assert_int_equal(b.client.error, -EPROTO);
    acceptor_close(&plain);
    bed_close(&b);
}

// Many handshakes at once are paced: the ball of a plain connection on the same loop keeps bouncing meanwhile.
#define MANY 300
static void many_handshakes_do_not_stop_the_others(void **state) {
    struct bed b;
    struct acceptor plain;
    struct peer ball = {0};
    static struct peer clients[MANY];
    memset(clients, 0, sizeof clients);
    bed_open(&b, tls_of(true, "server", NULL, false), tls_of(false, NULL, NULL, false));
    assert_int_equal(acceptor_open(&plain, &b.f, "127.0.0.1:0", NULL, 1), 0);
    plain.echo = true;
    assert_int_equal(peer_connect(&ball, &b.f, plain.address, NULL, 5000000), 0);
    assert_true(run_until_set(&b.f, &ball.open));
    ball.echo = true;
    b.f.io->ops->conn_write(ball.conn, "ball", 4);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(peer_connect(&clients[i], &b.f, b.a.address, b.client_tls, 20000000), 0);
    assert_true(run_until_count(&b.f, &b.a.count, MANY));
    assert_true(ball.got.len > 4 * MANY / 32); // a turn takes at most 32 steps
    for (int i = 0; i < MANY; i++) {
        assert_true(run_until_set(&b.f, &clients[i].open));
        peer_free(&clients[i]);
    }
    peer_free(&ball);
    acceptor_close(&plain);
    bed_close(&b);
}

// Ten thousand clients that come back at once: those who have spoken wait for their step in a short queue, the rest in
// the kernel's, where no time-out runs yet; those who say nothing keep nobody out.
#define CROWD 1500
struct crowd {
    struct bed b;
    struct raw raw[CROWD];
    unsigned most, ended;
};
static bool crowd_ended(void *context) {
    struct crowd *c = context;
    struct uv_io *io = uv_io_of(c->b.f.io);
    unsigned waiting = io->handshake_count, idle = 0;
    if (waiting > c->most) c->most = waiting;
    // Who waits for its step is not watched, and is nothing for the turn's end, where replies of others would wait
    // behind it.
    for (struct list *at = io->conns.next; at != &io->conns; at = at->next) {
        const struct io_conn *conn = CONTAINER_OF(at, struct io_conn, link);
        if (conn->state == CONN_HANDSHAKE && conn->armed == 0 && list_empty(&conn->dirty)) idle++;
    }
    assert_int_equal(idle, waiting);
    while (c->ended < CROWD && raw_ended(&c->raw[c->ended])) c->ended++;
    return c->ended == CROWD;
}
static void a_crowd_waits_in_the_kernels_queue(void **state) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < 3 * CROWD) skip();
    static struct crowd c;
    bed_open(&c.b, tls_of(true, "server", NULL, false), tls_of(false, NULL, NULL, false));
    static int silent[UV_HANDSHAKE_QUEUE_MAX];
    for (unsigned i = 0; i < UV_HANDSHAKE_QUEUE_MAX; i++) silent[i] = raw_client(c.b.a.address);
    for (unsigned i = 0; i < CROWD; i++) {
        c.raw[i].fd = raw_client(c.b.a.address);
        assert_int_equal(write(c.raw[i].fd, "no TLS\r\n", 8), 8);
    }
    assert_true(run_until(&c.b.f, crowd_ended, &c));
    assert_true(c.most > 0 && c.most < UV_HANDSHAKE_QUEUE_MAX + 2 * UV_ACCEPT_TURN_MAX);
    bed_connect(&c.b);
    for (unsigned i = 0; i < CROWD; i++) close(c.raw[i].fd);
    for (unsigned i = 0; i < UV_HANDSHAKE_QUEUE_MAX; i++) close(silent[i]);
    bed_close(&c.b);
}

// Who has begun goes first: else a crowd that needs longer than a handshake's time-out would begin, be thrown out and
// begin again.
#define BEHIND 60
struct shake {
    int fd;
    SSL *ssl;
};
static void shake_open(struct shake *s, SSL_CTX *ctx, const char *address) {
    s->fd = raw_client(address);
    s->ssl = SSL_new(ctx);
    assert_int_equal(SSL_set_fd(s->ssl, s->fd), 1);
    assert_int_equal(fcntl(s->fd, F_SETFL, O_NONBLOCK), 0);
}
static int shake_step(struct shake *s) {
    return SSL_get_error(s->ssl, SSL_connect(s->ssl));
}
static bool shake_heard(void *context) {
    char byte;
    return recv(((struct shake *)context)->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}
static void who_has_begun_goes_first(void **state) {
    struct bed b;
    struct shake first, behind[BEHIND];
    bed_open(&b, tls_of(true, "server", NULL, false), tls_of(false, NULL, NULL, false));
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    shake_open(&first, ctx, b.a.address);
    assert_int_equal(shake_step(&first), SSL_ERROR_WANT_READ);
    assert_true(run_until(&b.f, shake_heard, &first));
    for (int i = 0; i < BEHIND; i++) shake_open(&behind[i], ctx, b.a.address);
    run_turns(&b.f, 5); // accepted
    for (int i = 0; i < BEHIND; i++) assert_int_equal(shake_step(&behind[i]), SSL_ERROR_WANT_READ);
    assert_int_equal(shake_step(&first), SSL_ERROR_NONE);
    assert_true(run_until_count(&b.f, &b.a.count, 1));
    int heard = 0;
    for (int i = 0; i < BEHIND; i++) heard += shake_heard(&behind[i]);
    assert_in_range(heard, 0, UV_HANDSHAKE_TURN_MAX - 1); // at most what the first one's own turn still did
    assert_true(run_until(&b.f, shake_heard, &behind[BEHIND - 1]));
    for (int i = 0; i < BEHIND; i++) {
        SSL_free(behind[i].ssl);
        close(behind[i].fd);
    }
    SSL_free(first.ssl);
    close(first.fd);
    SSL_CTX_free(ctx);
    bed_close(&b);
}

static void the_listener_closes_during_handshakes(void **state) {
    struct bed b;
    bed_open(&b, tls_of(true, "server", NULL, false), tls_of(false, NULL, NULL, false));
    struct raw silent = {.fd = raw_client(b.a.address)};
    run_turns(&b.f, 3);
    acceptor_close(&b.a);
    assert_true(run_until(&b.f, raw_ended, &silent));
    close(silent.fd);
    bed_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(a_slow_reader_keeps_the_queue_bounded),
        cmocka_unit_test(stopped_reading_keeps_decrypted_and_encrypted_bytes),
        cmocka_unit_test(clients_with_a_certificate_are_named),
        cmocka_unit_test(clients_without_a_good_certificate_are_refused),
        cmocka_unit_test(a_server_of_another_authority_is_refused),
        cmocka_unit_test(the_chain_is_sent_without_its_root),
        cmocka_unit_test(the_name_of_a_server_is_verified),
        cmocka_unit_test(reload_is_for_new_connections),
        cmocka_unit_test(bad_files_are_told),
        cmocka_unit_test(who_does_not_speak_tls_is_closed),
        cmocka_unit_test(a_server_that_does_not_speak_tls),
        cmocka_unit_test(many_handshakes_do_not_stop_the_others),
        cmocka_unit_test(a_crowd_waits_in_the_kernels_queue),
        cmocka_unit_test(who_has_begun_goes_first),
        cmocka_unit_test(the_listener_closes_during_handshakes),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
