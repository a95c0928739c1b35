// Connections of Redis clients over the fake node: order of replies, transactions, leaders that are missing.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "test/unit/support/protocol/redis_room.c"
// clang-format on
#include <stdlib.h>

static struct fake *fake;

static void open_fake(const struct redis_settings *settings, uint32_t members) {
    fake = fake_new(&redis_protocol, settings);
    fake->members = members;
}

static struct client *connect_one(void) {
    return fake_connect(fake, "127.0.0.1:40000");
}

// What came since the last look, CR LF as one blank.
static void came(struct client *client, const char *expected) {
    static char text[65536];
    size_t len = 0;
    for (size_t i = 0; i < client->output.len && len < sizeof text - 1; i++) {
        uint8_t byte = client->output.data[i];
        if (byte == '\r') continue;
        text[len++] = byte == '\n' ? ' ' : (char)byte;
    }
    text[len] = 0;
    writer_clear(&client->output);
    assert_string_equal(text, expected);
}

static void send_text(struct client *client, const char *text) {
    fake_send(client, text, strlen(text));
}

static void asks(struct client *client, const char *text, const char *expected) {
    send_text(client, text);
    fake_step(fake);
    came(client, expected);
}

// ---- order

static void test_a_read_sees_what_was_answered_before_it(void **state) {
    for (uint32_t members = 1; members <= 3; members += 2) {
        open_fake(NULL, members);
        struct client *client = connect_one();
        asks(client, "SET k 0\r\n", "+OK ");
        send_text(client, "GET k\r\nSET k 1\r\nGET k\r\nSET k 2\r\nGET k\r\nPING\r\n");
        if (members == 1) came(client, "$1 0 "); // no round: it was answered at once
        if (members == 3) came(client, "");
        fake_step_one(fake);
        came(client, members == 1 ? "+OK $1 1 " : "$1 0 ");
        fake_step(fake);
        came(client, members == 1 ? "+OK $1 2 +PONG " : "+OK $1 1 +OK $1 2 +PONG ");
        fake_free(fake);
    }
}

static void test_reads_alone_make_no_round(void **state) {
    open_fake(NULL, 1);
    struct client *client = connect_one();
    send_text(client, "GET k\r\nMULTI\r\nGET k\r\nEXEC\r\n");
    assert_int_equal(fake->queue.count, 0);
    came(client, "$-1 +OK +QUEUED *1 $-1 ");
    fake_free(fake);
}

static void test_local_reads(void **state) {
    open_fake(NULL, 3);
    struct client *client = connect_one();
    send_text(client, "READONLY\r\nGET k\r\n");
    assert_int_equal(fake->queue.count, 0);
    came(client, "+OK $-1 ");
    send_text(client, "SET k 1\r\nGET k\r\n");
    came(client, "");
    fake_step(fake);
    came(client, "+OK $1 1 ");
    send_text(client, "READWRITE\r\nGET k\r\n");
    assert_int_equal(fake->queue.count, 1);
    came(client, "+OK ");
    fake_free(fake);
}

static void test_answers_keep_their_place(void **state) {
    open_fake(NULL, 1);
    struct client *client = connect_one();
    send_text(client, "SET a 1\r\nSELECT 2\r\nSET a 2\r\nHELLO 3\r\nGET nothing\r\nfoo\r\n*1\r\nx\r\n");
    came(client, "");
    fake_step_one(fake);
    came(client, "+OK +OK ");
    fake_step_one(fake);
    write_u8(&client->output, 0);
    const char *text = (const char *)client->output.data;
    assert_non_null(strstr(text, "+OK\r\n%7\r\n$6\r\nserver\r\n"));
    assert_non_null(strstr(text, "_\r\n-ERR unknown command 'foo', with args beginning with: \r\n"
                                 "-ERR Protocol error: expected '$', got 'x'\r\n"));
    assert_true(client->closed);
    fake_free(fake);
}

