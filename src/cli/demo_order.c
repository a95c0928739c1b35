// Messages: in their order, and none lost with the consumer that had it.
#include "cli/demo.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 3u
#define MACHINES 3u
#define VISIBILITY_MS 1000
#define MESSAGES 10u
#define DEATHS 3u

static const char *const machine_names[MACHINES] = {"machine 1", "machine 2", "machine 3"};

// ---- order 123 read as 231

static void send_by_list(struct service *s) { // words: "key number"
    char answer[DEMO_TEXT], key[32];
    int number;
    sscanf(s->words, "%31s %d", key, &number);
    service_stall(s, DEMO_STALLS);
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    store_ask(s->store, answer, "push", key, 0, text);
    service_report(s, "sent");
}

static void send_by_number(struct service *s) {
    char problem[64], key[32];
    int number;
    sscanf(s->words, "%31s %d", key, &number);
    service_stall(s, DEMO_STALLS);
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    json_t *pushed =
        demo_ask(s->client, "queue/push",
                 json_pack("{s:s,s:s,s:s,s:i}", "name", "orders", "key", key, "body", text, "number", number),
                 DEMO_WAIT_MS, problem);
    if (problem[0] != 0) demo_fail("queue/push: %s", problem);
    json_decref(pushed);
    service_report(s, "sent");
}

// Machine 1 stalls on its way; 2 and 3 do not. settled: what 2 and 3 lead to before 1 goes on.
static void send_three(struct demo *demo, void (*run)(struct service *service), unsigned key,
                       void (*settled)(struct demo *demo, unsigned key, struct actor *two, struct actor *three)) {
    struct actor machines[MACHINES];
    char words[MACHINES][48];
    for (unsigned i = 0; i < MACHINES; i++) {
        snprintf(words[i], sizeof words[i], "order-%u %u", key, i + 1);
        machines[i] = actor_start(demo, run, machine_names[i], words[i], i == 0 ? DEMO_STALLS : 0);
        if (i == 0) actor_stopped(&machines[0]);
    }
    settled(demo, key, &machines[1], &machines[2]);
    actor_continue(&machines[0]);
    for (unsigned i = 0; i < MACHINES; i++) actor_end(&machines[i]);
}

static void both_sent(struct demo *demo, unsigned key, struct actor *two, struct actor *three) {
    actor_hear(two);
    actor_hear(three);
}

static bool usual_order(struct demo *demo) {
    long long in_order = 0;
    char key[32], read[DEMO_TEXT];
    for (unsigned i = 1; i <= KEYS; i++) {
        send_three(demo, send_by_list, i, both_sent);
        snprintf(key, sizeof key, "order-%u", i);
        store_ask(&demo->store, read, "all", key, 0, "");
        in_order += strcmp(read, "1 2 3") == 0;
        demo_say(demo, "order %u: three machines send 1, 2, 3; machine 1 stalls; read: %s", i, read);
    }
    demo_fact(demo, "keys", KEYS);
    demo_fact(demo, "read_in_order", in_order);
    return in_order == 0;
}

// All of the queue, with those that wait for the number before theirs.
static bool messages_are(struct demo *demo, const void *context) {
    char problem[64];
    json_t *shown = demo_ask(&demo->client, "queue/show", json_pack("{s:s}", "name", "orders"), 0, problem);
    bool all = native_number(shown, "messages") == *(const long long *)context;
    json_decref(shown);
    return all;
}

static void both_held(struct demo *demo, unsigned key, struct actor *two, struct actor *three) {
    long long messages = (long long)(key - 1) * MACHINES + 2;
    demo_until(demo, "2 and 3 are there", messages_are, &messages);
    demo_say(demo, "order %u: machine 1 stalls; 2 and 3 are there, and wait for 1", key);
    if (key == 1) demo_kill_leader(demo);
}

// words: how many to read, then it acknowledges them; or none: it stalls with the first in its hand.
static void consume(struct service *s) {
    for (long left = atol(s->words); left > 0;) {
        char problem[64];
        json_t *claimed = demo_ask(
            s->client, "queue/claim",
            json_pack("{s:s,s:i,s:i}", "name", "orders", "visibility_ms", VISIBILITY_MS, "wait_ms", (int)DEMO_WAIT_MS),
            DEMO_WAIT_MS, problem);
        json_t *message = json_array_get(json_object_get(claimed, "messages"), 0);
        if (message == NULL) demo_fail("queue/claim: no message in %u ms", DEMO_WAIT_MS);
        service_stall(s, DEMO_STALLS);
        json_t *done =
            demo_ask(s->client, "queue/ack",
                     json_pack("{s:s,s:[I]}", "name", "orders", "tokens", (json_int_t)native_number(message, "token")),
                     0, problem);
        // Acknowledged by an answer that was lost, or delivered to another: then it is reported there.
        if (problem[0] == 0) service_report(s, "%s %s", native_text(message, "key"), native_text(message, "body"));
        left -= problem[0] == 0;
        json_decref(done);
        json_decref(claimed);
    }
}

