// Clients: connecting, taking a session up again at another server, framing, dying. What they ask and check is in
// client_ops.c.
#include "sim/client.h"

#include <stdio.h>

#define TICK_US 20000u

static void connect_somewhere(struct sim_client *client);

static const struct io_ops *ops(const struct sim_client *client) {
    return client->loop->io.ops;
}

static uint64_t now_us(const struct sim_client *client) {
    return client->sim->world.now_us;
}

static void drop_connection(struct sim_client *client) {
    if (client->connecting != NULL) ops(client)->connect_cancel(&client->loop->io, client->connecting);
    client->connecting = NULL;
    if (client->conn != NULL) ops(client)->conn_close(client->conn, false);
    client->conn = NULL;
    if (client->word_connecting != NULL) ops(client)->connect_cancel(&client->loop->io, client->word_connecting);
    client->word_connecting = NULL;
    if (client->word != NULL) ops(client)->conn_close(client->word, false);
    client->word = NULL;
    client->sim->unknown_operations += client->pending.count;
    for (struct op *op; (op = ring_front(&client->pending)) != NULL; ring_pop(&client->pending)) mem_free(op->body);
    writer_clear(&client->in);
    watches_dropped(client);
    if (client->attached)
        for (size_t i = 0; i < work_count; i++)
            if (works[i].lost != NULL) works[i].lost(client, false);
    client->attached = client->read_only = client->broken = false;
    client->auth_left = 0;
    client->deaf_until_us = 0;
    if (client->passing) client_session_over(client); // no server but that one knows it
}

void client_session_over(struct sim_client *client) {
    for (size_t i = 0; i < LOCKS_MAX; i++) client->locks[i].held = false;
    client->watch_count = 0;
    client->session = client->shown = 0;
    client->last_zxid = 0;
    client->closing = client->passing = client->set_up = false;
    client->setup_step = 0;
    for (size_t i = 0; i < work_count; i++)
        if (works[i].lost != NULL) works[i].lost(client, true);
}

// The old connection stays open for a while, as one whose client has forgotten it: its server has to close it.
static void leave_open(struct sim_client *client) {
    if (client->conn == NULL || client->left != NULL || world_draw(&client->sim->world, PRNG_CLIENT, 2) == 0) return;
    client->left = client->conn;
    client->conn = NULL;
}

void client_move(struct sim_client *client) {
    leave_open(client);
    drop_connection(client);
    client->next_op_us = now_us(client);
}

static void again(struct sim_client *client) {
    drop_connection(client);
    if (client->closing)
        client_session_over(client); // the answer to closeSession is lost: either way it does not use it any more
    client->next_op_us = now_us(client) + 1000 + world_draw(&client->sim->world, PRNG_CLIENT, 100000);
}

// ---- frames

static void on_connect_answer(struct sim_client *client, struct reader *r) {
    struct sim *sim = client->sim;
    jute_read_int(r);
    int32_t timeout_ms = jute_read_int(r);
    uint64_t shown = read_u64_be(r);
    struct bytes password = jute_read_data(r);
    bool read_only = read_u8(r);
    if (r->failed || password.len != 16) {
        world_fail(&sim->world, "client %u: a broken answer to connect", client->number);
        return;
    }
    if (timeout_ms <= 0) {
        struct history_session *session = history_session(&sim->history, client->session);
        if (client->session == 0) {
            world_fail(&sim->world, "client %u asked for a new session and was told that it has expired",
                       client->number);
        } else if (session == NULL || session->ended_index == 0) {
            world_fail(&sim->world, "client %u was told that session %llx has expired, but it lives", client->number,
                       (unsigned long long)client->session);
        }
        world_trace_line(&sim->world, "c%u session %llx has expired", client->number,
                         (unsigned long long)client->session);
        client_session_over(client);
        again(client);
        return;
    }
    uint64_t session = shown & 0x00ffffffffffffffull;
    if (client->session != 0 && session != client->session)
        world_fail(&sim->world, "client %u asked for session %llx and got %llx", client->number,
                   (unsigned long long)client->session, (unsigned long long)session);
    client->read_only = read_only;
    client->passing = read_only && client->session == 0;
    if (client->session == 0) sim->sessions_opened++;
    if (read_only) // whoever is served so cannot know whether it still owns anything
        for (size_t i = 0; i < LOCKS_MAX; i++) client->locks[i].held = false;
    client->session = session;
    client->shown = shown;
    client->timeout_ms = (uint32_t)timeout_ms;
    memcpy(client->password, password.data, 16);
    client->attached = true;
    client->write_zxid = 0;
    world_trace_line(&sim->world, "c%u attached %llx at n%u%s", client->number, (unsigned long long)session,
                     client->server + 1, read_only ? " (read-only)" : "");
    writer_clear(&client->who);
    write_u8(&client->who, 1);
    write_blob(&client->who, bytes_of_text("ip"));
    write_blob(&client->who, bytes_of_text(client->host->name));
    client_auth(client);
    watches_rearm(client);
    client->next_op_us = now_us(client);
}

