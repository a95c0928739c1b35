// What the files of this room share.
//
//   http_parse.c   bytes -> requests
//   http.c         connections: limits, order, answers, backups in pieces
//   routes.c       which path is what; administration
//   metrics.c      GET /metrics
//   cluster.c      GET /v1/cluster
#pragma once
#include "base/list.h"
#include "protocol/http/http.h"
#include "protocol/http/http_parse.h"
#include <jansson.h>

struct http_instance {
    struct service *service;
    const struct http_settings *settings;
    struct list connections;
};

struct http_waiting; // an answer that comes later: the node's, for administration or a backup
struct http_connection {
    struct list link;
    struct http_instance *instance;
    struct client *client;
    struct http_parse *parse;
    struct http_waiting *waiting; // NULL: none
    uint64_t since_ms;            // when the unfinished request began, or the last one was answered
    bool head, keep_alive;        // of the request that is being answered
    bool closing;
    bool resting; // paused until the next tick: it sent many requests at once
    void *backup; // being sent
    uint64_t backup_left;
};

// ---- answers (http.c)
void http_answer(struct http_connection *c, int status, const char *type, struct bytes body);
void http_answer_text(struct http_connection *c, int status, const char *text); // with a newline behind it
void http_answer_json(struct http_connection *c, int status, json_t *json);     // takes the reference
void http_answer_error(struct http_connection *c, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// An answer that comes later: the connection reads nothing more. http_later gives what to hand to the node as context;
// when the node calls back, http_back gives the connection, or NULL when it is gone.
struct http_waiting *http_later(struct http_connection *c);
struct http_connection *http_back(struct http_waiting *waiting);
void http_send_backup(struct http_connection *c, void *backup, uint64_t bytes, const char *name);

void http_route(struct http_connection *c, const struct http_request *request); // routes.c
void http_write_metrics(struct http_instance *instance, struct writer *w);      // metrics.c
json_t *http_cluster_json(struct http_instance *instance);                      // cluster.c
