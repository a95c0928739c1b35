// What status pages, metrics and protocols are told about this node; all on the service loop but view_send.
#include <string.h>

#include "base/assert.h"
#include "base/version.h"
#include "model/tree/tree.h"
#include "node/internal.h"

#define VIEW_EVERY_MS 500u

// Replication loop: the figures that only it has, twice a second.
void view_send(struct replication *replication, uint64_t now_ms) {
    if (replication->service_gone || now_ms - replication->last_view_ms < VIEW_EVERY_MS) return;
    replication->last_view_ms = now_ms;
    struct replication_view *view = mem_zalloc(sizeof *view);
    const struct raft_membership *members = core_membership(replication->core);
    for (uint32_t i = 0; i < members->count && view->peer_count < MEMBERS_MAX; i++) {
        uint32_t id = members->members[i].id;
        if (id == replication->node->options.id) continue;
        struct peer_view *peer = &view->peers[view->peer_count++];
        struct raft_progress progress;
        peer->id = id;
        peer->connected = replication->links != NULL && links_connected(replication->links, id);
        if (raft_progress(core_raft(replication->core), id, &progress)) peer->match = progress.match;
    }
    struct journal_stats stats;
    journal_stats(replication->journal, &stats);
    view->journal_bytes = stats.bytes;
    view->journal_writes = stats.writes;
    view->journal_disk_bytes = stats.disk_bytes;
    view->leader_changes = replication->leader_changes;
    if (stats.sync_us != NULL) view->fsync_us = *stats.sync_us;
    struct node_mail *mail = mail_new(MAIL_VIEW);
    mail->view = view;
    mail_post(&replication->node->to_service, mail);
}

struct service *node_service(struct node *node) {
    return &node->service;
}
struct machine *node_machine(struct node *node) {
    return node->service.machine;
}
struct core *node_core(struct node *node) {
    return node->replication.core;
}
bool node_ready(struct node *node) {
    struct service *service = &node->service;
    if (service->catch_up == CATCH_UP_GOAL && machine_applied(service->machine) >= service->catch_up_index)
        service->catch_up = CAUGHT_UP;
    return !service->ended && service->status.ready && !service->status.diverged && service->catch_up == CAUGHT_UP;
}

void node_get_view(struct node *node, struct node_view *view) {
    struct service *service = &node->service;
    const struct machine *machine = service->machine;
    const struct raft_membership *members = machine_membership(machine);
    *view = (struct node_view){.status = service->status,
                               .applied = machine_applied(machine),
                               .log_time_ms = machine_log_time_ms(machine),
                               .unix_ms = service_unix_ms(service),
                               .members = service->view_members};
    const struct machine_sample *sample = machine_newest_sample(machine);
    if (sample != NULL) {
        view->digest = sample->digest;
        view->digest_index = sample->index;
    }
    memcpy(view->cluster_id, service->cluster_id, sizeof view->cluster_id);
    view->apply_level = machine_apply_level(service->machine);
    for (uint32_t i = 0; i < members->count && i < MEMBERS_MAX; i++) {
        struct node_member *out = &service->view_members[view->member_count++];
        *out = (struct node_member){.member = members->members[i]};
        out->self = out->member.id == node->options.id;
        out->leader = out->member.id == service->status.leader;
        out->connected = out->self;
        out->match = out->self ? service->status.last_index : 0;
        for (size_t j = 0; service->view != NULL && j < service->view->peer_count; j++) {
            if (service->view->peers[j].id != out->member.id) continue;
            out->connected = service->view->peers[j].connected;
            out->match = service->view->peers[j].match;
        }
    }
}

