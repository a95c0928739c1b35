// Members, snapshots between nodes, digests, orderly end (replication.md "Members", "Digests", "When a node ...
// installs").
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
// cmocka wants these first
#include <cmocka.h>

#include "replica/core_internal.h"
#include "test/unit/support/core_cluster.h"

static uint32_t a_follower(struct cluster *c) {
    return cluster_leader(c) == 1 ? 2 : 1;
}

static enum member_role role_of(struct cluster *c, uint32_t by, uint32_t id) {
    const struct member *m = membership_find(core_membership(c->nodes[by].core), id);
    assert_non_null(m);
    return m->role;
}

static void formation_needs_all(void **state) {
    struct cluster *c = cluster_new(3, 400);
    cluster_crash(c, 3);
    cluster_run(c, 10000);
    assert_false(c->nodes[1].formed);
    assert_false(c->nodes[2].formed);
    cluster_start(c, 3);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    for (uint32_t id = 1; id <= 3; id++) {
        assert_true(core_formed(c->nodes[id].core));
        assert_memory_equal(c->nodes[id].cluster_id, c->nodes[1].cluster_id, 16);
        assert_int_equal(membership_voters(core_membership(c->nodes[id].core)), 3);
    }
    cluster_check(c);
    cluster_free(c);
}

static void formation_without_a_member_and_its_arrival_later(void **state) {
    struct cluster *c = cluster_new(3, 401);
    cluster_crash(c, 1);
    cluster_run(c, 500);
    core_admin(c->nodes[3].core, c->now_ms, 7, CORE_FORM_WITHOUT, 1, NULL); // not the lowest present: noted only
    cluster_run(c, 500);
    assert_false(c->nodes[3].formed);
    core_admin(c->nodes[2].core, c->now_ms, 8, CORE_FORM_WITHOUT, 1, NULL);
    assert_int_equal(c->nodes[2].admin_error, 0);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    assert_null(membership_find(core_membership(c->nodes[2].core), 1));
    uint64_t tag = cluster_create(c, 3);
    cluster_run(c, 100);
    assert_int_equal(c->nodes[3].outcomes[tag], OUTCOME_APPLIED);
    // The one left out comes, sees a formed cluster, forms nothing, and is added.
    cluster_start(c, 1);
    cluster_run(c, 3000);
    assert_false(core_formed(c->nodes[1].core));
    core_admin(c->nodes[2].core, c->now_ms, 9, CORE_MEMBER_ADD, 1, "node1:1");
    cluster_run(c, 3000);
    assert_true(c->nodes[2].admin_done);
    assert_int_equal(c->nodes[2].admin_error, 0);
    assert_int_equal(role_of(c, 2, 1), MEMBER_VOTER); // learner first, then promoted by itself
    assert_true(cluster_run_until(c, cluster_settled, 3000));
    cluster_check(c);
    cluster_free(c);
}

static struct {
    uint32_t votes_given[CLUSTER_NODES_MAX + 1];
    uint64_t chunks, first_again;
    bool watch_resume, half_only;
    struct cluster *cut_once;
} seen;

static bool watch(struct cluster *c, uint32_t from, uint32_t to, uint8_t type, struct bytes bytes) {
    if (type == FRAME_SNAPSHOT_CHUNK) {
        struct core_frame frame;
        assert_true(core_frame_decode(&frame, bytes));
        seen.chunks++;
        if (seen.half_only && frame.c >= (512u << 10)) return false; // the rest is lost on the way
        if (seen.watch_resume && seen.first_again == UINT64_MAX) seen.first_again = frame.c;
    }
    if (type != FRAME_RAFT) return true;
    struct raft_message m;
    assert_true(raft_message_decode(&m, bytes_of(bytes.data + 1, bytes.len - 1)));
    if (m.type == RAFT_MSG_VOTE_ANSWER && !m.reject) seen.votes_given[from]++;
    raft_message_release(&m);
    return true;
}

