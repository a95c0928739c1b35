// Who a connection is: world, ip and x509 by itself, digest and super by auth packets. A clear password is hashed where
// it arrives, and goes no further than this file.
#include "base/assert.h"
#include "io/io.h"
#include "protocol/zookeeper/internal.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define SHA1_BYTES 20
#define SHA1_BASE64_BYTES 28

static bool identity_known(const struct connection *c, struct bytes scheme, struct bytes id) {
    struct reader r = reader_of(c->identities.data, c->identities.len);
    for (uint64_t left = read_varint(&r); left > 0 && !r.failed; left--) {
        struct bytes had_scheme = read_blob(&r), had_id = read_blob(&r);
        if (bytes_equal(had_scheme, scheme) && bytes_equal(had_id, id)) return true;
    }
    return false;
}

// False: too many. The count is one byte: a varint below 128.
static bool identity_add(struct connection *c, struct bytes scheme, struct bytes id) {
    struct writer *w = &c->identities;
    if (w->len > 0 && identity_known(c, scheme, id)) return true;
    if (w->len == 0) write_u8(w, 0);
    if (w->data[0] >= ZOOKEEPER_IDENTITIES_MAX) return false;
    _Static_assert(ZOOKEEPER_IDENTITIES_MAX < 128, "one byte of varint");
    w->data[0]++;
    write_blob(w, scheme);
    write_blob(w, id);
    return true;
}

void auth_start(struct connection *c) {
    struct io_conn_info info;
    client_info(c->client, &info);
    char *host = info.remote;
    char *port = strrchr(host, ':');
    if (port) *port = '\0';
    size_t len = strlen(host);
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        host++;
    }
    if (info.tls && info.tls_subject[0]) identity_add(c, bytes_of_text("x509"), bytes_of_text(info.tls_subject));
    identity_add(c, bytes_of_text("ip"), bytes_of_text(host));
}

// "user:password" is known as "user:base64(sha1(user:password))".
static bool auth_digest(struct connection *c, struct bytes secret) {
    uint8_t sha1[EVP_MAX_MD_SIZE], text[SHA1_BASE64_BYTES + 1];
    unsigned int len = 0;
    if (EVP_Digest(secret.data ? (const void *)secret.data : "", secret.len, sha1, &len, EVP_sha1(), NULL) != 1)
        return false;
    ENSURE(len == SHA1_BYTES);
    int written = EVP_EncodeBlock(text, sha1, SHA1_BYTES);
    ENSURE(written == SHA1_BASE64_BYTES);
    const uint8_t *colon = secret.len ? memchr(secret.data, ':', secret.len) : NULL;
    size_t user = colon ? (size_t)(colon - secret.data) : secret.len;
    struct writer *id = &c->instance->part;
    writer_clear(id);
    write_span(id, bytes_of(secret.data, user));
    write_u8(id, ':');
    write_span(id, bytes_of(text, SHA1_BASE64_BYTES));
    OPENSSL_cleanse(sha1, sizeof sha1);
    const char *super = c->instance->settings.super_digest;
    bool is_super = super && strlen(super) == id->len && CRYPTO_memcmp(super, id->data, id->len) == 0;
    if (is_super && !identity_add(c, bytes_of_text("super"), bytes_of(NULL, 0))) return false;
    return identity_add(c, bytes_of_text("digest"), bytes_of(id->data, id->len));
}

// Called without a body when the packet arrives, and with one when its turn to be answered has come.
int zookeeper_arrival_auth(struct connection *c, struct reader *r, struct writer *body) {
    if (body) return 0;
    jute_int(r); // AuthPacket.type: 0 always
    struct bytes scheme = jute_string(r);
    bool null;
    struct bytes secret = jute_buffer(r, &null);
    if (r->failed) return 0; // the caller closes it
    bool accepted = false;
    if (bytes_equal(scheme, bytes_of_text("digest")))
        accepted = !null && secret.len > 0 && auth_digest(c, secret);
    else if (bytes_equal(scheme, bytes_of_text("ip")))
        accepted = true; // known since it was opened
    else if (bytes_equal(scheme, bytes_of_text("x509"))) {
        struct io_conn_info info;
        client_info(c->client, &info);
        accepted = info.tls && info.tls_subject[0];
    }
    if (!accepted) c->instance->auth_failed++;
    return accepted ? 0 : ZOOKEEPER_AUTHFAILED;
}

// As ZooKeeper without a SASL server: no error, and a null token, on which its clients go on without SASL.
int zookeeper_arrival_sasl(struct connection *c, struct reader *r, struct writer *body) {
    if (body) {
        jute_write_int(body, -1);
        return 0;
    }
    jute_string(r);
    return 0;
}

int zookeeper_read_who_am_i(struct connection *c, struct reader *r, struct writer *body) {
    struct reader all = reader_of(c->identities.data, c->identities.len);
    uint64_t count = read_varint(&all);
    jute_write_int(body, (int32_t)count);
    for (; count > 0; count--) {
        struct bytes scheme = read_blob(&all), id = read_blob(&all);
        bool digest = bytes_equal(scheme, bytes_of_text("digest"));
        const uint8_t *colon = digest && id.len ? memchr(id.data, ':', id.len) : NULL;
        if (colon) id.len = (size_t)(colon - id.data); // the user; not what he can be attacked with
        jute_write_bytes(body, scheme);
        jute_write_bytes(body, id);
    }
    ENSURE(reader_done(&all));
    return 0;
}
