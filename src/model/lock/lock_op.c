// The operations. Each reads all its arguments, then checks everything, then changes; so an error leaves nothing
// behind.
#include "base/assert.h"
#include "base/planted.h"
#include "model/lock/lock_internal.h"
#include <string.h>

static bool name_good(struct bytes name) {
    return name.len > 0 && name.len <= LOCK_NAME_BYTES_MAX;
}

static bool request_good(const struct lock_request *q, uint64_t session) {
    if (!name_good(q->name) || q->owner.len > LOCK_OWNER_BYTES_MAX || q->ttl_ms > LOCK_TTL_MS_MAX) return false;
    if (q->delay_ms > LOCK_TTL_MS_MAX || q->mode > LOCK_ELECTION) return false;
    if (q->value.len > (q->mode == LOCK_ELECTION ? LOCK_VALUE_BYTES_MAX : 0)) return false;
    if (q->ttl_ms == 0 && session == 0) return false; // nothing would ever end it
    if (q->mode != LOCK_PERMITS) return q->permits == 1 && q->total == 0;
    return q->permits > 0 && q->permits <= q->total;
}

// Does the lock, as it is used now, take such a claim at all?
static bool kind_fits(const struct lock *lock, const struct lock_request *q) {
    if (lock->holder_count + lock->waiter_count == 0) return true; // only a delay keeps it
    return lock->mode == lock_kind(q->mode) && lock->total == q->total;
}

static int again(struct lock_state *state, struct apply *apply, struct claim *claim, const struct lock_request *q,
                 struct lock_result *out) { // this owner holds the lock, or waits for it, already
    bool waits = claim->token == 0;
    bool covers = claim->mode == q->mode || (!waits && claim->mode == LOCK_EXCLUSIVE && q->mode == LOCK_SHARED);
    if (!covers || claim->permits != q->permits || claim->holds == UINT32_MAX) return LOCK_KIND;
    if (waits) claim_tell_superseded(state, apply, claim); // its place is kept; the older request is told
    digest_sub(&state->digest, claim_digest_of(claim));
    out->ticket = claim->ticket = ++state->number;
    out->token = claim->token;
    if (claim->value && !bytes_equal(claim_value(claim), q->value)) {
        claim_set_value(state, claim, q->value);
        if (!waits) claim_proclaim(state, apply, claim);
    }
    if (waits) {
        digest_add(&state->digest, claim_digest_of(claim));
        return 0;
    }
    claim->holds++;
    if (claim->ttl_ms > 0) claim_set_due(state, claim, lock_time_after(apply->log_time_ms, claim->ttl_ms));
    digest_add(&state->digest, claim_digest_of(claim));
    out->granted = true;
    out->holds = claim->holds;
    if (claim->value) out->version = claim->value->version;
    return 0;
}

static void show_holder(struct lock_state *state, const struct lock *lock, struct lock_result *out) {
    if (lock->holder_count == 0) return;
    const struct claim *holder = CONTAINER_OF_CONST(lock->holders.next, struct claim, of_lock);
    out->holder = arena_copy(&state->arena, owner_text(holder->owner));
    out->token = holder->token;
}

static struct lock *lock_for(struct lock_state *state, const struct lock_request *q) {
    struct lock *lock = lock_find(state, q->name);
    if (lock == NULL) {
        lock = lock_make(state, q->name, q->mode, q->total);
        lock->number = ++state->number;
        digest_add(&state->digest, lock_digest_of(lock));
    } else if (lock->holder_count + lock->waiter_count == 0) {
        digest_sub(&state->digest, lock_digest_of(lock));
        lock_set_kind(state, lock, q->mode, q->total);
        digest_add(&state->digest, lock_digest_of(lock));
    }
    return lock;
}

