// Commands over the ZooKeeper protocol's own code on a fake node (test/unit/support/protocol/fake_service.h): real
// bytes in and out, the real lease and tree models. a, b, ... are connections.
//
//   a connect [TIMEOUT_MS]          a new session;  b take a: connection b takes up a's session
//   a create PATH DATA [e|s|es|container]    a delete PATH [VERSION]    a set PATH DATA [VERSION]
//   a get|exists|children PATH [watch]       a sync PATH                a ping          a close
//   a watch PATH persistent|recursive        a unwatch PATH
//   a multi create:PATH:DATA set:PATH:DATA:VERSION check:PATH:VERSION delete:PATH
//   a leave                          the connection ends without a word
//   hold | step                      what is sent from now on is not applied until step; one: applies one entry
//   expire a                         the leader's entry that ends a's session
//
// What came to whom is shown in the order in which it stands on each connection:
//   a < @3 ok /x                     reply with its zxid        a ! NodeDataChanged /x     event        a # closed
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "test/unit/support/protocol/zookeeper_room.c"
// clang-format on
#include "test/script/script.h"

enum { CLIENTS = 6 };
enum { // codes by name
#define X(op, code, kind, tag, handler) CODE_##op = code,
    ZOOKEEPER_OPERATIONS(X)
#undef X
};
#define ZOOKEEPER_CODE(name) CODE_##name
struct asked {
    int32_t xid, code;
};
struct zookeeper_script {
    struct fake *fake;
    struct {
        struct client *client;
        struct ring asked; // struct asked, in order
        uint64_t session;
        uint8_t password[16];
        int32_t xid;
        bool attached, closed_shown;
    } of[CLIENTS];
    bool hold;
};

static void *scene_open(void) {
    struct zookeeper_script *s = calloc(1, sizeof *s);
    s->fake = fake_new(&zookeeper_protocol, NULL);
    for (int i = 0; i < CLIENTS; i++) ring_init(&s->of[i].asked, sizeof(struct asked));
    return s;
}

static void scene_close(void *room) {
    struct zookeeper_script *s = room;
    fake_free(s->fake);
    for (int i = 0; i < CLIENTS; i++) ring_free(&s->of[i].asked);
    free(s);
}

static const char *error_name(int32_t error) {
    switch (error) {
    case 0:
        return "ok";
    case -8:
        return "BadArguments";
    case -101:
        return "NoNode";
    case -102:
        return "NoAuth";
    case -103:
        return "BadVersion";
    case -2:
        return "RuntimeInconsistency";
    case -108:
        return "NoChildrenForEphemerals";
    case -110:
        return "NodeExists";
    case -111:
        return "NotEmpty";
    case -112:
        return "SessionExpired";
    case -118:
        return "SessionMoved";
    case -121:
        return "NoWatcher";
    default:
        return "another error";
    }
}

static void show_text(struct reader *r, FILE *out) {
    uint32_t len = read_u32_be(r);
    if (len == UINT32_MAX) {
        fprintf(out, " null");
        return;
    }
    struct bytes text = read_span(r, len);
    fprintf(out, " %.*s", (int)text.len, (const char *)text.data);
}

static void show_stat(struct reader *r, FILE *out) {
    uint64_t czxid = read_u64_be(r), mzxid = read_u64_be(r);
    read_span(r, 16);
    uint32_t version = read_u32_be(r), cversion = read_u32_be(r);
    read_u32_be(r);
    uint64_t owner = read_u64_be(r);
    read_u32_be(r);
    uint32_t children = read_u32_be(r);
    read_u64_be(r);
    fprintf(out, " [made @%lu, changed @%lu, version %u", czxid, mzxid, version);
    if (cversion != 0 || children != 0) fprintf(out, ", %u children", children);
    fprintf(out, owner ? ", ephemeral]" : "]");
}

static void show_list(struct reader *r, FILE *out) {
    uint32_t count = read_u32_be(r);
    fprintf(out, " %u:", count);
    for (uint32_t i = 0; i < count && !r->failed; i++) show_text(r, out);
}

static void show_multi(struct reader *r, FILE *out) {
    for (;;) {
        int32_t type = (int32_t)read_u32_be(r);
        bool done = read_u8(r) != 0;
        read_u32_be(r);
        if (done || r->failed) return;
        fprintf(out, " (");
        if (type == -1) {
            fprintf(out, "%s", error_name((int32_t)read_u32_be(r)));
        } else {
            fprintf(out, "ok");
            if (type == 1) show_text(r, out);
            if (type == 5) show_stat(r, out);
        }
        fprintf(out, ")");
    }
}

static void show_body(int32_t code, struct reader *r, FILE *out) {
    if (code == ZOOKEEPER_CODE(create) || code == ZOOKEEPER_CODE(sync)) show_text(r, out);
    if (code == ZOOKEEPER_CODE(createContainer)) show_text(r, out), show_stat(r, out);
    if (code == ZOOKEEPER_CODE(getData)) show_text(r, out), show_stat(r, out);
    if (code == ZOOKEEPER_CODE(setData) || code == ZOOKEEPER_CODE(exists)) show_stat(r, out);
    if (code == ZOOKEEPER_CODE(getChildren)) show_list(r, out);
    if (code == ZOOKEEPER_CODE(multi)) show_multi(r, out);
}

