// TLS with OpenSSL. The library never sees a socket: what came from the network is lent to it as a span, and what it
// wants to send goes into the connection's own send queue, so its bytes are bounded and counted like any others.
//
//   socket -> read_buf (span) -> SSL_read -> clear_buf -> handler->read
//   io_conn_write -> clear queue -> SSL_write -> conn->out -> sendmsg
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io_uv_internal.h"
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define CIPHER_WAITING_MAX (256u << 10) // no more is encrypted ahead of what the socket takes

struct io_tls {
    _Atomic uint32_t refs;
    bool server;
    pthread_mutex_t lock; // of ctx: listeners of several loops begin handshakes while one reloads
    SSL_CTX *ctx;
    BIO_METHOD *method;
    bool require_peer, verify_name;
    char *cert_file, *key_file, *ca_file;
};

struct conn_tls {
    struct io_conn *conn;
    struct io_tls *tls;
    SSL *ssl;
    struct list waiting; // io->handshakes_begun, io->handshakes
    const uint8_t *in;   // bytes from the network that SSL has not taken yet
    size_t in_len;
    uint8_t *kept; // such bytes, copied because the owner stopped reading
    size_t kept_len;
    struct out_queue clear; // bytes of the owner, not yet encrypted
    bool resume;            // clear bytes may wait inside, although the socket is silent
    bool want_notify, notified;
};

// ---- the BIO between SSL and the connection
static int bio_read(BIO *bio, char *out, int max) {
    struct conn_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (max <= 0) return 0;
    if (tls->in_len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = tls->in_len < (size_t)max ? tls->in_len : (size_t)max;
    memcpy(out, tls->in, n);
    tls->in += n;
    tls->in_len -= n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len) {
    struct conn_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0) return 0;
    out_append(&tls->conn->io->stock, &tls->conn->out, data, (size_t)len);
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *bio_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "parley connection");
    ENSURE(method != NULL);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    return method;
}

// ---- contexts
// The first error in OpenSSL's queue is the cause (no such file), the later ones are who passed it on.
static bool tell(char error[256], const char *what, const char *file) {
    unsigned long code = ERR_peek_error();
    const char *reason = code == 0                ? NULL
                         : ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
                                                  : ERR_reason_error_string(code);
    snprintf(error, 256, "%s %.130s: %.60s", what, file, reason != NULL ? reason : "unknown reason");
    ERR_clear_error();
    return false;
}

static bool load_own(SSL_CTX *ctx, const struct io_tls *tls, char error[256]) {
    if (tls->cert_file == NULL) {
        if (!tls->server) return true;
        snprintf(error, 256, "a TLS server needs a certificate file and a key file");
        return false;
    }
    const char *key = tls->key_file != NULL ? tls->key_file : tls->cert_file;
    if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1)
        return tell(error, "cannot use the certificate in", tls->cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return tell(error, "cannot use the private key in", key);
    if (SSL_CTX_check_private_key(ctx) != 1) return tell(error, "the key does not fit the certificate:", key);
    return true;
}

static bool load_authority(SSL_CTX *ctx, const struct io_tls *tls, char error[256]) {
    if (tls->ca_file == NULL) {
        if (!tls->require_peer && !tls->verify_name) return true;
        snprintf(error, 256, "checking certificates of others needs the file of the authority that signed them");
        return false;
    }
    if (SSL_CTX_load_verify_locations(ctx, tls->ca_file, NULL) != 1)
        return tell(error, "cannot use the certificates in", tls->ca_file);
    int mode = SSL_VERIFY_PEER;
    if (tls->server) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(tls->ca_file);
        if (names == NULL) return tell(error, "cannot use the certificates in", tls->ca_file);
        SSL_CTX_set_client_CA_list(ctx, names);
        if (tls->require_peer) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    SSL_CTX_set_verify(ctx, mode, NULL);
    return true;
}

// The intermediates that go with our certificate, from its own file and the authority's, are found once: OpenSSL would
// look for them, and verify them, in every handshake, and send the root too, which the other side parses for nothing.
// That was a third of a handshake's CPU on each side.
static void build_chain(SSL_CTX *ctx, const struct io_tls *tls) {
    if (tls->cert_file == NULL) return;
    const int how = SSL_BUILD_CHAIN_FLAG_UNTRUSTED | SSL_BUILD_CHAIN_FLAG_NO_ROOT | SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR |
                    SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR;
    if (SSL_CTX_build_cert_chain(ctx, how) > 0) SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    ERR_clear_error();
}

