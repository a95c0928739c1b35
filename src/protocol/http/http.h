// HTTP/1.1: health, metrics, the cluster's state as JSON, administration, backups. docs/operations.md lists the paths.
#pragma once
#include "node/node.h"
#include "node/protocol.h"

extern const struct protocol http_protocol;

#define HTTP_HEADER_BYTES_MAX (16u << 10) // request line and headers: far over what browsers and proxies send
#define HTTP_BODY_BYTES_MAX (64u << 10)   // the longest body is a member's address
// Of native operations: 128 KiB of text (a queue's message), each byte of which JSON may write in six, and the rest.
#define HTTP_NATIVE_BODY_BYTES_MAX (1u << 20)
#define HTTP_URL_BYTES_MAX 2048u
#define HTTP_REQUEST_MS 10000u   // a request that is not whole by then is answered 408: slow senders hold nothing
#define HTTP_IDLE_MS 75000u      // a connection without requests is closed
#define HTTP_PIPELINED_MAX 8u    // requests of one piece of input; the rest of it waits for the next tick (100 ms)
#define HTTP_UNDER_WAY_MAX 1024u // native operations of one connection; further requests wait
#define HTTP_COMMANDS_MAX 4096u  // and reads of all connections under way: over it pipelines are short, so that a burst
#define HTTP_UNDER_WAY_CROWD 16u // of 100,000 takes no memory that nobody needs afterwards
#define HTTP_HELD_BYTES_HOLD (256u << 10)   // answers behind an unfinished one: over it no further request begins,
#define HTTP_HELD_BYTES_MAX (16u << 20)     // and over this (few claim so much) the connection is broken off
#define HTTP_EVENT_STREAMS_MAX 256u         // of one node: some watch all the time; each costs one write a tick at most
#define HTTP_EVENT_PENDING_MAX 65536u       // of one that does not read: then it is told nothing until it reads
#define HTTP_EVENT_STUCK_MS 60000u          // and then it is closed
#define HTTP_EVENT_KEEP_MS 15000u           // a comment after so long without an event
#define HTTP_EVENT_STREAM_MS (3600u * 1000) // then a stream ends, and its reader comes back
#define HTTP_BACKUP_TURN_BYTES (4u << 20)   // of a backup in one tick (100 ms): it leaves the loop to the clients

struct http_settings {
    struct node *node;                          // set behind node_start, before the first connection
    bool allow_remote;                          // administration and backups from other machines too
    uint32_t request_ms, idle_ms, commands_max; // 0: the defaults above
    // The snapshot file of this index. open gives NULL when it cannot; else the file's size and name. read gives bytes,
    // or a negative errno.
    void *(*backup_open)(void *context, uint64_t index, uint64_t *bytes, char name[64]);
    int64_t (*backup_read)(void *backup, void *data, size_t len);
    void (*backup_close)(void *backup);
    void *context;
};
