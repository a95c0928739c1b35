// Streams (replication.md "Streams"): once only, order, refusals, across leaders, restarts and bad links.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
// cmocka wants these first
#include <cmocka.h>

#include "base/ring.h"
#include "replica/core_internal.h"
#include "test/unit/support/core_cluster.h"

static void one_node_forms_and_applies(void **state) {
    struct cluster *c = cluster_new(1, 1);
    cluster_form(c);
    uint64_t tag = cluster_create(c, 1);
    cluster_run(c, 10);
    assert_int_equal(c->nodes[1].outcomes[tag], OUTCOME_APPLIED);
    assert_int_equal(c->nodes[1].errors[tag], 0);
    cluster_crash(c, 1);
    cluster_start(c, 1);
    assert_true(cluster_run_until(c, cluster_settled, 100)); // alone: no election time-out
    assert_int_equal(cluster_times(&c->nodes[1], "/1-"), 1);
    tag = cluster_create(c, 1);
    cluster_run(c, 10);
    assert_int_equal(c->nodes[1].outcomes[tag], OUTCOME_APPLIED);
    cluster_check(c);
    cluster_free(c);
}

static void three_nodes_form_and_forward(void **state) {
    struct cluster *c = cluster_new(3, 2);
    cluster_form(c);
    uint64_t tags[4];
    for (uint32_t id = 1; id <= 3; id++) tags[id] = cluster_create(c, id);
    cluster_run(c, 30);
    for (uint32_t id = 1; id <= 3; id++) assert_int_equal(c->nodes[id].outcomes[tags[id]], OUTCOME_APPLIED);
    assert_true(cluster_run_until(c, cluster_settled, 1000));
    cluster_check(c);
    cluster_free(c);
}

// A commit goes at once to the node whose command it is: well below a heartbeat.
static void forwarded_command_waits_for_no_timer(void **state) {
    struct cluster *c = cluster_new(3, 3);
    cluster_form(c);
    cluster_run(c, 500);
    uint32_t follower = cluster_leader(c) == 1 ? 2 : 1;
    for (int i = 0; i < 20; i++) {
        uint64_t tag = cluster_create(c, follower);
        cluster_run(c, 12); // forward 1, disks 2 + 2, append 1, answer 1, news 1, turns
        assert_int_equal(c->nodes[follower].outcomes[tag], OUTCOME_APPLIED);
    }
    cluster_free(c);
}

static uint32_t a_follower(struct cluster *c) {
    return cluster_leader(c) == 1 ? 2 : 1;
}

// What was forwarded to a leader that died is sent again to the next one, which may hold it already.
static void duplicate_forward_after_leader_change_is_applied_once(void **state) {
    for (uint64_t seed = 10; seed < 22; seed++) {
        struct cluster *c = cluster_new(3, seed);
        cluster_form(c);
        uint32_t leader = cluster_leader(c), follower = a_follower(c);
        for (int i = 0; i < 30; i++) {
            cluster_create(c, follower);
            cluster_create(c, leader);
            cluster_run(c, 1);
        }
        cluster_run(c, seed - 10); // the moment of death differs: before, within, behind the append
        cluster_crash(c, leader);
        for (int i = 0; i < 10; i++) cluster_create(c, follower);
        assert_true(cluster_run_until(c, cluster_settled, 5000));
        cluster_start(c, leader);
        assert_true(cluster_run_until(c, cluster_settled, 5000));
        for (uint64_t tag = 1; tag < c->nodes[follower].next_tag; tag++) {
            assert_int_equal(c->nodes[follower].outcomes[tag], OUTCOME_APPLIED);
            assert_int_equal(c->nodes[follower].errors[tag], 0);
        }
        assert_int_equal(cluster_times(&c->nodes[follower], follower == 1 ? "/1-" : "/2-"), 40);
        cluster_check(c);
        cluster_free(c);
    }
}

static void refused_without_a_leader_is_never_applied(void **state) {
    struct cluster *c = cluster_new(3, 30);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    cluster_isolate(c, follower);
    cluster_run(c, 2000); // it has given up its leader
    assert_int_equal(c->nodes[follower].status.leader, 0);
    uint64_t tag = cluster_create(c, follower);
    cluster_run(c, 2000);
    assert_int_equal(c->nodes[follower].outcomes[tag], OUTCOME_OPEN); // it may still be handed to a leader
    cluster_run(c, 1200);
    assert_int_equal(c->nodes[follower].outcomes[tag], OUTCOME_REFUSED);
    assert_int_equal(c->nodes[follower].errors[tag], COMMAND_NOT_APPLIED);
    cluster_heal(c);
    uint64_t later = cluster_create(c, follower);
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    assert_int_equal(c->nodes[follower].outcomes[later], OUTCOME_APPLIED);
    assert_int_equal(cluster_times(&c->nodes[leader], follower == 1 ? "/1-" : "/2-"), 1);
    cluster_check(c);
    cluster_free(c);
}

