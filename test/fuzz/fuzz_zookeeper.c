// Up to four clients' bytes, interleaved, into protocol/zookeeper over the fake node (real leases and tree).
//   first byte: settings. Then actions: low two bits the client, the rest what happens (see `act`).
// Held against: replies are whole frames with the xids of the requests, in their order; watch events are well formed;
// the tree's digest is the one of a recount and survives save and load; its paths are those that the events told; its
// answers and its nodes are those of a simple model (simple_tree.h).
#include "test/unit/support/protocol/fake_names.h"

#include "protocol/zookeeper/auth.c"
#include "protocol/zookeeper/codec.c"
#include "protocol/zookeeper/connect.c"
#include "protocol/zookeeper/four_letter.c"
#include "protocol/zookeeper/instance.c"
#include "protocol/zookeeper/multi.c"
#include "protocol/zookeeper/paths.c"
#include "protocol/zookeeper/pipeline.c"
#include "protocol/zookeeper/reads.c"
#include "protocol/zookeeper/stats.c"
#include "protocol/zookeeper/watches.c"
#include "protocol/zookeeper/writes.c"
#include "test/fuzz/simple_tree.h"
static const struct model_ops *simple_table(uint8_t id) { // the simple model sees what the tree is told
    return id == MODEL_TREE ? simple_between() : model_table(id);
}
#define model_table simple_table
#include "test/unit/support/protocol/fake_service.c"
#undef model_table

#include "test/fuzz/fuzz.h"

#define CONNECTIONS 4
#define PATHS_MAX 4096

struct side { // the client's view of one connection
    struct client *client;
    struct writer sent; // not yet cut into frames
    bool connected, text, over;
    struct ring xids;
    int32_t next_xid;
    uint64_t session;
    uint8_t password[16];
};
struct run {
    struct fake *fake;
    struct side sides[CONNECTIONS];
    struct bytes paths[PATHS_MAX]; // as events told
    size_t path_count;
    uint64_t nodes_before;
};
static struct run *run;

// ---- the model: which paths there are

static void on_event(void *instance, uint8_t model, const void *event) {
    const struct tree_event *e = event;
    if (model == MODEL_TREE && (e->type == TREE_EVENT_CREATED || e->type == TREE_EVENT_DELETED)) {
        size_t at = 0;
        while (at < run->path_count && !bytes_equal(run->paths[at], e->path)) at++;
        if (e->type == TREE_EVENT_CREATED) {
            ENSURE(at == run->path_count && at < PATHS_MAX);
            run->paths[run->path_count++] = bytes_of(exact(e->path), e->path.len);
        } else {
            ENSURE(at < run->path_count);
            mem_free((void *)(uintptr_t)run->paths[at].data);
            run->paths[at] = run->paths[--run->path_count];
        }
    }
    zookeeper_protocol.event(instance, model, event);
}

static void tree_ask(enum tree_query_op op, struct bytes path, struct tree_answer *answer) {
    struct bytes super = bytes_of("\x01\x05super\x00", 8);
    struct tree_query query = {.op = op, .path = path, .identities = {super}};
    struct result result = {0};
    tree_model.query(run->fake->models[MODEL_TREE], &query, &result);
    ENSURE(result.error == 0);
    *answer = *(const struct tree_answer *)result.value;
}

static void check_tree(void) {
    struct fake *fake = run->fake;
    struct digest digest = tree_model.digest(fake->models[MODEL_TREE]);
    simple_compare(fake->models[MODEL_TREE]);
    ENSURE(digest_equal(digest, tree_model.digest_recount(fake->models[MODEL_TREE])));
    ENSURE(digest_equal(lease_model.digest(fake->leases), lease_model.digest_recount(fake->leases)));
    struct tree_answer answer;
    tree_ask(TREE_STATS, bytes_of_text("/"), &answer);
    ENSURE(answer.nodes == run->nodes_before + run->path_count);
    for (size_t i = 0; i < run->path_count; i++) {
        tree_ask(TREE_EXISTS, run->paths[i], &answer);
        int32_t children = 0;
        for (size_t k = 0; k < run->path_count; k++) {
            const uint8_t *slash = memrchr(run->paths[k].data, '/', run->paths[k].len);
            if (bytes_equal(bytes_of(run->paths[k].data, (size_t)(slash - run->paths[k].data)), run->paths[i]))
                children++;
        }
        ENSURE(answer.stat.children == children);
        if (answer.stat.ephemeral_owner != 0) ENSURE(lease_find(fake->leases, answer.stat.ephemeral_owner) != NULL);
    }
    void *other = tree_model.create();
    struct save_cursor cursor = {0};
    static uint8_t chunk[256u << 10];
    for (size_t len; (len = tree_model.save(fake->models[MODEL_TREE], &cursor, chunk, sizeof chunk)) > 0;)
        ENSURE(tree_model.load(other, chunk, len) == 0);
    ENSURE(digest_equal(digest, tree_model.digest_recount(other)));
    tree_model.destroy(other);
}

