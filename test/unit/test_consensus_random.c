// Random schedules against a cluster of Raft nodes: loss, duplicates, reordering, crashes before and after writes,
// wiped nodes, slow disks, partitions, changes of membership, transfers, snapshots. Each seed draws its own mixture of
// faults; then the cluster is healed and must make progress. A failure prints the seed: PARLEY_RAFT_SEED=<n> repeats it
// alone, PARLEY_RAFT_SEEDS=<n> runs that many.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/assert.h"
#include "base/bytes.h"
#include "consensus/raft_internal.h"
#include "test/unit/support/raft_cluster.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile unsigned long long running_seed;

static void say_seed(int signal_number) { // ENSURE aborts: say which seed first
    char line[64];
    int len = snprintf(line, sizeof line, "PARLEY_RAFT_SEED=%llu repeats this\n", running_seed);
    ssize_t written = write(2, line, (size_t)len);
    (void)written;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

struct faults { // chances per mille of an action's variants, drawn per seed
    uint64_t drop, duplicate, reorder, crash, partition, change, transfer, snapshot, wipe, hint, disk, slow_disk;
};

static struct faults draw(struct prng *p) {
    struct faults f = {0};
    uint64_t *rates[] = {&f.drop,     &f.duplicate, &f.reorder, &f.crash, &f.partition, &f.change,
                         &f.transfer, &f.snapshot,  &f.wipe,    &f.hint,  &f.disk,      &f.slow_disk};
    const uint64_t most[] = {150, 100, 600, 30, 15, 30, 10, 20, 4, 15, 8, 700};
    for (size_t i = 0; i < sizeof most / sizeof *most; i++) // a third of the faults is off in any seed
        *rates[i] = prng_below(p, 3) == 0 ? 0 : prng_below(p, most[i]);
    return f;
}

static bool chance(struct rafts *c, uint64_t per_mille) {
    return prng_below(&c->prng, 1000) < per_mille;
}
static uint32_t any_node(struct rafts *c) {
    return (uint32_t)prng_below(&c->prng, CLUSTER_NODES - 1) + 1;
}

static uint32_t wiped_voter(const struct rafts *c, const struct raft_membership *m) { // named, but its disk is gone
    for (uint32_t i = 0; i < m->count; i++) {
        const struct member *member = &m->members[i];
        const struct rafts_node *node = &c->nodes[member->id];
        if (raft_counts(member->role) && memcmp(member->incarnation, node->incarnation, INCARNATION_BYTES) != 0)
            return member->id;
    }
    return 0;
}

static void set_joint(struct raft_membership *m) {
    m->joint = false;
    for (uint32_t i = 0; i < m->count; i++)
        m->joint |= m->members[i].role == MEMBER_OUTGOING || m->members[i].role == MEMBER_INCOMING;
}

static uint32_t new_voters(const struct raft_membership *m) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->count; i++)
        count += m->members[i].role == MEMBER_VOTER || m->members[i].role == MEMBER_INCOMING;
    return count;
}

static void change(struct rafts *c, uint32_t id) {
    const struct raft_membership *now = raft_membership(c->nodes[id].raft);
    if (raft_role(c->nodes[id].raft) != RAFT_LEADER) return;
    struct raft_membership next;
    membership_copy(&next, now);
    uint32_t lost = wiped_voter(c, now), other = any_node(c);
    if (lost != 0) { // replaced in two steps: out first, back as a learner under its new incarnation later
        membership_find(&next, lost)->role = MEMBER_OUTGOING;
    } else if (membership_find(&next, other) == NULL) {
        struct member *added = membership_add(&next, other);
        memcpy(added->incarnation, c->nodes[other].incarnation, INCARNATION_BYTES);
        added->role = chance(c, 200) ? MEMBER_INCOMING : MEMBER_LEARNER;
    } else if (membership_find(&next, other)->role == MEMBER_LEARNER && chance(c, 300)) {
        membership_remove(&next, other);
    } else {
        for (uint32_t i = 0; i < next.count; i++) {
            struct member *member = &next.members[i];
            bool alive = memcmp(member->incarnation, c->nodes[member->id].incarnation, INCARNATION_BYTES) == 0;
            if (!chance(c, 400)) continue;
            if (member->role == MEMBER_VOTER) {
                member->role = MEMBER_OUTGOING;
                member->stays = chance(c, 500);
            } else if (member->role == MEMBER_LEARNER && alive) {
                member->role = MEMBER_INCOMING;
            }
        }
    }
    set_joint(&next);
    uint32_t least = chance(c, 200) ? 1 : 3;
    if (lost != 0 || new_voters(&next) >= least) {
        int refused = rafts_change(c, id, &next);
        ENSURE(refused == RAFT_OK || refused == RAFT_BUSY || refused == RAFT_TRANSFERRING || now->joint ||
               new_voters(&next) == 0);
    }
    membership_free(&next);
}