static void test_quit_waits_for_what_was_asked(void **state) {
    open_fake(NULL, 1);
    struct client *client = connect_one();
    send_text(client, "SET a 1\r\nQUIT\r\nSET a 2\r\n");
    came(client, "");
    assert_false(client->closing);
    fake_step(fake);
    came(client, "+OK +OK ");
    assert_true(client->closed);
    assert_int_equal(fake->commands, 1);
    fake_free(fake);
}

// However a conversation is cut, its answers are the same.
static void test_byte_by_byte(void **state) {
    static const char conversation[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nbc\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
                                       "PING \"a b\"\r\nMULTI\r\nINCR n\r\nGET n\r\nEXEC\r\nWATCH k\r\nMULTI\r\n"
                                       "SET k x\r\nEXEC\r\nGET k\r\nSELECT 99\r\n";
    open_fake(NULL, 3);
    struct client *whole = connect_one();
    send_text(whole, conversation);
    fake_step(fake);
    const char *expected = "+OK $5 a bc $3 a b +OK +QUEUED +QUEUED *2 :1 $1 1 +OK +OK +QUEUED *1 +OK $1 x "
                           "-ERR DB index is out of range ";
    came(whole, expected);
    asks(whole, "FLUSHALL\r\n", "+OK ");
    struct client *cut = connect_one();
    for (size_t i = 0; i + 1 < sizeof conversation; i++) {
        fake_send(cut, conversation + i, 1);
        if (i % 7 == 0) fake_step(fake);
    }
    fake_step(fake);
    came(cut, expected);
    fake_free(fake);
}

// ---- transactions

static void test_exec_is_one_entry(void **state) {
    open_fake(NULL, 1);
    struct client *client = connect_one();
    asks(client, "MULTI\r\nSET a 1\r\nPING\r\nGET a\r\nSELECT 1\r\nSET a 2\r\nEXEC\r\nGET a\r\nSELECT 0\r\nGET a\r\n",
         "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED *5 +OK +PONG $1 1 +OK +OK $1 2 +OK $1 1 ");
    assert_int_equal(fake->commands, 1);
    asks(client, "MULTI\r\nGET a\r\nECHO x\r\nEXEC\r\n", "+OK +QUEUED +QUEUED *2 $1 1 $1 x ");
    assert_int_equal(fake->commands, 1); // it only read
    asks(client, "MULTI\r\nEXEC\r\n", "+OK *0 ");
    fake_free(fake);
}

static void test_failed_transactions(void **state) {
    open_fake(NULL, 1);
    struct client *client = connect_one();
    asks(client, "EXEC\r\nDISCARD\r\n", "-ERR EXEC without MULTI -ERR DISCARD without MULTI ");
    asks(client, "MULTI\r\nMULTI\r\nWATCH a\r\nSET a\r\nEXEC\r\n",
         "+OK -ERR MULTI calls can not be nested -ERR WATCH inside MULTI is not allowed "
         "-ERR wrong number of arguments for 'set' command "
         "-EXECABORT Transaction discarded because of previous errors. ");
    asks(client, "MULTI\r\nSET a 1\r\nDISCARD\r\nGET a\r\n", "+OK +QUEUED +OK $-1 ");
    assert_int_equal(fake->commands, 0);
    fake_free(fake);
}

static void test_watch(void **state) {
    open_fake(NULL, 3);
    struct client *client = connect_one(), *other = connect_one();
    asks(client, "SET k 1\r\nWATCH k none\r\n", "+OK +OK ");
    asks(other, "SET k 2\r\n", "+OK ");
    asks(client, "MULTI\r\nSET k 3\r\nEXEC\r\n", "+OK +QUEUED *-1 ");
    asks(client, "MULTI\r\nSET k 3\r\nEXEC\r\n", "+OK +QUEUED *1 +OK "); // EXEC forgot it
    asks(client, "WATCH none\r\n", "+OK ");
    asks(other, "SET none 1\r\n", "+OK ");
    asks(client, "HELLO 3 SETNAME a b\r\nMULTI\r\nGET k\r\nEXEC\r\n",
         "-ERR Syntax error in HELLO option 'b' "
         "+OK +QUEUED *-1 ");
    asks(client, "WATCH k\r\nUNWATCH\r\n", "+OK +OK ");
    asks(other, "SET k 4\r\n", "+OK ");
    asks(client, "MULTI\r\nGET k\r\nEXEC\r\n", "+OK +QUEUED *1 $1 4 ");
    // In one packet: EXEC knows what WATCH saw.
    send_text(client, "WATCH k\r\nMULTI\r\nSET k 5\r\nEXEC\r\n");
    came(client, "");
    fake_step(fake);
    came(client, "+OK +OK +QUEUED *1 +OK ");
    fake_free(fake);
}

// ---- without a leader

static void test_a_leader_that_comes_in_time(void **state) {
    open_fake(NULL, 3);
    struct client *client = connect_one();
    fake->has_leader = fake->leading = false;
    send_text(client, "PING\r\nSET k 1\r\nGET k\r\n");
    came(client, "+PONG ");
    fake_tick(fake, 1400);
    came(client, "");
    assert_int_equal(fake->queue.count, 0); // nothing that could be applied later
    fake->has_leader = true;
    fake_tick(fake, 90);
    fake_step(fake);
    came(client, "+OK $1 1 ");
    fake_free(fake);
}

static void test_no_leader(void **state) {
    open_fake(NULL, 3);
    struct client *client = connect_one();
    fake->has_leader = fake->leading = false;
    send_text(client, "SET k 1\r\nGET k\r\nMULTI\r\nSET k 2\r\nEXEC\r\nPING\r\n");
    fake_tick(fake, 1499);
    came(client, "");
    fake_tick(fake, 1);
    const char *write = "-NOREPLICAS Not applied: this node knows no leader. The command may be sent again. ";
    char expected[1024];
    snprintf(expected, sizeof expected,
             "%s-MASTERDOWN Not answered: this node knows no leader. The command may be sent again. +OK +QUEUED "
             "%s+PONG ",
             write, write);
    came(client, expected);
    assert_int_equal(fake->commands, 0);
    send_text(client, "SET k 1\r\n"); // it has its own 1.5 s
    fake_tick(fake, 1000);
    came(client, "");
    fake->has_leader = true;
    fake_tick(fake, 100);
    fake_step(fake);
    came(client, "+OK ");
    asks(client, "READONLY\r\n", "+OK ");
    fake->has_leader = false;
    send_text(client, "GET k\r\n"); // needs none
    came(client, "$1 1 ");
    fake_free(fake);
}

static void test_a_read_whose_leader_went(void **state) {
    open_fake(NULL, 3);
    struct client *client = connect_one();
    send_text(client, "GET k\r\nPING\r\n");
    fake->has_leader = fake->leading = false;
    fake_tick(fake, 1499);
    came(client, "");
    fake_tick(fake, 1);
    came(client, "-MASTERDOWN Not answered: this node knows no leader. The command may be sent again. +PONG ");
    fake_step(fake); // the node's own refusal is no second answer
    came(client, "");
    fake_free(fake);
}

static void answer_with(struct client *client, uint64_t tag, int error) {
    struct result result = {.error = error, .model = MODEL_KEYS, .op = KEYS_OP_RUN};
    client->protocol->reply(client->connection, tag, &result);
}

// The node ends: what is under way is told to be unknown, behind a read that was asked first and is refused last.
static void test_unknown_outcomes(void **state) {
    open_fake(NULL, 3);
    struct client *client = connect_one();
    send_text(client, "GET k\r\nSET k 1\r\nMULTI\r\nSET k 2\r\nEXEC\r\nGET k\r\n");
    uint64_t last = fake->next_tag;
    answer_with(client, last - 2, COMMAND_UNKNOWN);
    answer_with(client, last - 1, COMMAND_UNKNOWN);
    came(client, "");
    client->protocol->read_ready(client->connection, last - 3, COMMAND_NOT_APPLIED);
    client->protocol->read_ready(client->connection, last, COMMAND_NOT_APPLIED);
    const char *unknown = "-UNKNOWN The command may or may not have been applied; look before it is sent again. ";
    const char *down = "-MASTERDOWN Not answered: this node knows no leader. The command may be sent again. ";
    char expected[1024];
    snprintf(expected, sizeof expected, "%s%s+OK +QUEUED %s%s", down, unknown, unknown, down);
    came(client, expected);
    fake_free(fake);
}

static void test_errors_of_the_group(void **state) {
    static const struct {
        int error;
        const char *text;
    } rows[] = {{COMMAND_MEMORY, "-OOM command not allowed when used memory > 'maxmemory'. "},
                {COMMAND_FULL, "-MISCONF Not applied: the disk is full. Reads go on. "},
                {COMMAND_TOO_LARGE, "-ERR Not applied: larger than one entry of the log may be "},
                {COMMAND_NOT_APPLIED, "-NOREPLICAS Not applied: this node knows no leader. The command may be sent "
                                      "again. "}};
    open_fake(NULL, 3);
    struct client *client = connect_one();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        send_text(client, "SET k 1\r\n");
        answer_with(client, fake->next_tag, rows[i].error);
        came(client, rows[i].text);
        fake_forget_newest(fake);
    }
    fake_free(fake);
}

