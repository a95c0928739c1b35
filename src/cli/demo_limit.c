// Numbers: a limiter through a fail-over; ids that are given once.
#include "base/alloc.h"
#include "cli/demo.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIMIT 40
#define WINDOW_MS 60000
#define ASKED 60u // by each service
#define RUNS_MAX 10u
#define SERVICES 2u

static const char *const names[SERVICES] = {"A", "B"};

// ---- a limiter through a fail-over

static void call_by_counter(struct service *s) {
    char answer[DEMO_TEXT];
    long allowed = 0;
    for (unsigned i = 0; i < ASKED; i++) {
        store_ask(s->store, answer, "increment", "this-minute", 0, "");
        allowed += atoi(answer) <= LIMIT;
    }
    service_report(s, "%ld", allowed);
}

static long long calls_of_both(struct demo *demo, void (*run)(struct service *service)) {
    struct actor both[SERVICES];
    long long allowed = 0;
    for (size_t i = 0; i < SERVICES; i++) both[i] = actor_start(demo, run, names[i], "", 0);
    for (size_t i = 0; i < SERVICES; i++) {
        allowed += atoll(actor_hear(&both[i]));
        actor_end(&both[i]);
    }
    return allowed;
}

// The standby has what the store had written by then. Once more if that was all (the machine was slow).
static bool usual_limit(struct demo *demo) {
    char answer[DEMO_TEXT], name[32];
    long long first = 0, second = 0;
    for (unsigned i = 0; i < RUNS_MAX && first + second <= LIMIT; i++) {
        snprintf(name, sizeof name, "limit-%u.store", i);
        store_kill(demo);
        store_start(demo, name);
        store_ask(&demo->store, answer, "lazy", "-", 0, "");
        first = calls_of_both(demo, call_by_counter);
        store_kill(demo);
        store_start(demo, name);
        second = calls_of_both(demo, call_by_counter);
    }
    demo_say(demo, "A and B ask for %u calls each: %lld are allowed", ASKED, first);
    demo_say(demo, "the store dies (kill -9); its standby has the copy of a second ago");
    demo_say(demo, "A and B ask again, in the same minute: %lld are allowed", second);
    demo_fact(demo, "limit", LIMIT);
    demo_fact(demo, "allowed", first + second);
    return first + second > LIMIT;
}

static void call_by_limiter(struct service *s) {
    char problem[64];
    long allowed = 0;
    for (unsigned i = 0; i < ASKED; i++) {
        json_t *taken = demo_ask(s->client, "limiter/take",
                                 json_pack("{s:s,s:s,s:i,s:i}", "name", "calls", "algorithm", "sliding-window", "rate",
                                           LIMIT, "window_ms", WINDOW_MS),
                                 0, problem);
        if (problem[0] != 0) demo_fail("limiter/take: %s", problem);
        allowed += json_is_true(json_object_get(taken, "allowed"));
        json_decref(taken);
        if (i == 0 && strcmp(s->words, "tells when it has begun") == 0) service_report(s, "begun");
    }
    service_report(s, "%ld", allowed);
}

static bool our_limit(struct demo *demo) {
    struct actor both[SERVICES];
    long long allowed = 0;
    for (size_t i = 0; i < SERVICES; i++)
        both[i] = actor_start(demo, call_by_limiter, names[i], "tells when it has begun", 0);
    for (size_t i = 0; i < SERVICES; i++) actor_hear(&both[i]);
    demo_say(demo, "A and B ask for %u calls each", ASKED);
    demo_kill_leader(demo);
    for (size_t i = 0; i < SERVICES; i++) {
        allowed += atoll(actor_hear(&both[i]));
        actor_end(&both[i]);
    }
    long long again = calls_of_both(demo, call_by_limiter);
    demo_say(demo, "%lld are allowed; A and B ask again, in the same minute: %lld are allowed", allowed, again);
    demo_fact(demo, "limit", LIMIT);
    demo_fact(demo, "allowed", allowed + again);
    // An answer that was lost with its node has used its unit, and is asked for again: fewer may be allowed, never
    // more.
    return allowed + again <= LIMIT && allowed + again > 0;
}

const struct demo_row demo_limit = {
    "limit",
    "a limiter forgets in a fail-over what it has allowed",
    "count calls in a store whose standby is a second behind",
    "a limiter in the replicated log: what was allowed is on a majority of disks before the answer",
    "parley limit take calls --algorithm sliding-window --rate 40 --window 60000",
    usual_limit,
    our_limit,
};

// ---- ids

#define CLOCK_IDS 5000u // of each service
#define IDS 400u
#define IDS_AT_ONCE 20
#define INVOICES 10u

static uint64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static FILE *open_ids(const char *folder, const char *name, const char *mode) {
    char path[4200];
    snprintf(path, sizeof path, "%s/ids-%s", folder, name);
    FILE *file = fopen(path, mode);
    if (file == NULL) demo_fail("cannot open %s", path);
    return file;
}

