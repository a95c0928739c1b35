// What a client is told of the nodes, in the words of Redis Cluster (one shard that has all slots), of Sentinel (one
// master), and of replication. Any node serves everything, so no client is ever sent elsewhere.
#include "base/alloc.h"
#include "protocol/redis/internal.h"
#include <stdlib.h>

#define SLOTS 16384
#define BUS_PORT_AHEAD 10000
#define ID_TEXT 41

void nodes_list(struct instance *instance, struct node_list *nodes) {
    *nodes = (struct node_list){0};
    nodes->count = service_members(instance->service, "redis", nodes->members, MEMBERS_MAX);
    for (size_t i = 0; i < nodes->count; i++) {
        const struct service_member *m = &nodes->members[i];
        if (m->self) nodes->self = m;
        if (m->leader) nodes->leader = m;
    }
    // While there is none, the last one is named, as Sentinel does; any node takes commands.
    for (size_t i = 0; nodes->leader == NULL && i < nodes->count; i++)
        if (nodes->members[i].id == instance->leader) nodes->leader = &nodes->members[i];
}

static bool is_master(const struct node_list *nodes, size_t at) {
    return nodes->leader == NULL ? at == 0 : nodes->leader == &nodes->members[at];
}

// A node without a listener for Redis is not named to clients.
static bool is_told(const struct service_member *m) {
    return m->protocol_address[0] != 0;
}

void redis_address(const char *address, char host[ADDRESS_TEXT_MAX], int64_t *port) {
    const char *colon = strrchr(address, ':');
    size_t len = colon == NULL ? strlen(address) : (size_t)(colon - address);
    *port = colon == NULL ? 0 : strtol(colon + 1, NULL, 10);
    if (len > 1 && address[0] == '[' && address[len - 1] == ']') { // of IPv6
        address++;
        len -= 2;
    }
    memcpy(host, address, len);
    host[len] = 0;
}

// 40 hex digits that every node gives the same node.
static void id_text(uint32_t id, char out[ID_TEXT]) {
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t word = hash_u64((uint64_t)id << 8 | i);
        snprintf(out + 8 * i, 9, "%08x", (uint32_t)word);
    }
}

static size_t told_count(const struct node_list *nodes) {
    size_t count = 0;
    for (size_t i = 0; i < nodes->count; i++) count += is_told(&nodes->members[i]);
    return count;
}

// ---- Cluster

static void write_slot_node(struct reply *reply, const struct service_member *m) {
    char host[ADDRESS_TEXT_MAX], id[ID_TEXT];
    int64_t port;
    redis_address(m->protocol_address, host, &port);
    id_text(m->id, id);
    reply_array(reply, 4);
    reply_text(reply, host);
    reply_number(reply, port);
    reply_text(reply, id);
    reply_array(reply, 0);
}

void own_cluster_slots(struct connection *c, const struct call *call) {
    struct node_list nodes;
    nodes_list(c->instance, &nodes);
    size_t count = told_count(&nodes);
    reply_array(call->reply, count == 0 ? 0 : 1);
    if (count == 0) return;
    reply_array(call->reply, 2 + count);
    reply_number(call->reply, 0);
    reply_number(call->reply, SLOTS - 1);
    for (int masters = 1; masters >= 0; masters--) // the master first
        for (size_t i = 0; i < nodes.count; i++)
            if (is_told(&nodes.members[i]) && is_master(&nodes, i) == (masters == 1))
                write_slot_node(call->reply, &nodes.members[i]);
}

static void write_shard_node(struct reply *reply, const struct service_member *m, bool master, uint64_t offset) {
    char host[ADDRESS_TEXT_MAX], id[ID_TEXT];
    int64_t port;
    redis_address(m->protocol_address, host, &port);
    id_text(m->id, id);
    reply_map(reply, 7);
    reply_text(reply, "id");
    reply_text(reply, id);
    reply_text(reply, "port");
    reply_number(reply, port);
    reply_text(reply, "ip");
    reply_text(reply, host);
    reply_text(reply, "endpoint");
    reply_text(reply, host);
    reply_text(reply, "role");
    reply_text(reply, master ? "master" : "replica");
    reply_text(reply, "replication-offset");
    reply_number(reply, (int64_t)offset);
    reply_text(reply, "health");
    reply_text(reply, "online");
}

