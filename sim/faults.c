// What goes wrong: drawn by the seed, held to docs/faults.md by fault_allowed.
#include "base/hash.h"
#include "sim/sim.h"

#include <stdio.h>
#include <string.h>

const char *const fault_names[FAULT_COUNT] = {
#define X(name, text) text,
    FAULTS(X) SCENARIOS(X)
#undef X
};

struct heal { // the end of a fault
    struct event event;
    struct list link;
    struct sim *sim;
    enum fault fault;
    uint32_t node, other;
};

static struct world *world_of(struct sim *sim) {
    return &sim->world;
}

static uint64_t draw(struct sim *sim, uint64_t bound) {
    return world_draw(world_of(sim), PRNG_FAULT, bound);
}

// ---- the seed's own mixture

void swarm_draw(struct sim *sim) {
    struct world *w = world_of(sim);
    struct swarm *s = &sim->swarm;
    const struct sim_options *o = &w->options;
    static const uint32_t nodes[] = {1, 3, 3, 3, 3, 3, 5, 5};
    s->nodes = o->nodes != 0 ? o->nodes : nodes[world_draw(w, PRNG_SWARM, 8)];
    s->clients = o->clients != 0 ? o->clients : (uint32_t)world_between(w, PRNG_SWARM, 2, 10);
    s->depth = (uint32_t)world_between(w, PRNG_SWARM, 1, 16);
    s->keys = (uint32_t)world_between(w, PRNG_SWARM, 2, 24);
    s->think_us = (uint32_t)world_between(w, PRNG_SWARM, 1, 12) * s->clients * 1000; // 80 to 1,000 operations a second
    s->session_ms = world_draw(w, PRNG_SWARM, 3) == 0 ? (uint32_t)world_between(w, PRNG_SWARM, 4000, 20000) : 4000;
    s->value_bytes = world_draw(w, PRNG_SWARM, 4) == 0 ? 20000 : 200;
    s->delay_us = (uint32_t)world_between(w, PRNG_SWARM, 50, 2000);
    s->jitter_us = (uint32_t)world_between(w, PRNG_SWARM, 10, 3000);
    s->disk_us = (uint32_t)world_between(w, PRNG_SWARM, 50, 3000);
    s->disk_jitter_us = (uint32_t)world_between(w, PRNG_SWARM, 10, 5000);
    s->call_us_max = world_draw(w, PRNG_SWARM, 4) == 0 ? (uint32_t)world_between(w, PRNG_SWARM, 1, 300) : 0;
    s->child_step_us = world_draw(w, PRNG_SWARM, 2) == 0 ? 1000 : (uint32_t)world_between(w, PRNG_SWARM, 1, 300) * 1000;
    s->drift_ppm_max = world_draw(w, PRNG_SWARM, 2) == 0 ? (uint32_t)world_between(w, PRNG_SWARM, 1, 10000) : 0;
    s->split_per_million = world_draw(w, PRNG_SWARM, 2) == 0 ? (uint32_t)world_between(w, PRNG_SWARM, 1, 200000) : 0;
    s->journal_align = world_draw(w, PRNG_SWARM, 3) == 0 ? 4096 : 512;
    s->segment_bytes = (uint64_t)world_between(w, PRNG_SWARM, 2, 16) * (64u << 10);
    if (world_draw(w, PRNG_SWARM, 2) == 0) s->segment_bytes = 64u << 10; // much is cut away, snapshots travel
    s->snapshot_every_entries = world_draw(w, PRNG_SWARM, 4) == 0 ? 1000000 : world_between(w, PRNG_SWARM, 50, 2000);
    s->journal_keep_entries = world_draw(w, PRNG_SWARM, 3) == 0 ? 0 : world_between(w, PRNG_SWARM, 1, 1000);
    s->snapshot_chunk_bytes = world_draw(w, PRNG_SWARM, 3) == 0 ? 0 : world_between(w, PRNG_SWARM, 32, 1024);
    s->log_tail_bytes = world_draw(w, PRNG_SWARM, 3) == 0
                            ? 0
                            : world_between(w, PRNG_SWARM, 1, 16) * 64 *
                                  (s->value_bytes > 1000 ? 65536 : 1024); // a turn's commits stay in it
    s->snapshot_every_bytes = (uint64_t)world_between(w, PRNG_SWARM, 1, 64) * (64u << 10);
    s->fault_every_us = o->faults ? world_between(w, PRNG_SWARM, 100, 4000) * 1000 : 0;
    for (int i = 0; i < FAULT_DRAWN; i++)
        s->weight[i] = world_draw(w, PRNG_SWARM, 2) == 0 ? 0 : (uint32_t)world_between(w, PRNG_SWARM, 1, 10);
    if (s->weight[FAULT_POWER_ALL] > 2) s->weight[FAULT_POWER_ALL] = 2;
    s->from_start = world_draw(w, PRNG_SWARM, 3) == 0;
    sim->client_count = s->clients > SIM_CLIENTS_MAX ? SIM_CLIENTS_MAX : s->clients;
    sim->cluster_count = s->nodes > 7 ? 7 : s->nodes;
    sim->node_count = sim->cluster_count; // + spare ones: members that come and go
    if (sim->cluster_count >= 3 && s->weight[FAULT_MEMBER] > 0) sim->node_count++;
    sim->spare_observes = (hash_u64(o->seed) & 1) != 0; // not drawn: what seeds were found for stays as it was
    scenario_swarm(sim);
}

