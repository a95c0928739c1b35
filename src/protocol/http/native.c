// Requests of the native operations: which one it is, its JSON against the operation's fields, and problem documents
// (RFC 9457) for what is wrong.
#include "base/alloc.h"
#include "base/assert.h"
#include "base/base64.h"
#include "base/digest.h"
#include "protocol/http/native_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEM "application/problem+json"

// ---- answers

const struct native_error *native_error(const char *name) {
    size_t i = 0;
    while (i < native_error_count && strcmp(native_errors[i].name, name) != 0) i++;
    ENSURE(i < native_error_count);
    return &native_errors[i];
}

void http_problem(struct http_connection *c, const char *name, const char *detail, json_t *members) {
    const struct native_error *error = native_error(name);
    json_t *json = json_object(), *words = detail != NULL ? json_string(detail) : NULL;
    json_object_set_new(json, "type", json_sprintf("/errors/%s", name));
    json_object_set_new(json, "title", json_string(error->title));
    json_object_set_new(json, "status", json_integer(error->status));
    if (words != NULL) json_object_set_new(json, "detail", words);
    if (members != NULL) json_object_update(json, members);
    json_decref(members);
    http_answer_compact(c, error->status, PROBLEM, json);
}

// ---- fields

__attribute__((format(printf, 3, 4))) static bool wrong(struct http_connection *c, const char *field,
                                                        const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *members = json_object(), *name = json_string(field);
    if (name != NULL) json_object_set_new(members, "field", name);
    http_problem(c, "bad-request", text, members);
    return false;
}

bool native_choice(const struct native_field *field, struct native_value *out) {
    const char *at = field->choices;
    for (uint64_t place = 0;; place++) {
        size_t len = strcspn(at, "|");
        if (out->text.len == len && memcmp(out->text.data, at, len) == 0) {
            out->number = place;
            return true;
        }
        if (at[len] == 0) return false;
        at += len + 1;
    }
}

static bool take_texts(struct http_connection *c, const struct native_field *field, const json_t *json) {
    size_t count = json_array_size(json);
    if (!json_is_array(json) || count < field->low || count > field->high)
        return wrong(c, field->name, "%s: an array of %llu to %llu strings is wanted", field->name,
                     (unsigned long long)field->low, (unsigned long long)field->high);
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(json, i);
        if (!json_is_string(one) || json_string_length(one) < 1 || json_string_length(one) > 255)
            return wrong(c, field->name, "%s: its strings have 1 to 255 bytes", field->name);
    }
    return true;
}

static bool take_numbers(struct http_connection *c, const struct native_field *field, const json_t *json) {
    size_t count = json_array_size(json);
    bool good = json_is_array(json) && count >= field->low && count <= field->high;
    for (size_t i = 0; good && i < count; i++) {
        const json_t *one = json_array_get(json, i);
        good = json_is_integer(one) && json_integer_value(one) > 0;
    }
    return good || wrong(c, field->name, "%s: an array of %llu to %llu whole numbers from 1 on is wanted", field->name,
                         (unsigned long long)field->low, (unsigned long long)field->high);
}

static bool take_places(struct http_connection *c, const struct native_field *field, const json_t *json) {
    size_t count = json_array_size(json);
    bool good = json_is_array(json) && count <= field->high;
    for (size_t i = 0; good && i < count; i++) {
        const json_t *one = json_array_get(json, i);
        good =
            json_is_integer(one) && json_integer_value(one) >= 0 && json_integer_value(one) < (json_int_t)field->high;
    }
    return good || wrong(c, field->name, "%s: an array of at most %llu whole numbers from 0 to %llu is wanted",
                         field->name, (unsigned long long)field->high, (unsigned long long)field->high - 1);
}

static bool take_objects(struct http_connection *c, const struct native_field *field, const json_t *json) {
    size_t count = json_array_size(json);
    bool good = json_is_array(json) && count >= field->low && count <= field->high;
    for (size_t i = 0; good && i < count; i++) good = json_is_object(json_array_get(json, i));
    return good || wrong(c, field->name, "%s: an array of %llu to %llu objects is wanted", field->name,
                         (unsigned long long)field->low, (unsigned long long)field->high);
}

