// Guarded states. An entity is the list of its last changes; the newest one's state is the state it is in.
//
//   history: [version, unix_ms, state, request, caller] ... at most GUARD_HISTORY, oldest first
#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "model/guard/guard_internal.h"

#define HISTORY_BYTES_MAX (GUARD_HISTORY * (16 + 3 * (2 + GUARD_STATE_BYTES_MAX)))

struct entity {
    struct item item;
    struct deadline due;
    uint64_t number;
    struct guard_blob history;
};

struct change {
    uint64_t version;
    int64_t unix_ms;
    struct bytes state, request, caller;
};

static struct entity *entity_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct entity, item) : NULL;
}

static void record(const struct item *item, struct item_record *to) {
    const struct entity *entity = CONTAINER_OF_CONST(item, struct entity, item);
    item_record_u64(to, entity->number);
    item_record_u64(to, deadline_of(&entity->due));
    guard_blob_record(&entity->history, to);
}

static struct bytes body(const struct item *item) {
    return guard_blob_bytes(&CONTAINER_OF_CONST(item, struct entity, item)->history);
}

const struct item_kind guard_entity_kind = {.tag = 'e', .record = record, .body = body};

static bool read_change(struct reader *r, struct change *change) { // false: the end, or damaged
    if (reader_left(r) == 0) return false;
    change->version = read_u64_le(r);
    change->unix_ms = (int64_t)read_u64_le(r);
    change->state = item_read_text(r);
    change->request = item_read_text(r);
    change->caller = item_read_text(r);
    return !r->failed;
}

static struct reader history_reader(const struct entity *entity) {
    return reader_of(entity->history.data, entity->history.len);
}

static struct change newest(const struct entity *entity) {
    struct change change = {0};
    struct reader r = history_reader(entity);
    while (read_change(&r, &change)) {
    }
    return change;
}

// The change that a request made, if it is still known.
static bool find_request(const struct entity *entity, struct bytes request, struct change *found) {
    struct reader r = history_reader(entity);
    while (request.len > 0 && read_change(&r, found))
        if (bytes_equal(found->request, request)) return true;
    return false;
}

static void append(struct entity *entity, const struct change *change) {
    uint8_t bytes[HISTORY_BYTES_MAX];
    struct item_record to = {bytes, bytes + sizeof bytes, false};
    struct reader r = history_reader(entity);
    struct change old;
    size_t count = 0, skip = 0;
    while (read_change(&r, &old))
        if (++count == 1) skip = r.at;
    if (count < GUARD_HISTORY) skip = 0;
    size_t kept = entity->history.len - skip;
    if (kept > 0) memcpy(bytes, entity->history.data + skip, kept);
    to.at += kept;
    item_record_u64(&to, change->version);
    item_record_u64(&to, (uint64_t)change->unix_ms);
    item_record_text(&to, change->state);
    item_record_text(&to, change->request);
    item_record_text(&to, change->caller);
    ENSURE(!to.full);
    guard_blob_set(&entity->history, bytes_of(bytes, (size_t)(to.at - bytes)));
}

static struct entity *make(struct guard_state *state, struct bytes name, uint64_t number) {
    struct entity *entity = item_make(sizeof *entity, name);
    entity->number = number;
    entity->due.kind = DUE_ENTITY;
    ENSURE(items_insert(&state->entities, &entity->item));
    return entity;
}

static int wrong_state(const struct entity *entity, struct bytes expected, struct guard_result *out) {
    if (entity == NULL) return expected.len == 0 ? 0 : GUARD_NOT_FOUND;
    struct change now = newest(entity);
    if (bytes_equal(now.state, expected) || PLANTED(STATE_FROM_ANY)) return 0;
    out->state = now.state;
    out->version = now.version;
    return GUARD_STATE;
}

static bool texts_good(const struct guard_transition *t) {
    if (!guard_name_good(t->entity) || t->to.len == 0 || t->to.len > GUARD_STATE_BYTES_MAX) return false;
    return t->request.len <= GUARD_STATE_BYTES_MAX && t->caller.len <= GUARD_STATE_BYTES_MAX;
}