// ---- the rule

static size_t voters(const struct sim *sim) {
    return sim->history.machine == NULL ? 0 : membership_voters(machine_membership(sim->history.machine));
}

// Members whose disk is not what the committed membership takes it for.
static size_t lost_disks(const struct sim *sim) {
    size_t count = 0;
    const struct raft_membership *m = machine_membership(sim->history.machine);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct sim_node *node = &sim->nodes[m->members[i].id - 1];
        if (m->members[i].observer) continue; // counts in no majority
        count += node->lost || node->rotten || !node_is_voter(sim, node);
    }
    return count;
}

static bool not_counted_on(const struct sim *sim, const struct sim_node *node) {
    if (sim->history.machine == NULL || node->rotten) return false;
    const struct raft_membership *m = machine_membership(sim->history.machine);
    const struct member *member = membership_find(m, node->id);
    bool same = member != NULL && memcmp(member->incarnation, node->incarnation, INCARNATION_BYTES) == 0;
    return node->lost && (!same || member->role == MEMBER_LEARNER);
}

// docs/faults.md as code: f = (n - 1) / 2 disks may be lost, wiped, rotten or lie at once; the rest may happen to any
// number of nodes at any time, and takes at most service away.
bool fault_allowed(const struct sim *sim, enum fault fault, const struct sim_node *node) {
    size_t n = voters(sim), f = n == 0 ? 0 : (n - 1) / 2;
    switch (fault) {
    case FAULT_WIPE:
        if (not_counted_on(sim, node)) return true; // wiped again, before it was a voter
        // fall through
    case FAULT_ROT:
    case FAULT_READ_ERROR:
    case FAULT_LOST_WRITE: // in the last synced batch nothing tells: it counts as a lost disk from the beginning
    case FAULT_MISDIRECTED:
        // Until something is committed the node that formed the cluster may be the only one that knows of it: without
        // its disk the others would form another.
        if (sim->history.machine == NULL || sim->history.last == sim->history.base) return false;
        if (node->lost || node->rotten || !node_is_voter(sim, node)) return false;
        return !machine_membership(sim->history.machine)->joint && lost_disks(sim) < f;
    case FAULT_FULL_DISK:
        return sim->history.machine != NULL;
    case FAULT_FAIL_SYNC:
        return node->node != NULL && sim->history.machine != NULL;
    default:
        return true;
    }
}

// ---- ends of faults