// ---- a client

static void note_sent(struct side *s) { // whole frames out of what was sent
    size_t at = 0;
    if (!s->connected && !s->text && s->sent.len >= 4 && s->sent.data[0] >= 0x20) s->text = true;
    while (!s->text && s->sent.len - at >= 4) {
        int32_t len = (int32_t)get_u32_be(s->sent.data + at);
        if (len < 0 || len > 1 << 20) s->text = true; // the server ends it here
        if (len < 0 || s->sent.len - at - 4 < (size_t)len) break;
        if (s->connected && len >= 4) *(int32_t *)ring_push(&s->xids) = (int32_t)get_u32_be(s->sent.data + at + 4);
        s->connected = true;
        at += 4 + (size_t)len;
    }
    writer_consume(&s->sent, at);
}

static void send(struct side *s, const void *data, size_t len) {
    if (s->client->closed || s->client->closing) return;
    write_span(&s->sent, bytes_of(data, len));
    note_sent(s);
    uint8_t *copy = exact(bytes_of(data, len));
    fake_send(s->client, copy, len);
    mem_free(copy);
}

static void check_frame(struct side *s, struct bytes frame) {
    if (!s->over) { // the first one: of the connect request
        ENSURE(frame.len == 36 || frame.len == 37);
        s->over = true;
        s->session = get_u64_be(frame.data + 8);
        memcpy(s->password, frame.data + 20, 16);
        return;
    }
    ENSURE(frame.len >= JUTE_REPLY_HEADER_BYTES);
    int32_t xid = (int32_t)get_u32_be(frame.data), error = (int32_t)get_u32_be(frame.data + 12);
    uint64_t zxid = get_u64_be(frame.data + 4);
    if (xid == -1 && zxid == UINT64_MAX) {
        struct reader r = reader_of(frame.data + 16, frame.len - 16);
        int32_t type = jute_int(&r), state = jute_int(&r);
        struct bytes path = jute_string(&r);
        ENSURE(reader_done(&r) && error == 0 && type >= 1 && type <= 4 && state == 3);
        // setWatches of a path that no node can have is told "deleted", as ZooKeeper does
        ENSURE(type == TREE_EVENT_DELETED || (path.len > 0 && path.data[0] == '/'));
        return;
    }
    ENSURE(s->xids.count > 0);
    ENSURE(*(int32_t *)ring_front(&s->xids) == xid);
    ring_pop(&s->xids);
    ENSURE(zxid <= run->fake->applied);
    ENSURE(error == 0 || frame.len == JUTE_REPLY_HEADER_BYTES);
}

static void check_output(struct side *s) {
    if (s->client == NULL) return;
    struct writer *out = &s->client->output;
    if (s->text && !s->connected) {
        writer_clear(out);
        return;
    }
    size_t at = 0;
    while (out->len - at >= 4) {
        size_t len = get_u32_be(out->data + at);
        ENSURE(len <= out->len - at - 4); // replies are written whole
        check_frame(s, bytes_of(out->data + at + 4, len));
        at += 4 + len;
    }
    ENSURE(at == out->len);
    writer_consume(out, at);
}

static void drop(struct side *s) {
    if (s->client == NULL) return;
    if (!s->client->closed) fake_disconnect(s->client);
    check_output(s);
    writer_free(&s->sent);
    ring_free(&s->xids);
    s->client = NULL;
}

static void open_side(struct side *s, bool secure) {
    uint64_t session = s->session;
    uint8_t password[16];
    memcpy(password, s->password, 16);
    drop(s);
    *s = (struct side){.client = secure ? fake_connect_tls(run->fake, "[::1]:9", "CN=someone,O=x")
                                        : fake_connect(run->fake, "10.1.2.3:4000"),
                       .session = session};
    memcpy(s->password, password, 16);
    ring_init(&s->xids, sizeof(int32_t));
}

