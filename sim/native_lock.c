// Locks over HTTP: exclusive, shared and permits, singly and several at once, with a session or with a time to live.
// What must hold, whatever fails:
//
//   nobody is told that he lives, or that he holds a lock, once another was told that he holds it (unless both share
//   it, or there are permits for both); nobody gets a lock with a time to live before that is over or it was released
//   a grant's token is larger than every token that was known when it was asked for
//   who asked first is served first: of one lock, tokens are in the order of tickets (readers pass no writer)
//   a token is not valid any more once a newer one of the lock was told
//   several at once: all or none; an ended session holds and waits for nothing
#include "model/lock/lock.h"
#include "sim/native.h"
#include <stdio.h>
#include <string.h>

enum { ASKED_ACQUIRE = NATIVE_FIRST, ASKED_ALL, ASKED_RELEASE, ASKED_RENEW, ASKED_VERIFY };

static const struct {
    const char *name;
    uint32_t total; // 0: exclusive and shared
} kinds[] = {{"l0", 0}, {"l1", 0}, {"l2", 0}, {"p0", 2}, {"p1", 5}};
#define LOCKS 5u
#define PLAIN 3u // the first ones

struct grant {
    // As clients were told: when the bytes of the grant left, and the newest ones that said that it lives. With a time
    // to live: until when nobody else may get it.
    uint64_t token, ticket, first_us, last_us;
    uint32_t native, permits;
    bool shared, fresh; // fresh: its owner had not asked before, so the ticket shows its place
};
struct lock_grants {
    struct grant *grants;
    size_t count, capacity;
    uint64_t newest, newest_ticket;
};
struct locks { // of the run
    struct lock_grants locks[LOCKS];
};
struct slot {
    bool held, releasing; // releasing: asked for, and not known to be done
    // An acquire of this session, or of this owner without one, was lost: it may still come, wait, or hold.
    bool session_unsettled, owner_unsettled;
    char owner[24];                    // empty: the session's own
    uint64_t ttl_ms, delay_ms;         // ttl_ms 0: with the session
    uint64_t token, until_us, sure_us; // sure_us: with a time to live, until when it cannot be over
    size_t at;
};
struct holder { // of one native client
    struct slot slots[LOCKS];
    // Of the request under way. floor: the largest token that anybody knew. VERIFY: the token, and a newer one or 0
    uint64_t floor, token, tickets;
    uint32_t lock, permits, several; // several: ALL, one bit a lock
    bool shared, fresh, mine;
    uint64_t relied_us; // RENEW, VERIFY of its own: until when it relies on it
};

static struct lock_grants *grants_of(struct native_line *line, uint32_t lock) {
    return &((struct locks *)line->shared)->locks[lock];
}
static struct grant *grant_of(struct native_line *line, uint32_t lock) {
    return &grants_of(line, lock)->grants[((struct holder *)line->state)->slots[lock].at];
}
static bool both_may(const struct grant *a, const struct grant *b) {
    return a->shared && b->shared;
}

// ---- what was told together

// Whoever has an older token and lives when this one is told held it when this one was granted.
static void check_moment(struct world *world, uint32_t lock, const struct lock_grants *of, const struct grant *grant) {
    uint64_t taken = grant->permits;
    for (size_t k = 0; k < of->count; k++) {
        const struct grant *older = &of->grants[k];
        if (older->token >= grant->token || older->last_us < grant->first_us) continue;
        taken += older->permits;
        if (kinds[lock].total == 0 ? !both_may(older, grant) : taken > kinds[lock].total)
            world_fail(world,
                       "native lock %s is held twice: h%u (token %llu) still held it at %llu us; h%u got token %llu at "
                       "%llu us (%llu permits are out)",
                       kinds[lock].name, older->native, (unsigned long long)older->token,
                       (unsigned long long)older->last_us, grant->native, (unsigned long long)grant->token,
                       (unsigned long long)grant->first_us, (unsigned long long)taken);
    }
}

