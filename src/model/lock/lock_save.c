// Save, load and digests. A record is the counters, a lock's head, a claim of the lock whose head came last, or that
// claim's value; what is saved of an item is also what its digest is over.
#include "base/alloc.h"
#include "model/lock/lock_internal.h"
#include <errno.h>
#include <string.h>

enum { RECORD_COUNTERS = 1, RECORD_LOCK = 2, RECORD_HOLDER = 3, RECORD_WAITER = 4, RECORD_VALUE = 5 };
#define RECORD_BYTES_MAX (1 + 2 * (2 + 255) + 12 * 8)
#define VALUE_RECORD_BYTES_MAX (1 + 2 * 8 + 2 + LOCK_VALUE_BYTES_MAX)
#define DIGEST_DOMAIN 0x6c6f636bull

struct out {
    uint8_t *at;
};
static void out_u64(struct out *out, uint64_t v) {
    put_u64_le(out->at, v);
    out->at += 8;
}
static void out_text(struct out *out, const uint8_t *text, size_t len) {
    put_u16_le(out->at, (uint16_t)len);
    if (len > 0) memcpy(out->at + 2, text, len);
    out->at += 2 + len;
}

static size_t counters_record(const struct lock_state *state, uint8_t *to) {
    struct out out = {to};
    *out.at++ = RECORD_COUNTERS;
    out_u64(&out, state->number);
    out_u64(&out, state->token);
    return (size_t)(out.at - to);
}

static size_t lock_record(const struct lock *lock, uint8_t *to) {
    struct out out = {to};
    *out.at++ = RECORD_LOCK;
    out_text(&out, lock->name, lock->name_len);
    out_u64(&out, lock->number);
    out_u64(&out, lock->mode);
    out_u64(&out, lock->total);
    out_u64(&out, lock->delay.at != 0 ? lock->delay.time : UINT64_MAX);
    return (size_t)(out.at - to);
}

static size_t claim_record(const struct claim *claim, uint8_t *to) {
    struct out out = {to};
    *out.at++ = claim->token != 0 ? RECORD_HOLDER : RECORD_WAITER;
    out_u64(&out, claim->lock->number);
    out_text(&out, claim->owner->text, claim->owner->len);
    out_u64(&out, owner_session(claim->owner));
    out_u64(&out, claim_number(claim));
    out_u64(&out, claim->ticket);
    out_u64(&out, claim->token);
    out_u64(&out, claim->since_ms);
    out_u64(&out, claim->ttl_ms);
    out_u64(&out, claim->delay_ms);
    out_u64(&out, claim->mode);
    out_u64(&out, claim->permits);
    out_u64(&out, claim->holds);
    out_u64(&out, claim->due.at != 0 ? claim->due.time : UINT64_MAX);
    return (size_t)(out.at - to);
}

static size_t value_record(const struct claim *claim, uint8_t *to) {
    struct out out = {to};
    *out.at++ = RECORD_VALUE;
    out_u64(&out, claim_number(claim));
    out_u64(&out, claim->value->version);
    out_text(&out, claim->value->bytes, claim->value->len);
    return (size_t)(out.at - to);
}

struct digest counters_digest_of(const struct lock_state *state) {
    uint8_t record[RECORD_BYTES_MAX];
    return digest_hash(record, counters_record(state, record), DIGEST_DOMAIN);
}
struct digest lock_digest_of(const struct lock *lock) {
    uint8_t record[RECORD_BYTES_MAX];
    return digest_hash(record, lock_record(lock, record), DIGEST_DOMAIN);
}
struct digest claim_digest_of(const struct claim *claim) {
    uint8_t record[RECORD_BYTES_MAX], value[VALUE_RECORD_BYTES_MAX];
    struct digest digest = digest_hash(record, claim_record(claim, record), DIGEST_DOMAIN);
    if (claim->value) digest_add(&digest, digest_hash(value, value_record(claim, value), DIGEST_DOMAIN));
    return digest;
}

static void recount_claims(const struct list *claims, struct digest *sum) {
    for (const struct list *at = claims->next; at != claims; at = at->next)
        digest_add(sum, claim_digest_of(CONTAINER_OF_CONST(at, struct claim, of_lock)));
}

