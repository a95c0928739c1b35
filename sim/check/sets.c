#include "sim/check/sets.h"

#include <string.h>

#include "base/alloc.h"
#include "sim/check/order.h"

// What is known of one element of one set.
struct element {
    record_text key, name;
    const struct record_operation *added;   // the acknowledged add that returned first
    const struct record_operation *tried;   // the add that was called first and may have had an effect
    const struct record_operation *removed; // the acknowledged remove that returned first
    size_t adds;                            // that may have had an effect
    bool removal_tried;
    size_t read;       // number of the last read that showed it
    uint64_t shown_us; // the latest call of a read that showed it
};

struct sets {
    const struct record *record;
    const struct check_limits *limits;
    struct check_result *result;
    struct element *elements; // by key and name
    size_t count;
    record_text *scratch; // elements of one read
    size_t scratch_capacity;
    size_t reads;
};

// ---- elements

static bool is_edit(const struct record_operation *o) {
    return (o->op == RECORD_ADD || o->op == RECORD_REMOVE) && o->key != RECORD_NULL;
}

static int by_element(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->key, b->key);
    if (order == 0) order = order_numbers(a->value, b->value);
    return order != 0 ? order : order_by_call(a, b);
}

static void note(struct element *element, const struct record_operation *o) {
    if (o->outcome == RECORD_FAIL) return;
    const struct record_operation **done = o->op == RECORD_ADD ? &element->added : &element->removed;
    if (o->outcome == RECORD_OK && (*done == NULL || o->return_us < (*done)->return_us)) *done = o;
    if (o->op == RECORD_REMOVE) {
        element->removal_tried = true;
        return;
    }
    element->adds++;
    if (element->tried == NULL) element->tried = o;
}

static void find_elements(struct sets *sets) {
    struct order edits = order_of(sets->record, is_edit, by_element);
    sets->elements = mem_alloc((edits.count + 1) * sizeof *sets->elements);
    for (size_t i = 0; i < edits.count; i++) {
        const struct record_operation *o = edits.at[i];
        bool same = i > 0 && edits.at[i - 1]->key == o->key && edits.at[i - 1]->value == o->value;
        if (!same) sets->elements[sets->count++] = (struct element){.key = o->key, .name = o->value};
        note(&sets->elements[sets->count - 1], o);
    }
    sets->result->checked += edits.count;
    order_free(&edits);
}

