// A protocol of lines for the node's tests: small enough to read at once, but with a queue of waiting requests, writes,
// reads behind them, linearizable reads, sessions and watches' stand-in, as the real ones have.
//
//   CREATE path data | EPHEMERAL path data | SET path data -> "OK <version or 0>" or "ERR <code>"
//   GET path        -> "DATA <bytes>" or "ERR <code>"        (what is applied here, behind this connection's own
//   writes) SYNC            -> "SYNCED <applied index>" or "ERR <code>" ATTACH timeout_ms [session attach_password_hex]
//   -> "SESSION <session> <password hex>" or "ERR <code>" CLOSE           -> "OK 0", then the connection ends PING ->
//   "PONG" FLOOD n         -> n bytes of 'x' and a newline SLOWCREATE is not there: nothing here is slow
#pragma once
#include "node/protocol.h"
extern const struct protocol line_protocol;
