// Splits a record into objects that can be searched alone: a register, an element of a set, a queue; several of them
// only where a multi binds them.
#include "sim/check/linear.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "sim/check/linear_search.h"
#include "sim/check/linear_shrink.h"

#define JOINED_MAX 8u // cells of one object

enum kind { KIND_REGISTER, KIND_ELEMENT, KIND_QUEUE };

struct entry {
    const struct record_operation *operation;
    size_t index;        // of it
    record_text element; // of a set; RECORD_NULL: none
    enum kind kind;
    size_t unit;   // number of (key, kind, element)
    size_t object; // the lowest unit of those that are bound together
    size_t item;   // index of the operation, or of the first of its multi
};

struct split {
    const struct record *record;
    struct entry *entries;
    size_t count, units;
    size_t *bound; // union-find over units
};

// ---- who takes part

static enum kind kind_of(enum record_op op) {
    if (op == RECORD_ENQUEUE || op == RECORD_DEQUEUE) return KIND_QUEUE;
    return op == RECORD_ADD || op == RECORD_REMOVE || op == RECORD_CONTAINS ? KIND_ELEMENT : KIND_REGISTER;
}

static bool takes_part(const struct record_operation *o) {
    if (o->key == RECORD_NULL) return false;
    if (o->outcome == RECORD_FAIL && (o->error == RECORD_NO_ERROR || o->multi != 0)) return false;
    switch (o->op) {
    case RECORD_READ:
        if (o->outcome == RECORD_UNKNOWN || o->watch == RECORD_WATCH_CHILD) return false;
        return o->consistency == RECORD_LINEARIZABLE || o->multi != 0;
    case RECORD_CONTAINS:
        return o->outcome == RECORD_OK;
    case RECORD_ENQUEUE:
    case RECORD_DEQUEUE:
        return o->outcome != RECORD_FAIL;
    case RECORD_WRITE:
    case RECORD_CAS:
    case RECORD_CREATE:
    case RECORD_DELETE:
    case RECORD_ADD:
    case RECORD_REMOVE:
        return true;
    default:
        return false;
    }
}

static void collect(struct split *split) {
    const struct record *record = split->record;
    bool *is_set = mem_zalloc(record_strings_count(record));
    for (size_t i = 0; i < record->count; i++)
        if (kind_of(record->operations[i].op) == KIND_ELEMENT) is_set[record->operations[i].key] = true;
    split->entries = mem_alloc((record->count + 1) * sizeof *split->entries);
    for (size_t i = 0; i < record->count; i++) {
        const struct record_operation *o = &record->operations[i];
        if (!takes_part(o) || (o->op == RECORD_READ && is_set[o->key])) continue; // sets as a whole: sets.c
        struct entry *entry = &split->entries[split->count++];
        *entry = (struct entry){.operation = o, .index = i, .item = i, .kind = kind_of(o->op)};
        if (entry->kind == KIND_ELEMENT) entry->element = o->value;
    }
    mem_free(is_set);
}

// ---- what belongs together

