// The network: TCP as processes see it. Bytes of one direction arrive in order or not at all; between connections
// nothing is ordered. What goes wrong is what really does: late and cut reads, paths that carry nothing (one way or
// both) while both ends think that they are connected, connections that break with part of what was sent, ends that
// vanish without a word (power), refusals, connects that time out, receivers that do not read.
//
//   conn_write -> out (waits for the window) -> pipe (in flight) -> in (the receiver's kernel) -> read
#include "sim/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WINDOW_BYTES (256u << 10) // in flight and not read
#define SEGMENT_BYTES (64u << 10)
#define JOIN_BYTES 1400u // small writes of one turn leave together
#define READ_TURN_BYTES (256u << 10)
#define SYN_AGAIN_US 500000u
#define RETRANSMIT_US 200000u

enum segment_kind { SEGMENT_DATA, SEGMENT_FIN, SEGMENT_RESET };
struct segment {
    struct segment *next;
    enum segment_kind kind;
    uint64_t arrives_us, sent_us;
    size_t len, at, capacity;
    uint8_t data[];
};
struct segments {
    struct segment *head, *tail;
    size_t bytes;
};
struct pipe { // pipe[i]: from end i to end 1 - i
    struct tcp *tcp;
    struct segments flying;
    struct event deliver;
    uint64_t last_us;
    bool stalled;
};
struct io_conn {   // one end
    void *context; // first: io_conn_context
    struct tcp *tcp;
    int side;
    struct host *host;
    struct sim_loop *loop;
    struct io_conn_handler handler;
    size_t low_water;
    struct ready ready;
    struct list link, flush_link;
    struct segments out, in;
    struct io_listener *accept;                                        // not told yet
    bool started, reading, was_over, drain_due, told, finished, reset; // finished: FIN or RST left
    bool gone,
        held; // gone: the owner or the process's end closed it; held: by the end, and the owner still has the pointer
    bool flush_close;
    bool ended;
    int error;
    uint64_t read_sent_us;
};
struct tcp {
    struct list link;
    struct world *world;
    struct io_conn end[2];
    struct pipe pipe[2];
    uint32_t busy, number;
    bool broken;
};
struct io_listener {
    struct list link;
    struct sim_loop *loop;
    char address[ADDRESS_TEXT_MAX];
    io_accepted_fn accepted;
    void *context;
    size_t connections_max;
};
struct connecting {
    struct event event;
    struct ready ready;
    struct list link;
    struct sim_loop *loop;
    char address[ADDRESS_TEXT_MAX];
    io_connected_fn connected;
    void *context;
    uint64_t until_us;
    struct io_conn *conn;
    int error;
    bool answered;
};
struct sim_net {
    struct list tcps;
    bool blocked[HOSTS_MAX][HOSTS_MAX], rejected[HOSTS_MAX][HOSTS_MAX];
    uint32_t slow_us[HOSTS_MAX][HOSTS_MAX];
    uint64_t bytes;
    uint32_t tcp_count, blocked_count;
    const struct swarm *swarm;
};

// ---- segments

static struct segment *segment_new(enum segment_kind kind, const void *data, size_t len, uint64_t sent_us) {
    size_t capacity = kind == SEGMENT_DATA && len < JOIN_BYTES ? JOIN_BYTES : len;
    struct segment *s = mem_alloc(sizeof *s + capacity);
    *s = (struct segment){.kind = kind, .len = len, .capacity = capacity, .sent_us = sent_us};
    if (len > 0) memcpy(s->data, data, len);
    return s;
}
static void segments_push(struct segments *q, struct segment *s) {
    s->next = NULL;
    if (q->tail != NULL)
        q->tail->next = s;
    else
        q->head = s;
    q->tail = s;
    q->bytes += s->len - s->at;
}
static struct segment *segments_pop(struct segments *q) {
    struct segment *s = q->head;
    q->head = s->next;
    if (q->head == NULL) q->tail = NULL;
    q->bytes -= s->len - s->at;
    return s;
}
static void segments_drop(struct segments *q) {
    while (q->head != NULL) mem_free(segments_pop(q));
}

