// Countdown latches: a client makes one, all count it down and wait for it, and in the end somebody may delete it. What
// must hold, whatever fails:
//
//   a latch is never told to be lower than it is by all that was asked, nor higher than by all that was told, so it
//   does not open early, opens for all, and stays open a request counts once, and whoever asks it again, wherever, gets
//   the same answer one that was deleted never comes back
#include "model/barrier/barrier.h"
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASKED_SET = NATIVE_FIRST, ASKED_DOWN, ASKED_WAIT, ASKED_DELETE };

#define NONE UINT64_MAX
#define IN_USE 2u // so many latches, the newest ones

struct latch {
    uint64_t from, asked, told; // asked, told: sums of what was to be counted
    bool set, open, deleting, deleted;
};
struct request {
    size_t latch;
    uint64_t by, high, answer; // high: what could be left at most when it was asked first. answer NONE: nobody knows it
};
struct latches { // of the run; both from 1 on
    struct latch *latches;
    size_t count, capacity;
    struct request *requests;
    size_t request_count, request_capacity;
};
struct counter {  // of one client
    size_t again; // a request that was lost; 0: none
    // Of the request under way:
    size_t latch, request;
    uint64_t high;
    bool deleted;
};

static struct latch *latch_at(struct native_line *line, size_t latch) {
    return &((struct latches *)line->shared)->latches[latch];
}
static struct request *request_at(struct native_line *line, size_t request) {
    return &((struct latches *)line->shared)->requests[request];
}
static uint64_t less(uint64_t from, uint64_t by) {
    return from > by ? from - by : 0;
}
static uint64_t high_of(const struct latch *latch) {
    return latch->open ? 0 : less(latch->from, latch->told);
}

// ---- answers

static void is_left(struct native_line *line, size_t number, uint64_t count, uint64_t high) {
    struct latch *latch = latch_at(line, number);
    uint64_t low = less(latch->from, latch->asked);
    if (count < low || count > high)
        world_fail(&line->native->sim->world,
                   "latch %zu (from %llu): h%u is told that %llu are left, and it is %llu to %llu", number,
                   (unsigned long long)latch->from, line->native->number, (unsigned long long)count,
                   (unsigned long long)low, (unsigned long long)high);
    if (count == 0) latch->open = true;
}

static void counted(struct native_line *line, uint64_t count) {
    struct counter *counter = line->state;
    struct request *request = request_at(line, counter->request);
    if (counter->again == counter->request) counter->again = 0;
    if (request->answer != NONE && request->answer != count)
        world_fail(&line->native->sim->world, "latch %zu: request %zu was answered %llu, and now %llu", counter->latch,
                   counter->request, (unsigned long long)request->answer, (unsigned long long)count);
    if (request->answer != NONE) return;
    request->answer = count;
    is_left(line, counter->latch, count, request->high);
    latch_at(line, counter->latch)->told += request->by;
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct counter *counter = line->state;
    struct latch *latch = latch_at(line, counter->latch);
    uint64_t count = native_number_of(body, "count");
    if (counter->deleted)
        world_fail(&line->native->sim->world, "latch %zu: it was deleted, and h%u is told: %s", counter->latch,
                   line->native->number, body);
    if (asked == ASKED_DOWN) counted(line, count);
    if (asked == ASKED_WAIT) is_left(line, counter->latch, count, counter->high);
    if (asked == ASKED_DELETE) latch->deleted = true;
    if (asked == ASKED_SET) latch->set = true;
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    struct counter *counter = line->state;
    if (asked == ASKED_SET || !latch_at(line, counter->latch)->deleting) return false;
    if (asked == ASKED_DOWN && counter->again == counter->request) counter->again = 0;
    return native_is_error(body, "not-found");
}

static void lost(struct native_line *line, unsigned asked, bool done) {
    struct counter *counter = line->state;
    if (asked == ASKED_SET) latch_at(line, counter->latch)->deleting = true; // another try might set it anew
    if (asked == ASKED_DOWN) counter->again = counter->request;
}

static void died(struct native_line *line) {
    memset(line->state, 0, sizeof(struct counter));
}

// ---- requests

static void make(struct native_line *line) {
    struct latches *all = line->shared;
    size_t number = ++all->count;
    all->latches = native_grow(all->latches, &all->capacity, number, sizeof *all->latches);
    all->latches[number].from = 1 + native_draw(line->native, 12);
    ((struct counter *)line->state)->latch = number;
    native_request(line, ASKED_SET, 0, "latch/set", "{\"name\":\"l%zu\",\"count\":%llu}", number,
                   (unsigned long long)all->latches[number].from);
}

