// The service loop: mails in, commands applied, clients served. One turn:
//
//   sockets were read -> protocols submitted commands and reads
//   1. what was submitted leaves for the replication loop (first, so that it works beside us)
//   2. committed batches are applied, within a budget; own results become replies
//   3. reads whose index is applied run; clients are fed, flushed, closed, at most WORK_PER_TURN
//   4. what (2) and (3) submitted leaves; what was applied is reported; keep-alives, when due
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "node/internal.h"

static void wake_self(struct service *service) {
    service->io->ops->wake_signal(&service->node->to_service.wake);
}

// ---- commands out

static uint64_t next_tag(const struct service *service) {
    return service->pending_first + service->pending.count;
}

static struct pending *pending_at(const struct service *service, uint64_t tag) {
    ENSURE(tag >= service->pending_first && tag < next_tag(service));
    return ring_at(&service->pending, (size_t)(tag - service->pending_first));
}

void service_submit(struct service *service, struct client *client, uint64_t tag, struct bytes command, bool attach) {
    if (client->gone || service->ended) return;
    uint8_t model = command.len > 0 ? command.data[0] : 0;
    if (service->submit_count == 0) service->submit_first = next_tag(service);
    uint64_t core_tag = next_tag(service);
    struct pending *p = ring_push(&service->pending);
    *p = (struct pending){.client = client,
                          .tag = tag,
                          .submitted_us = service->clock_us,
                          .attach = attach,
                          .model = model,
                          .op = command.len > 1 ? command.data[1] : 0};
    size_t at = service->submit.len;
    if (service->submit.data == NULL)
        writer_reserve(&service->submit, service->submit_before); // as the last, not bit by bit
    writer_extend(&service->submit, 4);
    if (command.len > COMMAND_BYTES_MAX) // a void keeps its place in the order
        group_write_void(&service->submit, COMMAND_TOO_LARGE);
    else if (machine_apply_level(service->machine) < model_min_apply_level(model)) // levels only rise
        group_write_void(&service->submit, COMMAND_LEVEL);
    else
        write_span(&service->submit, command);
    size_t len = service->submit.len - at - 4;
    put_u32_le(service->submit.data + at, (uint32_t)len);
    p->bytes = (uint32_t)len;
    service->submit_count++;
    service->metrics.commands++;

    if (client->last_pending != 0)
        pending_at(service, client->last_pending)->next_of_client = core_tag;
    else
        client->first_pending = core_tag;
    client->last_pending = core_tag;
    if (attach) client->attach_core_tag = core_tag;
    client->pending_count++;
    client->pending_bytes += len;
    service->pending_bytes += len;
    if (service->pending_bytes > SERVICE_PENDING_BYTES_MAX) service->pressed = true;
}

static void post_submitted(struct service *service) {
    struct postbox *to = &service->node->to_replication;
    if (service->submit_count > 0) {
        struct node_mail *mail = mail_new(MAIL_COMMANDS);
        mail->commands.first_tag = service->submit_first;
        mail->commands.count = service->submit_count;
        mail->commands.bytes = service->submit; // moved
        service->submit_before = service->submit.len;
        writer_init(&service->submit);
        service->submit_count = 0;
        mail_post(to, mail);
    }
    if (service->read_wanted) {
        service->read_wanted = false;
        service->read_round++;
        service->metrics.read_rounds++;
        struct node_mail *mail = mail_new(MAIL_READ);
        mail->read.round = service->read_round;
        mail_post(to, mail);
    }
}

// An attach whose socket has ended shall not take the session away from a connection that lives.
void service_withdraw(struct service *service, uint64_t core_tag) {
    if (service->ended) return;
    post_submitted(service);
    struct node_mail *mail = mail_new(MAIL_WITHDRAW);
    mail->refused.first_tag = core_tag;
    mail->refused.error = COMMAND_NOT_APPLIED;
    mail_post(&service->node->to_replication, mail);
}

