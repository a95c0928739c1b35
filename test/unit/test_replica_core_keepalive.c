// Keep-alive, expiry and log time (replication.md "Sessions", "Keep-alive", "Time").
#include <errno.h>
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
static struct cluster_session *session(struct cluster *c, uint32_t id, size_t at) {
    return &c->nodes[id].sessions[at];
}

static void active_session_lives_and_is_acknowledged(void **state) {
    for (uint32_t count = 1; count <= 3; count += 2) {
        struct cluster *c = cluster_new(count, 200 + count);
        cluster_form(c);
        for (uint32_t id = 1; id <= count; id++) {
            size_t at = cluster_attach(c, id, 3000);
            assert_int_equal(at, 0);
        }
        for (int i = 0; i < 40; i++) {
            cluster_run(c, 250);
            for (uint32_t id = 1; id <= count; id++) {
                assert_int_equal(c->nodes[id].ended_count, 0);
                assert_true(c->now_ms - session(c, id, 0)->acked_ms < 250); // v is as new as the last rounds
            }
        }
        cluster_free(c);
    }
}

// T = 3 s: not before T + G after the last activity, and soon behind it.
static void silent_session_expires_after_its_time_and_grace(void **state) {
    for (uint32_t count = 1; count <= 3; count += 2) {
        struct cluster *c = cluster_new(count, 210 + count);
        cluster_form(c);
        uint32_t id = count == 1 ? 1 : a_follower(c);
        cluster_attach(c, id, 3000);
        cluster_run(c, 1000);
        session(c, id, 0)->active = false;
        uint64_t last = session(c, id, 0)->activity_ms;
        while (c->now_ms < last + 3000 + 1000) {
            cluster_run(c, 1);
            assert_int_equal(c->nodes[id].ended_count, 0);
        }
        cluster_run(c, 500);
        assert_int_equal(c->nodes[id].ended_count, 1);
        assert_int_equal(c->nodes[id].ended_session, session(c, id, 0)->session);
        cluster_free(c);
    }
}

// A paused node speaks again before anybody may judge its sessions, unless it was gone for an election time-out.
static void node_that_is_gone_loses_its_sessions(void **state) {
    struct cluster *c = cluster_new(3, 220);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    cluster_attach(c, follower, 3000);
    cluster_run(c, 500);
    uint64_t last = session(c, follower, 0)->activity_ms;
    cluster_crash(c, follower);
    while (c->now_ms < last + 4000) {
        cluster_run(c, 1);
        assert_int_equal(c->nodes[leader].ended_count, 0);
    }
    cluster_run(c, 700);
    assert_int_equal(c->nodes[leader].ended_count, 1);
    cluster_free(c);
}

static void standing_service_loop_is_waited_for(void **state) {
    struct cluster *c = cluster_new(3, 221);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    cluster_attach(c, follower, 3000);
    cluster_run(c, 500);
    c->nodes[follower].service_paused = true; // its replication loop goes on: it is not gone
    cluster_run(c, 8000);
    assert_int_equal(c->nodes[leader].ended_count, 0);
    c->nodes[follower].service_paused = false; // its clients' bytes are read now: they were alive
    cluster_run(c, 3000);
    assert_int_equal(c->nodes[leader].ended_count, 0);
    c->nodes[follower].service_paused = true;
    cluster_run(c, 10500); // over 10 s it counts as gone
    assert_int_equal(c->nodes[leader].ended_count, 1);
    cluster_free(c);
}

static void expiry_is_never_early_under_a_paused_leader(void **state) {
    struct cluster *c = cluster_new(1, 222);
    cluster_form(c);
    cluster_attach(c, 1, 3000);
    cluster_run(c, 500);
    c->nodes[1].paused = true;
    cluster_run(c, 60000);
    c->nodes[1].paused = false;
    cluster_run(c, 1000);
    assert_int_equal(c->nodes[1].ended_count, 0);
    // Only the service loop stands: log time stands with it.
    uint64_t before = c->nodes[1].core->log_time_ms;
    c->nodes[1].service_paused = true;
    cluster_run(c, 60000);
    assert_true(c->nodes[1].core->log_time_ms <= before + CORE_TIME_AHEAD_MS);
    c->nodes[1].service_paused = false;
    cluster_run(c, 1000);
    assert_int_equal(c->nodes[1].ended_count, 0);
    assert_true(c->nodes[1].core->log_time_ms <= before + CORE_TIME_AHEAD_MS + 1000);
    cluster_free(c);
}

