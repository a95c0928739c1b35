// Clients' histories for the checkers of sim/check/: registers, sets, locks with what they guard, sequence numbers. The
// oracle has judged each answer by itself already; the checkers know nothing of it, nor of zxids that nobody was told.
#include "sim/client.h"

#include <errno.h>
#include <stdio.h>

#include "sim/check/check.h"

#define STEPS_MAX 300000u // of one search: a run is checked in seconds; beyond it, the oracle stands alone
#define MEMORY_MAX ((size_t)128 << 20)

void record_begin(struct sim *sim) {
    sim->checks->record = mem_zalloc(sizeof *sim->checks->record);
    record_init(sim->checks->record);
}

void record_end(struct sim *sim) {
    record_free(sim->checks->record);
    mem_free(sim->checks->record);
}

static struct record_operation *recorded(struct sim_client *client, const struct op *op) {
    return op->record == 0 ? NULL : &client->sim->checks->record->operations[op->record - 1];
}

// Which operation of the model a request is; RECORD_OP_COUNT: none.
static enum record_op kind_of(const struct op *op, int32_t version) {
    bool creates = op->code == JUTE_CREATE || op->code == JUTE_CREATE2;
    if (op->work == WORK_SET)
        return creates                   ? RECORD_ADD
               : op->code == JUTE_DELETE ? RECORD_REMOVE
               : op->code == JUTE_EXISTS ? RECORD_CONTAINS
                                         : RECORD_OP_COUNT;
    if (op->work == WORK_QUEUE) return creates ? RECORD_SEQUENCE : RECORD_OP_COUNT;
    if (op->work != WORK_REGISTER) return RECORD_OP_COUNT;
    if (creates) return RECORD_CREATE;
    if (op->code == JUTE_GET) return RECORD_READ;
    if (op->code == JUTE_SET) return version < 0 ? RECORD_WRITE : RECORD_CAS;
    return op->code == JUTE_DELETE ? RECORD_DELETE : RECORD_OP_COUNT;
}

static record_text marked(struct record *record, struct bytes data) {
    return record_intern_bytes(record, data.data, data.len < MARK_BYTES ? data.len : MARK_BYTES);
}

void record_sent(struct sim_client *client, struct op *op) {
    struct record *record = client->sim->checks->record;
    struct reader r = reader_of(op->body, op->len);
    struct bytes path = jute_read_data(&r), data = {0};
    bool carries = op->code == JUTE_CREATE || op->code == JUTE_CREATE2 || op->code == JUTE_SET;
    if (carries) data = jute_read_data(&r);
    int32_t version = op->code == JUTE_SET || op->code == JUTE_DELETE ? jute_read_int(&r) : -1;
    enum record_op kind = kind_of(op, version);
    if (kind == RECORD_OP_COUNT || path.len < 4) return;
    size_t key = op->work == WORK_REGISTER ? path.len : 2;
    if (op->work == WORK_SET && path.data[3] != 'e') return; // its end is not the clients' doing
    struct record_operation o =
        record_operation_of(client->session, client->recorded++, kind, record_intern_bytes(record, path.data, key));
    o.call_us = op->invoked_us;
    o.return_us = RECORD_NEVER;
    o.outcome = RECORD_UNKNOWN;
    o.expect = RECORD_ANY;
    if (version >= 0) o.expect_version = version;
    if (op->work == WORK_SET)
        o.value = record_intern_bytes(record, path.data + 3, path.len - 3);
    else if (carries && kind != RECORD_SEQUENCE)
        o.value = marked(record, data);
    op->record = record_append(record, &o) + 1;
}

