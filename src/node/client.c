// One client connection: bytes in to its protocol, bytes out through the keep-alive rule, and the bounds that hold it
// back.
//
//   A client is `held` (its bytes wait in `in`) while its protocol paused it, its attach is under way, too many of its
//   commands are under way, or too much of its output waits. A held client's socket is still read up to
//   CLIENT_INPUT_HELD_BYTES, so that its end is noticed. Nothing here runs inside a call of the protocol on the same
//   client: such calls leave a mark, and client_work does it later in the turn.
#include "base/assert.h"
#include "node/internal.h"

static const struct io_ops *ops_of(const struct client *client) {
    return client->service->io->ops;
}

static size_t output_waiting(const struct client *client) {
    return client->out.len + (client->conn == NULL ? 0 : ops_of(client)->conn_pending(client->conn));
}

static uint64_t pending_bytes_max(const struct client *client) {
    uint64_t max = client->service->node->options.client_pending_bytes_max;
    return max == 0 ? CLIENT_PENDING_BYTES_DEFAULT : max;
}

static bool must_hold(const struct client *client) {
    return client->paused || client->attach_tag != 0 || client->closing || client->over_budget ||
           client->service->pressed || client->pending_count >= CLIENT_PENDING_MAX ||
           client->pending_bytes > pending_bytes_max(client) || output_waiting(client) > CLIENT_OUTPUT_HOLD;
}

void client_want_work(struct client *client) {
    if (client->in_work) return;
    client->in_work = true;
    list_push_back(&client->service->work, &client->work);
}

void client_want_work_soon(struct client *client) {
    if (client->in_work) list_remove(&client->work);
    client->in_work = true;
    list_push_back(&client->service->urgent, &client->work);
}

// Something that holds clients went away; `held` says whether this one waits for it.
void client_released(struct client *client) {
    if (client->held && !must_hold(client)) client_want_work(client);
}

static void set_reading(struct client *client) {
    if (client->conn == NULL || client->lost || client->eof) return;
    bool want = !client->closing && !client->over_budget && (!client->held || client->in.len < CLIENT_INPUT_HELD_BYTES);
    if (want == client->reading) return;
    client->reading = want;
    if (want)
        ops_of(client)->conn_read_start(client->conn);
    else
        ops_of(client)->conn_read_stop(client->conn);
}

static size_t give(struct client *client, const uint8_t *data, size_t len) {
    size_t used = client->protocol->input(client->connection, data, len);
    ENSURE(used <= len);
    return used;
}

// Input that waited is given again: after a hold ended, or because there is more of it.
static void feed_kept(struct client *client) {
    if (client->in.len == 0) return;
    size_t used = give(client, client->in.data, client->in.len);
    writer_consume(&client->in, used);
    if (client->in.len == 0 && client->in.capacity > CLIENT_INPUT_KEPT_BYTES) writer_free(&client->in);
}

static void on_read(struct io_conn *conn, const uint8_t *data, size_t len) {
    struct client *client = io_conn_context(conn);
    struct service *service = client->service;
    service->clock_us = io_now_us(service->io);
    service->now_ms = service->clock_us / 1000;
    client->received += len;
    service->metrics.bytes_in += len;
    client_touch(client);
    if (client->closing) return;
    if (client->turn != service->turn) {
        client->turn = service->turn;
        client->turn_bytes = 0;
    }
    client->turn_bytes += len;
    client->held = must_hold(client);
    if (client->held || client->in.len > 0) {
        write_span(&client->in, bytes_of(data, len));
        if (!client->held) feed_kept(client);
    } else {
        size_t used = give(client, data, len);
        if (used < len) write_span(&client->in, bytes_of(data + used, len - used));
    }
    if (client->turn_bytes > CLIENT_INPUT_TURN_BYTES && !client->over_budget) {
        client->over_budget = true; // goes on next turn
        client_want_work(client);
    }
    client->held = must_hold(client);
    set_reading(client);
}

