// Connections: sessions made, taken up again and ended; order of replies; who may what; what happens without a leader.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "test/unit/support/protocol/zookeeper_room.c"
// clang-format on
#include "protocol/zookeeper/zookeeper.h"
#include <string.h>

static const uint8_t no_password[16];

static void with_settings(const struct zookeeper_settings *settings, const char *text) {
    struct script script;
    script_open(&script, settings);
    script_run(&script, text);
    script_close(&script);
}

static void run(const char *text) {
    with_settings(NULL, text);
}

struct connected {
    bool came;
    uint32_t timeout_ms;
    uint64_t session;
    uint8_t password[16];
    size_t len;
    uint8_t read_only;
};

static struct connected answer_of(struct client *client) {
    struct connected c = {0};
    struct writer frame = {0};
    if (script_take(client, &frame)) {
        c.came = true;
        c.len = frame.len;
        assert_true(frame.len >= 36);
        assert_int_equal(get_u32_be(frame.data), 0);
        c.timeout_ms = get_u32_be(frame.data + 4);
        c.session = get_u64_be(frame.data + 8);
        assert_int_equal(get_u32_be(frame.data + 16), 16);
        memcpy(c.password, frame.data + 20, 16);
        if (frame.len > 36) c.read_only = frame.data[36];
    }
    writer_free(&frame);
    return c;
}

static struct client *ask(struct script *script, uint64_t zxid, uint32_t timeout, uint64_t session,
                          const uint8_t *password, int read_only) {
    struct client *client = fake_connect(script->fake, "10.0.0.9:1234");
    struct writer w = {0};
    connect_bytes(&w, zxid, timeout, session, password, read_only);
    fake_send(client, w.data, w.len);
    fake_step(script->fake);
    writer_free(&w);
    return client;
}

static void test_connect_negotiates_the_timeout(void **state) {
    struct script script;
    script_open(&script, NULL);
    struct connected c = answer_of(ask(&script, 0, 1000, 0, no_password, 0));
    assert_int_equal(c.timeout_ms, 4000); // the acceptance program asks for one second
    c = answer_of(ask(&script, 0, 10000, 0, no_password, 0));
    assert_int_equal(c.timeout_ms, 10000);
    c = answer_of(ask(&script, 0, 90000, 0, no_password, 0));
    assert_int_equal(c.timeout_ms, 40000);
    c = answer_of(ask(&script, 0, (uint32_t)-5, 0, no_password, 0));
    assert_int_equal(c.timeout_ms, 4000);
    assert_int_equal(c.session >> 56, 1);
    script_close(&script);
}

static void test_connect_old_client_without_read_only_byte(void **state) {
    struct script script;
    script_open(&script, NULL);
    struct connected c = answer_of(ask(&script, 0, 4000, 0, no_password, -1));
    assert_int_equal(c.len, 36);
    c = answer_of(ask(&script, 0, 4000, 0, no_password, 1));
    assert_int_equal(c.len, 37);
    assert_int_equal(c.read_only, 0); // there is a leader
    script_close(&script);
}

static void test_session_is_taken_up_again(void **state) {
    struct script script;
    script_open(&script, NULL);
    struct client *first = ask(&script, 0, 4000, 0, no_password, 0);
    struct connected a = answer_of(first);
    struct connected b = answer_of(ask(&script, 1, 6000, a.session, a.password, 0));
    assert_true(b.session == a.session);
    assert_memory_equal(a.password, b.password, 16);
    assert_true(first->closed); // the older connection
    script_close(&script);
}

static void assert_expired(struct client *client) {
    struct connected c = answer_of(client);
    assert_true(c.came);
    assert_int_equal(c.timeout_ms, 0);
    assert_true(c.session == 0);
    assert_memory_equal(c.password, no_password, 16);
    assert_true(client->closed);
}

static void test_unknown_session_is_expired(void **state) {
    struct script script;
    script_open(&script, NULL);
    struct connected a = answer_of(ask(&script, 0, 4000, 0, no_password, 0));
    uint8_t wrong[16] = {1, 2, 3};
    assert_expired(ask(&script, 0, 4000, a.session, wrong, 0));
    assert_expired(ask(&script, 0, 4000, 0x0100000000009999ull, wrong, 0));
    assert_expired(ask(&script, UINT64_MAX / 2, 4000, 0x0100000000009999ull, wrong, 0)); // whatever it has seen
    uint64_t commands = script.fake->commands;
    assert_expired(
        ask(&script, 0, 4000, 0x00ab000000009999ull, wrong, 0)); // another ensemble's: no entry is spent on it
    assert_expired(ask(&script, 0, 4000, 0x0100000000000000ull, wrong, 0));
    assert_expired(ask(&script, 0, 4000, UINT64_MAX, wrong, 0));
    assert_int_equal(script.fake->commands, commands);
    script_close(&script);
}

