// Bytes that no client sends: each gets ZooKeeper's own error or a closed connection, and a neighbour is served on.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "test/unit/support/protocol/zookeeper_room.c"
// clang-format on
#include "base/prng.h"
#include "protocol/zookeeper/operations.h"
#include "protocol/zookeeper/zookeeper.h"
#include <string.h>

enum { CLOSED = 1 }; // else an error code

static const struct {
    const char *name;
    const char *words; // behind the frame's length, which is made of them unless `frame` is not 0
    int32_t frame;
    bool before_connect;
    int expect;
} inputs[] = {
    {"empty frame as connect", "", 0, true, CLOSED},
    {"short connect", "i0 l0 i4000", 0, true, CLOSED},
    {"connect without its password", "i0 l0 i4000 l0", 0, true, CLOSED},
    {"connect with a password past its end", "i0 l0 i4000 l0 i16 xaabb", 0, true, CLOSED},
    {"connect with a password of negative length", "i0 l0 i4000 l0 i-7", 0, true, CLOSED},
    {"negative frame", "", -1, true, CLOSED},
    {"least frame", "", INT32_MIN, true, CLOSED},
    {"greatest frame", "", INT32_MAX, true, CLOSED},
    {"frame one over the limit", "", 1048576, true, CLOSED},
    {"http", "x", 0x47455420, true, CLOSED},
    {"tls hello", "x", 0x16030100, true, CLOSED},
    {"unknown four letters", "x", 0x7a7a7a7a, true, CLOSED},
    {"negative frame later", "", -1, false, CLOSED},
    {"oversized frame later", "", 1048576, false, CLOSED},
    {"four letters later", "", 0x72756f6b, false, CLOSED},
    {"empty request", "", 0, false, CLOSED},
    {"half a header", "i1", 0, false, CLOSED},
    {"unknown operation", "i1 i4711", 0, false, -6},
    {"greatest operation", "i1 i2147483647", 0, false, -6},
    {"least operation", "i1 i-2147483648", 0, false, -6},
    {"truncated create", "i1 i1 s/x s", 0, false, -5},
    {"create with an absurd ACL", "i1 i1 s/x s i2147483647 i0", 0, false, -5},
    {"create with an ACL of negative count", "i1 i1 s/x s i-2 i0", 0, false, -5},
    {"create with an ACL of many nothings", "i1 i1 s/x s i90000 i0", 0, false, -5},
    {"create with a scheme past its end", "i1 i1 s/x s i1 i31 i99 s i0", 0, false, -5},
    {"create with a path of negative length", "i1 i1 i-9 s O i0", 0, false, -5},
    {"create with data past its end", "i1 i1 s/x i70000 O i0", 0, false, -5},
    {"create with data of negative length", "i1 i1 s/x i-2 O i0", 0, false, -5},
    {"create with flags that are none", "i1 i1 s/x s O i-1", 0, false, -8},
    {"create with bad UTF-8", "i1 i1 x000000032fc0af s O i0", 0, false, -8},
    {"create with half a character", "i1 i1 x000000022fe2 s O i0", 0, false, -8},
    {"create beyond the basic plane", "i1 i1 x000000052ff09f9880 s O i0", 0, false, -8},
    {"delete without a version", "i1 i2 s/x", 0, false, -5},
    {"getData of null", "i1 i4 null b0", 0, false, -5},
    {"getChildren past its end", "i1 i8 i9 s/", 0, false, -5},
    {"setData without a version", "i1 i5 s/x s", 0, false, -5},
    {"sync of nothing", "i1 i9", 0, false, -5},
    {"multi without an end", "i1 i14 h13,0,-1 s/ i0", 0, false, -5},
    {"multi of half a header", "i1 i14 i1 b0", 0, false, -5},
    {"multi in a multi", "i1 i14 h14,0,-1 END END", 0, false, -5},
    {"multi of an unknown operation", "i1 i14 h99,0,-1 END", 0, false, -5},
    {"multiRead without an end", "i1 i22 h4,0,-1 s/ b0", 0, false, -5},
    {"setWatches of absurd counts", "i1 i101 l0 i2147483647 i0 i0", 0, false, -5},
    {"setWatches of negative count", "i1 i101 l0 i-2 i0 i0", 0, false, -5},
    {"setWatches of half a list", "i1 i101 l0 i1 s/x i1 i77", 0, false, -5},
    {"setWatches2 with the lists of setWatches", "i1 i105 l0 i0 i0 i0", 0, false, -5},
    {"auth of nothing", "i-4 i100", 0, false, CLOSED},
    {"auth of a scheme past its end", "i-4 i100 i0 i99", 0, false, CLOSED},
    {"sasl of nothing", "i1 i102", 0, false, CLOSED},
    {"getEphemerals of negative length", "i1 i103 i-3", 0, false, -5},
    {"addWatch of an unknown mode", "i1 i106 s/x i-1", 0, false, -5},
    {"removeWatches of an unknown type", "i1 i18 s/x i-1", 0, false, -5},
    {"createTTL without its time", "i1 i21 s/x s O i5", 0, false, -5},
    {"createTTL before time", "i1 i21 s/x s O i5 l-9223372036854775808", 0, false, -8},
};

