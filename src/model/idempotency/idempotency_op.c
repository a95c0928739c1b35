// The operations. Each reads all its arguments, then checks everything, then changes; so an error leaves nothing
// behind.
#include "base/assert.h"
#include "base/planted.h"
#include "model/idempotency/idempotency_internal.h"
#include <string.h>

static bool request_good(const struct idempotency_request *q, uint64_t session) {
    if (q->key.len == 0 || q->key.len > IDEMPOTENCY_KEY_BYTES_MAX) return false;
    if (q->fingerprint.len > IDEMPOTENCY_FINGERPRINT_BYTES_MAX || q->owner.len > IDEMPOTENCY_OWNER_BYTES_MAX)
        return false;
    if (q->ttl_ms == 0 || q->ttl_ms > IDEMPOTENCY_TTL_MS_MAX || q->lease_ms > IDEMPOTENCY_LEASE_MS_MAX) return false;
    if (q->lease_ms == 0 && session == 0) return false; // nothing would ever end it
    return q->wait_ms <= IDEMPOTENCY_WAIT_MS_MAX;
}

static bool claim_is(const struct idem_claim *claim, uint64_t session, struct bytes owner) {
    return claim && owner.len > 0 && idem_claim_session(claim) == session &&
           bytes_equal(idem_claim_owner(claim), owner);
}

static struct idem_claim *waiter_of(const struct idem_key *key, uint64_t session, struct bytes owner) {
    for (struct list *at = key->waiters.next; owner.len > 0 && at != &key->waiters; at = at->next) {
        struct idem_claim *claim = CONTAINER_OF(at, struct idem_claim, of_key);
        if (claim_is(claim, session, owner)) return claim;
    }
    return NULL;
}

static struct idem_claim *new_claim(struct idempotency_state *state, struct apply *apply, struct idem_key *key,
                                    uint64_t session, const struct idempotency_request *q) {
    struct idem_claim *claim = idem_claim_make(state, key, session, q->owner, ++state->words[WORD_NUMBER]);
    claim->lease_ms = q->lease_ms;
    claim->ttl_ms = q->ttl_ms;
    claim->since_ms = apply->log_time_ms;
    return claim;
}

static int show_run(const struct idem_claim *claim, struct idempotency_result *out) {
    out->outcome = IDEMPOTENCY_RUNS;
    out->token = claim->token;
    out->ticket = claim->ticket;
    out->attempt = claim->key->attempts;
    return 0;
}

static int show_waiter(const struct idem_claim *claim, struct idempotency_result *out) {
    out->outcome = IDEMPOTENCY_WAITS;
    out->ticket = claim->ticket;
    return 0;
}

static int show_stored(const struct idem_key *key, struct idempotency_result *out) {
    out->outcome = IDEMPOTENCY_STORED;
    out->status = key->status;
    out->failed = key->failed;
    out->body = idem_key_body(key);
    return 0;
}

static int in_progress(const struct idem_key *key, struct idempotency_result *out) {
    out->token = key->token;
    out->holder = idem_claim_owner(key->run);
    out->since_ms = key->run->since_ms;
    out->due_ms = deadline_of(&key->run->due);
    return IDEMPOTENCY_IN_PROGRESS;
}

// The same call's retry: its run begins its lease anew, its place in the queue is kept.
static struct idem_claim *again(struct idempotency_state *state, struct apply *apply, struct idem_key *key,
                                uint64_t session, const struct idempotency_request *q) {
    if (!claim_is(key->run, session, q->owner)) return waiter_of(key, session, q->owner);
    struct idem_claim *run = key->run;
    run->lease_ms = q->lease_ms;
    uint64_t due_ms = q->lease_ms > 0 ? time_after(apply->log_time_ms, q->lease_ms) : NO_DEADLINE;
    deadline_set(&state->due, &run->due, due_ms, run->ticket);
    items_changed(&state->claims, &run->item);
    return run;
}

