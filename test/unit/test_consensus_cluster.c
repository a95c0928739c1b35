// Named stories of a whole cluster: what happens to it, and what must come of it.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/alloc.h"
#include "consensus/raft_internal.h"
#include "test/unit/support/raft_cluster.h"

static const struct raft *raft_of(const struct rafts *c, uint32_t id) {
    return c->nodes[id].raft;
}

static void event_of(struct rafts *c, uint32_t id, enum raft_event_type type, uint32_t peer, bool ok) {
    struct raft_event e = rafts_no_event(type);
    e.peer = peer;
    e.ok = ok;
    rafts_step(c, id, &e);
}

static struct member *with(struct rafts *c, struct raft_membership *m, uint32_t id, enum member_role role) {
    struct member *member = membership_find(m, id);
    if (member == NULL) member = membership_add(m, id);
    memcpy(member->incarnation, c->nodes[id].incarnation, INCARNATION_BYTES);
    member->role = role;
    m->joint |= role == MEMBER_OUTGOING || role == MEMBER_INCOMING;
    return member;
}

static void elects_replicates_and_commits(void **state) {
    struct rafts *c = rafts_new(3, 1);
    rafts_run(c, 2000);
    uint32_t leader = rafts_leader(c);
    assert_true(leader != 0);
    for (int i = 0; i < 20; i++) assert_int_equal(rafts_propose(c, leader, 2, 100), RAFT_OK);
    rafts_settle(c);
    for (uint32_t id = 1; id <= 3; id++) assert_int_equal(raft_commit(raft_of(c, id)), 41);
    rafts_check_logs(c);
    rafts_free(c);
}

static void partitioned_node_keeps_its_term(void **state) { // thesis 9.6
    struct rafts *c = rafts_new(3, 2);
    rafts_elect(c, 1);
    rafts_isolate(c, 3, true);
    rafts_run(c, 20000);
    assert_int_equal(raft_role(raft_of(c, 3)), RAFT_PRE_CANDIDATE);
    rafts_isolate(c, 3, false);
    rafts_run(c, 3000);
    assert_int_equal(rafts_leader(c), 1);
    for (uint32_t id = 1; id <= 3; id++) assert_int_equal(raft_term(raft_of(c, id)), 1);
    assert_int_equal(raft_leader(raft_of(c, 3)), 1);
    rafts_free(c);
}

static void leader_without_majority_steps_down(void **state) { // thesis 6.2
    struct rafts *c = rafts_new(3, 3);
    rafts_elect(c, 1);
    rafts_isolate(c, 1, true);
    rafts_run(c, c->options.election_ms + c->options.heartbeat_ms);
    assert_int_not_equal(raft_role(raft_of(c, 1)), RAFT_LEADER);
    assert_int_equal(raft_leader(raft_of(c, 1)), 0);
    rafts_run(c, 3000);
    assert_true(rafts_leader(c) == 2 || rafts_leader(c) == 3);
    rafts_free(c);
}

static void learner_never_counts_and_never_stands(void **state) {
    struct rafts *c = rafts_new(2, 4);
    rafts_start(c, 3);
    rafts_elect(c, 1);
    struct raft_membership m;
    membership_copy(&m, raft_membership(raft_of(c, 1)));
    with(c, &m, 3, MEMBER_LEARNER);
    assert_int_equal(rafts_change(c, 1, &m), RAFT_OK);
    membership_free(&m);
    rafts_settle(c);
    uint64_t commit = raft_commit(raft_of(c, 1));
    assert_int_equal(raft_last_index(raft_of(c, 3)), commit); // it has the log
    rafts_isolate(c, 2, true);
    rafts_propose(c, 1, 1, 10);
    rafts_settle(c);
    assert_int_equal(raft_last_index(raft_of(c, 3)), commit + 1);
    assert_int_equal(raft_commit(raft_of(c, 1)), commit); // two of three have it, but one of two voters
    rafts_crash(c, 1, 0);
    rafts_run(c, 10000);
    assert_int_equal(raft_role(raft_of(c, 3)), RAFT_FOLLOWER);
    assert_int_equal(raft_leader(raft_of(c, 3)), 0);
    event_of(c, 3, RAFT_EVENT_CAMPAIGN, 0, true);
    assert_int_equal(raft_role(raft_of(c, 3)), RAFT_FOLLOWER);
    rafts_free(c);
}

