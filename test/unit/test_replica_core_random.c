// Everything at once, from seeds: crashes, cuts, pauses, bad links, snapshots, wiped disks, sessions and reads; the
// harness checks every acknowledgement, expiry and read as it happens (core_cluster.c). Then a healed core must settle.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
// cmocka wants these first
#include <cmocka.h>

#include "replica/core_internal.h"
#include "test/unit/support/core_cluster.h"

static uint32_t up_count(const struct cluster *c) {
    uint32_t up = 0;
    for (uint32_t id = 1; id <= c->count; id++) up += c->nodes[id].up ? 1 : 0;
    return up;
}

static void attach_later(struct cluster *c, uint32_t id, uint32_t timeout_ms) { // does not wait
    struct cluster_node *n = &c->nodes[id];
    uint8_t password[LEASE_PASSWORD_BYTES] = {1, 2, 3};
    struct writer w;
    writer_init(&w);
    lease_write_attach(&w, 0, password, timeout_ms, LEASE_KIND_NATIVE, id, n->boot);
    uint64_t tag;
    struct cluster_session *s = &n->sessions[n->session_count++];
    *s = (struct cluster_session){.active = true, .timeout_ms = timeout_ms};
    cluster_command(c, id, bytes_of(w.data, w.len), &tag);
    s->attach_tag = tag;
    writer_free(&w);
}

static void act(struct cluster *c, struct prng *p, bool *wiped) {
    uint32_t id = 1 + (uint32_t)prng_below(p, c->count);
    struct cluster_node *n = &c->nodes[id];
    switch (prng_below(p, 60)) {
    case 0:
        if (n->up) cluster_crash(c, id);
        break;
    case 1:
    case 2:
    case 3:
        if (!n->up) cluster_start(c, id);
        break;
    case 4:
        cluster_isolate(c, id);
        break;
    case 5:
        cluster_cut(c, id, 1 + id % c->count);
        break;
    case 6:
    case 7:
    case 8:
        cluster_heal(c);
        break;
    case 9:
        n->paused = !n->paused && n->up;
        break;
    case 10:
        n->paused = false;
        break;
    case 11:
        n->service_paused = !n->service_paused;
        break;
    case 12:
        n->service_paused = false;
        break;
    case 13:
        if (n->up && !n->paused && machine_applied(n->machine) > 1 && !n->installing) cluster_snapshot(c, id);
        break;
    case 14: // one disk a run is lost, and only while all others have theirs: more is more than a majority can bear
        if (!*wiped && up_count(c) == c->count && c->nodes[id].formed) {
            *wiped = true;
            cluster_crash(c, id);
            cluster_wipe(c, id);
            cluster_start(c, id);
        }
        break;
    case 15:
    case 16:
        if (n->up && n->session_count < 16 && n->next_tag < 1000)
            attach_later(c, id, 2000 + (uint32_t)prng_below(p, 3000));
        break;
    case 17:
    case 18:
        if (n->session_count > 0) {
            struct cluster_session *s = &n->sessions[prng_below(p, n->session_count)];
            s->active = !s->active;
        }
        break;
    case 19:
    case 20:
    case 21:
        if (n->up && !n->paused) cluster_ask(c, id);
        break;
    default:
        if (n->up && n->next_tag < 1000) cluster_create(c, id);
        break;
    }
}

static void settles(uint64_t seed) {
    uint32_t count = seed % 5 == 4 ? 5 : 3;
    struct cluster *c = cluster_new(count, seed);
    cluster_form(c);
    bool wiped = seed % 3 != 0;
    struct prng p;
    prng_seed(&p, seed * 31 + 7);
    c->disk_ms = 1 + (uint32_t)(seed % 7);
    for (int i = 0; i < 500; i++) {
        if (i % 100 == 0) {
            c->loss_percent = prng_below(&p, 3) == 0 ? 10 : 0;
            c->repeat_percent = prng_below(&p, 3) == 0 ? 10 : 0;
            c->disorder_percent = prng_below(&p, 2) == 0 ? 20 : 0;
        }
        act(c, &p, &wiped);
        cluster_run(c, 1 + prng_below(&p, prng_below(&p, 10) == 0 ? 3000 : 60));
    }
    c->loss_percent = c->repeat_percent = c->disorder_percent = 0;
    cluster_heal(c);
    for (uint32_t id = 1; id <= count; id++) {
        c->nodes[id].paused = c->nodes[id].service_paused = false;
        if (!c->nodes[id].up) cluster_start(c, id);
    }
    cluster_run(c, 15000);                   // a wiped one is taken in after 10 s
    for (uint32_t id = 1; id <= count; id++) // sessions end or are stopped: no more entries
        for (size_t i = 0; i < c->nodes[id].session_count; i++) c->nodes[id].sessions[i].active = false;
    cluster_run(c, 20000);
    if (!cluster_run_until(c, cluster_settled, 20000)) fail_msg("seed %llu does not settle", (unsigned long long)seed);
    const struct raft_membership *m = core_membership(c->nodes[1].core);
    assert_int_equal(membership_voters(m), count);
    for (uint32_t id = 1; id <= count; id++)
        assert_memory_equal(membership_find(m, id)->incarnation, c->nodes[id].incarnation, 16);
    uint64_t tags[CLUSTER_NODES_MAX + 1];
    for (uint32_t id = 1; id <= count; id++) tags[id] = cluster_create(c, id);
    assert_true(cluster_run_until(c, cluster_settled, 2000));
    for (uint32_t id = 1; id <= count; id++) {
        assert_int_equal(c->nodes[id].outcomes[tags[id]], OUTCOME_APPLIED);
        assert_int_equal(lease_count(machine_leases(c->nodes[id].machine)), 0);
    }
    cluster_check(c);
    cluster_free(c);
}

static void random_faults_with_sessions_reads_and_a_lost_disk(void **state) {
    const char *from = getenv("CORE_SEED"), *more = getenv("CORE_SEEDS");
    uint64_t first = from != NULL ? strtoull(from, NULL, 10) : 1000;
    uint64_t count = more != NULL ? strtoull(more, NULL, 10) : 12;
    for (uint64_t seed = first; seed < first + count; seed++) {
        if (more != NULL) fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        settles(seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_faults_with_sessions_reads_and_a_lost_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