static void wiped_node_returns_as_a_learner_and_never_votes_for_the_old(void **state) {
    memset(&seen, 0, sizeof seen);
    struct cluster *c = cluster_new(3, 402);
    cluster_form(c);
    for (int i = 0; i < 5; i++) cluster_create(c, 1);
    cluster_run(c, 200);
    uint32_t leader = cluster_leader(c), wiped = a_follower(c), third = 6 - leader - wiped;
    cluster_crash(c, wiped);
    cluster_wipe(c, wiped);
    cluster_start(c, wiped);
    c->filter = watch;
    // The third node is away too: the wiped one must not stand in for its old self, so nothing can be committed.
    cluster_crash(c, third);
    uint64_t tag = cluster_create(c, leader);
    cluster_run(c, 5000);
    assert_int_equal(c->nodes[leader].outcomes[tag], OUTCOME_OPEN);
    assert_int_equal(cluster_leader(c), 0);
    assert_int_equal(seen.votes_given[wiped], 0);
    cluster_start(c, third);
    cluster_run(c, 3000);
    assert_int_equal(cluster_leader(c) == 0, 0);
    assert_int_not_equal(cluster_leader(c), wiped);
    uint32_t by = cluster_leader(c);
    cluster_run(c, 5000);
    assert_int_equal(role_of(c, by, wiped),
                     MEMBER_VOTER); // the old one, silent for less than 10 s: nothing happens yet
    assert_memory_not_equal(membership_find(core_membership(c->nodes[by].core), wiped)->incarnation,
                            c->nodes[wiped].incarnation, 16);
    cluster_run(c, 6000);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    by = cluster_leader(c);
    assert_int_equal(role_of(c, by, wiped), MEMBER_VOTER);
    assert_memory_equal(membership_find(core_membership(c->nodes[by].core), wiped)->incarnation,
                        c->nodes[wiped].incarnation, 16);
    uint64_t again = cluster_create(c, wiped); // its new stream
    cluster_run(c, 100);
    assert_int_equal(c->nodes[wiped].outcomes[again], OUTCOME_APPLIED);
    assert_true(cluster_run_until(c, cluster_settled, 1000));
    c->filter = NULL;
    cluster_check(c);
    cluster_free(c);
}

static void one_grows_to_three_in_one_change(void **state) {
    struct cluster *c = cluster_new(1, 403);
    cluster_form(c);
    // Two more join it: the harness's nodes 2 and 3, which list all three.
    struct cluster *three = cluster_new(3, 404);
    cluster_free(c);
    c = three;
    cluster_crash(c, 2);
    cluster_crash(c, 3);
    core_admin(c->nodes[1].core, c->now_ms, 1, CORE_FORM_WITHOUT, 2, NULL);
    core_admin(c->nodes[1].core, c->now_ms, 2, CORE_FORM_WITHOUT, 3, NULL);
    assert_true(cluster_run_until(c, cluster_settled, 2000));
    assert_true(c->nodes[1].alone);
    cluster_start(c, 2);
    core_admin(c->nodes[1].core, c->now_ms, 3, CORE_MEMBER_ADD, 2, "node2:1");
    cluster_run(c, 3000);
    assert_true(c->nodes[1].alone);                     // a learner does not vote
    assert_int_equal(role_of(c, 1, 2), MEMBER_LEARNER); // two voters would stop when either dies
    uint64_t tag = cluster_create(c, 2);                // a learner's clients are served
    cluster_run(c, 50);
    assert_int_equal(c->nodes[2].outcomes[tag], OUTCOME_APPLIED);
    cluster_start(c, 3);
    core_admin(c->nodes[2].core, c->now_ms, 4, CORE_MEMBER_ADD, 3, "node3:1"); // asked of a node that does not lead
    for (int i = 0; i < 3000; i++) {
        cluster_run(c, 1);
        assert_int_not_equal(membership_voters(core_membership(c->nodes[1].core)), 2);
    }
    for (uint32_t id = 1; id <= 3; id++) assert_false(c->nodes[id].alone);
    assert_true(c->nodes[2].admin_done);
    assert_int_equal(c->nodes[2].admin_error, 0);
    assert_int_equal(role_of(c, 1, 2), MEMBER_VOTER);
    assert_int_equal(role_of(c, 1, 3), MEMBER_VOTER);
    assert_true(cluster_run_until(c, cluster_settled, 3000));
    // Leadership is handed over, a member is removed.
    core_admin(c->nodes[1].core, c->now_ms, 5, CORE_TRANSFER, 3, NULL);
    cluster_run(c, 1500);
    assert_int_equal(cluster_leader(c), 3);
    assert_int_equal(c->nodes[1].admin_request, 5);
    assert_int_equal(c->nodes[1].admin_error, 0);
    core_admin(c->nodes[3].core, c->now_ms, 6, CORE_MEMBER_REMOVE, 2, NULL);
    cluster_run(c, 1000);
    assert_int_equal(c->nodes[3].admin_request, 6);
    assert_int_equal(c->nodes[3].admin_error, 0);
    assert_null(membership_find(core_membership(c->nodes[3].core), 2));
    cluster_crash(c, 2);
    tag = cluster_create(c, 1);
    cluster_run(c, 100);
    assert_int_equal(c->nodes[1].outcomes[tag], OUTCOME_APPLIED);
    cluster_free(c);
}