static struct claim *new_claim(struct lock_state *state, struct apply *apply, struct lock *lock, uint64_t session,
                               const struct lock_request *q) {
    struct claim *claim = claim_make(state, lock, session, q->owner, ++state->number);
    claim->mode = (unsigned)q->mode & 3u;
    claim->permits = q->permits;
    claim->ttl_ms = (uint32_t)q->ttl_ms;
    claim->delay_ms = (uint32_t)q->delay_ms;
    claim->since_ms = apply->log_time_ms & CLAIM_SINCE_MS_MAX;
    if (q->mode == LOCK_ELECTION) claim_set_value(state, claim, q->value);
    return claim;
}

static int acquire(struct lock_state *state, struct apply *apply, uint64_t session, const struct lock_request *q,
                   struct lock_result *out) {
    struct lock *lock = lock_find(state, q->name);
    struct lock_owner *owner = owner_find(state, session, q->owner);
    struct claim *mine = lock && owner ? claim_of(lock, owner) : NULL;
    if (mine) return again(state, apply, mine, q, out);
    if (lock && !kind_fits(lock, q)) return LOCK_KIND;
    if (session != 0 && session_claims(state, session) >= LOCK_SESSION_MAX) return LOCK_LIMIT;
    bool first = lock == NULL || lock->waiter_count == 0 || PLANTED(NATIVE_LOCK_QUEUE_PASSED);
    bool free = lock == NULL || (first && lock_compatible(lock, q->mode, q->permits));
    if (!free && q->wait_ms == 0) {
        show_holder(state, lock, out);
        return LOCK_BUSY;
    }
    if (!free && lock->waiter_count >= LOCK_WAITERS_MAX) return LOCK_LIMIT;
    const char *circle = free || owner == NULL ? NULL : lock_circle(state, lock, owner, q->mode);
    if (circle) {
        out->circle = bytes_of_text(circle);
        return LOCK_DEADLOCK;
    }
    lock = lock_for(state, q);
    struct claim *claim = new_claim(state, apply, lock, session, q);
    out->ticket = claim->ticket;
    if (free) {
        claim_grant(state, apply, claim);
        out->granted = true;
        out->token = claim->token;
        out->holds = 1;
        if (claim->value) out->version = claim->value->version;
        return 0;
    }
    if (q->wait_ms != LOCK_WAIT_FOREVER) claim_set_due(state, claim, lock_time_after(apply->log_time_ms, q->wait_ms));
    claim_link(claim, false);
    digest_add(&state->digest, claim_digest_of(claim));
    return 0;
}

static int read_request(struct reader *r, struct lock_request *q) {
    *q = (struct lock_request){.name = read_blob(r)};
    q->owner = read_blob(r);
    q->mode = read_u8(r);
    uint64_t permits = read_varint(r), total = read_varint(r);
    q->ttl_ms = read_varint(r);
    q->wait_ms = read_varint(r);
    q->delay_ms = read_varint(r);
    if (q->mode == LOCK_ELECTION) q->value = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (permits > UINT32_MAX || total > UINT32_MAX) return LOCK_BAD_ARGUMENTS;
    q->permits = (uint32_t)permits;
    q->total = (uint32_t)total;
    return 0;
}

static int apply_acquire(struct lock_state *state, struct apply *apply, uint64_t session, struct reader *r,
                         struct lock_result *out) {
    struct lock_request q;
    int error = read_request(r, &q);
    if (error != 0) return error;
    if (!request_good(&q, session)) return LOCK_BAD_ARGUMENTS;
    return acquire(state, apply, session, &q, out);
}

// Whether one more of several could be had now; it is not taken yet.
static int may_have(const struct lock_state *state, uint64_t session, const struct lock_request *q) {
    const struct lock *lock = lock_find(state, q->name);
    const struct lock_owner *owner = owner_find(state, session, q->owner);
    if (!request_good(q, session)) return LOCK_BAD_ARGUMENTS;
    if (lock == NULL) return 0;
    if (!kind_fits(lock, q) || (owner && claim_of(lock, owner))) return LOCK_KIND; // reentrant ones are taken singly
    return lock->waiter_count == 0 && lock_compatible(lock, q->mode, 1) ? 0 : LOCK_BUSY;
}