static bool our_order(struct demo *demo) {
    char read[KEYS][16] = {"", "", ""};
    long long in_order = 0;
    for (unsigned i = 1; i <= KEYS; i++) send_three(demo, send_by_number, i, both_held);
    struct actor first = actor_start(demo, consume, "consumer 1", "9", DEMO_STALLS);
    actor_stopped(&first);
    actor_kill(&first);
    demo_say(demo, "a consumer dies (kill -9) with a message in its hand");
    struct actor second = actor_start(demo, consume, "consumer 2", "9", 0);
    for (unsigned i = 0; i < KEYS * MACHINES; i++) {
        unsigned key = 0;
        char number = 0;
        sscanf(actor_hear(&second), "order-%u %c", &key, &number);
        if (key < 1 || key > KEYS) demo_fail("the consumer read: %s", second.text);
        read[key - 1][strlen(read[key - 1])] = number;
    }
    actor_end(&second);
    for (unsigned i = 0; i < KEYS; i++) {
        in_order += strcmp(read[i], "123") == 0;
        demo_say(demo, "order %u: read by the next consumer: %c %c %c", i + 1, read[i][0], read[i][1], read[i][2]);
    }
    demo_fact(demo, "keys", KEYS);
    demo_fact(demo, "read_in_order", in_order);
    return in_order == KEYS;
}

const struct demo_row demo_order = {
    "order",
    "three machines send 1, 2, 3 of one order; it is read as 2, 3, 1",
    "each machine puts its message into a list",
    "a queue with keys: each message has its number, and 2 waits for 1",
    "parley queue push orders --key order-17 --number 2 shipped",
    usual_order,
    our_order,
};

// ---- a consumer that dies

static void pop_and_handle(struct service *s) { // until the list is empty
    char message[DEMO_TEXT], answer[DEMO_TEXT];
    for (;;) {
        store_ask(s->store, message, "pop", "jobs", 0, "");
        if (message[0] == 0) break;
        service_stall(s, DEMO_STALLS);
        store_ask(s->store, answer, "push", "handled", 0, message);
    }
}

static void report_handled(struct demo *demo, long long handled) {
    demo_fact(demo, "messages", MESSAGES);
    demo_fact(demo, "handled", handled);
    demo_fact(demo, "lost", MESSAGES - handled);
}

static bool usual_consumer(struct demo *demo) {
    char answer[DEMO_TEXT], text[16];
    for (unsigned i = 1; i <= MESSAGES; i++) {
        snprintf(text, sizeof text, "%u", i);
        store_ask(&demo->store, answer, "push", "jobs", 0, text);
    }
    for (unsigned i = 0; i < DEATHS; i++) {
        struct actor dies = actor_start(demo, pop_and_handle, "consumer", "", DEMO_STALLS);
        actor_stopped(&dies);
        actor_kill(&dies);
    }
    demo_say(demo, "%u consumers take a message each, and die (kill -9)", DEATHS);
    struct actor last = actor_start(demo, pop_and_handle, "consumer", "", 0);
    actor_end(&last);
    demo_say(demo, "the next one handles what is left");
    long long handled = store_number(&demo->store, "length", "handled");
    report_handled(demo, handled);
    return handled == MESSAGES - DEATHS;
}

static bool our_consumer(struct demo *demo) {
    char text[16], id[16];
    bool seen[MESSAGES + 1] = {false};
    long long handled = 0;
    for (unsigned i = 1; i <= MESSAGES; i++) {
        snprintf(text, sizeof text, "%u", i);
        snprintf(id, sizeof id, "job-%u", i);
        json_decref(demo_good(&demo->client, "queue/push",
                              json_pack("{s:s,s:s,s:s}", "name", "orders", "body", text, "dedup_id", id)));
    }
    for (unsigned i = 0; i < DEATHS; i++) {
        struct actor dies = actor_start(demo, consume, "consumer", "1", DEMO_STALLS);
        actor_stopped(&dies);
        actor_kill(&dies);
    }
    demo_say(demo, "%u consumers claim a message each, and die (kill -9)", DEATHS);
    demo_kill_leader(demo);
    snprintf(text, sizeof text, "%u", MESSAGES);
    struct actor last = actor_start(demo, consume, "consumer", text, 0);
    for (unsigned i = 0; i < MESSAGES; i++) {
        unsigned message = 0;
        const char *body = strrchr(actor_hear(&last), ' ');
        if (body != NULL) message = (unsigned)atoi(body);
        if (message < 1 || message > MESSAGES) demo_fail("the consumer read: %s", last.text);
        handled += !seen[message];
        seen[message] = true;
    }
    actor_end(&last);
    demo_say(demo, "the next one handles what is left; what the dead ones had is delivered again after %d ms",
             VISIBILITY_MS);
    report_handled(demo, handled);
    return handled == MESSAGES;
}

const struct demo_row demo_consumer = {
    "consumer",
    "a consumer dies with a message in its hand: the message is lost",
    "a list: take the first message, then handle it",
    "a queue: claim, handle, acknowledge; what is not acknowledged in time is delivered again",
    "parley queue work jobs -- ./handle",
    usual_consumer,
    our_consumer,
};