static int begin(struct idempotency_state *state, struct apply *apply, uint64_t session,
                 const struct idempotency_request *q, struct idempotency_result *out) {
    struct idem_key *key = idem_key_find(state, q->key);
    if (key && !bytes_equal(idem_key_fingerprint(key), q->fingerprint)) return IDEMPOTENCY_MISMATCH;
    if (key && key->done) return show_stored(key, out);
    struct idem_claim *mine = key && key->run ? again(state, apply, key, session, q) : NULL;
    if (mine) return mine->token != 0 ? show_run(mine, out) : show_waiter(mine, out);
    if (key && key->run && q->wait_ms == 0) return in_progress(key, out);
    if (session != 0 && idem_session_claims(state, session) >= IDEMPOTENCY_SESSION_MAX) return IDEMPOTENCY_LIMIT;
    if (key && key->run && key->waiter_count >= IDEMPOTENCY_WAITERS_MAX) return IDEMPOTENCY_LIMIT;
    if (key == NULL) key = idem_key_make(state, q->key, q->fingerprint, ++state->words[WORD_NUMBER]);
    struct idem_claim *claim = new_claim(state, apply, key, session, q);
    if (key->run == NULL) {
        idem_claim_run(state, apply, claim);
        return show_run(claim, out);
    }
    deadline_set(&state->due, &claim->due, time_after(apply->log_time_ms, q->wait_ms), claim->ticket);
    idem_claim_wait(claim);
    items_changed(&state->claims, &claim->item);
    return show_waiter(claim, out);
}

static int apply_begin(struct idempotency_state *state, struct apply *apply, uint64_t session, struct reader *r,
                       struct idempotency_result *out) {
    struct idempotency_request q = {.key = read_blob(r)};
    q.fingerprint = read_blob(r);
    q.owner = read_blob(r);
    q.ttl_ms = read_varint(r);
    q.lease_ms = read_varint(r);
    q.wait_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!request_good(&q, session)) return IDEMPOTENCY_BAD_ARGUMENTS;
    return begin(state, apply, session, &q, out);
}

// Stores what the newest run gave, and tells all who wait for it.
static void store(struct idempotency_state *state, struct apply *apply, struct idem_key *key, bool failed,
                  uint32_t status, struct bytes body) {
    if (key->run) idem_claim_free(state, key->run);
    idem_key_store(key, body);
    key->status = status;
    key->failed = failed;
    while (!list_empty(&key->waiters)) {
        struct idem_claim *waiter = CONTAINER_OF(key->waiters.next, struct idem_claim, of_key);
        idem_claim_tell(apply, waiter, IDEMPOTENCY_EVENT_DONE);
        idem_claim_free(state, waiter);
    }
    key->since_ms = apply->log_time_ms;
    deadline_set(&state->due, &key->due, time_after(apply->log_time_ms, key->ttl_ms), key->number);
    items_changed(&state->keys, &key->item);
}

// 0: under this token may be stored; 1: it was, alike.
static int may_store(const struct idem_key *key, uint64_t token, bool failed, uint32_t status, struct bytes body) {
    bool newest = key != NULL && token != 0 && (key->token == token || PLANTED(IDEMPOTENCY_OLD_TOKEN_STORES));
    if (!newest) return IDEMPOTENCY_NOT_HELD;
    if (!key->done) return 0;
    bool alike = key->failed == failed && key->status == status && bytes_equal(idem_key_body(key), body);
    return alike ? 1 : IDEMPOTENCY_ALREADY;
}

static int apply_complete(struct idempotency_state *state, struct apply *apply, struct reader *r,
                          struct idempotency_result *out) {
    struct bytes name = read_blob(r);
    uint64_t token = read_varint(r), status = read_varint(r);
    struct bytes body = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (status > UINT32_MAX || body.len > IDEMPOTENCY_BODY_BYTES_MAX) return IDEMPOTENCY_BAD_ARGUMENTS;
    struct idem_key *key = idem_key_find(state, name);
    int may = may_store(key, token, false, (uint32_t)status, body);
    if (may < 0) return may;
    out->repeated = may == 1;
    if (may == 0) store(state, apply, key, false, (uint32_t)status, body);
    return 0;
}