// The time, a worker's number, a count. Both come from one image, so both are worker 1.
static void make_by_clock(struct service *s) {
    FILE *file = open_ids(s->folder, s->name, "we");
    uint64_t last_ms = 0, in_ms = 0;
    service_stall(s, DEMO_STALLS);
    for (unsigned i = 0; i < CLOCK_IDS;) {
        uint64_t ms = clock_ms();
        in_ms = ms == last_ms ? in_ms + 1 : 0;
        last_ms = ms;
        if (in_ms >= 256) continue; // this millisecond has no more
        fprintf(file, "%llu\n", (unsigned long long)(ms << 16 | 1u << 8 | in_ms));
        i++;
    }
    fclose(file);
}

static int compare(const void *a, const void *b) {
    unsigned long long one = *(const unsigned long long *)a, two = *(const unsigned long long *)b;
    return (one > two) - (one < two);
}

// Of both services' files.
static void count_ids(struct demo *demo, long long *count, long long *twice, long long *backward) {
    unsigned long long *ids = mem_alloc(SERVICES * CLOCK_IDS * sizeof *ids), id, before;
    size_t n = 0;
    *twice = *backward = 0;
    for (size_t i = 0; i < SERVICES; i++) {
        FILE *file = open_ids(demo->folder, names[i], "re");
        for (before = 0; n < (size_t)SERVICES * CLOCK_IDS && fscanf(file, "%llu", &id) == 1; before = id) {
            *backward += id <= before;
            ids[n++] = id;
        }
        fclose(file);
    }
    qsort(ids, n, sizeof *ids, compare);
    for (size_t i = 1; i < n; i++) *twice += ids[i] == ids[i - 1];
    *count = (long long)n;
    mem_free(ids);
}

static bool usual_ids(struct demo *demo) {
    long long count = 0, twice = 0, backward = 0;
    for (unsigned run = 0; run < RUNS_MAX && twice == 0; run++) { // they must run at the same time
        struct actor a = actor_start(demo, make_by_clock, "A", "", DEMO_STALLS),
                     b = actor_start(demo, make_by_clock, "B", "", DEMO_STALLS);
        actor_stopped(&a);
        actor_stopped(&b);
        actor_continue(&a);
        actor_continue(&b);
        actor_end(&a);
        actor_end(&b);
        count_ids(demo, &count, &twice, &backward);
    }
    demo_say(demo, "A and B were started from one image, with the same worker number, and make ids at the same time");
    demo_fact(demo, "ids", count);
    demo_fact(demo, "given_twice", twice);
    return twice > 0;
}

static void make_by_cluster(struct service *s) {
    FILE *file = open_ids(s->folder, s->name, "we");
    for (unsigned i = 0; i < IDS; i += IDS_AT_ONCE) {
        json_t *given = demo_good(s->client, "sequence/ids", json_pack("{s:i}", "count", IDS_AT_ONCE)), *id;
        size_t k;
        json_array_foreach(json_object_get(given, "ids"), k, id) fprintf(file, "%s\n", json_string_value(id));
        json_decref(given);
        if (i == 0) service_report(s, "begun");
    }
    fclose(file);
    // Each order gets an invoice number, whichever service comes first.
    for (unsigned i = 1; i <= INVOICES; i++) {
        char order[32];
        snprintf(order, sizeof order, "order-%u", i);
        json_t *given = demo_good(s->client, "sequence/next", json_pack("{s:s,s:s}", "name", "invoices", "key", order));
        service_report(s, "%lld", native_number(given, "first"));
        json_decref(given);
    }
}

static bool our_ids(struct demo *demo) {
    long long count, twice, backward, gaps = 0, numbers[SERVICES][INVOICES];
    bool given[INVOICES + 1] = {false}, same = true;
    struct actor both[SERVICES];
    for (size_t i = 0; i < SERVICES; i++) both[i] = actor_start(demo, make_by_cluster, names[i], "", 0);
    for (size_t i = 0; i < SERVICES; i++) actor_hear(&both[i]);
    demo_say(demo, "A and B take ids, %d at once", IDS_AT_ONCE);
    demo_kill_leader(demo);
    for (unsigned k = 0; k < INVOICES; k++)
        for (size_t i = 0; i < SERVICES; i++) numbers[i][k] = atoll(actor_hear(&both[i]));
    for (size_t i = 0; i < SERVICES; i++) actor_end(&both[i]);
    for (unsigned k = 0; k < INVOICES; k++) {
        same = same && numbers[0][k] == numbers[1][k];
        if (numbers[0][k] >= 1 && numbers[0][k] <= INVOICES) given[numbers[0][k]] = true;
    }
    for (unsigned k = 1; k <= INVOICES; k++) gaps += !given[k];
    count_ids(demo, &count, &twice, &backward);
    demo_say(demo, "both number the same %u orders: each order has one invoice number, and none is missing", INVOICES);
    demo_fact(demo, "ids", count);
    demo_fact(demo, "given_twice", twice);
    demo_fact(demo, "not_in_order", backward);
    demo_fact(demo, "invoices", INVOICES);
    demo_fact(demo, "numbers_missing", gaps);
    return count == SERVICES * IDS && twice == 0 && backward == 0 && gaps == 0 && same;
}

const struct demo_row demo_ids = {
    "ids",
    "two services make the same ids",
    "the clock, a worker's number from the configuration, and a count",
    "ids in the order of time from the cluster; invoice numbers without a gap, each under its order's key",
    "parley sequence next invoices --gapless --key order-17",
    usual_ids,
    our_ids,
};