static SSL_CTX *context_new(const struct io_tls *tls, char error[256]) {
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(tls->server ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL) {
        tell(error, "cannot start", "TLS");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    // Idle connections give their buffers back; what SSL_write is given moves between calls.
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // No tickets: a resumed session would carry on a certificate that a reload has meanwhile distrusted. With a
    // client's certificate they would save the server little: the ticket holds it, and it is parsed anew.
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    if (!load_own(ctx, tls, error) || !load_authority(ctx, tls, error)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    build_chain(ctx, tls);
    return ctx;
}

static char *copy_text(const char *text) {
    return text != NULL ? mem_strdup(text) : NULL;
}

struct io_tls *io_tls_new(const struct io_tls_options *options, bool server, char error[256]) {
    ENSURE(options != NULL && error != NULL);
    struct io_tls *tls = mem_zalloc(sizeof *tls);
    atomic_init(&tls->refs, 1);
    int failed = pthread_mutex_init(&tls->lock, NULL);
    ENSURE(failed == 0);
    tls->server = server;
    tls->method = bio_method();
    tls->require_peer = options->require_peer && server;
    tls->verify_name = options->verify_name && !server;
    tls->cert_file = copy_text(options->cert_file);
    tls->key_file = copy_text(options->key_file);
    tls->ca_file = copy_text(options->ca_file);
    tls->ctx = context_new(tls, error);
    if (tls->ctx == NULL) {
        io_tls_free(tls);
        return NULL;
    }
    return tls;
}

int io_tls_reload(struct io_tls *tls, char error[256]) {
    SSL_CTX *fresh = context_new(tls, error);
    if (fresh == NULL) return -EINVAL;
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *old = tls->ctx;
    tls->ctx = fresh;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old); // connections of the old one hold their own reference
    return 0;
}

struct io_tls *tls_ref(struct io_tls *tls) {
    atomic_fetch_add(&tls->refs, 1);
    return tls;
}

void io_tls_free(struct io_tls *tls) {
    if (tls == NULL || atomic_fetch_sub(&tls->refs, 1) > 1) return;
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->method);
    pthread_mutex_destroy(&tls->lock);
    mem_free(tls->cert_file);
    mem_free(tls->key_file);
    mem_free(tls->ca_file);
    mem_free(tls);
}

static SSL *session_new(struct io_tls *tls) {
    pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->ctx); // takes its own reference of ctx
    pthread_mutex_unlock(&tls->lock);
    return ssl;
}

// ---- one connection
static void on_handshake_timeout(struct io_timer *timer) {
    struct io_conn *conn = timer->context;
    if (conn_tls_waits(conn)) // it is we who are late
        uv_timer_begin(conn->io, &conn->timer, on_handshake_timeout, conn, UV_HANDSHAKE_US);
    else
        conn_fail(conn, -ETIMEDOUT);
}

// The alternative names count; the common name only where there are none. No wildcards within a label.
static int expect_name(SSL *ssl, const char *host) {
    X509_VERIFY_PARAM *expected = SSL_get0_param(ssl);
    if (host == NULL || host[0] == 0) return -EINVAL;
    if (X509_VERIFY_PARAM_set1_ip_asc(expected, host) == 1) return 0;
    ERR_clear_error(); // it is no number
    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(expected, host, 0) == 1 ? 0 : -EINVAL;
}

static int begin(struct conn_tls *tls) {
    ERR_clear_error();
    tls->ssl = session_new(tls->tls);
    if (tls->ssl == NULL) return -ENOMEM;
    BIO *bio = BIO_new(tls->tls->method);
    ENSURE(bio != NULL);
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    if (tls->tls->server)
        SSL_set_accept_state(tls->ssl);
    else
        SSL_set_connect_state(tls->ssl);
    return 0;
}

int conn_tls_init(struct io_conn *conn, struct io_tls *shared, const char *host) {
    ENSURE(conn->tls == NULL);
    struct conn_tls *tls = mem_zalloc(sizeof *tls);
    tls->conn = conn;
    tls->tls = tls_ref(shared);
    list_init(&tls->waiting);
    conn->tls = tls;
    conn->state = CONN_HANDSHAKE;
    if (shared->server) { // its SSL is made at its first step: a crowd is accepted quickly, and costs nothing until it
                          // speaks
        uv_timer_begin(conn->io, &conn->timer, on_handshake_timeout, conn, UV_HANDSHAKE_US);
        conn_dirty(conn); // watched from the end of the turn
        return 0;
    }
    int error = begin(tls);
    if (error == 0 && shared->verify_name) error = expect_name(tls->ssl, host);
    if (error != 0) return error;               // the caller destroys it
    struct uv_address number[UV_ADDRESSES_MAX]; // "localhost" is two
    if (host != NULL && address_known(host, 0, number) == 0) SSL_set_tlsext_host_name(tls->ssl, host);
    conn_tls_ready(conn); // it speaks first
    return 0;
}