static void on_closed(struct io_conn *conn, int error) {
    struct client *client = io_conn_context(conn);
    if (error == 0) {
        client->eof = true; // `echo ruok | nc`: what was asked before the end is still answered
    } else {
        client->lost = client->closing = true;
    }
    client_want_work(client);
}

static void on_drained(struct io_conn *conn) {
    client_want_work(io_conn_context(conn));
}

static const struct io_conn_handler client_handler = {.read = on_read, .closed = on_closed, .drained = on_drained};

static struct client *client_new(struct service *service, const struct protocol *protocol) {
    struct client *client = mem_zalloc(sizeof *client);
    client->service = service;
    client->protocol = protocol;
    client->next_tag = 1;
    client->opened_unix_ms = io_unix_ms(service->io);
    client->activity_ms = service->now_ms;
    list_init(&client->work);
    list_init(&client->bound_link);
    list_init(&client->talking);
    list_init(&client->reads);
    list_push_back(&service->clients, &client->all);
    return client;
}

struct client *service_client_open(struct service *service, const struct protocol *protocol, void *connection) {
    if (service->ended || service->node->dead || (service->status.diverged && !protocol->outside_state)) return NULL;
    service->now_ms = io_now_ms(service->io);
    struct client *client = client_new(service, protocol);
    client->connection = connection;
    return client;
}

void client_accepted(struct io_listener *listener, struct io_conn *conn, void *context) {
    struct door *door = context;
    struct service *service = door->service;
    service->now_ms = io_now_ms(service->io);
    bool untrue = service->status.diverged && !door->instance->protocol->outside_state;
    if (service->ended || untrue || service->node->dead) {
        service->io->ops->conn_close(conn, false);
        return;
    }
    struct client *client = client_new(service, door->instance->protocol);
    client->door = door;
    client->conn = conn;
    client->reading = true;
    door->connections++;
    door->instance->connections++;
    service->metrics.connections_opened++;
    service->metrics.connections_open++;
    // The context is there before the protocol may ask for anything.
    service->io->ops->conn_start(conn, &client_handler, client, CLIENT_OUTPUT_LOW);
    ENSURE(io_conn_context(conn) == client);
    client->connection = client->protocol->open(door->instance->state, client);
}

// ---- output

static void flush(struct client *client) {
    if (client->conn == NULL || client->lost || client->out.len == 0) return;
    struct service *service = client->service;
    client->gated = !sessions_gate_open(client, service->now_ms);
    if (client->gated) return; // tried again when a keep-alive is acknowledged
    if (ops_of(client)->conn_pending(client->conn) > CLIENT_OUTPUT_HOLD) return; // on_drained
    ops_of(client)->conn_write(client->conn, client->out.data, client->out.len);
    client->sent_bytes += client->out.len;
    service->metrics.bytes_out += client->out.len;
    if (client->out.capacity > OUTPUT_KEEP_BYTES)
        writer_free(&client->out);
    else
        writer_clear(&client->out);
}

void client_end(struct client *client) {
    ENSURE(!client->gone);
    struct service *service = client->service;
    list_remove(&client->work);
    client->in_work = false;
    client->closing = true;
    bool gate = sessions_gate_open(client, service->now_ms);
    bool rest = client->conn != NULL && !client->lost && client->close_flush && gate;
    if (rest && client->out.len > 0) {
        ops_of(client)->conn_write(client->conn, client->out.data, client->out.len);
        client->sent_bytes += client->out.len;
    }
    if (client->conn != NULL) ops_of(client)->conn_close(client->conn, rest);
    client->conn = NULL;
    client->gone = true;
    reads_drop(client);
    if (client->attach_core_tag != 0) service_withdraw(service, client->attach_core_tag);
    sessions_unbind(client);
    client->protocol->close(client->connection);
    client->connection = NULL;
    if (client->door != NULL) {
        client->door->connections--;
        client->door->instance->connections--;
        service->metrics.connections_open--;
    }
    writer_free(&client->in);
    writer_free(&client->out);
    writer_free(&client->attach_command);
    list_remove(&client->all);
    if (client->pending_count == 0) client_forget(client);
}

