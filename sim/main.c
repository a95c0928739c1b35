// The simulator: whole clusters in one process and one thread, from the same objects as the server. docs/simulator.md.
#include "sim/sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "model/tree/tree.h"

#define CALM_US 30000000u   // after the core healed, every client completes operations within this
#define SETTLE_US 90000000u // and every member holds the same state within this (a wiped one is taken in after 10 s)

static struct op_counts op_counts[CLIENT_OPS_MAX]; // of all runs
static struct sim_options running;                 // for the handler of a crash of our own

static void repeat_line(char out[256], const struct sim_options *o) {
    int n = snprintf(out, 256, "build/release/simulator --seed %llu --seconds %llu", (unsigned long long)o->seed,
                     (unsigned long long)o->seconds);
    if (o->nodes != 0) n += snprintf(out + n, 256 - (size_t)n, " --nodes %u", o->nodes);
    if (o->clients != 0) n += snprintf(out + n, 256 - (size_t)n, " --clients %u", o->clients);
    if (!o->faults) snprintf(out + n, 256 - (size_t)n, " --calm");
}

static void on_abort(int signal_number) {
    char line[256], text[512];
    repeat_line(line, &running);
    fflush(stdout);
    int n = snprintf(text, sizeof text,
                     "\nsim: FAILED seed=%llu: the process broke an invariant (signal %d)\n  repeat: %s\n",
                     (unsigned long long)running.seed, signal_number, line);
    ssize_t written = write(STDERR_FILENO, text, (size_t)n);
    (void)written;
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
    }
}

static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9; // for the speed figure only; nothing simulated sees it
}

static bool run_seed(const struct sim_options *options) {
    double begun = wall();
    running = *options;
    struct sim *sim = mem_zalloc(sizeof *sim);
    struct world *w = &sim->world;
    world_init(w, options);
    net_init(w);
    swarm_draw(sim);
    net_set_swarm(w, &sim->swarm);
    history_init(&sim->history, w);
    nodes_make(sim);
    clients_make(sim);
    faults_start(sim);
    run_until(sim, w->now_us + options->seconds * 1000000);

    // Liveness: the faults end, the core heals.
    faults_stop(sim);
    clients_calm(sim);
    uint64_t calm_us = w->now_us;
    while (!w->failed && clients_waiting(sim) > 0 && w->now_us < calm_us + CALM_US) run_until(sim, w->now_us + 100000);
    if (!w->failed && clients_waiting(sim) > 0)
        world_fail(w, "%zu clients completed nothing within %u s after the faults ended", clients_waiting(sim),
                   CALM_US / 1000000);
    uint64_t waited_us = w->now_us - calm_us;
    if (!w->failed) {
        uint64_t target = sim->history.last, from_us = w->now_us;
        clients_stop(sim);
        faults_rejoin(sim);
        while (!w->failed && !settled(sim, target) && w->now_us < from_us + SETTLE_US)
            run_until(sim, w->now_us + 100000);
        if (!w->failed && !settled(sim, target))
            world_fail(w, "not all members reached index %llu as voters or observers", (unsigned long long)target);
    }
    if (!w->failed) check_ephemerals(sim);
    clients_check(sim);
    double took = wall() - begun;
    for (size_t i = 0; i < CLIENT_OPS_MAX; i++) {
        op_counts[i].done += sim->op_counts[i].done;
        op_counts[i].refused += sim->op_counts[i].refused;
    }
    nodes_count(sim);
    bool ok = !w->failed;
    printf("seed=%llu %s nodes=%zu clients=%zu seconds=%llu operations=%llu refused=%llu unknown=%llu entries=%llu "
           "leaders=%llu expired=%llu "
           "snapshots=%llu installed=%llu "
           "calm_ms=%llu faults:",
           (unsigned long long)options->seed, ok ? "passed" : "FAILED", sim->node_count, sim->client_count,
           (unsigned long long)(w->now_us / 1000000), (unsigned long long)sim->operations,
           (unsigned long long)sim->failed_operations, (unsigned long long)sim->unknown_operations,
           (unsigned long long)sim->history.last, (unsigned long long)sim->history.leaders,
           (unsigned long long)sim->history.expired, (unsigned long long)sim->snapshots_made,
           (unsigned long long)sim->snapshots_installed, (unsigned long long)(waited_us / 1000));
    for (int i = 0; i < FAULT_COUNT; i++)
        if (sim->fault_counts[i] > 0) printf(" %s=%llu", fault_names[i], (unsigned long long)sim->fault_counts[i]);
    printf(" events=%llu trace=%016llx wall=%.2fs rate=%.0f/s\n", (unsigned long long)w->events,
           (unsigned long long)w->trace, took, (double)sim->operations / took);
    if (!ok) {
        char line[256];
        repeat_line(line, options);
        describe_nodes(sim);
        printf("sim: FAILED seed=%llu at %llu.%06llu s: %s\n  repeat: %s\n", (unsigned long long)options->seed,
               (unsigned long long)(w->now_us / 1000000), (unsigned long long)(w->now_us % 1000000), w->failure, line);
    }
    fflush(stdout);
    faults_free(sim);
    clients_free(sim);
    nodes_free(sim);
    history_free(&sim->history);
    net_free(w);
    for (size_t i = 0; i < w->host_count; i++) host_free(w->hosts[i]);
    world_free(w);
    mem_free(sim);
    return ok;
}