// The grant is new, or lives for longer than was known.
static void check_held(struct native_line *line, uint32_t lock, const struct grant *grant) {
    const struct lock_grants *of = grants_of(line, lock);
    check_moment(&line->native->sim->world, lock, of, grant);
    for (size_t k = 0; k < of->count; k++)
        if (of->grants[k].token > grant->token && of->grants[k].first_us <= grant->last_us)
            check_moment(&line->native->sim->world, lock, of, &of->grants[k]);
}

static void check_order(struct native_line *line, uint32_t lock, const struct grant *grant) {
    const struct lock_grants *of = grants_of(line, lock);
    for (size_t k = 0; k < of->count; k++) {
        const struct grant *other = &of->grants[k];
        const struct grant *first = other->ticket < grant->ticket ? other : grant;
        const struct grant *second = first == other ? grant : other;
        if (first->ticket == 0 || !second->fresh || first->token <= second->token) continue;
        world_fail(&line->native->sim->world,
                   "native lock %s: h%u asked first (ticket %llu, token %llu), and was served behind h%u (ticket %llu, "
                   "token %llu)",
                   kinds[lock].name, first->native, (unsigned long long)first->ticket, (unsigned long long)first->token,
                   second->native, (unsigned long long)second->ticket, (unsigned long long)second->token);
    }
}

// ---- what it believes

static void let_go(struct native_line *line, uint32_t lock) { // from now on it does not rely on it
    struct slot *slot = &((struct holder *)line->state)->slots[lock];
    struct grant *grant = slot->held ? grant_of(line, lock) : NULL;
    uint64_t now = native_now_us(line->native);
    slot->held = false;
    if (grant != NULL && grant->last_us > now) grant->last_us = now;
}

static void session_over(struct native_line *line) {
    struct holder *holder = line->state;
    for (uint32_t i = 0; i < LOCKS; i++) {
        holder->slots[i].session_unsettled = false;
        if (holder->slots[i].ttl_ms != 0) continue;
        let_go(line, i);
        holder->slots[i].releasing = false;
    }
}

static void died(struct native_line *line) {
    struct holder *holder = line->state;
    for (uint32_t i = 0; i < LOCKS; i++) holder->slots[i] = (struct slot){0};
}

// An answer says that its session lives.
static void heard(struct native_line *line, uint64_t sent_us) {
    struct holder *holder = line->state;
    for (uint32_t i = 0; i < LOCKS; i++) {
        if (!holder->slots[i].held || holder->slots[i].ttl_ms != 0) continue;
        struct grant *mine = grant_of(line, i);
        if (sent_us <= mine->last_us) continue;
        mine->last_us = sent_us;
        check_held(line, i, mine);
    }
}

// Nothing ends earlier by the cluster's time, which leaders' clocks make: they may run wrong by some percent.
static uint64_t relied_until(const struct native_line *line, uint64_t ms) {
    return line->asked_us + ms * 900;
}

static void hold(struct native_line *line, uint32_t lock, size_t at) {
    struct slot *slot = &((struct holder *)line->state)->slots[lock];
    slot->held = true;
    slot->at = at;
    slot->token = grant_of(line, lock)->token;
    slot->sure_us = relied_until(line, slot->ttl_ms);
    slot->until_us = native_now_us(line->native) + native_draw(line->native, 2000000);
}

