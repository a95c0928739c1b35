// The state of the sequence model: what a restore means, what ends by time or with its session, queries, save and load.
// See sequence_internal.h.
#include "model/sequence/sequence.h"
#include "base/alloc.h"
#include "model/sequence/sequence_internal.h"
#include <errno.h>
#include <string.h>

#define TABLES(state)                                                                                                  \
    { &(state)->sequences, &(state)->keys.items, &(state)->workers }
enum { TABLE_COUNT = 3 };

static void *sequence_create(void) {
    struct sequence_state *state = mem_zalloc(sizeof *state);
    state->sum.domain = MODEL_SEQUENCE;
    heap_init(&state->due);
    items_init(&state->sequences, &sequence_kind, &state->sum);
    items_init(&state->workers, &sequence_worker_kind, &state->sum);
    remember_init(&state->keys, &state->sum, &state->due, DUE_KEY);
    return state;
}

static void sequence_destroy(void *model) {
    struct sequence_state *state = model;
    items_free(&state->sequences);
    items_free(&state->keys.items);
    items_free(&state->workers);
    heap_free(&state->due);
    mem_free(state);
}

static void end_workers(struct sequence_state *state, bool all, uint64_t session) {
    for (struct item *item = items_first(&state->workers); item; item = items_next(item)) {
        struct sequence_worker *worker = sequence_worker_of(item);
        if (worker->token != 0 && (all || worker->session == session)) sequence_worker_end(state, worker);
    }
}

// A step of the index that no group's entries make says that the state is an older one than clients have seen. Numbers
// of idle years that look like one cost only numbers.
static void notice_restore(struct sequence_state *state, const struct apply *apply) {
    uint64_t step = apply->index - state->words[WORD_INDEX];
    state->words[WORD_INDEX] = apply->index;
    if (step < SEQUENCE_RESTORE_STEP) return;
    state->words[WORD_DISTANCE] += step;
    state->words[WORD_READY_MS] = time_after(apply->log_time_ms, SEQUENCE_WINDOW_MS_MAX);
    end_workers(state, true, 0);
}

static void sequence_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct sequence_state *state = model;
    struct reader r = reader_of(command->args.data, command->args.len);
    struct sequence_result *out = &state->result;
    memset(out, 0, sizeof *out);
    result->value = out;
    notice_restore(state, apply);
    switch (command->op) {
    case SEQUENCE_CREATE:
        result->error = sequence_apply_create(state, &r);
        break;
    case SEQUENCE_NEXT:
        result->error = sequence_apply_next(state, apply, &r, out);
        break;
    case SEQUENCE_SET:
        result->error = sequence_apply_set(state, &r);
        break;
    case SEQUENCE_IDS:
        result->error = sequence_worker_apply_ids(state, apply, &r, out);
        break;
    case SEQUENCE_LEASE:
        result->error = sequence_worker_apply_lease(state, apply, command->session, &r, out);
        break;
    case SEQUENCE_RENEW:
        result->error = sequence_worker_apply_renew(state, apply, command->session, &r, out);
        break;
    case SEQUENCE_RELEASE:
        result->error = sequence_worker_apply_release(state, command->session, &r);
        break;
    default:
        result->error = COMMAND_BAD_COMMAND;
    }
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}

static bool used(const struct sequence_state *state) {
    return state->words[WORD_INDEX] != 0;
}

static void sequence_session_end(void *model, struct apply *apply, uint64_t session) {
    struct sequence_state *state = model;
    if (!used(state)) return;
    notice_restore(state, apply);
    end_workers(state, false, session);
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}

static uint64_t sequence_next_deadline(const void *model) {
    return deadline_first(&((const struct sequence_state *)model)->due);
}

static size_t sequence_expire(void *model, struct apply *apply, size_t max) {
    struct sequence_state *state = model;
    size_t ended = 0;
    if (!used(state)) return 0;
    notice_restore(state, apply);
    for (struct deadline *due; ended < max && (due = deadline_due(&state->due, apply->log_time_ms)); ended++) {
        if (due->kind == DUE_KEY)
            remember_drop(&state->keys, remembered_of(due));
        else
            sequence_worker_end(state, CONTAINER_OF(due, struct sequence_worker, due));
    }
    items_head_changed(&state->sum, state->words, WORD_COUNT);
    return ended;
}

// ---- queries

static void show_sequence(const struct sequence_state *state, const struct sequence *s,
                          const struct sequence_query *query) {
    struct sequence_info info = {.name = item_name(&s->item),
                                 .next = s->next,
                                 .step = s->step,
                                 .ceiling = s->ceiling,
                                 .block_max = s->block_max,
                                 .gapless = s->gapless,
                                 .restored = s->distance != state->words[WORD_DISTANCE]};
    query->sequence(query->context, &info);
}

