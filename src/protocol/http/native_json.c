// What several native operations' arguments and answers are made of: bytes, times, lists.
#include "base/assert.h"
#include "base/base64.h"
#include "protocol/http/native_internal.h"
#include <stdlib.h>
#include <string.h>

// ---- bytes

void native_set_bytes(json_t *json, const char *name, const char *name_base64, struct bytes bytes) {
    bool zero = bytes.len > 0 && memchr(bytes.data, 0, bytes.len) != NULL;
    json_t *text = zero ? NULL : json_stringn(bytes.len > 0 ? (const char *)bytes.data : "", bytes.len);
    if (text != NULL) {
        json_object_set_new(json, name, text);
        return;
    }
    struct writer w;
    writer_init(&w);
    base64_write(&w, bytes);
    json_object_set_new(json, name_base64, json_stringn((const char *)w.data, w.len));
    writer_free(&w);
}

bool call_bytes(struct http_call *call, const char *name, const char *name_base64, struct bytes *out) {
    const struct native_value *text = call_value(call, name), *bytes = call_value(call, name_base64);
    *out = bytes->given ? bytes->text : text->text;
    if (!text->given || !bytes->given) return true;
    call_fail(call, "bad-request", "text or base64 is wanted, not both", NULL);
    return false;
}

// ---- answers without a tree

void answer_begin(struct writer *w) {
    writer_init(w);
    writer_reserve(w, 256);
    write_u8(w, '{');
}

void answer_name(struct writer *w, const char *name) {
    if (w->data[w->len - 1] != '{') write_u8(w, ',');
    write_u8(w, '"');
    write_span(w, bytes_of_text(name));
    write_span(w, bytes_of("\":", 2));
}

static void write_decimal(struct writer *w, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    write_span(w, bytes_of(digits + at, sizeof digits - at));
}

void answer_number(struct writer *w, const char *name, uint64_t number) {
    bool negative = (int64_t)number < 0; // JSON integers are signed, as json_number's
    answer_name(w, name);
    if (negative) write_u8(w, '-');
    write_decimal(w, negative ? -number : number);
}

void answer_bool(struct writer *w, const char *name, bool value) {
    answer_name(w, name);
    write_span(w, value ? bytes_of("true", 4) : bytes_of("false", 5));
}

static bool is_plain(struct bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] > 126 || text.data[i] == '"' || text.data[i] == '\\') return false;
    return true;
}

void answer_text(struct writer *w, const char *name, struct bytes text) {
    answer_name(w, name);
    if (is_plain(text)) {
        write_u8(w, '"');
        write_span(w, text);
        write_u8(w, '"');
        return;
    }
    json_t *json = json_bytes(text);
    char *words = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    ENSURE(words != NULL);
    write_span(w, bytes_of_text(words));
    free(words);
    json_decref(json);
}

void answer_bytes(struct writer *w, const char *name, const char *name_base64, struct bytes bytes) {
    if (is_plain(bytes)) {
        answer_text(w, name, bytes);
        return;
    }
    json_t *json = json_object();
    native_set_bytes(json, name, name_base64, bytes);
    bool text = json_object_get(json, name) != NULL;
    const json_t *value = json_object_get(json, text ? name : name_base64);
    answer_text(w, text ? name : name_base64, bytes_of(json_string_value(value), json_string_length(value)));
    json_decref(json);
}

// ---- time

uint64_t native_log_ms(const struct http_call *call) {
    struct service_status status;
    service_status(call->agent->instance->service, &status);
    return status.log_time_ms;
}

uint64_t native_until(uint64_t from_ms, uint64_t to_ms) {
    return to_ms > from_ms ? to_ms - from_ms : 0;
}

// ---- lists

struct items_page call_page(const struct http_call *call, struct native_list *list) {
    *list = (struct native_list){
        .items = json_array(), .limit = (size_t)call_number(call, "limit"), .now_ms = native_log_ms(call)};
    return (struct items_page){.name = bytes_of("", 0),
                               .prefix = call_text(call, "prefix"),
                               .after = call_text(call, "after"),
                               .max = list->limit + 1};
}

bool native_list_takes(struct native_list *list) {
    list->more = json_array_size(list->items) == list->limit;
    return !list->more;
}

void native_list_answer(struct http_call *call, struct native_list *list, const char *name) {
    json_t *json = json_object();
    json_object_set_new(json, name, list->items);
    json_object_set_new(json, "more", json_boolean(list->more));
    call_answer(call, 200, json);
}
