// protocol/http over a node that is made up here. The same bytes are given whole and in pieces: the answers must be the
// same bytes. Answers must be responses of HTTP/1.1 that end with the connection or say how long they are.
//   first byte: bits of the node's state; second: size of the pieces; then the client's bytes
#include <errno.h>

#include "io/io.h"
#include "protocol/http/http.h"
#include "test/fuzz/fuzz.h"

struct client {
    struct writer in, out;
    void *connection;
    bool paused, closing, closed, remote;
};
struct service {
    uint64_t now_ms;
};
struct node {
    uint8_t how;
    void (*admin_done)(void *context, int error, const char *text);
    void (*snapshot_done)(void *context, int error, uint64_t index);
    void *context;
};
void client_write(struct client *c, const void *data, size_t len) {
    ENSURE(!c->closed);
    write_span(&c->out, bytes_of(data, len));
}
void client_close(struct client *c, bool flush) {
    c->closing = true;
}
void client_pause(struct client *c) {
    c->paused = true;
}
void client_resume(struct client *c) {
    c->paused = false;
}
size_t client_output_pending(const struct client *c) {
    return 0;
}
void client_info(const struct client *c, struct io_conn_info *info) {
    *info = (struct io_conn_info){0};
    snprintf(info->remote, sizeof info->remote, "%s", c->remote ? "10.0.0.9:77" : "127.0.0.1:5000");
}
uint64_t service_now_ms(struct service *s) {
    return s->now_ms;
}
struct log *service_log(struct service *s) {
    return NULL;
}
void service_status(struct service *s, struct service_status *status) {
    *status = (struct service_status){.id = 1, .data_folder = "/data", .uptime_ms = 5000, .journal_bytes = 77};
}
bool node_ready(struct node *n) {
    return (n->how & 1) == 0;
}
void node_get_view(struct node *n, struct node_view *view) {
    static struct node_member members[2];
    bool formed = (n->how & 2) == 0;
    *view = (struct node_view){.applied = formed ? 40 : 0, .members = members, .member_count = formed ? 2 : 0};
    view->status = (struct core_status){.role = RAFT_LEADER, .leader = n->how >> 2 & 1, .term = 3, .commit = 41};
    for (uint32_t i = 0; i < 2; i++) members[i] = (struct node_member){.member = {.id = i + 1}, .self = i == 0};
}
void node_get_metrics(struct node *n, struct node_metrics *m) {
    memset(m, 0, sizeof *m);
}
void node_admin(struct node *n, enum core_admin what, uint32_t member, const char *address,
                void (*done)(void *context, int error, const char *text), void *context) {
    if (address != NULL) ENSURE(strlen(address) < ADDRESS_TEXT_MAX);
    n->admin_done = done;
    n->context = context;
}
void node_snapshot(struct node *n, void (*done)(void *context, int error, uint64_t index), void *context) {
    n->snapshot_done = done;
    n->context = context;
}

struct file {
    uint64_t left;
    bool open;
};
static void *open_file(void *context, uint64_t index, uint64_t *bytes, char name[64]) {
    struct file *file = context;
    ENSURE(!file->open);
    *bytes = file->left = 3000;
    file->open = true;
    snprintf(name, 64, "40.snap");
    return file;
}
static int64_t read_file(void *backup, void *data, size_t len) {
    struct file *file = backup;
    ENSURE(file->open);
    if (len > file->left) len = (size_t)file->left;
    memset(data, 'x', len);
    file->left -= len;
    return (int64_t)len;
}
static void close_file(void *backup) {
    ((struct file *)backup)->open = false;
}

static void answer_waiting(struct node *n) {
    if (n->admin_done != NULL) {
        void (*done)(void *context, int error, const char *text) = n->admin_done;
        n->admin_done = NULL;
        done(n->context, n->how & 8 ? -EBUSY : 0, n->how & 8 ? "busy \"now\"\n" : "");
    }
    if (n->snapshot_done != NULL) {
        void (*done)(void *context, int error, uint64_t index) = n->snapshot_done;
        n->snapshot_done = NULL;
        done(n->context, n->how & 16 ? -EIO : 0, 40);
    }
}