static void connect_side(struct side *s, uint8_t how) {
    struct writer w = {0};
    write_u32_be(&w, how & 1 ? 45 : 44);
    write_u32_be(&w, 0);
    write_u64_be(&w, how & 2 ? run->fake->applied + 5 : 0);
    write_u32_be(&w, 4000);
    write_u64_be(&w, how & 4 ? s->session : 0);
    write_u32_be(&w, 16);
    write_span(&w, bytes_of(s->password, 16));
    if (how & 1) write_u8(&w, how >> 3 & 1);
    send(s, w.data, w.len);
    writer_free(&w);
}

static const char *const paths[] = {"/",       "/a",         "/a/b", "/a/b/c",           "/a/d", "/q",
                                    "/q/n-",   "/e",         "/e/x", "/never",           "a",    "/a/",
                                    "/a/../b", "/zookeeper", "",     "/zookeeper/config"};

static void put_path(struct take *t, struct writer *w, uint8_t which) {
    if (which < 0xf0)
        jute_write_bytes(w, bytes_of_text(paths[which & 15]));
    else
        jute_write_bytes(w, take_bytes(t, which & 15));
}

static void write_open_acl(struct writer *w, uint8_t how) {
    jute_write_int(w, 1);
    jute_write_int(w, how & 1 ? 1 : 31);
    static const char *const schemes[] = {"world", "auth", "ip", "digest"};
    static const char *const ids[] = {"anyone", "", "10.1.0.0/16", "user:x"};
    jute_write_bytes(w, bytes_of_text(schemes[how >> 1 & 3]));
    jute_write_bytes(w, bytes_of_text(ids[how >> 1 & 3]));
}

// The body of a well-made request of this operation.
static void write_operation(struct take *t, struct writer *w, int32_t code, int depth) {
    uint8_t which = take_u8(t), how = take_u8(t);
    struct bytes value = take_bytes(t, how & 7);
    switch (code) {
    case 1:
    case 15:
    case 19:
    case 21:
        put_path(t, w, which);
        jute_write_bytes(w, value);
        write_open_acl(w, how >> 3);
        jute_write_int(w, code == 19 ? 4 : code == 21 ? 5 + (how >> 6 & 1) : how >> 5);
        if (code == 21) write_u64_be(w, take_number(t));
        break;
    case 2:
    case 13:
        put_path(t, w, which);
        jute_write_int(w, (how >> 4) - 1);
        break;
    case 3:
    case 4:
    case 8:
    case 12:
        put_path(t, w, which);
        if (depth == 0) write_u8(w, how & 1);
        break;
    case 5:
        put_path(t, w, which);
        jute_write_bytes(w, value);
        jute_write_int(w, (how >> 4) - 1);
        break;
    case 7:
        put_path(t, w, which);
        write_open_acl(w, how);
        jute_write_int(w, (how >> 4) - 1);
        break;
    case 14:
    case 22:
        for (int i = 0; depth == 0 && i < (how & 3); i++) {
            static const int32_t codes[] = {1, 2, 5, 13, 15, 19, 21, 4};
            int32_t part = code == 22 ? (take_u8(t) & 1 ? 4 : 8) : codes[take_u8(t) & 7];
            jute_write_int(w, part);
            write_u8(w, 0);
            jute_write_int(w, -1);
            write_operation(t, w, part, 1);
        }
        jute_write_int(w, -1);
        write_u8(w, 1);
        jute_write_int(w, -1);
        break;
    case 17:
    case 18:
    case 106:
        put_path(t, w, which);
        jute_write_int(w, how & 7);
        break;
    case 100:
        jute_write_int(w, 0);
        jute_write_bytes(w, bytes_of_text(how & 1 ? "digest" : "ip"));
        jute_write_bytes(w, how & 2 ? bytes_of_text("user:secret") : value);
        break;
    case 101:
    case 105:
        write_u64_be(w, how);
        for (int list = 0; list < (code == 101 ? 3 : 5); list++) {
            jute_write_int(w, how >> list & 1);
            if (how >> list & 1) put_path(t, w, (uint8_t)(which + list));
        }
        break;
    default:
        put_path(t, w, which);
    }
}

static void request(struct take *t, struct side *s, int32_t code, bool made) {
    struct writer w = {0}, body = {0};
    if (made)
        write_operation(t, &body, code, 0);
    else
        write_span(&body, take_bytes(t, take_u8(t)));
    int32_t xid = code == 11 ? -2 : code == 100 ? -4 : code == 101 || code == 105 ? -8 : ++s->next_xid;
    write_u32_be(&w, (uint32_t)(8 + body.len));
    jute_write_int(&w, xid);
    jute_write_int(&w, code);
    write_span(&w, bytes_of(body.data, body.len));
    send(s, w.data, w.len);
    writer_free(&w);
    writer_free(&body);
}

