// What must be done once, and whoever waits for it.
#include "cli/demo.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ORDERS 3u
#define LEASE_MS 1500
#define SERVICES 3u

static const char *const service_names[SERVICES] = {"A", "B", "C"};

// ---- a payment: the bank is the store, which counts charges of each order

// Was it paid? Charge the card. Note that it was paid.
static void pay_by_looking(struct service *s) {
    char answer[DEMO_TEXT], paid[64];
    snprintf(paid, sizeof paid, "paid-%s", s->words);
    store_ask(s->store, answer, "get", paid, 0, "");
    if (answer[0] == 0) {
        service_stall(s, DEMO_STALLS);
        store_ask(s->store, answer, "push", s->words, 0, s->name);
        service_stall(s, DEMO_LATE_STALL);
        store_ask(s->store, answer, "set", paid, 0, s->name);
    }
    service_report(s, "paid");
}

// The charge carries the run's token. A second attempt asks the bank first what became of the one before: its question
// carries the token too, and from then on the bank refuses the older one's.
static bool charge(struct service *s, long long token, long long attempt) {
    char answer[DEMO_TEXT];
    if (attempt > 1) {
        if (!store_ask(s->store, answer, "length", s->words, (unsigned long long)token, "")) return false;
        if (atoi(answer) > 0) return true;
    }
    service_stall(s, DEMO_STALLS);
    if (!store_ask(s->store, answer, "push", s->words, (unsigned long long)token, s->name)) return false;
    service_stall(s, DEMO_LATE_STALL);
    return true;
}

static void pay_by_key(struct service *s) {
    char problem[64], owner[64], receipt[64] = "";
    snprintf(owner, sizeof owner, "service %s, process %d", s->name, (int)getpid());
    while (receipt[0] == 0) {
        json_t *begun = demo_ask(s->client, "idempotency/begin",
                                 json_pack("{s:s,s:s,s:i,s:i}", "key", s->words, "owner", owner, "lease_ms", LEASE_MS,
                                           "wait_ms", (int)DEMO_WAIT_MS),
                                 DEMO_WAIT_MS, problem);
        if (problem[0] != 0) demo_fail("idempotency/begin: %s", problem);
        long long token = native_number(begun, "token");
        if (strcmp(native_text(begun, "outcome"), "stored") == 0) {
            snprintf(receipt, sizeof receipt, "%s", native_text(begun, "body"));
        } else if (charge(s, token, native_number(begun, "attempt"))) {
            json_t *done = demo_ask(s->client, "idempotency/complete",
                                    json_pack("{s:s,s:I,s:i,s:s}", "key", s->words, "token", (json_int_t)token,
                                              "status", 200, "body", s->name),
                                    0, problem);
            if (problem[0] == 0) snprintf(receipt, sizeof receipt, "%s", s->name);
            json_decref(done);
        }
        json_decref(begun); // refused: a newer run has begun, and will have stored its receipt
    }
    service_report(s, "%s", receipt);
}

static bool charges_are(struct demo *demo, long long wanted) {
    char order[32];
    long long charges = 0, twice = 0, unpaid = 0;
    for (unsigned i = 1; i <= ORDERS; i++) {
        snprintf(order, sizeof order, "order-%u", i);
        long long n = store_number(&demo->store, "length", order);
        charges += n;
        twice += n > 1;
        unpaid += n == 0;
    }
    demo_fact(demo, "orders", ORDERS);
    demo_fact(demo, "charges", charges);
    demo_fact(demo, "charged_twice", twice);
    return twice == wanted && unpaid == 0;
}

