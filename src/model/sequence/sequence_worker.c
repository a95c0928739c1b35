// Ids in the order of time: workers' leases with their ranges of time, and ids of the group itself.
//
// Invariants: until_ms of a worker's number only grows, and the ranges that were given under the number are disjoint;
// the group's own place only grows.
#include "base/assert.h"
#include "base/planted.h"
#include "model/sequence/sequence_internal.h"
#include <string.h>

#define TIME_BITS_MS ((1ull << 41) - 1)

static void record(const struct item *item, struct item_record *to) {
    const struct sequence_worker *worker = CONTAINER_OF_CONST(item, struct sequence_worker, item);
    item_record_u64(to, worker->token);
    item_record_u64(to, worker->session);
    item_record_u64(to, worker->since_ms);
    item_record_u64(to, worker->from_ms);
    item_record_u64(to, worker->until_ms);
    item_record_u64(to, deadline_of(&worker->due));
    item_record_text(to, bytes_of(worker->owner, worker->owner_len));
}

const struct item_kind sequence_worker_kind = {.tag = 'w', .record = record};

// Behind all keys that end at the same time: the ties of a heap must differ, or its order would hang on its history.
static void set_due(struct sequence_state *state, struct sequence_worker *worker, uint64_t at_ms) {
    deadline_set(&state->due, &worker->due, at_ms, 1ull << 63 | worker->number);
}

static void number_name(uint32_t number, uint8_t name[2]) {
    name[0] = (uint8_t)(number >> 8);
    name[1] = (uint8_t)number;
}

static struct sequence_worker *worker_find(const struct sequence_state *state, uint64_t number) {
    uint8_t name[2];
    if (number == 0 || number >= SEQUENCE_WORKERS) return NULL;
    number_name((uint32_t)number, name);
    return sequence_worker_of(items_find(&state->workers, bytes_of(name, 2)));
}

static struct sequence_worker *worker_make(struct sequence_state *state, uint32_t number) {
    uint8_t name[2];
    number_name(number, name);
    struct sequence_worker *worker = item_make(sizeof *worker, bytes_of(name, 2));
    worker->number = number;
    worker->due.kind = DUE_WORKER;
    ENSURE(items_insert(&state->workers, &worker->item));
    return worker;
}

// Unix time, if ids can have it.
static bool clock_good(const struct apply *apply) {
    return apply->unix_ms >= SEQUENCE_EPOCH_UNIX_MS &&
           (uint64_t)(apply->unix_ms - SEQUENCE_EPOCH_UNIX_MS) < TIME_BITS_MS - SEQUENCE_WINDOW_MS_MAX;
}

// 0 when ids may be given now.
static int not_ready(const struct sequence_state *state, const struct apply *apply, struct sequence_result *out) {
    if (!clock_good(apply)) return SEQUENCE_CLOCK;
    if (apply->log_time_ms >= state->words[WORD_READY_MS]) return 0;
    out->retry_ms = state->words[WORD_READY_MS] - apply->log_time_ms;
    return SEQUENCE_BUSY;
}

int sequence_worker_apply_ids(struct sequence_state *state, struct apply *apply, struct reader *r,
                              struct sequence_result *out) {
    uint64_t count = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (count == 0) return SEQUENCE_BAD_ARGUMENTS;
    if (count > SEQUENCE_IDS_MAX) return SEQUENCE_LIMIT;
    int error = not_ready(state, apply, out);
    if (error) return error;
    uint64_t now = (uint64_t)(apply->unix_ms - SEQUENCE_EPOCH_UNIX_MS), place = now << 12;
    if (place < state->words[WORD_IDS_NEXT]) place = state->words[WORD_IDS_NEXT];
    uint64_t last_ms = (place + count - 1) >> 12;
    if (last_ms > now + SEQUENCE_WINDOW_MS_MAX) { // so far ahead of the clock that a restore could not know
        out->retry_ms = last_ms - now - SEQUENCE_WINDOW_MS_MAX;
        return SEQUENCE_BUSY;
    }
    state->words[WORD_IDS_NEXT] = place + count;
    out->first = place >> 12 << 22 | (place & 4095);
    out->count = (uint32_t)count;
    return 0;
}

// A number that was never leased, or whose last range is over: the one that is over longest.
static struct sequence_worker *free_worker(struct sequence_state *state, uint64_t unix_ms,
                                           struct sequence_result *out) {
    uint32_t number = 1;
    struct sequence_worker *best = NULL;
    for (struct item *item = items_first(&state->workers); item; item = items_next(item), number++) {
        struct sequence_worker *worker = sequence_worker_of(item);
        if (worker->number != number) break; // numbers are taken into use in their order, so only a gap's end
        if (worker->token == 0 && (best == NULL || worker->until_ms < best->until_ms)) best = worker;
    }
    if (best && (best->until_ms <= unix_ms || PLANTED(WORKER_RANGES_OVERLAP))) return best;
    if (number < SEQUENCE_WORKERS) return worker_make(state, number);
    out->retry_ms = best ? best->until_ms - unix_ms : SEQUENCE_WINDOW_MS_MAX;
    return NULL;
}