void own_cluster_shards(struct connection *c, const struct call *call) {
    struct node_list nodes;
    nodes_list(c->instance, &nodes);
    reply_array(call->reply, 1);
    reply_map(call->reply, 2);
    reply_text(call->reply, "slots");
    reply_array(call->reply, 2);
    reply_number(call->reply, 0);
    reply_number(call->reply, SLOTS - 1);
    reply_text(call->reply, "nodes");
    reply_array(call->reply, told_count(&nodes));
    for (size_t i = 0; i < nodes.count; i++)
        if (is_told(&nodes.members[i]))
            write_shard_node(call->reply, &nodes.members[i], is_master(&nodes, i),
                             service_applied(c->instance->service));
}

static void write_node_line(struct instance *instance, const struct node_list *nodes, size_t at, struct writer *out) {
    const struct service_member *m = &nodes->members[at];
    struct service_status status;
    char host[ADDRESS_TEXT_MAX], id[ID_TEXT], master_id[ID_TEXT] = "-";
    int64_t port;
    service_status(instance->service, &status);
    redis_address(m->protocol_address, host, &port);
    id_text(m->id, id);
    bool master = is_master(nodes, at);
    if (!master) id_text(nodes->leader == NULL ? nodes->members[0].id : nodes->leader->id, master_id);
    text_format(out, "%s %s:%lld@%lld %s%s %s 0 0 %llu connected", id, host, (long long)port,
                (long long)(port + BUS_PORT_AHEAD), m->self ? "myself," : "", master ? "master" : "slave", master_id,
                (unsigned long long)status.term);
    if (master) text_format(out, " 0-%d", SLOTS - 1);
}

void own_cluster_nodes(struct connection *c, const struct call *call) {
    struct node_list nodes;
    struct writer text = {0};
    nodes_list(c->instance, &nodes);
    for (size_t i = 0; i < nodes.count; i++) {
        if (!is_told(&nodes.members[i])) continue;
        write_node_line(c->instance, &nodes, i, &text);
        text_format(&text, "\n");
    }
    reply_verbatim(call->reply, bytes_of(text.data, text.len));
    writer_free(&text);
}

static const struct service_member *member_by_text(const struct node_list *nodes, struct bytes text) {
    for (size_t i = 0; i < nodes->count; i++) {
        char id[ID_TEXT];
        id_text(nodes->members[i].id, id);
        if (word_is(text, id)) return &nodes->members[i];
    }
    return NULL;
}

void own_cluster_replicas(struct connection *c, const struct call *call) {
    struct node_list nodes;
    nodes_list(c->instance, &nodes);
    const struct service_member *m = member_by_text(&nodes, call->argv[2]);
    if (m == NULL) {
        reply_error(call->reply, "ERR Unknown node %.*s", (int)call->argv[2].len, (const char *)call->argv[2].data);
        return;
    }
    if (!is_master(&nodes, (size_t)(m - nodes.members))) {
        reply_error(call->reply, "ERR The specified node is not a master");
        return;
    }
    size_t begun = reply_begin(call->reply), count = 0;
    struct writer line = {0};
    for (size_t i = 0; i < nodes.count; i++) {
        if (!is_told(&nodes.members[i]) || is_master(&nodes, i)) continue;
        writer_clear(&line);
        write_node_line(c->instance, &nodes, i, &line);
        reply_bulk(call->reply, bytes_of(line.data, line.len));
        count++;
    }
    reply_end(call->reply, begun, '*', count);
    writer_free(&line);
}

void own_cluster_info(struct connection *c, const struct call *call) {
    struct service_status status;
    struct writer text = {0};
    service_status(c->instance->service, &status);
    text_format(&text,
                "cluster_state:%s\r\ncluster_slots_assigned:%d\r\ncluster_slots_ok:%d\r\ncluster_slots_pfail:0\r\n"
                "cluster_slots_fail:0\r\ncluster_known_nodes:%u\r\ncluster_size:1\r\ncluster_current_epoch:%llu\r\n"
                "cluster_my_epoch:%llu\r\ncluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\n"
                "total_cluster_links_buffer_limit_exceeded:0\r\n",
                status.has_leader ? "ok" : "fail", SLOTS, SLOTS, status.members, (unsigned long long)status.term,
                (unsigned long long)status.term);
    reply_verbatim(call->reply, bytes_of(text.data, text.len));
    writer_free(&text);
}