static void leader_removed_answers_before_it_is_gone(void **state) {
    for (int by_follower = 0; by_follower <= 1; by_follower++) {
        struct cluster *c = cluster_new(3, 410);
        cluster_form(c);
        cluster_run(c, 300);
        uint32_t leader = cluster_leader(c), asker = by_follower ? a_follower(c) : leader;
        core_admin(c->nodes[asker].core, c->now_ms, 11, CORE_MEMBER_REMOVE, leader, NULL);
        cluster_run(c, 2000);
        assert_true(c->nodes[asker].admin_done);
        assert_int_equal(c->nodes[asker].admin_request, 11);
        assert_int_equal(c->nodes[asker].admin_error, 0);
        uint32_t rest = leader == 1 ? 2 : 1;
        assert_null(membership_find(core_membership(c->nodes[rest].core), leader));
        // One that never was there is still told apart.
        core_admin(c->nodes[rest].core, c->now_ms, 12, CORE_MEMBER_REMOVE, 9, NULL);
        cluster_run(c, 1000);
        assert_int_equal(c->nodes[rest].admin_request, 12);
        assert_int_equal(c->nodes[rest].admin_error, -ENOENT);
        cluster_free(c);
    }
}

static void observer_serves_but_never_votes_until_it_is_promoted(void **state) {
    struct cluster *c = cluster_new(4, 413);
    cluster_crash(c, 4);
    cluster_run(c, 200);
    core_admin(c->nodes[1].core, c->now_ms, 1, CORE_FORM_WITHOUT, 4, NULL);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    cluster_start(c, 4);
    uint32_t follower = a_follower(c);
    core_admin(c->nodes[follower].core, c->now_ms, 2, CORE_MEMBER_ADD_OBSERVER, 4, "node4:1");
    cluster_run(c, 1000);
    assert_int_equal(c->nodes[follower].admin_request, 2);
    assert_int_equal(c->nodes[follower].admin_error, 0);
    cluster_run(c, 10000); // long caught up
    uint32_t leader = cluster_leader(c);
    assert_int_equal(role_of(c, leader, 4), MEMBER_LEARNER);
    assert_true(membership_find(core_membership(c->nodes[leader].core), 4)->observer);
    assert_int_equal(membership_voters(core_membership(c->nodes[leader].core)), 3);
    assert_int_equal(c->nodes[leader].status.synced_observers, 1);
    assert_int_equal(c->nodes[leader].status.synced_followers, 2);
    uint64_t tag = cluster_create(c, 4); // its clients are served: writes, reads, sessions
    size_t session = cluster_attach(c, 4, 4000);
    cluster_ask(c, 4);
    assert_true(cluster_run_until(c, cluster_settled, 1000));
    assert_int_equal(c->nodes[4].outcomes[tag], OUTCOME_APPLIED);
    assert_true(c->nodes[4].read_done && c->nodes[4].read_errors == 0);
    cluster_run(c, 10000);
    assert_int_equal(c->nodes[4].ended_count, 0);
    assert_true(c->nodes[4].sessions[session].acked_ms + 1000 > c->now_ms);
    // Asked for again, and for what it is not.
    core_admin(c->nodes[leader].core, c->now_ms, 3, CORE_MEMBER_ADD_OBSERVER, 4, "node4:1");
    assert_int_equal(c->nodes[leader].admin_error, 0);
    core_admin(c->nodes[leader].core, c->now_ms, 4, CORE_MEMBER_ADD, 4, "node4:1");
    assert_int_equal(c->nodes[leader].admin_error, -EINVAL);
    core_admin(c->nodes[leader].core, c->now_ms, 5, CORE_MEMBER_ADD_OBSERVER, follower, "x:1");
    assert_int_equal(c->nodes[leader].admin_error, -EINVAL);
    // Two of the three voters are away: observer and leader are two of four, and no majority.
    for (uint32_t id = 1; id <= 3; id++)
        if (id != leader) cluster_crash(c, id);
    tag = cluster_create(c, leader);
    cluster_run(c, 8000);
    assert_int_equal(c->nodes[leader].outcomes[tag], OUTCOME_OPEN);
    assert_int_equal(cluster_leader(c), 0);
    for (uint32_t id = 1; id <= 3; id++)
        if (id != leader) cluster_start(c, id);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    // Its empty disk makes it no voter either.
    cluster_crash(c, 4);
    cluster_wipe(c, 4);
    cluster_start(c, 4);
    cluster_run(c, 15000);
    leader = cluster_leader(c);
    assert_memory_equal(membership_find(core_membership(c->nodes[leader].core), 4)->incarnation,
                        c->nodes[4].incarnation, INCARNATION_BYTES);
    assert_true(membership_find(core_membership(c->nodes[leader].core), 4)->observer);
    core_admin(c->nodes[4].core, c->now_ms, 6, CORE_MEMBER_PROMOTE, 4, NULL); // asked of itself
    cluster_run(c, 1000);
    assert_int_equal(c->nodes[4].admin_request, 6);
    assert_int_equal(c->nodes[4].admin_error, 0);
    assert_int_equal(role_of(c, leader, 4), MEMBER_VOTER);
    assert_false(membership_find(core_membership(c->nodes[leader].core), 4)->observer);
    assert_true(cluster_run_until(c, cluster_settled, 3000));
    cluster_check(c);
    cluster_free(c);
}