// ---- paths

void net_init(struct world *world) {
    world->net = mem_zalloc(sizeof *world->net);
    list_init(&world->net->tcps);
}

static struct host *host_of(struct tcp *tcp, int side) {
    return tcp->end[side].host;
}

static uint64_t path_delay(struct world *world, uint32_t from, uint32_t to) {
    struct sim_net *net = world->net;
    uint64_t delay = 20;
    if (from != to && net->swarm != NULL)
        delay = net->swarm->delay_us + world_draw(world, PRNG_NET, net->swarm->jitter_us + 1);
    if (world->options.faults && world_draw(world, PRNG_NET, 2000) == 0)
        delay += RETRANSMIT_US / 4 + world_draw(world, PRNG_NET, RETRANSMIT_US);
    return delay + net->slow_us[from][to];
}

bool net_blocked(struct world *world, uint32_t from, uint32_t to) {
    return world->net->blocked[from][to];
}

static void pipe_arm(struct pipe *pipe) {
    if (pipe->flying.head == NULL || pipe->stalled) return;
    world_at(pipe->tcp->world, &pipe->deliver, pipe->flying.head->arrives_us);
}

static void pipe_send(struct pipe *pipe, struct segment *s) {
    struct tcp *tcp = pipe->tcp;
    int side = pipe == &tcp->pipe[0] ? 0 : 1;
    struct host *from = host_of(tcp, side), *to = host_of(tcp, 1 - side);
    s->arrives_us = tcp->world->now_us + from->spent_us + path_delay(tcp->world, from->index, to->index);
    if (s->arrives_us < pipe->last_us) s->arrives_us = pipe->last_us;
    pipe->last_us = s->arrives_us;
    bool first = pipe->flying.head == NULL;
    segments_push(&pipe->flying, s);
    if (first) pipe_arm(pipe);
}

static void stalled_again(struct world *world, uint32_t from, uint32_t to) {
    for (struct list *at = world->net->tcps.next; at != &world->net->tcps; at = at->next) {
        struct tcp *tcp = CONTAINER_OF(at, struct tcp, link);
        for (int side = 0; side < 2; side++) {
            struct pipe *pipe = &tcp->pipe[side];
            if (!pipe->stalled || host_of(tcp, side)->index != from || host_of(tcp, 1 - side)->index != to) continue;
            pipe->stalled = false; // the sender repeats it, sooner or later
            world_at(world, &pipe->deliver, world->now_us + world_draw(world, PRNG_NET, RETRANSMIT_US));
        }
    }
}

void net_block(struct world *world, uint32_t from, uint32_t to, bool blocked) {
    bool was = world->net->blocked[from][to];
    world->net->blocked[from][to] = blocked;
    if (was != blocked) world->net->blocked_count += blocked ? 1u : (uint32_t)-1;
    if (was && !blocked) stalled_again(world, from, to);
}

bool net_cut(const struct world *world) {
    return world->net->blocked_count > 0;
}

void net_slow(struct world *world, uint32_t from, uint32_t to, uint32_t extra_us) {
    world->net->slow_us[from][to] = extra_us;
}

void net_heal(struct world *world) {
    for (uint32_t a = 0; a < world->host_count; a++) {
        for (uint32_t b = 0; b < world->host_count; b++) {
            world->net->slow_us[a][b] = 0;
            world->net->rejected[a][b] = false;
            if (world->net->blocked[a][b]) net_block(world, a, b, false);
        }
    }
}

// ---- ends

static void tcp_free(struct tcp *tcp) {
    for (int side = 0; side < 2; side++) {
        struct io_conn *end = &tcp->end[side];
        list_remove(&end->ready.link);
        list_remove(&end->link);
        list_remove(&end->flush_link);
        segments_drop(&end->out);
        segments_drop(&end->in);
        segments_drop(&tcp->pipe[side].flying);
        world_cancel(tcp->world, &tcp->pipe[side].deliver);
    }
    list_remove(&tcp->link);
    mem_free(tcp);
}

