#include "sim/check/record.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"

// Strings by number; `slots` is an open hash of numbers (0: free), at most half full.
struct record_strings {
    char **texts; // [0] is "null", which is not in the hash
    size_t *lengths;
    uint32_t *slots;
    size_t count, capacity, slot_count;
};

static void *grow(void *array, size_t *capacity, size_t count, size_t element) {
    if (count < *capacity) return array;
    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    return mem_realloc(array, *capacity * element);
}

void record_init(struct record *record) {
    struct record_strings *strings = mem_zalloc(sizeof *strings);
    *record = (struct record){.strings = strings, .initial = RECORD_NULL};
    strings->slot_count = 128;
    strings->slots = mem_zalloc(strings->slot_count * sizeof *strings->slots);
    strings->capacity = 64;
    strings->texts = mem_alloc(strings->capacity * sizeof *strings->texts);
    strings->lengths = mem_alloc(strings->capacity * sizeof *strings->lengths);
    strings->texts[0] = mem_strdup("null");
    strings->lengths[0] = 4;
    strings->count = 1;
}

void record_free(struct record *record) {
    struct record_strings *strings = record->strings;
    for (size_t i = 0; i < strings->count; i++) mem_free(strings->texts[i]);
    mem_free(strings->texts);
    mem_free(strings->lengths);
    mem_free(strings->slots);
    mem_free(strings);
    mem_free(record->operations);
    mem_free(record->meta);
    *record = (struct record){0};
}

void record_clear(struct record *record) {
    record->count = 0;
}

// ---- strings

// The slot that holds the text, or the free one where it would go.
static size_t slot_of(const struct record_strings *strings, const void *data, size_t len) {
    size_t mask = strings->slot_count - 1, at = hash_bytes(data, len, 0) & mask;
    for (;; at = (at + 1) & mask) {
        uint32_t text = strings->slots[at];
        if (text == 0) return at;
        if (strings->lengths[text] == len && memcmp(strings->texts[text], data, len) == 0) return at;
    }
}

static void double_slots(struct record_strings *strings) {
    mem_free(strings->slots);
    strings->slot_count *= 2;
    strings->slots = mem_zalloc(strings->slot_count * sizeof *strings->slots);
    for (uint32_t text = 1; text < strings->count; text++)
        strings->slots[slot_of(strings, strings->texts[text], strings->lengths[text])] = text;
}

record_text record_intern_bytes(struct record *record, const void *data, size_t len) {
    struct record_strings *strings = record->strings;
    if (data == NULL) data = "";
    size_t slot = slot_of(strings, data, len);
    if (strings->slots[slot] != 0) return strings->slots[slot];
    if (strings->count == strings->capacity) {
        strings->capacity *= 2;
        strings->texts = mem_realloc(strings->texts, strings->capacity * sizeof *strings->texts);
        strings->lengths = mem_realloc(strings->lengths, strings->capacity * sizeof *strings->lengths);
    }
    ENSURE(strings->count < RECORD_ANY);
    uint32_t text = (uint32_t)strings->count++;
    char *copy = mem_alloc(len + 1);
    memcpy(copy, data, len);
    copy[len] = '\0';
    strings->texts[text] = copy;
    strings->lengths[text] = len;
    strings->slots[slot] = text;
    if (strings->count * 2 > strings->slot_count) double_slots(strings);
    return text;
}

record_text record_intern(struct record *record, const char *text) {
    return text == NULL ? RECORD_NULL : record_intern_bytes(record, text, strlen(text));
}

record_text record_find(const struct record *record, const void *data, size_t len) {
    return record->strings->slots[slot_of(record->strings, data, len)];
}

const char *record_string(const struct record *record, record_text text) {
    if (text == RECORD_ANY) return "anything";
    ENSURE(text < record->strings->count);
    return record->strings->texts[text];
}

size_t record_string_length(const struct record *record, record_text text) {
    ENSURE(text < record->strings->count);
    return record->strings->lengths[text];
}

// ---- operations

struct record_operation record_operation_of(uint64_t client, uint64_t seq, enum record_op op, record_text key) {
    return (struct record_operation){.client = client,
                                     .seq = seq,
                                     .op = op,
                                     .key = key,
                                     .return_us = RECORD_NEVER,
                                     .outcome = RECORD_UNKNOWN,
                                     .version = RECORD_NO_VERSION,
                                     .expect_version = RECORD_NO_VERSION,
                                     .expect = RECORD_ANY,
                                     .consistency = RECORD_LINEARIZABLE};
}

size_t record_append(struct record *record, const struct record_operation *operation) {
    record->operations = grow(record->operations, &record->capacity, record->count, sizeof *operation);
    record->operations[record->count] = *operation;
    return record->count++;
}

#define OP_TEXT(name, text) text,
static const char *const op_names[] = {RECORD_OPS(OP_TEXT)};

const char *record_op_name(enum record_op op) {
    ENSURE(op < RECORD_OP_COUNT);
    return op_names[op];
}

size_t record_strings_count(const struct record *record) {
    return record->strings->count;
}
