// Nodes as processes: started from the production objects, crashed (everything of them freed, nothing they still call
// has effect), ended in order, wiped. Behind every turn of a node's loops its Raft and its machine are held against the
// history.
#include "sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "protocol/http/http.h"
#include "protocol/zookeeper/zookeeper.h"

#define CHECK_BYTES (64u << 20)
#define RECOUNT_EVERY 4001u
#define RAFT_CHECK_EVERY 200u
#define LOAD_CHECK_EVERY 16u

static void on_log(void *context, enum log_level level, const char *line) {
    const struct sim_node *node = context;
    static const char *const names[] = {"debug", "info", "warn", "error", "off"};
    world_trace_line(&node->sim->world, "n%u %s %s", node->id, names[level], line);
}

// ---- checks behind each turn

static void take_batch(struct sim_node *node, const struct batch_ref *batch) {
    struct sim *sim = node->sim;
    bool first = batch->first == sim->history.last + 1 && sim->history.machine != NULL;
    if (first) invariants_commit(sim, node, batch);
    history_commit(&sim->history, node->id, batch);
    if (!first || sim->world.failed) return;
    invariants_committed(sim, batch);
    states_membership(sim);
}

// It commits what is only on disks by now: a new leader with a long tail of older terms.
static void from_media(struct sim_node *node, uint64_t commit) {
    struct history *h = &node->sim->history;
    const struct raft *raft = core_raft(node_core(node->node));
    struct batch_ref batch;
    uint64_t term;
    while (h->machine != NULL && h->last < commit && raft_term_at(raft, h->last + 1, &term) &&
           invariants_batch(node->sim, h->last + 1, term, &batch) && !node->sim->world.failed) {
        buf_ref(batch.buf);
        take_batch(node, &batch);
        buf_unref(batch.buf);
    }
}

static void check_commit(struct sim_node *node) {
    struct sim *sim = node->sim;
    struct raft *raft = core_raft(node_core(node->node));
    if (++node->turns % RAFT_CHECK_EVERY == 0) raft_check(raft); // it walks the whole log
    if (raft_role(raft) == RAFT_LEADER) history_leader(&sim->history, node->id, raft_term(raft));
    quorum_check(node);
    uint64_t commit = raft_commit(raft);
    if (node->checked_commit == 0 && commit > 0) { // the log begins behind a snapshot, which was committed
        node->checked_commit = sim->history.machine == NULL ? commit : node->checked_commit;
    }
    while (node->checked_commit < commit && !sim->world.failed) {
        struct batch_ref batches[64];
        size_t count = raft_committed(raft, node->checked_commit + 1, CHECK_BYTES, batches, 64);
        if (count == 0) { // behind a snapshot, or no longer in memory
            from_media(node, commit);
            node->checked_commit = commit;
            break;
        }
        for (size_t i = 0; i < count && node->checked_commit < commit; i++) {
            if (batches[i].last > commit) break;
            take_batch(node, &batches[i]);
            node->checked_commit = batches[i].last;
        }
        if (batches[0].last > commit) break;
    }
}

static void check_applied(struct sim_node *node) {
    struct sim *sim = node->sim;
    const struct machine *machine = node_machine(node->node);
    uint64_t applied = machine_applied(machine);
    states_service_turn(sim, node, applied > node->checked_applied);
    if (applied == node->checked_applied) return;
    if (applied < node->checked_applied)
        world_fail(&sim->world, "node %u went back from index %llu to %llu", node->id,
                   (unsigned long long)node->checked_applied, (unsigned long long)applied);
    node->checked_applied = applied;
    if (sim->history.machine == NULL) {
        history_begin(&sim->history, machine);
        return;
    }
    history_digest(&sim->history, node->id, applied, machine_digest(machine), false);
    if (applied >= node->recount_at) {
        node->recount_at = applied + RECOUNT_EVERY;
        history_digest(&sim->history, node->id, applied, machine_digest_recount(machine), true);
    }
    world_note(&sim->world, NOTE_APPLY, node->id, applied);
    invariants_applied(sim, node);
}

static void after_turn(struct sim_loop *loop, void *context) {
    struct sim_node *node = context;
    struct sim *sim = node->sim;
    if (node->node == NULL) return;
    node->turns_since_start++;
    if (loop == node->host->loops[1]) {
        check_commit(node);
        states_replication_turn(sim, node);
    } else {
        check_applied(node);
        if (node->turns % LOAD_CHECK_EVERY == 0) invariants_load(sim, node);
    }
    if (node->stopping || !ambushed(sim, node)) return;
    // It ends here: its disk jobs were handed over, but nothing of what it wrote to sockets in this turn has left.
    world_trace_line(&sim->world, "n%u walks into an ambush", node->id);
    node->host->dead = true;
    world_at(&sim->world, &node->struck, sim->world.now_us);
}