static void tcp_settle(struct tcp *tcp) {
    if (tcp->busy > 0 || !tcp->end[0].gone || !tcp->end[1].gone || tcp->end[0].held || tcp->end[1].held) return;
    tcp_free(tcp);
}

static void finish(struct io_conn *end, enum segment_kind kind) {
    if (end->finished && (kind == SEGMENT_FIN || end->reset)) return;
    end->finished = true;
    end->reset = kind == SEGMENT_RESET;
    struct pipe *pipe = &end->tcp->pipe[end->side];
    if (kind == SEGMENT_RESET && pipe->flying.head != NULL && world_draw(end->tcp->world, PRNG_NET, 2) == 0) {
        // What was under way is lost from some byte on: frames end in their middle.
        struct segment *s = pipe->flying.head;
        while (s->next != NULL && world_draw(end->tcp->world, PRNG_NET, 2) == 0) s = s->next;
        if (s->len > 0) {
            size_t cut = (size_t)world_draw(end->tcp->world, PRNG_NET, s->len);
            pipe->flying.bytes -= s->len - cut;
            s->len = cut;
        }
        while (s->next != NULL) {
            struct segment *lost = s->next;
            s->next = lost->next;
            pipe->flying.bytes -= lost->len;
            mem_free(lost);
        }
        pipe->flying.tail = s;
    }
    pipe_send(pipe, segment_new(kind, NULL, 0, 0));
}

static void push_out(struct io_conn *end) {
    struct tcp *tcp = end->tcp;
    struct pipe *pipe = &tcp->pipe[end->side];
    while (end->out.head != NULL && !end->finished && !end->ended) {
        if (pipe->flying.bytes + tcp->end[1 - end->side].in.bytes >= WINDOW_BYTES) break;
        struct segment *s = segments_pop(&end->out);
        s->kind = SEGMENT_DATA;
        pipe_send(pipe, s);
    }
    if (end->ended) segments_drop(&end->out);
    if (end->out.bytes > end->low_water) end->was_over = true;
    if (end->was_over && end->out.bytes <= end->low_water) {
        end->was_over = false;
        end->drain_due = true;
        if (!end->gone) loop_ready(end->loop, &end->ready);
    }
    if (end->flush_close && end->out.head == NULL) finish(end, SEGMENT_FIN);
}

void net_flush(struct sim_loop *loop) {
    while (!list_empty(&loop->flush)) {
        struct io_conn *end = CONTAINER_OF(loop->flush.next, struct io_conn, flush_link);
        list_remove(&end->flush_link);
        push_out(end);
    }
}

static void deliver(struct event *event) {
    struct pipe *pipe = CONTAINER_OF(event, struct pipe, deliver);
    struct tcp *tcp = pipe->tcp;
    struct world *world = tcp->world;
    int side = pipe == &tcp->pipe[0] ? 0 : 1;
    struct io_conn *to = &tcp->end[1 - side], *from = &tcp->end[side];
    if (world->net->blocked[from->host->index][to->host->index]) {
        pipe->stalled = true;
        return;
    }
    struct segment *s = segments_pop(&pipe->flying);
    pipe_arm(pipe);
    world_note(world, NOTE_DELIVER, (uint64_t)tcp->number * 4 + (uint64_t)side * 2 + (s->kind != SEGMENT_DATA), s->len);
    world->net->bytes += s->len;
    if (to->gone) {
        if (s->kind == SEGMENT_DATA && to->host->powered) finish(to, SEGMENT_RESET); // nobody is there any more
        mem_free(s);
        if (!from->gone && to->host->powered) push_out(from);
        return;
    }
    if (s->kind == SEGMENT_DATA) {
        segments_push(&to->in, s);
    } else {
        if (!to->ended) to->error = s->kind == SEGMENT_FIN ? 0 : -ECONNRESET;
        to->ended = true;
        if (s->kind == SEGMENT_RESET) {
            if (world_draw(world, PRNG_NET, 2) == 0) segments_drop(&to->in);
            to->finished = to->reset = true;
        }
        mem_free(s);
    }
    if (to->started || to->accept != NULL) loop_ready(to->loop, &to->ready);
}