static void transfer_moves_the_leader_without_a_gap(void **state) { // thesis 3.10
    struct rafts *c = rafts_new(3, 5);
    rafts_elect(c, 1);
    rafts_propose(c, 1, 1, 100); // still on its way when the transfer begins
    event_of(c, 1, RAFT_EVENT_TRANSFER, 2, true);
    assert_int_equal(rafts_propose(c, 1, 1, 10), RAFT_TRANSFERRING);
    rafts_settle(c);
    assert_int_equal(rafts_leader(c), 2);
    assert_int_equal(raft_leader(raft_of(c, 1)), 2); // no time has passed
    rafts_free(c);
}

static void transfer_to_a_dead_node_ends(void **state) {
    struct rafts *c = rafts_new(3, 6);
    rafts_elect(c, 1);
    rafts_crash(c, 2, 0);
    rafts_propose(c, 1, 1, 10);
    event_of(c, 1, RAFT_EVENT_TRANSFER, 2, true);
    rafts_run(c, c->options.election_ms + 1);
    assert_int_equal(rafts_leader(c), 1);
    assert_int_equal(rafts_propose(c, 1, 1, 10), RAFT_OK);
    rafts_free(c);
}

static void leader_whose_disk_stalls_hands_over(void **state) {
    struct rafts *c = rafts_new(3, 7);
    rafts_elect(c, 1);
    uint64_t before = c->now_ms;
    event_of(c, 1, RAFT_EVENT_DISK, 0, false);
    rafts_settle(c);
    assert_true(rafts_leader(c) == 2 || rafts_leader(c) == 3);
    assert_int_equal(c->now_ms, before);
    uint32_t leader = rafts_leader(c), third = 5 - leader;
    rafts_crash(c, third, 0);
    rafts_isolate(c, leader, true);
    rafts_run(c, 10000);
    assert_int_equal(raft_role(raft_of(c, 1)), RAFT_FOLLOWER); // it does not stand
    event_of(c, 1, RAFT_EVENT_DISK, 0, true);
    rafts_isolate(c, leader, false);
    rafts_run(c, 5000);
    assert_true(rafts_leader(c) != 0);
    rafts_free(c);
}

static void closed_leader_connection_elects_at_once(void **state) { // replication.md
    struct rafts *c = rafts_new(3, 8);
    rafts_elect(c, 1);
    rafts_run(c, 300);
    rafts_crash(c, 1, 0);
    event_of(c, 2, RAFT_EVENT_PEER_LOST, 1, true);
    event_of(c, 3, RAFT_EVENT_PEER_LOST, 1, true);
    rafts_run(c, 200); // far below the election time-out of 500
    assert_true(rafts_leader(c) != 0);
    rafts_free(c);
}

static void one_closed_connection_does_not_unseat_a_leader(void **state) {
    struct rafts *c = rafts_new(3, 9);
    rafts_elect(c, 1);
    rafts_run(c, 300);
    c->cut[1][3] = c->cut[3][1] = true;
    event_of(c, 3, RAFT_EVENT_PEER_LOST, 1, true);
    event_of(c, 1, RAFT_EVENT_PEER_LOST, 3, true);
    rafts_run(c, 10000);
    assert_int_equal(rafts_leader(c), 1);
    assert_int_equal(raft_term(raft_of(c, 2)), 1);
    rafts_free(c);
}