static void granted(struct native_line *line, uint32_t lock, uint64_t token, uint64_t ticket, bool shared) {
    struct holder *holder = line->state;
    struct native *native = line->native;
    struct world *world = &native->sim->world;
    struct lock_grants *of = grants_of(line, lock);
    const struct slot *slot = &holder->slots[lock];
    uint64_t sent_us = native_sent_us(line);
    struct grant grant = {.token = token,
                          .ticket = ticket,
                          .first_us = sent_us,
                          .last_us = slot->ttl_ms == 0 ? sent_us : relied_until(line, slot->ttl_ms + slot->delay_ms),
                          .native = native->number,
                          .permits = holder->permits,
                          .shared = shared,
                          .fresh = holder->fresh};
    for (size_t k = 0; k < of->count; k++) {
        if (of->grants[k].token != token) continue;
        if (of->grants[k].native != native->number)
            world_fail(world, "native lock %s: h%u got token %llu, which h%u was told before", kinds[lock].name,
                       native->number, (unsigned long long)token, of->grants[k].native);
        hold(line, lock, k); // its release was lost: one more hold
        heard(line, sent_us);
        return;
    }
    if (token < holder->floor && kinds[lock].total == 0 && !shared)
        world_fail(world, "native lock %s: h%u got token %llu, and %llu was known when it asked", kinds[lock].name,
                   native->number, (unsigned long long)token, (unsigned long long)holder->floor);
    if (ticket != 0 && ticket <= holder->tickets)
        world_fail(world, "native lock %s: h%u got ticket %llu, and %llu was known when it asked", kinds[lock].name,
                   native->number, (unsigned long long)ticket, (unsigned long long)holder->tickets);
    if (of->count == of->capacity) {
        of->capacity = of->capacity == 0 ? 64 : of->capacity * 2;
        of->grants = mem_realloc(of->grants, of->capacity * sizeof *of->grants);
    }
    of->grants[of->count++] = grant;
    if (token > of->newest) of->newest = token;
    if (ticket > of->newest_ticket) of->newest_ticket = ticket;
    hold(line, lock, of->count - 1);
    check_order(line, lock, &grant);
    check_held(line, lock, &grant);
}

// ---- several at once

struct claims {
    const struct holder *holder;
    const char *owner;
    size_t count;
};

static void count_claim(void *context, const struct lock_claim_info *claim) {
    struct claims *claims = context;
    claims->count += bytes_equal(claim->owner, bytes_of_text(claims->owner));
}

static const char *owner_of_several(const struct holder *holder) {
    return holder->slots[__builtin_ctz(holder->several)].owner;
}

// What the machine that applied the committed log holds of this owner, who asked once.
static size_t claims_of(struct native_line *line, const char *owner) {
    struct sim *sim = line->native->sim;
    struct claims claims = {.owner = owner};
    for (uint32_t i = 0; i < PLAIN; i++) {
        struct lock_query query = {.name = bytes_of_text(kinds[i].name), .claim = count_claim, .context = &claims};
        struct result result;
        machine_query(sim->history.machine, MODEL_LOCK, &query, &result);
    }
    return claims.count;
}

static void all_granted(struct native_line *line, const char *body) {
    struct holder *holder = line->state;
    uint64_t tokens[PLAIN];
    size_t count = native_numbers(body, "tokens", tokens, PLAIN), at = 0;
    if (count != (size_t)__builtin_popcount(holder->several))
        world_fail(&line->native->sim->world, "h%u asked for %d locks at once, and got %zu tokens",
                   line->native->number, __builtin_popcount(holder->several), count);
    size_t left = claims_of(line, owner_of_several(holder));
    if (left != 0 && left != count && holder->slots[__builtin_ctz(holder->several)].ttl_ms == 0)
        world_fail(&line->native->sim->world, "h%u got %zu locks at once, and holds %zu of them", line->native->number,
                   count, left);
    for (uint32_t i = 0; i < PLAIN && at < count; i++)
        if (holder->several & 1u << i) granted(line, i, tokens[at++], 0, false);
}

static void none_granted(struct native_line *line) {
    size_t left = claims_of(line, owner_of_several(line->state));
    if (left > 0)
        world_fail(&line->native->sim->world, "h%u was refused several locks at once, and holds %zu of them",
                   line->native->number, left);
}

// ---- answers

