// Limits over HTTP: rates of each algorithm, blocks of units to give out without asking, and permits, with a session or
// with a time to live. What must hold, whatever fails, a new leader too:
//
//   what was allowed, and what was given out of blocks, in any stretch of time is at most what the algorithm allows in
//   the longest log time that it may have taken
//   no more permits are out, among those who were told that they hold one, than there are
//   a permit or a block lasts its time; tokens grow; who is refused is told that there was less than he asked for
//   an ended session holds no permit
#include "model/limiter/limiter.h"
#include "sim/native.h"
#include <stdio.h>
#include <string.h>

enum { ASKED_TAKE = NATIVE_FIRST, ASKED_LEASE, ASKED_RELEASE, ASKED_RENEW };

static const struct {
    const char *name, *algorithm;
    uint32_t rate, burst, window_ms; // window_ms 0: permits
    enum limiter_algorithm kind;
} kinds[] = {{"w0", "sliding-window", 6, 0, 3000, LIMITER_SLIDING_WINDOW},
             {"w1", "sliding-window", 3, 0, 700, LIMITER_SLIDING_WINDOW},
             {"f0", "fixed-window", 4, 0, 1500, LIMITER_FIXED_WINDOW},
             {"t0", "token-bucket", 2, 7, 1000, LIMITER_TOKEN_BUCKET},
             {"k0", "leaky-bucket", 3, 0, 1000, LIMITER_LEAKY_BUCKET},
             {"c0", "concurrency", 2, 0, 0, LIMITER_CONCURRENCY},
             {"c1", "concurrency", 5, 0, 0, LIMITER_CONCURRENCY}};
#define LIMITS 7u
#define LONG_US 8000000u // what is older than this is not looked at again

struct use { // of units, somewhen between the two
    uint64_t from_us, to_us;
    uint32_t units, native;
};
struct permit { // as clients were told: from when on, and until when it surely lives
    uint64_t token, first_us, last_us;
    uint32_t units, native;
};
struct uses {
    struct use *at;
    size_t count, capacity, first; // first: those before are too old
};
struct permits {
    struct permit *at;
    size_t count, capacity;
};
struct limits { // of the run
    struct uses uses[LIMITS];
    struct permits permits[LIMITS];
    uint64_t newest; // token
};
struct slot { // a permit, or a block
    bool held, releasing;
    uint64_t token, ttl_ms, until_us, sure_us; // ttl_ms 0: with the session. sure_us: until when it cannot be over
    uint32_t units, used;
    size_t at; // of a permit
};
struct taker { // of one native client
    struct slot slots[LIMITS];
    // Of the request under way:
    uint32_t limit, units;
    uint64_t floor, ttl_ms, sure_us;
};

static bool has_permits(uint32_t limit) {
    return kinds[limit].window_ms == 0;
}

// ---- how much was used

// What a limit may allow while so long passes. Leaders' clocks make the log's time, and may run fast by some percent.
static uint64_t allowed_in(uint32_t limit, uint64_t us) {
    uint64_t ms = us / 900 + 2, rate = kinds[limit].rate, window_ms = kinds[limit].window_ms;
    switch (kinds[limit].kind) {
    case LIMITER_FIXED_WINDOW:
        return rate * (ms / window_ms + 2);
    case LIMITER_SLIDING_WINDOW:
        return rate * (ms / window_ms + 1);
    default:
        return (kinds[limit].burst > 0 ? kinds[limit].burst : rate) + rate * ms / window_ms + 1;
    }
}

static void check_stretch(struct native_line *line, uint32_t limit, uint64_t from_us, uint64_t to_us) {
    const struct uses *uses = &((struct limits *)line->shared)->uses[limit];
    uint64_t sum = 0, allowed = allowed_in(limit, to_us - from_us);
    for (size_t i = uses->first; i < uses->count; i++)
        if (uses->at[i].from_us >= from_us && uses->at[i].to_us <= to_us) sum += uses->at[i].units;
    if (sum > allowed)
        world_fail(&line->native->sim->world,
                   "limit %s: %llu units were used between %llu us and %llu us, and %llu are allowed in that time",
                   kinds[limit].name, (unsigned long long)sum, (unsigned long long)from_us, (unsigned long long)to_us,
                   (unsigned long long)allowed);
}