static void leave_queue(struct conn_tls *tls) {
    if (list_empty(&tls->waiting)) return;
    list_remove(&tls->waiting);
    tls->conn->io->handshake_count--;
}

void conn_tls_free(struct io_conn *conn) {
    struct conn_tls *tls = conn->tls;
    leave_queue(tls);
    SSL_free(tls->ssl); // and its BIO
    out_clear(&conn->io->stock, &tls->clear);
    mem_free(tls->kept);
    io_tls_free(tls->tls);
    mem_free(tls);
    conn->tls = NULL;
}

struct out_queue *conn_tls_clear(struct io_conn *conn) {
    return &conn->tls->clear;
}
bool conn_tls_waits(const struct io_conn *conn) {
    return !list_empty(&conn->tls->waiting);
}
bool conn_tls_notified(const struct io_conn *conn) {
    return conn->tls->notified;
}

void conn_tls_want_notify(struct io_conn *conn) {
    conn->tls->want_notify = true;
}

// ---- handshakes
void conn_tls_ready(struct io_conn *conn) {
    struct conn_tls *tls = conn->tls;
    ENSURE(conn->state == CONN_HANDSHAKE);
    if (!list_empty(&tls->waiting)) return;
    // Those that have begun go first, or a crowd that needs longer than their time-out would throw all its work away.
    list_push_back(tls->ssl != NULL ? &conn->io->handshakes_begun : &conn->io->handshakes, &tls->waiting);
    conn->io->handshake_count++;
    conn_arm(conn); // not watched while it waits: each look at the sockets would report it again
}

static void keep_rest(struct conn_tls *tls) {
    uint8_t *kept = NULL;
    if (tls->in_len > 0) {
        kept = mem_alloc(tls->in_len);
        memcpy(kept, tls->in, tls->in_len);
    }
    mem_free(tls->kept); // tls->in may have pointed into it
    tls->kept = kept;
    tls->kept_len = tls->in_len;
    tls->in = NULL;
    tls->in_len = 0;
}

static void handshake_failed(struct io_conn *conn) {
    int error = SSL_get_verify_result(conn->tls->ssl) != X509_V_OK ? -EKEYREJECTED : -EPROTO;
    ERR_clear_error();
    struct uv_connect *connect = conn->connect;
    conn->connect = NULL;
    conn->tls->notified = true; // the alert is queued; no close_notify after it
    conn_linger_start(conn);
    if (connect != NULL) connect_finished(connect, NULL, error);
}

static void handshake_step(struct io_conn *conn) {
    struct conn_tls *tls = conn->tls;
    uint8_t *buf = conn->io->read_buf;
    ssize_t n = recv(conn->fd, buf, UV_READ_BYTES, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        conn_fail(conn, n == 0 ? -ECONNRESET : -errno);
        return;
    }
    int error = tls->ssl == NULL ? begin(tls) : 0;
    if (error != 0) {
        conn_fail(conn, error);
        return;
    }
    tls->in = buf;
    tls->in_len = n > 0 ? (size_t)n : 0;
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    int reason = result == 1 ? 0 : SSL_get_error(tls->ssl, result);
    conn_dirty(conn); // sends its part, watches for the other's
    if (result != 1 && reason != SSL_ERROR_WANT_READ) {
        tls->in_len = 0;
        handshake_failed(conn);
        return;
    }
    keep_rest(tls);
    if (result != 1) return;
    tls->resume = true; // the client's first request may have come with its last handshake bytes
    uv_timer_end(conn->io, &conn->timer);
    conn_opened(conn);
}

void tls_handshakes(struct uv_io *io) {
    if (io->handshake_count == 0) return;
    uint64_t until = uv_now_us(&io->io) + UV_HANDSHAKE_TURN_US;
    for (unsigned i = 0; i < UV_HANDSHAKE_TURN_MAX && io->handshake_count > 0; i++) {
        const struct list *from = list_empty(&io->handshakes_begun) ? &io->handshakes : &io->handshakes_begun;
        struct conn_tls *tls = CONTAINER_OF(from->next, struct conn_tls, waiting);
        leave_queue(tls);
        handshake_step(tls->conn);
        if (uv_now_us(&io->io) >= until) break;
    }
}