static void show_worker(const struct sequence_worker *w, const struct sequence_query *query) {
    struct sequence_worker_info info = {.worker = w->number,
                                        .owner = bytes_of(w->owner, w->owner_len),
                                        .session = w->session,
                                        .token = w->token,
                                        .since_ms = w->since_ms,
                                        .from_ms = w->from_ms,
                                        .until_ms = w->until_ms,
                                        .due_ms = deadline_of(&w->due)};
    query->worker(query->context, &info);
}

static void sequence_query_model(const void *model, const void *asked, struct result *result) {
    const struct sequence_state *state = model;
    const struct sequence_query *query = asked;
    const struct items *items = query->sequence ? &state->sequences : &state->workers;
    const struct item *at = items_page_first(items, &query->page);
    *result = (struct result){.model = MODEL_SEQUENCE};
    for (size_t left = query->page.max; at && left > 0; at = items_page_next(&query->page, at), left--) {
        if (query->sequence)
            show_sequence(state, CONTAINER_OF_CONST(at, struct sequence, item), query);
        else
            show_worker(CONTAINER_OF_CONST(at, struct sequence_worker, item), query);
    }
}

// ---- save, load, digests

static size_t sequence_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    const struct sequence_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_save(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT, cursor, out, capacity);
}

static bool load_key(struct sequence_state *state, struct reader *r) {
    const struct remembered *key = remember_load(&state->keys, r);
    return key && key->number <= state->words[WORD_NUMBER] && remembered_answer(key).len == 24;
}

static int sequence_load_model(void *model, const uint8_t *data, size_t len) {
    struct sequence_state *state = model;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        uint8_t tag = read_u8(&r);
        bool good = tag == 0                          ? items_load_head(&state->sum, &r, state->words, WORD_COUNT)
                    : tag == sequence_kind.tag        ? sequence_load(state, &r)
                    : tag == sequence_worker_kind.tag ? sequence_worker_load(state, &r)
                    : tag == 'r'                      ? load_key(state, &r)
                                                      : false;
        if (!good) return -EBADMSG;
    }
    return r.failed ? -EBADMSG : 0;
}

static struct digest sequence_digest(const void *model) {
    return ((const struct sequence_state *)model)->sum.digest;
}

static struct digest sequence_digest_recount(const void *model) {
    const struct sequence_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_recount(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT);
}

static uint64_t sequence_count(const void *model) {
    return ((const struct sequence_state *)model)->sequences.map.count;
}

static uint64_t sequence_memory(const void *model) {
    return ((const struct sequence_state *)model)->sum.memory;
}

// Not leases of workers, which end, and not ids, of which there may be none just now.
static bool sequence_keeps(const struct command *command) {
    uint8_t op = command->op;
    return op == SEQUENCE_CREATE || op == SEQUENCE_NEXT || op == SEQUENCE_SET;
}

static void sequence_write_result(const struct result *result, struct writer *w) {
    const struct sequence_result *sequence = result->value;
    write_varint(w, sequence->first);
    write_varint(w, sequence->step);
    write_varint(w, sequence->count);
    write_u8(w, sequence->repeated);
}

static bool sequence_read_result(void *model, const struct command *command, struct reader *r, struct result *result) {
    struct sequence_result *sequence = &((struct sequence_state *)model)->result;
    *sequence = (struct sequence_result){.first = read_varint(r)};
    sequence->step = read_varint(r);
    sequence->count = (uint32_t)read_varint(r);
    sequence->repeated = read_u8(r) != 0;
    result->value = sequence;
    return reader_done(r);
}

static const struct result_keeper sequence_keeper = {
    .keeps = sequence_keeps, .write = sequence_write_result, .read = sequence_read_result};

const struct model_ops sequence_model = {
    .name = "sequence",
    .id = MODEL_SEQUENCE,
    .create = sequence_create,
    .destroy = sequence_destroy,
    .apply = sequence_apply,
    .query = sequence_query_model,
    .session_end = sequence_session_end,
    .next_deadline_ms = sequence_next_deadline,
    .expire = sequence_expire,
    .save = sequence_save,
    .load = sequence_load_model,
    .digest = sequence_digest,
    .digest_recount = sequence_digest_recount,
    .memory = sequence_memory,
    .count = sequence_count,
    .keeper = &sequence_keeper,
    .growing = MODEL_GROWS(SEQUENCE_CREATE) | MODEL_GROWS(SEQUENCE_NEXT) | MODEL_GROWS(SEQUENCE_LEASE),
};
