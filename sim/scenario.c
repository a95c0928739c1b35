// Scenarios: faults in the order and at the moments in which they hurt, for what single ones hardly ever meet. Half of
// the seeds have them, one at a time, each a few steps with a time between. All is drawn from a prng of their own, so
// the other faults stay what they were.
#include "base/hash.h"
#include "sim/sim.h"

#include <string.h>

#define SALT 0x5ce7a105ull
#define LONG_LOGS_SALT 7ull // none of sim/seeds.txt had them when they came
#define ORDINALS_FROM 2048u // of scenarios, for --without; the single faults count from 1

static uint64_t draw(struct sim *sim, uint64_t bound) {
    return world_draw(&sim->world, PRNG_FAULT, bound);
}

static uint64_t between(struct sim *sim, uint64_t low, uint64_t high) {
    return low + draw(sim, high - low + 1);
}

// ---- the seed's mixture

// Journals of many pieces (what a node reads at once is 128 KiB to 1 MiB), and hardly any of it in memory; of what is
// to be applied so much at a time that pieces have all lengths.
static void long_logs_swarm(struct swarm *s, uint64_t bits) {
    struct prng prng;
    prng_seed(&prng, bits);
    s->long_logs = s->scenarios = true;
    s->newer_scenarios = false;
    s->fault_every_us *= 4; // undisturbed, or there would be little to read
    s->think_us = s->clients * 1000;
    s->value_bytes = prng_below(&prng, 2) == 0 ? 200 : 800;
    s->segment_bytes = (1ull << prng_below(&prng, 4)) << 20;
    s->log_tail_bytes = 64u << 10;
    s->apply_ahead_bytes = (128u << 10) + prng_below(&prng, 512u << 10);
    s->snapshot_every_entries = 1000000;
    s->snapshot_every_bytes = 8u << 20;
    s->journal_keep_entries = 0;
}

void scenario_swarm(struct sim *sim) {
    struct swarm *s = &sim->swarm;
    struct prng prng;
    uint64_t bits = hash_u64(sim->world.options.seed ^ SALT);
    uint64_t far = hash_u64(sim->world.options.seed ^ LONG_LOGS_SALT);
    if (sim->world.options.faults && sim->cluster_count >= 3 && far % 8 == 0) {
        long_logs_swarm(s, far);
        return;
    }
    s->scenarios = sim->world.options.faults && sim->cluster_count >= 3 && (bits & 1) == 0;
    if (!s->scenarios) return;
    s->newer_scenarios = (bits >> 1 & 1) == 0; // the others stay what they were
    prng_seed(&prng, bits);
    if (prng_below(&prng, 2) == 0) s->fault_every_us *= 8; // undisturbed
    if (prng_below(&prng, 2) == 0 && !s->newer_scenarios) return;
    // Logs are cut behind followers that were away for a second.
    s->segment_bytes = 64u << 10;
    s->snapshot_every_entries = 50 + prng_below(&prng, 250);
    s->journal_keep_entries = 1 + prng_below(&prng, 30);
    s->log_tail_bytes = s->value_bytes > 1000 ? 4u << 20 : 64u << 10;
    s->child_step_us = 1000;
}

// ---- pieces

static bool serves(const struct sim_node *node) {
    return node->node != NULL && !node->stopping && !event_set(&node->stopped) && !node->host->dead;
}

// Another voter than these two; NULL: none.
static struct sim_node *another(struct sim *sim, const struct sim_node *a, const struct sim_node *b) {
    size_t from = (size_t)draw(sim, sim->node_count);
    for (size_t i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[(from + i) % sim->node_count];
        if (node != a && node != b && serves(node) && node_is_voter(sim, node)) return node;
    }
    return NULL;
}

static void cut(struct sim *sim, const struct sim_node *node, bool blocked) { // from the other nodes, not from clients
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (i == node->id - 1) continue;
        net_block(&sim->world, node->id - 1, i, blocked);
        net_block(&sim->world, i, node->id - 1, blocked);
    }
}

