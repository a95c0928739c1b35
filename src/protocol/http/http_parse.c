// On http-parser (Debian's libhttp-parser-dev), a push parser. llhttp takes its place here, with the same callbacks.
#include "protocol/http/http_parse.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "protocol/http/http.h"
#include <http_parser.h>
#include <string.h>
#include <strings.h>

enum header {
    HEADER_HOST,
    HEADER_ORIGIN,
    HEADER_ACCEPT,
    HEADER_LAST_EVENT_ID,
    HEADER_FETCH_SITE,
    HEADER_KEY,
    HEADERS_KEPT
};
static const char *const kept_names[HEADERS_KEPT] = {"host",          "origin",         "accept",
                                                     "last-event-id", "sec-fetch-site", "idempotency-key"};

struct http_parse {
    http_parser parser; // its `data` points here
    struct writer url, name, value, body;
    struct writer kept[HEADERS_KEPT]; // values of those headers; the last one of each counts, but of HEADER_KEY
    struct http_request request;
    size_t header_bytes;
    bool in_value, headers_done, done, begun, wants_continue, has_origin, has_key;
    int status; // of a bad request
};

static const http_parser_settings callbacks;

static int refuse(struct http_parse *p, int status) {
    p->status = status;
    return 1; // anything but 0 stops the parser
}

static bool too_long(struct http_parse *p, size_t len) {
    p->header_bytes += len;
    return p->header_bytes > HTTP_HEADER_BYTES_MAX;
}

static bool is_named(const struct http_parse *p, const char *name, size_t len) {
    return p->name.len == len && strncasecmp((const char *)p->name.data, name, len) == 0;
}

static void finish_header(struct http_parse *p) {
    if (!p->in_value) return;
    p->in_value = false;
    static const uint8_t lengths[HEADERS_KEPT] = {4, 6, 6, 13, 14, 15};
    for (int i = 0; i < HEADERS_KEPT; i++) {
        if (!is_named(p, kept_names[i], lengths[i])) continue;
        if (i != HEADER_KEY) writer_clear(&p->kept[i]);
        if (i == HEADER_KEY && p->has_key) write_u8(&p->kept[i], ','); // two keys are none: seen by its reader
        write_span(&p->kept[i], bytes_of(p->value.data, p->value.len));
        p->has_origin |= i == HEADER_ORIGIN;
        p->has_key |= i == HEADER_KEY;
    }
    p->wants_continue |= is_named(p, "expect", 6) && p->value.len == 12 &&
                         strncasecmp((const char *)p->value.data, "100-continue", 12) == 0;
    writer_clear(&p->name);
    writer_clear(&p->value);
}

static int on_url(http_parser *parser, const char *at, size_t len) {
    struct http_parse *p = parser->data;
    if (p->url.len + len > HTTP_URL_BYTES_MAX) return refuse(p, 414);
    write_span(&p->url, bytes_of(at, len));
    return 0;
}

static int on_name(http_parser *parser, const char *at, size_t len) {
    struct http_parse *p = parser->data;
    finish_header(p);
    if (too_long(p, len)) return refuse(p, 431);
    write_span(&p->name, bytes_of(at, len));
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len) {
    struct http_parse *p = parser->data;
    p->in_value = true;
    if (too_long(p, len)) return refuse(p, 431);
    write_span(&p->value, bytes_of(at, len));
    return 0;
}

// Native operations are POST /v1/MODEL/OPERATION.
static uint64_t body_max(const struct http_parse *p) {
    static const char prefix[] = "/v1/";
    size_t len = sizeof prefix - 1;
    bool native = p->url.len > len && memcmp(p->url.data, prefix, len) == 0 &&
                  memchr(p->url.data + len, '/', p->url.len - len) != NULL;
    return native ? HTTP_NATIVE_BODY_BYTES_MAX : HTTP_BODY_BYTES_MAX;
}

static int on_headers(http_parser *parser) {
    struct http_parse *p = parser->data;
    finish_header(p);
    p->headers_done = true;
    if (parser->content_length == UINT64_MAX || parser->content_length <= body_max(p)) return 0;
    refuse(p, 413);
    return -1; // here 1 would mean "there is no body"
}

static int on_body(http_parser *parser, const char *at, size_t len) {
    struct http_parse *p = parser->data;
    if (p->body.len + len > body_max(p)) return refuse(p, 413);
    write_span(&p->body, bytes_of(at, len));
    return 0;
}