static void end_fault(struct sim *sim, enum fault fault, uint32_t a, uint32_t b) {
    struct world *w = world_of(sim);
    if (fault == FAULT_STRAND && b == 1) { // before it ends: whoever talked to that node goes, or is paused
        for (size_t i = 0; i < sim->client_count; i++) {
            if (!client_is_at(sim, i, a)) continue;
            if (draw(sim, 2) == 0)
                client_die(sim, i);
            else
                client_pause_for(sim, i, draw(sim, 12000000));
        }
        return;
    }
    struct sim_node *node = a < sim->node_count ? &sim->nodes[a] : NULL;
    switch (fault) {
    case FAULT_PARTITION:
    case FAULT_ONE_WAY:
    case FAULT_PARTIAL:
    case FAULT_ISOLATE:
    case FAULT_STRAND:
    case FAULT_SLOW_LINK:
        net_heal(w);
        break;
    case FAULT_SLOW_DISK:
        disk_faults(node->host->disk)->slow = 1;
        break;
    case FAULT_FULL_DISK:
        disk_faults(node->host->disk)->capacity = UINT64_MAX;
        break;
    case FAULT_CLOCK:
        node->host->unix_stands = false;
        break;
    case FAULT_READ_ERROR:
    case FAULT_LOST_WRITE:
    case FAULT_MISDIRECTED: // the power goes, and with it the cache that hid it
        if (!node->rotten || node->node == NULL || event_set(&node->stopped)) break;
        node_crash(node, true);
        node_restart_after(node, draw(sim, 2000000));
        break;
    case FAULT_AMBUSH:
        sim->ambush = AMBUSH_NONE;
        break;
    case FAULT_CHILD_KILL:
        for (size_t i = 0; i < sim->node_count; i++) sim->nodes[i].host->kill_child = false;
        break;
    default:
        break;
    }
    world_trace_line(w, "end of %s", fault_names[fault]);
}

static void run_heal(struct event *event) {
    struct heal *heal = CONTAINER_OF(event, struct heal, event);
    struct sim *sim = heal->sim;
    list_remove(&heal->link);
    if (!sim->calming) end_fault(sim, heal->fault, heal->node, heal->other);
    mem_free(heal);
}

static void heal_after(struct sim *sim, enum fault fault, uint32_t node, uint32_t other, uint64_t us) {
    struct heal *heal = mem_zalloc(sizeof *heal);
    heal->event.run = run_heal;
    heal->sim = sim;
    heal->fault = fault;
    heal->node = node;
    heal->other = other;
    list_init(&heal->link);
    list_push_back(&sim->heals, &heal->link);
    world_at(world_of(sim), &heal->event, sim->world.now_us + us);
}

static uint64_t duration_us(struct sim *sim) { // mostly short, now and then past every time-out
    static const uint64_t most[] = {50000, 300000, 1000000, 3000000, 8000000, 20000000};
    return 1000 + draw(sim, most[draw(sim, sizeof most / sizeof most[0])]);
}

// ---- beginnings

static void partition(struct sim *sim, bool one_way) {
    struct world *w = world_of(sim);
    uint64_t side = draw(sim, 1ull << sim->node_count);
    for (uint32_t a = 0; a < w->host_count; a++) {
        for (uint32_t b = 0; b < w->host_count; b++) {
            bool in_a = a < sim->node_count ? side >> a & 1 : a % 2, in_b = b < sim->node_count ? side >> b & 1 : b % 2;
            if (a == b || in_a == in_b || (one_way && !in_a)) continue;
            net_block(w, a, b, true);
        }
    }
}

// Pairs of nodes that have lost each other, while each still reaches all the others.
static bool partial(struct sim *sim) {
    uint32_t order[SIM_NODES_MAX], count = (uint32_t)sim->node_count;
    if (count < 3) return false;
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    for (uint32_t i = count; i-- > 1;) {
        uint32_t j = (uint32_t)draw(sim, i + 1), held = order[i];
        order[i] = order[j];
        order[j] = held;
    }
    uint64_t pairs = 1 + draw(sim, count / 2);
    for (uint32_t i = 0; i < pairs && 2 * i + 1 < count; i++) {
        net_block(world_of(sim), order[2 * i], order[2 * i + 1], true);
        net_block(world_of(sim), order[2 * i + 1], order[2 * i], true);
    }
    return true;
}

