// Shared data: a lock held by a paused process; two services and one stock.
#include "cli/demo.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BALANCE 100
#define TTL_MS 1000
#define USUAL_STOCK 5
#define STOCK 200

// ---- a lock held by a paused process: A adds 10, B adds 50

static void read_balance(struct service *s, unsigned long long token, char text[DEMO_TEXT]) {
    if (!store_ask(s->store, text, "get", "balance", token, "")) demo_fail("the store refused to read: %s", text);
}

static void add_by_timed_lock(struct service *s) {
    char answer[DEMO_TEXT], sum[32];
    while (!store_ask(s->store, answer, "lock", "account", TTL_MS, s->name)) usleep(5000);
    read_balance(s, 0, answer);
    snprintf(sum, sizeof sum, "%d", atoi(answer) + atoi(s->words));
    service_stall(s, DEMO_STALLS);
    store_ask(s->store, answer, "set", "balance", 0, sum);
    store_ask(s->store, answer, "unlock", "account", 0, s->name);
    service_report(s, "%s", sum);
}

// The token goes along with each read and write: once a newer one was seen, the store refuses what an older one brings.
static void add_by_fenced_lock(struct service *s) {
    char answer[DEMO_TEXT], sum[32], owner[64], problem[64];
    int refused = 0;
    snprintf(owner, sizeof owner, "service %s, process %d", s->name, (int)getpid());
    for (bool written = false; !written; refused += !written) {
        json_t *held = demo_ask(s->client, "lock/acquire",
                                json_pack("{s:s,s:s,s:i,s:i}", "name", "account", "owner", owner, "ttl_ms", TTL_MS,
                                          "wait_ms", (int)DEMO_WAIT_MS),
                                DEMO_WAIT_MS, problem);
        if (problem[0] != 0) demo_fail("lock/acquire: %s", problem);
        json_int_t token = native_number(held, "token");
        read_balance(s, (unsigned long long)token, answer);
        snprintf(sum, sizeof sum, "%d", atoi(answer) + atoi(s->words));
        service_stall(s, DEMO_STALLS);
        written = store_ask(s->store, answer, "set", "balance", (unsigned long long)token, sum);
        json_t *given = demo_ask(s->client, "lock/release",
                                 json_pack("{s:s,s:s,s:I}", "name", "account", "owner", owner, "token", token), 0,
                                 problem); // of a lock that was lost: not-held
        json_decref(held);
        json_decref(given);
        s->stall = 0; // once
    }
    service_report(s, "%d", refused);
}

static bool balance_is(struct demo *demo, long long wanted) {
    long long balance = store_number(&demo->store, "get", "balance");
    demo_fact(demo, "balance", balance);
    demo_fact(demo, "should_be", BALANCE + 10 + 50);
    return balance == wanted;
}

static void begin_account(struct demo *demo) {
    char answer[DEMO_TEXT], text[32];
    snprintf(text, sizeof text, "%d", BALANCE);
    store_ask(&demo->store, answer, "set", "balance", 0, text);
}

static bool usual_lock(struct demo *demo) {
    begin_account(demo);
    struct actor a = actor_start(demo, add_by_timed_lock, "A", "10", DEMO_STALLS);
    actor_stopped(&a);
    demo_say(demo, "A gets the lock, reads %d, and is paused (SIGSTOP) before it writes %d", BALANCE, BALANCE + 10);
    struct actor b = actor_start(demo, add_by_timed_lock, "B", "50", 0);
    demo_say(demo, "the lock's %d ms are over: B gets it, reads %d, writes %s", TTL_MS, BALANCE, actor_hear(&b));
    actor_end(&b);
    actor_continue(&a);
    demo_say(demo, "A goes on, holds the lock as far as it knows, and writes %s: B's 50 are gone", actor_hear(&a));
    actor_end(&a);
    return balance_is(demo, BALANCE + 10);
}

static bool our_lock(struct demo *demo) {
    begin_account(demo);
    struct actor a = actor_start(demo, add_by_fenced_lock, "A", "10", DEMO_STALLS);
    actor_stopped(&a);
    demo_say(demo, "A gets the lock with a token, reads %d, and is paused (SIGSTOP) before it writes", BALANCE);
    demo_kill_leader(demo);
    struct actor b = actor_start(demo, add_by_fenced_lock, "B", "50", 0);
    actor_hear(&b);
    actor_end(&b);
    demo_say(demo, "B gets the lock when A's time is over, with a larger token, and writes %d", BALANCE + 50);
    actor_continue(&a);
    long long refused = atoll(actor_hear(&a));
    actor_end(&a);
    demo_say(demo, "A goes on: the store refuses its token; A gets the lock anew, reads %d, writes %d", BALANCE + 50,
             BALANCE + 60);
    demo_fact(demo, "writes_refused", refused);
    return balance_is(demo, BALANCE + 60) && refused == 1;
}

