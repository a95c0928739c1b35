// What clients ask, and what must be true of each answer. In short: a reply's zxid names a place in the committed
// history, and the answer must be exactly what stood there; that place never goes back in a session; a read behind a
// sync, and every write, lies behind everything that anyone had been told when it was sent (so registers are
// linearizable, all keys together).
#include "sim/client.h"

#include <stdio.h>

#define SETUP_PATHS 3u
static const char *const setup_paths[SETUP_PATHS] = {"/r", "/l", "/q"};

static void fail_op(struct sim_client *client, const struct op *op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail_op(struct sim_client *client, const struct op *op, const char *format, ...) {
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    world_fail(&client->sim->world, "client %u session %llx, operation %d on %s sent at %llu us to n%u: %s",
               client->number, (unsigned long long)client->session, (int)op->kind, op->path,
               (unsigned long long)op->invoked_us, client->server + 1, text);
}

// ---- sending

void client_send(struct sim_client *client, const struct op *op, struct bytes body, int32_t code) {
    struct op *at = ring_push(&client->pending);
    *at = *op;
    at->floor = client->sim->checks->floor;
    at->invoked_us = client->sent_us = client->sim->world.now_us;
    world_trace_line(&client->sim->world, "c%u asks n%u: operation %d %s xid %d", client->number, client->server + 1,
                     (int)op->kind, op->path, op->xid);
    struct writer w;
    writer_init(&w);
    jute_int(&w, (int32_t)(8 + body.len));
    jute_int(&w, op->xid);
    jute_int(&w, code);
    write_span(&w, body);
    client->loop->io.ops->conn_write(client->conn, w.data, w.len);
    writer_free(&w);
}

static void send_next(struct sim_client *client, struct op *op, const struct writer *w, int32_t code) {
    op->xid = client->next_xid++;
    if (client->next_xid < 0) client->next_xid = 1;
    client_send(client, op, bytes_of(w->data, w->len), code);
}

void client_ping(struct sim_client *client) {
    struct op op = {.kind = OP_PING, .xid = JUTE_XID_PING};
    client_send(client, &op, (struct bytes){0}, JUTE_PING);
}

void client_set_watches(struct sim_client *client) {
    size_t count = 0;
    for (size_t i = 0; i < KEYS_MAX; i++) count += client->watches[i].set;
    if (count == 0) return;
    struct op op = {.kind = OP_SET_WATCHES, .xid = JUTE_XID_SET_WATCHES};
    struct writer w;
    writer_init(&w);
    write_u64_be(&w, client->last_zxid);
    jute_int(&w, (int32_t)count);
    for (uint32_t i = 0; i < KEYS_MAX; i++) {
        char path[32];
        if (!client->watches[i].set) continue;
        snprintf(path, sizeof path, "/r/%u", i);
        jute_text(&w, path);
    }
    jute_int(&w, 0);
    jute_int(&w, 0);
    client_send(client, &op, bytes_of(w.data, w.len), JUTE_SET_WATCHES);
    writer_free(&w);
}

static uint64_t value(struct sim_client *client, struct writer *w) {
    char mark[MARK_BYTES + 1];
    uint64_t number = ++client->sim->marks;
    size_t more = (size_t)world_draw(&client->sim->world, PRNG_CLIENT, client->sim->swarm.value_bytes + 1);
    mark_write(mark, number);
    jute_int(w, (int32_t)(MARK_BYTES + more));
    write_span(w, bytes_of(mark, MARK_BYTES));
    memset(writer_extend(w, more), 'v', more);
    return number;
}

static void anyone(struct writer *w, int32_t flags) {
    jute_int(w, 1);
    jute_int(w, 31);
    jute_text(w, "world");
    jute_text(w, "anyone");
    jute_int(w, flags);
}

static void multi_head(struct writer *w, int32_t type, bool done) {
    jute_int(w, type);
    write_u8(w, done);
    jute_int(w, -1);
}

static void send_get(struct sim_client *client, struct op *op, bool watch) {
    struct writer w;
    writer_init(&w);
    jute_text(&w, op->path);
    write_u8(&w, watch);
    send_next(client, op, &w, JUTE_GET);
    writer_free(&w);
}

static void send_lock(struct sim_client *client, struct op *op, struct writer *w) {
    op->key = (uint32_t)world_draw(&client->sim->world, PRNG_CLIENT, LOCKS_MAX / 2);
    snprintf(op->path, sizeof op->path, "/l/%u", op->key);
    jute_text(w, op->path);
    if (client->locks[op->key].held) {
        op->kind = OP_UNLOCK;
        client->locks[op->key].held = false; // from now on it does not rely on it
        jute_int(w, -1);
        send_next(client, op, w, JUTE_DELETE);
        return;
    }
    op->kind = OP_LOCK;
    op->mark = value(client, w);
    anyone(w, JUTE_EPHEMERAL);
    send_next(client, op, w, JUTE_CREATE2);
}

static bool holds_any(const struct sim_client *client) {
    bool any = false;
    for (size_t i = 0; i < LOCKS_MAX; i++) any = any || client->locks[i].held;
    return any;
}

static void send_one(struct sim_client *client) {
    struct sim *sim = client->sim;
    struct world *world = &sim->world;
    struct op op = {.key = (uint32_t)world_draw(world, PRNG_CLIENT, sim->swarm.keys)};
    uint64_t draw = world_draw(world, PRNG_CLIENT, 100);
    if (client->number % 3 == 0 &&
        world_draw(world, PRNG_CLIENT, 300) != 0) // a holder: it takes locks, then only reads
        draw = !holds_any(client) && world_draw(world, PRNG_CLIENT, 4) == 0 ? 85
               : world_draw(world, PRNG_CLIENT, 2) == 0                     ? 40
                                                                            : 60;
    struct writer w;
    writer_init(&w);
    snprintf(op.path, sizeof op.path, "/r/%u", op.key);
    if (draw < 25) {
        bool cas = draw < 12 && client->versions[op.key].known;
        op.kind = cas ? OP_CAS : OP_SET;
        op.version = cas ? client->versions[op.key].version : -1;
        jute_text(&w, op.path);
        op.mark = value(client, &w);
        jute_int(&w, op.version);
        send_next(client, &op, &w, JUTE_SET);
    } else if (draw < 33) {
        op.kind = OP_CREATE;
        jute_text(&w, op.path);
        op.mark = value(client, &w);
        anyone(&w, 0);
        send_next(client, &op, &w, JUTE_CREATE2);
    } else if (draw < 36) {
        op.kind = OP_DELETE;
        jute_text(&w, op.path);
        jute_int(&w, -1);
        send_next(client, &op, &w, JUTE_DELETE);
    } else if (draw < 50) {
        op.kind = OP_GET;
        send_get(client, &op, false);
    } else if (draw < 58) {
        op.kind = OP_WATCH;
        if (client->watches[op.key].set) op.kind = OP_GET;
        send_get(client, &op, op.kind == OP_WATCH);
    } else if (draw < 72) {
        struct op sync = {.kind = OP_SYNC, .key = op.key};
        memcpy(sync.path, op.path, sizeof sync.path);
        jute_text(&w, "/");
        send_next(client, &sync, &w, JUTE_SYNC);
        op.kind = OP_SYNC_GET;
        send_get(client, &op, false);
    } else if (draw < 80) {
        op.kind = OP_SEQUENCE;
        snprintf(op.path, sizeof op.path, "/q/s-");
        jute_text(&w, op.path);
        op.mark = value(client, &w);
        anyone(&w, JUTE_SEQUENTIAL | (draw < 76 ? JUTE_EPHEMERAL : 0));
        send_next(client, &op, &w, JUTE_CREATE2);
    } else if (draw < 90) {
        send_lock(client, &op, &w);
    } else if (draw < 96) {
        op.kind = OP_MULTI;
        op.key2 = (uint32_t)world_draw(world, PRNG_CLIENT, sim->swarm.keys);
        if (op.key2 == op.key) op.key2 = (op.key + 1) % sim->swarm.keys;
        char second[64];
        snprintf(second, sizeof second, "/r/%u", op.key2);
        multi_head(&w, JUTE_SET, false);
        jute_text(&w, op.path);
        op.mark = value(client, &w);
        jute_int(&w, -1);
        multi_head(&w, JUTE_SET, false);
        jute_text(&w, second);
        op.mark2 = value(client, &w);
        jute_int(&w, -1);
        multi_head(&w, -1, true);
        send_next(client, &op, &w, JUTE_MULTI);
    } else if (draw < 99) {
        op.kind = OP_CHILDREN;
        snprintf(op.path, sizeof op.path, "/q");
        jute_text(&w, op.path);
        write_u8(&w, 0);
        send_next(client, &op, &w, JUTE_CHILDREN);
    } else if (world_draw(world, PRNG_CLIENT, 20) == 0) {
        op.kind = OP_CLOSE;
        for (size_t i = 0; i < LOCKS_MAX; i++) client->locks[i].held = false;
        client->closing = true;
        send_next(client, &op, &w, JUTE_CLOSE);
    } else if (world_draw(world, PRNG_CLIENT, 10) == 0) {
        client_move(client);
    }
    writer_free(&w);
}

static void send_setup(struct sim_client *client) {
    struct op op = {.kind = OP_SETUP};
    struct writer w;
    writer_init(&w);
    snprintf(op.path, sizeof op.path, "%s", setup_paths[client->setup_step]);
    jute_text(&w, op.path);
    jute_data(&w, (struct bytes){0});
    anyone(&w, 0);
    send_next(client, &op, &w, JUTE_CREATE2);
    writer_free(&w);
}

void client_send_next(struct sim_client *client) {
    struct sim *sim = client->sim;
    uint64_t now_us = sim->world.now_us;
    if (!client->set_up) {
        if (client->pending.count == 0) send_setup(client);
        return;
    }
    if (client->stopped) return;
    while (client->attached && !client->closing && now_us >= client->next_op_us &&
           client->pending.count < sim->swarm.depth) {
        send_one(client);
        client->next_op_us =
            now_us + (sim->swarm.think_us == 0 ? 0 : world_draw(&sim->world, PRNG_CLIENT, 2 * sim->swarm.think_us));
    }
}

// ---- locks: no two may believe that they hold one at the same time

void client_heard(struct sim_client *client, uint64_t sent_us) {
    struct sim *sim = client->sim;
    struct history_session *session = history_session(&sim->history, client->session);
    if (session != NULL && sent_us > session->told_us && !client->closing) {
        session->told_us = sent_us;
        if (session_early(session))
            world_fail(
                &sim->world,
                "session %llx (%llu ms) expired at %llu us, though node %u let bytes go to its client at %llu us",
                (unsigned long long)session->session, (unsigned long long)session->timeout_ms,
                (unsigned long long)session->ended_us, client->server + 1, (unsigned long long)sent_us);
    }
    for (size_t i = 0; i < LOCKS_MAX; i++) {
        if (!client->locks[i].held) continue;
        struct lock_told *mine = &sim->checks->locks[i].told[client->locks[i].at];
        if (sent_us <= mine->last_us) continue;
        mine->last_us = sent_us;
        for (size_t j = 0; j < sim->checks->locks[i].count; j++) {
            const struct lock_told *other = &sim->checks->locks[i].told[j];
            if (other->czxid > mine->czxid && other->first_us <= sent_us)
                world_fail(
                    &sim->world,
                    "lock %zu is held twice: client %u (zxid %llu) was told at %llu us that it lives, client %u got it "
                    "(zxid %llu) at %llu us",
                    i, client->number, (unsigned long long)mine->czxid, (unsigned long long)sent_us, other->client,
                    (unsigned long long)other->czxid, (unsigned long long)other->first_us);
        }
    }
}

static void lock_granted(struct sim_client *client, const struct op *op, uint64_t zxid) {
    struct sim *sim = client->sim;
    struct lock_told **told = &sim->checks->locks[op->key].told;
    size_t *count = &sim->checks->locks[op->key].count, *capacity = &sim->checks->locks[op->key].capacity;
    if (*count == *capacity) {
        *capacity = *capacity == 0 ? 64 : *capacity * 2;
        *told = mem_realloc(*told, *capacity * sizeof **told);
    }
    uint64_t sent_us = net_read_sent_us(client->conn);
    for (size_t j = 0; j < *count; j++) {
        const struct lock_told *other = &(*told)[j];
        if (other->czxid < zxid && other->last_us >= sent_us)
            fail_op(
                client, op,
                "lock %u is held twice: client %u (zxid %llu) was still told at %llu us that it lives; now zxid %llu",
                op->key, other->client, (unsigned long long)other->czxid, (unsigned long long)other->last_us,
                (unsigned long long)zxid);
    }
    client->locks[op->key].held =
        !client->closing; // it has asked for the session's end meanwhile: it does not rely on it
    client->locks[op->key].czxid = zxid;
    client->locks[op->key].at = *count;
    (*told)[(*count)++] = (struct lock_told){
        .czxid = zxid, .first_us = sent_us, .last_us = client->closing ? 0 : sent_us, .client = client->number};
}

// ---- answers

static void check_mark(struct sim_client *client, const struct op *op, uint64_t mark, uint64_t zxid) {
    uint64_t index = history_mark_index(&client->sim->history, mark);
    if (index != zxid)
        fail_op(client, op, "write %llu was acknowledged at zxid %llu, but the committed history has it at %llu",
                (unsigned long long)mark, (unsigned long long)zxid, (unsigned long long)index);
}

static void check_write(struct sim_client *client, const struct op *op, uint64_t zxid) {
    if (zxid <= op->floor)
        fail_op(client, op, "a write at zxid %llu, but zxid %llu had been told before it was sent",
                (unsigned long long)zxid, (unsigned long long)op->floor);
    if (zxid <= client->write_zxid)
        fail_op(client, op, "writes of one connection out of order: zxid %llu behind %llu", (unsigned long long)zxid,
                (unsigned long long)client->write_zxid);
    client->write_zxid = zxid;
}

static void check_read(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader *r) {
    struct sim *sim = client->sim;
    const struct key_history *key = keys_find(&sim->history.keys, bytes_of_text(op->path), false);
    struct key_change there = key == NULL ? (struct key_change){0} : key_at(key, zxid);
    if (op->kind == OP_SYNC_GET && zxid < op->floor)
        fail_op(client, op, "a read behind a sync at zxid %llu, but zxid %llu had been told before",
                (unsigned long long)zxid, (unsigned long long)op->floor);
    if (error == JUTE_NONODE) {
        if (there.exists) fail_op(client, op, "no node at zxid %llu, but it stands there", (unsigned long long)zxid);
        client->versions[op->key].known = false;
        return;
    }
    if (error != 0) return;
    struct bytes data = jute_read_data(r);
    struct jute_stat stat = jute_read_stat(r);
    uint64_t mark;
    if (r->failed || !mark_read(data, &mark)) {
        fail_op(client, op, "broken data");
        return;
    }
    if (!there.exists || there.mark != mark || there.index != stat.mzxid)
        fail_op(client, op,
                "at zxid %llu it reads write %llu (mzxid %llu), but write %llu of index %llu stands there%s",
                (unsigned long long)zxid, (unsigned long long)mark, (unsigned long long)stat.mzxid,
                (unsigned long long)there.mark, (unsigned long long)there.index, there.exists ? "" : " (gone)");
    client->versions[op->key].known = true;
    client->versions[op->key].version = stat.version;
    if (op->kind == OP_WATCH) client->watches[op->key] = (struct watch){.set = true, .armed = true, .since = zxid};
}

static void check_set(struct sim_client *client, const struct op *op, uint64_t zxid, struct reader *r, uint64_t mark) {
    struct jute_stat stat = jute_read_stat(r);
    if (r->failed || stat.mzxid != zxid)
        fail_op(client, op, "mzxid %llu in the answer of zxid %llu", (unsigned long long)stat.mzxid,
                (unsigned long long)zxid);
    if (op->kind == OP_CAS && stat.version != op->version + 1)
        fail_op(client, op, "version %d behind a set of version %d", stat.version, op->version);
    check_mark(client, op, mark, zxid);
    if (op->kind == OP_MULTI) return;
    client->versions[op->key].known = true;
    client->versions[op->key].version = stat.version;
}

static void check_create(struct sim_client *client, const struct op *op, uint64_t zxid, struct reader *r) {
    jute_read_data(r);
    struct jute_stat stat = jute_read_stat(r);
    if (r->failed || stat.czxid != zxid)
        fail_op(client, op, "czxid %llu in the answer of zxid %llu", (unsigned long long)stat.czxid,
                (unsigned long long)zxid);
    check_mark(client, op, op->mark, zxid);
    if (op->kind == OP_LOCK) lock_granted(client, op, zxid);
}

static void check_multi(struct sim_client *client, const struct op *op, uint64_t zxid, struct reader *r) {
    for (int i = 0; i < 2; i++) {
        int32_t type = jute_read_int(r);
        read_u8(r);
        jute_read_int(r);
        if (type == -1) return; // refused whole: the errors follow
        check_set(client, op, zxid, r, i == 0 ? op->mark : op->mark2);
    }
    check_write(client, op, zxid);
}

static void check_watches(struct sim_client *client, uint64_t zxid) {
    struct sim *sim = client->sim;
    for (uint32_t i = 0; i < sim->swarm.keys; i++) {
        const struct watch *watch = &client->watches[i];
        if (!watch->set || !watch->armed) continue;
        char path[32];
        uint64_t index;
        snprintf(path, sizeof path, "/r/%u", i);
        const struct key_history *key = keys_find(&sim->history.keys, bytes_of_text(path), false);
        if (key != NULL && key_changed_in(key, watch->since, zxid, &index))
            world_fail(&sim->world,
                       "client %u saw zxid %llu before the event of its watch on %s (set at %llu, changed at %llu)",
                       client->number, (unsigned long long)zxid, path, (unsigned long long)watch->since,
                       (unsigned long long)index);
    }
}

void client_event(struct sim_client *client, struct reader *r) {
    struct sim *sim = client->sim;
    jute_read_int(r); // type
    jute_read_int(r); // state
    struct bytes path = jute_read_data(r);
    if (r->failed || path.len < 4 || memcmp(path.data, "/r/", 3) != 0) return;
    uint32_t number = 0;
    for (size_t i = 3; i < path.len; i++) number = number * 10 + (uint32_t)(path.data[i] - '0');
    if (number >= KEYS_MAX) return;
    struct watch *watch = &client->watches[number];
    const struct key_history *key = keys_find(&sim->history.keys, path, false);
    uint64_t index;
    if (!watch->set)
        world_fail(&sim->world, "client %u got an event for /r/%u, and watches nothing there", client->number, number);
    else if (key == NULL || !key_changed_in(key, watch->since, UINT64_MAX, &index))
        world_fail(&sim->world, "client %u got an event for /r/%u, which has not changed since %llu", client->number,
                   number, (unsigned long long)watch->since);
    watch->set = watch->armed = false;
}

void client_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader *r) {
    struct sim *sim = client->sim;
    if (op->kind == OP_CLOSE) {
        client_session_over(client);
        return; // the server closes
    }
    if (error == JUTE_SESSION_EXPIRED || error == JUTE_SESSION_MOVED) return; // the connection ends
    if (zxid < client->last_zxid)
        fail_op(client, op, "zxid went back from %llu to %llu", (unsigned long long)client->last_zxid,
                (unsigned long long)zxid);
    if (zxid > sim->history.last) fail_op(client, op, "zxid %llu is not committed", (unsigned long long)zxid);
    if (op->kind == OP_SET_WATCHES) {
        for (size_t i = 0; i < KEYS_MAX; i++) client->watches[i].armed = client->watches[i].set;
        return;
    }
    check_watches(client, zxid);
    client->last_zxid = zxid;
    if (zxid > sim->checks->floor) sim->checks->floor = zxid;
    if (op->kind == OP_PING) return;
    sim->operations++;
    client->calm_done++;
    world_note(&sim->world, NOTE_OPERATION, client->number * 32 + (uint64_t)op->kind, zxid);
    if (error != 0) sim->failed_operations++;
    world_trace_line(&sim->world, "c%u operation %d %s xid %d: zxid %llu error %d", client->number, (int)op->kind,
                     op->path, op->xid, (unsigned long long)zxid, error);
    switch (op->kind) {
    case OP_SETUP:
        if (error != 0 && error != JUTE_NODEEXISTS) {
            sim->failed_operations++;
            break;
        }
        if (++client->setup_step == SETUP_PATHS) client->set_up = true;
        break;
    case OP_GET:
    case OP_WATCH:
    case OP_SYNC_GET:
        check_read(client, op, zxid, error, r);
        break;
    case OP_SET:
    case OP_CAS:
        if (error == JUTE_BADVERSION || error == JUTE_NONODE) client->versions[op->key].known = false;
        if (error != 0) break;
        check_write(client, op, zxid);
        check_set(client, op, zxid, r, op->mark);
        break;
    case OP_CREATE:
    case OP_SEQUENCE:
    case OP_EPHEMERAL:
    case OP_LOCK:
        if (error != 0) break;
        check_write(client, op, zxid);
        check_create(client, op, zxid, r);
        break;
    case OP_DELETE:
    case OP_UNLOCK:
        if (error == 0) check_write(client, op, zxid);
        break;
    case OP_MULTI:
        if (error == 0) check_multi(client, op, zxid, r);
        break;
    default:
        break;
    }
}
