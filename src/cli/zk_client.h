// A small blocking ZooKeeper client for `parley zk`: one connection, one request at a time, events as they come.
#pragma once
#include "base/bytes.h"

#define ZK_LOST (-4) // ZooKeeper's own "connection loss"

enum zk_op {
    ZK_OP_CREATE = 1,
    ZK_OP_DELETE = 2,
    ZK_OP_EXISTS = 3,
    ZK_OP_GET = 4,
    ZK_OP_SET = 5,
    ZK_OP_CHILDREN = 8,
    ZK_OP_CREATE_CONTAINER = 19,
    ZK_OP_ADD_WATCH = 106,
};
struct zk_event {
    int type; // 1 created, 2 deleted, 3 data changed, 4 children changed
    struct bytes path;
};
struct zk_client;
// servers: "host:port,host:port"; each is tried. NULL with a text. on_event is called from inside the calls below.
struct zk_client *zk_open(const char *servers, unsigned timeout_ms,
                          void (*on_event)(void *context, const struct zk_event *event), void *context,
                          char error[512]);
void zk_close(struct zk_client *client); // ends the session: its ephemeral nodes go
int zk_auth(struct zk_client *client, const char *scheme, struct bytes credentials); // 0 or a ZooKeeper error
// Sends one request. 0: *answer is the reply's body, valid until the next call. Negative: ZooKeeper's error.
int zk_call(struct zk_client *client, enum zk_op op, struct bytes body, struct reader *answer);
// Keeps the session alive and takes events until `input` (a descriptor; -1: none) is readable. 0, or ZK_LOST.
int zk_wait(struct zk_client *client, int input);
int zk_take_one(
    struct zk_client *client); // waits for one packet, pinging meanwhile: an event was delivered, or not. 0 or ZK_LOST
const char *zk_error_text(int error);
uint64_t zk_session(const struct zk_client *client);
const char *zk_server(const struct zk_client *client);

void zk_put_text(struct writer *w, struct bytes text); // i32 length and bytes, as ZooKeeper writes strings and buffers
struct bytes zk_get_text(struct reader *r);            // length -1 (null) gives an empty span