static void give_log(struct rafts *c, uint32_t id, const uint64_t *terms, const uint32_t *lengths, size_t runs) {
    struct rafts_disk *d = &c->nodes[id].disk;
    rafts_crash(c, id, 0);
    d->term = 8;
    d->capacity = 1000;
    d->batches = mem_alloc(d->capacity * sizeof *d->batches);
    for (size_t run = 0; run < runs; run++) {
        for (uint32_t i = 0; i < lengths[run]; i++) {
            struct batch_header h = {
                .kind = BATCH_COMMANDS, .count = 1, .first_index = d->count + 1, .term = terms[run]};
            d->batches[d->count++] = rafts_batch(&h, bytes_of("x", 1));
        }
    }
    rafts_start(c, id);
}

// Thesis 3.5: a message per term, not per entry.
static void long_divergence_is_found_in_a_few_messages(void **state) {
    struct rafts *c = rafts_new(3, 10);
    const uint64_t odd[] = {1, 3, 5, 7}, even[] = {1, 2, 4, 6};
    const uint32_t fifty[] = {50, 50, 50, 50}, other[] = {30, 50, 50, 100};
    give_log(c, 1, odd, fifty, 4);
    give_log(c, 2, odd, fifty, 4);
    give_log(c, 3, even, other, 4); // alike up to 30 of 200
    rafts_event(c, 1, RAFT_EVENT_CAMPAIGN);
    size_t rejects = 0;
    while (raft_commit(raft_of(c, 3)) != 201) {
        bool busy = c->flight_count > 0;
        if (busy) {
            const struct raft_message *m = &c->flight[0].m;
            rejects += m->type == RAFT_MSG_APPEND_ANSWER && m->from == 3 && m->reject;
            rafts_deliver(c, 0);
        }
        for (uint32_t id = 1; id <= 3; id++) {
            if (rafts_persist(c, id)) busy = true;
            if (rafts_answer_need(c, id)) busy = true;
        }
        if (!busy) c->now_ms += 100, rafts_tick(c, 1);
    }
    assert_true(rejects >= 2 && rejects <= 5);
    rafts_check_logs(c);
    rafts_free(c);
}

static void change_of_2015_is_safe_by_joint_consensus(void **state) {
    // Ongaro, raft-dev 2015: a leader adds a node one way, a later leader changes another way, the first one comes back
    // with a majority of its own. Here the second leader may not change before it has committed in its term, and every
    // change is joint.
    struct rafts *c = rafts_new(4, 11);
    rafts_start(c, 5);
    rafts_elect(c, 1);
    for (uint32_t id = 2; id <= 4; id++) c->cut[1][id] = true;
    struct raft_membership m;
    membership_copy(&m, raft_membership(raft_of(c, 1)));
    with(c, &m, 5, MEMBER_INCOMING);
    assert_int_equal(rafts_change(c, 1, &m), RAFT_OK);
    membership_free(&m);
    rafts_settle(c); // only 5 hears of it
    assert_int_equal(raft_membership(raft_of(c, 5))->count, 5);
    rafts_crash(c, 1, 0);
    rafts_run(c, 1); // the others' connections to 1 are gone
    for (uint32_t id = 2; id <= 4; id++) event_of(c, id, RAFT_EVENT_PEER_LOST, 1, true);
    event_of(c, 2, RAFT_EVENT_CAMPAIGN, 0, true);
    while (raft_role(raft_of(c, 2)) != RAFT_LEADER) {
        rafts_persist(c, 2), rafts_persist(c, 3), rafts_persist(c, 4);
        if (c->flight_count > 0) rafts_deliver(c, 0);
    }
    membership_copy(&m, raft_membership(raft_of(c, 2)));
    with(c, &m, 1, MEMBER_OUTGOING);
    assert_int_equal(rafts_change(c, 2, &m), RAFT_BUSY); // the fault of 2015 needs this to be allowed
    c->cut[2][1] = c->cut[1][2] = true;
    rafts_settle(c);
    assert_int_equal(rafts_change(c, 2, &m), RAFT_OK);
    membership_free(&m);
    rafts_settle(c);
    assert_int_equal(raft_membership(raft_of(c, 2))->count, 3);
    assert_false(raft_membership(raft_of(c, 2))->joint);
    rafts_start(c, 1); // with its own change in its log, and 5 which follows it
    for (uint32_t id = 2; id <= 4; id++) c->cut[1][id] = false;
    event_of(c, 1, RAFT_EVENT_CAMPAIGN, 0, true);
    rafts_run(c, 5000);
    assert_int_not_equal(raft_role(raft_of(c, 1)), RAFT_LEADER);
    assert_true(rafts_leader(c) >= 2 && rafts_leader(c) <= 4);
    rafts_free(c);
}

