#include "cli/bench_tls.h"
#include "base/alloc.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

struct bench_tls {
    SSL_CTX *ctx;
};

static bool load(SSL_CTX *ctx, const char *ca, const char *cert, const char *key) {
    if (ca != NULL) {
        if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1) return false;
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    if (cert == NULL) return true;
    return SSL_CTX_use_certificate_chain_file(ctx, cert) == 1 &&
           SSL_CTX_use_PrivateKey_file(ctx, key != NULL ? key : cert, SSL_FILETYPE_PEM) == 1;
}

struct bench_tls *bench_tls_new(const char *ca, const char *cert, const char *key, char error[256]) {
    signal(SIGPIPE, SIG_IGN); // OpenSSL writes without MSG_NOSIGNAL
    struct bench_tls *tls = mem_zalloc(sizeof *tls);
    tls->ctx = SSL_CTX_new(TLS_client_method());
    if (tls->ctx == NULL || !load(tls->ctx, ca, cert, key)) {
        const char *reason = ERR_reason_error_string(ERR_peek_error());
        snprintf(error, 256, "cannot use the TLS files: %s", reason == NULL ? "unreadable" : reason);
        bench_tls_free(tls);
        return NULL;
    }
    SSL_CTX_set_min_proto_version(tls->ctx, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
    // No chain is looked for in each handshake: the certificate's file has what is to be sent.
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return tls;
}

void bench_tls_free(struct bench_tls *tls) {
    if (tls == NULL) return;
    SSL_CTX_free(tls->ctx);
    mem_free(tls);
}

struct ssl_st *bench_tls_open(struct bench_tls *tls, int fd) {
    SSL *ssl = SSL_new(tls->ctx);
    if (ssl == NULL) return NULL;
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    return ssl;
}

void bench_tls_close(struct ssl_st *ssl) {
    SSL_free(ssl);
}

// As a system call's: what it gave, or -1 and errno.
static ssize_t result(SSL *ssl, int n) {
    if (n > 0) return n;
    int reason = SSL_get_error(ssl, n);
    if (reason == SSL_ERROR_ZERO_RETURN) return 0;
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (reason != SSL_ERROR_SYSCALL || errno == 0)
        errno = EPROTO;
    return -1;
}

int bench_tls_handshake(struct ssl_st *ssl) {
    ERR_clear_error();
    ssize_t n = result(ssl, SSL_do_handshake(ssl));
    return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
}

ssize_t bench_tls_send(struct ssl_st *ssl, const void *data, size_t len) {
    ERR_clear_error();
    return result(ssl, SSL_write(ssl, data, (int)len));
}

ssize_t bench_tls_recv(struct ssl_st *ssl, void *data, size_t len) {
    ERR_clear_error();
    return result(ssl, SSL_read(ssl, data, (int)len));
}
