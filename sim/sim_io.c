// Hosts, loops, clocks, timers and wake-ups: `struct io` in the simulated world. A loop is a task: what becomes ready
// waits in its list, its turn runs all of that, then the hook, then sends what was written. Both loops of a process
// share one processor: what one spends (slow calls, slow disks), the other waits for.
#include "sim/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TURN_EVERY_US 100000u // io.h: the loop never sleeps longer

struct sim_timer {
    struct event event;
    struct ready ready;
    struct list link;
    struct sim_loop *loop;
    struct io_timer *timer;
    uint64_t due_us; // on the host's clock
};
struct sim_wake {
    struct ready ready;
    struct list link;
    struct sim_loop *loop;
    struct io_wake *wake;
};

struct io *loop_io(struct sim_loop *loop) {
    return &loop->io;
}
struct sim_loop *loop_of(struct io *io) {
    return CONTAINER_OF(io, struct sim_loop, io);
}

// ---- clocks

uint64_t host_now_us(struct host *host) {
    uint64_t passed = host->world->now_us + host->spent_us - host->clock_world_us;
    return host->clock_base_us + passed + (uint64_t)((int64_t)passed * host->drift_ppm / 1000000);
}

uint64_t host_world_time(struct host *host, uint64_t monotonic_us) {
    if (monotonic_us <= host->clock_base_us) return host->clock_world_us;
    uint64_t left = monotonic_us - host->clock_base_us;
    return host->clock_world_us + (uint64_t)((int64_t)left * 1000000 / (1000000 + host->drift_ppm)) + 1;
}

void host_set_drift(struct host *host, int64_t ppm) {
    uint64_t now_us = host_now_us(host);
    host->clock_base_us = now_us;
    host->clock_world_us = host->world->now_us + host->spent_us;
    host->drift_ppm = ppm;
}

static uint64_t op_now_us(struct io *io) {
    struct host *host = loop_of(io)->host;
    if (host->call_us_max > 0) host->spent_us += world_draw(host->world, PRNG_SCHEDULE, host->call_us_max + 1);
    return host_now_us(host);
}

static int64_t op_unix_ms(struct io *io) {
    struct host *host = loop_of(io)->host;
    if (host->unix_stands) return host->unix_stood_ms;
    return UNIX_BASE_MS + (int64_t)(host_now_us(host) / 1000) + host->unix_offset_ms;
}

static void op_random(struct io *io, void *bytes, size_t len) {
    struct world *world = loop_of(io)->host->world;
    for (size_t i = 0; i < len; i++) ((uint8_t *)bytes)[i] = (uint8_t)(prng_next(&world->prng[PRNG_SECRETS]) >> 24);
}

// ---- loops

static void turn_at(struct sim_loop *loop, uint64_t time_us) {
    const struct host *host = loop->host;
    if (time_us < host->busy_until_us) time_us = host->busy_until_us;
    if (time_us < host->paused_until_us) time_us = host->paused_until_us;
    if (event_set(&loop->turn) && loop->turn.item.time <= time_us) return;
    world_at(host->world, &loop->turn, time_us);
}

void loop_ready(struct sim_loop *loop, struct ready *ready) {
    struct host *host = loop->host;
    if (host->dead || !list_empty(&ready->link)) return;
    list_push_back(&loop->ready, &ready->link);
    turn_at(loop, host->world->now_us + host->spent_us +
                      world_draw(host->world, PRNG_SCHEDULE, host->world->options.faults ? 60 : 10));
}

void loop_spend(struct sim_loop *loop, uint64_t us) {
    loop->host->spent_us += us;
}

static void run_turn(struct event *event) {
    struct sim_loop *loop = CONTAINER_OF(event, struct sim_loop, turn);
    struct host *host = loop->host;
    struct world *world = host->world;
    if (host->dead) return;
    if (world->now_us < host->busy_until_us || world->now_us < host->paused_until_us) {
        turn_at(loop, world->now_us);
        return;
    }
    loop->turns++;
    struct list now;
    list_init(&now);
    while (!list_empty(&loop->ready)) { // what becomes ready in this turn waits for the next
        struct list *item = loop->ready.next;
        list_remove(item);
        list_push_back(&now, item);
    }
    uint64_t count = 0;
    while (!list_empty(&now)) {
        struct ready *ready = CONTAINER_OF(now.next, struct ready, link);
        list_remove(&ready->link);
        if (host->dead) continue;
        ready->run(ready);
        count++;
    }
    if (!host->dead && loop->hook != NULL) loop->hook(loop->hook_context);
    if (!host->dead && loop->after_turn != NULL) loop->after_turn(loop, loop->after_context);
    if (host->dead) return;
    net_flush(loop);
    if (count > 0) world_note(world, NOTE_TURN, host->index, count);
    host->busy_until_us = world->now_us + host->spent_us;
    host->spent_us = 0;
    turn_at(loop, list_empty(&loop->ready) ? world->now_us + TURN_EVERY_US : world->now_us + 1);
}