static int apply_fail(struct idempotency_state *state, struct apply *apply, struct reader *r,
                      struct idempotency_result *out) {
    struct bytes name = read_blob(r);
    uint64_t token = read_varint(r);
    bool stores = read_u8(r) != 0;
    uint64_t status = read_varint(r);
    struct bytes body = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (status > UINT32_MAX || body.len > IDEMPOTENCY_BODY_BYTES_MAX) return IDEMPOTENCY_BAD_ARGUMENTS;
    struct idem_key *key = idem_key_find(state, name);
    int may = may_store(key, token, true, (uint32_t)status, body);
    if (may < 0) return may;
    out->repeated = may == 1;
    if (may == 1) return 0;
    if (stores) {
        store(state, apply, key, true, (uint32_t)status, body);
        return 0;
    }
    key->token = 0; // it gave up: what it would still store does not count
    if (key->run == NULL) {
        items_changed(&state->keys, &key->item);
        return 0;
    }
    idem_claim_free(state, key->run);
    idem_key_give_on(state, apply, key);
    return 0;
}

static int apply_extend(struct idempotency_state *state, struct apply *apply, struct reader *r,
                        struct idempotency_result *out) {
    struct bytes name = read_blob(r);
    uint64_t token = read_varint(r), lease_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (lease_ms == 0 || lease_ms > IDEMPOTENCY_LEASE_MS_MAX) return IDEMPOTENCY_BAD_ARGUMENTS;
    const struct idem_key *key = idem_key_find(state, name);
    if (key == NULL || key->run == NULL || token == 0 || key->token != token) return IDEMPOTENCY_NOT_HELD;
    struct idem_claim *run = key->run;
    if (PLANTED(IDEMPOTENCY_LEASE_NOT_EXTENDED)) return show_run(run, out);
    run->lease_ms = lease_ms;
    deadline_set(&state->due, &run->due, time_after(apply->log_time_ms, lease_ms), run->ticket);
    items_changed(&state->claims, &run->item);
    return show_run(run, out);
}

static int apply_cancel(struct idempotency_state *state, struct apply *apply, struct reader *r,
                        struct idempotency_result *out) {
    uint8_t ticket_name[8];
    struct bytes name = read_blob(r);
    uint64_t ticket = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    put_u64_be(ticket_name, ticket);
    struct idem_claim *claim = idem_claim_of(items_find(&state->claims, bytes_of(ticket_name, 8)));
    if (claim == NULL || !bytes_equal(item_name(&claim->key->item), name)) return IDEMPOTENCY_NOT_FOUND;
    if (claim->token != 0) return show_run(claim, out); // too late: it runs
    idem_claim_tell(apply, claim, IDEMPOTENCY_EVENT_CANCELLED);
    idem_claim_free(state, claim);
    return 0;
}

static int apply_forget(struct idempotency_state *state, struct reader *r, struct idempotency_result *out) {
    struct bytes name = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct idem_key *key = idem_key_find(state, name);
    if (key == NULL) return IDEMPOTENCY_NOT_FOUND;
    if (key->run) return in_progress(key, out);
    idem_key_free(state, key);
    return 0;
}

void idempotency_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct idempotency_state *state = model;
    struct reader r = reader_of(command->args.data, command->args.len);
    struct idempotency_result *out = &state->result;
    memset(out, 0, sizeof *out);
    result->value = out;
    switch (command->op) {
    case IDEMPOTENCY_BEGIN:
        result->error = apply_begin(state, apply, command->session, &r, out);
        break;
    case IDEMPOTENCY_COMPLETE:
        result->error = apply_complete(state, apply, &r, out);
        break;
    case IDEMPOTENCY_FAIL:
        result->error = apply_fail(state, apply, &r, out);
        break;
    case IDEMPOTENCY_EXTEND:
        result->error = apply_extend(state, apply, &r, out);
        break;
    case IDEMPOTENCY_CANCEL:
        result->error = apply_cancel(state, apply, &r, out);
        break;
    case IDEMPOTENCY_FORGET:
        result->error = apply_forget(state, &r, out);
        break;
    default:
        result->error = COMMAND_BAD_COMMAND;
    }
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}
