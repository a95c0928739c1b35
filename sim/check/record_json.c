// Records as JSON lines (docs/histories.md).
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sim/check/record.h"

static const char *const outcome_names[] = {"ok", "fail", "unknown", NULL};
static const char *const consistency_names[] = {"local", "linearizable", NULL};
static const char *const error_names[] = {"none", "bad_version", "no_node", "node_exists", NULL};
static const char *const watch_names[] = {"none", "data", "child", "persistent", NULL};

// ---- reading

struct source {
    struct record *record;
    json_t *line;
    char *error; // RECORD_ERROR_BYTES; empty: all is well
    uint32_t number;
};

static void refuse(struct source *source, const char *field, const char *why) {
    if (source->error[0] == '\0')
        snprintf(source->error, RECORD_ERROR_BYTES, "line %u: \"%s\" %s", source->number, field, why);
}

// A field that may be absent: 0 then.
static uint64_t number_of(struct source *source, const char *field, bool wanted) {
    const json_t *value = json_object_get(source->line, field);
    if (value == NULL || json_is_null(value)) {
        if (wanted) refuse(source, field, "is missing");
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        refuse(source, field, "is no number from 0 up");
        return 0;
    }
    return (uint64_t)json_integer_value(value);
}

static unsigned choice_of(struct source *source, const char *field, const char *const *names, unsigned absent) {
    const json_t *value = json_object_get(source->line, field);
    if (value == NULL || json_is_null(value)) return absent;
    for (unsigned i = 0; json_is_string(value) && names[i] != NULL; i++)
        if (strcmp(names[i], json_string_value(value)) == 0) return i;
    refuse(source, field, "has a value that is not known");
    return absent;
}

// Elements of an array, with commas between.
static record_text elements_of(struct source *source, const char *field, const json_t *array) {
    size_t len = 0, capacity = 64;
    char *text = mem_alloc(capacity);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *element = json_array_get(array, i);
        if (!json_is_string(element)) {
            refuse(source, field, "has an element that is no string");
            break;
        }
        size_t more = json_string_length(element);
        while (len + more + 1 > capacity) text = mem_realloc(text, capacity *= 2);
        if (i > 0) text[len++] = ',';
        memcpy(text + len, json_string_value(element), more);
        len += more;
    }
    record_text interned = record_intern_bytes(source->record, text, len);
    mem_free(text);
    return interned;
}

static record_text text_of(struct source *source, const char *field, record_text absent) {
    const json_t *value = json_object_get(source->line, field);
    char digits[32];
    if (value == NULL) return absent;
    if (json_is_null(value)) return RECORD_NULL;
    if (json_is_array(value)) return elements_of(source, field, value);
    if (json_is_integer(value)) { // tokens and numbers
        snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return record_intern(source->record, digits);
    }
    if (!json_is_string(value)) {
        refuse(source, field, "is no string");
        return absent;
    }
    return record_intern_bytes(source->record, json_string_value(value), json_string_length(value));
}

static enum record_op op_of(struct source *source) {
    const char *text = json_string_value(json_object_get(source->line, "op"));
    for (unsigned i = 0; text != NULL && i < RECORD_OP_COUNT; i++)
        if (strcmp(text, record_op_name(i)) == 0) return i;
    refuse(source, "op", text == NULL ? "is missing" : "is not known");
    return RECORD_READ;
}

static void read_operation(struct source *source) {
    const json_t *line = source->line;
    uint64_t client = number_of(source, "client", true), seq = number_of(source, "seq", true);
    enum record_op op = op_of(source);
    struct record_operation o = record_operation_of(client, seq, op, text_of(source, "key", RECORD_NULL));
    o.call_us = number_of(source, "call", true);
    if (json_is_integer(json_object_get(line, "return"))) o.return_us = number_of(source, "return", true);
    if (o.return_us < o.call_us) refuse(source, "return", "is before the call");
    if (json_object_get(line, "outcome") == NULL && o.op != RECORD_EVENT) refuse(source, "outcome", "is missing");
    o.outcome = choice_of(source, "outcome", outcome_names, RECORD_OK);
    if (o.outcome != RECORD_UNKNOWN && o.return_us == RECORD_NEVER) refuse(source, "return", "is missing");
    o.value = text_of(source, "value", RECORD_NULL);
    if (json_is_integer(json_object_get(line, "expect")))
        o.expect_version = (int64_t)number_of(source, "expect", true);
    else
        o.expect = text_of(source, "expect", RECORD_ANY);
    if (json_is_integer(json_object_get(line, "version")))
        o.version = json_integer_value(json_object_get(line, "version"));
    o.zxid = number_of(source, "zxid", false);
    o.received = number_of(source, "received", false);
    o.multi = number_of(source, "multi", false);
    o.consistency = choice_of(source, "consistency", consistency_names, RECORD_LINEARIZABLE);
    o.error = choice_of(source, "error", error_names, RECORD_NO_ERROR);
    o.watch = choice_of(source, "watch", watch_names, RECORD_NO_WATCH);
    o.found = json_is_true(json_object_get(line, "found"));
    o.line = source->number;
    if (source->error[0] == '\0') record_append(source->record, &o);
}

