#include "cli/native_client.h"
#include "client/http_client.h"
#include "server/config.h"
#include "server/server.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_MS 100u // before all servers are asked once more

uint64_t native_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool native_client_init(struct native_client *client, const char *servers, char error[512]) {
    memset(client, 0, sizeof *client);
    while (*servers != 0) {
        size_t len = strcspn(servers, ",");
        char one[ADDRESS_TEXT_MAX], wrong[256];
        snprintf(one, sizeof one, "%.*s", (int)len, servers);
        if (client->count == NATIVE_SERVERS_MAX) {
            snprintf(error, 512, "more than %u servers", NATIVE_SERVERS_MAX);
            return false;
        }
        if (!config_parse_address(one, 7450, client->addresses[client->count++], wrong)) {
            snprintf(error, 512, "'%.200s' %.200s", one, wrong);
            return false;
        }
        servers += len;
        if (*servers == ',') servers++;
    }
    if (client->count == 0) snprintf(error, 512, "no server is named");
    return client->count > 0;
}

const char *native_error_name(const struct native_answer *answer) {
    const char *type = json_string_value(json_object_get(answer->json, "type"));
    return type != NULL && strncmp(type, "/errors/", 8) == 0 ? type + 8 : "";
}

static void describe(struct native_answer *answer, const char *address) {
    const char *title = json_string_value(json_object_get(answer->json, "title"));
    const char *detail = json_string_value(json_object_get(answer->json, "detail"));
    if (answer->status == 200) return;
    if (title == NULL) {
        snprintf(answer->error, sizeof answer->error, "%s answered with status %d", address, answer->status);
        return;
    }
    snprintf(answer->error, sizeof answer->error, "%s%s%s", title, detail != NULL ? ": " : "",
             detail != NULL ? detail : "");
}

static void ask(const char *address, const char *path, const char *body, uint64_t answer_ms,
                struct native_answer *answer) {
    struct http_reply reply;
    unsigned timeout_ms = answer_ms < INT_MAX ? (unsigned)answer_ms : INT_MAX;
    json_error_t error;
    *answer = (struct native_answer){0};
    if (!http_call(address, "POST", path, body, timeout_ms, NULL, NULL, &reply)) {
        snprintf(answer->error, sizeof answer->error, "%s", reply.error);
    } else {
        answer->json = json_loadb((const char *)reply.body.data, reply.body.len, 0, &error);
        answer->status = answer->json != NULL ? reply.status : 0;
        if (answer->json == NULL)
            snprintf(answer->error, sizeof answer->error, "%s: the answer is no JSON: is it a node of Parley?",
                     address);
        describe(answer, address);
    }
    http_reply_free(&reply);
}

static bool worth_another(const struct native_answer *answer) {
    return answer->status == 0 || answer->status == 503 || answer->status == 504;
}

bool native_call(struct native_client *client, const char *operation, json_t *body, uint64_t answer_ms,
                 uint64_t until_ms, struct native_answer *answer) {
    char path[128];
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    snprintf(path, sizeof path, "/v1/%s", operation);
    for (size_t asked = 1;; asked++) {
        size_t at = atomic_load(&client->at), next = (at + 1) % client->count;
        ask(client->addresses[at], path, text, answer_ms, answer);
        if (!worth_another(answer)) break;
        atomic_compare_exchange_strong(&client->at, &at, next); // unless another thread has gone on already
        if (native_now_ms() + PAUSE_MS >= until_ms) break;
        native_answer_free(answer);
        struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000};
        if (asked % client->count == 0) nanosleep(&pause, NULL);
    }
    free(text);
    return answer->status == 200;
}

void native_answer_free(struct native_answer *answer) {
    json_decref(answer->json);
    answer->json = NULL;
}

// ---- for commands that ask and print

json_t *native_ask(struct native_client *client, const char *command, const char *operation, json_t *body) {
    struct native_answer answer;
    if (native_call(client, operation, body, NATIVE_TIMEOUT_MS, native_now_ms() + NATIVE_TIMEOUT_MS, &answer))
        return answer.json;
    fprintf(stderr, "parley %s: %s\n", command, answer.error);
    native_answer_free(&answer);
    return NULL;
}

long long native_number(const json_t *json, const char *key) {
    return (long long)json_integer_value(json_object_get(json, key));
}

const char *native_text(const json_t *json, const char *key) {
    const char *words = json_string_value(json_object_get(json, key));
    return words != NULL ? words : "";
}

int native_print(json_t *json) {
    json_dumpf(json, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(json);
    return 0;
}

int native_done(json_t *json, bool raw, const char *words) {
    if (json == NULL) return EXIT_FATAL;
    if (raw) return native_print(json);
    printf("%s\n", words);
    json_decref(json);
    return 0;
}
