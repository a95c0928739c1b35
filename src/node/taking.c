// Snapshots on the service loop: own ones are saved by a forked child, received ones are loaded into a fresh machine
// that takes the old one's place. One at a time.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/planted.h"
#include "node/internal.h"

struct taking {
    struct service *service;
    struct io_child child;
    struct snapshot_writer *writer;
    struct machine_cursor cursor;
    uint8_t *chunk; // SNAPSHOT_CHUNK_BYTES, made before the fork
    uint64_t index, term;
    struct list calls; // node_snapshot's that began before this one
    bool dropped;      //: nobody waits for it; only its child's end
    char path[4096];
};

// In the child, on the state as it was: no allocation, no lock.
static int save(void *context, io_append_fn append, void *out) {
    struct taking *taking = context;
    struct snapshot_sink sink = {.write = append, .context = out};
    int error = snapshot_writer_begin(taking->writer, &sink);
    while (error == 0) {
        uint8_t model = 0;
        size_t len =
            machine_save(taking->service->machine, &taking->cursor, &model, taking->chunk, SNAPSHOT_CHUNK_BYTES);
        if (len == 0) break;
        error = snapshot_writer_chunk(taking->writer, model, taking->chunk, len);
    }
    return error != 0 ? error : snapshot_writer_end(taking->writer);
}

// ---- own snapshots

static void finish_calls(struct list *calls, int error, uint64_t index) {
    while (!list_empty(calls)) {
        struct snapshot_call *call = CONTAINER_OF(calls->next, struct snapshot_call, link);
        list_remove(&call->link);
        call->done(call->context, error, index);
        mem_free(call);
    }
}

static void taking_free(struct taking *taking) {
    snapshot_writer_free(taking->writer);
    mem_free(taking->chunk);
    mem_free(taking);
}

static void finished(struct taking *taking, int error) {
    struct service *service = taking->service;
    struct node *node = service->node;
    ENSURE(taking->dropped || service->taking == taking);
    if (!taking->dropped) service->taking = NULL;
    if (taking->dropped && error == 0) error = -ECANCELED;
    pthread_mutex_lock(&node->store_lock);
    if (error == 0) error = snapshot_store_commit(node->store, taking->index, taking->term);
    if (error != 0) snapshot_store_abandon(node->store, taking->index, taking->term);
    pthread_mutex_unlock(&node->store_lock);
    if (error == 0) {
        LOG_INFO(service->log, "snapshot made index=%llu term=%llu", (unsigned long long)taking->index,
                 (unsigned long long)taking->term);
        service->snapshots++;
        service->metrics.snapshots_made++;
        struct node_mail *mail = mail_new(MAIL_SNAPSHOT_MADE);
        mail->snapshot.index = taking->index;
        mail->snapshot.term = taking->term;
        mail_post(&node->to_replication, mail);
    } else if (!taking->dropped) {
        LOG_ERROR(service->log, "snapshot failed index=%llu: %s", (unsigned long long)taking->index, strerror(-error));
    }
    finish_calls(&taking->calls, error, error == 0 ? taking->index : 0);
    taking_free(taking);
}

static void on_child_exited(struct io_child *child, int status) {
    // The child's exit code is its errno; a signal counts as an I/O error.
    struct service *service = ((struct taking *)child->context)->service;
    service->children--;
    finished(child->context, status == 0 ? 0 : status > 0 && status < 125 ? -status : -EIO);
    service_farewell(service);
}

bool taking_start(struct service *service) {
    const struct machine *machine = service->machine;
    struct node *node = service->node;
    if (service->taking != NULL || machine_applied(machine) == 0) return false;
    struct taking *taking = mem_zalloc(sizeof *taking);
    taking->service = service;
    taking->index = machine_applied(machine);
    taking->term = machine_applied_term(machine);
    taking->chunk = mem_alloc(SNAPSHOT_CHUNK_BYTES);
    list_init(&taking->calls);
    while (!list_empty(&service->snapshot_calls)) {
        struct list *call = service->snapshot_calls.next;
        list_remove(call);
        list_push_back(&taking->calls, call);
    }
    if (PLANTED(SNAPSHOT_INDEX_OFF_BY_ONE)) taking->index--;
    struct writer membership;
    writer_init(&membership);
    membership_encode(machine_membership(machine), &membership);
    struct snapshot_meta meta = {.index = taking->index,
                                 .term = taking->term,
                                 .log_time_ms = machine_log_time_ms(machine),
                                 .membership = bytes_of(membership.data, membership.len),
                                 .digest = machine_digest(machine)};
    memcpy(meta.cluster_id, service->cluster_id, sizeof meta.cluster_id);
    taking->writer = snapshot_writer_new(&meta);
    writer_free(&membership);
    pthread_mutex_lock(&node->store_lock);
    snapshot_store_temporary(node->store, taking->index, taking->term, taking->path);
    pthread_mutex_unlock(&node->store_lock);
    service->taking = taking;
    service->take_wanted = false;
    service->snapshot_index = taking->index;
    service->bytes_since_snapshot = 0;
    taking->child =
        (struct io_child){.exited = on_child_exited,
                          .context = taking,
                          .path = taking->path,
                          .rate_bytes = node->options.snapshot_rate_bytes == 0 ? SNAPSHOT_RATE_DEFAULT
                                                                               : node->options.snapshot_rate_bytes};
    service->children++;
    int error = service->io->ops->fork(service->io, &taking->child, save, taking);
    if (error != 0) {
        service->children--;
        finished(taking, error);
    }
    return true;
}

