// docs/openapi.json, from the tables of native operations and of the other paths.
#include "base/version.h"
#include "cli/generate.h"
#include "model/remember.h"
#include "protocol/http/native.h"
#include "protocol/http/routes.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool can_give(const struct native_operation *operation, const struct native_error *error) {
    char word[64];
    snprintf(word, sizeof word, "%s ", error->name);
    const char *lists[] = {operation->errors, native_common_errors, operation->keyed ? "mismatch limit " : ""};
    for (size_t i = 0; i < 3; i++) {
        const char *at = strstr(lists[i], word);
        while (at != NULL && at != lists[i] && at[-1] != ' ') at = strstr(at + 1, word);
        if (at != NULL) return true;
    }
    return false;
}

static json_t *choices_schema(const char *choices) {
    json_t *list = json_array();
    while (*choices != 0) {
        size_t len = strcspn(choices, "|");
        json_array_append_new(list, json_stringn(choices, len));
        choices += len + (choices[len] == '|');
    }
    return json_pack("{s:s, s:o}", "type", "string", "enum", list);
}

// Each a text, or any bytes as base64; in a request also null: it is deleted.
static json_t *items_schema(const struct native_field *field, bool request) {
    json_t *bytes = json_pack("{s:s, s:{s:{s:s, s:s}}, s:[s]}", "type", "object", "properties", "base64", "type",
                              "string", "contentEncoding", "base64", "required", "base64");
    json_t *kinds = json_pack("[{s:s}, o]", "type", "string", bytes);
    if (request) json_array_append_new(kinds, json_pack("{s:s}", "type", "null"));
    json_t *json = json_pack("{s:s, s:{s:o}}", "type", "object", "additionalProperties", "oneOf", kinds);
    if (request) json_object_set_new(json, "minProperties", json_integer((json_int_t)field->low));
    if (request) json_object_set_new(json, "maxProperties", json_integer((json_int_t)field->high));
    return json;
}

static json_t *object_schema(const struct native_field *fields, bool request);

static void bound_items(json_t *json, uint64_t low, uint64_t high) {
    json_object_set_new(json, "minItems", json_integer((json_int_t)low));
    json_object_set_new(json, "maxItems", json_integer((json_int_t)high));
}

static json_t *members_schema(const struct native_field *field) {
    return field->of != NULL ? object_schema(field->of, false) : json_pack("{s:s}", "type", "object");
}

static json_t *field_schema(const struct native_field *field, bool request) {
    json_t *json;
    switch (field->type) {
    case NATIVE_NUMBER:
        json = json_pack("{s:s, s:s}", "type", "integer", "format", "int64");
        if (request) json_object_set_new(json, "minimum", json_integer((json_int_t)field->low));
        if (request) json_object_set_new(json, "maximum", json_integer((json_int_t)field->high));
        if (request && !field->required)
            json_object_set_new(json, "default", json_integer((json_int_t)field->standard));
        break;
    case NATIVE_SIGNED:
        json = json_pack("{s:s, s:s}", "type", "integer", "format", "int64");
        if (request) json_object_set_new(json, "minimum", json_integer((json_int_t)field->low));
        if (request && !field->required)
            json_object_set_new(json, "default", json_integer((json_int_t)field->standard));
        break;
    case NATIVE_DELTAS:
        json = json_pack("{s:s, s:{s:s, s:s}}", "type", "object", "additionalProperties", "type", "integer", "format",
                         "int64");
        if (request) json_object_set_new(json, "minProperties", json_integer((json_int_t)field->low));
        if (request) json_object_set_new(json, "maxProperties", json_integer((json_int_t)field->high));
        break;
    case NATIVE_PAIRS:
        json = json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties", "type", "string");
        if (request) json_object_set_new(json, "maxProperties", json_integer((json_int_t)field->high));
        break;
    case NATIVE_BASE64:
        json = json_pack("{s:s, s:s}", "type", "string", "contentEncoding", "base64");
        break;
    case NATIVE_ITEMS:
        json = items_schema(field, request);
        break;
    case NATIVE_BOOL:
        json = json_pack("{s:s}", "type", "boolean");
        if (request) json_object_set_new(json, "default", json_false());
        break;
    case NATIVE_CHOICE:
        json = choices_schema(field->choices);
        break;
    case NATIVE_TEXTS:
        json = json_pack("{s:s, s:{s:s, s:i, s:i}}", "type", "array", "items", "type", "string", "minLength", 1,
                         "maxLength", 255);
        if (request) bound_items(json, field->low, field->high);
        break;
    case NATIVE_NUMBERS:
        json = json_pack("{s:s, s:{s:s, s:s, s:i}}", "type", "array", "items", "type", "integer", "format", "int64",
                         "minimum", 1);
        if (request) bound_items(json, field->low, field->high);
        break;
    case NATIVE_PLACES:
        json = json_pack("{s:s, s:{s:s, s:i}}", "type", "array", "items", "type", "integer", "minimum", 0);
        if (request)
            json_object_set_new(json_object_get(json, "items"), "maximum", json_integer((json_int_t)field->high - 1));
        if (request) bound_items(json, 0, field->high);
        break;
    case NATIVE_OBJECT:
        json = members_schema(field);
        break;
    case NATIVE_OBJECTS:
        json = json_pack("{s:s, s:o}", "type", "array", "items", members_schema(field));
        if (request) bound_items(json, field->low, field->high);
        break;
    case NATIVE_SESSION:
        json = json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9]+-[0-9a-f]{32}$");
        break;
    default:
        json = json_pack("{s:s}", "type", "string");
        if (request) json_object_set_new(json, "minLength", json_integer((json_int_t)field->low));
        if (request) json_object_set_new(json, "maxLength", json_integer((json_int_t)field->high)); // bytes: at most
    }
    if (field->or_null) json_object_set_new(json, "type", json_pack("[O, s]", json_object_get(json, "type"), "null"));
    json_object_set_new(json, "description", json_string(field->help));
    return json;
}