static void verified(struct native_line *line, const char *body) {
    struct holder *holder = line->state;
    struct world *world = &line->native->sim->world;
    bool valid = native_says(body, "valid");
    if (valid && holder->floor != 0)
        world_fail(world, "native lock %s: token %llu is valid, and %llu was known when it was asked",
                   kinds[holder->lock].name, (unsigned long long)holder->token, (unsigned long long)holder->floor);
    if (!valid && native_sent_us(line) < holder->relied_us)
        world_fail(world, "native lock %s: token %llu of h%u is not valid at %llu us, and its time lasts to %llu us",
                   kinds[holder->lock].name, (unsigned long long)holder->token, line->native->number,
                   (unsigned long long)native_sent_us(line), (unsigned long long)holder->relied_us);
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct holder *holder = line->state;
    struct slot *slot = &holder->slots[holder->lock];
    if (!line->unbound && asked != ASKED_RELEASE) heard(line, native_sent_us(line));
    if (asked == ASKED_ACQUIRE)
        granted(line, holder->lock, native_number_of(body, "token"), native_number_of(body, "ticket"), holder->shared);
    if (asked == ASKED_ALL) all_granted(line, body);
    if (asked == ASKED_RELEASE) slot->releasing = false;
    if (asked == ASKED_VERIFY) verified(line, body);
    if (asked != ASKED_RENEW || !slot->held) return;
    struct grant *mine = grant_of(line, holder->lock);
    slot->sure_us = relied_until(line, slot->ttl_ms);
    mine->last_us = relied_until(line, slot->ttl_ms + slot->delay_ms);
    check_held(line, holder->lock, mine);
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    struct holder *holder = line->state;
    struct slot *slot = &holder->slots[holder->lock];
    bool not_held = native_is_error(body, "not-held");
    if (asked == ASKED_ALL && native_is_error(body, "busy")) {
        none_granted(line);
        return true;
    }
    if (asked == ASKED_RELEASE) slot->releasing = slot->releasing && !not_held;
    if (asked == ASKED_RENEW && not_held) {
        slot->held = false;
        if (native_sent_us(line) < holder->relied_us)
            world_fail(&line->native->sim->world,
                       "native lock %s: h%u lost token %llu before %llu us, and its time lasts to %llu us",
                       kinds[holder->lock].name, line->native->number, (unsigned long long)slot->token,
                       (unsigned long long)native_sent_us(line), (unsigned long long)holder->relied_us);
    }
    if (asked == ASKED_RELEASE || asked == ASKED_RENEW) return not_held;
    return asked == ASKED_ACQUIRE &&
           (native_is_error(body, "busy") || native_is_error(body, "timed-out") || native_is_error(body, "deadlock") ||
            native_is_error(body, "superseded") || native_is_error(body, "kind"));
}

static void lost(struct native_line *line, unsigned asked, bool done) {
    struct slot *slot = &((struct holder *)line->state)->slots[((struct holder *)line->state)->lock];
    if (asked != ASKED_ACQUIRE || !done) return;
    if (slot->ttl_ms == 0)
        slot->session_unsettled = true;
    else
        slot->owner_unsettled = true;
}

// ---- requests

// Who asks, as members of a request.
static const char *owner_json(const struct native_line *line, const struct slot *slot, char *out, size_t size) {
    size_t len = 0;
    if (slot->owner[0] != 0) len = (size_t)snprintf(out, size, ",\"owner\":\"%s\"", slot->owner);
    if (slot->ttl_ms == 0) snprintf(out + len, size - len, ",\"session\":\"%s\"", line->native->session);
    return out;
}

static void release(struct native_line *line, uint32_t lock) {
    struct holder *holder = line->state;
    struct slot *slot = &holder->slots[lock];
    char owner[128];
    let_go(line, lock);
    slot->releasing = true;
    holder->lock = lock;
    native_request(line, ASKED_RELEASE, 0, "lock/release", "{\"name\":\"%s\",\"token\":%llu,\"all\":true%s}",
                   kinds[lock].name, (unsigned long long)slot->token, owner_json(line, slot, owner, sizeof owner));
    line->unbound = slot->ttl_ms != 0;
}

static void renew(struct native_line *line, uint32_t lock) {
    struct holder *holder = line->state;
    struct slot *slot = &holder->slots[lock];
    char owner[128];
    holder->lock = lock;
    holder->relied_us = slot->sure_us;
    native_request(line, ASKED_RENEW, 0, "lock/renew", "{\"name\":\"%s\",\"token\":%llu,\"ttl_ms\":%llu%s}",
                   kinds[lock].name, (unsigned long long)slot->token, (unsigned long long)slot->ttl_ms,
                   owner_json(line, slot, owner, sizeof owner));
    line->unbound = true;
}

