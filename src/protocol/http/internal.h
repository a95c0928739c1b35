// What the files of this room share.
//
//   http_parse.c   bytes -> requests
//   http.c         connections: limits, order, answers, backups in pieces
//   routes.c       which path is what; administration
//   metrics.c      GET /metrics
//   cluster.c      GET /v1/cluster
//   view.c         GET /v1/view: what the page shows, in bounded pieces (view_rows.c, view_locks.c, view_topics.c)
//   events.c       GET /v1/events: what changed, as server-sent events; waits of native operations as events
//   page.c         the page's files (page/)
//   native*.c      POST /v1/MODEL/OPERATION (native_internal.h)
#pragma once
#include "base/hash.h"
#include "base/list.h"
#include "base/pool.h"
#include "protocol/http/http.h"
#include "protocol/http/http_parse.h"
#include <jansson.h>

#define HTTP_TOPICS_MAX 16u
struct http_changes { // per topic of view.h: what events tell
    struct digest seen[HTTP_TOPICS_MAX];
    uint64_t index[HTTP_TOPICS_MAX]; // applied when its newest change was seen
    uint64_t since;                  // nothing is known of changes before this index; 0: of none yet
    uint32_t marked;                 // topics that events of models have marked, as bits
};

struct http_instance {
    struct service *service;
    const struct http_settings *settings;
    struct list connections;
    // native operations (native_agent.c)
    struct list agents;
    struct hash sessions, numbers; // agents by session; calls by what event they wait for
    struct pool calls;
    uint32_t commands;      // calls whose command or read is under way
    struct list crowded;    // connections that wait until these are fewer
    struct http_agent *own; // of calls without a session; NULL until there is one
#define HTTP_RECENT_OPERATIONS 64u
    const struct native_operation *recent[HTTP_RECENT_OPERATIONS]; // found lately, by their path (http.c)
    struct list streams;                                           // events.c
    size_t stream_count;
    struct http_changes changes;
    struct native_turns *turns; // whose turn it is in which service (native_registry_turns.c); NULL until asked
};

struct http_waiting {                   // an answer that comes later
    struct list place;                  // among its connection's, in the order of their requests
    struct http_connection *connection; // NULL: it is gone
    bool native;                        // of a struct http_call, which is told when it goes
    bool breaks_off;                    // there is no answer for a client that has shut its sending side
    bool answered;                      // the head of a struct http_answered (http.c)
    bool alone;                         // no request begins behind it before it is answered
    bool head, keep_alive;              // of its request
};
struct http_connection {
    struct list link, in_crowd;
    struct http_instance *instance;
    struct client *client;
    struct http_parse *parse;
    const struct native_operation *operation; // of the newest request; NULL: it is no native one
    struct list places;                       // requests under way, and answers that wait for those before them
    uint32_t place_count;
    size_t held_bytes;      // of answers that wait
    struct list *behind;    // the place in front of the answer that is being written; NULL: it leaves at once
    struct writer held;     // that answer, until it is whole
    bool alone;             // the newest request is answered behind all before it, and before the next begins
    bool last;              // nothing is read behind it
    bool deferred;          // the newest request is whole and has to wait until it is alone
    bool stalled;           // paused until there are fewer places
    bool owes_go;           // 100 Continue, behind the answers
    uint64_t since_ms;      // when the unfinished request began, or the last one was answered
    bool head, keep_alive;  // of the request that is being answered
    uint64_t retry_after_s; // of the next answer, as a header; 0: none
    bool closing;
    bool resting;               // paused until the next tick: it sent many requests at once
    struct http_stream *stream; // of events; NULL: none
    bool wants_events;          // of the request that is being answered: an answer that has to wait comes as an event
    bool waits_as_event;        // and its head has left
    uint64_t event_ms;          // when something was last written to it
    void *backup;               // being sent
    uint64_t backup_left;
};

// ---- answers (http.c)
void http_answer(struct http_connection *c, int status, const char *type, struct bytes body);
void http_answer_with(struct http_connection *c, int status, const char *type, struct bytes body,
                      const char *more);                                        // more: whole header lines
void http_answer_text(struct http_connection *c, int status, const char *text); // with a newline behind it
void http_answer_json(struct http_connection *c, int status, json_t *json);     // takes the reference
void http_answer_compact(struct http_connection *c, int status, const char *type, json_t *json); // the same
void http_answer_error(struct http_connection *c, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// An answer that comes later. http_later gives what to hand to the node as context;
// when the node calls back, http_back gives the connection, or NULL when it is gone.
struct http_waiting *http_later(struct http_connection *c);
struct http_connection *http_back(struct http_waiting *waiting);
// The same, with a `waiting` that is part of the caller's.
void http_wait(struct http_connection *c, struct http_waiting *waiting);
struct http_connection *http_wait_end(struct http_waiting *waiting);
void http_go_on(struct http_connection *c); // requests that waited for answers, or for one that is alone no longer
void http_commands(struct http_instance *instance, int more); // one more or one less is under way
void http_send_backup(struct http_connection *c, void *backup, uint64_t bytes, const char *name);

#define HTTP_EVENT_STREAM "text/event-stream"
void http_write_head(struct http_connection *c, int status, const char *type, int64_t length, const char *more);
void http_break_off(struct http_connection *c); // without the rest of its answer

// ---- events.c
void events_get(struct http_connection *c, const struct http_request *request, uint32_t id);
void events_model(struct http_instance *instance, uint8_t model, const void *event);
void events_begin(struct http_instance *instance); // at each connection: changes are known from the first on
void events_replaced(struct http_instance *instance);
void events_tick(struct http_instance *instance, uint64_t now_ms);
void events_close(struct http_connection *c);
void events_wait_begins(struct http_connection *c);                // its answer will come as an event
void events_wait_tick(struct http_connection *c, uint64_t now_ms); // the same
void events_wait_ends(struct http_connection *c, const char *type, struct bytes body); // the event

void http_route(struct http_connection *c, const struct http_request *request);  // routes.c
void http_write_metrics(struct http_instance *instance, struct writer *w);       // metrics.c
bool http_native(struct http_connection *c, const struct http_request *request); // native.c; false: no such path
// Others may be under way beside it: a native operation that is a command, whose answer is short.
bool http_native_beside(const struct native_operation *operation, const struct http_request *request);
// Why this request may not change the cluster; NULL: it may.
const char *http_may_not_administer(struct http_connection *c, const struct http_request *request);
// Why this request may not see what is in the cluster; NULL: it may. From this machine, or allow-remote; and of web
// pages only our own.
const char *http_may_not_look(struct http_connection *c, const struct http_request *request);
json_t *http_cluster_json(struct http_instance *instance); // cluster.c
// page.c: "/" gives the page's file only to who accepts HTML. false: no such file.
bool http_page(struct http_connection *c, const struct http_request *request);
// A parameter of the query, percent-decoded. false: it is not there, or too long.
bool http_parameter(const struct http_request *request, const char *name, char *out, size_t size);
