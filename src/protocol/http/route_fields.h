// What routes.c says of its paths: parameters, bodies and answers, for docs/openapi.json.
#pragma once
#include "protocol/http/native_fields.h"
#include "protocol/http/view.h"

FIELDS(counter_fields) = {ANSWERED("commands", NUMBER, "of its clients, since it started"),
                          ANSWERED("queries", NUMBER, "the same"),
                          ANSWERED("refused", NUMBER, "commands that were not taken"),
                          ANSWERED("bytes_in", NUMBER, "from clients"),
                          ANSWERED("bytes_out", NUMBER, "to clients"),
                          END};
FIELDS(node_fields) = {ANSWERED("id", NUMBER, "of this node, 1 to 255"),
                       ANSWERED("role", TEXT, "follower, pre-candidate, candidate, leader, learner or observer"),
                       ANSWERED("ready", BOOL, "it serves clients"),
                       ANSWERED("version", TEXT, "of the binary"),
                       ANSWERED("data", TEXT, "its folder"),
                       ANSWERED("uptime_ms", NUMBER, "since it started"),
                       ANSWERED("disk_full", BOOL, "writes are refused"),
                       ANSWERED("diverged", BOOL, "its state differs from the others'"),
                       ANSWERED("last_index", NUMBER, "of its log"),
                       ANSWERED("commit_index", NUMBER, "known to be on a majority"),
                       ANSWERED("applied_index", NUMBER, "up to which its state stands"),
                       ANSWERED("digest", TEXT, "of its state at digest_index, in hex"),
                       ANSWERED("digest_index", NUMBER, "alike on all nodes at one index"),
                       ANSWERED("snapshot_index", NUMBER, "of its newest snapshot"),
                       ANSWERED("connections", NUMBER, "that are open"),
                       ANSWERED_OF("counters", OBJECT, counter_fields, "since it started"),
                       END};
FIELDS(member_fields) = {ANSWERED("id", NUMBER, "1 to 255"),
                         ANSWERED("role", TEXT, "learner, voter, outgoing, incoming or observer"),
                         ANSWERED("self", BOOL, "it is the node that answers"),
                         ANSWERED("leader", BOOL, "it leads"),
                         ANSWERED("connected", BOOL, "to the node that answers"),
                         ANSWERED("match", NUMBER, "a leader says it: known to be on its disk up to here"),
                         ANSWERED("lag", NUMBER, "a leader says it: entries not known to be on its disk"),
                         ANSWERED("incarnation", TEXT, "of its data, in hex"),
                         ANSWERED("apply_level_max", NUMBER, "what its binary can follow"),
                         ANSWERED("addresses", PAIRS, "peer, zookeeper, http...: as others reach it"),
                         END};
FIELDS(cluster_fields) = {ANSWERED("cluster_id", TEXT, "in hex"),
                          ANSWERED("term", NUMBER, "of the newest election that this node knows"),
                          ANSWERED("leader", NUMBER, "a member; 0: none is known"),
                          ANSWERED("apply_level", NUMBER, "which operations all members know"),
                          ANSWERED("log_time_ms", NUMBER, "the cluster's own time"),
                          ANSWERED("unix_ms", SIGNED, "the same as Unix time"),
                          ANSWERED("sessions", NUMBER, "that live"),
                          ANSWERED_OF("node", OBJECT, node_fields, "the node that answers"),
                          ANSWERED_OF("members", OBJECTS, member_fields, "of the cluster, by their numbers"),
                          END};

FIELDS(panel_fields) = {ANSWERED("count", NUMBER, "of all there are"),
                        ANSWERED("rows", OBJECTS, "as the panel's native list shows them"),
                        {.name = "next", .type = NATIVE_TEXT, .or_null = true, .help = "for after; null: no more"},
                        END};
#define PANEL(name_, help_) ANSWERED_OF(name_, OBJECT, panel_fields, help_)
FIELDS(panels_fields) = {PANEL("sessions", "of both kinds"),
                         PANEL("locks", "native ones, then recipes of ZooKeeper's clients"),
                         PANEL("elections", "who leads, who is a candidate"),
                         PANEL("queues", "each with its deepest keys"),
                         PANEL("limits", "of which something is in use"),
                         PANEL("keys", "idempotency keys"),
                         PANEL("topics", "each with its first groups and their readers"),
                         PANEL("services", "each with its first instances"),
                         PANEL("config", "namespaces and their versions"),
                         PANEL("sequences", "and their next number"),
                         END};
FIELDS(view_query) = {
    {.name = "panels", .type = NATIVE_TEXT, .high = 255, .help = "names of topics with commas; all, when not given"},
    {.name = "limit",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = VIEW_ROWS_MAX,
     .standard = VIEW_ROWS_DEFAULT,
     .help = "rows of each"},
    {.name = "after", .type = NATIVE_TEXT, .high = VIEW_CURSOR_BYTES_MAX, .help = "a panel's next; with one panel"},
    END};
FIELDS(view_fields) = {ANSWERED("index", NUMBER, "of the log, as of which this is"),
                       ANSWERED_OF("cluster", OBJECT, cluster_fields, "of panel members: as GET /v1/cluster"),
                       ANSWERED_OF("panels", OBJECT, panels_fields, "those that were asked for"), END};
FIELDS(events_query) = {
    {.name = "topics", .type = NATIVE_TEXT, .high = 255, .help = "names with commas; all, when not given"}, END};

#define MEMBER_NUMBER(name_, help_)                                                                                    \
    { .name = name_, .type = NATIVE_NUMBER, .low = 1, .high = 255, .help = help_ }
FIELDS(form_body) = {
    {.name = "without", .type = NATIVE_NUMBER, .low = 1, .high = 255, .required = true, .help = "who is missing"}, END};
FIELDS(members_body) = {
    {.name = "id", .type = NATIVE_NUMBER, .low = 1, .high = 255, .required = true, .help = "the new member's number"},
    {.name = "address",
     .type = NATIVE_TEXT,
     .low = 3,
     .high = ADDRESS_TEXT_MAX - 1,
     .required = true,
     .help = "HOST:PORT, its peer address"},
    {.name = "observer", .type = NATIVE_BOOL, .help = "a learner that stays one"},
    END};
FIELDS(transfer_body) = {{.name = "to", .type = NATIVE_NUMBER, .low = 1, .high = 255, .help = "who shall lead"}, END};
FIELDS(done_fields) = {ANSWERED("result", TEXT, "what was done"), END};

#define STATUSES(name) static const struct http_status name[]
STATUSES(ready_errors) = {{503, "not yet, and why (as text)"}, {0, NULL}};
STATUSES(query_errors) = {{400, "a parameter is wrong"}, {0, NULL}};
STATUSES(events_errors) = {
    {400, "a topic is unknown"}, {503, "as many streams as there may be; Retry-After"}, {0, NULL}};
STATUSES(admin_errors) = {{400, "the body is wrong"},
                          {404, "there is no such member"},
                          {409, "not as things stand, and why"},
                          {503, "not applied: may be sent again"},
                          {504, "it may have been done or not"},
                          {0, NULL}};
STATUSES(backup_errors) = {{500, "the snapshot cannot be opened"}, {503, "there is none, and why"}, {0, NULL}};
