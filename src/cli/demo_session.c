// Who is there: a process that dies, and what it has said of itself.
#include "cli/demo.h"
#include "client/net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSION_MS 2000
#define LOOKS 50
#define INSTANCES 3u
#define CALLS 12u
#define CALL_MS 2000u

// ---- a mark that outlives its owner

static void mark_and_work(struct service *s) {
    char answer[DEMO_TEXT];
    store_ask(s->store, answer, "set", "on-duty", 0, s->name);
    service_stall(s, DEMO_STALLS); // until it dies
}

static void take_over_by_looking(struct service *s) {
    char answer[DEMO_TEXT] = "?";
    for (unsigned i = 0; i < LOOKS && answer[0] != 0; i++) {
        store_ask(s->store, answer, "get", "on-duty", 0, "");
        usleep(10000); // this is how it is done: look again after a while
    }
    service_report(s, "%s", answer);
}

static bool usual_session(struct demo *demo) {
    struct actor a = actor_start(demo, mark_and_work, "A", "", DEMO_STALLS);
    actor_stopped(&a);
    actor_kill(&a);
    demo_say(demo, "A writes that it is on duty, and dies (kill -9) before it can take that back");
    struct actor b = actor_start(demo, take_over_by_looking, "B", "", 0);
    bool on_duty = strcmp(actor_hear(&b), "A") == 0;
    actor_end(&b);
    demo_say(demo, "B looks %d times: %s is on duty", LOOKS, b.text);
    demo_fact(demo, "dead_but_on_duty", on_duty);
    demo_fact(demo, "taken_over", !on_duty);
    return on_duty;
}

static json_t *be_on_duty(struct service *s, json_t *session) {
    char problem[64];
    json_t *held =
        demo_ask(s->client, "lock/acquire",
                 json_pack("{s:s,s:O,s:i}", "name", "on-duty", "session", session, "wait_ms", (int)DEMO_WAIT_MS),
                 DEMO_WAIT_MS, problem);
    if (problem[0] != 0) demo_fail("lock/acquire: %s", problem);
    return held;
}

// words: the session ends when nothing is heard of it for so many ms.
static void take_over_by_session(struct service *s) {
    json_t *created = demo_good(s->client, "session/create", json_pack("{s:i}", "ttl_ms", atoi(s->words)));
    json_t *held = be_on_duty(s, json_object_get(created, "session"));
    service_report(s, "%lld", native_number(held, "token"));
    service_stall(s, DEMO_STALLS);
    json_decref(created);
    json_decref(held);
}

static bool our_session(struct demo *demo) {
    struct actor a = actor_start(demo, take_over_by_session, "A", "2000", DEMO_STALLS);
    long long first = atoll(actor_hear(&a));
    actor_stopped(&a);
    actor_kill(&a);
    demo_say(demo, "A is on duty for as long as its session lives, and dies (kill -9)");
    demo_kill_leader(demo);
    struct actor b = actor_start(demo, take_over_by_session, "B", "60000", 0);
    long long second = atoll(actor_hear(&b));
    actor_end(&b);
    demo_say(demo, "nothing is heard of A for %d ms: its session ends, and B, who waits, is told at once", SESSION_MS);
    demo_fact(demo, "taken_over", second > 0);
    demo_fact(demo, "token_grew", second > first);
    return second > first;
}

const struct demo_row demo_session = {
    "session",
    "a process dies, and what it has said of itself stays for ever",
    "write \"A is on duty\" into a store, and take it back at the end",
    "what belongs to a session ends with it, and who waits is told",
    "parley lock on-duty --ttl 2000 -- ./work",
    usual_session,
    our_session,
};

// ---- an address that nobody answers at

// A service that listens, and greets whoever calls.
static void listen_and_greet(struct service *s) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        demo_fail("cannot listen: %s", strerror(errno));
    service_report(s, "127.0.0.1:%u", ntohs(address.sin_port));
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && send(fd, "hello", 5, MSG_NOSIGNAL) == 5) shutdown(fd, SHUT_WR);
        if (fd >= 0) close(fd);
    }
}

static bool is_greeted(const char *address) {
    char text[8], error[512];
    int fd = net_connect(address, CALL_MS, error);
    bool greeted = fd >= 0 && net_receive(fd, text, sizeof text, CALL_MS) == 5;
    if (fd >= 0) close(fd);
    return greeted;
}

static void start_instances(struct demo *demo, struct actor instances[INSTANCES]) {
    static const char *const names[INSTANCES] = {"1", "2", "3"};
    for (size_t i = 0; i < INSTANCES; i++) {
        instances[i] = actor_start(demo, listen_and_greet, names[i], "", 0);
        actor_hear(&instances[i]);
    }
}

static bool usual_naming(struct demo *demo) {
    struct actor instances[INSTANCES];
    long long failed = 0;
    start_instances(demo, instances);
    demo_say(demo, "three instances of a service; their addresses stand in the configuration");
    actor_kill(&instances[0]);
    for (unsigned i = 0; i < CALLS; i++) failed += !is_greeted(instances[i % INSTANCES].text);
    demo_say(demo, "one dies (kill -9); a client goes on calling all three, in turn");
    for (size_t i = 1; i < INSTANCES; i++) actor_kill(&instances[i]);
    demo_fact(demo, "calls", CALLS);
    demo_fact(demo, "failed", failed);
    return failed == CALLS / INSTANCES;
}

// So many instances that the leader's checks find well.
static bool are_well(struct demo *demo, const void *context) {
    json_t *shown = demo_good(&demo->client, "registry/show", json_pack("{s:s}", "service", "greeter")), *instance;
    long long well = 0;
    size_t i;
    json_array_foreach(json_object_get(shown, "instances"), i, instance) well +=
        strcmp(native_text(instance, "health"), "passing") == 0;
    json_decref(shown);
    return well == *(const long long *)context;
}

static bool our_naming(struct demo *demo) {
    struct actor instances[INSTANCES];
    long long failed = 0, well = INSTANCES;
    start_instances(demo, instances);
    for (size_t i = 0; i < INSTANCES; i++)
        json_decref(demo_good(&demo->client, "registry/register",
                              json_pack("{s:s,s:s,s:b,s:s,s:i,s:i}", "service", "greeter", "address", instances[i].text,
                                        "permanent", 1, "check", "tcp", "interval_ms", 500, "failures", 1)));
    demo_until(demo, "all instances are well", are_well, &well);
    demo_say(demo, "three instances are registered; the leader checks them");
    demo_kill_leader(demo);
    actor_kill(&instances[0]);
    well--;
    demo_until(demo, "the dead instance is found", are_well, &well);
    demo_say(demo, "one dies (kill -9): the new leader's check finds out, and it is picked no more");
    for (unsigned i = 0; i < CALLS; i++) {
        json_t *picked = demo_good(&demo->client, "registry/pick",
                                   json_pack("{s:s,s:s}", "service", "greeter", "strategy", "round-robin"));
        failed += !is_greeted(native_text(picked, "address"));
        json_decref(picked);
    }
    for (size_t i = 1; i < INSTANCES; i++) actor_kill(&instances[i]);
    demo_fact(demo, "calls", CALLS);
    demo_fact(demo, "failed", failed);
    return failed == 0;
}

const struct demo_row demo_naming = {
    "naming",
    "an instance dies, and its address is called on and on",
    "a list of addresses in the configuration",
    "a registry with health checks: only what is well is picked",
    "parley service pick greeter    # or: parley template haproxy.tmpl haproxy.cfg --reload '...'",
    usual_naming,
    our_naming,
};