static int read_all(struct reader *r, struct lock_request q[LOCK_ALL_MAX], uint64_t *count) {
    q[0] = (struct lock_request){.owner = read_blob(r), .permits = 1};
    q[0].ttl_ms = read_varint(r);
    q[0].delay_ms = read_varint(r);
    *count = read_varint(r);
    if (r->failed) return COMMAND_BAD_COMMAND;
    if (*count == 0 || *count > LOCK_ALL_MAX) return LOCK_BAD_ARGUMENTS;
    for (size_t i = 0; i < *count; i++) {
        q[i] = q[0];
        q[i].name = read_blob(r);
        q[i].mode = read_u8(r);
    }
    return reader_done(r) ? 0 : COMMAND_BAD_COMMAND;
}

static int apply_acquire_all(struct lock_state *state, struct apply *apply, uint64_t session, struct reader *r,
                             struct lock_result *out) {
    struct lock_request q[LOCK_ALL_MAX];
    uint64_t count;
    int wrong = read_all(r, q, &count);
    if (wrong != 0) return wrong;
    if (session != 0 && session_claims(state, session) + count > LOCK_SESSION_MAX) return LOCK_LIMIT;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++)
            if (bytes_equal(q[i].name, q[k].name)) return LOCK_BAD_ARGUMENTS;
        int error = q[i].mode >= LOCK_PERMITS ? LOCK_BAD_ARGUMENTS : may_have(state, session, &q[i]);
        if (error == 0) continue;
        if (PLANTED(NATIVE_LOCK_ALL_PARTLY) && i > 0) acquire(state, apply, session, &q[0], &(struct lock_result){0});
        out->refused = arena_copy(&state->arena, q[i].name);
        if (error == LOCK_BUSY) show_holder(state, lock_find(state, q[i].name), out);
        return error;
    }
    uint64_t *tokens = arena_alloc(&state->arena, count * sizeof *tokens);
    for (size_t i = 0; i < count; i++) {
        struct lock_result one = {0};
        int error = acquire(state, apply, session, &q[i], &one);
        ENSURE(error == 0 && one.granted);
        tokens[i] = one.token;
    }
    out->granted = true;
    out->tokens = tokens;
    out->token_count = (size_t)count;
    return 0;
}

// The claim that a command names, if it is held under this token.
static struct claim *held(const struct lock_state *state, uint64_t session, struct bytes name, struct bytes owner,
                          uint64_t token) {
    const struct lock *lock = lock_find(state, name);
    const struct lock_owner *of = owner_find(state, session, owner);
    struct claim *claim = lock && of ? claim_of(lock, of) : NULL;
    return claim && token != 0 && claim->token == token ? claim : NULL;
}

static void end_holds(struct lock_state *state, struct apply *apply, struct claim *claim, bool all,
                      struct lock_result *out) {
    if (all || claim->holds == 1) {
        claim_end(state, apply, claim);
        return;
    }
    digest_sub(&state->digest, claim_digest_of(claim));
    claim->holds--;
    digest_add(&state->digest, claim_digest_of(claim));
    out->holds = claim->holds;
    out->token = claim->token;
}

static int apply_release(struct lock_state *state, struct apply *apply, uint64_t session, struct reader *r,
                         struct lock_result *out) {
    struct bytes name = read_blob(r), owner = read_blob(r);
    uint64_t token = read_varint(r);
    bool all = read_u8(r) != 0;
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct claim *claim = held(state, session, name, owner, token);
    if (claim == NULL) return LOCK_NOT_HELD;
    end_holds(state, apply, claim, all, out);
    return 0;
}

