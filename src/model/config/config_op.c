// The operations. Each reads all its arguments, then checks everything, then changes; so an error leaves nothing
// behind.
#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "model/config/config_internal.h"

// ---- arguments

struct selection {
    uint32_t percent;
    uint8_t bytes[CONFIG_LABELS_MAX * (2 + CONFIG_LABEL_BYTES_MAX)]; // as a namespace keeps them
    size_t len;
    bool good;
};

static void read_selection(struct reader *r, struct selection *out) {
    uint64_t percent = read_varint(r), count = read_varint(r);
    struct item_record to = {out->bytes, out->bytes + sizeof out->bytes, false};
    out->good = percent <= 100 && count <= CONFIG_LABELS_MAX;
    out->percent = (uint32_t)percent;
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct bytes label = read_blob(r);
        bool good = config_label_good(label);
        out->good = out->good && good;
        if (good) item_record_text(&to, label);
    }
    out->good = out->good && !to.full;
    out->len = (size_t)(to.at - out->bytes);
}

struct publish {
    struct bytes name, author, comment;
    uint64_t expected, base;
    bool gradual;
    struct selection selection;
    struct reader changes; // at the first one
    uint64_t change_count;
};

// Walks through the changes.
struct change_reader {
    struct reader r;
    uint64_t left;
    struct config_change now;
    bool there; // `now` is one
};

static void next_change(struct change_reader *changes) {
    changes->there = changes->left > 0;
    if (!changes->there) return;
    changes->left--;
    changes->now = (struct config_change){.key = read_blob(&changes->r)};
    changes->now.deletes = read_u8(&changes->r) != 0;
    changes->now.value = changes->now.deletes ? bytes_of("", 0) : read_blob(&changes->r);
}

static struct change_reader changes_of(const struct publish *p) {
    struct change_reader changes = {.r = p->changes, .left = p->change_count};
    next_change(&changes);
    return changes;
}

static int read_publish(struct reader *r, struct publish *p) {
    p->name = read_blob(r);
    p->expected = read_varint(r);
    p->base = read_varint(r);
    p->author = read_blob(r);
    p->comment = read_blob(r);
    p->gradual = read_u8(r) != 0;
    p->selection = (struct selection){.good = true};
    if (p->gradual) read_selection(r, &p->selection);
    p->change_count = read_varint(r);
    p->changes = *r;
    if (r->failed) return COMMAND_BAD_COMMAND;
    bool good = p->selection.good && p->change_count <= CONFIG_CHANGES_MAX && p->name.len > 0;
    good = good && p->name.len <= CONFIG_NAME_BYTES_MAX && p->author.len <= CONFIG_AUTHOR_BYTES_MAX &&
           p->comment.len <= CONFIG_COMMENT_BYTES_MAX;
    if (p->change_count > reader_left(r)) return COMMAND_BAD_COMMAND; // each has a byte
    struct change_reader changes = changes_of(p);
    struct bytes before = bytes_of("", 0);
    for (; changes.there && !changes.r.failed; next_change(&changes)) {
        good = good && config_key_good(changes.now.key) && changes.now.value.len <= CONFIG_VALUE_BYTES_MAX &&
               bytes_compare(before, changes.now.key) < 0;
        before = changes.now.key;
    }
    if (!reader_done(&changes.r)) return COMMAND_BAD_COMMAND;
    return good ? 0 : CONFIG_BAD_ARGUMENTS;
}

// ---- publish

// One item: what the new version shall have, and what stands.
struct slot {
    struct bytes key;
    const struct bytes *wanted;             // NULL: it shall not be there
    struct config_value *released, *newest; // NULL: it is not there
};
struct plan {
    struct config_state *state;
    struct config_space *space; // NULL: it is not there yet
    uint64_t base, version;
    size_t items, bytes;    // that the new version has
    uint32_t puts, deletes; // by which it differs from the released one
};

static bool is(const struct config_value *value, const struct bytes *wanted) {
    if (value == NULL || wanted == NULL) return value == NULL && wanted == NULL;
    return bytes_equal(config_value_bytes(value), *wanted);
}

static void count_slot(struct plan *plan, const struct slot *slot) {
    if (slot->wanted != NULL) {
        plan->items++;
        plan->bytes += slot->key.len + slot->wanted->len;
    }
    if (is(slot->released, slot->wanted)) return;
    if (slot->wanted != NULL)
        plan->puts++;
    else
        plan->deletes++;
}

