// A configuration change: two values that belong together, three services that read them.
#include "cli/demo.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICES 3u
#define NEWEST 3 // version

static const char *const names[SERVICES] = {"A", "B", "C"};

// Values name what they belong to: "host-2" goes with "password-2".
static bool belong_together(const char *host, const char *password) {
    const char *one = strrchr(host, '-'), *other = strrchr(password, '-');
    return one != NULL && other != NULL && strcmp(one, other) == 0;
}

static void read_one_by_one(struct service *s) {
    char host[DEMO_TEXT], password[DEMO_TEXT];
    store_ask(s->store, host, "get", "host", 0, "");
    service_stall(s, DEMO_STALLS);
    store_ask(s->store, password, "get", "password", 0, "");
    service_report(s, "%s %s", host, password);
}

static void write_both(struct demo *demo, const char *number) {
    char answer[DEMO_TEXT], value[32];
    snprintf(value, sizeof value, "host-%s", number);
    store_ask(&demo->store, answer, "set", "host", 0, value);
    snprintf(value, sizeof value, "password-%s", number);
    store_ask(&demo->store, answer, "set", "password", 0, value);
}

static bool usual_config(struct demo *demo) {
    struct actor reading[SERVICES];
    long long mixed = 0;
    write_both(demo, "1");
    for (size_t i = 0; i < SERVICES; i++) {
        reading[i] = actor_start(demo, read_one_by_one, names[i], "", DEMO_STALLS);
        actor_stopped(&reading[i]);
    }
    write_both(demo, "2");
    demo_say(demo, "A, B and C have read the host when both are changed; then they read the password");
    for (size_t i = 0; i < SERVICES; i++) {
        char host[64] = "", password[64] = "";
        actor_continue(&reading[i]);
        sscanf(actor_hear(&reading[i]), "%63s %63s", host, password);
        mixed += !belong_together(host, password);
        actor_end(&reading[i]);
        demo_say(demo, "%s has %s with %s", names[i], host, password);
    }
    demo_fact(demo, "services", SERVICES);
    demo_fact(demo, "with_a_mixture", mixed);
    return mixed == SERVICES;
}

// Follows the namespace until it has the newest version; says each that it gets.
static void follow(struct service *s) {
    for (json_int_t revision = 0, version = 0; version < NEWEST;) {
        char problem[64];
        json_t *told =
            demo_ask(s->client, "config/watch",
                     json_pack("{s:s,s:I,s:i}", "name", "database", "revision", revision, "wait_ms", (int)DEMO_WAIT_MS),
                     DEMO_WAIT_MS, problem);
        if (problem[0] != 0) demo_fail("config/watch: %s", problem);
        json_t *items = json_object_get(told, "items");
        if (json_is_true(json_object_get(told, "changed"))) {
            revision = native_number(told, "revision");
            version = native_number(told, "version");
            service_report(s, "%lld %s %s", (long long)version, native_text(items, "host"),
                           native_text(items, "password"));
            service_stall(s, DEMO_STALLS);
            s->stall = 0; // once
        }
        json_decref(told);
    }
}

static void publish(struct demo *demo, const char *number) {
    char host[32], password[32];
    snprintf(host, sizeof host, "host-%s", number);
    snprintf(password, sizeof password, "password-%s", number);
    json_decref(
        demo_good(&demo->client, "config/publish",
                  json_pack("{s:s,s:{s:s,s:s}}", "name", "database", "items", "host", host, "password", password)));
}

static long long version_heard(struct actor *actor, long long *mixed) {
    long long version = 0;
    char host[64] = "", password[64] = "";
    sscanf(actor_hear(actor), "%lld %63s %63s", &version, host, password);
    *mixed += !belong_together(host, password);
    return version;
}

static bool our_config(struct demo *demo) {
    struct actor following[SERVICES];
    long long mixed = 0, newest = 0, back = 0;
    publish(demo, "1");
    for (size_t i = 0; i < SERVICES; i++)
        following[i] = actor_start(demo, follow, names[i], "", i == SERVICES - 1 ? DEMO_STALLS : 0);
    for (size_t i = 0; i < SERVICES; i++) version_heard(&following[i], &mixed);
    actor_stopped(&following[SERVICES - 1]);
    demo_say(demo, "A, B and C are told version 1, and watch; C is paused (SIGSTOP)");
    demo_kill_leader(demo);
    publish(demo, "2");
    publish(demo, "3");
    actor_continue(&following[SERVICES - 1]);
    for (size_t i = 0; i < SERVICES; i++) {
        for (long long version = 1, before = 0; version < NEWEST;) {
            before = version;
            version = version_heard(&following[i], &mixed);
            back += version <= before;
        }
        newest++;
        actor_end(&following[i]);
    }
    demo_say(demo, "versions 2 and 3 are published; C goes on, and is told the newest: all have version %d", NEWEST);
    demo_fact(demo, "services", SERVICES);
    demo_fact(demo, "with_a_mixture", mixed);
    demo_fact(demo, "went_back", back);
    demo_fact(demo, "have_the_newest", newest);
    return mixed == 0 && back == 0 && newest == SERVICES;
}

const struct demo_row demo_config = {
    "config",
    "two values change together; services have one old and one new",
    "read each value from a store, again and again",
    "versions of a namespace: all values in one step, and a watch that tells the newest",
    "parley config set database host=db2 password=... ; parley config watch database -- ./service",
    usual_config,
    our_config,
};