static void test_known_session_ahead_of_this_node_waits(void **state) {
    struct script script;
    script_open(&script, NULL);
    struct connected a = answer_of(ask(&script, 0, 4000, 0, no_password, 0));
    uint64_t ahead = script.fake->applied + 2;
    struct client *client = ask(&script, ahead, 4000, a.session, a.password, 0);
    assert_false(answer_of(client).came);
    fake_tick(script.fake, 500);
    fake_step(script.fake);
    assert_false(answer_of(client).came);
    script.fake->applied = ahead; // it catches up
    fake_tick(script.fake, 100);
    fake_step(script.fake);
    assert_true(answer_of(client).session == a.session);

    client = ask(&script, script.fake->applied + 100, 4000, a.session, a.password, 0);
    fake_tick(script.fake, 900);
    assert_false(client->closed);
    fake_tick(script.fake, 200);
    assert_true(client->closed);
    assert_false(answer_of(client).came);
    script_close(&script);
}

static void test_new_session_ignores_the_zxid(void **state) {
    struct script script;
    script_open(&script, NULL);
    assert_true(answer_of(ask(&script, 1u << 30, 4000, 0, no_password, 0)).session != 0); // after a restore
    script_close(&script);
}

static void test_expiry_closes_the_connection(void **state) {
    struct script script;
    script_open(&script, NULL);
    script_run(&script, "a> create s/e s O i1\n"
                        "a< 0 s/e\n"
                        "b> exists s/e b1\n"
                        "b< 0 *\n");
    fake_expire(script.fake, script.sessions['a' - 'a'] & 0xffffffffffffffull);
    script_run(&script, "a#\n"
                        "b! 2 /e\n"
                        "b> exists s/e b0\n"
                        "b< -101\n");
    script_close(&script);
}

static void test_session_moved_closes_the_connection(void **state) {
    struct script script;
    script_open(&script, NULL);
    script_run(&script, "a> ping\n"
                        "a< 0\n"
                        "a>> create s/x s O i0\n");
    // Attached elsewhere, unseen by this connection, before the command is applied.
    struct writer w = {0};
    struct result result = {0};
    uint64_t session = script.sessions[0] & 0xffffffffffffffull;
    lease_write_attach(&w, session, script.passwords[0], 4000, LEASE_KIND_ZOOKEEPER, 2, 1);
    struct command command;
    assert_true(command_read(&command, bytes_of(w.data, w.len)));
    struct apply apply = {.index = script.fake->applied + 1, .leases = script.fake->leases};
    lease_model.apply(script.fake->leases, &apply, &command, &result);
    assert_int_equal(result.error, 0);
    writer_free(&w);
    script_run(&script, "step\n"
                        "a#\n"
                        "b> exists s/x b0\n"
                        "b< -101\n");
    script_close(&script);
}

static void test_replies_keep_the_order_of_requests(void **state) {
    run("a>> create s/x sone O i0\n"
        "a>> getData s/x b0\n" // behind the write: sees it
        "a>> setData s/x stwo i-1\n"
        "a>> getData s/x b0\n"
        "a>> ping\n"
        "a>> sync s/\n"
        "a>> delete s/x i-1\n"
        "a>> exists s/x b0\n"
        "a.\n"
        "step\n"
        "a< 0@3 s/x\n"
        "a< 0@3 sone *\n"
        "a< 0@4 *\n"
        "a< 0@4 stwo *\n"
        "a< 0@4\n"
        "a< 0@4 s/\n"
        "a< 0@5\n"
        "a< -101\n"
        "a.\n");
}

static void test_read_between_two_writes_sees_the_first_only(void **state) {
    struct script script;
    script_open(&script, NULL);
    script_run(&script, "a>> create s/x sone O i0\n"
                        "a>> getData s/x b0\n"
                        "a>> setData s/x stwo i-1\n"
                        "a>> getData s/x b0\n");
    assert_true(fake_step_one(script.fake));
    script_run(&script, "a< 0 s/x\n"
                        "a< 0 sone t3,3,0,0,0,0,3,0,3\n"
                        "a.\n");
    assert_true(fake_step_one(script.fake));
    script_run(&script, "a< 0 t3,4,1,0,0,0,3,0,3\n"
                        "a< 0 stwo t3,4,1,0,0,0,3,0,3\n");
    script_close(&script);
}