// The last command of a client that is gone was answered.
void client_forget(struct client *client) {
    ENSURE(client->gone && client->pending_count == 0);
    mem_free(client);
}

// Nothing that was asked waits for its answer.
static bool is_quiet(const struct client *client) {
    const struct protocol *protocol = client->protocol;
    return client->pending_count == 0 && list_empty(&client->reads) &&
           (protocol->owes == NULL || !protocol->owes(client->connection));
}

void client_work(struct client *client) {
    ENSURE(!client->in_work && !client->gone);
    if (client->closing) {
        client_end(client);
        return;
    }
    if (client->turn != client->service->turn) {
        client->turn = client->service->turn;
        client->turn_bytes = 0;
        client->over_budget = false;
    } else if (client->over_budget) {
        client_want_work(client);
    }
    flush(client);
    client->held = must_hold(client);
    if (!client->held) {
        feed_kept(client);
        client->held = must_hold(client);
        flush(client);
    }
    if (output_waiting(client) > CLIENT_OUTPUT_MAX) {
        LOG_WARN(client->service->log, "client closed: it does not read its output bytes=%zu", output_waiting(client));
        client_close(client, false);
    }
    if (client->eof && is_quiet(client)) client_close(client, true);
    set_reading(client);
}

void client_reply(struct client *client, uint64_t tag, const struct result *result) {
    if (client->connection == NULL) return;
    client->protocol->reply(client->connection, tag, result);
}

// ---- what protocols call (protocol.h)

void client_write(struct client *client, const void *data, size_t len) {
    if (client->conn == NULL || len == 0) return;
    write_span(&client->out, bytes_of(data, len));
    client_want_work(client);
}

struct writer *client_output(struct client *client) {
    return &client->out;
}

void client_output_ready(struct client *client) {
    if (client->conn != NULL) client_want_work_soon(client);
}

size_t client_output_pending(const struct client *client) {
    return output_waiting(client);
}

void client_close(struct client *client, bool flush_first) {
    if (client->gone) return;
    client->closing = true;
    client->close_flush = client->close_flush || flush_first;
    client_want_work(client);
}

void client_pause(struct client *client) {
    client->paused = client->held = true;
}

void client_resume(struct client *client) {
    client->paused = false;
    if (client->conn != NULL) client_want_work(client);
}

void client_set_context(struct client *client, void *context) {
    client->connection = context;
}

uint64_t client_submit(struct client *client, struct bytes command) {
    uint64_t tag = client->next_tag++;
    service_submit(client->service, client, tag, command, false);
    return tag;
}

uint64_t client_session(const struct client *client) {
    return client->session;
}

uint64_t client_attach_number(const struct client *client) {
    return client->attach;
}

void client_touch(struct client *client) {
    sessions_touch(client);
}

uint64_t client_acked_ms(const struct client *client) {
    return client->acked_ms;
}

bool client_may_tell(const struct client *client) {
    return sessions_gate_open(client, client->service->now_ms);
}

void client_query(struct client *client, uint8_t model, const void *query, struct result *result) {
    service_query(client->service, model, query, result);
}

void client_info(const struct client *client, struct io_conn_info *info) {
    *info = (struct io_conn_info){0};
    if (client->conn != NULL) ops_of(client)->conn_info(client->conn, info);
}

uint64_t client_received(const struct client *client) {
    return client->received;
}

uint64_t client_sent(const struct client *client) {
    return client->sent_bytes;
}

uint64_t client_opened_unix_ms(const struct client *client) {
    return client->opened_unix_ms < 0 ? 0 : (uint64_t)client->opened_unix_ms;
}

bool client_secure(const struct client *client) {
    return client->door != NULL && client->door->secure;
}
