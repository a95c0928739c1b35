// A depth-first walk. A configuration is what has been done and the state that it led to:
//
//   definite items, by call   1 1 1 0 1 0 0 0 0 ...    all before `first` are done, none behind `last` is
//                             first-^ ^-last
//   optional items            0 1 0
//   state                     words of the model
//
// Next may come any item whose call is not behind the return of an item that is not done. A configuration that was met
// before is not entered again; met ones are kept whole and compared whole. Four rules make the walk short without
// losing an order: an observation that is right now is done now; of optional items that are alike only the first is
// tried; a value that somebody must see yet is not overwritten for good; and a write that nobody sees goes right before
// another write that it could have stood before (where nothing but values is looked at).
#include "sim/check/linear_search.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "sim/check/linear_model.h"
#include "sim/check/linear_values.h"

struct step_item {
    uint64_t call_us, return_us;
    struct linear_move *moves;
    uint32_t count;
    bool done, observes;
    uint32_t alike; // optional items: number + 1 of the last one before it that is alike; 0: none
};

// A met configuration lies in `words`: its length, then its words. slots: places + 1.
struct met {
    uint32_t *words;
    size_t used, capacity;
    uint64_t *slots;
    size_t slot_count, count;
};

struct frame {
    size_t state_at, state_words;
    size_t item;          // that led here
    size_t cursor;        // next candidate to try
    size_t first, last;   // see above; last: one behind the last that is done
    uint64_t deadline_us; // the first return of what is not done
    uint64_t before_us;   // the deadline before the item that led here, or before the one that took it in
    bool forced;          // came by an observation: the frame before has no other choice worth trying
};

struct walk {
    const struct linear_object *object;
    struct step_item *items; // definite ones, then optional ones
    size_t definite, optional, left;
    struct linear_move *moves;
    bool versions;
    bool values_only; // one register, nothing but values: no versions, no "exists"
    struct linear_values values;
    uint32_t *states; // of all frames, one behind the other
    size_t states_used, states_capacity;
    struct frame *frames;
    size_t depth, frame_capacity;
    struct met met;
    uint32_t *config; // scratch
    size_t config_capacity;
    struct linear_budget *budget;
};

// ---- what takes part

bool linear_item_observes(const struct linear_object *object, const struct linear_item *item) {
    for (uint32_t i = 0; i < item->parts; i++) {
        const struct record_operation *o = &object->record->operations[object->parts[item->first + i].operation];
        bool empty = o->op == RECORD_DEQUEUE && o->outcome == RECORD_OK && o->value == RECORD_NULL;
        if (!linear_observes(o->op) && o->outcome != RECORD_FAIL && !empty) return false;
    }
    return true;
}

static struct linear_move move_of(const struct record_operation *o, uint32_t cell, bool optional, bool alone) {
    struct linear_move move = {.op = o->op,
                               .error = o->outcome == RECORD_FAIL ? o->error : RECORD_NO_ERROR,
                               .optional = optional,
                               .alone = alone,
                               .found = o->found,
                               .cell = cell,
                               .value = o->value,
                               .expect = o->expect,
                               .version = CELL_NO_VERSION,
                               .expect_version = CELL_NO_VERSION};
    if (!optional && o->version != RECORD_NO_VERSION) move.version = (uint32_t)o->version;
    if (o->expect_version != RECORD_NO_VERSION) move.expect_version = (uint32_t)o->expect_version;
    return move;
}

static void take(struct walk *walk, const struct linear_item *item, bool optional, size_t *moves) {
    struct step_item *taken = &walk->items[walk->definite + walk->optional];
    *taken = (struct step_item){.call_us = item->call_us,
                                .return_us = optional ? RECORD_NEVER : item->return_us,
                                .moves = &walk->moves[*moves],
                                .count = item->parts,
                                .observes = linear_item_observes(walk->object, item)};
    for (uint32_t i = 0; i < item->parts; i++) {
        const struct linear_part *part = &walk->object->parts[item->first + i];
        struct linear_move *move = &walk->moves[(*moves)++];
        *move = move_of(&walk->object->record->operations[part->operation], part->cell, optional, item->parts == 1);
        bool looks = move->version != CELL_NO_VERSION || move->expect_version != CELL_NO_VERSION;
        walk->versions = walk->versions || looks;
    }
    if (optional)
        walk->optional++;
    else
        walk->definite++;
}

