// Health checks of registered instances (model/registry). They are run by the node that leads, on its service loop: who
// is checked and when (checks.c), one look (checks_probe.c). Soft state: a new leader begins anew. Only a change of an
// instance's health becomes an entry; it names the registration and the leader's term, so what a deposed leader found
// out is void behind what its successor has reported.
#pragma once
#include "base/heap.h"
#include "base/list.h"
#include "model/registry/registry.h"
#include "node/internal.h"

#define CHECKS_UNDER_WAY_MAX 256u   // at once; the others are late, in the order in which they were due
#define CHECKS_REPEAT_MS 5000u      // a report that has not shown by then is made again
#define PROBE_ANSWER_BYTES_MAX 256u // of which the status line is wanted

struct check;
struct probe {        // one look at an instance
    struct list link; // of those under way
    struct check *check;
    void *pending; // connects
    struct io_conn *conn;
    uint64_t until_ms; // NO_DEADLINE: none is under way
    size_t len;
    char answer[PROBE_ANSWER_BYTES_MAX];
};

struct check {
    struct hash_node by_name; // service 0 id
    struct list all;
    struct heap_item due;
    struct checks *checks;
    struct probe probe;
    uint64_t registration, interval_ms, timeout_ms, number;
    uint32_t failures, successes, streak;
    bool passed; // the last look
    bool http;
    enum registry_health health;   // as applied here
    enum registry_health reported; // UNKNOWN: nothing is on its way
    uint64_t reported_ms;
    struct bytes service, id, address, path; // in text
    uint8_t text[];
};

struct checks {
    struct service *service;
    struct client *client; // that reports; NULL: none yet
    bool running;          // this node leads
    uint64_t term, epoch, number;
    struct hash by_name;
    struct list all, probes;
    struct heap due;
    size_t under_way;
};

// checks_probe.c: looks once; checks_seen is called when it is over
void probe_begin(struct probe *probe, uint64_t now_ms);
void probe_end(struct probe *probe);                   // nobody is told
void probe_tick(struct probe *probe, uint64_t now_ms); // its time may be over
// checks.c
void checks_seen(struct check *check, bool passes, const char *words);
