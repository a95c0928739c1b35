// Records and load. Keys come before claims, claims in the order of their tickets, so queues are as they were.
#include "base/assert.h"
#include "model/idempotency/idempotency_internal.h"
#include <errno.h>

#define TABLES(state)                                                                                                  \
    { &(state)->keys, &(state)->claims, &(state)->once.items }
enum { TABLE_COUNT = 3 };

static void record_key(const struct item *item, struct item_record *to) {
    const struct idem_key *key = CONTAINER_OF_CONST(item, struct idem_key, item);
    item_record_text(to, idem_key_fingerprint(key));
    item_record_u64(to, key->number);
    item_record_u64(to, key->token);
    item_record_u64(to, key->ttl_ms);
    item_record_u64(to, key->since_ms);
    item_record_u64(to, deadline_of(&key->due));
    item_record_u64(to, key->attempts);
    item_record_u64(to, key->status);
    item_record_u64(to, (uint64_t)key->done | (uint64_t)key->failed << 1);
    item_record_u64(to, key->body_digest.lo);
    item_record_u64(to, key->body_digest.hi);
}

static struct bytes body_of(const struct item *item) {
    return idem_key_body(CONTAINER_OF_CONST(item, struct idem_key, item));
}

static void record_claim(const struct item *item, struct item_record *to) {
    const struct idem_claim *claim = CONTAINER_OF_CONST(item, struct idem_claim, item);
    item_record_text(to, item_name(&claim->key->item));
    item_record_text(to, idem_claim_owner(claim));
    item_record_u64(to, idem_claim_session(claim));
    item_record_u64(to, claim->token);
    item_record_u64(to, claim->lease_ms);
    item_record_u64(to, claim->ttl_ms);
    item_record_u64(to, claim->since_ms);
    item_record_u64(to, deadline_of(&claim->due));
}

const struct item_kind idem_key_kind = {.tag = 'k', .record = record_key, .body = body_of};
const struct item_kind idem_claim_kind = {.tag = 'c', .record = record_claim};

size_t idempotency_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    const struct idempotency_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_save(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT, cursor, out, capacity);
}

struct digest idempotency_digest_recount(const void *model) {
    const struct idempotency_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_recount(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT);
}

static bool load_key(struct idempotency_state *state, struct reader *r) {
    struct bytes name = item_read_text(r), fingerprint = item_read_text(r);
    struct idem_key k = {.number = read_u64_le(r)};
    k.token = read_u64_le(r);
    k.ttl_ms = read_u64_le(r);
    k.since_ms = read_u64_le(r);
    uint64_t due_ms = read_u64_le(r), attempts = read_u64_le(r), status = read_u64_le(r), flags = read_u64_le(r);
    k.body_digest.lo = read_u64_le(r);
    k.body_digest.hi = read_u64_le(r);
    struct bytes body = items_read_body(r);
    if (r->failed || name.len == 0 || name.len > IDEMPOTENCY_KEY_BYTES_MAX || idem_key_find(state, name)) return false;
    if (fingerprint.len > IDEMPOTENCY_FINGERPRINT_BYTES_MAX || body.len > IDEMPOTENCY_BODY_BYTES_MAX) return false;
    if (k.number > state->words[WORD_NUMBER] || k.token > state->words[WORD_TOKEN]) return false;
    if (attempts > UINT32_MAX || status > UINT32_MAX || flags > 3) return false;
    bool done = (flags & 1) != 0;
    if (!done && body.len > 0) return false;
    struct idem_key *key = idem_key_make(state, name, fingerprint, k.number);
    key->token = k.token;
    key->ttl_ms = k.ttl_ms;
    key->since_ms = k.since_ms;
    key->attempts = (uint32_t)attempts;
    key->status = (uint32_t)status;
    key->failed = (flags & 2) != 0;
    if (done) idem_key_store(key, body);
    deadline_set(&state->due, &key->due, due_ms, key->number);
    items_changed(&state->keys, &key->item);
    return digest_equal(key->body_digest, k.body_digest);
}

static bool load_claim(struct idempotency_state *state, struct reader *r) {
    struct bytes ticket_name = item_read_text(r), name = item_read_text(r), owner = item_read_text(r);
    uint64_t session = read_u64_le(r), token = read_u64_le(r), lease_ms = read_u64_le(r), ttl_ms = read_u64_le(r);
    uint64_t since_ms = read_u64_le(r), due_ms = read_u64_le(r);
    if (r->failed || ticket_name.len != 8 || owner.len > IDEMPOTENCY_OWNER_BYTES_MAX) return false;
    struct reader ticket_reader = reader_of(ticket_name.data, 8);
    uint64_t ticket = read_u64_be(&ticket_reader);
    struct idem_key *key = idem_key_find(state, name);
    if (key == NULL || key->done || deadline_of(&key->due) != NO_DEADLINE) return false;
    if (ticket == 0 || ticket > state->words[WORD_NUMBER]) return false;
    if (token != 0 ? key->run != NULL || token != key->token : due_ms == NO_DEADLINE) return false;
    struct idem_claim *claim = idem_claim_make(state, key, session, owner, ticket);
    if (claim == NULL) return false;
    claim->token = token;
    claim->lease_ms = lease_ms;
    claim->ttl_ms = ttl_ms;
    claim->since_ms = since_ms;
    if (token != 0)
        key->run = claim;
    else
        idem_claim_wait(claim);
    deadline_set(&state->due, &claim->due, due_ms, ticket);
    items_changed(&state->claims, &claim->item);
    return true;
}

static bool load_once(struct idempotency_state *state, struct reader *r) {
    const struct remembered *request = remember_load(&state->once, r);
    return request != NULL && request->scope == 0 && request->number <= state->words[WORD_NUMBER];
}

int idempotency_load(void *model, const uint8_t *data, size_t len) {
    struct idempotency_state *state = model;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        uint8_t tag = read_u8(&r);
        bool good = tag == 0                     ? items_load_head(&state->sum, &r, state->words, WORD_COUNT)
                    : tag == idem_key_kind.tag   ? load_key(state, &r)
                    : tag == idem_claim_kind.tag ? load_claim(state, &r)
                    : tag == 'r'                 ? load_once(state, &r)
                                                 : false;
        if (!good) return -EBADMSG;
    }
    return r.failed ? -EBADMSG : 0;
}