static void whole_cluster_moves_and_the_old_leader_steps_down(void **state) { // thesis 4.3, 4.2.2
    struct rafts *c = rafts_new(3, 12);
    for (uint32_t id = 4; id <= 6; id++) rafts_start(c, id);
    rafts_elect(c, 1);
    struct raft_membership m;
    membership_copy(&m, raft_membership(raft_of(c, 1)));
    for (uint32_t id = 4; id <= 6; id++) with(c, &m, id, MEMBER_LEARNER);
    assert_int_equal(rafts_change(c, 1, &m), RAFT_OK);
    rafts_settle(c);
    for (uint32_t id = 1; id <= 3; id++) with(c, &m, id, MEMBER_OUTGOING);
    for (uint32_t id = 4; id <= 6; id++) with(c, &m, id, MEMBER_INCOMING);
    rafts_isolate(c, 4, true), rafts_isolate(c, 5, true);
    uint64_t commit = raft_commit(raft_of(c, 1));
    assert_int_equal(rafts_change(c, 1, &m), RAFT_OK);
    rafts_settle(c);
    assert_int_equal(raft_commit(raft_of(c, 1)), commit); // all of the old, one of three of the new
    rafts_isolate(c, 5, false);
    rafts_run(c, 4000);
    uint32_t leader = rafts_leader(c);
    assert_true(leader == 5 || leader == 6);
    assert_int_not_equal(raft_role(raft_of(c, 1)), RAFT_LEADER);
    assert_int_equal(raft_membership(raft_of(c, leader))->count, 3);
    membership_free(&m);
    rafts_free(c);
}

static void node_left_out_may_stand_until_that_is_committed(void **state) { // thesis 4.2.2: nobody else could win
    struct rafts *c = rafts_new(1, 13);
    rafts_start(c, 2);
    rafts_elect(c, 1);
    struct raft_membership m;
    membership_copy(&m, raft_membership(raft_of(c, 1)));
    with(c, &m, 2, MEMBER_LEARNER);
    assert_int_equal(rafts_change(c, 1, &m), RAFT_OK);
    rafts_settle(c);
    with(c, &m, 1, MEMBER_OUTGOING);
    with(c, &m, 2, MEMBER_INCOMING);
    assert_int_equal(rafts_change(c, 1, &m), RAFT_OK);
    uint64_t joint = raft_last_index(raft_of(c, 1));
    while (raft_last_index(raft_of(c, 1)) == joint) { // until 1 appends the membership without itself
        for (uint32_t id = 1; id <= 2; id++) rafts_persist(c, id);
        if (c->flight_count > 0) rafts_deliver(c, 0);
    }
    while (rafts_persist(c, 1)) {
    }
    while (c->flight_count > 0) rafts_drop(c, 0); // it reached only 1's own disk
    rafts_crash(c, 1, 0);
    assert_int_equal(raft_last_index(raft_of(c, 2)), joint);
    rafts_start(c, 1);
    assert_null(membership_find(raft_membership(raft_of(c, 1)), 1));
    rafts_run(c, 10000);
    assert_int_equal(rafts_leader(c), 2);
    assert_int_equal(raft_membership(raft_of(c, 2))->count, 1);
    membership_free(&m);
    rafts_free(c);
}

