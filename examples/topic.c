// Publishes into a partitioned topic, and reads it as a member of a consumer group, under a fencing token.
//
//     cc topic.c $(pkg-config --cflags --libs parley) -o topic && ./topic localhost:7450 payments
#include "ask.h"

// Reads what is there; what is committed nobody reads again.
static bool consume(struct parley_client *client, const char *topic, long long member) {
    char *mine =
        ask(client, "topic/watch", 0, "{\"name\":\"%s\",\"group\":\"audit\",\"member_id\":%lld}", topic, member);
    long long token = number(mine, "token");
    char *fetched = ask(client, "topic/fetch", 0,
                        "{\"name\":\"%s\",\"group\":\"audit\",\"partition\":0,\"token\":%lld}", topic, token);
    for (const char *at = fetched; at != NULL && (at = strstr(at, "\"body\":\"")) != NULL;) {
        at += strlen("\"body\":\"");
        printf("%.*s\n", (int)strcspn(at, "\""), at);
    }
    char *done = ask(client, "topic/commit", 0,
                     "{\"name\":\"%s\",\"group\":\"audit\",\"partition\":0,\"token\":%lld,\"offset\":%lld}", topic,
                     token, number(fetched, "next")); // refused when another reads it by now
    bool committed = done != NULL;
    free(mine);
    free(fetched);
    free(done);
    return committed;
}

int main(int argc, char **argv) {
    const char *topic = argc > 2 ? argv[2] : "payments";
    struct parley_client *client = open_client(argc, argv);
    if (client == NULL) return 1;
    // All of these may be repeated: publishing has a dedup_id.
    free(ask(client, "topic/create", 0, "{\"name\":\"%s\",\"partitions\":1}", topic));
    for (int i = 1; i <= 3; i++)
        free(ask(client, "topic/publish", 0,
                 "{\"name\":\"%s\",\"dedup_id\":\"payment-%d\",\"messages\":[{\"key\":\"order-7\",\"body\":\"payment "
                 "%d\"}]}",
                 topic, i, i));
    long long member =
        number_of(ask(client, "topic/join", 0,
                      "{\"name\":\"%s\",\"group\":\"audit\",\"member\":\"one\",\"ttl_ms\":10000}", topic),
                  "member_id");
    bool good = member > 0 && consume(client, topic, member);
    free(ask(client, "topic/leave", 0, "{\"name\":\"%s\",\"group\":\"audit\",\"member_id\":%lld}", topic, member));
    parley_close(client);
    return good ? 0 : 1;
}