// ---- input
// Fills clear_buf from as many records as there are. Gives bytes, 0 when the other side closed TLS, or a negative
// error; -EAGAIN: nothing more for now.
static int64_t decrypt(struct conn_tls *tls, uint8_t *out, size_t max) {
    size_t filled = 0;
    while (filled < max) {
        size_t n = 0;
        ERR_clear_error();
        if (SSL_read_ex(tls->ssl, out + filled, max - filled, &n) == 1) {
            filled += n;
            continue;
        }
        if (filled > 0) break; // the reason comes again at the next call
        int reason = SSL_get_error(tls->ssl, 0);
        ERR_clear_error();
        if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) return -EAGAIN;
        return reason == SSL_ERROR_ZERO_RETURN ? 0 : -EPROTO;
    }
    return (int64_t)filled;
}

static void input_loop(struct io_conn *conn) {
    struct uv_io *io = conn->io;
    if (io->clear_buf == NULL) io->clear_buf = mem_alloc(UV_CLEAR_BYTES);
    while (conn->state == CONN_OPEN && conn->reading && !conn->ended && conn->error == 0) {
        int64_t n = decrypt(conn->tls, io->clear_buf, UV_CLEAR_BYTES);
        if (n == -EAGAIN) break;
        if (n > 0) {
            conn->handler->read(conn, io->clear_buf, (size_t)n);
        } else if (n == 0) {
            conn_end(conn);
        } else {
            conn_fail(conn, (int)n);
        }
    }
    if (conn->state != CONN_OPEN && conn->state != CONN_FLUSHING) return; // closed: its tls is gone
    keep_rest(conn->tls);
    conn->tls->resume = !conn->reading;
    if (conn->out.bytes > 0) conn_dirty(conn); // alerts, answers to key updates
}

void conn_tls_input(struct io_conn *conn, const uint8_t *data, size_t len) {
    struct conn_tls *tls = conn->tls;
    if (tls->kept_len > 0) { // what was kept comes first
        tls->kept = mem_realloc(tls->kept, tls->kept_len + len);
        memcpy(tls->kept + tls->kept_len, data, len);
        tls->kept_len += len;
        tls->in = tls->kept;
        tls->in_len = tls->kept_len;
    } else {
        tls->in = data;
        tls->in_len = len;
    }
    input_loop(conn);
}

void conn_tls_resume(struct io_conn *conn) {
    struct conn_tls *tls = conn->tls;
    if (!tls->resume) return;
    tls->in = tls->kept;
    tls->in_len = tls->kept_len;
    input_loop(conn);
}

// ---- output
static bool encrypt_some(struct io_conn *conn) {
    struct conn_tls *tls = conn->tls;
    const struct out_chunk *first = tls->clear.first;
    size_t n = 0;
    ERR_clear_error();
    if (SSL_write_ex(tls->ssl, first->data, first->len, &n) != 1) {
        ERR_clear_error();
        conn->error = -EPROTO; // our BIO takes everything, so this is no "try again"
        conn_dirty(conn);
        return false;
    }
    out_consume(&conn->io->stock, &tls->clear, n);
    return true;
}

void conn_tls_encrypt(struct io_conn *conn) {
    struct conn_tls *tls = conn->tls;
    if (conn->state == CONN_HANDSHAKE) return;
    while (tls->clear.bytes > 0 && conn->out.bytes < CIPHER_WAITING_MAX) {
        if (!encrypt_some(conn)) return;
    }
    if (tls->clear.bytes == 0 && tls->want_notify && !tls->notified) {
        ERR_clear_error();
        SSL_shutdown(tls->ssl);
        ERR_clear_error();
        tls->notified = true;
    }
}

// ---- who is there
static void name_text(X509_NAME *name, char *out, size_t size) {
    BIO *bio = BIO_new(BIO_s_mem());
    ENSURE(bio != NULL);
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        int n = BIO_read(bio, out, (int)size - 1);
        out[n > 0 ? n : 0] = 0;
    }
    BIO_free(bio);
}

void conn_tls_info(struct io_conn *conn, struct io_conn_info *info) {
    X509 *peer = SSL_get1_peer_certificate(conn->tls->ssl);
    if (peer == NULL) return;
    name_text(X509_get_subject_name(peer), info->tls_subject, sizeof info->tls_subject);
    name_text(X509_get_issuer_name(peer), info->tls_issuer, sizeof info->tls_issuer);
    X509_free(peer);
}