static bool take_string(struct http_connection *c, const struct native_field *field, struct native_value *out,
                        const json_t *json) {
    if (!json_is_string(json)) return wrong(c, field->name, "%s: a string is wanted", field->name);
    out->text = bytes_of(json_string_value(json), json_string_length(json));
    if (field->type == NATIVE_CHOICE)
        return native_choice(field, out) ||
               wrong(c, field->name, "%s: one of %s is wanted", field->name, field->choices);
    if (field->type == NATIVE_BASE64) return true; // take_base64 follows
    uint64_t session;
    uint8_t secret[LEASE_PASSWORD_BYTES];
    if (field->type == NATIVE_SESSION)
        return session_parse(json_string_value(json), &session, secret) ||
               wrong(c, field->name, "%s: it is none that /v1/session/create gave", field->name);
    return (out->text.len >= field->low && out->text.len <= field->high) ||
           wrong(c, field->name, "%s: a string of %llu to %llu bytes is wanted", field->name,
                 (unsigned long long)field->low, (unsigned long long)field->high);
}

static bool take_signed(struct http_connection *c, const struct native_field *field, struct native_value *out,
                        const json_t *json) {
    json_int_t number = json_integer_value(json);
    out->number = (uint64_t)number;
    return (json_is_integer(json) && number >= (int64_t)field->low && number <= (int64_t)field->high) ||
           wrong(c, field->name, "%s: a whole number from %lld to %lld is wanted", field->name, (long long)field->low,
                 (long long)field->high);
}

// An object of low to high of `what`.
static bool take_object(struct http_connection *c, const struct native_field *field, const json_t *json,
                        const char *what) {
    size_t count = json_object_size(json);
    return (json_is_object(json) && count >= field->low && count <= field->high) ||
           wrong(c, field->name, "%s: an object of %llu to %llu %s is wanted", field->name,
                 (unsigned long long)field->low, (unsigned long long)field->high, what);
}

static bool is_name(const char *key) {
    return key[0] != 0 && strlen(key) <= 255;
}

static bool take_named(struct http_connection *c, const struct native_field *field, const json_t *json) {
    bool numbers = field->type == NATIVE_DELTAS;
    const char *key;
    json_t *value;
    if (!take_object(c, field, json, numbers ? "names with whole numbers" : "names with strings")) return false;
    json_object_foreach((json_t *)json, key, value) {
        if (!is_name(key) || !(numbers ? json_is_integer(value) : json_is_string(value)))
            return wrong(c, field->name, "%s: its names have 1 to 255 bytes, each with a %s", field->name,
                         numbers ? "whole number" : "string");
    }
    return true;
}

// {"base64": "..."} gives way to its bytes, as a string; NULL: it is none.
static json_t *item_bytes(json_t *item) {
    const char *words = json_string_value(json_object_get(item, "base64"));
    struct writer w;
    writer_init(&w);
    bool good = json_object_size(item) == 1 && words != NULL && base64_read(&w, bytes_of_text(words));
    json_t *bytes = good ? json_stringn_nocheck(w.len > 0 ? (const char *)w.data : "", w.len) : NULL;
    writer_free(&w);
    return bytes;
}

static bool take_items(struct http_connection *c, const struct native_field *field, json_t *json) {
    if (!take_object(c, field, json, "items")) return false;
    for (void *at = json_object_iter(json); at != NULL; at = json_object_iter_next(json, at)) {
        const char *key = json_object_iter_key(at);
        json_t *value = json_object_iter_value(at), *bytes = json_is_object(value) ? item_bytes(value) : NULL;
        if (!is_name(key)) return wrong(c, field->name, "%s: its names have 1 to 255 bytes", field->name);
        if (bytes == NULL && !json_is_string(value) && !json_is_null(value))
            return wrong(c, field->name, "%s: %.100s: a string, {\"base64\": string} or null is wanted", field->name,
                         key);
        if (bytes != NULL) json_object_iter_set_new(json, at, bytes);
    }
    return true;
}

