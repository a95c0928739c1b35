// The operations, and their bytes as limiter.h states them. Each reads all its arguments, then checks everything, then
// changes; so an error leaves nothing behind.
#include "model/limiter/limiter_internal.h"
#include <string.h>

struct request { // of TAKE and LEASE
    struct bytes name;
    struct limiter_definition def;
    uint64_t session, units, least, ttl_ms;
};

static void read_definition(struct reader *r, struct limiter_definition *def) {
    def->algorithm = read_u8(r);
    uint64_t rate = read_varint(r), burst = read_varint(r);
    def->window_ms = read_varint(r);
    def->rate = rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate; // beyond the bounds in any case
    def->burst = burst > UINT32_MAX ? UINT32_MAX : (uint32_t)burst;
}

static bool name_good(struct bytes name) {
    return name.len > 0 && name.len <= LIMITER_NAME_BYTES_MAX;
}

// The limit under the definition of this call, made or converted; 0, or an error and then nothing was changed.
static int limit_for(struct limiter_state *state, const struct apply *apply, const struct request *q,
                     struct limit **out) {
    struct limit *limit = *out = limit_find(state, q->name);
    if (limit == NULL) {
        if (state->limits.count >= LIMITER_LIMITS_MAX) return LIMITER_LIMIT;
        *out = limit = limit_make(state, q->name, &q->def);
        limit->number = ++state->number;
        digest_add(&state->digest, limit_digest_of(limit));
        return 0;
    }
    const struct limiter_definition *def = &limit->def;
    if (def->algorithm == q->def.algorithm && def->rate == q->def.rate && def->burst == q->def.burst &&
        def->window_ms == q->def.window_ms)
        return 0;
    bool permits = def->algorithm == LIMITER_CONCURRENCY, wanted = q->def.algorithm == LIMITER_CONCURRENCY;
    if (permits != wanted && limit->holds.count > 0) return LIMITER_KIND;
    if (q->def.algorithm == LIMITER_LEAKY_BUCKET && limit->holds.count > 0) return LIMITER_KIND; // has no leases
    digest_sub(&state->digest, limit_digest_of(limit));
    meter_convert(state, limit, &q->def, apply->log_time_ms);
    digest_add(&state->digest, limit_digest_of(limit));
    return 0;
}

static void refuse(const struct limit *limit, uint64_t cost, uint64_t now_ms, struct limiter_result *out) {
    uint64_t wait_ms = meter_wait_ms(limit, cost, now_ms);
    if (wait_ms == UINT64_MAX) { // holds stand in the way: see again when the first of them ends
        const struct hold *first = CONTAINER_OF_CONST(omap_first(&limit->holds), struct hold, of_limit);
        wait_ms = first->until_ms == UINT64_MAX ? 0 : first->until_ms > now_ms ? first->until_ms - now_ms : 1;
    }
    out->retry_after_ms = wait_ms;
    out->remaining = meter_free(limit, now_ms);
}

static void hold_new(struct limiter_state *state, struct apply *apply, struct limit *limit, const struct request *q,
                     uint32_t units, struct limiter_result *out) {
    uint64_t token = state->number = state->number + 1 > apply->index ? state->number + 1 : apply->index;
    uint64_t until_ms = q->ttl_ms > 0 ? limiter_time_after(apply->log_time_ms, q->ttl_ms) : UINT64_MAX;
    struct hold *hold = hold_make(state, limit, q->session, token, units, until_ms);
    hold->since_ms = apply->log_time_ms;
    digest_add(&state->digest, hold_digest_of(hold));
    out->token = token;
    out->until_ms = until_ms;
    out->units = units;
}

static bool request_good(const struct request *q, bool holds, uint64_t ttl_ms_max) {
    if (!name_good(q->name) || !definition_good(&q->def) || q->ttl_ms > ttl_ms_max) return false;
    if (q->least == 0 || q->least > q->units || q->units > LIMITER_UNITS_MAX) return false;
    if (q->least > meter_capacity(&q->def)) return false; // it would never be allowed
    return holds ? q->ttl_ms > 0 || q->session != 0 : q->ttl_ms == 0;
}