static void give(struct io_conn *end) {
    struct world *world = end->tcp->world;
    size_t given = 0;
    while (end->in.head != NULL && end->reading && !end->gone && given < READ_TURN_BYTES && !end->host->dead) {
        struct segment *s = end->in.head;
        size_t len = s->len - s->at;
        bool cut = len > 1 &&
                   world_chance(world, PRNG_NET, world->net->swarm == NULL ? 0 : world->net->swarm->split_per_million);
        if (cut) len = 1 + (size_t)world_draw(world, PRNG_NET, len - 1);
        segments_pop(&end->in);
        end->read_sent_us = s->sent_us;
        if (len > 0) end->handler.read(end, s->data + s->at, len);
        given += len;
        s->at += len;
        if (s->at < s->len && !end->gone) { // the rest comes later
            s->next = end->in.head;
            end->in.head = s;
            if (end->in.tail == NULL) end->in.tail = s;
            end->in.bytes += s->len - s->at;
            if (world_draw(world, PRNG_NET, 2) == 0) break;
        } else {
            mem_free(s);
        }
    }
}

static void end_run(struct ready *ready) {
    struct io_conn *end = CONTAINER_OF(ready, struct io_conn, ready);
    struct tcp *tcp = end->tcp;
    tcp->busy++;
    if (end->accept != NULL) {
        struct io_listener *listener = end->accept;
        end->accept = NULL;
        world_note(tcp->world, NOTE_ACCEPT, end->host->index, tcp->number);
        listener->accepted(listener, end, listener->context);
        if (!end->gone) ENSURE(end->started);
    }
    if (!end->gone && end->started) {
        size_t before = end->in.bytes;
        give(end);
        if (end->in.bytes < before && !tcp->end[1 - end->side].gone) { // the window opens
            struct io_conn *other = &tcp->end[1 - end->side];
            if (other->out.head != NULL) push_out(other);
        } else if (end->in.bytes < before && tcp->end[1 - end->side].flush_close) {
            push_out(&tcp->end[1 - end->side]);
        }
    }
    if (!end->gone && end->drain_due && end->started) {
        end->drain_due = false;
        if (end->handler.drained != NULL) end->handler.drained(end);
    }
    if (!end->gone && end->started && end->ended && !end->told && !end->host->dead) {
        bool see = end->error != 0 || (end->reading && end->in.head == NULL);
        if (see) {
            end->told = true;
            end->handler.closed(end, end->error);
        }
    }
    if (!end->gone && end->started && end->in.head != NULL && end->reading) loop_ready(end->loop, &end->ready);
    tcp->busy--;
    tcp_settle(tcp);
}

static struct tcp *tcp_new(struct world *world, struct sim_loop *a, struct sim_loop *b) {
    struct tcp *tcp = mem_zalloc(sizeof *tcp);
    tcp->world = world;
    tcp->number = ++world->net->tcp_count;
    for (int side = 0; side < 2; side++) {
        struct io_conn *end = &tcp->end[side];
        end->tcp = tcp;
        end->side = side;
        end->loop = side == 0 ? a : b;
        end->host = end->loop->host;
        end->reading = true;
        end->ready.run = end_run;
        list_init(&end->ready.link);
        list_init(&end->flush_link);
        list_init(&end->link);
        list_push_back(&end->host->conns, &end->link);
        tcp->pipe[side].tcp = tcp;
        tcp->pipe[side].deliver.run = deliver;
    }
    list_push_back(&world->net->tcps, &tcp->link);
    return tcp;
}

// ---- the calls on a connection

void sim_conn_start(struct io_conn *end, const struct io_conn_handler *handler, void *context, size_t low_water) {
    end->handler = *handler;
    end->context = context;
    end->low_water = low_water;
    end->started = true;
    loop_ready(end->loop, &end->ready);
}

void *sim_conn_context(struct io_conn *end) {
    return end->context;
}