static void show_event(struct reader *r, FILE *out) {
    static const char *const names[] = {"", "NodeCreated", "NodeDeleted", "NodeDataChanged", "NodeChildrenChanged"};
    uint32_t type = read_u32_be(r);
    read_u32_be(r);
    fprintf(out, "! %s", type < 5 ? names[type] : "another event");
    show_text(r, out);
}

static void show_attached(struct zookeeper_script *s, int i, struct reader *r, FILE *out) {
    read_u32_be(r);
    uint32_t timeout = read_u32_be(r);
    uint64_t session = read_u64_be(r);
    read_u32_be(r);
    struct bytes password = read_span(r, 16);
    if (session == 0) {
        fprintf(out, "< session expired");
        return;
    }
    s->of[i].session = session;
    memcpy(s->of[i].password, password.data, 16);
    s->of[i].attached = true;
    fprintf(out, "< session #%lu, time-out %u ms", session & 0xffffff, timeout);
}

static void show_packet(struct zookeeper_script *s, int i, struct bytes frame, FILE *out) {
    struct reader r = reader_of(frame.data, frame.len);
    fprintf(out, "%c ", 'a' + i);
    if (!s->of[i].attached) {
        show_attached(s, i, &r, out);
    } else {
        int32_t xid = (int32_t)read_u32_be(&r);
        uint64_t zxid = read_u64_be(&r);
        int32_t error = (int32_t)read_u32_be(&r);
        if (xid == -1) {
            show_event(&r, out);
        } else {
            struct asked *asked = ring_front(&s->of[i].asked);
            if (asked == NULL || asked->xid != xid) fprintf(out, "OUT OF ORDER ");
            fprintf(out, "< @%lu %s", zxid, error_name(error));
            if (asked && error == 0) show_body(asked->code, &r, out);
            if (asked) ring_pop(&s->of[i].asked);
        }
    }
    fprintf(out, "%s\n", r.failed ? " (bytes are missing)" : "");
}

static void show_all(struct zookeeper_script *s, FILE *out) {
    struct writer frame = {0};
    for (int i = 0; i < CLIENTS; i++) {
        if (s->of[i].client == NULL) continue;
        while (script_take(s->of[i].client, &frame)) show_packet(s, i, bytes_of(frame.data, frame.len), out);
        if (s->of[i].client->closed && !s->of[i].closed_shown) {
            fprintf(out, "%c # closed\n", 'a' + i);
            s->of[i].closed_shown = true;
        }
    }
    writer_free(&frame);
}

static void connect_client(struct zookeeper_script *s, int i, uint32_t timeout, int of) {
    static const uint8_t none[16];
    struct writer w = {0};
    s->of[i].client = fake_connect(s->fake, "127.0.0.1:40000");
    s->of[i].attached = s->of[i].closed_shown = false;
    s->of[i].xid = 0;
    while (s->of[i].asked.count > 0) ring_pop(&s->of[i].asked);
    connect_bytes(&w, 0, timeout, of < 0 ? 0 : s->of[of].session, of < 0 ? none : s->of[of].password, 0);
    fake_send(s->of[i].client, w.data, w.len);
    writer_free(&w);
}

static void put_text(struct writer *w, const char *text) {
    write_u32_be(w, (uint32_t)strlen(text));
    write_span(w, bytes_of_text(text));
}

static void put_open_acl(struct writer *w) {
    write_u32_be(w, 1);
    write_u32_be(w, 31);
    put_text(w, "world");
    put_text(w, "anyone");
}

static void put_create(struct writer *w, const char *path, const char *data, const char *kind) {
    put_text(w, path);
    put_text(w, data);
    put_open_acl(w);
    uint32_t flags = (strchr(kind, 'e') ? 1u : 0u) | (strchr(kind, 's') ? 2u : 0u);
    write_u32_be(w, strcmp(kind, "container") == 0 ? 4 : flags);
}

static void put_multi_part(struct writer *w, char *part) {
    char *field[4] = {"", "", "", ""}, *save = NULL;
    int count = 0;
    for (char *f = strtok_r(part, ":", &save); f && count < 4; f = strtok_r(NULL, ":", &save)) field[count++] = f;
    bool create = strcmp(field[0], "create") == 0, set = strcmp(field[0], "set") == 0;
    bool check = strcmp(field[0], "check") == 0;
    int32_t code = create  ? ZOOKEEPER_CODE(create)
                   : set   ? ZOOKEEPER_CODE(setData)
                   : check ? ZOOKEEPER_CODE(check)
                           : ZOOKEEPER_CODE(delete);
    write_u32_be(w, (uint32_t)code);
    write_u8(w, 0);
    write_u32_be(w, UINT32_MAX);
    const char *version = set ? field[3] : field[2];
    if (create) {
        put_create(w, field[1], field[2], field[3]);
        return;
    }
    put_text(w, field[1]);
    if (set) put_text(w, field[2]);
    write_u32_be(w, *version ? (uint32_t)atoi(version) : UINT32_MAX);
}