static void test_sync_waits_for_its_round(void **state) {
    struct script script;
    script_open(&script, NULL);
    script_run(&script, "a>> sync s/x\n"
                        "a>> getData s/ b0\n"
                        "a.\n"
                        "step\n"
                        "a< 0 s/x\n"
                        "a< 0 *\n"
                        "a>> sync s/x\n");
    script.fake->has_leader = false;
    script_run(&script, "step\n"
                        "a#\n"); // "unknown" in its clients' words
    script_close(&script);
}

static void test_refused_write_keeps_its_place(void **state) {
    run("a>> create s/x s O i0\n"
        "a>> create s/y s i0 i0\n" // refused here, but not before its turn
        "a>> reconfig null null s l0\n"
        "a>> 999\n"
        "a@ -4 auth i0 sdigest sbob:pw\n"
        "a< 0 s/x\n"
        "a< -114\n"
        "a< -123\n"
        "a< -6\n"
        "a< 0\n");
}

static void test_failed_auth_is_answered_then_closed(void **state) {
    run("a>> create s/x s O i0\n"
        "a@ -4 auth i0 sworld sanyone\n"
        "a< 0 s/x\n"
        "a< -115\n"
        "a#\n");
    run("a@ -4 auth i0 sdigest null\na< -115\na#\n");
    run("a@ -4 auth i0 sx509 s\na< -115\na#\n");
    run("a@ -4 auth i0 ssasl s\na< -115\na#\n");
}

static void test_digest_guards_a_node(void **state) {
    run("a@ -4 auth i0 sdigest sbob:pw\n"
        "a< 0\n"
        "a> create s/x ssecret A31,auth, i0\n"
        "a< 0 s/x\n"
        "a> getData s/x b0\n"
        "a< 0 ssecret *\n"
        "b> getData s/x b1\n"
        "b< -102\n"
        "b> setData s/x s i-1\n"
        "b< -102\n"
        "b> create s/x/y s O i0\n"
        "b< -102\n"
        "b> getACL s/x\n"
        "b< -102\n"
        "b> exists s/x b0\n" // needs no permission
        "b< 0 *\n"
        "b@ -4 auth i0 sdigest sbob:pw\n"
        "b< 0\n"
        "b> getACL s/x\n"
        "b< 0 A31,digest,bob:ikIaKsbtGweaHnb/jKn7OHqbunM= *\n"
        "b> delete s/x i-1\n"
        "b< 0\n");
}

static void test_auth_expands_to_all_identities(void **state) {
    run("a@ -4 auth i0 sdigest sbob:pw\n"
        "a< 0\n"
        "a@ -4 auth i0 sdigest sal:pw\n"
        "a< 0\n"
        "a@ -4 auth i0 sdigest sal:pw\n" // twice is once
        "a< 0\n"
        "a> whoAmI\n"
        "a< 0 i3 sip s127.0.0.1 sdigest sbob sdigest sal\n"
        "a> create s/x s A31,auth, i0\n"
        "a< 0 s/x\n"
        "a> getACL s/x\n"
        "a< 0 A31,digest,bob:ikIaKsbtGweaHnb/jKn7OHqbunM=;31,digest,al:E2WgW72KiEUG4R7vIVBkt6SPXyA= *\n");
}