void sim_conn_info(struct io_conn *end, struct io_conn_info *info) {
    *info = (struct io_conn_info){0};
    const struct io_conn *other = &end->tcp->end[1 - end->side];
    snprintf(info->remote, sizeof info->remote, "%s:%u", other->host->name, 40000 + end->tcp->number % 20000);
    snprintf(info->local, sizeof info->local, "%s:2181", end->host->name);
}

void sim_conn_write(struct io_conn *end, const void *data, size_t len) {
    if (end->host->dead) return; // the ended process's memory is being freed: without effect
    ENSURE(!end->gone);
    if (end->ended || end->finished) return;
    const uint8_t *at = data;
    while (len > 0) { // small writes join, as in one writev
        struct segment *tail = end->out.tail;
        size_t take = len < SEGMENT_BYTES ? len : SEGMENT_BYTES;
        uint64_t sent_us = end->host->world->now_us;
        if (tail != NULL && tail->sent_us == sent_us && tail->at == 0 && tail->len + take <= tail->capacity) {
            memcpy(tail->data + tail->len, at, take);
            tail->len += take;
            end->out.bytes += take;
        } else {
            segments_push(&end->out, segment_new(SEGMENT_DATA, at, take, sent_us));
        }
        at += take;
        len -= take;
    }
    if (list_empty(&end->flush_link)) list_push_back(&end->loop->flush, &end->flush_link);
    loop_ready(end->loop, &end->ready); // a turn is sure to come that flushes
}

void sim_conn_write_buf(struct io_conn *end, struct buf *buf, size_t offset, size_t len) {
    sim_conn_write(end, buf->data + offset, len);
}

size_t sim_conn_pending(struct io_conn *end) {
    return end->out.bytes;
}

size_t net_unread_bytes(struct io_conn *end) {
    return end->tcp->end[1 - end->side].out.bytes;
}

void sim_conn_read_stop(struct io_conn *end) {
    end->reading = false;
}

void sim_conn_read_start(struct io_conn *end) {
    end->reading = true;
    loop_ready(end->loop, &end->ready);
}

void sim_conn_close(struct io_conn *end, bool flush) {
    if (end->gone) { // the process ended: only its memory is given back
        ENSURE(end->held);
        end->held = false;
        tcp_settle(end->tcp);
        return;
    }
    struct tcp *tcp = end->tcp;
    end->gone = true;
    end->accept = NULL;
    list_remove(&end->ready.link);
    list_remove(&end->link);
    world_note(tcp->world, NOTE_CLOSE, end->host->index, tcp->number);
    segments_drop(&end->in);
    if (end->host->dead) {
        segments_drop(&end->out);
        finish(end, SEGMENT_RESET);
    } else if (flush && end->out.head != NULL && !end->ended) {
        end->flush_close = true;
    } else {
        segments_drop(&end->out);
        finish(end, world_draw(tcp->world, PRNG_NET, 4) == 0 && !flush ? SEGMENT_RESET : SEGMENT_FIN);
    }
    tcp_settle(tcp);
}

uint64_t net_read_sent_us(struct io_conn *conn) {
    return conn->read_sent_us;
}

// ---- listening and connecting

int sim_listen(struct io *io, const char *address, const struct io_listen_options *options, io_accepted_fn accepted,
               void *context, struct io_listener **out) {
    struct sim_loop *loop = loop_of(io);
    ENSURE(options->tls == NULL);
    struct io_listener *l = mem_zalloc(sizeof *l);
    l->loop = loop;
    l->accepted = accepted;
    l->context = context;
    l->connections_max = options->connections_max;
    snprintf(l->address, sizeof l->address, "%s", address);
    list_init(&l->link);
    list_push_back(&loop->host->listeners, &l->link);
    *out = l;
    return 0;
}

void sim_listener_address(struct io_listener *listener, char out[ADDRESS_TEXT_MAX]) {
    memcpy(out, listener->address, ADDRESS_TEXT_MAX);
}

