// One HTTP response out of a stream of bytes. The only file that knows the parsing library is response.c.
#pragma once
#include "base/bytes.h"
#include <http_parser.h>

#define RESPONSE_BYTES_MAX (64u << 20) // of a body that is kept in memory

typedef int (*response_sink_fn)(void *context, const void *data, size_t len); // 0, or anything else to stop

struct response {
    http_parser parser;
    struct writer body;    // unless it went to the sink
    response_sink_fn sink; // NULL: none. Of a 200's body
    void *context;
    int status; // 0 until the head is whole
    bool done, keep_alive;
    const char *wrong; // NULL: nothing
};
void response_init(struct response *response); // clears what was; the body's memory is kept
void response_free(struct response *response);
// Takes bytes; len 0 is the end of the stream. false: `wrong` says why this is no response.
bool response_feed(struct response *response, const void *data, size_t len);