static void break_links(struct sim *sim, const struct sim_node *a, const struct sim_node *b) {
    net_break_some(&sim->world, a->id - 1, b->id - 1);
}

static void slow_disk(struct sim_node *node, uint32_t times) {
    disk_faults(node->host->disk)->slow = times;
}

static uint64_t grace_ms(const struct sim *sim) { // replication.md "Sessions": so much later than the time-out they end
    return sim->swarm.session_ms / 3 < 2000 ? sim->swarm.session_ms / 3 : 2000;
}

static bool wipe(struct sim *sim, struct sim_node *node) {
    if (!fault_allowed(sim, FAULT_WIPE, node)) return false;
    node_crash(node, true);
    node_wipe(node);
    node_restart_after(node, draw(sim, 500000));
    return true;
}

static void on_snapshot(void *context, int error, uint64_t index) {
    (void)context, (void)error, (void)index;
}

static void on_admin(void *context, int error, const char *text) {
    struct sim *sim = context;
    world_trace_line(&sim->world, "hand-over of a scenario: %d %s", error, text);
}

// ---- scenarios: each step gives the time until the next; 0: that was the last, or it cannot be begun now

static uint64_t fall_behind(struct sim *sim, struct scenario *s) {
    struct sim_node *leader = sim_leader(sim);
    bool leads = leader != NULL && leader != s->node && serves(leader);
    if (s->step == 0) { // longer than its leader waits with cutting, shorter than its clients wait for a leader
        s->steps = (uint32_t)between(sim, 2, 5);
        for (size_t i = 0; i < sim->client_count; i++) // idle ones: with nothing under way that would fail
            if (client_is_at(sim, i, s->node->id - 1) && draw(sim, 3) != 0)
                client_pause_for(sim, i, between(sim, 1600000, 2500000));
        return 100000;
    }
    if (s->step == 1) {
        cut(sim, s->node, true);
        return between(sim, 500000, 1000000);
    }
    if (leads) node_snapshot(leader->node, on_snapshot, NULL);
    if (s->step < s->steps) return between(sim, 200000, 450000);
    if (leads && draw(sim, 3) == 0 && fault_allowed(sim, FAULT_READ_ERROR, leader))
        leader->rotten = disk_faults(leader->host->disk)->fail_read = true; // in what it reads to send it
    cut(sim, s->node, false);
    return 0;
}

static uint64_t return_late(struct sim *sim, struct scenario *s) {
    uint64_t spread_us = (uint64_t)sim->swarm.session_ms * 1000 / 3 + 300000;
    uint64_t until_us = (sim->swarm.session_ms + grace_ms(sim)) * 1000 + 300000;
    if (s->step == 0) {
        for (size_t i = 0; i < sim->client_count; i++)
            if (draw(sim, 3) != 0) client_pause_for(sim, i, until_us - draw(sim, spread_us));
        return until_us - spread_us;
    }
    for (size_t i = 0; i < sim->node_count; i++) slow_disk(&sim->nodes[i], s->step == 1 ? 30 : 1); // attaches wait
    return s->step == 1 ? spread_us + 500000 : 0;
}

// It lags behind a new leader's term, with entries that nobody else has, and clients that still ask it.
static uint64_t deposed(struct sim *sim, struct scenario *s) {
    struct sim_node *leader = sim_leader(sim);
    if (s->step == 0) {
        s->steps = 500;
        cut(sim, s->leader, true);
        if (draw(sim, 2) == 0) // shorter than its clients wait
            host_pause(s->leader->host, sim->world.now_us + between(sim, 900000, sim->swarm.session_ms * 600ull));
        uint32_t times = draw(sim, 2) == 0 ? 1 : (uint32_t)between(sim, 5, 40); // a new leader commits late
        for (size_t i = 0; i < sim->node_count; i++) slow_disk(&sim->nodes[i], times);
        return 500000;
    }
    bool paused = s->leader->host->paused_until_us > sim->world.now_us;
    bool other = leader != NULL && leader != s->leader && serves(leader);
    if (s->step < s->steps && (paused || !other)) return 30000;
    if (s->step < s->steps) {
        s->steps = s->step + 1;
        if (draw(sim, 2) == 0) node_admin(leader->node, CORE_TRANSFER, 0, NULL, on_admin, sim); // two terms behind
        return 1 + draw(sim, draw(sim, 2) == 0 ? 50000 : 1000000);
    }
    for (size_t i = 0; i < sim->node_count; i++) slow_disk(&sim->nodes[i], 1);
    cut(sim, s->leader, false);
    return 0;
}