static void bad_input(void **state) {
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        struct script script;
        struct writer w = {0}, frame = {0};
        script_open(&script, NULL);
        script.where = inputs[i].name;
        struct client *client =
            inputs[i].before_connect ? fake_connect(script.fake, "10.1.1.1:5") : script_client(&script, 'a');
        write_u32_be(&w, 0);
        script_encode(&script, &w, inputs[i].words);
        put_u32_be(w.data, inputs[i].frame ? (uint32_t)inputs[i].frame : (uint32_t)w.len - 4);
        fake_send(client, w.data, w.len);
        fake_step(script.fake);
        bool came = script_take(client, &frame);
        if (client->closed != (inputs[i].expect == CLOSED)) fail_msg("%s: closed %d", inputs[i].name, client->closed);
        if (inputs[i].expect != CLOSED) {
            if (!came) fail_msg("%s: no answer", inputs[i].name);
            int32_t error = (int32_t)get_u32_be(frame.data + 12);
            if (frame.len != 16 || error != inputs[i].expect) fail_msg("%s: answered %d", inputs[i].name, error);
        } else if (came)
            fail_msg("%s: an answer came", inputs[i].name);
        script_run(&script, "b> exists s/x b0\nb< -101\n");
        writer_free(&w);
        writer_free(&frame);
        script_close(&script);
    }
}

static void test_strangers_cannot_fill_the_log(void **state) {
    struct script script;
    script_open(&script, NULL);
    for (int i = 0; i < 100; i++) {
        struct client *client = fake_connect(script.fake, "10.1.1.1:5");
        fake_send(client, "\xff\xff\xff\xff", 4);
        assert_true(client->closed);
    }
    assert_true(script.fake->log_lines <= 5);
    script_close(&script);
}

// A connection has ten seconds for its connect request, whole or by single bytes; one that has a session is never
// asked for more, nor is a word's.
static void test_silent_connections_are_closed(void **state) {
    static const uint8_t hello[44] = {0, 0, 0, 44};
    struct script script;
    script_open(&script, NULL);
    script_client(&script, 'a');
    struct client *silent = fake_connect(script.fake, "10.1.1.1:5");
    struct client *slow = fake_connect(script.fake, "10.1.1.1:6");
    for (unsigned i = 0; i < 20; i++) {
        assert_false(silent->closed);
        assert_false(slow->closed);
        fake_send(slow, hello + i, 1);
        fake_tick(script.fake, 499);
    }
    struct client *later = fake_connect(script.fake, "10.1.1.1:7");
    fake_tick(script.fake, 100);
    assert_true(silent->closed);
    assert_true(slow->closed);
    assert_false(later->closed);
    script_run(&script, "a> exists s/x b0\na< -101\n");
    for (unsigned i = 0; i < 12; i++) fake_tick(script.fake, 1000);
    assert_true(later->closed);
    script_run(&script, "a> exists s/x b0\na< -101\n");
    script_close(&script);
}

// This process stood still: what such clients sent meanwhile has not been read yet.
static void test_a_pause_closes_no_newcomer(void **state) {
    struct script script;
    script_open(&script, NULL);
    struct client *client = fake_connect(script.fake, "10.1.1.1:5");
    fake_tick(script.fake, 60000);
    assert_false(client->closed);
    for (unsigned i = 0; i < 9; i++) fake_tick(script.fake, 1000);
    assert_true(client->closed);
    script_close(&script);
}

static void test_many_silent_connections_log_little(void **state) {
    struct script script;
    script_open(&script, NULL);
    struct client *clients[500];
    for (size_t i = 0; i < 500; i++) clients[i] = fake_connect(script.fake, "10.1.1.1:5");
    for (unsigned i = 0; i < 101; i++) fake_tick(script.fake, 100);
    for (size_t i = 0; i < 500; i++) assert_true(clients[i]->closed);
    assert_true(script.fake->log_lines > 0);
    assert_true(script.fake->log_lines <= 5);
    script_close(&script);
}

// The same bytes in pieces of any size give the same answers.
static void test_frames_come_in_pieces(void **state) {
    static const char *const requests[] = {"i1 i1 s/x sdata O i0",
                                           "i2 i4 s/x b1",
                                           "i-2 i11",
                                           "i3 i5 s/x s i-1",
                                           "i4 i12 s/ b0",
                                           "i5 i14 h13,0,-1 s/x i1 h2,0,-1 s/x i-1 END",
                                           "i6 i-11"};
    struct writer whole = {0}, first = {0};
    struct prng prng;
    prng_seed(&prng, 3);
    for (int round = 0; round < 50; round++) {
        struct script script;
        script_open(&script, NULL);
        struct client *client = script_client(&script, 'a');
        writer_clear(&whole);
        for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
            size_t at = whole.len;
            write_u32_be(&whole, 0);
            script_encode(&script, &whole, requests[i]);
            put_u32_be(whole.data + at, (uint32_t)(whole.len - at - 4));
        }
        for (size_t at = 0; at < whole.len && !client->closed;) {
            size_t len = round == 0 ? whole.len : round == 1 ? 1 : 1 + prng_below(&prng, 40);
            if (len > whole.len - at) len = whole.len - at;
            fake_send(client, whole.data + at, len);
            at += len;
        }
        fake_step(script.fake);
        assert_true(client->closed);
        if (round == 0) write_span(&first, bytes_of(client->output.data, client->output.len));
        assert_true(first.len > 100);
        // zxids of replies tell when they were made, which is the same here: nothing was applied before the end
        assert_int_equal(client->output.len, first.len);
        assert_memory_equal(client->output.data, first.data, first.len);
        script_close(&script);
    }
    writer_free(&whole);
    writer_free(&first);
}