// ---- who may

static void test_password(void **state) {
    struct redis_settings settings = {.password = "secret"};
    open_fake(&settings, 1);
    struct client *client = connect_one();
    asks(client, "PING\r\nfoo\r\nGET\r\nAUTH wrong\r\nAUTH other secret\r\nHELLO 3\r\n",
         "-NOAUTH Authentication required. -ERR unknown command 'foo', with args beginning with:  "
         "-ERR wrong number of arguments for 'get' command "
         "-WRONGPASS invalid username-password pair or user is disabled. "
         "-WRONGPASS invalid username-password pair or user is disabled. "
         "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> "
         "<pass> option can be used to authenticate the client and select the RESP protocol version at the same "
         "time ");
    asks(client, "AUTH secret\r\nGET a\r\nRESET\r\nGET a\r\nAUTH default secret\r\nPING\r\n",
         "+OK $-1 +RESET -NOAUTH Authentication required. +OK +PONG ");
    struct client *guest = connect_one();
    asks(guest, "*1\r\n$20000\r\n", "-ERR Protocol error: unauthenticated bulk length ");
    assert_true(guest->closed);
    fake_free(fake);
}

static void test_silence(void **state) {
    open_fake(NULL, 1);
    struct client *client = connect_one();
    asks(client, "CLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\nCLIENT REPLY OFF\r\nSET a 2\r\nGET a\r\nPING\r\n", "$1 1 ");
    asks(client, "CLIENT REPLY ON\r\nGET a\r\n", "+OK $1 2 ");
    fake_free(fake);
}