static uint32_t level_at(struct cluster *c, uint32_t id) {
    return machine_apply_level(c->nodes[id].machine);
}

static void restart_as(struct cluster *c, uint32_t id, uint32_t apply_level_max) {
    cluster_crash(c, id);
    c->nodes[id].apply_level_max = apply_level_max;
    cluster_start(c, id);
    cluster_run(c, 3000);
}

static void apply_level_rises_when_every_member_can_follow(void **state) {
    struct cluster *c = cluster_new(4, 414);
    for (uint32_t id = 1; id <= 4; id++) {
        cluster_crash(c, id);
        c->nodes[id].apply_level_max = 1;
        if (id != 4) cluster_start(c, id);
    }
    cluster_run(c, 200);
    core_admin(c->nodes[1].core, c->now_ms, 1, CORE_FORM_WITHOUT, 4, NULL);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    cluster_start(c, 4);
    core_admin(c->nodes[1].core, c->now_ms, 2, CORE_MEMBER_ADD_OBSERVER, 4, "node4:1");
    cluster_run(c, 1000);
    assert_int_equal(c->nodes[1].admin_error, 0);
    for (uint32_t id = 1; id <= 3; id++) { // one after another, as upgrades go
        restart_as(c, id, 3);
        for (uint32_t k = 1; k <= 4; k++) assert_int_equal(level_at(c, k), 1); // the observer cannot
    }
    cluster_crash(c, 4); // and while it is away nobody knows what it comes back as
    cluster_run(c, 3000);
    assert_int_equal(level_at(c, 1), 1);
    cluster_start(c, 4);
    restart_as(c, 4, 2);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    for (uint32_t k = 1; k <= 4; k++) {
        assert_int_equal(level_at(c, k), 2); // as far as the oldest can
        assert_int_equal(membership_find(core_membership(c->nodes[k].core), 4)->apply_level_max, 2);
    }
    uint64_t last = raft_last_index(core_raft(c->nodes[cluster_leader(c)].core));
    cluster_run(c, 2000);
    assert_int_equal(raft_last_index(core_raft(c->nodes[cluster_leader(c)].core)), last); // said once
    cluster_check(c);
    cluster_free(c);
}

