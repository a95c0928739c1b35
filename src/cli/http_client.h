// A small blocking HTTP client for the commands that ask a running node. One request a connection.
#pragma once
#include "base/bytes.h"

struct http_reply {
    int status;         // 0: no answer, then error says why
    struct writer body; // unless it went to a sink
    char error[512];
};
typedef int (*http_sink_fn)(void *context, const void *data, size_t len); // 0, or anything else to stop

// address "host:port"; body NULL: none. With a sink a 200's body goes there. true: an answer came, whole, whatever its
// status.
bool http_call(const char *address, const char *method, const char *path, const char *body, unsigned timeout_ms,
               http_sink_fn sink, void *context, struct http_reply *reply);
void http_reply_free(struct http_reply *reply);

// A TCP connection to "host:port", trying each of the name's addresses; the descriptor, or -1 with a text. Also for
// zk_client.c.
int net_connect(const char *address, unsigned timeout_ms, char error[512]);
bool net_send(int fd, const void *data, size_t len, unsigned timeout_ms); // all of it
long net_receive(int fd, void *data, size_t len,
                 unsigned timeout_ms); // some; 0 at the end; -1: error or time-out (errno)
