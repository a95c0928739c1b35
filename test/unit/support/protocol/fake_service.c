#include "test/unit/support/protocol/fake_service.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/prng.h"
#include <stdio.h>
#include <string.h>

struct service { // struct service * of the protocol is the fake itself
    int unused;
};
enum job_kind { JOB_COMMAND, JOB_ATTACH, JOB_READ };
struct job {
    enum job_kind kind;
    struct client *client;
    uint64_t tag;
    struct buf *bytes;
};

static struct fake *fake_of(struct service *service) {
    return (struct fake *)(void *)service;
}

int64_t fake_unix_ms(uint64_t index) {
    return 1600000000000 + (int64_t)index;
}

static void count_line(void *context, enum log_level level, const char *line) {
    ((struct fake *)context)->log_lines++;
}

static void emit(void *context, uint8_t model, const void *event) {
    struct fake *fake = context;
    if (model == MODEL_LEASE) { // as the node does it: who holds the session is asked to close
        const struct lease_event *lease = event;
        for (struct list *at = fake->clients.next; at != &fake->clients; at = at->next) {
            struct client *client = CONTAINER_OF(at, struct client, link);
            bool newer = lease->type == LEASE_EVENT_ENDED || client->attach < lease->lease.attach;
            if (client->without_socket && client->session == lease->lease.session && newer) client_close(client, true);
        }
    }
    if (fake->protocol->event) fake->protocol->event(fake->instance, model, event);
}

// NULL: the leases, which are not among `models`, or no model.
static const struct model_ops *model_of(uint8_t id) {
    return id == MODEL_LEASE ? NULL : model_table(id);
}

static void ended(void *context, struct apply *apply, uint64_t session) {
    struct fake *fake = context;
    for (uint8_t id = 0; id < MODEL_COUNT; id++)
        if (model_of(id) != NULL && model_of(id)->session_end != NULL)
            model_of(id)->session_end(fake->models[id], apply, session);
}

struct fake *fake_new(const struct protocol *protocol, const void *settings) {
    struct fake *fake = mem_zalloc(sizeof *fake);
    fake->protocol = protocol;
    fake->leases = lease_model.create();
    for (uint8_t id = 0; id < MODEL_COUNT; id++)
        if (model_of(id) != NULL) fake->models[id] = model_of(id)->create();
    lease_on_end(fake->leases, ended, fake);
    list_init(&fake->clients);
    ring_init(&fake->queue, sizeof(struct job));
    fake->applied = 1;
    fake->now_ms = 1000;
    fake->has_leader = fake->leading = true;
    fake->members = 1;
    fake->log = log_new(LOG_LEVEL_DEBUG, count_line, fake);
    fake->instance = protocol->start((struct service *)(void *)fake, settings);
    return fake;
}

static void close_now(struct client *client) {
    if (client->closed) return;
    client->closed = true;
    client->protocol->close(client->connection);
    client->connection = NULL;
}

void fake_free(struct fake *fake) {
    while (!list_empty(&fake->clients)) {
        struct client *client = CONTAINER_OF(fake->clients.next, struct client, link);
        close_now(client);
        list_remove(&client->link);
        writer_free(&client->input);
        writer_free(&client->output);
        mem_free(client);
    }
    for (size_t i = 0; i < fake->queue.count; i++) buf_unref(((struct job *)ring_at(&fake->queue, i))->bytes);
    ring_free(&fake->queue);
    fake->protocol->stop(fake->instance);
    for (uint8_t id = 0; id < MODEL_COUNT; id++)
        if (model_of(id) != NULL) model_of(id)->destroy(fake->models[id]);
    lease_model.destroy(fake->leases);
    log_free(fake->log);
    mem_free(fake);
}

struct client *fake_connect_tls(struct fake *fake, const char *remote, const char *subject) {
    struct client *client = mem_zalloc(sizeof *client);
    client->fake = fake;
    client->protocol = fake->protocol;
    snprintf(client->info.remote, sizeof client->info.remote, "%s", remote);
    snprintf(client->info.tls_subject, sizeof client->info.tls_subject, "%s", subject);
    client->info.tls = subject[0] != '\0';
    list_push_back(&fake->clients, &client->link);
    client->connection = fake->protocol->open(fake->instance, client);
    return client;
}

struct client *fake_connect(struct fake *fake, const char *remote) {
    return fake_connect_tls(fake, remote, "");
}

