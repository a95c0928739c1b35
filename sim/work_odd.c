// Watches of every kind, what is asked rarely, what is wrong, and the ends of connections and sessions.
#include "sim/client.h"

static uint32_t draw(struct sim_client *client, uint32_t bound) {
    return (uint32_t)client_draw(client, bound);
}

static void some_path(struct sim_client *client, struct writer *w) {
    static const char *const paths[] = {"/r", "/s", "/q", "/k/4",  "/d",     "/d/%u", "/r/%u", "/t",   "/a",
                                        "/l", "/c", "/",  "/r/%u", "/s/e%u", "/t/%u", "/l/%u", "/a/%u"};
    const char *path =
        paths[draw(client, sizeof paths / sizeof paths[0])]; // one draw a statement: arguments have no order
    body_path(w, path, draw(client, 6));
}

// ---- watches

void watch_step(struct sim_client *client, uint8_t work) {
    uint32_t what = draw(client, 100);
    struct writer *w = client_begin(client);
    some_path(client, w);
    if (what < 30 && client->watch_count < WATCHES_WANTED) {
        jute_int(w, what < 15 ? 0 : 1);
        client_ask(client, JUTE_ADD_WATCH, work, 0, 0);
    } else if (what < 60) {
        jute_int(w, 1 + (int32_t)draw(client, 5));
        client_ask(client, what < 40 ? JUTE_CHECK_WATCHES : JUTE_REMOVE_WATCHES, work, 0, 0);
    } else {
        body_watch(client, w, 1);
        client_ask(client, what < 75 ? JUTE_EXISTS : what < 90 ? JUTE_CHILDREN2 : JUTE_GET, work, 0, 0);
    }
}

// ---- what is asked rarely

static void refused(struct sim_client *client, uint8_t work, int32_t code, int32_t error) {
    client_ask(client, code, work, 0, 0)->refused = error;
}

void odd_step(struct sim_client *client, uint8_t work) {
    struct writer *w = client_begin(client);
    const char *below = "/s/e%u";
    switch (draw(client, 11)) {
    case 0:
        client_ask(client, JUTE_WHO_AM_I, work, 0, 0);
        break;
    case 1:
    case 2:
        if (draw(client, 2) == 0) below = draw(client, 2) == 0 ? "/l" : "/";
        body_path(w, below, draw(client, 3));
        client_ask(client, JUTE_EPHEMERALS, work, 0, 0);
        break;
    case 3:
    case 4:
        some_path(client, w);
        client_ask(client, JUTE_DESCENDANTS, work, 0, 0);
        break;
    case 5:
        some_path(client, w);
        jute_int(w, draw(client, 2) == 0 ? -1 : (int32_t)draw(client, 3));
        client_ask(client, JUTE_CHECK, work, 0, 0);
        break;
    case 6: // joining and leaving by client requests is off
        for (int i = 0; i < 3; i++) jute_text(w, "");
        write_u64_be(w, UINT64_MAX);
        refused(client, work, JUTE_RECONFIG, JUTE_RECONFIG_DISABLED);
        break;
    case 7:
        jute_int(w, 4000);
        refused(client, work, JUTE_CREATE_SESSION, JUTE_UNIMPLEMENTED);
        break;
    case 8:
        body_path(w, "/c/0");
        refused(client, work, JUTE_DELETE_CONTAINER, JUTE_UNIMPLEMENTED);
        break;
    case 9:
        jute_int(w, 0);
        client_ask(client, JUTE_SASL, work, 0, 0);
        break;
    default:
        body_path(w, "/zookeeper/config");
        write_u8(w, 0);
        client_ask(client, JUTE_GET, work, 0, 0);
    }
}

// ---- what is wrong

static void bad_write(struct sim_client *client, uint8_t work, struct writer *w) {
    static const char *const paths[] = {"r/1", "/r//1", "/r/", "/r/.", "/r/..", "/", "", "/zookeeper", "/none/x"};
    body_path(w, "%s", paths[draw(client, sizeof paths / sizeof paths[0])]); // judged when the entry is applied
    uint32_t what = draw(client, 4);
    if (what == 0)
        body_create(client, w, 0);
    else if (what == 1)
        body_value(client, w);
    if (what != 0) jute_int(w, -1);
    client_ask(client, what == 0 ? JUTE_CREATE2 : what == 1 ? JUTE_SET : JUTE_DELETE, work, 0, 0);
}

// Bytes after which the server must close: a length that is negative, or too long.
static void bad_frame(struct sim_client *client) {
    uint8_t frame[12] = {0};
    put_u32_be(frame, draw(client, 2) == 0 ? UINT32_MAX : 64u << 20);
    client->broken = true;
    client->loop->io.ops->conn_write(client->conn, frame, sizeof frame);
}

void bad_step(struct sim_client *client, uint8_t work) {
    struct writer *w = client_begin(client);
    switch (draw(client, 12)) {
    case 0: // no such flags
        body_path(w, "/r/1");
        body_create(client, w, 7);
        refused(client, work, JUTE_CREATE2, JUTE_BAD_ARGUMENTS);
        break;
    case 1: // a TTL of nothing
        body_path(w, "/t/1");
        body_create(client, w, JUTE_TTL);
        write_u64_be(w, 0);
        refused(client, work, JUTE_CREATE_TTL, JUTE_BAD_ARGUMENTS);
        break;
    case 2:
        body_path(w, "/r/\x01");
        body_create(client, w, 0);
        refused(client, work, JUTE_CREATE, JUTE_BAD_ARGUMENTS);
        break;
    case 3: // an empty list
        body_path(w, "/r/1");
        jute_int(w, 0);
        jute_int(w, -1);
        refused(client, work, JUTE_SET_ACL, JUTE_INVALID_ACL);
        break;
    case 4:
        body_path(w, "/zookeeper/config");
        body_value(client, w);
        jute_int(w, -1);
        refused(client, work, JUTE_SET, JUTE_NOAUTH);
        break;
    case 5: // it ends in the middle of the path
        jute_int(w, 200);
        refused(client, work, draw(client, 2) == 0 ? JUTE_GET : JUTE_SET, JUTE_MARSHALLING);
        break;
    case 6:
        refused(client, work, 77, JUTE_UNIMPLEMENTED);
        break;
    case 7:
        body_path(w, "/r/1");
        jute_int(w, 9);
        refused(client, work, draw(client, 2) == 0 ? JUTE_ADD_WATCH : JUTE_REMOVE_WATCHES, JUTE_MARSHALLING);
        break;
    case 8:
        if (draw(client, 30) == 0) bad_frame(client);
        break;
    case 9: // no path at all: nothing stands there
        body_path(w, draw(client, 2) == 0 ? "/r/" : "//");
        write_u8(w, 0);
        client_ask(client, JUTE_GET, work, 0, 0);
        break;
    default:
        bad_write(client, work, w);
    }
}

// ---- ends

void life_step(struct sim_client *client, uint8_t work) {
    uint32_t what = draw(client, 60);
    if (what == 0) {
        for (size_t i = 0; i < LOCKS_MAX; i++) client->locks[i].held = false;
        client->closing = true;
        client_begin(client);
        client_ask(client, JUTE_CLOSE, work, 0, 0);
    } else if (what < 4) {
        client_move(client);
    } else if (what < 10) {
        client_word(client);
    } else if (what < 14) {
        client_ping(client);
    } else if (what == 14) {
        deaf_begin(client, work);
    }
}
