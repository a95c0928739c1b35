// Latches. One that is at zero stays until it is set anew, deleted, or its time is over.
#include "base/planted.h"
#include "model/barrier/barrier_internal.h"

static struct latch *latch_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct latch, item) : NULL;
}

static void record(const struct item *item, struct item_record *to) {
    const struct latch *latch = CONTAINER_OF_CONST(item, struct latch, item);
    item_record_u64(to, latch->number);
    item_record_u64(to, latch->count);
    item_record_u64(to, latch->from);
    item_record_u64(to, deadline_of(&latch->due));
}
const struct item_kind latch_kind = {.tag = 'l', .record = record};

static struct latch *latch_make(struct barrier_state *state, struct bytes name, uint64_t number) {
    struct latch *latch = item_make(sizeof *latch, name);
    latch->number = number;
    latch->due.kind = DUE_LATCH;
    items_insert(&state->latches, &latch->item);
    return latch;
}

static void tell(struct apply *apply, const struct latch *latch, bool gone) {
    struct barrier_event event = {.type = BARRIER_EVENT_LATCH, .latch = latch->number, .gone = gone};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_BARRIER, &event);
}

static void set_count(struct barrier_state *state, struct apply *apply, struct latch *latch, uint64_t count) {
    latch->count = count;
    items_changed(&state->latches, &latch->item);
    if (count == 0) tell(apply, latch, false);
}

int latch_apply_set(struct barrier_state *state, struct apply *apply, struct reader *r, struct barrier_result *out) {
    struct bytes name = read_blob(r);
    uint64_t count = read_varint(r), ttl_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!barrier_name_good(name) || count > LATCH_COUNT_MAX || ttl_ms > BARRIER_WAIT_MS_MAX)
        return BARRIER_BAD_ARGUMENTS;
    struct latch *latch = latch_of(items_find(&state->latches, name));
    if (latch == NULL) latch = latch_make(state, name, ++state->words[WORD_NUMBER]);
    deadline_set(&state->due, &latch->due, ttl_ms > 0 ? time_after(apply->log_time_ms, ttl_ms) : NO_DEADLINE,
                 latch->number);
    latch->from = out->count = count;
    set_count(state, apply, latch, count);
    return 0;
}

int latch_apply_down(struct barrier_state *state, struct apply *apply, struct reader *r, struct barrier_result *out) {
    struct bytes name = read_blob(r);
    uint64_t by = read_varint(r);
    struct bytes request = read_blob(r);
    uint64_t ttl_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!barrier_name_good(name) || by == 0 || by > LATCH_COUNT_MAX || request.len > REMEMBER_ID_BYTES_MAX)
        return BARRIER_BAD_ARGUMENTS;
    if (request.len > 0 && (ttl_ms == 0 || ttl_ms > REMEMBER_TTL_MS_MAX)) return BARRIER_BAD_ARGUMENTS;
    struct latch *latch = latch_of(items_find(&state->latches, name));
    if (latch == NULL) return BARRIER_NOT_FOUND;
    uint8_t fingerprint[8], answer[8];
    put_u64_le(fingerprint, by);
    const struct remembered *known = request.len > 0 ? remember_find(&state->requests, latch->number, request) : NULL;
    if (known) {
        if (!remembered_same(known, bytes_of(fingerprint, 8))) return BARRIER_MISMATCH;
        out->count = get_u64_le(remembered_answer(known).data);
        return 0;
    }
    if (request.len > 0 && state->requests.items.map.count >= BARRIER_REQUESTS_MAX) return BARRIER_LIMIT;
    out->count = latch->count > by ? latch->count - by : 0;
    put_u64_le(answer, out->count);
    if (request.len > 0 && !PLANTED(LATCH_COUNTS_A_RETRY))
        remember_add(&state->requests, latch->number, request, bytes_of(fingerprint, 8), bytes_of(answer, 8),
                     ++state->words[WORD_NUMBER], time_after(apply->log_time_ms, ttl_ms));
    if (latch->count > 0) set_count(state, apply, latch, out->count);
    return 0;
}

void latch_end(struct barrier_state *state, struct apply *apply, struct latch *latch) {
    tell(apply, latch, true);
    deadline_set(&state->due, &latch->due, NO_DEADLINE, 0);
    items_remove(&state->latches, &latch->item);
}

int latch_apply_delete(struct barrier_state *state, struct apply *apply, struct reader *r) {
    struct bytes name = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct latch *latch = latch_of(items_find(&state->latches, name));
    if (latch == NULL) return BARRIER_NOT_FOUND;
    latch_end(state, apply, latch);
    return 0;
}

void latch_show(const struct item *item, const struct barrier_query *query) {
    const struct latch *latch = CONTAINER_OF_CONST(item, struct latch, item);
    struct latch_info info = {.name = item_name(item),
                              .number = latch->number,
                              .count = latch->count,
                              .from = latch->from,
                              .due_ms = deadline_of(&latch->due)};
    query->latch(query->context, &info);
}

bool latch_load(struct barrier_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t number = read_u64_le(r), count = read_u64_le(r), from = read_u64_le(r), due_ms = read_u64_le(r);
    if (r->failed || !barrier_name_good(name) || items_find(&state->latches, name)) return false;
    if (number > state->words[WORD_NUMBER] || from > LATCH_COUNT_MAX || count > from) return false;
    struct latch *latch = latch_make(state, name, number);
    latch->count = count;
    latch->from = from;
    deadline_set(&state->due, &latch->due, due_ms, number);
    items_changed(&state->latches, &latch->item);
    return true;
}