static json_t *object_schema(const struct native_field *fields, bool request) {
    json_t *properties = json_object(), *required = json_array();
    for (; fields->name != NULL; fields++) {
        json_object_set_new(properties, fields->name, field_schema(fields, request));
        if (fields->required) json_array_append_new(required, json_string(fields->name));
    }
    json_t *json = json_pack("{s:s, s:o}", "type", "object", "properties", properties);
    if (request) json_object_set_new(json, "additionalProperties", json_false());
    if (json_array_size(required) > 0) json_object_set(json, "required", required);
    json_decref(required);
    return json;
}

static json_t *content(const char *type, json_t *schema) {
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

// One response a status, with the names of all errors that it may be.
static void add_errors(json_t *responses, const struct native_operation *operation) {
    for (size_t i = 0; i < native_error_count; i++) {
        const struct native_error *error = &native_errors[i];
        char status[8];
        if (!can_give(operation, error)) continue;
        snprintf(status, sizeof status, "%d", error->status);
        json_t *response = json_object_get(responses, status);
        const char *before = json_string_value(json_object_get(response, "description"));
        json_t *words = json_sprintf("%s%s%s: %s", before != NULL ? before : "", before != NULL ? "; " : "",
                                     error->name, error->title);
        if (response == NULL) {
            json_t *schema = json_pack("{s:s}", "$ref", "#/components/schemas/problem");
            response = json_object();
            json_object_set_new(response, "description", words);
            json_object_set_new(response, "content", content("application/problem+json", schema));
            json_object_set_new(responses, status, response);
        } else {
            json_object_set_new(response, "description", words);
        }
    }
}

static json_t *operation_json(const struct native_operation *operation) {
    json_t *responses = json_object(), *json = json_object();
    json_object_set_new(responses, "200",
                        json_pack("{s:s, s:o}", "description", "done", "content",
                                  content("application/json", object_schema(operation->answer, false))));
    add_errors(responses, operation);
    char id[64];
    snprintf(id, sizeof id, "%s", operation->path + strlen("/v1/"));
    for (char *at = id; *at != 0; at++)
        if (*at == '/') *at = '_';
    json_object_set_new(json, "operationId", json_string(id));
    json_object_set_new(json, "summary", json_string(operation->about));
    json_object_set_new(json, "requestBody",
                        json_pack("{s:b, s:o}", "required", operation->fields[0].name != NULL, "content",
                                  content("application/json", object_schema(operation->fields, true))));
    if (operation->keyed) {
        json_t *header = json_pack("{s:s, s:s, s:s, s:{s:s, s:i, s:i}}", "name", "Idempotency-Key", "in", "header",
                                   "description", "the request takes effect once under it", "schema", "type", "string",
                                   "minLength", 1, "maxLength", (int)REMEMBER_ID_BYTES_MAX + 2);
        json_object_set_new(json, "parameters", json_pack("[o]", header));
    }
    json_object_set_new(json, "responses", responses);
    return json_pack("{s:o}", "post", json);
}

// ---- the other paths

static json_t *parameters_of(const struct http_route *route) {
    json_t *list = json_array();
    if (strchr(route->path, '#') != NULL)
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:{s:s, s:i, s:i}}", "name", "id", "in", "path",
                                              "required", 1, "description", "a member's number", "schema", "type",
                                              "integer", "minimum", 1, "maximum", 255));
    for (const struct native_field *field = route->query; field != NULL && field->name != NULL; field++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", field->name, "in", "query", "schema",
                                              field_schema(field, true)));
    return list;
}