static void used(struct native_line *line, uint32_t limit, uint64_t from_us, uint64_t to_us, uint32_t units) {
    struct uses *uses = &((struct limits *)line->shared)->uses[limit];
    uses->at = native_grow(uses->at, &uses->capacity, uses->count, sizeof *uses->at);
    uses->at[uses->count++] = (struct use){from_us, to_us, units, line->native->number};
    while (uses->at[uses->first].to_us + LONG_US < native_now_us(line->native) && uses->first + 1 < uses->count)
        uses->first++;
    for (size_t end = uses->first; end < uses->count; end++) {
        if (uses->at[end].to_us < to_us) continue;
        for (size_t begin = uses->first; begin < uses->count; begin++)
            if (uses->at[begin].from_us <= from_us)
                check_stretch(line, limit, uses->at[begin].from_us, uses->at[end].to_us);
    }
}

// ---- how many permits are out

// Whoever has an older token and lives when this one is told held it when this one was granted.
static void check_moment(struct native_line *line, uint32_t limit, const struct permit *permit) {
    const struct permits *all = &((struct limits *)line->shared)->permits[limit];
    uint64_t out = permit->units;
    for (size_t i = 0; i < all->count; i++)
        if (all->at[i].token < permit->token && all->at[i].last_us >= permit->first_us) out += all->at[i].units;
    if (out > kinds[limit].rate)
        world_fail(&line->native->sim->world, "limit %s: %llu permits are out at %llu us, when h%u gets token %llu",
                   kinds[limit].name, (unsigned long long)out, (unsigned long long)permit->first_us, permit->native,
                   (unsigned long long)permit->token);
}

// The permit is new, or lives for longer than was known.
static void check_permit(struct native_line *line, uint32_t limit, const struct permit *permit) {
    const struct permits *all = &((struct limits *)line->shared)->permits[limit];
    check_moment(line, limit, permit);
    for (size_t i = 0; i < all->count; i++)
        if (all->at[i].token > permit->token && all->at[i].first_us <= permit->last_us)
            check_moment(line, limit, &all->at[i]);
}

static struct permit *permit_of(struct native_line *line, uint32_t limit) {
    return &((struct limits *)line->shared)->permits[limit].at[((struct taker *)line->state)->slots[limit].at];
}

static void let_go(struct native_line *line, uint32_t limit) { // from now on it does not rely on it
    struct slot *slot = &((struct taker *)line->state)->slots[limit];
    uint64_t now = native_now_us(line->native);
    if (slot->held && has_permits(limit) && permit_of(line, limit)->last_us > now)
        permit_of(line, limit)->last_us = now;
    slot->held = false;
}

static void heard(struct native_line *line, uint64_t sent_us) {
    struct taker *taker = line->state;
    for (uint32_t i = 0; i < LIMITS; i++) {
        if (!taker->slots[i].held || taker->slots[i].ttl_ms != 0 || sent_us <= permit_of(line, i)->last_us) continue;
        permit_of(line, i)->last_us = sent_us;
        check_permit(line, i, permit_of(line, i));
    }
}

static void session_over(struct native_line *line) {
    struct taker *taker = line->state;
    for (uint32_t i = 0; i < LIMITS; i++) {
        if (taker->slots[i].token == 0 || taker->slots[i].ttl_ms != 0) continue;
        let_go(line, i);
        taker->slots[i] = (struct slot){0};
    }
}

static void died(struct native_line *line) {
    memset(line->state, 0, sizeof(struct taker));
}

// ---- answers

static uint64_t sure_until(const struct native_line *line, uint64_t ttl_ms) {
    return line->asked_us + ttl_ms * 900;
}

