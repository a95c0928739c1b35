// Addresses and TCP sockets of clients, always non-blocking.
#pragma once
#include "base/limits.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

// "host:port" or "[v6]:port" into its parts; false: it is no address.
bool net_split(const char *address, char host[ADDRESS_TEXT_MAX], char port[16]);

// A socket whose connect has been begun: writable when it ended, then net_connect_error. -1: errno.
int net_connect_begin(const struct sockaddr *address, socklen_t len);
int net_connect_error(int fd); // 0: connected; else an errno

// The blocking ones. A TCP connection to "host:port", trying each of the name's addresses; the descriptor, or -1 with a
// text.
int net_connect(const char *address, unsigned timeout_ms, char error[512]);
bool net_send(int fd, const void *data, size_t len, unsigned timeout_ms); // all of it
long net_receive(int fd, void *data, size_t len,
                 unsigned timeout_ms); // some; 0 at the end; -1: error or time-out (errno)