// ---- results in

// The oldest pending command of a client is answered: unlinks it and gives the client its result.
static void answer(struct service *service, struct pending *p, uint64_t core_tag, const struct result *result) {
    struct client *client = p->client;
    ENSURE(!p->delivered && client->first_pending == core_tag);
    p->delivered = true;
    client->first_pending = p->next_of_client;
    if (client->first_pending == 0) client->last_pending = 0;
    ENSURE(client->pending_count > 0 && client->pending_bytes >= p->bytes);
    client->pending_count--;
    client->pending_bytes -= p->bytes;
    service->pending_bytes -= p->bytes;
    if (client->gone) {
        if (client->pending_count == 0) client_forget(client);
        return;
    }
    uint64_t tag = p->tag;
    bool attach = p->attach; // p is not touched behind the protocol's call: it may submit, and the ring grow
    if (attach) client->attach_tag = client->attach_core_tag = 0;
    if (attach && result->error == 0) sessions_attached(client, result->value);
    client_reply(client, tag, result);
    if (!list_empty(&client->reads)) reads_after(service, client);
    client_released(client);
    if (client->eof) client_want_work(client);
}

// What this client was refused is told as soon as nothing of it stands before.
static void answer_refused(struct service *service, struct client *client) {
    while (client->first_pending != 0) {
        uint64_t core_tag = client->first_pending;
        struct pending *p = pending_at(service, core_tag);
        if (p->refused == 0) return;
        struct result result = {.error = p->refused, .model = p->model, .op = p->op};
        bool last = client->gone && client->pending_count == 1;
        service->metrics.refused++;
        answer(service, p, core_tag, &result);
        if (last) return; // the client is freed
    }
}

static void pop_delivered(struct service *service) {
    struct pending *p;
    while ((p = ring_front(&service->pending)) != NULL && p->delivered) {
        ring_pop(&service->pending);
        service->pending_first++;
    }
    if (service->pressed && service->pending_bytes < SERVICE_PENDING_BYTES_MAX / 2) {
        service->pressed = false;
        for (struct list *at = service->clients.next; at != &service->clients; at = at->next)
            client_released(CONTAINER_OF(at, struct client, all));
    }
}

static void on_refused(struct service *service, uint64_t first_tag, uint64_t count, int error) {
    ENSURE(error != 0);
    for (uint64_t tag = first_tag; tag < first_tag + count; tag++) {
        if (tag < service->pending_first) continue; // answered when a snapshot was installed
        struct pending *p = pending_at(service, tag);
        if (p->delivered) continue;
        p->refused = error;
        answer_refused(service, p->client);
    }
    pop_delivered(service);
}

static void sink_before_own(void *context, uint64_t seq) {
    struct service *service = context;
    if (seq == 1) return; // the stream's opening, which core made
    struct pending *p = ring_front(&service->pending);
    ENSURE(p != NULL && p->refused == 0);
    if (!list_empty(&p->client->reads)) reads_before(service, p->client, service->pending_first);
}

static void sink_own(void *context, uint64_t seq, const struct result *result) {
    struct service *service = context;
    if (seq == 1) return;
    struct pending *p = ring_front(&service->pending);
    ENSURE(p != NULL && !p->delivered && p->refused == 0);
    uint64_t now_us = service->clock_us;
    histogram_add(&service->metrics.commit_us, now_us > p->submitted_us ? now_us - p->submitted_us : 0);
    struct client *client = p->client;
    bool last = client->gone && client->pending_count == 1;
    struct result own = *result;
    if (own.model == MODEL_GROUP) { // a number that was voided: the protocol asked for something else
        own.model = p->model;
        own.op = p->op;
    }
    answer(service, p, service->pending_first, &own);
    if (!last) answer_refused(service, client);
    pop_delivered(service);
}