static void granted(struct native_line *line, uint64_t token, uint32_t units) {
    struct taker *taker = line->state;
    struct limits *limits = line->shared;
    struct native *native = line->native;
    struct slot *slot = &taker->slots[taker->limit];
    uint64_t sent_us = native_sent_us(line);
    if (token <= taker->floor)
        world_fail(&native->sim->world, "limit %s: h%u got token %llu, and %llu was known when it asked",
                   kinds[taker->limit].name, native->number, (unsigned long long)token,
                   (unsigned long long)taker->floor);
    if (token > limits->newest) limits->newest = token;
    *slot = (struct slot){.held = true,
                          .token = token,
                          .ttl_ms = taker->ttl_ms,
                          .until_us = native_now_us(native) + native_draw(native, 2500000),
                          .sure_us = sure_until(line, taker->ttl_ms),
                          .units = units};
    if (!has_permits(taker->limit)) return;
    struct permits *all = &limits->permits[taker->limit];
    slot->at = all->count;
    all->at = native_grow(all->at, &all->capacity, all->count, sizeof *all->at);
    all->at[all->count++] =
        (struct permit){token, sent_us, slot->ttl_ms == 0 ? sent_us : slot->sure_us, units, native->number};
    check_permit(line, taker->limit, permit_of(line, taker->limit));
}

static void taken(struct native_line *line, unsigned asked, const char *body) {
    struct taker *taker = line->state;
    uint64_t units = asked == ASKED_LEASE ? native_number_of(body, "units") : taker->units;
    bool allowed = native_says(body, "allowed");
    if (!allowed && asked == ASKED_TAKE && native_number_of(body, "remaining") >= taker->units)
        world_fail(&line->native->sim->world, "limit %s: h%u was refused %u units: %s", kinds[taker->limit].name,
                   line->native->number, taker->units, body);
    if (!allowed) return;
    if (units == 0 || units > taker->units)
        world_fail(&line->native->sim->world, "limit %s: h%u asked for %u units: %s", kinds[taker->limit].name,
                   line->native->number, taker->units, body);
    if (asked == ASKED_LEASE || has_permits(taker->limit))
        granted(line, native_number_of(body, "token"), (uint32_t)units);
    else
        used(line, taker->limit, line->asked_us, native_sent_us(line), (uint32_t)units);
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct taker *taker = line->state;
    struct slot *slot = &taker->slots[taker->limit];
    if (!line->unbound) heard(line, native_sent_us(line));
    if (asked == ASKED_TAKE || asked == ASKED_LEASE) taken(line, asked, body);
    if (asked == ASKED_RELEASE) *slot = (struct slot){0};
    if (asked != ASKED_RENEW || !slot->held) return;
    slot->sure_us = sure_until(line, slot->ttl_ms);
    if (!has_permits(taker->limit)) return;
    permit_of(line, taker->limit)->last_us = slot->sure_us;
    check_permit(line, taker->limit, permit_of(line, taker->limit));
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    struct taker *taker = line->state;
    struct slot *slot = &taker->slots[taker->limit];
    if (asked != ASKED_RELEASE && asked != ASKED_RENEW) return false;
    if (native_sent_us(line) < taker->sure_us)
        world_fail(&line->native->sim->world,
                   "limit %s: what h%u has (token %llu) is over at %llu us, and its time lasts to %llu us",
                   kinds[taker->limit].name, line->native->number, (unsigned long long)slot->token,
                   (unsigned long long)native_sent_us(line), (unsigned long long)taker->sure_us);
    let_go(line, taker->limit);
    *slot = (struct slot){0};
    return native_is_error(body, "not-held");
}

// ---- requests

static void ask_held(struct native_line *line, unsigned asked) {
    struct taker *taker = line->state;
    struct slot *slot = &taker->slots[taker->limit];
    char session[96] = "";
    if (slot->ttl_ms == 0) snprintf(session, sizeof session, ",\"session\":\"%s\"", line->native->session);
    // Of what was released and not answered, nobody knows whether it is over.
    taker->sure_us = slot->releasing || slot->ttl_ms == 0 ? 0 : slot->sure_us;
    if (asked == ASKED_RELEASE) {
        let_go(line, taker->limit);
        slot->releasing = true;
        native_request(line, asked, 0, "limiter/release", "{\"name\":\"%s\",\"token\":%llu,\"used\":%u%s}",
                       kinds[taker->limit].name, (unsigned long long)slot->token,
                       has_permits(taker->limit) ? 0 : slot->used, session);
    } else {
        native_request(line, asked, 0, "limiter/renew", "{\"name\":\"%s\",\"token\":%llu,\"ttl_ms\":%llu}",
                       kinds[taker->limit].name, (unsigned long long)slot->token, (unsigned long long)slot->ttl_ms);
    }
    line->unbound = slot->ttl_ms != 0;
}

