#include "cli/ask.h"
#include "base/limits.h"
#include "client/http_client.h"
#include "server/config.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ask_address(const char *command, const char *given, char *out) {
    char error[256];
    if (config_parse_address(given, 7450, out, error)) return true;
    fprintf(stderr, "parley %s: --http: '%s' %s\n", command, given, error);
    return false;
}

json_t *ask_json(const char *command, const char *address, const char *method, const char *path, json_t *body,
                 unsigned timeout_ms, bool quiet) {
    struct http_reply reply;
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    bool ok = http_call(address, method, path, text, timeout_ms, NULL, NULL, &reply);
    free(text);
    json_error_t error;
    json_t *json = ok ? json_loadb((const char *)reply.body.data, reply.body.len, 0, &error) : NULL;
    const char *complaint = json_string_value(json_object_get(json, "error"));
    if (!ok) {
        if (!quiet)
            fprintf(stderr, "parley %s: %s (is a node running there? --http ADDR names another)\n", command,
                    reply.error);
    } else if (reply.status != 200 || json == NULL) {
        if (!quiet && complaint != NULL) fprintf(stderr, "parley %s: %s\n", command, complaint);
        if (!quiet && complaint == NULL)
            fprintf(stderr, "parley %s: %s answered with status %d\n", command, address, reply.status);
        json_decref(json);
        json = NULL;
    }
    http_reply_free(&reply);
    return json;
}

int ask_admin(const char *command, const char *address, const char *method, const char *path, json_t *body) {
    json_t *json = ask_json(command, address, method, path, body, ASK_TIMEOUT_MS, false);
    if (json == NULL) return EXIT_FATAL;
    const char *result = json_string_value(json_object_get(json, "result"));
    printf("%s\n", result != NULL ? result : "done");
    json_decref(json);
    return 0;
}