static void test_super_passes_every_check(void **state) {
    // base64(sha1("super:test"))
    struct zookeeper_settings settings = {.super_digest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="};
    with_settings(&settings, "a> create s/x s A31,digest,nobody:x i0\n"
                             "a< 0 s/x\n"
                             "a> delete s/x i-1\n"
                             "a< 0\n"
                             "a> create s/x s A0,world,anyone i0\n"
                             "a< 0 s/x\n"
                             "a> getData s/x b0\n"
                             "a< -102\n"
                             "a@ -4 auth i0 sdigest ssuper:wrong\n"
                             "a< 0\n"
                             "a> getData s/x b0\n"
                             "a< -102\n"
                             "a@ -4 auth i0 sdigest ssuper:test\n"
                             "a< 0\n"
                             "a> getData s/x b0\n"
                             "a< 0 s *\n"
                             "a> setData s/zookeeper/config s i-1\n"
                             "a< -102\n"
                             "a> multi h1,0,-1 s/y s O i0 h5,0,-1 s/zookeeper/config s i-1 h13,0,-1 s/x i0 END\n"
                             "a< 0 h-1,0,0 i0 h-1,0,-102 i-102 h-1,0,-2 i-2 END\n");
}

static void test_clear_password_is_nowhere_in_a_command(void **state) {
    struct script script;
    script_open(&script, NULL);
    script_run(&script, "a@ -4 auth i0 sdigest sbob:hunter2secret\n"
                        "a< 0\n"
                        "a>> create s/x s A31,auth, i0\n");
    struct job {
        int kind;
        struct client *client;
        uint64_t tag;
        struct buf *bytes;
    } *job = ring_front(&script.fake->queue);
    assert_non_null(job->bytes);
    assert_null(memmem(job->bytes->data, job->bytes->len, "hunter2secret", 13));
    assert_non_null(memmem(job->bytes->data, job->bytes->len, "bob:", 4));
    script_close(&script);
}

static void test_ip_and_x509_are_known_by_themselves(void **state) {
    struct script script;
    script_open(&script, NULL);
    script.clients[2] = fake_connect_tls(script.fake, "[::1]:99", "CN=alice");
    struct writer w = {0};
    connect_bytes(&w, 0, 4000, 0, no_password, 0);
    fake_send(script.clients[2], w.data, w.len);
    fake_step(script.fake);
    assert_true(answer_of(script.clients[2]).came);
    script_run(&script, "c> whoAmI\n"
                        "c< 0 i2 sx509 sCN=alice sip s::1\n"
                        "c@ -4 auth i0 sx509 s\n"
                        "c< 0\n"
                        "a> create s/x s A31,ip,10.1.0.0/16 i0\n"
                        "a< 0 s/x\n"
                        "a> getData s/x b0\n"
                        "a< -102\n"
                        "a> create s/y s A31,ip,127.0.0.0/8 i0\n"
                        "a< 0 s/y\n"
                        "a> getData s/y b0\n"
                        "a< 0 *\n");
    writer_free(&w);
    script_close(&script);
}

static void test_failed_multi_tells_of_each_part(void **state) {
    run("a> create s/m s O i0\n"
        "a< 0 s/m\n"
        "a> multi h1,0,-1 s/m9 s O i0 h2,0,-1 s/nonex i-1 h13,0,-1 s/m i0 END\n"
        "a< 0 h-1,0,0 i0 h-1,0,-101 i-101 h-1,0,-2 i-2 END\n"
        "a> exists s/m9 b0\n"
        "a< -101\n"
        "a> multi END\n"
        "a< 0 END\n"
        "a> multi h1,0,-1 sbad s O i0 h13,0,-1 s/m i0 END\n"
        "a< 0 h-1,0,-8 i-8 h-1,0,-2 i-2 END\n"
        "a> multi h13,0,-1 s/m i0 h1,0,-1 s/mm s i0 i0 END\n"
        "a< 0 h-1,0,0 i0 h-1,0,-114 i-114 END\n"
        "a> multi h2,0,-1 s/nonex i-1 h1,0,-1 s/mm s i0 i0 END\n" // the first failure is the one that is told
        "a< 0 h-1,0,-101 i-101 h-1,0,-2 i-2 END\n"
        "a> multi h1,0,-1 x000000022f01 s O i0 END\n"
        "a< 0 h-1,0,-8 i-8 END\n"
        "a> multi h4,0,-1 s/m b0 END\n"
        "a< -5\n"
        "a> multi h7,0,-1 s/m O i-1 END\n"
        "a< -5\n"
        "a> multi h1,0,-1 s/m8 s O i0\n"
        "a< -5\n"
        "a> exists s/m8 b0\n"
        "a< -101\n"
        "a> multi h1,0,-1 s/e s O i1 END\n"
        "a< 0 h1,0,0 s/e END\n"
        "a> getEphemerals null\n"
        "a< 0 i1 s/e\n");
}

static void test_multi_read_over_many_nodes(void **state) {
    run("a> create s/p sv A1,world,anyone i0\n"
        "a< 0 s/p\n"
        "a> create s/q sv A2,world,anyone i0\n"
        "a< 0 s/q\n"
        "a> multiRead h4,0,-1 s/q b0 h8,0,-1 s/q b0 h4,0,-1 s/p b0 END\n"
        "a< 0 h-1,0,-102 i-102 h-1,0,-102 i-102 h4,0,0 sv t3,3,0,0,0,0,1,0,3 END\n"
        "a> multiRead h4,0,-1 s/q b0\n"
        "a< -5\n");
}

static void test_after_close_session_nothing_is_done(void **state) {
    run("a>> closeSession\n"
        "a>> create s/x s O i0\n"
        "step\n"
        "a< 0\n"
        "a#\n"
        "b> exists s/x b0\n"
        "b< -101\n");
}

// ---- without a leader

static void test_read_only_client_is_served_without_a_leader(void **state) {
    struct script script;
    script_open(&script, NULL);
    struct connected before = answer_of(ask(&script, 0, 4000, 0, no_password, 1));
    assert_true(before.came);
    script.fake->has_leader = script.fake->leading = false;
    fake_tick(script.fake, 100);
    struct client *no = ask(&script, 0, 4000, 0, no_password, 0);
    struct client *known = ask(&script, 0, 4000, before.session, before.password, 1);
    struct client *stranger = ask(&script, 0, 4000, 0x0100000000000999ull, no_password, 1);
    script.clients[3] = ask(&script, 0, 4000, 0, no_password, 1);
    assert_false(answer_of(script.clients[3]).came); // an election is not waited out this way at once
    for (int i = 0; i < 31; i++) fake_tick(script.fake, 100);
    assert_true(no->closed);
    assert_true(stranger->closed); // neither alive nor dead can be told
    assert_false(answer_of(stranger).came);
    struct connected again = answer_of(known);
    assert_true(again.session == before.session);
    assert_int_equal(again.read_only, 1);
    struct connected ro = answer_of(script.clients[3]);
    assert_true(ro.came);
    assert_int_equal(ro.read_only, 1);
    assert_true(ro.session != 0 && ro.session >> 56 == 2);
    script_run(&script, "d> getChildren s/zookeeper b1\n"
                        "d< 0 *\n"
                        "d> create s/x s O i0\n"
                        "d< -119\n"
                        "d> multi END\n"
                        "d< -119\n"
                        "d> sync s/\n"
                        "d< -119\n"
                        "d@ -2 ping\n"
                        "d< 0\n");
    script.fake->has_leader = true;
    fake_tick(script.fake, 100);
    assert_true(script.clients[3]->closed); // it finds a real session now
    struct connected after = answer_of(ask(&script, 0, 4000, ro.session, ro.password, 1));
    assert_int_equal(after.timeout_ms, 0); // the passing session is no session
    script_close(&script);
}

// Who has seen more elsewhere would go back; and a session keeps what it owns while it is served so.
static void test_read_only_service_never_shows_less(void **state) {
    struct script script;
    script_open(&script, NULL);
    script.clients[0] = ask(&script, 0, 4000, 0, no_password, 1);
    struct connected before = answer_of(script.clients[0]);
    script_run(&script, "a> create s/e s O i1\n"
                        "a< 0 *\n");
    script.fake->has_leader = script.fake->leading = false;
    for (int i = 0; i < 40; i++) fake_tick(script.fake, 100);
    uint64_t zxid = script.fake->applied;
    struct client *ahead = ask(&script, zxid + 1, 4000, before.session, before.password, 1);
    script.clients[1] = ask(&script, zxid, 4000, before.session, before.password, 1);
    assert_true(ahead->closed);
    assert_false(answer_of(ahead).came);
    assert_int_equal(answer_of(script.clients[1]).read_only, 1);
    script_run(&script, "b> getEphemerals s/\n"
                        "b< 0 i1 s/e\n");
    script_close(&script);
}

// A node whose disk was lost knows nothing until it is a member again: an empty tree is no answer.
static void test_read_only_service_needs_a_state(void **state) {
    struct script script;
    script_open(&script, NULL);
    script.fake->has_leader = script.fake->leading = false;
    script.fake->applied = 0;
    for (int i = 0; i < 40; i++) fake_tick(script.fake, 100);
    struct client *client = ask(&script, 0, 4000, 0, no_password, 1);
    assert_true(client->closed);
    assert_false(answer_of(client).came);
    script_close(&script);
}

static void test_closing_a_read_only_session(void **state) {
    struct script script;
    script_open(&script, NULL);
    script.fake->has_leader = false;
    for (int i = 0; i < 40; i++) fake_tick(script.fake, 100);
    script.clients[0] = ask(&script, 0, 4000, 0, no_password, 1);
    assert_int_equal(answer_of(script.clients[0]).read_only, 1);
    script_run(&script, "a> closeSession\n"
                        "a< 0\n"
                        "a#\n");
    script_close(&script);
}

static void test_short_election_is_waited_out(void **state) {
    struct script script;
    script_open(&script, NULL);
    script.fake->has_leader = false;
    fake_tick(script.fake, 100);
    struct client *client = ask(&script, 0, 4000, 0, no_password, 0);
    fake_tick(script.fake, 1000);
    assert_false(client->closed);
    script.fake->has_leader = true;
    fake_tick(script.fake, 100);
    fake_step(script.fake);
    assert_true(answer_of(client).session != 0);
    script_close(&script);
}

// ---- bounds

static void test_outstanding_requests_pause_the_client(void **state) {
    struct script script;
    struct zookeeper_settings settings = {.outstanding_max = 4};
    script_open(&script, &settings);
    script_run(&script, "a>> create s/x s O i0\n"
                        "a>> getData s/x b0\n"
                        "a>> getData s/x b0\n"
                        "a>> getData s/x b0\n"
                        "a>> getData s/x b0\n"
                        "a>> getData s/x b0\n");
    assert_true(script.clients[0]->paused);
    script_run(&script, "step\n"
                        "a< 0 s/x\n"
                        "a< 0 *\n"
                        "a< 0 *\n"
                        "a< 0 *\n"
                        "a< 0 *\n"
                        "a< 0 *\n");
    assert_false(script.clients[0]->paused);
    script_close(&script);
}

static void test_client_that_reads_nothing_is_stalled(void **state) {
    struct script script;
    struct zookeeper_settings settings = {.output_pause_bytes = 2000, .output_bytes_max = 1000000};
    script_open(&script, &settings);
    script_run(&script, "a> create s/x sdata O i0\n"
                        "a< 0 s/x\n");
    struct client *client = script.clients[0];
    client->reads_nothing = true;
    for (int i = 0; i < 200; i++) script_run(&script, "a>> getData s/x b0\n");
    assert_true(client->output.len < 2200); // it makes no more than that for it
    assert_true(client->input.len > 0);
    fake_tick(script.fake, 100);
    assert_true(client->output.len < 2200);
    int answered = 0;
    for (int turn = 0; turn < 100; turn++) {
        struct writer frame = {0};
        while (script_take(client, &frame)) answered++;
        writer_free(&frame);
        fake_tick(script.fake, 100);
    }
    assert_int_equal(answered, 200);
    assert_int_equal(client->input.len, 0);
    script_close(&script);
}

// Reads that wait behind a write do not make more than that at once either.
static void test_reads_behind_a_write_stall_too(void **state) {
    struct script script;
    struct zookeeper_settings settings = {.output_pause_bytes = 2000, .output_bytes_max = 1000000};
    script_open(&script, &settings);
    struct client *client = script_client(&script, 'a');
    client->reads_nothing = true;
    script_run(&script, "a>> create s/x sdata O i0\n");
    for (int i = 0; i < 200; i++) script_run(&script, "a>> getData s/x b0\n");
    fake_step(script.fake);
    assert_true(client->output.len < 2200);
    int answered = 0;
    for (int turn = 0; turn < 100; turn++) {
        struct writer frame = {0};
        while (script_take(client, &frame)) answered++;
        writer_free(&frame);
        fake_tick(script.fake, 100);
    }
    assert_int_equal(answered, 201);
    script_close(&script);
}

// r: a command refused for its size was answered ahead of a sync whose round was not over
static void test_refused_command_does_not_vouch_for_a_sync(void **state) {
    struct script script;
    script_open(&script, NULL);
    script_run(&script, "a>> sync s/\n"
                        "a>> create s/x s O i0\n"
                        "a>> getData s/ b0\n");
    struct client *client = script.clients[0];
    struct result refused = {.error = COMMAND_TOO_LARGE};
    zookeeper_protocol.reply(client->connection, script.fake->next_tag, &refused);
    script_run(&script, "a.\n");
    fake_forget_newest(script.fake);
    script_run(&script, "step\n"
                        "a< 0 s/\n"
                        "a< -5\n"
                        "a< 0 *\n");
    script_close(&script);
}

static void test_unknown_outcome_closes_the_connection(void **state) {
    static const int errors[] = {COMMAND_NOT_APPLIED, COMMAND_UNKNOWN, COMMAND_SESSION_MOVED};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        struct script script;
        script_open(&script, NULL);
        script_run(&script, "a>> sync s/\na>> create s/x s O i0\n");
        struct result result = {.error = errors[i]};
        zookeeper_protocol.reply(script.clients[0]->connection, script.fake->next_tag, &result);
        fake_turn(script.fake);
        script_run(&script, "a#\n");
        script_close(&script);
    }
}