void node_get_load(struct node *node, struct node_load *load) {
    struct service *service = &node->service;
    *load = (struct node_load){.commands = service->pending.count,
                               .command_bytes = service->pending_bytes,
                               .command_bytes_max = SERVICE_PENDING_BYTES_MAX,
                               .apply_bytes_max = 2 * APPLY_AHEAD_BYTES_DEFAULT};
    // One turn may pass the bound before the sockets are left alone.
    for (struct list *at = service->clients.next; at != &service->clients; at = at->next)
        load->command_bytes_max += CLIENT_INPUT_TURN_BYTES;
    for (struct list *at = service->reads.next; at != &service->reads; at = at->next) load->reads++;
    for (size_t i = 0; i < service->apply_queue.count; i++)
        load->apply_bytes += ((struct batch_ref *)ring_at(&service->apply_queue, i))->buf->len;
}

void node_get_metrics(struct node *node, struct node_metrics *metrics) {
    struct service *service = &node->service;
    *metrics = service->metrics;
    metrics->sessions = lease_count(machine_leases(service->machine));
    if (service->view == NULL) return;
    metrics->fsync_us = service->view->fsync_us;
    metrics->journal_bytes = service->view->journal_bytes;
    metrics->journal_writes = service->view->journal_writes;
    metrics->leader_changes = service->view->leader_changes;
}

void service_status(struct service *service, struct service_status *status) {
    const struct machine *machine = service->machine;
    const struct raft_membership *members = machine_membership(machine);
    const struct member *self = membership_find(members, service->node->options.id);
    *status = (struct service_status){.id = service->node->options.id,
                                      .term = service->status.term,
                                      .leader = service->status.leader,
                                      .leading = service->status.role == RAFT_LEADER,
                                      .has_leader = service->status.leader != 0,
                                      .learner = self != NULL && self->role == MEMBER_LEARNER,
                                      .observer = self != NULL && self->observer,
                                      .members = members->count,
                                      .voters = membership_voters(members),
                                      .synced_followers = service->status.synced_followers,
                                      .synced_observers = service->status.synced_observers,
                                      .applied_index = machine_applied(machine),
                                      .commit_index = service->status.commit,
                                      .log_time_ms = machine_log_time_ms(machine),
                                      .unix_ms = service_unix_ms(service),
                                      .sessions = lease_count(machine_leases(machine)),
                                      .start_unix_ms = service->start_unix_ms,
                                      .uptime_ms = service->now_ms - service->start_ms,
                                      .data_bytes_estimate = machine_memory(machine),
                                      .version = PARLEY_VERSION,
                                      .data_folder = service->node->options.data_folder,
                                      .connections = service->metrics.connections_open,
                                      .refused_connections = service->metrics.connections_refused,
                                      .received_bytes = service->metrics.bytes_in,
                                      .sent_bytes = service->metrics.bytes_out,
                                      .snapshots = service->snapshots,
                                      .last_snapshot_index = service->snapshot_index};
    if (service->view != NULL) {
        status->fsyncs = service->view->fsync_us.count;
        status->fsync_us = &service->view->fsync_us;
        status->journal_bytes = service->view->journal_disk_bytes;
    }
}

void service_reading(struct service *service, struct service_reading *reading) {
    const struct node *node = service->node;
    uint64_t applied_ms = machine_log_time_ms(service->machine);
    uint64_t heard_ms = atomic_load_explicit(&node->log_time_ms, memory_order_relaxed);
    int64_t offset = machine_unix_offset_ms(service->machine);
    uint64_t log_time_ms = heard_ms > applied_ms ? heard_ms : applied_ms;
    // A round of its own has shown that all of before this life is applied.
    bool alone = atomic_load(&node->alone) && service->catch_up == CAUGHT_UP;
    *reading =
        (struct service_reading){.has_leader = service->status.leader != 0,
                                 .alone = alone,
                                 .log_time_ms = log_time_ms,
                                 .unix_ms = offset == 0 ? io_unix_ms(service->io) : (int64_t)log_time_ms + offset};
}

