// The parser. See parse.h.
#include "protocol/redis/parse.h"
#include "base/alloc.h"
#include <stdio.h>
#include <string.h>

#define SPANS_FIRST 16u

bool parse_number(struct bytes text, int64_t *value) {
    size_t at = 0;
    uint64_t sum = 0;
    bool negative = text.len > 0 && text.data[0] == '-';
    if (negative) at++;
    if (at == text.len || text.len > 20) return false;
    if (text.data[at] == '0') { // alone only
        *value = 0;
        return text.len == 1;
    }
    for (; at < text.len; at++) {
        uint8_t digit = (uint8_t)(text.data[at] - '0');
        if (digit > 9 || __builtin_mul_overflow(sum, 10u, &sum) || __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    if (sum > (uint64_t)INT64_MAX + negative) return false;
    *value = (int64_t)(negative ? -sum : sum);
    return true;
}

static struct parse_span *span_push(struct parse *p) {
    struct parse_spans *spans = &p->spans;
    if (p->count == spans->capacity) {
        spans->capacity = spans->capacity == 0 ? SPANS_FIRST : spans->capacity * 2;
        spans->items = mem_realloc(spans->items, spans->capacity * sizeof *spans->items);
    }
    return &spans->items[p->count++];
}

// ---- arrays of bulk strings

enum line { LINE_MORE, LINE_WHOLE, LINE_TOO_LONG };
// A number's line that begins at `at` with its kind. It ends with CR and whatever follows that.
static enum line take_line(struct parse *p, const uint8_t *data, size_t len, struct bytes *text) {
    size_t from = p->seen > p->at ? p->seen : p->at;
    const uint8_t *end = len > from ? memchr(data + from, '\r', len - from) : NULL;
    if (end == NULL) {
        p->seen = (uint32_t)len;
        return len - p->at > REDIS_INLINE_BYTES_MAX ? LINE_TOO_LONG : LINE_MORE;
    }
    size_t place = (size_t)(end - data);
    p->seen = (uint32_t)place;
    if (place + 2 > len) return LINE_MORE;
    *text = bytes_of(data + p->at + 1, place - p->at - 1);
    p->at = (uint32_t)place + 2;
    return LINE_WHOLE;
}

static enum parse_outcome take_count(struct parse *p, const uint8_t *data, size_t len,
                                     const struct parse_limits *limits, const char **error) {
    struct bytes text;
    int64_t count;
    enum line line = take_line(p, data, len, &text);
    if (line == LINE_TOO_LONG) *error = "Protocol error: too big mbulk count string";
    if (line != LINE_WHOLE) return line == LINE_MORE ? PARSE_MORE : PARSE_ERROR;
    if (!parse_number(text, &count) || count > limits->arguments_max) {
        *error = "Protocol error: invalid multibulk length";
        return PARSE_ERROR;
    }
    if (limits->guest && count > REDIS_GUEST_ARGUMENTS_MAX) {
        *error = "Protocol error: unauthenticated multibulk length";
        return PARSE_ERROR;
    }
    if (count <= 0) return PARSE_NOTHING;
    p->left = (int32_t)count;
    return PARSE_REQUEST;
}

static enum parse_outcome take_length(struct parse *p, const uint8_t *data, size_t len,
                                      const struct parse_limits *limits, const char **error) {
    static _Thread_local char wrong[64];
    struct bytes text;
    int64_t length;
    uint32_t begin = p->at;
    enum line line = take_line(p, data, len, &text);
    if (line == LINE_TOO_LONG) *error = "Protocol error: too big bulk count string";
    if (line != LINE_WHOLE) return line == LINE_MORE ? PARSE_MORE : PARSE_ERROR;
    if (data[begin] != '$') {
        snprintf(wrong, sizeof wrong, "Protocol error: expected '$', got '%c'", data[begin]);
        *error = wrong;
        return PARSE_ERROR;
    }
    if (!parse_number(text, &length) || length < 0 || length > limits->bulk_bytes_max) {
        *error = "Protocol error: invalid bulk length";
        return PARSE_ERROR;
    }
    if (limits->guest && length > REDIS_GUEST_BULK_BYTES_MAX) {
        *error = "Protocol error: unauthenticated bulk length";
        return PARSE_ERROR;
    }
    if (p->at + (uint64_t)length > limits->request_bytes_max) {
        *error = "Protocol error: request larger than this server takes";
        return PARSE_ERROR;
    }
    p->bulk = length + 1;
    return PARSE_REQUEST;
}

static enum parse_outcome step_array(struct parse *p, const uint8_t *data, size_t len,
                                     const struct parse_limits *limits, const char **error) {
    if (p->left == 0) {
        enum parse_outcome outcome = take_count(p, data, len, limits, error);
        if (outcome != PARSE_REQUEST) return outcome;
    }
    while (p->left > 0) {
        if (p->bulk == 0) {
            enum parse_outcome outcome = take_length(p, data, len, limits, error);
            if (outcome != PARSE_REQUEST) return outcome;
        }
        uint64_t length = (uint64_t)p->bulk - 1;
        if (len - p->at < length + 2) return PARSE_MORE;
        *span_push(p) = (struct parse_span){p->at, (uint32_t)length};
        p->at += (uint32_t)length + 2; // what stands for CR LF is not looked at, as in Redis
        p->bulk = 0;
        p->left--;
    }
    return PARSE_REQUEST;
}

// ---- lines

static bool is_blank(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// What a backslash and the bytes behind it stand for in double quotes.
static uint8_t take_escape(struct reader *r) {
    static const char names[] = "nrtba", values[] = "\n\r\t\b\a";
    const uint8_t *at = r->data + r->at;
    size_t left = r->len - r->at;
    if (left >= 3 && at[0] == 'x' && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
        r->at += 3;
        return (uint8_t)(hex_digit(at[1]) << 4 | hex_digit(at[2]));
    }
    r->at++;
    const char *name = at[0] == 0 ? NULL : strchr(names, at[0]);
    return name == NULL ? at[0] : (uint8_t)values[name - names];
}

// False: it does not end, or something follows it at once.
static bool take_quoted(struct reader *r, uint8_t quote, struct writer *out) {
    while (r->at < r->len) {
        uint8_t c = r->data[r->at++];
        bool more = r->at < r->len;
        if (c == '\\' && more && quote == '"')
            write_u8(out, take_escape(r));
        else if (c == '\\' && more && quote == '\'' && r->data[r->at] == '\'')
            write_u8(out, r->data[r->at++]);
        else if (c == quote)
            return !more || is_blank(r->data[r->at]);
        else
            write_u8(out, c);
    }
    return false;
}

static bool split(struct parse *p, struct bytes text, struct writer *out) {
    struct reader r = reader_of(text.data, text.len);
    for (;;) {
        while (r.at < r.len && is_blank(r.data[r.at])) r.at++;
        if (r.at == r.len) return true;
        size_t begin = out->len;
        while (r.at < r.len && !is_blank(r.data[r.at])) {
            uint8_t c = r.data[r.at++];
            if (c != '"' && c != '\'')
                write_u8(out, c);
            else if (!take_quoted(&r, c, out))
                return false;
        }
        *span_push(p) = (struct parse_span){(uint32_t)begin, (uint32_t)(out->len - begin)};
    }
}

static enum parse_outcome step_line(struct parse *p, const uint8_t *data, size_t len, struct writer *line,
                                    const char **error) {
    const uint8_t *end = memchr(data + p->seen, '\n', len - p->seen);
    size_t at = end == NULL ? len : (size_t)(end - data);
    p->seen = (uint32_t)at;
    if (at > REDIS_INLINE_BYTES_MAX) {
        *error = "Protocol error: too big inline request";
        return PARSE_ERROR;
    }
    if (end == NULL) return PARSE_MORE;
    p->at = (uint32_t)at + 1;
    if (at > 0 && data[at - 1] == '\r') at--;
    const uint8_t *nul = at == 0 ? NULL : memchr(data, 0, at);
    if (nul != NULL) at = (size_t)(nul - data);
    writer_clear(line);
    if (!split(p, bytes_of(data, at), line)) {
        *error = "Protocol error: unbalanced quotes in request";
        return PARSE_ERROR;
    }
    return p->count == 0 ? PARSE_NOTHING : PARSE_INLINE;
}

enum parse_outcome parse_step(struct parse *p, const uint8_t *data, size_t len, const struct parse_limits *limits,
                              struct writer *line, const char **error) {
    if (len <= p->at) return PARSE_MORE;
    enum parse_outcome outcome =
        data[0] == '*' ? step_array(p, data, len, limits, error) : step_line(p, data, len, line, error);
    if (outcome == PARSE_MORE && len > limits->request_bytes_max) {
        *error = "Protocol error: request larger than this server takes";
        return PARSE_ERROR;
    }
    return outcome;
}

void parse_restart(struct parse *p) {
    *p = (struct parse){.spans = p->spans};
}

void parse_free(struct parse *p) {
    mem_free(p->spans.items);
    *p = (struct parse){0};
}