static void run_struck(struct event *event) {
    struct sim_node *node = CONTAINER_OF(event, struct sim_node, struck);
    if (node->node == NULL) return;
    bool lied = disk_faults(node->host->disk)->lied;
    node_crash(node, lied || world_draw(&node->sim->world, PRNG_SCHEDULE, 2) == 0);
    node_restart_after(node, world_draw(&node->sim->world, PRNG_SCHEDULE, 3000000));
}

// ---- life

static void on_fatal(void *context, const char *text) {
    struct sim_node *node = context;
    snprintf(node->fatal, sizeof node->fatal, "%s", text);
    host_die(node->host);
}

static bool strained(const struct sim_node *node) { // may a start or a write fail just now?
    const struct disk_faults *faults = disk_faults(node->host->disk);
    return faults->capacity != UINT64_MAX || node->rotten;
}

static void reached_sync(struct sim_node *node, bool sync) {
    bool leads = raft_role(core_raft(node_core(node->node))) == RAFT_LEADER;
    if (sync && leads) state_reached(node->sim, STATE_LEADER_SYNC_FAILS);
}

static void on_dead(struct host *host) {
    struct sim_node *node = host->owner;
    struct sim *sim = node->sim;
    if (node->node == NULL) return;
    world_trace_line(&sim->world, "n%u ended itself: %s", node->id, node->fatal);
    bool sync = strstr(node->fatal, "Input/output error") != NULL; // an injected one: nothing else gives EIO here
    reached_sync(node, sync);
    if (!sync && !strained(node)) world_fail(&sim->world, "node %u ended itself: %s", node->id, node->fatal);
    // After a failed fsync the machine is booted anew: the cache holds pages that the disk will never have
    // (docs/simulator.md).
    node_crash(node, true);
    node_restart_after(node, 200000 + world_draw(&sim->world, PRNG_FAULT, 2000000));
}

// Upgrades one after another: from some start on a node's binary knows apply level 2. Not drawn, so that what seeds
// were found for stays as it was.
static uint32_t apply_level_of(const struct sim_node *node) {
    uint64_t hash = hash_u64(node->sim->world.options.seed ^ node->id);
    bool newest = natives_wanted(node->sim) && node->sim->world.options.seed % 4 != 0; // else their locks come late
    return newest || node->starts > hash % 4 ? SIM_APPLY_LEVEL : APPLY_LEVEL_FIRST;
}

static void refused(struct sim_node *node, bool unreadable) {
    if (!node->rotten) return;
    bool lied = disk_lie(node->host->disk) == DISK_LIE_VOUCHED;
    state_reached(node->sim, unreadable ? STATE_READ_ERROR_REFUSED
                             : lied     ? STATE_LOST_WRITE_REFUSED
                                        : STATE_DAMAGE_REFUSED);
}