static void isolate(struct sim *sim, uint32_t which, bool clients) { // clients: with these it can still talk
    struct world *w = world_of(sim);
    uint64_t ways = 1 + draw(sim, 3);
    bool reject = draw(sim, 3) == 0;
    for (uint32_t other = 0; other < (clients ? sim->node_count : w->host_count); other++) {
        if (other == which) continue;
        if (reject) net_reject(w, which, other);
        if (ways & 1) net_block(w, which, other, true);
        if (ways & 2) net_block(w, other, which, true);
    }
}

static void on_admin(void *context, int error, const char *text) {
    struct sim_node *node = context;
    world_trace_line(world_of(node->sim), "change of member %u: %d %s", node->id, error, text);
}

static void change_members(struct sim *sim) {
    struct sim_node *spare = &sim->nodes[sim->node_count - 1], *leader = sim_leader(sim);
    if (leader == NULL || sim->history.machine == NULL || sim->node_count == sim->cluster_count) return;
    const struct member *member = membership_find(machine_membership(sim->history.machine), spare->id);
    if (member == NULL) {
        if (spare->node == NULL) {
            node_wipe(spare);
            spare->lost = false; // nothing counts on it
            node_begin(spare);
        }
        spare->member = true;
        enum core_admin how = sim->spare_observes ? CORE_MEMBER_ADD_OBSERVER : CORE_MEMBER_ADD;
        node_admin(leader->node, how, spare->id, spare->peer, on_admin, spare);
    } else if (member->observer && draw(sim, 4) == 0) {
        node_admin(leader->node, CORE_MEMBER_PROMOTE, spare->id, NULL, on_admin, spare);
    } else {
        spare->member = false;
        node_admin(leader->node, CORE_MEMBER_REMOVE, spare->id, NULL, on_admin, spare);
    }
}

// ---- an ambush

static bool leads_unsent(const struct raft *raft, uint32_t self) {
    const struct raft_membership *m = raft_membership(raft);
    uint64_t persisted = raft_persisted_index(raft);
    if (persisted <= raft_commit(raft) || m->count < 2) return false;
    for (uint32_t i = 0; i < m->count; i++) {
        struct raft_progress progress;
        if (m->members[i].id == self || !raft_progress(raft, m->members[i].id, &progress)) continue;
        if (progress.match >= persisted) return false;
    }
    return true;
}

static bool in_ambush(const struct sim *sim, const struct sim_node *node) {
    const struct raft *raft = core_raft(node_core(node->node));
    bool leads = raft_role(raft) == RAFT_LEADER;
    switch (sim->ambush) {
    case AMBUSH_SAVING:
        return host_saves(node->host);
    case AMBUSH_RECEIVING:
        return sim->seen.sending >> node->id & 1;
    case AMBUSH_SENDING:
        return leads && sim->seen.leader == node->id && sim->seen.sending != 0;
    case AMBUSH_JOINT:
        return leads && raft_membership(raft)->joint;
    case AMBUSH_UNSENT:
        return leads && leads_unsent(raft, node->id);
    case AMBUSH_ELECTED:
        return leads && !raft_term_committed(raft);
    case AMBUSH_LIED:
        return disk_faults(node->host->disk)->lied;
    case AMBUSH_STARTED:
        return node->turns_since_start < 20;
    default:
        return false;
    }
}

bool ambushed(struct sim *sim, const struct sim_node *node) {
    if (sim->ambush == AMBUSH_NONE || !in_ambush(sim, node)) return false;
    sim->ambush = AMBUSH_NONE;
    return true;
}

// ---- one fault. Each gives false when it cannot be begun now.

