// Bounded counters. One that is not there counts as 0, with floor 0 and no ceiling, and is made when it changes.
#include "base/assert.h"
#include "base/planted.h"
#include "model/guard/guard_internal.h"

struct counter {
    struct item item;
    int64_t value, floor, ceiling;
    uint64_t version;
};

static struct counter *counter_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct counter, item) : NULL;
}

static void record(const struct item *item, struct item_record *to) {
    const struct counter *counter = CONTAINER_OF_CONST(item, struct counter, item);
    item_record_u64(to, (uint64_t)counter->value);
    item_record_u64(to, (uint64_t)counter->floor);
    item_record_u64(to, (uint64_t)counter->ceiling);
    item_record_u64(to, counter->version);
}

const struct item_kind guard_counter_kind = {.tag = 'c', .record = record};

static struct counter *find(const struct guard_state *state, struct bytes name) {
    return counter_of(items_find(&state->counters, name));
}

static void put(struct guard_state *state, struct bytes name, int64_t value, int64_t floor, int64_t ceiling,
                uint64_t version) {
    struct counter *counter = find(state, name);
    if (counter == NULL) {
        counter = item_make(sizeof *counter, name);
        ENSURE(items_insert(&state->counters, &counter->item));
    }
    counter->value = value;
    counter->floor = floor;
    counter->ceiling = ceiling;
    counter->version = version;
    items_changed(&state->counters, &counter->item);
}

int guard_apply_counter_set(struct guard_state *state, struct apply *apply, struct reader *r) {
    struct bytes name = read_blob(r);
    int64_t value = read_varint_signed(r), floor = read_varint_signed(r), ceiling = read_varint_signed(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!guard_name_good(name) || value < floor || value > ceiling) return GUARD_BAD_ARGUMENTS;
    put(state, name, value, floor, ceiling, apply->index);
    return 0;
}

// What one counter will be, or why it may not.
static int added(struct guard_state *state, const struct guard_addition *addition, struct guard_result *out,
                 int64_t *sum) {
    const struct counter *counter = find(state, addition->name);
    int64_t value = counter ? counter->value : 0, floor = counter ? counter->floor : 0;
    int64_t ceiling = counter ? counter->ceiling : INT64_MAX;
    bool over = __builtin_add_overflow(value, addition->delta, sum);
    int error = 0;
    if (addition->delta < 0 && (over || *sum < floor)) error = GUARD_BELOW;
    if (addition->delta >= 0 && (over || *sum > ceiling)) error = GUARD_ABOVE;
    if (error == 0) return 0;
    memcpy(state->result_name, addition->name.data, addition->name.len);
    out->refused = bytes_of(state->result_name, addition->name.len);
    out->rest = value;
    return error;
}

static int repeat(struct guard_state *state, const struct remembered *request, struct bytes fingerprint,
                  struct guard_result *out) {
    if (!remembered_same(request, fingerprint)) return GUARD_MISMATCH;
    struct bytes answer = remembered_answer(request);
    struct reader r = reader_of(answer.data, answer.len);
    while (reader_left(&r) > 0) state->result_values[out->value_count++] = (int64_t)read_u64_le(&r);
    out->values = state->result_values;
    out->repeated = true;
    return 0;
}

static int add(struct guard_state *state, struct apply *apply, const struct guard_addition *additions, size_t count,
               struct guard_result *out) {
    for (size_t i = 0; i < count; i++) {
        int error = added(state, &additions[i], out, &state->result_values[i]);
        if (error) return error;
    }
    for (size_t i = 0; i < count; i++) {
        const struct counter *counter = find(state, additions[i].name);
        int64_t floor = counter ? counter->floor : 0, ceiling = counter ? counter->ceiling : INT64_MAX;
        put(state, additions[i].name, state->result_values[i], floor, ceiling, apply->index);
    }
    out->values = state->result_values;
    out->value_count = count;
    return 0;
}

