// Named sequences. Each operation reads all its arguments, then checks everything, then changes; so an error leaves
// nothing behind.
//
// Invariants: next only grows; every number that was given is below next.
#include "base/assert.h"
#include "base/planted.h"
#include "model/sequence/sequence_internal.h"

static void record(const struct item *item, struct item_record *to) {
    const struct sequence *sequence = CONTAINER_OF_CONST(item, struct sequence, item);
    item_record_u64(to, sequence->next);
    item_record_u64(to, sequence->step);
    item_record_u64(to, sequence->ceiling);
    item_record_u64(to, sequence->number);
    item_record_u64(to, sequence->distance);
    item_record_u64(to, sequence->block_max);
    item_record_u64(to, sequence->gapless);
}

const struct item_kind sequence_kind = {.tag = 's', .record = record};

static bool settings_good(const struct sequence_settings *s) {
    if (s->name.len == 0 || s->name.len > SEQUENCE_NAME_BYTES_MAX) return false;
    if (s->step == 0 || s->step > SEQUENCE_STEP_MAX || s->ceiling > SEQUENCE_CEILING_MAX) return false;
    return s->start <= s->ceiling && s->block_max > 0 && s->block_max <= SEQUENCE_BLOCK_MAX;
}

static struct sequence *make(struct sequence_state *state, const struct sequence_settings *s) {
    struct sequence *sequence = item_make(sizeof *sequence, s->name);
    sequence->next = s->start;
    sequence->step = s->step;
    sequence->ceiling = s->ceiling;
    sequence->block_max = s->block_max;
    sequence->gapless = s->gapless;
    sequence->number = ++state->words[WORD_NUMBER];
    sequence->distance = state->words[WORD_DISTANCE];
    ENSURE(items_insert(&state->sequences, &sequence->item));
    items_changed(&state->sequences, &sequence->item);
    return sequence;
}