// What its clients sent before they stood still too is read when their sessions have ended.
static uint64_t frozen(struct sim *sim, struct scenario *s) {
    uint64_t us = (sim->swarm.session_ms + grace_ms(sim)) * 1000 + 200000;
    if (s->step == 0) {
        if (draw(sim, 3) == 0) s->node = s->leader;
        if (draw(sim, 2) == 0) cut(sim, s->node, true);
        host_pause(s->node->host, sim->world.now_us + 1500000 + us + draw(sim, 1500000));
        return between(sim, 100000, 1500000);
    }
    uint64_t until_us = s->node->host->paused_until_us;
    if (s->step == 1 && until_us > sim->world.now_us) {
        uint64_t left_us = until_us - sim->world.now_us;
        for (size_t i = 0; i < sim->client_count; i++)
            if (client_is_at(sim, i, s->node->id - 1)) client_pause_for(sim, i, left_us + draw(sim, 20000));
        return left_us + between(sim, 20000, 200000);
    }
    cut(sim, s->node, false);
    return 0;
}

static uint64_t hand_overs(struct sim *sim, struct scenario *s) {
    struct sim_node *leader = sim_leader(sim), *heir = s->node;
    if (s->step == 0) {
        s->steps = (uint32_t)between(sim, 4, 30);
        if (draw(sim, 2) == 0) slow_disk(s->node, (uint32_t)between(sim, 10, 60));
    }
    if (leader != NULL && serves(leader)) {
        if (draw(sim, 2) == 0) heir = another(sim, leader, NULL);
        if (heir != NULL && heir != leader && draw(sim, 2) == 0) break_links(sim, leader, heir);
        if (heir != NULL) node_admin(leader->node, CORE_TRANSFER, heir->id, NULL, on_admin, sim);
    }
    if (s->step < s->steps) return between(sim, 10000, draw(sim, 2) == 0 ? 100000 : 1500000);
    slow_disk(s->node, 1);
    return 0;
}

static uint64_t breaks(struct sim *sim, struct scenario *s) {
    struct sim_node *leader = sim_leader(sim);
    if (s->step == 0) s->steps = (uint32_t)between(sim, 5, 60);
    if (leader != NULL) break_links(sim, leader, s->node);
    return s->step < s->steps ? between(sim, 1000, 150000) : 0;
}

static uint64_t wiped_lag(struct sim *sim, struct scenario *s) { // it is taken in after 10 s
    if (s->step == 0 && !wipe(sim, s->node)) return 0;
    uint32_t extra_us = s->step == 0 ? (uint32_t)between(sim, 50000, 400000) : 0;
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (i != s->other->id - 1) net_slow(&sim->world, i, s->other->id - 1, extra_us);
    return s->step == 0 ? between(sim, 11000000, 17000000) : 0;
}

static uint64_t wiped_alone(struct sim *sim, struct scenario *s) {
    size_t voters = membership_voters(machine_membership(sim->history.machine)), left_out = (voters - 1) / 2;
    bool begins = s->step == 0;
    if (begins && !wipe(sim, s->node)) return 0;
    for (size_t i = 0; i < sim->node_count && (left_out > 0 || !begins); i++) {
        struct sim_node *node = &sim->nodes[i];
        if (node == s->leader || node == s->node || !node_is_voter(sim, node)) continue;
        cut(sim, node, begins);
        left_out -= begins;
    }
    if (!begins) return 0;
    if (draw(sim, 2) == 0 && serves(s->leader)) { // an election
        node_crash(s->leader, draw(sim, 2) == 0);
        node_restart_after(s->leader, draw(sim, 1000000));
    }
    return between(sim, 2000000, 8000000);
}