static void test_names(void **state) {
    open_fake(NULL, 1);
    struct client *client = connect_one(), *other = connect_one();
    asks(client, "CLIENT SETNAME me\r\nCLIENT GETNAME\r\nCLIENT SETNAME \"a b\"\r\nCLIENT SETINFO lib-name x\r\n",
         "+OK $2 me -ERR Client names cannot contain spaces, newlines or special characters. +OK ");
    send_text(other, "CLIENT LIST\r\n");
    write_u8(&other->output, 0);
    const char *text = (const char *)other->output.data;
    assert_non_null(strstr(text, " name=me age=0 "));
    assert_non_null(strstr(text, " cmd=client|list user=default redir=-1 resp=2 lib-name= lib-ver=\n"));
    assert_non_null(strstr(text, " lib-name=x "));
    fake_free(fake);
}

static void test_kill(void **state) {
    open_fake(NULL, 1);
    struct client *client = connect_one(), *other = connect_one();
    char text[64];
    uint64_t id = ((struct connection *)other->connection)->id;
    snprintf(text, sizeof text, "CLIENT KILL ID %llu\r\n", (unsigned long long)id);
    asks(client, text, ":1 ");
    assert_true(other->closed);
    asks(client, text, ":0 ");
    asks(client, "CLIENT KILL 1.1.1.1:1\r\nCLIENT KILL SKIPME no TYPE normal\r\n", "-ERR No such client :1 ");
    assert_true(client->closed);
    fake_free(fake);
}