static bool begin_process_fault(struct sim *sim, enum fault fault, struct sim_node *node, uint64_t us) {
    bool all = fault == FAULT_POWER_ALL;
    if (fault == FAULT_CHILD_KILL) {
        for (size_t i = 0; i < sim->node_count; i++) sim->nodes[i].host->kill_child = true;
        return true;
    }
    if (fault == FAULT_AMBUSH) {
        sim->ambush = (enum ambush)(1 + draw(sim, AMBUSH_COUNT - 1));
        return true;
    }
    if (fault == FAULT_PAUSE) {
        host_pause(node->host, sim->world.now_us + us);
        return true;
    }
    for (size_t i = 0; all && i < sim->node_count; i++) {
        if (sim->nodes[i].node == NULL || event_set(&sim->nodes[i].stopped)) continue;
        node_crash(&sim->nodes[i], draw(sim, 3) != 0);
        node_restart_after(&sim->nodes[i], draw(sim, us));
    }
    if (all) return true;
    if (node->node == NULL || node->stopping || event_set(&node->stopped)) return false;
    if (fault == FAULT_RESTART)
        node_end(node);
    else
        node_crash(node, fault == FAULT_POWER);
    node_restart_after(node, us);
    return true;
}

static bool begin_net_fault(struct sim *sim, enum fault fault, const struct sim_node *node, uint64_t us) {
    struct world *w = world_of(sim);
    uint32_t which = node->id - 1;
    switch (fault) {
    case FAULT_PARTITION:
    case FAULT_ONE_WAY:
        partition(sim, fault == FAULT_ONE_WAY);
        break;
    case FAULT_PARTIAL:
        if (!partial(sim)) return false;
        sim->partial_until_us = w->now_us + us;
        break;
    case FAULT_ISOLATE:
        isolate(sim, which, draw(sim, 2) == 0);
        break;
    case FAULT_STRAND:
        isolate(sim, which, true);
        heal_after(sim, fault, which, 1, draw(sim, us));
        break;
    case FAULT_BREAK:
        for (uint32_t other = 0; other < w->host_count; other++)
            if (other != which && draw(sim, 2) == 0) net_break_some(w, which, other);
        break;
    default:
        for (uint32_t other = 0; other < w->host_count; other++)
            if (draw(sim, 3) == 0) net_slow(w, which, other, (uint32_t)draw(sim, 300000));
    }
    return true;
}

static bool begin_disk_fault(struct sim *sim, enum fault fault, struct sim_node *node, uint64_t us, char what[256]) {
    struct disk_faults *disk = disk_faults(node->host->disk);
    switch (fault) {
    case FAULT_SLOW_DISK:
        disk->slow = 2 + (uint32_t)draw(sim, 100);
        return true;
    case FAULT_STALL_DISK:
        disk->stalled_until_us = sim->world.now_us + us;
        return true;
    case FAULT_FULL_DISK:
        disk->capacity = disk_used(node->host->disk) + draw(sim, draw(sim, 2) == 0 ? 1000 : 200000);
        return true;
    case FAULT_FAIL_SYNC:
        disk->fail_sync = true;
        return true;
    case FAULT_READ_ERROR: // somewhere, or in what the running node reads next
        disk->fail_read = node->node != NULL && draw(sim, 2) == 0;
        node->rotten = disk->fail_read || disk_make_unreadable(node->host->disk, what);
        return node->rotten;
    case FAULT_LOST_WRITE:
    case FAULT_MISDIRECTED:
        if (node->node == NULL) return false;
        disk->lose_write = fault == FAULT_LOST_WRITE;
        disk->misdirect = !disk->lose_write;
        if (draw(sim, 2) == 0) sim->ambush = AMBUSH_LIED; // the power goes at once: nothing vouches for it yet
        node->rotten = true;
        return true;
    default: // ROT, WIPE
        if (fault == FAULT_ROT && !disk_rot(node->host->disk, what)) return false;
        if (node->node != NULL) node_crash(node, fault == FAULT_WIPE);
        if (fault == FAULT_ROT)
            node->rotten = true;
        else
            node_wipe(node);
        if (draw(sim, 2) == 0) sim->ambush = draw(sim, 2) == 0 ? AMBUSH_RECEIVING : AMBUSH_SENDING; // its successor
        node_restart_after(node, us);
        return true;
    }
}

