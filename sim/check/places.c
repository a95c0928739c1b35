#include "sim/check/places.h"

#include "base/alloc.h"

// ---- who wrote what

static bool writes_value(const struct record_operation *o) {
    bool writes = o->op == RECORD_WRITE || o->op == RECORD_CAS || o->op == RECORD_CREATE;
    return writes && o->key != RECORD_NULL && o->value != RECORD_NULL;
}

static int by_value(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->key, b->key);
    if (order == 0) order = order_numbers(a->value, b->value);
    return order != 0 ? order : order_by_call(a, b);
}

static void find_writers(struct places *places) {
    struct order writes = order_of(places->record, writes_value, by_value);
    places->writers = mem_alloc((writes.count + 1) * sizeof *places->writers);
    for (size_t i = 0; i < writes.count; i++) {
        const struct record_operation *o = writes.at[i];
        bool same = i > 0 && writes.at[i - 1]->key == o->key && writes.at[i - 1]->value == o->value;
        if (!same) places->writers[places->count++] = (struct places_writer){.key = o->key, .value = o->value};
        struct places_writer *writer = &places->writers[places->count - 1];
        if (o->outcome == RECORD_FAIL) {
            writer->failed = o;
        } else {
            writer->operation = writer->first == NULL ? o : NULL;
            if (writer->first == NULL) writer->first = o;
        }
    }
    order_free(&writes);
}

const struct places_writer *places_writer(const struct places *places, record_text key, record_text value) {
    size_t low = 0, high = places->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct places_writer *writer = &places->writers[middle];
        if (writer->key == key && writer->value == value) return writer;
        if (writer->key < key || (writer->key == key && writer->value < value))
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

// ---- changes by zxid

static bool is_done(const struct record_operation *o) {
    return order_is_change(o) && o->outcome == RECORD_OK && o->zxid != 0;
}

static int by_key_zxid(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->key, b->key);
    if (order == 0) order = order_numbers(a->zxid, b->zxid);
    return order != 0 ? order : order_by_client(a, b); // of one multi, the later part behind the earlier
}

static size_t behind(const struct places *places, record_text key, uint64_t zxid) {
    size_t low = 0, high = places->done.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct record_operation *o = places->done.at[middle];
        if (o->key < key || (o->key == key && o->zxid <= zxid))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct record_operation *places_after(const struct places *places, record_text key, uint64_t zxid) {
    size_t at = behind(places, key, zxid);
    return at < places->done.count && places->done.at[at]->key == key ? places->done.at[at] : NULL;
}

const struct record_operation *places_upto(const struct places *places, record_text key, uint64_t zxid) {
    size_t at = behind(places, key, zxid);
    return at > 0 && places->done.at[at - 1]->key == key ? places->done.at[at - 1] : NULL;
}

// ---- life

void places_init(struct places *places, const struct record *record) {
    size_t texts = record_strings_count(record);
    bool *created = mem_zalloc(texts);
    *places = (struct places){.record = record};
    places->changed = mem_zalloc(texts);
    places->deleted = mem_zalloc(texts);
    for (size_t i = 0; i < record->count; i++) {
        const struct record_operation *o = &record->operations[i];
        if (!order_is_change(o)) continue;
        places->changed[o->key] = true;
        bool makes = o->op == RECORD_CREATE || (o->op == RECORD_CAS && o->expect == RECORD_NULL);
        if (o->op == RECORD_DELETE || (makes && created[o->key])) places->deleted[o->key] = true;
        created[o->key] = created[o->key] || makes;
    }
    mem_free(created);
    find_writers(places);
    places->done = order_of(record, is_done, by_key_zxid);
}

void places_free(struct places *places) {
    mem_free(places->writers);
    mem_free(places->changed);
    mem_free(places->deleted);
    order_free(&places->done);
}

// ---- places

struct place places_of(const struct places *places, const struct record_operation *o) {
    struct place place = {.version = RECORD_NO_VERSION, .until_us = RECORD_NEVER, .operation = o};
    if (o->key == RECORD_NULL || o->outcome != RECORD_OK || !places->changed[o->key]) return place;
    bool once = !places->deleted[o->key];
    if (once) place.version = o->version;
    if (order_is_change(o)) {
        place.known = true;
        place.zxid = o->zxid;
        place.from_us = o->call_us;
        place.until_us = o->return_us;
        return place;
    }
    if (!order_is_read(o)) return place;
    const struct places_writer *writer = o->value == RECORD_NULL ? NULL : places_writer(places, o->key, o->value);
    place.initial = writer == NULL && o->value == places->record->initial && (o->value != RECORD_NULL || once);
    place.known = place.initial || place.version != RECORD_NO_VERSION || (writer != NULL && writer->operation != NULL);
    if (writer != NULL && writer->operation != NULL && !place.initial) {
        const struct record_operation *by = writer->operation;
        if (by->outcome == RECORD_OK) place.zxid = by->zxid;
        place.from_us = by->call_us;
        place.until_us = by->outcome == RECORD_OK ? by->return_us : RECORD_NEVER;
    }
    return place;
}

bool place_older(const struct place *a, const struct place *b) {
    if (!a->known || !b->known || b->initial) return false;
    if (a->initial) return true;
    if (a->zxid != 0 && b->zxid != 0) return a->zxid < b->zxid;
    if (a->version != RECORD_NO_VERSION && b->version != RECORD_NO_VERSION) return a->version < b->version;
    return a->until_us < b->from_us;
}