// Bound to the session, or to a time and a name of its own.
static void choose_owner(struct native_line *line, struct slot *slot, bool always_new) {
    struct holder *holder = line->state;
    struct native *native = line->native;
    bool again = slot->owner_unsettled && native_draw(native, 2) == 0; // the former owner asks again
    holder->fresh = !again;
    if (again) return;
    slot->owner[0] = 0;
    slot->owner_unsettled = false;
    slot->delay_ms = 0;
    slot->ttl_ms = native_draw(native, 3) == 0 ? 1000 + native_draw(native, 3000) : 0;
    if (slot->ttl_ms != 0 || always_new) native_owner(native, slot->owner, sizeof slot->owner);
    if (slot->ttl_ms != 0 && native_draw(native, 3) == 0) slot->delay_ms = native_draw(native, 2000);
    if (slot->ttl_ms == 0 && !always_new) holder->fresh = !slot->session_unsettled;
}

static void acquire(struct native_line *line, uint32_t lock) {
    static const unsigned waits[] = {0, 300, 3000};
    struct holder *holder = line->state;
    struct slot *slot = &holder->slots[lock];
    char owner[128], mode[64];
    unsigned wait_ms = waits[native_draw(line->native, 3)];
    choose_owner(line, slot, false);
    holder->lock = lock;
    holder->permits = kinds[lock].total == 0 ? 1 : 1 + (uint32_t)native_draw(line->native, kinds[lock].total);
    holder->shared = kinds[lock].total == 0 && native_draw(line->native, 4) == 0;
    holder->floor = grants_of(line, lock)->newest;
    holder->tickets = grants_of(line, lock)->newest_ticket;
    if (kinds[lock].total == 0)
        snprintf(mode, sizeof mode, "\"%s\"", holder->shared ? "shared" : "exclusive");
    else
        snprintf(mode, sizeof mode, "\"permits\",\"permits\":%u,\"total\":%u", holder->permits, kinds[lock].total);
    native_request(line, ASKED_ACQUIRE, wait_ms * 1000ull, "lock/acquire",
                   "{\"name\":\"%s\",\"mode\":%s,\"wait_ms\":%u,\"ttl_ms\":%llu,\"delay_ms\":%llu%s}", kinds[lock].name,
                   mode, wait_ms, (unsigned long long)slot->ttl_ms, (unsigned long long)slot->delay_ms,
                   owner_json(line, slot, owner, sizeof owner));
    line->leaves = true;
    line->unbound = slot->ttl_ms != 0;
}

// Two of the plain locks, or all three.
static void acquire_several(struct native_line *line) {
    struct holder *holder = line->state;
    struct slot as = {.ttl_ms = 0};
    char owner[128], names[64] = "";
    uint32_t left_out = (uint32_t)native_draw(line->native, PLAIN + 1);
    size_t len = 0;
    choose_owner(line, &as, true);
    holder->several = 0;
    holder->permits = 1;
    holder->floor = 0; // one for all of them
    holder->tickets = 0;
    for (uint32_t i = 0; i < PLAIN; i++) {
        if (i == left_out) continue;
        struct slot *slot = &holder->slots[i];
        if (slot->held || slot->releasing) return;
        holder->several |= 1u << i;
        len += (size_t)snprintf(names + len, sizeof names - len, "%s\"%s\"", len > 0 ? "," : "", kinds[i].name);
        if (grants_of(line, i)->newest > holder->floor) holder->floor = grants_of(line, i)->newest;
    }
    for (uint32_t i = 0; i < PLAIN; i++) {
        if ((holder->several & 1u << i) == 0) continue;
        as.session_unsettled = holder->slots[i].session_unsettled;
        holder->slots[i] = as;
    }
    native_request(line, ASKED_ALL, 0, "lock/acquire_all", "{\"names\":[%s],\"ttl_ms\":%llu,\"delay_ms\":%llu%s}",
                   names, (unsigned long long)as.ttl_ms, (unsigned long long)as.delay_ms,
                   owner_json(line, &as, owner, sizeof owner));
    line->unbound = as.ttl_ms != 0;
}