static void expiry_is_never_early_under_a_paused_replication_loop_of_the_leader(void **state) {
    struct cluster *c = cluster_new(3, 223);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    cluster_attach(c, leader, 4000);
    cluster_attach(c, follower, 4000);
    cluster_run(c, 500);
    c->nodes[leader].paused = true;
    cluster_run(c, 20000);
    c->nodes[leader].paused = false;
    cluster_run(c, 3000);
    // The others have gone on with a new leader; the follower's session lived all the time.
    for (uint32_t id = 1; id <= 3; id++) assert_true(c->nodes[id].ended_session != session(c, follower, 0)->session);
    cluster_free(c);
}

static void expiry_is_void_after_a_newer_attach(void **state) {
    struct cluster *c = cluster_new(1, 224);
    cluster_form(c);
    struct cluster_node *n = &c->nodes[1];
    cluster_attach(c, 1, 3000);
    uint64_t number = session(c, 1, 0)->session, old_attach = session(c, 1, 0)->attach;
    struct writer w;
    writer_init(&w);
    uint8_t password[LEASE_PASSWORD_BYTES] = {1, 2, 3};
    lease_write_attach(&w, number, password, 3000, LEASE_KIND_NATIVE, 1, n->boot);
    uint64_t tag;
    cluster_command(c, 1, bytes_of(w.data, w.len), &tag);
    session(c, 1, 0)->attach_tag = tag;
    // The judgement of the old attach stands in the log behind the new one.
    writer_clear(&w);
    lease_write_expire(&w, number, old_attach);
    core_tick(n->core, c->now_ms);
    core_internal_command(n->core, bytes_of(w.data, w.len));
    cluster_run(c, 50);
    assert_int_equal(n->outcomes[tag], OUTCOME_APPLIED);
    assert_int_equal(n->errors[tag], 0);
    assert_int_equal(n->ended_count, 0);
    writer_free(&w);
    cluster_free(c);
}

static void nothing_is_acknowledged_whose_expiry_stands_in_the_log(void **state) {
    struct cluster *c = cluster_new(1, 225);
    cluster_form(c);
    struct cluster_node *n = &c->nodes[1];
    cluster_attach(c, 1, 3000);
    cluster_run(c, 200);
    session(c, 1, 0)->active = false;
    cluster_run(c, 3800);
    c->disk_ms = 400; // the expiry is proposed, and not yet applied, when the client comes back
    while (n->core->expires_waiting == 0 && n->ended_count == 0) cluster_run(c, 1);
    assert_int_equal(n->ended_count, 0);
    uint64_t acked = session(c, 1, 0)->acked_ms;
    session(c, 1, 0)->active = true;
    cluster_run(c, 350);
    assert_int_equal(n->ended_count, 0);
    assert_int_equal(session(c, 1, 0)->acked_ms, acked);
    cluster_run(c, 300);
    assert_int_equal(n->ended_count, 1);
    cluster_free(c);
}

static void deposed_leader_acknowledges_nothing(void **state) {
    struct cluster *c = cluster_new(3, 226);
    cluster_form(c);
    uint32_t leader = cluster_leader(c);
    cluster_attach(c, leader, 4000);
    cluster_run(c, 500);
    cluster_isolate(c, leader);
    cluster_run(c, 5); // what was under way
    uint64_t acked = session(c, leader, 0)->acked_ms;
    cluster_run(c, 3000);
    assert_int_equal(session(c, leader, 0)->acked_ms, acked); // neither as a leader without a majority nor after
    assert_true(cluster_leader(c) != leader);
    cluster_heal(c);
    cluster_run(c, 1500); // within T + G: the new leader hears of it again
    assert_true(session(c, leader, 0)->acked_ms > acked);
    for (uint32_t id = 1; id <= 3; id++) assert_int_equal(c->nodes[id].ended_count, 0);
    cluster_free(c);
}