static void count_down(struct native_line *line, size_t number) {
    struct counter *counter = line->state;
    const struct request *request = request_at(line, number);
    counter->request = number;
    counter->latch = request->latch;
    native_request(line, ASKED_DOWN, 0, "latch/count_down", "{\"name\":\"l%zu\",\"by\":%llu,\"request_id\":\"q%zu\"}",
                   request->latch, (unsigned long long)request->by, number);
}

static void new_request(struct native_line *line, size_t latch) {
    struct latches *all = line->shared;
    size_t number = ++all->request_count;
    all->requests = native_grow(all->requests, &all->request_capacity, number, sizeof *all->requests);
    all->requests[number] = (struct request){
        .latch = latch, .by = 1 + native_draw(line->native, 2), .high = high_of(latch_at(line, latch)), .answer = NONE};
    latch_at(line, latch)->asked += all->requests[number].by;
    count_down(line, number);
}

// A request of any time, by whomever, once more.
static void repeat(struct native_line *line) {
    const struct latches *all = line->shared;
    if (all->request_count == 0) return;
    size_t newest = native_draw(line->native, 2) && all->request_count > 8 ? 8 : all->request_count;
    count_down(line, all->request_count - (size_t)native_draw(line->native, newest));
}

static void wait_for(struct native_line *line, size_t number) {
    struct counter *counter = line->state;
    unsigned wait_ms = (unsigned)native_draw(line->native, 2500);
    counter->latch = number;
    counter->high = high_of(latch_at(line, number));
    native_request(line, ASKED_WAIT, wait_ms * 1000ull, "latch/wait", "{\"name\":\"l%zu\",\"wait_ms\":%u}", number,
                   wait_ms);
    line->leaves = true;
}

static void delete_it(struct native_line *line, size_t number) {
    ((struct counter *)line->state)->latch = number;
    latch_at(line, number)->deleting = true;
    native_request(line, ASKED_DELETE, 0, "latch/delete", "{\"name\":\"l%zu\"}", number);
}

static void step(struct native_line *line) {
    struct native *native = line->native;
    struct counter *counter = line->state;
    const struct latches *all = line->shared;
    size_t old = all->count - (size_t)native_draw(native, all->count < IN_USE ? all->count + 1 : IN_USE);
    uint64_t kind = native_draw(native, 20);
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    if (counter->again != 0)
        count_down(line, counter->again);
    else if (old == 0 || latch_at(line, old)->deleting || (latch_at(line, old)->open && kind < 10))
        make(line);
    else if (!latch_at(line, old)->set)
        return;
    else if (kind == 0)
        delete_it(line, old);
    else if (kind < 8)
        new_request(line, old);
    else if (kind < 11)
        repeat(line);
    else
        wait_for(line, old);
    counter->deleted = latch_at(line, counter->latch)->deleted;
    line->unbound = true;
}

// ---- life

static void *open_latches(struct sim *sim) {
    return mem_zalloc(sizeof(struct latches));
}
static void close_latches(void *shared) {
    struct latches *all = shared;
    mem_free(all->latches);
    mem_free(all->requests);
    mem_free(all);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct counter));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

static void keep(void *context, const struct latch_info *info) {
    *(uint64_t *)context = info->count;
}

static void check(struct sim *sim, void *shared) {
    const struct latches *all = shared;
    for (size_t i = 1; i <= all->count; i++) {
        const struct latch *latch = &all->latches[i];
        uint64_t count = NONE;
        char name[32];
        snprintf(name, sizeof name, "l%zu", i);
        struct barrier_query query = {
            .page = {.name = bytes_of_text(name), .max = 1}, .latch = keep, .context = &count};
        struct result result;
        machine_query(sim->history.machine, MODEL_BARRIER, &query, &result);
        bool there = count != NONE;
        if (there ? latch->deleted || count < less(latch->from, latch->asked) || count > high_of(latch)
                  : latch->set && !latch->deleting)
            world_fail(&sim->world, "latch %zu (from %llu): it %s at the end (%llu), and %llu to %llu were counted", i,
                       (unsigned long long)latch->from, there ? "is there" : "is gone", (unsigned long long)count,
                       (unsigned long long)latch->told, (unsigned long long)latch->asked);
    }
}

const struct native_workload native_workload_latch = {.name = "latch",
                                                      .open = open_latches,
                                                      .close = close_latches,
                                                      .begin = begin,
                                                      .end = end,
                                                      .step = step,
                                                      .answer = answer,
                                                      .refused = refused,
                                                      .lost = lost,
                                                      .died = died,
                                                      .check = check};