// A grant of somebody's: is it still valid?
static void verify(struct native_line *line, uint32_t lock) {
    struct holder *holder = line->state;
    const struct lock_grants *of = grants_of(line, lock);
    if (of->count == 0) return;
    size_t at = native_draw(line->native, of->count);
    const struct slot *slot = &holder->slots[lock];
    bool mine = slot->held && slot->ttl_ms != 0 && native_draw(line->native, 2) == 0;
    if (mine) at = slot->at;
    const struct grant *grant = &of->grants[at];
    uint64_t newer = 0;
    for (size_t k = 0; k < of->count && kinds[lock].total == 0; k++)
        if (of->grants[k].token > grant->token && !both_may(&of->grants[k], grant)) newer = of->grants[k].token;
    native_request(line, ASKED_VERIFY, 0, "lock/verify", "{\"name\":\"%s\",\"token\":%llu}", kinds[lock].name,
                   (unsigned long long)grant->token);
    line->unbound = true;
    holder->lock = lock;
    holder->floor = newer;
    holder->token = grant->token;
    holder->relied_us = mine ? slot->sure_us : 0;
}

// What is to be done with what it holds: true if it asked for it.
static bool care(struct native_line *line) {
    struct holder *holder = line->state;
    uint64_t now = native_now_us(line->native);
    for (uint32_t i = 0; i < LOCKS; i++) {
        struct slot *slot = &holder->slots[i];
        // A release of unknown end is repeated until it is answered: else it could still come when the lock was asked
        // for again, and end what that was told it holds. Once it is answered, a new grant has another token.
        if (slot->releasing || (slot->held && now >= slot->until_us)) {
            release(line, i);
            return true;
        }
        if (!slot->held || slot->ttl_ms == 0 || native_draw(line->native, 8) != 0) continue;
        renew(line, i);
        return true;
    }
    return false;
}

static void step(struct native_line *line) {
    struct native *native = line->native;
    struct holder *holder = line->state;
    uint32_t lock = (uint32_t)native_draw(native, LOCKS);
    if (care(line)) return;
    native->next_us = native_now_us(native) + native_draw(native, 400000);
    if (native_draw(native, 6) == 0)
        verify(line, lock);
    else if (native_draw(native, 6) == 0)
        acquire_several(line);
    else if (!holder->slots[lock].held)
        acquire(line, lock);
}

// ---- life

static void *open_locks(struct sim *sim) {
    return mem_zalloc(sizeof(struct locks));
}
static void close_locks(void *shared) {
    struct locks *locks = shared;
    for (size_t i = 0; i < LOCKS; i++) mem_free(locks->locks[i].grants);
    mem_free(locks);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct holder));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

// Nothing of an ended session is held or waited for.
static void check_claim(void *context, const struct lock_claim_info *claim) {
    struct sim *sim = context;
    struct history_session *session = history_session(&sim->history, claim->session);
    if (claim->session != 0 && (session == NULL || session->ended_index != 0))
        world_fail(&sim->world, "session %llu has ended, and a claim of it (ticket %llu) is left",
                   (unsigned long long)claim->session, (unsigned long long)claim->ticket);
}

static void check(struct sim *sim, void *shared) {
    for (uint32_t i = 0; i < LOCKS; i++) {
        struct lock_query query = {.name = bytes_of_text(kinds[i].name), .claim = check_claim, .context = sim};
        struct result result;
        machine_query(sim->history.machine, MODEL_LOCK, &query, &result);
    }
}

const struct native_workload native_workload_lock = {.name = "lock",
                                                     .open = open_locks,
                                                     .close = close_locks,
                                                     .begin = begin,
                                                     .end = end,
                                                     .step = step,
                                                     .answer = answer,
                                                     .refused = refused,
                                                     .lost = lost,
                                                     .heard = heard,
                                                     .session_over = session_over,
                                                     .died = died,
                                                     .check = check};
