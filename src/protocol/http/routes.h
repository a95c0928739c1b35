// The paths that are no native operations: GET /, and docs/openapi.json, are made from their table.
#pragma once
#include "protocol/http/http_parse.h"
#include "protocol/http/native.h"

struct http_connection;
struct http_status {
    int status; // 0: behind the last
    const char *when;
};
struct http_route {
    enum http_verb method;
    const char *path;  // # stands for a member's number
    const char *about; // a line of GET /
    bool administration;
    bool looks;                                // from the node's own machine only too, and not from others' pages
    const struct native_field *query, *fields; // parameters, and of the body; NULL: none
    const char *type;                          // of a 200
    const struct native_field *answer;         // of a 200 in JSON
    const struct http_status *errors;          // what it may say beside 200, 403, 405; each with {"error": text}
    const char *id;                            // operationId
    void (*run)(struct http_connection *c, const struct http_request *request, uint32_t id);
};
const struct http_route *http_route_at(size_t place); // NULL: behind the last