static bool usual_payment(struct demo *demo) {
    struct actor a = actor_start(demo, pay_by_looking, "A", "order-1", DEMO_STALLS);
    actor_stopped(&a);
    struct actor b = actor_start(demo, pay_by_looking, "B", "order-1", 0);
    actor_end(&b);
    actor_continue(&a);
    actor_end(&a);
    demo_say(demo, "order 1: A looks (not paid) and stalls; its client gives up and tries B, which charges; A goes on "
                   "and charges");
    a = actor_start(demo, pay_by_looking, "A", "order-2", DEMO_LATE_STALL);
    actor_stopped(&a);
    actor_kill(&a);
    b = actor_start(demo, pay_by_looking, "B", "order-2", 0);
    actor_end(&b);
    demo_say(demo, "order 2: A charges and dies (kill -9) before it has noted it; the retry at B charges");
    a = actor_start(demo, pay_by_looking, "A", "order-3", DEMO_STALLS);
    b = actor_start(demo, pay_by_looking, "B", "order-3", DEMO_STALLS);
    actor_stopped(&a);
    actor_stopped(&b);
    actor_continue(&a);
    actor_continue(&b);
    actor_end(&a);
    actor_end(&b);
    demo_say(demo, "order 3: A and B get it at the same moment: both look, both charge");
    return charges_are(demo, ORDERS);
}

struct waited {
    const char *key;
    long long waiters;
};
static bool waits(struct demo *demo, const void *context) {
    const struct waited *w = context;
    char problem[64];
    json_t *shown = demo_ask(&demo->client, "idempotency/show", json_pack("{s:s}", "key", w->key), 0, problem);
    bool all = native_number(shown, "waiters") >= w->waiters || native_number(shown, "attempts") > 1; // it runs already
    json_decref(shown);
    return all;
}

static bool same_receipt(struct actor *a, struct actor *b) {
    bool same = strcmp(actor_hear(a), actor_hear(b)) == 0;
    actor_end(a);
    actor_end(b);
    return same;
}

static bool our_payment(struct demo *demo) {
    struct actor a = actor_start(demo, pay_by_key, "A", "order-1", DEMO_STALLS);
    actor_stopped(&a);
    struct actor b = actor_start(demo, pay_by_key, "B", "order-1", 0);
    demo_until(demo, "B waits for A's run", waits, &(struct waited){"order-1", 1});
    demo_say(demo, "order 1: A begins and stalls; the retry at B waits for A's result");
    demo_kill_leader(demo);
    actor_hear(&b);
    actor_end(&b);
    demo_say(demo, "A's lease is over: B runs with a larger token, and charges");
    actor_continue(&a);
    bool same = strcmp(actor_hear(&a), b.text) == 0;
    actor_end(&a);
    demo_say(demo, "A goes on: the bank refuses its older token; it gets B's receipt");
    a = actor_start(demo, pay_by_key, "A", "order-2", DEMO_LATE_STALL);
    actor_stopped(&a);
    actor_kill(&a);
    b = actor_start(demo, pay_by_key, "B", "order-2", 0);
    actor_hear(&b);
    actor_end(&b);
    demo_say(demo, "order 2: A charges and dies (kill -9); B is told that this is attempt 2, asks the bank, and does "
                   "not charge");
    a = actor_start(demo, pay_by_key, "A", "order-3", 0);
    b = actor_start(demo, pay_by_key, "B", "order-3", 0);
    same = same_receipt(&a, &b) && same;
    demo_say(demo, "order 3: A and B at the same moment: one charges, both have the same receipt");
    demo_fact(demo, "same_receipt", same);
    return charges_are(demo, 0) && same;
}

const struct demo_row demo_payment = {
    "payment",
    "an order is paid by two services, or by one that dies: charged twice",
    "look whether it was paid, charge, note it",
    "an idempotency key: begin, charge, complete; the bank sees the token",
    "parley once order-17 -- ./charge order-17",
    usual_payment,
    our_payment,
};

// ---- a service that waits for a result

static long long now_ms_of(const char *text) {
    const char *at = strrchr(text, ' ');
    return at != NULL ? atoll(at) : 0;
}

// Is it there? No: then wait for the message. What is published between the two reaches nobody.
static void wait_by_subscription(struct service *s) {
    char answer[DEMO_TEXT];
    store_ask(s->store, answer, "get", s->words, 0, "");
    service_stall(s, DEMO_STALLS);
    struct pollfd fd = {.fd = store_subscribe(s->store, s->words), .events = POLLIN};
    bool told = poll(&fd, 1, 1000) > 0; // the result is there all this second
    service_report(s, "%s", told ? "told" : "not told");
}