// ---- what travels

static struct {
    struct core_frame frame;
    uint8_t bytes[4096];
    size_t len;
    uint32_t forwards, resyncs, dropped;
    uint64_t wanted;
    struct digest of_seq[2][CLUSTER_NODES_MAX + 1][512]; // by boot's parity, origin, seq
    bool drop_first;
} seen;

static bool watch(struct cluster *c, uint32_t from, uint32_t to, uint8_t type, struct bytes bytes) {
    struct core_frame frame;
    if (type == FRAME_RAFT || !core_frame_decode(&frame, bytes)) return true;
    if (type == FRAME_STREAM_STATE && (frame.flags & STATE_RESYNC)) {
        seen.resyncs++;
        seen.wanted = frame.b + 1;
    }
    if (type != FRAME_FORWARD) return true;
    seen.forwards++;
    if (bytes.len <= sizeof seen.bytes) {
        memcpy(seen.bytes, bytes.data, bytes.len);
        seen.len = bytes.len;
    }
    struct reader r = reader_of(frame.tail.data, frame.tail.len);
    for (uint32_t i = 0; i < frame.count; i++) {
        struct bytes command = read_span(&r, read_u32_le(&r));
        struct digest *known = &seen.of_seq[frame.a & 1][from][(frame.b + i) & 511];
        struct digest now = digest_hash(command.data, command.len, frame.a);
        if (known->lo != 0) assert_true(digest_equal(*known, now));
        *known = now;
    }
    if (!seen.drop_first) return true;
    seen.drop_first = false;
    seen.dropped++;
    return false;
}

static void gap_is_answered_with_the_wanted_number(void **state) {
    memset(&seen, 0, sizeof seen);
    struct cluster *c = cluster_new(3, 31);
    cluster_form(c);
    uint32_t follower = a_follower(c);
    uint64_t next = c->nodes[follower].core->own.next_seq;
    c->filter = watch;
    seen.drop_first = true;
    uint64_t first = cluster_create(c, follower);
    cluster_run(c, 1);
    assert_int_equal(seen.dropped, 1);
    uint64_t second = cluster_create(c, follower);
    cluster_run(c, 25); // far below any time-out
    assert_int_equal(seen.resyncs, 1);
    assert_int_equal(seen.wanted, next);
    assert_int_equal(seen.forwards, 4); // lost, gap, and both again: one resend
    assert_int_equal(c->nodes[follower].outcomes[first], OUTCOME_APPLIED);
    assert_int_equal(c->nodes[follower].outcomes[second], OUTCOME_APPLIED);
    c->filter = NULL;
    assert_true(cluster_run_until(c, cluster_settled, 1000));
    cluster_check(c);
    cluster_free(c);
}

// The last forward is lost and nothing follows that could show the gap.
static void lost_last_forward_is_asked_for(void **state) {
    memset(&seen, 0, sizeof seen);
    struct cluster *c = cluster_new(3, 32);
    cluster_form(c);
    uint32_t follower = a_follower(c);
    c->filter = watch;
    seen.drop_first = true;
    uint64_t tag = cluster_create(c, follower);
    cluster_run(c, 400);
    assert_int_equal(c->nodes[follower].outcomes[tag], OUTCOME_OPEN);
    cluster_run(c, 200);
    assert_int_equal(c->nodes[follower].outcomes[tag], OUTCOME_APPLIED);
    c->filter = NULL;
    cluster_free(c);
}

static void old_boot_is_shut_out(void **state) {
    memset(&seen, 0, sizeof seen);
    struct cluster *c = cluster_new(3, 33);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    c->filter = watch;
    cluster_create(c, follower);
    cluster_run(c, 1);
    c->filter = NULL;
    assert_true(seen.len > 0); // a forward of the boot that ends now
    cluster_crash(c, follower);
    cluster_start(c, follower);
    cluster_create(c, follower);
    assert_true(cluster_run_until(c, cluster_settled, 3000));
    struct core *core = c->nodes[leader].core;
    assert_int_equal(core->appended[follower].boot, c->nodes[follower].boot);
    uint64_t last = raft_last_index(core->raft);
    // As late as can be: with the attempt that the leader expects now, and once as if it came next in order.
    struct core_frame old;
    assert_true(core_frame_decode(&old, bytes_of(seen.bytes, seen.len)));
    for (uint64_t seq = 1; seq < 5; seq++) {
        old.attempt = core->peers[follower]->attempt;
        old.term = core->term;
        old.b = seq;
        struct writer w;
        writer_init(&w);
        core_frame_encode(&old, &w);
        write_span(&w, old.tail);
        core_peer_frame(core, c->now_ms, follower, CORE_BULK, bytes_of(w.data, w.len));
        writer_free(&w);
    }
    core_tick(core, c->now_ms);
    assert_int_equal(raft_last_index(core->raft), last);
    // And apply itself skips it, whoever appended it.
    assert_true(core->streams[follower].boot > old.a);
    cluster_free(c);
}