void node_begin(struct sim_node *node) {
    struct sim *sim = node->sim;
    struct host *host = node->host;
    char error[1024];
    ENSURE(node->node == NULL);
    world_cancel(&sim->world, &node->restart);
    if (disk_lie(host->disk) == DISK_LIE_TAIL) { // no one can tell: it counts as a lost disk, and is replaced
        state_reached(sim, STATE_LOST_WRITE_TAIL);
        node_wipe(node);
    }
    uint64_t read_errors = disk_read_errors(host->disk);
    size_t torn = disk_files(host->disk, "/torn/");
    host_process_begin(host);
    host->call_us_max = sim->swarm.call_us_max;
    host->child_step_us = sim->swarm.child_step_us;
    node->starts++;
    struct sim_loop *service = host_start_loop(host), *replication = host_start_loop(host);
    const struct node_listener listeners[] = {
        {.protocol = &zookeeper_protocol, .address = node->zookeeper, .advertised_as = ADVERTISED_ZOOKEEPER},
        {.protocol = &http_protocol,
         .address = node->http,
         .advertised_as = ADVERTISED_HTTP,
         .settings = &node->http_settings}};
    struct node_options options = {.service_io = loop_io(service),
                                   .replication_io = loop_io(replication),
                                   .log = node->log,
                                   .data_folder = node->data,
                                   .id = node->id,
                                   .cluster = sim->cluster,
                                   .cluster_count = sim->cluster_count,
                                   .peer_address = node->peer,
                                   .listeners = listeners,
                                   .listener_count = natives_wanted(sim) ? 2 : 1,
                                   .apply_level_max = apply_level_of(node),
                                   .journal_align = sim->swarm.journal_align,
                                   .segment_bytes = sim->swarm.segment_bytes,
                                   .snapshot_every_entries = sim->swarm.snapshot_every_entries,
                                   .snapshot_every_bytes = sim->swarm.snapshot_every_bytes,
                                   .snapshot_chunk_bytes = sim->swarm.snapshot_chunk_bytes,
                                   .log_tail_bytes_max = sim->swarm.log_tail_bytes,
                                   .apply_ahead_bytes_max = sim->swarm.apply_ahead_bytes,
                                   .journal_keep_entries = sim->swarm.journal_keep_entries};
    struct core_peer cluster[SIM_NODES_MAX + 1];
    if (node->id > sim->cluster_count) { // one that joins later lists itself and the first ones
        memcpy(cluster, sim->cluster, sizeof sim->cluster);
        options.cluster_count = sim->cluster_count + 1;
        cluster[sim->cluster_count].id = node->id;
        snprintf(cluster[sim->cluster_count].address, ADDRESS_TEXT_MAX, "%s", node->peer);
        options.cluster = cluster;
    }
    node->checked_commit = node->checked_applied = node->led_term = 0;
    node->stopping = false;
    node->node = node_start(&options, error);
    host->busy_until_us = sim->world.now_us + host->spent_us;
    host->spent_us = 0;
    if (disk_files(host->disk, "/torn/") > torn) state_reached(sim, STATE_TORN_TAIL);
    if (node->node == NULL) {
        world_trace_line(&sim->world, "n%u does not start: %s", node->id, error);
        refused(node, disk_read_errors(host->disk) > read_errors);
        snprintf(node->refused, sizeof node->refused, "%s", error);
        host_kill(host, false);
        host_process_freed(host);
        bool sync = strstr(error, "Input/output error") != NULL;
        if (!strained(node) && !sync) world_fail(&sim->world, "node %u does not start: %s", node->id, error);
        if (node->rotten) node_wipe(node);
        node_restart_after(node, 1000000);
        return;
    }
    node->http_settings.node = node->node;
    node_on_fatal(node->node, on_fatal, node);
    service->after_turn = replication->after_turn = after_turn;
    service->after_context = replication->after_context = node;
    struct core_hello hello;
    core_own_hello(node_core(node->node), &hello);
    memcpy(node->incarnation, hello.incarnation, INCARNATION_BYTES);
    uint64_t index = machine_applied(node_machine(node->node));
    node->checked_commit = node->checked_applied = index;
    if (index > 0 && sim->history.machine != NULL)
        history_digest(&sim->history, node->id, index, machine_digest(node_machine(node->node)), false);
    world_trace_line(&sim->world, "n%u starts at index %llu", node->id, (unsigned long long)index);
    uint64_t last = raft_last_index(core_raft(node_core(node->node)));
    if (last < node->persisted)
        world_fail(&sim->world, "node %u had persisted up to index %llu, and finds %llu on its disk", node->id,
                   (unsigned long long)node->persisted, (unsigned long long)last);
    quorum_started(node);
    node->turns_since_start = 0;
    invariants_started(sim, node);
    states_started(sim, node);
    if (node->rotten) { // what rotted was not needed; the disk is replaced all the same
        node_crash(node, false);
        node_wipe(node);
        node_restart_after(node, 1000000);
    }
}

static void count_metrics(struct sim_node *node) {
    struct node_metrics metrics;
    node_get_metrics(node->node, &metrics);
    node->sim->snapshots_installed += metrics.snapshots_installed;
    node->sim->snapshots_made += metrics.snapshots_made;
}

void nodes_count(struct sim *sim) {
    for (size_t i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].node != NULL) count_metrics(&sim->nodes[i]);
}

void node_crash(struct sim_node *node, bool power) {
    ENSURE(node->node != NULL);
    world_trace_line(&node->sim->world, "n%u crashes%s", node->id, power ? " (power)" : "");
    node->persisted = raft_persisted_index(core_raft(node_core(node->node)));
    count_metrics(node);
    states_crash(node->sim, node);
    host_kill(node->host, power);
    node_abandon(node->node);
    node->node = NULL;
    world_cancel(&node->sim->world, &node->stopped);
    world_cancel(&node->sim->world, &node->struck);
    host_process_freed(node->host);
    states_crashed(node->sim);
}

static void run_stopped(struct event *event) { // outside of the loop's turn
    struct sim_node *node = CONTAINER_OF(event, struct sim_node, stopped);
    if (node->node == NULL) return;
    if (!list_empty(&node->host->jobs)) { // the journal's own writes: it frees itself behind them
        world_at(&node->sim->world, event, node->sim->world.now_us + 10000);
        return;
    }
    world_trace_line(&node->sim->world, "n%u ended in order", node->id);
    count_metrics(node);
    node->persisted = raft_persisted_index(core_raft(node_core(node->node)));
    node_free(node->node);
    node->node = NULL;
    host_kill(node->host, false);
    host_process_freed(node->host);
}

