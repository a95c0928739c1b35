// `parley limit`: takes of rate limits and concurrency limits, and shows them.
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/native_client.h"
#include "cli/options.h"
#include "model/limiter/limiter.h"
#include "protocol/http/native.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXIT_REFUSED 75      // not allowed in the time given
#define BLIND_PAUSE_MS 1000u // before it is tried again when only a release helps: nobody tells of one

struct texts { // flags as given
    const char *server, *algorithm, *rate, *window, *burst, *cost, *ttl, *wait, *token, *used;
    bool json;
};

static void set(json_t *body, const char *name, uint64_t number) {
    json_object_set_new(body, name, json_integer((json_int_t)number));
}

static int print_decision(json_t *json, bool raw) {
    bool allowed = json_is_true(json_object_get(json, "allowed"));
    long long token = native_number(json, "token"), retry_ms = native_number(json, "retry_after_ms");
    int code = allowed ? 0 : EXIT_REFUSED;
    if (raw) {
        native_print(json);
        return code;
    }
    printf("%s: %lld of %lld remain", allowed ? "allowed" : "refused", native_number(json, "remaining"),
           native_number(json, "limit"));
    if (token != 0) printf(", token %lld", token);
    if (retry_ms != 0) printf(", again in %lld ms", retry_ms);
    printf("\n");
    json_decref(json);
    return code;
}

static void pause_ms(uint64_t ms) {
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000)};
    nanosleep(&pause, NULL);
}

// Asks again when the server said that it may be allowed; an even rate's turn is waited for too.
static int take(struct native_client *client, json_t *body, uint64_t wait_ms, bool raw) {
    uint64_t until_ms = native_now_ms() + wait_ms;
    for (;;) {
        json_t *json = native_ask(client, "limit", "limiter/take", json_deep_copy(body));
        if (json == NULL) {
            json_decref(body);
            return EXIT_FATAL;
        }
        bool allowed = json_is_true(json_object_get(json, "allowed"));
        uint64_t after_ms = (uint64_t)native_number(json, allowed ? "delay_ms" : "retry_after_ms");
        uint64_t now_ms = native_now_ms(), left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        if (!allowed && after_ms == 0) after_ms = left_ms < BLIND_PAUSE_MS ? left_ms : BLIND_PAUSE_MS;
        bool waits = left_ms > 0 && (allowed || after_ms <= left_ms);
        if (waits) pause_ms(after_ms);
        if (allowed || !waits) {
            json_decref(body);
            return print_decision(json, raw);
        }
        json_decref(json);
    }
}

static int take_main(const struct option_table *table, const struct texts *t, struct native_client *client,
                     const char *name) {
    uint64_t rate = 0, window_ms = 0, burst = 0, cost = 1, ttl_ms = 0, wait_ms = 0;
    const char *algorithm = t->algorithm != NULL ? t->algorithm : "token-bucket";
    bool permits = strcmp(algorithm, "concurrency") == 0;
    if (t->rate == NULL || !options_u64(t->rate, 1, LIMITER_UNITS_MAX, &rate))
        return options_wrong(table, "--rate of 1 to %u is wanted", LIMITER_UNITS_MAX);
    if (!permits) window_ms = 1000;
    if (!options_u64(t->window, 1, LIMITER_WINDOW_MS_MAX, &window_ms))
        return options_wrong(table, "--window is of 1 to %llu ms", LIMITER_WINDOW_MS_MAX);
    if (!options_u64(t->burst, 1, LIMITER_UNITS_MAX, &burst) || !options_u64(t->cost, 1, LIMITER_UNITS_MAX, &cost))
        return options_wrong(table, "--burst and --cost are of 1 to %u", LIMITER_UNITS_MAX);
    if (!options_u64(t->ttl, 1, LIMITER_TTL_MS_MAX, &ttl_ms) || (permits && ttl_ms == 0))
        return options_wrong(table, "--ttl is of 1 to %llu ms; concurrency wants one", LIMITER_TTL_MS_MAX);
    if (!options_u64(t->wait, 0, LIMITER_TTL_MS_MAX, &wait_ms))
        return options_wrong(table, "--wait is of 0 to %llu ms", LIMITER_TTL_MS_MAX);
    json_t *body = json_object();
    json_object_set_new(body, "name", json_string(name));
    json_object_set_new(body, "algorithm", json_string(algorithm));
    set(body, "rate", rate);
    set(body, "window_ms", window_ms);
    set(body, "burst", burst);
    set(body, "cost", cost);
    set(body, "ttl_ms", ttl_ms);
    return take(client, body, wait_ms, t->json);
}