static void new_leader_extends_by_the_full_time(void **state) {
    struct cluster *c = cluster_new(3, 227);
    cluster_form(c);
    uint32_t leader = cluster_leader(c), follower = a_follower(c);
    cluster_attach(c, follower, 3000);
    cluster_run(c, 300);
    session(c, follower, 0)->active = false;
    cluster_run(c, 3000); // 1 s before its end
    cluster_crash(c, leader);
    assert_true(cluster_run_until(c, cluster_ready, 3000));
    uint64_t since = c->now_ms;
    cluster_run(c, 3900);
    assert_int_equal(c->nodes[follower].ended_count, 0);
    cluster_run(c, since + 4600 - c->now_ms);
    assert_int_equal(c->nodes[follower].ended_count, 1);
    cluster_free(c);
}

// Leases over 60 s: what a checkpoint left is what a new leader gives; a renewal takes the checkpoint back before it is
// acknowledged.
static void long_lease_goes_by_its_checkpoint(void **state) {
    struct cluster *c = cluster_new(1, 228);
    cluster_form(c);
    struct cluster_node *n = &c->nodes[1];
    cluster_attach(c, 1, 200000);
    cluster_run(c, 300);
    session(c, 1, 0)->active = false;
    cluster_run(c, 150000);
    const struct lease *lease = lease_find(machine_leases(n->machine), session(c, 1, 0)->session);
    assert_non_null(lease);
    assert_true(lease->remaining_ms > 40000 && lease->remaining_ms < 90000);
    uint64_t number = session(c, 1, 0)->session, remaining = lease->remaining_ms;
    cluster_crash(c, 1);
    cluster_start(c, 1);
    cluster_run(c, 1000);
    struct renewable *r = CONTAINER_OF(n->core->lease_order.next, struct renewable, order);
    assert_int_equal(r->session, number);
    assert_true(r->deadline_ms - n->core->log_time_ms <= remaining + CORE_GRACE_MAX_MS);
    // It comes back: the checkpoint must be gone before the acknowledgement.
    n->sessions[0] = (struct cluster_session){.session = number, .attach = r->attach, .active = true};
    n->session_count = 1;
    c->disk_ms = 300;
    cluster_run(c, 250);
    assert_int_equal(n->sessions[0].acked_ms, 0);
    cluster_run(c, 800);
    assert_true(n->sessions[0].acked_ms != 0);
    assert_int_equal(lease_find(machine_leases(n->machine), number)->remaining_ms, 0);
    assert_true(r->deadline_ms - n->core->log_time_ms > 190000);
    cluster_free(c);
}

static void log_time_stands_still_without_a_majority_and_never_goes_back(void **state) {
    struct cluster *c = cluster_new(3, 229);
    cluster_form(c);
    cluster_run(c, 2000);
    uint32_t leader = cluster_leader(c);
    uint64_t before = c->nodes[leader].core->log_time_ms;
    for (uint32_t id = 1; id <= 3; id++) cluster_isolate(c, id);
    cluster_run(c, 30000);
    for (uint32_t id = 1; id <= 3; id++)
        assert_true(c->nodes[id].core->log_time_ms <= before + 1100); // until it stepped down
    cluster_heal(c);
    assert_true(cluster_run_until(c, cluster_ready, 5000));
    uint64_t now = c->nodes[cluster_leader(c)].core->log_time_ms;
    for (int i = 0; i < 5; i++) { // through changes of leader
        uint32_t old = cluster_leader(c);
        cluster_crash(c, old);
        assert_true(cluster_run_until(c, cluster_ready, 5000));
        uint64_t next = c->nodes[cluster_leader(c)].core->log_time_ms;
        assert_true(next >= now);
        now = next;
        cluster_start(c, old);
        assert_true(cluster_run_until(c, cluster_settled, 5000));
    }
    cluster_free(c);
}