static void test_client_that_reads_no_events_is_closed(void **state) {
    struct script script;
    struct zookeeper_settings settings = {.output_bytes_max = 5000};
    script_open(&script, &settings);
    script_run(&script, "a> addWatch s/ i1\n"
                        "a< 0 i0\n");
    script.clients[0]->reads_nothing = true;
    script_run(&script, "b> create s/x s O i0\nb< 0 s/x\n");
    uint64_t lines = script.fake->log_lines;
    for (int i = 0; i < 200; i++) script_run(&script, "b> setData s/x s i-1\nb< 0 *\n");
    assert_true(script.clients[0]->closed);
    assert_true(script.fake->log_lines == lines + 1);
    script_close(&script);
}

static void test_reply_over_the_limit_is_an_error(void **state) {
    struct script script;
    struct zookeeper_settings settings = {.reply_bytes_max = 400};
    script_open(&script, &settings);
    script_run(&script, "a> create s/p s O i0\na< 0 s/p\n");
    for (int i = 0; i < 40; i++) script_run(&script, "a> create s/p/node- s O i2\na< 0 *\n");
    script_run(&script, "a> getChildren s/p b1\n"
                        "a< -5\n"
                        "a> getAllChildrenNumber s/p\n" // and the connection lives
                        "a< 0 i40\n"
                        "a> multiRead h8,0,-1 s/p b0 END\n"
                        "a< -5\n");
    script_close(&script);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect_negotiates_the_timeout),
        cmocka_unit_test(test_connect_old_client_without_read_only_byte),
        cmocka_unit_test(test_session_is_taken_up_again),
        cmocka_unit_test(test_unknown_session_is_expired),
        cmocka_unit_test(test_known_session_ahead_of_this_node_waits),
        cmocka_unit_test(test_new_session_ignores_the_zxid),
        cmocka_unit_test(test_expiry_closes_the_connection),
        cmocka_unit_test(test_session_moved_closes_the_connection),
        cmocka_unit_test(test_replies_keep_the_order_of_requests),
        cmocka_unit_test(test_read_between_two_writes_sees_the_first_only),
        cmocka_unit_test(test_sync_waits_for_its_round),
        cmocka_unit_test(test_refused_write_keeps_its_place),
        cmocka_unit_test(test_failed_auth_is_answered_then_closed),
        cmocka_unit_test(test_digest_guards_a_node),
        cmocka_unit_test(test_auth_expands_to_all_identities),
        cmocka_unit_test(test_super_passes_every_check),
        cmocka_unit_test(test_clear_password_is_nowhere_in_a_command),
        cmocka_unit_test(test_ip_and_x509_are_known_by_themselves),
        cmocka_unit_test(test_failed_multi_tells_of_each_part),
        cmocka_unit_test(test_multi_read_over_many_nodes),
        cmocka_unit_test(test_after_close_session_nothing_is_done),
        cmocka_unit_test(test_read_only_client_is_served_without_a_leader),
        cmocka_unit_test(test_read_only_service_never_shows_less),
        cmocka_unit_test(test_read_only_service_needs_a_state),
        cmocka_unit_test(test_closing_a_read_only_session),
        cmocka_unit_test(test_short_election_is_waited_out),
        cmocka_unit_test(test_outstanding_requests_pause_the_client),
        cmocka_unit_test(test_client_that_reads_nothing_is_stalled),
        cmocka_unit_test(test_reads_behind_a_write_stall_too),
        cmocka_unit_test(test_refused_command_does_not_vouch_for_a_sync),
        cmocka_unit_test(test_unknown_outcome_closes_the_connection),
        cmocka_unit_test(test_client_that_reads_no_events_is_closed),
        cmocka_unit_test(test_reply_over_the_limit_is_an_error),
    };
    return cmocka_run_group_tests_name("zookeeper_session", tests, NULL, NULL);
}