static int apply_renew(struct lock_state *state, struct apply *apply, uint64_t session, struct reader *r,
                       struct lock_result *out) {
    struct bytes name = read_blob(r), owner = read_blob(r);
    uint64_t token = read_varint(r), ttl_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct claim *claim = held(state, session, name, owner, token);
    if (claim == NULL) return LOCK_NOT_HELD;
    if (ttl_ms == 0 || ttl_ms > LOCK_TTL_MS_MAX || claim->ttl_ms == 0) return LOCK_BAD_ARGUMENTS;
    digest_sub(&state->digest, claim_digest_of(claim));
    claim->ttl_ms = (uint32_t)ttl_ms;
    if (!PLANTED(NATIVE_LOCK_NOT_RENEWED)) claim_set_due(state, claim, lock_time_after(apply->log_time_ms, ttl_ms));
    digest_add(&state->digest, claim_digest_of(claim));
    out->granted = true;
    out->token = token;
    out->holds = claim->holds;
    return 0;
}

static int apply_cancel(struct lock_state *state, struct apply *apply, uint64_t session, struct reader *r,
                        struct lock_result *out) {
    struct bytes name = read_blob(r), owner = read_blob(r);
    uint64_t ticket = read_varint(r);
    bool give_back = read_u8(r) != 0;
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    const struct lock *lock = lock_find(state, name);
    const struct lock_owner *of = owner_find(state, session, owner);
    struct claim *claim = lock && of ? claim_of(lock, of) : NULL;
    if (claim == NULL || claim->ticket != ticket) return LOCK_NOT_HELD;
    out->ticket = ticket;
    out->granted = claim->token != 0; // too late to cancel: it has the lock
    out->token = claim->token;
    if (!out->granted)
        claim_cancel(state, apply, claim);
    else if (give_back)
        end_holds(state, apply, claim, false, out);
    return 0;
}

static int apply_break(struct lock_state *state, struct apply *apply, struct reader *r) {
    struct bytes name = read_blob(r);
    uint64_t token = read_varint(r);
    struct bytes reason = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (reason.len > LOCK_REASON_BYTES_MAX) return LOCK_BAD_ARGUMENTS;
    const struct lock *lock = lock_find(state, name);
    for (struct list *at = lock ? lock->holders.next : NULL; lock && at != &lock->holders; at = at->next) {
        struct claim *claim = CONTAINER_OF(at, struct claim, of_lock);
        if (claim->token != token) continue;
        claim_lost(state, apply, claim, LOCK_LOSS_BROKEN, reason);
        return 0;
    }
    return LOCK_NOT_HELD;
}

static int apply_proclaim(struct lock_state *state, struct apply *apply, uint64_t session, struct reader *r,
                          struct lock_result *out) {
    struct bytes name = read_blob(r), owner = read_blob(r);
    uint64_t token = read_varint(r);
    struct bytes value = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct claim *claim = held(state, session, name, owner, token);
    if (claim == NULL) return LOCK_NOT_HELD;
    if (claim->value == NULL || value.len > LOCK_VALUE_BYTES_MAX) return LOCK_BAD_ARGUMENTS;
    if (!bytes_equal(claim_value(claim), value)) { // else a retry: nobody needs to be told
        digest_sub(&state->digest, claim_digest_of(claim));
        claim_set_value(state, claim, value);
        claim_proclaim(state, apply, claim);
        digest_add(&state->digest, claim_digest_of(claim));
    }
    out->token = token;
    out->version = claim->value->version;
    return 0;
}

