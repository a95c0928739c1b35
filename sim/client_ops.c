// Requests of a simulated client: sent, counted, and their answers handed on. In short, what must be true of each: a
// reply's zxid names a place in the committed history, and the answer must be exactly what stood there
// (client_check.c); that place never goes back in a session; a read behind a sync, and every write, lies behind
// everything that anyone had been told when it was sent (so the whole tree is linearizable).
#include "sim/client.h"

#include <stdio.h>

uint64_t client_draw(struct sim_client *client, uint64_t bound) {
    return bound == 0 ? 0 : prng_below(&client->prng, bound);
}

void client_fail(struct sim_client *client, const struct op *op, const char *format, ...) {
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    world_fail(&client->sim->world, "client %u session %llx, %s %.*s xid %d sent at %llu us to n%u: %s", client->number,
               (unsigned long long)client->session, client_op_name(op->code),
               op->len > 4 ? (int)(op->len - 4 > 40 ? 40 : op->len - 4) : 0,
               op->len > 4 ? (const char *)op->body + 4 : "", op->xid, (unsigned long long)op->invoked_us,
               client->server + 1, text);
}

// ---- the table of operations

struct op_row {
    const char *name;
    int32_t code;
    bool write;
};
static const struct op_row rows[] = {
#define X(name, code, write) {#name, code, write},
    JUTE_OPS(X)
#undef X
};
#define ROWS (sizeof rows / sizeof rows[0])
_Static_assert(ROWS <= CLIENT_OPS_MAX, "a count for each");

static size_t row_of(int32_t code) { // ROWS: none
    size_t i = 0;
    while (i < ROWS && rows[i].code != code) i++;
    return i;
}

const char *client_op_name(int32_t code) {
    size_t row = row_of(code);
    return row == ROWS ? "?" : rows[row].name;
}

bool client_op_writes(int32_t code) {
    size_t row = row_of(code);
    return row != ROWS && rows[row].write;
}

bool clients_operations(const struct op_counts counts[CLIENT_OPS_MAX]) {
    bool all = true;
    printf("%-18s %6s %10s %10s\n", "operation", "code", "done", "refused");
    for (size_t i = 0; i < ROWS; i++) {
        printf("%-18s %6d %10llu %10llu\n", rows[i].name, rows[i].code, (unsigned long long)counts[i].done,
               (unsigned long long)counts[i].refused);
        if (counts[i].done + counts[i].refused > 0) continue;
        printf("sim: %s was never answered\n", rows[i].name);
        all = false;
    }
    return all;
}

// ---- sending

struct writer *client_begin(struct sim_client *client) {
    writer_clear(&client->out);
    return &client->out;
}

static struct op *send_op(struct sim_client *client, int32_t xid, int32_t code, uint8_t work, uint8_t step,
                          uint32_t key) {
    struct op *op = ring_push(&client->pending);
    const struct writer *body = &client->out;
    *op = (struct op){.xid = xid,
                      .code = code,
                      .work = work,
                      .step = step,
                      .key = key,
                      .read_only = client->read_only,
                      .floor = client->sim->checks->floor,
                      .len = body->len};
    op->body = mem_alloc(body->len + 1);
    if (body->len > 0) memcpy(op->body, body->data, body->len);
    op->invoked_us = client->sent_us = client->sim->world.now_us;
    world_trace_line(&client->sim->world, "c%u asks n%u: %s %.*s xid %d", client->number, client->server + 1,
                     client_op_name(code), op->len > 4 ? (int)(op->len - 4 > 40 ? 40 : op->len - 4) : 0,
                     op->len > 4 ? (const char *)op->body + 4 : "", xid);
    uint8_t head[12];
    put_u32_be(head, (uint32_t)(8 + body->len));
    put_u32_be(head + 4, (uint32_t)xid);
    put_u32_be(head + 8, (uint32_t)code);
    client->loop->io.ops->conn_write(client->conn, head, sizeof head);
    if (body->len > 0) client->loop->io.ops->conn_write(client->conn, body->data, body->len);
    record_sent(client, op);
    return op;
}

struct op *client_ask(struct sim_client *client, int32_t code, uint8_t work, uint8_t step, uint32_t key) {
    int32_t xid = client->next_xid++;
    if (client->next_xid < 0) client->next_xid = 1;
    return send_op(client, xid, code, work, step, key);
}

void client_ping(struct sim_client *client) {
    client_begin(client);
    send_op(client, JUTE_XID_PING, JUTE_PING, WORK_NONE, 0, 0);
}

