// A double barrier: all clients enter it under their sessions, stay inside for a while, and leave; some die inside.
// What must hold, whatever fails:
//
//   a round begins when as many clients as it has may be in it: each has asked to enter, and its session had not ended
//   before; no more are told that they are in it; rounds grow
//   a round is over when each who was told that he is in it has asked to leave, or his session has ended; so it is when
//   the next round begins
//   who is inside is told the same round when he asks again
//   an ended session has no place
#include "model/barrier/barrier.h"
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASKED_ENTER = NATIVE_FIRST, ASKED_AGAIN, ASKED_LEAVE };
enum place { OUTSIDE, INSIDE, LEAVING }; // LEAVING: it has asked to, and may not know of it

#define NAME "b"
#define ENTER_MS 4000u

struct claim {               // a client's wish to enter, until it knows what became of it
    uint64_t session, round; // round 0: none (yet)
    uint64_t committed;      // what was known to be committed when it asked first
    uint32_t native;
    bool open, left; // open: it may be in any round by now. left: has asked to leave
};
struct barriers { // of the run
    unsigned size;
    uint64_t round; // the newest that anybody was told
    struct claim *claims;
    size_t count, capacity; // from 1 on
};
struct visitor { // of one client
    enum place place;
    size_t claim; // 0: none
    uint64_t until_us;
    uint64_t known; // the newest round when it asked first
};

static struct claim *claim_of(struct native_line *line) {
    return &((struct barriers *)line->shared)->claims[((struct visitor *)line->state)->claim];
}

static uint64_t ended_at(struct sim *sim, uint64_t session) { // 0: it lives
    const struct history_session *known = history_session(&sim->history, session);
    return known == NULL ? 0 : known->ended_index;
}

// ---- rounds

// Of all who asked to enter, those who may be in this one, of which a client was told whose wish is `told`.
static void check_all_are_there(struct native_line *line, const struct claim *told) {
    const struct barriers *all = line->shared;
    struct sim *sim = line->native->sim;
    unsigned in = 0, maybe = 0;
    for (size_t i = 1; i <= all->count; i++) {
        const struct claim *claim = &all->claims[i];
        uint64_t ended = ended_at(sim, claim->session);
        in += claim->round == told->round;
        maybe += claim->open && (ended == 0 || ended > told->committed);
    }
    if (in > all->size || in + maybe < all->size)
        world_fail(&sim->world, "barrier: round %llu is of %u, and %u were told that they are in it, %u more may be",
                   (unsigned long long)told->round, all->size, in, maybe);
}

static void check_is_over(struct native_line *line, uint64_t round, const char *why) {
    const struct barriers *all = line->shared;
    struct sim *sim = line->native->sim;
    for (size_t i = 1; i <= all->count; i++) {
        const struct claim *claim = &all->claims[i];
        if (claim->round != round || claim->left || ended_at(sim, claim->session) != 0) continue;
        world_fail(&sim->world, "barrier: h%u is told that %s, and h%u is inside of round %llu", line->native->number,
                   why, claim->native, (unsigned long long)round);
    }
}

static void entered(struct native_line *line, uint64_t round) {
    struct barriers *all = line->shared;
    struct visitor *visitor = line->state;
    struct claim *claim = claim_of(line);
    struct native *native = line->native;
    if (round <= visitor->known)
        world_fail(&native->sim->world, "barrier: h%u is in round %llu, and %llu was known when it asked",
                   native->number, (unsigned long long)round, (unsigned long long)visitor->known);
    claim->round = round;
    claim->open = false;
    visitor->place = INSIDE;
    visitor->until_us = native_now_us(native) + native_draw(native, 1000000);
    check_all_are_there(line, claim);
    if (all->round != 0 && round > all->round) check_is_over(line, all->round, "the next round begins");
    if (round > all->round) all->round = round;
}

// ---- answers