static const char *const seeds[] = {"i1 i1 s/x sdata O i0",
                                    "i1 i2 s/x i-1",
                                    "i1 i3 s/x b1",
                                    "i1 i4 s/ b1",
                                    "i1 i5 s/x s i-1",
                                    "i1 i6 s/x",
                                    "i1 i7 s/x A31,auth,;1,ip,10.0.0.0/8;3,digest,a:b i-1",
                                    "i1 i8 s/ b1",
                                    "i1 i9 s/",
                                    "i-2 i11",
                                    "i1 i12 s/ b1",
                                    "i1 i13 s/x i0",
                                    "i1 i14 h1,0,-1 s/m s O i0 h5,0,-1 s/x s i-1 h2,0,-1 s/m i-1 END",
                                    "i1 i15 s/q s O i3",
                                    "i1 i17 s/x i3",
                                    "i1 i18 s/x i3",
                                    "i1 i19 s/c s O i4",
                                    "i1 i21 s/t s O i5 l1000",
                                    "i1 i22 h4,0,-1 s/x b0 h8,0,-1 s/ b0 END",
                                    "i-4 i100 i0 sdigest sbob:pw",
                                    "i-8 i101 l2 i1 s/x i1 s/y i1 s/",
                                    "i1 i103 s/",
                                    "i1 i104 s/",
                                    "i-8 i105 l2 i1 s/x i0 i1 s/ i1 s/p i1 s/r",
                                    "i1 i106 s/ i1",
                                    "i1 i107",
                                    "i1 i-11"};

// Requests with bytes turned, cut and doubled, and plain noise; every answer must be whole frames, and the neighbour is
// served.
static void test_random_bytes(void **state) {
    struct prng prng;
    struct script script;
    struct zookeeper_settings settings = {.frame_bytes_max = 4096};
    prng_seed(&prng, 2024);
    for (int round = 0; round < 60; round++) {
        script_open(&script, &settings);
        for (int connection = 0; connection < 20; connection++) {
            script.clients[0] = NULL;
            struct client *client =
                prng_below(&prng, 8) ? script_client(&script, 'a') : fake_connect(script.fake, "10.1.1.1:5");
            for (int i = 0; i < 60 && !client->closed; i++) {
                struct writer w = {0}, frame = {0};
                write_u32_be(&w, 0);
                script_encode(&script, &w, seeds[prng_below(&prng, sizeof seeds / sizeof seeds[0])]);
                for (uint64_t turns = prng_below(&prng, 4); turns > 0; turns--) {
                    size_t at = 4 + prng_below(&prng, w.len - 4);
                    if (prng_below(&prng, 3) == 0)
                        w.len = at + 1;
                    else if (prng_below(&prng, 4) == 0 && at + 4 <= w.len)
                        put_u32_be(w.data + at, (uint32_t)prng_next(&prng));
                    else if (prng_below(&prng, 2))
                        w.data[at] = (uint8_t)prng_next(&prng);
                    else
                        w.data[at] = (uint8_t)(w.data[at] ^ (1u << prng_below(&prng, 8)));
                    if (prng_below(&prng, 8) == 0) write_u32_be(&w, (uint32_t)prng_next(&prng));
                }
                put_u32_be(w.data, prng_below(&prng, 60) ? (uint32_t)w.len - 4 : (uint32_t)prng_next(&prng));
                fake_send(client, w.data, w.len);
                if (prng_below(&prng, 2)) fake_step(script.fake);
                while (!client->closed && script_take(client, &frame)) assert_true(frame.len >= 16);
                writer_free(&w);
                writer_free(&frame);
            }
            fake_step(script.fake);
            fake_tick(script.fake, 100);
            if (prng_below(&prng, 2)) fake_disconnect(client);
        }
        script_run(&script, "b> exists s/not-there b0\nb< -101\n");
        script_close(&script);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_input),
        cmocka_unit_test(test_strangers_cannot_fill_the_log),
        cmocka_unit_test(test_silent_connections_are_closed),
        cmocka_unit_test(test_a_pause_closes_no_newcomer),
        cmocka_unit_test(test_many_silent_connections_log_little),
        cmocka_unit_test(test_frames_come_in_pieces),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests_name("zookeeper_hostile", tests, NULL, NULL);
}