static int on_complete(http_parser *parser) {
    struct http_parse *p = parser->data;
    p->done = true;
    http_parser_pause(parser, 1); // the next request waits until this one is answered
    return 0;
}

static const http_parser_settings callbacks = {.on_url = on_url,
                                               .on_header_field = on_name,
                                               .on_header_value = on_value,
                                               .on_headers_complete = on_headers,
                                               .on_body = on_body,
                                               .on_message_complete = on_complete};

struct http_parse *http_parse_new(void) {
    struct http_parse *p = mem_zalloc(sizeof *p);
    http_parse_next(p);
    return p;
}

void http_parse_next(struct http_parse *p) {
    writer_clear(&p->url);
    writer_clear(&p->name);
    writer_clear(&p->value);
    for (int i = 0; i < HEADERS_KEPT; i++) writer_clear(&p->kept[i]);
    writer_clear(&p->body);
    p->header_bytes = 0;
    p->in_value = p->headers_done = p->done = p->begun = p->wants_continue = p->has_origin = p->has_key = false;
    p->status = 0;
    http_parser_init(&p->parser, HTTP_REQUEST);
    p->parser.data = p;
}

void http_parse_free(struct http_parse *p) {
    writer_free(&p->url);
    writer_free(&p->name);
    writer_free(&p->value);
    for (int i = 0; i < HEADERS_KEPT; i++) writer_free(&p->kept[i]);
    writer_free(&p->body);
    mem_free(p);
}

static const char *ended(struct writer *w) {
    write_u8(w, 0);
    w->len--;
    return (const char *)w->data;
}

static void fill_request(struct http_parse *p) {
    struct http_request *r = &p->request;
    switch (p->parser.method) {
    case HTTP_GET:
        r->method = HTTP_VERB_GET;
        break;
    case HTTP_HEAD:
        r->method = HTTP_VERB_HEAD;
        break;
    case HTTP_POST:
        r->method = HTTP_VERB_POST;
        break;
    case HTTP_DELETE:
        r->method = HTTP_VERB_DELETE;
        break;
    default:
        r->method = HTTP_VERB_OTHER;
        break;
    }
    ended(&p->url);
    r->path = (char *)p->url.data;
    char *end = r->path + strcspn(r->path, "?#");
    r->query = *end == '?' ? end + 1 : "";
    *end = 0;
    r->host = ended(&p->kept[HEADER_HOST]);
    r->origin = ended(&p->kept[HEADER_ORIGIN]);
    r->accept = ended(&p->kept[HEADER_ACCEPT]);
    r->last_event_id = ended(&p->kept[HEADER_LAST_EVENT_ID]);
    r->fetch_site = ended(&p->kept[HEADER_FETCH_SITE]);
    r->has_origin = p->has_origin;
    r->idempotency_key = p->has_key ? ended(&p->kept[HEADER_KEY]) : NULL;
    r->body = bytes_of(p->body.data, p->body.len);
    r->keep_alive = http_should_keep_alive(&p->parser) != 0;
}

size_t http_parse_feed(struct http_parse *p, const uint8_t *data, size_t len, enum http_parse_state *state) {
    ENSURE(!p->done && p->status == 0);
    if (len == 0) {
        *state = HTTP_PARSE_MORE;
        return 0;
    }
    p->begun = true;
    size_t used = http_parser_execute(&p->parser, &callbacks, (const char *)data, len);
    ENSURE(used <= len);
    if (p->done) {
        fill_request(p);
        *state = HTTP_PARSE_DONE;
        return used;
    }
    if (HTTP_PARSER_ERRNO(&p->parser) != HPE_OK) {
        if (p->status == 0) p->status = HTTP_PARSER_ERRNO(&p->parser) == HPE_HEADER_OVERFLOW ? 431 : 400;
        *state = HTTP_PARSE_BAD;
        return len;
    }
    *state = HTTP_PARSE_MORE;
    return used;
}

const struct http_request *http_parse_request(const struct http_parse *p) {
    ENSURE(p->done);
    return &p->request;
}

int http_parse_status(const struct http_parse *p) {
    return p->status;
}
bool http_parse_begun(const struct http_parse *p) {
    return p->begun;
}

bool http_parse_wants_continue(struct http_parse *p) {
    bool wants = p->headers_done && p->wants_continue && !p->done;
    if (wants) p->wants_continue = false;
    return wants;
}