static void forget(struct native_line *line) {
    *(struct visitor *)line->state = (struct visitor){.place = OUTSIDE};
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct visitor *visitor = line->state;
    uint64_t round = native_number_of(body, "round");
    if (asked == ASKED_ENTER) entered(line, round);
    if (asked == ASKED_AGAIN && round != claim_of(line)->round)
        world_fail(&line->native->sim->world, "barrier: h%u is inside of round %llu, and is told that it is in %llu",
                   line->native->number, (unsigned long long)claim_of(line)->round, (unsigned long long)round);
    if (asked != ASKED_LEAVE) return;
    bool over = native_says(body, "over");
    if (over) check_is_over(line, claim_of(line)->round, "all have left");
    if (over || native_draw(line->native, 2)) *visitor = (struct visitor){.place = OUTSIDE};
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    if (asked != ASKED_ENTER || !(native_is_error(body, "busy") || native_is_error(body, "timed-out"))) return false;
    claim_of(line)->open = false;
    forget(line);
    return true;
}

// ---- requests

static void enter(struct native_line *line, unsigned asked) {
    struct native *native = line->native;
    const struct barriers *all = line->shared;
    unsigned wait_ms = native_draw(native, 4) == 0 ? 0 : (unsigned)native_draw(native, ENTER_MS);
    // Who waits already waits as long as it first said.
    native_request(line, asked, ENTER_MS * 1000ull, "barrier/enter",
                   "{\"name\":\"" NAME "\",\"member\":\"h%u\",\"session\":\"%s\",\"members\":%u,\"wait_ms\":%u}",
                   native->number, native->session, all->size, wait_ms);
    line->leaves = asked == ASKED_ENTER;
}

static void step(struct native_line *line) {
    struct native *native = line->native;
    struct barriers *all = line->shared;
    struct visitor *visitor = line->state;
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    if (visitor->place == OUTSIDE) {
        if (visitor->claim == 0) {
            visitor->claim = ++all->count;
            visitor->known = all->round;
            all->claims = native_grow(all->claims, &all->capacity, all->count, sizeof *all->claims);
            *claim_of(line) = (struct claim){.session = strtoull(native->session, NULL, 10),
                                             .committed = native->sim->history.last,
                                             .native = native->number,
                                             .open = true};
        }
        enter(line, ASKED_ENTER);
    } else if (visitor->place == INSIDE && native_now_us(native) < visitor->until_us) {
        if (native_draw(native, 3) == 0) enter(line, ASKED_AGAIN);
    } else {
        unsigned wait_ms = native_draw(native, 3) == 0 ? 0 : (unsigned)native_draw(native, 3000);
        visitor->place = LEAVING;
        claim_of(line)->left = true;
        native_request(line, ASKED_LEAVE, wait_ms * 1000ull, "barrier/leave",
                       "{\"name\":\"" NAME "\",\"member\":\"h%u\",\"session\":\"%s\",\"round\":%llu,\"wait_ms\":%u}",
                       native->number, native->session, (unsigned long long)claim_of(line)->round, wait_ms);
    }
}

// ---- life

static void *open_barriers(struct sim *sim) {
    struct barriers *all = mem_zalloc(sizeof *all);
    all->size = 2 + (unsigned)(sim->world.options.seed % (sim->native_count - 1));
    return all;
}
static void close_barriers(void *shared) {
    mem_free(((struct barriers *)shared)->claims);
    mem_free(shared);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct visitor));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

static void ignore_barrier(void *context, const struct barrier_info *info) {}
static void check_place(void *context, const struct barrier_place_info *info) {
    struct sim *sim = context;
    const struct history_session *session = history_session(&sim->history, info->session);
    if (session == NULL || session->ended_index != 0)
        world_fail(&sim->world, "session %llu has ended, and its place in a barrier is left",
                   (unsigned long long)info->session);
}

static void check(struct sim *sim, void *shared) {
    struct barrier_query query = {.page = {.name = bytes_of_text(NAME), .max = 1},
                                  .barrier = ignore_barrier,
                                  .place = check_place,
                                  .context = sim};
    struct result result;
    machine_query(sim->history.machine, MODEL_BARRIER, &query, &result);
}

const struct native_workload native_workload_barrier = {.name = "barrier",
                                                        .open = open_barriers,
                                                        .close = close_barriers,
                                                        .begin = begin,
                                                        .end = end,
                                                        .step = step,
                                                        .answer = answer,
                                                        .refused = refused,
                                                        .session_over = forget,
                                                        .died = forget,
                                                        .check = check};
