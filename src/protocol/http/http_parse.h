// One request at a time out of a stream of bytes. The only file that knows the parsing library is http_parse.c.
#pragma once
#include "base/bytes.h"

enum http_verb { HTTP_VERB_GET, HTTP_VERB_HEAD, HTTP_VERB_POST, HTTP_VERB_DELETE, HTTP_VERB_OTHER };
enum http_parse_state {
    HTTP_PARSE_MORE, // the request is not whole yet
    HTTP_PARSE_DONE, // it is: ask http_parse_request, then http_parse_next
    HTTP_PARSE_BAD,  // http_parse_status says what to answer; nothing more can be read from this stream
};
struct http_request {
    enum http_verb method;
    char *path;        // without query, not percent-decoded: no path of ours holds such characters
    const char *query; // behind the ?, not decoded either
    // Headers as sent; "" if none. fetch_site: what a browser says of who asks ("same-origin", "cross-site").
    const char *host, *origin, *accept, *last_event_id, *fetch_site;
    bool has_origin; // a browser sent it for a page
    struct bytes body;
    bool keep_alive;
};
struct http_parse;
struct http_parse *http_parse_new(void);
void http_parse_free(struct http_parse *parse);
// Takes bytes up to the end of one request. Gives how many were used.
size_t http_parse_feed(struct http_parse *parse, const uint8_t *data, size_t len, enum http_parse_state *state);
const struct http_request *http_parse_request(const struct http_parse *parse); // after DONE
int http_parse_status(const struct http_parse *parse);                         // after BAD: 400, 413, 431
bool http_parse_wants_continue(struct http_parse *parse); // the sender waits for 100 Continue; asked once
bool http_parse_begun(const struct http_parse *parse);    // bytes of an unfinished request were taken
void http_parse_next(struct http_parse *parse);
