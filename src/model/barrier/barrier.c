// The state of the barrier model: what ends by time or with its session, queries, save and load. See
// barrier_internal.h.
#include "model/barrier/barrier.h"
#include "base/alloc.h"
#include "model/barrier/barrier_internal.h"
#include <errno.h>
#include <string.h>

#define TABLES(state)                                                                                                  \
    { &(state)->barriers, &(state)->places, &(state)->latches, &(state)->requests.items }
enum { TABLE_COUNT = 4 };

static void *barrier_create(void) {
    struct barrier_state *state = mem_zalloc(sizeof *state);
    state->sum.domain = MODEL_BARRIER;
    heap_init(&state->due);
    owned_init(&state->owned);
    omap_init(&state->by_session, place_compare);
    items_init(&state->barriers, &barrier_kind, &state->sum);
    items_init(&state->places, &place_kind, &state->sum);
    items_init(&state->latches, &latch_kind, &state->sum);
    remember_init(&state->requests, &state->sum, &state->due, DUE_REQUEST);
    return state;
}

static void barrier_destroy(void *model) {
    struct barrier_state *state = model;
    barrier_free_places(state);
    items_free(&state->barriers);
    items_free(&state->latches);
    items_free(&state->requests.items);
    owned_free(&state->owned);
    heap_free(&state->due);
    mem_free(state);
}

static void barrier_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct barrier_state *state = model;
    struct reader r = reader_of(command->args.data, command->args.len);
    struct barrier_result *out = &state->result;
    memset(out, 0, sizeof *out);
    result->value = out;
    switch (command->op) {
    case BARRIER_ENTER:
        result->error = barrier_apply_enter(state, apply, command->session, &r, out);
        break;
    case BARRIER_LEAVE:
        result->error = barrier_apply_leave(state, apply, command->session, &r, out);
        break;
    case BARRIER_CANCEL:
        result->error = barrier_apply_cancel(state, apply, command->session, &r);
        break;
    case BARRIER_LATCH_SET:
        result->error = latch_apply_set(state, apply, &r, out);
        break;
    case BARRIER_LATCH_DOWN:
        result->error = latch_apply_down(state, apply, &r, out);
        break;
    case BARRIER_LATCH_DELETE:
        result->error = latch_apply_delete(state, apply, &r);
        break;
    default:
        result->error = COMMAND_BAD_COMMAND;
    }
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}

static void barrier_session_end(void *model, struct apply *apply, uint64_t session) {
    struct barrier_state *state = model;
    barrier_end_session(state, apply, session);
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}

static uint64_t barrier_next_deadline(const void *model) {
    return deadline_first(&((const struct barrier_state *)model)->due);
}

static size_t barrier_expire(void *model, struct apply *apply, size_t max) {
    struct barrier_state *state = model;
    size_t ended = 0;
    for (struct deadline *due; ended < max && (due = deadline_due(&state->due, apply->log_time_ms)); ended++) {
        if (due->kind == DUE_PLACE)
            place_time_out(state, apply, CONTAINER_OF(due, struct place, due));
        else if (due->kind == DUE_LATCH)
            latch_end(state, apply, CONTAINER_OF(due, struct latch, due));
        else
            remember_drop(&state->requests, remembered_of(due));
    }
    return ended;
}

static void barrier_query_model(const void *model, const void *asked, struct result *result) {
    const struct barrier_state *state = model;
    const struct barrier_query *query = asked;
    const struct items *items = query->barrier ? &state->barriers : &state->latches;
    const struct item *at = items_page_first(items, &query->page);
    *result = (struct result){.model = MODEL_BARRIER};
    if (query->session != 0) {
        barrier_show_session(state, query);
        return;
    }
    for (size_t left = query->page.max; at && left > 0; at = items_page_next(&query->page, at), left--) {
        if (query->barrier)
            barrier_show(state, at, query);
        else
            latch_show(at, query);
    }
}

// ---- save, load, digests

static size_t barrier_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    const struct barrier_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_save(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT, cursor, out, capacity);
}

static bool load_request(struct barrier_state *state, struct reader *r) {
    const struct remembered *request = remember_load(&state->requests, r);
    return request && request->number <= state->words[WORD_NUMBER] && remembered_answer(request).len == 8;
}

static int barrier_load_model(void *model, const uint8_t *data, size_t len) {
    struct barrier_state *state = model;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        uint8_t tag = read_u8(&r);
        bool good = tag == 0                  ? items_load_head(&state->sum, &r, state->words, WORD_COUNT)
                    : tag == barrier_kind.tag ? barrier_load(state, &r)
                    : tag == place_kind.tag   ? place_load(state, &r)
                    : tag == latch_kind.tag   ? latch_load(state, &r)
                    : tag == 'r'              ? load_request(state, &r)
                                              : false;
        if (!good) return -EBADMSG;
    }
    return r.failed ? -EBADMSG : 0;
}

static struct digest barrier_digest(const void *model) {
    return ((const struct barrier_state *)model)->sum.digest;
}

static struct digest barrier_digest_recount(const void *model) {
    const struct barrier_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_recount(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT);
}

static uint64_t barrier_memory(const void *model) {
    const struct barrier_state *state = model;
    return state->sum.memory + owned_memory(&state->owned);
}

const struct model_ops barrier_model = {
    .name = "barrier",
    .id = MODEL_BARRIER,
    .create = barrier_create,
    .destroy = barrier_destroy,
    .apply = barrier_apply,
    .query = barrier_query_model,
    .session_end = barrier_session_end,
    .next_deadline_ms = barrier_next_deadline,
    .expire = barrier_expire,
    .save = barrier_save,
    .load = barrier_load_model,
    .digest = barrier_digest,
    .digest_recount = barrier_digest_recount,
    .memory = barrier_memory,
    .growing = MODEL_GROWS(BARRIER_ENTER) | MODEL_GROWS(BARRIER_LATCH_SET) | MODEL_GROWS(BARRIER_LATCH_DOWN),
};