// May this node lose its disk? At most one at a time does, and only where every majority that counts it can do without.
static bool may_wipe(const struct rafts *c, uint32_t id) {
    for (uint32_t n = 1; n < CLUSTER_NODES; n++) {
        if (c->nodes[n].raft == NULL) return false;
        const struct raft *raft = c->nodes[n].raft;
        for (size_t k = 0; k < raft->membership_count; k++) {
            const struct raft_membership *m = &raft->memberships[k];
            if (wiped_voter(c, m) != 0 || m->joint) return false;
            const struct member *member = membership_find(m, id);
            if (member != NULL && raft_counts(member->role) && membership_voters(m) < 3) return false;
        }
    }
    for (size_t i = 0; i < c->flight_count; i++)
        for (size_t b = 0; b < c->flight[i].m.batch_count; b++)
            if (raft_batch_kind(&c->flight[i].m.batches[b]) == BATCH_MEMBERSHIP) return false;
    return true;
}

static void persist_some(struct rafts *c, const struct faults *f) {
    uint32_t id = any_node(c);
    if (!chance(c, f->slow_disk)) rafts_persist(c, id);
}

static void network(struct rafts *c, const struct faults *f) {
    if (c->flight_count == 0) return;
    size_t place = chance(c, f->reorder) ? (size_t)prng_below(&c->prng, c->flight_count) : 0;
    if (chance(c, f->drop) || c->flight_count > 400)
        rafts_drop(c, place);
    else if (chance(c, f->duplicate))
        rafts_duplicate(c, place);
    else
        rafts_deliver(c, place);
}

static void time_passes(struct rafts *c) {
    c->now_ms += prng_below(&c->prng, 30);
    for (uint32_t id = 1; id < CLUSTER_NODES; id++) {
        const struct raft *raft = c->nodes[id].raft;
        if (raft != NULL && raft_next_deadline_ms(raft) <= c->now_ms && !chance(c, 100)) rafts_tick(c, id);
    }
}

static void peer_event(struct rafts *c, enum raft_event_type type, uint32_t id, uint32_t peer, bool ok) {
    struct raft_event e = rafts_no_event(type);
    e.peer = peer;
    e.ok = ok;
    rafts_step(c, id, &e);
}

static void client(struct rafts *c) {
    uint32_t id = any_node(c);
    if (c->nodes[id].raft == NULL) return;
    if (chance(c, 300)) {
        rafts_read_ask(c, id);
        return;
    }
    int refused = rafts_propose(c, id, (uint32_t)prng_below(&c->prng, 3) + 1, (size_t)prng_below(&c->prng, 200));
    ENSURE((refused == RAFT_NOT_LEADER) == (raft_role(c->nodes[id].raft) != RAFT_LEADER));
}

static void lose_a_disk(struct rafts *c, uint32_t id) {
    for (uint32_t n = 1; n < CLUSTER_NODES; n++)
        if (c->nodes[n].raft == NULL) rafts_start(c, n); // what they know decides whether it is allowed
    if (!may_wipe(c, id)) return;
    rafts_wipe(c, id);
    if (chance(c, 700)) rafts_start(c, id);
}

static void crash_or_start(struct rafts *c) {
    uint32_t id = any_node(c);
    struct rafts_node *node = &c->nodes[id];
    if (node->raft == NULL)
        rafts_start(c, id);
    else
        rafts_crash(c, id, (size_t)prng_below(&c->prng, node->write_count + 1));
}

static void fault(struct rafts *c, const struct faults *f) {
    uint32_t id = any_node(c), other = any_node(c);
    bool up = c->nodes[id].raft != NULL;
    if (chance(c, f->crash)) crash_or_start(c);
    if (chance(c, f->wipe)) lose_a_disk(c, id);
    if (chance(c, 60) && c->nodes[other].raft == NULL) rafts_start(c, other);
    up = c->nodes[id].raft != NULL;
    if (chance(c, f->partition)) {
        if (chance(c, 300))
            rafts_isolate(c, id, true);
        else if (id != other)
            c->cut[id][other] = true;
    }
    if (chance(c, 10)) memset(c->cut, 0, sizeof c->cut);
    if (!up) return;
    if (chance(c, f->change)) {
        uint32_t leader = rafts_leader(c);
        change(c, leader != 0 ? leader : id);
    }
    if (chance(c, f->transfer)) peer_event(c, RAFT_EVENT_TRANSFER, id, chance(c, 500) ? other : 0, true);
    if (chance(c, f->snapshot)) rafts_snapshot(c, id, chance(c, 600));
    if (chance(c, f->hint)) {
        peer_event(c, RAFT_EVENT_PEER_LOST, id, other, true);
        if (chance(c, 500)) peer_event(c, RAFT_EVENT_PEER_BACK, id, other, true);
    }
    if (chance(c, f->disk)) peer_event(c, RAFT_EVENT_DISK, id, 0, chance(c, 600));
    if (chance(c, 2)) rafts_event(c, id, RAFT_EVENT_CAMPAIGN);
}