static void sink_event(void *context, uint8_t model, const void *event) {
    struct service *service = context;
    if (model == MODEL_LEASE) {
        const struct lease_event *lease = event;
        if (service->applied.lease_count == service->lease_capacity) {
            service->lease_capacity = service->lease_capacity == 0 ? 16 : service->lease_capacity * 2;
            service->applied.leases = mem_realloc((void *)(uintptr_t)service->applied.leases,
                                                  service->lease_capacity * sizeof *service->applied.leases);
        }
        ((struct lease_event *)(uintptr_t)service->applied.leases)[service->applied.lease_count++] = *lease;
        sessions_event(service, lease);
    }
    if (model == MODEL_REGISTRY) checks_event(service, event);
    for (size_t i = 0; i < service->instance_count; i++) {
        const struct instance *instance = &service->instances[i];
        if (instance->protocol->event != NULL) instance->protocol->event(instance->state, model, event);
    }
}

static void sink_stream(void *context, uint32_t member, uint64_t boot, uint64_t last_seq) {
    struct service *service = context;
    for (size_t i = 0; i < service->streams_moved_count; i++)
        if (service->streams_moved[i] == member) return;
    if (service->streams_moved_count < MEMBERS_MAX) service->streams_moved[service->streams_moved_count++] = member;
}

static void sink_stream_gone(void *context, uint32_t member, uint64_t boot) {
    struct service *service = context;
    if (member == service->node->options.id && boot == service->boot) service->applied.own_gone = boot;
}

const struct machine_sink *service_sink(struct service *service, struct machine_sink *sink) {
    *sink = (struct machine_sink){.before_own = sink_before_own,
                                  .own = sink_own,
                                  .event = sink_event,
                                  .stream = sink_stream,
                                  .stream_gone = sink_stream_gone,
                                  .context = service};
    return sink;
}

// ---- apply

static void apply_batches(struct service *service) {
    struct batch_ref *front;
    if (service->apply_queue.count == 0) return;
    uint64_t begin_us = io_now_us(service->io), now_us = begin_us;
    while ((front = ring_front(&service->apply_queue)) != NULL) {
        struct batch_ref batch = *front;
        ring_pop(&service->apply_queue);
        size_t bytes = batch.buf->len;
        char error[256];
        if (machine_apply(service->machine, &batch, error) != 0) {
            node_fatal(service->node, "cannot apply index %llu: %s", (unsigned long long)batch.first, error);
            batch_ref_release(&batch);
            return;
        }
        batch_ref_release(&batch);
        service->applied.bytes += bytes;
        service->bytes_since_snapshot += bytes;
        service->applied_any = true;
        service->clock_us = now_us = io_now_us(service->io);
        if (now_us - begin_us > APPLY_TURN_US || service->applied.own_gone != 0) break;
    }
    histogram_add(&service->metrics.apply_us, now_us - begin_us);
}

static void report_applied(struct service *service) {
    if (!service->applied_any) return;
    service->applied_any = false;
    const struct machine *machine = service->machine;
    struct core_applied *applied = &service->applied;
    applied->epoch = service->epoch;
    applied->index = machine_applied(machine);
    applied->term = machine_applied_term(machine);
    applied->log_time_ms = machine_log_time_ms(machine);
    applied->next_deadline_ms = machine_next_deadline_ms(machine);
    applied->unix_offset_ms = machine_unix_offset_ms(machine);
    applied->apply_level = machine_apply_level(machine);
    machine_settings(machine, applied->settings);
    const struct machine_sample *sample = machine_newest_sample(machine);
    if (sample != NULL) applied->sample = *sample;
    if (service->streams_moved_count > 0) {
        struct machine_stream all[256];
        size_t count = machine_streams(machine, all, 256), moved = 0;
        if (count > 256) count = 256;
        struct machine_stream *out = mem_alloc(service->streams_moved_count * sizeof *out);
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < service->streams_moved_count; j++)
                if (all[i].member == service->streams_moved[j]) out[moved++] = all[i];
        applied->streams = out;
        applied->stream_count = moved;
        service->streams_moved_count = 0;
    }
    struct node_mail *mail = mail_new(MAIL_APPLIED);
    mail->applied = *applied; // with its arrays
    *applied = (struct core_applied){0};
    service->lease_capacity = 0;
    mail_post(&service->node->to_replication, mail);
}