void fake_turn(struct fake *fake) {
    for (bool again = true; again;) {
        again = false;
        struct list *next;
        for (struct list *at = fake->clients.next; at != &fake->clients; at = next) {
            struct client *client = CONTAINER_OF(at, struct client, link);
            next = at->next;
            if (client->closing && !client->closed) {
                if (!client->flushed) writer_clear(&client->output);
                close_now(client);
            }
            if (client->closed || client->without_socket || client->paused || client->attaching ||
                client->input.len == 0)
                continue;
            // Exactly as long as it is, so that ASan sees a read behind it.
            uint8_t *copy = mem_alloc(client->input.len);
            memcpy(copy, client->input.data, client->input.len);
            size_t done = fake->protocol->input(client->connection, copy, client->input.len);
            ENSURE(done <= client->input.len);
            mem_free(copy);
            writer_consume(&client->input, done);
            if (done || client->closing) again = true;
        }
    }
}

void fake_send(struct client *client, const void *data, size_t len) {
    write_span(&client->input, bytes_of(data, len));
    fake_turn(client->fake);
}

void fake_disconnect(struct client *client) {
    close_now(client);
    fake_turn(client->fake);
}

static struct apply next_entry(struct fake *fake) {
    return (struct apply){.index = fake->applied + 1,
                          .log_time_ms = fake->now_ms,
                          .unix_ms = fake_unix_ms(fake->applied + 1),
                          .seed = fake->applied * 77,
                          .apply_level = 2,
                          .leases = fake->leases,
                          .emit = emit,
                          .emit_context = fake};
}

static void apply_command(struct fake *fake, struct bytes bytes, struct result *result) {
    struct apply apply = next_entry(fake);
    struct command command;
    ENSURE(command_read(&command, bytes));
    result->model = command.model;
    result->op = command.op;
    if (command.session != 0 && !(command.model == MODEL_LEASE && command.op == LEASE_ATTACH))
        result->error = lease_check(fake->leases, command.session, command.attach);
    if (!result->error && command.model == MODEL_LEASE)
        lease_model.apply(fake->leases, &apply, &command, result);
    else if (!result->error)
        model_of(command.model)->apply(fake->models[command.model], &apply, &command, result);
    fake->applied = apply.index;
}

bool fake_step_one(struct fake *fake) {
    if (fake->queue.count == 0) return false;
    struct job job = *(struct job *)ring_front(&fake->queue);
    ring_pop(&fake->queue);
    struct client *client = job.client;
    bool alive = !client->closed;
    if (job.kind == JOB_READ) {
        if (alive)
            client->protocol->read_ready(client->connection, job.tag, fake->has_leader ? 0 : COMMAND_NOT_APPLIED);
    } else {
        struct result result = {0};
        apply_command(fake, bytes_of(job.bytes->data, job.bytes->len), &result);
        if (job.kind == JOB_ATTACH && alive) {
            client->attaching = false;
            const struct lease_result *lease = result.value;
            if (!result.error) {
                struct list *next; // the node closes this session's older connection
                for (struct list *at = fake->clients.next; at != &fake->clients; at = next) {
                    struct client *other = CONTAINER_OF(at, struct client, link);
                    next = at->next;
                    if (other != client && other->session == lease->session && !other->closed)
                        client_close(other, false);
                }
                client->session = lease->session;
                client->attach = lease->attach;
                client->acked_ms = fake->now_ms;
            }
        }
        if (alive && !client->closed) client->protocol->reply(client->connection, job.tag, &result);
    }
    buf_unref(job.bytes);
    fake_turn(fake);
    return true;
}

void fake_forget_newest(struct fake *fake) {
    struct job *job = ring_back(&fake->queue);
    ENSURE(job != NULL);
    buf_unref(job->bytes);
    ring_pop_back(&fake->queue);
}

void fake_step(struct fake *fake) {
    while (fake_step_one(fake)) {
    }
    fake_turn(fake);
}

void fake_tick(struct fake *fake, uint64_t ms) {
    fake->now_ms += ms;
    fake->protocol->tick(fake->instance, fake->now_ms);
    fake_turn(fake);
}

void fake_expire(struct fake *fake, uint64_t session) {
    struct writer w = {0};
    struct result result = {0};
    const struct lease *lease = lease_find(fake->leases, session);
    ENSURE(lease != NULL);
    lease_write_expire(&w, session, lease->attach);
    apply_command(fake, bytes_of(w.data, w.len), &result);
    writer_free(&w);
    fake_turn(fake);
}

