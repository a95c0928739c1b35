// What several native operations' arguments and answers are made of: bytes, times, lists.
#include "base/base64.h"
#include "protocol/http/native_internal.h"
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