static void add_refusal(json_t *responses, const struct http_route *route, int status, const char *when) {
    char number[8];
    snprintf(number, sizeof number, "%d", status);
    bool text = strncmp(route->type, "text/plain", strlen("text/plain")) == 0; // who gives text refuses by text
    json_t *schema =
        text ? json_pack("{s:s}", "type", "string") : json_pack("{s:s}", "$ref", "#/components/schemas/error");
    json_object_set_new(responses, number,
                        json_pack("{s:s, s:o}", "description", when, "content",
                                  content(text ? route->type : "application/json", schema)));
}

static json_t *route_json(const struct http_route *route) {
    json_t *responses = json_object(), *json = json_object(), *parameters = parameters_of(route);
    json_t *answer = route->answer != NULL ? object_schema(route->answer, false) : json_pack("{s:s}", "type", "string");
    json_object_set_new(responses, "200",
                        json_pack("{s:s, s:o}", "description", "done", "content", content(route->type, answer)));
    for (const struct http_status *error = route->errors; error != NULL && error->status != 0; error++)
        add_refusal(responses, route, error->status, error->when);
    if (route->administration || route->looks)
        add_refusal(responses, route, 403,
                    "from the node's own machine only, unless allow-remote is on; not from others' pages");
    json_object_set_new(json, "operationId", json_string(route->id));
    json_object_set_new(json, "summary", json_string(route->about));
    if (json_array_size(parameters) > 0) json_object_set(json, "parameters", parameters);
    json_decref(parameters);
    if (route->fields != NULL)
        json_object_set_new(
            json, "requestBody",
            json_pack("{s:o}", "content", content("application/json", object_schema(route->fields, true))));
    json_object_set_new(json, "responses", responses);
    return json;
}

// # stands for a member's number; several methods of one path are one object.
static void add_route(json_t *paths, const struct http_route *route) {
    static const char *const methods[] = {
        [HTTP_VERB_GET] = "get", [HTTP_VERB_POST] = "post", [HTTP_VERB_DELETE] = "delete"};
    size_t before = strcspn(route->path, "#");
    char path[64];
    snprintf(path, sizeof path, "%.*s%s%s", (int)before, route->path, route->path[before] != 0 ? "{id}" : "",
             route->path[before] != 0 ? route->path + before + 1 : "");
    json_t *of_path = json_object_get(paths, path);
    if (of_path == NULL) {
        of_path = json_object();
        json_object_set_new(paths, path, of_path);
    }
    json_object_set_new(of_path, methods[route->method], route_json(route));
}

void generate_openapi(struct writer *w) {
    json_t *paths = json_object();
    for (size_t i = 0; native_at(i) != NULL; i++)
        json_object_set_new(paths, native_at(i)->path, operation_json(native_at(i)));
    for (size_t i = 0; http_route_at(i) != NULL; i++) add_route(paths, http_route_at(i));
    json_t *problem = json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}, s:[s, s, s]}", "type", "object",
                                "properties", "type", "type", "string", "title", "type", "string", "status", "type",
                                "integer", "detail", "type", "string", "required", "type", "title", "status");
    json_t *error = json_pack("{s:s, s:{s:{s:s}}, s:[s]}", "type", "object", "properties", "error", "type", "string",
                              "required", "error");
    json_t *json = json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:{s:{s:o, s:o}}}", "openapi", "3.1.0", "info", "title",
                             "Parley over HTTP", "version", PARLEY_VERSION, "description",
                             "docs/native.md says what stands behind the native operations, docs/page.md behind view "
                             "and events.",
                             "paths", paths, "components", "schemas", "problem", problem, "error", error);
    char *words = json_dumps(json, JSON_INDENT(2));
    write_span(w, bytes_of_text(words));
    write_span(w, bytes_of_text("\n"));
    free(words);
    json_decref(json);
}
