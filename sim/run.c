// One seed: the world is made, lives through its faults, heals, and is judged. And several seeds, each in a process of
// its own, so that a broken assertion ends only its run.
#include "sim/sim.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model/tree/tree.h"

#define CALM_US 30000000u   // after the core healed, every client completes operations within this
#define SETTLE_US 90000000u // and every member holds the same state within this (a wiped one is taken in after 10 s)
#define WALL_MAX_S 900u     // a run that takes longer hangs

static struct sim *running; // for the handlers

static void on_abort(int number) {
    struct run_result *result = running == NULL ? NULL : running->result;
    if (result != NULL && result->failed_us == 0) {
        result->failed_us = running->world.now_us;
        snprintf(result->failure, sizeof result->failure, "the process broke an invariant (signal %d%s)", number,
                 number == SIGALRM ? ": it does not end" : "");
    }
    fflush(stdout);
    _exit(1);
}

static void run_until(struct sim *sim, uint64_t until_us) {
    struct world *w = &sim->world;
    while (!w->failed) {
        struct heap_item *first = heap_first(&w->heap);
        if (first == NULL || first->time > until_us) break;
        world_step(w);
    }
    if (!w->failed && w->now_us < until_us) w->now_us = until_us;
}

static bool settled(struct sim *sim, uint64_t target) {
    if (sim->history.machine == NULL) return false;
    const struct raft_membership *m = machine_membership(sim->history.machine);
    if (m->joint) return false;
    for (uint32_t i = 0; i < m->count; i++) {
        struct sim_node *node = &sim->nodes[m->members[i].id - 1];
        if (!node_is_voter(sim, node) && !node_is_observer(sim, node)) return false;
        if (node->node == NULL || machine_applied(node_machine(node->node)) < target) return false;
        if (!invariants_idle(sim, node)) return false; // nobody asks anything any more
    }
    return true;
}

static void count_name(void *context, struct bytes name) {
    ++*(size_t *)context;
}

// Nothing of an ended session is left.
static void check_ephemerals(struct sim *sim) {
    struct history *h = &sim->history;
    for (size_t i = 0; i < h->session_count; i++) {
        size_t count = 0;
        if (h->sessions[i].ended_index == 0) continue;
        struct tree_query query = {.op = TREE_EPHEMERALS,
                                   .path = bytes_of_text("/"),
                                   .session = h->sessions[i].session,
                                   .name = count_name,
                                   .context = &count};
        struct result result;
        machine_query(h->machine, MODEL_TREE, &query, &result);
        if (count > 0)
            world_fail(&sim->world, "session %llx has ended, and %zu ephemeral nodes of it are left",
                       (unsigned long long)h->sessions[i].session, count);
    }
}

static void describe_nodes(struct sim *sim) {
    for (size_t i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (node->node == NULL) {
            printf("  n%u does not run %s\n", node->id, node->refused);
            continue;
        }
        struct core_status status;
        core_get_status(node_core(node->node), &status);
        printf("  n%u role %d leader %u term %llu commit %llu last %llu applied %llu voter %d ready %d diverged %d\n",
               node->id, (int)status.role, status.leader, (unsigned long long)status.term,
               (unsigned long long)status.commit, (unsigned long long)status.last_index,
               (unsigned long long)machine_applied(node_machine(node->node)), node_is_voter(sim, node), status.ready,
               status.diverged);
        struct node_load load;
        node_get_load(node->node, &load);
        printf("     waiting: commands %llu, reads %llu, batches to apply %llu bytes\n",
               (unsigned long long)load.commands, (unsigned long long)load.reads, (unsigned long long)load.apply_bytes);
    }
}

static void live(struct sim *sim) {
    struct world *w = &sim->world;
    run_until(sim, w->now_us + w->options.seconds * 1000000);
    // Liveness: the faults end, the core heals.
    faults_stop(sim);
    clients_calm(sim);
    natives_calm(sim);
    uint64_t calm_us = w->now_us;
    size_t waiting = 0;
    while (!w->failed && (waiting = clients_waiting(sim) + natives_waiting(sim)) > 0 && w->now_us < calm_us + CALM_US)
        run_until(sim, w->now_us + 100000);
    if (!w->failed && waiting > 0)
        world_fail(w, "%zu clients completed nothing within %u s after the faults ended (%zu of them native)", waiting,
                   CALM_US / 1000000, natives_waiting(sim));
    sim->result->calm_ms = (w->now_us - calm_us) / 1000;
    if (w->failed) return;
    uint64_t target = sim->history.last, from_us = w->now_us;
    clients_stop(sim);
    natives_stop(sim);
    faults_rejoin(sim);
    while (!w->failed && !settled(sim, target) && w->now_us < from_us + SETTLE_US) run_until(sim, w->now_us + 100000);
    if (!w->failed && !settled(sim, target))
        world_fail(w, "not all members reached index %llu as voters or observers, and are idle",
                   (unsigned long long)target);
    if (!w->failed) check_ephemerals(sim);
    if (!w->failed) natives_check(sim);
    if (!w->failed) invariants_end(sim);
}