// Everything that is under way ends as `error` (unknown: a snapshot takes the log's place, or the node ends); what was
// never handed over, and what was refused, ends as that.
void service_fail_pending(struct service *service, int error) {
    uint64_t unposted = service->submit_count > 0 ? service->submit_first : UINT64_MAX;
    writer_free(&service->submit);
    service->submit_count = 0;
    while (service->pending.count > 0) {
        uint64_t core_tag = service->pending_first;
        struct pending *p = ring_front(&service->pending);
        if (!p->delivered) {
            int why = p->refused != 0 ? p->refused : core_tag >= unposted ? COMMAND_NOT_APPLIED : error;
            struct result result = {.error = why, .model = p->model, .op = p->op};
            answer(service, p, core_tag, &result);
        }
        ring_pop(&service->pending);
        service->pending_first++;
        // A protocol that submits on a reply is answered in this same walk: those were not handed over either.
        if (service->submit_count > 0) {
            if (service->submit_first < unposted) unposted = service->submit_first;
            writer_free(&service->submit);
            service->submit_count = 0;
        }
    }
}

// This node was removed. What it has under way goes nowhere, and core learns it ahead of the next command.
static void stream_gone(struct service *service) {
    LOG_INFO(service->log, "this node was removed from the members index=%llu",
             (unsigned long long)machine_applied(service->machine));
    service_fail_pending(service, COMMAND_UNKNOWN);
    report_applied(service);
}

// ---- mails

static void on_status(struct service *service, const struct core_status *status) {
    bool had = service->status.leader != 0;
    bool diverges = status->diverged && !service->status.diverged;
    service->status = *status;
    if (diverges) { // replication.md "Digests": what this node holds is wrong, so it says nothing more until it is
                    // rebuilt
        LOG_ERROR(service->log,
                  "this node's state differs from the majority's: clients are closed until it is rebuilt");
        for (struct list *at = service->clients.next; at != &service->clients; at = at->next) {
            struct client *client = CONTAINER_OF(at, struct client, all);
            if (!client->protocol->outside_state) client_close(client, false);
        }
    }
    if (had && status->leader == 0) service->no_leader_since_ms = service->now_ms;
    if (status->leader != 0) sessions_leader_known(service);
    reads_catch_up(service);
}

static void on_admin_done(struct service *service, const struct node_mail *mail) {
    for (struct list *at = service->admin_calls.next; at != &service->admin_calls; at = at->next) {
        struct admin_call *call = CONTAINER_OF(at, struct admin_call, link);
        if (call->request != mail->admin.request) continue;
        list_remove(&call->link);
        call->done(call->context, mail->admin.error, mail->admin.text == NULL ? "" : mail->admin.text);
        mem_free(call);
        return;
    }
}

static void end_all_clients(struct service *service) {
    while (!list_empty(&service->clients)) {
        struct client *client = CONTAINER_OF(service->clients.next, struct client, all);
        client->close_flush = true;
        client_end(client);
    }
}

static void on_end(struct service *service) {
    service->ended = true;
    service_fail_pending(service, COMMAND_UNKNOWN);
    reads_fail(service, NULL, COMMAND_NOT_APPLIED);
    end_all_clients(service);
    checks_free(service);
    taking_abandon(service);
    for (size_t i = 0; i < service->door_count; i++) {
        if (service->doors[i].listener != NULL) service->io->ops->listener_close(service->doors[i].listener);
        service->doors[i].listener = NULL;
    }
    for (size_t i = 0; i < service->instance_count; i++)
        service->instances[i].protocol->stop(service->instances[i].state);
    service->instance_count = 0;
    service->io->ops->timer_stop(service->io, &service->tick);
    while (!list_empty(&service->admin_calls)) {
        struct admin_call *call = CONTAINER_OF(service->admin_calls.next, struct admin_call, link);
        list_remove(&call->link);
        call->done(call->context, COMMAND_UNKNOWN, "the node ends");
        mem_free(call);
    }
    if (!service->node->one_loop) service->io->ops->set_turn_hook(service->io, NULL, NULL);
    service->io->ops->wake_close(&service->node->to_service.wake);
    service->node->to_service.open = false;
}

