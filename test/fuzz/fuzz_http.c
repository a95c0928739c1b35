// protocol/http over a node that is made up here. The same bytes are given whole and in pieces: the answers must be the
// same bytes. Answers must be responses of HTTP/1.1 that end with the connection or say how long they are.
//   first byte: bits of the node's state; second: size of the pieces; then the client's bytes
#include <errno.h>

#include "protocol/http/http.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/support/protocol/fake_service.c" // in the place of the node, with the real sessions and locks

struct node {
    uint8_t how;
    void (*admin_done)(void *context, int error, const char *text);
    void (*snapshot_done)(void *context, int error, uint64_t index);
    void *context;
};
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

// Until nothing more comes of what was sent: commands are applied, ticks let backups and long pipelines go on.
static void settle(struct fake *fake, struct node *node, struct client *c) {
    for (int quiet = 0; quiet < 4;) {
        size_t in = c->input.len, out = c->output.len;
        uint64_t applied = fake->applied;
        bool waited = node->admin_done != NULL || node->snapshot_done != NULL;
        if (waited) answer_waiting(node);
        fake_step(fake);
        fake_tick(fake, 0);
        bool moved = waited || in != c->input.len || out != c->output.len || applied != fake->applied;
        quiet = moved ? 0 : quiet + 1;
    }
}

static void converse(uint8_t how, size_t piece, struct bytes bytes, struct writer *out, bool *closed) {
    struct node node = {.how = how};
    struct file file = {0};
    struct http_settings settings = {.node = &node,
                                     .allow_remote = (how & 64) != 0,
                                     .backup_open = open_file,
                                     .backup_read = read_file,
                                     .backup_close = close_file,
                                     .context = &file};
    struct fake *fake = fake_new(&http_protocol, &settings);
    struct client *c = fake_connect(fake, (how & 32) != 0 ? "10.0.0.9:77" : "127.0.0.1:5000");
    for (size_t at = 0; at < bytes.len && !c->closing; at += piece) {
        size_t len = bytes.len - at < piece ? bytes.len - at : piece;
        fake_send(c, bytes.data + at, len);
        settle(fake, &node, c);
    }
    ENSURE(node.admin_done == NULL && node.snapshot_done == NULL);
    bool waits = true; // commands of one connection wait beside each other, and it is paused by none of them
    for (size_t i = 0; i <= bytes.len && !c->closing && (c->paused || waits); i++) {
        size_t out_len = c->output.len;
        fake_pass_time(fake, 31ull * 24 * 3600 * 1000); // every wait is over
        settle(fake, &node, c);
        waits = out_len != c->output.len;
    }
    *closed = c->closing;
    write_span(out, bytes_of(c->output.data, c->output.len));
    ENSURE(c->closing || !c->paused);
    if (!c->closing) {
        fake_tick(fake, 200000);
        ENSURE(c->closing); // too slow, or idle
    }
    ENSURE(!file.open);
    fake_free(fake);
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
        if (memmem(head, head_len, "Content-Type: text/event-stream\r\n", 33) != NULL &&
            memmem(head, head_len, "Content-Length: ", 16) == NULL) { // until the connection ends
            ENSURE(memmem(head, head_len, "Connection: close\r\n", 19) != NULL);
            return;
        }
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