static void fill(struct sim *sim, struct run_result *r) {
    const struct world *w = &sim->world;
    r->ok = !w->failed;
    r->now_us = w->now_us;
    r->nodes = sim->node_count;
    r->clients = sim->client_count;
    r->operations = sim->operations;
    r->refused = sim->failed_operations;
    r->unknown = sim->unknown_operations;
    r->entries = sim->history.last - sim->history.base;
    r->leaders = sim->history.leaders;
    r->expired = sim->history.expired;
    r->snapshots = sim->snapshots_made;
    r->installed = sim->snapshots_installed;
    r->events = w->events;
    r->trace = w->trace;
    memcpy(r->op_counts, sim->op_counts, sizeof r->op_counts);
    if (!w->failed) return;
    r->failed_us = w->now_us;
    snprintf(r->failure, sizeof r->failure, "%s", w->failure);
}

static uint64_t clock_us(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool run_seed(const struct sim_options *options, struct run_result *result) {
    uint64_t begun_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    struct sim *sim = mem_zalloc(sizeof *sim);
    struct world *w = &sim->world;
    *result = (struct run_result){.options = *options};
    sim->result = result;
    running = sim;
    world_init(w, options);
    net_init(w);
    swarm_draw(sim);
    net_set_swarm(w, &sim->swarm);
    history_init(&sim->history, w);
    invariants_init(sim);
    nodes_make(sim);
    clients_make(sim);
    natives_make(sim);
    faults_start(sim);
    live(sim);
    clients_check(sim);
    nodes_count(sim);
    fill(sim, result);
    result->cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID) - begun_us;
    if (!result->ok && !options->quiet) describe_nodes(sim);
    fflush(stdout);
    faults_free(sim);
    clients_free(sim);
    natives_free(sim);
    nodes_free(sim);
    invariants_free(sim);
    history_free(&sim->history);
    net_free(w);
    for (size_t i = 0; i < w->host_count; i++) host_free(w->hosts[i]);
    world_free(w);
    mem_free(sim);
    running = NULL;
    result->finished = true;
    return result->ok;
}

uint64_t wall_us(void) {
    return clock_us(CLOCK_MONOTONIC);
}

// ---- several

void pool_open(struct pool *pool, size_t jobs) {
    *pool = (struct pool){.count = jobs > JOBS_MAX ? JOBS_MAX : jobs};
    for (size_t i = 0; i < pool->count; i++) {
        pool->jobs[i].result =
            mmap(NULL, sizeof *pool->jobs[i].result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ENSURE(pool->jobs[i].result != MAP_FAILED);
    }
}

void pool_close(struct pool *pool) {
    for (size_t i = 0; i < pool->count; i++) {
        if (pool->jobs[i].pid > 0) {
            kill(pool->jobs[i].pid, SIGKILL);
            while (waitpid(pool->jobs[i].pid, NULL, 0) < 0 && errno == EINTR) continue;
        }
        munmap(pool->jobs[i].result, sizeof *pool->jobs[i].result);
    }
}

static void in_child(const struct sim_options *options, struct run_result *result) {
    static const int ends[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) signal(ends[i], on_abort);
    signal(SIGINT, SIG_IGN); // the parent decides
    alarm(WALL_MAX_S);
    exit(run_seed(options, result) ? 0 : 1);
}

void pool_start(struct pool *pool, const struct sim_options *options) {
    size_t at = 0;
    while (at < pool->count && pool->jobs[at].pid != 0) at++;
    ENSURE(at < pool->count);
    struct run_result *result = pool->jobs[at].result;
    *result = (struct run_result){.options = *options};
    fflush(stdout);
    pid_t pid = fork();
    ENSURE(pid >= 0);
    if (pid == 0) in_child(options, result);
    pool->jobs[at].pid = pid;
    pool->running++;
}

struct run_result *pool_wait(struct pool *pool) {
    int status = 0;
    if (pool->running == 0) return NULL;
    pid_t pid = waitpid(pool->count == 1 ? pool->jobs[0].pid : -1, &status, 0); // one: beside another pool
    if (pid < 0) return NULL;                                                   // a signal
    size_t at = 0;
    while (at < pool->count && pool->jobs[at].pid != pid) at++;
    ENSURE(at < pool->count);
    struct run_result *result = pool->jobs[at].result;
    pool->jobs[at].pid = 0;
    pool->running--;
    if (status != 0 && result->failure[0] == 0) { // killed, or a leak that ASan found at the end
        result->ok = false;
        snprintf(result->failure, sizeof result->failure, "the process ended with status %d behind its run", status);
    }
    if (!result->finished) result->ok = false;
    return result;
}
