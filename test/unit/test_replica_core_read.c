// Linearizable rounds (replication.md "Reads").
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants these first
#include <cmocka.h>

#include "replica/core_internal.h"
#include "test/unit/support/core_cluster.h"

static uint32_t a_follower(struct cluster *c) {
    return cluster_leader(c) == 1 ? 2 : 1;
}

static void ask(struct cluster *c, uint32_t id) {
    cluster_ask(c, id);
}

static void alone_needs_no_round(void **state) {
    struct cluster *c = cluster_new(1, 300);
    cluster_form(c);
    ask(c, 1);
    assert_true(c->nodes[1].read_done); // at once
    assert_int_equal(c->nodes[1].read_index, raft_commit(core_raft(c->nodes[1].core)));
    cluster_free(c);
}

static void follower_reads_through_the_leader(void **state) {
    struct cluster *c = cluster_new(3, 301);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    for (int i = 0; i < 20; i++) {
        uint64_t tag = cluster_create(c, leader);
        while (c->nodes[leader].outcomes[tag] == OUTCOME_OPEN) cluster_run(c, 1);
        uint64_t seen_by_client = machine_applied(c->nodes[leader].machine); // answered: every later read must see it
        ask(c, follower);
        cluster_run(c, 10); // ask, quorum round, answer: no timer
        assert_true(c->nodes[follower].read_done);
        assert_true(c->nodes[follower].read_index >= seen_by_client);
        assert_true(machine_applied(c->nodes[follower].machine) >= c->nodes[follower].read_index);
    }
    cluster_free(c);
}

static struct { uint32_t asks, hold_from, beats; } seen;

static bool hold_answers(struct cluster *c, uint32_t from, uint32_t to, uint8_t type, struct bytes bytes) {
    if (type == FRAME_READ_ASK) seen.asks++;
    if (type != FRAME_RAFT) return true;
    struct raft_message m;
    bool good = raft_message_decode(&m, bytes_of(bytes.data + 1, bytes.len - 1));
    assert_true(good);
    bool answer = m.type == RAFT_MSG_HEARTBEAT_ANSWER;
    if (m.type == RAFT_MSG_HEARTBEAT && m.round != 0) seen.beats++;
    raft_message_release(&m);
    return !(answer && seen.hold_from != 0);
}

// A round that was begun before a write was committed cannot answer a read that came after it.
static void round_begun_before_is_not_used(void **state) {
    memset(&seen, 0, sizeof seen);
    struct cluster *c = cluster_new(3, 302);
    cluster_form(c);
    uint32_t leader = cluster_leader(c);
    struct cluster_node *n = &c->nodes[leader];
    c->filter = hold_answers;
    seen.hold_from = 1; // the quorum's answers to the first round are lost for a while
    ask(c, leader);
    uint64_t first_round = n->read_round, first_index = raft_commit(core_raft(n->core));
    cluster_run(c, 5);
    assert_false(n->read_done);
    uint64_t tag = cluster_create(c, leader);
    while (n->outcomes[tag] == OUTCOME_OPEN) cluster_run(c, 1); // appends and their answers still pass
    uint64_t committed = raft_commit(core_raft(n->core));
    assert_true(committed > first_index);
    ask(c, leader); // arrives behind the write
    assert_true(n->read_round > first_round);
    seen.hold_from = 0;
    cluster_run(c, 150);
    assert_true(n->read_done);
    assert_true(n->read_index >= committed);
    c->filter = NULL;
    cluster_free(c);
}

static void waiting_reads_share_a_round(void **state) {
    memset(&seen, 0, sizeof seen);
    struct cluster *c = cluster_new(3, 303);
    cluster_form(c);
    uint32_t follower = a_follower(c);
    c->filter = hold_answers;
    for (int i = 0; i < 100; i++) ask(c, follower);
    cluster_run(c, 10);
    assert_true(c->nodes[follower].read_done); // the newest, so all before it
    assert_int_equal(seen.asks, 2);            // the first alone, the others together
    c->filter = NULL;
    cluster_free(c);
}

static void cut_off_leader_answers_no_read(void **state) {
    struct cluster *c = cluster_new(3, 304);
    cluster_form(c);
    uint32_t leader = cluster_leader(c);
    cluster_isolate(c, leader);
    ask(c, leader);
    assert_true(cluster_run_until(c, cluster_ready, 3000));
    cluster_run(c, 1500);
    assert_false(c->nodes[leader].read_done);
    cluster_run(c, 2000);
    assert_true(c->nodes[leader].read_done); // refused after 3 s
    assert_int_equal(c->nodes[leader].read_errors, 1);
    // And one that waits through a change of leader is answered by the next.
    cluster_heal(c);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    uint32_t next = cluster_leader(c), reader = next == 1 ? 2 : 1;
    cluster_crash(c, next);
    ask(c, reader);
    cluster_run(c, 2500);
    assert_true(c->nodes[reader].read_done);
    assert_int_equal(c->nodes[reader].read_errors, reader == leader ? 1 : 0);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_needs_no_round),           cmocka_unit_test(follower_reads_through_the_leader),
        cmocka_unit_test(round_begun_before_is_not_used), cmocka_unit_test(waiting_reads_share_a_round),
        cmocka_unit_test(cut_off_leader_answers_no_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
