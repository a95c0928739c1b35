// The state of the guard model: dispatch, what ends by time, queries, save and load. See guard_internal.h.
#include "model/guard/guard.h"
#include "base/alloc.h"
#include "model/guard/guard_internal.h"
#include <errno.h>

#define TABLES(state)                                                                                                  \
    { &(state)->tokens, &(state)->entities, &(state)->values, &(state)->counters, &(state)->requests.items }
enum { TABLE_COUNT = 5 };

// ---- blobs

void guard_blob_set(struct guard_blob *blob, struct bytes bytes) {
    uint8_t *data = mem_alloc(bytes.len);
    if (bytes.len > 0) memcpy(data, bytes.data, bytes.len);
    mem_free(blob->data);
    blob->data = data;
    blob->len = (uint32_t)bytes.len;
    blob->digest = digest_hash(data, bytes.len, MODEL_GUARD);
}

void guard_blob_record(const struct guard_blob *blob, struct item_record *to) {
    item_record_u64(to, blob->digest.lo);
    item_record_u64(to, blob->digest.hi);
}

struct digest guard_blob_read_digest(struct reader *r) {
    uint64_t lo = read_u64_le(r);
    return (struct digest){.lo = lo, .hi = read_u64_le(r)};
}

// ---- the model

static void *guard_create(void) {
    struct guard_state *state = mem_zalloc(sizeof *state);
    state->sum.domain = MODEL_GUARD;
    heap_init(&state->due);
    items_init(&state->tokens, &guard_token_kind, &state->sum);
    items_init(&state->entities, &guard_entity_kind, &state->sum);
    items_init(&state->values, &guard_value_kind, &state->sum);
    items_init(&state->counters, &guard_counter_kind, &state->sum);
    remember_init(&state->requests, &state->sum, &state->due, DUE_REQUEST);
    return state;
}

static void guard_destroy(void *model) {
    struct guard_state *state = model;
    for (struct item *item; (item = items_first(&state->tokens)) != NULL;) guard_token_remove(state, item);
    for (struct item *item; (item = items_first(&state->entities)) != NULL;) guard_entity_remove(state, item);
    for (struct item *item; (item = items_first(&state->values)) != NULL;) guard_value_remove(state, item);
    items_free(&state->counters);
    items_free(&state->requests.items);
    heap_free(&state->due);
    mem_free(state);
}

static int run(struct guard_state *state, struct apply *apply, uint8_t op, struct reader *r, struct guard_result *out) {
    switch (op) {
    case GUARD_ISSUE:
        return guard_apply_issue(state, apply, r);
    case GUARD_CONSUME:
        return guard_apply_consume(state, apply, r, out);
    case GUARD_TRANSITION:
        return guard_apply_transition(state, apply, r, out);
    case GUARD_ENTITY_DELETE:
        return guard_apply_entity_delete(state, r, out);
    case GUARD_PUT:
        return guard_apply_put(state, apply, r, out);
    case GUARD_DELETE:
        return guard_apply_delete(state, apply, r, out);
    case GUARD_COUNTER_SET:
        return guard_apply_counter_set(state, apply, r);
    case GUARD_COUNTER_ADD:
        return guard_apply_counter_add(state, apply, r, out);
    case GUARD_COUNTER_DELETE:
        return guard_apply_counter_delete(state, r);
    default:
        return COMMAND_BAD_COMMAND;
    }
}

static void guard_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct guard_state *state = model;
    struct reader r = reader_of(command->args.data, command->args.len);
    state->result = (struct guard_result){0};
    result->value = &state->result;
    result->error = run(state, apply, command->op, &r, &state->result);
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}

static uint64_t guard_next_deadline(const void *model) {
    return deadline_first(&((const struct guard_state *)model)->due);
}

static size_t guard_expire(void *model, struct apply *apply, size_t max) {
    struct guard_state *state = model;
    size_t ended = 0;
    for (struct deadline *due; ended < max && (due = deadline_due(&state->due, apply->log_time_ms)); ended++) {
        if (due->kind == DUE_TOKEN)
            guard_token_remove(state, guard_token_due(due));
        else if (due->kind == DUE_ENTITY)
            guard_entity_remove(state, guard_entity_due(due));
        else if (due->kind == DUE_VALUE)
            guard_value_remove(state, guard_value_due(due));
        else
            remember_drop(&state->requests, remembered_of(due));
    }
    return ended;
}