// ---- with idle clients: no request of theirs would fail, so nothing but the node itself makes them leave

static void clients_quiet(struct sim *sim, const struct sim_node *node, uint64_t us) {
    for (size_t i = 0; i < sim->client_count; i++)
        if (client_is_at(sim, i, node->id - 1) && draw(sim, 3) != 0) client_quiet_for(sim, i, us);
}

static struct sim_node *most_clients(struct sim *sim, const struct sim_node *but) {
    struct sim_node *best = another(sim, but, NULL);
    size_t most = 0;
    for (size_t i = 0; best != NULL && i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        size_t count = 0;
        for (size_t j = 0; j < sim->client_count; j++) count += client_is_at(sim, j, (uint32_t)i);
        if (count <= most || node == but || !serves(node) || !node_is_voter(sim, node)) continue;
        most = count;
        best = node;
    }
    return best;
}

static uint64_t quiet_behind(struct sim *sim, struct scenario *s) {
    struct sim_node *leader = sim_leader(sim);
    if (s->step == 0) {
        struct sim_node *node = most_clients(sim, s->leader);
        if (node != NULL) s->node = node;
        s->steps = (uint32_t)between(sim, 3, 6);
        clients_quiet(sim, s->node, 12000000); // past the snapshot's way
        s->think_us = sim->swarm.think_us;
        sim->swarm.think_us = s->think_us / 8 + 1; // the log must outgrow its tail and a segment before they give up
        return between(sim, 100000, 400000);
    }
    if (s->step == 1) {
        for (uint32_t i = 0; i < sim->node_count; i++) // refused: what a silent connection holds would arrive later
            if (i != s->node->id - 1) net_reject(&sim->world, s->node->id - 1, i);
        return between(sim, 550000, 800000);
    }
    if (leader != NULL && leader != s->node && serves(leader)) node_snapshot(leader->node, on_snapshot, NULL);
    if (s->step < s->steps) return between(sim, 200000, 300000);
    sim->swarm.think_us = s->think_us;
    net_heal(&sim->world);
    return 0;
}

// What the leader reads was said ever longer ago, so that it misses nobody while the others elect another one. A round
// that it begins now would show it: its messages arrive nowhere.
static uint64_t late_answers(struct sim *sim, struct scenario *s) {
    uint64_t session_us = sim->swarm.session_ms * 1000ull;
    if (s->step == 0) {
        s->steps = (uint32_t)between(sim, 10, 25);
        clients_quiet(sim, s->leader, 3 * session_us + 10000000);
        return between(sim, 200000, 600000);
    }
    bool late = s->step <= s->steps;
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (i != s->leader->id - 1) net_slow(&sim->world, i, s->leader->id - 1, late ? s->step * 250000 : 0);
    if (s->step < s->steps) return 100000;
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (i != s->leader->id - 1) net_block(&sim->world, s->leader->id - 1, i, late);
    return late ? session_us + grace_ms(sim) * 1000 + between(sim, 1500000, 4000000) : 0;
}

// A node is away, dead or cut off, and comes back to a leader that has most of what it lacks on its disk only. What it
// has itself it applies from its own disk, and once more when it ends while it catches up.
static uint64_t far_behind(struct sim *sim, struct scenario *s) {
    if (s->step == 0) {
        uint64_t away_us = between(sim, 4000000, 12000000);
        s->steps = (uint32_t)draw(sim, 3); // 0: cut off. Else it ends, and perhaps again
        if (s->steps == 0) {
            cut(sim, s->node, true);
        } else {
            node_crash(s->node, draw(sim, 2) == 0);
            node_restart_after(s->node, away_us);
        }
        return away_us;
    }
    if (s->step == 1 && s->steps == 0) cut(sim, s->node, false);
    if (s->step == 1) return between(sim, 50000, 2000000);
    if (s->step == 2 && s->steps == 2 && serves(s->node)) {
        node_crash(s->node, false);
        node_restart_after(s->node, draw(sim, 500000));
    }
    return s->step == 2 ? between(sim, 1000000, 3000000) : 0;
}