void own_cluster_myid(struct connection *c, const struct call *call) {
    struct service_status status;
    char id[ID_TEXT];
    service_status(c->instance->service, &status);
    id_text(status.id, id);
    reply_text(call->reply, id);
}

// CRC-16/XMODEM of the key, or of what stands in its first braces.
static int64_t slot_of(struct bytes key) {
    const uint8_t *open = key.len == 0 ? NULL : memchr(key.data, '{', key.len);
    if (open != NULL) {
        size_t from = (size_t)(open - key.data) + 1;
        const uint8_t *shut = from == key.len ? NULL : memchr(key.data + from, '}', key.len - from);
        if (shut != NULL && shut > open + 1) key = bytes_of(open + 1, (size_t)(shut - open) - 1);
    }
    uint32_t crc = 0;
    for (size_t i = 0; i < key.len; i++) {
        crc ^= (uint32_t)key.data[i] << 8;
        for (int bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1 ^ 0x1021) & 0xffff : crc << 1;
    }
    return crc % SLOTS;
}

void own_cluster_keyslot(struct connection *c, const struct call *call) {
    reply_number(call->reply, slot_of(call->argv[2]));
}

void own_cluster_countkeysinslot(struct connection *c, const struct call *call) {
    reply_error(call->reply, "ERR keys are not kept by slot here: all nodes have all slots");
}

void own_readonly(struct connection *c, const struct call *call) {
    c->local_reads = true;
    reply_ok(call->reply);
}

void own_readwrite(struct connection *c, const struct call *call) {
    c->local_reads = false;
    reply_ok(call->reply);
}

// ---- Sentinel

static bool sentinel_knows(const struct connection *c, struct bytes name, struct reply *reply) {
    if (bytes_equal(name, bytes_of_text(c->instance->settings.sentinel_name))) return true;
    reply_error(reply, "ERR No such master with that name");
    return false;
}

static const struct service_member *master_of(const struct node_list *nodes) {
    return nodes->leader != NULL ? nodes->leader : nodes->count > 0 ? &nodes->members[0] : NULL;
}

void own_sentinel_address(struct connection *c, const struct call *call) {
    struct node_list nodes;
    char host[ADDRESS_TEXT_MAX];
    int64_t port;
    nodes_list(c->instance, &nodes);
    const struct service_member *master = master_of(&nodes);
    bool known = bytes_equal(call->argv[2], bytes_of_text(c->instance->settings.sentinel_name));
    if (!known || master == NULL || !is_told(master)) {
        reply_null_array(call->reply);
        return;
    }
    char text[24];
    redis_address(master->protocol_address, host, &port);
    snprintf(text, sizeof text, "%lld", (long long)port);
    reply_array(call->reply, 2);
    reply_text(call->reply, host);
    reply_text(call->reply, text);
}

static void write_pair(struct reply *reply, const char *name, const char *value, size_t *count) {
    reply_text(reply, name);
    reply_text(reply, value);
    ++*count;
}

static void write_pair_number(struct reply *reply, const char *name, uint64_t value, size_t *count) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    write_pair(reply, name, text, count);
}