// The bytes take the text's place in the body, which owns them.
static bool take_base64(struct http_connection *c, const struct native_field *field, struct native_value *out,
                        json_t *body) {
    struct writer w;
    writer_init(&w);
    bool good = base64_read(&w, out->text) && w.len >= field->low && w.len <= field->high;
    if (good) {
        json_t *bytes = json_stringn_nocheck((const char *)w.data, w.len);
        json_object_set_new(body, field->name, bytes);
        out->text = bytes_of(json_string_value(bytes), json_string_length(bytes));
    }
    writer_free(&w);
    return good || wrong(c, field->name, "%s: base64 (with its padding) of %llu to %llu bytes is wanted", field->name,
                         (unsigned long long)field->low, (unsigned long long)field->high);
}

static bool take(struct http_connection *c, const struct native_field *field, struct native_value *out, json_t *json) {
    out->given = true;
    if (json_is_array(json) || json_is_object(json)) out->list = json;
    switch (field->type) {
    case NATIVE_NUMBER: {
        json_int_t number = json_integer_value(json);
        if (!json_is_integer(json) || number < 0 || (uint64_t)number < field->low || (uint64_t)number > field->high)
            return wrong(c, field->name, "%s: a whole number from %llu to %llu is wanted", field->name,
                         (unsigned long long)field->low, (unsigned long long)field->high);
        out->number = (uint64_t)number;
        return true;
    }
    case NATIVE_BOOL:
        out->number = json_is_true(json);
        return json_is_boolean(json) || wrong(c, field->name, "%s: true or false is wanted", field->name);
    case NATIVE_TEXTS:
        return take_texts(c, field, json);
    case NATIVE_SIGNED:
        return take_signed(c, field, out, json);
    case NATIVE_DELTAS:
    case NATIVE_PAIRS:
        return take_named(c, field, json);
    case NATIVE_NUMBERS:
        return take_numbers(c, field, json);
    case NATIVE_ITEMS:
        return take_items(c, field, json);
    case NATIVE_PLACES:
        return take_places(c, field, json);
    case NATIVE_OBJECTS:
        return take_objects(c, field, json);
    default:
        return take_string(c, field, out, json);
    }
}

void native_standards(struct http_call *call) {
    const struct native_field *fields = call->operation->fields;
    for (size_t i = 0; fields[i].name != NULL; i++)
        call->open->values[i] = (struct native_value){.number = fields[i].standard, .text = bytes_of("", 0)};
}

static bool take_all(struct http_connection *c, struct http_call *call) {
    const struct native_field *fields = call->operation->fields;
    const char *key;
    json_t *value;
    json_object_foreach(call->open->body, key, value) {
        const struct native_field *field = fields;
        while (field->name != NULL && strcmp(field->name, key) != 0) field++;
        if (field->name == NULL) return wrong(c, key, "%.64s: there is no such field", key);
    }
    native_standards(call);
    for (size_t i = 0; fields[i].name != NULL; i++) {
        json_t *given = json_object_get(call->open->body, fields[i].name);
        if (given == NULL && fields[i].required) return wrong(c, fields[i].name, "%s: it is missing", fields[i].name);
        if (given != NULL && !take(c, &fields[i], &call->open->values[i], given)) return false;
        if (given != NULL && fields[i].type == NATIVE_BASE64 &&
            !take_base64(c, &fields[i], &call->open->values[i], call->open->body))
            return false;
    }
    return true;
}

const struct native_value *call_value(const struct http_call *call, const char *name) {
    const struct native_field *fields = call->operation->fields;
    size_t i = 0;
    for (; fields[i].name != NULL; i++) // one file's words are mostly one word in memory
        if (fields[i].name == name) return &call->open->values[i];
    for (i = 0; fields[i].name != NULL && strcmp(fields[i].name, name) != 0;) i++;
    ENSURE(fields[i].name != NULL);
    return &call->open->values[i];
}

