// A small blocking HTTP client for the commands that ask a running node. One request a connection.
#pragma once
#include "client/net.h"
#include "client/response.h"

struct http_reply {
    int status;         // 0: no answer, then error says why
    struct writer body; // unless it went to a sink
    char error[512];
};

// address "host:port"; body NULL: none. With a sink a 200's body goes there. true: an answer came, whole, whatever its
// status.
bool http_call(const char *address, const char *method, const char *path, const char *body, unsigned timeout_ms,
               response_sink_fn sink, void *context, struct http_reply *reply);
void http_reply_free(struct http_reply *reply);