// Numbers are kept: whatever is sent under one is the same command, through lost frames and changes of leader.
static void number_is_never_reused(void **state) {
    memset(&seen, 0, sizeof seen);
    struct cluster *c = cluster_new(3, 34);
    cluster_form(c);
    c->filter = watch;
    for (int i = 0; i < 300; i++) {
        cluster_create(c, 1 + (uint32_t)i % 3);
        cluster_run(c, 3);
        c->loss_percent = i % 50 > 25 ? 20 : 0;
        if (i % 100 == 60) cluster_isolate(c, cluster_leader(c) != 0 ? cluster_leader(c) : 1);
        if (i % 100 == 99) {
            cluster_heal(c);
            cluster_run(c, 1500);
        }
    }
    c->loss_percent = 0;
    cluster_heal(c);
    assert_true(cluster_run_until(c, cluster_settled, 10000));
    assert_true(seen.forwards > 100);
    cluster_check(c);
    c->filter = NULL;
    cluster_free(c);
}

static void withdrawn_command_is_void_under_its_number(void **state) {
    struct cluster *c = cluster_new(3, 35);
    cluster_form(c);
    uint32_t follower = a_follower(c);
    uint64_t tag = cluster_create(c, follower);
    core_withdraw(c->nodes[follower].core, c->now_ms, tag, COMMAND_NOT_APPLIED);
    uint64_t next = cluster_create(c, follower);
    cluster_run(c, 30);
    assert_int_equal(c->nodes[follower].outcomes[tag], OUTCOME_APPLIED);
    assert_int_equal(c->nodes[follower].errors[tag], COMMAND_NOT_APPLIED);
    assert_int_equal(c->nodes[follower].errors[next], 0);
    assert_int_equal(cluster_times(&c->nodes[follower], "/"), 1);
    // Sent already: whichever is applied first decides, here the command.
    uint64_t sent = cluster_create(c, follower);
    cluster_run(c, 2);
    core_withdraw(c->nodes[follower].core, c->now_ms, sent, COMMAND_NOT_APPLIED);
    cluster_run(c, 30);
    assert_int_equal(c->nodes[follower].errors[sent], 0);
    assert_true(cluster_run_until(c, cluster_settled, 1000));
    cluster_check(c);
    cluster_free(c);
}

static void full_disk_refuses_and_recovers(void **state) {
    struct cluster *c = cluster_new(1, 36);
    cluster_form(c);
    struct cluster_node *n = &c->nodes[1];
    n->disk_full = true;
    uint64_t under_way = cluster_create(c, 1);
    cluster_run(c, 100);
    assert_int_equal(n->outcomes[under_way], OUTCOME_OPEN); // it has a number: unknown, never refused
    uint64_t refused = cluster_create(c, 1);
    cluster_run(c, 10);
    assert_int_equal(n->outcomes[refused], OUTCOME_REFUSED);
    assert_int_equal(n->errors[refused], COMMAND_FULL);
    assert_true(n->status.disk_full);
    n->disk_full = false;
    cluster_run(c, 1200);
    assert_int_equal(n->outcomes[under_way], OUTCOME_APPLIED);
    uint64_t after = cluster_create(c, 1);
    cluster_run(c, 20);
    assert_int_equal(n->outcomes[after], OUTCOME_APPLIED);
    assert_int_equal(cluster_times(n, "/"), 2);
    cluster_free(c);
}

static void full_disk_of_the_leader_hands_over(void **state) {
    struct cluster *c = cluster_new(3, 37);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    c->nodes[leader].disk_full = true;
    cluster_create(c, leader);
    cluster_run(c, 4000);
    assert_true(cluster_leader(c) != 0 && cluster_leader(c) != leader);
    uint64_t tag = cluster_create(c, follower);
    cluster_run(c, 100);
    assert_int_equal(c->nodes[follower].outcomes[tag], OUTCOME_APPLIED);
    c->nodes[leader].disk_full = false;
    assert_true(cluster_run_until(c, cluster_settled, 5000));
    cluster_check(c);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node_forms_and_applies),
        cmocka_unit_test(three_nodes_form_and_forward),
        cmocka_unit_test(forwarded_command_waits_for_no_timer),
        cmocka_unit_test(duplicate_forward_after_leader_change_is_applied_once),
        cmocka_unit_test(refused_without_a_leader_is_never_applied),
        cmocka_unit_test(gap_is_answered_with_the_wanted_number),
        cmocka_unit_test(lost_last_forward_is_asked_for),
        cmocka_unit_test(old_boot_is_shut_out),
        cmocka_unit_test(number_is_never_reused),
        cmocka_unit_test(withdrawn_command_is_void_under_its_number),
        cmocka_unit_test(full_disk_refuses_and_recovers),
        cmocka_unit_test(full_disk_of_the_leader_hands_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