// The faults end: a leader, a new entry on every member that can have it, and a read, within bounded time.
static void heal(struct rafts *c) {
    memset(c->cut, 0, sizeof c->cut);
    for (uint32_t id = 1; id < CLUSTER_NODES; id++) {
        if (c->nodes[id].raft == NULL) rafts_start(c, id);
        peer_event(c, RAFT_EVENT_DISK, id, 0, true);
    }
    uint32_t leader = 0;
    for (int turn = 0; turn < 60 && (leader == 0 || !raft_term_committed(c->nodes[leader].raft)); turn++) {
        rafts_run(c, 500);
        leader = rafts_leader(c);
    }
    ENSURE(leader != 0 && raft_term_committed(c->nodes[leader].raft));
    rafts_run(c, 3000); // a joint membership is left, transfers end
    leader = rafts_leader(c);
    ENSURE(leader != 0);
    ENSURE(!raft_membership(c->nodes[leader].raft)->joint);
    ENSURE(rafts_propose(c, leader, 1, 10) == RAFT_OK);
    uint64_t reads = c->reads_done, last = raft_last_index(c->nodes[leader].raft);
    ENSURE(rafts_read_ask(c, leader) != 0);
    rafts_snapshot(c, leader, false); // for whoever needs one
    rafts_run(c, 4000);
    ENSURE(c->reads_done > reads);
    const struct raft_membership *m = raft_membership(c->nodes[leader].raft);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct rafts_node *node = &c->nodes[m->members[i].id];
        if (memcmp(node->incarnation, m->members[i].incarnation, INCARNATION_BYTES) != 0) continue;
        ENSURE(raft_commit(node->raft) >= last);
        ENSURE(node->applied >= last);
    }
    rafts_check_logs(c);
}

static struct rafts *run_seed(uint64_t seed, uint64_t steps) {
    running_seed = seed;
    struct rafts *c = rafts_new((uint32_t)(seed % 5) + 1, seed);
    struct faults f = draw(&c->prng);
    for (uint32_t id = 1; id < CLUSTER_NODES; id++)
        if (c->nodes[id].raft == NULL && chance(c, 700)) rafts_start(c, id);
    for (uint64_t checked = 0; c->steps < steps;) {
        switch (prng_below(&c->prng, 10)) {
        case 0:
            time_passes(c);
            break;
        case 1:
            client(c);
            break;
        case 2:
            fault(c, &f);
            break;
        case 3:
        case 4:
            persist_some(c, &f);
            break;
        case 5:
            rafts_answer_need(c, any_node(c));
            break;
        case 6:
            rafts_send_snapshot(c, any_node(c), chance(c, 700));
            break;
        default:
            network(c, &f);
            break;
        }
        if (c->steps < checked + 200) continue;
        checked = c->steps;
        rafts_check_logs(c);
    }
    heal(c);
    return c;
}

static void random_schedules_keep_every_promise(void **state) {
    const char *one = getenv("PARLEY_RAFT_SEED"), *many = getenv("PARLEY_RAFT_SEEDS");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t count = one != NULL ? 1 : many != NULL ? strtoull(many, NULL, 10) : 60;
    uint64_t commits = 0, reads = 0, installs = 0, elections = 0, changes = 0, wipes = 0, steps = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct rafts *c = run_seed(seed, 20000);
        commits += rafts_commit_max(c);
        reads += c->reads_done;
        installs += c->installs;
        elections += c->elections;
        changes += c->changes;
        wipes += c->wipes;
        steps += c->steps;
        rafts_free(c);
    }
    print_message("%llu seeds: %llu steps, %llu committed, %llu reads, %llu elections, %llu installs, %llu memberships "
                  "applied, %llu wipes\n",
                  (unsigned long long)count, (unsigned long long)steps, (unsigned long long)commits,
                  (unsigned long long)reads, (unsigned long long)elections, (unsigned long long)installs,
                  (unsigned long long)changes, (unsigned long long)wipes);
    assert_true(commits > 0 && elections > 0); // the schedules did something
    assert_true(count < 10 || (installs > 0 && changes > 0 && reads > 0 && wipes > 0));
}

static void same_seed_same_run(void **state) { // else no failure could be repeated
    struct rafts *a = run_seed(7, 5000), *b = run_seed(7, 5000);
    assert_int_equal(a->steps, b->steps);
    assert_int_equal(a->commit_count, b->commit_count);
    assert_memory_equal(a->sent, b->sent, sizeof a->sent);
    rafts_free(a);
    rafts_free(b);
}

int main(void) {
    signal(SIGABRT, say_seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_schedules_keep_every_promise),
        cmocka_unit_test(same_seed_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