static void fill_slot(struct plan *plan, const struct slot *slot) {
    if (is(slot->newest, slot->wanted)) return;
    if (slot->newest != NULL) {
        slot->newest->end = plan->version;
        items_changed(&plan->state->values, &slot->newest->item);
    }
    if (slot->wanted == NULL) return;
    struct config_value *made = config_value_make(plan->state, plan->space, slot->key, plan->version, *slot->wanted);
    ENSURE(made != NULL);
    items_changed(&plan->state->values, &made->item);
}

// The values of `at`'s key; gives the first of the next key.
static struct config_value *read_slot(const struct plan *plan, struct config_value *at, struct slot *slot,
                                      struct bytes *base) {
    struct config_value *next = at;
    *slot = (struct slot){.key = config_value_key(at)};
    for (; next && bytes_equal(config_value_key(next), slot->key); next = config_value_next(next)) {
        if (config_value_of(next, plan->space->released)) slot->released = next;
        if (next->end == CONFIG_OPEN) slot->newest = next;
        if (plan->base == CONFIG_BASE_EMPTY || !config_value_of(next, plan->base)) continue;
        *base = config_value_bytes(next);
        slot->wanted = base;
    }
    return next;
}

// Every key that is anywhere, with the changes, in order.
static void walk(struct plan *plan, const struct publish *p,
                 void (*visit)(struct plan *plan, const struct slot *slot)) {
    struct change_reader changes = changes_of(p);
    struct config_value *at = plan->space ? config_value_first(plan->state, plan->space) : NULL;
    while (at != NULL || changes.there) {
        struct slot slot = {0};
        struct bytes base;
        int order = at == NULL ? 1 : changes.there ? bytes_compare(config_value_key(at), changes.now.key) : -1;
        if (order <= 0) at = read_slot(plan, at, &slot, &base);
        if (order >= 0) {
            slot.key = changes.now.key;
            slot.wanted = changes.now.deletes ? NULL : &changes.now.value;
        }
        visit(plan, &slot);
        if (order >= 0) next_change(&changes);
    }
}

// Frees the values that are in no version that is kept.
static void drop_values(struct config_state *state, const struct config_space *space) {
    struct config_value *next;
    for (struct config_value *at = config_value_first(state, space); at; at = next) {
        next = config_value_next(at);
        const struct config_release *release = config_release_after(state, space, at->first - 1);
        if (release == NULL || release->version >= at->end) config_value_free(state, at);
    }
}

// Oldest first; never what some client shall have.
static void trim(struct config_state *state, const struct config_space *space) {
    struct config_release *at = config_release_after(state, space, 0), *next;
    for (; at && (space->releases > CONFIG_HISTORY_MAX || space->bytes > CONFIG_HISTORY_BYTES_MAX); at = next) {
        next = config_release_after(state, space, at->version);
        if (at->version == space->released || at->version == space->gradual) continue;
        config_release_free(state, at);
        drop_values(state, space);
    }
}

static void tell(struct apply *apply, const struct config_space *space) {
    struct config_event event = {item_name(&space->item)};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_CONFIG, &event);
}

static void show(const struct config_state *state, const struct config_space *space, uint64_t version,
                 struct config_result *out) {
    const struct config_release *release = space && version > 0 ? config_release_find(state, space, version) : NULL;
    out->version = version;
    out->revision = release ? release->revision : 0;
    out->released = space ? space->released : 0;
    out->gradual = space ? space->gradual : 0;
}

static void publish(struct plan *plan, struct apply *apply, const struct publish *p) {
    struct config_state *state = plan->state;
    if (plan->space == NULL) plan->space = config_space_make(state, p->name, ++state->words[WORD_NUMBER]);
    struct config_space *space = plan->space;
    walk(plan, p, fill_slot);
    struct config_release *release = config_release_make(state, space, plan->version, p->author, p->comment);
    ENSURE(release != NULL);
    release->revision = apply->index;
    release->base = p->base;
    release->unix_ms = apply->unix_ms;
    release->puts = plan->puts;
    release->deletes = plan->deletes;
    items_changed(&state->releases, &release->item);
    space->newest = plan->version;
    if (p->gradual)
        space->gradual = plan->version;
    else
        space->released = plan->version;
    config_space_select(space, p->selection.percent, bytes_of(p->selection.bytes, p->selection.len));
    items_changed(&state->spaces, &space->item);
    trim(state, space);
    tell(apply, space);
}