struct digest lock_digest_recount(const void *model) {
    const struct lock_state *state = model;
    struct digest sum = counters_digest_of(state);
    for (const struct list *at = state->all.next; at != &state->all; at = at->next) {
        const struct lock *lock = CONTAINER_OF_CONST(at, struct lock, all);
        digest_add(&sum, lock_digest_of(lock));
        recount_claims(&lock->holders, &sum);
        recount_claims(&lock->waiters, &sum);
    }
    return sum;
}

// ---- save: counters, then each lock, its holders, its waiters, in their orders

enum { AT_COUNTERS, AT_LOCK, AT_HOLDERS, AT_WAITERS, AT_END };

static void next_lock(struct save_cursor *cursor, const struct lock_state *state, const struct list *lock) {
    cursor->words[0] = lock == &state->all ? AT_END : AT_LOCK;
    cursor->words[1] = (uint64_t)(uintptr_t)lock;
}

// Writes the record under the cursor (a claim with its value), moves the cursor; 0: nothing stood there.
static size_t save_one(const struct lock_state *state, struct save_cursor *cursor, uint8_t *out) {
    if (cursor->words[0] == AT_COUNTERS) {
        next_lock(cursor, state, state->all.next);
        return counters_record(state, out);
    }
    const struct list *place = (const struct list *)(uintptr_t)cursor->words[1];
    const struct lock *lock = CONTAINER_OF_CONST(place, struct lock, all);
    if (cursor->words[0] == AT_LOCK) {
        cursor->words[0] = AT_HOLDERS;
        cursor->words[2] = (uint64_t)(uintptr_t)lock->holders.next;
        return lock_record(lock, out);
    }
    bool holders = cursor->words[0] == AT_HOLDERS;
    const struct list *end = holders ? &lock->holders : &lock->waiters;
    const struct list *at = (const struct list *)(uintptr_t)cursor->words[2];
    if (at != end) {
        cursor->words[2] = (uint64_t)(uintptr_t)at->next;
        const struct claim *claim = CONTAINER_OF_CONST(at, struct claim, of_lock);
        size_t len = claim_record(claim, out);
        return len + (claim->value ? value_record(claim, out + len) : 0);
    }
    if (holders) {
        cursor->words[0] = AT_WAITERS;
        cursor->words[2] = (uint64_t)(uintptr_t)lock->waiters.next;
    } else {
        next_lock(cursor, state, place->next);
    }
    return 0;
}

size_t lock_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    size_t len = 0;
    while (cursor->words[0] != AT_END && capacity - len >= RECORD_BYTES_MAX + VALUE_RECORD_BYTES_MAX)
        len += save_one(model, cursor, out + len);
    return len;
}

// ---- load

static struct bytes read_text(struct reader *r) {
    return read_span(r, read_u16_le(r));
}

static bool load_lock(struct lock_state *state, struct reader *r) {
    struct bytes name = read_text(r);
    uint64_t number = read_u64_le(r), mode = read_u64_le(r), total = read_u64_le(r), delay = read_u64_le(r);
    bool good = !r->failed && name.len > 0 && name.len <= LOCK_NAME_BYTES_MAX && lock_find(state, name) == NULL &&
                (mode == LOCK_EXCLUSIVE || mode == LOCK_PERMITS || mode == LOCK_ELECTION) && total <= UINT32_MAX &&
                number <= state->number;
    if (!good) return false;
    if (!list_empty(&state->all) && CONTAINER_OF(state->all.prev, struct lock, all)->number >= number) return false;
    struct lock *lock = lock_make(state, name, (enum lock_mode)mode, (uint32_t)total);
    lock->number = number;
    if (delay != UINT64_MAX) heap_set(&state->delays_due, &lock->delay, delay, number);
    digest_add(&state->digest, lock_digest_of(lock));
    return true;
}

struct loaded { // a claim as its record has it
    struct bytes owner;
    uint64_t session, number, ticket, token, since_ms, ttl_ms, delay_ms, mode, permits, holds, due_ms;
};

static bool counts_good(const struct loaded *c, bool holds) {
    if (c->mode > LOCK_ELECTION || c->permits == 0 || c->permits > UINT32_MAX || c->holds > UINT32_MAX) return false;
    if (c->ttl_ms > LOCK_TTL_MS_MAX || c->delay_ms > LOCK_TTL_MS_MAX || c->since_ms > CLAIM_SINCE_MS_MAX) return false;
    return c->owner.len <= LOCK_OWNER_BYTES_MAX && (c->token != 0) == holds && (!holds || c->holds > 0);
}