static void node_below_the_apply_level_is_not_taken_in(void **state) {
    struct cluster *c = cluster_new(4, 415);
    for (uint32_t id = 1; id <= 4; id++) {
        cluster_crash(c, id);
        c->nodes[id].apply_level_max = id == 4 ? 1 : 2;
        if (id != 4) cluster_start(c, id);
    }
    cluster_run(c, 200);
    core_admin(c->nodes[1].core, c->now_ms, 1, CORE_FORM_WITHOUT, 4, NULL);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    for (uint32_t id = 1; id <= 3; id++) assert_int_equal(level_at(c, id), 2); // all could from the beginning
    cluster_start(c, 4);
    cluster_run(c, 500);
    uint32_t follower = a_follower(c);
    core_admin(c->nodes[follower].core, c->now_ms, 2, CORE_MEMBER_ADD, 4, "node4:1");
    cluster_run(c, 1000);
    assert_int_equal(c->nodes[follower].admin_request, 2);
    assert_int_equal(c->nodes[follower].admin_error, -EINVAL);
    assert_non_null(strstr(c->nodes[follower].admin_text, "knows apply level 1, this cluster is at level 2"));
    assert_null(membership_find(core_membership(c->nodes[follower].core), 4));
    // A member whose disk is new and whose binary is old is not taken in either.
    uint32_t wiped = follower;
    cluster_crash(c, wiped);
    cluster_wipe(c, wiped);
    c->nodes[wiped].apply_level_max = 1;
    cluster_start(c, wiped);
    cluster_run(c, 15000);
    assert_false(core_formed(c->nodes[wiped].core));
    restart_as(c, wiped, 2);
    cluster_run(c, 12000);
    assert_int_equal(level_at(c, wiped), 2);
    assert_int_equal(role_of(c, cluster_leader(c), wiped), MEMBER_VOTER);
    cluster_free(c);
}

// The schedule: a member is removed while it runs, and added again without a restart, so under the same incarnation.
// Apply has dropped its stream with the removal; what it numbers further would be a gap for ever.
static void removed_and_added_again_opens_a_new_stream(void **state) {
    for (int lagging = 0; lagging <= 1; lagging++) {
        struct cluster *c = cluster_new(3, 412);
        cluster_form(c);
        uint32_t leader = cluster_leader(c), gone = a_follower(c);
        for (int i = 0; i < 5; i++) cluster_create(c, gone);
        assert_true(cluster_run_until(c, cluster_settled, 1000));
        struct cluster_node *n = &c->nodes[gone];
        uint64_t boot = n->boot;
        core_admin(c->nodes[leader].core, c->now_ms, 1, CORE_MEMBER_REMOVE, gone, NULL);
        cluster_run(c, 500);
        assert_int_equal(c->nodes[leader].admin_error, 0);
        assert_null(membership_find(core_membership(c->nodes[leader].core), gone));
        uint64_t lost = cluster_create(c, gone); // nobody takes it: it waits for a leader
        if (lagging) n->service_paused = true;   // both changes reach its apply in one turn
        core_admin(c->nodes[leader].core, c->now_ms, 2, CORE_MEMBER_ADD, gone, "again:1");
        cluster_run(c, 2000);
        n->service_paused = false;
        assert_int_equal(c->nodes[leader].admin_request, 2);
        assert_int_equal(c->nodes[leader].admin_error, 0);
        assert_true(cluster_run_until(c, cluster_settled, 5000));
        assert_int_equal(role_of(c, leader, gone), MEMBER_VOTER);
        assert_true(n->boot > boot);
        assert_int_not_equal(n->outcomes[lost], OUTCOME_OPEN);
        uint64_t tag = cluster_create(c, gone);
        assert_true(cluster_run_until(c, cluster_settled, 1000));
        assert_int_equal(n->outcomes[tag], OUTCOME_APPLIED);
        // A restart reads both changes again: the stream that it opens then is not taken for the dropped one.
        boot = n->boot;
        cluster_crash(c, gone);
        cluster_start(c, gone);
        assert_true(cluster_run_until(c, cluster_settled, 5000));
        assert_int_equal(n->boot, boot + 1);
        tag = cluster_create(c, gone);
        assert_true(cluster_run_until(c, cluster_settled, 1000));
        assert_int_equal(n->outcomes[tag], OUTCOME_APPLIED);
        cluster_check(c);
        cluster_free(c);
    }
}

static void other_addresses_reach_the_membership(void **state) {
    struct cluster *c = cluster_new(3, 411);
    cluster_form(c);
    cluster_run(c, 500);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    uint64_t before = core_membership(c->nodes[leader].core)->index;
    cluster_run(c, 1000);
    assert_int_equal(core_membership(c->nodes[leader].core)->index, before); // the same ones: nothing is proposed
    snprintf(c->nodes[follower].core->options.advertised[ADVERTISED_ZOOKEEPER], ADDRESS_TEXT_MAX, "moved:2181");
    snprintf(c->nodes[leader].core->options.advertised[ADVERTISED_HTTP], ADDRESS_TEXT_MAX, "lead:7450");
    cluster_cut(c, leader, follower);
    cluster_run(c, 100);
    cluster_heal(c);
    cluster_run(c, 3000);
    for (uint32_t id = 1; id <= 3; id++) {
        const struct raft_membership *m = core_membership(c->nodes[id].core);
        assert_string_equal(membership_find(m, follower)->address[ADVERTISED_ZOOKEEPER], "moved:2181");
        assert_string_equal(membership_find(m, leader)->address[ADVERTISED_HTTP], "lead:7450");
        assert_int_equal(membership_voters(m), 3);
        assert_true(m->index > before && m->index <= before + 50);
    }
    before = core_membership(c->nodes[leader].core)->index;
    cluster_run(c, 1000);
    assert_int_equal(core_membership(c->nodes[leader].core)->index, before); // and then it is quiet
    assert_true(cluster_run_until(c, cluster_settled, 3000));
    cluster_check(c);
    cluster_free(c);
}