static void ask_new(struct native_line *line) {
    struct taker *taker = line->state;
    struct native *native = line->native;
    uint32_t limit = taker->limit;
    bool permits = has_permits(limit);
    bool lease = !permits && kinds[limit].kind != LIMITER_LEAKY_BUCKET && native_draw(native, 4) == 0;
    char rest[160] = "";
    taker->units = 1 + (uint32_t)native_draw(native, kinds[limit].rate / 2 + 1);
    taker->floor = ((struct limits *)line->shared)->newest;
    taker->ttl_ms = lease || (permits && native_draw(native, 2)) ? 500 + native_draw(native, 3000) : 0;
    if (!permits)
        snprintf(rest, sizeof rest, ",\"window_ms\":%u,\"burst\":%u", kinds[limit].window_ms, kinds[limit].burst);
    else if (taker->ttl_ms == 0)
        snprintf(rest, sizeof rest, ",\"session\":\"%s\"", native->session);
    native_request(line, lease ? ASKED_LEASE : ASKED_TAKE, 0, lease ? "limiter/lease" : "limiter/take",
                   "{\"name\":\"%s\",\"algorithm\":\"%s\",\"rate\":%u,\"%s\":%u,\"ttl_ms\":%llu%s}", kinds[limit].name,
                   kinds[limit].algorithm, kinds[limit].rate, lease ? "units" : "cost", taker->units,
                   (unsigned long long)taker->ttl_ms, rest);
    line->leaves = lease || permits;
    line->unbound = !permits || taker->ttl_ms != 0;
}

// Out of a block, while it surely lasts, without asking anybody.
static void give_out(struct native_line *line, uint32_t limit) {
    struct slot *slot = &((struct taker *)line->state)->slots[limit];
    uint64_t now = native_now_us(line->native);
    if (!slot->held || has_permits(limit) || now >= slot->sure_us || slot->used == slot->units) return;
    uint32_t units = 1 + (uint32_t)native_draw(line->native, slot->units - slot->used);
    slot->used += units;
    used(line, limit, now, now, units);
}

static void step(struct native_line *line) {
    struct native *native = line->native;
    struct taker *taker = line->state;
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    uint32_t limit = taker->limit = (uint32_t)native_draw(native, LIMITS);
    struct slot *slot = &taker->slots[limit];
    for (uint32_t i = 0; i < LIMITS; i++)
        if (native_draw(native, 4) == 0) give_out(line, i);
    if (slot->token == 0)
        ask_new(line);
    else if (slot->releasing || native_now_us(native) >= slot->until_us)
        ask_held(line, ASKED_RELEASE);
    else if (slot->ttl_ms != 0)
        ask_held(line, ASKED_RENEW);
    else
        slot->until_us = 0; // given back when it is drawn again
}

// ---- life

static void *open_limits(struct sim *sim) {
    return mem_zalloc(sizeof(struct limits));
}
static void close_limits(void *shared) {
    struct limits *limits = shared;
    for (uint32_t i = 0; i < LIMITS; i++) {
        mem_free(limits->uses[i].at);
        mem_free(limits->permits[i].at);
    }
    mem_free(limits);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct taker));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

static void check_hold(void *context, const struct limiter_hold_info *hold) {
    struct sim *sim = context;
    const struct history_session *session = history_session(&sim->history, hold->session);
    if (!hold->lease && hold->session != 0 && (session == NULL || session->ended_index != 0))
        world_fail(&sim->world, "session %llu has ended, and its permit %llu is left",
                   (unsigned long long)hold->session, (unsigned long long)hold->token);
}

static void check(struct sim *sim, void *shared) {
    struct result result;
    for (uint32_t i = 0; i < LIMITS; i++) {
        struct limiter_query query = {
            .name = bytes_of_text(kinds[i].name), .max = SIZE_MAX, .hold = check_hold, .context = sim};
        machine_query(sim->history.machine, MODEL_LIMITER, &query, &result);
    }
}

const struct native_workload native_workload_limiter = {.name = "limiter",
                                                        .open = open_limits,
                                                        .close = close_limits,
                                                        .begin = begin,
                                                        .end = end,
                                                        .step = step,
                                                        .answer = answer,
                                                        .refused = refused,
                                                        .heard = heard,
                                                        .session_over = session_over,
                                                        .died = died,
                                                        .check = check};