static int apply_publish(struct config_state *state, struct apply *apply, struct reader *r, struct config_result *out) {
    struct publish p;
    int error = read_publish(r, &p);
    if (error) return error;
    struct config_space *space = config_space_find(state, p.name);
    uint64_t released = space ? space->released : 0;
    show(state, space, released, out);
    bool any = p.expected == CONFIG_ANY || PLANTED(CONFIG_EXPECTED_IGNORED);
    if (!any && p.expected != released) return CONFIG_VERSION;
    if (space && space->gradual != 0) return CONFIG_RELEASING;
    bool version_base = p.base != CONFIG_BASE_RELEASED && p.base != CONFIG_BASE_EMPTY;
    if (version_base && (space == NULL || config_release_find(state, space, p.base) == NULL)) return CONFIG_NOT_FOUND;
    if (space && space->newest >= CONFIG_VERSION_MAX) return CONFIG_LIMIT;
    struct plan plan = {.state = state, .space = space, .version = (space ? space->newest : 0) + 1};
    plan.base = p.base == CONFIG_BASE_RELEASED ? released : p.base;
    walk(&plan, &p, count_slot);
    if (plan.items > CONFIG_ITEMS_MAX || plan.bytes > CONFIG_SET_BYTES_MAX) return CONFIG_LIMIT;
    if (released > 0 && plan.puts == 0 && plan.deletes == 0) return 0; // as it is
    publish(&plan, apply, &p);
    out->changed = true;
    show(state, plan.space, plan.version, out);
    return 0;
}

// ---- gradual releases

static int apply_select(struct config_state *state, struct apply *apply, struct reader *r, struct config_result *out) {
    struct selection selection;
    struct bytes name = read_blob(r);
    uint64_t version = read_varint(r);
    read_selection(r, &selection);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (!selection.good) return CONFIG_BAD_ARGUMENTS;
    struct config_space *space = config_space_find(state, name);
    if (space == NULL) return CONFIG_NOT_FOUND;
    show(state, space, version, out);
    if (version == 0 || version != space->gradual) return CONFIG_NOT_RELEASING;
    config_space_select(space, selection.percent, bytes_of(selection.bytes, selection.len));
    items_changed(&state->spaces, &space->item);
    out->changed = true;
    tell(apply, space);
    return 0;
}

// A retry finds it done, and changes nothing.
static bool was_ended(const struct config_state *state, const struct config_space *space, uint64_t version,
                      bool promotes) {
    const struct config_release *release = version > 0 ? config_release_find(state, space, version) : NULL;
    if (release == NULL) return false;
    return promotes ? version == space->released : release->abandoned && version == space->newest;
}

static int apply_end(struct config_state *state, struct apply *apply, struct reader *r, bool promotes,
                     struct config_result *out) {
    struct bytes name = read_blob(r);
    uint64_t version = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct config_space *space = config_space_find(state, name);
    if (space == NULL) return CONFIG_NOT_FOUND;
    show(state, space, version, out);
    if (was_ended(state, space, version, promotes)) return 0;
    if (version == 0 || version != space->gradual) return CONFIG_NOT_RELEASING;
    struct config_release *release = config_release_find(state, space, version);
    if (release == NULL) return CONFIG_NOT_FOUND;
    space->gradual = 0;
    if (promotes) space->released = version;
    release->abandoned = !promotes;
    config_space_select(space, 0, bytes_of("", 0));
    items_changed(&state->releases, &release->item);
    items_changed(&state->spaces, &space->item);
    out->changed = true;
    show(state, space, version, out);
    if (promotes || !PLANTED(CONFIG_ABANDONED_IN_SILENCE)) tell(apply, space);
    return 0;
}

static int apply_delete(struct config_state *state, struct apply *apply, struct reader *r, struct config_result *out) {
    struct bytes name = read_blob(r);
    uint64_t expected = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct config_space *space = config_space_find(state, name);
    if (space == NULL) return CONFIG_NOT_FOUND;
    show(state, space, space->released, out);
    if (expected != CONFIG_ANY && expected != space->released) return CONFIG_VERSION;
    if (space->gradual != 0) return CONFIG_RELEASING;
    tell(apply, space);
    config_space_free(state, space);
    *out = (struct config_result){.changed = true};
    return 0;
}

static int run(struct config_state *state, struct apply *apply, uint8_t op, struct reader *r,
               struct config_result *out) {
    switch (op) {
    case CONFIG_PUBLISH:
        return apply_publish(state, apply, r, out);
    case CONFIG_SELECT:
        return apply_select(state, apply, r, out);
    case CONFIG_PROMOTE:
        return apply_end(state, apply, r, true, out);
    case CONFIG_ABANDON:
        return apply_end(state, apply, r, false, out);
    case CONFIG_DELETE:
        return apply_delete(state, apply, r, out);
    default:
        return COMMAND_BAD_COMMAND;
    }
}

void config_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct config_state *state = model;
    struct reader r = reader_of(command->args.data, command->args.len);
    state->result = (struct config_result){0};
    result->value = &state->result;
    result->error = run(state, apply, command->op, &r, &state->result);
    items_head_changed(&state->sum, state->words, WORD_COUNT);
}