static void on_mail(struct service *service, struct node_mail *mail) {
    switch (mail->type) {
    case MAIL_APPLY:
        for (size_t i = 0; i < mail->apply.count; i++) {
            if (mail->apply.epoch != service->epoch) {
                batch_ref_release(&mail->apply.batches[i]); // of before an install
                continue;
            }
            *(struct batch_ref *)ring_push(&service->apply_queue) = mail->apply.batches[i];
        }
        mail->apply.count = 0;
        break;
    case MAIL_REFUSED:
        on_refused(service, mail->refused.first_tag, mail->refused.count, mail->refused.error);
        break;
    case MAIL_READ_READY:
        reads_ready(service, mail->read.round, mail->read.index, mail->read.error);
        break;
    case MAIL_KEEPALIVE_ACKED:
        sessions_acked(service, mail->keepalive.round, mail->keepalive.list, mail->keepalive.count);
        break;
    case MAIL_STATUS:
        on_status(service, &mail->status);
        break;
    case MAIL_INSTALL:
        taking_install(service, mail->snapshot.index, mail->snapshot.term, mail->snapshot.epoch);
        break;
    case MAIL_WANT_SNAPSHOT:
        service->take_wanted = true;
        break;
    case MAIL_ADMIN_DONE:
        on_admin_done(service, mail);
        break;
    case MAIL_BOOT:
        service->boot = mail->boot;
        machine_set_boot(service->machine, mail->boot);
        break;
    case MAIL_FORMED:
        memcpy(service->cluster_id, mail->formed.cluster_id, sizeof service->cluster_id);
        break;
    case MAIL_VIEW:
        mem_free(service->view);
        service->view = mail->view;
        mail->view = NULL;
        break;
    case MAIL_END:
        on_end(service);
        break;
    default:
        UNREACHABLE();
    }
}

// The last word to the replication loop: the node may be freed at once.
void service_farewell(struct service *service) {
    if (!service->ended || service->farewell || service->children > 0) return;
    service->farewell = true;
    mail_post(&service->node->to_replication, mail_new(MAIL_SERVICE_ENDED));
}

void service_mails(struct service *service) {
    service->now_ms = io_now_ms(service->io);
    struct mail *next = mailbox_take(&service->node->to_service.box);
    while (next != NULL) {
        struct node_mail *mail = CONTAINER_OF(next, struct node_mail, link);
        next = next->next;
        if (!service->ended && !service->node->dead) on_mail(service, mail);
        mail_free(mail);
    }
    service_farewell(service);
}

// ---- the turn

static size_t work_some(struct list *list, size_t most) {
    size_t done = 0;
    for (; done < most && !list_empty(list); done++) {
        struct client *client = CONTAINER_OF(list->next, struct client, work);
        list_remove(&client->work);
        client->in_work = false;
        client_work(client);
    }
    return done;
}

// Ten thousand watchers that are told of one change take several turns; a reply to a write does not wait for them.
static void work_clients(struct service *service) {
    size_t left = WORK_PER_TURN - work_some(&service->urgent, WORK_PER_TURN);
    work_some(&service->work, left > WORK_OF_CROWD ? left : WORK_OF_CROWD);
}