static void lagging_node_gets_a_snapshot_and_goes_on(void **state) {
    struct rafts *c = rafts_new(3, 14);
    rafts_elect(c, 1);
    rafts_crash(c, 3, 0);
    for (int i = 0; i < 60; i++) rafts_propose(c, 1, 1, 150), rafts_settle(c);
    rafts_snapshot(c, 1, true);
    for (int i = 0; i < 5; i++) rafts_propose(c, 1, 1, 150), rafts_settle(c);
    rafts_start(c, 3);
    event_of(c, 1, RAFT_EVENT_PEER_BACK, 3, true);
    rafts_run(c, 1000);
    assert_true(c->installs == 1);
    assert_int_equal(raft_commit(raft_of(c, 3)), raft_commit(raft_of(c, 1)));
    struct raft_progress p;
    assert_true(raft_progress(raft_of(c, 1), 3, &p) && p.state == RAFT_REPLICATE);
    rafts_free(c);
}

static void wiped_node_comes_back_as_another(void **state) {
    struct rafts *c = rafts_new(3, 15);
    rafts_elect(c, 1);
    rafts_propose(c, 1, 1, 10);
    rafts_settle(c);
    rafts_wipe(c, 3);
    rafts_start(c, 3);
    rafts_isolate(c, 2, true);
    rafts_run(c, 5000);
    assert_int_equal(rafts_leader(c), 0); // 3 neither votes nor acknowledges in the old one's name
    rafts_isolate(c, 2, false);
    rafts_run(c, 3000);
    uint32_t leader = rafts_leader(c);
    assert_true(leader == 1 || leader == 2);
    struct raft_membership m;
    membership_copy(&m, raft_membership(raft_of(c, leader)));
    membership_find(&m, 3)->role = MEMBER_OUTGOING;
    m.joint = true;
    assert_int_equal(rafts_change(c, leader, &m), RAFT_OK); // out
    membership_free(&m);
    rafts_settle(c);
    membership_copy(&m, raft_membership(raft_of(c, leader)));
    with(c, &m, 3, MEMBER_LEARNER); // in under its new incarnation
    assert_int_equal(rafts_change(c, leader, &m), RAFT_OK);
    rafts_settle(c);
    with(c, &m, 3, MEMBER_INCOMING);
    assert_int_equal(rafts_change(c, leader, &m), RAFT_OK);
    membership_free(&m);
    rafts_settle(c);
    assert_int_equal(membership_find(raft_membership(raft_of(c, leader)), 3)->role, MEMBER_VOTER);
    assert_int_equal(raft_commit(raft_of(c, 3)), raft_commit(raft_of(c, leader)));
    rafts_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elects_replicates_and_commits),
        cmocka_unit_test(partitioned_node_keeps_its_term),
        cmocka_unit_test(leader_without_majority_steps_down),
        cmocka_unit_test(learner_never_counts_and_never_stands),
        cmocka_unit_test(transfer_moves_the_leader_without_a_gap),
        cmocka_unit_test(transfer_to_a_dead_node_ends),
        cmocka_unit_test(leader_whose_disk_stalls_hands_over),
        cmocka_unit_test(closed_leader_connection_elects_at_once),
        cmocka_unit_test(one_closed_connection_does_not_unseat_a_leader),
        cmocka_unit_test(long_divergence_is_found_in_a_few_messages),
        cmocka_unit_test(change_of_2015_is_safe_by_joint_consensus),
        cmocka_unit_test(whole_cluster_moves_and_the_old_leader_steps_down),
        cmocka_unit_test(node_left_out_may_stand_until_that_is_committed),
        cmocka_unit_test(lagging_node_gets_a_snapshot_and_goes_on),
        cmocka_unit_test(wiped_node_comes_back_as_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