static void jump_clock(struct sim *sim, struct host *host) {
    if (draw(sim, 3) == 0) {
        host->unix_stood_ms = UNIX_BASE_MS + (int64_t)(sim->world.now_us / 1000);
        host->unix_stands = true;
    } else {
        host->unix_offset_ms = (int64_t)draw(sim, 2000000000) - 1000000000;
    }
}

void fault_begun(struct sim *sim, enum fault fault, const struct sim_node *node, uint64_t ordinal) {
    world_note(world_of(sim), NOTE_FAULT, (uint64_t)fault, node->id);
    states_fault(sim, fault, node);
    struct run_result *result = sim->result;
    result->fault_counts[fault]++;
    if (result->fault_count < ORDINALS_MAX)
        result->faults[result->fault_count++] = (struct result_fault){
            .ordinal = (uint32_t)ordinal, .node = node->id, .fault = fault, .at_us = sim->world.now_us};
}

static bool begin_fault(struct sim *sim, enum fault fault) {
    struct world *w = world_of(sim);
    struct sim_node *node = &sim->nodes[draw(sim, sim->node_count)], *leader = sim_leader(sim);
    if (draw(sim, 3) == 0 && leader != NULL) node = leader;
    if (fault == FAULT_WIPE && draw(sim, 2) == 0)
        for (size_t i = 0; i < sim->node_count; i++)
            if (not_counted_on(sim, &sim->nodes[i])) node = &sim->nodes[i];
    if (!fault_allowed(sim, fault, node) || event_set(&node->stopped)) return false;
    uint64_t us = duration_us(sim);
    char what[256] = "";
    bool begun = true;
    switch (fault) {
    case FAULT_KILL:
    case FAULT_POWER:
    case FAULT_POWER_ALL:
    case FAULT_PAUSE:
    case FAULT_RESTART:
    case FAULT_CHILD_KILL:
    case FAULT_AMBUSH:
        if (fault == FAULT_AMBUSH || fault == FAULT_CHILD_KILL) us += 10000000; // it has to come to pass
        begun = begin_process_fault(sim, fault, node, us);
        break;
    case FAULT_CLOCK:
        jump_clock(sim, node->host);
        break;
    case FAULT_CLIENT_PAUSE:
        client_pause_for(sim, (size_t)draw(sim, sim->client_count), us);
        break;
    case FAULT_CLIENT_DIE:
        client_die(sim, (size_t)draw(sim, sim->client_count));
        break;
    case FAULT_MEMBER:
        change_members(sim);
        if (draw(sim, 3) == 0) sim->ambush = (enum ambush)(AMBUSH_RECEIVING + draw(sim, 3));
        break;
    case FAULT_TRANSFER:
        if (leader == NULL) return false;
        node_admin(leader->node, CORE_TRANSFER, draw(sim, 2) == 0 ? 0 : node->id, NULL, on_admin, leader);
        break;
    case FAULT_PARTITION:
    case FAULT_ONE_WAY:
    case FAULT_PARTIAL:
    case FAULT_ISOLATE:
    case FAULT_STRAND:
    case FAULT_BREAK:
    case FAULT_SLOW_LINK:
        if (fault == FAULT_STRAND) us = 1000000 + draw(sim, 9000000);
        begun = begin_net_fault(sim, fault, node, us);
        break;
    default:
        begun = begin_disk_fault(sim, fault, node, us, what);
    }
    if (!begun) return false;
    world_trace_line(w, "fault %s n%u %llu us %s", fault_names[fault], node->id, (unsigned long long)us, what);
    fault_begun(sim, fault, node, sim->fault_ordinal);
    heal_after(sim, fault, node->id - 1, 0, us);
    return true;
}