static int release_main(const struct option_table *table, const struct texts *t, struct native_client *client,
                        const char *name) {
    uint64_t token = 0, used = 0;
    if (t->token == NULL || !options_u64(t->token, 1, INT64_MAX, &token) ||
        !options_u64(t->used, 0, LIMITER_UNITS_MAX, &used))
        return options_wrong(table, "release wants --token N, as `take` told it");
    json_t *body = json_object();
    json_object_set_new(body, "name", json_string(name));
    set(body, "token", token);
    set(body, "used", used);
    json_t *json = native_ask(client, "limit", "limiter/release", body);
    if (json == NULL) return EXIT_FATAL;
    if (t->json) return native_print(json);
    printf("given back: %lld of %lld remain\n", native_number(json, "remaining"), native_number(json, "limit"));
    json_decref(json);
    return 0;
}

static void print_limit(const json_t *one) {
    printf("%-40s %-15s %10lld %10lld %10lld\n", native_text(one, "name"), native_text(one, "algorithm"),
           native_number(one, "limit"), native_number(one, "used"), native_number(one, "remaining"));
}

static int show(struct native_client *client, const char *name, bool raw) {
    json_t *body = json_object(), *one;
    if (name != NULL) json_object_set_new(body, "name", json_string(name));
    json_t *json = native_ask(client, "limit", name != NULL ? "limiter/show" : "limiter/list", body);
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("%-40s %-15s %10s %10s %10s\n", "NAME", "ALGORITHM", "LIMIT", "USED", "REMAIN");
    if (name != NULL) print_limit(json);
    json_array_foreach(json_object_get(json, "limits"), i, one) {
        print_limit(one);
    }
    json_array_foreach(json_object_get(json, "out"), i, one) {
        if (i == 0) printf("\n%-8s %20s %12s %10s %12s\n", "OUT", "TOKEN", "SESSION", "UNITS", "ENDS IN MS");
        printf("%-8s %20lld %12lld %10lld %12lld\n", json_is_true(json_object_get(one, "lease")) ? "lease" : "permit",
               native_number(one, "token"), native_number(one, "session"), native_number(one, "units"),
               native_number(one, "due_in_ms"));
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static int dispatch(const struct option_table *table, const struct texts *t, char **arguments, size_t count) {
    struct native_client client;
    char error[512];
    const char *verb = arguments[0];
    if (!native_client_init(&client, t->server, error)) return options_wrong(table, "--server: %s", error);
    if (strcmp(verb, "take") == 0 && count == 2) return take_main(table, t, &client, arguments[1]);
    if (strcmp(verb, "release") == 0 && count == 2) return release_main(table, t, &client, arguments[1]);
    if (strcmp(verb, "show") == 0 && count == 2) return show(&client, arguments[1], t->json);
    if (strcmp(verb, "list") == 0 && count == 1) return show(&client, NULL, t->json);
    return options_wrong(table, "wanted: take NAME, release NAME, show NAME or list");
}

int limit_main(int argc, char **argv) {
    struct texts t = {.server = "localhost:7450"};
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &t.server, NULL},
        {"algorithm", 0, "NAME",
         "fixed-window, sliding-window, leaky-bucket, token-bucket or concurrency [token-bucket]", &t.algorithm, NULL},
        {"rate", 0, "N", "units in each window; concurrency: at once", &t.rate, NULL},
        {"window", 0, "MS", "[1000]", &t.window, NULL},
        {"burst", 0, "N", "buckets: what may go at once [as --rate]", &t.burst, NULL},
        {"cost", 0, "N", "units that this takes [1]", &t.cost, NULL},
        {"ttl", 0, "MS", "concurrency: the permit ends so long after", &t.ttl, NULL},
        {"wait", 0, "MS", "waits so long until it is allowed [0]", &t.wait, NULL},
        {"token", 0, "N", "release: of the permit", &t.token, NULL},
        {"used", 0, "N", "release of a lease: so many units were used [0]", &t.used, NULL},
        {"json", 0, NULL, "JSON", NULL, &t.json}};
    const struct option_table table = {
        "limit",
        "parley limit take NAME --rate N [FLAGS] | release NAME --token N | show NAME | list",
        "Asks a rate limit or a concurrency limit. The exit code is 0 when it is allowed, 75 when it is not. After an\n"
        "answer that was lost the units may have been taken twice, never too few.",
        rows,
        sizeof rows / sizeof rows[0],
        1,
        2};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0) code = dispatch(&table, &t, arguments, count);
    mem_free(arguments);
    return code;
}
