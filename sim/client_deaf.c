// A client that asks and never reads: what its server holds for it is bounded. Reads alone make the server stop taking
// requests (output_pause_bytes); with writes in between, whose results cannot wait, it is closed (output_bytes_max).
#include "sim/client.h"

#include "protocol/zookeeper/zookeeper.h"

#define PARTS 45u // of 20,000 bytes: a reply just below what a client takes
#define VALUE_BYTES 20000u
#define SLACK_BYTES (2u << 20) // one reply more, and what the turn had begun

void deaf_begin(struct sim_client *client, uint8_t work) {
    struct sim *sim = client->sim;
    if (sim->checks->deaf == 3 || client->read_only) return; // it costs much
    if (sim->calming) return;                                // each client must get on then
    sim->checks->deaf++;
    bool writes = client_draw(client, 4) == 0;
    client->deaf_most = (writes ? ZOOKEEPER_OUTPUT_MAX : ZOOKEEPER_OUTPUT_PAUSE) + SLACK_BYTES;
    client->deaf_until_us = sim->world.now_us + 2000ull * client->timeout_ms;
    for (size_t i = 0; i < LOCKS_MAX; i++) client->locks[i].held = false;
    client->loop->io.ops->conn_read_stop(client->conn);
    world_trace_line(&sim->world, "c%u reads no more", client->number);
    struct writer *w = client_begin(client);
    body_path(w, "/m/big");
    jute_int(w, VALUE_BYTES);
    memset(writer_extend(w, VALUE_BYTES), 'b', VALUE_BYTES);
    body_open_acl(w);
    jute_int(w, 0);
    client_ask(client, JUTE_CREATE2, work, 0, 0);
    for (uint32_t i = 0; i < (writes ? 90u : 24u); i++) {
        w = client_begin(client);
        for (uint32_t k = 0; k < PARTS; k++) {
            jute_multi_head(w, JUTE_GET, false);
            body_path(w, "/m/big");
            write_u8(w, 0);
        }
        jute_multi_head(w, -1, true);
        client_ask(client, JUTE_MULTI_READ, work, 0, 0);
        if (!writes) continue;
        w = client_begin(client);
        body_path(w, "/k/5"); // no register: what is written here is not recorded
        jute_int(w, -1);
        jute_int(w, -1);
        client_ask(client, JUTE_SET, work, 0, 0);
    }
}

bool deaf_goes_on(struct sim_client *client) {
    struct sim *sim = client->sim;
    uint64_t held = net_unread_bytes(client->conn);
    if (held > sim->checks->deaf_held) sim->checks->deaf_held = held;
    if (held > client->deaf_most)
        world_fail(&sim->world, "node %u holds %llu bytes for client %u, which does not read", client->server + 1,
                   (unsigned long long)held, client->number);
    return sim->world.now_us < client->deaf_until_us && !sim->calming;
}
