// Registers, sets by children, plain locks, queues by sequential nodes.
#include "sim/client.h"

static uint32_t draw(struct sim_client *client, uint32_t bound) {
    return (uint32_t)client_draw(client, bound);
}

static void ask_sync(struct sim_client *client, uint8_t work, const char *path) {
    struct writer *w = client_begin(client);
    jute_text(w, path);
    client_ask(client, JUTE_SYNC, work, 0, 0);
}

// ---- registers

void register_step(struct sim_client *client, uint8_t work) {
    uint32_t key = draw(client, client->sim->checks->keys), what = draw(client, 100);
    bool synced = what >= 60 && what < 80;
    if (client->sim->checks->holders && client->number % 3 == 0 && what < 40) what += 40; // a holder only reads
    if (synced) ask_sync(client, work, "/r");
    struct writer *w = client_begin(client);
    body_path(w, "/r/%u", key);
    int32_t code = JUTE_GET;
    if (what < 30) {
        code = JUTE_SET;
        body_value(client, w);
        jute_int(w, what < 14 ? client->versions[key] : -1);
    } else if (what < 37) {
        code = what < 33 ? JUTE_CREATE : JUTE_CREATE2;
        body_create(client, w, 0);
    } else if (what < 40) {
        code = JUTE_DELETE;
        jute_int(w, what < 39 ? client->versions[key] : -1);
    } else {
        if (what >= 90) code = JUTE_EXISTS;
        body_watch(client, w, 4);
    }
    client_ask(client, code, work, 0, key)->behind_sync = synced;
}

void register_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r) {
    if (error != 0 || (op->code != JUTE_GET && op->code != JUTE_SET)) return;
    if (op->code == JUTE_GET) jute_read_data(&r);
    client->versions[op->key] = jute_read_stat(&r).version;
}

// ---- sets

void set_step(struct sim_client *client, uint8_t work) {
    uint32_t key = draw(client, client->sim->checks->keys), what = draw(client, 100);
    bool synced = what >= 70 && what < 85;
    if (synced) ask_sync(client, work, "/s");
    struct writer *w = client_begin(client);
    if (what >= 85) {
        body_path(w, "/s");
        body_watch(client, w, 4);
        client_ask(client, what < 93 ? JUTE_CHILDREN : JUTE_CHILDREN2, work, 0, key);
        return;
    }
    body_path(w, what < 10 ? "/s/t%u" : "/s/e%u", key); // t: ends with its session
    if (what < 30) {
        body_create(client, w, what < 10 ? JUTE_EPHEMERAL : 0);
        client_ask(client, JUTE_CREATE2, work, 0, key);
    } else if (what < 50) {
        jute_int(w, -1);
        client_ask(client, JUTE_DELETE, work, 0, key);
    } else {
        body_watch(client, w, 6);
        client_ask(client, JUTE_EXISTS, work, 0, key)->behind_sync = synced;
    }
}

// ---- plain locks: an ephemeral node each

void lock_step(struct sim_client *client, uint8_t work) {
    uint32_t lock = draw(client, LOCKS_PLAIN);
    struct writer *w = client_begin(client);
    body_path(w, "/l/%u", lock);
    if (client->locks[lock].held) {
        client->locks[lock].held = false; // from now on it does not rely on it
        jute_int(w, -1);
        client_ask(client, JUTE_DELETE, work, 0, lock);
        return;
    }
    body_create(client, w, JUTE_EPHEMERAL);
    client_ask(client, JUTE_CREATE2, work, 1, lock);
}

void lock_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r) {
    if (op->step == 1 && error == 0) lock_granted(client, op, op->key, zxid, false);
}

// ---- queues

void queue_step(struct sim_client *client, uint8_t work) {
    uint32_t what = draw(client, 100);
    struct writer *w = client_begin(client);
    if (what < 50 && client->queued < 100) {
        body_path(w, "/q/j-");
        body_create(client, w, JUTE_SEQUENTIAL | (what < 10 ? JUTE_EPHEMERAL : 0));
        client_ask(client, what < 25 ? JUTE_CREATE : JUTE_CREATE2, work, 0, 0);
        return;
    }
    body_path(w, "/q");
    body_watch(client, w, 8);
    client_ask(client, JUTE_CHILDREN2, work, 1, 0);
}

// Takes the oldest: whoever deletes it has it.
void queue_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r) {
    if (op->step != 1 || error != 0 || client->closing || client->broken) return;
    client->queued = (uint32_t)jute_read_int(&r);
    for (uint32_t i = 0; i < 2 && i < client->queued; i++) {
        struct bytes name = jute_read_data(&r);
        struct writer *w = client_begin(client);
        body_path(w, "/q/%.*s", (int)name.len, (const char *)name.data);
        jute_int(w, -1);
        client_ask(client, JUTE_DELETE, op->work, 0, 0);
    }
}