static int32_t take_code(struct take *t) {
    static const int32_t codes[] = {
#define X(name, code, kind, tag, handler) code,
        ZOOKEEPER_OPERATIONS(X)
#undef X
    };
    uint8_t which = take_u8(t);
    return which < sizeof codes / sizeof codes[0] ? codes[which] : codes[which % 14];
}

static void expire(void *context, const struct lease *lease) {
    uint64_t *session = context;
    if (*session == 0 || lease->session <= *session) *session = lease->session;
}

static void act(struct take *t, struct run *r, uint8_t byte) {
    struct side *s = &r->sides[byte & 3];
    if (s->client == NULL || s->client->closed) open_side(s, false);
    switch (byte >> 2 & 31) {
    case 0: { // raw bytes
        struct bytes raw = take_bytes(t, take_u8(t));
        send(s, raw.data, raw.len);
        break;
    }
    case 1:
        connect_side(s, take_u8(t));
        break;
    case 2:
        connect_side(s, 1);
        fake_step(r->fake);
        break;
    case 3:
        fake_step_one(r->fake);
        break;
    case 4:
        fake_step(r->fake);
        break;
    case 5:
        fake_tick(r->fake, take_u8(t) * 40u);
        break;
    case 6:
        if (!s->client->closed) fake_disconnect(s->client);
        break;
    case 7:
        open_side(s, take_u8(t) & 1);
        break;
    case 8:
        r->fake->has_leader = r->fake->leading = !r->fake->has_leader;
        break;
    case 9: {
        uint64_t session = 0;
        lease_each(r->fake->leases, expire, &session);
        if (session != 0) fake_expire(r->fake, session);
        break;
    }
    case 10:
        s->client->reads_nothing = !s->client->reads_nothing;
        break;
    case 11:
    case 12:
        request(t, s, take_code(t), false);
        break;
    case 13:
        request(t, s, (int32_t)take_u32(t), false);
        break;
    case 14: // a frame's length that lies
    {
        uint8_t head[8] = {0};
        put_u32_be(head, (uint32_t)take_number(t));
        send(s, head, 4 + (byte >> 7) * 4);
        break;
    }
    case 15: // in pieces
    {
        struct bytes raw = take_bytes(t, take_u8(t));
        for (size_t i = 0; i < raw.len; i++) send(s, raw.data + i, 1);
        break;
    }
    default:
        request(t, s, take_code(t), true);
    }
    if (byte & 0x80) fake_step(r->fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct take t = take_of(data, size);
    uint8_t how = take_u8(&t);
    struct zookeeper_settings settings = {.frame_bytes_max = how & 1 ? 200 : 0,
                                          .reply_bytes_max = how & 2 ? 100 : 0,
                                          .outstanding_max = how & 4 ? 3 : 0,
                                          .output_pause_bytes = how & 8 ? 256 : 0,
                                          .output_bytes_max = how & 16 ? 1024 : 0,
                                          .watches_max = how & 32 ? 2 : 0,
                                          .read_only_off = (how & 64) != 0,
                                          .four_letter_whitelist = how & 128 ? "*" : NULL};
    struct protocol protocol = zookeeper_protocol;
    protocol.event = on_event;
    run = mem_zalloc(sizeof *run);
    simple_begin();
    run->fake = fake_new(&protocol, &settings);
    struct tree_answer answer;
    tree_ask(TREE_STATS, bytes_of_text("/"), &answer);
    run->nodes_before = answer.nodes;
    for (int i = 0; i < 200 && t.left > 0; i++) {
        act(&t, run, take_u8(&t));
        for (int c = 0; c < CONNECTIONS; c++) check_output(&run->sides[c]);
    }
    fake_step(run->fake);
    for (int c = 0; c < CONNECTIONS; c++) check_output(&run->sides[c]);
    check_tree();
    for (int c = 0; c < CONNECTIONS; c++) drop(&run->sides[c]);
    for (size_t i = 0; i < run->path_count; i++) mem_free((void *)(uintptr_t)run->paths[i].data);
    simple_clear();
    fake_free(run->fake);
    mem_free(run);
    return 0;
}
