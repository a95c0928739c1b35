// TLS for the load generator: OpenSSL on a non-blocking socket, with the calls of send(2) and recv(2).
#pragma once
#include <stddef.h>
#include <sys/types.h>

struct bench_tls; // certificates, for all connections
// PEM files; ca checks the server, cert and key are shown to it; any may be NULL. NULL: error says why.
struct bench_tls *bench_tls_new(const char *ca, const char *cert, const char *key, char error[256]);
void bench_tls_free(struct bench_tls *tls);

struct ssl_st *bench_tls_open(struct bench_tls *tls, int fd);
void bench_tls_close(struct ssl_st *ssl);                                 // NULL: nothing; the socket stays
int bench_tls_handshake(struct ssl_st *ssl);                              // 1: done, 0: not yet, -1: refused
ssize_t bench_tls_send(struct ssl_st *ssl, const void *data, size_t len); // -1: errno, EAGAIN as with send
ssize_t bench_tls_recv(struct ssl_st *ssl, void *data, size_t len);