const struct demo_row demo_lock = {
    "lock",
    "the holder of a lock is paused; another gets the lock; both write",
    "a lock with a time-out in a plain store",
    "a lock with a fencing token, which the store checks",
    "parley lock account -- ./add-10    # which gives $PARLEY_LOCK_TOKEN to the store",
    usual_lock,
    our_lock,
};

// ---- two services, one stock

static void sell_by_writing(struct service *s) { // one piece
    char answer[DEMO_TEXT], left[32];
    store_ask(s->store, answer, "get", "stock", 0, "");
    service_stall(s, DEMO_STALLS);
    if (atoi(answer) > 0) {
        snprintf(left, sizeof left, "%d", atoi(answer) - 1);
        store_ask(s->store, answer, "set", "stock", 0, left);
        service_report(s, "sold");
    } else {
        service_report(s, "none left");
    }
}

static bool usual_stock(struct demo *demo) {
    char answer[DEMO_TEXT], text[32];
    long long sold = 0;
    snprintf(text, sizeof text, "%d", USUAL_STOCK);
    store_ask(&demo->store, answer, "set", "stock", 0, text);
    while (store_number(&demo->store, "get", "stock") > 0) {
        struct actor a = actor_start(demo, sell_by_writing, "A", "", DEMO_STALLS),
                     b = actor_start(demo, sell_by_writing, "B", "", DEMO_STALLS);
        actor_stopped(&a);
        actor_stopped(&b);
        actor_continue(&a);
        actor_continue(&b);
        sold += strcmp(actor_hear(&a), "sold") == 0;
        sold += strcmp(actor_hear(&b), "sold") == 0;
        actor_end(&a);
        actor_end(&b);
    }
    demo_say(demo, "A and B read the same number at the same moment, and write the same number back");
    demo_fact(demo, "in_stock", USUAL_STOCK);
    demo_fact(demo, "sold", sold);
    return sold > USUAL_STOCK;
}

static void sell_all(struct service *s) {
    char problem[64] = "", request[64];
    for (unsigned i = 0; problem[0] == 0; i++) {
        // The id goes with each retry: a piece whose answer was lost is not taken twice.
        snprintf(request, sizeof request, "service %s, process %d, sale %u", s->name, (int)getpid(), i);
        json_t *sold = demo_ask(s->client, "guard/counter_add",
                                json_pack("{s:{s:i},s:s}", "deltas", "stock", -1, "request", request), 0, problem);
        json_decref(sold);
        if (problem[0] != 0 && strcmp(problem, "below") != 0) demo_fail("guard/counter_add: %s", problem);
        service_report(s, "%s", problem[0] == 0 ? "sold" : "none left");
    }
}

static long long hear_sales(struct actor *actor) {
    long long sold = 0;
    while (strcmp(actor_hear(actor), "sold") == 0) sold++;
    actor_end(actor);
    return sold;
}

static bool our_stock(struct demo *demo) {
    json_decref(demo_good(&demo->client, "guard/counter_set", json_pack("{s:s,s:i}", "name", "stock", "value", STOCK)));
    struct actor a = actor_start(demo, sell_all, "A", "", 0), b = actor_start(demo, sell_all, "B", "", 0);
    long long sold = strcmp(actor_hear(&a), "sold") == 0;
    demo_say(demo, "A and B sell as fast as they can");
    demo_kill_leader(demo);
    sold += hear_sales(&a);
    sold += hear_sales(&b);
    json_t *shown = demo_good(&demo->client, "guard/counter_show", json_pack("{s:s}", "name", "stock"));
    long long left = native_number(shown, "value");
    json_decref(shown);
    demo_say(demo, "both sell until the counter would fall below 0");
    demo_fact(demo, "in_stock", STOCK);
    demo_fact(demo, "sold", sold);
    demo_fact(demo, "left", left);
    return sold == STOCK && left == 0;
}

const struct demo_row demo_stock = {
    "stock",
    "two services sell the same last piece",
    "read the stock, write one less",
    "a counter with a floor: taken in one step, if the rest stays at 0 or above; each sale has an id",
    "curl localhost:7450/v1/guard/counter_add -d '{\"deltas\": {\"stock\": -1}, \"request\": \"sale-17\"}'",
    usual_stock,
    our_stock,
};