static int compare(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static int by_unit(const void *a, const void *b) {
    const struct entry *left = a, *right = b;
    int order = compare(left->operation->key, right->operation->key);
    if (order == 0) order = compare(left->kind, right->kind);
    if (order == 0) order = compare(left->element, right->element);
    return order;
}

static int by_multi(const void *a, const void *b) {
    const struct entry *left = a, *right = b;
    int order = compare(left->operation->multi, right->operation->multi);
    if (order == 0) order = compare(left->operation->client, right->operation->client);
    if (order == 0) order = compare(left->operation->seq, right->operation->seq);
    return order != 0 ? order : compare(left->index, right->index);
}

static int by_place(const void *a, const void *b) {
    const struct entry *left = a, *right = b;
    int order = compare(left->object, right->object);
    if (order == 0) order = compare(left->operation->call_us, right->operation->call_us);
    if (order == 0) order = compare(left->item, right->item);
    if (order == 0) order = compare(left->operation->seq, right->operation->seq);
    return order != 0 ? order : compare(left->index, right->index);
}

static size_t root_of(size_t *bound, size_t unit) {
    while (bound[unit] != unit) unit = bound[unit] = bound[bound[unit]];
    return unit;
}

static void join(struct split *split) {
    qsort(split->entries, split->count, sizeof *split->entries, by_unit);
    for (size_t i = 0; i < split->count; i++) {
        if (i == 0 || by_unit(&split->entries[i - 1], &split->entries[i]) != 0) split->units++;
        split->entries[i].unit = split->units - 1;
    }
    split->bound = mem_alloc((split->units + 1) * sizeof *split->bound);
    for (size_t i = 0; i < split->units; i++) split->bound[i] = i;
    qsort(split->entries, split->count, sizeof *split->entries, by_multi);
    for (size_t i = 1; i < split->count; i++) {
        const struct entry *before = &split->entries[i - 1];
        struct entry *entry = &split->entries[i];
        const struct record_operation *o = entry->operation;
        if (o->multi == 0 || before->operation->multi != o->multi || before->operation->client != o->client) continue;
        entry->item = before->item;
        size_t a = root_of(split->bound, before->unit), b = root_of(split->bound, entry->unit);
        split->bound[a > b ? a : b] = a < b ? a : b;
    }
    for (size_t i = 0; i < split->count; i++) split->entries[i].object = root_of(split->bound, split->entries[i].unit);
    qsort(split->entries, split->count, sizeof *split->entries, by_place);
}

// ---- one object

static size_t cell_of(size_t *units, uint32_t *cells, size_t unit) {
    for (size_t i = 0; i < *cells; i++)
        if (units[i] == unit) return i;
    if (*cells < JOINED_MAX) units[*cells] = unit;
    return (*cells)++;
}

static struct linear_object make(const struct split *split, const struct entry *entries, size_t count) {
    struct linear_object object = {.record = split->record, .queue = entries[0].kind == KIND_QUEUE};
    size_t units[JOINED_MAX];
    object.items = mem_alloc(count * sizeof *object.items);
    object.parts = mem_alloc(count * sizeof *object.parts);
    for (size_t i = 0; i < count && object.cells <= JOINED_MAX; i++) {
        const struct record_operation *o = entries[i].operation;
        object.parts[i] =
            (struct linear_part){entries[i].index, (uint32_t)cell_of(units, &object.cells, entries[i].unit)};
        if (i > 0 && entries[i - 1].item == entries[i].item) {
            object.items[object.count - 1].parts++;
            continue;
        }
        bool definite = o->outcome != RECORD_UNKNOWN;
        object.items[object.count++] = (struct linear_item){.call_us = o->call_us,
                                                            .return_us = definite ? o->return_us : RECORD_NEVER,
                                                            .first = i,
                                                            .parts = 1,
                                                            .definite = definite};
    }
    return object;
}

static const char *cannot(const struct split *split, const struct linear_object *object, const struct entry *entries,
                          size_t count) {
    if (object->cells > JOINED_MAX) return "multis bind too many keys";
    for (size_t i = 1; i < count; i++)
        if (entries[i].kind != entries[0].kind) return "operations of different kinds of objects in one multi";
    if (!object->queue) return NULL;
    if (object->cells > 1) return "a multi over several queues";
    for (size_t i = 1; i < count; i++)
        if (entries[i].item == entries[i - 1].item) return "a multi over a queue";
    return split->record->initial == RECORD_ANY ? "a queue that nobody knows the beginning of" : NULL;
}

static void convict(const struct linear_object *object, size_t parts, record_text initial,
                    const struct check_limits *limits, struct check_result *result) {
    struct linear_budget budget = {.steps = limits->steps, .memory = limits->memory};
    uint8_t *use = mem_alloc(object->count);
    initial = linear_shrink(object, initial, budget, use);
    size_t *shown = mem_alloc(parts * sizeof *shown);
    size_t count = 0, items = 0;
    for (size_t i = 0; i < object->count; i++) {
        if (use[i] == LINEAR_OUT) continue;
        items++;
        for (size_t j = 0; j < object->items[i].parts; j++)
            shown[count++] = object->parts[object->items[i].first + j].operation;
    }
    const struct record *record = object->record;
    check_report(result, limits, CHECK_VIOLATION, shown, count,
                 "%s: no order explains these %zu of %zu operations, beginning with %s",
                 record_string(record, record->operations[shown[0]].key), items, object->count,
                 object->queue ? "an empty queue" : record_string(record, initial));
    mem_free(shown);
    mem_free(use);
}

static void check_object(const struct split *split, const struct entry *entries, size_t count,
                         const struct check_limits *limits, struct check_result *result) {
    struct linear_object object = make(split, entries, count);
    const char *key = record_string(split->record, entries[0].operation->key);
    const char *why = cannot(split, &object, entries, count);
    record_text initial = split->record->initial;
    if (entries[0].kind == KIND_ELEMENT && initial != RECORD_ANY) initial = RECORD_NULL;
    result->checked += count;
    if (why != NULL) {
        check_report(result, limits, CHECK_UNKNOWN, NULL, 0, "%s: %s", key, why);
    } else {
        struct linear_budget budget = {.steps = limits->steps, .memory = limits->memory};
        enum check_verdict verdict = linear_search(&object, NULL, initial, &budget);
        if (verdict == CHECK_VIOLATION) convict(&object, count, initial, limits, result);
        if (verdict == CHECK_UNKNOWN)
            check_report(result, limits, verdict, NULL, 0, "%s: the search over %zu operations ran out of %s", key,
                         object.count, budget.ran_out);
    }
    mem_free(object.items);
    mem_free(object.parts);
}

void linear_check(const struct record *record, const struct check_limits *limits, struct check_result *result) {
    struct split split = {.record = record};
    collect(&split);
    join(&split);
    for (size_t from = 0, to; from < split.count; from = to) {
        for (to = from + 1; to < split.count && split.entries[to].object == split.entries[from].object;) to++;
        check_object(&split, &split.entries[from], to - from, limits, result);
    }
    mem_free(split.entries);
    mem_free(split.bound);
}