static void guard_query_model(const void *model, const void *asked, struct result *result) {
    const struct guard_state *state = model;
    const struct guard_query *query = asked;
    const struct items *items = query->token    ? &state->tokens
                                : query->entity ? &state->entities
                                : query->value  ? &state->values
                                                : &state->counters;
    void (*show)(const struct item *item, const struct guard_query *query) = query->token    ? guard_token_show
                                                                             : query->entity ? guard_entity_show
                                                                             : query->value  ? guard_value_show
                                                                                             : guard_counter_show;
    const struct item *at = items_page_first(items, &query->page);
    *result = (struct result){.model = MODEL_GUARD};
    for (size_t left = query->page.max; at && left > 0; at = items_page_next(&query->page, at), left--) show(at, query);
}

// ---- save, load, digests

static size_t guard_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    const struct guard_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_save(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT, cursor, out, capacity);
}

static bool load_request(struct guard_state *state, struct reader *r) {
    const struct remembered *request = remember_load(&state->requests, r);
    if (request == NULL || request->number > state->words[WORD_NUMBER]) return false;
    size_t len = remembered_answer(request).len;
    return len % 8 == 0 && len <= GUARD_COUNTERS_MAX * 8;
}

static bool load_one(struct guard_state *state, uint8_t tag, struct reader *r) {
    switch (tag) {
    case 0:
        return items_load_head(&state->sum, r, state->words, WORD_COUNT);
    case 't':
        return guard_token_load(state, r);
    case 'e':
        return guard_entity_load(state, r);
    case 'v':
        return guard_value_load(state, r);
    case 'c':
        return guard_counter_load(state, r);
    case 'r':
        return load_request(state, r);
    default:
        return false;
    }
}

static int guard_load(void *model, const uint8_t *data, size_t len) {
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        uint8_t tag = read_u8(&r);
        if (!load_one(model, tag, &r)) return -EBADMSG;
    }
    return r.failed ? -EBADMSG : 0;
}

static struct digest guard_digest(const void *model) {
    return ((const struct guard_state *)model)->sum.digest;
}

static struct digest guard_digest_recount(const void *model) {
    const struct guard_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_recount(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT);
}

static uint64_t guard_memory(const void *model) {
    return ((const struct guard_state *)model)->sum.memory;
}

// Not those of values, whose errors tell the value, which may be long (their versions do the same); not ISSUE, whose
// tokens are the caller's.
static bool guard_keeps(const struct command *command) {
    uint8_t op = command->op;
    return op == GUARD_CONSUME || op == GUARD_TRANSITION || op == GUARD_ENTITY_DELETE || op == GUARD_COUNTER_SET ||
           op == GUARD_COUNTER_ADD || op == GUARD_COUNTER_DELETE;
}

static void guard_write_result(const struct result *result, struct writer *w) {
    const struct guard_result *guard = result->value;
    write_u8(w, guard->repeated);
    write_varint_signed(w, guard->at_unix_ms);
    write_blob(w, guard->by);
    write_blob(w, guard->state);
    write_varint(w, guard->version);
    write_blob(w, guard->refused);
    write_varint_signed(w, guard->rest);
    write_varint(w, guard->value_count);
    for (size_t i = 0; i < guard->value_count; i++) write_varint_signed(w, guard->values[i]);
}

static bool guard_read_result(void *model, const struct command *command, struct reader *r, struct result *result) {
    struct guard_state *state = model;
    struct guard_result *guard = &state->result;
    *guard = (struct guard_result){.repeated = read_u8(r) != 0};
    guard->at_unix_ms = read_varint_signed(r);
    guard->by = read_blob(r);
    guard->state = read_blob(r);
    guard->version = read_varint(r);
    guard->refused = read_blob(r);
    guard->rest = read_varint_signed(r);
    uint64_t count = read_varint(r);
    if (count > GUARD_COUNTERS_MAX) return false;
    for (uint64_t i = 0; i < count; i++) state->result_values[i] = read_varint_signed(r);
    guard->values = state->result_values;
    guard->value_count = (size_t)count;
    result->value = guard;
    return reader_done(r);
}

static const struct result_keeper guard_keeper = {
    .keeps = guard_keeps, .write = guard_write_result, .read = guard_read_result};

const struct model_ops guard_model = {
    .name = "guard",
    .id = MODEL_GUARD,
    .create = guard_create,
    .destroy = guard_destroy,
    .apply = guard_apply,
    .query = guard_query_model,
    .next_deadline_ms = guard_next_deadline,
    .expire = guard_expire,
    .save = guard_save,
    .load = guard_load,
    .digest = guard_digest,
    .digest_recount = guard_digest_recount,
    .memory = guard_memory,
    .keeper = &guard_keeper,
    .growing = MODEL_GROWS(GUARD_ISSUE) | MODEL_GROWS(GUARD_TRANSITION) | MODEL_GROWS(GUARD_PUT) |
               MODEL_GROWS(GUARD_COUNTER_SET) | MODEL_GROWS(GUARD_COUNTER_ADD),
};