static void set_range(struct sequence_state *state, const struct apply *apply, struct sequence_worker *worker,
                      uint64_t window_ms, struct sequence_result *out) {
    uint64_t until_ms = (uint64_t)apply->unix_ms + window_ms;
    if (worker->until_ms < until_ms) worker->until_ms = until_ms;
    if (worker->session == 0) set_due(state, worker, time_after(apply->log_time_ms, window_ms));
    items_changed(&state->workers, &worker->item);
    out->worker = worker->number;
    out->token = worker->token;
    out->from_ms = worker->from_ms;
    out->until_ms = worker->until_ms;
}

int sequence_worker_apply_lease(struct sequence_state *state, struct apply *apply, uint64_t session, struct reader *r,
                                struct sequence_result *out) {
    struct bytes owner = read_blob(r);
    uint64_t window_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (owner.len > SEQUENCE_OWNER_BYTES_MAX || window_ms == 0 || window_ms > SEQUENCE_WINDOW_MS_MAX)
        return SEQUENCE_BAD_ARGUMENTS;
    int error = not_ready(state, apply, out);
    if (error) return error;
    uint64_t unix_ms = (uint64_t)apply->unix_ms;
    struct sequence_worker *worker = free_worker(state, unix_ms, out);
    if (worker == NULL) return SEQUENCE_BUSY;
    uint64_t token = state->words[WORD_TOKEN] + 1;
    worker->token = state->words[WORD_TOKEN] = token > apply->index ? token : apply->index;
    worker->session = session;
    worker->since_ms = apply->log_time_ms;
    worker->from_ms = unix_ms; // at or behind the end of the last range
    worker->owner_len = (uint32_t)owner.len;
    if (owner.len > 0) memcpy(worker->owner, owner.data, owner.len);
    set_range(state, apply, worker, window_ms, out);
    return 0;
}

static struct sequence_worker *held(const struct sequence_state *state, uint64_t session, uint64_t number,
                                    uint64_t token) {
    struct sequence_worker *worker = worker_find(state, number);
    return worker && token != 0 && worker->token == token && worker->session == session ? worker : NULL;
}

int sequence_worker_apply_renew(struct sequence_state *state, struct apply *apply, uint64_t session, struct reader *r,
                                struct sequence_result *out) {
    uint64_t number = read_varint(r), token = read_varint(r), window_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (window_ms == 0 || window_ms > SEQUENCE_WINDOW_MS_MAX) return SEQUENCE_BAD_ARGUMENTS;
    struct sequence_worker *worker = held(state, session, number, token);
    if (worker == NULL) return SEQUENCE_NOT_HELD;
    if (!clock_good(apply)) return SEQUENCE_CLOCK;
    set_range(state, apply, worker, window_ms, out);
    return 0;
}

int sequence_worker_apply_release(struct sequence_state *state, uint64_t session, struct reader *r) {
    uint64_t number = read_varint(r), token = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct sequence_worker *worker = held(state, session, number, token);
    if (worker == NULL) return SEQUENCE_NOT_HELD;
    sequence_worker_end(state, worker);
    return 0;
}

void sequence_worker_end(struct sequence_state *state, struct sequence_worker *worker) {
    set_due(state, worker, NO_DEADLINE);
    worker->token = worker->session = 0;
    worker->owner_len = 0;
    items_changed(&state->workers, &worker->item);
}

bool sequence_worker_load(struct sequence_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t token = read_u64_le(r), session = read_u64_le(r), since_ms = read_u64_le(r), from_ms = read_u64_le(r);
    uint64_t until_ms = read_u64_le(r), due_ms = read_u64_le(r);
    struct bytes owner = item_read_text(r);
    if (r->failed || name.len != 2 || owner.len > SEQUENCE_OWNER_BYTES_MAX) return false;
    uint32_t number = (uint32_t)(name.data[0] << 8 | name.data[1]);
    if (number == 0 || number >= SEQUENCE_WORKERS || worker_find(state, number)) return false;
    if (token > state->words[WORD_TOKEN] || (due_ms != NO_DEADLINE && token == 0)) return false;
    struct sequence_worker *worker = worker_make(state, number);
    worker->token = token;
    worker->session = session;
    worker->since_ms = since_ms;
    worker->from_ms = from_ms;
    worker->until_ms = until_ms;
    worker->owner_len = (uint32_t)owner.len;
    if (owner.len > 0) memcpy(worker->owner, owner.data, owner.len);
    set_due(state, worker, due_ms);
    items_changed(&state->workers, &worker->item);
    return true;
}