// The body of the operation in words[1..]; gives its code, 0: not understood.
static int32_t encode(struct writer *w, char **words, int count) {
    const char *what = words[0], *path = count > 1 ? words[1] : "", *third = count > 2 ? words[2] : "";
    uint32_t version = count > 3 ? (uint32_t)atoi(words[3]) : UINT32_MAX;
    bool watch = strcmp(third, "watch") == 0;
    if (strcmp(what, "ping") == 0) return ZOOKEEPER_CODE(ping);
    if (strcmp(what, "close") == 0) return ZOOKEEPER_CODE(closeSession);
    if (count < 2) return 0;
    if (strcmp(what, "multi") == 0) {
        for (int i = 1; i < count; i++) put_multi_part(w, words[i]);
        write_u32_be(w, UINT32_MAX);
        write_u8(w, 1);
        write_u32_be(w, UINT32_MAX);
        return ZOOKEEPER_CODE(multi);
    }
    if (strcmp(what, "create") == 0) {
        const char *kind = count > 3 ? words[3] : "";
        put_create(w, path, third, kind);
        return strcmp(kind, "container") == 0 ? ZOOKEEPER_CODE(createContainer) : ZOOKEEPER_CODE(create);
    }
    put_text(w, path);
    if (strcmp(what, "delete") == 0) {
        write_u32_be(w, *third ? (uint32_t)atoi(third) : UINT32_MAX);
        return ZOOKEEPER_CODE(delete);
    }
    if (strcmp(what, "set") == 0) {
        put_text(w, third);
        write_u32_be(w, version);
        return ZOOKEEPER_CODE(setData);
    }
    if (strcmp(what, "sync") == 0) return ZOOKEEPER_CODE(sync);
    if (strcmp(what, "watch") == 0) {
        write_u32_be(w, strcmp(third, "recursive") == 0 ? 1 : 0);
        return ZOOKEEPER_CODE(addWatch);
    }
    if (strcmp(what, "unwatch") == 0) {
        write_u32_be(w, 3); // any kind
        return ZOOKEEPER_CODE(removeWatches);
    }
    write_u8(w, watch);
    if (strcmp(what, "get") == 0) return ZOOKEEPER_CODE(getData);
    if (strcmp(what, "exists") == 0) return ZOOKEEPER_CODE(exists);
    return strcmp(what, "children") == 0 ? ZOOKEEPER_CODE(getChildren) : 0;
}

static bool send_request(struct zookeeper_script *s, int i, char **words, int count) {
    struct writer w = {0};
    write_u32_be(&w, 0);
    int32_t xid = strcmp(words[0], "ping") == 0 ? -2 : ++s->of[i].xid;
    write_u32_be(&w, (uint32_t)xid);
    write_u32_be(&w, 0);
    int32_t code = encode(&w, words, count);
    if (code != 0) {
        put_u32_be(w.data, (uint32_t)w.len - 4);
        put_u32_be(w.data + 8, (uint32_t)code);
        struct asked *asked = ring_push(&s->of[i].asked);
        *asked = (struct asked){xid, code};
        fake_send(s->of[i].client, w.data, w.len);
    }
    writer_free(&w);
    return code != 0;
}

static bool client_command(struct zookeeper_script *s, int i, char **words, int count) {
    if (strcmp(words[0], "connect") == 0)
        connect_client(s, i, count > 1 ? (uint32_t)atoi(words[1]) : 4000, -1);
    else if (strcmp(words[0], "take") == 0 && count == 2)
        connect_client(s, i, 4000, words[1][0] - 'a');
    else if (s->of[i].client == NULL)
        return false;
    else if (strcmp(words[0], "leave") == 0) {
        fake_disconnect(s->of[i].client);
        s->of[i].client = NULL;
    } else
        return send_request(s, i, words, count);
    return true;
}

static bool scene_command(void *room, char *line, FILE *out) {
    struct zookeeper_script *s = room;
    char *words[WORDS_MAX];
    int count = split_words(line, words);
    if (count == 0) return false;
    int i = words[0][1] == '\0' ? words[0][0] - 'a' : -1;
    if (strcmp(words[0], "hold") == 0)
        s->hold = true;
    else if (strcmp(words[0], "step") == 0)
        s->hold = false;
    else if (strcmp(words[0], "one") == 0)
        fake_step_one(s->fake);
    else if (strcmp(words[0], "expire") == 0 && count == 2)
        fake_expire(s->fake, s->of[words[1][0] - 'a'].session & 0xffffffffffffffull);
    else if (i < 0 || i >= CLIENTS || count < 2 || !client_command(s, i, words + 1, count - 1))
        return false;
    if (!s->hold && strcmp(words[0], "one") != 0) fake_step(s->fake);
    fake_turn(s->fake);
    show_all(s, out);
    return true;
}

const struct room zookeeper_room = {"zookeeper", scene_open, scene_command, scene_close};