static void on_frame(struct sim_client *client, struct bytes frame) {
    struct sim *sim = client->sim;
    struct reader r = reader_of(frame.data, frame.len);
    client->heard_us = now_us(client);
    if (!client->attached) {
        on_connect_answer(client, &r);
        if (client->attached) client_heard(client, net_read_sent_us(client->conn));
        return;
    }
    client_heard(client, net_read_sent_us(client->conn));
    int32_t xid = jute_read_int(&r);
    uint64_t zxid = read_u64_be(&r);
    int32_t error = jute_read_int(&r);
    if (xid == JUTE_XID_EVENT) {
        watches_event(client, &r);
        return;
    }
    struct op *front = ring_front(&client->pending);
    if (r.failed || front == NULL || front->xid != xid) {
        world_fail(&sim->world, "client %u got an answer to xid %d, and waits for %d", client->number, xid,
                   front == NULL ? 0 : front->xid);
        return;
    }
    struct op op = *front;
    ring_pop(&client->pending);
    client_answered(client, &op, zxid, error, &r);
    mem_free(op.body);
}

static void on_read(struct io_conn *conn, const uint8_t *data, size_t len) {
    struct sim_client *client = io_conn_context(conn);
    if (client->conn != conn || client->sim->world.failed) return;
    write_span(&client->in, bytes_of(data, len));
    size_t at = 0;
    while (client->conn == conn && client->in.len - at >= 4) {
        uint32_t frame = get_u32_be(client->in.data + at);
        if (frame > 64u << 20) {
            world_fail(&client->sim->world, "client %u got a frame of %u bytes", client->number, frame);
            return;
        }
        if (client->in.len - at < 4u + frame) break;
        struct bytes span = bytes_of(client->in.data + at + 4, frame);
        at += 4u + frame;
        on_frame(client, span);
    }
    if (client->conn == conn) writer_consume(&client->in, at);
}

static void on_closed(struct io_conn *conn, int error) {
    struct sim_client *client = io_conn_context(conn);
    if (client->left == conn) {
        ops(client)->conn_close(conn, false);
        client->left = NULL;
    }
    if (client->conn != conn) return;
    world_trace_line(&client->sim->world, "c%u lost its connection: %d", client->number, error);
    again(client);
}

// ---- four-letter words: on a connection of their own, closed by the server behind its answer

static const struct {
    const char *word, *answer; // how it begins
} words[] = {{"ruok", "imok"},
             {"srvr", "Zookeeper version"},
             {"mntr", "zk_version"},
             {"isro", "r"},
             {"wchs", ""},
             {"stat", "Zookeeper version"},
             {"conf", "clientPort"},
             {"gtmk", "gtmk is not executed"},
             {"envi", "Environment"},
             {"cons", ""},
             {"dump", "SessionTracker dump"},
             {"wchc", ""},
             {"wchp", ""},
             {"dirs", "datadir_size"},
             {"crst", "Connection stats reset"},
             {"srst", "Server stats reset"}};

static void on_word_read(struct io_conn *conn, const uint8_t *data, size_t len) {
    struct sim_client *client = io_conn_context(conn);
    if (client->word == conn) write_span(&client->word_in, bytes_of(data, len));
}