struct bytes call_text(const struct http_call *call, const char *field) {
    return call_value(call, field)->text;
}
uint64_t call_number(const struct http_call *call, const char *field) {
    return call_value(call, field)->number;
}

json_t *json_number(uint64_t number) {
    return json_integer((json_int_t)number);
}
json_t *json_bytes(struct bytes text) {
    json_t *json = json_stringn((const char *)text.data, text.len);
    return json != NULL ? json : json_string("");
}

// ---- requests

static json_t *read_object(struct http_connection *c, const struct http_request *request) {
    json_error_t error;
    if (request->body.len == 0) return json_object();
    json_t *json = json_loadb((const char *)request->body.data, request->body.len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(json)) return json;
    if (json != NULL)
        http_problem(c, "bad-request", "the body is JSON, but no object", NULL);
    else
        wrong(c, "", "the body is no JSON: %.200s", error.text);
    json_decref(json);
    return NULL;
}

static bool may_run(struct http_connection *c, const struct native_operation *operation,
                    const struct http_request *request) {
    if (request->method != HTTP_VERB_POST) {
        http_problem(c, "bad-method", "POST is wanted, with a JSON object as body", NULL);
        return false;
    }
    const char *refusal = operation->administration ? http_may_not_administer(c, request)
                          : request->has_origin     ? "requests from web pages may not do this"
                                                    : NULL;
    if (refusal == NULL) return true;
    http_problem(c, "forbidden", refusal, NULL);
    return false;
}

// A string of structured fields (RFC 8941), or bare text without quotes, as many clients send it. 0: it is none.
static size_t read_key(const char *at, uint8_t out[REMEMBER_ID_BYTES_MAX]) {
    size_t len = 0;
    bool quoted = *at == '"';
    for (at += quoted; *at != 0 && !(quoted && *at == '"'); at++) {
        if (quoted && *at == '\\') at++;
        bool good = *at >= ' ' && *at < 127 && (quoted || strchr(" \",;\\", *at) == NULL);
        if (!good || len == REMEMBER_ID_BYTES_MAX) return 0;
        out[len++] = (uint8_t)*at;
    }
    if (quoted && *at++ != '"') return 0;
    return *at == 0 ? len : 0;
}

static void fingerprint_of(const struct native_operation *operation, const json_t *body, uint8_t out[16]) {
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    struct writer w;
    writer_init(&w);
    ENSURE(text != NULL);
    write_blob(&w, bytes_of_text(operation->path));
    write_span(&w, bytes_of_text(text));
    free(text);
    struct digest digest = digest_hash(w.data, w.len, 0);
    put_u64_le(out, digest.lo);
    put_u64_le(out + 8, digest.hi);
    writer_free(&w);
}

// false: the header was refused. Where nothing changes it says nothing; where a change would not be under it, nobody
// shall trust in it.
static bool take_key(struct http_connection *c, const struct http_request *request, struct http_call *call) {
    const struct native_operation *operation = call->operation;
    if (request->idempotency_key == NULL || operation->reply == NULL) return true;
    if (!operation->keyed) {
        http_problem(c, "bad-request", "this operation takes no Idempotency-Key: docs/native.md says what it has",
                     NULL);
        return false;
    }
    struct native_once *once = call->open->once = mem_zalloc(sizeof *once);
    once->key_len = read_key(request->idempotency_key, once->key);
    fingerprint_of(operation, call->open->body, once->fingerprint);
    if (once->key_len == 0)
        http_problem(c, "bad-request", "Idempotency-Key: a string of 1 to 240 visible characters is wanted", NULL);
    return once->key_len > 0;
}

static size_t field_count(const struct native_operation *operation) {
    size_t count = 0;
    while (operation->fields[count].name != NULL) count++;
    ENSURE(count <= NATIVE_FIELDS_MAX);
    return count;
}

// In one piece: what an open call needs, and behind its values a text with a zero byte at its end. Gives the place of
// the text.
static char *open_call(struct http_call *call, const uint8_t *text, size_t len) {
    size_t head = sizeof *call->open + field_count(call->operation) * sizeof *call->open->values;
    struct call_open *open = mem_alloc(head + len + 1);
    memset(open, 0, sizeof *open);
    char *out = (char *)open + head;
    if (len > 0) memcpy(out, text, len);
    out[len] = 0;
    call->open = open;
    return out;
}