void sim_listener_close(struct io_listener *listener) {
    // Connections that were taken by the kernel and not told yet end with it.
    struct host *host = listener->loop->host;
    struct list *at = host->conns.next;
    while (at != &host->conns) {
        struct io_conn *end = CONTAINER_OF(at, struct io_conn, link);
        at = at->next;
        if (end->accept == listener) sim_conn_close(end, false);
    }
    list_remove(&listener->link);
    mem_free(listener);
}

static struct io_listener *find_listener(struct world *world, const char *address, struct host **host) {
    const char *colon = strrchr(address, ':');
    size_t len = colon == NULL ? strlen(address) : (size_t)(colon - address);
    *host = NULL;
    for (size_t i = 0; i < world->host_count; i++) {
        struct host *h = world->hosts[i];
        if (strlen(h->name) != len || strncmp(h->name, address, len) != 0) continue;
        *host = h;
        for (struct list *at = h->listeners.next; at != &h->listeners; at = at->next) {
            struct io_listener *l = CONTAINER_OF(at, struct io_listener, link);
            if (strcmp(l->address, address) == 0) return l;
        }
    }
    return NULL;
}

static void connecting_free(struct connecting *c) {
    world_cancel(c->loop->host->world, &c->event);
    list_remove(&c->ready.link);
    list_remove(&c->link);
    mem_free(c);
}

static void connecting_told(struct ready *ready) {
    struct connecting *c = CONTAINER_OF(ready, struct connecting, ready);
    io_connected_fn connected = c->connected;
    void *context = c->context;
    struct io_conn *conn = c->conn;
    int error = c->error;
    world_note(c->loop->host->world, NOTE_CONNECT, c->loop->host->index, (uint64_t)(int64_t)error);
    connecting_free(c);
    connected(conn, error, context);
}

static void connecting_run(struct event *event) {
    struct connecting *c = CONTAINER_OF(event, struct connecting, event);
    struct host *self = c->loop->host, *other;
    struct world *world = self->world;
    if (c->answered) {
        loop_ready(c->loop, &c->ready);
        return;
    }
    struct io_listener *listener = find_listener(world, c->address, &other);
    bool rejected = other != NULL && world->net->rejected[self->index][other->index];
    bool reached = rejected || (other != NULL && other->powered && !world->net->blocked[self->index][other->index] &&
                                !world->net->blocked[other->index][self->index]);
    if (!reached) {
        if (world->now_us >= c->until_us) {
            c->error = -ETIMEDOUT;
            c->answered = true;
            loop_ready(c->loop, &c->ready);
            return;
        }
        uint64_t next = world->now_us + SYN_AGAIN_US;
        world_at(world, event, next < c->until_us ? next : c->until_us);
        return;
    }
    c->answered = true;
    if (rejected || listener == NULL || !other->running || other->dead) {
        c->error = -ECONNREFUSED;
    } else {
        struct tcp *tcp = tcp_new(world, c->loop, listener->loop);
        c->conn = &tcp->end[0];
        tcp->end[1].accept = listener;
        loop_ready(listener->loop, &tcp->end[1].ready);
    }
    world_at(world, event, world->now_us + path_delay(world, other->index, self->index));
}

int sim_connect(struct io *io, const char *address, struct io_tls *tls, uint64_t timeout_us, io_connected_fn connected,
                void *context, void **pending) {
    struct sim_loop *loop = loop_of(io);
    struct host *host = loop->host;
    ENSURE(tls == NULL);
    struct connecting *c = mem_zalloc(sizeof *c);
    c->event.run = connecting_run;
    c->ready.run = connecting_told;
    list_init(&c->ready.link);
    list_init(&c->link);
    c->loop = loop;
    snprintf(c->address, sizeof c->address, "%s", address);
    c->connected = connected;
    c->context = context;
    c->until_us = host->world->now_us + host->spent_us + timeout_us;
    list_push_back(&host->connects, &c->link);
    struct host *other;
    find_listener(host->world, address, &other);
    if (!host->dead)
        world_at(host->world, &c->event,
                 host->world->now_us + host->spent_us +
                     path_delay(host->world, host->index, other == NULL ? host->index : other->index));
    *pending = c;
    return 0;
}