static void on_word_closed(struct io_conn *conn, int error) {
    struct sim_client *client = io_conn_context(conn);
    if (client->word != conn) return;
    client->word = NULL;
    ops(client)->conn_close(conn, false);
    const char *want = words[client->word_kind].answer;
    size_t len = client->word_in.len < strlen(want) ? client->word_in.len : strlen(want);
    if (len > 0 && memcmp(client->word_in.data, want, len) != 0)
        world_fail(&client->sim->world, "client %u asks %s and is answered \"%.*s\"", client->number,
                   words[client->word_kind].word, (int)client->word_in.len, (const char *)client->word_in.data);
}

static const struct io_conn_handler word_handler = {.read = on_word_read, .closed = on_word_closed};

static void on_word_connected(struct io_conn *conn, int error, void *context) {
    struct sim_client *client = context;
    client->word_connecting = NULL;
    if (conn == NULL) return;
    client->word = conn;
    writer_clear(&client->word_in);
    ops(client)->conn_start(conn, &word_handler, client, 65536);
    ops(client)->conn_write(conn, words[client->word_kind].word, 4);
}

void client_word(struct sim_client *client) {
    struct sim *sim = client->sim;
    if (client->word != NULL || client->word_connecting != NULL) return;
    client->word_kind = (uint8_t)client_draw(client, sizeof words / sizeof words[0]);
    size_t server = client_draw(client, sim->node_count);
    int e = ops(client)->connect(&client->loop->io, sim->nodes[server].zookeeper, NULL, 1000000, on_word_connected,
                                 client, &client->word_connecting);
    ENSURE(e == 0);
}

static const struct io_conn_handler handler = {.read = on_read, .closed = on_closed};

static void on_connected(struct io_conn *conn, int error, void *context) {
    struct sim_client *client = context;
    client->connecting = NULL;
    if (conn == NULL) {
        again(client);
        return;
    }
    client->conn = conn;
    client->heard_us = now_us(client);
    ops(client)->conn_start(conn, &handler, client, 65536);
    struct writer w;
    writer_init(&w);
    jute_int(&w, 4 + 8 + 4 + 8 + 4 + 16 + 1);
    jute_int(&w, 0);
    write_u64_be(&w, client->last_zxid);
    jute_int(&w, (int32_t)client->sim->swarm.session_ms);
    write_u64_be(&w, client->shown);
    uint8_t none[16] = {0};
    jute_data(&w, bytes_of(client->session != 0 ? client->password : none, 16));
    write_u8(&w, client->number % 3 != 0); // whether it may be served read-only
    ops(client)->conn_write(conn, w.data, w.len);
    writer_free(&w);
}

static void connect_somewhere(struct sim_client *client) {
    struct sim *sim = client->sim;
    client->server = (uint32_t)world_draw(&sim->world, PRNG_CLIENT, sim->node_count);
    client->connects++;
    int e = ops(client)->connect(&client->loop->io, sim->nodes[client->server].zookeeper, NULL, 1000000, on_connected,
                                 client, &client->connecting);
    ENSURE(e == 0);
}

static void on_tick(struct io_timer *timer) {
    struct sim_client *client = timer->context;
    ops(client)->timer_start(&client->loop->io, timer, client->attached ? TICK_US / 4 : TICK_US);
    uint64_t now = now_us(client);
    uint64_t wait_us = (client->attached ? client->timeout_ms : client->sim->swarm.session_ms) * 2000 / 3;
    if (client->conn == NULL && client->connecting == NULL) {
        if (now >= client->next_op_us && !(client->stopped && client->session == 0)) connect_somewhere(client);
        return;
    }
    if (client->conn != NULL && client->deaf_until_us != 0) {
        if (!deaf_goes_on(client)) again(client);
        return;
    }
    if (client->conn != NULL && now - client->heard_us > wait_us) {
        world_trace_line(&client->sim->world, "c%u hears nothing", client->number);
        leave_open(client);
        again(client);
        return;
    }
    if (!client->attached) return;
    if (now - client->sent_us > client->timeout_ms * 1000ull / 3) client_ping(client);
}

static void turn(void *context) {
    struct sim_client *client = context;
    if (client->attached && !client->sim->world.failed) client_send_next(client);
}

// ---- life