static int take(struct limiter_state *state, struct apply *apply, const struct request *q, bool lease,
                struct limiter_result *out) {
    bool holds = lease || q->def.algorithm == LIMITER_CONCURRENCY;
    if (!request_good(q, holds, lease ? LIMITER_LEASE_MS_MAX : LIMITER_TTL_MS_MAX)) return LIMITER_BAD_ARGUMENTS;
    if (holds && owned_count(&state->owned, q->session) >= LIMITER_SESSION_MAX) return LIMITER_LIMIT;
    struct limit *limit;
    int error = limit_for(state, apply, q, &limit);
    if (error != 0) return error;
    uint64_t now_ms = apply->log_time_ms;
    out->limit = meter_capacity(&limit->def);
    digest_sub(&state->digest, limit_digest_of(limit));
    if (meter_wait_ms(limit, q->least, now_ms) > 0) {
        refuse(limit, q->least, now_ms, out);
    } else {
        uint32_t free = meter_free(limit, now_ms), units = q->units < free ? (uint32_t)q->units : free;
        if (limit->def.algorithm == LIMITER_LEAKY_BUCKET) out->delay_ms = meter_turn_ms(limit, now_ms);
        if (holds)
            hold_new(state, apply, limit, q, units, out);
        else
            meter_charge(limit, units, now_ms);
        out->allowed = true;
        out->remaining = meter_free(limit, now_ms);
    }
    limit_set_idle(state, limit);
    digest_add(&state->digest, limit_digest_of(limit));
    return 0;
}

static bool read_take(struct reader *r, struct request *q) {
    q->name = read_blob(r);
    read_definition(r, &q->def);
    q->units = q->least = read_varint(r);
    q->ttl_ms = read_varint(r);
    return reader_done(r);
}

static int apply_take(struct limiter_state *state, struct apply *apply, uint64_t session, struct reader *r,
                      struct limiter_result *out) {
    struct request q = {.session = session};
    if (!read_take(r, &q)) return COMMAND_BAD_COMMAND;
    return take(state, apply, &q, false, out);
}

static int apply_lease(struct limiter_state *state, struct apply *apply, uint64_t session, struct reader *r,
                       struct limiter_result *out) {
    struct request q = {.name = read_blob(r), .session = session};
    read_definition(r, &q.def);
    q.units = read_varint(r);
    q.least = read_varint(r);
    q.ttl_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (q.ttl_ms == 0) return LIMITER_BAD_ARGUMENTS; // the time that a lost node holds it back must have an end
    if (q.def.algorithm == LIMITER_CONCURRENCY || q.def.algorithm == LIMITER_LEAKY_BUCKET) return LIMITER_BAD_ARGUMENTS;
    return take(state, apply, &q, true, out);
}

static struct hold *held(const struct limiter_state *state, uint64_t session, struct bytes name, uint64_t token) {
    struct hold *hold = hold_find(state, session, token);
    return hold && bytes_equal(limit_name(hold->limit), name) ? hold : NULL;
}

static int apply_release(struct limiter_state *state, struct apply *apply, uint64_t session, struct reader *r,
                         struct limiter_result *out) {
    struct bytes name = read_blob(r);
    uint64_t token = read_varint(r), used = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct hold *hold = held(state, session, name, token);
    if (hold == NULL) return LIMITER_NOT_HELD;
    if (used > hold->units) return LIMITER_BAD_ARGUMENTS;
    const struct limit *limit = hold->limit;
    hold_end(state, hold, used, apply->log_time_ms);
    out->limit = meter_capacity(&limit->def);
    out->remaining = meter_free(limit, apply->log_time_ms);
    return 0;
}

static int apply_renew(struct limiter_state *state, struct apply *apply, uint64_t session, struct reader *r,
                       struct limiter_result *out) {
    struct bytes name = read_blob(r);
    uint64_t token = read_varint(r), ttl_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct hold *hold = held(state, session, name, token);
    if (hold == NULL) return LIMITER_NOT_HELD;
    uint64_t max_ms = hold_is_lease(hold) ? LIMITER_LEASE_MS_MAX : LIMITER_TTL_MS_MAX;
    if (ttl_ms == 0 || ttl_ms > max_ms || hold->until_ms == UINT64_MAX) return LIMITER_BAD_ARGUMENTS;
    digest_sub(&state->digest, hold_digest_of(hold));
    hold_set_until(state, hold, limiter_time_after(apply->log_time_ms, ttl_ms));
    digest_add(&state->digest, hold_digest_of(hold));
    out->allowed = true;
    out->token = token;
    out->units = hold->units;
    out->until_ms = hold->until_ms;
    return 0;
}

