// Values with versions and fencing. Once a value has seen a token, writes need one, and none that is older: who lost
// the lock and does not know it changes nothing. A deletion keeps the newest token for a time, for the same reason.
#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "model/guard/guard_internal.h"

struct value {
    struct item item;
    struct deadline due; // deleted: until then its token is known
    uint64_t number, version, token;
    bool deleted;
    struct guard_blob bytes;
};

static struct value *value_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct value, item) : NULL;
}

static void record(const struct item *item, struct item_record *to) {
    const struct value *value = CONTAINER_OF_CONST(item, struct value, item);
    item_record_u64(to, value->number);
    item_record_u64(to, value->version);
    item_record_u64(to, value->token);
    item_record_u64(to, deadline_of(&value->due));
    guard_blob_record(&value->bytes, to);
}

static struct bytes body(const struct item *item) {
    return guard_blob_bytes(&CONTAINER_OF_CONST(item, struct value, item)->bytes);
}

const struct item_kind guard_value_kind = {.tag = 'v', .record = record, .body = body};

static struct value *make(struct guard_state *state, struct bytes name, uint64_t number) {
    struct value *value = item_make(sizeof *value, name);
    value->number = number;
    value->due.kind = DUE_VALUE;
    ENSURE(items_insert(&state->values, &value->item));
    return value;
}

static int may_write(const struct value *value, uint64_t expected, uint64_t token, struct guard_result *out) {
    uint64_t version = value && !value->deleted ? value->version : 0;
    out->version = version;
    if (value && value->token > token && !PLANTED(GUARD_OLD_TOKEN_WRITES)) {
        out->token = value->token;
        return GUARD_OLD_TOKEN;
    }
    if (expected == GUARD_ANY || expected == version) return 0;
    if (version != 0) out->value = guard_blob_bytes(&value->bytes);
    return GUARD_VERSION;
}

int guard_apply_put(struct guard_state *state, struct apply *apply, struct reader *r, struct guard_result *out) {
    struct bytes name = read_blob(r);
    uint64_t expected = read_varint(r), token = read_varint(r);
    struct bytes bytes = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!guard_name_good(name) || bytes.len > GUARD_VALUE_BYTES_MAX) return GUARD_BAD_ARGUMENTS;
    struct value *value = value_of(items_find(&state->values, name));
    int error = may_write(value, expected, token, out);
    if (error) return error;
    if (value == NULL) value = make(state, name, ++state->words[WORD_NUMBER]);
    value->version = out->version = apply->index;
    value->token = token;
    value->deleted = false;
    deadline_set(&state->due, &value->due, NO_DEADLINE, 0);
    guard_blob_set(&value->bytes, bytes);
    items_changed(&state->values, &value->item);
    return 0;
}

int guard_apply_delete(struct guard_state *state, struct apply *apply, struct reader *r, struct guard_result *out) {
    struct bytes name = read_blob(r);
    uint64_t expected = read_varint(r), token = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct value *value = value_of(items_find(&state->values, name));
    if (value == NULL) return GUARD_NOT_FOUND;
    int error = may_write(value, expected, token, out);
    if (error) return error;
    if (value->deleted) return GUARD_NOT_FOUND;
    out->version = apply->index;
    if (token == 0) {
        guard_value_remove(state, &value->item);
        return 0;
    }
    value->version = apply->index;
    value->token = token;
    value->deleted = true;
    deadline_set(&state->due, &value->due, time_after(apply->log_time_ms, GUARD_MARK_MS), value->number);
    guard_blob_set(&value->bytes, bytes_of("", 0));
    items_changed(&state->values, &value->item);
    return 0;
}

void guard_value_remove(struct guard_state *state, struct item *item) {
    struct value *value = value_of(item);
    deadline_set(&state->due, &value->due, NO_DEADLINE, 0);
    mem_free(value->bytes.data);
    items_remove(&state->values, item);
}

struct item *guard_value_due(struct deadline *due) {
    return &CONTAINER_OF(due, struct value, due)->item;
}

void guard_value_show(const struct item *item, const struct guard_query *query) {
    const struct value *value = CONTAINER_OF_CONST(item, struct value, item);
    struct guard_value_info info = {.name = item_name(item),
                                    .value = guard_blob_bytes(&value->bytes),
                                    .version = value->version,
                                    .token = value->token,
                                    .deleted = value->deleted};
    query->value(query->context, &info);
}

bool guard_value_load(struct guard_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t number = read_u64_le(r), version = read_u64_le(r), token = read_u64_le(r), due_ms = read_u64_le(r);
    struct digest digest = guard_blob_read_digest(r);
    struct bytes bytes = items_read_body(r);
    if (r->failed || !guard_name_good(name) || items_find(&state->values, name)) return false;
    if (number > state->words[WORD_NUMBER] || version == 0 || bytes.len > GUARD_VALUE_BYTES_MAX) return false;
    bool deleted = due_ms != NO_DEADLINE;
    if (deleted && (bytes.len > 0 || token == 0)) return false;
    struct value *value = make(state, name, number);
    value->version = version;
    value->token = token;
    value->deleted = deleted;
    deadline_set(&state->due, &value->due, due_ms, number);
    guard_blob_set(&value->bytes, bytes);
    items_changed(&state->values, &value->item);
    return digest_equal(value->bytes.digest, digest);
}
