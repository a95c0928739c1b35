// Writing replies. See reply.h.
#include "model/keys/reply.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void put(struct reply *r, const char *text, size_t len) {
    memcpy(writer_extend(r->to, len), text, len);
}
#define PUT(r, literal) put(r, literal, sizeof literal - 1)

// kind, a number, CR LF: 1 + 20 + 2 bytes at most.
static size_t head(char out[24], char kind, int64_t value) {
    char digits[20];
    size_t count = 0, len = 0;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    out[len++] = kind;
    if (value < 0) out[len++] = '-';
    do digits[count++] = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    while (count > 0) out[len++] = digits[--count];
    out[len++] = '\r';
    out[len++] = '\n';
    return len;
}

static void put_head(struct reply *r, char kind, int64_t value) {
    char text[24];
    put(r, text, head(text, kind, value));
}

void reply_ok(struct reply *r) {
    PUT(r, "+OK\r\n");
}

void reply_simple(struct reply *r, const char *text) {
    PUT(r, "+");
    put(r, text, strlen(text));
    PUT(r, "\r\n");
}

void reply_error(struct reply *r, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t n = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\r' || text[i] == '\n') text[i] = ' ';
    PUT(r, "-");
    put(r, text, n);
    PUT(r, "\r\n");
}

void reply_wrong_type(struct reply *r) {
    PUT(r, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
}

void reply_syntax(struct reply *r) {
    PUT(r, "-ERR syntax error\r\n");
}

void reply_number(struct reply *r, int64_t value) {
    put_head(r, ':', value);
}

void reply_bulk(struct reply *r, struct bytes value) {
    char text[24];
    size_t len = head(text, '$', (int64_t)value.len);
    uint8_t *at = writer_extend(r->to, len + value.len + 2);
    memcpy(at, text, len);
    if (value.len > 0) memcpy(at + len, value.data, value.len);
    memcpy(at + len + value.len, "\r\n", 2);
}

void reply_text(struct reply *r, const char *text) {
    reply_bulk(r, bytes_of_text(text));
}

void reply_null(struct reply *r) {
    if (r->resp3)
        PUT(r, "_\r\n");
    else
        PUT(r, "$-1\r\n");
}

void reply_null_array(struct reply *r) {
    if (r->resp3)
        PUT(r, "_\r\n");
    else
        PUT(r, "*-1\r\n");
}

void reply_array(struct reply *r, size_t count) {
    put_head(r, '*', (int64_t)count);
}

void reply_map(struct reply *r, size_t pairs) {
    put_head(r, r->resp3 ? '%' : '*', (int64_t)(r->resp3 ? pairs : 2 * pairs));
}

void reply_set(struct reply *r, size_t count) {
    put_head(r, r->resp3 ? '~' : '*', (int64_t)count);
}

void reply_push(struct reply *r, size_t count) {
    put_head(r, r->resp3 ? '>' : '*', (int64_t)count);
}

void reply_bool(struct reply *r, bool value) {
    if (!r->resp3)
        reply_number(r, value);
    else if (value)
        PUT(r, "#t\r\n");
    else
        PUT(r, "#f\r\n");
}

void reply_verbatim(struct reply *r, struct bytes text) {
    if (!r->resp3) {
        reply_bulk(r, text);
        return;
    }
    put_head(r, '=', (int64_t)text.len + 4);
    PUT(r, "txt:");
    write_span(r->to, text);
    PUT(r, "\r\n");
}

size_t reply_begin(struct reply *r) {
    return r->to->len;
}

void reply_end(struct reply *r, size_t begun, char kind, size_t count) {
    char text[24];
    if (kind == '%' && !r->resp3) count *= 2;
    size_t len = head(text, r->resp3 ? kind : '*', (int64_t)count), body = r->to->len - begun;
    writer_extend(r->to, len);
    if (body > 0) memmove(r->to->data + begun + len, r->to->data + begun, body);
    memcpy(r->to->data + begun, text, len);
}

// glibc rounds exactly, whatever the CPU: the text is the same on every replica.
void reply_double(struct reply *r, double value) {
    char text[64];
    int len;
    if (isnan(value)) // before the sign, which NaN has too
        len = snprintf(text, sizeof text, "nan");
    else if (isinf(value))
        len = snprintf(text, sizeof text, value > 0 ? "inf" : "-inf");
    else
        len = snprintf(text, sizeof text, "%.17g", value);
    if (!r->resp3) {
        reply_bulk(r, bytes_of(text, (size_t)len));
        return;
    }
    PUT(r, ",");
    put(r, text, (size_t)len);
    PUT(r, "\r\n");
}
