// On http-parser, as protocol/http/http_parse.c.
#include "client/response.h"

static int on_headers(http_parser *parser) {
    struct response *response = parser->data;
    response->status = parser->status_code;
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len) {
    struct response *response = parser->data;
    if (response->sink != NULL && response->status == 200) {
        if (response->sink(response->context, at, len) == 0) return 0;
        response->wrong = "what came could not be stored";
        return 1;
    }
    if (response->body.len + len > RESPONSE_BYTES_MAX) {
        response->wrong = "the answer is too large";
        return 1;
    }
    write_span(&response->body, bytes_of(at, len));
    return 0;
}

static int on_complete(http_parser *parser) {
    struct response *response = parser->data;
    response->done = true;
    response->keep_alive = http_should_keep_alive(parser) != 0;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings callbacks = {
    .on_headers_complete = on_headers, .on_body = on_body, .on_message_complete = on_complete};

void response_init(struct response *response) {
    http_parser_init(&response->parser, HTTP_RESPONSE);
    response->parser.data = response;
    writer_clear(&response->body);
    response->status = 0;
    response->done = response->keep_alive = false;
    response->wrong = NULL;
}

void response_free(struct response *response) {
    writer_free(&response->body);
}

bool response_feed(struct response *response, const void *data, size_t len) {
    if (response->wrong != NULL || response->done) return false;
    size_t used = http_parser_execute(&response->parser, &callbacks, data, len);
    if (response->done) {
        if (used < len) response->keep_alive = false; // nobody asked for what stands behind it
        return true;
    }
    if (response->wrong == NULL && (len == 0 || HTTP_PARSER_ERRNO(&response->parser) != HPE_OK))
        response->wrong = len == 0 ? "the answer broke off" : "the answer is not HTTP";
    return response->wrong == NULL;
}