static void take_all(struct walk *walk, const uint8_t *use) {
    const struct linear_object *object = walk->object;
    size_t parts = 0, moves = 0;
    for (size_t i = 0; i < object->count; i++) parts += object->items[i].parts;
    walk->items = mem_alloc((object->count + 1) * sizeof *walk->items);
    walk->moves = mem_alloc((parts + 1) * sizeof *walk->moves);
    for (int optional = 0; optional < 2; optional++)
        for (size_t i = 0; i < object->count; i++) {
            const struct linear_item *item = &object->items[i];
            enum linear_use used = use == NULL ? LINEAR_AS_IT_IS : use[i];
            bool definite = used == LINEAR_AS_IT_IS && item->definite;
            if (used == LINEAR_OUT || definite == (optional == 1)) continue;
            if (!definite && linear_item_observes(object, item)) continue;
            take(walk, item, !definite, &moves);
        }
    walk->left = walk->definite;
}

static int by_text(const void *a, const void *b) {
    record_text left = *(const record_text *)a, right = *(const record_text *)b;
    return left < right ? -1 : left > right;
}

// Values that an answer or a condition names; ascending.
static record_text *seen_values(const struct walk *walk, size_t *count) {
    size_t moves = 0;
    for (size_t i = 0; i < walk->definite + walk->optional; i++) moves += walk->items[i].count;
    record_text *seen = mem_alloc((2 * moves + 1) * sizeof *seen);
    *count = 0;
    for (size_t i = 0; i < moves; i++) {
        const struct linear_move *move = &walk->moves[i];
        if (move->expect != RECORD_ANY) seen[(*count)++] = move->expect;
        bool shown = move->op == RECORD_READ || (move->op == RECORD_DEQUEUE && !move->optional);
        if (shown) seen[(*count)++] = move->value;
    }
    qsort(seen, *count, sizeof *seen, by_text);
    return seen;
}

static bool same_moves(const struct step_item *a, const struct step_item *b) {
    if (a->count != 1 || b->count != 1) return false;
    const struct linear_move *x = a->moves, *y = b->moves;
    return x->op == y->op && x->cell == y->cell && x->value == y->value && x->expect == y->expect &&
           x->expect_version == y->expect_version;
}

// All values that nobody can have seen are one value, which makes their writers alike.
static void find_alike(struct walk *walk) {
    size_t count;
    record_text *seen = seen_values(walk, &count);
    struct step_item *optional = walk->items + walk->definite;
    for (size_t i = 0; i < walk->optional; i++) {
        for (uint32_t j = 0; j < optional[i].count; j++) {
            struct linear_move *move = &optional[i].moves[j];
            bool set = move->op == RECORD_ADD || move->op == RECORD_REMOVE;
            if (set || bsearch(&move->value, seen, count, sizeof *seen, by_text) == NULL) move->value = CELL_UNSEEN;
        }
        size_t oldest = i > 1000 ? i - 1000 : 0; // beyond that a twin is tried in vain, no more
        for (size_t j = i; j-- > oldest && optional[i].alike == 0;)
            if (same_moves(&optional[i], &optional[j])) optional[i].alike = (uint32_t)j + 1;
    }
    mem_free(seen);
}

static bool is_value_move(const struct linear_move *move) {
    if (move->error != RECORD_NO_ERROR) return false;
    bool swap = move->op == RECORD_CAS && move->expect != RECORD_ANY && move->expect != RECORD_NULL;
    return move->op == RECORD_READ || move->op == RECORD_WRITE || swap;
}

