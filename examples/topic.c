// Publishes into a partitioned topic, and reads it as a member of a consumer group, under a fencing token.
//
//     cc topic.c $(pkg-config --cflags --libs parley) -o topic && ./topic localhost:7450 payments
#include <parley.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One operation (docs/topics.md); all of those below may be repeated: publishing has a dedup_id. NULL: it failed.
__attribute__((format(printf, 3, 4))) static char *call(struct parley_client *client, const char *operation,
                                                        const char *format, ...) {
    char body[1024], *answer;
    struct parley_problem problem;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    if (parley_call(client, operation, body, true, &answer, &problem) == PARLEY_OK) return answer;
    fprintf(stderr, "%s: %s\n", operation, problem.text);
    return NULL;
}

// A number of an answer. (A program would use a JSON library.)
static long long number(const char *answer, const char *name) {
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\":", name);
    const char *at = answer != NULL ? strstr(answer, pattern) : NULL;
    return at != NULL ? atoll(at + strlen(pattern)) : -1;
}

static long long ask(struct parley_client *client, const char *operation, const char *body, const char *name) {
    char *answer = call(client, operation, "%s", body);
    long long found = number(answer, name);
    free(answer);
    return found;
}

// Reads what is there; what is committed nobody reads again.
static bool consume(struct parley_client *client, const char *topic, long long member) {
    char *mine = call(client, "topic/watch", "{\"name\":\"%s\",\"group\":\"audit\",\"member_id\":%lld}", topic, member);
    long long token = number(mine, "token");
    char *fetched = call(client, "topic/fetch", "{\"name\":\"%s\",\"group\":\"audit\",\"partition\":0,\"token\":%lld}",
                         topic, token);
    for (const char *at = fetched; at != NULL && (at = strstr(at, "\"body\":\"")) != NULL;) {
        at += strlen("\"body\":\"");
        printf("%.*s\n", (int)strcspn(at, "\""), at);
    }
    char *done = call(client, "topic/commit",
                      "{\"name\":\"%s\",\"group\":\"audit\",\"partition\":0,\"token\":%lld,\"offset\":%lld}", topic,
                      token, number(fetched, "next")); // refused when another reads it by now
    bool committed = done != NULL;
    free(mine);
    free(fetched);
    free(done);
    return committed;
}

int main(int argc, char **argv) {
    const char *nodes = argc > 1 ? argv[1] : "localhost:7450", *topic = argc > 2 ? argv[2] : "payments";
    struct parley_client *client;
    struct parley_problem problem;
    char body[512];
    if (parley_open(nodes, NULL, &client, &problem) != PARLEY_OK) {
        fprintf(stderr, "%s\n", problem.text);
        return 1;
    }
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"partitions\":1}", topic);
    free(call(client, "topic/create", "%s", body));
    for (int i = 1; i <= 3; i++)
        free(call(client, "topic/publish",
                  "{\"name\":\"%s\",\"dedup_id\":\"payment-%d\",\"messages\":[{\"key\":\"order-7\",\"body\":\"payment "
                  "%d\"}]}",
                  topic, i, i));
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"group\":\"audit\",\"member\":\"one\",\"ttl_ms\":10000}", topic);
    long long member = ask(client, "topic/join", body, "member_id");
    bool good = member > 0 && consume(client, topic, member);
    free(call(client, "topic/leave", "{\"name\":\"%s\",\"group\":\"audit\",\"member_id\":%lld}", topic, member));
    parley_close(client);
    return good ? 0 : 1;
}