static void tick(struct service *service) {
    if (service->now_ms - service->last_tick_ms < TICK_MS) return;
    service->last_tick_ms = service->now_ms;
    sessions_tick(service);
    reads_tick(service);
    reads_catch_up(service);
    checks_tick(service);
    for (size_t i = 0; i < service->instance_count; i++) {
        const struct instance *instance = &service->instances[i];
        if (instance->protocol->tick != NULL) instance->protocol->tick(instance->state, service->now_ms);
    }
    service->keepalive_due = true;
    uint32_t dropped;
    if (service->metrics.connections_refused != service->refused_told &&
        log_limit_pass(&service->refused_log, 1, service->now_ms, &dropped)) {
        LOG_WARN(service->log,
                 "connections refused: more than max-connections or max-connections-per-host, or no file descriptor "
                 "left count=%llu",
                 (unsigned long long)(service->metrics.connections_refused - service->refused_told));
        service->refused_told = service->metrics.connections_refused;
    }
}

static void on_tick_timer(struct io_timer *timer) {
    struct service *service = timer->context;
    uint64_t now_us = io_now_us(service->io);
    uint64_t due_us = (service->last_tick_ms + TICK_MS) * 1000;
    if (service->last_tick_ms > 0 && now_us > due_us) histogram_add(&service->metrics.loop_lag_us, now_us - due_us);
    service->now_ms = now_us / 1000;
    service->io->ops->timer_start(service->io, &service->tick, TICK_MS * 1000);
}

void service_turn(struct service *service) {
    if (service->ended) return;
    service->clock_us = io_now_us(service->io);
    service->now_ms = service->clock_us / 1000;
    service->turn++;
    post_submitted(service);
    apply_batches(service);
    if (service->applied.own_gone != 0) stream_gone(service);
    reads_run(service);
    if (service->now_ms - service->last_tick_ms >= TICK_MS) tick(service);
    work_clients(service);
    post_submitted(service);
    report_applied(service);
    taking_consider(service);
    atomic_store_explicit(&service->node->service_turn_ms, service->now_ms, memory_order_release);
    if (service->keepalive_due) { // behind the stamp: this turn read its sockets
        service->keepalive_due = false;
        sessions_send_round(service);
    }
    if (!list_empty(&service->work) || !list_empty(&service->urgent) || service->apply_queue.count > 0)
        wake_self(service);
}

static void on_woken(struct io_wake *wake) {
    struct service *service = wake->context;
    service_mails(service);
}

// ---- life

static struct instance *instance_for(struct service *service, const struct node_listener *listener) {
    for (size_t i = 0; i < service->instance_count; i++)
        if (service->instances[i].protocol == listener->protocol) return &service->instances[i];
    if (service->instance_count == sizeof service->instances / sizeof service->instances[0]) return NULL;
    struct instance *instance = &service->instances[service->instance_count++];
    *instance = (struct instance){.protocol = listener->protocol};
    instance->settings = listener->settings;
    return instance;
}

bool service_init(struct service *service, struct node *node, char error[1024]) {
    const struct node_options *options = &node->options;
    service->node = node;
    service->io = options->service_io;
    service->log = node->log;
    list_init(&service->clients);
    list_init(&service->work);
    list_init(&service->urgent);
    list_init(&service->bound);
    list_init(&service->talking);
    list_init(&service->reads);
    list_init(&service->snapshot_calls);
    list_init(&service->admin_calls);
    ring_init(&service->pending, sizeof(struct pending));
    ring_init(&service->apply_queue, sizeof(struct batch_ref));
    sessions_init(service);
    service->pending_first = 1;
    service->epoch = 1; // core's first
    service->now_ms = service->start_ms = service->no_leader_since_ms = io_now_ms(service->io);
    int64_t unix_ms = io_unix_ms(service->io);
    service->start_unix_ms = unix_ms < 0 ? 0 : (uint64_t)unix_ms;
    mailbox_init(&node->to_service.box);
    node->to_service.wake = (struct io_wake){.woken = on_woken, .context = service, .io = service->io};
    int wake = service->io->ops->wake_init(service->io, &node->to_service.wake);
    if (wake != 0) {
        snprintf(error, 1024, "cannot make the service loop's wake-up: %s", strerror(-wake));
        return false;
    }
    node->to_service.open = true;
    return true;
}

