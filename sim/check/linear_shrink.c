// Each step keeps this true: were the whole history good, so would be what is left. So what is left and refused
// convicts the whole.
//  - what comes behind a moment is left out, what was under way then is relaxed (a prefix of a good history is good);
//  - what was over before a moment is left out, with anything as the state at that moment; what was under way is
//  relaxed;
//  - observations are left out; so are writes whose value nothing that is left has seen, where nothing else than values
//    is looked at; so are elements of a queue.
#include "sim/check/linear_shrink.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct shrink {
    const struct linear_object *object;
    record_text initial;
    struct linear_budget *budget;
    uint8_t *use, *tried;
};

static bool refused(struct shrink *shrink, const uint8_t *use, record_text initial) {
    return linear_search(shrink->object, use, initial, shrink->budget) == CHECK_VIOLATION;
}

static const struct record_operation *only_part(const struct linear_object *object, const struct linear_item *item) {
    return item->parts == 1 ? &object->record->operations[object->parts[item->first].operation] : NULL;
}

// ---- the end

static void cut_end(const struct linear_object *object, uint64_t end_us, uint8_t *use) {
    for (size_t i = 0; i < object->count; i++) {
        const struct linear_item *item = &object->items[i];
        use[i] = LINEAR_AS_IT_IS;
        if (item->return_us > end_us) use[i] = LINEAR_RELAXED;
        if (item->call_us > end_us) use[i] = LINEAR_OUT;
    }
}

static int by_time(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void shrink_end(struct shrink *shrink) {
    const struct linear_object *object = shrink->object;
    uint64_t *ends = mem_alloc((object->count + 1) * sizeof *ends);
    size_t count = 0, low = 0;
    for (size_t i = 0; i < object->count; i++)
        if (object->items[i].definite) ends[count++] = object->items[i].return_us;
    qsort(ends, count, sizeof *ends, by_time);
    size_t high = count - 1; // refused: it is the whole
    while (low < high) {
        size_t middle = (low + high) / 2;
        cut_end(object, ends[middle], shrink->tried);
        if (refused(shrink, shrink->tried, shrink->initial))
            high = middle;
        else
            low = middle + 1;
    }
    cut_end(object, ends[high], shrink->use);
    mem_free(ends);
}

// ---- the beginning

static void cut_begin(const struct shrink *shrink, uint64_t begin_us) {
    for (size_t i = 0; i < shrink->object->count; i++) {
        const struct linear_item *item = &shrink->object->items[i];
        shrink->tried[i] = shrink->use[i];
        if (shrink->use[i] == LINEAR_OUT || item->call_us >= begin_us) continue;
        bool over = item->definite && item->return_us < begin_us;
        shrink->tried[i] = over ? LINEAR_OUT : LINEAR_RELAXED;
    }
}

static void shrink_begin(struct shrink *shrink) {
    const struct linear_object *object = shrink->object;
    if (object->queue) return;
    size_t end = object->count, span = 32;
    while (shrink->use[end - 1] == LINEAR_OUT) end--;
    for (; span < end; span *= 2) { // short ones first: they are cheap
        cut_begin(shrink, object->items[end - span].call_us);
        if (refused(shrink, shrink->tried, RECORD_ANY)) break;
    }
    if (span >= end && !refused(shrink, shrink->use, RECORD_ANY)) return;
    size_t low = span >= end ? 0 : end - span, high = end - 1; // low: refused from there on
    while (low < high) {
        size_t middle = (low + high + 1) / 2;
        cut_begin(shrink, object->items[middle].call_us);
        if (refused(shrink, shrink->tried, RECORD_ANY))
            low = middle;
        else
            high = middle - 1;
    }
    cut_begin(shrink, object->items[low].call_us);
    memcpy(shrink->use, shrink->tried, object->count);
    shrink->initial = RECORD_ANY;
}

// ---- one by one

// Only values are looked at: no versions, no "exists", no multi.
static bool values_only(const struct shrink *shrink) {
    for (size_t i = 0; i < shrink->object->count; i++) {
        if (shrink->use[i] == LINEAR_OUT) continue;
        const struct record_operation *o = only_part(shrink->object, &shrink->object->items[i]);
        if (o == NULL || o->version != RECORD_NO_VERSION || o->expect_version != RECORD_NO_VERSION) return false;
        if (o->outcome == RECORD_FAIL) return false;
        bool swap = o->op == RECORD_CAS && o->expect != RECORD_ANY && o->expect != RECORD_NULL;
        if (o->op != RECORD_READ && o->op != RECORD_WRITE && !swap) return false;
    }
    return true;
}

static bool is_seen(const struct shrink *shrink, record_text value) {
    for (size_t i = 0; i < shrink->object->count; i++) {
        if (shrink->use[i] == LINEAR_OUT) continue;
        const struct record_operation *o = only_part(shrink->object, &shrink->object->items[i]);
        if (o->op == RECORD_READ && shrink->use[i] == LINEAR_AS_IT_IS && o->value == value) return true;
        if (o->op == RECORD_CAS && o->expect == value) return true;
    }
    return false;
}

static void drop(struct shrink *shrink, size_t item) {
    const struct linear_object *object = shrink->object;
    memcpy(shrink->tried, shrink->use, object->count);
    shrink->tried[item] = LINEAR_OUT;
    if (object->queue) { // the element altogether
        const struct record_operation *gone = only_part(object, &object->items[item]);
        for (size_t i = 0; i < object->count; i++) {
            const struct record_operation *o = only_part(object, &object->items[i]);
            if (o->value == gone->value && gone->value != RECORD_NULL) shrink->tried[i] = LINEAR_OUT;
        }
    }
    if (refused(shrink, shrink->tried, shrink->initial)) memcpy(shrink->use, shrink->tried, object->count);
}

// An enqueue or dequeue whose outcome is not known may concern any element.
static bool queue_is_known(const struct linear_object *object) {
    for (size_t i = 0; i < object->count; i++)
        if (!object->items[i].definite && only_part(object, &object->items[i])->op == RECORD_DEQUEUE) return false;
    return true;
}

static void shrink_each(struct shrink *shrink) {
    const struct linear_object *object = shrink->object;
    bool queue = object->queue && queue_is_known(object);
    for (size_t i = 0; i < object->count && shrink->budget->steps > 0; i++)
        if (shrink->use[i] != LINEAR_OUT && (queue || linear_item_observes(object, &object->items[i]))) drop(shrink, i);
    if (object->queue || !values_only(shrink)) return;
    for (size_t i = 0; i < object->count && shrink->budget->steps > 0; i++) {
        const struct record_operation *o = only_part(object, &object->items[i]);
        if (shrink->use[i] != LINEAR_OUT && o->op != RECORD_READ && !is_seen(shrink, o->value)) drop(shrink, i);
    }
}

record_text linear_shrink(const struct linear_object *object, record_text initial, struct linear_budget budget,
                          uint8_t *use) {
    struct shrink shrink = {.object = object, .initial = initial, .budget = &budget, .use = use};
    shrink.tried = mem_alloc(object->count);
    memset(use, LINEAR_AS_IT_IS, object->count);
    struct linear_budget whole = budget; // each step has all of it
    shrink_end(&shrink);
    budget = whole;
    shrink_begin(&shrink);
    budget = whole;
    shrink_each(&shrink);
    mem_free(shrink.tried);
    return shrink.initial;
}