int sequence_apply_create(struct sequence_state *state, struct reader *r) {
    struct sequence_settings s = {.name = read_blob(r)};
    s.start = read_varint(r);
    s.step = read_varint(r);
    s.ceiling = read_varint(r);
    uint64_t block_max = read_varint(r), gapless = read_u8(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    s.block_max = block_max > SEQUENCE_BLOCK_MAX ? 0 : (uint32_t)block_max;
    s.gapless = gapless != 0;
    if (!settings_good(&s)) return SEQUENCE_BAD_ARGUMENTS;
    const struct sequence *old = sequence_of(items_find(&state->sequences, s.name));
    if (old == NULL) {
        make(state, &s);
        return 0;
    }
    bool alike = old->step == s.step && old->ceiling == s.ceiling && old->block_max == s.block_max &&
                 old->gapless == s.gapless && old->next >= s.start;
    return alike ? 0 : SEQUENCE_EXISTS;
}

// The number that is given next, with what a restore costs: as many numbers as entries can have given that this state
// does not know. Above the ceiling: none.
static uint64_t next_of(const struct sequence_state *state, const struct sequence *sequence) {
    unsigned __int128 lost =
        (unsigned __int128)(state->words[WORD_DISTANCE] - sequence->distance) * sequence->block_max * sequence->step;
    return sequence->next + lost > sequence->ceiling ? sequence->ceiling + 1 : sequence->next + (uint64_t)lost;
}

static void repeat(const struct remembered *request, struct sequence_result *out) {
    struct bytes answer = remembered_answer(request);
    struct reader r = reader_of(answer.data, answer.len);
    out->first = read_u64_le(&r);
    out->step = read_u64_le(&r);
    out->count = (uint32_t)read_u64_le(&r);
    out->repeated = true;
}

static void keep(struct sequence_state *state, const struct apply *apply, const struct sequence *sequence,
                 const struct sequence_request *q, const struct sequence_result *out) {
    uint8_t answer[24];
    put_u64_le(answer, out->first);
    put_u64_le(answer + 8, out->step);
    put_u64_le(answer + 16, out->count);
    remember_add(&state->keys, sequence->number, q->key, q->fingerprint, bytes_of(answer, sizeof answer),
                 ++state->words[WORD_NUMBER], time_after(apply->log_time_ms, q->key_ttl_ms));
}

static int next(struct sequence_state *state, struct apply *apply, const struct sequence_request *q,
                struct sequence_result *out) {
    struct sequence *sequence = sequence_of(items_find(&state->sequences, q->name));
    bool keyed = q->key.len > 0;
    const struct remembered *known = sequence && keyed ? remember_find(&state->keys, sequence->number, q->key) : NULL;
    if (known && !remembered_same(known, q->fingerprint)) return SEQUENCE_MISMATCH;
    if (known) {
        repeat(known, out);
        return out->count == q->count ? 0 : SEQUENCE_MISMATCH;
    }
    if (keyed && state->keys.items.map.count >= SEQUENCE_KEYS_MAX) return SEQUENCE_LIMIT;
    if (q->count > (sequence ? sequence->block_max : SEQUENCE_BLOCK_DEFAULT)) return SEQUENCE_LIMIT;
    if (sequence == NULL) {
        struct sequence_settings usual = {q->name, 1, 1, SEQUENCE_CEILING_MAX, SEQUENCE_BLOCK_DEFAULT, keyed};
        sequence = make(state, &usual);
    }
    if (sequence->gapless && !keyed) return SEQUENCE_KEY_NEEDED;
    if (sequence->gapless && sequence->distance != state->words[WORD_DISTANCE]) return SEQUENCE_RESTORED;
    uint64_t first = next_of(state, sequence);
    if (first > sequence->ceiling || (q->count - 1) > (sequence->ceiling - first) / sequence->step)
        return SEQUENCE_EXHAUSTED;
    out->first = first;
    out->step = sequence->step;
    out->count = q->count;
    sequence->next = first + q->count * sequence->step; // below 2^63 + 2^52
    if (PLANTED(SEQUENCE_BLOCK_SHORT) && q->count > 1) sequence->next -= sequence->step;
    sequence->distance = state->words[WORD_DISTANCE];
    items_changed(&state->sequences, &sequence->item);
    if (keyed && !PLANTED(GAPLESS_KEY_NOT_KEPT)) keep(state, apply, sequence, q, out);
    return 0;
}

int sequence_apply_next(struct sequence_state *state, struct apply *apply, struct reader *r,
                        struct sequence_result *out) {
    struct sequence_request q = {.name = read_blob(r)};
    uint64_t count = read_varint(r);
    q.key = read_blob(r);
    q.fingerprint = read_blob(r);
    q.key_ttl_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (q.name.len == 0 || q.name.len > SEQUENCE_NAME_BYTES_MAX || count == 0) return SEQUENCE_BAD_ARGUMENTS;
    if (q.key.len > REMEMBER_ID_BYTES_MAX || q.fingerprint.len > REMEMBER_FINGERPRINT_BYTES_MAX)
        return SEQUENCE_BAD_ARGUMENTS;
    if (q.key.len > 0 && (q.key_ttl_ms == 0 || q.key_ttl_ms > REMEMBER_TTL_MS_MAX)) return SEQUENCE_BAD_ARGUMENTS;
    if (count > SEQUENCE_BLOCK_MAX) return SEQUENCE_LIMIT;
    q.count = (uint32_t)count;
    return next(state, apply, &q, out);
}

int sequence_apply_set(struct sequence_state *state, struct reader *r) {
    struct bytes name = read_blob(r);
    uint64_t value = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct sequence *sequence = sequence_of(items_find(&state->sequences, name));
    if (sequence == NULL) return SEQUENCE_NOT_FOUND;
    if (value > sequence->ceiling) return SEQUENCE_BAD_ARGUMENTS;
    if (value < sequence->next) return SEQUENCE_BACKWARD;
    sequence->next = value;
    sequence->distance = state->words[WORD_DISTANCE]; // the operator knows what was given
    items_changed(&state->sequences, &sequence->item);
    return 0;
}

bool sequence_load(struct sequence_state *state, struct reader *r) {
    struct sequence_settings s = {.name = item_read_text(r)};
    s.start = read_u64_le(r);
    s.step = read_u64_le(r);
    s.ceiling = read_u64_le(r);
    uint64_t number = read_u64_le(r), distance = read_u64_le(r), block_max = read_u64_le(r), gapless = read_u64_le(r);
    s.block_max = block_max > SEQUENCE_BLOCK_MAX ? 0 : (uint32_t)block_max;
    s.gapless = gapless == 1;
    uint64_t next_number = s.start;
    if (s.start > s.ceiling) s.start = s.ceiling; // exhausted is good here, unlike in CREATE
    if (r->failed || !settings_good(&s) || gapless > 1 || items_find(&state->sequences, s.name)) return false;
    if (next_number > s.ceiling + s.step || number > state->words[WORD_NUMBER]) return false;
    if (distance > state->words[WORD_DISTANCE]) return false;
    uint64_t newest = state->words[WORD_NUMBER];
    struct sequence *sequence = make(state, &s);
    state->words[WORD_NUMBER] = newest;
    sequence->next = next_number;
    sequence->number = number;
    sequence->distance = distance;
    items_changed(&state->sequences, &sequence->item);
    return true;
}