static size_t first_of(const struct sets *sets, record_text key, record_text name) {
    size_t low = 0, high = sets->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct element *element = &sets->elements[middle];
        if (element->key < key || (element->key == key && element->name < name))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct element *find(const struct sets *sets, record_text key, record_text name) {
    size_t at = first_of(sets, key, name);
    bool found = at < sets->count && sets->elements[at].key == key && sets->elements[at].name == name;
    return found ? &sets->elements[at] : NULL;
}

// ---- one read

// The names in a read's value; those that were never interned by an add are RECORD_NULL.
static size_t names_of(struct sets *sets, const struct record_operation *read) {
    if (read->value == RECORD_NULL) return 0;
    const char *text = record_string(sets->record, read->value),
               *end = text + record_string_length(sets->record, read->value);
    size_t count = 0;
    while (text < end) {
        const char *comma = memchr(text, ',', (size_t)(end - text)), *stop = comma == NULL ? end : comma;
        if (count == sets->scratch_capacity) {
            sets->scratch_capacity = count == 0 ? 64 : count * 2;
            sets->scratch = mem_realloc(sets->scratch, sets->scratch_capacity * sizeof *sets->scratch);
        }
        sets->scratch[count++] = record_find(sets->record, text, (size_t)(stop - text));
        text = stop + 1;
    }
    return count;
}

static void check_shown(struct sets *sets, const struct record_operation *read) {
    size_t count = names_of(sets, read);
    for (size_t i = 0; i < count; i++) {
        struct element *element = sets->scratch[i] == RECORD_NULL ? NULL : find(sets, read->key, sets->scratch[i]);
        if (element == NULL || element->tried == NULL) {
            if (sets->record->initial != RECORD_ANY)
                check_convict(sets->result, sets->limits, sets->record, NULL, read,
                              "an element that nobody added, number %zu in the read", i + 1);
            continue;
        }
        const char *name = record_string(sets->record, element->name);
        if (element->read == sets->reads)
            check_convict(sets->result, sets->limits, sets->record, element->tried, read, "%s is in it twice", name);
        element->read = sets->reads;
        if (element->tried->call_us > read->return_us)
            check_convict(sets->result, sets->limits, sets->record, element->tried, read,
                          "%s was read before it was added", name);
        const struct record_operation *gone = element->removed;
        bool over = gone != NULL && element->adds == 1 && element->added != NULL &&
                    element->added->return_us < gone->call_us && gone->return_us < read->call_us;
        if (over && read->consistency == RECORD_LINEARIZABLE)
            check_convict(sets->result, sets->limits, sets->record, gone, read, "%s came back", name);
    }
}

// Whether the read had to show it: what was acknowledged before a linearizable read, or to the same client before.
static bool had_to_show(const struct element *element, const struct record_operation *read) {
    const struct record_operation *add = element->added;
    if (add == NULL || element->removal_tried) return false;
    if (add->client == read->client && add->seq < read->seq) return true;
    return read->consistency == RECORD_LINEARIZABLE && add->return_us < read->call_us;
}

// What is not there though it was acknowledged, or though this client's read before showed it (`again`).
static void check_missing(struct sets *sets, const struct record_operation *read, bool again) {
    size_t lost = 0, late = 0;
    const struct element *example = NULL;
    for (size_t i = first_of(sets, read->key, 0); i < sets->count && sets->elements[i].key == read->key; i++) {
        const struct element *element = &sets->elements[i];
        if (element->read == sets->reads) continue;
        bool went_back = again && element->read == sets->reads - 1 && !element->removal_tried;
        if (!went_back && !had_to_show(element, read)) continue;
        if (element->shown_us > read->call_us)
            late++;
        else
            lost++;
        if (example == NULL) example = element;
    }
    if (example == NULL) return;
    check_convict(sets->result, sets->limits, sets->record, example->tried, read,
                  "%zu elements lost, %zu stale (a later read shows them), the first is %s", lost, late,
                  record_string(sets->record, example->name));
}

// ---- all of them

static bool is_read(const struct record_operation *o) {
    return o->op == RECORD_READ && o->outcome == RECORD_OK && o->key != RECORD_NULL;
}

static int by_key_client(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->key, b->key);
    return order != 0 ? order : order_by_client(a, b);
}

static bool is_set(const struct sets *sets, record_text key) {
    size_t at = first_of(sets, key, 0);
    return at < sets->count && sets->elements[at].key == key;
}

static void note_shown(struct sets *sets, const struct record_operation *read) {
    size_t count = names_of(sets, read);
    for (size_t i = 0; i < count; i++) {
        struct element *element = sets->scratch[i] == RECORD_NULL ? NULL : find(sets, read->key, sets->scratch[i]);
        if (element != NULL && read->call_us > element->shown_us) element->shown_us = read->call_us;
    }
}

void sets_check(const struct record *record, const struct check_limits *limits, struct check_result *result) {
    struct sets sets = {.record = record, .limits = limits, .result = result, .reads = 1};
    struct order reads = order_of(record, is_read, by_key_client);
    const struct record_operation *before = NULL;
    find_elements(&sets);
    for (size_t i = 0; i < reads.count; i++)
        if (is_set(&sets, reads.at[i]->key)) note_shown(&sets, reads.at[i]);
    for (size_t i = 0; i < reads.count; i++) {
        const struct record_operation *read = reads.at[i];
        if (!is_set(&sets, read->key)) continue;
        sets.reads++;
        result->checked++;
        check_shown(&sets, read);
        check_missing(&sets, read, before != NULL && before->key == read->key && before->client == read->client);
        before = read;
    }
    order_free(&reads);
    mem_free(sets.elements);
    mem_free(sets.scratch);
}