enum told_as { TOLD_MASTER, TOLD_REPLICA, TOLD_SENTINEL };
static void write_instance(struct instance *instance, struct reply *reply, const struct node_list *nodes,
                           const struct service_member *m, enum told_as as) {
    char host[ADDRESS_TEXT_MAX], id[ID_TEXT];
    int64_t port;
    size_t begun = reply_begin(reply), count = 0;
    redis_address(m->protocol_address, host, &port);
    id_text(m->id, id);
    write_pair(reply, "name", as == TOLD_MASTER ? instance->settings.sentinel_name : m->protocol_address, &count);
    write_pair(reply, "ip", host, &count);
    write_pair_number(reply, "port", (uint64_t)port, &count);
    write_pair(reply, "runid", id, &count);
    write_pair(reply, "flags", as == TOLD_MASTER ? "master" : as == TOLD_REPLICA ? "slave" : "sentinel", &count);
    write_pair_number(reply, "link-pending-commands", 0, &count);
    write_pair_number(reply, "link-refcount", 1, &count);
    write_pair_number(reply, "last-ping-sent", 0, &count);
    write_pair_number(reply, "last-ok-ping-reply", 0, &count);
    write_pair_number(reply, "last-ping-reply", 0, &count);
    write_pair_number(reply, "down-after-milliseconds", 1000, &count);
    uint64_t applied = service_applied(instance->service);
    if (as == TOLD_MASTER) {
        write_pair(reply, "role-reported", "master", &count);
        write_pair_number(reply, "config-epoch", 0, &count);
        write_pair_number(reply, "num-slaves", told_count(nodes) - 1, &count);
        write_pair_number(reply, "num-other-sentinels", told_count(nodes) - 1, &count);
        write_pair_number(reply, "quorum", nodes->count / 2 + 1, &count);
        write_pair_number(reply, "failover-timeout", 5000, &count);
        write_pair_number(reply, "parallel-syncs", 1, &count);
    } else if (as == TOLD_REPLICA) {
        char master_host[ADDRESS_TEXT_MAX] = "";
        int64_t master_port = 0;
        const struct service_member *master = master_of(nodes);
        if (master != NULL) redis_address(master->protocol_address, master_host, &master_port);
        write_pair(reply, "role-reported", "slave", &count);
        write_pair_number(reply, "master-link-down-time", 0, &count);
        write_pair(reply, "master-link-status", "ok", &count);
        write_pair(reply, "master-host", master_host, &count);
        write_pair_number(reply, "master-port", (uint64_t)master_port, &count);
        write_pair_number(reply, "slave-priority", 100, &count);
        write_pair_number(reply, "slave-repl-offset", applied, &count);
        write_pair_number(reply, "replica-announced", 1, &count);
    } else {
        write_pair_number(reply, "last-hello-message", 0, &count);
        write_pair(reply, "voted-leader", "?", &count);
        write_pair_number(reply, "voted-leader-epoch", 0, &count);
    }
    reply_end(reply, begun, '%', count);
}

void own_sentinel_masters(struct connection *c, const struct call *call) {
    struct node_list nodes;
    nodes_list(c->instance, &nodes);
    const struct service_member *master = master_of(&nodes);
    bool there = master != NULL && is_told(master);
    reply_array(call->reply, there);
    if (there) write_instance(c->instance, call->reply, &nodes, master, TOLD_MASTER);
}

void own_sentinel_master(struct connection *c, const struct call *call) {
    struct node_list nodes;
    nodes_list(c->instance, &nodes);
    const struct service_member *master = master_of(&nodes);
    if (!sentinel_knows(c, call->argv[2], call->reply)) return;
    if (master == NULL || !is_told(master))
        reply_error(call->reply, "ERR No such master with that name");
    else
        write_instance(c->instance, call->reply, &nodes, master, TOLD_MASTER);
}

static void write_others(struct connection *c, const struct call *call, enum told_as as) {
    struct node_list nodes;
    nodes_list(c->instance, &nodes);
    if (!sentinel_knows(c, call->argv[2], call->reply)) return;
    size_t begun = reply_begin(call->reply), count = 0;
    for (size_t i = 0; i < nodes.count; i++) {
        const struct service_member *m = &nodes.members[i];
        if (!is_told(m) || (as == TOLD_REPLICA ? m == master_of(&nodes) : m->self)) continue;
        write_instance(c->instance, call->reply, &nodes, m, as);
        count++;
    }
    reply_end(call->reply, begun, '*', count);
}

void own_sentinel_replicas(struct connection *c, const struct call *call) {
    write_others(c, call, TOLD_REPLICA);
}

void own_sentinel_sentinels(struct connection *c, const struct call *call) {
    write_others(c, call, TOLD_SENTINEL);
}

void own_sentinel_ckquorum(struct connection *c, const struct call *call) {
    struct service_status status;
    char text[128];
    service_status(c->instance->service, &status);
    if (!sentinel_knows(c, call->argv[2], call->reply)) return;
    if (!status.has_leader) {
        reply_error(call->reply, "NOQUORUM this node knows no leader");
        return;
    }
    snprintf(text, sizeof text, "OK %u usable Sentinels. Quorum and failover authorization can be reached",
             status.members);
    reply_simple(call->reply, text);
}

