// A node's life: the options copied, recovery, the two loops wired, and the orderly end:
//
//   node_stop -> replication: core_stop (leadership handed over) -> service: clients closed, doors closed
//             -> replication: links, journal, folder closed -> stopped()
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "node/internal.h"

static void copy_options(struct node *node, const struct node_options *options) {
    node->options = *options;
    struct node_options *own = &node->options;
    if (own->id == 0) own->id = 1;
    own->data_folder = mem_strdup(options->data_folder);
    own->peer_address = options->peer_address == NULL ? NULL : mem_strdup(options->peer_address);
    own->peer_advertise = options->peer_advertise == NULL ? NULL : mem_strdup(options->peer_advertise);
    node->cluster = mem_zalloc((options->cluster_count + 1) * sizeof *node->cluster);
    if (options->cluster_count > 0)
        memcpy(node->cluster, options->cluster, options->cluster_count * sizeof *node->cluster);
    own->cluster = node->cluster;
    struct node_listener *listeners = mem_zalloc((options->listener_count + 1) * sizeof *listeners);
    for (size_t i = 0; i < options->listener_count; i++) {
        listeners[i] = options->listeners[i];
        listeners[i].address = mem_strdup(listeners[i].address);
        if (listeners[i].advertise != NULL) listeners[i].advertise = mem_strdup(listeners[i].advertise);
    }
    own->listeners = listeners;
}

static void free_options(struct node *node) {
    struct node_options *own = &node->options;
    for (size_t i = 0; i < own->listener_count; i++) {
        mem_free((char *)(uintptr_t)own->listeners[i].address);
        mem_free((char *)(uintptr_t)own->listeners[i].advertise);
    }
    mem_free((void *)(uintptr_t)own->listeners);
    mem_free((char *)(uintptr_t)own->data_folder);
    mem_free((char *)(uintptr_t)own->peer_address);
    mem_free((char *)(uintptr_t)own->peer_advertise);
    mem_free(node->cluster);
}

// What other nodes are told of where this one listens. A port of 0 is only known once it is open, so advertise real
// addresses then.
static void advertise(struct node *node) {
    const struct node_options *options = &node->options;
    char(*to)[ADDRESS_TEXT_MAX] = node->core_options.advertised;
    const char *peer = options->peer_advertise != NULL ? options->peer_advertise : options->peer_address;
    if (peer != NULL) snprintf(to[ADVERTISED_PEER], ADDRESS_TEXT_MAX, "%s", peer);
    for (size_t i = 0; i < options->listener_count; i++) {
        const struct node_listener *listener = &options->listeners[i];
        ENSURE(listener->advertised_as < ADVERTISED_COUNT);
        if (listener->tls != NULL && to[listener->advertised_as][0] != 0) continue; // the plain one is told
        snprintf(to[listener->advertised_as], ADDRESS_TEXT_MAX, "%s",
                 listener->advertise != NULL ? listener->advertise : listener->address);
    }
}

static void service_hook(void *context) {
    struct node *node = context;
    if (!node->dead) service_turn(&node->service);
}

static void replication_hook(void *context) {
    struct node *node = context;
    replication_turn(&node->replication);
}

static void both_hook(void *context) {
    struct node *node = context;
    if (!node->dead) service_turn(&node->service);
    replication_turn(&node->replication); // last: the node may be freed in it
}

// A new node that is alone forms its cluster before anybody can connect: the install of the empty state would close
// early clients. The loops do not run yet, so both halves' mails may be handled here.
static void form_alone(struct node *node) {
    if (core_formed(node->replication.core) || node->options.cluster_count > 1) return;
    core_tick(node->replication.core, io_now_ms(node->options.replication_io));
    service_mails(&node->service);
    replication_mails(&node->replication);
}

struct node *node_start(const struct node_options *options, char error[1024]) {
    ENSURE(options->service_io != NULL && options->replication_io != NULL);
    ENSURE(options->data_folder != NULL);
    error[0] = 0;
    struct node *node = mem_zalloc(sizeof *node);
    node->log = options->log;
    copy_options(node, options);
    node->one_loop = options->service_io == options->replication_io;
    pthread_mutex_init(&node->store_lock, NULL);
    advertise(node);
    char text[512] = "";
    replication_init(&node->replication, node);
    bool ok = service_init(&node->service, node, error);
    struct io *io = options->replication_io;
    if (ok) {
        int e = io->ops->wake_init(io, &node->to_replication.wake);
        ok = e == 0;
        node->to_replication.open = ok;
        if (!ok) snprintf(error, 1024, "cannot make the replication loop's wake-up: %s", strerror(-e));
    }
    if (ok && node->options.peer_address != NULL) {
        node->replication.links = links_new(&node->replication, text);
        ok = node->replication.links != NULL;
        if (!ok) snprintf(error, 1024, "%s", text);
    }
    ok = ok && service_open_doors(&node->service, error) && node_recover(node, error);
    if (!ok) {
        node_free(node);
        return NULL;
    }
    atomic_store(&node->service_turn_ms, io_now_ms(options->service_io));
    service_begin(&node->service);
    form_alone(node);
    replication_begin(&node->replication);
    if (node->one_loop) {
        io->ops->set_turn_hook(io, both_hook, node);
    } else {
        options->service_io->ops->set_turn_hook(options->service_io, service_hook, node);
        io->ops->set_turn_hook(io, replication_hook, node);
    }
    return node;
}

void node_stop(struct node *node, void (*stopped)(void *context), void *context) {
    if (atomic_exchange(&node->stop_asked, true)) return;
    node->stopped = stopped;
    node->stopped_context = context;
    mail_post(&node->to_replication, mail_new(MAIL_STOP));
}

void node_replication_done(struct node *node) {
    void (*stopped)(void *context) = node->stopped;
    void *context = node->stopped_context;
    LOG_INFO(node->log, "stopped id=%u", node->options.id);
    if (stopped != NULL) stopped(context); // may free the node
}

void node_free(struct node *node) {
    if (node == NULL) return;
    // The loops do not run any more, or never ran: what is open is closed here.
    service_free(&node->service);
    replication_free(&node->replication);
    pthread_mutex_destroy(&node->store_lock);
    free_options(node);
    mem_free(node);
}

void node_abandon(struct node *node) {
    node->abandoned = true;
    node_free(node);
}

void node_on_fatal(struct node *node, void (*fatal)(void *context, const char *text), void *context) {
    node->fatal = fatal;
    node->fatal_context = context;
}

bool node_disk_failed(const struct node *node) {
    return node->disk_failed;
}

void node_fatal(struct node *node, const char *format, ...) {
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (atomic_exchange(&node->dead, true)) return;
    LOG_ERROR(node->log, "this node cannot go on id=%u: %s", node->options.id, text);
    if (node->fatal != NULL) {
        node->fatal(node->fatal_context, text);
        return;
    }
    _exit(1); // not exit: the other loop still runs, and nothing may be written from half a state
}