static void count_values(struct walk *walk) {
    size_t moves = 0;
    for (size_t i = 0; i < walk->definite + walk->optional; i++) moves += walk->items[i].count;
    linear_values_init(&walk->values, walk->moves, moves);
    walk->values_only = !walk->versions && !walk->object->queue && walk->object->cells == 1;
    for (size_t i = 0; i < moves && walk->values_only; i++)
        walk->values_only = walk->moves[i].alone && is_value_move(&walk->moves[i]);
}

// ---- configurations that were met

static size_t met_slot(const struct met *met, const uint32_t *config, size_t words) {
    size_t mask = met->slot_count - 1, at = hash_bytes(config, words * sizeof *config, 0) & mask;
    for (; met->slots[at] != 0; at = (at + 1) & mask) {
        const uint32_t *known = met->words + met->slots[at] - 1;
        if (known[0] == words && memcmp(known + 1, config, words * sizeof *config) == 0) break;
    }
    return at;
}

static void met_grow(struct met *met) {
    uint64_t *old = met->slots;
    size_t old_count = met->slot_count;
    met->slot_count = old_count == 0 ? 64 : old_count * 2;
    met->slots = mem_zalloc(met->slot_count * sizeof *met->slots);
    for (size_t i = 0; i < old_count; i++) {
        if (old[i] == 0) continue;
        const uint32_t *known = met->words + old[i] - 1;
        met->slots[met_slot(met, known + 1, known[0])] = old[i];
    }
    mem_free(old);
}

static bool met_add(struct met *met, const uint32_t *config, size_t words) { // false: it was there
    if (met->count * 2 >= met->slot_count) met_grow(met);
    size_t slot = met_slot(met, config, words);
    if (met->slots[slot] != 0) return false;
    if (met->used + words + 1 > met->capacity) {
        met->capacity = (met->capacity + words + 1) * 2;
        met->words = mem_realloc(met->words, met->capacity * sizeof *met->words);
    }
    met->slots[slot] = met->used + 1;
    met->count++;
    met->words[met->used] = (uint32_t)words;
    memcpy(met->words + met->used + 1, config, words * sizeof *config);
    met->used += words + 1;
    return true;
}

static size_t put_bits(uint32_t *out, const struct step_item *items, size_t from, size_t to) {
    size_t words = (to - from + 31) / 32;
    memset(out, 0, words * sizeof *out);
    for (size_t i = from; i < to; i++)
        if (items[i].done) out[(i - from) / 32] |= 1u << ((i - from) % 32);
    return words;
}

// Whether the newest frame's configuration is a new one. The length of the window is part of it, so that no two
// configurations look alike.
static bool is_new(struct walk *walk) {
    const struct frame *frame = &walk->frames[walk->depth - 1];
    size_t window = frame->last > frame->first ? frame->last - frame->first : 0;
    size_t most = 3 + window / 32 + walk->optional / 32 + 2 + frame->state_words;
    if (most > walk->config_capacity) {
        walk->config_capacity = most * 2;
        walk->config = mem_realloc(walk->config, walk->config_capacity * sizeof *walk->config);
    }
    uint32_t *out = walk->config;
    size_t words = 0;
    out[words++] = (uint32_t)frame->first;
    out[words++] = (uint32_t)window;
    words += put_bits(out + words, walk->items, frame->first, frame->first + window);
    words += put_bits(out + words, walk->items, walk->definite, walk->definite + walk->optional);
    memcpy(out + words, walk->states + frame->state_at, frame->state_words * sizeof *out);
    return met_add(&walk->met, out, words + frame->state_words);
}

// ---- the walk

static size_t memory_of(const struct walk *walk) {
    return walk->met.capacity * sizeof *walk->met.words + walk->met.slot_count * sizeof *walk->met.slots +
           walk->states_capacity * sizeof *walk->states + walk->frame_capacity * sizeof *walk->frames;
}