static void op_set_turn_hook(struct io *io, void (*turn)(void *context), void *context) {
    struct sim_loop *loop = loop_of(io);
    loop->hook = turn;
    loop->hook_context = context;
    if (!loop->host->dead) turn_at(loop, loop->host->world->now_us);
}

// ---- timers

static void timer_run(struct ready *ready) {
    struct sim_timer *t = CONTAINER_OF(ready, struct sim_timer, ready);
    struct io_timer *timer = t->timer;
    list_remove(&t->link);
    timer->impl = NULL;
    mem_free(t);
    timer->fire(timer);
}

static void timer_due(struct event *event) {
    struct sim_timer *t = CONTAINER_OF(event, struct sim_timer, event);
    struct host *host = t->loop->host;
    uint64_t now_us = host_now_us(host);
    if (now_us < t->due_us)
        world_at(host->world, event, host_world_time(host, t->due_us));
    else
        loop_ready(t->loop, &t->ready);
}

static void op_timer_stop(struct io *io, struct io_timer *timer) {
    struct sim_timer *t = timer->impl;
    if (t == NULL) return;
    world_cancel(t->loop->host->world, &t->event);
    list_remove(&t->ready.link);
    list_remove(&t->link);
    mem_free(t);
    timer->impl = NULL;
}

static void op_timer_start(struct io *io, struct io_timer *timer, uint64_t delay_us) {
    struct sim_loop *loop = loop_of(io);
    struct host *host = loop->host;
    if (host->dead) return;
    struct sim_timer *t = timer->impl;
    if (t == NULL) {
        t = mem_zalloc(sizeof *t);
        t->event.run = timer_due;
        t->ready.run = timer_run;
        list_init(&t->ready.link);
        t->loop = loop;
        t->timer = timer;
        timer->impl = t;
        list_push_back(&host->timers, &t->link);
    }
    list_remove(&t->ready.link);
    t->due_us = host_now_us(host) + delay_us;
    world_at(host->world, &t->event, host_world_time(host, t->due_us));
}

// ---- wake-ups

static void wake_run(struct ready *ready) {
    struct sim_wake *w = CONTAINER_OF(ready, struct sim_wake, ready);
    w->wake->woken(w->wake);
}

static int op_wake_init(struct io *io, struct io_wake *wake) {
    struct sim_wake *w = mem_zalloc(sizeof *w);
    w->ready.run = wake_run;
    list_init(&w->ready.link);
    w->loop = loop_of(io);
    w->wake = wake;
    wake->impl = w;
    list_push_back(&w->loop->host->wakes, &w->link);
    return 0;
}

static void op_wake_signal(struct io_wake *wake) {
    struct sim_wake *w = wake->impl;
    ENSURE(w != NULL);
    loop_ready(w->loop, &w->ready);
}

static void op_wake_close(struct io_wake *wake) {
    struct sim_wake *w = wake->impl;
    if (w == NULL) return;
    list_remove(&w->ready.link);
    list_remove(&w->link);
    mem_free(w);
    wake->impl = NULL;
}

// ---- a process

static void run_death(struct event *event) {
    struct host *host = CONTAINER_OF(event, struct host, death);
    if (host->on_dead != NULL) host->on_dead(host);
}

struct host *host_new(struct world *world, const char *name) {
    ENSURE(world->host_count < HOSTS_MAX);
    struct host *host = mem_zalloc(sizeof *host);
    host->world = world;
    host->index = (uint32_t)world->host_count;
    world->hosts[world->host_count++] = host;
    snprintf(host->name, sizeof host->name, "%s", name);
    list_init(&host->timers);
    list_init(&host->wakes);
    list_init(&host->listeners);
    list_init(&host->conns);
    list_init(&host->connects);
    list_init(&host->jobs);
    list_init(&host->children);
    host->death.run = run_death;
    host->powered = true;
    host->clock_base_us = 10000000 + world_draw(world, PRNG_SWARM, 1000000000);
    host->clock_world_us = world->now_us;
    return host;
}