// Each has a prng of its own: leaving one out does not change what the others draw.
static void reseed(struct sim *sim, uint64_t ordinal) {
    prng_seed(&sim->world.prng[PRNG_FAULT], hash_u64(hash_u64(sim->world.seed) + ordinal));
}

static void run_fault(struct event *event) {
    struct sim *sim = CONTAINER_OF(event, struct sim, fault_event);
    uint64_t sum = 0, at = 0;
    if (!sim->faults_on) return;
    reseed(sim, ++sim->fault_ordinal);
    world_at(world_of(sim), event, sim->world.now_us + draw(sim, 2 * sim->swarm.fault_every_us) + 1);
    if (without_ordinal(&sim->world.options, sim->fault_ordinal)) return;
    for (int i = 0; i < FAULT_DRAWN; i++) sum += sim->swarm.weight[i];
    if (sum == 0) return;
    uint64_t pick = draw(sim, sum);
    int fault = 0;
    while (at + sim->swarm.weight[fault] <= pick) at += sim->swarm.weight[fault++];
    begin_fault(sim, (enum fault)fault);
}

void faults_start(struct sim *sim) {
    list_init(&sim->heals);
    sim->fault_event.run = run_fault;
    scenario_start(sim);
    if (sim->swarm.fault_every_us == 0) return;
    sim->faults_on = true;
    reseed(sim, 0);
    uint64_t first_us = draw(sim, 2 * sim->swarm.fault_every_us);
    world_at(world_of(sim), &sim->fault_event,
             sim->world.now_us + (sim->swarm.from_start ? first_us % 1500000 : 1000000 + first_us));
}

// Up to f members stay away while the clients must go on: the core is a majority, not everybody.
static void leave_out(struct sim *sim) {
    if (sim->history.machine == NULL || draw(sim, 2) == 0 || lost_disks(sim) > 0) return;
    if (machine_membership(sim->history.machine)->joint) return;
    size_t f = (voters(sim) - 1) / 2;
    for (size_t i = 0; i < f; i++) {
        struct sim_node *node = &sim->nodes[draw(sim, sim->node_count)];
        if (node->away || !node_is_voter(sim, node) || event_set(&node->stopped)) continue;
        world_trace_line(world_of(sim), "n%u stays away", node->id);
        node->away = true;
        if (node->node != NULL) node_crash(node, true);
        world_cancel(world_of(sim), &node->restart);
    }
}

void faults_rejoin(struct sim *sim) {
    for (size_t i = 0; i < sim->node_count; i++) {
        if (!sim->nodes[i].away) continue;
        sim->nodes[i].away = false;
        node_restart_after(&sim->nodes[i], draw(sim, 1000000));
    }
}

// The core heals: everything that belongs to the cluster runs, is connected, and has a working disk.
void faults_stop(struct sim *sim) {
    struct world *w = world_of(sim);
    sim->faults_on = false;
    scenario_stop(sim);
    sim->calming = true;
    sim->ambush = AMBUSH_NONE;
    reseed(sim, UINT64_MAX);
    for (size_t i = 0; i < sim->node_count; i++) sim->nodes[i].host->kill_child = false;
    world_cancel(w, &sim->fault_event);
    net_heal(w);
    leave_out(sim);
    for (size_t i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        *disk_faults(node->host->disk) = (struct disk_faults){.capacity = UINT64_MAX, .slow = 1};
        node->host->unix_stands = false;
        host_go_on(node->host);
        if (node->node == NULL && !node->away && (node->member || node->id <= sim->cluster_count))
            node_restart_after(node, draw(sim, 1000000));
    }
}

void faults_free(struct sim *sim) {
    while (!list_empty(&sim->heals)) {
        struct heal *heal = CONTAINER_OF(sim->heals.next, struct heal, link);
        world_cancel(world_of(sim), &heal->event);
        list_remove(&heal->link);
        mem_free(heal);
    }
}