void fake_pass_time(struct fake *fake, uint64_t ms) {
    fake->now_ms += ms;
    struct apply apply = next_entry(fake);
    for (uint8_t id = MODEL_LOCK; id < MODEL_COUNT; id++)
        if (model_of(id) != NULL && model_of(id)->expire != NULL) model_of(id)->expire(fake->models[id], &apply, 1000);
    fake->applied = apply.index;
    fake_turn(fake);
}

void fake_move_session(struct fake *fake, uint64_t session) {
    struct writer w = {0};
    struct result result = {0};
    lease_write_attach(&w, session, lease_find(fake->leases, session)->password, 6000, LEASE_KIND_NATIVE, 2, 1);
    apply_command(fake, bytes_of(w.data, w.len), &result);
    writer_free(&w);
    fake_turn(fake);
}

void fake_acknowledge(struct fake *fake) {
    for (struct list *at = fake->clients.next; at != &fake->clients; at = at->next) {
        struct client *client = CONTAINER_OF(at, struct client, link);
        if (client->closed || client->session == 0 || client->protocol->kept_alive == NULL) continue;
        client->acked_ms = client->touched_ms;
        client->protocol->kept_alive(client->connection);
    }
    fake_turn(fake);
}

void fake_replace_state(struct fake *fake) {
    struct list *next;
    for (struct list *at = fake->clients.next; at != &fake->clients; at = next) {
        struct client *client = CONTAINER_OF(at, struct client, link);
        next = at->next;
        if (!client->protocol->outside_state) close_now(client);
    }
    if (fake->protocol->replaced != NULL) fake->protocol->replaced(fake->instance);
    fake_turn(fake);
}

// ---- node/protocol.h, the client's half

struct client *service_client_open(struct service *service, const struct protocol *protocol, void *connection) {
    struct client *client = mem_zalloc(sizeof *client);
    client->fake = fake_of(service);
    client->protocol = protocol;
    client->connection = connection;
    client->without_socket = true;
    list_push_back(&client->fake->clients, &client->link);
    return client;
}

void client_write(struct client *client, const void *data, size_t len) {
    ENSURE(!client->closed);
    write_span(&client->output, bytes_of(data, len));
}

struct writer *client_output(struct client *client) {
    ENSURE(!client->closed);
    return &client->output;
}

void client_output_ready(struct client *client) {
    ENSURE(!client->closed);
}

size_t client_output_pending(const struct client *client) {
    return client->reads_nothing ? client->output.len : 0;
}

void client_close(struct client *client, bool flush) {
    if (!client->closing) client->flushed = flush;
    client->closing = true;
}

void client_pause(struct client *client) {
    client->paused = true;
}
void client_resume(struct client *client) {
    client->paused = false;
}
void client_set_context(struct client *client, void *context) {
    client->connection = context;
}

static uint64_t push(struct client *client, enum job_kind kind, struct buf *bytes) {
    struct job *job = ring_push(&client->fake->queue);
    *job = (struct job){kind, client, ++client->fake->next_tag, bytes};
    if (kind != JOB_READ) client->fake->commands++;
    return job->tag;
}

uint64_t client_submit(struct client *client, struct bytes command) {
    return push(client, JOB_COMMAND, buf_copy(command.data, command.len));
}

uint64_t client_attach(struct client *client, uint64_t session, const uint8_t password[LEASE_PASSWORD_BYTES],
                       uint32_t timeout_ms, uint8_t kind) {
    struct writer w = {0};
    lease_write_attach(&w, session, password, timeout_ms, kind, 1, 1);
    client->attaching = true;
    uint64_t tag = push(client, JOB_ATTACH, buf_copy(w.data, w.len));
    writer_free(&w);
    return tag;
}

uint64_t client_session(const struct client *client) {
    return client->session;
}
uint64_t client_attach_number(const struct client *client) {
    return client->attach;
}
void client_touch(struct client *client) {
    client->touched_ms = client->fake->now_ms;
}
uint64_t client_acked_ms(const struct client *client) {
    return client->acked_ms;
}
bool client_may_tell(const struct client *client) {
    return !client->fake->silent;
}
uint64_t client_read_index(struct client *client) {
    return push(client, JOB_READ, buf_copy("", 0));
}

void client_query(struct client *client, uint8_t model, const void *query, struct result *result) {
    service_query((struct service *)(void *)client->fake, model, query, result);
}

