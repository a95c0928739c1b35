// What the arguments and answers of native operations are made of: texts, numbers, bytes, lists.
#include "protocol/http/native_internal.h"
#include <openssl/evp.h>
#include <string.h>

struct bytes call_text(const struct http_call *call, const char *field) {
    return call_value(call, field)->text;
}
uint64_t call_number(const struct http_call *call, const char *field) {
    return call_value(call, field)->number;
}

json_t *native_number(uint64_t number) {
    return json_integer((json_int_t)number);
}
json_t *native_text(struct bytes text) {
    json_t *json = json_stringn((const char *)text.data, text.len);
    return json != NULL ? json : json_string(""); // what came as JSON is UTF-8; another door's may be none
}

// ---- bytes

static json_t *base64(struct bytes bytes) {
    struct writer w;
    writer_init(&w);
    uint8_t block[65];
    for (size_t at = 0; at < bytes.len; at += 48) {
        size_t len = bytes.len - at < 48 ? bytes.len - at : 48;
        int written = EVP_EncodeBlock(block, bytes.data + at, (int)len);
        write_span(&w, bytes_of(block, (size_t)written));
    }
    json_t *json = json_stringn(w.len > 0 ? (const char *)w.data : "", w.len);
    writer_free(&w);
    return json;
}

void native_set_bytes(json_t *json, const char *name, const char *name_base64, struct bytes bytes) {
    bool zero = bytes.len > 0 && memchr(bytes.data, 0, bytes.len) != NULL;
    json_t *text = zero ? NULL : json_stringn(bytes.len > 0 ? (const char *)bytes.data : "", bytes.len);
    if (text != NULL)
        json_object_set_new(json, name, text);
    else
        json_object_set_new(json, name_base64, base64(bytes));
}

bool native_base64_read(struct writer *w, struct bytes text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = (const char *)text.data;
    size_t used = text.len == 0 ? 0 : strspn(at, digits), padding = text.len - used; // a JSON string ends with a zero
    if (text.len % 4 != 0 || padding > 2 || memcmp("==", at + used, padding) != 0) return false;
    for (size_t i = 0; i < text.len; i += 4) {
        uint8_t block[3];
        if (EVP_DecodeBlock(block, text.data + i, 4) != 3) return false;
        write_span(w, bytes_of(block, i + 4 == text.len ? 3 - padding : 3));
    }
    return true;
}

bool call_bytes(struct http_call *call, const char *name, const char *name_base64, struct bytes *out) {
    const struct native_value *text = call_value(call, name), *bytes = call_value(call, name_base64);
    *out = bytes->given ? bytes->text : text->text;
    if (!text->given || !bytes->given) return true;
    call_fail(call, "bad-request", "text or base64 is wanted, not both", NULL);
    return false;
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