// Who it is stands before anything else, so that each request's answer is known from it.
void client_auth(struct sim_client *client) {
    static const char *const secrets[] = {"ann:one", "bob:two"};
    client->auth_left = 0;
    for (uint32_t i = 0; i < 2; i++) {
        if ((client->sim->checks->users >> ((client->number + i) % 8) & 1) == 0) continue;
        struct writer *w = client_begin(client);
        jute_int(w, 0);
        jute_text(w, "digest");
        jute_text(w, secrets[i]);
        send_op(client, JUTE_XID_AUTH, JUTE_AUTH, WORK_NONE, (uint8_t)i, 0);
        client->auth_left++;
    }
}

void client_send_next(struct sim_client *client) {
    struct sim *sim = client->sim;
    uint64_t now_us = sim->world.now_us;
    if (!client->attached || client->auth_left > 0 || client->broken || client->closing || client->deaf_until_us != 0)
        return;
    if (!client->set_up && !client->read_only) {
        if (client->pending.count == 0) work_setup(client);
        return;
    }
    if (client->stopped) return;
    if (now_us < client->quiet_until_us) {
        for (; client->quiet_watches > 0; client->quiet_watches--) watch_step(client, WORK_WATCH);
        return;
    }
    // In bursts: that is what makes requests wait behind each other in the server.
    while (client->attached && !client->closing && !client->broken && client->deaf_until_us == 0 &&
           now_us >= client->next_op_us) {
        for (uint32_t i = 0; i < sim->checks->burst && client->pending.count < sim->checks->depth && client->attached &&
                             !client->closing && !client->broken;
             i++)
            work_next(client);
        client->next_op_us = now_us + 1 + client_draw(client, 2 * (uint64_t)sim->swarm.think_us);
    }
}

// ---- answers

static void auth_answered(struct sim_client *client, const struct op *op, int32_t error) {
    static const char *const ids[] = {"ann:grDcJ7OS1jCu/cG2TyJHw/I9L8o=", "bob:yqVrLFrvoaI9z9fohteaNPJvRu8="};
    if (error != 0) client_fail(client, op, "a digest was refused: %d", error);
    client->who.data[0]++;
    write_blob(&client->who, bytes_of_text("digest"));
    write_blob(&client->who, bytes_of_text(ids[op->step]));
    if (client->auth_left > 0) client->auth_left--;
}

static void count_answer(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error) {
    struct sim *sim = client->sim;
    size_t row = row_of(op->code);
    if (row != ROWS && error == 0) sim->op_counts[row].done++;
    if (row != ROWS && error != 0) sim->op_counts[row].refused++;
    if (op->code == JUTE_PING || op->work == WORK_NONE) return;
    sim->operations++;
    client->calm_done++;
    world_note(&sim->world, NOTE_OPERATION, client->number * 1024 + (uint64_t)(uint32_t)op->code, zxid);
    if (error != 0) sim->failed_operations++;
}

// False: the answer is of no state.
static bool answer_placed(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error) {
    struct sim *sim = client->sim;
    if (op->code == JUTE_AUTH || op->code == JUTE_SASL) {
        if (zxid != 0) client_fail(client, op, "zxid %llu", (unsigned long long)zxid);
        if (op->code == JUTE_AUTH) auth_answered(client, op, error);
        return false;
    }
    if (zxid < client->last_zxid)
        client_fail(client, op, "zxid went back from %llu to %llu", (unsigned long long)client->last_zxid,
                    (unsigned long long)zxid);
    if (zxid > sim->history.last) client_fail(client, op, "zxid %llu is not committed", (unsigned long long)zxid);
    return true;
}

void client_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader *r) {
    struct sim *sim = client->sim;
    world_trace_line(&sim->world, "c%u %s xid %d: zxid %llu error %d", client->number, client_op_name(op->code),
                     op->xid, (unsigned long long)zxid, error);
    count_answer(client, op, zxid, error);
    if (error == JUTE_SESSION_EXPIRED || error == JUTE_SESSION_MOVED) return; // the connection ends
    if (!answer_placed(client, op, zxid, error)) return;
    if (op->code == JUTE_CLOSE) {
        client_session_over(client);
        return; // the server closes
    }
    watches_told(client, op, zxid);
    client_check(client, op, zxid, error, *r);
    record_answered(client, op, zxid, error, *r);
    client->last_zxid = zxid;
    if (zxid > sim->checks->floor) sim->checks->floor = zxid;
    watches_answered(client, op, zxid, error);
    if (op->work >= work_count || sim->world.failed) return;
    if (works[op->work].answered != NULL) works[op->work].answered(client, op, zxid, error, *r);
}