void sim_connect_cancel(struct io *io, void *pending) {
    struct connecting *c = pending;
    if (c->conn != NULL && !c->conn->gone) sim_conn_close(c->conn, false);
    connecting_free(c);
}

// ---- faults

void net_cut_host(struct host *host, bool power) {
    struct world *world = host->world;
    for (struct list *at = world->net->tcps.next; at != &world->net->tcps; at = at->next) {
        struct tcp *tcp = CONTAINER_OF(at, struct tcp, link);
        for (int side = 0; side < 2; side++) {
            struct io_conn *end = &tcp->end[side];
            if (end->host != host || (end->gone && !end->flush_close)) continue;
            list_remove(&end->link);
            list_remove(&end->ready.link);
            list_remove(&end->flush_link);
            end->held = !end->gone;
            end->gone = true;
            end->flush_close = false;
            end->accept = NULL;
            segments_drop(&end->in);
            segments_drop(&end->out);
            // A machine without power says nothing; the other side learns when it sends to a machine that is back.
            if (!power) finish(end, world_draw(world, PRNG_NET, 2) == 0 ? SEGMENT_RESET : SEGMENT_FIN);
        }
    }
}

// The process's memory is freed: nobody holds its ends any more.
void net_forget_host(struct host *host) {
    struct world *world = host->world;
    while (!list_empty(&host->connects)) connecting_free(CONTAINER_OF(host->connects.next, struct connecting, link));
    ENSURE(list_empty(&host->listeners));
    struct list *at = world->net->tcps.next;
    while (at != &world->net->tcps) {
        struct tcp *tcp = CONTAINER_OF(at, struct tcp, link);
        at = at->next;
        for (int side = 0; side < 2; side++) {
            if (tcp->end[side].host != host) continue;
            tcp->end[side].held = false;
            tcp->end[side].loop = NULL;
        }
        tcp_settle(tcp);
    }
}

static bool between(const struct tcp *tcp, uint32_t a, uint32_t b) {
    uint32_t x = tcp->end[0].host->index, y = tcp->end[1].host->index;
    return (x == a && y == b) || (x == b && y == a);
}

size_t net_break_some(struct world *world, uint32_t a, uint32_t b) {
    size_t count = 0;
    for (struct list *at = world->net->tcps.next; at != &world->net->tcps; at = at->next) {
        struct tcp *tcp = CONTAINER_OF(at, struct tcp, link);
        if (!between(tcp, a, b) || tcp->broken || world_draw(world, PRNG_FAULT, 2) == 0) continue;
        if (tcp->end[0].gone || tcp->end[1].gone) continue;
        tcp->broken = true;
        finish(&tcp->end[0], SEGMENT_RESET); // each end learns by itself, one maybe much later
        finish(&tcp->end[1], SEGMENT_RESET);
        count++;
    }
    return count;
}

static void end_now(struct io_conn *end) {
    if (end->ended) return;
    end->ended = end->finished = end->reset = true;
    end->error = -ECONNRESET;
    if (!end->gone && (end->started || end->accept != NULL)) loop_ready(end->loop, &end->ready);
}

// A firewall that answers for the other side: both ends learn at once, and new connections are refused.
void net_reject(struct world *world, uint32_t a, uint32_t b) {
    world->net->rejected[a][b] = world->net->rejected[b][a] = true;
    net_block(world, a, b, true);
    net_block(world, b, a, true);
    for (struct list *at = world->net->tcps.next; at != &world->net->tcps; at = at->next) {
        struct tcp *tcp = CONTAINER_OF(at, struct tcp, link);
        if (!between(tcp, a, b)) continue;
        end_now(&tcp->end[0]);
        end_now(&tcp->end[1]);
    }
}

uint64_t net_bytes(struct world *world) {
    return world->net->bytes;
}

void net_set_swarm(struct world *world, const struct swarm *swarm) {
    world->net->swarm = swarm;
}

void net_free(struct world *world) {
    while (!list_empty(&world->net->tcps)) tcp_free(CONTAINER_OF(world->net->tcps.next, struct tcp, link));
    mem_free(world->net);
    world->net = NULL;
}