static uint64_t (*const scenarios[])(struct sim *sim, struct scenario *s) = {
    [FAULT_FALL_BEHIND - FAULT_DRAWN] = fall_behind,   [FAULT_RETURN_LATE - FAULT_DRAWN] = return_late,
    [FAULT_DEPOSED - FAULT_DRAWN] = deposed,           [FAULT_FROZEN - FAULT_DRAWN] = frozen,
    [FAULT_HAND_OVERS - FAULT_DRAWN] = hand_overs,     [FAULT_BREAKS - FAULT_DRAWN] = breaks,
    [FAULT_WIPED_LAG - FAULT_DRAWN] = wiped_lag,       [FAULT_WIPED_ALONE - FAULT_DRAWN] = wiped_alone,
    [FAULT_QUIET_BEHIND - FAULT_DRAWN] = quiet_behind, [FAULT_LATE_ANSWERS - FAULT_DRAWN] = late_answers,
    [FAULT_FAR_BEHIND - FAULT_DRAWN] = far_behind,
};

// ---- one behind the other

static enum fault draw_kind(struct sim *sim) {
    if (sim->swarm.long_logs && draw(sim, 3) != 0) return FAULT_FAR_BEHIND;
    if (sim->swarm.newer_scenarios && draw(sim, 2) == 0)
        return (enum fault)(FAULT_NEWER + draw(sim, FAULT_FAR_BEHIND - FAULT_NEWER));
    return (enum fault)(FAULT_DRAWN + draw(sim, FAULT_NEWER - FAULT_DRAWN));
}

static bool begin(struct sim *sim, struct scenario *s) {
    s->kind = FAULT_KILL;
    s->step = 0;
    prng_seed(&sim->world.prng[PRNG_FAULT], hash_u64(hash_u64(sim->world.seed ^ SALT) + ++s->ordinal));
    enum fault kind = draw_kind(sim);
    s->leader = sim_leader(sim);
    if (s->leader == NULL || !serves(s->leader) || sim->history.machine == NULL) return false;
    s->node = another(sim, s->leader, NULL);
    s->other = s->node == NULL ? NULL : another(sim, s->leader, s->node);
    if (s->other == NULL || without_ordinal(&sim->world.options, ORDINALS_FROM + s->ordinal)) return false;
    s->kind = kind;
    world_trace_line(&sim->world, "scenario %s n%u n%u", fault_names[kind], s->node->id, s->other->id);
    fault_begun(sim, kind, s->node, ORDINALS_FROM + s->ordinal);
    return true;
}

static void run(struct event *event) {
    struct sim *sim = CONTAINER_OF(event, struct sim, scenario.event);
    struct scenario *s = &sim->scenario;
    struct prng held = sim->world.prng[PRNG_FAULT]; // ends of other faults draw from it
    sim->world.prng[PRNG_FAULT] = s->prng;
    uint64_t us = 0;
    if (s->kind >= FAULT_DRAWN || begin(sim, s)) us = scenarios[s->kind - FAULT_DRAWN](sim, s);
    s->step++;
    if (us == 0) {
        s->kind = FAULT_KILL;
        us = between(sim, 100000, 1500000);
    }
    s->prng = sim->world.prng[PRNG_FAULT];
    sim->world.prng[PRNG_FAULT] = held;
    world_at(&sim->world, event, sim->world.now_us + us);
}

void scenario_start(struct sim *sim) {
    sim->scenario.event.run = run;
    if (sim->swarm.scenarios) world_at(&sim->world, &sim->scenario.event, sim->world.now_us + 1500000);
}

void scenario_stop(struct sim *sim) {
    world_cancel(&sim->world, &sim->scenario.event);
    if (sim->scenario.kind == FAULT_QUIET_BEHIND && sim->scenario.step > 0)
        sim->swarm.think_us = sim->scenario.think_us;
}