void limiter_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct limiter_state *state = model;
    struct reader r = reader_of(command->args.data, command->args.len);
    struct limiter_result *out = &state->result;
    memset(out, 0, sizeof *out);
    digest_sub(&state->digest, limiter_counters_digest(state));
    result->value = out;
    switch (command->op) {
    case LIMITER_TAKE:
        result->error = apply_take(state, apply, command->session, &r, out);
        break;
    case LIMITER_LEASE:
        result->error = apply_lease(state, apply, command->session, &r, out);
        break;
    case LIMITER_RELEASE:
        result->error = apply_release(state, apply, command->session, &r, out);
        break;
    case LIMITER_RENEW:
        result->error = apply_renew(state, apply, command->session, &r, out);
        break;
    default:
        result->error = COMMAND_BAD_COMMAND;
    }
    digest_add(&state->digest, limiter_counters_digest(state));
}

// ---- results that are kept for a request's key

// What is kept must be true when it is said again: a permit of a session is looked for; one with a time to live would
// end sooner than its answer says.
static bool keeps(const struct command *command) {
    struct reader r = reader_of(command->args.data, command->args.len);
    struct request q = {0};
    if (command->op == LIMITER_RELEASE) return true;
    if (command->op != LIMITER_TAKE || !read_take(&r, &q)) return false;
    return q.def.algorithm != LIMITER_CONCURRENCY || (command->session != 0 && q.ttl_ms == 0);
}

static bool done(const struct result *result) {
    const struct limiter_result *limiter = result->value;
    return result->error == 0 && (result->op == LIMITER_RELEASE || limiter->allowed);
}

static void write_result(const struct result *result, struct writer *w) {
    const struct limiter_result *limiter = result->value;
    write_varint(w, limiter->limit);
    write_varint(w, limiter->remaining);
    write_varint(w, limiter->delay_ms);
    write_varint(w, limiter->token);
}

static bool read_result(void *model, const struct command *command, struct reader *r, struct result *result) {
    struct limiter_state *state = model;
    struct limiter_result *out = &state->result;
    struct reader arguments = reader_of(command->args.data, command->args.len);
    *out = (struct limiter_result){.allowed = command->op == LIMITER_TAKE, .limit = (uint32_t)read_varint(r)};
    out->remaining = (uint32_t)read_varint(r);
    out->delay_ms = read_varint(r);
    out->token = read_varint(r);
    out->until_ms = UINT64_MAX;
    result->value = out;
    if (out->token != 0 && held(state, command->session, read_blob(&arguments), out->token) == NULL) {
        *out = (struct limiter_result){0};
        result->error = LIMITER_NOT_HELD;
    }
    return reader_done(r);
}

const struct result_keeper limiter_keeper = {.keeps = keeps, .done = done, .write = write_result, .read = read_result};

// ---- bytes

static void write_request(struct writer *w, uint8_t op, uint64_t session, uint64_t attach, struct bytes name,
                          const struct limiter_definition *def) {
    command_write_head(w, MODEL_LIMITER, op, session, attach);
    write_blob(w, name);
    write_u8(w, (uint8_t)def->algorithm);
    write_varint(w, def->rate);
    write_varint(w, def->burst);
    write_varint(w, def->window_ms);
}

void limiter_write_take(struct writer *w, uint64_t session, uint64_t attach, struct bytes name,
                        const struct limiter_definition *definition, uint32_t cost, uint64_t ttl_ms) {
    write_request(w, LIMITER_TAKE, session, attach, name, definition);
    write_varint(w, cost);
    write_varint(w, ttl_ms);
}

void limiter_write_lease(struct writer *w, uint64_t session, uint64_t attach, struct bytes name,
                         const struct limiter_definition *definition, uint32_t units, uint32_t least, uint64_t ttl_ms) {
    write_request(w, LIMITER_LEASE, session, attach, name, definition);
    write_varint(w, units);
    write_varint(w, least);
    write_varint(w, ttl_ms);
}

static void write_held(struct writer *w, uint8_t op, uint64_t session, uint64_t attach, struct bytes name,
                       uint64_t token, uint64_t argument) {
    command_write_head(w, MODEL_LIMITER, op, session, attach);
    write_blob(w, name);
    write_varint(w, token);
    write_varint(w, argument);
}

void limiter_write_release(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t token,
                           uint32_t used) {
    write_held(w, LIMITER_RELEASE, session, attach, name, token, used);
}

void limiter_write_renew(struct writer *w, uint64_t session, uint64_t attach, struct bytes name, uint64_t token,
                         uint64_t ttl_ms) {
    write_held(w, LIMITER_RENEW, session, attach, name, token, ttl_ms);
}