static void snapshot_transfer_resumes(void **state) {
    memset(&seen, 0, sizeof seen);
    struct cluster *c = cluster_new(3, 405);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    cluster_crash(c, follower);
    for (int i = 0; i < 50; i++) cluster_create(c, leader);
    cluster_run(c, 200);
    c->check_raft = true; // pads the snapshot to 1 MiB: four chunks
    cluster_snapshot(c, leader);
    // The leader's memory still holds the log; a restart leaves what the disk has.
    uint32_t third = 6 - leader - follower;
    cluster_snapshot(c, third);
    cluster_crash(c, leader);
    cluster_crash(c, third);
    cluster_start(c, leader);
    cluster_start(c, third);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    uint32_t by = cluster_leader(c);
    c->filter = watch;
    seen.half_only = true;
    cluster_start(c, follower);
    cluster_run(c, 900);
    uint64_t written = c->nodes[follower].receiving.bytes.len;
    assert_int_equal(written, 512u << 10);
    seen.half_only = false;
    seen.watch_resume = true;
    seen.first_again = UINT64_MAX;
    cluster_cut(c, by, follower);
    cluster_run(c, 100);
    cluster_heal(c);
    assert_true(cluster_run_until(c, cluster_settled, 6000));
    assert_int_equal(cluster_leader(c), by);
    assert_int_equal(seen.first_again, written); // not from the beginning
    c->filter = NULL;
    assert_true(c->nodes[follower].epoch > 1);
    uint64_t tag = cluster_create(c, follower); // its stream is new, and works
    cluster_run(c, 100);
    assert_int_equal(c->nodes[follower].outcomes[tag], OUTCOME_APPLIED);
    cluster_run(c, 20);
    struct digest a = machine_digest(c->nodes[by].machine), b = machine_digest(c->nodes[follower].machine);
    assert_true(digest_equal(a, b));
    cluster_free(c);
}

// A follower is 50 entries behind its leader, who holds none of them in memory. snapshot: nor in its log. Gives the
// follower, which does not run.
static uint32_t left_behind(struct cluster *c, bool snapshot) {
    c->log_tail_bytes = 1;
    for (uint32_t id = 1; id <= 3; id++) cluster_crash(c, id);
    for (uint32_t id = 1; id <= 3; id++) cluster_start(c, id);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    for (int i = 0; i < 10; i++) cluster_create(c, leader);
    cluster_run(c, 200);
    if (!snapshot) cluster_snapshot(c, leader);
    cluster_crash(c, follower);
    for (int i = 0; i < 50; i++) cluster_create(c, leader);
    cluster_run(c, 200);
    if (snapshot) cluster_snapshot(c, leader);
    return follower;
}

static void caught_up_by_a_new_snapshot(struct cluster *c, uint32_t follower) {
    uint32_t leader = cluster_leader(c);
    cluster_start(c, follower);
    cluster_run(c, 3000);
    assert_int_equal(cluster_leader(c), leader);
    assert_true(machine_applied(c->nodes[follower].machine) < machine_applied(c->nodes[leader].machine));
    assert_int_equal(c->nodes[leader].snapshots_wanted, 1); // once, and no offers in a circle
    cluster_snapshot(c, leader);
    assert_true(cluster_run_until(c, cluster_settled, 3000));
    assert_true(c->nodes[follower].epoch > 1);
    cluster_free(c);
}

static void entries_that_cannot_be_read_are_passed_by_a_newer_snapshot(void **state) {
    struct cluster *c = cluster_new(3, 410);
    uint32_t follower = left_behind(c, false);
    struct cluster_node *leader = &c->nodes[cluster_leader(c)];
    leader->unreadable_upto = machine_applied(leader->machine);
    caught_up_by_a_new_snapshot(c, follower);
}

