// GET /v1/view and GET /v1/events share one table: a row is a panel of the page, a part of the view, and a topic of
// events. All of it is what this node has applied: no round to the leader, so it is also there when no leader is.
#pragma once
#include "model/config/config.h"
#include "model/idempotency/idempotency.h"
#include "model/limiter/limiter.h"
#include "model/lock/lock.h"
#include "model/queue/queue.h"
#include "model/registry/registry.h"
#include "model/sequence/sequence.h"
#include "model/topic/topic.h"
#include "protocol/http/native_internal.h"

#define VIEW_ROWS_DEFAULT 50u
#define VIEW_ROWS_MAX 100u // of one panel in one answer: all panels together take 7 ms of the loop at most
#define VIEW_CLAIMS_MAX 8u // of one lock's holders, and of its waiters; their numbers stand beside them
#define VIEW_HOT_KEYS_MAX 3u
#define VIEW_INSTANCES_MAX 8u      // of one service
#define VIEW_GROUPS_MAX 4u         // of one topic
#define VIEW_READERS_MAX 8u        // of one group
#define VIEW_READS_MAX 16u         // partitions of one reader that are named
#define VIEW_PARTITIONS_MAX 10000u // of all groups, that are looked at for one answer
#define VIEW_CONTENDERS_MAX 10000u // children of ZooKeeper's tree that are looked at for one answer
#define VIEW_CURSOR_BYTES_MAX 600u // a name in hex

struct view_page { // of one panel
    struct http_instance *instance;
    json_t *rows;
    size_t limit;                         // rows
    const char *after;                    // where to go on; "": from the first
    char next[VIEW_CURSOR_BYTES_MAX + 1]; // "": there are no more
    uint64_t now_ms;                      // log time
    int64_t unix_ms;
    uint64_t count; // of all there are
};
struct view_topic {
    const char *name, *about;
    uint8_t model; // its digest says whether something changed; MODEL_GROUP: what this node knows of the cluster
    void (*rows)(struct view_page *page); // NULL: the view has another place for it
};
extern const struct view_topic view_topics[];
extern const size_t view_topic_count;

// The topics that a parameter names (all, when it is not there), as bits; 0: an unknown one, and the request was
// answered.
uint32_t view_topics_wanted(struct http_connection *c, const struct http_request *request, const char *parameter);
void view_get(struct http_connection *c, const struct http_request *request, uint32_t id);

// ---- cursors: names in hex behind a letter
void view_next_name(struct view_page *page, const char *member); // by the last row, when a row too many was made
struct bytes view_after_name(const char *hex, uint8_t bytes[ITEM_NAME_BYTES_MAX]);

// view_rows.c, view_locks.c, view_topics.c
void view_sessions(struct view_page *page);
void view_queues(struct view_page *page);
void view_limits(struct view_page *page);
void view_keys(struct view_page *page);
void view_locks(struct view_page *page);
void view_elections(struct view_page *page);
void view_sequences(struct view_page *page);
void view_services(struct view_page *page);
void view_config(struct view_page *page);
void view_topics_rows(struct view_page *page);
void view_ask(struct view_page *page, uint8_t model, const void *query);

// What the native operations show too.
const char *lock_mode_name(enum lock_mode mode);
json_t *lock_claim_json(const struct lock_claim_info *claim, uint64_t now_ms);
json_t *queue_json(const struct queue_info *info);
json_t *queue_key_json(const struct queue_key_info *info, uint64_t now_ms);
json_t *limit_json(const struct limiter_info *info);
json_t *sequence_json(const struct sequence_info *info);
json_t *registry_service_json(const struct registry_service_info *info);
json_t *config_space_json(const struct config_info *info);
json_t *topic_json(const struct topic_info *info);
json_t *topic_group_json(const struct topic_group_info *info);
json_t *idempotency_json(const struct idempotency_info *info, uint64_t now_ms);