static bool pump(void *instance, struct service *service, struct node *node, struct client *c) {
    while (!c->paused && !c->closing && c->in.len > 0) {
        uint8_t *copy = exact(bytes_of(c->in.data, c->in.len));
        size_t used = http_protocol.input(c->connection, copy, c->in.len);
        ENSURE(used <= c->in.len);
        mem_free(copy);
        writer_consume(&c->in, used);
        if (used == 0) break;
    }
    bool waited = node->admin_done != NULL || node->snapshot_done != NULL;
    if (waited) answer_waiting(node);
    for (int i = 0; i < 3 && waited; i++) http_protocol.tick(instance, service->now_ms); // a backup goes out in ticks
    bool held = !waited && c->paused && !c->closing; // many requests at once are answered in portions, one a tick
    if (held) http_protocol.tick(instance, service->now_ms);
    return waited || (held && !c->paused);
}

static void converse(uint8_t how, size_t piece, struct bytes bytes, struct writer *out, bool *closed) {
    struct node node = {.how = how};
    struct service service = {.now_ms = 1000};
    struct file file = {0};
    struct http_settings settings = {.node = &node,
                                     .allow_remote = (how & 64) != 0,
                                     .backup_open = open_file,
                                     .backup_read = read_file,
                                     .backup_close = close_file,
                                     .context = &file};
    void *instance = http_protocol.start(&service, &settings);
    struct client c = {.remote = (how & 32) != 0};
    c.connection = http_protocol.open(instance, &c);
    for (size_t at = 0; at < bytes.len && !c.closing; at += piece) {
        size_t len = bytes.len - at < piece ? bytes.len - at : piece;
        write_span(&c.in, bytes_of(bytes.data + at, len));
        while (pump(instance, &service, &node, &c)) {
        }
    }
    ENSURE(node.admin_done == NULL && node.snapshot_done == NULL);
    *closed = c.closing;
    size_t answered = c.out.len;
    service.now_ms += 200000;
    if (!c.closing) {
        http_protocol.tick(instance, service.now_ms);
        ENSURE(c.closing); // too slow, or idle
    }
    write_span(out, bytes_of(c.out.data, answered));
    c.closed = true;
    http_protocol.close(c.connection);
    http_protocol.stop(instance);
    ENSURE(!file.open);
    writer_free(&c.in);
    writer_free(&c.out);
}

static void check_answers(struct writer *out) {
    size_t at = 0;
    while (at < out->len) {
        const uint8_t *head = out->data + at, *end = memmem(head, out->len - at, "\r\n\r\n", 4);
        ENSURE(end != NULL && memcmp(head, "HTTP/1.1 ", 9) == 0);
        int status = atoi((const char *)head + 9);
        ENSURE(status >= 100 && status <= 599);
        size_t head_len = (size_t)(end - head) + 4;
        at += head_len;
        if (status == 100) continue;
        const uint8_t *length = memmem(head, head_len, "Content-Length: ", 16);
        ENSURE(length != NULL);
        size_t body = (size_t)atol((const char *)length + 16);
        bool more = out->len - at >= 9 && memcmp(out->data + at, "HTTP/1.1 ", 9) == 0;
        if (out->len == at || (more && body > 0)) continue; // of HEAD
        ENSURE(body <= out->len - at);
        at += body;
    }
}

// 100 Continue is for a body that has not come yet: how the bytes were cut decides whether it is said.
static void without_continue(struct writer *w) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    size_t len = sizeof text - 1;
    for (uint8_t *at; w->len > 0 && (at = memmem(w->data, w->len, text, len)) != NULL;) {
        memmove(at, at + len, w->len - (size_t)(at - w->data) - len);
        w->len -= len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct take t = take_of(data, size);
    uint8_t how = take_u8(&t), piece = take_u8(&t);
    struct bytes bytes = take_bytes(&t, t.left);
    struct writer whole = {0}, pieces = {0};
    bool whole_closed, pieces_closed;
    converse(how, bytes.len + 1, bytes, &whole, &whole_closed);
    converse(how, 1u + piece % 32, bytes, &pieces, &pieces_closed);
    without_continue(&whole);
    without_continue(&pieces);
    if (getenv("FUZZ_SHOW") != NULL)
        fprintf(stderr, "whole:\n%.*s\n---- in pieces:\n%.*s\n", (int)whole.len, (char *)whole.data, (int)pieces.len,
                (char *)pieces.data);
    ENSURE(bytes_equal(bytes_of(whole.data, whole.len), bytes_of(pieces.data, pieces.len)));
    ENSURE(whole_closed == pieces_closed);
    write_u8(&whole, 0); // for atoi
    whole.len--;
    check_answers(&whole);
    writer_free(&whole);
    writer_free(&pieces);
    return 0;
}
