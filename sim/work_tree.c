// ACLs, containers, TTL nodes, nested nodes, multi.
#include "sim/client.h"

#include <stdio.h>

static uint32_t draw(struct sim_client *client, uint32_t bound) {
    return (uint32_t)client_draw(client, bound);
}

// ---- ACLs

static void some_acl(struct sim_client *client, struct writer *w) {
    switch (draw(client, 10)) {
    case 0:
        jute_int(w, 1);
        jute_ace(w, JUTE_READ, "world", "anyone");
        break;
    case 1:
        jute_int(w, 1);
        jute_ace(w, JUTE_ALL, "auth", "");
        break;
    case 2:
        jute_int(w, 2);
        jute_ace(w, JUTE_ALL, "digest", "ann:grDcJ7OS1jCu/cG2TyJHw/I9L8o=");
        jute_ace(w, JUTE_READ | JUTE_WRITE, "digest", "bob:yqVrLFrvoaI9z9fohteaNPJvRu8=");
        break;
    case 3:
        jute_int(w, 2);
        jute_ace(w, JUTE_ALL, "ip", "10.0.1.0/30");
        jute_ace(w, JUTE_ADMIN, "ip", "10.0.1.5");
        break;
    case 4:
        jute_int(w, 3);
        jute_ace(w, JUTE_ADMIN | JUTE_MAY_CREATE, "world", "anyone");
        jute_ace(w, JUTE_READ, "auth", "");
        jute_ace(w, JUTE_READ, "digest", "bob:yqVrLFrvoaI9z9fohteaNPJvRu8=");
        break;
    case 5: { // not one
        static const char *const bad[][2] = {{"digest", "nobody"}, {"world", "me"}, {"ip", "10.0.1"},
                                             {"sasl", "x"},        {"x509", ""},    {"digest", "a:b:c"}};
        size_t i = draw(client, sizeof bad / sizeof bad[0]);
        jute_int(w, 1);
        jute_ace(w, JUTE_ALL, bad[i][0], bad[i][1]);
        break;
    }
    default:
        body_open_acl(w);
    }
}

void acl_step(struct sim_client *client, uint8_t work) {
    uint32_t key = draw(client, 6), what = draw(client, 100);
    struct writer *w = client_begin(client);
    body_path(w, what % 5 == 0 ? "/a/%u/c" : "/a/%u", key);
    if (what < 15) {
        body_value(client, w);
        some_acl(client, w);
        jute_int(w, 0);
        client_ask(client, JUTE_CREATE2, work, 0, key);
    } else if (what < 35) {
        some_acl(client, w);
        jute_int(w, draw(client, 3) == 0 ? (int32_t)draw(client, 3) : -1);
        client_ask(client, JUTE_SET_ACL, work, 0, key);
    } else if (what < 50) {
        client_ask(client, JUTE_GET_ACL, work, 0, key);
    } else if (what < 60) {
        body_value(client, w);
        jute_int(w, -1);
        client_ask(client, JUTE_SET, work, 0, key);
    } else if (what < 75) {
        body_watch(client, w, 3);
        client_ask(client, JUTE_GET, work, 0, key);
    } else if (what < 85) {
        body_watch(client, w, 4);
        client_ask(client, JUTE_CHILDREN, work, 0, key);
    } else if (what < 90) {
        client_ask(client, JUTE_DESCENDANTS, work, 0, key);
    } else {
        jute_int(w, -1);
        client_ask(client, JUTE_DELETE, work, 0, key);
    }
}

// ---- containers and TTL nodes

void container_step(struct sim_client *client, uint8_t work) {
    uint32_t key = draw(client, 4), what = draw(client, 100);
    struct writer *w = client_begin(client);
    if (what < 25) {
        body_path(w, "/c/%u", key);
        body_create(client, w, JUTE_CONTAINER);
        client_ask(client, JUTE_CREATE_CONTAINER, work, 0, key);
    } else if (what < 75) {
        body_path(w, "/c/%u/%u", key, draw(client, 2));
        if (what < 50)
            body_create(client, w, what < 35 ? JUTE_EPHEMERAL : 0);
        else
            jute_int(w, -1);
        client_ask(client, what < 50 ? JUTE_CREATE2 : JUTE_DELETE, work, 0, key);
    } else {
        body_path(w, "/c/%u", key);
        body_watch(client, w, 4);
        client_ask(client, what < 90 ? JUTE_CHILDREN2 : JUTE_EXISTS, work, 0, key);
    }
}

void ttl_step(struct sim_client *client, uint8_t work) {
    uint32_t key = draw(client, 6), what = draw(client, 100);
    struct writer *w = client_begin(client);
    if (what < 35) {
        bool sequential = what < 5;
        body_path(w, "/t/%u%s", key, sequential ? "-" : "");
        body_create(client, w, sequential ? JUTE_TTL_SEQUENTIAL : JUTE_TTL);
        write_u64_be(w, 1 + client_draw(client, draw(client, 2) == 0 ? 300 : 8000));
        client_ask(client, JUTE_CREATE_TTL, work, 0, key);
    } else if (what < 60) {
        body_path(w, "/t/%u", key);
        body_value(client, w);
        jute_int(w, -1);
        client_ask(client, JUTE_SET, work, 0, key);
    } else if (what < 80) {
        body_path(w, "/t/%u", key);
        body_watch(client, w, 3);
        client_ask(client, JUTE_EXISTS, work, 0, key);
    } else {
        body_path(w, "/t/%u/x", key);
        if (what < 90)
            body_create(client, w, 0);
        else
            jute_int(w, -1);
        client_ask(client, what < 90 ? JUTE_CREATE : JUTE_DELETE, work, 0, key);
    }
}