void taking_consider(struct service *service) {
    if (service->taking != NULL || service->ended) return;
    const struct node_options *options = &service->node->options;
    uint64_t entries =
        options->snapshot_every_entries == 0 ? SNAPSHOT_EVERY_ENTRIES_DEFAULT : options->snapshot_every_entries;
    uint64_t bytes = options->snapshot_every_bytes == 0 ? SNAPSHOT_EVERY_BYTES_DEFAULT : options->snapshot_every_bytes;
    uint64_t applied = machine_applied(service->machine);
    bool due = applied > service->snapshot_index &&
               (applied - service->snapshot_index >= entries || service->bytes_since_snapshot >= bytes);
    if (due || service->take_wanted || !list_empty(&service->snapshot_calls)) taking_start(service);
}

void taking_abandon(struct service *service) {
    finish_calls(&service->snapshot_calls, COMMAND_NOT_APPLIED, 0);
    struct taking *taking = service->taking;
    if (taking == NULL) return;
    service->taking = NULL;
    finish_calls(&taking->calls, COMMAND_NOT_APPLIED, 0);
    taking->dropped = true; // freed when its child has ended: the io still knows it
    service->io->ops->child_kill(&taking->child);
}

void node_snapshot(struct node *node, void (*done)(void *context, int error, uint64_t index), void *context) {
    struct snapshot_call *call = mem_zalloc(sizeof *call);
    call->done = done;
    call->context = context;
    list_push_back(&node->service.snapshot_calls, &call->link); // the next turn's taking_consider sees it
    node->service.io->ops->wake_signal(&node->to_service.wake);
}

// ---- received ones

void taking_install(struct service *service, uint64_t index, uint64_t term, uint64_t epoch) {
    struct node *node = service->node;
    LOG_INFO(service->log, "installing a received snapshot index=%llu term=%llu", (unsigned long long)index,
             (unsigned long long)term);
    // Clients first (replication.md "When a node closes or installs a snapshot"): nobody here is told anything from a
    // state that jumped.
    service_fail_pending(service, COMMAND_UNKNOWN);
    reads_fail(service, NULL, COMMAND_NOT_APPLIED);
    struct list *next;
    for (struct list *at = service->clients.next; at != &service->clients; at = next) {
        struct client *client = CONTAINER_OF(at, struct client, all);
        next = at->next;
        if (PLANTED(CLIENTS_KEPT_AT_INSTALL) || client->protocol->outside_state)
            continue; // HTTP: health, administration
        client->close_flush = true;
        client_end(client);
    }
    taking_abandon(service);
    struct batch_ref *batch;
    while ((batch = ring_front(&service->apply_queue)) != NULL) {
        batch_ref_release(batch);
        ring_pop(&service->apply_queue);
    }
    struct machine_sink sink;
    struct machine *fresh = node_machine_new(node, service->boot, service_sink(service, &sink));
    char error[512];
    if (node_load_snapshot(node, service->io, fresh, index, term, NULL, error) != 0) {
        node_fatal(node, "cannot load the received snapshot index=%llu: %s", (unsigned long long)index, error);
        machine_free(fresh);
        return;
    }
    machine_free(service->machine);
    service->machine = fresh;
    service->epoch = epoch;
    service->catch_up = CATCH_UP_UNKNOWN;
    service->snapshot_index = index;
    service->bytes_since_snapshot = 0;
    service->streams_moved_count = 0;
    applied_free(&service->applied);
    service->lease_capacity = 0;
    service->applied_any = false;
    service->metrics.snapshots_installed++;
    for (size_t i = 0; i < service->instance_count; i++)
        if (service->instances[i].protocol->replaced != NULL)
            service->instances[i].protocol->replaced(service->instances[i].state);
    struct node_mail *installed = mail_new(MAIL_INSTALLED);
    installed->snapshot.epoch = epoch;
    installed->snapshot.index = index;
    installed->snapshot.term = term;
    mail_post(&node->to_replication, installed);
    struct node_mail *all = mail_new(MAIL_APPLIED);
    applied_of_machine(fresh, &all->applied);
    all->applied.epoch = epoch;
    mail_post(&node->to_replication, all);
}