static void test_looks_like_http(void **state) {
    open_fake(NULL, 1);
    struct client *client = connect_one();
    asks(client, "POST / HTTP/1.1\r\nSET a 1\r\n", "");
    assert_true(client->closed);
    assert_int_equal(fake->commands, 0);
    fake_free(fake);
}

// ---- channels

static void test_channels(void **state) {
    open_fake(NULL, 1);
    struct client *one = connect_one(), *two = connect_one();
    asks(one, "SUBSCRIBE a\r\nPSUBSCRIBE a*\r\n", "*3 $9 subscribe $1 a :1 *3 $10 psubscribe $2 a* :2 ");
    asks(one, "GET x\r\n",
         "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
         "allowed in this context ");
    asks(two, "PUBLISH a hi\r\nPUBLISH ab hi\r\nSPUBLISH a hi\r\nPUBSUB NUMSUB a\r\nPUBSUB NUMPAT\r\n",
         ":2 :1 :0 *2 $1 a :1 :1 ");
    came(one, "*3 $7 message $1 a $2 hi *4 $8 pmessage $2 a* $1 a $2 hi *4 $8 pmessage $2 a* $2 ab $2 hi ");
    asks(one, "UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nGET x\r\n",
         "*3 $11 unsubscribe $1 a :1 *3 $12 punsubscribe $2 a* :0 $-1 ");
    asks(two, "PUBSUB CHANNELS\r\n", "*0 ");
    send_text(one, "HELLO 3\r\n");
    writer_clear(&one->output);
    asks(one, "SUBSCRIBE a\r\nGET x\r\n", ">3 $9 subscribe $1 a :1 _ ");
    asks(one, "RESET\r\nPUBSUB CHANNELS\r\n", "+RESET *0 ");
    fake_free(fake);
}

// A message that is published behind a write is not told before that is done.
static void test_publish_behind_a_write(void **state) {
    open_fake(NULL, 1);
    struct client *one = connect_one(), *two = connect_one();
    asks(one, "SUBSCRIBE a\r\n", "*3 $9 subscribe $1 a :1 ");
    send_text(two, "SET k 1\r\nPUBLISH a x\r\n");
    came(one, "");
    fake_step(fake);
    came(one, "*3 $7 message $1 a $1 x ");
    came(two, "+OK :1 ");
    fake_free(fake);
}

// ---- nodes

static void test_cluster_and_sentinel(void **state) {
    open_fake(NULL, 3);
    struct client *client = connect_one();
    asks(client, "SENTINEL GET-MASTER-ADDR-BY-NAME mymaster\r\nSENTINEL GET-MASTER-ADDR-BY-NAME other\r\n",
         "*2 $9 127.0.0.1 $4 2181 *-1 ");
    asks(client, "CLUSTER KEYSLOT {user}x\r\nCLUSTER KEYSLOT user\r\nCLUSTER KEYSLOT 123456789\r\nWAIT 1 0\r\n",
         ":5474 :5474 :12739 :1 ");
    send_text(client, "CLUSTER SLOTS\r\n");
    static const char first[] = "*1\r\n*5\r\n:0\r\n:16383\r\n*4\r\n$9\r\n127.0.0.1\r\n:2181\r\n"; // the leader
    assert_memory_equal(client->output.data, first, sizeof first - 1);
    fake_free(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_sees_what_was_answered_before_it),
        cmocka_unit_test(test_reads_alone_make_no_round),
        cmocka_unit_test(test_local_reads),
        cmocka_unit_test(test_answers_keep_their_place),
        cmocka_unit_test(test_quit_waits_for_what_was_asked),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_exec_is_one_entry),
        cmocka_unit_test(test_failed_transactions),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_a_leader_that_comes_in_time),
        cmocka_unit_test(test_no_leader),
        cmocka_unit_test(test_a_read_whose_leader_went),
        cmocka_unit_test(test_unknown_outcomes),
        cmocka_unit_test(test_errors_of_the_group),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_looks_like_http),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_publish_behind_a_write),
        cmocka_unit_test(test_cluster_and_sentinel),
    };
    return cmocka_run_group_tests_name("protocol_redis", tests, NULL, NULL);
}