static bool usual_result(struct demo *demo) {
    struct actor waiting[SERVICES];
    char answer[DEMO_TEXT];
    long long told = 0;
    for (size_t i = 0; i < SERVICES; i++) {
        waiting[i] = actor_start(demo, wait_by_subscription, service_names[i], "report-1", DEMO_STALLS);
        actor_stopped(&waiting[i]);
    }
    demo_say(demo, "A, B and C look: there is no result yet");
    store_ask(&demo->store, answer, "set", "report-1", 0, "42 pages");
    store_ask(&demo->store, answer, "publish", "report-1", 0, "42 pages");
    demo_say(demo, "the result comes, and is published to %s subscribers", answer);
    for (size_t i = 0; i < SERVICES; i++) actor_continue(&waiting[i]);
    for (size_t i = 0; i < SERVICES; i++) {
        told += strcmp(actor_hear(&waiting[i]), "told") == 0;
        actor_end(&waiting[i]);
    }
    demo_say(demo, "A, B and C subscribe, and wait for what has been");
    demo_fact(demo, "waiting", SERVICES);
    demo_fact(demo, "told", told);
    return told == 0 && atoi(answer) == 0;
}

static json_t *begin_report(struct service *s, const char *owner, int wait_ms) {
    char problem[64];
    json_t *begun =
        demo_ask(s->client, "idempotency/begin",
                 json_pack("{s:s,s:s,s:i,s:i}", "key", s->words, "owner", owner, "lease_ms", 60000, "wait_ms", wait_ms),
                 (uint64_t)wait_ms, problem);
    if (problem[0] != 0) demo_fail("idempotency/begin: %s", problem);
    return begun;
}

static void make_report(struct service *s) {
    json_t *begun = begin_report(s, "the worker", 0);
    service_report(s, "runs");
    service_stall(s, DEMO_STALLS);
    json_t *done = demo_good(s->client, "idempotency/complete",
                             json_pack("{s:s,s:I,s:s}", "key", s->words, "token",
                                       (json_int_t)native_number(begun, "token"), "body", "42 pages"));
    service_report(s, "completed %llu", (unsigned long long)native_now_ms());
    json_decref(begun);
    json_decref(done);
}

static void wait_for_report(struct service *s) {
    char owner[64];
    snprintf(owner, sizeof owner, "service %s, process %d", s->name, (int)getpid());
    json_t *begun = begin_report(s, owner, (int)DEMO_WAIT_MS);
    service_report(s, "%s %llu", native_text(begun, "body"), (unsigned long long)native_now_ms());
    json_decref(begun);
}

static bool our_result(struct demo *demo) {
    struct actor waiting[SERVICES], worker = actor_start(demo, make_report, "worker", "report-1", DEMO_STALLS);
    long long told = 0, latest_ms = 0;
    actor_hear(&worker);
    actor_stopped(&worker);
    for (size_t i = 0; i < SERVICES; i++)
        waiting[i] = actor_start(demo, wait_for_report, service_names[i], "report-1", 0);
    demo_until(demo, "all wait", waits, &(struct waited){"report-1", SERVICES});
    demo_say(demo, "a worker has begun; A, B and C wait for its result, each at another node");
    demo_kill_leader(demo);
    actor_continue(&worker);
    long long completed_ms = now_ms_of(actor_hear(&worker));
    actor_end(&worker);
    for (size_t i = 0; i < SERVICES; i++) {
        long long late_ms = now_ms_of(actor_hear(&waiting[i])) - completed_ms;
        told += strncmp(waiting[i].text, "42 pages ", 9) == 0;
        if (late_ms > latest_ms) latest_ms = late_ms;
        actor_end(&waiting[i]);
    }
    demo_say(demo, "the worker completes: all are told, the last one %lld ms after the worker itself", latest_ms);
    demo_fact(demo, "waiting", SERVICES);
    demo_fact(demo, "told", told);
    return told == SERVICES;
}

const struct demo_row demo_result = {
    "result",
    "a service waits for a result that comes before it has subscribed: never told",
    "look whether it is there, else subscribe to a channel",
    "begin under the same key with wait_ms: who comes early waits, who comes late gets what was stored",
    "parley once report-1 --wait 60000 -- ./make_report",
    usual_result,
    our_result,
};