static void begin(struct sim_client *client) {
    host_process_begin(client->host);
    client->loop = host_start_loop(client->host);
    client->loop->io.ops->set_turn_hook(&client->loop->io, turn, client);
    client->timer = (struct io_timer){.fire = on_tick, .context = client};
    client->dead = false;
    client->next_xid = 1;
    client->loop->io.ops->timer_start(&client->loop->io, &client->timer,
                                      1000 + world_draw(&client->sim->world, PRNG_CLIENT, 100000));
}

static void end(struct sim_client *client, bool power) {
    host_kill(client->host, power);
    drop_connection(client);
    if (client->left != NULL) ops(client)->conn_close(client->left, false);
    client->left = NULL;
    client_session_over(client);
    client->loop->io.ops->timer_stop(&client->loop->io, &client->timer);
    host_process_freed(client->host);
    client->loop = NULL;
    client->dead = true;
}

static void run_reborn(struct event *event) {
    struct sim_client *client = CONTAINER_OF(event, struct sim_client, reborn);
    begin(client);
}

void client_die(struct sim *sim, size_t which) {
    struct sim_client *client = sim->clients[which];
    if (client->dead) return;
    world_trace_line(&sim->world, "c%u dies", client->number);
    end(client, world_draw(&sim->world, PRNG_FAULT, 2) == 0);
    world_at(&sim->world, &client->reborn, sim->world.now_us + world_draw(&sim->world, PRNG_FAULT, 3000000));
}

void client_pause_for(struct sim *sim, size_t which, uint64_t us) {
    host_pause(sim->clients[which]->host, sim->world.now_us + us);
}

void client_quiet_for(struct sim *sim, size_t which, uint64_t us) {
    sim->clients[which]->quiet_until_us = sim->world.now_us + us;
    sim->clients[which]->quiet_watches = 8;
}

bool client_is_at(const struct sim *sim, size_t which, uint32_t node) {
    const struct sim_client *client = sim->clients[which];
    return !client->dead && client->attached && client->server == node;
}

uint32_t client_host_index(const struct sim *sim, size_t which) {
    return sim->clients[which]->host->index;
}

void clients_make(struct sim *sim) {
    sim->checks = mem_zalloc(sizeof *sim->checks);
    works_draw(sim);
    record_begin(sim);
    for (size_t i = 0; i < sim->client_count; i++) {
        struct sim_client *client = sim->clients[i] = mem_zalloc(sizeof *client);
        char name[32];
        client->sim = sim;
        client->number = (uint32_t)i + 1;
        snprintf(name, sizeof name, "10.0.1.%u", client->number);
        client->host = host_new(&sim->world, name);
        client->reborn.run = run_reborn;
        ring_init(&client->pending, sizeof(struct op));
        prng_seed(&client->prng, hash_u64(sim->world.seed * 64 + client->number));
        begin(client);
    }
}

void clients_free(struct sim *sim) {
    for (size_t i = 0; i < sim->client_count; i++) {
        struct sim_client *client = sim->clients[i];
        world_cancel(&sim->world, &client->reborn);
        if (!client->dead) end(client, false);
        ring_free(&client->pending);
        writer_free(&client->in);
        writer_free(&client->out);
        writer_free(&client->who);
        writer_free(&client->word_in);
        mem_free(client);
    }
    record_end(sim);
    for (size_t i = 0; i < LOCKS_MAX; i++) mem_free(sim->checks->locks[i].told);
    mem_free(sim->checks);
}

void clients_calm(struct sim *sim) {
    for (size_t i = 0; i < sim->client_count; i++) {
        struct sim_client *client = sim->clients[i];
        client->calm_done = client->quiet_until_us = 0;
        host_go_on(client->host);
        if (client->dead) {
            world_cancel(&sim->world, &client->reborn);
            begin(client);
        }
    }
}

size_t clients_waiting(const struct sim *sim) {
    size_t count = 0;
    for (size_t i = 0; i < sim->client_count; i++) count += sim->clients[i]->calm_done < 3;
    return count;
}

void clients_stop(struct sim *sim) {
    for (size_t i = 0; i < sim->client_count; i++) sim->clients[i]->stopped = true;
}