// ---- replication

void own_role(struct connection *c, const struct call *call) {
    struct node_list nodes;
    struct service_status status;
    char host[ADDRESS_TEXT_MAX] = "", text[24];
    int64_t port = 0;
    nodes_list(c->instance, &nodes);
    service_status(c->instance->service, &status);
    struct reply *reply = call->reply;
    if (!status.leading) {
        if (nodes.leader != NULL) redis_address(nodes.leader->protocol_address, host, &port);
        reply_array(reply, 5);
        reply_text(reply, "slave");
        reply_text(reply, host);
        reply_number(reply, port);
        reply_text(reply, status.has_leader ? "connected" : "connect");
        reply_number(reply, (int64_t)status.applied_index);
        return;
    }
    size_t others = told_count(&nodes) - (nodes.self != NULL && is_told(nodes.self));
    reply_array(reply, 3);
    reply_text(reply, "master");
    reply_number(reply, (int64_t)status.applied_index);
    reply_array(reply, others);
    for (size_t i = 0; i < nodes.count; i++) {
        if (!is_told(&nodes.members[i]) || nodes.members[i].self) continue;
        redis_address(nodes.members[i].protocol_address, host, &port);
        reply_array(reply, 3);
        reply_text(reply, host);
        snprintf(text, sizeof text, "%lld", (long long)port);
        reply_text(reply, text);
        snprintf(text, sizeof text, "%llu", (unsigned long long)status.applied_index);
        reply_text(reply, text);
    }
}

void info_replication(struct instance *instance, const struct service_status *status, struct writer *out) {
    struct node_list nodes;
    char host[ADDRESS_TEXT_MAX] = "", id[ID_TEXT];
    int64_t port = 0;
    unsigned long long offset = status->applied_index;
    nodes_list(instance, &nodes);
    if (status->leading) {
        size_t count = 0;
        text_format(out, "role:master\r\nconnected_slaves:%zu\r\n",
                    told_count(&nodes) - (nodes.self != NULL && is_told(nodes.self)));
        for (size_t i = 0; i < nodes.count; i++) {
            if (!is_told(&nodes.members[i]) || nodes.members[i].self) continue;
            redis_address(nodes.members[i].protocol_address, host, &port);
            text_format(out, "slave%zu:ip=%s,port=%lld,state=online,offset=%llu,lag=0\r\n", count++, host,
                        (long long)port, offset);
        }
    } else {
        if (nodes.leader != NULL) redis_address(nodes.leader->protocol_address, host, &port);
        text_format(out,
                    "role:slave\r\nmaster_host:%s\r\nmaster_port:%lld\r\nmaster_link_status:%s\r\n"
                    "master_last_io_seconds_ago:0\r\nmaster_sync_in_progress:0\r\nslave_read_repl_offset:%llu\r\n"
                    "slave_repl_offset:%llu\r\nslave_priority:100\r\nslave_read_only:0\r\nreplica_announced:1\r\n"
                    "connected_slaves:0\r\n",
                    host, (long long)port, status->has_leader ? "up" : "down", offset, offset);
    }
    id_text(0, id);
    text_format(out,
                "master_failover_state:no-failover\r\nmaster_replid:%s\r\n"
                "master_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:%llu\r\n"
                "second_repl_offset:-1\r\nrepl_backlog_active:1\r\nrepl_backlog_size:1048576\r\n"
                "repl_backlog_first_byte_offset:1\r\nrepl_backlog_histlen:0\r\n",
                id, offset);
}

// Whatever was answered on this connection is on a majority of disks.
void own_wait(struct connection *c, const struct call *call) {
    struct service_status status;
    int64_t replicas, timeout;
    if (!parse_number(call->argv[1], &replicas)) {
        reply_error(call->reply, "ERR value is not an integer or out of range");
    } else if (!parse_number(call->argv[2], &timeout)) {
        reply_error(call->reply, "ERR timeout is not an integer or out of range");
    } else if (timeout < 0) {
        reply_error(call->reply, "ERR timeout is negative");
    } else {
        service_status(c->instance->service, &status);
        reply_number(call->reply, status.voters / 2);
    }
}