static void keep(struct guard_state *state, const struct apply *apply, struct bytes request, struct bytes fingerprint,
                 uint64_t ttl_ms, const struct guard_result *out) {
    uint8_t answer[GUARD_COUNTERS_MAX * 8];
    for (size_t i = 0; i < out->value_count; i++) put_u64_le(answer + 8 * i, (uint64_t)out->values[i]);
    remember_add(&state->requests, 0, request, fingerprint, bytes_of(answer, 8 * out->value_count),
                 ++state->words[WORD_NUMBER], time_after(apply->log_time_ms, ttl_ms));
}

// count, then (name, delta) each: their names are good and differ.
static int read_additions(struct reader *r, struct guard_addition additions[GUARD_COUNTERS_MAX], size_t *count) {
    uint64_t asked = read_varint(r);
    if (r->failed) return COMMAND_BAD_COMMAND;
    if (asked == 0 || asked > GUARD_COUNTERS_MAX) return GUARD_BAD_ARGUMENTS;
    *count = (size_t)asked;
    for (size_t i = 0; i < *count; i++) {
        additions[i].name = read_blob(r);
        additions[i].delta = read_varint_signed(r);
    }
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    for (size_t i = 0; i < *count; i++) {
        if (!guard_name_good(additions[i].name)) return GUARD_BAD_ARGUMENTS;
        for (size_t k = 0; k < i; k++)
            if (bytes_equal(additions[i].name, additions[k].name)) return GUARD_BAD_ARGUMENTS;
    }
    return 0;
}

int guard_apply_counter_add(struct guard_state *state, struct apply *apply, struct reader *r,
                            struct guard_result *out) {
    struct guard_addition additions[GUARD_COUNTERS_MAX];
    struct bytes request = read_blob(r);
    uint64_t ttl_ms = read_varint(r);
    struct reader again = *r;
    struct bytes asked = read_span(&again, reader_left(&again));
    size_t count = 0;
    int error = read_additions(r, additions, &count);
    if (error) return error;
    bool keeps = request.len > 0;
    if (request.len > REMEMBER_ID_BYTES_MAX) return GUARD_BAD_ARGUMENTS;
    if (keeps && (ttl_ms == 0 || ttl_ms > REMEMBER_TTL_MS_MAX)) return GUARD_BAD_ARGUMENTS;
    struct digest digest = digest_hash(asked.data, asked.len, MODEL_GUARD);
    uint8_t print[16];
    put_u64_le(print, digest.lo);
    put_u64_le(print + 8, digest.hi);
    struct bytes fingerprint = bytes_of(print, sizeof print);
    const struct remembered *known = keeps ? remember_find(&state->requests, 0, request) : NULL;
    if (known) return repeat(state, known, fingerprint, out);
    if (keeps && state->requests.items.map.count >= GUARD_REQUESTS_MAX) return GUARD_LIMIT;
    error = add(state, apply, additions, count, out);
    if (error == 0 && keeps && !PLANTED(COUNTER_RETRY_COUNTS)) keep(state, apply, request, fingerprint, ttl_ms, out);
    return error;
}

int guard_apply_counter_delete(struct guard_state *state, struct reader *r) {
    struct bytes name = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct counter *counter = find(state, name);
    if (counter == NULL) return GUARD_NOT_FOUND;
    items_remove(&state->counters, &counter->item);
    return 0;
}

void guard_counter_show(const struct item *item, const struct guard_query *query) {
    const struct counter *counter = CONTAINER_OF_CONST(item, struct counter, item);
    struct guard_counter_info info = {item_name(item), counter->value, counter->floor, counter->ceiling,
                                      counter->version};
    query->counter(query->context, &info);
}

bool guard_counter_load(struct guard_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    int64_t value = (int64_t)read_u64_le(r), floor = (int64_t)read_u64_le(r), ceiling = (int64_t)read_u64_le(r);
    uint64_t version = read_u64_le(r);
    if (r->failed || !guard_name_good(name) || find(state, name)) return false;
    if (value < floor || value > ceiling) return false;
    put(state, name, value, floor, ceiling, version);
    return true;
}