struct sim_loop *host_start_loop(struct host *host) {
    ENSURE(host->loop_count < 2);
    struct sim_loop *loop = mem_zalloc(sizeof *loop);
    loop->io.ops = &sim_ops;
    loop->host = host;
    loop->turn.run = run_turn;
    list_init(&loop->ready);
    list_init(&loop->flush);
    host->loops[host->loop_count++] = loop;
    turn_at(loop, host->world->now_us);
    return loop;
}

void host_process_begin(struct host *host) {
    ENSURE(!host->running && host->loop_count == 0);
    host->running = true;
    host->dead = host->stopped_itself = false;
    host->boot++;
    host->paused_until_us = host->busy_until_us = host->spent_us = 0;
    world_note(host->world, NOTE_START, host->index, host->boot);
    host->powered = true;
}

void host_die(struct host *host) {
    if (host->dead) return;
    host->dead = host->stopped_itself = true;
    world_at(host->world, &host->death, host->world->now_us);
}

void host_kill(struct host *host, bool power) {
    ENSURE(host->running);
    host->dead = true;
    host->running = false;
    host->spent_us = 0;
    if (power) host->powered = false;
    world_cancel(host->world, &host->death);
    for (size_t i = 0; i < host->loop_count; i++) world_cancel(host->world, &host->loops[i]->turn);
    world_note(host->world, NOTE_CRASH, host->index, power);
    host_end_children(host);
    if (host->disk != NULL) disk_crash(host, power);
    net_cut_host(host, power);
}

void host_process_freed(struct host *host) {
    ENSURE(!host->running);
    while (!list_empty(&host->timers)) {
        struct sim_timer *t = CONTAINER_OF(host->timers.next, struct sim_timer, link);
        op_timer_stop(NULL, t->timer);
    }
    ENSURE(list_empty(&host->wakes));
    net_forget_host(host);
    for (size_t i = 0; i < host->loop_count; i++) {
        world_cancel(host->world, &host->loops[i]->turn);
        mem_free(host->loops[i]);
    }
    host->loop_count = 0;
}

void host_pause(struct host *host, uint64_t until_us) {
    if (until_us > host->paused_until_us) host->paused_until_us = until_us;
}

void host_go_on(struct host *host) {
    host->paused_until_us = host->world->now_us;
    for (size_t i = 0; i < host->loop_count; i++) // their turns were put off to the end of the pause
        if (event_set(&host->loops[i]->turn)) world_at(host->world, &host->loops[i]->turn, host->world->now_us);
}

void host_free(struct host *host) {
    ENSURE(!host->running && host->loop_count == 0);
    if (host->disk != NULL) disk_free(host->disk);
    mem_free(host);
}

const struct io_ops sim_ops = {
    .now_us = op_now_us,
    .unix_ms = op_unix_ms,
    .random = op_random,
    .timer_start = op_timer_start,
    .timer_stop = op_timer_stop,
    .wake_init = op_wake_init,
    .wake_signal = op_wake_signal,
    .wake_close = op_wake_close,
    .set_turn_hook = op_set_turn_hook,
    .listen = sim_listen,
    .listener_address = sim_listener_address,
    .listener_close = sim_listener_close,
    .connect = sim_connect,
    .connect_cancel = sim_connect_cancel,
    .conn_start = sim_conn_start,
    .conn_context = sim_conn_context,
    .conn_info = sim_conn_info,
    .conn_write = sim_conn_write,
    .conn_write_buf = sim_conn_write_buf,
    .conn_pending = sim_conn_pending,
    .conn_read_stop = sim_conn_read_stop,
    .conn_read_start = sim_conn_read_start,
    .conn_close = sim_conn_close,
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_read = sim_file_read,
    .file_write = sim_file_write,
    .file_sync = sim_file_sync,
    .file_truncate = sim_file_truncate,
    .file_size = sim_file_size,
    .file_lock = sim_file_lock,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .sync_dir = sim_sync_dir,
    .list_dir = sim_list_dir,
    .free_bytes = sim_free_bytes,
    .disk_submit = sim_disk_submit,
    .fork = sim_fork,
    .child_kill = sim_child_kill,
};