static enum advertised advertised_for(const char *protocol) {
    static const struct {
        const char *name;
        enum advertised which;
    } table[] = {
        {"zookeeper", ADVERTISED_ZOOKEEPER}, {"etcd", ADVERTISED_ETCD}, {"redis", ADVERTISED_REDIS},
        {"memcached", ADVERTISED_MEMCACHED}, {"http", ADVERTISED_HTTP},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, protocol) == 0) return table[i].which;
    return ADVERTISED_PEER;
}

size_t service_members(struct service *service, const char *protocol, struct service_member *out, size_t max) {
    const struct raft_membership *members = machine_membership(service->machine);
    enum advertised which = advertised_for(protocol);
    size_t count = 0;
    for (uint32_t i = 0; i < members->count && count < max; i++) {
        const struct member *member = &members->members[i];
        struct service_member *to = &out[count++];
        *to = (struct service_member){.id = member->id,
                                      .voter = member->role != MEMBER_LEARNER,
                                      .self = member->id == service->node->options.id,
                                      .leader = member->id == service->status.leader};
        memcpy(to->address, member->address[ADVERTISED_PEER], sizeof to->address);
        memcpy(to->protocol_address, member->address[which], sizeof to->protocol_address);
    }
    return count;
}

uint64_t service_applied(struct service *service) {
    return machine_applied(service->machine);
}
uint64_t service_now_ms(struct service *service) {
    return service->now_ms;
}
// The group's Unix time, which never goes back; before there is one, the wall clock.
int64_t service_unix_ms(struct service *service) {
    int64_t offset = machine_unix_offset_ms(service->machine);
    if (offset == 0) return io_unix_ms(service->io);
    return (int64_t)machine_log_time_ms(service->machine) + offset;
}
void service_random(struct service *service, void *out, size_t len) {
    service->io->ops->random(service->io, out, len);
}
struct log *service_log(struct service *service) {
    return service->log;
}
void service_query(struct service *service, uint8_t model, const void *query, struct result *result) {
    service->metrics.queries++;
    machine_query(service->machine, model, query, result);
}
uint64_t service_count(struct service *service, uint8_t model) {
    return machine_count(service->machine, model);
}
struct digest service_digest(struct service *service, uint8_t model) {
    return machine_model_digest(service->machine, model);
}
uint64_t service_count_of_session(struct service *service, uint64_t session) {
    uint64_t count = 0;
    for (uint8_t model = 0; model < MODEL_COUNT; model++)
        count += machine_count_of_session(service->machine, model, session);
    return count;
}
const struct lease *service_lease_next(struct service *service, uint64_t session) {
    return lease_next(machine_leases(service->machine), session);
}
void service_leases(struct service *service, void (*visit)(void *context, const struct lease *lease), void *context) {
    lease_each(machine_leases(service->machine), visit, context);
}
const struct lease *service_lease(struct service *service, uint64_t session) {
    return lease_find(machine_leases(service->machine), session);
}
void service_each_client(struct service *service, const struct protocol *protocol,
                         void (*visit)(void *context, void *connection, struct client *client), void *context) {
    struct list *at = service->clients.next;
    while (at != &service->clients) {
        struct client *client = CONTAINER_OF(at, struct client, all);
        at = at->next;
        if (client->protocol == protocol) visit(context, client->connection, client);
    }
}

void node_admin(struct node *node, enum core_admin what, uint32_t member, const char *address,
                void (*done)(void *context, int error, const char *text), void *context) {
    struct service *service = &node->service;
    struct admin_call *call = mem_zalloc(sizeof *call);
    call->request = ++service->admin_next; // 0 is the orderly end's
    call->done = done;
    call->context = context;
    list_push_back(&service->admin_calls, &call->link);
    struct node_mail *mail = mail_new(MAIL_ADMIN);
    mail->admin.request = call->request;
    mail->admin.what = what;
    mail->admin.member = member;
    mail->admin.text = address == NULL ? NULL : mem_strdup(address);
    mail_post(&node->to_replication, mail);
}