void lock_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct lock_state *state = model;
    struct reader r = reader_of(command->args.data, command->args.len);
    struct lock_result *out = &state->result;
    arena_reset(&state->arena);
    memset(out, 0, sizeof *out);
    digest_sub(&state->digest, counters_digest_of(state));
    result->value = out;
    switch (command->op) {
    case LOCK_ACQUIRE:
        result->error = apply_acquire(state, apply, command->session, &r, out);
        break;
    case LOCK_ACQUIRE_ALL:
        result->error = apply_acquire_all(state, apply, command->session, &r, out);
        break;
    case LOCK_RELEASE:
        result->error = apply_release(state, apply, command->session, &r, out);
        break;
    case LOCK_RENEW:
        result->error = apply_renew(state, apply, command->session, &r, out);
        break;
    case LOCK_CANCEL:
        result->error = apply_cancel(state, apply, command->session, &r, out);
        break;
    case LOCK_BREAK:
        result->error = apply_break(state, apply, &r);
        break;
    case LOCK_PROCLAIM:
        result->error = apply_proclaim(state, apply, command->session, &r, out);
        break;
    default:
        result->error = COMMAND_BAD_COMMAND;
    }
    digest_add(&state->digest, counters_digest_of(state));
}

// ---- results that are kept for a request's key

// What a kept answer says must be true when it is said again. A grant that lives with the session is checked; one with
// a time to live would be shorter than its answer says, and one that is waited for is no answer yet.
static bool keeps(const struct command *command) {
    struct reader r = reader_of(command->args.data, command->args.len);
    struct lock_request q[LOCK_ALL_MAX];
    uint64_t count;
    if (command->op == LOCK_RELEASE || command->op == LOCK_BREAK) return true;
    if (command->session == 0) return false;
    if (command->op == LOCK_ACQUIRE)
        return read_request(&r, q) == 0 && q->mode != LOCK_ELECTION && q->ttl_ms == 0 && q->wait_ms == 0;
    return command->op == LOCK_ACQUIRE_ALL && read_all(&r, q, &count) == 0 && q->ttl_ms == 0;
}

// An owner that waits already, by an earlier request, goes on waiting: that is no answer.
static bool done(const struct result *result) {
    bool gives_back = result->op == LOCK_RELEASE || result->op == LOCK_BREAK;
    return result->error == 0 && (gives_back || ((const struct lock_result *)result->value)->granted);
}

static void write_result(const struct result *result, struct writer *w) {
    const struct lock_result *lock = result->value;
    write_varint(w, lock->token);
    write_varint(w, lock->ticket);
    write_varint(w, lock->holds);
    write_varint(w, lock->token_count);
    for (size_t i = 0; i < lock->token_count; i++) write_varint(w, lock->tokens[i]);
}

static void check_grants(const struct lock_state *state, const struct command *command, struct lock_result *out,
                         struct result *result) {
    struct reader r = reader_of(command->args.data, command->args.len);
    struct lock_request q[LOCK_ALL_MAX];
    uint64_t count = 1;
    bool all = command->op == LOCK_ACQUIRE_ALL;
    if ((all ? read_all(&r, q, &count) : read_request(&r, q)) != 0 || (all && count != out->token_count)) {
        result->error = COMMAND_BAD_COMMAND;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (lock_verify(state, q[i].name, all ? out->tokens[i] : out->token)) continue;
        *out = (struct lock_result){.refused = all ? q[i].name : bytes_of("", 0)};
        result->error = LOCK_NOT_HELD;
        return;
    }
}

static bool read_result(void *model, const struct command *command, struct reader *r, struct result *result) {
    struct lock_state *state = model;
    struct lock_result *out = &state->result;
    arena_reset(&state->arena);
    *out = (struct lock_result){.token = read_varint(r)};
    out->ticket = read_varint(r);
    out->holds = (uint32_t)read_varint(r);
    uint64_t count = read_varint(r);
    if (count > LOCK_ALL_MAX) return false;
    uint64_t *tokens = arena_alloc(&state->arena, count * sizeof *tokens);
    for (uint64_t i = 0; i < count; i++) tokens[i] = read_varint(r);
    out->tokens = tokens;
    out->token_count = (size_t)count;
    result->value = out;
    out->granted = command->op == LOCK_ACQUIRE || command->op == LOCK_ACQUIRE_ALL;
    if (out->granted) check_grants(state, command, out, result);
    return reader_done(r);
}

const struct result_keeper lock_keeper = {.keeps = keeps, .done = done, .write = write_result, .read = read_result};
