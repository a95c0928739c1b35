// Locks over HTTP. What must hold, whatever fails:
//
//   nobody is told that he lives, or that he holds a lock, once another was told that he holds it (unless both share
//   it); a grant's token is larger than every token that was known when it was asked for; a token is not valid any more
//   once a newer one of the lock was told; an ended session holds and waits for nothing
#include "model/lock/lock.h"
#include "sim/native.h"
#include <stdio.h>
#include <string.h>

#define LOCKS 3u

enum { ASKED_ACQUIRE = NATIVE_FIRST, ASKED_RELEASE, ASKED_VERIFY };

struct grant {
    uint64_t token, first_us, last_us; // as lock_told of sim/client.h
    uint32_t native;
    bool shared;
};
struct lock_grants {
    struct grant *grants;
    size_t count, capacity;
    uint64_t newest; // token
};
struct locks { // of the run
    struct lock_grants locks[LOCKS];
};
struct holder { // of one native client
    struct {
        bool held, releasing; // releasing: asked for, and not known to be done
        uint64_t token, until_us;
        size_t at;
    } locks[LOCKS];
    uint64_t floor, token; // floor: the largest token that anybody knew. VERIFY: the token, and a newer one or 0
    uint32_t lock;
    bool shared;
};

static bool both_may(const struct grant *a, const struct grant *b) {
    return a->shared && b->shared;
}

// ---- what it believes

static void session_over(struct native_line *line) {
    struct holder *holder = line->state;
    for (size_t i = 0; i < LOCKS; i++) holder->locks[i].held = holder->locks[i].releasing = false;
}

// An answer says that its session lives.
static void heard(struct native_line *line, uint64_t sent_us) {
    struct holder *holder = line->state;
    struct locks *locks = line->shared;
    for (uint32_t i = 0; i < LOCKS; i++) {
        if (!holder->locks[i].held) continue;
        struct lock_grants *of = &locks->locks[i];
        struct grant *mine = &of->grants[holder->locks[i].at];
        if (sent_us <= mine->last_us) continue;
        mine->last_us = sent_us;
        for (size_t k = holder->locks[i].at + 1; k < of->count; k++) {
            const struct grant *other = &of->grants[k];
            if (other->token > mine->token && other->first_us <= sent_us && !both_may(mine, other))
                world_fail(&line->native->sim->world,
                           "native lock %u is held twice: h%u (token %llu) was told at %llu us that it lives, h%u got "
                           "token %llu at %llu us",
                           i, mine->native, (unsigned long long)mine->token, (unsigned long long)sent_us, other->native,
                           (unsigned long long)other->token, (unsigned long long)other->first_us);
        }
    }
}

static void hold(struct native_line *line, uint32_t lock, uint64_t token, size_t at) {
    struct holder *holder = line->state;
    holder->locks[lock].held = true;
    holder->locks[lock].token = token;
    holder->locks[lock].until_us = native_now_us(line->native) + native_draw(line->native, 2000000);
    holder->locks[lock].at = at;
}

static void check_grant(struct native_line *line, const struct lock_grants *of, const struct grant *grant) {
    struct holder *holder = line->state;
    struct world *world = &line->native->sim->world;
    if (grant->token < holder->floor && !grant->shared)
        world_fail(world, "native lock %u: h%u got token %llu, and %llu was known when it asked", holder->lock,
                   grant->native, (unsigned long long)grant->token, (unsigned long long)holder->floor);
    for (size_t k = 0; k < of->count; k++) {
        const struct grant *other = &of->grants[k];
        if (other->token < grant->token && other->last_us >= grant->first_us && !both_may(other, grant))
            world_fail(world,
                       "native lock %u is held twice: h%u (token %llu) was still told at %llu us that it lives; h%u "
                       "got token %llu at %llu us",
                       holder->lock, other->native, (unsigned long long)other->token,
                       (unsigned long long)other->last_us, grant->native, (unsigned long long)grant->token,
                       (unsigned long long)grant->first_us);
    }
}

static void granted(struct native_line *line, uint64_t token) {
    struct holder *holder = line->state;
    struct native *native = line->native;
    struct lock_grants *of = &((struct locks *)line->shared)->locks[holder->lock];
    uint64_t sent_us = native_sent_us(line);
    struct grant grant = {token, sent_us, sent_us, native->number, holder->shared};
    for (size_t k = 0; k < of->count; k++) {
        if (of->grants[k].token != token) continue;
        if (of->grants[k].native != native->number)
            world_fail(&native->sim->world, "native lock %u: h%u got token %llu, which h%u was told before",
                       holder->lock, native->number, (unsigned long long)token, of->grants[k].native);
        hold(line, holder->lock, token, k); // its release was lost: one more hold
        heard(line, sent_us);
        return;
    }
    check_grant(line, of, &grant);
    if (of->count == of->capacity) {
        of->capacity = of->capacity == 0 ? 64 : of->capacity * 2;
        of->grants = mem_realloc(of->grants, of->capacity * sizeof *of->grants);
    }
    hold(line, holder->lock, token, of->count);
    of->grants[of->count++] = grant;
    if (token > of->newest) of->newest = token;
}