// The simulator's seed 5080: a leader that was cut off went on for a moment, the next one began where it had last heard
// of time; a late frame of the former then let the new one's time jump, and leases ended early.
static void deposed_leaders_time_moves_nobody(void **state) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_new(3, seed);
        cluster_form(c);
        cluster_run(c, 1000);
        uint32_t old = cluster_leader(c);
        cluster_isolate(c, old);
        for (int i = 0; i < 10000 && (cluster_leader(c) == old || cluster_leader(c) == 0); i++) cluster_run(c, 1);
        uint32_t leader = cluster_leader(c);
        assert_true(leader != 0 && leader != old);
        cluster_create(c, leader);
        assert_true(cluster_run_until(c, cluster_ready, 1000));
        cluster_heal(c);
        uint64_t since_ms = c->now_ms, log_ms = c->nodes[leader].log_time_ms;
        for (int i = 0; i < 1000; i++) {
            cluster_run(c, 1);
            assert_true(c->nodes[leader].log_time_ms <= log_ms + (c->now_ms - since_ms) + 51);
        }
        cluster_free(c);
    }
}

static bool has_the_first(struct cluster *c) {
    for (uint32_t id = 1; id <= 3; id++)
        if (cluster_times(&c->nodes[id], "/") > 0) return true;
    return false;
}

// Found when a new cluster's first configuration was published in 1970.
static void first_command_of_a_group_has_unix_time(void **state) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_new(3, seed);
        assert_true(cluster_run_until(c, cluster_ready, 10000));
        cluster_create(c, cluster_leader(c)); // before its next tick
        assert_true(cluster_run_until(c, has_the_first, 10000));
        for (uint32_t id = 1; id <= 3; id++)
            if (cluster_times(&c->nodes[id], "/") > 0)
                assert_int_not_equal(machine_unix_offset_ms(c->nodes[id].machine), 0);
        cluster_free(c);
    }
}

static void unix_time_goes_back_at_once_on_an_operators_word_only(void **state) {
    struct cluster *c = cluster_new(3, 231);
    cluster_form(c);
    cluster_run(c, 2000);
    uint32_t leader = cluster_leader(c), asker = leader == 1 ? 2 : 1;
    const struct machine *m = c->nodes[leader].machine;
    for (uint32_t id = 1; id <= 3; id++) c->nodes[id].clock_ahead_ms = 3600000; // an hour ahead, all by one mistake
    cluster_run(c, 3000);
    int64_t offset = machine_unix_offset_ms(m);
    c->nodes[leader].clock_ahead_ms = 0; // one clock is not enough
    cluster_run(c, 5000);
    core_admin(c->nodes[asker].core, c->now_ms, 1, CORE_TIME_STEP, 0, NULL);
    cluster_run(c, 2000);
    assert_int_equal(c->nodes[asker].admin_request, 1);
    assert_int_equal(c->nodes[asker].admin_error, -EINVAL);
    assert_int_equal(machine_unix_offset_ms(m), offset);
    for (uint32_t id = 1; id <= 3; id++) c->nodes[id].clock_ahead_ms = 0;
    cluster_run(c, 3000);
    assert_true(machine_unix_offset_ms(m) > offset - 1000); // by itself it only waits
    core_admin(c->nodes[asker].core, c->now_ms, 2, CORE_TIME_STEP, 0, NULL);
    cluster_run(c, 2000);
    assert_int_equal(c->nodes[asker].admin_request, 2);
    assert_int_equal(c->nodes[asker].admin_error, 0);
    assert_string_equal(c->nodes[asker].admin_text, "stepped");
    cluster_create(c, leader); // an entry of now
    assert_true(cluster_run_until(c, cluster_settled, 1000));
    int64_t ahead = (int64_t)machine_log_time_ms(m) + machine_unix_offset_ms(m) - 1000000 - (int64_t)c->now_ms;
    assert_true(ahead > -1000 && ahead < 1000);
    core_admin(c->nodes[leader].core, c->now_ms, 3, CORE_TIME_STEP, 0, NULL);
    cluster_run(c, 2000);
    assert_int_equal(c->nodes[leader].admin_request, 3);
    assert_non_null(strstr(c->nodes[leader].admin_text, "nothing to step"));
    assert_true(cluster_run_until(c, cluster_settled, 1000));
    cluster_check(c);
    cluster_free(c);
}