// ---- the command line

static int usage(void) {
    fprintf(stderr, "usage: simulator [--seed N | --seeds A..B | --minutes M | --replay FILE] [--seconds S] [--nodes "
                    "N] [--clients N]\n"
                    "                 [--calm] [--trace] [--log] [--operations] [--history FILE]\n");
    return 2;
}

struct run {
    struct sim_options options;
    uint64_t first, last, minutes;
    const char *replay;
};

static bool parse(struct run *run, int count, char **words) {
    for (int i = 0; i < count; i++) {
        const char *word = words[i], *value = i + 1 < count ? words[i + 1] : NULL;
        if (strcmp(word, "--trace") == 0) {
            run->options.trace = true;
            continue;
        }
        if (strcmp(word, "--log") == 0) {
            run->options.log = true;
            continue;
        }
        if (strcmp(word, "--operations") == 0) {
            run->options.operations = true;
            continue;
        }
        if (strcmp(word, "--calm") == 0) {
            run->options.faults = false;
            continue;
        }
        if (value == NULL) return false;
        i++;
        if (strcmp(word, "--seed") == 0) {
            run->first = run->last = strtoull(value, NULL, 10);
        } else if (strcmp(word, "--seeds") == 0) {
            const char *dots = strstr(value, "..");
            if (dots == NULL) return false;
            run->first = strtoull(value, NULL, 10);
            run->last = strtoull(dots + 2, NULL, 10);
        } else if (strcmp(word, "--seconds") == 0) {
            run->options.seconds = strtoull(value, NULL, 10);
        } else if (strcmp(word, "--minutes") == 0) {
            run->minutes = strtoull(value, NULL, 10);
        } else if (strcmp(word, "--nodes") == 0) {
            run->options.nodes = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(word, "--clients") == 0) {
            run->options.clients = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(word, "--history") == 0) {
            run->options.history = value;
        } else if (strcmp(word, "--replay") == 0) {
            run->replay = value;
        } else {
            return false;
        }
    }
    return true;
}

// sim/seeds.txt: a line each: options as on the command line, then # and what it once showed.
static int replay(const char *path, uint64_t *passed, uint64_t *failed) {
    FILE *file = fopen(path, "r");
    char line[1024];
    if (file == NULL) {
        fprintf(stderr, "sim: cannot open %s\n", path);
        return 2;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        char *hash = strchr(line, '#'), *words[32], *save = NULL;
        int count = 0;
        if (hash != NULL) *hash = 0;
        for (char *word = strtok_r(line, " \t\n", &save); word != NULL && count < 32;
             word = strtok_r(NULL, " \t\n", &save))
            words[count++] = word;
        if (count == 0) continue;
        struct run run = {.options = {.seconds = 60, .faults = true}};
        if (!parse(&run, count, words)) {
            fprintf(stderr, "sim: %s: cannot read a line\n", path);
            fclose(file);
            return 2;
        }
        run.options.seed = run.first;
        if (run_seed(&run.options))
            ++*passed;
        else
            ++*failed;
    }
    fclose(file);
    return 0;
}

int main(int argc, char **argv) {
    struct run run = {.options = {.seconds = 60, .faults = true}, .first = 1, .last = 1};
    uint64_t passed = 0, failed = 0;
    if (!parse(&run, argc - 1, argv + 1)) return usage();
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (run.replay != NULL) {
        int e = replay(run.replay, &passed, &failed);
        if (e != 0) return e;
    } else if (run.minutes > 0) {
        double until = wall() + (double)run.minutes * 60;
        for (uint64_t seed = run.first == 1 ? (uint64_t)time(NULL) * 1000 : run.first; wall() < until; seed++) {
            run.options.seed = seed;
            if (run_seed(&run.options))
                passed++;
            else
                failed++;
        }
    } else {
        for (uint64_t seed = run.first; seed <= run.last; seed++) {
            run.options.seed = seed;
            if (run_seed(&run.options))
                passed++;
            else
                failed++;
        }
    }
    if (run.options.operations && !clients_operations(op_counts)) failed++;
    printf("sim: %llu passed, %llu failed, 0 skipped\n", (unsigned long long)passed, (unsigned long long)failed);
    return failed > 0 ? 1 : 0;
}