static void on_stopped(void *context) {
    struct sim_node *node = context;
    world_at(&node->sim->world, &node->stopped, node->sim->world.now_us);
}

void node_end(struct sim_node *node) {
    ENSURE(node->node != NULL);
    if (node->stopping) return;
    node->stopping = true;
    world_trace_line(&node->sim->world, "n%u is asked to end", node->id);
    node_stop(node->node, on_stopped, node);
}

static void run_restart(struct event *event) {
    struct sim_node *node = CONTAINER_OF(event, struct sim_node, restart);
    if (node->node == NULL)
        node_begin(node);
    else // it still ends
        node_restart_after(node, 500000);
}

void node_restart_after(struct sim_node *node, uint64_t us) {
    world_at(&node->sim->world, &node->restart, node->sim->world.now_us + us);
}

void node_wipe(struct sim_node *node) {
    ENSURE(node->node == NULL);
    world_trace_line(&node->sim->world, "n%u gets an empty disk", node->id);
    disk_wipe(node->host->disk);
    memset(node->incarnation, 0, sizeof node->incarnation);
    node->rotten = false;
    node->lost = true;
    quorum_lost(node);
    node->persisted = 0;
}

// NULL: no member under its incarnation, or a change is under way.
static const struct member *member_of(const struct sim *sim, const struct sim_node *node) {
    if (sim->history.machine == NULL) return NULL;
    const struct raft_membership *m = machine_membership(sim->history.machine);
    const struct member *member = membership_find(m, node->id);
    bool same = member != NULL && memcmp(member->incarnation, node->incarnation, INCARNATION_BYTES) == 0;
    return same && !m->joint ? member : NULL;
}

bool node_is_voter(const struct sim *sim, const struct sim_node *node) {
    const struct member *member = member_of(sim, node);
    return member != NULL && member->role == MEMBER_VOTER;
}

bool node_is_observer(const struct sim *sim, const struct sim_node *node) {
    const struct member *member = member_of(sim, node);
    return member != NULL && member->observer;
}

struct sim_node *sim_leader(struct sim *sim) {
    struct sim_node *best = NULL;
    uint64_t best_term = 0;
    for (size_t i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (node->node == NULL || node->stopping) continue;
        const struct raft *raft = core_raft(node_core(node->node));
        if (raft_role(raft) != RAFT_LEADER || raft_term(raft) < best_term) continue;
        best = node;
        best_term = raft_term(raft);
    }
    return best;
}

void nodes_make(struct sim *sim) {
    for (size_t i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        char name[32];
        node->sim = sim;
        node->id = (uint32_t)i + 1;
        snprintf(name, sizeof name, "10.0.0.%u", node->id);
        node->host = host_new(&sim->world, name);
        node->host->owner = node;
        node->host->on_dead = on_dead;
        node->host->disk = disk_new(&sim->world);
        disk_set_swarm(node->host->disk, &sim->swarm);
        if (sim->swarm.drift_ppm_max > 0)
            host_set_drift(node->host, (int64_t)world_draw(&sim->world, PRNG_SWARM, 2 * sim->swarm.drift_ppm_max) -
                                           (int64_t)sim->swarm.drift_ppm_max);
        snprintf(node->data, sizeof node->data, "/data");
        snprintf(node->zookeeper, sizeof node->zookeeper, "%s:2181", name);
        snprintf(node->http, sizeof node->http, "%s:7450", name);
        snprintf(node->peer, sizeof node->peer, "%s:7451", name);
        node->log = log_new(sim->world.options.log ? LOG_LEVEL_DEBUG : LOG_LEVEL_OFF, on_log, node);
        node->restart.run = run_restart;
        node->struck.run = run_struck;
        node->stopped.run = run_stopped;
    }
    for (size_t i = 0; i < sim->cluster_count; i++) {
        sim->cluster[i].id = sim->nodes[i].id;
        snprintf(sim->cluster[i].address, ADDRESS_TEXT_MAX, "%s", sim->nodes[i].peer);
        sim->nodes[i].member = true;
        node_restart_after(&sim->nodes[i], world_draw(&sim->world, PRNG_SWARM, 300000));
    }
}

void nodes_free(struct sim *sim) {
    for (size_t i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (node->node != NULL) node_crash(node, false);
        world_cancel(&sim->world, &node->restart);
        log_free(node->log);
        quorum_free(node);
    }
}