static void unix_time_steps_need_a_majority_and_go_back_slowly(void **state) {
    struct cluster *c = cluster_new(3, 230);
    cluster_form(c);
    cluster_run(c, 2000);
    uint32_t leader = cluster_leader(c);
    struct machine *m = c->nodes[leader].machine;
    int64_t offset = machine_unix_offset_ms(m);
    c->nodes[leader].clock_ahead_ms = 3600000; // the leader's clock alone jumps
    cluster_run(c, 5000);
    assert_int_equal(machine_unix_offset_ms(m), offset);
    for (uint32_t id = 1; id <= 3; id++) c->nodes[id].clock_ahead_ms = 3600000;
    cluster_run(c, 3000);
    assert_true(machine_unix_offset_ms(m) >= offset + 3590000);
    offset = machine_unix_offset_ms(m);
    for (uint32_t id = 1; id <= 3; id++) c->nodes[id].clock_ahead_ms = 3600000 - 500;
    int64_t newest = (int64_t)machine_log_time_ms(m) + machine_unix_offset_ms(m);
    uint64_t since = machine_log_time_ms(m);
    for (int i = 0; i < 6000; i++) {
        cluster_run(c, 1);
        int64_t now = (int64_t)machine_log_time_ms(m) + machine_unix_offset_ms(m);
        assert_true(now >= newest);
        newest = now;
    }
    int64_t back = offset - machine_unix_offset_ms(m);
    assert_true(back > 100 && back <= (int64_t)(machine_log_time_ms(m) - since) / 20 + 100);
    cluster_run(c, 10000);
    back = offset - machine_unix_offset_ms(m);
    assert_true(back > 470 && back <= 520);
    cluster_free(c);
}

static void time_entries_come_each_ten_seconds(void **state) {
    struct cluster *c = cluster_new(1, 231);
    cluster_form(c);
    cluster_attach(c, 1, 30000);
    cluster_run(c, 1000);
    uint64_t last = raft_last_index(core_raft(c->nodes[1].core));
    cluster_run(c, 30500);
    uint64_t entries = raft_last_index(core_raft(c->nodes[1].core)) - last;
    assert_true(entries >= 3 && entries <= 4);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(active_session_lives_and_is_acknowledged),
        cmocka_unit_test(silent_session_expires_after_its_time_and_grace),
        cmocka_unit_test(node_that_is_gone_loses_its_sessions),
        cmocka_unit_test(standing_service_loop_is_waited_for),
        cmocka_unit_test(expiry_is_never_early_under_a_paused_leader),
        cmocka_unit_test(expiry_is_never_early_under_a_paused_replication_loop_of_the_leader),
        cmocka_unit_test(expiry_is_void_after_a_newer_attach),
        cmocka_unit_test(nothing_is_acknowledged_whose_expiry_stands_in_the_log),
        cmocka_unit_test(deposed_leader_acknowledges_nothing),
        cmocka_unit_test(new_leader_extends_by_the_full_time),
        cmocka_unit_test(long_lease_goes_by_its_checkpoint),
        cmocka_unit_test(log_time_stands_still_without_a_majority_and_never_goes_back),
        cmocka_unit_test(deposed_leaders_time_moves_nobody),
        cmocka_unit_test(first_command_of_a_group_has_unix_time),
        cmocka_unit_test(unix_time_goes_back_at_once_on_an_operators_word_only),
        cmocka_unit_test(unix_time_steps_need_a_majority_and_go_back_slowly),
        cmocka_unit_test(time_entries_come_each_ten_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