void client_info(const struct client *client, struct io_conn_info *info) {
    *info = client->info;
}
uint64_t client_received(const struct client *client) {
    return client->received;
}
uint64_t client_sent(const struct client *client) {
    return client->sent;
}
uint64_t client_opened_unix_ms(const struct client *client) {
    return (uint64_t)fake_unix_ms(0);
}
bool client_secure(const struct client *client) {
    return client->info.tls;
}

// ---- the service's half

void service_status(struct service *service, struct service_status *status) {
    struct fake *fake = fake_of(service);
    *status = (struct service_status){.id = 1,
                                      .term = 1,
                                      .leader = fake->has_leader ? 1 : 0,
                                      .leading = fake->leading,
                                      .has_leader = fake->has_leader,
                                      .members = fake->members,
                                      .voters = fake->members,
                                      .synced_followers = fake->members - 1,
                                      .applied_index = fake->applied,
                                      .commit_index = fake->applied,
                                      .log_time_ms = fake->now_ms,
                                      .unix_ms = fake_unix_ms(fake->applied),
                                      .sessions = lease_count(fake->leases),
                                      .uptime_ms = fake->now_ms,
                                      .version = "0.1.0",
                                      .data_folder = "/tmp/fake"};
}

void service_reading(struct service *service, struct service_reading *reading) {
    const struct fake *fake = fake_of(service);
    *reading = (struct service_reading){.has_leader = fake->has_leader,
                                        .alone = fake->has_leader && fake->leading && fake->members == 1,
                                        .log_time_ms = fake->now_ms,
                                        .unix_ms = fake_unix_ms(fake->applied)};
}

size_t service_members(struct service *service, const char *protocol, struct service_member *out, size_t max) {
    size_t count = fake_of(service)->members < max ? fake_of(service)->members : max;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = (struct service_member){.id = i + 1, .voter = true, .self = i == 0, .leader = i == 0};
        snprintf(out[i].address, sizeof out[i].address, "127.0.0.1:%u", 7451 + i);
        snprintf(out[i].protocol_address, sizeof out[i].protocol_address, "127.0.0.1:%u", 2181 + i);
    }
    return count;
}

uint64_t service_applied(struct service *service) {
    return fake_of(service)->applied;
}
uint64_t service_now_ms(struct service *service) {
    return fake_of(service)->now_ms;
}
int64_t service_unix_ms(struct service *service) {
    return fake_unix_ms(fake_of(service)->applied);
}

void service_random(struct service *service, void *out, size_t len) {
    struct prng prng;
    prng_seed(&prng, ++fake_of(service)->random);
    for (size_t i = 0; i < len; i++) ((uint8_t *)out)[i] = (uint8_t)prng_next(&prng);
}

struct log *service_log(struct service *service) {
    return fake_of(service)->log;
}

void service_query(struct service *service, uint8_t model, const void *query, struct result *result) {
    struct fake *fake = fake_of(service);
    model_of(model)->query(fake->models[model], query, result);
}

uint64_t service_count(struct service *service, uint8_t model) {
    if (model == MODEL_LEASE) return lease_count(fake_of(service)->leases);
    return model_of(model)->count(fake_of(service)->models[model]);
}

struct digest service_digest(struct service *service, uint8_t model) {
    if (model == MODEL_LEASE) return lease_model.digest(fake_of(service)->leases);
    return model_of(model)->digest(fake_of(service)->models[model]);
}

uint64_t service_count_of_session(struct service *service, uint64_t session) {
    uint64_t count = 0;
    for (uint8_t id = 0; id < MODEL_COUNT; id++)
        if (model_of(id) != NULL && model_of(id)->count_of_session != NULL)
            count += model_of(id)->count_of_session(fake_of(service)->models[id], session);
    return count;
}

const struct lease *service_lease_next(struct service *service, uint64_t session) {
    return lease_next(fake_of(service)->leases, session);
}

void service_leases(struct service *service, void (*visit)(void *context, const struct lease *lease), void *context) {
    lease_each(fake_of(service)->leases, visit, context);
}

const struct lease *service_lease(struct service *service, uint64_t session) {
    return lease_find(fake_of(service)->leases, session);
}

void service_each_client(struct service *service, const struct protocol *protocol,
                         void (*visit)(void *context, void *connection, struct client *client), void *context) {
    struct fake *fake = fake_of(service);
    for (struct list *at = fake->clients.next; at != &fake->clients; at = at->next) {
        struct client *client = CONTAINER_OF(at, struct client, link);
        if (!client->closed) visit(context, client->connection, client);
    }
}