// The sockets open before anything of the data is touched: a taken port changes nothing. Nobody is accepted until the
// loop runs.
bool service_open_doors(struct service *service, char error[1024]) {
    const struct node_options *options = &service->node->options;
    service->doors = mem_zalloc((options->listener_count + 1) * sizeof *service->doors);
    for (size_t i = 0; i < options->listener_count; i++) {
        const struct node_listener *from = &options->listeners[i];
        struct door *door = &service->doors[service->door_count];
        struct instance *instance = instance_for(service, from);
        if (instance == NULL) {
            snprintf(error, 1024, "too many protocols");
            return false;
        }
        *door = (struct door){.service = service, .instance = instance, .secure = from->tls != NULL};
        struct io_listen_options listen = {.tls = from->tls,
                                           .connections_max = from->connections_max,
                                           .per_host_max = from->per_host_max,
                                           .refused = &service->metrics.connections_refused};
        int e = service->io->ops->listen(service->io, from->address, &listen, client_accepted, door, &door->listener);
        if (e != 0) {
            snprintf(error, 1024, "cannot listen for %s on %s: %s (choose another with --%s ADDR, or --%s off)",
                     from->protocol->name, from->address, strerror(-e), from->protocol->name, from->protocol->name);
            return false;
        }
        service->door_count++;
    }
    return true;
}

// The machine has recovered.
void service_begin(struct service *service) {
    for (size_t i = 0; i < service->instance_count; i++) {
        struct instance *instance = &service->instances[i];
        instance->state = instance->protocol->start(service, instance->settings);
        instance->started = true;
    }
    service->tick = (struct io_timer){.fire = on_tick_timer, .context = service};
    service->io->ops->timer_start(service->io, &service->tick, TICK_MS * 1000);
}

// Frees what is left. Also of a node that never ended in order (a failed start, a simulated crash).
void service_free(struct service *service) {
    if (service->node == NULL) return;
    if (!service->ended && service->node->to_service.open) {
        service->ended = true;
        service->io->ops->set_turn_hook(service->io, NULL, NULL);
        service_fail_pending(service, COMMAND_UNKNOWN);
        reads_fail(service, NULL, COMMAND_NOT_APPLIED);
        end_all_clients(service);
        checks_free(service);
        taking_abandon(service);
        for (size_t i = 0; i < service->door_count; i++)
            if (service->doors[i].listener != NULL) service->io->ops->listener_close(service->doors[i].listener);
        for (size_t i = 0; i < service->instance_count; i++)
            if (service->instances[i].started) service->instances[i].protocol->stop(service->instances[i].state);
        service->io->ops->timer_stop(service->io, &service->tick);
        service->io->ops->wake_close(&service->node->to_service.wake);
        service->node->to_service.open = false;
    }
    while (!list_empty(&service->admin_calls)) { // nobody is left to be told
        struct admin_call *call = CONTAINER_OF(service->admin_calls.next, struct admin_call, link);
        list_remove(&call->link);
        mem_free(call);
    }
    struct mail *next = mailbox_take(&service->node->to_service.box);
    while (next != NULL) {
        struct node_mail *mail = CONTAINER_OF(next, struct node_mail, link);
        next = next->next;
        mail_free(mail);
    }
    struct batch_ref *batch;
    while ((batch = ring_front(&service->apply_queue)) != NULL) {
        batch_ref_release(batch);
        ring_pop(&service->apply_queue);
    }
    ring_free(&service->apply_queue);
    ring_free(&service->pending);
    writer_free(&service->submit);
    applied_free(&service->applied);
    sessions_free(service);
    mem_free(service->view);
    mem_free(service->doors);
    if (service->machine != NULL) machine_free(service->machine);
    service->machine = NULL;
}