// ---- nested nodes, ephemerals that may have no children, data that is null or empty

static void branch_path(struct sim_client *client, struct writer *w) {
    uint32_t depth = 1 + draw(client, 3), place = draw(client, 3);
    static const char *const forms[] = {"/d/%u", "/d/%u/%u", "/d/%u/%u/%u"};
    char path[64];
    uint32_t first = draw(client, 2), second = draw(client, 2);
    snprintf(path, sizeof path, forms[depth - 1], place, first, second);
    jute_text(w, path);
}

void branch_step(struct sim_client *client, uint8_t work) {
    uint32_t what = draw(client, 100);
    struct writer *w = client_begin(client);
    branch_path(client, w);
    if (what < 40) {
        body_create(client, w, what < 8 ? JUTE_EPHEMERAL : 0);
        client_ask(client, what < 20 ? JUTE_CREATE : JUTE_CREATE2, work, 0, 0);
    } else if (what < 65) {
        jute_int(w, what < 50 ? (int32_t)draw(client, 3) : -1);
        client_ask(client, JUTE_DELETE, work, 0, 0);
    } else if (what < 75) {
        if (what < 70)
            jute_int(w, what < 68 ? -1 : 0);
        else
            body_value(client, w);
        jute_int(w, (int32_t)draw(client, 3) - 1);
        client_ask(client, JUTE_SET, work, 0, 0);
    } else {
        body_watch(client, w, 4);
        client_ask(client, what < 83 ? JUTE_GET : what < 91 ? JUTE_CHILDREN2 : JUTE_EXISTS, work, 0, 0);
    }
}

// ---- multi

// Nodes of its own: a register that a multi changes is bound to others, which no key-by-key checker could hold apart.
static void multi_path(struct sim_client *client, struct writer *w, int32_t type) {
    uint32_t key = draw(client, 6);
    if (type == JUTE_CREATE_CONTAINER || type == JUTE_CREATE_TTL)
        body_path(w, type == JUTE_CREATE_TTL ? "/t/%u" : "/c/%u", key);
    else if (draw(client, 3) == 0)
        body_path(w, type == JUTE_SET || type == JUTE_CHECK ? "/a/%u" : "/a/%u/c", key);
    else if (type == JUTE_SET || type == JUTE_CHECK || draw(client, 3) != 0)
        body_path(w, "/m/%u", key);
    else
        body_path(w, draw(client, 2) == 0 ? "/q/m-" : "/m/s-");
}

static void multi_part(struct sim_client *client, struct writer *w) {
    static const int32_t types[] = {JUTE_SET,    JUTE_SET,   JUTE_CHECK,   JUTE_CREATE,           JUTE_CREATE2,
                                    JUTE_DELETE, JUTE_CHECK, JUTE_CREATE2, JUTE_CREATE_CONTAINER, JUTE_CREATE_TTL};
    int32_t type = types[draw(client, 10)], flags = 0;
    jute_multi_head(w, type, false);
    multi_path(client, w, type);
    if (type == JUTE_SET) body_value(client, w);
    if (type == JUTE_SET || type == JUTE_CHECK || type == JUTE_DELETE) {
        jute_int(w, draw(client, 3) != 0 ? -1 : (int32_t)draw(client, 4));
        return;
    }
    if (type == JUTE_CREATE_CONTAINER)
        flags = JUTE_CONTAINER;
    else if (type == JUTE_CREATE_TTL)
        flags = JUTE_TTL;
    else
        flags = (int32_t)draw(client, 8) & (JUTE_EPHEMERAL | JUTE_SEQUENTIAL);
    body_create(client, w, flags);
    if (type == JUTE_CREATE_TTL) write_u64_be(w, 1 + client_draw(client, 5000));
}

void multi_step(struct sim_client *client, uint8_t work) {
    uint32_t what = draw(client, 100);
    struct writer *w = client_begin(client);
    if (what < 30) {
        for (uint32_t left = 1 + draw(client, 5); left > 0; left--) {
            jute_multi_head(w, left % 2 == 0 ? JUTE_GET : JUTE_CHILDREN, false);
            body_path(w, left % 3 == 0 ? "/a/%u" : left % 2 == 0 ? "/m/%u" : "/m", draw(client, 4));
            write_u8(w, 0);
        }
        jute_multi_head(w, -1, true);
        client_ask(client, JUTE_MULTI_READ, work, 0, 0);
        return;
    }
    if (what < 60) { // one that succeeds, if both stand: they change together
        for (uint32_t i = 0; i < 2; i++) {
            jute_multi_head(w, JUTE_SET, false);
            body_path(w, "/m/%u", draw(client, 3) + i);
            body_value(client, w);
            jute_int(w, -1);
        }
    } else {
        for (uint32_t left = 1 + draw(client, 5); left > 0; left--) multi_part(client, w);
    }
    jute_multi_head(w, -1, true);
    client_ask(client, JUTE_MULTI, work, 0, 0);
}