static void snapshot_that_cannot_be_read_is_made_anew(void **state) {
    struct cluster *c = cluster_new(3, 411);
    uint32_t follower = left_behind(c, true);
    c->nodes[cluster_leader(c)].snapshot_unreadable = true;
    caught_up_by_a_new_snapshot(c, follower);
}

static void snapshot_that_rotted_is_made_anew(void **state) {
    struct cluster *c = cluster_new(3, 412);
    uint32_t follower = left_behind(c, true);
    c->nodes[cluster_leader(c)].snapshot_rotten = true;
    caught_up_by_a_new_snapshot(c, follower);
}

// The leader's process began when the follower was away, and found out that it needs a snapshot before it ever met it:
// the follower's first hello made it forget that, while Raft waited for the transfer (simulator, seed 1795272145305).
static void snapshot_for_one_that_was_never_met(void **state) {
    struct cluster *c = cluster_new(3, 413);
    uint32_t follower = left_behind(c, true);
    for (uint32_t id = 1; id <= 3; id++)
        if (id != follower) cluster_crash(c, id);
    for (uint32_t id = 1; id <= 3; id++)
        if (id != follower) cluster_start(c, id);
    assert_true(cluster_run_until(c, cluster_ready, 5000));
    uint32_t leader = cluster_leader(c);
    for (int i = 0; i < 50; i++) cluster_create(c, leader);
    cluster_run(c, 200);
    cluster_snapshot(c, leader);
    cluster_run(c, 2000);
    assert_int_equal(cluster_leader(c), leader);
    cluster_start(c, follower);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    cluster_free(c);
}

static void differing_node_stops_serving_and_rebuilds(void **state) {
    struct cluster *c = cluster_new(3, 406);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    cluster_attach(c, leader, 30000); // time entries, so samples
    cluster_run(c, 12000);
    assert_false(c->nodes[follower].status.diverged);
    // A flipped bit in one machine: its Unix offset. Its own log stays right.
    struct writer w;
    writer_init(&w);
    group_write_unix_offset(&w, 5);
    struct writer section;
    writer_init(&section);
    write_u32_le(&section, (uint32_t)w.len);
    write_span(&section, bytes_of(w.data, w.len));
    struct writer body;
    writer_init(&body);
    struct section s = {.count = 1, .commands = bytes_of(section.data, section.len)};
    section_write(&body, &s);
    // The same entry index with other contents: apply it in place of the next committed one.
    struct cluster_node *n = &c->nodes[follower];
    uint64_t before = machine_applied(n->machine);
    uint64_t tag = cluster_create(c, leader);
    n->service_paused = true;
    while (c->nodes[leader].outcomes[tag] == OUTCOME_OPEN) cluster_run(c, 1);
    cluster_run(c, 20);
    assert_true(n->applies.count > 0);
    struct batch_ref *queued = ring_front(&n->applies); // struct fake_apply begins with its batch
    assert_int_equal(queued->first, before + 1);
    struct batch_header header;
    assert_true(batch_decode(queued->buf->data, queued->buf->len, &header));
    assert_int_equal(header.count, 1);
    struct batch_ref wrong = batch_make(&header, bytes_of(body.data, body.len));
    uint64_t old_len = queued->buf->len;
    // handed_bytes are accounted by the batch's size: keep them alike
    n->core->handed_bytes = n->core->handed_bytes - old_len + wrong.buf->len;
    batch_ref_release(queued);
    *queued = wrong;
    n->service_paused = false;
    writer_free(&w);
    writer_free(&section);
    writer_free(&body);
    for (int i = 0; i < 12000 && !n->status.diverged; i++) cluster_run(c, 1);
    assert_true(n->status.diverged);
    assert_false(c->nodes[leader].status.diverged);
    cluster_run(c, 1500);
    assert_true(c->nodes[leader].snapshots_wanted > 0);
    cluster_create(c, leader);
    cluster_run(c, 100);
    cluster_snapshot(c, leader);
    cluster_run(c, 3000);
    assert_false(n->status.diverged);
    assert_true(cluster_run_until(c, cluster_settled, 3000));
    struct digest a = machine_digest(c->nodes[leader].machine), b = machine_digest(n->machine);
    assert_true(digest_equal(a, b));
    cluster_free(c);
}