static bool claim_good(const struct lock_state *state, const struct lock *lock, const struct loaded *c, bool holds) {
    if (!counts_good(c, holds) || c->number > c->ticket || c->ticket > state->number || c->token > state->token)
        return false;
    if (lock->mode != lock_kind((enum lock_mode)c->mode)) return false;
    const struct lock_owner *known = owner_find(state, c->session, c->owner);
    if (known != NULL && claim_of(lock, known) != NULL) return false;
    bool first = holds || list_empty(&lock->waiters); // who waits stands behind all who came before
    if (!first && claim_number(CONTAINER_OF_CONST(lock->waiters.prev, struct claim, of_lock)) >= c->number)
        return false;
    return !holds || lock->mode != LOCK_PERMITS || lock->total - lock->taken >= c->permits;
}

static bool load_claim(struct lock_state *state, struct reader *r, bool holds) {
    struct lock *lock = list_empty(&state->all) ? NULL : CONTAINER_OF(state->all.prev, struct lock, all);
    uint64_t number = read_u64_le(r);
    struct loaded c = {.owner = read_text(r)};
    uint64_t *const numbers[] = {&c.session,  &c.number, &c.ticket,  &c.token, &c.since_ms, &c.ttl_ms,
                                 &c.delay_ms, &c.mode,   &c.permits, &c.holds, &c.due_ms};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) *numbers[i] = read_u64_le(r);
    if (r->failed || lock == NULL || lock->number != number || !claim_good(state, lock, &c, holds)) return false;
    struct claim *claim = claim_make(state, lock, c.session, c.owner, c.number);
    claim->ticket = c.ticket;
    claim->token = c.token;
    claim->since_ms = c.since_ms & CLAIM_SINCE_MS_MAX;
    claim->ttl_ms = (uint32_t)c.ttl_ms;
    claim->delay_ms = (uint32_t)c.delay_ms;
    claim->mode = c.mode & 3u;
    claim->permits = (uint32_t)c.permits;
    claim->holds = (uint32_t)c.holds;
    claim_set_due(state, claim, c.due_ms);
    if (c.mode == LOCK_ELECTION) claim_set_value(state, claim, bytes_of("", 0)); // its own follows
    claim_link(claim, holds);
    digest_add(&state->digest, claim_digest_of(claim));
    return true;
}

static bool load_value(struct lock_state *state, struct reader *r) {
    struct lock *lock = list_empty(&state->all) ? NULL : CONTAINER_OF(state->all.prev, struct lock, all);
    uint64_t number = read_u64_le(r), version = read_u64_le(r);
    struct bytes value = read_text(r);
    if (r->failed || lock == NULL || value.len > LOCK_VALUE_BYTES_MAX || version > state->token) return false;
    struct list *of = lock->waiter_count > 0 ? &lock->waiters : &lock->holders;
    struct claim *claim = list_empty(of) ? NULL : CONTAINER_OF(of->prev, struct claim, of_lock);
    if (claim == NULL || claim_number(claim) != number || claim->value == NULL) return false;
    if (claim->token == 0 ? version != 0 : version < claim->token) return false;
    digest_sub(&state->digest, claim_digest_of(claim));
    claim_set_value(state, claim, value);
    claim->value->version = version;
    digest_add(&state->digest, claim_digest_of(claim));
    return true;
}

static bool load_counters(struct lock_state *state, struct reader *r) {
    digest_sub(&state->digest, counters_digest_of(state));
    state->number = read_u64_le(r);
    state->token = read_u64_le(r);
    digest_add(&state->digest, counters_digest_of(state));
    return !r->failed && list_empty(&state->all);
}

int lock_load(void *model, const uint8_t *data, size_t len) {
    struct lock_state *state = model;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        uint8_t kind = read_u8(&r);
        bool good = kind == RECORD_COUNTERS                          ? load_counters(state, &r)
                    : kind == RECORD_LOCK                            ? load_lock(state, &r)
                    : kind == RECORD_VALUE                           ? load_value(state, &r)
                    : kind == RECORD_HOLDER || kind == RECORD_WAITER ? load_claim(state, &r, kind == RECORD_HOLDER)
                                                                     : false;
        if (!good) return -EBADMSG;
    }
    return r.failed ? -EBADMSG : 0;
}