static bool is_number(const struct native_field *field) {
    return field->type == NATIVE_NUMBER || field->type == NATIVE_SIGNED || field->type == NATIVE_BOOL ||
           field->type == NATIVE_CHOICE;
}

static bool is_word_of(const char *words, const char *word) { // each with a space behind it
    size_t len = strlen(word);
    for (; *words != 0; words += strcspn(words, " ") + 1)
        if (strncmp(words, word, len) == 0 && words[len] == ' ') return true;
    return false;
}

// What waits may be many. A longer text was a message or a result: nobody asks for it once it was submitted; and whose
// session it is, its agent knows.
static bool is_kept(const struct native_operation *operation, const struct native_field *field,
                    const struct native_value *value) {
    if (!value->given || field->type == NATIVE_SESSION) return false;
    if (!is_number(field) && value->text.len > NATIVE_FOLDED_TEXT_MAX) return false;
    return operation->kept == NULL || is_word_of(operation->kept, field->name);
}

void call_fold(struct http_call *call) {
    struct writer w;
    const struct native_field *fields = call->operation->fields;
    struct call_open *open = call->open;
    ENSURE(!call->is_folded && open->once == NULL && open->answer == NULL);
    for (size_t i = 0; fields[i].name != NULL; i++)
        if (open->values[i].list != NULL) return;
    writer_init(&w);
    for (size_t i = 0; fields[i].name != NULL; i++) {
        const struct native_value *value = &open->values[i];
        if (!is_kept(call->operation, &fields[i], value)) continue;
        write_u8(&w, (uint8_t)i);
        if (is_number(&fields[i]))
            write_varint(&w, value->number);
        else
            write_blob(&w, value->text);
    }
    json_decref(open->body);
    mem_free(open);
    call->is_folded = true;
    call->folded = w.len > 0 ? mem_alloc(w.len) : NULL;
    if (w.len > 0) memcpy(call->folded, w.data, w.len);
    call->folded_len = (uint32_t)w.len;
    writer_free(&w);
}

void call_unfold(struct http_call *call) {
    if (!call->is_folded) return;
    uint8_t *folded = call->folded;
    const char *text = open_call(call, folded, call->folded_len);
    struct reader r = reader_of(text, call->folded_len);
    call->is_folded = false;
    mem_free(folded);
    native_standards(call);
    while (reader_left(&r) > 0) {
        size_t i = read_u8(&r);
        struct native_value *value = &call->open->values[i];
        value->given = true;
        if (is_number(&call->operation->fields[i]))
            value->number = read_varint(&r);
        else
            value->text = read_blob(&r);
    }
    ENSURE(!r.failed);
}

// By the library. false: it was answered.
static bool read_call(struct http_connection *c, const struct http_request *request, struct http_call *call) {
    json_decref(call->open->body); // what was read before it was left to the library
    call->open->body = read_object(c, request);
    return call->open->body != NULL && take_key(c, request, call) && take_all(c, call);
}

bool http_native_beside(const struct native_operation *operation, const struct http_request *request) {
    return operation != NULL && operation->reply != NULL && strstr(request->accept, HTTP_EVENT_STREAM) == NULL;
}

bool http_native(struct http_connection *c, const struct http_request *request) {
    const struct native_operation *operation = c->operation;
    if (operation == NULL) return false;
    if (!may_run(c, operation, request)) return true;
    c->wants_events = strstr(request->accept, HTTP_EVENT_STREAM) != NULL;
    struct http_call *call = pool_take(&c->instance->calls);
    memset(call, 0, sizeof *call);
    call->operation = operation;
    char *text = open_call(call, request->body.data, request->body.len);
    bool flat = request->idempotency_key == NULL && native_flat(call, text, request->body.len);
    if (flat || read_call(c, request, call))
        call_begin(c, call);
    else
        call_dispose(c->instance, call);
    return true;
}