// ---- answers

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct holder *holder = line->state;
    if (asked == ASKED_ACQUIRE) {
        heard(line, native_sent_us(line));
        granted(line, native_number(body, "token"));
    }
    if (asked == ASKED_RELEASE) holder->locks[holder->lock].releasing = false;
    if (asked == ASKED_VERIFY && native_says(body, "valid") && holder->floor != 0)
        world_fail(&line->native->sim->world,
                   "native lock %u: token %llu is valid, and %llu was known when it was asked", holder->lock,
                   (unsigned long long)holder->token, (unsigned long long)holder->floor);
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    struct holder *holder = line->state;
    if (asked == ASKED_RELEASE) {
        if (!native_is_error(body, "not-held")) return false;
        holder->locks[holder->lock].releasing = false;
        return true;
    }
    return asked == ASKED_ACQUIRE &&
           (native_is_error(body, "busy") || native_is_error(body, "timed-out") || native_is_error(body, "deadlock") ||
            native_is_error(body, "cancelled") || native_is_error(body, "kind"));
}

// ---- requests

static void release(struct native_line *line, uint32_t lock) {
    struct holder *holder = line->state;
    holder->locks[lock].held = false; // from now on it does not rely on it
    holder->locks[lock].releasing = true;
    holder->lock = lock;
    native_ask(line, ASKED_RELEASE, 0, "lock/release",
               "{\"name\":\"l%u\",\"session\":\"%s\",\"token\":%llu,\"all\":true}", lock, line->native->session,
               (unsigned long long)holder->locks[lock].token);
}

static void acquire(struct native_line *line, uint32_t lock) {
    static const unsigned waits[] = {0, 300, 3000};
    struct holder *holder = line->state;
    unsigned wait_ms = waits[native_draw(line->native, 3)];
    holder->lock = lock;
    holder->shared = native_draw(line->native, 4) == 0;
    holder->floor = ((struct locks *)line->shared)->locks[lock].newest;
    native_ask(line, ASKED_ACQUIRE, wait_ms * 1000ull, "lock/acquire",
               "{\"name\":\"l%u\",\"session\":\"%s\",\"mode\":\"%s\",\"wait_ms\":%u}", lock, line->native->session,
               holder->shared ? "shared" : "exclusive", wait_ms);
    line->leaves = true;
}

// A grant of somebody's: is it still valid?
static void verify(struct native_line *line, uint32_t lock) {
    struct holder *holder = line->state;
    const struct lock_grants *of = &((struct locks *)line->shared)->locks[lock];
    if (of->count == 0) return;
    const struct grant *grant = &of->grants[native_draw(line->native, of->count)];
    uint64_t newer = 0;
    for (size_t k = 0; k < of->count; k++)
        if (of->grants[k].token > grant->token && !both_may(&of->grants[k], grant)) newer = of->grants[k].token;
    holder->lock = lock;
    native_ask(line, ASKED_VERIFY, 0, "lock/verify", "{\"name\":\"l%u\",\"token\":%llu}", lock,
               (unsigned long long)grant->token);
    line->unbound = true;
    holder->floor = newer;
    holder->token = grant->token;
}

static void step(struct native_line *line) {
    struct native *native = line->native;
    struct holder *holder = line->state;
    uint32_t lock = (uint32_t)native_draw(native, LOCKS);
    for (uint32_t i = 0; i < LOCKS; i++) {
        // A release of unknown end is repeated until it is answered: else it could still come when the lock was asked
        // for again, and end what that was told it holds. Once it is answered, a new grant has another token.
        bool over = holder->locks[i].held && native_now_us(native) >= holder->locks[i].until_us;
        if (!over && !holder->locks[i].releasing) continue;
        release(line, i);
        return;
    }
    native->next_us = native_now_us(native) + native_draw(native, 400000);
    if (native_draw(native, 6) == 0)
        verify(line, lock);
    else if (!holder->locks[lock].held)
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
    if (session == NULL || session->ended_index != 0)
        world_fail(&sim->world, "session %llu has ended, and a claim of it (ticket %llu) is left",
                   (unsigned long long)claim->session, (unsigned long long)claim->ticket);
}

static void check(struct sim *sim, void *shared) {
    for (uint32_t i = 0; i < LOCKS; i++) {
        char name[8];
        snprintf(name, sizeof name, "l%u", i);
        struct lock_query query = {.name = bytes_of_text(name), .claim = check_claim, .context = sim};
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
                                                     .heard = heard,
                                                     .session_over = session_over,
                                                     .check = check};