static void reserve(struct walk *walk, size_t state_words) {
    if (walk->states_used + state_words > walk->states_capacity) {
        walk->states_capacity = (walk->states_capacity + state_words) * 2;
        walk->states = mem_realloc(walk->states, walk->states_capacity * sizeof *walk->states);
    }
    if (walk->depth == walk->frame_capacity) {
        walk->frame_capacity = walk->frame_capacity == 0 ? 256 : walk->frame_capacity * 2;
        walk->frames = mem_realloc(walk->frames, walk->frame_capacity * sizeof *walk->frames);
    }
}

// The item's effect on the newest frame's state, put behind it. *words: of the new state.
static enum linear_step try_item(struct walk *walk, const struct step_item *item, size_t *words) {
    const struct frame *frame = &walk->frames[walk->depth - 1];
    size_t at = frame->state_at;
    *words = frame->state_words;
    reserve(walk, *words + 1);
    uint32_t *state = walk->states + walk->states_used;
    memcpy(state, walk->states + at, *words * sizeof *state);
    if (walk->budget->steps > 0) walk->budget->steps--;
    if (walk->object->queue) return linear_queue(item->moves, state, words);
    const uint32_t *before = walk->states + walk->frames[walk->depth - 1].state_at;
    enum linear_step step = LINEAR_SAME;
    for (uint32_t i = 0; i < item->count; i++) {
        enum linear_step one = linear_cell(&item->moves[i], walk->versions, state + item->moves[i].cell * CELL_WORDS);
        if (one == LINEAR_ILLEGAL) return one;
        if (one == LINEAR_CHANGED) step = one;
    }
    bool lost = linear_values_lost(&walk->values, item->moves, item->count, before, state, walk->object->cells);
    return lost ? LINEAR_ILLEGAL : step;
}

// Enters the configuration whose state lies behind the newest one's.
static void enter(struct walk *walk, size_t number, size_t words, bool forced) {
    reserve(walk, words);
    struct step_item *item = &walk->items[number];
    struct frame next = {.state_at = walk->states_used, .state_words = words, .item = number, .forced = forced};
    const struct frame *frame = &walk->frames[walk->depth - 1];
    next.first = frame->first;
    next.last = frame->last;
    next.before_us = frame->deadline_us;
    item->done = true;
    linear_values_done(&walk->values, item->moves, item->count, true);
    if (number < walk->definite) {
        walk->left--;
        if (next.last <= number) next.last = number + 1;
        while (next.first < walk->definite && walk->items[next.first].done) next.first++;
    }
    next.cursor = next.first;
    walk->states_used += words;
    walk->frames[walk->depth++] = next;
}

static void leave(struct walk *walk) {
    const struct frame *frame = &walk->frames[--walk->depth];
    walk->states_used = frame->state_at;
    if (walk->depth == 0) return;
    struct step_item *item = &walk->items[frame->item];
    item->done = false;
    linear_values_done(&walk->values, item->moves, item->count, false);
    if (frame->item < walk->definite) walk->left++;
}

// A definite write that nobody will see, if it could have been done right before the write that led here.
static bool absorb(struct walk *walk) {
    const struct frame *frame = &walk->frames[walk->depth - 1];
    if (!walk->values_only || walk->depth < 2 || walk->items[frame->item].moves->op != RECORD_WRITE) return false;
    uint64_t before_us = frame->before_us;
    for (size_t i = frame->first; i < walk->definite && walk->items[i].call_us <= before_us; i++) {
        const struct step_item *item = &walk->items[i];
        if (item->done || item->moves->op != RECORD_WRITE || !linear_values_unseen(&walk->values, item->moves))
            continue;
        size_t words = frame->state_words;
        reserve(walk, words);
        memcpy(walk->states + walk->states_used, walk->states + walk->frames[walk->depth - 1].state_at,
               words * sizeof *walk->states);
        enter(walk, i, words, true);
        walk->frames[walk->depth - 1].before_us = before_us;
        return true;
    }
    return false;
}