static void read_meta(struct source *source, const json_t *meta) {
    struct record *record = source->record;
    const json_t *initial = json_object_get(meta, "initial");
    mem_free(record->meta);
    char *text = json_dumps(meta, JSON_COMPACT);
    record->meta = mem_strdup(text == NULL ? "" : text);
    free(text);
    if (json_is_string(initial)) record->initial = record_intern(record, json_string_value(initial));
    if (json_is_true(initial)) record->initial = RECORD_ANY;
}

static void read_line(struct source *source, const char *text, size_t len) {
    json_error_t error;
    if (strspn(text, " \t\r\n") >= len) return;
    source->line = json_loadb(text, len, 0, &error);
    const json_t *meta = json_object_get(source->line, "meta");
    if (source->line == NULL)
        snprintf(source->error, RECORD_ERROR_BYTES, "line %u: %s", source->number, error.text);
    else if (meta != NULL)
        read_meta(source, meta);
    else
        read_operation(source);
    json_decref(source->line);
}

int record_load(struct record *record, FILE *in, char error[RECORD_ERROR_BYTES]) {
    struct source source = {.record = record, .error = error};
    char *text = NULL;
    size_t capacity = 0;
    ssize_t len;
    error[0] = '\0';
    while (error[0] == '\0' && (len = getline(&text, &capacity, in)) >= 0) {
        source.number++;
        read_line(&source, text, (size_t)len);
    }
    if (error[0] == '\0' && ferror(in)) snprintf(error, RECORD_ERROR_BYTES, "the file cannot be read");
    free(text);
    return error[0] == '\0' ? 0 : -1;
}

// ---- writing

// Values are any bytes; what is no UTF-8 is shown as hexadecimal, which is as unique as it was.
static json_t *text_json(const struct record *record, record_text text) {
    if (text == RECORD_NULL) return json_null();
    const char *data = record_string(record, text);
    size_t len = record_string_length(record, text);
    json_t *value = json_stringn(data, len);
    if (value != NULL) return value;
    char *hex = mem_alloc(2 * len + 5);
    strcpy(hex, "hex:");
    for (size_t i = 0; i < len; i++) snprintf(hex + 4 + 2 * i, 3, "%02x", (unsigned char)data[i]);
    value = json_string(hex);
    mem_free(hex);
    return value;
}

static void set_number(json_t *line, const char *field, uint64_t value) {
    json_object_set_new(line, field, json_integer((json_int_t)value));
}

static void set_known(json_t *line, const char *field, uint64_t value) {
    if (value != 0) set_number(line, field, value);
}

static bool has_value(enum record_op op) {
    return op != RECORD_SYNC && op != RECORD_DELETE && op != RECORD_UNLOCK;
}

static json_t *operation_json(const struct record *record, const struct record_operation *o) {
    json_t *line = json_object();
    set_number(line, "client", o->client);
    set_number(line, "seq", o->seq);
    json_object_set_new(line, "op", json_string(record_op_name(o->op)));
    if (o->key != RECORD_NULL) json_object_set_new(line, "key", text_json(record, o->key));
    set_number(line, "call", o->call_us);
    json_object_set_new(line, "return",
                        o->return_us == RECORD_NEVER ? json_null() : json_integer((json_int_t)o->return_us));
    json_object_set_new(line, "outcome", json_string(outcome_names[o->outcome]));
    if (has_value(o->op) || o->value != RECORD_NULL) json_object_set_new(line, "value", text_json(record, o->value));
    if (o->expect_version != RECORD_NO_VERSION)
        set_number(line, "expect", (uint64_t)o->expect_version);
    else if (o->expect != RECORD_ANY)
        json_object_set_new(line, "expect", text_json(record, o->expect));
    if (o->version != RECORD_NO_VERSION) set_number(line, "version", (uint64_t)o->version);
    set_known(line, "zxid", o->zxid);
    set_known(line, "received", o->received);
    set_known(line, "multi", o->multi);
    if (o->op == RECORD_READ) json_object_set_new(line, "consistency", json_string(consistency_names[o->consistency]));
    if (o->error != RECORD_NO_ERROR) json_object_set_new(line, "error", json_string(error_names[o->error]));
    if (o->watch != RECORD_NO_WATCH) json_object_set_new(line, "watch", json_string(watch_names[o->watch]));
    if (o->op == RECORD_CONTAINS) json_object_set_new(line, "found", json_boolean(o->found));
    return line;
}

void record_write_operation(const struct record *record, const struct record_operation *operation, FILE *out) {
    json_t *line = operation_json(record, operation);
    char *text = json_dumps(line, JSON_COMPACT);
    fprintf(out, "%s\n", text);
    free(text);
    json_decref(line);
}

static void write_meta(const struct record *record, FILE *out) {
    json_t *meta = record->meta == NULL ? NULL : json_loads(record->meta, 0, NULL);
    if (meta == NULL) meta = json_object();
    if (record->initial == RECORD_ANY)
        json_object_set_new(meta, "initial", json_true());
    else if (record->initial != RECORD_NULL)
        json_object_set_new(meta, "initial", text_json(record, record->initial));
    char *text = json_dumps(meta, JSON_COMPACT);
    fprintf(out, "{\"meta\":%s}\n", text);
    free(text);
    json_decref(meta);
}

int record_save(const struct record *record, FILE *out) {
    write_meta(record, out);
    for (size_t i = 0; i < record->count; i++) record_write_operation(record, &record->operations[i], out);
    return fflush(out) != 0 || ferror(out) ? -1 : 0;
}