int guard_apply_transition(struct guard_state *state, struct apply *apply, struct reader *r, struct guard_result *out) {
    struct guard_transition t = {.entity = read_blob(r)};
    t.from = read_blob(r);
    t.to = read_blob(r);
    t.request = read_blob(r);
    t.caller = read_blob(r);
    t.ttl_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!texts_good(&t) || t.ttl_ms > GUARD_TTL_MS_MAX) return GUARD_BAD_ARGUMENTS;
    struct entity *entity = entity_of(items_find(&state->entities, t.entity));
    struct change change;
    if (entity && find_request(entity, t.request, &change)) {
        if (!bytes_equal(change.state, t.to)) return GUARD_MISMATCH;
        out->repeated = true;
        out->state = change.state;
        out->version = change.version;
        out->at_unix_ms = change.unix_ms;
        return 0;
    }
    int error = wrong_state(entity, t.from, out);
    if (error) return error;
    if (entity == NULL) entity = make(state, t.entity, ++state->words[WORD_NUMBER]);
    change = (struct change){apply->index, apply->unix_ms, t.to, t.request, t.caller};
    append(entity, &change);
    uint64_t due_ms = t.ttl_ms > 0 ? time_after(apply->log_time_ms, t.ttl_ms) : NO_DEADLINE;
    deadline_set(&state->due, &entity->due, due_ms, entity->number);
    items_changed(&state->entities, &entity->item);
    out->state = newest(entity).state;
    out->version = apply->index;
    return 0;
}

int guard_apply_entity_delete(struct guard_state *state, struct reader *r, struct guard_result *out) {
    struct bytes name = read_blob(r), expected = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct entity *entity = entity_of(items_find(&state->entities, name));
    if (entity == NULL) return GUARD_NOT_FOUND;
    int error = wrong_state(entity, expected, out);
    if (error == 0) guard_entity_remove(state, &entity->item);
    return error;
}

void guard_entity_remove(struct guard_state *state, struct item *item) {
    struct entity *entity = entity_of(item);
    deadline_set(&state->due, &entity->due, NO_DEADLINE, 0);
    mem_free(entity->history.data);
    items_remove(&state->entities, item);
}

struct item *guard_entity_due(struct deadline *due) {
    return &CONTAINER_OF(due, struct entity, due)->item;
}

void guard_entity_show(const struct item *item, const struct guard_query *query) {
    const struct entity *entity = CONTAINER_OF_CONST(item, struct entity, item);
    struct reader r = history_reader(entity);
    struct change change;
    while (read_change(&r, &change)) {
        if (query->page.name.len == 0 && reader_left(&r) > 0) continue;
        struct guard_entity_info info = {.entity = item_name(item),
                                         .state = change.state,
                                         .request = change.request,
                                         .caller = change.caller,
                                         .version = change.version,
                                         .due_ms = deadline_of(&entity->due),
                                         .unix_ms = change.unix_ms};
        query->entity(query->context, &info);
    }
}

static bool history_good(struct bytes history) {
    struct reader r = reader_of(history.data, history.len);
    struct change change;
    size_t count = 0;
    while (read_change(&r, &change)) {
        if (change.state.len == 0 || change.state.len > GUARD_STATE_BYTES_MAX) return false;
        if (change.request.len > GUARD_STATE_BYTES_MAX || change.caller.len > GUARD_STATE_BYTES_MAX) return false;
        count++;
    }
    return !r.failed && count > 0 && count <= GUARD_HISTORY;
}

bool guard_entity_load(struct guard_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t number = read_u64_le(r), due_ms = read_u64_le(r);
    struct digest digest = guard_blob_read_digest(r);
    struct bytes history = items_read_body(r);
    if (r->failed || !guard_name_good(name) || items_find(&state->entities, name)) return false;
    if (number > state->words[WORD_NUMBER] || !history_good(history)) return false;
    struct entity *entity = make(state, name, number);
    guard_blob_set(&entity->history, history);
    deadline_set(&state->due, &entity->due, due_ms, number);
    items_changed(&state->entities, &entity->item);
    return digest_equal(entity->history.digest, digest);
}