static void fill(struct record *record, struct record_operation *o, const struct op *op, int32_t error,
                 struct reader r) {
    switch (o->op) {
    case RECORD_READ:
        o->consistency = op->behind_sync && !op->read_only ? RECORD_LINEARIZABLE : RECORD_LOCAL;
        o->outcome = RECORD_OK;
        if (error == 0) {
            o->value = marked(record, jute_read_data(&r));
            o->version = jute_read_stat(&r).version;
        }
        return;
    case RECORD_CONTAINS:
        // A plain one promises nothing that the checkers of sets could use.
        o->outcome = op->behind_sync && !op->read_only ? RECORD_OK : RECORD_UNKNOWN;
        o->found = error == 0;
        return;
    case RECORD_SEQUENCE: {
        struct bytes path = jute_read_data(&r);
        if (error == 0) o->value = record_intern_bytes(record, path.data + path.len - 10, 10);
        return;
    }
    case RECORD_WRITE:
    case RECORD_CAS:
        if (error == 0) o->version = jute_read_stat(&r).version;
        return;
    default:
        return;
    }
}

void record_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r) {
    struct record_operation *o = recorded(client, op);
    client->received++;
    if (o == NULL) return;
    o->return_us = client->sim->world.now_us;
    o->zxid = zxid;
    o->received = client->received;
    o->outcome = error == 0 ? RECORD_OK : RECORD_FAIL;
    bool set = op->work == WORK_SET;
    if (error == JUTE_BADVERSION) o->error = RECORD_BAD_VERSION;
    if (error == JUTE_NONODE && !set) o->error = RECORD_NO_NODE;
    if (error == JUTE_NODEEXISTS && !set) o->error = RECORD_NODE_EXISTS;
    if (error == 0 || error == JUTE_NONODE) {
        fill(client->sim->checks->record, o, op, error, r);
        if (o->outcome == RECORD_OK) o->error = RECORD_NO_ERROR;
    }
}

static struct record_operation lock_operation(struct sim_client *client, enum record_op kind, uint32_t lock,
                                              uint64_t token) {
    struct record *record = client->sim->checks->record;
    char text[32];
    snprintf(text, sizeof text, "/l/%u", lock);
    record_text key = record_intern(record, text);
    snprintf(text, sizeof text, "%llu", (unsigned long long)token);
    struct record_operation o = record_operation_of(client->session, client->recorded++, kind, key);
    o.value = record_intern(record, text);
    o.expect = RECORD_ANY;
    o.outcome = RECORD_OK;
    o.call_us = o.return_us = client->sim->world.now_us;
    return o;
}

void record_lock(struct sim_client *client, const struct op *op, uint32_t lock, uint64_t token) {
    struct record_operation o = lock_operation(client, RECORD_LOCK, lock, token);
    o.call_us = op->invoked_us;
    record_append(client->sim->checks->record, &o);
}

void record_fence(struct sim_client *client, uint32_t lock, uint64_t token, bool accepted) {
    struct record_operation o = lock_operation(client, RECORD_FENCE, lock, token);
    if (!accepted) o.outcome = RECORD_FAIL;
    record_append(client->sim->checks->record, &o);
}

static void write_history(struct sim *sim) {
    const struct record *record = sim->checks->record;
    FILE *file = fopen(sim->world.options.history, "w");
    if (file == NULL) {
        fprintf(stderr, "sim: cannot write %s: %s\n", sim->world.options.history, strerror(errno));
        return;
    }
    fprintf(file, "{\"meta\": {\"system\": \"simulator\", \"seed\": %llu}}\n", (unsigned long long)sim->world.seed);
    for (size_t i = 0; i < record->count; i++) record_write_operation(record, &record->operations[i], file);
    fclose(file);
}

void clients_check(struct sim *sim) {
    struct check_limits limits = {.steps = STEPS_MAX, .memory = MEMORY_MAX, .shown = 2};
    if (sim->world.options.history != NULL) write_history(sim);
    if (sim->world.failed || check_all(sim->checks->record, NULL, limits) != CHECK_VIOLATION) return;
    check_all(sim->checks->record, stdout, limits);
    world_fail(&sim->world, "the recorded history breaks a promise (above)");
}