static void orderly_end_hands_over(void **state) {
    struct cluster *c = cluster_new(3, 407);
    cluster_form(c);
    cluster_run(c, 300);
    uint32_t leader = cluster_leader(c);
    uint64_t tag = cluster_create(c, leader);
    cluster_run(c, 2);
    core_stop(c->nodes[leader].core, c->now_ms);
    uint64_t late = cluster_create(c, leader);
    assert_int_equal(c->nodes[leader].outcomes[late], OUTCOME_REFUSED);
    cluster_run(c, 300);
    assert_true(c->nodes[leader].stopped);
    assert_int_equal(c->nodes[leader].outcomes[tag], OUTCOME_APPLIED);
    assert_true(cluster_leader(c) != 0 && cluster_leader(c) != leader); // without an election time-out
    cluster_free(c);
    c = cluster_new(1, 408);
    cluster_form(c);
    core_stop(c->nodes[1].core, c->now_ms);
    cluster_run(c, 50);
    assert_true(c->nodes[1].stopped);
    cluster_free(c);
}

// Seed 555: the write that stalled was the journal's own, with nothing of core's behind it. Its end comes by the next
// look at the stall alone; a node that took its disk for bad for ever never stood for election again.
static void node_whose_stall_has_passed_stands_again(void **state) {
    struct cluster *c = cluster_new(3, 416);
    cluster_form(c);
    cluster_run(c, 500);
    uint32_t leader = cluster_leader(c);
    cluster_crash(c, leader);
    for (uint32_t id = 1; id <= 3; id++)
        if (id != leader) core_disk_stall(c->nodes[id].core, c->now_ms, 600);
    cluster_run(c, 5000);
    assert_int_equal(cluster_leader(c), 0); // who cannot write does not stand
    for (uint32_t id = 1; id <= 3; id++)
        if (id != leader) core_disk_stall(c->nodes[id].core, c->now_ms, 0);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    cluster_check(c);
    cluster_free(c);
}

static void strangers_are_refused(void **state) {
    struct cluster *c = cluster_new(3, 409);
    cluster_form(c);
    struct core_hello hello;
    const char *why;
    core_own_hello(c->nodes[2].core, &hello);
    assert_true(core_hello(c->nodes[1].core, c->now_ms, &hello, &why));
    hello.cluster_id[3] ^= 1;
    assert_false(core_hello(c->nodes[1].core, c->now_ms, &hello, &why));
    assert_non_null(why);
    core_own_hello(c->nodes[1].core, &hello);
    assert_false(core_hello(c->nodes[1].core, c->now_ms, &hello, &why)); // our own id
    uint8_t noise[64];
    for (int i = 0; i < 2000; i++) { // bytes from outside never end the process
        for (size_t k = 0; k < sizeof noise; k++) noise[k] = (uint8_t)prng_next(&c->prng);
        noise[0] = (uint8_t)(i % 18);
        core_peer_frame(c->nodes[1].core, c->now_ms, 2 + (uint32_t)i % 2, i % 3 == 0 ? CORE_BULK : CORE_CONTROL,
                        bytes_of(noise, 1 + prng_below(&c->prng, sizeof noise)));
    }
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formation_needs_all),
        cmocka_unit_test(formation_without_a_member_and_its_arrival_later),
        cmocka_unit_test(wiped_node_returns_as_a_learner_and_never_votes_for_the_old),
        cmocka_unit_test(one_grows_to_three_in_one_change),
        cmocka_unit_test(leader_removed_answers_before_it_is_gone),
        cmocka_unit_test(observer_serves_but_never_votes_until_it_is_promoted),
        cmocka_unit_test(apply_level_rises_when_every_member_can_follow),
        cmocka_unit_test(node_below_the_apply_level_is_not_taken_in),
        cmocka_unit_test(removed_and_added_again_opens_a_new_stream),
        cmocka_unit_test(other_addresses_reach_the_membership),
        cmocka_unit_test(snapshot_transfer_resumes),
        cmocka_unit_test(entries_that_cannot_be_read_are_passed_by_a_newer_snapshot),
        cmocka_unit_test(snapshot_that_cannot_be_read_is_made_anew),
        cmocka_unit_test(snapshot_that_rotted_is_made_anew),
        cmocka_unit_test(snapshot_for_one_that_was_never_met),
        cmocka_unit_test(differing_node_stops_serving_and_rebuilds),
        cmocka_unit_test(orderly_end_hands_over),
        cmocka_unit_test(node_whose_stall_has_passed_stands_again),
        cmocka_unit_test(strangers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