// Takes a step that is right whatever comes: an observation that is right now.
static bool observe(struct walk *walk) {
    const struct frame *frame = &walk->frames[walk->depth - 1];
    uint64_t deadline_us = frame->deadline_us;
    for (size_t i = frame->first; i < walk->definite && walk->items[i].call_us <= deadline_us; i++) {
        size_t words;
        const struct step_item *item = &walk->items[i];
        if (item->done || !item->observes || try_item(walk, item, &words) != LINEAR_SAME) continue;
        enter(walk, i, words, true);
        return true;
    }
    return false;
}

// Sets the newest frame's deadline; takes a step that leaves no choice, if there is one.
static bool look(struct walk *walk) {
    struct frame *frame = &walk->frames[walk->depth - 1];
    uint64_t deadline_us = RECORD_NEVER;
    for (size_t i = frame->first; i < walk->definite && walk->items[i].call_us <= deadline_us; i++)
        if (!walk->items[i].done && walk->items[i].return_us < deadline_us) deadline_us = walk->items[i].return_us;
    frame->deadline_us = deadline_us;
    return absorb(walk) || observe(walk);
}

static bool may_try(const struct walk *walk, size_t number) {
    const struct step_item *item = &walk->items[number];
    if (item->done || item->call_us > walk->frames[walk->depth - 1].deadline_us) return false;
    return item->alike == 0 || walk->items[walk->definite + item->alike - 1].done;
}

// The newest frame's next legal candidate; false: it has none left.
static bool advance(struct walk *walk) {
    size_t all = walk->definite + walk->optional;
    while (walk->frames[walk->depth - 1].cursor < all) {
        struct frame *frame = &walk->frames[walk->depth - 1];
        size_t number = frame->cursor++, words;
        if (number < walk->definite && walk->items[number].call_us > frame->deadline_us) {
            frame->cursor = walk->definite; // those behind it were called later still
            continue;
        }
        if (!may_try(walk, number)) continue;
        if (try_item(walk, &walk->items[number], &words) == LINEAR_ILLEGAL) continue;
        enter(walk, number, words, false);
        return true;
    }
    return false;
}

static bool back(struct walk *walk) { // to a frame that has another choice; false: there is none
    bool forced;
    do {
        forced = walk->frames[walk->depth - 1].forced;
        leave(walk);
    } while (walk->depth > 0 && forced);
    return walk->depth > 0;
}

static enum check_verdict run(struct walk *walk) {
    bool arrived = true;
    while (walk->left > 0) {
        if (walk->budget->steps == 0) {
            walk->budget->ran_out = "steps";
            return CHECK_UNKNOWN;
        }
        if (memory_of(walk) > walk->budget->memory) {
            walk->budget->ran_out = "memory";
            return CHECK_UNKNOWN;
        }
        if (arrived && look(walk)) continue;
        if (arrived && !is_new(walk)) {
            if (!back(walk)) return CHECK_VIOLATION;
            arrived = false;
            continue;
        }
        arrived = advance(walk);
        if (!arrived && !back(walk)) return CHECK_VIOLATION;
    }
    return CHECK_OK;
}

enum check_verdict linear_search(const struct linear_object *object, const uint8_t *use, record_text initial,
                                 struct linear_budget *budget) {
    struct walk walk = {.object = object, .budget = budget};
    take_all(&walk, use);
    find_alike(&walk);
    count_values(&walk);
    size_t words = object->queue ? 0 : object->cells * CELL_WORDS;
    reserve(&walk, words + 1);
    for (size_t i = 0; i < words; i += CELL_WORDS) {
        walk.states[i] = initial;
        walk.states[i + 1] = walk.versions && initial != RECORD_NULL && initial != RECORD_ANY ? 0 : CELL_NO_VERSION;
    }
    walk.states_used = words;
    walk.frames[walk.depth++] = (struct frame){.state_words = words};
    enum check_verdict verdict = run(&walk);
    linear_values_free(&walk.values);
    mem_free(walk.items);
    mem_free(walk.moves);
    mem_free(walk.states);
    mem_free(walk.frames);
    mem_free(walk.config);
    mem_free(walk.met.words);
    mem_free(walk.met.slots);
    return verdict;
}
