// The forked child that saves a snapshot: it runs on the state as it is at this moment, so its bytes are taken at once;
// they reach the disk in steps, beside whatever its parent does, and it may end in the middle.
#include "sim/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#define STEP_BYTES (16u << 10)

struct sim_child {
    struct event event;
    struct ready ready;
    struct list link;
    struct sim_loop *loop;
    struct io_child *child;
    struct writer bytes;
    size_t written;
    struct io_file *file;
    int status;
    bool ended;
};

static int take(void *out, const void *data, size_t len) {
    write_span(out, bytes_of(data, len));
    return 0;
}

static void child_free(struct sim_child *c) {
    world_cancel(c->loop->host->world, &c->event);
    list_remove(&c->ready.link);
    list_remove(&c->link);
    if (c->file != NULL) sim_file_close(c->file);
    writer_free(&c->bytes);
    c->child->impl = NULL;
    mem_free(c);
}

static void child_told(struct ready *ready) {
    struct sim_child *c = CONTAINER_OF(ready, struct sim_child, ready);
    struct io_child *child = c->child;
    int status = c->status;
    child_free(c);
    child->exited(child, status);
}

static void end_with(struct sim_child *c, int status) {
    if (c->ended) return;
    c->ended = true;
    c->status = status;
    world_cancel(c->loop->host->world, &c->event);
    world_note(c->loop->host->world, NOTE_CHILD, c->loop->host->index, (uint64_t)(int64_t)status);
    loop_ready(c->loop, &c->ready);
}

static void child_step(struct event *event) {
    struct sim_child *c = CONTAINER_OF(event, struct sim_child, event);
    struct host *host = c->loop->host;
    struct world *world = host->world;
    uint64_t spent_us = host->spent_us; // the child's waiting is its own
    int error = 0;
    if (host->paused_until_us > world->now_us) { // the machine stands
        world_at(world, event, host->paused_until_us);
        return;
    }
    if (host->kill_child && world_draw(world, PRNG_SCHEDULE, 3) == 0) { // out of memory takes it alone
        host->kill_child = false;
        host->children_killed++;
        end_with(c, -SIGKILL);
        return;
    }
    if (c->file == NULL) {
        error = sim_file_open(&c->loop->io, c->child->path, O_RDWR | O_CREAT | O_TRUNC, 0644, &c->file);
    } else if (c->written < c->bytes.len) {
        size_t len = c->bytes.len - c->written;
        if (len > STEP_BYTES) len = STEP_BYTES;
        int64_t n = sim_file_write(c->file, c->bytes.data + c->written, len, c->written);
        if (n < 0) error = (int)n;
        c->written += len;
    } else {
        error = sim_file_sync(c->file);
        host->spent_us = spent_us;
        end_with(c, -error);
        return;
    }
    uint64_t rate_us = c->child->rate_bytes > 0 ? STEP_BYTES * 1000000ull / c->child->rate_bytes : 0;
    uint64_t us = host->spent_us - spent_us + rate_us + world_draw(world, PRNG_SCHEDULE, 2 * host->child_step_us + 1);
    host->spent_us = spent_us;
    if (error != 0)
        end_with(c, -error);
    else
        world_at(world, event, world->now_us + us);
}

int sim_fork(struct io *io, struct io_child *child, int (*save)(void *context, io_append_fn append, void *out),
             void *context) {
    struct sim_loop *loop = loop_of(io);
    ENSURE(child->impl == NULL && child->exited != NULL);
    if (loop->host->dead) return -EAGAIN;
    struct sim_child *c = mem_zalloc(sizeof *c);
    c->event.run = child_step;
    c->ready.run = child_told;
    list_init(&c->ready.link);
    c->loop = loop;
    c->child = child;
    child->impl = c;
    writer_init(&c->bytes);
    list_init(&c->link);
    list_push_back(&loop->host->children, &c->link);
    int error = save(context, take, &c->bytes);
    ENSURE(error == 0);
    loop->host->children_begun++;
    struct world *world = loop->host->world;
    world_at(world, &c->event, world->now_us + loop->host->spent_us + world_draw(world, PRNG_SCHEDULE, 2000));
    return 0;
}

void sim_child_kill(struct io_child *child) {
    struct sim_child *c = child->impl;
    if (c != NULL) end_with(c, -SIGKILL);
}

bool host_saves(const struct host *host) {
    for (const struct list *at = host->children.next; at != &host->children; at = at->next)
        if (!CONTAINER_OF(at, struct sim_child, link)->ended) return true;
    return false;
}

// The process has ended, and its children with it (PDEATHSIG). It is told, so that it gives back what it kept for them;
// nothing that it calls has effect.
void host_end_children(struct host *host) {
    ENSURE(host->dead);
    while (!list_empty(&host->children)) {
        struct sim_child *c = CONTAINER_OF(host->children.next, struct sim_child, link);
        c->status = -SIGKILL;
        child_told(&c->ready);
    }
}
